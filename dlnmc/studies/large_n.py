"""Great depth: which singular values survive N → ∞ at fixed width, and the approach to the Dykema–Haagerup law with it.

At infinite depth there is an equilibrium for κ < (d − 1)/(2d). At and above it log σ_d leaves the others for ever, as a
Bessel process of the dimension δ = 1 + (d − 1)(1 − 1/(2κ)) ≥ 0 (`dlnmc.laws.bessel_dimension`). Three kinds of evidence
are set beside that threshold: the equilibria of finite depths, which settle or lose σ_d as the depth grows; the power
law of log σ_d at the equilibrium of infinite depth; and paths at infinite depth.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field
from typing_extensions import override

from dlnmc import analysis, dataset, laws, statistics
from dlnmc.config import Equilibrium, Run, Simulation
from dlnmc.engine import scale
from dlnmc.errors import InvalidValue
from dlnmc.models import DeepLinearNetwork
from dlnmc.plotting import EXACT, REFERENCE, Curves, results
from dlnmc.studies.base import Kind, Parts, Picture, Row, Tables, Verdict, check_one

Floats = NDArray[np.float64]

FINITE = ("pairs", "depths")  # parts of finite depths at fixed width
STANDARD_ERRORS = 5.0  # chance exceeds them once in 1.7e6 checks
UNDERFLOW = 600.0  # log(σ_1/σ_d) beyond is only known to be beyond: σ_d is 0 in floating point from 700 on
MOST_ALLOWED = 0.2  # of a probability for finite size: where it is more, a check would say nothing
FEWEST_FAR = 100  # states far from the others, for the exponent of their law
LAW_DEPTHS = tuple(2.0**k for k in range(11))  # whose exact laws are held against that of infinite depth
SHOWN_TIMES = tuple(m * 10.0**k for k in range(8) for m in (1, 2, 5))  # of many
MANY_TIMES = 24
FEWEST_WIDTHS = 3  # for a rate with an error
KAPPAS = np.linspace(0.05, 1.1, 211)  # of exact curves

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Ratios(NamedTuple):
    """log(σ_1/σ_d) of a member, infinite where σ_d underflows, and what belongs to it."""

    model: DeepLinearNetwork
    values: Floats

    @property
    def dimension(self) -> float:
        """That of the Bessel process, δ."""
        return laws.bessel_dimension(self.model.width, self.model.kappa)

    def beyond(self, u: float) -> statistics.Estimate:
        """P(log(σ_1/σ_d) > u), with an error that is at least that of a single path."""
        share, n = float(np.mean(self.values > u)), len(self.values)
        return statistics.Estimate(share, math.sqrt(max(share * (1.0 - share), 1.0 / n) / n))


class LargeN(Kind):
    """The `[study]` table.

    Parameters
    ----------
    title
        What pictures and tables are headed by.
    ratio
        σ_d/σ_1 below counts as small. Its logarithm is also the distance r at which σ_d no longer belongs to the
        others: what finite depth and time change is allowed the probability (r/N)^|δ|, or (r/s√τ)^|δ|, s² = 2κ/β.
    far
        The distance of log σ_d from the mean of the others at which their interaction is that of great distances.
    dimension
        What measured dimensions may be off by beside five standard errors, relative to 1 + |δ|: corrections are of
        order 1/far².
    ks
        Largest Kolmogorov distance to the law for d → ∞ at the least width; it may be as much less as the width is
        larger.
    rate
        Largest distance from 1 of the exponent at which that distance falls with the width, beside five standard
        errors.
    """

    PARTS: ClassVar = {
        "pairs": Equilibrium, "depths": Equilibrium, "infinite": Equilibrium, "escape": Simulation,
        "widths": Equilibrium,
    }  # fmt: skip
    COLUMNS: ClassVar = {
        "threshold": "the κ = (d−1)/(2d) from which the smallest singular value is lost",
        "dimension": "δ = 1 + (d−1)(1 − 1/(2κ)), of the Bessel process that log σ_d is far down",
        "survives": "whether infinite depth has an equilibrium",
        "small": "the probability that σ_d/σ_1 is below the `ratio` of the study",
        "lost": "the probability that (σ_d/σ_1)^(2/N) is near 0",
        "lost_limit": "its exact limit as N → ∞",
        "dimension_of_equilibrium": "δ as measured from the tail of the equilibrium of infinite depth",
        "dimension_of_paths": "δ as measured from paths at infinite depth",
        "median": "the median of log(σ_1/σ_d), or of paths that of how far log σ_d is from the others",
        "small_exact": "the exact probability of small, at width 2",
        "lost_exact": "the exact probability of lost, at width 2",
        "exact_distance": "Kolmogorov's distance of log(σ_1/σ_2) to its exact law",
        "limit_distance": "Kolmogorov's distance of (σ_d/σ_1)^(2/N) to its exact limit for N → ∞",
        "far_states": "states so far down that their tail is a power",
        "measured": "δ as measured here",
        "law_distance": "Kolmogorov's distance of u²β/(4κτ) to its limit in time",
        "mean_square": "the mean of u² over 2κτ/β, u how far log σ_d is from the others",
        "ks_deep": "Kolmogorov's distance to the law for infinite depth",
        "edge": "the edge of the law less that for infinite depth",
        "ks_times_depth": "N times ks",
        "w1_times_depth": "N times w1",
        "rate": "the exponent at which it falls with the width",
    }

    kind: Literal["large-n"] = "large-n"
    title: str = "Great depth"
    ratio: float = Field(default=1e-3, gt=0, lt=1)
    far: Positive = 8.0
    dimension: float = Field(default=0.03, ge=0)
    ks: float = Field(default=0.11, gt=0, le=1)
    rate: float = Field(default=0.2, gt=0)

    @property
    def reach(self) -> float:
        """What counts as small, as a distance in log σ."""
        return -math.log(self.ratio)

    def finite_size(self, dimension: float, size: float) -> float:
        """The probability, about, that σ_d is still near where it could go as far as `size`, or that it went there."""
        return float(min(1.0, (self.reach / size) ** abs(dimension)))

    @override
    def check(self, runs: Mapping[str, Sequence[Run]]) -> None:
        """Raise InvalidValue where depths, widths or energies are not those of the parts."""
        for part, own in runs.items():
            for run in own:
                _check_run(part, run)
        check_one("widths", runs["widths"], "beta", "kappa", "clock")
        for run in runs["escape"]:
            assert isinstance(run, Simulation)
            if len(run.times) < 2:
                raise InvalidValue(
                    f"escape.run.times = {list(run.times)}: it takes two or more, for what happens between"
                )

    @override
    def tables(self, parts: Parts) -> Tables:
        depths = [self._depth(member) for part in FINITE for member in dataset.members(parts[part])]
        infinite = [self._infinite(member) for member in dataset.members(parts["infinite"])]
        escape = [self._escape(member) for member in dataset.members(parts["escape"])]
        growth = [row for member in dataset.members(parts["escape"]) for row in self._growth(member)]
        widths = [_width(member) for member in dataset.members(parts["widths"])]
        transition = _transition(depths, infinite, escape)
        found = {"transition": transition, "depths": depths, "infinite": infinite, "escape": escape, "growth": growth}
        return found | {"widths": widths, "rates": _rates(widths), "laws": _laws()}

    def _depth(self, member: xr.DataTree) -> Row:
        """One finite depth: how often σ_d is small, and lost; what both tend to, or exactly are."""
        u = _ratios(member)
        N, kappa = u.model.depth, u.model.kappa
        found = _head(member) | {"dimension": u.dimension}
        found["small"], found["small_error"] = u.beyond(self.reach)
        found["lost"], found["lost_error"] = u.beyond(_lost_at(N))
        found["median"], found["median_error"] = _median(u.values)
        found["lost_limit"] = _lost_limit(u.model.width, kappa)
        if u.dimension > 0.0:
            law = laws.smallest_of_deep(u.model.width, kappa)
            found["limit_distance"] = _distance(u, lambda r: law.cdf(np.exp(-2.0 * r / N)))
        if u.model.width == 2:
            exact = laws.LogRatio(N, kappa)
            found["small_exact"] = float(exact.survival(self.reach))
            found["lost_exact"] = float(exact.survival(_lost_at(N)))
            found["exact_distance"] = _distance(u, exact.survival)
        return found

    def _infinite(self, member: xr.DataTree) -> Row:
        """The equilibrium at infinite depth: how often σ_d is small, and the dimension by its power law."""
        u, apart = _ratios(member), _apart(_values(member))
        found = _head(member) | {"dimension": u.dimension}
        found["small"], found["small_error"] = u.beyond(self.reach)
        found["median"], found["median_error"] = _median(u.values)
        found["far_states"] = int(np.sum(apart > self.far))
        found["measured"] = found["measured_error"] = None
        if found["far_states"] >= FEWEST_FAR:
            tail = statistics.tail_exponent(apart, self.far, self._equilibrated(member))
            found["measured"], found["measured_error"] = -tail.value, tail.error
        return found

    def _equilibrated(self, member: xr.DataTree) -> float:
        """How far, from the mean of the others, log σ_d has forgotten its start: a third of what noise has spread."""
        model, times = dataset.model_of(member), member["samples"]["time"].to_numpy()
        return float(min(max(math.sqrt(_diffusion(model) * times.min()) / 3.0, 2.0 * self.far), UNDERFLOW))

    def _escape(self, member: xr.DataTree) -> Row:
        """Paths at infinite depth: the dimension by what they do far from the others, their law at the last time."""
        model, times, values = _paths(member)
        delta, s2 = laws.bessel_dimension(model.width, model.kappa), _diffusion(model)
        found = dataset.parameters(model) | {"paths": len(values), "failed_paths": statistics.failed_paths(values)}
        found |= {"time": float(times[-1]), "dimension": delta}
        apart = np.minimum(_apart(values[np.isfinite(values).all(axis=(1, 2))]), UNDERFLOW)
        measured = statistics.dimension_of_paths(_below_level(values, self.far), times, s2, self.far)
        known = math.isfinite(measured.error)
        found["measured"], found["measured_error"] = measured if known else (None, None)
        found["small"], found["small_error"] = Ratios(model, _log_ratio(values[:, -1])).beyond(self.reach)
        found["law_distance"] = None
        if delta > 0.0:
            square = apart[:, [-1]] ** 2 / (2.0 * s2 * times[-1])
            found["law_distance"] = statistics.kolmogorov_distance(square, laws.Gamma(delta / 2.0, 1.0)).value
        return found

    def _growth(self, member: xr.DataTree) -> Iterator[Row]:
        """How far log σ_d is from the others, at some of the times."""
        model, times, values = _paths(member)
        shown = times if len(times) <= MANY_TIMES else SHOWN_TIMES
        for k, time in enumerate(times.tolist()):
            if time not in shown or time == 0.0:  # then they are where they were put
                continue
            apart, found = np.minimum(_apart(values[:, k]), UNDERFLOW), dataset.parameters(model) | {"time": time}
            found["median"], found["median_error"] = _median(apart)
            square = statistics.mean_over_paths(apart**2 / (_diffusion(model) * time))
            found["mean_square"], found["mean_square_error"] = square
            found["small"], found["small_error"] = Ratios(model, _log_ratio(values[:, k])).beyond(self.reach)
            yield found

    @override
    def checks(self, parts: Parts, tables: Tables) -> Iterator[Verdict]:
        for name in (*FINITE, "infinite", "widths"):
            for member in dataset.members(parts[name]):
                head = analysis.name_of(dataset.parameters(dataset.model_of(member)))
                for text, holds in analysis.checks(member):
                    yield f"{head}: {text}", holds
        infinite = _small_at_infinite_depth(self, tables)
        deepest = {_point(row): row for row in sorted(tables["depths"], key=lambda row: float(row["depth"]))}
        for row in tables["depths"]:
            if row.get("exact_distance") is not None:
                yield _within_bound(row, "sigma_1/sigma_2", "its exact law", row["exact_distance"], 0.0)
        for point, row in deepest.items():
            yield from self._at_depth(row, infinite.get(point))
        for row in tables["infinite"]:
            yield from self._dimension(row, "power law of log sigma_d")
        for row in tables["escape"]:
            yield from self._of_paths(row, infinite.get(_point(row)))
        yield from self._of_widths(tables)

    def _at_depth(self, row: Row, infinite: statistics.Estimate | None) -> Iterator[Verdict]:
        """The greatest depth: σ_d is as often small as at infinite depth, or has the law of what is lost."""
        allowance = self.finite_size(row["dimension"], row["depth"])
        if allowance > MOST_ALLOWED:
            return
        if row.get("limit_distance") is not None:
            words = f"Beta(1/2, {row['dimension']:.4g}), its limit where it is lost"
            yield _within_bound(row, "(sigma_d/sigma_1)^(2/N)", words, row["limit_distance"], allowance)
        elif infinite is not None and row["dimension"] < 0.0:
            yield _as_small(row, infinite, allowance)

    def _dimension(self, row: Row, source: str) -> Iterator[Verdict]:
        if row["measured"] is not None:
            delta, error = row["dimension"], row["measured_error"]
            off, allowed = abs(row["measured"] - delta), STANDARD_ERRORS * error + self.dimension * (1.0 + abs(delta))
            text = f"{source} of dimension {row['measured']:.3f} ± {error:.3f}"
            yield f"{analysis.name_of(row)}: {text} (within {allowed:.3f} of {delta:.4g})", off <= allowed

    def _of_paths(self, row: Row, infinite: statistics.Estimate | None) -> Iterator[Verdict]:
        failed = row["failed_paths"]
        yield f"{analysis.name_of(row)}: {failed} of {row['paths']} paths failed (none may)", failed == 0
        yield from self._dimension(row, "paths far from the others as a Bessel process")
        spread = math.sqrt(2.0 * row["kappa"] / row["beta"] * row["time"])
        allowance = self.finite_size(min(row["dimension"], 1.0), spread)
        if allowance > MOST_ALLOWED:
            return
        if row["law_distance"] is not None:
            words = f"Gamma({row['dimension'] / 2.0:.4g}, 1), its limit in time"
            yield _within_bound(row, "u^2 beta/(4 kappa tau)", words, row["law_distance"], allowance)
        elif infinite is not None and row["dimension"] < 0.0:
            yield _as_small(row, infinite, allowance)

    def _of_widths(self, tables: Tables) -> Iterator[Verdict]:
        least = min(row["width"] for row in tables["widths"])
        for row in tables["widths"]:
            allowed = self.ks * least / row["width"]
            text = f"Kolmogorov distance {row['ks']:.4f} ± {row['ks_error']:.4f} to the law of its depth"
            yield f"{analysis.name_of(row)}: {text} (at most {allowed:.4f})", row["ks"] <= allowed
        for row in tables["rates"]:
            off, allowed = abs(row["rate"] - 1.0), self.rate + STANDARD_ERRORS * row["rate_error"]
            text = f"{row['quantity']} falls like width^-{row['rate']:.3f} ± {row['rate_error']:.3f}"
            yield f"{analysis.name_of(row)}: {text} (within {allowed:.3f} of 1)", off <= allowed

    @override
    def pictures(self, parts: Parts, tables: Tables) -> dict[str, Picture]:
        widths = parts["widths"]
        largest = widths.isel(width=-1) if "width" in widths["samples"].dims else widths
        words = (
            f"{self.title}: densities of singular values at the largest width, κ = {float(largest['kappa']):g}, on the "
            "exact laws of their depths for infinite width, with residuals below: they crowd at 0 as the depth grows."
        )
        return {
            "transition": _picture_of_transition(tables),
            "depths": _picture_of_depths(self, tables),
            "collapse": _picture_of_collapse(parts, tables),
            "tails": _picture_of_tails(self, parts, tables),
            "escape": _picture_of_escape(tables),
            "widths": _picture_of_widths(tables),
            "densities": results.of_equilibrium(largest)._replace(words=words),
        }


def _check_run(part: str, run: Run) -> None:
    model = run.model
    if not isinstance(model, DeepLinearNetwork) or model.energy.kind != "quadratic" or model.width < 2:
        raise InvalidValue(
            f"{part}.model: a study of great depth takes Deep Linear Networks with quadratic energy, d ≥ 2"
        )
    if math.isinf(model.depth) != (part in ("infinite", "escape")):
        needed = "depth = inf" if part in ("infinite", "escape") else "finite depths"
        raise InvalidValue(f"{part}.model.depth = {model.depth:g}: this part takes {needed}")
    if part == "pairs" and model.width != 2:
        raise InvalidValue(f"{part}.model.width = {model.width}: this part takes width = 2, whose law is known exactly")
    if not run.keep_samples:
        raise InvalidValue(f"{part}.run.keep_samples = false: a study of great depth needs states")
    if part == "escape" and run.start != "law":
        raise InvalidValue(f"{part}.run.start = {run.start!r}: paths must start beside the others, by start = 'law'")


# --- figures ----------------------------------------------------------------------------------------------------------


def _head(member: xr.DataTree) -> Row:
    """What a row of an equilibrium begins with."""
    found = analysis.head(member)
    exact = laws.trace(dataset.model_of(member)).mean()
    trace = statistics.mean_over_paths(analysis.scalars(member)["trace"])
    return found | {"trace_ratio": trace.value / exact, "trace_ratio_error": trace.error / exact}


def _values(member: xr.DataTree) -> Floats:
    """The last kept singular values (path, rank) of paths that did not fail, descending."""
    values = analysis.states(member)
    if values is None:
        raise InvalidValue("a study of great depth needs states: keep samples")
    return np.asarray(values[np.isfinite(values).all(axis=(1, 2)), -1, ::-1])


def _paths(member: xr.DataTree) -> tuple[DeepLinearNetwork, Floats, Floats]:
    """The model of paths in time, the times, and singular values (path, time, rank), descending."""
    data, model = member["samples"].to_dataset(), dataset.model_of(member)
    assert isinstance(model, DeepLinearNetwork)
    values = data["singular_values"].transpose("path", "time", "rank").to_numpy()
    return model, data["time"].to_numpy(), values[..., : model.width]  # sweeps over widths are padded


def _ratios(member: xr.DataTree) -> Ratios:
    model = dataset.model_of(member)
    assert isinstance(model, DeepLinearNetwork)
    return Ratios(model, _log_ratio(_values(member)))


def _log_ratio(sigma: Floats) -> Floats:
    """log(σ_1/σ_d) of singular values (…, rank), descending; infinite where it is not known that it is finite."""
    with np.errstate(divide="ignore"):
        found = np.log(sigma[..., 0]) - np.log(sigma[..., -1])
    return np.where(found > UNDERFLOW, np.inf, found)


def _apart(sigma: Floats) -> Floats:
    """The distance of log σ_d from the mean of the others' logarithms, of (…, rank): with it terms in 1/u² cancel."""
    with np.errstate(divide="ignore"):
        found = np.mean(np.log(sigma[..., :-1]), axis=-1) - np.log(sigma[..., -1])
    return np.asarray(found)


def _below_level(sigma: Floats, far: float) -> Floats:
    """The distance of log σ_d, of (path, time, rank), from what the others' mean logarithm is when σ_d is far.

    That level is one number: the others' own fluctuations, which they forget, would look like a drift towards them.
    """
    with np.errstate(divide="ignore"):
        logs = np.log(sigma[np.isfinite(sigma).all(axis=(1, 2))])
    others, lowest = logs[..., :-1].mean(axis=-1), logs[..., -1]
    chosen = others - lowest > far
    level = float(np.mean(others[chosen])) if np.any(chosen) else 0.0
    return np.asarray(np.minimum(level - lowest, UNDERFLOW))


def _median(values: Floats) -> tuple[float | None, float | None]:
    """The median and its standard error, from the order statistics one standard error of the rank away."""
    values = np.sort(values[~np.isnan(values)])
    spread = 0.5 / math.sqrt(len(values))
    low, middle, high = (
        float(value) for value in np.quantile(values, [0.5 - spread, 0.5, 0.5 + spread], method="nearest")
    )
    return (middle, (high - low) / 2.0) if high < UNDERFLOW else (None, None)


def _distance(u: Ratios, survival: Any) -> float:
    """The Kolmogorov distance of log(σ_1/σ_d) to a law, over what is known without underflow."""
    values, n = np.sort(u.values), len(u.values)
    known = values[values < UNDERFLOW]
    rank, cdf = np.arange(len(known)), 1.0 - np.asarray(survival(known))
    return float(np.max(np.maximum(cdf - rank / n, (rank + 1.0) / n - cdf), initial=0.0))


def _lost_at(depth: float) -> float:
    """log(σ_1/σ_d) from which σ_d counts as lost: a factor √2 in each layer, σ_d/σ_1 < 2^{−N/2}."""
    return 0.5 * depth * math.log(2.0)


def _lost_limit(width: int, kappa: float) -> float:
    """The probability that it is lost as N → ∞."""
    if laws.bessel_dimension(width, kappa) <= 0.0:
        return 0.0
    return float(laws.smallest_of_deep(width, kappa).cdf(0.5))


def _diffusion(model: Any) -> float:
    return float(2.0 * model.kappa / model.beta)


def _point(row: Row) -> tuple[int, float]:
    return int(row["width"]), float(row["kappa"])


def _width(member: xr.DataTree) -> Row:
    """One width at one depth: distances to the law of that depth, and to that of infinite depth."""
    model = dataset.model_of(member)
    values = analysis.states(member)
    assert values is not None
    scaled, law = values / scale(model), laws.of(model)
    found = _head(member)
    found["ks"], found["ks_error"] = statistics.kolmogorov_distance(scaled, law)
    found["w1"], found["w1_error"] = statistics.wasserstein_distance(scaled, law)
    deep = laws.singular_values(math.inf, model.kappa)
    found["ks_deep"], found["ks_deep_error"] = statistics.kolmogorov_distance(scaled, deep)
    return found


def _rates(widths: Sequence[Row]) -> list[Row]:
    """The exponents at which distances to the law fall with the width, by depth."""
    found = []
    for depth in dict.fromkeys(row["depth"] for row in widths):
        own = [row for row in widths if row["depth"] == depth]
        for quantity, name in (("Kolmogorov distance", "ks"), ("Wasserstein distance", "w1")):
            if len(own) < FEWEST_WIDTHS or any(row[name] < 2.0 * row[f"{name}_error"] for row in own):
                continue
            columns = ([row[key] for row in own] for key in ("width", name, f"{name}_error"))
            fit = statistics.rate(*columns)
            found.append(
                {"depth": depth, "quantity": quantity, "widths": len(own), "rate": fit.exponent.value}
                | {"rate_error": fit.exponent.error, "factor": fit.factor, "misfit": fit.misfit}
            )
    return found


def _laws() -> list[Row]:
    """How far the exact law of each depth is from that of infinite depth, both for d → ∞, at κ = 1."""
    deep, probability = laws.singular_values(math.inf), (np.arange(4000) + 0.5) / 4000
    found = []
    for N in LAW_DEPTHS:
        law = laws.singular_values(N)
        places = np.concatenate([law.ppf(probability), deep.ppf(probability)])
        ks = float(np.max(np.abs(law.cdf(places) - deep.cdf(places))))
        w1 = float(np.mean(np.abs(law.ppf(probability) - deep.ppf(probability))))
        edge = law.support[1] - deep.support[1]
        found.append(
            {"depth": N, "ks": ks, "w1": w1, "edge": edge} | {"ks_times_depth": N * ks, "w1_times_depth": N * w1}
        )
    return found


def _transition(depths: Sequence[Row], infinite: Sequence[Row], escape: Sequence[Row]) -> list[Row]:
    """For each width and κ the threshold, and what each part says of it."""
    deepest = {_point(row): row for row in sorted(depths, key=lambda row: float(row["depth"]))}
    still, moving = ({_point(row): row for row in rows} for rows in (infinite, escape))
    found = []
    for width, kappa in sorted(set(deepest) | set(still) | set(moving)):
        delta = laws.bessel_dimension(width, kappa)
        row: Row = {"width": width, "kappa": kappa, "threshold": laws.threshold(width), "dimension": delta}
        row["survives"] = kappa < laws.threshold(width)
        last = deepest.get((width, kappa), {})
        row["depth"] = last.get("depth")
        for name in ("small", "small_error", "lost", "lost_error"):
            row[name] = last.get(name)
        row["lost_limit"] = _lost_limit(width, kappa)
        for name, own in (("equilibrium", still), ("paths", moving)):
            measured = own.get((width, kappa), {})
            row[f"dimension_of_{name}"] = measured.get("measured")
            row[f"dimension_of_{name}_error"] = measured.get("measured_error")
        found.append(row)
    return found


# --- checks -----------------------------------------------------------------------------------------------------------


def _small_at_infinite_depth(study: LargeN, tables: Tables) -> dict[tuple[int, float], statistics.Estimate]:
    """How often σ_d is small at the equilibrium of infinite depth: measured, and exact for width 2."""
    found = {_point(row): statistics.Estimate(row["small"], row["small_error"]) for row in tables["infinite"]}
    for width, kappa in map(_point, tables["transition"]):
        if width == 2 and kappa < laws.threshold(2):
            exact = laws.LogRatio(math.inf, kappa).survival(study.reach)
            found[width, kappa] = statistics.Estimate(float(exact), 0.0)
    return found


def _as_small(row: Row, infinite: statistics.Estimate, allowance: float) -> Verdict:
    """Whether σ_d is as often small as at the equilibrium of infinite depth."""
    off = abs(row["small"] - infinite.value)
    allowed = STANDARD_ERRORS * math.hypot(row["small_error"], infinite.error) + allowance
    text = f"P(sigma_d/sigma_1 small) = {row['small']:.4f} ± {row['small_error']:.4f}"
    return f"{analysis.name_of(row)}: {text} (within {allowed:.4f} of {infinite.value:.4f})", off <= allowed


def _within_bound(row: Row, what: str, law: str, distance: float, allowance: float) -> Verdict:
    """Whether independent states are as near to a law as chance, and what it is the limit of, allow."""
    allowed = statistics.one_sample_bound(row["paths"], analysis.FALSE_ALARM) + allowance
    text = f"{what} of {row['paths']} states at distance {distance:.4f} from {law}"
    return f"{analysis.name_of(row)}: {text} (at most {allowed:.4f})", distance <= allowed


# --- pictures ---------------------------------------------------------------------------------------------------------


def _widths_of(rows: Sequence[Row]) -> list[int]:
    return sorted({int(row["width"]) for row in rows})


def _of(rows: Sequence[Row], **values: Any) -> list[Row]:
    """The rows with these values."""
    return [row for row in rows if all(row[name] == value for name, value in values.items())]


def _columns(rows: Sequence[Row], *names: str) -> list[Floats]:
    """Columns of the rows in which none of them is unknown."""
    known = [row for row in rows if all(row.get(name) is not None for name in names)]
    return [np.array([row[name] for row in known], dtype=np.float64) for name in names]


def _kappas(rows: Sequence[Row]) -> list[float]:
    return sorted({float(row["kappa"]) for row in rows})


def _picture_of_transition(tables: Tables) -> Curves:
    """The part of paths that lost σ_d, and the dimension, over κ; a column for each width."""
    rows, depths = tables["transition"], tables["depths"]
    widths = _widths_of(rows)
    words = (
        "Above, the probability that the smallest singular value is lost, over κ, for several depths, with the exact "
        "limit of infinite depth, which is 0 below the threshold (d−1)/(2d). Below, the dimension δ measured from the "
        "equilibrium of infinite depth and from paths there, with the exact line, which is 0 at the threshold"
        + _farthest(rows)
    )
    picture = Curves("The transition at $\\kappa = (d-1)/(2d)$", words, columns=len(widths))
    shown = sorted({float(row["depth"]) for row in depths})[-4:]
    for width in widths:
        panel = picture.panel(f"width $d$ = {width}", "$\\kappa$", "$P(\\sigma_d/\\sigma_1 < 2^{-N/2})$")
        limit = [_lost_limit(width, kappa) for kappa in KAPPAS]
        panel.line(KAPPAS, limit, label="exact, $N\\to\\infty$", color=EXACT)
        for depth in shown:
            if width == 2:
                exact = [float(laws.LogRatio(depth, kappa).survival(_lost_at(depth))) for kappa in KAPPAS[::5]]
                panel.line(KAPPAS[::5], exact, label="exact, depth $N$", color=REFERENCE, dashed=True)
            panel.points(
                *_columns(_of(depths, width=width, depth=depth), "kappa", "lost", "lost_error"),
                label=f"$N$ = {depth:g}",
            )
        panel.line([laws.threshold(width)] * 2, [0.0, 1.0], label="threshold", color=REFERENCE)
    for width in widths:
        own = _of(rows, width=width)
        panel = picture.panel("", "$\\kappa$", "dimension $\\delta$")
        kappas = np.linspace(min(_kappas(own)), max(_kappas(own)), 200)
        exact = [laws.bessel_dimension(width, kappa) for kappa in kappas]
        panel.line(kappas, exact, label="exact, $N\\to\\infty$", color=EXACT)
        for name, label in (("equilibrium", "power law at rest, $N=\\infty$"), ("paths", "paths, $N=\\infty$")):
            columns = _columns(own, "kappa", f"dimension_of_{name}", f"dimension_of_{name}_error")
            if len(columns[0]):
                panel.points(*columns, label=label)
        panel.line(kappas[[0, -1]], [0.0, 0.0], label="threshold", color=REFERENCE)
        panel.line([laws.threshold(width)] * 2, [min(exact), max(exact)], label="threshold", color=REFERENCE)
    return picture


def _farthest(rows: Sequence[Row]) -> str:
    """How far measured dimensions are from the exact ones, in words."""
    off = [
        abs(row[f"dimension_of_{name}"] - row["dimension"]) / row[f"dimension_of_{name}_error"]
        for row in rows
        for name in ("equilibrium", "paths")
        if row.get(f"dimension_of_{name}") is not None
    ]
    return f"; the farthest is {max(off):.1f} standard errors from it." if off else "."


def _picture_of_depths(study: LargeN, tables: Tables) -> Curves:
    """How often σ_d is small, its median, and the trace, over the depth; a column for each width."""
    rows = tables["depths"]
    widths, infinite = _widths_of(rows), _small_at_infinite_depth(study, tables)
    off = [abs(row["trace_ratio"] - 1.0) for row in rows]
    words = (
        f"Over the depth, for several κ, the probability of σ_d/σ_1 < {study.ratio:g} with its value at infinite depth "
        "below the threshold; the median of log(σ_1/σ_d), with its limit above the threshold, in proportion to the "
        f"depth; the mean trace, which differs from the exact one by {100.0 * max(off):.2g} % at most."
    )
    picture = Curves("What becomes of the smallest singular value", words, columns=len(widths))
    for width in widths:
        title = f"width $d$ = {width}, threshold {laws.threshold(width):.4g}"
        panel = picture.panel(title, "depth $N$", f"$P(\\sigma_d/\\sigma_1 < {study.ratio:g})$", "log")
        for kappa in _kappas(rows):
            own = _of(rows, width=width, kappa=kappa)
            panel.points(*_columns(own, "depth", "small", "small_error"), label=f"$\\kappa$ = {kappa:g}")
            ends = np.array([min(row["depth"] for row in own), max(row["depth"] for row in own)], dtype=np.float64)
            if width == 2:
                between = np.geomspace(ends[0], ends[1], 60)
                exact = [float(laws.LogRatio(depth, kappa).survival(study.reach)) for depth in between]
                panel.line(between, exact, label="exact", color=EXACT)
            if (width, kappa) in infinite:
                panel.line(
                    ends, [infinite[width, kappa].value] * 2, label="infinite depth", dashed=True, color=REFERENCE
                )
    for width in widths:
        panel = picture.panel("", "depth $N$", "median of $\\log(\\sigma_1/\\sigma_d)$", "log", "log")
        for kappa in _kappas(rows):
            own = _of(rows, width=width, kappa=kappa)
            panel.points(*_columns(own, "depth", "median", "median_error"), label=f"$\\kappa$ = {kappa:g}")
            if laws.bessel_dimension(width, kappa) > 0.0:
                N = np.array([row["depth"] for row in own[-3:]], dtype=np.float64)
                half = -0.5 * math.log(laws.smallest_of_deep(width, kappa).ppf(0.5))
                panel.line(N, half * N, label="limit where it is lost", color=EXACT, dashed=True)
    for width in widths:
        panel = picture.panel("", "depth $N$", "Tr $W^TW$ / exact mean", "log")
        for kappa in _kappas(rows):
            own = _of(rows, width=width, kappa=kappa)
            panel.points(*_columns(own, "depth", "trace_ratio", "trace_ratio_error"), label=f"$\\kappa$ = {kappa:g}")
        panel.line(
            [min(row["depth"] for row in rows), max(row["depth"] for row in rows)], [1, 1], label="exact", color=EXACT
        )
    return picture


def _picture_of_collapse(parts: Parts, tables: Tables) -> Curves:
    """Distribution functions of (σ_d/σ_1)^{2/N} at the greatest depths, on Beta(½, δ), where σ_d is lost."""
    words = (
        "Distribution functions of (σ_d/σ_1)^(2/N) at the two greatest depths where the smallest singular value is "
        "lost, with the Beta(1/2, δ) laws of infinite depth, which are approached slowly where δ is small."
    )
    picture = Curves("The law of what is lost: $(\\sigma_d/\\sigma_1)^{2/N}$", words)
    members = [_ratios(member) for part in FINITE for member in dataset.members(parts[part])]
    deepest = sorted({u.model.depth for u in members})[-2:]
    for width, kappa in sorted({(u.model.width, u.model.kappa) for u in members if u.dimension > 0.0}):
        own = [u for u in members if (u.model.width, u.model.kappa) == (width, kappa) and u.model.depth in deepest]
        known = math.exp(-2.0 * UNDERFLOW / deepest[-1])
        x, law = np.linspace(known, 1.0, 101), laws.smallest_of_deep(width, kappa)
        title = f"$d$ = {width}, $\\kappa$ = {kappa:g}: $\\delta$ = {law.b:.3g}"
        panel = picture.panel(title, "$x$", "$P((\\sigma_d/\\sigma_1)^{2/N} < x)$")
        for u in sorted(own, key=lambda u: u.model.depth):
            cdf = np.array([np.mean(u.values > -0.5 * u.model.depth * math.log(at)) for at in x])
            error = np.sqrt(cdf * (1.0 - cdf) / len(u.values))
            panel.band(
                x, cdf - 2.0 * error, cdf + 2.0 * error, label=f"$N$ = {u.model.depth:g}, \u00b12 standard errors"
            )
        panel.line(x, law.cdf(x), label="Beta$(\\frac{1}{2}, \\delta)$", color=EXACT)
    return picture


def _picture_of_tails(study: LargeN, parts: Parts, tables: Tables) -> Curves:
    """Survival functions of the distance of log σ_d from the others at infinite depth, and their power laws."""
    words = (
        "Probability that log σ_d at the equilibrium of infinite depth is farther than u from the mean of the others, "
        "on logarithmic axes, with lines of the exact slopes δ, the flatter the nearer κ is to the threshold."
    )
    widths = _widths_of(tables["infinite"])
    picture = Curves("Power laws of $\\log\\sigma_d$ at infinite depth", words, columns=len(widths))
    for width in widths:
        title = f"width $d$ = {width}, threshold {laws.threshold(width):.4g}"
        panel = picture.panel(
            title, "$u$", "$P(\\langle\\log\\sigma\\rangle_{others} - \\log\\sigma_d > u)$", "log", "log"
        )
        for member in dataset.members(parts["infinite"]):
            model = dataset.model_of(member)
            if model.size != width:
                continue
            apart = _apart(_values(member))
            u = np.geomspace(1.0, study._equilibrated(member), 24)
            share = np.array([np.mean(apart > at) for at in u])
            seen = share * len(apart) >= 10
            error = np.sqrt(share * (1.0 - share) / len(apart))
            panel.points(u[seen], share[seen], error[seen], label=f"$\\kappa$ = {model.kappa:g}")
            far = u[seen & (u >= study.far)]
            if len(far):
                delta, level = laws.bessel_dimension(width, model.kappa), float(np.mean(apart > far[0]))
                panel.line(far, level * (far / far[0]) ** delta, label="slope $\\delta$, exact", color=EXACT)
    return picture


def _picture_of_escape(tables: Tables) -> Curves:
    """The distance of log σ_d from the others in time at infinite depth; a column for each width."""
    rows = tables["growth"]
    widths = _widths_of(rows)
    words = (
        "Paths at infinite depth. Above, the median distance of log σ_d from the others over time, with a line of its "
        "square root. Below, its mean square over 2κτ/β, with its limit δ where δ > 0; otherwise that is 0."
    )
    picture = Curves("The way down at infinite depth", words, columns=len(widths))
    for width in widths:
        title = f"width $d$ = {width}, threshold {laws.threshold(width):.4g}"
        panel = picture.panel(title, "time $\\tau$", "median of $u$", "log", "log")
        for kappa in _kappas(rows):
            own = _of(rows, width=width, kappa=kappa)
            panel.points(*_columns(own, "time", "median", "median_error"), label=f"$\\kappa$ = {kappa:g}")
        ends = np.array([min(row["time"] for row in rows), max(row["time"] for row in rows)])
        panel.line(ends, np.sqrt(ends), label="$\\sqrt{\\tau}$", dashed=True, color=REFERENCE)
    for width in widths:
        panel = picture.panel("", "time $\\tau$", "$E[u^2]\\,\\beta/(2\\kappa\\tau)$", "log")
        late = [row for row in rows if row["time"] >= 10.0] or rows
        for kappa in _kappas(rows):
            own = _of(late, width=width, kappa=kappa)
            panel.points(*_columns(own, "time", "mean_square", "mean_square_error"), label=f"$\\kappa$ = {kappa:g}")
            delta = laws.bessel_dimension(width, kappa)
            if delta > 0.0:
                panel.line([own[0]["time"], own[-1]["time"]], [delta] * 2, label="$\\delta$, exact limit", color=EXACT)
    return picture


def _picture_of_widths(tables: Tables) -> Curves:
    """Distances to the law of each depth over the width, and of the exact laws to that of infinite depth."""
    rows, exact = tables["widths"], tables["laws"]
    words = (
        "Left, the Kolmogorov distance of singular values to the exact law of their depth over the width, with a line "
        "of one over the width. Right, distances of the exact laws of depth N to that of Dykema and Haagerup, with a "
        "line of 1/N, and distances to it that were measured at several widths."
    )
    picture = Curves("Both limits: $d\\to\\infty$, then $N\\to\\infty$", words, columns=2)
    panel = picture.panel("to the law of depth $N$", "width $d$", "Kolmogorov distance", "log", "log")
    for depth in sorted({row["depth"] for row in rows}):
        own = _of(rows, depth=depth)
        panel.points(*_columns(own, "width", "ks", "ks_error"), label=f"$N$ = {depth:g}")
    ends = np.array([min(row["width"] for row in rows), max(row["width"] for row in rows)], dtype=np.float64)
    top = max(row["ks"] for row in rows)
    panel.line(ends, top * ends[0] / ends, label="$1/d$, $1/N$", dashed=True, color=REFERENCE)
    panel = picture.panel("to the Dykema\u2013Haagerup law", "depth $N$", "distance", "log", "log")
    for name, label in (("ks", "Kolmogorov distance of exact laws"), ("w1", "Wasserstein distance of exact laws")):
        panel.line(*_columns(exact, "depth", name), label=label, color=EXACT if name == "ks" else "")
    for width in _widths_of(rows)[::2]:
        own = _of(rows, width=width)
        panel.points(*_columns(own, "depth", "ks_deep", "ks_deep_error"), label=f"measured, $d$ = {width}")
    depths = np.array(LAW_DEPTHS)
    panel.line(depths[2:], 0.5 / depths[2:], label="$1/d$, $1/N$", dashed=True, color=REFERENCE)
    return picture
