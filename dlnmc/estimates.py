"""Before a run starts: how long it will take, measured in about a second, and what it needs of memory and disk.

Nothing here grows with the number of paths, so that any number may be asked about; refusals name one that fits.
"""

import itertools
import shutil
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlnmc import machine
from dlnmc.chunks import (
    BATCHES,
    WORK_PER_CHUNK,
    Chunk,
    Costs,
    Member,
    blocks_of,
    blocks_per_chunk,
    costs_of,
    prepared_call,
    schedule,
)
from dlnmc.config import Run, Simulation
from dlnmc.engine import SCHEMES, state_row, sums_are_fast
from dlnmc.errors import InvalidValue
from dlnmc.executors import Executor, name_of, thread_count
from dlnmc.models import DeepLinearNetwork, DysonBrownianMotion
from dlnmc_kernels.lanes import WIDTH

SECONDS = 1.0  # of measuring, in all
MEASURED = 8  # members that run alike, at most; the others go at the rate of the next of these
PIECES = 8  # of a run, from its first step to its last, are measured: observations are met as often as they occur
MOST_BLOCKS = 64
LONGEST = 0.25  # of the time of measuring: what one step may take, about, or a smaller model stands for the run

STARTING = 6  # times its state: what a chunk takes while its start is drawn
SCHEDULES = 12  # arrays of as many numbers as there are observations, in a chunk that runs
BUFFERS = 2**26  # bytes that libraries take while a result is made and written
PROCESS = 2**28  # bytes of a process of its own, before it computes anything
CHUNK_FILE = 2**13  # bytes of names and headers, rounded up to whole blocks of a disk
RESULT_FILE = 2**20  # the same for a result

TIMES = (("days", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 0.0))  # and from how many seconds on
GIB = 2**30


Needed = Callable[[Sequence[Costs], Sequence[int]], float]


class Estimate(NamedTuple):
    """What is about to be computed, how long it will take about, and the memory and disk it needs at most, in bytes."""

    runs: int
    paths: int
    threads: int
    steps: int  # of all paths
    work: float  # in pair interactions
    seconds: float
    memory: float
    disk: float

    def as_text(self) -> str:
        """One line."""
        runs, threads = (_counted(*named) for named in ((self.runs, "run"), (self.threads, "thread")))
        return (
            f"{runs}, {_counted(self.paths, 'path')}, {self.steps:.2g} path steps: about {_time(self.seconds)} on "
            f"{threads}, {_size(self.memory)} of memory, {_size(self.disk)} of disk"
        )


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _time(seconds: float) -> str:
    """A time with two digits."""
    unit, least = next((unit, least) for unit, least in TIMES if seconds >= least)
    return f"{float(f'{seconds / (least or 1.0):.2g}'):,.12g} {unit}"


def _size(count: float) -> str:
    """A number of bytes with three digits."""
    for unit in ("kiB", "MiB", "GiB"):
        count /= 1024.0
        if count < 999.5:
            return f"{count:.3g} {unit}"
    return f"{float(f'{count / 1024.0:.3g}'):,.12g} TiB"


def estimate(
    members: Sequence[Member],
    threads: int | None = None,
    done: float = 0.0,
    executor: Executor = None,
    whole: bool = True,
) -> Estimate:
    """What the runs will take on so many threads, of which work `done`, in pair interactions, is there already.

    `whole` tells whether the result is made here, or only chunks for it.

    The rate of each member is measured from its start on, about a second in all, beside the time in which kernels are
    compiled or loaded. Steps that adapt to their paths may later be longer or shorter.
    """
    count = thread_count(threads)
    costs, paths = _asked(members)
    blocks = [blocks_of(member.run) for member in members]
    work = [cost.work * own for cost, own in zip(costs, blocks, strict=True)]
    each = [int(size) for size in blocks_per_chunk(costs, blocks)]
    working = min(count, machine.processors(), sum(-(-own // size) for size, own in zip(each, blocks, strict=True)))
    seconds = sum(own / rate for own, rate in zip(work, _rates(members, costs, each, working), strict=True))
    left = max(1.0 - done / sum(work), 0.0)
    steps = sum(cost.steps * own for cost, own in zip(costs, paths, strict=True))
    needed = _memory_of(members, count, executor, whole)(costs, paths), _disk(costs, paths)
    return Estimate(len(members), sum(paths), count, steps, sum(work), left * seconds, *needed)


def _asked(members: Sequence[Member]) -> tuple[list[Costs], list[int]]:
    """The costs and the paths of all members."""
    return [_with_ends(costs_of(member.run)) for member in members], [member.run.paths for member in members]


def _with_ends(cost: Costs) -> Costs:
    """The costs with where paths end, which studies keep."""
    return cost._replace(path=cost.path + cost.end, written=cost.written + cost.end)


# --- time -------------------------------------------------------------------------------------------------------------


def _rates(members: Sequence[Member], costs: Sequence[Costs], each: Sequence[int], threads: int) -> list[float]:
    """Pair interactions in a second of so many threads at once, by member.

    Measured of few: members that run alike are taken in the order of the work of a step. What steps that adapt to
    their paths take depends on the times and the tolerance too.
    """
    alike: dict[Hashable, list[int]] = {}
    for index in sorted(range(len(members)), key=lambda index: (_work_of_step(costs[index]), costs[index].work)):
        run = members[index].run
        adapting = (run.times, run.tolerance) if isinstance(run, Simulation) else ()
        alike.setdefault((state_row(run), run.scheme, run.model.energy.kind, *adapting), []).append(index)
    nearest: dict[int, int] = {}  # of those measured, by member
    for order in alike.values():
        few = np.unique(np.linspace(0, len(order) - 1, MEASURED).round().astype(int))
        nearest |= {index: order[few[np.argmin(np.abs(few - k))]] for k, index in enumerate(order)}
    rates, measured = {}, set(nearest.values())
    with ThreadPoolExecutor(threads) as pool:
        for index in measured:
            one = members[index], each[index], SECONDS / len(measured)
            rates[index] = sum(pool.map(lambda _, one=one: _rate(*one), range(threads)))
    return [rates[nearest[index]] for index in range(len(members))]


def _work_of_step(cost: Costs) -> float:
    return cost.work / cost.steps


def _rate(member: Member, blocks: int, seconds: float) -> float:
    """Pair interactions that a thread does in a second, from pieces of the run that are spread over its time."""
    member = _light(member, seconds)
    run = member.run.changed(keep_samples=False)
    cost, first = costs_of(run), schedule(run).first_step
    by_step = _work_of_step(cost)
    at_once = LONGEST * seconds * WORK_PER_CHUNK / PIECES
    blocks = max(1, min(blocks, blocks_of(run), MOST_BLOCKS, int(at_once / by_step)))
    call, _, _ = prepared_call(member._replace(run=run, continued=None), Chunk(0, 0, blocks))
    call(first, first)  # compiles
    call(first, first + 1)  # and what is compiled when it is first used
    pieces = 1 if SCHEMES[str(run.scheme)].needs_no_noise else PIECES  # a flow has to go through all that is before
    steps, spent, last = 0, 0.0, 0.0
    bounds = [first + k * cost.steps // pieces for k in range(pieces + 1)]
    for piece, (at, end) in enumerate(itertools.pairwise(bounds), 1):
        more = 1
        while at < end and spent < seconds * piece / pieces:
            to = min(end, at + more)
            began = time.perf_counter()
            call(at, to)
            last = (time.perf_counter() - began) / (to - at)
            spent, steps, at, more = spent + last * (to - at), steps + to - at, to, 2 * more
    if pieces == 1:  # it goes on as it went last
        return by_step * blocks * cost.steps / (spent + last * (cost.steps - steps))
    return by_step * blocks * steps / spent


def _light(member: Member, seconds: float) -> Member:
    """The member, or one of fewer leaps, or fewer components, of which a step does not take too long to be measured."""
    run, given = member.run, member.given
    while _step_of_block(run) > LONGEST * seconds * WORK_PER_CHUNK:
        if run.leaps is not None and run.leaps > 1:
            run = run.changed(leaps=run.leaps // 2)
        elif run.model.size > 1 and run.model.energy.invariant and not sums_are_fast(run):
            name = "size" if isinstance(run.model, DysonBrownianMotion) else "width"
            run = run.changed(model=run.model.changed(**{name: run.model.size // 2}))
            if given is not None and not state_row(run).whole:
                given = given[..., : run.model.size]
            elif given is not None:
                given, run = None, run.changed(start="random" if name == "size" else "gaussian")
        else:
            break
    return member._replace(run=run, given=given)


def _step_of_block(run: Run) -> float:
    """The work of one step of a block, in pair interactions, with one evaluation of the drift."""
    cost = costs_of(run)
    return _work_of_step(cost) / SCHEMES[str(run.scheme)].evaluations


# --- memory and disk --------------------------------------------------------------------------------------------------


def _memory_of(members: Sequence[Member], threads: int, executor: Executor, whole: bool) -> Needed:
    """Bytes of memory that runs need on this machine, as a function of their costs and paths."""
    kind = name_of(executor)
    handed = sum(array.nbytes for member in members for array in _given(member))
    here = 1 if kind == "dask" else threads
    processes = threads * (PROCESS + handed) if kind == "processes" else 0.0

    def needed(costs: Sequence[Costs], paths: Sequence[int]) -> float:
        statuses = 8.0 * sum(paths)
        return processes + statuses + _working(costs, paths, here) + (_result(costs, paths) if whole else 0.0)

    return needed


def _given(member: Member) -> list[NDArray[np.float64]]:
    """The arrays that a member brings along."""
    found = [] if member.given is None else [member.given]
    return found if member.continued is None else [*found, *member.continued.arrays.values()]


def _result(costs: Sequence[Costs], paths: Sequence[int]) -> float:
    """Bytes of the results of all runs, and of the tree made of them.

    The members of a sweep are padded to equal shapes, and put together along one parameter after the other.
    """
    results = sum(cost.path * own + BATCHES * cost.batch for cost, own in zip(costs, paths, strict=True))
    averaging = 2.0 * max(cost.averages * own for cost, own in zip(costs, paths, strict=True))
    copies = 2 * len(costs) if len(costs) > 1 else 1
    tree = copies * max(cost.written * own + BATCHES * cost.batch for cost, own in zip(costs, paths, strict=True))
    return results + averaging + tree


def _working(costs: Sequence[Costs], paths: Sequence[int], threads: int) -> float:
    """Bytes of the work itself: chunks that run, as many that are finished and wait, one that is written or read."""
    blocks = [-(-own // WIDTH) for own in paths]
    each = blocks_per_chunk(costs, blocks)

    def at_once(chunks: int, bytes_of_block: Sequence[int]) -> float:
        """Bytes of so many chunks at once, but of no more than there are."""
        one = max(min(size, own) * by for size, own, by in zip(each, blocks, bytes_of_block, strict=True))
        return min(chunks * one, sum(own * by for own, by in zip(blocks, bytes_of_block, strict=True)))

    kept = at_once(threads + 1, [WIDTH * cost.path + cost.batch for cost in costs])
    states = at_once(threads, [WIDTH * cost.end for cost in costs])
    schedules = 8.0 * threads * max(cost.events for cost in costs)
    return BUFFERS + 3.0 * kept + STARTING * states + SCHEDULES * schedules


def _disk(costs: Sequence[Costs], paths: Sequence[int]) -> float:
    """Bytes on disk: the files of all chunks, and beside them the result, as if nothing could be compressed."""
    blocks = [-(-own // WIDTH) for own in paths]
    needed = float(RESULT_FILE)
    for cost, own, own_blocks, each in zip(costs, paths, blocks, blocks_per_chunk(costs, blocks), strict=True):
        files = min(own_blocks, 1 + int(2 * own_blocks / each))  # a number of blocks is at least half of what it was
        batches = min(BATCHES, own_blocks) + files  # those that two chunks share are in both
        needed += own * (cost.path + cost.written) + (batches + BATCHES) * cost.batch + files * CHUNK_FILE
    return needed


def refuse_more_than_memory(
    members: Sequence[Member], threads: int, executor: Executor = None, whole: bool = True
) -> None:
    """Raise InvalidValue where runs on so many threads need more memory than this process may have.

    `whole` tells whether the result is made here, or only chunks for it.
    """
    needed = _memory_of(members, threads, executor, whole)
    _refuse(members, needed, machine.memory(), "the results" if whole else "the chunks at work", "of memory")


def refuse_more_than_disk(members: Sequence[Member], folder: Path, written: int = 0) -> None:
    """Raise InvalidValue where the result of a study and its parts do not fit on the disk that the folder is on.

    So many bytes of the parts are written already. Quotas of users are not seen.
    """
    folder = folder.absolute()
    there = next(place for place in (folder, *folder.parents) if place.exists())
    disk = shutil.disk_usage(there)
    if disk.total:  # else it is no place for files, which writing will tell
        _refuse(members, _disk, disk.free + written, "the result and its parts", f"free at {there}")


def _refuse(members: Sequence[Member], needed: Needed, there: float, what: str, where: str) -> None:
    """Raise InvalidValue where more bytes are needed than there are, with the settings that would fit."""
    costs, paths = _asked(members)
    if (bytes_needed := needed(costs, paths)) <= there:
        return
    asked = max(paths)

    def most(of: Sequence[Costs]) -> int:
        """The number of paths that fits, rounded down to two digits."""
        low, high = 0, asked + 1
        while high - low > 1:
            middle = (low + high) // 2
            fits = needed(of, [min(own, middle) for own in paths]) <= there
            low, high = (middle, high) if fits else (low, middle)
        unit = 10 ** max(len(str(low)) - 2, 0)
        return low if low == asked else low // unit * unit

    kept = any(member.run.keep_samples for member in members)
    fitting = most(costs)
    without = [member.run.changed(keep_samples=False) for member in members]
    unkept = most([_with_ends(costs_of(run)) for run in without]) if kept else 0
    settings = [f"paths = {fitting} would fit"] if fitting else []
    if unkept == asked:
        settings.append("keep_samples = false" if fitting else "keep_samples = false would fit")
    elif unkept > fitting:
        settings.append(f"with keep_samples = false paths = {unkept}" + ("" if fitting else " would fit"))
    advice = ", or ".join(settings) or f"not even one path would fit; take {_smaller(members)}"
    raise InvalidValue(
        f"paths = {asked}: {what} would take {bytes_needed / GIB:.3g} GiB, and there are {there / GIB:.3g} GiB "
        f"{where}; {advice}"
    )


def _smaller(members: Sequence[Member]) -> str:
    """What else makes runs smaller."""
    run = members[0].run
    settings = [("fewer times" if isinstance(run, Simulation) else "fewer draws or observations", True)]
    settings += [("fewer bins", run.bins is not None), ("keep_samples = false", run.keep_samples)]
    settings += [("a smaller " + ("width" if isinstance(run.model, DeepLinearNetwork) else "size"), True)]
    return " or ".join(text for text, possible in settings if possible)
