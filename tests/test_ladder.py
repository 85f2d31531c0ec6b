"""Ladders of steps: the same Brownian paths at every step, and what they say about dt → 0."""

import json
import math

import numpy as np
import pytest
import xarray as xr

import dlnmc
from dlnmc import findings, laws, statistics, tables
from dlnmc.chunks import Member
from dlnmc.config import Equilibrium
from dlnmc.simulation import member_seed

NETWORK = dlnmc.DeepLinearNetwork(width=6, depth=2.0, beta=6.0)
DYSON = dlnmc.DysonBrownianMotion(size=6, beta=6.0)
SHORT = {"paths": 40, "burn_in": 0.2, "duration": 0.4, "draws": 2, "observations": 4, "threads": 1}
STEPS = [0.01, 0.02, 0.04]
SCALARS = ["trace", "largest", "smallest", "ratio_middle", "ratio_all"]


def ladder(model=NETWORK, **settings):
    return dlnmc.equilibrium(model, **SHORT | {"dt": STEPS} | settings)


def states(tree):
    return tree["samples"]["eigenvalues" if "eigenvalues" in tree["samples"] else "singular_values"]


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dt", "pieces"),
    [
        ([0.01, 0.015], ("[0.01, 0.015]", "0.015", "whole multiple", "0.01")),
        ([0.02, 0.05, 0.013], ("[0.02, 0.05, 0.013]", "multiple", "0.013")),
        ([0.01, 0.01], ("[0.01, 0.01]", "different")),
        ([0.01, 0.02, 0.01], ("[0.01, 0.02, 0.01]", "different")),
        ([], ("dt = []", "one or more")),
        ([0.01, 0.0], ("0", "> 0")),
        ([0.01, -0.01], ("-0.01", "> 0")),
        ([0.01, math.nan], ("nan",)),
        ([0.01, math.inf], ("inf",)),
        ([0.01, "0.02"], ("'0.02'",)),
        ([0.01, None], ("None",)),
        ([1.0, True], ("True",)),
        ([[0.01, 0.02]], ("[0.01, 0.02]",)),
        ("small", ("'small'",)),
        ("0.01", ("'0.01'",)),
        (np.array([[0.01, 0.02]]), ("0.01",)),
        ([1e-9, 0.01], ("1e-09",)),  # ten million normals for one step
    ],
    ids=str,
)
def test_a_bad_ladder_is_refused_in_one_line(dt, pieces, refused):
    refused(lambda: dlnmc.equilibrium(NETWORK, **SHORT, dt=dt), "dt", *pieces)
    refused(lambda: dlnmc.sweep([NETWORK, NETWORK.changed(kappa=0.5)], **SHORT, dt=dt), "dt", *pieces)


@pytest.mark.parametrize("steps", [(0.01, 0.02), np.array([0.01, 0.02]), [0.02, 0.01], [np.float64(0.01), 0.02]])
def test_steps_may_be_any_sequence_in_any_order(steps):
    found = ladder(dt=steps)["dt"].to_numpy()
    assert found == pytest.approx([0.01, 0.02])
    assert found[1] == 2.0 * found[0]


def test_multiples_are_recognised_through_rounding_errors():
    tree = ladder(dt=[0.1 / 3.0, 0.1, 0.3], burn_in=0.3, duration=0.6)
    assert tree["dt"].to_numpy().tolist() == [0.1 / 3.0, 3 * (0.1 / 3.0), 9 * (0.1 / 3.0)]


def test_a_list_of_one_step_is_that_step():
    one, plain = ladder(dt=[0.01]), ladder(dt=0.01, scheme="leimkuhler_matthews")
    assert "dt" not in one.dims
    assert "extrapolated" not in one
    assert states(one).identical(states(plain))


# --- what it holds ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [NETWORK, DYSON], ids=["network", "dyson"])
def test_a_ladder_has_a_dimension_dt_and_its_own_group(model):
    tree = ladder(model)
    assert tree["dt"].to_numpy().tolist() == STEPS
    assert tree["dt"].attrs["units"]
    assert states(tree).dims[:3] == ("dt", "path", "draw")
    assert tree["moments/trace"].dims == ("dt", "path")
    assert tree.attrs["scheme"] == "leimkuhler_matthews"  # steps that are accepted or refused would have no bias
    group = tree["extrapolated"].to_dataset()
    assert group.scalar.values.tolist() == SCALARS
    for name in ("value", "error", "order", "order_error"):
        assert group[name].dims == ("scalar",), name
    for name in ("bias", "bias_error"):
        assert group[name].dims == ("scalar", "dt"), name
    for name, variable in group.data_vars.items():
        assert variable.attrs["long_name"], name
        assert variable.attrs["units"], name
    runs = [Equilibrium(**config) for config in json.loads(tree.attrs["config"])]
    assert [(run.dt, run.refinement) for run in runs] == [(0.01, 1), (0.02, 2), (0.04, 4)]
    assert len({run.seed for run in runs}) == 1


def test_all_members_observe_the_same_times():
    tree = ladder()
    assert np.allclose(tree["samples/time"], [0.4, 0.6])
    assert tree["last_step"].to_numpy().tolist() == [60, 61, 63]  # the last of the finest steps whose noise was used


def test_a_member_is_continued_with_fresh_noise():
    """At κ free of repulsion (size 1) paths are an Ornstein–Uhlenbeck process: increments do not know the past."""
    model = dlnmc.DysonBrownianMotion(size=1, beta=1.0)
    settings = {"paths": 4000, "burn_in": 0.0, "observations": 1, "bins": 1}
    first = dlnmc.equilibrium(model, dt=[0.01, 0.04], duration=0.4, start=[0.0], scheme="euler_maruyama", **settings)
    coarse = first.isel(dt=1)
    more = dlnmc.equilibrium(model, dt=0.01, duration=0.4, start=coarse, scheme="euler_maruyama", **settings)
    x, y = (states(tree).to_numpy().ravel() for tree in (coarse, more))
    decay = (1.0 - 0.01) ** 40
    assert abs(np.corrcoef(x, y - decay * x)[0, 1]) < 5.0 / math.sqrt(4000)


@pytest.mark.parametrize("used", [7, 8, 9])
def test_a_ladder_that_continues_a_result_shares_its_noise(used):
    model = dlnmc.DysonBrownianMotion(size=1, beta=1.0)
    settings = {"paths": 200, "scheme": "euler_maruyama", "burn_in": 0.0, "observations": 1}
    first = dlnmc.equilibrium(model, dt=0.01, duration=0.01 * used, **settings)
    tree = dlnmc.equilibrium(model, dt=[0.01, 0.04], duration=0.08, start=first, **settings)
    fine, coarse = states(tree).to_numpy().reshape(2, 200)
    assert np.corrcoef(fine, coarse)[0, 1] > 0.99
    assert len({run["first_step"] * run["refinement"] for run in json.loads(tree.attrs["config"])}) == 1


def test_a_ladder_in_sigma_has_a_scheme_for_its_noise():
    tree = ladder(dlnmc.DeepLinearNetwork(3, 1.0, 3.0), coordinates="sigma")
    assert tree.attrs["scheme"] == "milstein"


@pytest.mark.parametrize("scheme", ["euler_maruyama", "leimkuhler_matthews"])
def test_the_finest_member_is_the_plain_run_bit_by_bit(scheme):
    tree = ladder(scheme=scheme)
    plain = dlnmc.equilibrium(NETWORK, **SHORT, dt=0.01, scheme=scheme)
    for group in ("samples", "moments", "extremes", "spacing", "sampler", "stationarity"):
        for name, variable in plain[group].data_vars.items():
            found = tree[group][name].isel(dt=0)
            assert found.to_numpy().tobytes() == variable.to_numpy().tobytes(), name


def test_more_paths_threads_or_steps_leave_the_others_as_they_were():
    few = states(ladder()).to_numpy()
    assert states(ladder(paths=90, threads=2)).to_numpy()[:, :40].tobytes() == few.tobytes()
    assert states(ladder(dt=[0.01, 0.04])).to_numpy().tobytes() == few[[0, 2]].tobytes()
    assert states(ladder(dt=[0.04, 0.02, 0.01])).to_numpy().tobytes() == few.tobytes()


def test_the_stored_runs_reproduce_every_member(arrays_of):
    tree = ladder()
    for index, config in enumerate(json.loads(tree.attrs["config"])):
        found = arrays_of(Member(Equilibrium(**config)))["samples"][..., ::-1]
        assert np.array_equal(found, states(tree).isel(dt=index))


# --- shared noise -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "scheme"),
    [
        (dlnmc.DysonBrownianMotion(4, 4.0, 0.1), "euler_maruyama"),
        (dlnmc.DysonBrownianMotion(4, 4.0, 0.1), "leimkuhler_matthews"),
        (dlnmc.DeepLinearNetwork(3, 3.0, 3.0, 0.05), "euler_maruyama"),
        (dlnmc.DeepLinearNetwork(3, math.inf, 3.0, 0.05), "euler_maruyama"),
    ],
    ids=["dyson", "dyson, averaged noise", "network", "infinite depth"],
)
def test_coarse_paths_follow_fine_ones(model, scheme):
    """Additive noise, and components that seldom meet: strong order 1, so distances to the finest halve with dt."""
    steps = [0.0025, 0.005, 0.01, 0.02]
    start = [0.3, 0.8, 1.3, 1.8][: model.size]
    settings = {"paths": 400, "burn_in": 0.5, "duration": 0.5, "observations": 1, "start": start, "scheme": scheme}
    values = states(dlnmc.equilibrium(model, dt=steps, **settings)).to_numpy()[:, :, 0]
    distance = [np.median(np.abs(values[k + 1] - values[k])) for k in range(3)]
    orders = np.log2(np.array(distance[1:]) / distance[:-1])
    expected = 1.0 if scheme == "euler_maruyama" else 0.5  # the averaged noise itself is half a step away
    assert np.all(np.abs(orders - expected) < 0.2), orders
    other = states(dlnmc.equilibrium(model, dt=0.005, seed=1, **settings)).to_numpy()[:, 0]
    assert np.median(np.abs(other - values[0])) > 10.0 * distance[0]  # the control: paths on other noise


# --- dt → 0 -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[NETWORK, DYSON], ids=["network", "dyson"])
def coarse(request):
    """Euler–Maruyama at coarse steps, of which the finest two still have a bias that shows."""
    settings = {"paths": 4096, "burn_in": 6.0, "duration": 8.0, "keep_samples": False, "seed": 1}
    steps = [0.01, 0.02, 0.04, 0.08]
    return request.param, dlnmc.equilibrium(request.param, dt=steps, scheme="euler_maruyama", **settings)


def test_the_extrapolated_trace_is_the_exact_one_and_no_step_alone_is(coarse):
    """A value within 4.9 of its standard errors, false-alarm rate 1e-6; all coarse ones are beyond."""
    model, tree = coarse
    exact = laws.trace(model).mean()
    trace = tree["moments/trace"]
    z = (trace.mean("path") - exact) / (trace.std("path", ddof=1) / math.sqrt(4096))
    assert np.all(z[1:] > 4.9)
    assert z[-1] > 20.0
    limit = tree["extrapolated"].to_dataset().sel(scalar="trace")
    assert abs(limit.value - exact) < 4.9 * limit.error
    assert limit.error < 0.006 * exact  # with the doubt about the form of the bias


def test_the_bias_at_each_step_is_what_is_left_beyond_the_limit(coarse):
    _, tree = coarse
    group = tree["extrapolated"].to_dataset()
    for name, variable in (("trace", tree["moments/trace"]), ("largest", tree["extremes/largest"])):
        own = group.sel(scalar=name)
        assert np.allclose(own.bias, variable.mean("path") - own.value, rtol=0, atol=1e-12)
        assert np.all(np.diff(own.bias) > 0)  # it grows with the step
    trace = group.sel(scalar="trace")
    assert trace.bias[-1] > 4.0 * trace.bias_error[-1]
    assert 0.4 < float(trace.order) < 1.6


def test_extrapolation_is_that_of_the_statistics_with_the_order_of_the_scheme(coarse):
    _, tree = coarse
    for name, values in (("trace", tree["moments/trace"]), ("ratio_middle", tree["spacing/ratio_middle"])):
        expected = statistics.extrapolate(values.transpose("dt", "path").to_numpy(), tree["dt"].to_numpy(), 1.0)
        found = tree["extrapolated"].to_dataset().sel(scalar=name)
        assert float(found.value) == expected.limit.value
        assert float(found.error) == expected.limit.error
        assert found.bias.values.tolist() == [bias.value for bias in expected.bias]


def test_the_report_shows_the_bias_beside_the_error_and_marks_it_where_it_dominates(coarse):
    model, tree = coarse
    text = tables.report(tree)
    lines = text.splitlines()
    rows = [line for line in lines if line.split()[:1] in (["2"], ["6"])]
    assert len(rows) == 4
    assert "!" in rows[-1]
    assert "bias" in lines[3]
    limit = next(line for line in lines if line.startswith("dt → 0") and "trace/exact" in line)
    trace = tree["extrapolated"].to_dataset().sel(scalar="trace")
    exact = laws.trace(model).mean()
    assert f"{float(trace.value) / exact:.4f} ± {float(trace.error) / exact:.4f}" in limit
    assert any(line.startswith("dt → 0") and "spacing ratio" in line for line in lines)
    found = json.loads(tables.report_json(tree))
    assert [row["dt"] for row in found] == [0.01, 0.02, 0.04, 0.08]
    assert found[-1]["trace_bias"] == pytest.approx(float(trace.bias[-1]) / exact, rel=1e-12)


@pytest.mark.parametrize("settings", [{"dt": [0.01, 0.02]}, {"paths": 1}, {"paths": 3}, {"observations": 2}], ids=str)
def test_the_report_of_any_ladder_has_no_nan(settings):
    """Two steps show no order, and one path no errors."""
    text = tables.report(ladder(**settings))
    assert "nan" not in text
    assert "dt → 0" in text
    json.loads(tables.report_json(ladder(**settings)), parse_constant=lambda constant: pytest.fail(constant))


# --- sweeps -----------------------------------------------------------------------------------------------------------


def test_a_sweep_of_ladders_has_both_dimensions_and_its_own_noise():
    models = [NETWORK.changed(kappa=kappa) for kappa in (0.5, 1.0)]
    tree = dlnmc.sweep(models, **SHORT, dt=STEPS, seed=3, scheme="euler_maruyama")
    assert states(tree).dims[:2] == ("kappa", "dt")
    group = tree["extrapolated"].to_dataset()
    assert group.value.dims == ("scalar", "kappa")
    assert group.bias.dims == ("scalar", "kappa", "dt")
    for index, model in enumerate(models):
        alone = ladder(model, seed=member_seed(3, index), scheme="euler_maruyama")
        assert states(alone).to_numpy().tobytes() == states(tree).sel(kappa=model.kappa).to_numpy().tobytes()
        own = group.sel(kappa=model.kappa)
        for name in ("value", "error", "bias"):
            assert np.array_equal(own[name], alone["extrapolated"][name], equal_nan=True)
    rows = findings.rows(tree)
    assert [(row["kappa"], row["dt"]) for row in rows] == [(k, dt) for k in (0.5, 1.0) for dt in STEPS]
    assert sum(line.startswith("dt → 0") and "trace" in line for line in tables.report(tree).splitlines()) == 2


def test_a_sweep_in_two_parameters_and_steps():
    models = [NETWORK.changed(depth=depth, width=width) for depth in (1.0, 2.0) for width in (4, 6)]
    tree = dlnmc.sweep(models, **SHORT, dt=[0.01, 0.02])
    assert dict(states(tree).sizes) == {"depth": 2, "width": 2, "dt": 2, "path": 40, "draw": 2, "rank": 6}
    limits = tree["extrapolated"].to_dataset()
    assert np.isfinite(limits.value.sel(scalar="trace")).all()
    assert np.isnan(limits.value.sel(scalar="ratio_middle", width=4)).all()  # no two gaps among the middle two
    assert np.isfinite(limits.value.sel(scalar="ratio_middle", width=6)).all()


def test_a_ladder_is_saved_and_opened(tmp_path):
    tree = ladder()
    xr.testing.assert_identical(dlnmc.open(dlnmc.save(tree, tmp_path / "ladder.nc")), tree)


def test_failed_paths_are_left_out_at_every_step():
    """Far out, coarse steps run away and fine ones do not: only the path that fails somewhere is not compared."""
    start = np.tile(np.linspace(0.5, 1.5, 6), (40, 1))
    start[5, 5] = 120.0
    tree = ladder(start=start, dt=[0.005, 0.04], failed_fraction=0.1, scheme="euler_maruyama")
    status = tree["sampler/status"].transpose("dt", "path").to_numpy()
    assert np.flatnonzero(status[0]).tolist() == []
    assert np.flatnonzero(status[1]).tolist() == [5]
    assert np.isfinite(tree["extrapolated/value"]).all()
