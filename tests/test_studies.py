"""Studies: from a name, a file or a mapping to a result; continued, refused, started over, interrupted."""

import json
import subprocess
import sys
import tomllib

import numpy as np
import pytest
import xarray as xr
from commands import same_data

import dlnmc
from dlnmc import findings, simulation, studies
from dlnmc.simulation import member_seed

TABLES = {
    "model": {"width": 6, "depth": [1.0, 2.5], "beta": 6.0},
    "run": {
        "paths": 17, "dt": 0.01, "burn_in": 0.05, "duration": 0.12, "draws": 3, "observations": 6, "bins": 16,
        "seed": 9,
    },
    "study": {"title": "A tiny one", "ks": 0.9},
}  # fmt: skip
DYSON = {
    "model": {"kind": "dyson", "size": 4, "beta": 2.0},
    "run": {"paths": 9, "dt": 0.01, "burn_in": 0.05, "duration": 0.1},
}


def as_toml(tables):
    """The tables as the text of a TOML file."""
    lines = []
    for section, table in tables.items():
        lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    return "\n".join(lines)


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Function: run the tiny study with changes, in an empty folder, on one thread."""
    monkeypatch.chdir(tmp_path)

    def run(*changes, tables=TABLES, output="out.nc", threads=1, **options):
        return dlnmc.study(tables, output, changes=changes, threads=threads, progress=False, **options)

    return run


# --- where a study comes from -----------------------------------------------------------------------------------------


def test_a_mapping_a_file_and_a_name_are_the_same_study(tiny, tmp_path, monkeypatch):
    (tmp_path / "study.toml").write_text(as_toml(TABLES))
    mapping, file = tiny(output="mapping.nc"), tiny(tables="study.toml", output="file.nc")
    same_data(mapping, file)
    assert mapping.attrs["config"] == file.attrs["config"]
    monkeypatch.setattr(studies, "folder", lambda: tmp_path)
    assert studies.names() == ["study"]
    same_data(mapping, tiny(tables="study", output="name.nc"))


def test_the_stored_configuration_is_the_study_and_reproduces_it(tiny, tmp_path):
    changes = ("paths=9", "kappa=[0.5, 1.0]", "run.seed=18446744073709551615", "title=another", "study.trace=0.5")
    tree = tiny(*changes)
    config = json.loads(dlnmc.open("out.nc").attrs["config"])
    assert set(config) == {"name", "model", "run", "study"}
    assert config["run"] == TABLES["run"] | {"paths": 9, "seed": 2**64 - 1}
    assert config["model"] == TABLES["model"] | {"kappa": [0.5, 1.0]}
    again = dlnmc.study(config, tmp_path / "again.nc", threads=2, progress=False)
    same_data(tree, again)
    assert again.attrs["config"] == tree.attrs["config"]
    assert again.attrs["title"] == "another"


def test_what_is_returned_is_what_the_file_holds(tiny):
    xr.testing.assert_identical(tiny(), dlnmc.open("out.nc"))


def test_the_mapping_that_was_handed_over_is_left_alone(tiny):
    before = json.dumps(TABLES)
    tiny("paths=3", "trace=0.1")
    assert json.dumps(TABLES) == before


def test_results_go_below_results_by_default(tiny, tmp_path):
    tiny(output=None)
    tiny(output=None, tables=TABLES | {"name": "mine"})
    (tmp_path / "own.toml").write_text(as_toml(TABLES))
    tiny(output=None, tables=tmp_path / "own.toml")
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["mine.nc", "own.nc", "study.nc"]


def test_the_shipped_study_is_the_one_of_the_readme():
    text = (studies.folder() / "semicircle.toml").read_text(encoding="utf-8")
    plan = studies.load("semicircle")
    tables = tomllib.loads(text)
    assert {"model": plan.model, "run": plan.run, "study": plan.study, "presets": tables["presets"]} == tables
    models = [member.run.model for member in plan.members()]
    assert {model.depth for model in models} == {1.0, 2.0, 4.0, 8.0}
    assert {(model.width, model.beta) for model in models if model.kappa == 1.0} >= {(64, 64.0)}


# --- what is computed -------------------------------------------------------------------------------------------------


def test_every_member_is_an_equilibrium_of_its_own(tiny):
    tree = tiny("kappa=[0.5, 2.0]", "run.seed=7")
    assert dict(tree["samples"].sizes) == {"depth": 2, "kappa": 2, "path": 17, "draw": 3, "rank": 6}
    index = 0
    for depth in (1.0, 2.5):
        for kappa in (0.5, 2.0):  # lists are run through in the order of the file, the last fastest
            model = dlnmc.DeepLinearNetwork(6, depth, 6.0, kappa)
            alone = dlnmc.equilibrium(model, **TABLES["run"] | {"seed": member_seed(7, index)}, threads=1)
            at = {"depth": depth, "kappa": kappa}
            for group, name in (
                ("samples", "singular_values"),
                ("histogram", "counts"),
                ("moments", "moment"),
                ("spacing", "ratio_middle"),
                ("extremes", "largest"),
                ("sampler", "crossings"),
            ):
                expected, found = alone[group][name], tree[group][name].sel(at)
                assert found.dims == expected.dims
                assert found.to_numpy().tobytes() == expected.to_numpy().tobytes()
            index += 1


def test_a_list_need_not_ascend(tiny):
    up, down = tiny("kappa=[0.5, 2.0]", "depth=1.0"), tiny("kappa=[2.0, 0.5]", "depth=1.0", output="down.nc")
    assert down["samples"]["kappa"].to_numpy().tolist() == up["samples"]["kappa"].to_numpy().tolist() == [0.5, 2.0]
    seeds = [member.run.seed for member in studies.load(TABLES, ["kappa=[2.0, 0.5]", "depth=1.0"]).members()]
    assert seeds[0] == 9
    alone = dlnmc.equilibrium(dlnmc.DeepLinearNetwork(6, 1.0, 6.0, 2.0), **TABLES["run"], threads=1)
    found = down["samples"]["singular_values"].sel(kappa=2.0).to_numpy()
    assert found.tobytes() == alone["samples"]["singular_values"].to_numpy().tobytes()


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_change_no_bit(tiny, threads):
    one = tiny()
    other = tiny(output="other.nc", threads=threads)
    same_data(one, other)
    assert (one.attrs["threads"], other.attrs["threads"]) == (1, threads)


def test_dyson_has_eigenvalues(tiny):
    tree = tiny(tables=DYSON)
    assert tree["samples"]["eigenvalues"].dims == ("path", "draw", "component")
    assert np.all(np.diff(tree["samples"]["eigenvalues"].to_numpy(), axis=-1) > 0)
    assert tree.attrs["model"] == "dyson"
    assert findings.rows(tree)[0]["size"] == 4


def test_observations_at_the_draws_alone_average_the_draws(tiny):
    tree = tiny("observations=3", "depth=2.0")
    square = (tree["samples"]["singular_values"] ** 2).sum("rank").mean("draw")
    np.testing.assert_allclose(tree["moments"]["trace"], square, rtol=1e-12)
    assert int(tree["histogram"]["samples"].sum()) == 17 * 3 * 6
    assert int(tiny("observations=30", output="more.nc")["histogram"]["samples"].isel(depth=0).sum()) == 17 * 30 * 6


def test_starts_by_name(tiny):
    short = ["burn_in=0.0", "duration=1e-12", "dt=1e-12", "draws=1", "observations=1"]
    tree = tiny(*short, "start=law", "depth=2.0", "beta=24.0")
    quantiles = dlnmc.laws.singular_values(2.0).ppf((np.arange(6)[::-1] + 0.5) / 6) * 0.5  # √(d/β) = ½
    values = tree["samples"]["singular_values"].to_numpy()[:, 0]
    np.testing.assert_allclose(values, np.broadcast_to(quantiles, values.shape), atol=1e-4)
    zero = tiny(*short, "start=zero", tables=DYSON, output="zero.nc")
    assert np.max(np.abs(zero["samples"]["eigenvalues"])) < 1e-4
    assert np.min(np.abs(zero["samples"]["eigenvalues"])) > 0.0


def test_common_noise_is_common_and_other_noise_is_not(tiny):
    """Under common noise x·√β is the same for every β; no tolerance but rounding."""
    changes = ["beta=[2.0, 8.0]", "scheme=euler_maruyama"]
    common = tiny(*changes, "common_noise=true", tables=DYSON)["samples"]["eigenvalues"].to_numpy()
    np.testing.assert_allclose(common[0], 2.0 * common[1], rtol=1e-9, atol=1e-9)
    own = tiny(*changes, tables=DYSON, output="own.nc")["samples"]["eigenvalues"].to_numpy()
    assert own[0].tobytes() == common[0].tobytes()
    assert np.all(np.max(np.abs(own[0] - 2.0 * own[1]), axis=(1, 2)) > 1e-3)
    seeds = {member.run.seed for member in studies.load(DYSON, [*changes, "common_noise=true", "seed=5"]).members()}
    assert seeds == {5}


@pytest.mark.parametrize(
    ("change", "section", "key", "value"),
    [
        ("kappa=0.5", "model", "kappa", 0.5),
        ("model.kappa=0.5", "model", "kappa", 0.5),
        (" kappa = 0.5 ", "model", "kappa", 0.5),
        ("depth=[1, 2]", "model", "depth", [1, 2]),
        ("energy=quadratic", "model", "energy", "quadratic"),
        ('energy="quadratic"', "model", "energy", "quadratic"),
        ("scheme=milstein", "run", "scheme", "milstein"),
        ("run.keep_samples=false", "run", "keep_samples", False),
        ("seed=0x10", "run", "seed", 16),
        ("paths=1_000", "run", "paths", 1000),
        ("ks=[0.1, 0.2]", "study", "ks", [0.1, 0.2]),
        ("title=a = b", "study", "title", "a = b"),
        ("title=two words", "study", "title", "two words"),
        ("title=", "study", "title", ""),
        ("kind=dyson", "model", "kind", "dyson"),
        ("study.kind=semicircle", "study", "kind", "semicircle"),
    ],
)
def test_a_change_replaces_one_setting(change, section, key, value):
    plan = studies.load(TABLES, [change])
    tables = {"model": plan.model, "run": plan.run, "study": plan.study}
    assert tables == TABLES | {section: TABLES[section] | {key: value}}


def test_of_two_changes_the_last_counts_and_a_section_need_not_exist():
    assert studies.load(TABLES, ["kappa=0.5", "kappa=2.0"]).model["kappa"] == 2.0
    plan = studies.load({"model": TABLES["model"]}, ["paths=8", "trace=0.1"])
    assert (plan.run, plan.study) == ({"paths": 8}, {"trace": 0.1})


def test_options_of_the_command_line_reach_the_result(tmp_path):
    (tmp_path / "own.toml").write_text(as_toml(TABLES))
    options = ["--paths", "5", "--seed", str(2**64 - 1), "--threads", "1", "--set", "kappa=[1.0, 0.5]", "--quiet"]
    line = [sys.executable, "-m", "dlnmc", "study", "own.toml", *options]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "results/own.nc: complete\n", "")
    tree = dlnmc.open(tmp_path / "results/own.nc")
    assert dict(tree["samples"].sizes) == {"depth": 2, "kappa": 2, "path": 5, "draw": 3, "rank": 6}
    assert (int(tree.attrs["seed"]), tree.attrs["threads"]) == (2**64 - 1, 1)


# --- the same line again ----------------------------------------------------------------------------------------------


def test_a_complete_result_is_not_computed_again(tiny, nothing_is_computed, tmp_path):
    first = tiny()
    before = (tmp_path / "out.nc").read_bytes()
    nothing_is_computed()
    xr.testing.assert_identical(tiny(), first)
    xr.testing.assert_identical(tiny(threads=3), first)
    assert (tmp_path / "out.nc").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out.nc"]


@pytest.mark.parametrize(
    "change", ["seed=10", "paths=18", "kappa=1.01", "depth=[2.5, 1.0]", "common_noise=true", "bins=8"]
)
def test_other_settings_are_refused_and_the_result_stays(change, tiny, nothing_is_computed, tmp_path, refused):
    tiny()
    before = (tmp_path / "out.nc").read_bytes()
    nothing_is_computed()
    refused(lambda: tiny(change), "out.nc", "other settings", "--fresh")
    assert (tmp_path / "out.nc").read_bytes() == before


@pytest.mark.parametrize("change", ["ks=0.5", "title=another", "law_kappa=0.5"])
def test_other_thresholds_are_not_silently_ignored(change, tiny, nothing_is_computed):
    """They do not change the runs: either they are refused, or they are the ones that the result is held against."""
    tiny()
    nothing_is_computed()
    try:
        tiny(change)
    except dlnmc.InvalidValue:
        return
    key, _, text = change.partition("=")
    assert str(json.loads(dlnmc.open("out.nc").attrs["config"])["study"][key]) == text


def test_fresh_starts_over(tiny, tmp_path):
    tiny()
    other = tiny("seed=10", fresh=True)
    assert int(dlnmc.open("out.nc").attrs["seed"]) == 10
    xr.testing.assert_identical(dlnmc.open("out.nc"), other)
    same_data(tiny("seed=9", fresh=True), tiny(output="reference.nc"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.nc", "reference.nc"]


def test_a_file_that_is_no_result_is_never_overwritten(tiny, tmp_path, refused):
    (tmp_path / "out.nc").write_text("precious")
    refused(lambda: tiny(), "out.nc")
    assert (tmp_path / "out.nc").read_text() == "precious"


def test_finished_chunks_are_used_and_those_of_other_settings_refused(tiny, tmp_path, monkeypatch, refused):
    reference = tiny(output="reference.nc")
    original, handed = simulation.compute, []

    def interrupted(pool, tasks, finished, tick):
        original(pool, list(tasks)[:1], finished, tick)
        raise KeyboardInterrupt

    monkeypatch.setattr(simulation, "compute", interrupted)
    refused(lambda: tiny(), "1 of 2 chunks", "out.parts", "continues", error=dlnmc.Interrupted)
    assert not (tmp_path / "out.nc").exists()
    refused(lambda: tiny("seed=10"), "out.parts", "seed", "--fresh")

    def counted(pool, tasks, *rest):
        handed.extend(tasks)
        original(pool, handed, *rest)

    monkeypatch.setattr(simulation, "compute", counted)
    same_data(tiny(), reference)
    assert len(handed) == 1
    assert not (tmp_path / "out.parts").exists()


def test_a_path_that_fails_stops_the_study(tiny, tmp_path, refused):
    changes = ["dt=10.0", "duration=1000.0", "depth=4.0", "scheme=euler_maruyama"]
    refused(lambda: tiny(*changes), "non-finite", "dt = 10", error=dlnmc.RunFailed)
    assert not (tmp_path / "out.nc").exists()


def test_a_result_of_other_kernels_is_not_taken_for_complete(tiny, refused):
    tree = tiny()
    identity = json.loads(tree.attrs["identity"]) | {"kernels": "0" * 64}
    tree.attrs["identity"] = json.dumps(identity)
    dlnmc.save(tree, "out.nc")
    refused(tiny, "other settings", "kernels", "--fresh")


def test_starting_over_leaves_folders_of_others_alone(tiny, tmp_path):
    (tmp_path / "out.parts").mkdir()
    (tmp_path / "out.parts" / "thesis.txt").write_text("mine")
    tiny(fresh=True)
    assert (tmp_path / "out.parts" / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("[model]\nwidth = 4\nbeta = two\n", ("line 3", "'beta = two'")),
        ("[model]\nwidth = [4\n", ("(at end of document)",)),
    ],
)
def test_a_file_that_is_no_toml_is_told_with_its_line(text, pieces, tmp_path, refused):
    path = tmp_path / "own.toml"
    path.write_text(text)
    refused(lambda: studies.load(path), str(path), *pieces)


def test_a_name_that_is_nearly_right_is_asked_about(refused):
    refused(lambda: studies.load("semicircel"), "semicircel: neither", "did you mean 'semicircle'?", "large-n")
    with pytest.raises(dlnmc.InvalidValue) as caught:
        studies.load("quite-another")
    assert "did you mean" not in str(caught.value)
