"""Densities by bins, with bands from independent paths, and the comparison with a law bin by bin."""

from typing import Any

import numpy as np
import scipy
import xarray as xr
from numpy.typing import ArrayLike

from dlnmc.errors import InvalidValue
from dlnmc.laws import Law
from dlnmc.statistics.estimates import (
    Floats,
    Integers,
    check_probability,
    counts_in,
    failed_paths,
    finite_paths,
    groups_of,
    z_of,
)

GROUPS = 1024  # of paths, at most
RESAMPLES = 2000
PRIOR_COUNTS = 5.0  # with the design effect of all bins
BEYOND = 20  # resamples that must lie beyond a quantile which is read from them
ENOUGH = 1000  # groups from which on resampling knows the largest deviation


def density(samples: ArrayLike, bins: int | ArrayLike = 64, *, level: float = 0.95, seed: int = 0) -> xr.Dataset:
    """The density of all values of all paths, by bins, with errors and bands from independent paths.

    Parameters
    ----------
    samples
        Values (path, …); paths that failed are left out.
    bins
        The number of equal bins from the smallest to the largest value, or ascending edges. A bin holds its lower edge.
    level
        Probability with which a band holds what it is for: the pointwise one each bin, the simultaneous one all.
    seed
        Of the resampling behind the simultaneous band.

    Returns
    -------
    xarray.Dataset
        `edges` (bin_edge); by bin `probability`, `density` and their standard errors `probability_error` and
        `density_error`, and the bands `pointwise_low`, `pointwise_high`, `simultaneous_low`, `simultaneous_high` of the
        density. Probabilities are relative to all values, those outside the bins included. The attributes hold the
        numbers of paths, of failed paths, of groups of paths and of values, and the level. Errors and bands are NaN for
        a single path.

    Notes
    -----
    Error: that of a ratio of sums over independent groups of paths. Bands: intervals of Clopper and Pearson (1934)
    for the number of independent values that has the same error (Korn and Graubard 1998, Survey Methodology 24, 193),
    so bins with few counts or none, which also learn from the others, have honest ones. They are wider where few paths
    hold most counts of a bin, by what the skewness of the groups, beyond that of independent values, moves Student's
    quantile (Hall 1992). The simultaneous band has the pointwise one's form at the level of Bonferroni's bound; of a
    thousand groups or more, at that which the largest of all bins' deviations needs: its quantile under Gaussian
    multipliers of the groups' residuals (Chernozhukov, Chetverikov and Kato 2013), unless the level is too rare to
    resample. Fewer groups know that quantile too badly.

    Raises
    ------
    InvalidValue
        Bins that do not ascend, a level outside (0, 1), or no path that is finite.
    """
    paths = finite_paths(samples)
    values = paths.reshape(len(paths), -1)
    edges = _edges(bins, values)
    groups = groups_of(len(values), GROUPS)
    sizes = np.bincount(groups) * values.shape[1]
    measured = _measured(counts_in(edges, values, groups)[:, 1:-1], sizes, edges, level, seed)
    measured.attrs |= {"paths": len(values), "failed_paths": failed_paths(samples)}
    return measured


def density_of_counts(histogram: xr.Dataset, *, level: float = 0.95, seed: int = 0) -> xr.Dataset:
    """The density from counts by independent batches of paths, as a result's group `histogram` holds them.

    `histogram` has `counts` (batch, bin), `samples` (batch) – all values, those outside the bins included – and `edges`
    (bin_edge). The result, its bands and what is raised are those of `density`, with batches as groups.
    """
    counts = histogram["counts"]
    if set(counts.dims) != {"batch", "bin"}:
        raise InvalidValue(f"counts with dimensions {counts.dims!r}: they must be batch and bin; select one member")
    edges = _edges(histogram["edges"].to_numpy(), np.empty(0))
    sizes = histogram["samples"].to_numpy().astype(np.int64)
    return _measured(counts.transpose("batch", "bin").to_numpy(), sizes, edges, level, seed)


def against(measured: xr.Dataset, law: Law) -> xr.Dataset:
    """A density, from `density` or `density_of_counts`, against a law: probabilities of bins, never values at centres.

    By bin: `law_probability`, a difference of the law's distribution function; `residual`, the measured probability
    minus the law's; `z`, the residual over its standard error (in a bin without counts the error is that of independent
    values of the law). `agrees` is the verdict: the law lies in the simultaneous band in every bin, as a true law
    does with probability `level`, an attribute.
    """
    edges = measured["edges"].to_numpy()
    width, expected = np.diff(edges), np.diff(law.cdf(edges))
    residual = measured["probability"].to_numpy() - expected
    error = measured["probability_error"].to_numpy()
    independent = np.sqrt(expected * (1.0 - expected) / measured.attrs["values"])
    low, high = (measured[f"simultaneous_{end}"].to_numpy() * width for end in ("low", "high"))
    agrees = bool(np.all((low <= expected) & (expected <= high)))
    return xr.Dataset(
        {
            "law_probability": ("bin", expected, {"long_name": "probability of the bin under the law", "units": "1"}),
            "residual": ("bin", residual, {"long_name": "measured probability minus the law's", "units": "1"}),
            "z": (
                "bin",
                z_of(residual, np.where(error == 0.0, independent, error)),
                {"long_name": "residual over its standard error", "units": "1"},
            ),
            "agrees": ((), agrees, {"long_name": "the law lies in the simultaneous band", "units": "true or false"}),
        },
        attrs={"level": measured.attrs["level"]},
    )


def _edges(bins: int | ArrayLike, values: Floats) -> Floats:
    if isinstance(bins, int | np.integer):
        if bins < 1:
            raise InvalidValue(f"bins = {bins!r}: their number must be at least 1")
        low, high = float(values.min()), float(values.max())
        return np.linspace(low, np.nextafter(high, np.inf) if high > low else low + 1.0, int(bins) + 1)
    edges = np.asarray(bins, dtype=np.float64)
    if edges.ndim != 1 or len(edges) < 2 or not np.all(np.isfinite(edges)) or not np.all(np.diff(edges) > 0.0):
        raise InvalidValue(f"bins = {bins!r}: edges must be two or more finite numbers that ascend")
    return edges


def _measured(counts: Integers, sizes: Integers, edges: Floats, level: float, seed: int) -> xr.Dataset:
    """The density of counts (group, bin) among sizes (group,) values."""
    check_probability("level", level)
    groups, total, width = len(counts), sizes.sum(), np.diff(edges)
    p = counts.sum(axis=0) / total
    residuals = (counts - p * sizes[:, None]) / total
    with np.errstate(invalid="ignore", divide="ignore"):  # a single group has no error
        error = np.sqrt((residuals**2).sum(axis=0) * np.float64(groups) / (groups - 1))
    pointwise = _band(p, error, total, residuals, (1.0 - level) / 2.0)
    simultaneous = _band(p, error, total, residuals, _simultaneous_tail(residuals, level, seed))
    name = f"{100.0 * level:g} % band"
    per = "1 / units of the values"
    variables: dict[str, Any] = {
        "edges": ("bin_edge", edges, {"long_name": "edges of the bins", "units": "units of the values"}),
        "probability": ("bin", p, {"long_name": "fraction of all values", "units": "1"}),
        "probability_error": ("bin", error, {"long_name": "standard error of the probability", "units": "1"}),
        "density": ("bin", p / width, {"long_name": "probability over width", "units": per}),
        "density_error": ("bin", error / width, {"long_name": "standard error of the density", "units": per}),
    }
    for kind, band in (("pointwise", pointwise), ("simultaneous", simultaneous)):
        for end, value in zip(("low", "high"), band, strict=True):
            variables[f"{kind}_{end}"] = (
                "bin",
                value / width,
                {"long_name": f"{kind} {name}, {end} end", "units": per},
            )
    attrs = {"level": level, "groups": groups, "values": int(total)}
    return xr.Dataset(variables, coords={"bin": np.arange(len(p))}, attrs=attrs)


def _simultaneous_tail(residuals: Floats, level: float, seed: int) -> float:
    """The probability beyond each end of each bin's interval with which all bins hold at the level."""
    groups, bins = residuals.shape
    bonferroni: float = (1.0 - level) / (2.0 * bins)
    spread = np.sqrt((residuals**2).sum(axis=0))
    if groups < ENOUGH or (1.0 - level) * RESAMPLES < BEYOND or not np.any(spread > 0.0):
        return bonferroni
    standard = residuals[:, spread > 0.0] / spread[spread > 0.0]
    multipliers = np.random.default_rng(seed).standard_normal((RESAMPLES, groups))
    largest = np.abs(multipliers @ standard).max(axis=1)
    return max(bonferroni, float(scipy.special.ndtr(-np.quantile(largest, level))))


def _band(p: Floats, error: Floats, total: int, residuals: Floats, tail: float) -> tuple[Floats, Floats]:
    """Both ends of Clopper and Pearson's intervals for effective numbers, with the probability `tail` beyond each."""
    groups = len(residuals)
    if groups < 2:
        return np.full_like(p, np.nan), np.full_like(p, np.nan)
    quantile = -scipy.special.stdtrit(groups - 1, tail)
    shift = _skewness(p, total, residuals) * (2.0 * quantile**2 + 1.0) / 6.0
    student = scipy.special.ndtri(tail) / (quantile + shift)
    effective = total / _design_effect(p, error, total) * student**2
    inside = effective * p
    low = np.where(p > 0.0, scipy.special.betaincinv(inside, effective - inside + 1.0, tail), 0.0)
    high = np.where(p < 1.0, scipy.special.betainccinv(inside + 1.0, effective - inside, tail), 1.0)
    return low, high


def _skewness(p: Floats, total: int, residuals: Floats) -> Floats:
    """The skewness of each bin's probability, in magnitude, beyond that of independent values."""
    squares = np.sum(residuals**2, axis=0)
    of_groups = np.divide(np.sum(residuals**3, axis=0), squares**1.5, out=np.zeros_like(p), where=squares > 0.0)
    spread = np.sqrt(total * p * (1.0 - p))
    independent = np.divide(1.0 - 2.0 * p, spread, out=np.zeros_like(p), where=spread > 0.0)
    return np.asarray(np.maximum(0.0, np.abs(of_groups) - np.abs(independent)))


def _design_effect(p: Floats, error: Floats, total: int) -> Floats:
    """The variance of each bin's probability over that of independent values (Kish 1965).

    A bin with few counts does not know its own: it has as many counts more, with the effect of all bins together, or
    with 1 if that is less, since rare values come one by one.
    """
    independent = p * (1.0 - p) / total
    common = max(1.0, float(np.sum(error**2) / np.sum(independent))) if np.any(independent > 0.0) else 1.0
    own = np.divide(error**2, independent, out=np.ones_like(p), where=independent > 0.0)
    counts = p * total / common
    return (counts * own + PRIOR_COUNTS * common) / (counts + PRIOR_COUNTS)
