"""Densities by bins: counts, errors, the coverage of bands, and the verdict against a law."""

import math

import numpy as np
import pytest
import xarray as xr
from scipy import special, stats

from dlnmc import laws
from dlnmc.statistics import against, density, density_of_counts, failed_paths

LAW = laws.Semicircle(2.0)
EACH = 4
LEVELS = np.linspace(0.0, 1.0, 20_001)
QUANTILES = LAW.ppf(LEVELS)


def rigid(chance, paths):
    """Four values of a path that repel: one in each quarter of the law."""
    return np.interp((np.arange(EACH) + chance.random((paths, EACH))) / EACH, LEVELS, QUANTILES)


def independent(chance, paths):
    return np.interp(chance.random((paths, EACH)), LEVELS, QUANTILES)


def equal(chance, paths):
    """Four equal values: a path is worth one."""
    return np.repeat(np.interp(chance.random((paths, 1)), LEVELS, QUANTILES), EACH, axis=1)


@pytest.mark.parametrize("paths", [1, 7, 1500])
def test_probabilities_are_those_of_numpy(paths, rng):
    samples, edges = rng().normal(size=(paths, 2, 3)), np.array([-1.0, -0.2, 0.5, 2.0])
    found = density(samples, edges)
    counts = np.histogram(samples, edges)[0]
    assert found.probability.values == pytest.approx(counts / samples.size)
    assert found.density.values == pytest.approx(counts / samples.size / np.diff(edges))
    assert found.edges.values.tolist() == edges.tolist()
    assert found.attrs == {
        "level": 0.95,
        "groups": min(paths, 1024),
        "values": samples.size,
        "paths": paths,
        "failed_paths": 0,
    }
    assert all({"long_name", "units"} <= set(found[name].attrs) for name in found.data_vars)
    assert bool(np.isnan(found.density_error).all()) == (paths == 1)


def test_a_number_of_bins_spans_the_values(rng):
    samples = rng().normal(size=(50, 3))
    found = density(samples, 10)
    assert found.edges.values[0] == samples.min()
    assert float(found.probability.sum()) == pytest.approx(1.0, abs=1e-14)
    assert float((found.density * np.diff(found.edges)).sum()) == pytest.approx(1.0, abs=1e-14)
    assert float(density(np.ones((3, 2)), 4).probability[0]) == 1.0


def test_failed_paths_and_labels(rng):
    samples = rng().normal(size=(30, 4))
    broken = np.concatenate([samples, np.full((3, 4), np.nan)])
    found = density(xr.DataArray(broken, dims=("path", "rank")), [-1.0, 0.0, 1.0])
    assert found.attrs["failed_paths"] == failed_paths(broken) == 3
    assert found.drop_attrs().identical(density(samples, [-1.0, 0.0, 1.0]).drop_attrs())


def test_counts_of_a_result_give_the_density_of_its_samples(rng):
    samples, edges = rng().normal(size=(40, 5)), np.linspace(-2.0, 2.0, 9)
    counts = np.stack([np.histogram(path, edges)[0] for path in samples])
    variables = {
        "counts": (("bin", "batch"), counts.T),
        "samples": ("batch", np.full(40, 5)),
        "edges": ("bin_edge", edges),
    }
    found = density_of_counts(xr.Dataset(variables))
    expected = density(samples, edges)
    for name in expected.data_vars:
        assert found[name].values == pytest.approx(expected[name].values, rel=1e-13), name


def test_the_histogram_of_a_run_is_understood(network_tree):
    found = density_of_counts(network_tree["histogram"].to_dataset())
    assert found.attrs["groups"] == network_tree["histogram"].sizes["batch"]
    assert np.all(found.pointwise_low <= found.density)
    assert np.all(found.density <= found.pointwise_high)
    assert np.all(found.simultaneous_high > found.pointwise_high)


def clustered(chance, paths):
    """64 values of a path that keep together, but for a part of them: the outermost bins belong to a few paths."""
    near, own = chance.standard_normal((paths, 1)), chance.standard_normal((paths, 64))
    return np.interp(special.ndtr(math.sqrt(0.8) * near + math.sqrt(0.2) * own), LEVELS, QUANTILES)


@pytest.mark.parametrize("make", [rigid, independent, equal])
def test_the_error_is_the_spread_over_repetitions(make, rng):
    """The spread of 1,500 repetitions with 64 paths is known to 1.8 %, the mean of 40 errors (64 paths: 9 %) to 1.4 %.

    Five standard errors of the ratio (6e-7, in each of 8 bins) are 12 %. Independent values would have twice or half
    the error of those that are equal or repel, the control.
    """
    chance, edges = rng(), np.linspace(-2.0, 2.0, 9)
    repeated = [np.histogram(make(chance, 64), edges)[0] / (64 * EACH) for _ in range(1500)]
    error = np.mean([density(make(chance, 64), edges).probability_error for _ in range(40)], axis=0)
    spread = np.std(repeated, axis=0)
    assert error / spread == pytest.approx(1.0, abs=0.12)
    p = np.diff(LAW.cdf(edges))
    naive = np.sqrt(p * (1.0 - p) / (64 * EACH)) / spread
    assert (np.abs(naive - 1.0).max() < 0.12) == (make is independent)


@pytest.mark.parametrize("make", [rigid, independent, equal])
def test_the_simultaneous_band_covers_the_law_in_all_bins(make, rng):
    """100 repetitions, 12 bins: coverage is at least that of the binomial law at 0.95 up to the false-alarm rate 1e-6.

    The pointwise band, the control, covers all bins in half of the repetitions, and fails.
    """
    chance, edges, repetitions = rng(), np.linspace(-2.0, 2.0, 13), 100
    expected = np.diff(LAW.cdf(edges)) / np.diff(edges)
    simultaneous = pointwise = each = 0
    for _ in range(repetitions):
        found = density(make(chance, 200), edges)
        simultaneous += bool(against(found, LAW).agrees)
        inside = (found.pointwise_low.values <= expected) & (expected <= found.pointwise_high.values)
        pointwise += inside.all()
        each += inside.mean()
    least = stats.binom.ppf(1e-6, repetitions, 0.95)
    assert simultaneous >= least
    assert pointwise < least
    assert each >= least


def test_the_band_covers_where_few_paths_hold_a_bin(rng):
    """1,000 repetitions at the level 0.9, with 64 paths: the binomial law's quantile 1e-6, 85 %, as above.

    Gaussian multipliers and no skewness would cover the law in 81 ± 1 %.
    """
    chance, edges = rng(), np.linspace(-2.0, 2.0, 17)
    agreed = sum(bool(against(density(clustered(chance, 64), edges, level=0.9), LAW).agrees) for _ in range(1000))
    assert agreed >= stats.binom.ppf(1e-6, 1000, 0.9)


def test_independent_values_have_bands_without_skewness(rng):
    """Clopper and Pearson's interval of 200 values, but for Student's quantile, 1 % off."""
    found = density(rng().random((200, 1)), [0.0, 0.02, 1.0])
    count = float(found.probability[0]) * 200
    ends = stats.beta.ppf([0.025, 0.975], [count, count + 1.0], [201.0 - count, 200.0 - count]) / 0.02
    assert float(found.pointwise_low[0]) == pytest.approx(ends[0], rel=0.03)
    assert float(found.pointwise_high[0]) == pytest.approx(ends[1], rel=0.03)


def test_a_wrong_law_is_seen_and_the_right_one_is_not(rng):
    """At the level 1 − 1e-6, with 20,000 paths; the radius is off by 3 %, so the outermost bins lie 9 errors off."""
    samples, edges = rigid(rng(), 20_000), np.linspace(-2.0, 2.0, 41)
    found = density(samples, edges, level=1.0 - 1e-6)
    right = against(found, LAW)
    assert bool(right.agrees)
    assert right.attrs["level"] == 1.0 - 1e-6
    assert right.law_probability.values == pytest.approx(np.diff(LAW.cdf(edges)), abs=1e-15)
    assert np.abs(right.z).max() < stats.norm.isf(0.5e-6 / 40)
    assert 0.3 < float((right.z**2).mean()) < 2.4  # of a χ² with 40 degrees, the quantiles 1e-6 are 0.29 and 2.35
    wrong = against(found, laws.Semicircle(2.06))
    assert not bool(wrong.agrees)
    assert np.abs(wrong.z).max() > 9.0
    shifted = against(density(samples + 0.02, edges, level=1.0 - 1e-6), LAW)
    assert not bool(shifted.agrees)


def test_bins_without_counts_have_honest_bands(rng):
    """Of n independent values none lies in the bin: Clopper and Pearson's upper end is 1 − tail^{1/n}."""
    found = density(rng().random((1000, 1)), [0.0, 0.5, 1.0, 2.0])
    high, low = float(found.pointwise_high[2]), float(found.pointwise_low[2])
    assert low == 0.0
    assert high == pytest.approx(1.0 - 0.025**0.001, rel=0.02)  # Student's quantile: 1 % off
    assert float(found.density_error[2]) == 0.0
    law = laws.Normal(0.0, 1.0)
    tails = against(density(rng().normal(size=(500, 4)), np.linspace(-8.0, 8.0, 65)), law)
    assert bool(tails.agrees)
    assert np.isfinite(tails.z).all()
    assert float(tails.z[0]) == pytest.approx(-math.sqrt(2000 * float(tails.law_probability[0])), rel=1e-6)


def test_one_path_agrees_with_nothing(rng):
    assert not bool(against(density(rigid(rng(), 1), [-2.0, 0.0, 2.0]), LAW).agrees)


def test_bad_input_is_refused(rng, refused):
    samples = rng().normal(size=(10, 2))
    for bins in (0, [1.0], [0.0, 0.0], [0.0, math.inf], [[0.0, 1.0]]):
        refused(lambda bins=bins: density(samples, bins), "bins", repr(bins))
    refused(lambda: density(samples, 4, level=1.0), "level", "1.0")
    two = xr.Dataset({"counts": (("kappa", "batch", "bin"), np.ones((2, 3, 4)))})
    refused(lambda: density_of_counts(two), "kappa", "batch and bin")
