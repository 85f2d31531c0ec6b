"""The Gaussian law of the centre of mass."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy

from dlnmc.errors import InvalidValue
from dlnmc.laws.base import FloatArray, Law, check_positive


@dataclass(frozen=True)
class Normal(Law):
    """Law with density `e^{−(x−μ)²/(2s²)} / (s√(2π))`, μ = centre, s = deviation (in the units of x).

    Source: any text, e.g. Feller 1971, An introduction to probability theory II, section II.4.
    Raises ValueError unless centre is finite and 0 < deviation < ∞.
    """

    centre: float
    deviation: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.centre):
            raise InvalidValue(f"centre must be a finite number, got {self.centre!r}")
        check_positive("deviation", self.deviation)

    @property
    def support(self) -> tuple[float, float]:
        """The ends (low, high) of the support."""
        return -math.inf, math.inf

    def moment(self, k: float) -> float:
        """E[x^k] for a whole number k ≥ 0, by E[x^{k+1}] = μ E[x^k] + k s² E[x^{k−1}]."""
        if k < 0 or k != int(k):
            raise InvalidValue(f"the order of a moment of a Gaussian must be a whole number >= 0, got {k!r}")
        before, now = 0.0, 1.0
        for j in range(int(k)):
            before, now = now, self.centre * now + j * self.deviation**2 * before
        return now

    def var(self) -> float:
        """The variance s²."""
        return self.deviation**2

    def _pdf(self, x: FloatArray) -> FloatArray:
        with np.errstate(under="ignore", over="ignore"):
            return np.exp(-(((x - self.centre) / self.deviation) ** 2) / 2.0) / (
                self.deviation * math.sqrt(2.0 * math.pi)
            )

    def _cdf(self, x: FloatArray) -> FloatArray:
        return np.asarray(scipy.special.ndtr((x - self.centre) / self.deviation), dtype=np.float64)

    def _ppf(self, q: FloatArray) -> FloatArray:
        return self.centre + self.deviation * np.asarray(scipy.special.ndtri(q), dtype=np.float64)

    @property
    def _pdf_at_ends(self) -> tuple[float, float]:
        return 0.0, 0.0
