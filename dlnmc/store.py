"""Chunk results on disk: one immutable file for each chunk, below `OUT.parts/`, beside a manifest.

A file is a line of text with the SHA-256 of what follows, then an uncompressed NumPy archive (no pickles). It is
written under a temporary name and renamed, so that one that exists is complete; one that fails its checksum is computed
again. A chunk that takes long has a second file until it is done, the state from which it goes on.
"""

import contextlib
import glob
import hashlib
import io
import json
import math
import os
import secrets
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

import numba
import numpy as np
import scipy

from dlnmc import __version__
from dlnmc.chunks import Arrays, Chunk, Form, Member
from dlnmc.errors import InvalidValue, RunFailed
from dlnmc_kernels.jit import arithmetic, cpu_name, source_hash

MANIFEST = "manifest.json"
LAYOUT = 1  # of the manifest and the files beside it
MAGIC = b"dlnmc chunk 2 sha256 "
STATE_MAGIC = b"dlnmc state 1 sha256 "
MOST_MANIFEST = 2**26  # bytes
HEADERS = 2**10  # bytes of an archive beside each of its arrays, at most
LONGEST_LINE = 200  # bytes of the first line of a file
PATTERNS = (
    "member-*.chunk",
    "member-*.state",
    ".*.tmp",
    MANIFEST,
)  # of all that a store keeps; it is one's to the last


def write_atomically(path: Path, write: Callable[[Path], object], durable: bool = True) -> None:
    """Call `write(temporary)` on a file beside `path`, flush it to disk if it is to be durable, and rename it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        temporary.touch(exist_ok=False)  # with the permissions that files have here
        write(temporary)
        if durable:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_temporaries(path: Path) -> None:
    """Delete what writers of this file left that were killed; none may be at work."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.[0-9]*-????????.tmp"):
        left.unlink(missing_ok=True)


def identity(members: Sequence[Member]) -> dict[str, Any]:
    """What must agree for two chunks to belong to one result: the runs, and all that decides their bits."""
    found: dict[str, Any] = {"runs": [json.loads(member.run.to_json()) for member in members]}
    if continued := [member.continued.digest() for member in members if member.continued is not None]:
        found["continues"] = continued
    return found | facts()


def facts() -> dict[str, str]:
    """What decides the bits of a run beside its description: versions, and the processor."""
    return {
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


def size_of(directory: Path) -> int:
    """The bytes of all files in a folder, which may not be there, or change meanwhile."""
    found = 0
    with contextlib.suppress(OSError):
        for path in directory.iterdir():
            found += path.stat().st_size
    return found


def remove_parts(directory: Path) -> None:
    """Delete what a store keeps in a folder, and the folder if nothing else is in it."""
    for pattern in PATTERNS:
        for path in directory.glob(pattern):
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        directory.rmdir()


class Manifest(NamedTuple):
    """What a folder of chunks says of itself: the identity of its run, and the study that it came from, if any."""

    identity: dict[str, Any]
    config: dict[str, Any]

    def text(self) -> str:
        """The content of the file: everything, and a checksum of it."""
        config = _canonical(self.config)
        body = {
            "layout": LAYOUT,
            "config": self.config,
            "config_sha256": hashlib.sha256(config.encode()).hexdigest(),
            "identity": self.identity,
        }
        return json.dumps({"sha256": _digest(body)} | body, indent=1)

    @classmethod
    def read(cls, directory: Path) -> Self | None:
        """The manifest of a folder; None where it is damaged. Raises OSError where there is none."""
        try:
            with (directory / MANIFEST).open("rb") as file:
                text = file.read(MOST_MANIFEST + 1)
            body = json.loads(text if len(text) <= MOST_MANIFEST else b"")
            if isinstance(body, dict) and body.pop("sha256", None) == _digest(body) and body["layout"] == LAYOUT:
                found = cls(body["identity"], body["config"])
                return found if all(isinstance(part, dict) for part in found) else None
        except (ValueError, RecursionError, KeyError):
            pass
        return None


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(body).encode()).hexdigest()


class ChunkStore:
    """The chunk files of one result; made for the members that it will hold."""

    def __init__(self, directory: Path, identity: Mapping[str, Any]) -> None:
        self.directory = directory
        self._identity = dict(identity)
        self._seal = hashlib.sha256(json.dumps(self._identity).encode()).digest()

    @classmethod
    def opened(
        cls,
        directory: Path,
        members: Sequence[Member],
        fresh: bool = False,
        config: Mapping[str, Any] | None = None,
    ) -> Self:
        """The store of these members in a folder, which is made; InvalidValue where another run is in it.

        `fresh` removes that of another run. A manifest that is damaged is written anew if the chunks beside it are of
        these members. `config` is kept for those who find the folder.
        """
        wanted = Manifest(identity(members), dict(config or {}))
        store = cls(directory, wanted.identity)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            try:
                found = Manifest.read(directory)
                mended = found is None and store._is_mine()
            except FileNotFoundError:
                found, mended = None, True
            differing = [] if mended else ["a damaged manifest, and chunks that are damaged or of another run"]
            if found is not None:
                differing = differences(found.identity, wanted.identity)
            if differing and fresh:
                store.remove()
                directory.mkdir(parents=True, exist_ok=True)
            elif differing:
                raise InvalidValue(
                    f"{directory}: holds an unfinished run with other settings: {'; '.join(differing)}; finish it with "
                    "the settings that it was started with, or start over (--fresh)"
                )
            if found is None or differing:
                text = wanted.text().encode()
                write_atomically(directory / MANIFEST, lambda file: file.write_bytes(text))
        except OSError as error:
            raise RunFailed(f"{directory}: {error.strerror or error}") from None
        return store

    def absolute(self) -> Self:
        """The same store, for processes that work in other folders."""
        return type(self)(self.directory.absolute(), self._identity)

    def _is_mine(self) -> bool:
        """Whether what is in the folder is of this run: all chunks, if there are any."""
        return all(map(self._is_sealed, self._files("chunk")))

    def is_here(self) -> bool:
        """Whether this process sees the folder, and it is this run's: on another host the same name may be another."""
        try:
            found = Manifest.read(self.directory)
        except OSError:
            return False
        return found is not None and found.identity == self._identity

    def _files(self, suffix: str) -> list[Path]:
        return sorted(self.directory.glob(f"member-*.{suffix}"))

    def _path(self, chunk: Chunk, suffix: str = "chunk") -> Path:
        name = f"member-{chunk.member:04d}-block-{chunk.first_block:09d}-{chunk.blocks}.{suffix}"
        return self.directory / name

    def _line(self, path: Path, magic: bytes, note: bytes, payload: Iterable[Any]) -> bytes:
        """The first line of a file, by the parts of its payload: it depends on the run and the chunk, so that foreign
        files are seen.
        """
        digest = hashlib.sha256(self._seal + path.name.encode() + note)
        for part in payload:
            digest.update(part)
        return magic + digest.hexdigest().encode() + note + b"\n"

    def _is_sealed(self, path: Path) -> bool:
        """Whether a chunk is of this run, and undamaged. It is not kept in memory."""
        try:
            with path.open("rb") as file:
                header = file.readline(LONGEST_LINE)
                return header == self._line(path, MAGIC, b"", iter(partial(file.read, 2**20), b""))
        except OSError:
            return False

    def _write(self, path: Path, magic: bytes, note: bytes, arrays: Arrays, durable: bool) -> None:
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        payload = buffer.getbuffer()
        header = self._line(path, magic, note, [payload])

        def write(file: Path) -> None:
            with file.open("wb") as out:
                out.write(header)
                out.write(payload)

        write_atomically(path, write, durable)

    def _read(self, path: Path, magic: bytes, wanted: Callable[[], Form] | None) -> Arrays | None:
        """The arrays of a file; None where there is none, or a damaged one, or one from elsewhere, or of other form."""
        try:
            size = path.stat().st_size
            form = wanted() if wanted else None
            if form is not None and size > _most_bytes(form):
                return None
            header, newline, payload = path.read_bytes().partition(b"\n")
        except OSError:
            return None
        note = header[len(magic) + 64 :]
        if header + newline != self._line(path, magic, note, [payload]):
            return None
        arrays = _arrays(payload)
        if arrays is None or form is None:
            return arrays
        return arrays if {name: (array.shape, array.dtype) for name, array in arrays.items()} == form else None

    def save(self, chunk: Chunk, arrays: Arrays) -> None:
        """Write the result of a chunk. Raises RunFailed where the place is full or cannot be written."""
        try:
            self._write(self._path(chunk), MAGIC, b"", arrays, durable=True)
            self._path(chunk, "state").unlink(missing_ok=True)
        except OSError as error:
            raise RunFailed(f"{self.directory}: {error.strerror or error}; the same command continues") from None

    def load(self, chunk: Chunk, form: Callable[[], Form] | None = None) -> Arrays | None:
        """The stored result of a chunk; None where there is none, or it is damaged or belongs elsewhere.

        Nor is one taken that is not of the form that is asked for: whoever knows a manifest can seal what he likes.
        """
        return self._read(self._path(chunk), MAGIC, form)

    def save_state(self, chunk: Chunk, state: Arrays, fraction: float) -> None:
        """Write the state of a chunk that goes on. One that cannot be written is no harm: the chunk itself will say so.

        It is not flushed: it outlives the process, and after a loss of power is found damaged or there.
        """
        with contextlib.suppress(OSError):
            note = f" done {fraction:.6f}".encode()
            self._write(self._path(chunk, "state"), STATE_MAGIC, note, state, durable=False)

    def load_state(self, chunk: Chunk, form: Callable[[], Form] | None = None) -> Arrays | None:
        """The state from which a chunk goes on; None where there is none that can be used."""
        return self._read(self._path(chunk, "state"), STATE_MAGIC, form)

    def progress(self, chunk: Chunk) -> float:
        """The fraction of a chunk that is done, by what its files say of themselves, unchecked."""
        if self._path(chunk).exists():
            return 1.0
        try:
            with self._path(chunk, "state").open("rb") as file:
                _, _, done = file.readline(LONGEST_LINE).rpartition(b" done ")
            return min(max(float(done), 0.0), 1.0)
        except (OSError, ValueError):
            return 0.0

    def changed(self, chunk: Chunk) -> float:
        """When a chunk was finished, by the clock of the machine that did it; NaN where it is not there."""
        try:
            return self._path(chunk).stat().st_mtime
        except OSError:
            return math.nan

    def remove(self) -> None:
        """Delete the chunk files, the manifest, and the folder if nothing else is in it."""
        remove_parts(self.directory)


def _most_bytes(form: Form) -> int:
    """The size of a file that holds arrays of this form, at most."""
    return LONGEST_LINE + HEADERS + sum(math.prod(shape) * kind.itemsize + HEADERS for shape, kind in form.values())


def _arrays(payload: bytes) -> Arrays | None:
    """The arrays of an archive whose checksum was right; None where it is none of ours, or claims more than it has."""
    try:
        with zipfile.ZipFile(io.BytesIO(payload)) as archive:
            for entry in archive.infolist():
                if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > len(payload):
                    return None
                with archive.open(entry) as file:
                    version = np.lib.format.read_magic(file)
                    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
                    shape, _, dtype = read[version](file)
                    if math.prod(shape) * dtype.itemsize > entry.file_size:
                        return None
        with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:
            return dict(arrays)
    except Exception:  # whatever the libraries raise on what somebody made up
        return None
