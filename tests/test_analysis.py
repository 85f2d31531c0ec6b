"""What a result says: stationarity, checks against exact identities, and the comparison of two results."""

import math

import numpy as np
import pytest
import xarray as xr

import dlnmc
from dlnmc import analysis, findings, laws, statistics, tables

NETWORK = dlnmc.DeepLinearNetwork(width=5, depth=2.0, beta=3.0)
DYSON = dlnmc.DysonBrownianMotion(size=5, beta=3.0)
DEEP = dlnmc.DeepLinearNetwork(width=5, depth=math.inf, beta=3.0, kappa=0.2)
FAR = np.array([3.0, 3.5, 4.0, 4.5, 5.0])  # Σσ² = 82.5, where equilibrium has 5.8


@pytest.fixture(scope="module")
def sound():
    return dlnmc.equilibrium(NETWORK, paths=4096, draws=2, seed=1)


@pytest.fixture(scope="module")
def other():
    return dlnmc.equilibrium(NETWORK, paths=4096, seed=2, scheme="mala")


@pytest.fixture(scope="module")
def hotter():
    return dlnmc.equilibrium(NETWORK.changed(kappa=1.1), paths=2048, seed=3)


# --- stationarity -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["euler_maruyama", None])
@pytest.mark.parametrize("model", [NETWORK, DYSON, DEEP], ids=["network", "dyson", "infinite depth"])
def test_a_run_that_starts_far_away_without_burn_in_is_not_stationary(model, scheme):
    """And one that ran as long with burn-in is: the mean of the late half differs by chance once in 10,000 runs."""
    settings = {"paths": 64, "start": FAR, "duration": 2.0, "dt": 0.002, "scheme": scheme, "keep_samples": False}
    tree = dlnmc.equilibrium(model, burn_in=0.0, **settings)
    assert int(tree["stationarity/stationary"]) == 0
    z = tree["stationarity/z"].sel(scalar="trace")
    assert float(z) < -2.0 * float(tree["stationarity/threshold"])  # it falls
    text = tables.report(tree)
    assert text.splitlines()[1].startswith("stationary: NO, ")
    failed = findings.failed(analysis.checks(tree))
    assert any("early and late halves" in sentence for sentence in failed)
    settled = dlnmc.equilibrium(model, burn_in=20.0, **settings)
    assert int(settled["stationarity/stationary"]) == 1
    assert tables.report(settled).splitlines()[1].startswith("stationary: yes, ")


def test_effective_samples_are_about_the_duration_over_the_memory():
    """Of an Ornstein–Uhlenbeck process: E[x(s)x(t)] ~ e^{−|t−s|}, x²: e^{−2|t−s|}; n/τ from the sum of correlations."""
    model = dlnmc.DysonBrownianMotion(1, 1.0)
    settings = {"paths": 20000, "dt": 0.01, "burn_in": 8.0, "duration": 8.0, "observations": 32}
    group = dlnmc.equilibrium(model, scheme="leimkuhler_matthews", **settings)["stationarity"].to_dataset()
    lag, interval = np.arange(1, 32), 8.0 / 32
    for name, rate in (("largest", 1.0), ("trace", 2.0)):
        tau = 1.0 + 2.0 * np.sum((1.0 - lag / 32) * np.exp(-rate * lag * interval))
        found = group.sel(scalar=name)
        assert (
            abs(float(found.effective_samples) - 32 / tau)
            < 5.0 * float(found.effective_samples_error) + 0.02 * 32 / tau
        )
        assert float(found.autocorrelation_time) == pytest.approx(tau * interval, rel=0.1)


# --- checks -----------------------------------------------------------------------------------------------------------

ALL = ["paths failed", "accepted no proposal", "early and late halves", "Gamma law", "generator identities"]


@pytest.mark.parametrize(
    ("model", "settings", "sentences"),
    [
        (NETWORK, {}, ALL),
        (NETWORK.changed(depth=4.0, kappa=0.4), {}, ALL),
        (DYSON.changed(kappa=0.7), {"scheme": "mala"}, ALL),
        (DYSON, {"scheme": "leimkuhler_matthews", "dt": 0.002}, [ALL[0], *ALL[2:]]),
        (DEEP, {}, ALL),
        (NETWORK.changed(energy=dlnmc.Polynomial((-0.5, 0.25))), {}, [*ALL[:3], ALL[4]]),
        (DYSON.changed(energy=dlnmc.Polynomial((0.3, 0.2, 0.0, 0.25))), {}, [*ALL[:3], ALL[4]]),
        (NETWORK, {"keep_samples": False}, ALL[:3]),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
def test_a_sound_run_passes_all_checks_that_there_are_for_it(model, settings, sentences):
    tree = dlnmc.equilibrium(model, paths=2048, seed=5, **settings)
    found = list(analysis.checks(tree))
    assert all(holds for _, holds in found), found
    assert len(found) == len(sentences)
    for (text, _), words in zip(found, sentences, strict=True):
        assert words in text


@pytest.mark.parametrize(
    ("model", "wrong"),
    [
        (NETWORK, {"kappa": 1.15}),
        (NETWORK, {"beta": 3.3}),
        (NETWORK, {"depth": 2.3}),
        (DYSON, {"kappa": 1.2}),
        (DEEP, {"kappa": 0.22}),
        (NETWORK.changed(energy=dlnmc.Polynomial((-0.5, 0.25))), {"energy": dlnmc.Polynomial((-0.5, 0.28))}),
        (NETWORK.changed(energy=dlnmc.Polynomial((-0.5, 0.25))), {"kappa": 1.15}),
    ],
    ids=str,
)
def test_the_same_run_held_against_a_slightly_wrong_model_fails(model, wrong):
    tree = dlnmc.equilibrium(model, paths=8192, seed=6)
    assert all(holds for _, holds in analysis.checks(tree))
    failed = findings.failed(analysis.checks(tree, model.changed(**wrong)))
    assert any("generator identities" in text for text in failed), failed


def test_few_paths_of_a_skewed_law_are_not_known():
    tree = dlnmc.equilibrium(dlnmc.DeepLinearNetwork(width=2, depth=3.0, beta=2.0), paths=64, seed=7)
    ((text, holds),) = [check for check in analysis.checks(tree) if "generator identities" in check[0]]
    assert holds is None
    assert text.endswith("too few for so skewed a law")


def test_paths_that_never_moved_do_not_pass():
    """A step that is far too large: everything is refused, and early and late halves agree perfectly."""
    tree = dlnmc.equilibrium(NETWORK, paths=256, dt=100.0, scheme="mala", burn_in=1e3, duration=1e3)
    assert float(tree["sampler/acceptance"].mean()) < 0.05
    failed = findings.failed(analysis.checks(tree))
    assert any("accepted no proposal" in text for text in failed)


def test_a_bias_of_the_step_is_seen():
    """Euler–Maruyama at a coarse step: the trace is 6 % too large."""
    tree = dlnmc.equilibrium(DYSON, paths=4096, dt=0.1, scheme="euler_maruyama", seed=7)
    assert findings.failed(analysis.checks(tree))


def test_figures_of_a_row(sound):
    row = analysis.row(sound)
    assert (row["width"], row["depth"], row["beta"], row["kappa"], row["paths"]) == (5, 2.0, 3.0, 1.0, 4096)
    trace = sound["moments/trace"].to_numpy()
    exact = laws.trace(NETWORK).mean()
    assert row["trace_mean"] == pytest.approx(trace.mean(), rel=1e-12)
    assert row["trace_ratio"] == pytest.approx(trace.mean() / exact, rel=1e-12)
    assert abs(row["trace_ratio"] - 1.0) < 5.0 * row["trace_error"]
    assert row["acceptance"] == pytest.approx(float(sound["sampler/acceptance"].mean()))
    assert row["stationary"] is True
    assert row["largest_z"] <= row["allowed_z"]
    held = analysis.row(sound, NETWORK.changed(kappa=2.0))
    assert held["law_kappa"] == 2.0
    assert held["kappa"] == 1.0
    assert held["trace_ratio"] == pytest.approx(trace.mean() / laws.trace(NETWORK.changed(kappa=2.0)).mean())


def test_a_polynomial_has_figures_without_a_law():
    model = NETWORK.changed(energy=dlnmc.Polynomial((-0.5, 0.25)))
    row = analysis.row(dlnmc.equilibrium(model, paths=64))
    assert [row[key] for key in ("ks", "ks_error", "trace_ratio", "trace_error", "edge_law")] == [None] * 5
    assert row["trace_mean"] > 0.0


# --- comparing --------------------------------------------------------------------------------------------------------


def test_two_runs_of_one_model_agree_whatever_their_schemes(sound, other):
    table = dlnmc.compare(sound, other)
    assert bool(table.agrees)
    assert table.scalar.values.tolist() == ["trace", "largest", "smallest", "ratio_middle", "ratio_all"]
    assert np.all(np.abs(table.z) < table.attrs["threshold"])
    assert np.all(table.allowed_z >= table.attrs["threshold"])
    assert np.all(np.isfinite(table.allowed_z))
    assert np.all(table.kolmogorov < table.kolmogorov_bound)
    for name, result in (("a", sound), ("b", other)):
        mean, error = statistics.mean_over_paths(result["moments/trace"].to_numpy())
        assert float(table[f"mean_{name}"].sel(scalar="trace")) == mean
        assert float(table[f"mean_{name}_error"].sel(scalar="trace")) == error
    back = dlnmc.compare(other, sound)
    assert np.allclose(back.difference, -table.difference)
    assert np.allclose(back.kolmogorov, table.kolmogorov)


def test_runs_of_models_that_differ_by_ten_percent_do_not(sound, hotter):
    table = dlnmc.compare(sound, hotter)
    assert not bool(table.agrees)
    assert float(table.z.sel(scalar="trace")) < -table.attrs["threshold"]


def test_laws_are_compared_where_means_agree(sound, other):
    """States of which one component is spread about its own mean: no average of a path but the Kolmogorov distance."""
    wrong = sound.copy(deep=True)
    data = wrong["samples"].to_dataset().copy(deep=True)
    values = data["singular_values"]
    middle = values.sel(rank=3)
    values.loc[{"rank": 3}] = middle.mean() + 1.5 * (middle - middle.mean())
    wrong["samples"].dataset = data
    table = dlnmc.compare(wrong, other)
    assert np.all(np.abs(table.z) < table.attrs["threshold"])
    assert not bool(table.agrees)
    assert np.flatnonzero(table.kolmogorov > table.kolmogorov_bound).tolist() == [2]  # ascending: rank 3 of 5
    assert bool(dlnmc.compare(sound.drop_nodes("samples"), other).agrees)


def test_paths_in_time_are_compared_with_the_equilibrium(sound):
    late = dlnmc.simulate(NETWORK, paths=2048, dt=0.005, times=[1.0, 12.0], scheme="leimkuhler_matthews", seed=4)
    assert bool(dlnmc.compare(sound, late).agrees)
    early = dlnmc.simulate(NETWORK, paths=2048, dt=0.005, times=[0.1], start=FAR, seed=4)
    assert not bool(dlnmc.compare(sound, early).agrees)
    assert not bool(dlnmc.compare(late, early).agrees)


@pytest.mark.parametrize("kappa", [0.5, 0.55])
def test_exact_samples_are_compared_with_a_run(kappa):
    exact = dlnmc.exact(NETWORK.changed(kappa=0.5), paths=8192, seed=1)
    run = dlnmc.equilibrium(NETWORK.changed(kappa=kappa), paths=8192, seed=2)
    assert bool(dlnmc.compare(exact, run).agrees) == (kappa == 0.5)


def test_results_from_files_are_compared_too(sound, tmp_path):
    late = dlnmc.simulate(NETWORK, paths=256, dt=0.01, times=[1.0, 6.0], seed=4)
    opened = [dlnmc.open(dlnmc.save(result, tmp_path / "a.nc")) for result in (sound, late)]
    assert dlnmc.compare(*opened).identical(dlnmc.compare(sound, late))


def test_without_states_or_of_other_width_averages_are_compared(sound):
    table = dlnmc.compare(sound, sound.drop_nodes("samples"))
    assert "kolmogorov" not in table
    assert bool(table.agrees)
    wide = dlnmc.equilibrium(NETWORK.changed(width=4), paths=512)
    table = dlnmc.compare(sound, wide)
    assert "kolmogorov" not in table
    assert table.scalar.values.tolist() == ["trace", "largest", "smallest", "ratio_all"]
    assert not bool(table.agrees)


def test_failed_paths_are_left_out_of_comparisons(sound, other):
    broken = other.copy(deep=True)
    for group in ("samples", "moments", "extremes", "spacing"):
        data = broken[group].to_dataset().copy(deep=True)
        for variable in data.data_vars.values():
            variable.loc[{"path": [3, 77]}] = np.nan
        broken[group].dataset = data
    table = dlnmc.compare(sound, broken)
    assert bool(table.agrees)
    assert np.isfinite(table.kolmogorov).all()


def test_members_of_sweeps_are_compared_and_whole_sweeps_are_not(refused):
    models = [NETWORK.changed(kappa=kappa) for kappa in (0.5, 1.0)]
    settings = {"paths": 64, "dt": 0.01, "burn_in": 1.0, "duration": 0.5}
    tree = dlnmc.sweep(models, **settings)
    assert bool(dlnmc.compare(tree.sel(kappa=1.0), tree.isel(kappa=1)).agrees)
    refused(lambda: dlnmc.compare(tree, tree), "nothing to compare", "select")


@pytest.mark.parametrize("what", [3, None, "results/semicircle.nc", xr.Dataset()], ids=str)
def test_what_is_no_result_is_not_compared(what, sound, refused):
    refused(lambda: dlnmc.compare(sound, what))
    refused(lambda: dlnmc.compare(what, sound))


# --- states and scalars -----------------------------------------------------------------------------------------------


def test_states_ascend_whatever_the_result(network_tree, dyson_tree, network_paths):
    for tree, name in ((network_tree, "singular_values"), (dyson_tree, "eigenvalues")):
        found = analysis.states(tree)
        assert found.shape == (21, 4, 5)
        assert np.array_equal(found, np.sort(tree["samples"][name], axis=-1))
    found = analysis.states(network_paths)
    assert found.shape == (21, 1, 5)
    assert np.array_equal(found[:, 0], network_paths.singular_values.isel(time=-1)[:, ::-1])
    assert analysis.states(network_tree.drop_nodes("samples")) is None


def test_states_of_a_sweep_over_widths_are_not_padded(grid):
    for width in (3, 6):
        assert analysis.states(grid.sel(width=width, depth=1.0)).shape == (9, 2, width)


def test_scalars_of_states_are_those_that_runs_accumulate(network_tree):
    """When only kept states were observed."""
    group = network_tree["samples"].to_dataset()
    group.attrs = network_tree.attrs
    found, accumulated = analysis.scalars(group), analysis.scalars(network_tree)
    assert set(found) == set(accumulated)
    for name, values in found.items():
        assert values == pytest.approx(accumulated[name], rel=1e-11), name
