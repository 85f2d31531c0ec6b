"""Write the table of what is verified into README.md, from the figures that tests and studies left in data/validation/
and data/reference/.

`python scripts/verified.py` writes it; `--check` ends with code 1 if it is not up to date.
"""

import json
import pathlib
import sys

import dlnmc
from dlnmc import findings

ROOT = pathlib.Path(__file__).parent.parent
FOLDER = ROOT / "data" / "validation"
SEMICIRCLE = ROOT / "data" / "reference" / "semicircle.nc"
BEGIN, END = "<!-- verified: written by scripts/verified.py -->", "<!-- end verified -->"


def law_row(title, figures):
    """One row over all runs of a law test."""
    runs = list(figures)
    law = max(run["ks"] / run["threshold"] for run in runs)
    control = min(run["ks_control"] / run["threshold"] for run in runs)
    paths = min(run["paths"] for run in runs)
    return f"| {title} | {len(runs)} | {paths:,} | {law:.2f} | {control:.2f} |"


def table():
    """The two tables as lines of Markdown."""
    trace = json.loads((FOLDER / "law_of_the_trace.json").read_text())
    dyson = json.loads((FOLDER / "law_of_dyson.json").read_text())
    lines = [
        "| law | runs | paths, at least | largest distance, law | smallest distance, control |",
        "|---|---|---|---|---|",
        law_row("Tr WᵀW ~ Gamma at equilibrium: random width ≤ 24, depth ≤ 6, κ, β; control 1.15 κ", trace.values()),
    ]
    titles = {
        "free_motion": "Dyson, free from 0: Σx² ~ Gamma; control 0.88 β",
        "confinement": "Dyson, confined from 0 and at equilibrium: Σx² ~ Gamma; control 0.88 β",
        "gap_of_two": "Dyson, d = 2: the gap is a Bessel process; control 1.15 κ",
    }
    for key, title in titles.items():
        lines.append(law_row(title, [run for name, run in dyson.items() if key in name]))
    rows = [row for row in findings.rows(dlnmc.open(SEMICIRCLE)) if row["kappa"] == 1.0]
    width = max(row["width"] for row in rows)
    rows = [row for row in rows if row["width"] == width]
    words = f"The study `semicircle`, width {width}, κ = 1, {rows[0]['paths']} paths; ± is one standard error:"
    lines += ["", words, ""]
    lines += [
        "| depth | distance to law, d → ∞ | trace / exact mean | spacing ratio (GOE: 0.5307) | mean of σ_max; edge |"
    ]
    lines += ["|---|---|---|---|---|"]
    for row in rows:
        lines.append(
            f"| {row['depth']:g} | {row['ks']:.4f} ± {row['ks_error']:.4f} "
            f"| {row['trace_ratio']:.4f} ± {row['trace_error']:.4f} "
            f"| {row['spacing_ratio']:.4f} ± {row['spacing_error']:.4f} "
            f"| {row['edge']:.4f}, {row['edge_law']:.4f} |"
        )
    return lines


def main():
    readme = ROOT / "README.md"
    text = readme.read_text()
    before, rest = text.split(BEGIN)
    new = before + BEGIN + "\n" + "\n".join(table()) + "\n" + END + rest.split(END)[1]
    if "--check" in sys.argv:
        sys.exit("README.md: the table of what is verified is not up to date" if new != text else 0)
    readme.write_text(new)


if __name__ == "__main__":
    main()
