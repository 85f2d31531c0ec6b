"""Eigenvalues of symmetric tridiagonal matrices and singular values of bidiagonal ones, eight matrices in lanes.

Differential qd steps with shifts (Fernando and Parlett 1994): LLᵀ − s = L'L'ᵀ on squares, q of the diagonal and e of the
off-diagonal, without a subtraction but that of s. Shifts never pass the smallest eigenvalue, so that no step fails: they
come from the traces of the first three powers of the inverse, which the step itself sums up from the Taylor series of
its pivots in s. The shift of a step is a root of known derivatives, as in Laguerre's method (von Matt 1997).

Each lane has a last row of its own. Rows below it are done with, and what a step does to them does not matter.
"""

import numpy as np

from dlnmc_kernels.jit import device
from dlnmc_kernels.lanes import WIDTH, Lane, absolute, load, maximum, minimum, select, splat, sqrt, store
from dlnmc_kernels.ordering import sort

State = tuple[Lane, Lane, Lane, Lane, Lane, Lane, Lane]

TINY = 1e-290  # off-diagonal squares never vanish, so that small eigenvalues always find their way to the end
TOLERANCE = 2.0**-56  # of an eigenvalue, relative to it, when its row is split off
BELOW = 1.0 - 2.0**-30  # a shift stays this much below its bound: more than rounding can put it above
STEPS_PER_ROW, MORE_STEPS = 60, 200  # at most; seen: 3 at random, 10 at worst
LAST, BOTTOM, VALUE, SPLIT = 0, 1, 2, 3  # rows of the notes
NOTES = 4


@device
def qd_row(q: Lane, e: Lane, i: int, shift: Lane, state: State) -> State:
    """One row of a qd step, in place: from the state before row `i` to that before row i + 1.

    The state is (d, d1, d2, d3, j1, j2, j3): the pivot so far and its derivatives in the shift, d(s + h) = d − d1 h −
    d2 h² − d3 h³, and jm, the trace of the m-th power of the inverse of the leading rows.
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
def add_traces(
    inverse: Lane, d1: Lane, d2: Lane, d3: Lane, j1: Lane, j2: Lane, j3: Lane
) -> tuple[Lane, Lane, Lane, Lane, Lane, Lane]:
    """The traces with one more row, and the Taylor coefficients in h of inverse(s + h)/inverse, `inverse` of its pivot."""
    a1, a2, a3 = d1 * inverse, d2 * inverse, d3 * inverse
    c2 = a1 * a1 + a2
    c3 = a1 * (c2 + a2) + a3
    # The m-th power's trace is m times the coefficient of h^m in −log(1 − a1 h − a2 h² − a3 h³).
    return j1 + a1, j2 + (c2 + a2), j3 + (a1 * a2 + (a3 + a3) + c3), a1, c2, c3


@device
def lower_bound(count: Lane, j1: Lane, j2: Lane, j3: Lane) -> Lane:
    """A number below the smallest of `count` positive ones of which the sums of the inverse powers 1, 2, 3 are known.

    Laguerre's bound from the first two, then two of Newton's steps from it towards j3^{-1/3}, if that is better.
    """
    spread = maximum(splat(0.0), (count - 1.0) * (count * j2 - j1 * j1))  # NaN, of overflow, stays NaN
    bound = count / (j1 + sqrt(spread))
    for _ in range(2):
        bound = maximum(bound * ((4.0 - j3 * bound * bound * bound) * (1.0 / 3.0)), bound)
    return select(bound > 0.0, bound * BELOW, splat(0.0))


@device
def qd_step(q: Lane, e: Lane, shift: Lane, last: Lane, lowest: int, highest: int) -> tuple[State, Lane]:
    """A step on the rows 0 ... `last` of each lane: the state before the last row, and the off-diagonal before that.

    `lowest` and `highest` are the extremes of `last`, an integer as a float, among the lanes that are not done.
    """
    zero = splat(0.0)
    state = (load(q, 0) - shift, splat(1.0), zero, zero, zero, zero, zero)
    for i in range(lowest):
        state = qd_row(q, e, i, shift, state)
    before = load(e, max(lowest - 1, 0))
    d, d1, d2, d3, j1, j2, j3 = state
    for i in range(lowest, highest):
        state = qd_row(q, e, i, shift, state)
        past = last > float(i)
        d, d1, d2, d3 = (
            select(past, state[0], d),
            select(past, state[1], d1),
            select(past, state[2], d2),
            select(past, state[3], d3),
        )
        j1, j2, j3 = select(past, state[4], j1), select(past, state[5], j2), select(past, state[6], j3)
        before = select(past, load(e, i), before)
    return (d, d1, d2, d3, j1, j2, j3), before


@device
def split_off(q: Lane, e: Lane, notes: Lane, values: Lane) -> tuple[int, int]:
    """Write the last pivot of every lane to its row; from the lanes marked in the notes split that row off.

    Returns the extremes of the last rows of the lanes that are not done; −1, −1 if all are.
    """
    size = len(values)
    lowest, highest = size, -1
    for lane in range(WIDTH):
        last = int(notes[LAST, lane])
        if last < 0:
            continue
        q[last, lane] = notes[BOTTOM, lane]
        if notes[SPLIT, lane] > 0.0:
            values[size - 1 - last, lane] = notes[VALUE, lane]
            last -= 1
            notes[LAST, lane] = last
            if last < 0:
                continue
        lowest, highest = min(lowest, last), max(highest, last)
    return min(lowest, highest), highest


@device
def qd_eigenvalues(q: Lane, e: Lane, notes: Lane, values: Lane) -> int:
    """The eigenvalues of BᵀB, ascending, to high relative accuracy, where B is bidiagonal, by lanes.

    Parameters
    ----------
    q : (size, 8), e : (size, 8)
        The squares of the diagonal and of the off-diagonal, of which the last row does not matter. Overwritten. They may
        hold zeros and be graded; they must stay below 1e145, and below 1e-290 nothing is resolved.
    notes : (NOTES, 8)
        Scratch.
    values : (size, 8)
        The result; NaN where a matrix is not finite or the steps did not converge.
    """
    size = len(values)
    zero, one = splat(0.0), splat(1.0)
    for i in range(size):
        store(e, i, maximum(splat(TINY), load(e, i)))
        store(values, i, splat(np.nan))
    store(notes, LAST, splat(float(size - 1)))
    lowest, highest = size - 1, size - 1
    shift, moved, rest, kept = zero, zero, zero, zero  # moved + rest is the sum of all shifts
    step = 0
    while highest >= 0 and step < STEPS_PER_ROW * size + MORE_STEPS:
        total = moved + shift
        rest = rest + (minimum(moved, shift) - (total - maximum(moved, shift)))
        moved = total
        last = load(notes, LAST)
        state, off_diagonal = qd_step(q, e, shift, last, lowest, highest)
        bottom, d1, d2, d3, j1, j2, j3 = state
        bottom = bottom + kept
        rows_above = lower_bound(last, j1, j2, j3)
        j1, j2, j3, _, _, _ = add_traces(1.0 / bottom, d1, d2, d3, j1, j2, j3)
        # The last two rows of BBᵀ are coupled by √(q e): what that changes is at most it, or q e over the distance.
        value = moved + (rest + bottom)
        coupling = absolute(bottom * off_diagonal)
        allowed = value * TOLERANCE
        split = ~(coupling > allowed * maximum(rows_above - bottom, allowed)) | (last < 0.5)
        kept = select(split, off_diagonal, zero)
        shift = select(split, rows_above, lower_bound(last + 1.0, j1, j2, j3))
        store(notes, BOTTOM, bottom)
        store(notes, VALUE, value)
        store(notes, SPLIT, select(split, one, zero))
        lowest, highest = split_off(q, e, notes, values)
        step += 1
    sort(values)
    return step


@device
def eigenvalues(diagonal: Lane, off_diagonal: Lane, q: Lane, e: Lane, notes: Lane, values: Lane) -> None:
    """The eigenvalues, ascending, of symmetric tridiagonal matrices by lanes, accurate to rounding of the largest.

    It is quickest where small eigenvalues live at the end.

    Parameters
    ----------
    diagonal : (size, 8), off_diagonal : (size, 8)
        The entries; the last row of `off_diagonal` does not matter.
    q : (size, 8), e : (size, 8), notes : (NOTES, 8)
        Scratch.
    values : (size, 8)
        The result; NaN where a matrix is not finite or the steps did not converge.
    """
    size = len(values)
    low, largest, before = load(diagonal, 0), splat(0.0), splat(0.0)
    for i in range(size):
        after = absolute(load(off_diagonal, i)) if i < size - 1 else splat(0.0)
        radius = before + after
        low = minimum(load(diagonal, i) - radius, low)
        largest = maximum(absolute(load(diagonal, i)) + radius, largest)
        before = after
    # Below Gershgorin's bound by more than rounding: all pivots of T − low are positive.
    low = low - (largest * 2.0**-48 + TINY)
    pivot = load(diagonal, 0) - low
    store(q, 0, pivot)
    for i in range(size - 1):
        off = load(off_diagonal, i)
        e_i = off * (off / pivot)
        store(e, i, e_i)
        pivot = (load(diagonal, i + 1) - low) - e_i
        store(q, i + 1, pivot)
    qd_eigenvalues(q, e, notes, values)
    for i in range(size):
        store(values, i, load(values, i) + low)
