"""The Riemannian Langevin equation downstairs, on whole matrices (12.12): Itô drift and noise."""

from __future__ import annotations

import math

import numpy as np

from dlnmc.errors import InvalidValue
from dlnmc.geometry.base import (
    FloatArray,
    check_depth,
    check_singular_values,
    check_temperature,
    conjugated,
    decomposed,
)
from dlnmc.geometry.entropy import entropy_gradient
from dlnmc.geometry.metric import apply_A, apply_A_root, matrix_of_A


def sigma_second(depth: float, sigma: FloatArray) -> FloatArray:
    """Σ''_kk = (N−1) σ_k^{1−2/N} (12.9), (..., d), the Itô drift of Brownian motion; at depth math.inf σ_k itself.

    Raises InvalidValue for a zero singular value at 1 < N ≤ 2, where the drift diverges or has no direction.

    See docs/mathematics.md, "Deep Linear Network".
    """
    N = check_depth(depth)
    sigma = check_singular_values(sigma)
    if math.isinf(N):
        return sigma.copy()
    if N == 1.0:
        return np.zeros_like(sigma)
    if N <= 2.0 and np.any(sigma == 0.0):
        raise InvalidValue(f"Brownian motion at depth {depth!r} needs full rank, got the singular value 0.0")
    return np.where(sigma > 0.0, (N - 1.0) * np.where(sigma > 0.0, sigma, 1.0) ** (1.0 - 2.0 / N), 0.0)


def brownian_drift(depth: float, W: FloatArray) -> FloatArray:
    """Q_N Σ'' Q_0ᵀ (..., d, d): β times the Itô drift of Brownian motion on (𝔐_d, g^N) (Theorem 18).

    Equivalently Δ_{g^N} of the coordinate function W. `sigma_second` says what is raised.

    See docs/matrices.md, "Equations".
    """
    Q_N, sigma, Q_0 = decomposed(W)
    return conjugated(Q_N, sigma_second(depth, sigma), Q_0)


def drift(depth: float, W: FloatArray, E_prime: FloatArray, beta: float, kappa: float) -> FloatArray:
    """The Itô drift of (12.12): −A(E') + (1/β) Q_N Σ' Q_0ᵀ + (κ/β) Q_N Σ'' Q_0ᵀ, (..., d, d).

    W and the Euclidean gradient E' are (..., d, d); β may be math.inf, which leaves the gradient flow (4.15). At
    depth math.inf the metric, and so time, are rescaled: τ = N t. Raises InvalidValue for β ≤ 0 or κ < 0.

    See docs/matrices.md, "Equations".
    """
    check_temperature(beta, kappa)
    total = -apply_A(depth, W, E_prime)
    if beta < math.inf:
        total = total + entropy_gradient(depth, W) / beta
        if kappa > 0.0:
            total = total + kappa / beta * brownian_drift(depth, W)
    return total


def noise(depth: float, W: FloatArray, dB: FloatArray, beta: float, kappa: float) -> FloatArray:
    """√(2κ/β) A^{1/2}(dB), (..., d, d), for increments dB (..., d, d) of standard Brownian motion (12.10).

    In law it is the noise of (12.10), which is written in the singular frame: Q_N (√a_kl dB^kl) Q_0ᵀ. This one is
    smooth through repeated singular values.

    See docs/mathematics.md, "Where the paper's text differs", and docs/matrices.md, "Equations".
    """
    check_temperature(beta, kappa)
    return math.sqrt(2.0 * kappa / beta) * apply_A_root(depth, W, dB)


def covariance(depth: float, W: FloatArray, beta: float, kappa: float) -> FloatArray:
    """The covariance (2κ/β) A of the noise per time, (..., d², d²), of W.reshape(d²)."""
    check_temperature(beta, kappa)
    return 2.0 * kappa / beta * matrix_of_A(depth, W)
