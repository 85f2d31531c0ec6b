"""The law of the eigenvalues of Dyson Brownian motion in a quartic potential."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dlnmc.errors import InvalidValue
from dlnmc.laws.base import FloatArray, Law, check_positive

_HALVINGS = 60


@dataclass(frozen=True)
class Quartic(Law):
    """Law with density `(μ + 2ga² + gx²) √(4a² − x²) / (2π)`, μa² + 3ga⁴ = 1 (Brézin, Itzykson, Parisi, Zuber 1978).

    For every κ it is the law of x·√(β/d) as d → ∞ at equilibrium of (11.8) with V = μx²/2 + g (β/d) x⁴/4, so that at
    β = d the potential is μx²/2 + gx⁴/4. Raises ValueError unless 0 < g < ∞ and μ ≥ −2√g, where there is one interval.

    See docs/mathematics.md, "Laws".
    """

    g: float = 1.0
    mu: float = 0.0

    def __post_init__(self) -> None:
        check_positive("g", self.g)
        if not -2.0 * math.sqrt(self.g) <= self.mu < math.inf:
            least = -2.0 * math.sqrt(self.g)
            raise InvalidValue(f"mu must be a finite number >= -2 sqrt(g) = {least:g}, got {self.mu!r}")

    @property
    def _a2(self) -> float:
        """The square of a: the root of 3ga⁴ + μa² = 1."""
        return 2.0 / (self.mu + math.sqrt(self.mu * self.mu + 12.0 * self.g))

    @property
    def support(self) -> tuple[float, float]:
        """The ends (low, high) of the support."""
        high = 2.0 * math.sqrt(self._a2)
        return -high, high

    def moment(self, k: float) -> float:
        """E[x^k] for a whole number k ≥ 0, by Catalan's numbers."""
        if k < 0 or k != int(k):
            raise InvalidValue(f"a moment of a quartic's law needs a whole number >= 0, got {k!r}")
        if k % 2:
            return 0.0
        m, a2 = int(k) // 2, self._a2
        # ∫ x^{2m} √(4a²−x²)/(2π) dx = a^{2m+2} C_m
        first, second = (a2 ** (j + 1) * math.comb(2 * j, j) / (j + 1) for j in (m, m + 1))
        return (self.mu + 2.0 * self.g * a2) * first + self.g * second

    def _pdf(self, x: FloatArray) -> FloatArray:
        a2 = self._a2
        root = np.sqrt(np.maximum(4.0 * a2 - x * x, 0.0))
        return (self.mu + 2.0 * self.g * a2 + self.g * x * x) * root / (2.0 * math.pi)

    def _cdf(self, x: FloatArray) -> FloatArray:
        """With x = 2a sin θ."""
        a2 = self._a2
        theta = np.arcsin(np.clip(x / (2.0 * math.sqrt(a2)), -1.0, 1.0))
        quadratic = (self.mu + 2.0 * self.g * a2) * (theta / 2.0 + np.sin(2.0 * theta) / 4.0)
        quartic = 4.0 * self.g * a2 * (theta / 8.0 - np.sin(4.0 * theta) / 32.0)
        return np.asarray(0.5 + 2.0 * a2 / math.pi * (quadratic + quartic))

    def _ppf(self, q: FloatArray) -> FloatArray:
        low, high = (np.full(q.shape, end) for end in self.support)
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            below = self._cdf(middle) < q
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.asarray(0.5 * (low + high))

    @property
    def _pdf_at_ends(self) -> tuple[float, float]:
        return 0.0, 0.0
