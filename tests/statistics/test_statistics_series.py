"""Autocorrelation times, effective sample sizes and stationarity, on autoregressive series, where all is known."""

import math

import numpy as np
import pytest
from scipy import signal, stats

from dlnmc.statistics import autocorrelation, autocorrelation_time, effective_samples, stationarity

BOUND = stats.norm.isf(0.5e-6)  # of |z|: false alarms 1e-6


def autoregressive(chance, rho, paths, times, mean=0.0):
    """A stationary series x_t = ρ x_{t−1} + √(1−ρ²) ξ_t of variance 1."""
    noise = chance.standard_normal((paths, times))
    noise[:, 1:] *= math.sqrt(1.0 - rho**2)
    return signal.lfilter([1.0], [1.0, -rho], noise, axis=1) + mean


def finite_time(rho, n):
    k = np.arange(1, n)
    return 1.0 + 2.0 * np.sum((1.0 - k / n) * rho**k)


@pytest.mark.parametrize("rho", [-0.5, 0.0, 0.7, 0.95])
def test_the_effective_number_is_exact_for_paths_of_any_length(rho, rng):
    for times in (1, 10, 200):
        series = autoregressive(rng(times), rho, 6000, times, mean=20.0)
        value, error = effective_samples(series.sum(axis=1), (series**2).sum(axis=1), times)
        expected = times / finite_time(rho, times)
        if times == 1:
            assert value == pytest.approx(1.0, abs=1e-9)
            continue
        assert abs(value - expected) < BOUND * error
        assert error / value < 1.5 * math.sqrt(2.0 / 6000)
        wrong = times / finite_time(rho + 0.1 if rho < 0.9 else rho - 0.1, times)  # the control
        assert times < 200 or abs(value - wrong) > BOUND * error


def test_the_error_of_the_effective_number_is_the_spread(rng):
    """1,000 repetitions with 50 paths know their spread to 3 %, with skewness 5 %; the bound is five times that."""
    series = autoregressive(rng(), 0.5, 50_000, 40).reshape(1000, 50, 40)
    found = [effective_samples(s.sum(axis=1), (s**2).sum(axis=1), 40) for s in series]
    values, errors = np.array(found).T
    assert np.mean(errors) / np.std(values) == pytest.approx(1.0, abs=0.25)


def test_too_few_paths_have_no_effective_number(refused):
    for sums in ([1.0, 2.0], [1.0, np.nan, 2.0], [np.nan] * 4):
        assert np.isnan(effective_samples(sums, np.square(sums), 1)).all()
    with_failed = effective_samples([1.0, 2.0, 4.0, np.nan], [1.0, 4.0, 16.0, np.nan], 1)
    assert with_failed == effective_samples([1.0, 2.0, 4.0], [1.0, 4.0, 16.0], 1)
    refused(lambda: effective_samples([1.0, 2.0], [1.0, 2.0], 0), "observations", "0")


def test_the_autocorrelation_is_that_of_a_loop(rng):
    series = rng().normal(size=(30, 7)) + 3.0
    centred, noise = series - series.mean(), series.mean(axis=1).var(ddof=1) / 30
    covariance = [np.mean(centred[:, : 7 - k] * centred[:, k:]) + noise for k in range(7)]
    assert autocorrelation(series) == pytest.approx(np.array(covariance) / covariance[0], rel=1e-12)
    assert autocorrelation(np.concatenate([series, [[np.nan] * 7]])) == pytest.approx(autocorrelation(series))


@pytest.mark.parametrize("rho", [-0.4, 0.0, 0.6, 0.9])
def test_the_autocorrelation_and_its_time_are_those_of_the_series(rho, rng):
    """(1+ρ)/(1−ρ), less what lies beyond the window of five such times. Another ρ fails."""
    series = autoregressive(rng(), rho, 400, 1000, mean=5.0)
    value, error = autocorrelation_time(series)
    exact = (1.0 + rho) / (1.0 - rho)
    window = math.ceil(5.0 * max(exact, 1.0))
    truncated = 2.0 * abs(rho) ** (window + 1) / (1.0 - rho)
    assert abs(value - exact) < BOUND * error + truncated
    other = rho + 0.03
    assert abs(value - (1.0 + other) / (1.0 - other)) > BOUND * error + truncated
    assert error < 0.05 * value
    assert autocorrelation(series)[:4] == pytest.approx(rho ** np.arange(4), abs=0.03)


def test_the_error_of_the_autocorrelation_time_is_the_spread(rng):
    """200 repetitions with 64 paths know their spread to 5 %; the bound is five times that (6e-7)."""
    series = autoregressive(rng(), 0.6, 200 * 64, 100).reshape(200, 64, 100)
    values, errors = np.array([autocorrelation_time(s) for s in series]).T
    assert np.mean(errors) / np.std(values) == pytest.approx(1.0, abs=0.25)


def test_what_one_path_and_a_short_series_do_not_tell(rng):
    long = autoregressive(rng(), 0.5, 1, 20_000)
    value, error = autocorrelation_time(long)
    assert value == pytest.approx(3.0, rel=0.2)
    assert math.isnan(error)
    short = autoregressive(rng(), 0.99, 100, 50)
    assert autocorrelation_time(short).error == math.inf


def test_a_series_must_be_of_paths_and_times(refused):
    refused(lambda: autocorrelation(np.ones(4)), "(4,)", "(path, time)")
    refused(lambda: autocorrelation_time(np.ones((4, 2, 2))), "(4, 2, 2)")


def test_stationary_paths_are_found_so_as_often_as_stated(rng):
    """False alarms at 0.1 for 4 independent scalars: 0.0963 exactly. 2,000 repetitions within five standard errors."""
    chance, alarms = rng(), 0
    for _ in range(2000):
        early = chance.standard_normal((20, 4))
        alarms += not stationarity(early, 0.9 * early + 0.5 * chance.standard_normal((20, 4)), false_alarm=0.1).holds
    exact = 1.0 - (1.0 - 0.1 / 4) ** 4
    assert abs(alarms / 2000 - exact) < 5.0 * math.sqrt(exact * (1.0 - exact) / 2000)


def test_a_drift_is_found_where_paths_are_paired(rng):
    """A drift of 0.02 in a scalar whose paths differ by 1: ten errors of the paired difference, 0.6 of unpaired."""
    chance = rng()
    early = chance.standard_normal((2000, 3))
    late = early + 0.089 * chance.standard_normal((2000, 3))
    assert stationarity(early, late).holds
    drifting = stationarity(early, late + np.array([0.0, 0.02, 0.0]))
    assert not drifting.holds
    assert drifting.z.shape == (3,)
    assert np.argmax(np.abs(drifting.z)) == 1
    assert drifting.threshold == pytest.approx(stats.t.isf(1e-4 / 6, 1999))


def test_stationarity_without_enough_paths_or_without_noise(refused):
    one = stationarity([[1.0, 2.0]], [[3.0, 4.0]])
    assert np.isnan(one.z).all()
    assert one.z.shape == (2,)
    assert one.holds
    assert stationarity([np.nan, 1.0], [0.0, np.nan]).holds
    assert stationarity(np.ones(5), np.ones(5)).z.tolist() == [0.0]
    assert not stationarity(np.ones(5), np.full(5, 2.0)).holds
    with_failed = stationarity([1.0, 2.0, 3.0, np.inf], [1.5, 2.0, 3.1, np.inf])
    assert with_failed.z == stationarity([1.0, 2.0, 3.0], [1.5, 2.0, 3.1]).z
    refused(lambda: stationarity(np.ones((3, 2)), np.ones((3, 1))), "(3, 2)", "(3, 1)")
