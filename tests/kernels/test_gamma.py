"""Gamma variates: their laws from the tiniest shape to the largest, and the random numbers that they are made of.

Statistical tests have a fixed seed, a false-alarm rate of 1e-6 in all, a threshold computed from their sample size, and
a negative control that they must reject, of computed power above 0.999.
"""

import json
import math

import mpmath
import numpy as np
import pytest
from kernel_tools import FALSE_ALARM, POWER, dkw, in_another_process, sized
from scipy.special import gammainc, gammaln, ndtr
from scipy.stats import norm

from dlnmc_kernels.gamma import FIRST_ATTEMPT, SERIES_BELOW, gamma_pair, log_acceptance, log_gamma
from dlnmc_kernels.jit import device
from dlnmc_kernels.lanes import WIDTH, load, store
from dlnmc_kernels.philox import EXACT

KEY = np.uint64(20_240_301)
N = sized(80_000, 1_600)
SHAPES = (1e-3, 0.02, 0.3, 0.5, 0.999, 1.0, 1.5, 2.7, 30.0, 1e3, 1e5)
WIDER = sized(1.1, 2.0)  # the factor on the shape of a control
LOWEST = -700.0  # a logarithm of what does not underflow


@device
def pairs_loop(key, paths, first, second, out):
    for i in range(len(paths)):
        a, b = gamma_pair(key, EXACT, load(paths, i), i % 7, first, second)
        store(out[0], i, a)
        store(out[1], i, b)


@device
def logs_loop(key, paths, shape, out):
    for i in range(len(paths)):
        store(out, i, log_gamma(key, EXACT, load(paths, i), i % 7, shape))


def rows_of_paths(n):
    return np.arange(n, dtype=np.uint64).reshape(-1, WIDTH)


def pairs(first, second, rows):
    """Two arrays like `rows`, of path numbers: slot i mod 7 in row i."""
    out = np.empty((2, *rows.shape))
    with np.errstate(all="ignore"):
        pairs_loop(KEY, rows, first, second, out)
    return out


def logs(shape, rows):
    out = np.empty(rows.shape)
    with np.errstate(all="ignore"):
        logs_loop(KEY, rows, shape, out)
    return out


def distance(v, cdf):
    """sup |F_n − F| above `LOWEST`."""
    v = np.sort(v)
    above = v > LOWEST
    rank, probability = np.arange(len(v))[above] / len(v), cdf(v[above])
    return max(np.max(probability - rank), np.max(rank + 1.0 / len(v) - probability))


def cdf_of_log(shape):
    """P(log X <= v) for X ~ Gamma(shape); below e^-30 by the leading term of the series."""

    def cdf(v):
        leading = np.exp(shape * np.minimum(v, -30.0) - gammaln(shape + 1.0))
        return np.where(v < -30.0, leading, gammainc(shape, np.exp(np.maximum(v, -30.0))))

    return cdf


@pytest.mark.parametrize("shape", SHAPES)
def test_variates_have_the_gamma_law(shape):
    """KS on logarithms; the law of a shape 10 % larger is rejected."""
    rows = rows_of_paths(N)
    threshold = dkw(N, FALSE_ALARM / len(SHAPES) / 2)
    law, wrong = cdf_of_log(shape), cdf_of_log(shape * WIDER)
    with np.errstate(divide="ignore"):
        second = np.log(pairs(1.5, shape, rows)[1])
    for v in logs(shape, rows).ravel(), second.ravel():
        assert distance(v, law) < threshold
        at = np.sort(v[v > LOWEST])
        assert np.max(np.abs(law(at) - wrong(at))) > threshold + dkw(N, 1.0 - POWER)
        assert distance(v, wrong) > threshold


@pytest.mark.parametrize("shape", [1e-3, 0.5, 1.0, 40.0])
def test_a_variate_is_the_exponential_of_its_logarithm(shape):
    rows = rows_of_paths(800)
    v = logs(shape, rows)
    expected = np.where(v > -708.0, np.exp(np.maximum(v, -708.0)), 0.0)
    assert np.allclose(pairs(shape, 0.7, rows)[0], expected, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("shape", [1e9, 1e15, 1e100, 1e300])
def test_huge_shapes_are_normal(shape):
    """(X − a)/√a, which is normal but for a skewness of 2/√a; one with 10 % more standard deviation is rejected."""
    z = (pairs(shape, 1.0, rows_of_paths(N))[0].ravel() - shape) / math.sqrt(shape)
    bias = 1.0 / math.sqrt(shape)  # more than Berry and Esseen's, which is 0.4748 · 2/√a
    resolution = np.spacing(shape) / math.sqrt(shape)  # of what a float64 holds: beyond 1e30 a single value
    if resolution < 0.01:
        threshold = dkw(N, FALSE_ALARM / 2) + bias
        assert distance(z, ndtr) < threshold
        if N > 10_000:
            assert norm.cdf(1.1) - norm.cdf(1.0) > threshold + dkw(N, 1.0 - POWER)
            assert distance(1.1 * z, ndtr) > threshold
    else:
        assert np.all(np.abs(z) < 10.0 + 10.0 * resolution)


@pytest.mark.parametrize("shape", [5e-7, 1e-12, 1e-100, 1e-300, 5e-324])
def test_tiny_shapes_underflow_to_zero_and_have_logarithms(shape):
    """shape · log X tends to the logarithm of a uniform: a KS test."""
    rows = rows_of_paths(N)
    assert np.all(pairs(shape, 1.0, rows)[0] < 1e-3)
    v = logs(shape, rows).ravel()
    assert np.all(np.isfinite(v))
    if shape > 1e-299:
        assert distance(shape * v, lambda v: np.exp(np.minimum(v, 0.0))) < dkw(N, FALSE_ALARM / 4) + 10.0 * shape


def test_the_two_of_a_pair_and_neighbouring_slots_are_independent():
    """Correlations of scores; one of 10 % is rejected."""
    a, b = pairs(0.8, 2.5, rows_of_paths(N))
    scores = [norm.ppf(gammainc(shape, x)) for shape, x in ((0.8, a), (2.5, b))]
    n = N - WIDTH
    threshold = -norm.ppf(FALSE_ALARM / 8) / math.sqrt(n)
    for x in scores:
        for y in scores:
            assert abs(np.mean(x[1:] * y[:-1])) < threshold
    assert abs(np.mean(scores[0][1:] * scores[1][1:])) < threshold
    if N > 10_000:
        mixed = 0.995 * scores[0] + 0.1 * scores[1]
        assert threshold - norm.ppf(1.0 - POWER) / math.sqrt(n) < 0.1
        assert abs(np.mean(mixed * scores[1])) > threshold


def test_a_path_does_not_depend_on_its_lane_or_its_neighbours():
    rows = rows_of_paths(sized(7 * 80, 7 * 8))
    a, b = pairs(0.4, 1.2, rows)
    for other in (rows[:, ::-1].copy(), np.roll(rows, 3, axis=1), rows ^ np.uint64(5)):
        x, y = pairs(0.4, 1.2, other)
        for i in range(len(rows)):
            place = {int(path): lane for lane, path in enumerate(other[i])}
            lanes = [place[int(path)] for path in rows[i]]
            assert x[i, lanes].tobytes() == a[i].tobytes()
            assert y[i, lanes].tobytes() == b[i].tobytes()
    repeated = np.repeat(rows[:, :1], WIDTH, axis=1)
    assert np.all(pairs(0.4, 1.2, repeated)[0] == a[:, :1])


def test_what_is_not_a_shape_ends_as_nan():
    rows = rows_of_paths(8)
    assert np.all(np.isnan(pairs(math.nan, 1.0, rows)[0]))
    assert np.all(pairs(math.nan, 1.0, rows)[1] > 0.0)


@device
def acceptance_loop(shape, w, c, out):
    for i in range(len(w)):
        store(out, i, log_acceptance(shape, load(w, i), c))


@pytest.mark.parametrize("shape", [1.0, 5.0, 1e3, 1.1e5, 1.2e5, 1e8, 1e15])
def test_the_probability_of_acceptance(shape):
    """z²/2 + d − d v + d log v, v = (1 + c z)³ in 50 digits, on both sides of where the series takes over."""
    c = 1.0 / math.sqrt(9.0 * shape - 3.0)
    assert (c < SERIES_BELOW) == (shape > 1.15e5)
    w = c * np.linspace(max(-8.4, -0.999 / c), 8.4, 64).reshape(-1, WIDTH)
    out = np.empty_like(w)
    acceptance_loop(shape, w, c, out)
    with mpmath.workdps(50):
        d = mpmath.mpf(shape) - mpmath.mpf(1) / 3
        exact = []
        for x in map(mpmath.mpf, w.ravel().tolist()):
            v = (1 + x) ** 3
            exact.append(float(x**2 * 9 * d / 2 + d - d * v + d * mpmath.log(v)))
    assert np.allclose(out.ravel(), exact, rtol=1e-9, atol=2e-9)
    assert np.all(out < 1e-9)


COUNTERS = """
import json
import numpy as np
from dlnmc_kernels import ensembles, gamma
used = {}
def recording(draw, kind):
    def call(key, stream, path, step, slot):
        used[name].append((kind, stream, step, slot))
        return draw(key, stream, path, step, slot)
    return call
gamma.normal_pair = recording(gamma.normal_pair, "normal")
gamma.uniform_pair = recording(gamma.uniform_pair, "uniform")
def filled(out, size, key, stream, path, step, fill=ensembles.fill_normals):
    used[name].extend(("normal", stream, step, slot) for slot in range((size + 1) // 2))
    fill(out, size, key, stream, path, step)
ensembles.fill_normals = filled
for name, kernel, parameter in (("hermite", ensembles.hermite, 1.6), ("laguerre", ensembles.laguerre, 3.0)):
    used[name] = []
    with np.errstate(all="ignore"):
        kernel(np.uint64(3), 5, 2, parameter, np.empty((1, 9, 8)))
print(json.dumps(used))
"""


def test_no_counter_is_used_twice():
    """In pure Python, where the draws can be listed: each (step, slot) at most once, all on the stream asked for."""
    used = json.loads(in_another_process(COUNTERS, NUMBA_DISABLE_JIT="1"))
    for draws in used.values():
        counters = [(stream, step, slot) for _, stream, step, slot in draws]
        assert len(counters) == len(set(counters)) >= 14
        assert {stream for stream, _, _ in counters} == {EXACT}
        assert max(step for _, step, _ in counters) > FIRST_ATTEMPT + 1  # some were rejected
