"""log, exp, sincos_turns and power against extended precision."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_tools import EXTENDED, as_rows, exactly, on_rows, sized, ulps

from dlnmc_kernels.elementary import exp, log, power, sincos_turns
from dlnmc_kernels.jit import device
from dlnmc_kernels.lanes import load, store

rng = np.random.default_rng(3)
N = sized(400_000, 10_000) if EXTENDED else sized(30_000, 10_000)
U = 2.0**-53  # half an ulp of 1: the relative error of one rounding is at most this

the_log, the_exp = on_rows(log), on_rows(exp)


def test_log_is_within_2_ulp_from_the_smallest_normal_number_to_the_largest():
    tiny, huge = np.finfo(float).tiny, np.finfo(float).max
    wide = np.ldexp(rng.uniform(1.0, 2.0, N // 2), rng.integers(-1022, 1024, N // 2))
    near_one = 1.0 + rng.choice([-1.0, 1.0], N // 4) * 2.0 ** rng.uniform(-53.0, -1.0, N // 4)
    unit = 1.0 - rng.integers(0, 2**52, N // 4) * 2.0**-52  # what Box and Muller use
    corners = np.sqrt(0.5) * (1.0 + np.arange(-50, 51) * 2.0**-53)  # where the reduction switches
    x = np.concatenate([wide, near_one, unit, corners, 2.0 * corners, [tiny, huge, 2.0**-52]])
    x = x[x != 1.0]
    got = the_log(x)
    worst = ulps(got, exactly(lambda v, m: m.log(v), x)(got)).max()
    print(f"log: {worst:.3f} ulp")
    assert worst <= 2.0


def test_log_is_exact_at_one():
    assert (the_log(np.ones(8)) == 0.0).all()


def test_exp_is_within_2_ulp_between_its_limits():
    x = np.concatenate(
        [
            rng.uniform(-708.0, 709.0, N // 2),
            rng.normal(size=N // 4) * 2.0 ** rng.uniform(-60.0, 0.0, N // 4),
            np.log(2.0) * (rng.integers(-1000, 1000, N // 4) + 0.5 + rng.uniform(-1e-12, 1e-12, N // 4)),
            [-708.0, 709.0, 0.0],
        ]
    )
    x = x[np.abs(x - 0.5) <= 708.5]
    got = the_exp(x)
    worst = ulps(got, exactly(lambda v, m: m.exp(v), x)(got)).max()
    print(f"exp: {worst:.3f} ulp")
    assert worst <= 2.0


def test_exp_beyond_its_limits_is_0_below_and_stays_at_the_largest_value_above():
    largest = the_exp(np.array([709.0]))[0]
    got = the_exp(np.array([-708.0001, -1e5, -1e300, -np.inf, 709.0001, 1e5, 1e300, np.inf]))
    assert (got[:4] == 0.0).all()
    assert (got[4:] == largest).all()
    assert the_exp(np.array([0.0, -0.0])).tolist() == [1.0, 1.0]


@device
def sincos_loop(x, sine, cosine):
    for i in range(len(x)):
        s, c = sincos_turns(load(x, i))
        store(sine, i, s)
        store(cosine, i, c)


def the_sincos(u):
    rows = as_rows(u)
    sine, cosine = np.empty_like(rows), np.empty_like(rows)
    sincos_loop(rows, sine, cosine)
    return sine.ravel()[: len(u)], cosine.ravel()[: len(u)]


TWO_PI = "6.28318530717958647692528676655900576839433879875"


def sine_of_turns(u, m):
    return m.sin((m.longdouble if m is np else m.mpf)(TWO_PI) * u)


def cosine_of_turns(u, m):
    return m.cos((m.longdouble if m is np else m.mpf)(TWO_PI) * u)


def test_sincos_of_turns_is_within_2_to_the_minus_52_absolutely():
    u = np.append(rng.integers(0, 2**52, N) * 2.0**-52, np.arange(-16, 17) / 8.0)
    u = np.append(u, np.arange(9) / 8.0 - 2.0**-52)
    sine, cosine = the_sincos(u)
    worst = max(np.abs(exactly(sine_of_turns, u)(sine)).max(), np.abs(exactly(cosine_of_turns, u)(cosine)).max())
    print(f"sincos: {worst / U:.3f} times 2^-53")
    assert worst <= 2.0 * U


def test_sincos_of_turns_is_exact_at_quarter_turns_and_periodic():
    u = np.arange(-8, 9) / 4.0
    sine, cosine = the_sincos(u)
    assert np.array_equal(sine, np.resize([0.0, 1.0, 0.0, -1.0], 17))
    assert np.array_equal(cosine, np.resize([1.0, 0.0, -1.0, 0.0], 17))
    v = rng.integers(0, 2**30, 1000) * 2.0**-30
    for whole in (-(2.0**20), -1.0, 2.0**20 - 1.0):
        assert np.array_equal(the_sincos(v + whole), the_sincos(v))


@device
def power_loop(x, exponent, out):
    for i in range(len(x)):
        store(out, i, power(load(x, i), exponent))


def the_power(x, exponent):
    rows = as_rows(x)
    out = np.empty_like(rows)
    power_loop(rows, exponent, out)
    return out.ravel()[: len(x)]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 5, 8, 17, 31, 63, 64])
def test_whole_powers_lose_at_most_half_an_ulp_per_factor(n):
    # Every product of j factors carries the roundings of its two parts and one more: at most j − 1 of them in all.
    x = np.exp(rng.uniform(-5.0, 5.0, sized(20_000, 2000)))
    got = the_power(x, float(n))
    relative = np.abs(exactly(lambda v, m: v**n, x)(got)) / got
    assert relative.max() <= 1.001 * max(n - 1, 0) * U


@settings(deadline=None, max_examples=sized(100, 20))
@given(st.floats(-20.0, 80.0))
def test_real_powers_lose_what_the_logarithms_error_costs(exponent):
    # exp within 2 ulp (4 U) of the exponential of t = exponent·log x, which log (2 ulp, 4 U) and the product (U) get
    # wrong by 5 U |t|.
    span = 600.0 / max(abs(exponent), 1.0)
    x = np.exp(np.linspace(-span, span, 64))
    got = the_power(x, exponent)
    relative = np.abs(exactly(lambda v, m: v ** (m.longdouble if m is np else m.mpf)(exponent), x)(got)) / got
    assert (relative <= 1.01 * (4.0 + 5.0 * np.abs(exponent * np.log(x))) * U).all()


@pytest.mark.parametrize(("exponent", "at_zero"), [(0.0, 1.0), (1.0, 0.0), (7.0, 0.0)])
def test_whole_powers_of_zero_are_exact(exponent, at_zero):
    assert (the_power(np.zeros(8), exponent) == at_zero).all()


def test_real_powers_of_zero_are_those_of_1e_300():
    for exponent in (0.5, 1.5, 2.7, -0.5):
        expected = np.power(1e-300, exponent)
        assert the_power(np.array([0.0, 1e-305]), exponent) == pytest.approx(expected, rel=1e-12, abs=1e-307)


def test_a_whole_exponent_above_64_takes_the_other_branch_and_agrees():
    x = np.linspace(0.7, 1.3, 64)
    assert the_power(x, 70.0) == pytest.approx(x**70.0, rel=5.0 * 70 * 0.4 * U + 8 * U)
