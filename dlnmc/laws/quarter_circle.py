"""The quarter circle: the law of the singular values at depth 1, and at κ = ½ for every depth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dlnmc.laws.base import FloatArray, check_positive
from dlnmc.laws.parametric import ParametricLaw


@dataclass(frozen=True)
class QuarterCircle(ParametricLaw):
    """Law with density `4√(R²−σ²) / (πR²)` on [0, R] (Marchenko and Pastur 1967, square case, in σ).

    At equilibrium for E = ½ Tr WᵀW, as d → ∞, it is the law of σ·√(β/d) with `R = 2√κ` at depth 1 (W is a
    Gaussian matrix) and with `R = √2` at κ = ½ for every depth (the β-Laguerre ensemble).
    With `sin(s/2) = σ/R`: `cdf = (s + sin s) / π`. Raises ValueError unless 0 < radius < ∞.

    See docs/mathematics.md, "Laws".
    """

    radius: float = 2.0

    def __post_init__(self) -> None:
        check_positive("radius", self.radius)

    @property
    def support(self) -> tuple[float, float]:
        """The ends (low, high) of the support."""
        return 0.0, float(self.radius)

    @property
    def _weight(self) -> float:
        return 0.5

    @property
    def _log_y_max(self) -> float:
        return 2.0 * math.log(self.radius)

    def moment(self, k: float) -> float:
        """E[σ^k] = R^k (2/π) B((k+1)/2, 3/2) for real k; inf for k ≤ −1."""
        if k <= -1.0:
            return math.inf
        R, a = self.radius, (k + 1.0) / 2.0
        return float(R**k) * 2.0 / math.pi * math.exp(math.lgamma(a) + math.lgamma(1.5) - math.lgamma(a + 1.5))

    def _log_y(self, s: FloatArray, v: FloatArray) -> FloatArray:
        return self._log_y_max + 2.0 * np.log(np.sin(s / 2.0))

    def _a(self, s: FloatArray, v: FloatArray) -> FloatArray:
        return np.ones_like(s)

    def _pdf(self, x: FloatArray) -> FloatArray:
        R = self.radius
        return 4.0 / (np.pi * R) * np.sqrt((1.0 - x / R) * (1.0 + x / R))

    def _cdf(self, x: FloatArray) -> FloatArray:
        s = 2.0 * np.arcsin(x / self.radius)
        return (s + np.sin(s)) / np.pi

    @property
    def _pdf_at_ends(self) -> tuple[float, float]:
        return 4.0 / (math.pi * self.radius), 0.0
