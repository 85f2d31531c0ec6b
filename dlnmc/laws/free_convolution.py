"""The law of free or confined Dyson Brownian motion after a start anywhere, as d → ∞."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dlnmc.errors import InvalidValue
from dlnmc.laws.base import FloatArray, Law, Values, check_positive

_HALVINGS = 200  # of an interval that holds a root
_NEWTON = 60  # at most; steps approach the root from one side
_POLISHING = 12  # steps of Newton's method from the table; what has not settled by then is found by halving
_SETTLED = 1e-13  # residual, in units of the length of the support
_KNOTS = 256  # of each interval of the support
_CONTOUR = 256  # points of a circle, for moments


@dataclass(frozen=True)
class FreeConvolution(Law):
    """The free convolution of equally likely atoms with the semicircle law of a variance s (Biane 1997).

    With G the atoms' Stieltjes transform, `x = w + s G(w)` maps the upper side of the curve `v(u)`,
    `∫ μ(da)/((u−a)² + v²) = 1/s`, where w = u + iv, to the real line: there the density is v/(πs), and the cdf
    `1 − Im[∫ μ(da) log(w−a) + s G(w)²/2]/π`.

    For every κ it is the law of x·√(β/d) as d → ∞ for (11.8) after a start at these atoms: with V = 0 at time t,
    s = 2t; with V = x²/2 the atoms are e^{−t} times those of the start, and s = 1 − e^{−2t}. Atoms of a start at width
    d are its own d values. Raises ValueError unless 0 < variance < ∞ and there are atoms, all finite.

    See docs/mathematics.md, "Laws".
    """

    atoms: Values
    variance: float
    _sorted: FloatArray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_positive("variance", self.variance)
        atoms = np.sort(np.atleast_1d(np.asarray(self.atoms, dtype=np.float64)))
        if atoms.ndim != 1 or not len(atoms) or not np.all(np.isfinite(atoms)):
            raise InvalidValue(f"atoms must be one or more finite numbers, got {self.atoms!r}")
        object.__setattr__(self, "_sorted", atoms)

    @property
    def support(self) -> tuple[float, float]:
        """The ends (low, high) of the support, which may have gaps."""
        return self._ends

    @cached_property
    def _ends(self) -> tuple[float, float]:
        low, high = self._edges
        return float(self._map(low)), float(self._map(high))

    @cached_property
    def _edges(self) -> tuple[float, float]:
        """The u at the ends, beyond all atoms: where Σ w/(u−a)² falls to 1/s."""
        reach = math.sqrt(self.variance)
        found = []
        for sign, end in ((-1.0, self._sorted[0]), (1.0, self._sorted[-1])):
            near, far = end, end + sign * reach  # the sum is ∞ at an atom, and at most 1/s so far from all
            for _ in range(_HALVINGS):
                middle = 0.5 * (near + far)
                outside = np.mean((middle - self._sorted) ** -2.0) < 1.0 / self.variance if middle != end else False
                near, far = (near, middle) if outside else (middle, far)
            found.append(0.5 * (near + far))
        return found[0], found[1]

    def _transform(self, w: np.ndarray) -> np.ndarray:
        return np.asarray(np.mean(1.0 / (w[..., None] - self._sorted), axis=-1))

    def _height(self, u: FloatArray) -> FloatArray:
        """The v ≥ 0 of the curve; 0 where the density vanishes.

        The harmonic mean of (u−a)² + q is concave in q, so that Newton's method approaches q = v² from below.
        """
        squares = (u[..., None] - self._sorted) ** 2
        q = np.maximum(self.variance / len(self._sorted) - np.min(squares, axis=-1), 0.0)
        for _ in range(_NEWTON):
            terms = 1.0 / (squares + q[..., None])
            first, second = terms.mean(axis=-1), (terms**2).mean(axis=-1)
            step = np.maximum(self.variance * first - 1.0, 0.0) * first / second
            q = q + step
            if np.all(step <= 1e-15 * q):
                break
        return np.asarray(np.sqrt(q))

    @cached_property
    def _bands(self) -> FloatArray:
        """The u at the ends (interval, 2) of the intervals of the support, ascending.

        Between two atoms Σ 1/(u−a)² is convex: where its minimum is below 1/s there is a gap.
        """
        left, right = self._sorted[:-1], self._sorted[1:]
        apart = right > left
        left, right = left[apart], right[apart]
        low, high = left, right
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            falls = np.sum((middle[:, None] - self._sorted) ** -3.0, axis=1) > 0.0
            low, high = np.where(falls, middle, low), np.where(falls, high, middle)
        least = 0.5 * (low + high)
        gap = self._is_outside(least)
        left, right, least = left[gap], right[gap], least[gap]
        ends = [self._end(left, least), self._end(right, least)]
        first, last = self._edges
        return np.column_stack([np.append(first, ends[1]), np.append(ends[0], last)])

    def _is_outside(self, u: FloatArray) -> NDArray[np.bool_]:
        """Whether the curve is real at u, which is no atom."""
        return np.asarray(np.mean((u[..., None] - self._sorted) ** -2.0, axis=-1) < 1.0 / self.variance)

    def _end(self, inside: FloatArray, outside: FloatArray) -> FloatArray:
        """The u between, where the curve leaves the real line."""
        for _ in range(_HALVINGS):
            middle = 0.5 * (inside + outside)
            with np.errstate(divide="ignore"):
                out = self._is_outside(middle)
            inside, outside = np.where(out, inside, middle), np.where(out, middle, outside)
        return np.asarray(outside)

    @cached_property
    def _table(self) -> tuple[FloatArray, np.ndarray]:
        """x, ascending, and w on the curve: dense at the ends of intervals, where v is a square root."""
        angle = math.pi * np.arange(_KNOTS + 1) / _KNOTS
        low, high = self._bands.T
        u = (low[:, None] + np.outer(high - low, np.sin(angle / 2.0) ** 2)).ravel()
        w = u + 1j * self._height(u)
        return np.maximum.accumulate(self._map(u)), w

    def _map(self, u: FloatArray | float) -> FloatArray:
        """The real x to which the curve at u is mapped, ascending."""
        u = np.asarray(u, dtype=np.float64)
        w = u + 1j * self._height(u)
        with np.errstate(divide="ignore", invalid="ignore"):
            x = np.real(w + self.variance * self._transform(w))
        return np.asarray(x)

    def _curve_at(self, x: FloatArray) -> np.ndarray:
        """The point w of the curve that is mapped to x: Newton's method from the table, halving where it fails."""
        table, points = self._table
        w = np.interp(x, table, points)
        gap = w.imag == 0.0  # between two intervals: that v = 0 and u is between the same atoms is all that is needed
        allowed = _SETTLED * (table[-1] - table[0])
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            for _ in range(_POLISHING):
                terms = 1.0 / (w[:, None] - self._sorted)
                residual = w + self.variance * terms.mean(axis=1) - x
                settled = gap | (np.abs(residual) <= allowed)
                if np.all(settled):
                    break
                new = w - residual / (1.0 - self.variance * (terms**2).mean(axis=1))
                w = np.where(settled, w, new)
        bad = ~settled | ~(w.imag >= 0.0)
        w[bad] = self._halved(x[bad])
        return np.asarray(w)

    def _halved(self, x: FloatArray) -> np.ndarray:
        """The same by halving."""
        low, high = (np.full(x.shape, end) for end in self._edges)
        for _ in range(60):
            middle = 0.5 * (low + high)
            below = self._map(middle) < x
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        u = 0.5 * (low + high)
        return np.asarray(u + 1j * self._height(u))

    def _pdf(self, x: FloatArray) -> FloatArray:
        return np.asarray(self._curve_at(x).imag / (math.pi * self.variance))

    def _cdf(self, x: FloatArray) -> FloatArray:
        return self._probability(self._curve_at(x))

    def _probability(self, w: np.ndarray) -> FloatArray:
        """The cdf at the x to which a point of the curve is mapped."""
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.mean(np.angle(w[..., None] - self._sorted), axis=-1)
            rest = 0.5 * self.variance * np.imag(self._transform(w) ** 2)
        return np.asarray(np.clip(1.0 - (logs + rest) / math.pi, 0.0, 1.0))

    def _ppf(self, q: FloatArray) -> FloatArray:
        low, high = (np.full(q.shape, end) for end in self._edges)
        for _ in range(60):
            middle = 0.5 * (low + high)
            below = self._probability(middle + 1j * self._height(middle)) < q
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return self._map(0.5 * (low + high))

    def moment(self, k: float) -> float:
        """E[x^k] for a whole number k ≥ 0: the residue of `x(w)^k G(w) x'(w)`, on a circle round all atoms."""
        if k < 0 or k != int(k):
            raise InvalidValue(f"a moment of a free convolution needs a whole number >= 0, got {k!r}")
        middle = 0.5 * (self._sorted[0] + self._sorted[-1])
        radius = 2.0 * (0.5 * (self._sorted[-1] - self._sorted[0]) + math.sqrt(self.variance))
        turn = radius * np.exp(2j * math.pi * (np.arange(_CONTOUR) + 0.5) / _CONTOUR)
        w = middle + turn
        G = self._transform(w)
        slope = -np.mean((w[..., None] - self._sorted) ** -2.0, axis=-1)
        values = (w + self.variance * G) ** int(k) * G * (1.0 + self.variance * slope)
        return float(np.real(np.mean(values * turn)))

    @property
    def _pdf_at_ends(self) -> tuple[float, float]:
        return 0.0, 0.0
