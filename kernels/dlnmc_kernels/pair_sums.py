"""Sums over pairs of reciprocal gaps, the cost of every drift: in tiles of four rows, which stay in registers.

Four gaps share one division, 1/a = b/(ab), so that a pair costs about four multiplications. Rows must ascend in every
lane: then a pair may be tamed only if it is as close as the nearest pair of its column. What a lane gets depends on its
own numbers alone, to the last bit: where one path is tamed, another is computed as if none were.
"""

from typing import NamedTuple

from dlnmc_kernels.jit import device, inlined
from dlnmc_kernels.lanes import Lane, any_of, load, maximum, minimum, reciprocal, select, splat, store

TILE = 4
TINY = 1e-290
SAFE = 1e-140  # products of two gaps above this may be multiplied with another such product
FAR = 1e60  # a gap of which the reciprocal does not count, in the place of one that has been counted already


@inlined
def two_reciprocals(p: Lane, q: Lane) -> tuple[Lane, Lane]:
    """(1/p, 1/q) by one division."""
    r = reciprocal(p * q)
    return q * r, p * r


# --- one sum: Σ_j 1/(x_i − x_j), where gaps below `floor` count as `floor` ------------------------------------------


@device
def gap_sums(x: Lane, floor: Lane, f: Lane) -> None:
    """Write the sums over all pairs of rows of x to `f`."""
    for i in range(len(x)):
        store(f, i, splat(0.0))
    add_gaps_among(x, floor, f, 0, len(x))


@inlined
def add_gaps_among(x: Lane, floor: Lane, f: Lane, first: int, last: int) -> None:
    """Add the pairs among the rows [first, last)."""
    head = first + (last - first) % TILE
    for i in range(first + 1, head):
        add_gaps_of_row(x, floor, f, i, first, i)
    for i in range(head, last, TILE):
        add_gaps_of_tile(x, floor, f, i, first, i)
        add_gaps_in_tile(x, floor, f, i)


@inlined
def add_gaps_between(x: Lane, floor: Lane, f: Lane, first: int, last: int, first_column: int, last_column: int) -> None:
    """Add the pairs of the rows [first, last) and the columns [first_column, last_column), all below them."""
    head = first + (last - first) % TILE
    for i in range(first, head):
        add_gaps_of_row(x, floor, f, i, first_column, last_column)
    for i in range(head, last, TILE):
        add_gaps_of_tile(x, floor, f, i, first_column, last_column)


@inlined
def add_gaps_of_row(x: Lane, floor: Lane, f: Lane, i: int, first: int, last: int) -> None:
    """Add the pairs of row i and the columns [first, last)."""
    x_i, f_i = load(x, i), load(f, i)
    for j in range(first, last):
        r = reciprocal(maximum(x_i - load(x, j), floor))
        f_i = f_i + r
        store(f, j, load(f, j) - r)
    store(f, i, f_i)


@inlined
def add_gaps_of_tile(x: Lane, floor: Lane, f: Lane, i: int, first: int, last: int) -> None:
    """Add the pairs of the four rows from i and the columns [first, last)."""
    x_0, x_1, x_2, x_3 = load(x, i), load(x, i + 1), load(x, i + 2), load(x, i + 3)
    f_0, f_1, f_2, f_3 = load(f, i), load(f, i + 1), load(f, i + 2), load(f, i + 3)
    for j in range(first, last):
        x_j = load(x, j)
        a, b = maximum(x_0 - x_j, floor), maximum(x_1 - x_j, floor)
        c, d = maximum(x_2 - x_j, floor), maximum(x_3 - x_j, floor)
        in_ab, in_cd = two_reciprocals(a * b, c * d)
        f_0, f_1 = f_0 + b * in_ab, f_1 + a * in_ab
        f_2, f_3 = f_2 + d * in_cd, f_3 + c * in_cd
        store(f, j, load(f, j) - (a + b) * in_ab - (c + d) * in_cd)
    store(f, i, f_0)
    store(f, i + 1, f_1)
    store(f, i + 2, f_2)
    store(f, i + 3, f_3)


@inlined
def add_gaps_in_tile(x: Lane, floor: Lane, f: Lane, i: int) -> None:
    """Add the six pairs among the four rows from i."""
    x_0, x_1, x_2, x_3 = load(x, i), load(x, i + 1), load(x, i + 2), load(x, i + 3)
    a, b = maximum(x_1 - x_0, floor), maximum(x_3 - x_2, floor)
    c, d = maximum(x_2 - x_0, floor), maximum(x_3 - x_1, floor)
    e, g = maximum(x_3 - x_0, floor), maximum(x_2 - x_1, floor)
    in_ab, in_cd = two_reciprocals(a * b, c * d)
    in_eg = reciprocal(e * g)
    a, b, c, d, e, g = b * in_ab, a * in_ab, d * in_cd, c * in_cd, g * in_eg, e * in_eg
    store(f, i, load(f, i) - (a + c + e))
    store(f, i + 1, load(f, i + 1) + (a - d - g))
    store(f, i + 2, load(f, i + 2) + (c + g - b))
    store(f, i + 3, load(f, i + 3) + (b + d + e))


# --- two sums at once: Σ_l 1/(x_k − x_l) and Σ_l 1/(y_k − y_l) ------------------------------------------------------


class TwoSums(NamedTuple):
    """The rows x and y, their sums, and how the pairs of a row with those before it are tamed.

    Where the product of the gaps is below `floor` (at least TINY), it counts as `floor`; and the fraction of the
    repulsion that is lost is added to the y-sums of both, times min(share, x_k fading)/y_k.
    """

    x: Lane
    y: Lane
    floor: Lane
    share: float
    fading: float
    sum_x: Lane
    sum_y: Lane


@inlined
def entropic_share(depth: float) -> float:
    """What entropy adds to y_k/(y_k − y_l) for two equal components, (N−1)/(2N)."""
    return 0.5 * (depth - 1.0) / depth


@device
def two_gap_sums(at: TwoSums) -> None:
    """Write the sums over all pairs of rows."""
    for k in range(len(at.x)):
        store(at.sum_x, k, splat(0.0))
        store(at.sum_y, k, splat(0.0))
    add_two_gaps_among(at, 0, len(at.x))


@inlined
def add_two_gaps_among(at: TwoSums, first: int, last: int) -> None:
    """Add the pairs among the rows [first, last)."""
    head = first + (last - first) % TILE
    for k in range(first + 1, head):
        add_pairs_of_row(at, k, first, k, True)
    for k in range(head, last, TILE):
        add_two_gaps_of_tile(at, k, first, k)
        add_two_gaps_in_tile(at, k)


@inlined
def add_two_gaps_between(at: TwoSums, first: int, last: int, first_column: int, last_column: int) -> None:
    """Add the pairs of the rows [first, last) and the columns [first_column, last_column), all below them."""
    head = first + (last - first) % TILE
    for k in range(first, head):
        add_pairs_of_row(at, k, first_column, last_column, True)
    for k in range(head, last, TILE):
        add_two_gaps_of_tile(at, k, first_column, last_column)


@inlined
def add_pairs_of_row(at: TwoSums, k: int, first: int, last: int, all_pairs: bool) -> None:
    """Add the pairs of row k and the columns [first, last), each with a division of its own.

    If not `all_pairs`, only those which share no division.
    """
    floor, least = load(at.floor, k), bound(at, k)
    for l in range(first, last):
        d_x, d_y = load(at.x, k) - load(at.x, l), load(at.y, k) - load(at.y, l)
        product, e = d_x * d_y, splat(0.0)
        r = reciprocal(maximum(product, floor))
        if any_of(product < floor):
            tamed = maximum(floor - product, splat(0.0)) * r
            entropy = minimum(load(at.x, k) * at.fading, splat(at.share))
            e = tamed * entropy * reciprocal(maximum(load(at.y, k), splat(TINY)))
        if not all_pairs:
            r = select(product < least, r, splat(0.0))
        r_x, r_y = d_y * r, d_x * r
        store(at.sum_x, k, load(at.sum_x, k) + r_x)
        store(at.sum_y, k, load(at.sum_y, k) + (r_y + e))
        store(at.sum_x, l, load(at.sum_x, l) - r_x)
        store(at.sum_y, l, load(at.sum_y, l) - (r_y - e))


@inlined
def add_two_gaps_of_tile(at: TwoSums, k: int, first: int, last: int) -> None:
    """Add the pairs of the four rows from k and the columns [first, last)."""
    near = last
    while near > first and is_near(at, k, near - 1):
        near -= 1
    add_shared(at, k, first, near, False)
    if near < last:
        add_shared(at, k, near, last, True)
        for i in range(k, k + TILE):
            add_pairs_of_row(at, i, near, last, False)


@inlined
def add_two_gaps_in_tile(at: TwoSums, k: int) -> None:
    """Add the six pairs among the four rows from k."""
    near = False
    for i in range(k + 1, k + TILE):
        near = near | any_of(product_of_gaps(at, i, i - 1) < bound(at, i))
    if near:
        add_shared_in_tile(at, k, True)
        for i in range(k + 1, k + TILE):
            add_pairs_of_row(at, i, k, i, False)
    else:
        add_shared_in_tile(at, k, False)


@inlined
def product_of_gaps(at: TwoSums, k: int, l: int) -> Lane:
    """(x_k − x_l)(y_k − y_l)."""
    return (load(at.x, k) - load(at.x, l)) * (load(at.y, k) - load(at.y, l))


@inlined
def bound(at: TwoSums, k: int) -> Lane:
    """Pairs of row k with a smaller product of gaps do not share a division."""
    return maximum(load(at.floor, k), splat(SAFE))


@inlined
def is_near(at: TwoSums, k: int, l: int) -> bool:
    """Whether column l has, in any lane, a pair with the four rows from k that shares no division."""
    near = False
    for i in range(k, k + TILE):
        near = near | any_of(product_of_gaps(at, i, l) < bound(at, i))
    return near


@inlined
def gaps(x_k: Lane, y_k: Lane, x_l: Lane, y_l: Lane, bound_k: Lane, near: bool) -> tuple[Lane, Lane]:
    """The gaps of a pair; if it is `near` and shares no division, gaps that do not count."""
    d_x, d_y = x_k - x_l, y_k - y_l
    if near:
        alone = d_x * d_y < bound_k
        d_x, d_y = select(alone, splat(FAR), d_x), select(alone, splat(FAR), d_y)
    return d_x, d_y


@inlined
def add_shared(at: TwoSums, k: int, first: int, last: int, near: bool) -> None:
    """Add the pairs of the four rows from k and the columns [first, last) that share divisions: all, if not `near`."""
    x, y, sum_x, sum_y = at.x, at.y, at.sum_x, at.sum_y
    x_0, x_1, x_2, x_3 = load(x, k), load(x, k + 1), load(x, k + 2), load(x, k + 3)
    y_0, y_1, y_2, y_3 = load(y, k), load(y, k + 1), load(y, k + 2), load(y, k + 3)
    bound_0, bound_1, bound_2, bound_3 = bound(at, k), bound(at, k + 1), bound(at, k + 2), bound(at, k + 3)
    f_0, f_1, f_2, f_3 = load(sum_x, k), load(sum_x, k + 1), load(sum_x, k + 2), load(sum_x, k + 3)
    g_0, g_1, g_2, g_3 = load(sum_y, k), load(sum_y, k + 1), load(sum_y, k + 2), load(sum_y, k + 3)
    for l in range(first, last):
        x_l, y_l = load(x, l), load(y, l)
        a_x, a_y = gaps(x_0, y_0, x_l, y_l, bound_0, near)
        b_x, b_y = gaps(x_1, y_1, x_l, y_l, bound_1, near)
        c_x, c_y = gaps(x_2, y_2, x_l, y_l, bound_2, near)
        d_x, d_y = gaps(x_3, y_3, x_l, y_l, bound_3, near)
        in_ab_x, in_ab_y = two_reciprocals(a_x * b_x, a_y * b_y)
        in_cd_x, in_cd_y = two_reciprocals(c_x * d_x, c_y * d_y)
        # 1/a is formed for x and not for y, which keeps adders and multipliers equally busy.
        a_x, b_x = b_x * in_ab_x, a_x * in_ab_x
        c_x, d_x = d_x * in_cd_x, c_x * in_cd_x
        f_0, f_1, f_2, f_3 = f_0 + a_x, f_1 + b_x, f_2 + c_x, f_3 + d_x
        g_0, g_1 = g_0 + b_y * in_ab_y, g_1 + a_y * in_ab_y
        g_2, g_3 = g_2 + d_y * in_cd_y, g_3 + c_y * in_cd_y
        store(sum_x, l, load(sum_x, l) - ((a_x + b_x) + (c_x + d_x)))
        store(sum_y, l, load(sum_y, l) - (a_y + b_y) * in_ab_y - (c_y + d_y) * in_cd_y)
    store(sum_x, k, f_0)
    store(sum_x, k + 1, f_1)
    store(sum_x, k + 2, f_2)
    store(sum_x, k + 3, f_3)
    store(sum_y, k, g_0)
    store(sum_y, k + 1, g_1)
    store(sum_y, k + 2, g_2)
    store(sum_y, k + 3, g_3)


@inlined
def shared_reciprocals(a_x: Lane, a_y: Lane, b_x: Lane, b_y: Lane) -> tuple[Lane, Lane, Lane, Lane]:
    """The reciprocals of the four gaps of two pairs, by one division."""
    in_x, in_y = two_reciprocals(a_x * b_x, a_y * b_y)
    return b_x * in_x, b_y * in_y, a_x * in_x, a_y * in_y


@inlined
def add_shared_in_tile(at: TwoSums, k: int, near: bool) -> None:
    """Add the pairs among the four rows from k that share divisions: all, if not `near`."""
    x, y, sum_x, sum_y = at.x, at.y, at.sum_x, at.sum_y
    x_0, x_1, x_2, x_3 = load(x, k), load(x, k + 1), load(x, k + 2), load(x, k + 3)
    y_0, y_1, y_2, y_3 = load(y, k), load(y, k + 1), load(y, k + 2), load(y, k + 3)
    bound_1, bound_2, bound_3 = bound(at, k + 1), bound(at, k + 2), bound(at, k + 3)
    a_x, a_y = gaps(x_1, y_1, x_0, y_0, bound_1, near)
    b_x, b_y = gaps(x_3, y_3, x_2, y_2, bound_3, near)
    c_x, c_y = gaps(x_2, y_2, x_0, y_0, bound_2, near)
    d_x, d_y = gaps(x_3, y_3, x_1, y_1, bound_3, near)
    e_x, e_y = gaps(x_3, y_3, x_0, y_0, bound_3, near)
    g_x, g_y = gaps(x_2, y_2, x_1, y_1, bound_2, near)
    a_x, a_y, b_x, b_y = shared_reciprocals(a_x, a_y, b_x, b_y)
    c_x, c_y, d_x, d_y = shared_reciprocals(c_x, c_y, d_x, d_y)
    e_x, e_y, g_x, g_y = shared_reciprocals(e_x, e_y, g_x, g_y)
    store(sum_x, k, load(sum_x, k) - (a_x + c_x + e_x))
    store(sum_x, k + 1, load(sum_x, k + 1) + (a_x - d_x - g_x))
    store(sum_x, k + 2, load(sum_x, k + 2) + (c_x + g_x - b_x))
    store(sum_x, k + 3, load(sum_x, k + 3) + (b_x + d_x + e_x))
    store(sum_y, k, load(sum_y, k) - (a_y + c_y + e_y))
    store(sum_y, k + 1, load(sum_y, k + 1) + (a_y - d_y - g_y))
    store(sum_y, k + 2, load(sum_y, k + 2) + (c_y + g_y - b_y))
    store(sum_y, k + 3, load(sum_y, k + 3) + (b_y + d_y + e_y))
