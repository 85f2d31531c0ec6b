"""Sound values for what a user leaves open, chosen from the model. They are functions of the description only.

The constants come from measurements with β = d, κ = 1, Leimkuhler–Matthews: at d = 64 and the step chosen here the
trace is biased by less than 1 % of its standard deviation, and the mean spacing ratio by less than 0.004, for depths
1 to 8; the trace forgets its past in less than one unit of time, the smallest singular values in a fraction of N units.
"""

import math
from typing import TypeVar

import numpy as np

from dlnmc import laws
from dlnmc.config import Equilibrium, Run
from dlnmc.engine import check, paper_time, state_row
from dlnmc.errors import InvalidValue
from dlnmc.models import DeepLinearNetwork, Model

RunType = TypeVar("RunType", bound=Run)

STEP = 0.05  # times the size of the model: a step in natural units of time
STIFFNESS = 0.1  # the largest step times the slope of the drift at the edge
BURN_IN = 4.0  # natural units of time, to which the depth is added
DURATION = 4.0
OBSERVATIONS = 64


def time_unit(model: Model) -> float:
    """The model's natural unit of time, in its own clock: with β = d it is 1 in the paper's clock.

    Under λ → c λ with c^{2N} = d/β the equation for β becomes that for β = d in time multiplied by c^{2N−2}.
    """
    if isinstance(model, DeepLinearNetwork):
        return float((model.beta / model.width) ** (1.0 - 1.0 / model.depth)) / paper_time(model)
    return 1.0


def default_dt(model: Model) -> float:
    """A step that resolves both the typical spacing of neighbours and the steepest part of the energy."""
    if not isinstance(model, DeepLinearNetwork):
        return min(STEP / (model.size * max(model.kappa, 1.0)), 0.1 * STEP)
    N, kappa = model.depth, max(model.kappa, 1.0)
    law = laws.singular_values(N)
    inner = np.exp(law.log_ppf([0.25, 0.75]) / N)
    spread = (inner[1] - inner[0]) / 0.8741  # of λ between its quartiles, in units of that at depth 1
    hotter = (N + 2.0 * kappa - 1.0) / (N + 1.0)  # mean of y = σ² over that for κ = 1
    spacing = STEP / model.width * N * spread**2 * hotter ** (1.0 / N) / kappa
    top = law.support[1] ** 2 * hotter * (1.0 + 3.0 * model.width ** (-2.0 / 3.0))
    slope = (2.0 * N - 1.0) * top ** (1.0 - 1.0 / N)
    return float(min(spacing, STIFFNESS / slope) * time_unit(model))


def default_burn_in(model: Model) -> float:
    """A time in which the slowest singular values forget a random start."""
    slowest = model.depth / min(model.kappa, 1.0) if isinstance(model, DeepLinearNetwork) else 1.0
    return (BURN_IN + slowest) * time_unit(model)


def completed(run: RunType) -> RunType:
    """The run with everything filled in that was left open. Raises InvalidValue where it makes no sense."""
    check(run)
    row, model = state_row(run), run.model
    values: dict[str, object] = {"state": row.state, "coordinates": row.coordinates}
    if run.scheme is None:
        values["scheme"] = "leimkuhler_matthews" if row.additive_noise else "milstein"
    if run.dt is None:
        values["dt"] = default_dt(model)
    if run.start is None:
        values["start"] = "random"
    if isinstance(run, Equilibrium):
        if isinstance(model, DeepLinearNetwork) and row.coordinates == "sigma" and model.depth > 1:
            raise InvalidValue(
                "coordinates = 'sigma': at depths > 1 its steps visit the neighbourhood of 0 too rarely, and averages "
                "are wrong; use coordinates = 'lambda' for equilibrium, 'sigma' with simulate"
            )
        if model.energy.kind == "none":
            raise InvalidValue("energy = 'none': free motion has no equilibrium; use simulate, or energy = 'quadratic'")
        if run.burn_in is None:
            values["burn_in"] = default_burn_in(model)
        if run.duration is None:
            values["duration"] = DURATION * time_unit(model)
        if run.observations is None:
            values["observations"] = run.draws * max(1, math.ceil(OBSERVATIONS / run.draws))
    return run.changed(**values)
