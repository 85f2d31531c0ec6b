"""Tracy and Widom's laws of the largest eigenvalue, β = 1, 2, 4."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import scipy
from numpy.polynomial import chebyshev

from dlnmc.errors import InvalidValue
from dlnmc.laws.base import FloatArray, Law, check_positive

if TYPE_CHECKING:
    from scipy.interpolate import BSpline

_FIRST, _LAST, _STEP = -27.0, 16.0, 1.0 / 32.0  # the grid; outside, a probability below 1e-300 or 1e-18
_SERIES_UP_TO, _AIRY_FROM = -12.0, 6.0  # beyond these ends q is known to rounding
_TERMS, _NEWTON, _NODES, _FEWER_NODES = 10, 8, 112, 96


@dataclass(frozen=True)
class TracyWidom(Law):
    """Law of `scale` times the limit of the centred and scaled largest eigenvalue of the Gaussian ensembles.

    With q'' = sq + 2q³, q ~ Ai at +∞ (Hastings and McLeod 1980), `A = q'² − sq² − q⁴` and `I(s) = ∫_s^∞ q`,

        (log F_2)' = A,   F_1 = √F_2 e^{−I/2},   F_4(s/√2) = √F_2 cosh(I/2)

    (Tracy and Widom 1994, 1996). The scale of F_4 is that of Tracy and Widom 1996 and of most tables (mean
    −2.3069); √2 times it is that of Bornemann 2010, and 2^{−1/6} times it is that of β-ensembles in general
    (Ramírez, Rider and Virág 2011), to which `laws.at_soft_edge` leads: see `laws.soft_edge_limit`.

    The equation of q is solved as a boundary value problem by Chebyshev integration, so that both tails are
    right relative to their size. The cdf is within 1e-14 of the Fredholm determinants of Bornemann 2010. Below −27 and
    above 16, times the scale, probabilities are 0 and 1. Raises ValueError unless β is 1, 2 or 4 and the
    scale is positive.
    """

    beta: int
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.beta not in (1, 2, 4):
            raise InvalidValue(f"beta must be 1, 2 or 4 for the Tracy-Widom law, got {self.beta!r}")
        check_positive("scale", self.scale)

    @property
    def support(self) -> tuple[float, float]:
        """The ends (low, high) of the support."""
        return -math.inf, math.inf

    @property
    def error(self) -> float:
        """Estimate of the largest error of the cdf: the change on a coarser grid with fewer nodes."""
        x = np.linspace(-7.0, 5.0, 241)
        return float(np.max(np.abs(_curve(self.beta).cdf(x) - _curve(self.beta, _FEWER_NODES, 1.5 * _STEP).cdf(x))))

    def moment(self, k: float) -> float:
        """E[X^k] for a whole number k ≥ 0."""
        if k < 0 or k != int(k):
            raise InvalidValue(f"a moment of a Tracy-Widom law needs a whole number >= 0, got {k!r}")
        return self._expectation(self._unit * self._curve.grid, int(k))

    def var(self) -> float:
        """The variance."""
        return self._central(2)

    def skewness(self) -> float:
        """E[(X − E[X])³] / var^{3/2}."""
        return self._central(3) / math.sqrt(self._central(2) ** 3)

    def kurtosis(self) -> float:
        """The excess kurtosis E[(X − E[X])⁴] / var² − 3."""
        return self._central(4) / self._central(2) ** 2 - 3.0

    def _central(self, k: int) -> float:
        return self._expectation(self._unit * self._curve.grid - self.mean(), k)

    def _expectation(self, values: FloatArray, k: int) -> float:
        """E of values^k on the grid; the trapezoidal rule is exact to rounding since the density is entire."""
        return float(np.sum(values**k * self._curve.pdf(self._curve.grid)) * _STEP)

    @cached_property
    def _curve(self) -> _Curve:
        return _curve(self.beta)

    @property
    def _unit(self) -> float:
        return self.scale / math.sqrt(2.0) if self.beta == 4 else self.scale

    def _pdf(self, x: FloatArray) -> FloatArray:
        return self._curve.pdf(x / self._unit) / self._unit

    def _cdf(self, x: FloatArray) -> FloatArray:
        return self._curve.cdf(x / self._unit)

    def _ppf(self, q: FloatArray) -> FloatArray:
        return self._unit * self._curve.ppf(q)

    @property
    def _pdf_at_ends(self) -> tuple[float, float]:
        return 0.0, 0.0


def tracy_widom(beta: int) -> TracyWidom:
    """The Tracy–Widom law F_β in the scale of Tracy and Widom 1996. Raises ValueError unless β is 1, 2 or 4.

    See docs/mathematics.md, "Laws".
    """
    return TracyWidom(beta)


class _Curve(NamedTuple):
    """log F(s) for s on a grid, as splines in −s: integrals start where they are small."""

    grid: FloatArray
    slope: BSpline[np.float64]
    minus_log: BSpline[np.float64]

    def cdf(self, s: FloatArray) -> FloatArray:
        inside = np.clip(s, _FIRST, _LAST)
        with np.errstate(under="ignore"):
            return np.where(s < _FIRST, 0.0, np.exp(-self.minus_log(-inside)))

    def pdf(self, s: FloatArray) -> FloatArray:
        inside = np.clip(s, _FIRST, _LAST)
        with np.errstate(under="ignore"):
            density = np.exp(-self.minus_log(-inside)) * np.maximum(self.slope(-inside), 0.0)
        return np.where(s == inside, density, 0.0)

    def ppf(self, q: FloatArray) -> FloatArray:
        """Newton's method for log(−log F), which is a gentle function of s in both tails."""
        target = -np.log(q)
        known = self.minus_log(-self.grid)
        s = np.interp(-np.log(target), -np.log(known), self.grid)
        for _ in range(3):
            value = self.minus_log(-s)
            s = np.clip(s + np.log(value / target) * value / self.slope(-s), _FIRST, _LAST - _STEP)
        return s


@cache
def _curve(beta: int, nodes: int = _NODES, step: float = _STEP) -> _Curve:
    s = np.arange(_FIRST, _LAST + step / 2.0, step)
    q, dq = _hastings_mcleod(s, nodes)
    A = dq * dq - s * q * q - q**4
    if beta == 1:
        slope = (A + q) / 2.0
    elif beta == 2:
        slope = A
    else:
        integral = _spline(s, q).antiderivative()
        slope = (A - q * np.tanh(integral(-s) / 2.0)) / 2.0
    spline = _spline(s, slope)
    return _Curve(s[:-1], spline, spline.antiderivative())


def _spline(s: FloatArray, values: FloatArray) -> BSpline[np.float64]:
    return scipy.interpolate.make_interp_spline(-s[::-1], values[::-1], k=9)


def _hastings_mcleod(s: FloatArray, nodes: int) -> tuple[FloatArray, FloatArray]:
    """Return q and q' at s: a series on the left, Ai on the right, and Ai plus a remainder between."""
    q, dq = scipy.special.airy(s)[:2]
    left, between = s < _SERIES_UP_TO, (s >= _SERIES_UP_TO) & (s <= _AIRY_FROM)
    q[left], dq[left] = _series(s[left])
    remainder, slope = _remainder(nodes)
    q[between] += remainder(s[between])
    dq[between] += slope(s[between])
    return q, dq


def _series(s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return q and q' for s → −∞, from q = √(x/2) Σ b_k x^{−3k}, x = −s, put into the equation order by order."""
    b = [1.0]
    for m in range(1, _TERMS):
        known = [*b, 0.0]
        cube = sum(known[i] * known[j] * known[m - i - j] for i in range(m + 1) for j in range(m + 1 - i))
        b.append((b[-1] * (9.0 * (m - 1) ** 2 - 0.25) - cube) / 2.0)
    powers = 0.5 - 3.0 * np.arange(_TERMS)
    terms = np.asarray(b) * (-s[:, None]) ** powers / math.sqrt(2.0)
    return terms.sum(axis=1), (terms * powers).sum(axis=1) / s


@cache
def _remainder(nodes: int) -> tuple[chebyshev.Chebyshev, chebyshev.Chebyshev]:
    """Return r = q − Ai and r', where r'' = sr + 2q³ and r is known at both ends, by Newton's method.

    The unknowns are the values u of r'' at Chebyshev's nodes: integrals of u, in place of derivatives of r, keep
    the equations well conditioned (Greengard 1991).
    """
    low, high = _SERIES_UP_TO, _AIRY_FROM
    half = (high - low) / 2.0
    x = chebyshev.chebpts1(nodes)
    s = low + half * (x + 1.0)
    to_coefficients = chebyshev.chebvander(x, nodes - 1).T * (2.0 / nodes)
    to_coefficients[0] /= 2.0
    to_r = chebyshev.chebint(to_coefficients, m=2, lbnd=1.0, scl=half)
    to_r[:2] -= np.outer([0.5, -0.5], (-1.0) ** np.arange(nodes + 2) @ to_r)  # now 0 at both ends
    r_low = float(_series(np.array([low]))[0][0] - scipy.special.airy(low)[0])
    ramp = r_low * (1.0 - x) / 2.0
    Ai, integral = scipy.special.airy(s)[0], chebyshev.chebvander(x, nodes + 1) @ to_r
    q = np.sqrt(np.logaddexp(0.0, -2.0 * s)) / 2.0  # right at both ends
    for _ in range(_NEWTON):
        slope = s + 6.0 * q * q
        known = 2.0 * q**3 - 6.0 * q * q * (q - Ai) + slope * ramp
        u = np.linalg.solve(np.eye(nodes) - slope[:, None] * integral, known)
        q = Ai + integral @ u + ramp
    coefficients = to_r @ u
    coefficients[:2] += r_low / 2.0, -r_low / 2.0
    remainder = chebyshev.Chebyshev(coefficients, (low, high))
    return remainder, remainder.deriv()
