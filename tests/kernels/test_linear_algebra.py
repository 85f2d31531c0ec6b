"""Products, singular values and eigenvalues of eight small matrices at once, against NumPy and 150 digits."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_tools import complex_matrices_of, matrices_of, rows_of, sized
from scipy import linalg

from dlnmc_kernels import hermitian
from dlnmc_kernels.jit import kernel
from dlnmc_kernels.lanes import WIDTH, load, store
from dlnmc_kernels.linear_algebra import (
    MOST_SWEEPS,
    TOLERANCE,
    decompose,
    diagonalise,
    dot,
    orthogonalise,
    product,
    rotation,
    rotation_by,
    transpose,
)

EPS = np.finfo(float).eps
SIZES = sized([1, 2, 3, 4, 5, 8, 16], [1, 2, 3, 5])


@kernel
def all_products(a, b, size, product_of, transpose_of, dots):
    product(a, b, size, product_of)
    transpose(a, size, transpose_of)
    for i in range(size):
        for j in range(size):
            store(dots, i * size + j, dot(a, i, b, j, size))


@kernel
def decompose_all(w, u, v, s, work, enough):
    decompose(w, u, v, s, work, enough)


@kernel
def orthogonalise_all(w, u, v, norms, enough):
    product(u, w, len(norms), v)
    return orthogonalise(v, u, norms, np.zeros_like(norms), enough)


@kernel
def diagonalise_all(a, r, values, norms):
    return diagonalise(a, r, values, norms, TOLERANCE)


@kernel
def diagonalise_all_hermitian(a, u, size):
    return hermitian.diagonalise(a, u, size)


@kernel
def rotations_by(omega, size, out):
    rotation_by(omega, size, out)


def identities(size, dtype=float):
    return np.tile(np.eye(size, dtype=dtype), (WIDTH, 1, 1))


def adjoint(a):
    return np.swapaxes(a, -1, -2).conj()


def norm(a):
    """The largest singular value of each matrix."""
    return np.linalg.norm(a, 2, axis=(-2, -1))


def random_orthogonal(size, rng):
    return np.linalg.qr(rng.standard_normal((WIDTH, size, size)))[0]


def decomposition(w, u=None, enough=TOLERANCE):
    """u, s and v of W = uᵀ diag(s) v, for w (8, d, d), from the guess u."""
    size = w.shape[-1]
    u = rows_of(identities(size) if u is None else u)
    v, s, work = np.full((size * size, WIDTH), np.nan), np.full((size, WIDTH), np.nan), np.full((size, WIDTH), np.nan)
    with np.errstate(all="ignore"):
        decompose_all(rows_of(w), u, v, s, work, enough)
    return matrices_of(u), s.T, matrices_of(v)


# --- products -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", range(1, sized(17, 7)))
def test_products(size):
    rng = np.random.default_rng(size)
    a, b = rng.standard_normal((2, WIDTH, size, size))
    out = np.full((3, size * size, WIDTH), np.nan)
    all_products(rows_of(a), rows_of(b), size, *out)
    ab, turned, dots = (matrices_of(x) for x in out)
    rounding = size * EPS
    assert np.all(np.abs(ab - a @ b) <= rounding * (np.abs(a) @ np.abs(b)))
    assert np.all(np.abs(dots - a @ adjoint(b)) <= rounding * (np.abs(a) @ np.abs(adjoint(b))))
    assert np.array_equal(turned, adjoint(a))


# --- singular values ------------------------------------------------------------------------------------------------


def with_singular_values(sigma, rng):
    """Matrices (8, d, d) with random frames."""
    size = len(sigma)
    return random_orthogonal(size, rng) @ (np.reshape(sigma, (-1, 1)) * random_orthogonal(size, rng))


def low_rank(size, rng):
    rank = size // 2
    return rng.standard_normal((WIDTH, size, rank)) @ rng.standard_normal((WIDTH, rank, size))


def with_equal_rows(size, rng):
    w = rng.standard_normal((WIDTH, size, size))
    w[:, size // 2 :] = w[:, :1]
    return w


def normal(size, rng):
    return rng.standard_normal((WIDTH, size, size))


def rows_scaled(scales, size, rng):
    return np.reshape(scales, (-1, 1)) * normal(size, rng)


MATRICES = {
    "random": normal,
    "graded rows": lambda size, rng: rows_scaled(np.geomspace(1.0, 1e-200, size), size, rng),
    "graded columns": lambda size, rng: adjoint(rows_scaled(np.geomspace(1e-200, 1.0, size), size, rng)),
    "graded": lambda size, rng: with_singular_values(np.geomspace(1.0, 1e-200, size), rng),
    "all equal": lambda size, rng: with_singular_values(np.ones(size), rng),
    "in pairs": lambda size, rng: with_singular_values(1.0 + np.arange(size) // 2, rng),
    "nearly equal": lambda size, rng: with_singular_values(1.0 + 1e-9 * np.arange(size), rng),
    "of half rank": low_rank,
    "of equal rows": with_equal_rows,
    "of one row": lambda size, rng: rows_scaled(np.arange(size) == size - 1, size, rng),
    "diagonal, rising": lambda size, rng: identities(size) * np.arange(1.0, size + 1.0),
    "triangular": lambda size, rng: np.tril(normal(size, rng)),
    "zero": lambda size, rng: np.zeros((WIDTH, size, size)),
    "large": lambda size, rng: 1e40 * normal(size, rng),
    "small": lambda size, rng: 1e-80 * normal(size, rng),
    "of all sizes": lambda size, rng: np.geomspace(1e-80, 1e40, WIDTH)[:, None, None] * normal(size, rng),
    "with two small rows": lambda size, rng: rows_scaled(np.where(np.arange(size) < 2, 1e-85, 1.0), size, rng),
}


def assert_decomposed(w, u, s, v):
    size = w.shape[-1]
    one, rounding = np.eye(size), 3e-14 + 4.0 * size * EPS
    assert np.all(s >= 0.0)
    assert np.abs(u @ adjoint(u) - one).max() < rounding
    assert np.abs(v @ adjoint(v) - one).max() < rounding
    assert np.all(norm(adjoint(u) @ (s[:, :, None] * v) - w) <= rounding * norm(w) + 1e-90)
    exact = np.linalg.svd(w, compute_uv=False)
    assert np.all(np.abs(-np.sort(-s) - exact) <= rounding * exact[:, :1] + 1e-90)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", MATRICES)
def test_singular_value_decompositions(kind, size):
    w = MATRICES[kind](size, np.random.default_rng(size))
    assert_decomposed(w, *decomposition(w))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", MATRICES)
def test_singular_value_decompositions_from_any_frame(kind, size):
    rng = np.random.default_rng(size)
    w, u = MATRICES[kind](size, rng), random_orthogonal(size, rng)
    assert_decomposed(w, *decomposition(w, u))


entries = st.floats(-1.0, 1.0) | st.integers(-2, 2).map(float) | st.floats(-1e30, 1e30)


@settings(deadline=None, max_examples=sized(200, 15))
@given(data=st.data())
def test_any_matrices_are_decomposed(data):
    size = data.draw(st.integers(1, sized(6, 3)))
    one_of = st.lists(entries, min_size=size * size, max_size=size * size)
    w = np.zeros((WIDTH, size, size))
    for lane in range(2):
        w[lane] = np.reshape(data.draw(one_of), (size, size))
    w[np.abs(w) < 1e-60] = 0.0
    assert_decomposed(w, *decomposition(w))


def exact_singular_values(w):
    """Descending, in 150 digits."""
    with mpmath.workdps(150):
        values = mpmath.svd_r(mpmath.matrix(w.tolist()), compute_uv=False)
        return sorted((values[i] for i in range(len(values))), reverse=True)


@pytest.mark.parametrize("decades", [10, 60])
@pytest.mark.parametrize("size", [2, sized(5, 3)])
def test_small_singular_values_of_scaled_rows_have_small_relative_errors(size, decades):
    rng = np.random.default_rng(size)
    w = 10.0 ** rng.uniform(-decades, 0, (WIDTH, size, 1)) * rng.standard_normal((WIDTH, size, size))
    s = -np.sort(-decomposition(w)[1])
    for lane in range(WIDTH):
        exact = exact_singular_values(w[lane])
        relative = [abs(mpmath.mpf(float(a)) / b - 1) for a, b in zip(s[lane], exact, strict=True)]
        # Rounding of the rows, times the condition of rows scaled to length 1.
        scaled = w[lane] / np.linalg.norm(w[lane], axis=1)[:, None]
        assert max(relative) < 10 * EPS * np.linalg.cond(scaled)
    lapack = -np.sort(-np.linalg.svd(w, compute_uv=False))
    if decades == 60:  # what that is worth
        assert np.abs(lapack / s - 1.0).max() > 1e-5


def sweeps_and_cosines(w, u, enough):
    """The number of sweeps, the new frame, and the largest cosine between rows that is left in each matrix."""
    size = w.shape[-1]
    frame, v, norms = rows_of(u), np.empty((size * size, WIDTH)), np.empty((size, WIDTH))
    sweeps = orthogonalise_all(rows_of(w), frame, v, norms, enough)
    rows = matrices_of(v)
    lengths = np.linalg.norm(rows, axis=-1)
    assert lengths == pytest.approx(np.sqrt(norms.T), rel=1e-13)
    rows = rows / lengths[:, :, None]
    return sweeps, matrices_of(frame), np.abs(rows @ adjoint(rows) - np.eye(size)).max(axis=(1, 2))


@pytest.mark.parametrize("size", [2, 3, 4, sized(8, 5)])
def test_the_last_frame_saves_sweeps(size):
    rng = np.random.default_rng(size)
    w = rng.standard_normal((WIDTH, size, size))
    cold, u, cosines = sweeps_and_cosines(w, identities(size), TOLERANCE)
    assert cosines.max() < 3e-14
    assert cold < 12
    assert sweeps_and_cosines(w, u, TOLERANCE)[0] <= 2  # rounding of the product may turn one more
    closer = w + 1e-5 * rng.standard_normal(w.shape)
    warm, _, cosines = sweeps_and_cosines(closer, u, TOLERANCE)
    assert warm < cold or size == 2  # one rotation, cold or warm
    assert cosines.max() < 3e-14


def test_what_is_left_is_about_the_square_of_what_is_enough():
    # Of matrices with singular values apart: where they meet it may be more, and matters less.
    rng = np.random.default_rng(5)
    w = with_singular_values(np.arange(1.0, 6.0), rng)
    u = sweeps_and_cosines(w, identities(5), TOLERANCE)[1]
    nudged = w + 1e-5 * rng.standard_normal(w.shape)
    one, _, cosines = sweeps_and_cosines(nudged, u, 1e-4)
    assert one == 1
    assert 1e-12 < cosines.max() < 1e-8
    assert sweeps_and_cosines(nudged, identities(5), 1e-4)[2].max() < 1e-8


# --- eigenvalues ----------------------------------------------------------------------------------------------------


def hermitian_part(a):
    return (a + adjoint(a)) / 2.0


def random_unitary(size, dtype, rng):
    a = rng.standard_normal((WIDTH, size, size)).astype(dtype)
    if dtype is complex:
        a += 1j * rng.standard_normal(a.shape)
    return np.linalg.qr(a)[0]


def with_eigenvalues(x, dtype, rng):
    u = random_unitary(len(x), dtype, rng)
    return hermitian_part(u @ (np.reshape(x, (-1, 1)) * adjoint(u)))


SPECTRA = {
    "random": lambda size, rng: rng.standard_normal(size),
    "all equal": lambda size, rng: np.full(size, -2.0),
    "in pairs": lambda size, rng: np.arange(size) // 2 - 1.0,
    "of opposite signs": lambda size, rng: np.cos(np.pi * np.arange(size)),
    "nearly equal": lambda size, rng: 1.0 + 1e-9 * np.arange(size),
    "of half rank": lambda size, rng: np.maximum(np.arange(size) - size // 2, 0.0),
    "graded": lambda size, rng: np.geomspace(1.0, 1e-100, size),
    "zero": lambda size, rng: np.zeros(size),
    "large": lambda size, rng: 1e40 * rng.standard_normal(size),
}


def eigen_decomposition(a):
    """Eigenvalues and the rows of u, u a u* = diag x, with the number of sweeps."""
    size = a.shape[-1]
    if np.iscomplexobj(a):
        rows, u = rows_of(a), rows_of(identities(size, complex))
        sweeps = diagonalise_all_hermitian(rows, u, size)
        return np.einsum("...kk->...k", complex_matrices_of(rows)), complex_matrices_of(u), sweeps
    u, x = np.full((size * size, WIDTH), np.nan), np.full((size, WIDTH), np.nan)
    sweeps = diagonalise_all(rows_of(a), u, x, np.zeros((size, WIDTH)))
    return x.T, matrices_of(u), sweeps


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", SPECTRA)
def test_eigenvalues(kind, size, dtype):
    rng = np.random.default_rng(size)
    a = with_eigenvalues(SPECTRA[kind](size, rng), dtype, rng)
    x, u, sweeps = eigen_decomposition(a)
    rounding = 3e-14 + 20.0 * size * EPS
    assert sweeps < MOST_SWEEPS / 3
    assert np.abs(np.imag(x)).max() <= rounding * np.abs(x).max()
    assert np.abs(u @ adjoint(u) - np.eye(size)).max() < rounding
    assert np.all(norm(adjoint(u) @ (x[:, :, None] * u) - a) <= rounding * norm(a))
    exact = np.linalg.eigh(a)[0]
    assert np.all(np.abs(np.sort(x.real) - exact) <= rounding * norm(a)[:, None])


# --- lanes ----------------------------------------------------------------------------------------------------------


def different_matrices(size, rng):
    """Eight, some done in one sweep and some that take many."""
    w = rng.standard_normal((WIDTH, size, size))
    w[1], w[3], w[5] = np.eye(size), 0.0, w[2] * 1e-3 ** np.arange(size)[:, None]
    return w


@pytest.mark.parametrize("enough", [TOLERANCE, 1e-4, 0.1])
def test_a_singular_value_decomposition_does_not_depend_on_the_other_lanes(enough):
    rng = np.random.default_rng(8)
    w = different_matrices(4, rng)
    together = decomposition(w, enough=enough)
    for lane in range(WIDTH):
        alone = decomposition(np.tile(w[lane], (WIDTH, 1, 1)), enough=enough)
        for a, b in zip(together, alone, strict=True):
            assert np.array_equal(a[lane], b[lane])


@pytest.mark.parametrize("dtype", [float, complex])
def test_eigenvalues_do_not_depend_on_the_other_lanes(dtype):
    rng = np.random.default_rng(8)
    w = different_matrices(4, rng).astype(dtype)
    w = hermitian_part(w if dtype is float else w + 1j * different_matrices(4, rng))
    together = eigen_decomposition(w)[:2]
    for lane in range(WIDTH):
        alone = eigen_decomposition(np.tile(w[lane], (WIDTH, 1, 1)))[:2]
        for a, b in zip(together, alone, strict=True):
            assert np.array_equal(a[lane], b[lane])


OTHERS = [0, 1, 2, 4, 5, 6, 7]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e200])
@pytest.mark.parametrize("where", [(0, 0), (2, 1)])
def test_what_is_no_number_stays_in_its_lane(where, wrong):
    rng = np.random.default_rng(9)
    w = different_matrices(3, rng)
    good = decomposition(w)
    w[(3, *where)] = wrong
    bad = decomposition(w)
    for a, b in zip(good, bad, strict=True):
        assert np.array_equal(a[OTHERS], b[OTHERS])
    with np.errstate(all="ignore"):
        assert not np.isfinite(adjoint(bad[0][3]) @ (bad[1][3][:, None] * bad[2][3])).all()
    for dtype in (float, complex):
        a = hermitian_part(different_matrices(3, rng).astype(dtype))
        b = a.copy()
        b[(3, *where)] = b[(3, *where[::-1])] = wrong
        with np.errstate(all="ignore"):
            for good, bad in zip(eigen_decomposition(a)[:2], eigen_decomposition(b)[:2], strict=True):
                assert np.array_equal(good[OTHERS], bad[OTHERS])


@kernel
def rotations_where(apart, shared, where, out):
    for i, part in enumerate(rotation(load(apart, 0), load(shared, 0), load(where, 0) > 0.0)):
        store(out, i, part)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e200, 1e-200, 0.0])
def test_a_lane_that_is_not_turned_is_not_touched(wrong):
    """Else it would depend on whether others turn."""
    apart, shared, out = np.full((1, WIDTH), 0.5), np.full((1, WIDTH), 0.25), np.zeros((3, WIDTH))
    where = np.ones((1, WIDTH))
    apart[0, 3] = shared[0, 3] = wrong
    where[0, 3] = 0.0
    with np.errstate(all="ignore"):
        rotations_where(apart, shared, where, out)
    assert out[:, 3].tolist() == [0.0, 1.0, 0.0]
    assert out[1, OTHERS] == pytest.approx(np.cos(0.5 * np.arctan(1.0)), rel=1e-15)


def test_what_is_too_large_to_decompose_is_no_number():
    """And not 0, for a velocity that overflows would be 0 then."""
    w = np.random.default_rng(3).standard_normal((WIDTH, 3, 3))
    w[2] *= 1e130
    with np.errstate(all="ignore"):
        s = decomposition(w)[1]
    assert np.isnan(s[2]).all()
    assert np.isfinite(s[[0, 1, 3, 4, 5, 6, 7]]).all()


# --- rotations ------------------------------------------------------------------------------------------------------


def rotations(omega):
    out = np.full((omega.shape[-1] ** 2, WIDTH), np.nan)
    rotations_by(rows_of(omega), omega.shape[-1], out)
    return matrices_of(out)


def antisymmetric(size, strength, rng):
    a = strength * rng.standard_normal((WIDTH, size, size))
    return a - adjoint(a)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("strength", [0.0, 1e-8, 0.03, 1.0, 1e6, 1e100])
def test_rotations_are_orthogonal_whatever_the_angle(size, strength):
    r = rotations(antisymmetric(size, strength, np.random.default_rng(size)))
    assert np.abs(r @ adjoint(r) - np.eye(size)).max() < 2e-14
    assert np.linalg.det(r) == pytest.approx(np.ones(WIDTH), abs=1e-12)


def test_small_rotations_are_exponentials_but_for_the_third_order():
    omega = antisymmetric(4, 1.0, np.random.default_rng(1))
    errors = [np.abs(rotations(t * omega) - linalg.expm(t * omega)).max() for t in (0.02, 0.01)]
    assert errors[0] / errors[1] == pytest.approx(8.0, rel=0.05)
    large = rotations(omega)
    assert large == pytest.approx(np.linalg.solve(np.eye(4) - omega / 2.0, np.eye(4) + omega / 2.0), abs=1e-13)


def test_rotations_follow_the_frame():
    rng = np.random.default_rng(2)
    omega, q = antisymmetric(4, 0.3, rng), random_orthogonal(4, rng)
    assert rotations(q @ omega @ adjoint(q)) == pytest.approx(q @ rotations(omega) @ adjoint(q), abs=1e-14)
