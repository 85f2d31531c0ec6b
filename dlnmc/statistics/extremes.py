"""Mean, variance and skewness of the extremes, scaled as their limit laws are."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dlnmc.laws import scaling
from dlnmc.laws.models import DeepLinearNetwork
from dlnmc.statistics.estimates import Estimate, Floats, finite_paths, mean_over_paths


class Shape(NamedTuple):
    """Mean, variance and skewness of a quantity, with standard errors."""

    mean: Estimate
    variance: Estimate
    skewness: Estimate


def shape(values: ArrayLike) -> Shape:
    """Mean, variance and skewness of values (path, …), pooled, with errors from independent paths.

    The errors are those of the statistics' influence functions, averaged over each path: z, z² − 1 and
    z³ − γ − 3z − (3/2)γ(z² − 1) for a standardised value z and the skewness γ. Paths that failed are left out.
    Raises InvalidValue for fewer than two paths.
    """
    paths = finite_paths(values, least=2)
    x = paths.reshape(len(paths), -1)
    mean, deviation = float(x.mean()), float(x.std())
    with np.errstate(invalid="ignore"):  # a constant has no skewness
        z = (x - mean) / deviation
    gamma = float((z**3).mean())
    square = z**2 - 1.0
    error_of_mean = deviation * _error(z)
    return Shape(
        Estimate(mean, error_of_mean),
        Estimate(deviation**2 + error_of_mean**2, deviation**2 * _error(square)),  # about the true mean
        Estimate(gamma, _error(z**3 - gamma - 3.0 * z - 1.5 * gamma * square)),
    )


def soft_edge(largest: ArrayLike, law: scaling.SoftEdged, size: int) -> Shape:
    """Shape of the largest value (path, …) of `size`, in the law's units, after `laws.scaling.at_soft_edge`.

    The law it tends to, Tracy–Widom's, is `laws.scaling.soft_edge_limit`.
    """
    return shape(scaling.at_soft_edge(_array(largest), law, size))


def hard_edge(smallest: ArrayLike, model: DeepLinearNetwork) -> Shape:
    """Shape of the smallest singular value (path, …), not scaled, of a model, after `laws.scaling.at_hard_edge`."""
    return shape(scaling.at_hard_edge(_array(smallest), model))


def _array(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)


def _error(influence: Floats) -> float:
    return mean_over_paths(influence.mean(axis=1)).error
