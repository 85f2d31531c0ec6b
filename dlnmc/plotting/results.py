"""Pictures of plain results, by their kind: equilibria, histograms in time, paths, ends of flows.

Everything drawn is a density of σ·√(β/d) or x·√(β/d), of σ or x at β = ∞; laws are compared as probabilities of bins,
since densities of depth > 1 diverge at 0.
"""

import math
from collections.abc import Callable, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from dlnmc import dataset, laws
from dlnmc.descriptions import from_json
from dlnmc.engine import scale
from dlnmc.errors import InvalidValue
from dlnmc.models import DeepLinearNetwork, DysonBrownianMotion, Model
from dlnmc.plotting import densities
from dlnmc.plotting.densities import LAW_NAME, Densities, Panel, density_of, panel_of
from dlnmc.plotting.style import BLUE, DASHED, GREEN, GREY, PURPLE, legend, note

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

SYMBOLS = {
    "depth": "depth $N$", "width": "width $d$", "size": "size $d$", "beta": "$\\beta$", "kappa": "$\\kappa$",
    "dt": "$\\Delta t$", "time": "$t$",
}  # fmt: skip
STATES = ("singular_values", "eigenvalues")
MOST_PANELS = 24
FROM_PATHS = "from independent paths"  # where errors are from


def draw(result: Any) -> "Figure":
    """The figure of a result of `equilibrium`, `sweep` or `simulate`. Raises InvalidValue where there is none."""
    if isinstance(result, xr.DataTree) and "histogram" in result.children:
        return densities.draw(of_equilibrium(result))
    if "counts" in (data := _simulation(result)) and not set(STATES) & set(data):
        return densities.draw(_histograms_in_time(data))
    return _draw_simulation(data) if "time" in data.dims else densities.draw(_of_draws(data))


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


def of_equilibrium(tree: xr.DataTree) -> Densities:
    """One panel for each member, in a grid."""
    histogram = tree["histogram"].to_dataset()
    parameters = {name: tree.coords[name] for name in SYMBOLS if name in tree.coords}  # groups lose a selected one
    paths = tree["sampler"].sizes["path"]
    return _histograms(
        histogram.assign_coords(parameters), tree.attrs, "Equilibrium", paths, lambda model, _: _known_law(model)
    )


def _histograms_in_time(data: xr.Dataset) -> Densities:
    """One panel for each time of a simulation."""
    histogram = data[["counts", "edges"]].assign(samples=data["counted"])
    from_zero = _from_zero(data)

    def law_of(model: Model, member: xr.Dataset) -> laws.Law | None:
        return _law_at(model, from_zero, float(member["time"]))

    return _histograms(histogram, data.attrs, "Paths", data.sizes["path"], law_of, _law_name(from_zero))


def what_is_shown(tree: xr.DataTree) -> tuple[xr.DataTree, str]:
    """Of a sweep that is too much for a picture the first members, and words that say which they are."""
    words: list[str] = []
    while True:
        swept = [str(name) for name in tree.dims if name in dataset.DIMENSIONS]
        if len(swept) <= 2 and math.prod(tree.sizes[name] for name in swept) <= MOST_PANELS:
            return tree, "".join(words)
        name = min(swept, key=lambda name: tree.sizes[name]) if len(swept) > 2 else swept[-1]
        tree = tree.isel({name: 0})
        value = tree[name].item()
        words.append(f", {name} {value if isinstance(value, str) else format(value, 'g')}")


def _histograms(
    histogram: xr.Dataset,
    attrs: Mapping[Any, Any],
    what: str,
    paths: int,
    law_of: Callable[[Model, xr.Dataset], laws.Law | None],
    law_name: str = LAW_NAME,
) -> Densities:
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
    merged = max(densities.merging(member) for member in members)
    models = [dataset.model_of(member, attrs) for member in members]
    panels = []
    for member, model in zip(members, models, strict=True):
        title = ", ".join(_words(dim, member[dim].item()) for dim in dims if dim in member.coords)
        edges, counts, samples = densities.counted(member, merged)
        panels.append(panel_of(title, edges, density_of(edges, counts, samples), law_of(model, member), law_name))
    title = _title(histogram, what, models[0], paths)
    columns = lengths[1] if len(dims) == 2 else {1: 1, 2: 2, 4: 2}.get(len(panels), 3)
    errors = f"from {histogram.sizes['batch']} batches of paths"
    return Densities(panels, columns, title, _value_label(models[0]), errors)


# ---------------------------------------------------------------- simulations


def _simulation(result: Any) -> xr.Dataset:
    """The dataset of a simulation; InvalidValue for anything else, naming what can be drawn."""
    data = result.to_dataset() if isinstance(result, xr.DataTree) else result
    if isinstance(data, xr.Dataset):
        drawn = [set(data[name].dims) for name in (*STATES, "counts") if name in data]
        if any(dims - {"time"} in ({"path", "rank"}, {"path", "component"}) for dims in drawn):
            return data
        if {"counted", "status"} <= set(data) and {"batch", "bin"} in [dims - {"time"} for dims in drawn]:
            return data
    raise InvalidValue(
        f"there is no picture of this {type(result).__name__}: plot takes the result of equilibrium or sweep (a "
        "DataTree with a group histogram), of simulate or of exact (a Dataset with the dimension path)"
    )


def _of_draws(data: xr.Dataset) -> Densities:
    """The density of exact draws, which have no times."""
    model = dataset.model_of(data, data.attrs)
    name = next(name for name in STATES if name in data)
    values = data[name].to_numpy() / scale(model)
    time = float(data["time"]) if "time" in data.coords else math.inf
    panel = _last_panel(values, time, model, math.isfinite(time))
    panel = panel._replace(title="" if time == math.inf else panel.title)
    return Densities([panel], 1, _title(data, "Exact draws", model, len(values)), _value_label(model), FROM_PATHS)


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
        return densities.draw(Densities([panel], 1, title, _value_label(model), FROM_PATHS))
    figure = Figure(figsize=(10.0, 5.2), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2.6, 1))
    _draw_paths(left, times, values, data["path"].to_numpy())
    _draw_edges(left, times, model, from_zero)
    left.set_ylabel(_value_label(model))
    left.set_xlabel(f"time $t$ ({data.attrs.get('clock', 'paper')} clock)" if name == "singular_values" else "time $t$")
    densities.stairs(right, panel, "horizontal")
    if isinstance(model, DeepLinearNetwork):
        left.set_ylim(bottom=0.0)
    if panel.density.max() > panel.ceiling:
        note(right, f"up to {panel.density.max():.3g} \u2192", (1.0, 0.005), align="right")
    right.set_title(panel.title)
    right.set_xlim(0.0, panel.ceiling)
    right.set_xlabel("density")
    legend(figure, [left, right], {"measured": "all paths at the last time", "band": "\u00b12 standard errors"})
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
    counted = density_of(edges, counts, np.full(len(values), values.shape[1]))
    return panel_of(f"$t$ = {time:.4g}", edges, counted, law, _law_name(from_zero))
