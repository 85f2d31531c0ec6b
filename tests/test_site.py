"""Formulas of the pages and what implements them lead to each other; the site that docs/ makes has no dead link."""

import importlib
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urldefrag

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ("docs/mathematics.md", "docs/matrices.md", "docs/sphere.md")
PACKAGES = {
    name: importlib.import_module(name) for name in ("dlnmc", "dlnmc.geometry", "dlnmc.laws", "dlnmc.statistics")
}
PUBLIC = {f"{package}.{name}": getattr(home, name) for package, home in PACKAGES.items() for name in home.__all__}
BLOCK = re.compile(r"^```[^\n]*\n.*?^```$|^#+ [^\n]*$|(?:^(?!```|#)[^\n]+\n?)+", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"`(dlnmc\.[\w.]+)`")
WAY_BACK = re.compile(r'(docs/[\w-]+\.md),\s+"([^"]+)"')

every_page = pytest.mark.parametrize("page", PAGES)


class Formula(NamedTuple):
    """A displayed formula, or a row of a table with one, and the public names beside it."""

    section: str
    text: str
    names: set[str]


def names_in(text):
    return {name for name in NAME.findall(text) if name in PUBLIC}


def is_displayed(block):
    return block.startswith(("```math", "$$"))


def beside(blocks):
    """The names in the first of the blocks that is no formula; a heading ends the search."""
    text = next((block for block in blocks if not is_displayed(block)), "#")
    return set() if text.startswith(("#", "```")) else names_in(text)


def formulas(text):
    blocks, section = BLOCK.findall(text), ""
    for i, block in enumerate(blocks):
        if block.startswith("#"):
            section = block.lstrip("# ")
        elif is_displayed(block):
            yield Formula(section, block, beside(blocks[i + 1 :]) | beside(blocks[:i][::-1]))
        elif block.startswith("|"):
            yield from (Formula(section, row, names_in(row)) for row in block.splitlines() if "$" in row)


def text_of(page):
    return (ROOT / page).read_text(encoding="utf-8")


def sections_of(page):
    """The text of each section, without those within it, by heading."""
    found, section = {}, ""
    for block in BLOCK.findall(text_of(page)):
        section = block.lstrip("# ") if block.startswith("#") else section
        found[section] = found.get(section, "") + block + "\n"
    return found


def ways_back(thing):
    return {(page, " ".join(section.split())) for page, section in WAY_BACK.findall(thing.__doc__ or "")}


@every_page
def test_every_displayed_formula_names_what_implements_it(page):
    displayed = [formula for formula in formulas(text_of(page)) if is_displayed(formula.text)]
    assert len(displayed) >= 2
    assert not [formula.text for formula in displayed if not formula.names]


@every_page
def test_what_implements_a_formula_leads_back_to_it(page):
    sections = {}
    for formula in formulas(text_of(page)):
        for name in formula.names:
            sections.setdefault(name, set()).add((page, formula.section))
    assert len(sections) >= 5
    astray = {name: found for name, found in sections.items() if not found & ways_back(PUBLIC[name])}
    assert not astray


def test_ways_back_lead_to_sections_that_name_the_object():
    found = [(name, page, section) for name, thing in PUBLIC.items() for page, section in ways_back(thing)]
    assert len(found) >= 40
    assert not [way for way in found if f"`{way[0]}`" not in sections_of(way[1]).get(way[2], "")]


def test_ways_back_in_sources_lead_to_sections():
    sources = [path for folder in ("dlnmc", "kernels") for path in (ROOT / folder).rglob("*.py")]
    found = {(page, " ".join(s.split())) for path in sources for page, s in WAY_BACK.findall(path.read_text("utf-8"))}
    assert found
    assert not [(page, section) for page, section in found if section not in sections_of(page)]


def test_formulas_without_names_are_seen():
    page = "# A\n\nby `dlnmc.exact`:\n\n```math\na = 1\n```\n\n```math\nb\n```\n\nnot `dlnmc.no_such_thing`\n\n## B\n\n"
    first, second, third = formulas(page + "```math\nc\n```\n\n```python\n# `dlnmc.exact`\n```\n")
    assert first == ("A", "```math\na = 1\n```", {"dlnmc.exact"})
    assert second.names == {"dlnmc.exact"}
    assert third == ("B", "```math\nc\n```", set())


def test_the_reference_has_every_public_name():
    for package, home in PACKAGES.items():
        text = text_of(f"docs/reference/{package.removeprefix('dlnmc.')}.md")
        if f".. automodule:: {package}\n   :members:" not in text:  # which takes them from __all__
            assert {*re.findall(r"^\.\. auto\w+:: (\w+)$", text, re.MULTILINE)} >= {*home.__all__} - {
                name.removeprefix("dlnmc.") for name in PACKAGES
            }


def test_the_reference_has_every_function_that_a_page_names():
    reference = "".join(path.read_text("utf-8") for path in (ROOT / "docs/reference").glob("*.md"))
    pages = "".join(path.read_text("utf-8") for path in [*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")])
    named = {name for name in re.findall(r"`((?:dlnmc|dlnmc_kernels)\.[\w.]+)[(`]", pages) if name not in PUBLIC}
    homes = {getattr(thing, "__module__", None) for thing in PUBLIC.values()}  # a file is shown as part of one module
    functions = {
        name for name in named if callable(resolved(name)) and name.rpartition(".")[0] not in {*homes, *PUBLIC}
    }
    assert len(functions) >= 30
    assert not {name for name in functions if f":: {name}\n" not in reference}


def resolved(name):
    """What a dotted name stands for; None for a module."""
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute, None)
    except ModuleNotFoundError:
        return getattr(resolved(module), attribute)


class Page(HTMLParser):
    """What a page of the site can be linked by, what it links to, and what it loads."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.loaded = set(), set(), set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids |= {given.get("id"), given.get("name")}
        if tag in ("img", "link", "script"):
            self.loaded |= {given.get("src"), given.get("href")} - {None}
        elif tag == "a" and given.get("href"):
            self.links.add(given["href"])


@pytest.mark.slow
def test_the_site_is_built_and_none_of_its_links_is_dead(tmp_path):
    command = [sys.executable, "-m", "sphinx", "--builder", "html", "--nitpicky", "--fail-on-warning", "--keep-going"]
    site, fresh = tmp_path / "html", ["--quiet", "--doctree-dir", tmp_path / "doctrees"]
    done = subprocess.run([*command, *fresh, ROOT / "docs", site], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

    pages = {path: Page(path) for path in site.rglob("*.html")}
    assert {path.stem for path in pages} >= {"index", "start", "energy", "extend", "mathematics", "changelog"}
    assert not [link for page in pages.values() for link in page.loaded if re.match(r"\w+:|//", link)]
    dead = []
    for path, page in pages.items():
        for link in page.links | page.loaded:
            if re.match(r"\w+:", link):
                continue
            file, anchor = urldefrag(link.partition("?")[0])
            target = (path.parent / unquote(file)).resolve() if file else path.resolve()
            if not target.is_file() or (anchor and unquote(anchor) not in pages[target].ids):
                dead.append((path.name, link))
    assert not dead
