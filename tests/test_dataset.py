"""Results as labelled data: names, dimensions, units, provenance; statistics agree with NumPy on the kept samples."""

import json
import math

import numpy as np
import pytest
import xarray as xr

import dlnmc
from dlnmc import dataset, laws
from dlnmc.config import Equilibrium, Simulation
from dlnmc_kernels.fast_sums import FAST_SIZE

NETWORK = dlnmc.DeepLinearNetwork(width=5, depth=2.0, beta=3.0)
SHORT = {"paths": 21, "dt": 0.01, "burn_in": 0.05, "duration": 0.08, "draws": 4, "observations": 4, "threads": 1}
GROUPS = {"samples", "histogram", "moments", "spacing", "extremes", "stationarity", "sampler", "law"}
SAMPLER = {"status", "failed_step", "tamed", "crossings"}
SCALARS = ["trace", "largest", "smallest", "ratio_middle", "ratio_all"]
PROVENANCE = {
    "Conventions", "title", "history", "source", "dlnmc_version", "config", "seed", "scheme", "dt", "clock",
    "numba_version", "cpu", "simd", "kernel_hash", "last_step",
}  # fmt: skip


@pytest.fixture(params=["network_tree", "dyson_tree"])
def tree(request):
    return request.getfixturevalue(request.param)


def values_of(tree):
    """The kept states (path, draw, component), ascending, and √(d/β)."""
    data = tree["samples"].to_dataset()
    values = data.eigenvalues if "eigenvalues" in data else data.singular_values[..., ::-1]
    return values.to_numpy(), np.sqrt(values.shape[-1] / float(tree["beta"]))


# --- structure --------------------------------------------------------------------------------------------------------


def test_the_groups_and_their_variables(tree):
    assert set(tree.children) == GROUPS
    dims = {
        "histogram": {
            "counts": ("batch", "bin"), "underflow": ("batch",), "overflow": ("batch",), "samples": ("batch",),
            "edges": ("bin_edge",),
        },
        "moments": {"trace": ("path",), "moment": ("path", "order")},
        "spacing": {"ratio_middle": ("path",), "ratio_all": ("path",)},
        "extremes": {"largest": ("path",), "smallest": ("path",)},
        "stationarity": {
            "z": ("scalar",), "threshold": (), "stationary": (), "effective_samples": ("scalar",),
            "effective_samples_error": ("scalar",), "autocorrelation_time": ("scalar",),
        },
        "law": {"probability": ("bin",), "edge": (), "trace_mean": ()},
    }  # fmt: skip
    for group, variables in dims.items():
        assert {name: tree[group][name].dims for name in tree[group].data_vars} == variables
    network = "depth" in tree.coords
    adjusted = {"acceptance", "proposals"} | ({"sign_changes"} if network else set())
    assert set(tree["sampler"].data_vars) == SAMPLER | adjusted
    assert tree["stationarity"].scalar.values.tolist() == SCALARS
    name, component = ("singular_values", "rank") if network else ("eigenvalues", "component")
    samples = tree["samples"]
    assert samples[name].dims == ("path", "draw", component)
    assert samples[name].shape == (21, 4, 5)
    assert samples.draw.values.tolist() == [1, 2, 3, 4]
    assert samples["path"].values.tolist() == list(range(21))
    assert samples[component].values.tolist() == [1, 2, 3, 4, 5]
    assert samples.time.dims == ("draw",)
    assert samples.time.values == pytest.approx([0.07, 0.09, 0.11, 0.13], abs=1e-12)
    steps = np.diff(samples[name].values, axis=-1)
    assert np.all(steps < 0) if network else np.all(steps > 0)  # rank 1 is the largest; eigenvalues ascend
    parameters = {"depth": 2.0, "width": 5} if network else {"size": 5}
    for key, value in (parameters | {"beta": 3.0, "kappa": 1.0}).items():
        assert all(group.coords[key] == value for group in tree.subtree)


def test_a_simulation_has_its_dimensions(network_paths):
    assert network_paths.singular_values.dims == ("path", "time", "rank")
    assert network_paths.time.values == pytest.approx([0.0, 0.05, 0.1])
    assert set(network_paths.data_vars) == SAMPLER | {"sign_changes", "singular_values"}
    assert np.all(np.diff(network_paths.singular_values, axis=-1) < 0)
    assert float(network_paths.depth) == 2.0


def test_integers_are_integers(tree, grid):
    for result in (tree, grid):
        for name in ("counts", "underflow", "overflow", "samples"):
            assert result["histogram"][name].dtype == np.int64
        for name, variable in result["sampler"].data_vars.items():
            assert variable.dtype.kind == ("f" if name == "acceptance" else "i"), name
    assert grid["last_step"].dtype.kind == "i"
    assert grid["width"].dtype.kind == "i"


def described(result):
    nodes = result.subtree if isinstance(result, xr.DataTree) else [result]
    return [(node, name, variable) for node in nodes for name, variable in node.data_vars.items()]


def test_every_variable_has_units_and_a_name_in_words(tree, grid, network_paths):
    for result in (tree, grid, network_paths):
        assert described(result)
        for _, name, variable in described(result):
            assert variable.attrs.get("units"), name
            assert len(variable.attrs.get("long_name", "")) > 3, name


def test_every_coordinate_has_units_in_words(tree, grid, network_paths):
    for result in (tree, grid, network_paths):
        for node in result.subtree if isinstance(result, xr.DataTree) else [result]:
            missing = [name for name, coordinate in node.coords.items() if not coordinate.attrs.get("units")]
            assert missing == []


def test_provenance_stands_at_the_root_and_nowhere_else(tree, network_paths):
    for result in (tree, network_paths):
        assert set(result.attrs) >= PROVENANCE
        assert result.attrs["dlnmc_version"] == dlnmc.__version__
        assert result.attrs["dt"] == 0.01
        assert result.attrs["seed"] == 0
        assert result.attrs["clock"] == "paper"
        assert all(isinstance(value, str | int | float | np.generic) for value in result.attrs.values())
    for node in tree.subtree:
        assert node is tree or not node.attrs


def test_only_wall_clock_facts_differ_between_equal_runs(network_tree):
    again = dlnmc.equilibrium(NETWORK, bins=16, **SHORT)
    differing = {key for key in again.attrs if again.attrs[key] != network_tree.attrs[key]}
    assert differing <= {"history", "wall_seconds"}
    again.attrs = network_tree.attrs
    xr.testing.assert_identical(again, network_tree)


def test_the_largest_seed_is_recorded_exactly():
    tree = dlnmc.equilibrium(NETWORK, seed=2**64 - 1, **SHORT)
    assert int(tree.attrs["seed"]) == 2**64 - 1
    assert json.loads(tree.attrs["config"])["seed"] == 2**64 - 1


# --- the configuration reproduces the run -----------------------------------------------------------------------------


def test_the_configuration_of_an_equilibrium_reproduces_it(tree):
    run = Equilibrium(**json.loads(tree.attrs["config"]))
    model = run.model
    known = ("paths", "dt", "burn_in", "duration", "draws", "observations", "bins", "scheme", "leaps", "start", "seed")
    again = dlnmc.equilibrium(model, **{key: getattr(run, key) for key in known})
    for name in GROUPS:
        assert again[name].to_dataset().identical(tree[name].to_dataset()), name
    assert again.attrs["config"] == tree.attrs["config"]


def test_the_configuration_of_a_simulation_reproduces_it(network_paths, arrays_of):
    run = Simulation(**json.loads(network_paths.attrs["config"]))
    (states,) = [arrays_of(dataset.Member(run))["samples"][..., ::-1]]
    assert np.array_equal(states, network_paths.singular_values)


def test_defaults_are_recorded():
    tree = dlnmc.equilibrium(NETWORK, paths=8, burn_in=0.1, duration=0.1)
    config = json.loads(tree.attrs["config"])
    assert {key for key in config if config[key] is None} == {"start_digest", "accuracy", "early"}
    assert config["dt"] == tree.attrs["dt"] > 0
    assert config["scheme"] == tree.attrs["scheme"] == "hmc"
    assert config["leaps"] == tree.attrs["leaps"] >= 1
    plain = dlnmc.equilibrium(NETWORK, paths=8, burn_in=0.1, duration=0.1, scheme="leimkuhler_matthews")
    config = json.loads(plain.attrs["config"])
    assert {key for key in config if config[key] is None} == {"start_digest", "accuracy", "early", "leaps"}
    assert "leaps" not in plain.attrs


@pytest.mark.parametrize("model", [NETWORK, dlnmc.DysonBrownianMotion(5, 3.0)], ids=["network", "dyson"])
@pytest.mark.parametrize(
    "settings", [{"scheme": "mala"}, {"scheme": "mala", "dt": None}, {"scheme": "hmc", "dt": None}]
)
def test_the_acceptance_of_every_path_is_recorded(model, settings):
    """A path that was refused throughout has stayed where it was; moves are counted in whole steps."""
    settings = SHORT | {"burn_in": 0.4} | settings
    tree = dlnmc.equilibrium(model, **{key: value for key, value in settings.items() if value is not None})
    acceptance = tree["sampler/acceptance"]
    steps = int(tree.attrs["last_step"])
    assert acceptance.dims == ("path",)
    assert np.all((acceptance >= 0.0) & (acceptance <= 1.0))
    assert np.allclose(acceptance * steps, np.round(acceptance * steps), atol=1e-9)
    assert 0.3 < float(acceptance.mean()) < 1.0
    never = dlnmc.equilibrium(model, **SHORT | {"scheme": "mala", "dt": 50.0, "burn_in": 100.0, "duration": 200.0})
    still = np.ptp(values_of(never)[0], axis=1).max(axis=1) == 0.0
    assert np.any(still)
    assert float(never["sampler/acceptance"].mean()) < 0.05


def test_schemes_without_refusals_have_no_acceptance():
    assert "acceptance" not in dlnmc.equilibrium(NETWORK, scheme="euler_maruyama", **SHORT)["sampler"]


def test_stationarity_is_not_known_from_one_observation_or_few_paths():
    for settings in ({"draws": 1, "observations": 1}, {"paths": 3}):
        group = dlnmc.equilibrium(NETWORK, **SHORT | settings)["stationarity"].to_dataset()
        assert int(group.stationary) == -1
        assert np.isnan(group.z).all()
        assert np.isnan(group.threshold)


def test_stationarity_is_what_the_statistics_say():
    """Halves of the observations are means of the early and the late draws; effective samples are from sums."""
    tree = dlnmc.equilibrium(NETWORK, **SHORT | {"paths": 201})
    values, _ = values_of(tree)
    group = tree["stationarity"].to_dataset()
    trace = (values**2).sum(axis=2)
    early, late = trace[:, :2].mean(axis=1), trace[:, 2:].mean(axis=1)
    change = late - early
    assert float(group.z.sel(scalar="trace")) == pytest.approx(change.mean() / (change.std(ddof=1) / math.sqrt(201)))
    worth = dlnmc.statistics.effective_samples(trace.sum(axis=1), (trace**2).sum(axis=1), 4)
    assert float(group.effective_samples.sel(scalar="trace")) == pytest.approx(worth.value, rel=1e-9)
    assert float(group.effective_samples_error.sel(scalar="trace")) == pytest.approx(worth.error, rel=1e-9)
    assert float(group.autocorrelation_time.sel(scalar="trace")) == pytest.approx(4 * 0.02 / worth.value, rel=1e-9)
    assert 0.9 < worth.value < 1.6  # four observations in a fiftieth of the memory


# --- statistics against NumPy -----------------------------------------------------------------------------------------


def test_histogram_counts_are_those_of_numpy(tree):
    values, scale = values_of(tree)
    data = tree["histogram"].to_dataset()
    edges = data.edges.to_numpy()
    for batch in range(3):  # 21 paths are batches of 8, 8 and 5
        own = values[8 * batch : 8 * batch + 8].ravel() / scale
        counts, _ = np.histogram(own[own < edges[-1]], edges)
        assert data.counts[batch].values.tolist() == counts.tolist()
        assert data.underflow[batch] == np.sum(own < edges[0])
        assert data.overflow[batch] == np.sum(own >= edges[-1])
        assert data.samples[batch] == own.size
    assert data.sizes["batch"] == 3
    assert int(data.samples.sum()) == values.size


@pytest.mark.parametrize("model", [NETWORK, dlnmc.DysonBrownianMotion(5, 3.0)], ids=["network", "dyson"])
def test_values_outside_the_histogram_are_counted_and_not_lost(model):
    """Starts far outside the law's support, seen after one step."""
    start = np.array([0.01, 1.0, 20.0, 30.0, 40.0]) if model is NETWORK else np.array([-40.0, -30.0, 0.0, 30.0, 40.0])
    once = {"burn_in": 0.0, "duration": 1e-7, "draws": 1, "observations": 1, "dt": 1e-7}
    tree = dlnmc.equilibrium(model, start=start, scheme="euler_maruyama", **SHORT | once)
    data = tree["histogram"].to_dataset()
    assert data.underflow.values.tolist() == ([0, 0, 0] if model is NETWORK else [16, 16, 10])
    assert data.overflow.values.tolist() == ([24, 24, 15] if model is NETWORK else [16, 16, 10])
    assert data.counts.sum("bin").values.tolist() == ([16, 16, 10] if model is NETWORK else [8, 8, 5])
    assert data.samples.values.tolist() == [40, 40, 25]


def test_moments_and_extremes_are_those_of_numpy(tree):
    values, scale = values_of(tree)
    data = tree["moments"].to_dataset()
    assert data.trace.values == pytest.approx(np.sum(values**2, axis=2).mean(axis=1), rel=1e-13)
    assert data.order.values.tolist() == [1, 2, 3, 4]
    for order in (1, 2, 3, 4):
        expected = ((values / scale) ** order).mean(axis=(1, 2))
        assert data.moment.sel(order=order).values == pytest.approx(expected, rel=1e-12, abs=1e-13)
    assert tree["extremes"].largest.values == pytest.approx(values[..., -1].mean(axis=1), rel=1e-13)
    assert tree["extremes"].smallest.values == pytest.approx(values[..., 0].mean(axis=1), rel=1e-13)


def mean_ratio(values):
    gaps = np.diff(values, axis=-1)
    return (np.minimum(gaps[..., 1:], gaps[..., :-1]) / np.maximum(gaps[..., 1:], gaps[..., :-1])).mean(axis=(1, 2))


@pytest.mark.parametrize("size", [5, 6, 7, 8, 9, 13])
@pytest.mark.parametrize("kind", ["network", "dyson"])
def test_spacing_ratios_are_those_of_numpy(size, kind):
    model = NETWORK.changed(width=size) if kind == "network" else dlnmc.DysonBrownianMotion(size, 3.0)
    tree = dlnmc.equilibrium(model, **SHORT)
    values, _ = values_of(tree)
    spacing = tree["spacing"].to_dataset()
    assert spacing.ratio_all.values == pytest.approx(mean_ratio(values), rel=1e-11)
    middle = values[..., size // 4 : size - size // 4]
    assert spacing.ratio_middle.values == pytest.approx(mean_ratio(middle), rel=1e-11)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_ratios_that_do_not_exist_are_left_out(size):
    """A ratio needs three values; the middle half of four has two."""
    tree = dlnmc.equilibrium(NETWORK.changed(width=size), **SHORT)
    assert set(tree["spacing"].data_vars) == ({"ratio_all"} if size >= 3 else set())
    assert tree["samples"].singular_values.shape == (21, 4, size)


def test_more_observations_than_draws_enter_the_statistics():
    few = dlnmc.equilibrium(NETWORK, bins=16, **SHORT)
    many = dlnmc.equilibrium(NETWORK, bins=16, **SHORT | {"draws": 1, "observations": 4})
    assert many["samples"].sizes["draw"] == 1
    for name in ("histogram", "moments", "spacing", "extremes"):
        assert many[name].to_dataset().identical(few[name].to_dataset()), name
    assert np.array_equal(many["samples"].singular_values[:, 0], few["samples"].singular_values[:, 3])


def test_the_group_of_the_law_is_the_law(network_tree):
    law = laws.singular_values(2.0)
    data = network_tree["law"].to_dataset()
    assert data.probability.values == pytest.approx(np.diff(law.cdf(network_tree["histogram"].edges.values)), abs=1e-12)
    assert float(data.probability.sum()) == pytest.approx(1.0, abs=1e-9)
    assert float(data.edge) == pytest.approx(law.support[1])
    assert float(data.trace_mean) == pytest.approx(laws.trace(NETWORK).mean())


@pytest.mark.parametrize(
    "model", [NETWORK.changed(kappa=0.7), dlnmc.DeepLinearNetwork(5, math.inf, 3.0, 0.2)], ids=["kappa", "depth"]
)
def test_the_law_is_known_for_every_depth_and_kappa(model):
    tree = dlnmc.equilibrium(model, **SHORT)
    law = laws.of(model)
    assert float(tree["law/edge"]) == law.support[1]
    assert float(tree["law/probability"].sum()) == pytest.approx(1.0, abs=1e-9)
    assert float(tree["law/trace_mean"]) == laws.trace(model).mean()


@pytest.mark.parametrize(
    "model",
    [
        NETWORK.changed(energy=dlnmc.Polynomial((0.5, 0.25))),
        dlnmc.DysonBrownianMotion(5, 3.0, energy=dlnmc.Polynomial((0.0, 0.5, 0.0, 0.25))),
    ],
    ids=["network", "dyson"],
)
def test_what_is_not_known_of_the_law_is_nan(model):
    tree = dlnmc.equilibrium(model, **SHORT)
    assert set(tree.children) == GROUPS
    for name in ("probability", "edge", "trace_mean"):
        assert np.isnan(tree["law"][name]).all()
    assert tree.attrs["energy"] == "polynomial"
    assert "samples" not in dlnmc.equilibrium(NETWORK, keep_samples=False, **SHORT).children


# --- sweeps -----------------------------------------------------------------------------------------------------------


def test_a_sweep_in_one_parameter_has_one_dimension():
    kappas = [2.0, 0.5, 1.0]
    tree = dlnmc.sweep([NETWORK.changed(kappa=kappa) for kappa in kappas], **SHORT)
    assert tree["kappa"].values.tolist() == [0.5, 1.0, 2.0]
    assert tree["samples"].singular_values.dims == ("kappa", "path", "draw", "rank")
    assert tree["histogram"].edges.dims == ("kappa", "bin_edge")
    assert tree["histogram"].counts.dtype == np.int64
    assert float(tree["depth"]) == 2.0
    runs = [Equilibrium(**config) for config in json.loads(tree.attrs["config"])]
    assert [run.model.kappa for run in runs] == kappas
    assert len({run.seed for run in runs}) == 3


def test_a_sweep_in_two_parameters_has_two_dimensions(grid):
    assert grid["depth"].values.tolist() == [1.0, 2.5]
    assert grid["width"].values.tolist() == [3, 6]
    samples = grid["samples"].singular_values
    assert set(samples.dims) == {"depth", "width", "path", "draw", "rank"}
    assert not np.any(np.isnan(samples.sel(width=6)))
    assert not np.any(np.isnan(samples.sel(width=3, rank=[1, 2, 3])))
    assert np.all(np.isnan(samples.sel(width=3, rank=[4, 5, 6])))
    assert samples.sizes["path"] == 9  # paths are per member
    assert grid["histogram"].samples.sel(width=6, depth=1.0).values.tolist() == [8 * 6 * 2, 6 * 2]
    assert np.all(np.isnan(grid["spacing"].ratio_middle.sel(width=3)))
    assert np.all(np.isfinite(grid["spacing"].ratio_middle.sel(width=6)))
    for run in (Equilibrium(**config) for config in json.loads(grid.attrs["config"])):
        at = {"width": run.model.width, "depth": run.model.depth}
        alone = dlnmc.equilibrium(
            run.model, seed=run.seed, bins=8, paths=9, dt=0.01, burn_in=0.05, duration=0.1, draws=2, observations=2
        )
        swept = samples.sel(**at).dropna("rank")
        assert np.array_equal(swept.transpose("path", "draw", "rank"), alone["samples"].singular_values)
        counts = grid["histogram"].counts.sel(**at).transpose("batch", "bin")
        assert np.array_equal(counts, alone["histogram"].counts)


def test_the_order_of_models_does_not_change_the_place_of_members():
    models = [NETWORK.changed(depth=depth) for depth in (1.0, 2.0)]
    one = dlnmc.sweep(models, common_noise=True, **SHORT)
    other = dlnmc.sweep(models[::-1], common_noise=True, **SHORT)
    assert one["samples"].to_dataset().identical(other["samples"].to_dataset())


def test_what_only_some_members_have_is_not_passed_off_as_all():
    """Infinite depth has no sign that could change; two values have no ratio."""
    tree = dlnmc.sweep([NETWORK.changed(depth=depth, kappa=0.2, clock="depth") for depth in (2.0, math.inf)], **SHORT)
    assert np.isnan(tree["sampler/sign_changes"].sel(depth=math.inf)).all()
    assert np.isfinite(tree["sampler/sign_changes"].sel(depth=2.0)).all()
    tree = dlnmc.sweep([NETWORK.changed(width=2), NETWORK.changed(width=6)], **SHORT)
    assert np.isnan(tree["spacing/ratio_all"].sel(width=2)).all()
    assert np.isfinite(tree["spacing/ratio_all"].sel(width=6)).all()
    assert np.isnan(tree["stationarity/z"].sel(width=2, scalar="ratio_all"))
    assert tree["stationarity/stationary"].dtype.kind == "i"


# --- the last state ---------------------------------------------------------------------------------------------------


def test_the_last_state_ascends_and_knows_its_step(tree, network_paths, refused):
    values, step = dataset.last_state(tree, dataset.model_of(tree))
    assert np.array_equal(values, values_of(tree)[0][:, -1])
    assert step == tree.attrs["last_step"] + 1 == 14
    values, step = dataset.last_state(network_paths, dataset.model_of(network_paths))
    assert np.array_equal(values, network_paths.singular_values[:, -1, ::-1])
    assert step == 11
    refused(lambda: dataset.last_state(xr.Dataset(), NETWORK), "start", "keep_samples")


def test_files_say_how_pairs_are_summed():
    size = FAST_SIZE
    short = {"paths": 3, "dt": 1e-4, "times": [2e-4], "threads": 1}
    dyson = dlnmc.simulate(dlnmc.DysonBrownianMotion(size=size, beta=float(size)), start="law", **short)
    more = dlnmc.simulate(dlnmc.DysonBrownianMotion(size=size, beta=float(size)), start="law", **short | {"paths": 8})
    assert dyson.attrs["pair_sums"] == "exponentials"
    assert dyson.attrs["pair_sums_crossover"] == FAST_SIZE
    assert dyson.eigenvalues.equals(more.eigenvalues.isel(path=slice(3)))  # whatever is in the other lanes
    for model, said in (
        (dlnmc.DysonBrownianMotion(size=size - 1, beta=4.0), "direct"),
        (dlnmc.DeepLinearNetwork(width=size, depth=2.0, beta=4.0), "exponentials"),
        (dlnmc.DeepLinearNetwork(width=size, depth=25.0, beta=4.0), "direct"),
    ):
        assert dlnmc.simulate(model, **short).attrs["pair_sums"] == said
    whole = dlnmc.simulate(dlnmc.DeepLinearNetwork(width=2, depth=2.0, beta=4.0), state="matrix", **short)
    assert "pair_sums" not in whole.attrs
