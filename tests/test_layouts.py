"""Files of every layout, and of the release before layouts had numbers, are opened and hold what is promised.

`tests/layouts/ORIGIN-KIND.nc.gz` is packed, since small netCDF files are mostly empty. Where files of the present
layout are missing, `DLNMC_RECORD=1 scripts/test tests/test_layouts.py` makes them; one that is there stays as it is.
"""

import gzip
import json
import os
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

import dlnmc
from dlnmc import dataset, files, findings, tables

FOLDER = Path(__file__).parent / "layouts"
FIRST = "release-0.1.0"  # its files do not say their layout, which is 1
NETWORK = dlnmc.DeepLinearNetwork(width=3, depth=2.0, beta=3.0)
RUN = {"paths": 9, "dt": 0.01, "burn_in": 0.05, "duration": 0.1, "draws": 2, "observations": 4, "bins": 8, "seed": 1}
STUDY = {"model": {"width": 3, "depth": [1.0, 2.5], "beta": 3.0}, "run": RUN | {"dt": [0.01, 0.02]}}

MAKERS = {
    "equilibrium": lambda path: files.save(dlnmc.equilibrium(NETWORK, threads=1, **RUN), path),
    "simulation": lambda path: files.save(
        dlnmc.simulate(NETWORK, paths=9, dt=0.01, times=[0.0, 0.05, 0.1], seed=1, threads=1), path
    ),
    "study": lambda path: dlnmc.study(STUDY, path, threads=1, progress=False),
    "exact": lambda path: files.save(dlnmc.exact(NETWORK.changed(depth=1.0), paths=9, seed=1), path),
}

GROUPS = {  # variables and their dimensions, as in docs/files.md
    "samples": {"singular_values": ("path", "draw", "rank")},
    "histogram": {
        "counts": ("batch", "bin"),
        "underflow": ("batch",),
        "overflow": ("batch",),
        "samples": ("batch",),
        "edges": ("bin_edge",),
    },
    "moments": {"trace": ("path",), "moment": ("path", "order")},
    "extremes": {"largest": ("path",), "smallest": ("path",)},
    "spacing": {"ratio_all": ("path",)},
    "stationarity": {
        "z": ("scalar",),
        "threshold": (),
        "stationary": (),
        "effective_samples": ("scalar",),
        "effective_samples_error": ("scalar",),
        "autocorrelation_time": ("scalar",),
    },
    "sampler": dict.fromkeys(("status", "failed_step", "tamed", "crossings", "sign_changes"), ("path",)),
    "law": {"probability": ("bin",), "edge": (), "trace_mean": ()},
}
EXTRAPOLATED = {
    "value": ("scalar",),
    "error": ("scalar",),
    "order": ("scalar",),
    "order_error": ("scalar",),
    "bias": ("scalar", "dt"),
    "bias_error": ("scalar", "dt"),
}
PROMISED = {
    "equilibrium": GROUPS,
    "study": GROUPS | {"extrapolated": EXTRAPOLATED},
    "simulation": {"/": {"singular_values": ("path", "time", "rank")} | GROUPS["sampler"]},
    "exact": {"/": {"singular_values": ("path", "rank")}},
}
LATER = {"stationarity", "extrapolated"}  # than the first release
ATTRIBUTES = {
    "title", "source", "history", "Conventions", "config", "model", "energy", "seed", "scheme", "clock",
    "dlnmc_version", "kernel_hash", "numba_version", "numpy_version", "python_version", "cpu", "simd", "machine",
    "threads", "wall_seconds",
}  # fmt: skip


def _record():
    FOLDER.mkdir(exist_ok=True)
    for kind, make in MAKERS.items():
        path = FOLDER / f"layout-{files.LAYOUT}-{kind}.nc"
        packed = path.with_name(path.name + ".gz")
        if not packed.exists():
            make(path)
            packed.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
            path.unlink()


if os.environ.get("DLNMC_RECORD"):
    _record()

PACKED = sorted(FOLDER.glob("*.nc.gz"))


@pytest.fixture(scope="module", params=PACKED, ids=lambda packed: packed.name.removesuffix(".nc.gz"))
def unpacked(request, tmp_path_factory):
    """The path of a file, where it comes from and of which kind it is."""
    path = tmp_path_factory.mktemp("layouts") / request.param.stem
    path.write_bytes(gzip.decompress(request.param.read_bytes()))
    return path, *path.stem.rsplit("-", 1)


def promised(origin, kind):
    """The groups that such a file has, each with its variables and their dimensions."""
    return {group: own for group, own in PROMISED[kind].items() if origin != FIRST or group not in LATER}


def test_there_are_files_of_every_layout_and_of_the_first_release():
    names = {path.name for path in PACKED}
    assert names >= {f"layout-{layout}-{kind}.nc.gz" for layout in range(1, files.LAYOUT + 1) for kind in MAKERS}
    assert names >= {f"{FIRST}-{kind}.nc.gz" for kind in ("equilibrium", "simulation", "study")}
    assert all(path.stat().st_size < 40_000 for path in PACKED)


def test_a_file_says_its_layout_and_what_is_opened_does_not(unpacked):
    path, origin, _ = unpacked
    with netCDF4.Dataset(path) as file:
        assert getattr(file, "layout", None) == (None if origin == FIRST else int(origin.removeprefix("layout-")))
    assert not {"layout", "content_sha256"} & set(dlnmc.open(path).attrs)


def test_what_is_promised_is_there(unpacked):
    path, origin, kind = unpacked
    tree = dlnmc.open(path)
    missing = {"scheme", "threads"} if kind == "exact" else set()  # draws have no steps
    assert set(tree.attrs) >= ATTRIBUTES - missing
    assert dataset.model_of(tree if kind != "study" else next(iter(dataset.members(tree)))).kind == tree.attrs["model"]
    for group, variables in promised(origin, kind).items():
        for name, dims in variables.items():
            found = tree[group][name]
            assert set(dims) <= set(found.dims) <= {*dims, "depth", "dt"}, name
            assert found.attrs["long_name"], name
            assert found.attrs["units"], name


def test_plain_xarray_reads_the_same(unpacked):
    path, origin, kind = unpacked
    tree = dlnmc.open(path)
    with xr.open_datatree(path, engine="netcdf4") as plain:
        for group, variables in promised(origin, kind).items():
            for name in variables:
                np.testing.assert_array_equal(plain[group][name], tree[group][name])


def test_it_is_reported_checked_drawn_and_saved_again(unpacked, tmp_path):
    path, _, kind = unpacked
    tree = dlnmc.open(path)
    if kind in ("equilibrium", "study"):
        assert json.loads(tables.report_json(tree))
        assert "KS" in dlnmc.report(tree)
        assert findings.verdicts(tree)
    if kind != "exact":
        dlnmc.plot(tree, tmp_path / "picture.png")
        assert (tmp_path / "picture.png").stat().st_size > 0
    xr.testing.assert_identical(dlnmc.open(files.save(tree, tmp_path / "again.nc")), tree)


@pytest.mark.parametrize("layout", [files.LAYOUT + 1, 0, "two", [1, 1], 1.5])
def test_another_layout_is_refused(layout, tmp_path, refused, sealed):
    path = tmp_path / "other.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.layout = layout
    sealed(path)
    text = refused(lambda: dlnmc.open(path), str(path), "layout", f"knows layouts 1 to {files.LAYOUT}")
    assert ("upgrade" in text) == (layout == files.LAYOUT + 1)
