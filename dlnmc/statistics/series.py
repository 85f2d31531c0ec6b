"""Correlation in time: autocorrelation times, effective sample sizes, and whether a run is stationary."""

import math
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike

from dlnmc.errors import InvalidValue
from dlnmc.statistics.estimates import (
    Estimate,
    Floats,
    finite_paths,
    groups_of,
    largest_z,
    z_of,
)

GROUPS = 64  # of paths, for the jackknife of autocovariances
WINDOW = 5.0  # autocorrelation times that are summed


class Stationarity(NamedTuple):
    """Differences in standard errors (scalar,), the |z| that chance may reach, and whether none is above it."""

    z: Floats
    threshold: float
    holds: bool


def effective_samples(sums: ArrayLike, squares: ArrayLike, observations: int) -> Estimate:
    """The number of independent observations that those of one path are worth, with its standard error.

    `sums` and `squares` (path,) are the sums and the sums of squares of n = `observations` of each path. Over paths the
    mean over a path has the variance `V = s²τ/n`, where s² is that of one observation and τ = 1 + 2 Σ_k (1 − k/n)ρ_k;
    the result is s²/V = n/τ. For long paths τ is the integrated autocorrelation time, in units of the interval between
    observations: (1+ρ)/(1−ρ) for an autoregressive series. s² is the variance about the mean of all paths, freed of
    that mean's own noise V/paths. The error is a jackknife over paths; relative to the value it is about √(2/paths).
    Paths that failed are left out; NaN for fewer than three. Raises InvalidValue for no observations.
    """
    if observations < 1:
        raise InvalidValue(f"observations = {observations!r}: their number must be at least 1")
    both = np.stack([np.asarray(sums, dtype=np.float64), np.asarray(squares, dtype=np.float64)], axis=1)
    means = finite_paths(both, least=0) / observations
    if len(means) < 3:
        return Estimate(np.nan, np.nan)
    centre = means[:, 0].mean()
    m = means[:, 0] - centre
    q = means[:, 1] - centre * (2.0 * means[:, 0] - centre)
    terms = np.stack([m, m**2, q])
    total = terms.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _jackknife(_effective(total, len(m))[0], _effective(total - terms, len(m) - 1))


def _effective(sums: Floats, paths: int) -> Floats:
    """s²/V from sums over paths of the centred means, their squares, and the mean squares of observations."""
    mean, square, observed = sums / paths
    V = (square - mean**2) * paths / (paths - 1.0)
    return np.asarray((observed - mean**2 + V / paths) / V)


def _jackknife(value: Floats, without_one: Floats) -> Estimate:
    n = len(without_one)
    return Estimate(float(value), float(np.sqrt((n - 1.0) * np.var(without_one))))


def autocorrelation(series: ArrayLike) -> Floats:
    """The autocorrelation (lag,) of series (path, time) at lags 0, 1, …, time − 1, averaged over independent paths.

    Values are taken about the mean of all paths and times, and the noise of this mean is put back, so a series shorter
    than its memory does no harm if there are many paths. Paths that failed are left out.
    Raises InvalidValue for an array that is not (path, time).
    """
    covariance = _autocovariances(_series(series), np.zeros(len(_series(series)), np.int64))[0]
    return np.asarray(covariance / covariance[0])


def autocorrelation_time(series: ArrayLike) -> Estimate:
    """The integrated autocorrelation time `τ = 1 + 2 Σ_{k ≤ M} ρ_k` of series (path, time), in units of its interval.

    M is the smallest with M ≥ 5 τ(M) (Sokal 1997, Monte Carlo methods in statistical mechanics), and at least 5, for
    series that alternate; `autocorrelation` says how ρ is estimated. The error is a jackknife over up to 64 groups of
    paths at the same M, NaN for one path. A series shorter than 5 τ has the value at its longest lag and an infinite
    error. Paths that failed are left out. Raises InvalidValue for an array that is not (path, time).
    """
    paths = _series(series)
    groups = groups_of(len(paths), GROUPS)
    sizes = np.bincount(groups)
    by_group = _autocovariances(paths, groups)
    total = sizes @ by_group
    times = 2.0 * np.cumsum(total / total[0]) - 1.0
    long_enough = np.arange(len(times)) >= WINDOW * np.maximum(times, 1.0)
    if not long_enough.any():
        return Estimate(float(times[-1]), np.inf)
    M = int(np.argmax(long_enough))
    if len(sizes) == 1:
        return Estimate(float(times[M]), np.nan)
    without_one = (total - sizes[:, None] * by_group)[:, : M + 1]
    return _jackknife(times[M], 2.0 * without_one.sum(axis=1) / without_one[:, 0] - 1.0)


def _series(series: ArrayLike) -> Floats:
    if np.ndim(series) != 2:
        raise InvalidValue(f"a series of shape {np.shape(series)}: it must be (path, time)")
    return finite_paths(series)


def _autocovariances(paths: Floats, groups: np.ndarray) -> Floats:
    """Autocovariances (group, lag) about the mean of all, each the mean over pairs of times and a group's paths."""
    n = paths.shape[1]
    length = scipy.fft.next_fast_len(2 * n - 1, real=True)
    mean = paths.mean()
    noise = paths.mean(axis=1).var(ddof=1) / len(paths) if len(paths) > 1 else 0.0
    found = np.empty((groups[-1] + 1, n))
    for group in range(len(found)):
        own = paths[groups == group]
        power = np.mean(np.abs(scipy.fft.rfft(own - mean, length)) ** 2, axis=0)
        found[group] = scipy.fft.irfft(power, length)[:n] / np.arange(n, 0, -1) + noise
    return found


def stationarity(early: ArrayLike, late: ArrayLike, *, false_alarm: float = 1e-4) -> Stationarity:
    """Whether the means of some scalars differ between an early and a late part of the same paths.

    `early` and `late` have shape (path, scalar) or (path,). The z of a scalar is the mean over paths of its difference,
    late minus early, over its standard error. For a stationary run the verdict `holds` with at least the probability
    1 − `false_alarm` (Bonferroni over scalars, Student's law over paths). Paths that failed are left out, scalar by
    scalar; where fewer than two are left z is NaN, which says nothing against the run. Raises InvalidValue for shapes
    that differ.
    """
    if np.shape(early) != np.shape(late):
        raise InvalidValue(f"early of shape {np.shape(early)}, late of shape {np.shape(late)}: they must be the same")
    with np.errstate(invalid="ignore"):
        change = np.asarray(late, dtype=np.float64) - np.asarray(early, dtype=np.float64)
    change = change.reshape(len(change), math.prod(change.shape[1:]))
    kept = [own[np.isfinite(own)] for own in change.T]
    z = np.array([_z(own) if len(own) > 1 else np.nan for own in kept])
    fewest = min((len(own) for own in kept if len(own) > 1), default=0)
    if fewest == 0:
        return Stationarity(z, np.nan, True)
    threshold = largest_z(int(np.sum(~np.isnan(z))), fewest - 1, false_alarm)
    return Stationarity(z, threshold, not np.any(np.abs(z) > threshold))


def _z(values: Floats) -> float:
    return float(z_of(values.mean(), values.std(ddof=1) / np.sqrt(len(values))))
