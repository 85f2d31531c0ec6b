"""Sound values for what a user leaves open, chosen from the model.

They are functions of the description only. The numbers come from measurements: see `docs/defaults.md`.
"""

import math
from typing import TypeVar

from dlnmc.config import Equilibrium, Run
from dlnmc.engine import check, paper_time, state_row
from dlnmc.errors import InvalidValue
from dlnmc.models import DeepLinearNetwork, Model

RunType = TypeVar("RunType", bound=Run)


def time_unit(model: Model) -> float:
    """The model's natural unit of time, in its own clock: with β = d it is 1 in the paper's clock.

    Under λ → c λ with c^{2N} = d/β the equation for β becomes that for β = d in time multiplied by c^{2N−2}.
    """
    if isinstance(model, DeepLinearNetwork):
        return (model.beta / model.width) ** (1.0 - 1.0 / model.depth) / paper_time(model)
    return 1.0


def default_dt(model: Model) -> float:
    return 0.064 / model.size * time_unit(model)


def completed(run: RunType) -> RunType:
    """The run with everything filled in that was left open. Raises InvalidValue where no sound value exists."""
    check(run)
    row = state_row(run)
    values: dict[str, object] = {"state": row.state, "coordinates": row.coordinates}
    model = run.model
    if run.scheme is None:
        values["scheme"] = "leimkuhler_matthews" if row.additive_noise else "milstein"
    if run.dt is None:
        values["dt"] = default_dt(model)
    if run.start is None:
        values["start"] = "random"
    if isinstance(run, Equilibrium):
        if model.energy.kind == "none":
            raise InvalidValue("energy = 'none': free motion has no equilibrium; use simulate, or energy = 'quadratic'")
        if run.burn_in is None:
            values["burn_in"] = 5.0 * time_unit(model)
        if run.duration is None:
            values["duration"] = 5.0 * time_unit(model)
        if run.observations is None:
            values["observations"] = run.draws * max(1, math.ceil(64 / run.draws))
    return run.changed(**values)
