"""The entropy of group orbits (Theorem 10), its gradient (12.8), and the free energy (6.6)."""

from __future__ import annotations

import math

import numpy as np

from dlnmc.errors import InvalidValue
from dlnmc.geometry.base import (
    FloatArray,
    check_depth,
    check_singular_values,
    check_temperature,
    check_whole_depth,
    conjugated,
    decomposed,
)
from dlnmc.geometry.metric import log_eigenvalues_of_A

# B_2n/(2n)!, the Taylor coefficients of 1/(1 − e^{−w}) − 1/w − ½: for |w| ≤ ½ the first one left out is below 1e-17.
_TAYLOR = (1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000, 1 / 74724249600)


def entropy_of_singular_values(depth: float, sigma: FloatArray) -> FloatArray:
    """S = ½ Σ_{k<l} log a_kl, (...), for singular values (..., d): see `entropy`."""
    sigma = check_singular_values(sigma)
    k, l = np.triu_indices(sigma.shape[-1], 1)
    counted = (sigma[..., k] > 0.0) | (sigma[..., l] > 0.0)
    log_a = log_eigenvalues_of_A(depth, sigma)[..., k, l]
    return np.asarray(0.5 * np.sum(np.where(counted, log_a, 0.0), axis=-1))


def entropy(depth: float, W: FloatArray, rank: int | None = None) -> FloatArray:
    """The Boltzmann entropy S(W) = log vol(O_W) (6.5) without its constant, for every real depth ≥ 1.

    Theorem 10: S = ½ Σ_{k<l} log a_kl, (...), for W (..., d, d). With a rank r < d (what lies beyond the r-th singular
    value is ignored) pairs of zeros drop out: it is the volume of the orbit of St_{r,d}^{N−1}. At depth math.inf it
    is S_∞ (14.11 corrected: with the factor ½, without which it is no limit), which is −inf for r < d. The constant,
    (N−1) log c_d, is in `log_orbit_volume`.

    See docs/mathematics.md, "Deep Linear Network", and docs/matrices.md, "Observables", "The free energy of (14.1)".
    """
    return entropy_of_singular_values(depth, decomposed(W, rank)[1])


def log_orbit_volume(depth: int, W: FloatArray) -> FloatArray:
    """The logarithm of vol(O_W), (...), with its constant (6.2), for W (..., d, d) of full rank and a whole depth ≥ 1.

    c_d is the volume of O_d in the Frobenius metric: 2 · 2^{d(d−1)/4} Π_{k=1}^{d−1} |S^k|. At depth 1 the orbit is a
    point. Raises InvalidValue for other depths and ranks.
    """
    N = check_whole_depth(depth)
    sigma = decomposed(W)[1]
    if np.any(sigma == 0.0):
        raise InvalidValue(f"W must have full rank, got singular values {sigma[np.any(sigma == 0.0, axis=-1)][0]!r}")
    d = sigma.shape[-1]
    spheres = (math.log(2.0) + (k + 1) / 2 * math.log(math.pi) - math.lgamma((k + 1) / 2) for k in range(1, d))
    log_c = math.log(2.0) * (1.0 + d * (d - 1) / 4) + sum(spheres)
    return np.asarray((N - 1.0) * log_c + entropy_of_singular_values(N, sigma))


def sigma_prime(depth: float, sigma: FloatArray) -> FloatArray:
    """Σ'_kk (12.8), (..., d): what the entropy adds to dσ_k/dt, times β, for singular values (..., d) in any order.

    It is a_kk ∂S/∂σ_k, evaluated as one smooth function of each log(σ_k/σ_l): exact at coincidences, where the two
    sums of (12.8) cancel. A zero singular value has 0. At depth math.inf it belongs to the metric rescaled by 1/N.

    See docs/mathematics.md, "Deep Linear Network".
    """
    N = check_depth(depth)
    sigma = check_singular_values(sigma)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_y = 2.0 * np.log(sigma)
        v = log_y[..., :, None] - log_y[..., None, :]
    paired = ~(np.eye(sigma.shape[-1], dtype=bool) | np.isnan(v))
    slopes = np.sum(np.where(paired, _log_slope(N, np.where(paired, v, 0.0)), 0.0), axis=-1)
    moved = np.where((sigma > 0.0) & (slopes > 0.0), sigma, 1.0)
    factor = moved if math.isinf(N) else N * moved ** (1.0 - 2.0 / N)
    return np.where(sigma > 0.0, factor * slopes, 0.0)


def entropy_gradient(depth: float, W: FloatArray, rank: int | None = None) -> FloatArray:
    """The Riemannian gradient grad S = Q_N Σ' Q_0ᵀ in g^N (12.8), (12.13), (..., d, d); W, rank as `entropy`.

    See docs/matrices.md, "Equations", and docs/sphere.md, "Curvature and entropy".
    """
    Q_N, sigma, Q_0 = decomposed(W, rank)
    return conjugated(Q_N, sigma_prime(depth, sigma), Q_0)


def free_energy(depth: float, W: FloatArray, E: FloatArray | float, beta: float) -> FloatArray:
    """F_β = E − S/β (6.6), (...), for energies E (...) at W (..., d, d); β may be math.inf, where it is E for all W.

    See docs/matrices.md, "Observables".
    """
    check_temperature(beta, 0.0)
    S = entropy(depth, W)
    return np.asarray(E - (np.zeros_like(S) if math.isinf(beta) else S / beta))


def _log_slope(N: float, v: FloatArray) -> FloatArray:
    """½ σ_k ∂ log a_kl/∂σ_k = φ(v) − φ(v/N)/N, with v = 2 log(σ_k/σ_l) and φ(w) = 1/(1 − e^{−w}) − 1/w."""
    near = np.abs(v) <= 0.5
    small, large = np.where(near, v, 0.0), np.where(near, 1.0, v)
    with np.errstate(over="ignore"):
        if math.isinf(N):
            return np.where(near, _phi(small), -1.0 / np.expm1(-large) - 1.0 / large)
        far = 1.0 / (N * np.expm1(-large / N)) - 1.0 / np.expm1(-large)  # 1/v cancels
    return np.where(near, _phi(small) - _phi(small / N) / N, far)


def _phi(w: FloatArray) -> FloatArray:
    return 0.5 + w * np.polynomial.polynomial.polyval(w * w, _TAYLOR)
