"""What else may be averaged while a run goes on: built-in functions by name, and a user's own, compiled.

An observable is a function of one state of one path: an array of its d singular values or eigenvalues, ascending, in
units of the model. It returns a number.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dlnmc.errors import InvalidValue
from dlnmc.functions import Function, compiled, digest, is_function, portable, python_of, reason


class Observable(NamedTuple):
    """A named function, and how a description of a run refers to it."""

    name: str
    function: Function
    key: str  # the name, with the SHA-256 of the source for a user's own

    def __reduce__(self) -> Any:
        """Another process compiles the function for itself; its hash, which needs the source, goes along."""
        return _unpickled, (self.name, portable(self.function), self.key)


def _unpickled(name: str, function: Function, key: str) -> Observable:
    return Observable(name, compiled(function), key)


TAKEN = {  # variables, dimensions and coordinates of results
    *("trace", "moment", "largest", "smallest", "ratio_middle", "ratio_all"),
    *("path", "draw", "time", "rank", "component", "order", "bin", "bin_edge", "batch", "scalar", "dt"),
    *("depth", "width", "size", "beta", "kappa", "clock", "last_step"),
}


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
ALLOWED = f'allowed: {", ".join(BUILT_IN)}, or {{"name": function}}'


def resolved(observables: Sequence[str] | Mapping[str, Function] | None, size: int) -> tuple[Observable, ...]:
    """The observables that a user asked for, by names or as {"name": function}, compiled and tried once.

    Raises InvalidValue for an unknown name, and for a function that does not compile or does not return a number.
    """
    if observables is None:
        return ()
    if isinstance(observables, Mapping):
        return tuple(_own(name, function, size) for name, function in observables.items())
    names: Any = [observables] if isinstance(observables, str) else observables
    if not isinstance(names, Sequence):
        raise InvalidValue(f"observables = {observables!r}: {ALLOWED}")
    for index, name in enumerate(names):
        if not isinstance(name, str) or name not in BUILT_IN:
            raise InvalidValue(f"observables: unknown name {name!r}; {ALLOWED}")
        if name in names[:index]:
            raise InvalidValue(f"observables: {name!r} is asked for twice")
    return tuple(Observable(name, compiled(BUILT_IN[name]), name) for name in names)


def _own(name: Any, function: Any, size: int) -> Observable:
    if not isinstance(name, str) or not name.isidentifier():
        raise InvalidValue(f"observables: the name {str(name)!r} must be an identifier, such as 'my_observable'")
    if name in TAKEN:
        raise InvalidValue(f"observables: the name {name!r} has a meaning in results already; take another")
    if not is_function(function):
        raise InvalidValue(
            f"observables: {name!r} is {function!r}: it must be a function that is written in Python, or one compiled "
            "by Numba"
        )
    values = []
    for tried in (python_of(function), compiled(function)):  # compiled code does not see an index that is out of range
        try:
            values.append(tried(np.linspace(0.5, 1.5, size)))
        except Exception as error:  # whatever a user's function does
            raise InvalidValue(
                f"observables: {name!r} cannot be compiled, or fails on {size} values: {reason(error)}"
            ) from None
    if not all(isinstance(value, bool | int | float | np.bool_ | np.integer | np.floating) for value in values):
        raise InvalidValue(f"observables: {name!r} returns {values[0]!r}: it must be a real number")
    return Observable(name, compiled(function), f"{name}:{digest(function)[:16]}")
