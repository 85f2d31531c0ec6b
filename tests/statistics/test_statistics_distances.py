"""Distances of samples to a law and to each other: exact values, errors, and the bound for two samples."""

import math
from itertools import pairwise
from math import comb

import numpy as np
import pytest
from scipy import integrate, stats
from statistical import FALSE_ALARM, envelope

from dlnmc import laws
from dlnmc.statistics import (
    kolmogorov_between,
    kolmogorov_bound,
    wasserstein_between,
    wasserstein_distance,
)

SEMICIRCLE = laws.Semicircle(2.0)
LAWS = {
    "semicircle": SEMICIRCLE,
    "depth 1": laws.singular_values(1.0),
    "depth 3": laws.singular_values(3.0),
    "infinite depth": laws.singular_values(math.inf),
    "normal": laws.Normal(1.0, 0.5),
}


def by_quadrature(samples, law):
    """∫ |F_n − F| between neighbours, where F_n is constant; split where F crosses it."""
    x = np.sort(samples, axis=None)
    ends = law.ppf(1e-13), law.ppf(1.0 - 1e-13)
    points = np.concatenate([[min(ends[0], x[0])], x, [max(ends[1], x[-1])]])
    total = 0.0
    for i, (low, high) in enumerate(pairwise(points)):
        level = i / len(x)
        inner = {low, high, *np.clip([law.ppf(level), *law.support], low, high)}
        pieces = sorted(inner)
        for a, b in pairwise(pieces):
            total += integrate.quad(lambda t, level=level: abs(law.cdf(t) - level), a, b, epsabs=1e-12)[0]
    return total


@pytest.mark.parametrize("name", LAWS)
def test_the_wasserstein_distance_is_the_integral(name, rng):
    law = LAWS[name]
    for factor, shift in ((1.0, 0.0), (1.3, 0.05), (1.0, 7.0), (1.0, -7.0)):
        samples = factor * law.ppf(rng().random((3, 2))) + shift
        assert wasserstein_distance(samples, law).value == pytest.approx(by_quadrature(samples, law), abs=1e-9)


@pytest.mark.parametrize("name", LAWS)
def test_beyond_the_support_it_is_the_difference_of_means(name, rng):
    law = LAWS[name]
    samples = law.ppf(rng().random((300, 20))) + 9.0
    assert wasserstein_distance(samples, law).value == pytest.approx(samples.mean() - law.mean(), abs=1e-9)


def test_the_wasserstein_distance_of_many_samples_is_near_zero_and_of_its_order(rng):
    samples = SEMICIRCLE.ppf((np.arange(100_000) + 0.5) / 100_000).reshape(1000, 100)
    quarter = integrate.quad(lambda u: 1.0 / SEMICIRCLE.pdf(SEMICIRCLE.ppf(u)), 0.0, 1.0)[0] / 4.0 / 100_000
    assert wasserstein_distance(samples, SEMICIRCLE).value == pytest.approx(quarter, rel=1e-3)


@pytest.mark.parametrize("kind", ["law", "two Kolmogorov", "two Wasserstein"])
def test_the_bootstrap_error_is_the_spread_over_repetitions(kind, rng):
    """Away from equality the distances are nearly normal. The spread of 600 repetitions is known to 2.9 %, the mean of
    16 errors (64 groups, 200 resamples: 10 % each) to 2.5 %: five standard errors of the ratio (6e-7) are 19 %.
    """
    chance = rng()
    table = SEMICIRCLE.ppf(np.linspace(0.0, 1.0, 20_001))

    def samples(factor):
        level = (np.arange(4) + chance.random((128, 4))) / 4
        return factor * np.interp(level, np.linspace(0.0, 1.0, 20_001), table)

    if kind == "law":
        levels = (np.arange(512) + 0.5) / 512
        quantiles = SEMICIRCLE.ppf(levels)
        spread = [np.mean(np.abs(np.sort(samples(1.2), axis=None) - quantiles)) for _ in range(600)]
        errors = [wasserstein_distance(samples(1.2), SEMICIRCLE).error for _ in range(16)]
    elif kind == "two Kolmogorov":
        spread = [stats.ks_2samp(samples(1.2).ravel(), samples(1.0).ravel()).statistic for _ in range(600)]
        errors = [kolmogorov_between(samples(1.2), samples(1.0)).error for _ in range(16)]
    else:
        pairs = [(np.sort(samples(1.2), axis=None), np.sort(samples(1.0), axis=None)) for _ in range(600)]
        spread = [np.mean(np.abs(a - b)) for a, b in pairs]
        errors = [wasserstein_between(samples(1.2), samples(1.0)).error for _ in range(16)]
    assert 0.81 < np.mean(errors) / np.std(spread, ddof=1) < 1.23


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("shapes", [((1,), (1,)), ((40, 3), (25, 2)), ((7,), (300, 2, 2))])
def test_distances_between_samples_are_those_of_scipy(shapes, ties, rng):
    chance = rng()
    a, b = (chance.normal(size=shape) for shape in shapes)
    if ties:
        a, b = np.round(a, 1), np.round(b, 1)
    expected = stats.ks_2samp(a.ravel(), b.ravel()).statistic
    assert kolmogorov_between(a, b).value == pytest.approx(expected, abs=1e-14)
    expected = stats.wasserstein_distance(a.ravel(), b.ravel())
    assert wasserstein_between(a, b).value == pytest.approx(expected, rel=1e-12)


def test_distances_between_are_symmetric_and_vanish_for_equal_samples(rng):
    a, b = rng(1).normal(size=(50, 2)), rng(2).normal(size=(80, 3))
    for between in (kolmogorov_between, wasserstein_between):
        assert between(a, b).value == pytest.approx(between(b, a).value, rel=1e-14)
        assert between(a, a[::-1]).value == 0.0
        assert between(a, np.concatenate([b, [[np.nan, 0.0, 0.0]]])) == between(a, b)
        assert math.isnan(between(a, b[:1]).error)


def test_the_bound_holds_for_equal_sizes_exactly():
    """P(D ≥ k/n) = 2 Σ_j (−1)^{j+1} binom(2n, n − jk) / binom(2n, n) (Gnedenko and Korolyuk 1951), n up to 500."""
    closest = 0.0
    for n in [*range(1, 60), 100, 200, 300, 457, 500]:
        whole = comb(2 * n, n)
        for k in range(1, n + 1):
            tail = 2 * sum((-1) ** (j + 1) * comb(2 * n, n - j * k) for j in range(1, n // k + 1)) / whole
            if tail < 1.0:
                bound = kolmogorov_bound(n, n, tail)
                assert k / n <= bound * (1.0 + 1e-12)
                closest = max(closest, k / n / bound)
    assert closest > 0.99


@pytest.mark.parametrize("sizes", [(1, 2), (2, 3), (1, 9), (3, 7), (5, 6), (8, 12), (20, 31)])
def test_the_bound_holds_for_unequal_sizes_exactly(sizes):
    """Paths on a lattice: the share that never leaves the strip |i/n − j/m| < D."""
    n, m = sizes
    for step in range(1, n * m + 1):
        ways = np.zeros((n + 1, m + 1))
        for i in range(n + 1):
            for j in range(m + 1):
                if abs(i * m - j * n) < step:
                    before = (ways[i - 1, j] if i else 0.0) + (ways[i, j - 1] if j else 0.0)
                    ways[i, j] = 1.0 if i == j == 0 else before
        tail = 1.0 - ways[n, m] / comb(n + m, n)
        if 1e-12 < tail < 1.0 - 1e-12:
            assert step / (n * m) <= kolmogorov_bound(n, m, tail) * (1.0 + 1e-9)


def test_two_sets_of_one_law_are_within_the_bound_and_a_shift_is_not(rng):
    """1,000 and 1,500 paths of four values; the control, shifted beyond bound and noise, fails with power 0.999."""
    chance = rng()
    a, b = ((np.arange(4) + chance.random((paths, 4))) / 4 for paths in (1000, 1500))
    bound = kolmogorov_bound(1000, 1500, FALSE_ALARM, values_per_path=4)
    noise = envelope(1000, 5e-4 / 4) + envelope(1500, 5e-4 / 4)
    shift = bound + noise  # uniform values: the distance of the laws is the shift
    assert kolmogorov_between(a, b).value < bound
    assert kolmogorov_between(a, b + shift).value > bound
    assert (
        bound
        > kolmogorov_bound(1000, 1500, FALSE_ALARM)
        == pytest.approx(math.sqrt(math.log(math.e * 1e6) * 2500 / 2 / 1.5e6))
    )


def test_bad_numbers_are_refused(refused):
    refused(lambda: kolmogorov_bound(0, 5, 1e-6), "paths_a", "0")
    refused(lambda: kolmogorov_bound(5, -1, 1e-6), "paths_b", "-1")
    refused(lambda: kolmogorov_bound(5, 5, 1e-6, values_per_path=0), "values_per_path")
    refused(lambda: kolmogorov_bound(5, 5, 1.5), "false_alarm", "1.5")
