"""Schemes: strong orders on shared Brownian paths, the right limit, and identities between schemes."""

import math

import numpy as np
import pytest
from dlnmc_kernels.dispatch import begin, output, step
from dlnmc_kernels.dyson import Dyson
from dlnmc_kernels.energies import Quadratic
from dlnmc_kernels.jit import JIT_DISABLED, device
from dlnmc_kernels.lanes import WIDTH, load, splat, store
from dlnmc_kernels.ordering import ALIVE, CROSSINGS, SIGN_CHANGES, STATUS, TALLY, TAMED, accept
from dlnmc_kernels.schemes import SCRATCH, EulerMaruyama, LeimkuhlerMatthews, Milstein
from dlnmc_kernels.singular_values import Lambda, Sigma
from kernel_tools import FALSE_ALARM, sized
from scipy.stats import norm

# --- following given noise ----------------------------------------------------------------------------------


@device
def follow_block(model, scheme, x, normals, merged, dt, tally, work):
    """Carry a block along its normals, shape (fine step, component, 8), `merged` of them to each step `dt`."""
    size = len(x)
    z, proposal = np.zeros((size, WIDTH)), np.zeros((size, WIDTH))
    scale = 1.0 / math.sqrt(merged)
    for n in range(len(normals) // merged):
        for i in range(size):
            total = splat(0.0)
            for m in range(n * merged, (n + 1) * merged):
                total = total + load(normals[m], i)
            store(z, i, total * scale)
        step(scheme, model, x, z, dt, proposal, work)
        accept(model, x, proposal, dt, tally, n)


def fresh_tally(*shape):
    tally = np.zeros((*shape, TALLY, WIDTH))
    tally[..., STATUS, :] = ALIVE
    return tally


def follow(model, scheme, start, normals, merged, duration):
    """The final states, shape (block, component, 8), of paths from `start`; none may be tamed, cross or change sign.

    normals: (block, fine step, component, 8), the same for every `merged`.
    """
    x = np.repeat(np.array(start)[None, :, None], len(normals), axis=0) * np.ones(WIDTH)
    tally = fresh_tally(len(x))
    dt = duration * merged / normals.shape[1]
    for block in range(len(x)):
        follow_block(
            model, scheme, x[block], normals[block], merged, dt, tally[block], np.zeros((SCRATCH, *x.shape[1:]))
        )
    assert (tally[:, STATUS] == ALIVE).all()
    assert (tally[:, [TAMED, SIGN_CHANGES, CROSSINGS]] == 0.0).all()
    return x


# --- strong orders ------------------------------------------------------------------------------------------

FINE = sized(2**13, 2**9)  # steps of the reference
LEVELS = [FINE // n for n in sized((256, 128, 64, 32, 16, 8), (64, 32, 16, 8, 4))]  # fine steps merged to one
BLOCKS = sized(64, 6)
SLOPE_TOLERANCE = 0.1  # Milstein's order is 1 and must be seen to be at least 0.9

# name: (depth, β, κ, σ at the start, duration). Hot and short, so that noise and not drift makes the error: it moves λ by
# √(2κT/(βN)) = 0.14 and 0.07, yet keeps it off 0 and off its neighbours.
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
    # λ^N with additive noise is the same process by Itô's formula, discretised otherwise: their distance is of order dt.
    scale = problem.errors["Milstein"][0].mean()
    distances = np.array([problem.distance(problem.sigma_by_lambda(merged)) for merged in [*LEVELS, 1]])
    slope, _ = order(distances[:-1])
    print(
        f"lambda against sigma: order {slope:.3f}, at the finest step {distances[-1].mean() / scale:.2e} of the coarsest"
    )
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


@device
def leimkuhler_matthews_states(model, scheme, x, normals, dt, tally, work, out):
    """The states that the scheme puts out at steps 0, 1, ..., for the normals of one step more."""
    proposal = np.zeros_like(x)
    begin(scheme, model, x, normals[0], dt)
    for n in range(len(out)):
        for i in range(len(x)):
            store(out[n], i, output(scheme, model, load(x, i), load(normals[n], i), dt))
        step(scheme, model, x, normals[n], dt, proposal, work)
        accept(model, x, proposal, dt, tally, n)


@device
def drift_times_dt(model, scheme, x, dt, work, out):
    # One step of Euler–Maruyama without noise, less its start.
    step(scheme, model, x, np.zeros_like(x), dt, out, work)
    for i in range(len(x)):
        store(out, i, load(out, i) - load(x, i))


@pytest.mark.parametrize(("model", "start"), ADDITIVE, ids=names)
def test_leimkuhler_matthews_without_memory_is_the_textbook_recursion(model, start):
    # x' = x + f(x) dt + s (ξ + ξ')/2 with the normals ξ, ξ' of this step and of the next (Leimkuhler and Matthews 2013).
    steps, dt = 60, 1e-3
    normals = np.random.default_rng(8).standard_normal((steps + 1, len(start), WIDTH))
    x = np.array(start)[:, None] * np.ones(WIDTH)
    tally, work, out = fresh_tally(), np.zeros((SCRATCH, *x.shape)), np.zeros((steps, *x.shape))
    leimkuhler_matthews_states(model, LeimkuhlerMatthews(), x.copy(), normals, dt, tally, work, out)
    assert (tally[[TAMED, SIGN_CHANGES, CROSSINGS]] == 0.0).all()
    depth = getattr(model, "depth", 1.0)
    s = math.sqrt(2.0 * model.kappa * dt / (model.beta * depth))
    increment = np.zeros_like(x)
    for n in range(steps):
        assert out[n] == pytest.approx(x, rel=0.0, abs=1e-14 * (n + 1))
        drift_times_dt(model, EulerMaruyama(), x, dt, work, increment)
        x = x + increment + 0.5 * s * (normals[n] + normals[n + 1])


@pytest.mark.parametrize("scheme", [EulerMaruyama(), LeimkuhlerMatthews()], ids=lambda s: type(s).__name__)
def test_a_free_particle_is_exactly_brownian_motion(scheme):
    # Without an energy and without others: x = x_0 + √(2κ/β) B, up to rounding; Leimkuhler–Matthews puts out a state that
    # is ahead by half of the next increment and behind by half of the first.
    model, dt, steps = Dyson(3.0, 1.2, Quadratic(0.0)), 0.01, 100
    normals = np.random.default_rng(9).standard_normal((steps, 1, WIDTH))
    x = np.full((1, WIDTH), 0.3)
    tally, work, out = fresh_tally(), np.zeros((SCRATCH, *x.shape)), np.zeros((steps, *x.shape))
    leimkuhler_matthews_states(model, scheme, x.copy(), normals, dt, tally, work, out)
    brownian = np.cumsum(normals, axis=0) - normals  # before each step
    if isinstance(scheme, LeimkuhlerMatthews):
        brownian += 0.5 * (normals - normals[0])
    assert out == pytest.approx(x + math.sqrt(2.0 * 1.2 / 3.0 * dt) * brownian, rel=0.0, abs=1e-14 * steps)


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
