"""Sums over all pairs of many ordered components, at a cost that grows like their number, not its square.

For Dyson's drift Σ_j 1/(x_i − x_j); for that of the Deep Linear Network the same with x = λ² and with y = λ^{2N}, which
in logarithms, with z = log x, are x_i/(x_i − x_j) = 1 + 1/(e^{z_i − z_j} − 1) for j < i and −1/(e^{z_j − z_i} − 1) for
j > i, and N z for z where y stands for x: so small singular values of deep networks are no closer than others.

Components are cut into blocks of `BLOCK` by their index. Those of one block or of neighbours are summed directly. What
is further apart is a sum of exponentials, of rates in geometric progression,

    1/r ≈ Σ_k w_k e^{−t_k r},   t_k = 2^{k/2} t_0,   w_k = t_k log(2)/2,

the trapezoidal rule for ∫ e^{s − r e^s} ds = 1/r, exact to 1e-11 (Beylkin and Monzón 2005), and an exponential of a
distance is the product of exponentials of its parts: one sweep over the blocks carries each Σ_j e^{−t_k (c − x_j)}
upward from edge to edge c, another downward. They stand in the place of the multipoles of Greengard and Rokhlin (1987)
and of the tree of Dutt, Gu and Rokhlin (1996), which a line can do without. The lowest rates are whole multiples of
one, with fitted weights that end the progression; those above follow from two exponentials of each distance by
squaring.

The eight lanes are independent paths. Blocks follow from the number of components alone, rates from a lane's extent,
and a lane's terms end where t δ is large, with δ its least distance of blocks that are not neighbours: no path's sums
depend on another path. A lane whose δ is too small for `MOST_TERMS`, or for taming, has direct sums.
"""

import math
from typing import Any

import numpy as np

from dlnmc_kernels.elementary import exp, log
from dlnmc_kernels.jit import device, inlined, kernel
from dlnmc_kernels.lanes import (
    Lane,
    absolute,
    any_of,
    load,
    maximum,
    minimum,
    reciprocal,
    select,
    splat,
    store,
)
from dlnmc_kernels.outlined import outlined, rows_at
from dlnmc_kernels.pair_sums import (
    TwoSums,
    add_gaps_among,
    add_gaps_between,
    add_two_gaps_among,
    add_two_gaps_between,
    floor_of,
    gap_sums,
    taming,
    two_gap_sums,
    two_sums,
)

FAST_SIZE = 256  # components from which on sums are fast; not less, or the scratch arrays would be too short
BLOCK = 16
CHUNK = 8  # terms that are carried at once: with their sources they fill the registers
MOST_TERMS = 120  # with fewer, clusters of neighbours closer than 2^-50 of the extent would not be worth it
NEGLIGIBLE = 28.0  # t δ beyond which terms are left out: x e^{−x} log(2)/2 is 7e-12
TINY = 1e-280  # whose inverse is a normal number
HIGHEST = 40.0  # bound of the exponents of components above their block, which matter as far as NEGLIGIBLE / 2
CLOSE, CLOSE_LOG = 2.0**-12, 2.0**-15  # distances z, also as part of |z|, in which the rounding of logarithms matters

# The scratch rows: four exponentials of each component, then these.
STATE = 0  # four of each component of a block, between two chunks
WEIGHTS = STATE + 8 * BLOCK
FIELDS = WEIGHTS + MOST_TERMS  # of each term, at the edge of a block
SOURCES = FIELDS + MOST_TERMS  # in the block before, not yet part of the field
EDGES = SOURCES + MOST_TERMS

RECIPROCAL_UNIT = 0.75  # over the extent R: the lowest rate u
# 1/r = u (c_0 + Σ_n c_n e^{−n u r}) for r <= R, to 1.1e-11: c_0, then c_n for n = 1 ... 8 and n = 8 √2^k.
# Least squares in r with 50 digits, as the next; beyond the table c_n = n log(2)/2.
RECIPROCAL = np.array(
    [
        0.2512101403701909,
        1.9899987656779512,
        -2.0160196902459795,
        8.515527476077436,
        -12.699886786150058,
        18.567977188144166,
        -13.943467146652026,
        8.085187365807846,
        0.6648115396356797,
        3.9749722476503604,
        5.541877688309956,
        7.842314718556312,
        11.090335360134928,
        15.68413152308424,
        22.18070975719421,
    ]
)
# 1/(e^r − 1) = Σ_n c_n e^{−n r}, r > 0, to 2.4e-11 of it: n = 1 ... 16 and n = 16 √2^k.
GRADED = np.array(
    [
        0.0,
        0.999999999999175,
        1.000000005739773,
        0.9999990836384129,
        1.0000497202861924,
        0.9986686945428924,
        1.0207310962684248,
        0.7946716417249664,
        2.3629537198890875,
        -5.244507592343474,
        20.992032685832385,
        -43.57976174344422,
        68.84480159555893,
        -66.73059697706479,
        43.39512863460393,
        -17.04217675231133,
        8.625202458226259,
        7.837105348031707,
        11.090554603642902,
        15.684112598244331,
        22.180711249967086,
        31.368260771022754,
        44.36141945236728,
        62.736521155464025,
        88.72283914025695,
    ]
)


@inlined
def bounds(size: int, b: int) -> tuple[int, int]:
    """The first component of block b, and that after its last: the last block has what is left over."""
    return b * BLOCK, size if b == size // BLOCK - 1 else (b + 1) * BLOCK


@device
def mark_edges(x: Lane, edges: Lane) -> tuple[Lane, Lane]:
    """Write the edges between blocks; return δ, the least distance of blocks that are not neighbours, and the extent.

    The lower edge of a block is the smallest component in it.
    """
    blocks = len(x) // BLOCK
    highest = load(x, len(x) - 1)
    for b in range(blocks):
        store(edges, b, load(x, b * BLOCK))
    store(edges, blocks, highest)
    extent = highest - load(x, 0)
    gap = extent
    for b in range(2, blocks):
        gap = minimum(load(edges, b) - load(x, (b - 1) * BLOCK - 1), gap)
    return gap, extent


@device
def rate(whole: int, k: int) -> float:
    """t_k in units of the lowest: 1 ... `whole`, then √2 times the one before."""
    return k + 1.0 if k < whole else whole * 2.0 ** (0.5 * (k - whole + 1))


@device
def choose_terms(
    table: Any, whole: int, unit: Lane, scale: Lane, gap: Lane, valid: Lane, rows: Lane, weights: int
) -> int:
    """Write the weights of the terms to `rows`; return how many there are, whole chunks. Each lane has its own last."""
    terms = 0
    while terms < MOST_TERMS and any_of(valid & (gap * unit * rate(whole, terms) < NEGLIGIBLE)):
        for k in range(terms, terms + CHUNK):
            t = rate(whole, k)
            c = table[k + 1] if k + 1 < len(table) else t * (0.5 * math.log(2.0))
            matters = valid & (gap * unit * t < NEGLIGIBLE)
            store(rows, weights + k, select(matters, scale * c, splat(0.0)))
        terms += CHUNK
    return terms


@device
def set_anchors(x: Lane, unit: Lane, low: float, high: float, rows: Lane, edges: int) -> None:
    """Write e^{−low s} and e^{−high s} of each component, s its distances from the two edges of its block."""
    size = len(x)
    for b in range(size // BLOCK):
        first, last = bounds(size, b)
        lower, upper = load(rows, edges + b), load(rows, edges + b + 1)
        for i in range(first, last):
            below, above = (lower - load(x, i)) * unit, (load(x, i) - upper) * unit
            store(rows, 4 * i, exp(below * low))
            store(rows, 4 * i + 1, exp(below * high))
            store(rows, 4 * i + 2, exp(minimum(above * low, splat(HIGHEST))))
            store(rows, 4 * i + 3, exp(minimum(above * high, splat(HIGHEST))))


@inlined
def bounded(e: Lane) -> Lane:
    """An exponential, or what will not overflow in the next chunk, where the lane has no more terms."""
    return minimum(e, splat(math.exp(HIGHEST)))


@inlined
def field(rows: Lane, term: int, sign: float) -> Lane:
    """The field of a term at the edge of the block that is visited, with its weight."""
    return load(rows, term + FIELDS) * load(rows, term + WEIGHTS) * sign


@inlined
def fields(rows: Lane, term: int, sign: float) -> tuple[Lane, Lane, Lane, Lane]:
    """Those of four terms."""
    return (
        field(rows, term, sign),
        field(rows, term + 1, sign),
        field(rows, term + 2, sign),
        field(rows, term + 3, sign),
    )


@inlined
def carry(rows: Lane, term: int, e: Lane, g: Lane, m: Lane, n: Lane) -> None:
    """Move the fields of two terms over a block, of which e and g are the exponentials, m and n the sources."""
    store(rows, term + FIELDS, (load(rows, term + FIELDS) + load(rows, term + SOURCES)) * e)
    store(rows, term + FIELDS + 1, (load(rows, term + FIELDS + 1) + load(rows, term + SOURCES + 1)) * g)
    store(rows, term + SOURCES, m)
    store(rows, term + SOURCES + 1, n)


@inlined
def step(f: Lane, a: Lane, b: Lane, u: Lane, v: Lane, w: Lane, m: Lane) -> tuple[Lane, Lane, Lane, Lane]:
    """What a term adds to the sum f and its sources m, f + a w and m + b; the next exponentials, a u and b v."""
    return f + a * w, m + b, a * u, b * v


@inlined
def to_the_ninth(u: Lane) -> Lane:
    """Return u⁹."""
    square = u * u
    fourth = square * square
    return fourth * fourth * u


@device
def whole_chunk(
    f: Lane, rows: Lane, first: int, last: int, base: int, to: int, k: int, sign: float, width: Lane
) -> None:
    """The terms k + 1 ... k + 8 of one block, target exponentials in the rows `to` and `to` + 1 of 0 ... 3.

    They leave e^{−(k+8)s}, and the other exponential as it is, for the next chunk.
    """
    term, source = base + k, 2 - to
    w0, w1, w2, w3 = fields(rows, term, sign)
    w4, w5, w6, w7 = fields(rows, term + 4, sign)
    zero = splat(0.0)
    m0, m1, m2, m3, m4, m5, m6, m7 = zero, zero, zero, zero, zero, zero, zero, zero
    for i in range(first, last):
        at, out = 4 * i, base + STATE + 4 * (i - first)
        f_i, u, v = load(f, i), load(rows, at + to), load(rows, at + source)
        a, b = u, v
        if k > 0:  # the second such chunk
            a, b = to_the_ninth(u), to_the_ninth(v)
        f_i, m0, a, b = step(f_i, a, b, u, v, w0, m0)
        f_i, m1, a, b = step(f_i, a, b, u, v, w1, m1)
        f_i, m2, a, b = step(f_i, a, b, u, v, w2, m2)
        f_i, m3, a, b = step(f_i, a, b, u, v, w3, m3)
        f_i, m4, a, b = step(f_i, a, b, u, v, w4, m4)
        f_i, m5, a, b = step(f_i, a, b, u, v, w5, m5)
        f_i, m6, a, b = step(f_i, a, b, u, v, w6, m6)
        store(rows, out + to, bounded(a))
        store(rows, out + source, bounded(b))
        store(rows, out + to + 1, load(rows, at + to + 1))
        store(rows, out + source + 1, load(rows, at + source + 1))
        store(f, i, f_i + a * w7)
        m7 = m7 + b
    u = exp(width * -2.0)
    e, g = exp(width * -(k + 1.0)), exp(width * -(k + 2.0))
    carry(rows, term, e, g, m0, m1)
    e, g = e * u, g * u
    carry(rows, term + 2, e, g, m2, m3)
    e, g = e * u, g * u
    carry(rows, term + 4, e, g, m4, m5)
    carry(rows, term + 6, e * u, g * u, m6, m7)


@device
def geometric_chunk(
    f: Lane, rows: Lane, first: int, last: int, base: int, to: int, k: int, sign: float, width: Lane, at: int
) -> None:
    """Eight terms √2, 2, 2√2 ... 16 times the rate before, of one block. Their exponentials begin at row `at`."""
    term, source = base + k, 2 - to
    w0, w1, w2, w3 = fields(rows, term, sign)
    w4, w5, w6, w7 = fields(rows, term + 4, sign)
    zero = splat(0.0)
    m0, m1, m2, m3, m4, m5, m6, m7 = zero, zero, zero, zero, zero, zero, zero, zero
    out = base + STATE
    for i in range(first, last):
        f_i = load(f, i)
        a, b, c, d = load(rows, at + to), load(rows, at + to + 1), load(rows, at + source), load(rows, at + source + 1)
        a, c = a * a, c * c
        f_i, m0, b2, d2 = step(f_i, b, d, b, d, w0, m0)
        f_i, m1, a, c = step(f_i, a, c, a, c, w1, m1)
        f_i, m2, b, d = step(f_i, b2, d2, b2, d2, w2, m2)
        f_i, m3, a, c = step(f_i, a, c, a, c, w3, m3)
        f_i, m4, b, d = step(f_i, b, d, b, d, w4, m4)
        f_i, m5, a, c = step(f_i, a, c, a, c, w5, m5)
        f_i, m6, b, d = step(f_i, b, d, b, d, w6, m6)
        store(f, i, f_i + a * w7)
        m7 = m7 + c
        store(rows, out + to, bounded(a))
        store(rows, out + to + 1, bounded(b))
        store(rows, out + source, bounded(c))
        store(rows, out + source + 1, bounded(d))
        at, out = at + 4, out + 4
    e, g = exp(width * -math.sqrt(2.0)), exp(width * -2.0)
    carry(rows, term, e, g, m0, m1)
    e, g = e * e, g * g
    carry(rows, term + 2, e, g, m2, m3)
    e, g = e * e, g * g
    carry(rows, term + 4, e, g, m4, m5)
    carry(rows, term + 6, e * e, g * g, m6, m7)


@device
def sweep(
    f: Lane, rows: Lane, edges: int, unit: Lane, whole: int, first_term: int, last_term: int, direction: int
) -> None:
    """Carry the terms from block to block, up or down, adding to `f` the fields of blocks that are not neighbours."""
    size = len(f)
    base, blocks = 4 * size, size // BLOCK
    for k in range(first_term, last_term):
        store(rows, base + FIELDS + k, splat(0.0))
        store(rows, base + SOURCES + k, splat(0.0))
    for n in range(blocks):
        b, to = (n, 0) if direction > 0 else (blocks - 1 - n, 2)
        first, last = bounds(size, b)
        width = (load(rows, edges + b + 1) - load(rows, edges + b)) * unit
        at = 4 * first
        for k in range(first_term, last_term, CHUNK):
            if k < whole:
                whole_chunk(f, rows, first, last, base, to, k, float(direction), width)
            else:
                unit_width = width * rate(whole, k - 1)
                geometric_chunk(f, rows, first, last, base, to, k, float(direction), unit_width, at)
            at = base + STATE


@device
def add_far(
    table: Any, whole: int, x: Lane, unit: Lane, scale: Lane, gap: Lane, valid: Lane, f: Lane, rows: Lane
) -> None:
    """Add to `f` scale Σ_n c_n e^{−n u r}, over distances r to blocks that are not neighbours, below minus above.

    Squaring doubles errors of rounding: exponentials are made anew before that would matter.
    """
    base = 4 * len(x)
    terms = choose_terms(table, whole, unit, scale, gap, valid, rows, base + WEIGHTS)
    first, last = 0, whole + 3 * CHUNK
    while first < terms:
        low = 1.0 if first == 0 else rate(whole, first - 1)
        set_anchors(x, unit, low, rate(whole, max(first, whole)), rows, base + EDGES)
        for direction in (1, -1):
            sweep(f, rows, base + EDGES, unit, whole, first, min(last, terms), direction)
        first, last = last, last + 4 * CHUNK


@device
def far_below(size: int, i: int) -> int:
    """How many components are in blocks below that of component i and its neighbour."""
    return max(min(i // BLOCK, size // BLOCK - 1) - 1, 0) * BLOCK


@device
def far_above(size: int, i: int) -> int:
    """The same above."""
    return size - bounds(size, min(i // BLOCK + 1, size // BLOCK - 1))[1]


@outlined
def fast_repulsion(x_at: Any, f_at: Any, scratch: Any, size: int, floor: float, _: float) -> None:
    """Write Σ_j 1/(x_i − x_j) to `f`, tamed at the distance `floor`, as `pair_sums.gap_sums` does.

    `x` and `f` have the shape (size, 8), ascending; `scratch` has six arrays like them.
    """
    x, f, rows = rows_at(x_at, size), rows_at(f_at, size), rows_at(scratch, 6 * size)
    closest = splat(floor)
    gap, extent = mark_edges(x, rows[4 * size + EDGES :])
    unit = reciprocal(maximum(extent, splat(TINY))) * RECIPROCAL_UNIT
    enough = gap * unit * rate(CHUNK, MOST_TERMS - 1) >= NEGLIGIBLE
    valid = (gap >= floor) & (extent >= TINY) & enough
    for i in range(size):
        store(f, i, unit * (RECIPROCAL[0] * (far_below(size, i) - far_above(size, i))))
    if any_of(valid):
        add_far(RECIPROCAL, CHUNK, x, unit, unit, gap, valid, f, rows)
        for b in range(size // BLOCK):
            first, last = bounds(size, b)
            add_gaps_among(x, closest, f, first, last)
            add_gaps_between(x, closest, f, first, last, max(first - BLOCK, 0), first)
    if any_of(~valid):
        direct = rows[:size]
        gap_sums(x, closest, direct)
        replace(~valid, direct, f)


@outlined
def fast_pair_sums(work: Any, sums: Any, scratch: Any, size: int, depth: float, epsilon: float) -> None:
    """Write the tamed Σ 1/(x_k − x_l) and Σ 1/(y_k − y_l), as `pair_sums.two_gap_sums`, to `sums`, two arrays.

    `work` begins with the arrays x, y of shape (size, 8), ascending; `scratch` has seven. Ratios of y that underflow
    count as 0.
    """
    both, both_sums, more = rows_at(work, 2 * size), rows_at(sums, 2 * size), rows_at(scratch, 7 * size)
    x, y, sum_x, sum_y = both[:size], both[size:], both_sums[:size], both_sums[size:]
    z, rows = more[:size], more[size:]
    tame = taming(depth, epsilon)
    inverse = reciprocal(maximum(load(x, size - 1), splat(TINY)))
    for k in range(size):
        store(z, k, log(maximum(load(x, k) * inverse, splat(TINY))))
        store(sum_x, k, splat(float(far_below(size, k))))
        store(sum_y, k, splat(float(far_below(size, k))))
    gap, _extent = mark_edges(z, rows[4 * size + EDGES :])
    enough = gap * rate(2 * CHUNK, MOST_TERMS - 1) >= NEGLIGIBLE
    near = two_sums(x, y, tame, sum_x, sum_y)
    valid = enough & (gap > 0.0) & far_apart(near, z)
    if any_of(valid):
        one = splat(1.0)
        add_far(GRADED, 2 * CHUNK, z, one, one, gap, valid, sum_x, rows)
        add_far(GRADED, 2 * CHUNK, z, splat(depth), one, gap, valid, sum_y, rows)
        for k in range(size):
            in_x = reciprocal(maximum(load(x, k) * inverse, splat(TINY))) * inverse
            store(sum_x, k, load(sum_x, k) * in_x)
            store(sum_y, k, load(sum_y, k) * reciprocal(maximum(load(y, k), splat(TINY))))
        for b in range(size // BLOCK):
            first, last = bounds(size, b)
            add_two_gaps_among(near, first, last, False)
            add_two_gaps_between(near, first, last, max(first - BLOCK, 0), first)
    if any_of(~valid):
        direct_x, direct_y = rows[:size], rows[size : 2 * size]
        two_gap_sums(two_sums(x, y, tame, direct_x, direct_y), size)
        replace(~valid, direct_x, sum_x)
        replace(~valid, direct_y, sum_y)


@device
def far_apart(at: TwoSums, z: Lane) -> Lane:
    """The mask of lanes where between blocks that are not neighbours nothing is tamed, and no logarithms too close."""
    x, y, size = at.x, at.y, len(z)
    apart = splat(0.0) == 0.0
    highest_x, highest_y = load(x, 0), load(y, 0)
    for b in range(2, size // BLOCK):
        for l in range((b - 2) * BLOCK, (b - 1) * BLOCK):
            highest_x, highest_y = maximum(load(x, l), highest_x), maximum(load(y, l), highest_y)
        first, last = bounds(size, b)
        for k in range(first, last):
            x_k, dy = load(x, k), load(y, k) - highest_y
            dx = x_k - highest_x
            least = x_k * (absolute(load(z, k)) * CLOSE_LOG + CLOSE)
            apart = apart & (dx > least) & (dx * dy >= floor_of(at, k))
    return apart


@device
def replace(where: Lane, rows: Lane, out: Lane) -> None:
    """Write `rows` to `out` in the lanes `where`."""
    for i in range(len(rows)):
        store(out, i, select(where, load(rows, i), load(out, i)))


@kernel
def repulsion(x: Lane, floor: float, f: Lane, work: Lane, fast: bool) -> None:
    """Write Σ_j 1/(x_i − x_j) to `f`, fast or directly, with six arrays of `work`: for tests and measurements."""
    if fast:
        fast_repulsion(x, f, work, len(x), floor, 0.0)
    else:
        gap_sums(x, splat(floor), f)


@kernel
def pair_sums(depth: float, epsilon: float, work: Lane, fast: bool) -> None:
    """Write both sums of x and y = x^depth, arrays 0 and 1 of `work`, to 2 and 3."""
    if fast:
        fast_pair_sums(work, work[2:], work[7:], work.shape[1], depth, epsilon)
    else:
        two_gap_sums(two_sums(work[0], work[1], taming(depth, epsilon), work[2], work[3]), work.shape[1])
