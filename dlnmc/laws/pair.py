"""Pairs z_1 > z_2 on a line with a given joint density: quadrature, and the laws of both members."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import scipy

from dlnmc.errors import InvalidValue
from dlnmc.laws.base import FloatArray, Law

if TYPE_CHECKING:
    from scipy.interpolate import BSpline

Member = Literal[1, 2]
LogDensity = Callable[[FloatArray, FloatArray, FloatArray], FloatArray]

_REACH, _GAP_REACH = 85.0, 42.0  # logarithms below its maximum at which an integrand is left out
_SCAN, _ZOOMS = 128, 16
_DEGREE = 7  # of splines


class Stretch(NamedTuple):
    """z = centre + scale·m(…m(t)), with m(t) = t − e^{−t} applied `folds` times.

    Linear on the right; on the left one fold turns exponential tails in z, and two turn algebraic ones, into double
    exponentials in t.
    """

    centre: float
    scale: float
    folds: int

    def z(self, t: FloatArray) -> FloatArray:
        """The point z(t)."""
        with np.errstate(over="ignore"):
            for _ in range(self.folds):
                t = t - np.exp(-t)
        return self.centre + self.scale * t

    def t(self, z: FloatArray) -> FloatArray:
        """The t at which z(t) is z."""
        t = (z - self.centre) / self.scale
        for _ in range(self.folds):
            t = t + scipy.special.wrightomega(-t)
        return t

    def log_slope(self, t: FloatArray) -> FloatArray:
        """The logarithm of dz/dt."""
        total = np.full_like(t, math.log(self.scale))
        for fold in range(self.folds):
            t = t - np.exp(-t) if fold else t
            total += np.logaddexp(0.0, -t)
        return total

    def log_gap(self, t: FloatArray, gap: FloatArray) -> FloatArray:
        """The logarithm of z(t) − z(t − gap), without cancellation or overflow."""
        log_gap = np.log(gap)
        for _ in range(self.folds):
            log_gap = np.logaddexp(log_gap, gap - t + np.log(-np.expm1(-gap)))
            gap, t = np.exp(log_gap), t - np.exp(-t)
        return log_gap + math.log(self.scale)


class Rule(NamedTuple):
    """A quadrature rule of total weight 1: (row, column), a row having one value t of one member."""

    t: FloatArray
    z_1: FloatArray
    z_2: FloatArray
    weight: FloatArray

    def coarse(self) -> Rule:
        """Every other node in both directions."""
        part = np.s_[::2, ::2]
        weight = self.weight[part]
        return Rule(self.t[::2], self.z_1[part], self.z_2[part], weight / np.sum(weight))


@dataclass(frozen=True)
class Pair:
    """The joint density of z_1 > z_2: log_density(z_1, z_2, log(z_1 − z_2)) up to a constant.

    One member is at t, the other at a distance log(1 + exp(u − e^{−u})) in t: in t and u the density falls like a
    double exponential, or like a Gaussian, at both ends, and is analytic between them, so that the trapezoidal rule
    converges exponentially (Takahasi and Mori 1974). `low` and `high` bound t.
    """

    log_density: LogDensity
    stretch: Stretch
    low: float
    high: float

    def rule(self, member: Member, rows: int, columns: int) -> Rule:
        """The rule on the box in which the density matters, whose rows are values of the member 1 or 2."""
        ends = np.array([self.low]), np.array([self.high])
        low, high, _ = zoom(lambda t: self._box(member, t[0])[2][None, :], *ends, _REACH)
        t = np.linspace(low[0], high[0], rows)
        low, high, _ = self._box(member, t)
        u = np.linspace(low, high, columns, axis=1)
        t_1, t_2, _, _ = _members(member, t[:, None], u)
        log_weight = self._log_integrand(member, t[:, None], u) + np.log(high - low)[:, None]
        with np.errstate(under="ignore"):
            weight = np.exp(log_weight - np.max(log_weight))
        z_1, z_2 = np.broadcast_arrays(self.stretch.z(t_1), self.stretch.z(t_2))
        return Rule(t, z_1, z_2, weight / np.sum(weight))

    def _box(self, member: Member, t: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """The ends of u for each t, and the largest log-density between them."""
        ends = np.full_like(t, -4.5), np.full_like(t, self.high - self.low)
        return zoom(lambda u: self._log_integrand(member, t[:, None], u), *ends, _GAP_REACH)

    def _log_integrand(self, member: Member, t: FloatArray, u: FloatArray) -> FloatArray:
        with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
            t_1, t_2, gap, log_gap_slope = _members(member, t, u)
            log_gap = self.stretch.log_gap(t_1, gap)
            log_density = self.log_density(self.stretch.z(t_1), self.stretch.z(t_2), log_gap)
            total = log_density + self.stretch.log_slope(t_1) + self.stretch.log_slope(t_2) + log_gap_slope
        return np.where(np.isnan(total), -np.inf, total)


def _members(member: Member, t: FloatArray, u: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return t_1, t_2, their gap and the logarithm of its derivative in u."""
    inner = u - np.exp(-u)
    gap = np.logaddexp(0.0, inner)
    log_slope = np.logaddexp(0.0, -u) - np.logaddexp(0.0, -inner)
    return (t, t - gap, gap, log_slope) if member == 1 else (t + gap, t, gap, log_slope)


@dataclass(frozen=True, eq=False)
class Marginal(Law):
    """The law of a member of a pair, as x = z on the line or as x = e^z > 0.

    The log-odds ℓ = log(F/(1 − F)) of the cdf are interpolated by a spline in t, and continued linearly in z: both
    tails keep their relative accuracy. `exponent`: for x = e^z, F ~ x^exponent as x → 0.
    """

    stretch: Stretch
    t: FloatArray
    weight: FloatArray
    is_logarithm: bool
    exponent: float

    @property
    def support(self) -> tuple[float, float]:
        """The ends (low, high) of the support."""
        return (0.0 if self.is_logarithm else -math.inf), math.inf

    def moment(self, k: float) -> float:
        """E[x^k]: real k ≥ 0, a whole number if x takes both signs."""
        if k < 0 or not (self.is_logarithm or k == int(k)):
            allowed = "number" if self.is_logarithm else "whole number"
            raise InvalidValue(f"the order of a moment of one of two must be a {allowed} >= 0, got {k!r}")
        return float(np.sum(self.weight * self._values**k))

    def var(self) -> float:
        """E[(x − E[x])²]."""
        return float(np.sum(self.weight * (self._values - self.mean()) ** 2))

    @property
    def _values(self) -> FloatArray:
        return self._from_z(self.stretch.z(self.t))

    def _from_z(self, z: FloatArray) -> FloatArray:
        with np.errstate(under="ignore"):
            return np.exp(z) if self.is_logarithm else z

    @cached_property
    def _log_odds(self) -> tuple[FloatArray, BSpline[np.float64], BSpline[np.float64]]:
        """ℓ at the nodes, as a function of t, and its derivative."""
        log_density = scipy.interpolate.make_interp_spline(self.t, np.log(self.weight), k=_DEGREE)
        x, w = np.polynomial.legendre.leggauss(_DEGREE)
        step = self.t[1] - self.t[0]
        cells = np.exp(log_density(self.t[:-1, None] + step * (x + 1.0) / 2.0)) @ (w * step / 2.0)
        tails = self.weight[[0, -1]] / np.abs(log_density.derivative()(self.t[[0, -1]]))  # falling exponentially in t
        if self.exponent:
            tails[0] = self.weight[0] / self.exponent * np.exp(-self.stretch.log_slope(self.t[:1])[0])
        below = np.cumsum(np.concatenate([tails[:1], cells]))
        above = np.cumsum(np.concatenate([tails[1:], cells[::-1]]))[::-1]
        values = np.log(below / above)
        spline = scipy.interpolate.make_interp_spline(self.t, values, k=_DEGREE)
        return values, spline, spline.derivative()

    def _log_odds_at(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """ℓ and dℓ/dz."""
        _, spline, slope = self._log_odds
        z = np.log(x) if self.is_logarithm else x
        with np.errstate(over="ignore"):
            t = np.clip(self.stretch.t(z), self.t[0], self.t[-1])
            slope_in_z = slope(t) * np.exp(-self.stretch.log_slope(t))
            if self.exponent:
                slope_in_z = np.where(t > self.t[0], slope_in_z, self.exponent)
            return spline(t) + slope_in_z * (z - self.stretch.z(t)), slope_in_z

    def _pdf(self, x: FloatArray) -> FloatArray:
        odds, slope = self._log_odds_at(x)
        with np.errstate(under="ignore", over="ignore"):
            density = scipy.special.expit(odds) * scipy.special.expit(-odds) * slope
            return density / x if self.is_logarithm else density

    def _cdf(self, x: FloatArray) -> FloatArray:
        return np.asarray(scipy.special.expit(self._log_odds_at(x)[0]), dtype=np.float64)

    def _ppf(self, q: FloatArray) -> FloatArray:
        """Newton's method for ℓ in t; beyond the nodes ℓ is linear in z."""
        values, spline, slope = self._log_odds
        target = np.log(q) - np.log1p(-q)
        t = np.interp(target, values, self.t)
        for _ in range(3):
            t = np.clip(t + (target - spline(t)) / slope(t), self.t[0], self.t[-1])
        beyond = target - np.clip(target, values[0], values[-1])
        with np.errstate(over="ignore", invalid="ignore"):
            step = np.where(beyond == 0.0, 0.0, beyond / slope(t) * np.exp(self.stretch.log_slope(t)))
        return self._from_z(self.stretch.z(t) + step)

    @property
    def _pdf_at_ends(self) -> tuple[float, float]:
        if not self.is_logarithm or self.exponent > 1.0:
            return 0.0, 0.0
        if self.exponent < 1.0:
            return math.inf, 0.0
        return float(np.exp(self._log_odds[0][:1] - self.stretch.z(self.t[:1]))[0]), 0.0


def zoom(
    function: Callable[[FloatArray], FloatArray], low: FloatArray, high: FloatArray, reach: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The intervals, in [low, high] row by row, where a function is within `reach` of its maximum; the maxima.

    By closing in on a grid. A maximum of the grid stays while its peak might rise, unseen, by as much as the function
    changes between neighbours.
    """
    row = np.arange(len(low))
    for _ in range(_ZOOMS):
        x = np.linspace(low, high, _SCAN, axis=1)
        values = np.fmax(function(x), -1e300)  # nan is as good as −inf
        change = np.abs(np.diff(values, axis=1))
        unseen = np.maximum(np.pad(change, ((0, 0), (1, 0))), np.pad(change, ((0, 0), (0, 1))))
        is_peak = np.pad((values[:, 1:-1] >= values[:, :-2]) & (values[:, 1:-1] >= values[:, 2:]), ((0, 0), (1, 1)))
        top = np.max(values, axis=1)
        kept = values + is_peak * unseen >= (top - reach)[:, None]
        first = np.maximum(np.argmax(kept, axis=1) - 1, 0)
        last = np.minimum(_SCAN - np.argmax(kept[:, ::-1], axis=1), _SCAN - 1)
        low, high = x[row, first], x[row, last]
        if np.all(last - first > 0.8 * _SCAN):
            break
    return low, high, top
