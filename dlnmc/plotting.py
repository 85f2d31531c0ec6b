"""Pictures of results: what was measured, beside what is known exactly and with the band that noise explains.

`plot` looks at the kind of result and never touches pyplot or global settings. Everything drawn is a density of σ·√(β/d)
or x·√(β/d); laws are compared as probabilities of bins, since densities of depth > 1 diverge at 0.
"""

import json
import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from dlnmc import laws
from dlnmc.errors import InvalidValue
from dlnmc.models import DeepLinearNetwork, DysonBrownianMotion
from dlnmc.store import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
AnyModel = DeepLinearNetwork | DysonBrownianMotion

BLUE, VERMILION, GREEN, PURPLE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9"  # Okabe and Ito (2008)
GREY = "#555555"
STYLE: dict[str, Any] = {
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelsize": 10,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "figure.titlesize": 12,
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
SYMBOLS = {"depth": "depth $N$", "width": "width $d$", "size": "size $d$", "beta": "$\\beta$", "kappa": "$\\kappa$"}
NAMES = {DeepLinearNetwork: "Deep Linear Network", DysonBrownianMotion: "Dyson Brownian motion"}
MOST_PANELS = 24
FEWEST_BINS = 32
NOISE_PER_BIN = 0.02  # bins are merged until the median relative standard error is below


class Panel(NamedTuple):
    """A density by bins, its standard error (None: unknown), and its law if there is one, averaged over the bins."""

    title: str
    edges: Floats
    density: Floats
    error: Floats | None
    law: laws.Law | None
    law_name: str

    @property
    def law_density(self) -> Floats | None:
        """The probability of each bin under the law, over its width."""
        return None if self.law is None else np.diff(self.law.cdf(self.edges)) / np.diff(self.edges)

    @property
    def range(self) -> tuple[float, float]:
        """Where there is something to see."""
        cumulative = np.concatenate([[0.0], np.cumsum(self.density * np.diff(self.edges))])
        cumulative /= cumulative[-1] or 1.0
        support = (0.0, 0.0) if self.law is None else self.law.support
        high = max(1.06 * support[1], self.edges[np.searchsorted(cumulative, 1.0 - 1e-5)])
        low = min(1.06 * support[0], self.edges[np.searchsorted(cumulative, 1e-5, side="right") - 1])
        return float(low), float(high)

    @property
    def ceiling(self) -> float:
        """The top of the density axis: what diverges at 0 is cut there."""
        low, high = self.range
        away = np.abs((self.edges[1:] + self.edges[:-1]) / 2.0) > 0.07 * (high - low)
        top = [float(values[away].max()) for values in (self.density, self.law_density) if values is not None]
        return 1.15 * max(top)


def plot(result: xr.Dataset | xr.DataTree, path: str | Path | None = None, *, dpi: float = 200) -> "Figure":
    """Draw a result, and write the picture to a file if a path is given.

    Parameters
    ----------
    result
        An equilibrium, alone or swept over one or two parameters: for each member the density of the scaled singular
        values or eigenvalues with the law, and below it the relative deviation from the law. Or a simulation: a few
        paths over time beside the density at the last time. From memory, or read from a file.
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
        else:
            figure = _draw_simulation(_simulation(result))
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


def _model(data: xr.Dataset, attrs: Mapping[str, Any], **selected: Any) -> AnyModel:
    """The model that a result is of, from its coordinates and the energy in its configuration."""
    cls = DysonBrownianMotion if "size" in data.coords else DeepLinearNetwork
    values = {name: data[name].item() for name in cls.model_fields if name in data.coords} | selected
    energies = list(_energies(json.loads(attrs.get("config", "{}"))))
    if energies and all(energy == energies[0] for energy in energies):
        values["energy"] = energies[0]
    return cls(**values)


def _energies(config: Any) -> Iterator[Any]:
    if isinstance(config, Mapping):
        if "energy" in config:
            yield config["energy"]
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from _energies(value)


def _known_law(model: AnyModel) -> laws.Law | None:
    try:
        return laws.of(model)
    except InvalidValue:
        return None


def _words(name: Hashable, value: Any) -> str:
    number = "\\infty" if value == math.inf else f"{value:g}" if isinstance(value, float) else str(value)
    text = f"${number}$" if number == "\\infty" else number
    return f"{name} {text}" if name not in SYMBOLS else f"{SYMBOLS[str(name)]} = {text}"


def _title(data: xr.Dataset, attrs: Mapping[str, Any], what: str, paths: int) -> str:
    """The model, what is common to all members, and the number of paths."""
    cls = DysonBrownianMotion if "size" in data.coords else DeepLinearNetwork
    fixed = [_words(name, data[name].item()) for name in SYMBOLS if name in data.coords and data[name].ndim == 0]
    free = cls is DysonBrownianMotion and {"kind": "none"} in list(_energies(json.loads(attrs.get("config", "{}"))))
    name = ("free " if free else "") + NAMES[cls]
    return f"{what} of {name}: {', '.join(fixed)}; {paths:,} path{'s' if paths != 1 else ''}"


def _value_label(data: xr.Dataset) -> str:
    dyson = "size" in data.coords
    return ("eigenvalue " if dyson else "singular value ") + ("$x" if dyson else "$\\sigma") + "\\sqrt{\\beta/d}$"


# ---------------------------------------------------------------- equilibria


def _draw_equilibrium(tree: xr.DataTree) -> "Figure":
    """One panel for each member, in a grid."""
    histogram = tree["histogram"].to_dataset()
    dims = [dim for dim in histogram["counts"].dims if dim not in ("batch", "bin")]
    lengths = [histogram.sizes[dim] for dim in dims]
    if len(dims) > 2 or math.prod(lengths) > MOST_PANELS:
        raise InvalidValue(
            f"a sweep over {' x '.join(f'{dim} ({length})' for dim, length in zip(dims, lengths, strict=True))} is too "
            f"much for a picture, which shows one or two swept parameters and up to {MOST_PANELS} members: select some, "
            f"as in plot(tree.isel({dims[0]}=0))"
        )
    if len(dims) == 2 and lengths[1] > lengths[0]:
        dims, lengths = dims[::-1], lengths[::-1]
    members = [dict(zip(dims, at, strict=True)) for at in product(*map(range, lengths))]
    panels = [_equilibrium_panel(histogram.isel(at), dims, tree.attrs) for at in members]
    title = _title(histogram, tree.attrs, "Equilibrium", tree["sampler"].sizes["path"])
    batches = histogram.sizes["batch"]
    columns = lengths[1] if len(dims) == 2 else {1: 1, 2: 2, 4: 2}.get(len(panels), 3)
    return _draw_panels(panels, columns, title, _value_label(histogram), f"from {batches} batches of paths")


def _equilibrium_panel(member: xr.Dataset, dims: Sequence[Hashable], attrs: Mapping[str, Any]) -> Panel:
    edges = member["edges"].to_numpy().astype(np.float64)
    counts = member["counts"].transpose("batch", "bin").to_numpy()
    samples = member["samples"].to_numpy()
    title = ", ".join(_words(dim, member[dim].item()) for dim in dims if dim in member.coords)
    edges, density, error = _merged(edges, counts, samples)
    return Panel(title, edges, density, error, _known_law(_model(member, attrs)), "law as $d\\to\\infty$")


def _merged(edges: Floats, counts: NDArray[Any], samples: NDArray[Any]) -> tuple[Floats, Floats, Floats | None]:
    """Edges, density and standard error, with neighbouring bins merged in pairs while they are noisy."""
    density, error = _density(edges, counts, samples)
    while len(density) % 2 == 0 and len(density) >= 2 * FEWEST_BINS:
        bulk = density > 0.1 * np.median(density[density > 0.0]) if density.any() else density > 0.0
        if error is not None and (not bulk.any() or np.median(error[bulk] / density[bulk]) < NOISE_PER_BIN):
            break
        edges, counts = edges[::2], counts[:, ::2] + counts[:, 1::2]
        density, error = _density(edges, counts, samples)
    return edges, density, error


def _density(edges: Floats, counts: NDArray[Any], samples: NDArray[Any]) -> tuple[Floats, Floats | None]:
    """The density, a ratio of sums over independent batches, and its standard error; None from a single batch."""
    total, width, batches = samples.sum(), np.diff(edges), len(samples)
    if total == 0:
        raise InvalidValue("the result holds no values to draw")
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
    x_limits = _common([panel.range for panel in panels])
    tops = [high for _, high in _common([(0.0, panel.ceiling) for panel in panels])]
    reach = max((_reach(panel) for panel in panels), default=0.1)
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        upper_cell, lower_cell = grid[row, column].subgridspec(2, 1, height_ratios=(3, 1), hspace=0.0)
        upper = figure.add_subplot(upper_cell)
        lower = figure.add_subplot(lower_cell, sharex=upper)
        _draw_density(upper, panel, tops[index])
        _draw_residual(lower, panel, reach)
        upper.set_xlim(*x_limits[index])
        if column == 0:
            upper.set_ylabel("density")
            lower.set_ylabel("relative\nresidual")
        if index + columns >= len(panels):
            lower.set_xlabel(label)
    _legend(figure, figure.axes[::2], errors_from)
    return figure


def _common(limits: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The same limits for all if none of them would waste most of its axis, else their own."""
    low, high = min(a for a, _ in limits), max(b for _, b in limits)
    wasteful = any(b - a < 0.45 * (high - low) for a, b in limits)
    return list(limits) if wasteful else [(low, high)] * len(limits)


def _stairs(ax: "Axes", panel: Panel, orientation: Literal["vertical", "horizontal"] = "vertical") -> None:
    """What was measured, its band, and the law, as steps."""
    ax.stairs(panel.density, panel.edges, orientation=orientation, fill=True, color=SKY, alpha=0.3)
    if panel.error is not None:
        low, high = np.maximum(panel.density - 2.0 * panel.error, 0.0), panel.density + 2.0 * panel.error
        ax.stairs(
            high,
            panel.edges,
            baseline=low,
            orientation=orientation,
            fill=True,
            color=BLUE,
            alpha=0.35,
            lw=0,
            label="band",
        )
    ax.stairs(panel.density, panel.edges, orientation=orientation, color=BLUE, lw=1.0, label="measured")
    law = panel.law_density
    if law is not None:
        ax.stairs(law, panel.edges, orientation=orientation, color=VERMILION, lw=1.5, label=panel.law_name)


def _draw_density(ax: "Axes", panel: Panel, top: float) -> None:
    _stairs(ax, panel)
    ax.set_title(panel.title)
    ax.set_ylim(0.0, top)
    ax.tick_params(labelbottom=False)
    highest = float(panel.density.max())
    if highest > top:
        ax.annotate(
            f"\u2191 {highest:.3g} in the first bin", (0.03, 0.9), xycoords="axes fraction", fontsize=9, color=GREY
        )
    if panel.law is None:
        return
    for edge in panel.law.support:
        if edge != 0.0:
            ax.axvline(edge, color=GREY, lw=0.9, ls=(0, (4, 3)))
    ax.annotate(
        f"edge {panel.law.support[1]:.4g}",
        (panel.law.support[1], 0.9),
        xycoords=("data", "axes fraction"),
        xytext=(-4, 0),
        textcoords="offset points",
        ha="right",
        fontsize=9,
        color=GREY,
    )


def _residual(panel: Panel) -> tuple[Floats, Floats | None]:
    """Measured over law − 1, and its standard error; without a law zero, and the relative standard error."""
    reference = panel.density if panel.law_density is None else panel.law_density
    reference = np.where(reference > 0.0, reference, np.nan)
    return panel.density / reference - 1.0, None if panel.error is None else panel.error / reference


def _reach(panel: Panel) -> float:
    """How far up a residual axis must go to show all but the ends."""
    residual, error = _residual(panel)
    probability = np.cumsum(panel.density * np.diff(panel.edges))
    bulk = (probability > 0.03) & (probability < 0.97)
    size = np.abs(residual) + (0.0 if error is None else 2.0 * error)
    return 1.15 * float(np.nanquantile(size[bulk], 0.98)) if np.isfinite(size[bulk]).any() else 0.1


def _draw_residual(ax: "Axes", panel: Panel, reach: float) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    residual, error = _residual(panel)
    if error is not None:
        ax.stairs(2.0 * error, panel.edges, baseline=-2.0 * error, fill=True, color=BLUE, alpha=0.3, lw=0)
    ax.axhline(0.0, color=VERMILION if panel.law is not None else GREY, lw=1.2)
    if panel.law is not None:
        ax.stairs(residual, panel.edges, baseline=None, color=BLUE, lw=1.0)
        for edge in panel.law.support:
            if edge != 0.0:
                ax.axvline(edge, color=GREY, lw=0.9, ls=(0, (4, 3)))
    else:
        ax.annotate("no exact law known: noise only", (0.03, 0.8), xycoords="axes fraction", fontsize=9, color=GREY)
    ax.set_ylim(-reach, reach)
    ax.yaxis.set_major_locator(MaxNLocator(3, symmetric=True))
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))


def _legend(figure: "Figure", axes: Sequence["Axes"], errors_from: str) -> None:
    """One legend for the figure, below it."""
    found = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    words = {"band": f"\u00b12 standard errors, {errors_from}"}
    order = sorted(found, key=lambda label: {"measured": 0, "band": 1}.get(label, 2))
    figure.legend(
        [found[label] for label in order],
        [words.get(label, label) for label in order],
        loc="outside lower center",
        ncols=len(order),
    )


# ---------------------------------------------------------------- simulations


def _simulation(result: Any) -> xr.Dataset:
    """The dataset of a simulation; InvalidValue for anything else, naming what can be drawn."""
    data = result.to_dataset() if isinstance(result, xr.DataTree) else result
    if isinstance(data, xr.Dataset):
        for name in ("singular_values", "eigenvalues"):
            if name in data and set(data[name].dims) in ({"path", "time", "rank"}, {"path", "time", "component"}):
                return data
    raise InvalidValue(
        f"there is no picture of this {type(result).__name__}: plot takes the result of equilibrium or sweep (a "
        "DataTree with a group histogram), or of simulate (a Dataset with dimensions path and time)"
    )


def _draw_simulation(data: xr.Dataset) -> "Figure":
    """A few paths over time, beside the density at the last time on the same axis."""
    from matplotlib.figure import Figure

    model = _model(data, data.attrs)
    name = "eigenvalues" if "eigenvalues" in data else "singular_values"
    component = "component" if "component" in data[name].dims else "rank"
    values = data[name].transpose("path", "time", component).to_numpy() * math.sqrt(model.beta / model.size)
    times = data["time"].to_numpy().astype(np.float64)
    title = _title(data, data.attrs, "Paths", len(values))
    panel = _last_panel(values[:, -1], float(times[-1]), model, data.attrs)
    if len(times) == 1:
        return _draw_panels([panel], 1, title, _value_label(data), "from independent paths")
    figure = Figure(figsize=(10.0, 5.2), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2.6, 1))
    _draw_paths(left, times, values)
    _draw_edges(left, times, [_law_at(model, data.attrs, float(time)) for time in times])
    left.set_ylabel(_value_label(data))
    left.set_xlabel(f"time $t$ ({data.attrs.get('clock', 'paper')} clock)" if name == "singular_values" else "time $t$")
    _stairs(right, panel, "horizontal")
    right.set_title(panel.title)
    right.set_xlim(0.0, panel.ceiling)
    right.set_xlabel("density")
    _legend(figure, [left, right], "from paths")
    return figure


def _draw_paths(ax: "Axes", times: Floats, values: Floats) -> None:
    size = values.shape[2]
    shown = min(len(values), 3 if size <= 4 else 2 if size <= 10 else 1)
    for path, color in reversed(list(zip(range(shown), (BLUE, GREEN, PURPLE), strict=False))):
        lines = ax.plot(times, values[path], color=color, lw=0.9 if size <= 32 else 0.5)
        for line in lines:
            line.set_rasterized(values[path].size > 50_000)
        lines[0].set_label(f"path {path}")
    ax.set_xlim(times[0], times[-1])


def _draw_edges(ax: "Axes", times: Floats, known: Sequence[tuple[laws.Law | None, str]]) -> None:
    """The ends of the law's support over time."""
    supports = np.array([(math.nan, math.nan) if law is None else law.support for law, _ in known])
    for ends in supports.T:
        if np.any(ends[np.isfinite(ends)] != 0.0):
            (line,) = ax.plot(times, ends, color=GREY, lw=0.9, ls=(0, (4, 3)))
            line.set_label("edge of the law")


def _law_at(model: AnyModel, attrs: Mapping[str, Any], time: float) -> tuple[laws.Law | None, str]:
    """The law at a time where it is known, which is after a start of Dyson's from 0; else that of the equilibrium."""
    config = json.loads(attrs.get("config", "{}"))
    if isinstance(model, DeepLinearNetwork) or config.get("start") != "zero":
        return _known_law(model), "law of the equilibrium as $d\\to\\infty$"
    growth = 2.0 * time if model.energy.kind == "none" else -math.expm1(-2.0 * time)
    return (laws.Semicircle(2.0 * math.sqrt(growth)) if growth > 0.0 else None), "law at this time as $d\\to\\infty$"


def _last_panel(values: Floats, time: float, model: AnyModel, attrs: Mapping[str, Any]) -> Panel:
    """The density of (path, component) at a time; its error from independent paths."""
    values = values[np.isfinite(values).all(axis=1)]
    if not values.size:
        raise InvalidValue("the result holds no finite values to draw")
    law, law_name = _law_at(model, attrs, time)
    low = 0.0 if isinstance(model, DeepLinearNetwork) else float(values.min())
    high = float(values.max())
    bins = int(np.clip(round(2.0 * values.size ** (1 / 3)), 4, 64))
    edges = np.linspace(low, high if high > low else low + 1.0, bins + 1)
    counts = np.array([np.histogram(path, edges)[0] for path in values])
    density, error = _density(edges, counts, np.full(len(values), values.shape[1]))
    return Panel(f"$t$ = {time:.4g}", edges, density, error, law, law_name)
