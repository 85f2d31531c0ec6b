"""The JSON schema of study files, by which editors complete, explain and check them.

It follows from the descriptions, their docstrings and the tables of kinds. Rules between several values are the
loader's alone; so are NaN and the difference of 6 and 6.0, which no schema sees. What kinds have in common stands
outside of `if`, where editors look for keys.
"""

import inspect
import json
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from typing_extensions import override

from dlnmc.config import Equilibrium, Run, Simulation, run_settings
from dlnmc.dataset import SWEPT
from dlnmc.descriptions import Description
from dlnmc.energies import Energy, OwnEnergy
from dlnmc.models import MODELS
from dlnmc.observables import BUILT_IN
from dlnmc.studies import DEFAULT_MODEL, DEFAULT_STUDY, KINDS, MOST_MEMBERS
from dlnmc.studies.base import WHOLE

Schema = dict[str, Any]

ENERGY = {"$ref": "#/$defs/energy"}
MODEL = {"$ref": "#/$defs/model"}
RUNS = (Equilibrium, Simulation)
LADDER = "Several, each a whole multiple of the smallest, are a ladder on shared noise."


class _Generator(GenerateJsonSchema):
    """Pydantic's schemas, for TOML: it has infinities, and no null."""

    @override
    def nullable_schema(self, schema: Any) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    @override
    def default_schema(self, schema: Any) -> JsonSchemaValue:
        found = super().default_schema(schema)
        return {key: value for key, value in found.items() if (key, value) != ("default", None)}

    @override
    def float_schema(self, schema: Any) -> JsonSchemaValue:
        found, bounds = super().float_schema(schema), {}
        if not schema.get("allow_inf_nan", True):
            bounds = {"minimum": -sys.float_info.max, "maximum": sys.float_info.max}
        return {key: value for key, value in bounds.items() if f"exclusive{key.capitalize()}" not in found} | found

    @override
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def as_text() -> str:
    """The schema as JSON, keys in the order of the descriptions."""
    return json.dumps(study_schema(), indent=1, ensure_ascii=False)


def study_schema() -> Schema:
    """The schema of a study file."""
    models = {kind: _model(cls) for kind, cls in MODELS.items()}
    classes = {kind: dict(cls.PARTS) for kind, cls in KINDS.items()}
    common, runs = _split({kind: _run(parts[WHOLE]) for kind, parts in classes.items() if WHOLE in parts})
    settings = {kind: _table(cls) for kind, cls in KINDS.items()}
    rules = {kind: _single(runs[kind]) if WHOLE in parts else _several(parts) for kind, parts in classes.items()}
    words = "What else a preset sets, in tables as the file has them."
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A study of dlnmc",
        "type": "object",
        "properties": {
            "model": MODEL,
            "run": {"description": "How.", "type": "object", "properties": common},
            "study": {"description": "What the result is held against.", **_by_kind(settings, DEFAULT_STUDY)},
            "parts": {"description": "The sweeps of a study that has several.", "type": "object"},
            "presets": {"description": words, "type": "object", "additionalProperties": {"type": "object"}},
        },
        "additionalProperties": False,
        **_chosen(rules, DEFAULT_STUDY, section="study"),
        "$defs": {
            "energy": _energy(),
            "model": {"description": "What is simulated. Lists sweep.", **_by_kind(models, DEFAULT_MODEL)},
            **{cls.__name__.lower(): {"type": "object", "additionalProperties": False} | _run(cls) for cls in RUNS},
        },
    }


def _single(run: Schema) -> Schema:
    """The rule for a study of one sweep, whose run follows this."""
    required = ["model"] + ["run"] * bool(run["required"])
    return {"properties": {"run": run, "parts": False}, "required": required}


def _several(parts: Mapping[str, type[Run]]) -> Schema:
    """The rule for a study of several sweeps."""
    tables = {}
    for name, cls in parts.items():
        run = {"$ref": f"#/$defs/{cls.__name__.lower()}"}
        required = ["model"] + ["run"] * bool(_run(cls)["required"])
        tables[name] = {
            "type": "object",
            "properties": {"model": MODEL, "run": run},
            "required": required,
            "additionalProperties": False,
        }
    rule = {"properties": tables, "required": list(tables), "additionalProperties": False}
    return {"properties": {"parts": rule, "model": False, "run": False}, "required": ["parts"]}


# --- tables -----------------------------------------------------------------------------------------------------------


def _table(cls: type[Description]) -> Schema:
    """What a table that becomes a description may hold."""
    found, words = cls.model_json_schema(schema_generator=_Generator), _words(cls)
    properties = {name: schema | words.get(name, {}) for name, schema in found["properties"].items()}
    return {
        "description": inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0].replace("\n", " "),
        "properties": properties,
        "required": found.get("required", []),
    }


def _words(cls: type[Description]) -> dict[str, Schema]:
    """What docstrings say of parameters."""
    found: dict[str, Schema] = {}
    for base in reversed(cls.__mro__):
        _, _, text = inspect.cleandoc(vars(base).get("__doc__") or "").partition("\nParameters\n----------\n")
        for names, words in re.findall(r"^(\w.*)\n((?:    .*\n?)+)", text, re.MULTILINE):
            description = " ".join(words.split()).replace("math.inf", "inf")  # as TOML writes it
            found |= {name: {"description": description} for name in names.split(", ")}
    return found


def _model(cls: type[Description]) -> Schema:
    """A `[model]`: all but its kind may be lists, but results hold one energy."""
    table = _table(cls)
    properties = table["properties"]
    for name in properties.keys() - {"kind"}:
        schema = properties[name] if name != "energy" else ENERGY | _words(cls)["energy"]
        properties[name] = _or_list(schema, most=MOST_MEMBERS if name in SWEPT else 1)
    return table


def _run(cls: type[Run]) -> Schema:
    """A `[run]`: what users set, and the noise of a sweep."""
    table = _table(cls)
    properties = {name: table["properties"][name] for name in run_settings(cls)}
    if issubclass(cls, Equilibrium):
        properties["dt"] = _or_list(properties["dt"], most=MOST_MEMBERS)
        properties["dt"]["description"] += f" {LADDER}"
    name: Schema = {"enum": list(BUILT_IN)}
    several = {"type": "array", "items": name, "uniqueItems": True}
    words = "Names of what else is averaged while running."
    properties["observables"] = {"anyOf": [name, several], "description": words}
    words = "Whether all members of a sweep have the same noise."
    properties["common_noise"] = {"type": "boolean", "default": False, "description": words}
    return table | {"properties": properties, "required": [name for name in table["required"] if name in properties]}


def _energy() -> Schema:
    """An energy: a table, or a name where it has no parameters. A user's own is code, which files do not hold."""
    classes = (cls for cls in get_args(get_args(Energy)[0]) if cls is not OwnEnergy)
    tables = {cls.model_fields["kind"].default: _table(cls) for cls in classes}
    return {"anyOf": [{"enum": [kind for kind, table in tables.items() if not table["required"]]}, _by_kind(tables)]}


def _or_list(schema: Schema, most: int) -> Schema:
    """A value, or a list of different ones. For numbers they stand side by side, so that complaints name the bound."""
    one = {key: value for key, value in schema.items() if key not in ("default", "description")}
    beside = {key: value for key, value in schema.items() if key not in one}
    several = {"items": one, "minItems": 1, "maxItems": most, "uniqueItems": True}
    if one.get("type") in ("integer", "number"):
        return {**one, "type": [one["type"], "array"], **several, **beside}
    return {"anyOf": [one, {"type": "array", **several}], **beside}


# --- kinds ------------------------------------------------------------------------------------------------------------


def _by_kind(tables: Mapping[str, Schema], default: str | None = None) -> Schema:
    """A table whose `kind` says what else it may hold."""
    common, own = _split(tables)
    words = "\n".join(f"{kind}: {table['description']}" for kind, table in tables.items())
    kind = {"enum": list(tables), "description": words} | ({"default": default} if default else {})
    return {
        "type": "object",
        "properties": {"kind": kind, **common},
        "required": [] if default else ["kind"],
        **_chosen(own, default),
    }


def _split(tables: Mapping[str, Schema]) -> tuple[Schema, dict[str, Schema]]:
    """The keys of all tables, with what holds wherever they occur; and for each what else holds there."""
    found: dict[str, list[Schema]] = {}
    for table in tables.values():
        for name, schema in table["properties"].items():
            found.setdefault(name, []).append(schema)
    common = {name: _agreed(schemas) for name, schemas in found.items() if name != "kind"}
    own = {
        kind: {
            "properties": {
                name: name == "kind" or _rules(schema) == _rules(common[name]) or _rules(schema)
                for name, schema in table["properties"].items()
            },
            "required": table["required"],
            "additionalProperties": False,
        }
        for kind, table in tables.items()
    }
    return common, own


def _agreed(schemas: Iterable[Schema]) -> Schema:
    """The rules, where all are the same, and what all say."""
    first, *others = schemas
    same = all(_rules(other) == _rules(first) for other in others)
    words = dict.fromkeys(schema["description"] for schema in (first, *others) if "description" in schema)
    return (_rules(first) if same else {}) | ({"description": "\n".join(words)} if words else {})


def _rules(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if key != "description"}


def _chosen(rules: Mapping[str, Schema], default: str | None, section: str | None = None) -> Schema:
    """The rule for each kind, of this table or of a section; the default's holds where no kind is said."""
    chain: Schema = {}
    for kind, rule in reversed(list(rules.items())):
        said: Schema = {"properties": {"kind": {"const": kind}}} | _required("kind", kind != default)
        if section:
            said = {"properties": {section: said}} | _required(section, kind != default)
        chain = {"if": said, "then": rule} | ({"else": chain} if chain else {})
    return chain


def _required(name: str, needed: bool) -> Schema:
    return {"required": [name]} if needed else {}
