"""The Bures–Wasserstein geometry of positive definite matrices: depth 2 with W_2 = W_1ᵀ (Remark 9).

It is the submersion W_1 → W_1ᵀ W_1 of one factor. A network (W_1ᵀ, W_1) is twice as long squared as its one factor,
so that g² is twice the Bures–Wasserstein metric on symmetric tangent matrices; the paper's remark leaves out the 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dlnmc.errors import InvalidValue
from dlnmc.geometry.base import FloatArray, check_matrix, conjugated, inner, transposed


def bures_wasserstein_metric(P: FloatArray, Z1: FloatArray, Z2: FloatArray) -> FloatArray:
    """g^BW(Z1, Z2) = ½ Tr(Z1 L), LP + PL = Z2 (Bhatia, Jain and Lim 2019), (...).

    P (..., d, d) is symmetric and positive definite, Z1 and Z2 (..., d, d) are symmetric. Raises InvalidValue for
    another P.

    See docs/mathematics.md, "Where the paper's text differs".
    """
    values, vectors = _positive("P", P)
    if np.any(values <= 0.0):
        raise InvalidValue(f"P must be positive definite, got the eigenvalue {np.min(values)!r}")
    Y1, Y2 = (transposed(vectors) @ _symmetric(Z) @ vectors for Z in (Z1, Z2))
    return inner(Y1, Y2 / (values[..., :, None] + values[..., None, :])) / 2.0


def bures_wasserstein_distance(P: FloatArray, R: FloatArray) -> FloatArray:
    """√(Tr P + Tr R − 2 Tr (P^½ R P^½)^½), (...), for positive semidefinite P and R (..., d, d).

    It is the smallest ‖W_1 − V_1‖ with W_1ᵀW_1 = P and V_1ᵀV_1 = R: P^½ and R^½ are turned onto each other, then
    subtracted, which loses no digits where P and R nearly agree.
    """
    roots = []
    for name, S in (("P", P), ("R", R)):
        values, vectors = _positive(name, S)
        roots.append(conjugated(vectors, np.sqrt(np.maximum(values, 0.0)), vectors))
    left, _, right = np.linalg.svd(roots[0] @ roots[1])
    gap = left @ right @ roots[1] - roots[0]
    return np.asarray(np.sqrt(inner(gap, gap)))


def _symmetric(value: Any) -> FloatArray:
    Z = check_matrix("Z", value)
    if not np.allclose(Z, transposed(Z), rtol=1e-10, atol=1e-10 * float(np.max(np.abs(Z), initial=0.0))):
        raise InvalidValue("a matrix of the Bures–Wasserstein geometry must be symmetric, got one that is not")
    return Z


def _positive(name: str, P: Any) -> tuple[FloatArray, FloatArray]:
    values, vectors = np.linalg.eigh(_symmetric(P))
    if np.any(values[..., 0] < -1e-12 * np.abs(values[..., -1])):
        raise InvalidValue(f"{name} must be positive semidefinite, got the eigenvalue {np.min(values)!r}")
    return values, vectors
