"""What a result says: a row of figures with errors, what every equilibrium is held against, two results compared."""

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from dlnmc import dataset, identities, laws, matrix_identities, statistics
from dlnmc.energies import MatrixEnergy
from dlnmc.engine import scale
from dlnmc.errors import InvalidValue
from dlnmc.models import DeepLinearNetwork, DysonBrownianMotion, Model

Floats = NDArray[np.float64]
Verdicts = Iterator[tuple[str, bool | None]]

FALSE_ALARM = 1e-6  # of each check
SCALAR_GROUPS = ("moments", "extremes", "spacing", "observables")
LEAST_ACCEPTANCE = 0.1  # a run that accepts less is not sound
IDENTITY_WORK = 2e8  # pair interactions: of more states, a part is taken
MATRIX_WORK = 3.0  # that an entry of a matrix is worth


def states(result: xr.Dataset | xr.DataTree) -> Floats | None:
    """The kept states (path, draw, component) of a result of one model, ascending; None where none were kept.

    Of paths in time the last state is taken.
    """
    for name in ("singular_values", "eigenvalues"):
        array = _kept(result, name)
        if array is not None:
            array = array[:, np.newaxis] if array.ndim == 2 else array
            return np.sort(array[..., : dataset.model_of(result).size], axis=-1)  # sweeps over sizes are padded
    return None


def matrices(result: xr.Dataset | xr.DataTree) -> Floats | None:
    """The kept matrices W (path, draw, row, column) of a result of one model; None where none were kept.

    Of paths in time the last is taken.
    """
    array = _kept(result, "matrix")
    if array is None or array.ndim != 4:  # Hermitian matrices have a real and an imaginary part
        return None
    size = dataset.model_of(result).size
    return array[..., :size, :size]


def _kept(result: xr.Dataset | xr.DataTree, name: str) -> Floats | None:
    """A variable of the kept states (path, draw, …), or the last time of paths in time."""
    data: Any = result
    if isinstance(result, xr.DataTree) and result.children:
        data = result.get("samples")
    if data is None or name not in data:
        return None
    values = data[name]
    return np.asarray((values.isel(time=[-1]) if "time" in values.dims else values).to_numpy(), dtype=np.float64)


def scalars(result: xr.Dataset | xr.DataTree) -> dict[str, Floats]:
    """One number for each path, by name: time averages where a run accumulated them, else means over kept states."""
    if isinstance(result, xr.DataTree) and result.children:
        return {
            str(name): variable.to_numpy()
            for group in SCALAR_GROUPS
            if group in result
            for name, variable in result[group].data_vars.items()
            if variable.dims == ("path",)
        }
    values = states(result)
    if values is None:
        raise InvalidValue("the result holds neither averages nor states: keep samples")
    found = {
        "trace": (values**2).sum(axis=2).mean(axis=1),
        "largest": values[..., -1].mean(axis=1),
        "smallest": values[..., 0].mean(axis=1),
    }
    if values.shape[2] >= 3:
        found["ratio_all"] = statistics.spacing_ratio(values, (0, values.shape[2]))
    if values.shape[2] >= dataset.SIZE_WITH_MIDDLE:
        found["ratio_middle"] = statistics.spacing_ratio(values)
    return found


def compare(a: xr.Dataset | xr.DataTree, b: xr.Dataset | xr.DataTree) -> xr.Dataset:
    """The differences of two results of independent paths, with errors: of averages, and of the laws of each component.

    `a` and `b` are results of `equilibrium`, `exact` or `simulate` (of which the last time counts), each of one model.
    By `scalar` the answer has `mean_a`, `mean_b`, `difference` (a minus b), their standard errors `…_error`, `z` and
    `allowed_z`, which is infinite where values are too skewed for so few paths to compare their means.
    Where both kept states and have one width it also has by `component`, ascending, the two-sample Kolmogorov distance
    `kolmogorov` of the last states, whose `kolmogorov_bound` chance exceeds with probability at most 1e-6 over all
    components. `agrees` says whether all are within their thresholds.
    """
    results: tuple[Any, Any] = (a, b)
    for result in results:
        if not isinstance(result, xr.Dataset | xr.DataTree) or not {"model", "config"} <= set(result.attrs):
            raise InvalidValue(f"{type(result).__name__} is no result of dlnmc: compare takes those of one model each")
        if any(name in dataset.DIMENSIONS for name in result.sizes):
            raise InvalidValue("nothing to compare: a sweep has several members; select one, as in tree.sel(kappa=1.0)")
    table = statistics.compare(scalars(a), scalars(b), false_alarm=FALSE_ALARM)
    values_a, values_b = states(a), states(b)
    if values_a is None or values_b is None or values_a.shape[2] != values_b.shape[2]:
        return table
    last_a, last_b = (values[np.isfinite(values).all(axis=(1, 2)), -1] for values in (values_a, values_b))
    size = last_a.shape[1]
    distance = [statistics.kolmogorov_between(last_a[:, [k]], last_b[:, [k]]).value for k in range(size)]
    bound = statistics.kolmogorov_bound(len(last_a), len(last_b), FALSE_ALARM / size)
    table["kolmogorov"] = ("component", distance)
    table["kolmogorov_bound"] = bound
    table["agrees"] = bool(table["agrees"]) and max(distance) <= bound
    return table.assign_coords(component=np.arange(1, size + 1))


def head(member: xr.DataTree) -> dict[str, Any]:
    """What every row begins with, and needs no law: parameters, the number of paths, whether all is sound."""
    found = dataset.parameters(dataset.model_of(member))
    if "dt" in member.coords:
        found["dt"] = float(member.coords["dt"])
    found["paths"] = member["moments"].sizes["path"]
    found["failed_paths"] = int(np.sum(member["sampler"]["status"].to_numpy() != 0))
    if "stationarity" in member:
        verdict = int(member["stationarity"]["stationary"])
        found["stationary"] = None if verdict < 0 else bool(verdict)
        found["largest_z"] = float(np.nanmax(np.abs(member["stationarity"]["z"].to_numpy()), initial=0.0))
        found["allowed_z"] = float(member["stationarity"]["threshold"])
    return found


def row(member: xr.DataTree, reference: Model | None = None) -> dict[str, Any]:
    """The figures of one model at equilibrium, with errors; None stands for what is not known or was not kept.

    `reference` is the model whose laws it is held against; default: its own.
    """
    model = dataset.model_of(member)
    reference = model if reference is None else reference
    found = head(member) | {"law_kappa": reference.kappa}
    law = None
    with contextlib.suppress(InvalidValue):
        law = laws.of(reference)
    found["ks"] = found["ks_error"] = None
    values = states(member)
    if law is not None and values is not None:
        found["ks"], found["ks_error"] = statistics.kolmogorov_distance(values / scale(model), law)
    averages = scalars(member)
    trace = statistics.mean_over_paths(averages["trace"])
    exact = None
    with contextlib.suppress(InvalidValue):
        exact = laws.trace(reference).mean()
    found["trace_mean"], found["trace_mean_error"] = trace
    found["trace_ratio"] = found["trace_error"] = None
    if exact is not None:
        found["trace_ratio"], found["trace_error"] = trace.value / exact, trace.error / exact
    found["spacing_ratio"] = found["spacing_error"] = None
    if model.size >= dataset.SIZE_WITH_MIDDLE:
        found["spacing_ratio"], found["spacing_error"] = statistics.mean_over_paths(averages["ratio_middle"])
    found["edge"], found["edge_error"] = statistics.mean_over_paths(averages["largest"] / scale(model))
    found["edge_law"] = None if law is None else law.support[1]
    for name in member["observables"].data_vars if "observables" in member else ():
        own = statistics.mean_over_paths(member["observables"][str(name)])
        found.setdefault("observables", {})[str(name)] = {"mean": own.value, "error": own.error}
    if _has_proposals(member):
        found["acceptance"] = float(member["sampler"]["acceptance"].mean())
    if "extrapolated" in member:
        found |= _biases(member, exact)
    return found


def _has_proposals(member: xr.DataTree) -> bool:
    """Whether its scheme makes proposals, which those of other members of a sweep need not."""
    sampler = member["sampler"]
    return "proposals" in sampler and bool(np.isfinite(sampler["proposals"]))


def _biases(member: xr.DataTree, exact: float | None) -> dict[str, Any]:
    """Bias and extrapolated value of trace (over its exact mean) and spacing ratio on a ladder of steps."""
    ladder = member["extrapolated"].to_dataset()
    names = [str(name) for name in ladder["scalar"].to_numpy()]
    found: dict[str, Any] = {}
    for name, key, unit in (("trace", "trace", exact), ("ratio_middle", "spacing", 1.0)):
        if name in names and unit is not None:
            scalar = ladder.sel(scalar=name)
            figures = {"bias": "bias", "bias_error": "bias_error", "limit": "value", "limit_error": "error"}
            found |= {f"{key}_{figure}": float(scalar[variable]) / unit for figure, variable in figures.items()}
            found[f"{key}_order"] = float(scalar["order"])
    return found


def checks(member: xr.DataTree, reference: Model | None = None) -> Verdicts:
    """What every equilibrium is held against: a sentence with figures, and whether it holds.

    No path failed; early and late observations agree; the law of the trace; generator identities. Each
    fails by chance with probability 1e-6 at most (stationarity 1e-4). Where steps are biased, enough paths show it.
    Where it is None it is not known, and the sentence says why; without two halves nothing is said of them.
    """
    model = dataset.model_of(member)
    reference = model if reference is None else reference
    figures = head(member)
    yield f"{figures['failed_paths']} of {figures['paths']} paths failed (none may)", figures["failed_paths"] == 0
    if _has_proposals(member):
        yield _moved(member["sampler"].to_dataset())
    if figures.get("stationary") is not None:
        text = f"early and late halves differ by at most {figures['largest_z']:.2f} standard errors"
        yield f"{text} (at most {figures['allowed_z']:.2f})", figures["stationary"]
    values = states(member)
    if values is None:
        return
    sound = np.isfinite(values).all(axis=(1, 2))
    values = values[sound]
    if len(values) < 2:
        return
    with contextlib.suppress(InvalidValue):
        yield _trace_law(reference, values)
    W = matrices(member)
    if W is not None or reference.energy.invariant:
        yield _identities(reference, values, None if W is None else W[sound])


def _identities(model: Model, values: Floats, W: Floats | None) -> tuple[str, bool | None]:
    """Whether E[Lf] = 0: of functions of singular values or eigenvalues, and where there are matrices of those too."""
    d = model.size
    work = max(d * (d - 1) / 2, 1) if W is None else MATRIX_WORK * d * d
    every = max(1, math.ceil(len(values) * values.shape[1] * work / IDENTITY_WORK))
    values, W = values[:, ::-every], None if W is None else W[:, ::-every]  # errors are by paths: draws are left out
    paths = min(len(values), max(2, int(IDENTITY_WORK / (work * values.shape[1]))))
    text = f"generator identities on {paths} paths"
    if isinstance(model.energy, MatrixEnergy):
        try:
            model.energy.check_functions()
        except InvalidValue as error:
            return f"{text}: {error}", None
    if W is None or not isinstance(model, DeepLinearNetwork):
        found = identities.identities(model, values[:paths])
    else:
        found = matrix_identities.identities(model, W[:paths], values[:paths])
    outcome = identities.verdict(found, FALSE_ALARM)
    worst = outcome.worst
    if outcome.holds is None:
        return f"{text}: they are too few for so skewed a law", None
    return f"{text}: largest z {worst.z:.2f} (E[L {worst.name}]) (at most {outcome.threshold:.2f})", outcome.holds


def _moved(sampler: xr.Dataset) -> tuple[str, bool]:
    """Whether paths accept proposals; in few steps some will not by chance, in proportion to (1 − p/2)^steps or so."""
    acceptance = sampler["acceptance"].to_numpy()
    chance = max(float(np.mean(acceptance)) / 2.0, LEAST_ACCEPTANCE)
    expected = len(acceptance) * (1.0 - chance) ** int(sampler["proposals"])
    allowed = int(expected + 5.0 * math.sqrt(expected))
    stuck = int(np.sum(acceptance == 0.0))
    return f"{stuck} of {len(acceptance)} paths accepted no proposal (at most {allowed})", stuck <= allowed


def _trace_law(model: Model, values: Floats) -> tuple[str, bool]:
    """The Kolmogorov distance of the last states' Tr WᵀW (Σx²), one of each path, to its exact law."""
    n = len(values)
    distance = statistics.kolmogorov_distance((values[:, [-1]] ** 2).sum(axis=2), laws.trace(model)).value
    allowed = statistics.one_sample_bound(n, FALSE_ALARM)
    name = "sum of x^2" if isinstance(model, DysonBrownianMotion) else "Tr W^T W"
    return f"{name} of {n} states at distance {distance:.4f} from its Gamma law (at most {allowed:.4f})", (
        distance <= allowed
    )


def name_of(figures: Mapping[str, Any]) -> str:
    """The parameters of a row, as words that tell it from every other."""
    words = [
        f"{name} {figures[name]:g}"
        for name in ("depth", "width", "size", "beta", "kappa", "dt")
        if figures.get(name) is not None
    ]
    if (figures.get("clock") or "paper") != "paper":
        words.append(f"clock {figures['clock']}")
    return ", ".join(words)
