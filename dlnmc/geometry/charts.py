"""The parametrisations 𝔵, 𝔶 and 𝔷 of balanced varieties (5.5)–(5.20), at full rank and at rank r.

At rank r the orthogonal matrices become r-frames, and all three are 𝔷_r (5.20) with different data: 𝔵_r takes W_1 and
frames of the ranges of W_2, …, W_N; 𝔶_r takes W_N and frames of the domains of W_1, …, W_{N−1}.
"""

from __future__ import annotations

import numpy as np

from dlnmc.errors import InvalidValue
from dlnmc.geometry.balanced import check_balanced
from dlnmc.geometry.base import FloatArray, check_matrix, check_numbers, check_rank, conjugated, decomposed, transposed


def chart_x(W_1: FloatArray, Q: FloatArray, G: FloatArray | float = 0.0) -> FloatArray:
    """𝔵: W_{p+1} = Q_{p+1} √(W_p W_pᵀ − G_p), p = 1 … N−1 (5.5)–(5.8), (..., N, d, d).

    W_1 is (..., d, d), Q holds the polar factors Q_2 … Q_N in O_d, (..., N−1, d, d), and G_1 … G_{N−1} broadcast
    against Q. Raises InvalidValue where W_p W_pᵀ − G_p is not positive: the variety has no such point.
    """
    W, Q, G = _polar_data("W_1", W_1, Q, G)
    factors = [W]
    for p in range(Q.shape[-3]):
        P = _root(W @ transposed(W) - G[..., p, :, :])
        W = Q[..., p, :, :] @ P
        factors.append(W)
    return np.stack(np.broadcast_arrays(*factors), axis=-3)


def chart_y(W_N: FloatArray, U: FloatArray, G: FloatArray | float = 0.0) -> FloatArray:
    """𝔶: W_p = √(W_{p+1}ᵀ W_{p+1} + G_p) U_pᵀ, p = N−1 … 1 (5.11), (5.12), (..., N, d, d).

    W_N is (..., d, d), U holds U_1 … U_{N−1} in O_d, (..., N−1, d, d), and G is as for `chart_x`.
    """
    W, U, G = _polar_data("W_N", W_N, U, G)
    factors = [W]
    for p in reversed(range(U.shape[-3])):
        R = _root(transposed(W) @ W + G[..., p, :, :])
        W = R @ transposed(U[..., p, :, :])
        factors.append(W)
    return np.stack(np.broadcast_arrays(*reversed(factors)), axis=-3)


def chart_z(lam: FloatArray, Q: FloatArray) -> FloatArray:
    """𝔷 and 𝔷_r: W_p = Q_p Λ Q_{p−1}ᵀ, p = 1 … N (5.15), (5.16), (5.20), (..., N, d, d), with φ = Q_N Λ^N Q_0ᵀ.

    lam is (..., r), Q holds the r-frames Q_0 … Q_N, (..., N+1, d, r); at full rank r = d they are orthogonal matrices.

    See docs/mathematics.md, "Where the paper's text differs".
    """
    Q, lam = check_numbers("Q", Q), check_numbers("lam", lam)
    return (Q[..., 1:, :, :] * lam[..., None, None, :]) @ transposed(Q[..., :-1, :, :])


def chart_x_of_rank(W_1: FloatArray, Q: FloatArray) -> FloatArray:
    """𝔵_r: W_1 (..., d, d) of rank r, and the frames Q_2 … Q_N in St_{r,d}, (..., N−1, d, r): a network of M_r.

    Q_{p+1} is the image of the frame Q_p under the polar factor of W_{p+1}; Q_1 and Q_0 are singular vectors of W_1.
    """
    Q = check_numbers("Q", Q)
    Q_1, lam, Q_0 = _of_rank(W_1, Q.shape[-1])
    return chart_z(lam, np.concatenate([np.stack([Q_0, Q_1], axis=-3), Q], axis=-3))


def chart_y_of_rank(W_N: FloatArray, U: FloatArray) -> FloatArray:
    """𝔶_r: W_N (..., d, d) of rank r, and the frames Q_0 … Q_{N−2} in St_{r,d}, (..., N−1, d, r): a network of M_r."""
    U = check_numbers("U", U)
    Q_N, lam, last = _of_rank(W_N, U.shape[-1])
    return chart_z(lam, np.concatenate([U, np.stack([last, Q_N], axis=-3)], axis=-3))


def frames(factors: FloatArray, rank: int | None = None, tolerance: float = 1e-6) -> tuple[FloatArray, FloatArray]:
    """The inverse of 𝔷_r: λ (..., r), falling, and Q_0 … Q_N, (..., N+1, d, r), of a balanced network of rank r.

    The columns of the Q_p have the signs of one singular value decomposition of W_1. Raises InvalidValue if the
    network is not balanced, or not of this rank, to the tolerance.
    """
    W = check_balanced(factors, tolerance)
    r = check_rank(rank, W.shape[-1])
    Q_1, lam, Q_0 = _of_rank(W[..., 0, :, :], r, tolerance)
    Q = [Q_0, Q_1]
    for p in range(1, W.shape[-3]):
        Q.append(W[..., p, :, :] @ Q[-1] / lam[..., None, :])
    return lam, np.stack(Q, axis=-3)


def _polar_data(
    name: str, W: FloatArray, Q: FloatArray, G: FloatArray | float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    W, Q = check_matrix(name, W), check_matrix("polar factors", Q)
    if Q.ndim < 3:
        raise InvalidValue(f"polar factors must be (..., N−1, d, d), got the shape {Q.shape}")
    return W, Q, np.broadcast_to(check_numbers("G", G), Q.shape)


def _root(S: FloatArray) -> FloatArray:
    """√S of a symmetric matrix whose eigenvalues are ≥ 0 up to rounding."""
    values, vectors = np.linalg.eigh((S + transposed(S)) / 2.0)
    if np.any(values[..., 0] < -1e-12 * np.max(np.abs(values), axis=-1)):
        raise InvalidValue(f"G leaves no square root: an eigenvalue of P² or R² is {np.min(values)!r}, must be >= 0")
    return conjugated(vectors, np.sqrt(np.maximum(values, 0.0)), vectors)


def _of_rank(W: FloatArray, r: int, tolerance: float = 1e-12) -> tuple[FloatArray, FloatArray, FloatArray]:
    left, lam, right = decomposed(W)
    if np.any(lam[..., r:] > tolerance * lam[..., :1]) or not np.all(lam[..., r - 1] > 0.0):
        raise InvalidValue(f"every factor must have rank {r}, got the singular values {lam!r}".replace("\n", " "))
    return left[..., :r], lam[..., :r], right[..., :r]
