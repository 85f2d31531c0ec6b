"""The law of free or confined Dyson Brownian motion after a start anywhere, as d → ∞."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from dlnmc.errors import InvalidValue
from dlnmc.laws.base import FloatArray, Law, Values, check_positive

_HALVINGS = 200  # at most, of an interval that holds a root
_NEWTON = 60  # at most; steps approach the root from one side
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
        """The v ≥ 0 of the curve; 0 where the density vanishes. Newton's method in v², from below."""
        squares = (u[..., None] - self._sorted) ** 2
        n = len(self._sorted)
        q = np.maximum(np.max(self.variance / n - squares, axis=-1), 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            for _ in range(_NEWTON):
                terms = 1.0 / (squares + q[..., None])
                excess, slope = terms.mean(axis=-1) - 1.0 / self.variance, (terms**2).mean(axis=-1)
                step = np.where(excess > 0.0, excess / slope, 0.0)
                step = np.where(np.isfinite(step), step, 0.0)
                q = q + step
                if np.all(step <= 1e-16 * q):
                    break
        return np.asarray(np.sqrt(q))

    def _map(self, u: FloatArray | float) -> FloatArray:
        """The real x to which the curve at u is mapped, ascending."""
        u = np.asarray(u, dtype=np.float64)
        w = u + 1j * self._height(u)
        with np.errstate(divide="ignore", invalid="ignore"):
            x = np.real(w + self.variance * self._transform(w))
        return np.asarray(x)

    def _curve_at(self, x: FloatArray) -> np.ndarray:
        """The point w of the curve that is mapped to x: by halving, then Newton's method."""
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
        w = self._curve_at(x)
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.mean(np.angle(w[..., None] - self._sorted), axis=-1)
            rest = 0.5 * self.variance * np.imag(self._transform(w) ** 2)
        return np.asarray(np.clip(1.0 - (logs + rest) / math.pi, 0.0, 1.0))

    def _ppf(self, q: FloatArray) -> FloatArray:
        low, high = (np.full(q.shape, end) for end in self._edges)
        for _ in range(60):
            middle = 0.5 * (low + high)
            w = middle + 1j * self._height(middle)
            logs = np.mean(np.angle(w[..., None] - self._sorted), axis=-1)
            below = 1.0 - (logs + 0.5 * self.variance * np.imag(self._transform(w) ** 2)) / math.pi < q
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
