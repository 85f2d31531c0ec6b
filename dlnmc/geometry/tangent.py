"""The tangent space of the balanced manifold M at full rank: the pullback metric (Lemma 2) and Theorem 14.

Tangent vectors are (..., N, d, d) like factors. Pairs k < l come in the order of np.triu_indices(d, 1).
"""

from __future__ import annotations

import math

import numpy as np

from dlnmc.geometry.base import FloatArray, check_factors, check_whole_depth, inner, transposed
from dlnmc.geometry.charts import frames
from dlnmc.geometry.metric import apply_A_inverse, eigenvalues_of_A
from dlnmc.geometry.network import end_to_end, lifted_gradient


def chart_z_differential(lam: FloatArray, Q: FloatArray, theta: FloatArray, B: FloatArray) -> FloatArray:
    """D𝔷(θ, A)_p = A_p W_p + Q_p θ Q_{p−1}ᵀ − W_p A_{p−1} (8.2), (..., N, d, d), at 𝔷(λ, Q).

    θ is (..., d); the rotation rates are B_p = Q_pᵀ A_p Q_p (8.11), antisymmetric, (..., N+1, d, d): dQ_p = Q_p B_p dt.
    lam is (..., d) and Q is (..., N+1, d, d).
    """
    rates = B[..., 1:, :, :] * lam[..., None, None, :] - lam[..., None, :, None] * B[..., :-1, :, :]
    return _from_frames(Q, rates + (theta[..., None, :] * np.eye(lam.shape[-1]))[..., None, :, :])


def coordinate_basis(lam: FloatArray, Q: FloatArray) -> FloatArray:
    """The images under D𝔷 of the standard basis (8.6)–(8.8), (..., d + (N+1)d(d−1)/2, N, d, d).

    First l_1 … l_d, then for each pair k < l the rotations a_kl^p, p = 0 … N, along Q_p α_kl Q_pᵀ with
    α_kl = (e_k e_lᵀ − e_l e_kᵀ)/√2. They span the tangent space of M where the singular values are distinct.

    See docs/mathematics.md, "Where the paper's text differs".
    """
    d, N = lam.shape[-1], Q.shape[-3] - 1
    k, l = np.triu_indices(d, 1)
    pairs, depths = np.repeat(np.arange(len(k)), N + 1), np.tile(np.arange(N + 1), len(k))
    m = d + len(pairs)
    theta, B = np.zeros((m, d)), np.zeros((m, N + 1, d, d))
    theta[np.arange(d), np.arange(d)] = 1.0
    B[np.arange(d, m), depths, k[pairs], l[pairs]] = math.sqrt(0.5)
    B[np.arange(d, m), depths, l[pairs], k[pairs]] = -math.sqrt(0.5)
    return chart_z_differential(lam[..., None, :], Q[..., None, :, :, :], theta, B)


def rotation_metric(depth: int, lam_k: FloatArray | float, lam_l: FloatArray | float) -> FloatArray:
    """The tridiagonal block h_a^{k,l} (8.10), (..., N+1, N+1), for rates along α_kl; double it for plane angles."""
    N = check_whole_depth(depth)
    lam_k, lam_l = np.broadcast_arrays(np.asarray(lam_k, dtype=np.float64), np.asarray(lam_l, dtype=np.float64))
    diagonal = np.eye(N + 1)
    diagonal[0, 0] = diagonal[N, N] = 0.5
    beside = np.eye(N + 1, k=1) + np.eye(N + 1, k=-1)
    return (lam_k**2 + lam_l**2)[..., None, None] * diagonal - (lam_k * lam_l)[..., None, None] * beside


def pullback_metric(depth: int, lam: FloatArray) -> FloatArray:
    """The pullback 𝔷^♯ι (8.9), the Gram matrix of `coordinate_basis`, for λ (..., d): N I_d, then a block per pair."""
    d, N = lam.shape[-1], check_whole_depth(depth)
    k, l = np.triu_indices(d, 1)
    m = d + (N + 1) * len(k)
    h = np.zeros((*lam.shape[:-1], m, m))
    h[..., :d, :d] = N * np.eye(d)
    blocks = rotation_metric(N, lam[..., k], lam[..., l])
    for pair in range(len(k)):
        part = slice(d + pair * (N + 1), d + (pair + 1) * (N + 1))
        h[..., part, part] = blocks[..., pair, :, :]
    return h


def vertical_basis(lam: FloatArray, Q: FloatArray) -> FloatArray:
    """Orthonormal u^{k,l,p}, 1 ≤ p ≤ N−1 (8.21) with the minus sign, (..., (N−1)d(d−1)/2, N, d, d): the kernel of φ_*.

    All p for one pair come before the next pair. lam is (..., d) > 0, repeated values allowed; Q is (..., N+1, d, d).

    See docs/mathematics.md, "Where the paper's text differs", and docs/matrices.md, "Equations", and docs/sphere.md,
    "Networks".
    """
    d, N = lam.shape[-1], Q.shape[-3] - 1
    k, l = np.triu_indices(d, 1)
    p, s = np.arange(1, N)[:, None], np.arange(1, N + 1)
    sin_before, sin_here = np.sin((s - 1) * p * np.pi / N), np.sin(s * p * np.pi / N)  # (N−1, N)
    x, y = lam[..., k, None, None], lam[..., l, None, None]
    size = np.sqrt(N * (x**2 + y**2 - 2.0 * x * y * np.cos(p * np.pi / N)))
    C = np.zeros((*lam.shape[:-1], len(k), N - 1, N, d, d))
    pair = np.arange(len(k))
    C[..., pair, :, :, k, l] = np.moveaxis((x * sin_before - y * sin_here) / size, -3, 0)
    C[..., pair, :, :, l, k] = -np.moveaxis((y * sin_before - x * sin_here) / size, -3, 0)
    return _from_frames(Q[..., None, :, :, :], C.reshape(*lam.shape[:-1], -1, N, d, d))


def horizontal_basis(lam: FloatArray, Q: FloatArray) -> FloatArray:
    """Orthonormal l^k (8.20), u^{k,l,0} (8.23) and u^{k,l,N} (8.24), (..., d², N, d, d): what φ_* maps isometrically.

    φ_* of u^{k,l,0} is √a_kl q_{N,l} q_{0,k}ᵀ, of u^{k,l,N} it is √a_kl q_{N,k} q_{0,l}ᵀ.

    See docs/matrices.md, "Equations".
    """
    d, N = lam.shape[-1], Q.shape[-3] - 1
    k, l = np.triu_indices(d, 1)
    k, l = np.concatenate([np.arange(d), k, l]), np.concatenate([np.arange(d), l, k])  # λ_k^{s−1} λ_l^{N−s} q_l q_kᵀ
    a = eigenvalues_of_A(N, lam**N)[..., k, l]
    s = np.arange(1, N + 1)
    C = np.zeros((*lam.shape[:-1], d * d, N, d, d))
    values = lam[..., k, None] ** (s - 1) * lam[..., l, None] ** (N - s) / np.sqrt(a)[..., None]
    C[..., np.arange(d * d), :, l, k] = np.moveaxis(values, -2, 0)
    return _from_frames(Q[..., None, :, :, :], C)


def project_vertical(factors: FloatArray, V: FloatArray) -> FloatArray:
    """The orthogonal projection of any V (..., N, d, d) to the orbit's tangent space, at a balanced network.

    See docs/sphere.md, "The sphere".
    """
    return _projected(vertical_basis(*frames(factors)), V)


def project_horizontal(factors: FloatArray, V: FloatArray) -> FloatArray:
    """The orthogonal projection of any V (..., N, d, d) to (Ker φ_*)^⊥, at a balanced network of full rank."""
    return _projected(horizontal_basis(*frames(factors)), V)


def project_tangent(factors: FloatArray, V: FloatArray) -> FloatArray:
    """The orthogonal projection of any V (..., N, d, d) to the tangent space of M: vertical plus horizontal."""
    return project_vertical(factors, V) + project_horizontal(factors, V)


def horizontal_lift(factors: FloatArray, Z: FloatArray) -> FloatArray:
    """The horizontal V (..., N, d, d) with φ_* V = Z (..., d, d), of length √g^N(Z, Z) (Theorem 13)."""
    W = check_factors(factors)
    return lifted_gradient(W, apply_A_inverse(W.shape[-3], end_to_end(W), Z))


def _from_frames(Q: FloatArray, C: FloatArray) -> FloatArray:
    """Q_p C_p Q_{p−1}ᵀ."""
    return Q[..., 1:, :, :] @ C @ transposed(Q[..., :-1, :, :])


def _projected(basis: FloatArray, V: FloatArray) -> FloatArray:
    V = check_factors(V)[..., None, :, :, :]
    return np.asarray(np.sum(inner(basis, V, axes=3)[..., None, None, None] * basis, axis=-4))
