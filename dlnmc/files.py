"""netCDF files: written whole or not at all, and checked whole when opened.

A file carries three safeguards: fletcher32 on every array of numbers; a SHA-256 of the contents (values, labels,
attributes) in the attribute `content_sha256`; and behind the end of the netCDF data, where its readers do not look,
a line with the SHA-256 of all bytes before it. xarray and other programs open such files without dlnmc.

Anybody can compute checksums. So before anything is loaded, `dlnmc.inspection` looks at what a file declares: numbers
and text only, of a known layout, that fit in the memory of this process. Nothing in a file is ever run.
"""

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import xarray as xr

from dlnmc.errors import InvalidValue, RunFailed
from dlnmc.inspection import LAYOUT, inspect
from dlnmc.store import write_atomically

Result = TypeVar("Result")

TRAILER = b"\ndlnmc file sha256 "
TRAILER_SIZE = len(TRAILER) + 64
BLOCK = 2**20
_SOUND: set[str] = set()  # digests of files that this process wrote, or has inspected
_NETCDF = threading.Lock()  # the netCDF library is not thread-safe
_ABANDONED: list[Callable[[], object]] = []  # what undoes work that was given up
LOOK_SECONDS = 0.1


def save(result: xr.DataTree | xr.Dataset, path: str | Path) -> Path:
    """Write a result to a netCDF file: to a temporary file first, which is then renamed. Returns the path.

    Raises InvalidValue for what is no result or no path, RunFailed where the file cannot be written.
    """
    if not isinstance(result, xr.DataTree | xr.Dataset):
        raise InvalidValue(f"save: a result is an xarray DataTree or Dataset, not {type(result).__name__}")
    path = _path(path)
    tree = xr.DataTree(dataset=result) if isinstance(result, xr.Dataset) else result.copy()
    tree.attrs = _own(tree.attrs) | {"layout": LAYOUT}
    tree.attrs |= {"content_sha256": content_hash(tree)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(
            path, lambda file: _undisturbed(lambda: _write(tree, file), lambda: file.unlink(missing_ok=True))
        )
    except (OSError, RuntimeError) as error:
        raise RunFailed(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    return path


def _own(attrs: dict[Any, Any]) -> dict[Any, Any]:
    """The attributes of a result without those that `save` adds."""
    return {name: value for name, value in attrs.items() if name not in ("layout", "content_sha256")}


def _path(path: str | Path) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise InvalidValue(f"path = {path!r}: it must be the name of a file")
    return Path(path)


def _write(tree: xr.DataTree, file: Path) -> None:
    encoding = {
        node.path: {name: _encoding(variable) for name, variable in node.to_dataset(inherit=False).variables.items()}
        for node in tree.subtree
    }
    tree.to_netcdf(file, engine="netcdf4", encoding=encoding)
    with file.open("rb+") as written:
        digest = hashlib.file_digest(written, "sha256").hexdigest()
        written.write(TRAILER + digest.encode())
    _SOUND.add(digest)


def _encoding(variable: xr.Variable) -> dict[str, Any]:
    numeric = variable.dtype.kind in "iuf" and variable.ndim > 0 and variable.size > 0
    return {"zlib": True, "complevel": 1, "shuffle": True, "fletcher32": True} if numeric else {}


def open(path: str | Path) -> xr.DataTree:
    """Read a result that `save` wrote: equal to what was saved, in memory, the file closed.

    Raises InvalidValue, in one line, for a file that is missing, not of dlnmc, of a later layout, truncated, damaged,
    or larger than the memory of this process.
    """
    path = _path(path)
    try:
        if (digest := _checked_digest(path)) not in _SOUND:
            inspect(path)
            _SOUND.add(digest)
        tree = _undisturbed(lambda: _loaded(path))
    except OSError as error:
        raise InvalidValue(f"{path}: {error.strerror or error}") from None
    except MemoryError:
        raise InvalidValue(f"{path}: there is not enough memory to open it") from None
    except (ValueError, RuntimeError, KeyError, AttributeError) as error:
        if isinstance(error, InvalidValue | RunFailed):
            raise
        raise InvalidValue(f"{path}: this is not a netCDF file of dlnmc ({str(error).splitlines()[0]})") from None
    if tree.attrs.pop("content_sha256", None) != content_hash(tree):
        raise InvalidValue(f"{path}: damaged: the contents do not agree with their checksum")
    tree.attrs = _own(tree.attrs)
    return tree


def _loaded(path: Path) -> xr.DataTree:
    with xr.open_datatree(path, engine="netcdf4") as lazy:  # load_datatree forgets /histogram/samples
        return xr.DataTree.from_dict({node.path: node.to_dataset(inherit=False).load() for node in lazy.subtree})


def _undisturbed(work: Callable[[], Result], undo: Callable[[], object] = lambda: None) -> Result:
    """The result of work with the netCDF library, which is done in a thread of its own.

    Ctrl-C is raised in the main thread, at any place, and between two lines of xarray it would leave a lock held for
    ever. Here it ends the call at once; the work is done to its end, and undone.
    """
    given_up = threading.Event()

    def alone() -> Result:
        with _NETCDF:
            try:
                return work()
            finally:
                if given_up.is_set():
                    undo()

    pool = ThreadPoolExecutor(1, "netCDF")
    try:
        future = pool.submit(alone)
        while not wait([future], LOOK_SECONDS).done:  # without an end, a signal that comes just before is not heard
            pass
        return future.result()
    except BaseException:
        given_up.set()
        _ABANDONED.append(undo)
        raise
    finally:
        pool.shutdown(wait=False)


def undo_abandoned() -> None:
    """Undo what was given up and may still be at work, for a process that ends at once."""
    for undo in _ABANDONED:
        undo()


def _checked_digest(path: Path) -> str:
    """The SHA-256 of a file; InvalidValue unless it agrees with the checksum at its end.

    Nothing else looks at a file that does not: a damaged one can keep the netCDF library busy for ever.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe, which would be waited for
        raise InvalidValue(f"{path}: it is no file")
    size = path.stat().st_size - TRAILER_SIZE
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for start in range(0, size, BLOCK):
            digest.update(file.read(min(BLOCK, size - start)))
        trailer = file.read(TRAILER_SIZE + 1)
    if not trailer.startswith(TRAILER):
        raise InvalidValue(
            f"{path}: not a file of dlnmc, or truncated, or changed since: it does not end in a checksum"
        )
    if trailer != TRAILER + digest.hexdigest().encode():
        raise InvalidValue(f"{path}: damaged: the file does not agree with the checksum at its end")
    return digest.hexdigest()


def content_hash(tree: xr.DataTree) -> str:
    """The SHA-256 of all values, labels and attributes of a tree, independent of how they are stored."""
    digest = hashlib.sha256()
    for piece in _pieces(tree):
        digest.update(piece)
    return digest.hexdigest()


def _pieces(tree: xr.DataTree) -> Iterator[bytes | memoryview]:
    for node in sorted(tree.subtree, key=lambda node: node.path):
        data = node.to_dataset(inherit=False)
        yield _text(node.path, data.attrs)
        for name in sorted(data.variables, key=str):
            variable = data.variables[name]
            array = np.ascontiguousarray(variable.to_numpy())
            yield _text(name, variable.dims, array.shape, variable.attrs)
            if array.dtype.kind in "iuf":
                yield array.astype(array.dtype.newbyteorder("<"), copy=False).data
            else:
                yield _text(array.tolist())


def _text(*values: Any) -> bytes:
    return json.dumps(values, sort_keys=True, default=lambda v: v.tolist() if hasattr(v, "tolist") else str(v)).encode()
