"""Studies: a question, the runs that answer it, and what the answer is held against. One file for each kind.

A study file is TOML: `[model]` (lists sweep), `[run]`, and `[study]` with its `kind`. A study of several parts has
`[parts.NAME.model]` and `[parts.NAME.run]` for each instead. `[presets.NAME]` has what else a preset sets; "quick" is
the file as it stands. Named studies are shipped with the package; no code is ever imported from a study file.
"""

import itertools
import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from dlnmc import dataset
from dlnmc.chunks import Member
from dlnmc.config import Run, run_settings
from dlnmc.descriptions import Description, did_you_mean, from_json, quoted, unknown_key
from dlnmc.errors import InvalidValue
from dlnmc.models import MODELS
from dlnmc.simulation import member_seed, sweep_members
from dlnmc.studies.base import WHOLE, Kind
from dlnmc.studies.dyson import Dyson
from dlnmc.studies.fluctuations import Fluctuations
from dlnmc.studies.free_energy import FreeEnergy
from dlnmc.studies.large_d import LargeD
from dlnmc.studies.large_n import LargeN
from dlnmc.studies.matrix_completion import MatrixCompletionStudy
from dlnmc.studies.semicircle import Semicircle

KINDS: dict[str, type[Kind]] = {
    "semicircle": Semicircle,
    "dyson": Dyson,
    "free-energy": FreeEnergy,
    "large-n": LargeN,
    "fluctuations": Fluctuations,
    "large-d": LargeD,
    "matrix-completion": MatrixCompletionStudy,
}
DEFAULT_MODEL, DEFAULT_STUDY = "deep_linear_network", "semicircle"  # the kinds where a file says none
SECTIONS = ("model", "run", "study", "parts", "presets")
OF_PART = ("model", "run")
QUICK = "quick"  # the preset that a file is without any
MOST_MEMBERS = 10_000  # of a sweep
MOST_BITS = 1023  # of an integer, which then is a finite float
LARGEST = 2**24  # bytes of a study file, which is read whole
DEEPEST = 8  # lists and tables within each other
TOO_DEEP = f"lists and tables within each other, more than {DEEPEST} deep"
SEEDS_APART = 2**32  # between the seeds of parts, counted as members of a sweep are


class Part(Description):
    """A sweep: the tables `[model]`, whose lists are run through, and `[run]`."""

    model: dict[str, Any]
    run: dict[str, Any] = Field(default_factory=dict)

    def members(self, cls: type[Run]) -> list[Member]:
        """The complete runs, one for each point of the sweep."""
        run = dict(self.run)
        common = run.pop("common_noise", False)
        if not isinstance(common, bool):
            raise InvalidValue(f"run.common_noise = {quoted(common)}: it must be true or false")
        observables = run.get("observables")
        if isinstance(observables, Mapping) and any(map(callable, observables.values())):
            raise InvalidValue("run.observables: a study takes a list of names of built-in ones, no functions")
        known = run_settings(cls)
        for key in run:
            if key not in known:
                raise InvalidValue("run: " + unknown_key(key, [*known, "common_noise"]))
        return sweep_members(self.models(), run, None, common, cls)

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


class Study(Description):
    """A study: the tables of its file, validated. `common_noise` in `[run]` gives all members the same noise.

    One of a single sweep has its tables `model` and `run`, one of several has `parts`.
    """

    name: str
    model: dict[str, Any] = Field(default_factory=dict)
    run: dict[str, Any] = Field(default_factory=dict)
    study: dict[str, Any] = Field(default_factory=dict)
    parts: dict[str, Part] = Field(default_factory=dict)

    @model_serializer(mode="wrap")
    def _without_what_it_has_not(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        absent = ("model", "run") if self.parts else ("parts",)
        return {name: value for name, value in handler(self).items() if name not in absent}

    def settings(self) -> Kind:
        """The validated `[study]` table."""
        return settings_of(self.study)

    def tables(self) -> dict[str, Any]:
        """The study as plain values, from which `load` makes it again."""
        tables: dict[str, Any] = json.loads(self.to_json())
        return tables

    def attributes(self) -> dict[str, str]:
        """The attributes by which a result says what it is the result of."""
        return {"config": self.to_json(), "title": self.settings().title}

    def sweeps(self) -> dict[str, Part]:
        """The parts by name; a single sweep has the name ""."""
        return dict(self.parts) if self.parts else {WHOLE: Part(model=self.model, run=self.run)}

    def number(self) -> int:
        """How many runs there are."""
        return sum(part.number() for part in self.sweeps().values())

    def _all(self, key: str) -> list[Any]:
        """What the models of all parts have under a key."""
        return [part.model.get(key) for part in self.sweeps().values()]

    def members_of_parts(self) -> dict[str, list[Member]]:
        """The complete runs of each part, one for each point of its sweep. Parts have different noise."""
        settings, sweeps = self.settings(), self.sweeps()
        kinds = settings.PARTS
        if set(sweeps) != set(kinds):
            raise InvalidValue(_parts_wanted(settings.kind, list(sweeps), list(kinds)))
        depths = max(len(listed) if isinstance(listed, list) else 1 for listed in self._all("depth"))
        settings.check_number(self.number(), depths)
        found = {}
        for index, name in enumerate(kinds):
            part = sweeps[name]
            try:
                seed = part.run.get("seed", 0)
                if index and isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed < 2**64:
                    part = part.changed(run=part.run | {"seed": member_seed(seed, index * SEEDS_APART)})
                found[name] = part.members(kinds[name])
            except InvalidValue as error:
                raise InvalidValue(f"part {name}: {error}" if name else str(error)) from None
        settings.check({name: [member.run for member in members] for name, members in found.items()})
        return found

    def members(self) -> list[Member]:
        """The complete runs, part by part."""
        return [member for members in self.members_of_parts().values() for member in members]

    def models(self) -> list[Any]:
        """The models of a study of one sweep."""
        return self.sweeps()[WHOLE].models()


def _parts_wanted(kind: str, found: list[str], wanted: list[str]) -> str:
    if wanted == [WHOLE]:
        return f"study.kind = {kind!r}: it has the tables [model] and [run], and no parts"
    names = ", ".join(wanted)
    if found == [WHOLE]:
        return f"study.kind = {kind!r}: it has the parts {names}, each [parts.NAME.model] and [parts.NAME.run]"
    return f"parts = {quoted(sorted(found))}: a study of kind {kind!r} has the parts {names}"


def _all_different(values: list[Any]) -> bool:
    try:
        return len(set(values)) == len(values)
    except TypeError:  # lists or tables among them, which models refuse
        return True


def settings_of(table: Mapping[str, Any]) -> Kind:
    """The validated settings of a `[study]` table."""
    kind = table.get("kind", DEFAULT_STUDY)
    if not isinstance(kind, str) or kind not in KINDS:
        raise InvalidValue(f"study.kind = {quoted(kind)}: allowed: {', '.join(KINDS)}")
    return KINDS[kind](**table)


def folder() -> Path:
    """Where the studies that are shipped lie: in the package, or in a checkout beside it."""
    package = Path(__file__).parent.parent
    shipped = package / "data" / "studies"
    return shipped if shipped.is_dir() else package.parent / "data" / "studies"


def names() -> list[str]:
    """The named studies."""
    return sorted(path.stem for path in folder().glob("*.toml"))


def load(source: str | Path | Mapping[str, Any], changes: Sequence[str] = (), preset: str = QUICK) -> Study:
    """A study by name, from a TOML file, or from a mapping; as a preset has it, then changed by texts `key=value`."""
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
    _check_extent(name, tables)
    tables = _with_preset(tables, preset, name)
    if "parts" in tables:
        _check_parts(tables, name)
    elif "model" not in tables:
        raise InvalidValue(f"{name}: the table [model] is missing")
    for change in changes:
        _change(tables, change)
    _check_extent(name, tables)
    study = Study(name=name if preset == QUICK else f"{name}-{preset}", **tables)
    study.settings()
    return study


def _with_preset(tables: Mapping[str, Any], preset: str, name: str) -> dict[str, Any]:
    """The tables of a file without its presets, changed by one of them."""
    presets = tables.get("presets", {})
    own = {section: _copied(table) for section, table in tables.items() if section != "presets"}
    if preset == QUICK and QUICK not in presets:
        return own
    if preset not in presets or not isinstance(presets[preset], Mapping):
        known = ", ".join(dict.fromkeys((QUICK, *presets)))
        raise InvalidValue(f"preset = {quoted(preset)}: {name} has {known}")
    return overlaid(own, presets[preset])


def _copied(table: Any) -> Any:
    return {key: _copied(value) for key, value in table.items()} if isinstance(table, Mapping) else table


def overlaid(table: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """A table with the values of another, also within tables; an energy is replaced as a whole."""
    found = dict(table)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(found.get(key), Mapping) and key != "energy"
        found[key] = overlaid(found[key], value) if both else _copied(value)
    return found


def _check_parts(tables: Mapping[str, Any], name: str) -> None:
    """Raise InvalidValue for parts that are none, or stand beside a single sweep."""
    for section in OF_PART:
        if section in tables:
            raise InvalidValue(f"{name}: [{section}] beside [parts]: a study has either")
    for part, own in tables["parts"].items():
        if not isinstance(own, Mapping) or not all(isinstance(table, Mapping) for table in own.values()):
            raise InvalidValue(f"{name}: parts.{part} = {quoted(own)}: it must hold the tables model and run")
        for section in own:
            if section not in OF_PART:
                raise InvalidValue(f"{name}: parts.{part}: " + unknown_key(section, list(OF_PART)))
        if "model" not in own:
            raise InvalidValue(f"{name}: the table [parts.{part}.model] is missing")
    if not tables["parts"]:
        raise InvalidValue(f"{name}: parts has no table")


def _find(source: str | Path) -> Path:
    named = folder() / f"{source}.toml"
    if str(source) in names():
        return named
    path = Path(source)
    if not path.is_file():
        hint = did_you_mean(str(source), {name: name for name in names()})
        raise InvalidValue(f"{source}: neither a study file nor a named study{hint} ({', '.join(names())})")
    if path.stat().st_size > LARGEST:
        raise InvalidValue(f"{path}: a study file has at most {LARGEST} bytes, not {path.stat().st_size}")
    return path


def _read(path: Path) -> dict[str, Any]:
    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"at line (\d+)", str(error))
        line = text.split("\n")[int(at[1]) - 1].strip() if at else ""
        raise InvalidValue(f"{path}: {str(error).splitlines()[0]}{f': {quoted(line)}' if line else ''}") from None
    except (OSError, ValueError) as error:
        raise InvalidValue(f"{path}: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise InvalidValue(f"{path}: {TOO_DEEP}") from None


def _check_extent(name: str, value: Any, depth: int = -2) -> None:
    """Raise InvalidValue for what no setting can be, and other messages could not quote."""
    if depth > DEEPEST:
        raise InvalidValue(f"{name}: {TOO_DEEP}")
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        raise InvalidValue(f"{name} = {hex(value)[:20]}…: an integer of {value.bit_length()} bits, beyond any setting")
    if isinstance(value, Mapping):
        for key, own in value.items():
            _check_extent(f"{name}.{key}" if depth > -2 else key, own, depth + 1)
    elif isinstance(value, list):
        for own in value:
            _check_extent(name, own, depth + 1)


def _change(tables: dict[str, Any], change: str) -> None:
    """Apply `section.key=value` or, where the key is unambiguous, `key=value`.

    In a study of parts `PART.section.key`, also after `parts.`, changes one; `run.key` and `model.key` change all that
    have such a key.
    """
    key, value = parsed(change)
    key = key.strip().removeprefix("parts.")
    keys = known_keys(tables)
    names = [f"{section}.{known}" for section in keys for known in keys[section]]
    if key in names:
        chosen = [key]
    else:
        chosen = [name for name in names if name.endswith(f".{key}")]
        if "parts" not in tables or any(name.startswith("study.") for name in chosen):
            chosen = chosen[:1]
    if not chosen:
        raise InvalidValue("--set: " + unknown_key(key, names))
    for name in chosen:
        *sections, last = name.split(".")
        table = tables if len(sections) == 1 else tables["parts"][sections[0]]
        table.setdefault(sections[-1], {})[last] = value


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


def known_keys(tables: Mapping[str, Any]) -> dict[str, list[str]]:
    """The keys that each table of a study may have; those of parts are named PART.model and PART.run."""
    kind = KINDS.get(str(tables.get("study", {}).get("kind")), KINDS[DEFAULT_STUDY])
    found = {}
    for part, own in tables["parts"].items() if "parts" in tables else [(WHOLE, tables)]:
        model = MODELS.get(str(own["model"].get("kind")), MODELS[DEFAULT_MODEL])
        run = kind.PARTS.get(part, next(iter(kind.PARTS.values())))
        for section, keys in (("model", model.model_fields), ("run", [*run_settings(run), "common_noise"])):
            found[f"{part}.{section}".removeprefix(".")] = list(keys)
    return found | {"study": list(kind.model_fields)}


def attribute(tree: xr.DataTree, name: str) -> dict[str, Any]:
    """An attribute of a result that holds an object as JSON; empty where it is none."""
    value = from_json(tree.attrs.get(name, "{}"), name)
    return value if isinstance(value, dict) else {}
