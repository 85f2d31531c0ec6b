"""Points with error bars, lines and bands in small multiples. A picture is data first, and drawn from that.

picture = Curves("Distance to the law", words="The distance falls like 1/d at every depth.")
panel = picture.panel("depth $N$ = 2", "width $d$", "distance", xscale="log", yscale="log")
panel.points(widths, distances, errors, label="measured")
panel.line(widths, fitted, label="fit", dashed=True)
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from dlnmc.plotting.style import CYCLE, DASHED, GREY, MARKERS, VERMILION, legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
Scale = Literal["linear", "log", "symlog"]

PICTURE = "curves"
EXACT = "exact"  # the colour of what is known
REFERENCE = "reference"  # of what guides the eye
MOST_TICKS = 8
FEW_DIGITS = 2e4  # numbers below are written out
TEXTS = ("panel_title", "xlabel", "ylabel", "xscale", "yscale")


class Series(NamedTuple):
    """What is drawn in one look: "points", "line", "dashed", "band" or "dots"."""

    look: str
    label: str
    color: str  # "exact", "reference", or "" for the next of the cycle, by label
    x: Floats
    y: Floats
    low: Floats
    high: Floats


@dataclass
class CurvesPanel:
    """One panel; methods add what it shows."""

    title: str
    xlabel: str
    ylabel: str
    xscale: Scale
    yscale: Scale
    series: list[Series] = field(default_factory=list)

    def points(
        self, x: ArrayLike, y: ArrayLike, error: ArrayLike | None = None, *, label: str, color: str = ""
    ) -> None:
        """Points with bars of ±2 standard errors."""
        y, spread = _array(y), 2.0 * _array(np.zeros_like(_array(y)) if error is None else error)
        self._add("points", label, color, x, y, y - spread, y + spread)

    def line(self, x: ArrayLike, y: ArrayLike, *, label: str, dashed: bool = False, color: str = "") -> None:
        """A line through given points."""
        self._add("dashed" if dashed else "line", label, color, x, y, y, y)

    def band(self, x: ArrayLike, low: ArrayLike, high: ArrayLike, *, label: str, color: str = "") -> None:
        """All between two lines."""
        self._add("band", label, color, x, low, low, high)

    def dots(self, x: ArrayLike, y: ArrayLike, *, label: str, color: str = "") -> None:
        """Many small points."""
        self._add("dots", label, color, x, y, y, y)

    def _add(self, look: str, label: str, color: str, *values: ArrayLike) -> None:
        x, y, low, high = (_array(own) for own in values)
        self.series.append(Series(look, label, color, x, y, low, high))


@dataclass
class Curves:
    """A picture of panels in rows of `columns` (0: as many as fit); `words` say what is to be seen."""

    title: str
    words: str = ""
    columns: int = 0
    panels: list[CurvesPanel] = field(default_factory=list)

    def panel(
        self, title: str = "", xlabel: str = "", ylabel: str = "", xscale: Scale = "linear", yscale: Scale = "linear"
    ) -> CurvesPanel:
        """Add a panel."""
        self.panels.append(CurvesPanel(title, xlabel, ylabel, xscale, yscale))
        return self.panels[-1]

    def to_dataset(self) -> xr.Dataset:
        """The picture as labelled data, of which shorter series are filled up with NaN."""
        every = [(index, own) for index, panel in enumerate(self.panels) for own in panel.series]
        points = max((len(own.x) for _, own in every), default=0)

        def filled(name: str) -> Floats:
            rows = [np.pad(getattr(own, name), (0, points - len(own.x)), constant_values=np.nan) for _, own in every]
            return np.array(rows).reshape(len(every), points)

        meaning = {
            "x": "abscissa", "y": "ordinate",
            "low": "two standard errors below, or the lower end of a band",
            "high": "two standard errors above, or the upper end of a band",
        }  # fmt: skip
        values: dict[str, Any] = {
            name: (("series", "point"), filled(name), {"long_name": long_name, "units": "those of the axis"})
            for name, long_name in meaning.items()
        }
        for name in ("look", "label", "color"):
            values[name] = ("series", [getattr(own, name) for _, own in every])
        for name in TEXTS:
            values[name] = ("panel", [getattr(panel, name.removeprefix("panel_")) for panel in self.panels])
        values["panel_of"] = ("series", np.array([index for index, _ in every], dtype=np.int64))
        attrs = {"picture": PICTURE, "title": self.title, "words": self.words, "columns": self.columns}
        return xr.Dataset(values, attrs=attrs)

    @classmethod
    def from_dataset(cls, data: xr.Dataset) -> "Curves":
        """The picture that `to_dataset` labelled."""
        found = cls(str(data.attrs["title"]), str(data.attrs["words"]), int(data.attrs["columns"]))
        for k in range(data.sizes["panel"]):
            texts: list[Any] = [str(data[name].to_numpy()[k]) for name in TEXTS]
            found.panels.append(CurvesPanel(*texts))
        for k in range(data.sizes["series"]):
            own = data.isel(series=k)
            arrays = [own[name].to_numpy() for name in ("x", "y", "low", "high")]
            there = np.isfinite(arrays[0])
            texts = [str(own[name].item()) for name in ("look", "label", "color")]
            found.panels[int(own["panel_of"])].series.append(Series(*texts, *(array[there] for array in arrays)))
        return found


def _array(values: ArrayLike) -> Floats:
    return np.atleast_1d(np.asarray(values, dtype=np.float64))


def draw(picture: Curves) -> "Figure":
    """Small multiples, with axes of one range where panels of one row or column have the same label and scale."""
    from matplotlib.figure import Figure

    n = len(picture.panels)
    columns = picture.columns or {1: 1, 2: 2, 4: 2}.get(n, 3)
    rows = -(-n // columns)
    figure = Figure(
        figsize=(6.8 if columns == 1 else 10.0, 0.9 + (3.7 if columns < 3 else 3.0) * rows), layout="constrained"
    )
    figure.suptitle(picture.title, x=0.01, ha="left")
    labels = list(dict.fromkeys(own.label for panel in picture.panels for own in panel.series if not own.color))
    axes: list[Axes] = []
    for index, panel in enumerate(picture.panels):
        ax = figure.add_subplot(rows, columns, index + 1)
        axes.append(ax)
        for own in panel.series:
            _draw_series(ax, own, labels.index(own.label) if own.label in labels else 0)
        ax.set(xscale=panel.xscale, yscale=panel.yscale, title=panel.title)
        if index + columns >= n or picture.panels[index + columns].xlabel != panel.xlabel:
            ax.set_xlabel(panel.xlabel)
        if index % columns == 0 or picture.panels[index - 1].ylabel != panel.ylabel:
            ax.set_ylabel(panel.ylabel)
    for axis in ("x", "y"):
        _share(axes, picture.panels, axis)
    for ax, panel in zip(axes, picture.panels, strict=True):
        _ticks(ax, panel)
    legend(figure, axes, {})
    return figure


def _share(axes: "Sequence[Axes]", panels: Sequence[CurvesPanel], axis: str) -> None:
    """One range for panels with the same label and scale, if none would waste most of it."""
    groups: dict[tuple[str, str], list[int]] = {}
    for index, panel in enumerate(panels):
        groups.setdefault((getattr(panel, f"{axis}label"), getattr(panel, f"{axis}scale")), []).append(index)
    for (_, scale), group in groups.items():
        limits = np.array([getattr(axes[index], f"get_{axis}lim")() for index in group])
        widest = np.array([limits[:, 0].min(), limits[:, 1].max()])
        shown, whole = (np.log(limits), np.log(widest)) if scale == "log" else (limits, widest)
        if np.all(shown[:, 1] - shown[:, 0] > 0.3 * (whole[1] - whole[0])):
            for index in group:
                getattr(axes[index], f"set_{axis}lim")(*widest)


def _ticks(ax: "Axes", panel: CurvesPanel) -> None:
    """On logarithmic axes plain numbers: where points are, if they are few, else a few in each decade."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

    places = sorted({float(x) for own in panel.series if own.look == "points" for x in own.x})
    for name, axis in (("x", ax.xaxis), ("y", ax.yaxis)):
        if getattr(panel, f"{name}scale") != "log":
            continue
        low, high = sorted(axis.get_view_interval())
        if name == "x" and 1 < len(places) <= MOST_TICKS:
            axis.set_major_locator(FixedLocator(places))
            axis.set_minor_locator(NullLocator())
        elif high < 100.0 * low:
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.set_minor_formatter(NullFormatter())
        if high < FEW_DIGITS and low > 1.0 / FEW_DIGITS:
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _draw_series(ax: "Axes", own: Series, index: int) -> None:
    color = {EXACT: VERMILION, REFERENCE: GREY}.get(own.color, CYCLE[(index + (index > 0)) % len(CYCLE)])
    if own.look == "points":
        bars = np.array([own.y - own.low, own.high - own.y])
        marker = MARKERS[index % len(MARKERS)]
        ax.errorbar(own.x, own.y, bars, fmt=marker, ms=4.0, color=color, lw=1.0, capsize=2.0, label=own.label)
    elif own.look == "band":
        ax.fill_between(own.x, own.low, own.high, color=color, alpha=0.25, lw=0.0, label=own.label)
    elif own.look == "dots":
        many = len(own.x) > 300
        ax.plot(own.x, own.y, ".", ms=1.8, color=color, alpha=0.5, mew=0.0, label=own.label, rasterized=many)
    else:
        ls = DASHED if own.look == "dashed" else "-"
        ax.plot(own.x, own.y, color=color, ls=ls, lw=1.0 if own.color == REFERENCE else 1.3, label=own.label)
