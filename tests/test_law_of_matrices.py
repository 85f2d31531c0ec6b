"""One law upstairs and downstairs: matrices, balanced networks, singular values; Hermitian matrices, eigenvalues.

(12.11) and (12.12) of Menon and Theorem 15. Distances are Kolmogorov's between independent sets of paths; a threshold
is the two-sample bound at false-alarm rate 1e-6 plus what the steps may do, from twice the step in the same test.
"""

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy import stats
from statistical import FALSE_ALARM, distance, envelope

import dlnmc
from dlnmc import analysis, chunks, laws, statistics
from dlnmc_kernels.dispatch import explicit_step, normals_per_step, read_values, settle
from dlnmc_kernels.jit import compiled
from dlnmc_kernels.lanes import absolute, load, maximum, reciprocal, splat, store
from dlnmc_kernels.matrix import pair
from dlnmc_kernels.ordering import settle_rows

SLOWEST_ORDER = 0.5  # of the bias in the step: what is left at dt is at most its change from 2 dt times this factor
LEFT = 1.0 / (2.0**SLOWEST_ORDER - 1.0)


def distances(a, b):
    """The largest Kolmogorov distance of two sets of paths over the ordered components, (path, component) each."""
    return max(stats.ks_2samp(x, y).statistic for x, y in zip(a.T, b.T, strict=True))


def bound(a, b):
    return statistics.kolmogorov_bound(len(a), len(b), FALSE_ALARM / a.shape[1])


# --- equilibrium ------------------------------------------------------------------------------------------------------


def on_ladder(model, state, dt, paths, seed):
    """States at dt, and the traces at dt and 2 dt on the same noise."""
    settings = {"scheme": "euler_maruyama", "burn_in": 4.0, "duration": 1.0}
    tree = dlnmc.equilibrium(model, paths=paths, state=state, dt=[dt, 2.0 * dt], seed=seed, **settings)
    fine = tree.isel(dt=0)
    assert int(fine["stationarity/stationary"]) == 1
    return analysis.states(fine)[:, 0], tree["moments/trace"].to_numpy()


def trace_of(model, state, dt, paths, seed):
    """States, the distance of their traces to the Gamma law, what is allowed, and what the step may do to it."""
    law = laws.trace(model)
    found, traces = on_ladder(model, state, dt, paths, seed)
    change, error = statistics.mean_over_paths(traces[1] - traces[0])
    bias = LEFT * (abs(change) + 4.0 * error) / math.sqrt(law.var())  # in standard deviations of one state
    left = shift(law, bias)
    return found, distance((found**2).sum(axis=1), law.cdf), envelope(paths, FALSE_ALARM) + left, left


def states_have_one_law(model, dt, paths, record):
    """`dt` holds the step of each state."""
    found, left = {}, {}
    for seed, state in enumerate(dt):
        found[state], seen, threshold, left[state] = trace_of(model, state, dt[state], paths, seed)
        wrong = laws.trace(model.changed(kappa=1.5 * model.kappa))
        control = distance((found[state] ** 2).sum(axis=1), wrong.cdf)
        record(**{f"{state}_trace": [seen, threshold, control]})
        assert seen < threshold < control
    for one, other in itertools.combinations(dt, 2):
        seen = distances(found[one], found[other])
        threshold = bound(found[one], found[other]) + left[one] + left[other]
        record(**{f"{one}_{other}": [seen, threshold]})
        assert seen < threshold


def shift(law, bias):
    """The Kolmogorov distance by which a law moves when its mean is off by `bias` standard deviations."""
    at = law.ppf((np.arange(4000) + 0.5) / 4000)
    return float(np.max(np.abs(law.cdf(at) - law.cdf(at * (1.0 + bias * math.sqrt(law.var()) / law.mean())))))


def test_three_states_have_one_law(record):
    dt = dict.fromkeys(("singular_values", "matrix", "network"), 4e-3)
    states_have_one_law(dlnmc.DeepLinearNetwork(3, 4.0, 3.0, 0.5), dt, 4096, record)


@pytest.mark.slow
@pytest.mark.parametrize("kappa", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("depth", [2.0, 4.0])
def test_three_states_have_one_law_at_small_steps(depth, kappa, record):
    dt = dict.fromkeys(("singular_values", "matrix", "network"), 1e-3 / kappa)
    states_have_one_law(dlnmc.DeepLinearNetwork(3, depth, 3.0, kappa), dt, 8192, record)


# Not kept on disk, where other processes would look for a class that only this file has.
UNCACHED = compiled(getattr(chunks.driver.run, "py_func", chunks.driver.run))


class Without(NamedTuple):
    """(12.12) without a part of its drift in the frame: `entropy` times Σ'/β and `curvature` times κΣ''/β."""

    of: Any
    entropy: float
    curvature: float


normals_per_step.register(Without)(lambda model, size: model.of.width * model.of.width)
settle.register(Without)(settle_rows)


@explicit_step.register(Without)
def _step_without(model, x, z, dt, proposal, memory, work):
    explicit_step(model.of, x, z, dt, proposal, memory, work)
    d, N = model.of.width, model.of.depth
    level = x[2 * d * d :]
    for k in range(d):
        lam_k = maximum(load(level, k), splat(0.02))
        part = splat(model.curvature * model.of.kappa * (N - 1.0) / N)
        for l in range(d):
            if l != k:
                part = part + pair(N, lam_k * lam_k, load(level, l) * load(level, l))[1] * model.entropy
        i = 2 * d * d + k
        store(proposal, i, absolute(load(proposal, i) - part * reciprocal(lam_k) * (dt / model.of.beta)))


@read_values.register(Without)
def _read_without(model, scheme, x, z, dt, memory, values, work):
    read_values(model.of, scheme, x, z, dt, memory, values, work)


@pytest.mark.parametrize(("entropy", "curvature"), [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)])
def test_no_part_of_the_drift_may_be_left_out(entropy, curvature, record, monkeypatch):
    """The law of the trace fails without the entropic term, and without Σ''; as it is, it holds."""
    complete = chunks.compiled_arguments

    def altered(run):
        model, scheme = complete(run)
        return Without(model, entropy, curvature), scheme

    monkeypatch.setattr(chunks, "compiled_arguments", altered)
    monkeypatch.setattr(chunks.driver, "run", UNCACHED)
    _, seen, threshold, _ = trace_of(dlnmc.DeepLinearNetwork(3, 4.0, 3.0, 1.0), "matrix", 4e-3, 4096, 5)
    record(trace=[seen, threshold])
    assert (seen < threshold) == (entropy == curvature == 0.0)


# --- in time ----------------------------------------------------------------------------------------------------------

FIRST = np.array([[1.2, -0.3, 0.1], [0.4, 0.9, 0.2], [-0.1, 0.3, 0.6]])
TIMES = [0.1, 0.3, 1.0]
COMPLETION = dlnmc.MatrixCompletion(entries=((0, 0, 1.0), (1, 1, 1.0), (2, 2, 0.5), (0, 2, -0.4)), confinement=0.2)


def from_first(model, state, dt, paths=4096, seed=0):
    return dlnmc.simulate(model, paths=paths, dt=dt, times=TIMES, start=FIRST, state=state, seed=seed)


def moments(data):
    """E[W_t] and E[Tr WᵀW] by time, with standard errors: (time, 10) each."""
    W = data["matrix"].to_numpy()
    rows = np.concatenate([W.reshape(*W.shape[:2], -1), (W**2).sum(axis=(2, 3))[..., None]], axis=2)
    return rows.mean(axis=0), rows.std(axis=0, ddof=1) / math.sqrt(len(rows))


@pytest.mark.parametrize("kappa", [0.0, 0.3, 1.0])
def test_matrices_and_networks_have_the_same_moments_in_time(kappa, record):
    """Means at dt, extrapolated with those at 2 dt; the difference of the extrapolations bounds what is left."""
    model = dlnmc.DeepLinearNetwork(3, 3.0, 6.0, kappa, energy=COMPLETION)
    means, errors, orders = {}, {}, {}
    for seed, state in enumerate(("matrix", "network")):
        (fine, e), (coarse, f) = (moments(from_first(model, state, dt, seed=seed)) for dt in (5e-3, 1e-2))
        means[state], errors[state] = 2.0 * fine - coarse, np.hypot(2.0 * e, f)
        orders[state] = np.abs(fine - coarse)
    off = np.abs(means["matrix"] - means["network"])
    allowed = 5.6 * np.hypot(errors["matrix"], errors["network"])  # thirty normals beyond it with probability 1e-6
    allowed += 0.25 * (orders["matrix"] + orders["network"]) + 1e-3  # second order in the step
    record(largest=float(np.max(off / allowed)))
    assert np.all(off < allowed)
    if kappa > 0.0:  # the control: another strength of the noise
        wrong = moments(from_first(model.changed(kappa=1.6 * kappa), "matrix", 1e-2))[0]
        assert np.any(np.abs(wrong - means["network"]) > allowed)


def test_without_noise_in_the_observable_a_network_is_random_and_its_matrix_is_not(record):
    """At κ = 0 the variance of W over paths vanishes linearly in the step, that of the factors does not."""
    model = dlnmc.DeepLinearNetwork(3, 3.0, 6.0, 0.0, energy=COMPLETION)
    variance = []
    for dt in (2e-2, 1e-2, 5e-3):
        data = from_first(model, "network", dt, paths=1024).isel(time=-1)
        variance.append(float(data["matrix"].var("path").sum()))
        assert float(data["network"].var("path").sum()) > 0.1
    record(variance=variance)
    ratios = np.array(variance[:-1]) / variance[1:]
    assert np.all((ratios > 1.6) & (ratios < 2.6))
    drift = from_first(model, "matrix", 5e-3, paths=8).isel(time=-1)["matrix"]
    assert float(drift.var("path").max()) < 1e-20
    mean = from_first(model, "network", 5e-3, paths=1024).isel(time=-1)["matrix"].mean("path")
    assert float(np.abs(mean - drift[0]).max()) < 0.02


# --- Hermitian matrices -----------------------------------------------------------------------------------------------

START = np.array([-1.0, -0.4, 0.3, 1.0])


def eigenvalues_upstairs_and_downstairs(model, dt, paths, record):
    times = [0.05, 0.2, 0.8]
    up, coarse = (
        dlnmc.simulate(model, paths=paths, dt=h, times=times, start=np.diag(START), state="hermitian", seed=1)
        for h in (dt, 2 * dt)
    )
    down = dlnmc.simulate(model, paths=paths, dt=dt, times=times, start=START, seed=2)
    wrong = dlnmc.simulate(model.changed(kappa=0.4 * model.kappa), paths=paths, dt=dt, times=times, start=START, seed=2)
    figures = []
    for k in range(3):
        x, y, z, w = (data["eigenvalues"].to_numpy()[:, k] for data in (up, coarse, down, wrong))
        left = 2.0 * LEFT * max(0.0, distances(x, y) - bound(x, y) / 2.0)
        figures.append([distances(x, z), bound(x, z) + left, distances(x, w)])
        assert distances(x, z) < bound(x, z) + left < distances(x, w)
    record(distances=figures)


@pytest.mark.parametrize("b", [1.0, 2.0, 4.0])
def test_eigenvalues_of_hermitian_paths_are_dyson_s(b, record):
    """Theorem 15, (11.4) and (11.1)."""
    eigenvalues_upstairs_and_downstairs(dlnmc.DysonBrownianMotion.standard(4, b), 2e-3, 4096, record)


def test_eigenvalues_of_hermitian_paths_in_a_quadratic_loss(record):
    """(11.7) and (11.8)."""
    eigenvalues_upstairs_and_downstairs(dlnmc.DysonBrownianMotion(4, 4.0, 0.6), 2e-3, 4096, record)
