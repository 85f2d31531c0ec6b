"""A finished result that is continued is that of one longer run, to the bit; what cannot be is refused in one line."""

import json
import os
import shutil
import signal
import subprocess
import sys
from typing import ClassVar, Literal

import numpy as np
import pytest
import xarray as xr

import dlnmc
from dlnmc import chunks, dataset, extension, findings, runs, simulation, studies
from dlnmc.chunks import Chunk, Collected, Continued, carried_shapes, plan_chunks, run_chunk, schedule
from dlnmc.cli import main
from dlnmc.config import Simulation
from dlnmc.locks import Share
from dlnmc.studies.base import Kind

TABLES = {
    "model": {"width": 5, "depth": [1.0, 2.5], "beta": 6.0},
    "run": {
        "paths": 13, "dt": 0.01, "burn_in": 0.05, "duration": 0.12, "draws": 3, "observations": 6, "bins": 16,
        "seed": 9, "scheme": "euler_maruyama",
    },
}  # fmt: skip
DYSON = TABLES | {"model": {"kind": "dyson", "size": 4, "beta": 2.0}}
FLOW = {
    "model": {
        "width": 2, "depth": [1.0, 2.0], "beta": float("inf"), "kappa": 0.0,
        "energy": {"kind": "matrix_completion", "entries": [[0, 0, 1.0], [1, 1, 1.0]]},
    },
    "run": {
        "paths": 13, "times": [0.0, 0.25, 0.5], "scheme": "gradient_flow", "state": "matrix", "start": "gaussian",
        "bins": 8,
    },
    "study": {"kind": "flows"},
}  # fmt: skip


class Flows(Kind):
    """A study of one part, which is of states at given times; those that are shipped have several parts."""

    PARTS: ClassVar = {"": Simulation}

    kind: Literal["flows"] = "flows"
    title: str = "Flows"


@pytest.fixture(autouse=True)
def _known(monkeypatch):
    monkeypatch.setitem(studies.KINDS, "flows", Flows)


AVERAGES = ("moments", "extremes", "spacing", "observables", "stationarity", "extrapolated", "continuation")


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Function: run a tiny study, with changes, to a file in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def make(*changes, tables=TABLES, output="out.nc", **options):
        return dlnmc.study(tables, output, changes=changes, threads=1, progress=False, **options)

    return make


def extended(output=None, source="out.nc", **settings):
    return dlnmc.extend(source, output, threads=1, progress=False, **settings)


def at_once(finished, **settings):
    """The result of the longer run, computed from its start."""
    _, members = extension.planned(finished, settings)
    members = extension.at_once(members)
    results, circumstances = simulation.execute(members, threads=1, progress=False)
    return dataset.sweep_tree(members, results, circumstances)


def agree(found, expected):
    """Assert that results agree: averages over time to rounding, all else to the bit."""
    names = {node.path for node in found.subtree if "continuation" not in node.path}
    assert names == {node.path for node in expected.subtree if "continuation" not in node.path}
    for path in names:
        one, other = (tree[path].to_dataset(inherit=False) for tree in (found, expected))
        assert set(one.variables) == set(other.variables)
        for name in one.variables:
            x, y = one[name].to_numpy(), other[name].to_numpy()
            assert (x.dtype, x.shape, one[name].dims) == (y.dtype, y.shape, other[name].dims), name
            if x.dtype.kind in "OUT":
                assert x.tolist() == y.tolist()
            elif path.split("/")[1] in AVERAGES and x.dtype.kind == "f":
                scale = np.max(np.abs(y), initial=0.0, where=np.isfinite(y)) if path == "/stationarity" else 0.0
                np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-12 * scale, err_msg=name)
            else:
                assert x.tobytes() == y.tobytes(), (path, name)


# --- as if it had run at once -----------------------------------------------------------------------------------------

EQUILIBRIA = {
    "euler": (TABLES, []),
    "hmc": (TABLES, ["scheme=hmc", "dt=0.04", "leaps=3"]),
    "mala": (TABLES, ["scheme=mala"]),
    "leimkuhler_matthews": (TABLES, ["scheme=leimkuhler_matthews"]),
    "milstein": (TABLES, ["scheme=milstein", "coordinates=sigma", "depth=1.0"]),
    "observables": (TABLES, ["observables=['sum_of_values', 'largest_gap']"]),
    "matrix": (TABLES, ["state=matrix", "width=3"]),
    "network": (TABLES, ["state=network", "width=2", "depth=[2.0, 3.0]"]),
    "hermitian": (DYSON, ["state=hermitian", "size=3"]),
    "from 0": (DYSON, ["start=zero", "burn_in=0.0"]),
    "widths": (TABLES, ["width=[3, 5]"]),
    "ladder": (TABLES, ["dt=[0.01, 0.02]", "depth=2.0", "burn_in=0.04"]),
    "nothing kept": (TABLES, ["keep_samples=false", "depth=2.0"]),
    "one draw": (TABLES, ["draws=1", "observations=1", "depth=2.0"]),
    "common noise": (TABLES, ["common_noise=true"]),
}


@pytest.mark.parametrize("name", EQUILIBRIA)
@pytest.mark.parametrize(
    ("paths", "times"),
    [
        pytest.param(22, 1, id="paths", marks=pytest.mark.slow),
        pytest.param(13, 2, id="draws", marks=pytest.mark.slow),
        pytest.param(24, 3, id="both"),
    ],
)
def test_more_paths_and_draws_are_those_of_one_longer_run(made, name, paths, times):
    tables, changes = EQUILIBRIA[name]
    finished = made(*changes, tables=tables)
    draws = json.loads(finished.attrs["config"])["run"]["draws"] * times
    expected = at_once(finished, paths=paths, draws=draws)
    found = extended(paths=paths, draws=draws)
    agree(found, expected)
    xr.testing.assert_identical(dlnmc.open("out.nc"), found)
    assert dict(found["sampler"].sizes)["path"] == paths
    if "samples" in found.children:
        assert found["samples"].sizes["draw"] == draws


@pytest.mark.parametrize(
    ("paths", "times"), [(22, [0.0, 0.25, 0.5]), (13, [0.0, 0.25, 0.5, 0.6]), (20, [0.0, 0.25, 0.5, 1.0, 1.25])]
)
def test_more_paths_and_times_of_a_flow_are_those_of_one_longer_run(made, paths, times):
    finished = made(tables=FLOW)
    expected = at_once(finished, paths=paths, times=times)
    found = extended(paths=paths, times=times)
    agree(found, expected)
    assert found["samples"]["energy"].shape == (2, paths, len(times))
    assert np.isfinite(found["samples"]["free_energy"]).all()


@pytest.mark.parametrize("old", [1, 8, 16, 21])
@pytest.mark.parametrize("new", [1, 22, 24, 64])
def test_any_numbers_of_paths_fit_together(made, old, new):
    if new < old:
        return
    finished = made("depth=2.0", f"paths={old}")
    agree(extended(paths=new, draws=6), at_once(finished, paths=new, draws=6))


def test_batches_of_more_paths_are_unions_of_whole_ones(made):
    finished = made("depth=2.0", "width=2", "paths=520")  # 65 blocks, 33 batches
    assert finished["histogram"].sizes["batch"] == 33
    expected = at_once(finished, paths=1605, draws=6)
    found = extended(paths=1605, draws=6)
    agree(found, expected)
    assert found["histogram"].sizes["batch"] == 51


@pytest.mark.parametrize("blocks", [1, 2])
def test_chunks_and_threads_change_no_bit(made, monkeypatch, small_chunks, blocks):
    finished = made()
    expected = extended("one.nc", paths=30, draws=6)
    small_chunks(monkeypatch, blocks)
    _, members = extension.planned(finished, {"paths": 30, "draws": 6})
    plan = plan_chunks(members)
    assert len(plan) > 6
    assert len(set(plan)) == len(plan)
    found = dlnmc.extend("out.nc", "two.nc", paths=30, draws=6, threads=2, progress=False)
    for node in expected.subtree:
        xr.testing.assert_identical(
            node.to_dataset(inherit=False).drop_attrs(), found[node.path].to_dataset(inherit=False).drop_attrs()
        )


@pytest.mark.filterwarnings("ignore:overflow")  # values just before they become non-finite
def test_what_failed_stays_failed_and_what_fails_later_is_left_out_everywhere(made):
    """Steps so large that some paths fail before the old end, some after it, and some of the new ones."""
    changes = [
        "depth=4.0",
        "dt=0.3",
        "burn_in=0.6",
        "duration=2.7",
        "draws=3",
        "observations=9",
        "failed_fraction=0.99",
    ]
    finished = made(*changes, "paths=45")
    before = int(finished["sampler"]["status"].sum())
    expected = at_once(finished, paths=90, draws=5)
    found = extended(paths=90, draws=5)
    agree(found, expected)
    status = found["sampler"]["status"].to_numpy().ravel()
    assert 0 < before < status[:45].sum() < 45
    assert 0 < status[45:].sum() < 45
    assert (
        np.isnan(found["samples"]["singular_values"].to_numpy().reshape(90, -1)).all(axis=1).tolist()
        == (status == 1).tolist()
    )


def test_too_many_failures_of_the_longer_run_are_refused_and_the_result_stays(made, tmp_path, refused):
    changes = ["depth=4.0", "dt=0.3", "burn_in=0.6", "duration=2.7", "draws=3", "observations=9"]
    fraction = int(made(*changes, "failed_fraction=0.99", output="some.nc")["sampler"]["status"].sum()) / 13
    assert 0.0 < fraction < 0.9
    made(*changes, f"failed_fraction={fraction + 0.01}")
    kept = (tmp_path / "out.nc").read_bytes()
    refused(lambda: extended(draws=90), "non-finite", "path", error=dlnmc.RunFailed)
    assert (tmp_path / "out.nc").read_bytes() == kept
    assert not (tmp_path / "out.parts").exists()


SIMULATIONS = {
    "euler": {},
    "leimkuhler_matthews": {"scheme": "leimkuhler_matthews"},
    "sigma": {"coordinates": "sigma", "scheme": "milstein"},
    "matrix": {"state": "matrix", "scheme": "euler_maruyama"},
    "given": {"start": np.arange(1.0, 6.0)},
    "from 0": {"model": dlnmc.DysonBrownianMotion(5, 3.0), "start": "zero"},
    "no bins": {"bins": None},
}


@pytest.mark.parametrize("name", SIMULATIONS)
@pytest.mark.parametrize("old", [(0.0,), (0.0, 0.03), (0.02, 0.05)])
def test_chunks_of_paths_in_time_go_on_to_the_bit(paths_of, same_bits, name, old):
    """Below studies, which know few kinds of them: the arrays of a member that goes on, put to those that it had."""
    settings = {"bins": 16} | SIMULATIONS[name]

    def computed(member):
        whole = Collected(member)
        for chunk in plan_chunks([member]):
            whole.add(chunk, run_chunk(member, chunk, lambda: False, lambda work: None, ends=True))
        return whole.arrays

    short = paths_of(times=old, **settings)
    long = paths_of(times=(*old, 0.07, 0.08), **settings | {"paths": 30})
    first, expected = computed(short), computed(long)
    done = Continued(len(old), {name: first[name] for name in carried_shapes(short.run)})
    found = computed(long._replace(continued=done))
    for kept in ("samples", "states"):
        if found[kept].shape[1]:
            assert np.isnan(found[kept][:21, : len(old)]).all()
            found[kept][:21, : len(old)] = first[kept]
    found["counts"][: len(first["counts"]), : first["counts"].shape[1]] += first["counts"]
    same_bits(found, expected)


def test_only_what_is_new_is_computed(made):
    finished = made("depth=2.0")
    _, (member,) = extension.planned(finished, {"paths": 24, "draws": 6})
    work = []
    for chunk in plan_chunks([member]):
        run_chunk(member, chunk, lambda: False, work.append)
    steps, new = schedule(member.run).last_step + 1, 13  # the step at the old end is made only now
    assert sum(work) == pytest.approx(chunks.work_of_block(member.run) * (2 * new / steps + 2))
    assert sum(work) == pytest.approx(sum(chunks.work_of_chunk(member, chunk) for chunk in plan_chunks([member])))


def test_a_chunk_that_goes_on_and_is_stopped_goes_on_from_its_state(made, same_bits):
    finished = made("depth=2.0")
    _, (member,) = extension.planned(finished, {"draws": 60})
    chunk, states = Chunk(0, 0, 2), []
    expected = run_chunk(member, chunk, lambda: False, lambda work: None)
    chunks_done = iter([False, True])

    def keep(state, fraction):
        states.append({name: np.array(array) for name, array in state.items()})
        assert 0.0 < fraction < 1.0

    original, chunks.CALL_SECONDS, chunks.SMALLEST_WORK = (chunks.CALL_SECONDS, chunks.SMALLEST_WORK), 0.0, 1.0
    try:
        assert run_chunk(member, chunk, lambda: next(chunks_done), lambda work: None, None, keep) is None
    finally:
        chunks.CALL_SECONDS, chunks.SMALLEST_WORK = original
    same_bits(run_chunk(member, chunk, lambda: False, lambda work: None, states[-1]), expected)


def test_extended_twice_is_extended_once(made):
    made()
    once = extended("once.nc", paths=40, draws=12)
    extended("first.nc", paths=20, draws=6)
    twice = extended("second.nc", source="first.nc", paths=40, draws=12)
    agree(twice, once)
    assert twice.attrs["identity"] == once.attrs["identity"]
    assert twice.attrs["config"] == once.attrs["config"]


@pytest.mark.parametrize(("draws", "early"), [(4, 6), (5, 6), (6, None), (9, None)])
def test_the_first_part_is_early_where_it_is_more_than_half(made, draws, early):
    finished = made("depth=2.0")
    _, (member,) = extension.planned(finished, {"draws": draws})
    assert member.run.early == early
    plan = schedule(member.run)
    assert np.sum(plan.halves == 0) == max(6, draws)
    assert member.run.observations == 2 * draws


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings", [{"draws": 6}, {"duration": 0.24}, {"observations": 12}, {"draws": 6, "duration": 0.24}]
)
def test_one_of_draws_duration_and_observations_chooses_the_others(made, settings):
    made()
    found = extended(**settings)
    run = json.loads(found.attrs["config"])["run"]
    assert (run["draws"], run["duration"], run["observations"]) == (6, 0.24, 12)
    assert found["samples"].sizes["draw"] == 6


@pytest.mark.parametrize(
    ("settings", "pieces"),
    [
        ({}, ("nothing to extend", "paths", "draws")),
        ({"paths": None}, ("nothing to extend",)),
        ({"paths": 12}, ("paths = 12", "13 already")),
        ({"paths": 0}, ("paths = 0", ">= 1")),
        ({"paths": "many"}, ("paths = 'many'",)),
        ({"draws": 2}, ("draws = 2", "draws = 3", "in proportion")),
        ({"draws": 6, "duration": 0.2}, ("duration = 0.2", "duration = 0.24")),
        ({"draws": 6, "observations": 6}, ("observations = 6", "observations = 12")),
        ({"duration": 0.05}, ("duration = 0.05", "duration = 0.12")),
        ({"duration": 0.13}, ("duration = 0.13", "duration = 0.12")),
        ({"duration": 1e308}, ("duration = 1e+308", "in proportion")),
        ({"duration": -1.0}, ("duration = -1.0", "> 0")),
        ({"observations": 7}, ("observations = 7", "observations = 8")),
        ({"seed": 10}, ("seed", "only paths, draws, duration, observations")),
        ({"dt": 0.005}, ("dt", "only paths")),
        ({"burn_in": 0.1}, ("burn_in", "only paths")),
        ({"times": [1.0]}, ("times", "only paths")),
        ({"early": 3}, ("early", "only paths")),
        ({"threads": 0, "paths": 20}, ("threads = 0",)),
    ],
    ids=str,
)
def test_settings_that_do_not_continue_a_result_are_refused(made, refused, tmp_path, settings, pieces):
    made()
    kept = (tmp_path / "out.nc").read_bytes()
    refused(lambda: dlnmc.extend("out.nc", **{"progress": False} | settings), *pieces)
    assert (tmp_path / "out.nc").read_bytes() == kept
    assert [path.name for path in tmp_path.iterdir()] == ["out.nc"]


@pytest.mark.parametrize(
    ("settings", "pieces"),
    [
        ({"times": [0.0, 0.25]}, ("times", "begin with")),
        ({"times": [0.0, 0.3, 0.5]}, ("times", "(0.0, 0.25, 0.5)")),
        ({"times": [0.0, 0.25, 0.5, 0.5]}, ("times", "ascending")),
        ({"draws": 2}, ("draws", "only paths, times")),
    ],
    ids=str,
)
def test_times_that_do_not_continue_a_result_are_refused(made, refused, settings, pieces):
    made("dt=0.0625", tables=FLOW)
    refused(lambda: extended(**settings), *pieces)


def test_histograms_of_free_motion_whose_edges_would_move_are_refused(refused):
    model = dlnmc.DysonBrownianMotion(4, 2.0, energy="none")
    run = simulation.prepared(
        extension.Simulation, {"model": model, "paths": 3, "dt": 0.01, "times": (0.1,), "bins": 8}, None
    ).run
    refused(lambda: extension._longer(run, {"times": (0.1, 0.2)}), "edges", "last time")
    assert extension._longer(run.changed(bins=None), {"times": (0.1, 0.2)}).times == (0.1, 0.2)
    assert extension._longer(run, {"paths": 5}).paths == 5


# --- files ------------------------------------------------------------------------------------------------------------


def changed(path, **attributes):
    tree = dlnmc.open(path)
    identity = json.loads(tree.attrs["identity"]) | attributes
    tree.attrs["identity"] = json.dumps(identity)
    dlnmc.save(tree, path)


@pytest.mark.parametrize("key", ["kernels", "cpu", "simd", "numba", "numpy", "scipy", "dlnmc"])
def test_a_result_of_other_bits_is_refused_with_the_difference(made, refused, key):
    made()
    changed("out.nc", **{key: "other"})
    refused(lambda: extended(paths=20), "other bits", f'{key} ("other", not ')


def test_files_that_cannot_be_continued_are_refused(made, refused, tmp_path):
    refused(lambda: extended(paths=20), "out.nc", "no such file")
    refused(lambda: extended(source="none/out.nc", paths=20), "no such file")
    tree = made()
    (tmp_path / "text.nc").write_text("precious")
    refused(lambda: extended(source="text.nc", paths=20), "text.nc")
    damaged = bytearray((tmp_path / "out.nc").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "damaged.nc").write_bytes(damaged)
    refused(lambda: extended(source="damaged.nc", paths=20), "damaged")
    dlnmc.save(tree.drop_nodes("continuation"), "old.nc")
    refused(lambda: extended(source="old.nc", paths=20), "no group continuation", "dlnmc study")
    model = dlnmc.DeepLinearNetwork(width=3, depth=2.0, beta=3.0)
    dlnmc.save(dlnmc.equilibrium(model, paths=8, dt=0.01, burn_in=0.02, duration=0.02, threads=1), "other.nc")
    refused(lambda: extended(source="other.nc", paths=20), "no group continuation")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged.nc", "old.nc", "other.nc", "out.nc", "text.nc"]


def test_a_continuation_of_another_run_is_refused(made, refused):
    tree = made()
    for name in ("x", "tally", "sums"):
        other = tree.copy(deep=True)
        other["continuation/member_1"] = xr.DataTree(dataset=tree["continuation/member_1"].to_dataset().drop_vars(name))
        dlnmc.save(other, "other.nc")
        refused(lambda: extended(source="other.nc", paths=20), "continuation/member_1", name)
    shutil.copy("out.nc", "other.nc")
    for stored in ([], [{}], [3], [{"kind": "equilibrium", "model": {"kind": "dyson", "size": 3}}], "x", None):
        changed("other.nc", runs=stored)
        refused(lambda: extended(source="other.nc", paths=20))


def test_another_output_leaves_the_result_alone(made, tmp_path, refused, nothing_is_computed):
    made()
    kept = (tmp_path / "out.nc").read_bytes()
    found = extended("new.nc", paths=20)
    xr.testing.assert_identical(dlnmc.open("new.nc"), found)
    nothing_is_computed()
    xr.testing.assert_identical(extended("new.nc", paths=20), found)
    refused(lambda: extended("new.nc", paths=21), "new.nc", "another result", "paths", "--fresh")
    assert (tmp_path / "out.nc").read_bytes() == kept
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.nc", "out.nc"]


def test_the_same_line_again_finds_the_result_complete(made, tmp_path, nothing_is_computed):
    made()
    found = extended(paths=20, draws=6)
    kept = (tmp_path / "out.nc").read_bytes()
    nothing_is_computed()
    xr.testing.assert_identical(extended(paths=20, draws=6), found)
    assert (tmp_path / "out.nc").read_bytes() == kept


@pytest.mark.parametrize("draws", [4, 6])
def test_a_study_with_the_longer_settings_finds_the_result_complete(made, draws, nothing_is_computed):
    made()
    found = extended(paths=20, draws=draws)
    run = json.loads(found.attrs["config"])["run"]
    nothing_is_computed()
    again = made("paths=20", f"draws={draws}", f"duration={run['duration']}", f"observations={2 * draws}")
    xr.testing.assert_identical(again, found)


def test_what_a_study_left_open_is_not_chosen_anew(made):
    """The step of a pilot run, and durations that differ between members."""
    tables = {"model": TABLES["model"], "run": {"paths": 9, "observations": 4, "draws": 4, "burn_in": 0.5}}
    first = made(tables=tables)
    found = extended(draws=6)
    old, new = (json.loads(tree.attrs["identity"])["runs"] for tree in (first, found))
    for before, after in zip(old, new, strict=True):
        assert after == before | {"draws": 6, "observations": 6, "duration": 1.5 * before["duration"], "early": 4}
    assert json.loads(found.attrs["config"])["run"] == tables["run"] | {"draws": 6, "observations": 6}


def test_tables_pictures_and_checks_do_not_see_the_continuation(made, tmp_path):
    tree = made()
    without = tree.drop_nodes("continuation")
    assert dlnmc.report(tree) == dlnmc.report(without)
    assert findings.verdicts(tree) == findings.verdicts(without)
    dlnmc.plot(tree, "one.png")
    dlnmc.plot(without, "two.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_a_result_that_was_merged_from_shares_can_be_extended(made):
    expected = at_once(made(output="whole.nc"), paths=20, draws=6)
    for number in (1, 2):
        runs.share(TABLES, "out.nc", Share(number, 2), threads=1, progress=False)
    runs.merge("out.nc")
    agree(extended(paths=20, draws=6), expected)


# --- interrupted ------------------------------------------------------------------------------------------------------


def test_an_interrupted_extension_is_continued_by_the_same_call_and_no_other(made, tmp_path, monkeypatch, refused):
    made()
    kept = (tmp_path / "out.nc").read_bytes()
    expected = extended("reference.nc", paths=30, draws=6)
    original, handed = simulation.compute, []

    def interrupted(pool, tasks, finished, tick):
        original(pool, list(tasks)[:1], finished, tick)
        raise KeyboardInterrupt

    monkeypatch.setattr(simulation, "compute", interrupted)
    refused(lambda: extended(paths=30, draws=6), "1 of 4 chunks", "out.parts", "continues", error=dlnmc.Interrupted)
    assert (tmp_path / "out.nc").read_bytes() == kept
    refused(lambda: extended(paths=31, draws=6), "out.parts", "paths", "--fresh")
    refused(lambda: made("paths=30", fresh=False), "out.nc", "other settings")
    runs.merge("out.nc")  # complete: nothing is done
    status = runs.status("out.nc")
    assert (status.chunks, status.done) == (4, 1)
    assert 0.0 < status.fraction < 1.0

    def counted(pool, tasks, *rest):
        handed.extend(tasks)
        original(pool, handed, *rest)

    monkeypatch.setattr(simulation, "compute", counted)
    agree(extended(paths=30, draws=6), expected)
    assert len(handed) == 3
    assert not (tmp_path / "out.parts").exists()
    assert runs.status("out.nc") is None


def test_parts_of_another_result_are_not_taken_for_its_own(made, tmp_path, monkeypatch, refused):
    """The same settings, but another result that is continued: its paths ended elsewhere."""
    made("depth=2.0")
    original = simulation.compute

    def interrupted(pool, tasks, finished, tick):
        original(pool, list(tasks)[:1], finished, tick)
        raise KeyboardInterrupt

    monkeypatch.setattr(simulation, "compute", interrupted)
    refused(lambda: extended("new.nc", draws=6), "new.parts", error=dlnmc.Interrupted)
    tree = dlnmc.open("out.nc")
    tree["continuation/member_0"]["x"].variable[:] = tree["continuation/member_0"]["x"].variable * 1.5
    dlnmc.save(tree, "out.nc")
    refused(lambda: extended("new.nc", draws=6), "new.parts", "continues", "--fresh")
    refused(lambda: runs.merge("new.nc"), "extension", "dlnmc extend")
    monkeypatch.setattr(simulation, "compute", original)
    assert extended("new.nc", draws=6, fresh=True)["samples"].sizes["draw"] == 6


def test_parts_that_a_process_left_behind_a_complete_result_are_removed(made, tmp_path, monkeypatch):
    """Killed after it wrote the result, and before it removed what that was made of."""
    monkeypatch.setattr(runs, "remove_parts", lambda directory: None)
    made()
    assert (tmp_path / "out.parts").is_dir()
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    found = extended(paths=20)
    assert found["sampler"].sizes["path"] == 20
    assert not (tmp_path / "out.parts").exists()


LONG = {
    "model": {"width": 16, "depth": 2.0, "beta": 16.0},
    "run": {"paths": 256, "dt": 2e-3, "burn_in": 0.1, "duration": 0.1, "scheme": "leimkuhler_matthews"},
}


def test_an_extension_that_is_killed_is_continued_and_the_result_is_never_lost(made, tmp_path):
    finished = made(tables=LONG)
    kept = (tmp_path / "out.nc").read_bytes()
    line = [sys.executable, "-m", "dlnmc", "extend", "out.nc", "--paths", "512", "--set", "draws=40", "--quiet"]
    with subprocess.Popen([*line, "--threads", "1"], cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        while len(list(tmp_path.glob("out.parts/*.chunk"))) < 2:
            assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / "out.nc").read_bytes() == kept
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "out.nc: complete\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["out.nc"]
    agree(dlnmc.open("out.nc"), at_once(finished, paths=512, draws=40))


# --- the command line -------------------------------------------------------------------------------------------------


def test_the_command_line_extends_and_refuses(made, capsys, monkeypatch):
    made()
    monkeypatch.setattr(os, "_exit", sys.exit)
    main(
        [
            "extend",
            "out.nc",
            "--paths",
            "20",
            "--set",
            "run.draws=6",
            "--set",
            "duration=0.24",
            "--threads",
            "1",
            "--quiet",
        ]
    )
    assert capsys.readouterr().out == "out.nc: complete\n"
    assert dict(dlnmc.open("out.nc")["samples"].sizes) == {"depth": 2, "path": 20, "draw": 6, "rank": 5}
    for change in ("seed=3", "threads=3", "draws", "output=x"):
        with pytest.raises(SystemExit) as caught:
            main(["extend", "out.nc", "--set", change])
        assert caught.value.code == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
