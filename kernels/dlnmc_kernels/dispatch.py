"""Functions that are chosen at compile time by the type of their first argument.

A model, an energy and a scheme are each a `NamedTuple` of numbers. `@generic` turns a signature with a docstring into
a function that calls the implementation registered for the class of its first argument; so the driver and the schemes
are written once, and compiled per model without a branch at run time. To add one, write its tuple and register its
functions. (As tuples, two of different classes with equal numbers are equal: never use them as keys.)

Arrays of one block have the shape (component, 8), `x_i` is a lane, and time is the paper's.
"""

import functools
from collections.abc import Callable
from typing import Any

from numba.extending import overload

from dlnmc_kernels.lanes import Lane

Function = Callable[..., Any]


def generic(signature: Function) -> Any:
    """Declare a function with one implementation for each class of its first argument.

    `@function.register(Class)` adds one, `@function.otherwise` the one of all other classes; their argument names must
    be those of the signature.
    """
    implementations: dict[type, Function] = {}
    others: list[Function] = []

    def implementation(cls: type) -> Function | None:
        return implementations.get(cls) or (others[0] if others else None)

    @functools.wraps(signature)
    def function(*args: Any) -> Any:
        chosen = implementation(type(args[0]))
        assert chosen is not None
        return chosen(*args)

    @functools.wraps(signature)
    def choose(*args: Any) -> Function | None:
        cls = getattr(args[0], "instance_class", None)
        return None if cls is None else implementation(cls)

    def otherwise(implementation: Function) -> Function:
        others[:] = [getattr(implementation, "py_func", implementation)]
        return implementation

    def register(cls: type) -> Callable[[Function], Function]:
        def decorate(implementation: Function) -> Function:
            implementations[cls] = implementation
            return implementation

        return decorate

    overload(function, strict=False)(choose)  # strict would also compare annotations
    function.implementations = implementations  # type: ignore[attr-defined]
    function.register = register  # type: ignore[attr-defined]
    function.otherwise = otherwise  # type: ignore[attr-defined]
    return function


# --- what an energy provides ----------------------------------------------------------------------------------------


@generic
def value(energy: Any, s: Lane) -> Lane:
    """v(s) for the energy E = sum of v over singular values or eigenvalues."""


@generic
def slope(energy: Any, s: Lane) -> Lane:
    """v'(s)."""


@generic
def pull(energy: Any, w: Lane, u: Lane, v: Lane, s: Lane, out: Lane, work: Lane, more: Lane) -> None:
    """Write u E'(W) vᵀ to `out`, for W = uᵀ diag(s) v. All are square matrices, row by row, but for `s`."""


def looks_at_matrix(energy: Any) -> bool:
    """Whether `pull` looks at `w`, which it does if an energy has its own, and else at `s` alone."""
    return type(energy) in pull.implementations


@overload(looks_at_matrix)
def _looks_at_matrix_overload(energy):  # type: ignore[no-untyped-def]
    if getattr(energy, "instance_class", None) in pull.implementations:
        return lambda energy: True
    return lambda energy: False


# --- what a model may provide: else it has one component for each singular value or eigenvalue, with its own noise --


@generic
def normals_per_step(model: Any, size: int) -> int:
    """How many normals a step of a state of `size` rows takes."""
    raise NotImplementedError


@generic
def prepare(model: Any, x: Lane, memory: Lane) -> None:
    """Fill what a model carries from step to step beside its state, before the first."""


@generic
def explicit_step(model: Any, x: Lane, z: Lane, dt: float, proposal: Lane, memory: Lane, work: Lane) -> None:
    """Write the state after a step of Euler and Maruyama to `proposal`: x + drift dt + noise √dt z."""


@generic
def velocity(model: Any, x: Lane, f: Lane, memory: Lane, work: Lane) -> None:
    """Write dx/dt, without noise and nothing tamed, to `f`. Else it is the drift for the step 0."""


@generic
def settle(model: Any, x: Lane, proposal: Lane, dt: float, tally: Lane, n: int) -> None:
    """Move `x` to `proposal` where that is finite; where it is not, freeze the path and note the step `n`."""


@generic
def read_values(model: Any, scheme: Any, x: Lane, z: Lane, dt: float, memory: Lane, values: Lane, work: Lane) -> None:
    """Write the ascending singular values or eigenvalues of a state to `values`."""


# --- what a model with diagonal noise provides ----------------------------------------------------------------------


@generic
def drift(model: Any, x: Lane, dt: float, f: Lane, work: Lane) -> None:
    """Write the drift at `x` to `f`, its singular part tamed for the step `dt`.

    `work` is scratch of shape (SCRATCH, component, 8), of which a drift may use all but the last two arrays.
    """


@generic
def log_density(model: Any, x: Lane, work: Lane) -> Lane:
    """The logarithm of the equilibrium density in the coordinates `x`, up to a constant, for components in order."""


@generic
def noise(model: Any, x_i: Lane) -> Lane:
    """The diffusion coefficient b(x_i)."""


@generic
def noise_slope(model: Any, x_i: Lane) -> Lane:
    """The product b b'(x_i), the coefficient of Milstein's correction; zero for additive noise."""


@generic
def rank_key(model: Any, x_i: Lane) -> Lane:
    """What components are kept in ascending order of."""


@generic
def observed(model: Any, x_i: Lane) -> Lane:
    """The singular value or eigenvalue that the coordinate `x_i` stands for."""


@generic
def too_close(model: Any, x_i: Lane, x_j: Lane, dt: float) -> Lane:
    """The mask of paths in which these neighbours are closer than the distance at which taming sets in for `dt`."""


# --- what a scheme provides -----------------------------------------------------------------------------------------


@generic
def draw(scheme: Any, size: int, noise_source: Any, path: Lane, step: int, z: Lane) -> None:
    """Fill `z`, shape (size + 2, 8) at least, with the random numbers of a step: normals in its first `size` rows."""


@generic
def begin(scheme: Any, model: Any, x: Lane, z: Lane, dt: float, memory: Lane, work: Lane) -> None:
    """Turn the initial value `x` into the scheme's state, in place; `z` are the numbers of the first step.

    `memory` has as many rows as the scheme asks for; they are carried from step to step.
    """


@generic
def step(
    scheme: Any, model: Any, x: Lane, z: Lane, dt: float, proposal: Lane, memory: Lane, tally: Lane, work: Lane
) -> None:
    """Write the state after one step from the state `x` with the numbers `z` to `proposal`."""


@generic
def scratch_rows(scheme: Any) -> int:
    """How many arrays like the state the scheme and its models find in `work`."""
    raise NotImplementedError


@generic
def output(scheme: Any, model: Any, x_i: Lane, z_i: Lane, dt: float) -> Lane:
    """The approximation of the process that the state `x_i` stands for; `z_i` are the normals of the coming step."""
