"""The study of large widths: what it finds, what that is held against, what is refused."""

import copy

import numpy as np
import pytest
import xarray as xr
from small_studies import overlaid, shipped, within

import dlnmc
from dlnmc import analysis, findings, laws, statistics, studies, tables
from dlnmc.studies import large_d

SMALL = overlaid(
    shipped("large-d"),
    within("widths", "model", {"width": [8, 12, 16], "depth": [1, 2], "kappa": 1.0, "beta": 8.0}),
    within("widths", "run", {"paths": 96, "draws": 4, "scheme": "leimkuhler_matthews"}),
    within("wide", "model", {"width": 24, "depth": 2, "kappa": 1.0, "beta": 24.0}),
    within("wide", "run", {"paths": 32, "scheme": "leimkuhler_matthews"}),
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return dlnmc.study(SMALL, tmp_path_factory.mktemp("large-d") / "small.nc", threads=1, progress=False)


@pytest.fixture(scope="module")
def summary(tree):
    return dlnmc.summary(tree)


@pytest.fixture(scope="module")
def found(summary):
    return findings.tables(summary)


def test_the_tracy_widom_law():
    exact = large_d.tracy_widom()
    assert exact["mean"] == pytest.approx(-1.2065335745820)
    assert exact["variance"] == pytest.approx(1.607781034581)
    assert exact["skewness"] == pytest.approx(0.29346452408)


def test_errors_of_medians():
    rng = np.random.default_rng(5)
    medians, errors = zip(
        *((np.median(u), large_d._error_of_median(u)) for u in rng.random((200, 400, 2))), strict=True
    )
    assert np.mean(errors) == pytest.approx(np.std(medians), rel=0.25)  # 5 standard errors of 200 of them


def test_what_it_finds(found):
    names = ["members", "edge_limits", "edges", "bulk", "smallest", "smallest_rates", "collapse", "rates"]
    assert list(found) == names
    assert [(row["part"], row["depth"], row["width"]) for row in found["members"]][-1] == ("wide", 2.0, 24)
    assert len(found["edge_limits"]) == 2 * 3
    assert {row["largest_width"] for row in found["edge_limits"]} == {16}
    assert len(found["collapse"]) == 2 * 2
    assert [row["exact"] for row in found["smallest_rates"]] == pytest.approx([1.0, 1.5])
    for row in found["bulk"]:
        assert row["length"] <= row["width"] / 8
        assert row["exact"] == laws.number_variance(row["length"], 1)
        assert row["mean_number"] == pytest.approx(row["length"], rel=0.1)


def test_limits_are_those_of_the_fit(found):
    rows = [row for row in found["edges"] if row["depth"] == 1.0]
    assert [row["width"] for row in rows] == [8, 12, 16]
    fit = statistics.at_infinity(
        [8, 12, 16], [row["mean"] for row in rows], [row["mean_error"] for row in rows], (2.0 / 3.0,)
    )
    row = found["edge_limits"][0]
    assert (row["depth"], row["quantity"]) == (1.0, "mean")
    assert row["limit"] == pytest.approx(float(fit.limit))
    assert row["limit_error"] == pytest.approx(float(fit.error) * max(1.0, float(fit.misfit)) ** 0.5)


def test_all_holds_and_a_summary_says_so(summary, tmp_path):
    assert findings.failed(findings.verdicts(summary)) == []
    stored = dlnmc.open(dlnmc.save(summary, tmp_path / "summary.nc"))
    xr.testing.assert_identical(stored, summary)
    assert list(findings.pictures(stored)) == ["edge", "bulk", "smallest", "densities", "rates"]
    assert all(len(picture.attrs["words"]) > 80 for picture in findings.pictures(stored).values())
    assert "edge limits" in tables.report(stored)
    dlnmc.plot(stored, tmp_path / "edge.png")


def test_every_check_can_fail(tree, found, monkeypatch):
    """The controls are figures that are wrong: by 1 for the edge, by 30 % and more for the rest."""
    monkeypatch.setattr(analysis, "checks", lambda *_: iter(()))
    settings, parts = findings.parts_of(tree)

    def failing(tables):
        return findings.failed(settings.checks(parts, tables))

    assert failing(found) == []
    wrong = copy.deepcopy(found)
    for row in wrong["edge_limits"]:
        row["limit"] += 1.0 + 5.0 * row["limit_error"]
    for row in wrong["members"]:
        row["spacing_ratio"] = 2.0 * np.log(2.0) - 1.0 - 5.0 * row["spacing_error"]  # independent levels
    for row in wrong["bulk"]:
        row["number_variance"] = row["length"] + 5.0 * row["number_variance_error"]
    for name in ("smallest_rates", "rates"):
        for row in wrong[name]:
            row["rate"] *= 0.5
            row["rate_error"] = 0.02
    for row in wrong["collapse"]:
        row["distance"] = 0.9
    number = {"of the largest": 6, "spacing ratio": 3, "number variance": 9, "median": 2, "from that of": 4, "Kolm": 2}
    texts = failing(wrong)
    assert {words: sum(words in text for text in texts) for words in number} == number


def test_another_law_is_seen(tree, monkeypatch):
    """The control: singular values that are 30 % too large."""
    monkeypatch.setattr(analysis, "checks", lambda *_: iter(()))
    new = tree.copy(deep=True)
    data = new["widths/samples"].to_dataset().copy(deep=True)
    data["singular_values"] = data["singular_values"] * 1.3
    new["widths/samples"].dataset = data
    failing = findings.failed(findings.verdicts(new))
    assert sum("mean of the largest" in text for text in failing) == 2


@pytest.mark.parametrize(
    ("part", "section", "values", "pieces"),
    [
        ("widths", "model", {"width": [8, 16]}, ("width = [8, 16]", "3 different ones")),
        ("wide", "model", {"width": [4, 8]}, ("part wide", "width = 4", "from ")),
        ("widths", "model", {"kappa": 0.1, "depth": 2}, ("kappa = 0.1",)),
        ("wide", "model", {"energy": {"kind": "polynomial", "coefficients": [0.0, 1.0]}, }, ("quadratic energy",)),
        ("widths", "model", {"beta": [8.0, 16.0]}, ("parts.widths.model.beta = [8.0, 16.0]", "one beta")),
        ("wide", "run", {"keep_samples": False}, ("part wide", "keeps samples")),
        ("", "study", {"edge": -1.0}, ("edge", "-1")),
    ],
)  # fmt: skip
def test_what_it_cannot_use_is_refused(part, section, values, pieces, refused):
    refused(lambda: studies.load(overlaid(SMALL, within(part, section, values))).members(), *pieces)
