"""What the geometry's functions share: checks of arguments, the singular value decomposition, inner products.

Matrices are (..., d, d); a network is an array of its factors (..., N, d, d), of which [..., p−1, :, :] is W_p: the
first factor, W_1, comes first. Leading axes are batches and broadcast.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlnmc.errors import InvalidValue

FloatArray = NDArray[np.float64]


def check_depth(depth: float) -> float:
    """The depth N, a number ≥ 1 or math.inf."""
    if not depth >= 1:
        raise InvalidValue(f"depth must be a number >= 1 or math.inf, got {depth!r}")
    return float(depth)


def check_finite_depth(depth: float) -> float:
    """The depth N where infinity has no meaning."""
    if math.isinf(check_depth(depth)):
        raise InvalidValue(f"depth must be finite here, got {depth!r}")
    return float(depth)


def check_whole_depth(depth: float) -> int:
    """The depth N of a network, a whole number."""
    if check_finite_depth(depth) != int(depth):
        raise InvalidValue(f"depth must be a whole number here, got {depth!r}")
    return int(depth)


def check_temperature(beta: float, kappa: float) -> None:
    """β > 0, infinity allowed, and 0 ≤ κ < ∞."""
    if not beta > 0:
        raise InvalidValue(f"beta must be > 0, got {beta!r}")
    if not 0 <= kappa < np.inf:
        raise InvalidValue(f"kappa must be >= 0 and finite, got {kappa!r}")


def check_rank(rank: int | None, width: int) -> int:
    """The rank r, 1 ≤ r ≤ d; None is d."""
    if rank is None:
        return width
    if not 1 <= rank <= width:
        raise InvalidValue(f"rank must be in 1 … {width}, got {rank!r}")
    return rank


def check_numbers(name: str, value: Any) -> FloatArray:
    """An array of finite numbers."""
    array = np.asarray(value, dtype=np.float64)
    if not np.all(np.isfinite(array)):
        raise InvalidValue(f"{name} must be finite, got {array[~np.isfinite(array)][0]!r}")
    return array


def check_matrix(name: str, value: Any) -> FloatArray:
    """Square matrices (..., d, d) of finite numbers."""
    array = check_numbers(name, value)
    if array.ndim < 2 or array.shape[-1] != array.shape[-2] or array.shape[-1] == 0:
        raise InvalidValue(f"{name} must be square matrices, (..., d, d), got the shape {array.shape}")
    return array


def check_factors(value: Any) -> FloatArray:
    """The factors (..., N, d, d) of networks."""
    array = check_numbers("factors", value)
    if array.ndim < 3 or array.shape[-1] != array.shape[-2] or 0 in array.shape[-3:]:
        raise InvalidValue(f"factors must be square matrices W_1 … W_N, (..., N, d, d), got the shape {array.shape}")
    return array


def check_singular_values(value: Any) -> FloatArray:
    """Singular values (..., d), finite and ≥ 0, in any order."""
    array = check_numbers("singular values", value)
    if array.ndim < 1 or array.shape[-1] == 0:
        raise InvalidValue(f"singular values must be (..., d), got the shape {array.shape}")
    if np.any(array < 0):
        raise InvalidValue(f"singular values must be >= 0, got {array[array < 0][0]!r}")
    return array


def decomposed(W: Any, rank: int | None = None) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Q_N, σ and Q_0 of W = Q_N Σ Q_0ᵀ (5.17), σ falling; with a rank r, what lies beyond it is set to 0."""
    matrix = check_matrix("W", W)
    rank = check_rank(rank, matrix.shape[-1])
    Q_N, sigma, Q_0T = np.linalg.svd(matrix)
    return Q_N, np.where(np.arange(sigma.shape[-1]) < rank, sigma, 0.0), transposed(Q_0T)


def transposed(Z: FloatArray) -> FloatArray:
    """Zᵀ, batch by batch."""
    return np.swapaxes(Z, -1, -2)


def conjugated(Q_N: FloatArray, diagonal: FloatArray, Q_0: FloatArray) -> FloatArray:
    """Q_N diag Q_0ᵀ for diagonals (..., d)."""
    return (Q_N * diagonal[..., None, :]) @ transposed(Q_0)


def inner(Z1: FloatArray, Z2: FloatArray, axes: int = 2) -> FloatArray:
    """The Frobenius inner product over the last `axes` axes: 2 for matrices, 3 for networks (8.5)."""
    return np.asarray(np.sum(Z1 * Z2, axis=tuple(range(-axes, 0))))


def log_ratios(sigma: FloatArray) -> tuple[FloatArray, FloatArray]:
    """For all pairs, max(σ_k, σ_l) and u = 2 |log(σ_k/σ_l)|, (..., d, d); u = 0 for two zeros, inf for one."""
    k, l = sigma[..., :, None], sigma[..., None, :]
    high, low = np.maximum(k, l), np.minimum(k, l)
    with np.errstate(divide="ignore", under="ignore"):
        u = -2.0 * np.log(np.where(high > 0.0, low, 1.0) / np.where(high > 0.0, high, 1.0))
    return high, u + 0.0
