"""Speed of the kernels: normals, path steps and pair interactions per second, the best of several short runs."""

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from dlnmc.chunks import Chunk, Member, prepared_call, schedule
from dlnmc.config import Equilibrium
from dlnmc.defaults import completed
from dlnmc.executors import thread_count
from dlnmc.models import DeepLinearNetwork, DysonBrownianMotion, Model
from dlnmc.starts import noise_key
from dlnmc_kernels import driver
from dlnmc_kernels.lanes import WIDTH
from dlnmc_kernels.philox import DYNAMICS

SIZES = (8, 32, 64, 128)
DEPTHS = (2, 8)
SECONDS = 0.12  # of one measurement
REPETITIONS = 3
BLOCKS = 4


def measure(threads: int | None = None) -> dict[str, Any]:
    """Everything that `dlnmc bench --json` prints. A pair is one unordered pair in one step of one path."""
    counts = sorted({1, thread_count(threads)})
    kernels = [row(model, scheme, count) for model, scheme in cases() for count in counts]
    return {"normals_per_second": normals_per_second(), "kernels": kernels}


def cases() -> list[tuple[Model, str]]:
    """The models and schemes that are measured."""
    listed: list[tuple[Model, str]] = [(DysonBrownianMotion(size=n, beta=float(n)), "euler_maruyama") for n in SIZES]
    listed += [
        (DeepLinearNetwork(width=n, depth=float(depth), beta=float(n)), "euler_maruyama")
        for depth in DEPTHS
        for n in SIZES
    ]
    return listed


def normals_per_second() -> float:
    """Standard normals of one thread, written to memory that stays in cache."""
    out = np.empty((2, 1024, WIDTH))
    return _best(lambda: driver.normals(noise_key(0), DYNAMICS, 0, 0, out), out.size)


def row(model: Model, scheme: str, threads: int) -> dict[str, Any]:
    """One row of the table: whole steps, with noise, ordering and streaming statistics every 64 steps."""
    steps = _steps_for(model, scheme)
    calls = [_call(model, scheme, steps, first_block=BLOCKS * thread) for thread in range(threads)]
    rate = _best(lambda: _side_by_side(calls), steps * BLOCKS * WIDTH * threads)
    size = model.size
    return {
        "model": "dyson" if isinstance(model, DysonBrownianMotion) else "dln",
        "state": "eigenvalues" if isinstance(model, DysonBrownianMotion) else "singular_values",
        "size": size,
        "depth": getattr(model, "depth", None),
        "scheme": scheme,
        "threads": threads,
        "path_steps_per_second": rate,
        "pairs_per_second": rate * size * (size - 1) / 2,
    }


def _call(model: Model, scheme: str, steps: int, first_block: int) -> Callable[[], object]:
    """A function that carries `BLOCKS` blocks through `steps` steps."""
    dt = completed(Equilibrium(model=model)).dt
    assert dt is not None
    run = completed(
        Equilibrium(
            model=model,
            paths=(first_block + BLOCKS) * WIDTH,
            scheme=scheme,
            burn_in=0.0,
            duration=steps * dt,
            dt=dt,
            observations=max(1, steps // 64),
        )
    )
    call, _ = prepared_call(Member(run), Chunk(0, first_block, BLOCKS))
    plan = schedule(run)
    return lambda: call(plan.first_step, plan.last_step)


def _steps_for(model: Model, scheme: str) -> int:
    """Steps that take about `SECONDS`."""
    steps = 64
    call = _call(model, scheme, steps, 0)
    call()
    began = time.perf_counter()
    call()
    return max(64, int(steps * SECONDS / (time.perf_counter() - began)))


def _side_by_side(calls: list[Callable[[], object]]) -> None:
    workers = [threading.Thread(target=call) for call in calls[1:]]
    for worker in workers:
        worker.start()
    calls[0]()
    for worker in workers:
        worker.join()


def _best(call: Callable[[], object], units: float) -> float:
    """Units per second, the best of several repetitions of about `SECONDS`."""
    call()
    best = 0.0
    for _ in range(REPETITIONS):
        began, repeats = time.perf_counter(), 0
        while time.perf_counter() - began < SECONDS:
            call()
            repeats += 1
        best = max(best, units * repeats / (time.perf_counter() - began))
    return best


def as_text(result: dict[str, Any]) -> str:
    """The measurements as a table."""
    lines = [f"normals  {result['normals_per_second'] / 1e6:.0f} M/s", ""]
    lines.append(f"{'model':8}{'size':>6}{'depth':>7}{'threads':>9}{'path steps/s':>16}{'pairs/s':>12}")
    for kernel in result["kernels"]:
        depth = "–" if kernel["depth"] is None else f"{kernel['depth']:g}"
        lines.append(
            f"{kernel['model']:8}{kernel['size']:>6}{depth:>7}{kernel['threads']:>9}"
            f"{kernel['path_steps_per_second']:>16.3g}{kernel['pairs_per_second'] / 1e9:>10.2f} G"
        )
    return "\n".join(lines)
