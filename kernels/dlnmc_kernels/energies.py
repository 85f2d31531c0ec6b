"""Energies: sums of v(s) over singular values or eigenvalues s, by v and v'; and others of a matrix W, by E'(W)."""

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.np.numpy_support import carray

from dlnmc_kernels.dispatch import pull, slope, value
from dlnmc_kernels.jit import JIT_DISABLED, device, kernel, overload, pointer
from dlnmc_kernels.lanes import WIDTH, Lane, load, splat, store
from dlnmc_kernels.linear_algebra import product, transpose


class Quadratic(NamedTuple):
    """v(s) = strength s²/2; the strength 0 is the absence of an energy."""

    strength: float


class Polynomial(NamedTuple):
    """v(s) = a_1 s + a_2 s² + … + a_p s^p, powers = (a_1, …, a_p)."""

    powers: tuple[float, ...]


class Entries(NamedTuple):
    """E = ½ Σ weight (W_ij − target_ij)², arrays of d² numbers, row by row."""

    weights: Any
    targets: Any


class LeastSquares(NamedTuple):
    """E'(W) = W A − B, arrays of d² numbers, row by row."""

    A: Any
    B: Any


class Own(NamedTuple):
    """E'(W) = gradient(W, parameters), a user's function: what `gradient_pointer` makes of it."""

    gradient: Any
    parameters: Any


@value.register(Quadratic)
def _value_quadratic(energy: Quadratic, s: Lane) -> Lane:
    return s * s * (0.5 * energy.strength)


@slope.register(Quadratic)
def _slope_quadratic(energy: Quadratic, s: Lane) -> Lane:
    return s * energy.strength


@value.register(Polynomial)
def _value_polynomial(energy: Polynomial, s: Lane) -> Lane:
    total = splat(0.0)
    for m in range(len(energy.powers), 0, -1):
        total = (total + energy.powers[m - 1]) * s
    return total


@slope.register(Polynomial)
def _slope_polynomial(energy: Polynomial, s: Lane) -> Lane:
    total = splat(0.0)
    for m in range(len(energy.powers), 0, -1):
        total = total * s + energy.powers[m - 1] * float(m)
    return total


@pull.otherwise
def _pull_of_singular_values(
    energy: Any, w: Lane, u: Lane, v: Lane, s: Lane, out: Lane, work: Lane, more: Lane
) -> None:
    size = len(s)
    for i in range(size * size):
        store(out, i, splat(0.0))
    for k in range(size):
        store(out, k * size + k, slope(energy, load(s, k)))


@device
def into_frame(g: Lane, u: Lane, v: Lane, size: int, out: Lane, work: Lane) -> None:
    """Write u g vᵀ to `out`; g is lost."""
    product(u, g, size, work)
    transpose(v, size, g)
    product(work, g, size, out)


@pull.register(Entries)
def _pull_of_entries(energy: Any, w: Lane, u: Lane, v: Lane, s: Lane, out: Lane, work: Lane, more: Lane) -> None:
    for i in range(len(s) * len(s)):
        store(more, i, (load(w, i) - energy.targets[i]) * energy.weights[i])
    into_frame(more, u, v, len(s), out, work)


@pull.register(LeastSquares)
def _pull_of_least_squares(energy: Any, w: Lane, u: Lane, v: Lane, s: Lane, out: Lane, work: Lane, more: Lane) -> None:
    size = len(s)
    for i in range(size):
        for j in range(size):
            total = splat(0.0) - energy.B[i * size + j]
            for k in range(size):
                total = total + load(w, i * size + k) * energy.A[k * size + j]
            store(more, i * size + j, total)
    into_frame(more, u, v, size, out, work)


# --- a user's own ---------------------------------------------------------------------------------------------------

_ADDRESS = types.CPointer(types.float64)


def value_pointer(function: Any) -> Any:
    """A compiled function E(W, p) as kernels take it; NaN where it raises. Python itself where nothing is compiled."""
    if JIT_DISABLED:
        return function

    def call(W: Any, p: Any, size: int, count: int) -> float:
        try:
            return float(function(carray(W, (size, size)), carray(p, (count,))))
        except Exception:
            return np.nan

    return pointer(call, types.float64(_ADDRESS, _ADDRESS, types.intp, types.intp))


def gradient_pointer(function: Any) -> Any:
    """The same for E'(W, p), a (d, d) array."""
    if JIT_DISABLED:
        return function

    def call(W: Any, p: Any, out: Any, size: int, count: int) -> None:
        G = carray(out, (size, size))
        try:
            G[:, :] = function(carray(W, (size, size)), carray(p, (count,)))
        except Exception:
            G[:, :] = np.nan

    return pointer(call, types.void(_ADDRESS, _ADDRESS, _ADDRESS, types.intp, types.intp))


def square(numbers: Any, size: int) -> Any:
    """The first d² numbers of an array as a matrix, in pure Python."""
    return numbers.reshape(-1)[: size * size].reshape(size, size)


def value_at(function: Any, W: Any, p: Any, size: int) -> float:
    """E(W) by a function from `value_pointer`, for the first d² numbers of an array; they may be lost."""
    try:
        return float(function(square(W, size), p))
    except Exception:
        return np.nan


@overload(value_at)
def _value_at(function, W, p, size):  # type: ignore[no-untyped-def]
    return lambda function, W, p, size: function(W.ctypes, p.ctypes, size, len(p))


def gradient_at(function: Any, W: Any, p: Any, out: Any, size: int) -> None:
    """Write E'(W) likewise to `out` by a function from `gradient_pointer`."""
    G = square(out, size)
    try:
        G[:, :] = function(square(W, size), p)
    except Exception:
        G[:, :] = np.nan


@overload(gradient_at)
def _gradient_at(function, W, p, out, size):  # type: ignore[no-untyped-def]
    return lambda function, W, p, out, size: function(W.ctypes, p.ctypes, out.ctypes, size, len(p))


@pull.register(Own)
def _pull_of_own(energy: Own, w: Lane, u: Lane, v: Lane, s: Lane, out: Lane, work: Lane, more: Lane) -> None:
    size = len(s)
    for lane in range(WIDTH):
        for n in range(size * size):
            work[n // WIDTH, n % WIDTH] = w[n, lane]
        gradient_at(energy.gradient, work, energy.parameters, out, size)
        for n in range(size * size):
            more[n, lane] = out[n // WIDTH, n % WIDTH]
    into_frame(more, u, v, size, out, work)


@kernel
def each_value(function: Any, W: Any, p: Any, out: Any) -> None:
    """Write E(W) to `out` (n) for matrices W (n, d, d); NaN for those that are not finite."""
    for n in range(len(W)):
        out[n] = value_at(function, W[n].copy(), p, W.shape[1]) if np.isfinite(W[n]).all() else np.nan


@kernel
def each_gradient(function: Any, W: Any, p: Any, out: Any) -> None:
    """Write E'(W) to `out` (n, d, d) likewise."""
    for n in range(len(W)):
        if np.isfinite(W[n]).all():
            gradient_at(function, W[n].copy(), p, out[n], W.shape[1])
        else:
            out[n] = np.nan
