"""Write docs/results.md and its pictures from data/reference/, by scripts/results.md.jinja; no figure is typed by hand.

`scripts/results` writes them; `--check` says whether the page is up to date.
"""

import itertools
import json
import math
import pathlib
import sys

import jinja2
import numpy as np

import dlnmc
from dlnmc import findings, tables
from dlnmc.plotting import Densities, draw_picture
from dlnmc.plotting.style import finished, style

ROOT = pathlib.Path(__file__).parent.parent
REFERENCE = ROOT / "data" / "reference"
TEMPLATE = ROOT / "scripts" / "results.md.jinja"
PAGE = ROOT / "docs" / "results.md"
PICTURES = ROOT / "docs" / "results"
FRONT = ROOT / "docs" / "semicircle.png"
DPI = 110


class Study:
    """What a page may say of a study: figures with errors, tables, pictures, the command that remakes it."""

    def __init__(self, name):
        self.name = name
        self.summary = dlnmc.open(REFERENCE / f"{name}.nc")
        self.tables = findings.tables(self.summary)
        self.pictures = findings.pictures(self.summary)

    def rows(self, table, **where):
        """The rows of a table with these values."""
        found = [row for row in self.tables[table] if all(_alike(row.get(key), value) for key, value in where.items())]
        if not found:
            raise KeyError(f"{self.name}: the table {table} has no row with {where}")
        return found

    def row(self, table, **where):
        """The only row of a table with these values."""
        found = self.rows(table, **where)
        if len(found) > 1:
            raise KeyError(f"{self.name}: the table {table} has {len(found)} rows with {where}")
        return found[0]

    def value(self, table, key, form=None, **where):
        """A figure with its error, if it has one, to two digits of the error."""
        return with_error(self.row(table, **where), key, form)

    def values(self, table, key, **where):
        """The figures of several rows."""
        return [row[key] for row in self.rows(table, **where) if row.get(key) is not None]

    def distinct(self, table, key, **where):
        """The different figures of several rows, ascending."""
        return sorted(set(self.values(table, key, **where)))

    @property
    def confinement(self):
        """c of the part of the study that has one."""
        parts = json.loads(self.summary.attrs["config"])["parts"]
        return max(part["model"]["energy"].get("confinement", 0.0) for part in parts.values())

    def rises(self, table, key, over, sign=1, **where):
        """Whether a figure grows with another, beyond two standard errors at each step; falls, with sign −1."""
        found = sorted(self.rows(table, **where), key=lambda row: row[over])
        return all(
            sign * (after[key] - before[key]) > 2.0 * math.hypot(before[f"{key}_error"], after[f"{key}_error"])
            for before, after in itertools.pairwise(found)
        )

    def table(self, name, columns=None, **where):
        """A table in Markdown."""
        shown = next(own for own in tables.tables(self.summary) if own.name == name.replace("_", " "))
        chosen = [index for index, row in enumerate(self.tables[name]) if row in self.rows(name, **where)]
        keep = [k for k, heading in enumerate(shown.headings) if columns is None or heading in columns]
        lines = [[shown.headings[k] for k in keep], ["---"] * len(keep)]
        lines += [[shown.cells[index][k].replace("|", "\\|") for k in keep] for index in chosen]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def picture(self, name):
        """A picture with its words, in Markdown."""
        words = self.pictures[name].attrs["words"]
        return f"![{words}]({PICTURES.name}/{self.name}-{name}.png)\n\n*{words}*"

    @property
    def checks(self):
        """How many checks hold."""
        return len(findings.verdicts(self.summary))

    @property
    def command(self):
        """The command that remakes the data, how long it took where it ran, and what the larger size takes."""
        attrs, full = self.summary.attrs, json.loads((REFERENCE / "index.json").read_text())[self.name]["full"]
        return (
            f"`dlnmc study {self.name}` remakes the data: {float(attrs['wall_seconds']):.0f} seconds on "
            f"{attrs['threads']} threads where it ran; {self.checks} checks hold. The larger size, `--preset full`, "
            f"has {full['runs']} runs of {full['paths']:,} paths: {full['hours']:.1f} hours, extrapolated from that."
        )


def with_error(row, key, form=None):
    """A figure as text: with two digits of its error where it has one, else by the form or with four digits."""
    value, error = row.get(key), row.get(f"{key}_error")
    if value is None:
        return "–"
    if error and math.isfinite(error):
        digits = max(0, 1 - math.floor(math.log10(error)))
        return f"{value:.{digits}f} ± {error:.{digits}f}"
    return format(value, form or (".4g" if isinstance(value, float) else ""))


def claim(condition):
    """Nothing, where what a sentence says is so; ValueError where the data say otherwise."""
    if not condition:
        raise ValueError("a sentence of the page is not what the data say")
    return ""


def _alike(found, wanted):
    if isinstance(found, float) and isinstance(wanted, int | float):
        return math.isclose(found, wanted) or found == wanted
    return found == wanted


def page():
    """The page, from what is stored alone."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # noqa: S701
    names = sorted(path.stem for path in REFERENCE.glob("*.nc"))
    known = {name.replace("-", "_"): Study(name) for name in names}
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        **known, with_error=with_error, claim=claim
    )
    return text.rstrip() + "\n", list(known.values())


def front():
    """The picture of README.md: the densities of the semicircle study at κ = 1."""
    data = Study("semicircle").pictures["densities"]
    chosen = [str(title).endswith("= 1") for title in data["panel_title"].to_numpy()]
    picture = Densities.from_dataset(data.isel(panel=np.flatnonzero(chosen)))
    with style():
        finished(draw_picture(picture._replace(columns=2).to_dataset()), FRONT, DPI)


def main():
    text, known = page()
    if "--check" in sys.argv:
        sys.exit(
            "docs/results.md is not what scripts/results writes" if PAGE.read_text(encoding="utf-8") != text else 0
        )
    PAGE.write_text(text, encoding="utf-8")
    PICTURES.mkdir(exist_ok=True)
    front()
    for study in known:
        for name in study.pictures:
            dlnmc.plot(study.summary, PICTURES / f"{study.name}-{name}.png", picture=name, dpi=DPI)
    for path in PICTURES.glob("*.png"):
        if path.stem not in {f"{study.name}-{name}" for study in known for name in study.pictures}:
            path.unlink()


if __name__ == "__main__":
    main()
