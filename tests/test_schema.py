"""The schema of study files, for editors, says what the loader says, wherever a schema can."""

import copy
import json
import tomllib
from pathlib import Path
from typing import Literal

import jsonschema
import pytest
from commands import DYSON, NETWORK

from dlnmc import dataset, models, studies
from dlnmc.config import run_settings
from dlnmc.errors import InvalidValue
from dlnmc.studies import schema

ROOT = Path(__file__).parents[1]
BASES = {
    "network": tomllib.loads(NETWORK),
    "eigenvalues": tomllib.loads(DYSON),
    **{path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in studies.folder().glob("*.toml")},
}
POLYNOMIAL = {"kind": "polynomial", "coefficients": [0.2, 0.25]}
COMPLETION = {"kind": "matrix_completion", "entries": [[0, 0, 1.0], [1, 1, 1.0]], "confinement": 1.0}


@pytest.fixture(scope="module")
def complaint():
    """Function: what the schema has against a study file; None where it is good."""
    found = schema.study_schema()
    jsonschema.Draft202012Validator.check_schema(found)
    validator = jsonschema.Draft202012Validator(found)
    return lambda tables: jsonschema.exceptions.best_match(validator.iter_errors(tables))


def changed(base, **changes):
    """A study with values replaced: keys are section__key, or parts__part__section__key; None takes a key away."""
    tables = copy.deepcopy(BASES[base])
    for name, value in changes.items():
        *sections, key = name.split("__")
        table = tables
        for section in sections:
            table = table.setdefault(section, {})
        if value is None:
            del table[key]
        else:
            table[key] = value
    return tables


GOOD = [
    ("network", {}),
    ("eigenvalues", {}),
    ("semicircle", {}),
    *[(path.stem, {}) for path in sorted(studies.folder().glob("*.toml"))],
    ("network", {"run": None, "study": None}),
    ("network", {"model__kind": None, "study__kind": None}),
    ("network", {"model__energy": "quadratic"}),
    ("network", {"model__energy": {"kind": "quadratic"}}),
    ("network", {"model__energy": ["quadratic"]}),
    ("network", {"model__energy": POLYNOMIAL}),
    ("network", {"model__energy": COMPLETION, "run__scheme": "euler_maruyama"}),
    ("network", {"model__width": [5, 6], "model__beta": [1, 2.0], "model__kappa": [0.5]}),
    ("network", {"model__clock": ["paper", "depth"]}),
    ("network", {"model__depth": float("inf"), "model__kappa": 0.2}),
    ("network", {"model__clock": "depth"}),
    ("network", {"run__dt": [0.01, 0.02]}),
    ("network", {"run__dt": [0.01], "run__scheme": None}),
    ("network", {"run__start": "law"}),
    ("network", {"run__seed": 2**64 - 1}),
    ("network", {"run__common_noise": True}),
    ("network", {"run__observables": ["effective_rank", "largest_gap"]}),
    ("network", {"run__observables": "effective_rank"}),
    ("network", {"run__observables": []}),
    ("network", {"run__burn_in": 0, "run__keep_samples": False, "run__failed_fraction": 0.5}),
    ("network", {"study__ks": 0.5, "study__law_kappa": 1, "study__spacing": 0.1}),
    ("network", {"study__ks": [0.5, 0.4]}),
    ("eigenvalues", {"model__kappa": [0.5, 2], "run__start": "random"}),
    ("matrix-completion", {"parts__flow__run__tolerance": None, "parts__flow__run__dt": 0.5}),
]  # fmt: skip

BAD = [
    ("network", {"model": None}),
    ("network", {"model": 3}),
    ("network", {"run": []}),
    ("network", {"runs": {}}),
    ("network", {"paths": 3}),
    ("network", {"model__kind": "dlm"}),
    ("network", {"model__kind": ["dyson"]}),
    ("network", {"model__kind": "dyson"}),
    ("network", {"model__kapa": 1.0}),
    ("network", {"model__size": 6}),
    ("network", {"model__width": None}),
    ("network", {"model__width": 0}),
    ("network", {"model__width": 2**24 + 1}),
    ("network", {"model__width": 2.5}),
    ("network", {"model__width": "6"}),
    ("network", {"model__width": True}),
    ("network", {"model__width": [6, 0]}),
    ("network", {"model__depth": []}),
    ("network", {"model__depth": [1, 1.0]}),
    ("network", {"model__depth": [[1, 2]]}),
    ("network", {"model__depth": list(range(1, 10_002))}),
    ("network", {"model__depth": 0.5}),
    ("network", {"model__beta": 0}),
    ("network", {"model__kappa": -1.0}),
    ("network", {"model__kappa": {"a": 1}}),
    ("network", {"model__clock": "fast"}),
    ("network", {"model__clock": ["paper", "paper"]}),
    ("network", {"model__energy": "cubic"}),
    ("network", {"model__energy": "polynomial"}),
    ("network", {"model__energy": "own"}),
    ("network", {"model__energy": {"kind": "own", "name": "a", "sha256": "0" * 64}}),
    ("network", {"model__energy": ["own"]}),
    ("network", {"model__energy": ["quadratic", POLYNOMIAL]}),
    ("network", {"model__energy": {}}),
    ("network", {"model__energy": 3}),
    ("network", {"model__energy": {"kind": "quadratic", "coefficients": [1.0]}}),
    ("network", {"model__energy": {"kind": "polynomial", "coefficients": []}}),
    ("network", {"model__energy": {"kind": "polynomial", "coefficients": [float("inf")]}}),
    ("network", {"model__energy": {"kind": "polynomial", "coefs": [1.0]}}),
    ("network", {"model__energy": COMPLETION | {"entries": [[0, 0]]}, "run__scheme": "euler_maruyama"}),
    ("network", {"model__energy": COMPLETION | {"entries": [[0, -1, 1.0]]}, "run__scheme": "euler_maruyama"}),
    ("network", {"model__energy": COMPLETION | {"confinement": float("inf")}, "run__scheme": "euler_maruyama"}),
    ("network", {"run__pathes": 16}),
    ("network", {"run__first_step": 8}),
    ("network", {"run__refinement": 2}),
    ("network", {"run__start_digest": "0"}),
    ("network", {"run__model": {}}),
    ("network", {"run__kind": "equilibrium"}),
    ("network", {"run__times": [1.0]}),
    ("network", {"run__paths": 0}),
    ("network", {"run__paths": [8, 16]}),
    ("network", {"run__dt": 0}),
    ("network", {"run__dt": float("inf")}),
    ("network", {"run__dt": []}),
    ("network", {"run__dt": [0.01, 0.01]}),
    ("network", {"run__dt": [0.01, -0.02]}),
    ("network", {"run__dt": [[0.01]]}),
    ("network", {"run__dt": "small"}),
    ("network", {"run__duration": 0}),
    ("network", {"run__burn_in": float("inf")}),
    ("network", {"run__start": "given"}),
    ("network", {"run__start": "one"}),
    ("network", {"run__scheme": "euler"}),
    ("network", {"run__state": "vector"}),
    ("network", {"run__coordinates": "polar"}),
    ("network", {"run__seed": 2**64}),
    ("network", {"run__seed": -1}),
    ("network", {"run__common_noise": 1}),
    ("network", {"run__keep_samples": "yes"}),
    ("network", {"run__observables": ["trace"]}),
    ("network", {"run__observables": ["effective_rank", "effective_rank"]}),
    ("network", {"run__observables": {"f": 3}}),
    ("network", {"run__accuracy": 0}),
    ("network", {"study__kind": "circle"}),
    ("network", {"study__kind": "matrix-completion"}),
    ("network", {"study__converged": 0.5}),
    ("network", {"study__ks": "low"}),
    ("network", {"study__ks": 0}),
    ("network", {"study__ks": [0.1, 2.0]}),
    ("network", {"study__title": 3}),
    ("eigenvalues", {"model__width": 4}),
    ("eigenvalues", {"model__clock": "paper"}),
    ("eigenvalues", {"model__kappa": 3}),
    ("eigenvalues", {"model__size": None}),
    ("matrix-completion", {"parts__flow__run": None}),
    ("matrix-completion", {"parts__flow__run__times": None}),
    ("matrix-completion", {"parts__flow__run__times": []}),
    ("matrix-completion", {"parts__flow__run__times": [0.0, float("inf")]}),
    ("matrix-completion", {"parts__flow__run__dt": [0.01, 0.02]}),
    ("matrix-completion", {"parts__flow__run__burn_in": 1.0}),
    ("matrix-completion", {"parts__flow__run__tolerance": 1}),
    ("matrix-completion", {"study__ks": 0.1}),
    ("matrix-completion", {"study__converged": 1.5}),
    ("matrix-completion", {"study__energy": float("inf")}),
    ("matrix-completion", {"study__kind": None}),
    ("matrix-completion", {"study__hidden": None}),
    ("matrix-completion", {"study__hidden__few": [[0, 1]]}),
    ("matrix-completion", {"study__hidden__none": [[0, 1, 1.0]]}),
]  # fmt: skip


def named(cases):
    return {"argvalues": cases, "ids": [f"{base}-{str(changes)[:60]}" for base, changes in cases]}


@pytest.mark.parametrize(("base", "changes"), **named(GOOD))
def test_schema_and_loader_take_what_is_good(base, changes, complaint):
    tables = changed(base, **changes)
    assert complaint(tables) is None
    assert studies.load(tables).members()


@pytest.mark.parametrize(("base", "changes"), **named(BAD))
def test_schema_and_loader_refuse_what_is_bad(base, changes, complaint):
    tables = changed(base, **changes)
    assert complaint(tables) is not None
    with pytest.raises(InvalidValue):
        studies.load(tables).members()


@pytest.mark.parametrize(
    ("base", "changes", "where", "words"),
    [
        ("network", {"model__width": 0}, ["model", "width"], "0 is less than the minimum of 1"),
        ("network", {"model__depth": [2, 0.5]}, ["model", "depth", 1], "0.5 is less than the minimum of 1"),
        ("network", {"model__kapa": 1}, ["model"], "'kapa' was unexpected"),
        ("network", {"run__times": [1.0]}, ["run"], "'times' was unexpected"),
        (
            "matrix-completion",
            {"parts__flow__run__times": None},
            ["parts", "flow", "run"],
            "'times' is a required property",
        ),
        ("eigenvalues", {"model__kappa": 3}, ["model", "kappa"], "3 is greater than the maximum of 2"),
        ("network", {"study__kind": "circle"}, ["study", "kind"], "'circle' is not one of"),
    ],
)
def test_a_complaint_names_the_place_and_what_is_wrong(base, changes, where, words, complaint):
    found = complaint(changed(base, **changes))
    assert list(found.absolute_path) == where
    assert words in found.message


def keys_of(section, kind_of_model, kind_of_study):
    """The keys that the schema has for a section: those outside of conditions that the rule for its kind names."""
    found = schema.study_schema()
    tables = found["properties"] | {"model": found["$defs"]["model"]}
    chain, kind = {
        "model": (tables["model"], kind_of_model),
        "run": (found, kind_of_study),
        "study": (tables["study"], kind_of_study),
    }[section]
    while f"'{kind}'" not in str(chain["if"]):
        chain = chain["else"]
    rule = chain["then"]["properties"]["run"] if section == "run" else chain["then"]
    assert rule["additionalProperties"] is False
    shared = tables[section]["properties"]
    assert set(rule["properties"]) <= set(shared)
    assert all("description" in shared[name] for name in rule["properties"]), section
    return set(rule["properties"])


@pytest.mark.parametrize("study", [kind for kind, cls in studies.KINDS.items() if "" in cls.PARTS])
@pytest.mark.parametrize("model", models.MODELS)
def test_every_key_of_the_loader_is_in_the_schema_with_words_and_no_other(model, study):
    known = studies.known_keys({"model": {"kind": model}, "study": {"kind": study}})
    for section, names in known.items():
        assert keys_of(section, model, study) == set(names)
    assert "common_noise" in known["run"]
    assert not {"kind", "first_step", "start_digest", "refinement", "model"} & set(known["run"])
    assert set(run_settings(studies.KINDS[study].PARTS[""])) < set(known["run"])


def test_every_energy_of_a_file_is_in_the_schema_with_words():
    energy = schema.study_schema()["$defs"]["energy"]["anyOf"]
    assert energy[0]["enum"] == ["quadratic", "none"]
    kinds = energy[1]["properties"].pop("kind")
    assert "own" not in kinds["enum"]
    assert all("description" in key for key in energy[1]["properties"].values())
    assert {line.partition(":")[0] for line in kinds["description"].splitlines()} == set(kinds["enum"])


def test_a_new_kind_is_in_the_schema_at_once(monkeypatch, complaint):
    class Wishart(models.DysonBrownianMotion):
        """Another model.

        Parameters
        ----------
        ratio
            Rows by columns.
        """

        ratio: float = 1.0
        kind: Literal["wishart"] = "wishart"

    tables = {"model": {"kind": "wishart", "size": 4, "beta": 2.0, "ratio": 2.0}}
    assert complaint(tables) is not None
    monkeypatch.setitem(models.MODELS, "wishart", Wishart)
    assert not list(jsonschema.Draft202012Validator(schema.study_schema()).iter_errors(tables))


def test_what_is_swept_is_a_list_of_many_in_the_schema():
    properties = schema.study_schema()["$defs"]["model"]["properties"]
    assert {name for name in properties if "10000" in str(properties[name])} <= set(dataset.SWEPT)


def test_draft_7_reads_it_too():
    """Editors of TOML know no newer draft."""
    validator = jsonschema.Draft7Validator(
        schema.study_schema() | {"$schema": "http://json-schema.org/draft-07/schema#"}
    )
    for base, changes in GOOD:
        assert not list(validator.iter_errors(changed(base, **changes)))
    for base, changes in BAD:
        missed = "entries" in str(changes)  # prefixItems
        assert missed or list(validator.iter_errors(changed(base, **changes))), changes


def test_the_committed_schema_is_what_the_command_prints(dlnmc_command):
    code, out, err = dlnmc_command("schema")
    assert (code, err) == (0, "")
    committed = (ROOT / "docs/study.schema.json").read_text(encoding="utf-8")
    assert committed == out, "dlnmc schema > docs/study.schema.json"
    assert json.loads(out)["$schema"].endswith("2020-12/schema")
