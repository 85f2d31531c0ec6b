"""From arrays to labelled xarray objects: dimensions, coordinates, units in words, provenance."""

import json
import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
import xarray as xr

from dlnmc import __version__, laws
from dlnmc.chunks import Arrays, Member, histogram_range, schedule
from dlnmc.config import Equilibrium, Run
from dlnmc.engine import scale
from dlnmc.errors import InvalidValue
from dlnmc.models import MODELS, DysonBrownianMotion, Model
from dlnmc_kernels.jit import cpu_name, simd, source_hash
from dlnmc_kernels.observables import LARGEST, MOMENTS, RATIO_ALL, RATIO_MIDDLE, SMALLEST
from dlnmc_kernels.ordering import CROSSINGS, SIGN_CHANGES, STATUS, TAMED

SWEPT = ("depth", "width", "size", "beta", "kappa", "clock")  # the parameters that a sweep may make a dimension
SIZE_WITH_MIDDLE = 5  # the middle half of fewer ranks has no two gaps
MODEL_UNITS = "units of the model (not scaled)"
SCALED_UNITS = "units of sqrt(d/beta)"
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
}


class Circumstances(NamedTuple):
    """What does not affect results: when a run began, and on how many threads."""

    began: float
    threads: int


def parameters(run: Run) -> dict[str, Any]:
    """The model's parameters that become coordinates."""
    return {name: getattr(run.model, name) for name in SWEPT if name in type(run.model).model_fields}


def _is_dyson(run: Run) -> bool:
    return isinstance(run.model, DysonBrownianMotion)


def _labelled(data: xr.Dataset) -> xr.Dataset:
    """The dataset with units and a meaning on every coordinate."""
    for name in set(data.coords) & set(COORDINATES):
        units, long_name = COORDINATES[str(name)]
        data[name].attrs |= {"long_name": long_name, "units": units}
    return data


def _states(run: Run, samples: np.ndarray, dim: str, steps: np.ndarray) -> xr.Dataset:
    """The kept states: rank 1 is the largest singular value; eigenvalues ascend."""
    assert run.dt is not None
    if _is_dyson(run):
        name, component, long_name = "eigenvalues", "component", "eigenvalues, ascending"
    else:
        name, component, long_name = "singular_values", "rank", "singular values of W, rank 1 the largest"
        samples = samples[..., ::-1]
    times = (steps - run.first_step) * run.dt
    time_attrs = {"long_name": "time since the start", "units": f"time in the model's clock ({_clock(run)})"}
    coords: dict[str, Any] = {"path": np.arange(run.paths), component: np.arange(1, run.model.size + 1)}
    if dim == "time":
        coords["time"] = ("time", times, time_attrs)
    else:
        coords["draw"] = np.arange(1, len(steps) + 1)
        coords["time"] = ("draw", times, time_attrs)
    attrs = {"long_name": long_name, "units": MODEL_UNITS}
    return xr.Dataset({name: (("path", dim, component), np.ascontiguousarray(samples), attrs)}, coords=coords)


def _clock(run: Run) -> str:
    return getattr(run.model, "clock", "paper")


def _sampler(run: Run, tally: np.ndarray) -> xr.Dataset:
    """Status and counts by path."""
    status = tally[:, STATUS]
    counted = {
        "tamed": (TAMED, "neighbours closer than the tamed distance, summed over steps"),
        "crossings": (CROSSINGS, "exchanges of neighbours, summed over steps"),
    }
    if not _is_dyson(run):
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
    return xr.Dataset(variables, coords={"path": np.arange(run.paths)})


def _provenance(run: Run, circumstances: Circumstances, title: str, config: Any) -> dict[str, Any]:
    """Attributes of the root. Wall-clock and machine facts stand only here."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {
        "Conventions": "CF-1.11",
        "title": title,
        "source": f"dlnmc {__version__}: Monte Carlo simulation of stochastic differential equations",
        "history": f"{now} made by dlnmc {__version__}",
        "dlnmc_version": __version__,
        "config": json.dumps(config, sort_keys=True),
        "model": run.model.kind,
        "energy": run.model.energy.kind,
        "seed": np.uint64(run.seed),
        "scheme": run.scheme,
        "dt": run.dt,
        "coordinates_evolved": run.coordinates,
        "clock": _clock(run),
        "kernel_hash": source_hash(),
        "numba_version": numba.__version__,
        "numpy_version": np.__version__,
        "cpu": cpu_name(),
        "simd": simd(),
        "machine": f"{platform.machine()} {platform.system()}, {os.cpu_count()} processors",
        "python_version": platform.python_version(),
        "threads": circumstances.threads,
        "wall_seconds": round(time.time() - circumstances.began, 3),
    }


def simulation_dataset(member: Member, arrays: Arrays, circumstances: Circumstances) -> xr.Dataset:
    """The result of `simulate`."""
    run = member.run
    plan = schedule(run)
    samples = _without_failed(arrays["samples"], arrays["tally"])
    data = xr.merge([_states(run, samples, "time", plan.observed_steps), _sampler(run, arrays["tally"])])
    data = _labelled(data.assign_coords(parameters(run)))
    data.attrs = _provenance(run, circumstances, "Paths of " + type(run.model).__name__, json.loads(run.to_json()))
    data.attrs["last_step"] = plan.last_step
    return data


def _without_failed(values: np.ndarray, tally: np.ndarray) -> np.ndarray:
    """The values by path, with NaN for paths that became non-finite."""
    failed = (tally[:, STATUS] >= 0).reshape(-1, *[1] * (values.ndim - 1))
    return np.where(failed, np.nan, values)


def _groups(member: Member, arrays: Arrays) -> dict[str, xr.Dataset]:
    """The groups of one equilibrium run."""
    run = member.run
    assert isinstance(run, Equilibrium)
    plan = schedule(run)
    kept = plan.observed_steps[plan.draws >= 0]
    sums = _without_failed(arrays["sums"], arrays["tally"]) / len(plan.observed_steps)
    paths = {"path": np.arange(run.paths)}
    size = run.model.size
    what = "x" if _is_dyson(run) else "sigma"
    orders = np.arange(1, MOMENTS + 1)
    with np.errstate(all="ignore"):  # at extreme β the scale's powers leave the range of numbers
        moments = sums[:, :MOMENTS] / size / scale(run.model) ** orders
    square = "sum of x^2" if _is_dyson(run) else "Tr W^T W"
    groups = {
        "histogram": _histogram(run, arrays["counts"]),
        "moments": xr.Dataset(
            {
                "trace": (
                    "path",
                    sums[:, 1].copy(),
                    {"long_name": f"time average of {square}", "units": MODEL_UNITS},
                ),
                "moment": (
                    ("path", "order"),
                    moments,
                    {"long_name": f"time average of mean over components of {what}^order", "units": SCALED_UNITS},
                ),
            },
            coords=paths | {"order": orders},
        ),
        "extremes": xr.Dataset(
            {
                name: (
                    "path",
                    sums[:, row].copy(),
                    {"long_name": f"time average of the {name} {what}", "units": MODEL_UNITS},
                )
                for name, row in (("largest", LARGEST), ("smallest", SMALLEST))
            },
            coords=paths,
        ),
        "sampler": _sampler(run, arrays["tally"]),
    }
    if run.keep_samples:
        samples = _without_failed(arrays["samples"], arrays["tally"])
        groups["samples"] = _states(run, samples, "draw", kept)
    spacing = {
        name: (
            "path",
            sums[:, row].copy(),
            {"long_name": f"time average of the mean spacing ratio in {what}, {where}", "units": "1"},
        )
        for name, row, where, least in (
            ("ratio_middle", RATIO_MIDDLE, "middle half of the ranks", SIZE_WITH_MIDDLE),
            ("ratio_all", RATIO_ALL, "all ranks", 3),
        )
        if size >= least
    }
    groups["spacing"] = xr.Dataset(spacing, coords=paths)
    return groups | {"law": _law(run, groups["histogram"]["edges"].to_numpy())}


def _histogram(run: Equilibrium, counts: np.ndarray) -> xr.Dataset:
    edges = np.linspace(*histogram_range(run), run.bins + 1)
    batch = np.arange(len(counts))
    values = {
        "counts": (("batch", "bin"), counts[:, 1:-1], "values in each bin"),
        "underflow": ("batch", counts[:, 0], "values below the first edge"),
        "overflow": ("batch", counts[:, -1], "values from the last edge on"),
        "samples": ("batch", counts.sum(axis=1), "values in all, underflow and overflow included"),
    }
    variables: dict[str, Any] = {
        name: (dims, np.ascontiguousarray(array), {"long_name": long_name, "units": "count"})
        for name, (dims, array, long_name) in values.items()
    }
    variables["edges"] = ("bin_edge", edges, {"long_name": "edges of the bins", "units": SCALED_UNITS})
    return xr.Dataset(variables, coords={"batch": batch, "bin": np.arange(run.bins)})


def _law(run: Run, edges: np.ndarray) -> xr.Dataset:
    """What is known exactly about the histogram (NaN where no law is known) and the trace."""
    try:
        law = laws.of(run.model)
        probability, edge = np.diff(law.cdf(edges)), law.support[1]
    except InvalidValue:
        probability, edge = np.full(len(edges) - 1, np.nan), np.nan
    trace = laws.trace(run.model)
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
                trace.mean(),
                {"long_name": "exact mean of the trace at this width", "units": MODEL_UNITS},
            ),
        },
        coords={"bin": np.arange(len(edges) - 1)},
    )


def equilibrium_tree(member: Member, arrays: Arrays, circumstances: Circumstances) -> xr.DataTree:
    """The result of `equilibrium`."""
    run = member.run
    groups = {"/": xr.Dataset()} | _groups(member, arrays)
    labelled = {name: _labelled(group.assign_coords(parameters(run))) for name, group in groups.items()}
    tree = xr.DataTree.from_dict(labelled)
    tree.attrs = _provenance(
        run, circumstances, "Equilibrium of " + type(run.model).__name__, json.loads(run.to_json())
    )
    tree.attrs["last_step"] = schedule(run).last_step
    return tree


def sweep_tree(members: Sequence[Member], results: Sequence[Arrays], circumstances: Circumstances) -> xr.DataTree:
    """The results of several runs, with a dimension for every parameter that differs."""
    dims = swept_dimensions([member.run for member in members])
    each: dict[str, dict[tuple[Any, ...], xr.Dataset]] = {}
    for member, arrays in zip(members, results, strict=True):
        at = tuple(parameters(member.run)[name] for name in dims)
        fixed = {name: value for name, value in parameters(member.run).items() if name not in dims}
        own = xr.Dataset(
            {
                "dt": ((), member.run.dt, {"long_name": "time step", "units": "time in the model's clock"}),
                "last_step": ((), schedule(member.run).last_step, {"long_name": "last step", "units": "steps"}),
            }
        )
        for name, group in ({"/": own} | _groups(member, arrays)).items():
            each.setdefault(name, {})[at] = group.assign_coords(fixed)
    tree = xr.DataTree.from_dict({name: _labelled(_combined(data, dims)) for name, data in each.items()})
    first = members[0].run
    stored = [json.loads(member.run.to_json()) for member in members]
    tree.attrs = _provenance(first, circumstances, "Equilibria of " + type(first.model).__name__, stored)
    del tree.attrs["dt"]
    return tree


def swept_dimensions(runs: Sequence[Run]) -> list[str]:
    """The parameters that differ between runs. Raises InvalidValue unless the runs form a grid in them."""
    if len({type(run.model) for run in runs}) != 1:
        raise InvalidValue("a sweep needs models of one class")
    values = [parameters(run) for run in runs]
    dims = [name for name in values[0] if len({value[name] for value in values}) > 1]
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


def last_state(result: xr.Dataset | xr.DataTree, model: Model) -> tuple[np.ndarray, int]:
    """The last state of every path of a result, ascending, and the step at which a run that continues it begins."""
    if result.attrs.get("model", model.kind) != model.kind:
        raise InvalidValue(
            f"start is a result of the model {result.attrs['model']!r}: it must be one of {model.kind!r}"
        )
    data = result["samples"].to_dataset() if isinstance(result, xr.DataTree) and "samples" in result else result
    for name, axis in (
        ("singular_values", "draw"),
        ("eigenvalues", "draw"),
        ("singular_values", "time"),
        ("eigenvalues", "time"),
    ):
        if name in data and axis in data[name].dims and data[name].ndim == 3:
            values = np.sort(np.asarray(data[name].isel({axis: -1})), axis=-1)
            last_step = result["last_step"] if "last_step" in result else result.attrs.get("last_step", 0)
            return values, int(last_step) + 1
    raise InvalidValue(
        "start is a result without kept states of a single model: run it with keep_samples, or select a member"
    )


def members(tree: xr.DataTree) -> Iterator[xr.DataTree]:
    """The members of a sweep, each as the tree of a single run; a single run is its own only member."""
    dims = [name for name in SWEPT if name in tree.dims]
    for index in np.ndindex(*(tree.sizes[name] for name in dims)):
        yield tree.isel(dict(zip(dims, (int(i) for i in index), strict=True)))


def model_of(result: xr.Dataset | xr.DataTree, attrs: Mapping[Any, Any] | None = None) -> Model:
    """The model of a single run, from its coordinates and its attributes, or those of the root that it comes from."""
    attrs = result.attrs if attrs is None else attrs
    cls = MODELS.get(attrs.get("model", ""))
    if cls is None:
        raise InvalidValue(f"the result's attribute model = {attrs.get('model')!r}: not a model of dlnmc")
    values = {name: result.coords[name].item() for name in cls.model_fields if name in result.coords}
    energies = _energies(json.loads(attrs.get("config", "{}")))
    return cls(**values, **({"energy": energies[0]} if energies else {}))


def _energies(config: Any) -> list[Any]:
    """All energies in a configuration, however deep: that of a run, of several runs, or of a study."""
    if isinstance(config, list):
        return [energy for value in config for energy in _energies(value)]
    if not isinstance(config, Mapping):
        return []
    return [config["energy"]] if "energy" in config else _energies(list(config.values()))
