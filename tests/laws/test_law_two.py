"""Two values: quadrature against exact laws and brute force; the gap of two particles from any start."""

import math
from dataclasses import dataclass

import mpmath
import numpy as np
import pytest
from scipy.integrate import quad

import dlnmc
from dlnmc import laws


@dataclass(frozen=True)
class Network:
    depth: float
    beta: float
    kappa: float
    width: int = 2


@dataclass(frozen=True)
class Particles:
    beta: float
    kappa: float
    size: int = 2


NETWORKS = [
    Network(1.0, 2.0, 1.0),
    Network(1.7, 2.0, 0.5),
    Network(3.0, 50.0, 0.1),
    Network(3.0, 2.0, 1e-3),
    Network(3.0, 2.0, 1e-6),
    Network(10.0, 0.1, 30.0),
    Network(100.0, 2.0, 1.0),
    Network(1e6, 2.0, 0.3),
    Network(math.inf, 2.0, 0.2),
    Network(math.inf, 2.0, 0.2499),
    Network(math.inf, 2.0, 1e-3),
]


@pytest.mark.parametrize("model", NETWORKS, ids=repr)
def test_two_singular_values_have_the_exact_law_of_the_trace(model):
    pair, trace = laws.two(model), laws.trace(model)
    assert pair.error < 1e-9
    squares = [law.moment(2) for law in (pair.largest, pair.smallest)]
    assert sum(squares) == pytest.approx(trace.mean(), rel=1e-12)
    assert pair.variance.sum() + (pair.mean**2).sum() == pytest.approx(trace.mean(), rel=1e-12)
    deviation = pair.expectation(lambda a, b: (a * a + b * b - trace.mean()) ** 2)
    assert deviation == pytest.approx(trace.var(), rel=1e-8)
    r = 1.0 / trace.mean()
    seen = pair.expectation(lambda a, b: np.exp(-r * (a * a + b * b)))
    for scale, good in ((trace.scale, True), (trace.scale * (1.0 + 1e-8), False)):
        exact = math.exp(-trace.shape * math.log1p(scale * r))
        assert (seen == pytest.approx(exact, rel=1e-10)) == good


@pytest.mark.parametrize("kappa", [0.7, 1e-4])
def test_depth_one_is_a_gaussian_matrix(kappa):
    """The smallest singular value by Edelman's mixture of Gamma laws, the determinant by the bidiagonal model."""
    pair, unit = laws.two(Network(1.0, 3.0, kappa)), math.sqrt(kappa / 3.0)
    x = unit * np.array([1e-250, 1e-6, 0.03, 0.4, 1.0, 2.5, 5.0])
    t, exact = 2.0 * (x / unit) ** 2, laws.smallest_singular_value(2)
    np.testing.assert_allclose(pair.smallest.cdf(x[1:]), exact.cdf(t[1:]), rtol=1e-12)
    np.testing.assert_allclose(pair.smallest.pdf(x[1:]), exact.pdf(t[1:]) * 4.0 * x[1:] / unit**2, rtol=1e-10)
    at_zero = math.sqrt(math.pi / 2.0) / unit  # of the density of Edelman's √t
    np.testing.assert_allclose(pair.smallest.pdf([0.0, x[0]]), at_zero / exact_ratio(), rtol=1e-12)
    assert pair.expectation(lambda a, b: a * b) == pytest.approx(unit**2, rel=1e-12)


def exact_ratio():
    """√(π/2) over the density of σ_2 at 0 for a standard 2×2 matrix: from Edelman's mixture at a tiny t."""
    t = 1e-20
    return math.sqrt(math.pi / 2.0) / (laws.smallest_singular_value(2).pdf(t) * 4.0 * math.sqrt(t / 2.0))


def test_determinant_at_kappa_one_half():
    """σ_1 σ_2 = χ_{1/N+1} χ_{1/N} / (2β), model page, section 4."""
    depth, beta = 2.5, 3.0
    pair = laws.two(Network(depth, beta, 0.5))
    for k in (1, 2, 3):
        exact = laws.Chi(1.0 / depth + 1.0, 1.0).moment(k) * laws.Chi(1.0 / depth, 1.0).moment(k) / (2.0 * beta) ** k
        assert pair.expectation(lambda a, b, k=k: (a * b) ** k) == pytest.approx(exact, rel=1e-12)


def gauss(low, high, nodes=200):
    x, w = np.polynomial.legendre.leggauss(nodes)
    return low + (high - low) * (x + 1.0) / 2.0, w * (high - low) / 2.0


def means_by_brute_force(model, farthest):
    """Means of σ_1, σ_2 from the density of λ of section 4: λ_1 below `farthest`, λ_2 = λ_1 (1 − h)."""
    N, c = model.depth, 0.5 / model.kappa
    (a, weight_a), (h, weight_h) = gauss(0.0, farthest), gauss(0.0, 1.0)
    a = a[:, None]
    b = a * (1.0 - h)
    repulsion = (a ** (2.0 * N) - b ** (2.0 * N)) ** c * (a * a - b * b) ** (1.0 - c)
    density = repulsion * np.exp(-2.0 * c * model.beta * (model.potential(a**N) + model.potential(b**N)))
    weight = density * weight_a[:, None] * a * weight_h
    return [np.sum(weight * s**N) / np.sum(weight) for s in (a, b)]


@pytest.mark.parametrize(
    ("depth", "kappa", "coefficients"), [(2.0, 1.0, (-2.0, 1.0)), (1.0, 0.3, (-3.0, 0.0, 1.0)), (3.0, 0.5, (0.1, 0.5))]
)
def test_polynomial_energies_agree_with_brute_force(depth, kappa, coefficients):
    model = dlnmc.DeepLinearNetwork(
        width=2, depth=depth, beta=1.5, kappa=kappa, energy=dlnmc.Polynomial(coefficients=coefficients)
    )
    pair = laws.two(model)
    np.testing.assert_allclose(pair.mean, means_by_brute_force(model, 2.5), rtol=1e-11)
    assert pair.error < 1e-9


def test_deep_networks_lose_rank_above_the_critical_kappa():
    """P(σ_2/σ_1 < 10⁻³) of the model page, section 3, to its two digits (an indicator converges slowly)."""
    seen = {
        (3.0, 1.0): 0.14, (30.0, 1.0): 0.89, (100.0, 1.0): 0.98, (math.inf, 0.15): 0.064,
    }  # fmt: skip
    for (depth, kappa), value in seen.items():
        pair = laws.two(Network(depth, 2.0, kappa))
        assert pair.expectation(lambda a, b: b < 1e-3 * a) == pytest.approx(value, abs=0.006)


@pytest.mark.parametrize("model", [NETWORKS[0], NETWORKS[2], NETWORKS[5], Particles(3.0, 0.4)], ids=repr)
@pytest.mark.parametrize("member", ["largest", "smallest"])
def test_laws_of_both_are_consistent(model, member):
    law = getattr(laws.two(model), member)
    q = np.array([1e-30, 1e-9, 0.02, 0.4, 0.9, 1.0 - 1e-12])
    x = law.ppf(q)
    np.testing.assert_allclose(law.cdf(x), q, rtol=1e-11)
    np.testing.assert_array_equal([law.ppf(float(p)) for p in q], x)
    np.testing.assert_array_equal([law.cdf(float(y)) for y in x], law.cdf(x))
    for low, high in ((2, 3), (3, 4)):
        if model in NETWORKS:
            ends, density = np.log([x[low], x[high]]), lambda z: law.pdf(math.exp(z)) * math.exp(z)
        else:
            ends, density = (x[low], x[high]), law.pdf
        assert quad(density, *ends, epsrel=1e-12)[0] == pytest.approx(q[high] - q[low], rel=1e-10)
    levels = (np.arange(20_000) + 0.5) / 20_000
    assert law.mean() == pytest.approx(np.mean(law.ppf(levels)), rel=1e-3)
    assert law.var() == pytest.approx(law.moment(2) - law.mean() ** 2, rel=1e-9)
    assert law.moment(0) == pytest.approx(1.0, rel=1e-13)


def test_extreme_arguments_raise_no_warning():
    for model in (NETWORKS[0], NETWORKS[6], NETWORKS[9], Particles(3.0, 0.4)):
        pair = laws.two(model)
        for law in (pair.largest, pair.smallest):
            x = [-1e300, -1.0, 5e-324, 1e-200, 1e200, 1e308, math.inf]
            assert np.all(np.diff(law.cdf(x)) >= 0.0)
            assert np.all(law.pdf(x[1:]) >= 0.0)
            assert np.all(np.diff(law.ppf([0.0, 1e-300, 1e-100, 0.5, 1.0])) >= 0.0)
            assert (law.cdf(math.inf), law.cdf(-math.inf), law.pdf(math.inf)) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize("model", [Particles(2.0, 1.0), Particles(1.0, 2.0), Particles(3.0, 0.01)], ids=repr)
def test_two_eigenvalues_in_a_quadratic_potential(model):
    pair, gap, centre = laws.two(model), laws.gap(model), laws.centre_of_mass(model)
    assert pair.error < 1e-9
    np.testing.assert_allclose(pair.mean, [gap.mean() / 2.0, -gap.mean() / 2.0], rtol=1e-11)
    np.testing.assert_allclose(pair.variance, centre.var() + gap.var() / 4.0, rtol=1e-9)
    for k in (1, 3):
        assert pair.expectation(lambda a, b, k=k: (a - b) ** k) == pytest.approx(gap.moment(k), rel=1e-10)
    assert pair.expectation(lambda a, b: np.cos(a + b)) == pytest.approx(math.exp(-2.0 * centre.var()), rel=1e-11)
    exact = laws.trace(model)
    assert pair.expectation(lambda a, b: a * a + b * b) == pytest.approx(exact.mean(), rel=1e-12)


def test_two_eigenvalues_in_a_double_well_agree_with_brute_force():
    model = dlnmc.DysonBrownianMotion(
        size=2, beta=1.2, kappa=0.8, energy=dlnmc.Polynomial(coefficients=(0.3, -2.0, 0.0, 0.7))
    )
    (a, weight_a), (h, weight_h) = gauss(-4.0, 4.0), gauss(0.0, math.sqrt(8.0))
    a = a[:, None]
    b = a - h * h
    energy = model.potential(a) + model.potential(b)
    weight = h ** (4.0 / 0.8) * np.exp(-1.2 / 0.8 * energy) * weight_a[:, None] * h * weight_h
    exact = [np.sum(weight * s) / np.sum(weight) for s in (a, b)]
    np.testing.assert_allclose(laws.two(model).mean, exact, rtol=1e-11)


def test_eigenvalues_far_from_0_and_hot_are_found():
    pair = laws.two(
        dlnmc.DysonBrownianMotion(size=2, beta=1.0, kappa=2.0, energy=dlnmc.Polynomial(coefficients=(-4e3, 1.0)))
    )
    gap = laws.Chi(2.0, math.sqrt(2.0))  # V = (x − 2000)², twice as stiff as x²/2
    np.testing.assert_allclose(pair.mean - 2000.0, [gap.mean() / 2.0, -gap.mean() / 2.0], rtol=1e-8)
    hot = laws.two(Particles(1e-4, 1.0))
    np.testing.assert_allclose(hot.mean, 100.0 * laws.two(Particles(1.0, 1.0)).mean, rtol=1e-12)


FREE = dlnmc.DysonBrownianMotion(size=2, beta=1.7, kappa=0.6, energy="none")
CONFINED = FREE.changed(energy="quadratic")


@pytest.mark.parametrize(
    ("n", "centre"), [(2.0, 0.5), (3.3, 1e-20), (1.0, 2.0), (5.0, 30.0), (62.0, 3.0), (2001.0, 40.0), (2.5, 9e3)]
)
def test_noncentral_chi_agrees_with_its_formulas(n, centre):
    law = laws.NoncentralChi(n, centre, 1.0)
    x = law.ppf([1e-12, 0.01, 0.5, 0.999])
    np.testing.assert_allclose(law.cdf(x), [1e-12, 0.01, 0.5, 0.999], rtol=1e-10)
    with mpmath.workdps(30):
        order, a = mpmath.mpf(n) / 2 - 1, mpmath.mpf(centre)

        def density(r):
            r = mpmath.mpf(float(r))
            return r * (r / a) ** order * mpmath.exp(-((r - a) ** 2) / 2 - r * a) * mpmath.besseli(order, r * a)

        np.testing.assert_allclose(law.pdf(x), [float(density(r)) for r in x], rtol=1e-11)
        mean = mpmath.sqrt(2) * mpmath.gammaprod([(n + 1.0) / 2.0], [n / 2.0])
        mean *= mpmath.hyp1f1(-0.5, n / 2.0, -(a**2) / 2)
        assert law.mean() == pytest.approx(float(mean), rel=1e-11)
        variance = float(n + a**2 - mean**2)
    assert law.moment(2) == pytest.approx(n + centre**2, rel=1e-11)
    assert law.var() == pytest.approx(variance, rel=1e-10)
    between = quad(law.pdf, x[1], x[3], epsabs=0.0, epsrel=1e-11)[0]
    assert between == pytest.approx(0.989, rel=1e-8)


def test_noncentral_chi_of_a_far_centre_is_gaussian():
    near, far = laws.NoncentralChi(3.0, 9.999e3, 1.0), laws.NoncentralChi(3.0, 1.0001e4, 1.0)
    q = np.array([1e-9, 0.2, 0.5, 0.99])
    np.testing.assert_allclose(far.ppf(q) - near.ppf(q), 2.0, rtol=0, atol=1e-7)
    np.testing.assert_allclose(far.pdf(far.ppf(q)), near.pdf(near.ppf(q)), rtol=1e-6)
    assert far.var() == pytest.approx(near.var(), rel=1e-10)
    assert far.moment(3) - near.moment(3) == pytest.approx(1.0001e4**3 - 9.999e3**3, rel=1e-7)
    x = [0.0, 5e-324, 1e-200, 1e200, math.inf]
    for law in (near, far, laws.NoncentralChi(3000.3, 2.0, 1.0), laws.NoncentralChi(2.4, 1.0, 1e-3)):
        assert law.cdf(x).tolist() == [0.0, 0.0, 0.0, 1.0, 1.0]
        assert law.pdf(x).tolist() == [0.0] * 5


@pytest.mark.parametrize("model", [FREE, CONFINED], ids=["free", "confined"])
def test_gap_is_a_markov_process(model):
    """Chapman and Kolmogorov: the law at 0.5 from 0.8 is that at 0.3 from where it is at 0.2; 0.31 is too late."""
    middle, whole = laws.gap(model, 0.2, 0.8), laws.gap(model, 0.5, 0.8)
    x = whole.ppf([0.05, 0.4, 0.9])
    nodes, weights = np.polynomial.legendre.leggauss(80)
    reach = middle.ppf([1e-16, 1.0 - 1e-15])
    g = reach[0] + (reach[1] - reach[0]) * (nodes + 1.0) / 2.0
    w = weights * (reach[1] - reach[0]) / 2.0 * middle.pdf(g)
    for time, good in ((0.3, True), (0.31, False)):
        composed = np.sum([p * laws.gap(model, time, float(s)).cdf(x) for s, p in zip(g, w, strict=True)], axis=0)
        assert np.allclose(composed, whole.cdf(x), rtol=0, atol=1e-12) == good
        assert (np.max(np.abs(composed - whole.cdf(x))) > 1e-3) != good


@pytest.mark.parametrize("model", [FREE, CONFINED], ids=["free", "confined"])
def test_gap_from_a_start_solves_its_equation(model):
    """d E[g²]/dt = 2 E[g · drift] + noise² = 8/β + 4κ/β − 2 E[g²] (confined), exactly linear in time when free."""
    confined, step = float(model is CONFINED), 1e-3
    for start in (0.0, 0.3, 4.0):
        before, now, after = (laws.gap(model, 0.4 + s, start).moment(2) for s in (-step, 0.0, step))
        exact = (8.0 + 4.0 * model.kappa) / model.beta - 2.0 * confined * now
        assert (after - before) / (2.0 * step) == pytest.approx(exact, rel=1e-5)


def test_gap_near_its_limits():
    q = np.array([0.01, 0.5, 0.99])
    for model in (FREE, CONFINED):
        np.testing.assert_allclose(laws.gap(model, 0.4, 1e-9).ppf(q), laws.gap(model, 0.4).ppf(q), rtol=1e-9)
        np.testing.assert_allclose(laws.gap(model, 1e-9, 2.0).ppf(q), 2.0, rtol=1e-3)
        assert laws.gap(model, 1e-14, 2.0).mean() == pytest.approx(2.0, rel=1e-6)
        assert laws.gap(model, 0.4, 0.0) == laws.gap(model, 0.4)
    np.testing.assert_allclose(laws.gap(CONFINED, 25.0, 2.0).ppf(q), laws.gap(CONFINED).ppf(q), rtol=1e-9)
    assert laws.gap(CONFINED, None, 3.0) == laws.gap(CONFINED)


POLYNOMIAL = dlnmc.Polynomial(coefficients=(1.0, 1.0))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: laws.two(Network(2.0, 1.0, 1.0, width=3)), "width must be 2 .*3"),
        (lambda: laws.two(Particles(1.0, 1.0, size=5)), "size must be 2 .*5"),
        (lambda: laws.two(Network(math.inf, 1.0, 0.25)), "kappa < .*0.25"),
        (lambda: laws.two(Network(2.0, 1.0, 0.0)), "kappa .*0.0"),
        (lambda: laws.two(FREE), "no equilibrium"),
        (lambda: laws.two(CONFINED).largest.moment(0.5), "whole number >= 0, got 0.5"),
        (lambda: laws.two(Network(2.0, 1.0, 1.0)).largest.moment(-1), "number >= 0, got -1"),
        (lambda: laws.gap(FREE, 1.0, -0.5), "start .*-0.5"),
        (lambda: laws.gap(FREE, 1.0, math.inf), "start .*inf"),
        (lambda: laws.gap(CONFINED.changed(energy=POLYNOMIAL), 1.0, 0.5), "'polynomial'"),
        (lambda: laws.NoncentralChi(2.0, -1.0, 1.0), "centre .*-1.0"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(ask, message):
    with pytest.raises(ValueError, match=message) as caught:
        ask()
    assert "\n" not in str(caught.value)
