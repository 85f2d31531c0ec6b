"""Studies: a question, the runs that answer it, and what the answer is held against. One file each.

A study file is TOML: `[model]` (lists sweep), `[run]`, `[study]` with its `kind`. Named studies are shipped with the
package; no code is ever imported from a study file.
"""

import itertools
import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import xarray as xr
from pydantic import Field

from dlnmc import dataset
from dlnmc.chunks import Member
from dlnmc.config import run_settings
from dlnmc.descriptions import Description, from_json, quoted, unknown_key
from dlnmc.errors import InvalidValue
from dlnmc.models import MODELS
from dlnmc.simulation import sweep_members
from dlnmc.studies import completion, semicircle

KINDS: dict[str, ModuleType] = {"semicircle": semicircle, "completion": completion}
DEFAULT_MODEL, DEFAULT_STUDY = "deep_linear_network", "semicircle"  # the kinds where a file says none
SECTIONS = ("model", "run", "study")
MOST_MEMBERS = 10_000  # of a sweep
MOST_BITS = 1023  # of an integer, which then is a finite float
LARGEST = 2**24  # bytes of a study file, which is read whole
DEEPEST = 8  # lists and tables within each other
TOO_DEEP = f"lists and tables within each other, more than {DEEPEST} deep"


class Study(Description):
    """A study: the tables of its file, validated. `common_noise` in `[run]` gives all members the same noise."""

    name: str
    model: dict[str, Any]
    run: dict[str, Any] = Field(default_factory=dict)
    study: dict[str, Any] = Field(default_factory=dict)

    def settings(self) -> Any:
        """The validated `[study]` table."""
        return settings_of(self.study)

    def tables(self) -> dict[str, Any]:
        """The study as plain values, from which `load` makes it again."""
        tables: dict[str, Any] = json.loads(self.to_json())
        return tables

    def attributes(self) -> dict[str, str]:
        """The attributes by which a result says what it is the result of."""
        return {"config": self.to_json(), "title": self.settings().title}

    def members(self) -> list[Member]:
        """The complete runs of the study, one for each point of the sweep."""
        run = dict(self.run)
        common = run.pop("common_noise", False)
        if not isinstance(common, bool):
            raise InvalidValue(f"run.common_noise = {quoted(common)}: it must be true or false")
        observables = run.get("observables")
        if isinstance(observables, Mapping) and any(map(callable, observables.values())):
            raise InvalidValue("run.observables: a study takes a list of names of built-in ones, no functions")
        kind = KINDS[self.settings().kind]
        known = run_settings(kind.RUN)
        for key in run:
            if key not in known:
                raise InvalidValue("run: " + unknown_key(key, [*known, "common_noise"]))
        number, models = self.number(), self.models()
        kind.check_number(self.settings(), number)
        members = sweep_members(models, run, None, common, kind.RUN)
        kind.check(self.settings(), [member.run for member in members])
        return members

    def number(self) -> int:
        """How many runs there are: those of the sweep, times the steps of a ladder."""
        lists = {f"model.{key}": value for key, value in self.model.items() if isinstance(value, list)}
        if isinstance(self.run.get("dt"), list):
            lists["run.dt"] = self.run["dt"]
        found = math.prod(map(len, lists.values()))
        if found > MOST_MEMBERS:
            product = " · ".join(f"{len(values)} of {key}" for key, values in lists.items())
            raise InvalidValue(f"the sweep has {product} = {found} members: there may be {MOST_MEMBERS}")
        return found

    def models(self) -> list[Any]:
        """The models of the sweep: lists in `[model]` are run through, the last fastest."""
        values = dict(self.model)
        kind = values.pop("kind", DEFAULT_MODEL)
        if not isinstance(kind, str) or kind not in MODELS:
            raise InvalidValue(f"model.kind = {quoted(kind)}: allowed: {', '.join(MODELS)}")
        lists = {key: value for key, value in values.items() if isinstance(value, list)}
        for energy in lists.get("energy", [values.get("energy")]):
            if "own" in (energy, energy.get("kind") if isinstance(energy, Mapping) else getattr(energy, "kind", None)):
                raise InvalidValue(
                    "model.energy = 'own': studies hold no code; run it from Python, by dlnmc.equilibrium"
                )
        for key, value in lists.items():
            if len(value) > 1 and key in MODELS[kind].model_fields and key not in dataset.SWEPT:
                raise InvalidValue(f"model.{key} = {quoted(value)}: a sweep needs models of one {key}")
            if not value or not _all_different(value):
                raise InvalidValue(f"model.{key} = {quoted(value)}: a list to sweep must hold different values")
        points = itertools.product(*lists.values())
        return [MODELS[kind](**(values | dict(zip(lists, point, strict=True)))) for point in points]


def _all_different(values: list[Any]) -> bool:
    try:
        return len(set(values)) == len(values)
    except TypeError:  # lists or tables among them, which models refuse
        return True


def settings_of(table: Mapping[str, Any]) -> Any:
    """The validated settings of a `[study]` table."""
    kind = table.get("kind", DEFAULT_STUDY)
    if not isinstance(kind, str) or kind not in KINDS:
        raise InvalidValue(f"study.kind = {quoted(kind)}: allowed: {', '.join(KINDS)}")
    return KINDS[kind].Settings(**table)


def folder() -> Path:
    """Where the studies that are shipped lie: in the package, or in a checkout beside it."""
    package = Path(__file__).parent.parent
    shipped = package / "data" / "studies"
    return shipped if shipped.is_dir() else package.parent / "data" / "studies"


def names() -> list[str]:
    """The named studies."""
    return sorted(path.stem for path in folder().glob("*.toml"))


def load(source: str | Path | Mapping[str, Any], changes: Sequence[str] = ()) -> Study:
    """A study by name, from a TOML file, or from a mapping; then changed by texts `key=value`."""
    if isinstance(source, Mapping):
        tables, name = dict(source), str(source.get("name", "study"))
        tables.pop("name", None)
    else:
        path = _find(source)
        tables, name = _read(path), path.stem
    for section in tables:
        if section not in SECTIONS:
            raise InvalidValue(f"{name}: " + unknown_key(section, list(SECTIONS)))
        if not isinstance(tables[section], Mapping):
            raise InvalidValue(f"{name}: {section} = {quoted(tables[section])}: it must be a table, [{section}]")
    if "model" not in tables:
        raise InvalidValue(f"{name}: the table [model] is missing")
    tables = {section: dict(table) for section, table in tables.items()}
    for change in changes:
        _change(tables, change)
    for section, table in tables.items():
        for key, value in table.items():
            _check_extent(f"{section}.{key}", value)
    study = Study(name=name, **tables)
    study.settings()
    return study


def _find(source: str | Path) -> Path:
    named = folder() / f"{source}.toml"
    if str(source) in names():
        return named
    path = Path(source)
    if not path.is_file():
        raise InvalidValue(f"{source}: neither a study file nor a named study ({', '.join(names())})")
    if path.stat().st_size > LARGEST:
        raise InvalidValue(f"{path}: a study file has at most {LARGEST} bytes, not {path.stat().st_size}")
    return path


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidValue(f"{path}: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise InvalidValue(f"{path}: {TOO_DEEP}") from None


def _check_extent(name: str, value: Any, depth: int = 0) -> None:
    """Raise InvalidValue for what no setting can be, and other messages could not quote."""
    if depth > DEEPEST:
        raise InvalidValue(f"{name}: {TOO_DEEP}")
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        raise InvalidValue(f"{name} = {hex(value)[:20]}…: an integer of {value.bit_length()} bits, beyond any setting")
    for own in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        _check_extent(name, own, depth + 1)


def _change(tables: dict[str, dict[str, Any]], change: str) -> None:
    """Apply `section.key=value` or, where the key is unambiguous, `key=value`."""
    key, value = parsed(change)
    keys = known_keys(tables)
    section, dot, name = key.strip().partition(".")
    if not dot:
        section, name = next((s for s in SECTIONS if key.strip() in keys[s]), ""), key.strip()
    if section not in keys or name not in keys[section]:
        raise InvalidValue("--set: " + unknown_key(key, [f"{s}.{k}" for s in SECTIONS for k in keys[s]]))
    tables.setdefault(section, {})[name] = value


def parsed(change: str) -> tuple[str, Any]:
    """The key and the value of a text `key=value`; the value is TOML, or else text."""
    key, sign, text = change.partition("=")
    if not sign:
        raise InvalidValue(f"--set {quoted(change)}: it must be key=value")
    try:
        return key, tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return key, _number_or_text(text)
    except ValueError as error:  # an integer of thousands of digits
        raise InvalidValue(f"--set {quoted(change)}: {error}") from None
    except RecursionError:
        raise InvalidValue(f"--set {quoted(change)}: {TOO_DEEP}") from None


def _number_or_text(text: str) -> float | str:
    """`.5` and `1.` are no numbers in TOML, but to everybody else."""
    try:
        return float(text)
    except ValueError:
        return text


def known_keys(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """The keys that each table of a study may have."""
    model = MODELS.get(str(tables["model"].get("kind")), MODELS[DEFAULT_MODEL])
    kind = KINDS.get(str(tables.get("study", {}).get("kind")), KINDS[DEFAULT_STUDY])
    return {
        "model": list(model.model_fields),
        "run": [*run_settings(kind.RUN), "common_noise"],
        "study": list(kind.Settings.model_fields),
    }


def rows(tree: Any) -> list[dict[str, Any]]:
    """The table of a result: one row for each member."""
    settings = _settings(tree) if isinstance(tree, xr.DataTree) else settings_of({})
    group = KINDS[settings.kind].GROUP
    if not isinstance(tree, xr.DataTree) or group not in tree.children:
        raise InvalidValue(f"there is a table of an equilibrium or a study only: the result has no group {group}")
    found = list(KINDS[settings.kind].rows(tree, settings))
    config = attribute(tree, "config")
    if not {"model", "run", "study"} <= set(config):
        return found
    points = [{key: value for key, value in model if key in dataset.SWEPT} for model in load(config).models()]
    return sorted(found, key=lambda row: points.index({key: row[key] for key in points[0]}))


def verdicts(tree: xr.DataTree) -> list[tuple[str, bool]]:
    """What a result is held against: a sentence with figures, and whether it holds."""
    settings = _settings(tree)
    return list(KINDS[settings.kind].verdicts(tree, rows(tree), settings))


def attribute(tree: xr.DataTree, name: str) -> dict[str, Any]:
    """An attribute of a result that holds an object as JSON; empty where it is none."""
    value = from_json(tree.attrs.get(name, "{}"), name)
    return value if isinstance(value, dict) else {}


def _settings(tree: xr.DataTree) -> Any:
    """The `[study]` settings of a result; those of the semicircle study where it was made without one."""
    table = attribute(tree, "config").get("study", {})
    if not isinstance(table, dict):
        raise InvalidValue(f"the result's configuration has study = {table!r}: it must be a table")
    return settings_of(table)
