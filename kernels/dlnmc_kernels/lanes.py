"""One SIMD register of eight numbers as a value: a lane is one path, and kernels read like the equation for one path.

Three types: eight float64, eight uint64, eight booleans (a mask). Compiled, they are LLVM vectors `<8 x double>` and so
on, which LLVM lowers to AVX-512, two AVX2 or four NEON/SSE registers. With `NUMBA_DISABLE_JIT=1` they are NumPy rows of
eight, and every primitive runs its NumPy body: the body of the Python function below. Its LLVM body follows it.

`+ - * /`, comparisons (float64) and `+ - * & | ^ << >>` (uint64), `& | ~` (masks) take lanes and scalars.
"""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_jitable, register_model
from numba.np.arrayobj import make_array

from dlnmc_kernels.jit import overload, reciprocals, simd

WIDTH = 8
Lane = Any  # a float64, uint64 or boolean lane: an LLVM vector when compiled, else a NumPy array of shape (8,)

_I32, _I64, _F32, _F64 = ir.IntType(32), ir.IntType(64), ir.FloatType(), ir.DoubleType()
_FLAGS = ("contract", "nsz")


class LaneType(types.Type):
    """The Numba type of a lane whose elements have the LLVM type `element` and the Numba type `dtype`."""

    def __init__(self, name: str, element: ir.Type, dtype: types.Type) -> None:
        super().__init__(name=name)
        self.vector = ir.VectorType(element, WIDTH)
        self.dtype = dtype


f64x8 = LaneType("f64x8", _F64, types.float64)
u64x8 = LaneType("u64x8", _I64, types.uint64)
boolx8 = LaneType("boolx8", ir.IntType(1), types.boolean)


@register_model(LaneType)
class _LaneModel(models.PrimitiveModel):
    def __init__(self, manager: Any, lane_type: LaneType) -> None:
        super().__init__(manager, lane_type, lane_type.vector)


# --- how a primitive gets its LLVM body -----------------------------------------------------------------------------

Emit = Callable[..., ir.Value]  # (builder, *LLVM arguments) -> LLVM value


def _unary(emit: Emit, result: types.Type, x: types.Type) -> Any:
    """The compiled function `x -> result` whose code is `emit(builder, x)`."""

    @intrinsic
    def call(typing_context, a):  # type: ignore[no-untyped-def]
        return result(x), lambda context, builder, signature, args: emit(builder, *args)

    return call


def _binary(emit: Emit, result: types.Type, x: types.Type, y: types.Type) -> Any:
    @intrinsic
    def call(typing_context, a, b):  # type: ignore[no-untyped-def]
        return result(x, y), lambda context, builder, signature, args: emit(builder, *args)

    return call


def _ternary(emit: Emit, result: types.Type, x: types.Type, y: types.Type, z: types.Type) -> Any:
    @intrinsic
    def call(typing_context, a, b, c):  # type: ignore[no-untyped-def]
        return result(x, y, z), lambda context, builder, signature, args: emit(builder, *args)

    return call


_ROWS = types.CPointer(types.float64)  # what `address` makes of an array


def _element_pointer(context: Any, builder: ir.IRBuilder, array_type: types.Type, array: Any, row: Any) -> ir.Value:
    offset = builder.mul(row, ir.Constant(row.type, WIDTH))
    first = array if array_type == _ROWS else make_array(array_type)(context, builder, array).data
    return builder.gep(first, [offset])


def _lane_of(array: types.Type) -> LaneType:
    if array == _ROWS:
        return f64x8
    if not isinstance(array, types.Array) or array.layout != "C" or array.dtype not in (types.float64, types.uint64):
        raise TypeError(f"lanes are loaded from C-contiguous float64 or uint64 arrays of rows of eight, not {array}")
    return f64x8 if array.dtype == types.float64 else u64x8


# --- memory ---------------------------------------------------------------------------------------------------------


def address(array: Lane, row: int) -> Lane:
    """Rows from `row` on, for `load` and `store` alone: one word to hand to functions, where an array is nine."""
    return array.reshape(-1, WIDTH)[row:]


@intrinsic
def _address(typing_context, array, row):  # type: ignore[no-untyped-def]
    _lane_of(array)

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return _element_pointer(context, builder, signature.args[0], *args)

    return _ROWS(array, types.intp), generate


@overload(address)
def _address_overload(array, row):  # type: ignore[no-untyped-def]
    return lambda array, row: _address(array, row)  # type: ignore[call-arg]


def load(array: Lane, row: int) -> Lane:
    """Row `row` of an array of shape (rows, 8)."""
    return array[row].copy()


@intrinsic
def _load(typing_context, array, row):  # type: ignore[no-untyped-def]
    lane = _lane_of(array)

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        pointer = _element_pointer(context, builder, signature.args[0], *args)
        value = builder.load(builder.bitcast(pointer, lane.vector.as_pointer()), typ=lane.vector)
        value.align = 8
        return value

    return lane(array, types.intp), generate


@overload(load)
def _load_overload(array, row):  # type: ignore[no-untyped-def]
    return lambda array, row: _load(array, row)  # type: ignore[call-arg]


@register_jitable
def aligned_rows(count: int) -> Lane:
    """Zeros (count, 8) that begin on a cache line: loads and stores of rows that cross lines are slow."""
    flat = np.zeros(count * WIDTH + WIDTH)
    first = (-flat.ctypes.data % (8 * WIDTH)) // 8
    return flat[first : first + count * WIDTH].reshape((count, WIDTH))


def store(array: Lane, row: int, value: Lane) -> None:
    """Write `value` to row `row` of an array of shape (rows, 8)."""
    array[row] = value


@intrinsic
def _store(typing_context, array, row, value):  # type: ignore[no-untyped-def]
    lane = _lane_of(array)

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        pointer = _element_pointer(context, builder, signature.args[0], args[0], args[1])
        builder.store(args[2], builder.bitcast(pointer, lane.vector.as_pointer())).align = 8
        return context.get_dummy_value()

    return types.void(array, types.intp, lane), generate


@overload(store)
def _store_overload(array, row, value):  # type: ignore[no-untyped-def]
    return lambda array, row, value: _store(array, row, value)  # type: ignore[call-arg]


def splat(x: Any) -> Lane:
    """All eight elements equal to the scalar `x`: float64 for a float, uint64 for an unsigned integer."""
    return np.full(WIDTH, x, dtype=np.uint64 if isinstance(x, np.uint64) else np.float64)


def _emit_splat(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    vector = ir.VectorType(x.type, WIDTH)
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, x, ir.Constant(_I32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_I32, WIDTH), [0] * WIDTH))


_splat_float = _unary(_emit_splat, f64x8, types.float64)
_splat_uint = _unary(_emit_splat, u64x8, types.uint64)


@overload(splat)
def _splat_overload(x):  # type: ignore[no-untyped-def]
    if x == types.uint64:
        return lambda x: _splat_uint(x)
    return lambda x: _splat_float(float(x))


def lane_numbers() -> Lane:
    """The uint64 lane 0, 1, ..., 7."""
    return np.arange(WIDTH, dtype=np.uint64)


@intrinsic
def _lane_numbers(typing_context):  # type: ignore[no-untyped-def]
    return u64x8(), lambda context, builder, signature, args: ir.Constant(u64x8.vector, list(range(WIDTH)))


@overload(lane_numbers)
def _lane_numbers_overload():  # type: ignore[no-untyped-def]
    return lambda: _lane_numbers()  # type: ignore[call-arg]


# --- operators ------------------------------------------------------------------------------------------------------


def _instruction(name: str, **options: Any) -> Emit:
    return lambda builder, x, y: getattr(builder, name)(x, y, **options)


def _compare(symbol: str) -> Emit:
    return lambda builder, x, y: builder.fcmp_ordered(symbol, x, y)


_OPERATORS: list[tuple[Any, LaneType, LaneType, Emit]] = [  # operator, operands, result, code
    (operator.add, f64x8, f64x8, _instruction("fadd", flags=_FLAGS)),
    (operator.sub, f64x8, f64x8, _instruction("fsub", flags=_FLAGS)),
    (operator.mul, f64x8, f64x8, _instruction("fmul", flags=_FLAGS)),
    (operator.truediv, f64x8, f64x8, _instruction("fdiv", flags=_FLAGS)),
    (operator.lt, f64x8, boolx8, _compare("<")),
    (operator.le, f64x8, boolx8, _compare("<=")),
    (operator.gt, f64x8, boolx8, _compare(">")),
    (operator.ge, f64x8, boolx8, _compare(">=")),
    (operator.eq, f64x8, boolx8, _compare("==")),
    (operator.add, u64x8, u64x8, _instruction("add")),
    (operator.sub, u64x8, u64x8, _instruction("sub")),
    (operator.mul, u64x8, u64x8, _instruction("mul")),
    (operator.and_, u64x8, u64x8, _instruction("and_")),
    (operator.or_, u64x8, u64x8, _instruction("or_")),
    (operator.xor, u64x8, u64x8, _instruction("xor")),
    (operator.lshift, u64x8, u64x8, _instruction("shl")),
    (operator.rshift, u64x8, u64x8, _instruction("lshr")),
    (operator.and_, boolx8, boolx8, _instruction("and_")),
    (operator.or_, boolx8, boolx8, _instruction("or_")),
]


def _register_operator(function: Any, lane: LaneType, result: LaneType, emit: Emit) -> None:
    call = _binary(emit, result, lane, lane)
    scalars = {f64x8: (types.Float, types.Integer), u64x8: (types.Integer,), boolx8: ()}[lane]
    convert = float if lane is f64x8 else np.uint64

    def choose(a, b):  # type: ignore[no-untyped-def]
        if a is lane and b is lane:
            return lambda a, b: call(a, b)
        if a is lane and isinstance(b, scalars):
            return lambda a, b: call(a, splat(convert(b)))
        if b is lane and isinstance(a, scalars):
            return lambda a, b: call(splat(convert(a)), b)
        return None

    overload(function)(choose)


for _row in _OPERATORS:
    _register_operator(*_row)

_negate = _unary(lambda builder, x: builder.fneg(x, flags=_FLAGS), f64x8, f64x8)
_not = _unary(lambda builder, x: builder.not_(x), boolx8, boolx8)


@overload(operator.neg)
def _neg_overload(x):  # type: ignore[no-untyped-def]
    return (lambda x: _negate(x)) if x is f64x8 else None


@overload(operator.invert)
def _invert_overload(x):  # type: ignore[no-untyped-def]
    return (lambda x: _not(x)) if x is boolx8 else None


# --- functions of a float64 lane ------------------------------------------------------------------------------------


def _llvm_function(name: str, arity: int = 1) -> Emit:
    """A call of the LLVM intrinsic `llvm.<name>.v8f64`."""

    def emit(builder: ir.IRBuilder, *args: ir.Value) -> ir.Value:
        signature = ir.FunctionType(f64x8.vector, [f64x8.vector] * arity)
        function = cgutils.get_or_insert_function(builder.module, signature, f"llvm.{name}.v{WIDTH}f64")
        return builder.call(function, args)

    return emit


def sqrt(x: Lane) -> Lane:
    """The correctly rounded square root."""
    return np.sqrt(x)


_sqrt = _unary(_llvm_function("sqrt"), f64x8, f64x8)


@overload(sqrt)
def _sqrt_overload(x):  # type: ignore[no-untyped-def]
    return lambda x: _sqrt(x)


def absolute(x: Lane) -> Lane:
    """|x|."""
    return np.abs(x)


_absolute = _unary(_llvm_function("fabs"), f64x8, f64x8)


@overload(absolute)
def _absolute_overload(x):  # type: ignore[no-untyped-def]
    return lambda x: _absolute(x)


def copy_sign(magnitude: Lane, sign: Lane) -> Lane:
    """|magnitude| with the sign of `sign`."""
    return np.copysign(magnitude, sign)


_copy_sign = _binary(_llvm_function("copysign", 2), f64x8, f64x8, f64x8)


@overload(copy_sign)
def _copy_sign_overload(magnitude, sign):  # type: ignore[no-untyped-def]
    return lambda magnitude, sign: _copy_sign(magnitude, sign)


def _emit_extremum(symbol: str) -> Emit:
    return lambda builder, x, y: builder.select(builder.fcmp_ordered(symbol, x, y), x, y)


def minimum(x: Lane, y: Lane) -> Lane:
    """The smaller of two lanes, element by element; `y` where either is NaN."""
    return np.where(x < y, x, y)


def maximum(x: Lane, y: Lane) -> Lane:
    """The larger of two lanes, element by element; `y` where either is NaN."""
    return np.where(x > y, x, y)


_minimum = _binary(_emit_extremum("<"), f64x8, f64x8, f64x8)
_maximum = _binary(_emit_extremum(">"), f64x8, f64x8, f64x8)


@overload(minimum)
def _minimum_overload(x, y):  # type: ignore[no-untyped-def]
    return lambda x, y: _minimum(x, y)


@overload(maximum)
def _maximum_overload(x, y):  # type: ignore[no-untyped-def]
    return lambda x, y: _maximum(x, y)


def reciprocal(x: Lane) -> Lane:
    """1/x to 2 ulp where x and 1/x are normal numbers; for other x (zero, subnormal, huge, NaN) nothing is promised.

    A division where vector units divide fast, else a seed and Newton steps. The seed is the hardware's estimate where
    there is one that covers the whole range (AVX-512: 14 bits), else an integer subtraction that mirrors the exponent
    (3 bits).
    """
    return 1.0 / x


def _constant(value: float) -> ir.Value:
    return ir.Constant(f64x8.vector, [value] * WIDTH)


def _emit_reciprocal(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    if reciprocals() == "division":
        return builder.fdiv(_constant(1.0), x, flags=_FLAGS)
    if reciprocals() == "rcp14":
        byte = ir.IntType(8)
        signature = ir.FunctionType(f64x8.vector, [f64x8.vector, f64x8.vector, byte])
        estimate = cgutils.get_or_insert_function(builder.module, signature, "llvm.x86.avx512.rcp14.pd.512")
        seed = builder.call(estimate, [x, ir.Constant(f64x8.vector, ir.Undefined), ir.Constant(byte, 0xFF)])
        newton_steps = 2
    else:
        mirror = ir.Constant(u64x8.vector, [0x7FDE623822FC16E6] * WIDTH)
        seed = builder.bitcast(builder.sub(mirror, builder.bitcast(x, u64x8.vector)), f64x8.vector)
        newton_steps = 4
    for _ in range(newton_steps):
        error = builder.fsub(_constant(1.0), builder.fmul(x, seed, flags=_FLAGS), flags=_FLAGS)
        seed = builder.fadd(seed, builder.fmul(seed, error, flags=_FLAGS), flags=_FLAGS)
    return seed


_reciprocal = _unary(_emit_reciprocal, f64x8, f64x8)


@overload(reciprocal)
def _reciprocal_overload(x):  # type: ignore[no-untyped-def]
    return lambda x: _reciprocal(x)


def twice_reciprocal(x: Lane) -> Lane:
    """2/x, as `reciprocal`."""
    return 2.0 / x


def _emit_twice_reciprocal(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    if reciprocals() == "division":
        return builder.fdiv(_constant(2.0), x, flags=_FLAGS)
    r = _emit_reciprocal(builder, x)
    return builder.fadd(r, r, flags=_FLAGS)


_twice_reciprocal = _unary(_emit_twice_reciprocal, f64x8, f64x8)


@overload(twice_reciprocal)
def _twice_reciprocal_overload(x):  # type: ignore[no-untyped-def]
    return lambda x: _twice_reciprocal(x)


def reciprocal_root(x: Lane) -> Lane:
    """1/√x to 3 ulp where x is a normal number > 0; for other x nothing is promised."""
    return 1.0 / np.sqrt(x)


def _emit_reciprocal_root(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    if simd() != "avx512f":
        return _emit_reciprocal(builder, _llvm_function("sqrt")(builder, x))
    byte = ir.IntType(8)
    signature = ir.FunctionType(f64x8.vector, [f64x8.vector, f64x8.vector, byte])
    estimate = cgutils.get_or_insert_function(builder.module, signature, "llvm.x86.avx512.rsqrt14.pd.512")
    root = builder.call(estimate, [x, ir.Constant(f64x8.vector, ir.Undefined), ir.Constant(byte, 0xFF)])
    for _ in range(2):
        scaled = builder.fmul(x, root, flags=_FLAGS)
        error = builder.fsub(_constant(1.0), builder.fmul(scaled, root, flags=_FLAGS), flags=_FLAGS)
        half = builder.fmul(_constant(0.5), root, flags=_FLAGS)
        root = builder.fadd(root, builder.fmul(half, error, flags=_FLAGS), flags=_FLAGS)
    return root


_reciprocal_root = _unary(_emit_reciprocal_root, f64x8, f64x8)


@overload(reciprocal_root)
def _reciprocal_root_overload(x):  # type: ignore[no-untyped-def]
    return lambda x: _reciprocal_root(x)


# --- masks ----------------------------------------------------------------------------------------------------------


def select(mask: Lane, x: Lane, y: Lane) -> Lane:
    """`x` where the mask is true, `y` elsewhere."""
    return np.where(mask, x, y)


def _emit_select(builder: ir.IRBuilder, mask: ir.Value, x: ir.Value, y: ir.Value) -> ir.Value:
    return builder.select(mask, x, y)


_select_float = _ternary(_emit_select, f64x8, boolx8, f64x8, f64x8)
_select_uint = _ternary(_emit_select, u64x8, boolx8, u64x8, u64x8)


@overload(select)
def _select_overload(mask, x, y):  # type: ignore[no-untyped-def]
    if x is u64x8:
        return lambda mask, x, y: _select_uint(mask, x, y)
    return lambda mask, x, y: _select_float(mask, x, y)


def any_of(mask: Lane) -> bool:
    """Whether the mask is true anywhere."""
    return bool(np.any(mask))


def _emit_any(builder: ir.IRBuilder, mask: ir.Value) -> ir.Value:
    bits = builder.bitcast(mask, ir.IntType(WIDTH))
    return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))


_any_of = _unary(_emit_any, types.boolean, boolx8)


@overload(any_of)
def _any_of_overload(mask):  # type: ignore[no-untyped-def]
    return lambda mask: _any_of(mask)


# --- bits -----------------------------------------------------------------------------------------------------------


def float_bits(x: Lane) -> Lane:
    """The bits of a float64 lane as uint64."""
    return x.view(np.uint64)


def from_bits(x: Lane) -> Lane:
    """The float64 lane with the bits of a uint64 lane."""
    return x.view(np.float64)


_float_bits = _unary(lambda builder, x: builder.bitcast(x, u64x8.vector), u64x8, f64x8)
_from_bits = _unary(lambda builder, x: builder.bitcast(x, f64x8.vector), f64x8, u64x8)


@overload(float_bits)
def _float_bits_overload(x):  # type: ignore[no-untyped-def]
    return lambda x: _float_bits(x)


@overload(from_bits)
def _from_bits_overload(x):  # type: ignore[no-untyped-def]
    return lambda x: _from_bits(x)


def is_odd(x: Lane) -> Lane:
    """The mask of the odd elements of a uint64 lane."""
    return (x & np.uint64(1)) == 1


_is_odd = _unary(lambda builder, x: builder.trunc(x, boolx8.vector), boolx8, u64x8)


@overload(is_odd)
def _is_odd_overload(x):  # type: ignore[no-untyped-def]
    return lambda x: _is_odd(x)
