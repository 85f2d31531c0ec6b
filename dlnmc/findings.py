"""What a result says: its tables, what it is held against, its pictures; and a summary that holds all of it.

A summary is small, and says the same as the result that it was made of, whose states it does not hold.
"""

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from dlnmc import dataset
from dlnmc.config import Equilibrium
from dlnmc.errors import InvalidValue
from dlnmc.studies import attribute, load, settings_of
from dlnmc.studies.base import WHOLE, Kind, Row, Tables, Verdict

if TYPE_CHECKING:
    import pandas as pd

STATES = ("singular_values", "eigenvalues")
SUMMARY = "summary_of"  # the attribute that marks a summary: what it is one of
DROPPED = ("identity", "last_step")  # attributes of results that continue, as summaries do not
WHOLE_NUMBERS = "whole numbers"
YES_OR_NO = "1: yes, 0: no, -1: not known"


def parts_of(result: xr.Dataset | xr.DataTree) -> tuple[Kind, dict[str, xr.DataTree]]:
    """The `[study]` settings of a result, those of the semicircle study where it was made without one, and its parts.

    Raises InvalidValue for what is neither an equilibrium nor the result of a study.
    """
    if isinstance(result, str | Path):
        raise InvalidValue(f"{str(result)!r} is the name of a file, not a result: open it first, by dlnmc.open")
    if not isinstance(result, xr.DataTree):
        settings = settings_of({})
        parts: dict[str, xr.DataTree] = {}
    else:
        table = attribute(result, "config").get("study", {})
        if not isinstance(table, dict):
            raise InvalidValue(f"the result's configuration has study = {table!r}: it must be a table")
        settings = settings_of(table)
        parts = {WHOLE: result} if set(settings.PARTS) == {WHOLE} else dict(result.children)
    for name, cls in settings.PARTS.items():
        group = "moments" if issubclass(cls, Equilibrium) else "samples"
        if name not in parts or group not in parts[name].children:
            where = f"{name}/{group}" if name else group
            kept = not getattr(result, "children", None) and any(name in result for name in STATES)
            words = "; of paths and draws plot shows the states, and dlnmc.table(result) lists them" if kept else ""
            raise InvalidValue(
                f"there is a table of an equilibrium or a study only: the result has no group {where}{words}"
            )
    return settings, {name: parts[name] for name in settings.PARTS}


def is_summary(result: Any) -> bool:
    """Whether it is what `summary` returned."""
    return isinstance(result, xr.DataTree) and SUMMARY in result.attrs


def tables(result: xr.Dataset | xr.DataTree) -> Tables:
    """The tables of a result, by name: rows of figures, None where one is not known."""
    if is_summary(result):
        return {name: _rows(group.to_dataset()) for name, group in result["tables"].children.items()}
    settings, parts = parts_of(result)
    found = {name: _level(own) for name, own in settings.tables(parts).items()}
    if set(settings.PARTS) == {WHOLE}:
        first = next(iter(found))
        found[first] = _in_order(found[first], attribute(parts[WHOLE], "config"))
    return found


def _level(found: Sequence[Row]) -> list[Row]:
    """Rows that all have the same columns, None where one has no figure."""
    names = dict.fromkeys(name for row in found for name in row)
    return [{name: row.get(name) for name in names} for row in found]


def rows(result: xr.Dataset | xr.DataTree) -> list[Row]:
    """The main table of a result."""
    return next(iter(tables(result).values()))


def _in_order(found: list[Row], config: dict[str, Any]) -> list[Row]:
    """The rows of a sweep in the order of the study file, where they have all its parameters."""
    if not {"model", "run", "study"} <= set(config):
        return found
    points = [{key: value for key, value in model if key in dataset.SWEPT} for model in load(config).models()]
    if not all(set(points[0]) <= set(row) for row in found):
        return found
    return sorted(found, key=lambda row: points.index({key: row[key] for key in points[0]}))


def verdicts(result: xr.Dataset | xr.DataTree) -> list[Verdict]:
    """What a result is held against: a sentence with figures, and whether it holds; None where it is not known."""
    if is_summary(result):
        checks = result["checks"].to_dataset()
        return [
            (str(text), None if holds < 0 else bool(holds))
            for text, holds in zip(checks["text"].values, checks["holds"].values, strict=True)
        ]
    settings, parts = parts_of(result)
    return _plain(settings.checks(parts, tables(result)))


def _plain(held: Iterable[Verdict]) -> list[Verdict]:
    """Verdicts without booleans of NumPy, which are neither True nor False."""
    return [(text, None if holds is None else bool(holds)) for text, holds in held]


def failed(held: Iterable[Verdict]) -> list[str]:
    """The sentences that do not hold; what is not known does not fail."""
    return [text for text, holds in _plain(held) if holds is False]


def outcome(held: Sequence[Verdict]) -> str:
    """How many hold, how many fail, and how many are not known if any is."""
    unknown, wrong = sum(holds is None for _, holds in held), len(failed(held))
    text = f"{len(held) - unknown - wrong} passed, {wrong} failed"
    return f"{text}, {unknown} not known" if unknown else text


def pictures(result: xr.Dataset | xr.DataTree) -> dict[str, xr.Dataset]:
    """The pictures of a result, by name, as data that `dlnmc.plotting.draw_picture` draws."""
    if is_summary(result):
        return {name: group.to_dataset() for name, group in result["pictures"].children.items()}
    settings, parts = parts_of(result)
    return {name: picture.to_dataset() for name, picture in settings.pictures(parts, tables(result)).items()}


def summary(result: xr.Dataset | xr.DataTree) -> xr.DataTree:
    """All that a result says, without its states: groups `tables`, `checks` and `pictures`.

    `dlnmc.report`, `dlnmc.plot` and `dlnmc.table` take it as they take the result. Raises InvalidValue for what is
    neither an equilibrium nor the result of a study.
    """
    if isinstance(result, xr.DataTree) and is_summary(result):
        return result.copy()
    settings, parts = parts_of(result)
    found = tables(result)
    held = _plain(settings.checks(parts, found))
    groups = {f"tables/{name}": _table(own, settings) for name, own in found.items()}
    groups |= {f"pictures/{name}": own.to_dataset() for name, own in settings.pictures(parts, found).items()}
    groups["checks"] = xr.Dataset(
        {
            "text": ("check", [text for text, _ in held], {"long_name": "what is checked, with figures"}),
            "holds": (
                "check",
                np.array([_code(holds) for _, holds in held], dtype=np.int8),
                {"long_name": "whether it holds", "units": YES_OR_NO},
            ),
        }
    )
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = {name: value for name, value in result.attrs.items() if name not in DROPPED}
    tree.attrs[SUMMARY] = settings.kind
    return tree


def table(result: xr.Dataset | xr.DataTree, name: str | None = None) -> "pd.DataFrame":
    """A table of a result as a pandas DataFrame; of a study the main one, or that with a name.

    What `simulate` and `exact` return has no table of figures: its states are, a row for each value.
    """
    import pandas as pd

    if isinstance(result, xr.Dataset):
        names = [name for name in STATES if name in result]
        if not names or name is not None:
            raise InvalidValue(f"name = {name!r}: there are tables of studies and equilibria, and of kept states")
        return result[names[0]].to_dataframe().reset_index()
    found = tables(result)
    if name is not None and name not in found:
        raise InvalidValue(f"name = {name!r}: the result has the tables {', '.join(found)}")
    return pd.DataFrame(found[next(iter(found)) if name is None else name])


# --- tables as data ---------------------------------------------------------------------------------------------------


def _code(value: bool | None) -> int:
    return -1 if value is None else int(value)


def _table(rows: Sequence[Row], kind: Kind) -> xr.Dataset:
    """Rows as variables over `row`: numbers, with NaN for what is not known, yes and no as codes, else text."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return xr.Dataset(
        {name: ("row", *_column(name, [row.get(name) for row in rows], kind.meaning(name))) for name in names}
    )


def _column(name: str, values: list[Any], meaning: str) -> tuple[np.ndarray, dict[str, str]]:
    attrs = {"long_name": meaning or name.replace("_", " ")}
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, bool) for value in known):
        return np.array([_code(value) for value in values], dtype=np.int8), attrs | {"units": YES_OR_NO}
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        return np.array(values, dtype=np.int64), attrs
    if known and all(isinstance(value, int) for value in known):
        attrs["valid_values"] = WHOLE_NUMBERS
    if all(isinstance(value, int | float) for value in known):
        return np.array([math.nan if value is None else value for value in values], dtype=np.float64), attrs
    texts = [value if isinstance(value, str) else json.dumps(value) for value in values]
    return np.array(texts, dtype=object), attrs


def _rows(data: xr.Dataset) -> list[Row]:
    columns = {str(name): [_value(value, variable) for value in variable.to_numpy()] for name, variable in data.items()}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _value(value: Any, variable: xr.DataArray) -> Any:
    if variable.attrs.get("units") == YES_OR_NO:
        return None if value < 0 else bool(value)
    if isinstance(value, str):
        return json.loads(value) if value[:1] in ("{", "[") or value == "null" else value
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and math.isnan(value):
        return None
    return int(value) if variable.attrs.get("valid_values") == WHOLE_NUMBERS else value
