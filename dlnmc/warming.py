"""Compiling all kernels ahead of time, but for those of matrix energies other than quadratic."""

import math
from collections.abc import Iterator
from typing import Any

from tqdm.auto import tqdm

from dlnmc.chunks import Chunk, Member, run_chunk
from dlnmc.config import Equilibrium, Run, Simulation
from dlnmc.defaults import completed
from dlnmc.engine import SCHEMES, STATES, fits
from dlnmc.ensembles import blocks
from dlnmc.models import DeepLinearNetwork, DysonBrownianMotion, Model
from dlnmc_kernels.philox import EXACT

SMALL: tuple[Model, ...] = (  # at depth 1 all coordinates have an equilibrium
    DeepLinearNetwork(width=2, depth=1.0, beta=2.0),
    DeepLinearNetwork(width=2, depth=math.inf, beta=2.0, kappa=0.1),
    DysonBrownianMotion(size=2, beta=2.0),
)
SHORT: dict[str, Any] = {"paths": 1, "dt": 1e-3, "burn_in": 0.0, "duration": 2e-3}


def runs() -> Iterator[Run]:
    """A tiny run for every state and scheme, and one that starts at 0."""
    for model in SMALL:
        for row in STATES:
            if isinstance(model, row.model) and row.serves(model):
                for name in SCHEMES:
                    choice: dict[str, Any] = {"coordinates": row.coordinates, "scheme": name}
                    if fits(row, name) and SCHEMES[name].needs_no_noise:
                        cold = model.changed(kappa=0.0, beta=math.inf if row.state == "network" else model.beta)
                        start = "gaussian" if row.whole else "random"
                        yield Simulation(model=cold, start=start, paths=1, times=(1e-3,), **choice)
                    elif fits(row, name):
                        yield Equilibrium(model=model, **choice, **SHORT)
    yield Equilibrium(model=SMALL[-1], start="zero", scheme="euler_maruyama", **SHORT)


def draws() -> Iterator[Model]:
    """A model for every kernel of exact draws."""
    yield DysonBrownianMotion(size=2, beta=2.0)
    yield DeepLinearNetwork(width=2, depth=1.0, beta=2.0)


def warm_up(progress: bool = False) -> int:
    """Compile every kernel, or load it from the cache; returns how many runs that took."""
    listed = [completed(run) for run in runs()]
    for run in tqdm(listed, desc="compiling kernels", unit="kernel", disable=not progress):
        run_chunk(Member(run), Chunk(0, 0, 1), lambda: False, lambda work: None)
    for model in draws():
        blocks(model, None, 0, EXACT, 0, 1)
    return len(listed)
