"""The semicircle law of the DLN where singular values keep away from 0: κ below `critical_kappa`.

With c₂ < 0 the law on a half line (`dlnmc.laws.wiener_hopf`) would be negative near y = 0: the second repulsion is an
attraction in λ, and the support is [a, b], a > 0, with two soft edges. In z = log y = z₀ + hx, −1 ≤ x ≤ 1, the law is
`m dz = (2/π) √(1−x²) f(x) dx` with f smooth, and the condition of equilibrium, times 2κ,

    e^{z₀ + hx} = PV ∫ Φ(h(x − x')) (2/π) √(1−x'²) f(x') dx',   Φ(τ) = 1/(1 − e^{−τ}) + ((2κ−1)/N)/(1 − e^{−τ/N}),

has f in its n Chebyshev points of the second kind as unknowns and holds in the n + 1 of the first kind, where the
quadrature is exact for the pole of Φ and converges geometrically for the rest (Erdogan and Gupta 1972, On the
numerical solution of singular integral equations). With ∫ m = 1 this is linear in f and e^{z₀} for a given h, and one
equation too many: a multiple `slack` of a fixed vector is added, and h is where it first vanishes.

As κ → 0, y tends to ½(1 − 1/N) and h² to 48κ / ((1 − 1/N)(5 − 1/N)); for h < 1 the mean E[y] = ½(1 + (2κ−1)/N) is taken
off both sides: Φ = E[y] + 2κ/τ + χ(τ) + ((2κ−1)/N) χ(τ/N), χ(τ) = ½ coth(τ/2) − 1/τ. As κ rises to the critical one,
h → ∞; rows and columns are multiplied by powers of y, for relative accuracy where the law is exponentially small.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import scipy

from dlnmc.errors import InvalidValue
from dlnmc.laws.base import FloatArray, check_depth, check_positive
from dlnmc.laws.interpolated import InterpolatedLaw, log_ratio, spline_and_slope
from dlnmc.laws.wiener_hopf import critical_kappa, turning_point

if TYPE_CHECKING:
    from scipy.interpolate import PPoly

_WIDEST = 75.0  # of h: beyond, a/b < e^{−75}
_WALK = 1.2  # from one h that is tried to the next
_SPLIT = 1.0  # of h: below, the mean is taken off both sides
# χ(τ) = Σ _CHI[k] τ^{2k+1}
_CHI = (1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000, 1 / 74724249600)
_GAUSS = np.polynomial.legendre.leggauss(6)


class Solution(NamedTuple):
    """What solves the equations for one h: the slack, e^{z₀}, a power P, and b in f = e^{Ph(x−1)} Σ b_k U_k(x)."""

    h: float
    slack: float
    middle: float
    power: float
    b: FloatArray

    def f(self, x: FloatArray) -> FloatArray:
        """The smooth factor f of the law at −1 ≤ x ≤ 1."""
        after, now = np.zeros_like(x), np.zeros_like(x)
        for b_k in self.b[::-1]:
            after, now = now, b_k + 2.0 * x * now - after
        return np.exp(self.power * self.h * (x - 1.0)) * now

    def log_sigma(self, theta: FloatArray) -> FloatArray:
        """The logarithm of σ where x = cos θ."""
        return (math.log(self.middle) + self.h * np.cos(theta)) / 2.0

    def logits(self) -> tuple[FloatArray, FloatArray]:
        """Equidistant θ, 0 < θ < π, and there log(F/(1 − F)), from sums of positive terms on both sides."""
        edges = np.linspace(0.0, np.pi, 4 * self.b.size + 1)
        half = edges[1] / 2.0
        theta = (edges[:-1, None] + half * (1.0 + _GAUSS[0])).ravel()
        mass = (self.f(np.cos(theta)) * np.sin(theta) ** 2).reshape(-1, _GAUSS[0].size) @ (
            _GAUSS[1] * half * 2.0 / np.pi
        )
        above, below = np.cumsum(mass), np.cumsum(mass[::-1])[::-1]
        return edges[1:-1], np.log(below[1:]) - np.log(above[:-1])


def solve(N: float, kappa: float, h: float, n: int) -> Solution:
    """The linear equations for a given h."""
    attraction = 2.0 * kappa - 1.0
    inverse = 0.0 if math.isinf(N) else 1.0 / N
    mean = 0.5 * (1.0 + attraction * inverse)
    power = turning_point(N)
    theta = np.pi * np.arange(1, n + 1) / (n + 1)
    t, x = np.cos(theta), np.cos(np.pi * (np.arange(n + 1) + 0.5) / (n + 1))
    tau = h * (x[:, None] - t)
    if h < _SPLIT:
        kernel = 2.0 * kappa / tau + _chi(tau) + attraction * inverse * _chi(tau * inverse)
        offset = mean
    else:
        second = 1.0 / tau if inverse == 0.0 else -inverse / np.expm1(-tau * inverse)
        kernel = -1.0 / np.expm1(-tau) + attraction * second
        offset = 0.0
    weights = 2.0 / (n + 1) * np.sin(theta) ** 2 * np.exp(power * h * (t - 1.0))
    rows = np.exp(power * h * (1.0 - x))
    matrix = np.zeros((n + 2, n + 2))
    matrix[:-1, :n] = rows[:, None] * kernel * weights / h
    matrix[:-1, n] = -rows * np.exp(h * (x - 1.0))
    matrix[:-1, n + 1] = np.expm1((1.0 - power) * h * (x - 1.0)) / h  # a constant less a multiple of the column before
    matrix[-1, :n] = weights
    right = np.append(rows * offset * np.expm1(h * x) / h, 1.0)
    unknowns = np.linalg.solve(matrix, right)
    b = scipy.fft.dst(unknowns[:n] * np.sin(theta), type=1) / (n + 1)
    return Solution(h, float(unknowns[-1]), offset + h * math.exp(-h) * float(unknowns[-2]), power, b)


def _chi(tau: FloatArray) -> FloatArray:
    """½ coth(τ/2) − 1/τ."""
    near = np.abs(tau) < 0.5
    small, large = np.where(near, tau, 0.0), np.where(near, 1.0, tau)
    return np.where(
        near, small * np.polynomial.polynomial.polyval(small * small, _CHI), 0.5 / np.tanh(large / 2.0) - 1.0 / large
    )


def _size(h: float) -> int:
    return 24 + math.ceil(4.0 * h)


def has_gap(N: float, kappa: float) -> bool:
    """Whether the support keeps away from 0, by more than e^{−75} of its upper end."""
    return kappa < critical_kappa(N) and math.isfinite(half_width(N, kappa))


@lru_cache(maxsize=256)
def half_width(N: float, kappa: float) -> float:
    """Half of log(b²/a²) for κ below the critical one, by small systems; inf where it exceeds 75."""
    shrink = 1.0 if math.isinf(N) else (N - 1.0) / N
    low = 0.9 * math.sqrt(48.0 * kappa / (shrink * (4.0 + shrink)))

    def slack(h: float) -> float:
        return solve(N, kappa, h, _size(h)).slack

    high = _WALK * low
    while slack(high) < 0.0:
        low, high = high, _WALK * high
        if low > _WIDEST:
            return math.inf
    h = float(scipy.optimize.brentq(slack, low, high, xtol=1e-300))
    return h if h <= _WIDEST else math.inf


@dataclass(frozen=True)
class Gapped(InterpolatedLaw):
    """Law of σ·√(β/d) as d → ∞ at equilibrium for E = ½ Tr WᵀW, for κ < `critical_kappa(depth)`; support [a, b], a > 0.

    The solution of `dlnmc.laws.gapped`. With x = cos θ and t = 2 log tan(θ/2) = log(log(b/σ) / log(σ/a)), the
    logarithm of F/(1 − F), F the cdf, is −3t/2 plus a smooth function of θ, interpolated by a spline of degree 7.
    Raises ValueError unless 1 ≤ depth ≤ inf and kappa is below the critical one by enough for b/a < e^{75}.

    See docs/mathematics.md, "Laws".
    """

    depth: float
    kappa: float

    def __post_init__(self) -> None:
        N, kappa = check_depth(self.depth), check_positive("kappa", self.kappa)
        if not has_gap(N, kappa):
            raise InvalidValue(
                f"kappa must be below {critical_kappa(N)!r} at depth {N!r} for a gap to show, got {kappa!r}"
            )

    @property
    def support(self) -> tuple[float, float]:
        """The ends (low, high) of the support."""
        low, high = np.exp(self._solution.log_sigma(np.array([np.pi, 0.0])))
        return float(low), float(high)

    @property
    def hard_edge_exponent(self) -> float:
        """There is no hard edge: inf."""
        return math.inf

    def edge_constant(self) -> float:
        """A = 8 f(1) / (hb)^{3/2}: the density is (A/π) √(b − σ) at the upper edge b."""
        found = self._solution
        return 8.0 * float(found.f(np.ones(1))[0]) / math.pow(found.h * self.support[1], 1.5)

    def moment(self, k: float) -> float:
        """E[σ^k] for real k, by Gauss quadrature."""
        found = self._solution
        n = 2 * found.b.size + math.ceil(abs(k) * found.h)
        theta = np.pi * np.arange(1, n + 1) / (n + 1)
        weights = 2.0 / (n + 1) * np.sin(theta) ** 2 * found.f(np.cos(theta))
        return float(weights @ np.exp(k * found.log_sigma(theta)))

    @cached_property
    def error(self) -> float:
        """Estimated absolute error of cdf and quantiles: thrice the change from a solution of two thirds the size."""
        coarse = solve(self.depth, self.kappa, half_width(self.depth, self.kappa), _size(self._solution.h))
        theta, logit = coarse.logits()
        ends = np.exp(coarse.log_sigma(np.array([np.pi, 0.0]))) - self.support
        inside = (theta > 0.1) & (theta < np.pi - 0.1)
        off = self._worst(self._t(np.exp(coarse.log_sigma(theta[inside]))), logit[inside])
        return 3.0 * max(off, float(np.max(np.abs(ends)))) + 1e-14

    @cached_property
    def _solution(self) -> Solution:
        h = half_width(self.depth, self.kappa)
        n = 3 * _size(h) // 2
        h = scipy.optimize.brentq(
            lambda h: solve(self.depth, self.kappa, h, n).slack, 0.999 * h, 1.001 * h, xtol=1e-300
        )
        return solve(self.depth, self.kappa, float(h), n)

    @cached_property
    def _spline(self) -> tuple[PPoly, PPoly]:
        """Of log(F/(1 − F)) + 3t/2 against θ; and its derivative."""
        found = self._solution
        theta, logit = found.logits()
        bottom, top = np.log(16.0 / (3.0 * np.pi) * found.f(np.array([-1.0, 1.0])))
        values = np.concatenate([[-top], logit + 3.0 * np.log(np.tan(theta / 2.0)), [bottom]])
        return spline_and_slope(np.concatenate([[0.0], theta, [np.pi]]), values)

    def _logit(self, t: FloatArray) -> FloatArray:
        return self._spline[0](2.0 * np.arctan(np.exp(t / 2.0))) - 1.5 * t

    def _logit_slope(self, t: FloatArray) -> FloatArray:
        return self._spline[1](2.0 * np.arctan(np.exp(t / 2.0))) / (2.0 * np.cosh(t / 2.0)) - 1.5

    @property
    def _grid(self) -> FloatArray:
        return np.append(np.arange(-12.0, 12.0, 1.0 / 64.0), 800.0)

    def _t(self, sigma: FloatArray) -> FloatArray:
        low, high = self.support
        return np.asarray(np.log(log_ratio(high, sigma) / log_ratio(sigma, low)), dtype=np.float64)

    def _log_sigma(self, t: FloatArray) -> FloatArray:
        found = self._solution
        return (math.log(found.middle) - found.h * np.tanh(t / 2.0)) / 2.0

    def _log_sigma_slope(self, t: FloatArray) -> FloatArray:
        return -self._solution.h * scipy.special.expit(t) * scipy.special.expit(-t)

    @property
    def _pdf_at_ends(self) -> tuple[float, float]:
        return 0.0, 0.0
