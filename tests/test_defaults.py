"""Values that are chosen where a user leaves them open: where they come from, and that they do what they are for."""

import json
import math

import numpy as np
import pytest
from scipy import integrate

import dlnmc
from dlnmc import analysis, identities, laws, statistics
from dlnmc.chunks import histogram_range
from dlnmc.config import Equilibrium, Simulation
from dlnmc.defaults import (
    completed,
    default_burn_in,
    default_dt,
    equilibrium_radius,
    time_unit,
    typical_size,
    virial,
)

NETWORK = dlnmc.DeepLinearNetwork(width=5, depth=2.0, beta=3.0)
DYSON = dlnmc.DysonBrownianMotion(size=5, beta=3.0)
DEEP = dlnmc.DeepLinearNetwork(width=5, depth=math.inf, beta=3.0, kappa=0.2)
QUARTIC = dlnmc.Polynomial((-0.5, 0.25))
MODELS = [
    NETWORK, NETWORK.changed(depth=1.0, kappa=0.3), NETWORK.changed(depth=7.5, kappa=2.0), DEEP,
    DYSON, DYSON.changed(kappa=0.2), DYSON.changed(kappa=2.0),
]  # fmt: skip


def slopes(model, tree):
    """Σ s v'(s) of each path, averaged over its draws."""
    values = analysis.states(tree)
    return (values * model.slope(values)).sum(axis=2).mean(axis=1)


# --- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_the_virial_is_the_mean_of_the_trace_for_quadratic_energy(model):
    assert model.size * virial(model) == pytest.approx(laws.trace(model).mean(), rel=1e-12)
    assert typical_size(model) == pytest.approx(math.sqrt(laws.trace(model).mean() / model.size), rel=1e-12)


POLYNOMIALS = [
    NETWORK.changed(energy=QUARTIC),
    NETWORK.changed(depth=5.0, kappa=0.4, energy=dlnmc.Polynomial((0.2, 0.1))),
    DEEP.changed(energy=dlnmc.Polynomial((0.3, 0.5))),
    DYSON.changed(energy=dlnmc.Polynomial((0.5, 0.2, -0.1, 0.25))),
]


@pytest.mark.parametrize("model", POLYNOMIALS)
def test_the_virial_identity_holds_for_polynomial_energies(model):
    """E[Σ σ v'(σ)] = d·virial, exactly: within 4.9 standard errors, false-alarm rate 1e-6; one of 1.05 β is beyond."""
    tree = dlnmc.equilibrium(model, paths=8192, draws=2, seed=1)
    mean, error = statistics.mean_over_paths(slopes(model, tree))
    assert abs(mean - model.size * virial(model)) < 4.9 * error
    assert abs(mean - model.size * virial(model.changed(beta=1.1 * model.beta))) > 4.9 * error
    found = identities.verdict(identities.identities(model, analysis.states(tree)))
    assert found.holds, found


def test_the_virial_identity_by_quadrature():
    """One singular value: p(λ) ∝ e^{−(β/κ) v(λ^N)}, by SciPy."""
    model = dlnmc.DeepLinearNetwork(1, 3.0, 2.0, 0.7, QUARTIC)

    def weight(lam):
        return math.exp(-2.0 / 0.7 * float(model.potential(np.array(lam**3))))

    def weighted(lam):
        return lam**3 * float(model.slope(np.array(lam**3))) * weight(lam)

    norm, mean = (integrate.quad(f, 0.0, 3.0, epsabs=1e-13)[0] for f in (weight, weighted))
    assert mean / norm == pytest.approx(virial(model), rel=1e-9)


@pytest.mark.parametrize("model", POLYNOMIALS)
def test_the_typical_size_is_where_the_slope_has_its_mean(model):
    size = typical_size(model)
    signs = (1.0,) if model.kind == "deep_linear_network" else (1.0, -1.0)
    assert min(abs(sign * size * float(model.slope(np.array(sign * size))) - virial(model)) for sign in signs) < 1e-9
    tree = dlnmc.equilibrium(model, paths=256, seed=2)
    assert 0.5 < np.sqrt(np.mean(analysis.states(tree) ** 2)) / size < 1.5


@pytest.mark.parametrize("c", [1e-40, 1e-3, 1.0, 1e40])
def test_sizes_of_weak_and_strong_energies(c):
    """v = c s² is the quadratic energy in other units."""
    network, dyson = (
        NETWORK.changed(energy=dlnmc.Polynomial((c,))), DYSON.changed(energy=dlnmc.Polynomial((0.0, c))),
    )  # fmt: skip
    assert typical_size(network) == pytest.approx(math.sqrt(virial(NETWORK) / (2.0 * c)), rel=1e-9)
    assert typical_size(dyson) == pytest.approx(math.sqrt(virial(DYSON) / (2.0 * c)), rel=1e-9)


@pytest.mark.parametrize("model", [*MODELS, *POLYNOMIALS])
def test_the_histogram_holds_the_equilibrium(model):
    """And is not much wider: at least a third of the bins are used."""
    tree = dlnmc.equilibrium(model, paths=512, seed=3)
    histogram = tree["histogram"].to_dataset()
    outside = int(histogram.underflow.sum() + histogram.overflow.sum())
    assert outside < 0.02 * int(histogram.samples.sum())
    assert int((histogram.counts.sum("batch") > 0).sum()) > 256 / 3


def test_the_histogram_of_gradient_flow_is_that_of_its_start(paths_of):
    model = NETWORK.changed(beta=math.inf, kappa=0.0)
    assert equilibrium_radius(model) == 1.0
    member = paths_of(model, [0.1, 0.2, 0.3, 0.4, 7.0], bins=16)
    low, high = histogram_range(member)
    assert low == 0.0
    assert 7.0 <= high < 10.0


# --- steps and times --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.01, 100.0])
@pytest.mark.parametrize("model", [NETWORK, NETWORK.changed(depth=5.0, kappa=0.3), DEEP, DYSON])
def test_all_times_scale_with_the_temperature_as_the_equation_does(model, factor):
    """λ → c λ with c^{2N} = 1/factor takes β to factor·β and time to c^{2N−2} times as much."""
    other = model.changed(beta=factor * model.beta)
    depth = getattr(model, "depth", None)
    power = 0.0 if depth is None else 1.0 - 1.0 / depth
    for time in (default_dt, default_burn_in, time_unit):
        assert time(other) == pytest.approx(time(model) * factor**power, rel=1e-9), time.__name__


@pytest.mark.parametrize("model", [NETWORK.changed(depth=4.0), NETWORK.changed(depth=4.0, energy=QUARTIC)])
def test_times_in_the_clock_of_depth_are_n_times_those_of_the_paper(model):
    for time in (default_dt, default_burn_in, time_unit):
        assert time(model.changed(clock="depth")) == pytest.approx(4.0 * time(model), rel=1e-12)


def test_a_polynomial_that_is_quadratic_has_the_same_step_and_unit_of_time():
    for model, energy in ((NETWORK, (0.5,)), (DEEP, (0.5,)), (DYSON, (0.0, 0.5))):
        same = model.changed(energy=dlnmc.Polynomial(energy))
        for time in (default_dt, time_unit):
            assert time(same) == pytest.approx(time(model), rel=1e-6)


@pytest.mark.parametrize("model", [*MODELS, *POLYNOMIALS])
@pytest.mark.parametrize("scheme", ["leimkuhler_matthews", None])
def test_default_runs_are_stationary(model, scheme):
    """Once in 10,000 runs one is not by chance; the seed is fixed."""
    tree = dlnmc.equilibrium(model, paths=512, keep_samples=False, scheme=scheme, seed=4)
    assert int(tree["stationarity/stationary"]) == 1
    assert int(tree["sampler/status"].sum()) == 0


@pytest.mark.parametrize("model", [NETWORK, DYSON, DEEP, NETWORK.changed(depth=500.0, kappa=0.2, clock="depth")])
@pytest.mark.parametrize("scheme", ["mala", "hmc"])
def test_a_burn_in_and_a_duration_are_more_than_a_few_steps(model, scheme):
    """However short: one step is no burn-in, and states of one step are not early and late."""
    tree = dlnmc.equilibrium(model, paths=8, burn_in=2.0, duration=2.0, scheme=scheme)
    dt = json.loads(tree.attrs["config"])["dt"]
    assert 2.0 / dt >= 2.0


@pytest.mark.parametrize("model", [NETWORK, DEEP, DYSON])
@pytest.mark.parametrize("draws", [1, 3, 100])
def test_observations_are_a_multiple_of_draws_and_no_step_is_observed_twice(model, draws):
    for settings in ({}, {"scheme": "euler_maruyama"}, {"duration": 0.5}):
        config = json.loads(dlnmc.equilibrium(model, paths=8, draws=draws, burn_in=0.1, **settings).attrs["config"])
        assert config["observations"] % draws == 0
        assert config["observations"] >= draws
        if draws == 1:
            assert config["observations"] == 1 or config["duration"] / config["dt"] >= config["observations"] * 0.999


@pytest.mark.parametrize("cls", [Equilibrium, Simulation])
def test_what_is_given_is_kept_and_what_is_complete_stays(cls):
    values = {"model": NETWORK, "dt": 0.0123, "scheme": "euler_maruyama", "bins": 7, "start": "law"}
    values |= {"burn_in": 0.3, "duration": 0.7, "observations": 5} if cls is Equilibrium else {"times": (0.1,)}
    run = completed(cls(**values))
    assert {name: getattr(run, name) for name in values} == values
    assert completed(run) == run
    assert run.coordinates == "lambda"


def test_histograms_are_kept_at_equilibrium_and_in_time_where_asked_for():
    assert completed(Equilibrium(NETWORK)).bins == 256
    assert completed(Simulation(NETWORK, times=(0.1,), dt=0.1)).bins is None


# --- accuracy ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["leimkuhler_matthews", "mala", None])
@pytest.mark.parametrize("model", [NETWORK, DYSON, DEEP], ids=["network", "dyson", "infinite depth"])
@pytest.mark.parametrize("accuracy", [0.02, 0.003])
def test_the_accuracy_asked_for_is_reached(model, scheme, accuracy):
    """The standard error is at most that, and the exact mean within 4.9 of it: false-alarm rate 1e-6."""
    tree = dlnmc.equilibrium(model, paths=512, accuracy=accuracy, scheme=scheme, keep_samples=False, seed=5)
    exact = laws.trace(model).mean()
    mean, error = statistics.mean_over_paths(tree["moments/trace"].to_numpy() / exact)
    assert error < 1.15 * accuracy  # its own relative error is 3 %
    assert error > 0.1 * accuracy  # and no more work than needed, by far
    assert abs(mean - 1.0) < 4.9 * error
    assert json.loads(tree.attrs["config"])["accuracy"] == accuracy


def test_few_paths_reach_an_accuracy_by_observing_more_often():
    model = dlnmc.DeepLinearNetwork(4, 2.0, 4.0)
    tree = dlnmc.equilibrium(model, paths=16, accuracy=0.004, keep_samples=False, seed=5)
    mean, error = statistics.mean_over_paths(tree["moments/trace"].to_numpy() / laws.trace(model).mean())
    assert error < 2.0 * 0.004  # its own relative error is 18 %
    assert abs(mean - 1.0) < 8.0 * error  # beyond this with probability 1e-6 by Student's law of 15
    assert json.loads(tree.attrs["config"])["observations"] > 1000


def test_higher_accuracy_takes_more_steps_and_finer_ones():
    runs = [completed(Equilibrium(NETWORK, scheme="leimkuhler_matthews", accuracy=a)) for a in (0.1, 1e-3, 1e-4)]
    durations, steps = [run.duration for run in runs], [run.dt for run in runs]
    assert durations[2] > 50.0 * durations[1]
    assert durations[1] > durations[0]
    assert steps[2] < steps[1] <= steps[0] == default_dt(NETWORK)


def test_more_paths_need_less_time():
    few, many = (completed(Equilibrium(NETWORK, paths=paths, accuracy=1e-3)) for paths in (256, 1024))
    assert few.duration == pytest.approx(4.0 * many.duration)


def test_accuracy_leaves_given_steps_and_durations_alone():
    run = completed(Equilibrium(NETWORK, scheme="euler_maruyama", accuracy=1e-3, dt=0.01, duration=2.0))
    assert (run.dt, run.duration) == (0.01, 2.0)
