"""Distances between distribution functions: of samples to a law, and between two sets of samples."""

import math
from collections.abc import Callable

import numpy as np
import scipy
from numpy.typing import ArrayLike

from dlnmc.errors import InvalidValue
from dlnmc.laws import Law
from dlnmc.statistics.estimates import (
    Estimate,
    Floats,
    bootstrap_error,
    check_probability,
    counts_in,
    finite_paths,
    groups_of,
    resampled_means,
)

GRID = 2048  # quantiles at which distribution functions of groups of paths are compared
KNOTS = 4096  # of the integral of a law's quantiles
FARTHEST = 30.0  # the outermost knots leave the probability e^{−30} = 1e-13 beyond, where numbers below 1 still differ


def kolmogorov_distance(samples: ArrayLike, law: Law, batches: int = 64, *, seed: int = 0) -> Estimate:
    """The largest difference between the distribution function of all samples and the law's.

    `samples` has shape (path, anything). The value is exact for the pooled samples; its error is a bootstrap over
    `batches` groups of paths, of distribution functions on a grid of the law's quantiles; NaN for one path.
    """
    paths = finite_paths(samples)
    pooled = np.sort(paths, axis=None)
    probability = law.cdf(pooled)
    rank = np.arange(len(pooled)) / len(pooled)
    distance = max(np.max(probability - rank), np.max(rank + 1.0 / len(pooled) - probability))
    level = _levels()
    resampled = _resampled(paths, law.ppf(level), batches, seed)
    error = bootstrap_error(np.max(np.abs(resampled - level), axis=1), min(batches, len(paths)))
    return Estimate(float(distance), error)


def wasserstein_distance(samples: ArrayLike, law: Law, batches: int = 64, *, seed: int = 0) -> Estimate:
    """The 1-Wasserstein distance `∫ |F_n − F| dx` of all samples to the law, in the units of the samples.

    `samples` has shape (path, anything). With the quantiles Q of the law the value is the sum over the ascending pooled
    samples of `∫ |x_i − Q(u)| du` over ((i−1)/n, i/n), exact to about 1e-10 of the law's width; each integrand
    changes sign at u = F(x_i). The error is a bootstrap over `batches` groups of paths, of distribution functions on a
    grid of the quantiles of both; NaN for one path.
    """
    paths = finite_paths(samples)
    pooled = np.sort(paths, axis=None)
    n = len(pooled)
    rank = np.arange(n + 1) / n
    change = np.clip(law.cdf(pooled), rank[:-1], rank[1:])
    integral = _integral_of_quantiles(law)
    at_rank = integral(rank)
    distance = np.sum(
        pooled * (2.0 * change - rank[:-1] - rank[1:]) + at_rank[:-1] + at_rank[1:] - 2.0 * integral(change)
    )
    grid = np.sort(np.concatenate([law.ppf(_levels()), _quantiles(pooled)]))
    resampled = _resampled(paths, grid, batches, seed) - law.cdf(grid)
    error = bootstrap_error(_integrated(np.abs(resampled), grid), min(batches, len(paths)))
    return Estimate(float(distance), error)


def kolmogorov_between(a: ArrayLike, b: ArrayLike, batches: int = 64, *, seed: int = 0) -> Estimate:
    """The largest difference between the distribution functions of two sets of samples (path, anything).

    The value is exact for the pooled samples; the error is a bootstrap over `batches` groups of paths of each set.
    `kolmogorov_bound` is what it may be by chance.
    """
    a, b = finite_paths(a), finite_paths(b)
    x, gap = _gap(a, b)
    distinct = np.append(x[1:] != x[:-1], True)
    resampled = _resampled_gap(a, b, _quantiles(x), batches, seed)
    error = bootstrap_error(np.max(np.abs(resampled), axis=1), min(batches, len(a), len(b)))
    return Estimate(float(np.max(np.abs(gap[distinct]))), error)


def wasserstein_between(a: ArrayLike, b: ArrayLike, batches: int = 64, *, seed: int = 0) -> Estimate:
    """The 1-Wasserstein distance `∫ |F_a − F_b| dx` between two sets of samples (path, anything), in their units.

    The value is exact for the pooled samples; the error is a bootstrap over `batches` groups of paths of each set.
    """
    a, b = finite_paths(a), finite_paths(b)
    x, gap = _gap(a, b)
    grid = _quantiles(x)
    resampled = _resampled_gap(a, b, grid, batches, seed)
    error = bootstrap_error(_integrated(np.abs(resampled), grid), min(batches, len(a), len(b)))
    return Estimate(float(np.sum(np.abs(gap[:-1]) * np.diff(x))), error)


def one_sample_bound(samples: int, false_alarm: float) -> float:
    """The distance `kolmogorov_distance` that so many independent samples exceed with at most this probability.

    Dvoretzky's, Kiefer's and Wolfowitz' inequality with Massart's constant (1990); by Hoeffding's (1963) it bounds the
    deviation of a single frequency as well.
    """
    return math.sqrt(math.log(2.0 / check_probability("false_alarm", false_alarm)) / (2.0 * samples))


def kolmogorov_bound(paths_a: int, paths_b: int, false_alarm: float, *, values_per_path: int = 1) -> float:
    """The distance `kolmogorov_between` that two sets with one law exceed with at most the probability `false_alarm`.

    For n and m independent samples `P(D > e) ≤ C exp(−2e² nm/(n+m))`, an inequality of Dvoretzky, Kiefer and Wolfowitz
    (Wei and Dudley 2012, Statistics & Probability Letters 82, 636: C = 2 is proved for n = m ≥ 458, checked for n ≠ m
    up to 200, conjectured beyond). C = exp(1) here, which is enough for smaller n = m, too. A path that gives k values,
    dependent and in a fixed order, gives k distribution functions of independent samples; the pooled one is their mean
    and deviates at most as the worst of them: Bonferroni's bound over `values_per_path` = k.
    Raises InvalidValue for numbers below 1, and for a false alarm outside (0, 1).
    """
    for name, number in (("paths_a", paths_a), ("paths_b", paths_b), ("values_per_path", values_per_path)):
        if number < 1:
            raise InvalidValue(f"{name} = {number!r}: it must be at least 1")
    each = check_probability("false_alarm", false_alarm) / values_per_path
    return min(1.0, math.sqrt(0.5 * math.log(math.e / each) * (1.0 / paths_a + 1.0 / paths_b)))


def _levels() -> Floats:
    return (np.arange(GRID) + 0.5) / GRID


def _quantiles(ascending: Floats) -> Floats:
    return ascending[np.floor(_levels() * len(ascending)).astype(np.int64)]


def _integrated(values: Floats, grid: Floats) -> Floats:
    """Integrals (…,) over the grid of values (…, grid)."""
    return np.asarray(np.trapezoid(values, grid, axis=-1))


def _resampled(paths: Floats, grid: Floats, batches: int, seed: int) -> Floats:
    """Distribution functions (resample, grid) of the pooled samples, by bootstrap over groups of paths."""
    groups = groups_of(len(paths), batches)
    counts = counts_in(grid, paths.reshape(len(paths), -1), groups)
    return resampled_means(np.cumsum(counts[:, :-1], axis=1).astype(np.float64), counts.sum(axis=1), seed)


def _resampled_gap(a: Floats, b: Floats, grid: Floats, batches: int, seed: int) -> Floats:
    return _resampled(a, grid, batches, 2 * seed) - _resampled(b, grid, batches, 2 * seed + 1)


def _gap(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """The pooled samples of both, ascending, and the difference of distribution functions after each of them."""
    pooled = np.concatenate([np.sort(a, axis=None), np.sort(b, axis=None)])
    order = np.argsort(pooled, kind="stable")  # which merges what is sorted
    steps = np.where(order < a.size, b.size, -a.size)
    return pooled[order], np.cumsum(steps) / (float(a.size) * b.size)


def _integral_of_quantiles(law: Law) -> Callable[[Floats], Floats]:
    """The function `∫_0^u Q`: Gauss–Legendre between knots that are dense at both ends, Hermite's cubics in between."""
    knots = scipy.special.expit(np.linspace(-FARTHEST, FARTHEST, KNOTS))
    nodes, weights = np.polynomial.legendre.leggauss(4)
    half = np.diff(knots)[:, None] / 2.0
    pieces = (law.ppf(knots[:-1, None] + half * (1.0 + nodes)) * half) @ weights
    integral = scipy.interpolate.CubicHermiteSpline(knots, np.concatenate([[0.0], np.cumsum(pieces)]), law.ppf(knots))
    return lambda u: np.asarray(integral(np.clip(u, knots[0], knots[-1])))
