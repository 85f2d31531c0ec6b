"""Local statistics of the random matrix classes: ratios of spacings, unfolded spacings, number variance.

β is the repulsion exponent here: 1, 2, 4 for the orthogonal, unitary and symplectic class. The singular values of the
DLN repel with exponent 1, the eigenvalues of Dyson Brownian motion with 2/κ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import overload

import numpy as np
import scipy

from dlnmc.errors import InvalidValue
from dlnmc.laws.base import FloatArray, Law, Values, check_positive
from dlnmc.laws.chi import Chi

_MEAN_RATIO = {0: 2.0 * math.log(2.0) - 1.0, 1: 0.5307, 2: 0.5996, 4: 0.6744}
_NODES = 64


def mean_spacing_ratio(beta: int) -> float:
    """E[min(s_n, s_{n+1}) / max(s_n, s_{n+1})] of neighbouring spacings deep in the bulk as the size → ∞.

    0.5307, 0.5996, 0.6744 for β = 1, 2, 4, each ± 1e-4: simulations of size 1000 by Atas, Bogomolny, Giraud and
    Roux 2013, Table I. β = 0 stands for independent levels, 2 log 2 − 1 exactly. The surmise of 3×3 matrices is
    another number: `SpacingRatioSurmise(beta).mean()` = 0.5359, 0.6027, 0.6762.
    Raises ValueError unless β is 0, 1, 2 or 4.
    """
    if beta not in _MEAN_RATIO:
        raise InvalidValue(f"beta must be 0, 1, 2 or 4 for a mean spacing ratio, got {beta!r}")
    return _MEAN_RATIO[beta]


@dataclass(frozen=True)
class SpacingRatioSurmise(Law):
    """Law of min(s_1, s_2) / max(s_1, s_2) for the spacings of a 3×3 matrix, real repulsion exponent β > 0.

    Density `∝ (r + r²)^β / (1 + r + r²)^{1+3β/2}` on [0, 1] (Atas, Bogomolny, Giraud and Roux 2013, eq. 7). With
    r + ½ = (√3/2) tan θ it is `∝ sin^β φ dφ`, φ = 3θ − π/2 ∈ [0, π/2], so that sin²φ has the Beta law of
    exponents (β+1)/2 and ½. Raises ValueError unless 0 < β < ∞.
    """

    beta: float

    def __post_init__(self) -> None:
        check_positive("beta", self.beta)

    @property
    def support(self) -> tuple[float, float]:
        """The ends (low, high) of the support."""
        return 0.0, 1.0

    @property
    def _log_norm(self) -> float:
        """The logarithm of ∫ sin^β φ dφ = B((β+1)/2, ½) / 2."""
        b = self.beta
        return (
            float(scipy.special.gammaln((b + 1.0) / 2.0) - scipy.special.gammaln(b / 2.0 + 1.0))
            + 0.5 * math.log(math.pi)
            - math.log(2.0)
        )

    def moment(self, k: float) -> float:
        """E[r^k] for real k, by Gauss–Jacobi quadrature in φ; inf for k ≤ −1 − β."""
        power = self.beta + k
        if power <= -1.0:
            return math.inf
        x, w = scipy.special.roots_jacobi(_NODES, 0.0, power)
        phi = np.pi / 4.0 * (1.0 + x)
        smooth = (np.sin(phi) / phi) ** self.beta * (_ratio(phi) / phi) ** k
        return float(np.sum(w * smooth)) * math.exp((power + 1.0) * math.log(math.pi / 4.0) - self._log_norm)

    def _pdf(self, x: FloatArray) -> FloatArray:
        with np.errstate(under="ignore"):
            shape = _sine(x) ** self.beta / (1.0 + x + x * x)
        return 1.5 * math.sqrt(3.0) * math.exp(-self._log_norm) * shape

    def _cdf(self, x: FloatArray) -> FloatArray:
        a, sine, cosine = (self.beta + 1.0) / 2.0, _sine(x), _cosine(x)
        below = scipy.special.betainc(a, 0.5, np.minimum(sine * sine, 0.5))
        above = scipy.special.betaincc(0.5, a, np.minimum(cosine * cosine, 0.5))
        return np.where(sine < cosine, below, above)

    def _ppf(self, q: FloatArray) -> FloatArray:
        a = (self.beta + 1.0) / 2.0
        return _ratio(
            np.arctan2(np.sqrt(scipy.special.betaincinv(a, 0.5, q)), np.sqrt(scipy.special.betainccinv(0.5, a, q)))
        )

    @property
    def _pdf_at_ends(self) -> tuple[float, float]:
        return 0.0, math.sqrt(3.0) / 2.0 * math.exp(-self._log_norm)


def _sine(r: FloatArray) -> FloatArray:
    """The function sin φ of r."""
    return 1.5 * math.sqrt(3.0) * r * (1.0 + r) / (1.0 + r + r * r) ** 1.5


def _cosine(r: FloatArray) -> FloatArray:
    """The function cos φ of r."""
    return (0.5 + r) * (1.0 - r) * (2.0 + r) / (1.0 + r + r * r) ** 1.5


def _ratio(phi: FloatArray) -> FloatArray:
    """The function r of φ: (√3/2) tan(φ/3 + π/6) − ½, without cancellation."""
    t = np.tan(phi / 3.0)
    return 2.0 * t / (math.sqrt(3.0) - t)


def wigner_surmise(beta: float) -> Chi:
    """The law `∝ s^β e^{−bs²}` of mean 1, exact for the spacing of 2×2 matrices (Wigner 1957; Mehta 2004, 1.5).

    In the bulk of large matrices it is an approximation, good to a few percent. Raises ValueError unless 0 < β < ∞.
    """
    n = check_positive("beta", beta) + 1.0
    return Chi(
        n, math.exp(float(scipy.special.gammaln(n / 2.0) - scipy.special.gammaln((n + 1.0) / 2.0))) / math.sqrt(2.0)
    )


@overload
def number_variance(L: float, beta: int) -> float: ...
@overload
def number_variance(L: Values, beta: int) -> FloatArray: ...
def number_variance(L: float | Values, beta: int) -> float | FloatArray:
    """Σ²(L), the variance of the number of unfolded levels (mean spacing 1) in an interval of length L ≥ 0.

    The limit of infinite size, exact at every L (Mehta 2004, Random matrices, section 16.1), by sine and cosine
    integrals. As L → ∞: (2/π²)(log 2πL + γ + 1 − π²/8), (1/π²)(log 2πL + γ + 1) and
    (1/2π²)(log 4πL + γ + 1 + π²/8) for β = 1, 2, 4. β = 0: independent levels, L.
    The shape is that of L. Raises ValueError for another β, and for L negative, infinite or nan.
    """
    lengths = np.asarray(L, dtype=np.float64)
    bad = lengths[~((lengths >= 0.0) & (lengths < math.inf))]
    if bad.size:
        raise InvalidValue(f"L must be a finite number >= 0, got {float(bad.flat[0])!r}")
    if beta not in (0, 1, 2, 4):
        raise InvalidValue(f"beta must be 0, 1, 2 or 4 for a number variance, got {beta!r}")
    if beta == 0:
        variance = lengths.copy()
    elif beta == 1:
        half = scipy.special.sici(np.pi * lengths)[0] / np.pi
        variance = 2.0 * _unitary(lengths) + half * half - half
    elif beta == 2:
        variance = _unitary(lengths)
    else:
        variance = _unitary(2.0 * lengths) / 2.0 + (scipy.special.sici(2.0 * np.pi * lengths)[0] / (2.0 * np.pi)) ** 2
    return float(variance) if lengths.ndim == 0 else variance


def _unitary(L: FloatArray) -> FloatArray:
    z = 2.0 * np.pi * L
    sine, cosine = scipy.special.sici(np.maximum(z, np.finfo(np.float64).tiny))
    logarithm = np.log(np.maximum(z, np.finfo(np.float64).tiny)) + np.euler_gamma - cosine
    return np.asarray((logarithm + 1.0 - np.cos(z)) / np.pi**2 + L * (1.0 - 2.0 / np.pi * sine), dtype=np.float64)
