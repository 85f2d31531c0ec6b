"""A user's own functions: what may be one, compiled once, and known by a hash. None is ever read from a file."""

import contextlib
import functools
import hashlib
import inspect
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from dlnmc_kernels.jit import JIT_DISABLED
from dlnmc_kernels.jit import compiled as entry

Function = Callable[..., Any]

_COMPILED: dict[str, Function] = {}


def python_of(function: Any) -> Any:
    """The function that a function compiled by Numba was made of, or what was given."""
    return getattr(function, "py_func", function)


def is_function(function: Any) -> bool:
    """Whether it is a function that is written in Python, or one compiled by Numba."""
    return inspect.isfunction(python_of(function))


def compiled(function: Function) -> Function:
    """The compiled function, once for all that have the same digest: kernels that call it are compiled for it."""
    if JIT_DISABLED or hasattr(function, "py_func"):
        return function
    key = digest(function)
    if key not in _COMPILED:
        _COMPILED[key] = entry(function)
    return _COMPILED[key]


def portable(function: Function) -> Function:
    """The function that another process can make the same of: Python, but for what a user has compiled."""
    ours = any(function is own for own in _COMPILED.values())
    return python_of(function) if ours else function


def reason(error: Exception) -> str:
    """What a user's function, or its compiler, complained about, as one line."""
    text = " ".join(str(error).split()).removeprefix("Failed in nopython mode pipeline (step: nopython frontend) ")
    return text[:200] or type(error).__name__


def digest(*functions: Function) -> str:
    """The SHA-256 of functions: their source where there is one, their code, and the values that they refer to.

    These are defaults, and what closures and globals hold: numbers, arrays, other functions; modules by name.
    """
    found = [_identity(function, frozenset()) for function in functions]
    return hashlib.sha256(repr(found).encode()).hexdigest()


def _identity(value: Any, above: frozenset[int]) -> Any:
    """What tells a value from others, of which `repr` is the same in every process; `above` are functions around it."""
    value = python_of(value)
    within = functools.partial(_identity, above=above | {id(value)})
    if id(value) in above:
        return "itself"
    if inspect.isfunction(value):
        source = ""
        with contextlib.suppress(OSError, TypeError):
            source = inspect.getsource(value)
        cells = [within(cell.cell_contents) for cell in value.__closure__ or ()]
        names = {name: within(value.__globals__[name]) for name in _names(value.__code__) if name in value.__globals__}
        return source, within(value.__code__), cells, names, within(value.__defaults__)
    if isinstance(value, types.CodeType):
        return value.co_code.hex(), [within(constant) for constant in value.co_consts], value.co_names
    if isinstance(value, types.ModuleType):
        return value.__name__
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    if isinstance(value, list | tuple):
        return type(value).__name__, [within(own) for own in value]
    if isinstance(value, dict):
        return [(within(key), within(own)) for key, own in value.items()]
    return sorted(map(repr, value)) if isinstance(value, set | frozenset) else repr(value)


def _names(code: types.CodeType) -> list[str]:
    """The names that a function may look up in its module, also in functions within it."""
    inner = [name for constant in code.co_consts if isinstance(constant, types.CodeType) for name in _names(constant)]
    return sorted({*code.co_names, *inner})
