"""Sound values for what a user leaves open, chosen from the model. They are functions of the description only.

The constants come from measurements, see docs/choosing.md.
"""

import math
from collections.abc import Callable
from functools import partial, wraps
from typing import Concatenate, ParamSpec, TypeVar

import numpy as np
import scipy

from dlnmc import laws
from dlnmc.config import Equilibrium, Run, Simulation
from dlnmc.descriptions import quoted
from dlnmc.energies import MatrixEnergy
from dlnmc.engine import SCHEMES, check, kernel_time, scale, state_row
from dlnmc.errors import InvalidValue
from dlnmc.models import DeepLinearNetwork, Model

RunType = TypeVar("RunType", bound=Run)
Rest = ParamSpec("Rest")

STEP = 0.05  # a step in units of the time in which noise crosses the distance of neighbours
STIFFNESS = 0.1  # the largest step times the slope of the energy's force at the edge
QUARTILES = 0.8741  # distance of the quartiles of the quarter circle of radius 2
BURN_IN = 3.0  # natural units of time, to which the time that small singular values need is added
POLYNOMIAL = 4.0  # times the burn-in where the energy may have several wells
DURATION = 4.0
MEMORY = 1.5  # natural units of time for each independent value of the trace
BIAS = 0.01  # bias of the trace at the default step, at most, in standard deviations of one state
ADJUSTED_BURN_IN = 1.5  # times the burn-in: refused proposals cost time
TRAVEL = 0.25  # time, in natural units, that a step of Hamiltonian Monte Carlo covers where it can
SMALL = 48  # up to this size it gives more independent states in a second than Leimkuhler–Matthews
MOST_LEAPS = 128
UNREACHED = 0.01  # at infinite depth: the part of the law of log σ_d, far down, that burn-in may not have reached
CROWD, MOST_CROWDED = 6.0, 2.0  # more singular values take longer; all of it would be too long where only traces count
MOST_SLOWED = 5.0  # beyond depth 10 what moves slowly has its own law from the start
MOST_REACH = 30.0  # near the threshold of equilibrium more would take for ever
OBSERVATIONS = 64
MOST_OBSERVATIONS = 2**20
BINS = 256
TOLERANCE = 1e-10  # of gradient flows
MOST_STEPS = 2**14  # of gradient flows, whose steps are what times are counted in; as many take ¼ s for eight W, d = 3
WHOLE = 5e-13  # how far a number may be from a whole one, relatively: half of what `schedule` forgives


def within_floating_point(
    fill: Callable[Concatenate[RunType, Rest], RunType],
) -> Callable[Concatenate[RunType, Rest], RunType]:
    """A function that fills in a run, and says so where powers of its parameters leave floating point."""

    @wraps(fill)
    def filled(run: RunType, /, *rest: Rest.args, **named: Rest.kwargs) -> RunType:
        try:
            with np.errstate(all="ignore"):  # what is not finite is refused, as what it is the value of
                return fill(run, *rest, **named)
        except ArithmeticError:
            raise InvalidValue(
                f"{quoted(run.model)}, dt = {run.dt!r}: scales of time or size that follow, or their ratios to dt, are "
                "beyond floating point; take values nearer to 1"
            ) from None

    return filled


def virial(model: Model) -> float:
    """The mean of s v'(s) over components s at equilibrium, exact for every energy.

    The density of λ is that of a homogeneous function times e^{−(β/κ)E}; so is that of x for Dyson.
    """
    if not isinstance(model, DeepLinearNetwork):
        return (model.kappa + model.size - 1.0) / model.beta
    N, kappa = model.depth, model.kappa
    return (kappa / N + (model.width - 1.0) * (0.5 + (kappa - 0.5) / N)) / model.beta


def typical_size(model: Model) -> float:
    """How far out components lie at equilibrium: √(E[Tr WᵀW]/d) where the energy is quadratic, or there is none.

    Where it is an energy of whole matrices: how far they stray from its minimum, about, in its softest direction.
    """
    sides = (1.0,) if isinstance(model, DeepLinearNetwork) else (1.0, -1.0)
    return max(size_towards(model, side) for side in sides)


def size_towards(model: Model, side: float) -> float:
    """The largest |s| on a side of 0 (1 or −1) at which s v'(s) is what it is on average at equilibrium."""
    target = virial(model)
    if isinstance(model.energy, MatrixEnergy):
        return math.sqrt(target / (model.energy.softness(model.size) or model.energy.stiffness(model.size) or 1.0))
    if model.energy.kind != "polynomial":
        return math.sqrt(target)
    terms = [(m, m * abs(a)) for m, a in enumerate(model.powers, 1) if a]
    alone = [(target / term) ** (1.0 / m) for m, term in terms]  # where each term by itself reaches the target
    top, leading = terms[-1]
    beyond = [(len(terms) * term / leading) ** (1.0 / (top - m)) for m, term in terms[:-1]]  # there the last term rules
    low, high = 1e-3 * min(alone), 1e3 * max(alone + beyond)
    if not 0.0 < low < high < math.inf:
        raise OverflowError
    sizes = np.geomspace(low, high, 4001)
    below = np.flatnonzero(side * sizes * model.slope(side * sizes) < target)
    if not len(below):
        raise OverflowError
    last = int(below[-1])  # beyond it the energy only grows
    excess = partial(_excess, model, side, target)
    return float(
        scipy.optimize.brentq(excess, sizes[last], sizes[min(last + 1, len(sizes) - 1)], xtol=1e-15 * sizes[last])
    )


def _excess(model: Model, side: float, target: float, s: float) -> float:
    return side * s * float(model.slope(np.array(side * s))) - target


def _stiffness(model: Model, s: float) -> float:
    """The slope of the energy's force in the coordinate λ (log σ at infinite depth, x for Dyson) at σ = s."""
    N = model.depth if isinstance(model, DeepLinearNetwork) else 1.0
    whole = [N * m - 1.0 if math.isfinite(N) else float(m) for m in range(1, len(model.powers) + 1)]
    terms = [m * abs(a) * whole[m - 1] * s ** (m - 2.0 / N) for m, a in enumerate(model.powers, 1)]
    return float(sum(terms))


def time_unit(model: Model) -> float:
    """The model's natural unit of time, in its own clock: about that in which the trace forgets.

    With β = d and quadratic energy it is min(1, 2/N) in the paper's clock. Under λ → c λ with c^{2N} = d/β the equation
    for β becomes that for β = d in time multiplied by c^{2N−2}. Where another energy holds components at another size,
    they take as long to push each other over it.
    """
    unit = 1.0
    if isinstance(model, DeepLinearNetwork):
        N = model.depth
        forgets = min(1.0, 2.0 / N) / kernel_time(model) if math.isfinite(N) else 2.0
        unit = float((model.beta / model.width) ** (1.0 - 1.0 / N)) * forgets
        if model.energy.kind not in ("quadratic", "none"):
            quadratic = model.changed(energy="quadratic")
            unit *= float((typical_size(model) / typical_size(quadratic)) ** (2.0 / N))
    elif model.energy.kind == "polynomial":
        unit = typical_size(model) ** 2 * model.beta / model.size
    return unit


def law_and_unit(model: Model) -> tuple[laws.Law, float]:
    """The law of singular values or eigenvalues for d → ∞, or one of similar shape, and its unit in the model.

    It is that of quadratic energy; of κ = 1 where κ = 0, and there is no equilibrium. The unit is 0 for β = ∞.
    """
    beta = model.beta if math.isfinite(model.beta) else 1.0
    similar = model.changed(beta=beta, kappa=model.kappa or 1.0)
    law = laws.of(similar.changed(energy="quadratic"))
    return law, typical_size(similar) / math.sqrt(law.moment(2)) if math.isfinite(model.beta) else 0.0


def equilibrium_radius(model: Model) -> float:
    """Where singular values or eigenvalues end at equilibrium, about, in units of √(d/β)."""
    law, unit = law_and_unit(model)
    return (law.support[1] * unit + _size_of_minimum(model)) / scale(model) or 1.0


def _size_of_minimum(model: Model) -> float:
    """The largest singular value where an energy of whole matrices is least; other energies say theirs themselves."""
    if not isinstance(model.energy, MatrixEnergy):
        return 0.0
    W = model.energy.minimiser(model.size)
    return float(np.linalg.norm(W[np.any(W, axis=1)][:, np.any(W, axis=0)], 2)) if np.any(W) else 0.0


def stiff_dt(model: Model) -> float:
    """The time in which the steepest part of the energy pulls a component back, about."""
    law, unit = law_and_unit(model)
    top = law.support[1] * unit * (1.0 + 1.5 * model.size ** (-2.0 / 3.0)) + _size_of_minimum(model)
    return 1.0 / (_stiffness(model, top) * kernel_time(model))


def default_dt(model: Model) -> float:
    """A step that resolves both the typical spacing of neighbours and the steepest part of the energy."""
    law, unit = law_and_unit(model)
    diffusion = 2.0 * model.kappa / model.beta  # of the coordinate: dx² = diffusion dt
    if isinstance(model, DeepLinearNetwork):
        assert isinstance(law, laws.SingularValueLaw)
        quartiles = law.log_ppf([0.25, 0.75]) + math.log(unit)
        if math.isfinite(model.depth):
            quartiles = np.exp(quartiles / model.depth)
            diffusion /= model.depth
    else:
        quartiles = law.ppf([0.25, 0.75]) * unit / 2.0  # the semicircle's, on both sides of 0
        diffusion *= max(1.0, 1.0 / model.kappa)  # where noise is weak, the repulsion decides
    spacing = (quartiles[1] - quartiles[0]) / QUARTILES / model.size
    crossing = 2.0 * spacing**2 / diffusion
    dt = min(float(STEP * crossing) / kernel_time(model), STIFFNESS * stiff_dt(model))
    if not 0.0 < dt < math.inf:
        raise OverflowError
    return dt


def _slowest(model: Model) -> float:
    """The natural units of time in which the smallest singular values forget a random start."""
    if not isinstance(model, DeepLinearNetwork):
        return 0.0
    N, d, kappa = model.depth, model.width, model.kappa
    crowd = min(max(1.0, d / CROWD), MOST_CROWDED)
    slowest = 0.5 * N * min(max(1.0, N / 2.0), MOST_SLOWED) * crowd / min(kappa, 1.0)
    tail = (d - 1.0) * (0.5 / kappa - 1.0) - 1.0
    if tail > 0.0:
        # At infinite depth log σ_d has a law with the tail r^{−tail}, and gets there by diffusion and against the pull
        # of the others. No finite depth takes longer.
        reach = min(UNREACHED ** (-1.0 / tail), MOST_REACH)
        slowest = min(slowest, d * reach**2 / (kappa * (tail + 2.0)))
    return slowest


def default_burn_in(model: Model) -> float:
    """A time in which a random start is forgotten."""
    wait = 1.0 if model.energy.kind in ("quadratic", "none") else POLYNOMIAL
    return wait * (BURN_IN + _slowest(model)) * time_unit(model)


def default_duration(model: Model) -> float:
    """A time over which averages are taken."""
    return (DURATION + min(_slowest(model) / 2.0, 2.0 * DURATION)) * time_unit(model)


def _for_accuracy(run: Equilibrium, accuracy: float) -> tuple[float, float]:
    """The step and duration with which the mean of the trace has this relative standard error, and no larger bias."""
    trace = laws.trace(run.model.changed(energy="quadratic"))
    spread = math.sqrt(trace.var()) / trace.mean()  # of one state
    samples = (spread / accuracy) ** 2 / run.paths
    dt = default_dt(run.model) * min(1.0, accuracy / (2.0 * BIAS * spread))
    return dt, max(0.25, MEMORY * samples) * time_unit(run.model)


def default_scheme(run: Run) -> str:
    """For equilibrium the scheme that gives most independent states in a second; in time the one with least bias."""
    row = state_row(run)
    if row.only is not None:
        return row.only
    if not row.additive_noise or run.model.kappa == 0:
        return "milstein"
    return "hmc" if isinstance(run, Equilibrium) and run.model.size <= SMALL else "leimkuhler_matthews"


def default_scheme_of_ladder(run: Run) -> str:
    """One scheme for all steps of a ladder, which shows its bias."""
    row = state_row(run)
    if row.only is not None:
        return row.only
    return "leimkuhler_matthews" if row.additive_noise else "milstein"


def step_of_flow(times: tuple[float, ...]) -> float:
    """The largest step of which all times are whole multiples; the 16384th part of the last where there is none."""
    last = times[-1] or 1.0
    steps = np.arange(1.0, MOST_STEPS + 1.0)
    for time in times:
        exact = time / last * steps
        steps = steps[np.abs(exact - np.round(exact)) <= WHOLE * exact]
    return last / float(steps[0] if len(steps) else MOST_STEPS)


def default_leaps(model: Model, leap: float) -> int:
    """How many leaps of this much time, in the model's clock, a step of Hamiltonian Monte Carlo should have."""
    return int(min(max(1.0, round(math.sqrt(TRAVEL * time_unit(model) / leap))), MOST_LEAPS))


def check_equilibrium(run: Equilibrium) -> None:
    """Raise InvalidValue where a model has no equilibrium, or coordinates do not reach it."""
    model = run.model
    if model.energy.kind == "none":
        raise InvalidValue("energy = 'none': free motion has no equilibrium; use simulate, or energy = 'quadratic'")
    if model.kappa == 0:
        raise InvalidValue("kappa = 0.0: without noise there is no equilibrium to sample; use simulate, or kappa > 0")
    if isinstance(model.energy, MatrixEnergy) and not model.energy.softness(model.size) > 0.0:
        raise InvalidValue(
            f"energy = {model.energy.kind!r}: it does not confine all of W, and there is no equilibrium; use simulate, "
            "or add confinement"
        )
    laws.trace(model.changed(energy="quadratic"))  # refuses infinite depth above the threshold
    if isinstance(model, DeepLinearNetwork) and state_row(run).coordinates == "sigma" and model.depth > 1:
        raise InvalidValue(
            "coordinates = 'sigma': at depths > 1 its steps visit the neighbourhood of 0 too rarely, and averages "
            "are wrong; use coordinates = 'lambda' for equilibrium, 'sigma' with simulate"
        )


@within_floating_point
def completed(run: RunType) -> RunType:
    """The run with everything filled in that was left open. Raises InvalidValue where it makes no sense.

    Only the step of a Metropolis-adjusted run, and what depends on it, is left open: it comes from a pilot run.
    """
    check(run)
    if isinstance(run, Equilibrium):
        check_equilibrium(run)
    row, model = state_row(run), run.model
    scheme = run.scheme or default_scheme(run)
    values: dict[str, object] = {"state": row.state, "coordinates": row.coordinates, "scheme": scheme}
    if run.start is None:
        values["start"] = "random"
    if isinstance(run, Simulation) and SCHEMES[scheme].needs_no_noise:
        values |= {"dt": run.dt or step_of_flow(run.times), "tolerance": run.tolerance or TOLERANCE}
    if run.leaps is None and run.dt is not None and scheme == "hmc":
        values["leaps"] = max(1, round(math.sqrt(run.dt / default_dt(model))))
    if isinstance(run, Equilibrium):
        adjusted = SCHEMES[scheme].adjusted
        if run.accuracy is None:
            best_dt, best_duration = default_dt(model), default_duration(model)
        else:
            best_dt, best_duration = _for_accuracy(run, run.accuracy)
        dt = run.dt or (None if adjusted else best_dt)
        duration = run.duration or best_duration
        values |= {"dt": dt, "duration": duration, "bins": run.bins or BINS}
        if run.burn_in is None:
            values["burn_in"] = default_burn_in(model) * (ADJUSTED_BURN_IN if adjusted else 1.0)
        if run.observations is None and dt is not None:
            wanted = OBSERVATIONS
            if run.accuracy is not None:  # a time average needs all that is independent
                wanted = max(wanted, math.ceil(2.0 * duration / time_unit(model)))
            most = max(1, int(min(wanted, duration / dt, MOST_OBSERVATIONS)))  # no step is observed twice
            values["observations"] = run.draws * math.ceil(most / run.draws)
    return run.changed(**values)
