"""Extrapolation to step size zero: exact ladders, the coverage of errors over synthetic ones, and what is refused."""

import math

import numpy as np
import pytest
from scipy import stats

from dlnmc.statistics import extrapolate

STEPS = np.array([0.25, 0.5, 1.0])


def ladder(chance, paths, a, p, common, own, steps=STEPS):
    """Values (level, path) of mean 1 + a h^p: noise that all levels share, and strong errors in proportion to h."""
    h = steps[:, None]
    noise = own * h * (chance.standard_normal(paths) + chance.standard_normal((len(steps), paths)))
    return 1.0 + a * h**p + common * chance.standard_normal(paths) + noise


@pytest.mark.parametrize("p", [0.5, 0.8, 1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("steps", [[1e-4, 2e-4, 4e-4], [0.1, 0.25, 0.3, 0.9, 1.0]])
def test_ladders_without_noise_are_extrapolated_exactly(p, steps):
    h = np.array(steps)
    paths = np.linspace(-1.0, 1.0, 50)
    found = extrapolate((2.0 - 3.0 * h**p)[:, None] + paths, h, order=min(p, 1.3))
    assert found.order.value == pytest.approx(p, abs=1e-4)
    assert found.order_used == pytest.approx(p, abs=1e-4)
    small = 5e-4 * 3.0 * h[0] ** p  # of the smallest bias
    assert found.limit.value == pytest.approx(2.0, abs=small)
    for bias, at in zip(found.bias, h, strict=True):
        assert bias.value == pytest.approx(-3.0 * at**p, abs=small)
        assert bias.error == pytest.approx(0.0, abs=1e-9)
    assert found.limit.error == pytest.approx(np.std(paths, ddof=1) / math.sqrt(50), rel=0.12)  # 1,000 resamples: 2.2 %


def test_two_levels_take_the_assumed_order(rng):
    values = rng().normal(size=200) + np.array([[1.5], [2.5]])
    found = extrapolate(values, [1.0, 2.0], order=2.0)
    assert found.limit.value == pytest.approx(values[0].mean() - 1.0 / 3.0, rel=1e-12)
    assert np.isnan(found.order).all()
    assert found.order_used == 2.0
    assert [bias.value for bias in found.bias] == pytest.approx([1.0 / 3.0, 4.0 / 3.0], rel=1e-12)


@pytest.mark.parametrize(
    ("a", "p", "common", "own", "observed"),
    [
        (0.0, 1.0, 1.0, 0.1, False),  # no bias, the noise is that of the paths
        (0.02, 1.0, 0.05, 0.1, False),  # a bias below the noise of the levels
        (0.3, 1.0, 0.05, 0.1, True),
        (0.3, 2.0, 0.05, 0.1, True),  # and not of the order 1 that is assumed
    ],
)
def test_two_standard_errors_cover_the_limit_and_the_bias(a, p, common, own, observed, rng):
    """200 ladders: coverage between 0.9 and 0.99, the order observed where it can be."""
    chance, covered, bias_covered, used = rng(), 0, 0, []
    for _ in range(200):
        found = extrapolate(ladder(chance, 300, a, p, common, own), STEPS)
        covered += abs(found.limit.value - 1.0) < 2.0 * found.limit.error
        bias_covered += abs(found.bias[0].value - a * STEPS[0] ** p) < 2.0 * found.bias[0].error
        used.append(found.order_used != 1.0)
        assert not observed or abs(found.order.value - p) < 6.0 * found.order.error
    assert 0.9 <= covered / 200 <= 0.99
    assert 0.9 <= bias_covered / 200 <= 0.99
    assert np.mean(used) > 0.95 if observed else np.mean(used) < 0.05


def test_errors_of_means_without_extrapolation_would_not_cover(rng):
    """The control: the value at the smallest step, with its own error, misses a limit that is ten errors away."""
    values = ladder(rng(), 300, 0.3, 1.0, 0.05, 0.1)
    assert abs(values[0].mean() - 1.0) > 10.0 * stats.sem(values[0])


def test_paths_are_paired(rng):
    """With shared noise the bias has a small error; with the paths of levels shuffled, a large one."""
    chance = rng()
    values = ladder(chance, 400, 0.1, 1.0, 10.0, 0.05)
    paired = extrapolate(values, STEPS)
    shuffled = extrapolate([chance.permutation(level) for level in values], STEPS)
    assert paired.bias[0].error < 0.1 * shuffled.bias[0].error
    assert paired.order.error < shuffled.order.error


def test_the_assumed_order_is_given_up_where_the_ladder_contradicts_it(rng):
    """The finest difference is below five errors, but far from what order 1 makes of the coarse one."""
    values = ladder(rng(), 2000, 0.032, 3.0, 0.05, 0.1)
    differences = np.diff(values, axis=0)
    assert np.abs(differences[0].mean()) < 5.0 * stats.sem(differences[0])
    found = extrapolate(values, STEPS)
    assert found.order_used == found.order.value > 1.5


def test_steps_that_are_too_coarse_widen_the_error(rng):
    """A bias that saturates, h/(1 + h): its order looks like less than 1, and that does not make the limit worse."""
    h = np.array([0.5, 1.0, 2.0])
    values = 1.0 + (h / (1.0 + h))[:, None] + 0.001 * rng().normal(size=400)
    found = extrapolate(values, h)
    assert found.order.value < 0.7
    assert found.order_used == 1.0
    assert abs(found.limit.value - 1.0) < 2.0 * found.limit.error
    assert abs(found.limit.value - 1.0) < abs(values[0].mean() - 1.0)


def test_failed_paths_are_left_out_at_all_levels(rng):
    values = ladder(rng(), 40, 0.1, 1.0, 1.0, 0.05)
    broken = np.concatenate([values, [[1.0], [np.nan], [2.0]]], axis=1)
    assert extrapolate(broken, STEPS) == extrapolate(values, STEPS)


def test_constants_and_single_paths():
    found = extrapolate(np.ones((3, 10)), STEPS)
    assert found.limit == (1.0, 0.0)
    assert found.order_used == 1.0
    alone = extrapolate([[1.0], [2.0]], [1.0, 2.0])
    assert alone.limit.value == 0.0
    assert math.isnan(alone.limit.error)


def test_bad_input_is_refused(refused):
    values = np.ones((2, 5))
    refused(lambda: extrapolate(values[:1], [1.0]), "steps", "[1.0]", "two or more")
    for steps in ([2.0, 1.0], [1.0, 1.0], [0.0, 1.0], [1.0, math.inf], [1.0, math.nan]):
        refused(lambda steps=steps: extrapolate(values, steps), "steps", repr(steps))
    refused(lambda: extrapolate(values, [1.0, 2.0, 3.0]), "(2, 5)", "3 levels")
    refused(lambda: extrapolate(values, [1.0, 2.0], order=0.1), "order", "0.1")
    refused(lambda: extrapolate(values * np.nan, [1.0, 2.0]), "0 of 5 paths")
