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
        assert bias.error == pytest.approx(found.bias[0].error, rel=1e-3)
    noise = np.std(paths, ddof=1) / math.sqrt(50)
    assert found.limit.error == pytest.approx(
        math.hypot(noise, found.bias[0].error), rel=0.12
    )  # 1,000 resamples: 2.2 %
    assert p > 1.3 or found.bias[0].error < 2.0 * small  # else two terms of order 1.3 and 2.3 have another limit


def test_two_levels_take_the_assumed_order(rng):
    values = rng().normal(size=200) + np.array([[1.5], [2.5]])
    found = extrapolate(values, [1.0, 2.0], order=2.0)
    assert found.limit.value == pytest.approx(values[0].mean() - 1.0 / 3.0, rel=1e-12)
    assert np.isnan(found.order).all()
    assert found.order_used == 2.0
    assert [bias.value for bias in found.bias] == pytest.approx([1.0 / 3.0, 4.0 / 3.0], rel=1e-12)
    doubt = 1.0 / (2.0**1.5 - 1.0) - 1.0 / 3.0  # what the order 1.5 makes of the bias at the smallest step
    assert [bias.error for bias in found.bias] == pytest.approx([doubt, doubt], rel=1e-12)
    assert found.limit.error == pytest.approx(math.hypot(doubt, stats.sem(values[0])), rel=0.02)


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
    """200 ladders: coverage of 0.9 or more, the order observed where it can be.

    With the assumed order errors are at most 2.2 times what they have to be, the spread over ladders.
    """
    chance, covered, bias_covered, used, limits = rng(), 0, 0, [], []
    for _ in range(200):
        found = extrapolate(ladder(chance, 300, a, p, common, own), STEPS)
        covered += abs(found.limit.value - 1.0) < 2.0 * found.limit.error
        bias_covered += abs(found.bias[0].value - a * STEPS[0] ** p) < 2.0 * found.bias[0].error
        used.append(found.order_used != 1.0)
        limits.append(found.limit)
        assert not observed or abs(found.order.value - p) < 6.0 * found.order.error
    assert covered / 200 >= 0.9
    assert bias_covered / 200 >= 0.9
    assert np.mean(used) > 0.95 if observed else np.mean(used) < 0.05
    values, errors = np.array(limits).T
    assert p != 1.0 or np.mean(errors) < 2.2 * np.std(values)


BIASES = {
    "order 0.75": lambda h: h**0.75,
    "order 1": lambda h: h,
    "order 1.5": lambda h: h**1.5,
    "order 2": lambda h: h**2,
    "h + h²": lambda h: h + h**2,
    "h − 0.3 h²": lambda h: h - 0.3 * h**2,
}


@pytest.mark.parametrize("levels", [2, 3])
@pytest.mark.parametrize("form", BIASES)
def test_errors_cover_where_the_order_is_not_seen(form, levels, rng):
    """A bias of 3 to 12 standard errors at the smallest step; 60 ladders each, order 1 assumed.

    Two errors hold the limit in 93 % of ladders or more: fewer than that quantile, for 36 numbers, once in 1e6.
    """
    chance, h, size = rng(), STEPS[:levels, None], 0.3 / 8.0
    form_of = BIASES[form]
    for amplitude in (3.0, 6.0, 12.0):
        covered = 0
        for _ in range(60):
            noise = 0.3 * chance.standard_normal(64) + 0.3 * np.sqrt(h) * chance.standard_normal((levels, 64))
            found = extrapolate(1.0 + amplitude * size * form_of(h) / form_of(h[0]) + noise, h[:, 0])
            covered += abs(found.limit.value - 1.0) < 2.0 * found.limit.error
        assert covered >= stats.binom.ppf(1e-6 / 36, 60, 0.93)


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
