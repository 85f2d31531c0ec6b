"""The tangent space of the balanced manifold: Lemma 2, Theorem 14, Theorem 13."""

import numpy as np
import pytest
from geometry_tools import DEPTHS, SIGMA, error, first, normal, orthogonal, plane, rotation
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnmc import geometry as geo

PAIRS = [(0, 1), (0, 2), (1, 2)]


def point(N, seed=1, sigma=SIGMA):
    return np.asarray(sigma) ** (1 / N), orthogonal(seed, N + 1, len(sigma), len(sigma))


def gram(vectors):
    flat = vectors.reshape(len(vectors), -1)
    return flat @ flat.T


def tangency(factors, vectors):
    """The largest first variation of the constraints (4.4)."""
    return max(np.max(np.abs(first(lambda t, V=V: geo.balance(factors + t * V))), initial=0.0) for V in vectors)


def with_plus(lam, Q):
    """Theorem 14's vertical vectors with the + that (8.21) has."""
    basis = geo.vertical_basis(lam, Q)
    C = np.swapaxes(Q[1:], -1, -2) @ basis @ Q[:-1]
    lower = np.tril(np.ones((len(lam), len(lam))), -1)
    return Q[1:] @ (C * (1 - 2 * lower)) @ np.swapaxes(Q[:-1], -1, -2)


@pytest.mark.parametrize("N", [1, *DEPTHS])
def test_differential_of_the_chart(N):
    """(8.2) and its standard basis against finite differences of 𝔷."""
    lam, Q = point(N)
    basis, index = geo.coordinate_basis(lam, Q), 3
    for i in range(3):
        assert error(basis[i], first(lambda t, i=i: geo.chart_z(lam + t * np.eye(3)[i], Q))) < 1e-10
    for k, l in PAIRS:
        for p in range(N + 1):

            def curve(t, p=p, k=k, l=l):
                moved = Q.copy()
                moved[p] = Q[p] @ rotation(plane(3, k, l) / np.sqrt(2), t)
                return geo.chart_z(lam, moved)

            assert error(basis[index], first(curve)) < 1e-10
            index += 1
    assert index == len(basis) == geo.dimensions(3, N).network


@pytest.mark.parametrize("N", [1, *DEPTHS])
def test_lemma_2(N):
    lam, Q = point(N)
    h = gram(geo.coordinate_basis(lam, Q))
    assert error(geo.pullback_metric(N, lam), h) < 1e-14
    at_first = np.linalg.det(geo.rotation_metric(N, lam[0], lam[1])[1:-1, 1:-1]) if N > 1 else 1.0
    assert at_first == pytest.approx(geo.eigenvalues_of_A(N, lam**N)[0, 1], rel=1e-12)  # why Theorem 10 holds
    literal = geo.chart_z_differential(lam, Q, np.zeros(3), np.swapaxes(Q, -1, -2) @ plane(3, 0, 1) @ Q)
    assert error(gram(literal[None])[0, 0], gram(geo.coordinate_basis(lam, Q)[3:4])[0, 0]) > 1e-2  # (8.8) as printed


@pytest.mark.parametrize("N", [1, *DEPTHS])
def test_theorem_14(N):
    """Orthonormal, tangent, complete, and vertical where it should be."""
    lam, Q = point(N)
    factors = geo.chart_z(lam, Q)
    vertical, horizontal = geo.vertical_basis(lam, Q), geo.horizontal_basis(lam, Q)
    both = np.concatenate([vertical, horizontal])
    assert len(both) == geo.dimensions(3, N).network
    assert len(vertical) == geo.dimensions(3, N).orbit
    assert error(gram(both), np.eye(len(both))) < 1e-13
    assert tangency(factors, both) < 1e-12
    assert np.max(np.abs(geo.differential(factors, vertical)), initial=0.0) < 1e-13
    if N > 1:  # (8.21) with + is orthonormal too, but not tangent
        plus = with_plus(lam, Q)
        assert error(gram(plus), np.eye(len(plus))) < 1e-13
        assert tangency(factors, plus) > 0.1


@pytest.mark.parametrize("N", [1, *DEPTHS])
def test_theorem_14_letter_by_letter(N):
    """(8.20)–(8.24), with the minus sign."""
    lam, Q = point(N)
    vertical, horizontal = geo.vertical_basis(lam, Q), geo.horizontal_basis(lam, Q)
    n = 0
    for k, l in PAIRS:
        for p in range(1, N):

            def a(k, l, s, p=p):
                x, y, c = lam[k], lam[l], p * np.pi / N
                return (x * np.sin((s - 1) * c) - y * np.sin(s * c)) / np.sqrt(
                    N * (x**2 + y**2 - 2 * x * y * np.cos(c))
                )

            for s in range(1, N + 1):
                kl, lk = np.outer(Q[s][:, k], Q[s - 1][:, l]), np.outer(Q[s][:, l], Q[s - 1][:, k])
                u = a(k, l, s) * kl - a(l, k, s) * lk
                np.testing.assert_allclose(vertical[n, s - 1], u, atol=1e-14)
            n += 1
    for k in range(3):
        for s in range(1, N + 1):
            l_s = np.outer(Q[s][:, k], Q[s - 1][:, k]) / np.sqrt(N)
            np.testing.assert_allclose(horizontal[k, s - 1], l_s, atol=1e-14)
    for i, (k, l) in enumerate(PAIRS):
        x, y = lam[k], lam[l]
        c = np.sqrt((x**2 - y**2) / (x ** (2 * N) - y ** (2 * N)))
        for s in range(1, N + 1):
            u_0 = c * x ** (s - 1) * y ** (N - s) * np.outer(Q[s][:, l], Q[s - 1][:, k])
            u_N = c * x ** (N - s) * y ** (s - 1) * np.outer(Q[s][:, k], Q[s - 1][:, l])
            np.testing.assert_allclose(horizontal[3 + i, s - 1], u_0, atol=1e-14)
            np.testing.assert_allclose(horizontal[6 + i, s - 1], u_N, atol=1e-14)


@pytest.mark.parametrize("N", [1, *DEPTHS])
def test_theorem_13_is_an_isometry(N):
    """φ_* maps (Ker φ_*)^⊥ isometrically: the metric g^N of images of an orthonormal basis is 1."""
    lam, Q = point(N)
    factors = geo.chart_z(lam, Q)
    W, horizontal = geo.end_to_end(factors), geo.horizontal_basis(lam, Q)
    images = geo.differential(factors, horizontal)
    g = geo.metric(N, W, images[:, None], images[None, :])
    assert error(g, np.eye(9)) < 1e-12
    Z = normal(2, 3, 3)
    lift = geo.horizontal_lift(factors, Z)
    assert error(geo.differential(factors, lift), Z) < 1e-12
    assert np.sum(lift**2) == pytest.approx(float(geo.metric(N, W, Z, Z)), rel=1e-12)
    assert error(geo.project_horizontal(factors, lift), lift) < 1e-12
    if N > 1:  # any other lift is longer, and another metric is none of a submersion
        other = lift + geo.vertical_basis(lam, Q)[0]
        assert np.sum(other**2) > np.sum(lift**2) + 0.99
        assert error(geo.metric(N + 1, W, images[:, None], images[None, :]), np.eye(9)) > 0.1


@pytest.mark.parametrize("N", [2, 3])
def test_theorem_13_at_rank_r(N):
    """The shortest tangent vector of M_r over Z has the length √g^N(Z, Z), by linear algebra on the tangents of 𝔷_r."""
    d, r = 4, 2
    lam, Q = np.array([1.3, 0.8]), orthogonal(3, N + 1, d, r)
    factors, rng, tangents = geo.chart_z(lam, Q), np.random.default_rng(4), []
    for _ in range(60):
        A = rng.standard_normal((N + 1, d, d))
        A, theta = A - np.swapaxes(A, -1, -2), rng.standard_normal(r)
        tangents.append(first(lambda t, A=A, theta=theta: geo.chart_z(lam + t * theta, Q + t * A @ Q)))
    U, s, _ = np.linalg.svd(np.reshape(tangents, (60, -1)).T, full_matrices=False)
    basis = U.T[s > 1e-6 * s[0]].reshape(-1, N, d, d)
    moves = geo.differential(factors, basis).reshape(len(basis), -1)
    W = geo.end_to_end(factors)
    Z = geo.tangent_part(W, normal(5, d, d), r)
    c = np.linalg.pinv(moves.T, rcond=1e-8) @ Z.ravel()
    assert error((c @ moves).reshape(d, d), Z) < 1e-9
    assert c @ c == pytest.approx(float(geo.metric(N, W, Z, Z, rank=r)), rel=1e-8)


@pytest.mark.parametrize("N", [1, *DEPTHS])
def test_projections(N):
    lam, Q = point(N)
    factors, V = geo.chart_z(lam, Q), normal(6, N, 3, 3)
    vertical, horizontal = geo.project_vertical(factors, V), geo.project_horizontal(factors, V)
    W = geo.end_to_end(factors)
    adjoint = geo.lifted_gradient(factors, geo.apply_A_inverse(N, W, geo.differential(factors, V)))
    assert error(horizontal, adjoint) < 1e-12  # φ_*ᵀ (φ_* φ_*ᵀ)⁻¹ φ_*
    turns = geo.coordinate_basis(lam, Q)[3:].reshape(3, N + 1, N, 3, 3)[:, 1:N].reshape(-1, 9 * N)
    c = np.linalg.lstsq(turns.T, V.ravel())[0]
    np.testing.assert_allclose(vertical.ravel(), turns.T @ c, atol=1e-12)
    np.testing.assert_allclose(geo.project_tangent(factors, V), vertical + horizontal, atol=1e-14)
    np.testing.assert_allclose(geo.project_vertical(factors, horizontal), 0.0, atol=1e-13)
    gradient = geo.lifted_gradient(factors, normal(7, 3, 3))  # Remark 5: gradients are horizontal
    assert error(geo.project_horizontal(factors, gradient), gradient) < 1e-12


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 5), st.integers(0, 2**20), st.sampled_from([(1.2, 1.2, 1.2), (1.4, 0.8, 0.8), (1.9, 0.7, 0.2)]))
def test_gauge_equivariance_and_repeated_singular_values(N, seed, sigma):
    """Theorem 13: the gauge group acts by isometries that respect the splitting, also where 𝔷 is not smooth."""
    lam, Q = point(N, seed, sigma)
    factors, V, g = geo.chart_z(lam, Q), normal(seed + 1, N, 3, 3), orthogonal(seed + 2, N - 1, 3, 3)
    both = np.concatenate([geo.vertical_basis(lam, Q), geo.horizontal_basis(lam, Q)])
    assert error(gram(both), np.eye(len(both))) < 1e-11
    assert tangency(factors, both) < 1e-10
    moved, V_moved = geo.gauge_transformed(factors, g), geo.gauge_transformed(V, g)
    for project in (geo.project_vertical, geo.project_horizontal):
        once = project(factors, V)
        np.testing.assert_allclose(project(moved, V_moved), geo.gauge_transformed(once, g), atol=1e-10)
        np.testing.assert_allclose(project(factors, once), once, atol=1e-11)


def test_batches():
    lam, Q = np.stack([SIGMA, 2 * SIGMA]), orthogonal(8, 2, 4, 3, 3)
    for build in (geo.coordinate_basis, geo.vertical_basis, geo.horizontal_basis):
        whole = build(lam, Q)
        np.testing.assert_allclose(whole[1], build(lam[1], Q[1]), atol=1e-14)
    factors, V = geo.chart_z(lam, Q), normal(9, 2, 3, 3, 3)
    assert geo.project_tangent(factors, V).shape == (2, 3, 3, 3)
    np.testing.assert_allclose(geo.pullback_metric(3, lam)[1], geo.pullback_metric(3, lam[1]), rtol=1e-15)
