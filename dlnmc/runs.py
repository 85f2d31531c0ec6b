"""Runs of studies: started, continued, cut into shares, merged, extended, looked at. Parts are in `OUT.parts`."""

import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr

from dlnmc import dataset, extension, files
from dlnmc.chunks import Arrays, Chunk, Member, costs_by_chunk, plan_chunks
from dlnmc.errors import InvalidValue, RunFailed
from dlnmc.estimates import Estimate, estimate, refuse_more_than_disk, refuse_more_than_memory
from dlnmc.executors import Executor, name_of, thread_count
from dlnmc.locks import Share, held, holders
from dlnmc.simulation import collected, execute
from dlnmc.store import MANIFEST, ChunkStore, Manifest, differences, identity, remove_parts, remove_temporaries, size_of
from dlnmc.studies import QUICK, Study, attribute, load
from dlnmc.studies.base import WHOLE


def study(
    source: str | Path | Mapping[str, Any],
    output: str | Path | None = None,
    *,
    preset: str = QUICK,
    changes: Sequence[str] = (),
    threads: int | None = None,
    executor: Executor = None,
    progress: bool = True,
    fresh: bool = False,
) -> xr.DataTree:
    """Run a study, or continue it, and write its result.

    Parameters
    ----------
    source
        The name of a study, a TOML file, or a mapping with the same tables.
    output
        The netCDF file; default `results/NAME.nc`. Finished chunks are kept beside it, in `OUT.parts`, until it is
        complete; the same call continues after an interruption, and a complete result is not computed again.
    preset
        "quick", which is the study as its file has it, or another that the file names, as "full".
    changes
        Texts `key=value` that replace settings.
    threads, executor
        How many of what, as in `dlnmc.simulate`.
    fresh
        Whether to start over where the result of other or the same settings is, or part of one of others.

    Returns
    -------
    xarray.DataTree
        The result, as `open(output)` would return it.
    """
    plan = load(source, changes, preset)
    members = plan.members()
    path = output_of(plan, output)
    parts = parts_of(path)
    if path.exists() and not fresh:
        found = _complete_result(path, members)
        if found.attrs["config"] == plan.to_json():
            _clear(parts, found)
            return found
    else:
        _refuse_what_cannot_be(members, path, threads, executor)
    with held(parts):
        if path.exists() and not fresh:
            return _with_config(_complete_result(path, members), plan, path)
        store = ChunkStore.opened(parts, members, fresh, plan.tables())
        if progress:
            _announce(members, threads, executor, store)
        results, circumstances = execute(members, threads=threads, executor=executor, progress=progress, store=store)
        tree = _tree(members, results, circumstances, plan, identity(members))
        _finish(tree, path)
    return tree


def share(
    source: str | Path | Mapping[str, Any],
    output: str | Path | None,
    which: Share,
    *,
    preset: str = QUICK,
    changes: Sequence[str] = (),
    threads: int | None = None,
    executor: Executor = None,
    progress: bool = True,
) -> Path:
    """Compute one share of a study's chunks, beside any number of others, for `merge`. Returns the folder of parts."""
    plan = load(source, changes, preset)
    members = plan.members()
    path = output_of(plan, output)
    if path.exists():
        _complete_result(path, members)
        return path
    _refuse_what_cannot_be(members, path, threads, executor, whole=False)
    parts = parts_of(path)
    with held(parts, which):
        if path.exists():
            return path
        store = ChunkStore.opened(parts, members, config=plan.tables())
        if progress:
            _announce(members, threads, executor, store, which)
        execute(members, threads=threads, executor=executor, progress=progress, store=store, share=which)
    return parts


def foreseen(
    source: str | Path | Mapping[str, Any],
    output: str | Path | None = None,
    *,
    preset: str = QUICK,
    changes: Sequence[str] = (),
    threads: int | None = None,
    executor: Executor = None,
    whole: bool = True,
) -> Estimate:
    """What a study will take, from its beginning; requests that cannot be met are refused. Nothing is written.

    `whole` tells whether its result is made here, or only chunks for it.
    """
    plan = load(source, changes, preset)
    members = plan.members()
    _refuse_what_cannot_be(members, output_of(plan, output), threads, executor, whole)
    return estimate(members, threads, executor=executor, whole=whole)


def _refuse_what_cannot_be(
    members: Sequence[Member], path: Path, threads: int | None, executor: Executor, whole: bool = True
) -> None:
    """Raise InvalidValue for an executor that does not exist, and for runs that do not fit in memory or on disk."""
    refuse_more_than_memory(members, thread_count(threads), executor, whole)
    refuse_more_than_disk(members, path.parent, size_of(parts_of(path)))


def _announce(
    members: Sequence[Member],
    threads: int | None,
    executor: Executor,
    store: ChunkStore,
    which: Share | None = None,
) -> None:
    """Say on stderr what is left to be computed, of a share, on this machine."""
    if name_of(executor) == "dask":
        return  # whose workers are not this machine
    costs = costs_by_chunk(members)
    own = which.of(list(costs)) if which else costs
    left = sum(costs[chunk] * (1.0 - store.progress(chunk)) for chunk in own)
    done = sum(costs_by_chunk(extension.at_once(members)).values()) - left
    print(estimate(members, threads, done, executor, which is None).as_text(), file=sys.stderr)


def merge(output: str | Path) -> xr.DataTree:
    """Make the result of a study from its chunks, which may come from other machines, and write it.

    One that is complete is returned. Raises InvalidValue where chunks are missing or damaged: the same shares again
    compute these.
    """
    path = Path(output)
    if path.exists():
        tree = files.open(path)
        _clear(parts_of(path), tree)  # of a merge that was killed when it was nearly done
        return tree
    with held(parts_of(path)):
        plan, members, store, found = _unfinished(path)
        refuse_more_than_memory(members, 1)
        if "extends" in found.config:
            raise InvalidValue(f"{store.directory}: an extension, which has no shares: dlnmc extend continues it")
        results, missing = collected(members, store)
        if missing:
            raise InvalidValue(
                f"{store.directory}: {len(missing)} of {len(plan_chunks(members))} chunks are missing or damaged; the "
                "command lines that made the others compute these, and dlnmc study without --chunk does both"
            )
        circumstances = dataset.Circumstances(time.time(), 1, "merged")
        tree = _tree(members, results, circumstances, plan, found.identity)
        _finish(tree, path)
    return tree


def extend(
    source: str | Path,
    output: str | Path | None = None,
    *,
    threads: int | None = None,
    executor: Executor = None,
    progress: bool = True,
    fresh: bool = False,
    **settings: Any,
) -> xr.DataTree:
    """Continue the finished result of a study with more paths, more draws or more times, and write what that gives.

    It is what one longer run would have given: samples, counts and counters to the bit, time averages to rounding.

    Parameters
    ----------
    source
        The file that `study` wrote, or `extend`.
    output
        The netCDF file; default `source`, which is replaced when all is there. Finished chunks are kept beside it, in
        `OUT.parts`, until then; the same call continues after an interruption.
    threads, executor
        How many of what, as in `dlnmc.simulate`.
    fresh
        Whether to start over where part of another extension is, or in `output` another result.
    settings
        `paths`; of an equilibrium `draws`, `duration` and `observations`, of which one chooses the others; of paths in
        time `times`, which begin with those that there are.

    Returns
    -------
    xarray.DataTree
        The result, as `open(output)` would return it.
    """
    source = Path(source)
    path = _file(source if output is None else Path(output))
    thread_count(threads)
    if not source.is_file():
        raise InvalidValue(f"{source}: there is no such file")
    parts = parts_of(path)
    with held(parts):
        finished = files.open(source)
        plan, members = extension.planned(finished, settings)
        whole = extension.at_once(members)
        in_place = path.exists() and path.samefile(source)
        if path.exists() and (in_place or not fresh):
            there = finished if in_place else files.open(path)
            _remove_parts_of(there, parts)
            differing = differences(attribute(there, "identity"), identity(whole))
            if not differing:
                return there
            if not in_place:
                raise InvalidValue(
                    f"{path}: holds another result: {'; '.join(differing)}; choose another output, or start over "
                    "(--fresh)"
                )
        of = {"extends": os.path.relpath(source, path.parent), "settings": _plain(settings)}
        _refuse_what_cannot_be(members, path, threads, executor)
        store = ChunkStore.opened(parts, members, fresh, of)
        if progress:
            _announce(members, threads, executor, store)
        results, circumstances = execute(members, threads=threads, executor=executor, progress=progress, store=store)
        tree = _tree(whole, results, circumstances, plan, identity(whole))
        extension.fill(tree, finished, members)
        _finish(tree, path)
    return tree


def _remove_parts_of(complete: xr.DataTree, parts: Path) -> None:
    """Remove the parts of a result that is complete, whose run was killed when it had written it."""
    with contextlib.suppress(OSError):
        found = Manifest.read(parts)
        if found is not None:
            own = {key: value for key, value in found.identity.items() if key != "continues"}
            if own == attribute(complete, "identity"):
                remove_parts(parts)


def _clear(parts: Path, complete: xr.DataTree) -> None:
    """`_remove_parts_of` by who does not hold them."""
    if parts.is_dir():
        with contextlib.suppress(InvalidValue, RunFailed), held(parts):  # else somebody starts over
            _remove_parts_of(complete, parts)


def _plain(settings: Mapping[str, Any]) -> Any:
    """Settings as JSON has them."""
    return json.loads(json.dumps(settings, default=lambda value: value.tolist() if hasattr(value, "tolist") else value))


class Status(NamedTuple):
    """How far a run is."""

    chunks: int
    done: int
    begun: int
    fraction: float  # of the work
    holders: list[str]
    rate: float | None  # fractions a second
    now: float

    def as_text(self, path: Path) -> str:
        """A few lines."""
        begun = f", {self.begun} begun" if self.begun else ""
        lines = [f"{path}: {self.done} of {self.chunks} chunks done{begun}; {100.0 * self.fraction:.1f} % of the work"]
        lines += [f"running: {holder}" for holder in self.holders] or ["not running; the same command continues it"]
        if self.holders and self.rate:
            left = (1.0 - self.fraction) / self.rate
            end = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.now + left))
            lines.append(f"{3600.0 * 100.0 * self.rate:.3g} % of the work an hour; {_duration(left)} left, until {end}")
        return "\n".join(lines)


def _duration(seconds: float) -> str:
    for unit, name in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.0f} s"


LONGEST_NAME = 200  # bytes of a file's name, beside which others are written with longer ones
RATE_SECONDS = 3600.0  # over which the rate is taken, at most


def status(output: str | Path) -> Status | None:
    """How far a run is that writes to this file; None where it is complete. Chunks are looked at, not read."""
    path = Path(output)
    if path.exists() and not (parts_of(path) / MANIFEST).exists():  # else it is extended, or computed anew
        return None
    _, members, store, _ = _unfinished(path)
    costs = costs_by_chunk(members)
    chunks, total = list(costs), sum(costs.values())
    progress = {chunk: store.progress(chunk) for chunk in chunks}
    done = [chunk for chunk in chunks if progress[chunk] == 1.0]
    fraction = sum(costs[chunk] * progress[chunk] for chunk in chunks) / total
    busy, now = holders(store.directory), time.time()
    rate = _rate({chunk: store.changed(chunk) for chunk in done}, costs, total, now) if busy else None
    begun = sum(0.0 < value < 1.0 for value in progress.values())
    return Status(len(chunks), len(done), begun, fraction, busy, rate, now)


def _rate(changed: Mapping[Chunk, float], costs: Mapping[Chunk, float], total: float, now: float) -> float | None:
    """The fraction of all work a second, by when recent chunks were finished; None for too few, or an odd clock."""
    recent = sorted(at for at in changed.values() if now - RATE_SECONDS <= at <= now)
    if len(recent) < 3:
        return None
    since = recent[0]
    finished = sum(costs[chunk] for chunk, at in changed.items() if since < at <= now)
    return finished / total / (now - since) if now > since else None


def _unfinished(path: Path) -> tuple[Study, list[Member], ChunkStore, Manifest]:
    """The study, the members and the store of a run that is not complete, by its manifest."""
    parts = parts_of(path)
    try:
        found = Manifest.read(parts)
    except OSError:
        raise InvalidValue(f"{path}: neither a result nor a run that was begun: there is no {parts}") from None
    if found is None or not found.config:
        raise InvalidValue(f"{parts}: its manifest is damaged; the command line that started the run mends it")
    if "extends" in found.config:
        plan, members = extension.planned(files.open(path.parent / found.config["extends"]), found.config["settings"])
    else:
        plan, members = load(found.config), extension.stored_members(found.identity)  # no pilot is run again
    return plan, members, ChunkStore(parts, found.identity), found


def output_of(plan: Study, output: str | Path | None) -> Path:
    """Where the result of a study goes."""
    return _file(Path(output) if output is not None else Path("results") / f"{plan.name}.nc")


def _file(path: Path) -> Path:
    """The path, if a file may be there."""
    if path.is_dir() or path.suffix == ".parts":
        raise InvalidValue(f"{path}: it must be a file, OUT.nc, and not a directory or OUT.parts")
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        raise InvalidValue(f"{path}: the name of a file must have at most {LONGEST_NAME} bytes")
    return path


def parts_of(path: Path) -> Path:
    """The folder of what is kept beside a result until it is complete."""
    return path.with_name(path.name.removesuffix(".nc") + ".parts")


def _finish(tree: xr.DataTree, path: Path) -> None:
    """Write a result, and remove what was kept beside it."""
    remove_temporaries(path)
    files.save(tree, path)
    remove_parts(parts_of(path))


def _tree(
    members: Sequence[Member],
    results: Sequence[Arrays],
    circumstances: dataset.Circumstances,
    plan: Study,
    made_by: Mapping[str, Any],
) -> xr.DataTree:
    """The result of a study, which says by what its chunks were made, also where they come from other machines."""
    names = {"kernels": "kernel_hash", "numba": "numba_version", "numpy": "numpy_version", "cpu": "cpu", "simd": "simd"}
    facts: dict[str, Any] = {attr: made_by[key] for key, attr in names.items()}
    sweeps, first = {}, 0
    for name, part in plan.sweeps().items():
        own = slice(first, first + part.number())
        sweeps[name] = dataset.sweep_tree(members[own], results[own], circumstances)
        sweeps[name].attrs |= facts
        first = own.stop
    if plan.parts:
        tree = xr.DataTree(children=sweeps)
        shared = next(iter(sweeps.values())).attrs
        tree.attrs = {name: shared[name] for name in dataset.OF_ANY_RUN if name in shared}
    else:
        tree = sweeps[WHOLE]
        for name, group in extension.ends(results).items():
            tree[name] = xr.DataTree(dataset=group)
    tree.attrs |= facts | plan.attributes() | {"identity": json.dumps(made_by)}
    return tree


def _complete_result(path: Path, members: Sequence[Member]) -> xr.DataTree:
    """The result that is already there, if it is that of these runs."""
    found = files.open(path)
    if differing := differences(_without_early(attribute(found, "identity")), _without_early(identity(members))):
        raise InvalidValue(
            f"{path}: holds the result of other settings: {'; '.join(differing)}; choose another output, or start over "
            "(--fresh)"
        )
    return found


def _with_config(found: xr.DataTree, plan: Study, path: Path) -> xr.DataTree:
    """A result that is complete, with other thresholds or another title, which is written."""
    _remove_parts_of(found, parts_of(path))
    if found.attrs["config"] != plan.to_json():
        found.attrs |= plan.attributes()
        files.save(found, path)
    return found


def _without_early(found: Mapping[str, Any]) -> dict[str, Any]:
    """An identity without what tells a result that was extended from one that was computed at once."""
    runs = found.get("runs")
    if not isinstance(runs, list) or not all(isinstance(run, dict) for run in runs):
        return dict(found)
    return {**found, "runs": [{name: value for name, value in run.items() if name != "early"} for run in runs]}
