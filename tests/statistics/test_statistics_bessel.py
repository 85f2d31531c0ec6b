"""Dimensions of Bessel processes from paths, and exponents of power laws: unbiased, with errors that mean something."""

import math

import numpy as np
import pytest

from dlnmc import statistics

STANDARD_ERRORS = 5.0


def exact_paths(dimension, paths, times, diffusion, generator):
    """Paths (path, time) of a Bessel process from u = 30 at time 0, from its noncentral χ² transitions."""
    u, found, before = np.full(paths, 30.0), [], 0.0
    for time in times:
        s2 = diffusion * (time - before)
        u, before = np.sqrt(s2 * generator.noncentral_chisquare(dimension, u**2 / s2)), time
        found.append(u)
    return np.array(found).T


@pytest.mark.parametrize("dimension", [0.3, 1.0, 2.5, 5.0])
def test_the_dimension_of_exact_paths(dimension, rng):
    times = np.arange(1.0, 60.0)
    u = exact_paths(dimension, 4000, times, 2.0, rng(1))
    found = statistics.dimension_of_paths(u, times, 2.0, 6.0)
    assert abs(found.value - dimension) < STANDARD_ERRORS * found.error
    assert found.error < 0.15
    wrong = statistics.dimension_of_paths(u, times, 1.0, 6.0)
    assert abs(wrong.value - dimension) > STANDARD_ERRORS * wrong.error or dimension < 1.0


def test_the_error_of_the_dimension_is_that_of_repetitions(rng):
    times, generator = np.arange(1.0, 30.0), rng(1)
    paths = [exact_paths(1.5, 200, times, 2.0, generator) for _ in range(100)]
    found = [statistics.dimension_of_paths(own, times, 2.0, 6.0) for own in paths]
    spread = np.std([(own.value - 1.5) / own.error for own in found])
    assert 0.7 < spread < 1.4


def test_there_is_no_dimension_where_nothing_is_far(refused):
    times = np.array([1.0, 2.0, 3.0])
    found = statistics.dimension_of_paths(np.full((10, 3), 2.0), times, 1.0, 6.0)
    assert math.isnan(found.value)
    assert math.isnan(found.error)
    refused(lambda: statistics.dimension_of_paths(np.ones((10, 4)), times, 1.0, 6.0), "(10, 4)", "(path, time)")


@pytest.mark.parametrize(("below", "exponent"), [(math.inf, 1.3), (20.0, 1.3), (20.0, 0.2)])
def test_the_exponent_of_a_power_law(below, exponent, rng):
    """Values that are only known to be large are no bias; leaving them out would be one."""
    values = 2.0 * rng(2).random(40_000) ** (-1.0 / exponent)
    values = np.where(values > below, math.inf, values)
    found = statistics.tail_exponent(values, 3.0, below)
    assert abs(found.value - exponent) < STANDARD_ERRORS * found.error
    assert found.error < 0.02
    if below < math.inf:
        cut = statistics.tail_exponent(values[values < below], 3.0)
        assert abs(cut.value - exponent) > STANDARD_ERRORS * cut.error


def test_no_exponent_without_values_between(refused):
    assert math.isnan(statistics.tail_exponent([1.0, math.inf], 2.0, 10.0).value)
    refused(lambda: statistics.tail_exponent([1.0], 2.0, 1.0), "0 < above < below", "2.0")
