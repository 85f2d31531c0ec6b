"""A picture of where flows of 2 × 2 matrices end: W_12 and W_21 of their limits."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

REACH = 3.0  # of the axes of W_12, W_21 and log |a|
BINS = 60
MOST_POINTS = 4000


def log_a(W: Floats) -> Floats:
    """½ log |W_12/W_21| of matrices (path, 2, 2), which is log |a| for (14.3)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(0.5 * (np.log(np.abs(W[:, 0, 1])) - np.log(np.abs(W[:, 1, 0]))))


def draw(limits: Sequence[tuple[str, Floats]], title: str, fill: str, line: str, grey: str) -> "Figure":
    """For each title and its matrices (path, 2, 2) a column: W_21 over W_12, det W, and ½ log |W_12/W_21|.

    On the dashed hyperbola W_12 W_21 = 1 limits have rank one, and what the last row shows is log |a| (14.3).
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.0 + 3.0 * len(limits), 8.6), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left")
    axes = figure.subplots(3, len(limits), squeeze=False, height_ratios=(3, 2, 2))
    for column, (name, W) in enumerate(limits):
        scatter, *histograms = axes[:, column]
        _scatter(scatter, W, line, grey)
        scatter.set_title(name)
        for ax, values, label in zip(
            histograms, (np.linalg.det(W), log_a(W)), ("$\\det W$", "$\\frac{1}{2}\\log|W_{12}/W_{21}|$"), strict=True
        ):
            _histogram(ax, values, fill)
            ax.set_xlabel(label)
    axes[0, 0].set_ylabel("$W_{21}$")
    for ax in axes[1:, 0]:
        ax.set_ylabel("density")
    for row in axes[1:]:
        top = max(ax.get_ylim()[1] for ax in row)
        for ax in row:
            ax.set_ylim(0.0, top)
    return figure


def _scatter(ax: "Axes", W: Floats, line: str, grey: str) -> None:
    few = W[:MOST_POINTS]
    ax.plot(few[:, 0, 1], few[:, 1, 0], ".", ms=1.5, color=line, alpha=0.5, mew=0.0, rasterized=True)
    a = np.geomspace(1.0 / REACH, REACH, 200)
    for sign in (1.0, -1.0):
        ax.plot(sign * a, sign / a, color=grey, lw=0.9, ls=(0, (4, 3)))
    ax.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), xlabel="$W_{12}$")
    ax.set_aspect("equal")


def _histogram(ax: "Axes", values: Floats, fill: str) -> None:
    edges = np.linspace(-REACH, REACH, BINS + 1)
    counts = np.histogram(values[np.isfinite(values)], edges)[0]
    look: dict[str, Any] = {"facecolor": fill, "alpha": 0.5, "lw": 0.8, "fill": True}
    ax.stairs(counts / max(len(values), 1) / (2.0 * REACH / BINS), edges, **look)
    ax.set_xlim(-REACH, REACH)
    ax.set_xticks(np.arange(-math.floor(REACH), math.floor(REACH) + 1.0, 1.0))
