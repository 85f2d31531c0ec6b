"""The law of the smallest singular values as the width grows, at the hard edge: new for depths N ≥ 2 and κ ≠ ½.

With F the law of one singular value as d → ∞, u = d F(σ√(β/d)) of the smallest ones has a limit law. Near 0 the density
of section 4 of the model is, in y = σ² = s t with a small s, that of a point process without any scale,

    Π |t_i − t_j|^c |t_i^{1/N} − t_j^{1/N}|^{1−c} Π t_k^{1/(2N)−1} dt_k,   c = 1/(2κ),

since the energy is smooth in y. It depends on N and κ alone, and s only on the density of points; F ~ y^p measures it.
So the law of u depends on (N, κ). At N = 1, and at κ = ½ for every N, it is that of the β = 1 Bessel class with weight
t^{1/(2N)−1}. The smallest λ = σ^{1/N} has a finite density at 0, as nothing holds it off; hence P(u < s) ~ s^e with
e = 1/(2pN). The Bessel class of that exponent is κ = ½ at depth 2pN, from which exact draws are made.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field
from typing_extensions import override

from dlnmc import analysis, dataset, laws, statistics
from dlnmc.config import Equilibrium, Run
from dlnmc.errors import InvalidValue
from dlnmc.exact_sampling import exact
from dlnmc.models import DeepLinearNetwork
from dlnmc.plotting import EXACT, REFERENCE, Curves
from dlnmc.statistics.estimates import finite_paths
from dlnmc.studies.base import WHOLE, Kind, Parts, Picture, Row, Tables, Verdict, check_one

Floats = NDArray[np.float64]
Point = tuple[float, float]  # depth and κ

GRID = np.concatenate([[0.005, 0.01, 0.02, 0.03, 0.04], np.arange(1, 81) / 20.0])  # of u, where its law is tabulated
RANKS = 3  # smallest singular values
LEVELS = {"lower_quartile": 0.25, "median": 0.5, "upper_quartile": 0.75}
POWER = (1.0,)  # of 1/d, by which laws approach their limits
FEWEST_WIDTHS = 3
STANDARD_ERRORS = 5.0
AGAINST = {"depth": "the Bessel class of the same depth", "exponent": "the Bessel class of the same exponent"}
EDGES = np.arange(0, 41) / 10.0  # of the bins in which its density is
TOLD = 0.1  # a difference of distribution functions that enough paths tell
SEEN = 2.5  # standard errors that a density has where it is drawn


class Fluctuations(Kind):
    """The `[study]` table.

    Parameters
    ----------
    title
        What pictures are headed by.
    finite_width
        How far a distribution function, or a mean of u, may be from what the fit in 1/d makes of it, beside five
        standard errors: terms beyond 1/d.
    tail
        The exponent at 0 is read from values of u below which this part of them lies.
    exponent
        How far it may be from the exact one, beside five standard errors: u is not small enough for the power alone.
    exact_paths
        Number of exact draws, of each width, that stand for a Bessel class.
    exact_seed
        Their seed.
    """

    PARTS: ClassVar = {WHOLE: Equilibrium}
    BRIEF: ClassVar = frozenset()
    COLUMNS: ClassVar = {
        "rank": "which of the smallest, from 1",
        "mean": "the mean of u = d F(σ √(β/d)), F the distribution function of the law",
        "below_one": "the probability that u < 1",
        "lower_quartile": "the u of probability 1/4",
        "median": "the u of probability 1/2",
        "upper_quartile": "the u of probability 3/4",
        "largest_residual": "the largest distance of a distribution function from the line in 1/d",
        "residual_z": "the standard errors that chance exceeds with probability 1e-6",
        "residual_beyond": "by how much a residual is more than so many standard errors",
        "exponent": "the e of P(u_1 < s) ~ s^e, as measured",
        "exponent_exact": "the exact e",
        "z": "measured less exact exponent, in standard errors",
        "law_exponent": "the p of the law near 0, F ~ λ^p with λ = σ²",
        "against": "the Bessel class with which it is compared: of the same depth, or of the same exponent e",
        "bessel_depth": "the depth at which κ = 1/2 is of that class",
        "distance": "the largest difference of distribution functions",
        "at_u": "where the difference is largest",
        "most_errors": "the largest difference in standard errors",
        "chance_errors": "what chance exceeds with probability 1e-6 at most",
        "mean_difference": "the difference of the means of u",
        "allowed": "what chance exceeds with probability 1e-6 at most",
        "u": "the place of the distribution function",
        "cdf": "P(u_k < u) for d → ∞",
        "bessel_of_depth_cdf": "the same of the Bessel class of the same depth",
        "bessel_of_exponent_cdf": "the same of the Bessel class of the same exponent",
        "low": "where the bin begins",
        "high": "where it ends",
        "density": "the density of u_k in the bin for d → ∞",
        "bessel_of_depth_density": "the same of the Bessel class of the same depth",
        "bessel_of_exponent_density": "the same of the Bessel class of the same exponent",
    }

    kind: Literal["fluctuations"] = "fluctuations"
    title: str = "The hard edge"
    finite_width: float = Field(default=0.01, gt=0, lt=1)
    tail: float = Field(default=0.1, gt=0, lt=1)
    exponent: float = Field(default=0.02, gt=0, lt=1)
    exact_paths: int = Field(default=65536, ge=2, le=2**24)
    exact_seed: int = Field(default=7, ge=0, lt=2**63)

    @override
    def check(self, runs: Mapping[str, Sequence[Run]]) -> None:
        """Raise InvalidValue where there are too few widths, no states are kept, or there is no hard edge."""
        models: list[Any] = [run.model for run in runs[WHOLE]]
        widths = sorted({model.size for model in models})
        if len(widths) < FEWEST_WIDTHS or widths[0] < RANKS:
            raise InvalidValue(
                f"model.width = {widths}: the limit of large widths takes {FEWEST_WIDTHS} or more, from {RANKS} on"
            )
        for run, model in zip(runs[WHOLE], models, strict=True):
            if not isinstance(model, DeepLinearNetwork) or model.energy.kind != "quadratic" or not run.keep_samples:
                raise InvalidValue("model, run: a study of fluctuations takes quadratic energy, and keeps samples")
        check_one(WHOLE, runs[WHOLE], "beta", "clock")
        for model in models:
            law = laws.singular_values(model.depth, model.kappa)
            if not 0.0 < law.hard_edge_exponent < math.inf:
                raise InvalidValue(
                    f"depth = {model.depth:g}, kappa = {model.kappa:g}: no law with a power at 0, and so no hard edge"
                )

    # --- tables -------------------------------------------------------------------------------------------------------

    @override
    def tables(self, parts: Parts) -> Tables:
        members = list(dataset.members(parts[WHOLE]))
        measured = _points(members)
        limits = {point: _limit(own) for point, own in measured.items()}
        widths = [row for member in members for row in self._rows_of_width(member)]
        bessel = {point: self._bessel_limits(point, list(own)) for point, own in measured.items()}
        return {
            "limits": [
                row | _stationarity(widths, point)
                for point, own in limits.items()
                for row in _rows_of_limit(point, own)
            ],
            "exponents": [self._exponent(point, own) for point, own in measured.items()],
            "comparisons": [
                row for point, own in limits.items() for row in _rows_of_comparison(point, own, bessel[point])
            ],
            "widths": widths,
            **{
                name: [
                    row for point, own in limits.items() for row in _rows_of_function(point, name, own, bessel[point])
                ]
                for name in ("cdf", "density")
            },
        }

    def _exact(self, depth: float, width: int) -> Floats:
        """Exact u (path, 1, rank) of κ = ½."""
        return _exact_draws(depth, width, self.exact_paths, self.exact_seed)

    def _bessel_limits(self, point: Point, widths: Sequence[int]) -> dict[str, "Limit"]:
        """The limits of the Bessel classes that (N, κ) is held against, by exact draws at the same widths."""
        depths = {"depth": point[0]}
        if not _known(point):
            depths["exponent"] = depth_of_same_exponent(*point)
        return {
            name: _bessel_limit(depth, tuple(widths), self.exact_paths, self.exact_seed)
            for name, depth in depths.items()
        }

    def _exponent(self, point: Point, measured: Mapping[int, Floats]) -> Row:
        """The exponent at 0, of every width: there λ has a finite density at every d, so that all widths count."""
        found = [_hill(u[..., 0], self.tail) for u in measured.values()]
        weight = np.array([1.0 / own.error**2 for own in found])
        value = float(np.average([own.value for own in found], weights=weight))
        known = exponent(*point)
        error = float(weight.sum() ** -0.5)
        row = {"exponent": value, "exponent_error": error, "exponent_exact": known, "z": (value - known) / error}
        return _head(point) | row | {"law_exponent": laws.singular_values(*point).hard_edge_exponent}

    def _rows_of_width(self, member: xr.DataTree) -> list[Row]:
        """Means of u at one width, and how far its law is from what is known exactly."""
        model: Any = dataset.model_of(member)
        u = unfolded(member)
        known = _known((model.depth, model.kappa))
        rows, head = [], analysis.head(member)
        for rank in range(RANKS):
            row = head | {"rank": rank + 1}
            row["mean"], row["mean_error"] = statistics.mean_over_paths(u[..., rank].mean(axis=1))
            row["below_one"], row["below_one_error"] = statistics.mean_over_paths((u[..., rank] < 1.0).mean(axis=1))
            row["distance"] = row["distance_error"] = row["allowed"] = None
            if known:
                other = self._exact(model.depth, model.width)
                between = statistics.kolmogorov_between(u[..., rank], other[..., rank])
                row["distance"], row["distance_error"] = between
                row["allowed"] = statistics.kolmogorov_bound(
                    len(u), len(other), analysis.FALSE_ALARM, values_per_path=u.shape[1]
                )
            rows.append(row)
        return rows

    # --- checks -------------------------------------------------------------------------------------------------------

    @override
    def checks(self, parts: Parts, tables: Tables) -> Iterator[Verdict]:
        """What every equilibrium is held against; exact laws at each width and in the limit; that widths agree."""
        for member in dataset.members(parts[WHOLE]):
            name = analysis.name_of(analysis.head(member))
            for text, holds in analysis.checks(member):
                yield f"{name}: {text}", holds
            if dataset.parameters(dataset.model_of(member))["depth"] == 1.0:
                text, holds = _edelman(member)
                yield f"{name}: {text}", holds
        for row in tables["widths"]:
            if row["distance"] is not None:
                text = f"distance {row['distance']:.4f} of u_{row['rank']} from exact draws"
                yield (
                    f"{analysis.name_of(row)}: {text} (at most {row['allowed']:.4f})",
                    row["distance"] <= row["allowed"],
                )
        for row in tables["limits"]:
            text = f"P(u_{row['rank']} < s) leaves a line in 1/width by up to {row['largest_residual']:.4f}, by "
            text += f"{row['residual_beyond']:.4f} more than {row['residual_z']:.2f} standard errors"
            yield f"{_name(row)}: {text} (at most {self.finite_width:g})", row["residual_beyond"] <= self.finite_width
        for row in tables["exponents"]:
            off = abs(row["exponent"] - row["exponent_exact"])
            allowed = self.exponent + STANDARD_ERRORS * row["exponent_error"]
            text = f"P(u_1 < s) ~ s^{row['exponent']:.4f} ± {row['exponent_error']:.4f}"
            yield f"{_name(row)}: {text} (within {allowed:.4f} of {row['exponent_exact']:.4f})", off <= allowed
        yield from self._checks_of_limits(tables)

    def _checks_of_limits(self, tables: Tables) -> Iterator[Verdict]:
        """Where the limit is known it is what was found; where it is new it is not that of the same depth."""
        for row in tables["comparisons"]:
            text = f"P(u_{row['rank']} < s) is {row['distance']:.4f} ± {row['distance_error']:.4f} from "
            text += f"{AGAINST[row['against']]}, at most {row['most_errors']:.1f} standard errors"
            if _known((row["depth"], row["kappa"])):
                allowed = self.finite_width + row["chance_errors"] * row["distance_error"]
                yield f"{_name(row)}: {text} (distance at most {allowed:.4f})", row["distance"] <= allowed
            elif row["against"] == "depth" and row["rank"] == 1:
                least = self.finite_width + row["chance_errors"] * row["distance_error"]
                found = row["distance"] >= least
                told: bool | None = None if not found and least > TOLD else found  # None: too few paths to tell
                yield f"{_name(row)}: {text} (distance at least {least:.4f}: another law)", told
        for point in {(row["depth"], row["kappa"]) for row in tables["cdf"] if row["depth"] == 1.0}:
            rows = [row for row in tables["cdf"] if (row["depth"], row["kappa"], row["rank"]) == (*point, 1)]
            z = statistics.largest_z(len(rows), 10**6, analysis.FALSE_ALARM)
            excess = max(abs(row["cdf"] - edelman_cdf(row["u"])) - z * row["cdf_error"] for row in rows)
            text = f"P(u_1 < s) exceeds {z:.2f} standard errors about Edelman's limit by {max(excess, 0.0):.4f}"
            yield f"depth 1, kappa {point[1]:g}: {text} (at most {self.finite_width:g})", excess <= self.finite_width

    # --- pictures -----------------------------------------------------------------------------------------------------

    @override
    def pictures(self, parts: Parts, tables: Tables) -> dict[str, Picture]:
        kappas = sorted({row["kappa"] for row in tables["cdf"]} - {0.5}, key=lambda kappa: abs(math.log(kappa)))
        found: dict[str, Picture] = {}
        if kappas:
            found["densities"] = _picture_of_densities(tables, kappas[0], self.title)
            if any(row["kappa"] == kappas[0] and row["against"] == "exponent" for row in tables["comparisons"]):
                found["differences"] = _picture_of_differences(tables, kappas[0])
        found["exponents"] = _picture_of_exponents(tables)
        return found


def exponent(depth: float, kappa: float) -> float:
    """The e of P(u < s) ~ s^e for the smallest u: λ has a finite density at 0, and u ~ λ^{2pN}."""
    return 1.0 / depth_of_same_exponent(depth, kappa)


def depth_of_same_exponent(depth: float, kappa: float) -> float:
    """The depth 2pN at which κ = ½ has the same exponent at 0 as (N, κ): there p = ½."""
    return 2.0 * float(laws.singular_values(depth, kappa).hard_edge_exponent) * depth


def edelman_cdf(u: float | Floats) -> float | Floats:
    """P(u_1 < s) as d → ∞ at depth 1, from Edelman's (1988) 1 − e^{−t/2−√t} with u = (2/π) √t."""
    root = 0.5 * math.pi * np.asarray(u)
    found = -np.expm1(-root - 0.5 * root**2)
    return float(found) if found.ndim == 0 else np.asarray(found)


def unfolded(member: xr.DataTree) -> Floats:
    """The three smallest u = d F(σ√(β/d)) (path, draw, rank), ascending, of the paths that did not fail."""
    model: Any = dataset.model_of(member)
    values = analysis.states(member)
    if values is None:
        raise InvalidValue("the result holds no states: a study of fluctuations keeps samples")
    sound = finite_paths(values, least=2)
    return _unfolded(laws.scaled(sound[..., :RANKS], model), model)


def _unfolded(scaled: Floats, model: DeepLinearNetwork) -> Floats:
    return np.asarray(model.width * laws.singular_values(model.depth, model.kappa).cdf(scaled))


@lru_cache(maxsize=256)
def _exact_draws(depth: float, width: int, paths: int, seed: int) -> Floats:
    """Exact u (path, 1, rank) at κ = ½; those of another depth and width are independent of them."""
    model = DeepLinearNetwork(width=width, depth=depth, beta=float(width), kappa=0.5)
    drawn = exact(model, paths=paths, seed=seed + round(1e6 * depth) * 2**12 + width)
    values = np.sort(drawn["singular_values"].to_numpy(), axis=1)[:, np.newaxis, :RANKS]
    return _unfolded(laws.scaled(values, model), model)


@lru_cache(maxsize=256)
def _bessel_limit(depth: float, widths: tuple[int, ...], paths: int, seed: int) -> "Limit":
    return _limit({width: _exact_draws(depth, width, paths, seed) for width in widths})


def _points(members: Sequence[xr.DataTree]) -> dict[Point, dict[int, Floats]]:
    """The unfolded values of each (depth, κ), by width."""
    found: dict[Point, dict[int, Floats]] = {}
    for member in members:
        model: Any = dataset.model_of(member)
        found.setdefault((model.depth, model.kappa), {})[model.width] = unfolded(member)
    return found


# --- limits of large widths -------------------------------------------------------------------------------------------


class Limit(NamedTuple):
    """The fits to the limit: distribution functions (rank, u) on the grid, densities (rank, bin), means (rank,)."""

    cdf: statistics.AtInfinity
    density: statistics.AtInfinity
    mean: statistics.AtInfinity
    paths: int


def _limit(measured: Mapping[int, Floats]) -> Limit:
    """The limit of values (path, draw, rank) by width; errors are those of independent paths.

    Where means scatter about a line in 1/d more than errors explain, all errors of the rank are larger by √misfit.
    """
    cdf, density, mean = ([function(u) for u in measured.values()] for function in (_cdf, _density, _mean))

    def fit(own: list[tuple[Floats, Floats]]) -> statistics.AtInfinity:
        return statistics.at_infinity(list(measured), [value for value, _ in own], [error for _, error in own], POWER)

    fits = [fit(own) for own in (cdf, density, mean)]
    scatter = np.sqrt(np.fmax(1.0, fits[-1].misfit))  # of widths about the line, for each rank
    wider = [own._replace(error=(own.error.T * scatter).T) for own in fits]
    return Limit(wider[0], wider[1], wider[2], min(map(len, measured.values())))


def _cdf(u: Floats) -> tuple[Floats, Floats]:
    """Distribution functions (rank, place) on the grid of values (path, draw, rank), and their standard errors.

    The square of a path's share below a place is the mean over pairs of its draws of "both are below", which says that
    the larger one is.
    """
    both = np.maximum(u[:, :, None], u[:, None, :])

    def below(values: Floats) -> Floats:
        place = np.searchsorted(GRID, values.reshape(-1, RANKS), side="right")
        counts = [np.bincount(place[:, rank], minlength=len(GRID) + 1)[:-1] for rank in range(RANKS)]
        return np.cumsum(counts, axis=1) / len(place)

    return _with_error(below(u), below(both), len(u))


def _density(u: Floats) -> tuple[Floats, Floats]:
    """Densities (rank, bin) of values (path, draw, rank), and their standard errors; pairs count that share a bin."""
    bins = len(EDGES) - 1
    place = np.minimum(np.searchsorted(EDGES, u, side="right") - 1, bins)
    same = np.where(place[:, :, None] == place[:, None, :], place[:, :, None], bins)

    def share(places: NDArray[np.int64]) -> Floats:
        columns = places.reshape(-1, RANKS).T
        return np.array([np.bincount(column, minlength=bins + 1)[:bins] / len(column) for column in columns])

    value, error = _with_error(share(place), share(same), len(u))
    return value / np.diff(EDGES), error / np.diff(EDGES)


def _mean(u: Floats) -> tuple[Floats, Floats]:
    """Means (rank,) of values (path, draw, rank), and their standard errors."""
    by_path = u.mean(axis=1)
    return by_path.mean(axis=0), by_path.std(axis=0, ddof=1) / math.sqrt(len(u))


def _with_error(mean: Floats, square: Floats, paths: int) -> tuple[Floats, Floats]:
    """Means over paths with standard errors, from mean squares; where all paths agree, the next may not."""
    variance = np.maximum(square - mean**2, 0.0) / (paths - 1.0)
    return mean, np.maximum(np.sqrt(variance), 1.0 / paths)


def _rows_of_limit(point: Point, limit: Limit) -> list[Row]:
    """Figures of the limit law of each of the smallest u."""
    rows, z = [], statistics.largest_z(GRID.size, limit.paths - 1, analysis.FALSE_ALARM)
    at_one = int(np.searchsorted(GRID, 1.0))
    for rank in range(RANKS):
        row = _head(point) | {"rank": rank + 1}
        row |= {"mean": float(limit.mean.limit[rank]), "mean_error": float(limit.mean.error[rank])}
        row["misfit"] = float(limit.mean.misfit[rank])
        row |= {
            "below_one": float(limit.cdf.limit[rank, at_one]),
            "below_one_error": float(limit.cdf.error[rank, at_one]),
        }
        for name, level in LEVELS.items():
            row[name], row[f"{name}_error"] = _quantile(limit, rank, level) or (None, None)
        residual, error = np.abs(limit.cdf.residuals[:, rank]), limit.cdf.residual_errors[:, rank]
        row |= {"largest_residual": float(residual.max()), "residual_z": z}
        row["residual_beyond"] = max(0.0, float(np.max(residual - z * error)))
        rows.append(row)
    return rows


def _stationarity(widths: Sequence[Row], point: Point) -> Row:
    """The verdict on the least stationary of the runs of which a limit was made."""
    rows = [row for row in widths if (row["depth"], row["kappa"]) == point and row.get("stationary") is not None]
    if not rows:
        return {}
    worst = max(rows, key=lambda row: row["largest_z"] / row["allowed_z"])
    return {name: worst[name] for name in ("stationary", "largest_z", "allowed_z")}


def _quantile(limit: Limit, rank: int, level: float) -> statistics.Estimate | None:
    """A quantile, by interpolation, with the error of the distribution function over the density; None off the grid."""
    u = np.concatenate([[0.0], GRID])
    cdf = np.concatenate([[0.0], np.maximum.accumulate(limit.cdf.limit[rank])])
    at = int(np.searchsorted(cdf, level))
    if not 0 < at < len(u):
        return None
    rise = cdf[at] - cdf[at - 1]
    place = u[at - 1] + (u[at] - u[at - 1]) * (level - cdf[at - 1]) / rise
    slope = rise / (u[at] - u[at - 1])
    return statistics.Estimate(float(place), float(limit.cdf.error[rank, at - 1] / slope))


def _rows_of_comparison(point: Point, limit: Limit, bessel: Mapping[str, Limit]) -> list[Row]:
    """How far the limit is from Bessel classes: the largest difference of distribution functions, and of z."""
    rows = []
    for against, other in bessel.items():
        off = np.abs(limit.cdf.limit - other.cdf.limit)
        error = np.hypot(limit.cdf.error, other.cdf.error)
        z = statistics.largest_z(GRID.size, min(limit.paths, other.paths) - 1, analysis.FALSE_ALARM)
        for rank in range(RANKS):
            worst = int(np.argmax(off[rank]))
            row = _head(point) | {"rank": rank + 1, "against": against}
            row["bessel_depth"] = point[0] if against == "depth" else depth_of_same_exponent(*point)
            row |= {"distance": float(off[rank, worst]), "distance_error": float(error[rank, worst])}
            row |= {
                "at_u": float(GRID[worst]),
                "most_errors": float(np.max(off[rank] / error[rank])),
                "chance_errors": z,
            }
            between = limit.mean.limit[rank] - other.mean.limit[rank]
            row["mean_difference"] = float(between)
            row["mean_difference_error"] = float(np.hypot(limit.mean.error[rank], other.mean.error[rank]))
            rows.append(row)
    return rows


def _rows_of_function(point: Point, name: str, limit: Limit, bessel: Mapping[str, Limit]) -> list[Row]:
    """The reference data: distribution functions on the grid, or densities in bins, with those of Bessel classes."""
    laws_of = {"": limit} | {f"bessel_of_{against}_": other for against, other in bessel.items()}
    places = [{"u": float(u)} for u in GRID]
    if name == "density":
        places = [{"low": float(low), "high": float(high)} for low, high in pairwise(EDGES)]
    rows = []
    for rank in range(RANKS):
        for k, place in enumerate(places):
            row = _head(point) | {"rank": rank + 1} | place
            for prefix, own in laws_of.items():
                fit = getattr(own, name)
                row[f"{prefix}{name}"] = float(fit.limit[rank, k])
                row[f"{prefix}{name}_error"] = float(fit.error[rank, k])
            rows.append(row)
    return rows


def _hill(u: Floats, tail: float) -> statistics.Estimate:
    """The exponent e of P(u < s) ~ s^e from values (path, draw): 1/mean of log(s/u) over u < s (Hill 1975).

    s is the quantile of the level `tail`; the error is that of independent paths.
    """
    s = float(np.quantile(u, tail))
    below = u < s
    logs = np.where(below, np.log(s / np.maximum(u, np.finfo(np.float64).tiny)), 0.0).sum(axis=1)
    number = below.sum(axis=1)
    value = number.sum() / logs.sum()
    influence = (number - value * logs) / logs.mean()
    return statistics.Estimate(float(value), statistics.mean_over_paths(influence).error)


def _edelman(member: xr.DataTree) -> Verdict:
    """The last states' smallest singular values against Edelman's exact law at their width."""
    model: Any = dataset.model_of(member)
    u = unfolded(member)[:, -1, :1]
    smallest = laws.singular_values(1.0, model.kappa).ppf(u / model.width) * math.sqrt(model.width / model.beta)
    law = laws.smallest_singular_value(model.width)
    distance = statistics.kolmogorov_distance(laws.at_hard_edge(smallest, model), law).value
    allowed = statistics.one_sample_bound(len(u), analysis.FALSE_ALARM)
    return f"distance {distance:.4f} of u_1 from Edelman's law (at most {allowed:.4f})", distance <= allowed


def _known(point: Point) -> bool:
    """Whether the law is that of a Bessel class."""
    return point[0] == 1.0 or point[1] == 0.5


def _head(point: Point) -> Row:
    return {"depth": point[0], "kappa": point[1]}


def _name(row: Row) -> str:
    return analysis.name_of(row)


# --- pictures ---------------------------------------------------------------------------------------------------------


def _of(table: Sequence[Row], depth: float, kappa: float, rank: int) -> dict[str, Floats]:
    """Columns of the reference data of one law."""
    rows = [row for row in table if (row["depth"], row["kappa"], row["rank"]) == (depth, kappa, rank)]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _picture_of_densities(tables: Tables, kappa: float, title: str) -> Curves:
    """A panel for each depth: the density of u_1 as a band, and those of Bessel classes."""
    depths = sorted({row["depth"] for row in tables["density"] if row["kappa"] == kappa})
    new = [row for row in tables["limits"] if row["kappa"] == kappa and row["rank"] == 1]
    below = ", ".join(f"{row['below_one']:.3f} at depth {row['depth']:g}" for row in new)
    words = (
        f"The density of the smallest u = d F at kappa {kappa:g} as d grows, a band for each depth: the deeper, the "
        f"more it gathers at 0. P(u < 1) is {below}. At depth 1 it is Edelman's law; beyond, it leaves the law of "
        f"kappa 1/2 at the same depth by {_distances(tables, kappa, 'depth')}, and that of the Bessel class with the "
        f"same exponent at 0 by {_distances(tables, kappa, 'exponent')} (largest differences of their functions)."
    )
    picture = Curves(f"{title}: the smallest of $u = d\\,F(\\sigma)$ as $d\\to\\infty$", words, columns=2)
    for depth in depths:
        own = _of(tables["density"], depth, kappa, 1)
        seen = np.cumsum(own["density"] < SEEN * own["density_error"]) == 0
        u, value, error = (
            column[seen] for column in (0.5 * (own["low"] + own["high"]), own["density"], own["density_error"])
        )
        panel = picture.panel(f"depth $N$ = {depth:g}", "$u$", "density", yscale="log")
        label = f"$\\kappa$ = {kappa:g}, \u00b12 standard errors"
        panel.band(u, value - 2.0 * error, value + 2.0 * error, label=label)
        if depth == 1.0:
            edelman = np.diff(edelman_cdf(EDGES))[seen] / np.diff(EDGES)[seen]
            panel.line(u, edelman, label="Edelman's law", dashed=True, color=EXACT)
            continue
        panel.line(u, own["bessel_of_depth_density"][seen], label="$\\kappa$ = ½: same depth", color=EXACT)
        same = own["bessel_of_exponent_density"][seen]
        panel.line(u, same, label="$\\kappa$ = ½: same exponent at 0", dashed=True, color=REFERENCE)
    return picture


def _distances(tables: Tables, kappa: float, against: str) -> str:
    """How far u_1 is from a Bessel class at each depth where it is new, in words."""
    rows = [
        row
        for row in tables["comparisons"]
        if row["kappa"] == kappa and row["against"] == against and row["rank"] == 1 and row["depth"] != 1.0
    ]
    return ", ".join(f"{row['distance']:.3f} ± {row['distance_error']:.3f} at depth {row['depth']:g}" for row in rows)


def _picture_of_differences(tables: Tables, kappa: float) -> Curves:
    """Distribution functions less those of the Bessel class of the same exponent, a panel for each depth."""
    depths = sorted({row["depth"] for row in tables["cdf"] if row["kappa"] == kappa})
    rows = [row for row in tables["comparisons"] if row["kappa"] == kappa and row["against"] == "exponent"]
    far = max(rows, key=lambda row: row["most_errors"])
    words = (
        f"Distribution functions of the three smallest u at kappa {kappa:g} less those of the Bessel class with the "
        f"same exponent at 0. The furthest from 0 is u_{far['rank']} at depth {far['depth']:g}, by "
        f"{far['distance']:.3f} ± {far['distance_error']:.3f}, at most {far['most_errors']:.1f} standard errors."
    )
    title = f"$P(u_k < s)$ at $\\kappa$ = {kappa:g} less the Bessel class of the same exponent, $d\\to\\infty$"
    picture = Curves(title, words, columns=2)
    for depth in depths:
        panel = picture.panel(f"depth $N$ = {depth:g}", "$s$", "difference")
        for rank in range(1, RANKS + 1):
            own = _of(tables["cdf"], depth, kappa, rank)
            other = "bessel_of_depth_cdf" if depth == 1.0 else "bessel_of_exponent_cdf"  # which is the same there
            off = own["cdf"] - own[other]
            error = 2.0 * np.hypot(own["cdf_error"], own[f"{other}_error"])
            panel.band(own["u"], off - error, off + error, label=f"$u_{rank}$, \u00b12 standard errors")
        panel.line(GRID[[0, -1]], np.zeros(2), label="no difference", dashed=True, color=REFERENCE)
    return picture


def _picture_of_exponents(tables: Tables) -> Curves:
    """The exponents at 0 over the depth, with the exact ones."""
    rows = tables["exponents"]
    worst = max(rows, key=lambda row: abs(row["z"]))
    words = (
        "The exponent e of P(u_1 < s) ~ s^e over the depth, for each kappa, on the exact 1/(2pN): it falls with the "
        f"depth, the slower the larger kappa is. The furthest is {abs(worst['z']):.1f} standard errors away."
    )
    picture = Curves("$P(u_1 < s) \\sim s^e$: nothing holds the smallest $\\lambda$ off 0", words)
    panel = picture.panel("", "depth $N$", "exponent $e$", xscale="log")
    for kappa in sorted({row["kappa"] for row in rows}):
        own = sorted((row for row in rows if row["kappa"] == kappa), key=lambda row: row["depth"])
        depth, value, error = (np.array([row[name] for row in own]) for name in ("depth", "exponent", "exponent_error"))
        panel.points(depth, value, error, label=f"$\\kappa$ = {kappa:g}")
        line = np.geomspace(depth[0], depth[-1], 33)
        panel.line(line, [exponent(N, kappa) for N in line], label="exact, $1/(2pN)$", color=EXACT)
    return picture
