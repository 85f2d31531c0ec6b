"""The semicircle law of the eigenvalues of Dyson Brownian motion."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dlnmc.errors import InvalidValue
from dlnmc.laws.base import FloatArray, Law, check_positive
from dlnmc.laws.quarter_circle import QuarterCircle


@dataclass(frozen=True)
class Semicircle(Law):
    """Law with density `2√(R²−x²) / (πR²)` on [−R, R] (Wigner 1955).

    For every κ it is the law of x·√(β/d) as d → ∞ for (11.8): with V = x²/2, `R = 2` at equilibrium and
    `R = 2√(1 − e^{−2t})` at time t after a start from 0; with V = 0, `R = 2√(2t)`.
    Raises ValueError unless 0 < radius < ∞.

    See docs/mathematics.md, "Laws".
    """

    radius: float = 2.0

    def __post_init__(self) -> None:
        check_positive("radius", self.radius)

    @property
    def support(self) -> tuple[float, float]:
        """The ends (low, high) of the support."""
        return -float(self.radius), float(self.radius)

    def moment(self, k: float) -> float:
        """E[x^k] for a whole number k ≥ 0: (R/2)^k times the Catalan number of k/2, or 0 for odd k."""
        if k < 0 or k != int(k):
            raise InvalidValue(f"a moment of the semicircle needs a whole number >= 0, got {k!r}")
        return 0.0 if k % 2 else self._half.moment(k)

    def edge_constant(self) -> float:
        """A = (2/R)^{3/2}: the density is (A/π) √(R − x) at the upper edge, as in `SingularValueLaw.edge_constant`."""
        return math.pow(2.0 / self.radius, 1.5)

    @property
    def _half(self) -> QuarterCircle:
        return QuarterCircle(self.radius)

    def _pdf(self, x: FloatArray) -> FloatArray:
        return self._half.pdf(np.abs(x)) / 2.0

    def _cdf(self, x: FloatArray) -> FloatArray:
        t = x / self.radius
        return 0.5 + (np.arcsin(t) + t * np.sqrt((1.0 - t) * (1.0 + t))) / math.pi

    def _ppf(self, q: FloatArray) -> FloatArray:
        return np.sign(q - 0.5) * self._half.ppf(np.abs(2.0 * q - 1.0))

    @property
    def _pdf_at_ends(self) -> tuple[float, float]:
        return 0.0, 0.0
