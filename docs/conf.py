"""The site, for `scripts/docs`: the pages of this folder, what stands at the root, and the docstrings of dlnmc.

Pages are plain Markdown that a Git host shows too. Three things make a site of them: files at the root are included
where a page says so; names in code type become links to the reference; formulas become MathML, which browsers show
without a script.
"""

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util.nodes import make_refnode

import dlnmc

ROOT = Path(__file__).parents[1]

project = "dlnmc"
author = "The dlnmc authors"
version = release = dlnmc.__version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosectionlabel",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]
smartquotes = False  # v' is a derivative
suppress_warnings = [
    "autosectionlabel.changelog",  # its headings repeat
    "myst.header",  # in pages that are written by scripts
]

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = f"dlnmc {version}"
html_show_copyright = False
html_math_renderer = "mathml"

myst_enable_extensions = ["dollarmath", "substitution"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 3
myst_substitutions = {name: getattr(dlnmc, name).__doc__ for name in ("geometry", "laws", "statistics")}

nb_execution_mode = "force"  # a cache would not know of changes in dlnmc
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_ipywidgets_js: dict[str, Any] = {}  # these would come from elsewhere

autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings say shapes and units
autosectionlabel_prefix_document = True
default_role = "literal"
nitpick_ignore_regex = [("py:.*", r"(?!dlnmc).*")]  # what belongs to others

INCLUDED = re.compile(r"^```\{include\} (\.\./\w+\.md)\n```$", re.MULTILINE)
TO_ROOT = re.compile(r"\]\((?!\w+:|#)")
AT_ROOT = {"docs/": "", "README.md": "index.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
TO_PAGE = re.compile(rf"\]\(\.\./({'|'.join(map(re.escape, AT_ROOT))})")
WAY_BACK = re.compile(r'docs/([\w-]+)\.md,\s+"([^"]+)"')


def with_root(app: Sphinx, docname: str, source: list[str]) -> None:
    """What pages include from the root, and links to it, as they are on the site."""

    def included(match: re.Match[str]) -> str:
        path = (ROOT / "docs" / match[1]).resolve()
        app.env.note_dependency(str(path), docname=docname)
        return TO_ROOT.sub("](../", path.read_text(encoding="utf-8"))

    source[0] = TO_PAGE.sub(lambda match: f"]({AT_ROOT[match[1]]}", INCLUDED.sub(included, source[0]))


def plain_docstring(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are text: what reStructuredText would take for markup is none, and the way back to a page a link."""
    if what == "module":
        lines.clear()  # its page says it
        return
    text = re.sub(r"^(\S.*\n\n)(?= {4}\S)", r"\1::\n\n", "\n".join(lines), flags=re.MULTILINE)  # formulas in lines
    text = WAY_BACK.sub(_linked, text)
    pieces = re.split(r"(^::\n\n(?: {4}.*\n*)+|:ref:`[^`]*`|`[^`]*`)", text, flags=re.MULTILINE)
    pieces[::2] = [re.sub(r"([*|]|_(?!\w))", r"\\\1", piece) for piece in pieces[::2]]
    lines[:] = "".join(pieces).split("\n")


def plain_signature(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Of a description, what its user gives."""
    return signature and re.sub(r"\*args(, )?|(, )?kind='\w+'", "", signature), returned


def _linked(match: re.Match[str]) -> str:
    section = " ".join(match[2].split())
    return f":ref:`{match[1].capitalize()}, “{section}” <{match[1]}:{section}>`"


def link_names(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Names in code type become links, with or without the module that a page of the reference is about."""
    documented = app.env.domains["py"].data["objects"]
    module = "dlnmc." if docname.endswith("/dlnmc") else f"dlnmc.{Path(docname).name}."
    for literal in list(doctree.findall(nodes.literal)):
        name = re.sub(r"\(.*\)$", "", literal.astext())
        found = next((full for full in (name, module + name) if "." in full and full in documented), None)
        inside = literal.parent
        while inside is not None and not isinstance(inside, nodes.reference | nodes.title):
            inside = inside.parent
        if found and inside is None:
            entry = documented[found]
            link = make_refnode(app.builder, docname, entry.docname, entry.node_id, literal.deepcopy(), found)
            literal.replace_self(link)


NAMES = r"\\(?:log|sin|cos|coth?|tanh|det)(?![a-z])"
SPACING = (  # what TeX does by itself, for browsers
    (rf"(?<=[\w)}}])\s*({NAMES})", r"\\,\1"),  # a sin s
    (rf"({NAMES})\s*(?=[\w\\|])", r"\1\\, "),
    (r"\\mathrm\{(\w+)\}", r"\\text{\1}"),  # upright
    ("''", "″"),  # marks that are raised already
    ("'", "′"),
)


def visit_math(translator: Any, node: nodes.Element) -> None:
    """A formula as MathML."""
    display = "block" if isinstance(node, nodes.math_block) else "inline"
    formula = node.astext()
    for pattern, spaced in SPACING:
        formula = re.sub(pattern, spaced, formula)
    found = convert(formula, display=display).replace(">&#x0007C;<", ' lspace="0" rspace="0">&#x0007C;<')
    if "\\" in found:
        raise ValueError(f"{node.astext()!r} holds a command that is not known")
    translator.body.append(f'<div class="formula">{found}</div>' if display == "block" else found)
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Connect all of this."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math, None))
    app.connect("source-read", with_root)
    app.connect("autodoc-process-docstring", plain_docstring, priority=400)  # before napoleon
    app.connect("autodoc-process-signature", plain_signature)
    app.connect("doctree-resolved", link_names)
