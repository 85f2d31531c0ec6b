"""The step of a Metropolis-adjusted run, from a short run of paths 0 … 63 on a random stream of their own.

It depends on the description of the run only, and neither on the number of paths nor on threads; it is recorded.
"""

import math

import numpy as np

from dlnmc.chunks import Chunk, Floats, Member, prepared_call, schedule
from dlnmc.config import Equilibrium
from dlnmc.defaults import default_dt, default_leaps, stiff_dt, within_floating_point
from dlnmc_kernels.lanes import WIDTH
from dlnmc_kernels.ordering import ACCEPTED
from dlnmc_kernels.philox import PILOT

ACCEPTANCE = {"mala": 0.574, "hmc": 0.7}  # near the best in many dimensions: 0.574 and 0.651 (Beskos et al. 2013)
BLOCKS = 8
ROUNDS = 32
LEAPS = 32  # in a round, at least
STEPS = 10  # of the run that is prepared, at least
STIFF = 20.0  # times the time in which the energy pulls back: with longer steps paths get stuck far out


@within_floating_point
def adapted(run: Equilibrium, given: Floats | None) -> Equilibrium:
    """The run with the step, and number of leaps, at which proposals are accepted as often as they should be."""
    assert run.scheme is not None
    first = default_dt(run.model)
    largest = max(1.0, STIFF * stiff_dt(run.model) / first)
    factor, factors, x, step = 1.0, [], None, 0
    for index in range(ROUNDS):
        few = _with_leap(run, first * factor)
        assert few.dt is not None
        steps = -(-LEAPS // (few.leaps or 1))
        settings = {"burn_in": 0.0, "duration": steps * few.dt, "observations": 1, "draws": 1, "bins": None}
        few = few.changed(**settings, paths=BLOCKS * WIDTH, keep_samples=False, first_step=step)
        call, state, _ = prepared_call(Member(few, given), Chunk(0, 0, BLOCKS), stream=PILOT)
        if x is not None:
            state.x[...] = x
        plan = schedule(few)
        call(plan.first_step, plan.last_step + 1)
        x, step = state.x.copy(), plan.last_step + 1
        acceptance = float(np.mean(state.tally[:, ACCEPTED])) / steps
        factor *= float(np.exp(4.0 * (acceptance - ACCEPTANCE[run.scheme]) / np.sqrt(1.0 + index)))
        factor = min(factor, largest)
        factors.append(factor)
    settled = float(np.exp(np.mean(np.log(factors[ROUNDS // 2 :]))))
    return _with_leap(run, float(f"{first * settled:.2g}"))


def _with_leap(run: Equilibrium, leap: float) -> Equilibrium:
    """The run with leaps of this much time, as many in a step as they should be, or as were asked for.

    A run of given length has at least `STEPS` steps.
    """
    assert run.burn_in is not None
    assert run.duration is not None
    longest = (run.burn_in + run.duration) / STEPS
    leap = min(leap, longest / (run.leaps or 1) ** 2)
    if run.scheme != "hmc":
        return run.changed(dt=leap)
    leaps = run.leaps or max(1, int(min(default_leaps(run.model, leap), math.sqrt(longest / leap))))
    return run.changed(dt=leap * leaps**2, leaps=leaps)
