"""Local statistics of levels: ratios of neighbouring gaps, unfolded spacings, number variance."""

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from dlnmc.errors import InvalidValue
from dlnmc.laws import Law
from dlnmc.statistics.estimates import Floats, counts_in, finite_paths, mean_over_paths

WINDOWS = 32  # places of an interval, evenly spaced


def spacing_ratio(values: ArrayLike, ranks: tuple[int, int] | None = None) -> Floats:
    """The mean over a path of min(gap, next gap)/max(gap, next gap), of shape (path,).

    `values` has shape (path, …, component), in any order, and what lies between path and component is averaged over.
    Paths that failed are left out. `ranks` = (first, last) takes the gaps between the ascending components first, …,
    last − 1, counted from 0; default: the middle half. Two equal neighbours have ratio 0. The ratio depends on the
    coordinate (σ, λ, y) and the range: state both.
    Source: Oganesyan and Huse (2007); reference values: Atas, Bogomolny, Giraud and Roux (2013).
    Raises InvalidValue for ranks without two gaps.
    """
    gaps = spacings(values, ranks)
    if gaps.shape[-1] < 2:
        raise InvalidValue(f"ranks = {ranks!r}: a spacing ratio needs three components or more, of {_size(values)}")
    pairs = np.minimum(gaps[..., 1:], gaps[..., :-1]), np.maximum(gaps[..., 1:], gaps[..., :-1])
    ratio = np.divide(*pairs, out=np.zeros_like(pairs[0]), where=pairs[1] > 0.0)
    return np.asarray(ratio.reshape(len(ratio), -1).mean(axis=1))


def spacings(values: ArrayLike, ranks: tuple[int, int] | None = None) -> Floats:
    """Gaps (path, …, gap) between neighbours of values (path, …, component); of unfolded levels their mean is near 1.

    `ranks` is that of `spacing_ratio`; default: the middle half. Paths that failed are left out.
    """
    first, last = _ranks(ranks, _size(values))
    return np.diff(np.sort(finite_paths(values), axis=-1)[..., first:last], axis=-1)


def unfold(values: ArrayLike, law: Law) -> Floats:
    """Levels d·F(x) of mean density 1, ascending, with the distribution function F of a law.

    `values` (path, …, component) are in the law's units; paths that failed are left out.
    """
    ascending = np.sort(finite_paths(values), axis=-1)
    return _size(values) * law.cdf(ascending)


def unfold_locally(values: ArrayLike) -> Floats:
    """Levels of mean density 1, ascending, without a law: the mean over paths of the k-th of them is about k − ½.

    The values (path, …, component) are mapped by the function that is linear between the means over all paths of the
    ascending components, and beyond the outermost as beside them. A path takes part in the means, which lowers
    variances by about one part in the number of paths. Paths that failed are left out.
    Raises InvalidValue for fewer than two components.
    """
    size = _size(values)
    if size < 2:
        raise InvalidValue(f"values with {size} components: unfolding without a law needs two or more")
    ascending = np.sort(finite_paths(values), axis=-1)
    mean = ascending.reshape(-1, size).mean(axis=0)
    gap = np.clip(np.searchsorted(mean, ascending) - 1, 0, size - 2)
    return np.asarray(gap + 0.5 + (ascending - mean[gap]) / np.diff(mean)[gap])


def number_variance(levels: ArrayLike, lengths: ArrayLike, ranks: tuple[int, int] | None = None) -> xr.Dataset:
    """The variance Σ²(L) of the number of unfolded levels in an interval of length L.

    Parameters
    ----------
    levels
        Levels (path, …, component) of mean density 1, from `unfold` or `unfold_locally`, without paths that failed.
    lengths
        One L or more, positive.
    ranks
        (first, last): intervals lie between these values of the levels; default: the middle half of the components.

    Returns
    -------
    xarray.Dataset
        By `length`: `number_variance`, its standard error `number_variance_error` from independent paths, and
        `mean_number`, which is L where unfolding is right. The variance at a place is that over paths, about the mean
        over paths; it is averaged over 32 places. Source: Mehta (2004), Random matrices, chapter 16.

    Raises
    ------
    InvalidValue
        A length that is not positive or longer than the range, or fewer than two paths.
    """
    paths = finite_paths(levels, least=2)
    first, last = _ranks(ranks, paths.shape[-1])
    wanted = np.atleast_1d(np.asarray(lengths, dtype=np.float64))
    bad = wanted[~((wanted > 0.0) & (wanted <= last - first))]
    if bad.size:
        raise InvalidValue(f"lengths = {float(bad[0])!r}: each must be positive and at most {last - first} (ranks)")
    found = []
    for length in wanted:
        places = np.linspace(first, last - length, WINDOWS)
        number = _numbers(paths.reshape(-1, paths.shape[-1]), places, length).reshape(len(paths), -1, WINDOWS)
        mean = number.mean(axis=(0, 1))
        by_path = ((number - mean) ** 2).mean(axis=(1, 2))
        noise_of_mean = number.mean(axis=1).var(axis=0, ddof=1).mean() / len(paths)
        value, error = mean_over_paths(by_path)
        found.append((value + noise_of_mean, error, mean.mean()))
    names = {
        "number_variance": "variance of the number of levels in an interval",
        "number_variance_error": "standard error of the number variance",
        "mean_number": "mean number of levels in an interval",
    }
    variables = {
        name: ("length", np.array(column), {"long_name": long_name, "units": "1"})
        for (name, long_name), column in zip(names.items(), zip(*found, strict=True), strict=True)
    }
    length_attrs = {"long_name": "length of the interval", "units": "mean spacings"}
    return xr.Dataset(variables, coords={"length": ("length", wanted, length_attrs)}, attrs={"paths": len(paths)})


def _numbers(levels: Floats, places: Floats, length: float) -> Floats:
    """The numbers (row, place) of levels (row, level) in [place, place + length)."""
    edges = np.sort(np.concatenate([places, places + length]))
    below = np.cumsum(counts_in(edges, levels, np.arange(len(levels))), axis=1)
    number = below[:, np.searchsorted(edges, places + length)] - below[:, np.searchsorted(edges, places)]
    return number.astype(np.float64)


def _size(values: ArrayLike) -> int:
    return np.shape(values)[-1] if np.ndim(values) > 1 else 1


def _ranks(ranks: tuple[int, int] | None, size: int) -> tuple[int, int]:
    """The range, by default the middle half that runs measure, too."""
    first, last = (size // 4, size - size // 4) if ranks is None else ranks
    if not 0 <= first < last <= size:
        raise InvalidValue(f"ranks = {ranks!r}: they must be (first, last) with 0 <= first < last <= {size}")
    return first, last
