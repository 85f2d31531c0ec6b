"""Generator identities: Lf against finite differences in 200 digits, and E[Lf] = 0 on exact samples.

The exact samples are those of `exact_draws`. On each of them the verdict holds at false-alarm rate 1e-6; and the same
samples against κ or β off by 6 % fail, by so much that the power is above 0.999.
"""

import math

import mpmath as mp
import numpy as np
import pytest
from exact_draws import (
    bidiagonal,
    by_dilation,
    by_dilation_at_infinite_depth,
    gamma,
    gaussian_matrices,
    in_a_box,
    is_network,
    tridiagonal,
)
from scipy import integrate, stats
from scipy.special import ndtri
from statistical import FALSE_ALARM, POWER

import dlnmc
from dlnmc import identities as module
from dlnmc.identities import Identity, generator, identities, verdict

INFINITE = dlnmc.DeepLinearNetwork(width=3, depth=math.inf, beta=2.0, kappa=0.2)
QUARTIC = dlnmc.Polynomial((0.3, 0.2))
WELL = dlnmc.Polynomial((-0.4, 0.3))
TILTED = dlnmc.Polynomial((0.2, -0.5, 0.1, 0.2))


def network(width, depth, beta, kappa, energy="quadratic", clock="paper"):
    return dlnmc.DeepLinearNetwork(width=width, depth=depth, beta=beta, kappa=kappa, energy=energy, clock=clock)


def dyson(size, beta, kappa, energy="quadratic"):
    return dlnmc.DysonBrownianMotion(size=size, beta=beta, kappa=kappa, energy=energy)


MODELS = {
    "depth 1": network(3, 1.0, 2.0, 0.7),
    "depth 2": network(3, 2.0, 2.0, 1.3, QUARTIC),
    "depth 3": network(4, 3.0, 5.0, 0.4, clock="depth"),
    "depth 2.5": network(2, 2.5, 0.6, 1.0, WELL),
    "depth 8": network(3, 8.0, 2.0, 1.0),
    "depth 1000": network(3, 1000.0, 2.0, 1.0),
    "width 1": network(1, 2.0, 2.0, 1.0),
    "infinite depth": INFINITE,
    "infinite depth, quartic": INFINITE.changed(energy=QUARTIC),
    "dyson": dyson(4, 3.0, 1.2),
    "dyson, tilted": dyson(3, 1.0, 0.5, TILTED),
}
NETWORKS = [name for name, model in MODELS.items() if is_network(model)]


# ---------------------------------------------------------------- the naive generator, in 200 digits


def slope(model, s):
    return sum(m * mp.mpf(a) * s ** (m - 1) for m, a in enumerate(model.powers, 1))


def size_of(model):
    """The s at which s v'(s) equals its mean at equilibrium, by integration by parts of Σ s ∂/∂s."""
    d, kappa = model.size, mp.mpf(model.kappa)
    mean = (kappa + d - 1) / model.beta
    if is_network(model):
        N, c = mp.mpf(model.depth), 1 / (2 * kappa)
        mean = kappa / model.beta * (1 / N + (d - 1) * (c + (1 - c) / N))
    return mp.findroot(lambda s: s * slope(model, s) - mean, 2.0)


def itself(w):
    return w


def square(w):
    return w**2


def log(w):
    return mp.log(1 + w**2)


def resolvent(w):
    return 1 / (1 + w**2)


def functions_of(model):
    """The test functions of a list of singular values or eigenvalues, by name."""
    size, d = size_of(model), model.size
    a = 1 / mp.mpf(min(model.depth, 32)) if is_network(model) else None

    def y(s):
        return (s / size) ** 2

    def x(s):
        return (s / size) ** (2 * a) if a else s / size

    def cx(s):
        return d ** (1 + a) * x(s)

    if is_network(model):
        factors = {
            "tr y": [(itself, y)],
            "tr y²": [(square, y)],
            "tr log(1+y²)": [(log, y)],
            "tr cos y": [(mp.cos, y)],
            "tr arctan x": [(mp.atan, x)],
            "tr 1/(1+x²)": [(resolvent, x)],
            "tr arctan cx": [(mp.atan, cx)],
            "(tr y)²": [(itself, y), (itself, y)],
            "(tr cos y)²": [(mp.cos, y), (mp.cos, y)],
            "tr y tr arctan x": [(itself, y), (mp.atan, x)],
        }
    else:
        factors = {
            "tr x": [(itself, x)],
            "tr x²": [(square, x)],
            "tr log(1+x²)": [(log, x)],
            "tr cos x": [(mp.cos, x)],
            "tr arctan x": [(mp.atan, x)],
            "tr 1/(1+x²)": [(resolvent, x)],
            "(tr x)²": [(itself, x), (itself, x)],
            "(tr cos x)²": [(mp.cos, x), (mp.cos, x)],
            "tr x² tr 1/(1+x²)": [(square, x), (resolvent, x)],
        }
    return {
        name: lambda values, factors=given: mp.fprod(sum(phi(w(s)) for s in values) / d for phi, w in factors)
        for name, given in factors.items()
    }


def flat(model, s):
    """The coordinate u with additive noise, and the singular values or eigenvalues as its function."""
    if not is_network(model):
        return s, itself
    if math.isinf(model.depth):
        return [mp.log(a) for a in s], mp.exp
    N = mp.mpf(model.depth)
    return [a ** (1 / N) for a in s], lambda u: u**N


def drift_and_noise(model, s):
    """The drift of u, and the coefficient of ∂²/∂u², term by term as on the model page, sections 3 and 6."""
    beta, kappa, u = mp.mpf(model.beta), mp.mpf(model.kappa), flat(model, s)[0]
    others = [[l for l in range(len(s)) if l != k] for k in range(len(s))]
    y, x = [a**2 for a in s], [a**2 for a in u]

    def drift(k):
        """Energy, entropy and repulsion, of which the last two go over β."""
        if not is_network(model):
            return -slope(model, s[k]), 0, sum(2 / (s[k] - s[l]) for l in others[k])
        if math.isinf(model.depth):
            entropy = sum(y[k] / (y[k] - y[l]) - 1 / (2 * (u[k] - u[l])) for l in others[k])
            return -s[k] * slope(model, s[k]), entropy, kappa * sum(1 / (u[k] - u[l]) for l in others[k])
        entropy = sum(N * u[k] ** (2 * N - 1) / (y[k] - y[l]) - u[k] / (x[k] - x[l]) for l in others[k])
        return (
            -N * u[k] ** (N - 1) * slope(model, s[k]),
            entropy,
            kappa * sum(2 * u[k] / (x[k] - x[l]) for l in others[k]),
        )

    N = mp.mpf(model.depth) if is_network(model) and not math.isinf(model.depth) else mp.mpf(1)
    rate = 1 / N**2 if N > 1 and model.clock == "depth" else 1 / N
    terms = [drift(k) for k in range(len(s))]
    return [rate * (energy + (entropy + repulsion) / beta) for energy, entropy, repulsion in terms], rate * kappa / beta


def naive(model, values):
    """Lf of each test function by central differences."""
    with mp.workdps(200):
        s = [mp.mpf(v) for v in values]
        (u, back), (drift, noise) = flat(model, s), drift_and_noise(model, s)
        result = {}
        for name, f in functions_of(model).items():
            centre, total = f(s), mp.mpf(0)
            for k in range(len(s)):
                h = mp.mpf("1e-30") * (abs(u[k]) if is_network(model) else 1)
                above, below = (f([*s[:k], back(u[k] + e), *s[k + 1 :]]) for e in (h, -h))
                total += drift[k] * (above - below) / (2 * h) + noise * (above - 2 * centre + below) / h**2
            result[name] = float(total)
        return result


def agree(model, values, reference, rtol=1e-11):
    seen = generator(model, values)
    assert list(seen) == list(reference)
    for name, value in reference.items():
        np.testing.assert_allclose(seen[name], value, rtol=rtol, atol=rtol, err_msg=name)


def points(model, rng, count=3):
    if is_network(model):
        spread = np.minimum(model.depth, 60.0)
        return np.exp(-spread * rng.uniform(-0.3, 1.0, (count, model.size)) ** 2)
    return rng.normal(size=(count, model.size))


@pytest.mark.parametrize("name", MODELS)
def test_generator_is_what_finite_differences_give(name, rng):
    model = MODELS[name]
    for values in points(model, rng(5)):
        agree(model, values, naive(model, values))


@pytest.mark.parametrize("name", MODELS)
def test_generator_is_smooth_where_values_coincide(name, rng):
    model = MODELS[name]
    values = points(model, rng(6), 1)[0]
    values[-1] = values[0]
    with mp.workdps(200):
        apart = values[0] + mp.mpf("1e-30")
    reference = naive(model, [*values[:-1], apart])
    agree(model, values, reference)
    values[-1] = np.nextafter(values[0], 9.0)
    agree(model, values, reference)


@pytest.mark.parametrize("name", NETWORKS)
def test_generator_has_its_limit_at_0(name):
    model = MODELS[name]
    values = np.linspace(0.0, 1.5, model.size)
    if model.depth < 100:
        agree(model, values, naive(model, [mp.mpf("1e-16") ** model.depth, *values[1:]]))
    assert all(np.isfinite(value) for value in generator(model, np.zeros(model.size)).values())


def test_generator_reaches_as_far_as_floats_do():
    """At depth 1000 λ = 0.5 is σ = 1e-301."""
    values = np.array([1e-301, 1e-150, 2.0])
    for name in ("depth 8", "depth 1000", "infinite depth"):
        agree(MODELS[name], values, naive(MODELS[name], values))


def test_shapes_order_blocks_and_nan(rng, monkeypatch):
    model = MODELS["depth 3"]
    values = points(model, rng(7), 30).reshape(5, 6, 4)
    whole = generator(model, values)
    monkeypatch.setattr(module, "BLOCK", 50)
    for name, value in generator(model, values[..., ::-1]).items():
        assert value.shape == (5, 6)
        np.testing.assert_allclose(value, whole[name], rtol=1e-13, err_msg=name)
    values[1, 2, 3] = np.nan
    for name, value in generator(model, values).items():
        assert np.argwhere(np.isnan(value)).tolist() == [[1, 2]], name


# ---------------------------------------------------------------- exact samples

EXACT = {
    "Gaussian matrices": (gaussian_matrices, network(5, 1.0, 3.0, 0.8), 30_000),
    "Gaussian matrices, hot": (gaussian_matrices, network(4, 1.0, 5.0, 2.5), 30_000),
    "half, depth 1.5": (bidiagonal, network(6, 1.5, 6.0, 0.5), 30_000),
    "half, depth 3": (bidiagonal, network(5, 3.0, 1.0, 0.5), 30_000),
    "half, depth 8": (bidiagonal, network(4, 8.0, 4.0, 0.5), 30_000),
    "width 1": (gamma, network(1, 2.0, 3.0, 1.4), 150_000),
    "depth 3, hot": (by_dilation, network(3, 3.0, 2.0, 1.5), 30_000),
    "depth 2.5, cold": (by_dilation, network(3, 2.5, 4.0, 0.3), 30_000),
    "depth 1000": (by_dilation, network(2, 1000.0, 2.0, 1.0), 300_000),
    "infinite depth": (by_dilation_at_infinite_depth, INFINITE, 50_000),
    "quartic": (in_a_box, network(2, 2.0, 2.0, 0.7, QUARTIC), 50_000),
    "well": (in_a_box, network(2, 3.0, 3.0, 1.2, WELL), 150_000),
    "dyson": (tridiagonal, dyson(6, 3.0, 0.7), 50_000),
    "dyson, hot": (tridiagonal, dyson(4, 3.0, 1.8), 50_000),
    "dyson, tilted": (in_a_box, dyson(2, 1.0, 0.9, TILTED), 150_000),
}


@pytest.mark.parametrize("name", EXACT)
def test_identities_hold_on_exact_samples_and_fail_for_another_model(name, rng, record):
    sampler, model, paths = EXACT[name]
    samples = sampler(model, paths, rng(20261122))[:, None]
    result = verdict(identities(model, samples))
    assert result.holds, result
    assert result.false_alarm == FALSE_ALARM
    controls = [
        verdict(identities(model.changed(**{key: 1.06 * getattr(model, key)}), samples)) for key in ("kappa", "beta")
    ]
    record(model=model.to_json(), paths=paths, threshold=result.threshold, z=result.worst.z,
           z_controls=[control.worst.z for control in controls])  # fmt: skip
    for control in controls:
        assert control.holds is False, control
        assert abs(control.worst.z) > control.threshold + ndtri(POWER), control


@pytest.mark.parametrize("name", ["Gaussian matrices", "half, depth 3", "depth 3, hot"])
def test_a_neighbourhood_of_0_that_is_never_visited_is_seen(name, rng):
    """Without the paths of the smallest 5 % of λ_d the boundary is elsewhere, and one function is made to see it."""
    sampler, model, _ = EXACT[name]
    samples = sampler(model, 60_000, rng(8))
    smallest = samples.min(axis=-1)
    kept = verdict(identities(model, samples[smallest > np.quantile(smallest, 0.05)][:, None]))
    assert verdict(identities(model, samples[:, None])).holds
    assert kept.worst.name == "tr arctan cx"
    assert abs(kept.worst.z) > kept.threshold + ndtri(POWER)


def test_a_function_that_is_not_admissible_pays_at_the_boundary(rng):
    """f = Σ λ at depth 2: E[Lf] = −(κ/(βN)) ∫ p dλ_1 on λ_2 = 0, here −0.6997, and the verdict is failure."""
    model = network(2, 2.0, 1.0, 1.0)
    N, c = model.depth, 1.0 / (2.0 * model.kappa)

    def density(small, large):
        y, x = large ** (2 * N) - small ** (2 * N), large**2 - small**2
        return y**c * x ** (1 - c) * math.exp(-c * model.beta * (large ** (2 * N) + small ** (2 * N)))

    total = integrate.dblquad(density, 0.0, 4.0, 0.0, lambda large: large)[0]
    exact = -model.kappa / (model.beta * N) * integrate.quad(lambda large: density(0.0, large), 0.0, 4.0)[0] / total
    assert abs(exact + 0.6997) < 1e-4
    sigma = by_dilation(model, 50_000, rng(9))
    sigma = np.sort(sigma, axis=-1)[:, ::-1]
    at = module._power_of_y(model, sigma, model.slope(sigma), 1.0 / (2.0 * N))
    lam = module._mean(at, module.LINEAR, model.kappa / model.beta)
    Lf = N * model.width * (lam.energy + lam.rest)
    error = np.std(Lf, ddof=1) / math.sqrt(len(Lf))
    assert abs(np.mean(Lf) - exact) < -ndtri(FALSE_ALARM / 2) * error
    assert abs(np.mean(Lf)) > 10 * error
    found = Identity("Σ λ", np.mean(Lf), error, np.mean(Lf) / error, np.mean(np.abs(lam.energy)), len(Lf) - 1.0, 0.0)
    assert verdict([found]).holds is False


# ---------------------------------------------------------------- errors and the verdict


def test_errors_are_those_of_independent_paths(rng):
    model = MODELS["depth 1"]
    samples = gaussian_matrices(model, 600, rng(10)).reshape(200, 3, 3)
    samples[7, 1, 2] = np.nan
    twice = np.concatenate([samples, samples], axis=1)
    whole = np.delete(samples, 7, axis=0)
    Lf = generator(model, whole)
    for a, b in zip(identities(model, samples), identities(model, twice), strict=True):
        mean = Lf[a.name].mean(axis=1)
        np.testing.assert_allclose(a[1:4], [mean.mean(), mean.std(ddof=1) / 199**0.5, a.mean / a.error], rtol=1e-12)
        np.testing.assert_allclose(b[1:], a[1:], rtol=1e-9)
        assert 1.0 <= a.freedom < 198.1
        least = 2.0 / math.sqrt(4.5)  # Tr WᵀW/(κ/β) is χ² of 9 degrees
        np.testing.assert_allclose(a.skewness * 199**0.5, max(abs(stats.skew(mean)), least), rtol=1e-9)


def test_terms_scale_is_that_of_the_energy(rng):
    """L tr y has the energy's part −2N Σ y^{2−1/N}/(d Y) for quadratic energy."""
    model = MODELS["depth 8"]
    samples = points(model, rng(11), 50)[:, None]
    size = float(size_of(model)) ** 2
    part = 2 * model.depth * np.mean(samples ** (4 - 2 / model.depth), axis=-1) / size
    np.testing.assert_allclose(identities(model, samples)[0].terms_scale, part.mean(), rtol=1e-12)


def test_thresholds_of_the_verdict():
    calm = [Identity(str(i), 0.1, 0.1, 1.0, 1.0, 1e9, 0.0) for i in range(10)]
    assert verdict(calm).holds is True
    np.testing.assert_allclose(verdict(calm).threshold, -ndtri(FALSE_ALARM / 20), rtol=1e-6)
    few = [identity._replace(freedom=9.0, z=-12.0) for identity in calm]
    assert verdict(few).holds is True
    assert verdict([identity._replace(freedom=1e9) for identity in few]).holds is False
    assert verdict(few, false_alarm=1e-3).holds is False
    failed = [*calm[:4], calm[4]._replace(z=math.nan), calm[5]._replace(z=50.0)]
    assert verdict(failed).holds is False
    assert verdict(failed).worst.name == "4"


def test_identities_that_are_too_skewed_are_not_known():
    """Skewness g of the mean moves the threshold t by g(2t² + 1)/6, and at most by a fifth."""
    calm = [Identity(str(i), 0.1, 0.1, 1.0, 1.0, 1e9, 0.05) for i in range(10)]
    t = -ndtri(FALSE_ALARM / 20)
    np.testing.assert_allclose(verdict(calm).threshold, t + 0.05 * (2.0 * t * t + 1.0) / 6.0, rtol=1e-6)
    skewed = calm[0]._replace(skewness=1.2 * t / (2.0 * t * t + 1.0) * 1.001)
    assert verdict([skewed] * 10).holds is None
    assert verdict([skewed, *calm[1:]]).holds is True
    beyond = verdict([skewed._replace(name="far", z=-9.0), *calm[1:]])
    assert (beyond.holds, beyond.worst.name) == (None, "far")
    assert verdict([skewed._replace(z=-9.0), *calm[1:9], calm[9]._replace(z=8.0)]).holds is False
    assert verdict([skewed._replace(z=math.nan), *calm[1:]]).holds is False


def test_false_alarms_are_as_rare_as_stated(rng):
    """Of 300 runs of 200 exact paths at most 5 % may fail at that rate, 15 on average: 40 do with probability 1e-7."""
    model = network(2, 1.0, 1.0, 0.7)
    samples = gaussian_matrices(model, 60_000, rng(12)).reshape(300, 200, 1, 2)
    outcomes = [verdict(identities(model, run), false_alarm=0.05).holds for run in samples]
    assert outcomes.count(False) < stats.binom.isf(FALSE_ALARM, 300, 0.05)
    assert outcomes.count(None) < 30


@pytest.mark.parametrize(
    ("sampler", "model", "paths", "known"),
    [
        (gamma, network(1, 3.0, 1.0, 1.0), 64, 0),
        (by_dilation, network(2, 3.0, 2.0, 1.0), 64, 0),
        (bidiagonal, network(4, 3.0, 4.0, 0.5), 256, 200),
    ],
    ids=["width 1", "width 2", "width 4"],
)
def test_false_alarms_are_rare_far_out_and_of_few_paths(sampler, model, paths, known, rng):
    """Of 200 runs at rate 1e-6 not one may fail: one does with probability 2e-4, two, which it takes, with 2e-8.

    By Student's quantile alone one in twenty does of the first two models, the control, whose tail few paths miss.
    """
    samples = sampler(model, 200 * paths, rng(14)).reshape(200, paths, 1, -1)
    found = [identities(model, run) for run in samples]
    outcomes = [verdict(each).holds for each in found]
    assert outcomes.count(False) <= 1
    assert outcomes.count(True) + outcomes.count(False) == known
    normal = [verdict([identity._replace(skewness=0.0) for identity in each]).holds for each in found]
    assert known or normal.count(False) > 1


def test_no_square_of_small_values_underflows():
    """Width 1 at depth 64, where σ is anything."""
    model = network(1, 64.0, 1.0, 1.0)
    found = identities(model, np.geomspace(1e-120, 1e-30, 8).reshape(8, 1, 1))
    assert all(np.isfinite(identity[1:]).all() and identity.error > 0.0 for identity in found)
    assert verdict(found).holds is None


@pytest.mark.parametrize("tails", ["none", "fat"])
def test_freedom_is_that_of_the_variance(tails, rng):
    """Over many samples of one law, 2 (mean/standard deviation)² of s² is the freedom."""
    draw = rng(13).normal if tails == "none" else rng(13).laplace
    samples = draw(size=(4000, 400))
    variance = samples.var(axis=1, ddof=1)
    seen = 2.0 * variance.mean() ** 2 / variance.var()
    stated = np.median([module._freedom(sample) for sample in samples[:200]])
    np.testing.assert_allclose(stated, seen, rtol=0.15)


def test_refusals(refused):
    model = MODELS["depth 1"]
    good = np.ones((4, 2, 3))
    refused(lambda: generator(model, np.ones((4, 2))), "(4, 2)", "3 components")
    refused(lambda: generator(model, 1.0), "()", "3 components")
    refused(lambda: generator(model, [1.0, -0.5, 2.0]), "-0.5", ">= 0")
    refused(lambda: generator(model.changed(energy="none"), good), "'none'", "equilibrium")
    refused(lambda: generator(model.changed(kappa=0.0), good), "kappa", "0.0")
    refused(lambda: generator(INFINITE.changed(kappa=0.4), good), "0.4", "0.333333")
    refused(lambda: identities(model, good[0]), "(2, 3)", "(path, draw, component)")
    refused(lambda: identities(model, good[:1]), "(1, 2, 3)", ">= 2 paths")
    refused(lambda: verdict([]), "[]", "at least one")
    refused(lambda: verdict(identities(model, good), false_alarm=0.0), "false_alarm = 0.0", "0 and 1")
