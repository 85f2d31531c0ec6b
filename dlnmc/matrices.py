"""Whole matrices, balanced networks and Hermitian matrices, and the rows of numbers that stand for them in kernels."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlnmc import geometry
from dlnmc.config import Run
from dlnmc.engine import noise_key, state_row
from dlnmc.errors import InvalidValue
from dlnmc.models import DeepLinearNetwork
from dlnmc_kernels.driver import normals
from dlnmc_kernels.lanes import WIDTH
from dlnmc_kernels.philox import START

Floats = NDArray[np.float64]

Variables = dict[str, tuple[tuple[str, ...], Floats, str]]  # by name: dimensions, values, meaning

FRAMES, ENTRIES = 1, 2  # the steps of the stream of starts that frames and matrices are drawn from; 0 is for levels
SMALL = 1e-2  # times the identity: the start "identity"
VANISHING = 2.0**-52  # a singular value that is smaller than this times width and largest is 0 to rounding
BALANCED = 1e-8  # the largest `geometry.imbalance` of given networks


class Form(NamedTuple):
    """How states of one kind are written in rows, and read."""

    from_levels: Callable[[Any, Floats, Floats], Floats]  # model, levels (path, d), normals (path, …) -> rows
    normals: Callable[[Any], int]  # for the random frames of a path
    from_matrices: Callable[[Any, Any], Floats]  # model, matrices (…, d, d) -> rows (1 or path, row)
    from_factors: Callable[[Any, Floats], Floats] | None  # model, networks (…, N, d, d), if it is one -> rows
    shapes: Callable[[Any], str]  # of what a user may give, in words
    reach: Callable[[Any, Floats], float]  # model, rows -> no singular value, or |eigenvalue|, is larger
    values: Callable[[Any, Floats], Floats] | None  # model, rows -> what no two may be 0 of, where entropy repels them
    read: Callable[[Any, Floats], Variables]  # model, rows -> variables


def form_of(run: Run) -> Form:
    """The form of a run's states."""
    return FORMS[state_row(run).coordinates]


def random_rows(run: Run, levels: Floats, first_block: int, blocks: int) -> Floats:
    """States of the given levels, and frames of Haar's law that are independent of them, by path: (path, row)."""
    model, form = run.model, form_of(run)
    return form.from_levels(model, levels, _normals(run, FRAMES, first_block, blocks, form.normals(model)))


def named_rows(run: Run, first_block: int, blocks: int) -> Floats:
    """States over the W of a named start in `NAMED`; networks are the balanced ones: (path, row)."""
    return form_of(run).from_matrices(run.model, NAMED[str(run.start)](run, first_block, blocks))


def _normals(run: Run, step: int, first_block: int, blocks: int, count: int) -> Floats:
    """Normals of the stream of starts by path, (path, count)."""
    z = np.empty((blocks, count + count % 2, WIDTH))
    normals(noise_key(run.seed), START, first_block, step, z)
    return np.ascontiguousarray(z[:, :count].transpose(0, 2, 1)).reshape(blocks * WIDTH, count)


def _identity(run: Run, first_block: int, blocks: int) -> Floats:
    """W = 0.01 · 1, over which each of N factors is 0.01^{1/N} · 1."""
    return np.tile(SMALL * np.eye(run.model.size), (blocks * WIDTH, 1, 1))


def _gaussian(run: Run, first_block: int, blocks: int) -> Floats:
    """W with independent entries N(0, 1/d)."""
    d = run.model.size
    return _normals(run, ENTRIES, first_block, blocks, d * d).reshape(-1, d, d) / math.sqrt(d)


NAMED: dict[str, Callable[[Run, int, int], Floats]] = {"identity": _identity, "gaussian": _gaussian}


def rows_over(values: Any, run: Run) -> Floats:
    """States (path, row) over given singular values or eigenvalues (path, d), with random frames."""
    levels = np.asarray(values, dtype=np.float64)
    shape = (run.paths, run.model.size)
    if levels.shape != shape:
        raise InvalidValue(f"start is a result of the shape {levels.shape}: it must have {shape}, (path, component)")
    if not np.all(np.isfinite(levels)):
        raise InvalidValue("start is a result with paths that failed: values must be finite")
    if isinstance(run.model, DeepLinearNetwork):
        with np.errstate(divide="ignore"):
            levels = np.log(levels)
    blocks = -(-run.paths // WIDTH)
    levels = levels[np.minimum(np.arange(blocks * WIDTH), run.paths - 1)]
    return _checked(random_rows(run, levels, 0, blocks)[: run.paths], run)


def _checked(rows: Floats, run: Run) -> Floats:
    """The rows, if their singular values are none that a path cannot start from."""
    model: Any = run.model
    values = form_of(run).values
    if values is None or model.depth == 1.0 or not math.isfinite(model.beta):
        return rows
    own = values(model, rows)
    zeros = int(np.max(np.sum(own <= VANISHING * model.size * np.max(own, axis=1, keepdims=True), axis=1)))
    if zeros > 0 and math.isinf(model.depth):
        raise InvalidValue("start contains a singular matrix: at infinite depth singular values must be > 0")
    if zeros > 1:
        raise InvalidValue(
            f"start contains a matrix with {zeros} singular values 0: at depths > 1 entropy repels them from each "
            "other without bound; all but one must be > 0"
        )
    return rows


def checked_rows(values: Any, run: Run, networks: bool = True) -> Floats:
    """Given matrices as rows, (1, row) or (path, row); InvalidValue if they are none.

    Where there may be `networks` among them, the shape says which they are.
    """
    form, row = form_of(run), state_row(run)
    try:
        array = np.array(values)
        if array.dtype.kind not in ("iufc" if row.state == "hermitian" else "iuf"):
            raise ValueError(f"an array of {array.dtype}")
    except (TypeError, ValueError) as error:
        raise InvalidValue(" ".join(f"start: it must be {form.shapes(run.model)}, not {error}".split())) from None
    if not np.all(np.isfinite(array)):
        raise InvalidValue(f"start contains {array[~np.isfinite(array)][0].item()!r}: values must be finite")
    d = run.model.size
    N = int(getattr(run.model, "depth", 0)) if networks and form.from_factors else 0
    factors = N > 0 and array.ndim in (3, 4) and array.shape[-3] == N
    many = array.shape[: array.ndim - (3 if factors else 2)]
    if array.ndim < 2 or array.shape[-2:] != (d, d) or many not in ((), (1,), (run.paths,)):
        raise InvalidValue(
            f"start has the shape {array.shape}: it must be {form.shapes(run.model)}, one or one for each of "
            f"{run.paths} paths"
        )
    if factors and array.ndim == 3 and N == run.paths > 1:
        raise InvalidValue(
            f"start has the shape {array.shape}: one network of {N} factors, or one matrix for each of {N} paths? give "
            f"networks ({N}, {N}, {d}, {d}), a factor after the path"
        )
    read = form.from_factors if factors and form.from_factors else form.from_matrices
    return _checked(read(run.model, array), run)


def haar(z: NDArray[Any]) -> NDArray[Any]:
    """Orthogonal or unitary matrices of Haar's law, from those of real or complex normals (…, d, d) (Mezzadri 2007)."""
    q, r = np.linalg.qr(z)
    diagonal = np.einsum("...ii->...i", r)
    return np.asarray(q * (diagonal / np.abs(diagonal))[..., None, :])


# --- matrices, by their entries -------------------------------------------------------------------------------------


def _matrix_from_levels(model: Any, log_sigma: Floats, z: Floats) -> Floats:
    left, right = np.moveaxis(haar(z.reshape(-1, 2, model.size, model.size)), 1, 0)
    return np.asarray(np.einsum("pik,pk,pjk->pij", left, np.exp(log_sigma), right)).reshape(len(z), -1)


def _matrix_from_matrices(model: Any, array: Floats) -> Floats:
    return array.astype(np.float64).reshape(-1, model.size**2)


def _frobenius(model: Any, rows: Floats) -> float:
    return float(np.sqrt(np.max(np.sum(rows**2, axis=-1))))


def _singular_values(model: Any, rows: Floats) -> Floats:
    return np.asarray(np.linalg.svd(rows.reshape(-1, model.size, model.size), compute_uv=False), dtype=np.float64)


def _read_matrix(model: Any, rows: Floats) -> Variables:
    d = model.size
    return {"matrix": (("row", "column"), rows.reshape(*rows.shape[:-1], d, d), "the matrix W")}


# --- matrices and balanced networks, by frames f_p = Q_pᵀ and levels, λ or log σ at infinite depth ------------------


def _level(model: Any, log_sigma: Floats) -> Floats:
    return log_sigma if math.isinf(model.depth) else np.asarray(np.exp(log_sigma / model.depth))


def _sigma(model: Any, level: Floats) -> Floats:
    return np.asarray(np.exp(level) if math.isinf(model.depth) else level**model.depth)


def _framed(level: Floats, frames: Floats) -> Floats:
    """Rows from levels (path, d) and frames (path, p, d, d)."""
    return np.concatenate([frames.reshape(len(frames), -1), level], axis=1)


def _framed_from_levels(model: Any, log_sigma: Floats, z: Floats) -> Floats:
    return _framed(_level(model, log_sigma), haar(z.reshape(len(z), -1, model.size, model.size)))


def _framed_from_matrix(model: Any, W: Floats, inner: int) -> Floats:
    """Rows with so many frames between the first and the last, all of them the first."""
    left, sigma, right = np.linalg.svd(W.astype(np.float64).reshape(-1, model.size, model.size))
    sigma[sigma <= VANISHING * model.size * sigma[:, :1]] = 0.0
    frames = np.concatenate([np.repeat(right[:, None], 1 + inner, axis=1), np.swapaxes(left, 1, 2)[:, None]], axis=1)
    with np.errstate(divide="ignore"):
        return _framed(_level(model, np.log(sigma)), frames)


def _parts(model: Any, rows: Floats) -> tuple[Floats, Floats, Floats]:
    """Frames (…, p, d, d), levels (…, d), and W (…, d, d)."""
    d = model.size
    frames, level = rows[..., :-d].reshape(*rows.shape[:-1], -1, d, d), rows[..., -d:]
    return (
        frames,
        level,
        np.swapaxes(frames[..., -1, :, :], -1, -2) * _sigma(model, level)[..., None, :] @ frames[..., 0, :, :],
    )


def _levels(model: Any, rows: Floats) -> Floats:
    level = rows[:, -model.size :]
    return np.isfinite(level).astype(np.float64) if math.isinf(model.depth) else level


def _framed_reach(model: Any, rows: Floats) -> float:
    return float(np.max(_sigma(model, rows[:, -model.size :])))


def _read_framed(model: Any, rows: Floats) -> Variables:
    return {"matrix": (("row", "column"), _parts(model, rows)[2], "the matrix W")}


def _matrix_shapes(model: Any) -> str:
    return f"({model.size}, {model.size}) matrices"


def _network_shapes(model: Any) -> str:
    return f"{_matrix_shapes(model)}, or networks ({int(model.depth)}, {model.size}, {model.size})"


def _balanced_from_factors(model: Any, factors: Floats) -> Floats:
    factors = factors.astype(np.float64).reshape(-1, int(model.depth), model.size, model.size)
    imbalance = geometry.imbalance(factors)
    if np.any(imbalance > BALANCED):
        raise InvalidValue(
            f"start: a network has the relative imbalance {float(np.max(imbalance)):.3g}: state = 'network' evolves "
            f"balanced networks (at most {BALANCED:g}); dlnmc.geometry.balanced_over(W, depth) makes one"
        )
    left, lam, right = np.linalg.svd(factors[:, 0])
    frames = [np.swapaxes(right, 1, 2), left]
    for p in range(1, factors.shape[1]):  # of columns that are orthogonal, the largest first; zero leaves one free
        q, r = np.linalg.qr(factors[:, p] @ frames[-1])
        frames.append(q * np.where(np.einsum("pii->pi", r) < 0.0, -1.0, 1.0)[:, None, :])
    return _framed(lam, np.swapaxes(np.stack(frames, axis=1), -1, -2))


def _factors(model: Any, rows: Floats) -> Floats:
    """The entries of the factors of balanced networks (path, row)."""
    return np.asarray(_read_balanced(model, rows)["network"][1]).reshape(len(rows), -1)


def _end_to_end(model: Any, rows: Floats) -> Floats:
    factors = _split(model, rows)  # of paths that failed there is no number, which `geometry.end_to_end` refuses
    return functools.reduce(lambda W, p: factors[..., p, :, :] @ W, range(1, factors.shape[-3]), factors[..., 0, :, :])


def _split(model: Any, rows: Floats) -> Floats:
    return rows.reshape(*rows.shape[:-1], int(model.depth), model.size, model.size)


def _network_variables(W: Floats, factors: Floats) -> Variables:
    return {
        "matrix": (("row", "column"), W, "the end-to-end matrix W"),
        "network": (("factor", "row", "column"), factors, "the factors W_1 … W_N"),
    }


def _read_network(model: Any, rows: Floats) -> Variables:
    return _network_variables(_end_to_end(model, rows), _split(model, rows))


def _read_balanced(model: Any, rows: Floats) -> Variables:
    frames, lam, W = _parts(model, rows)
    factors = np.swapaxes(frames[..., 1:, :, :], -1, -2) * lam[..., None, None, :] @ frames[..., :-1, :, :]
    return _network_variables(W, factors)


# --- Hermitian matrices ---------------------------------------------------------------------------------------------


def _hermitian_from_levels(model: Any, x: Floats, z: Floats) -> Floats:
    real, imaginary = np.moveaxis(z.reshape(-1, 2, model.size, model.size), 1, 0)
    q = haar(real + 1j * imaginary)
    return _hermitian_rows(np.einsum("pik,pk,pjk->pij", q, x, q.conj()))


def _hermitian_rows(M: NDArray[Any]) -> Floats:
    M = 0.5 * (M + np.swapaxes(M.conj(), -1, -2))
    return np.concatenate([M.real.reshape(len(M), -1), M.imag.reshape(len(M), -1)], axis=1)


def _hermitian_from_matrices(model: Any, array: NDArray[Any]) -> Floats:
    M = array.reshape(-1, model.size, model.size).astype(np.complex128)
    off = np.abs(M - np.swapaxes(M.conj(), 1, 2)).max(initial=0.0)
    if off > 1e-12 * max(float(np.abs(M).max(initial=0.0)), 1e-300):
        raise InvalidValue(f"start: a matrix differs from its adjoint by {off:.3g}: it must be Hermitian")
    return _hermitian_rows(M)


def _read_hermitian(model: Any, rows: Floats) -> Variables:
    d = model.size
    parts = rows.reshape(*rows.shape[:-1], 2, d, d)
    return {"matrix": (("part", "row", "column"), parts, "the matrix M: real part, imaginary part")}


FORMS = {  # by coordinates
    "matrix": Form(
        _matrix_from_levels,
        lambda model: 2 * model.size**2,
        _matrix_from_matrices,
        None,
        _matrix_shapes,
        _frobenius,
        _singular_values,
        _read_matrix,
    ),
    "frames": Form(
        _framed_from_levels,
        lambda model: 2 * model.size**2,
        lambda model, W: _framed_from_matrix(model, W, 0),
        None,
        _matrix_shapes,
        _framed_reach,
        _levels,
        _read_framed,
    ),
    "balanced": Form(
        _framed_from_levels,
        lambda model: (int(model.depth) + 1) * model.size**2,
        lambda model, W: _framed_from_matrix(model, W, int(model.depth) - 1),
        _balanced_from_factors,
        _network_shapes,
        _framed_reach,
        _levels,
        _read_balanced,
    ),
    "network": Form(
        lambda model, log_sigma, z: _factors(model, _framed_from_levels(model, log_sigma, z)),
        lambda model: (int(model.depth) + 1) * model.size**2,
        lambda model, W: _factors(model, _framed_from_matrix(model, W, int(model.depth) - 1)),
        lambda model, factors: factors.astype(np.float64).reshape(-1, int(model.depth) * model.size**2),
        _network_shapes,
        lambda model, rows: _frobenius(model, _end_to_end(model, rows).reshape(len(rows), -1)),
        None,
        _read_network,
    ),
    "hermitian": Form(
        _hermitian_from_levels,
        lambda model: 2 * model.size**2,
        _hermitian_from_matrices,
        None,
        lambda model: f"({model.size}, {model.size}) Hermitian matrices",
        _frobenius,
        None,
        _read_hermitian,
    ),
}
