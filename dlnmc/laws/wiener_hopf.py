"""The equilibrium measure of the DLN on a half line, by the method of Wiener and Hopf.

In t = log y, y = σ², the law m(t) dt of y at equilibrium for E = ½ Tr WᵀW satisfies on its support

    y/(2κ) = PV ∫ φ(t − t') m(t') dt',   φ(τ) = c₁/(1 − e^{−τ}) + (c₂/N)/(1 − e^{−τ/N}),   c₁ = 1/(2κ),  c₂ = 1 − c₁,

the derivative of the condition of equilibrium. Let the support be (−∞, log y_max] and M(s) = E[y^s]. The two-sided
Laplace transform of the right-hand side, left of the edge and right of it, gives on the strip −1/N < Re s < 0

    K(s) M(s) = y_max^{s+1} / (2κ(s+1)) + y_max^s G(s),   K(s) = ∫ φ(τ) e^{−sτ}|_{s → −s} dτ = −π (c₁ cot πs + c₂ cot πNs),

with M analytic to the right of the strip and G to the left. Write K(s) = −π cot(πs) R(s),

    R(s) = c₁ + c₂ tan(πs) / tan(πNs) = 1 − c₂ sin(π(N−1)s) / (cos(πs) sin(πNs)),

even in s, positive on the imaginary axis, R → 1 exponentially along it; cot πs = Γ(s) Γ(1−s) / (Γ(½+s) Γ(½−s)).
So R = e^{r(s) + r(−s)}, where r is analytic for Re s > 0 and tends to 0 at infinity,

    r(s) = −(1/2πi) ∫_{−i∞}^{i∞} log R(w) / (w − s) dw.

The factors of M that are analytic on the right, the zero that a soft edge asks for (M ~ s^{−3/2}) and M(0) = 1 leave

    M(s) = y_max^s √R(0) Γ(s+½) / (√π Γ(s+2)) e^{−r(s)},   y_max = 4κ √R(0) e^{r(1)},

y_max from the pole at s = −1, which is equivalent to the first moment M(1) = κ R(0). For Re s < 0, r(s) = log R(s) − r(−s).
The singularities of M are the zeros −p of R with Re s < 0, c₂ = cos(πp) sin(πNp) / sin(π(N−1)p): the law of y behaves
as y^{p−1} dy at 0 for the smallest p, the hard edge. For N ≥ 2 that p is real and the law positive iff κ ≥ ½; for
1 < N < 2, iff κ is at least `critical_kappa`. Below, see `dlnmc.laws.gapped`.
(Method: Noble 1958, Methods based on the Wiener-Hopf technique.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar
from scipy.special import digamma, log1p, loggamma, zeta

from dlnmc.laws.base import FloatArray, check_depth

ComplexArray = NDArray[np.complex128]

_BLOCK = 1 << 15  # terms of a sum over nodes held at a time
_DEEP = 36.0  # e^{−36} is below rounding
_ORDERS = np.arange(2, 20)
# log(Γ(s+½)/(√π Γ(s+2))) = Σ_k _SERIES[k] s^k
_SERIES = np.concatenate(
    [
        [0.0, float(digamma(0.5) - digamma(2.0))],
        (-1.0) ** _ORDERS / _ORDERS * ((2.0**_ORDERS - 2.0) * zeta(_ORDERS) + 1.0),
    ]
)
_SMALL = 1.0 / 16.0  # where the series is used: its ratio is 2s


def repulsion(kappa: float) -> float:
    """c₂ = 1 − 1/(2κ)."""
    return (2.0 * kappa - 1.0) / (2.0 * kappa)


@lru_cache(maxsize=256)
def critical_kappa(depth: float) -> float:
    """The κ below which the singular values keep away from 0 as d → ∞; the law of large width has a hard edge above.

    ½ for every depth N ≥ 2; for 1 ≤ N < 2, `1/(2(1+c))`, where c is the maximum of
    `−cos(πx) sin(πNx) / sin(π(N−1)x)` over ½ < x < 1/N, from 0 at N = 1 through 4/9 at N = 3/2 to ½.
    Raises ValueError unless 1 ≤ depth ≤ inf.
    """
    N = check_depth(depth)
    if N >= 2.0:
        return 0.5
    return 0.0 if N == 1.0 else 0.5 / (1.0 - _minus_c2(N, _turning_point(N)))


def _minus_c2(N: float, x: float) -> float:
    return math.sin(math.pi * (0.5 - x)) * math.sin(math.pi * N * x) / math.sin(math.pi * (N - 1.0) * x)


@lru_cache(maxsize=256)
def _turning_point(N: float) -> float:
    """Where the two smallest zeros p merge, in (½, 1/N), as c₂ falls; ½ for N ≥ 2."""
    if N >= 2.0 or N == 1.0:
        return 0.5
    span = 1.0 / N - 0.5
    found = minimize_scalar(
        lambda u: _minus_c2(N, 0.5 + span * u), bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-10}
    )
    return 0.5 + span * float(found.x)


def decay(depth: float, kappa: float) -> float:
    """The smallest zero p of R(−p), 0 at infinite depth; below `critical_kappa`, where it is complex, near its real part."""
    N, c2 = depth, repulsion(kappa)
    if math.isinf(N):
        return 0.0

    def excess(p: float) -> float:
        return c2 * math.sin(math.pi * (N - 1.0) * p) - math.sin(math.pi * (0.5 - p)) * math.sin(math.pi * N * p)

    high = _turning_point(N) if c2 < 0.0 else min(0.5, 1.0 / N)
    if excess(high) <= 0.0:
        return high
    return float(brentq(excess, 0.25 / N, high, xtol=1e-300))
