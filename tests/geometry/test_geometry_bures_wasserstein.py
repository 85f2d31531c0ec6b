"""Bures–Wasserstein: Remark 9 and its factor 2."""

import numpy as np
import pytest
from geometry_tools import error, normal, orthogonal, symmetric_power
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnmc import geometry as geo


def positive(seed, *shape):
    W = normal(seed, *shape)
    return W @ np.swapaxes(W, -1, -2) + 0.1 * np.eye(shape[-1])


def symmetric(seed, *shape):
    Z = normal(seed, *shape)
    return Z + np.swapaxes(Z, -1, -2)


def test_depth_two_is_twice_bures_wasserstein():
    P, Z1, Z2 = positive(1, 3, 3), symmetric(2, 3, 3), symmetric(3, 3, 3)
    value = geo.bures_wasserstein_metric(P, Z1, Z2)
    assert geo.metric(2, P, Z1, Z2) == pytest.approx(2 * float(value), rel=1e-12)
    L = np.linalg.solve(np.kron(P, np.eye(3)) + np.kron(np.eye(3), P), Z2.ravel()).reshape(3, 3)
    assert value == pytest.approx(0.5 * np.trace(Z1 @ L), rel=1e-12)


def test_metric_is_that_of_the_distance():
    P, Z = positive(4, 3, 3), symmetric(5, 3, 3)
    t = np.array([1e-3, 2e-3])[:, None, None]
    even = [geo.bures_wasserstein_distance(P - s * Z, P + s * Z) ** 2 / (2 * s[0, 0]) ** 2 for s in t]
    found = (4 * even[0] - even[1]) / 3  # errors are of second order in s
    assert found == pytest.approx(float(geo.bures_wasserstein_metric(P, Z, Z)), rel=1e-8)
    assert found != pytest.approx(float(geo.metric(2, P, Z, Z)), rel=0.1)


def test_metric_is_that_of_the_submersion():
    """W_1 → W_1ᵀ W_1: the shortest V with VᵀW_1 + W_1ᵀV = Z."""
    W, Z = normal(6, 3, 3), symmetric(7, 3, 3)
    rows = np.array([(V.T @ W + W.T @ V).ravel() for V in np.eye(9).reshape(9, 3, 3)]).T
    V = np.linalg.pinv(rows, rcond=1e-10) @ Z.ravel()
    assert error((rows @ V).reshape(3, 3), Z) < 1e-12
    assert pytest.approx(float(geo.bures_wasserstein_metric(W.T @ W, Z, Z)), rel=1e-11) == V @ V
    network = np.stack([W, W.T])  # W_2 = W_1ᵀ is balanced, and its horizontal lift of Z is twice as long squared
    assert geo.is_balanced(network)
    lift = geo.horizontal_lift(network, Z)
    np.testing.assert_allclose(lift[1], lift[0].T, atol=1e-12)
    assert np.sum(lift**2) == pytest.approx(2 * V @ V, rel=1e-11)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 4), st.integers(0, 2**20))
def test_distance(d, seed):
    P, R, Q = positive(seed, d, d), positive(seed + 1, d, d), orthogonal(seed + 2, d, d)
    distance = geo.bures_wasserstein_distance(P, R)
    half = symmetric_power(P, 0.5)
    text = np.trace(P) + np.trace(R) - 2 * np.sum(np.sqrt(np.linalg.eigvalsh(half @ R @ half)))
    assert distance**2 == pytest.approx(text, abs=1e-11 * np.trace(P + R))
    assert geo.bures_wasserstein_distance(R, P) == pytest.approx(float(distance), rel=1e-10)
    assert geo.bures_wasserstein_distance(Q @ P @ Q.T, Q @ R @ Q.T) == pytest.approx(float(distance), rel=1e-9)
    assert geo.bures_wasserstein_distance(P, P) < 1e-13 * d * np.trace(P)


@pytest.mark.parametrize(
    ("call", "pieces"),
    [
        (lambda: geo.bures_wasserstein_metric(np.diag([1.0, 0.0]), np.eye(2), np.eye(2)), ["definite", "0.0"]),
        (lambda: geo.bures_wasserstein_metric(np.eye(2), np.eye(2), np.triu(np.ones((2, 2)))), ["symmetric"]),
        (lambda: geo.bures_wasserstein_distance(np.eye(2), -np.eye(2)), ["R", "semidefinite", "-1.0"]),
    ],
)
def test_what_is_refused(refused, call, pieces):
    refused(call, *pieces)
