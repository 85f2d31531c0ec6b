"""Metropolis-adjusted steps: no bias at any step, and a step that a pilot run finds."""

import json
import math

import numpy as np
import pytest

import dlnmc
from dlnmc import analysis, laws, pilot
from dlnmc.defaults import default_dt

NETWORK = dlnmc.DeepLinearNetwork(width=8, depth=2.0, beta=8.0)
DYSON = dlnmc.DysonBrownianMotion(size=8, beta=8.0)
DEEP = dlnmc.DeepLinearNetwork(width=4, depth=math.inf, beta=4.0, kappa=0.2)
MODELS = pytest.mark.parametrize("model", [NETWORK, DYSON, DEEP], ids=["network", "dyson", "infinite depth"])
SCHEMES = pytest.mark.parametrize("scheme", ["mala", "hmc"])
SHORT = {"burn_in": 0.5, "duration": 0.5, "threads": 1}


def states(tree):
    return next(iter(tree["samples"].data_vars.values())).to_numpy()


def config(tree):
    return json.loads(tree.attrs["config"])


# --- the step ---------------------------------------------------------------------------------------------------------


@SCHEMES
@MODELS
def test_proposals_are_accepted_as_often_as_they_should_be(model, scheme):
    tree = dlnmc.equilibrium(model, paths=256, scheme=scheme, keep_samples=False)
    assert abs(float(tree["sampler/acceptance"].mean()) - pilot.ACCEPTANCE[scheme]) < 0.08


@SCHEMES
def test_the_step_is_recorded_to_two_digits_and_reproduces_the_run(scheme):
    tree = dlnmc.equilibrium(NETWORK, paths=16, scheme=scheme, **SHORT)
    dt, leaps = config(tree)["dt"], config(tree)["leaps"]
    leap = dt if leaps is None else dt / leaps**2
    assert leap == pytest.approx(float(f"{leap:.2g}"), rel=1e-12)
    assert dt == tree.attrs["dt"]
    again = dlnmc.equilibrium(NETWORK, paths=16, scheme=scheme, dt=dt, leaps=leaps, **SHORT)
    assert np.array_equal(states(again), states(tree))


@SCHEMES
@MODELS
def test_more_paths_and_threads_leave_earlier_paths_as_they_were(model, scheme):
    """The pilot is of paths of its own, however many are run."""
    few = dlnmc.equilibrium(model, paths=5, scheme=scheme, **SHORT)
    more = dlnmc.equilibrium(model, paths=83, scheme=scheme, **SHORT | {"threads": 3})
    assert config(few)["dt"] == config(more)["dt"]
    assert states(few).tobytes() == states(more)[:5].tobytes()
    assert np.array_equal(few["sampler/acceptance"], more["sampler/acceptance"][:5])


@SCHEMES
def test_what_does_not_concern_the_dynamics_changes_no_step(scheme):
    long = SHORT | {"burn_in": 8.0, "duration": 4.0}
    plain = config(dlnmc.equilibrium(NETWORK, paths=8, scheme=scheme, **long))
    others = [{"bins": 7}, {"keep_samples": False}, {"observables": ["effective_rank"]}, {"draws": 3}, {"burn_in": 9.0}]
    for other in others:
        found = config(dlnmc.equilibrium(NETWORK, paths=8, scheme=scheme, **long | other))
        assert (found["dt"], found["leaps"]) == (plain["dt"], plain["leaps"]), other
    seeded = config(dlnmc.equilibrium(NETWORK, paths=8, scheme=scheme, seed=1, **long))
    assert seeded["dt"] == pytest.approx(plain["dt"], rel=0.3)


@SCHEMES
@pytest.mark.parametrize("length", [0.05, 0.5])
def test_a_short_run_has_short_steps(scheme, length):
    """Ten at least: the step that is best for a long run may be longer than all of this one."""
    found = config(dlnmc.equilibrium(NETWORK, paths=8, scheme=scheme, burn_in=0.6 * length, duration=0.4 * length))
    assert found["dt"] <= length / 10.0 * (1.0 + 1e-12)


def test_the_clock_of_depth_has_the_same_step_in_its_own_time():
    model = NETWORK.changed(depth=4.0)
    paper = config(dlnmc.equilibrium(model, paths=8, scheme="mala"))["dt"]
    depth = config(dlnmc.equilibrium(model.changed(clock="depth"), paths=8, scheme="mala"))["dt"]
    assert depth == pytest.approx(4.0 * paper, rel=0.05)  # two digits


@SCHEMES
@pytest.mark.parametrize(
    "model", [dlnmc.DysonBrownianMotion(1, 1.0), NETWORK.changed(width=1, depth=1.0)], ids=["x", "σ"]
)
def test_the_step_of_a_system_that_would_accept_almost_any_is_sound(model, scheme):
    """One Gaussian: large steps are accepted often, and still the law is reached."""
    tree = dlnmc.equilibrium(model, paths=2048, scheme=scheme, seed=2)
    assert all(holds for _, holds in analysis.checks(tree)), list(analysis.checks(tree))
    assert 0.1 < config(tree)["dt"] < 1e4 * default_dt(model)


def test_leaps_that_are_asked_for_are_taken():
    for leaps in (1, 3, 17):
        tree = dlnmc.equilibrium(NETWORK, paths=64, leaps=leaps, **SHORT | {"duration": 5.0})
        assert config(tree)["leaps"] == leaps
        assert tree.attrs["leaps"] == leaps
        assert 0.4 < float(tree["sampler/acceptance"].mean()) < 0.95


def test_one_leap_is_mala(same_bits, member, arrays_of):
    one, mala = member(scheme="hmc", leaps=1), member(scheme="mala")
    same_bits(arrays_of(one), arrays_of(mala))


def test_a_start_far_away_is_burnt_in_by_small_steps_too():
    """The pilot moves on from the given start, so that its step is one for the equilibrium."""
    start = np.linspace(5.0, 9.0, 8)
    dt = config(dlnmc.equilibrium(DYSON, paths=8, scheme="mala", start=start, **SHORT))["dt"]
    usual = config(dlnmc.equilibrium(DYSON, paths=8, scheme="mala", **SHORT))["dt"]
    assert dt == pytest.approx(usual, rel=0.5)


def test_a_run_is_continued_with_a_step_of_its_own():
    first = dlnmc.equilibrium(NETWORK, paths=64, scheme="mala", **SHORT)
    second = dlnmc.equilibrium(NETWORK, paths=64, scheme="mala", start=first, **SHORT | {"burn_in": 0.0})
    assert second.attrs["last_step"] > first.attrs["last_step"]
    assert config(second)["dt"] == pytest.approx(config(first)["dt"], rel=0.3)
    assert np.all(np.isfinite(states(second)))


def test_every_member_of_a_sweep_has_its_own_step():
    models = [NETWORK.changed(kappa=kappa) for kappa in (0.3, 1.0)]
    tree = dlnmc.sweep(models, paths=16, **SHORT)
    steps = [run["dt"] for run in config(tree)]
    assert tree["dt"].to_numpy().tolist() == steps
    assert steps[0] != steps[1]
    alone = dlnmc.equilibrium(models[0], paths=16, **SHORT)
    assert config(alone)["dt"] == steps[0]


# --- no bias ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "dt"), [(NETWORK, 0.03), (DYSON, 0.04)], ids=["network", "dyson"])
@pytest.mark.parametrize("settings", [{"scheme": "mala"}, {"scheme": "hmc", "leaps": 2}], ids=str)
def test_the_trace_is_exact_where_euler_maruyama_at_the_same_step_is_one_percent_off(model, dt, settings):
    """Within four standard errors, of which the seed is fixed; the control is beyond ten."""
    common = {"paths": 4096, "dt": dt, "burn_in": 12.0, "duration": 12.0, "keep_samples": False, "seed": 3}
    exact = laws.trace(model).mean()

    def figures(**settings):
        trace = dlnmc.equilibrium(model, **common | settings)["moments/trace"].to_numpy()
        return trace.mean() / exact - 1.0, trace.std(ddof=1) / math.sqrt(4096) / exact

    off, error = figures(**settings)
    assert abs(off) < 4.0 * error
    assert error < 0.003
    off, error = figures(scheme="euler_maruyama")
    assert off > 0.01
    assert off > 10.0 * error


@SCHEMES
def test_every_step_has_the_same_law(scheme):
    """Spacings and extremes too: three steps, of which the coarse is refused most of the time."""
    runs = [
        dlnmc.equilibrium(DYSON, paths=4096, dt=dt, scheme=scheme, leaps=None if scheme == "mala" else 2, burn_in=10.0,
                          duration=3.0, seed=seed)
        for seed, dt in enumerate((0.005, 0.02, 0.08) if scheme == "mala" else (0.005, 0.05, 0.3))
    ]  # fmt: skip
    acceptance = [float(run["sampler/acceptance"].mean()) for run in runs]
    assert acceptance[0] > 0.9
    assert acceptance[2] < 0.7
    assert bool(dlnmc.compare(runs[0], runs[1]).agrees)
    assert bool(dlnmc.compare(runs[0], runs[2]).agrees)
    euler = dlnmc.equilibrium(DYSON, paths=4096, dt=0.08, scheme="euler_maruyama", burn_in=10.0, duration=3.0)
    assert not bool(dlnmc.compare(runs[0], euler).agrees)
