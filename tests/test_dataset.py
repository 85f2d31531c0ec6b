"""Results as labelled data: names, dimensions, units, provenance; statistics agree with NumPy on the kept samples."""

import json

import numpy as np
import pytest
import xarray as xr

import dlnmc
from dlnmc import dataset, laws
from dlnmc.config import Equilibrium, Simulation

NETWORK = dlnmc.DeepLinearNetwork(width=5, depth=2.0, beta=3.0)
SHORT = {"paths": 21, "dt": 0.01, "burn_in": 0.05, "duration": 0.08, "draws": 4, "observations": 4, "threads": 1}
GROUPS = {"samples", "histogram", "moments", "spacing", "extremes", "sampler", "law"}
SAMPLER = {"status", "failed_step", "tamed", "crossings"}
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
        "law": {"probability": ("bin",), "edge": (), "trace_mean": ()},
    }  # fmt: skip
    for group, variables in dims.items():
        assert {name: tree[group][name].dims for name in tree[group].data_vars} == variables
    network = "depth" in tree.coords
    assert set(tree["sampler"].data_vars) == SAMPLER | ({"sign_changes"} if network else set())
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
            assert variable.dtype.kind == "i", name
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
    settings = {key: getattr(run, key) for key in ("paths", "dt", "burn_in", "duration", "draws", "observations")}
    again = dlnmc.equilibrium(model, bins=run.bins, scheme=run.scheme, start=run.start, seed=run.seed, **settings)
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
    assert all(config[key] is not None for key in config if key != "start_digest")
    assert config["dt"] == tree.attrs["dt"] > 0
    assert config["scheme"] == tree.attrs["scheme"] == "leimkuhler_matthews"


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


def test_what_is_not_known_of_the_law_is_nan_and_the_trace_is_known():
    model = NETWORK.changed(kappa=0.7)
    tree = dlnmc.equilibrium(model, **SHORT)
    assert set(tree.children) == GROUPS
    assert np.isnan(tree["law/probability"]).all()
    assert np.isnan(tree["law/edge"])
    assert tree["law/trace_mean"] == dlnmc.laws.trace(model).mean()
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
    """A law is known for κ = 1, not for 0.7."""
    tree = dlnmc.sweep([NETWORK, NETWORK.changed(kappa=0.7)], **SHORT)
    assert np.isnan(tree["law/edge"].sel(kappa=[0.7, 1.0])).values.tolist() == [True, False]


# --- the last state ---------------------------------------------------------------------------------------------------


def test_the_last_state_ascends_and_knows_its_step(tree, network_paths, refused):
    values, step = dataset.last_state(tree, dataset.model_of(tree))
    assert np.array_equal(values, values_of(tree)[0][:, -1])
    assert step == tree.attrs["last_step"] + 1 == 14
    values, step = dataset.last_state(network_paths, dataset.model_of(network_paths))
    assert np.array_equal(values, network_paths.singular_values[:, -1, ::-1])
    assert step == 11
    refused(lambda: dataset.last_state(xr.Dataset(), NETWORK), "start", "keep_samples")
