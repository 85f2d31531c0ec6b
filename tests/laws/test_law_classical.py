"""The semicircle, Gamma, chi and Gaussian laws against quadrature and SciPy's distributions."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from dlnmc.laws import Chi, Gamma, Law, Normal, Semicircle, eigenvalues

CASES = (
    (Gamma(3.5, 0.2), stats.gamma(3.5, scale=0.2)),
    (Gamma(0.25, 2.0), stats.gamma(0.25, scale=2.0)),
    (Gamma(1.0, 3.0), stats.expon(scale=3.0)),
    (Gamma(5000.0, 0.01), stats.gamma(5000.0, scale=0.01)),
    (Chi(3.4, 0.7), stats.chi(3.4, scale=0.7)),
    (Chi(1.5, 0.7), stats.chi(1.5, scale=0.7)),
    (Chi(1.0, 2.0), stats.halfnorm(scale=2.0)),
    (Normal(-0.3, 2.0), stats.norm(-0.3, 2.0)),
    (Semicircle(1.3), stats.semicircular(scale=1.3)),
)


@pytest.mark.parametrize(("law", "reference"), CASES, ids=lambda case: repr(case)[:30])
def test_agrees_with_scipy(law: Law, reference: "stats.rv_continuous") -> None:
    q = np.array([1e-12, 1e-3, 0.2, 0.5, 0.9, 1.0 - 1e-6])
    x = reference.ppf(q)
    np.testing.assert_allclose(law.ppf(q), x, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(law.cdf(x), q, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(law.pdf(x), reference.pdf(x), rtol=1e-9, atol=1e-7)
    assert law.support == reference.support()
    assert law.mean() == pytest.approx(reference.mean(), rel=1e-12)
    assert law.var() == pytest.approx(reference.var(), rel=1e-12)
    assert law.moment(4) == pytest.approx(reference.moment(4), rel=1e-10)


@pytest.mark.parametrize("k", [-0.9, -0.3, 0.5, 2.7])
@pytest.mark.parametrize("law", [Gamma(1.0, 2.0), Chi(1.4, 0.6)], ids=repr)
def test_real_moments_agree_with_quadrature(law: Law, k: float) -> None:
    value, _ = quad(lambda z: law.pdf(math.exp(z)) * math.exp((k + 1.0) * z), -400.0, 6.0, limit=400, points=[-5, 0, 3])
    assert law.moment(k) == pytest.approx(value, rel=1e-8)


def test_moments_that_do_not_exist() -> None:
    assert Gamma(0.5, 1.0).moment(-0.5) == math.inf
    assert Chi(1.0, 1.0).moment(-1.0) == math.inf
    for law in (Semicircle(), Normal(0.0, 1.0)):
        with pytest.raises(ValueError, match=r"0\.5"):
            law.moment(0.5)


def test_semicircle_moments_are_catalan_numbers() -> None:
    law = eigenvalues()
    assert law.support == (-2.0, 2.0)
    assert [law.moment(k) for k in range(9)] == pytest.approx([1, 0, 1, 0, 2, 0, 5, 0, 14], rel=1e-13)


@pytest.mark.parametrize(
    ("make", "quoted"),
    [
        (lambda: Gamma(0.0, 1.0), "shape .*0.0"),
        (lambda: Gamma(1.0, math.inf), "scale .*inf"),
        (lambda: Chi(-1.0, 1.0), "dimension .*-1.0"),
        (lambda: Normal(math.nan, 1.0), "centre .*nan"),
        (lambda: Normal(0.0, 0.0), "deviation .*0.0"),
        (lambda: Semicircle(-2.0), "radius .*-2.0"),
    ],
)
def test_bad_parameters_are_quoted(make: "type[Law]", quoted: str) -> None:
    with pytest.raises(ValueError, match=quoted):
        make()


def test_extreme_arguments_raise_no_warning() -> None:
    x = np.array([5e-324, 1e-200, 1e200, math.inf])
    for law in (Gamma(0.3, 2.0), Chi(1.5, 1.0), Normal(0.0, 1.0)):
        assert np.all(law.cdf(x) >= 0.0)
        assert np.all(law.pdf(x) >= 0.0)
        assert (law.cdf(math.inf), law.pdf(math.inf)) == (1.0, 0.0)
