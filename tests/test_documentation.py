"""README.md and docs/ say what is so: their code runs, their links, paths, names and command lines exist."""

import functools
import importlib
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from dlnmc import cli, studies

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md"))]
OTHERS = ["CONTRIBUTING.md", "CHANGELOG.md"]
FENCE = re.compile(r"^```(?:\{[\w-]+\} ?)?(\w*)[^\n`]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DEAR = {"docs/energy.md", "docs/extend.md", "docs/start.md"}  # pages that take longest, and are built as notebooks too
FIGURES = {"law_of_the_trace.json", "law_of_dyson.json"}

every_page = pytest.mark.parametrize("page", PAGES + OTHERS)


@functools.cache
def text_of(page):
    return (ROOT / page).read_text(encoding="utf-8")


def python_of(page):
    """The page with all but its Python replaced by empty lines, so that line numbers in a traceback are the page's."""
    text, kept, at = text_of(page), [], 0
    for block in FENCE.finditer(text):
        if block[1] == "python":
            kept += ["\n" * text.count("\n", at, block.start(2)), block[2]]
            at = block.end(2)
    return "".join(kept)


def code_of(page):
    """Code spans, and the lines of code blocks that are not Python, fenced or indented."""
    text = text_of(page)
    fenced = [
        line for block in FENCE.finditer(text) if block[1] not in ("python", "math") for line in block[2].split("\n")
    ]
    rest = FENCE.sub("", text)
    indented = re.findall(r"^    (.*)$", rest, re.MULTILINE)
    return re.findall(r"`([^`\n]+)`", re.sub(r"^    .*$", "", rest, flags=re.MULTILINE)) + fenced + indented


def commands_of(page):
    """What stands behind `dlnmc` in code: at its beginning or after a gap, up to the next gap or comment."""
    return [
        found for code in code_of(page) for found in re.findall(r"(?:^|\s{2,})dlnmc ([a-z].*?)(?=\s{2,}|#|>|$)", code)
    ]


def refusal_of(command):
    """Why the command line would refuse `dlnmc <command>`; None if it would not. Nothing is run."""
    name, *arguments = shlex.split(re.sub(r"[\[\]]", "", command))
    if name not in cli.dlnmc.commands:
        return f"no subcommand {name!r}"
    if not arguments:
        return None  # a mention
    group = click.Context(cli.dlnmc, **cli.dlnmc.context_settings)
    try:
        context = cli.dlnmc.commands[name].make_context(name, arguments, parent=group)
    except click.ClickException as error:
        return error.format_message()
    source = context.params.get("source", "")
    known = name != "study" or source.endswith(".toml") or source in studies.names()
    return None if known else f"no study {source!r}"


WITH_CODE = [pytest.param(page, marks=[pytest.mark.slow] * (page in DEAR)) for page in PAGES if python_of(page)]


@pytest.mark.parametrize("page", WITH_CODE)
def test_the_code_of_a_page_runs(page, tmp_path):
    script = tmp_path / (Path(page).stem + ".py")
    script.write_text(python_of(page), encoding="utf-8")
    command = [sys.executable, "-W", "error", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{page}, in the page's lines:\n{done.stderr}"


def test_code_is_found_and_what_is_wrong_in_it_is_seen():
    assert {page for page in PAGES if python_of(page)} >= {"README.md", "docs/extend.md", "docs/files.md"}
    for page in PAGES:
        lines, source = text_of(page).splitlines(), python_of(page).splitlines()
        assert all(line in ("", lines[i]) for i, line in enumerate(source))
        compile(python_of(page), page, "exec")


@every_page
def test_relative_links_exist(page):
    links = re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", text_of(page)))
    relative = [link.partition("#")[0] for link in links if not re.match(r"https?://|#", link)]
    missing = [link for link in relative if not (ROOT / page).parent.joinpath(link).exists()]
    assert not missing


@every_page
def test_files_named_in_code_exist(page):
    homes = ("dlnmc", "kernels", "scripts", "tests", "data", r"\.ci", "docs")
    named = [code for code in code_of(page) if re.fullmatch(rf"({'|'.join(homes)})/[\w./]*", code)]
    missing = [name for name in named if not (ROOT / name).exists()]
    assert not missing
    scripts = re.findall(r"(?<![\w./])scripts/\w+(?:\.\w+)?", text_of(page))
    assert all((ROOT / script).exists() for script in scripts)


@every_page
def test_no_page_names_a_path_of_some_machine(page):
    assert not [code for code in code_of(page) if re.search(r"(?:^|\s)(?:/\w+/|~/)", code)]


@every_page
def test_names_in_code_exist(page):
    """Dotted names that begin with one of our packages: module by module, then attribute by attribute."""
    for code in code_of(page):
        found = re.fullmatch(r"((?:dlnmc|dlnmc_kernels)(?:\.\w+)+)(?:\(.*\))?", code)
        if found:
            first, *rest = found[1].split(".")
            value = importlib.import_module(first)
            for name in rest:
                try:
                    value = getattr(value, name)
                except AttributeError:
                    value = importlib.import_module(f"{value.__name__}.{name}")


@every_page
def test_commands_would_be_accepted(page):
    for command in commands_of(page):
        for alternative in re.split(r"\s+\|\s+", command):
            assert refusal_of(alternative) is None, command


def test_commands_are_found_and_wrong_ones_seen():
    assert "study my.toml -o my.nc --set depth=5" in commands_of("README.md")
    assert "plot my.nc" in commands_of("README.md")
    assert "bench | info | schema | warmup" in commands_of("README.md")
    for wrong in (
        "studdy x.toml",
        "study semicircle --path 3",
        "study no_such_study",
        "report",
        "report a.nc b.nc --json",
    ):
        assert (refusal_of(wrong) is None) == (wrong == "report"), wrong  # one word is a mention


def test_every_source_file_has_its_line():
    page = text_of("docs/architecture.md")
    sources = [
        *(ROOT / "dlnmc").glob("*.py"),
        *(ROOT / "kernels").rglob("*.py"),
        *(ROOT / "dlnmc/studies").glob("*.py"),
    ]
    assert not [name for path in sources if f"`{(name := path.relative_to(ROOT).as_posix())}`" not in page]


def test_the_table_of_what_is_verified_is_up_to_date():
    assert {path.name for path in (ROOT / "data/validation").glob("*.json")} >= FIGURES
    command = [sys.executable, ROOT / "scripts/verified.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, "run scripts/verified.py: README.md is older than data/validation/\n" + done.stderr


def test_figures_of_what_is_verified_hold_up():
    """A law below its threshold, its control above: what the table claims."""
    for name in ("law_of_the_trace.json", "law_of_dyson.json"):
        for test, run in json.loads((ROOT / "data/validation" / name).read_text()).items():
            assert run["ks"] < run["threshold"] < run["ks_control"], test
