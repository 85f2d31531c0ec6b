"""The RLE downstairs: Theorem 18 by the Laplace–Beltrami operator, and (12.12) by its equilibrium."""

import math

import numpy as np
import pytest
from geometry_tools import DEPTHS, SIGMA, A_by_powers, error, first, gradient, matrix, normal, orthogonal, second
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnmc import geometry as geo

ALL = [1, *DEPTHS, math.inf]


def divergence(field, W):
    """Σ_j ∂_j field_ij(W) over the entries j of W, for field (d², d²)."""
    total = 0.0
    for j in range(W.size):
        e = np.zeros(W.size)
        e[j] = 1.0
        total = total + first(lambda t, j=j, e=e: field(W + t * e.reshape(W.shape))[:, j])
    return total.reshape(W.shape)


@pytest.mark.parametrize("N", ALL)
def test_theorem_18_by_the_laplace_beltrami_operator(N):
    """Δ_g W = (1/√g) ∂_j(√g g^{ij}) (10.4), with g^{-1} = A by (4.14), is Q_N Σ'' Q_0ᵀ."""
    W = matrix(1)

    def density(V):
        return 1 / math.sqrt(np.linalg.det(A_by_powers(N, V)))

    found = divergence(lambda V: density(V) * A_by_powers(N, V), W) / density(W)
    value = geo.brownian_drift(N, W)
    assert np.max(np.abs(value - found)) < 1e-9
    if N > 1:
        assert error(value, found) < 1e-9
        wrong = value * (N / (N - 1) if math.inf > N else 1.001)  # N λ^{N−2} in place of (N−1) λ^{N−2}
        assert error(wrong, found) > 1e-4


@pytest.mark.parametrize("kappa", [0.3, 0.5, 2.0])
@pytest.mark.parametrize("N", ALL)
def test_drift_is_that_of_the_equilibrium(N, kappa):
    """No flux at p(W) ∝ Π σ^{−(1−1/N)} Π a_ij^{1/(2κ)−1} e^{−βE/κ}: drift = div D + D ∇log p with D = (κ/β) A."""
    W, beta, mask, target = matrix(2), 1.7, np.array([[1, 0, 1], [0, 1, 1], [1, 0, 0]]), normal(3, 3, 3)
    E_prime = mask * (W - target)

    def log_p(V):
        s = np.linalg.svd(V)[1]
        a = geo.eigenvalues_of_A(N, s)
        pairs = (1 / (2 * kappa) - 1) * math.log(a[0, 1] * a[0, 2] * a[1, 2])
        return pairs - (1 - 1 / N) * np.sum(np.log(s)) - beta / kappa * 0.5 * np.sum(mask * (V - target) ** 2)

    found = divergence(lambda V: A_by_powers(N, V), W) + A_by_powers(N, W, gradient(log_p, W))
    found *= kappa / beta
    value = geo.drift(N, W, E_prime, beta, kappa)
    assert error(value, found) < 1e-9
    if N > 1:
        assert error(value - kappa / beta * geo.brownian_drift(N, W), found) > 1e-3  # without Σ''
        assert error(value - geo.entropy_gradient(N, W) / beta, found) > 1e-3  # without the entropy


@pytest.mark.parametrize("N", ALL)
def test_noise(N):
    W, beta, kappa = matrix(4), 2.0, 0.7
    basis = np.eye(9).reshape(9, 3, 3)
    columns = geo.noise(N, W, basis, beta, kappa).reshape(9, 9).T
    D = 2 * kappa / beta * A_by_powers(N, W)
    assert error(columns @ columns.T, D) < 1e-13
    assert error(geo.covariance(N, W, beta, kappa), D) < 1e-13
    Q_N, s, Q_0T = np.linalg.svd(W)  # (12.10) in the singular frame is the same in law, not the same matrix
    framed = np.array([Q_N @ (np.sqrt(geo.eigenvalues_of_A(N, s)) * Z) @ Q_0T for Z in basis]).reshape(9, 9).T
    assert error(2 * kappa / beta * framed @ framed.T, D) < 1e-13
    if N > 1:
        assert error(geo.eigenvalues_of_A(N, s).ravel() * np.eye(9) * 2 * kappa / beta, D) > 1e-2  # not conjugated


@pytest.mark.parametrize("N", [1, *DEPTHS])
def test_drift_of_the_singular_values(N):
    """Itô's formula for σ_k(W), with E = ½ Tr WᵀW, gives the drift in σ that closes on the singular values."""
    W, beta, kappa, lam = matrix(10), 2.0, 0.7, SIGMA ** (1 / N)
    basis = np.eye(9).reshape(9, 3, 3)
    found = first(lambda t: np.linalg.svd(W + t * geo.drift(N, W, W, beta, kappa))[1])
    for step in geo.noise(N, W, basis, beta, kappa):
        found = found + 0.5 * second(lambda t, step=step: np.linalg.svd(W + t * step)[1])
    repulsion = np.array([sum(1 / (x**2 - y**2) for y in lam if y != x) for x in lam])
    ito = (N - 1) * lam ** (N - 2) + 2 * lam**N * repulsion
    text = -N * SIGMA ** (3 - 2 / N) + geo.sigma_prime(N, SIGMA) / beta + kappa / beta * ito
    assert error(found, text) < 1e-8
    assert error(found, text - kappa / beta * lam**N * repulsion) > 1e-2


@settings(deadline=None, max_examples=30)
@given(st.floats(1.0, 50.0) | st.just(math.inf), st.integers(0, 2**20), st.sampled_from([0.0, 0.4, 1.5]))
def test_equivariance(N, seed, kappa):
    W, E_prime, U, V = matrix(seed), normal(seed + 1, 3, 3), orthogonal(seed + 2, 3, 3), orthogonal(seed + 3, 3, 3)
    whole = geo.drift(N, W, E_prime, 1.3, kappa)
    moved = geo.drift(N, U @ W @ V.T, U @ E_prime @ V.T, 1.3, kappa)
    assert error(moved, U @ whole @ V.T) < 1e-12
    assert error(geo.drift(N, W.T, E_prime.T, 1.3, kappa), whole.T) < 1e-12


@pytest.mark.parametrize("N", ALL)
def test_smooth_through_repeated_singular_values(N):
    """All of (12.12) at W = 0.8·orthogonal, and its continuity there."""
    Q, Z = orthogonal(5, 3, 3), normal(6, 3, 3)
    factor = 1.0 if math.inf == N else float(N)
    power = 0.8 ** (1 - 2 / N)
    S2 = 0.8 if math.inf == N else (N - 1) * power
    S1 = factor * power * (1 - 1 / N)  # two pairs, each half of 1 − 1/N
    value = geo.drift(N, 0.8 * Q, Z, 2.0, 0.6)
    assert error(value, -factor * 0.8 ** (2 - 2 / N) * Z + (S1 + 0.6 * S2) / 2.0 * Q) < 1e-13
    assert error(geo.drift(N, 0.8 * Q + 1e-9 * Z, Z, 2.0, 0.6), value) < 1e-7


def test_gradient_flow_at_zero_temperature_and_special_drifts():
    W, Z = matrix(7), normal(8, 3, 3)
    np.testing.assert_array_equal(geo.drift(3, W, Z, math.inf, 1.0), -geo.apply_A(3, W, Z))
    assert np.max(np.abs(geo.brownian_drift(1, np.diag([1.0, 0.0])))) == 0.0
    np.testing.assert_array_equal(geo.sigma_second(3, np.array([8.0, 0.0])), [2.0 * 8.0 ** (1 / 3), 0.0])
    np.testing.assert_array_equal(geo.sigma_second(math.inf, SIGMA), SIGMA)
    rescaled = geo.drift(1e6, W, Z, 2.0, 0.7) / 1e6
    assert error(geo.drift(math.inf, W, Z, 2.0, 0.7), rescaled) < 1e-5


@pytest.mark.parametrize(
    ("call", "pieces"),
    [
        (lambda: geo.drift(2, np.eye(2), np.eye(2), 0.0, 1.0), ["beta", "0.0"]),
        (lambda: geo.noise(2, np.eye(2), np.eye(2), 1.0, -0.1), ["kappa", "-0.1"]),
        (lambda: geo.brownian_drift(2, np.diag([1.0, 0.0])), ["depth 2", "0.0"]),
    ],
)
def test_what_is_refused(refused, call, pieces):
    refused(call, *pieces)
