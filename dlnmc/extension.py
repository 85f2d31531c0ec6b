"""A finished result of a study, and the longer runs that continue it: more paths, more draws, more times.

Its group `continuation` holds where every path ended. From there paths go on; samples and counts that are there already
are taken over, so that the result is that of one longer run.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from dlnmc.chunks import Arrays, Continued, Member, blocks_per_batch, carried_shapes, histogram_range, schedule
from dlnmc.config import Equilibrium, Run, Simulation
from dlnmc.errors import InvalidValue
from dlnmc.models import MODELS
from dlnmc.observables import resolved
from dlnmc.starts import check_start
from dlnmc.store import differences, facts
from dlnmc.studies import Study, attribute, load, parsed
from dlnmc.studies.base import WHOLE

GROUP = "continuation"
RUNS: dict[str, type[Equilibrium] | type[Simulation]] = {"equilibrium": Equilibrium, "simulation": Simulation}
SETTINGS = {"equilibrium": ("paths", "draws", "duration", "observations"), "simulation": ("paths", "times")}
MOST_MEMBERS = 64  # of which files keep where paths ended
MOST_DRAWS = 2.0**32  # to say so, where more are asked for than there may be
VARIABLES: dict[str, tuple[tuple[str, ...], str]] = {  # of a member's end: dimensions after the path, meaning
    "x": (("coordinate",), "state at the last step, in the coordinates that are evolved"),
    "memory": (("carried",), "what is carried from step to step beside it"),
    "tally": (("counter",), "counters and status"),
    "sums": (("half", "sum"), "sums over early and over late observations"),
    "squares": (("sum",), "sums of squares over observations"),
    "own_sums": (("own", "half"), "sums of observables over early and over late observations"),
    "own_squares": (("own",), "sums of squares of observables over observations"),
}


def ends(results: Sequence[Arrays]) -> dict[str, xr.Dataset]:
    """The groups that say where the paths of each member ended; none where there are too many members."""
    if len(results) > MOST_MEMBERS:
        return {}
    return {
        f"{GROUP}/member_{index}": xr.Dataset(
            {
                name: (("path", *dims), arrays[name], {"long_name": long_name, "units": "those of the kernels"})
                for name, (dims, long_name) in VARIABLES.items()
                if arrays[name].size
            }
        )
        for index, arrays in enumerate(results)
    }


def settings_of(changes: Sequence[str]) -> dict[str, Any]:
    """Settings from texts `key=value`."""
    found = {key.strip().removeprefix("run."): value for key, value in map(parsed, changes)}
    known = list(dict.fromkeys(name for names in SETTINGS.values() for name in names))
    for name in found:
        if name not in known:
            raise InvalidValue(f"{name}: of a finished result only {', '.join(known)} can be extended")
    return found


def at_once(members: Sequence[Member]) -> list[Member]:
    """The same runs, from their starts."""
    return [member._replace(continued=None) for member in members]


def planned(finished: xr.DataTree, settings: Mapping[str, Any]) -> tuple[Study, list[Member]]:
    """The study and the members that continue a finished result, with some settings replaced.

    Raises InvalidValue for a result that cannot be continued, or not with these settings.
    """
    made_by = attribute(finished, "identity")
    stored = made_by.pop("runs", None)
    if "parts" in attribute(finished, "config"):
        raise InvalidValue("the result is that of a study of several parts: run it anew, with all that it should have")
    if GROUP not in finished.children or not isinstance(stored, list) or not stored:
        raise InvalidValue(
            f"the result has no group {GROUP}: only what dlnmc study wrote, in this version, of at most {MOST_MEMBERS} "
            "runs, can be extended; run it anew, with all that it should have"
        )
    if differing := differences(made_by, facts()):
        raise InvalidValue(
            f"other bits would be added to those of the result: {'; '.join(differing)}; extend it where it was made, "
            "or run it anew"
        )
    given = {name: value for name, value in settings.items() if value is not None}
    old: list[Any] = [member.run for member in stored_members({"runs": stored})]
    new = [_longer(run, given) for run in old]
    members = [
        Member(longer, None, resolved(longer.observables, longer.model.size), _end(finished, index, run, longer))
        for index, (run, longer) in enumerate(zip(old, new, strict=True))
    ]
    plan = load(attribute(finished, "config"))
    changed = {name: [getattr(run, name) for run in new] for name in SETTINGS[new[0].kind]}
    common = {
        name: values[0]
        for name, values in changed.items()
        if len(set(values)) == 1 and values != [getattr(run, name) for run in old]
    }
    plan = plan.changed(run=plan.run | common)
    plan.settings().check({WHOLE: new})
    return plan, members


def stored_members(identity: Mapping[str, Any]) -> list[Member]:
    """The complete runs of a result or a manifest, from its identity. Studies give no start values and no functions."""
    stored = identity.get("runs")
    runs = [_run(values) for values in stored] if isinstance(stored, list) else []
    if not runs:
        raise InvalidValue("the identity describes no runs: it is not one of dlnmc")
    return [Member(run, None, resolved(run.observables, run.model.size)) for run in runs]


def _run(stored: Any) -> Equilibrium | Simulation:
    """A complete run from what a result says of it."""
    try:
        values = dict(stored)
        kind, model = values.pop("kind"), dict(values.pop("model"))
        run = RUNS[kind](**values, model=MODELS[model.pop("kind")](**model))
        check_start(run)
        schedule(run)
    except (KeyError, TypeError, ValueError, AssertionError) as error:
        raise InvalidValue(f"the result's attribute identity describes no complete run ({error!r})") from None
    return run


def _longer(run: Equilibrium | Simulation, given: Mapping[str, Any]) -> Equilibrium | Simulation:
    """The run with some settings replaced, if it begins as the run does."""
    known = SETTINGS[run.kind]
    for name in given:
        if name not in known:
            raise InvalidValue(f"{name}: of a finished result only {', '.join(known)} can be extended")
    if not given:
        raise InvalidValue(f"nothing to extend: give {' or '.join(known)}, as in {known[0]}={2 * run.paths}")
    longer = _with_more_draws(run, given) if isinstance(run, Equilibrium) else run.changed(**given)
    if longer.paths < run.paths:
        raise InvalidValue(f"paths = {longer.paths}: the result has {run.paths} already; it must be that or more")
    before, after = schedule(run), schedule(longer)
    n = len(before.steps)
    if not (np.array_equal(after.steps[:n], before.steps) and np.array_equal(after.draws[:n], before.draws)):
        begin = f"begin with times = {run.times}" if isinstance(run, Simulation) else "be those of the result at first"
        raise InvalidValue(f"{_said(given)}: the observed times must {begin}")
    if run.bins is not None and histogram_range(Member(run)) != histogram_range(Member(longer)):
        raise InvalidValue(
            f"{_said(given)}: the histograms' edges follow from the last time where motion is free; run it anew"
        )
    return longer


def _said(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in settings.items())


def _with_more_draws(run: Equilibrium, given: Mapping[str, Any]) -> Equilibrium:
    """The run with more draws, over a time and of observations in proportion. Raises InvalidValue for others."""
    assert run.duration is not None
    assert run.observations is not None
    asked = run.changed(**{"draws": 1, "observations": None} | dict(given))  # validated, each by itself
    each = run.observations // run.draws
    draws = run.draws
    if "draws" in given:
        draws = asked.draws
    elif asked.observations is not None:
        draws = round(asked.observations / each)
    elif "duration" in given:
        draws = round(min(float(given["duration"]) / run.duration * run.draws, MOST_DRAWS))
    draws = max(draws, run.draws)
    fitting = {"draws": draws, "duration": run.duration * draws / run.draws, "observations": draws * each}
    if any(not math.isclose(given.get(name, value), value, rel_tol=1e-9) for name, value in fitting.items()):
        raise InvalidValue(
            f"{_said(given)}: the result has {_said({name: getattr(run, name) for name in fitting})}; what continues "
            f"it has them in proportion, as {_said(fitting)}"
        )
    early = run.early
    if draws > run.draws:
        early = run.observations if 2 * run.observations > fitting["observations"] else None
    return run.changed(**fitting | dict(given), early=early)


def _end(finished: xr.DataTree, index: int, run: Run, longer: Run) -> Continued:
    """Where the paths of a member ended. All its observations are early ones of a run that has more."""
    found = finished[GROUP].children.get(f"member_{index}", xr.DataTree())
    arrays: Arrays = {}
    for name, shape in carried_shapes(run).items():
        arrays[name] = found[name].to_numpy() if name in found.data_vars else np.zeros((run.paths, 0))
        if 0 in shape:  # files hold no empty arrays
            arrays[name] = np.zeros((run.paths, *shape))
        if arrays[name].shape != (run.paths, *shape) or arrays[name].dtype != np.float64:
            raise InvalidValue(f"the result's group {GROUP}/member_{index} is not that of its run: see its {name}")
    observations = len(schedule(run).steps)
    if len(schedule(longer).steps) > observations:
        for name in ("sums", "own_sums"):
            axis = VARIABLES[name][0].index("half") + 1
            early = arrays[name].sum(axis=axis, keepdims=True)
            arrays[name] = np.concatenate([early, np.zeros_like(early)], axis=axis)
    return Continued(observations, arrays)


def fill(tree: xr.DataTree, finished: xr.DataTree, members: Sequence[Member]) -> None:
    """Put the samples and counts that a finished result holds to those of the longer one, which lacks them."""
    done = members[0].continued
    assert done is not None
    factor = blocks_per_batch(members[0].run) // blocks_per_batch(members[0].run.changed(paths=done.paths))
    samples = finished.children.get("samples", xr.DataTree())
    alive = tree["sampler/status"].isel(path=slice(done.paths)) == 0
    for name, array in samples.data_vars.items():
        kept = array.where(alive).transpose(*array.dims).variable
        tree[f"samples/{name}"].variable[_first(kept)] = kept
    for name, array in finished.children.get("histogram", xr.DataTree()).data_vars.items():
        if "batch" in array.dims:
            whole, counts = tree[f"histogram/{name}"].variable, array.variable
            axis = counts.get_axis_num("batch")
            merged = np.add.reduceat(counts.to_numpy(), range(0, counts.shape[axis], factor), axis=axis)
            at = _first(xr.Variable(counts.dims, merged))
            whole[at] = whole[at] + merged


def _first(variable: xr.Variable) -> dict[Any, slice]:
    """The first paths, draws, times and batches: as many as a variable has."""
    return {dim: slice(size) for dim, size in variable.sizes.items() if dim in ("path", "draw", "time", "batch")}
