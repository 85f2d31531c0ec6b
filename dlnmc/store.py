"""Chunk results on disk: one immutable file for each chunk, below `OUT.parts/`, beside a manifest.

A file is a line of text with the SHA-256 of what follows, then an uncompressed NumPy archive (no pickles). It is written
under a temporary name and renamed, so that a file that exists is complete; one that fails its checksum is computed again.
"""

import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numba
import numpy as np

from dlnmc.chunks import Arrays, Chunk, Member
from dlnmc.errors import InvalidValue
from dlnmc_kernels.jit import cpu_name, simd, source_hash

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


def identity(members: Sequence[Member]) -> dict[str, str]:
    """What must agree for two chunks to belong to one result: the runs, and all that decides their bits."""
    runs = hashlib.sha256("\n".join(member.run.to_json() for member in members).encode()).hexdigest()
    return {
        "runs": runs,
        "kernels": source_hash(),
        "numba": numba.__version__,
        "cpu": cpu_name(),
        "simd": simd(),
    }


class ChunkStore:
    """The chunk files of one result; made for the members that it will hold."""

    def __init__(self, directory: Path, members: Sequence[Member], fresh: bool = False) -> None:
        self.directory = directory
        if fresh:
            self.remove()
        wanted = identity(members)
        manifest = directory / "manifest.json"
        try:
            directory.mkdir(parents=True, exist_ok=True)
            found = json.loads(manifest.read_text()) if manifest.exists() else None
        except (OSError, ValueError) as error:
            raise InvalidValue(f"{directory}: {error}") from None
        if found is None:
            text = json.dumps(wanted, indent=1).encode()
            write_atomically(manifest, lambda file: file.write_bytes(text))
        elif found != wanted:
            differing = [key for key in wanted if not isinstance(found, dict) or found.get(key) != wanted[key]]
            raise InvalidValue(
                f"{directory}: holds an unfinished run with different {', '.join(differing)}; "
                "finish it with the settings that it was started with, or start over (--fresh)"
            )

    def _path(self, chunk: Chunk) -> Path:
        return self.directory / f"member-{chunk.member:04d}-block-{chunk.first_block:09d}.chunk"

    def save(self, chunk: Chunk, arrays: Arrays) -> None:
        """Write the result of a chunk."""
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        payload = buffer.getvalue()
        header = MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n"
        write_atomically(self._path(chunk), lambda file: file.write_bytes(header + payload))

    def load(self, chunk: Chunk) -> Arrays | None:
        """The stored result of a chunk; None where there is none or it is damaged."""
        try:
            header, _, payload = self._path(chunk).read_bytes().partition(b"\n")
        except OSError:
            return None
        if header != MAGIC + hashlib.sha256(payload).hexdigest().encode():
            return None
        with np.load(io.BytesIO(payload), allow_pickle=False) as archive:
            return dict(archive)

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.directory, ignore_errors=True)
