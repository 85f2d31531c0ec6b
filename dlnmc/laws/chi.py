"""The chi law: a Bessel process of real dimension that started at 0."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy

from dlnmc.laws.base import FloatArray, Law, check_positive
from dlnmc.laws.gamma import Gamma


@dataclass(frozen=True)
class Chi(Law):
    """Law of √X, X ~ Gamma(n/2, 2c²): density `2 r^{n−1} e^{−r²/(2c²)} / (Γ(n/2) (2c²)^{n/2})` on [0, ∞).

    n = dimension (real), c = scale (the standard deviation of each of the n components, in the units of r).
    Source: Revuz and Yor 1999, Continuous martingales and Brownian motion, XI.1.
    Raises ValueError unless both are > 0.
    """

    dimension: float
    scale: float

    def __post_init__(self) -> None:
        check_positive("dimension", self.dimension)
        check_positive("scale", self.scale)

    @property
    def support(self) -> tuple[float, float]:
        """The ends (low, high) of the support."""
        return 0.0, math.inf

    @property
    def _square(self) -> Gamma:
        return Gamma(self.dimension / 2.0, 2.0 * self.scale**2)

    def moment(self, k: float) -> float:
        """E[r^k] for real k; inf for k ≤ −n."""
        return self._square.moment(k / 2.0)

    def _pdf(self, x: FloatArray) -> FloatArray:
        n, z = self.dimension, x / self.scale
        log_norm = (n / 2.0 - 1.0) * math.log(2.0) + float(scipy.special.gammaln(n / 2.0))
        with np.errstate(over="ignore", under="ignore"):
            log_power = np.asarray(scipy.special.xlogy(n - 1.0, z), dtype=np.float64)
            return np.exp(log_power - z * z / 2.0 - log_norm) / self.scale

    def _cdf(self, x: FloatArray) -> FloatArray:
        with np.errstate(over="ignore", under="ignore"):
            return self._square.cdf(x * x)

    def _ppf(self, q: FloatArray) -> FloatArray:
        return np.sqrt(self._square.ppf(q))

    @property
    def _pdf_at_ends(self) -> tuple[float, float]:
        if self.dimension == 1.0:
            return math.sqrt(2.0 / math.pi) / self.scale, 0.0
        return math.inf if self.dimension < 1.0 else 0.0, 0.0
