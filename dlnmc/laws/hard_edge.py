"""The semicircle law of the DLN where singular values reach 0: every κ ≥ ½, and somewhat less at depth < 2."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import scipy

from dlnmc.errors import InvalidValue
from dlnmc.laws.base import FloatArray, check_depth, check_positive
from dlnmc.laws.gapped import has_gap
from dlnmc.laws.interpolated import InterpolatedLaw, log_ratio, spline_and_slope
from dlnmc.laws.wiener_hopf import Factor, critical_kappa, decay, inverse_laplace

if TYPE_CHECKING:
    from scipy.interpolate import PPoly

_STEP = 1.0 / 20.0  # of the interpolation nodes in x
_UNDERFLOW = 800.0  # minus the logarithm of less than the smallest number
_FAR = 1e13  # δ/κ beyond which, at infinite depth, F ~ 1/δ
_BEFORE_GAP = 100.0  # δ where a gap that is too narrow to resolve has not begun


@dataclass(frozen=True)
class HardEdge(InterpolatedLaw):
    """Law of σ·√(β/d) as d → ∞ at equilibrium for E = ½ Tr WᵀW, for κ ≥ `critical_kappa(depth)`; support [0, b].

    The moments are closed but for one integral, see `dlnmc.laws.wiener_hopf`. With δ = log(y_max/y), y = σ², the cdf F
    is the inverse Laplace transform of (1 − M(s) y_max^{−s})/s. Less its main part, which is

        −(3/2) log(δ/(1+δ)) − pδ   (p the exponent of the hard edge),
        −(3/2) log(δ/(1+δ)) − log(1+δ)   at infinite depth,

    log(F/(1 − F)) is interpolated by a spline of degree 7 in x = 2 log(1 + √δ), in which it is smooth also at the soft
    edge x = 0. Raises ValueError unless 1 ≤ depth ≤ inf and κ is that large.

    Of smaller κ it takes those of a gap [0, a] too narrow for `Gapped`, a < e^{−75} b: the law is then the analytic
    continuation of the one without a gap, its tail beyond δ = 100 replaced by e^{−pδ}.

    See docs/mathematics.md, "Every depth and every κ".
    """

    depth: float
    kappa: float

    def __post_init__(self) -> None:
        N, kappa = check_depth(self.depth), check_positive("kappa", self.kappa)
        if has_gap(N, kappa):
            raise InvalidValue(
                f"kappa must be at least {critical_kappa(N)!r} at depth {N!r} for a hard edge, got {kappa!r}"
            )

    @property
    def support(self) -> tuple[float, float]:
        """The ends (low, high) of the support."""
        return 0.0, math.exp(self._log_high)

    @property
    def hard_edge_exponent(self) -> float:
        """The p of P(σ² < y) ~ y^p at 0; 0 at infinite depth, where it falls as 1/|log y|."""
        return math.inf if self.kappa < critical_kappa(self.depth) else self._decay

    @cached_property
    def _decay(self) -> float:
        return decay(self._depth, self.kappa)

    @property
    def _depth(self) -> float:
        """The depth, or inf where the two differ by rounding only."""
        return self.depth if self.depth < 1e15 else math.inf

    def edge_constant(self) -> float:
        """A = 4 √(2R(0)) / b^{3/2}: the density is (A/π) √(b − σ) at the upper edge b."""
        return 4.0 * math.sqrt(2.0 * self._factor.at_zero) * math.exp(-1.5 * self._log_high)

    def moment(self, k: float) -> float:
        """E[σ^k] for real k; inf for k ≤ −2p."""
        s = k / 2.0
        if s == 0.0 or s <= -self._decay:
            return 1.0 if s == 0.0 else math.inf
        aside = 1e-5 if s == -0.5 else 0.0  # where Γ(s + ½) and R(s) are infinite
        log_moment = complex(self._factor.log_moment(np.array(complex(s, aside))))
        return math.exp(log_moment.real + k * self._log_high)

    @cached_property
    def error(self) -> float:
        """Estimated absolute error of cdf and quantiles: thrice the change, between the nodes, with other contours."""
        x = np.arange(0.5, self._nodes - 1.0, 3.0) * _STEP
        delta = np.expm1(x / 2.0) ** 2
        finer = Factor(self._depth, self.kappa, self._factor.smallest, 0.7 * math.pi, 1.0 / 11.0)
        return 3.0 * self._worst(np.log(delta), self._solve(delta, finer, 28)) + 1e-14

    @property
    def _log_high(self) -> float:
        return self._factor.log_y_max / 2.0

    @cached_property
    def _delta_max(self) -> float:
        """The largest δ at which F is computed."""
        if self.kappa < critical_kappa(self.depth):
            return _BEFORE_GAP
        p = self._decay
        return _UNDERFLOW / p if p > 0.0 else _FAR * max(1.0, self.kappa)

    @cached_property
    def _nodes(self) -> int:
        return 1 + math.ceil(2.0 * math.log1p(math.sqrt(self._delta_max)) / _STEP)

    @cached_property
    def _factor(self) -> Factor:
        return Factor(self._depth, self.kappa, 1.0 / self._delta_max)

    def _solve(self, delta: FloatArray, factor: Factor, contour: int) -> FloatArray:
        """The logarithm of F/(1 − F) at δ > 0; the smaller of F and 1 − F is that which is inverted."""
        z, weights = inverse_laplace(contour)
        p = self._decay
        s = z / delta[:, None] - p
        log_F = np.log(np.imag(-np.expm1(factor.log_moment(s)) / s @ weights) / delta) - p * delta
        logit = log_F - np.log1p(-np.exp(log_F))
        top = log_F > math.log(0.5)
        s = z / delta[top, None]
        P = np.imag(np.exp(factor.log_moment(s)) / s @ weights) / delta[top]
        logit[top] = np.log1p(-P) - np.log(P)
        return logit

    @cached_property
    def _spline(self) -> tuple[PPoly, PPoly]:
        """Of log(F/(1 − F)) less its main part, against x; and its derivative."""
        x = _STEP * np.arange(self._nodes, dtype=np.float64)
        t = 2.0 * np.log(np.expm1(x[1:] / 2.0))
        at_edge = -math.log(4.0 / (3.0 * math.pi)) - 0.5 * math.log(self._factor.at_zero)
        inside = self._solve(np.exp(t), self._factor, 24) - self._main(t)
        return spline_and_slope(x, np.concatenate([[at_edge], inside]))

    def _main(self, t: FloatArray) -> FloatArray:
        p = self._decay
        return 1.5 * np.logaddexp(0.0, -t) - (p * np.exp(t) if p > 0.0 else np.logaddexp(0.0, t))

    def _x(self, t: FloatArray) -> FloatArray:
        return np.minimum(2.0 * np.logaddexp(0.0, t / 2.0), (self._nodes - 1) * _STEP)

    def _logit(self, t: FloatArray) -> FloatArray:
        return self._main(t) + self._spline[0](self._x(t))

    def _logit_slope(self, t: FloatArray) -> FloatArray:
        p = self._decay
        main = -1.5 * scipy.special.expit(-t) - (p * np.exp(t) if p > 0.0 else scipy.special.expit(t))
        return main + self._spline[1](self._x(t)) * scipy.special.expit(t / 2.0)

    @property
    def _grid(self) -> FloatArray:
        p = self._decay
        if p > 0.0:
            return np.arange(-8.0, math.log(_UNDERFLOW / p), 1.0 / 32.0)
        return np.append(np.arange(-8.0, math.log(self._delta_max), 1.0 / 32.0), 709.0)

    def _t(self, sigma: FloatArray) -> FloatArray:
        return np.log(2.0 * log_ratio(self.support[1], sigma))

    def _log_sigma(self, t: FloatArray) -> FloatArray:
        return self._log_high - np.exp(t) / 2.0

    def _log_sigma_slope(self, t: FloatArray) -> FloatArray:
        return -np.exp(t) / 2.0

    @property
    def _pdf_at_ends(self) -> tuple[float, float]:
        if self._decay == 0.5:  # only the quarter circle of radius b has it
            return 4.0 / (math.pi * self.support[1]), 0.0
        return math.inf if self._decay < 0.5 else 0.0, 0.0
