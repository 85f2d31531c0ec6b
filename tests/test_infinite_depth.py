"""The limit N → ∞: its equilibrium below the threshold κ = (d−1)/(2d), its law, and what happens above."""

import json
import math

import numpy as np
import pytest
from statistical import FALSE_ALARM, distance, envelope, paths_for_power

import dlnmc
from dlnmc import analysis, findings, laws, tables
from dlnmc.config import Equilibrium
from dlnmc.dataset import model_of
from dlnmc.defaults import completed, default_burn_in

MODEL = dlnmc.DeepLinearNetwork(width=3, depth=math.inf, beta=3.0, kappa=0.2)
SHORT = {"paths": 21, "dt": 0.01, "burn_in": 0.05, "duration": 0.08, "draws": 4, "observations": 4, "threads": 1}


def traces(tree):
    return (tree["samples/singular_values"].to_numpy()[:, -1] ** 2).sum(axis=1)


# --- the equilibrium --------------------------------------------------------------------------------------------------


def folded(law, values):
    """2 |F(x) − ½|, uniform on (0, 1) under the law F: laws of one mean and different spread differ most in this."""
    return 2.0 * np.abs(law.cdf(values) - 0.5)


def test_the_trace_has_its_gamma_law():
    """Gamma(d(d−1)/(4κ), 2κ/β): independent paths at false-alarm rate 1e-6; κ = 0.22 fails with power above 0.999."""
    law, control = laws.trace(MODEL), laws.trace(MODEL.changed(kappa=0.22))
    assert law.mean() == pytest.approx(3 * 2 / (4 * 0.2) * 2 * 0.2 / 3.0)
    v = (np.arange(4000) + 0.5) / 4000
    of_control = law.cdf(control.ppf(0.5 + v / 2)) - law.cdf(control.ppf(0.5 - v / 2))
    paths = paths_for_power(np.max(np.abs(of_control - v)), 0.0)
    sample = traces(dlnmc.equilibrium(MODEL, paths=paths, scheme="mala", seed=1))
    threshold = envelope(paths, FALSE_ALARM)
    assert distance(sample, law.cdf) < threshold
    assert distance(folded(law, sample), lambda v: v) < threshold
    assert distance(folded(control, sample), lambda v: v) > threshold


@pytest.mark.parametrize("kappa", [0.05, 0.3])
def test_identities_hold_at_other_kappas_and_for_other_energies(kappa):
    model = dlnmc.DeepLinearNetwork(6, math.inf, 6.0, kappa, dlnmc.Polynomial((0.2, 0.25)))
    tree = dlnmc.equilibrium(model, paths=2048, seed=2)
    assert all(holds for _, holds in analysis.checks(tree)), list(analysis.checks(tree))
    wrong = model.changed(kappa=1.15 * kappa)
    assert findings.failed(analysis.checks(tree, wrong))


@pytest.mark.parametrize("scheme", ["mala", None])
def test_great_depth_has_nearly_the_same_equilibrium(scheme):
    """At depth 2000; at depth 2 it is another. Time is that of the clock of depth."""
    settings = {"paths": 4096, "burn_in": 200.0, "duration": 8.0, "scheme": scheme}
    limit = dlnmc.equilibrium(MODEL, seed=3, **settings)
    deep, shallow = (dlnmc.equilibrium(MODEL.changed(depth=depth), seed=4, **settings) for depth in (2000.0, 2.0))
    assert bool(dlnmc.compare(limit, deep).agrees)
    assert not bool(dlnmc.compare(limit, shallow).agrees)


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "kappa", "threshold"),
    [(3, 0.4, "0.333333"), (3, 1.0 / 3.0, "0.333333"), (2, 0.25, "0.25"), (2, 1.0, "0.25"), (64, 0.5, "0.492188")],
)
def test_above_the_threshold_there_is_no_equilibrium(width, kappa, threshold, refused):
    model = MODEL.changed(width=width, kappa=kappa)
    pieces = ("no equilibrium", "infinite depth", f"kappa < (d-1)/(2d) = {threshold}", repr(kappa))
    refused(lambda: dlnmc.equilibrium(model, paths=8), *pieces)
    refused(lambda: dlnmc.sweep([model.changed(kappa=0.1), model], paths=8), *pieces)
    quartic = model.changed(energy=dlnmc.Polynomial((0.0, 1.0)))
    refused(lambda: dlnmc.equilibrium(quartic, paths=8), *pieces)  # whatever confines large singular values
    completed(Equilibrium(model.changed(depth=1000.0)))  # slow, but there


@pytest.mark.parametrize("kappa", [0.1, 0.2])
def test_the_default_burn_in_at_great_depth_is_that_of_infinite_depth(kappa):
    """Below the threshold nothing slows down as N → ∞, in the clock of depth."""
    model = dlnmc.DeepLinearNetwork(8, math.inf, 8.0, kappa)
    limit = default_burn_in(model)
    for depth in (1e3, 1e5):
        assert 0.2 * limit < default_burn_in(model.changed(depth=depth)) < 5.0 * limit


@pytest.mark.parametrize("kappa", [1e-3, 0.2, 1.0])
def test_one_singular_value_never_has_one(kappa, refused):
    model = MODEL.changed(width=1, kappa=kappa)
    refused(lambda: dlnmc.equilibrium(model, paths=8), "no equilibrium", "kappa < (d-1)/(2d) = 0")
    paths = dlnmc.simulate(model, paths=8, dt=0.01, times=[0.1], start=[1.0])
    assert np.all(paths.singular_values > 0.0)


def test_below_the_threshold_it_is_not_refused():
    for width, kappa in ((2, 0.249), (3, 0.33), (64, 0.49)):
        assert dlnmc.equilibrium(MODEL.changed(width=width, kappa=kappa), **SHORT)


def test_other_coordinates_and_schemes_are_refused(refused):
    for coordinates in ("lambda", "sigma"):
        refused(lambda c=coordinates: dlnmc.equilibrium(MODEL, paths=8, coordinates=c), coordinates, "inf", "'log'")
    refused(lambda: dlnmc.equilibrium(MODEL.changed(depth=5.0), paths=8, coordinates="log"), "'log'", "depth 5")
    assert dlnmc.equilibrium(MODEL, coordinates="log", state="singular_values", **SHORT)


# --- above the threshold ----------------------------------------------------------------------------------------------


def log_smallest(kappa, times):
    model = dlnmc.DeepLinearNetwork(2, math.inf, 2.0, kappa)
    data = dlnmc.simulate(model, paths=512, dt=0.01, times=times, start=[0.5, 1.0], seed=5)
    assert int(data.status.sum()) == 0
    with np.errstate(divide="ignore"):
        return np.median(np.log(data.singular_values.isel(rank=-1)), axis=0)


def test_the_smallest_singular_value_falls_for_ever_above_the_threshold_and_settles_below():
    """Median of log σ_2 for d = 2, where the threshold is ¼; above it wanders off as the square root of time."""
    times = [4.0, 16.0, 64.0]
    above, below = log_smallest(1.0, times), log_smallest(0.1, times)
    assert np.all(np.diff(above) < -2.0), above
    assert np.ptp(below) < 0.3, below
    assert below[-1] > -3.0


def test_singular_values_that_underflow_are_zero_and_the_path_goes_on(refused):
    """log σ is what moves: from −700 on, about half of them are below the smallest number at the end."""
    model = dlnmc.DeepLinearNetwork(2, math.inf, 2.0, 2.0)
    settings = {"paths": 64, "dt": 0.1, "seed": 7}
    data = dlnmc.simulate(model, times=[500.0, 2000.0], start=[math.exp(-700.0), 1.0], bins=16, **settings)
    assert int(data.status.sum()) == 0
    assert np.all(np.isfinite(data.singular_values))
    last = data.singular_values.isel(time=-1).sel(rank=2)
    assert 3 < int((last == 0.0).sum()) < 61
    assert int(data.counts.sum() + data.underflow.sum() + data.overflow.sum()) == 64 * 2 * 2
    refused(lambda: dlnmc.simulate(model, times=[1.0], start=data, **settings), "start contains 0.0", "> 0")


# --- what it looks like -----------------------------------------------------------------------------------------------


def test_results_say_what_they_are(tmp_path):
    tree = dlnmc.equilibrium(MODEL, **SHORT)
    assert float(tree["depth"]) == math.inf
    assert tree["clock"].item() == tree.attrs["clock"] == "depth"
    assert tree.attrs["coordinates_evolved"] == "log"
    assert "sign_changes" not in tree["sampler"]
    assert json.loads(tree.attrs["config"])["model"]["depth"] == "Infinity"
    assert "inf" in tables.report(tree).splitlines()[-1].split()
    json.loads(tables.report_json(tree))
    opened = dlnmc.open(dlnmc.save(tree, tmp_path / "a.nc"))
    assert opened.identical(tree)
    assert model_of(opened) == MODEL


def test_a_sweep_may_end_at_infinite_depth():
    """Whatever the clock of its other members: at infinite depth there is one only."""
    models = [dlnmc.DeepLinearNetwork(3, depth, 3.0, 0.2) for depth in (1.0, 4.0, math.inf)]
    tree = dlnmc.sweep(models, **SHORT)
    assert dict(tree["samples"].sizes) == {"depth": 3, "path": 21, "draw": 4, "rank": 3}
    alone = dlnmc.sweep([models[2], models[2].changed(kappa=0.1)], **SHORT)
    assert tree["clock"].to_numpy().tolist() == ["paper", "paper", "depth"]
    assert np.isfinite(alone["samples/singular_values"]).all()
    assert [line.split()[0] for line in tables.report(tree).splitlines()[-3:]] == ["1", "4", "inf"]


def test_histograms_cover_the_equilibrium():
    tree = dlnmc.equilibrium(MODEL, paths=512, seed=6)
    outside = int(tree["histogram/overflow"].sum() + tree["histogram/underflow"].sum())
    assert outside < 0.01 * int(tree["histogram/samples"].sum())
