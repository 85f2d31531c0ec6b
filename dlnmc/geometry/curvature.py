"""The curvature of the balanced manifold M, and the generator of the RLE upstairs (12.2) that it enters.

Δ_V f = Σ_v Hess f(v, v) and Δ_H f = Σ_h Hess f(h, h) are traces of the Hessian of (M, ι) over orthonormal bases of
the vertical and the horizontal space. For f on the ambient space Hess f(v, v) = D²f(v, v) + Df·II(v, v).
"""

from __future__ import annotations

import math

import numpy as np

from dlnmc.geometry.base import FloatArray, check_factors, check_temperature, transposed
from dlnmc.geometry.charts import frames
from dlnmc.geometry.network import gradient_flow
from dlnmc.geometry.tangent import (
    horizontal_basis,
    project_horizontal,
    project_vertical,
    rotation_metric,
    vertical_basis,
)


def second_fundamental_form(factors: FloatArray, V1: FloatArray, V2: FloatArray) -> FloatArray:
    """II(V1, V2), (..., N, d, d), for tangent V1, V2 (..., N, d, d): the normal part of ∂²W/∂s∂t along M.

    On M all F_p = W_{p+1}ᵀW_{p+1} − W_pW_pᵀ vanish (4.4). So II = −DF* (DF DF*)⁻¹ D²F(V1, V2), and in the frames of 𝔷
    the operator DF DF* is four times the interior of the tridiagonal (8.10), pair by pair.

    See docs/matrices.md, "Equations".
    """
    lam, Q = frames(factors)
    return _second_form(lam, Q, V1, V2)


def vertical_curvature(factors: FloatArray) -> FloatArray:
    """Σ_v II(v, v) over the vertical space, (..., N, d, d): β times what gauge noise adds to the Itô drift."""
    lam, Q = frames(factors)
    return _trace(lam, Q, vertical_basis(lam, Q))


def horizontal_curvature(factors: FloatArray) -> FloatArray:
    """Σ_h II(h, h) over the horizontal space, (..., N, d, d).

    It is −2 times `vertical_curvature`, to rounding, at every depth and width tried: at κ = ½ the curvatures cancel.
    """
    lam, Q = frames(factors)
    return _trace(lam, Q, horizontal_basis(lam, Q))


def network_drift(factors: FloatArray, E_prime: FloatArray, beta: float, kappa: float) -> FloatArray:
    """The Itô drift of (12.11), (..., N, d, d): −∇L + (1/β) Σ_v II(v, v) + (κ/β) Σ_h II(h, h).

    The curvature keeps the network balanced; it is normal to M, so that φ_* of it is 0 and it does not enter the
    drift of W. With `network_noise` the generator is (1/β)(Δ_V + κ Δ_H) − ⟨∇L, ∇·⟩. E' (..., d, d) is the Euclidean
    gradient at the end-to-end matrix; the factors are balanced and of full rank. β may be math.inf.

    See docs/matrices.md, "Equations".
    """
    check_temperature(beta, kappa)
    curvature = vertical_curvature(factors) + kappa * horizontal_curvature(factors)
    return gradient_flow(factors, E_prime) + curvature / beta


def network_noise(factors: FloatArray, dB: FloatArray, beta: float, kappa: float) -> FloatArray:
    """√(2/β) (P_V dB + √κ P_H dB), (..., N, d, d), for increments dB of standard Brownian motion (12.1), (12.11).

    See docs/matrices.md, "Equations", and docs/sphere.md, "The sphere".
    """
    check_temperature(beta, kappa)
    split = project_vertical(factors, dB) + math.sqrt(kappa) * project_horizontal(factors, dB)
    return math.sqrt(2.0 / beta) * split


def rotation_cometrics(
    depth: int, lam_k: FloatArray | float, lam_l: FloatArray | float
) -> tuple[FloatArray, FloatArray]:
    """G_V and G_H, each (..., N+1, N+1): the second-order parts of Δ_V and Δ_H in the rotations of one pair.

    G_V is the inverse of the interior of h_a^{k,l} (8.10), padded with zeros: rotations with Q_0 and Q_N fixed.
    G_H = h⁻¹ − G_V, for λ_k ≠ λ_l. With X_p the derivative along Q_p → Q_p e^{tα_kl},

        Δ_V = (1/N) Σ_k ∂_{λ_k}S ∂_{λ_k} + Σ_{k<l} Σ_pq G_V^pq X_p X_q
        Δ_H = (1/N) Σ_k ( ∂²_{λ_k} + Σ_{l≠k} 2λ_k/(λ_k²−λ_l²) ∂_{λ_k} ) + Σ_{k<l} Σ_pq G_H^pq X_p X_q.
    """
    h = rotation_metric(depth, lam_k, lam_l)
    G_V = np.zeros_like(h)
    if h.shape[-1] > 2:
        G_V[..., 1:-1, 1:-1] = np.linalg.inv(h[..., 1:-1, 1:-1])
    return G_V, np.linalg.inv(h) - G_V


def _trace(lam: FloatArray, Q: FloatArray, basis: FloatArray) -> FloatArray:
    forms = _second_form(lam[..., None, :], Q[..., None, :, :, :], basis, basis)
    return np.asarray(np.sum(forms, axis=-4))


def _second_form(lam: FloatArray, Q: FloatArray, V1: FloatArray, V2: FloatArray) -> FloatArray:
    before, here = Q[..., :-1, :, :], Q[..., 1:, :, :]
    C1 = transposed(here) @ check_factors(V1) @ before
    C2 = transposed(here) @ check_factors(V2) @ before
    left, right = C1 @ transposed(C2), transposed(C1) @ C2
    m = (right + transposed(right))[..., 1:, :, :] - (left + transposed(left))[..., :-1, :, :]  # D²F, in frames
    T = rotation_metric(C1.shape[-3], lam[..., :, None], lam[..., None, :])[..., 1:-1, 1:-1]
    s = np.linalg.solve(T, np.moveaxis(m, -3, -1)[..., None])[..., 0] / 4.0  # (..., d, d, N−1)
    s = np.moveaxis(np.pad(s, [(0, 0)] * (s.ndim - 1) + [(1, 1)]), -1, -3)  # s_0 = s_N = 0
    C = 2.0 * (s[..., 1:, :, :] * lam[..., None, None, :] - lam[..., None, :, None] * s[..., :-1, :, :])
    return here @ C @ transposed(before)
