"""The soft edge tends to Tracy and Widom's law of index 1, and the bulk has the spacing ratio of that class.

The largest singular value is centred and scaled by the constants of the limit law alone, so that its mean and variance
at width d differ from those of the limit by powers of d^{−1/3}, and are fitted so. The first is a shift of the edge. It
is known: in the loop equations E[Lf] = 0 the density is ρ_0 + ρ_1/d, where ρ_1 answers to the potential
½ log ρ_0(λ) + (q/2) log λ, q = (2N−1)/(2κ) + 1 − 1/(2κ); at the maximum of Π λ_k^q p(λ), where there is no noise, it
answers to minus that. So the edge moves as that of these Fekete points, the other way: `shift_of_edge`.
"""

import math
from typing import NamedTuple

import numpy as np
import pytest
from scipy.special import ai_zeros
from scipy.stats import chi2
from statistical import FALSE_ALARM

import dlnmc
from dlnmc import laws
from dlnmc.statistics import Estimate, mean_over_paths, soft_edge, spacing_ratio

ERRORS = 4.0  # standard errors within which a limit is its law's
ACCURACY = 0.03  # the standard error of a limit, relative to the law
FIRST, OTHER = laws.tracy_widom(1), laws.tracy_widom(2)
HALF = dlnmc.DeepLinearNetwork(width=32, depth=3.0, beta=32.0, kappa=0.5)
ONE = dlnmc.DeepLinearNetwork(width=32, depth=2.0, beta=32.0, kappa=1.0)


# --- the limit of infinite width --------------------------------------------------------------------------------------


class Fit(NamedTuple):
    """Coefficients of powers of d^{−1/3}, the limit first, with standard errors; χ² and its degrees of freedom."""

    coefficients: list[float]
    errors: list[float]
    chi_squared: float
    freedom: int


def fitted(widths, estimates, powers, known=0.0):
    """Weighted least squares in d^{−p/3}, p = 0 and `powers`; `known` is the coefficient of d^{−1/3} if not fitted."""
    h = np.asarray(widths, dtype=float) ** (-1.0 / 3.0)
    values, errors = np.array(estimates).T
    design = np.stack([h**p for p in (0, *powers)], axis=1) / errors[:, None]
    target = (values - known * h) / errors
    covariance = np.linalg.inv(design.T @ design)
    found = covariance @ design.T @ target
    rest = float(np.sum((target - design @ found) ** 2))
    return Fit(found.tolist(), np.sqrt(np.diag(covariance)).tolist(), rest, len(target) - len(found))


def exactly(model, width, paths):
    """The shape of the largest singular value at a width, of independent draws in pieces of moderate memory."""
    model = model.changed(width=width, beta=float(width))
    each = 2**24 // width
    pieces = [
        dlnmc.exact(model, paths=min(each, paths - first), seed=width + first)["singular_values"].sel(rank=1).copy()
        for first in range(0, paths, each)
    ]
    return shape_at_edge(model, np.concatenate(pieces))


def simulated(model, width, paths, duration):
    """The shape of the largest singular value at a width, from many states of each path of Hamiltonian Monte Carlo."""
    model = model.changed(width=width, beta=float(width))
    draws = round(16 * duration)
    tree = dlnmc.equilibrium(
        model, paths=paths, scheme="hmc", duration=duration, draws=draws, observations=draws, seed=width
    )
    return shape_at_edge(model, tree["samples/singular_values"].sel(rank=1))


def shape_at_edge(model, largest):
    return soft_edge(laws.scaled(largest, model), laws.of(model), model.width)


def tracy_widom_is_the_limit(model, shapes, record, accuracy=ACCURACY, free=False):
    """Mean and variance as d → ∞ are those of index 1, and not of index 2.

    `free`: the coefficient of d^{−1/3} is fitted. Otherwise it is the known one, 0 for the variance: to this order the
    law is shifted as a whole.
    """
    widths, shift = list(shapes), shift_of_edge(model.depth, model.kappa)
    means, variances = ([getattr(shape, name) for shape in shapes.values()] for name in ("mean", "variance"))
    if free:
        mean, variance = (fitted(widths, estimates, (1, 2)) for estimates in (means, variances))
        assert abs(mean.coefficients[1] - shift) < ERRORS * mean.errors[1]
    else:
        mean, variance = fitted(widths, means, (2,), shift), fitted(widths, variances, (2,))
    record(
        model=model.changed(width=1).to_json(),
        widths=widths,
        means=means,
        variances=variances,
        shift=shift,
        fit_of_means=mean._asdict(),
        fit_of_variances=variance._asdict(),
    )
    for fit, right, wrong in ((mean, FIRST.mean(), OTHER.mean()), (variance, FIRST.var(), OTHER.var())):
        found, error = fit.coefficients[0], fit.errors[0]
        assert error <= accuracy * abs(right)
        assert abs(found - right) < ERRORS * error < abs(found - wrong)
        assert fit.freedom == 0 or fit.chi_squared < chi2.isf(FALSE_ALARM, fit.freedom)


@pytest.mark.parametrize(("depth", "kappa"), [(2.0, 1.0), (3.0, 0.75), (8.0, 2.0), (1.5, 1.0), (3.0, 0.5)])
def test_the_shift_of_the_edge_is_that_of_fekete_points_reversed(depth, kappa):
    """`laws.edge_shift`, from a factorisation of the limit's equation, against points that minimise at finite width."""
    law = laws.singular_values(depth, kappa)
    coefficient = law.edge_constant() ** (2.0 / 3.0) * law.support[1] * laws.edge_shift(depth, kappa) / 2.0
    assert coefficient == pytest.approx(shift_of_edge(depth, kappa), rel=2e-4)


def test_moments_of_tracy_and_widom(record):
    published = {1: (-1.2065335745820, 1.607781034581), 2: (-1.7710868074, 0.8131947928329)}
    found = {beta: (law.mean(), law.var()) for beta, law in ((1, FIRST), (2, OTHER))}
    record(**{f"F{beta}": moments for beta, moments in found.items()})
    for beta, moments in published.items():
        assert found[beta] == pytest.approx(moments, rel=0.0, abs=1e-8)


# --- the shift of the edge --------------------------------------------------------------------------------------------


def largest_fekete_point(depth, kappa, width):
    """The largest σ at the maximum of Π λ_k^q p(λ), β = d, by Newton's method in u = log λ."""
    c = 0.5 / kappa
    q = c * (2.0 * depth - 1.0) + 1.0 - c
    u = laws.singular_values(depth, kappa).log_ppf((np.arange(width) + 0.5) / width) / depth
    for _ in range(100):
        gradient, hessian = width * c * 2.0 * depth * np.exp(2.0 * depth * u) - q, np.zeros((width, width))
        for strength, rate in ((c, 2.0 * depth), (1.0 - c, 2.0)):  # log |y_k − y_l| and log |x_k − x_l|
            difference = rate * (u[:, None] - u) + np.diag(np.ones(width))
            away = np.where(np.eye(width, dtype=bool), 0.0, -1.0 / np.expm1(-difference))
            gradient -= strength * rate * away.sum(axis=1)
            hessian -= strength * rate**2 * away * (away - 1.0)
        hessian += np.diag(width * c * (2.0 * depth) ** 2 * np.exp(2.0 * depth * u) - hessian.sum(axis=1))
        step = np.linalg.solve(hessian, -gradient)
        closing = -np.diff(step) / np.diff(u)
        u = u + step * min(1.0, 0.7 / max(closing.max(), 1e-300))  # neighbours keep their order
        if np.max(np.abs(step)) < 1e-12:
            return math.exp(depth * u[-1])
    raise AssertionError(f"no Fekete points found: depth {depth}, kappa {kappa}, width {width}")


def shift_of_edge(depth, kappa):
    """The coefficient of d^{−1/3} in the mean of the largest singular value, scaled: minus that of Fekete points.

    Theirs tend to the first zero of Airy's function, with corrections in powers of d^{−1/3}.
    """
    law = laws.singular_values(depth, kappa)
    widths = np.array([40, 57, 80, 113, 160, 226, 320])
    largest = [laws.at_soft_edge(largest_fekete_point(depth, kappa, width), law, width) for width in widths]
    h = widths ** (-1.0 / 3.0)
    coefficients = np.linalg.lstsq(h[:, None] ** np.arange(1, 6), np.array(largest) - ai_zeros(1)[0], rcond=None)[0]
    return -float(coefficients[0])


@pytest.mark.parametrize(("depth", "kappa"), [(1.0, 0.8), (2.0, 0.5), (3.0, 0.5)])
def test_the_shift_of_the_edge_is_the_one_of_wishart_matrices(depth, kappa, record):
    """There y is that of a Wishart matrix of d + α and d rows, α = 1/N − 1: d + α − ½ and d − ½ centre it.

    Source: Johnstone and Ma 2012, Fast approach to the Tracy–Widom law at the edge of GOE and GUE; Ma 2012.
    """
    shift, known = shift_of_edge(depth, kappa), -math.cbrt(32.0) * (0.5 - 0.25 / depth)
    record(shift=shift, known=known)
    assert shift == pytest.approx(known, rel=1e-3)


# --- Tracy–Widom ------------------------------------------------------------------------------------------------------


def test_the_edge_of_the_matrix_model_with_the_known_shift(record):
    shapes = {width: exactly(HALF, width, paths) for width, paths in ((32, 60_000), (64, 50_000), (128, 40_000))}
    tracy_widom_is_the_limit(HALF, shapes, record, accuracy=0.015)


def test_the_edge_at_kappa_one_of_small_widths(record):
    shapes = {width: simulated(ONE, width, paths, 24.0) for width, paths in ((16, 512), (32, 256))}
    tracy_widom_is_the_limit(ONE, shapes, record, accuracy=0.06)


@pytest.mark.slow
def test_the_edge_of_the_matrix_model(record):
    plan = {32: 450_000, 64: 450_000, 128: 100_000, 256: 40_000, 512: 40_000, 1024: 3000, 2048: 1000}
    shapes = {width: exactly(HALF, width, paths) for width, paths in plan.items()}
    tracy_widom_is_the_limit(HALF, shapes, record, free=True)


@pytest.mark.slow
def test_the_edge_at_kappa_one(record):
    plan = {32: (512, 16.0), 64: (192, 20.0), 128: (96, 20.0)}
    shapes = {width: simulated(ONE, width, *settings) for width, settings in plan.items()}
    tracy_widom_is_the_limit(ONE, shapes, record)


# --- the bulk ---------------------------------------------------------------------------------------------------------

RATIO = 0.5307  # of neighbouring gaps, GOE (Atas, Bogomolny, Giraud and Roux 2013); the 3 × 3 surmise has 0.5359
WITHIN = 0.002


def has_the_ratio(estimate):
    assert ERRORS * estimate.error < WITHIN
    return abs(estimate.value - RATIO) < WITHIN


@pytest.mark.parametrize(("width", "paths"), [(32, 80_000), (128, 20_000)])
def test_spacing_ratio_of_the_matrix_model(width, paths, record):
    """In σ, the middle half of the ranks. The control is the unitary class: Dyson Brownian motion at κ = 1."""
    network = HALF.changed(width=width, beta=float(width))
    unitary = dlnmc.DysonBrownianMotion(size=width, beta=float(width), kappa=1.0)
    sigma, x = (dlnmc.exact(model, paths=paths, seed=7) for model in (network, unitary))
    ratio = mean_over_paths(spacing_ratio(sigma["singular_values"]))
    control = mean_over_paths(spacing_ratio(x["eigenvalues"]))
    record(ratio=ratio, control=control)
    assert has_the_ratio(ratio)
    assert not has_the_ratio(control)
    assert not has_the_ratio(Estimate(laws.SpacingRatioSurmise(1).mean(), ratio.error))


@pytest.mark.slow
@pytest.mark.parametrize("kappa", [0.5, 1.0, 2.0])
def test_spacing_ratio_of_the_network(kappa, record):
    model = dlnmc.DeepLinearNetwork(width=128, depth=3.0, beta=128.0, kappa=kappa)
    settings = {"paths": 48, "duration": 16.0, "observations": 512, "keep_samples": False, "seed": 8}
    tree = dlnmc.equilibrium(model, scheme="hmc", **settings)
    ratio = mean_over_paths(tree["spacing/ratio_middle"])
    record(kappa=kappa, ratio=ratio, acceptance=float(tree["sampler/acceptance"].mean()))
    assert has_the_ratio(ratio)
