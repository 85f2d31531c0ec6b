"""The RLE upstairs: Hessians on the balanced manifold, and their image downstairs (section 12)."""

import numpy as np
import pytest
from geometry_tools import DEPTHS, SIGMA, error, first, normal, orthogonal, plane, rotation, second

from dlnmc import geometry as geo

PAIRS = [(0, 1), (0, 2), (1, 2)]
K = normal(77, 5, 3, 3)


def function(X):
    """A function of a network without any symmetry."""
    return np.sum(np.sin(K[: len(X)] * X) + 0.1 * X * np.roll(X, 1, axis=-1) * np.roll(X, 1, axis=0))


class Point:
    """A point 𝔷(λ, Q) of M, its coordinates, and what one needs to differentiate along curves in them."""

    def __init__(self, N, sigma=SIGMA, seed=1):
        self.N, self.lam, self.Q = N, sigma ** (1 / N), orthogonal(seed, N + 1, 3, 3)
        self.factors = geo.chart_z(self.lam, self.Q)
        self.W = geo.end_to_end(self.factors)
        self.vertical = geo.vertical_basis(self.lam, self.Q)
        self.horizontal = geo.horizontal_basis(self.lam, self.Q)
        self.coordinates = geo.coordinate_basis(self.lam, self.Q).reshape(-1, 9 * N)

    def curve(self, V):
        """A curve on M with velocity V: straight in λ, uniform rotations of the Q_p."""
        c = np.linalg.lstsq(self.coordinates.T, V.ravel())[0]
        B = np.zeros((self.N + 1, 3, 3))
        for n, (k, l) in enumerate(PAIRS):
            rates = c[3 + n * (self.N + 1) :][: self.N + 1]
            B += rates[:, None, None] * plane(3, k, l) / np.sqrt(2)
        return lambda t: geo.chart_z(self.lam + t * c[:3], self.Q @ rotation(B, t))

    def tangent(self, V):
        """The tangent part of V, by least squares."""
        c = np.linalg.lstsq(self.coordinates.T, V.ravel())[0]
        return (self.coordinates.T @ c).reshape(V.shape)

    def hessian(self, f, V):
        """Hess f(V, V) on M: (f∘c)'' − df(∇_c' c') for any curve with velocity V."""
        c = self.curve(V)
        along = self.tangent(second(c))
        return second(lambda t: f(c(t))) - first(lambda t: f(self.factors + t * along))


@pytest.mark.parametrize("N", DEPTHS)
def test_second_fundamental_form(N):
    at = Point(N)
    basis = np.concatenate([at.vertical, at.horizontal])
    forms = geo.second_fundamental_form(at.factors, basis, basis)
    for V, II in zip(basis, forms, strict=True):
        acceleration = second(at.curve(V))
        assert np.max(np.abs(II - (acceleration - at.tangent(acceleration)))) < 1e-8
        assert np.max(np.abs(geo.project_tangent(at.factors, II))) < 1e-12
    V, U = basis[0], basis[-1]  # polarised
    mixed = geo.second_fundamental_form(at.factors, V + U, V + U) - forms[0] - forms[-1]
    np.testing.assert_allclose(2 * geo.second_fundamental_form(at.factors, V, U), mixed, atol=1e-13)
    np.testing.assert_allclose(geo.vertical_curvature(at.factors), np.sum(forms[: len(at.vertical)], 0), atol=1e-13)
    np.testing.assert_allclose(geo.horizontal_curvature(at.factors), np.sum(forms[len(at.vertical) :], 0), atol=1e-13)


def test_depth_one_is_flat():
    factors = normal(2, 1, 3, 3)
    assert np.max(np.abs(geo.horizontal_curvature(factors))) == 0.0
    assert np.max(np.abs(geo.vertical_curvature(factors))) == 0.0
    G_V, G_H = geo.rotation_cometrics(1, 1.2, 0.7)
    assert np.max(np.abs(G_V)) == 0.0
    assert error(G_H @ geo.rotation_metric(1, 1.2, 0.7), np.eye(2)) < 1e-13


@pytest.mark.parametrize("N", DEPTHS)
def test_laplacians_by_hessians_and_in_coordinates(N):
    """Δ_V and Δ_H of a function on M, three ways: Hessians along curves, ambient with II, coordinates (section 7)."""
    at = Point(N)
    G = np.array([geo.rotation_cometrics(N, at.lam[k], at.lam[l]) for k, l in PAIRS])
    x, lam = at.lam**2, at.lam
    radial = [2 * lam[k] * sum(1 / (x[k] - x[l]) for l in range(3) if l != k) for k in range(3)]
    entropic = geo.sigma_prime(N, SIGMA) / lam ** (N - 1)  # ∂S/∂λ_k
    unit = np.eye(3)

    def at_lambda(k, t):
        return function(geo.chart_z(lam + t * unit[k], at.Q))

    def rotated(n, rates, t):
        turns = rotation(np.asarray(rates)[:, None, None] * plane(3, *PAIRS[n]) / np.sqrt(2), t)
        return function(geo.chart_z(lam, at.Q @ turns))

    slopes = [first(lambda t, k=k: at_lambda(k, t)) for k in range(3)]
    bends = [second(lambda t, k=k: at_lambda(k, t)) for k in range(3)]
    in_coordinates = [np.dot(entropic, slopes) / N, (sum(bends) + np.dot(radial, slopes)) / N]
    for which in (0, 1):
        for n in range(3):
            values, vectors = np.linalg.eigh(G[n, which])  # X_p and X_q commute: p ≠ q are different factors
            for value, rates in zip(values, vectors.T, strict=True):
                in_coordinates[which] += value * second(lambda t, n=n, rates=rates: rotated(n, rates, t))
    bases = (at.vertical, at.horizontal)
    curvatures = (geo.vertical_curvature(at.factors), geo.horizontal_curvature(at.factors))
    for basis, curvature, found in zip(bases, curvatures, in_coordinates, strict=True):
        by_hessians = sum(at.hessian(function, V) for V in basis)
        straight = sum(second(lambda t, V=V: function(at.factors + t * V)) for V in basis)
        bent = first(lambda t, c=curvature: function(at.factors + t * c))
        assert straight + bent == pytest.approx(by_hessians, abs=1e-7)
        assert found == pytest.approx(by_hessians, abs=1e-7)
        assert (abs(straight - by_hessians) > 1e-3) == (N > 2)
    assert abs(np.dot(entropic, slopes) / N) > 1e-3  # what the orbit's own Laplacian would lose


@pytest.mark.parametrize("kappa", [0.0, 0.3, 1.0, 2.0])
@pytest.mark.parametrize("N", [1, *DEPTHS])
def test_the_image_of_the_network_is_the_rle_downstairs(N, kappa):
    """(12.11) ⇒ (12.12): Itô's formula for φ turns drift and noise upstairs into drift and noise downstairs."""
    at, beta, E_prime = Point(N), 1.7, normal(3, 3, 3)
    drift = geo.network_drift(at.factors, E_prime, beta, kappa)
    bends = np.sum(geo.second_differential(at.factors, at.vertical), axis=0)
    bends = bends + kappa * np.sum(geo.second_differential(at.factors, at.horizontal), axis=0)
    image = geo.differential(at.factors, drift) + bends / beta
    assert error(image, geo.drift(N, at.W, E_prime, beta, kappa)) < 1e-12
    for curvature in (geo.vertical_curvature(at.factors), geo.horizontal_curvature(at.factors)):
        assert np.max(np.abs(geo.differential(at.factors, curvature))) < 1e-12  # normal vectors do not move W
    if N > 1:
        assert error(image - np.sum(geo.second_differential(at.factors, at.vertical), axis=0) / beta, image) > 1e-2
    unit = np.eye(9 * N).reshape(-1, N, 3, 3)
    noise = geo.differential(at.factors, geo.network_noise(at.factors, unit, beta, kappa)).reshape(-1, 9)
    np.testing.assert_allclose(noise.T @ noise, geo.covariance(N, at.W, beta, kappa), atol=1e-12)


@pytest.mark.parametrize("N", DEPTHS)
def test_generators_agree_on_functions_downstairs(N):
    """(Δ_V + κ Δ_H)(F∘φ) by Hessians on M is β times the generator of (12.12) on F, at E = 0, by finite differences."""
    at, M = Point(N), normal(4, 3, 3)

    def F(W):
        return np.sum(np.cos(M * W)) + np.trace(W @ W @ M)

    vertical, horizontal = (sum(at.hessian(lambda X: F(geo.end_to_end(X)), V) for V in basis)
                            for basis in (at.vertical, at.horizontal))  # fmt: skip
    along_S = first(lambda t: F(at.W + t * geo.entropy_gradient(N, at.W)))
    laplacian = first(lambda t: F(at.W + t * geo.brownian_drift(N, at.W)))
    for Z in np.eye(9).reshape(9, 3, 3):
        step = geo.apply_A_root(N, at.W, Z)
        laplacian += second(lambda t, step=step: F(at.W + t * step))
    assert vertical == pytest.approx(along_S, abs=1e-7)
    assert horizontal == pytest.approx(laplacian, abs=1e-7)
    assert abs(vertical) > 0.01  # the orbit's own Laplacian would give 0


@pytest.mark.parametrize("N", DEPTHS)
def test_gradient_of_the_entropy_is_minus_the_mean_curvature(N):
    """12.1 (2) with its sign: Σ_v ∇_v v over the orbit points inwards, grad S outwards."""
    at = Point(N)
    mean = sum(geo.project_horizontal(at.factors, second(at.curve(V))) for V in at.vertical)
    lift = geo.horizontal_lift(at.factors, geo.entropy_gradient(N, at.W))
    assert error(-mean, lift) < 1e-7
    assert error(mean, lift) > 1.9


def test_depth_two_is_a_minimal_submanifold():
    """Remark 8: its mean curvature vanishes, the vertical and the horizontal part each; at depth 3 it does not."""
    at = Point(2)
    assert np.max(np.abs(geo.vertical_curvature(at.factors))) < 1e-13
    assert np.max(np.abs(geo.horizontal_curvature(at.factors))) < 1e-13
    deeper = Point(3).factors
    assert np.max(np.abs(geo.vertical_curvature(deeper) + geo.horizontal_curvature(deeper))) > 0.01


@pytest.mark.parametrize(("N", "sigma"), [(3, SIGMA), (4, [1.9, 1.2, 1.2]), (5, SIGMA), (7, [2.5, 0.9, 0.1])])
def test_vertical_and_horizontal_curvature_cancel_at_kappa_one_half(N, sigma):
    at = Point(N, np.array(sigma))
    vertical = geo.vertical_curvature(at.factors)
    assert error(geo.horizontal_curvature(at.factors), -2 * vertical) < 1e-10
    E_prime = normal(10, 3, 3)
    flow = geo.gradient_flow(at.factors, E_prime)
    assert error(geo.network_drift(at.factors, E_prime, 0.1, 0.5), flow) < 1e-12
    assert error(geo.network_drift(at.factors, E_prime, 0.1, 0.6), flow) > 1e-3


def test_repeated_singular_values_and_batches():
    """The curvatures are smooth where 𝔷 is not, and do not depend on the frames."""
    same = np.array([1.1, 1.1, 0.6])
    W = orthogonal(5, 3, 3) * same @ orthogonal(6, 3, 3).T
    factors = geo.balanced_over(W, 3, orthogonal(7, 2, 3, 3))
    near = geo.balanced_over(W + 1e-9 * normal(8, 3, 3), 3, orthogonal(7, 2, 3, 3))
    for curvature in (geo.vertical_curvature, geo.horizontal_curvature):
        assert error(curvature(near), curvature(factors)) < 1e-7
        g = orthogonal(9, 2, 3, 3)
        moved = curvature(geo.gauge_transformed(factors, g))
        assert error(moved, geo.gauge_transformed(curvature(factors), g)) < 1e-10
        np.testing.assert_allclose(curvature(np.stack([near, factors]))[1], curvature(factors), atol=1e-12)


def test_what_is_refused(refused):
    refused(lambda: geo.network_drift(np.stack([np.eye(2)] * 2), np.eye(2), -1.0, 1.0), "beta", "-1.0")
    refused(lambda: geo.rotation_cometrics(np.inf, 1.0, 0.5), "finite", "inf")
