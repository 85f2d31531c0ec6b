"""The law in a quartic potential: normalisation, moments, the variational equation, known cases, Newton's minimiser."""

import math

import numpy as np
import pytest
from scipy.integrate import quad

from dlnmc.laws import Quartic, Semicircle

CASES = [(1.0, 0.0), (0.3, 1.0), (2.0, -1.0), (1.0, -2.0), (1e-8, 1.0)]


@pytest.mark.parametrize(("g", "mu"), CASES)
def test_mass_moments_and_distribution_function_agree_with_quadrature(g: float, mu: float) -> None:
    law = Quartic(g, mu)
    low, high = law.support
    for k in range(7):
        value = quad(lambda x, k=k: law.pdf(x) * x**k, low, high, epsabs=1e-12, limit=200)[0]
        assert law.moment(k) == pytest.approx(value, rel=1e-8, abs=1e-8)
    assert law.moment(0) == pytest.approx(1.0, rel=1e-14)
    x = np.linspace(low, high, 23)
    masses = [quad(law.pdf, low, float(end), epsabs=1e-12, limit=200)[0] for end in x]
    np.testing.assert_allclose(law.cdf(x), masses, atol=1e-8)
    q = np.linspace(0.01, 0.99, 33)
    np.testing.assert_allclose(law.cdf(law.ppf(q)), q, atol=1e-13)


@pytest.mark.parametrize(("g", "mu"), CASES)
def test_it_is_in_equilibrium_in_its_potential(g: float, mu: float) -> None:
    """V'(x) = 2 ⨍ ρ(y)/(x−y) dy: that is (11.8) at rest, in the scale of β = d."""
    law = Quartic(g, mu)
    low, high = law.support
    for x in np.linspace(low, high, 7)[1:-1]:
        value = quad(law.pdf, low, high, weight="cauchy", wvar=float(x), limit=400)[0]  # of ρ(y)/(y − x)
        assert -2.0 * value == pytest.approx(mu * x + g * x**3, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(("g", "mu"), CASES)
def test_the_virial_is_one(g: float, mu: float) -> None:
    """∫ x V'(x) ρ = 1: the limit of E Σ x V' = (d(d−1) + κd)/β at β = d, over d."""
    law = Quartic(g, mu)
    assert mu * law.moment(2) + g * law.moment(4) == pytest.approx(1.0, rel=1e-12)


def test_known_cases() -> None:
    weak, semicircle = Quartic(1e-10, 1.0), Semicircle(2.0)
    x = np.linspace(-1.9, 1.9, 20)
    np.testing.assert_allclose(weak.pdf(x), semicircle.pdf(x), atol=1e-8)
    pure = Quartic(1.0, 0.0)  # a⁴ = 1/3
    assert pure.support[1] == pytest.approx(2.0 * 3.0**-0.25, rel=1e-14)
    critical = Quartic(1.0, -2.0)  # the density is x² √(4 − x²)/(2π): it vanishes where it would split
    assert critical.support == pytest.approx((-2.0, 2.0))
    assert critical.pdf(0.0) == pytest.approx(0.0, abs=1e-15)
    assert critical.pdf(1.0) == pytest.approx(math.sqrt(3.0) / (2.0 * math.pi))


def test_the_minimiser_for_many_values_lies_on_it() -> None:
    """x³ = (2/d) Σ 1/(x_i − x_j) solved by Newton's method: quantiles to within 1/d, and not those of another g."""
    d = 200
    law = Quartic(1.0, 0.0)
    x = law.ppf((np.arange(d) + 0.5) / d)
    for _ in range(30):
        gap = x[:, None] - x + np.diag(np.full(d, np.inf))
        force = -(x**3) + 2.0 / d * np.sum(1.0 / gap, axis=1)
        matrix = -np.diag(3.0 * x**2) - 2.0 / d * (np.diag(np.sum(gap**-2.0, axis=1)) - gap**-2.0)
        x = np.sort(x - np.linalg.solve(matrix, force))
    assert np.max(np.abs(force)) < 1e-9
    rank = (np.arange(d) + 0.5) / d
    assert np.max(np.abs(law.cdf(x) - rank)) < 0.5 / d
    assert np.max(np.abs(Quartic(1.1, 0.0).cdf(x) - rank)) > 0.5 / d


@pytest.mark.parametrize(
    ("g", "mu", "quoted"),
    [(0.0, 0.0, "g .*0.0"), (1.0, -2.1, r"-2\.1"), (1.0, math.nan, "nan"), (1.0, math.inf, "inf")],
)
def test_bad_parameters_are_quoted(g: float, mu: float, quoted: str) -> None:
    with pytest.raises(ValueError, match=quoted):
        Quartic(g, mu)


@pytest.mark.parametrize("k", [-2, 1.5])
def test_a_moment_needs_a_whole_number(k: float) -> None:
    with pytest.raises(ValueError, match=repr(k)):
        Quartic().moment(k)
