"""Initial values: pure functions of (description, path), so that chunks and resumed runs agree.

A start returns levels, ascending, of the paths of some blocks: shape (path, component). Levels are eigenvalues, or the
logarithms of singular values: at large depth singular values themselves underflow.
"""

import functools
import hashlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlnmc import ensembles, laws, matrices
from dlnmc.config import STARTS as NAMES
from dlnmc.config import Run
from dlnmc.defaults import law_and_unit
from dlnmc.engine import noise_key, scale, state_row
from dlnmc.errors import InvalidValue
from dlnmc.models import DeepLinearNetwork, DysonBrownianMotion, Model
from dlnmc_kernels.driver import uniforms
from dlnmc_kernels.lanes import WIDTH
from dlnmc_kernels.philox import START

Floats = NDArray[np.float64]

NEAREST, FARTHEST = 1e-6, 30.0  # between them lie distances of log σ_d from the next; the second in units of the depth
MOST_DEPTH = 1e5  # where it is infinite
CLUSTER = 0.05  # half the length of a cluster
FAR_OUT = 4.0  # times the typical size: beyond any singular value of a network of width 1


def _uniforms(run: Run, first_block: int, blocks: int, count: int) -> Floats:
    out = np.empty((blocks, count + count % 2, WIDTH))
    uniforms(noise_key(run.seed), START, first_block, out)
    return np.ascontiguousarray(out[:, :count].transpose(0, 2, 1)).reshape(blocks * WIDTH, count)


def start_rows(run: Run, given: Floats | None, first_block: int, blocks: int) -> Floats:
    """The initial states of the paths of `blocks` blocks from `first_block` on: (path, row)."""
    row = state_row(run)
    if row.from_level is not None:
        return row.from_level(run.model, start_levels(run, given, first_block, blocks))
    if run.start in matrices.NAMED:
        return matrices.named_rows(run, first_block, blocks)
    if given is None:
        return matrices.random_rows(run, start_levels(run, None, first_block, blocks), first_block, blocks)
    return given[_of_paths(given, first_block, blocks)]


def _of_paths(given: Floats, first_block: int, blocks: int) -> NDArray[np.int64]:
    """The row of each path in what was given for one or for all."""
    return np.minimum(np.arange(first_block * WIDTH, (first_block + blocks) * WIDTH), len(given) - 1)


def start_levels(run: Run, given: Floats | None, first_block: int, blocks: int) -> Floats:
    """The initial levels of the paths of `blocks` blocks from `first_block` on."""
    assert run.start is not None
    if given is None:
        return STARTS[run.start](run, first_block, blocks)
    values = given[_of_paths(given, first_block, blocks)] if given.ndim == 2 else np.tile(given, (blocks * WIDTH, 1))
    if isinstance(run.model, DysonBrownianMotion):
        return values
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(values), dtype=np.float64)


def _levels(law: laws.Law, unit: float, probability: Floats) -> Floats:
    """Levels at quantiles of a law in units of `unit`."""
    if isinstance(law, laws.SingularValueLaw):
        return np.asarray(np.asarray(law.log_ppf(probability)) + np.log(unit), dtype=np.float64)
    return np.asarray(law.ppf(probability)) * unit


def _random(run: Run, first_block: int, blocks: int) -> Floats:
    """One component between each two of the d + 1 equidistant quantiles of a law of the right kind.

    The law is that of quadratic energy for d → ∞, scaled to the typical size at equilibrium. Where there is no
    equilibrium to scale to (κ = 0), that of κ = 1 is taken. Eigenvalues, which repel the more strongly the smaller
    κ is, keep to the middle of their cells; the smallest singular value, which forgets its start last, has the law
    below.
    """
    model, size = run.model, run.model.size
    uniforms = _uniforms(run, first_block, blocks, size)
    if isinstance(model, DysonBrownianMotion):
        width = min(0.5, math.sqrt(model.kappa or 1.0))
        return _levels(*law_and_unit(model), (np.arange(size) + 0.5 + width * (uniforms - 0.5)) / size)
    levels = _levels(*law_and_unit(model), (np.arange(size) + uniforms) / size)
    if model.kappa > 0.0:
        probability, lowest = _law_of_the_smallest(model)
        levels[:, 0] = np.interp(uniforms[:, 0], probability, lowest)
        levels.sort(axis=1)
    return levels


@functools.lru_cache(maxsize=16)  # it is the same for all chunks, and takes a second at width 1024
def _law_of_the_smallest(model: DeepLinearNetwork) -> tuple[Floats, Floats]:
    """The law of log σ_d at equilibrium given all others at their quantiles: probabilities and levels, ascending."""
    N, c = model.depth, 0.5 / model.kappa
    law, unit = law_and_unit(model)
    others = _levels(law, unit, (np.arange(1, model.size) + 0.5) / model.size)
    top = others[0] if model.size > 1 else math.log(unit * FAR_OUT)
    below = np.geomspace(NEAREST, FARTHEST * min(N, MOST_DEPTH), 4096)
    level = top - below
    parts = [_repulsion(N, c, others, part) for part in np.array_split(level, 64)]  # all at once would be d × 4096
    log_density = np.concatenate(parts) - 2.0 * c * model.beta * model.potential(np.exp(level))
    if math.isfinite(N):
        log_density += level / N  # the density of log λ is λ times that of λ
    density = np.exp(log_density - log_density.max())
    mass = np.append(0.0, np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(below)))
    return 1.0 - mass[::-1] / mass[-1], level[::-1]


def _repulsion(N: float, c: float, others: Floats, level: Floats) -> Floats:
    """The logarithm of what the other levels make of the density of λ at each of these; at N = ∞ of that of log σ."""
    pairs = others[:, None] - level
    steep = c * np.log(-np.expm1(-2.0 * pairs)).sum(axis=0)
    flat = np.log(-np.expm1(-2.0 / N * pairs) if math.isfinite(N) else pairs).sum(axis=0)
    return np.asarray(steep + (1.0 - c) * flat)


def _law(run: Run, first_block: int, blocks: int) -> Floats:
    """The quantiles of the equilibrium law at (i − ½)/d, the same for every path."""
    probability = (np.arange(run.model.size) + 0.5) / run.model.size
    return np.tile(_levels(laws.of(run.model), scale(run.model), probability), (blocks * WIDTH, 1))


def _zero(run: Run, first_block: int, blocks: int) -> Floats:
    """Dyson Brownian motion one step after all eigenvalues are 0, drawn exactly."""
    return ensembles.blocks(run.model, run.dt, run.seed, START, first_block, blocks)


def clusters(size: int) -> Floats:
    """Half of the values near −1, half near 1, at equal distances, in units of √(d/β)."""
    side = 1.0 + CLUSTER * (2.0 * (np.arange(size) % ((size + 1) // 2) + 0.5) / ((size + 1) // 2) - 1.0)
    return np.sort(np.where(np.arange(size) < (size + 1) // 2, -side, side))


def _clusters(run: Run, first_block: int, blocks: int) -> Floats:
    """The same for every path."""
    return np.tile(clusters(run.model.size) * scale(run.model), (blocks * WIDTH, 1))


STARTS: dict[str, Callable[[Run, int, int], Floats]] = {
    "random": _random,
    "law": _law,
    "zero": _zero,
    "clusters": _clusters,
}


def check_start(run: Run) -> None:
    """Raise InvalidValue for a named start that does not exist for this model."""
    if run.start == "given":
        raise InvalidValue(
            f"start = 'given': allowed: {', '.join(map(repr, NAMES[:-1]))}; from Python an array or an earlier result"
        )
    if run.start in matrices.NAMED and not (state_row(run).whole and isinstance(run.model, DeepLinearNetwork)):
        raise InvalidValue(
            f"start = {run.start!r}: it is a matrix W of the Deep Linear Network, for state = 'matrix' or 'network'; "
            "use 'random', 'law' or an array"
        )
    if run.start == "zero" and not isinstance(run.model, DysonBrownianMotion):
        raise InvalidValue("start = 'zero': only Dyson Brownian motion starts at 0; use 'random', 'law' or an array")
    if run.start == "clusters" and not (isinstance(run.model, DysonBrownianMotion) and math.isfinite(run.model.beta)):
        raise InvalidValue(
            "start = 'clusters': only Dyson Brownian motion at finite beta starts in two clusters; use 'random', 'law' "
            "or an array"
        )
    if run.start == "zero" and not any(row.serves(run.model, 1.0) for row in ensembles.SAMPLERS):
        raise InvalidValue(
            "start = 'zero': its first step is known for Dyson Brownian motion with kappa > 0 and energy quadratic or "
            "none; use 'random', 'law' or an array"
        )
    if run.start == "law":
        laws.of(run.model)
    if run.start == "random" and not law_and_unit(run.model)[1] > 0.0:
        where = "beta = inf" if not math.isfinite(run.model.beta) else "infinite depth and width 1"
        named = state_row(run).whole and isinstance(run.model, DeepLinearNetwork)
        others = "'gaussian', 'identity' or an array" if named else "an array"
        raise InvalidValue(f"start = 'random': at {where} there is no scale to draw from; give {others}")


def checked_array(values: Any, run: Run) -> Floats:
    """Given start values as a sorted float64 array of shape (rank,) or (path, rank); InvalidValue if they are none.

    Those of whole matrices come as rows, (1, row) or (path, row).
    """
    if state_row(run).whole:
        return matrices.checked_rows(values, run)
    try:
        array = np.array(values)
        if array.dtype.kind not in "iuf":
            raise ValueError(f"{values!r}")
        array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidValue(" ".join(f"start: it must be an array of real numbers, not {error}".split())) from None
    size = run.model.size
    if array.shape not in ((size,), (run.paths, size)):
        raise InvalidValue(f"start has the shape {array.shape}: it must be ({size},) or ({run.paths}, {size})")
    array = np.sort(array, axis=-1)
    allowed, words = _allowed(run.model)
    good = np.isfinite(array) & allowed(array)
    if not np.all(good):
        raise InvalidValue(f"start contains {float(array[~good].flat[0])!r}: values must be finite{words}")
    repelled = run.model.kappa > 0 or isinstance(run.model, DysonBrownianMotion)
    if repelled and np.any(np.diff(array, axis=-1) == 0.0):
        equal = array[..., 1:][np.diff(array, axis=-1) == 0.0].flat[0]
        raise InvalidValue(f"start contains {float(equal)!r} twice: the repulsion of equal values is infinite")
    entropic = isinstance(run.model, DeepLinearNetwork) and run.model.depth > 1.0 and math.isfinite(run.model.beta)
    if entropic and np.any(np.sum(array == 0.0, axis=-1) > 1):
        raise InvalidValue("start contains 0.0 twice: at depths > 1 entropy repels them from each other without bound")
    return array


def continued_array(values: Floats, run: Run) -> Floats:
    """The same for what a result holds of every path: over values alone whole matrices get random frames."""
    if not state_row(run).whole:
        return checked_array(values, run)
    if values.ndim == 2:
        return matrices.rows_over(values, run)
    return matrices.checked_rows(values, run, networks=values.ndim == 4)


def _allowed(model: Model) -> tuple[Callable[[Floats], Any], str]:
    """Which start values a model takes, beside being finite, and how to say it."""
    if isinstance(model, DysonBrownianMotion):
        return lambda array: array == array, ""
    if math.isinf(model.depth):
        return lambda array: array > 0.0, " and > 0 at infinite depth"
    return lambda array: array >= 0.0, " and >= 0"


def digest(array: Floats) -> str:
    """The SHA-256 of start values."""
    return hashlib.sha256(repr(array.shape).encode() + array.astype("<f8").tobytes()).hexdigest()
