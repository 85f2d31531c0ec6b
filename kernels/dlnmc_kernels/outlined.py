"""Large functions that are compiled once, and that kernels call by address: else each kernel would contain its own.

An outlined function has the form `function(x, out, scratch, size, a, b)`: addresses of rows of eight float64, a number
of rows, two numbers. Kernels, also those that come from the cache, find its address in a cell of memory that stands
for a symbol of the linker. Until the first call that is the address of Python code that compiles the function, or
loads it from the cache, and corrects the cell: what is not called is not compiled.
"""

import ctypes
from collections.abc import Callable
from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload
from numba.np.arrayobj import make_array
from numba.np.numpy_support import carray

from dlnmc_kernels.jit import JIT_DISABLED, kept_pointer
from dlnmc_kernels.lanes import WIDTH, Lane

OUTLINED: dict[str, Callable[[], None]] = {}  # by name: compiles the function, or loads it

_ROWS = types.CPointer(types.float64)
_SIGNATURE = types.void(_ROWS, _ROWS, _ROWS, types.intp, types.float64, types.float64)
_PROTOTYPE = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, ctypes.c_ssize_t, *[ctypes.c_double] * 2)


def rows_at(address: Any, count: int) -> Lane:
    """The `count` rows of eight at an address, shape (count, 8); in pure Python the address is an array."""
    return address.reshape(-1)[: count * WIDTH].reshape(count, WIDTH)


@overload(rows_at)
def _rows_at(address, count):  # type: ignore[no-untyped-def]
    return lambda address, count: carray(address, (count, WIDTH))


def outlined(function: Callable[..., None]) -> Any:
    """Outline a function: what is returned takes arrays for the addresses of their first rows."""
    if JIT_DISABLED:
        return function
    name = f"dlnmc_{function.__name__}"
    cell = ctypes.c_void_p()
    alive: list[Any] = []  # compiled code, as long as the process

    def load() -> Any:
        alive.append(kept_pointer(function, _SIGNATURE))
        cell.value = alive[-1].address
        return _PROTOTYPE(cell.value)

    def first(x: int, out: int, scratch: int, size: int, a: float, b: float) -> None:
        try:
            load()(x, out, scratch, size, a, b)
        except BaseException:  # which cannot pass through the kernel: its paths fail
            np.ctypeslib.as_array((ctypes.c_double * (size * WIDTH)).from_address(out))[:] = np.nan
            raise

    alive.append(_PROTOTYPE(first))
    cell.value = ctypes.cast(alive[0], ctypes.c_void_p).value
    llvmlite.binding.add_symbol(name, ctypes.addressof(cell))
    OUTLINED[name] = load
    return _caller(name)


def _caller(name: str) -> Any:
    """A function for kernels that calls what the cell of this name points to."""

    @intrinsic
    def call(typing_context, x, out, scratch, size, a, b):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
            double = ir.DoubleType().as_pointer()
            target = ir.FunctionType(ir.VoidType(), [double] * 3 + [args[3].type, ir.DoubleType(), ir.DoubleType()])
            symbol = cgutils.add_global_variable(builder.module, target.as_pointer(), name)
            rows = [make_array(t)(context, builder, v).data for t, v in zip(signature.args[:3], args[:3], strict=True)]
            builder.call(builder.load(symbol), [*rows, *args[3:]])
            return context.get_dummy_value()

        return types.void(x, out, scratch, types.intp, types.float64, types.float64), generate

    def outlined_call(x: Lane, out: Lane, scratch: Lane, size: int, a: float, b: float) -> None:
        raise NotImplementedError

    @overload(outlined_call)
    def _outlined_call(x, out, scratch, size, a, b):  # type: ignore[no-untyped-def]
        return lambda x, out, scratch, size, a, b: call(x, out, scratch, size, a, b)  # type: ignore[call-arg]

    return outlined_call
