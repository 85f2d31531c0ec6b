"""Estimates, and what all statistics share: paths that failed, groups of paths, resampling, thresholds."""

from typing import Any, NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from dlnmc.errors import InvalidValue

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

RESAMPLES = 200
LARGEST_SHIFT = 0.2  # of a threshold: up to it skewness moves the threshold, beyond it no threshold is known


class Estimate(NamedTuple):
    """A value and its standard error."""

    value: float
    error: float


def mean_over_paths(values: ArrayLike) -> Estimate:
    """The mean of one number per path; paths with NaN, which failed, are left out.

    The error is that of independent paths, NaN for a single one.
    """
    array = np.asarray(values, dtype=np.float64)
    array = array[np.isfinite(array)]
    if len(array) == 0:
        return Estimate(np.nan, np.nan)
    error = float(np.std(array, ddof=1) / np.sqrt(len(array))) if len(array) > 1 else np.nan
    return Estimate(float(np.mean(array)), error)


def failed_paths(values: ArrayLike) -> int:
    """The number of paths, of an array (path, …), that hold a number that is not finite."""
    values = np.asarray(values)
    return int(np.sum(~_finite(values)))


def _finite(values: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(values).all(axis=tuple(range(1, values.ndim))))


def finite_paths(values: ArrayLike, least: int = 1) -> Floats:
    """The array (path, …) without the paths that failed. Raises InvalidValue if fewer than `least` are left."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0 or array[:1].size == 0:
        raise InvalidValue(f"values of shape {array.shape}: the first axis must be path, and no axis may be empty")
    kept = _finite(array)
    if np.sum(kept) < least:
        raise InvalidValue(f"{np.sum(kept)} of {len(array)} paths are finite: at least {least} must be")
    return np.ascontiguousarray(array if kept.all() else array[kept])


def check_probability(name: str, value: float) -> float:
    """The value. Raises InvalidValue unless 0 < value < 1."""
    if not 0.0 < value < 1.0:
        raise InvalidValue(f"{name} = {value!r}: it must be a probability between 0 and 1")
    return float(value)


def groups_of(paths: int, most: int) -> Integers:
    """The group of each path (path,): at most `most` groups of neighbours, of equal size but for one path."""
    groups = min(paths, most)
    return np.arange(paths) * groups // paths


def sums_over(groups: Integers, values: Floats) -> Floats:
    """Sums (group, …) of values (path, …) over the groups of `groups_of`."""
    sums: Floats = np.add.reduceat(values, np.searchsorted(groups, np.arange(groups[-1] + 1)), axis=0)
    return sums


def counts_in(edges: Floats, values: Floats, groups: Integers) -> Integers:
    """Counts (group, edge + 1) of values (path, value): below the first edge, in [edge, next), …, from the last on."""
    columns = len(edges) + 1
    position = np.searchsorted(edges, values, side="right") + columns * groups[:, None]
    return np.bincount(position.ravel(), minlength=columns * int(groups[-1] + 1)).reshape(-1, columns)


def resampled_means(sums: Floats, sizes: Floats, seed: int, resamples: int = RESAMPLES) -> Floats:
    """Bootstrap means (resample, …): sums (group, …) over sizes (group,) of as many groups, drawn with replacement."""
    groups = len(sums)
    drawn = np.random.default_rng(seed).integers(groups, size=(resamples, groups))
    times = np.bincount((drawn + groups * np.arange(resamples)[:, None]).ravel(), minlength=resamples * groups)
    times = times.reshape(resamples, groups).astype(np.float64)
    total = (times @ sums.reshape(groups, -1)).reshape(-1, *sums.shape[1:])
    return np.asarray(total / (times @ sizes).reshape(-1, *[1] * (sums.ndim - 1)))


def bootstrap_error(resampled: Floats, groups: int) -> float:
    """The standard error, from a statistic (resample,) of groups drawn with replacement; NaN for one group.

    A group drawn from n of them varies less than groups do, by the factor (n − 1)/n in variance.
    """
    return float(np.std(resampled, ddof=1) * np.sqrt(groups / (groups - 1.0))) if groups > 1 else np.nan


def largest_z(tests: int, freedom: int, false_alarm: float) -> float:
    """The |z| that the largest of `tests` values exceeds by chance with at most the probability `false_alarm`.

    Each z has Student's law with `freedom` degrees of freedom; the bound is Bonferroni's.
    """
    return -float(scipy.special.stdtrit(freedom, check_probability("false_alarm", false_alarm) / (2.0 * tests)))


def skewness_of(values: Floats) -> float:
    """The skewness of values (path,), without those that are not finite; 0 where they are equal."""
    deviations = values[np.isfinite(values)]
    deviations = deviations - np.mean(deviations) if len(deviations) else deviations
    largest = np.max(np.abs(deviations), initial=0.0)
    if largest == 0.0:
        return 0.0
    deviations = deviations / largest  # so that no power underflows
    return float(np.mean(deviations**3) / np.mean(deviations**2) ** 1.5)


def allowed_z(threshold: float, skewness: float) -> float:
    """The threshold of |z| where the mean has a skewness, that of its values over √n; infinite where none is known.

    Skewness moves the distribution of Student's z by skewness (2z² + 1)/6 (Cornish and Fisher 1938; Hall 1992, The
    Bootstrap and Edgeworth Expansion, section 2.6). Where that is more than a fifth of the threshold the expansion is
    not to be believed, and chance may exceed any threshold.
    """
    shift = abs(skewness) * (2.0 * threshold**2 + 1.0) / 6.0
    return threshold + shift if shift <= LARGEST_SHIFT * threshold else float("inf")


def z_of(value: Floats, error: Floats) -> Floats:
    """The ratio of value and error: 0 where both vanish, infinite where only the error does."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(value == 0.0, 0.0, value / error)
