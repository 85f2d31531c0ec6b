"""The house style of all pictures, and how a figure becomes a file, a bitmap of a notebook, or part of a page."""

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dlnmc.errors import InvalidValue
from dlnmc.store import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, VERMILION, GREEN, PURPLE, SKY, ORANGE = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)  # Okabe and Ito (2008)
MARKERS = ("o", "s", "^", "D", "v", "P")
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


def style() -> AbstractContextManager[None]:
    """The house style on top of matplotlib's own defaults, whatever the user has set; global only while we draw."""
    try:
        import matplotlib.style
    except ImportError:
        raise InvalidValue("pictures need matplotlib: pip install dlnmc[plot]") from None
    return matplotlib.style.context(["default", STYLE])


def format_of(path: str | Path) -> str:
    """The format that a file's name asks for. Raises InvalidValue for others than those of `FORMATS`."""
    suffix = Path(path).suffix.removeprefix(".").lower()
    if suffix not in FORMATS:
        raise InvalidValue(f"{path}: a picture is written as {', '.join('.' + known for known in FORMATS)}")
    return suffix


def save(figure: "Figure", path: Path, dpi: float) -> None:
    """Write a figure, to a temporary file first."""
    suffix = format_of(path)
    metadata = {"Title": figure.get_suptitle()} | FORMATS[suffix]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda file: figure.savefig(file, format=suffix, dpi=dpi, metadata=metadata))
    except OSError as error:
        raise InvalidValue(f"{path}: {error.strerror or error}") from None


def _notebook_png(figure: "Figure") -> tuple[bytes, dict[str, int]]:
    """A bitmap with two dots for each pixel of its size on the page."""
    buffer = BytesIO()
    with style():
        figure.savefig(buffer, format="png", dpi=200)
    return buffer.getvalue(), {"width": round(100 * figure.get_figwidth())}


def check_output(path: str | Path | None, dpi: float) -> None:
    """Raise InvalidValue for a path that cannot be a picture, or no dots per inch."""
    if path is not None:
        format_of(path)
    if not 0.0 < dpi < math.inf:
        raise InvalidValue(f"dpi = {dpi!r}: it must be a finite number > 0")


def finished(figure: "Figure", path: str | Path | None, dpi: float) -> "Figure":
    """The figure as notebooks show it, written to a file where a path is given."""
    vars(figure)["_repr_png_"] = partial(_notebook_png, figure)  # notebooks know only pyplot's figures otherwise
    if path is not None:
        save(figure, Path(path), dpi)
    return figure


def svg_of(figure: "Figure") -> str:
    """The figure as an SVG element, on no background, for a page."""
    text = StringIO()
    with style():
        figure.savefig(text, format="svg", transparent=True, metadata=FORMATS["svg"])
    return text.getvalue()[text.getvalue().index("<svg") :]


def note(
    ax: "Axes",
    text: str,
    at: tuple[float, float],
    coords: str | tuple[str, str] = "axes fraction",
    align: Literal["left", "right"] = "left",
) -> None:
    """A word at a place of an axis."""
    offset = (4 if align == "left" else -4, 0)
    note = ax.annotate(text, at, xycoords=coords, xytext=offset, textcoords="offset points", ha=align)
    note.set(fontsize=9, color=GREY, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1.0})


def legend(figure: "Figure", axes: Sequence["Axes"], words: Mapping[str, str]) -> None:
    """One legend for the figure, below it."""
    found = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(
        list(found.values()),
        [words.get(label, label) for label in found],
        loc="outside lower center",
        ncols=len(found) if len(found) < 5 else 3,
    )
