"""`exact`: independent draws from the exact law of the singular values or eigenvalues, without a time step."""

import json
import time as clock
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import xarray as xr
from pydantic import Field

from dlnmc import dataset, machine
from dlnmc.config import Positive
from dlnmc.descriptions import Description
from dlnmc.ensembles import Floats, blocks, recipe
from dlnmc.errors import Interrupted, InvalidValue, RunFailed
from dlnmc.executors import run_in_threads, thread_count
from dlnmc.models import Model
from dlnmc.progress import Progress
from dlnmc_kernels.lanes import WIDTH
from dlnmc_kernels.philox import EXACT

CALL_SECONDS = 0.05  # of one kernel call, about: progress and Ctrl-C wait for it
BLOCK_SECONDS = (5e-7, 1.2e-8)  # times size, times size²: of a block, measured


class Exact(Description):
    """Exact draws as data, as they stand in a result's attribute `config`.

    Parameters
    ----------
    model
        What is drawn.
    paths
        Number of independent draws.
    time
        Time since a start from 0, in the units of the model's clock; None at equilibrium.
    seed
        0 <= seed < 2^64.
    """

    model: Model
    paths: int = Field(ge=1, le=2**40)
    time: Positive | None = None
    seed: int = Field(default=0, ge=0, lt=2**64)
    kind: Literal["exact"] = "exact"


class Part(NamedTuple):
    """Some blocks of eight paths, drawn in one call."""

    first_block: int
    blocks: int


def exact(
    model: Model,
    *,
    paths: int,
    time: float | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: bool = False,
) -> xr.Dataset:
    """Draw independent paths from the exact law of a model, where an exact sampler is known.

    They are the eigenvalues of random tridiagonal matrices, the singular values of bidiagonal ones (Dumitriu and
    Edelman 2002), in O(d²) for each path.

    Parameters
    ----------
    model
        `DysonBrownianMotion` with quadratic energy, or without energy at a `time`; `DeepLinearNetwork` with quadratic
        energy and κ = ½, depth 1, or width 1.
    paths
        Number of independent draws.
    time
        For Dyson Brownian motion the time since a start from 0, in the model's clock. None: at equilibrium.
    seed
        0 <= seed < 2^64. Equal seeds give equal bits, for every number of threads; more paths leave earlier ones as
        they were.
    threads
        Default: one for each processor.
    progress
        Whether to show a progress bar.

    Returns
    -------
    xarray.Dataset
        `singular_values` (path, rank), rank 1 the largest, or `eigenvalues` (path, component), ascending, in units of
        the model.

    Raises
    ------
    InvalidValue
        A ValueError that quotes a value that cannot be used; where there is no exact sampler, it names those there are.
    """
    described = Exact(model=model, paths=paths, time=time, seed=seed)
    began = clock.time()
    values = draw(described, threads=threads, progress=progress)
    return _labelled(described, values, dataset.Circumstances(began, thread_count(threads)))


def refuse_more_than_fit(paths: int, size: int) -> None:
    """Raise InvalidValue where the draws, and the dataset that is a copy of them, do not fit in memory."""
    needed, there = 2.0 * 8.0 * paths * size, machine.memory()
    if needed > there:
        raise InvalidValue(
            f"paths = {paths}: the results would take {needed / 2**30:.3g} GiB, and there are {there / 2**30:.3g} GiB "
            "of memory; take fewer paths"
        )


def draw(described: Exact, *, threads: int | None, progress: bool) -> Floats:
    """The values, ascending, of shape (path, component).

    Raises InvalidValue for more than the machine's memory holds, RunFailed where values are not finite, and
    Interrupted on Ctrl-C.
    """
    model, paths = described.model, described.paths
    recipe(model, described.time)
    count = thread_count(threads)
    refuse_more_than_fit(paths, model.size)
    values = np.empty((paths, model.size))
    done = 0

    def work(part: Part, stopped: Callable[[], bool]) -> Floats | None:
        if stopped():
            return None
        drawn = blocks(model, described.time, described.seed, EXACT, *part)
        bar.advance(len(drawn) * _pairs(model))
        return drawn

    def finished(part: Part, drawn: Floats) -> None:
        nonlocal done
        first = part.first_block * WIDTH
        rows = values[first : first + len(drawn)]
        rows[:] = drawn[: len(rows)]
        done += len(rows)
        if not np.all(np.isfinite(rows)):
            path = first + int(np.argmin(np.isfinite(rows).all(axis=1)))
            raise RunFailed(f"the values of path {path} are not finite: model = {model!r}, seed = {described.seed}")

    with Progress(paths * _pairs(model), progress, "drawing") as bar:
        try:
            run_in_threads(_parts(described), work, count, finished, bar.show)
        except KeyboardInterrupt:
            raise Interrupted(f"interrupted: {done} of {paths} paths were drawn; nothing was kept") from None
    return values


def _pairs(model: Model) -> float:
    """The work of a path, by which progress is counted."""
    return model.size * (model.size + 1) / 2.0


def _parts(described: Exact) -> list[Part]:
    """All blocks, cut into calls of about `CALL_SECONDS`."""
    linear, quadratic = BLOCK_SECONDS
    size, total = described.model.size, -(-described.paths // WIDTH)
    each = max(1, int(CALL_SECONDS / (linear * size + quadratic * size**2)))
    return [Part(first, min(each, total - first)) for first in range(0, total, each)]


def _labelled(described: Exact, values: Floats, circumstances: dataset.Circumstances) -> xr.Dataset:
    """The values as a labelled dataset."""
    model = described.model
    data = dataset.states(model, values).assign_coords(dataset.parameters(model))
    if described.time is not None:
        attrs = {"long_name": "time since the start from 0", "units": dataset.clock_units(model)}
        data = data.assign_coords(time=((), described.time, attrs))
    data = dataset.labelled(data)
    title, config = "Exact draws of " + type(model).__name__, json.loads(described.to_json())
    data.attrs = dataset.provenance(model, described.seed, circumstances, title, config)
    return data
