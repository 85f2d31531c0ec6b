"""The loops over a chunk of blocks of eight paths. Single-threaded, without the GIL; callers keep each call short.

A path's noise depends on its index and the step only, and its state and tallies are carried in arrays, so that a run
may be cut anywhere between steps and between blocks without changing a bit.
"""

from typing import Any

import numpy as np

from dlnmc_kernels.dispatch import begin, observed, output, step
from dlnmc_kernels.jit import device, kernel
from dlnmc_kernels.lanes import WIDTH, Lane, lane_numbers, load, store
from dlnmc_kernels.observables import accumulate, count
from dlnmc_kernels.ordering import accept, sort
from dlnmc_kernels.philox import DYNAMICS, fill_normals, fill_uniforms
from dlnmc_kernels.schemes import SCRATCH


@device
def observe(scheme: Any, model: Any, x: Lane, z: Lane, dt: float, values: Lane) -> None:
    """Write the sorted singular values or eigenvalues of a block to `values`."""
    for i in range(len(x)):
        store(values, i, observed(model, output(scheme, model, load(x, i), load(z, i), dt)))
    sort(values)


@kernel
def run(
    model: Any,
    scheme: Any,
    key: np.uint64,
    dt: float,
    first_block: int,
    first_step: int,
    from_step: int,
    to_step: int,
    last_step: int,
    observed_steps: Lane,
    draws: Lane,
    low: float,
    bins_per_unit: float,
    x: Lane,
    tally: Lane,
    sums: Lane,
    counts: Lane,
    samples: Lane,
) -> None:
    """Carry all blocks from `from_step` to `to_step` (exclusive), observing each at `observed_steps`.

    At step n a block is first observed, then moved on, unless n is `last_step`: a whole run covers
    `first_step` ... `last_step`, both included.

    Parameters
    ----------
    model, scheme
        Parameter tuples; they select the code.
    key
        The 64-bit seed.
    first_block
        The index of the first block: lane l of block b is path 8 (first_block + b) + l.
    observed_steps, draws
        Ascending steps, int64, and for each the index in `samples` to write to, or −1.
    low, bins_per_unit
        The histogram's lower edge and the inverse of its bin width.
    x : (block, component, 8); tally : (block, TALLY, 8); sums : (block, SUMS, 8)
        State and accumulators, float64, updated in place.
    counts : (block, bins + 2)
        int64: underflow, bins, overflow; updated in place.
    samples : (block, draw, component, 8)
        Filled where a draw is due.
    """
    size = x.shape[1]
    rows = size + 1
    z = np.zeros((rows, WIDTH))
    proposal = np.zeros((size, WIDTH))
    values = np.zeros((size, WIDTH))
    work = np.zeros((SCRATCH, size, WIDTH))
    first_event = np.searchsorted(observed_steps, from_step)
    for b in range(x.shape[0]):
        path = lane_numbers() + np.uint64(first_block + b) * np.uint64(WIDTH)
        event = first_event
        for n in range(from_step, to_step):
            fill_normals(z, size, key, DYNAMICS, path, n)
            if n == first_step:
                begin(scheme, model, x[b], z, dt)
            while event < len(observed_steps) and observed_steps[event] == n:
                observe(scheme, model, x[b], z, dt, values)
                accumulate(values, sums[b])
                count(values, tally[b], low, bins_per_unit, counts[b])
                if draws[event] >= 0:
                    samples[b, draws[event]] = values
                event += 1
            if n < last_step:
                step(scheme, model, x[b], z, dt, proposal, work)
                accept(model, x[b], proposal, dt, tally[b], n)


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
