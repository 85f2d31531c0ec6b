"""What every law offers: a continuous distribution on an interval, vectorised over arrays."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from dlnmc.errors import InvalidValue

FloatArray = NDArray[np.float64]
Values = NDArray[np.floating[Any]] | NDArray[np.integer[Any]] | Sequence[float]

_BLOCK = 1 << 14  # entries worked on at a time: the temporaries of one block stay in cache


class Law(ABC):
    """A continuous law on the interval `support`.

    `pdf`, `cdf` and `ppf` take arrays of any shape and return the same shape; a scalar gives a float.
    The density is 0 outside the support, and its limit (possibly inf) at the two ends. nan stays nan in `pdf`
    and `cdf`; a probability that is nan or outside [0, 1] is a ValueError in `ppf`.

    A subclass provides `support`, `moment`, `_pdf_at_ends`, and `_pdf`, `_cdf`, `_ppf`, which see only
    one-dimensional arrays strictly inside the support (for `_ppf`, inside (0, 1)).
    """

    @property
    @abstractmethod
    def support(self) -> tuple[float, float]:
        """The ends (low, high) of the support."""

    @abstractmethod
    def moment(self, k: float) -> float:
        """E[X^k]; inf where the integral diverges."""

    @property
    @abstractmethod
    def _pdf_at_ends(self) -> tuple[float, float]: ...

    @abstractmethod
    def _pdf(self, x: FloatArray) -> FloatArray: ...

    @abstractmethod
    def _cdf(self, x: FloatArray) -> FloatArray: ...

    @abstractmethod
    def _ppf(self, q: FloatArray) -> FloatArray: ...

    @overload
    def pdf(self, x: float) -> float: ...
    @overload
    def pdf(self, x: Values) -> FloatArray: ...
    def pdf(self, x: float | Values) -> float | FloatArray:
        """The probability density at `x`."""
        return _between(self._pdf, x, self.support, self._pdf_at_ends, outside=(0.0, 0.0))

    @overload
    def cdf(self, x: float) -> float: ...
    @overload
    def cdf(self, x: Values) -> FloatArray: ...
    def cdf(self, x: float | Values) -> float | FloatArray:
        """The probability of (−∞, x]."""
        return _between(self._cdf, x, self.support, at_ends=(0.0, 1.0), outside=(0.0, 1.0))

    @overload
    def ppf(self, q: float) -> float: ...
    @overload
    def ppf(self, q: Values) -> FloatArray: ...
    def ppf(self, q: float | Values) -> float | FloatArray:
        """The quantile: the x with cdf(x) = q. Raises ValueError for q outside [0, 1] or nan."""
        _check_probabilities(q)
        return _between(self._ppf, q, (0.0, 1.0), at_ends=self.support, outside=self.support)

    def mean(self) -> float:
        """E[X]."""
        return self.moment(1)

    def var(self) -> float:
        """E[X²] − E[X]²."""
        return self.moment(2) - self.moment(1) ** 2


class SingularValueLaw(Law):
    """A law of singular values: edges, an error estimate, and quantiles of log σ where σ itself would underflow.

    The law is that of σ·√(β/d) as d → ∞. A subclass provides `_log_ppf` instead of `_ppf`.
    """

    @property
    @abstractmethod
    def error(self) -> float:
        """Estimated absolute error of the values of `cdf` and `ppf`."""

    @abstractmethod
    def edge_constant(self) -> float:
        """The A of the density (A/π) √(b − σ) at the upper edge b.

        At width d, `(A d)^{2/3} (σ_max·√(β/d) − b)` tends to the Tracy–Widom law of index 1.
        """

    @property
    @abstractmethod
    def hard_edge_exponent(self) -> float:
        """The p of P(σ² < y) ~ y^p as y → 0; inf where the support keeps away from 0."""

    @abstractmethod
    def _log_ppf(self, q: FloatArray) -> FloatArray: ...

    def _ppf(self, q: FloatArray) -> FloatArray:
        with np.errstate(under="ignore"):
            return np.exp(self._log_ppf(q))

    @overload
    def log_ppf(self, q: float) -> float: ...
    @overload
    def log_ppf(self, q: Values) -> FloatArray: ...
    def log_ppf(self, q: float | Values) -> float | FloatArray:
        """The quantile of log σ, right also where σ underflows.

        Raises ValueError for q outside [0, 1] or nan.
        """
        _check_probabilities(q)
        low, high = self.support
        ends = (math.log(low) if low > 0.0 else -math.inf, math.log(high))
        return _between(self._log_ppf, q, (0.0, 1.0), at_ends=ends, outside=ends)


def check_positive(name: str, value: Any) -> float:
    """`value` as a float; ValueError quoting it unless 0 < value < inf."""
    if not isinstance(value, int | float | np.number) or not 0.0 < value < math.inf:
        raise InvalidValue(f"{name} must be a finite number > 0, got {value!r}")
    return float(value)


def check_depth(depth: Any) -> float:
    """`depth` as a float; ValueError quoting it unless 1 ≤ depth ≤ inf."""
    if not isinstance(depth, int | float | np.number) or not depth >= 1.0:
        raise InvalidValue(f"depth must be a number >= 1 or inf, got {depth!r}")
    return float(depth)


def _check_probabilities(q: float | Values) -> None:
    values = np.asarray(q, dtype=np.float64).ravel()
    bad = values[~((values >= 0.0) & (values <= 1.0))]
    if bad.size:
        raise InvalidValue(f"a probability must lie in [0, 1], got {float(bad[0])!r}")


def _between(
    function: Callable[[FloatArray], FloatArray],
    x: float | Values,
    interval: tuple[float, float],
    at_ends: tuple[float, float],
    outside: tuple[float, float],
) -> float | FloatArray:
    """`function` strictly inside `interval`, given constants at its ends and beyond them, nan at nan."""
    values = np.asarray(x, dtype=np.float64)
    flat = values.ravel()
    result = np.empty_like(flat)
    for start in range(0, flat.size, _BLOCK):
        block = flat[start : start + _BLOCK]
        out = result[start : start + _BLOCK]
        out[:] = np.where(block < interval[0], outside[0], outside[1])
        out[np.isnan(block)] = math.nan
        out[block == interval[0]] = at_ends[0]
        out[block == interval[1]] = at_ends[1]
        inside = (block > interval[0]) & (block < interval[1])
        if inside.any():
            out[inside] = function(block[inside])
    return float(result[0]) if values.ndim == 0 else result.reshape(values.shape)
