"""From arrays to labelled xarray objects: dimensions, coordinates, units in words, provenance."""

import contextlib
import json
import math
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from dlnmc import __version__, geometry, laws, matrices, statistics
from dlnmc.chunks import Arrays, Member, histogram_range, schedule
from dlnmc.config import Equilibrium, Run
from dlnmc.descriptions import from_json
from dlnmc.energies import MatrixEnergy
from dlnmc.engine import SCHEMES, scale, state_row, sums_are_fast
from dlnmc.errors import InvalidValue
from dlnmc.models import MODELS, DeepLinearNetwork, DysonBrownianMotion, Model
from dlnmc_kernels.fast_sums import FAST_SIZE
from dlnmc_kernels.jit import arithmetic, cpu_name, source_hash
from dlnmc_kernels.observables import LARGEST, MOMENTS, RATIO_ALL, RATIO_MIDDLE, SMALLEST, SUMS
from dlnmc_kernels.ordering import ACCEPTED, CROSSINGS, SIGN_CHANGES, STATUS, TAMED

Floats = NDArray[np.float64]

SWEPT = ("depth", "width", "size", "beta", "kappa", "clock")  # the parameters that a sweep may make a dimension
DIMENSIONS = (*SWEPT, "dt")  # a ladder of steps makes one too
KEPT_OF = {"matrix": ("matrix",), "network": ("network", "matrix"), "hermitian": ("matrix",)}  # by state, best first
LEAST_PATHS = 4  # for errors of errors
SIGNED = ("lambda", "sigma")  # coordinates that pass 0
SIZE_WITH_MIDDLE = 5  # the middle half of fewer ranks has no two gaps
MODEL_UNITS = "units of the model (not scaled)"
SCALED_UNITS = "units of sqrt(d/beta)"
OF_ANY_RUN = (  # attributes that say nothing of a model or a scheme
    "Conventions", "title", "source", "history", "dlnmc_version", "config", "seed", "kernel_hash", "numba_version",
    "numpy_version", "cpu", "simd", "machine", "python_version", "threads", "executor", "wall_seconds",
)  # fmt: skip
COORDINATES = {  # units and meaning of coordinates
    "depth": ("number of factors", "depth N of the network"),
    "width": ("number of singular values", "width d of the network"),
    "size": ("number of eigenvalues", "number of particles d"),
    "beta": ("inverse energy", "inverse temperature"),
    "kappa": ("1", "strength of the noise in the observable"),
    "clock": ("name", "paper: time as in (12.12); depth: time divided by 1/N"),
    "path": ("index", "independent path"),
    "draw": ("index", "state kept at equilibrium"),
    "rank": ("index", "1 is the largest singular value"),
    "component": ("index", "eigenvalues, ascending"),
    "batch": ("index", "batch of paths"),
    "bin": ("index", "bin of the histogram"),
    "order": ("index", "order of the moment"),
    "row": ("index", "row of a matrix, from 0"),
    "column": ("index", "column of a matrix, from 0"),
    "factor": ("index", "factor W_p of a network, p = 1 first"),
    "part": ("index", "0: real part, 1: imaginary part"),
    "scalar": ("name", "what is averaged while running"),
    "dt": ("time in the model's clock", "time step"),
}


class Circumstances(NamedTuple):
    """What does not affect results: when a run began, and on how many threads, or processes, of what."""

    began: float
    threads: int
    executor: str = "threads"


def parameters(model: Model) -> dict[str, Any]:
    """The model's parameters that become coordinates."""
    return {name: getattr(model, name) for name in SWEPT if name in type(model).model_fields}


def _is_dyson(model: Model) -> bool:
    return isinstance(model, DysonBrownianMotion)


def labelled(data: xr.Dataset) -> xr.Dataset:
    """The dataset with units and a meaning on every coordinate."""
    for name in set(data.coords) & set(COORDINATES):
        units, long_name = COORDINATES[str(name)]
        data[name].attrs |= {"long_name": long_name, "units": units}
    return data


def states(model: Model, values: np.ndarray, *dims: str) -> xr.Dataset:
    """Ascending values (path, *dims, component): rank 1 is the largest singular value; eigenvalues ascend."""
    if _is_dyson(model):
        name, component, long_name = "eigenvalues", "component", "eigenvalues, ascending"
    else:
        name, component, long_name = "singular_values", "rank", "singular values of W, rank 1 the largest"
        values = values[..., ::-1]
    coords = {"path": np.arange(len(values)), component: np.arange(1, model.size + 1)}
    attrs = {"long_name": long_name, "units": MODEL_UNITS}
    return xr.Dataset({name: (("path", *dims, component), values, attrs)}, coords=coords)


def clock_units(model: Model) -> str:
    """The units of time, in words."""
    return f"time in the model's clock ({_clock(model)})"


def _times(run: Run, steps: np.ndarray, dim: str) -> dict[str, Any]:
    """The coordinate `time` of observed steps."""
    assert run.dt is not None
    attrs = {"long_name": "time since the start", "units": clock_units(run.model)}
    return {"time": (dim, (steps - run.first_step) * run.dt, attrs)}


def _clock(model: Model) -> str:
    return getattr(model, "clock", "paper")


def _whole(member: Member, arrays: Arrays, dim: str) -> dict[str, Any]:
    """The matrices of states that are more than their values."""
    run = member.run
    if not state_row(run).whole:
        return {}
    form = matrices.form_of(run)
    found = form.read(run.model, _without_failed(arrays["states"], arrays["tally"]))
    sizes: dict[str, int] = {}
    for dims, values, _ in found.values():
        sizes |= zip(dims, values.shape[2:], strict=True)
    return {axis: (axis, np.arange(size) + (axis == "factor")) for axis, size in sizes.items()} | {
        name: (("path", dim, *dims), values, {"long_name": long_name, "units": MODEL_UNITS})
        for name, (dims, values, long_name) in found.items()
    }


def _sampler(run: Run, tally: np.ndarray) -> xr.Dataset:
    """Status and counts by path."""
    status = tally[:, STATUS]
    counted = {
        "tamed": (TAMED, "neighbours closer than the tamed distance, summed over steps"),
        "crossings": (CROSSINGS, "exchanges of neighbours, summed over steps"),
    }
    if run.coordinates in SIGNED:
        counted["sign_changes"] = (SIGN_CHANGES, "sign changes of a coordinate at 0, summed over steps")
    variables: dict[str, Any] = {
        "status": (
            "path",
            (status >= 0).astype(np.int8),
            {"long_name": "0: ok, 1: became non-finite and was frozen", "units": "code"},
        ),
        "failed_step": (
            "path",
            np.maximum(status, -1).astype(np.int64),
            {"long_name": "step at which the path became non-finite; -1: never", "units": "steps"},
        ),
    }
    for name, (row, long_name) in counted.items():
        variables[name] = ("path", tally[:, row].astype(np.int64), {"long_name": long_name, "units": "count"})
    if SCHEMES[str(run.scheme)].adjusted:
        plan = schedule(run)
        proposals = max(plan.last_step - plan.first_step, 1)
        fraction = tally[:, ACCEPTED] / proposals
        variables["acceptance"] = ("path", fraction, {"long_name": "fraction of proposals accepted", "units": "1"})
        variables["proposals"] = ((), np.int64(proposals), {"long_name": "proposals made by a path", "units": "count"})
    return xr.Dataset(variables, coords={"path": np.arange(run.paths)})


def provenance(model: Model, seed: int, circumstances: Circumstances, title: str, config: Any) -> dict[str, Any]:
    """Attributes of the root. Wall-clock and machine facts stand only here."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {
        "Conventions": "CF-1.11",
        "title": title,
        "source": f"dlnmc {__version__}: Monte Carlo simulation of stochastic differential equations",
        "history": f"{now} made by dlnmc {__version__}",
        "dlnmc_version": __version__,
        "config": json.dumps(config, sort_keys=True),
        "model": model.kind,
        "energy": model.energy.kind,
        "seed": np.uint64(seed),
        "clock": _clock(model),
        "kernel_hash": source_hash(),
        "numba_version": numba.__version__,
        "numpy_version": np.__version__,
        "cpu": cpu_name(),
        "simd": arithmetic(),
        "machine": f"{platform.machine()} {platform.system()}, {os.cpu_count()} processors",
        "python_version": platform.python_version(),
        "threads": circumstances.threads,
        "executor": circumstances.executor,
        "wall_seconds": round(time.time() - circumstances.began, 3),
    }


def _provenance(run: Run, circumstances: Circumstances, title: str, config: Any) -> dict[str, Any]:
    """Attributes of the root of a run: also its scheme, its step, and what is the scheme's own."""
    scheme = {"scheme": run.scheme, "dt": run.dt, "coordinates_evolved": run.coordinates}
    scheme |= _determinant(run) | _pair_sums(run)
    own = {name: value for name in ("leaps", "tolerance") if (value := getattr(run, name, None)) is not None}
    return provenance(run.model, run.seed, circumstances, title, config) | scheme | own


def _pair_sums(run: Run) -> dict[str, Any]:
    """How the drift sums over pairs of components, and from how many of them on it does otherwise."""
    if state_row(run).whole:
        return {}
    return {"pair_sums": "exponentials" if sums_are_fast(run) else "direct", "pair_sums_crossover": FAST_SIZE}


def _determinant(run: Run) -> dict[str, str]:
    """What is chosen where the smallest singular value of a matrix passes 0."""
    if run.coordinates not in ("frames", "balanced") or not isinstance(run.model, DeepLinearNetwork):
        return {}
    passes = math.isfinite(run.model.depth) and run.model.depth % 2.0 != 0.0
    return {"determinant": "changes sign where a singular value passes 0" if passes else "keeps its sign"}


def simulation_dataset(member: Member, arrays: Arrays, circumstances: Circumstances) -> xr.Dataset:
    """The result of `simulate`."""
    run = member.run
    data = labelled(xr.merge(_path_groups(member, arrays).values()).assign_coords(parameters(run.model)))
    data.attrs = _provenance(run, circumstances, "Paths of " + type(run.model).__name__, json.loads(run.to_json()))
    data.attrs["last_step"] = schedule(run).last_step
    return data


def _path_groups(member: Member, arrays: Arrays) -> dict[str, xr.Dataset]:
    """The groups of one run of paths in time."""
    run = member.run
    times = _times(run, schedule(run).steps, "time")
    groups = {"sampler": _sampler(run, arrays["tally"]), "samples": xr.Dataset(coords=times)}
    if run.keep_samples:
        kept = states(run.model, _without_failed(arrays["samples"], arrays["tally"]), "time")
        kept = kept.assign(_whole(member, arrays, "time"))
        if SCHEMES[str(run.scheme)].needs_no_noise:
            kept = kept.assign(_energies_along(run.model, kept))
        groups["samples"] = kept.assign_coords(times)
    if run.bins is not None:
        groups["histogram"] = _histogram(member, arrays["counts"], ("time",)).assign_coords(times)
    return groups


def energy_of(model: Model, values: Floats, W: Floats | None) -> Floats:
    """E of states with these singular values or eigenvalues (…, d); of W (…, d, d) where it depends on all of it."""
    if isinstance(model.energy, MatrixEnergy):
        assert W is not None
        return model.energy.value(W)
    return np.asarray(model.potential(values).sum(axis=-1))


def free_energy_of(model: Model, energy: Floats, values: Floats) -> Floats:
    """F_β = E − S/β (Menon (6.6)) of states with the energies E and these values; E for β = ∞, also where S is −∞."""
    if math.isinf(model.beta):
        return energy
    if isinstance(model, DysonBrownianMotion):
        entropy = geometry.orbit_entropy((values[..., np.newaxis] * np.eye(model.size)).astype(np.complex128))
    else:
        entropy = geometry.entropy_of_singular_values(model.depth, values)
    return np.asarray(energy - entropy / model.beta)


def _energies_along(model: Model, kept: xr.Dataset) -> dict[str, Any]:
    """Energy and free energy of kept states (path, time); NaN where there is none."""
    values = kept["eigenvalues" if _is_dyson(model) else "singular_values"].to_numpy()
    W = kept["matrix"].to_numpy() if "matrix" in kept else None
    alive = np.isfinite(values).all(axis=2)
    energy, free = np.full((2, *values.shape[:2]), np.nan)
    energy[alive] = energy_of(model, values[alive], None if W is None else W[alive])
    free[alive] = free_energy_of(model, energy[alive], values[alive])
    return {
        "energy": (("path", "time"), energy, {"long_name": "energy E", "units": MODEL_UNITS}),
        "free_energy": (("path", "time"), free, {"long_name": "free energy E - S/beta", "units": MODEL_UNITS}),
    }


def _without_failed(values: np.ndarray, tally: np.ndarray) -> np.ndarray:
    """The values by path, with NaN for paths that became non-finite; a copy only if there are any."""
    failed = tally[:, STATUS] >= 0
    if failed.any():
        values = values.copy()
        values[failed] = np.nan
    return values


class Scalar(NamedTuple):
    """One number of each path: its mean over observations, early and late ones apart, and its mean square."""

    name: str
    group: str
    mean: np.ndarray
    halves: np.ndarray  # (2, path)
    square: np.ndarray
    attrs: dict[str, str]


def _scalars(member: Member, arrays: Arrays) -> list[Scalar]:
    """What is averaged while running, by path."""
    run = member.run
    plan, size = schedule(run), run.model.size
    each = np.bincount(plan.halves, minlength=2)
    what = "x" if _is_dyson(run.model) else "sigma"
    square = "sum of x^2" if _is_dyson(run.model) else "Tr W^T W"
    rows = [("trace", "moments", 1, f"time average of {square}", MODEL_UNITS)]
    rows += [
        (name, "extremes", row, f"time average of the {name} {what}", MODEL_UNITS)
        for name, row in (("largest", LARGEST), ("smallest", SMALLEST))
    ]
    rows += [
        (name, "spacing", row, f"time average of the mean spacing ratio in {what}, {where}", "1")
        for name, row, where, least in (
            ("ratio_middle", RATIO_MIDDLE, "middle half of the ranks", SIZE_WITH_MIDDLE),
            ("ratio_all", RATIO_ALL, "all ranks", 3),
        )
        if size >= least
    ]
    sums = np.concatenate([arrays["sums"], np.moveaxis(arrays["own_sums"], 1, 2)], axis=2)
    squares = np.concatenate([arrays["squares"], arrays["own_squares"]], axis=1)
    rows += [
        (own.name, "observables", SUMS + k, f"time average of the observable {own.key}", "units of the observable")
        for k, own in enumerate(member.observables)
    ]
    sums, squares = (_without_failed(values, arrays["tally"]) for values in (sums, squares))
    found = []
    for name, group, row, long_name, units in rows:
        with np.errstate(all="ignore"):  # a single observation has no early half
            halves = sums[:, :, row].T / each[:, np.newaxis]
        mean = sums[:, :, row].sum(axis=1) / each.sum()
        attrs = {"long_name": long_name, "units": units}
        found.append(Scalar(name, group, mean, halves, squares[:, row] / each.sum(), attrs))
    return found


def _groups(member: Member, arrays: Arrays) -> dict[str, xr.Dataset]:
    """The groups of one equilibrium run."""
    run = member.run
    assert isinstance(run, Equilibrium)
    plan = schedule(run)
    paths = {"path": np.arange(run.paths)}
    scalars = _scalars(member, arrays)
    groups = {
        group: xr.Dataset(
            {scalar.name: ("path", scalar.mean, scalar.attrs) for scalar in scalars if scalar.group == group},
            coords=paths,
        )
        for group in ("moments", "extremes", "spacing", "observables")
    }
    if not member.observables:
        del groups["observables"]
    orders = np.arange(1, MOMENTS + 1)
    sums = _without_failed(arrays["sums"], arrays["tally"]).sum(axis=1) / len(plan.steps)
    with np.errstate(all="ignore"):  # at extreme β the scale's powers leave the range of numbers
        moments = sums[:, :MOMENTS] / run.model.size / scale(run.model) ** orders
    what = "x" if _is_dyson(run.model) else "sigma"
    long_name = f"time average of mean over components of {what}^order"
    groups["moments"]["moment"] = (("path", "order"), moments, {"long_name": long_name, "units": SCALED_UNITS})
    groups["moments"] = groups["moments"].assign_coords(order=orders)
    groups["stationarity"] = _stationarity(run, scalars)
    groups["sampler"] = _sampler(run, arrays["tally"])
    histogram = _histogram(member, arrays["counts"])
    if run.keep_samples:
        samples = _without_failed(arrays["samples"], arrays["tally"])
        coords = {"draw": np.arange(1, run.draws + 1)} | _times(run, plan.steps[plan.draws >= 0], "draw")
        kept = states(run.model, samples, "draw").assign(_whole(member, arrays, "draw"))
        groups["samples"] = kept.assign_coords(coords)
    return groups | {"histogram": histogram, "law": _law(run, histogram["edges"].to_numpy())}


def _stationarity(run: Run, scalars: Sequence[Scalar]) -> xr.Dataset:
    """Whether early and late observations agree, and how many independent ones a path is worth."""
    plan = schedule(run)
    n = len(plan.steps)
    unknown = np.full(len(scalars), np.nan)
    z, threshold, verdict = unknown, np.nan, -1
    worth, error, time = unknown.copy(), unknown.copy(), unknown.copy()
    interval = (plan.steps[-1] - plan.steps[0]) / max(n - 1, 1) * (run.dt or np.nan)
    if n > 1 and int(np.sum(np.isfinite(scalars[0].mean))) >= LEAST_PATHS:
        early, late = (np.stack([scalar.halves[half] for scalar in scalars], axis=1) for half in (0, 1))
        z, threshold, stationary = statistics.stationarity(early, late)
        verdict = int(stationary) if np.isfinite(threshold) else -1
        for k, scalar in enumerate(scalars):
            found = statistics.effective_samples(scalar.mean * n, scalar.square * n, n)
            worth[k], error[k] = found
            time[k] = n * interval / found.value
    clock = clock_units(run.model)
    return xr.Dataset(
        {
            "z": ("scalar", z, {"long_name": "late minus early mean over its standard error", "units": "1"}),
            "threshold": (
                (),
                threshold,
                {"long_name": "the |z| exceeded by chance in 1 of 10,000 runs", "units": "1"},
            ),
            "stationary": (
                (),
                np.int8(verdict),
                {"long_name": "1: no |z| above the threshold; 0: some; -1: nothing to compare", "units": "code"},
            ),
            "effective_samples": (
                "scalar",
                worth,
                {"long_name": "independent observations that those of one path are worth", "units": "1"},
            ),
            "effective_samples_error": ("scalar", error, {"long_name": "its standard error", "units": "1"}),
            "autocorrelation_time": ("scalar", time, {"long_name": "integrated autocorrelation time", "units": clock}),
        },
        coords={"scalar": [scalar.name for scalar in scalars]},
    )


def _histogram(member: Member, counts: np.ndarray, slots: tuple[str, ...] = ()) -> xr.Dataset:
    """Histograms from counts (batch, slot, bins + 2); `slots` names their dimension, () where there is one slot."""
    assert member.run.bins is not None
    counts = np.moveaxis(counts, 1, 0) if slots else counts[:, 0]
    edges = np.linspace(*histogram_range(member), member.run.bins + 1)
    dims = (*slots, "batch")
    values = {
        "counts": ((*dims, "bin"), counts[..., 1:-1], "values in each bin"),
        "underflow": (dims, counts[..., 0], "values below the first edge"),
        "overflow": (dims, counts[..., -1], "values from the last edge on"),
        "samples": (dims, counts.sum(axis=-1), "values in all, underflow and overflow included"),
    }
    if slots:
        values["counted"] = values.pop("samples")
    variables: dict[str, Any] = {
        name: (dims, np.ascontiguousarray(array), {"long_name": long_name, "units": "count"})
        for name, (dims, array, long_name) in values.items()
    }
    variables["edges"] = ("bin_edge", edges, {"long_name": "edges of the bins", "units": SCALED_UNITS})
    coords = {"batch": np.arange(counts.shape[-2]), "bin": np.arange(member.run.bins)}
    return xr.Dataset(variables, coords=coords)


def _law(run: Run, edges: np.ndarray) -> xr.Dataset:
    """What is known exactly about the histogram and the trace; NaN where no law is known."""
    probability, edge, trace_mean = np.full(len(edges) - 1, np.nan), np.nan, np.nan
    with contextlib.suppress(InvalidValue):
        law = laws.of(run.model)
        probability, edge = np.diff(law.cdf(edges)), law.support[1]
    with contextlib.suppress(InvalidValue):
        trace_mean = laws.trace(run.model).mean()
    return xr.Dataset(
        {
            "probability": (
                "bin",
                probability,
                {"long_name": "probability of each bin under the law as d -> infinity", "units": "1"},
            ),
            "edge": ((), edge, {"long_name": "upper end of the law's support", "units": SCALED_UNITS}),
            "trace_mean": (
                (),
                trace_mean,
                {"long_name": "exact mean of the trace at this width", "units": MODEL_UNITS},
            ),
        },
        coords={"bin": np.arange(len(edges) - 1)},
    )


def _last_step(run: Run) -> int:
    """The last step whose noise was used, counted in the finest steps of a ladder."""
    return (schedule(run).last_step + 1) * run.refinement - 1


def equilibrium_tree(member: Member, arrays: Arrays, circumstances: Circumstances) -> xr.DataTree:
    """The result of `equilibrium`."""
    run = member.run
    groups = {"/": xr.Dataset()} | _groups(member, arrays)
    with_labels = {name: labelled(group.assign_coords(parameters(run.model))) for name, group in groups.items()}
    tree = xr.DataTree.from_dict(with_labels)
    tree.attrs = _provenance(
        run, circumstances, "Equilibrium of " + type(run.model).__name__, json.loads(run.to_json())
    )
    tree.attrs["last_step"] = _last_step(run)
    return tree


def sweep_tree(members: Sequence[Member], results: Sequence[Arrays], circumstances: Circumstances) -> xr.DataTree:
    """The results of several runs, with a dimension for every parameter that differs."""
    dims = swept_dimensions([member.run for member in members])
    each: dict[str, dict[tuple[Any, ...], xr.Dataset]] = {}
    for member, arrays in zip(members, results, strict=True):
        values = parameters(member.run.model) | {"dt": member.run.dt}
        at = tuple(values[name] for name in dims)
        fixed = {name: value for name, value in values.items() if name not in (*dims, "dt")}
        own = xr.Dataset(
            {"last_step": ((), _last_step(member.run), {"long_name": "last of the finest steps", "units": "steps"})}
        )
        if "dt" not in dims:
            own["dt"] = ((), member.run.dt, {"long_name": COORDINATES["dt"][1], "units": COORDINATES["dt"][0]})
        groups_of = _groups if isinstance(member.run, Equilibrium) else _path_groups
        for name, group in ({"/": own} | groups_of(member, arrays)).items():
            each.setdefault(name, {})[at] = group.assign_coords(fixed)
    groups = {name: labelled(_combined(data, dims)) for name, data in each.items()}
    first = members[0].run
    if "dt" in dims:
        groups["extrapolated"] = _extrapolated(groups, SCHEMES[str(first.scheme)].order)
    tree = xr.DataTree.from_dict(groups)
    stored = [json.loads(member.run.to_json()) for member in members]
    what = "Equilibria of " if isinstance(first, Equilibrium) else "Paths of "
    tree.attrs = _provenance(first, circumstances, what + type(first.model).__name__, stored)
    tree.attrs["scheme"] = ", ".join(dict.fromkeys(str(member.run.scheme) for member in members))
    del tree.attrs["dt"]
    return tree


def _extrapolated(groups: Mapping[str, xr.Dataset], order: float) -> xr.Dataset:
    """The mean of every scalar as dt → 0, its error, the order seen, and the bias at each step."""
    found = []
    for group in ("moments", "extremes", "spacing", "observables"):
        for name, variable in groups.get(group, xr.Dataset()).data_vars.items():
            if variable.dims[-1] == "path":
                found.append(_extrapolated_scalar(str(name), variable, order))
    return labelled(xr.concat(found, dim="scalar", data_vars="all", coords="minimal", compat="override"))


def _extrapolated_scalar(name: str, variable: xr.DataArray, order: float) -> xr.Dataset:
    """The extrapolation of one scalar (…, dt, path), at every point of what else is swept."""
    steps = variable["dt"].to_numpy()
    others = [dim for dim in variable.dims if dim not in ("dt", "path")]
    values = variable.transpose(*others, "dt", "path")
    shape = values.shape[: len(others)]
    unknown = statistics.Estimate(np.nan, np.nan)
    nothing = statistics.Extrapolation(unknown, unknown, order, (unknown,) * len(steps))
    results = [
        statistics.extrapolate(own, steps, order) if np.isfinite(own).all(axis=0).any() else nothing
        for own in (values.to_numpy()[at] for at in np.ndindex(*shape))
    ]
    units = variable.attrs["units"]

    def gathered(get: Callable[[Any], Any], *dims: str) -> tuple[list[Any], np.ndarray]:
        array = np.array([get(result) for result in results], dtype=np.float64)
        return [*others, *dims], array.reshape((*shape, *array.shape[1:]))

    data = xr.Dataset(
        {
            "value": (*gathered(lambda r: r.limit.value), {"long_name": "mean as dt -> 0", "units": units}),
            "error": (*gathered(lambda r: r.limit.error), {"long_name": "its standard error", "units": units}),
            "order": (*gathered(lambda r: r.order.value), {"long_name": "order of the bias in dt", "units": "1"}),
            "order_error": (*gathered(lambda r: r.order.error), {"long_name": "its standard error", "units": "1"}),
            "bias": (*gathered(lambda r: [b.value for b in r.bias], "dt"), {"long_name": "bias at dt", "units": units}),
            "bias_error": (
                *gathered(lambda r: [b.error for b in r.bias], "dt"),
                {"long_name": "its standard error", "units": units},
            ),
        },
        coords={dim: variable[dim] for dim in (*others, "dt")} | {"scalar": name},
    )
    return data


def swept_dimensions(runs: Sequence[Run]) -> list[str]:
    """The parameters that differ between runs. Raises InvalidValue unless the runs form a grid in them."""
    if len({type(run.model) for run in runs}) != 1:
        raise InvalidValue("a sweep needs models of one class")
    if len({run.model.energy for run in runs}) != 1:
        raise InvalidValue("a sweep needs models of one energy, which results hold once")
    values = [parameters(run.model) for run in runs]
    if len({tuple(value.items()) for value in values}) < len(runs):
        values = [value | {"dt": run.dt} for value, run in zip(values, runs, strict=True)]
    dims = [name for name in values[0] if len({value[name] for value in values}) > 1]
    if {"clock", "depth"} <= set(dims) and len({value["depth"] for value in values}) == len(
        {(value["depth"], value["clock"]) for value in values}
    ):
        dims.remove("clock")  # infinite depth has one clock only
    grid = {tuple(value[name] for name in dims) for value in values}
    full = int(np.prod([len({value[name] for value in values}) for name in dims], dtype=int))
    if len(grid) != len(runs) or len(grid) != full:
        raise InvalidValue(
            f"the {len(runs)} models of a sweep must form a grid in {', '.join(dims) or 'some parameter'}"
        )
    return dims


def _combined(data: Mapping[tuple[Any, ...], xr.Dataset], dims: Sequence[str]) -> xr.Dataset:
    """The datasets at the points of a grid as one, with a dimension for each of its axes."""
    if not dims:
        return data[()]
    values = sorted({at[0] for at in data})
    slices = [_combined({at[1:]: d for at, d in data.items() if at[0] == value}, dims[1:]) for value in values]
    return xr.concat(
        slices,
        dim=xr.Variable(dims[0], values),
        data_vars="all",
        coords="different",
        compat="equals",
        join="outer",
        combine_attrs="override",
    )


def last_state(result: xr.Dataset | xr.DataTree, model: Model, state: str | None = None) -> tuple[np.ndarray, int]:
    """The last state of every path of a result, and how many of the finest steps have used up their noise.

    Of whole states it is what the result holds of them: networks (path, factor, row, column), or matrices (path, row,
    column); else ascending values (path, component). Exact draws have no steps.
    """
    if result.attrs.get("model", model.kind) != model.kind:
        raise InvalidValue(
            f"start is a result of the model {result.attrs['model']!r}: it must be one of {model.kind!r}"
        )
    data: Any = result["samples"].to_dataset() if isinstance(result, xr.DataTree) and "samples" in result else result
    for name in (*KEPT_OF.get(str(state), ()), "singular_values", "eigenvalues"):
        if name not in data:
            continue
        last = data[name].isel(dict.fromkeys({"draw", "time"} & set(data[name].dims), -1))
        if "path" not in last.dims or set(last.dims) & set(DIMENSIONS):
            continue
        own = {name: result.coords[name].item() for name in ("width", "size", "depth") if name in result.coords}
        if name != "network" or own.get("depth") == getattr(model, "depth", None):
            last_step = result["last_step"] if "last_step" in result else result.attrs.get("last_step", -1)
            return _as_given(last, own), int(last_step) + 1
    raise InvalidValue(
        "start is a result without kept states of a single model: run it with keep_samples, or select a member"
    )


def _as_given(last: xr.DataArray, own: Mapping[str, Any]) -> np.ndarray:
    """The states of all paths as an array, without what sweeps over sizes and depths are padded with."""
    size = own.get("width", own.get("size"))
    sizes = dict.fromkeys(("rank", "component", "row", "column"), size) | {"factor": own.get("depth")}
    last = last.isel({dim: slice(int(n)) for dim, n in sizes.items() if n is not None and dim in last.dims})
    if "part" in last.dims:
        return np.asarray(last.isel(part=0).to_numpy() + 1j * last.isel(part=1).to_numpy())
    return last.to_numpy() if "row" in last.dims else np.sort(last.to_numpy(), axis=-1)


def members(tree: xr.DataTree) -> Iterator[xr.DataTree]:
    """The members of a sweep, each as the tree of a single run; a single run is its own only member."""
    dims = [name for name in DIMENSIONS if name in tree.dims]
    for index in np.ndindex(*(tree.sizes[name] for name in dims)):
        yield tree.isel(dict(zip(dims, (int(i) for i in index), strict=True)))


def model_of(result: xr.Dataset | xr.DataTree, attrs: Mapping[Any, Any] | None = None) -> Model:
    """The model of a single run, from its coordinates and its attributes, or those of the root that it comes from."""
    attrs = result.attrs if attrs is None else attrs
    cls = MODELS.get(attrs.get("model", ""))
    if cls is None:
        raise InvalidValue(f"the result's attribute model = {attrs.get('model')!r}: not a model of dlnmc")
    values = {name: result.coords[name].item() for name in cls.model_fields if name in result.coords}
    energies = _energies(from_json(attrs.get("config", "{}"), "config"))
    return cls(**values, **({"energy": energies[0]} if energies else {}))


def _energies(config: Any) -> list[Any]:
    """All energies in a configuration, however deep: that of a run, of several runs, or of a study."""
    if isinstance(config, list):
        return [energy for value in config for energy in _energies(value)]
    if not isinstance(config, Mapping):
        return []
    return [config["energy"]] if "energy" in config else _energies(list(config.values()))
