"""What a result says, kept as data: tables, checks, pictures; summaries, pages, pandas, notebooks."""

import html.parser
import json
import re

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

import dlnmc
from dlnmc import files, findings, pages, plotting, statistics, tables
from dlnmc.plotting import Curves, Densities, draw_picture

TABLES = {
    "model": {"width": [4, 8, 16], "depth": [1.0, 2.0], "beta": 8.0},
    "run": {"paths": 128, "seed": 3},
    "study": {"title": "Three widths <b>&", "ks": 0.9, "trace": 0.9, "rate": 0.9},
}


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return dlnmc.study(TABLES, tmp_path_factory.mktemp("findings") / "out.nc", progress=False)


@pytest.fixture(scope="module")
def summary(result):
    return dlnmc.summary(result)


def same(a, b):
    """Whether two tables hold the same, nan for nan."""
    assert list(a) == list(b)
    for key in a:
        assert a[key] == b[key] or (a[key] is None and b[key] is None), key


def without_unknown(row):
    return {key: value for key, value in row.items() if value is not None and value == value}


# --- summaries --------------------------------------------------------------------------------------------------------


def test_a_summary_says_what_its_result_says(result, summary, tmp_path):
    stored = dlnmc.open(dlnmc.save(summary, tmp_path / "summary.nc"))
    xr.testing.assert_identical(stored, summary)
    for other in (summary, stored):
        assert findings.verdicts(other) == findings.verdicts(result)
        assert list(findings.tables(other)) == list(findings.tables(result)) == ["members", "approach", "rates"]
        for name, rows in findings.tables(result).items():
            for row, kept in zip(rows, findings.tables(other)[name], strict=True):
                same(without_unknown(row), without_unknown(kept))
        assert tables.report(other) == tables.report(result)
        assert tables.report_json(other) == tables.report_json(result)
        for name, picture in findings.pictures(result).items():
            xr.testing.assert_identical(findings.pictures(other)[name], picture)
    assert findings.summary(stored).equals(stored)
    assert (tmp_path / "summary.nc").stat().st_size < 300_000


def test_a_summary_opens_without_dlnmc(summary, tmp_path):
    path = dlnmc.save(summary, tmp_path / "summary.nc")
    with xr.open_datatree(path, engine="netcdf4") as tree:
        ks = tree["tables/members/ks"]
        assert ks.attrs["long_name"] == "Kolmogorov's distance of all values to the law for d → ∞"
        error = tree["tables/members/ks_error"].attrs["long_name"]
        assert error == f"standard error of {ks.attrs['long_name']}"
        np.testing.assert_array_equal(ks, [row["ks"] for row in findings.rows(summary)])
        assert tree["tables/members"].to_dataset().to_dataframe()["width"].tolist() == [
            row["width"] for row in findings.rows(summary)
        ]


def test_the_command_line_keeps_a_summary(result, dlnmc_command, tmp_path):
    dlnmc.save(result, tmp_path / "out.nc")
    assert dlnmc_command("summary", "out.nc").out == "out-summary.nc\n"
    assert dlnmc_command("check", "out-summary.nc") == dlnmc_command("check", "out.nc")
    assert dlnmc_command("report", "out-summary.nc") == dlnmc_command("report", "out.nc")
    one, other = (dlnmc_command("report", name, "--table", "rates") for name in ("out.nc", "out-summary.nc"))
    assert one == other
    heading, _, *lines = one.out.splitlines()
    assert heading.split()[:3] == ["depth", "beta", "kappa"]
    assert lines[lines.index("") + 1] == "depth: the depth N"
    as_json = dlnmc_command("report", "out.nc", "--table", "rates", "--json").out
    assert [row["quantity"] for row in json.loads(as_json)] == [line.split()[3] for line in lines[: lines.index("")]]
    assert dlnmc_command("plot", "out-summary.nc", "--picture", "approach").out == "out-summary-approach.png\n"
    code, _, err = dlnmc_command("plot", "out.nc", "--picture", "nothing")
    assert (code, err) == (2, "dlnmc: picture = 'nothing': the result has densities, approach\n")
    code, _, err = dlnmc_command("report", "out.nc", "--table", "nothing")
    assert (code, err) == (2, "dlnmc: table 'nothing': the result has members, approach, rates\n")


def test_paths_have_no_table_of_figures_and_say_what_they_have(refused):
    paths = dlnmc.exact(dlnmc.DeepLinearNetwork(2, 1.0, 2.0), paths=4, progress=False)
    refused(lambda: dlnmc.report(paths), "no group moments", "plot shows the states", "dlnmc.table(result)")
    assert len(dlnmc.table(paths)) == 4 * 2
    none = dlnmc.simulate(
        dlnmc.DeepLinearNetwork(2, 1.0, 2.0), paths=4, times=[0.1], dt=0.01, keep_samples=False, progress=False
    )
    with pytest.raises(dlnmc.InvalidValue) as told:
        dlnmc.report(none)
    assert "no group moments" in str(told.value)
    assert "plot" not in str(told.value)


# --- rates ------------------------------------------------------------------------------------------------------------


def test_rates_are_those_of_the_members(result):
    found = findings.tables(result)
    for row in found["rates"]:
        own = [other for other in found["approach"] if other["depth"] == row["depth"]]
        values, errors = ([other[row["quantity"] + end] for other in own] for end in ("", "_error"))
        fit = statistics.rate([other["width"] for other in own], values, errors)
        assert (row["rate"], row["rate_error"]) == fit.exponent
        assert (row["least_width"], row["largest_width"], row["widths"]) == (4, 16, 3)
    assert {"ks", "w1"} <= {row["quantity"] for row in found["rates"]}


def test_a_rate_that_is_off_fails(result):
    plan = dlnmc.studies.load(TABLES, ["rate=0.3"]).settings()
    _, parts = findings.parts_of(result)
    found = plan.tables(parts)
    assert all(holds for text, holds in plan.checks(parts, found) if "falls like" in text)
    for row in found["rates"]:
        row["rate"] = 0.3
        row["rate_error"] = 0.01
    assert not any(holds for text, holds in plan.checks(parts, found) if "falls like" in text)


def test_a_power_law_is_fitted_with_its_error():
    rng, x = np.random.default_rng(1), np.array([16.0, 32.0, 64.0, 128.0])
    z = []
    for _ in range(400):
        exact = 3.0 * x**-0.75
        error = 0.02 * exact
        fit = statistics.rate(x, exact + error * rng.standard_normal(4), error)
        z.append((fit.exponent.value - 0.75) / fit.exponent.error)
    assert abs(np.mean(z)) < 5.0 / np.sqrt(400)
    assert 0.7 < np.std(z) < 1.05  # errors grow with a misfit, never fall
    np.testing.assert_allclose(statistics.rate(x, 3.0 / x, 0.01 / x).at(x), 3.0 / x)


@pytest.mark.parametrize(
    ("x", "values", "errors"),
    [([1.0], [1.0], [1.0]), ([1.0, 1.0], [1.0, 2.0], [1.0, 1.0]), ([1.0, 2.0], [1.0, -1.0], [1.0, 1.0])],
)
def test_a_rate_of_what_has_none_is_refused(x, values, errors, refused):
    refused(lambda: statistics.rate(x, values, errors), "rate")


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_pictures_are_data_and_are_drawn_from_it(summary):
    for name, data in findings.pictures(summary).items():
        picture = {"densities": Densities, "curves": Curves}[data.attrs["picture"]].from_dataset(data)
        xr.testing.assert_identical(picture.to_dataset(), data)
        assert len(data.attrs["words"]) > 40
        figure = dlnmc.plot(summary, picture=name)
        assert isinstance(figure, Figure)
        assert len(figure.axes) == len(picture.panels) * (2 if isinstance(picture, Densities) else 1)


def test_series_of_any_length_and_look_are_kept():
    picture = Curves("title", "words", columns=2)
    first = picture.panel("a", "x", "y", "log", "log")
    first.points([1.0, 2.0, 4.0], [1.0, 0.5, 0.2], [0.1, 0.1, 0.01], label="measured")
    first.line([1.0, 4.0], [1.0, 0.25], label="exact", color=plotting.EXACT)
    second = picture.panel("b", "x", "z")
    second.band([0.0, 1.0], [0.0, 0.1], [1.0, 1.1], label="band")
    second.dots(np.arange(500.0), np.arange(500.0), label="dots")
    data = picture.to_dataset()
    xr.testing.assert_identical(Curves.from_dataset(data).to_dataset(), data)
    lines = draw_picture(data).axes[0].get_lines()
    np.testing.assert_allclose(lines[0].get_ydata(), [1.0, 0.5, 0.2])


def test_what_is_no_picture_is_refused(refused):
    refused(lambda: draw_picture(xr.Dataset()), "picture")


# --- pages ------------------------------------------------------------------------------------------------------------


class Page(html.parser.HTMLParser):
    """The tags of a page that are still open, all tags with their attributes, and the text."""

    EMPTY = ("meta", "link")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_a_page_holds_everything_and_needs_nothing(result, summary, tmp_path):
    text = pages.page(result)
    assert pages.write(summary, tmp_path / "a.html").read_text(encoding="utf-8") == text
    page = Page(text)
    pictures = [attrs for tag, attrs in page.tags if tag == "svg"]
    assert [attrs["aria-label"] for attrs in pictures] == [
        data.attrs["words"] for data in findings.pictures(result).values()
    ]
    assert all(attrs["role"] == "img" for attrs in pictures)
    assert "Three widths <b>&" in page.text
    assert not re.search(r"(src|href)=\"(?!#|data:)", text.replace('xlink:href="#', ""))
    assert not re.search(r"url\((?!#)|@import|<script", text)
    names = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(names) == len(set(names))
    for table in tables.tables(result):
        assert all(cell in page.text for line in table.cells for cell in line)
    for words, _ in findings.verdicts(result):
        assert words in page.text
    for name in ("kernel_hash", "dlnmc_version", "numba_version", "cpu"):
        assert str(result.attrs[name]) in page.text


def test_a_page_tells_what_failed(summary):
    broken = summary.copy(deep=True)
    checks = broken["checks"].to_dataset()
    checks["holds"][1] = 0
    broken["checks"] = xr.DataTree(dataset=checks)
    text = Page(pages.page(broken)).text
    assert f"1 of {checks.sizes['check']} checks failed" in text
    assert "FAILED" in text
    assert "checks passed" not in text
    assert f"All {checks.sizes['check']} checks passed" in Page(pages.page(summary)).text


@pytest.mark.parametrize("name", ["a.pdf", "a", "folder/is/a/file.html"])
def test_a_page_that_cannot_be_written_is_told(summary, name, tmp_path, refused):
    (tmp_path / "folder").write_text("")
    refused(lambda: pages.write(summary, tmp_path / name), name.split("/")[0])


def test_the_command_line_writes_a_page(summary, dlnmc_command, tmp_path):
    dlnmc.save(summary, tmp_path / "out.nc")
    assert dlnmc_command("report", "out.nc", "--html") == (0, "out.html\n", "")
    assert dlnmc_command("report", "out.nc", "--html", "-o", "b.html").out == "b.html\n"
    assert (tmp_path / "b.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


# --- notebooks --------------------------------------------------------------------------------------------------------


def test_tables_are_data_frames(result, summary, refused):
    for source in (result, summary):
        frame = dlnmc.table(source)
        assert frame["width"].tolist() == [row["width"] for row in findings.rows(result)]
        assert dlnmc.table(source, "rates")["quantity"].iloc[0] == "ks"
    refused(lambda: dlnmc.table(result, "nothing"), "nothing", "rates")
    model = dlnmc.DysonBrownianMotion.standard(3, 2.0)
    paths = dlnmc.simulate(model, paths=4, dt=0.01, times=[0.1, 0.2], start="zero", threads=1)
    frame = dlnmc.table(paths)
    assert len(frame) == 4 * 2 * 3
    assert {"path", "time", "component", "eigenvalues"} <= set(frame)
    refused(lambda: dlnmc.table(xr.Dataset()), "kept states")


def test_exact_draws_have_a_picture_and_a_table():
    for model, time in (
        (dlnmc.DeepLinearNetwork(5, 3.0, 5.0, 0.5), None),
        (dlnmc.DysonBrownianMotion(5, 5.0), None),
        (dlnmc.DysonBrownianMotion.standard(5, 2.0), 0.5),
    ):
        draws = dlnmc.exact(model, paths=64, time=time, threads=1)
        figure = dlnmc.plot(draws)
        assert "Exact draws" in figure.get_suptitle()
        assert "law" in str([text.get_text() for text in figure.legends[0].get_texts()])
        assert len(dlnmc.table(draws)) == 64 * 5


def test_models_show_themselves_in_notebooks():
    model = dlnmc.DeepLinearNetwork(
        2, 3.0, 2.0, energy=dlnmc.MatrixCompletion(((0, 0, 1.0), (1, 1, 1.0)), confinement=0.5)
    )
    text = Page(model._repr_html_()).text
    for words in ("DeepLinearNetwork", "width", "depth", "matrix_completion", "confinement"):
        assert words in text
    assert "<script>" not in dlnmc.studies.load(TABLES | {"name": "<script>"})._repr_html_()


def test_every_result_of_a_study_opens_as_it_was(result, tmp_path):
    path = files.save(result, tmp_path / "again.nc")
    xr.testing.assert_identical(dlnmc.open(path), result)


@pytest.mark.parametrize("ask", [dlnmc.report, dlnmc.table, dlnmc.summary])
def test_the_name_of_a_file_is_no_result(ask, refused):
    refused(lambda: ask("mine.nc"), "'mine.nc'", "dlnmc.open")
