"""Spacing ratios, unfolding and number variance: independent levels and random matrices, whose values are known."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from dlnmc import laws
from dlnmc.statistics import mean_over_paths, number_variance, spacing_ratio, spacings, unfold, unfold_locally

BOUND = stats.norm.isf(0.5e-6)  # of |z|: false alarms 1e-6
SEMICIRCLE = laws.Semicircle(2.0)
LENGTHS = np.array([0.5, 1.0, 2.0, 4.0])


def orthogonal(chance, paths, size):
    """Eigenvalues of the Gaussian orthogonal ensemble, in units in which the semicircle has radius 2."""
    G = chance.standard_normal((paths, size, size))
    return np.linalg.eigvalsh((G + G.transpose(0, 2, 1)) / math.sqrt(2.0 * size))


def circular(chance, paths, size):
    """Angles of Haar unitary matrices as levels of mean density 1, exactly."""
    Z = chance.standard_normal((paths, size, size)) + 1j * chance.standard_normal((paths, size, size))
    Q, R = np.linalg.qr(Z)
    phase = np.diagonal(R, axis1=1, axis2=2)
    angles = np.angle(np.linalg.eigvals(Q * (phase / np.abs(phase))[:, None, :]))
    return np.sort((angles / (2.0 * np.pi) + 0.5) * size, axis=1)


def of_circular(L, size):
    """The number variance of Haar unitary matrices: Σ_k 2 sin²(πkL/n) min(k, n)/(π k)² (Dyson 1962; Rains 1997)."""
    k = np.arange(1, 2_000_001)
    return float(np.sum(2.0 * np.sin(np.pi * k * L / size) ** 2 / (np.pi * k) ** 2 * np.minimum(k, size)))


def of_orthogonal(L):
    """(2/π²)(log 2πL + γ + 1 − π²/8), up to 1/(π²L)² (Mehta 2004, Random matrices, section 16.1)."""
    return 2.0 / np.pi**2 * (np.log(2.0 * np.pi * L) + np.euler_gamma + 1.0 - np.pi**2 / 8.0)


@pytest.mark.parametrize("size", [5, 6, 7, 8, 13])
@pytest.mark.parametrize("draws", [(), (3,), (2, 2)])
def test_ratios_are_those_of_a_loop(size, draws, rng):
    values = rng().normal(size=(4, *draws, size))
    first, last = size // 4, size - size // 4
    for ranks, begin, end in ((None, first, last), ((0, size), 0, size), ((1, 4), 1, 4)):
        expected = []
        for path in values.reshape(4, -1, size):
            ratios = []
            for state in path:
                x = sorted(state)[begin:end]
                gaps = [b - a for a, b in pairwise(x)]
                ratios += [min(pair) / max(pair) for pair in pairwise(gaps)]
            expected.append(np.mean(ratios))
        assert spacing_ratio(values, ranks) == pytest.approx(expected, rel=1e-12)
        assert spacing_ratio(-values[..., ::-1], (size - end, size - begin)) == pytest.approx(expected, rel=1e-9)


def test_equal_values_have_ratio_zero():
    assert spacing_ratio([[1.0, 1.0, 2.0], [3.0, 3.0, 3.0]], (0, 3)).tolist() == [0.0, 0.0]


def test_ratios_of_random_matrices_and_of_independent_levels(rng):
    """Independent uniform levels: 2 log 2 − 1 exactly. 3×3 matrices of the Gaussian orthogonal ensemble: the surmise of
    Atas and others (2013), 4 − 2√3, exactly; levels that do not repel, and the value of large matrices, 0.5307, fail.
    """
    chance = rng()
    value, error = mean_over_paths(spacing_ratio(chance.random((4000, 24))))
    assert abs(value - (2.0 * math.log(2.0) - 1.0)) < BOUND * error
    value, error = mean_over_paths(spacing_ratio(orthogonal(chance, 120_000, 3), (0, 3)))
    assert abs(value - (4.0 - 2.0 * math.sqrt(3.0))) < BOUND * error
    assert abs(value - 0.5307) > BOUND * error
    assert abs(value - (2.0 * math.log(2.0) - 1.0)) > 100 * error


def test_unfolded_spacings_of_two_levels(rng):
    """The gap of 2×2 matrices has Wigner's surmise exactly; without repulsion it would be far from it."""
    gaps = spacings(orthogonal(rng(), 20_000, 2), (0, 2))
    gaps /= gaps.mean()  # the mean of 20,000 gaps is known to 0.4 %: of the distance 0.03 that is allowed, 0.002
    surmise = laws.Chi(2.0, 2.0 / math.sqrt(math.pi) / math.sqrt(2.0))
    assert surmise.mean() == pytest.approx(1.0)
    threshold = math.sqrt(math.log(2.0 / 1e-6) / 40_000) + 0.01
    assert stats.kstest(gaps.ravel(), surmise.cdf).statistic < threshold
    assert stats.kstest(rng().exponential(size=20_000), surmise.cdf).statistic > 2.0 * threshold


@pytest.mark.parametrize("draws", [(), (2,)])
def test_unfolding_makes_the_mean_density_one(draws, rng):
    level = (np.arange(16) + rng().random((1000, *draws, 16))) / 16
    values = SEMICIRCLE.ppf(level)
    assert unfold(values, SEMICIRCLE) == pytest.approx(16.0 * level, abs=1e-10)
    assert unfold(values[..., ::-1], SEMICIRCLE) == pytest.approx(16.0 * level, abs=1e-10)
    local = unfold_locally(values)
    assert np.all(np.diff(local, axis=-1) >= 0.0)
    assert local.reshape(-1, 16).mean(axis=0) == pytest.approx(np.arange(16) + 0.5, abs=0.05)
    assert unfold_locally(3.0 * values + 1.0) == pytest.approx(local, abs=1e-9)
    middle = slice(4, 12)
    assert np.abs(local - 16.0 * level)[..., middle].max() < 0.1


def test_the_number_variance_of_independent_levels(rng):
    """n uniform levels: L(1 − L/n) exactly, for any number of draws from a path; n repelling levels are far below."""
    found = number_variance(16.0 * rng().random((3000, 3, 16)), LENGTHS)
    z = (found.number_variance - LENGTHS * (1.0 - LENGTHS / 16.0)) / found.number_variance_error
    assert np.abs(z).max() < BOUND
    assert found.mean_number.values == pytest.approx(LENGTHS, rel=0.02)
    assert found.length.values.tolist() == LENGTHS.tolist()
    assert found.attrs["paths"] == 3000
    poisson = (found.number_variance - LENGTHS) / found.number_variance_error  # an infinite system is told apart
    assert np.abs(poisson).max() > BOUND


def test_the_number_variance_of_equal_draws_is_that_of_one(rng):
    levels = 8.0 * rng().random((500, 1, 8))
    one, repeated = number_variance(levels, 2.0), number_variance(np.repeat(levels, 5, axis=1), [2.0])
    for name in one.data_vars:
        assert repeated[name].values == pytest.approx(one[name].values, rel=1e-12), name


def test_the_number_variance_of_unitary_matrices(rng):
    """Exact at size 12. The control, the orthogonal class, is larger by 30 % or more."""
    found = number_variance(circular(rng(), 3000, 12), LENGTHS)
    expected = np.array([of_circular(L, 12) for L in LENGTHS])
    assert np.abs((found.number_variance - expected) / found.number_variance_error).max() < BOUND
    control = (found.number_variance - of_orthogonal(LENGTHS)) / found.number_variance_error
    assert control.sel(length=[2.0, 4.0]).max() < -BOUND


@pytest.mark.parametrize("unfolded", [lambda x: unfold(x, SEMICIRCLE), unfold_locally], ids=["law", "locally"])
def test_the_number_variance_of_orthogonal_matrices(unfolded, rng):
    """Against Mehta's asymptotics, whose next term is 1/(π²L)². What is of order 1/size is bounded by the difference
    between sizes 20 and 40. Independent levels, and the unitary class, fail.
    """
    lengths = np.array([1.0, 2.0, 4.0])
    small, large = (number_variance(unfolded(orthogonal(rng(n), 2500, n)), lengths) for n in (20, 40))
    error = large.number_variance_error
    change = np.abs(large.number_variance - small.number_variance)
    noise = BOUND * np.hypot(2.0 * error, small.number_variance_error)
    allowed = change + noise + 1.0 / (np.pi**2 * lengths) ** 2
    off = np.abs(large.number_variance - of_orthogonal(lengths))
    assert np.all(off < allowed)
    assert np.all(np.abs(large.number_variance - lengths) > allowed)
    unitary = np.array([of_circular(L, 4000) for L in lengths])
    assert np.all(np.abs(large.number_variance - unitary) > allowed)


def test_the_error_of_the_number_variance_is_the_spread(rng):
    """400 repetitions know their spread to 3.5 %; five times that (6e-7) is 18 %."""
    chance = rng()
    found = [number_variance(16.0 * chance.random((60, 16)), 2.0).isel(length=0) for _ in range(400)]
    spread = np.std([f.number_variance for f in found])
    assert np.mean([f.number_variance_error for f in found]) / spread == pytest.approx(1.0, abs=0.18)
    mean = np.mean([f.number_variance for f in found])
    assert abs(mean - 2.0 * (1.0 - 2.0 / 16.0)) < BOUND * spread / 20.0  # no bias from few paths


def test_bad_input_is_refused(rng, refused):
    values = rng().random((5, 8))
    refused(lambda: spacing_ratio(values, (0, 9)), "ranks", "(0, 9)", "8")
    refused(lambda: spacing_ratio(values, (3, 5)), "(3, 5)", "three")
    refused(lambda: spacing_ratio(values[:, :4]), "three components")
    refused(lambda: spacings(values, (5, 5)), "(5, 5)")
    refused(lambda: number_variance(values, [1.0, 5.0]), "lengths", "5.0", "at most 4")
    refused(lambda: number_variance(values, 0.0), "lengths", "0.0")
    refused(lambda: number_variance(values[:1], 1.0), "1 of 1 paths", "at least 2")
    refused(lambda: unfold_locally(values[:, :1]), "1 components")
