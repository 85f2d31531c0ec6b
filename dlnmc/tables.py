"""Results as tables of text or JSON."""

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import xarray as xr

from dlnmc import analysis, dataset, findings
from dlnmc.errors import InvalidValue
from dlnmc.studies import attribute, settings_of
from dlnmc.studies.base import WHOLE, Kind, Row

Column = tuple[str, str, str | None, str]
COLUMNS: tuple[Column, ...] = (  # heading, keys of value and error, format
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


class Table(NamedTuple):
    """A table as text: its name, what heads the columns, what these mean, and the cells of each row."""

    name: str
    headings: list[str]
    meanings: list[str]
    cells: list[list[str]]

    def lines(self) -> list[str]:
        """Headings, a rule, and a line for each row."""
        every = [self.headings, *self.cells]
        widths = [max(len(line[i]) for line in every) for i in range(len(self.headings))]
        lines = ["  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) for line in every]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return lines

    def legend(self) -> list[str]:
        """A line for each column that says what it means."""
        return [f"{heading}: {text}" for heading, text in zip(self.headings, self.meanings, strict=True) if text]


def report(tree: xr.DataTree, name: str | None = None) -> str:
    """The tables of a result as text, standard errors after ±; of equilibria first whether they are stationary.

    With a name, that table alone, and what its columns mean. Raises InvalidValue where there is none of that name.

    On a ladder of steps the bias of each is shown beside the error, with `!` where it dominates, and the values as
    dt → 0 follow.
    """
    if name is not None:
        own = _table(name, _named(tree, name), kind_of(tree))
        return "\n".join([*own.lines(), "", *own.legend()])
    rows, named = findings.rows(tree), tables(tree)
    lines = [f"{heading(tree)} — {_made(tree)}"]
    lines += [_stationarity(rows)] if any("allowed_z" in row for row in rows) else []  # of equilibria
    for index, table in enumerate(named):
        lines += ["", table.name] if index or (len(named) > 1 and set(kind_of(tree).PARTS) != {WHOLE}) else []
        lines += ["", *table.lines(), *(_limits(rows) if index == 0 else [])]
    return "\n".join(lines)


def heading(tree: xr.DataTree) -> str:
    """What a result is one of."""
    title = str(tree.attrs.get("title"))
    if findings.is_summary(tree) or set(kind_of(tree).PARTS) != {WHOLE}:
        return title
    words = dataset.model_of(next(dataset.members(tree)), tree.attrs).energy.words
    return f"{title}, {words}" if words else title


def _made(tree: xr.DataTree) -> str:
    scheme, seed, seconds = (tree.attrs.get(key) for key in ("scheme", "seed", "wall_seconds"))
    return f"{f'{scheme}, ' if scheme else ''}seed {seed}, {seconds} s"


def kind_of(tree: xr.DataTree) -> Kind:
    """The settings of the study that made a result."""
    table = attribute(tree, "config").get("study", {})
    return settings_of(table if isinstance(table, dict) else {})


def tables(tree: xr.DataTree) -> list[Table]:
    """The tables of a result as text."""
    kind = kind_of(tree)
    return [_table(name, rows, kind) for name, rows in findings.tables(tree).items()]


def _table(name: str, rows: Sequence[Row], kind: Kind) -> Table:
    """Figures of rows in columns: those of `COLUMNS` alone where it is to be brief, else all that are no lists."""
    rows = [row | _observables(row) for row in rows]
    own = sorted({(name, name, f"{name}_error", ".4g") for row in rows for name in row.get("observables") or ()})
    columns: list[Column] = [*COLUMNS, *own]
    if name not in kind.BRIEF:
        known = {column[1]: column for column in COLUMNS}
        keys = dict.fromkeys(key for row in rows for key in row)
        columns = [
            _column(key, f"{key}_error" if f"{key}_error" in keys else None, known.get(key))
            for key in keys
            if not (key.endswith("_error") and key.removesuffix("_error") in keys)
            and not any(isinstance(row.get(key), list | dict) for row in rows)
        ]
    columns = [column for column in columns if any(row.get(column[1]) is not None for row in rows)]
    return Table(
        name.replace("_", " "),
        [heading for heading, *_ in columns],
        [kind.meaning(key) for _, key, *_ in columns],
        [[_cell(row, *column[1:]) for column in columns] for row in rows],
    )


def _column(key: str, error: str | None, known: Column | None) -> Column:
    """A column of what the row says of its error; with the heading that all studies have, if there is one."""
    return (key.replace("_", " "), key, error, ".4g") if known is None else (known[0], key, error or known[2], known[3])


def _observables(row: Row) -> Row:
    """Averages of what the user observed, as columns."""
    own = (row.get("observables") or {}).items()
    return {key: value for name, f in own for key, value in ((name, f["mean"]), (f"{name}_error", f["error"]))}


def _stationarity(rows: list[Row]) -> str:
    """Whether early and late observations agree, in one line."""
    known = [row for row in rows if row.get("stationary") is not None]
    if not known:
        return "stationary: not known, there are no two halves to compare"
    worst = max(known, key=lambda row: row["largest_z"] / row["allowed_z"])
    text = f"early and late halves differ by at most {worst['largest_z']:.2f} standard errors"
    word = "yes" if all(row["stationary"] for row in known) else "NO"
    return f"stationary: {word}, {text} ({worst['allowed_z']:.2f} are allowed)"


def _limits(rows: list[Row]) -> list[str]:
    """What a ladder of steps says about dt → 0: a line for each of its members, the finest step standing for it."""
    lines = []
    for row in rows:
        first = min(other["dt"] for other in rows if other.get("dt")) if row.get("dt") else None
        for key, heading in (("trace", "trace/exact"), ("spacing", "spacing ratio")):
            if first is not None and row["dt"] == first and row.get(f"{key}_limit") is not None:
                name = analysis.name_of({name: value for name, value in row.items() if name != "dt"})
                limit = _cell(row, f"{key}_limit", f"{key}_limit_error", ".4f")
                order = _finite(row[f"{key}_order"])
                seen = "" if order is None else f", order {order:.2f}"
                lines.append(f"dt → 0, {name}: {heading} {limit}{seen}")
    return ["", *lines] if lines else []


def _cell(row: Row, key: str, error: str | None, form: str) -> str:
    value = row.get(key)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if value is None or math.isnan(value):
        return "–"
    if isinstance(value, int):
        form = "d"
    spread = None if error is None else _finite(row.get(error))
    if spread and form.endswith("g"):  # two digits of the error
        form = f".{max(0, 1 - math.floor(math.log10(spread)))}f"
    text = format(value, form)
    mark = ""
    if key.endswith("_bias"):
        statistical = _finite(row[key.replace("_bias", "_error")])
        mark = " !" if statistical is not None and abs(value) > statistical else "  "
    return text + mark if spread is None else f"{text} ± {spread:{form.lstrip('+')}}{mark}"


def report_json(tree: xr.DataTree, name: str | None = None) -> str:
    """The main table of a result as JSON, a list with an object for each row, or that with a name.

    Without a name, all tables of a study of several parts: an object with a list for each.
    """
    if name is not None:
        return json.dumps([_plain(row) for row in _named(tree, name)], indent=1)
    found = {name: [_plain(row) for row in rows] for name, rows in findings.tables(tree).items()}
    whole = set(kind_of(tree).PARTS) == {WHOLE}
    return json.dumps(found[next(iter(found))] if whole else found, indent=1)


def _named(tree: xr.DataTree, name: str) -> list[Row]:
    found = findings.tables(tree)
    if name not in found:
        raise InvalidValue(f"table {name!r}: the result has {', '.join(found)}")
    return found[name]


def _plain(row: Row) -> Row:
    plain: Row = _finite(row)
    if plain.get("depth", 1.0) is None:
        plain["depth"] = "Infinity"  # as descriptions have it
    return plain


def _finite(value: Any) -> Any:
    """The value, or a dictionary of values, with None for what JSON has no number for."""
    if isinstance(value, dict):
        return {key: _finite(own) for key, own in value.items()}
    if isinstance(value, list):
        return [_finite(own) for own in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
