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


# --- whole matrices -------------------------------------------------------------------------------------------------

DEPTHS = [1.0, 1.5, 2.0, 3.0, 7.0, 30.0, math.inf]
SINGULAR_VALUES = {
    "apart": lambda size: np.linspace(0.4, 1.6, size),
    "equal": lambda size: np.full(size, 0.8),
    "in pairs": lambda size: 0.7 + 0.5 * (np.arange(size) // 2),
    "nearly equal": lambda size: 0.9 * (1.0 + 1e-9 * np.arange(size)),
    "graded": lambda size: 0.3 ** np.arange(size),
}


def matrices_with(sigma, rng):
    size = len(sigma)
    return random_orthogonal(size, rng) @ (np.reshape(sigma, (-1, 1)) * random_orthogonal(size, rng))


def matrix_case(size, sigma, rng):
    """W, E' and dB/√dt."""
    return matrices_with(sigma(size), rng), *rng.standard_normal((2, WIDTH, size, size))


def matrix_step(depth, W, G, Z, dt, frame=None, kappa=KAPPA):
    """The kernel's step and the frame that it ends with, from the frame that it starts with."""
    size = W.shape[-1]
    memory = rows_of(identities(size) if frame is None else frame)
    model = Matrix(size, 1.0 / depth, BETA, kappa, Linear(rows_of(G)))
    return matrices_of(stepped(model, rows_of(W), rows_of(Z), dt, memory)), matrices_of(memory)


def settled_matrix_step(depth, W, G, Z, dt, frame=None, kappa=KAPPA):
    """The step in a frame that is exact, since the same matrix has been decomposed in it before."""
    for _ in range(5):
        step, frame = matrix_step(depth, W, G, Z, dt, frame, kappa)
    return step


def exact_matrix_step(depth, W, G, Z, dt, kappa=KAPPA):
    drift = geometry.drift(depth, W, G, BETA, kappa)
    return W + drift * dt + geometry.noise(depth, W, Z * math.sqrt(dt), BETA, kappa)


def relative_to_step(error, W, exact):
    return np.linalg.norm(error, axis=(-2, -1)) / np.linalg.norm(exact - W, axis=(-2, -1))


@pytest.mark.parametrize("size", range(1, sized(6, 4)))
@pytest.mark.parametrize("kind", SINGULAR_VALUES)
@pytest.mark.parametrize("depth", DEPTHS)
def test_a_step_of_a_matrix(depth, kind, size):
    """Exact once the frame is; else it costs about the square of ENOUGH, here at most 1e-7 of a step."""
    W, G, Z = matrix_case(size, SINGULAR_VALUES[kind], np.random.default_rng(size))
    for kappa in (KAPPA, 0.0):
        exact = exact_matrix_step(depth, W, G, Z, 0.01, kappa)
        cold, frame = matrix_step(depth, W, G, Z, 0.01, kappa=kappa)
        assert np.abs(frame @ adjoint(frame) - np.eye(size)).max() < 1e-14
        assert relative_to_step(cold - exact, W, exact).max() < 1e-7
        settled = settled_matrix_step(depth, W, G, Z, 0.01, frame, kappa)
        assert relative_to_step(settled - exact, W, exact).max() < 1e-12


@pytest.mark.parametrize("kind", SINGULAR_VALUES)
@pytest.mark.parametrize("depth", [1.5, 3.0, math.inf])
def test_a_step_of_a_matrix_does_not_depend_on_the_frame_it_starts_from(depth, kind):
    rng = np.random.default_rng(6)
    W, G, Z = matrix_case(4, SINGULAR_VALUES[kind], rng)
    steps = [settled_matrix_step(depth, W, G, Z, 0.01, random_orthogonal(4, rng)) for _ in range(4)]
    assert max(relative_to_step(got - steps[0], W, steps[0]).max() for got in steps) < 3e-13


@pytest.mark.parametrize(("kappa", "error"), [(0.7, 1e-6), (0.01, 1e-5)])
@pytest.mark.parametrize("depth", [1.0, 3.0, math.inf])
def test_what_a_frame_from_the_last_step_costs(depth, kappa, error):
    """Relative to a step: next to nothing mostly, and more where singular values are close and noise is weak.

    From equal singular values, over 200 steps; up to ENOUGH = 1e-4 for steps that do not move them apart. It is an
    error of the noise along pairs of v, as if it had been drawn in a slightly oblique frame.
    """
    rng = np.random.default_rng(7)
    W, frame, errors = matrices_with(np.full(4, 0.8), rng), identities(4), []
    for _ in range(sized(200, 20)):
        Z = rng.standard_normal(W.shape)
        exact = exact_matrix_step(depth, W, W, Z, 1e-3, kappa)
        got, frame = matrix_step(depth, W, W, Z, 1e-3, frame, kappa)
        errors.append(relative_to_step(got - exact, W, exact))
        W = got
    assert np.median(errors) < 1e-10
    assert np.max(errors) < error
    assert np.abs(frame @ adjoint(frame) - np.eye(4)).max() < 1e-13


@pytest.mark.parametrize("depth", [1.5, 2.0, 3.0, 7.0])
def test_the_drift_of_a_singular_value_near_0_is_that_of_a_larger_one(depth):
    """Below the smallest gap in λ, 0.4 √(2κ dt/(βN)), of a singular matrix too: else a step could not leave it."""
    rng = np.random.default_rng(3)
    dt = 1e-3
    floor = (0.4 * math.sqrt(2.0 * KAPPA * dt / (BETA * depth))) ** depth
    for smallest in (0.5 * floor, 0.0):
        sigma = np.array([1.5, 0.7, smallest])
        left, right = random_orthogonal(3, rng), random_orthogonal(3, rng)
        W, G = (left * sigma) @ right, np.zeros((WIDTH, 3, 3))
        got = settled_matrix_step(depth, W, G, G, dt)
        moved = np.einsum("...ik,...ij,...kj->...k", left, got - W, right)
        held = geometry.sigma_prime(depth, sigma) / np.maximum(sigma, 1e-300) ** (1.0 - 2.0 / depth)
        expected = (held + KAPPA * (depth - 1.0)) * np.maximum(sigma, floor) ** (1.0 - 2.0 / depth) * dt / BETA
        assert np.abs(moved) == pytest.approx(np.tile(expected, (WIDTH, 1)), rel=1e-10)


@kernel
def pairs_of(inverse_depth, x_k, x_l, a, share):
    for i in range(len(x_k)):
        a_i, share_i = pair(inverse_depth, load(x_k, i), load(x_l, i))
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
    pairs_of(1.0 / depth, lam_k**2, lam_l**2, a, share)
    assert a == pytest.approx(geometry.eigenvalues_of_A(depth, sigma)[..., 0, 1], rel=1e-14 * min(depth, 100.0) + 1e-14)
    slope_of_entropy = geometry.sigma_prime(depth, sigma)[..., 0]
    scale = sigma[..., 0] if math.isinf(depth) else depth * sigma[..., 0] ** (1.0 - 2.0 / depth)
    assert share * scale == pytest.approx(slope_of_entropy, rel=1e-11, abs=1e-14 * scale.max())
