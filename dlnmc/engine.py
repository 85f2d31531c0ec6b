"""Where descriptions meet kernels: which parameter tuple, coordinates and scheme serve which model.

A new state or coordinate is one row of `STATES`, a new scheme one row of `SCHEMES`, beside its name in `config`.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from dlnmc.config import Equilibrium, Run, Simulation
from dlnmc.energies import LeastSquares, MatrixCompletion, NoEnergy, OwnEnergy, Quadratic, QuadraticTo
from dlnmc.errors import InvalidValue
from dlnmc.models import DeepLinearNetwork, DysonBrownianMotion, Model
from dlnmc_kernels import adaptive, dyson, energies, gradient_flow, hermitian, matrix, network, schemes, singular_values

Floats = NDArray[np.float64]

MOST_FACTORS = 64  # of a network that is evolved whole


class StateRow(NamedTuple):
    """How one model is evolved in one kind of coordinates."""

    model: type
    state: str
    coordinates: str
    serves: Callable[[Any], bool]  # whether a model of this class can be evolved so
    additive_noise: bool
    parameters: Callable[[Any], Any]  # model -> the kernels' parameter tuple
    from_level: Callable[[Any, Floats], Floats] | None  # model, log σ or x -> coordinates
    rows: Callable[[Any], int] = lambda model: int(model.size)  # numbers of a state
    memory: Callable[[Any], int] = lambda model: 0  # and what is carried beside it
    only: str | None = None  # the one scheme that steps it, where there is but one

    @property
    def whole(self) -> bool:
        """Whether a state is more than its values: matrices, whose noise does not commute."""
        return self.from_level is None


class SchemeRow(NamedTuple):
    """An integration scheme, what it needs, and what it is good for."""

    parameters: Callable[[Run], Any]  # complete run -> the kernels' parameter tuple
    needs_additive_noise: bool = False
    needs_noise: bool = False  # kappa > 0
    needs_no_noise: bool = False  # kappa = 0
    adjusted: bool = False  # by Metropolis: no bias, and a step from a pilot run
    follows_paths: bool = True  # its steps approximate the process in time, not its equilibrium alone
    memory: Callable[[int], int] = lambda size: 0  # rows carried from step to step
    evaluations: float = 1.0  # of the drift in a step, about, beside leaps
    order: float = 1.0  # of the bias at equilibrium in the step, as measured


def _energy(model: Model) -> Any:
    """The kernels' tuple of an energy."""
    if isinstance(model.energy, LeastSquares):
        return energies.LeastSquares(*(np.ascontiguousarray(m).ravel() for m in model.energy.normal_equations()))
    if isinstance(model.energy, QuadraticTo):
        return energies.Entries(np.ones(model.size**2), np.array(model.energy.target).ravel())
    if isinstance(model.energy, MatrixCompletion):
        return energies.Entries(*(m.ravel() for m in model.energy.weights_and_targets(model.size)))
    if isinstance(model.energy, OwnEnergy):
        return energies.Own(model.energy.functions.compiled_gradient, model.energy.array)
    if isinstance(model.energy, Quadratic | NoEnergy):
        return energies.Quadratic(float(isinstance(model.energy, Quadratic)))
    return energies.Polynomial(tuple(map(float, model.powers)))


def _finite_depth(model: Any) -> bool:
    return math.isfinite(model.depth) and model.energy.invariant


def _whole_depth(model: Any) -> bool:
    return bool(model.depth == math.floor(min(model.depth, MOST_FACTORS)))


def _squares(matrices: float) -> Callable[[Any], int]:
    """The number of rows of so many matrices."""
    return lambda model: int(matrices * model.size**2)


STATES = (
    StateRow(
        DeepLinearNetwork,
        "singular_values",
        "lambda",
        _finite_depth,
        True,
        lambda m: singular_values.Lambda(float(m.depth), m.beta, m.kappa, _energy(m)),
        lambda m, log_sigma: np.exp(log_sigma / m.depth),
    ),
    StateRow(
        DeepLinearNetwork,
        "singular_values",
        "sigma",
        _finite_depth,
        False,
        lambda m: singular_values.Sigma(float(m.depth), m.beta, m.kappa, _energy(m)),
        lambda m, log_sigma: np.exp(log_sigma),
    ),
    StateRow(
        DeepLinearNetwork,
        "singular_values",
        "log",
        lambda m: math.isinf(m.depth) and m.energy.invariant,
        True,
        lambda m: singular_values.LogSigma(m.beta, m.kappa, _energy(m)),
        lambda m, log_sigma: log_sigma,
    ),
    StateRow(
        DeepLinearNetwork,
        "matrix",
        "frames",
        lambda m: True,
        False,
        lambda m: matrix.Matrix(m.width, float(m.depth), m.beta, m.kappa, _energy(m)),
        None,
        lambda m: 2 * m.width**2 + m.width,
        only="euler_maruyama",
    ),
    StateRow(
        DeepLinearNetwork,
        "network",
        "balanced",
        _whole_depth,
        False,
        lambda m: network.Network(m.width, int(m.depth), m.beta, m.kappa, _energy(m)),
        None,
        lambda m: (int(m.depth) + 1) * m.width**2 + m.width,
        only="euler_maruyama",
    ),
    StateRow(
        DeepLinearNetwork,
        "matrix",
        "matrix",
        lambda m: True,
        False,
        lambda m: gradient_flow.MatrixFlow(m.width, float(m.depth), m.beta, _energy(m)),
        None,
        _squares(1),
        _squares(1),
        only="gradient_flow",
    ),
    StateRow(
        DeepLinearNetwork,
        "network",
        "network",
        _whole_depth,
        False,
        lambda m: gradient_flow.NetworkFlow(m.width, int(m.depth), _energy(m)),
        None,
        lambda m: int(m.depth) * m.width**2,
        _squares(1),
        only="gradient_flow",
    ),
    StateRow(
        DysonBrownianMotion,
        "eigenvalues",
        "eigenvalues",
        lambda m: True,
        True,
        lambda m: dyson.Dyson(m.beta, m.kappa, _energy(m)),
        lambda m, x: x,
    ),
    StateRow(
        DysonBrownianMotion,
        "hermitian",
        "hermitian",
        lambda m: True,
        False,
        lambda m: hermitian.Hermitian(m.size, m.beta, m.kappa, _energy(m)),
        None,
        _squares(2),
        _squares(2),
        only="euler_maruyama",
    ),
)


def _dormand_prince(run: Run) -> adaptive.DormandPrince:
    assert isinstance(run, Simulation)
    assert run.tolerance is not None
    method = scipy.integrate.DOP853  # SciPy loads what is used when it is used
    n = method.n_stages
    A, B, E5, E3 = (np.array(c, np.float64) for c in (method.A[:n, :n], method.B, method.E5[:n], method.E3[:n]))
    return adaptive.DormandPrince(A, B, E5, E3, run.tolerance)


def _milstein(run: Run) -> schemes.EulerMaruyama | schemes.Milstein:
    """Where noise is additive Milstein's correction is 0."""
    return schemes.EulerMaruyama() if state_row(run).additive_noise else schemes.Milstein()


SCHEMES = {
    "euler_maruyama": SchemeRow(lambda run: schemes.EulerMaruyama()),
    "milstein": SchemeRow(_milstein),
    "leimkuhler_matthews": SchemeRow(lambda run: schemes.LeimkuhlerMatthews(), needs_additive_noise=True, order=1.5),
    "mala": SchemeRow(
        lambda run: schemes.MetropolisAdjusted(1),
        needs_additive_noise=True,
        needs_noise=True,
        adjusted=True,
        memory=lambda size: size + 1,
    ),
    "hmc": SchemeRow(
        lambda run: schemes.MetropolisAdjusted(run.leaps or 1),
        needs_additive_noise=True,
        needs_noise=True,
        adjusted=True,
        follows_paths=False,
        memory=lambda size: size + 1,
    ),
    "gradient_flow": SchemeRow(_dormand_prince, needs_no_noise=True, memory=lambda size: 1, evaluations=1000.0),
}


def state_row(run: Run) -> StateRow:
    """The row that serves a run; an InvalidValue names the combinations that exist."""
    rows = [row for row in STATES if isinstance(run.model, row.model) and row.serves(run.model)]
    if asked := _asked(run):
        return next((row for row in asked if run.scheme is not None and fits(row, run.scheme)), asked[0])
    known = ", ".join(f"state {row.state!r} with coordinates {row.coordinates!r}" for row in rows)
    model, why = type(run.model).__name__, ""
    if isinstance(run.model, DeepLinearNetwork):
        model += f" of depth {run.model.depth:g}"
        if run.state == "network" and not any(row.state == "network" for row in rows):
            why = f"; a network has a whole number of factors, at most {MOST_FACTORS}"
    if not run.model.energy.invariant:
        model += f" and energy {run.model.energy.kind!r}, which needs whole matrices,"
    raise InvalidValue(f"state = {run.state!r}, coordinates = {run.coordinates!r}: for {model} there is {known}{why}")


def sums_are_fast(run: Run) -> bool:
    """Whether sums over pairs of components cost as much as their number: they go by exponentials."""
    model = run.model
    if state_row(run).whole:
        return False
    if isinstance(model, DeepLinearNetwork):
        return bool(singular_values.sums_are_fast(model.size, model.depth, model.kappa))
    return bool(dyson.sums_are_fast(model.size))


def _asked(run: Run) -> list[StateRow]:
    """The rows of the state and coordinates that a run asks for."""
    return [
        row
        for row in STATES
        if isinstance(run.model, row.model)
        and row.serves(run.model)
        and run.state in (None, row.state)
        and run.coordinates in (None, row.coordinates)
    ]


def fits(row: StateRow, scheme: str) -> bool:
    """Whether a scheme can step a state."""
    if row.only is not None:
        return scheme == row.only
    return row.additive_noise or not SCHEMES[scheme].needs_additive_noise


def check(run: Run) -> None:
    """Raise InvalidValue for a scheme that cannot serve the model and coordinates, saying why and which can."""
    row = state_row(run)
    _energy(run.model)  # an own one may lack its functions
    if run.scheme is None:
        return
    scheme = SCHEMES[run.scheme]
    if scheme.needs_no_noise:
        _check_flow(run, row, run.scheme)
    if row.only not in (None, run.scheme) and scheme.needs_no_noise != SCHEMES[row.only].needs_no_noise:
        raise InvalidValue(
            f"scheme = {run.scheme!r}: coordinates {row.coordinates!r} are those of scheme = {row.only!r}; use it, or "
            "leave coordinates out"
        )
    if row.whole and not fits(row, run.scheme):
        other = "eigenvalues" if isinstance(run.model, DysonBrownianMotion) else "singular_values"
        raise InvalidValue(
            f"scheme = {run.scheme!r}: the noise of whole matrices, in levels and frames, does not commute, and only "
            "'euler_maruyama' does without its iterated integrals; use it"
            + (f", or state = {other!r}" if run.model.energy.invariant else "")
        )
    if not fits(row, run.scheme):
        fitting = [name for name in SCHEMES if fits(row, name) and _runs_at(run.model.kappa, name)]
        raise InvalidValue(
            f"scheme = {run.scheme!r}: it needs additive noise, and in coordinates {row.coordinates!r} the noise is "
            f"multiplicative; use {' or '.join(fitting)}, or other coordinates"
        )
    if scheme.needs_noise and run.model.kappa == 0:
        fitting = [name for name in SCHEMES if _runs_at(run.model.kappa, name)]
        raise InvalidValue(
            f"scheme = {run.scheme!r}: at kappa = 0 there is no noise, and no density to sample; use "
            f"{' or '.join(fitting)}"
        )
    if not scheme.follows_paths and not isinstance(run, Equilibrium):
        fitting = [name for name, other in SCHEMES.items() if other.follows_paths and _runs_at(run.model.kappa, name)]
        raise InvalidValue(
            f"scheme = {run.scheme!r}: its steps reach the equilibrium but do not follow paths in time; use "
            f"{' or '.join(fitting)}, or equilibrium"
        )
    if scheme.adjusted and run.model.energy.kind == "none":
        raise InvalidValue(f"scheme = {run.scheme!r}: it samples an equilibrium, and energy = 'none' has none")
    if isinstance(run, Simulation) and run.tolerance is not None and not scheme.needs_no_noise:
        raise InvalidValue(
            f"tolerance = {run.tolerance:g}: only scheme = 'gradient_flow' takes a tolerance, not {run.scheme!r}"
        )
    if run.leaps is not None and run.scheme != "hmc":
        raise InvalidValue(f"leaps = {run.leaps}: only scheme = 'hmc' takes leaps, not {run.scheme!r}")


def _runs_at(kappa: float, scheme: str) -> bool:
    """Whether a scheme does with the noise there is."""
    row = SCHEMES[scheme]
    return not (row.needs_noise if kappa == 0 else row.needs_no_noise)


def _check_flow(run: Run, row: StateRow, scheme: str) -> None:
    """Raise InvalidValue where there is noise, which a scheme without any leaves out."""
    model = run.model
    if model.kappa > 0:
        rows = _asked(run)
        fitting = [name for name in SCHEMES if _runs_at(model.kappa, name) and any(fits(r, name) for r in rows)]
        raise InvalidValue(
            f"scheme = {scheme!r}: it follows the flow of kappa = 0, and kappa = {model.kappa:g} makes noise; use "
            f"{' or '.join([*fitting, 'kappa = 0'])}"
        )
    if not isinstance(run, Simulation):
        raise InvalidValue(f"scheme = {scheme!r}: a flow has no equilibrium to sample; use simulate")
    if row.state == "hermitian":
        raise InvalidValue(
            f"scheme = {scheme!r}: Hermitian matrices have noise along their orbits at kappa = 0 too; use state = "
            "'eigenvalues', which move without noise, or 'euler_maruyama'"
        )
    if row.state == "network" and math.isfinite(model.beta):
        raise InvalidValue(
            f"scheme = {scheme!r}: at beta = {model.beta:g} networks have noise in the gauge, at kappa = 0 too; use "
            "state = 'matrix', where it is the entropic drift, or beta = inf, or 'euler_maruyama'"
        )


def compiled_arguments(run: Run) -> tuple[Any, Any]:
    """The kernels' model and scheme tuples of a complete run."""
    assert run.scheme is not None
    return state_row(run).parameters(run.model), SCHEMES[run.scheme].parameters(run)


def noise_key(seed: int) -> np.uint64:
    """The 64-bit Philox key of a seed."""
    return np.uint64(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])


def kernel_time(model: Any) -> float:
    """The time in a kernel's equation that passes in one unit of the model's clock.

    It is the paper's at finite depth; at infinite depth it is the model's own.
    """
    depth = getattr(model, "depth", 1.0)
    return 1.0 / depth if getattr(model, "clock", "paper") == "depth" and math.isfinite(depth) else 1.0


def scale(model: Any) -> float:
    """√(d/β): laws are those of singular values or eigenvalues divided by it. 1 for β = ∞."""
    return math.sqrt(model.size / model.beta) if math.isfinite(model.beta) else 1.0
