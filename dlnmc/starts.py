"""Initial values: pure functions of (description, path), so that chunks and resumed runs agree.

A start returns the singular values or eigenvalues, ascending, of the paths of some blocks: shape (path, component).
"""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

from dlnmc import laws
from dlnmc.config import Run
from dlnmc.engine import paper_time, scale
from dlnmc.errors import InvalidValue
from dlnmc.models import DysonBrownianMotion
from dlnmc_kernels.driver import normals, uniforms
from dlnmc_kernels.lanes import WIDTH
from dlnmc_kernels.philox import START

Floats = NDArray[np.float64]

LARGEST_STACK = 2**22  # numbers in a stack of dense matrices


def noise_key(seed: int) -> np.uint64:
    """The 64-bit Philox key of a seed."""
    return np.uint64(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])


def _per_path(kernel: Callable[..., None], run: Run, first_block: int, blocks: int, count: int, *extra: int) -> Floats:
    out = np.empty((blocks, count + count % 2, WIDTH))
    kernel(noise_key(run.seed), START, first_block, *extra, out)
    return np.ascontiguousarray(out[:, :count].transpose(0, 2, 1)).reshape(blocks * WIDTH, count)


def start_values(run: Run, given: Floats | None, first_block: int, blocks: int) -> Floats:
    """The initial singular values or eigenvalues of the paths of `blocks` blocks from `first_block` on."""
    assert run.start is not None
    if given is not None:
        rows = np.arange(first_block * WIDTH, (first_block + blocks) * WIDTH)
        return given[np.minimum(rows, len(given) - 1)] if given.ndim == 2 else np.tile(given, (len(rows), 1))
    return STARTS[run.start](run, first_block, blocks)


def _random(run: Run, first_block: int, blocks: int) -> Floats:
    """One component uniform between each two of the d + 1 equidistant quantiles of a law of the right kind.

    The law is that for κ = 1 (the semicircle for Dyson), scaled to the exact mean of Tr WᵀW or Σx² at equilibrium (with
    quadratic energy, whatever the energy).
    """
    model, size = run.model, run.model.size
    cell = (np.arange(size) + _per_path(uniforms, run, first_block, blocks, size)) / size
    quadratic = model.changed(energy="quadratic")
    law = laws.of(quadratic if isinstance(model, DysonBrownianMotion) else quadratic.changed(kappa=1.0))
    spread = np.sqrt(laws.trace(quadratic).mean() / (size * law.moment(2)))
    return np.asarray(law.ppf(cell) * spread, dtype=np.float64)


def _law(run: Run, first_block: int, blocks: int) -> Floats:
    """The quantiles of the equilibrium law at (i − ½)/d, the same for every path."""
    law = laws.of(run.model)
    quantiles = law.ppf((np.arange(run.model.size) + 0.5) / run.model.size)
    return np.tile(np.asarray(quantiles) * scale(run.model), (blocks * WIDTH, 1))


def _zero(run: Run, first_block: int, blocks: int) -> Floats:
    """Dyson Brownian motion one step after all eigenvalues are 0, drawn exactly from the β-Hermite model."""
    model, size = run.model, run.model.size
    assert run.dt is not None
    t = run.dt * paper_time(model)
    spread = -np.expm1(-2.0 * t) if model.energy.kind == "quadratic" else 2.0 * t
    exponent = 2.0 / model.kappa
    diagonal = _per_path(normals, run, first_block, blocks, size, 0)
    uniform = _per_path(uniforms, run, first_block, blocks, 2 * size)[:, size + 1 :]
    freedom = exponent * np.arange(size - 1, 0, -1)
    off_diagonal = np.sqrt(gammaincinv(freedom / 2.0, uniform))  # χ over √2
    radius = np.sqrt(model.kappa / model.beta * spread)
    slices = max(1, len(diagonal) * size * size // LARGEST_STACK)
    pieces = zip(np.array_split(diagonal, slices), np.array_split(off_diagonal, slices), strict=True)
    return np.concatenate([radius * _tridiagonal_eigenvalues(a, b) for a, b in pieces])


def _tridiagonal_eigenvalues(diagonal: Floats, off_diagonal: Floats) -> Floats:
    """Eigenvalues, ascending, of symmetric tridiagonal matrices given by rows."""
    size = diagonal.shape[1]
    matrices = np.zeros((len(diagonal), size, size))
    matrices[:, range(size), range(size)] = diagonal
    matrices[:, range(1, size), range(size - 1)] = off_diagonal  # the lower triangle is what eigvalsh reads
    return np.asarray(np.linalg.eigvalsh(matrices), dtype=np.float64)


STARTS: dict[str, Callable[[Run, int, int], Floats]] = {"random": _random, "law": _law, "zero": _zero}


def check_start(run: Run) -> None:
    """Raise InvalidValue for a named start that does not exist for this model."""
    if run.start == "given":
        raise InvalidValue(
            "start = 'given': allowed: 'random', 'law', 'zero'; from Python an array or an earlier result"
        )
    if run.start == "zero" and not isinstance(run.model, DysonBrownianMotion):
        raise InvalidValue("start = 'zero': only Dyson Brownian motion starts at 0; use 'random', 'law' or an array")
    if run.start == "law":
        laws.of(run.model)


def checked_array(values: Any, run: Run) -> Floats:
    """Given start values as a sorted float64 array of shape (rank,) or (path, rank); InvalidValue if they are none."""
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
    lowest = -np.inf if isinstance(run.model, DysonBrownianMotion) else 0.0
    if not np.all(np.isfinite(array)) or np.any(array < lowest):
        bad = array[~(np.isfinite(array) & (array >= lowest))].flat[0]
        raise InvalidValue(f"start contains {float(bad)!r}: values must be finite" + " and >= 0" * (lowest == 0.0))
    if np.any(np.diff(array, axis=-1) == 0.0):
        equal = array[..., 1:][np.diff(array, axis=-1) == 0.0].flat[0]
        raise InvalidValue(f"start contains {float(equal)!r} twice: the repulsion of equal values is infinite")
    return array


def digest(array: Floats) -> str:
    """The SHA-256 of start values."""
    return hashlib.sha256(repr(array.shape).encode() + array.astype("<f8").tobytes()).hexdigest()
