"""What goes wrong on long runs, done for real: disks that are full, files that rot, signals, clocks, failing paths."""

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import zipfile

import numpy as np
import pytest
from commands import ended, long_study, same_data, started, wait_for_chunks

import dlnmc
from dlnmc import chunks, estimates, machine, runs, simulation, store, studies
from dlnmc.chunks import plan_chunks
from dlnmc.locks import Share
from dlnmc.simulation import collected, execute
from dlnmc.store import ChunkStore

TABLES = tomllib.loads(long_study(256))
NEEDED = estimates._disk(*estimates._asked(studies.load(TABLES).members()))
MOUNT = shutil.which("mount")


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    assert ended(started(folder))[0] == 0
    return dlnmc.open(folder / "out.nc")


# --- files that rot ---------------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path, member):
    """A run of one small chunk, its store, and what it gives."""
    run = member(dlnmc.DysonBrownianMotion(size=2, beta=2.0), paths=2, draws=1, observations=2, bins=2)
    kept = ChunkStore.opened(tmp_path / "parts", [run])
    execute([run], threads=1, progress=False, store=kept)
    (chunk,) = plan_chunks([run])
    return run, kept, chunk


def test_any_byte_of_a_chunk_that_changes_is_noticed(small):
    _, kept, chunk = small
    (path,) = kept.directory.glob("*.chunk")
    good = path.read_bytes()
    assert len(good) < 8000
    chance = np.random.default_rng(5)
    for position in range(len(good)):
        bad = bytearray(good)
        bad[position] ^= int(chance.integers(1, 256))
        path.write_bytes(bad)
        assert kept.load(chunk) is None, position
    for length in range(len(good)):
        path.write_bytes(good[:length])
        assert kept.load(chunk) is None, length
    path.write_bytes(good)
    assert kept.load(chunk) is not None


def test_any_byte_of_a_state_that_changes_is_noticed(small):
    run, kept, chunk = small
    _, state, arrays = chunks.prepared_call(run, chunk)
    kept.save_state(chunk, arrays | {"x": state.x, "step": np.array(3)}, 0.25)
    (path,) = kept.directory.glob("*.state")
    good = path.read_bytes()
    for position in range(len(good)):
        bad = bytearray(good)
        bad[position] ^= 1 << (position % 8)
        path.write_bytes(bad)
        assert kept.load_state(chunk) is None, position
    path.write_bytes(good)
    assert int(kept.load_state(chunk)["step"]) == 3
    shutil.copy(path, path.with_suffix(".chunk"))  # no state passes for a result
    assert kept.load(chunk) is None


def test_an_archive_that_claims_more_than_it_holds_is_no_chunk(small, monkeypatch):
    """One who forges a chunk, checksum and all, gets no memory for it, and no code run."""
    _, kept, chunk = small

    def forged(shape, dtype):
        def savez(file, **arrays):
            entry = io.BytesIO()
            np.lib.format.write_array_header_1_0(entry, {"descr": dtype, "fortran_order": False, "shape": shape})
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr("samples.npy", entry.getvalue() + bytes(24))

        return savez

    for shape, dtype, taken in (((3,), "<f8", True), ((10**12,), "<f8", False), ((3,), "|O", False)):
        with monkeypatch.context() as patch:
            patch.setattr(store.np, "savez", lambda file, allow_pickle, s=shape, d=dtype, **a: forged(s, d)(file, **a))
            kept.save(chunk, {"samples": np.zeros(3)})
        assert (kept.load(chunk) is not None) == taken, (shape, dtype)


@pytest.mark.parametrize(
    "forged",
    [
        lambda arrays: arrays | {"samples": arrays["samples"][..., :1]},
        lambda arrays: arrays | {"counts": arrays["counts"].astype(float)},
        lambda arrays: {name: array for name, array in arrays.items() if name != "tally"},
        lambda arrays: arrays | {"more": np.zeros(1)},
        lambda arrays: {name: np.zeros((3, 5)) for name in arrays},
        lambda arrays: arrays | {"more": np.zeros(10**6)},
    ],
)
def test_a_chunk_or_a_state_of_another_form_is_computed_again(forged, small, same_bits):
    """Whoever has a manifest can seal anything."""
    run, kept, chunk = small
    good = kept.load(chunk, lambda: chunks.result_form(run, chunk))
    _, state, arrays = chunks.prepared_call(run, chunk)
    on_its_way = arrays | {"x": state.x, "memory": state.memory, "tally": state.tally, "step": np.array(3)}

    def form():
        return chunks.state_form(run, chunk)

    kept.save_state(chunk, on_its_way, 0.5)
    assert kept.load_state(chunk, form) is not None
    kept.save_state(chunk, forged(on_its_way), 0.5)
    assert kept.load_state(chunk, form) is None
    kept._path(chunk).unlink()
    kept.save(chunk, forged(good))
    kept.save_state(chunk, forged(on_its_way), 0.5)
    assert kept.load(chunk) is not None  # its seal is right
    assert collected([run], kept)[1] == [chunk]
    (found,), _ = execute([run], threads=1, progress=False, store=kept)
    same_bits(found, good)


def archive(header, content=b""):
    """A NumPy archive of one array with this header."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as out:
        text = header.encode("latin1") + b"\n"
        out.writestr("samples.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content)
    return file.getvalue()


@pytest.mark.parametrize(
    "payload",
    [
        archive("{1: 2, 'a': 3}"),
        archive("("),
        archive("{'descr': '<f8', 'fortran_order': False, 'shape': (1180591620717411303424, 0)}"),
        archive("{'descr': (), 'fortran_order': False, 'shape': (1,)}", bytes(8)),
        archive("{'descr': 'f8,f8,(', 'fortran_order': False, 'shape': (1,)}", bytes(8)),
        archive("-" * 9000 + "1"),
        archive("{'descr': '<f8', 'fortran_order': False, 'shape': (True,)}", bytes(8)),
        archive("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}", bytes(8)).replace(
            b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00"
        ),
        archive("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}", bytes(8)).replace(
            b"PK\x01\x02\x14\x03\x14\x00", b"PK\x01\x02\x14\x03\x63\x00"
        ),
        b"",
    ],
)
def test_whatever_is_sealed_as_a_chunk_or_a_state_ends_in_no_traceback(payload, small, same_bits):
    run, kept, chunk = small
    good = kept.load(chunk)
    for path, magic in ((kept._path(chunk), store.MAGIC), (kept._path(chunk, "state"), store.STATE_MAGIC)):
        path.write_bytes(kept._line(path, magic, b"", [payload]) + payload)
    assert kept.load(chunk) is None
    assert kept.load_state(chunk) is None
    (found,), _ = execute([run], threads=1, progress=False, store=kept)
    same_bits(found, good)


def test_a_damaged_manifest_is_not_mended_beside_a_chunk_that_cannot_be_read(small, refused):
    run, kept, chunk = small
    (kept.directory / "manifest.json").write_text("damaged")
    path = kept._path(chunk)
    path.unlink()
    path.symlink_to("nowhere")
    refused(lambda: ChunkStore.opened(kept.directory, [run]), "damaged manifest")


def test_what_chunks_hold_has_the_form_that_is_asked_for(member, paths_of):
    kinds = (
        member(),
        member(bins=None, keep_samples=False),
        member(state="matrix", start="gaussian"),
        member(observables=("largest_gap",)),
        paths_of(times=(0.0, 0.1), bins=4),
        member(scheme="mala"),
    )
    for run in kinds:
        for chunk in plan_chunks([run]):
            assert chunk.blocks > 1
            found = chunks.run_chunk(run, chunk, lambda: False, lambda work: None, ends=True)
            form = {name: (array.shape, array.dtype) for name, array in found.items()}
            assert form == chunks.result_form(run, chunk)


def test_missing_damaged_foreign_and_stale_chunks_are_computed_again(tmp_path, reference):
    with started(tmp_path) as process:
        wait_for_chunks(process, tmp_path, 8)
        process.kill()
    files = sorted(tmp_path.glob("out.parts/*.chunk"))
    content = files[0].read_bytes()
    files[0].unlink()
    files[1].write_bytes(content)  # of other blocks
    files[2].write_bytes(files[2].read_bytes()[:-9])
    files[3].write_bytes(b"not one of ours")
    flipped = bytearray(files[4].read_bytes())
    flipped[len(flipped) // 2] ^= 16
    files[4].write_bytes(flipped)
    (tmp_path / "out.parts/.member-0000-block-000000000-1.chunk.1-ab.tmp").write_bytes(content[:99])
    os.utime(files[5], (0, 0))
    assert ended(started(tmp_path)) == (0, "out.nc: complete\n", "")
    same_data(dlnmc.open(tmp_path / "out.nc"), reference)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long.toml", "out.nc"]


def test_merging_refuses_what_is_damaged_or_missing_and_says_how_much(tmp_path, reference, refused, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = "share 1/2 of out.nc: complete; when all are: dlnmc merge out.nc\n"
    assert ended(started(tmp_path, "--chunk", "1/2")) == (0, told, "")
    runs.share("long.toml", "out.nc", Share(2, 2), progress=False)
    files = sorted(tmp_path.glob("out.parts/*.chunk"))
    content = files[3].read_bytes()
    files[3].write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    refused(lambda: runs.merge("out.nc"), f"1 of {len(files)} chunks", "missing or damaged")
    assert not (tmp_path / "out.nc").exists()
    runs.share("long.toml", "out.nc", Share(2, 2), progress=False)
    runs.merge("out.nc")
    same_data(dlnmc.open("out.nc"), reference)
    same_data(runs.merge("out.nc"), reference)  # a job that is queued again finds it complete
    refused(lambda: runs.merge("other.nc"), "other.nc", "neither", error=dlnmc.InvalidValue)


# --- places that are full, or closed ----------------------------------------------------------------------------------


@contextlib.contextmanager
def mounted(folder, size):
    """A file system of its own, of so many bytes, where this process may make one."""
    folder.mkdir()
    if (
        not MOUNT
        or subprocess.run(
            [MOUNT, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("makes a file system, which takes root")
    try:
        yield
    finally:
        subprocess.run([shutil.which("umount"), "-l", folder], check=True)


def test_a_full_disk_stops_a_run_in_one_line_and_space_lets_it_go_on(tmp_path, reference):
    disk = tmp_path / "disk"
    with mounted(disk, 2**24):
        with started(disk) as process, (disk / "ballast").open("wb", buffering=0) as ballast:
            wait_for_chunks(process, disk, 1)
            with contextlib.suppress(OSError):  # another program's, after the run has begun
                while True:
                    ballast.write(bytes(4096))
            code, out, err = ended(process)
        assert (code, out) == (1, "")
        assert re.fullmatch(r"dlnmc: out.parts: No space left on device; the same command continues\n", err), err
        kept = len(list(disk.glob("out.parts/*.chunk")))
        assert kept > 0
        assert not list(disk.glob("out.parts/*.tmp"))
        (disk / "ballast").unlink()
        assert ended(started(disk)) == (0, "out.nc: complete\n", "")
        same_data(dlnmc.open(disk / "out.nc"), reference)
        assert sorted(path.name for path in disk.iterdir()) == ["long.toml", "out.nc"]


def test_a_limit_on_the_size_of_files_stops_a_run_in_one_line(tmp_path, reference):
    """As a quota does; chunks pass below it, the whole does not, and nothing of them is lost."""
    limit = 100_000
    code, out, err = ended(started(tmp_path, limit=limit))
    assert (code, out) == (1, "")
    assert re.fullmatch(r"dlnmc: out(\.nc|\.parts): .*\n", err), err
    assert not (tmp_path / "out.nc").exists()
    assert list(tmp_path.glob("out.parts/*.chunk"))
    assert ended(started(tmp_path)) == (0, "out.nc: complete\n", "")
    same_data(dlnmc.open(tmp_path / "out.nc"), reference)


def test_a_place_that_cannot_be_written_is_told_before_anything_is_computed(tmp_path):
    disk = tmp_path / "disk"
    with mounted(disk, 2**26):
        (disk / "long.toml").write_text(long_study(256))
        subprocess.run([MOUNT, "-o", "remount,ro", disk], check=True)
        line = [sys.executable, "-m", "dlnmc", "study", disk / "long.toml", "-o", disk / "out.nc"]
        done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 1
        assert re.fullmatch(r"dlnmc: .*out.parts: Read-only file system\n", done.stderr), done.stderr


# --- signals ----------------------------------------------------------------------------------------------------------


def test_a_study_that_is_interrupted_terminated_and_killed_gives_the_same_bits(tmp_path):
    kept = 0
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)):
        with started(tmp_path, paths=512) as process:
            wait_for_chunks(process, tmp_path, kept + 3)
            began = time.monotonic()
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
            assert time.monotonic() - began < 1.5
        assert process.returncode == code, err
        assert out == ""
        assert not (tmp_path / "out.nc").exists()
        assert len(list(tmp_path.glob("out.parts/*.chunk"))) >= kept + 3
        kept = len(list(tmp_path.glob("out.parts/*.chunk")))
        if number != signal.SIGKILL:
            line = (
                r"dlnmc: interrupted: (\d+) of (\d+) chunks were done; kept in out.parts; the same command continues\n"
            )
            assert (said := re.fullmatch(line, err)), err
            assert int(said[2]) == len(plan_chunks(studies.load(tmp_path / "long.toml").members()))
            assert kept - 1 <= int(said[1]) <= kept  # never more than is on disk
    with started(tmp_path, paths=512) as process:
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (0, "out.nc: complete\n", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long.toml", "out.nc"]
    uninterrupted = dlnmc.study(tmp_path / "long.toml", tmp_path / "reference.nc", threads=2, progress=False)
    same_data(dlnmc.open(tmp_path / "out.nc"), uninterrupted)


@pytest.mark.parametrize("executor", ["threads", "processes"])
@pytest.mark.parametrize("pause", [0.0, 0.4])
def test_ctrl_c_twice_is_as_good_as_once(executor, pause, tmp_path):
    with started(tmp_path, "--executor", executor, paths=4096) as process:
        wait_for_chunks(process, tmp_path, 1)
        process.send_signal(signal.SIGINT)
        time.sleep(pause)
        process.send_signal(signal.SIGINT)
        code, out, err = ended(process, 20)
    assert (code, out) == (130, ""), err
    assert re.fullmatch(r"dlnmc: interrupted: \d+ of \d+ chunks were done; kept in .*continues\n", err), err


def test_ctrl_c_keeps_the_state_of_chunks_that_are_not_done(member, tmp_path, same_bits, arrays_of, monkeypatch):
    run = member(dlnmc.DeepLinearNetwork(width=16, depth=2.0, beta=16.0), dt=2e-5, burn_in=1.0, duration=2.0)
    reference = arrays_of(run)
    monkeypatch.setattr(chunks, "CALL_SECONDS", 0.01)
    monkeypatch.setattr(chunks, "SMALLEST_WORK", 1e5)
    kept = ChunkStore.opened(tmp_path / "parts", [run])
    chunk, *_ = plan_chunks([run])
    shown = []

    def interrupt(bar):
        shown.append(bar)
        if len(shown) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(simulation.Progress, "show", interrupt)
    with pytest.raises(dlnmc.Interrupted, match="0 of"):
        execute([run], threads=1, progress=False, store=kept)
    monkeypatch.undo()
    assert 0.0 < kept.progress(chunk) < 1.0
    begun = int(kept.load_state(chunk)["step"])
    steps = []
    prepared = chunks.prepared_call

    def watched(*arguments):
        call, state, arrays = prepared(*arguments)
        return lambda first, last: (steps.append(first), call(first, last)), state, arrays

    monkeypatch.setattr(chunks, "prepared_call", watched)
    same_bits(arrays_of(run, parts=kept.directory), reference)
    assert steps[0] == begun > 0
    assert not list(kept.directory.glob("*.state"))


# --- clocks -----------------------------------------------------------------------------------------------------------


KILLED = """\
import os, signal, sys
from dlnmc import {module}
{module}.{name} = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
from dlnmc.cli import main
main()
"""


@pytest.mark.parametrize(("module", "name"), [("files", "_write"), ("runs", "remove_parts")])
@pytest.mark.parametrize("last", ["study", "merge"])
def test_a_run_that_is_killed_while_it_writes_its_result_leaves_nothing(module, name, last, tmp_path):
    (tmp_path / "long.toml").write_text(long_study(64))
    study = ["study", "long.toml", "-o", "out.nc", "--quiet"]
    if last == "merge":
        runs.share(tmp_path / "long.toml", tmp_path / "out.nc", Share(1, 1), progress=False)
    line = study if last == "study" else ["merge", "out.nc"]
    killed = [sys.executable, "-c", KILLED.format(module=module, name=name), *line]
    assert subprocess.run(killed, cwd=tmp_path, check=False, timeout=120).returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 3
    subprocess.run([sys.executable, "-m", "dlnmc", *line], cwd=tmp_path, check=True, timeout=120)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long.toml", "out.nc"]
    assert dlnmc.open(tmp_path / "out.nc").attrs["model"]


def test_a_run_that_starts_over_is_left_alone_by_those_who_ask_for_the_result(tmp_path):
    out, changes = tmp_path / "out.nc", ["paths=9", "dt=0.1"]
    (tmp_path / "long.toml").write_text(long_study(64))
    dlnmc.study(tmp_path / "long.toml", out, changes=changes)
    plan = dlnmc.studies.load(tmp_path / "long.toml", [*changes, "seed=2"])
    ChunkStore.opened(tmp_path / "out.parts", plan.members(), config=plan.tables())
    dlnmc.study(tmp_path / "long.toml", out, changes=changes)
    assert (tmp_path / "out.parts" / "manifest.json").exists()


def test_a_clock_that_goes_backwards_changes_nothing(tmp_path, reference, monkeypatch):
    ticks = iter(range(10**9, 0, -1000))
    monkeypatch.setattr(time, "time", lambda: float(next(ticks)))
    (tmp_path / "long.toml").write_text(long_study(256))
    tree = dlnmc.study(tmp_path / "long.toml", tmp_path / "out.nc", progress=False)
    monkeypatch.undo()
    same_data(tree, reference)


def test_the_status_of_a_run_survives_clocks_that_disagree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with started(tmp_path, paths=2048) as process:
        wait_for_chunks(process, tmp_path, 5)
        found = runs.status("out.nc")
        assert f"process {process.pid}" in found.holders[0]
        assert found.rate > 0.0
        assert re.search(r"5|6|7|8 of \d+ chunks done", found.as_text("out.nc"))
        assert "an hour" in found.as_text("out.nc")
        for path in tmp_path.glob("out.parts/*.chunk"):
            os.utime(path, (2e9 + 1e6, 2e9 + 1e6))  # written by a machine that is years ahead
        found = runs.status("out.nc")
        assert found.rate is None or found.rate > 0.0
        assert 0.0 < found.fraction < 1.0
        process.kill()
    found = runs.status("out.nc")
    assert found.holders == []
    assert "not running" in found.as_text("out.nc")


def test_what_is_there_counts_as_room_for_what_is_missing(tmp_path, monkeypatch):
    """A disk that was large enough for all of a run is large enough for the rest of it."""
    monkeypatch.chdir(tmp_path)
    for share in (1, 2):
        runs.share(TABLES, "out.nc", Share(share, 2), progress=False)
        used = sum(path.stat().st_size for path in tmp_path.rglob("*.*") if path.is_file())
        room = shutil._ntuple_diskusage(10**9, used, int(1.05 * NEEDED) - used)
        monkeypatch.setattr(shutil, "disk_usage", lambda place, room=room: room)
    runs.study(TABLES, "out.nc", progress=False)


def test_a_share_takes_the_memory_of_its_chunks_and_merging_that_of_the_result(tmp_path, refused, monkeypatch):
    monkeypatch.chdir(tmp_path)
    members = studies.load(TABLES).members()
    room = 2**28
    monkeypatch.setattr(machine, "memory", lambda: room)
    monkeypatch.setattr(estimates, "_result", lambda costs, paths: 2.0**28)
    refused(lambda: runs.study(TABLES, "out.nc", progress=False), "the results", "of memory")
    for share in (1, 2):
        runs.share(TABLES, "out.nc", Share(share, 2), progress=False)
    refused(lambda: runs.merge("out.nc"), "the results", "of memory")
    room = 2**20
    refused(lambda: runs.share(TABLES, "new.nc", Share(1, 2), progress=False), "the chunks at work", "of memory")
    room = 2**30
    assert "sampler" in runs.merge("out.nc")
    room = 2**28
    runs.foreseen(TABLES, whole=False)
    refused(lambda: runs.foreseen(TABLES), "the results", "of memory")
    assert estimates.estimate(members, 2).memory == estimates.estimate(members, 2, whole=False).memory + 2.0**28


def test_a_bad_request_deletes_nothing_and_leaves_nothing(tmp_path, refused, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(lambda: runs.study(TABLES, "out.nc", executor="thread", progress=False), "executor = 'thread'")
    assert list(tmp_path.iterdir()) == []
    runs.share(TABLES, "out.nc", Share(1, 2), progress=False)
    before = sorted(tmp_path.glob("out.parts/*.chunk"))
    changes = ["seed=2"]
    refused(
        lambda: runs.study(TABLES, "out.nc", changes=changes, executor="thread", fresh=True, progress=False),
        "executor = 'thread'",
    )
    assert sorted(tmp_path.glob("out.parts/*.chunk")) == before
    refused(lambda: runs.study(TABLES, "x" * 201, progress=False), "x" * 201, "at most 200 bytes")


def test_parts_of_other_kernels_are_not_those_of_a_complete_result(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    changes = ["paths=16"]
    tree = runs.study(TABLES, "out.nc", changes=changes, progress=False)
    runs.share(TABLES, "new.nc", Share(1, 2), changes=changes, progress=False)
    (tmp_path / "new.parts").rename("out.parts")
    other = tree.copy()
    other.attrs["identity"] = json.dumps(json.loads(tree.attrs["identity"]) | {"kernels": "0" * 64})
    dlnmc.save(other, "out.nc")
    runs.merge("out.nc")
    assert list(tmp_path.glob("out.parts/*.chunk"))
    dlnmc.save(tree, "out.nc")
    runs.merge("out.nc")
    assert not (tmp_path / "out.parts").exists()


def test_a_result_that_is_computed_anew_has_a_status(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs.study(TABLES, "out.nc", progress=False)
    assert runs.status("out.nc") is None
    with started(tmp_path, "--fresh", paths=2048) as process:
        wait_for_chunks(process, tmp_path, 2)
        found = runs.status("out.nc")
        assert 0.0 < found.fraction < 1.0
        process.kill()


# --- paths that fail --------------------------------------------------------------------------------------------------


def failing(failed_fraction):
    """A study of 64 paths with one that starts where the numbers end: dt = 10 makes −9x of x."""
    return {
        "model": {"kind": "dyson", "size": 3, "beta": 3.0},
        "run": {"paths": 64, "dt": 0.01, "burn_in": 0.05, "duration": 0.1, "failed_fraction": failed_fraction},
    }


@pytest.fixture
def one_path_fails(monkeypatch):
    """The kernel makes NaN of path 37 at its second step."""
    prepared = chunks.prepared_call

    def spoiled(member, chunk, *rest):
        call, state, arrays = prepared(member, chunk, *rest)
        block, lane = 37 // 8 - chunk.first_block, 37 % 8
        if 0 <= block < chunk.blocks:
            state.x[block, 1, lane] = np.nan
        return call, state, arrays

    monkeypatch.setattr(chunks, "prepared_call", spoiled)


def test_a_path_that_becomes_nan_stops_a_study_or_is_counted(
    one_path_fails, tmp_path, refused, small_chunks, monkeypatch
):
    small_chunks(monkeypatch)
    refused(
        lambda: dlnmc.study(failing(0.0), tmp_path / "out.nc", progress=False),
        "path 37 at step", "failed_fraction",
        error=dlnmc.RunFailed,
    )  # fmt: skip
    assert list(tmp_path.iterdir()) == []
    tree = dlnmc.study(failing(0.02), tmp_path / "out.nc", progress=False)
    assert np.flatnonzero(tree["sampler/status"].to_numpy()).tolist() == [37]
    assert np.isfinite(tree["samples/eigenvalues"].to_numpy()).all(axis=(1, 2)).sum() == 63


def test_merging_refuses_paths_that_failed(one_path_fails, tmp_path, refused, small_chunks, monkeypatch):
    """Each share may have too few of them to stop."""
    small_chunks(monkeypatch)
    out = tmp_path / "out.nc"
    refused(lambda: runs.share(failing(0.0), out, Share(1, 1), progress=False), "path 37", error=dlnmc.RunFailed)
    assert list(tmp_path.glob("out.parts/*.chunk"))  # what others computed is not thrown away
    refused(lambda: runs.merge(out), "path 37", error=dlnmc.RunFailed)
    assert not out.exists()


# --- what a manifest says ---------------------------------------------------------------------------------------------


def test_a_manifest_holds_what_the_run_is(tmp_path):
    with started(tmp_path) as process:
        wait_for_chunks(process, tmp_path, 1)
        process.kill()
    text = json.loads((tmp_path / "out.parts/manifest.json").read_text())
    assert text["layout"] == store.LAYOUT
    assert text["config"]["model"]["depth"] == [1.0, 2.0]
    assert re.fullmatch("[0-9a-f]{64}", text["config_sha256"])
    assert {"runs", "dlnmc", "kernels", "numba", "simd", "cpu"} <= set(text["identity"])
    assert [run["model"]["depth"] for run in text["identity"]["runs"]] == [1.0, 2.0]
