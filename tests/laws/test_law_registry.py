"""Which law is chosen, and what is said of values out of range."""

import math

import numpy as np
import pytest

from dlnmc import laws


@pytest.mark.parametrize(
    ("depth", "kappa", "expected"),
    [
        (1, 0.3, laws.QuarterCircle(2.0 * math.sqrt(0.3))),
        (1, 1, laws.QuarterCircle(2.0)),
        (7.5, 0.5, laws.QuarterCircle(math.sqrt(2.0))),
        (math.inf, 0.5, laws.QuarterCircle(math.sqrt(2.0))),
        (2.5, 1.0, laws.FussCatalan(2.5)),
        (math.inf, 1.0, laws.DykemaHaagerup()),
        (3, 0.7, laws.HardEdge(3.0, 0.7)),
        (math.inf, 2, laws.HardEdge(math.inf, 2.0)),
        (1.5, 0.46, laws.HardEdge(1.5, 0.46)),
        (1.5, 0.44, laws.Gapped(1.5, 0.44)),
        (2, 0.3, laws.Gapped(2.0, 0.3)),
        (math.inf, 1e-9, laws.Gapped(math.inf, 1e-9)),
    ],
)
def test_singular_values_chooses_the_law(depth: float, kappa: float, expected: laws.Law) -> None:
    assert laws.singular_values(depth, kappa) == expected


FIRST_MOMENTS = [(1, 0.1), (1, 1), (1, 2), (4, 0.5), (2, 1), (2.5, 1), (math.inf, 1), (3, 0.7), (3, 0.2)]


@pytest.mark.parametrize(("depth", "kappa"), FIRST_MOMENTS)
def test_first_moment_of_y_is_the_exact_one(depth: float, kappa: float) -> None:
    expected = 0.5 + (2.0 * kappa - 1.0) / (2.0 * depth)
    assert laws.singular_values(depth, kappa).moment(2) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("depth", [0.5, -1, math.nan, -math.inf])
def test_a_bad_depth_is_quoted(depth: float) -> None:
    with pytest.raises(ValueError, match=f"depth .*{depth!r}"):
        laws.singular_values(depth)


@pytest.mark.parametrize("kappa", [0, -1.0, math.nan, math.inf])
def test_a_bad_kappa_is_quoted(kappa: float) -> None:
    with pytest.raises(ValueError, match=f"kappa .*{kappa!r}"):
        laws.singular_values(2, kappa)


def test_the_fuss_catalan_law_refuses_infinite_depth() -> None:
    with pytest.raises(ValueError, match=r"finite .* inf"):
        laws.FussCatalan(math.inf)


@pytest.mark.parametrize("law", [laws.FussCatalan(3), laws.eigenvalues(), laws.Gamma(2.0, 1.0)], ids=repr)
@pytest.mark.parametrize("q", [-1e-9, 1.1, math.nan])
def test_a_bad_probability_is_quoted(law: laws.Law, q: float) -> None:
    with pytest.raises(ValueError, match=f"{q!r}"):
        law.ppf([0.5, q])


def test_a_bad_probability_is_quoted_by_log_ppf() -> None:
    with pytest.raises(ValueError, match=r"1\.5"):
        laws.FussCatalan(3).log_ppf(1.5)


@pytest.mark.parametrize("law", [laws.FussCatalan(3), laws.DykemaHaagerup(), laws.eigenvalues()], ids=repr)
def test_scalars_give_floats_and_arrays_keep_their_shape(law: laws.Law) -> None:
    assert type(law.pdf(0.3)) is float
    assert type(law.cdf(np.float64(0.3))) is float
    assert type(law.ppf(1)) is float
    assert law.cdf(np.zeros((2, 0, 3))).shape == (2, 0, 3)
    many = np.linspace(0.1, 0.9, 40_000).reshape(2, -1)
    some = many[1, ::5000]
    np.testing.assert_allclose(law.ppf(many)[1, ::5000], [law.ppf(float(q)) for q in some], rtol=1e-14)
