"""Where the upper edge of the DLN lies at finite width: the correction of order 1/d to the law for d → ∞."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.polynomial import Chebyshev
from numpy.polynomial.legendre import leggauss

from dlnmc.errors import InvalidValue
from dlnmc.laws.base import FloatArray, SingularValueLaw, check_depth, check_positive
from dlnmc.laws.registry import singular_values
from dlnmc.laws.wiener_hopf import critical_kappa

_NEAR = 0.6  # √δ up to which the density is √δ times a polynomial in δ
_FAR = np.geomspace(_NEAR**2, 1e3, 24)  # ends of the panels beyond, in δ
_DEGREE = 40
_POINTS, _WEIGHTS = leggauss(60)


@lru_cache(maxsize=256)
def edge_shift(depth: float, kappa: float = 1.0) -> float:
    """The c of `y_max (1 + c/d)`, the upper edge of y = σ²β/d at width d for E = ½ Tr WᵀW, up to O(d^{−4/3}).

    Centred there σ_max approaches its limit law like d^{−2/3}, without a term of order d^{−1/3}. In t = log y the
    potential of the equilibrium measure (`dlnmc.laws.wiener_hopf`) has at order 1/d the correction

        ½ log m(t) + ½ R(0) t − t/(2N),   R(0) = c₁ + c₂/N,

    for entropy, the self-energy that n(n−1)/2 pairs lack, and the volume dλ; m is the density of t. The response of the
    edge to it, by the same factorisation, is

        c = I/(2R(0)) − ½ + 1/(2N R(0)),   I = finite part of ∫ m'(t)²/m(t) dt

    (Hadamard's: the integral diverges at the edge like δ^{−1/2}). At N = 1 I = −1 and c = −½; at κ = ½ c = 1/(2N) − 1:
    both as for Wishart matrices (Johnstone 2001, On the distribution of the largest eigenvalue in principal components
    analysis). Elsewhere derived here, not proved. Raises ValueError where a gap is open, κ < `critical_kappa(depth)`.

    See docs/mathematics.md, "Every depth and every κ".
    """
    N, kappa = check_depth(depth), check_positive("kappa", kappa)
    if kappa < critical_kappa(N):
        raise InvalidValue(
            f"kappa = {kappa!r}: the shift of the edge is known from {critical_kappa(N):.6g} on at depth {N:g}"
        )
    c = 0.5 / kappa
    R = c + (1.0 - c) / N
    return float(_information(singular_values(N, kappa)) / (2.0 * R) - 0.5 + 0.5 / (N * R))


def _information(law: SingularValueLaw) -> float:
    """The finite part of ∫ m'²/m dδ over δ = log(y_max/y) > 0."""

    def m(delta: FloatArray) -> FloatArray:
        sigma = law.support[1] * np.exp(-0.5 * delta)
        return 0.5 * sigma * law.pdf(sigma)

    # Near the edge m = √δ p(δ), and with w = √δ the integrand is p/(2w²) + 2p' + 2w²p'²/p in w.
    p = Chebyshev.interpolate(lambda delta: m(delta) / np.sqrt(delta), _DEGREE, domain=[0.0, _NEAR**2])
    w = 0.5 * _NEAR * (_POINTS + 1.0)
    P, slope = p(w * w), p.deriv()(w * w)
    regular = (P - p(0.0)) / (2.0 * w * w) + 2.0 * slope + 2.0 * w * w * slope**2 / P
    total = 0.5 * _NEAR * float(_WEIGHTS @ regular) - float(p(0.0)) / (2.0 * _NEAR)
    for low, high in pairwise(_FAR):
        log_m = Chebyshev.interpolate(
            lambda delta: np.log(np.maximum(m(delta), np.finfo(np.float64).tiny)), 24, domain=[low, high]
        )
        delta = 0.5 * (low + high) + 0.5 * (high - low) * _POINTS
        total += 0.5 * (high - low) * float(_WEIGHTS @ (np.exp(log_m(delta)) * log_m.deriv()(delta) ** 2))
    return total
