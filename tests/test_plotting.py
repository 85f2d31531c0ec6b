import math
import os
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

import dlnmc
from dlnmc import files, laws
from dlnmc.errors import InvalidValue
from dlnmc.pictures import plot
from dlnmc.plotting import results

BRIEF = {"dt": 5e-3, "burn_in": 0.1, "duration": 0.1, "observations": 8, "threads": 1}


def network(depth=1.0, kappa=1.0, width=4):
    return dlnmc.DeepLinearNetwork(width, depth, 4.0, kappa=kappa)


@pytest.fixture(scope="module")
def depths():
    return dlnmc.sweep([network(N) for N in (1, 2, 4)], paths=64, **BRIEF)


@pytest.fixture(scope="module")
def picture(depths):
    return plot(depths)


@pytest.fixture(scope="module")
def kappas():
    return dlnmc.sweep([network(3, kappa) for kappa in (0.5, 0.7, 1.0)], paths=64, **BRIEF)


@pytest.fixture(scope="module")
def paths():
    return dlnmc.simulate(network(3), paths=16, dt=5e-3, times=np.linspace(0.0, 0.1, 11), threads=1)


@pytest.fixture(scope="module")
def from_zero():
    model = dlnmc.DysonBrownianMotion.standard(4, 2.0)
    return dlnmc.simulate(model, paths=32, dt=5e-3, times=[0.05, 0.1, 0.5], start="zero", threads=1)


def steps(ax, label):
    """The step curves of a panel whose label begins like this: (values, edges)."""
    found = [patch for patch in ax.patches if isinstance(patch, StepPatch) and patch.get_label().startswith(label)]
    return [(patch.get_data().values, patch.get_data().edges) for patch in found]


def integral(curve):
    values, edges = curve
    return np.nansum(values * np.diff(edges))


def test_a_sweep_is_drawn_as_small_multiples_with_residuals(picture):
    densities, residuals = picture.axes[::2], picture.axes[1::2]
    assert isinstance(picture, Figure)
    assert len(densities) == len(residuals) == 3
    assert [ax.get_title(loc="left") for ax in densities] == [f"depth $N$ = {N}" for N in (1, 2, 4)]
    assert "width $d$ = 4, $\\beta$ = 4, $\\kappa$ = 1; 64 paths" in picture.get_suptitle()
    assert "depth" not in picture.get_suptitle()
    for N, ax in zip((1, 2, 4), densities, strict=True):
        (measured,), (law,) = steps(ax, "measured"), steps(ax, "law")
        assert integral(measured) == pytest.approx(1.0, abs=0.01)  # a few values overflow the histogram
        assert integral(law) == pytest.approx(1.0)
        assert any(f"edge {laws.singular_values(N).support[1]:.4g}" in text.get_text() for text in ax.texts)
    assert all(ax.patches and ax.get_ylim()[0] == -ax.get_ylim()[1] for ax in residuals)


def test_the_law_is_drawn_as_probabilities_of_bins(picture):
    (law,) = steps(picture.axes[2], "law")
    expected = np.diff(laws.singular_values(2).cdf(law[1])) / np.diff(law[1])
    np.testing.assert_allclose(np.nan_to_num(law[0]), expected)


def test_the_law_is_drawn_at_every_kappa(kappas):
    edges = [laws.singular_values(3, kappa).support[1] for kappa in (0.5, 0.7, 1.0)]
    assert kappas["law/edge"].values.tolist() == pytest.approx(edges)
    figure = plot(kappas)
    assert [len(steps(ax, "law")) for ax in figure.axes[::2]] == [1, 1, 1]
    assert not any("no law" in text.get_text() for ax in figure.axes[1::2] for text in ax.texts)


def test_the_band_is_two_standard_errors_of_independent_batches(depths, picture):
    measured, band = (steps(picture.axes[0], label)[0] for label in ("measured", "band"))
    histogram = depths["histogram"].to_dataset().isel(depth=0)
    merged = histogram.sizes["bin"] // len(measured[0])
    counts = histogram["counts"].to_numpy().reshape(histogram.sizes["batch"], -1, merged).sum(axis=2)
    each = counts / histogram["samples"].to_numpy()[:, None] / np.diff(measured[1])  # equal batches: a plain mean
    error = each.std(axis=0, ddof=1) / np.sqrt(len(each))
    np.testing.assert_allclose(measured[0], each.mean(axis=0))
    np.testing.assert_allclose(band[0], measured[0] + 2.0 * error)


def test_one_batch_gives_no_band():
    figure = plot(dlnmc.equilibrium(network(), paths=8, **BRIEF))
    assert len(figure.axes) == 2
    assert steps(figure.axes[0], "measured")
    assert not steps(figure.axes[0], "band")


def test_dyson_is_drawn_on_the_semicircle():
    tree = dlnmc.equilibrium(dlnmc.DysonBrownianMotion(4, 4.0), paths=64, **BRIEF)
    figure = plot(tree)
    (law,) = steps(figure.axes[0], "law")
    assert integral(law) == pytest.approx(1.0)
    assert law[1][0] == -law[1][-1]
    assert figure.axes[1].get_xlabel() == "eigenvalue $x\\sqrt{\\beta/d}$"


def test_two_swept_parameters_make_a_grid_with_few_columns():
    models = [network(N, kappa, 3) for N in (1, 2) for kappa in (0.5, 1.0, 1.5)]
    figure = plot(dlnmc.sweep(models, paths=16, **BRIEF))
    titles = [ax.get_title(loc="left") for ax in figure.axes[::2]]
    assert titles[:3] == [
        "$\\kappa$ = 0.5, depth $N$ = 1",
        "$\\kappa$ = 0.5, depth $N$ = 2",
        "$\\kappa$ = 1, depth $N$ = 1",
    ]
    columns = {ax.get_subplotspec().get_topmost_subplotspec().colspan.start for ax in figure.axes}
    assert columns == {0, 1}


def test_what_is_too_much_is_refused_and_its_parts_are_drawn():
    models = [network(N, kappa, width) for N in (1, 2) for kappa in (0.5, 1.0) for width in (2, 3)]
    tree = dlnmc.sweep(models, paths=16, **BRIEF)
    with pytest.raises(InvalidValue, match=r"depth \(2\) x width \(2\) x kappa \(2\).*select.*isel\(depth=0\)"):
        plot(tree)
    figure = plot(tree.isel(depth=1))
    assert len(figure.axes) == 8
    assert "depth $N$ = 2" in figure.get_suptitle()
    assert len(plot(tree.sel(depth=1.0, kappa=0.5).isel(width=0)).axes) == 2


def test_the_energy_is_found_in_the_configuration_of_a_study(depths):
    tree = depths.isel(depth=[0])
    tree.attrs = tree.attrs | {"config": '{"model": {"energy": "quadratic", "depth": [1, 2]}, "run": {"paths": 64}}'}
    assert steps(plot(tree).axes[0], "law")
    tree.attrs = tree.attrs | {"config": '{"model": {"energy": {"kind": "none"}}}'}
    assert not steps(plot(tree).axes[0], "law")


def test_a_histogram_that_missed_everything_is_refused(depths):
    tree = depths.isel(depth=0)
    tree["histogram/counts"] = 0 * tree["histogram/counts"]
    with pytest.raises(InvalidValue, match="nothing to draw"):
        plot(tree)


def test_ranges_that_differ_much_get_their_own_axes(picture):
    assert len({ax.get_xlim() for ax in picture.axes}) == 1
    tree = dlnmc.sweep([network(1, kappa) for kappa in (0.1, 1.0, 10.0)], paths=16, **BRIEF)
    assert len({ax.get_xlim() for ax in plot(tree).axes}) == 3


def test_a_simulation_is_drawn_as_paths_beside_the_last_density(paths):
    figure = plot(paths)
    left, right = figure.axes
    drawn = np.array([line.get_ydata() for line in left.lines if line.get_color() != "#555555"])
    expected = paths["singular_values"].isel(path=[0, 1]).transpose("path", "rank", "time")  # sqrt(beta/d) = 1
    np.testing.assert_allclose(drawn, np.concatenate(expected))
    (measured,), (law,) = steps(right, "measured"), steps(right, "law")
    assert integral(measured) == pytest.approx(1.0)
    assert integral(law) == pytest.approx(1.0)
    assert right.get_title(loc="left") == "$t$ = 0.1"
    assert "law of the equilibrium" in " ".join(text.get_text() for text in figure.legends[0].texts)


def test_small_systems_show_more_paths():
    data = dlnmc.simulate(network(width=2), paths=8, dt=5e-3, times=[0.0, 0.05, 0.1], threads=1)
    labels = [text.get_text() for text in plot(data).legends[0].texts]
    assert labels[:3] == ["path 0", "path 1", "path 2"]
    assert plot(data.isel(path=[5])).legends[0].texts[0].get_text() == "path 5"


def test_free_motion_from_zero_is_drawn_on_its_law_at_each_time(from_zero):
    figure = plot(from_zero)
    left, right = figure.axes
    edges = [line.get_ydata() for line in left.lines if line.get_color() == "#555555"]
    expected = 2.0 * np.sqrt(2.0 * from_zero["time"].to_numpy())
    np.testing.assert_allclose(edges, [-expected, expected])
    assert integral(steps(right, "law")[0]) == pytest.approx(1.0)
    assert "free Dyson Brownian motion" in figure.get_suptitle()


def test_free_motion_from_elsewhere_has_no_law():
    model = dlnmc.DysonBrownianMotion.standard(3, 2.0)
    start = np.array([-1.0, 0.0, 1.0])
    data = dlnmc.simulate(model, paths=4, dt=5e-3, times=[0.05, 0.1], start=start, threads=1)
    assert not steps(plot(data).axes[1], "law")


def test_a_single_time_is_drawn_as_a_density():
    data = dlnmc.simulate(network(2), paths=1, dt=5e-3, times=[0.1], threads=1)
    upper, _ = plot(data).axes
    assert integral(steps(upper, "measured")[0]) == pytest.approx(1.0)


def test_results_from_files_give_the_same_pictures(depths, paths, tmp_path):
    for result in (depths.isel(depth=[1]), paths):
        opened = files.open(files.save(result, tmp_path / "result.nc"))
        plot(result, tmp_path / "before.svg")
        plot(opened, tmp_path / "after.svg")
        assert (tmp_path / "before.svg").read_bytes() == (tmp_path / "after.svg").read_bytes()


@pytest.mark.parametrize(("suffix", "magic"), [("png", b"\x89PNG"), ("PDF", b"%PDF"), ("svg", b"<?xml")])
def test_the_extension_chooses_the_format(paths, tmp_path, suffix, magic):
    path = tmp_path / "new folder" / f"picture.{suffix}"
    plot(paths, path, dpi=50)
    assert path.read_bytes().startswith(magic)
    assert os.listdir(path.parent) == [path.name]


def test_dpi_sets_the_size_of_a_bitmap(paths, tmp_path):
    figure = plot(paths, tmp_path / "picture.png", dpi=100)
    header = (tmp_path / "picture.png").read_bytes()[16:24]
    size = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:], "big")
    assert size == tuple(np.round(100 * figure.get_size_inches()))
    assert size[0] == 1000


def test_fonts_are_not_small(picture):
    picture.draw_without_rendering()
    texts = picture.findobj(lambda artist: hasattr(artist, "get_fontsize") and bool(artist.get_text()))
    assert min(text.get_fontsize() for text in texts) >= 9.0


def test_nothing_global_changes(paths, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it would fail
    with mpl.rc_context({"axes.grid": False, "font.size": 23.0, "savefig.facecolor": "black"}):
        before = mpl.rcParams.copy()
        figure = plot(paths, tmp_path / "picture.png", dpi=50)
        assert mpl.rcParams.copy() == before
        assert figure.axes[0].xaxis.label.get_fontsize() == 10.0


def test_notebooks_get_a_bitmap(paths):
    png, size = vars(plot(paths))["_repr_png_"]()
    assert png.startswith(b"\x89PNG")
    assert size == {"width": 1000}


def test_what_cannot_be_drawn_is_refused_in_one_line(depths, paths):
    for result in (
        depths["samples"].to_dataset(),
        paths[["status"]],
        paths["singular_values"],
        "results/semicircle.nc",
    ):
        with pytest.raises(InvalidValue, match=r"no picture of this .*equilibrium or sweep.*simulate") as error:
            plot(result)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["picture.jpeg", "picture"])
def test_an_unknown_extension_is_refused(paths, tmp_path, name):
    with pytest.raises(InvalidValue, match=r"picture.*: a picture is written as \.pdf, \.png, \.svg"):
        plot(paths, tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dpi", [0, -1.0, float("inf"), float("nan")])
def test_a_bad_dpi_is_refused(paths, dpi):
    with pytest.raises(InvalidValue, match=f"dpi = {dpi!r}: it must be"):
        plot(paths, dpi=dpi)


def test_an_unwritable_path_is_refused_in_one_line(paths, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InvalidValue, match=r"file/picture\.svg: ") as error:
        plot(paths, tmp_path / "file" / "picture.svg")
    assert "\n" not in str(error.value)


def test_a_missing_matplotlib_is_said_in_one_line(paths, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InvalidValue, match=r"pip install dlnmc\[plot\]"):
        plot(paths)


# --- ladders of steps, histograms in time, polynomials, infinite depth, no noise --------------------------------------


def test_a_ladder_of_steps_is_drawn_with_a_panel_for_each():
    tree = dlnmc.equilibrium(network(2), paths=64, **BRIEF | {"dt": [5e-3, 1e-2, 2e-2]})
    titles = [ax.get_title(loc="left") for ax in plot(tree).axes[::2]]
    assert titles == [f"$\\Delta t$ = {dt}" for dt in ("0.005", "0.01", "0.02")]
    one = plot(tree.isel(dt=1))
    assert len(one.axes) == 2
    assert "$\\Delta t$ = 0.01" in one.get_suptitle()


def test_a_sweep_with_a_ladder_is_a_grid():
    models = [network(N) for N in (1, 2, 4)]
    figure = plot(dlnmc.sweep(models, paths=64, **BRIEF | {"dt": [5e-3, 1e-2]}))
    titles = [ax.get_title(loc="left") for ax in figure.axes[::2]]
    assert titles[:2] == ["depth $N$ = 1, $\\Delta t$ = 0.005", "depth $N$ = 1, $\\Delta t$ = 0.01"]
    assert len(titles) == 6


@pytest.fixture(scope="module")
def histograms():
    settings = {"paths": 200, "dt": 5e-3, "times": [0.0, 0.05, 0.1, 0.5], "bins": 64, "keep_samples": False}
    return dlnmc.simulate(dlnmc.DysonBrownianMotion.standard(4, 2.0), start="zero", **settings)


def test_histograms_in_time_are_drawn_with_the_law_of_each_time(histograms, tmp_path):
    figure = plot(histograms.isel(time=[1, 2, 3]))
    assert [ax.get_title(loc="left") for ax in figure.axes[::2]] == ["$t$ = 0.05", "$t$ = 0.1", "$t$ = 0.5"]
    for t, ax in zip((0.05, 0.1, 0.5), figure.axes[::2], strict=True):
        (measured,), (law,) = steps(ax, "measured"), steps(ax, "law")
        assert integral(measured) == pytest.approx(1.0, abs=0.02)
        expected = np.diff(laws.Semicircle(2.0 * math.sqrt(2.0 * t)).cdf(law[1])) / np.diff(law[1])
        np.testing.assert_allclose(np.nan_to_num(law[0]), expected, atol=1e-12)
    assert "200 paths" in figure.get_suptitle()
    opened = files.open(files.save(histograms, tmp_path / "result.nc"))
    assert len(plot(opened.isel(time=[1, 2, 3])).axes) == 6
    assert len(plot(opened.isel(time=2)).axes) == 2


def test_a_simulation_that_kept_states_is_drawn_as_paths_also_with_histograms():
    data = dlnmc.simulate(network(2), paths=16, dt=5e-3, times=[0.0, 0.05, 0.1], bins=16)
    assert [len(ax.lines) > 0 for ax in plot(data).axes] == [True, False]


def test_the_law_at_infinite_depth_is_drawn_where_there_is_an_equilibrium():
    deep = network(math.inf, 0.1)
    figure = plot(dlnmc.equilibrium(deep, paths=64, **BRIEF))
    assert steps(figure.axes[0], "law")
    assert "depth $N$ = $\\infty$" in figure.get_suptitle()
    settings = {"paths": 16, "dt": 5e-3, "times": [0.0, 0.1]}
    assert steps(plot(dlnmc.simulate(deep, **settings)).axes[1], "law")
    assert not steps(plot(dlnmc.simulate(deep.changed(kappa=0.5), **settings)).axes[1], "law")  # it never settles


def test_a_polynomial_energy_is_named_and_has_no_law():
    model = network(2).changed(energy=dlnmc.Polynomial((-1.0, 0.25)))
    figure = plot(dlnmc.equilibrium(model, paths=64, **BRIEF))
    assert "polynomial energy (-1, 0.25)" in figure.get_suptitle()
    assert not steps(figure.axes[0], "law")
    assert any("no law" in text.get_text() for text in figure.axes[1].texts)


@pytest.mark.parametrize("bins", [None, 16])
def test_gradient_flow_is_drawn_in_its_own_units(bins):
    """At β = ∞ there is no √(d/β) to measure in."""
    model = network(3, 0.0).changed(beta=math.inf)
    settings = {"paths": 8, "dt": 5e-3, "times": [0.0, 0.5], "start": [0.5, 1.0, 1.0, 2.0]}
    figure = plot(dlnmc.simulate(model, bins=bins, keep_samples=bins is None, **settings))
    assert "$\\beta$ = $\\infty$" in figure.get_suptitle()
    if bins is None:
        left = figure.axes[0]
        assert left.get_ylabel() == "singular value $\\sigma$"
        assert [line.get_ydata()[0] for line in left.lines[:4]] == pytest.approx([2.0, 1.0, 1.0, 0.5])
    else:
        assert figure.axes[1].get_xlabel() == "singular value $\\sigma$"


def test_of_a_sweep_that_is_too_much_the_first_members_are_shown_and_told():
    models = [
        dlnmc.DeepLinearNetwork(3, N, 3.0, kappa=kappa, clock=clock)
        for N in (2, 3) for kappa in (0.5, 0.75, 1.0) for clock in ("depth", "paper")
    ]  # fmt: skip
    tree = dlnmc.sweep(models, paths=8, **BRIEF)
    shown, words = results.what_is_shown(tree)
    assert words == ", depth 2"
    assert dict(shown["histogram"].sizes)["kappa"] == 3
    assert "depth" not in shown["histogram"].sizes
    assert results.what_is_shown(shown)[1] == ""
    assert results.what_is_shown(dlnmc.sweep(models[:6], paths=8, **BRIEF))[1] == ""


def test_a_member_that_is_shown_is_told_by_its_clock():
    models = [
        dlnmc.DeepLinearNetwork(3, N, 3.0, kappa=kappa, clock=clock)
        for N in (2, 3, 4) for kappa in (0.5, 0.75, 1.0) for clock in ("depth", "paper")
    ]  # fmt: skip
    assert results.what_is_shown(dlnmc.sweep(models, paths=8, **BRIEF))[1] == ", clock depth"
