"""The study of great depth: its figures, what they are held against, what is refused."""

import math

import numpy as np
import pytest
from small_studies import overlaid, shipped, within

import dlnmc
from dlnmc import findings, laws, studies
from dlnmc.studies.large_n import LargeN

SHIPPED = shipped("large-n")
PARTS = ("pairs", "depths", "infinite", "escape", "widths")
FINITE = {"kappa": [0.15, 1.0]}
LEAPING = {"paths": 128, "leaps": 16}
SMALL = overlaid(
    SHIPPED,
    within("pairs", "model", FINITE | {"depth": 16}),
    within("pairs", "run", LEAPING | {"dt": 19.0, "burn_in": 570.0, "duration": 95.0}),
    within("depths", "model", FINITE | {"depth": 8}),
    within("depths", "run", LEAPING | {"dt": 4.0, "burn_in": 120.0, "duration": 20.0}),
    within("infinite", "model", {"kappa": 0.3}),
    within("infinite", "run", {"paths": 512, "leaps": 8, "dt": 9.0, "burn_in": 500.0, "duration": 50.0}),
    within("escape", "model", {"kappa": [0.3, 1.0]}),
    within("escape", "run", {"paths": 128, "times": [1, 2, *range(5, 101, 5)]}),
    within("widths", "model", {"width": [4, 6, 8], "depth": 4}),
    within("widths", "run", {"paths": 32, "dt": 0.14, "burn_in": 4.0, "duration": 2.0}),
    {"study": {"ks": 0.3, "rate": 1.0}},
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return dlnmc.study(SMALL, tmp_path_factory.mktemp("large_n") / "small.nc", threads=1, progress=False)


def changed(tree, **changes):
    """The result with changes applied to the singular values of parts, in place."""
    new = tree.copy(deep=True)
    for part, change in changes.items():
        data = new[part]["samples"].to_dataset().copy(deep=True)
        change(data["singular_values"])
        new[part]["samples"].dataset = data
    return new


def failing(tree):
    return findings.failed(findings.verdicts(tree))


def settings_with(**values):
    return LargeN(**(SHIPPED["study"] | {"ks": 0.3, "rate": 1.0} | values))


def test_the_shipped_study_is_on_both_sides_of_the_threshold():
    parts = {name: part.models() for name, part in studies.load("large-n").sweeps().items()}
    assert tuple(parts) == PARTS
    for part in ("pairs", "depths", "escape"):
        for width in {model.width for model in parts[part]}:
            sides = {model.kappa < laws.threshold(width) for model in parts[part] if model.width == width}
            assert sides == {True, False}
    assert {model.depth for model in parts["depths"]} == {4.0**k for k in range(6)}
    full = studies.load("large-n", preset="full").sweeps()
    assert {model.width for model in full["depths"].models()} == {4, 8}


def test_the_tables_say_what_the_states_say(tree):
    tables = findings.tables(tree)
    assert next(iter(tables)) == "transition"
    assert [(row["width"], row["kappa"], row["survives"]) for row in tables["transition"]] == [
        (2, 0.15, True), (2, 0.3, False), (2, 1.0, False), (4, 0.15, True), (4, 0.3, True), (4, 1.0, False),
    ]  # fmt: skip
    for row in tables["depths"]:
        part = tree["pairs" if row["width"] == 2 else "depths"]
        values = part["samples/singular_values"].sel(kappa=row["kappa"]).squeeze()
        ratio = values.isel(rank=-1).to_numpy() / values.isel(rank=0).to_numpy()
        assert row["small"] == np.mean(ratio < 1e-3)
        assert row["lost"] == np.mean(ratio < 2.0 ** (-row["depth"] / 2.0))
        assert row["median"] == pytest.approx(-np.log(np.median(ratio)), rel=0.05)
    for row in tables["escape"]:
        values = tree["escape/samples/singular_values"].sel(width=row["width"], kappa=row["kappa"]).isel(time=-1)
        ratio = values.isel(rank=row["width"] - 1).to_numpy() / values.isel(rank=0).to_numpy()
        assert row["small"] == np.mean(ratio < 1e-3)
    deep = {row["depth"]: row for row in tables["laws"]}[1024.0]
    assert deep["edge"] * 1024.0 == pytest.approx(math.sqrt(math.e) / 4.0, rel=1e-3)
    assert [deep["ks_times_depth"], deep["w1_times_depth"]] == pytest.approx([0.487, 0.399], abs=0.002)


def test_all_that_is_known_holds_and_a_summary_says_so(tree, tmp_path):
    summary = findings.summary(tree)
    again = dlnmc.open(dlnmc.save(summary, tmp_path / "summary.nc"))
    assert findings.verdicts(again) == findings.verdicts(summary)
    assert list(findings.tables(again)) == list(findings.tables(summary))
    assert findings.failed(findings.verdicts(again)) == []
    pictures = findings.pictures(again)
    assert list(pictures) == ["transition", "depths", "collapse", "tails", "escape", "widths", "densities"]
    assert all(len(picture.attrs["words"]) > 50 for picture in pictures.values())


def test_wrong_states_fail(tree):
    """What is wrong in one way each: ratios, what is lost, power laws, paths, widths."""

    def squared(values):  # at depth 16 no longer the law of two
        values[..., -1] = values[..., -1] ** 2 / values[..., 0]

    def fainter(values):  # log σ_d moves twice as fast
        for width in (2, 4):
            own = values.sel(width=width)
            values.loc[{"width": width, "rank": width}] = own.sel(rank=width) ** 2 / own.sel(rank=1)

    def wider(values):
        values[...] = 3.0 * values

    found = failing(changed(tree, pairs=squared, escape=fainter, widths=wider))
    for words in ("from its exact law", "Bessel process", "to the law of its depth"):
        assert any(words in text for text in found), words


def test_wrong_figures_fail(tree):
    """Each kind of check on a table in which one figure is off."""
    parts, tables = {name: tree[name] for name in PARTS}, findings.tables(tree)
    study = settings_with()
    row = {"width": 4, "kappa": 0.3, "beta": 2.0, "depth": math.inf, "dimension": -1.0, "paths": 4096}
    infinite = dlnmc.statistics.Estimate(0.18, 0.006)

    def held(checks):
        return [holds for _, holds in checks]

    deep = row | {"depth": 1024.0, "small": 0.2, "small_error": 0.006}
    assert held(study._at_depth(deep, infinite)) == [True]
    assert held(study._at_depth(deep | {"small": 0.3}, infinite)) == [False]
    assert held(study._at_depth(deep | {"depth": 16.0}, infinite)) == []  # finite size allows nearly all
    lost = row | {"depth": 1024.0, "dimension": 1.0, "limit_distance": 0.02}
    assert held(study._at_depth(lost, None)) == [True]
    assert held(study._at_depth(lost | {"limit_distance": 0.06}, None)) == [False]
    slope = row | {"measured": -1.1, "measured_error": 0.05}
    assert held(study._dimension(slope, "power law")) == [True]
    assert held(study._dimension(slope | {"measured": -1.4}, "power law")) == [False]
    moving = row | {"time": 2000.0, "failed_paths": 0, "kappa": 1.0, "dimension": 1.5, "law_distance": 0.1}
    moving |= {"measured": 1.5, "measured_error": 0.05}
    assert held(study._of_paths(moving, None)) == [True, True, True]
    assert held(study._of_paths(moving | {"law_distance": 0.25, "failed_paths": 1}, None)) == [False, True, False]
    still = moving | {"dimension": -2.0, "measured": None, "law_distance": None, "small": 0.18, "small_error": 0.005}
    assert held(study._of_paths(still, infinite)) == [True, True]
    assert held(study._of_paths(still | {"small": 0.3}, infinite)) == [True, False]
    wrong = tables | {"rates": [{"depth": 4.0, "quantity": "x", "rate": 0.5, "rate_error": 0.01}]}
    assert held(settings_with(rate=0.2)._of_widths(wrong))[-1] is False
    assert sum(holds is False for _, holds in settings_with(ks=0.02).checks(parts, tables)) == len(tables["widths"])


@pytest.mark.parametrize(
    ("part", "section", "values", "words"),
    [
        ("pairs", "model", {"width": 3}, ("pairs.model.width = 3", "width = 2")),
        ("depths", "model", {"depth": [4, math.inf], "kappa": 0.15}, ("depths.model.depth = inf", "finite depths")),
        ("infinite", "model", {"depth": 8}, ("infinite.model.depth = 8", "depth = inf")),
        ("infinite", "model", {"kappa": [0.3, 0.4]}, ("no equilibrium", "0.375", "0.4")),
        ("escape", "run", {"start": "random"}, ("'random'", "'law'")),
        ("escape", "run", {"times": [5.0]}, ("escape.run.times = [5.0]", "two or more")),
        ("widths", "model", {"kappa": [0.5, 1.0]}, ("parts.widths.model.kappa = [0.5, 1.0]", "one kappa")),
        ("widths", "run", {"keep_samples": False}, ("widths.run.keep_samples", "states")),
        ("depths", "model", {"energy": {"kind": "polynomial", "coefficients": [0.5, 1.0]}}, ("depths", "quadratic")),
    ],
)
def test_parts_that_are_none_are_refused(part, section, values, words, tmp_path, refused):
    tables = overlaid(SMALL, within(part, section, values))
    refused(lambda: dlnmc.study(tables, tmp_path / "x.nc", progress=False), *words)


def test_one_width_has_pictures_too(tmp_path):
    tables = overlaid(SMALL, within("widths", "model", {"width": 8}))
    tree = dlnmc.study(tables, tmp_path / "one.nc", threads=2, progress=False)
    assert {"transition", "densities"} <= set(findings.pictures(tree))


def test_what_is_at_time_0_is_no_growth(tmp_path):
    tables = overlaid(SMALL, within("escape", "run", {"times": [0.0, 5.0, 10.0]}))
    tree = dlnmc.study(tables, tmp_path / "small.nc", threads=2, progress=False)
    rows = findings.tables(tree)["growth"]
    assert {row["time"] for row in rows} == {5.0, 10.0}
    assert all(np.isfinite(row["mean_square"]) for row in rows)
