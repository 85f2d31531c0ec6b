"""From several step sizes on shared noise to the step size zero."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dlnmc.errors import InvalidValue
from dlnmc.statistics.estimates import (
    Estimate,
    Floats,
    bootstrap_error,
    finite_paths,
    groups_of,
    resampled_means,
    sums_over,
)

GROUPS = 256  # of paths, at most
RESAMPLES = 1000
SIGNIFICANT = 5.0  # standard errors of every difference of levels from which on the observed order is taken
CONTRADICTION = 3.0  # standard errors between the finest difference and the assumed order, likewise
LOWER = 0.75  # of the assumed order: what it may be where levels do not show it
ORDERS = np.linspace(0.5, 3.0, 501)


class Extrapolation(NamedTuple):
    """The value at step size zero, the observed order, the order that was used, and the bias at each level.

    The observed order is NaN for two levels, which show none.
    """

    limit: Estimate
    order: Estimate
    order_used: float
    bias: tuple[Estimate, ...]


def extrapolate(values: ArrayLike, steps: ArrayLike, order: float = 1.0, *, seed: int = 0) -> Extrapolation:
    """Extrapolate the mean of a scalar to step size zero, by `q(h) = q_0 + a h^p`.

    Parameters
    ----------
    values
        One number for each level and path, (level, path): a path has the same noise at every level. Paths that failed
        at any level are left out.
    steps
        Two or more step sizes, ascending, positive.
    order
        The order p that theory gives, between 0.5 and 3. It is used unless three levels or more show another.
    seed
        Of the bootstrap over groups of paths, which all errors come from; paths stay paired in it.

    Returns
    -------
    Extrapolation
        Differences between neighbouring levels give a, and for three levels or more the observed order, by least
        squares weighted with their standard errors, p restricted to [0.5, 3]. The observed order is used if every
        difference is beyond five standard errors, or if the finest one is beyond three from what the assumed order
        makes of all; otherwise the assumed order. An observed order clearly below the assumed one means that the
        coarse steps are too coarse to show it: then the assumed order is used, with the two finest steps alone. The
        limit is the value at the smallest step minus its bias a h_0^p (Richardson 1911), the bias at a level its value
        minus the limit.

        Errors hold the noise, of an observed order too, and in quadrature a doubt about the form of the bias: the
        most that the limit moves with other forms. These are `a h^p + b h^{p+1}`, for three levels or more; an order
        of three quarters of the assumed one, where that is used without being seen; and the observed order, where it
        is not used because it is too low. So two standard errors hold the limit for biases of orders 0.75 to 2, or a
        mixture of 1 and 2, where 1 is assumed, seen or not. Two levels show no order, and the doubt is then near
        half the bias at the smallest step.

    Raises
    ------
    InvalidValue
        Fewer than two levels, steps that do not ascend, an order out of range, or no path that is finite.
    """
    h, paths = _checked(values, steps, order)
    differences = np.diff(paths, axis=1)
    floor = np.finfo(float).eps * max(float(np.abs(paths).max()), np.finfo(float).tiny)
    error = np.maximum(_error(differences), floor)
    groups = groups_of(len(paths), GROUPS)
    resampled = resampled_means(sums_over(groups, paths), np.bincount(groups).astype(np.float64), seed, RESAMPLES)
    means = np.vstack([paths.mean(axis=0), resampled])

    def estimate(row: Floats) -> Estimate:
        return Estimate(float(row[0]), bootstrap_error(row[1:], int(groups[-1]) + 1))

    def limit(order: float | Floats, levels: int = len(h)) -> Floats:
        changes = np.diff(means[:, :levels], axis=1)
        return np.asarray(means[:, 0] - _amplitude(changes, h[:levels], error[: levels - 1], order))

    orders, observed = np.full(len(means), order), Estimate(np.nan, np.nan)
    limits, others = limit(order), [limit(LOWER * order)]
    if len(h) > 2:
        shown, mixed = _orders(means, h, error), _limit_of_two_terms(means, h, error, order)
        observed = estimate(shown)
        rest = differences[:, 0] - _amplitude(differences, h, error, order) * (h[1] ** order - 1.0)
        significant = np.all(np.abs(differences.mean(axis=0)) > SIGNIFICANT * error)
        if observed.value + CONTRADICTION * observed.error < order:
            limits, others = limit(order, levels=2), [mixed, limit(shown)]
        elif significant or abs(rest.mean()) > CONTRADICTION * max(float(_error(rest)), floor):
            orders, limits, others = shown, limit(shown), [mixed]
        else:
            others.append(mixed)
    doubt = max(float(abs(other[0] - limits[0])) for other in others)

    def doubted(row: Floats) -> Estimate:
        value, noise = estimate(row)
        return Estimate(value, float(np.hypot(noise, doubt)))

    biases = tuple(doubted(means[:, level] - limits) for level in range(len(h)))
    return Extrapolation(doubted(limits), observed, float(orders[0]), biases)


def _error(values: Floats) -> Floats:
    return np.asarray(values.std(axis=0) / np.sqrt(len(values)))


def _checked(values: ArrayLike, steps: ArrayLike, order: float) -> tuple[Floats, Floats]:
    """Steps in units of the smallest, and the values (path, level) of paths that are finite."""
    h = np.asarray(steps, dtype=np.float64)
    if h.ndim != 1 or len(h) < 2 or not h[0] > 0.0 or not np.all(np.diff(h) > 0.0) or not np.isfinite(h[-1]):
        raise InvalidValue(f"steps = {steps!r}: they must be two or more positive numbers that ascend")
    if not ORDERS[0] <= order <= ORDERS[-1]:
        raise InvalidValue(f"order = {order!r}: it must lie between {ORDERS[0]} and {ORDERS[-1]}")
    if np.ndim(values) != 2 or len(np.asarray(values)) != len(h):
        raise InvalidValue(f"values of shape {np.shape(values)}: they must be (level, path), with {len(h)} levels")
    return h / h[0], finite_paths(np.asarray(values).T)


def _orders(means: Floats, h: Floats, error: Floats) -> Floats:
    """The p (row,) whose h_{i+1}^p − h_i^p, times a factor, explain most of the differences of means (row, level)."""
    shapes = np.diff(h ** ORDERS[:, None], axis=1) / error
    shapes /= np.linalg.norm(shapes, axis=1, keepdims=True)
    explained = (np.diff(means, axis=1) / error @ shapes.T) ** 2
    best = np.clip(np.argmax(explained, axis=1), 1, len(ORDERS) - 2)
    left, middle, right = (np.take_along_axis(explained, best[:, None] + i, axis=1)[:, 0] for i in (-1, 0, 1))
    curvature = left - 2.0 * middle + right  # the vertex of the parabola through three points of the grid
    shift = np.divide(0.5 * (left - right), curvature, out=np.zeros_like(middle), where=curvature < 0.0)
    orders = ORDERS[best] + np.clip(shift, -1.0, 1.0) * (ORDERS[1] - ORDERS[0])
    return np.asarray(np.clip(orders, ORDERS[0], ORDERS[-1]))


def _amplitude(differences: Floats, h: Floats, error: Floats, order: float | Floats) -> Floats:
    """The factor a (row,), also the bias at h_0 = 1, from weighted differences of levels (row, level − 1)."""
    shapes = np.diff(h ** np.reshape(order, (-1, 1)), axis=1) / error
    return np.asarray(np.sum(shapes * differences / error, axis=1) / np.sum(shapes**2, axis=1))


def _limit_of_two_terms(means: Floats, h: Floats, error: Floats, order: float) -> Floats:
    """The limits (row,) of means (row, level), three or more, if the bias is a h^p + b h^{p+1}."""
    powers = h[:, None] ** np.array([order, order + 1.0])
    shapes = np.diff(powers, axis=0) / error[:, None]
    factors = np.diff(means, axis=1) / error @ np.linalg.pinv(shapes).T
    return np.asarray(means[:, 0] - factors @ powers[0])
