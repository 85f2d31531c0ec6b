"""The Gamma law: squared norms of everything Gaussian, and the trace of the DLN."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy

from dlnmc.laws.base import FloatArray, Law, check_positive


@dataclass(frozen=True)
class Gamma(Law):
    """Law with density `x^{a−1} e^{−x/c} / (Γ(a) c^a)` on [0, ∞), a = shape, c = scale (in the units of x).

    Source: any text, e.g. Feller 1971, An introduction to probability theory II, section II.2.
    Raises ValueError unless both are positive and finite.
    """

    shape: float
    scale: float

    def __post_init__(self) -> None:
        check_positive("shape", self.shape)
        check_positive("scale", self.scale)

    @property
    def support(self) -> tuple[float, float]:
        """The ends (low, high) of the support."""
        return 0.0, math.inf

    def moment(self, k: float) -> float:
        """E[X^k] = c^k Γ(a+k) / Γ(a) for real k; inf for k ≤ −a."""
        a, c = self.shape, self.scale
        if k <= -a:
            return math.inf
        return float(c**k * scipy.special.poch(a, k))

    def mean(self) -> float:
        """E[X] = a c."""
        return self.shape * self.scale

    def var(self) -> float:
        """E[X²] − E[X]² = a c²."""
        return self.shape * self.scale**2

    def _pdf(self, x: FloatArray) -> FloatArray:
        a, z = self.shape, x / self.scale
        with np.errstate(over="ignore", under="ignore"):
            log_power = np.asarray(scipy.special.xlogy(a - 1.0, z), dtype=np.float64)
            return np.exp(log_power - z - float(scipy.special.gammaln(a))) / self.scale

    def _cdf(self, x: FloatArray) -> FloatArray:
        return np.asarray(scipy.special.gammainc(self.shape, x / self.scale), dtype=np.float64)

    def _ppf(self, q: FloatArray) -> FloatArray:
        return np.asarray(scipy.special.gammaincinv(self.shape, q), dtype=np.float64) * self.scale

    @property
    def _pdf_at_ends(self) -> tuple[float, float]:
        if self.shape == 1.0:
            return 1.0 / self.scale, 0.0
        return math.inf if self.shape < 1.0 else 0.0, 0.0
