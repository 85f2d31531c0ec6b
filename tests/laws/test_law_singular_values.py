"""The laws of singular values against high-precision quadrature, closed moments, and finite minimisers."""

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from dlnmc.laws import DykemaHaagerup, FussCatalan, QuarterCircle, SingularValueLaw

DEPTHS = (1.0, 1.5, 2.0, 3.0, 8.0, 100.0, 1000.0, math.inf)


def law_at_kappa_one(depth: float) -> SingularValueLaw:
    return DykemaHaagerup() if math.isinf(depth) else FussCatalan(depth)


def log_y(depth: float, phi: mp.mpf) -> mp.mpf:
    """The published parametrisations: x(φ) with y = x^N/N, and y(v) at infinite depth."""
    if math.isinf(depth):
        return mp.log(mp.sin(phi) / phi) + phi * mp.cot(phi)
    N = mp.mpf(depth)
    theta = 1 / N
    log_x = (theta + 1) * mp.log(mp.sin((theta + 1) * phi))
    log_x -= mp.log(mp.sin(phi)) + theta * mp.log(mp.sin(theta * phi))
    return N * log_x - mp.log(N)


def mass_per_angle(depth: float, phi: mp.mpf) -> mp.mpf:
    """−ρ dx/dφ from the published density in x, or −ρ dy/dv from that in y."""
    if math.isinf(depth):
        rho = mp.sin(phi) * mp.exp(-phi * mp.cot(phi)) / mp.pi
        return rho * mp.exp(log_y(depth, phi)) * (1 / phi - 2 * mp.cot(phi) + phi / mp.sin(phi) ** 2)
    theta = 1 / mp.mpf(depth)
    s = (theta + 1) * phi
    sin_s = abs(mp.sin(s))  # at the end it may round to the wrong side of 0
    rho = mp.sin(phi) ** 2 * mp.sin(theta * phi) ** (theta - 1) / (mp.pi * sin_s**theta)
    x = sin_s ** (theta + 1) / (mp.sin(phi) * mp.sin(theta * phi) ** theta)
    return rho * x * (mp.cot(phi) + theta**2 * mp.cot(theta * phi) - (theta + 1) ** 2 * mp.cot(s))


def cdf_by_quadrature(depth: float, phi: mp.mpf) -> mp.mpf:
    """The mass beyond `phi`; near the soft edge one minus the mass before it."""
    end = mp.pi / (1 + 1 / mp.mpf(depth))
    if phi < end / 2:
        return 1 - mp.quad(lambda p: mass_per_angle(depth, p), [0, phi])
    return mp.quad(lambda p: mass_per_angle(depth, p), [phi, end])


@pytest.mark.parametrize("depth", DEPTHS)
def test_cdf_agrees_with_quadrature_of_the_published_density_to_1e_10(depth: float) -> None:
    law = law_at_kappa_one(depth)
    fractions = ("1e-7", "1e-3", "0.2", "0.6", "0.97", "0.9999", "0.999999999")
    with mp.workdps(30):
        end = mp.pi / (1 + 1 / mp.mpf(depth))
        angles = [mp.mpf(f) * end for f in fractions]
        sigma = [float(mp.exp(log_y(depth, phi) / 2)) for phi in angles]
        expected = [float(cdf_by_quadrature(depth, phi)) for phi in angles]
        log_sigma = [float(log_y(depth, phi) / 2) for phi in angles]
    visible = [i for i, s in enumerate(sigma) if s > 0.0]
    assert len(visible) >= 5
    np.testing.assert_allclose(law.cdf([sigma[i] for i in visible]), [expected[i] for i in visible], atol=1e-12)
    # quantiles of log σ, also where σ underflows; 1 − 1e-16 leaves no more than 1e-10 at the soft edge
    np.testing.assert_allclose(law.log_ppf(expected), log_sigma, rtol=1e-11, atol=1e-10)


@pytest.mark.parametrize("depth", DEPTHS)
def test_pdf_agrees_with_the_published_density(depth: float) -> None:
    law = law_at_kappa_one(depth)
    with mp.workdps(30):
        end = mp.pi / (1 + 1 / mp.mpf(depth))
        for fraction in ("0.001", "0.1", "0.5", "0.9"):
            phi = mp.mpf(fraction) * end
            sigma = mp.exp(log_y(depth, phi) / 2)
            slope = mp.diff(lambda p: mp.exp(log_y(depth, p) / 2), phi)
            expected = float(-mass_per_angle(depth, phi) / slope)
            assert law.pdf(float(sigma)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("depth", [1.0, 1.5, 2.0, 3.0, 4.0, 8.0, 100.0, math.inf])
@pytest.mark.parametrize("k", [0.5, 1.0, 2.0, 3.0, 6.0])
def test_moments_agree_with_quadrature_of_the_quantiles(depth: float, k: float) -> None:
    law = law_at_kappa_one(depth)
    # q = w³(4 − 3w) flattens the quantile function at both ends
    value, _ = quad(lambda w: law.ppf(w**3 * (4.0 - 3.0 * w)) ** k * 12.0 * w * w * (1.0 - w), 0.0, 1.0, limit=200)
    assert law.moment(k) == pytest.approx(value, rel=1e-7)


@pytest.mark.parametrize("depth", [1, 2, 3, 8])
@pytest.mark.parametrize("m", [0, 1, 2, 5])
def test_even_moments_are_the_binomial_ones(depth: int, m: int) -> None:
    expected = math.comb((depth + 1) * m, m) / ((m + 1) * depth**m)
    assert FussCatalan(depth).moment(2 * m) == pytest.approx(expected, rel=1e-13)


def test_moments_of_infinite_depth_and_their_limits() -> None:
    law = DykemaHaagerup()
    assert [law.moment(2 * m) for m in (1, 2, 3)] == pytest.approx([1 / 2, 4 / 6, 27 / 24], rel=1e-14)
    assert law.moment(0) == 1.0
    assert law.moment(-0.01) == math.inf
    assert FussCatalan(3).moment(-0.5) == math.inf
    assert 1.0 < FussCatalan(3).moment(-0.49) < 60.0
    assert QuarterCircle(2.0).moment(-1) == math.inf
    for depth in (31.0, 1e4, 1e9):
        with mp.workdps(40):
            N, m = mp.mpf(depth), mp.mpf("3.65")
            exact = mp.gammaprod([(N + 1) * m + 1], [m + 2, N * m + 1]) / N**m
        assert FussCatalan(depth).moment(7.3) == pytest.approx(float(exact), rel=1e-13)


def test_depth_one_is_the_quarter_circle() -> None:
    sigma = np.concatenate([np.logspace(-300, -1, 50), np.linspace(0.0, 2.0, 101)])
    q = np.linspace(0.0, 1.0, 101)
    one, quarter = FussCatalan(1), QuarterCircle(2.0)
    assert one.support == pytest.approx(quarter.support, rel=1e-15)
    np.testing.assert_allclose(one.cdf(sigma), quarter.cdf(sigma), rtol=1e-13)
    np.testing.assert_allclose(one.pdf(sigma), quarter.pdf(sigma), rtol=1e-9, atol=1e-7)
    np.testing.assert_allclose(one.ppf(q), quarter.ppf(q), rtol=1e-12)
    assert [one.moment(k) for k in (-0.5, 1.0, 3.3)] == pytest.approx(
        [quarter.moment(k) for k in (-0.5, 1.0, 3.3)], rel=1e-13
    )


def test_great_depth_tends_to_infinite_depth_at_rate_one_over_depth() -> None:
    q = np.linspace(0.05, 1.0, 96)
    limit = DykemaHaagerup().log_ppf(q)
    coarse, fine = (FussCatalan(N).log_ppf(q) for N in (1e3, 1e4))
    assert np.max(np.abs(fine - limit)) < 0.02
    np.testing.assert_allclose((10.0 * fine - coarse) / 9.0, limit, atol=3e-4)


@settings(deadline=None, max_examples=60)
@given(
    depth=st.one_of(st.floats(1.0, 1e6), st.just(math.inf)),
    q=st.lists(st.floats(1e-200, 1.0 - 1e-9), min_size=1, max_size=20),
)
def test_quantiles_invert_the_cdf_at_any_depth(depth: float, q: list[float]) -> None:
    law = law_at_kappa_one(depth)
    log_sigma = law.log_ppf(sorted(q))
    assert np.all(np.diff(log_sigma) >= -1e-12)  # rounding, for neighbours that differ by an ulp
    visible = log_sigma > -700.0
    np.testing.assert_allclose(law.cdf(np.exp(log_sigma[visible])), np.sort(q)[visible], rtol=1e-11)
    np.testing.assert_allclose(law.log_ppf(law.cdf(np.exp(log_sigma[visible]))), log_sigma[visible], atol=1e-9)


@pytest.mark.parametrize("law", [*map(law_at_kappa_one, DEPTHS), QuarterCircle(1.0)], ids=repr)
def test_ends_of_the_support(law: SingularValueLaw) -> None:
    high = law.support[1]
    assert law.support[0] == 0.0
    assert law.cdf([-1.0, 0.0, high, 9.0]).tolist() == [0.0, 0.0, 1.0, 1.0]
    assert law.ppf([0.0, 1.0]).tolist() == [0.0, high]
    assert law.log_ppf(0.0) == -math.inf
    assert law.pdf([-1.0, high, 9.0]).tolist() == [0.0, 0.0, 0.0]
    assert np.all(np.isnan([law.cdf(math.nan), law.pdf(math.nan)]))
    near = high * (1.0 - np.array([1e-4, 1e-8, 1e-12, 2.3e-16]))
    assert np.all(np.diff(law.cdf(near)) >= -1e-15)
    assert law.cdf(near)[-1] == pytest.approx(1.0, abs=1e-14)
    assert np.all(np.diff(law.pdf(near)) < 0.0)
    assert law.pdf(near)[-1] < 1e-6
    assert np.all(np.isfinite(law.cdf([5e-324, 1e-310, 1e-300, 1e-30])))


def test_density_at_zero_is_finite_at_depth_one_only() -> None:
    assert FussCatalan(1).pdf(0.0) == pytest.approx(2.0 / math.pi)
    assert FussCatalan(1.01).pdf(0.0) == math.inf
    assert DykemaHaagerup().pdf(0.0) == math.inf
    assert QuarterCircle(math.sqrt(2.0)).pdf(0.0) == pytest.approx(4.0 / (math.pi * math.sqrt(2.0)))


def minimiser(d: int, depth: float) -> np.ndarray:
    """The y_k that maximise p(λ) at κ = 1, β = d, by Newton in z = log y, where −log p is convex."""
    c, z = 0.5, 2.0 * np.log(QuarterCircle(2.0).ppf((np.arange(d) + 0.5) / d))
    for _ in range(60):
        half = (z[:, None] - z[None, :]) / 2.0
        np.fill_diagonal(half, np.inf)
        with np.errstate(over="ignore"):
            pair = c * (1.0 + 1.0 / np.tanh(half)) + (1.0 - c) / depth * (1.0 + 1.0 / np.tanh(half / depth))
            stiff = c / np.sinh(half) ** 2 + (1.0 - c) / depth**2 / np.sinh(half / depth) ** 2
        np.fill_diagonal(pair, 0.0)
        force = d * c * np.exp(z) - pair.sum(axis=1) / 2.0
        step = np.linalg.solve(np.diag(stiff.sum(axis=1) / 4.0 + d * c * np.exp(z)) - stiff / 4.0, force)
        closing = np.diff(step) / np.diff(z)
        z -= step * min(1.0, 0.5 / np.max(np.abs(closing)))
        if np.max(np.abs(step)) < 1e-10:
            return np.exp(z)
    raise AssertionError("Newton's method did not converge")


@pytest.mark.parametrize("depth", [1.5, 3.7, 12.0])
def test_minimisers_tend_to_the_law_and_not_to_its_neighbour(depth: float) -> None:
    y = [minimiser(d, depth) for d in (40, 80, 160)]
    law, wrong = FussCatalan(depth), FussCatalan(1.03 * depth)
    for m in (1, 2):
        coarse, middle, fine = (float(np.mean(v**m)) for v in y)
        extrapolated = (8.0 * fine - 6.0 * middle + coarse) / 3.0  # powers 1/d and 1/d²
        assert law.moment(2 * m) == pytest.approx(extrapolated, abs=2e-6)
        assert abs(wrong.moment(2 * m) - extrapolated) > 1e-3
