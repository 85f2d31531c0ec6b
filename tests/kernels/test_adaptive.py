"""Flows without noise: right-hand sides against the geometry in plain NumPy, and steps that paths choose themselves."""

import math
from typing import Any, NamedTuple

import numpy as np
import pytest
from kernel_tools import Run, assert_same, fresh_tally, kernel_drift, matrices_of, rows_of, sized
from scipy.integrate import DOP853, solve_ivp

from dlnmc import geometry
from dlnmc_kernels.adaptive import SHORTEST, DormandPrince
from dlnmc_kernels.dispatch import begin, drift, prepare, scratch_rows, step, velocity
from dlnmc_kernels.dyson import Dyson
from dlnmc_kernels.energies import Entries, Quadratic
from dlnmc_kernels.gradient_flow import MatrixFlow, NetworkFlow
from dlnmc_kernels.jit import kernel
from dlnmc_kernels.lanes import WIDTH, load, store
from dlnmc_kernels.ordering import ABSENT, ALIVE, STATUS
from dlnmc_kernels.schemes import SCRATCH
from dlnmc_kernels.singular_values import Lambda, LogSigma

N = DOP853.n_stages
RNG = np.random.default_rng(5)
WEIGHTS, TARGETS = RNG.uniform(0.0, 2.0, 9), RNG.standard_normal(9)
COMPLETION = Entries(WEIGHTS, TARGETS)


def scheme(tolerance=1e-10):
    return DormandPrince(
        *(np.ascontiguousarray(c[:N]) for c in (DOP853.A[:, :N], DOP853.B, DOP853.E5, DOP853.E3)), tolerance
    )


def gradient(W):
    return (WEIGHTS * (W.reshape(*W.shape[:-2], 9) - TARGETS)).reshape(W.shape)


@kernel
def velocity_of(model, x, f, memory, work):
    prepare(model, x, memory)
    velocity(model, x, f, memory, work)


def kernel_velocity(model, x, carried=0):
    f = np.full_like(x, np.nan)
    velocity_of(model, x, f, np.zeros((carried, WIDTH)), np.full((SCRATCH, *x.shape), np.nan))
    return f


def some_matrices():
    """Eight: generic ones; singular values nearly equal, two or three equal, three small, one 0."""
    rng = np.random.default_rng(2)
    left, right = (np.linalg.qr(rng.standard_normal((WIDTH, 3, 3)))[0] for _ in range(2))
    sigma = np.sort(rng.uniform(0.2, 2.0, (WIDTH, 3)))
    sigma[2], sigma[3], sigma[4, 0], sigma[5], sigma[6] = (0.7, 0.7, 1.3), 0.9, 0.0, (0.7, 0.7 * (1 + 1e-9), 1.2), 1e-3
    return np.einsum("pik,pk,pjk->pij", left, sigma, right)


@pytest.mark.parametrize("beta", [3.0, math.inf])
@pytest.mark.parametrize("depth", [1.0, 1.5, 2.0, 3.0, 5.0, 30.0, math.inf])
def test_velocity_of_matrices_is_the_drift_without_noise(depth, beta):
    W = some_matrices()
    if depth > 3.0:  # rounding makes a zero of 1e-17, whose λ² would be felt
        W[4] = W[0]
    f = matrices_of(kernel_velocity(MatrixFlow(3, depth, beta, COMPLETION), rows_of(W), carried=9))
    expected = geometry.drift(depth, W, gradient(W), beta, 0.0)
    assert f == pytest.approx(expected, abs=1e-11 * max(1.0, np.abs(expected).max()))
    other = geometry.drift(depth, W, gradient(W), 1.01 * beta if beta < math.inf else 1e9, 0.0)
    assert depth == 1.0 or np.abs(f - other).max() > 1e-11  # the control: another temperature


def test_velocity_of_matrices_of_invariant_energies():
    W = some_matrices()
    f = matrices_of(kernel_velocity(MatrixFlow(3, 3.0, 2.0, Quadratic(1.0)), rows_of(W), carried=9))
    assert f == pytest.approx(geometry.drift(3.0, W, W, 2.0, 0.0), abs=1e-11)


def factor_rows(factors):
    """Networks (8, N, d, d) as rows (N d², 8)."""
    return np.ascontiguousarray(factors.reshape(WIDTH, -1).T)


@pytest.mark.parametrize(("energy", "slope"), [(COMPLETION, gradient), (Quadratic(1.0), lambda W: W)])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_velocity_of_networks_is_the_gradient_flow(depth, energy, slope):
    factors = np.random.default_rng(depth).standard_normal((WIDTH, depth, 3, 3))
    f = kernel_velocity(NetworkFlow(3, depth, energy), factor_rows(factors), carried=9)
    expected = geometry.gradient_flow(factors, slope(geometry.end_to_end(factors)))
    assert f == pytest.approx(factor_rows(expected), abs=1e-12 * np.abs(expected).max())


def test_velocity_of_components_is_their_drift_and_nothing_is_tamed():
    x = np.sort(np.random.default_rng(3).uniform(0.2, 1.8, (4, WIDTH)), axis=0)
    x[1] = x[0] + 1e-7
    for model in (Lambda(3.0, 2.0, 0.0, Quadratic(1.0)), LogSigma(2.0, 0.0, Quadratic(1.0))):
        assert kernel_velocity(model, x) == pytest.approx(kernel_drift(model, x), rel=1e-12)
    model = Dyson(2.0, 0.0, Quadratic(1.0))
    f = kernel_velocity(model, x)
    assert np.all(f[0] < -0.9e7)
    assert np.all(np.abs(kernel_drift(model, x, dt=1e-2)[0]) < 1e3)  # the control


# --- steps ------------------------------------------------------------------------------------------------------------


class Squares(NamedTuple):
    """x_i' = x_i², x(t) = x/(1 − x t)."""

    rate: float


@drift.register(Squares)
def _squares(model, x, dt, f, work):
    for i in range(len(x)):
        store(f, i, load(x, i) * load(x, i) * model.rate)


@kernel
def follow(scheme, model, x, dt, steps, proposal, memory, tally, work):
    """Carry a block over `steps` steps dt."""
    prepare(model, x, memory)
    begin(scheme, model, x, x, dt, memory, work)
    for _ in range(steps):
        step(scheme, model, x, x, dt, proposal, memory, tally, work)
        for i in range(len(x)):
            store(x, i, load(proposal, i))


@kernel
def rows_wanted(scheme):
    return scratch_rows(scheme)


def followed(model, x, dt, steps=1, carried=0, tally=None, tolerance=1e-10):
    """The rows after some steps, and what is carried."""
    own, x = scheme(tolerance), x.copy()
    memory = np.zeros((carried + 1, WIDTH))
    work = np.zeros((rows_wanted(own), *x.shape))
    with np.errstate(all="ignore"):
        follow(own, model, x, dt, steps, np.zeros_like(x), memory, fresh_tally() if tally is None else tally, work)
    return x, memory


def test_a_path_is_as_exact_as_was_asked():
    x = np.linspace(0.1, 0.9, WIDTH).reshape(1, WIDTH)
    errors = []
    for tolerance in (1e-4, 1e-7, 1e-10, 1e-13):
        got, _ = followed(Squares(1.0), x, 1.0, tolerance=tolerance)
        errors.append(np.max(np.abs(got * (1.0 - x) / x - 1.0)))
    assert np.all(np.array(errors) < 50.0 * np.array([1e-4, 1e-7, 1e-10, 1e-13]))
    assert errors[0] > 1e-9  # the control


def test_steps_have_order_eight():
    """Steps dt that nothing cuts: at half of them the error falls by 2⁸, about."""
    x = np.full((1, WIDTH), 0.5)
    errors = []
    for n in (4, 8):
        got, memory = followed(Squares(1.0), x, 1.0 / n, steps=n, tolerance=1e-2)
        assert np.all(memory[-1] >= 1.0 / n)  # nothing was cut after the first
        errors.append(abs(got[0, 0] - 1.0))
    assert math.log2(errors[0] / errors[1]) > 7.0


def test_what_runs_away_fails_and_the_others_arrive():
    x = np.array([[0.5, 2.0, -1.0, 0.25, 1.5, 0.0, np.nan, 0.75]])
    got, memory = followed(Squares(1.0), x, 1.0)
    assert np.isnan(got[0]).tolist() == [False, True, False, False, True, False, True, False]
    exact = x[0] / (1.0 - x[0])
    good = ~np.isnan(got[0])
    assert got[0, good] == pytest.approx(exact[good], rel=1e-8)
    assert np.all(memory[-1, [1, 4]] < SHORTEST * 10.0)


def test_absent_and_failed_paths_stay_where_they_are():
    x = np.full((1, WIDTH), 0.5)
    tally = fresh_tally()
    tally[STATUS, 2:4] = ABSENT, 17.0
    got, _ = followed(Squares(1.0), x, 1.0, tally=tally)
    assert np.all(got[0, 2:4] == 0.5)
    assert np.all(got[0, [0, 1, 4, 5, 6, 7]] == got[0, 0])
    assert got[0, 0] == pytest.approx(1.0, rel=1e-9)


MATRIX = MatrixFlow(3, 3.0, 2.0, COMPLETION)


def test_paths_do_not_depend_on_their_neighbours():
    """The bits of a path are the same beside seven others that need other steps, and beside itself."""
    W = np.random.default_rng(9).standard_normal((WIDTH, 3, 3)) * np.geomspace(0.05, 3.0, WIDTH)[:, None, None]
    together, memory = followed(MATRIX, rows_of(W), 0.7, steps=sized(2, 1), carried=9)
    assert len(set(memory[-1])) == WIDTH  # each has a step of its own
    order = np.random.default_rng(1).permutation(WIDTH)
    permuted, memory_permuted = followed(MATRIX, rows_of(W[order]), 0.7, steps=sized(2, 1), carried=9)
    assert permuted.tobytes() == np.ascontiguousarray(together[:, order]).tobytes()
    assert memory_permuted.tobytes() == np.ascontiguousarray(memory[:, order]).tobytes()
    for lane in range(sized(WIDTH, 1)):
        alone, _ = followed(MATRIX, rows_of(np.tile(W[lane], (WIDTH, 1, 1))), 0.7, steps=sized(2, 1), carried=9)
        assert np.array_equal(alone, np.tile(together[:, [lane]], WIDTH))


def test_matrices_follow_the_flow_of_plain_numpy():
    W = np.random.default_rng(4).standard_normal((WIDTH, 3, 3))
    got = matrices_of(followed(MATRIX, rows_of(W), 1.0, carried=9)[0])

    def flow(t, w):
        return geometry.drift(3.0, w.reshape(3, 3), gradient(w.reshape(3, 3)), 2.0, 0.0).ravel()

    for lane in range(sized(4, 1)):
        exact = solve_ivp(flow, (0.0, 1.0), W[lane].ravel(), method="DOP853", rtol=1e-12, atol=1e-13).y[:, -1]
        assert got[lane].ravel() == pytest.approx(exact, abs=1e-9)


def matrix_run(start, **settings):
    return Run(MATRIX, scheme(), start, values=3, carried=10, last_step=sized(6, 2), every=2, dt=0.3, **settings)


def test_cuts_between_steps_and_blocks_change_no_bit():
    start = np.stack([rows_of(np.random.default_rng(k).standard_normal((WIDTH, 3, 3))) for k in range(sized(3, 2))])
    whole, cut = matrix_run(start).go(), matrix_run(start)
    for block in range(len(start)):
        for n in range(cut.last_step + 1):
            cut.go(n, n + 1, slice(block, block + 1))
    assert_same(whole, cut)
    values = np.linalg.svd(matrices_of(whole.x[0]), compute_uv=False)[:, ::-1].T
    assert whole.samples[0, -1] == pytest.approx(values, abs=1e-12)
    assert np.all(whole.tally[:, STATUS] == ALIVE)


class _Unused(NamedTuple):
    a: Any


def test_other_schemes_have_the_usual_scratch():
    assert rows_wanted(_Unused(1.0)) == SCRATCH
    assert rows_wanted(scheme()) > SCRATCH + N
