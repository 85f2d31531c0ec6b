"""Tr WᵀW at equilibrium has its Gamma law, for any width, depth, κ and β (model page, section 4).

For each of 20 random models: a ladder of steps shows that the bias of the trace at the step used is below 2 % of its
standard deviation; the Kolmogorov distance of independent paths to the exact law stays below the
Dvoretzky–Kiefer–Wolfowitz envelope at false-alarm rate 1e-6 plus what that bias can do; and the same test against the
law of 1.15 κ fails, with a number of paths for which its power is above 0.999. By default steps are accepted or refused
so that there is no bias: there the envelope alone is the threshold.
"""

import numpy as np
import pytest
from statistical import FALSE_ALARM, distance, distance_of_laws, envelope, paths_for_power

import dlnmc
from dlnmc import laws
from dlnmc.defaults import default_dt

BIAS = 0.02  # of the standard deviation of the trace
LADDER_PATHS = 16384  # chance is then half of what is allowed


def random_models():
    rng = np.random.default_rng(20261121)
    models = []
    for _ in range(20):
        width, depth = int(rng.integers(2, 25)), round(float(rng.uniform(1, 6)), 2 * int(rng.integers(2)))
        kappa, beta = round(float(rng.uniform(0.3, 3)), 2), round(float(np.exp(rng.uniform(0, 4))), 2)
        models.append(dlnmc.DeepLinearNetwork(width=width, depth=depth, beta=beta, kappa=kappa))
    return models


MODELS = random_models()
QUICK = sorted(range(20), key=lambda i: (MODELS[i].width ** 2 + 40) * MODELS[i].depth / min(MODELS[i].kappa, 1))[:4]


def time_average_of_trace(model, dt, seed):
    """The mean of the trace and its standard error, both in standard deviations of the exact law."""
    tree = dlnmc.equilibrium(
        model, paths=LADDER_PATHS, dt=dt, observations=256, keep_samples=False, seed=seed, scheme="leimkuhler_matthews"
    )
    trace = tree["moments/trace"].to_numpy() / np.sqrt(laws.trace(model).var())
    return trace.mean(), trace.std(ddof=1) / np.sqrt(len(trace))


def bias_on_ladder(model, dt):
    """A bound on the bias at `dt`: half of the change from 2 dt to 4 dt, which suffices for any order >= 1.

    Includes four standard errors.
    """
    fine, fine_error = time_average_of_trace(model, 2 * dt, seed=101)
    coarse, coarse_error = time_average_of_trace(model, 4 * dt, seed=102)
    return 0.5 * (abs(coarse - fine) + 4 * np.hypot(fine_error, coarse_error))


def distance_by_bias(law, bias):
    """The Kolmogorov distance by which a law moves when its mean is off by `bias` standard deviations."""
    at = law.ppf((np.arange(4000) + 0.5) / 4000)
    factor = 1.0 + bias * np.sqrt(law.var()) / law.mean()
    return float(np.max(np.abs(law.cdf(at) - law.cdf(at * factor))))


def gamma_law_holds(index, record):
    model = MODELS[index]
    law = laws.trace(model)
    dt = default_dt(model)
    bias = bias_on_ladder(model, dt)
    assert bias < BIAS
    allowance = distance_by_bias(law, BIAS)
    record(dt=dt, bias=bias)
    law_holds_but_not_the_controls(index, allowance, record, dt=dt, scheme="leimkuhler_matthews")


def law_holds_but_not_the_controls(index, allowance, record, **settings):
    model = MODELS[index]
    law, control = laws.trace(model), laws.trace(model.changed(kappa=1.15 * model.kappa))
    paths = paths_for_power(distance_of_laws(law, control), allowance)
    tree = dlnmc.equilibrium(model, paths=paths, seed=index, **settings)
    trace = (tree["samples/singular_values"].to_numpy()[:, 0] ** 2).sum(axis=1)
    threshold = envelope(paths, FALSE_ALARM) + allowance
    seen, seen_by_control = distance(trace, law.cdf), distance(trace, control.cdf)
    record(model=model.to_json(), paths=paths, threshold=threshold, ks=seen, ks_control=seen_by_control)
    assert seen < threshold
    assert seen_by_control > threshold


@pytest.mark.parametrize("index", QUICK)
def test_trace_has_its_gamma_law(index, record):
    gamma_law_holds(index, record)


@pytest.mark.parametrize("index", QUICK)
def test_trace_has_its_gamma_law_by_default_settings(index, record):
    law_holds_but_not_the_controls(index, 0.0, record)


@pytest.mark.slow
@pytest.mark.parametrize("index", sorted(set(range(20)) - set(QUICK)))
def test_trace_has_its_gamma_law_by_default_settings_for_all_models(index, record):
    law_holds_but_not_the_controls(index, 0.0, record)


@pytest.mark.slow
@pytest.mark.parametrize("index", sorted(set(range(20)) - set(QUICK)))
def test_trace_has_its_gamma_law_for_all_models(index, record):
    gamma_law_holds(index, record)
