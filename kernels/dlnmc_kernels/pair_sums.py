"""Sums over pairs of reciprocal gaps, the cost of every drift: in tiles of four rows, which stay in registers.

Four gaps share one division, 1/a = b/(ab), so that a pair costs about four multiplications. Rows must ascend in every
lane: a row that is tamed by another is tamed by all between, so that mostly neighbours are. What a lane gets depends on
its own numbers alone, to the last bit: where one path is tamed, another is computed as if none were.
"""

from typing import Any, NamedTuple

from dlnmc_kernels.jit import apart, device, inlined
from dlnmc_kernels.lanes import (
    Lane,
    address,
    any_of,
    load,
    maximum,
    minimum,
    reciprocal,
    select,
    splat,
    store,
    twice_reciprocal,
)

TILE = 4
TINY = 1e-290
SAFE, LARGE = 1e-140, 1e140  # two products of two gaps between these may be multiplied
# Rows share a division with a column that is farther than this fraction of them, below which much is lost to rounding,
CLOSE = 1e-5
SPREAD = 64.0  # and of which their own gap is not more than this multiple, in y


@inlined
def two_reciprocals(p: Lane, q: Lane) -> tuple[Lane, Lane]:
    """(1/p, 1/q) by one division."""
    r = reciprocal(p * q)
    return q * r, p * r


@inlined
def among_four(a: Lane, b: Lane, c: Lane, d: Lane, e: Lane, g: Lane) -> tuple[Lane, Lane, Lane, Lane]:
    """What the pairs (1, 0), (3, 2), (2, 0), (3, 1), (3, 0), (2, 1) of four rows give these."""
    return -(a + c + e), a - d - g, c + g - b, b + d + e


@inlined
def four(rows: Lane, k: int) -> tuple[Lane, Lane, Lane, Lane]:
    """The four rows from k."""
    return load(rows, k), load(rows, k + 1), load(rows, k + 2), load(rows, k + 3)


@inlined
def plus(p: Any, q: Any) -> Any:
    """The sums of four lanes and four."""
    return p[0] + q[0], p[1] + q[1], p[2] + q[2], p[3] + q[3]


@inlined
def add_to_four(rows: Lane, k: int, values: Any, fresh: bool) -> None:
    """Add to the four rows from k, or write them if `fresh`."""
    if not fresh:
        values = plus(four(rows, k), values)
    store(rows, k, values[0])
    store(rows, k + 1, values[1])
    store(rows, k + 2, values[2])
    store(rows, k + 3, values[3])


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
    add_to_four(f, i, among_four(a, b, c, d, e, g), False)


# --- two sums at once: Σ_l 1/(x_k − x_l) and Σ_l 1/(y_k − y_l), for y = x^N ------------------------------------------


class Taming(NamedTuple):
    """What becomes of pairs with a small product of gaps p, from `taming`.

    Where p < y_k min(away, max(x_k, gap_squared)), that counts for p, and the fraction of the repulsion that is lost is
    added to the y-sums of both, times min(share, x_k fading)/y_k. A row l that is tamed by row k is tamed by all
    between, since p over this bound ascends with k. Beyond `away` nothing fades: away · fading >= share, away >=
    gap_squared.
    """

    away: float
    gap_squared: float
    share: float
    fading: float


@inlined
def entropic_share(depth: float) -> float:
    """What entropy adds to y_k/(y_k − y_l) for two equal components, (N−1)/(2N)."""
    return 0.5 * (depth - 1.0) / depth


@inlined
def taming(depth: float, epsilon: float) -> Taming:
    """Repulsion is continued linearly where rows are closer than ε in λ = √x; its entropic part fades within ε of 0."""
    share = entropic_share(depth)
    return Taming(4.0 * depth * epsilon * epsilon, epsilon * epsilon, share, share / max(epsilon * epsilon, TINY))


@inlined
def tamed_product(tame: Taming, x_k: Lane) -> Lane:
    """The value of (x_k − x_l)(y_k − y_l)/y_k below which a pair is tamed.

    It is 4Nε² where λ_l = λ_k − ε, away from 0; near 0 it is not more than x_k, the value for λ_l = 0.
    """
    return minimum(splat(tame.away), maximum(x_k, splat(tame.gap_squared)))


@inlined
def entropy_of(tame: Taming, x_k: Lane) -> Lane:
    """What entropy adds to y_k/(y_k − y_l) for two equal components, and fades near 0."""
    return minimum(x_k * tame.fading, splat(tame.share))


class TwoSums(NamedTuple):
    """The rows x and y, their sums, and how pairs are tamed; from `two_sums`, with the addresses of the rows."""

    x: Lane
    y: Lane
    tame: Taming
    sum_x: Lane
    sum_y: Lane


@inlined
def two_sums(x: Lane, y: Lane, tame: Taming, sum_x: Lane, sum_y: Lane) -> TwoSums:
    """Arrays of shape (size, 8) as the functions below take them."""
    return TwoSums(address(x, 0), address(y, 0), tame, address(sum_x, 0), address(sum_y, 0))


@device
def two_gap_sums(at: TwoSums, size: int) -> None:
    """Write the sums over all pairs of the rows [0, size)."""
    add_two_gaps_among(at, 0, size, True)


@inlined
def add_two_gaps_among(at: TwoSums, first: int, last: int, fresh: bool) -> None:
    """Add the pairs among the rows [first, last), to sums 0 if `fresh`."""
    head = first + (last - first) % TILE
    add_rows(at, first, head, first, last, fresh)
    large = head < last and is_large(at, last - 1, first)
    for k in range(head, last, TILE):
        border = max(k - 1, first)
        add_diagonal(at, k, border, fresh, large)
        add_two_gaps_of_tile(at, k, first, border, large)


@inlined
def add_two_gaps_between(at: TwoSums, first: int, last: int, first_column: int, last_column: int) -> None:
    """Add the pairs of the rows [first, last) and the columns [first_column, last_column), all below them."""
    head = first + (last - first) % TILE
    add_rows(at, first, head, first_column, last_column, False)
    large = head < last and is_large(at, last - 1, first_column)
    for k in range(head, last, TILE):
        add_two_gaps_of_tile(at, k, first_column, last_column, large)


@inlined
def add_rows(at: TwoSums, first: int, last: int, first_column: int, last_column: int, fresh: bool) -> None:
    """Add the pairs of rows that fill no tile and of columns before each, to sums 0 if `fresh`."""
    for k in range(first, last):
        if fresh:
            store(at.sum_x, k, splat(0.0))
            store(at.sum_y, k, splat(0.0))
        add_pairs_of_row(at, k, first_column, min(k, last_column))


@inlined
def product_of_gaps(at: TwoSums, k: int, l: int) -> Lane:
    """(x_k − x_l)(y_k − y_l)."""
    return (load(at.x, k) - load(at.x, l)) * (load(at.y, k) - load(at.y, l))


@inlined
def floor_of(at: TwoSums, k: int) -> Lane:
    """The product of gaps below which pairs of row k are tamed, at least TINY."""
    return maximum(load(at.y, k) * tamed_product(at.tame, load(at.x, k)), splat(TINY))


@inlined
def is_large(at: TwoSums, k: int, l: int) -> bool:
    """Whether in some path a product of gaps of a row up to k and a row from l on is too large to share a division."""
    return any_of(product_of_gaps(at, k, l) > LARGE)


@inlined
def is_near(at: TwoSums, k: int, l: int) -> Lane:
    """The mask of paths in which row l is too near to the four rows from k; rows below it are farther away."""
    x_k, y, y_l = load(at.x, k), four(at.y, k), load(at.y, l)
    gap = x_k - load(at.x, l)
    small = (gap * (y[0] - y_l) < maximum(floor_of(at, k), splat(SAFE))) | (gap < x_k * CLOSE)
    return small | (y[1] - y[0] > (y[0] - y_l) * SPREAD) | (y[3] - y[2] > (y[2] - y_l) * SPREAD)


@inlined
def is_alone(at: TwoSums, k: int, l: int) -> Lane:
    """The mask of paths in which the pairs of the four rows from k and row l share nothing: one may not."""
    return is_near(at, k, l) | (product_of_gaps(at, k + TILE - 1, l) > LARGE)


@inlined
def lost_entropy(tame: Taming, x_k: Lane) -> Lane:
    """What entropy adds to y_k/(y_k − y_l) for two equal components, times the product that is tamed, over y_k."""
    return entropy_of(tame, x_k) * tamed_product(tame, x_k)


@inlined
def entropy_of_pair(product: Lane, r: Lane, lost: Lane) -> Lane:
    """What remains of entropy for a pair with this product of gaps; r is the reciprocal that counts.

    It is 0 unless the pair is tamed, or what is lost in rounding.
    """
    return (1.0 - product * r) * (lost * r)


@inlined
def add_pairs_of_row(at: TwoSums, k: int, first: int, last: int) -> None:
    """Add the pairs of row k and the columns [first, last), each with a division of its own."""
    for l in range(first, last):
        r_x, r_y, e = tamed_pair(at, k, l)
        add_pair(at, k, l, r_x, r_y, e)


@inlined
def add_pair(at: TwoSums, k: int, l: int, r_x: Lane, r_y: Lane, e: Lane) -> None:
    """Add to the sums of rows k > l their repulsion in x and in y, and what remains of entropy."""
    store(at.sum_x, k, load(at.sum_x, k) + r_x)
    store(at.sum_y, k, load(at.sum_y, k) + (r_y + e))
    store(at.sum_x, l, load(at.sum_x, l) - r_x)
    store(at.sum_y, l, load(at.sum_y, l) - (r_y - e))


@inlined
def tamed_pair(at: TwoSums, k: int, l: int) -> tuple[Lane, Lane, Lane]:
    """The repulsion of rows k > l in x and in y, and what remains of entropy."""
    d_x, d_y = load(at.x, k) - load(at.x, l), load(at.y, k) - load(at.y, l)
    r = reciprocal(maximum(d_x * d_y, floor_of(at, k)))
    return d_y * r, d_x * r, entropy_of_pair(d_x * d_y, r, lost_entropy(at.tame, load(at.x, k)))


@inlined
def add_two_gaps_of_tile(at: TwoSums, k: int, first: int, last: int, large: bool) -> None:
    """Add the pairs of the four rows from k and the columns [first, last)."""
    near = last
    while near > first and (large or any_of(is_near(at, k, near - 1))):
        near -= 1
    if near == last:
        add_columns(at, k, first, last)
    else:
        add_near_columns(at, k, first, near, last)


@apart
def add_columns(at: TwoSums, k: int, first: int, last: int) -> None:
    """Add the pairs of the four rows from k and the columns [first, last)."""
    add_columns_up_to(at, k, first, last, last)


@apart
def add_near_columns(at: TwoSums, k: int, first: int, near: int, last: int) -> None:
    """The same where the columns from `near` on may share nothing."""
    add_columns_up_to(at, k, first, near, last)


@inlined
def add_columns_up_to(at: TwoSums, k: int, first: int, near: int, last: int) -> None:
    """Both of them."""
    x, y, zero = four(at.x, k), four(at.y, k), splat(0.0)
    h = half_gap(x[0], x[1]), half_gap(y[0], y[1]), half_gap(x[2], x[3]), half_gap(y[2], y[3])
    middles = x[0] + h[0], y[0] + h[1], x[2] + h[2], y[2] + h[3]
    squares = h[0] * h[0], h[1] * h[1], h[2] * h[2], h[3] * h[3]
    sums = (zero, zero, zero, zero, zero, zero, zero, zero)
    for l in range(first, near):
        sums = add_column(at, k, l, middles, squares, sums, False)
    for l in range(near, last):
        sums = add_column(at, k, l, middles, squares, sums, True)
        add_lone_pairs(at, k, l)
    add_to_four(at.sum_x, k, two_rows(h[0], sums[0], sums[1]) + two_rows(h[2], sums[4], sums[5]), False)
    add_to_four(at.sum_y, k, two_rows(h[1], sums[2], sums[3]) + two_rows(h[3], sums[6], sums[7]), False)


@inlined
def half_gap(p: Lane, q: Lane) -> Lane:
    """(q − p)/2."""
    return (q - p) * 0.5


@inlined
def add_column(at: TwoSums, k: int, l: int, middles: Any, squares: Any, sums: Any, near: bool) -> Any:
    """Add the pairs of four rows and column l to its sums; return those of the rows, as they are to be continued.

    Two rows at m ∓ h, with g = m − x_l, have 1/(g − h) + 1/(g + h) = 2g/(g² − h²): their sums are those of this, and of
    2/(g² − h²), which times h is the difference; for x, then for y, then for the other two rows. Rounding m moves two
    rows by half a unit in their last place: so exact are they themselves. If `near`, pairs that share nothing are left
    out.
    """
    x_l, y_l = load(at.x, l), load(at.y, l)
    g_x, g_y, e_x, e_y = middles[0] - x_l, middles[1] - y_l, middles[2] - x_l, middles[3] - y_l
    p_x, p_y, q_x, q_y = g_x * g_x - squares[0], g_y * g_y - squares[1], e_x * e_x - squares[2], e_y * e_y - squares[3]
    p, q = p_x * p_y, q_x * q_y
    if near:
        alone, zero, one = is_alone(at, k, l), splat(0.0), splat(1.0)
        p, q = select(alone, one, p), select(alone, one, q)
        p_x, p_y = select(alone, zero, p_x), select(alone, zero, p_y)
        q_x, q_y = select(alone, zero, q_x), select(alone, zero, q_y)
    in_p, in_q = twice_reciprocal(p), twice_reciprocal(q)
    p_x, p_y, q_x, q_y = p_y * in_p, p_x * in_p, q_y * in_q, q_x * in_q
    g_x, g_y, e_x, e_y = g_x * p_x, g_y * p_y, e_x * q_x, e_y * q_y
    store(at.sum_x, l, load(at.sum_x, l) - g_x - e_x)
    store(at.sum_y, l, load(at.sum_y, l) - g_y - e_y)
    first = sums[0] + g_x, sums[1] + p_x, sums[2] + g_y, sums[3] + p_y
    return (*first, sums[4] + e_x, sums[5] + q_x, sums[6] + e_y, sums[7] + q_y)


@inlined
def two_rows(h: Lane, both: Lane, products: Lane) -> tuple[Lane, Lane]:
    """The sums of two rows from what `add_column` sums: the lower row is nearer to the columns."""
    difference = h * products
    return (both + difference) * 0.5, (both - difference) * 0.5


@inlined
def add_lone_pairs(at: TwoSums, k: int, l: int) -> None:
    """Add the pairs of the four rows from k and row l that share nothing."""
    alone, zero = is_alone(at, k, l), splat(0.0)
    for i in range(k, k + TILE):
        r_x, r_y, e = tamed_pair(at, i, l)
        add_pair(at, i, l, select(alone, r_x, zero), select(alone, r_y, zero), select(alone, e, zero))


@inlined
def reciprocals_of(p: Lane, q: Lane, rare: bool) -> Any:
    """Two reciprocals by one division; only if `rare` may the numbers be too small or too large for this."""
    in_p, in_q = two_reciprocals(p, q)
    if rare:
        alone = (minimum(p, q) < SAFE) | (maximum(p, q) > LARGE)
        in_p, in_q = select(alone, reciprocal(p), in_p), select(alone, reciprocal(q), in_q)
    return in_p, in_q


@inlined
def floors_of(at: TwoSums, k: int, x: Any, y: Any, near_zero: bool) -> Any:
    """`floor_of` and `lost_entropy` of the four rows from k."""
    if near_zero:
        tame = at.tame
        f = floor_of(at, k), floor_of(at, k + 1), floor_of(at, k + 2), floor_of(at, k + 3)
        lost = lost_entropy(tame, x[0]), lost_entropy(tame, x[1]), lost_entropy(tame, x[2]), lost_entropy(tame, x[3])
    else:
        away, whole = at.tame.away, splat(at.tame.share) * at.tame.away
        f, lost = (y[0] * away, y[1] * away, y[2] * away, y[3] * away), (whole, whole, whole, whole)
    return f, lost


@inlined
def add_diagonal(at: TwoSums, k: int, border: int, fresh: bool, large: bool) -> None:
    """Add the pairs among the four rows from k, and of these and the column before them, if `border` < k."""
    x, y = four(at.x, k), four(at.y, k)
    f, lost = floors_of(at, k, x, y, any_of((x[0] < at.tame.away) | (y[0] * at.tame.away < TINY)))
    rare = large or any_of(f[0] < SAFE)
    a_x, b_x, c_x, d_x, e_x, g_x = x[1] - x[0], x[2] - x[1], x[3] - x[2], x[2] - x[0], x[3] - x[1], x[3] - x[0]
    a_y, b_y, c_y, d_y, e_y, g_y = y[1] - y[0], y[2] - y[1], y[3] - y[2], y[2] - y[0], y[3] - y[1], y[3] - y[0]
    a, b, c = maximum(a_x * a_y, f[1]), maximum(b_x * b_y, f[2]), maximum(c_x * c_y, f[3])
    d, e, g = maximum(d_x * d_y, f[2]), maximum(e_x * e_y, f[3]), maximum(g_x * g_y, f[3])
    in_a, in_c = reciprocals_of(a, c, rare)
    in_d, in_e = reciprocals_of(d, e, rare)
    in_b, in_g = reciprocals_of(b, g, rare)
    of_a = entropy_of_pair(a_x * a_y, in_a, lost[1])
    of_b = entropy_of_pair(b_x * b_y, in_b, lost[2])
    of_c = entropy_of_pair(c_x * c_y, in_c, lost[3])
    of_d = entropy_of_pair(d_x * d_y, in_d, lost[2])
    of_e = entropy_of_pair(e_x * e_y, in_e, lost[3])
    others = g_x * g_y < f[3]
    in_x = among_four(a_y * in_a, c_y * in_c, d_y * in_d, e_y * in_e, g_y * in_g, b_y * in_b)
    in_y = among_four(a_x * in_a, c_x * in_c, d_x * in_d, e_x * in_e, g_x * in_g, b_x * in_b)
    in_y = plus(in_y, (of_a + of_d, of_a + of_b + of_e, of_b + of_c + of_d, of_c + of_e))
    if border < k:
        x_l, y_l = load(at.x, border), load(at.y, border)
        a_x, b_x, c_x, d_x = x[0] - x_l, x[1] - x_l, x[2] - x_l, x[3] - x_l
        a_y, b_y, c_y, d_y = y[0] - y_l, y[1] - y_l, y[2] - y_l, y[3] - y_l
        a, b = maximum(a_x * a_y, f[0]), maximum(b_x * b_y, f[1])
        in_a, in_b = reciprocals_of(a, b, rare)
        in_c, in_d = reciprocals_of(maximum(c_x * c_y, f[2]), maximum(d_x * d_y, f[3]), rare)
        of_a = entropy_of_pair(a_x * a_y, in_a, lost[0])
        of_b = entropy_of_pair(b_x * b_y, in_b, lost[1])
        others = others | (c_x * c_y < f[2])
        a_x, a_y, b_x, b_y = a_y * in_a, a_x * in_a, b_y * in_b, b_x * in_b
        c_x, c_y, d_x, d_y = c_y * in_c, c_x * in_c, d_y * in_d, d_x * in_d
        store(at.sum_x, border, load(at.sum_x, border) - ((a_x + b_x) + (c_x + d_x)))
        store(at.sum_y, border, load(at.sum_y, border) - ((a_y + b_y) + (c_y + d_y) - (of_a + of_b)))
        in_x, in_y = plus(in_x, (a_x, b_x, c_x, d_x)), plus(in_y, (a_y + of_a, b_y + of_b, c_y, d_y))
    add_to_four(at.sum_x, k, in_x, fresh)
    add_to_four(at.sum_y, k, in_y, fresh)
    if any_of(others):
        for i in range(k + 2, k + TILE):
            add_entropy_of_row(at, i, border, i - 2)


@inlined
def add_entropy_of_row(at: TwoSums, k: int, first: int, last: int) -> None:
    """Add what remains of entropy where the pairs of row k and the columns [first, last) are tamed."""
    for l in range(first, last):
        e = select(product_of_gaps(at, k, l) < floor_of(at, k), tamed_pair(at, k, l)[2], splat(0.0))
        store(at.sum_y, k, load(at.sum_y, k) + e)
        store(at.sum_y, l, load(at.sum_y, l) + e)
