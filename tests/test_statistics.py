"""Error bars: of means over paths, and of Kolmogorov distances, against the spread over repetitions; failed paths."""

import math

import numpy as np
import pytest
import xarray as xr
from scipy import stats
from scipy.stats import kstest
from statistical import distance

from dlnmc import laws
from dlnmc.statistics import estimates, failed_paths, kolmogorov_distance, mean_over_paths

LAWS = {"semicircle": laws.Semicircle(2.0), "depth 1": laws.singular_values(1.0), "depth 3": laws.singular_values(3.0)}


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("shape", [(1,), (2, 1), (37, 5), (300, 2, 3)])
def test_the_distance_is_that_of_the_pooled_samples(name, shape, rng):
    law = LAWS[name]
    samples = law.ppf(rng().random(shape)) * 1.07
    expected = kstest(samples.ravel(), law.cdf).statistic
    assert kolmogorov_distance(samples, law).value == pytest.approx(expected, abs=1e-14)


def test_the_distance_of_samples_at_the_quantiles_is_half_a_step():
    law = LAWS["semicircle"]
    samples = law.ppf((np.arange(50) + 0.5) / 50).reshape(10, 5)
    assert kolmogorov_distance(samples, law).value == pytest.approx(0.01, abs=1e-12)
    assert kolmogorov_distance(samples + 5.0, law).value == 1.0
    assert kolmogorov_distance(samples - 5.0, law).value == 1.0


def test_the_error_comes_from_paths_not_from_samples(rng):
    law = LAWS["semicircle"]
    samples = law.ppf(rng().random((512, 4)))
    one = kolmogorov_distance(samples, law)
    repeated = kolmogorov_distance(np.repeat(samples, 16, axis=1), law)  # 16 times as many samples, nothing new
    assert repeated.value == pytest.approx(one.value, abs=1e-12)
    assert repeated.error == pytest.approx(one.error, rel=1e-12)


def test_order_within_a_path_and_repeating_the_call_change_nothing(rng):
    law = LAWS["depth 3"]
    samples = law.ppf(rng().random((100, 8)))
    assert kolmogorov_distance(samples, law) == kolmogorov_distance(samples[:, ::-1].reshape(100, 2, 4), law)


@pytest.mark.parametrize(("factor", "least", "most"), [(1.1, 0.8, 1.25), (1.0, 0.8, 1.6)])
def test_the_bootstrap_error_is_the_spread_over_repetitions(factor, least, most, rng):
    """Off the law (factor 1.1) the distance is nearly normal, and the bootstrap must agree with the spread.

    There the spread of 1,200 repetitions is known to 2 %, the mean of 24 bootstrap errors (64 groups, 200 resamples:
    10 % each) to 2.1 %; five standard errors of the ratio (false alarms 6e-7) are 15 %, and the bound is 20 % down,
    25 % up. On the law itself a bootstrap adds the noise of its resamples to that of the data, twice the variance: a
    ratio of up to √2, and 1.6 with the same five standard errors.
    """
    law, chance = LAWS["semicircle"], rng()
    paths, each = 512, 4
    table = np.linspace(0.0, 1.0, 100_001)
    probability = law.cdf(factor * law.ppf(table))

    def levels():  # one in each quarter: rigid, as eigenvalues are
        return (np.arange(each) + chance.random((paths, each))) / each

    def cdf(u):
        return np.interp(u, table, probability)

    spread = np.std([distance(levels().ravel(), cdf) for _ in range(1200)], ddof=1)
    errors = [kolmogorov_distance(factor * law.ppf(levels()), law).error for _ in range(24)]
    assert least < np.mean(errors) / spread < most


def test_few_paths_have_an_error_and_one_has_none(rng):
    law = LAWS["semicircle"]
    assert kolmogorov_distance(law.ppf(rng().random((2, 3))), law).error > 0.0
    alone = kolmogorov_distance(law.ppf(rng().random((1, 3))), law)
    assert math.isfinite(alone.value)
    assert math.isnan(alone.error)


def test_the_mean_over_paths_and_its_error(rng):
    values = rng().normal(3.0, 2.0, size=(2000, 50))
    found = [mean_over_paths(row) for row in values]
    assert found[0].value == np.mean(values[0])
    assert found[0].error == pytest.approx(np.std(values[0], ddof=1) / math.sqrt(50), rel=1e-14)
    # 2,000 means: their spread is known to 1.6 %, and five standard errors (false alarms 6e-7) are 8 %
    spread, stated = np.std([f.value for f in found]), np.sqrt(np.mean([f.error**2 for f in found]))
    assert spread / stated == pytest.approx(1.0, abs=0.08)


def test_the_mean_of_one_path_has_no_error():
    found = mean_over_paths(np.array([2.5]))
    assert found.value == 2.5
    assert math.isnan(found.error)


def test_failed_paths_are_counted_and_left_out(rng):
    law, samples = LAWS["depth 1"], LAWS["depth 1"].ppf(rng().random((50, 3, 2)))
    broken = np.concatenate([samples, np.full((2, 3, 2), 1.0)])
    broken[50, 1, 0], broken[51, 2, 1] = np.nan, np.inf
    assert failed_paths(broken) == 2
    assert failed_paths(broken[:, 0, 0]) == 0
    assert kolmogorov_distance(broken, law) == kolmogorov_distance(samples, law)
    labelled = xr.DataArray(broken, dims=("path", "draw", "rank"))
    assert kolmogorov_distance(labelled, law) == kolmogorov_distance(samples, law)
    assert mean_over_paths(labelled[:51, 1, 0]) == mean_over_paths(samples[:, 1, 0])


def test_values_without_paths_are_refused(refused):
    law = LAWS["semicircle"]
    refused(lambda: kolmogorov_distance(np.full((4, 2), np.nan), law), "0 of 4 paths", "at least 1")
    refused(lambda: kolmogorov_distance(np.empty((0, 2)), law), "(0, 2)")
    refused(lambda: kolmogorov_distance(1.0, law), "()")
    assert math.isnan(mean_over_paths([np.nan]).value)


@pytest.mark.parametrize(("paths", "most"), [(1, 4), (4, 4), (5, 4), (64, 7), (1000, 64)])
def test_groups_are_of_neighbours_and_of_equal_size_but_for_one(paths, most):
    groups = estimates.groups_of(paths, most)
    sizes = np.bincount(groups)
    assert len(sizes) == min(paths, most)
    assert np.all(np.diff(groups) >= 0)
    assert np.ptp(sizes) <= 1
    values = np.arange(paths * 3.0).reshape(paths, 3)
    assert np.array_equal(estimates.sums_over(groups, values), [values[groups == g].sum(axis=0) for g in set(groups)])


def test_counts_are_of_half_open_intervals():
    values = np.array([[0.0, 0.5, 1.0], [2.0, 3.0, -1.0], [np.nextafter(1.0, 0.0), 1.5, 2.5]])
    counts = estimates.counts_in(np.array([0.0, 1.0, 2.0]), values, np.array([0, 0, 1]))
    assert counts.tolist() == [[1, 2, 1, 2], [0, 1, 1, 1]]


@pytest.mark.parametrize("groups", [2, 5, 64])
def test_the_bootstrap_error_of_a_mean_is_its_standard_error(groups, rng):
    """8,000 resamples know their spread to 0.8 %; five times that (6e-7) is 4 %."""
    values = rng().normal(size=groups)
    means = estimates.resampled_means(values, np.ones(groups), seed=1, resamples=8000)
    assert estimates.bootstrap_error(means, groups) == pytest.approx(mean_over_paths(values).error, rel=0.04)


def test_the_largest_z_is_exceeded_as_often_as_stated(rng):
    """6,000 sets of 10 independent z with 7 degrees of freedom; Bonferroni's bound is 0.2, the exact rate 0.183.

    The count beyond it deviates from the binomial mean of the exact rate by less than five standard errors (6e-7).
    """
    z = stats.t.rvs(7, size=(6000, 10), random_state=rng())
    rate = np.mean(np.abs(z).max(axis=1) > estimates.largest_z(10, 7, 0.2))
    exact = 1.0 - (1.0 - 0.2 / 10) ** 10
    tolerance = 5.0 * math.sqrt(exact * (1.0 - exact) / 6000)
    assert abs(rate - exact) < tolerance
    gaussian = np.mean(np.abs(z).max(axis=1) > stats.norm.isf(0.01))  # which forgets that the errors are noisy
    assert abs(gaussian - exact) > tolerance


def test_a_false_alarm_must_be_a_probability(refused):
    for value in (0.0, 1.0, -1.0, math.nan):
        refused(lambda value=value: estimates.largest_z(3, 3, value), "false_alarm", repr(value))
