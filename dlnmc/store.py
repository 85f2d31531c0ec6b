"""Chunk results on disk: one immutable file for each chunk, below `OUT.parts/`, beside a manifest.

A file is a line of text with the SHA-256 of what follows, then an uncompressed NumPy archive (no pickles). It is
written under a temporary name and renamed, so that one that exists is complete; one that fails its checksum is computed
again.
"""

import contextlib
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numba
import numpy as np
import scipy

from dlnmc import __version__
from dlnmc.chunks import Arrays, Chunk, Member
from dlnmc.errors import InvalidValue, RunFailed
from dlnmc_kernels.jit import arithmetic, cpu_name, source_hash

MANIFEST = "manifest.json"
MAGIC = b"dlnmc chunk 1 sha256 "


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write(temporary)` on a file beside `path`, flush it to disk and rename it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def identity(members: Sequence[Member]) -> dict[str, Any]:
    """What must agree for two chunks to belong to one result: the runs, and all that decides their bits."""
    return {
        "runs": [json.loads(member.run.to_json()) for member in members],
        "dlnmc": __version__,
        "kernels": source_hash(),
        "numba": numba.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "cpu": cpu_name(),
        "simd": arithmetic(),
    }


def differences(found: Any, wanted: Any, where: str = "") -> list[str]:
    """The places in which two nested structures of dicts, lists and plain values differ."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        keys = [*wanted, *(key for key in found if key not in wanted)]
        pairs = [(f"{where}.{key}".lstrip("."), found.get(key), wanted.get(key)) for key in keys]
    elif isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        pairs = [(where, a, b) for a, b in zip(found, wanted, strict=True)]
    else:
        return [] if found == wanted else [f"{where or 'everything'} ({_short(found)}, not {_short(wanted)})"]
    return list(dict.fromkeys(text for key, a, b in pairs for text in differences(a, b, key)))


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 20 else text[:17] + "..."


def remove_parts(directory: Path) -> None:
    """Delete what a store keeps in a folder, and the folder if nothing else is in it."""
    for pattern in ("member-*.chunk", MANIFEST, ".*.tmp"):
        for path in directory.glob(pattern):
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        directory.rmdir()


class ChunkStore:
    """The chunk files of one result; made for the members that it will hold."""

    def __init__(self, directory: Path, members: Sequence[Member], fresh: bool = False) -> None:
        self.directory = directory
        if fresh:
            self.remove()
        wanted = identity(members)
        self._seal = json.dumps(wanted).encode()
        manifest = directory / MANIFEST
        try:
            directory.mkdir(parents=True, exist_ok=True)
            if not manifest.exists():
                text = json.dumps(wanted, indent=1).encode()
                write_atomically(manifest, lambda file: file.write_bytes(text))
            found = json.loads(manifest.read_text())
        except OSError as error:
            raise RunFailed(f"{directory}: {error.strerror or error}") from None
        except ValueError:
            found = {}
        if found != wanted:
            raise InvalidValue(
                f"{directory}: holds an unfinished run with other settings: {'; '.join(differences(found, wanted))}; "
                "finish it with the settings that it was started with, or start over (--fresh)"
            )

    def _path(self, chunk: Chunk) -> Path:
        name = f"member-{chunk.member:04d}-block-{chunk.first_block:09d}-{chunk.blocks}.chunk"
        return self.directory / name

    def _header(self, chunk: Chunk, payload: bytes) -> bytes:
        """The first line of a chunk's file: it depends on the run and the chunk, so that foreign files are seen."""
        digest = hashlib.sha256(self._seal + self._path(chunk).name.encode() + payload)
        return MAGIC + digest.hexdigest().encode() + b"\n"

    def save(self, chunk: Chunk, arrays: Arrays) -> None:
        """Write the result of a chunk. Raises RunFailed where the place is full or cannot be written."""
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        payload = buffer.getvalue()
        try:
            write_atomically(self._path(chunk), lambda file: file.write_bytes(self._header(chunk, payload) + payload))
        except OSError as error:
            raise RunFailed(f"{self.directory}: {error.strerror or error}; the same command continues") from None

    def load(self, chunk: Chunk) -> Arrays | None:
        """The stored result of a chunk; None where there is none, or it is damaged or belongs elsewhere."""
        try:
            header, newline, payload = self._path(chunk).read_bytes().partition(b"\n")
        except OSError:
            return None
        if header + newline != self._header(chunk, payload):
            return None
        with np.load(io.BytesIO(payload), allow_pickle=False) as archive:
            return dict(archive)

    def remove(self) -> None:
        """Delete the chunk files, the manifest, and the folder if nothing else is in it."""
        remove_parts(self.directory)
