"""The table of a result, and what a result is held against."""

import copy
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kstest

import dlnmc
from dlnmc import findings, laws, studies, tables
from dlnmc.cli import main

INTERFACE = {
    "depth", "kappa", "ks", "ks_error", "trace_ratio", "trace_error", "spacing_ratio", "spacing_error",
    "edge", "edge_law",
}  # fmt: skip
WIDTH = 24
WORDS = {  # what is held against something, for each depth
    "paths": "paths failed", "accepted": "accepted no proposal", "stationarity": "early and late halves",
    "law of the trace": "from its Gamma law",
    "identities": "generator identities", "ks": "Kolmogorov distance", "trace": "of its exact mean",
    "spacing": "spacing ratio",
}  # fmt: skip
LIMITS = [0.022 * 64 / WIDTH, 0.016 * 64 / WIDTH]  # those of width 64: what finite width does is of order 1/d
NETWORK = {
    "name": "semicircle of width 24",
    "model": {"width": WIDTH, "depth": [1.0, 2.0], "beta": float(WIDTH)},
    "run": {"paths": 768, "draws": 2, "burn_in": 4.0, "duration": 2.0, "seed": 5},
    "study": {"law_kappa": 1.0, "ks": LIMITS, "spacing": 0.02},
}
DYSON = {
    "model": {"kind": "dyson", "size": 12, "beta": [3.0, 12.0], "kappa": 1.0},
    "run": {"paths": 64, "draws": 3, "burn_in": 0.5, "duration": 0.5},
}


def changed(tables_of_study, **sections):
    """A study with some keys of its sections replaced."""
    new = copy.deepcopy(tables_of_study)
    for section, values in sections.items():
        new.setdefault(section, {}).update(values)
    return new


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def network(folder):
    return dlnmc.study(NETWORK, folder / "network.nc", progress=False)


@pytest.fixture(scope="module")
def hotter(folder):
    return dlnmc.study(changed(NETWORK, model={"kappa": 1.1}), folder / "hotter.nc", progress=False)


@pytest.fixture(scope="module")
def dyson(folder):
    return dlnmc.study(DYSON, folder / "dyson.nc", progress=False)


def check(path, capsys):
    """The exit code of `dlnmc check` and the lines that it prints."""
    capsys.readouterr()
    try:
        main(["check", str(path)])
        code = 0
    except SystemExit as end:
        code = end.code
    return code, capsys.readouterr().out.splitlines()


# --- the table --------------------------------------------------------------------------------------------------------


def test_json_is_a_list_of_objects_with_the_keys_of_the_interface(network):
    rows = json.loads(tables.report_json(network))
    assert [row["depth"] for row in rows] == [1.0, 2.0]
    for row in rows:
        assert set(row) >= INTERFACE
        assert all(isinstance(row[key], float) for key in INTERFACE)
    assert rows == findings.rows(network)


@pytest.mark.parametrize("index", [0, 1])
def test_every_number_is_what_its_definition_says(network, index):
    row, depth = findings.rows(network)[index], float(index + 1)
    at = {"depth": index}
    samples = network["samples"]["singular_values"].isel(at).to_numpy()  # beta = d: laws are unscaled
    law = laws.singular_values(depth)
    assert row["ks"] == pytest.approx(kstest(samples.ravel(), law.cdf).statistic, abs=1e-12)
    assert 0.0 < row["ks_error"] < row["ks"]
    exact = laws.trace(dlnmc.DeepLinearNetwork(WIDTH, depth, float(WIDTH))).mean()
    trace = network["moments"]["trace"].isel(at).to_numpy() / exact
    assert row["trace_ratio"] == pytest.approx(np.mean(trace), rel=1e-12)
    assert row["trace_error"] == pytest.approx(np.std(trace, ddof=1) / math.sqrt(len(trace)), rel=1e-12)
    ratio = network["spacing"]["ratio_middle"].isel(at).to_numpy()
    assert row["spacing_ratio"] == pytest.approx(np.mean(ratio), rel=1e-12)
    assert row["spacing_error"] == pytest.approx(np.std(ratio, ddof=1) / math.sqrt(len(ratio)), rel=1e-12)
    assert row["edge"] == pytest.approx(float(network["extremes"]["largest"].isel(at).mean()), rel=1e-12)
    assert row["edge_law"] == law.support[1]
    assert (row["width"], row["beta"], row["kappa"], row["paths"]) == (WIDTH, float(WIDTH), 1.0, 768)
    assert (row["law_kappa"], row["failed_paths"]) == (1.0, 0)


def test_dyson_is_scaled_and_held_against_the_semicircle(dyson):
    rows = findings.rows(dyson)
    assert [row["beta"] for row in rows] == [3.0, 12.0]
    for index, row in enumerate(rows):
        scaled = dyson["samples"]["eigenvalues"].isel(beta=index).to_numpy() * math.sqrt(row["beta"] / 12)
        assert row["ks"] == pytest.approx(kstest(scaled.ravel(), laws.Semicircle(2.0).cdf).statistic, abs=1e-12)
        assert row["size"] == 12
        assert row["edge_law"] == 2.0
        assert 1.2 < row["edge"] < 2.2
        assert "depth" not in row


def test_the_text_is_an_aligned_table(network, dyson):
    for tree, first in ((network, "depth"), (dyson, "size")):
        head, stationary, empty, names, rule, *rows = tables.report(tree).splitlines()
        assert tree.attrs["title"] in head
        assert f"seed {tree.attrs['seed']}" in head
        assert re.fullmatch(r"stationary: (yes|NO), .*differ by at most \d\.\d\d standard errors .*", stationary)
        assert empty == ""
        assert names.split()[0] == first
        assert "accepted" in names
        assert len(rows) == 2
        assert {len(line) for line in (names, rule, *rows)} == {len(names)}
        assert set(rule) == {"-", " "}
        found = findings.rows(tree)
        for row, text in zip(found, rows, strict=True):
            assert f"{row['ks']:.4f} ± {row['ks_error']:.4f}" in text
            assert f"{row['trace_ratio']:.4f} ± {row['trace_error']:.4f}" in text
            assert f"  {row['acceptance']:.3f}  " in text


def test_stationarity_comes_first_and_is_that_of_the_worst_member(network):
    assert tables.report(network).splitlines()[1].startswith("stationary: yes, ")
    assert all(row["stationary"] for row in findings.rows(network))
    tree = network.copy(deep=True)
    data = tree["stationarity"].to_dataset().copy(deep=True)
    data["z"][1, 2], data["stationary"][1] = -9.87, 0
    tree["stationarity"].dataset = data
    line = tables.report(tree).splitlines()[1]
    assert line.startswith("stationary: NO, early and late halves differ by at most 9.87 standard errors")
    assert f"({float(data['threshold'][1]):.2f} are allowed)" in line


def test_what_is_not_known_is_null_in_json_and_a_dash_in_text(network_tree):
    models = [dlnmc.DeepLinearNetwork(width=width, depth=2.5, beta=3.0, kappa=1.3) for width in (3, 6)]
    settings = {"dt": 0.01, "burn_in": 0.1, "duration": 0.1, "keep_samples": False, "threads": 1}
    (row,) = json.loads(tables.report_json(dlnmc.equilibrium(models[0], paths=1, **settings)))
    assert [row[key] for key in ("ks", "ks_error", "spacing_ratio", "trace_error", "stationary")] == [None] * 5
    assert row["trace_ratio"] > 0.0
    text = tables.report(dlnmc.sweep(models, paths=9, **settings))
    assert [line.split().count("–") for line in text.splitlines()[-2:]] == [1, 0]  # no ratio of three values
    assert "nan" not in text
    assert "KS" not in text  # a column that is empty throughout
    text = tables.report(dlnmc.equilibrium(models[0], paths=1, **settings))
    assert "stationary: not known" in text
    assert "nan" not in text
    assert dlnmc.report(network_tree) == tables.report(network_tree)
    dropped = network_tree.drop_nodes("samples")
    assert findings.rows(dropped)[0]["ks"] is None


def test_a_sweep_without_a_study_has_a_table(grid):
    rows = json.loads(tables.report_json(grid))
    assert [(row["depth"], row["width"]) for row in rows] == [(1.0, 3), (1.0, 6), (2.5, 3), (2.5, 6)]
    for row in rows:
        member = grid["samples"]["singular_values"].sel(depth=row["depth"], width=row["width"]).to_numpy()
        known = member[np.isfinite(member)].reshape(9, -1) * math.sqrt(3.0 / row["width"])
        assert row["ks"] == pytest.approx(kstest(known.ravel(), laws.singular_values(row["depth"]).cdf).statistic)


def test_the_table_of_a_file_is_that_of_the_result(network, folder):
    assert tables.report_json(dlnmc.open(folder / "network.nc")) == tables.report_json(network)


# --- the check --------------------------------------------------------------------------------------------------------


def test_a_sound_result_passes(network, folder, capsys):
    """Trace: four standard errors, beside 0.003 for the step: false alarms below 6e-5 per depth; the seed is fixed."""
    code, lines = check(folder / "network.nc", capsys)
    assert code == 0, lines
    assert lines[-1] == f"{len(lines) - 1} passed, 0 failed"
    assert all(line.startswith("passed  depth ") for line in lines[:-1])
    for words in WORDS.values():
        assert sum(words in line for line in lines) == 2, words


def test_kappa_1_1_fails_against_the_laws_of_kappa_1(network, hotter, folder, capsys):
    """The trace is off by 0.1 at depth 1, 0.07 at depth 2, more than eight times what is allowed: power 1 − 1e-15."""
    for row in findings.rows(hotter):
        model = dlnmc.DeepLinearNetwork(WIDTH, row["depth"], float(WIDTH))
        off = laws.trace(model.changed(kappa=1.1)).mean() / laws.trace(model).mean()
        assert row["kappa"] == 1.1
        assert row["law_kappa"] == 1.0
        assert row["trace_ratio"] == pytest.approx(off, abs=0.003 + 5.0 * row["trace_error"])
        assert off - 1.0 > 0.003 + 12.0 * row["trace_error"]
    code, lines = check(folder / "hotter.nc", capsys)
    assert code == 3
    failed = [line for line in lines if line.startswith("FAILED")]
    for words in ("of its exact mean", "from its Gamma law", "generator identities"):
        assert sum(words in line and "kappa 1.1" in line for line in failed) == 2, words
    assert lines[-1] == f"{len(lines) - 1 - len(failed)} passed, {len(failed)} failed"
    assert [row["ks"] for row in findings.rows(hotter)] > [row["ks"] for row in findings.rows(network)]


DAMAGES = {  # group, variable, what is done to it, what is said to fail
    "status": ("sampler", "status", lambda v: np.where(np.arange(len(v)) == 7, 1, v), {"paths"}),
    "states": ("samples", "singular_values", lambda v: v * 1.2, {"ks", "law of the trace", "identities"}),
    "one rank": ("samples", "singular_values", lambda v: robbed(v), {"identities"}),
    "means": ("moments", "trace", lambda v: v * 1.03, {"trace"}),
    "ratios": ("spacing", "ratio_middle", lambda v: v * 1.06, {"spacing"}),
    "verdict": ("stationarity", "stationary", lambda v: 0 * v, {"stationarity"}),
}


def robbed(values):
    """States in which 2 % of the square of the largest value is given to the smallest: the trace is as it was."""
    squares = values**2
    squares[..., -1] += 0.02 * squares[..., 0]
    squares[..., 0] *= 0.98
    return np.sqrt(squares)


def damaged(tree, what):
    """A copy of a result in which one thing is wrong at depth 2."""
    tree = tree.copy(deep=True)
    group, name, change, _ = DAMAGES[what]
    data = tree[group].to_dataset()
    values = data[name].to_numpy().copy()
    at = data[name].dims.index("depth")
    view = np.moveaxis(values, at, 0)
    view[1] = change(view[1])
    tree[group].dataset = data.assign({name: data[name].copy(data=values)})
    return tree


@pytest.mark.parametrize("what", DAMAGES)
def test_what_is_wrong_is_named_and_nothing_else(what, network, tmp_path, capsys):
    dlnmc.save(damaged(network, what), tmp_path / "wrong.nc")
    code, lines = check(tmp_path / "wrong.nc", capsys)
    assert code == 3
    failed = [line for line in lines if line.startswith("FAILED")]
    assert {key for key, words in WORDS.items() if any(words in line for line in failed)} == DAMAGES[what][3]
    assert len(failed) == len(DAMAGES[what][3])
    assert all("depth 2," in line for line in failed)
    assert lines[-1] == f"{len(lines) - 1 - len(failed)} passed, {len(failed)} failed"
    if what == "status":
        assert "1 of 768 paths" in failed[0]


def test_every_member_of_any_sweep_is_checked_by_its_own_states(tmp_path):
    """Also of one in β or in the clock: what is wrong with one is not said of another."""
    tree = dlnmc.study(changed(DYSON, run={"burn_in": 8.0}), tmp_path / "a.nc", threads=2, progress=False)
    assert all(holds for _, holds in findings.verdicts(tree))
    for index in (0, 1):
        wrong = tree.copy(deep=True)
        data = wrong["samples"].to_dataset().copy(deep=True)
        data["eigenvalues"][index] *= 1.5
        wrong["samples"].dataset = data
        failed = findings.failed(findings.verdicts(wrong))
        assert len(failed) == 2
        assert all(f"beta {(3, 12)[index]}," in text for text in failed)


def test_numbers_that_are_nan_do_not_pass(network):
    for what, group, name in (("trace", "moments", "trace"), ("spacing", "spacing", "ratio_middle")):
        tree = network.copy(deep=True)
        data = tree[group].to_dataset()
        tree[group].dataset = data.assign({name: data[name] * np.nan})
        failed = findings.failed(findings.verdicts(tree))
        assert len(failed) == 2
        assert all(what in text for text in failed)


def test_without_kept_states_the_rest_is_checked(network):
    found = findings.verdicts(dropped_limits(network.drop_nodes("samples")))
    assert len(found) == len(findings.verdicts(network)) - 3 * 2  # the law of the trace, identities, distances
    assert all(holds for _, holds in found)


def dropped_limits(tree):
    """The result with a study that sets no limit on distances: they are of states."""
    config = json.loads(tree.attrs["config"])
    del config["study"]["ks"]
    tree.attrs = tree.attrs | {"config": json.dumps(config)}
    return tree


def test_limits_belong_to_the_members_in_the_order_of_the_study_file(tmp_path):
    """`ks = [a, b]` beside `depth = [2, 1]`: a is for depth 2."""
    study = {
        "model": {"width": 6, "depth": [2.0, 1.0], "beta": 6.0},
        "run": {"paths": 16, "dt": 0.01, "burn_in": 0.1, "duration": 0.1},
        "study": {"ks": [1.0, 1e-9], "trace": 9.0},
    }
    verdicts = findings.verdicts(dlnmc.study(study, tmp_path / "a.nc", threads=1, progress=False))
    (failed,) = [text for text in findings.failed(verdicts) if "Kolmogorov" in text]
    assert failed.startswith("depth 1,")
    each = len(verdicts) // 2
    assert [text[:7] for text, _ in verdicts] == ["depth 2"] * each + ["depth 1"] * each


def test_a_result_with_a_broken_configuration_is_refused_in_one_line(network, refused):
    for config in ("{", '{"study": {"kind": "circle"}}', '{"study": {"ks": "low"}}', '{"study": 3}'):
        tree = network.copy()
        tree.attrs = dict(network.attrs) | {"config": config}
        refused(lambda tree=tree: findings.rows(tree))


def test_the_committed_study_is_held_against_what_the_issue_states_or_less():
    settings = studies.load("semicircle").settings()
    assert np.all(np.array(settings.ks) <= [0.022, 0.016, 0.016, 0.016])
    assert settings.trace <= 0.003
    assert settings.spacing <= 0.006
    assert settings.law_kappa is None  # each member is held against the law of its own κ
    assert Path(studies.folder(), "semicircle.toml").is_file()


def test_a_table_and_its_json_hold_what_the_user_observes():
    model = dlnmc.DeepLinearNetwork(3, 2.0, 3.0)
    tree = dlnmc.equilibrium(model, paths=64, observables={"least": lambda s: s[0]}, seed=1)
    (row,) = json.loads(tables.report_json(tree))
    values = tree["observables/least"].to_numpy()
    assert row["observables"]["least"]["mean"] == pytest.approx(values.mean())
    assert row["observables"]["least"]["error"] == pytest.approx(values.std(ddof=1) / 8.0)
    text = tables.report(tree)
    assert "least" in text
    assert f"{values.mean():.4f} ± {values.std(ddof=1) / 8.0:.4f}" in text  # two digits of the error


def test_an_observable_without_values_hides_nothing():
    """What is not finite is left out of the verdict on stationarity, and of nothing else."""
    model = dlnmc.DeepLinearNetwork(4, 2.0, 4.0)
    settings = {"paths": 64, "scheme": "euler_maruyama", "burn_in": 0, "duration": 0.1, "start": [6.0, 7.0, 8.0, 9.0]}
    plain = dlnmc.equilibrium(model, **settings)
    empty = dlnmc.equilibrium(model, observables={"a": lambda s: s[0] * np.nan}, **settings)
    assert int(plain["stationarity/stationary"]) == int(empty["stationarity/stationary"]) == 0
    assert np.isnan(empty["stationarity/z"].sel(scalar="a"))
