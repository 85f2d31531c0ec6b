"""The study of fluctuations: formulas, what it finds, what that is held against, what is refused."""

import copy
import math

import numpy as np
import pytest
import xarray as xr
from small_studies import overlaid, shipped

import dlnmc
from dlnmc import analysis, findings, laws, studies, tables
from dlnmc.studies import fluctuations

SMALL = overlaid(
    shipped("fluctuations"),
    {
        "model": {"width": [4, 8, 16], "depth": [1, 8]},
        "run": {"paths": 192, "draws": 2, "scheme": "leimkuhler_matthews"},  # which needs no pilot runs
        "study": {"exact_paths": 1024, "finite_width": 0.05},
    },
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return dlnmc.study(SMALL, tmp_path_factory.mktemp("fluctuations") / "small.nc", threads=1, progress=False)


@pytest.fixture(scope="module")
def summary(tree):
    return dlnmc.summary(tree)


@pytest.fixture(scope="module")
def found(summary):
    return findings.tables(summary)


@pytest.fixture
def own_checks(tree, found, monkeypatch):
    """Function: the study's own checks that fail, of changed tables."""
    settings, parts = findings.parts_of(tree)
    monkeypatch.setattr(analysis, "checks", lambda *_: iter(()))

    def failing(change=None):
        changed = copy.deepcopy(found)
        if change is not None:
            change(changed)
        return findings.failed(settings.checks(parts, changed))

    return failing


# --- formulas ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1.0, 2.0, 3.0, 8.0])
def test_exponents_at_zero(depth):
    assert fluctuations.depth_of_same_exponent(depth, 0.5) == pytest.approx(depth)
    assert fluctuations.exponent(depth, 1.0) == pytest.approx((depth + 1.0) / (2.0 * depth))
    law = laws.singular_values(depth, 1.0)
    lam = np.array([1e-9, 2e-9])  # u ~ λ^{2pN}, which to the power e is λ
    u = law.cdf(lam**depth) if depth < 8.0 else lam ** (2.0 * law.hard_edge_exponent * depth)
    power = np.diff(np.log(u))[0] / math.log(2.0)
    assert power * fluctuations.exponent(depth, 1.0) == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("kappa", [0.5, 1.0, 3.0])
def test_edelman_in_u(kappa):
    """With u = d F(σ√(β/d)) at a large d and t = dσ²β/κ."""
    u, d = np.array([0.01, 0.2, 0.5, 1.0, 2.0]), 1e6
    t = (d * laws.singular_values(1.0, kappa).ppf(u / d)) ** 2 / kappa
    np.testing.assert_allclose(fluctuations.edelman_cdf(u), laws.smallest_singular_value().cdf(t), rtol=1e-9)
    assert fluctuations.edelman_cdf(0.5) == pytest.approx(1.0 - math.exp(-math.pi / 4.0 - math.pi**2 / 32.0))


def test_errors_are_those_of_paths():
    """Draws of a path are dependent; pairs of draws say as much as the shares of each path."""
    rng = np.random.default_rng(2)
    u = np.sort(np.abs(rng.standard_normal((300, 1, 3)) + 0.3 * rng.standard_normal((300, 4, 3))), axis=-1)
    shares = (u[..., None] < fluctuations.GRID).mean(axis=1)
    value, error = fluctuations._cdf(u)
    np.testing.assert_allclose(value, shares.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(error, np.maximum(shares.std(axis=0, ddof=1) / 300**0.5, 1 / 300), rtol=1e-6)
    edges = fluctuations.EDGES
    bins = np.diff((u[..., None] < edges).mean(axis=1), axis=-1) / np.diff(edges)
    value, error = fluctuations._density(u)
    np.testing.assert_allclose(value, bins.mean(axis=0), atol=1e-12)
    expected = np.maximum(bins.std(axis=0, ddof=1) / 300**0.5, 1 / 300 / np.diff(edges))
    np.testing.assert_allclose(error, expected, rtol=1e-6)


def test_exponents_are_read_from_powers():
    rng = np.random.default_rng(3)
    for e in (0.25, 1.0):
        value, error = fluctuations._hill(rng.random((4000, 2)) ** (1.0 / e), 0.2)
        assert error == pytest.approx(e / 1600**0.5, rel=0.2)
        assert abs(value - e) < 5.0 * error
        assert abs(value - 1.3 * e) > 5.0 * error


# --- results ----------------------------------------------------------------------------------------------------------


def test_what_it_finds(found):
    assert list(found) == ["limits", "exponents", "comparisons", "widths", "cdf", "density"]
    points = [(1.0, 0.5), (1.0, 1.0), (8.0, 0.5), (8.0, 1.0)]
    assert [(row["depth"], row["kappa"]) for row in found["exponents"]] == points
    assert len(found["limits"]) == 4 * 3
    assert len(found["cdf"]) == 4 * 3 * len(fluctuations.GRID)
    assert {(row["depth"], row["kappa"]) for row in found["comparisons"] if row["against"] == "exponent"} == {points[3]}
    for row in found["limits"]:
        assert row["lower_quartile"] < row["median"] < row["upper_quartile"]
        assert row["stationary"] is True
    for row in found["cdf"]:
        assert row["cdf_error"] > 0.0
        assert (row.get("bessel_of_exponent_cdf") is None) == (row["depth"] == 1.0 or row["kappa"] == 0.5)
    one = [row for row in found["density"] if (row["depth"], row["kappa"], row["rank"]) == (1.0, 1.0, 1)]
    assert sum(row["density"] * (row["high"] - row["low"]) for row in one) == pytest.approx(
        1.0, abs=0.05
    )  # bins have weights of their own


def test_all_holds_and_a_summary_says_so(summary, found, tmp_path):
    assert findings.failed(findings.verdicts(summary)) == []
    stored = dlnmc.open(dlnmc.save(summary, tmp_path / "summary.nc"))
    xr.testing.assert_identical(stored, summary)
    assert list(findings.pictures(stored)) == ["densities", "differences", "exponents"]
    assert len(findings.tables(stored)["cdf"]) == len(found["cdf"])
    assert "below one" in tables.report(stored)
    assert all(len(picture.attrs["words"]) > 80 for picture in findings.pictures(stored).values())
    dlnmc.plot(stored, tmp_path / "densities.png")


def test_every_check_can_fail(own_checks):
    assert own_checks() == []

    def shifted(tables):
        for row in tables["cdf"]:
            row["cdf"] += 0.3

    def bent(tables):
        tables["limits"][4]["residual_beyond"] = 0.06

    def steep(tables):
        tables["exponents"][0]["exponent"] *= 3.0

    def far(tables):
        for row in tables["comparisons"]:
            row["distance"] = 0.9 if row["kappa"] == 0.5 or row["depth"] == 1.0 else 0.01
            row["distance_error"] = 0.005  # of many paths

    def apart(tables):
        for row in tables["widths"]:
            row["distance"] = None if row["distance"] is None else 0.9

    def all_of_them(tables):
        for change in (shifted, bent, steep, far, apart):
            change(tables)

    failing = own_checks(all_of_them)
    number = {"Edelman's limit": 2, "leaves a line": 1, "~ s^": 1, "Bessel class": 3 * 3 + 1, "exact draws": 3 * 3 * 3}
    assert {words: sum(words in text for text in failing) for words in number} == number
    assert sum("another law" in text for text in failing) == 1


def test_few_paths_do_not_tell_another_law(tree, monkeypatch):
    monkeypatch.setattr(analysis, "checks", lambda *_: iter(()))
    settings, parts = findings.parts_of(tree)
    tables = copy.deepcopy(settings.tables(parts))
    for row in tables["comparisons"]:
        row |= {"distance": 0.01, "distance_error": 0.1}
    assert {holds for text, holds in settings.checks(parts, tables) if "another law" in text} == {None}
    for row in tables["comparisons"]:
        row["distance_error"] = math.nan
    assert {holds for text, holds in settings.checks(parts, tables) if "another law" in text} == {False}


def test_other_values_are_seen(tree, monkeypatch):
    """The control: the smallest singular values twice as large, and those of the largest width alone."""
    monkeypatch.setattr(analysis, "checks", lambda *_: iter(()))
    new = tree.copy(deep=True)
    data = new["samples"].to_dataset().copy(deep=True)
    depth_8 = xr.where(data["kappa"] == 0.5, 0.01, 1.0)
    data["singular_values"] = data["singular_values"] * xr.where(data["depth"] == 1.0, 4.0, depth_8)
    new["samples"].dataset = data
    failing = findings.failed(findings.verdicts(new))
    assert sum("Edelman's law" in text for text in failing) == 6
    assert any("from exact draws" in text for text in failing)
    assert any("the Bessel class of the same depth" in text for text in failing)
    assert any("Edelman's limit" in text for text in failing)


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "values", "pieces"),
    [
        ("model", {"width": [4, 8]}, ("width = [4, 8]", "3 or more")),
        ("model", {"width": [2, 4, 8]}, ("width", "from 3 on")),
        ("model", {"kappa": 0.1, "depth": 2}, ("kappa = 0.1", "no hard edge")),
        ("model", {"energy": {"kind": "polynomial", "coefficients": [0.0, 1.0]}}, ("quadratic",)),
        ("model", {"beta": [2.0, 4.0]}, ("model.beta = [2.0, 4.0]", "one beta")),
        ("run", {"keep_samples": False}, ("keeps samples",)),
        ("study", {"tail": 2.0}, ("tail", "2.0")),
    ],
)
def test_what_it_cannot_use_is_refused(section, values, pieces, refused):
    refused(lambda: studies.load(overlaid(SMALL, {section: values})).members(), *pieces)


def test_depth_one_alone_has_nothing_new_to_draw(tmp_path):
    tree = dlnmc.study(overlaid(SMALL, {"model": {"depth": [1]}}), tmp_path / "one.nc", threads=2, progress=False)
    assert set(findings.pictures(tree)) == {"densities", "exponents"}
