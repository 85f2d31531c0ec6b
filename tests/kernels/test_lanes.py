"""Lanes against plain NumPy: every operator and primitive, with every combination of lanes and scalars."""

import operator

import numpy as np
import pytest
from kernel_tools import as_rows, exactly, in_another_process, on_rows, sized, ulps

from dlnmc_kernels.jit import JIT_DISABLED, device
from dlnmc_kernels.lanes import (
    WIDTH,
    absolute,
    any_of,
    copy_sign,
    float_bits,
    from_bits,
    is_odd,
    lane_numbers,
    load,
    maximum,
    minimum,
    reciprocal,
    reciprocal_root,
    select,
    splat,
    sqrt,
    store,
)

SPECIAL = np.array([0.0, -0.0, 1.0, -1.5, 5e-324, -2.2e-308, 1.7e308, np.inf, -np.inf, np.nan])
U64 = np.array([0, 1, 2, 3, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1], np.uint64)

rng = np.random.default_rng(2)


def float_pairs():
    """Rows of pairs: all of the special values with each other, then ordinary numbers."""
    a, b = np.meshgrid(SPECIAL, SPECIAL)
    ordinary = rng.normal(size=(2, 800)) * 10.0 ** rng.integers(-30, 30, (2, 800))
    return as_rows(np.append(a, ordinary[0])), as_rows(np.append(b, ordinary[1]))


def same(got, expected):
    """Equal as numbers: NaN equals NaN, and −0 equals 0 (kernels may assume that signs of zero do not matter)."""
    return np.array_equal(got, expected, equal_nan=got.dtype == np.float64)


# --- memory -------------------------------------------------------------------------------------------------


@device
def reverse_rows(x, out):
    for i in range(len(x)):
        store(out, len(x) - 1 - i, load(x, i))


@pytest.mark.parametrize("dtype", [np.float64, np.uint64])
def test_load_and_store_move_whole_rows_and_touch_nothing_else(dtype):
    x = np.arange(5 * WIDTH).reshape(5, WIDTH).astype(dtype)
    around = np.full((7, WIDTH), 99).astype(dtype)
    reverse_rows(x, around[1:6])
    assert np.array_equal(around[1:6], x[::-1])
    assert (around[[0, 6]] == 99).all()


@device
def load_then_overwrite(x):
    first = load(x, 0)
    store(x, 0, load(x, 1))
    store(x, 1, first)


def test_a_loaded_lane_is_a_value_and_not_a_view():
    x = np.arange(2.0 * WIDTH).reshape(2, WIDTH)
    before = x.copy()
    load_then_overwrite(x)
    assert np.array_equal(x, before[::-1])


@pytest.mark.skipif(JIT_DISABLED, reason="the compiler refuses, NumPy need not")
@pytest.mark.parametrize("wrong", [np.zeros((8, 8)).T, np.zeros((4, 16))[:, ::2], np.zeros((4, 8), np.float32)])
def test_the_compiler_refuses_arrays_that_are_not_rows_of_eight_doubles(wrong):
    with pytest.raises(Exception, match="C-contiguous float64 or uint64"):
        reverse_rows(wrong, np.zeros((4, 8)))


@device
def splats(x, n, floats, words):
    store(floats, 0, splat(x))
    store(floats, 1, splat(2.0))
    store(floats, 2, splat(3))
    store(words, 0, splat(n))
    store(words, 1, lane_numbers())


def test_splat_repeats_a_scalar_and_lane_numbers_count():
    floats, words = np.zeros((3, WIDTH)), np.zeros((2, WIDTH), np.uint64)
    splats(0.1, np.uint64(2**64 - 1), floats, words)
    assert np.array_equal(floats, np.repeat([[0.1], [2.0], [3.0]], WIDTH, axis=1))
    assert (words[0] == 2**64 - 1).all()
    assert np.array_equal(words[1], np.arange(WIDTH))


# --- operators ----------------------------------------------------------------------------------------------


@device
def float_arithmetic(a, b, s, n, out):
    for i in range(len(a)):
        x, y = load(a, i), load(b, i)
        store(out[0], i, x + y)
        store(out[1], i, x + s)
        store(out[2], i, s + x)
        store(out[3], i, x - y)
        store(out[4], i, x - s)
        store(out[5], i, s - x)
        store(out[6], i, x * y)
        store(out[7], i, x * s)
        store(out[8], i, s * x)
        store(out[9], i, x / y)
        store(out[10], i, x / s)
        store(out[11], i, s / x)
        store(out[12], i, -x)
        store(out[13], i, x * n)
        store(out[14], i, n - x)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("s", [0.1, -3.0, 0.0, np.inf])
def test_float_arithmetic_rounds_as_numpy_does(s):
    a, b = float_pairs()
    out = np.empty((15, *a.shape))
    float_arithmetic(a, b, s, 7, out)
    expected = []
    for f in operator.add, operator.sub, operator.mul, operator.truediv:
        expected += [f(a, b), f(a, s), f(s, a)]
    expected += [-a, a * 7, 7 - a]
    for k, row in enumerate(expected):
        assert same(out[k], row), k


@device
def float_comparisons(a, b, s, out):
    one, zero = splat(1.0), splat(0.0)
    for i in range(len(a)):
        x, y = load(a, i), load(b, i)
        store(out[0], i, select(x < y, one, zero))
        store(out[1], i, select(x < s, one, zero))
        store(out[2], i, select(s < x, one, zero))
        store(out[3], i, select(x <= y, one, zero))
        store(out[4], i, select(x <= s, one, zero))
        store(out[5], i, select(s <= x, one, zero))
        store(out[6], i, select(x > y, one, zero))
        store(out[7], i, select(x > s, one, zero))
        store(out[8], i, select(s > x, one, zero))
        store(out[9], i, select(x >= y, one, zero))
        store(out[10], i, select(x >= s, one, zero))
        store(out[11], i, select(s >= x, one, zero))
        store(out[12], i, select(x == y, one, zero))
        store(out[13], i, select(x == s, one, zero))
        store(out[14], i, select(s == x, one, zero))


@pytest.mark.parametrize("s", [1.0, 0.0, np.inf, np.nan])
def test_float_comparisons_are_false_for_nan_and_otherwise_numpys(s):
    a, b = float_pairs()
    out = np.empty((15, *a.shape))
    float_comparisons(a, b, s, out)
    expected = []
    for f in operator.lt, operator.le, operator.gt, operator.ge, operator.eq:
        expected += [f(a, b), f(a, s), f(s, a)]
    for k, row in enumerate(expected):
        assert np.array_equal(out[k], row.astype(float)), k


@device
def word_arithmetic(a, b, s, out):
    for i in range(len(a)):
        x, y = load(a, i), load(b, i)
        store(out[0], i, x + y)
        store(out[1], i, x + s)
        store(out[2], i, s + x)
        store(out[3], i, x - y)
        store(out[4], i, x - s)
        store(out[5], i, s - x)
        store(out[6], i, x * y)
        store(out[7], i, x * s)
        store(out[8], i, s * x)
        store(out[9], i, x & y)
        store(out[10], i, x & s)
        store(out[11], i, s & x)
        store(out[12], i, x | y)
        store(out[13], i, x | s)
        store(out[14], i, s | x)
        store(out[15], i, x ^ y)
        store(out[16], i, x ^ s)
        store(out[17], i, s ^ x)


@pytest.mark.parametrize("s", [np.uint64(3), np.uint64(2**64 - 1), np.uint64(0x9E3779B97F4A7C15)])
def test_words_wrap_modulo_two_to_the_64(s):
    a, b = (as_rows(v) for v in np.meshgrid(U64, U64))
    out = np.empty((18, *a.shape), np.uint64)
    word_arithmetic(a, b, s, out)
    expected = []
    for f in operator.add, operator.sub, operator.mul, operator.and_, operator.or_, operator.xor:
        for left, right in (a, b), (a, s), (s, a):
            pairs = np.broadcast(left, right)
            expected.append([f(int(x), int(y)) % 2**64 for x, y in pairs])
    for k, row in enumerate(expected):
        assert out[k].ravel().tolist() == row, k


@device
def word_shifts(a, counts, s, out):
    for i in range(len(a)):
        x, n = load(a, i), load(counts, i)
        store(out[0], i, x << n)
        store(out[1], i, x << s)
        store(out[2], i, x >> n)
        store(out[3], i, x >> s)
        store(out[4], i, s << n)
        store(out[5], i, s >> n)


def test_shifts_fill_with_zeros():
    a, counts = (as_rows(v) for v in np.meshgrid(U64, np.array([0, 1, 31, 32, 52, 63], np.uint64)))
    out = np.empty((6, *a.shape), np.uint64)
    s = np.uint64(52)
    word_shifts(a, counts, s, out)
    for k, (x, n) in enumerate([(a, counts), (a, s)]):
        pairs = [(int(v), int(c)) for v, c in np.broadcast(x, n)]
        assert out[k].ravel().tolist() == [(v << c) % 2**64 for v, c in pairs]
        assert out[2 + k].ravel().tolist() == [v >> c for v, c in pairs]
    assert out[4].ravel().tolist() == [(52 << int(c)) % 2**64 for c in counts.ravel()]
    assert out[5].ravel().tolist() == [52 >> int(c) for c in counts.ravel()]


# --- masks --------------------------------------------------------------------------------------------------


@device
def mask_algebra(a, b, out, words, anywhere):
    one, zero = splat(1.0), splat(0.0)
    for i in range(len(a)):
        x, y = load(a, i), load(b, i)
        p, q = x > 0.0, y > 0.0
        store(out[0], i, select(p & q, one, zero))
        store(out[1], i, select(p | q, one, zero))
        store(out[2], i, select(~p, one, zero))
        store(out[3], i, select(p & ~q, x, y))
        store(words[0], i, select(p, float_bits(x), float_bits(y)))
        store(words[1], i, select(is_odd(float_bits(x)), splat(np.uint64(1)), splat(np.uint64(0))))
        anywhere[i, 0] = any_of(p)
        anywhere[i, 1] = any_of(p & q)


def test_masks_select_and_any_of():
    # All 256 masks, each with another.
    bits = (np.arange(256)[:, None] >> np.arange(WIDTH)) & 1
    a = np.where(bits, 1.0, -1.0) * rng.uniform(0.5, 2.0, bits.shape)
    b = rng.permutation(a) * 0.7
    p, q = a > 0, b > 0
    out, words, anywhere = np.empty((4, *a.shape)), np.empty((2, *a.shape), np.uint64), np.zeros((256, 2), bool)
    mask_algebra(a, b, out, words, anywhere)
    for k, row in enumerate([p & q, p | q, ~p]):
        assert np.array_equal(out[k], row.astype(float)), k
    assert np.array_equal(out[3], np.where(p & ~q, a, b))
    assert np.array_equal(words[0], np.where(p, a, b).view(np.uint64))
    assert np.array_equal(words[1], a.view(np.uint64) & np.uint64(1))
    assert np.array_equal(anywhere, np.column_stack([p.any(axis=1), (p & q).any(axis=1)]))


# --- functions ----------------------------------------------------------------------------------------------


@device
def extremes(a, b, out):
    for i in range(len(a)):
        x, y = load(a, i), load(b, i)
        store(out[0], i, minimum(x, y))
        store(out[1], i, maximum(x, y))
        store(out[2], i, absolute(x))
        store(out[3], i, copy_sign(x, y))


def test_minimum_and_maximum_give_the_second_argument_where_either_is_nan():
    a, b = float_pairs()
    out = np.empty((4, *a.shape))
    extremes(a, b, out)
    nan = np.isnan(a) | np.isnan(b)
    assert same(out[0], np.where(nan, b, np.fmin(a, b)))
    assert same(out[1], np.where(nan, b, np.fmax(a, b)))


def test_absolute_and_copy_sign_act_on_the_sign_bit_alone():
    a, b = float_pairs()
    out = np.empty((4, *a.shape))
    extremes(a, b, out)
    magnitude, sign = np.uint64(2**63 - 1), np.uint64(2**63)
    bits_a, bits_b, got = a.view(np.uint64), b.view(np.uint64), out.view(np.uint64)
    assert np.array_equal(got[2], bits_a & magnitude)
    assert np.array_equal(got[3], (bits_a & magnitude) | (bits_b & sign))


@device
def bits_there_and_back(x, words, out):
    for i in range(len(x)):
        store(words, i, float_bits(load(x, i)))
        store(out, i, from_bits(load(words, i)))


def test_bits_survive_the_round_trip():
    x, _ = float_pairs()
    words, out = np.empty(x.shape, np.uint64), np.empty(x.shape)
    bits_there_and_back(x, words, out)
    assert np.array_equal(words, x.view(np.uint64))
    assert np.array_equal(out.view(np.uint64), words)


def normal_numbers(n, lowest=-1022, highest=1022):
    """Log-uniform numbers of both signs in [2^lowest, 2^highest], with the ends and the neighbours of powers of two."""
    x = np.ldexp(rng.uniform(1.0, 2.0, n), rng.integers(lowest, highest, n))
    powers = np.ldexp(1.0, np.arange(lowest, highest + 1))
    x = np.concatenate([x, powers, np.nextafter(powers[:-1], np.inf), np.nextafter(powers[1:], 0.0)])
    return x * rng.choice([-1.0, 1.0], len(x))


def test_sqrt_is_correctly_rounded():
    x = np.append(np.abs(normal_numbers(sized(100_000, 4000))), [0.0, np.inf, 5e-324])
    assert np.array_equal(on_rows(sqrt)(x), np.sqrt(x))


def test_reciprocal_is_within_2_ulp_over_the_full_normal_range():
    x = normal_numbers(sized(400_000, 10_000))
    got = on_rows(reciprocal)(x)
    worst = ulps(got, exactly(lambda v, m: 1 / v, x)(got)).max()
    print(f"reciprocal: {worst:.3f} ulp")
    assert worst <= 2.0


def test_reciprocal_root_is_within_3_ulp_over_the_full_normal_range():
    x = np.abs(normal_numbers(sized(400_000, 10_000)))
    got = on_rows(reciprocal_root)(x)
    worst = ulps(got, exactly(lambda v, m: 1 / m.sqrt(v), x)(got)).max()
    print(f"reciprocal root: {worst:.3f} ulp")
    assert worst <= 3.0


@pytest.mark.skipif(JIT_DISABLED, reason="the code under test exists only when compiled")
def test_primitives_keep_their_accuracy_on_a_cpu_without_wide_vectors_or_fused_multiply_add():
    program = """
import test_elementary, test_lanes
test_lanes.test_reciprocal_is_within_2_ulp_over_the_full_normal_range()
test_lanes.test_reciprocal_root_is_within_3_ulp_over_the_full_normal_range()
test_elementary.test_log_is_within_2_ulp_from_the_smallest_normal_number_to_the_largest()
test_elementary.test_exp_is_within_2_ulp_between_its_limits()
test_elementary.test_sincos_of_turns_is_within_2_to_the_minus_52_absolutely()
"""
    report = in_another_process(program, NUMBA_CPU_NAME="generic", NUMBA_DISABLE_JIT="0")
    print(report)
    assert len(report.splitlines()) == 5
