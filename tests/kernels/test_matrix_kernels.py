"""Steps on matrices, networks and Hermitian matrices, with given normals, against the geometry in plain NumPy."""

import math
from typing import Any, NamedTuple

import numpy as np
import pytest
from kernel_tools import (
    Run,
    assert_same,
    complex_matrices_of,
    matrices_of,
    rows_of,
    sized,
)

from dlnmc import geometry
from dlnmc_kernels.dispatch import explicit_step, normals_per_step, pull, slope
from dlnmc_kernels.energies import Quadratic
from dlnmc_kernels.hermitian import Hermitian
from dlnmc_kernels.jit import kernel
from dlnmc_kernels.lanes import WIDTH, load, store
from dlnmc_kernels.linear_algebra import product, transpose
from dlnmc_kernels.matrix import Matrix, pair
from dlnmc_kernels.network import Network
from dlnmc_kernels.ordering import ABSENT, ALIVE, STATUS
from dlnmc_kernels.schemes import SCRATCH, EulerMaruyama

EPS = np.finfo(float).eps
BETA, KAPPA = 2.0, 0.7


class Linear(NamedTuple):
    """E = Tr GᵀW on matrices, G (d², 8) a matrix in each lane; E = Σ x_k on eigenvalues."""

    gradient: Any


@pull.register(Linear)
def _pull_linear(energy, w, u, v, s, out, work, more):
    size = len(s)
    product(u, energy.gradient, size, work)
    transpose(v, size, more)
    product(work, more, size, out)


@slope.register(Linear)
def _slope_linear(energy, s):
    return s * 0.0 + 1.0


@kernel
def explicit_step_of(model, x, z, dt, proposal, memory, work):
    explicit_step(model, x, z, dt, proposal, memory, work)


@kernel
def normals_of(model, size):
    return normals_per_step(model, size)


def stepped(model, x, z, dt, memory=None):
    """The rows after a step from the rows x with the normals z; `memory` is updated."""
    proposal = np.full_like(x, np.nan)
    z = np.concatenate([z, np.full((2, WIDTH), np.nan)])
    memory = np.zeros((0, WIDTH)) if memory is None else memory
    explicit_step_of(model, x, z, dt, proposal, memory, np.full((SCRATCH, *x.shape), np.nan))
    return proposal


def adjoint(a):
    return np.swapaxes(a, -1, -2).conj()


def identities(size, dtype=float):
    return np.tile(np.eye(size, dtype=dtype), (WIDTH, 1, 1))


def random_orthogonal(size, rng, dtype=float, count=WIDTH):
    a = rng.standard_normal((count, size, size)).astype(dtype)
    if dtype is complex:
        a += 1j * rng.standard_normal(a.shape)
    return np.linalg.qr(a)[0]


# --- moments of a step ----------------------------------------------------------------------------------------------


def rescaled(sigma_of_dt, dt):
    """The limit dt → 0 of a function that is smooth in dt, to fourth order."""
    one, two, three = (sigma_of_dt(dt / 4**k) for k in range(3))
    first, second = (4.0 * two - one) / 3.0, (4.0 * three - two) / 3.0
    return (16.0 * second - first) / 15.0


def moments(origin, after, n, dt=1e-4):
    """The mean (...) and the covariance of the change of what is `origin` before a step, in a unit of time as dt → 0.

    after(Z, dt) is it after steps with the n normals Z, (m, n). Exact quadrature of the normals for polynomials of
    degree three: ±√n e_i, n of them.
    """
    nodes = math.sqrt(n) * np.eye(n)

    def moments_at(dt):
        plus, minus = (after(sign * nodes, dt) for sign in (1.0, -1.0))
        mean = np.mean((plus - origin) + (minus - origin), axis=0) / (2.0 * dt)
        odd = (plus - minus).reshape(n, -1) / (2.0 * math.sqrt(dt))
        return np.concatenate([mean.ravel(), (odd.T @ odd / n).ravel()])

    both = rescaled(moments_at, dt)
    size = origin.size
    return both[:size].reshape(origin.shape), both[size:].reshape(size, size)


def in_blocks(model, rows, Z, dt):
    """The rows after steps from the same rows with the normals Z, (m, normals), block by block."""
    padded = np.concatenate([Z, np.zeros((-len(Z) % WIDTH, Z.shape[1]))])
    return [stepped(model, rows, np.ascontiguousarray(z.T), dt) for z in padded.reshape(-1, WIDTH, Z.shape[1])]


# --- whole matrices -------------------------------------------------------------------------------------------------

DEPTHS = [1.0, 1.5, 2.0, 3.0, 7.0, 30.0, math.inf]
LEVELS = {
    "apart": lambda size: np.linspace(0.6, 1.4, size),
    "equal": lambda size: np.full(size, 0.8),
    "in pairs": lambda size: 0.7 + 0.5 * (np.arange(size) // 2),
    "nearly equal": lambda size: 0.9 * (1.0 + 1e-9 * np.arange(size)),
    "graded": lambda size: 0.3 ** np.arange(size),
}


class Place(NamedTuple):
    """W = uᵀ diag(σ) v, the same in every lane, and the gradient E' there. Levels are λ, or log σ."""

    depth: float
    level: Any  # (d,)
    u: Any  # (d, d)
    v: Any
    G: Any

    @property
    def W(self):
        sigma = np.exp(self.level) if math.isinf(self.depth) else self.level**self.depth
        return self.u.T * sigma @ self.v

    @property
    def rows(self):
        return np.tile(np.concatenate([self.v.ravel(), self.u.ravel(), self.level])[:, None], (1, WIDTH))


def place(depth, kind, size, strength=1.0):
    rng = np.random.default_rng(size)
    lam = LEVELS[kind](size) ** min(1.0, 3.0 / depth if math.isfinite(depth) else 1.0)
    u, v = random_orthogonal(size, rng, count=2)
    return Place(depth, np.log(lam) if math.isinf(depth) else lam, u, v, strength * rng.standard_normal((size, size)))


def frames_of(rows, depth):
    """u, v (8, d, d), σ (8, d) and W (8, d, d) of a state."""
    size = math.isqrt(len(rows) // 2)
    v, u = (matrices_of(rows[k * size * size : (k + 1) * size * size]) for k in range(2))
    level = rows[2 * size * size :].T
    sigma = np.exp(level) if math.isinf(depth) else level**depth
    return u, v, sigma, adjoint(u) * sigma[:, None, :] @ v


def model_at(at, kappa=KAPPA):
    return Matrix(len(at.level), at.depth, BETA, kappa, Linear(np.tile(at.G.reshape(-1, 1), (1, WIDTH))))


def matrix_steps(at, Z, dt, kappa=KAPPA):
    """W (m, d, d) after steps with the normals Z, (m, d²)."""
    return np.concatenate([frames_of(r, at.depth)[3] for r in in_blocks(model_at(at, kappa), at.rows, Z, dt)])[: len(Z)]


@pytest.mark.parametrize("size", range(1, sized(5, 4)))
@pytest.mark.parametrize("kind", sized(list(LEVELS), ["apart", "equal"]))
@pytest.mark.parametrize("depth", sized(DEPTHS, [1.0, 2.5, 3.0, math.inf]))
@pytest.mark.parametrize("kappa", [KAPPA, 0.0])
def test_the_moments_of_a_matrix_are_those_of_the_equation(depth, kind, size, kappa):
    """Repulsion, entropy and Σ'' at once, where singular values meet too."""
    at = place(depth, kind, size)
    dt, error = (1e-5, 1e-7) if kind != "graded" else (1e-6, 1e-5)  # a step is small beside the smallest level
    dt *= (1.0 if kappa > 0.0 else 10.0) / min(depth, 30.0)
    mean, covariance = moments(at.W, lambda Z, dt: matrix_steps(at, Z, dt, kappa), size * size, dt)
    drift = geometry.drift(depth, at.W, at.G, BETA, kappa)
    exact = geometry.covariance(depth, at.W, BETA, kappa)
    scale = np.abs(drift).max() + np.abs(exact).max()
    assert mean == pytest.approx(drift, abs=error * scale)
    assert covariance == pytest.approx(exact, abs=error * scale)


@pytest.mark.parametrize("kind", ["apart", "equal"])
def test_at_depth_1_noise_is_that_of_brownian_motion_at_any_step(kind):
    at, dt = place(1.0, kind, 3), 1.0
    z = np.random.default_rng(4).standard_normal((WIDTH, 9))
    expected = at.W - at.G * dt + math.sqrt(2.0 * KAPPA * dt / BETA) * z.reshape(WIDTH, 3, 3)
    assert matrix_steps(at, z, dt) == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize("depth", [1.5, 3.0, math.inf])
def test_a_step_of_a_matrix_does_not_depend_on_the_frame(depth):
    """Of equal singular values any will do, and the order and the signs of others do not matter.

    But for terms of fourth order in √dt, by which rotations are not quite exponentials.
    """
    rng = np.random.default_rng(6)
    z = rng.standard_normal((9, WIDTH))
    for kind in ("apart", "equal"):
        at = place(depth, kind, 3)
        once = frames_of(stepped(model_at(at), at.rows, z, 1e-4), depth)[3]
        turn = random_orthogonal(3, rng)[0] if kind == "equal" else np.diag([1.0, -1.0, -1.0])[[2, 0, 1]]
        level = at.level if kind == "equal" else at.level[[2, 0, 1]]
        other = at._replace(u=turn @ at.u, v=turn @ at.v, level=level)
        assert np.abs(other.W - at.W).max() < 1e-14
        assert frames_of(stepped(model_at(at), other.rows, z, 1e-4), depth)[3] == pytest.approx(once, abs=1e-8)


@pytest.mark.parametrize("depth", [1.0, 2.0, 2.5, 3.0, 4.0])
def test_a_level_passes_through_0_and_the_determinant_changes_sign_unless_the_depth_is_even(depth):
    at = place(depth, "apart", 2, strength=0.0)._replace(level=np.array([1.0, 1e-6]))
    z = np.tile(at.u.T @ np.diag([0.0, 1.0]) @ at.v, (WIDTH, 1, 1)) * np.resize([1.0, -1.0], WIDTH)[:, None, None]
    u, v, sigma, _ = frames_of(stepped(model_at(at), at.rows, rows_of(z), 1e-4), depth)
    noise = math.sqrt(2.0 * KAPPA * 1e-4 / (BETA * depth))
    assert sigma.min(axis=1) ** (1.0 / depth) == pytest.approx(noise, rel=0.05)
    signs = np.linalg.det(u) * np.linalg.det(v) * np.linalg.det(at.u) * np.linalg.det(at.v)
    assert np.array_equal(np.round(signs), np.resize([1.0, 1.0 if depth in (2.0, 4.0) else -1.0], WIDTH))


def test_deep_matrices_keep_small_singular_values():
    """To their own relative accuracy: in the entries of W they would be lost."""
    at = place(30.0, "apart", 3)._replace(level=np.array([1.0, 0.5, 0.1]), G=np.zeros((3, 3)))
    z = np.random.default_rng(5).standard_normal((9, WIDTH))
    sigma = np.sort(frames_of(stepped(model_at(at), at.rows, z, 1e-4), 30.0)[2], axis=1)
    assert np.all((sigma[:, 0] > 1e-32) & (sigma[:, 0] < 1e-28))


@pytest.mark.parametrize("dt", [1e-6, 1.0])
@pytest.mark.parametrize("depth", [1.0, 3.0, math.inf])
@pytest.mark.parametrize("levels", [[1.0, 0.0, 0.6], [0.0, 0.9, 0.0], [0.0, 0.0, 0.0], [1e-9, 1e-100, 1e-200]])
def test_frames_stay_orthogonal_and_levels_finite(levels, depth, dt):
    lam = np.array(levels)
    level = np.log(np.maximum(lam, 1e-200)) if math.isinf(depth) else lam
    at = place(depth, "apart", 3)._replace(level=level)
    z = np.random.default_rng(1).standard_normal((9, WIDTH))
    u, v, sigma, W = frames_of(stepped(model_at(at), at.rows, z, dt), depth)
    for frame in (u, v):
        assert np.abs(frame @ adjoint(frame) - np.eye(3)).max() < 1e-13
    assert np.all(np.isfinite(W) & (sigma[:, None] >= 0.0))


@kernel
def pairs_of(depth, x_k, x_l, a, share):
    for i in range(len(x_k)):
        a_i, share_i = pair(depth, load(x_k, i), load(x_l, i))
        store(a, i, a_i)
        store(share, i, share_i)


@pytest.mark.parametrize("depth", [*DEPTHS, 2.5, 24.0, 25.0, 100.0])
def test_pairs_have_the_eigenvalues_of_the_operator_and_the_slopes_of_its_entropy(depth):
    rng = np.random.default_rng(4)
    lam_k = np.exp(rng.uniform(-2.0, 0.5, (40, WIDTH)))
    near = np.array([0.0, 1e-16, 1e-12, 1e-9, 1e-6, 1e-3, 0.1, 0.5])
    lam_l = np.where(np.arange(40)[:, None] < 20, lam_k * (1.0 + near), np.exp(rng.uniform(-2.0, 0.5, (40, WIDTH))))
    lam_k, lam_l = np.concatenate([lam_k, lam_l]), np.concatenate([lam_l, lam_k])
    # λ is σ at infinite depth, where x is σ².
    sigma = np.stack([lam_k, lam_l], axis=-1) ** (1.0 if math.isinf(depth) else depth)
    a, share = np.empty_like(lam_k), np.empty_like(lam_k)
    pairs_of(depth, lam_k**2, lam_l**2, a, share)
    assert a == pytest.approx(geometry.eigenvalues_of_A(depth, sigma)[..., 0, 1], rel=1e-14 * min(depth, 100.0) + 1e-14)
    slope_of_entropy = geometry.sigma_prime(depth, sigma)[..., 0]
    scale = sigma[..., 0] if math.isinf(depth) else depth * sigma[..., 0] ** (1.0 - 2.0 / depth)
    assert share * scale == pytest.approx(slope_of_entropy, rel=1e-11, abs=1e-14 * scale.max())


# --- networks -------------------------------------------------------------------------------------------------------


class Point(NamedTuple):
    """A balanced network W_p = Q_p Λ Q_{p−1}ᵀ in every lane, the same, and the gradient E' at it."""

    lam: Any  # (d,)
    Q: Any  # (N+1, d, d)
    G: Any  # (d, d)

    @property
    def width(self):
        return len(self.lam)

    @property
    def depth(self):
        return len(self.Q) - 1

    @property
    def factors(self):
        return self.Q[1:] * self.lam @ adjoint(self.Q[:-1])

    @property
    def rows(self):
        one = np.concatenate([adjoint(self.Q).ravel(), self.lam])
        return np.tile(one[:, None], (1, WIDTH))


LAMBDAS = {
    "apart": np.array([1.2, 0.5, 0.8]),
    "equal": np.array([0.9, 0.9, 0.9]),
    "two equal": np.array([0.6, 1.1, 0.6]),
    "nearly equal": np.array([0.7, 0.7 * (1.0 + 1e-9), 1.0]),
}


def point(size, depth, lam, strength=1.0):
    rng = np.random.default_rng(100 * size + depth)
    Q = random_orthogonal(size, rng, count=depth + 1)
    return Point(LAMBDAS[lam][:size], Q, strength * rng.standard_normal((size, size)))


def network_of(rows, size, depth):
    """Q (8, N+1, d, d), λ (8, d) and the factors (8, N, d, d) of a state."""
    last = (depth + 1) * size * size
    Q = adjoint(rows[:last].T.reshape(WIDTH, depth + 1, size, size))
    lam = rows[last:].T
    return Q, lam, (Q[:, 1:] * lam[:, None, None, :]) @ adjoint(Q[:, :-1])


def network_steps(at, Z, dt, kappa=KAPPA):
    """The factors (m, N, d, d) after steps with the normals Z, (m, normals)."""
    d, N = at.width, at.depth
    model = Network(d, N, BETA, kappa, Linear(np.tile(at.G.reshape(-1, 1), (1, WIDTH))))
    return np.concatenate([network_of(rows, d, N)[2] for rows in in_blocks(model, at.rows, Z, dt)])[: len(Z)]


def count_of_normals(at):
    return at.width**2 + (at.depth - 1) * at.width * (at.width - 1) // 2


def moments_of(at, observe, kappa=KAPPA):
    """The moments of observe(factors)."""
    return moments(observe(at.factors), lambda Z, dt: observe(network_steps(at, Z, dt, kappa)), count_of_normals(at))


NETWORKS = [
    *((1, depth, "apart") for depth in (1, 2, 3, 5)),
    *((size, depth, lam) for size in (2, 3) for depth in (1, 2, 3, 5) for lam in LAMBDAS),
]
SOME_NETWORKS = [(1, 3, "apart"), (2, 1, "apart"), (2, 3, "equal"), (3, 2, "two equal"), (2, 5, "nearly equal")]
ALL_NETWORKS = pytest.mark.parametrize(("size", "depth", "lam"), sized(NETWORKS, SOME_NETWORKS))


def test_normals_of_a_step():
    energy = Quadratic(1.0)
    assert normals_of(Matrix(3, 2.0, 1.0, 1.0, energy), 21) == 9
    assert normals_of(Network(3, 4, 1.0, 1.0, energy), 48) == 18
    assert normals_of(Hermitian(3, 1.0, 1.0, energy), 18) == 9


@ALL_NETWORKS
@pytest.mark.parametrize("dt", [1e-6, 1e-2, 1.0])
def test_a_step_of_a_network_ends_on_the_balanced_variety(size, depth, lam, dt):
    at = point(size, depth, lam)
    z = np.random.default_rng(1).standard_normal((count_of_normals(at), WIDTH))
    model = Network(size, depth, BETA, KAPPA, Linear(np.tile(at.G.reshape(-1, 1), (1, WIDTH))))
    Q, new, factors = network_of(stepped(model, at.rows, z, dt), size, depth)
    assert np.abs(Q @ adjoint(Q) - np.eye(size)).max() < 1e-13
    assert np.all(new >= 0.0)
    assert geometry.is_balanced(factors, 1e-13).all()
    if dt == 1e-6:
        assert np.abs(factors - at.factors).max() < 0.05


@ALL_NETWORKS
@pytest.mark.parametrize("kappa", [KAPPA, 0.0])
def test_the_moments_of_the_factors_are_those_of_the_equation(size, depth, lam, kappa):
    """The mean tells a retraction from a wrong one: its normal part is the curvature of the variety."""
    at = point(size, depth, lam)
    mean, covariance = moments_of(at, lambda factors: factors, kappa)
    drift = geometry.network_drift(at.factors, at.G, BETA, kappa)
    assert mean == pytest.approx(drift, abs=2e-9 * np.abs(drift).max())
    if depth > 2 and size > 1 and lam == "apart":  # what would be missed
        assert np.linalg.norm(geometry.vertical_curvature(at.factors)) > 0.1
    units = np.eye(at.factors.size).reshape(-1, *at.factors.shape)
    projected = geometry.project_vertical(at.factors, units) + kappa * geometry.project_horizontal(at.factors, units)
    assert covariance == pytest.approx(2.0 / BETA * projected.reshape(covariance.shape), abs=2e-9)


@ALL_NETWORKS
@pytest.mark.parametrize("kappa", [KAPPA, 0.0])
def test_the_moments_of_the_end_to_end_matrix_are_those_of_the_equation(size, depth, lam, kappa):
    """Noise upstairs, curvature downstairs: the entropic drift of W is made by the noise in its fibre."""
    at = point(size, depth, lam)
    W = geometry.end_to_end(at.factors)
    mean, covariance = moments_of(at, geometry.end_to_end, kappa)
    drift = geometry.drift(depth, W, at.G, BETA, kappa)
    assert mean == pytest.approx(drift, abs=2e-9 * np.abs(drift).max())
    assert covariance == pytest.approx(geometry.covariance(depth, W, BETA, kappa), abs=5e-9)
    if depth > 1 and size > 1:
        assert np.abs(geometry.entropy_gradient(depth, W)).max() > 0.1


def length(V):
    """Of the vector in each lane."""
    return np.linalg.norm(V.reshape(len(V), -1), axis=-1)


def tangent_step(at, z, dt, kappa=KAPPA):
    """The step in the tangent space, (N, d, d), as the kernel's page describes it: noise in the fibre, noise across."""
    d, N, lam = at.width, at.depth, at.lam
    loud, quiet = math.sqrt(2.0 * dt / BETA), math.sqrt(2.0 * kappa * dt / BETA)
    a, p = geometry.eigenvalues_of_A(N, lam**N), np.arange(1, N + 1)[:, None, None]
    lift = lam[:, None] ** (N - p) * lam ** (p - 1)
    Z = adjoint(at.Q[-1]) @ z[: d * d].reshape(d, d) @ at.Q[0]
    B = lift * (quiet * Z / np.sqrt(a) - dt * (adjoint(at.Q[-1]) @ at.G @ at.Q[0]))
    zeta = np.zeros((N - 1, d, d))
    below = (slice(None), *np.tril_indices(d, -1))
    zeta[below] = z[d * d :].reshape(zeta[below].shape)
    zeta -= adjoint(zeta)
    zeta = adjoint(at.Q[1:-1]) @ zeta @ at.Q[1:-1]
    for k in range(d):
        for l in range(k):
            T = 4.0 * geometry.rotation_metric(N, lam[k], lam[l])[1:-1, 1:-1] / 2.0
            rates = np.linalg.solve(np.linalg.cholesky(T).T, zeta[:, k, l]) if N > 1 else np.zeros(0)
            omega = np.concatenate([[0.0], rates, [0.0]]) * loud
            B[:, k, l] += omega[1:] * lam[l] - lam[k] * omega[:-1]
            B[:, l, k] += lam[l] * omega[:-1] - omega[1:] * lam[k]
    return at.Q[1:] @ B @ adjoint(at.Q[:-1])


@ALL_NETWORKS
def test_a_step_of_a_network_leaves_the_tangent_step_in_normal_directions(size, depth, lam):
    """But for terms of third order in √dt, whatever the normals: a quarter of dt, an eighth of the tangential rest."""
    at = point(size, depth, lam)
    normals = np.random.default_rng(2).standard_normal((WIDTH, count_of_normals(at)))
    normal, tangential = [], []
    for dt in (1e-4, 1e-4 / 4, 1e-4 / 16):
        ideal = np.stack([tangent_step(at, z, dt) for z in normals])
        assert geometry.project_tangent(at.factors, ideal) == pytest.approx(ideal, abs=1e-14)
        rest = network_steps(at, normals, dt) - at.factors - ideal
        along = geometry.project_tangent(at.factors, rest)
        normal.append(np.linalg.norm(rest - along))
        tangential.append(np.linalg.norm(along))
    if size == 1:
        assert max(tangential + normal) < 3e-14
        return
    assert tangential[0] / tangential[1] == pytest.approx(8.0, rel=0.1)
    assert tangential[1] / tangential[2] == pytest.approx(8.0, rel=0.05)
    assert tangential[0] < 1e-4
    if depth > 1:
        assert normal[0] / normal[1] == pytest.approx(4.0, rel=0.1)
        assert normal[1] / normal[2] == pytest.approx(4.0, rel=0.05)
        assert normal[2] > 1e-7


@ALL_NETWORKS
def test_noise_in_the_fibre_moves_the_end_to_end_matrix_less_than_the_factors(size, depth, lam):
    """At κ = 0, without a force: by O(dt) against O(√dt)."""
    at = point(size, depth, lam, strength=0.0)
    normals = np.random.default_rng(2).standard_normal((WIDTH, count_of_normals(at)))
    W, below, above = geometry.end_to_end(at.factors), [], []
    for dt in (1e-4, 1e-4 / 4):
        factors = network_steps(at, normals, dt, kappa=0.0)
        below.append(length(geometry.end_to_end(factors) - W))
        above.append(length(factors - at.factors))
    if depth == 1 or size == 1:
        assert np.max(below + above) < 1e-14
        return
    assert above[0] / above[1] == pytest.approx(2.0, rel=0.05)
    assert below[0] / below[1] == pytest.approx(4.0, rel=0.2)
    assert np.all(below[1] < 0.1 * above[1])


SINGULAR = {
    "one zero": np.array([1.0, 0.0, 0.6]),
    "two zeros": np.array([0.0, 0.9, 0.0]),
    "zero": np.zeros(3),
    "tiny": np.array([1e-9, 1e-100, 1e-200]),
}


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("kind", SINGULAR)
def test_a_step_from_a_singular_network_ends_on_the_balanced_variety(kind, depth):
    at = point(3, depth, "apart")._replace(lam=SINGULAR[kind])
    z = np.random.default_rng(1).standard_normal((count_of_normals(at), WIDTH))
    model = Network(3, depth, BETA, KAPPA, Linear(np.tile(at.G.reshape(-1, 1), (1, WIDTH))))
    Q, lam, factors = network_of(stepped(model, at.rows, z, 1e-4), 3, depth)
    assert np.abs(Q @ adjoint(Q) - np.eye(3)).max() < 1e-13
    assert np.all(lam > 0.0)
    assert geometry.is_balanced(factors, 1e-13).all()
    assert length(factors - at.factors).min() > 0.002
    assert length(factors - at.factors).max() < 0.1


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_noise_at_a_network_with_one_singular_value_0_is_that_beside_it(depth):
    at = point(3, depth, "apart")._replace(lam=SINGULAR["one zero"])
    n, dt = count_of_normals(at), 1e-8
    plus, minus = (network_steps(at, sign * math.sqrt(n) * np.eye(n), dt) for sign in (1.0, -1.0))
    odd = (plus - minus).reshape(n, -1) / (2.0 * math.sqrt(dt))
    beside = np.maximum(at.lam, 1e-7)
    V, H = (
        basis(beside, at.Q).reshape(-1, at.factors.size)
        for basis in (geometry.vertical_basis, geometry.horizontal_basis)
    )
    assert odd.T @ odd / n == pytest.approx(2.0 / BETA * (V.T @ V + KAPPA * H.T @ H), abs=3e-6)


# --- Hermitian matrices ---------------------------------------------------------------------------------------------

EIGENVALUES = {
    "apart": np.array([-1.2, 0.3, 0.9, 1.7]),
    "equal": np.array([0.5, 0.5, 0.5, 0.5]),
    "in pairs": np.array([-0.4, 1.1, -0.4, 1.1]),
    "nearly equal": 1.0 + 1e-9 * np.arange(4),
    "zero": np.zeros(4),
}


def hermitian_case(size, kind, rng):
    U = random_orthogonal(size, rng, complex)
    M = (U * EIGENVALUES[kind][:size]) @ adjoint(U)
    return (M + adjoint(M)) / 2.0, rng.standard_normal((size * size, WIDTH))


def hermitian_increments(z, size):
    """dH/√dt from its normals: of variance 1 on the diagonal, ½ in both parts of what is beside it."""
    H, slot = np.zeros((WIDTH, size, size), complex), size
    for i in range(size):
        H[:, i, i] = z[i]
        for j in range(i):
            H[:, i, j] = (z[slot] + 1j * z[slot + 1]) * math.sqrt(0.5)
            H[:, j, i] = H[:, i, j].conj()
            slot += 2
    return H


def hermitian_step(M, z, dt, kappa):
    """M after a step with the slope v' = 1, and the frame of its eigenvectors."""
    size = M.shape[-1]
    frame = rows_of(identities(size, complex))
    got = stepped(Hermitian(size, BETA, kappa, Linear(np.ones((1, WIDTH)))), rows_of(M), z, dt, frame)
    return complex_matrices_of(got), adjoint(complex_matrices_of(frame))


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("kappa", [0.0, KAPPA, 1.0])
def test_a_step_of_a_hermitian_matrix(size, kappa):
    dt, rng = 0.01, np.random.default_rng(size)
    M, z = hermitian_case(size, "apart", rng)
    dH = hermitian_increments(z, size) * math.sqrt(dt)
    slopes = geometry.spectral_gradient(M, np.ones((WIDTH, size)))
    got, _ = hermitian_step(M, z, dt, kappa)
    assert got == pytest.approx(M + geometry.hermitian_noise(M, dH, BETA, kappa) - slopes * dt, abs=1e-13)
    assert np.array_equal(got, adjoint(got)) or np.abs(got - adjoint(got)).max() < 1e-15
    if kappa == 1.0:  # all noise is loud: of the ambient space
        assert got + slopes * dt - M == pytest.approx(math.sqrt(2.0 / BETA) * dH, abs=1e-14)


@pytest.mark.parametrize("kind", EIGENVALUES)
@pytest.mark.parametrize("kappa", [0.0, KAPPA, 1.0, 1.8])
def test_noise_is_split_in_the_frame_of_the_kernel_where_eigenvalues_meet(kind, kappa):
    dt = 0.01
    M, z = hermitian_case(4, kind, np.random.default_rng(2))
    dH = hermitian_increments(z, 4) * math.sqrt(2.0 * dt / BETA)
    got, U = hermitian_step(M, z, dt, kappa)
    assert adjoint(U) @ U == pytest.approx(identities(4, complex), abs=1e-13)
    turned = adjoint(U) @ M @ U
    assert np.abs(turned * (1.0 - np.eye(4))).max() < 1e-13
    radial = np.einsum("...ki,...kl,...li->...i", U.conj(), dH, U).real
    expected = M + dH + (U * ((math.sqrt(kappa) - 1.0) * radial - dt)[:, None, :]) @ adjoint(U)
    assert got == pytest.approx(expected, abs=1e-13)


# --- runs by the driver ---------------------------------------------------------------------------------------------


def run_of(kind, blocks=2, **options):
    """A run from different matrices in every lane."""
    rng, d = np.random.default_rng(13), 3
    sigma = np.array([0.4, 0.8, 1.5])
    if kind == "matrix":
        lam = np.tile(np.cbrt(sigma)[:, None], (1, WIDTH))
        start = [np.concatenate([*(rows_of(random_orthogonal(d, rng)) for _ in range(2)), lam]) for _ in range(blocks)]
        model, carried = Matrix(d, 3.0, 5.0, 1.0, Quadratic(1.0)), 0
    elif kind == "hermitian":
        start = [rows_of(hermitian_case(d, "apart", rng)[0]) for _ in range(blocks)]
        model, carried = Hermitian(d, 5.0, 0.8, Quadratic(1.0)), 2 * d * d
    else:
        model, carried = Network(d, 3, 5.0, 1.0, Quadratic(1.0)), 0
        frames = [[rows_of(random_orthogonal(d, rng)) for _ in range(4)] for _ in range(blocks)]
        lam = np.tile(np.cbrt(sigma)[:, None], (1, WIDTH))
        start = [np.concatenate([*f, lam]) for f in frames]
    return Run(model, EulerMaruyama(), np.stack(start), values=d, carried=carried, **options)


def values_of(kind, rows):
    """The ascending singular values or eigenvalues of a block, (d, 8)."""
    if kind == "matrix":
        values = np.linalg.svd(frames_of(rows, 3.0)[3], compute_uv=False)
    elif kind == "hermitian":
        values = np.linalg.eigvalsh(complex_matrices_of(rows))
    else:
        values = np.linalg.svd(geometry.end_to_end(network_of(rows, 3, 3)[2]), compute_uv=False)
    return np.sort(values, axis=-1).T


KINDS = pytest.mark.parametrize("kind", ["matrix", "network", "hermitian"])
LAST = sized(30, 8)


@KINDS
@pytest.mark.parametrize("cuts", [[1], [2, 7], [LAST], list(range(1, LAST))])
def test_cutting_a_run_between_steps_changes_no_bit(kind, cuts):
    whole, parts = run_of(kind, last_step=LAST, every=3).go(), run_of(kind, last_step=LAST, every=3)
    assert not np.isnan(whole.samples).any()
    for from_step, to_step in zip([0, *cuts], [*cuts, LAST + 1], strict=True):
        for block in (1, 0):
            parts.go(from_step, to_step, slice(block, block + 1))
    assert_same(whole, parts)


@KINDS
def test_the_values_of_states_are_observed(kind):
    start = run_of(kind, last_step=LAST, every=LAST)
    first = [values_of(kind, rows) for rows in start.x]
    start.go()
    last = [values_of(kind, rows) for rows in start.x]
    assert start.samples[:, 0] == pytest.approx(np.stack(first), abs=1e-13)
    assert start.samples[:, 1] == pytest.approx(np.stack(last), abs=1e-13)
    assert np.abs(start.samples[:, 1] - start.samples[:, 0]).min(axis=1).max() > 1e-2


@KINDS
def test_observing_does_not_disturb_the_paths(kind):
    often, rarely = run_of(kind, last_step=LAST, every=1).go(), run_of(kind, last_step=LAST, every=LAST).go()
    assert np.array_equal(often.x, rarely.x)
    assert np.array_equal(often.memory, rarely.memory)
    assert np.array_equal(often.samples[:, -1], rarely.samples[:, -1])


GONE, HERE = [2, 5, 6, 7], [0, 1, 3, 4]


@KINDS
def test_failing_paths_stay_absent_ones_go_on_and_the_others_do_not_notice(kind):
    full, some = run_of(kind, last_step=LAST), run_of(kind, last_step=LAST)
    some.tally[1][STATUS, GONE] = ABSENT
    row, wrong = (0, np.nan) if kind == "hermitian" else (-1, 1e200)
    some.x[0][row, 3] = wrong
    full.go()
    some.go()
    assert np.array_equal(some.x[1], full.x[1])
    assert (some.tally[1][STATUS, GONE] == ABSENT).all()
    for name in ("x", "tally", "samples", "sums"):
        assert np.array_equal(getattr(some, name)[1][..., HERE], getattr(full, name)[1][..., HERE])
    others = np.delete(np.arange(WIDTH), 3)
    assert some.tally[0][STATUS, 3] == 0.0
    assert np.array_equal(some.x[0][row, 3], wrong, equal_nan=True)
    assert np.array_equal(some.x[0][:, others], full.x[0][:, others])
    assert (full.tally[:, STATUS] == ALIVE).all()


def test_the_frame_of_a_hermitian_matrix_stays_orthonormal():
    """It does not grow: rotations by angles of which the cosine is rounded to 1 would, by 1e-16 in a step."""
    steps = sized(20_000, 50)
    result = run_of("hermitian", blocks=1, last_step=steps, every=steps, dt=1e-3).go()
    frame = complex_matrices_of(result.memory[0])
    assert np.abs(frame @ adjoint(frame) - np.eye(3)).max() < 1e-13


def test_the_frames_of_a_matrix_stay_orthonormal():
    steps = sized(20_000, 50)
    result = run_of("matrix", blocks=1, last_step=steps, every=steps, dt=1e-3).go()
    for frame in frames_of(result.x[0], 3.0)[:2]:
        assert np.abs(frame @ adjoint(frame) - np.eye(3)).max() < 1e-13


@pytest.mark.parametrize("depth", [2, 3])
def test_a_network_stays_balanced_and_its_frames_orthonormal(depth):
    steps = sized(20_000, 20)
    lam = np.array([0.5, 0.8, 1.1])[:, None] * np.ones(WIDTH)
    start = np.concatenate([*[rows_of(identities(3))] * (depth + 1), lam])[None]
    model = Network(3, depth, 5.0, 1.0, Quadratic(1.0))
    result = Run(model, EulerMaruyama(), start, last_step=steps, every=steps, dt=1e-3, values=3, carried=0).go()
    Q, _, factors = network_of(result.x[0], 3, depth)
    assert np.abs(Q @ adjoint(Q) - np.eye(3)).max() < 1e-13
    assert geometry.is_balanced(factors, 1e-13).all()
    assert (result.tally[:, STATUS] == ALIVE).all()
