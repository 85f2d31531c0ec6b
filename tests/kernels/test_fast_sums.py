"""Fast sums over pairs: against direct ones, on inputs that are meant to be hard, a different one in each lane."""

import numpy as np
import pytest
from kernel_tools import kernel_drift, sized

from dlnmc_kernels import fast_sums
from dlnmc_kernels.dyson import Dyson
from dlnmc_kernels.energies import Quadratic
from dlnmc_kernels.fast_sums import BLOCK, CHUNK, FAST_SIZE, GRADED, RECIPROCAL, RECIPROCAL_UNIT
from dlnmc_kernels.jit import JIT_DISABLED, device
from dlnmc_kernels.lanes import WIDTH
from dlnmc_kernels.outlined import OUTLINED, outlined
from dlnmc_kernels.pair_sums import TINY
from dlnmc_kernels.schemes import SCRATCH
from dlnmc_kernels.singular_values import Lambda, Sigma

SIZE = FAST_SIZE + 2 * BLOCK + 5  # the last block is longer
BOUND = 1e-10  # of the error, over the sum of the terms' absolute values
NO_FLOOR = 1e-70


def families(size, seed=1):
    """Ascending components by name: even, random, clustered, with outliers, with near collisions, graded."""
    rng = np.random.default_rng(seed)
    uniform, even = np.sort(rng.random(size)), np.arange(size) / size
    clustered = np.repeat(np.arange(8.0), -(-size // 8))[:size]
    outliers, pairs = uniform.copy(), uniform.copy()
    outliers[[0, -1]] = -1e9, 1e9
    pairs[1::2] = pairs[: size - 1 : 2] + 1e-14
    half = even.copy()
    half[size // 2 :] = 1000.0 + 1e-6 * even[size // 2 :]
    gaussian = rng.standard_normal((size, size))
    return {
        "semicircle": np.linalg.eigvalsh(gaussian + gaussian.T) / np.sqrt(2.0 * size),
        "uniform": uniform,
        "even": even,
        "clusters": np.sort(clustered + 1e-3 * rng.random(size)),
        "tight clusters": np.sort(clustered + 1e-9 * rng.random(size)),
        "half in an even cluster": half,
        "outliers": outliers,
        "pairs": np.sort(pairs),
        "geometric": np.exp(np.linspace(-25.0, 0.0, size)),
        "heavy tails": np.sort(rng.standard_cauchy(size)),
        "large": 1e60 * uniform,
        "small": 1e-55 * uniform,
        "far from 0": 1e4 + uniform,
        "wide": 1e3 * uniform,
        "one cluster": 1.0 + 1e-13 * even,
        "two points": np.repeat([0.0, 1.0], [size // 2, size - size // 2]) + 1e-60 * np.arange(size),
    }


def in_lanes(columns):
    return np.ascontiguousarray(np.stack(columns, axis=1))


LANES = [in_lanes(list(families(SIZE).values())[first : first + WIDTH]) for first in (0, WIDTH)]


def repulsion(x, fast=True, floor=NO_FLOOR):
    f, work = np.full_like(x, np.nan), np.full((6, *x.shape), np.nan)
    fast_sums.repulsion(x, floor, f, work, fast)
    return f


def terms_of(x, floor=NO_FLOOR):
    """1/(x_i − x_j), tamed, shape (i, j, lane)."""
    gap = x[:, None] - x[None]
    later = np.tri(len(x), k=-1)[:, :, None] > 0.0  # of two that coincide the later is the larger
    distance = np.maximum(np.abs(gap), floor)
    terms = 1.0 / np.where((gap > 0.0) | (later & (gap == 0.0)), distance, -distance)
    terms[np.arange(len(x)), np.arange(len(x))] = 0.0
    return terms


def error(got, terms):
    """The largest error of sums, over the sum of the terms' absolute values."""
    return np.max(np.abs(got - terms.sum(axis=1)) / np.abs(terms).sum(axis=1))


def pair_sums(x, y, depth, epsilon=0.0, fast=True):
    """The sums of x and of y; ε is the least distance in λ."""
    work = np.full((SCRATCH, *x.shape), np.nan)
    work[0], work[1] = x, y
    with np.errstate(all="ignore"):  # of what is discarded
        fast_sums.pair_sums(depth, epsilon, work, fast)
    return work[2], work[3]


# --- the expansion --------------------------------------------------------------------------------------------------


def series(table, whole, r, every=1):
    """c_0 + Σ c_n e^{−n r} of a table; beyond it only each `every`-th term, with weights to match."""
    k = np.arange(whole + 1, 200)
    geometric = whole * 2.0 ** (0.5 * (k - whole))
    rates = np.concatenate([np.arange(whole + 1), geometric])
    weights = np.concatenate([table, geometric[len(table) - whole - 1 :] * (0.5 * np.log(2.0))])
    keep = np.arange(len(rates)) < len(table)
    keep[len(table) :: every] = True
    weights[len(table) :] *= every
    return np.exp(-np.multiply.outer(r, rates[keep])) @ weights[keep]


@pytest.mark.parametrize(("every", "holds"), [(1, True), (2, False)])
def test_the_sums_of_exponentials_are_what_they_stand_for_and_half_as_many_are_not(every, holds):
    r = np.geomspace(1e-6, 1.0, 2001)
    u = RECIPROCAL_UNIT
    assert (np.max(np.abs(u * r * series(RECIPROCAL, CHUNK, u * r, every) - 1.0)) < 3e-11) == holds
    r = np.geomspace(1e-6, 600.0, 2001)
    assert (np.max(np.abs(np.expm1(r) * series(GRADED, 2 * CHUNK, r, every) - 1.0)) < 5e-11) == holds


# --- Dyson ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", LANES)
def test_repulsion_is_that_of_all_pairs(x):
    terms = terms_of(x)
    assert error(repulsion(x), terms) < BOUND
    near = np.abs(np.subtract.outer(np.arange(SIZE) // BLOCK, np.arange(SIZE) // BLOCK)) <= 1
    assert error((terms * near[:, :, None]).sum(axis=1), terms) > 1e3 * BOUND  # which the far field alone can repair


@pytest.mark.parametrize("floor", [1e-14, 1e-4, 2e-3, 0.5])
def test_taming_is_that_of_the_direct_sum(floor):
    x = LANES[0]
    got, terms = repulsion(x, floor=floor), terms_of(x, floor)
    assert error(got, terms) < BOUND
    assert error(repulsion(x, floor=1.1 * floor), terms) > 1e3 * BOUND or floor < 1e-5
    if floor == 0.5:  # beyond all blocks of some lanes: theirs is the direct sum
        assert np.array_equal(got[:, :3], repulsion(x, fast=False, floor=floor)[:, :3])


def test_coinciding_components_are_tamed_and_nothing_is_nan():
    x = in_lanes([np.zeros(SIZE), np.ones(SIZE), *np.sort(np.random.default_rng(1).integers(0, 3, (6, SIZE)))]).astype(
        float
    )
    for floor in sized((NO_FLOOR, 1e-3), (1e-3,)):
        got = repulsion(x, floor=floor)
        assert np.isfinite(got).all()
        assert np.array_equal(got, repulsion(x, fast=False, floor=floor))


def test_a_lane_does_not_depend_on_the_others():
    got = repulsion(LANES[0])
    for other in (LANES[1], np.full_like(LANES[1], np.nan), np.full_like(LANES[1], np.inf)):
        mixed = LANES[0].copy()
        mixed[:, 1::2] = other[:, 1::2]
        with np.errstate(all="ignore"):
            assert np.array_equal(repulsion(mixed)[:, ::2], got[:, ::2])


def test_powers_of_two_change_nothing_but_the_scale():
    assert np.array_equal(
        repulsion(LANES[0][:, :2].repeat(4, axis=1) * 4.0), 0.25 * repulsion(LANES[0][:, :2].repeat(4, axis=1))
    )


@pytest.mark.slow
@pytest.mark.parametrize("size", [FAST_SIZE, 1000, 3000])
def test_repulsion_at_other_sizes(size):
    columns = list(families(size, seed=size).values())
    for first in (0, WIDTH):
        x = in_lanes(columns[first : first + WIDTH])
        assert error(repulsion(x), terms_of(x)) < BOUND


# --- the Deep Linear Network ----------------------------------------------------------------------------------------


def levels(depth, seed=1):
    """λ² in lanes: even, random, clustered, graded, near the semicircle, with collisions, an outlier, a zero."""
    rng = np.random.default_rng(seed)
    known = families(SIZE, seed)
    graded = np.exp(np.linspace(-280.0 / (2.0 * depth), 0.0, SIZE))
    outlier, zero = known["uniform"].copy(), known["uniform"].copy()
    outlier[-1], zero[0] = 1e6, 0.0
    lam = [
        known["even"] + 1e-3,
        known["uniform"],
        known["clusters"] + 0.5,
        graded,
        np.sort(np.abs(known["semicircle"])),
        known["pairs"],
        outlier,
        zero,
    ]
    lam[1] = lam[1] * np.exp(rng.normal())
    return in_lanes(lam) ** 2


@pytest.mark.parametrize("depth", sized([1.0, 2.0, 3.5, 8.0, 24.0], [2.0]))
def test_both_sums_are_those_of_all_pairs(depth):
    x = levels(depth)
    y = x**depth
    sum_x, sum_y = pair_sums(x, y, depth)
    assert error(sum_x, terms_of(x, TINY)) < BOUND
    present = y > 1e-270  # of what is smaller, ratios underflow
    terms = terms_of(y, TINY)
    wrong = np.abs(sum_y - terms.sum(axis=1)) / np.abs(terms).sum(axis=1)
    assert np.max(wrong[present]) < BOUND
    assert np.isfinite(sum_y).all()
    assert error(pair_sums(x, y, 1.01 * depth)[1], terms) > 1e3 * BOUND  # a wrong exponent


@pytest.mark.parametrize("epsilon", sized([1e-4, 3e-3, 0.1], [3e-3]))
def test_both_sums_are_tamed_like_direct_ones(epsilon):
    x = levels(2.0)
    fast, direct = pair_sums(x, x**2, 2.0, epsilon), pair_sums(x, x**2, 2.0, epsilon, fast=False)
    for got, expected, terms in zip(fast, direct, (terms_of(x), terms_of(x**2)), strict=True):
        assert np.max((np.abs(got - expected) / np.abs(terms).sum(axis=1))[x > 0.0]) < BOUND
    assert np.isfinite(fast).all()


def test_a_lane_of_both_sums_does_not_depend_on_the_others():
    x = levels(2.0)
    mixed = x.copy()
    mixed[:, 1::2] = np.array([0.0, 1.0, np.nan, np.inf])
    with np.errstate(all="ignore"):
        for got, expected in zip(pair_sums(mixed, mixed**2, 2.0), pair_sums(x, x**2, 2.0), strict=True):
            assert np.array_equal(got[:, ::2], expected[:, ::2])


# --- where they are used --------------------------------------------------------------------------------------------


def test_drifts_of_many_components():
    x = LANES[0][:, :2].repeat(4, axis=1)
    beta = float(SIZE)
    terms = terms_of(x) * (2.0 / beta)
    got = kernel_drift(Dyson(beta, 1.0, Quadratic(1.0)), x)
    assert error(got + x, terms) < BOUND
    assert error(kernel_drift(Dyson(1.01 * beta, 1.0, Quadratic(1.0)), x) + x, terms) > 1e3 * BOUND


@pytest.mark.parametrize(("model", "power"), [(Lambda, 1.0), (Sigma, 3.0)])
def test_drifts_of_many_singular_values(model, power):
    depth, beta, kappa = 3.0, float(SIZE), 0.7
    lam = np.sqrt(levels(depth))[:, [0, 1, 4, 0, 1, 4, 0, 1]]
    lam[::2] *= -1.0
    level = np.abs(lam)
    r_x, r_y = terms_of(level**2), terms_of(level**6)
    scale = level ** (2.0 * depth - 1.0)
    expected = scale * (r_y.sum(axis=1) / beta - 1.0) + (2.0 * kappa - 1.0) * level * r_x.sum(axis=1) / (beta * depth)
    allowed = scale * (np.abs(r_y).sum(axis=1) / beta + 1.0) + level * np.abs(r_x).sum(axis=1) / (beta * depth)
    if model is Sigma:
        jacobian = depth * level ** (depth - 1.0)
        expected = jacobian * expected + kappa / beta * (depth - 1.0) * level ** (depth - 2.0)
        allowed = jacobian * allowed
    state = np.ascontiguousarray(np.sign(lam) * level**power)
    got = kernel_drift(model(depth, beta, kappa, Quadratic(1.0)), state) * np.sign(lam)
    assert np.max(np.abs(got - expected) / allowed) < BOUND


@pytest.mark.skipif(JIT_DISABLED, reason="nothing is compiled")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_cannot_be_compiled_gives_nan():
    @outlined
    def hopeless(x, out, scratch, size, a, b):
        return undefined_name  # noqa: F821

    @device
    def call(x, out):
        hopeless(x, out, x, len(x), 0.0, 0.0)

    x = np.zeros((3, WIDTH))
    call(x, x)
    assert np.isnan(x).all()
    del OUTLINED["dlnmc_hopeless"]
