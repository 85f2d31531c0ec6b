"""A run as data: one declarative, validated description, the same from Python and from TOML.

`Equilibrium` and `Simulation` say what is run; where they leave `dt`, `scheme` and the like open, `dlnmc.defaults`
fills them in, and the complete description is what is stored in the file and hashed.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from dlnmc.descriptions import Description
from dlnmc.models import Model

Scheme = Literal["euler_maruyama", "milstein", "leimkuhler_matthews", "mala", "hmc", "gradient_flow"]
State = Literal["singular_values", "matrix", "network", "eigenvalues", "hermitian"]
Coordinates = Literal["lambda", "sigma", "log", "frames", "balanced", "matrix", "network", "eigenvalues", "hermitian"]
STARTS = ("random", "law", "zero", "clusters", "identity", "gaussian", "given")
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Run(Description):
    """What all runs have in common.

    Parameters
    ----------
    model
        What is simulated.
    paths
        Number of independent paths.
    dt
        Time step, in the units of the model's clock.
    start
        "random", "law" (the quantiles of the equilibrium law), "zero" (Dyson; drawn exactly at the first step),
        "clusters" (Dyson; half of the eigenvalues near one value, half near its negative); for
        whole matrices of the Deep Linear Network "identity" (a small multiple of it) or "gaussian"; or "given": values
        that are handed over beside the description and enter it by their SHA-256.
    start_digest
        The SHA-256 of given start values.
    first_step
        The index of the first step, > 0 where a run continues another: it selects fresh noise.
    state, coordinates, scheme
        What is evolved, in which coordinates, by which scheme.
    leaps
        Leapfrog steps in one step of the scheme "hmc".
    refinement
        How many steps of a finer run one step spans: its normals are sums of theirs, so that both see the same noise.
    bins
        Number of bins of the streaming histogram.
    keep_samples
        Whether the observed states are kept.
    observables
        Names of what else is averaged while running; a user's own enter by "name:SHA-256 of the source".
    failed_fraction
        The largest fraction of paths that may become non-finite; they are frozen, counted, and left out of all
        statistics. More end the run.
    seed
        0 <= seed < 2^64; noise is a pure function of (seed, path, step, component).
    """

    model: Model
    paths: int = Field(default=4096, ge=1, le=2**40)
    dt: Positive | None = None
    start: str | None = Field(default=None, json_schema_extra={"enum": list(STARTS[:-1])})
    start_digest: str | None = None
    first_step: int = Field(default=0, ge=0, lt=2**47)
    state: State | None = None
    coordinates: Coordinates | None = None
    scheme: Scheme | None = None
    leaps: int | None = Field(default=None, ge=1, le=4096)
    refinement: int = Field(default=1, ge=1, le=2**20)
    bins: int | None = Field(default=None, ge=1, le=2**20)
    keep_samples: bool = True
    observables: tuple[str, ...] = ()
    failed_fraction: float = Field(default=0.0, ge=0, lt=1)
    seed: int = Field(default=0, ge=0, lt=2**64)

    @field_validator("start")
    @classmethod
    def _named_start(cls, value: str | None) -> str | None:
        if value is not None and value not in STARTS:
            raise ValueError(f"allowed: {', '.join(map(repr, STARTS[:-1]))}; from Python an array or an earlier result")
        return value


class Equilibrium(Run):
    """Sampling of the equilibrium: burn-in, then draws, with streaming statistics.

    Parameters
    ----------
    burn_in, duration
        Times before the first observation and from there to the last; rounded up to whole steps.
    draws
        Number of states kept per path, at burn_in + k duration/draws, k = 1 ... draws.
    observations
        Number of states that enter the streaming statistics, at equal distances; a multiple of `draws`.
    accuracy
        The relative standard error that the mean of the trace should have, and bound on its bias: where given, it
        chooses what of `dt` and `duration` is left open.
    early
        How many observations are early ones, of which late ones are told apart; None: half of them. A run that was
        extended counts all of its first part.
    """

    kind: Literal["equilibrium"] = "equilibrium"
    burn_in: NotNegative | None = None
    duration: Positive | None = None
    draws: int = Field(default=1, ge=1, le=2**20)
    observations: int | None = Field(default=None, ge=1, le=2**24)
    accuracy: float | None = Field(default=None, ge=1e-12, lt=1)
    early: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _whole_number_of_observations_per_draw(self) -> Self:
        if self.observations is not None and self.observations % self.draws:
            raise ValueError(f"observations = {self.observations}: it must be a multiple of draws = {self.draws}")
        return self


class Simulation(Run):
    """States at given times.

    Parameters
    ----------
    times
        Ascending times >= 0; rounded up to whole steps. With `bins` there is a histogram for each.
    tolerance
        Of the scheme "gradient_flow": the error of a substep, relative to the norm of the state.
    """

    kind: Literal["simulation"] = "simulation"
    times: tuple[NotNegative, ...] = Field(min_length=1)
    tolerance: float | None = Field(default=None, ge=1e-14, le=1e-2)

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if any(b <= a for a, b in zip(self.times, self.times[1:], strict=False)):
            raise ValueError(f"times = {self.times}: they must be strictly ascending")
        return self


def run_settings(cls: type[Run]) -> list[str]:
    """The names of the fields that a user sets in `[run]`."""
    hidden = {"kind", "model", "start_digest", "first_step", "refinement", "early"}
    return [name for name in cls.model_fields if name not in hidden]
