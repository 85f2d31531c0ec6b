"""Sums over pairs of reciprocal gaps, the cost of every drift: in tiles of four rows, which stay in registers.

Four gaps share one division, 1/a = b/(ab), so that a pair costs about four multiplications. Rows must ascend in every
lane: then a pair may be tamed only if it is as close as the nearest pair of its column. What a lane gets depends on its
own numbers alone, to the last bit: where one path is tamed, another is computed as if none were.
"""

from typing import Any, NamedTuple

from dlnmc_kernels.jit import device, inlined
from dlnmc_kernels.lanes import Lane, any_of, load, maximum, minimum, reciprocal, select, splat, store

TILE = 4
TINY = 1e-290
SAFE, LARGE = 1e-140, 1e140  # products of two gaps between these may be multiplied with another such product


@inlined
def two_reciprocals(p: Lane, q: Lane) -> tuple[Lane, Lane]:
    """(1/p, 1/q) by one division."""
    r = reciprocal(p * q)
    return q * r, p * r


@inlined
def add_to_four_rows(f: Lane, k: int, a: Lane, b: Lane, c: Lane, d: Lane, e: Lane, g: Lane) -> None:
    """Add what the pairs (1, 0), (3, 2), (2, 0), (3, 1), (3, 0), (2, 1) of four rows give both."""
    store(f, k, load(f, k) - (a + c + e))
    store(f, k + 1, load(f, k + 1) + (a - d - g))
    store(f, k + 2, load(f, k + 2) + (c + g - b))
    store(f, k + 3, load(f, k + 3) + (b + d + e))


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
    add_to_four_rows(f, i, a, b, c, d, e, g)


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
        add_pairs_of_row(at, k, first, k, -1)
    for k in range(head, last, TILE):
        add_two_gaps_of_tile(at, k, first, k)
        add_two_gaps_in_tile(at, k)


@inlined
def add_two_gaps_between(at: TwoSums, first: int, last: int, first_column: int, last_column: int) -> None:
    """Add the pairs of the rows [first, last) and the columns [first_column, last_column), all below them."""
    head = first + (last - first) % TILE
    for k in range(first, head):
        add_pairs_of_row(at, k, first_column, last_column, -1)
    for k in range(head, last, TILE):
        add_two_gaps_of_tile(at, k, first_column, last_column)


@inlined
def add_pairs_of_row(at: TwoSums, k: int, first: int, last: int, partner: int) -> None:
    """Add the pairs of row k and the columns [first, last), each with a division of its own.

    With a partner >= 0 only those which share no division, for their sake or for that of the partner's pair.
    """
    floor = load(at.floor, k)
    for l in range(first, last):
        d_x, d_y = load(at.x, k) - load(at.x, l), load(at.y, k) - load(at.y, l)
        product, e = d_x * d_y, splat(0.0)
        r = reciprocal(maximum(product, floor))
        if any_of(product < floor):
            tamed = maximum(floor - product, splat(0.0)) * r
            entropy = minimum(load(at.x, k) * at.fading, splat(at.share))
            e = tamed * entropy * reciprocal(maximum(load(at.y, k), splat(TINY)))
        if partner >= 0:
            r = select(is_alone(at, k, l) | is_alone(at, partner, l), r, splat(0.0))
        r_x, r_y = d_y * r, d_x * r
        store(at.sum_x, k, load(at.sum_x, k) + r_x)
        store(at.sum_y, k, load(at.sum_y, k) + (r_y + e))
        store(at.sum_x, l, load(at.sum_x, l) - r_x)
        store(at.sum_y, l, load(at.sum_y, l) - (r_y - e))


@inlined
def product_of_gaps(at: TwoSums, k: int, l: int) -> Lane:
    """(x_k − x_l)(y_k − y_l)."""
    return (load(at.x, k) - load(at.x, l)) * (load(at.y, k) - load(at.y, l))


@inlined
def least_product(at: TwoSums, k: int) -> Lane:
    """The product of gaps below which pairs of row k are tamed, or too small to share a division."""
    return maximum(load(at.floor, k), splat(SAFE))


@inlined
def is_alone(at: TwoSums, k: int, l: int) -> Lane:
    """The mask of paths in which the pair of rows k > l shares no division."""
    product = product_of_gaps(at, k, l)
    return (product < least_product(at, k)) | (product > LARGE)


@inlined
def four(rows: Lane, k: int) -> tuple[Lane, Lane, Lane, Lane]:
    """The rows from k."""
    return load(rows, k), load(rows, k + 1), load(rows, k + 2), load(rows, k + 3)


@inlined
def add_two_gaps_of_tile(at: TwoSums, k: int, first: int, last: int) -> None:
    """Add the pairs of the four rows from k and the columns [first, last).

    With a and a + δ the gaps of two rows, Σ 1/(a + δ) is Σ a/(a(a + δ)), and Σ 1/a is that and δ Σ 1/(a(a + δ)).
    """
    near, least = last, least_product(at, k + TILE - 1)  # the largest; the least product is that of row k
    while near > first and any_of(product_of_gaps(at, k, near - 1) < least):
        near -= 1
    if near > first and any_of(product_of_gaps(at, k + TILE - 1, first) > LARGE):
        near = first
    x, y, zero = four(at.x, k), four(at.y, k), splat(0.0)
    sums = (zero, zero, zero, zero, zero, zero, zero, zero)
    for l in range(first, near):
        sums = add_column(at, k, l, x, y, sums, False)
    for l in range(near, last):
        sums = add_column(at, k, l, x, y, sums, True)
    add_to_two_rows(at.sum_x, k, x[1] - x[0], sums[0], sums[1])
    add_to_two_rows(at.sum_y, k, y[1] - y[0], sums[2], sums[3])
    add_to_two_rows(at.sum_x, k + 2, x[3] - x[2], sums[4], sums[5])
    add_to_two_rows(at.sum_y, k + 2, y[3] - y[2], sums[6], sums[7])
    if near < last:
        add_pairs_of_row(at, k, near, last, k + 1)
        add_pairs_of_row(at, k + 1, near, last, k)
        add_pairs_of_row(at, k + 2, near, last, k + 3)
        add_pairs_of_row(at, k + 3, near, last, k + 2)


@inlined
def add_column(at: TwoSums, k: int, l: int, x: Any, y: Any, sums: Any, near: bool) -> Any:
    """Add the pairs of four rows and column l to its sums; return those of the rows, as they are to be continued.

    Those of two rows with the gaps a and b: Σ a/(ab) and Σ 1/(ab), of x and then of y, then those of the other two.
    If `near`, pairs that share no division are left out.
    """
    x_l, y_l = load(at.x, l), load(at.y, l)
    a_x, b_x, c_x, d_x = x[0] - x_l, x[1] - x_l, x[2] - x_l, x[3] - x_l
    a_y, b_y, c_y, d_y = y[0] - y_l, y[1] - y_l, y[2] - y_l, y[3] - y_l
    if near:
        alone = is_alone(at, k, l) | is_alone(at, k + 1, l)
        ab_x, ab_y = without(alone, a_x * b_x, a_y * b_y)
        alone = is_alone(at, k + 2, l) | is_alone(at, k + 3, l)
        cd_x, cd_y = without(alone, c_x * d_x, c_y * d_y)
    else:
        ab_x, ab_y = two_reciprocals(a_x * b_x, a_y * b_y)
        cd_x, cd_y = two_reciprocals(c_x * d_x, c_y * d_y)
    store(at.sum_x, l, load(at.sum_x, l) - (a_x + b_x) * ab_x - (c_x + d_x) * cd_x)
    store(at.sum_y, l, load(at.sum_y, l) - (a_y + b_y) * ab_y - (c_y + d_y) * cd_y)
    first = sums[0] + a_x * ab_x, sums[1] + ab_x, sums[2] + a_y * ab_y, sums[3] + ab_y
    return (*first, sums[4] + c_x * cd_x, sums[5] + cd_x, sums[6] + c_y * cd_y, sums[7] + cd_y)


@inlined
def without(alone: Lane, p: Lane, q: Lane) -> tuple[Lane, Lane]:
    """The reciprocals of two numbers, 0 in the lanes `alone`."""
    zero, one = splat(0.0), splat(1.0)
    in_p, in_q = two_reciprocals(select(alone, one, p), select(alone, one, q))
    return select(alone, zero, in_p), select(alone, zero, in_q)


@inlined
def add_to_two_rows(rows: Lane, k: int, delta: Lane, upper: Lane, products: Lane) -> None:
    """Add Σ a/(ab) to row k + 1, and Σ b/(ab) with b = a + δ to row k."""
    store(rows, k, load(rows, k) + (upper + delta * products))
    store(rows, k + 1, load(rows, k + 1) + upper)


@inlined
def add_two_gaps_in_tile(at: TwoSums, k: int) -> None:
    """Add the six pairs among the four rows from k."""
    close = is_alone(at, k + 1, k) | is_alone(at, k + 2, k + 1) | is_alone(at, k + 3, k + 2)
    near = any_of(close | is_alone(at, k + 3, k))
    if near:
        add_shared_in_tile(at, k, True)
        for i in range(k + 1, k + TILE):
            add_pairs_of_row(at, i, k, i, i)
    else:
        add_shared_in_tile(at, k, False)


@inlined
def two_pairs(at: TwoSums, i: int, j: int, k: int, l: int, near: bool) -> tuple[Lane, Lane, Lane, Lane]:
    """The reciprocals of the gaps of rows i > j and those of rows k > l, in x and y each, by one division.

    If `near`, 0 for pairs that share none.
    """
    a_x, a_y = load(at.x, i) - load(at.x, j), load(at.y, i) - load(at.y, j)
    b_x, b_y = load(at.x, k) - load(at.x, l), load(at.y, k) - load(at.y, l)
    if not near:
        in_x, in_y = two_reciprocals(a_x * b_x, a_y * b_y)
        return b_x * in_x, b_y * in_y, a_x * in_x, a_y * in_y
    a_alone, b_alone, zero, one = is_alone(at, i, j), is_alone(at, k, l), splat(0.0), splat(1.0)
    a_x, a_y, b_x, b_y = (
        select(a_alone, one, a_x),
        select(a_alone, one, a_y),
        select(b_alone, one, b_x),
        select(b_alone, one, b_y),
    )
    in_x, in_y = two_reciprocals(a_x * b_x, a_y * b_y)
    a_x, a_y, b_x, b_y = b_x * in_x, b_y * in_y, a_x * in_x, a_y * in_y
    return (
        select(a_alone, zero, a_x),
        select(a_alone, zero, a_y),
        select(b_alone, zero, b_x),
        select(b_alone, zero, b_y),
    )


@inlined
def add_shared_in_tile(at: TwoSums, k: int, near: bool) -> None:
    """Add the pairs among the four rows from k that share divisions: all, if not `near`."""
    a_x, a_y, b_x, b_y = two_pairs(at, k + 1, k, k + 3, k + 2, near)
    c_x, c_y, d_x, d_y = two_pairs(at, k + 2, k, k + 3, k + 1, near)
    e_x, e_y, g_x, g_y = two_pairs(at, k + 3, k, k + 2, k + 1, near)
    add_to_four_rows(at.sum_x, k, a_x, b_x, c_x, d_x, e_x, g_x)
    add_to_four_rows(at.sum_y, k, a_y, b_y, c_y, d_y, e_y, g_y)
