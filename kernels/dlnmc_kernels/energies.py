"""Energies: sums of v(s) over singular values or eigenvalues s, by v and v'; and others of a matrix W, by E'(W)."""

from typing import Any, NamedTuple

import numpy as np

from dlnmc_kernels.dispatch import pull, slope, value
from dlnmc_kernels.jit import compiled, device
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
    """E'(W) = gradient(W, parameters): a user's compiled function of a matrix (d, d) and an array."""

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


@pull.register(Own)
def _pull_of_own(energy: Any, w: Lane, u: Lane, v: Lane, s: Lane, out: Lane, work: Lane, more: Lane) -> None:
    size = len(s)
    W = work[: size * size].reshape(-1)[: size * size].reshape((size, size))  # free until the gradient is known
    for lane in range(WIDTH):
        for i in range(size):
            for j in range(size):
                W[i, j] = w[i * size + j, lane]
        G = energy.gradient(W, energy.parameters)
        for i in range(size):
            for j in range(size):
                more[i * size + j, lane] = G[i, j]
    into_frame(more, u, v, size, out, work)


@compiled
def each_value(function: Any, W: Any, parameters: Any, out: Any) -> None:
    """Write function(W, parameters) to `out` (n) for matrices W (n, d, d); NaN for those that are not finite."""
    for n in range(len(W)):
        if np.isfinite(W[n]).all():
            out[n] = function(W[n].copy(), parameters)
        else:
            out[n] = np.nan


@compiled
def each_gradient(function: Any, W: Any, parameters: Any, out: Any) -> None:
    """The same for a function that returns a matrix; `out` is (n, d, d)."""
    for n in range(len(W)):
        if np.isfinite(W[n]).all():
            out[n] = function(W[n].copy(), parameters)
        else:
            out[n] = np.nan
