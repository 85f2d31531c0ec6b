"""Balanced varieties (4.2)–(4.6): their invariants G, membership, dimensions, and networks over a given matrix."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlnmc.errors import InvalidValue
from dlnmc.geometry.base import (
    FloatArray,
    check_factors,
    check_rank,
    check_whole_depth,
    conjugated,
    decomposed,
    transposed,
)


class Dimensions(NamedTuple):
    """Dimensions of M_r, of 𝔐_r = φ(M_r) and of the orbit over one of its matrices."""

    network: int
    end_to_end: int
    orbit: int


def balance(factors: FloatArray) -> FloatArray:
    """G_p = W_p W_pᵀ − W_{p+1}ᵀ W_{p+1}, p = 1 … N−1 (4.2), (..., N−1, d, d), conserved by the gradient flow.

    The sign is that of (4.2), and of the parametrisations (5.6); (4.8) has the opposite one.

    See docs/mathematics.md, "Where the paper's text differs".
    """
    W = check_factors(factors)
    first, next_ = W[..., :-1, :, :], W[..., 1:, :, :]
    return first @ transposed(first) - transposed(next_) @ next_


def imbalance(factors: FloatArray) -> FloatArray:
    """‖G‖ relative to the largest ‖W_p‖², (...): 0 on the balanced variety (4.4). The zero network has 0.

    See docs/matrices.md, "Observables".
    """
    G = np.sqrt(np.sum(balance(factors) ** 2, axis=(-3, -2, -1)))
    scale = np.max(np.sum(check_factors(factors) ** 2, axis=(-2, -1)), axis=-1)
    return np.asarray(G / np.where(scale > 0.0, scale, 1.0))


def is_balanced(factors: FloatArray, tolerance: float = 1e-10) -> NDArray[np.bool_]:
    """Whether (4.4) holds, (...): `imbalance` at most `tolerance`."""
    return np.asarray(imbalance(factors) <= tolerance)


def check_balanced(factors: FloatArray, tolerance: float = 1e-6) -> FloatArray:
    """The factors, if they are balanced; raises InvalidValue if not."""
    W = check_factors(factors)
    worst = float(np.max(imbalance(W), initial=0.0))
    if worst > tolerance:
        raise InvalidValue(f"factors must be balanced, ‖G‖ <= {tolerance:g} of the largest ‖W_p‖², got {worst:.3g}")
    return W


def dimensions(width: int, depth: int, rank: int | None = None) -> Dimensions:
    """The dimensions of M_r, 𝔐_r and the orbits of St_{r,d}^{N−1} between them, for a whole depth N (4.6).

    At full rank d² + (N−1) d(d−1)/2, d² and (N−1) d(d−1)/2. Raises InvalidValue unless 1 ≤ r ≤ d and N ≥ 1.

    See docs/sphere.md, "The sphere".
    """
    N = check_whole_depth(depth)
    if width < 1 or width != int(width):
        raise InvalidValue(f"width must be a whole number >= 1, got {width!r}")
    r = check_rank(rank, width)
    stiefel = width * r - r * (r + 1) // 2
    return Dimensions(r + (N + 1) * stiefel, r + 2 * stiefel, (N - 1) * stiefel)


def balanced_over(W: FloatArray, depth: int, gauge: Any = None, rank: int | None = None) -> FloatArray:
    """A balanced network (..., N, d, d) with the end-to-end matrix W (..., d, d), of full rank or of a given rank.

    It is W_1 = Q_N Λ Q_0ᵀ and W_p = Q_N Λ Q_Nᵀ = (WWᵀ)^{1/(2N)} for p > 1, moved by the gauge (..., N−1, d, d) if one
    is given: see `gauge_transformed`. Smooth in W at full rank. Raises InvalidValue for a depth that is not whole.
    """
    N = check_whole_depth(depth)
    Q_N, sigma, Q_0 = decomposed(W, rank)
    lam = sigma ** (1.0 / N)
    first, others = conjugated(Q_N, lam, Q_0), conjugated(Q_N, lam, Q_N)
    factors = np.stack([first] + [others] * (N - 1), axis=-3)
    return factors if gauge is None else gauge_transformed(factors, gauge)


def gauge_transformed(factors: FloatArray, gauge: FloatArray) -> FloatArray:
    """W_p → g_p W_p g_{p−1}ᵀ with g_0 = g_N = 1, (..., N, d, d): it fixes the end-to-end matrix.

    `gauge` is g_1 … g_{N−1} in O_d, (..., N−1, d, d). An isometry of the balanced manifold (Theorem 13). Raises
    InvalidValue if a g_p is not orthogonal to 1e-8.
    """
    W = check_factors(factors)
    N, d = W.shape[-3], W.shape[-1]
    g = np.asarray(gauge, dtype=np.float64)
    if g.shape[-3:] != (N - 1, d, d):
        raise InvalidValue(f"gauge must be (..., {N - 1}, {d}, {d}), got the shape {g.shape}")
    if not np.allclose(transposed(g) @ g, np.eye(d), rtol=0.0, atol=1e-8):
        raise InvalidValue(f"gauge must be orthogonal, got {g!r}".replace("\n", " "))
    ends = np.broadcast_to(np.eye(d), (*g.shape[:-3], 1, d, d))
    left, right = np.concatenate([g, ends], axis=-3), np.concatenate([ends, g], axis=-3)
    return left @ W @ transposed(right)
