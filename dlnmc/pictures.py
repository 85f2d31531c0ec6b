"""Which picture belongs to a result, and where it goes."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from dlnmc import findings
from dlnmc.errors import InvalidValue
from dlnmc.plotting import draw_picture, results
from dlnmc.plotting.style import check_output, finished, style
from dlnmc.studies import attribute

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot(
    result: xr.Dataset | xr.DataTree,
    path: str | Path | None = None,
    *,
    picture: str | None = None,
    dpi: float = 200,
) -> "Figure":
    """Draw a result, and write the picture to a file if a path is given.

    Parameters
    ----------
    result
        Of a study, or its summary: the picture of that study. Else an equilibrium, alone or swept over one or two
        parameters: for each member the density of the scaled singular values or eigenvalues with the law, and below it
        the relative deviation from the law. Or a simulation: a few paths over time beside the density at the last time;
        where it kept histograms alone, those of all times. From memory, or read from a file.
    path
        Where to write, as .png, .pdf or .svg; to a temporary file first, which is then renamed.
    picture
        The name of one of several pictures of a study (`dlnmc.findings.pictures`); default: the first.
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
    check_output(path, dpi)
    with style():
        return finished(_figure(result, picture), path, dpi)


def _figure(result: Any, picture: str | None) -> "Figure":
    if picture is None and not is_of_study(result):
        return results.draw(result)
    found = findings.pictures(result)
    if picture is not None and picture not in found:
        raise InvalidValue(f"picture = {picture!r}: the result has {', '.join(found)}")
    return draw_picture(found[next(iter(found)) if picture is None else picture])


def is_of_study(result: Any) -> bool:
    """Whether a study made it, and not a call of `equilibrium` or the like."""
    return isinstance(result, xr.DataTree) and "study" in attribute(result, "config")
