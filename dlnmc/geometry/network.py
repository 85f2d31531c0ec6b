"""The network upstairs (3.1)–(3.7): the end-to-end matrix φ, its differential, and the lifted gradient flow.

Factors are (..., N, d, d), W_1 first, balanced or not; factors that are not square are not covered.
"""

from __future__ import annotations

import numpy as np

from dlnmc.geometry.base import FloatArray, check_factors, check_matrix, transposed


def end_to_end(factors: FloatArray) -> FloatArray:
    """φ(W_1, …, W_N) = W_N ⋯ W_1 (3.3): (..., N, d, d) → (..., d, d). Raises InvalidValue for another shape."""
    W = check_factors(factors)
    product = W[..., 0, :, :]
    for p in range(1, W.shape[-3]):
        product = W[..., p, :, :] @ product
    return product.copy()


def partial_products(factors: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The products on both sides of every factor, A_{p+1} = W_N ⋯ W_{p+1} and B_{p−1} = W_{p−1} ⋯ W_1 (4.10).

    Both are (..., N, d, d), p = 1 … N, with A_{N+1} = B_0 = 1.
    """
    W = check_factors(factors)
    N, d = W.shape[-3], W.shape[-1]
    after, before = np.empty_like(W), np.empty_like(W)
    after[..., -1, :, :] = before[..., 0, :, :] = np.eye(d)
    for p in range(1, N):
        before[..., p, :, :] = W[..., p - 1, :, :] @ before[..., p - 1, :, :]
        after[..., N - 1 - p, :, :] = after[..., N - p, :, :] @ W[..., N - p, :, :]
    return after, before


def differential(factors: FloatArray, V: FloatArray) -> FloatArray:
    """φ_* V = Σ_p W_N ⋯ V_p ⋯ W_1 (7.10), (..., d, d), for V (..., N, d, d)."""
    after, before = partial_products(factors)
    return np.asarray(np.sum(after @ check_factors(V) @ before, axis=-3))


def second_differential(factors: FloatArray, V: FloatArray) -> FloatArray:
    """d²/dt² φ(W + tV) at t = 0, (..., d, d), for V (..., N, d, d).

    See docs/sphere.md, "Networks".
    """
    W, V = np.broadcast_arrays(check_factors(factors), check_factors(V))
    zeroth, first, second = W[..., 0, :, :], V[..., 0, :, :], np.zeros_like(W[..., 0, :, :])
    for p in range(1, W.shape[-3]):
        W_p, V_p = W[..., p, :, :], V[..., p, :, :]
        zeroth, first, second = W_p @ zeroth, W_p @ first + V_p @ zeroth, W_p @ second + 2.0 * V_p @ first
    return second


def lifted_gradient(factors: FloatArray, E_prime: FloatArray) -> FloatArray:
    """∇_{W_p} E(φ) = (W_N ⋯ W_{p+1})ᵀ E' (W_{p−1} ⋯ W_1)ᵀ (7.5), (..., N, d, d): the adjoint of `differential`.

    E' (..., d, d) is the Euclidean gradient (3.7) at the end-to-end matrix.
    """
    after, before = partial_products(factors)
    return transposed(after) @ check_matrix("E_prime", E_prime)[..., None, :, :] @ transposed(before)


def gradient_flow(factors: FloatArray, E_prime: FloatArray) -> FloatArray:
    """dW_p/dt of the gradient flow (3.4)–(3.6), (..., N, d, d): minus the lifted gradient.

    See docs/matrices.md, "Gradient flow".
    """
    return -lifted_gradient(factors, E_prime)


def end_to_end_flow(factors: FloatArray, E_prime: FloatArray) -> FloatArray:
    """dW/dt = −Σ_p A_{p+1} A_{p+1}ᵀ E' B_{p−1}ᵀ B_{p−1} (4.9), (..., d, d), balanced or not."""
    return differential(factors, gradient_flow(factors, E_prime))
