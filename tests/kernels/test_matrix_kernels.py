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
    "graded": lambda size: 0.03 ** np.arange(size),
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


def exact_matrix_step(depth, W, G, Z, dt, kappa=KAPPA):
    drift = geometry.drift(depth, W, G, BETA, kappa)
    return W + drift * dt + geometry.noise(depth, W, Z * math.sqrt(dt), BETA, kappa)


def relative_to_step(error, W, exact):
    return np.linalg.norm(error, axis=(-2, -1)) / np.linalg.norm(exact - W, axis=(-2, -1))
