"""Mean, variance and skewness with errors; extremes scaled at the edges."""

import math

import numpy as np
import pytest
from scipy import stats

from dlnmc import DeepLinearNetwork, laws
from dlnmc.laws import scaling
from dlnmc.laws.edelman import smallest_singular_value
from dlnmc.statistics import hard_edge, shape, soft_edge

BOUND = stats.norm.isf(0.5e-6)  # of |z|: false alarms 1e-6


@pytest.mark.parametrize("draws", [(), (3,)])
def test_the_shape_of_a_gamma_law(draws, rng):
    """Mean k, variance k, skewness 2/√k; the mean z of 400 repetitions has error 1/20, the errors of the statistics are
    their spread, which 400 repetitions know to 3.5 % if they are Gaussian, 6 % with what skewness adds here.
    """
    chance, k = rng(), 4.0
    found = [shape(chance.gamma(k, size=(1000, *draws))) for _ in range(400)]
    for name, expected in (("mean", k), ("variance", k), ("skewness", 2.0 / math.sqrt(k))):
        values, errors = np.array([getattr(one, name) for one in found]).T
        spread = np.std(values)
        assert np.mean(errors) / spread == pytest.approx(1.0, abs=0.3 if name == "skewness" else 0.18), name
        bias = 3.0 * expected / 1000  # of a ratio of moments: of order 1/paths
        assert abs(np.mean(values) - expected) < BOUND * spread / 20.0 + (bias if name == "skewness" else 0.0), name
        assert abs(np.mean(values) - 1.06 * expected) > BOUND * spread / 20.0 or name == "skewness"


def test_repeated_values_are_one_path_s(rng):
    values = rng().exponential(size=(200, 1))
    one, repeated = shape(values), shape(np.repeat(values, 7, axis=1))
    assert np.array(repeated) == pytest.approx(np.array(one), rel=1e-12)
    assert one.variance.value == pytest.approx(np.var(values, ddof=1), rel=1e-12)
    assert one.skewness.value == pytest.approx(stats.skew(values[:, 0]), rel=1e-12)


def test_a_constant_has_no_skewness():
    found = shape(np.ones(5))
    assert found.mean.value == 1.0
    assert math.isnan(found.skewness.value)


def test_the_soft_edge_is_scaled_as_the_law_says(rng):
    law = laws.Semicircle(2.0)
    largest = 2.0 + 0.1 * rng().normal(size=(50, 2))
    assert soft_edge(largest, law, 100) == shape(scaling.at_soft_edge(largest, law, 100))
    assert soft_edge(largest, law, 100).mean.value == pytest.approx(100 ** (2 / 3) * (largest.mean() - 2.0), rel=1e-12)


def test_the_hard_edge_of_gaussian_matrices(rng):
    """d = 3, N = 1: Edelman's law, exactly. A κ that is 10 % off, the control, fails: its mean lies 10 errors off."""
    kappa, beta, d = 0.7, 3.0, 3
    W = math.sqrt(kappa / beta) * rng().standard_normal((60_000, d, d))
    smallest = np.linalg.svd(W, compute_uv=False)[:, -1]
    law = smallest_singular_value(d)
    found = hard_edge(smallest, DeepLinearNetwork(d, 1.0, beta, kappa))
    assert abs(found.mean.value - law.mean()) < BOUND * found.mean.error
    assert abs(found.variance.value - law.var()) < BOUND * found.variance.error
    wrong = hard_edge(smallest, DeepLinearNetwork(d, 1.0, beta, 1.1 * kappa))
    assert abs(wrong.mean.value - law.mean()) > BOUND * wrong.mean.error


def test_one_path_is_refused(refused):
    refused(lambda: shape([1.0]), "1 of 1 paths", "at least 2")
