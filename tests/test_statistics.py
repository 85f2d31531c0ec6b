"""Error bars: of means over paths, and of Kolmogorov distances, against the spread over repetitions."""

import math

import numpy as np
import pytest
from scipy.stats import kstest
from statistical import distance

from dlnmc import laws
from dlnmc.statistics import kolmogorov_distance, mean_over_paths

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
    assert math.isfinite(kolmogorov_distance(law.ppf(rng().random((1, 3))), law).value)


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
