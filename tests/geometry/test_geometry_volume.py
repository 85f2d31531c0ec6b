"""The volume of g^N: Theorem 11 with the corrected exponent, at full rank and at rank r."""

import math

import numpy as np
import pytest
from geometry_tools import DEPTHS, SIGMA, A_by_powers, first, log_determinant, matrix, orthogonal, plane, rotation

from dlnmc import geometry as geo


def coordinate_tangents(sigma, Q_0, Q_N):
    """∂W/∂σ_k, and ∂W by plain angles of Q_0 and of Q_N in the planes (k, l) with k ≤ r, by finite differences."""
    d, r = Q_0.shape[-1], len(sigma)
    S = np.zeros((d, d))
    S[range(r), range(r)] = sigma
    tangents = [np.outer(Q_N[:, k], Q_0[:, k]) for k in range(r)]
    for k, l in [(i, j) for i in range(r) for j in range(i + 1, d)]:
        B = plane(d, k, l)
        tangents.append(first(lambda t, B=B: Q_N @ S @ (Q_0 @ rotation(B, t)).T))
        tangents.append(first(lambda t, B=B: Q_N @ rotation(B, t) @ S @ Q_0.T))
    return tangents


@pytest.mark.parametrize("N", [1, *DEPTHS, 2.5, math.inf])
def test_theorem_11(N):
    Q_0, Q_N = orthogonal(1, 3, 3), orthogonal(2, 3, 3)
    W = Q_N * SIGMA @ Q_0.T
    inverse = np.linalg.inv(geo.matrix_of_A(N, W) if N == 2.5 else A_by_powers(N, W))
    found = log_determinant(coordinate_tangents(SIGMA, Q_0, Q_N), lambda a, b: a.ravel() @ inverse @ b.ravel())
    assert geo.log_volume_sigma(N, SIGMA) == pytest.approx(found, abs=1e-9)
    assert geo.log_volume_matrix(N, W) == pytest.approx(np.linalg.slogdet(inverse)[1] / 2, abs=1e-12)
    if 1 < N < math.inf:  # (6.4) has the exponent +(N−1)/(2N) of det Σ²
        wrong = geo.log_volume_sigma(N, SIGMA) + 2 * (1 - 1 / N) * np.sum(np.log(SIGMA))
        assert abs(wrong - found) > 0.05


@pytest.mark.parametrize("N", DEPTHS)
def test_volume_at_rank_r(N):
    """By the pseudo-inverse of A, which is the metric on the matrices of rank r."""
    sigma, Q_0, Q_N = np.array([1.4, 0.5]), orthogonal(3, 4, 4), orthogonal(4, 4, 4)
    W = Q_N[:, :2] * sigma @ Q_0[:, :2].T
    inverse = np.linalg.pinv(geo.matrix_of_A(N, W, rank=2), rcond=1e-10)
    found = log_determinant(coordinate_tangents(sigma, Q_0, Q_N), lambda a, b: a.ravel() @ inverse @ b.ravel())
    assert geo.log_volume_sigma(N, sigma, width=4) == pytest.approx(found, abs=1e-8)
    lam = sigma ** (1 / N)
    text = math.log(abs(lam[0] ** 2 - lam[1] ** 2)) + 2 * math.log(lam[0] ** 2 * lam[1] ** 2) + math.log(N)
    assert geo.log_volume_lambda(N, lam, width=4) == pytest.approx(text, abs=1e-13)
    assert abs(geo.log_volume_lambda(N, lam) - text) > 0.1


def test_infinite_depth_is_the_limit():
    """The metric at depth inf is N g^N: d² halves of log N."""
    for N in (1e4, 1e6):
        shifted = geo.log_volume_sigma(N, SIGMA) + 4.5 * math.log(N)
        assert shifted == pytest.approx(float(geo.log_volume_sigma(math.inf, SIGMA)), abs=4 / N)


def test_entropy_and_volume_give_the_volume_upstairs():
    """√det h over all coordinates of M (8.9) is the volume downstairs times that of the orbit, per unit of each."""
    for N in DEPTHS:
        lam = SIGMA ** (1 / N)
        upstairs = 0.5 * np.linalg.slogdet(geo.pullback_metric(N, lam))[1]
        downstairs = geo.log_volume_lambda(N, lam) - 2 * 3 * math.log(2) / 2  # rates along α_kl for plain angles
        assert upstairs == pytest.approx(downstairs + geo.entropy_of_singular_values(N, SIGMA), abs=1e-12)


def test_coincidences_and_batches():
    assert geo.log_volume_lambda(2, np.array([1.0, 1.0])) == -math.inf
    assert geo.log_volume_sigma(math.inf, np.array([1.0, 1.0])) == -math.inf
    assert geo.log_volume_matrix(2, np.diag([1.0, 0.0])) == math.inf
    gap = 2.0**-40
    assert geo.log_volume_lambda(1, np.array([1.0, 1.0 + gap])) == pytest.approx(math.log(2 * gap + gap**2), rel=1e-14)
    stack = np.stack([SIGMA, 2 * SIGMA])
    assert geo.log_volume_sigma(3, stack)[0] == pytest.approx(float(geo.log_volume_sigma(3, SIGMA)), rel=1e-14)
    assert geo.log_volume_matrix(3, np.stack([matrix(5), matrix(6)])).shape == (2,)


@pytest.mark.parametrize(
    ("call", "pieces"),
    [
        (lambda: geo.log_volume_lambda(math.inf, SIGMA), ["finite", "inf"]),
        (lambda: geo.log_volume_sigma(math.inf, SIGMA, width=4), ["full rank 4", "3"]),
        (lambda: geo.log_volume_sigma(2, SIGMA, width=2), ["width", "2"]),
        (lambda: geo.log_volume_sigma(2, np.array([1.0, 0.0])), ["> 0", "0.0"]),
    ],
)
def test_what_is_refused(refused, call, pieces):
    refused(call, *pieces)
