"""Free convolutions with the semicircle: moments by free cumulants, quadrature, known cases, gaps, random matrices."""

import math

import numpy as np
import pytest

from dlnmc.laws import FreeConvolution, Semicircle

TWO = (-1.0, 1.0)
SEVEN = (-1.7, -1.0, -0.2, 0.1, 0.4, 1.1, 2.3)
CASES = [(TWO, 0.3), (TWO, 1.0), (TWO, 1.7), (SEVEN, 0.02), (SEVEN, 0.5), ((0.3, 0.3, 0.3), 2.0)]


def moments_by_free_cumulants(atoms: tuple[float, ...], s: float, most: int) -> list[float]:
    """m_n = Σ_k κ_k [z^{n−k}] M(z)^k (Speicher 1994): cumulants of the atoms, the second larger by s."""

    def total(m: list[float], n: int, k: int) -> float:
        power = np.array([1.0])
        for _ in range(k):
            power = np.convolve(power, m)[: n - k + 1]
        return float(power[n - k]) if n - k < len(power) else 0.0

    m, kappa = [1.0], [0.0]
    for n in range(1, most + 1):
        m.append(float(np.mean(np.power(atoms, n))))
        kappa.append(m[n] - sum(kappa[k] * total(m, n, k) for k in range(1, n)))
    kappa[2] += s
    found = [1.0]
    for n in range(1, most + 1):
        found.append(sum(kappa[k] * total([*found, 0.0], n, k) for k in range(1, n + 1)))
    return found


@pytest.mark.parametrize(("atoms", "s"), CASES)
def test_moments_are_those_of_free_cumulants_and_of_quadrature(atoms: tuple[float, ...], s: float) -> None:
    law = FreeConvolution(atoms, s)
    expected = moments_by_free_cumulants(atoms, s, 6)
    assert [law.moment(k) for k in range(7)] == pytest.approx(expected, rel=1e-11, abs=1e-11)
    low, high = law.support
    theta = np.linspace(0.0, math.pi, 20_001)
    x = 0.5 * (low + high) - 0.5 * (high - low) * np.cos(theta)
    density = law.pdf(x) * 0.5 * (high - low) * np.sin(theta)
    for k in range(5):
        assert np.trapezoid(density * x**k, theta) == pytest.approx(expected[k], rel=2e-5, abs=2e-5)


def test_two_atoms_have_the_fourth_moment_of_free_summands() -> None:
    """m_4 = 1 + 4s + 2s² of ±1 and a semicircle: of classical summands it is 1 + 6s + 3s²."""
    assert FreeConvolution(TWO, 0.7).moment(4) == pytest.approx(1.0 + 4 * 0.7 + 2 * 0.49, rel=1e-12)


@pytest.mark.parametrize("atoms", [(0.0,), (0.0, 0.0, 0.0)])
def test_one_atom_gives_the_semicircle(atoms: tuple[float, ...]) -> None:
    law, known = FreeConvolution(atoms, 2.0), Semicircle(2.0 * math.sqrt(2.0))
    x = np.linspace(-2.9, 2.9, 59)
    assert law.support == pytest.approx(known.support, rel=1e-12)
    np.testing.assert_allclose(law.pdf(x), known.pdf(x), atol=1e-12)
    np.testing.assert_allclose(law.cdf(x), known.cdf(x), atol=1e-12)
    np.testing.assert_allclose(law.ppf(known.cdf(x)), np.clip(x, *known.support), atol=1e-7)


def test_its_stieltjes_transform_solves_the_fixed_point_equation() -> None:
    """G_s(z) = G_0(z − s G_s(z)) (Biane 1997)."""
    law = FreeConvolution(SEVEN, 0.5)
    z = 0.4 + 0.3j
    low, high = law.support
    theta = np.linspace(0.0, math.pi, 20_001)
    x = 0.5 * (low + high) - 0.5 * (high - low) * np.cos(theta)
    G = np.trapezoid(law.pdf(x) * 0.5 * (high - low) * np.sin(theta) / (z - x), theta)
    assert np.mean(1.0 / (z - 0.5 * G - np.array(SEVEN))) == pytest.approx(G, rel=1e-5)


def test_two_atoms_stay_apart_until_the_variance_is_their_square() -> None:
    for a in (1.0, 0.3):
        apart, touching, merged = (FreeConvolution((-a, a), f * a * a) for f in (0.99, 1.0, 1.01))
        assert apart.pdf(0.0) == 0.0
        assert apart.cdf(0.0) == 0.5
        assert touching.pdf(0.0) < 1e-4 / a
        # at the merger x = s G… opens like |x|^{1/3}; beyond, v² = s − a² at u = 0
        assert merged.pdf(0.0) == pytest.approx(0.1 * a / (math.pi * 1.01 * a * a), rel=1e-9)


def test_the_cusp_at_the_merger_has_exponent_one_third() -> None:
    """At s = a² x = w³ + O(w⁵) near 0 for a = 1: the density is (√3/2) |x|^{1/3} / π."""
    law = FreeConvolution(TWO, 1.0)
    x = np.array([1e-6, 1e-7])
    np.testing.assert_allclose(law.pdf(x), math.sqrt(3.0) / 2.0 * np.cbrt(x) / math.pi, rtol=2e-4)


@pytest.mark.parametrize(("atoms", "s"), [*CASES, (tuple(np.linspace(-1, 1, 40)), 1e-4), (TWO, 1.0001)])
def test_tabulated_points_are_those_of_halving(atoms: tuple[float, ...], s: float) -> None:
    law = FreeConvolution(atoms, s)
    x = np.linspace(*law.support, 203)[1:-1]
    w = law._halved(x)
    np.testing.assert_allclose(law.pdf(x), w.imag / (math.pi * s), rtol=1e-6, atol=1e-6)  # the cusp takes cube roots
    np.testing.assert_allclose(law.cdf(x), law._probability(w), atol=1e-11)
    q = np.linspace(0.013, 0.987, 41)
    np.testing.assert_allclose(law.cdf(law.ppf(q)), q, atol=1e-11)
    assert np.all(np.diff(law.cdf(x)) >= -1e-12)


def test_far_atoms_are_semicircles_of_their_own() -> None:
    law = FreeConvolution((-100.0, 100.0, 100.0), 0.5)
    assert len(law._bands) == 2
    own = Semicircle(2.0 * math.sqrt(0.5 * 2.0 / 3.0))  # two of three atoms: variance s · 2/3
    assert law.pdf(100.0) == pytest.approx(2.0 / 3.0 * own.pdf(0.0), rel=1e-3)
    assert law.cdf(0.0) == pytest.approx(1.0 / 3.0, abs=1e-12)


def test_eigenvalues_of_a_matrix_with_gaussian_noise_lie_on_it() -> None:
    """One large matrix A + √s GUE: the levels are rigid, so that its distribution function is within a few 1/d."""
    d, s, rng = 200, 0.6, np.random.default_rng(1)
    noise = (rng.normal(size=(d, d)) + 1j * rng.normal(size=(d, d))) / 2.0
    H = np.diag(np.where(np.arange(d) < d // 2, -1.0, 1.0)) + math.sqrt(s / d) * (noise + noise.conj().T)
    x = np.linalg.eigvalsh(H)
    rank = (np.arange(d) + 0.5) / d
    assert np.max(np.abs(FreeConvolution(TWO, s).cdf(x) - rank)) < 4.0 / d
    assert np.max(np.abs(FreeConvolution(TWO, 1.5 * s).cdf(x) - rank)) > 4.0 / d  # and the test can fail


@pytest.mark.parametrize(
    ("atoms", "variance", "quoted"),
    [((), 1.0, "atoms"), ((math.nan,), 1.0, "nan"), ((0.0, math.inf), 1.0, "inf"), ((0.0,), 0.0, "variance .*0.0")],
)
def test_bad_parameters_are_quoted(atoms: tuple[float, ...], variance: float, quoted: str) -> None:
    with pytest.raises(ValueError, match=quoted):
        FreeConvolution(atoms, variance)


@pytest.mark.parametrize("k", [-1, 0.5])
def test_a_moment_needs_a_whole_number(k: float) -> None:
    with pytest.raises(ValueError, match=repr(k)):
        FreeConvolution(TWO, 1.0).moment(k)
