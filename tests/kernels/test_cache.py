"""Compiled kernels on disk: what is kept is found again, by any process, and nothing else is ever taken for it."""

import os
import signal
import subprocess
import sys
import types
from typing import NamedTuple

import pytest

from dlnmc_kernels import cache
from dlnmc_kernels.jit import FLAGS, JIT_DISABLED

pytestmark = pytest.mark.skipif(JIT_DISABLED, reason="nothing is compiled")


def twice(x):
    return x, x


@pytest.fixture
def fresh(tmp_path):
    """Function: what another process would make of the kernel `twice`, with its files in a folder of the test."""
    import numba

    def make():
        entry = numba.njit(twice, nogil=True, **FLAGS)
        entry._cache = cache.KernelCache(twice, tmp_path)
        return entry

    return make


def hits(entry):
    return sum(entry.stats.cache_hits.values())


def test_what_one_compiled_another_loads(fresh, tmp_path):
    one, other = fresh(), fresh()
    assert one(1.5) == (1.5, 1.5)
    assert hits(one) == 0
    assert other(1.5) == (1.5, 1.5)
    assert hits(other) == 1
    assert [path.suffix for path in tmp_path.iterdir()] == [".nbc"]


def test_two_that_compile_side_by_side_keep_both(fresh, tmp_path):
    """Under Numba's index the second would forget the first."""
    one, other = fresh(), fresh()
    assert one(1.5) == (1.5, 1.5)
    assert other(2) == (2, 2)
    third = fresh()
    assert (third(1.5), third(2)) == ((1.5, 1.5), (2, 2))
    assert hits(third) == 2
    assert len(list(tmp_path.iterdir())) == 2
    third.recompile()  # forgets, and compiles again
    assert third(1.5) == (1.5, 1.5)


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "foreign", "folder"])
def test_a_file_that_cannot_be_used_counts_as_missing(fresh, tmp_path, damage):
    assert fresh()(1.5) == (1.5, 1.5)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    if damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        flipped = content[:500] + bytes([content[500] ^ 1]) + content[501:]
        path.write_bytes({"cut": content[:-1], "empty": b"", "flipped": flipped, "foreign": b"x" * 99}[damage])
    entry = fresh()
    assert entry(1.5) == (1.5, 1.5)
    assert hits(entry) == 0
    if damage != "folder":  # it was written anew
        last = fresh()
        assert (last(1.5), hits(last)) == ((1.5, 1.5), 1)


def test_a_folder_that_cannot_be_written_costs_time_only(fresh, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.tempfile, "mkstemp", full)
    entry = fresh()
    assert (entry(1.5), hits(entry)) == ((1.5, 1.5), 0)
    assert not list(tmp_path.iterdir())


class Pair(NamedTuple):
    a: float


def test_code_for_a_class_of_the_same_name_is_not_taken(fresh):
    class Other(NamedTuple):
        a: float

    Other.__name__ = "Pair"
    assert fresh()(Pair(1.0)) == ((1.0,), (1.0,))
    entry = fresh()
    assert entry(Other(1.0)) == ((1.0,), (1.0,))
    assert hits(entry) == 0


def test_code_for_a_class_that_cannot_be_imported_is_no_trouble_to_others(fresh, monkeypatch):
    """Under Numba's index all that was compiled of a function was lost to a process that lacked one class."""
    module = types.ModuleType("here_only")
    exec("from typing import NamedTuple\nclass Mine(NamedTuple):\n    a: float", module.__dict__)
    monkeypatch.setitem(sys.modules, "here_only", module)
    one = fresh()
    assert one(module.Mine(1.0)) == ((1.0,), (1.0,))
    assert one(1.5) == (1.5, 1.5)
    monkeypatch.delitem(sys.modules, "here_only")
    other = fresh()
    assert (other(1.5), hits(other)) == ((1.5, 1.5), 1)
    assert (other(module.Mine(1.0)), hits(other)) == (((1.0,), (1.0,)), 1)  # compiled once more


TINY = """
import sys
import numpy as np
from dlnmc_kernels.jit import kernel

@kernel
def total(x, n):
    out = 0.0
    for i in range(len(x)):
        out += n * x[i]
    return out

names = sys.argv[1].split(",")
print("ready", flush=True)
for name in names:
    assert total(np.arange(5, dtype=name), np.dtype(name).type(len(name))) == 10.0 * len(name), name
    print(name, flush=True)
print("hits", sum(total.stats.cache_hits.values()))
"""
NAMES = ["float64", "float32", "int64", "int32", "uint16", "int8"]


def started(folder, names):
    (folder / "tiny.py").write_text(TINY)
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder / "cache")}
    command = [sys.executable, str(folder / "tiny.py"), ",".join(names)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_processes_that_fill_one_cache_at_once_and_one_that_is_killed(tmp_path):
    first, second = started(tmp_path, NAMES), started(tmp_path, NAMES[::-1])
    while first.stdout.readline().strip() != NAMES[1]:
        assert first.poll() is None
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=60)
    said, _ = second.communicate(timeout=60)
    assert second.returncode == 0, said
    third, _ = started(tmp_path, NAMES).communicate(timeout=60)
    assert f"hits {len(NAMES)}" in third
    files = [path for path in (tmp_path / "cache").rglob("*.nbc") if path.is_file()]
    assert len(files) == len(NAMES)
