"""Study files that nobody thought of: changed at random, and made up. Each is taken, or refused in one line."""

import datetime
import json
import random
import time
import tomllib
from collections import Counter

import pytest
from commands import DYSON, NETWORK, Computed, one_line
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlnmc import studies
from dlnmc.config import STARTS, Equilibrium, Simulation, run_settings
from dlnmc.models import MODELS

SHIPPED = [path.read_text(encoding="utf-8") for path in sorted(studies.folder().glob("*.toml"))]


@pytest.fixture
def tried(dlnmc_command, nothing_is_computed, tmp_path):
    """Function: try a study file; whether it was taken, and how long it took to say so.

    Where it is not, it is refused in one line: an exception, a warning among them, goes through.
    """
    nothing_is_computed()
    tries = iter(range(10**9))

    def run(text):
        path = tmp_path / "study.toml"
        path.write_text(text, encoding="utf-8")
        began = time.perf_counter()
        try:
            ended = dlnmc_command("study", path, "-o", f"{next(tries)}.nc", "--threads", 1)
        except Computed:
            return True, time.perf_counter() - began
        seconds = time.perf_counter() - began
        one_line(ended)
        return False, seconds

    return run


@pytest.fixture
def tally(tried):
    """Function: try a study file, and count; the counts, the slowest refusal among them, are its attribute `found`."""
    found = Counter(files=0, refused=0, taken=0, slowest_seconds=0.0)

    def count(text):
        try:
            taken, seconds = tried(text)
        except Exception as error:
            error.add_note(text)
            raise
        found.update(files=1, taken=int(taken), refused=int(not taken))
        if not taken:
            found["slowest_seconds"] = max(found["slowest_seconds"], seconds)

    count.found = found
    return count


# --- changed at random ------------------------------------------------------------------------------------------------

VALUES = [
    "0", "-1", "1", "2.5", "1e30", "1e-30", "-0.0", "nan", "-inf", "inf", "true", '""', '"law"', '"\\n"', "[]", "[1]",
    "[1, 1.0]", '["a", 1]', "[[]]", "{}", "{kind = 1}", '{kind = "none"}', "1979-05-27", "07:32:00", "0x10",
    "99999999999999999999999", "16777216", "1e308", "1e400", "5e-324", "[16777216, 1]", '"\\u0000\\u001b[31m\\u2028"',
    "9" * 400, "9" * 5000, "0x" + "f" * 5000, "[" * 50 + "]" * 50, "[" * 3000 + "]" * 3000,
    str(list(range(1, 120))), str(list(range(1, 20_000))),
]  # fmt: skip


def mutated(text, chance):
    """The text of a study file with one to three things changed."""
    lines = text.splitlines()
    for _ in range(chance.randint(1, 3)):
        if not lines:
            break
        i = chance.randrange(len(lines))
        kind = chance.randrange(8)
        if kind < 4 and "=" in lines[i]:
            lines[i] = f"{lines[i].partition('=')[0]}= {chance.choice(VALUES)}"
        elif kind == 4:
            del lines[i]
        elif kind == 5:
            lines.insert(chance.randrange(len(lines) + 1), lines[i])
        elif lines[i]:
            at = chance.randrange(len(lines[i]))
            letter = chance.choice("aZ0=[]{}\"'.,#_- \t\\\x00\x1b\u2028é")
            lines[i] = lines[i][:at] + chance.choice(["", letter, letter + lines[i][at]]) + lines[i][at + 1 :]
    return "\n".join(lines)


def try_mutated(count, files, tally):
    chance = random.Random(7)
    for _ in range(count):
        tally(mutated(chance.choice(files), chance))


# --- made up ----------------------------------------------------------------------------------------------------------

REAL = {
    "model": sorted({name for cls in MODELS.values() for name in cls.model_fields}),
    "run": sorted({*run_settings(Equilibrium), *run_settings(Simulation), "common_noise"}),
    "study": sorted({name for kind in studies.KINDS.values() for name in kind.model_fields}),
}
NAMES = [*MODELS, *studies.KINDS, *STARTS, "quadratic", "none", "polynomial", "matrix_completion", "own", "depth"]
ENERGIES = [
    {"kind": "polynomial", "coefficients": [0.5, 1.0]},
    {"kind": "polynomial", "coefficients": [1e300]},
    {"kind": "matrix_completion", "entries": [[0, 0, 1.0], [1, 1, 1.0]]},
    {"kind": "matrix_completion", "entries": [[2**70, 0, 1.0]], "confinement": 1e-90},
    {"kind": "quadratic_to", "target": [[1.0, 0.0], [0.0, 1.0]]},
    {"kind": "least_squares", "inputs": [[1.0]], "outputs": [[2.0], [1.0]]},
    {"kind": "own", "name": "a", "sha256": "0" * 64},
]
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
misspelt = st.sampled_from([name for names in REAL.values() for name in names]).flatmap(
    lambda name: st.sampled_from([name.upper(), name[1:], name + "s", f"{name} ", name[::-1]])
)
scalars = st.one_of(
    st.booleans(),
    st.integers(-3, 70),
    st.integers(),
    st.integers(min_value=2**60, max_value=10**400),
    st.sampled_from([2**24, 2**40, 2**64 - 1, 2**64, 10**330, 10**4000]),
    st.floats(),
    st.sampled_from([0.01, 0.5, 1.0, 2.0, 1e100, 1e-100, 1e12, 5e-324, 1.7e308]),
    st.sampled_from(NAMES),
    texts,
    st.dates()
    | (st.datetimes(timezones=st.sampled_from([None, datetime.UTC])) | st.times()).map(lambda t: t.replace(fold=0)),
)


def nested(own):
    return st.lists(own, max_size=4) | st.dictionaries(texts, own, max_size=3)


values = st.one_of(
    scalars,
    st.sampled_from(ENERGIES),
    st.recursive(
        scalars, lambda own: st.lists(own, max_size=4) | st.dictionaries(texts, own, max_size=3), max_leaves=9
    ),
)


def tables(section, bases):
    """A section: one that is good, or none, with a few keys of its own or near to them, and any values."""
    keys = st.one_of(st.sampled_from(REAL[section]), misspelt, texts)
    own = st.dictionaries(keys, values, max_size=3)
    return st.tuples(st.sampled_from([base.get(section, {}) for base in bases] + [{}]), own).map(lambda t: t[0] | t[1])


BASES = [tomllib.loads(text) for text in (NETWORK, DYSON, *SHIPPED)]
made_up = st.one_of(
    *(
        st.fixed_dictionaries(
            {section: tables(section, [base]) for section in REAL},
            optional={"runs": values, "": values, "name": values},
        )
        for base in BASES
    ),
    st.dictionaries(st.sampled_from([*REAL, "modell"]) | texts, tables("model", BASES) | values, max_size=4),
)


def toml(value):
    """A value as TOML."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{toml(key)} = {toml(own)}' for key, own in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return hex(value) if value > 2**64 else str(value)
    return repr(value) if isinstance(value, float) else value.isoformat()


def as_toml(tables):
    return "\n".join(f"{toml(name)} = {toml(value)}" for name, value in tables.items())


def try_made_up(count, tally):
    @settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(made_up)
    def each(tables):
        tally(as_toml(tables))

    each()


@given(made_up)
@settings(max_examples=50, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
def test_what_is_made_up_is_toml(tables):
    assert repr(tomllib.loads(as_toml(tables))) == repr(tables)


# --- tests ------------------------------------------------------------------------------------------------------------


def test_no_changed_study_file_leads_to_a_traceback(tally):
    try_mutated(300, [NETWORK, DYSON], tally)
    assert 20 < tally.found["taken"] < 200  # the mutations are neither harmless nor hopeless


def test_no_made_up_study_file_leads_to_a_traceback(tally):
    try_made_up(100, tally)
    assert tally.found["refused"] > 50


@pytest.mark.slow
def test_thousands_of_study_files_are_taken_or_refused_in_one_line_within_a_second(tally, record):
    for base in (NETWORK, DYSON):  # kernels of pilot runs are compiled once in the life of an installation
        left_open = [line for line in base.splitlines() if not line.startswith(("dt", "scheme"))]
        studies.load(tomllib.loads("\n".join(left_open))).members()
    try_mutated(4000, [NETWORK, DYSON, *SHIPPED], tally)
    mutants = tally.found.copy()
    try_made_up(1000, tally)
    assert mutants["files"] == 4000
    assert tally.found["files"] >= 5000
    assert mutants["taken"] > 400
    assert tally.found["refused"] >= 2000
    assert tally.found["slowest_seconds"] < 1.0
    record(**tally.found)
