"""Compiling all kernels ahead of time."""

from tqdm.auto import tqdm

from dlnmc.chunks import Chunk, Member, run_chunk
from dlnmc.config import Equilibrium
from dlnmc.defaults import completed
from dlnmc.engine import SCHEMES, STATES
from dlnmc.models import DeepLinearNetwork, DysonBrownianMotion, Model
from dlnmc_kernels import driver


def warm_up(progress: bool = False) -> int:
    """Compile every kernel for every state and scheme, or load it from the cache; returns how many there are."""
    runs = []
    for row in STATES:
        model: Model = (
            DeepLinearNetwork(width=2, depth=2.0, beta=2.0)
            if row.model is DeepLinearNetwork
            else DysonBrownianMotion(size=2, beta=2.0)
        )
        for name, scheme in SCHEMES.items():
            if row.additive_noise or not scheme.needs_additive_noise:
                run = Equilibrium(model=model, paths=1, dt=1e-3, burn_in=0.0, duration=1e-3, observations=1, scheme=name,
                                  state=row.state, coordinates=row.coordinates)  # fmt: skip
                runs.append(completed(run))
    for run in tqdm(runs, desc="compiling kernels", unit="kernel", disable=not progress):
        run_chunk(Member(run), Chunk(0, 0, 1), lambda: False, lambda work: None)
    return len(getattr(driver.run, "signatures", runs))
