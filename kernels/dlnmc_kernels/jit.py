"""How kernels are compiled, and where compiled code is kept: the only place that states either.

A kernel holds code of many files, so the cache directory is named by a hash of all kernel sources. `nnan` and `ninf`
are never assumed: a path that fails must stay visible as NaN.
"""

import functools
import hashlib
import os
import pathlib
import platform
import tempfile
from collections.abc import Callable
from typing import Any, TypeVar

import llvmlite
import llvmlite.binding
import numba
import numba.extending
from numba.core import sigutils
from numba.core.ccallback import CFunc

from dlnmc_kernels.cache import KernelCache
from dlnmc_kernels.parts import EntryCompiler, Part, PartCompiler

F = TypeVar("F", bound=Callable[..., Any])

config: Any = numba.config  # its settings are made at run time
FLAGS: dict[str, Any] = {"error_model": "numpy", "boundscheck": False}
PART_FLAGS: Any = {
    "_nrt": False
}  # references to arrays are counted by entry points alone: parts neither make nor return any
JIT_DISABLED = bool(config.DISABLE_JIT)


@functools.cache
def source_hash() -> str:
    """SHA-256 of the kernel sources (file names and bytes), the identity of the kernels in provenance records."""
    digest = hashlib.sha256()
    for path in sorted(pathlib.Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@functools.cache
def cpu_name() -> str:
    """The CPU that LLVM generates code for; `NUMBA_CPU_NAME` overrides the host's."""
    return str(config.CPU_NAME or llvmlite.binding.get_host_cpu_name())


@functools.cache
def simd() -> str:
    """The widest vector instructions that the generated code may use, as one word for provenance records."""
    if JIT_DISABLED:
        return "none (pure Python)"
    name = config.CPU_NAME
    if name and name != llvmlite.binding.get_host_cpu_name():
        return f"as {name}"
    features = llvmlite.binding.get_host_cpu_features()
    for feature in ("avx512f", "avx2", "avx", "sse2", "sve", "neon"):
        if features.get(feature):
            return feature
    return platform.machine()


@functools.cache
def reciprocals() -> str:
    """How vectors of reciprocals are formed: "division" by processors that divide fast, else from an "estimate".

    AMD divides eight numbers in nine cycles since Zen 4, and multiplies meanwhile. Elsewhere Newton's iteration is
    faster, from the hardware's estimate ("rcp14") or from a "portable" one.
    """
    if simd() != "avx512f":
        return "portable"
    return "division" if cpu_name().startswith("znver") else "rcp14"


@functools.cache
def arithmetic() -> str:
    """What the last bits of a result depend on beside the sources and the compiler, for provenance records."""
    return simd() if JIT_DISABLED else f"{simd()}, reciprocals: {reciprocals()}"


@functools.cache
def cache_directory() -> pathlib.Path:
    """Where compiled kernels are kept: below `NUMBA_CACHE_DIR`, else the user's cache directory, else a temporary one.

    Its name depends on the kernel sources, Numba, llvmlite and the CPU, so that no stale code is ever loaded.
    """
    key = "\0".join((source_hash(), numba.__version__, llvmlite.__version__, cpu_name(), simd()))
    name = "kernels-" + hashlib.sha256(key.encode()).hexdigest()[:16]
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    for root in (os.environ.get("NUMBA_CACHE_DIR"), home, tempfile.gettempdir()):
        if not root:
            continue
        directory = pathlib.Path(root) / "dlnmc" / name
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=directory):
                return directory
        except OSError:
            continue
    return pathlib.Path(tempfile.mkdtemp(prefix="dlnmc-"))


def _part(function: F, options: dict[str, Any]) -> F:
    part: Any = function if JIT_DISABLED else Part(function, options)
    return part


def device(function: F) -> F:
    """Compile a function that other kernels call. It is compiled into its callers, so it needs no cache of its own."""
    return _part(function, FLAGS | PART_FLAGS)


def inlined(function: F) -> F:
    """The same for small functions in inner loops, where a call would cost more than the work."""
    return _part(function, FLAGS | PART_FLAGS | {"forceinline": True})


def apart(function: F) -> F:
    """The same for a loop that needs all registers: it is never inlined, so that they hold nothing else."""
    function.apart = True  # type: ignore[attr-defined]
    return _part(function, FLAGS | PART_FLAGS | {"forceinline": False})


def overload(function: F, **options: Any) -> Any:
    """Say, for Numba, how a function is compiled that kernels call: `numba.extending.overload`."""
    return numba.extending.overload(function, jit_options=PART_FLAGS | {"pipeline_class": PartCompiler}, **options)


def compiled(function: F) -> F:
    """Compile an entry point that takes functions, of which compiled code cannot be kept on disk."""
    return numba.njit(function, nogil=True, pipeline_class=EntryCompiler, **FLAGS)


def pointer(function: Callable[..., Any], signature: Any) -> Any:
    """Compile a function to be handed to kernels by its address: kernels that call it are compiled and kept once."""
    return numba.cfunc(signature, **FLAGS)(function)


def kept_pointer(function: Callable[..., Any], signature: Any) -> Any:
    """The same, kept in the cache directory."""
    arguments, result = sigutils.normalize_signature(signature)
    compiler: Any = EntryCompiler
    code: Any = CFunc(function, (arguments, result), {}, FLAGS, pipeline_class=compiler)
    code._cache = KernelCache(function, cache_directory())
    code.compile()
    return code


def kernel(function: F) -> F:
    """Compile an entry point: called from Python, without the GIL, kept in the cache directory."""
    if JIT_DISABLED:
        return function
    entry: Any = numba.njit(function, nogil=True, pipeline_class=EntryCompiler, **FLAGS)
    entry._cache = KernelCache(function, cache_directory())
    return entry
