"""Pictures: what was measured, beside what is known exactly and with the band that noise explains.

`densities` and `curves` are pictures as data, which studies make and files keep; `results` draws plain results. Neither
pyplot nor global settings are touched.
"""

from typing import TYPE_CHECKING

import xarray as xr

from dlnmc.errors import InvalidValue
from dlnmc.plotting import curves, densities
from dlnmc.plotting.curves import EXACT, REFERENCE, Curves
from dlnmc.plotting.densities import Densities
from dlnmc.plotting.style import BLUE, GREEN, GREY, PURPLE, SKY, STYLE, VERMILION

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "BLUE", "EXACT", "GREEN", "GREY", "PURPLE", "REFERENCE", "SKY", "STYLE", "VERMILION", "Curves", "Densities",
    "draw_picture",
]  # fmt: skip


def draw_picture(data: xr.Dataset) -> "Figure":
    """The figure of a picture that is kept as data."""
    kind = data.attrs.get("picture")
    if kind == densities.PICTURE:
        return densities.draw(Densities.from_dataset(data))
    if kind == curves.PICTURE:
        return curves.draw(Curves.from_dataset(data))
    raise InvalidValue(f"the attribute picture = {kind!r}: it must be {densities.PICTURE!r} or {curves.PICTURE!r}")
