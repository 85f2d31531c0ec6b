"""Metropolis-adjusted steps: proposals, ratios and reversibility against NumPy, exactness at steps far too large."""

import numpy as np
import pytest
from kernel_tools import KEY, Run, kernel_drift, kernel_log_density, sized, starts
from scipy.stats import gamma, norm
from statistical import FALSE_ALARM, POWER, distance, envelope

from dlnmc_kernels.dispatch import draw
from dlnmc_kernels.dyson import Dyson
from dlnmc_kernels.elementary import log
from dlnmc_kernels.energies import Quadratic
from dlnmc_kernels.jit import JIT_DISABLED, kernel
from dlnmc_kernels.lanes import WIDTH, lane_numbers, splat, store
from dlnmc_kernels.ordering import ABSENT, ACCEPTED, CROSSINGS, STATUS
from dlnmc_kernels.philox import DYNAMICS, METROPOLIS, PILOT, PILOT_METROPOLIS, fill_normals, uniform_pair
from dlnmc_kernels.schemes import EulerMaruyama, MetropolisAdjusted, Noise
from dlnmc_kernels.singular_values import Lambda, LogSigma

rng = np.random.default_rng(16)

# --- random numbers -----------------------------------------------------------------------------------------


@kernel
def numbers_of_a_step(scheme, size, noise, first_path, n, z):
    draw(scheme, size, noise, lane_numbers() + splat(np.uint64(first_path)), n, z)


@kernel
def expected_numbers(size, key, stream, metropolis, first_path, n, z):
    path = lane_numbers() + splat(np.uint64(first_path))
    fill_normals(z, size, key, stream, path, n)
    store(z, len(z) - 1, log(uniform_pair(key, metropolis, path, n, 0)[0]))


@pytest.mark.parametrize(("stream", "metropolis"), [(DYNAMICS, METROPOLIS), (PILOT, PILOT_METROPOLIS)])
@pytest.mark.parametrize("size", [1, 4, 5])
def test_thresholds_are_logs_of_uniforms_of_a_stream_of_their_own(size, stream, metropolis):
    assert len({DYNAMICS, METROPOLIS, PILOT, PILOT_METROPOLIS}) == 4
    first_path, n = 8 * 12345, 678
    z, expected = np.full((2, size + 2, WIDTH), np.nan)
    numbers_of_a_step(MetropolisAdjusted(1), size, Noise(KEY, stream, 1), first_path, n, z)
    expected_numbers(size, KEY, stream, metropolis, first_path, n, expected)
    assert z[:size] == pytest.approx(expected[:size], rel=1e-14)
    assert z[-1] == pytest.approx(expected[-1], rel=1e-14)
    assert (z[-1] < 0.0).all()
    assert len(np.unique(z[-1])) == WIDTH
    # A refinement makes normals of finer steps, and leaves thresholds to steps.
    numbers_of_a_step(MetropolisAdjusted(1), size, Noise(KEY, stream, 3), first_path, n, z)
    assert z[-1] == pytest.approx(expected[-1], rel=1e-14)
    fine = np.full((3, size + 2, WIDTH), np.nan)
    for i in range(3):
        expected_numbers(size, KEY, stream, metropolis, first_path, 3 * n + i, fine[i])
    assert z[:size] == pytest.approx(fine[:, :size].sum(axis=0) / np.sqrt(3.0), abs=1e-14)


# --- one step -----------------------------------------------------------------------------------------------

CASES = {  # model, and a step at which components cross and proposals are refused
    "lambda": (Lambda(3.0, 2.0, 0.8, Quadratic(1.0)), 0.2),
    "deep lambda": (Lambda(30.0, 2.0, 0.3, Quadratic(1.0)), 0.1),
    "log": (LogSigma(2.0, 0.2, Quadratic(1.0)), 0.3),
    "dyson": (Dyson(2.0, 1.3, Quadratic(1.0)), 0.1),
}
OF_CASES = pytest.mark.parametrize("case", CASES)
OF_LEAPS = pytest.mark.parametrize("leaps", [1, 2, 5])
BLOCKS, SIZE = sized(16, 4), 4


def ordered(model, x):
    """x, and the order that sorts its columns, by absolute value where signs are those of a reflection."""
    order = np.argsort(np.abs(x) if isinstance(model, Lambda) else x, axis=0)
    return np.take_along_axis(x, order, axis=0), order


def blocks_of_states(case):
    """Ordered columns of coordinates, close enough for steps to cross and to change signs."""
    shape = (BLOCKS, SIZE, WIDTH)
    if case == "deep lambda":
        x = (0.85 + 0.05 * rng.normal(size=shape)) * rng.choice([-1.0, 1.0], shape)
    else:
        x = 0.8 * rng.normal(size=shape) - 0.5
    return np.array([ordered(CASES[case][0], block)[0] for block in x])


def amplitude(model):
    return np.sqrt(2.0 * model.kappa / (model.beta * getattr(model, "depth", 1.0)))


def leapfrog(model, x, z, dt, leaps):
    """(proposal, momenta at its end, log of the Metropolis ratio) in NumPy, momenta in units of their deviation.

    Duane, Kennedy, Pendleton and Roweth (1987) for the potential energy −log p, whose force is drift/(b²/2): a leap of
    time h in the drift's clock takes b √h in that of Hamilton's equations, and half of it kicks by drift √h/b.
    """
    h, b = dt / leaps**2, amplitude(model)
    q, p = x, z + kernel_drift(model, x, h) * np.sqrt(h) / b
    for n in range(leaps):
        q, order = ordered(model, q + p * b * np.sqrt(h))
        p = np.take_along_axis(p, order, axis=0)
        p = p + kernel_drift(model, q, h) * np.sqrt(h) / b * (1.0 if n == leaps - 1 else 2.0)
    ratio = kernel_log_density(model, q) - kernel_log_density(model, x) + 0.5 * (z**2 - p**2).sum(axis=0)
    return q, p, ratio


def numbers(blocks, n):
    """(normals, thresholds) of step n of a run, shapes (block, component, 8) and (block, 8)."""
    z = np.zeros((blocks, SIZE + 2, WIDTH))
    for b in range(blocks):
        expected_numbers(SIZE, KEY, DYNAMICS, METROPOLIS, WIDTH * b, n, z[b])
    return z[:, :SIZE], z[:, -1]


@OF_CASES
@OF_LEAPS
def test_a_step_is_leapfrog_and_is_taken_just_where_the_threshold_is_below_the_log_of_the_ratio(case, leaps):
    model, dt = CASES[case]
    x = blocks_of_states(case)
    result = Run(model, MetropolisAdjusted(leaps), x, last_step=1, every=1, dt=dt).go()
    taken = np.zeros((BLOCKS, WIDTH), bool)
    for b, (z, threshold) in enumerate(zip(*numbers(BLOCKS, 0), strict=True)):
        proposal, _, ratio = leapfrog(model, x[b], z, dt, leaps)
        assert (np.abs(ratio - threshold) > 1e-7 * (1.0 + np.abs(ratio))).all()  # so that rounding decides nothing
        taken[b] = threshold < ratio
        assert result.x[b] == pytest.approx(np.where(taken[b], proposal, x[b]), rel=1e-9, abs=1e-9)
        assert np.array_equal(result.x[b][:, ~taken[b]], x[b][:, ~taken[b]])
        # What it remembers is the drift and the density of where it is.
        memory = result.memory[b]
        assert memory[:-1] == pytest.approx(kernel_drift(model, result.x[b], dt / leaps**2), rel=1e-9, abs=1e-9)
        assert memory[-1] == pytest.approx(kernel_log_density(model, result.x[b]), rel=1e-12, abs=1e-12)
    assert np.array_equal(result.tally[:, ACCEPTED], taken)
    assert 0.1 < taken.mean() < 0.95


@OF_CASES
@OF_LEAPS
def test_a_step_and_its_reverse_are_in_detailed_balance(case, leaps):
    # From the proposal, with the momenta at the end reversed, a step leads back, and the ratios are inverse to each
    # other. A leap preserves volume, so this is detailed balance.
    model, dt = CASES[case]
    crossed = 0
    for x, z in zip(blocks_of_states(case), numbers(BLOCKS, 1)[0], strict=True):
        proposal, momenta, ratio = leapfrog(model, x, z, dt, leaps)
        mild = np.abs(ratio) < 20.0  # else rounding grows as the kicks do
        back, _, backward = leapfrog(model, proposal, -momenta, dt, leaps)
        assert back[:, mild] == pytest.approx(x[:, mild], rel=1e-6, abs=1e-6)
        assert backward[mild] == pytest.approx(-ratio[mild], rel=1e-6, abs=1e-6)
        crossed += np.sum(ordered(model, x + z * amplitude(model) * np.sqrt(dt))[1] != np.arange(SIZE)[:, None])
    assert crossed > 10


@OF_CASES
def test_one_leap_is_mala(case):
    # Roberts and Tweedie (1996): the proposal is Euler and Maruyama's, with the densities q of there and back.
    (model, dt), x, z = CASES[case], blocks_of_states(case)[0], numbers(1, 2)[0][0]
    b = amplitude(model)
    proposal, _, ratio = leapfrog(model, x, z, dt, 1)
    f = kernel_drift(model, x, dt)
    moved, order = ordered(model, x + f * dt + b * np.sqrt(dt) * z)
    assert proposal == pytest.approx(moved, rel=1e-12, abs=1e-12)
    origin, f = (np.take_along_axis(a, order, axis=0) for a in (x, f))  # the labels of the proposal

    def log_q(start, drift, end):
        return -((end - start - drift * dt) ** 2).sum(axis=0) / (2.0 * b * b * dt)

    expected = kernel_log_density(model, moved) - kernel_log_density(model, x)
    expected += log_q(moved, kernel_drift(model, moved, dt), origin) - log_q(origin, f, moved)
    assert ratio == pytest.approx(expected, rel=1e-9, abs=1e-9)


# --- runs ---------------------------------------------------------------------------------------------------

RUNS = pytest.mark.parametrize(
    ("model", "leaps", "dt"),
    [
        (Lambda(2.0, 5.0, 1.0, Quadratic(1.0)), 1, 0.05),
        (Lambda(2.0, 5.0, 1.0, Quadratic(1.0)), 3, 0.3),
        (Dyson(5.0, 1.0, Quadratic(1.0)), 2, 0.3),
    ],
    ids=["adjusted", "leaping", "dyson"],
)


@RUNS
def test_what_is_carried_from_step_to_step_belongs_to_the_ordered_state(model, leaps, dt):
    result = Run(model, MetropolisAdjusted(leaps), starts(), dt=dt).go()
    for x, memory in zip(result.x, result.memory, strict=True):
        assert np.array_equal(x, ordered(model, x)[0])
        assert memory[:-1] == pytest.approx(kernel_drift(model, x, dt / leaps**2), rel=1e-9, abs=1e-9)
        assert memory[-1] == pytest.approx(kernel_log_density(model, x), rel=1e-12, abs=1e-11)
    assert (result.tally[:, CROSSINGS] == 0.0).all()  # proposals are in order before they are judged


@RUNS
def test_accepted_steps_are_those_that_move_and_are_counted_for_live_paths(model, leaps, dt):
    result = Run(model, MetropolisAdjusted(leaps), starts(), dt=dt)
    result.tally[1, STATUS, 3] = ABSENT
    moves = np.zeros((3, WIDTH))
    for n in range(result.first_step, result.last_step):
        before = result.x.copy()
        result.go(n, n + 1)
        moves += (result.x != before).any(axis=1)
    moves[1, 3] = 0  # an absent path moves like any other, and counts for nothing
    assert np.array_equal(result.tally[:, ACCEPTED], moves)
    assert moves[1, 3] == 0.0
    assert 0.2 < np.delete(moves, 11).mean() / (result.last_step - result.first_step) < 0.98


# --- laws ---------------------------------------------------------------------------------------------------

PATHS = 2**17


def signed(lam):
    return lam * rng.choice([-1.0, 1.0], lam.shape)


def one_singular_value():
    """σ² ~ Gamma(1/(2N), 2κ/β) at N = 2, β = κ = 1 (model.md, section 4)."""
    y = rng.gamma(0.25, 2.0, (PATHS, 1))
    trace = gamma(0.25, scale=2.0)
    return Lambda(2.0, 1.0, 1.0, Quadratic(1.0)), signed(y**0.25), {"trace": (lambda x: (x**4).sum(axis=1), trace.cdf)}


def three_singular_values():
    """κ = ½, N = 3, β = 1: σ are the singular values of a bidiagonal matrix over √2 (model.md, section 4)."""
    matrix = np.zeros((PATHS, 3, 3))
    for i in range(3):
        matrix[:, i, i] = np.sqrt(rng.chisquare(1.0 / 3.0 + 2.0 - i, PATHS))
    for i in range(2):
        matrix[:, i + 1, i] = np.sqrt(rng.chisquare(2.0 - i, PATHS))
    sigma = np.linalg.svd(matrix / np.sqrt(2.0), compute_uv=False)[:, ::-1]
    trace = gamma(3.5, scale=1.0)
    statistics = {"trace": (lambda x: (x**6).sum(axis=1), trace.cdf)}
    return Lambda(3.0, 1.0, 0.5, Quadratic(1.0)), signed(np.cbrt(sigma)), statistics


def three_eigenvalues():
    """κ = β = 2: the Gaussian orthogonal ensemble with diagonal variance 1 (model.md, section 6)."""
    matrix = rng.normal(size=(PATHS, 3, 3))
    x = np.linalg.eigvalsh((matrix + matrix.transpose(0, 2, 1)) / 2.0)
    squares = gamma(3.0, scale=2.0)
    center = np.sqrt(1.0 / 3.0)  # the deviation of the mean of three eigenvalues
    statistics = {
        "squares": (lambda x: (x**2).sum(axis=1), squares.cdf),
        "center": (lambda x: x.mean(axis=1) / center, norm.cdf),
    }
    return Dyson(2.0, 2.0, Quadratic(1.0)), x, statistics


def two_at_infinite_depth():
    """d = 2, κ = 0.1, β = 1: y_1 + y_2 ~ Gamma(1/(2κ), 2κ/β) is independent of u = z_2 − z_1 (model.md, section 3).

    The density of u is proportional to tanh(u)^c u^{1−c} with c = 1/(2κ) = 5, tanh(u) from |y_1 − y_2|/(y_1 + y_2).
    """
    c = 5.0
    t = np.linspace(0.0, 1.0, 200_001)[1:-1]  # u = t/(1 − t)
    u = t / (1.0 - t)
    density = np.tanh(u) ** c * u ** (1.0 - c) / (1.0 - t) ** 2
    cumulative = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2.0)])
    cumulative /= cumulative[-1]
    gap = np.interp(rng.uniform(size=PATHS), cumulative, u)
    total = rng.gamma(c, 1.0 / c, PATHS)
    larger = 0.5 * np.log(total / (1.0 + np.exp(-2.0 * gap)))
    statistics = {
        "trace": (lambda x: np.exp(2.0 * x).sum(axis=1), gamma(c, scale=1.0 / c).cdf),
        "gap": (lambda x: np.diff(x, axis=1)[:, 0], lambda at: np.interp(at, u, cumulative)),
    }
    return LogSigma(1.0, 0.1, Quadratic(1.0)), np.column_stack([larger - gap, larger]), statistics


LAWS = {  # the sampler of an equilibrium, and a step at which many proposals of MALA are refused
    "one singular value": (one_singular_value, 1.0),
    "three singular values": (three_singular_values, 0.1),
    "three eigenvalues": (three_eigenvalues, 0.25),
    "two at infinite depth": (two_at_infinite_depth, 1.0),
}


def after_steps(scheme, model, x, dt, steps=20):
    """(states, shape (path, component), mean acceptance) of paths from the rows of x."""
    start = np.ascontiguousarray(x.reshape(-1, WIDTH, x.shape[1]).transpose(0, 2, 1))
    result = Run(model, scheme, start, last_step=steps, every=steps, dt=dt).go()
    return result.x.transpose(0, 2, 1).reshape(x.shape), result.tally[:, ACCEPTED].mean() / steps


def distances(x, statistics):
    with np.errstate(over="ignore"):  # as controls do
        return np.array([distance(statistic(x), cdf) for statistic, cdf in statistics.values()])


@pytest.mark.skipif(JIT_DISABLED, reason="needs more paths than pure Python can follow")
@pytest.mark.parametrize("case", LAWS)
def test_equilibrium_is_kept_exactly_at_steps_at_which_euler_and_maruyama_lose_it(case):
    # False alarms: 1e-6 for each case, by DKW, shared by the statistics of three samples. Exact samples that are moved
    # by twenty steps are exact samples. The control is the same without refusals: it is off by more than what its own
    # fluctuation, with probability 0.999, could hide.
    sampler, dt = LAWS[case]
    model, x, statistics = sampler()
    threshold = envelope(PATHS, FALSE_ALARM / (3 * len(statistics)))
    assert (distances(x, statistics) < threshold).all()
    for leaps in (1, 4):
        moved, acceptance = after_steps(MetropolisAdjusted(leaps), model, x, dt * leaps**2)
        print(f"{case}: {leaps} leaps, acceptance {acceptance:.2f}")
        assert 0.2 < acceptance < 0.9
        assert (distances(moved, statistics) < threshold).all()
    control, _ = after_steps(EulerMaruyama(), model, x, dt)
    assert distances(control, statistics)[0] > threshold + 2.0 * envelope(PATHS, 1.0 - POWER)
