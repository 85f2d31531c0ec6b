"""Hermitian matrices and their isospectral orbits: Dyson Brownian motion upstairs (11.3)–(11.9).

Matrices are (..., d, d), complex Hermitian or real symmetric (which is the same formula for the orbit of O_d, except
for the entropy), with the norm Tr M*M. Each refuses a matrix that is not Hermitian to 1e-10.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlnmc.errors import InvalidValue
from dlnmc.geometry.base import FloatArray

ComplexArray = NDArray[np.complex128]


def project_orbit(M: ComplexArray, H: ComplexArray) -> ComplexArray:
    """P_M H: the orthogonal projection of Hermitian H (..., d, d) to the tangent space of the orbit O_x of M.

    The tangent space is {[A, M]: A* = −A}: what has no diagonal in an eigenbasis of M, for distinct eigenvalues.
    """
    return np.asarray(_hermitian("H", H) - project_spectrum(M, H))


def project_spectrum(M: ComplexArray, H: ComplexArray) -> ComplexArray:
    """P_M^⊥ H, (..., d, d): the part of H that commutes with M, diagonal with M, for distinct eigenvalues."""
    U = np.linalg.eigh(_hermitian("M", M))[1]
    diagonal = np.einsum("...ik,...ij,...jk->...k", U.conj(), _hermitian("H", H), U).real
    return _conjugated(U, diagonal)


def orbit_entropy(M: ComplexArray) -> FloatArray:
    """S = 2 Σ_{i<j} log|x_i − x_j|, (...), log vol(O_x) up to a constant, for the eigenvalues x of M (11.5)."""
    x = np.linalg.eigvalsh(_hermitian("M", M))
    i, j = np.triu_indices(x.shape[-1], 1)
    with np.errstate(divide="ignore"):
        return np.asarray(2.0 * np.sum(np.log(np.abs(x[..., i] - x[..., j])), axis=-1))


def orbit_entropy_gradient(M: ComplexArray) -> ComplexArray:
    """∇_M S = U diag(Σ_{j≠i} 2/(x_i − x_j)) U*, (..., d, d), for distinct eigenvalues.

    It is also the sum of second fundamental forms of the orbit with the sign changed: an Itô step √2 P_M dH in the
    ambient space moves the eigenvalues by it (Theorem 15(b)). Raises InvalidValue for repeated eigenvalues.

    See docs/mathematics.md, "Dyson Brownian motion".
    """
    x, U = np.linalg.eigh(_hermitian("M", M))
    gaps = x[..., :, None] - x[..., None, :] + np.eye(x.shape[-1])
    if np.any(gaps == 0.0):
        raise InvalidValue("M must have distinct eigenvalues, got a repeated one")
    return _conjugated(U, 2.0 * np.sum((1.0 - np.eye(x.shape[-1])) / gaps, axis=-1))


def spectral_gradient(M: ComplexArray, slopes: FloatArray) -> ComplexArray:
    """∇_M L = U diag(∂E/∂x) U*, (..., d, d), of L(M) = E(eig M) (11.7); `slopes` is ∂E/∂x (..., d) at rising x."""
    return _conjugated(np.linalg.eigh(_hermitian("M", M))[1], np.asarray(slopes, dtype=np.float64))


def hermitian_noise(M: ComplexArray, dH: ComplexArray, beta: float, kappa: float) -> ComplexArray:
    """√(2/β) (P_M dH + √κ P_M^⊥ dH) (11.7), (..., d, d); (11.4) with parameter b is β = 2, κ = 2/b.

    dH (..., d, d) are increments of standard Brownian motion on Hermitian matrices. Raises InvalidValue for β ≤ 0 or
    κ < 0.
    """
    if not (beta > 0 and kappa >= 0):
        raise InvalidValue(f"beta must be > 0 and kappa >= 0, got {beta!r} and {kappa!r}")
    return np.asarray(np.sqrt(2.0 / beta) * (project_orbit(M, dH) + np.sqrt(kappa) * project_spectrum(M, dH)))


def _hermitian(name: str, value: Any) -> ComplexArray:
    M: ComplexArray = np.asarray(value, dtype=np.complex128)
    if M.ndim < 2 or M.shape[-1] != M.shape[-2] or M.shape[-1] == 0:
        raise InvalidValue(f"{name} must be square matrices, (..., d, d), got the shape {M.shape}")
    error, size = np.max(np.abs(M - np.swapaxes(M, -1, -2).conj())), np.max(np.abs(M))
    if not error <= 1e-10 * size:
        raise InvalidValue(f"{name} must be Hermitian and finite, got entries {error!r} apart from its adjoint's")
    return M


def _conjugated(U: ComplexArray, diagonal: FloatArray) -> ComplexArray:
    return np.asarray((U * diagonal[..., None, :]) @ np.swapaxes(U, -1, -2).conj(), dtype=np.complex128)
