"""The study of matrix completion: where gradient flows end, what that is held against, what is refused."""

import copy
import json
import math
import tomllib

import numpy as np
import pytest

import dlnmc
from dlnmc import findings, studies, tables
from dlnmc.cli import main

SHIPPED = tomllib.loads((studies.folder() / "completion.toml").read_text(encoding="utf-8"))


def small(**changes):
    """The shipped study of fewer paths and depths, with changed sections."""
    found = copy.deepcopy(SHIPPED)
    found["model"]["depth"] = [2, 1]
    found["run"] |= {"paths": 200, "times": [0.0, 20.0, 100.0]}
    for section, values in changes.items():
        found[section] |= values
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("completion")


@pytest.fixture(scope="module")
def tree(folder):
    return dlnmc.study(small(), folder / "small.nc", threads=1, progress=False)


def changed(tree, change):
    """The result with `change` applied to the matrices (depth, path, time, row, column), in place."""
    new = tree.copy(deep=True)
    data = new["samples"].to_dataset().copy(deep=True)
    change(data["matrix"].transpose("depth", "path", "time", "row", "column"), data)
    new["samples"].dataset = data
    return new


def failing(tree):
    return [text for text, holds in findings.verdicts(tree) if not holds]


def test_the_shipped_study_is_that_of_the_paper():
    runs = [member.run for member in studies.load("completion").members()]
    assert [run.model.depth for run in runs] == [1.0, 2.0, 3.0, 8.0]
    assert {(run.paths, run.start, run.scheme, run.seed) for run in runs} == {(20000, "gaussian", "gradient_flow", 1)}
    W = np.array([[1.0, 7.0], [-3.0, 3.0]])
    assert {float(run.model.energy.value(W)) for run in runs} == {2.0}


def test_a_result_says_what_its_limits_say(tree):
    assert dict(tree["samples"].sizes) == {"depth": 2, "path": 200, "time": 3, "rank": 2, "row": 2, "column": 2}
    rows = findings.rows(tree)
    assert [row["depth"] for row in rows] == [2.0, 1.0]  # as in the file
    for row in rows:
        data = tree["samples"].to_dataset().sel(depth=row["depth"])
        W = data["matrix"].transpose("path", "time", "row", "column").to_numpy()[:, -1]
        assert (row["converged"], row["slow_paths"], row["failed_paths"]) == (1.0, 0, 0)
        assert row["converged_by_time"] == {"0": 0.0, "20": np.mean(data["energy"][:, 1] < 1e-10), "100": 1.0}
        det = 1.0 - W[:, 0, 1] * W[:, 1, 0]
        assert row["quantiles"]["det"] == pytest.approx(np.quantile(det, row["quantile_levels"]), abs=1e-6)
        assert row["quantiles"]["W_12"] == pytest.approx(np.quantile(W[:, 0, 1], row["quantile_levels"]))
        assert row["small_det"] == np.mean(np.abs(det) < 0.01)
        sigma = data["singular_values"].transpose("path", "time", "rank").to_numpy()[:, -1]
        p = sigma**2 / np.sum(sigma**2, axis=1, keepdims=True)
        assert row["effective_rank"] == pytest.approx(np.mean(np.exp(-np.sum(p * np.log(p), axis=1))), rel=1e-9)
    assert rows[1]["effective_rank"] > rows[0]["effective_rank"]  # depth makes ranks lower


def test_limits_of_rank_one_are_known_as_such(tree):
    a = np.geomspace(0.1, 10.0, 200)

    def make(matrices, data):
        matrices[:, :, -1] = np.moveaxis(np.array([[np.ones(200), a], [1.0 / a, np.ones(200)]]), -1, 0)
        data["singular_values"].transpose("depth", "path", "time", "rank")[:, :, -1, 1] = 0.0

    row = findings.rows(changed(tree, make))[0]
    assert row["rank_one"] == row["same_signs"] == row["positive_W_12"] == 1.0
    assert row["quantiles"]["log_a_of_rank_one"] == pytest.approx(np.quantile(np.log(a), row["quantile_levels"]))
    assert row["effective_rank"] == pytest.approx(1.0, abs=1e-6)


def test_all_that_is_known_holds_and_nothing_that_is_not(tree):
    """The controls are results that are wrong in one way each."""
    assert failing(tree) == []
    assert len(findings.verdicts(tree)) == 7 + 6

    def widened(matrices, data):  # 3 times as wide: at a distance of 0.23 from the law
        for i, j in ((0, 1), (1, 0)):
            matrices[:, :, :, i, j] *= 3.0

    def moved(matrices, data):
        matrices[:, :, -1, 0, 1] += 1e-6

    def crossed(matrices, data):
        of_two = matrices.sel(depth=2.0)
        sign = math.copysign(1.0, np.linalg.det(of_two[17, 0]))
        of_two[17, -1] = [[1.0, 0.1], [0.1, -sign]]

    def tilted(matrices, data):
        matrices[0, :, -1, 0, 1] = 1.0

    def grown(matrices, data):
        data["energy"][0, 3, 1] = data["energy"][0, 3, 0] + 1.0

    def slow(matrices, data):
        data["energy"][:, :40, -1] = 0.2

    def dead(matrices, data):
        matrices[...] = np.nan
        data["energy"][...] = np.nan

    def depth_one(text):
        return text.startswith("depth 1: ")

    assert any(map(depth_one, failing(changed(tree, moved))))
    assert any("N(0, 1/2)" in text for text in failing(changed(tree, widened)))
    assert any("changed its sign" in text for text in failing(changed(tree, crossed)))
    assert any("W_12 > 0" in text for text in failing(changed(tree, tilted)))
    assert any("grew" in text for text in failing(changed(tree, grown)))
    assert len(failing(changed(tree, dead))) == 2  # none converged at either depth
    assert any("40 slow ones up to 0.2" in text for text in failing(changed(tree, slow)))


def test_from_the_command_line(tree, folder, capsys):
    path = str(folder / "small.nc")
    for words in (["report", path], ["report", path, "--json"], ["check", path], ["plot", path]):
        main(words)
    text = capsys.readouterr().out
    assert "effective rank" in text
    assert "stationary" not in text
    assert "13 passed, 0 failed" in text
    assert (folder / "small.png").stat().st_size > 10_000
    rows = json.loads(tables.report_json(tree))
    assert [row["depth"] for row in rows] == [2.0, 1.0]
    assert dlnmc.study(small(), folder / "small.nc", progress=False).equals(tree)  # complete: nothing is computed
    one = dlnmc.study(small(model={"depth": 2}), folder / "one.nc", threads=1, progress=False)
    assert [row["depth"] for row in findings.rows(one)] == [2.0]
    dlnmc.plot(one)


@pytest.mark.parametrize(
    ("section", "values", "pieces"),
    [
        ("model", {"width": 3}, ("completion", "width = 2")),
        ("model", {"energy": "quadratic"}, ("width = 2", "entries")),
        ("model", {"beta": 3.0}, ("beta = 3", "beta = inf")),
        ("model", {"clock": ["paper", "depth"]}, ("depth only",)),
        ("run", {"start": "identity"}, ("run.start = 'identity'", "'gaussian'")),
        ("run", {"times": [1.0, 2.0]}, ("times begin at 0",)),
        ("run", {"keep_samples": False}, ("keeps samples",)),
        ("run", {"draws": 2}, ("draws",)),
        ("run", {"dt": [0.1, 0.2]}, ("dt",)),
        ("study", {"energy": -1.0}, ("energy", "-1")),
    ],
)
def test_what_it_cannot_use_is_refused(section, values, pieces, refused):
    refused(lambda: studies.load(small(**{section: values})).members(), *pieces)


def test_a_result_without_states_has_no_table(refused, tree):
    empty = tree.copy()
    del empty["samples"]
    refused(lambda: findings.rows(empty), "no group samples")


@pytest.mark.slow
def test_the_shipped_study_holds(tmp_path, record):
    found = dlnmc.study("completion", tmp_path / "completion.nc", progress=False)
    assert failing(found) == []
    keys = ("converged", "slow_paths", "rank_one", "small_det", "effective_rank", "effective_rank_error")
    record(**{f"depth {row['depth']:g}": {key: row[key] for key in keys} for row in findings.rows(found)})
