"""Singular values to high relative accuracy, eigenvalues to rounding, the bounds behind the shifts, the ensembles."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_tools import EXTENDED, in_another_process, sized

from dlnmc_kernels.driver import normals
from dlnmc_kernels.ensembles import hermite, laguerre
from dlnmc_kernels.gamma import BESIDE
from dlnmc_kernels.jit import device
from dlnmc_kernels.lanes import WIDTH, load, splat, store
from dlnmc_kernels.philox import EXACT
from dlnmc_kernels.tridiagonal import NOTES, eigenvalues, lower_bound, qd_eigenvalues, qd_step

EPS = np.finfo(float).eps


@device
def bidiagonal(q, e, values):
    return qd_eigenvalues(q, e, np.zeros((NOTES, WIDTH)), values)


@device
def tridiagonal(diagonal, off_diagonal, values):
    q, e = np.zeros_like(diagonal), np.zeros_like(diagonal)
    return eigenvalues(diagonal, off_diagonal, q, e, np.zeros((NOTES, WIDTH)), values)


def in_lanes(x):
    """Values of one matrix, or of eight, as the rows of eight that a kernel may overwrite."""
    return np.array(np.broadcast_to(x[:, np.newaxis] if x.ndim == 1 else x, (len(x), WIDTH)), order="C")


def solve(function, first, second):
    """The values, shape (size, 8), and the number of steps; `second` may be one shorter than `first`."""
    if len(second) < len(first):
        second = np.append(second, np.nan)  # what does not matter
    first, second = in_lanes(np.asarray(first)), in_lanes(np.asarray(second))
    values = np.empty_like(first)
    with np.errstate(all="ignore"):
        steps = function(first, second, values)
    return values, steps


# --- exact values -----------------------------------------------------------------------------------------------------


def exact_eigenvalues(q, e):
    """The eigenvalues of BᵀB, ascending, in 400 digits."""
    size = len(q)
    with mpmath.workdps(400):
        q, e = [mpmath.mpf(float(x)) for x in q], [mpmath.mpf(float(x)) for x in e]
        A = mpmath.matrix(size, size)
        for i in range(size):
            A[i, i] = q[i] + (e[i - 1] if i else 0)
            if i < size - 1:
                A[i, i + 1] = A[i + 1, i] = mpmath.sqrt(q[i] * e[i])
        return sorted(mpmath.eigsy(A, eigvals_only=True))


def relative_error(values, exact):
    with mpmath.workdps(30):
        return max(float(abs(mpmath.mpf(float(x)) / y - 1)) for x, y in zip(values, exact, strict=True))


def below(q, e, x):
    """How many eigenvalues of BᵀB lie below each x: negative pivots of BᵀB − x (stationary qd)."""
    s, count = -x, np.zeros(len(x), int)
    for i in range(len(q)):
        pivot = q[i] + s
        count += pivot < 0
        if i < len(q) - 1:
            s = s * (e[i] / pivot) - x
    return count


def below_tridiagonal(diagonal, off_diagonal, x):
    """How many eigenvalues lie below each x (Sturm)."""
    pivot = diagonal[0] - x
    count = (pivot < 0).astype(int)
    for i in range(1, len(diagonal)):
        pivot = (diagonal[i] - x) - off_diagonal[i - 1] ** 2 / pivot
        count += pivot < 0
    return count


def bracketed(count, values, error):
    """Whether every value is within its error of the eigenvalue of its rank."""
    rank, x = np.arange(len(values)), values.astype(np.longdouble)
    return bool(np.all(count(x - error) <= rank) and np.all(count(x + error) > rank))


# --- singular values --------------------------------------------------------------------------------------------------


def laguerre_squares(size, rng, depth=4.0):
    return rng.chisquare(1.0 / depth + size - np.arange(1, size + 1)), rng.chisquare(np.arange(size - 1, 0, -1.0))


def graded(size, factor):
    powers = factor ** np.arange(size, dtype=float)
    return powers, 0.7 * powers[:-1]


def with_zeros(x, *where):
    x = np.array(x)
    x[list(where)] = 0.0
    return x


RNG = np.random.default_rng(8)
SIZE = 10
RANDOM = RNG.chisquare(3, SIZE), RNG.chisquare(3, SIZE - 1)
MATRICES = {
    "random": RANDOM,
    "of size 1": (np.array([3.0]), np.array([])),
    "of size 2": (np.array([3.0, 1e-7]), np.array([5.0])),
    "laguerre": laguerre_squares(SIZE, RNG),
    "of depth 30": laguerre_squares(SIZE, RNG, 30.0),
    "graded down": graded(SIZE, 1e-9),
    "graded up": graded(SIZE, 1e9),
    "over 200 decades": (10.0 ** RNG.uniform(-100, 0, SIZE), 10.0 ** RNG.uniform(-100, 0, SIZE - 1)),
    "all equal": (np.ones(SIZE), np.zeros(SIZE - 1)),
    "nearly equal": (np.ones(SIZE), np.full(SIZE - 1, 1e-20)),
    "in pairs": (np.repeat([1.0, 2.0, 3.0, 4.0, 5.0], 2), np.zeros(SIZE - 1)),
    "a cluster": (np.r_[np.ones(SIZE - 3), 1e-8, 1e-8, 1e-8], np.full(SIZE - 1, 1e-9)),
    "ascending": (np.arange(1.0, SIZE + 1.0), np.zeros(SIZE - 1)),
    "ascending, coupled": (np.arange(1.0, SIZE + 1.0), np.full(SIZE - 1, 1e-60)),
    "descending": (np.arange(SIZE, 0.0, -1.0), np.zeros(SIZE - 1)),
    "constant": (np.ones(SIZE), np.ones(SIZE - 1)),
    "Kahan's": (np.full(SIZE, 0.5), np.full(SIZE - 1, 2.0)),
    "in blocks": (RANDOM[0], with_zeros(RANDOM[1], 1, 2, 6)),
    "large": tuple(1e88 * x for x in RANDOM),
    "small": tuple(1e-140 * x for x in RANDOM),
}
SINGULAR = {
    "singular inside": (with_zeros(RANDOM[0], 4), RANDOM[1]),
    "singular first": (with_zeros(RANDOM[0], 0), RANDOM[1]),
    "singular last": (with_zeros(RANDOM[0], SIZE - 1), RANDOM[1]),
    "of rank 7": (with_zeros(RANDOM[0], 1, 5, 8), RANDOM[1]),
    "zero": (np.zeros(SIZE), np.zeros(SIZE - 1)),
    "zero of size 1": (np.zeros(1), np.zeros(0)),
}


@pytest.mark.parametrize("name", MATRICES)
def test_singular_values_have_small_relative_errors(name):
    """All, the smallest included, against 400 digits: the squares within 20 roundings."""
    q, e = MATRICES[name]
    values, steps = solve(bidiagonal, q, e)
    assert np.all(values == values[:, :1])
    assert np.all(np.diff(values[:, 0]) >= 0.0)
    assert relative_error(values[:, 0], exact_eigenvalues(q, e)) < 20 * EPS
    assert steps <= 10 * len(q)


@pytest.mark.parametrize("name", SINGULAR)
def test_singular_matrices(name):
    q, e = SINGULAR[name]
    values, steps = solve(bidiagonal, q, e)
    exact = np.array([float(x) for x in exact_eigenvalues(q, e)])
    zero = exact < 1e-100
    assert np.all(np.abs(values[zero, 0]) < 1e-190)
    assert np.allclose(values[~zero, 0], exact[~zero], rtol=20 * EPS, atol=0.0)
    assert steps <= 10 * len(q)


@settings(deadline=None, max_examples=sized(60, 20))
@given(st.lists(st.floats(-9.0, 9.0), min_size=1, max_size=8), st.integers(0, 2**32))
def test_singular_values_of_any_grading(exponents, seed):
    rng = np.random.default_rng(seed)
    q, e = 10.0 ** np.array(exponents), 10.0 ** rng.uniform(-20.0, 20.0, len(exponents) - 1)
    e[rng.random(len(e)) < 0.1] = 0.0
    values, _ = solve(bidiagonal, q, e)
    assert relative_error(values[:, 0], exact_eigenvalues(q, e)) < 20 * EPS


@pytest.mark.skipif(not EXTENDED, reason="long double is double here")
@pytest.mark.parametrize("depth", [1.0, 50.0])
@pytest.mark.parametrize("reverse", [False, True])
def test_all_singular_values_of_large_matrices(depth, reverse):
    """Counted in long doubles: each square within 1e-13 of the one of its rank, and not within a tenth of EPS."""
    size = sized(600, 40)
    q, e = laguerre_squares(size, np.random.default_rng(9), depth)
    if reverse:  # the smallest live in the first rows
        q, e = q[::-1], e[::-1]
    values, steps = solve(bidiagonal, q, e)
    x = values[:, 0]
    wide_q, wide_e = q.astype(np.longdouble), e.astype(np.longdouble)

    def count(at):
        return below(wide_q, wide_e, at)

    assert bracketed(count, x, 1e-13 * x)
    assert not bracketed(count, x, 0.1 * EPS * x)
    assert steps <= 4 * size


def test_equal_matrices_in_all_lanes_need_few_steps():
    """The count that speed rests on: about three for each eigenvalue."""
    size = sized(500, 60)
    q, e = laguerre_squares(size, np.random.default_rng(10))
    assert solve(bidiagonal, q, e)[1] <= 3.1 * size
    rng = np.random.default_rng(11)
    together = [np.stack(x, axis=1) for x in zip(*(laguerre_squares(size, rng) for _ in range(WIDTH)), strict=True)]
    padded = np.concatenate([together[1], np.zeros((1, WIDTH))])
    assert solve(bidiagonal, together[0], padded)[1] <= 3.2 * size  # lanes hardly wait for each other


@pytest.mark.parametrize("zeros", [0.05, 0.4])
def test_many_blocks_end_well_within_the_limit(zeros):
    size = sized(500, 40)
    rng = np.random.default_rng(12)
    q, e = rng.chisquare(3, size), rng.chisquare(3, size - 1)
    e[rng.random(size - 1) < zeros] = 0.0
    values, steps = solve(bidiagonal, q, e)
    B = np.diag(np.sqrt(q)) + np.diag(np.sqrt(e), 1)
    exact = np.sort(np.linalg.svd(B, compute_uv=False))
    assert np.allclose(np.sqrt(values[:, 0]), exact, rtol=0.0, atol=1e-13 * exact[-1])
    assert steps <= 50 * size


# --- eigenvalues ------------------------------------------------------------------------------------------------------


def dense(diagonal, off_diagonal):
    return np.diag(diagonal) + np.diag(off_diagonal, 1) + np.diag(off_diagonal, -1)


HALF = np.abs(np.arange(-10.0, 11.0))
SYMMETRIC = {
    "random": (RNG.normal(size=30), RNG.normal(size=29)),
    "of size 1": (np.array([-3.0]), np.array([])),
    "of size 2": (np.array([1.0, -1.0]), np.array([-2.0])),
    "Wilkinson's": (HALF, np.ones(20)),
    "diagonal": (RNG.normal(size=30), np.zeros(29)),
    "without a diagonal": (np.zeros(30), RNG.normal(size=29)),
    "identity": (np.ones(30), np.zeros(29)),
    "minus identity": (-np.ones(30), np.zeros(29)),
    "zero": (np.zeros(5), np.zeros(4)),
    "in blocks": (RNG.normal(size=30), with_zeros(RNG.normal(size=29), 3, 4, 20)),
    "graded": (10.0 ** -np.arange(30.0), 10.0 ** -np.arange(0.5, 29.0)),
    "far from 0": (1e6 + RNG.normal(size=30), RNG.normal(size=29)),
    "large": (1e85 * RNG.normal(size=30), 1e85 * RNG.normal(size=29)),
    "small": (1e-85 * RNG.normal(size=30), 1e-85 * RNG.normal(size=29)),
}


@pytest.mark.parametrize("name", SYMMETRIC)
def test_eigenvalues_agree_with_numpy(name):
    diagonal, off_diagonal = SYMMETRIC[name]
    values, steps = solve(tridiagonal, diagonal, off_diagonal)
    exact = np.linalg.eigvalsh(dense(diagonal, off_diagonal))
    assert np.all(values == values[:, :1])
    assert np.allclose(values[:, 0], exact, rtol=0.0, atol=max(1e-14 * np.max(np.abs(exact)), 1e-190))
    assert steps <= 10 * len(diagonal)


@pytest.mark.skipif(not EXTENDED, reason="long double is double here")
@pytest.mark.parametrize("repulsion", [1.0, 2.0, 1e4])
def test_all_eigenvalues_of_large_matrices(repulsion):
    """β-Hermite, counted in long doubles: each within 1e-14 of the norm, and not within a hundredth of EPS of it."""
    size = sized(600, 40)
    rng = np.random.default_rng(13)
    diagonal, off_diagonal = rng.normal(size=size), np.sqrt(rng.chisquare(repulsion * np.arange(1, size)) / 2.0)
    values, steps = solve(tridiagonal, diagonal, off_diagonal)
    x, norm = values[:, 0], np.max(np.abs(values))
    wide = diagonal.astype(np.longdouble), off_diagonal.astype(np.longdouble)

    def count(at):
        return below_tridiagonal(*wide, at)

    assert bracketed(count, x, 1e-14 * norm)
    assert not bracketed(count, x, 0.01 * EPS * norm)
    assert steps <= 3.2 * size


@settings(deadline=None, max_examples=sized(200, 20))
@given(st.integers(1, 12), st.integers(0, 2**32))
def test_eigenvalues_move_with_the_matrix(size, seed):
    """T + c, −T and T with other signs beside the diagonal."""
    rng = np.random.default_rng(seed)
    diagonal, off_diagonal = rng.normal(size=size), rng.normal(size=size - 1)
    values = solve(tridiagonal, diagonal, off_diagonal)[0]
    for other, expected in (
        ((diagonal + 3.0, off_diagonal), values + 3.0),
        ((-diagonal, off_diagonal), -values[::-1]),
        ((diagonal[::-1], -off_diagonal[::-1]), values),
    ):
        assert np.allclose(solve(tridiagonal, *other)[0], expected, rtol=0.0, atol=100 * EPS)


# --- lanes ------------------------------------------------------------------------------------------------------------


def eight_matrices(size):
    """Eight matrices that take very different numbers of steps."""
    rng = np.random.default_rng(14)
    q, e = rng.chisquare(3, (size, WIDTH)), rng.chisquare(3, (size, WIDTH))
    e[:, 1] = 0.0
    q[:, 2] = 1.0
    q[size // 2, 3] = 0.0
    e[::3, 4] = 0.0
    q[:, 5] *= 10.0 ** -np.arange(float(size))
    return q, e


def test_a_matrix_does_not_depend_on_its_lane_or_its_neighbours():
    """Bit by bit: another order of the lanes, and each matrix among copies of itself."""
    q, e = eight_matrices(sized(40, 12))
    values, _ = solve(bidiagonal, q, e)
    order = [3, 1, 7, 5, 0, 2, 6, 4]
    assert solve(bidiagonal, q[:, order], e[:, order])[0].tobytes() == values[:, order].tobytes()
    for lane in range(WIDTH):
        alone, _ = solve(bidiagonal, np.repeat(q[:, [lane]], WIDTH, 1), np.repeat(e[:, [lane]], WIDTH, 1))
        assert alone[:, 0].tobytes() == values[:, lane].tobytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("row", [0, 5, 11])
def test_what_is_not_finite_stays_in_its_lane(bad, row):
    q, e = eight_matrices(12)
    expected, steps = solve(bidiagonal, q, e)
    q[row, 6] = bad
    values, steps_now = solve(bidiagonal, q, e)
    assert np.all(np.isnan(values[:, 6]))
    others = np.arange(WIDTH) != 6
    assert values[:, others].tobytes() == expected[:, others].tobytes()
    assert steps_now <= steps + 12
    diagonal = np.ones((12, WIDTH))
    diagonal[row, 2] = bad
    values, _ = solve(tridiagonal, diagonal, np.ones((12, WIDTH)))
    assert np.all(np.isnan(values[:, 2]))
    assert np.all(np.isfinite(values[:, np.arange(WIDTH) != 2]))


# --- bounds -----------------------------------------------------------------------------------------------------------


@device
def bound_loop(count, j, out):
    store(out, 0, lower_bound(load(count, 0), load(j, 0), load(j, 1), load(j, 2)))


def bound(numbers):
    out = np.empty((1, WIDTH))
    with np.errstate(all="ignore"):
        j = in_lanes(np.array([np.sum(1.0 / numbers**m) for m in (1, 2, 3)]))
        bound_loop(in_lanes(np.array([float(len(numbers))])), j, out)
    return out[0, 0]


@settings(deadline=None, max_examples=300)
@given(st.lists(st.floats(1e-30, 1e30), min_size=1, max_size=40))
def test_the_bound_lies_below_the_smallest(numbers):
    numbers = np.array(numbers)
    assert 0.0 <= bound(numbers) < np.min(numbers)


def test_the_bound_is_sharp_where_numbers_are_equal_or_far_apart():
    assert bound(np.full(7, 3.0)) == pytest.approx(3.0, rel=1e-5)
    assert bound(np.array([1e-6, 1.0, 2.0, 3.0])) == pytest.approx(1e-6, rel=2e-9)
    levels = np.arange(1.0, 500.0)
    laguerre_bound = 499 / (np.sum(1 / levels) + np.sqrt(498 * (499 * np.sum(levels**-2) - np.sum(1 / levels) ** 2)))
    assert laguerre_bound < 0.8
    assert 0.93 < bound(levels) < np.sum(levels**-3.0) ** (-1 / 3) < 1.0


def test_the_bound_where_traces_overflow():
    assert bound(np.array([1e-120, 1.0])) == pytest.approx(1e-120, rel=2e-9)
    assert bound(np.array([1e-200, 1.0])) == pytest.approx(1e-200, rel=2e-9)
    assert bound(np.array([1e-200, 1e-200])) == pytest.approx(0.5e-200, rel=2e-9)


@device
def step_loop(q, e, shift, out):
    last = splat(len(q) - 1.0)
    (d, d1, d2, d3, j1, j2, j3), coupling = qd_step(q, e, load(shift, 0), last, len(q) - 1, len(q) - 1)
    store(out, 0, d)
    store(out, 1, d1)
    store(out, 2, d2)
    store(out, 3, d3)
    store(out, 4, j1)
    store(out, 5, j2)
    store(out, 6, j3)
    store(out, 7, coupling)


@pytest.mark.parametrize("shift", [0.0, 0.001])
def test_a_step_shifts_the_eigenvalues_and_sums_up_the_traces(shift):
    q, e = laguerre_squares(7, np.random.default_rng(15), 1.0)

    def step(s):
        new_q, new_e, out = in_lanes(q), in_lanes(np.append(e, 0.0)), np.empty((8, WIDTH))
        step_loop(new_q, new_e, in_lanes(np.array([s])), out)
        return np.append(new_q[:-1, 0], out[0, 0]), new_e[:-1, 0], out[:, 0]

    new_q, new_e, out = step(shift)
    before, after = exact_eigenvalues(q, e), exact_eigenvalues(new_q, new_e)
    assert before[0] > shift
    assert np.allclose([float(x - y) for x, y in zip(before, after, strict=True)], shift, rtol=0.0, atol=1e-13)
    above = np.array([float(x) for x in exact_eigenvalues(new_q[:-1], new_e[:-1])])
    assert np.allclose(out[4:7], [np.sum(above**-m) for m in (1.0, 2.0, 3.0)], rtol=1e-11)
    assert out[7] == new_e[-1]
    h = 1e-4
    d = [step(shift + k * h)[2][0] for k in (-2, -1, 0, 1, 2)]
    assert -(d[0] - 8 * d[1] + 8 * d[3] - d[4]) / (12 * h) == pytest.approx(out[1], rel=1e-6)
    assert -(-d[0] + 16 * d[1] - 30 * d[2] + 16 * d[3] - d[4]) / (24 * h**2) == pytest.approx(out[2], rel=1e-4)
    assert -(d[4] - 2 * d[3] + 2 * d[1] - d[0]) / (12 * h**3) == pytest.approx(out[3], rel=1e-2)


# --- pure Python ------------------------------------------------------------------------------------------------------

UNFINISHED = """
import numpy as np
from dlnmc_kernels import tridiagonal
tridiagonal.STEPS_PER_ROW, tridiagonal.MORE_STEPS = 0, 10
values = np.empty((9, 8))
with np.errstate(all="ignore"):
    steps = tridiagonal.qd_eigenvalues(np.ones((9, 8)), np.ones((9, 8)), np.zeros((4, 8)), values)
print(steps, np.isnan(values).sum(axis=0).tolist())
"""


def test_what_has_not_converged_is_nan():
    """In pure Python, where the limit can be lowered."""
    steps, missing = in_another_process(UNFINISHED, NUMBA_DISABLE_JIT="1").split(" ", 1)
    assert int(steps) == 10
    assert all(int(m) == 9 for m in missing.strip("[]\n").split(","))


# --- ensembles --------------------------------------------------------------------------------------------------------

KEY = np.uint64(20_240_302)


def draw(kernel, parameter, size, blocks, first_block=0):
    out = np.empty((blocks, size, WIDTH))
    with np.errstate(all="ignore"):
        kernel(KEY, EXACT, first_block, parameter, out)
    assert np.all(np.diff(out, axis=1) >= 0.0)
    return out


@pytest.mark.parametrize("size", [1, 2, 7, 8])
def test_the_eigenvalues_add_up_to_the_diagonal(size):
    """The diagonal of the β-Hermite model are the stream's normals, times √κ."""
    diagonal = np.empty((3, size + size % 2, WIDTH))
    normals(KEY, EXACT, 5, BESIDE, diagonal)
    total = np.sqrt(1.3) * diagonal[:, :size].sum(axis=1)
    assert np.allclose(draw(hermite, 1.3, size, 3, 5).sum(axis=1), total, rtol=0.0, atol=1e-13 * size)


@pytest.mark.parametrize(
    ("kernel", "parameter", "size", "mean"),
    [
        (hermite, 0.7, 6, 0.7 * 6 + 30),
        (laguerre, 1.0, 6, 18.0),
        (laguerre, 40.0, 6, 15.0 + 6 / 80),
        (laguerre, 3.0, 1, 1 / 6),
    ],
)
def test_the_mean_square_of_an_ensemble(kernel, parameter, size, mean):
    """E Σx² = κd + d(d − 1), E Σσ² = d(d − 1)/2 + d/(2N): six standard errors, a mean 20 % larger is rejected."""
    squares = np.sum(draw(kernel, parameter, size, sized(2000, 60)) ** 2, axis=1).ravel()
    error = np.std(squares) / np.sqrt(len(squares))
    assert abs(np.mean(squares) - mean) < 6.0 * error
    assert abs(np.mean(squares) - 1.2 * mean) > 6.0 * error or size == 1


def test_the_smallest_singular_value_underflows_to_zero():
    drawn = draw(laguerre, 1e6, 3, sized(200, 20))
    assert np.mean(drawn[:, 0] == 0.0) > 0.95
    assert np.all(drawn[:, 1:] > 1e-6)
    drawn = draw(laguerre, 300.0, 3, sized(200, 20))[:, 0]
    assert np.any((drawn > 0.0) & (drawn < 1e-150))
