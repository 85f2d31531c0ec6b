"""The step of a Metropolis-adjusted run, from a short run of paths 0 … 63 on a random stream of their own.

It depends on the description of the run only, and neither on the number of paths nor on threads; it is recorded.
"""

import numpy as np

from dlnmc.chunks import Chunk, Floats, Member, prepared_call, schedule
from dlnmc.config import Equilibrium
from dlnmc.defaults import default_dt
from dlnmc_kernels.lanes import WIDTH
from dlnmc_kernels.ordering import ACCEPTED
from dlnmc_kernels.philox import PILOT

ACCEPTANCE = 0.574  # best for diffusion in many dimensions (Roberts and Rosenthal 1998)
BLOCKS = 8
ROUNDS, STEPS = 40, 32
LARGEST = 1e3  # times the default step: small systems would accept any


def adapted_step(run: Equilibrium, given: Floats | None) -> float:
    """The time step at which proposals are accepted as often as they should be, to two digits."""
    first = default_dt(run.model)
    factor, factors, x = 1.0, [], None
    for index in range(ROUNDS):
        dt = first * factor
        settings = {"dt": dt, "burn_in": 0.0, "duration": STEPS * dt, "observations": 1, "draws": 1, "bins": None}
        settings |= {"paths": BLOCKS * WIDTH, "keep_samples": False, "first_step": index * 2 * STEPS}
        few = run.changed(**settings)
        call, state, _ = prepared_call(Member(few, given), Chunk(0, 0, BLOCKS), stream=PILOT)
        if x is not None:
            state.x[...] = x
        plan = schedule(few)
        call(plan.first_step, plan.last_step + 1)
        x = state.x.copy()
        acceptance = float(np.mean(state.tally[:, ACCEPTED])) / (plan.last_step - plan.first_step)
        factor = min(factor * float(np.exp(4.0 * (acceptance - ACCEPTANCE) / np.sqrt(1.0 + index))), LARGEST)
        factors.append(factor)
    settled = np.exp(np.mean(np.log(factors[ROUNDS // 2 :])))
    return float(f"{first * settled:.2g}")
