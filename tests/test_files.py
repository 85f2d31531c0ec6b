"""Files: what is opened is what was saved; whatever else is there gives one line, at once."""

import base64
import errno
import gc
import hashlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
import zlib

import netCDF4
import numpy as np
import pytest
import xarray as xr

import dlnmc
from dlnmc import InvalidValue, RunFailed, files, inspection

NETWORK = dlnmc.DeepLinearNetwork(width=5, depth=2.0, beta=3.0)


@pytest.fixture(scope="module")
def saved(tmp_path_factory, network_tree):
    return files.save(network_tree, tmp_path_factory.mktemp("saved") / "run.nc")


@pytest.fixture
def broken(tmp_path, refused):
    """Function: assert that a file of these bytes is refused in one line that names it, within a second."""

    def check(content, *pieces):
        path = tmp_path / "broken.nc"
        path.write_bytes(content)
        before = time.monotonic()
        refused(lambda: files.open(path), str(path), *pieces)
        assert time.monotonic() - before < 1.0

    return check


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def forged(content):
    """The bytes with a trailer that agrees with them."""
    return content + files.TRAILER + hashlib.sha256(content).hexdigest().encode()


# --- there and back ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fixture", ["network_tree", "dyson_tree", "grid"])
def test_what_is_opened_is_what_was_saved(fixture, request, tmp_path):
    tree = request.getfixturevalue(fixture)
    attrs = dict(tree.attrs)
    path = files.save(tree, tmp_path / "a" / "b" / "run.nc")
    assert path == tmp_path / "a" / "b" / "run.nc"
    again = files.open(path)
    xr.testing.assert_identical(again, tree)
    assert tree.attrs == attrs  # saving changes nothing
    assert {key: type(value) for key, value in again.attrs.items() if isinstance(value, str)} == {
        key: type(value) for key, value in attrs.items() if isinstance(value, str)
    }
    for node in tree.subtree:
        for name, variable in node.variables.items():
            assert again[node.path].variables[name].dtype.kind == variable.dtype.kind, name
    assert names(path.parent) == ["run.nc"]


def test_a_dataset_is_saved_too(network_paths, tmp_path):
    again = files.open(str(files.save(network_paths, str(tmp_path / "paths.nc"))))
    assert again.to_dataset().identical(network_paths)


def test_special_values_survive(tmp_path):
    """A sweep over the clock has a coordinate of text; the largest seed needs 64 bits; ranks may be missing."""
    settings = {"paths": 9, "dt": 0.01, "burn_in": 0.05, "duration": 0.1, "observations": 2}
    models = [NETWORK.changed(clock=clock) for clock in ("paper", "depth")]
    tree = dlnmc.sweep(models, seed=2**64 - 1, **settings)
    again = files.open(files.save(tree, tmp_path / "run.nc"))
    xr.testing.assert_identical(again, tree)
    assert int(again.attrs["seed"]) == 2**64 - 1
    data = xr.Dataset({"x": ("i", [np.nan, np.inf, -np.inf, -0.0, 5e-324], {"units": "1"}), "n": ("i", np.arange(5))})
    again = files.open(files.save(data, tmp_path / "data.nc")).to_dataset()
    assert again.x.values.tobytes() == data.x.values.tobytes()
    empty = xr.Dataset({"x": ("i", np.empty(0))})
    assert files.open(files.save(empty, tmp_path / "empty.nc")).x.shape == (0,)


def test_an_opened_result_is_in_memory_and_its_file_closed(saved, tmp_path):
    """A handle that stays open lets the next program part that opens the file crash the netCDF library."""
    path = tmp_path / "run.nc"
    path.write_bytes(saved.read_bytes())
    gc.collect()
    gc.disable()
    try:
        tree = files.open(path)
        handles = [handle for handle in gc.get_objects() if type(handle) is netCDF4.Dataset]
        assert not any(handle.isopen() for handle in handles)
    finally:
        gc.enable()
    path.unlink()
    for node in tree.subtree:
        for variable in node.to_dataset(inherit=False).variables.values():
            variable.to_numpy()


def test_a_run_is_continued_from_a_file(saved, network_tree):
    more = {"paths": 21, "dt": 0.01, "times": [0.05]}
    one, other = (dlnmc.simulate(NETWORK, start=start, **more) for start in (files.open(saved), network_tree))
    assert one.equals(other)


OTHER = """
import sys
import netCDF4
import xarray as xr

def look(path):
    tree = xr.open_datatree(path)
    samples = tree["samples"].singular_values.to_numpy()
    tree.close()
    with xr.open_dataset(path, group="histogram") as data:
        assert data.counts.dtype == "int64"
    with netCDF4.Dataset(path) as file:
        assert file.groups["samples"].variables["singular_values"].shape == samples.shape == (21, 4, 5)
        assert file.title.startswith("Equilibrium")
    print(samples.sum())
"""


@pytest.mark.parametrize("before", ["pass", "kept = [dlnmc.files.open(sys.argv[1]) for _ in range(3)]"])
def test_other_programs_open_it_also_after_dlnmc_has(before, saved, network_tree):
    """In a process of its own, which the netCDF library has been seen to crash."""
    code = OTHER + ("import dlnmc.files\n" if before != "pass" else "") + before + "\nlook(sys.argv[1])"
    found = subprocess.run([sys.executable, "-c", code, saved], capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 0, found.stderr[-500:]
    assert float(found.stdout) == float(network_tree["samples"].singular_values.sum())


def test_every_variable_with_numbers_has_its_own_checksum(saved):
    with netCDF4.Dataset(saved) as file:
        for group in (file, *file.groups.values()):
            for name, variable in group.variables.items():
                if variable.ndim and variable.dtype is not str:
                    assert variable.filters()["fletcher32"], name


# --- damage -----------------------------------------------------------------------------------------------------------


def test_every_flip_of_a_bit_is_found(saved, broken, rng):
    content = saved.read_bytes()
    random = rng()
    positions = {*range(64), *range(len(content) - 96, len(content)), *random.integers(len(content), size=500).tolist()}
    for position in sorted(positions):
        bad = bytearray(content)
        bad[position] ^= 1 << random.integers(8)
        broken(bytes(bad))


def test_every_truncation_is_found(saved, broken):
    content = saved.read_bytes()
    lengths = {*range(100), *range(len(content) - 100, len(content)), *range(0, len(content), 4099)}
    for length in sorted(lengths):
        broken(content[:length])


@pytest.mark.parametrize("extra", [b"\0", b"\n", b"more", bytes(4096)])
def test_bytes_appended_are_found(saved, broken, extra):
    broken(saved.read_bytes() + extra)


def test_blocks_that_changed_places_are_found(saved, broken):
    content = saved.read_bytes()
    broken(content[:512] + content[1024:1536] + content[512:1024] + content[1536:])
    broken(bytes(512) + content[512:])


def test_files_that_are_not_ours(broken, tmp_path):
    xr.Dataset({"x": ("i", np.arange(5.0))}).to_netcdf(tmp_path / "other.nc", engine="netcdf4")
    other = (tmp_path / "other.nc").read_bytes()
    for content in (b"", b"\n", b"width,depth\n1,2\n" * 99, other, bytes(10_000), b"\x89HDF\r\n\x1a\n", files.TRAILER):
        broken(content)


def test_files_whose_trailer_agrees_and_whose_contents_do_not(broken, tmp_path, saved):
    """Such as one another program has written to: the netCDF library reads it, the hash of the contents refuses it."""
    for content in (b"", b"text", b"\x89HDF\r\n\x1a\n" + bytes(500)):
        broken(forged(content))
    xr.Dataset({"x": ("i", np.arange(5.0))}).to_netcdf(tmp_path / "other.nc", engine="netcdf4")
    broken(forged((tmp_path / "other.nc").read_bytes()), "checksum")
    changes = {
        "value": lambda file: file["samples/singular_values"].__setitem__((0, 0, 0), 1.0),
        "count": lambda file: file["histogram/counts"].__setitem__((0, 0), 999),
        "attribute": lambda file: file.setncattr("scheme", "milstein"),
        "units": lambda file: file["samples/singular_values"].setncattr("units", "metres"),
        "group": lambda file: file.createGroup("more").setncattr("a", 1),
        "hash": lambda file: file.delncattr("content_sha256"),
    }
    for change in changes.values():
        copy = tmp_path / "copy.nc"
        copy.write_bytes(saved.read_bytes()[: -files.TRAILER_SIZE])
        with netCDF4.Dataset(copy, "a") as file:
            change(file)
        broken(forged(copy.read_bytes()), "damaged")


def test_what_is_no_file(tmp_path, refused):
    refused(lambda: files.open(tmp_path / "missing.nc"), "missing.nc", "No such file")
    refused(lambda: files.open(tmp_path), str(tmp_path))
    (tmp_path / "file").write_text("")
    refused(lambda: files.open(tmp_path / "file" / "run.nc"), "run.nc")
    refused(lambda: files.open("a\0b.nc"))


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no devices")
def test_a_device_is_refused_and_not_read_for_ever(refused):
    """In a process with little memory and time: an endless file must not be read whole."""
    code = "import resource; resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30)); import dlnmc.files as f\n"
    code += "try: f.open('/dev/zero')\nexcept f.InvalidValue as error: print('refused:', error)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    assert found.stdout.startswith("refused: /dev/zero"), found.stderr[-300:]


# --- forged on purpose: checksums agree, and opening them naively takes all memory, never ends or crashes -------------


def huge(file):
    file.createDimension("x", 10**12)
    file.createVariable("x", "f8", ("x",), zlib=True, chunksizes=(2**20,))


def huge_beyond_floating_point(file):
    names = [f"d{i}" for i in range(30)]
    for name in names:
        file.createDimension(name, 2**40)
    file.createVariable("x", "i1", names, zlib=True, chunksizes=(1,) * 30)


def many_texts(file):
    file.createDimension("x", 10**9)
    file.createVariable("x", str, ("x",))


def huge_attribute(file):
    file.setncattr("config", "x" * 2**27)


def many_groups(file):
    for i in range(3000):
        file.createGroup(f"g{i}")


def deep_groups(file):
    for _ in range(1500):
        file = file.createGroup("g")


def many_attributes(file):
    for i in range(20_000):
        file.setncattr(f"a{i}", 1)


def compound(file):
    file.createDimension("x", 3)
    file.createVariable("x", file.createCompoundType(np.dtype([("a", "f8"), ("b", "i4")]), "c"), ("x",))


def variable_length(file):
    file.createDimension("x", 3)
    file.createVariable("x", file.createVLType(np.float64, "v"), ("x",))


def enumeration(file):
    file.createDimension("x", 3)
    file.createVariable("x", file.createEnumType(np.uint8, "e", {"a": 1}), ("x",), fill_value=1)


MADE = {
    huge: ("7.45e+03 GiB or more", "GiB of memory"),
    huge_beyond_floating_point: ("inf GiB", "of memory"),
    many_texts: ("more than 65536 texts",),
    huge_attribute: ("an attribute of 134217728",),
    many_groups: ("more than 256 groups",),
    deep_groups: ("recursion",),
    many_attributes: ("more than 16384 dimensions, variables and attributes",),
    compound: ("/x is of the type c",),
    variable_length: ("/x is of the type v",),
    enumeration: ("/x is of the type e",),
}
PACKED = {  # that netCDF reads and does not write: HDF5 files, zlib, base 85
    "a group that contains itself": (
        "c-rgqaB<`1lHy_j0S*oZ76t(ZWbhvf%$QL5F!=-q{J`JCC5VaV0h1D#$IOUkEIQy~VgM^)69JKoEHGmj)4gF@Col{`@J#VZ2Dx69"
        "K=mqXVtQg`9?ZL9tPCI-aOgJ<3a{Q>WHAu{Z>LYk"
    ),
    "three texts of a gigabyte": (
        "c-rgqaB<`1lHy_j0S*oZ76t(ZWbhvfqM1<nF!=-q{J`JCC5VaV0h1D#$IOUkEIQy~VgM^)69JKoEHGmjE4*P^Col{`@MdPAEF%LO"
        "#PLv<GBQX&Xhw(tGgK{t<^U@d1`(%bS+hd<Ow3GR4crV0U_K+<JdiviLrQ8|PGU(a11xYjp!P5`F~NcntOIByR7Jsngb4uTn?Gm"
    ),
    "opaque numbers": (
        "c-rgqaB<`1lHy_j0S*oZ76t(ZWbhvf>^V^RF!=-q{J`JCC5VaV0h1D#$IOIgEIQy~VqgTxvx$I6Mi!Vcj1}ID5Ee{^5hjxy4KuWi"
        "VZeZ@#HRO*46G2xL!HLRAOWEnAp*=$wFsI6tW*?;S-}{>XJTRkYv6$DXJ%x820lNUtuq(~Gax-Y8o)}$fbj`RghfQ!BdA~x4Il>w"
        "6K)2R|3CvXp>iB#=*1lm{7~Zz&`eQa7zLwX6pVtA1^`FHIFA"
    ),
}
BOUNDED = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
from dlnmc import files
try:
    files.open(sys.argv[1])
except files.InvalidValue as error:
    print("refused:", error)
status = Path("/proc/self/status")  # of getrusage, a process inherits the peak of the one that started it
print(*(line.split()[1] for line in status.read_text().splitlines() if "VmHWM" in line) if status.exists() else "0")
"""


@pytest.fixture
def refused_within_bounds(tmp_path, sealed):
    """Function: assert that a process with little memory and time refuses the file in one line, and took neither."""

    def check(path, *pieces):
        command = [sys.executable, "-c", BOUNDED, sealed(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr[-500:]
        text, kilobytes = done.stdout.splitlines()
        assert text.startswith(f"refused: {path}: ")
        assert all(piece in text for piece in pieces), text
        assert int(kilobytes) < 400_000
        assert done.stderr == ""

    return check


@pytest.mark.parametrize(("make", "pieces"), MADE.items(), ids=[make.__name__ for make in MADE])
def test_a_file_that_declares_what_no_result_holds_is_refused(make, pieces, tmp_path, refused_within_bounds):
    path = tmp_path / "forged.nc"
    with netCDF4.Dataset(path, "w") as file:
        make(file)
    refused_within_bounds(path, *pieces)


@pytest.mark.parametrize("packed", PACKED.values(), ids=PACKED)
def test_a_file_that_exhausts_the_netcdf_library_is_refused(packed, tmp_path, refused_within_bounds):
    path = tmp_path / "forged.nc"
    path.write_bytes(zlib.decompress(base64.b85decode(packed)))
    refused_within_bounds(path)


@pytest.mark.slow
def test_a_chunk_that_unpacks_to_more_than_it_declares_is_refused(tmp_path, rng, refused_within_bounds):
    """A thousandth of what it becomes, in the place of the bytes of an honest chunk."""
    path = tmp_path / "forged.nc"
    noise = rng().integers(0, 16, size=2**23, dtype=np.uint8)
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("x", noise.size)
        options = {"zlib": True, "complevel": 1, "shuffle": False, "chunksizes": noise.shape}
        file.createVariable("x", "u1", ("x",), **options)[:] = noise
    content = path.read_bytes()
    honest, bomb = zlib.compress(noise.tobytes(), 1), zlib.compress(bytes(2**31), 9)
    at = content.index(honest[:2], content.index(b"TREE"))
    assert len(bomb) < len(honest)
    path.write_bytes(content[:at] + bomb + content[at + len(bomb) :])
    refused_within_bounds(path)


@pytest.mark.parametrize("python", [None, "", "/no/such/python", shutil.which("true")])
def test_without_a_python_to_inspect_it_a_file_is_not_opened(python, saved, monkeypatch, refused):
    monkeypatch.setattr(files, "_SOUND", set())
    monkeypatch.setattr(sys, "executable", python)
    refused(lambda: files.open(saved), "cannot be inspected", error=RunFailed)


def test_a_pipe_is_no_file(tmp_path, refused):
    os.mkfifo(tmp_path / "pipe.nc")
    refused(lambda: files.open(tmp_path / "pipe.nc"), "pipe.nc", "no file")


def test_a_library_that_crashes_or_does_not_start_is_one_line(saved, monkeypatch, refused):
    monkeypatch.setattr(files, "_SOUND", set())  # of which none was looked at before
    for code, error, piece in (("os.abort()", InvalidValue, "signal 6"), ("None.x", RunFailed, "cannot be inspected")):
        monkeypatch.setattr(inspection, "COMMAND", ("-c", f"import os; {code}"))
        refused(lambda: files.open(saved), str(saved), piece, error=error)


# --- writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("NetCDF: HDF error"), KeyboardInterrupt()],
    ids=["disk", "library", "interrupt"],
)
def test_a_failed_write_leaves_the_old_file_and_no_other(error, tmp_path, saved, network_tree, monkeypatch):
    path = tmp_path / "run.nc"
    path.write_bytes(saved.read_bytes())

    def half(tree, file, **settings):
        with open(file, "wb") as written:
            written.write(b"half of a file")
        raise error

    monkeypatch.setattr(xr.DataTree, "to_netcdf", half)
    with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else RunFailed) as caught:
        files.save(network_tree, path)
    if not isinstance(error, KeyboardInterrupt):
        assert str(path) in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1
    assert names(tmp_path) == ["run.nc"]
    files.open(path)


FULL = """
import resource, signal, sys
import dlnmc.files as files
tree = files.open(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
try:
    files.save(tree, sys.argv[2])
except files.RunFailed as error:
    print("failed:", error)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limits of file size")
def test_a_disk_that_fills_up_is_one_line_and_leaves_the_old_file(tmp_path, saved):
    path = tmp_path / "run.nc"
    path.write_bytes(saved.read_bytes())
    found = subprocess.run(
        [sys.executable, "-c", FULL, saved, path], capture_output=True, text=True, timeout=60, check=False
    )
    assert found.stdout.startswith(f"failed: {path}"), found.stderr[-500:]
    assert len(found.stdout.splitlines()) == 1
    assert names(tmp_path) == ["run.nc"]
    files.open(path)


def test_places_that_cannot_be_written_are_one_line(tmp_path, network_tree, refused):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for place in ("file/run.nc", "folder"):
        refused(lambda place=place: files.save(network_tree, tmp_path / place), place, error=(RunFailed, InvalidValue))
    assert names(tmp_path) == ["file", "folder"]
    assert names(tmp_path / "folder") == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_one_line(tmp_path, network_tree, refused):
    (tmp_path / "folder").mkdir(mode=0o500)
    refused(lambda: files.save(network_tree, tmp_path / "folder" / "run.nc"), "Permission", error=RunFailed)


def test_a_file_that_exists_is_replaced(tmp_path, saved, network_tree, dyson_tree):
    path = tmp_path / "run.nc"
    files.save(network_tree, path)
    files.save(dyson_tree, path)
    xr.testing.assert_identical(files.open(path), dyson_tree)


@pytest.fixture
def interrupted(monkeypatch):
    """Function: assert that Ctrl-C ends a call that is in the midst of a method of xarray, which then goes on."""

    def check(call, owner, method):
        entered, left, go_on = threading.Event(), threading.Event(), threading.Event()
        original = getattr(owner, method)

        def slow(*arguments, **options):
            entered.set()
            assert go_on.wait(60.0)
            try:
                return original(*arguments, **options)
            finally:
                left.set()

        def press():
            assert entered.wait(60.0)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

        with monkeypatch.context() as patch:
            patch.setattr(owner, method, slow)
            before = signal.signal(signal.SIGINT, signal.default_int_handler)
            threading.Thread(target=press).start()
            try:
                with pytest.raises(KeyboardInterrupt):
                    call()
            finally:
                signal.signal(signal.SIGINT, before)
            assert entered.is_set()
            assert not left.is_set()
            go_on.set()
            assert left.wait(60.0)

    return check


def test_ctrl_c_ends_the_writing_of_a_file_and_does_not_stop_in_its_midst(interrupted, tmp_path, network_tree):
    """A lock of xarray that is held when an interrupt comes would be waited for without end."""
    path = tmp_path / "run.nc"
    interrupted(lambda: files.save(network_tree, path), xr.DataTree, "to_netcdf")
    with files._NETCDF:  # when all is undone
        assert names(tmp_path) == []
    files.save(network_tree, path)
    xr.testing.assert_identical(files.open(path), network_tree)


LEAVES = """
import sys, xarray, os, signal, threading, time
import dlnmc
from dlnmc import cli, files, runs

def to_netcdf(self, file, **options):
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(600):  # as xarray does with every group, which makes the file anew where there is none
        file.write_bytes(bytes(1000))
        time.sleep(0.1)

xarray.DataTree.to_netcdf = to_netcdf
signal.signal(signal.SIGINT, signal.default_int_handler)
tree = xarray.DataTree(xarray.Dataset({"a": ("x", [1.0])}))
out = sys.argv.pop()
runs.study = lambda *arguments, **options: files.save(tree, out)
cli.main()
"""


def test_a_command_that_ends_while_it_writes_leaves_nothing(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", LEAVES, "study", "semicircle", tmp_path / "out.nc"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (130, "dlnmc: interrupted\n")
    assert names(tmp_path) == []


def test_ctrl_c_ends_the_reading_of_a_file_and_does_not_stop_in_its_midst(interrupted, saved, network_tree):
    interrupted(lambda: files.open(saved), xr, "open_datatree")
    xr.testing.assert_identical(files.open(saved), network_tree)


def test_the_hash_of_the_contents_is_of_contents_alone(saved, network_tree):
    assert files.content_hash(files.open(saved)) == files.content_hash(network_tree)
    other = network_tree.copy(deep=True)
    other["moments"]["trace"][0] = np.nextafter(float(other["moments"]["trace"][0]), 99)
    assert files.content_hash(other) != files.content_hash(network_tree)


def test_files_are_written_and_read_from_several_threads(tmp_path):
    """In a process of its own: without a lock the netCDF library crashes it."""
    script = """
import sys
from concurrent.futures import ThreadPoolExecutor
import xarray as xr
from dlnmc import files

def again(path):
    for _ in range(15):
        files.save(xr.Dataset({"a": ("x", [1.0, 2.0])}), path)
        files.open(path)

with ThreadPoolExecutor(4) as pool:
    list(pool.map(again, [f"{sys.argv[1]}/{i}.nc" for i in range(4)]))
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
