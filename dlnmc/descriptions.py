"""The base of everything that a user describes: models, energies, runs, studies.

A description is immutable, validated when it is made, equal by value, and the same from Python and from TOML; as JSON
it is what is stored in files and hashed.
"""

import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from dlnmc.errors import InvalidValue

MOST_QUOTED = 200  # characters of a value
DEEPEST = 32  # levels of lists and objects in JSON that is read; a study has six


class Description(BaseModel):
    """An immutable, validated record; its fields may be given by position or by name."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", ser_json_inf_nan="strings")

    def __init__(self, *args: Any, **values: Any) -> None:
        names = [name for name in type(self).model_fields if name != "kind"]
        if len(args) > len(names):
            raise InvalidValue(f"{type(self).__name__} takes at most {len(names)} values, not {len(args)}")
        for name, value in zip(names, args, strict=False):
            if name in values:
                raise InvalidValue(f"{type(self).__name__}: {name} was given twice")
            values[name] = value
        values = {name: _python(value) for name, value in values.items()}
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InvalidValue(one_line(error, type(self))) from None

    def changed(self, **values: Any) -> Self:
        """A copy with some fields replaced, validated anew."""
        return type(self)(**(dict(self) | values))

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """What `repr` shows: all that may be given, so without `kind`, which the name of the class says."""
        return ((name, value) for name, value in super().__repr_args__() if name != "kind")

    def __str__(self) -> str:
        return repr(self)

    def _repr_html_(self) -> str:
        """What notebooks show: a line for each field."""
        cell = "<tr><th style='text-align: left'>{}</th><td style='text-align: left'>{}</td></tr>"
        rows = "".join(cell.format(escape(name), _shown(value)) for name, value in self if name != "kind")
        return f"<table><caption style='text-align: left'>{type(self).__name__}</caption>{rows}</table>"

    def to_json(self) -> str:
        """The description as one line of JSON with sorted keys."""
        return json.dumps(json.loads(self.model_dump_json()), sort_keys=True)

    def digest(self) -> str:
        """SHA-256 of `to_json()`."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def from_json(text: Any, name: str) -> Any:
    """The value of JSON that came with a file. Raises InvalidValue where `name` holds none, or one nested too deep."""
    try:
        value = json.loads(text)
    except (TypeError, ValueError) as error:
        raise InvalidValue(f"the result's attribute {name} is not JSON ({error})") from None
    except RecursionError:
        raise InvalidValue(f"the result's attribute {name} is nested too deep") from None
    level = [value]
    for _ in range(DEEPEST):
        lists = [own.values() if isinstance(own, dict) else own for own in level if isinstance(own, dict | list)]
        level = [own for values in lists for own in values]
    if level:
        raise InvalidValue(f"the result's attribute {name} is nested more than {DEEPEST} deep")
    return value


def _python(value: Any) -> Any:
    """A value as strict validation takes it: plain numbers, tuples, and the infinities as JSON spells them."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.ndim > 0:
        return _python(value.tolist())
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return tuple(_python(own) for own in value)
    return {"Infinity": float("inf"), "-Infinity": float("-inf")}.get(value, value) if isinstance(value, str) else value


def one_line(error: ValidationError, cls: type[BaseModel]) -> str:
    """One of pydantic's complaints, a misspelt key before a missing one, as one line: key, value, what is allowed."""
    return " ".join(_complaint(error, cls).split())


def _complaint(error: ValidationError, cls: type[BaseModel]) -> str:
    first = min(error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden")
    context = first.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, InvalidValue):
        return str(cause)
    where = ".".join(str(part) for part in first["loc"])
    kind = first["type"]
    if kind == "extra_forbidden":
        return unknown_key(where, [name for name in cls.model_fields if name != "kind"])
    if kind == "missing":
        return f"{cls.__name__}: {where} is missing"
    if not where:  # of several values: the cause quotes those that matter
        return f"{cls.__name__}: {cause or first['msg']}"
    bounds = {"greater_than": ">", "greater_than_equal": ">=", "less_than": "<", "less_than_equal": "<="}
    if kind in bounds:
        limit = next(value for key, value in context.items() if key in ("gt", "ge", "lt", "le"))
        allowed = f"it must be {bounds[kind]} {limit}"
    elif kind in ("literal_error", "union_tag_invalid"):
        allowed = f"allowed: {context.get('expected') or context.get('expected_tags')}"
    elif kind == "union_tag_not_found":
        allowed = "its kind is missing"
    elif cause is not None:
        allowed = str(cause)
    else:
        allowed = (first["msg"][0].lower() + first["msg"][1:]).replace("a valid tuple", "a list")
    return f"{where} = {quoted(first['input'])}: {allowed}"


def _shown(value: Any) -> str:
    """A field as HTML: a description within another by its kind, where that says it, else in full."""
    if isinstance(value, Description):
        inner = ", ".join(f"{name} = {own!r}" for name, own in value if name != "kind")
        return escape(f"{getattr(value, 'kind', type(value).__name__)}{f' ({inner})' if inner else ''}"[:MOST_QUOTED])
    return escape(f"{value:g}" if isinstance(value, float) else quoted(value) if not isinstance(value, str) else value)


def quoted(value: Any) -> str:
    """A value as Python writes it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= MOST_QUOTED else f"{text[: MOST_QUOTED - 1]}…"


def unknown_key(key: str, known: list[str]) -> str:
    """One line about a key that does not exist, with the nearest one that does."""
    names = {name.rsplit(".", 1)[-1]: name for name in known}
    return f"unknown key {quoted(key)}{did_you_mean(key.rsplit('.', 1)[-1], names)} (known: {', '.join(known)})"


def did_you_mean(word: str, names: Mapping[str, str]) -> str:
    """A question about the name nearest to a word, as it is to be written; nothing where none is near."""
    near = difflib.get_close_matches(word, names, n=1)
    return f"; did you mean {names[near[0]]!r}?" if near else ""
