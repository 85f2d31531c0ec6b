"""Eigenvalues of symmetric tridiagonal matrices and singular values of bidiagonal ones, eight matrices in lanes.

Differential qd steps with shifts (Fernando and Parlett 1994): from a bidiagonal B to B' with B'ᵀB' = BBᵀ − s, on q and
e, the squares of the diagonal and of the off-diagonal; nothing but s is ever subtracted. As in von Matt (1997) a shift
is a lower bound for the smallest eigenvalue, so that no step fails, computed from traces of powers of the inverse; here
from three, which a step sums up on its way from the Taylor series of its pivots in s.

Each lane has a last row of its own. What a step does to rows below it does not matter.
"""

import numpy as np

from dlnmc_kernels.jit import device
from dlnmc_kernels.lanes import WIDTH, Lane, absolute, load, maximum, minimum, select, splat, sqrt, store
from dlnmc_kernels.ordering import sort

State = tuple[Lane, Lane, Lane, Lane, Lane, Lane, Lane]

NOTHING = 1e-180  # smaller eigenvalues are not told from 0
TINY = 1e-216  # squares of the off-diagonal stay above it: small eigenvalues always find their way to the last row
TOLERANCE = 2.0**-56  # for the relative change of any eigenvalue when a row is split off
ABOVE, BELOW = 1.0 + 2.0**-40, 1.0 - 2.0**-30  # factors beyond the rounding errors of a trace, and of a bound
STEPS_PER_ROW, MORE_STEPS = 200, 1000  # at most; about 3 for random matrices, 40 for thousands of rows with zeros
LAST, BOTTOM, VALUE, SPLIT = 0, 1, 2, 3  # rows of the notes
NOTES = 4


@device
def add_traces(
    inverse: Lane, d1: Lane, d2: Lane, d3: Lane, j1: Lane, j2: Lane, j3: Lane
) -> tuple[Lane, Lane, Lane, Lane, Lane, Lane]:
    """The traces with one more row, of pivot 1/inverse, and the Taylor coefficients of inverse(s + h)/inverse(s)."""
    a1, a2, a3 = d1 * inverse, d2 * inverse, d3 * inverse
    c2 = a1 * a1 + a2
    c3 = a1 * (c2 + a2) + a3
    # The trace of the m-th power is m times the coefficient of h^m in the sum of −log(1 − a1 h − a2 h² − a3 h³).
    return j1 + a1, j2 + (c2 + a2), j3 + (a1 * a2 + (a3 + a3) + c3), a1, c2, c3


@device
def qd_row(q: Lane, e: Lane, i: int, shift: Lane, state: State) -> State:
    """One row of a step, in place: from the state before row i to the state before row i + 1.

    The state is (d, d1, d2, d3, j1, j2, j3): what becomes the pivot, d(s + h) = d − d1 h − d2 h² − d3 h³, and the
    traces of the first three powers of the inverse of B'ᵀB' with the rows before.
    """
    d, d1, d2, d3, j1, j2, j3 = state
    e_i = load(e, i)
    pivot = d + e_i
    inverse = 1.0 / pivot
    ratio = load(q, i + 1) * inverse
    coupling = e_i * ratio
    store(q, i, pivot)
    store(e, i, maximum(splat(TINY), coupling))
    j1, j2, j3, c1, c2, c3 = add_traces(inverse, d1, d2, d3, j1, j2, j3)
    return d * ratio - shift, coupling * c1 + 1.0, coupling * c2, coupling * c3, j1, j2, j3


@device
def qd_step(q: Lane, e: Lane, shift: Lane, last: Lane, lowest: int, highest: int) -> tuple[State, Lane]:
    """A step down to the row `last` of each lane: the state before that row, and the new e that couples it.

    `lowest` and `highest` are the extremes of `last`, whole numbers as floats.
    """
    zero = splat(0.0)
    state = (load(q, 0) - shift, splat(1.0), zero, zero, zero, zero, zero)
    for i in range(lowest):
        state = qd_row(q, e, i, shift, state)
    d, d1, d2, d3, j1, j2, j3 = state
    coupling = load(e, max(lowest - 1, 0))
    for i in range(lowest, highest):
        state = qd_row(q, e, i, shift, state)
        below = last > float(i)
        d, d1 = select(below, state[0], d), select(below, state[1], d1)
        d2, d3 = select(below, state[2], d2), select(below, state[3], d3)
        j1, j2, j3 = select(below, state[4], j1), select(below, state[5], j2), select(below, state[6], j3)
        coupling = select(below, load(e, i), coupling)
    return (d, d1, d2, d3, j1, j2, j3), coupling


@device
def lower_bound(count: Lane, j1: Lane, j2: Lane, j3: Lane) -> Lane:
    """A number below the smallest of `count` positive ones whose inverse m-th powers sum up to jm.

    Laguerre's bound from the first two, and from there, where it leads up, two of Newton's steps to j3^{-1/3}. Where
    the second overflows it is 1/j1; below NOTHING it is 0.
    """
    spread = maximum(splat(0.0), (count - 1.0) * (count * (j2 * ABOVE) - j1 * j1))  # NaN stays NaN
    bound = maximum(count / (j1 + sqrt(spread)), 1.0 / j1)
    for _ in range(2):
        bound = maximum(bound * ((4.0 - j3 * bound * bound * bound) * (1.0 / 3.0)), bound)
    return select(bound > NOTHING, bound * BELOW, splat(0.0))


@device
def split_off(q: Lane, notes: Lane, values: Lane) -> tuple[int, int]:
    """Put the last pivot of each lane in its row, and where the notes say so, write down its value and go a row up.

    Returns the lowest and the highest last row of lanes that are not done; the highest is −1 if all are.
    """
    size = len(values)
    lowest, highest = size, -1
    for lane in range(WIDTH):
        last = int(notes[LAST, lane])
        if last >= 0:
            q[last, lane] = notes[BOTTOM, lane]
            if notes[SPLIT, lane] > 0.0:
                values[size - 1 - last, lane] = notes[VALUE, lane]
                last -= 1
                notes[LAST, lane] = last
        if last >= 0:
            lowest, highest = min(lowest, last), max(highest, last)
    return lowest, highest


@device
def qd_eigenvalues(q: Lane, e: Lane, notes: Lane, values: Lane) -> int:
    """The eigenvalues of BᵀB, ascending, with small relative errors, where B is bidiagonal; returns the steps it took.

    Parameters
    ----------
    q : (size, 8), e : (size, 8)
        The squares of the diagonal and of the off-diagonal (the last row of `e` does not matter); overwritten. They may
        be graded and hold zeros. They must stay below 1e90; those below 1e-180 are not told from 0.
    notes : (NOTES, 8)
        Scratch.
    values : (size, 8)
        The result; all NaN where a matrix is not finite, or in case that the steps do not converge.
    """
    size = len(values)
    zero, one = splat(0.0), splat(1.0)
    for i in range(size):
        store(e, i, maximum(splat(TINY), load(e, i)))
        store(values, i, splat(np.nan))
    store(notes, LAST, splat(size - 1.0))
    lowest, highest = size - 1, size - 1
    shift, moved, rest, kept = zero, zero, zero, zero  # moved + rest is the sum of all shifts
    steps = 0
    while highest >= 0 and steps < STEPS_PER_ROW * size + MORE_STEPS:
        total = moved + shift
        rest = rest + (minimum(moved, shift) - (total - maximum(moved, shift)))
        moved = total
        last = load(notes, LAST)
        (bottom, d1, d2, d3, j1, j2, j3), coupling = qd_step(q, e, shift, last, lowest, highest)
        bottom = bottom + kept
        rows_above = lower_bound(last, j1, j2, j3)
        j1, j2, j3, _, _, _ = add_traces(1.0 / bottom, d1, d2, d3, j1, j2, j3)
        # In BBᵀ the last row is coupled by √(q e). Without it eigenvalues move by that, or q e over their distance.
        allowed = (moved + minimum(bottom, rows_above) + NOTHING) * TOLERANCE
        moves = absolute(bottom) * (coupling / allowed) > maximum(rows_above - bottom, allowed)
        split = ~(moves & (last > 0.0))
        shift = select(split, rows_above, lower_bound(last + 1.0, j1, j2, j3))
        kept = select(split, coupling, zero)  # BBᵀ without its last row still has that e in the row above
        store(notes, BOTTOM, bottom)
        store(notes, VALUE, moved + (rest + bottom))
        store(notes, SPLIT, select(split, one, zero))
        lowest, highest = split_off(q, notes, values)
        steps += 1
    missing = zero  # where one value is no number, none is
    for i in range(size):
        missing = missing + load(values, i) * 0.0
    sort(values)
    for i in range(size):
        store(values, i, load(values, i) + missing)
    return steps


@device
def eigenvalues(diagonal: Lane, off_diagonal: Lane, q: Lane, e: Lane, notes: Lane, values: Lane) -> int:
    """The eigenvalues, ascending, of symmetric tridiagonal matrices, with errors of rounding of the largest.

    Returns the steps it took: fewest where small eigenvalues live in the last rows.

    Parameters
    ----------
    diagonal : (size, 8), off_diagonal : (size, 8)
        The entries (the last row of `off_diagonal` does not matter), below 1e90.
    q : (size, 8), e : (size, 8), notes : (NOTES, 8)
        Scratch.
    values : (size, 8)
        As in `qd_eigenvalues`.
    """
    size = len(values)
    low, largest, before = load(diagonal, 0), splat(TINY), splat(0.0)
    for i in range(size):
        after = absolute(load(off_diagonal, i)) if i < size - 1 else splat(0.0)
        radius = before + after
        low = minimum(load(diagonal, i) - radius, low)
        largest = maximum(absolute(load(diagonal, i)) + radius, largest)
        before = after
    # Below Gershgorin's bound by more than rounding, so that every pivot of the matrix minus `low` is positive.
    low = low - largest * 2.0**-48
    pivot = load(diagonal, 0) - low
    store(q, 0, pivot)
    for i in range(size - 1):
        e_i = load(off_diagonal, i) * (load(off_diagonal, i) / pivot)
        pivot = (load(diagonal, i + 1) - low) - e_i
        store(e, i, e_i)
        store(q, i + 1, pivot)
    steps = qd_eigenvalues(q, e, notes, values)
    for i in range(size):
        store(values, i, load(values, i) + low)
    return steps
