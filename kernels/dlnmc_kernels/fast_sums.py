"""Σ_j 1/(x_i − x_j) over many ordered components at a cost that grows like their number, not its square.

Components are cut into blocks of `BLOCK` by their index. Those of the same block or of neighbours are summed directly.
What is further apart is a sum of exponentials, of rates in geometric progression,

    1/r ≈ Σ_k w_k e^{−t_k r},   t_k = 2^{k/2} t_0,   w_k = t_k log(2)/2,

the trapezoidal rule for ∫ e^{s − r e^s} ds = 1/r, exact to 1e-11 (Beylkin and Monzón 2005), and an exponential of a
distance is a product of exponentials of its parts: one sweep over the blocks carries each Σ_j e^{−t_k (c − x_j)} upward
from edge to edge c, another downward, in the place of the multipoles of Greengard and Rokhlin (1987) and of the tree of
Dutt, Gu and Rokhlin (1996). Rates below 2^3 t_0 are whole multiples of t_0 with fitted weights, which end the
progression; those of the next octaves follow from two exponentials of each distance by squaring.

The eight lanes are independent paths. They share the blocks, which follow from the number of components alone, and the
rates in units of their own, 1/(x_d − x_1); a lane's terms end where e^{−t δ} does not matter, δ the least distance of
blocks that are not neighbours: a path's sums depend on no other path. Where δ is too small for `MOST_TERMS`, or for
taming, a lane has the direct sums.
"""

import math
from typing import Any

import numpy as np

from dlnmc_kernels.elementary import exp
from dlnmc_kernels.jit import device, inlined
from dlnmc_kernels.lanes import (
    Lane,
    absolute,
    any_of,
    copy_sign,
    load,
    maximum,
    minimum,
    reciprocal,
    select,
    splat,
    store,
)
from dlnmc_kernels.outlined import outlined, rows_at

FAST_SIZE = 256  # from this number of components on sums are fast: where the two cost the same
BLOCK = 16
CHUNK = 8  # terms that are carried at once: with their sources they fill the registers
MOST_TERMS = 120
NEGLIGIBLE = 28.0  # t δ beyond which terms are left out: x e^{−x} log(2)/2 is 7e-12
OCTAVES = CHUNK // 2  # of rates in a chunk
LEAST_SPAN = 1e-280  # whose inverse is a normal number

# What follows are rows in the scratch array behind the four exponentials of each component.
STATE, WEIGHTS = 0, 8 * BLOCK
FIELDS = WEIGHTS + MOST_TERMS
SOURCES = FIELDS + MOST_TERMS
EDGES = SOURCES + MOST_TERMS

# 1/r = u (c_0 + Σ_n c_n e^{−n u r}), u = 0.75/R, r <= R, to 1.1e-11: c_0, then c_n for n = 1 ... 8 and n = 8 √2^k.
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
def tamed(gap: Lane, floor: Lane) -> Lane:
    """1/gap, as if at the distance `floor` for what is closer."""
    return reciprocal(copy_sign(maximum(absolute(gap), floor), gap))


@device
def triangle(x: Lane, f: Lane, floor: Lane, first: int, last: int) -> None:
    """Add to `f` the tamed 1/(x_i − x_j) of all pairs within the rows first ... last − 1."""
    for i in range(first + 1, last):
        x_i, f_i = load(x, i), load(f, i)
        for j in range(first, i):
            r = tamed(x_i - load(x, j), floor)
            f_i = f_i + r
            store(f, j, load(f, j) - r)
        store(f, i, f_i)


@device
def block(x: Lane, f: Lane, floor: Lane, first_row: int, last_row: int, first_column: int, last_column: int) -> None:
    """The same for all pairs of a row and a column, two ranges that do not meet."""
    for i in range(first_row, last_row):
        x_i, f_i = load(x, i), load(f, i)
        for j in range(first_column, last_column):
            r = tamed(x_i - load(x, j), floor)
            f_i = f_i + r
            store(f, j, load(f, j) - r)
        store(f, i, f_i)


@inlined
def bounds(size: int, b: int) -> tuple[int, int]:
    """The first component of block b, and that after its last: the last block has what is left over."""
    return b * BLOCK, size if b == size // BLOCK - 1 else (b + 1) * BLOCK


@device
def mark_edges(x: Lane, rows: Lane, edges: int) -> tuple[Lane, Lane]:
    """Write the edges of the blocks to `rows`; return the least distance δ between blocks that are not neighbours.

    The lower edge of a block is the smallest component in it and beyond; what is out of order may be above the upper
    edge, but not by more than 2δ: else δ is returned as −1. Also returns the distance of the last edge from the first.
    """
    size = len(x)
    blocks = size // BLOCK
    highest = load(x, 0)
    for i in range(size):
        highest = maximum(load(x, i), highest)
    store(rows, edges + blocks, highest)
    lowest = highest
    for b in range(blocks - 1, -1, -1):
        first, last = bounds(size, b)
        for i in range(first, last):
            lowest = minimum(load(x, i), lowest)
        store(rows, edges + b, lowest)
    span = highest - lowest
    gap, excess, highest = span, splat(0.0), lowest
    for b in range(blocks):
        edge = load(rows, edges + b + 1)
        if b > 0:
            gap = minimum(edge - highest, gap) if b < blocks - 1 else gap
        first, last = bounds(size, b)
        for i in range(first, last):
            highest = maximum(load(x, i), highest)
        excess = maximum(highest - edge, excess)
    return select(excess <= gap * 2.0, gap, splat(-1.0)), span


@device
def rate(whole: int, k: int) -> float:
    """t_k in units of t_0: 1 ... `whole`, then √2 times the one before."""
    if k < whole:
        return k + 1.0
    return whole * 2.0 ** (0.5 * (k - whole + 1))


@device
def choose_terms(table: Any, whole: int, unit: Lane, gap: Lane, valid: Lane, rows: Lane, base: int) -> int:
    """Write the weights of the terms to `rows`; return how many there are, whole chunks. Each lane has its own last."""
    terms = 0
    while terms < MOST_TERMS and (terms < whole or any_of(valid & (gap * unit * rate(whole, terms) < NEGLIGIBLE))):
        for k in range(terms, terms + CHUNK):
            t = rate(whole, k)
            c = table[k + 1] if k + 1 < len(table) else t * (0.5 * math.log(2.0))
            matters = valid & (gap * unit * t < NEGLIGIBLE)
            store(rows, base + WEIGHTS + k, select(matters, unit * c, splat(0.0)))
        terms += CHUNK
    return terms


@device
def set_anchors(x: Lane, unit: Lane, low: float, high: float, rows: Lane, base: int) -> None:
    """Write e^{−low s}, e^{−high s} for the distances of each component from the two edges of its block."""
    size = len(x)
    for b in range(size // BLOCK):
        first, last = bounds(size, b)
        lower, upper = load(rows, base + EDGES + b), load(rows, base + EDGES + b + 1)
        for i in range(first, last):
            below, above = (lower - load(x, i)) * unit, (load(x, i) - upper) * unit
            store(rows, 4 * i, exp(below * low))
            store(rows, 4 * i + 1, exp(below * high))
            store(rows, 4 * i + 2, exp(above * low))
            store(rows, 4 * i + 3, exp(above * high))


@inlined
def carry(rows: Lane, term: int, e: Lane, sources: Lane) -> None:
    """Move the field of a term over the next edge: `e` is its exponential of the block's width."""
    store(rows, term + FIELDS, (load(rows, term + FIELDS) + load(rows, term + SOURCES)) * e)
    store(rows, term + SOURCES, sources)


@inlined
def weighted(rows: Lane, term: int, sign: float) -> Lane:
    """The field of a term, with its weight."""
    return load(rows, term + FIELDS) * load(rows, term + WEIGHTS) * sign


@device
def whole_chunk(
    f: Lane, rows: Lane, first: int, count: int, target: int, source: int, base: int, k: int, sign: float, width: Lane
) -> None:
    """The terms n = k + 1 ... k + 8 of one block; leaves e^{−(k+8)s} and the other exponential to the next chunk."""
    term = base + k
    w0, w1, w2, w3 = (
        weighted(rows, term, sign),
        weighted(rows, term + 1, sign),
        weighted(rows, term + 2, sign),
        weighted(rows, term + 3, sign),
    )
    w4, w5, w6, w7 = (
        weighted(rows, term + 4, sign),
        weighted(rows, term + 5, sign),
        weighted(rows, term + 6, sign),
        weighted(rows, term + 7, sign),
    )
    m0, m1, m2, m3 = splat(0.0), splat(0.0), splat(0.0), splat(0.0)
    m4, m5, m6, m7 = splat(0.0), splat(0.0), splat(0.0), splat(0.0)
    for i in range(count):
        f_i = load(f, first + i)
        u, v = load(rows, 4 * (first + i) + target), load(rows, 4 * (first + i) + source)
        a, b = u, v
        if k > 0:
            a, b = a * a, b * b
            a, b = a * a, b * b
            a, b = a * a, b * b
            a, b = a * u, b * v
        f_i, m0 = f_i + a * w0, m0 + b
        a, b = a * u, b * v
        f_i, m1 = f_i + a * w1, m1 + b
        a, b = a * u, b * v
        f_i, m2 = f_i + a * w2, m2 + b
        a, b = a * u, b * v
        f_i, m3 = f_i + a * w3, m3 + b
        a, b = a * u, b * v
        f_i, m4 = f_i + a * w4, m4 + b
        a, b = a * u, b * v
        f_i, m5 = f_i + a * w5, m5 + b
        a, b = a * u, b * v
        f_i, m6 = f_i + a * w6, m6 + b
        a, b = a * u, b * v
        store(f, first + i, f_i + a * w7)
        m7 = m7 + b
        store(rows, base + STATE + 4 * i + target, a)
        store(rows, base + STATE + 4 * i + target + 1, load(rows, 4 * (first + i) + target + 1))
        store(rows, base + STATE + 4 * i + source, b)
        store(rows, base + STATE + 4 * i + source + 1, load(rows, 4 * (first + i) + source + 1))
    ratio = exp(-width)
    e = exp(width * -(k + 1.0))
    carry(rows, term, e, m0)
    e = e * ratio
    carry(rows, term + 1, e, m1)
    e = e * ratio
    carry(rows, term + 2, e, m2)
    e = e * ratio
    carry(rows, term + 3, e, m3)
    e = e * ratio
    carry(rows, term + 4, e, m4)
    e = e * ratio
    carry(rows, term + 5, e, m5)
    e = e * ratio
    carry(rows, term + 6, e, m6)
    e = e * ratio
    carry(rows, term + 7, e, m7)


@device
def geometric_chunk(
    f: Lane,
    rows: Lane,
    first: int,
    count: int,
    target: int,
    source: int,
    base: int,
    k: int,
    sign: float,
    start: int,
    width: Lane,
) -> None:
    """Eight terms √2, 2, 2√2 ... 16 times the rate before, of one block, whose exponentials begin at row `start`."""
    term = base + k
    w0, w1, w2, w3 = (
        weighted(rows, term, sign),
        weighted(rows, term + 1, sign),
        weighted(rows, term + 2, sign),
        weighted(rows, term + 3, sign),
    )
    w4, w5, w6, w7 = (
        weighted(rows, term + 4, sign),
        weighted(rows, term + 5, sign),
        weighted(rows, term + 6, sign),
        weighted(rows, term + 7, sign),
    )
    m0, m1, m2, m3 = splat(0.0), splat(0.0), splat(0.0), splat(0.0)
    m4, m5, m6, m7 = splat(0.0), splat(0.0), splat(0.0), splat(0.0)
    for i in range(count):
        f_i = load(f, first + i)
        a, b = load(rows, start + 4 * i + target), load(rows, start + 4 * i + target + 1)
        c, d = load(rows, start + 4 * i + source), load(rows, start + 4 * i + source + 1)
        a, c = a * a, c * c
        f_i, m0, m1 = f_i + b * w0 + a * w1, m0 + d, m1 + c
        a, b, c, d = a * a, b * b, c * c, d * d
        f_i, m2, m3 = f_i + b * w2 + a * w3, m2 + d, m3 + c
        a, b, c, d = a * a, b * b, c * c, d * d
        f_i, m4, m5 = f_i + b * w4 + a * w5, m4 + d, m5 + c
        a, b, c, d = a * a, b * b, c * c, d * d
        f_i, m6, m7 = f_i + b * w6 + a * w7, m6 + d, m7 + c
        store(f, first + i, f_i)
        store(rows, base + STATE + 4 * i + target, a)
        store(rows, base + STATE + 4 * i + target + 1, b * b)
        store(rows, base + STATE + 4 * i + source, c)
        store(rows, base + STATE + 4 * i + source + 1, d * d)
    e, g = exp(width * -math.sqrt(2.0)), exp(width * -2.0)
    carry(rows, term, e, m0)
    carry(rows, term + 1, g, m1)
    e, g = e * e, g * g
    carry(rows, term + 2, e, m2)
    carry(rows, term + 3, g, m3)
    e, g = e * e, g * g
    carry(rows, term + 4, e, m4)
    carry(rows, term + 5, g, m5)
    e, g = e * e, g * g
    carry(rows, term + 6, e, m6)
    carry(rows, term + 7, g, m7)


@device
def sweep(f: Lane, rows: Lane, unit: Lane, whole: int, first_term: int, last_term: int, upward: bool) -> None:
    """Carry the terms from block to block, adding to `f` the fields of blocks that are not neighbours."""
    size = len(f)
    base, blocks = 4 * size, size // BLOCK
    target, source, sign = (0, 2, 1.0) if upward else (2, 0, -1.0)
    for k in range(first_term, last_term):
        store(rows, base + FIELDS + k, splat(0.0))
        store(rows, base + SOURCES + k, splat(0.0))
    for n in range(blocks):
        b = n if upward else blocks - 1 - n
        first, last = bounds(size, b)
        width = (load(rows, base + EDGES + b + 1) - load(rows, base + EDGES + b)) * unit
        start = 4 * first
        for k in range(first_term, last_term, CHUNK):
            if k < whole:
                whole_chunk(f, rows, first, last - first, target, source, base, k, sign, width)
            else:
                w = width * rate(whole, k - 1)
                geometric_chunk(f, rows, first, last - first, target, source, base, k, sign, start, w)
            start = base + STATE


@device
def add_far(table: Any, whole: int, x: Lane, unit: Lane, gap: Lane, valid: Lane, f: Lane, rows: Lane) -> None:
    """Add to `f` the sums Σ_n c_n e^{−n u r} over distances r to blocks that are not neighbours, below minus above.

    Exponentials are refreshed before the roundings that squaring doubles would matter.
    """
    base = 4 * len(x)
    terms = choose_terms(table, whole, unit, gap, valid, rows, base)
    first, last = 0, whole + 3 * CHUNK
    while first < terms:
        low = 1.0 if first == 0 else rate(whole, first - 1)
        set_anchors(x, unit, low, rate(whole, max(first, whole)), rows, base)
        sweep(f, rows, unit, whole, first, min(last, terms), True)
        sweep(f, rows, unit, whole, first, min(last, terms), False)
        first, last = last, last + 4 * CHUNK


@device
def far_counts(size: int, i: int) -> tuple[int, int]:
    """How many components are in blocks below and above that are not neighbours of that of component i."""
    blocks = size // BLOCK
    b = min(i // BLOCK, blocks - 1)
    return max(b - 1, 0) * BLOCK, size - bounds(size, min(b + 1, blocks - 1))[1]


@outlined
def fast_repulsion(x_at: Any, f_at: Any, scratch: Any, size: int, floor: float, _: float) -> None:
    """Write Σ_j 1/(x_i − x_j), tamed at the distance `floor`, to `f`. `scratch` has six arrays like `x`."""
    x, f, rows = rows_at(x_at, size), rows_at(f_at, size), rows_at(scratch, 6 * size)
    least = splat(floor)
    gap, span = mark_edges(x, rows, 4 * size + EDGES)
    farthest = rate(CHUNK, MOST_TERMS - 1) * 0.75 / NEGLIGIBLE
    valid = (gap >= floor) & (gap * farthest >= span) & (span >= LEAST_SPAN)
    unit = reciprocal(maximum(span, splat(LEAST_SPAN))) * 0.75
    for i in range(size):
        below, above = far_counts(size, i)
        store(f, i, unit * (RECIPROCAL[0] * (below - above)))
    if any_of(valid):
        add_far(RECIPROCAL, CHUNK, x, unit, gap, valid, f, rows)
        for b in range(size // BLOCK):
            first, last = bounds(size, b)
            triangle(x, f, least, first, last)
            if b > 0:
                block(x, f, least, first, last, first - BLOCK, first)
    if any_of(~valid):
        for i in range(size):
            store(rows, i, splat(0.0))
        triangle(x, rows, least, 0, size)
        for i in range(size):
            store(f, i, select(valid, load(f, i), load(rows, i)))
