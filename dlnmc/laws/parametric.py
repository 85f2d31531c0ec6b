"""Laws of singular values known through an angle s: σ and its probability are both explicit in it."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property

import numpy as np
import scipy

from dlnmc.laws.base import FloatArray, SingularValueLaw

# s = π·expit(t) and v = π − s = π·expit(−t) are both accurate to the last digit, however close to an end.
_STEP = 1.0 / 16.0
_GRID: FloatArray = np.arange(-708.0, 16.0, _STEP)
_GRID_PROBABILITY: FloatArray = _GRID[_GRID <= 12.0]  # beyond, 1 − cdf ~ v³ is lost in rounding
_TOLERANCE = 1e-8  # of the last Newton step, whose square is the error left
_ROUNDING = 4.0 * float(np.finfo(np.float64).eps)


class ParametricLaw(SingularValueLaw):
    """A law given by increasing functions of an angle 0 < s < π: log y(s), with y = σ², and the cdf F(s).

    With `A = πyρ(y)`, `a = A / sin s` and the weight `w = N/(N+1)` (1 at infinite depth),

        F = (s + A) / π,   F' = w |a + e^{is}|² / π,   (log y)' = πF'/A,   pdf(σ) = 2A / (πσ).

    s → 0 is the hard edge σ = 0; at the soft edge v = π − s → 0, log y_max − log y ~ v² and 1 − F ~ v³.
    A subclass provides `_log_y`, `_a`, `_weight`, `_log_y_max`. Newton's method inverts both curves in
    t = log(s/v), starting from linear interpolation in coordinates where they are gentle.
    """

    @property
    @abstractmethod
    def _log_y_max(self) -> float: ...

    @property
    @abstractmethod
    def _weight(self) -> float: ...

    @abstractmethod
    def _log_y(self, s: FloatArray, v: FloatArray) -> FloatArray: ...

    @abstractmethod
    def _a(self, s: FloatArray, v: FloatArray) -> FloatArray: ...

    @property
    def support(self) -> tuple[float, float]:
        """The ends (low, high) of the support."""
        return 0.0, math.exp(self._log_y_max / 2.0)

    @property
    def error(self) -> float:
        """Rounding only."""
        return 1e-12

    def edge_constant(self) -> float:
        """A = 4 / (√w b^{3/2}): the density is (A/π) √(b − σ) at the upper edge b."""
        return 4.0 / math.sqrt(self._weight) * math.exp(-0.75 * self._log_y_max)

    @property
    def hard_edge_exponent(self) -> float:
        """1 − w: P(σ² < y) ~ y^{1−w} as y → 0."""
        return 1.0 - self._weight

    def _pdf(self, x: FloatArray) -> FloatArray:
        s, v = self._angles_at(x)
        with np.errstate(over="ignore"):
            return 2.0 / np.pi * self._a(s, v) * sine(s, v) / x

    def _cdf(self, x: FloatArray) -> FloatArray:
        return self._probability(*self._angles_at(x))

    def _log_ppf(self, q: FloatArray) -> FloatArray:
        guess = np.interp(_logit(q), self._guess_probability, _GRID_PROBABILITY)
        return self._log_y(*_invert(self._probability_and_slope, q, guess)) / 2.0

    def _angles_at(self, sigma: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The angles (s, v) of the singular value `sigma`."""
        log_y = 2.0 * np.log(sigma)
        guess = np.interp(_minus_log_gap(self._log_y_max, log_y), self._guess_log_y, _GRID)
        return _invert(self._log_y_and_slope, log_y, guess)

    def _probability(self, s: FloatArray, v: FloatArray) -> FloatArray:
        return (s + self._a(s, v) * sine(s, v)) / np.pi

    def _probability_and_slope(self, s: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray]:
        a, sin_s = self._a(s, v), sine(s, v)
        return (s + a * sin_s) / np.pi, self._weight * ((a + np.cos(s)) ** 2 + sin_s**2) / np.pi

    def _log_y_and_slope(self, s: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray]:
        a, sin_s = self._a(s, v), sine(s, v)
        return self._log_y(s, v), self._weight * ((a + np.cos(s)) ** 2 + sin_s**2) / (a * sin_s)

    @cached_property
    def _guess_log_y(self) -> FloatArray:
        return _minus_log_gap(self._log_y_max, self._log_y(*_angles(_GRID)))

    @cached_property
    def _guess_probability(self) -> FloatArray:
        return _logit(self._probability(*_angles(_GRID_PROBABILITY)))


def sine(s: FloatArray, v: FloatArray) -> FloatArray:
    """The sine of s = π − v, accurate at both ends."""
    return np.sin(np.minimum(s, v))


def _angles(t: FloatArray) -> tuple[FloatArray, FloatArray]:
    return np.pi * scipy.special.expit(t), np.pi * scipy.special.expit(-t)


def _minus_log_gap(top: float, log_y: FloatArray) -> FloatArray:
    return -np.log(np.maximum(top - log_y, np.finfo(np.float64).tiny))


def _logit(q: FloatArray) -> FloatArray:
    return np.log(q) - np.log1p(-q)


def _invert(
    curve: Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]],
    target: FloatArray,
    guess: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """The angles (s, v) at which the increasing `curve` (value, slope in s) takes the value `target`.

    Over one grid cell the curves are close to exponentials e^{at}, |a| ≤ 3, so that Newton contracts from the
    first step; the clip to one cell around the guess only acts where rounding dominates, at the soft edge. A value
    that has settled stays, so that it does not depend on those that it is computed with.
    """
    t = guess
    settled = np.zeros(np.shape(target), dtype=np.bool_)
    rounding = _ROUNDING * np.abs(target)
    for _ in range(8):
        s, v = _angles(t)
        value, slope = curve(s, v)
        residual = target - value
        new = np.clip(t + residual * np.pi / (slope * s * v), guess - _STEP, guess + _STEP)
        moved = np.abs(new - t)
        t = np.where(settled, t, new)
        settled |= (moved <= _TOLERANCE) | (np.abs(residual) <= rounding)
        if np.all(settled):
            break
    return _angles(t)
