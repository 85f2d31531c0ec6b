"""The semicircle law of the DLN at every depth and κ: against closed laws, finite minimisers, and its own equation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnmc import laws
from dlnmc.laws import (
    DykemaHaagerup,
    FussCatalan,
    Gapped,
    HardEdge,
    QuarterCircle,
    SingularValueLaw,
    critical_kappa,
    gapped,
    hard_edge,
    singular_values,
    wiener_hopf,
)

Q = np.concatenate([np.logspace(-12, -2, 200), np.linspace(0.01, 0.99, 400), 1.0 - np.logspace(-2, -7, 100)])
GENERAL = [(3.0, 0.75), (5.0, 2.0), (2.0, 0.3), (8.0, 0.05), (math.inf, 0.3), (math.inf, 3.0), (1.5, 0.46), (1.5, 0.1)]


def mean_of_y(depth: float, kappa: float) -> float:
    return 0.5 * (1.0 + (2.0 * kappa - 1.0) / depth)


def closed(depth: float) -> SingularValueLaw:
    return DykemaHaagerup() if math.isinf(depth) else FussCatalan(depth)


# --- closed laws ----------------------------------------------------------------------------------------------------

CLOSED = [
    *[(HardEdge(N, 1.0), closed(N)) for N in (1.0, 1.01, 1.5, 2.0, 3.0, 8.0, 1e3, 1e9, math.inf)],
    (HardEdge(1.0, 0.03), QuarterCircle(2.0 * math.sqrt(0.03))),
    (HardEdge(1.0, 7.0), QuarterCircle(2.0 * math.sqrt(7.0))),
    *[(HardEdge(N, 0.5), QuarterCircle(math.sqrt(2.0))) for N in (1.0, 1.5, 2.0, 8.0, math.inf)],
]


@pytest.mark.parametrize(("law", "exact"), CLOSED, ids=repr)
def test_the_general_law_is_the_closed_one_to_1e_11_where_there_is_one(
    law: SingularValueLaw, exact: SingularValueLaw
) -> None:
    sigma = exact.ppf(Q)
    sigma = sigma[sigma > 1e-280]
    assert law.support == pytest.approx(exact.support, rel=1e-13)
    assert law.edge_constant() == pytest.approx(exact.edge_constant(), rel=1e-13)
    assert law.hard_edge_exponent == pytest.approx(exact.hard_edge_exponent, abs=1e-14)
    np.testing.assert_allclose(law.cdf(sigma), exact.cdf(sigma), rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(law.ppf(Q), exact.ppf(Q), rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(law.log_ppf(Q), exact.log_ppf(Q), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(law.pdf(sigma), exact.pdf(sigma), rtol=1e-8)
    worst = max(np.max(np.abs(law.cdf(sigma) - exact.cdf(sigma))), np.max(np.abs(law.ppf(Q) - exact.ppf(Q))))
    assert worst <= law.error < 1e-10
    for k in (-0.9 * exact.hard_edge_exponent, 0.0, 0.7, 1.0, 2.0, 9.0):
        assert law.moment(k) == pytest.approx(exact.moment(k), rel=1e-11)
    assert law.moment(-2.001 * exact.hard_edge_exponent - 1e-9) == math.inf


@pytest.mark.parametrize("depth", [1.3, 2.0, 2.1, 4.0, 1e3, math.inf])
def test_the_law_is_continuous_through_one_half(depth: float) -> None:
    low, middle, high = (singular_values(depth, 0.5 + h).ppf(Q) for h in (-1e-7, 0.0, 1e-7))
    np.testing.assert_allclose(low, middle, atol=1e-6)
    np.testing.assert_allclose((low + high) / 2.0, middle, atol=1e-8)
    assert np.max(np.abs(high - low)) > 1e-8


def test_great_depths_tend_to_infinite_depth() -> None:
    for kappa in (0.2, 0.49, 0.51, 4.0):
        limit = singular_values(math.inf, kappa).ppf(Q)
        assert np.max(np.abs(singular_values(1e8, kappa).ppf(Q) - limit)) < 1e-6
        np.testing.assert_allclose(singular_values(1e16, kappa).ppf(Q), limit, rtol=1e-11)


@pytest.mark.parametrize("depth", [1.5, 3.0, math.inf])
@pytest.mark.parametrize("kappa", [1e-4, 1e-8, 1e-12, 1e-30])
def test_small_kappa_tends_to_a_semicircle_about_the_minimiser_of_the_free_energy(depth: float, kappa: float) -> None:
    law, shrink = Gapped(depth, kappa), 1.0 - 1.0 / depth
    h = math.sqrt(48.0 * kappa / (shrink * (4.0 + shrink)))
    q = np.array([0.1, 0.5, 0.7])
    t = (law.log_ppf(q) - 0.5 * math.log(shrink / 2.0)) / (h / 2.0)
    np.testing.assert_allclose(t, laws.Semicircle(1.0).ppf(q), atol=4.0 * math.sqrt(kappa) + 1e-15 / h)
    assert law.moment(2) == pytest.approx(mean_of_y(depth, kappa), rel=1e-13)
    assert law.cdf(0.9 * law.support[0]) == 0.0
    assert law.cdf(law.support[1]) == 1.0


# --- where the gap opens --------------------------------------------------------------------------------------------


def test_the_critical_kappa() -> None:
    assert [critical_kappa(N) for N in (1.0, 2.0, 2.5, math.inf)] == [0.0, 0.5, 0.5, 0.5]
    assert critical_kappa(1.5) == pytest.approx(4.0 / 9.0, rel=1e-14)
    depths = np.linspace(1.001, 1.999, 40)
    assert np.all(np.diff([critical_kappa(N) for N in depths]) > 0.0)
    assert critical_kappa(1.001) < 0.003
    assert critical_kappa(1.999) > 0.4999998
    with pytest.raises(ValueError, match=r"depth .* 0\.9"):
        critical_kappa(0.9)


def density_without_gap(depth: float, kappa: float, delta: np.ndarray) -> np.ndarray:
    """The solution on the half line, a density only where it is positive."""
    z, weights = wiener_hopf.inverse_laplace(24)
    factor = wiener_hopf.Factor(depth, kappa, 1e-3)
    return np.imag(np.exp(factor.log_moment(z / delta[:, None])) @ weights) / delta


@pytest.mark.parametrize("depth", [1.3, 2.0, 3.0, math.inf])
def test_without_a_gap_the_density_would_be_negative_below_the_critical_kappa_and_only_there(depth: float) -> None:
    delta = np.linspace(0.1, 25.0, 500)
    critical = critical_kappa(depth)
    assert np.min(density_without_gap(depth, critical + 1e-3, delta)) > 0.0
    assert np.min(density_without_gap(depth, 0.7 * critical, delta)) < -1e-8
    assert isinstance(singular_values(depth, 0.7 * critical), Gapped)
    assert isinstance(singular_values(depth, critical + 1e-3), HardEdge)


@pytest.mark.parametrize("depth", [1.5, 2.0])
def test_a_gap_too_narrow_to_resolve_changes_nothing(depth: float) -> None:
    wide, narrow = 0.9 * critical_kappa(depth), critical_kappa(depth)
    while narrow - wide > 1e-9:
        kappa = 0.5 * (wide + narrow)
        wide, narrow = (kappa, narrow) if gapped.has_gap(depth, kappa) else (wide, kappa)
    with_gap, without = Gapped(depth, wide), HardEdge(depth, narrow)
    assert 0.0 < with_gap.support[0] < 1e-32
    np.testing.assert_allclose(with_gap.ppf(Q), without.ppf(Q), atol=1e-8)
    assert with_gap.hard_edge_exponent == without.hard_edge_exponent == math.inf
    assert np.all(np.diff(without.log_ppf(np.logspace(-300, -1, 300))) > 0.0)
    with pytest.raises(ValueError, match=f"{wide!r}"):
        HardEdge(depth, wide)
    with pytest.raises(ValueError, match=f"{narrow!r}"):
        Gapped(depth, narrow)


# --- the condition of equilibrium, and finite minimisers ------------------------------------------------------------


def potential(law: SingularValueLaw, depth: float, kappa: float, log_y: np.ndarray, q: np.ndarray) -> np.ndarray:
    """y/(2κ) − ∫ [c₁ log|y − y'| + c₂ log|y^{1/N} − y'^{1/N}|] dμ(y') at log y of probability q.

    By tanh-sinh quadrature on both sides of q; log at infinite depth, up to constants everywhere.
    """
    t = np.linspace(-3.3, 3.3, 331)
    u = 0.5 * (1.0 + np.tanh(0.5 * np.pi * np.sinh(t)))
    weights = 0.25 * np.pi * np.cosh(t) / np.cosh(0.5 * np.pi * np.sinh(t)) ** 2 * (t[1] - t[0])
    c1 = 0.5 / kappa
    result = c1 * np.exp(log_y)
    for i, (z, p) in enumerate(zip(log_y, q, strict=True)):
        for mass, at in ((p, p * u), (1.0 - p, 1.0 - (1.0 - p) * u)):
            inside = (at > 0.0) & (at < 1.0)
            other = 2.0 * law.log_ppf(at[inside])
            gap = np.maximum(np.abs(z - other), 1e-300)
            top = np.maximum(z, other)
            first = top + np.log(-np.expm1(-gap))
            second = np.log(gap) if math.isinf(depth) else top / depth + np.log(-depth * np.expm1(-gap / depth))
            result[i] -= mass * np.sum(weights[inside] * (c1 * first + (1.0 - c1) * second))
    return result


@pytest.mark.parametrize(("depth", "kappa"), [*GENERAL, (2.0, 0.499), (4.0, 30.0), (1.01, 0.1)])
def test_the_potential_is_constant_on_the_support_and_greater_beyond(depth: float, kappa: float) -> None:
    law = singular_values(depth, kappa)
    q = np.array([0.03, 0.2, 0.5, 0.8, 0.97])
    inside = potential(law, depth, kappa, 2.0 * law.log_ppf(q), q)
    scale = max(1.0, 0.5 / kappa)
    np.testing.assert_allclose(inside, inside[0], atol=1e-9 * scale)
    low, high = law.support
    for factor in (1.1, 1.5, 3.0):
        above = potential(law, depth, kappa, 2.0 * np.log(high * np.array([factor])), np.ones(1))
        assert above[0] > inside[0] + 1e-4
        if low > 1e-3:
            below = potential(law, depth, kappa, 2.0 * np.log(low / np.array([factor])), np.zeros(1))
            assert below[0] > inside[0] + 1e-9
    wrong = singular_values(depth, 1.01 * kappa)
    assert np.ptp(potential(wrong, depth, kappa, 2.0 * wrong.log_ppf(q), q)) > 1e-4


def minimiser(d: int, depth: float, kappa: float, start: SingularValueLaw) -> np.ndarray:
    """The ascending log y_k that maximise p at β = d as a density of log y, by Newton's method."""
    c1, z = 0.5 / kappa, 2.0 * start.log_ppf((np.arange(d) + 0.5) / d)
    c2 = 1.0 - c1
    for _ in range(60):
        tau = z[:, None] - z
        np.fill_diagonal(tau, 1.0)
        pair = c1 / -np.expm1(-tau) + c2 * (1.0 / tau if math.isinf(depth) else -1.0 / depth / np.expm1(-tau / depth))
        stiff = c1 / (4.0 * np.sinh(tau / 2.0) ** 2)
        stiff += c2 * (1.0 / tau**2 if math.isinf(depth) else 1.0 / (2.0 * depth * np.sinh(tau / 2.0 / depth)) ** 2)
        np.fill_diagonal(pair, 0.0)
        np.fill_diagonal(stiff, 0.0)
        force = d * c1 * np.exp(z) - pair.sum(axis=1) - 0.5 / depth
        step = np.linalg.solve(np.diag(stiff.sum(axis=1) + d * c1 * np.exp(z)) - stiff, force)
        z -= step * min(1.0, 0.5 / np.max(np.abs(np.diff(step) / np.diff(z))))
        if np.max(np.abs(step)) < 1e-10:
            return z
    raise AssertionError("Newton's method did not converge")


@pytest.mark.parametrize(("depth", "kappa"), [(3.0, 0.75), (5.0, 2.0), (2.0, 0.3), (8.0, 0.05), (math.inf, 0.3)])
def test_minimisers_tend_to_the_law_and_not_to_its_neighbour(depth: float, kappa: float) -> None:
    law, wrong = singular_values(depth, kappa), singular_values(depth, 1.01 * kappa)
    q = np.linspace(0.1, 0.9, 9)
    start = singular_values(depth, 1.2 * kappa)
    sigma, mean = [], []
    for d in (80, 160, 320):
        found = np.exp(minimiser(d, depth, kappa, start) / 2.0)
        sigma.append(np.interp(q, (np.arange(d) + 0.5) / d, found))
        mean.append(float(np.mean(found)))
    coarse, middle, fine = sigma
    limit = (8.0 * fine - 6.0 * middle + coarse) / 3.0  # powers 1/d and 1/d²
    np.testing.assert_allclose(law.ppf(q), limit, atol=3e-5)
    assert np.max(np.abs(wrong.ppf(q) - limit)) > 3e-4
    assert law.moment(1) == pytest.approx((8.0 * mean[2] - 6.0 * mean[1] + mean[0]) / 3.0, abs=1e-3)


# --- what every law must satisfy ------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    depth=st.one_of(st.floats(1.02, 3.0), st.floats(1.0, 12.0).map(math.exp), st.just(math.inf)),
    kappa=st.one_of(st.floats(-18.0, 6.0).map(math.exp), st.floats(0.4, 0.6)),
)
def test_every_depth_and_kappa_has_a_consistent_law(depth: float, kappa: float) -> None:
    law = singular_values(depth, kappa)
    assert law.error < 1e-9 * max(1.0, law.support[1])
    sigma = law.ppf(Q)
    assert np.all(np.diff(sigma) >= 0.0)
    seen = sigma > 1e-290
    rounding = 1e-15 * np.max(law.pdf(sigma[seen]) * sigma[seen])
    np.testing.assert_allclose(law.cdf(sigma[seen]), Q[seen], atol=1e-13 + 4.0 * rounding)
    assert law.moment(0) == pytest.approx(1.0, rel=1e-12)
    assert law.moment(2) == pytest.approx(mean_of_y(depth, kappa), rel=1e-10)
    nodes, weights = np.polynomial.legendre.leggauss(300)
    u = 0.5 * (1.0 + nodes)
    flat, slope = u**3 * (10.0 - 15.0 * u + 6.0 * u * u), 15.0 * (u * (1.0 - u)) ** 2
    for k in (1.0, 2.0, 5.0):
        assert np.sum(weights * slope * law.ppf(flat) ** k) == pytest.approx(law.moment(k), rel=1e-8)
    # the integral of the density over log σ, between two quantiles
    low, high = law.log_ppf(0.05), law.log_ppf(0.95)
    if low > -600.0:
        panels = np.linspace(low, high, 41)
        half = (panels[1] - panels[0]) / 2.0
        points = np.exp(panels[:-1, None] + half * (1.0 + nodes[None, :]))
        assert half * np.sum(law.pdf(points) * points @ weights) == pytest.approx(0.9, abs=1e-8 + 2.0 * rounding)


@pytest.mark.parametrize("law", [*[singular_values(*at) for at in GENERAL], closed(3.0), closed(math.inf)], ids=repr)
def test_the_edges(law: SingularValueLaw) -> None:
    low, high = law.support
    near = 1e-7 * high
    assert law.pdf(high - near) == pytest.approx(law.edge_constant() / math.pi * math.sqrt(near), rel=1e-5)
    assert law.cdf([-1.0, low, high, 9.0 * high]).tolist() == [0.0, 0.0, 1.0, 1.0]
    assert law.pdf([-1.0, high, 9.0 * high]).tolist() == [0.0, 0.0, 0.0]
    assert law.ppf([0.0, 1.0]).tolist() == [low, high]
    assert law.log_ppf(0.0) == (math.log(low) if low > 0.0 else -math.inf)
    assert law.log_ppf(1.0) == pytest.approx(math.log(high), abs=1e-15)
    assert np.all(np.isfinite(law.cdf([5e-324, 1e-310, 1e-300, high * (1.0 - 1e-16)])))
    p = law.hard_edge_exponent
    if low > 0.0:
        assert p == math.inf
        assert law.pdf(low) == law.pdf(0.5 * low) == 0.0
        assert law.moment(-30) > law.moment(-29) * 1.0 / high
    elif p > 0.0:
        slope = np.diff(np.log(law.cdf([1e-60, 1e-50]))) / (10.0 * math.log(10.0))
        assert slope[0] == pytest.approx(2.0 * p, rel=1e-8)
        assert law.pdf(0.0) == (math.inf if p < 0.5 else 0.0 if p > 0.5 else pytest.approx(4.0 / (math.pi * high)))


@pytest.mark.parametrize("law", [HardEdge(2.0, 0.5), HardEdge(1.0, 2.0), singular_values(3.0, 0.5 + 2e-16)])
def test_a_density_that_is_finite_at_0_has_its_limit_there(law: SingularValueLaw) -> None:
    """That of a quarter circle."""
    assert law.hard_edge_exponent == 0.5
    assert law.pdf(0.0) == pytest.approx(4.0 / (math.pi * law.support[1]), rel=1e-12)
    assert law.pdf(0.0) == pytest.approx(law.pdf(1e-12), rel=1e-10)


def test_the_edge_constant_of_the_semicircle() -> None:
    law = laws.eigenvalues()
    assert law.edge_constant() == 1.0
    assert law.pdf(2.0 - 1e-8) == pytest.approx(1e-4 / math.pi, rel=1e-7)


def test_negative_moments_at_depth_below_two() -> None:
    law = singular_values(1.5, 0.46)
    assert law.hard_edge_exponent > 0.5
    logit = np.linspace(-600.0, 36.0, 20_001)
    q = 1.0 / (1.0 + np.exp(-logit))
    for k in (-1.02, -1.0, -0.98, -0.5):
        total = np.sum(q * (1.0 - q) * np.exp(k * law.log_ppf(q))) * (logit[1] - logit[0])
        assert law.moment(k) == pytest.approx(total, rel=1e-7)


def test_a_scalar_gives_what_an_array_gives() -> None:
    for law in (singular_values(3, 0.7), singular_values(3, 0.4)):
        q = np.linspace(1e-5, 0.99999, 40_000)
        sigma = law.ppf(q)
        for function, at in ((law.ppf, q), (law.cdf, sigma), (law.pdf, sigma)):
            assert function(at)[::4999].tolist() == [function(float(v)) for v in at[::4999]]


# --- error estimates ------------------------------------------------------------------------------------------------


def test_the_error_estimate_of_the_hard_edge_covers_the_error_also_when_it_is_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exact = FussCatalan(3.0)
    sigma = exact.ppf(Q)
    for step, least in ((1.0 / 6.0, 1e-11), (1.0 / 3.0, 1e-9)):
        monkeypatch.setattr(hard_edge, "_STEP", step)
        law = HardEdge(3.0, 1.0)
        worst = max(np.max(np.abs(law.cdf(sigma) - exact.cdf(sigma))), np.max(np.abs(law.ppf(Q) - sigma)))
        assert least < worst <= law.error < 100.0 * worst


@pytest.mark.parametrize(("depth", "kappa"), [(2.0, 0.3), (math.inf, 0.45)])
def test_the_error_estimate_of_the_gapped_law_covers_the_error_also_when_it_is_large(
    monkeypatch: pytest.MonkeyPatch, depth: float, kappa: float
) -> None:
    exact = Gapped(depth, kappa)
    sigma = exact.ppf(Q)
    assert exact.error < 1e-12
    monkeypatch.setattr(gapped, "_size", lambda h: 5)
    gapped.half_width.cache_clear()
    law = Gapped(depth, kappa)
    worst = max(np.max(np.abs(law.cdf(sigma) - Q)), np.max(np.abs(law.ppf(Q) - sigma)))
    assert 1e-7 < worst <= law.error
    gapped.half_width.cache_clear()
