"""Small matrices, eight at once: products, and the singular value decomposition by one-sided Jacobi rotations.

A d × d matrix of a block is an array of shape (d², 8), row by row.
"""

from dlnmc_kernels.jit import device, inlined
from dlnmc_kernels.lanes import (
    Lane,
    absolute,
    any_of,
    copy_sign,
    load,
    maximum,
    reciprocal,
    reciprocal_root,
    select,
    splat,
    sqrt,
    store,
)

TOLERANCE = 1e-14  # on cosines between rows that count as orthogonal
MOST_SWEEPS = 40  # a matrix of 64 rows takes ten
TINY = 1e-290  # keeps reciprocals finite
SQUARED = 1e-285  # squares that are larger are not lost
LARGE = 2.0**100  # what a matrix is multiplied by, so that products of its rows do not underflow
LARGEST_ANGLE = 16.0  # of all rotations of a frame in a step: reached only where two levels are small beside a step
NONE = 1e-130  # a squared length, so multiplied, that counts as none: one of a row of 1e-95


# --- products -------------------------------------------------------------------------------------------------------


@device
def product(a: Lane, b: Lane, size: int, out: Lane) -> None:
    """The product a b."""
    for i in range(0, size - 1, 2):
        for j in range(0, size - 1, 2):
            c_00, c_01, c_10, c_11 = splat(0.0), splat(0.0), splat(0.0), splat(0.0)
            for k in range(size):
                a_0, a_1 = load(a, i * size + k), load(a, (i + 1) * size + k)
                b_0, b_1 = load(b, k * size + j), load(b, k * size + j + 1)
                c_00, c_01 = c_00 + a_0 * b_0, c_01 + a_0 * b_1
                c_10, c_11 = c_10 + a_1 * b_0, c_11 + a_1 * b_1
            store(out, i * size + j, c_00)
            store(out, i * size + j + 1, c_01)
            store(out, (i + 1) * size + j, c_10)
            store(out, (i + 1) * size + j + 1, c_11)
    if size % 2:
        last = size - 1
        for i in range(size):
            corner, bottom = splat(0.0), splat(0.0)
            for k in range(size):
                corner = corner + load(a, i * size + k) * load(b, k * size + last)
                bottom = bottom + load(a, last * size + k) * load(b, k * size + i)
            store(out, i * size + last, corner)
            store(out, last * size + i, bottom)


@device
def transpose(a: Lane, size: int, out: Lane) -> None:
    """Aᵀ, into another array."""
    for i in range(size):
        for j in range(size):
            store(out, j * size + i, load(a, i * size + j))


@device
def set_identity(a: Lane, size: int) -> None:
    """The identity matrix."""
    for i in range(size):
        for j in range(size):
            store(a, i * size + j, splat(1.0 if i == j else 0.0))


@inlined
def dot(a: Lane, i: int, b: Lane, j: int, size: int) -> Lane:
    """The inner product of row i of `a` and row j of `b`."""
    even, odd = splat(0.0), splat(0.0)
    for k in range(0, size - 1, 2):
        even = even + load(a, i * size + k) * load(b, j * size + k)
        odd = odd + load(a, i * size + k + 1) * load(b, j * size + k + 1)
    if size % 2:
        even = even + load(a, i * size + size - 1) * load(b, j * size + size - 1)
    return even + odd


@device
def squared_norm(rows: Lane) -> Lane:
    """The sum of all squares."""
    total = splat(0.0)
    for i in range(len(rows)):
        total = total + load(rows, i) * load(rows, i)
    return total


# --- singular values ------------------------------------------------------------------------------------------------


@inlined
def rotation(apart: Lane, shared: Lane, where: Lane) -> tuple[Lane, Lane, Lane]:
    """Tangent t, cosine and sine of the Jacobi rotation of a symmetric 2 × 2 matrix; none but in the paths `where`.

    And none of numbers so small that their squares are lost.

    Its diagonal is `apart`, the second entry minus the first, and `shared` stands beside it; turned by it, rows and
    columns to c a_p − s a_q and s a_p + c a_q, it is diagonal, by −t `shared` and t `shared`.
    """
    both = shared + shared
    squared_reach = apart * apart + both * both
    where = where & (squared_reach > SQUARED)
    twice = select(where, both, splat(0.0))
    inverse = reciprocal_root(maximum(squared_reach, splat(SQUARED)))
    squared = absolute(apart) * inverse * 0.5 + 0.5  # of the cosine, at least ½
    inverse_cosine = reciprocal_root(squared)
    s = select(where, copy_sign(twice, apart * shared) * (inverse * inverse_cosine * 0.5), splat(0.0))
    return select(where, s * inverse_cosine, splat(0.0)), select(where, squared * inverse_cosine, splat(1.0)), s


@inlined
def rotate(a: Lane, i: int, j: int, stride: int, c: Lane, s: Lane, size: int) -> None:
    """Two lines of `a`, from i and from j on, become c a_i − s a_j and s a_i + c a_j.

    They are rows with stride 1, columns with stride `size`.
    """
    for k in range(0, size * stride, stride):
        a_i, a_j = load(a, i + k), load(a, j + k)
        store(a, i + k, c * a_i - s * a_j)
        store(a, j + k, s * a_i + c * a_j)


@inlined
def opponents(turn: int, i: int, size: int) -> tuple[int, int]:
    """Pair i of round `turn` of a tournament of so many players, the lower first; the last may be missing, as a bye."""
    rounds = size - 1 + size % 2
    if i == 0:
        return turn, rounds
    p, q = turn + i, turn - i
    if p >= rounds:
        p -= rounds
    if q < 0:
        q += rounds
    return min(p, q), max(p, q)


@device
def orthogonalise(a: Lane, u: Lane, norms: Lane, turns: Lane, enough: float) -> int:
    """Rotate the rows of `a` until they are orthogonal, and those of `u` along; `norms` are their squared lengths.

    `u` may have no rows; `turns`, as many as `norms`, is for work. The sweep that finds no cosine between rows, and no
    angle to turn by, above `enough` is the last. It leaves them about as large as the squares of those that it found.

    One-sided Jacobi rotations (Hestenes 1958), which find small singular values to their own relative accuracy. Where
    `a` began as u W with an orthogonal u, it ends as Σ V with W = uᵀ Σ V. Pairs of a round are disjoint, so that the
    processor works on several at once. Returns the number of sweeps: few where u was nearly right. A lane that is done
    stays as it is while others go on. Lengths are to be between 1e-65 and 1e75.
    """
    size, along = len(norms), len(u) // len(norms)
    odd = size % 2  # then pair 0 has a bye
    settled = splat(0.0) > 0.0
    for sweep in range(MOST_SWEEPS):
        for p in range(size):
            store(norms, p, select(settled, load(norms, p), dot(a, p, a, p, size)))
        unsettled = splat(0.0) > 0.0
        for turn in range(size - 1 + size % 2):
            for i in range((size + 1) // 2):
                p, q = opponents(turn, i, size)
                if q < size:
                    alpha, beta, gamma = load(norms, p), load(norms, q), dot(a, p, a, q, size)
                    oblique = (gamma * gamma > alpha * beta * (TOLERANCE * TOLERANCE)) & ~settled
                    t, c, s = rotation(beta - alpha, gamma, oblique)
                    large = (gamma * gamma > alpha * beta * (enough * enough)) | (absolute(t) > enough)
                    low, high = alpha - t * gamma, beta + t * gamma
                    # Longer rows come first, which saves sweeps; but a sweep in which rows move may miss a pair.
                    exchanged = oblique & (beta > alpha)
                    unsettled = unsettled | exchanged | (oblique & large & (absolute(t) > 0.0))
                    store(turns, 2 * i - odd, select(exchanged, s, c))
                    store(turns, 2 * i + 1 - odd, select(exchanged, -c, s))
                    store(norms, p, select(exchanged, high, low))
                    store(norms, q, select(exchanged, low, high))
            for i in range((size + 1) // 2):
                p, q = opponents(turn, i, size)
                if q < size:
                    c, s = load(turns, 2 * i - odd), load(turns, 2 * i + 1 - odd)
                    if any_of((s < 0.0) | (s > 0.0)):
                        rotate(a, p * size, q * size, 1, c, s, size)
                        rotate(u, p * along, q * along, 1, c, s, along)
        if not any_of(unsettled):
            return sweep + 1
        settled = ~unsettled
    return MOST_SWEEPS


@device
def normalise(a: Lane, norms: Lane, lengths: Lane) -> None:
    """Divide the orthogonal rows of `a` by their lengths; rows of 0 become unit vectors orthogonal to all others."""
    size = len(norms)
    missing = splat(0.0)
    for k in range(size):
        norm = load(norms, k)
        length = sqrt(norm)
        store(lengths, k, length)
        inverse = select(norm > NONE, reciprocal(maximum(length, splat(TINY))), splat(0.0))
        missing = missing + select(norm > NONE, splat(0.0), splat(1.0))
        for i in range(size):
            store(a, k * size + i, load(a, k * size + i) * inverse)
    if any_of(missing > 0.0):
        complete(a, norms)


@device
def complete(a: Lane, norms: Lane) -> None:
    """Replace the rows of 0 of `a`, whose other rows are orthonormal, by more orthonormal ones.

    Each becomes what is left of the unit vector e_j that is farthest from the rows so far.
    """
    size = len(norms)
    for k in range(size):
        absent = ~(load(norms, k) > NONE)
        if not any_of(absent):
            continue
        best, column = splat(-1.0), splat(0.0)
        for j in range(size):
            left = splat(1.0)
            for i in range(size):
                left = left - load(a, i * size + j) * load(a, i * size + j)
            better = left > best
            best, column = select(better, left, best), select(better, splat(float(j)), column)
        for j in range(size):
            unit = select(column == float(j), splat(1.0), splat(0.0))
            store(a, k * size + j, select(absent, unit, load(a, k * size + j)))
        for _ in range(2):  # once more for what rounding left
            for i in range(size):
                if i != k:
                    shared = select(absent, dot(a, k, a, i, size), splat(0.0))
                    for j in range(size):
                        store(a, k * size + j, load(a, k * size + j) - shared * load(a, i * size + j))
            norm = dot(a, k, a, k, size)
            inverse = select(absent, reciprocal(sqrt(maximum(norm, splat(TINY)))), splat(1.0))
            for j in range(size):
                store(a, k * size + j, load(a, k * size + j) * inverse)


@device
def make_unit(u: Lane, k: int, size: int, squared: Lane) -> None:
    """Divide row k of `u` by its length, of which the square is nearly 1.

    A frame that rotations turn step by step would grow: a cosine of 1 − 1e-17 is rounded to 1, by 1e-16 in a step.
    """
    scale = squared * -0.5 + 1.5
    for i in range(size):
        store(u, k * size + i, load(u, k * size + i) * scale)


@device
def decompose(w: Lane, u: Lane, v: Lane, s: Lane, work: Lane, enough: float) -> None:
    """W = uᵀ diag(s) v, with orthogonal u and v, s >= 0 in no order. On entry u is orthogonal: a guess, or 1.

    `s` and `work` have d rows; `enough` is that of `orthogonalise`: `TOLERANCE`, or more where time matters.
    """
    size = len(s)
    for k in range(size):
        make_unit(u, k, size, dot(u, k, u, k, size))
    product(u, w, size, v)
    for i in range(size * size):
        store(v, i, load(v, i) * LARGE)
    orthogonalise(v, u, work, s, enough)
    normalise(v, work, s)
    for k in range(size):  # of lengths that are infinite nothing is known
        store(s, k, load(s, k) * (1.0 / LARGE) + load(work, k) * 0.0)


# --- eigenvalues ----------------------------------------------------------------------------------------------------


@device
def diagonalise(a: Lane, r: Lane, values: Lane, norms: Lane, enough: float) -> int:
    """A symmetric a = rᵀ diag(values) r with an orthogonal r, values in no order; `norms` is for work.

    By the rows of a + c with its Frobenius norm c, of which no eigenvalue is negative: values are exact to the rounding
    of c. Returns the number of sweeps; `enough` is that of `orthogonalise`.
    """
    size = len(values)
    c = sqrt(squared_norm(a[: size * size]))
    for i in range(size):
        for j in range(size):
            store(r, i * size + j, load(a, i * size + j) + c if i == j else load(a, i * size + j))
    sweeps = orthogonalise(r, r[:0], norms, values, enough)
    normalise(r, norms, values)
    for k in range(size):
        store(values, k, load(values, k) - c)
    return sweeps


@device
def rotation_by(omega: Lane, size: int, out: Lane) -> None:
    """Cayley's transform (1 − ω/2)⁻¹(1 + ω/2) of an antisymmetric ω: orthogonal, and e^ω but for terms of third order.

    Angles that are large are made smaller, all alike: of much larger ones the inverse would lose its digits. It is
    Gauss and Jordan's, in place; no pivot is below 1.
    """
    most = splat(LARGEST_ANGLE)
    scale = most * reciprocal(maximum(sqrt(squared_norm(omega[: size * size])), most)) * -0.5
    for i in range(size):
        for j in range(size):
            store(out, i * size + j, splat(1.0) if i == j else load(omega, i * size + j) * scale)
    for p in range(size):
        inverse = reciprocal(load(out, p * size + p))
        for j in range(size):
            if j != p:
                store(out, p * size + j, load(out, p * size + j) * inverse)
        for i in range(size):
            if i != p:
                factor = load(out, i * size + p)
                for j in range(size):
                    if j != p:
                        store(out, i * size + j, load(out, i * size + j) - factor * load(out, p * size + j))
                store(out, i * size + p, -factor * inverse)
        store(out, p * size + p, inverse)
    for i in range(size):
        for j in range(size):
            twice = load(out, i * size + j) * 2.0
            store(out, i * size + j, twice - 1.0 if i == j else twice)
