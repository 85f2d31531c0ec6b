"""The laws at the edges: Tracy–Widom against determinants and published digits, Edelman against Gaussian matrices."""

import math
from types import SimpleNamespace as Model

import mpmath
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.linalg import eigvalsh_tridiagonal
from scipy.special import airy
from statistical import FALSE_ALARM, POWER, distance, distance_of_laws, envelope

from dlnmc import laws

BETAS = (1, 2, 4)
# Bornemann 2010 (On the numerical evaluation of distributions in random matrix theory), tables of F_1, F_2, F_4;
# F_4 in the scale of Tracy and Widom 1996: mean, variance, skewness, excess kurtosis.
PUBLISHED = {
    1: (-1.2065335745820, 1.607781034581, 0.29346452408, 0.1652429384),
    2: (-1.771086807411, 0.8131947928329, 0.224084203610, 0.0934480876),
    4: (-2.306884893241, 0.5177237207726, 0.16550949435, 0.0491951565),
}


def unit(beta):
    """The s of Airy's kernel for x = 1."""
    return math.sqrt(2.0) if beta == 4 else 1.0


def determinants(s, nodes=60, length=16.0):
    """F_1, F_2, F_4(s/√2) from the eigenvalues of the kernel Ai(x + y + s) (Ferrari and Spohn 2005; Bornemann 2010)."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    x, w = (x + 1.0) * length / 2.0, w * length / 2.0
    t = np.linalg.eigvalsh(airy(x[:, None] + x + s)[0] * np.sqrt(np.outer(w, w)))
    minus, plus = np.prod(1.0 - t), np.prod(1.0 + t)
    return {1: minus, 2: minus * plus, 4: (minus + plus) / 2.0}


def determinants_in_25_digits(s, nodes=26, length=10):
    """The same, with mpmath: the error of these settings is below 1e-17."""
    with mpmath.workdps(25):
        x, w = [], []
        for start in np.polynomial.legendre.leggauss(nodes)[0]:
            root = mpmath.findroot(lambda t: mpmath.legendre(nodes, t), mpmath.mpf(start))
            slope = nodes * (root * mpmath.legendre(nodes, root) - mpmath.legendre(nodes - 1, root)) / (root**2 - 1)
            x.append((root + 1) * length / 2)
            w.append(length / ((1 - root**2) * slope**2))
        kernel = mpmath.matrix(nodes)
        for i in range(nodes):
            for j in range(i + 1):
                kernel[i, j] = kernel[j, i] = mpmath.airyai(x[i] + x[j] + s) * mpmath.sqrt(w[i] * w[j])
        minus, plus = mpmath.det(mpmath.eye(nodes) - kernel), mpmath.det(mpmath.eye(nodes) + kernel)
        return {1: minus, 2: minus * plus, 4: (minus + plus) / 2}


@pytest.mark.parametrize("beta", BETAS)
def test_tracy_widom_has_the_published_moments(beta):
    law = laws.tracy_widom(beta)
    mean, variance, skewness, kurtosis = PUBLISHED[beta]
    assert law.moment(0) == pytest.approx(1.0, abs=1e-14)
    assert law.mean() == pytest.approx(mean, abs=1e-12)
    assert law.var() == pytest.approx(variance, abs=1e-12)
    assert law.moment(2) - law.mean() ** 2 == pytest.approx(variance, abs=1e-12)
    assert law.skewness() == pytest.approx(skewness, abs=1e-10)
    assert law.kurtosis() == pytest.approx(kurtosis, abs=1e-10)


def test_tracy_widom_agrees_with_fredholm_determinants():
    s = np.linspace(-8.0, 6.0, 57)
    exact = [determinants(x) for x in s]
    for beta in BETAS:
        law = laws.tracy_widom(beta)
        np.testing.assert_allclose(law.cdf(s / unit(beta)), [e[beta] for e in exact], rtol=0, atol=1e-13)
        off = np.abs(laws.TracyWidom(beta, 1.0 + 1e-12).cdf(s / unit(beta)) - [e[beta] for e in exact])
        assert np.max(off) > 1.5e-13


def test_tracy_widom_agrees_with_determinants_in_25_digits():
    s = -1.7
    exact = determinants_in_25_digits(s)
    for beta in BETAS:
        assert abs(laws.tracy_widom(beta).cdf(s / unit(beta)) - exact[beta]) < 3e-15


@pytest.mark.parametrize("beta", BETAS)
def test_tracy_widom_density_integrates_to_the_cdf(beta):
    law = laws.tracy_widom(beta)
    edges = np.linspace(-11.0, 9.0, 41) / unit(beta)
    x, w = np.polynomial.legendre.leggauss(16)
    half = (edges[1] - edges[0]) / 2.0
    probability = law.pdf(edges[:-1, None] + half * (x + 1.0)) @ (half * w)
    np.testing.assert_allclose(probability, np.diff(law.cdf(edges)), rtol=1e-11, atol=3e-16)


@pytest.mark.parametrize("beta", BETAS)
def test_tracy_widom_quantiles_invert_the_cdf_in_both_tails(beta):
    law = laws.tracy_widom(beta)
    q = np.array([1e-300, 1e-100, 1e-20, 1e-8, 0.01, 0.3, 0.9, 1.0 - 1e-9])
    np.testing.assert_allclose(law.cdf(law.ppf(q)), q, rtol=1e-12)
    alone = [law.ppf(float(p)) for p in q]
    np.testing.assert_array_equal(law.ppf(q), alone)
    assert law.error < 1e-13


def test_tails_of_tracy_widom():
    """Left: Deift, Its and Krasovsky 2008; Baik, Buckingham and DiFranco 2008. Right: 1 minus the kernel's trace."""
    s, zeta = 20.0, float(mpmath.zeta(-1, derivative=1))
    half, root = zeta / 2.0 - s**3 / 24.0 - math.log(s) / 16.0, s**1.5 / (3.0 * math.sqrt(2.0))
    next_order = 1.0 / (24.0 * math.sqrt(2.0) * s**1.5)
    left = {
        1: half - root - 11.0 / 48.0 * math.log(2.0) - next_order,
        2: 2.0 * half + math.log(2.0) / 24.0 + 3.0 / (64.0 * s**3),
        4: half + root - 35.0 / 48.0 * math.log(2.0) + next_order,
    }
    for beta in BETAS:
        assert math.log(laws.tracy_widom(beta).cdf(-s / unit(beta))) == pytest.approx(left[beta], abs=1e-4 / s)
    Ai, slope = airy(11.0)[:2]
    assert laws.tracy_widom(2).pdf(11.0) == pytest.approx(slope**2 - 11.0 * Ai**2, rel=1e-8)
    assert laws.tracy_widom(1).pdf(11.0) == pytest.approx(Ai / 2.0, rel=1e-8)
    far = laws.tracy_widom(4)
    assert np.all(far.pdf(np.linspace(-60.0, 60.0, 2001)) >= 0.0)
    assert far.cdf([-100.0, 100.0, -math.inf, math.inf]).tolist() == [0.0, 1.0, 0.0, 1.0]


def eigenvalues_at_the_top(diagonal, off_diagonal):
    n = diagonal.shape[1]
    pairs = zip(diagonal, off_diagonal, strict=True)
    return np.array([eigvalsh_tridiagonal(a, b, select="i", select_range=(n - 1, n - 1))[0] for a, b in pairs])


D, BLOCK, PATHS = 8000, 160, 4000  # rows far from the top do not reach the largest eigenvalue
BIAS = D ** (-1.0 / 3.0) / 2.0  # of s, from the shift of d by at most ½ that centres it (Johnstone and Ma 2012)


def tells_apart(s, law, wrong):
    """Whether the distances are on the right sides of the envelope, widened by the bias; the control has the power."""
    allowed = BIAS * float(np.max(law.pdf(np.linspace(-4.0, 3.0, 141))))
    threshold = envelope(len(s), FALSE_ALARM) + allowed
    assert distance_of_laws(law, wrong) > threshold + allowed + envelope(len(s), 1.0 - POWER)
    return distance(s, law.cdf) < threshold < distance(s, wrong.cdf)


@pytest.mark.parametrize("kappa", [2.0, 1.0, 0.5])
def test_largest_eigenvalue_of_dyson_at_equilibrium(kappa):
    """The tridiagonal model of section 6 of the model page; the control is another class, or F_4 as usually scaled."""
    rng, b = np.random.default_rng(2026), 2.0 / kappa
    degrees = b * np.arange(D - 1, D - BLOCK, -1)
    off_diagonal = np.sqrt(rng.chisquare(degrees, (PATHS, BLOCK - 1)) / 2.0)
    x = math.sqrt(kappa / D) * eigenvalues_at_the_top(rng.standard_normal((PATHS, BLOCK)), off_diagonal)
    s = laws.at_soft_edge(x, laws.eigenvalues(), D)
    control = {2.0: laws.tracy_widom(2), 1.0: laws.tracy_widom(1), 0.5: laws.tracy_widom(4)}[kappa]
    assert tells_apart(s, laws.soft_edge_limit(Model(size=D, beta=1.0, kappa=kappa)), control)


def test_largest_singular_value_at_depth_one():
    rng, kappa = np.random.default_rng(2027), 0.6
    model = Model(depth=1.0, width=D, beta=3.0, kappa=kappa)
    down = np.arange(D, D - BLOCK, -1)
    squares, below = rng.chisquare(down, (PATHS, BLOCK)), rng.chisquare(down[1:], (PATHS, BLOCK - 1))
    diagonal = squares + np.pad(below, ((0, 0), (1, 0)))
    sigma = np.sqrt(kappa / 3.0 * eigenvalues_at_the_top(diagonal, np.sqrt(squares[:, :-1] * below)))
    scaled = laws.scaled(sigma, model)
    np.testing.assert_allclose(laws.squared(sigma, model), sigma**2 * 3.0 / D)
    s = laws.at_soft_edge(scaled, laws.singular_values(1, kappa), D)
    assert tells_apart(s, laws.soft_edge_limit(model), laws.tracy_widom(2))


def test_smallest_singular_value_in_closed_form():
    law = laws.smallest_singular_value()
    t = np.array([1e-12, 0.01, 1.0, 7.0])
    np.testing.assert_allclose(law.cdf(t), 1.0 - np.exp(-t / 2.0 - np.sqrt(t)), rtol=1e-9)
    q = np.array([1e-9, 0.3, 0.999, 1.0 - 1e-13])
    np.testing.assert_allclose(law.cdf(law.ppf(q)), q, rtol=1e-14)
    for k in (-0.4, 0.0, 0.5, 1.0, 2.0, 7.5):
        value = quad(lambda u, k=k: 2.0 * u ** (2.0 * k + 1.0) * law.pdf(u * u), 0.0, 60.0, epsrel=1e-12)[0]
        assert law.moment(k) == pytest.approx(value, rel=1e-9)
    assert law.moment(-0.5) == math.inf


@pytest.mark.parametrize("width", [2, 7])
def test_smallest_singular_value_at_finite_width_has_edelmans_density(width):
    law = laws.smallest_singular_value(width)
    x = np.array([0.003, 0.4, 2.0, 9.0])

    def density(u):  # of √t
        return mpmath.exp(-(u**2) / 2) * mpmath.hyperu((width - 1) / 2, -0.5, u**2 / (2 * width))

    norm = mpmath.quad(density, [0, 1, 3, 6, 12])
    exact = [float(density(math.sqrt(t)) / norm / (2.0 * math.sqrt(t))) for t in x]
    np.testing.assert_allclose(law.pdf(x), exact, rtol=1e-12)
    value = float(mpmath.quad(density, [0, 1, math.sqrt(2.0)]) / norm)
    assert law.cdf(2.0) == pytest.approx(value, rel=1e-13)
    q = np.array([1e-200, 1e-9, 0.3, 0.9999999])
    np.testing.assert_allclose(law.cdf(law.ppf(q[1:])), q[1:], rtol=1e-13)
    assert law.ppf(q[:1]) == 0.0  # underflow
    mean = float(mpmath.quad(lambda u: u**2 * density(u), [0, 1, 3, 6, 12]) / norm)
    assert law.mean() == pytest.approx(mean, rel=1e-12)


def test_smallest_singular_value_tends_to_its_limit_with_the_width():
    t = np.linspace(0.001, 20.0, 500)
    limit = laws.smallest_singular_value().cdf(t)
    gap = [np.max(np.abs(laws.smallest_singular_value(d).cdf(t) - limit)) for d in (100, 1000, 10_000)]
    assert gap[0] < 2e-3
    np.testing.assert_allclose(np.array(gap[:-1]) / gap[1:], 10.0, rtol=0.02)
    assert laws.smallest_singular_value(1) == laws.Gamma(0.5, 2.0)


def test_smallest_singular_value_of_gaussian_matrices():
    rng, paths = np.random.default_rng(2028), 40_000
    model = Model(depth=1.0, width=3, beta=4.0, kappa=0.7)
    W = math.sqrt(0.7 / 4.0) * rng.standard_normal((paths, 3, 3))
    t = laws.at_hard_edge(np.linalg.svd(W, compute_uv=False)[:, -1], model)
    law, wrong = laws.smallest_singular_value(3), laws.smallest_singular_value()
    threshold = envelope(paths, FALSE_ALARM)
    assert distance_of_laws(law, wrong) > threshold + envelope(paths, 1.0 - POWER)
    assert distance(t, law.cdf) < threshold < distance(t, wrong.cdf)


def test_scaling_by_hand():
    model = Model(size=4, beta=9.0, kappa=1.0)
    np.testing.assert_allclose(laws.scaled([[1.0, 2.0]], model), [[1.5, 3.0]])
    # (2/(πR²)) √(R² − x²) ≈ (A/π) √(R − x), A = (2/R)^{3/2}
    np.testing.assert_allclose(laws.at_soft_edge(2.5, laws.Semicircle(8.0), 64), (64.0 / 8.0) ** (2.0 / 3.0) * -5.5)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: laws.tracy_widom(3), "beta must be 1, 2 or 4 .* 3"),
        (lambda: laws.TracyWidom(1, 0.0), "scale .*0.0"),
        (lambda: laws.tracy_widom(1).moment(0.5), "whole number >= 0, got 0.5"),
        (lambda: laws.smallest_singular_value(0), "width .* 0"),
        (lambda: laws.soft_edge_limit(Model(size=3, beta=1.0, kappa=0.8)), "kappa must be 2, 1 or 0.5 .*0.8"),
        (lambda: laws.at_hard_edge(1.0, Model(depth=2.0, width=3, beta=1.0, kappa=1.0)), "depth 1, got 2.0"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(ask, message):
    with pytest.raises(ValueError, match=message) as caught:
        ask()
    assert "\n" not in str(caught.value)
