"""Edelman's laws of the smallest singular value of a real Gaussian matrix: the DLN at depth 1."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy

from dlnmc.errors import InvalidValue
from dlnmc.laws.base import FloatArray, Law
from dlnmc.laws.gamma import Gamma

_STEP = 1.0 / 4.0
_NEGLIGIBLE = 1e-18  # relative weight


def smallest_singular_value(width: int | None = None) -> Law:
    """The law of t = d σ_min² for a d×d matrix of independent standard Gaussian entries; None: d → ∞.

    `laws.at_hard_edge` scales a DLN of depth 1 so. Raises ValueError unless the width is a whole number ≥ 1.

    See docs/mathematics.md, "Laws".
    """
    if width is None:
        return SmallestSingularValue()
    if width < 1 or width != int(width):
        raise InvalidValue(f"width must be a whole number >= 1, got {width!r}")
    return Gamma(0.5, 2.0) if width == 1 else SmallestSingularValueOfWidth(int(width))


@dataclass(frozen=True)
class SmallestSingularValue(Law):
    """Law with cdf `1 − e^{−t/2−√t}` on [0, ∞): that of t = d σ_min² as d → ∞ (Edelman 1988)."""

    @property
    def support(self) -> tuple[float, float]:
        """The ends (low, high) of the support."""
        return 0.0, math.inf

    def moment(self, k: float) -> float:
        """E[t^k] = Γ(2k+1) e^{1/4} D_{−2k}(1), D a parabolic cylinder function, for real k; inf for k ≤ −½.

        The relative error is below 1e-13 for k ≤ 5 and 1e-9 for k ≤ 40.
        """
        if k <= -0.5:
            return math.inf
        return math.exp(float(scipy.special.gammaln(2.0 * k + 1.0)) + 0.25) * float(
            scipy.special.pbdv(-2.0 * k, 1.0)[0]
        )

    def _pdf(self, x: FloatArray) -> FloatArray:
        u = np.sqrt(x)
        with np.errstate(over="ignore", under="ignore"):
            return (u + 1.0) / (2.0 * u) * np.exp(-x / 2.0 - u)

    def _cdf(self, x: FloatArray) -> FloatArray:
        return -np.expm1(-x / 2.0 - np.sqrt(x))

    def _ppf(self, q: FloatArray) -> FloatArray:
        return _root_of_quantile(q) ** 2

    @property
    def _pdf_at_ends(self) -> tuple[float, float]:
        return math.inf, 0.0


@dataclass(frozen=True)
class SmallestSingularValueOfWidth(Law):
    """Law of t = d σ_min² at width d ≥ 2.

    Its density is `∝ t^{−1/2} e^{−t/2} U((d−1)/2, −½, t/(2d))`, U Tricomi's function (Edelman 1988). The integral
    of U makes it a mixture of Gamma laws of shape ½: with `x = 1/(1 + e^{−v})`,

        rate (1 + e^v/d)/2,   weight ∝ x^{(d−1)/2} (1−x)² (d(1−x) + x)^{−1/2} dv,

    and the trapezoidal rule in v is exact to rounding.
    """

    width: int

    @property
    def support(self) -> tuple[float, float]:
        """The ends (low, high) of the support."""
        return 0.0, math.inf

    @cached_property
    def _mixture(self) -> tuple[FloatArray, FloatArray]:
        """Square roots of the rates, and weights of sum 1."""
        d = self.width
        v = np.arange(-100.0, math.log(d) + 40.0, _STEP)
        x, z = scipy.special.expit(v), scipy.special.expit(-v)
        log_weight = (1 - d) / 2.0 * np.logaddexp(0.0, -v) + 2.0 * np.log(z) - 0.5 * np.log(d * z + x)
        weight = np.exp(log_weight - np.max(log_weight))
        kept = weight > _NEGLIGIBLE
        return np.sqrt(0.5 + np.exp(v[kept]) / (2.0 * d)), weight[kept] / np.sum(weight[kept])

    def moment(self, k: float) -> float:
        """E[t^k] for real k; inf for k ≤ −½."""
        if k <= -0.5:
            return math.inf
        root_rate, weight = self._mixture
        return math.exp(float(scipy.special.gammaln(k + 0.5) - scipy.special.gammaln(0.5))) * float(
            np.sum(weight * root_rate ** (-2.0 * k))
        )

    def _pdf(self, x: FloatArray) -> FloatArray:
        u = np.sqrt(x)
        return self._density_of_root(u) / (2.0 * u)

    def _cdf(self, x: FloatArray) -> FloatArray:
        return self._cdf_of_root(np.sqrt(x))

    def _ppf(self, q: FloatArray) -> FloatArray:
        """Newton's method for log(1 − F) in √t, from the limit of infinite width."""
        root_rate, weight = self._mixture
        u, target = _root_of_quantile(q), np.log1p(-q)
        for _ in range(6):
            above = scipy.special.erfc(np.multiply.outer(u, root_rate)) @ weight
            log_above = np.where(above < 0.5, np.log(above), np.log1p(-self._cdf_of_root(u)))
            u = u + (log_above - target) * above / self._density_of_root(u)
        return u * u

    def _density_of_root(self, u: FloatArray) -> FloatArray:
        root_rate, weight = self._mixture
        with np.errstate(over="ignore", under="ignore"):
            parts = np.exp(-(np.multiply.outer(u, root_rate) ** 2))
            return np.asarray(parts @ (2.0 / math.sqrt(math.pi) * weight * root_rate), dtype=np.float64)

    def _cdf_of_root(self, u: FloatArray) -> FloatArray:
        root_rate, weight = self._mixture
        return np.asarray(scipy.special.erf(np.multiply.outer(u, root_rate)) @ weight, dtype=np.float64)

    @property
    def _pdf_at_ends(self) -> tuple[float, float]:
        return math.inf, 0.0


def _root_of_quantile(q: FloatArray) -> FloatArray:
    """The u = √t with u²/2 + u = −log(1 − q)."""
    w = -np.log1p(-q)
    return 2.0 * w / (1.0 + np.sqrt(1.0 + 2.0 * w))
