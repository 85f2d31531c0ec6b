"""Schemes: strong orders on shared Brownian paths, the right limit, and identities between schemes."""

import math

import numpy as np
import pytest
from kernel_tools import FALSE_ALARM, follow, fresh_tally, sized
from scipy.stats import norm

from dlnmc_kernels.dispatch import begin, output, step
from dlnmc_kernels.dyson import Dyson
from dlnmc_kernels.energies import Quadratic
from dlnmc_kernels.jit import JIT_DISABLED, kernel
from dlnmc_kernels.lanes import WIDTH, load, store
from dlnmc_kernels.ordering import CROSSINGS, SIGN_CHANGES, TAMED, accept
from dlnmc_kernels.schemes import SCRATCH, EulerMaruyama, LeimkuhlerMatthews, Milstein
from dlnmc_kernels.singular_values import Lambda, Sigma

# --- strong orders ------------------------------------------------------------------------------------------

FINE = sized(2**13, 2**9)  # steps of the reference
LEVELS = [FINE // n for n in sized((256, 128, 64, 32, 16, 8), (64, 32, 16, 8, 4))]  # fine steps merged to one
BLOCKS = sized(64, 6)
SLOPE_TOLERANCE = 0.1  # Milstein's order is 1 and must be seen to be at least 0.9

# name: (depth, β, κ, σ at the start, duration). Hot and short, so that noise and not drift makes the error: it moves
# λ by √(2κT/(βN)) = 0.14 and 0.07, yet keeps it off 0 and off its neighbours.
PROBLEMS = {
    "one component": (3.0, 1.0, 1.0, [1.0], 0.03),
    "three components": (3.0, 1.0, 1.0, [0.6**3, 1.1**3, 1.6**3], 0.0075),
}


class StrongErrors:
    """σ by two schemes at several steps, σ by λ at the finest, all on the same Brownian paths."""

    def __init__(self, depth, beta, kappa, start, duration):
        self.parameters = (depth, beta, kappa, Quadratic(1.0))
        self.start, self.duration = np.array(start), duration
        rng = np.random.default_rng(6)
        self.normals = rng.standard_normal((BLOCKS, FINE, len(start), WIDTH))
        self.reference = self.sigma(Milstein(), 1)
        # By name: as tuples, EulerMaruyama() == Milstein().
        self.errors = {
            type(scheme).__name__: np.array([self.distance(self.sigma(scheme, merged)) for merged in LEVELS])
            for scheme in (EulerMaruyama(), Milstein())
        }

    def sigma(self, scheme, merged):
        return follow(Sigma(*self.parameters), scheme, self.start, self.normals, merged, self.duration)

    def sigma_by_lambda(self, merged):
        start = self.start ** (1.0 / self.parameters[0])
        lam = follow(Lambda(*self.parameters), EulerMaruyama(), start, self.normals, merged, self.duration)
        return lam ** self.parameters[0]

    def distance(self, sigma):
        """|σ − reference|, summed over components, of every path."""
        return np.abs(sigma - self.reference).sum(axis=1).ravel()


@pytest.fixture(scope="module", params=PROBLEMS)
def problem(request):
    return StrongErrors(*PROBLEMS[request.param])


def order(errors):
    """(slope of log mean error against log step by least squares, its standard error by the jackknife over paths)."""
    steps = np.log(LEVELS)
    weights = (steps - steps.mean()) / ((steps - steps.mean()) ** 2).sum()
    slope = weights @ np.log(errors.mean(axis=1))
    paths = errors.shape[1]
    left_out = weights @ np.log((errors.sum(axis=1, keepdims=True) - errors) / (paths - 1))
    return slope, math.sqrt((paths - 1) * left_out.var())


def test_noise_is_large_and_multiplicative(problem):
    # The diffusion coefficient changes by a good part of itself along a path.
    spread = (problem.reference / problem.start[:, None]).std(axis=(0, 2))
    assert spread.max() > 0.1


def test_milstein_has_strong_order_one(problem):
    # False alarms below 1e-6: the slope's standard error is small against the distance of 0.9 from the order 1. (Not so
    # for the few paths that pure Python can follow; there it is the same code on a fixed seed.)
    slope, error = order(problem.errors["Milstein"])
    print(f"Milstein: {slope:.3f} ± {error:.3f}")
    assert JIT_DISABLED or norm.isf(FALSE_ALARM) * error < SLOPE_TOLERANCE
    assert slope >= 1.0 - SLOPE_TOLERANCE


def test_euler_maruyama_has_strong_order_one_half(problem):
    # And is the negative control of the test above. False alarms as there: the band reaches 0.1 from the order 1/2.
    slope, error = order(problem.errors["EulerMaruyama"])
    print(f"Euler-Maruyama: {slope:.3f} ± {error:.3f}")
    assert JIT_DISABLED or norm.isf(FALSE_ALARM) * error < SLOPE_TOLERANCE
    assert 0.4 <= slope <= 0.65


def test_the_limit_is_the_process_that_lambda_follows(problem):
    # λ^N with additive noise is the same process by Itô's formula, discretised otherwise: at a distance of order dt.
    scale = problem.errors["Milstein"][0].mean()
    distances = np.array([problem.distance(problem.sigma_by_lambda(merged)) for merged in [*LEVELS, 1]])
    slope, _ = order(distances[:-1])
    print(f"lambda against sigma: order {slope:.3f}, finest over coarsest {distances[-1].mean() / scale:.2e}")
    assert slope >= 1.0 - SLOPE_TOLERANCE
    # Of order 1 from the coarsest error to the finest step, with a factor for the other scheme's constant.
    assert distances[-1].mean() < 4.0 * scale / LEVELS[0]


def test_a_missing_ito_term_would_be_seen_in_the_limit(problem):
    # The control of the test above: with κ smaller by 10 % in σ alone the distance stays.
    depth, beta, kappa, energy = problem.parameters
    wrong = Sigma(depth, beta, 0.9 * kappa, energy)
    x = follow(wrong, Milstein(), problem.start, problem.normals, LEVELS[-1], problem.duration)
    scale = problem.errors["Milstein"][0].mean()
    assert problem.distance(x).mean() > 40.0 * scale / LEVELS[0]


# --- identities ---------------------------------------------------------------------------------------------

ADDITIVE = [
    (Lambda(3.0, 10.0, 1.0, Quadratic(1.0)), [0.5, 0.9, 1.3]),
    (Lambda(1.0, 10.0, 0.3, Quadratic(1.0)), [0.5, 0.9, 1.3]),
    (Dyson(10.0, 1.5, Quadratic(1.0)), [0.6, 1.6, 2.8]),
]


def names(model):
    return type(model).__name__ if isinstance(model, tuple) else None


@pytest.mark.parametrize(("model", "start"), ADDITIVE, ids=names)
def test_milstein_with_additive_noise_is_euler_maruyama_to_the_last_bit(model, start):
    normals = np.random.default_rng(7).standard_normal((1, 50, len(start), WIDTH))
    euler, milstein = (follow(model, scheme, start, normals, 1, 0.05) for scheme in (EulerMaruyama(), Milstein()))
    assert np.array_equal(euler, milstein)


@kernel
def leimkuhler_matthews_states(model, scheme, x, normals, dt, tally, work, out):
    """The states that the scheme puts out at steps 0, 1, ..., for the normals of one step more."""
    proposal, memory = np.zeros_like(x), np.zeros((0, WIDTH))
    begin(scheme, model, x, normals[0], dt, memory, work)
    for n in range(len(out)):
        for i in range(len(x)):
            store(out[n], i, output(scheme, model, load(x, i), load(normals[n], i), dt))
        step(scheme, model, x, normals[n], dt, proposal, memory, tally, work)
        accept(model, x, proposal, dt, tally, n)


@pytest.mark.parametrize(("model", "start"), ADDITIVE[:2], ids=names)
def test_leimkuhler_matthews_without_memory_is_the_textbook_recursion(model, start):
    # x' = x + f(x) dt + s (ξ + ξ')/2, ξ and ξ' the normals of this step and of the next (Leimkuhler and Matthews 2013).
    steps, dt = 60, 1e-3
    normals = np.random.default_rng(8).standard_normal((steps + 1, len(start), WIDTH))
    x = np.array(start)[:, None] * np.ones(WIDTH)
    tally, work, out = fresh_tally(), np.zeros((SCRATCH, *x.shape)), np.zeros((steps, *x.shape))
    leimkuhler_matthews_states(model, LeimkuhlerMatthews(), x.copy(), normals, dt, tally, work, out)
    assert (tally[[TAMED, SIGN_CHANGES, CROSSINGS]] == 0.0).all()
    s = math.sqrt(2.0 * model.kappa * dt / (model.beta * model.depth))
    silence = np.zeros((1, 1, *x.shape))
    for n in range(steps):
        assert out[n] == pytest.approx(x, rel=0.0, abs=1e-14 * (n + 1))
        moved_by_drift = follow(model, EulerMaruyama(), x, silence, 1, dt)[0]
        x = moved_by_drift + 0.5 * s * (normals[n] + normals[n + 1])


def test_a_free_particle_is_exactly_brownian_motion():
    # Without an energy and without others x = x_0 + √(2κ/β) B up to rounding, whatever the step.
    model, steps, duration = Dyson(3.0, 1.2, Quadratic(0.0)), 96, 0.96
    normals = np.random.default_rng(9).standard_normal((2, steps, 1, WIDTH))
    brownian = math.sqrt(duration / steps) * normals.sum(axis=1)
    for merged in (1, 4, steps):
        x = follow(model, EulerMaruyama(), [9.0], normals, merged, duration)
        assert x == pytest.approx(9.0 + math.sqrt(2.0 * 1.2 / 3.0) * brownian, rel=1e-14 * steps)


def test_milsteins_correction_is_the_one_of_the_sigma_equation():
    # One step: the difference between the schemes is (κ/β)(N−1) σ^{1−2/N} (ΔB² − Δt), model.md, section 3.
    depth, beta, kappa, dt = 2.5, 3.0, 0.7, 0.01
    model = Sigma(depth, beta, kappa, Quadratic(1.0))
    normals = np.random.default_rng(10).standard_normal((1, 1, 2, WIDTH))
    start = [0.5, 2.0]
    euler, milstein = (follow(model, scheme, start, normals, 1, dt) for scheme in (EulerMaruyama(), Milstein()))
    sigma, z = np.array(start)[:, None], normals[0, 0]
    expected = kappa / beta * (depth - 1) * sigma ** (1 - 2 / depth) * (z * z - 1.0) * dt
    assert (milstein - euler)[0] == pytest.approx(expected, rel=1e-11, abs=1e-15)
