"""The semicircle law of the DLN at κ = 1 and infinite depth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy

from dlnmc.laws.base import FloatArray
from dlnmc.laws.parametric import ParametricLaw, sine


@dataclass(frozen=True)
class DykemaHaagerup(ParametricLaw):
    """Law of σ·√(β/d) at equilibrium for E = ½ Tr WᵀW and κ = 1, when first d → ∞ and then the depth N → ∞.

    (At κ = 1 no equilibrium exists at infinite depth and finite d; the limits do not commute.)
    y = σ² has moments `E[y^m] = m^m / Γ(m+2)`, support `[0, e]` and, for 0 < v < π, density in y

        y = (sin v / v) e^{v cot v},   ρ = (1/π) sin v e^{−v cot v}

    (Dykema and Haagerup 2004, DT-operators and decomposability of Voiculescu's circular operator).
    In the angle `s = π − v`, with `a = sin v / v`: `cdf = (s + a sin s) / π`, `pdf = 2 a sin s / (πσ)`.
    Near 0 the cdf behaves as 1/|log y|, so that σ underflows below probability 7e-4: see `log_ppf`.

    See docs/mathematics.md, "Fuss–Catalan in closed form".
    """

    @property
    def _weight(self) -> float:
        return 1.0

    @property
    def _log_y_max(self) -> float:
        return 1.0

    def moment(self, k: float) -> float:
        """E[σ^k] for real k; inf for k < 0."""
        m = k / 2.0
        if m <= 0.0:
            return 1.0 if m == 0.0 else math.inf
        return math.exp(m * math.log(m) - float(scipy.special.gammaln(m + 2.0)))

    def _log_y(self, s: FloatArray, v: FloatArray) -> FloatArray:
        sin_v = sine(s, v)
        return v * (np.cos(v) / sin_v) + np.log(sin_v / v)

    def _a(self, s: FloatArray, v: FloatArray) -> FloatArray:
        return sine(s, v) / v

    @property
    def _pdf_at_ends(self) -> tuple[float, float]:
        return math.inf, 0.0
