"""Matrix completion: which matrix a deep linear network learns where some entries are given.

Part flow: the gradient flow of (14.1), W_11 and W_22 given. The minimisers are all W with W_11 = W_22 = 1 (14.2); those
of rank one have W_12 = a, W_21 = 1/a (14.3). Section 14.1 of Menon's paper asks which of them the flow finds. At depth
1 it keeps W_12 and W_21, so that their law is known.

Part langevin: the RLE of the same energy, which has no equilibrium: it moves along the valley of minimisers for ever.
At depth 1 W is Gaussian: W_11 an Ornstein–Uhlenbeck process, W_12 a Brownian motion. Part coarse is the same with
longer steps, which must not matter.

Parts few, many and digit: gradient flows of larger matrices, and how near they come to the entries that are hidden.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import scipy
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, field_validator
from typing_extensions import override

from dlnmc import analysis, dataset, statistics
from dlnmc.config import Run, Simulation
from dlnmc.energies import Finite, Index, MatrixCompletion
from dlnmc.errors import InvalidValue
from dlnmc.matrix_observables import observe
from dlnmc.plotting import EXACT, REFERENCE, Curves
from dlnmc.studies.base import Kind, Parts, Picture, Row, Tables, Verdict

Floats = NDArray[np.float64]
Entries = tuple[tuple[Index, Index, Finite], ...]

Mask = Literal["few", "many", "digit"]

FLOW, LANGEVIN, COARSE = "flow", "langevin", "coarse"
MASKS: tuple[Mask, ...] = ("few", "many", "digit")
LEVELS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)  # of quantiles
GIVEN = ((0, 0), (1, 1))
SMALL = 0.01  # |det W| below: nearly of rank one
REACH = 3.0  # of the axes of W_12, W_21 and log |a|
BINS = 60
FEWEST = 2  # paths of a part
ENDS = {"square_W_12": "E W_12^2", "energy": "mean energy", "effective_rank": "mean effective rank"}
STANDARD_ERRORS = 5.0  # exceeded by chance once in two million times
MOST_POINTS = 4000  # in a picture
EXACT_TO = 1e-9  # entries at depth 1, over the largest
COARSER = 2.0  # steps of the part coarse over those of langevin, at least
LONG = 12.0  # time from which the energy of the part langevin is held against κ/β
POWER = 0.55  # of a figure with steps of two lengths, that what chance may make of it is at most for it to tell
NEARER = 0.25  # the same of the distance of hidden entries
KEPT = 1e-7  # what depth 1 keeps, and the sign of det W beyond it, is kept to so much


class MatrixCompletionStudy(Kind):
    """The `[study]` table.

    Parameters
    ----------
    title
        What pictures and tables are headed by.
    energy
        A path of the part flow counts as converged where its energy is below.
    converged
        Smallest fraction of converged paths there.
    rank_one
        A limit counts as of rank one where |det W| is below; with W_11 = W_22 = 1 it is |1 − W_12 W_21|.
    fitted
        What may be left of the energy of few, many and digit at the end, relative to that at the start.
    quasi
        Largest relative distance of the mean energy of the part langevin at the end from κ/β, beside five standard
        errors: what two entries have that fluctuate about 1 while the others wander, to leading order in κ/β.
    hidden
        (i, j, W_ij) of the entries that are not given, for each of few, many and digit.
    """

    PARTS: ClassVar = dict.fromkeys((FLOW, LANGEVIN, COARSE), Simulation) | dict.fromkeys(MASKS, Simulation)
    BRIEF: ClassVar = frozenset({"limits"})
    COLUMNS: ClassVar = {
        "converged": "the fraction of paths of which the energy is below the `energy` of the study",
        "converged_by_time": "the same at each time",
        "slow_paths": "paths that are not there yet",
        "largest_energy": "the largest energy at the end",
        "rank_one": "the fraction of limits with |det W| below the `rank_one` of the study",
        "small_det": "the fraction with |det W| < 0.01",
        "negative_det": "the fraction with det W < 0",
        "positive_W_12": "the fraction with W_12 > 0",
        "same_signs": "the fraction with W_12 W_21 > 0",
        "effective_rank": "the mean of exp(−Σ p log p), p = σ²/Σσ²",
        "quantile_levels": "the probabilities of the quantiles",
        "quantiles": "quantiles over the limits",
        "log_a_spread": "the standard deviation of ½ log |W_12/W_21|, which for rank one is log |a|",
        "median_abs_det": "the median of |det W|",
        "energy": "the mean energy over κ/β",
        "square_W_12": "the mean of W_12²",
        "coarse_dt": "the longer time step",
        "coarse_square_W_12": "the mean of W_12² with it",
        "coarse_energy": "the mean energy over κ/β with it",
        "coarse_effective_rank": "the mean effective rank with it",
        "given": "the number of entries that are given",
        "left": "what is left of the energy of the start",
        "hidden": "the root mean square error of hidden entries over their root mean square, its mean over paths",
        "hidden_median": "its median over paths",
        "hidden_of_mean": "the same of the mean matrix of all paths",
        "nuclear": "the mean of Σσ",
        "effective_rank_of_whole": "the effective rank of the whole matrix",
        "nuclear_of_whole": "Σσ of the whole matrix",
    }

    kind: Literal["matrix-completion"] = "matrix-completion"
    title: str = "Matrix completion"
    energy: float = Field(default=1e-10, gt=0, allow_inf_nan=False)
    converged: float = Field(default=0.99, ge=0, le=1)
    rank_one: float = Field(default=1e-6, gt=0, allow_inf_nan=False)
    fitted: float = Field(default=1e-5, gt=0, allow_inf_nan=False)
    quasi: float = Field(default=0.05, ge=0, allow_inf_nan=False)
    hidden: dict[Mask, Entries]

    @field_validator("hidden", mode="before")
    @classmethod
    def _tuples(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {
            name: tuple(tuple(entry) if isinstance(entry, list) else entry for entry in own)
            if isinstance(own, list | tuple)
            else own
            for name, own in value.items()
        }

    @override
    def check(self, runs: Mapping[str, Sequence[Run]]) -> None:
        check_flows(runs[FLOW])
        check_langevin(LANGEVIN, runs[LANGEVIN])
        check_langevin(COARSE, runs[COARSE])
        check_coarse(runs[COARSE], runs[LANGEVIN])
        for name in MASKS:
            check_mask(name, runs[name], self.hidden.get(name, ()))

    @override
    def tables(self, parts: Parts) -> Tables:
        masks = [(name, member) for name in MASKS for member in dataset.members(parts[name])]
        return {
            "limits": [row(member, self) for member in dataset.members(parts[FLOW])],
            LANGEVIN: [row for member in dataset.members(parts[LANGEVIN]) for row in rows_of_langevin(member)],
            "steps": rows_of_steps(parts[LANGEVIN], parts[COARSE]),
            "masks": [row_of_mask(name, member, self.hidden[name]) for name, member in masks],
            "learning": [row for name, member in masks for row in rows_of_learning(name, member, self.hidden[name])],
        }

    @override
    def checks(self, parts: Parts, tables: Tables) -> Iterator[Verdict]:
        for text, holds in checks_of_limits(parts[FLOW], tables["limits"], self):
            yield f"flow, {text}", holds
        yield from checks_of_langevin(parts[LANGEVIN], tables[LANGEVIN], self.quasi)
        yield from checks_of_steps(parts[COARSE], tables["steps"])
        for name in MASKS:
            yield from checks_of_mask(name, parts[name], tables["masks"], self)

    @override
    def pictures(self, parts: Parts, tables: Tables) -> dict[str, Picture]:
        return {
            "limits": picture_of_limits(parts[FLOW], "Limits of the gradient flow of matrix completion"),
            "learning": picture_of_learning(tables),
            LANGEVIN: picture_of_langevin(tables[LANGEVIN]),
        }


# --- the gradient flow of (14.1) --------------------------------------------------------------------------------------


def check_flows(runs: Sequence[Run]) -> None:
    """Raise InvalidValue where a run is none of (14.1) from Gaussian matrices, or anything but the depth is swept."""
    _check_gradient_flows(FLOW, runs)
    for run in runs:
        _check_energy(FLOW, run.model)


def _check_gradient_flows(name: str, runs: Sequence[Run]) -> None:
    if len({getattr(run.model, "depth", None) for run in runs}) < len(runs):
        raise InvalidValue(f"parts.{name}.model: it sweeps the depth only")
    for run in runs:
        model: Any = run.model
        if math.isfinite(model.beta) or run.scheme != "gradient_flow" or run.start != "gaussian":
            raise InvalidValue(
                f"parts.{name}: beta = {model.beta:g}, run.scheme = {run.scheme!r}, run.start = {run.start!r}: it "
                "takes beta = inf, 'gradient_flow' and 'gaussian'"
            )
        _check_times(name, run)


def _check_times(name: str, run: Run) -> None:
    if run.paths < FEWEST:
        raise InvalidValue(f"parts.{name}.run.paths = {run.paths}: it must be {FEWEST} or more, for errors")
    if not run.keep_samples or not (isinstance(run, Simulation) and run.times[0] == 0.0 < run.times[-1]):
        raise InvalidValue(f"parts.{name}.run: it keeps samples, and its times begin at 0")


def _check_energy(name: str, model: Any) -> None:
    energy = model.energy
    given = isinstance(energy, MatrixCompletion) and energy.confinement == 0.0 and model.size == 2
    if not given or {(i, j): value for i, j, value in energy.entries} != dict.fromkeys(GIVEN, 1.0):
        raise InvalidValue(
            f"parts.{name}.model.energy: it takes width = 2 and energy = {{ kind = 'matrix_completion', "
            "entries = [[0, 0, 1.0], [1, 1, 1.0]] }"
        )


def row(member: xr.DataTree, settings: MatrixCompletionStudy) -> Row:
    """The figures of one depth. Quantiles, at `quantile_levels`, are over the limits of converged paths.

    `log_a` is ½ log |W_12/W_21|, which for a limit of rank one is log |a|.
    """
    found = dataset.parameters(dataset.model_of(member))
    data = member["samples"].to_dataset()
    times, energy = data["time"].to_numpy(), data["energy"].to_numpy()
    ends = limits_of(member, settings)
    n, failed = energy.shape[0], int(np.sum(member["sampler"]["status"].to_numpy() != 0))
    found |= {"paths": n, "failed_paths": failed, "time": float(times[-1])}
    found |= _fraction("converged", energy[:, -1] < settings.energy)
    found["converged_by_time"] = {
        f"{time:g}": float(np.mean(energy[:, k] < settings.energy)) for k, time in enumerate(times)
    }
    found["slow_paths"] = n - failed - len(ends)
    found["largest_energy"] = float(np.fmax.reduce(energy[:, -1]))  # NaN where no path is alive
    if not len(ends):
        return found
    det, b, c, logs = np.linalg.det(ends), ends[:, 0, 1], ends[:, 1, 0], log_a(ends)
    one = np.abs(det) < settings.rank_one
    rank = observe(member, "effective_rank")["effective_rank"].transpose("path", "time").to_numpy()[:, -1]
    rank = rank[energy[:, -1] < settings.energy]
    fractions = {
        "rank_one": one,
        "small_det": np.abs(det) < SMALL,
        "negative_det": det < -settings.rank_one,
        "positive_W_12": b > 0.0,
        "same_signs": b * c > 0.0,
    }
    for name, chosen in fractions.items():
        found |= _fraction(name, chosen)
    found["effective_rank"], found["effective_rank_error"] = statistics.mean_over_paths(rank)
    found["quantile_levels"] = list(LEVELS)
    of = {"det": det, "abs_det": np.abs(det), "effective_rank": rank, "W_12": b, "W_21": c, "log_a": logs}
    found["quantiles"] = {name: np.quantile(values, LEVELS).tolist() for name, values in of.items()}
    if np.any(one):
        found["quantiles"]["log_a_of_rank_one"] = np.quantile(logs[one], LEVELS).tolist()
    found |= {"log_a_spread": float(np.std(logs)), "median_abs_det": float(np.median(np.abs(det)))}
    return found


def limits_of(member: xr.DataTree, settings: MatrixCompletionStudy) -> Floats:
    """The last W (path, 2, 2) of the paths that converged."""
    data = member["samples"].to_dataset()
    last = data["matrix"].transpose("path", "time", "row", "column").to_numpy()[:, -1]
    return np.asarray(last[data["energy"].transpose("path", "time").to_numpy()[:, -1] < settings.energy])


def _fraction(name: str, chosen: NDArray[np.bool_]) -> dict[str, float]:
    """The fraction of paths, and its standard error."""
    share = float(np.mean(chosen))
    return {name: share, f"{name}_error": math.sqrt(share * (1.0 - share) / len(chosen))}


def checks_of_limits(tree: xr.DataTree, table: Sequence[Row], settings: MatrixCompletionStudy) -> Iterator[Verdict]:
    """What every depth is held against; what is a test of chance fails by chance with probability 1e-6 at most.

    No path fails; nearly all converge; no energy grew. At depth 1 W_12 and W_21 stay what they were, N(0, 1/2); beyond,
    det W keeps its sign. The law of limits has the symmetries of the start and the energy: transposition, by which
    |W_12| > |W_21| as often as not, and a change of sign of both.
    """
    members = {dataset.parameters(dataset.model_of(member))["depth"]: member for member in dataset.members(tree)}
    for row in table:
        for text, holds in _of_member(members[row["depth"]], row, settings):
            yield f"depth {row['depth']:g}: {text}", holds


def _of_member(member: xr.DataTree, row: Row, settings: MatrixCompletionStudy) -> Iterator[Verdict]:
    n = row["paths"]
    yield f"{row['failed_paths']} of {n} paths failed (none may)", row["failed_paths"] == 0
    text = f"{row['converged']:.5f} of {n} paths have E < {settings.energy:g} at t = {row['time']:g}"
    if row["slow_paths"]:
        text += f", {row['slow_paths']} slow ones up to {row['largest_energy']:.3g}"
    yield f"{text} (at least {settings.converged:g})", row["converged"] >= settings.converged
    data = member["samples"].to_dataset()
    energy = data["energy"].transpose("path", "time").to_numpy()
    alive = np.isfinite(energy).all(axis=1)
    if not np.any(alive):
        return
    W = data["matrix"].transpose("path", "time", "row", "column").to_numpy()[alive]
    grew = int(np.sum(np.diff(energy[alive], axis=1).max(axis=1) > settings.energy))
    yield f"the energy of {grew} paths grew (none may)", grew == 0
    if row["depth"] == 1.0:
        moved = max(float(np.max(np.abs(W[:, -1, i, j] - W[:, 0, i, j]))) for i, j in ((0, 1), (1, 0)))
        yield f"W_12 and W_21 moved by {moved:.2g} (at most {KEPT:g})", moved <= KEPT
        allowed = statistics.one_sample_bound(len(W), analysis.FALSE_ALARM / 2.0)  # there are two
        off = max(_distance_to_normal(W[:, -1, i, j] * math.sqrt(2.0)) for i, j in ((0, 1), (1, 0)))
        yield f"W_12 and W_21 at distance {off:.4f} from N(0, 1/2) (at most {allowed:.4f})", off <= allowed
    else:
        before, after = np.linalg.det(W[:, 0]), np.linalg.det(W[:, -1])
        crossed = int(np.sum(before * np.where(np.abs(after) > KEPT, after, 0.0) < 0.0))
        yield f"det W of {crossed} paths changed its sign (none may)", crossed == 0
    b, c = W[:, -1, 0, 1], W[:, -1, 1, 0]
    for words, count in (("W_12 > 0", np.sum(b > 0.0)), ("|W_12| > |W_21|", np.sum(np.abs(b) > np.abs(c)))):
        allowed = statistics.one_sample_bound(len(W), analysis.FALSE_ALARM)
        off = abs(float(count) / len(W) - 0.5)
        yield f"{words} in a fraction that is {off:.4f} from ½ (at most {allowed:.4f})", off <= allowed


def _distance_to_normal(values: Floats) -> float:
    """The Kolmogorov distance of numbers to the standard normal law."""
    cdf, n = scipy.special.ndtr(np.sort(values)), len(values)
    return float(np.max(np.maximum(cdf - np.arange(n) / n, np.arange(1, n + 1) / n - cdf)))


def log_a(W: Floats) -> Floats:
    """½ log |W_12/W_21| of matrices (path, 2, 2), which is log |a| for (14.3)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(0.5 * (np.log(np.abs(W[:, 0, 1])) - np.log(np.abs(W[:, 1, 0]))))


def picture_of_limits(tree: xr.DataTree, title: str) -> Curves:
    """For each member a column: W_21 over W_12, det W, and ½ log |W_12/W_21|.

    On the dashed hyperbola W_12 W_21 = 1 limits have rank one, and what the last row shows is log |a| (14.3).
    """
    members = list(dataset.members(tree))
    words = (
        "Above, W_21 over W_12 where the flow ends, for each depth, and the hyperbola of limits of rank one. Below, "
        "the densities of det W, which is 0 there, and of log |a|."
    )
    picture = Curves(title, words, columns=len(members))
    ends = []
    for member in members:
        W = member["samples/matrix"].isel(time=-1).transpose("path", "row", "column").to_numpy()
        ends.append(
            (analysis.name_of(dataset.parameters(dataset.model_of(member))), W[np.isfinite(W).all(axis=(1, 2))])
        )
    a = np.geomspace(1.0 / REACH, REACH, 100)
    for name, W in ends:
        panel = picture.panel(name.partition(",")[0], "$W_{12}$", "$W_{21}$")
        few = W[:MOST_POINTS]
        few = few[(np.abs(few[:, 0, 1]) < REACH) & (np.abs(few[:, 1, 0]) < REACH)]
        panel.dots(few[:, 0, 1], few[:, 1, 0], label="limits")
        for sign in (1.0, -1.0):
            panel.line(sign * a, sign / a, label="rank one", dashed=True, color=REFERENCE)
    edges = np.linspace(-REACH, REACH, BINS + 1)
    for label, values_of in (("$\\det W$", np.linalg.det), ("$\\frac{1}{2}\\log|W_{12}/W_{21}|$", log_a)):
        for _, W in ends:
            values = values_of(W)
            counts = np.histogram(values[np.isfinite(values)], edges)[0]
            share = counts / max(len(values), 1)
            error = np.sqrt(share * (1.0 - share) / max(len(values), 1))
            panel, width = picture.panel("", label, "density"), np.diff(edges)
            middle = 0.5 * (edges[1:] + edges[:-1])
            panel.band(
                middle, (share - 2 * error) / width, (share + 2 * error) / width, label="\u00b12 standard errors"
            )
            panel.line(middle, share / width, label="limits")
    return picture


# --- the RLE of (14.1) ------------------------------------------------------------------------------------------------


def check_langevin(name: str, runs: Sequence[Run]) -> None:
    """Raise InvalidValue where a run is none of the RLE of (14.1) from Gaussian matrices."""
    for run in runs:
        _check_energy(name, run.model)
        model: Any = run.model
        if model.kappa <= 0.0 or not math.isfinite(model.beta) or run.start != "gaussian" or run.state != "matrix":
            raise InvalidValue(
                f"parts.{name}: beta = {model.beta:g}, kappa = {model.kappa:g}, run.state = {run.state!r}, run.start "
                f"= {run.start!r}: it takes beta < inf, kappa > 0, 'matrix' and 'gaussian'"
            )
        if model.clock != "paper":
            raise InvalidValue(f"parts.{name}.model.clock = {model.clock!r}: it must be 'paper'")
        _check_times(name, run)


def check_coarse(coarse: Sequence[Run], fine: Sequence[Run]) -> None:
    """Raise InvalidValue where a run has no other of the same model and times with steps half as long or less."""
    for run in coarse:
        other = next((own for own in fine if own.model == run.model), None)
        if other is None:
            words = analysis.name_of(dataset.parameters(run.model))
            raise InvalidValue(f"parts.{COARSE}: {words} is no model of the part {LANGEVIN}, which it must be")
        times: Any = (run, other)
        if times[0].times[-1] != times[1].times[-1] or run.dt < COARSER * other.dt:  # type: ignore[operator]
            raise InvalidValue(
                f"parts.{COARSE}.run: dt = {run.dt:g}, times to {times[0].times[-1]:g}: it takes dt of "
                f"{COARSER * other.dt:g} or more and times to {times[1].times[-1]:g}"  # type: ignore[operator]
            )


def rows_of_langevin(member: xr.DataTree) -> Iterator[Row]:
    """What the states of a run are like at each time: energy over κ/β, rank, W_12², the spread of log |a|, det W."""
    model: Any = dataset.model_of(member)
    W = matrices_of(member)
    energy = np.asarray(model.energy.value(W)) * (model.beta / model.kappa)
    s = np.linalg.svd(W, compute_uv=False)
    rank = effective_rank_of(s)
    det = np.linalg.det(W)
    for index, time in enumerate(member["samples/time"].to_numpy()):
        found: Row = {"depth": model.depth, "beta": model.beta, "kappa": model.kappa, "time": float(time)}
        found["paths"] = len(W)
        for name, values in (
            ("energy", energy[:, index]),
            ("effective_rank", rank[:, index]),
            ("square_W_12", W[:, index, 0, 1] ** 2),
        ):
            found[name], found[f"{name}_error"] = statistics.mean_over_paths(values)
        found["log_a_spread"] = float(np.nanstd(log_a(W[:, index])))
        found |= _fraction("small_det", np.abs(det[:, index]) < SMALL)
        yield found | _fraction("negative_det", det[:, index] < 0.0)


def rows_of_steps(fine: xr.DataTree, coarse: xr.DataTree) -> list[Row]:
    """E W_12² and the energy at the end, with each of two lengths of steps."""
    models = {dataset.model_of(member): member for member in dataset.members(fine)}
    return [_row_of_steps(models[dataset.model_of(member)], member) for member in dataset.members(coarse)]


def _row_of_steps(fine: xr.DataTree, coarse: xr.DataTree) -> Row:
    *_, found = rows_of_langevin(fine)
    *_, other = rows_of_langevin(coarse)
    ends = [f"{key}{of}" for key in ENDS for of in ("", "_error")]
    row = {key: found[key] for key in ("depth", "beta", "kappa", "time", *ends)} | {"dt": float(fine["dt"])}
    row |= {"coarse_dt": float(coarse["dt"]), "paths": min(found["paths"], other["paths"])}
    return row | {f"coarse_{key}": other[key] for key in ends}


def checks_of_steps(coarse: xr.DataTree, table: Sequence[Row]) -> Iterator[Verdict]:
    """Whether longer steps tell the same: then the bias of the shorter ones is within the errors."""
    failed = int(np.sum(coarse["sampler/status"].to_numpy() != 0))
    yield f"{COARSE}: {failed} paths failed (none may)", failed == 0
    for row in table:
        words = f"{COARSE}, depth {row['depth']:g}, beta {row['beta']:g}, kappa {row['kappa']:g}"
        allowed = statistics.largest_z(len(ENDS), row["paths"] - 1, analysis.FALSE_ALARM)
        for key, symbol in ENDS.items():
            error = math.hypot(row[f"{key}_error"], row[f"coarse_{key}_error"])
            z = abs(row[key] - row[f"coarse_{key}"]) / error
            if z <= allowed and allowed * error > POWER * abs(row[key]):
                yield f"{words}: {row['paths']} paths are too few to tell what steps do to {symbol}", None
                continue
            text = f"{words}: {symbol} {row[f'coarse_{key}']:.4g} with steps of {row['coarse_dt']:g}"
            text = f"{text} is {z:.2f} standard errors from that of {row['dt']:g} (at most {allowed:.2f})"
            yield text, z <= allowed


def effective_rank_of(sigma: NDArray[Any]) -> Floats:
    """exp(−Σ p log p), p = σ²/Σσ² (Roy and Vetterli 2007), of singular values (…, d)."""
    p = sigma**2 / np.sum(sigma**2, axis=-1, keepdims=True)
    return np.asarray(np.exp(-scipy.special.xlogy(p, p).sum(axis=-1)))


def matrices_of(member: xr.DataTree) -> Floats:
    """W (path, time, d, d) of paths that did not fail. Raises InvalidValue where all did."""
    W = member["samples/matrix"].transpose("path", "time", "row", "column").to_numpy()
    alive = np.isfinite(W).all(axis=(1, 2, 3))
    if not np.any(alive):
        words = analysis.name_of(dataset.parameters(dataset.model_of(member)))
        raise InvalidValue(f"{words}: none of {len(W)} paths is alive, so there are no figures")
    return np.asarray(W[alive])


def checks_of_langevin(tree: xr.DataTree, table: Sequence[Row], quasi: float) -> Iterator[Verdict]:
    """What each run is held against.

    At depth 1 entries are Gaussian at each time: what is not given has variance ½ + 2κt/β, what is given the mean
    1 − e^{−t} and the variance ½e^{−2t} + (1 − e^{−2t})κ/β. Beyond, the law has the symmetries of the start and the
    energy, and the energy of the given entries comes near κ/β, in time. Levels are signed, so that det W keeps its
    sign at depth 2.
    """
    failed = int(np.sum(tree["sampler/status"].to_numpy() != 0))
    yield f"langevin: {failed} paths failed (none may)", failed == 0
    for member in dataset.members(tree):
        model: Any = dataset.model_of(member)
        words = f"langevin, depth {model.depth:g}, beta {model.beta:g}, kappa {model.kappa:g}"
        W, times = matrices_of(member), member["samples/time"].to_numpy()
        noise = model.kappa / model.beta
        if model.depth == 1.0:
            allowed = statistics.one_sample_bound(len(W), analysis.FALSE_ALARM / (4.0 * len(times)))
            free = max(
                _distance_to_normal(W[:, k, i, j] / math.sqrt(0.5 + 2.0 * noise * t))
                for k, t in enumerate(times) for i, j in ((0, 1), (1, 0))
            )  # fmt: skip
            yield (
                f"{words}: entries not given at distance {free:.4f} from their law (at most {allowed:.4f})",
                (free <= allowed),
            )
            given = max(
                _distance_to_normal((W[:, k, i, i] + math.expm1(-t)) / math.sqrt(0.5 * math.exp(-2.0 * t)
                                    - noise * math.expm1(-2.0 * t)))
                for k, t in enumerate(times) for i in (0, 1)
            )  # fmt: skip
            yield (
                f"{words}: given entries at distance {given:.4f} from their law (at most {allowed:.4f})",
                (given <= allowed),
            )
            continue
        b, c = W[:, -1, 0, 1], W[:, -1, 1, 0]
        for text, count in (("W_12 > 0", np.sum(b > 0.0)), ("|W_12| > |W_21|", np.sum(np.abs(b) > np.abs(c)))):
            allowed, off = statistics.one_sample_bound(len(W), analysis.FALSE_ALARM), abs(float(count) / len(W) - 0.5)
            yield f"{words}: {text} in a fraction that is {off:.4f} from ½ (at most {allowed:.4f})", off <= allowed
        if model.depth == 2.0:
            changed = int(np.sum(np.linalg.det(W[:, 0]) * np.linalg.det(W[:, -1]) < 0.0))
            yield f"{words}: det W of {changed} paths changed its sign (none may)", changed == 0
        if times[-1] < LONG:
            yield f"{words}: t = {times[-1]:g} is too short for the energy to settle (at least {LONG:g})", None
            continue
        end = _row(table, depth=model.depth, beta=model.beta, kappa=model.kappa, time=float(times[-1]))
        allowed = quasi + STANDARD_ERRORS * end["energy_error"]
        text = f"{words}: mean energy {end['energy']:.3f} ± {end['energy_error']:.3f} times kappa/beta"
        yield f"{text} (within {allowed:.3f} of 1)", abs(end["energy"] - 1.0) <= allowed


def _row(table: Sequence[Row], **wanted: Any) -> Row:
    return next(row for row in table if all(row[key] == value for key, value in wanted.items()))


def picture_of_langevin(table: Sequence[Row]) -> Curves:
    """The mean of W_12² over time, and the effective rank, a column for each strength of the noise."""
    words = (
        "The Riemannian Langevin equation of matrix completion has no equilibrium: above, the mean square of an entry "
        "that is not given grows in time, at depth 1 along the exact line. Below, the mean effective rank while the "
        "entries wander."
    )
    noises = list(dict.fromkeys((row["beta"], row["kappa"]) for row in table))
    picture = Curves("The Riemannian Langevin equation of matrix completion", words, columns=len(noises))
    for key, label in (("square_W_12", "$E\\,W_{12}^2$"), ("effective_rank", "effective rank")):
        for beta, kappa in noises:
            title = f"$\\beta$ = {beta:g}, $\\kappa$ = {kappa:g}" if key == "square_W_12" else ""
            panel = picture.panel(title, "time $t$", label, "linear", "log" if key == "square_W_12" else "linear")
            for depth in dict.fromkeys(row["depth"] for row in table):
                own = [row for row in table if (row["depth"], row["beta"], row["kappa"]) == (depth, beta, kappa)]
                times = np.array([row["time"] for row in own])
                if depth == 1.0 and key == "square_W_12":
                    fine = np.linspace(0.0, times[-1], 100)
                    panel.line(fine, 0.5 + 2.0 * kappa / beta * fine, label="exact, depth 1", color=EXACT)
                errors = [row[f"{key}_error"] for row in own]
                panel.points(times, [row[key] for row in own], errors, label=f"depth {depth:g}")
    return picture


# --- larger matrices --------------------------------------------------------------------------------------------------


def check_mask(name: str, runs: Sequence[Run], hidden: Entries) -> None:
    """Raise InvalidValue where given and hidden entries are not all of a matrix, each once, or a run is no flow."""
    _check_gradient_flows(name, runs)
    for run in runs:
        model: Any = run.model
        energy = model.energy
        if not isinstance(energy, MatrixCompletion) or energy.confinement != 0.0:
            raise InvalidValue(f"parts.{name}.model.energy: it must be a 'matrix_completion' without confinement")
        places = [(i, j) for i, j, _ in (*energy.entries, *hidden)]
        if not hidden or sorted(places) != [(i, j) for i in range(model.size) for j in range(model.size)]:
            raise InvalidValue(
                f"study.hidden.{name}: with the {len(energy.entries)} given entries its {len(hidden)} must be all "
                f"{model.size**2} of the matrix, each once, and one at least"
            )
        if not any(value for _, _, value in hidden):
            raise InvalidValue(
                f"study.hidden.{name}: all {len(hidden)} are 0: errors relative to them need one that is not"
            )


def target_of(model: Any, hidden: Entries) -> tuple[Floats, NDArray[np.bool_]]:
    """The whole matrix (d, d), and where entries of it are hidden."""
    matrix, there = np.empty((model.size, model.size)), np.zeros((model.size, model.size), dtype=bool)
    for i, j, value in (*model.energy.entries, *hidden):
        matrix[i, j] = value
    for i, j, _ in hidden:
        there[i, j] = True
    return matrix, there


def distance_of_hidden(W: Floats, matrix: Floats, there: NDArray[np.bool_]) -> Floats:
    """The root mean square error of hidden entries of W (…, d, d), relative to their root mean square."""
    return np.asarray(np.linalg.norm((W - matrix)[..., there], axis=-1) / np.linalg.norm(matrix[there]))


def rows_of_learning(name: Mask, member: xr.DataTree, hidden: Entries) -> Iterator[Row]:
    """Means over paths at each time: what is left of the energy, the effective rank, the error of hidden entries."""
    model: Any = dataset.model_of(member)
    matrix, there = target_of(model, hidden)
    W = matrices_of(member)
    energy = np.asarray(model.energy.value(W))
    rank = effective_rank_of(np.linalg.svd(W, compute_uv=False))
    off = distance_of_hidden(W, matrix, there)
    for index, time in enumerate(member["samples/time"].to_numpy()):
        found: Row = {"part": name, "depth": model.depth, "time": float(time)}
        found["left"] = float(np.mean(energy[:, index] / energy[:, 0]))
        for key, values in (("effective_rank", rank), ("hidden", off)):
            found[key], found[f"{key}_error"] = statistics.mean_over_paths(values[:, index])
        yield found


def row_of_mask(name: Mask, member: xr.DataTree, hidden: Entries) -> Row:
    """Where the flow ends, beside the whole matrix: what is fitted, the rank, the error of hidden entries."""
    model: Any = dataset.model_of(member)
    matrix, there = target_of(model, hidden)
    W = matrices_of(member)
    last, energy = W[:, -1], np.asarray(model.energy.value(W))
    found: Row = {"part": name, "depth": model.depth, "paths": len(W), "given": int(np.sum(~there))}
    found["left"] = float(np.max(energy[:, -1] / energy[:, 0]))
    off = distance_of_hidden(last, matrix, there)
    sigma = np.linalg.svd(last, compute_uv=False)
    for key, values in (("hidden", off), ("effective_rank", effective_rank_of(sigma)), ("nuclear", sigma.sum(axis=1))):
        found[key], found[f"{key}_error"] = statistics.mean_over_paths(values)
    found["hidden_median"] = float(np.median(off))
    whole = np.linalg.svd(matrix, compute_uv=False)
    found |= {"effective_rank_of_whole": float(effective_rank_of(whole)), "nuclear_of_whole": float(whole.sum())}
    mean = last.mean(axis=0)
    return found | {"hidden_of_mean": float(distance_of_hidden(mean, matrix, there))}


def checks_of_mask(
    name: Mask, tree: xr.DataTree, table: Sequence[Row], settings: MatrixCompletionStudy
) -> Iterator[Verdict]:
    """What each depth is held against.

    No path fails, given entries are learnt, no energy grows. At depth 1 W is known: given entries tend to theirs like
    e^{−t}, hidden ones stay. Beyond, the hidden ones come nearer to those of the matrix, by more than chance.
    """
    failed = int(np.sum(tree["sampler/status"].to_numpy() != 0))
    yield f"{name}: {failed} paths failed (none may)", failed == 0
    for member in dataset.members(tree):
        model: Any = dataset.model_of(member)
        words, W = f"{name}, depth {model.depth:g}", matrices_of(member)
        matrix, there = target_of(model, settings.hidden[name])
        end = _row(table, part=name, depth=model.depth)
        text = f"{words}: {end['left']:.2g} of the energy is left at most"
        yield f"{text} (at most {settings.fitted:g})", end["left"] <= settings.fitted
        energy = np.asarray(model.energy.value(W))
        grew = int(np.sum((np.diff(energy, axis=1) > settings.fitted * energy[:, :1]).any(axis=1)))
        yield f"{words}: the energy of {grew} paths grew (none may)", grew == 0
        if model.depth == 1.0:
            left = np.where(there, 1.0, np.exp(-member["samples/time"].to_numpy())[:, None, None])
            aim = np.where(there, W[:, :1], matrix)
            moved = float(np.max(np.abs(W - aim - left * (W[:, :1] - aim))) / np.max(np.abs(matrix)))
            yield (
                f"{words}: entries are {moved:.2g} of the largest from the exact (at most {EXACT_TO:g})",
                (moved <= EXACT_TO),
            )
        else:
            start = statistics.mean_over_paths(distance_of_hidden(W[:, 0], matrix, there))
            error = STANDARD_ERRORS * math.hypot(start.error, end["hidden_error"])
            allowed = start.value - error
            if allowed <= end["hidden"] < start.value and error > NEARER * start.value:
                yield f"{words}: {len(W)} paths are too few to tell whether hidden entries come nearer", None
                continue
            text = f"{words}: hidden entries end {end['hidden']:.3f} ± {end['hidden_error']:.3f} of their size away"
            yield f"{text} (below {allowed:.3f})", end["hidden"] < allowed


def picture_of_learning(tables: Tables) -> Curves:
    """Over time: the effective rank, and the error of hidden entries, a column for each mask."""
    words = (
        "Left to right, a matrix of rank two of which few entries are given, the same with more given, and a "
        "handwritten digit. Above, the mean effective rank over time, beside that of the whole matrix. Below, the "
        "error of the entries that are hidden, over their size: at depth 1 they never move."
    )
    table = tables["learning"]
    picture = Curves("What is learnt of a matrix of which entries are hidden", words, columns=len(MASKS))
    for key, label in (("effective_rank", "effective rank"), ("hidden", "error of hidden entries")):
        for name in MASKS:
            whole = next(row for row in tables["masks"] if row["part"] == name)
            title = f"{name}: {whole['given']} given" if key == "effective_rank" else ""
            panel = picture.panel(title, "time $t$", label, "log")
            own = [row for row in table if row["part"] == name and row["time"] > 0.0]
            times = sorted({row["time"] for row in own})
            if key == "effective_rank":
                level = [whole["effective_rank_of_whole"]] * 2
                panel.line([times[0], times[-1]], level, label="whole matrix", dashed=True, color=REFERENCE)
            for depth in dict.fromkeys(row["depth"] for row in own):
                rows = [row for row in own if row["depth"] == depth]
                values, errors = [row[key] for row in rows], np.array([row[f"{key}_error"] for row in rows])
                panel.line(times, values, label=f"depth {depth:g}")
                panel.band(times, values - 2.0 * errors, values + 2.0 * errors, label=f"depth {depth:g}")
    return picture
