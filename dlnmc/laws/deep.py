"""The smallest singular value of networks of great depth: what becomes of it, by a Bessel process.

Once σ_d is much smaller than the others, its distance u in log σ from them repels in the equation for infinite depth as

    du = ((κ − ½)(d − 1)/β)/u dτ + √(2κ/β) dB,

which makes u√(β/2κ) a Bessel process of the dimension δ = 1 + (d − 1)(1 − 1/(2κ)). Its reversible density u^{δ−1} is
finite at infinity for δ < 0, that is κ < (d − 1)/(2d): there σ_d stays, and otherwise it is lost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy

from dlnmc.errors import InvalidValue
from dlnmc.laws.base import FloatArray, Law, Values, check_depth, check_positive

_POINTS = 8193
_NEAREST, _DECADES = -18.0, 40.0  # log u from where there is nothing below, and natural logarithms of what is beyond


def bessel_dimension(width: int, kappa: float) -> float:
    """The dimension δ = 1 + (d − 1)(1 − 1/(2κ)) of the distance of log σ_d from the others at infinite depth.

    See docs/mathematics.md, "Laws".
    """
    return width * (1.0 - threshold(width) / check_positive("kappa", kappa))  # which is 0 at the threshold


def threshold(width: int) -> float:
    """(d − 1)/(2d), where δ = 0: at infinite depth there is an equilibrium for κ below."""
    return (width - 1.0) / (2.0 * width)


@dataclass(frozen=True)
class Beta(Law):
    """Law with density `x^{a−1} (1−x)^{b−1} / B(a, b)` on [0, 1].

    Source: any text, e.g. Feller 1971, An introduction to probability theory II, section II.4.
    Raises ValueError unless both are positive and finite.
    """

    a: float
    b: float

    def __post_init__(self) -> None:
        check_positive("a", self.a)
        check_positive("b", self.b)

    @property
    def support(self) -> tuple[float, float]:
        """The ends (low, high) of the support."""
        return 0.0, 1.0

    def moment(self, k: float) -> float:
        """E[X^k] = B(a+k, b)/B(a, b) for real k; inf for k ≤ −a."""
        if k <= -self.a:
            return math.inf
        return math.exp(float(scipy.special.betaln(self.a + k, self.b) - scipy.special.betaln(self.a, self.b)))

    def _pdf(self, x: FloatArray) -> FloatArray:
        log_power = scipy.special.xlogy(self.a - 1.0, x) + scipy.special.xlog1py(self.b - 1.0, -x)
        return np.asarray(np.exp(log_power - scipy.special.betaln(self.a, self.b)), dtype=np.float64)

    def _cdf(self, x: FloatArray) -> FloatArray:
        return np.asarray(scipy.special.betainc(self.a, self.b, x), dtype=np.float64)

    def _ppf(self, q: FloatArray) -> FloatArray:
        return np.asarray(scipy.special.betaincinv(self.a, self.b, q), dtype=np.float64)

    @property
    def _pdf_at_ends(self) -> tuple[float, float]:
        return tuple(  # type: ignore[return-value]
            math.inf if own < 1.0 else 0.0 if own > 1.0 else other
            for own, other in ((self.a, self.b), (self.b, self.a))
        )


def smallest_of_deep(width: int, kappa: float) -> Beta:
    """The law of (σ_d/σ_1)^{2/N} at equilibrium as N → ∞ where σ_d is lost: Beta(½, δ).

    The density of λ_d with the others at distances O(1/N) from 1 is ∝ (1 − λ_d²)^{(d−1)(1−1/(2κ))}, the limit of that
    of section 4 of Menon's paper. Raises ValueError for κ ≤ (d − 1)/(2d), where (σ_d/σ_1)^{2/N} → 1.

    See docs/mathematics.md, "Laws".
    """
    delta = bessel_dimension(width, kappa)
    if delta <= 0.0:
        raise InvalidValue(f"kappa = {kappa!r}: only above {threshold(width):.6g} is the smallest singular value lost")
    return Beta(0.5, delta)


@dataclass(frozen=True)
class LogRatio:
    """The law of u = log(σ_1/σ_2) at equilibrium for E = ½ Tr WᵀW and d = 2, which does not depend on β.

    With c = 1/(2κ) and A the shape of the Gamma law of Tr WᵀW, integration over the size gives the density

        (1 − e^{−2u})^c (1 − e^{−2u/N})^{1−c} e^{−u/N} (1 + e^{−2u})^{−A},

    and (1 − e^{−2u})^c u^{1−c} (1 + e^{−2u})^{−A} at infinite depth, where it takes κ < ¼. Good to about 1e-8.

    See docs/mathematics.md, "Laws".
    """

    depth: float
    kappa: float

    def __post_init__(self) -> None:
        check_depth(self.depth)
        if check_positive("kappa", self.kappa) >= threshold(2) and math.isinf(self.depth):
            raise InvalidValue(f"no equilibrium at infinite depth unless kappa < {threshold(2)}, got {self.kappa!r}")

    def survival(self, u: float | Values) -> FloatArray:
        """P(log(σ_1/σ_2) > u)."""
        with np.errstate(divide="ignore"):
            log_u = np.log(np.maximum(np.asarray(u, dtype=np.float64), 0.0))
        low, high = self._table[0][[0, -1]]
        return np.where(log_u >= high, 0.0, self._survival(np.clip(log_u, low, high)))

    def median(self) -> float:
        """The u that is exceeded with probability ½."""
        low, high = self._table[0][[0, -1]]
        return math.exp(float(scipy.optimize.brentq(lambda log_u: float(self._survival(log_u)) - 0.5, low, high)))

    @cached_property
    def _survival(self) -> scipy.interpolate.PchipInterpolator:
        return scipy.interpolate.PchipInterpolator(*self._table)

    @cached_property
    def _table(self) -> tuple[FloatArray, FloatArray]:
        """Log u, and the probability beyond."""
        farthest = math.log(2.0 * _DECADES * self.depth) if math.isfinite(self.depth) else self._farthest_of_infinite
        log_u = np.linspace(_NEAREST, farthest, _POINTS)
        density = np.exp(self._log_density(np.exp(log_u)) + log_u)
        within = scipy.integrate.cumulative_simpson(density, x=log_u, initial=0.0)
        return log_u, 1.0 - within / within[-1]

    @property
    def _farthest_of_infinite(self) -> float:
        return _DECADES / -bessel_dimension(2, self.kappa)

    def _log_density(self, u: FloatArray) -> FloatArray:
        N, c = self.depth, 0.5 / self.kappa
        per_pair = c + (0.0 if math.isinf(N) else (1.0 - c) / N)
        shape = 1.0 / N + per_pair
        found = c * np.log(-np.expm1(-2.0 * u)) - shape * np.log1p(np.exp(-2.0 * u))
        if math.isinf(N):
            return np.asarray(found + (1.0 - c) * np.log(u))
        return np.asarray(found + (1.0 - c) * np.log(-np.expm1(-2.0 * u / N)) - u / N)
