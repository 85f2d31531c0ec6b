"""Laws of singular values known through an interpolant of log(F / (1 − F)), F the cdf."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import scipy

from dlnmc.laws.base import FloatArray, SingularValueLaw

if TYPE_CHECKING:
    from scipy.interpolate import PPoly

_NEWTON = 3  # steps: a guess good to 1e-3 is squared three times
_FAR = 400.0  # where log(F / (1 − F)) has long been linear in t


class InterpolatedLaw(SingularValueLaw):
    """A law given by two curves over −∞ < t < ∞, both decreasing: log σ(t) and ℓ(t) = log(F / (1 − F)).

    t → −∞ is the upper edge of the support and t → ∞ the lower one. In ℓ both tails of the cdf keep their relative
    accuracy. `pdf(σ) = F (1 − F) ℓ' / (σ (log σ)')`; Newton's method inverts ℓ, its number of steps fixed so that a
    value does not depend on those that it is computed with.
    """

    @abstractmethod
    def _t(self, sigma: FloatArray) -> FloatArray: ...

    @abstractmethod
    def _log_sigma(self, t: FloatArray) -> FloatArray: ...

    @abstractmethod
    def _log_sigma_slope(self, t: FloatArray) -> FloatArray: ...

    @abstractmethod
    def _logit(self, t: FloatArray) -> FloatArray: ...

    @abstractmethod
    def _logit_slope(self, t: FloatArray) -> FloatArray: ...

    @property
    @abstractmethod
    def _grid(self) -> FloatArray:
        """Increasing t, dense enough for linear interpolation of the inverse of ℓ to start Newton's method."""

    def _pdf(self, x: FloatArray) -> FloatArray:
        t = self._t(x)
        logit = self._logit(t)
        with np.errstate(over="ignore", under="ignore"):
            return (
                scipy.special.expit(logit)
                * scipy.special.expit(-logit)
                * self._logit_slope(t)
                / self._log_sigma_slope(t)
                / x
            )

    def _cdf(self, x: FloatArray) -> FloatArray:
        return np.asarray(scipy.special.expit(self._logit(self._t(x))), dtype=np.float64)

    def _log_ppf(self, q: FloatArray) -> FloatArray:
        return self._log_sigma(self._t_of_logit(np.log(q) - np.log1p(-q)))

    def _t_of_logit(self, logit: FloatArray) -> FloatArray:
        grid, minus_logit = self._guess
        t = np.interp(-logit, minus_logit, grid)
        for _ in range(_NEWTON):
            t = t + (logit - self._logit(t)) / self._logit_slope(t)
        return t

    @cached_property
    def _guess(self) -> tuple[FloatArray, FloatArray]:
        grid = np.concatenate([[-_FAR], self._grid])
        return grid, np.maximum.accumulate(-self._logit(grid))

    def _worst(self, t: FloatArray, logit: FloatArray) -> float:
        """The largest error of cdf or quantile where ℓ(t) should be `logit`."""
        off = np.abs(self._logit(t) - logit)
        in_cdf = scipy.special.expit(logit) * scipy.special.expit(-logit) * off
        with np.errstate(under="ignore"):
            in_quantile = np.exp(self._log_sigma(t)) * np.abs(self._log_sigma_slope(t) / self._logit_slope(t)) * off
        return max(float(np.max(in_cdf)), float(np.max(in_quantile)))


def log_ratio(x: FloatArray | float, y: FloatArray | float) -> FloatArray:
    """log(x/y) for x > y > 0, precise where they are close."""
    near = np.asarray(x) < 2.0 * np.asarray(y)
    gap = np.where(near, np.subtract(x, y), 0.0)
    return np.where(near, np.log1p(gap / y), np.log(x) - np.log(y))


def spline_and_slope(x: FloatArray, values: FloatArray) -> tuple[PPoly, PPoly]:
    """The spline of degree 7 through (x, values), and its derivative."""
    spline = scipy.interpolate.PPoly.from_spline(scipy.interpolate.make_interp_spline(x, values, k=7).tck)
    return spline, spline.derivative()
