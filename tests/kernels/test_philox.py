"""Philox4x32-10: known answers, the layout of counters, and the laws of uniforms and normals.

Every statistical test has a fixed seed, a false-alarm rate of 1e-6 in all (shared equally among what it looks at), a
threshold computed from its sample size, and a negative control that it must reject, of computed power above 0.999.
"""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kernel_tools import FALSE_ALARM, POWER, dkw, sized
from scipy.special import ndtr
from scipy.stats import binom, norm

from dlnmc_kernels.driver import normals, uniforms
from dlnmc_kernels.elementary import log
from dlnmc_kernels.jit import JIT_DISABLED, device
from dlnmc_kernels.lanes import WIDTH, load, sqrt, store
from dlnmc_kernels.philox import (
    DYNAMICS,
    EXACT,
    METROPOLIS,
    PATH_BITS,
    PILOT,
    PILOT_METROPOLIS,
    SLOT_BITS,
    START,
    STEP_BITS,
    STREAM_BITS,
    above_zero,
    from_zero,
    philox4x32,
    random_words,
)

KEY = np.uint64(20_240_229)

# --- the generator, from the paper --------------------------------------------------------------------------


def philox_of_the_paper(counter, key):
    """Philox4x32-10 in whole numbers: Salmon et al. (2011), section 3.3, with their multipliers and Weyl constants."""
    (r0, l0, r1, l1), (k0, k1) = counter, key
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * r0, 2**32)
        high1, low1 = divmod(0xCD9E8D57 * r1, 2**32)
        r0, l0, r1, l1 = high1 ^ l0 ^ k0, low1, high0 ^ l1 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return r0, l0, r1, l1


KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@device
def philox_loop(counters, k0, k1, out):
    words = philox4x32(load(counters, 0), load(counters, 1), load(counters, 2), load(counters, 3), k0, k1)
    store(out, 0, words[0])
    store(out, 1, words[1])
    store(out, 2, words[2])
    store(out, 3, words[3])


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_the_three_known_answers(counter, key, answer):
    assert philox_of_the_paper(counter, key) == answer
    # In lanes, with another counter in every second lane.
    counters = np.repeat(np.array(counter, np.uint64)[:, None], WIDTH, axis=1)
    counters[:, 1::2] ^= np.uint64(5)
    out = np.empty((4, WIDTH), np.uint64)
    philox_loop(counters, np.uint64(key[0]), np.uint64(key[1]), out)
    assert out[:, 0].tolist() == out[:, 6].tolist() == list(answer)
    assert out[:, 1].tolist() == list(philox_of_the_paper([c ^ 5 for c in counter], key))


# --- the counter --------------------------------------------------------------------------------------------


def documented_counter(stream, path, step, slot):
    """The four words as the module's docstring lays them out."""
    return (
        slot | stream << 24,
        path % 2**32,
        step >> 32 | path >> 32 << 16,
        step % 2**32,
    )


def read_back(counter):
    """(stream, path, step, slot) from the four words: a left inverse, so that no two tuples share a counter."""
    w0, w1, w2, w3 = counter
    return w0 >> 24, w1 | w2 >> 16 << 32, w3 | w2 % 2**16 << 32, w0 % 2**24


def field(bits):
    """Whole numbers of so many bits, often at the ends or with a single bit set."""
    corners = {0, 1, 2**bits - 1, 2**bits - 2, *(2**b for b in range(bits)), *(2**b - 1 for b in range(bits))}
    return st.sampled_from(sorted(corners)) | st.integers(0, 2**bits - 1)


TUPLES = st.tuples(field(STREAM_BITS), field(PATH_BITS), field(STEP_BITS), field(SLOT_BITS))
LAST = (2**STREAM_BITS - 1, 2**PATH_BITS - 1, 2**STEP_BITS - 1, 2**SLOT_BITS - 1)


@settings(deadline=None, max_examples=200)
@given(TUPLES, TUPLES)
@example(LAST, (0, 0, 0, 0))
def test_no_two_of_path_step_slot_stream_share_a_counter(one, other):
    for fields in one, other:
        counter = documented_counter(*fields)
        assert all(0 <= word < 2**32 for word in counter)
        assert read_back(counter) == fields
    assert (one == other) == (documented_counter(*one) == documented_counter(*other))


@device
def words_loop(key, stream, path, step, slot, out):
    a, b = random_words(key, stream, load(path, 0), step, slot)
    store(out, 0, a)
    store(out, 1, b)


def random_words_at(key, stream, paths, step, slot):
    out = np.empty((2, WIDTH), np.uint64)
    words_loop(np.uint64(key), stream, np.array([paths], np.uint64), step, slot, out)
    return out


@settings(deadline=None, max_examples=sized(200, 100))
@given(TUPLES, field(64), st.lists(field(PATH_BITS), min_size=7, max_size=7))
@example(LAST, 2**64 - 1, [0] * 7)
@example((0, 0, 0, 0), 0, [0] * 7)
def test_random_words_are_philox_of_the_documented_counter_and_key(fields, key, other_paths):
    stream, path, step, slot = fields
    paths = [path, *other_paths]
    got = random_words_at(key, stream, paths, step, slot)
    for lane, p in enumerate(paths):
        r = philox_of_the_paper(documented_counter(stream, p, step, slot), (key % 2**32, key >> 32))
        assert got[:, lane].tolist() == [r[0] << 32 | r[1], r[2] << 32 | r[3]]


def test_streams_keep_the_numbers_that_stored_results_depend_on():
    assert (DYNAMICS, START, METROPOLIS, PILOT, PILOT_METROPOLIS, EXACT) == (0, 1, 2, 3, 4, 5)


def test_arrays_of_numbers_are_those_of_the_documented_counters():
    first_block, step, size = 5, 2**33 + 7, 3
    out, flat = np.zeros((2, size + 1, WIDTH)), np.zeros((2, size + 1, WIDTH))
    normals(KEY, METROPOLIS, first_block, step, out)
    uniforms(KEY, START, first_block, flat)
    for b in range(2):
        for lane in range(WIDTH):
            path = WIDTH * (first_block + b) + lane
            for slot in range(2):
                r = philox_of_the_paper(documented_counter(METROPOLIS, path, step, slot), (int(KEY), 0))
                u, turns = 1.0 - (r[0] << 20 | r[1] >> 12) / 2**52, (r[2] << 20 | r[3] >> 12) / 2**52
                radius, angle = math.sqrt(-2.0 * math.log(u)), 2.0 * math.pi * turns
                assert out[b, 2 * slot, lane] == pytest.approx(radius * math.cos(angle), abs=1e-14)
                assert out[b, 2 * slot + 1, lane] == pytest.approx(radius * math.sin(angle), abs=1e-14)
                r = philox_of_the_paper(documented_counter(START, path, 0, slot), (int(KEY), 0))
                assert flat[b, 2 * slot, lane] == 1.0 - (r[0] << 20 | r[1] >> 12) / 2**52
                assert flat[b, 2 * slot + 1, lane] == 1.0 - (r[2] << 20 | r[3] >> 12) / 2**52


# --- from bits to numbers -----------------------------------------------------------------------------------


@device
def unit_intervals(bits, zero, one, radius):
    store(zero, 0, from_zero(load(bits, 0)))
    store(one, 0, above_zero(load(bits, 0)))
    store(radius, 0, sqrt(log(above_zero(load(bits, 0))) * -2.0))


def test_uniforms_reach_both_ends_of_their_intervals_and_normals_at_most_8_5():
    bits = np.array([[0, 2**12 - 1, 2**12, 2**63, 2**64 - 2**12 - 1, 2**64 - 2**12, 2**64 - 1, 2**52]], np.uint64)
    zero, one, radius = np.empty((1, WIDTH)), np.empty((1, WIDTH)), np.empty((1, WIDTH))
    unit_intervals(bits, zero, one, radius)
    expected = [(int(b) >> 12) / 2**52 for b in bits[0]]
    assert zero[0].tolist() == expected
    assert one[0].tolist() == [1.0 - e for e in expected]
    assert radius[0].min() == 0.0
    assert radius[0].max() == pytest.approx(math.sqrt(104.0 * math.log(2.0)), rel=1e-15)
    assert radius[0].max() < 8.5


# --- laws ---------------------------------------------------------------------------------------------------

BINS = 2**16  # of the probability integral transform: a test on edges only, the statistic loses at most 1/BINS


def chunks(fill, n, block=2**14, size=8):
    """About n numbers, in arrays of shape (block, size, 8)."""
    block = sized(block, 64)
    out = np.empty((block, size, WIDTH))
    for i in range(math.ceil(n / out.size)):
        fill(i, out)
        yield out


def smallest_sample(distance, at):
    """The n for which a DKW test finds with the wanted power a cdf that at F(x) = `at` differs by `distance`.

    sup |F_n − F| is at least `distance` less the fluctuation at x, which is binomial.
    """
    fluctuation = norm.isf(1.0 - POWER) * math.sqrt(at * (1.0 - at))
    return math.ceil(((fluctuation + dkw(1)) / distance) ** 2)


def largest_deviation(histogram):
    """sup |F_n − F| on the edges of a histogram of F(x)."""
    steps = np.cumsum(histogram) / histogram.sum()
    return np.abs(steps - np.arange(1, len(steps) + 1) / len(steps)).max()


def add_to_histogram(histogram, u):
    position = np.minimum((u * BINS).astype(np.int64), BINS - 1)
    histogram += np.bincount(position.ravel(), minlength=BINS)


class Normals:
    """One pass over many normals: moments, tails, and the transforms of x and of `scale`·x."""

    n = sized(2**25, 2**17)
    size = 8
    # sup |Φ(x/s) − Φ(x)| = (s − 1)/√(2πe) to first order, at x = 1; `scale` is what n numbers tell from 1.
    scale = 1.0 + 1.02 * math.sqrt(2.0 * math.pi * math.e) * (smallest_sample(1.0, ndtr(1.0)) / n) ** 0.5
    # The tails hold as many numbers as 2^25 normals have beyond 4 and beyond 5: in a compiled run these levels.
    levels = norm.isf(norm.sf([4.0, 5.0]) * 2**25 / n)

    def __init__(self):
        self.moments = np.zeros((2, 8))
        self.tails = np.zeros((2, 2, 2), int)  # of x and of the truncated, at each level, below and above
        self.largest = 0.0
        self.histogram, self.scaled_histogram = np.zeros(BINS, int), np.zeros(BINS, int)
        for x in chunks(lambda i, out: normals(KEY, DYNAMICS, 0, i, out), self.n):
            self.add(x)
        assert self.histogram.sum() == self.n

    def add(self, x):
        power = np.ones_like(x)
        for k in range(8):
            power *= x
            mean = power.sum() / self.n
            self.moments[0, k] += mean
            self.moments[1, k] += mean * self.scale ** (k + 1)
        truncated = np.clip(x, -0.98 * self.levels[1], 0.98 * self.levels[1])
        for i, y in enumerate((x, truncated)):
            for j, level in enumerate(self.levels):
                self.tails[i, j] += [(y < -level).sum(), (y > level).sum()]
        self.largest = max(self.largest, x.max(), -x.min())
        add_to_histogram(self.histogram, ndtr(x))
        add_to_histogram(self.scaled_histogram, ndtr(self.scale * x))


@pytest.fixture(scope="module")
def sample():
    return Normals()


def double_factorial(k):
    return math.prod(range(k, 0, -2))


def moment_of_normal(k):
    return 0 if k % 2 else double_factorial(k - 1)


def spread_and_skewness_of_power(k):
    """The standard deviation and the skewness of x^k for a standard normal x."""
    m = [moment_of_normal(j * k) for j in (1, 2, 3)]
    spread = math.sqrt(m[1] - m[0] ** 2)
    return spread, (m[2] - 3 * m[0] * m[1] + 2 * m[0] ** 3) / spread**3


Z_MOMENTS = norm.isf(FALSE_ALARM / 2 / 8 / math.e)  # the last factor pays for the skewness of the mean


def honest_moments(n):
    """The k for which the mean of n powers x^k is near enough to normal at Z_MOMENTS.

    By the leading term of Cramér's expansion its tail is e^(skewness z³/6√n) times the normal one: at most e here.
    """
    return [k for k in range(1, 9) if spread_and_skewness_of_power(k)[1] * Z_MOMENTS**3 / 6 / math.sqrt(n) <= 1]


def moment_errors(moments, n):
    """The errors of moments 1, 2, ... in standard deviations."""
    return np.array(
        [
            (moments[k - 1] - moment_of_normal(k)) / spread_and_skewness_of_power(k)[0] * math.sqrt(n)
            for k in honest_moments(n)
        ]
    )


def test_moments_of_normals(sample):
    # False alarms: 1e-6 over eight two-sided bounds. Control: normals scaled by 1.003 (more in a smaller sample), whose
    # second moment is off by s² − 1, with standard deviation s²√(2/n).
    assert JIT_DISABLED or honest_moments(sample.n) == list(range(1, 9))
    excess = (sample.scale**2 - 1.0) * math.sqrt(sample.n / 2.0)
    assert norm.sf((Z_MOMENTS - excess) / sample.scale**2) > POWER
    assert np.abs(moment_errors(sample.moments[0], sample.n)).max() < Z_MOMENTS
    assert np.abs(moment_errors(sample.moments[1], sample.n)).max() > Z_MOMENTS


def test_normals_follow_the_exact_cdf(sample):
    # False alarms: 1e-6 by DKW. Control: normals scaled by 1.003 (more in a smaller sample).
    assert JIT_DISABLED or (sample.n >= 10**7 and sample.scale < 1.003)
    distance = ndtr(1.0) - ndtr(1.0 / sample.scale)
    assert sample.n > smallest_sample(distance, ndtr(1.0))
    assert largest_deviation(sample.histogram) + 1.0 / BINS < dkw(sample.n)
    assert largest_deviation(sample.scaled_histogram) > dkw(sample.n)


def tail_bounds(n, level, tests):
    """Counts that n normals exceed or undercut `level` by with a probability of at most 1e-6 over so many tests."""
    share, p = FALSE_ALARM / tests / 2, norm.sf(level)
    return binom.ppf(share, n, p), binom.isf(share, n, p)


def test_tails_of_normals_hold_the_right_numbers(sample):
    # False alarms: 1e-6 over four counts and their bounds on both sides. Control: normals truncated at 0.98 of the
    # outer level (4.9), which has a count of 0 there for certain.
    if not JIT_DISABLED:
        assert sample.levels.tolist() == pytest.approx([4.0, 5.0])
    for j, level in enumerate(sample.levels):
        low, high = tail_bounds(sample.n, level, 4)
        assert (low <= sample.tails[0, j]).all()
        assert (sample.tails[0, j] <= high).all()
    both = sample.tails[:, 1].sum(axis=1)
    low = binom.ppf(FALSE_ALARM, sample.n, 2.0 * norm.sf(sample.levels[1]))
    assert low > 0
    assert both[0] >= low
    assert both[1] < low
    assert sample.largest < 8.5


def test_uniforms_follow_the_uniform_law_on_a_half_open_interval():
    # False alarms: 1e-6 by DKW. Control: u^a, whose cdf u^(1/a) is off by about (a − 1)/e at u = 1/e.
    n = sized(2**24, 2**16)
    a = 1.0 + 1.02 * math.e * math.sqrt(smallest_sample(1.0, 1.0 / math.e) / n)
    distance = math.exp(-1.0 / a) - math.exp(-1.0)
    assert n > smallest_sample(distance, math.exp(-1.0 / a))
    histogram, control = np.zeros(BINS, int), np.zeros(BINS, int)
    for u in chunks(lambda i, out: uniforms(np.uint64(KEY + np.uint64(i)), START, 0, out), n):
        assert u.min() > 0.0
        assert u.max() <= 1.0
        assert np.array_equal(np.ldexp(u, 52), np.floor(np.ldexp(u, 52)))
        add_to_histogram(histogram, u)
        add_to_histogram(control, u**a)
    assert histogram.sum() == n
    assert largest_deviation(histogram) + 1.0 / BINS < dkw(n)
    assert largest_deviation(control) > dkw(n)


# --- independence -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def neighbours():
    """Arrays of pairs of normals that differ in one coordinate of their counters, by name."""
    steps, blocks, size = sized(4, 2), sized(2**13, 2**11), 4
    x = np.empty((steps, blocks, size, WIDTH))
    for n in range(steps):
        normals(KEY, DYNAMICS, 0, n, x[n])
    other = np.empty((2, blocks, size, WIDTH))
    normals(KEY, START, 0, 0, other[0])
    normals(KEY + np.uint64(1), DYNAMICS, 0, 0, other[1])
    return {
        "pair members": (x[:, :, 0::2], x[:, :, 1::2]),
        "slots": (x[:, :, :2], x[:, :, 2:]),
        "lanes": (x[..., 0::2], x[..., 1::2]),
        "blocks": (x[:, 0::2], x[:, 1::2]),
        "steps": (x[0::2], x[1::2]),
        "streams": (x[0], other[0]),
        "keys": (x[0], other[1]),
    }


Z_PRODUCTS = norm.isf(FALSE_ALARM / 2 / 14 / math.e)  # seven pairs, two products; e pays for skewness as above


def correlations(x, y):
    """√n times the means of x y and of (x² − 1)(y² − 1)/2, each of mean 0 and variance 1 for independent normals."""
    root = math.sqrt(x.size)
    return root * (x * y).mean(), root * ((x * x - 1.0) * (y * y - 1.0)).mean() / 2.0


def test_neighbouring_normals_are_independent(neighbours):
    # False alarms: 1e-6 over fourteen two-sided bounds. The second product has skewness E(x²−1)³ ²/8 = 8.
    for name, (x, y) in neighbours.items():
        assert 8.0 * Z_PRODUCTS**3 / 6.0 / math.sqrt(x.size) <= 1.0
        assert max(map(abs, correlations(x, y))) < Z_PRODUCTS, name


def test_a_slight_correlation_would_be_seen(neighbours):
    # Controls for the test above: y made to correlate with x by ρ; and |y| made equal to |x| in a fraction ρ of pairs.
    for x, y in neighbours.values():
        root = math.sqrt(x.size)
        rho = 2.5 * Z_PRODUCTS / root
        # Variances: of x (ρx + √(1−ρ²) y) 1 + ρ²; of the second product, where in a fraction ρ it is (x²−1)²/2, with
        # E(x²−1)⁴/4 = 15, less than 1 + 14 ρ.
        assert norm.sf((Z_PRODUCTS - root * rho) / math.sqrt(1.0 + 14.0 * rho)) > POWER
        assert correlations(x, rho * x + math.sqrt(1.0 - rho**2) * y)[0] > Z_PRODUCTS
        copied = np.random.default_rng(5).uniform(size=x.shape) < rho
        assert correlations(x, np.where(copied, np.copysign(x, y), y))[1] > Z_PRODUCTS
