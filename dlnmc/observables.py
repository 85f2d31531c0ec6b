"""What else may be averaged while a run goes on: built-in functions by name, and a user's own, compiled.

An observable is a function of one state of one path: an array of its d singular values or eigenvalues, ascending, in
units of the model. It returns a number.
"""

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dlnmc.errors import InvalidValue
from dlnmc_kernels.jit import JIT_DISABLED, device

Function = Callable[[Any], float]


class Observable(NamedTuple):
    """A named function, and how a description of a run refers to it."""

    name: str
    function: Function
    key: str  # the name, with the SHA-256 of the source for a user's own


def sum_of_values(s: Any) -> float:
    """Σ s: the nuclear norm of W, or the trace of a Hermitian matrix."""
    return float(np.sum(s))


def log_determinant(s: Any) -> float:
    """Σ log |s| = log |det W|."""
    return float(np.sum(np.log(np.abs(s))))


def effective_rank(s: Any) -> float:
    """exp(−Σ p log p), p = s²/Σ s² (Roy and Vetterli 2007): between 1 and d."""
    p = s * s / np.sum(s * s)
    total = 0.0
    for p_k in p:
        if p_k > 0.0:
            total -= p_k * np.log(p_k)
    return float(np.exp(total))


def log_condition(s: Any) -> float:
    """log(σ_max/σ_min)."""
    return float(np.log(s[-1]) - np.log(s[0]))


def largest_gap(s: Any) -> float:
    """The largest distance of neighbours; 0 for a single value."""
    return float(np.max(np.diff(s))) if len(s) > 1 else 0.0


BUILT_IN: dict[str, Function] = {
    function.__name__: function
    for function in (sum_of_values, log_determinant, effective_rank, log_condition, largest_gap)
}


def resolved(observables: Sequence[str] | Mapping[str, Function] | None, size: int) -> tuple[Observable, ...]:
    """The observables that a user asked for, by names or as {"name": function}, compiled and tried once.

    Raises InvalidValue for an unknown name, and for a function that does not compile or does not return a number.
    """
    if observables is None:
        return ()
    if isinstance(observables, str):
        observables = [observables]
    pairs = observables.items() if isinstance(observables, Mapping) else [(name, None) for name in observables]
    return tuple(_resolved(str(name), function, size) for name, function in pairs)


def _resolved(name: str, function: Function | None, size: int) -> Observable:
    if function is None:
        if name not in BUILT_IN:
            raise InvalidValue(
                f'observables: unknown name {name!r}; allowed: {", ".join(BUILT_IN)}, or {{"name": function}}'
            )
        return Observable(name, device(BUILT_IN[name]), name)
    if not name.isidentifier() or not callable(function):
        raise InvalidValue(f"observables = {{{name!r}: {function!r}}}: it must be an identifier and a function")
    compiled = function if JIT_DISABLED or hasattr(function, "py_func") else device(function)
    try:
        value = float(compiled(np.linspace(0.5, 1.5, size)))
    except Exception as error:  # whatever a user's function does
        reason = " ".join(str(error).split())[:200]
        raise InvalidValue(f"observables: {name!r} cannot be compiled, or does not return a number: {reason}") from None
    del value
    return Observable(name, compiled, f"{name}:{_digest(function)}")


def _digest(function: Any) -> str:
    """The SHA-256 of a function's source, or of its bytecode where there is no source."""
    plain = getattr(function, "py_func", function)
    try:
        text = inspect.getsource(plain).encode()
    except (OSError, TypeError):
        code = plain.__code__
        text = code.co_code + repr(code.co_consts).encode()
    return hashlib.sha256(text).hexdigest()[:16]
