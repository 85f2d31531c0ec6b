"""The loops over a chunk of blocks of eight paths. Single-threaded, without the GIL; callers keep each call short.

A path's noise depends on its index and the step only, and its state and tallies are carried in arrays, so that a run
may be cut anywhere between steps and between blocks without changing a bit.
"""

from typing import Any, NamedTuple

import numpy as np

from dlnmc_kernels.dispatch import (
    begin,
    draw,
    normals_per_step,
    observed,
    output,
    prepare,
    read_values,
    scratch_rows,
    settle,
    step,
)
from dlnmc_kernels.jit import device, kernel
from dlnmc_kernels.lanes import WIDTH, Lane, lane_numbers, load, store
from dlnmc_kernels.observables import accumulate, count
from dlnmc_kernels.ordering import sort
from dlnmc_kernels.philox import fill_normals, fill_uniforms
from dlnmc_kernels.schemes import Noise
from dlnmc_kernels.workspace import workspace


class Schedule(NamedTuple):
    """The steps of a run: it begins and ends at `first_step` and `last_step`, both included, and is observed between.

    `steps` ascend; for each there is the index `draws` in the kept samples, the index `slots` of the histogram that it
    enters (−1: none), and 0 or 1, `halves`, for the early or the late sums. All arrays are int64.
    """

    first_step: int
    last_step: int
    steps: Any
    draws: Any
    slots: Any
    halves: Any


class State(NamedTuple):
    """What is carried between calls: x (block, component, 8), the scheme's memory and the tally (block, row, 8)."""

    x: Any
    memory: Any
    tally: Any


class Results(NamedTuple):
    """What is accumulated, float64 but for the counts.

    `sums` (block, 2, SUMS, 8) over early and late observations, `squares` (block, SUMS, 8) over all; `counts`
    (block, slot, bins + 2), int64: underflow, bins, overflow; `samples` (block, draw, component, 8), filled where a
    draw is due; `recent` (block, observation, component, 8), all observations of one call, or of length 0.
    """

    sums: Any
    squares: Any
    counts: Any
    samples: Any
    recent: Any
    states: Any


@read_values.otherwise
@device
def observe(model: Any, scheme: Any, x: Lane, z: Lane, dt: float, memory: Lane, values: Lane, work: Lane) -> None:
    """Write the sorted singular values or eigenvalues of a block to `values`."""
    for i in range(len(x)):
        store(values, i, observed(model, output(scheme, model, load(x, i), load(z, i), dt)))
    sort(values)


@device
def copy(rows: Lane, out: Lane) -> None:
    """Row by row: the assignment of whole arrays takes seconds to compile."""
    for i in range(len(rows)):
        store(out, i, load(rows, i))


@kernel
def run(
    model: Any,
    scheme: Any,
    noise: Noise,
    dt: float,
    first_block: int,
    from_step: int,
    to_step: int,
    schedule: Schedule,
    low: float,
    bins_per_unit: float,
    state: State,
    results: Results,
) -> None:
    """Carry all blocks from `from_step` to `to_step` (exclusive), observing each as scheduled.

    At step n a block is first observed, then moved on, unless n is the last step.

    Parameters
    ----------
    model, scheme
        Parameter tuples; they select the code.
    first_block
        The index of the first block: lane l of block b is path 8 (first_block + b) + l.
    low, bins_per_unit
        The histogram's lower edge and the inverse of its bin width.
    """
    size, count_of_values = state.x.shape[1], results.samples.shape[2]
    count_of_normals, scratch = normals_per_step(model, size), scratch_rows(scheme)
    rows = workspace(2 * size + count_of_normals + 2 + count_of_values + scratch * size)
    x, rows = rows[:size], rows[size:]
    proposal, rows = rows[:size], rows[size:]
    z, rows = rows[: count_of_normals + 2], rows[count_of_normals + 2 :]
    values, rows = rows[:count_of_values], rows[count_of_values:]
    work = rows.reshape((scratch, size, WIDTH))
    first_event = np.searchsorted(schedule.steps, from_step)
    for b in range(state.x.shape[0]):
        path = lane_numbers() + np.uint64(first_block + b) * np.uint64(WIDTH)
        memory, tally = state.memory[b], state.tally[b]
        copy(state.x[b], x)
        event = first_event
        for n in range(from_step, to_step):
            draw(scheme, count_of_normals, noise, path, n, z)
            if n == schedule.first_step:
                prepare(model, x, memory)
                begin(scheme, model, x, z, dt, memory, work)
            while event < len(schedule.steps) and schedule.steps[event] == n:
                read_values(model, scheme, x, z, dt, memory, values, work)
                accumulate(values, results.sums[b, schedule.halves[event]], results.squares[b])
                if schedule.slots[event] >= 0:
                    count(values, tally, low, bins_per_unit, results.counts[b, schedule.slots[event]])
                if schedule.draws[event] >= 0:
                    copy(values, results.samples[b, schedule.draws[event]])
                    if results.states.shape[1] > 0:
                        copy(x, results.states[b, schedule.draws[event]])
                if results.recent.shape[1] > 0:
                    copy(values, results.recent[b, event - first_event])
                event += 1
            if n < schedule.last_step:
                step(scheme, model, x, z, dt, proposal, memory, tally, work)
                settle(model, x, proposal, dt, tally, n)
        copy(x, state.x[b])


@kernel
def uniforms(key: np.uint64, stream: int, first_block: int, out: Lane) -> None:
    """Uniforms on (0, 1] of step 0 of a stream into `out`, shape (block, components rounded up to even, 8)."""
    for b in range(out.shape[0]):
        path = lane_numbers() + np.uint64(first_block + b) * np.uint64(WIDTH)
        fill_uniforms(out[b], out.shape[1], key, stream, path, 0)


@kernel
def normals(key: np.uint64, stream: int, first_block: int, step: int, out: Lane) -> None:
    """Standard normals of one step of a stream into `out`, shape (block, components rounded up to even, 8)."""
    for b in range(out.shape[0]):
        path = lane_numbers() + np.uint64(first_block + b) * np.uint64(WIDTH)
        fill_normals(out[b], out.shape[1], key, stream, path, step)
