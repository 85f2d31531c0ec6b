"""Large widths: the density, the two edges and the bulk of the singular values at equilibrium, at every depth and κ.

As d → ∞ the largest singular value, scaled, tends to the Tracy–Widom law of index 1, and neighbours in the bulk to
those of the Gaussian orthogonal ensemble: proved at depth 1 and at κ = ½, expected otherwise. The smallest falls like
d^{−1/(2p)}, p the exponent of the law at 0.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field
from typing_extensions import override

from dlnmc import analysis, dataset, laws, statistics
from dlnmc.config import Equilibrium, Run
from dlnmc.errors import InvalidValue
from dlnmc.models import DeepLinearNetwork
from dlnmc.plotting import EXACT, REFERENCE, Curves, results
from dlnmc.statistics.estimates import finite_paths
from dlnmc.studies.base import Kind, Parts, Picture, Row, Tables, Verdict, check_one

Floats = NDArray[np.float64]
Point = tuple[float, float]  # depth and κ

WIDTHS, WIDE = "widths", "wide"
QUANTITIES = ("mean", "variance", "skewness")  # of the scaled largest singular value
EDGE_POWERS = (2.0 / 3.0,)  # of 1/d, by which they approach those of the Tracy–Widom law
LENGTHS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # of intervals, in mean spacings
FEWEST_WIDTHS = 3
STANDARD_ERRORS = 5.0


class LargeD(Kind):
    """The `[study]` table.

    What thresholds hold beside standard errors is what finite widths, or steps of time, are known to leave.

    Parameters
    ----------
    title
        What pictures are headed by.
    edge
        How far the extrapolated mean, variance and skewness of the largest singular value may be from those of the
        Tracy–Widom law, beside five standard errors: terms beyond d^{−2/3}.
    spacing
        The same of the mean spacing ratio from 0.5307, at the largest width of `widths`, and at each of `wide`.
    number_variance
        The same of the number variance there, relative to that of the Gaussian orthogonal ensemble.
    smallest
        The same of the exponent by which the median of the smallest singular value falls with d.
    collapse
        The same of the Kolmogorov distance of u = d F(σ_d √(β/d)) between neighbouring widths, times the smaller width.
    rate
        How far from 1 the exponent may be by which the Kolmogorov distance to the law falls with the width.
    """

    PARTS: ClassVar = {WIDTHS: Equilibrium, WIDE: Equilibrium}
    BRIEF: ClassVar = frozenset({"members"})
    COLUMNS: ClassVar = {
        "spacing_class": "the mean ratio of spacings of the Gaussian orthogonal ensemble",
        "largest_width": "the largest width in the fit",
        "limit": "the value for d → ∞, by the fit",
        "z": "limit less exact value, in standard errors",
        "slope": "the factor of d^(−2/3) in the fit",
        "shift": "where the edge is put at finite width, in the law's units times d",
        "mean": "the mean of the largest singular value, scaled as Tracy's and Widom's",
        "variance": "its variance",
        "skewness": "its skewness",
        "length": "the length of an interval, in mean spacings",
        "number_variance": "the variance of the number of levels in the interval",
        "mean_number": "the mean number of levels in it",
        "median": "the median of the smallest singular value, in the law's units",
        "median_u": "the median of u = d F(σ_d √(β/d)), F the distribution function of the law",
        "law_exponent": "the p of the law near 0, F ~ λ^p with λ = σ²",
        "rate": "the exponent at which it falls with the width",
        "next_width": "the width with which it is compared",
        "distance": "Kolmogorov's distance between u of both widths",
        "bound": "what chance exceeds with probability 1e-6 at most",
    }

    kind: Literal["large-d"] = "large-d"
    title: str = "Large widths"
    edge: float = Field(default=0.05, gt=0)
    spacing: float = Field(default=0.006, gt=0)
    number_variance: float = Field(default=0.05, gt=0)
    smallest: float = Field(default=0.05, gt=0)
    collapse: float = Field(default=0.5, gt=0)
    rate: float = Field(default=0.15, gt=0)

    @override
    def check(self, runs: Mapping[str, Sequence[Run]]) -> None:
        """Raise InvalidValue where there are too few widths, no states, or no law with an edge that is known."""
        widths = sorted({run.model.size for run in runs[WIDTHS]})
        if len(widths) < FEWEST_WIDTHS:
            raise InvalidValue(
                f"part widths: model.width = {widths}: {FEWEST_WIDTHS} different ones or more are needed"
            )
        for name, own in runs.items():
            check_one(name, own, *(key for key in ("beta", "clock") if hasattr(own[0].model, key)))
            for run in own:
                model: Any = run.model
                if not isinstance(model, DeepLinearNetwork) or model.energy.kind != "quadratic" or not run.keep_samples:
                    raise InvalidValue(f"part {name}: a study of large d takes quadratic energy, and keeps samples")
                if model.width < dataset.SIZE_WITH_MIDDLE or not math.isfinite(model.depth):
                    raise InvalidValue(
                        f"part {name}: width = {model.width}, depth = {model.depth:g}: it takes widths from "
                        f"{dataset.SIZE_WITH_MIDDLE} on, and finite depths"
                    )
                laws.edge_shift(model.depth, model.kappa)  # refuses laws with a gap

    # --- tables -------------------------------------------------------------------------------------------------------

    @override
    def tables(self, parts: Parts) -> Tables:
        members = [(name, member) for name, tree in parts.items() for member in dataset.members(tree)]
        edges = [_edge(member, name) for name, member in members]
        smallest = [_smallest(member) for member in dataset.members(parts[WIDTHS])]
        own = {"spacing_class": laws.mean_spacing_ratio(1)}
        rows = [analysis.row(member) | own | {"part": name} for name, member in members]
        return {
            "members": rows,
            "edge_limits": [row for own in _points(_narrow(edges)).values() for row in _edge_limits(own)],
            "edges": edges,
            "bulk": [row for name, member in members for row in _bulk(member, name)],
            "smallest": smallest,
            "smallest_rates": [_smallest_rate(own) for own in _points(smallest).values()],
            "collapse": _collapse(parts[WIDTHS]),
            "rates": [_rate(own) for own in _points(_narrow(rows)).values()],
        }

    # --- checks -------------------------------------------------------------------------------------------------------

    @override
    def checks(self, parts: Parts, tables: Tables) -> Iterator[Verdict]:
        for tree in parts.values():
            for member in dataset.members(tree):
                name = analysis.name_of(analysis.head(member))
                for text, holds in analysis.checks(member):
                    yield f"{name}: {text}", holds
        for row in tables["edge_limits"]:
            off, allowed = abs(row["limit"] - row["exact"]), self.edge + STANDARD_ERRORS * row["limit_error"]
            text = f"{row['quantity']} of the largest, d -> inf: {row['limit']:.3f} ± {row['limit_error']:.3f}"
            yield f"{analysis.name_of(row)}: {text} (within {allowed:.3f} of {row['exact']:.4f})", off <= allowed
        yield from self._checks_of_bulk(tables)
        for row in tables["smallest_rates"]:
            off, allowed = abs(row["rate"] - row["exact"]), self.smallest + STANDARD_ERRORS * row["rate_error"]
            text = f"median of the smallest falls like width^-{row['rate']:.3f} ± {row['rate_error']:.3f}"
            yield f"{analysis.name_of(row)}: {text} (within {allowed:.3f} of {row['exact']:.3f})", off <= allowed
        for row in tables["collapse"]:
            allowed = row["bound"] + self.collapse / row["width"]
            text = (
                f"u of the smallest at distance {row['distance']:.4f} ± {row['distance_error']:.4f} from that of width "
            )
            yield (
                f"{analysis.name_of(row)}: {text}{row['next_width']} (at most {allowed:.4f})",
                row["distance"] <= allowed,
            )
        for row in tables["rates"]:
            off, allowed = abs(row["rate"] - 1.0), self.rate + STANDARD_ERRORS * row["rate_error"]
            text = f"Kolmogorov distance falls like width^-{row['rate']:.3f} ± {row['rate_error']:.3f}"
            yield f"{analysis.name_of(row)}: {text} (within {allowed:.3f} of 1)", off <= allowed

    def _checks_of_bulk(self, tables: Tables) -> Iterator[Verdict]:
        """The local statistics of the widest of `widths`, and of all of `wide`."""
        largest = max(row["width"] for row in _narrow(tables["members"]))
        for row in tables["members"]:
            if row["part"] == WIDE or row["width"] == largest:
                off = abs(row["spacing_ratio"] - row["spacing_class"])
                allowed = self.spacing + STANDARD_ERRORS * row["spacing_error"]
                text = f"spacing ratio {row['spacing_ratio']:.4f} ± {row['spacing_error']:.4f}"
                text = f"{text} (within {allowed:.4f} of {row['spacing_class']})"
                yield f"{analysis.name_of(row)}: {text}", off <= allowed
        for row in tables["bulk"]:
            if row["part"] == WIDE or row["width"] == largest:
                off = abs(row["number_variance"] - row["exact"])
                allowed = self.number_variance * row["exact"] + STANDARD_ERRORS * row["number_variance_error"]
                found = f"{row['number_variance']:.4f} ± {row['number_variance_error']:.4f}"
                text = f"number variance {found} at L = {row['length']:g} (within {allowed:.4f} of {row['exact']:.4f})"
                yield f"{analysis.name_of(row)}: {text}", off <= allowed

    # --- pictures -----------------------------------------------------------------------------------------------------

    @override
    def pictures(self, parts: Parts, tables: Tables) -> dict[str, Picture]:
        return {
            "edge": _picture_of_edge(tables, self.title),
            "bulk": _picture_of_bulk(tables),
            "smallest": _picture_of_smallest(tables),
            "densities": _densities(parts[WIDTHS], self.title),
            "rates": _picture_of_rates(tables),
        }


def _points(rows: Sequence[Row]) -> dict[Point, list[Row]]:
    """The rows of each (depth, κ), by ascending width."""
    found: dict[Point, list[Row]] = {}
    for row in sorted(rows, key=lambda row: float(row["width"])):
        found.setdefault((row["depth"], row["kappa"]), []).append(row)
    return dict(sorted(found.items()))


def _narrow(rows: Sequence[Row]) -> list[Row]:
    """The rows of `widths`: many paths, and a long burn-in."""
    return [row for row in rows if row["part"] == WIDTHS]


def _sound(member: xr.DataTree) -> Floats:
    """The states (path, draw, component) in the law's units, ascending, of the paths that did not fail."""
    values = analysis.states(member)
    if values is None:
        raise InvalidValue("the result holds no states: a study of large d keeps samples")
    model: Any = dataset.model_of(member)
    return laws.scaled(finite_paths(values, least=2), model)


def _head(member: xr.DataTree) -> Row:
    return dataset.parameters(dataset.model_of(member))


# --- the largest singular value ---------------------------------------------------------------------------------------


def _edge(member: xr.DataTree, part: str) -> Row:
    """Mean, variance and skewness of the largest singular value, scaled and centred where the edge is at width d."""
    model: Any = dataset.model_of(member)
    largest = _sound(member)[..., -1]
    shift = laws.edge_shift(model.depth, model.kappa)
    law = laws.singular_values(model.depth, model.kappa)
    row = _head(member) | {"part": part, "paths": len(largest), "shift": shift}
    shape = statistics.shape(laws.at_soft_edge(largest, law, model.width, shift))
    for name in QUANTITIES:
        row[name], row[f"{name}_error"] = getattr(shape, name)
    return row


@lru_cache(maxsize=1)
def tracy_widom() -> dict[str, float]:
    """Mean, variance and skewness of the limit law."""
    law = laws.tracy_widom(1)
    mean, variance = law.mean(), law.var()
    third = law.moment(3) - 3.0 * mean * law.moment(2) + 2.0 * mean**3
    return {"mean": mean, "variance": variance, "skewness": third / variance**1.5}


def _edge_limits(rows: Sequence[Row]) -> list[Row]:
    """The limits in d^{−2/3} of one (depth, κ); errors are larger by √misfit where widths scatter more than theirs."""
    found = []
    for name, exact in tracy_widom().items():
        fit = _edge_fit(rows, name)
        scatter = math.sqrt(max(1.0, float(fit.misfit))) if len(rows) > 1 + len(EDGE_POWERS) else 1.0
        error = float(fit.error) * scatter
        row = {"depth": rows[0]["depth"], "kappa": rows[0]["kappa"], "quantity": name, "widths": len(rows)}
        row |= {"largest_width": rows[-1]["width"], "limit": float(fit.limit), "limit_error": error, "exact": exact}
        found.append(
            row | {"z": (float(fit.limit) - exact) / error, "slope": float(fit.factors[0]), "misfit": float(fit.misfit)}
        )
    return found


def _edge_fit(rows: Sequence[Row], name: str) -> statistics.AtInfinity:
    width, value, error = _columns(rows, "width", name, f"{name}_error")
    return statistics.at_infinity(width, value, error, EDGE_POWERS)


# --- the bulk, the smallest, the density ------------------------------------------------------------------------------


def _bulk(member: xr.DataTree, part: str) -> list[Row]:
    """The number variance in the middle half, of levels unfolded by the law, at each length that fits there."""
    model: Any = dataset.model_of(member)
    values = _sound(member)
    lengths = [length for length in LENGTHS if length <= model.width / 8]
    levels = statistics.unfold(values, laws.singular_values(model.depth, model.kappa))
    found = statistics.number_variance(levels, lengths)
    rows = []
    for k, length in enumerate(lengths):
        row = _head(member) | {"part": part, "length": length}
        for name in ("number_variance", "number_variance_error", "mean_number"):
            row[name] = float(found[name][k])
        rows.append(row | {"exact": laws.number_variance(length, 1)})
    return rows


def _unfolded_smallest(member: xr.DataTree) -> Floats:
    """The u = d F(σ_d √(β/d)) (path, draw) of the smallest singular value."""
    model: Any = dataset.model_of(member)
    return np.asarray(model.width * laws.singular_values(model.depth, model.kappa).cdf(_sound(member)[..., 0]))


def _smallest(member: xr.DataTree) -> Row:
    """The median of the smallest singular value in the law's units, and of its u; errors by batches of paths."""
    model: Any = dataset.model_of(member)
    law = laws.singular_values(model.depth, model.kappa)
    u = _unfolded_smallest(member)
    row = _head(member) | {"paths": len(u), "median_u": float(np.median(u))}
    row["median_u_error"] = _error_of_median(u)
    row["median"] = float(law.ppf(row["median_u"] / model.width))
    either = [
        float(law.ppf(max(row["median_u"] + sign * row["median_u_error"], 0.0) / model.width)) for sign in (-1, 1)
    ]
    return row | {"median_error": 0.5 * (either[1] - either[0])}


def _error_of_median(values: Floats) -> float:
    """The standard error of the median of values (path, draw): that of the part below it, over the density there."""
    below = statistics.mean_over_paths((values < np.median(values)).mean(axis=1)).error
    low, high = np.quantile(values, [max(0.5 - below, 0.0), min(0.5 + below, 1.0)])
    return float(0.5 * (high - low))


def _smallest_rate(rows: Sequence[Row]) -> Row:
    """The exponent by which the median falls with the width; F ~ σ^{2p} makes it 1/(2p)."""
    fit = statistics.rate(*([row[key] for row in rows] for key in ("width", "median", "median_error")))
    p = laws.singular_values(rows[0]["depth"], rows[0]["kappa"]).hard_edge_exponent
    row = {"depth": rows[0]["depth"], "kappa": rows[0]["kappa"], "widths": len(rows), "law_exponent": p}
    row |= {"rate": fit.exponent.value, "rate_error": fit.exponent.error, "exact": 0.5 / p}
    return row | {"factor": fit.factor, "misfit": fit.misfit}


def _collapse(tree: xr.DataTree) -> list[Row]:
    """Kolmogorov distances of u of the smallest singular value between each width and the next."""
    by_point: dict[Point, list[tuple[Row, Floats]]] = {}
    for member in dataset.members(tree):
        head = _head(member)
        by_point.setdefault((head["depth"], head["kappa"]), []).append((head, _unfolded_smallest(member)))
    rows = []
    for _, own in sorted(by_point.items()):
        own.sort(key=lambda pair: float(pair[0]["width"]))
        for (head, u), (following, v) in pairwise(own):
            distance = statistics.kolmogorov_between(u, v)
            bound = statistics.kolmogorov_bound(len(u), len(v), analysis.FALSE_ALARM, values_per_path=u.shape[1])
            row = head | {"next_width": following["width"], "distance": distance.value}
            rows.append(row | {"distance_error": distance.error, "bound": bound})
    return rows


def _rate(rows: Sequence[Row]) -> Row:
    """The exponent by which the Kolmogorov distance to the law falls with the width."""
    fit = statistics.rate(*([row[key] for row in rows] for key in ("width", "ks", "ks_error")))
    row = {"depth": rows[0]["depth"], "kappa": rows[0]["kappa"], "quantity": "ks", "widths": len(rows)}
    row |= {"rate": fit.exponent.value, "rate_error": fit.exponent.error, "factor": fit.factor}
    return row | {"misfit": fit.misfit}


# --- pictures ---------------------------------------------------------------------------------------------------------


def _by_kappa(rows: Sequence[Row]) -> dict[float, dict[str, list[Row]]]:
    """Rows by κ, and there by what a depth is called in pictures."""
    found: dict[float, dict[str, list[Row]]] = {}
    for (depth, kappa), own in _points(rows).items():
        found.setdefault(kappa, {})[f"depth $N$ = {depth:g}"] = own
    return dict(sorted(found.items()))


def _columns(rows: Sequence[Row], *names: str) -> list[Floats]:
    return [np.array([row[name] for row in rows], dtype=np.float64) for name in names]


def _picture_of_edge(tables: Tables, title: str) -> Curves:
    """Mean, variance and skewness over d^{−2/3}, with the fits and the Tracy–Widom law's at 0; a row for each κ."""
    furthest = max(tables["edge_limits"], key=lambda row: abs(row["z"]))
    words = (
        "Mean, variance and skewness of the largest singular value, scaled, over the power -2/3 of the width, for each "
        "depth and kappa: lines through them meet at 0 where the Tracy-Widom law has them. The furthest, the "
        f"{furthest['quantity']} at {analysis.name_of(furthest)}, is {abs(furthest['z']):.1f} standard errors away."
    )
    picture = Curves(f"{title}: the largest singular value and the Tracy\u2013Widom law of index 1", words, columns=3)
    for kappa, by_depth in _by_kappa(_narrow(tables["edges"])).items():
        for name, exact in tracy_widom().items():
            panel = picture.panel(f"{name}, $\\kappa$ = {kappa:g}", "$d^{-2/3}$", f"{name}, scaled")
            for index, (label, rows) in enumerate(by_depth.items()):
                width, value, error = _columns(rows, "width", name, f"{name}_error")
                place, fit = width ** (-2.0 / 3.0), _edge_fit(rows, name)
                panel.points(place + 0.0012 * (index - 1), value, error, label=label)
                line = np.array([0.0, place.max()])
                panel.line(line, float(fit.limit) + float(fit.factors[0]) * line, label=label)
            panel.points([0.0], [exact], label="Tracy\u2013Widom law", color=EXACT)
    return picture


def _picture_of_bulk(tables: Tables) -> Curves:
    """Spacing ratios over the width, and number variances of the largest width over the length; a row for each κ."""
    widest = max(row["width"] for row in tables["bulk"])
    words = (
        "Left: the mean spacing ratio in the middle half over the width, on that of the Gaussian orthogonal ensemble "
        f"(GOE). Right: the variance of the number of levels in an interval over its length, at width {widest}, over "
        "that of the ensemble."
    )
    picture = Curves("The bulk and the Gaussian orthogonal ensemble (GOE)", words, columns=2)
    local = _by_kappa(tables["bulk"])
    for kappa, by_depth in _by_kappa(tables["members"]).items():
        left = picture.panel(f"$\\kappa$ = {kappa:g}", "width $d$", "mean spacing ratio", xscale="log")
        right = picture.panel(
            f"$\\kappa$ = {kappa:g}, the largest width",
            "length $L$ in mean spacings",
            "number variance over GOE",
            xscale="log",
        )
        for index, (label, rows) in enumerate(by_depth.items()):
            apart = 1.03 ** (index - 1)
            width, value, error = _columns(rows, "width", "spacing_ratio", "spacing_error")
            left.points(width * apart, value, error, label=label)
            own = [row for row in local[kappa][label] if row["width"] == rows[-1]["width"]]
            length, value, error, exact = _columns(own, "length", "number_variance", "number_variance_error", "exact")
            right.points(length * apart, value / exact, error / exact, label=label)
            left.line(width[[0, -1]], [laws.mean_spacing_ratio(1)] * 2, label="GOE", color=EXACT)
            right.line(length[[0, -1]], [1.0, 1.0], label="GOE", color=EXACT)
    return picture


def _picture_of_smallest(tables: Tables) -> Curves:
    """Medians of the smallest singular value over the width, and those of its u; a row for each κ."""
    furthest = max(tables["smallest_rates"], key=lambda row: abs(row["rate"] - row["exact"]))
    words = (
        "Left: the median of the smallest singular value over the width, on lines of the exact exponents: the deeper, "
        f"the steeper where kappa is above 1/2. The furthest is {furthest['rate']:.3f} ± {furthest['rate_error']:.3f} "
        f"for {furthest['exact']:.3f}, at {analysis.name_of(furthest)}. Right: the median of u = d F, which settles."
    )
    picture = Curves("The hard edge: the smallest singular value", words, columns=2)
    for kappa, by_depth in _by_kappa(tables["smallest"]).items():
        left = picture.panel(
            f"$\\kappa$ = {kappa:g}", "width $d$", "median of $\\sigma_d\\sqrt{\\beta/d}$", "log", "log"
        )
        right = picture.panel(f"$\\kappa$ = {kappa:g}", "width $d$", "median of $u=d\\,F$", "log")
        for label, rows in by_depth.items():
            width, value, error = _columns(rows, "width", "median", "median_error")
            left.points(width, value, error, label=label)
            p = laws.singular_values(rows[0]["depth"], kappa).hard_edge_exponent
            slope = value[-1] * (width / width[-1]) ** (-0.5 / p)
            left.line(width, slope, label="$d^{-1/(2p)}$", dashed=True, color=EXACT)
            _, u, u_error = _columns(rows, "width", "median_u", "median_u_error")
            right.points(width, u, u_error, label=label)
    return picture


def _densities(tree: xr.DataTree, title: str) -> Any:
    """Densities on their laws, of the largest width."""
    if "width" in tree.dims:
        tree = tree.isel(width=-1)
    words = f"{title}: histograms of the singular values at equilibrium on the law for infinite width, residuals below."
    return results.of_equilibrium(tree)._replace(words=words)


def _picture_of_rates(tables: Tables) -> Curves:
    """Kolmogorov distances over the width."""
    slowest = min(tables["rates"], key=lambda row: float(row["rate"]))
    fastest = max(tables["rates"], key=lambda row: float(row["rate"]))
    words = (
        "The Kolmogorov distance of the singular values to the law for infinite width, over the width: it falls like a "
        f"power, from {slowest['rate']:.3f} ± {slowest['rate_error']:.3f} ({analysis.name_of(slowest)}) to "
        f"{fastest['rate']:.3f} ± {fastest['rate_error']:.3f} ({analysis.name_of(fastest)})."
    )
    picture = Curves("How the law is approached as $d\\to\\infty$", words, columns=2)
    for kappa, by_depth in _by_kappa(_narrow(tables["members"])).items():
        panel = picture.panel(f"$\\kappa$ = {kappa:g}", "width $d$", "Kolmogorov distance", "log", "log")
        for label, rows in by_depth.items():
            panel.points(*_columns(rows, "width", "ks", "ks_error"), label=label)
        width, value = _columns([row for rows in by_depth.values() for row in rows], "width", "ks")
        ends = np.array([width.min(), width.max()])
        panel.line(ends, 1.2 * value.max() * ends[0] / ends, label="$1/d$", dashed=True, color=REFERENCE)
    return picture
