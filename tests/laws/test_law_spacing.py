"""Spacing statistics: closed forms, cluster functions, small and tridiagonal random matrices."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.linalg import eigvalsh_tridiagonal
from scipy.special import sici
from statistical import FALSE_ALARM, POWER, distance, distance_of_laws, envelope

from dlnmc import laws

MEANS = {1: 4.0 - 2.0 * math.sqrt(3.0), 2: 2.0 * math.sqrt(3.0) / math.pi - 0.5,
         4: 32.0 * math.sqrt(3.0) / (15.0 * math.pi) - 0.5}  # fmt: skip
NORMS = {1: 8.0 / 27.0, 2: 4.0 * math.pi / (81.0 * math.sqrt(3.0)), 4: 4.0 * math.pi / (729.0 * math.sqrt(3.0))}


@pytest.mark.parametrize("beta", [1, 2, 4])
def test_surmise_of_spacing_ratios_has_the_published_density_and_mean(beta):
    law = laws.SpacingRatioSurmise(beta)
    r = np.linspace(0.0, 1.0, 9)
    published = 2.0 / NORMS[beta] * (r + r * r) ** beta / (1.0 + r + r * r) ** (1.0 + 1.5 * beta)
    np.testing.assert_allclose(law.pdf(r), published, rtol=1e-13)
    assert law.mean() == pytest.approx(MEANS[beta], rel=1e-14)


@pytest.mark.parametrize("beta", [0.2, 1.0, 2.5, 40.0])
def test_surmise_of_spacing_ratios_is_consistent(beta):
    law = laws.SpacingRatioSurmise(beta)
    for r in (1e-3, 0.3, 0.9):
        assert law.cdf(r) == pytest.approx(quad(law.pdf, 0.0, r, epsabs=0.0, epsrel=1e-11)[0], rel=1e-9)
    q = np.array([1e-20, 1e-3, 0.4, 0.6, 1.0 - 1e-12])
    np.testing.assert_allclose(law.cdf(law.ppf(q)), q, rtol=1e-13)
    np.testing.assert_allclose(1.0 - law.cdf(law.ppf(q[-1:])), 1.0 - q[-1:], rtol=1e-3)
    assert law.moment(0) == pytest.approx(1.0, rel=1e-12)
    for k in (-0.5, 2.5):
        assert law.moment(k) == pytest.approx(quad(lambda r, k=k: r**k * law.pdf(r), 0.0, 1.0)[0], rel=1e-6)
    assert law.moment(-1.0 - beta) == math.inf


def spacings(b, d, paths, rng):
    """Spacings of eigenvalues of the tridiagonal model with repulsion exponent b, ascending."""
    diagonal = rng.standard_normal((paths, d))
    off_diagonal = np.sqrt(rng.chisquare(b * np.arange(d - 1, 0, -1), (paths, d - 1)) / 2.0)
    if d <= 3:
        matrix = np.zeros((paths, d, d))
        i = np.arange(d)
        matrix[:, i, i] = diagonal
        matrix[:, i[1:], i[:-1]] = off_diagonal
        return np.diff(np.linalg.eigvalsh(matrix), axis=1)
    return np.diff([eigvalsh_tridiagonal(a, c) for a, c in zip(diagonal, off_diagonal, strict=True)], axis=1)


def ratios(s):
    return np.minimum(s[:, 1:], s[:, :-1]) / np.maximum(s[:, 1:], s[:, :-1])


@pytest.mark.parametrize("beta", [1.0, 2.0, 3.3])
def test_surmises_are_exact_for_small_matrices(beta):
    rng, paths = np.random.default_rng(2029), 40_000
    three = ratios(spacings(beta, 3, paths, rng)).ravel()
    two = spacings(beta, 2, paths, rng).ravel()
    cases = [
        (three, laws.SpacingRatioSurmise(beta), laws.SpacingRatioSurmise(1.25 * beta)),
        (two / math.sqrt(2.0), laws.Chi(beta + 1.0, 1.0), laws.Chi(1.15 * beta + 1.0, 1.0)),
    ]
    for sample, law, wrong in cases:
        threshold = envelope(paths, FALSE_ALARM)
        assert distance_of_laws(law, wrong) > threshold + envelope(paths, 1.0 - POWER)
        assert distance(sample, law.cdf) < threshold < distance(sample, wrong.cdf)


def test_wigner_surmise_has_the_published_constants():
    s = np.array([0.2, 1.0, 2.3])
    published = {
        1: math.pi / 2.0 * s * np.exp(-math.pi * s**2 / 4.0),
        2: 32.0 / math.pi**2 * s**2 * np.exp(-4.0 * s**2 / math.pi),
        4: 2.0**18 / (3.0**6 * math.pi**3) * s**4 * np.exp(-64.0 * s**2 / (9.0 * math.pi)),
    }
    for beta, density in published.items():
        law = laws.wigner_surmise(beta)
        np.testing.assert_allclose(law.pdf(s), density, rtol=1e-13)
        assert law.mean() == pytest.approx(1.0, rel=1e-14)


def test_mean_spacing_ratios_of_large_matrices_are_not_those_of_the_surmise():
    assert laws.mean_spacing_ratio(0) == pytest.approx(0.38629436, abs=1e-8)
    for beta, surmise in MEANS.items():
        assert 0.001 < surmise - laws.mean_spacing_ratio(beta) < 0.006


@pytest.mark.slow
@pytest.mark.parametrize("beta", [1, 2, 4])
def test_mean_spacing_ratios_of_tridiagonal_matrices(beta):
    """False-alarm rate 1e-6 over independent matrices; the table is good to 1e-4, the bulk at d = 200 to 2e-4."""
    rng, d = np.random.default_rng(2030), 200
    r = ratios(spacings(beta, d, 20_000, rng)[:, d // 4 : -d // 4]).mean(axis=1)
    threshold = 4.9 * r.std() / math.sqrt(r.size) + 3e-4
    assert abs(r.mean() - laws.mean_spacing_ratio(beta)) < threshold
    assert abs(r.mean() - MEANS[beta]) > threshold


def cluster(beta, r):
    """Dyson's two-level cluster function (Mehta 2004, Random matrices)."""

    def s(x):
        return float(np.sinc(x))

    def slope(x):
        return (math.cos(math.pi * x) - s(x)) / x if x else 0.0

    def integral(x):
        return float(sici(math.pi * x)[0]) / math.pi

    return {
        1: lambda: s(r) ** 2 + slope(r) * (0.5 - integral(r)),
        2: lambda: s(r) ** 2,
        4: lambda: s(2.0 * r) ** 2 - slope(2.0 * r) * integral(2.0 * r),
    }[beta]()


@pytest.mark.parametrize("beta", [1, 2, 4])
def test_number_variance_is_the_integral_of_the_cluster_function(beta):
    lengths = np.array([0.0, 1e-4, 0.5, 1.0, 3.3, 12.0])
    exact = [
        L - 2.0 * quad(lambda r, L=L: (L - r) * cluster(beta, r), 0.0, L, limit=300, epsabs=1e-13)[0] for L in lengths
    ]
    np.testing.assert_allclose(laws.number_variance(lengths, beta), exact, rtol=1e-11, atol=1e-14)
    assert laws.number_variance(3.3, beta) == laws.number_variance(lengths, beta)[4]


def test_number_variance_grows_like_its_logarithm():
    L, gamma = np.array([[2e3, 1e4]]), np.euler_gamma
    logarithm = np.log(2.0 * math.pi * L) + gamma + 1.0
    np.testing.assert_allclose(laws.number_variance(L, 1), 2.0 / math.pi**2 * (logarithm - math.pi**2 / 8.0), atol=1e-6)
    np.testing.assert_allclose(laws.number_variance(L, 2), logarithm / math.pi**2, atol=1e-6)
    symplectic = (logarithm + math.log(2.0) + math.pi**2 / 8.0) / (2.0 * math.pi**2)
    np.testing.assert_allclose(laws.number_variance(L, 4), symplectic, atol=1e-4)
    np.testing.assert_array_equal(laws.number_variance(L, 0), L)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: laws.mean_spacing_ratio(3), "beta must be 0, 1, 2 or 4 .*3"),
        (lambda: laws.number_variance(1.0, 3), "beta must be 0, 1, 2 or 4 .*3"),
        (lambda: laws.number_variance([1.0, -2.0], 1), "L .*-2.0"),
        (lambda: laws.SpacingRatioSurmise(0.0), "beta .*0.0"),
        (lambda: laws.wigner_surmise(-1.0), "beta .*-1.0"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(ask, message):
    with pytest.raises(ValueError, match=message) as caught:
        ask()
    assert "\n" not in str(caught.value)
