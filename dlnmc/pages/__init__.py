"""A result as one page: pictures, tables, what it was held against, and what made it. It needs nothing but itself."""

import json
import re
from html import escape
from pathlib import Path
from typing import Any

import xarray as xr

from dlnmc import findings, tables
from dlnmc.errors import InvalidValue
from dlnmc.plotting import BLUE, GREY, STYLE, draw_picture
from dlnmc.plotting.style import style, svg_of
from dlnmc.store import write_atomically
from dlnmc.studies import attribute

TEMPLATE = Path(__file__).with_name("result.html")
THEMED = {  # colours of pictures that follow the page's
    "#000000": "currentColor",
    "#ffffff": "var(--paper)",
    STYLE["grid.color"]: "var(--line)",
    GREY: "var(--muted)",
    BLUE.lower(): "var(--blue)",
}
MARKS = {True: ("good", "passed"), False: ("bad", "FAILED"), None: ("", "unknown")}
MADE_BY = {  # attributes that a page shows, and their names
    "dlnmc_version": "dlnmc", "kernel_hash": "kernels", "seed": "seed", "scheme": "scheme", "history": "made",
    "wall_seconds": "seconds", "threads": "threads", "executor": "executor", "machine": "machine", "cpu": "processor",
    "simd": "arithmetic", "python_version": "Python", "numba_version": "Numba", "numpy_version": "NumPy",
}  # fmt: skip


def write(result: xr.Dataset | xr.DataTree, path: str | Path) -> Path:
    """Write the page of a result, an HTML file; to a temporary file first. Returns the path."""
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise InvalidValue(f"{path}: a page is written as .html")
    text = page(result)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda file: file.write_text(text, encoding="utf-8"))
    except OSError as error:
        raise InvalidValue(f"{path}: {error.strerror or error}") from None
    return path


def page(result: xr.Dataset | xr.DataTree) -> str:
    """The page of a result, in HTML: nothing outside of it is needed, no script is in it, and it prints."""
    try:
        import jinja2
    except ImportError:
        raise InvalidValue("pages need jinja2: pip install dlnmc[plot]") from None
    summary = findings.summary(result)
    template = TEMPLATE.read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    checks = findings.verdicts(summary)
    return environment.from_string(template).render(
        title=tables.heading(summary),
        checks=checks,
        failed=findings.failed(checks),
        unknown=[text for text, holds in checks if holds is None],
        marks=MARKS,
        pictures=[_picture(name, data) for name, data in findings.pictures(summary).items()],
        tables=tables.tables(summary),
        made_by={words: summary.attrs[name] for name, words in MADE_BY.items() if name in summary.attrs},
        config=json.dumps(attribute(summary, "config"), indent=1),
    )


def _picture(name: str, data: xr.Dataset) -> dict[str, Any]:
    """A picture as an element of a page, with what it shows in words."""
    import markupsafe

    with style():
        text = svg_of(draw_picture(data))
    text = re.sub(r'(id="|href="#|url\(#)', lambda found: f"{found[1]}{name}-", text)
    for color, themed in THEMED.items():
        text = text.replace(color, themed)
    words = str(data.attrs["words"])
    text = text.replace("<svg ", f'<svg role="img" aria-label="{escape(words)}" ', 1)
    return {"name": name.replace("_", " "), "words": words, "svg": markupsafe.Markup(text)}  # noqa: S704  made here
