"""Sums over pairs in tiles against the plain sums, lane by lane."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnmc_kernels.jit import kernel
from dlnmc_kernels.lanes import WIDTH, splat
from dlnmc_kernels.pair_sums import (
    CLOSE,
    SAFE,
    TINY,
    Taming,
    add_gaps_between,
    add_two_gaps_between,
    gap_sums,
    taming,
    two_gap_sums,
    two_sums,
)

SIZES = [1, 2, 3, 4, 5, 7, 8, 13, 32]


@kernel
def one_sum(x, floor, f):
    gap_sums(x, splat(floor), f)


@kernel
def one_sum_between(x, floor, f, first, last, first_column, last_column):
    add_gaps_between(x, splat(floor), f, first, last, first_column, last_column)


@kernel
def sums_of_two(x, y, tame, sum_x, sum_y):
    two_gap_sums(two_sums(x, y, tame, sum_x, sum_y), len(x))


@kernel
def sums_of_two_between(x, y, tame, sum_x, sum_y, first, last, first_column, last_column):
    add_two_gaps_between(two_sums(x, y, tame, sum_x, sum_y), first, last, first_column, last_column)


def ascending(size, seed, closest=0.0):
    """Rows of exponential gaps, in every lane its own; some gaps are `closest`."""
    rng = np.random.default_rng(seed)
    gaps = rng.exponential(1.0, (size, WIDTH)) / size
    return np.cumsum(np.where(rng.random(gaps.shape) < 0.1, closest / size, gaps), axis=0) + 0.01


def plain_sum(x, floor):
    """(the sums, the sums of absolute values) with longer numbers."""
    x = x.astype(np.longdouble)
    gap = x[:, None] - x[None]
    apart = ~np.eye(len(x), dtype=bool)[:, :, None]
    sign = np.sign(np.arange(len(x))[:, None] - np.arange(len(x)))[:, :, None]
    terms = np.where(apart, sign / np.maximum(np.abs(gap), floor), 0.0)
    return terms.sum(axis=1), np.abs(terms).sum(axis=1)


def plain_two_sums(x, y, tame):
    """The sums of x and y and those of absolute values, with longer numbers."""
    x, y = (a.astype(np.longdouble) for a in (x, y))
    floor = np.maximum(y * np.minimum(tame.away, np.maximum(x, tame.gap_squared)), TINY)
    out = np.zeros((4, *x.shape), np.longdouble)
    for k in range(len(x)):
        for l in range(k):
            d_x, d_y = x[k] - x[l], y[k] - y[l]
            r = 1 / np.maximum(d_x * d_y, floor[k])
            entropy = np.minimum(x[k] * tame.fading, tame.share) / np.maximum(y[k], TINY)
            e = np.maximum(floor[k] - d_x * d_y, 0) * r * entropy
            r_x, r_y = d_y * r, d_x * r
            out[:, k] += [r_x, r_y + e, r_x, r_y + e]
            out[:, l] += [-r_x, -(r_y - e), r_x, r_y + e]
    return out


def tamed(away):
    """Taming of products up to `away`, with an entropy that fades near 0."""
    return Taming(away, 0.1 * away, 0.3, 3.0 / max(away, TINY))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("floor", [1e-70, 1e-3])
def test_one_sum(size, floor):
    x = ascending(size, size, closest=1e-4)
    f = np.full_like(x, np.nan)
    one_sum(x, floor, f)
    expected, scale = plain_sum(x, floor)
    assert (np.abs(f - expected) <= 1e-14 * scale).all()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("power", [1.0, 2.0, 8.0, 24.0])
@pytest.mark.parametrize("away", [0.0, 1e-5, 1e-2, 1.0])
def test_two_sums(size, power, away):
    x = ascending(size, size, closest=1e-3)
    sums = np.full((2, *x.shape), np.nan)
    sums_of_two(x, x**power, tamed(away), *sums)
    expected = plain_two_sums(x, x**power, tamed(away))
    # a difference of powers has the rounding of the larger
    assert (np.abs(sums[0] - expected[0]) <= 1e-13 * expected[2]).all()
    assert (np.abs(sums[1] - expected[1]) <= 1e-13 * expected[3]).all()


@settings(deadline=None, max_examples=40)
@given(rows=st.integers(0, 13), columns=st.integers(0, 13), between=st.integers(0, 3), seed=st.integers(0, 99))
def test_the_sums_of_two_parts_and_between_them_are_those_of_all(rows, columns, between, seed):
    x = ascending(rows + columns + between, seed) if rows + columns + between else np.ones((0, WIDTH))
    y, tame = x**3, tamed(1e-4)
    f, sums = np.zeros_like(x), np.zeros((2, *x.shape))
    first = columns + between
    one_sum_between(x, 1e-3, f, first, len(x), 0, columns)
    sums_of_two_between(x, y, tame, *sums, first, len(x), 0, columns)
    part = np.zeros((3, *x.shape))
    for k in range(first, len(x)):
        for l in range(columns):
            pair = np.zeros((3, 2, WIDTH))
            one_sum(x[[l, k]], 1e-3, pair[0])
            sums_of_two(x[[l, k]], y[[l, k]], tame, *pair[1:])
            part[:, [l, k]] += pair
    assert f == pytest.approx(part[0], rel=1e-12, abs=1e-10)
    assert sums == pytest.approx(part[1:], rel=1e-12, abs=1e-10)


@pytest.mark.parametrize("size", [4, 9, 16])
@pytest.mark.parametrize("power", [2.0, 24.0])
def test_a_lane_does_not_depend_on_the_others_to_the_last_bit(size, power):
    """Not even where they are tamed, or their products too small to share a division."""
    x = np.linspace(0.3, 1.0, size)[:, None] * np.ones(WIDTH)  # no taming anywhere
    alone = np.zeros((2, *x.shape))
    sums_of_two(x, x**power, tamed(1e-7), *alone)
    others = np.linspace(0.3, 1.0, size)[:, None] * np.array([1.0, 1e-9, 1e-60, 1e-3, 1.0, 1.0, 1.0, 1.0])
    others[1:, 4] = others[0, 4] * (1.0 + 1e-12 * np.arange(1, size))
    others[:, 5] = 0.0
    together = np.zeros_like(alone)
    with np.errstate(all="ignore"):  # of what is discarded
        sums_of_two(others, others**power, tamed(1e-7), *together)
    assert ((np.diff(others[:, 2]) * np.diff(others[:, 2] ** power)) < SAFE).any()
    assert np.isfinite(together).all()
    assert np.array_equal(together[:, :, [0, 6, 7]], alone[:, :, [0, 6, 7]])
    f, g = np.zeros_like(x), np.zeros_like(x)
    one_sum(x, 1e-5, f)
    one_sum(others, 1e-5, g)
    assert np.array_equal(f[:, [0, 6, 7]], g[:, [0, 6, 7]])


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), size=st.integers(2, 13), power=st.sampled_from([1.0, 2.0, 3.0, 24.0]))
def test_a_lane_does_not_depend_on_one_that_is_changed(seed, size, power):
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(0.01, 2.0, (size, WIDTH)), axis=0)
    changed = x.copy()
    changed[:, 3] = rng.choice([0.0, 1.0, 1e-200]) * np.linspace(rng.choice([0.5, 1.0]), 1.0, size)
    sums, others = np.full((2, 2, *x.shape), np.nan)
    with np.errstate(all="ignore"):  # of what is discarded
        sums_of_two(x, x**power, taming(power, 0.3 / size), *sums)
        sums_of_two(changed, changed**power, taming(power, 0.3 / size), *others)
    same = np.arange(WIDTH) != 3
    assert np.array_equal(sums[:, :, same], others[:, :, same])


@pytest.mark.parametrize("power", [1.0, 2.0, 8.0])
@pytest.mark.parametrize("decades", [4.0, 12.0])
def test_two_sums_of_rows_that_are_spread_over_decades(power, decades):
    """A row far beyond its neighbours has a sum that is small beside theirs."""
    rng = np.random.default_rng(5)
    x = np.sort(10.0 ** rng.uniform(-decades, 0.0, (16, WIDTH)), axis=0)
    x[13:, :4] *= 1e9
    at, sums = (x, x**power, tamed(1e-30)), np.full((2, *x.shape), np.nan)
    sums_of_two(*at, *sums)
    expected = plain_two_sums(*at)
    assert (np.abs(sums[0] - expected[0]) <= 1e-13 * expected[2]).all()
    assert (np.abs(sums[1] - expected[1]) <= 1e-13 * expected[3]).all()


@pytest.mark.parametrize("power", [1.0, 2.0, 8.0])
@pytest.mark.parametrize("gap", [1e-4, 1e-5, 1e-6, 1e-8])
def test_two_sums_of_clusters(power, gap):
    """Gaps far below the rows, without taming: half a unit in the last place of these, over a gap of CLOSE, is lost."""
    rng = np.random.default_rng(6)
    clusters = [a + gap * np.cumsum(rng.uniform(0.5, 2.0, (6, WIDTH)), axis=0) for a in (0.5, 1.0, 1.0 + 40.0 * gap)]
    x = np.concatenate(clusters)
    at, sums = (x, x**power, tamed(gap**2 * 1e-8)), np.full((2, *x.shape), np.nan)
    sums_of_two(*at, *sums)
    expected = plain_two_sums(*at)
    bound = 0.5 * np.finfo(float).eps / CLOSE
    assert (np.abs(sums[0] - expected[0]) <= bound * expected[2]).all()
    assert (np.abs(sums[1] - expected[1]) <= bound * expected[3]).all()


@pytest.mark.parametrize(("depth", "epsilon", "scale"), [(24.0, 2e-8, 2e-7), (24.0, 1e-9, 8e-7), (2.0, 0.0, 0.0)])
def test_two_sums_of_rows_with_products_next_to_nothing(depth, epsilon, scale):
    """Their bounds y_k `away` are no numbers any more, though x_k is beyond `away`; or rows are equal, and not tamed.

    What y_k r_y is then does not matter, as long as it is not more than it can be.
    """
    x = (np.linspace(1.0, 1.8, 8)[:, None] * np.ones(WIDTH) * scale) ** 2
    at, sums = (x, x**depth, taming(depth, epsilon)), np.full((2, *x.shape), np.nan)
    with np.errstate(all="ignore"):  # of what is discarded
        sums_of_two(*at, *sums)
    expected = plain_two_sums(*at)
    assert (np.abs(sums[0] - expected[0]) <= 1e-13 * expected[2]).all()
    assert (np.abs(x**depth * sums[1]) <= len(x)).all()


def test_two_sums_of_rows_at_the_end_of_the_range_of_numbers():
    x = (65350.0 + 0.002 * np.arange(8))[:, None] * np.ones(WIDTH)
    y = x / x[-1]
    y = y**64 * 1.5e308
    sums = np.full((2, *x.shape), np.nan)
    with np.errstate(all="ignore"):  # of what is discarded
        sums_of_two(x, y, tamed(0.0), *sums)
    expected = plain_two_sums(x, y, tamed(0.0))
    assert (np.abs(sums[1] - expected[1]) <= 1e-13 * expected[3]).all()


@pytest.mark.parametrize(
    ("power", "scale"), [(p, s) for p in (1.0, 2.0, 24.0) for s in (1e-60, 1e60, 1e100)] + [(2.0, 1e180), (24.0, 1e180)]
)
def test_two_sums_of_tiny_and_huge_numbers(power, scale):
    """Products of two gaps are numbers, those of four are not, nor always those of two in y."""
    x, by = ascending(13, 3, closest=1e-3), scale ** (1.0 / power)
    at = x * by, x**power * scale, Taming(1e-5 * by, 1e-6 * by, 0.3, 3e5 / by)
    sums = np.full((2, *x.shape), np.nan)
    with np.errstate(all="ignore"):  # of what is discarded
        sums_of_two(*at, *sums)
    expected = plain_two_sums(*at)
    assert (np.abs(sums[0] - expected[0]) <= 1e-13 * expected[2]).all()
    assert (np.abs(sums[1] - expected[1]) <= 1e-13 * expected[3]).all()
