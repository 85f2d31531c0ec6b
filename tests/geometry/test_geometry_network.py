"""The network upstairs and its balanced varieties: lift, Theorems 1 and 2, parametrisations."""

import math

import numpy as np
import pytest
from geometry_tools import DEPTHS, error, first, gradient, matrix, normal, orthogonal, second, symmetric_power
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnmc import geometry as geo

MASK, TARGET = np.array([[1, 0, 1], [0, 1, 1], [1, 0, 0]]), normal(99, 3, 3)


def energy(W):
    return 0.5 * np.sum(MASK * (W - TARGET) ** 2, axis=(-1, -2))


def negative(seed, *shape):
    """Negative definite matrices."""
    S = normal(seed, *shape)
    return -S @ np.swapaxes(S, -1, -2) - 0.1 * np.eye(shape[-1])


@pytest.mark.parametrize("N", [1, *DEPTHS])
def test_lift(N):
    """(3.6) against finite differences of L = E∘φ, in every entry of every factor."""
    W, V = normal(1, N, 3, 3) / 1.5, normal(2, N, 3, 3)
    product = np.linalg.multi_dot([np.eye(3), *W[::-1]]) if N > 1 else W[0]
    assert error(geo.end_to_end(W), product) < 1e-14
    E_prime = MASK * (product - TARGET)
    found = gradient(lambda X: energy(geo.end_to_end(X)), W)
    assert error(geo.lifted_gradient(W, E_prime), found) < 1e-10
    assert error(geo.gradient_flow(W, E_prime), -found) < 1e-10
    assert error(geo.differential(W, V), first(lambda t: geo.end_to_end(W + t * V))) < 1e-10
    if N > 1:
        assert error(geo.second_differential(W, V), second(lambda t: geo.end_to_end(W + t * V))) < 1e-9
    after, before = geo.partial_products(W)
    flow = -sum(a @ a.T @ E_prime @ b.T @ b for a, b in zip(after, before, strict=True))  # (4.9)
    assert error(geo.end_to_end_flow(W, E_prime), flow) < 1e-14


@pytest.mark.parametrize("N", DEPTHS)
def test_theorem_1_the_flow_conserves_the_balance(N):
    W = normal(3, N, 3, 3) / 1.5
    velocity = geo.gradient_flow(W, MASK * (geo.end_to_end(W) - TARGET))
    rate = first(lambda t: geo.balance(W + t * velocity))
    assert np.max(np.abs(rate)) < 1e-11 * np.max(np.abs(velocity))
    wrong = velocity.copy()
    wrong[0] *= 1.001
    assert np.max(np.abs(first(lambda t: geo.balance(W + t * wrong)))) > 1e-4
    assert error(W[1].T @ W[1], W[0] @ W[0].T - geo.balance(W)[0]) < 1e-14  # (4.2); with the sign of (4.8) it fails
    assert error(W[1].T @ W[1], W[0] @ W[0].T + geo.balance(W)[0]) > 0.1


@pytest.mark.parametrize("N", DEPTHS)
def test_theorem_2_the_flow_of_a_balanced_network(N):
    W = matrix(4)
    E_prime = MASK * (W - TARGET)
    for gauge in (None, orthogonal(5, N - 1, 3, 3)):
        factors = geo.balanced_over(W, N, gauge)
        assert error(geo.end_to_end(factors), W) < 1e-13
        assert geo.imbalance(factors) < 1e-14
        assert error(geo.end_to_end_flow(factors, E_prime), -geo.apply_A(N, W, E_prime)) < 1e-12
        assert error(np.linalg.svd(factors)[1], np.array([[1.7, 1.1, 0.6]] * N) ** (1 / N)) < 1e-14
        after, before = geo.partial_products(factors)  # (7.11) corrected: exponents (N−p)/N of A_{p+1}
        assert error(after[0] @ after[0].T, symmetric_power(W @ W.T, (N - 1) / N)) < 1e-13
        assert error(before[-1].T @ before[-1], symmetric_power(W.T @ W, (N - 1) / N)) < 1e-13
    unbalanced = factors.copy()
    unbalanced[0] *= 2.0
    unbalanced[1] /= 2.0
    assert error(geo.end_to_end_flow(unbalanced, E_prime), -geo.apply_A(N, W, E_prime)) > 0.1
    np.testing.assert_array_equal(geo.is_balanced(np.stack([factors, unbalanced])), [True, False])
    assert geo.imbalance(np.zeros((N, 3, 3))) == 0.0


@pytest.mark.parametrize("N", [1, *DEPTHS])
def test_charts_x_and_y(N):
    G, Q, W_1 = negative(6, N - 1, 3, 3), orthogonal(7, N - 1, 3, 3), matrix(8)
    x = geo.chart_x(W_1, Q, G)
    assert x.shape == (N, 3, 3)
    np.testing.assert_array_equal(x[0], W_1)
    np.testing.assert_allclose(geo.balance(x), G, atol=1e-12)
    for p in range(1, N):  # the polar factor is the given one, so that 𝔵 is one to one
        U, _, V = np.linalg.svd(x[p])
        assert error(U @ V, Q[p - 1]) < 1e-11
    y = geo.chart_y(matrix(9), Q, -G)
    np.testing.assert_array_equal(y[-1], matrix(9))
    np.testing.assert_allclose(geo.balance(y), -G, atol=1e-12)
    for p in range(N - 1):
        U, _, V = np.linalg.svd(y[p])
        assert error((U @ V).T, Q[p]) < 1e-11
    assert geo.is_balanced(geo.chart_x(W_1, Q))
    assert geo.is_balanced(geo.chart_y(W_1, Q))


def test_charts_with_width_one_are_hyperbolas():
    """(5.10)."""
    w = geo.chart_x(np.array([[1.5]]), np.array([[[-1.0]], [[1.0]]]), np.array([[[0.6]], [[-0.4]]]))[:, 0, 0]
    np.testing.assert_allclose(w, [1.5, -math.sqrt(1.5**2 - 0.6), math.sqrt(1.5**2 - 0.6 + 0.4)], rtol=1e-15)


@pytest.mark.parametrize("r", [1, 2, 4])
@pytest.mark.parametrize("N", [1, *DEPTHS])
def test_chart_z_and_its_inverse(N, r):
    lam, Q = np.array([1.3, 0.9, 0.9, 0.4])[:r], orthogonal(10, 2, N + 1, 4, r)
    factors = geo.chart_z(lam, Q)
    assert np.all(geo.is_balanced(factors, 1e-14))
    W = Q[:, N] * lam**N @ np.swapaxes(Q[:, 0], -1, -2)
    assert error(geo.end_to_end(factors), W) < 1e-14
    found, frames = geo.frames(factors, rank=r)
    np.testing.assert_allclose(found, np.stack([lam, lam]), rtol=1e-13)
    assert error(np.swapaxes(frames, -1, -2) @ frames, np.eye(r)) < 1e-13
    assert error(geo.chart_z(found, frames), factors) < 1e-13
    x = geo.chart_x_of_rank(factors[0, 0], frames[0, 2:])
    y = geo.chart_y_of_rank(factors[0, N - 1], frames[0, : N - 1])
    assert error(x, factors[0]) < 1e-12
    assert geo.is_balanced(y, 1e-13)
    np.testing.assert_allclose(y[-1], factors[0, N - 1], atol=1e-14)
    if N > 1:
        U = frames[0, 0]
        assert error(y[0].T @ y[0], U * lam**2 @ U.T) < 1e-12


@pytest.mark.parametrize("r", [1, 2, 3, 4])
def test_dimensions(r):
    """The rank of the differential of 𝔷_r, and of φ_* on its image."""
    d, N = 4, 3
    rng = np.random.default_rng(11)
    lam, Q = np.array([1.4, 1.0, 0.7, 0.4])[:r], orthogonal(12, N + 1, d, r)
    tangents = []
    for _ in range(70):
        theta, A = rng.standard_normal(r), rng.standard_normal((N + 1, d, d))
        A = A - np.swapaxes(A, -1, -2)
        tangents.append(first(lambda t, theta=theta, A=A: geo.chart_z(lam + t * theta, Q + t * A @ Q)))
    moves = np.array([geo.differential(geo.chart_z(lam, Q), V) for V in tangents])
    network = np.linalg.matrix_rank(np.reshape(tangents, (70, -1)), tol=1e-6)
    end_to_end = np.linalg.matrix_rank(moves.reshape(70, -1), tol=1e-6)
    assert geo.dimensions(d, N, r) == (network, end_to_end, network - end_to_end)
    assert geo.dimensions(d, N) == (16 + 2 * 6, 16, 12)  # (4.6)
    assert geo.dimensions(2, 2).network == 5  # Remark 8


def test_rank_deficient_networks():
    W = matrix(13, [1.4, 0.7, 0.0])
    factors = geo.balanced_over(W, 5, orthogonal(14, 4, 3, 3), rank=2)
    assert error(geo.end_to_end(factors), W) < 1e-14
    assert np.max(np.linalg.svd(factors)[1][:, 2]) < 1e-15
    E_prime = normal(15, 3, 3)
    assert error(geo.end_to_end_flow(factors, E_prime), -geo.riemannian_gradient(5, W, E_prime, rank=2)) < 1e-13


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 2**20))
def test_adjointness_and_symmetries(N, d, seed):
    W, V, Z = normal(seed, N, d, d), normal(seed + 1, N, d, d), normal(seed + 2, d, d)
    size = 1e-13 * np.prod(np.linalg.norm(W, axis=(-2, -1)) + 1) * 100
    assert np.sum(geo.lifted_gradient(W, Z) * V) == pytest.approx(np.sum(Z * geo.differential(W, V)), abs=size)
    g = orthogonal(seed + 3, N - 1, d, d)
    moved = geo.gauge_transformed(W, g)
    np.testing.assert_allclose(geo.end_to_end(moved), geo.end_to_end(W), atol=size)
    np.testing.assert_allclose(geo.balance(moved), g @ geo.balance(W) @ np.swapaxes(g, -1, -2), atol=size)
    flow = geo.gradient_flow(moved, Z)
    np.testing.assert_allclose(flow, geo.gauge_transformed(geo.gradient_flow(W, Z), g), atol=size)
    c = 1.7
    np.testing.assert_allclose(geo.balance(c * W), c**2 * geo.balance(W), atol=size)
    np.testing.assert_allclose(geo.end_to_end(c * W), c**N * geo.end_to_end(W), rtol=1e-11, atol=size)


def test_batches():
    W, Z = normal(16, 4, 1, 3, 2, 2), normal(17, 5, 2, 2)
    assert geo.lifted_gradient(W, Z).shape == (4, 5, 3, 2, 2)
    assert geo.end_to_end(W).shape == (4, 1, 2, 2)
    assert geo.balance(W).shape == (4, 1, 2, 2, 2)
    assert geo.balanced_over(normal(18, 4, 5, 2, 2), 3, orthogonal(19, 5, 2, 2, 2)).shape == (4, 5, 3, 2, 2)
    assert geo.chart_x(normal(18, 4, 2, 2), orthogonal(19, 4, 2, 2, 2)).shape == (4, 3, 2, 2)


@pytest.mark.parametrize(
    ("call", "pieces"),
    [
        (lambda: geo.end_to_end(np.eye(3)), ["factors", "(3, 3)"]),
        (lambda: geo.balance(np.ones((2, 3, 2))), ["factors", "(2, 3, 2)"]),
        (lambda: geo.balanced_over(np.eye(2), 2.5), ["whole number", "2.5"]),
        (lambda: geo.balanced_over(np.eye(2), 3, np.eye(2)), ["gauge", "(2, 2)"]),
        (lambda: geo.balanced_over(np.eye(2), 2, np.ones((1, 2, 2))), ["orthogonal", "1."]),
        (lambda: geo.dimensions(0, 2), [">= 1", "0"]),
        (lambda: geo.frames(np.stack([np.eye(2)] * 2), rank=1), ["rank 1", "1."]),
        (lambda: geo.dimensions(3, 2, 4), ["rank", "4"]),
        (lambda: geo.chart_x(np.eye(2), np.eye(2)[None], 2.0 * np.eye(2)), ["square root", "-1.0"]),
        (lambda: geo.chart_x(np.eye(2), np.eye(2)), ["polar factors", "(2, 2)"]),
        (lambda: geo.chart_x_of_rank(np.eye(2), np.ones((1, 2, 1))), ["rank 1"]),
        (lambda: geo.frames(np.stack([np.eye(2), 2 * np.eye(2)])), ["balanced", "‖G‖"]),
        (lambda: geo.frames(np.zeros((2, 2, 2))), ["rank 2", "0."]),
    ],
)
def test_what_is_refused(refused, call, pieces):
    refused(call, *pieces)
