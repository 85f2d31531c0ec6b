"""Compiled kernels on disk: a file for each, which any number of processes may read and write at once.

Numba keeps an index of what was compiled of a function, reads it, changes it and writes it again. Two processes that do
so at once give one number to two kernels, and the one is then loaded for the other; and a class in it that one process
cannot import keeps that process from all others. Here a file is named by what it was compiled for, holds that beside
the code, under a checksum, and takes its place complete. One that cannot be used counts as missing.
"""

import contextlib
import hashlib
import inspect
import os
import pathlib
import pickle
import tempfile
from collections.abc import Callable
from typing import Any

from numba.core.caching import FunctionCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps


class KernelCache(FunctionCache):
    """What Numba asks for, and hands over, what was compiled of one function for the types of its arguments."""

    def __init__(self, function: Callable[..., Any], directory: pathlib.Path) -> None:
        self._py_func = function
        self._cache_path = str(directory)
        self._file = hashlib.sha256(pathlib.Path(inspect.getfile(function)).read_bytes()).hexdigest()
        self._stem = f"{function.__module__}.{function.__qualname__}".replace("<locals>", "local")
        self.enable()

    def _key(self, signature: Any, codegen: Any) -> Any:
        return self._file, self._index_key(signature, codegen)

    def path(self, key: Any) -> pathlib.Path:
        """The file for a key. Keys that `repr` does not tell apart share one, and take it from each other."""
        return pathlib.Path(self.cache_path) / f"{self._stem}-{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.nbc"

    def _load_overload(self, sig: Any, target_context: Any) -> CompileResult | None:
        key = self._key(sig, target_context.codegen())
        try:
            payload = unsealed(self.path(key).read_bytes(), key) if self._enabled else None
        except OSError:
            return None
        return None if payload is None else CompileResult._rebuild(target_context, *payload)

    def _save_overload(self, sig: Any, data: Any) -> None:
        if self._enabled and not data.library.has_dynamic_globals:  # addresses, which differ between processes
            key = self._key(sig, data.codegen)
            with contextlib.suppress(OSError):  # without room it is compiled again the next time
                replace(self.path(key), sealed(key, data._reduce()))

    def flush(self) -> None:
        """Forget all that was compiled of the function."""
        for path in pathlib.Path(self.cache_path).glob(f"{self._stem}-*.nbc"):
            path.unlink(missing_ok=True)


def sealed(key: Any, payload: Any) -> bytes:
    """The content of a file: SHA-256, key, payload."""
    content = dumps((key, dumps(payload)))
    return hashlib.sha256(content).digest() + content


def unsealed(content: bytes, key: Any) -> Any | None:
    """The payload of a file; None if it is damaged, for another key, or of classes that cannot be imported here."""
    seal, content = content[:32], content[32:]
    if hashlib.sha256(content).digest() != seal:
        return None
    try:
        found, payload = pickle.loads(content)
        return pickle.loads(payload) if found == key else None
    except Exception:  # whatever an import may raise
        return None


def replace(path: pathlib.Path, content: bytes) -> None:
    """Write a file that is complete as soon as it is there."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
