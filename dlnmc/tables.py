"""Results as tables of text or JSON."""

import json
import math
from typing import Any

import xarray as xr

from dlnmc import analysis, dataset, studies

COLUMNS = (  # heading, keys of value and error, format
    ("depth", "depth", None, "g"),
    ("width", "width", None, "d"),
    ("size", "size", None, "d"),
    ("beta", "beta", None, "g"),
    ("kappa", "kappa", None, "g"),
    ("dt", "dt", None, "g"),
    ("paths", "paths", None, "d"),
    ("KS to law, d → ∞", "ks", "ks_error", ".4f"),
    ("trace/exact", "trace_ratio", "trace_error", ".4f"),
    ("bias", "trace_bias", "trace_bias_error", "+.4f"),
    ("spacing ratio", "spacing_ratio", "spacing_error", ".4f"),
    ("bias", "spacing_bias", "spacing_bias_error", "+.4f"),
    ("accepted", "acceptance", None, ".3f"),
    ("trace", "trace_mean", "trace_mean_error", ".4g"),
    ("edge", "edge", "edge_error", ".4f"),
    ("edge, d → ∞", "edge_law", None, ".4f"),
    ("converged", "converged", "converged_error", ".5f"),
    ("slow", "slow_paths", None, "d"),
    ("rank one", "rank_one", "rank_one_error", ".4f"),
    ("|det W| < 0.01", "small_det", "small_det_error", ".4f"),
    ("det W < 0", "negative_det", "negative_det_error", ".4f"),
    ("median |det W|", "median_abs_det", None, ".4f"),
    ("effective rank", "effective_rank", "effective_rank_error", ".4f"),
    ("σ of log|a|", "log_a_spread", None, ".3f"),
)


def report(tree: xr.DataTree) -> str:
    """The table of a result as text: whether it is stationary, then one line for each member, standard errors after ±.

    On a ladder of steps the bias of each is shown beside the error, with `!` where it dominates, and the values as
    dt → 0 follow.
    """
    rows = [row | _observables(row) for row in studies.rows(tree)]
    own = sorted({(name, name, f"{name}_error", ".4g") for row in rows for name in row.get("observables", ())})
    columns = [column for column in (*COLUMNS, *own) if any(row.get(column[1]) is not None for row in rows)]
    cells = [[heading for heading, *_ in columns]]
    cells += [[_cell(row, *column[1:]) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    lines = ["  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) for line in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    title, scheme, seed, seconds = (tree.attrs.get(key) for key in ("title", "scheme", "seed", "wall_seconds"))
    if words := dataset.model_of(next(dataset.members(tree)), tree.attrs).energy.words:
        title = f"{title}, {words}"
    head = [f"{title} — {scheme}, seed {seed}, {seconds} s"]
    head += [_stationarity(rows)] if any("allowed_z" in row for row in rows) else []  # of equilibria
    return "\n".join([*head, "", *lines, *_limits(rows)])


def _observables(row: dict[str, Any]) -> dict[str, Any]:
    """Averages of what the user observed, as columns."""
    own = row.get("observables", {}).items()
    return {key: value for name, f in own for key, value in ((name, f["mean"]), (f"{name}_error", f["error"]))}


def _stationarity(rows: list[dict[str, Any]]) -> str:
    """Whether early and late observations agree, in one line."""
    known = [row for row in rows if row.get("stationary") is not None]
    if not known:
        return "stationary: not known, there are no two halves to compare"
    worst = max(known, key=lambda row: row["largest_z"] / row["allowed_z"])
    text = f"early and late halves differ by at most {worst['largest_z']:.2f} standard errors"
    word = "yes" if all(row["stationary"] for row in known) else "NO"
    return f"stationary: {word}, {text} ({worst['allowed_z']:.2f} are allowed)"


def _limits(rows: list[dict[str, Any]]) -> list[str]:
    """What a ladder of steps says about dt → 0: a line for each of its members, the finest step standing for it."""
    lines = []
    for row in rows:
        first = min(other["dt"] for other in rows if "dt" in other) if "dt" in row else None
        for key, heading in (("trace", "trace/exact"), ("spacing", "spacing ratio")):
            if first is not None and row["dt"] == first and f"{key}_limit" in row:
                name = analysis.name_of({name: value for name, value in row.items() if name != "dt"})
                limit = _cell(row, f"{key}_limit", f"{key}_limit_error", ".4f")
                order = _finite(row[f"{key}_order"])
                seen = "" if order is None else f", order {order:.2f}"
                lines.append(f"dt → 0, {name}: {heading} {limit}{seen}")
    return ["", *lines] if lines else []


def _cell(row: dict[str, Any], key: str, error: str | None, form: str) -> str:
    value = row.get(key)
    if value is None or math.isnan(value):
        return "–"
    spread = None if error is None else _finite(row.get(error))
    if spread and form.endswith("g"):  # two digits of the error
        form = f".{max(0, 1 - math.floor(math.log10(spread)))}f"
    text = format(value, form)
    mark = ""
    if key.endswith("_bias"):
        statistical = _finite(row[key.replace("_bias", "_error")])
        mark = " !" if statistical is not None and abs(value) > statistical else "  "
    return text + mark if spread is None else f"{text} ± {spread:{form.lstrip('+')}}{mark}"


def report_json(tree: xr.DataTree) -> str:
    """The table of a result as JSON: a list with an object for each member."""
    rows = [_finite(row) for row in studies.rows(tree)]
    for row in rows:
        if "depth" in row and row["depth"] is None:
            row["depth"] = "Infinity"  # as descriptions have it
    return json.dumps(rows, indent=1)


def _finite(value: Any) -> Any:
    """The value, or a dictionary of values, with None for what JSON has no number for."""
    if isinstance(value, dict):
        return {key: _finite(own) for key, own in value.items()}
    if isinstance(value, list):
        return [_finite(own) for own in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
