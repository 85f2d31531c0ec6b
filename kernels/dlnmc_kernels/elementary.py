"""Logarithm, exponential, power, sine and cosine of a lane: polynomials, since the compiler has no vector library here.

The coefficients are Chebyshev interpolants of the functions stated beside them, computed with 50 digits; the
approximation errors lie below 2e-17, so that what remains is rounding.
"""

import numpy as np
from numba.extending import register_jitable

from dlnmc_kernels.jit import device, inlined
from dlnmc_kernels.lanes import Lane, float_bits, from_bits, is_odd, maximum, minimum, select, splat

# Powers of two times an integer, so that their product with a small integer is exact; the low part carries the rest.
LN2_HIGH = float.fromhex("0x1.62e42fefa0000p-1")
LN2_LOW = float.fromhex("0x1.cf79abc9e3b3ap-40")
LOG2_E = 1.4426950408889634
SQRT_HALF_BITS = np.uint64(0x3FE6A09E667F3BCD)
MANTISSA_BITS = np.uint64(52)
MANTISSA_MASK = np.uint64(0x000FFFFFFFFFFFFF)
ROUND_TO_INTEGER = 6755399441055744.0  # 1.5·2^52: adding it rounds to an integer, kept in the lowest bits
ROUND_TO_INTEGER_BITS = np.uint64(0x4338000000000000)
EXP_LOWEST, EXP_HIGHEST = -708.0, 709.0


@device
def split_exponent(x: Lane) -> tuple[Lane, Lane]:
    """(m, e) with x = m 2^e and m in [sqrt(1/2), sqrt(2)), for positive normal numbers."""
    offset = float_bits(x) - SQRT_HALF_BITS  # of which the exponent field is e
    # The exponent may be negative: bias it by 2^11 before the shift, and take it off again as a float.
    e = from_bits(((offset + (np.uint64(2048) << MANTISSA_BITS)) >> MANTISSA_BITS) | ROUND_TO_INTEGER_BITS)
    return from_bits((offset & MANTISSA_MASK) + SQRT_HALF_BITS), e - (ROUND_TO_INTEGER + 2048.0)


@inlined
def polynomial(z: Lane, a_0: float, a_1: float, a_2: float, a_3: float, a_4: float, a_5: float, a_6: float) -> Lane:
    """The sum of a_k z^k, in two halves: processors wait for long chains of dependent operations."""
    z_cubed = z * z * z
    high = (z * a_5 + a_4) * z + a_3 + z_cubed * a_6
    return high * z_cubed + ((z * a_2 + a_1) * z + a_0)


@device
def log(x: Lane) -> Lane:
    """Natural logarithm of positive normal numbers, within 2 ulp; anything else gives a meaningless finite number."""
    m, e = split_exponent(x)
    f = m - 1.0
    s = f / (f + 2.0)
    # (2 artanh(s) − 2s) / s³ as a function of z = s², |s| <= 0.1716
    r = polynomial(
        s * s,
        0.666666666666667,
        0.39999999999899444,
        0.2857142862600327,
        0.22222211130259878,
        0.18182889455674947,
        0.15331710618210773,
        0.14616585424888623,
    )
    # log m = f − f²/2 + s (f²/2 + z r): the leading term is exact.
    h = f * f * 0.5
    return e * LN2_HIGH - ((h - (s * (h + s * s * r) + e * LN2_LOW)) - f)


@device
def exp(x: Lane) -> Lane:
    """Exponential, within 2 ulp; 0 below −708 and e^709 above 709."""
    clamped = minimum(maximum(x, splat(EXP_LOWEST)), splat(EXP_HIGHEST))
    shifted = clamped * LOG2_E + ROUND_TO_INTEGER
    k = shifted - ROUND_TO_INTEGER
    r = (clamped - k * LN2_HIGH) - k * LN2_LOW
    # (e^r − 1 − r) / r², |r| <= ln(2)/2
    p = r * 2.5100375832561234e-08 + 2.7620075879983367e-07
    p = p * r + 2.7557268480310024e-06
    p = p * r + 2.4801521322368692e-05
    p = p * r + 0.00019841269863040545
    p = p * r + 0.0013888888917196719
    p = p * r + 0.008333333333330065
    p = p * r + 0.041666666666624164
    p = p * r + 0.16666666666666669
    p = p * r + 0.5000000000000001
    mantissa = (p * (r * r) + r) + 1.0
    result = from_bits(float_bits(mantissa) + (float_bits(shifted) << MANTISSA_BITS))
    return select(x < EXP_LOWEST, splat(0.0), result)


@device
def sincos_turns(u: Lane) -> tuple[Lane, Lane]:
    """(sin 2πu, cos 2πu) for |u| <= 2^20, each within 2^-52 of exact."""
    shifted = u * 4.0 + ROUND_TO_INTEGER
    quarter = float_bits(shifted)
    t = u - (shifted - ROUND_TO_INTEGER) * 0.25
    z = t * t
    # sin(2πt)/t and (cos(2πt) − 1)/t² as functions of z = t², |t| <= 1/8
    s = t * polynomial(
        z,
        6.283185307179586,
        -41.341702240399634,
        81.60524927594804,
        -76.70585970427454,
        42.058685020160894,
        -15.093804209987114,
        3.7808689593022957,
    )
    c = polynomial(
        z,
        -19.739208802178716,
        64.93939402266824,
        -85.4568172066438,
        60.24464135270201,
        -26.426253275854723,
        7.903206911569678,
        -1.6990343940660637,
    )
    c = c * z + 1.0
    # A quarter turn exchanges the two; the signs follow the quarter's second bit, that of sine and of cosine one apart.
    odd = is_odd(quarter)
    sine, cosine = select(odd, c, s), select(odd, s, c)
    two = np.uint64(2)
    sine_sign = (quarter & two) << np.uint64(62)
    cosine_sign = ((quarter + np.uint64(1)) & two) << np.uint64(62)
    return from_bits(float_bits(sine) ^ sine_sign), from_bits(float_bits(cosine) ^ cosine_sign)


@register_jitable
def highest_bit(n: int) -> int:
    """The largest power of two up to n, 0 < n < 256."""
    n |= n >> 1
    n |= n >> 2
    n |= n >> 4
    return (n + 1) >> 1


@inlined
def power(x: Lane, exponent: float) -> Lane:
    """x^exponent for x >= 0: repeated squaring for whole exponents 0 ... 64 (0^0 = 1), else exp of the logarithm.

    There the relative error grows as |exponent log x| ulp, and x below 1e-300 counts as 1e-300.
    """
    n = int(exponent)
    if n != exponent or n < 0 or n > 64:
        return real_power(x, exponent)
    if n == 0:
        return splat(1.0)
    result, bit = x, highest_bit(n)
    while bit > 1:
        bit >>= 1
        result = result * result
        if n & bit:
            result = result * x
    return result


@device
def real_power(x: Lane, exponent: float) -> Lane:
    """x^exponent as the exponential of a logarithm."""
    return exp(log(maximum(x, splat(1e-300))) * exponent)
