"""The laws of the trace, the centre of mass and the gap, from densities and from equations of motion."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad

from dlnmc import laws


@dataclass(frozen=True)
class Energy:
    kind: str


QUADRATIC, NONE = Energy("quadratic"), Energy("none")


@dataclass(frozen=True)
class Network:
    depth: float
    width: int
    beta: float
    kappa: float
    energy: Energy | None = QUADRATIC


@dataclass(frozen=True)
class Particles:
    size: int
    beta: float
    kappa: float
    energy: Energy | None = QUADRATIC


@dataclass(frozen=True)
class BareNetwork:
    depth: float
    width: int
    beta: float
    kappa: float


def density(model: Network, a: float, b: float) -> float:
    """p(λ) at d = 2, λ = (a, b), b < a, up to a constant."""
    N, c = model.depth, 1.0 / (2.0 * model.kappa)
    y = (a ** (2.0 * N), b ** (2.0 * N))
    repulsion = (y[0] - y[1]) ** c * (a * a - b * b) ** (1.0 - c)
    return float(repulsion * math.exp(-model.beta * c * (y[0] + y[1])))


def trace_cdf_by_quadrature(model: Network, s: float) -> float:
    """P(σ_1² + σ_2² ≤ s) at d = 2, by integrating p(λ) over rays λ_2 = t λ_1."""

    def ray(t: float, limit: float) -> float:
        end = (limit / (1.0 + t ** (2.0 * model.depth))) ** (0.5 / model.depth)
        return quad(lambda a: density(model, a, t * a) * a, 0.0, end, epsabs=0.0, epsrel=1e-10)[0]

    def mass(limit: float) -> float:
        return quad(lambda t: ray(t, limit), 0.0, 1.0, epsabs=0.0, epsrel=1e-9)[0]

    return mass(s) / mass(60.0 * model.kappa / model.beta)


@pytest.mark.parametrize(
    "model", [Network(1, 2, 2.0, 1.0), Network(3, 2, 5.0, 0.4), Network(2.5, 2, 1.0, 1.7)], ids=repr
)
def test_trace_of_a_two_by_two_network_agrees_with_quadrature(model: Network) -> None:
    law = laws.trace(model)
    wrong = laws.trace(Network(model.depth, 2, model.beta, 1.03 * model.kappa))
    points = [float(law.ppf(q)) for q in (0.1, 0.5, 0.9)]
    exact = [trace_cdf_by_quadrature(model, s) for s in points]
    np.testing.assert_allclose(law.cdf(points), exact, atol=1e-8)
    assert np.max(np.abs(wrong.cdf(points) - exact)) > 1e-3


def test_trace_of_gaussian_matrices_and_of_one_by_one() -> None:
    assert laws.trace(Network(1, 5, 3.0, 0.7)) == laws.Gamma(12.5, 2.0 * 0.7 / 3.0)
    law = laws.trace(Network(4, 1, 2.0, 0.7))
    assert law.mean() == pytest.approx(0.7 / 2.0 / 4.0, rel=1e-14)
    assert laws.trace(BareNetwork(2, 3, 1.0, 1.0)) == laws.trace(Network(2, 3, 1.0, 1.0))


@pytest.mark.parametrize(("depth", "kappa"), [(1, 0.4), (3, 0.5), (2.5, 1.0), (8, 1.0)])
def test_trace_per_degree_of_freedom_tends_to_the_second_moment_of_the_law(depth: float, kappa: float) -> None:
    d = 10**6
    scaled = laws.trace(Network(depth, d, float(d), kappa)).mean() / d
    assert scaled == pytest.approx(laws.singular_values(depth, kappa).moment(2), rel=3.0 / d)


def test_infinite_depth_has_a_trace_below_the_threshold_only() -> None:
    assert laws.trace(Network(math.inf, 3, 2.0, 0.2)) == laws.Gamma(6.0 / 0.8, 0.2)
    deep = laws.trace(Network(1e7, 3, 2.0, 0.2))
    assert deep.mean() == pytest.approx(1.5, rel=1e-5)
    for width, kappa in ((3, 1.0 / 3.0), (2, 0.25), (1, 1e-3)):
        with pytest.raises(ValueError, match=f"kappa < .*{kappa!r}"):
            laws.trace(Network(math.inf, width, 2.0, kappa))


def fokker_planck_residual(
    law: "Any",
    t: float,
    x: np.ndarray,
    drift: np.ndarray,
    drift_slope: np.ndarray,
    noise: np.ndarray,
    noise_slopes: "Any",
) -> float:
    """max |∂_t p + ∂(drift p) − ½ ∂²(noise p)| / max |∂_t p| by central differences of the law's density."""
    h = 1e-3
    dt_p = (law(t + h * t).pdf(x) - law(t - h * t).pdf(x)) / (2.0 * h * t)
    step = h * (x[1] - x[0])
    p, up, down = law(t).pdf(x), law(t).pdf(x + step), law(t).pdf(x - step)
    dp, ddp = (up - down) / (2.0 * step), (up - 2.0 * p + down) / step**2
    flux = drift_slope * p + drift * dp
    spread = (noise_slopes[1] * p + 2.0 * noise_slopes[0] * dp + noise * ddp) / 2.0
    return float(np.max(np.abs(dt_p + flux - spread)) / np.max(np.abs(dt_p)))


def residuals(model: Particles, equation: Particles) -> dict[str, float]:
    """How far the laws of `model` are from solving the one-dimensional equations that follow from (11.8)."""
    b, k, d, t = equation.beta, equation.kappa, equation.size, 0.37
    confined = float(equation.energy == QUADRATIC)

    def residual(law: "Any", drift: "Any", drift_slope: "Any", noise: "Any", slopes: "Any") -> float:
        x = law(t).ppf(np.linspace(0.1, 0.9, 9))
        return fokker_planck_residual(law, t, x, drift(x), drift_slope(x), noise(x), slopes)

    per_trace = 2.0 * k / b * d + 2.0 / b * d * (d - 1)
    start = [1.0, 2.0, 4.5, 0.3][:d]
    found = {
        "trace": residual(
            lambda s: laws.trace(model, s),
            lambda x: per_trace - 2.0 * confined * x,
            lambda x: np.full_like(x, -2.0 * confined),
            lambda x: 8.0 * k / b * x,
            (8.0 * k / b, 0.0),
        ),
        "centre": residual(
            lambda s: laws.centre_of_mass(model, start, s),
            lambda x: -confined * x,
            lambda x: np.full_like(x, -confined),
            lambda x: np.full_like(x, 2.0 * k / (b * d)),
            (0.0, 0.0),
        ),
    }
    if d == 2:
        found["gap"] = residual(
            lambda s: laws.gap(model, s),
            lambda x: 4.0 / (b * x) - confined * x,
            lambda x: -4.0 / (b * x * x) - confined,
            lambda x: np.full_like(x, 4.0 * k / b),
            (0.0, 0.0),
        )
    return found


@pytest.mark.parametrize("energy", [QUADRATIC, NONE, None], ids=str)
@pytest.mark.parametrize(("size", "beta", "kappa"), [(2, 3.0, 0.8), (2, 0.9, 1.9), (4, 5.0, 0.6)])
def test_dyson_laws_solve_their_equations(size: int, beta: float, kappa: float, energy: Energy | None) -> None:
    model = Particles(size, beta, kappa, energy)
    right = residuals(model, model)
    wrong = residuals(model, Particles(size, beta, 1.05 * kappa, energy))
    for name, value in right.items():
        assert value < 1e-3, name
        assert wrong[name] > 1e-2, name


def test_dyson_laws_start_at_a_point_and_end_at_equilibrium() -> None:
    model = Particles(2, 3.0, 0.8)
    assert laws.trace(model, 1e-9).mean() < 1e-8
    assert laws.gap(model, 1e-9).mean() < 1e-3
    assert laws.centre_of_mass(model, [1.0, 3.0], 1e-9).mean() == pytest.approx(2.0, abs=1e-8)
    for law in (laws.trace, laws.gap):
        np.testing.assert_allclose(law(model, 20.0).ppf([0.1, 0.7]), law(model).ppf([0.1, 0.7]), rtol=1e-12)
    assert laws.centre_of_mass(model) == laws.Normal(0.0, math.sqrt(0.8 / 6.0))


def test_equilibrium_of_two_particles_agrees_with_quadrature() -> None:
    model = Particles(2, 3.0, 0.8)
    n, T = 2.0 / model.kappa, model.kappa / model.beta

    def mass(g: float) -> float:  # x = m ± g/2, the centre integrated out
        return quad(lambda r: r**n * math.exp(-r * r / (4.0 * T)), 0.0, g, epsabs=0.0, epsrel=1e-11)[0]

    law = laws.gap(model)
    for q in (0.05, 0.5, 0.95):
        g = float(law.ppf(q))
        assert mass(g) / mass(40.0 * math.sqrt(T)) == pytest.approx(q, abs=1e-10)
    # Σx² = 2m² + g²/2, m and g independent
    centre = laws.centre_of_mass(model)
    assert laws.trace(model).mean() == pytest.approx(2.0 * centre.moment(2) + law.moment(2) / 2.0, rel=1e-13)


def test_standard_free_motion_is_the_textbook_one() -> None:
    b, d, t = 3.0, 7, 0.4
    expected = laws.Gamma((d + b * d * (d - 1) / 2.0) / 2.0, 4.0 * t / b)
    law = laws.trace(Particles(d, 2.0, 2.0 / b, NONE), t)
    assert (law.mean(), law.var()) == pytest.approx((expected.mean(), expected.var()), rel=1e-14)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: laws.trace(Network(2, 3, 1.0, 1.0), 1.0), "equilibrium only, got time 1.0"),
        (
            lambda: laws.trace(Network(2, 3, 1.0, 1.0, Energy("polynomial"))),
            "quadratic only, got 'polynomial'",
        ),
        (lambda: laws.trace(Network(2, 3, 1.0, 1.0, None)), "quadratic only, got 'none'"),
        (lambda: laws.trace(Network(0.5, 3, 1.0, 1.0)), "depth .*0.5"),
        (lambda: laws.trace(Network(2, 3, 1.0, 0.0)), "kappa .*0.0"),
        (lambda: laws.trace(Particles(3, -1.0, 1.0)), "beta .*-1.0"),
        (lambda: laws.trace(Particles(3, 1.0, 1.0, NONE)), "no equilibrium"),
        (lambda: laws.trace(Particles(3, 1.0, 1.0, Energy("quartic")), 1.0), "'quartic'"),
        (lambda: laws.trace(Particles(3, 1.0, 1.0), 0.0), "time .*0.0"),
        (lambda: laws.gap(Particles(3, 1.0, 1.0)), "size 3"),
    ],
)
def test_what_has_no_law_is_refused(ask: "Any", message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ask()
