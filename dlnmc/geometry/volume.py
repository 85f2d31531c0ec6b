"""The volume form of (𝔐_r, g^N) (Theorem 11, with the exponent of det Σ² corrected)."""

from __future__ import annotations

import math

import numpy as np

from dlnmc.errors import InvalidValue
from dlnmc.geometry.base import (
    FloatArray,
    check_depth,
    check_finite_depth,
    check_rank,
    check_singular_values,
    decomposed,
    log_ratios,
)
from dlnmc.geometry.metric import log_eigenvalues_of_A


def log_volume_lambda(depth: float, lam: FloatArray, width: int | None = None) -> FloatArray:
    """The log-density (...) of the volume of g^N in λ = σ^{1/N} (..., r), and in Q_0, Q_N.

    At full rank Σ_{k<l} log|λ_k² − λ_l²| + (d/2) log N; for r < d = `width` also (d − r) Σ_k log λ_k². It is against
    Π dλ_k and the plane angles of Q_0 and Q_N, that is dQ = Π (q_kᵀ dq_l), k ≤ r, k < l ≤ d: no constant is left out.
    −inf at coincidences. Raises InvalidValue for depth math.inf, where λ has no meaning, λ_k ≤ 0, or width < r.

    See docs/mathematics.md, "Equilibrium".
    """
    N = check_finite_depth(depth)
    lam, d = _checked(lam, width)
    r = lam.shape[-1]
    total = _log_vandermonde(lam) + 2 * (d - r) * np.sum(np.log(lam), axis=-1) + 0.5 * r * math.log(N)
    return np.asarray(total)


def log_volume_sigma(depth: float, sigma: FloatArray, width: int | None = None) -> FloatArray:
    """The log-density (...) of the volume of g^N in σ (..., r) and Q_0, Q_N: (6.4) with the exponent −(N−1)/(2N).

    At full rank Σ_{k<l} log|σ_k^{2/N} − σ_l^{2/N}| − (1 − 1/N) Σ_k log σ_k − (d/2) log N; at depth math.inf, of the
    metric rescaled by 1/N, Σ_{k<l} log|2 log(σ_k/σ_l)| − Σ_k log σ_k. For the rest see `log_volume_lambda`. At depth
    math.inf only full rank is allowed.

    See docs/mathematics.md, "Where the paper's text differs".
    """
    N = check_depth(depth)
    sigma, d = _checked(sigma, width)
    r = sigma.shape[-1]
    if math.isinf(N):
        if r < d:
            raise InvalidValue(f"at depth inf the metric exists only at full rank {d}, got {r} singular values")
        k, l = np.triu_indices(d, 1)
        with np.errstate(divide="ignore"):
            logarithms = np.log(log_ratios(sigma)[1][..., k, l])
        return np.asarray(np.sum(logarithms, axis=-1) - np.sum(np.log(sigma), axis=-1))
    stretch = -(1.0 - 1.0 / N) * np.sum(np.log(sigma), axis=-1) - r * math.log(N)
    return np.asarray(log_volume_lambda(N, sigma ** (1.0 / N), d) + stretch)


def log_volume_matrix(depth: float, W: FloatArray) -> FloatArray:
    """Log √det g^N = −½ Σ_kl log a_kl, (...), the log-density of the volume against dW, for W (..., d, d).

    inf where W has not full rank, except at depth 1.
    """
    return np.asarray(-0.5 * np.sum(log_eigenvalues_of_A(depth, decomposed(W)[1]), axis=(-1, -2)))


def _checked(values: FloatArray, width: int | None) -> tuple[FloatArray, int]:
    values = check_singular_values(values)
    if np.any(values == 0.0):
        raise InvalidValue("singular values must be > 0 for a volume, got 0.0: leave out zeros and give the width")
    r = values.shape[-1]
    d = r if width is None else width
    if d < r:
        raise InvalidValue(f"width must be >= {r}, the number of singular values, got {width!r}")
    check_rank(r, d)
    return values, d


def _log_vandermonde(lam: FloatArray) -> FloatArray:
    """Σ_{k<l} log|λ_k² − λ_l²|, without cancellation."""
    k, l = np.triu_indices(lam.shape[-1], 1)
    high, u = log_ratios(lam)
    with np.errstate(divide="ignore"):
        gaps = 2.0 * np.log(high) + np.log(-np.expm1(-u))
    return np.asarray(np.sum(gaps[..., k, l], axis=-1))
