"""The free energy F_β = E − S/β of (14.1): where its minimisers are, how many, of which rank.

Section 14.2 of Menon's paper asks for the minimising set S_β (6.9). With p_k = σ_k^{2/N} the entropy is
½ log Σ_j p_1^{N−1−j} p_2^j for d = 2, which grows without bound along the valley E = 0: so F_β has no minimum for
N > 1, and its gradient flow escapes such that `Σ p_k` grows at the rate 2(N−1)/(Nβ). With a confinement ½c Tr WᵀW there
are minimisers. Where det W > 0 they are a pair ((w, x), (−x, w)) with w = 1, `1 + x² = (1−1/N)/(2βc)`, for
β < β_c = (1−1/N)/(2c), and one multiple of the identity above. Where det W < 0 there is a pair ((w, x), (x, w)), of
which F is higher: minimisers of that side, which the flow does not leave. They have rank two, with σ_2 falling like
β^{−N/(N−2)} for N > 2; for N = 2 they reach rank one at β = (1+c)²/(4c), and from there on there are none: F falls on
beyond det W = 0, and all paths leave that side. So the minimising set S_β (6.9) lies in det W > 0.
"""

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import scipy
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field
from typing_extensions import override

from dlnmc import dataset, geometry, statistics
from dlnmc.config import Run, Simulation
from dlnmc.energies import MatrixCompletion
from dlnmc.errors import InvalidValue
from dlnmc.plotting import EXACT, REFERENCE, Curves
from dlnmc.studies.base import Kind, Parts, Picture, Row, Tables, Verdict
from dlnmc.studies.matrix_completion import FEWEST, GIVEN, matrices_of

Floats = NDArray[np.float64]

ESCAPE, CONFINED, LANGEVIN = "escape", "confined", "langevin"
STANDARD_ERRORS = 5.0  # exceeded by chance once in two million times
CONFINEMENTS = tuple(10.0 ** (-k / 4.0) for k in range(4, 21))  # of the exact minimisers, as c → 0
ENOUGH = 24  # paths of which all miss one of two minimisers, found alike, with probability 2^-23
CURVE = 160  # points of an exact curve
DIFFERENCE = 1e-2  # step of second differences of F over σ_2, beyond which S is not smooth, and at most
SMOOTH = 1e-3  # σ_2 from which second differences of F are taken
LINE = 3  # points of one that is fitted
STILL = 1e-6  # what does not move may
SAME = 1e-12  # of free energies that are equal
NEAREST = 1e-13  # σ_2 where S is looked at near rank one
NEAREST_LEVELS = 1e-4  # relative: σ_1 beside σ_2
SIDES = {"negative": -1.0, "positive": 1.0}  # of det W


class FreeEnergy(Kind):
    """The `[study]` table.

    Parameters
    ----------
    title
        What pictures and tables are headed by.
    growth
        Largest distance from 1 of the rate at which Σσ_k^{2/N} grows, over 2(N−1)/(Nβ): at finite times other terms are
        left.
    settled
        Largest distance of ends of the confined flow from the nearest exact minimiser.
    concentration
        Largest relative distance of E|W − W*|²/κ, as κ → 0, from its exact value, beside five standard errors: terms of
        higher order in κ, and steps.
    """

    PARTS: ClassVar = {ESCAPE: Simulation, CONFINED: Simulation, LANGEVIN: Simulation}
    COLUMNS: ClassVar = {
        "side": "the sign of det W",
        "number": "how many minimisers are on that side, exactly",
        "W_11": "that entry of the first of them",
        "W_12": "that entry of the first of them",
        "W_21": "that entry of the first of them",
        "rank": "its rank",
        "sigma_ratio": "its σ_2/σ_1",
        "free_energy": "F_β there",
        "lowest": "whether F_β is lowest there, of all matrices",
        "left": "how many paths that start on that side end on the other; none where no path starts there",
        "visited": "how many minimisers the flow found",
        "farthest": "the largest distance of an end of the flow from the nearest minimiser",
        "excess": "the largest F_β of an end less that of the minimiser",
        "W_12_found": "the mean |W_12| of the ends",
        "sigma_2_found": "the mean σ_2 of the ends",
        "largest_energy": "the largest energy E at the end",
        "median_sigma_1": "the median of σ_1 at the end",
        "moved": "how far entries that are not given moved, the farthest",
        "growth": "the rate at which Σσ^(2/N) grows at the end, over the exact one",
        "least_growth": "the same of the slowest path",
        "still": "paths of which it does not grow",
        "p": "the mean of Σσ^(2/N)",
        "rate": "the exact rate at which it grows in the end, 2(N−1)/(Nβ)",
        "confinement": "the c of the energy ½c Tr WᵀW",
        "asymptote": "what W_12 tends to as c → 0, √((1−1/N)/(2βc))",
        "square": "E|W − W*|²/κ, W* the nearest minimiser",
        "exact": "the trace of the inverse Hessian of F_β over β",
        "kappas": "at how many κ paths are on that side",
        "limit": "the value for κ → 0, by the fit",
        "slope": "how it changes with κ, by the fit",
    }

    kind: Literal["free-energy"] = "free-energy"
    title: str = "The free-energy landscape of matrix completion"
    growth: float = Field(default=0.05, gt=0)
    settled: float = Field(default=1e-3, gt=0)
    concentration: float = Field(default=0.05, ge=0)

    @override
    def check(self, runs: Mapping[str, Sequence[Run]]) -> None:
        for name, own in runs.items():
            for run in own:
                _check(name, run)
        depths = [model_of(run).depth for run in runs[ESCAPE]]
        if max(depths) == 1.0:
            raise InvalidValue(f"parts.{ESCAPE}.model.depth = {max(depths):g}: it must have one above 1")
        if len({run.model.kappa for run in runs[LANGEVIN]}) < LINE or len(runs[ESCAPE][0].times) < LINE:  # type: ignore[attr-defined]
            raise InvalidValue("parts: langevin needs three kappa or more, and escape three times or more")

    @override
    def tables(self, parts: Parts) -> Tables:
        concentration = [row for member in dataset.members(parts[LANGEVIN]) for row in _concentration(member)]
        return {
            "minimisers": [row for member in dataset.members(parts[CONFINED]) for row in self._minimisers(member)],
            ESCAPE: [_escape(member) for member in dataset.members(parts[ESCAPE])],
            "path": [row for member in dataset.members(parts[ESCAPE]) for row in _path(member)],
            "confinement": _as_confinement_vanishes(dataset.model_of(next(dataset.members(parts[CONFINED])))),
            "concentration": concentration,
            "limit": _limits(concentration),
        }

    def _minimisers(self, member: xr.DataTree) -> Iterator[Row]:
        """Where paths end, on each side of det W = 0, beside the exact minimisers there."""
        model: Any = dataset.model_of(member)
        W = _last(member)
        free, start = free_energy(model, W), np.sign(np.linalg.det(matrices_of(member)[:, 0]))
        for side, sign in SIDES.items():
            chosen, exact = np.sign(np.linalg.det(W)) == sign, minimisers(model, sign)
            ends, begun = W[chosen], start == sign
            found: Row = {"depth": model.depth, "beta": model.beta, "side": side, "paths": len(ends)}
            found["number"], found["left"] = len(exact), int(np.sum(begun & ~chosen)) if begun.any() else None
            if exact:
                s = np.linalg.svd(exact[0], compute_uv=False)
                found |= {f"W_{i + 1}{j + 1}": float(exact[0][i, j]) for i, j in ((0, 0), (0, 1), (1, 0))}
                found |= {"rank": int(np.sum(s > 0.0)), "sigma_ratio": float(s[1] / s[0])}
                found["free_energy"] = float(free_energy(model, exact[0]))
                found["lowest"] = found["free_energy"] <= lowest(model) + SAME
            if exact and len(ends):
                distance = np.array([np.linalg.norm(ends - own, axis=(1, 2)) for own in exact])
                near = distance.min(axis=0)
                found["visited"] = int(np.sum((distance < self.settled).any(axis=1)))
                found["farthest"] = float(near.max())
                found["excess"] = float(np.max(free[chosen] - found["free_energy"]))
                found["W_12_found"] = float(np.mean(np.abs(ends[:, 0, 1])))
                found["sigma_2_found"] = float(np.mean(np.linalg.svd(ends, compute_uv=False)[:, 1]))
            yield found

    @override
    def checks(self, parts: Parts, tables: Tables) -> Iterator[Verdict]:
        for name in (ESCAPE, CONFINED, LANGEVIN):
            failed = int(np.sum(parts[name]["sampler/status"].to_numpy() != 0))
            yield f"{name}: {failed} paths failed (none may)", failed == 0
        for row in tables[ESCAPE]:
            words = f"no confinement, depth {row['depth']:g}, beta {row['beta']:g}"
            if row["depth"] == 1.0:
                yield (
                    f"{words}: entries not given move by {row['moved']:.2g} (at most {STILL:g})",
                    row["moved"] <= STILL,
                )
                continue
            yield f"{words}: {row['still']} paths do not grow at the end (none may)", row["still"] == 0
            text = f"{words}: the sum of p grows at {row['growth']:.4f} ± {row['growth_error']:.4f} of its exact rate"
            yield f"{text} (within {self.growth:g} of 1)", abs(row["growth"] - 1.0) <= self.growth
        for row in tables["minimisers"]:
            words = f"confined, depth {row['depth']:g}, beta {row['beta']:g}, det W {row['side']}"
            if not row["number"]:
                yield f"{words}: {row['paths']} paths end there, where no minimiser is (none may)", row["paths"] == 0
                continue
            if row["left"] is None:
                yield f"{words}: no path starts there, where {row['number']} minimisers are", None
            else:
                yield (
                    f"{words}: {row['left']} paths leave it, where {row['number']} minimisers are (none may)",
                    (row["left"] == 0),
                )
            if row["paths"]:
                text = f"{words}: the farthest of {row['paths']} ends is {row['farthest']:.2g} from an exact minimiser"
                yield f"{text} (at most {self.settled:g})", row["farthest"] <= self.settled
                if row["number"] == 1 or row["paths"] >= ENOUGH:
                    text = f"{words}: {row['visited']} of {row['number']} minimisers were found (all must be)"
                    yield text, row["visited"] == row["number"]
                else:
                    yield f"{words}: {row['paths']} paths are too few to find all of {row['number']} minimisers", None
        for row in tables["limit"]:
            words = f"langevin, depth {row['depth']:g}, beta {row['beta']:g}, det W {row['side']}"
            if row.get("limit") is None:
                yield f"{words}: paths are there at {row['kappas']} kappa, too few for a limit", None
                continue
            allowed = self.concentration * row["exact"] + STANDARD_ERRORS * row["limit_error"]
            text = f"{words}: E|W − W*|²/kappa tends to {row['limit']:.3f} ± {row['limit_error']:.3f}"
            yield (
                f"{text}, exactly {row['exact']:.3f} (within {allowed:.3f})",
                abs(row["limit"] - row["exact"]) <= allowed,
            )

    @override
    def pictures(self, parts: Parts, tables: Tables) -> dict[str, Picture]:
        return {
            "minimisers": _minimisers_picture(
                tables["minimisers"], dataset.model_of(next(dataset.members(parts[CONFINED])))
            ),
            ESCAPE: _escape_picture(tables),
            "concentration": _concentration_picture(tables),
        }


def _check(name: str, run: Run) -> None:
    """Raise InvalidValue where a run is not one of its part."""
    model, energy = model_of(run), model_of(run).energy
    given = isinstance(energy, MatrixCompletion) and model.size == 2
    if not given or {(i, j): value for i, j, value in energy.entries} != dict.fromkeys(GIVEN, 1.0):
        raise InvalidValue(f"parts.{name}.model.energy: it must be that of (14.1), at width 2")
    if (energy.confinement > 0.0) != (name != ESCAPE):
        wanted = "0" if name == ESCAPE else "> 0"
        raise InvalidValue(f"parts.{name}: confinement = {energy.confinement:g}: it must be {wanted}")
    if name != LANGEVIN and not (run.scheme == "gradient_flow" and math.isfinite(model.beta)):
        raise InvalidValue(f"parts.{name}: it must be a 'gradient_flow' at kappa = 0 and finite beta")
    if name == LANGEVIN and (model.kappa == 0.0 or not math.isfinite(model.beta)):
        raise InvalidValue(
            f"parts.{name}: beta = {model.beta:g}, kappa = {model.kappa:g}: it takes beta < inf, kappa > 0"
        )
    if model.depth == math.inf or (name != ESCAPE and 1.0 < model.depth < 2.0):
        wanted = "finite" if name == ESCAPE else "1, or 2 or more, and finite"
        raise InvalidValue(f"parts.{name}.model.depth = {model.depth:g}: it must be {wanted}")
    if model.clock != "paper":
        raise InvalidValue(f"parts.{name}.model.clock = {model.clock!r}: it must be 'paper'")
    if run.paths < FEWEST:
        raise InvalidValue(f"parts.{name}.run.paths = {run.paths}: it must be {FEWEST} or more, for errors")
    if run.state != "matrix" or not run.keep_samples:
        raise InvalidValue(f"parts.{name}: it must keep samples, of state 'matrix'")
    if name != LANGEVIN:
        return
    for sign in SIDES.values():
        for W in minimisers(model, sign):
            least = float(np.linalg.svd(W, compute_uv=False)[1])
            if least < SMOOTH:
                raise InvalidValue(
                    f"parts.{name}.model.beta = {model.beta:g}: its minimiser has a singular value of {least:.2g}, too "
                    f"near rank one to know E|W - W*|^2 (at least {SMOOTH:g}); take a smaller beta"
                )


def model_of(run: Run) -> Any:
    """Its deep linear network."""
    return run.model


# --- what is exact ----------------------------------------------------------------------------------------------------


def free_energy(model: Any, W: Floats) -> Floats:
    """F_β = E − S/β of matrices (…, 2, 2) (Menon (6.6))."""
    s: Floats = np.asarray(np.linalg.svd(W, compute_uv=False), dtype=np.float64)
    return np.asarray(model.energy.value(W) - geometry.entropy_of_singular_values(model.depth, s) / model.beta)


class _Symmetric(NamedTuple):
    """A matrix ((w, x), (±x, w)), by which sign det W has."""

    w: float
    x: float
    sign: float

    def matrix(self) -> Floats:
        return np.array([[self.w, self.x], [0.0 - self.sign * self.x, self.w]])


@functools.lru_cache(maxsize=4096)
def minimisers(model: Any, sign: float) -> Sequence[Floats]:
    """The minimisers of F_β for (14.1) with a confinement among W of which det W has a sign; N = 1 or N ≥ 2.

    For det W > 0 σ_1 = σ_2 there, and all is closed but a quadratic equation. For det W < 0 the singular values are
    w + x > x − w > 0; there is none where F falls to rank one and beyond, for N ≤ 2.
    """
    N, beta, c = model.depth, model.beta, model.energy.confinement
    steepness = (1.0 - 1.0 / N) / (2.0 * beta)
    if sign > 0.0:
        if c < steepness:
            x = math.sqrt(steepness / c - 1.0)
            return [_Symmetric(1.0, own, sign).matrix() for own in (x, -x)]
        w = (1.0 + math.sqrt(1.0 + 4.0 * (1.0 + c) * steepness)) / (2.0 * (1.0 + c))  # (1+c)w² − w − steepness = 0
        return [_Symmetric(w, 0.0, sign).matrix()]

    high, low = _levels_of_the_negative(N, beta, c)
    if low == 0.0:
        return []
    return [_Symmetric(0.5 * (high - low), own * 0.5 * (high + low), sign).matrix() for own in (1.0, -1.0)]


def _levels_of_the_negative(N: float, beta: float, c: float) -> tuple[float, float]:
    """σ_1 > σ_2 ≥ 0 of the minimiser ((w, x), (x, w)), w = ½(σ_1 − σ_2), x = ½(σ_1 + σ_2).

    Both derivatives of F vanish. For N ≤ 2 σ_2 = 0 where F grows with σ_2 from there: there is no minimiser then. For
    N > 2 F falls there, if only below σ_2 = 1e-13, which is then returned.
    """

    def slopes(high: float, low: float) -> tuple[float, float]:
        square, power = high**2 - low**2, high ** (2.0 / N) - low ** (2.0 / N)
        first = high / square - high ** (2.0 / N - 1.0) / (N * power)
        second = low ** (2.0 / N - 1.0) / (N * power) - low / square
        w = 0.5 * (high - low)
        return w - 1.0 + c * high - first / beta, 1.0 - w + c * low - second / beta

    def above(low: float) -> float:
        """σ_1 at which F is lowest, for a given σ_2."""
        near, far = low * (1.0 + NEAREST_LEVELS) + NEAREST, 4.0 + 4.0 * low + 1.0 / math.sqrt(c * beta)
        if slopes(near, low)[0] >= 0.0:  # at equal singular values, which are no minimum of both
            return near
        return float(scipy.optimize.brentq(lambda high: slopes(high, low)[0], near, far, xtol=1e-15))

    def slope(log_low: float) -> float:
        low = math.exp(log_low)
        return slopes(above(low), low)[1]

    least = math.log(NEAREST)
    if slope(least) >= 0.0:
        return above(NEAREST), NEAREST if N > 2.0 else 0.0
    most = least + 1.0
    while slope(most) < 0.0:
        most += 1.0
    low = math.exp(scipy.optimize.brentq(slope, most - 1.0, most, xtol=1e-15))
    return above(low), low


def lowest(model: Any) -> float:
    """The least of F_β with a confinement."""
    return min(float(free_energy(model, W)) for sign in SIDES.values() for W in minimisers(model, sign))


def spread(model: Any, W: Floats) -> float:
    """The limit of E|W − W*|²/κ as κ → 0: the trace of the inverse Hessian of F_β at a minimiser W*, over β.

    At equilibrium the density of W is e^{−(β/κ)F_β} times what does not depend on κ.
    """
    step = DIFFERENCE * min(1.0, float(np.linalg.svd(W, compute_uv=False)[1]))
    units = np.eye(4).reshape(4, 2, 2) * step

    def second(i: int, j: int) -> float:
        places = np.array([W + a * units[i] + b * units[j] for a in (1, -1) for b in (1, -1)])
        return float(free_energy(model, places) @ np.array([1.0, -1.0, -1.0, 1.0])) / (4.0 * step**2)

    hessian = np.array([[second(i, j) for j in range(4)] for i in range(4)])
    return float(np.trace(np.linalg.inv(hessian))) / float(model.beta)


def _as_confinement_vanishes(model: Any) -> list[Row]:
    """The exact minimisers for det W < 0 as c → 0, at each depth: they move to infinity like c^{−1/2}."""
    rows = []
    for depth in (2.0, 3.0, 4.0):
        for c in CONFINEMENTS:
            own = model.changed(depth=depth, energy=model.energy.changed(confinement=c))
            exact = minimisers(own, -1.0)
            if not exact:
                continue
            reach = math.sqrt((1.0 - 1.0 / depth) / (2.0 * own.beta * c))
            rows.append(
                {"depth": depth, "beta": own.beta, "confinement": c, "W_12": float(exact[0][0, 1]), "asymptote": reach}
            )
    return rows


# --- what was sampled -------------------------------------------------------------------------------------------------


def _last(member: xr.DataTree) -> Floats:
    return matrices_of(member)[:, -1]


def _sum_of_p(model: Any, W: Floats) -> Floats:
    """Σσ_k^{2/N}."""
    return np.asarray((np.linalg.svd(W, compute_uv=False) ** (2.0 / model.depth)).sum(axis=-1))


def _escape(member: xr.DataTree) -> Row:
    """How fast paths of the flow without confinement leave, between the last two times."""
    model: Any = dataset.model_of(member)
    W = matrices_of(member)
    times = member["samples/time"].to_numpy()
    p = _sum_of_p(model, W[:, -2:])
    found: Row = {"depth": model.depth, "beta": model.beta, "paths": len(W), "time": float(times[-1])}
    energy = member["samples/energy"].transpose("path", "time").to_numpy()[:, -1]
    found |= {"largest_energy": float(np.nanmax(energy))}
    found["median_sigma_1"] = float(np.median(np.linalg.svd(W[:, -1], compute_uv=False)[:, 0]))
    if model.depth == 1.0:
        return found | {"moved": float(np.max(np.abs((W[:, -1] - W[:, 0])[:, [0, 1], [1, 0]])))}
    rate = 2.0 * (model.depth - 1.0) / (model.depth * model.beta)
    growth = (p[:, 1] - p[:, 0]) / (times[-1] - times[-2]) / rate
    found["growth"], found["growth_error"] = statistics.mean_over_paths(growth)
    return found | {"least_growth": float(growth.min()), "still": int(np.sum(growth <= 0.0))}


def _path(member: xr.DataTree) -> Iterator[Row]:
    """The mean of Σσ_k^{2/N} over time, and its exact asymptotic rate."""
    model: Any = dataset.model_of(member)
    W = matrices_of(member)
    p = _sum_of_p(model, W)
    for index, time in enumerate(member["samples/time"].to_numpy()):
        mean = statistics.mean_over_paths(p[:, index])
        row = {"depth": model.depth, "beta": model.beta, "time": float(time), "p": mean.value, "p_error": mean.error}
        yield row | {"rate": 2.0 * (model.depth - 1.0) / (model.depth * model.beta)}


def _concentration(member: xr.DataTree) -> Iterator[Row]:
    """E|W − W*|²/κ at a late time on each side of det W = 0, with W* the nearest minimiser there."""
    model: Any = dataset.model_of(member)
    W = _last(member)
    for side, sign in SIDES.items():
        exact = minimisers(model, sign)
        own = W[np.sign(np.linalg.det(W)) == sign]
        if exact and len(own) >= FEWEST:
            square = np.min([((own - each) ** 2).sum(axis=(1, 2)) for each in exact], axis=0)
            mean = statistics.mean_over_paths(square / model.kappa)
            row = {"depth": model.depth, "beta": model.beta, "side": side, "kappa": model.kappa, "paths": len(own)}
            yield row | {"square": mean.value, "square_error": mean.error, "exact": spread(model, exact[0])}


def _limits(rows: Sequence[Row]) -> list[Row]:
    """Weighted straight lines in κ through E|W − W*|²/κ: its value at κ → 0."""
    found = []
    for depth, beta, side in dict.fromkeys((row["depth"], row["beta"], row["side"]) for row in rows):
        own = [row for row in rows if (row["depth"], row["beta"], row["side"]) == (depth, beta, side)]
        row = {"depth": depth, "beta": beta, "side": side, "kappas": len(own)}
        found.append(row)
        if len(own) < LINE:
            continue
        kappa, value, error = (np.array([row[key] for row in own]) for key in ("kappa", "square", "square_error"))
        design = np.stack([np.ones_like(kappa), kappa], axis=1) / error[:, None]
        covariance = np.linalg.inv(design.T @ design)
        limit, slope = covariance @ design.T @ (value / error)
        row |= {"limit": float(limit), "limit_error": math.sqrt(covariance[0, 0])}
        row |= {"slope": float(slope), "exact": own[0]["exact"]}
    return found


# --- pictures ---------------------------------------------------------------------------------------------------------


def _minimisers_picture(rows: Sequence[Row], model: Any) -> Curves:
    """W_12 of the minimisers over β, a panel for each depth."""
    c = model.energy.confinement
    words = (
        f"The entry W_12 of the minimisers of the free energy with confinement {c:g}, over the inverse temperature. "
        "Where det W is negative it falls to that of the matrix of rank one; where it is positive it falls to 0 at "
        "the exact threshold, beyond which the minimiser is a multiple of the identity. Ends of the flow lie on the "
        "curves. Below, its smallest singular value where det W is negative: it falls like a power of the inverse "
        "temperature, and at depth 2 reaches 0 at the exact threshold, from which on that side has no minimiser."
    )
    depths = list(dict.fromkeys(row["depth"] for row in rows))
    title = f"Minimisers of the free energy of matrix completion, confinement {c:g}"
    picture = Curves(title, words, columns=len(depths))
    for depth in depths:
        panel = picture.panel(f"depth $N$ = {depth:g}", "inverse temperature $\\beta$", "$|W_{12}|$", "log")
        own = [row for row in rows if row["depth"] == depth]
        betas, exact = _exact_over_beta(model, depth, own)
        for side, sign in SIDES.items():
            panel.line(betas, exact[side][:, 0], label="exact", color=EXACT)
            there = [row for row in own if row["side"] == side and row.get("W_12_found") is not None]
            label = f"ends of the flow, $\\det W$ {'<' if sign < 0 else '>'} 0"
            panel.points([row["beta"] for row in there], [row["W_12_found"] for row in there], label=label)
    for depth in depths:
        own = [row for row in rows if (row["depth"], row["side"]) == (depth, "negative")]
        betas, exact = _exact_over_beta(model, depth, own)
        panel = picture.panel(
            "",
            "inverse temperature $\\beta$",
            "$\\sigma_2$, $\\det W$ < 0",
            "log",
            "log" if np.isfinite(exact["negative"]).any() else "linear",  # an empty panel has no logarithm
        )
        panel.line(betas, exact["negative"][:, 1], label="exact", color=EXACT)
        if depth > 2.0:
            w = 1.0 / (1.0 + 2.0 * c)
            tail = (depth * betas * (1.0 - w) * (2.0 * w) ** (2.0 / depth)) ** (-depth / (depth - 2.0))
            panel.line(betas, tail, label="$\\beta^{-N/(N-2)}$", dashed=True, color=REFERENCE)
        ends = [row for row in own if (row.get("sigma_2_found") or 0.0) > NEAREST]
        label = "ends of the flow, $\\det W$ < 0"
        panel.points([row["beta"] for row in ends], [row["sigma_2_found"] for row in ends], label=label)
    return picture


def _exact_over_beta(model: Any, depth: float, rows: Sequence[Row]) -> tuple[Floats, dict[str, Floats]]:
    """Inverse temperatures, and |W_12| and σ_2 of the minimisers there (β, 2), NaN where none is, by side."""
    betas = np.geomspace(min(row["beta"] for row in rows), max(row["beta"] for row in rows), CURVE)
    found = {}
    for side, sign in SIDES.items():
        exact = [minimisers(model.changed(depth=depth, beta=float(beta)), sign) for beta in betas]
        levels = [(abs(W[0][0, 1]), np.linalg.svd(W[0], compute_uv=False)[1]) if W else (np.nan,) * 2 for W in exact]
        found[side] = np.array(levels)
    return betas, found


def _escape_picture(tables: Tables) -> Curves:
    """Σσ_k^{2/N} over time without confinement; and the minimisers as confinement vanishes."""
    words = (
        "Left, without confinement the flow of the free energy has no limit: the mean of the sum of σ^(2/N) grows in "
        "time, for each depth N, at the exact rate that lines show. Right, the minimisers with a confinement c move to "
        "infinity like one over the square root of c as it vanishes."
    )
    picture = Curves("Without confinement the free energy has no minimiser", words, columns=2)
    left = picture.panel("", "time $t$", "$\\sum\\sigma_k^{2/N}$")
    rows = [row for row in tables["path"] if row["depth"] > 1.0]
    beta = min(row["beta"] for row in rows)
    for depth in dict.fromkeys(row["depth"] for row in rows):
        own = [row for row in rows if (row["depth"], row["beta"]) == (depth, beta)]
        times, values = (np.array([row[key] for row in own]) for key in ("time", "p"))
        left.line(times, values[-1] + own[0]["rate"] * (times - times[-1]), label="exact rate", color=EXACT)
        left.points(times, values, [row["p_error"] for row in own], label=f"depth {depth:g}, $\\beta$ = {beta:g}")
    right = picture.panel("", "confinement $c$", "$W_{12}$ of the minimiser", "log", "log")
    for depth in dict.fromkeys(row["depth"] for row in tables["confinement"]):
        own = [row for row in tables["confinement"] if row["depth"] == depth]
        right.line([row["confinement"] for row in own], [row["W_12"] for row in own], label=f"exact, depth {depth:g}")
        asymptote = [row["asymptote"] for row in own]
        right.line([row["confinement"] for row in own], asymptote, label="$c^{-1/2}$", dashed=True, color=REFERENCE)
    return picture


def _concentration_picture(tables: Tables) -> Curves:
    """E|W − W*|²/κ over κ, with the exact limit."""
    words = (
        "The mean square distance of the Riemannian Langevin equation from the nearest minimiser of the free energy, "
        "over κ: as κ falls to 0 it tends to the exact value, the trace of the inverse Hessian over β."
    )
    picture = Curves("The noise in the observable vanishes: concentration on the minimisers", words, columns=2)
    several = len({(row["depth"], row["beta"]) for row in tables["limit"]}) > 1
    for row in tables["limit"]:
        keys = ("depth", "beta", "side")
        own = [other for other in tables["concentration"] if all(other[key] == row[key] for key in keys)]
        sign = "<" if row["side"] == "negative" else ">"
        title = f"$N$ = {row['depth']:g}, $\\beta$ = {row['beta']:g}, " if several else ""
        panel = picture.panel(f"{title}$\\det W$ {sign} 0", "$\\kappa$", "$E|W - W^*|^2/\\kappa$")
        kappas = [other["kappa"] for other in own]
        panel.points(
            kappas, [other["square"] for other in own], [other["square_error"] for other in own], label="measured"
        )
        if row.get("limit") is None:
            continue
        ends = np.array([0.0, max(kappas)])
        panel.line(ends, row["limit"] + row["slope"] * ends, label="fit", dashed=True, color=REFERENCE)
        panel.points([0.0], [row["exact"]], label="exact limit", color=EXACT)
    return picture
