"""The operator A_{N,W} (4.14), its limit A_{∞,W} (14.7), and the metric g^N downstairs (4.16)."""

from __future__ import annotations

import math

import numpy as np

from dlnmc.errors import InvalidValue
from dlnmc.geometry.base import (
    FloatArray,
    check_depth,
    check_matrix,
    check_rank,
    check_singular_values,
    decomposed,
    inner,
    log_ratios,
    transposed,
)


def eigenvalues_of_A(depth: float, sigma: FloatArray) -> FloatArray:
    """The eigenvalues a_kl of A_{N,W}, for u_k v_lᵀ (Lemma 1), or of A_{∞,W} (Lemma 3).

    a_kl = (σ_k² − σ_l²)/(σ_k^{2/N} − σ_l^{2/N}) and a_kk = N σ_k^{2−2/N}, for every real depth ≥ 1. At depth
    math.inf they are rescaled by 1/N (14.6): (σ_k² − σ_l²)/(2 log(σ_k/σ_l)) and σ_k². No cancellation where singular
    values nearly or exactly agree.

    See docs/mathematics.md, "Deep Linear Network".

    Parameters
    ----------
    depth
        N, a number ≥ 1 or math.inf.
    sigma
        Singular values (..., d) ≥ 0, in any order.

    Returns
    -------
    (..., d, d), symmetric.

    Raises
    ------
    InvalidValue
        A depth below 1, or numbers that are no singular values.
    """
    high, power, quotient = _parts_of_A(depth, sigma)
    return high**power * quotient


def log_eigenvalues_of_A(depth: float, sigma: FloatArray) -> FloatArray:
    """The logarithms log a_kl, (..., d, d), also where a_kl itself under- or overflows; −inf for a_kl = 0."""
    high, power, quotient = _parts_of_A(depth, sigma)
    with np.errstate(divide="ignore"):
        return (power * np.log(high) if power else 0.0) + np.log(quotient)


def apply_A(depth: float, W: FloatArray, Z: FloatArray, rank: int | None = None) -> FloatArray:
    """A_{N,W}(Z) = Σ_k (WWᵀ)^{(N−k)/N} Z (WᵀW)^{(k−1)/N} (4.14); at depth math.inf A_{∞,W}(Z) (14.7).

    W and Z are (..., d, d). A real depth is the analytic continuation by the eigenvalues. Symmetric in the Frobenius
    inner product, and A_{N,W}(Z)ᵀ = A_{N,Wᵀ}(Zᵀ).

    If W has a rank r < d, say so: what lies beyond its r-th singular value is then taken as 0. The powers 2/N make
    much of what rounding leaves there: at depth 5, 1e-17 counts as 1e-7. Raises InvalidValue for a bad depth, shape
    or rank.

    See docs/mathematics.md, "Where the paper's text differs".
    """
    Q_N, sigma, Q_0 = decomposed(W, rank)
    return _scaled(Q_N, eigenvalues_of_A(depth, sigma), Q_0, Z)


def riemannian_gradient(depth: float, W: FloatArray, E_prime: FloatArray, rank: int | None = None) -> FloatArray:
    """The gradient A_{N,W}(E') of E in g^N (4.15), (4.18), (..., d, d), from the Euclidean one E' (..., d, d).

    See docs/mathematics.md, "Where the paper's text differs", and docs/matrices.md, "Equations".
    """
    return apply_A(depth, W, E_prime, rank)


def apply_A_root(depth: float, W: FloatArray, Z: FloatArray, rank: int | None = None) -> FloatArray:
    """A_{N,W}^{1/2}(Z), (..., d, d), the positive square root: of white noise Z it makes the noise of (12.10)."""
    Q_N, sigma, Q_0 = decomposed(W, rank)
    return _scaled(Q_N, np.sqrt(eigenvalues_of_A(depth, sigma)), Q_0, Z)


def apply_A_inverse(depth: float, W: FloatArray, Z: FloatArray, rank: int | None = None) -> FloatArray:
    """A_{N,W}⁻¹(Z), (..., d, d), for W of full rank.

    With a rank r < d, W is taken as of rank r (what lies beyond its r-th singular value is ignored), and the result
    is the inverse of A on the tangent space of the matrices of rank r, applied to the tangent part of Z (Theorem 3).
    Raises InvalidValue if W has not that rank, and for r < d at depth math.inf, where A is not invertible there.
    """
    d = check_matrix("W", W).shape[-1]
    r = check_rank(rank, d)
    if math.isinf(check_depth(depth)) and r < d:
        raise InvalidValue(f"at depth inf the metric exists only at full rank {d}, got rank {rank!r}")
    Q_N, sigma, Q_0 = decomposed(W, r)
    if not np.all(sigma[..., r - 1] > 0.0):
        raise InvalidValue(f"W must have rank >= {r}, got {np.min(sigma[..., r - 1])!r} for its singular value {r}")
    inside = _tangent_pairs(d, r)
    a = eigenvalues_of_A(depth, sigma)
    return _scaled(Q_N, np.where(inside, 1.0 / np.where(inside, a, 1.0), 0.0), Q_0, Z)


def tangent_part(W: FloatArray, Z: FloatArray, rank: int) -> FloatArray:
    """The orthogonal projection of Z (..., d, d) to the tangent space at W of the matrices of rank r (4.20)."""
    Q_N, sigma, Q_0 = decomposed(W)
    d = sigma.shape[-1]
    return _scaled(Q_N, _tangent_pairs(d, check_rank(rank, d)).astype(np.float64), Q_0, Z)


def matrix_of_A(depth: float, W: FloatArray, rank: int | None = None) -> FloatArray:
    """A_{N,W} as a matrix (..., d², d²), acting on Z.reshape(d²) with rows of Z one after the other."""
    Q_N, sigma, Q_0 = decomposed(W, rank)
    a = eigenvalues_of_A(depth, sigma)
    d = sigma.shape[-1]
    full = np.einsum("...ik,...jl,...kl,...mk,...nl->...ijmn", Q_N, Q_0, a, Q_N, Q_0, optimize=True)
    return np.asarray(full.reshape(*full.shape[:-4], d * d, d * d))


def metric(depth: float, W: FloatArray, Z1: FloatArray, Z2: FloatArray, rank: int | None = None) -> FloatArray:
    """g^N(Z1, Z2) = Tr(Z1ᵀ A⁻¹ Z2) (4.17), (7.15 corrected), at depth math.inf g^∞ (14.10).

    W, Z1 and Z2 are (..., d, d); the result is (...). `rank`, and what is raised, as for `apply_A_inverse`: for
    r < d this is the metric on the matrices of rank r, of the tangent parts of Z1 and Z2.

    See docs/mathematics.md, "Where the paper's text differs".
    """
    return inner(np.asarray(Z1, dtype=np.float64), apply_A_inverse(depth, W, Z2, rank))


def norm(depth: float, W: FloatArray, Z: FloatArray, rank: int | None = None) -> FloatArray:
    """√g^N(Z, Z), (...), as `metric`."""
    return np.asarray(np.sqrt(metric(depth, W, Z, Z, rank)))


def _parts_of_A(depth: float, sigma: FloatArray) -> tuple[FloatArray, float, FloatArray]:
    """The a_kl as max(σ_k, σ_l)^power · quotient."""
    N = check_depth(depth)
    high, u = log_ratios(check_singular_values(sigma))
    some = np.where(u > 0.0, u, 1.0)
    if math.isinf(N):
        return high, 2.0, np.where(u > 0.0, -np.expm1(-some) / some, 1.0)
    return high, 2.0 - 2.0 / N, np.where(u > 0.0, np.expm1(-some) / np.expm1(-some / N), N)


def _tangent_pairs(d: int, r: int) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """The pairs k, l that are not both beyond r."""
    k = np.arange(d)
    return np.minimum(k[:, None], k) < r


def _scaled(Q_N: FloatArray, a: FloatArray, Q_0: FloatArray, Z: FloatArray) -> FloatArray:
    """Q_N (a ∘ (Q_Nᵀ Z Q_0)) Q_0ᵀ: the operator with eigenvalues a_kl."""
    Z = check_matrix("Z", Z)
    return Q_N @ (a * (transposed(Q_N) @ Z @ Q_0)) @ transposed(Q_0)
