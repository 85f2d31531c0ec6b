"""Rates of convergence: the exponent of a power law through values with errors."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dlnmc.errors import InvalidValue
from dlnmc.statistics.estimates import Estimate


class Rate(NamedTuple):
    """The fit `value ≈ factor · x^(−exponent)`; `misfit` is χ² over its degrees of freedom, NaN for two points."""

    exponent: Estimate
    factor: float
    misfit: float

    def at(self, x: ArrayLike) -> np.ndarray:
        """The fitted values."""
        return np.asarray(self.factor * np.asarray(x, dtype=np.float64) ** -self.exponent.value)


def rate(x: ArrayLike, values: ArrayLike, errors: ArrayLike) -> Rate:
    """The rate at which positive values with independent standard errors fall, by weighted least squares of logarithms.

    Where the points scatter more than their errors explain, as they do where a power law is only their limit, the error
    of the exponent is larger by √misfit. Raises InvalidValue for fewer than two points, or values that are not > 0.
    """
    x, values, errors = (np.asarray(array, dtype=np.float64) for array in (x, values, errors))
    if len(x) < 2 or len(set(x.tolist())) < 2:
        raise InvalidValue(f"x = {x.tolist()}: a rate needs two different points or more")
    if not (np.all(values > 0.0) and np.all(errors > 0.0) and np.all(x > 0.0)):
        raise InvalidValue("a rate needs values and errors > 0")
    weight = (values / errors) ** 2
    log_x, log_value = np.log(x), np.log(values)
    centre = np.average(log_x, weights=weight)
    spread = float(np.sum(weight * (log_x - centre) ** 2))
    slope = float(np.sum(weight * (log_x - centre) * log_value)) / spread
    level = float(np.average(log_value, weights=weight)) - slope * centre
    freedom = len(x) - 2
    misfit = math.nan
    if freedom:
        misfit = float(np.sum(weight * (log_value - level - slope * log_x) ** 2)) / freedom
    error = math.sqrt(max(1.0, misfit if freedom else 1.0) / spread)
    return Rate(Estimate(-slope, error), math.exp(level), misfit)
