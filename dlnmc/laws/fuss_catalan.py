"""The semicircle law of the DLN at κ = 1 and finite depth: Fuss–Catalan with a real index."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dlnmc.errors import InvalidValue
from dlnmc.laws.base import FloatArray, check_depth
from dlnmc.laws.parametric import ParametricLaw, sine


@dataclass(frozen=True)
class FussCatalan(ParametricLaw):
    """Law of σ·√(β/d) as d → ∞ at equilibrium, for E = ½ Tr WᵀW, κ = 1 and any real depth 1 ≤ N < ∞.

    y = σ² has moments `E[y^m] = binom((N+1)m, m) / ((m+1) N^m)` and support `[0, (1+1/N)^{N+1}]`. With
    θ = 1/N, `x = (N y)^{1/N}` has the Fuss–Catalan (Raney) law of index θ (Forrester and Liu 2015, Raney
    distributions and random matrix theory; for the ensemble, Claeys and Romano 2014, Biorthogonal ensembles
    with two-particle interactions):

        x(φ) = sin^{θ+1}((θ+1)φ) / (sin φ sin^θ(θφ)),   ρ(φ) = sin²φ sin^{θ−1}(θφ) / (π sin^θ((θ+1)φ))

    Here, in the angle `s = π − (θ+1)φ`, with `δ = φ/N` and `u = π − φ = s + δ`:

        log y = −N log(sin u / sin s) + log(sin s / (N sin δ)),   a = sin u / (N sin δ),
        cdf = (s + a sin s) / π,   pdf = 2 a sin s / (πσ).

    The cdf is 1 + Im(θw − log(w−1))/π, from a primitive of the Stieltjes transform `w/x`, where
    `w^{θ+1} = x(w−1)`, `w = sin((θ+1)φ)/sin(θφ) e^{iφ}` and `arg(w−1) = (θ+1)φ`.
    Raises ValueError unless 1 ≤ depth < ∞.

    See docs/mathematics.md, "Fuss–Catalan in closed form".
    """

    depth: float

    def __post_init__(self) -> None:
        if math.isinf(check_depth(self.depth)):
            raise InvalidValue(f"depth must be finite for the Fuss-Catalan law, got {self.depth!r}")

    @property
    def _weight(self) -> float:
        return self.depth / (self.depth + 1.0)

    @property
    def _log_y_max(self) -> float:
        N = self.depth
        return (N + 1.0) * math.log1p(1.0 / N)

    def moment(self, k: float) -> float:
        """E[σ^k] for real k; inf for k ≤ −2/(N+1)."""
        N, m = self.depth, k / 2.0
        if (N + 1.0) * m <= -1.0:
            return math.inf
        log_ratio = _log_gamma_ratio(N * m + 1.0, m) if m > 0.0 else _log_gamma_difference(N * m + 1.0, m)
        return math.exp(log_ratio - math.lgamma(m + 2.0) - m * math.log(N))

    def _log_y(self, s: FloatArray, v: FloatArray) -> FloatArray:
        N = self.depth
        delta = v / (N + 1.0)
        sin_s, sin_delta = sine(s, v), np.sin(delta)
        # sin u / sin s = cos δ + cot s sin δ
        log_ratio = np.log1p(np.cos(s) / sin_s * sin_delta - 2.0 * np.sin(delta / 2.0) ** 2)
        return -N * log_ratio + np.log(sin_s / (N * sin_delta))

    def _a(self, s: FloatArray, v: FloatArray) -> FloatArray:
        N = self.depth
        delta = v / (N + 1.0)
        return sine(s + delta, N * delta) / (N * np.sin(delta))

    @property
    def _pdf_at_ends(self) -> tuple[float, float]:
        return 2.0 / math.pi if self.depth == 1.0 else math.inf, 0.0


def _log_gamma_ratio(a: float, m: float) -> float:
    """The difference log Γ(a+m) − log Γ(a), m > 0, precise also for large a (Stirling's series)."""
    if a < 32.0:
        return _log_gamma_difference(a, m)
    return (a + m - 0.5) * math.log1p(m / a) + m * (math.log(a) - 1.0) + _stirling(a + m) - _stirling(a)


def _log_gamma_difference(a: float, m: float) -> float:
    return math.lgamma(a + m) - math.lgamma(a)


def _stirling(z: float) -> float:
    return (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / (1260.0 * z * z)) / (z * z)) / z
