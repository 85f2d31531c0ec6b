"""What a file declares, looked at in a process of its own before anything of it is loaded.

Anybody can compute checksums, and a few hundred bytes can make the netCDF library ask for all memory, never end, or
crash. The other process has little memory and time; it walks through the whole file and reads every compressed chunk
and every text once. A file that it comes to the end of is one that can be loaded.
"""

import math
import os
import resource
import subprocess
import sys
import warnings
from collections.abc import Iterator
from itertools import chain, islice, product
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from dlnmc import __version__, machine
from dlnmc.errors import InvalidValue, RunFailed

LAYOUT = 1  # raised when a group, a variable, a dimension or an attribute is renamed or changes its meaning
MOST_GROUPS = 2**8  # results have about ten
MOST_PARTS = 2**14  # dimensions, variables and attributes; results have some hundreds
MOST_IN_ATTRIBUTE = 2**26  # numbers or characters; the description of a sweep has a thousand for each member
MOST_TEXTS = 2**16  # in a variable
BYTES = 8  # of a number or a character in memory, at most: xarray widens small types, and JSON becomes objects
ROOM = 2**31  # bytes of address space of the other process, its libraries included
SECONDS, RATE = 20, 2**25  # of processor time: so many, and one for so many bytes that the file declares
COMMAND = ("-P", "-m", "dlnmc.inspection")  # of Python
REFUSED, SOUND = 2, "sound"  # its exit code, and what it says


def inspect(path: Path) -> None:
    """Raise InvalidValue for a file that is not what `save` writes, or more than the memory of this process."""
    paths = os.pathsep.join(filter(None, sys.path))
    environment = os.environ | {"PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"}
    if not sys.executable or getattr(sys, "frozen", False):
        raise RunFailed(f"{path}: it cannot be inspected: there is no Python here that could be started for it")
    command = [sys.executable, *COMMAND, os.fspath(path)]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 our own
    except OSError as error:
        raise RunFailed(f"{path}: it cannot be inspected ({sys.executable}: {error.strerror or error})") from None
    if done.returncode == REFUSED:
        raise InvalidValue(f"{path}: {' '.join(done.stdout.split())}")
    if done.returncode < 0:
        raise InvalidValue(f"{path}: damaged: the netCDF library does not come to its end (signal {-done.returncode})")
    if done.returncode > 0 or done.stdout.strip() != SOUND:
        raise RunFailed(f"{path}: it cannot be inspected ({' '.join(done.stderr.split()[-20:])})")


def main(path: Path) -> int:
    """Inspect a file in this process, whose memory and time are cut down for it; print why it is refused."""
    _limit(resource.RLIMIT_AS, ROOM)
    _limit(resource.RLIMIT_CPU, SECONDS)
    try:
        _walk(path)
    except InvalidValue as error:
        print(error)
    except MemoryError:
        print("damaged: its structure or its text takes more memory than such files do")
    except OSError as error:
        print(error.strerror or error)
    except Exception as error:  # whatever the libraries raise on what they do not understand
        print("this is not a netCDF file of dlnmc", f"({' '.join(str(error).split()) or type(error).__name__})")
    else:
        print(SOUND)
        return 0
    return REFUSED


def _limit(kind: int, value: float) -> None:
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (int(value) if hard == resource.RLIM_INFINITY else min(int(value), hard), hard))


def _walk(path: Path) -> None:
    """Look at all that a file declares, then read its texts and compressed chunks one after another."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "WARNING: .*unsupported", UserWarning)  # opaque types, for one
        with netCDF4.Dataset(path) as file:
            _check_layout(getattr(file, "layout", LAYOUT))
            groups = list(islice(_groups(file), MOST_GROUPS + 1))
            _limit(resource.RLIMIT_CPU, SECONDS + _declared(groups) / RATE)
            for group in groups:
                for variable in group.variables.values():
                    _read(variable)


def _check_layout(layout: Any) -> None:
    known = f"dlnmc {__version__} knows layouts 1 to {LAYOUT}"
    if not isinstance(layout, int | np.integer) or layout < 1:
        raise InvalidValue(f"layout = {layout!r}: {known}")
    if layout > LAYOUT:
        raise InvalidValue(f"layout = {layout}: {known}; upgrade dlnmc to open it")


def _groups(group: Any) -> Iterator[Any]:
    yield group
    for inner in group.groups.values():
        yield from _groups(inner)


def _declared(groups: list[Any]) -> float:
    """How many bytes the contents of a file would take in memory, attributes included."""
    if len(groups) > MOST_GROUPS:
        raise InvalidValue(f"it has more than {MOST_GROUPS} groups")
    memory, needed = machine.memory(), 0.0
    for parts, size in enumerate(chain.from_iterable(map(_sizes, groups)), 1):
        if parts > MOST_PARTS:
            raise InvalidValue(f"it has more than {MOST_PARTS} dimensions, variables and attributes")
        needed += size * BYTES
        if needed > memory:
            raise InvalidValue(
                f"what it declares would take {needed / 2**30:.3g} GiB or more, and there are "
                f"{memory / 2**30:.3g} GiB of memory"
            )
    return needed


def _sizes(group: Any) -> Iterator[float]:
    """How many numbers or characters are in each dimension, attribute and variable of a group."""
    yield from [1.0] * len(group.dimensions)
    for owner in (group, *group.variables.values()):
        yield from (_size_of_attribute(owner.getncattr(name)) for name in owner.ncattrs())
    yield from map(_size, group.variables.values())


def _size_of_attribute(value: Any) -> float:
    size = sum(map(len, value)) if isinstance(value, list) else len(value) if isinstance(value, str) else np.size(value)
    if size > MOST_IN_ATTRIBUTE:
        raise InvalidValue(f"it has an attribute of {size} numbers or characters: at most {MOST_IN_ATTRIBUTE}")
    return size


def _size(variable: Any) -> float:
    """How many numbers are in a variable and, besides, in one of its chunks, which the library reads whole."""
    size = math.prod(variable.shape, start=1.0)
    if variable.dtype is str:
        if size > MOST_TEXTS:
            raise InvalidValue(f"{_name(variable)}: more than {MOST_TEXTS} texts")
    elif not isinstance(variable.datatype, np.dtype):
        raise InvalidValue(f"{_name(variable)} is of the type {variable.datatype.name}: it must be numbers or text")
    return size + math.prod(_chunk(variable), start=1.0)


def _name(variable: Any) -> str:
    return f"{variable.group().path.rstrip('/')}/{variable.name}"


def _chunk(variable: Any) -> list[int]:
    """The shape of a chunk; empty where there are none."""
    chunk = variable.chunking()
    return chunk if isinstance(chunk, list) else []


def _read(variable: Any) -> None:
    """Read texts, which are as long as they are, and chunks, which unpack to what they unpack to."""
    if variable.dtype is str:
        variable[...]
    elif chunk := _chunk(variable):
        variable.set_auto_maskandscale(False)
        for corner in product(*(range(0, size, step) for size, step in zip(variable.shape, chunk, strict=True))):
            variable[tuple(slice(start, start + step) for start, step in zip(corner, chunk, strict=True))]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
