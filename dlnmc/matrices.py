"""Whole matrices, balanced networks and Hermitian matrices, and the rows of numbers that stand for them in kernels."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlnmc import geometry
from dlnmc.config import Run
from dlnmc.engine import noise_key
from dlnmc.errors import InvalidValue
from dlnmc_kernels.driver import normals
from dlnmc_kernels.lanes import WIDTH
from dlnmc_kernels.philox import START

Floats = NDArray[np.float64]

FRAMES = 1  # the step of the stream of starts that random frames are drawn from; 0 is for levels
BALANCED = 1e-8  # the largest imbalance of given networks, relative to the square of their size


class Form(NamedTuple):
    """How states of one kind are written in rows, and read."""

    from_spectrum: Callable[[Any, Floats, Floats], Floats]  # model, values (path, d), normals (path, …) -> rows
    normals: Callable[[Any], int]  # for the random frames of a path
    from_given: Callable[[Any, Any], Floats]  # model, what a user gave -> rows (1 or path, row)
    shapes: Callable[[Any], str]  # of what a user may give, in words
    read: Callable[[Any, Floats], dict[str, tuple[tuple[str, ...], Floats, str]]]  # model, rows -> variables


def random_rows(run: Run, levels: Floats, first_block: int, blocks: int) -> Floats:
    """States with the given values and frames of Haar's law, independent of each other, by path: (path, row)."""
    model, form = run.model, FORMS[str(run.state)]
    count = form.normals(model)
    z = np.empty((blocks, count + count % 2, WIDTH))
    normals(noise_key(run.seed), START, first_block, FRAMES, z)
    by_path = np.ascontiguousarray(z[:, :count].transpose(0, 2, 1)).reshape(blocks * WIDTH, count)
    return form.from_spectrum(model, levels if run.state == "hermitian" else np.exp(levels), by_path)


def checked_rows(values: Any, run: Run) -> Floats:
    """Given matrices as rows, (1, row) or (path, row); InvalidValue if they are none."""
    form = FORMS[str(run.state)]
    try:
        array = np.array(values)
        if array.dtype.kind not in ("iufc" if run.state == "hermitian" else "iuf"):
            raise ValueError(f"an array of {array.dtype}")
    except (TypeError, ValueError) as error:
        raise InvalidValue(" ".join(f"start: it must be {form.shapes(run.model)}, not {error}".split())) from None
    if not np.all(np.isfinite(array)):
        raise InvalidValue(f"start contains {array[~np.isfinite(array)].flat[0]!r}: values must be finite")
    d = run.model.size
    if array.ndim < 2 or array.shape[-2:] != (d, d):
        raise InvalidValue(f"start has the shape {array.shape}: it must be {form.shapes(run.model)}")
    rows = form.from_given(run.model, array)
    if rows.shape[0] not in (1, run.paths) or rows.ndim != 2:
        raise InvalidValue(f"start has the shape {array.shape}: it must be {form.shapes(run.model)} of {run.paths}")
    return rows


def haar(z: Floats, d: int) -> Floats:
    """Orthogonal (…, d, d) matrices of Haar's law from normals (…, d²) (Mezzadri 2007)."""
    q, r = np.linalg.qr(z.reshape(*z.shape[:-1], d, d))
    return np.asarray(q * np.sign(np.einsum("...ii->...i", r))[..., None, :])


# --- matrices -------------------------------------------------------------------------------------------------------


def _matrix_from_spectrum(model: Any, sigma: Floats, z: Floats) -> Floats:
    left, right = np.moveaxis(haar(z.reshape(len(z), 2, -1), model.size), 1, 0)
    return np.asarray(np.einsum("pik,pk,pjk->pij", left, sigma, right)).reshape(len(z), -1)


def _matrix_from_given(model: Any, array: Floats) -> Floats:
    return array.astype(np.float64).reshape(*array.shape[:-2] or (1,), -1)


def _read_matrix(model: Any, rows: Floats) -> dict[str, tuple[tuple[str, ...], Floats, str]]:
    d = model.size
    return {"matrix": (("row", "column"), rows.reshape(*rows.shape[:-1], d, d), "the matrix W")}


# --- balanced networks ----------------------------------------------------------------------------------------------


def _network_rows(lam: Floats, frames: Floats) -> Floats:
    """Rows from λ (path, d) and frames (path, p, d, d), whose rows are the columns of Q_p."""
    return np.concatenate([frames.reshape(len(frames), -1), lam], axis=1)


def _network_from_spectrum(model: Any, sigma: Floats, z: Floats) -> Floats:
    frames = haar(z.reshape(len(z), int(model.depth) + 1, -1), model.size)
    return _network_rows(sigma ** (1.0 / model.depth), frames)


def _network_from_given(model: Any, array: Floats) -> Floats:
    N, d = int(model.depth), model.size
    array = array.astype(np.float64)
    if array.ndim in (3, 4) and array.shape[-3] == N:
        return _network_from_factors(array.reshape(-1, N, d, d))
    left, sigma, right = np.linalg.svd(array.reshape(-1, d, d))
    middle = np.repeat(right[:, None], N, axis=1)
    return _network_rows(sigma ** (1.0 / N), np.concatenate([middle, np.swapaxes(left, 1, 2)[:, None]], axis=1))


def _network_from_factors(factors: Floats) -> Floats:
    size = np.sqrt(np.mean(factors**2, axis=(1, 2, 3)))
    imbalance = np.asarray(geometry.imbalance(factors)) / np.maximum(size, 1e-150) ** 2
    if np.any(imbalance > BALANCED):
        raise InvalidValue(
            f"start: a network has the relative imbalance {float(np.max(imbalance)):.3g}: state = 'network' evolves "
            f"balanced networks (at most {BALANCED:g}); dlnmc.geometry.balanced_over(depth, W) makes one"
        )
    lam, frames = geometry.frames(factors)
    return _network_rows(lam, np.swapaxes(frames, -1, -2))


def _read_network(model: Any, rows: Floats) -> dict[str, tuple[tuple[str, ...], Floats, str]]:
    N, d = int(model.depth), model.size
    frames = rows[..., : (N + 1) * d * d].reshape(*rows.shape[:-1], N + 1, d, d)
    lam = rows[..., None, None, (N + 1) * d * d :]
    factors = np.swapaxes(frames[..., 1:, :, :] * 1.0, -1, -2) * lam @ frames[..., :-1, :, :]
    W = np.swapaxes(frames[..., N, :, :], -1, -2) * (lam[..., 0, :, :] ** N) @ frames[..., 0, :, :]
    return {
        "matrix": (("row", "column"), W, "the end-to-end matrix W"),
        "network": (("factor", "row", "column"), factors, "the factors W_1 … W_N"),
    }


# --- Hermitian matrices ---------------------------------------------------------------------------------------------


def _hermitian_from_spectrum(model: Any, x: Floats, z: Floats) -> Floats:
    d = model.size
    real, imaginary = np.moveaxis(z.reshape(len(z), 2, d, d), 1, 0)
    q, r = np.linalg.qr(real + 1j * imaginary)
    phases = np.einsum("pii->pi", r) / np.abs(np.einsum("pii->pi", r))
    q = q * phases[:, None, :]
    return _hermitian_rows(np.einsum("pik,pk,pjk->pij", q, x, q.conj()))


def _hermitian_rows(M: NDArray[Any]) -> Floats:
    M = 0.5 * (M + np.swapaxes(M.conj(), -1, -2))
    return np.concatenate([M.real.reshape(len(M), -1), M.imag.reshape(len(M), -1)], axis=1)


def _hermitian_from_given(model: Any, array: NDArray[Any]) -> Floats:
    M = array.reshape(-1, model.size, model.size).astype(np.complex128)
    off = np.abs(M - np.swapaxes(M.conj(), 1, 2)).max(initial=0.0)
    if off > 1e-12 * max(float(np.abs(M).max(initial=0.0)), 1e-300):
        raise InvalidValue(f"start: a matrix differs from its adjoint by {off:.3g}: it must be Hermitian")
    return _hermitian_rows(M)


def _read_hermitian(model: Any, rows: Floats) -> dict[str, tuple[tuple[str, ...], Floats, str]]:
    d = model.size
    parts = rows.reshape(*rows.shape[:-1], 2, d, d)
    return {"matrix": (("part", "row", "column"), parts, "the matrix M: real part, imaginary part")}


FORMS = {
    "matrix": Form(
        _matrix_from_spectrum,
        lambda model: 2 * model.size**2,
        _matrix_from_given,
        lambda model: f"({model.size}, {model.size}) matrices, one or one for each path",
        _read_matrix,
    ),
    "network": Form(
        _network_from_spectrum,
        lambda model: (int(model.depth) + 1) * model.size**2,
        _network_from_given,
        lambda model: (
            f"({model.size}, {model.size}) matrices, or networks ({int(model.depth)}, {model.size}, {model.size}), one "
            "or one for each path"
        ),
        _read_network,
    ),
    "hermitian": Form(
        _hermitian_from_spectrum,
        lambda model: 2 * model.size**2,
        _hermitian_from_given,
        lambda model: f"({model.size}, {model.size}) Hermitian matrices, one or one for each path",
        _read_hermitian,
    ),
}
