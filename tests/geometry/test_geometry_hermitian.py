"""Isospectral orbits of Hermitian matrices: projections, entropy, and the drift that Theorem 15 is about."""

import math

import numpy as np
import pytest
from geometry_tools import error, first, normal, second

from dlnmc import geometry as geo

X = np.array([-1.2, -0.1, 0.5, 1.9])


def unitary(seed, d=4):
    return np.linalg.qr(normal(seed, d, d) + 1j * normal(seed + 500, d, d))[0]


def hermitian(seed, *shape):
    Z = normal(seed, *shape) + 1j * normal(seed + 500, *shape)
    return (Z + np.swapaxes(Z, -1, -2).conj()) / 2


def exponential(A, t):
    values, vectors = np.linalg.eigh(-1j * A)
    return (vectors * np.exp(1j * t * values)) @ vectors.conj().T


def basis(d):
    """An orthonormal basis of the Hermitian matrices, the diagonal ones first."""
    e = np.eye(d)
    rest = [(np.outer(e[i], e[j]), np.outer(e[j], e[i])) for i in range(d) for j in range(i)]
    kinds = ((0.5**0.5, 1), (0.5**0.5 * 1j, -1))
    return [np.outer(v, v) for v in e] + [c * (a + s * b) for a, b in rest for c, s in kinds]


def test_projections():
    U = unitary(1)
    M, H = U * X @ U.conj().T, hermitian(2, 4, 4)
    tangent, normal_part = geo.project_orbit(M, H), geo.project_spectrum(M, H)
    assert error(tangent + normal_part, H) < 1e-14
    assert error(M @ normal_part, normal_part @ M) < 1e-14
    assert error(geo.project_orbit(M, tangent), tangent) < 1e-14
    assert error(geo.project_spectrum(M, normal_part), normal_part) < 1e-14
    velocity = first(lambda t: exponential(1j * H, t) @ M @ exponential(1j * H, -t))  # a curve in the orbit
    assert error(geo.project_orbit(M, velocity), velocity) < 1e-10
    commutator = 1j * (H @ M - M @ H)
    assert error(velocity, commutator) < 1e-10
    assert abs(np.vdot(tangent, normal_part)) < 1e-13
    V = unitary(3)
    moved = geo.project_orbit(V @ M @ V.conj().T, V @ H @ V.conj().T)
    assert error(moved, V @ tangent @ V.conj().T) < 1e-13
    stack = geo.project_orbit(np.stack([M, H]), H)
    assert error(stack[0], tangent) < 1e-14


def test_entropy_is_the_volume_of_the_orbit():
    """(11.5): the Gram determinant of the commutators with an orthonormal basis, 4·3 of them at d = 4."""
    U = unitary(4)
    M = U * X @ U.conj().T
    turns = [U @ (1j * b) @ U.conj().T for b in basis(4)[4:]]
    tangents = np.array([A @ M - M @ A for A in turns])
    gram = np.real(np.einsum("aij,bij->ab", tangents.conj(), tangents))
    assert geo.orbit_entropy(M) == pytest.approx(0.5 * np.linalg.slogdet(gram)[1], rel=1e-12)
    assert geo.orbit_entropy(np.diag([1.0, 1.0])) == -math.inf


def test_gradient_of_the_entropy():
    U = unitary(5)
    M = U * X @ U.conj().T
    value = geo.orbit_entropy_gradient(M)
    for H in basis(4):
        found = first(lambda t, H=H: geo.orbit_entropy(M + t * H))
        assert np.real(np.vdot(H, value)) == pytest.approx(float(found), abs=1e-9)


def test_tangential_noise_moves_eigenvalues_by_the_entropy():
    """Theorem 15: Σ D²x_i(v, v) over the orbit's tangents is ∂S/∂x_i = Σ 2/(x_i − x_j); over its normals it is 0."""
    U = unitary(6)
    M = U * X @ U.conj().T
    frame = [U @ b @ U.conj().T for b in basis(4)]
    bends = [second(lambda t, v=v: np.linalg.eigvalsh(M + t * v)) for v in frame]
    slopes = np.array([sum(2 / (X[i] - X[j]) for j in range(4) if j != i) for i in range(4)])
    np.testing.assert_allclose(np.sum(bends[:4], axis=0), 0.0, atol=1e-8)
    np.testing.assert_allclose(np.sum(bends[4:], axis=0), slopes, atol=1e-7)
    np.testing.assert_allclose(np.linalg.eigvalsh(geo.orbit_entropy_gradient(M)), np.sort(slopes), rtol=1e-12)
    curvature = sum(second(lambda t, A=A: exponential(A, t) @ M @ exponential(A, -t)) for A in unit_turns(U))
    assert error(-geo.project_spectrum(M, curvature), geo.orbit_entropy_gradient(M)) < 1e-7


def unit_turns(U):
    """Anti-Hermitian A with [A, M] an orthonormal basis of the tangent space at U diag(X) U*."""
    pairs = [(i, j) for i in range(4) for j in range(i)]
    gaps = np.repeat([abs(X[i] - X[j]) for i, j in pairs], 2)
    return [U @ (1j * b) @ U.conj().T / gap for b, gap in zip(basis(4)[4:], gaps, strict=True)]


def test_energy_gradient():
    """L(M) = E(eig M), for an energy that is no sum."""
    M = hermitian(7, 4, 4)
    x = np.linalg.eigvalsh(M)

    def E(x):
        return np.sum(x**3) + np.prod(x[:2])

    slopes = 3 * x**2 + np.array([x[1], x[0], 0, 0])
    value = geo.spectral_gradient(M, slopes)
    for H in basis(4):
        found = first(lambda t, H=H: E(np.linalg.eigvalsh(M + t * H)), h=1e-3)
        assert np.real(np.vdot(H, value)) == pytest.approx(found, abs=1e-8)
    assert error(geo.spectral_gradient(M, x), M) < 1e-13


@pytest.mark.parametrize("kappa", [0.0, 0.5, 2.0])
def test_noise(kappa):
    """Its covariance is (2/β)(P_M + κ P_M^⊥); eigenvalues get √(2κ/β), as in (11.8)."""
    U = unitary(8)
    M = U * X @ U.conj().T
    moves = np.array([geo.hermitian_noise(M, b, 1.3, kappa) for b in basis(4)])
    D = np.real(np.einsum("aij,akl->ijkl", moves, moves.conj()))
    expected = sum(np.einsum("ij,kl->ijkl", v, v.conj()) * (kappa if n < 4 else 1.0) * 2 / 1.3
                   for n, v in enumerate(U @ b @ U.conj().T for b in basis(4))).real  # fmt: skip
    np.testing.assert_allclose(D, expected, atol=1e-13)


def test_real_symmetric_matrices_stay_real():
    S = normal(9, 3, 3)
    S, H = S + S.T, normal(10, 3, 3)
    assert np.max(np.abs(geo.project_orbit(S, H + H.T).imag)) == 0.0


@pytest.mark.parametrize(
    ("call", "pieces"),
    [
        (lambda: geo.project_orbit(np.triu(np.ones((2, 2))), np.eye(2)), ["M", "Hermitian", "1.0"]),
        (lambda: geo.orbit_entropy(np.ones((2, 3))), ["M", "(2, 3)"]),
        (lambda: geo.orbit_entropy(np.full((2, 2), np.nan)), ["finite", "nan"]),
        (lambda: geo.orbit_entropy_gradient(np.eye(2)), ["distinct"]),
        (lambda: geo.hermitian_noise(np.eye(2), np.eye(2), 1.0, -2.0), ["kappa", "-2.0"]),
    ],
)
def test_what_is_refused(refused, call, pieces):
    refused(call, *pieces)
