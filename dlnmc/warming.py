"""Compiling all kernels ahead of time."""

from collections.abc import Iterator
from typing import Any

from tqdm.auto import tqdm

from dlnmc.chunks import Chunk, Member, run_chunk
from dlnmc.config import Run, Simulation
from dlnmc.defaults import completed
from dlnmc.engine import SCHEMES, STATES
from dlnmc.models import DeepLinearNetwork, DysonBrownianMotion, Model

SMALL: dict[type, Model] = {
    DeepLinearNetwork: DeepLinearNetwork(width=2, depth=2.0, beta=2.0),
    DysonBrownianMotion: DysonBrownianMotion(size=2, beta=2.0),
}
SHORT: dict[str, Any] = {"paths": 1, "dt": 1e-3, "times": (2e-3,)}


def runs() -> Iterator[Run]:
    """A tiny run for every state and scheme, and one that starts at 0."""
    for row in STATES:
        for name, scheme in SCHEMES.items():
            if row.additive_noise or not scheme.needs_additive_noise:
                choice: dict[str, Any] = {"state": row.state, "coordinates": row.coordinates, "scheme": name}
                yield Simulation(model=SMALL[row.model], **choice, **SHORT)
    yield Simulation(model=SMALL[DysonBrownianMotion], start="zero", scheme="euler_maruyama", **SHORT)


def warm_up(progress: bool = False) -> int:
    """Compile every kernel, or load it from the cache; returns how many runs that took."""
    listed = [completed(run) for run in runs()]
    for run in tqdm(listed, desc="compiling kernels", unit="kernel", disable=not progress):
        run_chunk(Member(run), Chunk(0, 0, 1), lambda: False, lambda work: None)
    return len(listed)
