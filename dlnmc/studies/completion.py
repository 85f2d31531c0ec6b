"""Matrix completion: where the gradient flow of (14.1) ends, W_11 and W_22 given, and how its limits are distributed.

The minimisers are all W with W_11 = W_22 = 1 (14.2); those of rank one have W_12 = a, W_21 = 1/a (14.3). Section 14.1
of Menon's paper asks which of them the flow finds. At depth 1 it keeps W_12 and W_21, so that their law is known.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import scipy
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field
from typing_extensions import override

from dlnmc import analysis, dataset, statistics
from dlnmc.config import Run, Simulation
from dlnmc.energies import MatrixCompletion
from dlnmc.errors import InvalidValue
from dlnmc.matrix_observables import observe
from dlnmc.plotting import REFERENCE, Curves
from dlnmc.studies.base import WHOLE, Kind, Parts, Picture, Row, Tables, Verdict

Floats = NDArray[np.float64]

LEVELS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)  # of quantiles
GIVEN = ((0, 0), (1, 1))
SMALL = 0.01  # |det W| below: nearly of rank one
REACH = 3.0  # of the axes of W_12, W_21 and log |a|
BINS = 60
MOST_POINTS = 4000  # in a picture
KEPT = 1e-7  # what depth 1 keeps, and the sign of det W beyond it, is kept to so much


class Thresholds(Kind):
    """What counts as converged, and as of rank one.

    Parameters
    ----------
    energy
        A path counts as converged where its energy is below.
    converged
        Smallest fraction of converged paths.
    rank_one
        A limit counts as of rank one where |det W| is below; with W_11 = W_22 = 1 it is |1 − W_12 W_21|.
    """

    energy: float = Field(default=1e-10, gt=0, allow_inf_nan=False)
    converged: float = Field(default=0.99, ge=0, le=1)
    rank_one: float = Field(default=1e-6, gt=0, allow_inf_nan=False)


class Completion(Thresholds):
    """The `[study]` table.

    Parameters
    ----------
    title
        What pictures and tables are headed by.
    """

    PARTS: ClassVar = {WHOLE: Simulation}
    BRIEF: ClassVar = frozenset({"limits"})

    kind: Literal["completion"] = "completion"
    title: str = "Matrix completion"

    @override
    def check(self, runs: Mapping[str, Sequence[Run]]) -> None:
        """Raise InvalidValue where a run is none of (14.1) from Gaussian matrices, or more than the depth is swept."""
        check_flows(runs[WHOLE])

    @override
    def tables(self, parts: Parts) -> Tables:
        return {"limits": [row(member, self) for member in dataset.members(parts[WHOLE])]}

    @override
    def checks(self, parts: Parts, tables: Tables) -> Iterator[Verdict]:
        return checks_of_limits(parts[WHOLE], tables["limits"], self)

    @override
    def pictures(self, parts: Parts, tables: Tables) -> dict[str, Picture]:
        return {"limits": picture_of_limits(parts[WHOLE], self.title)}


def check_flows(runs: Sequence[Run]) -> None:
    """Raise InvalidValue where a run is none of (14.1) from Gaussian matrices, or anything but the depth is swept."""
    if len({getattr(run.model, "depth", None) for run in runs}) < len(runs):
        raise InvalidValue("model: a study of completion sweeps the depth only")
    for run in runs:
        model: Any = run.model
        energy = model.energy
        given = isinstance(energy, MatrixCompletion) and energy.confinement == 0.0 and model.size == 2
        if not given or {(i, j): value for i, j, value in energy.entries} != dict.fromkeys(GIVEN, 1.0):
            raise InvalidValue(
                "model.energy: a study of completion takes width = 2 and energy = { kind = 'matrix_completion', "
                "entries = [[0, 0, 1.0], [1, 1, 1.0]] }"
            )
        if math.isfinite(model.beta) or run.scheme != "gradient_flow" or run.start != "gaussian":
            raise InvalidValue(
                f"beta = {model.beta:g}, run.scheme = {run.scheme!r}, run.start = {run.start!r}: a study of completion "
                "takes beta = inf, 'gradient_flow' and 'gaussian'"
            )
        if not run.keep_samples or not (isinstance(run, Simulation) and run.times[0] == 0.0 < run.times[-1]):
            raise InvalidValue("run: a study of completion keeps samples, and its times begin at 0")


def row(member: xr.DataTree, settings: Thresholds) -> Row:
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


def limits_of(member: xr.DataTree, settings: Thresholds) -> Floats:
    """The last W (path, 2, 2) of the paths that converged."""
    data = member["samples"].to_dataset()
    last = data["matrix"].transpose("path", "time", "row", "column").to_numpy()[:, -1]
    return np.asarray(last[data["energy"].transpose("path", "time").to_numpy()[:, -1] < settings.energy])


def _fraction(name: str, chosen: NDArray[np.bool_]) -> dict[str, float]:
    """The fraction of paths, and its standard error."""
    share = float(np.mean(chosen))
    return {name: share, f"{name}_error": math.sqrt(share * (1.0 - share) / len(chosen))}


def checks_of_limits(tree: xr.DataTree, table: Sequence[Row], settings: Thresholds) -> Iterator[Verdict]:
    """What every depth is held against; what is a test of chance fails by chance with probability 1e-6 at most.

    No path fails; nearly all converge; no energy grew. At depth 1 W_12 and W_21 stay what they were, N(0, 1/2); beyond,
    det W keeps its sign. The law of limits has the symmetries of the start and the energy: transposition, by which
    |W_12| > |W_21| as often as not, and a change of sign of both.
    """
    members = {dataset.parameters(dataset.model_of(member))["depth"]: member for member in dataset.members(tree)}
    for row in table:
        for text, holds in _of_member(members[row["depth"]], row, settings):
            yield f"depth {row['depth']:g}: {text}", holds


def _of_member(member: xr.DataTree, row: Row, settings: Thresholds) -> Iterator[Verdict]:
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
        "Above, W_21 over W_12 where the flow ends, for each depth: from depth 2 on points gather near the hyperbola "
        "of rank one. Below, the densities of det W and of log |a|, which gather at 0 with the depth."
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
