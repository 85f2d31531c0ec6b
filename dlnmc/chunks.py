"""A run as a list of chunks: which blocks of eight paths, and the one function that computes them.

A chunk's result depends on the description alone, not on the other chunks, on threads or on timing.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlnmc.config import Equilibrium, Run, Simulation
from dlnmc.engine import compiled_arguments, paper_time, scale, state_row
from dlnmc.errors import InvalidValue
from dlnmc.models import DysonBrownianMotion
from dlnmc.starts import noise_key, start_values
from dlnmc_kernels import driver
from dlnmc_kernels.lanes import WIDTH
from dlnmc_kernels.observables import SUMS
from dlnmc_kernels.ordering import ABSENT, ALIVE, STATUS, TALLY

Floats = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]

WORK_PER_CHUNK = 1.5e9  # in pair interactions: about a second
CHUNKS_PER_RUN = 32  # at least, if they are not too small
SMALLEST_WORK = 2e7
SAMPLES_PER_CHUNK = 2**23  # float64 values
BATCHES = 64  # at most, for error bars of histograms
MOST_STEPS = 2**47  # half of what the noise's counter can tell apart; a continued run begins after another's
CALL_SECONDS = 0.15  # of one kernel call: progress and Ctrl-C wait for it


class Member(NamedTuple):
    """One complete run of a sweep, and its start values if they were given."""

    run: Run
    given: Floats | None = None


class Chunk(NamedTuple):
    """Blocks [first_block, first_block + blocks) of a member."""

    member: int
    first_block: int
    blocks: int


class Schedule(NamedTuple):
    """The steps of a run: where it begins and ends, where it is observed, and which observations are kept."""

    first_step: int
    last_step: int
    observed_steps: NDArray[np.int64]
    draws: NDArray[np.int64]


def schedule(run: Run) -> Schedule:
    """The steps of a complete run. Times are rounded up to whole steps."""
    assert run.dt is not None
    first = run.first_step + (run.start == "zero")
    if isinstance(run, Simulation):
        observed = run.first_step + _steps(np.array(run.times), run.dt)
        if np.any(np.diff(observed) == 0):
            early = run.times[int(np.argmin(np.diff(observed)))]
            raise InvalidValue(f"times: {early:g} and the next fall on the same step of dt = {run.dt:g}")
        kept = np.arange(len(observed))
        return Schedule(first, int(observed[-1]), observed, kept)
    assert isinstance(run, Equilibrium)
    assert run.burn_in is not None
    assert run.duration is not None
    assert run.observations is not None
    parts = np.arange(1, run.observations + 1)
    observed = run.first_step + _steps(run.burn_in + parts * (run.duration / run.observations), run.dt)
    each = run.observations // run.draws
    kept = np.where(parts % each == 0, parts // each - 1, -1)
    return Schedule(first, int(observed[-1]), observed, kept if run.keep_samples else np.full_like(kept, -1))


def _steps(times: NDArray[np.floating[Any]], dt: float) -> NDArray[np.int64]:
    """Whole steps that cover the times; rounding errors of the quotient do not add a step."""
    with np.errstate(over="ignore"):
        quotient = times / dt * (1.0 - 1e-12) - 1e-12
    if quotient[-1] >= MOST_STEPS:
        raise InvalidValue(f"dt = {dt:g}: a time of {times[-1]:g} would take {quotient[-1]:.3g} steps (at most 2^47)")
    steps: NDArray[np.int64] = np.ceil(quotient).astype(np.int64)
    return steps


def bytes_of(run: Run) -> float:
    """The memory that the arrays of a finished run take, twice: the arrays of chunks and those of the whole."""
    kept = int(np.sum(schedule(run).draws >= 0)) * run.model.size
    bins = run.bins + 2 if isinstance(run, Equilibrium) else 0
    return 2.0 * 8.0 * (run.paths * (kept + SUMS + TALLY) + BATCHES * bins)


def blocks_of(run: Run) -> int:
    """The number of blocks of eight paths; the last may be partly empty."""
    return -(-run.paths // WIDTH)


def blocks_per_batch(run: Run) -> int:
    """Histogram counts are kept for each batch of this many blocks: a partition that depends on `paths` only."""
    return -(-blocks_of(run) // BATCHES)


def histogram_range(run: Run) -> tuple[float, float]:
    """The histogram's edges, in units of √(d/β): the support for κ = 1 and depth 1, with a margin for finite width."""
    margin = 1.0 + 1.5 * run.model.size ** (-2.0 / 3.0)
    radius = 2.0 * max(1.0, np.sqrt(run.model.kappa)) * margin
    return (-radius if isinstance(run.model, DysonBrownianMotion) else 0.0, radius)


def work_of_block(run: Run) -> float:
    """The cost of a block, in pair interactions; a component costs about as much as ten pairs."""
    size = run.model.size
    plan = schedule(run)
    return WIDTH * (size * (size - 1) / 2.0 + 10.0 * size) * max(plan.last_step - plan.first_step + 1, 1)


def plan_chunks(members: Sequence[Member]) -> list[Chunk]:
    """Cut every member into chunks of about equal cost; a function of the descriptions only."""
    costs = [work_of_block(member.run) for member in members]
    total = sum(cost * blocks_of(member.run) for cost, member in zip(costs, members, strict=True))
    target = max(min(WORK_PER_CHUNK, total / CHUNKS_PER_RUN), SMALLEST_WORK)
    chunks = []
    for index, (cost, member) in enumerate(zip(costs, members, strict=True)):
        kept = max(int(np.sum(schedule(member.run).draws >= 0)), 1) * member.run.model.size * WIDTH
        each = max(1, min(int(target / cost), SAMPLES_PER_CHUNK // max(kept, getattr(member.run, "bins", 1) + 2)))
        total_blocks = blocks_of(member.run)
        chunks += [Chunk(index, first, min(each, total_blocks - first)) for first in range(0, total_blocks, each)]
    return chunks


def prepared_call(member: Member, chunk: Chunk) -> tuple[Callable[[int, int], None], Arrays]:
    """The kernel call of a chunk, a function of (first step, step after the last), and the arrays that it updates.

    The arrays: `x`, `tally` and `sums` (block, row, 8), `counts` (block, bins + 2), `samples` (block, draw,
    component, 8).
    """
    run = member.run
    assert run.dt is not None
    model, scheme = compiled_arguments(run)
    plan = schedule(run)
    size, bins = run.model.size, run.bins if isinstance(run, Equilibrium) else 1
    low, high = (edge * scale(run.model) for edge in histogram_range(run))
    values = start_values(run, member.given, chunk.first_block, chunk.blocks)
    state = state_row(run).from_observed(run.model, values)
    path = np.arange(chunk.first_block * WIDTH, (chunk.first_block + chunk.blocks) * WIDTH).reshape(-1, WIDTH)
    arrays: dict[str, Any] = {
        "x": np.ascontiguousarray(state.reshape(chunk.blocks, WIDTH, size).transpose(0, 2, 1)),
        "tally": np.zeros((chunk.blocks, TALLY, WIDTH)),
        "sums": np.zeros((chunk.blocks, SUMS, WIDTH)),
        "counts": np.zeros((chunk.blocks, bins + 2), np.int64),
        "samples": np.full((chunk.blocks, int(plan.draws.max()) + 1, size, WIDTH), np.nan),
    }
    arrays["tally"][:, STATUS] = np.where(path < run.paths, ALIVE, ABSENT)
    arrays["samples"][:, plan.draws[plan.observed_steps < plan.first_step]] = 0.0  # before the first step from zero
    key, dt, bins_per_unit = noise_key(run.seed), run.dt * paper_time(run.model), bins / (high - low)

    def call(from_step: int, to_step: int) -> None:
        driver.run(
            model,
            scheme,
            key,
            dt,
            chunk.first_block,
            plan.first_step,
            from_step,
            to_step,
            plan.last_step,
            plan.observed_steps,
            plan.draws,
            low,
            bins_per_unit,
            *arrays.values(),
        )

    return call, arrays


def run_chunk(
    member: Member, chunk: Chunk, stopped: Callable[[], bool], advanced: Callable[[float], None]
) -> Arrays | None:
    """Compute a chunk; None if `stopped()` said so in between.

    `advanced` is called with the work done since its last call, in pair interactions. The result holds, by path:
    `samples` (path, draw, component), `sums` (path, SUMS), `tally` (path, TALLY); and `counts` (batch, bins + 2) of the
    batches that the chunk touches.
    """
    run, plan = member.run, schedule(member.run)
    call, arrays = prepared_call(member, chunk)
    n, end = plan.first_step, plan.last_step + 1
    work_per_step = work_of_block(run) * chunk.blocks / max(end - n, 1)
    steps = max(1, int(SMALLEST_WORK / work_per_step))
    while n < end:
        if stopped():
            return None
        began = time.perf_counter()
        to = min(end, n + steps)
        call(n, to)
        seconds = time.perf_counter() - began
        advanced(work_per_step * (to - n))
        steps = max(1, min(int((to - n) * CALL_SECONDS / max(seconds, 1e-6)), 8 * steps))
        n = to
    present = arrays["tally"][:, STATUS].ravel() != ABSENT
    by_path = {name: np.moveaxis(arrays[name], -1, 1) for name in ("samples", "sums", "tally")}
    result: Arrays = {name: a.reshape(len(present), *a.shape[2:])[present] for name, a in by_path.items()}
    return result | {"counts": _by_batch(arrays["counts"], chunk.first_block, blocks_per_batch(run))}


def _by_batch(counts: NDArray[np.int64], first_block: int, each: int) -> NDArray[np.int64]:
    """Sum the counts of a chunk's blocks by batch: the batches that it touches, in order."""
    batch = (np.arange(first_block, first_block + len(counts))) // each
    out = np.zeros((batch[-1] - batch[0] + 1, counts.shape[1]), np.int64)
    np.add.at(out, batch - batch[0], counts)
    return out


def join_chunks(run: Run, chunks: Sequence[Chunk], results: Sequence[Arrays]) -> Arrays:
    """The arrays of a whole member from those of its chunks, given in path order."""
    each = blocks_per_batch(run)
    bins = results[0]["counts"].shape[1]
    counts = np.zeros((-(-blocks_of(run) // each), bins), np.int64)
    for chunk, result in zip(chunks, results, strict=True):
        first = chunk.first_block // each
        counts[first : first + len(result["counts"])] += result["counts"]
    joined: Arrays = {name: np.concatenate([r[name] for r in results]) for name in ("samples", "sums", "tally")}
    return joined | {"counts": counts}
