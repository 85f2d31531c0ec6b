"""What is accumulated while a run goes on: integer counts per block, and sums per path.

Counts are integers and sums belong to one path, so results do not depend on how a run is cut into chunks and calls.
"""

from typing import Any

import numpy as np

from dlnmc_kernels.jit import compiled, device
from dlnmc_kernels.lanes import WIDTH, Lane, load, maximum, minimum, reciprocal, splat, store
from dlnmc_kernels.ordering import ALIVE, STATUS

# Rows of a block's sums, shape (SUMS, 8), float64; the first four are sum over components of s, s², s³, s⁴.
MOMENTS = 4
LARGEST, SMALLEST, RATIO_MIDDLE, RATIO_ALL = 4, 5, 6, 7
SUMS = 8


@device
def middle_half(size: int) -> tuple[int, int]:
    """The components [first, last) between whose neighbours the bulk spacing ratio is taken."""
    return size // 4, size - size // 4


@device
def spacing_ratio(values: Lane, first: int, last: int) -> Lane:
    """The mean over consecutive gaps of min(gap, next)/max(gap, next), among sorted components [first, last)."""
    total = splat(0.0)
    for i in range(first + 2, last):
        gap = load(values, i) - load(values, i - 1)
        before = load(values, i - 1) - load(values, i - 2)
        # Equal neighbours (gap 0) count as the smallest positive gap.
        total = total + minimum(gap, before) * reciprocal(maximum(maximum(gap, before), splat(1e-290)))
    return total * (1.0 / max(last - first - 2, 1))


@device
def add(row: int, term: Lane, sums: Lane, squares: Lane) -> None:
    """Add `term` to a row of the sums, and its square to that of the squares."""
    store(sums, row, load(sums, row) + term)
    store(squares, row, load(squares, row) + term * term)


@device
def accumulate(values: Lane, sums: Lane, squares: Lane) -> None:
    """Add one observation of the sorted components `values` to the sums of a block, and its squares to `squares`."""
    size = len(values)
    for power in range(MOMENTS):
        total = splat(0.0)
        for i in range(size):
            s = load(values, i)
            term = s
            for _ in range(power):
                term = term * s
            total = total + term
        add(power, total, sums, squares)
    first, last = middle_half(size)
    add(LARGEST, load(values, size - 1), sums, squares)
    add(SMALLEST, load(values, 0), sums, squares)
    add(RATIO_MIDDLE, spacing_ratio(values, first, last), sums, squares)
    add(RATIO_ALL, spacing_ratio(values, 0, size), sums, squares)


@device
def count(values: Lane, tally: Lane, low: float, bins_per_unit: float, counts: Lane) -> None:
    """Add the components of live paths to `counts`, int64 of length bins + 2: underflow, the bins, overflow."""
    bins = len(counts) - 2
    for lane in range(WIDTH):
        if tally[STATUS, lane] != ALIVE:
            continue
        for i in range(len(values)):
            position = (values[i, lane] - low) * bins_per_unit
            if position >= bins:
                counts[bins + 1] += 1
            elif position >= 0.0:
                counts[int(position) + 1] += 1
            else:
                counts[0] += 1


@compiled
def measure(function: Any, recent: Lane, halves: Any, sums: Lane, squares: Lane) -> None:
    """Add a user's function of every state in `recent` (block, observation, component, 8) to its sums.

    `halves` has 0 or 1 for each observation; `sums` is (block, 2, 8), `squares` (block, 8). States that are not finite
    count as NaN without asking the function.
    """
    state = np.zeros(recent.shape[2])
    for b in range(recent.shape[0]):
        for n in range(recent.shape[1]):
            for lane in range(WIDTH):
                finite = True
                for i in range(len(state)):
                    state[i] = recent[b, n, i, lane]
                    finite = finite and np.isfinite(state[i])
                value = 1.0 * function(state) if finite else np.nan
                sums[b, halves[n], lane] += value
                squares[b, lane] += value * value
