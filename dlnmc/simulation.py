"""Running: `simulate`, `equilibrium` and `sweep`, and the machinery that takes a run from chunks to arrays."""

import math
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from dlnmc import dataset
from dlnmc.chunks import (
    Arrays,
    Chunk,
    Collected,
    Member,
    costs_by_chunk,
    place_of,
    plan_chunks,
    result_form,
)
from dlnmc.config import Equilibrium, Run, Simulation, run_settings
from dlnmc.defaults import completed, default_scheme_of_ladder
from dlnmc.descriptions import unknown_key
from dlnmc.engine import state_row
from dlnmc.errors import Interrupted, InvalidValue, PathsFailed
from dlnmc.estimates import refuse_more_than_memory
from dlnmc.executors import Executor, compute, name_of, pool_of, thread_count
from dlnmc.functions import Function
from dlnmc.locks import Share
from dlnmc.models import Model
from dlnmc.observables import resolved
from dlnmc.pilot import adapted
from dlnmc.progress import Progress
from dlnmc.starts import check_start, checked_array, continued_array, digest
from dlnmc.store import ChunkStore
from dlnmc.work import ChunkWork
from dlnmc_kernels.ordering import STATUS

MOST_REFINED = 2**16  # times the finest step of a ladder: each coarse step sums the normals of as many
Observables = Sequence[str] | Mapping[str, Function] | None
Start = str | ArrayLike | xr.Dataset | xr.DataTree | None


def simulate(
    model: Model,
    *,
    paths: int,
    dt: float | None = None,
    times: Sequence[float] | NDArray[np.floating[Any]],
    start: Start = None,
    state: str | None = None,
    coordinates: str | None = None,
    scheme: str = "euler_maruyama",
    tolerance: float | None = None,
    bins: int | None = None,
    keep_samples: bool = True,
    seed: int = 0,
    failed_fraction: float = 0.0,
    threads: int | None = None,
    executor: Executor = None,
    progress: bool = False,
) -> xr.Dataset:
    """Simulate independent paths and keep their states at given times.

    See docs/mathematics.md, "Deep Linear Network".

    Parameters
    ----------
    model
        `DeepLinearNetwork` or `DysonBrownianMotion`.
    paths, dt
        Number of paths; time step in the units of the model's clock. Only "gradient_flow", which chooses steps within
        it, does without: then it is the largest of which all times are whole multiples; where the last is more than
        16384 of those, it is the 16384th part of that, and times that then coincide are refused.
    times
        Ascending times >= 0, rounded up to whole steps; the actual ones are in the result.
    start
        None (random: one value between each two quantiles of a similar law), "law" (the quantiles of the equilibrium
        law), "zero" (Dyson; drawn exactly at the first step), "clusters" (Dyson; half of the eigenvalues near √(d/β),
        half near its negative), an array of shape (rank,) or (path, rank), an earlier
        result, which is continued from its last state with fresh noise, or what `exact` drew. Whole states start from
        one matrix (row, column) or one for each path, networks also from balanced factors (factor, row, column); where
        only their singular values or eigenvalues are known or named, frames are random, of Haar's law. "identity" (0.01
        times it) and "gaussian" (independent entries N(0, 1/d)) are matrices W of the Deep Linear Network.
    state, coordinates, scheme
        For the Deep Linear Network coordinates "lambda" (default; additive noise) or "sigma", at infinite depth "log";
        schemes "euler_maruyama", "milstein", and for additive noise "leimkuhler_matthews", "mala". The states "matrix"
        (W itself), "network" (its balanced factors, at whole depths) and, for Dyson Brownian motion, "hermitian" take
        "euler_maruyama". At κ = 0 there is "gradient_flow", of order 8 with steps that adapt, for singular values,
        "matrix" and, at β = ∞, "network", which then need not be balanced.
    tolerance
        Of "gradient_flow": the error of each of its steps, relative to the norm of the state; default 1e-10.
    bins
        Number of bins of a histogram for each time, counted in batches of paths; None: no histograms.
    keep_samples
        Whether the states themselves are kept.
    seed
        0 <= seed < 2^64. Equal seeds give equal bits, for every number of threads; more paths leave earlier ones as
        they were.
    failed_fraction
        The largest fraction of paths that may become non-finite; they are frozen, counted, and left out.
    threads
        Of threads or processes: default one for each processor.
    executor
        Where paths are computed: "threads" of this process (default), "processes" of this machine, or on the workers
        of a dask cluster, by the address of its scheduler or a `distributed.Client`. Bits are the same everywhere.
    progress
        Whether to show a progress bar.

    Returns
    -------
    xarray.Dataset
        `singular_values` (path, time, rank), rank 1 the largest, or `eigenvalues` (path, time, component), ascending;
        of whole states `matrix` (path, time, row, column), with `part` before `row` where it is Hermitian, and
        `network` (path, time, factor, row, column); along gradient flows `energy` and `free_energy` (path, time);
        counts and status by path; with `bins`, `counts` (time, batch, bin) over `edges`.

    Raises
    ------
    InvalidValue
        A ValueError that quotes a value that cannot be used and says what can.
    RunFailed
        A path became non-finite; the message says which, when, and what to change.
    """
    member = prepared(
        Simulation,
        {"model": model, "paths": paths, "times": times, "keep_samples": keep_samples},
        start,
        dt=dt,
        bins=bins,
        state=state,
        coordinates=coordinates,
        scheme=scheme,
        tolerance=tolerance,
        seed=seed,
        failed_fraction=failed_fraction,
    )
    (arrays,), circumstances = execute([member], threads=threads, executor=executor, progress=progress)
    return dataset.simulation_dataset(member, arrays, circumstances)


def equilibrium(
    model: Model,
    *,
    paths: int = 4096,
    dt: float | Sequence[float] | None = None,
    burn_in: float | None = None,
    duration: float | None = None,
    draws: int = 1,
    observations: int | None = None,
    accuracy: float | None = None,
    observables: Observables = None,
    bins: int | None = None,
    keep_samples: bool = True,
    start: Start = None,
    state: str | None = None,
    coordinates: str | None = None,
    scheme: str | None = None,
    leaps: int | None = None,
    seed: int = 0,
    failed_fraction: float = 0.0,
    threads: int | None = None,
    executor: Executor = None,
    progress: bool = False,
) -> xr.DataTree:
    """Sample the equilibrium: burn in, then draw states and accumulate statistics while running.

    Draw k = 1 ... draws is taken at burn_in + k·duration/draws. `observations` states (a multiple of `draws`; default
    at least 64) enter the streaming statistics: integer histograms in batches of paths, moments, extremes and spacing
    ratios by path. What is left out is chosen from the model and recorded. The rest is as in `simulate`.

    See docs/mathematics.md, "Equilibrium".

    Parameters
    ----------
    dt
        The time step, or several, each a whole multiple of the smallest: a ladder on shared noise, with a dimension
        `dt` and a group `extrapolated`, the values for dt → 0 with their errors. With the schemes "mala" and "hmc" the
        step makes no bias; left out, it comes from a pilot run.
    leaps
        Leapfrog steps in one step of "hmc"; left out, as many as cover a quarter of the natural time, at most 128.
    accuracy
        The relative standard error that the mean of Tr WᵀW (or Σx²) should have, and a bound on its bias; it chooses
        `dt` and `duration` where they are left out.
    observables
        Names of built-in ones (`dlnmc.observables.BUILT_IN`), or {"name": function} of the ascending singular values or
        eigenvalues of one path, which is compiled; their time averages by path are in the group `observables`.

    Returns
    -------
    xarray.DataTree
        Groups `samples`, `histogram`, `moments`, `spacing`, `extremes`, `observables`, `stationarity`, `sampler`,
        and `law`.
    """
    members = ladder(
        {
            "model": model,
            "paths": paths,
            "draws": draws,
            "keep_samples": keep_samples,
            "seed": seed,
        },
        start,
        dt=dt,
        bins=bins,
        burn_in=burn_in,
        duration=duration,
        observations=observations,
        accuracy=accuracy,
        observables=observables,
        state=state,
        coordinates=coordinates,
        scheme=scheme,
        leaps=leaps,
        failed_fraction=failed_fraction,
    )
    results, circumstances = execute(members, threads=threads, executor=executor, progress=progress)
    if len(members) > 1:
        return dataset.sweep_tree(members, results, circumstances)
    return dataset.equilibrium_tree(members[0], results[0], circumstances)


def sweep(
    models: Sequence[Model],
    *,
    common_noise: bool = False,
    threads: int | None = None,
    executor: Executor = None,
    progress: bool = False,
    **settings: Any,
) -> xr.DataTree:
    """`equilibrium` of several models, in one tree with a dimension for every parameter that differs, and for dt.

    The models must form a grid in the parameters that differ (depth, width or size, beta, kappa), or differ in one.
    Members use distinct noise unless `common_noise` is true. `settings` are those of `equilibrium`.
    """
    if unknown := sorted(set(settings) - set(run_settings(Equilibrium))):
        raise InvalidValue(unknown_key(unknown[0], run_settings(Equilibrium)))
    start = settings.pop("start", None)
    members = sweep_members(models, settings, start, common_noise)
    results, circumstances = execute(members, threads=threads, executor=executor, progress=progress)
    return dataset.sweep_tree(members, results, circumstances)


def sweep_members(
    models: Sequence[Model], settings: dict[str, Any], start: Start, common_noise: bool, cls: type[Run] = Equilibrium
) -> list[Member]:
    """The complete runs of a sweep, one for each model, with distinct or common noise. They must form a grid."""
    seed = settings.get("seed", 0)
    members = []
    for index, model in enumerate(models):  # the first validates the seed, before others are derived from it
        own = seed if common_noise else member_seed(seed, index)
        values = settings | {"model": model, "seed": own}
        members += ladder(values, start) if cls is Equilibrium else [prepared(cls, values, start)]
    dataset.swept_dimensions([member.run for member in members])
    return members


def member_seed(seed: int, index: int) -> int:
    """The seed of a member of a sweep: that of the first is `seed` itself."""
    if index == 0:
        return seed
    return int(np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0])


def ladder(settings: dict[str, Any], start: Start, **optional: Any) -> list[Member]:
    """The complete runs of one model: one for each step, on the noise of the finest, where `dt` is a list."""
    dt = optional.pop("dt", None)
    dt = settings.get("dt") if dt is None else dt
    settings = {name: value for name, value in settings.items() if name != "dt"}
    if isinstance(dt, str) or not isinstance(dt, Sequence | np.ndarray):
        return [prepared(Equilibrium, settings, start, dt=dt, **optional)]
    listed = list(dt)
    for step in listed:
        number = isinstance(step, int | float | np.integer | np.floating) and not isinstance(step, bool)
        if not number or not 0 < step < math.inf:
            raise InvalidValue(f"dt: the list holds {step!r}: steps must be finite numbers > 0")
    steps = [float(step) for step in listed]
    if not steps or len(set(steps)) < len(steps):
        raise InvalidValue(f"dt = {steps}: a list must hold one or more different steps")
    if optional.get("scheme") is None and settings.get("scheme") is None:
        coarsest = Equilibrium(**_filled(settings, optional), dt=max(steps))
        settings["scheme"] = default_scheme_of_ladder(coarsest)
    finest = min(steps)
    refinements = []
    for step in sorted(steps):
        ratio = step / finest
        if ratio > MOST_REFINED:
            raise InvalidValue(f"dt = {steps}: {step:g} is more than {MOST_REFINED} times the smallest, {finest:g}")
        if not abs(ratio - round(ratio)) <= 1e-9 * ratio:
            raise InvalidValue(f"dt = {steps}: {step:g} must be a whole multiple of the smallest, {finest:g}")
        refinements.append(round(ratio))
    origin = math.lcm(*refinements)
    return [
        prepared(Equilibrium, settings | {"refinement": m}, start, origin, dt=m * finest, **optional)
        for m in refinements
    ]


def _filled(settings: dict[str, Any], optional: dict[str, Any]) -> dict[str, Any]:
    """The fields of a description, without what is left open and what is handed over beside it."""
    beside = ("start", "observables")
    return settings | {name: value for name, value in optional.items() if value is not None and name not in beside}


def prepared(cls: type[Run], settings: dict[str, Any], start: Start, origin: int = 1, **optional: Any) -> Member:
    """The complete description of a run, its start values and its observables.

    A run that continues another begins at a step of new noise; counted in the finest steps of a ladder it is a multiple
    of `origin`, so that all members see the same.
    """
    values = settings | {name: value for name, value in optional.items() if value is not None}
    if start is None:
        start = values.pop("start", None)
    asked = values.pop("observables", None)
    given = None
    if start is None or isinstance(start, str):
        run = completed(cls(**(values | {"start": start})))
        check_start(run)
    else:
        if isinstance(start, xr.Dataset | xr.DataTree):
            described = cls(**values)
            start, used = dataset.last_state(start, described.model, state_row(described).state)
            values["first_step"] = -(-used // origin) * origin // values.get("refinement", 1)
            run = cls(**values, start="given")
            given = continued_array(start, run)
        else:
            run = cls(**values, start="given")
            given = checked_array(start, run)
        run = completed(run.changed(start_digest=digest(given)))
    observables = resolved(asked, run.model.size)
    run = run.changed(observables=tuple(observable.key for observable in observables))
    if run.dt is None:
        if not isinstance(run, Equilibrium):
            raise InvalidValue("dt = None: simulate needs a time step; only equilibrium and gradient flows choose one")
        run = completed(adapted(run, given))
    return Member(run, given, observables)


def execute(
    members: Sequence[Member],
    *,
    threads: int | None,
    progress: bool,
    executor: Executor = None,
    store: ChunkStore | None = None,
    share: Share | None = None,
) -> tuple[list[Arrays], dataset.Circumstances]:
    """Compute all members, in chunks; the arrays of each, and under what circumstances.

    With a store, chunks that are there are not computed again, and others are kept there; of a share, these are every
    so many chunks of the run, and no arrays are returned. Raises InvalidValue for more than the machine's memory holds,
    RunFailed where a path became non-finite, and Interrupted on Ctrl-C, saying what was kept.
    """
    began, count = time.time(), thread_count(threads)
    refuse_more_than_memory(members, count, executor, whole=share is None)
    costs = costs_by_chunk(members)
    chunks = list(costs)
    if share is not None:
        chunks = list(share.of(chunks))
    whole = [Collected(member) for member in members]
    statuses: dict[Chunk, NDArray[np.float64]] = {}

    def collect(chunk: Chunk, arrays: Arrays) -> None:
        if share is None:
            whole[chunk.member].add(chunk, arrays)
        statuses[chunk] = arrays["tally"][:, STATUS].copy()

    if store is not None:
        for chunk in chunks:
            if (kept := store.load(chunk, partial(result_form, members[chunk.member], chunk))) is not None:
                collect(chunk, kept)
    missing = [chunk for chunk in chunks if chunk not in statuses]
    with Progress(sum(costs[chunk] for chunk in chunks), progress, "sampling") as bar:
        bar.advance(sum(costs[chunk] for chunk in statuses))

        def finished(chunk: Chunk, arrays: Arrays) -> None:
            if store is not None:
                store.save(chunk, arrays)
            collect(chunk, arrays)
            if not pool.reports:
                bar.advance(costs[chunk])
            if np.any(arrays["tally"][:, STATUS] >= 0):
                _refuse_failed_paths(members, statuses)

        try:
            if missing:
                pool = pool_of(executor, ChunkWork(members, store), count, bar.advance)
                count = pool.size
                compute(pool, missing, finished, bar.show)
            _refuse_failed_paths(members, statuses)
        except KeyboardInterrupt:
            where = f"kept in {store.directory}; the same command continues" if store else "nothing was kept"
            raise Interrupted(f"interrupted: {len(statuses)} of {len(chunks)} chunks were done; {where}") from None
        except PathsFailed:
            if store is not None and share is None:
                store.remove()  # the same run would fail in the same way
            raise
    return [collected.arrays for collected in whole], dataset.Circumstances(began, count, name_of(executor))


def collected(members: Sequence[Member], store: ChunkStore) -> tuple[list[Arrays], list[Chunk]]:
    """The arrays of members from the chunks in a store, and the chunks that are missing there, damaged ones included.

    Raises RunFailed where too many paths failed.
    """
    whole = [Collected(member) for member in members]
    statuses: dict[Chunk, NDArray[np.float64]] = {}
    missing = []
    for chunk in plan_chunks(members):
        arrays = store.load(chunk, partial(result_form, members[chunk.member], chunk))
        if arrays is None:
            missing.append(chunk)
        else:
            whole[chunk.member].add(chunk, arrays)
            statuses[chunk] = arrays["tally"][:, STATUS].copy()
    _refuse_failed_paths(members, statuses)
    return [own.arrays for own in whole], missing


def _refuse_failed_paths(members: Sequence[Member], statuses: Mapping[Chunk, NDArray[np.float64]]) -> None:
    """Raise RunFailed if more paths of a member failed than may: how many so far, the first, and what to change."""
    by_member: dict[int, dict[Chunk, NDArray[np.float64]]] = {}
    for chunk, status in statuses.items():
        by_member.setdefault(chunk.member, {})[chunk] = status
    for index, own in by_member.items():
        member, run = members[index], members[index].run
        failed = [(chunk, int(row)) for chunk in sorted(own) for row in np.flatnonzero(own[chunk] >= 0)]
        if len(failed) > run.failed_fraction * run.paths:
            advice = "a smaller dt, or a start nearer to equilibrium"
            if run.scheme == "gradient_flow":  # whose steps adapt
                advice = "another tolerance, or another start"
            done, (chunk, row) = sum(map(len, own.values())), failed[0]
            path, step = place_of(member, chunk).paths[row], int(own[chunk][row])
            raise PathsFailed(
                f"{len(failed)} of {done} paths so far became non-finite, the first of them path {path} at step {step} "
                f"(dt = {run.dt:g}, {_parameters(run)}); take {advice}, or a failed_fraction "
                f"above {run.failed_fraction:g}"
            )


def _parameters(run: Run) -> str:
    return ", ".join(f"{name} = {value}" for name, value in dataset.parameters(run.model).items())
