"""Results as tables of text or JSON."""

import json
import math
from typing import Any

import xarray as xr

from dlnmc import studies

COLUMNS = (  # heading, keys of value and error, format
    ("depth", "depth", None, "g"),
    ("width", "width", None, "d"),
    ("size", "size", None, "d"),
    ("beta", "beta", None, "g"),
    ("kappa", "kappa", None, "g"),
    ("paths", "paths", None, "d"),
    ("KS to law", "ks", "ks_error", ".4f"),
    ("trace/exact", "trace_ratio", "trace_error", ".4f"),
    ("spacing ratio", "spacing_ratio", "spacing_error", ".4f"),
    ("edge", "edge", None, ".4f"),
    ("edge of law", "edge_law", None, ".4f"),
)


def report(tree: xr.DataTree) -> str:
    """The table of a result as text: one line for each member, standard errors after ±."""
    rows = studies.rows(tree)
    columns = [column for column in COLUMNS if any(column[1] in row for row in rows)]
    cells = [[heading for heading, *_ in columns]]
    cells += [[_cell(row, *column[1:]) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    lines = ["  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) for line in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    title, scheme, seed, seconds = (tree.attrs.get(key) for key in ("title", "scheme", "seed", "wall_seconds"))
    return "\n".join([f"{title} — {scheme}, seed {seed}, {seconds} s", "", *lines])


def _cell(row: dict[str, Any], key: str, error: str | None, form: str) -> str:
    value = row.get(key)
    if value is None:
        return "–"
    text = format(value, form)
    spread = None if error is None else _finite(row.get(error))
    return text if spread is None else f"{text} ± {spread:{form}}"


def report_json(tree: xr.DataTree) -> str:
    """The table of a result as JSON: a list with an object for each member."""
    return json.dumps([{key: _finite(value) for key, value in row.items()} for row in studies.rows(tree)], indent=1)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
