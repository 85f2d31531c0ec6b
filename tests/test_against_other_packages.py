"""Laws and exact draws against public packages of random matrix theory: DPPy and TracyWidom.

DPPy (Gautier, Polito, Bardenet and Valko 2019) has the semicircle, Marchenko and Pastur's law, and the tridiagonal
models of the β-Hermite and β-Laguerre ensembles. Densities agree to rounding. Samples are held against ours by the
two-sample distance of each ordered value, with false-alarm rate 1e-6 in all, and a slightly wrong ensemble must fail.

TracyWidom (Mao 2013) interpolates the tables of Bejan 2005, six digits that are off by up to 4.0e-5 for β = 1, 4.3e-5
for β = 2 and 3.7e-4 for β = 4. That the error is theirs is decided by Fredholm determinants (Ferrari and Spohn
2005): with B_s(x, y) = Ai(x + y + s) on the positive half-line, F_1(s) = det(1 − B_s), F_2(s) = det(1 − B_s²) and
2 F_4(s/√2) = det(1 − B_s) + det(1 + B_s).

scikit-rmt cannot be installed beside NumPy 2 in a version that can be imported: docs/verification.md has what an
environment of its own showed. Its Tracy–Widom tables are TracyWidom's.
"""

import importlib
from importlib import metadata

import numpy as np
import pytest
from scipy.special import airy

import dlnmc
from dlnmc import analysis, laws, statistics

FALSE_ALARM = 1e-6
PATHS = 4096
ROUNDING = 1e-13

pytestmark = [
    pytest.mark.filterwarnings("ignore:scipy.misc is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*invalid escape sequence"),
]


def named(package):
    return f"{package} {metadata.version(package)}"


@pytest.fixture
def dppy():
    return importlib.import_module("dppy.random_matrices")


@pytest.fixture
def tracy_widom():
    return importlib.import_module("TracyWidom").TracyWidom


def test_semicircle(dppy, record):
    x = np.linspace(-2.2, 2.2, 441)
    difference = np.max(np.abs(laws.Semicircle(2.0).pdf(x) - dppy.semi_circle_law(x, 2.0)))
    control = np.max(np.abs(laws.Semicircle(2.01).pdf(x) - dppy.semi_circle_law(x, 2.0)))
    record(what="density of the semicircle; control: radius 2.01", package=named("dppy"), difference=difference,
           allowed=ROUNDING, control=control)  # fmt: skip
    assert difference < ROUNDING < control


def test_marchenko_pastur(dppy, record):
    sigma = np.linspace(0.01, 1.99, 400)
    theirs = 2.0 * sigma * dppy.marcenko_pastur_law(sigma**2, 1, 1)  # the density of σ, from that of σ²
    difference, control = (np.max(np.abs(laws.QuarterCircle(r).pdf(sigma) - theirs)) for r in (2.0, 2.01))
    record(what="quarter circle, as Marchenko and Pastur's law; control: radius 2.01", package=named("dppy"),
           difference=difference, allowed=ROUNDING, control=control)  # fmt: skip
    assert difference < ROUNDING < control


def fredholm(beta, s, nodes=60):
    """F_β(s) by Gauss–Legendre quadrature on [0, 16]."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    x, root = 8.0 * (x + 1.0), np.sqrt(8.0 * w)
    s = s * np.sqrt(2.0) if beta == 4 else s
    B = root[:, None] * airy(x[:, None] + x + s)[0] * root
    minus, plus = np.linalg.det(np.eye(nodes) - B), np.linalg.det(np.eye(nodes) + B)
    return {1: minus, 2: minus * plus, 4: (minus + plus) / 2.0}[beta]


@pytest.mark.parametrize(("beta", "allowed"), [(1, 5e-5), (2, 5e-5), (4, 4e-4)], ids=["1", "2", "4"])
def test_tracy_widom(beta, allowed, tracy_widom, record):
    law, theirs, s = laws.TracyWidom(beta), tracy_widom(beta), np.linspace(-7.0, 5.0, 1201)
    off = np.abs(law.cdf(s) - theirs.cdf(s))
    control = np.max(np.abs(laws.TracyWidom(beta, 1.01).cdf(s) - theirs.cdf(s)))
    record(what=f"Tracy–Widom, β = {beta}: distribution function; control: scale 1.01", package=named("TracyWidom"),
           difference=np.max(off), allowed=allowed, control=control)  # fmt: skip
    assert np.max(off) < allowed < control
    worst = s[np.argmax(off)]
    assert abs(law.cdf(worst) - fredholm(beta, worst)) < 1e-12
    assert abs(theirs.cdf(worst) - fredholm(beta, worst)) > 1e-5


def agree(model, theirs, wrong, what, record):
    """Our draws against theirs, value by value; `theirs` and `wrong` are functions of a seed."""
    ours = analysis.states(dlnmc.exact(model, paths=PATHS, seed=1))[:, 0]
    bound = statistics.kolmogorov_bound(PATHS, PATHS, FALSE_ALARM / model.size)
    distances = []
    for draw in (theirs, wrong):
        rng = np.random.RandomState(7)
        drawn = np.array([np.sort(draw(rng)) for _ in range(PATHS)])
        pairs = zip(ours.T, drawn.T, strict=True)
        distances.append(max(statistics.kolmogorov_between(a, b).value for a, b in pairs))
    record(what=what, package=named("dppy"), difference=distances[0], allowed=bound, control=distances[1])
    assert distances[0] < bound < distances[1]


@pytest.mark.parametrize("kappa", [2.0, 1.0, 0.5])
def test_hermite_ensemble(kappa, dppy, record):
    """At equilibrium p ∝ |Δ|^{2/κ} e^{−(β/κ) Σx²/2}: with β = κ the weight is that of standard normals."""
    size, exponent = 6, 2.0 / kappa

    def draw(rng, factor=1.0):
        return dppy.mu_ref_normal_sampler_tridiag(beta=factor * exponent, size=size, random_state=rng)

    model = dlnmc.DysonBrownianMotion(size=size, beta=kappa, kappa=kappa)
    what = f"β-Hermite ensemble, β = {exponent:g}, d = {size}: samples; control: 1.25 β"
    agree(model, draw, lambda rng: draw(rng, 1.25), what, record)


@pytest.mark.parametrize("depth", [1.0, 3.0])
def test_laguerre_ensemble(depth, dppy, record):
    """At κ = ½ the squares σ² are a β-Laguerre ensemble with exponent 1 and weight y^{1/(2N) − 1} e^{−βy}."""
    width, beta = 6, 2.5

    def draw(rng, factor=1.0):
        squares = dppy.mu_ref_gamma_sampler_tridiag(
            shape=0.5 / depth, scale=factor / beta, beta=1.0, size=width, random_state=rng
        )
        return np.sqrt(np.maximum(squares, 0.0))  # the smallest may be negative by rounding

    model = dlnmc.DeepLinearNetwork(width=width, depth=depth, beta=beta, kappa=0.5)
    what = f"β-Laguerre ensemble, N = {depth:g}, κ = ½, d = {width}: samples of σ; control: 1.25 times the scale"
    agree(model, draw, lambda rng: draw(rng, 1.25), what, record)
