"""The drift by entropy where it is the whole interaction, or where differences of powers cancel: κ small, or tamed.

It is smooth: ∂S/∂λ_k = Σ_l λ_k ∂_{x_k} log Σ_s x_k^{N−s} x_l^{s−1} (model.md, section 5), which mpmath evaluates.
"""

import mpmath
import numpy as np
import pytest
from kernel_tools import NO_TAMING, kernel_drift

from dlnmc_kernels.energies import Quadratic
from dlnmc_kernels.lanes import WIDTH
from dlnmc_kernels.singular_values import COLD, Lambda, LogSigma, Sigma, smallest_gap

BETA = 2.0
GAPS = np.array([0.0, 1e-14, 1e-12, 1e-10, 1e-8, 1e-6, 1e-4, 1e-3])  # relative
WHOLE_DEPTHS = [2, 3, 8, 30]


def entropic_force(lam, depth):
    """∂S/∂λ for a whole depth, by the sum."""
    x, forces = [mpmath.mpf(float(v)) ** 2 for v in lam], []
    for k, x_k in enumerate(x):
        force = mpmath.mpf(0)
        for x_l in x[:k] + x[k + 1 :]:
            total = mpmath.fsum(x_k ** (depth - s) * x_l ** (s - 1) for s in range(1, depth + 1))
            slope = mpmath.fsum((depth - s) * x_k ** (depth - s - 1) * x_l ** (s - 1) for s in range(1, depth))
            force += 2 * mpmath.sqrt(x_k) * slope / total
        forces.append(float(force / 2))
    return forces


def entropic_force_by_differences(lam, depth):
    """∂S/∂λ for any depth and unequal λ, as in model.md, section 1."""
    lam, n, forces = [mpmath.mpf(float(v)) for v in lam], mpmath.mpf(depth), []
    for k, a in enumerate(lam):
        others = lam[:k] + lam[k + 1 :]
        terms = [n * a ** (2 * n - 1) / (a ** (2 * n) - b ** (2 * n)) - a / (a * a - b * b) for b in others]
        forces.append(float(mpmath.fsum(terms)))
    return forces


def drift_by_entropy(lam, depth):
    """1/(βN) ∂S/∂λ of all columns."""
    with mpmath.workdps(60):
        force = entropic_force if isinstance(depth, int) else entropic_force_by_differences
        return np.column_stack([force(column, depth) for column in lam.T]) / (BETA * depth)


def close_pairs(gaps=GAPS):
    """Columns of three components, of which the upper two are at these relative gaps."""
    lam = np.repeat([[0.4], [0.7], [0.7]], WIDTH, axis=1)
    lam[2] *= 1.0 + gaps
    return lam


def cold(depth, kappa=0.0):
    return Lambda(float(depth), BETA, kappa, Quadratic(0.0))


# --- κ = 0 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dt", [NO_TAMING, 1e-2])
@pytest.mark.parametrize("depth", WHOLE_DEPTHS)
def test_without_noise_the_drift_is_the_smooth_function_at_any_gap(depth, dt):
    lam = close_pairs()
    assert kernel_drift(cold(depth), lam, dt) == pytest.approx(drift_by_entropy(lam, depth), rel=1e-13)
    in_sigma = kernel_drift(Sigma(float(depth), BETA, 0.0, Quadratic(0.0)), lam**depth, dt)
    assert in_sigma == pytest.approx(depth * lam ** (depth - 1) * drift_by_entropy(lam, depth), rel=1e-12)


@pytest.mark.parametrize("depth", [1.001, 1.5, 3.7, 100.5])
def test_without_noise_the_drift_is_the_smooth_function_at_depths_that_are_not_whole_too(depth):
    lam = close_pairs(np.where(GAPS > 0.0, GAPS, 1e-2))
    assert kernel_drift(cold(depth), lam) == pytest.approx(drift_by_entropy(lam, depth), rel=1e-12)


@pytest.mark.parametrize("depth", WHOLE_DEPTHS)
def test_equal_singular_values_feel_exactly_what_the_limit_of_the_sum_says(depth):
    # ∂S/∂λ = (N−1)/(2λ) for each other component that is equal.
    lam = np.repeat(np.linspace(0.2, 1.5, WIDTH)[None], 4, axis=0)
    expected = 3.0 * (depth - 1.0) / (2.0 * lam) / (BETA * depth)
    assert kernel_drift(cold(depth), lam) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("depth", WHOLE_DEPTHS)
def test_a_small_component_feels_its_small_drift_to_full_relative_accuracy(depth):
    # It is λ_k Σ 1/λ_l² to leading order for N > 2: what decides how fast a network leaves a small start.
    lam = close_pairs(np.full(WIDTH, 0.2))
    lam[0] = [0.3, 1e-2, 1e-4, 1e-8, 1e-16, 1e-50, 1e-100, 1e-140]
    assert kernel_drift(cold(depth), lam) == pytest.approx(drift_by_entropy(lam, depth), rel=1e-12, abs=1e-300)


@pytest.mark.parametrize("depth", WHOLE_DEPTHS)
def test_a_singular_value_that_is_zero_stays_zero_without_noise(depth):
    lam = close_pairs()
    lam[0] = 0.0
    f = kernel_drift(cold(depth), lam, 1e-3)
    assert np.abs(f[0]).max() < 1e-100
    assert f == pytest.approx(drift_by_entropy(lam, depth), rel=1e-12, abs=1e-100)


def test_a_sum_of_two_reciprocals_would_not_do():
    # The control: in double precision the two sums of the drift cancel to nothing at small gaps (model.md, section 5).
    lam, depth = close_pairs(np.full(WIDTH, 1e-9)), 3
    a, b = lam[2], lam[1]
    by_differences = depth * a ** (2 * depth - 1) / (a ** (2 * depth) - b ** (2 * depth)) - a / (a * a - b * b)
    assert np.abs(by_differences - (depth - 1) / (2.0 * a)).min() > 0.1


# --- small κ ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", WHOLE_DEPTHS)
def test_weak_noise_adds_only_its_repulsion_tamed_or_not(depth):
    # (κ/(βN)) Σ 2λ_k/(x_k − x_l), continued linearly to 0 where gaps are below ε.
    lam, kappa = close_pairs(), 1e-6
    for epsilon in (2e-6, 0.0):
        dt = BETA * depth / (2.0 * kappa) * (epsilon / 0.4) ** 2 if epsilon else NO_TAMING
        repulsion = (kernel_drift(cold(depth, kappa), lam, dt) - drift_by_entropy(lam, depth)) * BETA * depth / kappa
        between = lam[:, None] - lam
        limit = max(smallest_gap(depth, BETA, kappa, dt), 1e-300)
        inverse_gap = between / np.maximum(between**2, limit**2)
        expected = inverse_gap * (2.0 * lam[:, None] / (lam[:, None] + lam))
        # Rounding of the entropic part, over κ; and that of a difference of squares.
        allowed = (
            1e-12 / kappa
            + 1e-5 * np.abs(expected)
            + 2.0**-51 * np.abs(inverse_gap) / np.maximum(np.abs(between), 1e-300)
        )
        assert (np.abs(repulsion - expected.sum(axis=1)) <= allowed.sum(axis=1)).all()


@pytest.mark.parametrize("depth", [1.0, 3.0, 8.0, 30.0])
def test_the_two_ways_to_the_drift_meet_where_kappa_is_no_longer_very_small(depth):
    lam = close_pairs(np.logspace(-2.0, -0.5, WIDTH))
    for dt in (NO_TAMING, 1e-4):
        below, above = (kernel_drift(cold(depth, kappa), lam, dt) for kappa in (COLD * (1.0 - 1e-12), COLD))
        assert above == pytest.approx(below, rel=1e-10, abs=1e-12)


# --- taming -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kappa", [1e-4, 0.1, 1.0])
@pytest.mark.parametrize("depth", WHOLE_DEPTHS)
def test_taming_the_repulsion_leaves_the_drift_by_entropy(depth, kappa):
    # The sum over a pair is free of the singular repulsion; what is left of κ is bounded by κ/(βNλ).
    epsilon = 1e-5
    dt = BETA * depth / (2.0 * kappa) * (epsilon / 0.4) ** 2
    assert smallest_gap(depth, BETA, kappa, dt) == pytest.approx(epsilon)
    lam = close_pairs(np.array([0.0, 1e-7, 1e-6, 3e-6, 1e-5, 1.4e-5, 2e-5, 1e-4]))[1:]
    total = kernel_drift(Lambda(float(depth), BETA, kappa, Quadratic(0.0)), lam, dt).sum(axis=0)
    entropic = drift_by_entropy(lam, depth).sum(axis=0)
    untamed = 2.0 * kappa / (BETA * depth) / lam.sum(axis=0)
    share = (total - entropic) / untamed
    assert share.min() > -1e-4 * depth**2 / kappa
    assert share.max() < 1.0 + 1e-4 * depth**2 / kappa
    assert total == pytest.approx(entropic, rel=1e-4 * depth, abs=1.001 * untamed.max())


@pytest.mark.parametrize("depth", [3.0, 30.0])
def test_near_zero_taming_takes_the_drift_by_entropy_off_too_and_smoothly(depth):
    # Two equal components at λ: (N−1)/(2N) / (βλ) from ε on, faded with λ² below, so that it stays bounded.
    kappa, dt = 1.0, 1e-6
    epsilon = smallest_gap(depth, BETA, kappa, dt)
    heights = np.array([0.0, 1e-3, 0.1, 0.5, 0.999, 1.001, 2.0, 10.0])
    lam = np.repeat(epsilon * heights[None], 2, axis=0)
    f = kernel_drift(Lambda(depth, BETA, kappa, Quadratic(0.0)), lam, dt)
    expected = (depth - 1.0) / (2.0 * depth * BETA) * heights / np.maximum(heights, 1.0) ** 2 / epsilon
    assert f == pytest.approx(np.array([expected, expected]), rel=1e-10, abs=1e-100)


# --- infinite depth -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kappa", [0.0, 1e-3, 0.3])
def test_at_infinite_depth_the_drift_by_entropy_is_exact_at_any_gap(kappa):
    # Σ_l ( y_k/(y_k−y_l) − 1/(2(z_k−z_l)) )/β, ½ where two are equal.
    z = np.repeat([[-2.0], [0.5], [0.5]], WIDTH, axis=1)
    z[2] += GAPS
    expected = np.zeros_like(z)
    with mpmath.workdps(60):
        for column in range(WIDTH):
            values = [mpmath.mpf(float(v)) for v in z[:, column]]
            for k, a in enumerate(values):
                for b in values[:k] + values[k + 1 :]:
                    smooth = mpmath.mpf(1) / 2 if a == b else 1 / (1 - mpmath.exp(2 * (b - a))) - 1 / (2 * (a - b))
                    expected[k, column] += float(smooth) / BETA
    epsilon = 1e-4  # tames all but one gap
    dt = 1e-3 if kappa == 0.0 else BETA / (2.0 * kappa) * (epsilon / 0.4) ** 2
    f = kernel_drift(LogSigma(BETA, kappa, Quadratic(0.0)), z, dt)
    gap = z[:, None] - z
    repulsion = kappa / BETA * gap / np.maximum(gap**2, epsilon**2)
    allowed = 1e-12 if kappa == 0.0 else 2.0 * epsilon * (1.0 + np.abs(repulsion).sum(axis=1))
    assert (np.abs(f - expected - repulsion.sum(axis=1)) <= allowed).all()
