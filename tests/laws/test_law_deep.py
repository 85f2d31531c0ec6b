"""The smallest singular value of deep networks: the Bessel process, Beta laws, and two values at every depth."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from statistical import FALSE_ALARM, distance, envelope

import dlnmc
from dlnmc import laws


def drift(z, kappa, beta):
    """Of the equation for infinite depth in z = log σ, E = ½ Tr WᵀW, term by term."""
    found = -np.exp(2.0 * z)
    for k in range(len(z)):
        for l in range(len(z)):
            if l != k:
                gap = z[k] - z[l]
                found[k] += (1.0 / -np.expm1(-2.0 * gap) - 0.5 / gap + kappa / gap) / beta
    return found


@pytest.mark.parametrize(("width", "kappa"), [(2, 0.15), (2, 1.0), (4, 0.3), (7, 0.6)])
def test_far_from_the_others_the_smallest_moves_as_a_bessel_process(width, kappa):
    beta, far = 3.0, 300.0
    z = np.append(np.linspace(0.1, -0.1, width - 1) if width > 2 else 0.0, -far)
    diffusion = 2.0 * kappa / beta
    delta = 1.0 + 2.0 * far * -drift(z, kappa, beta)[-1] / diffusion
    assert laws.bessel_dimension(width, kappa) == pytest.approx(delta, rel=1e-5)


@pytest.mark.parametrize("width", [2, 3, 8, 100])
def test_the_dimension_vanishes_at_the_threshold(width, refused):
    kappa = laws.threshold(width)
    assert laws.bessel_dimension(width, kappa) == pytest.approx(0.0, abs=1e-12)
    refused(lambda: laws.smallest_of_deep(width, 0.999 * kappa), "only above", repr(0.999 * kappa))
    refused(lambda: laws.trace(dlnmc.DeepLinearNetwork(width, math.inf, 1.0, kappa)), "no equilibrium")
    laws.trace(dlnmc.DeepLinearNetwork(width, math.inf, 1.0, 0.999 * kappa))


@pytest.mark.parametrize(("depth", "kappa"), [(1.0, 0.7), (3.0, 0.15), (64.0, 0.3), (math.inf, 0.15), (math.inf, 0.2)])
def test_the_ratio_of_two_values_is_that_of_their_quadrature(depth, kappa):
    law, two = laws.LogRatio(depth, kappa), laws.two(dlnmc.DeepLinearNetwork(2, depth, 2.0, kappa))
    for power in (0.1, 1.0):
        exact = two.expectation(lambda a, b, power=power: (b / a) ** power)
        # E[e^{−p u}] = p ∫ P(u < x) e^{−p x} dx
        seen = quad(
            lambda x, p=power: p * (1.0 - float(law.survival(x))) * math.exp(-p * x), 0.0, 40.0 / power, limit=200
        )
        assert seen[0] == pytest.approx(exact, rel=1e-6)
    assert float(law.survival(law.median())) == pytest.approx(0.5, abs=1e-9)
    assert law.survival([-1.0, 0.0, 1e300]).tolist() == [1.0, 1.0, 0.0]


def test_the_condition_number_of_two_by_two_gaussian_matrices():
    """P(σ_1/σ_2 > x) = 2x/(1 + x²) (Edelman 1988, Eigenvalues and condition numbers of random matrices)."""
    x = np.array([1.1, 2.0, 30.0, 1e3, 1e6])
    np.testing.assert_allclose(
        laws.LogRatio(1.0, 2.3).survival(np.log(x)), 2.0 * x / (1.0 + x * x), rtol=1e-7, atol=1e-11
    )


@pytest.mark.parametrize("kappa", [0.35, 0.5, 1.0, 3.0])
def test_what_is_lost_has_its_limit_at_width_two(kappa):
    """The approach is like N^{−δ}; the law of a κ that is off by 10 % is not approached."""
    x, delta = np.array([0.01, 0.1, 0.5, 0.9]), laws.bessel_dimension(2, kappa)
    off = []
    for N in (1e2, 1e4):
        cdf = laws.LogRatio(N, kappa).survival(-0.5 * N * np.log(x))
        off.append(np.max(np.abs(cdf - laws.smallest_of_deep(2, kappa).cdf(x))))
        assert off[-1] < (7.0 / N) ** delta
    assert off[1] == pytest.approx(off[0] * 100.0**-delta, rel=0.5)
    wrong = laws.smallest_of_deep(2, 1.1 * kappa).cdf(x)
    assert np.max(np.abs(cdf - wrong)) > 5.0 * off[1]


def test_what_is_lost_has_its_limit_at_width_three():
    """By quadrature over the two gaps a, b of log σ, the size being integrated out."""
    N, kappa, d = 4000.0, 1.0, 3
    c = 0.5 / kappa
    shape = 0.5 * (d / N + d * (d - 1) * (c + (1.0 - c) / N))
    v = np.linspace(-16.0, math.log(40.0 * N), 1500)
    a, b = np.exp(v)[:, None], np.exp(v)[None, :]
    log_p = v[:, None] + v[None, :] - (2.0 * a + b) / N
    for low, gap in ((0.0, a), (a, b), (0.0, a + b)):
        log_p = log_p + c * (np.log(-np.expm1(-2.0 * gap)) - 2.0 * low)
        log_p = log_p + (1.0 - c) * (np.log(-np.expm1(-2.0 * gap / N)) - 2.0 * low / N)
    log_p = log_p - shape * np.log1p(np.exp(-2.0 * a) + np.exp(-2.0 * (a + b)))
    p = np.exp(log_p - log_p.max())
    law, wrong = laws.smallest_of_deep(d, kappa), laws.smallest_of_deep(d, 1.02 * kappa)
    for k in (0.5, 1.0, 2.0):
        seen = np.sum(p * np.exp(-2.0 * k * (a + b) / N)) / np.sum(p)
        assert seen == pytest.approx(law.moment(k), rel=2e-3)
        assert seen != pytest.approx(wrong.moment(k), rel=4e-3)


def test_what_is_lost_has_its_limit_in_exact_draws():
    """Width 5, κ = ½, depth 200: 50,000 draws of the bidiagonal model; that of κ = 0.6 is another law."""
    paths, N = 50_000, 200.0
    sigma = dlnmc.exact(dlnmc.DeepLinearNetwork(5, N, 5.0, 0.5), paths=paths, seed=1)["singular_values"].to_numpy()
    x = (sigma[:, -1] / sigma[:, 0]) ** (2.0 / N)
    allowed = envelope(paths, FALSE_ALARM) + 7.0 / N
    assert distance(x, laws.smallest_of_deep(5, 0.5).cdf) < allowed
    assert distance(x, laws.smallest_of_deep(5, 0.6).cdf) > 2.0 * allowed


def test_beta_laws():
    law = laws.Beta(0.5, 1.5)
    assert law.mean() == pytest.approx(0.25)
    assert law.moment(-0.5) == math.inf
    assert law.var() == pytest.approx(0.5 * 1.5 / (4.0 * 3.0))
    x = np.array([0.0, 0.1, 0.7, 1.0])
    np.testing.assert_allclose(law.ppf(law.cdf(x)), x, atol=1e-12)
    assert quad(law.pdf, 0.1, 0.7)[0] == pytest.approx(law.cdf(0.7) - law.cdf(0.1), rel=1e-9)
    assert law.pdf([-0.1, 0.0, 1.0, 1.1]).tolist() == [0.0, math.inf, 0.0, 0.0]
    assert laws.Beta(1.0, 2.0).pdf([0.0, 1.0]).tolist() == [2.0, 0.0]
    assert laws.Beta(1.0, 1.0).pdf([0.0, 1.0]).tolist() == [1.0, 1.0]
