"""Pictures of results: what was measured, beside what is known exactly and with the band that noise explains.

`plot` looks at the kind of result and never touches pyplot or global settings. Everything drawn is a density of
σ·√(β/d) or x·√(β/d), of σ or x at β = ∞; laws are compared as probabilities of bins, since densities of depth > 1
diverge at 0.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from dlnmc import dataset, laws, limits
from dlnmc.descriptions import from_json
from dlnmc.engine import scale
from dlnmc.errors import InvalidValue
from dlnmc.models import DeepLinearNetwork, DysonBrownianMotion, Model
from dlnmc.store import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

BLUE, VERMILION, GREEN, PURPLE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9"  # Okabe and Ito (2008)
GREY, DASHED = "#555555", (0, (4, 3))
STYLE: dict[str, Any] = {
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelsize": 10,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titlepad": 4.0,
    "figure.titlesize": 11,
    "font.size": 10,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "pdf.fonttype": 42,
    "svg.hashsalt": "dlnmc",
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
}
FORMATS = {"pdf": {"CreationDate": None}, "png": {}, "svg": {"Date": None}}  # metadata: no wall clock in pictures
SYMBOLS = {
    "depth": "depth $N$", "width": "width $d$", "size": "size $d$", "beta": "$\\beta$", "kappa": "$\\kappa$",
    "dt": "$\\Delta t$", "time": "$t$",
}  # fmt: skip
STATES = ("singular_values", "eigenvalues")
MOST_PANELS = 24
FEWEST_BINS = 64
FARTHEST = 2.0  # 200 %, at the ends of a residual axis
NOISE_PER_BIN = 0.03  # bins are merged until the median relative standard error is below


class Panel(NamedTuple):
    """A density by bins with its standard error, and its law as probability of each bin over width; None: unknown."""

    title: str
    edges: Floats
    density: Floats
    error: Floats | None
    law: Floats | None
    support: tuple[float, float]  # of the law; nan without one
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


def _panel(
    title: str,
    edges: Floats,
    counted: tuple[Floats, Floats | None],
    law: laws.Law | None,
    law_name: str = "law as $d\\to\\infty$",
) -> Panel:
    support = (math.nan, math.nan) if law is None else law.support
    return Panel(title, edges, *counted, None if law is None else _law_density(law, edges), support, law_name)


def _law_density(law: laws.Law, edges: Floats) -> Floats:
    return np.diff(law.cdf(edges)) / np.diff(edges)


def plot(result: xr.Dataset | xr.DataTree, path: str | Path | None = None, *, dpi: float = 200) -> "Figure":
    """Draw a result, and write the picture to a file if a path is given.

    Parameters
    ----------
    result
        An equilibrium, alone or swept over one or two parameters: for each member the density of the scaled singular
        values or eigenvalues with the law, and below it the relative deviation from the law. Or a simulation: a few
        paths over time beside the density at the last time; where it kept histograms alone, those of all times. Of a
        study of 2 × 2 matrices without noise: where they end. From memory, or read from a file.
    path
        Where to write, as .png, .pdf or .svg; to a temporary file first, which is then renamed.
    dpi
        Dots per inch of a bitmap, > 0.

    Returns
    -------
    matplotlib.figure.Figure
        Not known to pyplot, so there is nothing to close; notebooks show it.

    Raises
    ------
    InvalidValue
        A ValueError in one line: there is no picture of such a result, the path cannot be written, or matplotlib is
        missing.
    """
    if path is not None:
        _format(path)
    if not 0.0 < dpi < math.inf:
        raise InvalidValue(f"dpi = {dpi!r}: it must be a finite number > 0")
    with _style():
        if isinstance(result, xr.DataTree) and "histogram" in result.children:
            figure = _draw_equilibrium(result)
        elif isinstance(result, xr.DataTree) and _has_limits(result):
            figure = _draw_limits(result)
        elif "counts" in (data := _simulation(result)) and not set(STATES) & set(data):
            figure = _draw_histograms_in_time(data)
        else:
            figure = _draw_simulation(data)
        vars(figure)["_repr_png_"] = partial(_notebook_png, figure)  # notebooks know only pyplot's figures otherwise
        if path is not None:
            _save(figure, Path(path), dpi)
    return figure


def _style() -> AbstractContextManager[None]:
    """The house style on top of matplotlib's own defaults, whatever the user has set; global only while we draw."""
    try:
        import matplotlib.style
    except ImportError:
        raise InvalidValue("pictures need matplotlib: pip install dlnmc[plot]") from None
    return matplotlib.style.context(["default", STYLE])


# ---------------------------------------------------------------- files and notebooks


def _format(path: str | Path) -> str:
    suffix = Path(path).suffix.removeprefix(".").lower()
    if suffix not in FORMATS:
        raise InvalidValue(f"{path}: a picture is written as {', '.join('.' + known for known in FORMATS)}")
    return suffix


def _save(figure: "Figure", path: Path, dpi: float) -> None:
    suffix = _format(path)
    metadata = {"Title": figure.get_suptitle()} | FORMATS[suffix]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda file: figure.savefig(file, format=suffix, dpi=dpi, metadata=metadata))
    except OSError as error:
        raise InvalidValue(f"{path}: {error.strerror or error}") from None


def _notebook_png(figure: "Figure") -> tuple[bytes, dict[str, int]]:
    """A bitmap with two dots for each pixel of its size on the page."""
    buffer = BytesIO()
    with _style():
        figure.savefig(buffer, format="png", dpi=200)
    return buffer.getvalue(), {"width": round(100 * figure.get_figwidth())}


# ---------------------------------------------------------------- words


def _known_law(model: Model) -> laws.Law | None:
    """The law as d → ∞, where the model has an equilibrium and its law is known."""
    try:
        laws.trace(model)  # refuses infinite depth without equilibrium
        return laws.of(model)
    except InvalidValue:
        return None


def _words(name: str, value: Any) -> str:
    text = "$\\infty$" if value == math.inf else f"{value:g}" if isinstance(value, float) else str(value)
    return f"{SYMBOLS[name]} = {text}" if name in SYMBOLS else f"{name} {text}"


def _title(data: xr.Dataset, what: str, model: Model, paths: int) -> str:
    """The kind of model; then the parameters that all members share, and the number of paths."""
    shared = [_words(name, data[name].item()) for name in SYMBOLS if name in data.coords and data[name].ndim == 0]
    if model.energy.words:
        shared.append(model.energy.words)
    free = "free " if model.energy.kind == "none" else ""
    name = (
        f"{free}Dyson Brownian motion" if isinstance(model, DysonBrownianMotion) else f"the {free}Deep Linear Network"
    )
    return f"{what} of {name}\n{', '.join(shared)}; {paths:,} path{'s' if paths != 1 else ''}"


def _value_label(model: Model) -> str:
    name, symbol = ("eigenvalue", "x") if isinstance(model, DysonBrownianMotion) else ("singular value", "\\sigma")
    unit = "\\sqrt{\\beta/d}" if math.isfinite(model.beta) else ""
    return f"{name} ${symbol}{unit}$"


# ---------------------------------------------------------------- equilibria


def _draw_equilibrium(tree: xr.DataTree) -> "Figure":
    """One panel for each member, in a grid."""
    histogram = tree["histogram"].to_dataset()
    parameters = {name: tree.coords[name] for name in SYMBOLS if name in tree.coords}  # groups lose a selected one
    paths = tree["sampler"].sizes["path"]
    return _draw_histograms(
        histogram.assign_coords(parameters), tree.attrs, "Equilibrium", paths, lambda model, _: _known_law(model)
    )


def _draw_histograms_in_time(data: xr.Dataset) -> "Figure":
    """One panel for each time of a simulation."""
    histogram = data[["counts", "edges"]].assign(samples=data["counted"])
    from_zero = _from_zero(data)

    def law_of(model: Model, member: xr.Dataset) -> laws.Law | None:
        return _law_at(model, from_zero, float(member["time"]))

    return _draw_histograms(histogram, data.attrs, "Paths", data.sizes["path"], law_of, _law_name(from_zero))


def _draw_histograms(
    histogram: xr.Dataset,
    attrs: Mapping[Any, Any],
    what: str,
    paths: int,
    law_of: Callable[[Model, xr.Dataset], laws.Law | None],
    law_name: str = "law as $d\\to\\infty$",
) -> "Figure":
    """A panel for each histogram, in a grid of up to two dimensions."""
    dims = [str(dim) for dim in histogram["counts"].dims if dim not in ("batch", "bin")]
    lengths = [histogram.sizes[dim] for dim in dims]
    if len(dims) > 2 or math.prod(lengths) > MOST_PANELS:
        swept = " x ".join(f"{dim} ({length})" for dim, length in zip(dims, lengths, strict=True))
        raise InvalidValue(
            f"a sweep over {swept} is too much for a picture, which shows one or two swept parameters and up to "
            f"{MOST_PANELS} members: select some, as in plot(result.isel({dims[0]}=0))"
        )
    if len(dims) == 2 and lengths[1] > lengths[0]:
        dims, lengths = dims[::-1], lengths[::-1]
    members = [histogram.isel(dict(zip(dims, at, strict=True))) for at in product(*map(range, lengths))]
    merged = max(_merging(member) for member in members)
    models = [dataset.model_of(member, attrs) for member in members]
    panels = []
    for member, model in zip(members, models, strict=True):
        title = ", ".join(_words(dim, member[dim].item()) for dim in dims if dim in member.coords)
        edges, counts, samples = _counted(member, merged)
        panels.append(_panel(title, edges, _density(edges, counts, samples), law_of(model, member), law_name))
    title = _title(histogram, what, models[0], paths)
    columns = lengths[1] if len(dims) == 2 else {1: 1, 2: 2, 4: 2}.get(len(panels), 3)
    errors = f"from {histogram.sizes['batch']} batches of paths"
    return _draw_panels(panels, columns, title, _value_label(models[0]), errors)


def _has_limits(tree: xr.DataTree) -> bool:
    """Whether it is of gradient flows of 2 × 2 matrices, alone or swept."""
    if "samples" not in tree.children:
        return False
    data = tree["samples"].to_dataset()
    return {"energy", "matrix"} <= set(data) and data.sizes["row"] == 2


def _draw_limits(tree: xr.DataTree) -> "Figure":
    """A column for each member, of the matrices at the last time."""
    data, dims = tree["samples"].to_dataset(), [dim for dim in dataset.DIMENSIONS if dim in tree.dims]
    columns = []
    for member in dataset.members(tree):
        last = member["samples"].to_dataset()["matrix"].isel(time=-1).transpose("path", "row", "column").to_numpy()
        name = ", ".join(_words(dim, member.coords[dim].item()) for dim in dims)
        columns.append((name, last[np.isfinite(last).all(axis=(1, 2))]))
    shared = xr.Dataset(coords={name: data[name] for name in SYMBOLS if name in data.coords and name != "time"})
    model = dataset.model_of(next(dataset.members(tree)))
    title = f"{_title(shared, 'Gradient flow', model, data.sizes['path'])}, $t$ = {data['time'].to_numpy()[-1]:g}"
    return limits.draw(columns, title, SKY, BLUE, GREY)


def _counted(member: xr.Dataset, merged: int) -> tuple[Floats, NDArray[Any], NDArray[Any]]:
    """Edges, counts (batch, bin) and number of values (batch), with `merged` neighbouring bins made one."""
    counts = member["counts"].transpose("batch", "bin").to_numpy()
    counts = counts.reshape(len(counts), -1, merged).sum(axis=2)
    return member["edges"].to_numpy()[::merged].astype(np.float64), counts, member["samples"].to_numpy()


def _merging(member: xr.Dataset) -> int:
    """How many neighbouring bins to make one, a power of two, so that noise does not hide the shape."""
    merged = 1
    while member.sizes["bin"] % (2 * merged) == 0 and member.sizes["bin"] >= 2 * merged * FEWEST_BINS:
        density, error = _density(*_counted(member, merged))
        bulk = density > 0.2 * density.mean()
        if error is not None and np.median(error[bulk] / density[bulk]) < NOISE_PER_BIN:
            break
        merged *= 2
    return merged


def _density(edges: Floats, counts: NDArray[Any], samples: NDArray[Any]) -> tuple[Floats, Floats | None]:
    """The density, a ratio of sums over independent batches, and its standard error; None from a single batch."""
    total, width, batches = samples.sum(), np.diff(edges), len(samples)
    if not counts.any():
        raise InvalidValue("there is nothing to draw: no value lies within the histogram")
    p = counts.sum(axis=0) / total
    if batches < 2:
        return p / width, None
    spread = ((counts - p * samples[:, None]) ** 2).sum(axis=0) * batches / (batches - 1)
    return p / width, np.sqrt(spread) / total / width


# ---------------------------------------------------------------- panels


def _draw_panels(panels: Sequence[Panel], columns: int, title: str, label: str, errors_from: str) -> "Figure":
    """Densities with their residuals below, in rows of `columns`, on common axes where the ranges are alike."""
    from matplotlib.figure import Figure

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
        _draw_density(upper, panel, tops[index])
        _draw_residual(lower, panel, reach)
        upper.set_xlim(*x_limits[index])
        if column == 0:
            upper.set_ylabel("density")
            lower.set_ylabel("relative\nresidual")
        if row == rows - 1 or len(panels) % columns:
            lower.set_xlabel(label)
    _legend(figure, figure.axes[::2], {"band": f"\u00b12 standard errors, {errors_from}"})
    return figure


def _common(limits: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The same limits for all if none of them would waste most of its axis, else their own."""
    low, high = min(a for a, _ in limits), max(b for _, b in limits)
    wasteful = any(b - a < 0.45 * (high - low) for a, b in limits)
    return list(limits) if wasteful else [(low, high)] * len(limits)


def _stairs(ax: "Axes", panel: Panel, orientation: Literal["vertical", "horizontal"] = "vertical") -> None:
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
    _stairs(ax, panel)
    _mark_edges(ax, panel)
    ax.set_title(panel.title)
    ax.set_ylim(0.0, top)
    ax.tick_params(labelbottom=False)
    if panel.density.max() > top:
        cut = panel.edges[1:][panel.density > 0.85 * top].max()
        _note(ax, f"\u2191 up to {panel.density.max():.3g}", (cut, 0.92), ("data", "axes fraction"), "left")
    if panel.law is not None:
        high = panel.support[1]
        _note(ax, f"edge {high:.4g}", (high, 0.8), ("data", "axes fraction"), "right")


def _mark_edges(ax: "Axes", panel: Panel) -> None:
    for edge in panel.support:
        if math.isfinite(edge) and edge != 0.0:
            ax.axvline(edge, color=GREY, lw=0.9, ls=DASHED)


def _note(
    ax: "Axes",
    text: str,
    at: tuple[float, float],
    coords: str | tuple[str, str] = "axes fraction",
    align: Literal["left", "right"] = "left",
) -> None:
    offset = (4 if align == "left" else -4, 0)
    note = ax.annotate(text, at, xycoords=coords, xytext=offset, textcoords="offset points", ha=align)
    note.set(fontsize=9, color=GREY, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1.0})


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
        _note(ax, "no law known; noise only", (0.0, 0.82))
    ax.set_ylim(-reach, reach)
    ax.yaxis.set_major_locator(MaxNLocator(3, symmetric=True))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _percent(value)))


def _percent(value: float) -> str:
    return f"{100.0 * value:+.3g}%".replace("-", "\u2212") if abs(value) > 1e-9 else "0"


def _legend(figure: "Figure", axes: Sequence["Axes"], words: Mapping[str, str]) -> None:
    """One legend for the figure, below it."""
    found = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(
        list(found.values()),
        [words.get(label, label) for label in found],
        loc="outside lower center",
        ncols=len(found) if len(found) < 5 else 3,
    )


# ---------------------------------------------------------------- simulations


def _simulation(result: Any) -> xr.Dataset:
    """The dataset of a simulation; InvalidValue for anything else, naming what can be drawn."""
    data = result.to_dataset() if isinstance(result, xr.DataTree) else result
    if isinstance(data, xr.Dataset):
        drawn = [set(data[name].dims) for name in (*STATES, "counts") if name in data]
        if any(dims in drawn for dims in ({"path", "time", "rank"}, {"path", "time", "component"})):
            return data
        if {"counted", "status"} <= set(data) and {"batch", "bin"} in [dims - {"time"} for dims in drawn]:
            return data
    raise InvalidValue(
        f"there is no picture of this {type(result).__name__}: plot takes the result of equilibrium or sweep (a "
        "DataTree with a group histogram), or of simulate (a Dataset with dimensions path and time)"
    )


def _draw_simulation(data: xr.Dataset) -> "Figure":
    """A few paths over time, beside the density at the last time on the same axis."""
    from matplotlib.figure import Figure

    model = dataset.model_of(data, data.attrs)
    name = "eigenvalues" if "eigenvalues" in data else "singular_values"
    component = "component" if "component" in data[name].dims else "rank"
    values = data[name].transpose("path", "time", component).to_numpy() / scale(model)
    times = data["time"].to_numpy().astype(np.float64)
    title = _title(data, "Paths", model, len(values))
    from_zero = _from_zero(data)
    panel = _last_panel(values[:, -1], float(times[-1]), model, from_zero)
    if len(times) == 1:
        return _draw_panels([panel], 1, title, _value_label(model), "from independent paths")
    figure = Figure(figsize=(10.0, 5.2), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2.6, 1))
    _draw_paths(left, times, values, data["path"].to_numpy())
    _draw_edges(left, times, model, from_zero)
    left.set_ylabel(_value_label(model))
    left.set_xlabel(f"time $t$ ({data.attrs.get('clock', 'paper')} clock)" if name == "singular_values" else "time $t$")
    _stairs(right, panel, "horizontal")
    if isinstance(model, DeepLinearNetwork):
        left.set_ylim(bottom=0.0)
    if panel.density.max() > panel.ceiling:
        _note(right, f"up to {panel.density.max():.3g} \u2192", (1.0, 0.005), align="right")
    right.set_title(panel.title)
    right.set_xlim(0.0, panel.ceiling)
    right.set_xlabel("density")
    _legend(figure, [left, right], {"measured": "all paths at the last time", "band": "\u00b12 standard errors"})
    return figure


def _from_zero(data: xr.Dataset) -> bool:
    config = from_json(data.attrs.get("config", "{}"), "config")
    return isinstance(config, dict) and config.get("start") == "zero"


def _law_name(from_zero: bool) -> str:
    return f"law {'at that time' if from_zero else 'of the equilibrium'} as $d\\to\\infty$"


def _draw_paths(ax: "Axes", times: Floats, values: Floats, names: NDArray[Any]) -> None:
    size = values.shape[2]
    shown = min(len(values), 3 if size <= 3 else 2 if size <= 5 else 1)
    for path, color in zip(range(shown), (BLUE, GREEN, PURPLE), strict=False):
        lines = ax.plot(times, values[path], color=color, lw=0.9 if size <= 32 else 0.5)
        for line in lines:
            line.set_rasterized(values[path].size > 50_000)
        lines[0].set_label(f"path {names[path]}")
    ax.set_xlim(times[0], times[-1])


def _draw_edges(ax: "Axes", times: Floats, model: Model, from_zero: bool) -> None:
    """The ends of the law's support over time."""
    shown = times[np.unique(np.linspace(0, len(times) - 1, 400).astype(int))]
    known = [_law_at(model, from_zero, float(time)) for time in shown]
    supports = np.array([(math.nan, math.nan) if law is None else law.support for law in known])
    for ends in supports.T:
        if np.any(ends[np.isfinite(ends)] != 0.0):
            (line,) = ax.plot(shown, ends, color=GREY, lw=0.9, ls=DASHED)
            line.set_label("edge of the law")


def _law_at(model: Model, from_zero: bool, time: float) -> laws.Law | None:
    """The law at a time where it is known, which is after a start of Dyson's from 0; else that of the equilibrium."""
    if not from_zero:
        return _known_law(model)
    growth = 2.0 * time if model.energy.kind == "none" else -math.expm1(-2.0 * time)
    return laws.Semicircle(2.0 * math.sqrt(growth)) if growth > 0.0 else None


def _last_panel(values: Floats, time: float, model: Model, from_zero: bool) -> Panel:
    """The density of (path, component) at a time; its error from independent paths."""
    values = values[np.isfinite(values).all(axis=1)]
    if not values.size:
        raise InvalidValue("the result holds no finite values to draw")
    law = _law_at(model, from_zero, time)
    support = (0.0, 0.0) if law is None else law.support
    low = 0.0 if isinstance(model, DeepLinearNetwork) else min(float(values.min()), support[0])
    high = max(float(values.max()), support[1])
    bins = int(np.clip(round(2.0 * values.size ** (1 / 3)), 4, 64))
    edges = np.linspace(low, high if high > low else low + 1.0, bins + 1)
    counts = np.array([np.histogram(path, edges)[0] for path in values])
    counted = _density(edges, counts, np.full(len(values), values.shape[1]))
    return _panel(f"$t$ = {time:.4g}", edges, counted, law, _law_name(from_zero))
