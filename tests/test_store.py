"""Chunk files: whole or absent, checked when read, refused where they belong to something else."""

import errno
import json
import os
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest

from dlnmc import InvalidValue, RunFailed, store
from dlnmc.chunks import Chunk, plan_chunks
from dlnmc.store import ChunkStore, identity, write_atomically

CHUNK = Chunk(0, 0, 2)


@pytest.fixture
def arrays(rng):
    samples = rng().normal(size=(16, 2, 5))
    samples[0, 0, :3] = np.nan, np.inf, -0.0
    counts = np.arange(36, dtype=np.int64).reshape(2, 18)
    return {"samples": samples, "sums": np.zeros((16, 8)), "tally": np.ones((16, 4)), "counts": counts}


@pytest.fixture
def kept(tmp_path, member):
    return ChunkStore.opened(tmp_path / "run.parts", [member()])


def files(directory):
    return sorted(path.name for path in directory.iterdir())


# --- writing atomically -----------------------------------------------------------------------------------------------


def test_a_file_appears_whole_with_the_usual_permissions(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, lambda file: file.write_bytes(b"new"))
    assert path.read_bytes() == b"new"
    assert files(tmp_path) == ["file"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), ValueError()])
def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, error):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def write(file):
        file.write_bytes(b"half of the ne")
        assert path.read_bytes() == b"old"
        raise error

    with pytest.raises(type(error)):
        write_atomically(path, write)
    assert path.read_bytes() == b"old"
    assert files(tmp_path) == ["file"]


# --- chunks -----------------------------------------------------------------------------------------------------------


def test_a_chunk_comes_back_as_it_was(kept, arrays, same_bits):
    assert kept.load(CHUNK) is None
    kept.save(CHUNK, arrays)
    same_bits(kept.load(CHUNK), arrays)
    assert len(files(kept.directory)) == 2  # the manifest and the chunk, no temporary files
    assert kept.load(Chunk(1, 0, 2)) is None
    assert kept.load(Chunk(0, 2, 2)) is None


def test_the_bytes_of_a_chunk_file_depend_on_its_arrays_only(kept, arrays):
    kept.save(CHUNK, arrays)
    (path,) = kept.directory.glob("*.chunk")
    before = path.read_bytes()
    kept.save(CHUNK, arrays)
    assert path.read_bytes() == before


def test_every_damage_of_a_chunk_file_makes_it_absent(kept, arrays, rng):
    kept.save(CHUNK, arrays)
    (path,) = kept.directory.glob("*.chunk")
    good = path.read_bytes()
    random = rng()
    for position in [*range(120), *random.integers(len(good), size=300).tolist(), len(good) - 1]:
        bad = bytearray(good)
        bad[position] ^= 1 << random.integers(8)
        path.write_bytes(bad)
        assert kept.load(CHUNK) is None, position
    for length in [0, 1, 20, 84, 85, 86, len(good) // 2, len(good) - 1]:
        path.write_bytes(good[:length])
        assert kept.load(CHUNK) is None, length
    for other in (good + b"\0", b"\n", b"text\n" * 99, bytes(1000), good[85:]):
        path.write_bytes(other)
        assert kept.load(CHUNK) is None
    path.unlink()
    path.mkdir()
    assert kept.load(CHUNK) is None
    path.rmdir()
    path.write_bytes(good)
    assert kept.load(CHUNK) is not None


def test_a_chunk_file_answers_for_its_own_blocks_only(kept, arrays):
    """A whole file with a good checksum, but of other blocks: copied by hand, or from another cut of the run."""
    kept.save(CHUNK, arrays)
    assert kept.load(Chunk(0, 0, 3)) is None  # the same first block, in a run cut differently
    assert kept.load(Chunk(0, 0, 1)) is None
    (path,) = kept.directory.glob("*.chunk")
    kept.save(Chunk(0, 2, 2), arrays)
    (other,) = set(kept.directory.glob("*.chunk")) - {path}
    shutil.copy(path, other)
    assert kept.load(Chunk(0, 2, 2)) is None


def test_a_chunk_file_of_another_run_is_absent(kept, arrays, tmp_path, member):
    stranger = ChunkStore.opened(tmp_path / "other.parts", [member(seed=1)])
    stranger.save(CHUNK, arrays)
    (path,) = stranger.directory.glob("*.chunk")
    shutil.copy(path, kept.directory / path.name)
    assert kept.load(CHUNK) is None


def test_removing_takes_the_folder_and_nothing_else(kept, arrays, tmp_path):
    (tmp_path / "run.nc").write_bytes(b"result")
    kept.save(CHUNK, arrays)
    kept.remove()
    kept.remove()
    assert files(tmp_path) == ["run.nc"]


# --- what belongs together --------------------------------------------------------------------------------------------


def test_the_same_members_open_the_same_place(kept, arrays, member):
    kept.save(CHUNK, arrays)
    assert ChunkStore.opened(kept.directory, [member()]).load(CHUNK) is not None


@pytest.mark.parametrize(
    ("name", "value"),
    [("seed", 1), ("paths", 22), ("dt", 0.011), ("bins", 17), ("scheme", "euler_maruyama"), ("burn_in", 0.06)],
)
def test_another_setting_in_the_same_place_is_refused_by_name(kept, member, refused, name, value):
    text = refused(lambda: ChunkStore.opened(kept.directory, [member(**{name: value})]), str(kept.directory))
    assert name in text.replace(str(kept.directory), "")


def test_another_model_in_the_same_place_is_refused_by_name(kept, member, refused):
    model = member().run.model
    text = refused(lambda: ChunkStore.opened(kept.directory, [member(model.changed(kappa=0.5))]), str(kept.directory))
    assert "kappa" in text
    refused(lambda: ChunkStore.opened(kept.directory, [member(), member()]), str(kept.directory))


def test_given_start_values_are_part_of_the_run(tmp_path, member, refused):
    start = np.arange(1.0, 6.0)
    ChunkStore.opened(tmp_path / "parts", [member(start=start)])
    ChunkStore.opened(tmp_path / "parts", [member(start=start)])
    refused(lambda: ChunkStore.opened(tmp_path / "parts", [member(start=start + 1e-9)]), "start")


@pytest.mark.parametrize(("name", "key"), [("source_hash", "kernels"), ("cpu_name", "cpu"), ("arithmetic", "simd")])
def test_other_kernels_and_processors_are_refused_by_name(kept, member, refused, monkeypatch, name, key):
    monkeypatch.setattr(store, name, lambda: "other")
    refused(lambda: ChunkStore.opened(kept.directory, [member()]), f"other settings: {key} (")


def test_another_numba_is_refused_by_name(kept, member, refused, monkeypatch):
    monkeypatch.setattr(store.numba, "__version__", "0.0")
    refused(lambda: ChunkStore.opened(kept.directory, [member()]), "other settings: numba (")


def test_identity_holds_all_that_decides_the_bits(member):
    """Start values are computed with SciPy and NumPy, and by dlnmc's own Python."""
    found = identity([member()])
    assert {"runs", "kernels", "numba", "cpu", "simd"} <= set(found)
    assert {"numpy", "scipy", "dlnmc"} <= set(found)
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '{"runs": 3}', "\x00\xff"])
def test_a_damaged_manifest_is_mended_by_the_run_that_the_chunks_are_of(kept, arrays, member, refused, text):
    """A night of computing does not hang on one bit; nobody else's chunks are touched."""
    kept.save(CHUNK, arrays)
    (kept.directory / "manifest.json").write_text(text, encoding="latin-1")
    refused(lambda: ChunkStore.opened(kept.directory, [member(seed=1)]), str(kept.directory), "damaged manifest")
    assert ChunkStore.opened(kept.directory, [member()]).load(CHUNK) is not None
    refused(lambda: ChunkStore.opened(kept.directory, [member(seed=1)]), "seed")


def test_a_place_that_is_no_folder_is_refused_in_one_line(tmp_path, member, refused):
    (tmp_path / "file").write_text("")
    for place in ("file", "file/parts"):
        refused(
            lambda place=place: ChunkStore.opened(tmp_path / place, [member()]), place, error=(InvalidValue, RunFailed)
        )


def full_disk(path, write, durable=True):
    raise OSError(errno.ENOSPC, "No space left on device", str(path))


def test_a_full_disk_is_one_line(kept, arrays, tmp_path, member, refused, monkeypatch):
    monkeypatch.setattr(store, "write_atomically", full_disk)
    broken = (InvalidValue, RunFailed)
    refused(lambda: kept.save(CHUNK, arrays), "No space left", error=broken)
    refused(lambda: ChunkStore.opened(tmp_path / "new", [member()]), "No space left", error=broken)


def test_names_of_files_of_all_chunks_differ(kept, member, arrays, small_chunks, monkeypatch):
    small_chunks(monkeypatch)
    chunks = plan_chunks([member(), member(seed=1)])
    for chunk in chunks:
        kept.save(chunk, arrays)
    assert len(list(kept.directory.glob("*.chunk"))) == len(chunks) == 6
    assert all(isinstance(path, Path) and path.stat().st_size > 0 for path in kept.directory.iterdir())
