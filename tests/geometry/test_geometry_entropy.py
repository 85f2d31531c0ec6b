"""The entropy of group orbits: Theorem 10, (12.8), (14.11), the free energy."""

import math

import numpy as np
import pytest
from geometry_tools import (
    DEPTHS,
    SIGMA,
    error,
    first,
    gradient,
    log_determinant,
    matrix,
    normal,
    orthogonal,
    plane,
    rotation,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnmc import geometry as geo


def orbit_tangents(lam, Q, planes):
    """Tangents of the orbit over 𝔷(λ, Q): every inner Q_p turned in every plane, by finite differences."""
    d, r = Q.shape[-2:]
    whole = np.array([np.hstack([q, np.linalg.qr(np.hstack([q, np.eye(d)]))[0][:, r:]]) for q in Q])

    def turned(p, B, t):
        moved = whole.copy()
        moved[p] = moved[p] @ rotation(B, t)
        return geo.chart_z(lam, moved[..., :r])

    rates = [plane(d, k, l) / math.sqrt(2) for k, l in planes]
    return [first(lambda t, p=p, B=B: turned(p, B, t)) for p in range(1, len(Q) - 1) for B in rates]


def frobenius(a, b):
    return np.sum(a * b)


@pytest.mark.parametrize("N", DEPTHS)
def test_theorem_10_is_the_volume_of_the_orbit(N):
    """In the metric in which (e_k e_lᵀ − e_l e_kᵀ)/√2 has length 1 the density is exactly Π √a_kl."""
    lam, Q = SIGMA ** (1 / N), orthogonal(1, N + 1, 3, 3)
    found = log_determinant(orbit_tangents(lam, Q, [(0, 1), (0, 2), (1, 2)]), frobenius)
    W = Q[N] * SIGMA @ Q[0].T
    assert geo.entropy(N, W) == pytest.approx(found, abs=1e-9)
    text = sum(math.log((a**2 - b**2) / (a ** (2 / N) - b ** (2 / N))) for a, b in ((1.7, 1.1), (1.7, 0.6), (1.1, 0.6)))
    assert geo.entropy(N, W) == pytest.approx(text / 2, abs=1e-13)


@pytest.mark.parametrize("N", DEPTHS)
def test_entropy_at_rank_r_is_the_volume_of_the_orbit(N):
    lam, Q = np.array([1.2, 0.7]), orthogonal(2, N + 1, 4, 2)
    planes = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3)]
    found = log_determinant(orbit_tangents(lam, Q, planes), frobenius)
    W = geo.end_to_end(geo.chart_z(lam, Q))
    assert geo.entropy(N, W, rank=2) == pytest.approx(found, abs=1e-9)
    assert geo.entropy_of_singular_values(N, np.array([*lam**N, 0.0, 0.0])) == pytest.approx(found, abs=1e-9)


def test_the_constant_of_an_orbit():
    """d = 2, N = 2: two circles, traced once by the angle of Q_1 in [0, 2π)."""
    W = matrix(3, [1.3, 0.4])
    Q_N, s, Q_0T = np.linalg.svd(W)

    def point(t):
        return geo.chart_z(np.sqrt(s), np.array([Q_0T.T, rotation(plane(2, 0, 1), t), Q_N]))

    length = 2 * math.pi * np.linalg.norm(first(point))
    assert math.exp(geo.log_orbit_volume(2, W)) == pytest.approx(2 * length, rel=1e-10)
    W = matrix(4)
    difference = geo.log_orbit_volume(3, W) - geo.entropy(3, W)
    log_c = math.log(2 * 2**1.5 * (2 * math.pi) * (4 * math.pi))  # O_3: two copies of circles over the sphere
    assert difference == pytest.approx(2 * log_c, rel=1e-14)
    assert geo.log_orbit_volume(1, W) == 0.0


@pytest.mark.parametrize("N", [1, *DEPTHS, 2.5, math.inf])
def test_gradient_of_the_entropy(N):
    """(12.8) against finite differences of S over all entries of W, made Riemannian by A."""
    W = matrix(5)
    found = geo.apply_A(N, W, gradient(lambda V: geo.entropy(N, V), W))
    value = geo.entropy_gradient(N, W)
    if N == 1:
        assert np.max(np.abs(value)) == 0.0
        assert np.max(np.abs(found)) < 1e-12
        return
    assert error(value, found) < 1e-9
    if math.inf > N:
        lam = SIGMA ** (1 / N)
        text = np.zeros(3)
        for k, l in ((0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)):
            x, y = lam[k], lam[l]
            power = 2 * N
            text[k] += x ** (N - 1) * (N * x ** (power - 1) / (x**power - y**power) - x / (x**2 - y**2))
        assert error(geo.sigma_prime(N, SIGMA), text) < 1e-13
        without = text - np.array([0.0, 0.0, 1e-3])
        assert error(geo.sigma_prime(N, SIGMA), without) > 1e-5


@pytest.mark.parametrize("N", [2, 3, 7])
def test_entropic_drift_is_smooth_through_coincidences(N):
    """Against λ_k ∂_{x_k} log Σ_s x_k^{N−s} x_l^{s−1}, which has no difference of anything."""
    powers = np.arange(N)
    for gap in (0.0, 1e-15, 1e-12, 1e-9, 1e-6, 1e-3, 0.2, 0.6, 5.0, 1e3, 1e9):
        s = np.array([1.1, 1.1 * (1 + gap)])
        lam = s ** (1 / N)
        x, y = lam**2, lam[::-1] ** 2
        terms = [x[k] ** (N - 1 - powers) * y[k] ** powers for k in range(2)]
        slopes = [sum((N - 1 - powers) * t) / sum(t) / x[k] for k, t in enumerate(terms)]
        np.testing.assert_allclose(geo.sigma_prime(N, s), lam**N * slopes, rtol=2e-14)
    rounded = np.array([1.1, 1.1 * (1 + 1e-9)]) ** (1 / 3)  # control: the two sums of (12.8), as they stand
    naive = rounded[0] ** 2 * (
        3 * rounded[0] ** 5 / (rounded[0] ** 6 - rounded[1] ** 6) - rounded[0] / (rounded[0] ** 2 - rounded[1] ** 2)
    )
    assert abs(naive - geo.sigma_prime(3, np.array([1.1, 1.1]))[0]) > 1e-8


def test_entropic_drift_with_zeros():
    np.testing.assert_array_equal(geo.sigma_prime(3, np.zeros(2)), 0.0)
    tiny = geo.entropy_of_singular_values(4, np.array([3e-300, 1e-300]))  # where a_kl underflows
    shift = 1.5 / 2 * math.log(1e-300)
    assert tiny == pytest.approx(float(geo.entropy_of_singular_values(4, np.array([3.0, 1.0]))) + shift, rel=1e-14)
    np.testing.assert_array_equal(geo.sigma_prime(1, np.array([1.0, 1e-310])), 0.0)
    one = geo.sigma_prime(3, np.array([1.4, 0.0, 0.0]))
    np.testing.assert_allclose(one, [2 * 3 * 1.4 ** (1 / 3) * (1 - 1 / 3), 0.0, 0.0], rtol=1e-14)
    near = geo.sigma_prime(3, np.array([1.4, 1e-20, 1e-30]))
    np.testing.assert_allclose(near, one, atol=1e-6)
    assert geo.entropy_of_singular_values(math.inf, np.array([1.0, 0.0])) == -math.inf
    np.testing.assert_allclose(geo.sigma_prime(math.inf, np.array([1.4, 0.0])), [1.4, 0.0], rtol=1e-15)
    W = matrix(6, [1.4, 0.9, 0.0])
    for N in (1.5, 2, 3):
        found = geo.apply_A(N, W, gradient(lambda V, N=N: geo.entropy(N, V, rank=2), W), rank=2)
        assert error(geo.entropy_gradient(N, W, rank=2), found) < 1e-9


def test_infinite_depth_is_the_limit_and_has_the_factor_one_half():
    W = matrix(7)
    for N in (1e4, 1e5):
        shift = geo.entropy(N, W) - geo.entropy(math.inf, W) - 1.5 * math.log(N)
        assert abs(shift) < 3 / N
        assert error(geo.entropy_gradient(N, W) / N, geo.entropy_gradient(math.inf, W)) < 2 / N
    text = sum(
        math.log((a**2 - b**2) / (2 * math.log(a / b))) for a, b in ((1.7, 1.1), (1.7, 0.6), (1.1, 0.6))
    )  # (14.11) as printed
    assert geo.entropy(math.inf, W) == pytest.approx(text / 2, abs=1e-13)
    assert abs(geo.entropy(math.inf, W) - text) > 0.1


def test_free_energy():
    W = normal(8, 5, 3, 3)
    E = 0.5 * np.sum(W**2, axis=(-1, -2))
    np.testing.assert_allclose(geo.free_energy(3, W, E, 4.0), E - geo.entropy(3, W) / 4.0, rtol=1e-14)
    np.testing.assert_array_equal(geo.free_energy(3, W, E, math.inf), E)
    assert geo.free_energy(math.inf, np.diag([1.0, 0.0]), 2.5, math.inf) == 2.5  # where S is −∞


@settings(deadline=None, max_examples=40)
@given(st.one_of(st.floats(1.0, 50.0), st.just(math.inf)), st.integers(0, 2**20), st.floats(0.2, 5.0))
def test_invariance_scaling_and_order(N, seed, c):
    sigma = np.random.default_rng(seed).uniform(0.1, 2.0, 4)
    W, U = matrix(seed, sigma), orthogonal(seed + 1, 4, 4)
    assert geo.entropy(N, U @ W) == pytest.approx(float(geo.entropy(N, W)), abs=1e-11)
    assert geo.entropy(N, W.T) == pytest.approx(float(geo.entropy(N, W)), abs=1e-11)
    assert geo.entropy(N, c * W) == pytest.approx(float(geo.entropy(N, W)) + 6 * (1 - 1 / N) * math.log(c), abs=1e-11)
    slopes = geo.sigma_prime(N, sigma)
    assert np.all(slopes >= 0)  # the entropy pushes up, away from low rank
    order = np.argsort(sigma)
    np.testing.assert_allclose(geo.sigma_prime(N, sigma[order]), slopes[order], rtol=1e-11)
    np.testing.assert_allclose(geo.entropy_gradient(N, U @ W), U @ geo.entropy_gradient(N, W), atol=1e-9)
    a_kk = np.diag(geo.eigenvalues_of_A(N, sigma))
    assert np.sum(slopes * sigma / a_kk) == pytest.approx(6 * (1 - 1 / N), abs=1e-11)  # Euler, from the scaling


@pytest.mark.parametrize(
    ("call", "pieces"),
    [
        (lambda: geo.log_orbit_volume(2.5, np.eye(2)), ["whole number", "2.5"]),
        (lambda: geo.log_orbit_volume(math.inf, np.eye(2)), ["finite", "inf"]),
        (lambda: geo.log_orbit_volume(2, np.diag([1.0, 0.0])), ["full rank", "0."]),
        (lambda: geo.free_energy(2, np.eye(2), 0.0, -1.0), ["beta", "-1.0"]),
    ],
)
def test_what_is_refused(refused, call, pieces):
    refused(call, *pieces)
