"""u E'(W) vᵀ of energies of matrices, in lanes, against plain NumPy."""

import numpy as np
import pytest
from kernel_tools import matrices_of, rows_of

from dlnmc_kernels.dispatch import pull
from dlnmc_kernels.energies import Entries, LeastSquares, Own, each_gradient, each_value
from dlnmc_kernels.jit import device, fitting, kernel
from dlnmc_kernels.lanes import WIDTH

SIZE = 3
RNG = np.random.default_rng(21)
A, B = RNG.standard_normal((2, SIZE, SIZE))
P = np.array([0.5, 3.0])
P.setflags(write=False)


@device
def cubes(W, p):
    """E = p_0 Σ W_ij⁴ + p_1 W_01."""
    G = 4.0 * p[0] * W**3
    G[0, 1] += p[1]
    return G


@device
def fourth_powers(W, p):
    return p[0] * np.sum(W**4) + p[1] * W[0, 1]


@kernel
def pull_of(energy, w, u, v, s, out, work, more):
    pull(energy, w, u, v, s, out, work, more)


ENERGIES = {
    "entries": (Entries(np.abs(A).ravel(), B.ravel()), lambda W: np.abs(A) * (W - B)),
    "least squares": (LeastSquares(A.ravel(), B.ravel()), lambda W: W @ A - B),
    "own": (Own(cubes, P), lambda W: 2.0 * W**3 + 3.0 * (np.arange(9) == 1).reshape(3, 3)),
}


@pytest.mark.parametrize("rows", [SIZE**2, SIZE**2 + 5])  # scratch may be longer
@pytest.mark.parametrize("name", ENERGIES)
def test_the_pull_is_the_gradient_in_the_frame(name, rows):
    energy, gradient = ENERGIES[name]
    W, u, v = RNG.standard_normal((3, WIDTH, SIZE, SIZE))
    out, work, more = np.full((3, rows, WIDTH), np.nan)
    arguments = (rows_of(W), rows_of(u), rows_of(v), np.ones((SIZE, WIDTH)), out, work, more)
    fitting(pull_of, energy)(energy, *arguments)
    expected = u @ gradient(W) @ np.swapaxes(v, 1, 2)
    assert np.max(np.abs(matrices_of(out[: SIZE**2]) - expected)) < 1e-12 * np.max(np.abs(expected))
    assert np.array_equal(arguments[0], rows_of(W))


def test_only_what_holds_functions_is_compiled_apart():
    own, entries = ENERGIES["own"][0], ENERGIES["entries"][0]
    assert fitting(pull_of, entries) is pull_of
    assert fitting(pull_of, (1.0, (entries, own))) is fitting(pull_of, own)


def test_many_matrices_have_many_values():
    W = RNG.standard_normal((4, SIZE, SIZE))
    W[2, 0, 0] = np.inf
    before, values, gradients = W.copy(), np.empty(4), np.empty_like(W)
    with np.errstate(all="ignore"):
        each_value(fourth_powers, W, P, values)
        each_gradient(cubes, W, P, gradients)
    fine = np.array([0, 1, 3])
    assert values[fine] == pytest.approx(0.5 * np.sum(W[fine] ** 4, axis=(1, 2)) + 3.0 * W[fine, 0, 1], rel=1e-13)
    assert gradients[fine] == pytest.approx(ENERGIES["own"][1](W[fine]), rel=1e-13)
    assert np.isnan(values[2])
    assert np.isnan(gradients[2]).all()
    assert np.array_equal(W, before)
