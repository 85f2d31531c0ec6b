"""Densities with their laws, and what is left below, with the band that noise explains.

A picture of densities is data: `as_dataset` labels it, files keep it, `from_dataset` and `draw` make the figure.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from dlnmc import laws
from dlnmc.errors import InvalidValue
from dlnmc.plotting.style import BLUE, DASHED, GREY, SKY, VERMILION, legend, note

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

PICTURE = "densities"
LAW_NAME = "law as $d\\to\\infty$"
FREE = 0.7  # an edge is named to its right where it is within so much of the axis
FARTHEST = 2.0  # 200 %, at the ends of a residual axis
FEWEST_BINS = 64
NOISE_PER_BIN = 0.03  # bins are merged until the median relative standard error is below


class Panel(NamedTuple):
    """A density by bins with its standard error, and its law as probability of each bin over width; None: unknown."""

    title: str
    edges: Floats
    density: Floats
    error: Floats | None
    law: Floats | None
    support: tuple[float, float]  # of the law; nan without one, and where it has no end
    law_name: str

    @property
    def extent(self) -> tuple[float, float]:
        """Where there is something to see."""
        cumulative = np.concatenate([[0.0], np.cumsum(self.density * np.diff(self.edges))])
        cumulative /= cumulative[-1] or 1.0
        low = self.edges[np.searchsorted(cumulative, 1e-5, side="right") - 1]
        high = self.edges[np.searchsorted(cumulative, 1.0 - 1e-5)]
        return float(np.fmin(low, 1.06 * self.support[0])), float(np.fmax(high, 1.06 * self.support[1]))

    @property
    def ceiling(self) -> float:
        """The top of the density axis: what diverges at 0 is cut there."""
        low, high = self.extent
        away = (low < 0.0) | (self.edges[1:] + self.edges[:-1] > 0.14 * high)
        return 1.25 * max(float(values[away].max()) for values in (self.density, self.law) if values is not None)


def panel_of(
    title: str,
    edges: Floats,
    counted: tuple[Floats, Floats | None],
    law: laws.Law | None,
    law_name: str = LAW_NAME,
) -> Panel:
    """The panel of a density and its error, with a law."""
    low, high = (math.nan, math.nan) if law is None else law.support
    support = (low if math.isfinite(low) else math.nan, high if math.isfinite(high) else math.nan)
    return Panel(title, edges, *counted, None if law is None else _law_density(law, edges), support, law_name)


def _law_density(law: laws.Law, edges: Floats) -> Floats:
    return np.diff(law.cdf(edges)) / np.diff(edges)


class Densities(NamedTuple):
    """A picture of densities, in rows of `columns`; `words` say what is to be seen."""

    panels: Sequence[Panel]
    columns: int
    title: str
    label: str
    errors_from: str
    words: str = ""

    def to_dataset(self) -> xr.Dataset:
        """The picture as labelled data; NaN where there is no error, or no law."""
        n = len(self.panels)
        bins = max(len(panel.density) for panel in self.panels)

        def filled(name: str, length: int) -> Floats:
            found = np.full((n, length), np.nan)
            for row, panel in zip(found, self.panels, strict=True):
                values = getattr(panel, name)
                if values is not None:
                    row[: len(values)] = values
            return found

        def variable(name: str, long_name: str, *dims: str) -> Any:
            length = bins + 1 if name == "edges" else 2 if name == "support" else bins
            return dims, filled(name, length), {"long_name": long_name, "units": "1"}

        data = xr.Dataset(
            {
                "panel_title": ("panel", [panel.title for panel in self.panels]),
                "law_name": ("panel", [panel.law_name for panel in self.panels]),
                "edges": variable("edges", "edges of the bins", "panel", "bin_edge"),
                "density": variable("density", "probability of a bin over its width", "panel", "bin"),
                "error": variable("error", "its standard error", "panel", "bin"),
                "law": variable("law", "the same of the law", "panel", "bin"),
                "support": variable("support", "ends of the law's support", "panel", "end"),
            }
        )
        words = {"title": self.title, "label": self.label, "errors_from": self.errors_from, "words": self.words}
        data.attrs = {"picture": PICTURE, "columns": self.columns} | words
        return data

    @classmethod
    def from_dataset(cls, data: xr.Dataset) -> "Densities":
        """The picture that `to_dataset` labelled."""

        def panel(own: xr.Dataset) -> Panel:
            values = {name: own[name].to_numpy() for name in ("edges", "density", "error", "law", "support")}
            bins = int(np.sum(np.isfinite(values["density"])))
            error, law = (values[name][:bins] if np.isfinite(values[name]).any() else None for name in ("error", "law"))
            title, law_name = (str(own[name].item()) for name in ("panel_title", "law_name"))
            edges, density = values["edges"][: bins + 1], values["density"][:bins]
            return Panel(title, edges, density, error, law, tuple(values["support"].tolist()), law_name)

        panels = [panel(data.isel(panel=k)) for k in range(data.sizes["panel"])]
        words = [str(data.attrs.get(name, "")) for name in ("title", "label", "errors_from", "words")]
        return cls(panels, int(data.attrs["columns"]), *words)


def counted(member: xr.Dataset, merged: int) -> tuple[Floats, NDArray[Any], NDArray[Any]]:
    """Edges, counts (batch, bin) and number of values (batch), with `merged` neighbouring bins made one."""
    counts = member["counts"].transpose("batch", "bin").to_numpy()
    counts = counts.reshape(len(counts), -1, merged).sum(axis=2)
    return member["edges"].to_numpy()[::merged].astype(np.float64), counts, member["samples"].to_numpy()


def merging(member: xr.Dataset) -> int:
    """How many neighbouring bins to make one, a power of two, so that noise does not hide the shape."""
    merged = 1
    while member.sizes["bin"] % (2 * merged) == 0 and member.sizes["bin"] >= 2 * merged * FEWEST_BINS:
        density, error = density_of(*counted(member, merged))
        bulk = density > 0.2 * density.mean()
        if error is not None and np.median(error[bulk] / density[bulk]) < NOISE_PER_BIN:
            break
        merged *= 2
    return merged


def density_of(edges: Floats, counts: NDArray[Any], samples: NDArray[Any]) -> tuple[Floats, Floats | None]:
    """The density, a ratio of sums over independent batches, and its standard error; None from a single batch."""
    total, width, batches = samples.sum(), np.diff(edges), len(samples)
    if not counts.any():
        raise InvalidValue("there is nothing to draw: no value lies within the histogram")
    p = counts.sum(axis=0) / total
    if batches < 2:
        return p / width, None
    spread = ((counts - p * samples[:, None]) ** 2).sum(axis=0) * batches / (batches - 1)
    return p / width, np.sqrt(spread) / total / width


def draw(densities: Densities) -> "Figure":
    """Densities with their residuals below, in rows of `columns`, on common axes where the ranges are alike."""
    from matplotlib.figure import Figure

    panels, columns, title, label, errors_from, _ = densities

    rows = -(-len(panels) // columns)
    height = 4.6 if rows == 1 else 0.9 + 3.1 * rows
    figure = Figure(figsize=(7.5 if columns == 1 else 10.0, height), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left")
    grid = figure.add_gridspec(rows, columns)
    x_limits = _common([panel.extent for panel in panels])
    tops = [high for _, high in _common([(0.0, panel.ceiling) for panel in panels])]
    reach = max(_reach(panel) for panel in panels)
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        cell = grid[row, column].subgridspec(2, 1, height_ratios=(3, 1), hspace=0.0)
        upper = figure.add_subplot(cell[0])
        lower = figure.add_subplot(cell[1], sharex=upper)
        upper.set_xlim(*x_limits[index])
        _draw_density(upper, panel, tops[index])
        _draw_residual(lower, panel, reach)
        if column == 0:
            upper.set_ylabel("density")
            lower.set_ylabel("relative\nresidual")
        if row == rows - 1 or len(panels) % columns:
            lower.set_xlabel(label)
    legend(figure, figure.axes[::2], {"band": f"\u00b12 standard errors, {errors_from}"})
    return figure


def _common(limits: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The same limits for all if none of them would waste most of its axis, else their own."""
    low, high = min(a for a, _ in limits), max(b for _, b in limits)
    wasteful = any(b - a < 0.45 * (high - low) for a, b in limits)
    return list(limits) if wasteful else [(low, high)] * len(limits)


def stairs(ax: "Axes", panel: Panel, orientation: Literal["vertical", "horizontal"] = "vertical") -> None:
    """What was measured, its band, and the law, as steps."""
    look: dict[str, Any] = {"facecolor": (SKY, 0.3), "edgecolor": BLUE, "lw": 1.0}
    ax.stairs(panel.density, panel.edges, orientation=orientation, fill=True, label="measured", **look)
    if panel.error is not None:
        low, high = np.maximum(panel.density - 2.0 * panel.error, 0.0), panel.density + 2.0 * panel.error
        look = {"facecolor": (BLUE, 0.35), "lw": 0.0}
        ax.stairs(high, panel.edges, baseline=low, orientation=orientation, fill=True, label="band", **look)
    if panel.law is not None:
        law = np.where(panel.law > 0.0, panel.law, np.nan)
        ax.stairs(law, panel.edges, orientation=orientation, color=VERMILION, lw=1.5, label=panel.law_name)


def _draw_density(ax: "Axes", panel: Panel, top: float) -> None:
    stairs(ax, panel)
    _mark_edges(ax, panel)
    ax.set_title(panel.title)
    ax.set_ylim(0.0, top)
    ax.tick_params(labelbottom=False)
    if panel.density.max() > top:
        cut = panel.edges[1:][panel.density > 0.85 * top].max()
        note(ax, f"\u2191 up to {panel.density.max():.3g}", (cut, 0.92), ("data", "axes fraction"), "left")
    high = panel.support[1]
    if math.isfinite(high):
        low, far = ax.get_xlim()
        free = high - low < FREE * (far - low)  # there is room beyond it
        note(
            ax,
            f"edge {high:.4g}",
            (high, 0.92 if free else 0.78),
            ("data", "axes fraction"),
            "left" if free else "right",
        )


def _mark_edges(ax: "Axes", panel: Panel) -> None:
    for edge in panel.support:
        if math.isfinite(edge) and edge != 0.0:
            ax.axvline(edge, color=GREY, lw=0.9, ls=DASHED)


def _residual(panel: Panel) -> tuple[Floats, Floats | None]:
    """Measured over law − 1, and its standard error; without a law zero, and the relative standard error."""
    reference = panel.density if panel.law is None else panel.law
    reference = np.where(reference > 0.0, reference, np.nan)
    return panel.density / reference - 1.0, None if panel.error is None else panel.error / reference


def _reach(panel: Panel) -> float:
    """How far up a residual axis must go to show all but the ends."""
    residual, error = _residual(panel)
    size = np.abs(residual) + (0.0 if error is None else 2.0 * error)
    inside = np.isfinite(size)
    for density in (panel.density, panel.density if panel.law is None else panel.law):
        probability = density * np.diff(panel.edges)
        up_to = np.cumsum(probability)
        inside &= (up_to - probability > 0.02) & (up_to < 0.97)
    if np.sum(inside) < 4:
        return 1.0
    reach = max(float(np.quantile(size[inside], 0.98)), 1e-3)
    return min((1.15 if panel.law is not None else 1.7) * reach, FARTHEST)


def _draw_residual(ax: "Axes", panel: Panel, reach: float) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    residual, error = _residual(panel)
    if error is not None:
        ax.stairs(2.0 * error, panel.edges, baseline=-2.0 * error, fill=True, color=BLUE, alpha=0.3, lw=0)
    if panel.law is not None:
        ax.axhline(0.0, color=VERMILION, lw=1.2)
        ax.stairs(residual, panel.edges, baseline=None, color=BLUE, lw=1.0)
        _mark_edges(ax, panel)
    else:
        note(ax, "no law known; noise only", (0.0, 0.82))
    ax.set_ylim(-reach, reach)
    ax.yaxis.set_major_locator(MaxNLocator(3, symmetric=True))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _percent(value)))


def _percent(value: float) -> str:
    return f"{100.0 * value:+.3g}%".replace("-", "\u2212") if abs(value) > 1e-9 else "0"
