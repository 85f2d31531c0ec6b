"""Where descriptions meet kernels: which parameter tuple, coordinates and scheme serve which model.

A new state or coordinate is one row of `STATES`, a new scheme one row of `SCHEMES`, beside its name in `config`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlnmc.config import Run
from dlnmc.errors import InvalidValue
from dlnmc.models import DeepLinearNetwork, DysonBrownianMotion
from dlnmc_kernels import dyson, energies, schemes, singular_values

Floats = NDArray[np.float64]


class StateRow(NamedTuple):
    """How one model is evolved in one kind of coordinates."""

    model: type
    state: str
    coordinates: str
    additive_noise: bool
    parameters: Callable[[Any], Any]  # model -> the kernels' parameter tuple
    from_observed: Callable[[Any, Floats], Floats]  # model, singular values or eigenvalues -> coordinates


class SchemeRow(NamedTuple):
    """An integration scheme and whether it needs additive noise."""

    parameters: Callable[[], Any]
    needs_additive_noise: bool


ENERGIES: dict[str, Callable[[Any], Any]] = {  # kind -> the kernels' tuple of an energy
    "quadratic": lambda energy: energies.Quadratic(1.0),
    "none": lambda energy: energies.Quadratic(0.0),
}


def _energy(model: Any) -> Any:
    return ENERGIES[model.energy.kind](model.energy)


STATES = (
    StateRow(
        DeepLinearNetwork,
        "singular_values",
        "lambda",
        True,
        lambda m: singular_values.Lambda(float(m.depth), m.beta, m.kappa, _energy(m)),
        lambda m, sigma: sigma ** (1.0 / m.depth),
    ),
    StateRow(
        DeepLinearNetwork,
        "singular_values",
        "sigma",
        False,
        lambda m: singular_values.Sigma(float(m.depth), m.beta, m.kappa, _energy(m)),
        lambda m, sigma: sigma,
    ),
    StateRow(
        DysonBrownianMotion,
        "eigenvalues",
        "eigenvalues",
        True,
        lambda m: dyson.Dyson(m.beta, m.kappa, _energy(m)),
        lambda m, x: x,
    ),
)

SCHEMES = {
    "euler_maruyama": SchemeRow(schemes.EulerMaruyama, False),
    "milstein": SchemeRow(schemes.Milstein, False),
    "leimkuhler_matthews": SchemeRow(schemes.LeimkuhlerMatthews, True),
}


def state_row(run: Run) -> StateRow:
    """The row that serves a run; an InvalidValue names the combinations that exist."""
    rows = [row for row in STATES if isinstance(run.model, row.model)]
    for row in rows:
        if run.state in (None, row.state) and run.coordinates in (None, row.coordinates):
            return row
    known = ", ".join(f"state {row.state!r} with coordinates {row.coordinates!r}" for row in rows)
    raise InvalidValue(
        f"state = {run.state!r}, coordinates = {run.coordinates!r}: for {type(run.model).__name__} there is {known}"
    )


def check(run: Run) -> None:
    """Raise InvalidValue for a run that makes no sense, saying why and what does."""
    model = run.model
    if not np.isfinite(getattr(model, "depth", 1.0)):
        raise InvalidValue(f"depth = {getattr(model, 'depth', None)}: paths are simulated at finite depth only")
    if model.kappa == 0:
        raise InvalidValue("kappa = 0.0: paths are simulated for kappa > 0; without noise there is nothing to sample")
    row = state_row(run)
    if run.scheme is not None and SCHEMES[run.scheme].needs_additive_noise and not row.additive_noise:
        fitting = [name for name, scheme in SCHEMES.items() if not scheme.needs_additive_noise]
        raise InvalidValue(
            f"scheme = {run.scheme!r}: it needs additive noise, and in coordinates {row.coordinates!r} the noise is "
            f"multiplicative; use {' or '.join(fitting)}, or other coordinates"
        )


def compiled_arguments(run: Run) -> tuple[Any, Any]:
    """The kernels' model and scheme tuples of a complete run."""
    assert run.scheme is not None
    return state_row(run).parameters(run.model), SCHEMES[run.scheme].parameters()


def paper_time(model: Any) -> float:
    """The paper's time that passes in one unit of the model's clock."""
    return 1.0 / model.depth if getattr(model, "clock", "paper") == "depth" else 1.0


def scale(model: Any) -> float:
    """√(d/β): laws are those of singular values or eigenvalues divided by it."""
    return float(np.sqrt(model.size / model.beta))
