"""Energies and equilibrium densities, against their formulas in mpmath and against the drifts that they balance."""

import mpmath
import numpy as np
import pytest
from kernel_tools import kernel_drift, kernel_log_density
from numpy.polynomial import Polynomial as NumpyPolynomial

from dlnmc_kernels.dispatch import slope, value
from dlnmc_kernels.dyson import Dyson
from dlnmc_kernels.energies import Polynomial, Quadratic
from dlnmc_kernels.jit import kernel
from dlnmc_kernels.lanes import WIDTH, load, store
from dlnmc_kernels.singular_values import Lambda, LogSigma

POWERS = (-0.3, 0.5, 0.1, 0.25)
QUADRATIC, QUARTIC = Polynomial((0.0, 0.5, 0.0, 0.0)), Polynomial(POWERS)  # of one type: models are compiled once
ENERGIES = [Quadratic(0.0), Quadratic(1.0), Quadratic(2.5), Polynomial(POWERS)]
KAPPAS = [0.1, 0.5, 1.0, 2.0]
U = 2.0**-53

rng = np.random.default_rng(15)

# --- energies -----------------------------------------------------------------------------------------------


@kernel
def values_and_slopes(energy, s, out):
    for i in range(len(s)):
        store(out[0], i, value(energy, load(s, i)))
        store(out[1], i, slope(energy, load(s, i)))


def value_and_slope(energy, s):
    out = np.empty((2, *s.shape))
    values_and_slopes(energy, s, out)
    return out


def powers_of(energy):
    return energy.powers if isinstance(energy, Polynomial) else (0.0, 0.5 * energy.strength)


@pytest.mark.parametrize(
    "energy", [*ENERGIES, *(Polynomial(tuple(rng.normal(size=p).tolist())) for p in (1, 2, 3, 6))], ids=str
)
def test_values_and_slopes_are_those_of_the_polynomial(energy):
    s = rng.normal(size=(50, WIDTH)) * 2.0
    v, v_prime = value_and_slope(energy, s)
    exact = NumpyPolynomial([0.0, *powers_of(energy)])
    terms = NumpyPolynomial(np.abs(exact.coef))
    roundings = 4.0 * len(exact.coef) * U
    assert (np.abs(v - exact(s)) <= roundings * terms(np.abs(s))).all()
    assert (np.abs(v_prime - exact.deriv()(s)) <= roundings * terms.deriv()(np.abs(s))).all()


@pytest.mark.parametrize("energy", ENERGIES, ids=str)
def test_the_slope_is_the_derivative_of_the_value(energy):
    # Five points give the derivative of a polynomial of degree 4 exactly, at any distance.
    s, h = rng.normal(size=(50, WIDTH)), 0.5
    at = {j: value_and_slope(energy, s + j * h)[0] for j in (-2, -1, 1, 2)}
    derivative = (at[-2] - 8.0 * at[-1] + 8.0 * at[1] - at[2]) / (12.0 * h)
    assert value_and_slope(energy, s)[1] == pytest.approx(derivative, rel=1e-12, abs=1e-12)


# --- densities against their formulas -----------------------------------------------------------------------


def energy_in_mpmath(energy, values):
    return sum(mpmath.mpf(a) * v**m for v in values for m, a in enumerate(powers_of(energy), start=1))


def logs_of_differences(values):
    return mpmath.fsum(mpmath.log(abs(a - b)) for i, a in enumerate(values) for b in values[:i])


def terms_of_density(model, column):
    """(Σ log |y_k − y_l|, Σ log |x_k − x_l|, E) of a column of coordinates, of which log p is a combination."""
    with mpmath.workdps(40):
        x = [mpmath.mpf(float(v)) for v in column]
        if isinstance(model, Dyson):
            return logs_of_differences(x), 0, energy_in_mpmath(model.energy, x)
        if isinstance(model, LogSigma):
            sigma = [mpmath.exp(v) for v in x]
        else:
            sigma = [abs(v) ** mpmath.mpf(model.depth) for v in x]
            x = [v * v for v in x]
        pairs_of_y = logs_of_differences([v * v for v in sigma])
        return pairs_of_y, logs_of_differences(x), energy_in_mpmath(model.energy, sigma)


def combined(model, terms):
    """log p from its terms: model.md, sections 3, 4 and 6."""
    y, x, energy = terms
    beta, kappa = mpmath.mpf(model.beta), mpmath.mpf(model.kappa)
    if isinstance(model, Dyson):
        return 2 / kappa * y - beta / kappa * energy
    c = 1 / (2 * kappa)
    return c * y + (1 - c) * x - 2 * c * beta * energy


def errors_of_density(model, x):
    """The largest error of a difference of log densities between columns, for each term of the order of 1/κ.

    Shape (κ, 2): of the model, and of a control whose κ is 0.1 % larger.
    """
    size = len(x)
    terms = [terms_of_density(model, column) for column in x.T]
    errors = []
    for kappa in KAPPAS:
        changed = model._replace(kappa=kappa)
        with mpmath.workdps(40):
            exact = [combined(changed, row) for row in terms]
            differences = np.array([float(value - exact[0]) for value in exact])
        got = np.array([kernel_log_density(changed._replace(kappa=k), x) for k in (kappa, 1.001 * kappa)])
        of_each = np.abs(got - got[:, :1] - differences) / (size * (size + 1.0) * max(1.0, 1.0 / kappa))
        errors.append(of_each.max(axis=1))
    return np.array(errors)


def assert_density(model, x, tolerance=1e-12):
    errors = errors_of_density(model, x)
    assert errors[:, 0].max() <= tolerance
    assert errors[:, 1].min() > 100.0 * tolerance


def up_to(depth):
    """A λ whose σ is 1.6, so that an energy at smaller ones is of order 1."""
    return 1.6 ** (1.0 / depth)


def separated(size, low, high):
    """Eight columns of numbers, ascending, between bounds: at least a fifth of the mean distance apart."""
    gaps = rng.uniform(0.2, 1.8, (size + 1, WIDTH)).cumsum(axis=0)
    return low + (high - low) * gaps[:-1] / gaps[-1]


SIZES = [1, 2, 3, 4, 5, 9, 20]  # around the number of factors between two normalisations, and beyond


@pytest.mark.parametrize("depth", [1.0, 2.0, 3.5, 8.0, 24.0, 40.0])
@pytest.mark.parametrize("size", SIZES)
def test_density_of_lambda_is_the_formula(depth, size):
    lam = separated(size, 0.9 if size == 1 else 0.1, up_to(depth)) * rng.choice([-1.0, 1.0], (size, WIDTH))
    for energy in (QUADRATIC, QUARTIC):
        assert_density(Lambda(depth, 1.7, 1.0, energy), lam)


@pytest.mark.parametrize("size", SIZES)
def test_density_at_infinite_depth_is_the_formula(size):
    for energy in (QUADRATIC, QUARTIC):
        assert_density(LogSigma(1.7, 1.0, energy), separated(size, -1.5 if size == 1 else -30.0, 1.0))


@pytest.mark.parametrize("size", SIZES)
def test_density_of_dyson_is_the_formula(size):
    for energy in (QUADRATIC, QUARTIC):
        assert_density(Dyson(1.7, 1.0, energy), separated(size, -2.0, 3.0))
    assert_density(Dyson(1.7, 1.0, Polynomial((0.0, 1e-6, 0.0, 0.0))), separated(size, -2e3, 3e3), tolerance=1e-11)
    x = separated(size, -2.0, 3.0)
    by_its_own_type = kernel_log_density(Dyson(1.7, 1.0, Quadratic(1.0)), x)
    assert by_its_own_type == pytest.approx(kernel_log_density(Dyson(1.7, 1.0, QUADRATIC), x), abs=1e-12 * size * size)


@pytest.mark.parametrize("depth", [1.0, 3.5, 24.0, 40.0])
def test_density_of_lambda_is_exact_near_zero_where_powers_underflow(depth):
    lam = separated(4, 0.1, up_to(depth))
    lam[0] = 10.0 ** np.linspace(-12.0, -3.0, WIDTH)
    assert_density(Lambda(depth, 1.7, 1.0, QUADRATIC), lam, tolerance=3e-12)


@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-9])
def test_density_of_close_neighbours_loses_what_the_differences_of_powers_lose(gap):
    for depth in (1.0, 3.5, 40.0):
        lam = separated(3, 0.1, up_to(depth))
        lam[1, 1:] = lam[2, 1:] * (1.0 - gap)
        errors = errors_of_density(Lambda(depth, 1.7, 1.0, QUADRATIC), lam)
        assert errors[:, 0].max() <= 1e-12 + 2.0 * U / gap
    for model in (LogSigma(1.7, 1.0, QUADRATIC), Dyson(1.7, 1.0, QUADRATIC)):
        x = separated(3, -2.0, 1.0)
        x[1, 1:] = x[2, 1:] - gap
        assert errors_of_density(model, x)[:, 0].max() <= 1e-12 + 2.0 * U / gap


@pytest.mark.parametrize(
    "model",
    [
        Lambda(3.0, 1.7, 0.2, QUADRATIC),
        Lambda(40.0, 1.7, 2.0, QUADRATIC),
        LogSigma(1.7, 0.2, QUADRATIC),
        Dyson(1.7, 1.0, QUADRATIC),
    ],
    ids=str,
)
def test_density_of_coinciding_components_is_finite_and_below_that_of_any_others(model):
    x = np.repeat([[0.3], [0.5], [0.5], [0.9]], WIDTH, axis=1)
    x[2] += 2.0 ** -np.arange(24.0, 24.0 + 4 * WIDTH, 4.0)
    x[2, -1] = 0.5
    density = kernel_log_density(model, x)
    assert np.isfinite(density).all()
    assert (np.diff(density) < 0.0).all()


# --- densities against drifts -------------------------------------------------------------------------------

SIX_POINTS = {-3: -1 / 60, -2: 3 / 20, -1: -3 / 4, 1: 3 / 4, 2: -3 / 20, 3: 1 / 60}  # over the distance: the derivative


def gradient_of_log_density(model, x, h):
    gradient = np.zeros_like(x)
    for k in range(len(x)):
        for j, weight in SIX_POINTS.items():
            moved = x.copy()
            moved[k] += j * h
            gradient[k] += weight / h * kernel_log_density(model, moved)
    return gradient


def half_variance(model):
    """b²/2, in the drift's clock."""
    return model.kappa / (model.beta * getattr(model, "depth", 1.0))


@pytest.mark.parametrize("energy", [QUADRATIC, QUARTIC], ids=["quadratic", "polynomial"])
@pytest.mark.parametrize("kappa", KAPPAS)
def test_drifts_are_the_gradients_of_log_densities_times_half_the_variance_of_the_noise(kappa, energy):
    # dx = (b²/2) ∂ log p dt + b dB leaves p as it is; the taming is off.
    beta, size = 1.7, 5
    signs = rng.choice([-1.0, 1.0], (size, WIDTH))
    cases = [
        (Lambda(depth, beta, kappa, energy), separated(size, 0.3, up_to(depth)) * signs)
        for depth in (1.0, 2.0, 3.5, 8.0, 24.0, 40.0)
    ]
    cases += [(LogSigma(beta, kappa, energy), separated(size, -4.0, 1.0))]
    cases += [(Dyson(beta, kappa, energy), separated(size, -2.0, 2.0))]
    for model, x in cases:
        h = 0.01 * np.diff(np.abs(x) if isinstance(model, Lambda) else x, axis=0).min()
        expected = half_variance(model) * gradient_of_log_density(model, x, h)
        scale = np.abs(expected).max(axis=0) + 1.0 / (beta * h)
        assert (np.abs(kernel_drift(model, x) - expected) <= 1e-9 * scale).all()
        off = kernel_drift(model._replace(kappa=1.01 * kappa), x) if not isinstance(model, Dyson) else 1.01 * expected
        assert (np.abs(off - expected) > 1e-7 * scale).any(axis=0).all()  # the control
