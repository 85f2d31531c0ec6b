"""The semicircle law: singular values (or eigenvalues) at equilibrium against the law for d → ∞, the exact mean of the
trace at finite d, and the mean spacing ratio of the Gaussian orthogonal ensemble.

The open question of section 14.3 of Menon's paper. Where widths are swept, the rates at which distances and moments
approach the law are fitted.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import xarray as xr
from pydantic import Field
from typing_extensions import override

from dlnmc import analysis, dataset, laws, statistics
from dlnmc.config import Equilibrium
from dlnmc.descriptions import quoted
from dlnmc.engine import scale
from dlnmc.errors import InvalidValue
from dlnmc.models import Model
from dlnmc.plotting import REFERENCE, Curves, Densities, results
from dlnmc.studies.base import WHOLE, Kind, Parts, Picture, Row, Tables, Verdict

SPACING_RATIO = 0.5307  # Gaussian orthogonal ensemble, large matrices (Atas, Bogomolny, Giraud and Roux 2013)
STANDARD_ERRORS = 4.0
MOMENTS = (1, 2, 4)  # whose approach to those of the law is shown
QUANTITIES = {"ks": "Kolmogorov distance", "w1": "Wasserstein distance"} | {
    f"moment_{k}": f"$|E[\\sigma^{k}]/\\mathrm{{law}} - 1|$" for k in MOMENTS
}
SHOWN = ("ks", "w1", "moment_1")  # in the picture
FEWEST_WIDTHS = 3  # for a rate with an error

Limit = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


class Semicircle(Kind):
    """The `[study]` table.

    Parameters
    ----------
    title
        What pictures and tables are headed by.
    law_kappa
        The κ of the laws that the result is held against; default: that of each model.
    ks
        Largest Kolmogorov distance to the law at the largest width of the sweep, for smaller widths more in proportion
        to 1/width; one number, one for each depth, or one for each member; not checked where left out.
    trace
        Largest |trace ratio − 1|, beside four standard errors.
    spacing
        Largest distance of the spacing ratio from 0.5307, at the largest width; not checked where left out.
    rate
        Largest distance from 1 of the exponent at which the Kolmogorov distance falls with the width, beside four
        standard errors; not checked where left out.
    """

    PARTS: ClassVar = {WHOLE: Equilibrium}
    BRIEF: ClassVar = frozenset({"members"})
    COLUMNS: ClassVar = {
        "moment_1": "how far the mean is from that of the law, relative to it",
        "moment_2": "how far the mean square is from that of the law, relative to it",
        "moment_4": "how far the mean fourth power is from that of the law, relative to it",
        "least_width": "the smallest width in the fit",
        "largest_width": "the largest width in the fit",
    }

    kind: Literal["semicircle"] = "semicircle"
    title: str = "Equilibrium"
    law_kappa: float | None = Field(default=None, gt=0)
    ks: Limit | tuple[Limit, ...] | None = None
    trace: float = Field(default=0.003, gt=0)
    spacing: float | None = Field(default=None, gt=0)
    rate: float | None = Field(default=None, gt=0)

    @override
    def check_number(self, members: int, depths: int) -> None:
        if isinstance(self.ks, tuple) and len(self.ks) not in (depths, members):
            raise InvalidValue(
                f"study.ks = {quoted(self.ks)}: it must be one number, one for each of {depths} depths, or one for "
                f"each of {members} members"
            )

    def _limits(self, rows: Sequence[Row]) -> list[float | None]:
        """The largest Kolmogorov distance of each row, in order."""
        depths = list(dict.fromkeys(row.get("depth") for row in rows))
        self.check_number(len(rows), len(depths))
        largest = max(map(_width, rows))
        found: list[float | None] = []
        for index, row in enumerate(rows):
            limit = self.ks
            if isinstance(limit, tuple):
                limit = limit[index if len(limit) == len(rows) else depths.index(row.get("depth"))]
            found.append(None if limit is None else limit * largest / _width(row))
        return found

    def reference(self, model: Model) -> Model:
        """The model whose laws a member is held against."""
        return model if self.law_kappa is None else model.changed(kappa=self.law_kappa)

    @override
    def tables(self, parts: Parts) -> Tables:
        members = list(dataset.members(parts[WHOLE]))
        rows = [analysis.row(member, self.reference(dataset.model_of(member))) for member in members]
        found = {"members": rows}
        if len({_width(row) for row in rows}) >= FEWEST_WIDTHS:
            approach = [self._approach(member) for member in members]
            found |= {"approach": approach, "rates": _rates(approach)}
        return found

    def _approach(self, member: xr.DataTree) -> Row:
        """How far a member is from the law, in distances and moments."""
        model = dataset.model_of(member)
        found: Row = dataset.parameters(model)
        try:
            law = laws.of(self.reference(model))
        except InvalidValue:
            return found
        values = analysis.states(member)
        if values is not None:
            scaled = values / scale(model)
            found["ks"], found["ks_error"] = statistics.kolmogorov_distance(scaled, law)
            found["w1"], found["w1_error"] = statistics.wasserstein_distance(scaled, law)
        for k in MOMENTS:
            if law.moment(k) != 0.0:
                mean = statistics.mean_over_paths(member["moments/moment"].sel(order=k))
                found[f"moment_{k}"] = abs(mean.value / law.moment(k) - 1.0)
                found[f"moment_{k}_error"] = mean.error / law.moment(k)
        return found

    @override
    def checks(self, parts: Parts, tables: Tables) -> Iterator[Verdict]:
        rows = tables["members"]
        largest = max(map(_width, rows))
        members = {analysis.name_of(analysis.head(member)): member for member in dataset.members(parts[WHOLE])}
        for row, limit in zip(rows, self._limits(rows), strict=True):
            yield from self._checks_of(members[analysis.name_of(row)], row, limit, _width(row) == largest)
        for row in tables.get("rates", []):
            if self.rate is not None and row["quantity"] == "ks":
                off, allowed = abs(row["rate"] - 1.0), self.rate + STANDARD_ERRORS * row["rate_error"]
                text = f"Kolmogorov distance falls like width^-{row['rate']:.3f} ± {row['rate_error']:.3f}"
                yield f"{analysis.name_of(row)}: {text} (within {allowed:.3f} of 1)", off <= allowed

    def _checks_of(self, member: xr.DataTree, row: Row, limit: float | None, wide: bool) -> Iterator[Verdict]:
        """The checks of any equilibrium, and the study's own, of one member."""
        name = analysis.name_of(row)
        for text, holds in analysis.checks(member, self.reference(dataset.model_of(member))):
            yield f"{name}: {text}", holds
        if limit is not None:
            text = "Kolmogorov distance not known: there is no law, or no samples were kept"
            if row["ks"] is not None:
                distance = f"{row['ks']:.4f} ± {row['ks_error']:.4f}"
                text = f"Kolmogorov distance {distance} to the law of kappa {row['law_kappa']:g}"
            yield f"{name}: {text} (at most {limit:.4g})", row["ks"] is not None and row["ks"] <= limit
        one_path = row["paths"] - row["failed_paths"] == 1  # of which no error is known
        if row["trace_ratio"] is not None and not one_path:
            allowed = self.trace + STANDARD_ERRORS * row["trace_error"]
            off = abs(row["trace_ratio"] - 1.0)
            text = f"trace {row['trace_ratio']:.4f} ± {row['trace_error']:.4f} of its exact mean"
            yield f"{name}: {text} (within {allowed:.4f} of 1)", off <= allowed and math.isfinite(off)
        if wide and self.spacing is not None and row["spacing_ratio"] is not None:
            off = abs(row["spacing_ratio"] - SPACING_RATIO)
            text = f"spacing ratio {row['spacing_ratio']:.4f} ± {row['spacing_error']:.4f}"
            yield f"{name}: {text} (within {self.spacing:g} of {SPACING_RATIO})", off <= self.spacing

    @override
    def pictures(self, parts: Parts, tables: Tables) -> dict[str, Picture]:
        found: dict[str, Picture] = {"densities": _densities(parts[WHOLE], self.title)}
        if "approach" in tables:
            found["approach"] = _approach_picture(tables)
        return found


def _densities(tree: xr.DataTree, title: str) -> Densities:
    """Densities on their laws, of the largest width where several are swept."""
    for size in ("width", "size"):
        if size in tree.dims:
            tree = tree.isel({size: -1})
    tree, beside = results.what_is_shown(tree)
    words = f"{title}{beside}: histograms of the values at equilibrium on the law for infinite width, residuals below."
    return results.of_equilibrium(tree)._replace(words=words)


def _rates(approach: Sequence[Row]) -> list[Row]:
    """The exponents at which each quantity falls with the width; none where a value is not told from 0."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in approach:
        groups.setdefault(tuple(row[name] for name in _beside_width(row)), []).append(row)
    found = []
    for rows in groups.values():
        for quantity in QUANTITIES:
            known = [row for row in rows if row.get(quantity) is not None]
            if len(known) < FEWEST_WIDTHS or any(row[quantity] < 2.0 * row[f"{quantity}_error"] for row in known):
                continue
            widths: list[int] = [_width(row) for row in known]
            fit = statistics.rate(widths, [row[quantity] for row in known], [row[f"{quantity}_error"] for row in known])
            head = {name: rows[0][name] for name in _beside_width(rows[0])} | {"quantity": quantity}
            span = {"widths": len(widths), "least_width": min(widths), "largest_width": max(widths)}
            figures = {"rate": fit.exponent.value, "rate_error": fit.exponent.error}
            found.append(head | span | figures | {"factor": fit.factor, "misfit": fit.misfit})
    return found


def _beside_width(row: Row) -> list[str]:
    return [name for name in ("depth", "beta", "kappa") if name in row]


def _width(row: Row) -> int:
    return int(row["width"] if "width" in row else row["size"])


def _approach_picture(tables: Tables) -> Curves:
    """Distances and moments over the width, a panel for each quantity and κ, a series for each depth."""
    words = (
        "Distances of the law at finite width to the law at infinite width, and relative deviations of moments, over "
        "the width on logarithmic axes. Dashed lines fall like one over the width."
    )
    kappas = list(dict.fromkeys(row["kappa"] for row in tables["approach"]))
    picture = Curves("How the law is approached as $d\\to\\infty$", words, columns=min(len(kappas), 3))
    for quantity in SHOWN:
        label = QUANTITIES[quantity]
        for kappa in kappas:
            rows = [row for row in tables["approach"] if row["kappa"] == kappa and row.get(quantity) is not None]
            panel = picture.panel(f"$\\kappa$ = {kappa:g}", "width $d$", label, "log", "log")
            series = list(dict.fromkeys((row.get("depth", 0.0), row["beta"]) for row in rows))
            several = len({beta for _, beta in series}) > 1
            for depth, beta in series:
                own = [row for row in rows if (row.get("depth", 0.0), row["beta"]) == (depth, beta)]
                widths = np.array([_width(row) for row in own], dtype=np.float64)
                values, errors = (np.array([row[key] for row in own]) for key in (quantity, f"{quantity}_error"))
                name = f"depth {depth:g}" if depth else "measured"
                name += f", $\\beta$ = {beta:g}" if several else ""
                panel.points(widths, values, errors, label=name)
            if rows:
                ends = np.array([min(widths), max(widths)])
                top = max(row[quantity] for row in rows)
                panel.line(ends, top * ends[0] / ends, label="$1/d$", dashed=True, color=REFERENCE)
    return picture
