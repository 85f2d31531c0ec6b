"""The equilibrium measure of the DLN on a half line, by the method of Wiener and Hopf.

In t = log y, y = σ², the law m(t) dt of y at equilibrium for E = ½ Tr WᵀW satisfies on its support

    y/(2κ) = PV ∫ φ(t − t') m(t') dt',   φ(τ) = c₁/(1 − e^{−τ}) + (c₂/N)/(1 − e^{−τ/N}),   c₁ = 1/(2κ),  c₂ = 1 − c₁,

the derivative of the condition that the free energy is least. Let the support be (−∞, log y_max], M(s) = E[y^s], and
y_max^s G(s) the transform of the right-hand side beyond log y_max. Times e^{st} and integrated, for −1/N < Re s < 0,

    K(s) M(s) = y_max^{s+1} / (2κ(s+1)) + y_max^s G(s),   K(s) = ∫ φ(τ) e^{sτ} dτ = −π (c₁ cot πs + c₂ cot πNs),

with M analytic on the right of the strip and G on its left. Write K(s) = −π cot(πs) R(s), where

    R(s) = c₁ + c₂ tan(πs) / tan(πNs),   cot πs = Γ(s) Γ(1−s) / (Γ(½+s) Γ(½−s)).

R is even, positive on the imaginary axis and tends to 1 exponentially along it, so that R = e^{r(s) + r(−s)} with

    r(s) = −(1/2πi) ∫_{−i∞}^{i∞} log R(w) / (w − s) dw   (Re s > 0; for Re s < 0, r(s) = log R(s) − r(−s)).

Then M y_max^{−s} Γ(s)/Γ(½+s) e^{r(s)} is analytic on the right but for s = 0, equals what is analytic on the left but
for s = −1, and falls as s^{−2}, since M ~ y_max^s s^{−3/2} at a soft edge: it is C/(s(s+1)). With M(0) = 1 and the
residue at s = −1,

    M(s) = y_max^s √R(0) Γ(s+½) / (√π Γ(s+2)) e^{−r(s)},   y_max = 4κ √R(0) e^{r(1)},   so that M(1) = κ R(0).

The singularities of M are the zeros −p of R with Re s < 0, where c₂ = cos(πp) sin(πNp) / sin(π(N−1)p). The smallest p
is the exponent of the hard edge, P(σ² < y) ~ y^p. For κ not less than `critical_kappa` it is real, and the law positive
(seen numerically). Below, a pair of zeros is complex or a residue negative, the density would be negative near 0, and
the support has a gap there instead: see `dlnmc.laws.gapped`. At infinite depth tan πNs → ±i for ±Im s > 0, and M has a
cut up to s = 0.
(Method: Noble 1958, Methods based on the Wiener-Hopf technique.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import scipy
from numpy.typing import NDArray

from dlnmc.laws.base import check_depth

ComplexArray = NDArray[np.complex128]

_BLOCK = 1 << 15  # terms of a sum over nodes held at a time
_DEEP = 36.0  # e^{−36} is below rounding
_ROUNDING = 1e-12  # of c₂
_SMALL = 1.0 / 16.0  # where the series of `_series` is used: its ratio is 2s


def repulsion(kappa: float) -> float:
    """c₂ = 1 − 1/(2κ)."""
    return (2.0 * kappa - 1.0) / (2.0 * kappa)


@lru_cache(maxsize=256)
def critical_kappa(depth: float) -> float:
    """The κ below which the singular values keep away from 0 as d → ∞; the law of large width has a hard edge above.

    ½ for every depth N ≥ 2; for 1 ≤ N < 2, `1/(2(1+c))`, where c is the maximum of
    `−cos(πx) sin(πNx) / sin(π(N−1)x)` over ½ < x < 1/N, from 0 at N = 1 through 4/9 at N = 3/2 to ½.
    Raises ValueError unless 1 ≤ depth ≤ inf.

    See docs/mathematics.md, "Every depth and every κ".
    """
    N = check_depth(depth)
    if N >= 2.0:
        return 0.5
    return 0.0 if N == 1.0 else 0.5 / (1.0 - _c2_of_zero(N, turning_point(N)))


def _c2_of_zero(N: float, x: float) -> float:
    """The c₂ for which R(−x) = 0."""
    return math.sin(math.pi * (0.5 - x)) * math.sin(math.pi * N * x) / math.sin(math.pi * (N - 1.0) * x)


@lru_cache(maxsize=256)
def turning_point(N: float) -> float:
    """Where the two smallest zeros p merge, in (½, 1/N), as c₂ falls; ½ for N ≥ 2."""
    if N >= 2.0 or N == 1.0:
        return 0.5
    span = 1.0 / N - 0.5
    found = scipy.optimize.minimize_scalar(
        lambda u: _c2_of_zero(N, 0.5 + span * u), bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-10}
    )
    return 0.5 + span * float(found.x)


@lru_cache(maxsize=1)
def _series() -> NDArray[np.float64]:
    """The coefficients of log(Γ(s+½)/(√π Γ(s+2))) in powers of s."""
    orders = np.arange(2, 20)
    first = float(scipy.special.digamma(0.5) - scipy.special.digamma(2.0))
    others = (-1.0) ** orders / orders * ((2.0**orders - 2.0) * scipy.special.zeta(orders) + 1.0)
    return np.concatenate([[0.0, first], others])


def decay(depth: float, kappa: float) -> float:
    """The smallest zero p of R(−p), 0 at infinite depth; below `critical_kappa` a number near its real part.

    Where c₂ is 0 up to rounding, ½: what the other zeros contribute is proportional to c₂.
    """
    N, c2 = depth, repulsion(kappa)
    if abs(c2) < _ROUNDING:
        return 0.5
    if math.isinf(N):
        return 0.0

    def excess(p: float) -> float:
        return c2 * math.sin(math.pi * (N - 1.0) * p) - math.sin(math.pi * (0.5 - p)) * math.sin(math.pi * N * p)

    high = turning_point(N) if c2 < 0.0 else min(0.5, 1.0 / N)
    if excess(high) <= 0.0:
        return high
    return float(scipy.optimize.brentq(excess, 0.25 / N, high, xtol=1e-300))


@dataclass(frozen=True)
class Factor:
    """The function log E[(y/y_max)^s], by the trapezoidal rule for r on two rays, w = e^{u ± iα}, u in steps of `step`.

    R has neither zeros nor poles between the imaginary axis and the rays, so that the integral is the same, and the
    rule converges as e^{−2πa/step}, a the angle from the rays to the nearest singularity or s.
    depth, kappa: N and κ ≥ `critical_kappa`; smallest: the least |s| that is asked for.
    """

    depth: float
    kappa: float
    smallest: float
    angle: float = 0.75 * math.pi
    step: float = 1.0 / 7.0

    @property
    def at_zero(self) -> float:
        """R(0)."""
        N, kappa = self.depth, self.kappa
        c1, c2 = 0.5 / kappa, repulsion(kappa)
        if math.isinf(N):
            return c1
        return c1 + c2 / N if c2 > 0.0 else 1.0 - c2 * (N - 1.0) / N

    def log_moment(self, s: ComplexArray) -> ComplexArray:
        """The logarithm of E[(y/y_max)^s] for Im s ≥ 0, on the right of the singularities or above them; any shape."""
        left = s.real < 0.0
        r = self._increment(np.where(left, -s, s).ravel()).reshape(s.shape)
        return np.where(left, r - self._log_ratio(np.where(left, s, 1.0j)), -r) + _log_gamma_ratio(s)

    @cached_property
    def log_y_max(self) -> float:
        """The logarithm of y_max."""
        r = float(self._increment(np.ones(1, np.complex128))[0].real) + 0.5 * math.log(self.at_zero)
        return math.log(4.0 * self.kappa) + 0.5 * math.log(self.at_zero) + r

    def _log_ratio(self, s: ComplexArray) -> ComplexArray:
        """log(R(s)/R(0)) for Im s ≥ 0."""
        N, a = self.depth, np.pi * s
        change = np.empty_like(a)  # tan(πs)/tan(πNs) − 1/N
        if math.isinf(N):
            change[...] = -1.0j * np.tan(a)
        elif N >= 2.0:
            change[...] = np.tan(a) / np.tan(N * a) - 1.0 / N
        else:  # tan a / tan Na = 1 − sin((N−1)a) / (cos a sin Na), here by e^{2ia}
            e = np.exp(2.0j * a)
            ratio = np.expm1(2.0j * (N - 1.0) * a) / np.expm1(2.0j * N * a)
            change[...] = (N - 1.0) / N - 2.0 * e / (1.0 + e) * ratio
        return scipy.special.log1p(repulsion(self.kappa) / self.at_zero * change)

    @cached_property
    def _nodes(self) -> tuple[ComplexArray, ComplexArray]:
        """The nodes w on the upper ray, and there log R(w) less log R(0)/(1 − w²), which is known to split."""
        log_w = np.arange(math.log(self.smallest) - _DEEP, _DEEP / 2.0 + 1.0, self.step)
        w = np.exp(log_w + 1.0j * self.angle)
        log_at_zero = math.log(self.at_zero)
        near = w.imag < _DEEP / 6.0
        rest = np.full_like(w, -log_at_zero)
        rest[near] = self._log_ratio(w[near])
        return w, rest - log_at_zero * w**2 / (1.0 - w**2)

    def _increment(self, s: ComplexArray) -> ComplexArray:
        """The increment r(s) − r(0) for a vector s, Re s ≥ 0; proportional to s where s is small, not a difference."""
        w, rest = self._nodes
        numerators = np.stack([np.imag(rest * w.conj()), np.imag(rest)], axis=1)
        rays = np.empty_like(s)  # Σ Im(rest / (w − z)), the two rays together
        rows = max(1, _BLOCK // w.size)
        for start in range(0, s.size, rows):
            z = s[start : start + rows, None]
            sums = np.reciprocal(np.abs(w) ** 2 - z * (2.0 * w.real - z)) @ numerators
            rays[start : start + rows] = sums[:, 0] - z[:, 0] * sums[:, 1]
        return -self.step / np.pi * s * rays - 0.5 * math.log(self.at_zero) * s / (1.0 + s)


def _log_gamma_ratio(s: ComplexArray) -> ComplexArray:
    """log(Γ(s+½) / (√π Γ(s+2))), with its relative accuracy at s = 0."""
    small = np.abs(s) < _SMALL
    other = np.where(small, 1.0, s)
    series = np.polynomial.polynomial.polyval(np.where(small, s, 0.0), _series())
    return np.where(
        small,
        series,
        scipy.special.loggamma(other + 0.5) - 0.5 * math.log(math.pi) - scipy.special.loggamma(other + 2.0),
    )


def inverse_laplace(nodes: int) -> tuple[ComplexArray, ComplexArray]:
    """Points z and weights such that f(δ) ≈ Im Σ weight·f̂(z/δ) / δ, f̂ the Laplace transform, singular on (−∞, 0] only.

    Talbot's contour in the form of Weideman 2006 (SIAM J. Numer. Anal. 44, 2342): error about 3.9^{−nodes}. Only the
    upper half is used, of half as many points.
    """
    theta = np.pi * (2.0 * np.arange(nodes // 2) + 1.0) / nodes
    slant = 0.6407 * theta
    z = nodes * (0.5017 * theta / np.tan(slant) - 0.6122 + 0.2645j * theta)
    dz = nodes * (0.5017 / np.tan(slant) - 0.5017 * slant / np.sin(slant) ** 2 + 0.2645j)
    return z, 2.0 / nodes * np.exp(z) * dz
