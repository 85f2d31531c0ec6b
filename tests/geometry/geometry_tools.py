"""What the tests of the geometry share: samples, finite differences of sixth order, (4.14) term by term."""

import math

import numpy as np

DEPTHS = (2, 3, 5)
SIGMA = np.array([1.7, 1.1, 0.6])


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def orthogonal(seed, *shape):
    """Orthogonal matrices, or with shape (..., d, r) frames."""
    return np.linalg.qr(normal(seed, *shape))[0]


def matrix(seed, sigma=SIGMA):
    """A matrix with the given singular values."""
    d = len(sigma)
    return orthogonal(seed, d, d) * np.asarray(sigma) @ orthogonal(seed + 1000, d, d).T


def symmetric_power(S, t):
    """S^t of a symmetric matrix with positive eigenvalues."""
    values, vectors = np.linalg.eigh(S)
    return vectors * values[..., None, :] ** t @ np.swapaxes(vectors, -1, -2)


def A_by_powers(N, W, Z=None):
    """(4.14) term by term, for a whole depth; (14.7) by Gauss and Legendre for depth inf. Without Z as a matrix."""
    left, right = W @ W.T, W.T @ W
    if math.inf == N:
        nodes = zip(*np.polynomial.legendre.leggauss(24), strict=True)
        terms = [((1 - t) / 2, (1 + t) / 2, w / 2) for t, w in nodes]
    else:
        terms = [((N - k) / N, (k - 1) / N, 1.0) for k in range(1, N + 1)]
    sides = [(c * symmetric_power(left, s), symmetric_power(right, t)) for s, t, c in terms]
    return sum(np.kron(*pair) if Z is None else pair[0] @ Z @ pair[1] for pair in sides)


_STEPS = np.array([-3, -2, -1, 1, 2, 3])
_FIRST = np.array([-1, 9, -45, 45, -9, 1]) / 60
_SECOND = np.array([2, -27, 270, 270, -27, 2]) / 180


def first(f, h=3e-3):
    """df/dt at t = 0."""
    return sum(c * f(s * h) for s, c in zip(_STEPS, _FIRST, strict=True)) / h


def second(f, h=6e-3):
    """d²f/dt² at t = 0."""
    return (sum(c * f(s * h) for s, c in zip(_STEPS, _SECOND, strict=True)) - 49 / 18 * f(0.0)) / h**2


def gradient(f, x):
    """The Euclidean gradient of a scalar function of an array."""
    result = np.empty_like(x)
    for index in np.ndindex(x.shape):
        e = np.zeros_like(x)
        e[index] = 1.0
        result[index] = first(lambda t, e=e: f(x + t * e))
    return result


def rotation(B, t):
    """exp(tB) of antisymmetric matrices (..., d, d)."""
    values, vectors = np.linalg.eigh(-1j * B)
    return (vectors * np.exp(1j * t * values)[..., None, :] @ np.swapaxes(vectors, -1, -2).conj()).real


def plane(d, k, l):
    """The generator of rotations in one plane, by plain angles."""
    B = np.zeros((d, d))
    B[k, l], B[l, k] = 1.0, -1.0
    return B


def log_determinant(vectors, product):
    """½ log det of the Gram matrix of a list of vectors."""
    return 0.5 * np.linalg.slogdet([[float(product(a, b)) for a in vectors] for b in vectors])[1]


def error(value, reference):
    """The largest deviation, relative to the largest entry."""
    return float(np.max(np.abs(value - reference)) / np.max(np.abs(reference)))
