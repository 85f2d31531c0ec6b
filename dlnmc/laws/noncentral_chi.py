"""The noncentral chi law: a Bessel process of real dimension that started away from 0."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import scipy
from numpy.polynomial import Polynomial

from dlnmc.laws.base import FloatArray, Law, check_positive
from dlnmc.laws.normal import Normal

_FAR = 1e4  # centre/scale beyond which the law is Gaussian: the cdf is off by 1e-12 n
_LARGE_ORDER, _TERMS = 30.0, 9
_SMALL_ARGUMENT = 1e-4
_AWAY = 12.0


@dataclass(frozen=True)
class NoncentralChi(Law):
    """Law of the norm r of n independent Gaussians of deviation c whose means have the norm ν, for real n.

    n = dimension, ν = centre, c = scale (both in the units of r). On [0, ∞) its density is

        (r/c²) (r/ν)^{n/2−1} e^{−(r²+ν²)/(2c²)} I_{n/2−1}(rν/c²),

    the transition density of a Bessel process from ν in a time c² (Revuz and Yor 1999, XI.1).
    Raises ValueError unless all three are > 0.
    """

    dimension: float
    centre: float
    scale: float

    def __post_init__(self) -> None:
        check_positive("dimension", self.dimension)
        check_positive("centre", self.centre)
        check_positive("scale", self.scale)

    @property
    def support(self) -> tuple[float, float]:
        """The ends (low, high) of the support."""
        return 0.0, math.inf

    @property
    def _noncentrality(self) -> float:
        return (self.centre / self.scale) ** 2

    @property
    def _limit(self) -> Normal | None:
        """The law of r far from 0, where r ≈ ν + cX + c²χ²/(2(ν + cX)), χ² of n − 1 degrees of freedom."""
        if self.centre <= _FAR * self.scale:
            return None
        shift = (self.dimension - 1.0) / (2.0 * self._noncentrality)
        return Normal(self.centre * (1.0 + shift), self.scale * (1.0 - shift / 2.0))

    def moment(self, k: float) -> float:
        """E[r^k] for real k; inf for k ≤ −n."""
        n, m = self.dimension, self._noncentrality / 2.0
        if k <= -n:
            return math.inf
        if self._is_away:
            r, weight = self._nodes
            return float(np.sum(weight * r**k))
        j = np.arange(200.0)  # a mixture of chi laws with Poisson's weights
        weight = np.exp(scipy.special.xlogy(j, m) - m - scipy.special.gammaln(j + 1.0))
        return float((math.sqrt(2.0) * self.scale) ** k * np.sum(weight * scipy.special.poch(n / 2.0 + j, k / 2.0)))

    def var(self) -> float:
        """E[(r − E[r])²]."""
        if self._is_away:
            r, weight = self._nodes
            return float(np.sum(weight * (r - np.sum(weight * r)) ** 2))
        return self.moment(2) - self.mean() ** 2

    @property
    def _is_away(self) -> bool:
        """Whether 0 is too far to matter for moments."""
        return self.centre > _AWAY * self.scale

    @cached_property
    def _nodes(self) -> tuple[FloatArray, FloatArray]:
        """Nodes and weights: the trapezoidal rule, exact to rounding since the density is almost Gaussian."""
        middle = math.hypot(self.centre, math.sqrt(self.dimension) * self.scale)
        r = middle + self.scale * np.arange(-_AWAY + 1.0, _AWAY, 0.25)
        weight = self.pdf(r)
        return r, weight / np.sum(weight)

    def _pdf(self, x: FloatArray) -> FloatArray:
        if self._limit:
            return self._limit.pdf(x)
        a, order = self.centre / self.scale, self.dimension / 2.0 - 1.0
        with np.errstate(under="ignore", over="ignore"):
            r = np.clip(x / self.scale, 1e-300, a + math.sqrt(self.dimension) + 100.0)  # the density is 0 beyond
            log_power = np.log(r) + order * (np.log(r) - math.log(a))
            return np.exp(log_power - (r - a) ** 2 / 2.0 + _log_bessel(order, r * a)) / self.scale

    def _cdf(self, x: FloatArray) -> FloatArray:
        if self._limit:
            return self._limit.cdf(x)
        with np.errstate(under="ignore", over="ignore"):
            square = np.minimum((x / self.scale) ** 2, 1e300)
            return np.asarray(scipy.special.chndtr(square, self.dimension, self._noncentrality), dtype=np.float64)

    def _ppf(self, q: FloatArray) -> FloatArray:
        if self._limit:
            return self._limit.ppf(q)
        return self.scale * np.sqrt(scipy.special.chndtrix(q, self.dimension, self._noncentrality))

    @property
    def _pdf_at_ends(self) -> tuple[float, float]:
        if self.dimension == 1.0:
            at_zero = math.exp(-self._noncentrality / 2.0) * math.sqrt(2.0 / math.pi) / self.scale
        else:
            at_zero = math.inf if self.dimension < 1.0 else 0.0
        return at_zero, 0.0


def _log_bessel(order: float, z: FloatArray) -> FloatArray:
    """The logarithm of e^{−z} I_order(z), also where that underflows."""
    z = np.maximum(z, np.finfo(np.float64).tiny)
    if order >= _LARGE_ORDER:
        root = np.hypot(order, z)
        sum_ = np.sum([u(order / root) / order**k for k, u in enumerate(_debye())], axis=0)
        exponent = order**2 / (root + z) + order * np.log(z / (order + root))
        return np.asarray(exponent + np.log(sum_ / np.sqrt(2.0 * np.pi * root)), dtype=np.float64)
    small = order * np.log(z / 2.0) - float(scipy.special.gammaln(order + 1.0)) + z * (z / (4.0 * (order + 1.0)) - 1.0)
    return np.where(z < _SMALL_ARGUMENT, small, np.log(scipy.special.ive(order, np.maximum(z, _SMALL_ARGUMENT))))


@cache
def _debye() -> tuple[Polynomial, ...]:
    """The polynomials U_k of Debye's expansion of Bessel functions of large order (Olver 1974, 10.7)."""
    p, u = Polynomial([0.0, 1.0]), [Polynomial([1.0])]
    for _ in range(1, _TERMS):
        u.append(p**2 * (1.0 - p**2) * u[-1].deriv() / 2.0 + ((1.0 - 5.0 * p**2) * u[-1]).integ() / 8.0)
    return tuple(u)
