"""u E'(W) vᵀ of energies of matrices, in lanes, against plain NumPy."""

import numpy as np
import pytest
from kernel_tools import matrices_of, rows_of

from dlnmc_kernels.dispatch import pull
from dlnmc_kernels.energies import (
    Entries,
    LeastSquares,
    Own,
    each_gradient,
    each_value,
    gradient_pointer,
    value_pointer,
)
from dlnmc_kernels.jit import compiled, kernel
from dlnmc_kernels.lanes import WIDTH

SIZE = 3
RNG = np.random.default_rng(21)
A, B = RNG.standard_normal((2, SIZE, SIZE))
P = np.array([0.5, 3.0])
P.setflags(write=False)


@compiled
def cubes(W, p):
    """E = p_0 Σ W_ij⁴ + p_1 W_01."""
    G = 4.0 * p[0] * W**3
    G[0, 1] += p[1]
    return G


@compiled
def fourth_powers(W, p):
    return p[0] * np.sum(W**4) + p[1] * W[0, 1]


E, PRIME = value_pointer(fourth_powers), gradient_pointer(cubes)


@kernel
def pull_of(energy, w, u, v, s, out, work, more):
    pull(energy, w, u, v, s, out, work, more)


ENERGIES = {
    "entries": (Entries(np.abs(A).ravel(), B.ravel()), lambda W: np.abs(A) * (W - B)),
    "least squares": (LeastSquares(A.ravel(), B.ravel()), lambda W: W @ A - B),
    "own": (Own(PRIME, P), lambda W: 2.0 * W**3 + 3.0 * (np.arange(9) == 1).reshape(3, 3)),
}


@pytest.mark.parametrize("rows", [SIZE**2, SIZE**2 + 5])  # scratch may be longer
@pytest.mark.parametrize("name", ENERGIES)
def test_the_pull_is_the_gradient_in_the_frame(name, rows):
    energy, gradient = ENERGIES[name]
    W, u, v = RNG.standard_normal((3, WIDTH, SIZE, SIZE))
    out, work, more = np.full((3, rows, WIDTH), np.nan)
    arguments = (rows_of(W), rows_of(u), rows_of(v), np.ones((SIZE, WIDTH)), out, work, more)
    pull_of(energy, *arguments)
    expected = u @ gradient(W) @ np.swapaxes(v, 1, 2)
    assert np.max(np.abs(matrices_of(out[: SIZE**2]) - expected)) < 1e-12 * np.max(np.abs(expected))
    assert np.array_equal(arguments[0], rows_of(W))


def test_many_matrices_have_many_values():
    W = RNG.standard_normal((4, SIZE, SIZE))
    W[2, 0, 0] = np.inf
    before, values, gradients = W.copy(), np.empty(4), np.empty_like(W)
    with np.errstate(all="ignore"):
        each_value(E, W, P, values)
        each_gradient(PRIME, W, P, gradients)
    fine = np.array([0, 1, 3])
    assert values[fine] == pytest.approx(0.5 * np.sum(W[fine] ** 4, axis=(1, 2)) + 3.0 * W[fine, 0, 1], rel=1e-13)
    assert gradients[fine] == pytest.approx(ENERGIES["own"][1](W[fine]), rel=1e-13)
    assert np.isnan(values[2])
    assert np.isnan(gradients[2]).all()
    assert np.array_equal(W, before)


@compiled
def raising(W, p):
    if W[0, 0] > 1.0:
        raise ValueError("too far out")
    return W


@compiled
def of_another_shape(W, p):
    return np.ones((int(p[0]), int(p[0])))


def test_what_raises_is_not_finite():
    """And so is what has another shape: nothing else of memory is read or written."""
    W = np.stack([np.full((SIZE, SIZE), x) for x in (0.5, 2.0, 0.25)])
    for function, p, fine in ((raising, P, [0, 2]), (of_another_shape, np.array([SIZE + 1.0]), [])):
        out = np.zeros((4, SIZE, SIZE))
        each_gradient(gradient_pointer(function), W, p, out[:3])
        assert np.array_equal(np.isfinite(out[:3]).all(axis=(1, 2)).nonzero()[0], fine)
        assert np.array_equal(out[fine], W[fine])
        assert not out[3].any()
