"""The study of matrix completion: limits of flows, the RLE, larger matrices; what they are held against."""

import math
import re

import numpy as np
import pytest
import xarray as xr
from small_studies import overlaid, shipped, within

import dlnmc
from dlnmc import findings, studies
from dlnmc.cli import main
from dlnmc.studies import matrix_completion

MATRICES = studies.folder().parent / "matrices"
SHIPPED = shipped("matrix-completion")
MASKS = ("few", "many", "digit")
SMALL = overlaid(
    SHIPPED,
    within("flow", "model", {"depth": [2, 1]}),
    within("flow", "run", {"paths": 200, "times": [0.0, 20.0, 100.0]}),
    within("langevin", "model", {"depth": [1, 2], "beta": 32.0, "kappa": 0.25}),
    within("langevin", "run", {"paths": 400, "times": [0.0, 1.0, 12.0], "dt": 0.005}),
    within("coarse", "model", {"depth": 2, "beta": 32.0, "kappa": 0.25}),
    within("coarse", "run", {"paths": 400, "times": [0.0, 12.0], "dt": 0.01}),
    *(within(part, "model", {"depth": [1, 2]}) for part in MASKS),
    *(within(part, "run", {"paths": 16, "times": [0.0, 0.1, 10.24]}) for part in MASKS),
    {"study": {"fitted": 1e-4}},  # it is not waited as long
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("completion")


@pytest.fixture(scope="module")
def tree(folder):
    return dlnmc.study(SMALL, folder / "small.nc", threads=2, progress=False)


def changed(tree, change, part="flow"):
    """The result with `change` applied to the matrices (…, path, time, row, column) of a part, in place."""
    new = tree.copy(deep=True)
    data = new[f"{part}/samples"].to_dataset().copy(deep=True)
    change(data["matrix"].transpose(..., "path", "time", "row", "column"), data)
    new[f"{part}/samples"].dataset = data
    return new


def failing(tree):
    return findings.failed(findings.verdicts(tree))


def entries_of(part):
    """The matrix (8, 8) of a part: what is given and what is hidden, NaN where neither is."""
    found = np.full((8, 8), np.nan)
    hidden = SHIPPED["study"]["hidden"][part]
    for i, j, value in (*SHIPPED["parts"][part]["model"]["energy"]["entries"], *hidden):
        assert np.isnan(found[i, j])
        found[i, j] = value
    return found, hidden


def test_the_shipped_study_is_that_of_the_paper():
    parts = studies.load("matrix-completion").members_of_parts()
    runs = [member.run for member in parts["flow"]]
    assert [run.model.depth for run in runs] == [1.0, 2.0, 3.0, 8.0]
    assert {(run.start, run.scheme) for run in runs} == {("gaussian", "gradient_flow")}
    W = np.array([[1.0, 7.0], [-3.0, 3.0]])
    assert {float(member.run.model.energy.value(W)) for name in ("flow", "langevin") for member in parts[name]} == {2.0}


def test_its_matrices_are_those_of_the_data():
    """An 8 x 8 matrix of rank two, of which two different halves are hidden, and a digit."""
    digit = np.loadtxt(MATRICES / "digit.csv", delimiter=",")
    two = np.loadtxt(MATRICES / "rank-two.csv", delimiter=",")
    assert np.linalg.matrix_rank(two) == 2
    assert digit.min() == 0
    assert digit.max() == 15
    for part, wanted, hidden in (("few", two, 32), ("many", two, 16), ("digit", digit, 16)):
        found, without = entries_of(part)
        assert np.array_equal(found, wanted)
        assert len(without) == hidden


def test_a_result_says_what_its_limits_say(tree):
    flow = tree["flow"]
    assert dict(flow["samples"].sizes) == {"depth": 2, "path": 200, "time": 3, "rank": 2, "row": 2, "column": 2}
    rows = {row["depth"]: row for row in findings.rows(tree)}
    for row in rows.values():
        data = flow["samples"].to_dataset().sel(depth=row["depth"])
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
    assert rows[1]["effective_rank"] > rows[2]["effective_rank"]  # depth makes ranks lower


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
    flow = [text for text, _ in findings.verdicts(tree) if text.startswith("flow, ")]
    assert len(flow) == 7 + 6

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

    def lopsided(matrices, data):
        matrices[:, :, -1, 1, 0] *= 0.5

    def depth_one(text):
        return text.startswith("flow, depth 1: ")

    assert any(map(depth_one, failing(changed(tree, moved))))
    assert any("N(0, 1/2)" in text for text in failing(changed(tree, widened)))
    assert any("changed its sign" in text for text in failing(changed(tree, crossed)))
    assert any("W_12 > 0" in text for text in failing(changed(tree, tilted)))
    assert any("grew" in text for text in failing(changed(tree, grown)))
    assert any("|W_12| > |W_21|" in text for text in failing(changed(tree, lopsided)))
    assert len(failing(changed(tree, dead))) == 2  # none converged at either depth
    assert any("40 slow ones up to 0.2" in text for text in failing(changed(tree, slow)))


def test_what_is_known_of_noise_and_of_masks_tells_wrong_ones(tree):
    """The controls are results that are wrong in one way each: noise too strong, entries that moved, nothing learnt."""

    def louder(matrices, data):
        matrices -= xr.DataArray(np.eye(2), dims=("row", "column"))
        matrices *= 3.0
        matrices += xr.DataArray(np.eye(2), dims=("row", "column"))

    def crossed(matrices, data):
        matrices[1, 3, -1, 0, :] *= -1.0

    def tilted(matrices, data):
        matrices[1, :, -1, 0, 1] = 1.0

    def lopsided(matrices, data):
        matrices[1, :, -1, 1, 0] *= 0.5

    def farther(matrices, data):
        matrices *= 1.5

    def straightened(matrices, data):
        matrices[..., 0, 1] *= 0.01

    failed = failing(changed(tree, louder, "langevin"))
    for words in (
        "depth 1, beta 32, kappa 0.25: entries not given",
        "depth 1, beta 32, kappa 0.25: given",
        "mean energy",
    ):
        assert any(words in text for text in failed), words
    assert any("det W of 1 paths" in text for text in failing(changed(tree, crossed, "langevin")))
    for tilt, words in ((tilted, "W_12 > 0"), (lopsided, "|W_12| > |W_21|")):
        found = failing(changed(tree, tilt, "langevin"))
        assert any(text.startswith("langevin, depth 2") and words in text for text in found), words
    for change, words in (
        (farther, "E W_12^2"),
        (farther, "mean energy"),
        (straightened, "mean effective rank"),
    ):
        assert any(text.startswith("coarse") and words in text for text in failing(changed(tree, change, "coarse"))), (
            words
        )
    for part in MASKS:
        i, j, _ = SHIPPED["study"]["hidden"][part][0]

        def moved(matrices, data, i=i, j=j):
            matrices[0, 5, -1, i, j] += 1e-6

        def unlearnt(matrices, data):
            matrices[1, :, -1] = matrices[1, :, 0]

        def wandering(matrices, data, part=part):
            for k, (i, j, _) in enumerate(SHIPPED["study"]["hidden"][part]):
                matrices[1, :, -1, i, j] = 20.0 * np.random.default_rng(k).standard_cauchy(matrices.sizes["path"])

        def grown(matrices, data):
            matrices[0, 2, -1] = 2.0 * matrices[0, 2, 0]

        assert any("from the exact" in text for text in failing(changed(tree, moved, part)))
        assert any(f"{part}, depth 1: the energy of 1 paths" in text for text in failing(changed(tree, grown, part)))
        failed = failing(changed(tree, unlearnt, part))
        assert any(f"{part}, depth 2: hidden entries" in text for text in failed)
        assert any(f"{part}, depth 2: hidden entries" in text for text in failing(changed(tree, wandering, part)))
        assert any("of the energy is left" in text for text in failed)


@pytest.mark.parametrize("part", ["flow", "langevin", "coarse", *MASKS])
def test_a_path_that_fails_is_told(tree, part):
    broken = tree.copy(deep=True)
    broken[f"{part}/sampler/status"][..., 0] = 1
    assert any(text.startswith(part) and "paths failed" in text for text in failing(broken))


def test_what_is_not_known_says_so(tree):
    """Short times, and few paths of masks."""
    early, few = tree.copy(deep=True), tree.copy(deep=True)
    times = early["langevin/samples"].to_dataset()
    early["langevin/samples"].dataset = times.assign_coords(time=times["time"] / 2.0)
    samples = few["few/samples"].to_dataset()
    few["few/samples"].dataset = samples.isel(path=slice(0, 2))
    few["few/samples/matrix"][{"path": 0, "time": 0}] *= 9.0  # so far apart
    samples = few["coarse/samples"].to_dataset()
    few["coarse/samples"].dataset = samples.isel(path=slice(0, 2))
    unknown = [[text for text, holds in findings.verdicts(each) if holds is None] for each in (tree, early, few)]
    assert unknown[0] == []
    assert any("too short for the energy" in text for text in unknown[1])
    assert any(text.startswith("few, depth 2: 2 paths are too few") for text in unknown[2])
    assert any(text.startswith("coarse") and "2 paths are too few to tell what steps do" in text for text in unknown[2])


def test_the_error_of_hidden_entries_is_theirs_alone():
    matrix, there = np.arange(4.0).reshape(2, 2), np.array([[False, True], [False, True]])
    W = np.array([[9.0, 1.0], [9.0, 3.0]])
    assert matrix_completion.distance_of_hidden(W, matrix, there) == 0.0
    assert matrix_completion.distance_of_hidden(0.0 * W, matrix, there) == 1.0
    assert matrix_completion.effective_rank_of(np.array([2.0, 2.0, 0.0])) == pytest.approx(2.0)


def test_depth_comes_nearer_to_what_is_hidden(tree):
    tables = findings.tables(tree)
    for part in MASKS:
        one, two = (row for row in tables["masks"] if row["part"] == part)
        assert one["hidden"] == pytest.approx(1.0, abs=0.05)
        assert two["hidden"] < 0.9
        last = [row for row in tables["learning"] if (row["part"], row["depth"]) == (part, 2.0)][-1]
        assert last["hidden"] == two["hidden"]
        assert last["effective_rank"] == pytest.approx(two["effective_rank"])


def test_from_the_command_line(tree, folder, capsys):
    path = str(folder / "small.nc")
    for words in (["report", path], ["report", path, "--json"], ["check", path]):
        main(words)
    for name in ("limits", "learning", "langevin"):
        main(["plot", path, "--picture", name, "-o", str(folder / f"{name}.png")])
        assert (folder / f"{name}.png").stat().st_size > 10_000
    text = capsys.readouterr().out
    assert "effective rank" in text
    assert "stationary" not in text
    assert re.search(r"\d+ passed, 0 failed", text)
    assert dlnmc.study(SMALL, folder / "small.nc", progress=False).equals(tree)  # complete: nothing is computed


@pytest.mark.parametrize(
    ("part", "section", "values", "pieces"),
    [
        ("flow", "model", {"width": 3}, ("parts.flow", "width = 2")),
        ("flow", "model", {"energy": "quadratic"}, ("width = 2", "entries")),
        ("flow", "model", {"beta": 3.0}, ("beta = 3", "beta = inf")),
        ("flow", "model", {"clock": ["paper", "depth"]}, ("depth only",)),
        ("flow", "run", {"start": "identity"}, ("run.start = 'identity'", "'gaussian'")),
        ("flow", "run", {"times": [1.0, 2.0]}, ("times begin at 0",)),
        ("flow", "run", {"keep_samples": False}, ("keeps samples",)),
        ("flow", "run", {"draws": 2}, ("draws",)),
        ("flow", "run", {"dt": [0.1, 0.2]}, ("dt",)),
        ("langevin", "model", {"kappa": 0.0}, ("parts.langevin", "kappa = 0", "kappa > 0")),
        ("langevin", "run", {"times": [1.0]}, ("times begin at 0",)),
        ("langevin", "model", {"clock": "depth"}, ("parts.langevin.model.clock = 'depth'", "'paper'")),
        ("coarse", "model", {"beta": 64.0}, ("parts.coarse", "beta 64", "langevin")),
        ("coarse", "run", {"times": [0.0, 5.0]}, ("parts.coarse.run", "times to 5", "to 12")),
        ("coarse", "run", {"dt": 0.006}, ("parts.coarse.run", "dt = 0.006", "0.01 or more")),
        (
            "",
            "study",
            {"hidden": {part: [[i, j, 0.0] for i, j, _ in SHIPPED["study"]["hidden"][part]] for part in MASKS}},
            ("study.hidden.few", "all 32 are 0"),
        ),
        ("many", "model", {"energy": "quadratic"}, ("parts.many", "'matrix_completion'")),
        ("many", "model", {"width": 9}, ("study.hidden.many", "48 given", "all 81")),
        ("digit", "model", {"beta": 2.0}, ("parts.digit", "beta = 2")),
        ("few", "run", {"paths": 1}, ("parts.few.run.paths = 1", "2 or more")),
        ("", "study", {"energy": -1.0}, ("energy", "-1")),
        ("", "study", {"hidden": {"few": [[0, 1]]}}, ("hidden.few.0.2", "missing")),
    ],
)
def test_what_it_cannot_use_is_refused(part, section, values, pieces, refused):
    refused(lambda: studies.load(overlaid(SMALL, within(part, section, values))).members(), *pieces)


def test_hidden_entries_are_asked_for(refused):
    tables = SMALL | {"study": SMALL["study"] | {"hidden": {}}}
    refused(lambda: studies.load(tables).members(), "study.hidden.few", "32 given", "its 0", "all 64")


@pytest.mark.parametrize("key", ["flow.run.paths", "parts.flow.run.paths"])
def test_one_part_is_changed_by_its_name_in_the_file(key):
    parts = studies.load("matrix-completion", [f"{key}=64"]).parts
    assert parts["flow"].run["paths"] == 64
    assert parts["few"].run["paths"] == SHIPPED["parts"]["few"]["run"]["paths"]


def test_a_result_of_which_no_path_is_alive_says_so(refused, tree):
    def dead(matrices, data):
        matrices[0] = np.nan

    refused(lambda: findings.tables(changed(tree, dead, "few")), "none of 16 paths is alive")


def test_a_result_without_states_has_no_table(refused, tree):
    empty = tree.copy()
    del empty["flow"]["samples"]
    refused(lambda: findings.rows(empty), "no group flow/samples")


def test_steps_that_are_too_long_are_told(tmp_path):
    """The control is a run with such steps."""
    tables = overlaid(SMALL, within("coarse", "run", {"dt": 0.4}))
    tree = dlnmc.study(tables, tmp_path / "small.nc", threads=2, progress=False)
    assert any(text.startswith("coarse") and "mean energy" in text and "steps of 0.4" in text for text in failing(tree))
