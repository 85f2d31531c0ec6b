"""Statistics with error bars from independent paths: the singular values of one path are not independent samples."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlnmc.laws import Law

Floats = NDArray[np.float64]

GRID = 2048  # points of the law's quantiles at which distribution functions of batches are compared
BOOTSTRAPS = 200


class Estimate(NamedTuple):
    """A value and its standard error."""

    value: float
    error: float


def mean_over_paths(values: Floats) -> Estimate:
    """The mean of one number per path; paths with NaN, which failed, are left out."""
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return Estimate(np.nan, np.nan)
    error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.nan
    return Estimate(float(np.mean(values)), error)


def kolmogorov_distance(samples: Floats, law: Law, batches: int = 64) -> Estimate:
    """The largest difference between the distribution function of all samples and the law's.

    `samples` has shape (path, anything). The value is exact for the pooled samples; its error is a bootstrap over
    `batches` groups of paths, of distribution functions on a grid of the law's quantiles.
    """
    samples = samples[np.isfinite(samples.reshape(len(samples), -1)).all(axis=1)]  # without paths that failed
    pooled = np.sort(samples, axis=None)
    probability = law.cdf(pooled)
    rank = np.arange(len(pooled)) / len(pooled)
    distance = max(np.max(probability - rank), np.max(rank + 1.0 / len(pooled) - probability))
    level = (np.arange(GRID) + 0.5) / GRID
    grid = law.ppf(level)
    groups = np.array_split(samples.reshape(len(samples), -1), min(batches, len(samples)))
    empirical = np.array([np.searchsorted(np.sort(g, axis=None), grid, side="right") / g.size for g in groups])
    weight = np.array([g.size for g in groups], dtype=float)
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(groups), size=(BOOTSTRAPS, len(groups)))
    means = np.array([np.average(empirical[i], axis=0, weights=weight[i]) for i in drawn])
    return Estimate(float(distance), float(np.std(np.max(np.abs(means - level), axis=1), ddof=1)))
