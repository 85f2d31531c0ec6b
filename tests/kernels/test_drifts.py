"""Drifts and noise of the models against the energy, the entropy and the volume, differentiated by complex steps.

The potentials of model.md, section 3, are written here in plain NumPy; the imaginary part of F(λ + ih e_k)/h is
∂F/∂λ_k to rounding, since h² vanishes beside 1.
"""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_tools import NO_TAMING, kernel_drift, sized

from dlnmc_kernels.dispatch import noise, noise_slope, observed, rank_key, slope, too_close
from dlnmc_kernels.dyson import Dyson
from dlnmc_kernels.dyson import smallest_gap as smallest_dyson_gap
from dlnmc_kernels.energies import Polynomial, Quadratic
from dlnmc_kernels.jit import kernel
from dlnmc_kernels.lanes import WIDTH, load, maximum, select, splat, store
from dlnmc_kernels.pair_sums import TINY, entropy_of, tamed_product, taming, two_gap_sums, two_sums
from dlnmc_kernels.singular_values import (
    DEEP,
    Lambda,
    LogSigma,
    Sigma,
    pair_sums_deep,
    smallest_gap,
)

DEPTHS = [1.0, 1.5, 2.0, 3.0, 6.0, 24.0, 30.0, 100.0]
PARAMETERS = [(1.0, 1.0, 1.0), (0.7, 0.5, 0.0), (40.0, 0.1, 2.5), (3.0, 2.7, 0.3)]  # β, κ, strength of the energy
POWERS = (-0.3, 0.5, 0.1, 0.25)  # of a polynomial energy, with slopes of both signs
SIZE = 5

rng = np.random.default_rng(4)


# --- coefficients as functions of arrays --------------------------------------------------------------------


@kernel
def coefficients_of(model, x, dt, out):
    one, zero = splat(1.0), splat(0.0)
    for i in range(len(x)):
        x_i = load(x, i)
        store(out[0], i, noise(model, x_i))
        store(out[1], i, noise_slope(model, x_i))
        store(out[2], i, rank_key(model, x_i))
        store(out[3], i, observed(model, x_i))
        store(out[4], i, slope(model.energy, x_i))
        store(out[5], i, select(too_close(model, x_i, load(x, 0), dt), one, zero))


def coefficients(model, x, dt=NO_TAMING):
    """(noise, noise_slope, rank_key, observed, slope of the energy, too close to component 0), each like x."""
    out = np.empty((6, *x.shape))
    coefficients_of(model, x, dt, out)
    return out


# --- the potentials of model.md -----------------------------------------------------------------------------


def gradient(potential, x):
    """∂potential/∂x_k for every k at the real point x, by complex steps."""
    h = 1e-40
    return np.array([potential(x + 1j * h * unit).imag / h for unit in np.eye(len(x))])


def pairs(x):
    i, j = np.triu_indices(len(x), 1)
    return x[i], x[j]


def entropy(lam, depth):
    """½ Σ_{i<j} log a_ij, a_ij = (σ_i² − σ_j²)/(λ_i² − λ_j²)."""
    a, b = pairs(lam)
    return 0.5 * np.sum(np.log((a ** (2 * depth) - b ** (2 * depth)) / (a * a - b * b)))


def log_volume(lam):
    """Σ_{i<j} log |λ_i² − λ_j²|."""
    a, b = pairs(lam)
    return 0.5 * np.sum(np.log((a * a - b * b) ** 2))


def energy_of(s, energy):
    """Σ v(s): `energy` is the strength of a quadratic one or the powers of a polynomial."""
    powers = energy if isinstance(energy, tuple) else (0.0, 0.5 * energy)
    return sum(a * np.sum(s**m) for m, a in enumerate(powers, start=1))


def lambda_drift(lam, depth, beta, kappa, strength):
    """(1/N)(−∂E + ∂S/β + (κ/β) ∂ log volume): model.md, section 3."""
    energy = gradient(lambda z: energy_of(z**depth, strength), lam)
    return (
        -energy + gradient(lambda z: entropy(z, depth), lam) / beta + kappa / beta * gradient(log_volume, lam)
    ) / depth


def sigma_drift_by_ito(lam, depth, beta, kappa, strength):
    """Itô's formula for σ = λ^N, with dλ dλ = 2κ/(βN) dt."""
    first, second = depth * lam ** (depth - 1), depth * (depth - 1) * lam ** (depth - 2)
    return first * lambda_drift(lam, depth, beta, kappa, strength) + second * kappa / (beta * depth)


def sigma_drift_of_the_paper(lam, depth, beta, kappa, strength):
    """−N σ^{2−2/N} v' + Σ'/β + (κ/β) b: model.md, sections 1 (12.8) and 3."""
    drifts = []
    for k, lam_k in enumerate(lam):
        others = np.delete(lam, k)
        x = lam_k**2 - others**2
        y = lam_k ** (2 * depth) - others ** (2 * depth)
        entropic = lam_k ** (depth - 1) * np.sum(depth * lam_k ** (2 * depth - 1) / y - lam_k / x)
        b = (depth - 1) * lam_k ** (depth - 2) + 2 * lam_k**depth * np.sum(1 / x)
        sigma = lam_k**depth
        drifts.append(-depth * sigma ** (2 - 2 / depth) * strength * sigma + entropic / beta + kappa / beta * b)
    return np.array(drifts)


def log_vandermonde(x):
    """Σ_{i<j} log |x_i − x_j|."""
    a, b = pairs(x)
    return 0.5 * np.sum(np.log((a - b) ** 2))


def dyson_drift(x, beta, kappa, strength):
    """−∂E + (2/β) ∂ Σ_{i<j} log |x_i − x_j|: (11.8), where κ only scales the noise."""
    return -gradient(lambda z: energy_of(z, strength), x) + 2.0 / beta * gradient(log_vandermonde, x)


def log_drift(z, beta, kappa, strength):
    """−∂E + ∂S/β + (κ/β) ∂ log volume with a^∞ in the entropy: model.md, sections 1 and 3."""

    def entropy_at_infinite_depth(z):
        a, b = pairs(z)
        return 0.5 * np.sum(np.log((np.exp(2 * a) - np.exp(2 * b)) / (2 * (a - b))))

    energy = gradient(lambda z: energy_of(np.exp(z), strength), z)
    entropic = gradient(entropy_at_infinite_depth, z)
    return -energy + entropic / beta + kappa / beta * gradient(log_vandermonde, z)


def log_drift_of_the_paper(z, beta, kappa, strength):
    """−σ v' + (1/β) Σ (y_k/(y_k−y_l) − 1/(2(z_k−z_l))) + (κ/β) Σ 1/(z_k−z_l): model.md, section 3."""
    drifts = []
    for k, z_k in enumerate(z):
        others = np.delete(z, k)
        entropic = np.sum(1 / -np.expm1(2 * (others - z_k)) - 0.5 / (z_k - others))
        drifts.append(-strength * np.exp(2 * z_k) + entropic / beta + kappa / beta * np.sum(1 / (z_k - others)))
    return np.array(drifts)


def columns(function, x, *parameters):
    return np.column_stack([function(column, *parameters) for column in x.T])


def allowance(lam, depth, beta, kappa, strength):
    """Rounding: so many half-ulps of the terms that are added, by how closely each difference of squares cancels."""
    tolerance = np.empty_like(lam)
    for k in range(len(lam)):
        others = np.delete(lam, k, axis=0)
        larger = np.maximum(lam[k], others)
        cancels = larger / np.abs(lam[k] - others)
        repulsion = (depth + 1 + 2 * kappa) * larger / np.abs(lam[k] ** 2 - others**2) * cancels
        tolerance[k] = (np.sum(repulsion, axis=0) / beta + depth * strength * lam[k] ** (2 * depth - 1)) / depth
    return 2.0**-53 * (40.0 + 20.0 * depth) * tolerance


def allowance_in_logs(z, beta, kappa, strength):
    """Rounding, likewise: y_l/y_k is of the relative accuracy of |z| ulp, and close to 1 it cancels."""
    tolerance = np.empty_like(z)
    for k in range(len(z)):
        gap = np.abs(np.delete(z, k, axis=0) - z[k])
        larger = 1.0 + np.abs(z).max(axis=0)
        tolerance[k] = np.sum((1.0 + kappa) * (1.0 + larger / gap) / gap, axis=0) / beta
        tolerance[k] += strength * np.exp(2 * z[k]) * larger
    return 2.0**-53 * 40.0 * tolerance


def separated(size=SIZE):
    """Eight columns of positive numbers with gaps of at least 0.04, ascending."""
    gaps = rng.uniform(0.04, 0.5, (size, WIDTH))
    return np.cumsum(gaps, axis=0) / 1.2


# --- the drift ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("beta", "kappa", "strength"), PARAMETERS)
@pytest.mark.parametrize("depth", DEPTHS)
def test_drift_of_lambda_is_the_gradient_of_energy_entropy_and_volume(depth, beta, kappa, strength):
    lam = separated()
    expected = columns(lambda_drift, lam, depth, beta, kappa, strength)
    got = kernel_drift(Lambda(depth, beta, kappa, Quadratic(strength)), lam)
    assert (np.abs(got - expected) <= allowance(lam, depth, beta, kappa, strength)).all()


@pytest.mark.parametrize(("beta", "kappa", "strength"), PARAMETERS)
@pytest.mark.parametrize("depth", DEPTHS)
def test_drift_of_sigma_follows_from_lambda_by_ito_and_is_the_equation_in_sigma(depth, beta, kappa, strength):
    lam = separated()
    by_ito = columns(sigma_drift_by_ito, lam, depth, beta, kappa, strength)
    as_written = columns(sigma_drift_of_the_paper, lam, depth, beta, kappa, strength)
    got = kernel_drift(Sigma(depth, beta, kappa, Quadratic(strength)), lam**depth)
    tolerance = depth * lam ** (depth - 1) * allowance(lam, depth, beta, kappa, strength)
    # λ comes from σ by a root: its relative error, 8 U |log σ|/N + 4 U, is multiplied by the drift's logarithmic slope.
    tolerance *= 1.0 + np.abs(np.log(lam)).max()
    assert (np.abs(got - by_ito) <= tolerance).all()
    assert (np.abs(got - as_written) <= tolerance).all()


@pytest.mark.parametrize(("beta", "kappa", "strength"), PARAMETERS)
def test_drift_of_dyson_is_the_gradient_of_energy_and_repulsion(beta, kappa, strength):
    x = separated() - 1.0
    expected = columns(dyson_drift, x, beta, kappa, strength)
    got = kernel_drift(Dyson(beta, kappa, Quadratic(strength)), x)
    assert got == pytest.approx(expected, rel=1e-13, abs=1e-11 / beta)


@pytest.mark.parametrize(("beta", "kappa", "strength"), PARAMETERS)
def test_drift_at_infinite_depth_is_the_gradient_of_its_potentials_and_the_equation_in_log_sigma(beta, kappa, strength):
    z = separated() * 3.0 - 4.0
    expected = columns(log_drift, z, beta, kappa, strength)
    as_written = columns(log_drift_of_the_paper, z, beta, kappa, strength)
    got = kernel_drift(LogSigma(beta, kappa, Quadratic(strength)), z)
    tolerance = allowance_in_logs(z, beta, kappa, strength)
    assert (np.abs(got - expected) <= tolerance).all()
    assert (np.abs(got - as_written) <= tolerance).all()
    off = kernel_drift(LogSigma(beta, 1.1 * kappa + 0.01, Quadratic(strength)), z)  # the control
    assert (np.abs(off - expected) > 100.0 * tolerance).any(axis=0).all()


def test_the_drift_at_infinite_depth_is_the_limit_of_that_of_lambda_in_its_own_clock():
    # z = N log λ and τ = N t: by Itô's formula the drift of z is f/λ − κ/(βNλ²), f that of λ.
    beta = 2.0
    z = separated() * 4.0 - 4.0
    for kappa in (0.0, 0.3):
        limit = kernel_drift(LogSigma(beta, kappa, Quadratic(1.0)), z)
        errors = []
        for depth in (1e4, 1e6):
            lam = np.exp(z / depth)
            f = kernel_drift(Lambda(depth, beta, kappa, Quadratic(1.0)), lam)
            errors.append(np.abs(f / lam - kappa / (beta * depth * lam**2) - limit).max(axis=0))
        assert (errors[1] < 1e-5 * np.abs(limit).max(axis=0)).all()
        assert errors[0] / errors[1] == pytest.approx(100.0, rel=0.05)  # the error is of the order of 1/N


@pytest.mark.parametrize(("beta", "kappa"), [(0.7, 0.5), (40.0, 0.1)])
def test_drifts_of_polynomial_energies_are_gradients_too(beta, kappa):
    energy = Polynomial(POWERS)
    for depth in DEPTHS:
        lam = separated()
        expected = columns(lambda_drift, lam, depth, beta, kappa, POWERS)
        tolerance = allowance(lam, depth, beta, kappa, 1.0)
        tolerance += 2.0**-53 * 40.0 * depth * lam ** (depth - 1) * (1.0 + lam ** (3 * depth))
        assert (np.abs(kernel_drift(Lambda(depth, beta, kappa, energy), lam) - expected) <= tolerance).all()
    z, x = separated() * 3.0 - 4.0, separated() - 1.0
    expected = columns(log_drift, z, beta, kappa, POWERS)
    tolerance = allowance_in_logs(z, beta, kappa, 1.0)
    assert (np.abs(kernel_drift(LogSigma(beta, kappa, energy), z) - expected) <= tolerance).all()
    expected = columns(dyson_drift, x, beta, kappa, POWERS)
    assert kernel_drift(Dyson(beta, kappa, energy), x) == pytest.approx(expected, rel=1e-13, abs=1e-11 / beta)


def test_at_infinite_beta_the_drift_is_that_of_the_gradient_flow():
    # β = ∞, κ = 0: dλ = −v'(σ) λ^{N−1} dt, also at coincidence.
    for lam in (separated() + 0.3, np.ones((SIZE, WIDTH))):
        for depth in DEPTHS:
            expected = -(lam ** (2 * depth - 1))
            tolerance = 2.0**-53 * (40.0 + 40.0 * depth) * np.abs(expected)
            got = kernel_drift(Lambda(depth, np.inf, 0.0, Quadratic(1.0)), lam, 1e-3)
            assert (np.abs(got - expected) <= tolerance).all()
            got = kernel_drift(Sigma(depth, np.inf, 0.0, Quadratic(1.0)), lam**depth, 1e-3)
            expected = depth * lam ** (depth - 1) * expected
            assert (np.abs(got - expected) <= depth * lam ** (depth - 1) * tolerance * (2.0 + depth)).all()
        assert kernel_drift(LogSigma(np.inf, 0.0, Quadratic(1.0)), np.log(lam), 1e-3) == pytest.approx(-(lam**2))
        assert np.array_equal(kernel_drift(Dyson(np.inf, 0.0, Quadratic(1.0)), lam, 1e-3), -lam)


@pytest.mark.parametrize("model", [Lambda, Sigma])
@pytest.mark.parametrize("depth", DEPTHS)
def test_a_kappa_ten_percent_off_would_be_detected(model, depth):
    # The control of the tests above: every column is far beyond the allowance.
    lam = separated()
    reference = lambda_drift if model is Lambda else sigma_drift_by_ito
    expected = columns(reference, lam, depth, 3.0, 1.0, 1.0)
    x = lam if model is Lambda else lam**depth
    got = kernel_drift(model(depth, 3.0, 1.1, Quadratic(1.0)), x)
    scale = 1.0 if model is Lambda else depth * lam ** (depth - 1)
    relative = np.abs(got - expected) / (scale * allowance(lam, depth, 3.0, 1.0, 1.0))
    assert (relative.max(axis=0) > 100.0).all()


# --- noise and the other coefficients -----------------------------------------------------------------------


@pytest.mark.parametrize(("beta", "kappa", "strength"), PARAMETERS)
@pytest.mark.parametrize("depth", DEPTHS)
def test_coefficients_of_lambda(depth, beta, kappa, strength):
    x = separated() * rng.choice([-1.0, 1.0], (SIZE, WIDTH))
    b, slope_b, key, value, v, _ = coefficients(Lambda(depth, beta, kappa, Quadratic(strength)), x)
    assert b == pytest.approx(np.full_like(x, np.sqrt(2 * kappa / (beta * depth))), rel=1e-15)
    assert (slope_b == 0.0).all()
    assert np.array_equal(key, np.abs(x))
    assert value == pytest.approx(np.abs(x) ** depth, rel=2e-15 * depth)
    assert np.array_equal(v, strength * x)


@pytest.mark.parametrize(("beta", "kappa", "strength"), PARAMETERS)
@pytest.mark.parametrize("depth", DEPTHS)
def test_coefficients_of_sigma(depth, beta, kappa, strength):
    # b = √(2κN/β) |σ|^{1−1/N}, and b b' = (2κ/β)(N−1) |σ|^{1−2/N} with σ's sign, which ½(ΔB² − Δt) multiplies.
    sigma = separated()

    def amplitude(s):
        return np.sqrt(2 * kappa * depth / beta) * s ** (1 - 1 / depth)

    x = sigma * rng.choice([-1.0, 1.0], (SIZE, WIDTH))
    b, slope_b, key, value, _, _ = coefficients(Sigma(depth, beta, kappa, Quadratic(strength)), x)
    derivative = amplitude(sigma + 1e-40j).imag / 1e-40
    assert b == pytest.approx(amplitude(sigma), rel=1e-13)
    assert slope_b == pytest.approx(np.sign(x) * amplitude(sigma) * derivative, rel=1e-13, abs=1e-300)
    by_hand = 2 * kappa / beta * (depth - 1) * sigma ** (1 - 2 / depth)
    assert np.abs(slope_b) == pytest.approx(by_hand, rel=1e-13, abs=1e-300)
    assert np.array_equal(key, np.abs(x))
    assert np.array_equal(value, np.abs(x))


@pytest.mark.parametrize(("beta", "kappa", "strength"), PARAMETERS)
def test_coefficients_of_dyson(beta, kappa, strength):
    x = separated() - 1.0
    b, slope_b, key, value, v, _ = coefficients(Dyson(beta, kappa, Quadratic(strength)), x)
    assert b == pytest.approx(np.full_like(x, np.sqrt(2 * kappa / beta)), rel=1e-15)
    assert (slope_b == 0.0).all()
    assert np.array_equal(key, x)
    assert np.array_equal(value, x)
    assert np.array_equal(v, strength * x)


@pytest.mark.parametrize(("beta", "kappa", "strength"), PARAMETERS)
def test_coefficients_at_infinite_depth(beta, kappa, strength):
    x = separated() - 1.0
    b, slope_b, key, value, v, _ = coefficients(LogSigma(beta, kappa, Quadratic(strength)), x)
    assert b == pytest.approx(np.full_like(x, np.sqrt(2 * kappa / beta)), rel=1e-15)
    assert (slope_b == 0.0).all()
    assert np.array_equal(key, x)
    assert value == pytest.approx(np.exp(x), rel=1e-15)
    assert np.array_equal(v, strength * x)


# --- symmetries ---------------------------------------------------------------------------------------------


def every_model(depth, beta, kappa, strength):
    yield Lambda(depth, beta, kappa, Quadratic(strength))
    yield Sigma(depth, beta, kappa, Quadratic(strength))


@settings(deadline=None, max_examples=sized(60, 15))
@given(
    depth=st.sampled_from(DEPTHS),
    beta=st.floats(0.1, 100.0),
    kappa=st.floats(0.0, 3.0),
    dt=st.floats(1e-9, 1e-2),
    signs=st.lists(st.sampled_from([-1.0, 1.0]), min_size=SIZE, max_size=SIZE),
)
def test_drift_is_odd_in_its_own_sign_and_even_in_the_others_to_the_last_bit(depth, beta, kappa, dt, signs):
    x = separated()
    signs = np.array(signs)[:, None]
    for model in every_model(depth, beta, kappa, 1.0):
        assert np.array_equal(kernel_drift(model, signs * x, dt), signs * kernel_drift(model, x, dt))


@settings(deadline=None, max_examples=20)
@given(shift=st.floats(-3.0, 3.0))
def test_drift_of_dyson_is_equivariant_under_reflection_and_shifts(shift):
    x = separated()
    model, free = Dyson(2.0, 1.0, Quadratic(1.0)), Dyson(2.0, 1.0, Quadratic(0.0))
    f = kernel_drift(model, x)
    assert kernel_drift(model, -x[::-1]) == pytest.approx(-f[::-1], rel=1e-12, abs=1e-11)
    assert kernel_drift(free, x + shift) == pytest.approx(kernel_drift(free, x), rel=1e-11, abs=1e-11)
    assert kernel_drift(free, x).sum(axis=0) == pytest.approx(np.zeros(WIDTH), abs=1e-11)


@settings(deadline=None, max_examples=20)
@given(order=st.permutations(range(SIZE)), shift=st.floats(-30.0, 30.0))
def test_drift_at_infinite_depth_is_equivariant_under_permutations_and_changes_of_scale(order, shift):
    z = separated() * 3.0
    model, free = LogSigma(2.0, 0.3, Quadratic(1.0)), LogSigma(2.0, 0.3, Quadratic(0.0))
    tolerance = 2.0 * allowance_in_logs(z, 2.0, 0.3, 1.0)
    assert (np.abs(kernel_drift(model, z[order]) - kernel_drift(model, z)[order]) <= tolerance[order]).all()
    tolerance = allowance_in_logs(z, 2.0, 0.3, 0.0) + allowance_in_logs(z + shift, 2.0, 0.3, 0.0)
    assert (np.abs(kernel_drift(free, z + shift) - kernel_drift(free, z)) <= tolerance).all()


# --- shallow and deep ---------------------------------------------------------------------------------------


@kernel
def both_pair_sums(depth, epsilon, x, y, log_y, floor, entropy, shallow_x, shallow_y, deep_x, deep_y):
    tame = taming(depth, epsilon)
    two_gap_sums(two_sums(x, y, tame, shallow_x, shallow_y), len(x))
    for k in range(len(x)):
        store(floor, k, maximum(tamed_product(tame, load(x, k)), splat(TINY)))
        store(entropy, k, entropy_of(tame, load(x, k)))
    pair_sums_deep(x, log_y, floor, entropy, deep_x, deep_y)


@pytest.mark.parametrize("epsilon", [0.0, 0.01])
@pytest.mark.parametrize("depth", [1.0, 1.5, 3.0, 8.0, DEEP])
def test_shallow_and_deep_branches_agree_where_both_are_accurate(depth, epsilon):
    lam = separated()
    x, y, log_y = lam**2, lam ** (2 * depth), 2 * depth * np.log(lam)
    rows = np.zeros((6, *lam.shape))
    both_pair_sums(depth, epsilon, x, y, log_y, *rows)
    shallow_x, shallow_y, deep_x, deep_y = rows[2:]
    assert deep_x == pytest.approx(shallow_x, rel=1e-10, abs=1e-10)
    assert deep_y == pytest.approx(y * shallow_y, rel=1e-10, abs=1e-10)


def test_the_drift_is_continuous_where_the_branches_meet():
    lam = separated()
    below, above = (kernel_drift(Lambda(d, 2.0, 1.0, Quadratic(1.0)), lam) for d in (DEEP, DEEP * (1 + 1e-12)))
    assert above == pytest.approx(below, rel=1e-8, abs=1e-9)


# --- taming -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1.0, 1.5, 2.0, 3.0, 6.0, 30.0])
@pytest.mark.parametrize("kappa", [0.1, 1.0])
def test_repulsion_is_untamed_for_gaps_above_epsilon_and_continued_linearly_to_zero_below(depth, kappa):
    beta, dt = 2.0, 1e-10
    epsilon = smallest_gap(depth, beta, kappa, dt)
    assert epsilon == pytest.approx(0.4 * np.sqrt(2 * kappa * dt / (beta * depth)), rel=1e-14)
    model = Lambda(depth, beta, kappa, Quadratic(0.0))
    # In units of ε. The criterion is on (x_k − x_l)(y_k − y_l), at gap ε equal to 4N y_k ε² up to a factor 1 + O(Nε/λ).
    gaps = np.array([0.0, 1e-6, 0.25, 0.5, 0.999, 1.001, 2.0, 50.0])
    x = np.stack([np.full(WIDTH, 1.0), 1.0 + gaps * epsilon])
    tamed, untamed = kernel_drift(model, x, dt), kernel_drift(model, x, 1e-30)
    assert np.array_equal(tamed[:, 5:], untamed[:, 5:])
    # Two terms proportional to the gap, not to its inverse: their sum is κ/(βN) 1/g for g ≫ ε, κ/(βN) g/ε² below.
    repulsion = tamed[1] - tamed[0]
    expected = 2.0 * kappa / (beta * depth) * gaps[:5] / epsilon
    entropic = 2.0 * (depth + 1.0) / beta  # bounded by N + 1 per pair, over N: no singular part to be tamed
    assert np.abs(repulsion[:5] - expected).max() <= entropic
    assert repulsion[0] == pytest.approx(0.0, abs=entropic)


def test_repulsion_at_infinite_depth_is_untamed_above_epsilon_and_continued_linearly_to_zero_below():
    beta, kappa, dt = 2.0, 1.0, 1e-10
    epsilon = smallest_gap(1.0, beta, kappa, dt)
    model = LogSigma(beta, kappa, Quadratic(0.0))
    gaps = np.array([0.0, 1e-3, 0.25, 0.5, 0.999, 1.001, 2.0, 50.0])
    z = np.stack([np.full(WIDTH, -3.0), -3.0 + gaps * epsilon])
    tamed, untamed = kernel_drift(model, z, dt), kernel_drift(model, z)
    assert np.array_equal(tamed[:, 5:], untamed[:, 5:])
    expected = 2.0 * kappa / beta * gaps[:5] / epsilon
    assert np.abs((tamed[1] - tamed[0])[:5] - expected).max() <= 1e-5 * expected[-1]
    # Entropy pushes both by 1/(2β) where they coincide.
    assert tamed.sum(axis=0)[:5] == pytest.approx(np.full(5, 1.0 / beta), rel=1e-4)


@pytest.mark.parametrize("depth", [1.0, 1.5, 2.0, 3.0, 6.0, 30.0])
def test_repulsion_is_untamed_for_gaps_above_epsilon_near_zero_too(depth):
    # One component at 0 and one at 2ε: their gap is 2ε.
    beta, kappa, dt = 2.0, 1.0, 1e-6
    model = Lambda(depth, beta, kappa, Quadratic(0.0))
    x = np.stack([np.zeros(WIDTH), np.full(WIDTH, 2.0 * smallest_gap(depth, beta, kappa, dt))])
    assert kernel_drift(model, x, dt) == pytest.approx(columns(lambda_drift, x, depth, beta, kappa, 0.0), rel=0.1)


@pytest.mark.parametrize("model", [Lambda, Sigma])
@pytest.mark.parametrize("depth", [1.0, 1.5, 3.0, 30.0])
def test_wide_gaps_are_untouched_by_the_step_size(model, depth):
    lam = separated()
    x = lam if model is Lambda else lam**depth
    parameters = model(depth, 2.0, 1.0, Quadratic(1.0))
    dt = 1e-6
    assert 10 * smallest_gap(depth, 2.0, 1.0, dt) * np.sqrt(depth) < np.diff(lam, axis=0, prepend=0.0).min()
    assert np.array_equal(kernel_drift(parameters, x, dt), kernel_drift(parameters, x, 1e-30))


def test_repulsion_of_dyson_is_untamed_for_gaps_from_epsilon_and_constant_below():
    beta, dt = 2.0, 1e-4
    epsilon = smallest_dyson_gap(beta, dt)
    assert epsilon == pytest.approx(0.8 * np.sqrt(dt / beta), rel=1e-14)
    model = Dyson(beta, 1.0, Quadratic(0.0))
    gaps = np.array([0.0, 1e-6, 0.25, 0.5, 0.999, 1.0, 2.0, 50.0]) * epsilon
    f = kernel_drift(model, np.stack([np.zeros(WIDTH), gaps]), dt)
    assert f[1] == pytest.approx(2.0 / beta / np.maximum(gaps, epsilon), rel=1e-14)
    assert np.array_equal(f[0], -f[1])


def test_too_close_counts_what_lies_below_epsilon():
    dt = 1e-4
    for depth in (1.0, 3.0, 30.0):
        epsilon = smallest_gap(depth, 2.0, 1.0, dt)
        lam = np.stack([np.full(WIDTH, 1.0), 1.0 + epsilon * np.array([0, 0.5, 0.99, 1.01, 2, -0.5, -0.99, -1.01])])
        expected = [1, 1, 1, 0, 0, 1, 1, 0]
        assert coefficients(Lambda(depth, 2.0, 1.0, Quadratic(1.0)), lam, dt)[5, 1].tolist() == expected
        assert coefficients(Lambda(depth, 2.0, 1.0, Quadratic(1.0)), -lam, dt)[5, 1].tolist() == expected
        flipped = lam * [[1.0], [-1.0]]
        assert coefficients(Lambda(depth, 2.0, 1.0, Quadratic(1.0)), flipped, dt)[5, 1].tolist() == expected
        assert coefficients(Sigma(depth, 2.0, 1.0, Quadratic(1.0)), lam**depth, dt)[5, 1].tolist() == expected
    epsilon = smallest_gap(1.0, 2.0, 1.0, dt)
    z = np.stack([np.full(WIDTH, -2.0), -2.0 + epsilon * np.array([0, 0.5, 0.99, 1.01, 2, -0.5, -0.99, -1.01])])
    assert coefficients(LogSigma(2.0, 1.0, Quadratic(1.0)), z, dt)[5, 1].tolist() == [1, 1, 1, 0, 0, 1, 1, 0]
    epsilon = smallest_dyson_gap(2.0, dt)
    x = np.stack([np.zeros(WIDTH), epsilon * np.array([0, 0.5, 0.99, 1.01, 2, -0.5, -0.99, -1.01])])
    expected = [1, 1, 1, 0, 0, 1, 1, 0]
    assert coefficients(Dyson(2.0, 1.0, Quadratic(1.0)), x, dt)[5, 1].tolist() == expected


def all_orders_and_coincidences(*numbers):
    """Arrays (3, 8) whose columns together are all triples of these numbers."""
    triples = np.array(list(itertools.product(numbers, repeat=3))).T
    return [np.ascontiguousarray(triples[:, i : i + WIDTH]) for i in range(0, triples.shape[1], WIDTH)]


@pytest.mark.parametrize("dt", [1e-18, 1e-4])
@pytest.mark.parametrize("kappa", [0.0, 1.0])
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("model", [Lambda, Sigma])
def test_drift_is_finite_at_zero_and_at_coincidence_in_any_order(model, depth, kappa, dt):
    for x in all_orders_and_coincidences(0.0, 1e-100, 1e-3, 1.0):
        f = kernel_drift(model(depth, 2.0, kappa, Quadratic(1.0)), x, dt)
        assert np.isfinite(f).all()


@pytest.mark.parametrize("dt", [1e-18, 1e-4])
@pytest.mark.parametrize("kappa", [0.0, 1.0])
def test_drift_at_infinite_depth_is_finite_at_coincidence_and_far_below_in_any_order(kappa, dt):
    for z in all_orders_and_coincidences(-1e5, -400.0, -3.0, 1.0):
        assert np.isfinite(kernel_drift(LogSigma(2.0, kappa, Quadratic(1.0)), z, dt)).all()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("depth", [3.0, 30.0])
def test_drift_is_finite_where_squares_underflow(depth):
    for x in all_orders_and_coincidences(0.0, 1e-200, 1e-3, 1.0):
        assert np.isfinite(kernel_drift(Lambda(depth, 2.0, 1.0, Quadratic(1.0)), x, 1e-4)).all()


@pytest.mark.parametrize("depth", DEPTHS)
def test_drift_of_lambda_vanishes_at_zero_and_the_one_of_sigma_beyond_depth_2(depth):
    # By oddness; in σ the Itô term (N−1) λ^{N−2} vanishes for N > 2 only (at N = 2 it jumps with the sign).
    x = np.zeros((3, WIDTH))
    x[1:] = [[0.5], [1.0]]
    assert np.abs(kernel_drift(Lambda(depth, 2.0, 1.0, Quadratic(1.0)), x, 1e-4)[0]).max() < 1e-100
    if depth > 2.0:
        ceiling = smallest_gap(depth, 2.0, 1.0, 1e-4) ** (depth - 2.0) * (depth - 1.0) / 2.0
        assert (
            np.abs(kernel_drift(Sigma(depth, 2.0, 1.0, Quadratic(1.0)), x, 1e-4)[0]).max() <= 1.001 * ceiling + 1e-290
        )
