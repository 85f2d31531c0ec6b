"""A_{N,W}, its limit and the metric downstairs: Lemma 1, Lemma 3, Theorem 3."""

import math

import numpy as np
import pytest
from geometry_tools import DEPTHS, SIGMA, A_by_powers, error, matrix, normal, orthogonal
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnmc import geometry as geo

ALL_DEPTHS = (1, *DEPTHS, 2.5, 40.0, math.inf)
depths = st.one_of(st.floats(1.0, 60.0), st.just(math.inf), st.sampled_from([1.0, 2.0, 3.0]))
spectra = st.lists(st.floats(0.05, 3.0), min_size=1, max_size=4)
seeds = st.integers(0, 2**20)
quick = settings(deadline=None, max_examples=40)


@pytest.mark.parametrize("N", [1, *DEPTHS, math.inf])
def test_operator_is_the_sum_of_powers(N):
    W, Z = matrix(1), normal(2, 3, 3)
    assert error(geo.apply_A(N, W, Z), A_by_powers(N, W, Z)) < 1e-13


@pytest.mark.parametrize("N", [*DEPTHS, math.inf])
def test_lemmas_1_and_3(N):
    W, s = matrix(3), SIGMA**2
    Q_N, _, Q_0T = np.linalg.svd(W)
    for k, l in np.ndindex(3, 3):
        Z = np.outer(Q_N[:, k], Q_0T[l])
        if math.inf == N:
            a = s[k] if k == l else (s[k] - s[l]) / math.log(s[k] / s[l])
        else:
            a = N * SIGMA[k] ** (2 - 2 / N) if k == l else (s[k] - s[l]) / (s[k] ** (1 / N) - s[l] ** (1 / N))
        assert error(A_by_powers(N, W, Z), a * Z) < 1e-13
        assert geo.eigenvalues_of_A(N, SIGMA)[k, l] == pytest.approx(a, rel=1e-13)
        assert geo.metric(N, W, Z, Z) == pytest.approx(1 / a, rel=1e-12)
        if k == l and math.inf > N:  # (7.15) has N σ^{2−2/N} here, the eigenvalue in place of its inverse
            assert abs(geo.metric(N, W, Z, Z) - a) > 0.1


def test_eigenvalues_are_smooth_at_coincidences():
    for N in (1, 1.5, 2, 3, 40.0, math.inf):
        at_one = geo.eigenvalues_of_A(N, np.array([1.3, 1.3]))
        assert at_one[0, 1] == at_one[0, 0]
        for gap in (1e-15, 1e-12, 1e-9, 1e-6):  # a_kl is a_kk in the geometric mean of σ, up to gap²
            s = np.array([1.3, 1.3 * (1 + gap)])
            mean = geo.eigenvalues_of_A(N, np.array([math.sqrt(s[0] * s[1])]))[0, 0]
            assert geo.eigenvalues_of_A(N, s)[0, 1] == pytest.approx(mean, rel=2e-15 + gap**2)


def test_eigenvalues_at_zero():
    np.testing.assert_allclose(geo.eigenvalues_of_A(3, np.array([2.0, 0.0, 0.0])), np.diag([3.0, 0, 0]) * 2 ** (4 / 3)
        + 2 ** (4 / 3) * (np.array([[0, 1, 1], [1, 0, 0], [1, 0, 0]])), rtol=1e-14)  # fmt: skip
    np.testing.assert_array_equal(geo.eigenvalues_of_A(1, np.array([2.0, 0.0])), np.ones((2, 2)))
    np.testing.assert_array_equal(geo.eigenvalues_of_A(math.inf, np.array([2.0, 0.0])), np.diag([4.0, 0.0]))


def test_infinite_depth_is_the_limit():
    W, Z = matrix(4), normal(5, 3, 3)
    limit = geo.apply_A(math.inf, W, Z)
    errors = np.array([error(geo.apply_A(N, W, Z) / N, limit) for N in (1e3, 1e4, 1e5)])
    np.testing.assert_allclose(errors[:-1] / errors[1:], 10.0, rtol=0.01)
    assert errors[-1] < 2e-5


@pytest.mark.parametrize("N", ALL_DEPTHS)
def test_inverse_root_matrix_and_norm(N):
    W, Z = matrix(6), normal(7, 3, 3)
    A = geo.matrix_of_A(N, W)
    assert error((A @ Z.ravel()).reshape(3, 3), geo.apply_A(N, W, Z)) < 1e-13
    assert error(geo.apply_A_inverse(N, W, geo.apply_A(N, W, Z)), Z) < 1e-13
    assert error(geo.apply_A_root(N, W, geo.apply_A_root(N, W, Z)), geo.apply_A(N, W, Z)) < 1e-13
    assert np.all(np.linalg.eigvalsh(A) > 0)
    Z2 = normal(8, 3, 3)
    polarised = (geo.norm(N, W, Z + Z2) ** 2 - geo.norm(N, W, Z - Z2) ** 2) / 4  # (4.13)
    assert geo.metric(N, W, Z, Z2) == pytest.approx(polarised, rel=1e-11)
    gradient = geo.riemannian_gradient(N, W, Z)  # (4.18)
    assert geo.metric(N, W, gradient, Z2) == pytest.approx(np.sum(Z * Z2), rel=1e-11)


@pytest.mark.parametrize("N", DEPTHS)
def test_metric_at_rank_r(N):
    """Theorem 3: A is onto the tangent space, its inverse there is the metric, and what is not tangent is dropped."""
    W, Z = matrix(9, [1.7, 0.8, 0.0, 0.0]), normal(10, 4, 4)
    Q_N, _, Q_0T = np.linalg.svd(W)
    outside = np.outer(Q_N[:, 2], Q_0T[3])
    assert np.max(np.abs(geo.tangent_part(W, outside, 2))) < 1e-15
    tangent = geo.tangent_part(W, Z, 2)
    assert error(geo.tangent_part(W, tangent, 2), tangent) < 1e-14
    U, V = Q_N[:, :2], Q_0T[:2]
    assert error(tangent, Z - (Z - U @ (U.T @ Z)) + (Z - U @ (U.T @ Z)) @ V.T @ V) < 1e-13
    image = geo.riemannian_gradient(N, W, Z, rank=2)
    assert error(geo.tangent_part(W, image, 2), image) < 1e-13
    assert error(geo.apply_A_inverse(N, W, image, rank=2), tangent) < 1e-13
    assert geo.metric(N, W, image, Z + outside, rank=2) == pytest.approx(geo.metric(N, W, image, Z, rank=2), rel=1e-12)
    near = matrix(9, [1.7, 0.8, 1e-13, 1e-13])  # on tangent matrices it is the limit of full rank
    assert geo.metric(N, near, tangent, tangent, rank=2) == pytest.approx(geo.norm(N, W, Z, rank=2) ** 2, rel=1e-8)


@quick
@given(depths, spectra, seeds)
def test_symmetry_equivariance_and_scaling(N, sigma, seed):
    d = len(sigma)
    W, Z, Z2 = matrix(seed, sigma), normal(seed + 1, d, d), normal(seed + 2, d, d)
    U, V = orthogonal(seed + 3, d, d), orthogonal(seed + 4, d, d)
    AZ = geo.apply_A(N, W, Z)
    size = np.max(geo.eigenvalues_of_A(N, np.array(sigma))) * d * d * 10
    assert np.sum(Z2 * AZ) == pytest.approx(np.sum(Z * geo.apply_A(N, W, Z2)), abs=1e-13 * size)
    assert np.sum(Z * AZ) > 0
    np.testing.assert_allclose(geo.apply_A(N, U @ W @ V.T, U @ Z @ V.T), U @ AZ @ V.T, atol=1e-12 * size)
    np.testing.assert_allclose(geo.apply_A(N, W.T, Z.T), AZ.T, atol=1e-12 * size)
    np.testing.assert_allclose(geo.apply_A(N, 3.0 * W, Z), 3.0 ** (2 - 2 / N) * AZ, atol=1e-11 * size)


@quick
@given(depths, seeds)
def test_repeated_singular_values_need_no_frame(N, seed):
    """At W = c·orthogonal, where singular vectors are arbitrary, A is a multiple of 1, and A is continuous there."""
    Q, Z = orthogonal(seed, 3, 3), normal(seed + 1, 3, 3)
    a = 0.7**2 if math.inf == N else N * 0.7 ** (2 - 2 / N)
    assert error(geo.apply_A(N, 0.7 * Q, Z), a * Z) < 1e-13
    near = 0.7 * Q + 1e-9 * normal(seed + 2, 3, 3)
    assert error(geo.apply_A(N, near, Z), a * Z) < 1e-7


def test_batches():
    W, Z = normal(11, 4, 1, 3, 3), normal(12, 5, 3, 3)
    whole = geo.apply_A_inverse(3, W, Z)
    assert whole.shape == (4, 5, 3, 3)
    np.testing.assert_allclose(whole[2, 3], geo.apply_A_inverse(3, W[2, 0], Z[3]), rtol=1e-12)
    assert geo.metric(3, W, Z, Z).shape == (4, 5)
    assert geo.matrix_of_A(3, W).shape == (4, 1, 9, 9)


@pytest.mark.parametrize(
    ("call", "pieces"),
    [
        (lambda: geo.apply_A(0.5, np.eye(2), np.eye(2)), ["depth", "0.5"]),
        (lambda: geo.apply_A(math.nan, np.eye(2), np.eye(2)), ["depth", "nan"]),
        (lambda: geo.apply_A(2, np.ones((2, 3)), np.eye(2)), ["W", "(2, 3)"]),
        (lambda: geo.apply_A(2, np.eye(2), np.full((2, 2), np.inf)), ["Z", "inf"]),
        (lambda: geo.metric(2, np.diag([1.0, 0.0]), np.eye(2), np.eye(2)), ["rank >= 2", "0.0"]),
        (lambda: geo.metric(2, np.eye(2), np.eye(2), np.eye(2), rank=3), ["rank", "3"]),
        (lambda: geo.metric(math.inf, np.eye(2), np.eye(2), np.eye(2), rank=1), ["depth inf", "1"]),
        (lambda: geo.eigenvalues_of_A(2, np.array([1.0, -0.5])), ["-0.5"]),
        (lambda: geo.eigenvalues_of_A(2, np.float64(1.0)), ["()"]),
    ],
)
def test_what_is_refused(refused, call, pieces):
    refused(call, *pieces)
