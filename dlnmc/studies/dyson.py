"""Dyson Brownian motion: equilibrium, free expansion, relaxation, matrices against eigenvalues, a quartic potential.

Chapter 11 of Menon's paper, where each of these has an exact answer. Theorem 15: the eigenvalues of Brownian motion on
Hermitian matrices (11.4) obey (11.1).
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field
from typing_extensions import override

from dlnmc import analysis, dataset, exact_sampling, laws, statistics
from dlnmc.config import Equilibrium, Run, Simulation
from dlnmc.engine import scale
from dlnmc.errors import InvalidValue
from dlnmc.models import DysonBrownianMotion, Model
from dlnmc.plotting import EXACT, REFERENCE, Curves, Densities, results
from dlnmc.plotting.densities import Panel, density_of, panel_of
from dlnmc.starts import clusters
from dlnmc.studies.base import Kind, Parts, Picture, Row, Tables, Verdict

Floats = NDArray[np.float64]

EQUILIBRIUM, EXPANSION, RELAXATION = "equilibrium", "expansion", "relaxation"
UPSTAIRS, DOWNSTAIRS, QUARTIC = "upstairs", "downstairs", "quartic"
STANDARD_ERRORS = 5.0  # exceeded by chance once in two million times
BINS = 60
CURVE = 400  # points of a line
TRACY_WIDOM = (1.0, 2.0, 4.0)  # repulsion exponents
EDGES_SHOWN = (-6.0, 4.0)  # of largest eigenvalues, scaled
EXACT_SEED = 2  # of exact draws, which use other noise than runs do, whatever their seed
SLOWEST_EDGE = 2.0 / 3.0  # the power of d at which what the edge's shift leaves falls


class Dyson(Kind):
    """The `[study]` table.

    Parameters
    ----------
    title
        What pictures and tables are headed by.
    ks
        Largest Kolmogorov distance, times the size, to a law for d → ∞: a level is one of d.
    spacing
        Largest distance of spacing ratios from those of the class 2/κ, beside five standard errors.
    edge
        Largest distance of the mean of the largest eigenvalue, scaled, from Tracy's and Widom's, times d^{2/3}, beside
        five standard errors.
    relaxation
        Largest relative distance of second moments from their exact values, beside five standard errors: the bias of
        steps.
    rate
        Least exponent at which the distance to the free convolution falls with the size, beside four standard errors.
    """

    PARTS: ClassVar = {
        EQUILIBRIUM: Equilibrium,
        EXPANSION: Simulation,
        RELAXATION: Simulation,
        UPSTAIRS: Simulation,
        DOWNSTAIRS: Simulation,
        QUARTIC: Equilibrium,
    }
    COLUMNS: ClassVar = {
        "spacing_class": "the mean ratio of spacings of the class 2/κ",
        "edge_mean": "the mean of the largest eigenvalue, scaled as Tracy's and Widom's",
        "edge_mean_law": "the mean of Tracy's and Widom's law of index 2/κ",
        "hermite": "the largest of Kolmogorov's distances of ordered eigenvalues to exact draws",
        "hermite_bound": "what chance exceeds with probability 1e-6 at most",
        "second_moment": "the mean square of scaled eigenvalues",
        "law_second_moment": "that of the law for d → ∞",
        "second_moment_exact": "the exact one",
        "centre_variance": "the variance of the centre of mass",
        "centre_variance_exact": "the exact one",
        "centre": "Kolmogorov's distance of the centre of mass to its normal law",
        "centre_bound": "what chance exceeds with probability 1e-6 at most",
        "distance": "the largest of Kolmogorov's distances of ordered eigenvalues, of matrices to Dyson's equation",
        "bound": "what chance exceeds with probability 1e-6 at most",
        "virial": "the mean of Σ x V'(x) over its exact value",
    }

    kind: Literal["dyson"] = "dyson"
    title: str = "Dyson Brownian motion"
    ks: float = Field(default=1.0, gt=0)
    spacing: float = Field(default=0.004, ge=0)
    edge: float = Field(default=0.35, ge=0)
    relaxation: float = Field(default=0.005, ge=0)
    rate: float = Field(default=0.7, gt=0)

    @override
    def check(self, runs: Mapping[str, Sequence[Run]]) -> None:
        for name, own in runs.items():
            for run in own:
                if not isinstance(run.model, DysonBrownianMotion):
                    raise InvalidValue(f"parts.{name}.model.kind = {run.model.kind!r}: it must be 'dyson'")
                if name not in (EQUILIBRIUM, QUARTIC) and run.start != "clusters":
                    raise InvalidValue(f"parts.{name}.run.start = {run.start!r}: it must be 'clusters'")
                if not run.keep_samples:
                    raise InvalidValue(f"parts.{name}.run.keep_samples = False: the study looks at states")
        for name, wanted in ((EXPANSION, "none"), (RELAXATION, "quadratic"), (QUARTIC, "polynomial")):
            found = runs[name][0].model.energy.kind
            if found != wanted:
                raise InvalidValue(f"parts.{name}.model.energy = {found!r}: it must be {wanted!r}")
        _check_pair(runs[UPSTAIRS], runs[DOWNSTAIRS])
        for name in (EXPANSION, RELAXATION):
            for run in runs[name]:
                assert isinstance(run, Simulation)
                if run.times[0] == 0.0:
                    raise InvalidValue(
                        f"parts.{name}.run.times = {list(run.times)}: they must be > 0, when there is a law"
                    )
        for run in runs[QUARTIC]:
            law_of_quartic(run.model)

    @override
    def tables(self, parts: Parts) -> Tables:
        return {name: make(parts) for name, make in TABLES.items()}

    @override
    def checks(self, parts: Parts, tables: Tables) -> Iterator[Verdict]:
        for name in (EXPANSION, RELAXATION, UPSTAIRS, DOWNSTAIRS):
            failed = int(np.sum(parts[name]["sampler/status"].to_numpy() != 0))
            yield f"{name}: {failed} paths failed (none may)", failed == 0
        for name in (EQUILIBRIUM, QUARTIC):
            members = list(dataset.members(parts[name]))
            for row, member in zip(tables[name], members, strict=True):
                for text, holds in analysis.checks(member):
                    yield f"{name}, kappa {row['kappa']:g}: {text}", holds
        yield from self._near_laws(tables)
        yield from self._classes(tables[EQUILIBRIUM])
        yield from self._edges(tables[EQUILIBRIUM])
        yield from self._moments(tables[RELAXATION])
        yield from _virials(tables[QUARTIC])
        for row in tables[UPSTAIRS]:
            text = f"matrices and eigenvalues at t = {row['time']:g}: largest distance of an ordered eigenvalue"
            yield f"{text} {row['distance']:.4f} (at most {row['bound']:.4f})", row["distance"] <= row["bound"]

    def _near_laws(self, tables: Tables) -> Iterator[Verdict]:
        """Kolmogorov distances to laws for d → ∞, and how they fall."""
        for name in (EQUILIBRIUM, EXPANSION, RELAXATION, QUARTIC):
            for row in tables[name]:
                words = f"size {row['size']}, kappa {row['kappa']:g}"
                words += f", t = {row['time']:g}" if "time" in row else ""
                text = f"{name}, {words}: {row['ks']:.4f} ± {row['ks_error']:.4f} from its law"
                allowed = self.ks / row["size"]
                yield f"{text} (at most {allowed:.4f})", row["ks"] <= allowed
        fit = rate_of(tables[EXPANSION])
        if fit is not None:
            text = f"expansion: the mean distance falls like size^-{fit.exponent.value:.2f} ± {fit.exponent.error:.2f}"
            least = self.rate - 4.0 * fit.exponent.error
            yield f"{text} (at least {least:.2f})", fit.exponent.value >= least

    def _classes(self, rows: Sequence[Row]) -> Iterator[Verdict]:
        """Spacing ratios of the class 2/κ; ordered eigenvalues against exact draws of the β-Hermite ensemble."""
        for row in rows:
            if row["spacing_class"] is not None:
                off = abs(row["spacing_ratio"] - row["spacing_class"])
                allowed = self.spacing + STANDARD_ERRORS * row["spacing_ratio_error"]
                text = f"equilibrium, kappa {row['kappa']:g}: spacing ratio {row['spacing_ratio']:.4f}"
                yield (
                    f"{text} ± {row['spacing_ratio_error']:.4f} (within {allowed:.4f} of {row['spacing_class']})",
                    (off <= allowed),
                )
            text = f"equilibrium, kappa {row['kappa']:g}: ordered eigenvalues {row['hermite']:.4f} from exact draws"
            yield f"{text} (at most {row['hermite_bound']:.4f})", row["hermite"] <= row["hermite_bound"]

    def _edges(self, rows: Sequence[Row]) -> Iterator[Verdict]:
        """Means of the largest eigenvalue against Tracy–Widom β = 1, 2, 4."""
        for row in rows:
            if row["edge_mean"] is not None:
                off = abs(row["edge_mean"] - row["edge_mean_law"])
                allowed = self.edge / row["size"] ** SLOWEST_EDGE + STANDARD_ERRORS * row["edge_mean_error"]
                text = f"equilibrium, kappa {row['kappa']:g}: scaled edge {row['edge_mean']:.4f}"
                text += f" ± {row['edge_mean_error']:.4f} (within {allowed:.4f} of {row['edge_mean_law']:.4f})"
                yield text, off <= allowed

    def _moments(self, rows: Sequence[Row]) -> Iterator[Verdict]:
        """Second moments and centres of mass along the relaxation."""
        for row in rows:
            words = f"relaxation, kappa {row['kappa']:g}, t = {row['time']:g}"
            off = abs(row["second_moment"] / row["second_moment_exact"] - 1.0)
            allowed = self.relaxation + STANDARD_ERRORS * row["second_moment_error"] / row["second_moment_exact"]
            text = f"{words}: second moment {row['second_moment']:.4f} ± {row['second_moment_error']:.4f}"
            yield f"{text}, exactly {row['second_moment_exact']:.4f} (relative {allowed:.4f})", off <= allowed
            text = f"{words}: centre of mass {row['centre']:.4f} from its normal law"
            yield f"{text} (at most {row['centre_bound']:.4f})", row["centre"] <= row["centre_bound"]

    @override
    def pictures(self, parts: Parts, tables: Tables) -> dict[str, Picture]:
        words = (
            "Histograms of eigenvalues at equilibrium on the semicircle, for each κ. Single levels show as "
            "oscillations of the residuals, the more the stronger the repulsion; beyond the edges are tails of finite "
            f"size. The distances of distribution functions are at most {_largest(tables[EQUILIBRIUM], 'ks'):.2g}."
        )
        quartic = (
            "Histograms of eigenvalues in a quartic potential on the law of Brézin, Itzykson, Parisi and Zuber, which "
            "may have two humps; residuals oscillate with single levels where the repulsion is strong. The distances "
            f"of distribution functions are at most {_largest(tables[QUARTIC], 'ks'):.2g}."
        )
        shown, beside = results.what_is_shown(parts[EQUILIBRIUM])
        edges = _edges_picture(parts[EQUILIBRIUM])
        found: dict[str, Picture] = {EQUILIBRIUM: results.of_equilibrium(shown)._replace(words=words + beside)}
        found |= {"edges": edges} if edges.panels else {}  # no law is known for most κ
        return found | {
            EXPANSION: _expansion_picture(parts[EXPANSION], tables[EXPANSION]),
            RELAXATION: _relaxation_picture(parts[RELAXATION], tables[RELAXATION]),
            UPSTAIRS: _upstairs_picture(parts[UPSTAIRS], parts[DOWNSTAIRS], tables[UPSTAIRS]),
            QUARTIC: _quartic_picture(parts[QUARTIC], quartic),
        }


def _check_pair(ups: Sequence[Run], downs: Sequence[Run]) -> None:
    """Raise InvalidValue unless these are matrices and eigenvalues of one model at the same times.

    Seeds of parts are far apart, so that the two are independent; with one seed they would share their noise.
    """
    if len(ups) != 1 or len(downs) != 1:
        raise InvalidValue("parts.upstairs, parts.downstairs: each is one run, not a sweep")
    up, down = ups[0], downs[0]
    if up.state != "hermitian" or up.model != down.model or getattr(up, "times", 0) != getattr(down, "times", 1):
        raise InvalidValue("parts.upstairs: it must be of state 'hermitian', of the model and times of downstairs")
    if down.state != "eigenvalues":
        raise InvalidValue(f"parts.downstairs.run.state = {down.state!r}: it must be 'eigenvalues'")


# --- equilibria -------------------------------------------------------------------------------------------------------


def _equilibrium(member: xr.DataTree) -> Row:
    """Figures of an equilibrium in V = x²/2, with ordered eigenvalues against exact draws."""
    model: Any = dataset.model_of(member)
    row, values = analysis.row(member), analysis.states(member)
    assert values is not None
    values = values[np.isfinite(values).all(axis=(1, 2))]
    last = values[:, -1]
    drawn = exact_sampling.exact(model, paths=len(last), seed=EXACT_SEED, progress=False)["eigenvalues"].to_numpy()
    distances = [statistics.kolmogorov_between(last[:, [k]], drawn[:, [k]]).value for k in range(model.size)]
    bound = statistics.kolmogorov_bound(len(last), len(drawn), analysis.FALSE_ALARM / model.size)
    found = {name: row[name] for name in ("size", "beta", "kappa", "paths", "ks", "ks_error")}
    exponent = 2.0 / model.kappa
    classical = exponent in TRACY_WIDOM
    known = laws.mean_spacing_ratio(round(exponent)) if classical and row["spacing_ratio"] is not None else None
    found |= {"spacing_ratio": row["spacing_ratio"], "spacing_ratio_error": row["spacing_error"]}
    found |= {"spacing_class": known, "trace_ratio": row["trace_ratio"], "trace_ratio_error": row["trace_error"]}
    edge = None if not classical else statistics.shape(_edge(model, values)).mean
    found |= {"edge_mean": edge and edge.value, "edge_mean_error": edge and edge.error}
    found["edge_mean_law"] = edge and laws.soft_edge_limit(model).mean()
    return found | {"hermite": max(distances), "hermite_bound": bound}


def _edge(model: Any, values: Floats) -> Floats:
    """The largest eigenvalues of states (path, draw, component), in the units of Tracy's and Widom's laws.

    With the edge at 2√(1 + (1−κ)/(2d)) what is left falls like d^{−2/3} for κ = ½, 1, 2, with factors up to 0.25 in
    exact draws up to d = 128; with the edge at 2 it falls like d^{−1/3}.
    """
    return laws.at_soft_edge(values[..., -1] / scale(model), laws.eigenvalues(), model.size, 0.5 * (1.0 - model.kappa))


def law_of_quartic(model: Model) -> laws.Quartic:
    """The law of x√(β/d), d → ∞, in V = μx²/2 + γx⁴/4. Raises InvalidValue for another energy."""
    energy: Any = model.energy
    listed = tuple(getattr(energy, "coefficients", ()))
    if len(listed) != 4 or listed[0] or listed[2]:
        raise InvalidValue(f"energy.coefficients = {listed!r}: they must be 0, μ/2, 0, γ/4 of a quartic potential")
    return laws.Quartic(4.0 * listed[3] * model.size / model.beta, 2.0 * listed[1])


def _quartic(member: xr.DataTree) -> Row:
    model: Any = dataset.model_of(member)
    row, values = analysis.row(member), analysis.states(member)
    assert values is not None
    law = law_of_quartic(model)
    found = {name: row[name] for name in ("size", "beta", "kappa", "paths")}
    found["ks"], found["ks_error"] = statistics.kolmogorov_distance(values / scale(model), law)
    found |= {"edge": row["edge"], "edge_error": row["edge_error"], "edge_law": law.support[1]}
    virial = statistics.mean_over_paths(virials(model, values).mean(axis=1))
    return found | {"virial": virial.value, "virial_error": virial.error}


def virials(model: Any, values: Floats) -> Floats:
    """Σ x V'(x) of eigenvalues (…, component) in a quartic potential, over its mean (d(d−1) + κd)/β at equilibrium.

    It is E[L Σx²] = 0 for the generator L of (11.8): exact at every size.
    """
    d, coefficients = model.size, model.energy.coefficients
    sums = np.sum(2.0 * coefficients[1] * values**2 + 4.0 * coefficients[3] * values**4, axis=-1)
    return np.asarray(sums * model.beta / (d * (d - 1.0) + model.kappa * d))


def _virials(rows: Sequence[Row]) -> Iterator[Verdict]:
    for row in rows:
        text = f"quartic, kappa {row['kappa']:g}: sum of x V'(x) is {row['virial']:.4f} ± {row['virial_error']:.4f}"
        allowed = STANDARD_ERRORS * row["virial_error"]
        yield f"{text} of its exact mean (within {allowed:.4f} of 1)", abs(row["virial"] - 1.0) <= allowed


def _quartic_picture(tree: xr.DataTree, words: str) -> Densities:
    """Histograms on the quartic's law, which plain results do not know."""
    picture, panels = results.of_equilibrium(tree), []
    for panel, member in zip(picture.panels, dataset.members(tree), strict=True):
        law = law_of_quartic(dataset.model_of(member))
        panels.append(panel_of(panel.title, panel.edges, (panel.density, panel.error), law))
    return picture._replace(panels=panels, words=words)


# --- paths in time ----------------------------------------------------------------------------------------------------


def _states(member: xr.DataTree) -> tuple[Any, Floats, Floats]:
    """The model, its times, and scaled eigenvalues (path, time, component) of paths that did not fail."""
    model = dataset.model_of(member)
    data = member["samples"].to_dataset()
    values = data["eigenvalues"].transpose("path", "time", "component").to_numpy()[..., : model.size]
    values = values[np.isfinite(values).all(axis=(1, 2))]
    return model, data["time"].to_numpy(), values / scale(model)


def law_after(model: Any, time: float) -> laws.FreeConvolution:
    """The law of x√(β/d) at a time after the start "clusters", d → ∞ with the atoms of this size."""
    atoms = clusters(model.size)
    if model.energy.kind == "none":
        return laws.FreeConvolution(tuple(atoms), 2.0 * time)
    return laws.FreeConvolution(tuple(math.exp(-time) * atoms), -math.expm1(-2.0 * time))


def _expansion(member: xr.DataTree) -> Iterator[Row]:
    model, times, values = _states(member)
    for index, time in enumerate(times):
        law = law_after(model, float(time))
        found = {"size": model.size, "kappa": model.kappa, "paths": len(values), "time": float(time)}
        found["ks"], found["ks_error"] = statistics.kolmogorov_distance(values[:, index], law)
        found["second_moment"], found["second_moment_error"] = statistics.mean_over_paths(
            (values[:, index] ** 2).mean(axis=1)
        )
        yield found | {"law_second_moment": law.moment(2)}


def rate_of(rows: Sequence[Row]) -> statistics.Rate | None:
    """How the distance, averaged over times, falls with the size; None for fewer than three sizes."""
    sizes = sorted({row["size"] for row in rows})
    if len(sizes) < 3:
        return None
    by_size = [[row for row in rows if row["size"] == size] for size in sizes]
    means = [float(np.mean([row["ks"] for row in own])) for own in by_size]
    errors = [math.hypot(*(row["ks_error"] for row in own)) / len(own) for own in by_size]
    return statistics.rate(sizes, means, errors)


def _relaxation(member: xr.DataTree) -> Iterator[Row]:
    """The law, Σx²/d and the centre of mass, scaled, beside what is known of them."""
    model, times, values = _states(member)
    start = clusters(model.size)
    for index, time in enumerate(times):
        own = values[:, index]
        found = {"kappa": model.kappa, "size": model.size, "paths": len(own), "time": float(time)}
        found["ks"], found["ks_error"] = statistics.kolmogorov_distance(own, law_after(model, float(time)))
        mean = statistics.mean_over_paths((own**2).mean(axis=1))
        found["second_moment"], found["second_moment_error"] = mean
        found["second_moment_exact"] = second_moment(model, float(time))
        found |= _centre(model, float(time), own.mean(axis=1) * scale(model), start * scale(model))
        yield found


def second_moment(model: Any, time: float) -> float:
    """E Σx² β/d² at a time after the start "clusters", V = x²/2.

    With Y = Σx², (11.8) gives dE[Y]/dt = −2E[Y] + 2(d(d−1) + κd)/β by Itô's formula.
    """
    limit = (model.size - 1.0 + model.kappa) / model.size
    return float(limit + (float(np.mean(clusters(model.size) ** 2)) - limit) * math.exp(-2.0 * time))


def _variance_of_centre(model: Any, time: float) -> float:
    """Of the centre of mass, scaled, at a time after a start of one value."""
    return float(laws.centre_of_mass(model, 0.0, time).var() * model.beta / model.size) if time else 0.0


def _centre(model: Any, time: float, centres: Floats, start: Floats) -> Row:
    """Centres of mass, unscaled, against their normal law: repulsions cancel, those that are softened too."""
    law = laws.centre_of_mass(model, start, time)
    variance = statistics.shape(centres[:, np.newaxis]).variance
    found = {"centre_variance": variance.value * model.beta / model.size}
    found["centre_variance_error"] = variance.error * model.beta / model.size
    found["centre_variance_exact"] = _variance_of_centre(model, time)
    found["centre"] = statistics.kolmogorov_distance(centres[:, np.newaxis], law).value
    return found | {"centre_bound": statistics.one_sample_bound(len(centres), analysis.FALSE_ALARM)}


def _upstairs(up: xr.DataTree, down: xr.DataTree) -> list[Row]:
    """The largest distance of the laws of an ordered eigenvalue, at each time; the bound is for all of them."""
    model, times, matrices = _states(up)
    _, _, eigenvalues = _states(down)
    found, tests = [], model.size * len(times)
    bound = statistics.kolmogorov_bound(len(matrices), len(eigenvalues), analysis.FALSE_ALARM / tests)
    for index, time in enumerate(times):
        distances = [
            statistics.kolmogorov_between(matrices[:, index, [k]], eigenvalues[:, index, [k]]).value
            for k in range(model.size)
        ]
        row = {"size": model.size, "kappa": model.kappa, "time": float(time), "paths": len(matrices)}
        found.append(row | {"distance": max(distances), "bound": bound})
    return found


TABLES: dict[str, Callable[[Parts], list[Row]]] = {
    EQUILIBRIUM: lambda parts: [_equilibrium(member) for member in dataset.members(parts[EQUILIBRIUM])],
    EXPANSION: lambda parts: [row for member in dataset.members(parts[EXPANSION]) for row in _expansion(member)],
    RELAXATION: lambda parts: [row for member in dataset.members(parts[RELAXATION]) for row in _relaxation(member)],
    UPSTAIRS: lambda parts: _upstairs(parts[UPSTAIRS], parts[DOWNSTAIRS]),
    QUARTIC: lambda parts: [_quartic(member) for member in dataset.members(parts[QUARTIC])],
}


# --- pictures ---------------------------------------------------------------------------------------------------------


def _largest(rows: Sequence[Row], key: str) -> float:
    return max(float(row[key]) for row in rows)


def _panel(title: str, values: Floats, law: laws.Law, name: str, ends: tuple[float, float]) -> Panel:
    """The density of values (path, component) between two ends, on a law."""
    edges = np.linspace(*ends, BINS + 1)
    counts = np.array([np.histogram(path, edges)[0] for path in values])
    return panel_of(title, edges, density_of(edges, counts, np.full(len(values), values.shape[1])), law, name)


def _edges_picture(tree: xr.DataTree) -> Densities:
    """The largest eigenvalue, scaled, on Tracy's and Widom's laws, where there is one."""
    panels, size, paths = [], 0, 0
    for member in dataset.members(tree):
        model: Any = dataset.model_of(member)
        values = analysis.states(member)
        if values is None or 2.0 / model.kappa not in TRACY_WIDOM:
            continue
        largest = _edge(model, values[np.isfinite(values).all(axis=(1, 2))])
        law, title = laws.soft_edge_limit(model), f"$\\kappa$ = {model.kappa:g}, exponent {2.0 / model.kappa:g}"
        panels.append(_panel(title, largest, law, "Tracy\u2013Widom", EDGES_SHOWN))
        size, paths = model.size, len(largest)
    words = (
        "Histograms of the largest eigenvalue, scaled, on the laws of Tracy and Widom of the same exponent, which are "
        "those of infinite size; below, residuals with the band of noise."
    )
    title = f"Largest eigenvalue of Dyson Brownian motion at equilibrium\nsize $d$ = {size}; {paths:,} paths"
    return Densities(panels, 3, title, "$(x\\sqrt{\\beta/d} - b)\\, d^{\\,2/3}$", results.FROM_PATHS, words)


def _expansion_picture(tree: xr.DataTree, rows: Sequence[Row]) -> Densities:
    """The density at each time on the free convolution, of the largest size."""
    *_, member = dataset.members(tree)
    model, times, values = _states(member)
    panels = []
    for index, time in enumerate(times):
        law = law_after(model, float(time))
        name = "start, convolved freely with a semicircle"
        reach = max(float(np.abs(values[:, index]).max()), law.support[1])
        panels.append(_panel(f"$t$ = {time:g}", values[:, index], law, name, (-reach, reach)))
    title = f"Free expansion of Dyson Brownian motion from two clusters\nsize $d$ = {model.size}; {len(values):,} paths"
    largest = _largest([row for row in rows if row["size"] == model.size], "ks")
    words = (
        "Two clusters of eigenvalues at \u22121 and 1 spread and merge: histograms at several times lie on the free "
        "convolution of the start with a semicircle. The distances of distribution functions are at most "
        f"{largest:.2g}."
    )
    return Densities(panels, 2, title, "eigenvalue $x\\sqrt{\\beta/d}$", results.FROM_PATHS, words)


def _relaxation_picture(tree: xr.DataTree, rows: Sequence[Row]) -> Curves:
    off = [abs(row["second_moment"] / row["second_moment_exact"] - 1.0) for row in rows]
    words = (
        "Over time, the mean square of the eigenvalues and the variance of their centre of mass, each with its exact "
        f"curve for each κ. The mean square differs from it by {100.0 * max(off):.2g} % at most."
    )
    picture = Curves("Relaxation to equilibrium from two clusters", words, columns=2)
    exact = {"second_moment": second_moment, "centre_variance": _variance_of_centre}
    panels = [
        ("second_moment", picture.panel("", "time $t$", "$E\\,\\sum x^2\\,\\beta/d^2$")),
        ("centre_variance", picture.panel("", "time $t$", "variance of the centre of mass")),
    ]
    for key, panel in panels:
        for member in dataset.members(tree):
            model: Any = dataset.model_of(member)
            own = [row for row in rows if row["kappa"] == model.kappa and row["size"] == model.size]
            times = [row["time"] for row in own]
            curve = np.linspace(0.0, times[-1], CURVE)
            panel.line(curve, [exact[key](model, float(time)) for time in curve], label="exact", color=EXACT)
            values, errors = ([row[f"{key}{end}"] for row in own] for end in ("", "_error"))
            panel.points(times, values, errors, label=f"$\\kappa$ = {model.kappa:g}")
    return picture


def _upstairs_picture(up: xr.DataTree, down: xr.DataTree, rows: Sequence[Row]) -> Curves:
    """Differences of the distribution functions of ordered eigenvalues, in the band that chance stays in."""
    model, times, matrices = _states(up)
    _, _, eigenvalues = _states(down)
    words = (
        f"Differences of the distribution functions of each of {model.size} ordered eigenvalues, of Hermitian matrices "
        f"less those of Dyson's equation: the largest is {_largest(rows, 'distance'):.2g}, and one beyond "
        f"{_largest(rows, 'bound'):.2g} would come by chance with a probability of at most {analysis.FALSE_ALARM:g}."
    )
    picture = Curves("Theorem 15: Hermitian matrices less eigenvalues", words, columns=len(times))
    every = np.concatenate([matrices, eigenvalues])
    x = np.linspace(every.min(), every.max(), CURVE)
    for index, row in enumerate(rows):
        panel = picture.panel(f"$t$ = {row['time']:g}", "eigenvalue $x\\sqrt{\\beta/d}$", "difference of cdfs")
        for k in range(model.size):
            cdfs = [np.searchsorted(np.sort(own[:, index, k]), x) / len(own) for own in (matrices, eigenvalues)]
            panel.line(x, cdfs[0] - cdfs[1], label=f"each of {model.size} ordered eigenvalues")
        for sign in (-1.0, 1.0):
            level = np.full(2, sign * row["bound"])
            panel.line(x[[0, -1]], level, label="bound for all", dashed=True, color=REFERENCE)
    return picture
