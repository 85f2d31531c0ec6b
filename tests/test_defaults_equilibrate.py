"""A user who gives only the model gets a sound run: for odd models too, what is slow has forgotten its start."""

import numpy as np
import pytest
from scipy import stats
from statistical import FALSE_ALARM

import dlnmc
from dlnmc import DeepLinearNetwork, DysonBrownianMotion, Polynomial, analysis, statistics
from dlnmc.defaults import virial

START = 0.4  # Kolmogorov distance of a start that draws σ_d between two quantiles, N = 5 to 15, d = 8
LEFT = 0.04  # what default burn-in may leave of it

ODD = [
    DysonBrownianMotion(2, 2.0, 1e-3),
    DysonBrownianMotion(2, 2.0, 0.02),
    DysonBrownianMotion(10, 10.0, 0.01),
    DysonBrownianMotion(10, 10.0, 0.1),
    DysonBrownianMotion(10, 10.0, 1.0, Polynomial((0.0, -1.0, 0.0, 0.25))),
    DeepLinearNetwork(8, 3.0, 8.0, 1.0, Polynomial((-2.0, 1.0))),
    DeepLinearNetwork(6, 2.0, 6.0, 1.0, Polynomial((3.0, -3.0, 1.0))),
]


@pytest.mark.parametrize("model", ODD, ids=str)
def test_the_virial_is_exact_and_no_path_is_stuck(model):
    """E Σ s v'(s) is known exactly for every energy; the false-alarm rate of each model is 1e-6."""
    tree = dlnmc.equilibrium(model, paths=2048, seed=6)
    s = analysis.states(tree)
    mean, error = statistics.mean_over_paths((s * model.slope(s)).sum(axis=-1).mean(axis=1))
    exact = model.size * virial(model)
    assert abs(mean - exact) < 4.9 * error
    assert abs(mean - 1.1 * exact) > 4.9 * error or error > 0.02 * exact  # the control, where it can be told
    assert int(tree["stationarity/stationary"]) == 1
    assert np.all(tree["sampler/acceptance"] > 0.0)


@pytest.mark.parametrize(("depth", "width"), [(5.0, 8), (10.0, 4), (15.0, 8)])
def test_the_smallest_singular_value_has_nearly_its_law_by_default(depth, width):
    """Against exact draws at κ = ½, at false-alarm rate 1e-6 beside what burn-in may leave."""
    model = DeepLinearNetwork(width, depth, float(width), 0.5)
    found = dlnmc.equilibrium(model, paths=4096, seed=3)["samples/singular_values"].to_numpy()[:, -1, -1]
    drawn = dlnmc.exact(model, paths=65536, seed=1)["singular_values"].to_numpy()[:, -1]
    bound = statistics.kolmogorov_bound(len(found), len(drawn), FALSE_ALARM)
    assert stats.ks_2samp(found, drawn).statistic < LEFT + bound
    assert LEFT + bound < START / 2.0
