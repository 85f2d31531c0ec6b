"""Dyson Brownian motion against its exact laws (model page, section 6).

Each law is tested on independent paths at false-alarm rate 1e-6 (Dvoretzky–Kiefer–Wolfowitz) plus an allowance for the
bias of the step, which a ladder of steps bounds; and the same test against a slightly wrong law fails, with a number of
paths for which its power is above 0.999.
"""

import numpy as np
import pytest
from statistical import FALSE_ALARM, distance, distance_of_laws, envelope, paths_for_power

import dlnmc
from dlnmc import laws
from dlnmc.engine import noise_key
from dlnmc_kernels import driver
from dlnmc_kernels.philox import DYNAMICS

BIAS = 0.02  # of the standard deviation of the statistic
LADDER_PATHS = 2**16


def sum_of_squares(x):
    return (x**2).sum(axis=-1)


def gap(x):
    return x[..., 1] - x[..., 0]


def states(model, time, paths, dt, seed):
    """The states at `time` of independent paths from 0, shape (path, component)."""
    data = dlnmc.simulate(
        model, paths=paths, dt=dt, times=[time], start="zero", scheme="leimkuhler_matthews", seed=seed
    )
    return data["eigenvalues"].to_numpy()[:, -1]


def allowance(law, bias):
    """The Kolmogorov distance by which a positive law moves when its mean is off by `bias` standard deviations."""
    at = law.ppf((np.arange(4000) + 0.5) / 4000)
    factor = 1.0 + bias * np.sqrt(law.var()) / law.mean()
    return float(np.max(np.abs(law.cdf(at) - law.cdf(at * factor))))


def law_holds(model, time, statistic, law_of, control, dt, record):
    law, wrong = law_of(model), law_of(control)
    ladder = [statistic(states(model, time, LADDER_PATHS, k * dt, seed=k)) / np.sqrt(law.var()) for k in (2, 4)]
    error = np.hypot(*(np.std(s, ddof=1) / np.sqrt(LADDER_PATHS) for s in ladder))
    bias = 0.5 * (abs(ladder[1].mean() - ladder[0].mean()) + 4 * error)  # at dt, for any order >= 1
    assert bias < BIAS
    paths = paths_for_power(distance_of_laws(law, wrong), allowance(law, BIAS), at_least=16384)
    sample = statistic(states(model, time, paths, dt, seed=7))
    threshold = envelope(paths, FALSE_ALARM) + allowance(law, BIAS)
    seen, seen_by_control = distance(sample, law.cdf), distance(sample, wrong.cdf)
    record(model=model.to_json(), time=time, dt=dt, bias=bias, paths=paths, threshold=threshold, ks=seen,
           ks_control=seen_by_control)  # fmt: skip
    assert seen < threshold
    assert seen_by_control > threshold


@pytest.mark.parametrize("kappa", [0.5, 1.0, 2.0])
def test_sum_of_squares_in_free_motion_from_0(kappa, record):
    model = dlnmc.DysonBrownianMotion(size=4, beta=2.5, kappa=kappa, energy="none")
    law_holds(model, 1.0, sum_of_squares, lambda m: laws.trace(m, 1.0), model.changed(beta=2.2), 0.001, record)


@pytest.mark.parametrize(("time", "dt"), [(0.4, 0.0005), (6.0, 0.004)])
def test_sum_of_squares_in_confinement_from_0_and_at_equilibrium(time, dt, record):
    model = dlnmc.DysonBrownianMotion(size=4, beta=2.5, kappa=0.8)
    law = laws.trace(model, time if time < 6.0 else None)
    assert abs(laws.trace(model, time).mean() / law.mean() - 1) < 1e-4  # at the later time equilibrium is reached
    law_holds(model, time, sum_of_squares, lambda m: laws.trace(m, time), model.changed(beta=2.2), dt, record)


@pytest.mark.parametrize(("kappa", "energy"), [(0.5, "none"), (1.5, "quadratic")])
def test_gap_of_two_is_a_bessel_process(kappa, energy, record):
    model = dlnmc.DysonBrownianMotion(size=2, beta=1.7, kappa=kappa, energy=energy)
    law_holds(model, 1.0, gap, lambda m: laws.gap(m, 1.0), model.changed(kappa=1.15 * kappa), 0.002, record)


@pytest.mark.parametrize("scheme", [None, "mala", "leimkuhler_matthews"])
def test_sum_of_squares_at_equilibrium_by_default_settings(scheme):
    """Steps that are accepted or refused have no bias, and none is allowed for."""
    model = dlnmc.DysonBrownianMotion(size=12, beta=5.0, kappa=1.3)
    tree = dlnmc.equilibrium(model, paths=16384, seed=3, scheme=scheme)
    sample = sum_of_squares(tree["samples/eigenvalues"].to_numpy()[:, 0])
    biased = scheme == "leimkuhler_matthews"
    threshold = envelope(len(sample), FALSE_ALARM) + (allowance(laws.trace(model), BIAS) if biased else 0.0)
    assert distance(sample, laws.trace(model).cdf) < threshold
    assert distance(sample, laws.trace(model.changed(beta=5.3)).cdf) > threshold


@pytest.mark.parametrize("energy", ["none", "quadratic"])
def test_centre_of_mass_is_exact(energy):
    """The repulsions cancel: the centre is x' = (1 − dt v) x + √(2κ dt/β) (mean of the normals), to rounding."""
    model = dlnmc.DysonBrownianMotion(size=5, beta=2.0, kappa=1.1, energy=energy)
    dt, steps, paths = 0.003, 200, 16
    start = np.array([-1.0, -0.4, 0.1, 0.5, 1.4])
    data = dlnmc.simulate(model, paths=paths, dt=dt, times=[steps * dt], start=start, seed=4)
    pull = 1.0 if energy == "quadratic" else 0.0
    centre = np.full(paths, start.mean())
    normals = np.empty((paths // 8, 6, 8))
    for n in range(steps):
        driver.normals(noise_key(4), DYNAMICS, 0, n, normals)
        kick = normals[:, :5].mean(axis=1).ravel()
        centre = (1.0 - pull * dt) * centre + np.sqrt(2 * model.kappa * dt / model.beta) * kick
    np.testing.assert_allclose(data["eigenvalues"].to_numpy()[:, 0].mean(axis=1), centre, rtol=0, atol=1e-12)


@pytest.mark.parametrize("energy", ["none", "quadratic"])
def test_centre_of_mass_has_its_gaussian_law(energy):
    model = dlnmc.DysonBrownianMotion(size=3, beta=2.0, kappa=1.1, energy=energy)
    sample = states(model, 0.5, 65536, 0.001, seed=5).mean(axis=1)
    bias = 0.001  # of Euler's decay over half a unit of time, relative: dt t
    threshold = envelope(len(sample), FALSE_ALARM) + bias
    assert distance(sample, laws.centre_of_mass(model, 0.0, 0.5).cdf) < threshold
    assert distance(sample, laws.centre_of_mass(model.changed(kappa=1.22), 0.0, 0.5).cdf) > threshold
