"""A run as a list of chunks: which blocks of eight paths, and the one function that computes them.

A chunk's result depends on the description alone, not on the other chunks, on threads or on timing.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlnmc.config import Equilibrium, Run, Simulation
from dlnmc.defaults import equilibrium_radius
from dlnmc.engine import SCHEMES, compiled_arguments, kernel_time, noise_key, scale, state_row
from dlnmc.errors import InvalidValue
from dlnmc.matrices import form_of
from dlnmc.models import DysonBrownianMotion
from dlnmc.observables import Observable
from dlnmc.starts import start_rows
from dlnmc_kernels import driver
from dlnmc_kernels.lanes import WIDTH, aligned_rows
from dlnmc_kernels.observables import SUMS, measure
from dlnmc_kernels.ordering import ABSENT, ALIVE, STATUS, TALLY
from dlnmc_kernels.philox import DYNAMICS
from dlnmc_kernels.schemes import Noise

Floats = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]
Form = dict[str, tuple[tuple[int, ...], np.dtype[Any]]]  # of arrays: shapes and types by name

WORK_PER_CHUNK = 1.5e9  # in pair interactions: about a second
CHUNKS_PER_RUN = 32  # at least, if they are not too small
SMALLEST_WORK = 2e7
SAMPLES_PER_CHUNK = 2**20  # float64 values: those of a few chunks for each thread are kept beside the whole
BATCHES = 64  # at most, for error bars of histograms
MOST_STEPS = 2**47  # half of what the noise's counter can tell apart; a continued run begins after another's
CALL_SECONDS = 0.15  # of one kernel call: progress and Ctrl-C wait for it
STATE_SECONDS = 0.8  # between two states of a chunk that are kept
STATE_SHARE = 0.01  # of the time, at most, goes into keeping them
BEGUN = -1  # the first step of a schedule whose paths are on their way


class Continued(NamedTuple):
    """Where the paths of a shorter run ended, from which those of a longer one go on.

    They were observed so often, and not moved on from the last of these steps. `arrays` are those of `carried_shapes`,
    by path.
    """

    observations: int
    arrays: Arrays

    @property
    def paths(self) -> int:
        """How many there are."""
        return len(self.arrays["x"])

    def digest(self) -> str:
        """SHA-256 of all of it."""
        found = hashlib.sha256(str(self.observations).encode())
        for name, array in sorted(self.arrays.items()):
            found.update(f"{name}{array.shape}".encode() + array.astype("<f8").tobytes())
        return found.hexdigest()


class Member(NamedTuple):
    """One complete run of a sweep, its start values if they were given, and the functions it averages.

    Where it continues a shorter run, that one's paths go on from where they ended, and the others begin.
    """

    run: Run
    given: Floats | None = None
    observables: tuple[Observable, ...] = ()
    continued: Continued | None = None


class Chunk(NamedTuple):
    """Blocks [first_block, first_block + blocks) of a member.

    Of a member that continues another run, the blocks of paths that go on come first, then those of paths that begin:
    one that holds both kinds is counted, and computed, twice.
    """

    member: int
    first_block: int
    blocks: int


class Costs(NamedTuple):
    """What a run takes, whatever its number of paths."""

    steps: int  # of a path
    work: float  # of a block, in pair interactions
    path: int  # bytes that are kept of each path
    averages: int  # those among them that are no states
    written: int  # bytes of each path in the result, at most
    batch: int  # bytes of the counts of each batch of paths
    end: int  # bytes of where a path ends, its state and what is carried beside it; studies keep it
    values: int  # of a block in its largest array: they bound how many blocks a chunk has
    events: int  # steps that are observed


class Place(NamedTuple):
    """What a chunk is in the run: its first block as kernels count, its paths, its first step, and what it observes."""

    first_block: int
    paths: range
    first_step: int
    schedule: driver.Schedule
    slots: int  # of the whole run


def schedule(run: Run) -> driver.Schedule:
    """The steps of a complete run. Times are rounded up to whole steps."""
    assert run.dt is not None
    first = run.first_step + (run.start == "zero")
    if isinstance(run, Simulation):
        steps = run.first_step + _steps(np.array(run.times), run.dt)
        if np.any(np.diff(steps) == 0):
            early = run.times[int(np.argmin(np.diff(steps)))]
            raise InvalidValue(
                f"times: {early:g} and the next fall on the same step of dt = {run.dt:g}; give a smaller dt, or "
                "times that are farther apart"
            )
        kept, slots = np.arange(len(steps)), np.arange(len(steps))
        halves = np.zeros_like(steps)
    else:
        assert isinstance(run, Equilibrium)
        assert run.burn_in is not None
        assert run.duration is not None
        assert run.observations is not None
        parts = np.arange(1, run.observations + 1)
        steps = run.first_step + _steps(run.burn_in + parts * (run.duration / run.observations), run.dt)
        each = run.observations // run.draws
        kept = np.where(parts % each == 0, parts // each - 1, -1)
        early = run.observations // 2 if run.early is None else run.early
        slots, halves = np.zeros_like(steps), (parts > early).astype(np.int64)
    if not run.keep_samples:
        kept = np.full_like(kept, -1)
    if run.bins is None:
        slots = np.full_like(slots, -1)
    return driver.Schedule(first, int(steps[-1]), steps, kept, slots, halves)


def _steps(times: NDArray[np.floating[Any]], dt: float) -> NDArray[np.int64]:
    """Whole steps that cover the times; rounding errors of the quotient do not add a step."""
    with np.errstate(over="ignore"):
        quotient = times / dt * (1.0 - 1e-12) - 1e-12
    if quotient[-1] >= MOST_STEPS:
        raise InvalidValue(f"dt = {dt:g}: a time of {times[-1]:g} would take {quotient[-1]:.3g} steps (at most 2^47)")
    steps: NDArray[np.int64] = np.ceil(quotient).astype(np.int64)
    return steps


def costs_of(run: Run) -> Costs:
    """What a run takes, of which the times are complete. A component costs about as much as ten pairs."""
    plan, row, size = schedule(run), state_row(run), run.model.size
    scheme = SCHEMES[run.scheme or "euler_maruyama"]
    rows = row.rows(run.model)
    if row.whole:
        per_step = 3.0 * size * rows + 30.0 * size
    else:
        per_step = (size * (size - 1) / 2.0 + 10.0 * size) * (run.leaps or 1)
    steps = max(plan.last_step - plan.first_step + 1, 1)
    draws, by_draw = int(np.sum(plan.draws >= 0)), size + (rows if row.whole else 0)
    averages = 3 * (SUMS + len(run.observables)) + TALLY
    by_path = draws * by_draw + averages
    along = draws * (2 + (size**2 if row.whole else 0)) if scheme.needs_no_noise else 0  # energies, products of factors
    counted = _number(plan.slots) * ((run.bins or 0) + 2)
    return Costs(
        steps,
        WIDTH * per_step * scheme.evaluations * steps,
        8 * by_path,
        8 * averages,
        8 * (by_path + along),
        8 * counted,
        8 * (rows + row.memory(run.model) + scheme.memory(size)),
        max(max(draws, 1) * by_draw * WIDTH, counted),
        len(plan.steps),
    )


def place_of(member: Member, chunk: Chunk) -> Place:
    """What a chunk is in the run."""
    plan, run, done = schedule(member.run), member.run, member.continued
    before = 0 if done is None else done.paths  # paths that go on
    slots, beginning = _number(plan.slots), chunk.first_block - _blocks(before)
    if done is not None and beginning < 0:
        paths = range(chunk.first_block * WIDTH, min((chunk.first_block + chunk.blocks) * WIDTH, before))
        rest = _rest(plan, done.observations)
        return Place(
            chunk.first_block, paths, max(rest.first_step, int(plan.steps[done.observations - 1])), rest, slots
        )
    first = before // WIDTH + beginning
    paths = range(max(first * WIDTH, before), min((first + chunk.blocks) * WIDTH, run.paths))
    return Place(first, paths, plan.first_step, plan, slots)


def _rest(plan: driver.Schedule, observations: int) -> driver.Schedule:
    """A schedule after so many observations, its draws counted from there."""
    draws, last_step = plan.draws[observations:], plan.steps[observations - 1]
    return driver.Schedule(
        BEGUN if plan.first_step <= last_step else plan.first_step,
        plan.last_step,
        plan.steps[observations:],
        np.where(draws >= 0, draws - _number(plan.draws[:observations]), -1),
        plan.slots[observations:],
        plan.halves[observations:],
    )


def carried_shapes(run: Run) -> dict[str, tuple[int, ...]]:
    """What is carried from step to step of each path, all float64: the state, and what is summed over observations."""
    row, own = state_row(run), len(run.observables)
    memory = row.memory(run.model) + SCHEMES[str(run.scheme)].memory(run.model.size)
    return {
        "x": (row.rows(run.model),),
        "memory": (memory,),
        "tally": (TALLY,),
        "sums": (2, SUMS),
        "squares": (SUMS,),
        "own_sums": (own, 2),
        "own_squares": (own,),
    }


def state_form(member: Member, chunk: Chunk) -> Form:
    """What is kept of a chunk on its way: all that its rest follows from."""
    run, place = member.run, place_of(member, chunk)
    row, draws = state_row(run), _number(place.schedule.draws)
    by_path = carried_shapes(run) | {
        "samples": (draws, run.model.size),
        "states": (draws if row.whole else 0, row.rows(run.model)),
    }
    numbers, integers = np.dtype(np.float64), np.dtype(np.int64)
    form: Form = {name: ((chunk.blocks, *shape, WIDTH), numbers) for name, shape in by_path.items()}
    return form | {"counts": ((chunk.blocks, place.slots, (run.bins or 0) + 2), integers), "step": ((), integers)}


def result_form(member: Member, chunk: Chunk) -> Form:
    """What `run_chunk` returns, with ends."""
    state, place, each = state_form(member, chunk), place_of(member, chunk), blocks_per_batch(member.run)
    del state["step"]
    (_, *counted), integers = state.pop("counts")
    batches = (place.first_block + chunk.blocks - 1) // each - place.first_block // each + 1
    form: Form = {name: ((len(place.paths), *shape[1:-1]), kind) for name, (shape, kind) in state.items()}
    return form | {"counts": ((batches, *counted), integers)}


def _number(indices: NDArray[np.int64]) -> int:
    """How many draws or slots there are, by their indices in a schedule."""
    return int(indices.max(initial=-1)) + 1


def blocks_of(run: Run) -> int:
    """The number of blocks of eight paths; the last may be partly empty."""
    return _blocks(run.paths)


def _blocks(paths: int) -> int:
    return -(-paths // WIDTH)


def blocks_per_batch(run: Run) -> int:
    """Histogram counts are kept for each batch of this many blocks: a partition that depends on `paths` only.

    It is a power of two, so that the batches of a run are parts of those of a run of more paths.
    """
    return 1 << (-(-blocks_of(run) // BATCHES) - 1).bit_length()


def histogram_range(member: Member) -> tuple[float, float]:
    """The histogram's edges, in units of √(d/β): the law's support, with a margin for finite width.

    Paths in time also get what lies between their start and the equilibrium, or what free motion covers.
    """
    run, model = member.run, member.run.model
    radius = equilibrium_radius(model) * (1.0 + 1.5 * model.size ** (-2.0 / 3.0))
    if isinstance(run, Simulation):
        if member.given is not None:
            whole = form_of(run).reach if state_row(run).whole else None
            largest = float(np.max(np.abs(member.given))) if whole is None else whole(model, member.given)
            radius = max(radius, 1.05 * largest / scale(model))
        if model.energy.kind == "none":
            growth = 2.0 * (model.size - 1.0 + model.kappa) * run.times[-1] * kernel_time(model) / model.beta
            radius += 2.2 * np.sqrt(growth) / scale(model)
    return (-radius if isinstance(model, DysonBrownianMotion) else 0.0, radius)


def work_of_block(run: Run) -> float:
    """The cost of a block, in pair interactions."""
    return costs_of(run).work


def blocks_per_chunk(costs: Sequence[Costs], blocks: Sequence[int]) -> list[float]:
    """How many blocks of each member a chunk has for about equal work, at least 1; to be rounded down."""
    total = sum(cost.work * count for cost, count in zip(costs, blocks, strict=True))
    target = max(min(WORK_PER_CHUNK, total / CHUNKS_PER_RUN), SMALLEST_WORK)
    return [max(1.0, min(target / cost.work, SAMPLES_PER_CHUNK / cost.values)) for cost in costs]


def work_of_chunk(member: Member, chunk: Chunk) -> float:
    """The cost of a chunk, in pair interactions."""
    work = work_of_block(member.run) * chunk.blocks
    if member.continued is None:
        return work
    plan, place = schedule(member.run), place_of(member, chunk)
    return work * max(plan.last_step + 1 - place.first_step, 1) / max(plan.last_step + 1 - plan.first_step, 1)


def plan_chunks(members: Sequence[Member]) -> list[Chunk]:
    """Cut every member into chunks of about equal cost; a function of the descriptions only."""
    return list(costs_by_chunk(members))


def costs_by_chunk(members: Sequence[Member]) -> dict[Chunk, float]:
    """All chunks in order, with their cost in pair interactions."""
    sections = [section for index, member in enumerate(members) for section in _sections(index, member)]
    costs = [_costs_of_section(members[section.member], section) for section in sections]
    each = map(int, blocks_per_chunk(costs, [section.blocks for section in sections]))
    return {
        Chunk(index, first, min(blocks, begin + count - first)): cost.work * min(blocks, begin + count - first)
        for (index, begin, count), cost, blocks in zip(sections, costs, each, strict=True)
        for first in range(begin, begin + count, blocks)
    }


def _costs_of_section(member: Member, section: Chunk) -> Costs:
    """What the blocks of a section take: all the same, and less work where their paths go on."""
    return costs_of(member.run)._replace(work=work_of_chunk(member, section._replace(blocks=1)))


def _sections(index: int, member: Member) -> list[Chunk]:
    """The blocks of paths that go on, if there are any, and those of paths that begin."""
    if member.continued is None:
        return [Chunk(index, 0, blocks_of(member.run))]
    done = member.continued.paths
    going_on = Chunk(index, 0, _blocks(done))
    if member.run.paths == done:
        return [going_on]
    return [going_on, Chunk(index, going_on.blocks, blocks_of(member.run) - done // WIDTH)]


def prepared_call(
    member: Member, chunk: Chunk, stream: int = DYNAMICS
) -> tuple[Callable[[int, int], None], driver.State, Arrays]:
    """The kernel call of a chunk, a function of (first step, step after the last), and the arrays that it updates.

    The arrays are those of `driver.State` and `driver.Results`, and for k observables `own_sums` (block, k, 2, 8) and
    `own_squares` (block, k, 8).
    """
    run, blocks = member.run, chunk.blocks
    assert run.dt is not None
    model, scheme = compiled_arguments(run)
    place = place_of(member, chunk)
    first, plan = place.first_block, place.schedule
    size, bins, own = run.model.size, run.bins or 0, len(member.observables)
    low, high = (edge * scale(run.model) for edge in histogram_range(member)) if bins else (0.0, 1.0)
    whole, form = state_row(run).whole, state_form(member, chunk)
    path = np.arange(first * WIDTH, (first + blocks) * WIDTH).reshape(-1, WIDTH)
    present = (path >= place.paths.start) & (path < place.paths.stop)
    arrays: Arrays = {name: np.zeros(*form[name]) for name in form if name != "step"}
    arrays["x"] = aligned_rows(blocks * form["x"][0][1]).reshape(form["x"][0])
    if member.continued is not None and place.paths.stop <= member.continued.paths:
        begun = member.continued.arrays
        paths = np.minimum(path.ravel(), place.paths.stop - 1)  # where there is none, the last goes on once more
    else:
        begun, paths = {"x": start_rows(run, member.given, first, blocks)}, np.arange(blocks * WIDTH)
        arrays["tally"][:, STATUS] = ALIVE
    for name, values in begun.items():
        shape = form[name][0][1:-1]
        assert values.shape[1:] == shape  # kernels do not look
        arrays[name][...] = np.moveaxis(values[paths].reshape(blocks, WIDTH, *shape), 1, -1)
    state = driver.State(arrays.pop("x"), arrays.pop("memory"), arrays.pop("tally"))
    state.tally[:, STATUS][~present] = ABSENT
    arrays["samples"][...] = arrays["states"][...] = np.nan
    before = plan.draws[(plan.steps < plan.first_step) & (plan.draws >= 0)]  # a start from 0
    arrays["samples"][:, before] = 0.0
    if whole:
        arrays["states"][:, before] = 0.0
    noise = Noise(noise_key(run.seed), stream, run.refinement)
    dt, bins_per_unit = run.dt * kernel_time(run.model), bins / (high - low)
    for slot in plan.slots[(plan.steps < plan.first_step) & (plan.slots >= 0)]:  # all at 0
        arrays["counts"][:, slot, 1 + int(-low * bins_per_unit)] = size * np.sum(present, axis=1)

    def call(from_step: int, to_step: int) -> None:
        events = slice(*np.searchsorted(plan.steps, (from_step, to_step)))
        recent = np.zeros((blocks, (events.stop - events.start) if own else 0, size, WIDTH))
        results = driver.Results(
            arrays["sums"], arrays["squares"], arrays["counts"], arrays["samples"], recent, arrays["states"]
        )
        driver.run(model, scheme, noise, dt, first, from_step, to_step, plan, low, bins_per_unit, state, results)
        for k, observable in enumerate(member.observables):
            sums, squares = arrays["own_sums"][:, k], arrays["own_squares"][:, k]
            measure(observable.function, recent, plan.halves[events], sums, squares)

    return call, state, arrays


def run_chunk(
    member: Member,
    chunk: Chunk,
    stopped: Callable[[], bool],
    advanced: Callable[[float], None],
    begun: Arrays | None = None,
    keep: Callable[[Arrays, float], object] | None = None,
    ends: bool = False,
) -> Arrays | None:
    """Compute a chunk; None if `stopped()` said so in between.

    `advanced` is called with the work done since its last call, in pair interactions. `keep(state, fraction)` is called
    about every `STATE_SECONDS`, and when the chunk is stopped, with all that the rest follows from, and how much of the
    chunk is done; from such a state, `begun`, the chunk goes on, with the same bits.

    The result holds, by path:
    `samples` (path, draw, component), `states` (path, draw, row) of whole matrices, `sums` (path, 2, SUMS), `squares`
    (path, SUMS), `tally` (path, TALLY), those of k observables `own_sums` (path, k, 2), `own_squares` (path, k); with
    `ends` the state at the end, `x` (path, row) and `memory` (path, row); and `counts` (batch, slot, bins + 2) of the
    batches that the chunk touches. Of paths that go on there are the draws and counts that are new.
    """
    place = place_of(member, chunk)
    call, state, arrays = prepared_call(member, chunk)
    first, end = place.first_step, place.schedule.last_step + 1
    carried = arrays | {"x": state.x, "memory": state.memory, "tally": state.tally}
    n = first if begun is None else _restored(carried, begun)
    work_per_step = work_of_chunk(member, chunk) / max(end - first, 1)
    steps = max(1, int(SMALLEST_WORK / work_per_step))
    if n > first:
        advanced(work_per_step * (n - first))
    kept_at, kept, interval = time.perf_counter(), n, STATE_SECONDS

    def keep_state() -> None:
        nonlocal kept_at, kept, interval
        assert keep is not None
        began = time.perf_counter()
        keep(carried | {"step": np.array(n)}, (n - first) / max(end - first, 1))
        kept_at, kept = time.perf_counter(), n
        interval = max(STATE_SECONDS, (kept_at - began) / STATE_SHARE)

    while n < end:
        if stopped():
            if keep is not None and n > kept:
                keep_state()
            return None
        began = time.perf_counter()
        to = min(end, n + steps)
        call(n, to)
        seconds = time.perf_counter() - began
        advanced(work_per_step * (to - n))
        steps = max(1, min(int((to - n) * CALL_SECONDS / max(seconds, 1e-6)), 8 * steps))
        n = to
        if keep is not None and n < end and time.perf_counter() - kept_at >= interval:
            keep_state()
    present = state.tally[:, STATUS].ravel() != ABSENT
    counts = _by_batch(arrays.pop("counts"), place.first_block, blocks_per_batch(member.run))
    arrays |= {"tally": state.tally} | ({"x": state.x, "memory": state.memory} if ends else {})
    by_path = {name: np.moveaxis(array, -1, 1) for name, array in arrays.items()}
    result: Arrays = {name: a.reshape(len(present), *a.shape[2:])[present] for name, a in by_path.items()}
    return result | {"counts": counts}


def _restored(carried: Arrays, begun: Arrays) -> int:
    """Fill the arrays of a chunk with those of a state that was kept; the step that comes next."""
    for name, array in carried.items():
        array[...] = begun[name]
    return int(begun["step"])


def _by_batch(counts: NDArray[np.int64], first_block: int, each: int) -> NDArray[np.int64]:
    """Sum the counts of a chunk's blocks by batch: the batches that it touches, in order."""
    batch = (np.arange(first_block, first_block + len(counts))) // each
    out = np.zeros((batch[-1] - batch[0] + 1, *counts.shape[1:]), np.int64)
    np.add.at(out, batch - batch[0], counts)
    return out


class Collected:
    """The arrays of a whole member, made from those of its chunks as they come, in any order: none is kept twice.

    What a member that continues another run does not compute again is 0 among its counts, NaN among its samples.
    """

    def __init__(self, member: Member) -> None:
        self._member = member
        self._kept = _number(schedule(member.run).draws)
        self.arrays: Arrays = {}

    def add(self, chunk: Chunk, result: Arrays) -> None:
        """Take in the result of a chunk."""
        run, place = self._member.run, place_of(self._member, chunk)
        for name, part in result.items():
            if name == "counts":
                each = blocks_per_batch(run)
                whole = self._array(name, part, (-(-blocks_of(run) // each), *part.shape[1:]))
                first = place.first_block // each
                whole[first : first + len(part)] += part
            elif name == "samples" or (name == "states" and state_row(run).whole):
                whole = self._array(name, part, (run.paths, self._kept, *part.shape[2:]))
                whole[place.paths.start : place.paths.stop, self._kept - part.shape[1] :] = part
            else:
                whole = self._array(name, part, (run.paths, *part.shape[1:]))
                whole[place.paths.start : place.paths.stop] = part

    def _array(self, name: str, part: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        if name not in self.arrays:
            self.arrays[name] = np.zeros(shape, part.dtype)
            if self._member.continued is not None and name in ("samples", "states"):
                self.arrays[name][...] = np.nan
        return self.arrays[name]
