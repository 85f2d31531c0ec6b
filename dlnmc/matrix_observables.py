"""Observables of whole states of the Deep Linear Network, from what a run kept of them.

Each is a function of one state, and a row of `OBSERVABLES`. What only needs singular values is there for every state:
there they are more accurate than those of W, of which floating point hides what is below 1e-16 of the largest.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import scipy
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from dlnmc import dataset, geometry
from dlnmc.dataset import MODEL_UNITS
from dlnmc.energies import MatrixEnergy
from dlnmc.errors import InvalidValue
from dlnmc.matrices import VANISHING
from dlnmc.models import DeepLinearNetwork

Floats = NDArray[np.float64]
Nearest = Callable[[Floats], Floats]  # W (n, d, d) -> the nearest minimiser of each, (n, d, d)

BLOCK = 2**16  # numbers of a matrix in memory at a time, so that what is made of them stays in the cache
AXES = {  # of one state, by variable
    "singular_values": ("rank",),
    "matrix": ("row", "column"),
    "network": ("factor", "row", "column"),
}


class States(NamedTuple):
    """n states of one model, as far as a result holds them, and what they are measured with; None for what lacks."""

    model: DeepLinearNetwork
    energy: Any  # the energy of matrices, where its functions are known, or None
    nearest: Any  # a `Nearest`, or None
    singular_values: Any  # (n, d), the largest first, or None
    matrix: Any  # (n, d, d), or None
    network: Any  # (n, N, d, d), or None

    @property
    def arrays(self) -> dict[str, Floats]:
        """Those that there are, by name."""
        return {name: array for name in AXES if (array := getattr(self, name)) is not None}

    def at(self, chosen: Any) -> Self:
        """Some of the states."""
        return self._replace(**{name: array[chosen] for name, array in self.arrays.items()})


class Row(NamedTuple):
    """An observable, which fields of `States` it needs, and what its numbers mean."""

    function: Callable[[Any], Floats]  # States -> (n,)
    needs: Callable[[Any], tuple[str, ...]]  # by model
    units: str
    long_name: str


def sign_of_determinant(states: States) -> Floats:
    """The sign of det W, from the factors where they are known: that of a deep W drowns in rounding before theirs."""
    factors = states.matrix[:, np.newaxis] if states.network is None else states.network
    sigma = np.linalg.svd(factors, compute_uv=False)
    singular = sigma[..., -1] <= VANISHING * sigma.shape[-1] * sigma[..., 0]
    return np.asarray(np.prod(np.where(singular, 0.0, np.linalg.slogdet(factors)[0]), axis=-1))


def effective_rank(states: States) -> Floats:
    """exp(−Σ p log p), p = σ²/Σσ² (Roy and Vetterli 2007): between 1 and d, and 0 for W = 0."""
    sigma = states.singular_values
    largest = sigma[:, :1]
    square = (sigma / np.where(largest > 0.0, largest, 1.0)) ** 2
    p = square / np.maximum(np.sum(square, axis=-1, keepdims=True), 1.0)
    return np.where(largest[:, 0] > 0.0, np.exp(-np.sum(scipy.special.xlogy(p, p), axis=-1)), 0.0)


def entropy(states: States) -> Floats:
    """S = ½ Σ_{k<l} log a_kl (Menon, Theorem 10): `dlnmc.geometry.entropy`. Pairs of zeros drop out."""
    return geometry.entropy_of_singular_values(states.model.depth, states.singular_values)


def energy(states: States) -> Floats:
    """E(W)."""
    return dataset.energy_of(states.model, states.singular_values, states.matrix)


def free_energy(states: States) -> Floats:
    """F_β = E − S/β (Menon (6.6)); E for β = ∞, also where S is −∞."""
    return dataset.free_energy_of(states.model, energy(states), states.singular_values)


def imbalance(states: States) -> Floats:
    """‖G‖ (Menon (4.2)) relative to the largest ‖W_p‖²: `dlnmc.geometry.imbalance`."""
    return geometry.imbalance(states.network)


def distance(states: States) -> Floats:
    """‖W − M‖ (Frobenius) of the nearest minimiser M."""
    return np.asarray(np.linalg.norm(states.matrix - states.nearest(states.matrix), axis=(-2, -1)))


def _for_energy(model: Any) -> tuple[str, ...]:
    return ("singular_values",) if model.energy.invariant else ("matrix", "energy")


OBSERVABLES: dict[str, Row] = {
    "sign_of_determinant": Row(
        sign_of_determinant, lambda model: ("matrix",), "1", "sign of det W; 0 where W is singular to rounding"
    ),
    "effective_rank": Row(
        effective_rank, lambda model: ("singular_values",), "1", "exponential of the entropy of sigma^2/Tr W^T W"
    ),
    "entropy": Row(
        entropy, lambda model: ("singular_values",), "1", "entropy S of the group orbit over W, up to a constant"
    ),
    "energy": Row(energy, _for_energy, MODEL_UNITS, "energy E(W)"),
    "free_energy": Row(
        free_energy, lambda model: ("singular_values", *_for_energy(model)), MODEL_UNITS, "free energy E - S/beta"
    ),
    "imbalance": Row(imbalance, lambda model: ("network",), "1", "norm of G over the largest squared norm of a factor"),
    "distance": Row(
        distance, lambda model: ("matrix", "nearest"), MODEL_UNITS, "Frobenius distance to the nearest minimiser"
    ),
}

LACKING = {  # what to do about a field of `States` that is None
    "singular_values": "the result holds no singular values: keep samples",
    "matrix": "the result holds no matrices: run it with state = 'matrix' or 'network', and keep samples",
    "network": "the result holds no networks: run it with state = 'network', and keep samples",
    "energy": "files hold no functions of a user's own energy: give them again, in dlnmc.OwnEnergy",
    "nearest": "give minimisers, an array (m, d, d) or a function",
}


def observe(result: xr.Dataset | xr.DataTree, *names: str, minimisers: ArrayLike | Nearest | None = None) -> xr.Dataset:
    """Observables of the states that a result holds, one number for each.

    Parameters
    ----------
    result
        What `simulate`, `equilibrium`, `sweep` or `exact` returned for the Deep Linear Network, or a part of it.
    names
        "sign_of_determinant" (0 where W is singular to rounding), "effective_rank" (the exponential of the entropy of
        σ²/Σσ²), "entropy" (S, up to a constant), "energy", "free_energy" (E − S/β), "imbalance" (‖G‖ of a network
        relative to the largest ‖W_p‖²), "distance" (to the nearest of `minimisers`). Default: all that the result
        allows. Entries of W and singular values are in the result itself.
    minimisers
        A matrix (d, d), a finite set of them (m, d, d), or, for a variety, a function that takes matrices (n, d, d) and
        returns the nearest minimiser of each, (n, d, d). Distances are Frobenius.

    Returns
    -------
    xarray.Dataset
        A variable for each name, over the dimensions of the result: path, time or draw, and those of a sweep. It is NaN
        for paths that failed. Singular W have what the formula gives: sign 0, and at infinite depth S = −∞.

    Raises
    ------
    InvalidValue
        An unknown name, one that needs states that were not kept, minimisers of another width, or no result of the
        Deep Linear Network.

    References
    ----------
    O. Roy, M. Vetterli, The effective rank (2007); G. Menon, The geometry of the deep linear network, (4.2), (6.5),
    (6.6).
    """
    for name in names:
        if name not in OBSERVABLES:
            raise InvalidValue(f"observe: unknown name {name!r}; allowed: {', '.join(OBSERVABLES)}")
    data, grid = _kept(result), {}
    if isinstance(result, xr.DataTree):
        grid = {name: result.sizes[name] for name in dataset.DIMENSIONS if name in result.dims}
        found = [_observed(_kept(member), names, minimisers) for member in dataset.members(result)]
    else:
        found = [_observed(data, names, minimisers)]
    dims = (*grid, *(dim for dim in _dims(data) if dim not in grid))
    coords = {name: coord for name, coord in data.coords.items() if set(coord.dims) <= set(dims)}
    variables = {
        name: (
            dims,
            np.stack([own[name] for own in found]).reshape(*grid.values(), *values.shape),
            {"long_name": OBSERVABLES[name].long_name, "units": OBSERVABLES[name].units},
        )
        for name, values in found[0].items()
    }
    return xr.Dataset(variables, coords, data.attrs | {"title": "Observables"})


def rank_jumps(result: xr.Dataset | xr.DataTree, levels: Sequence[float] | None = None) -> xr.DataArray:
    """The times at which the effective rank of each path falls through given levels for the last time: (path, level).

    Between the two times that enclose a fall the effective rank is taken as linear in time, so that a jump is known to
    the distance of the times that were kept. It is NaN where the effective rank never falls through a level: it starts
    below, or stays above; and for paths that failed. A path that rises again later keeps the time of its last fall.

    Parameters
    ----------
    result
        What `simulate` returned, with two times or more; for geometric times see `numpy.geomspace`.
    levels
        Default: d − ½, …, 1.5, halfway between whole ranks.

    Raises
    ------
    InvalidValue
        A result without times, or levels that are not finite numbers.
    """
    data = _kept(result)
    if set(_dims(data)) != {"path", "time"} or data.sizes["time"] < 2:
        raise InvalidValue("rank_jumps: the result holds no paths at two times or more; simulate returns such")
    rank = observe(result, "effective_rank")["effective_rank"].transpose("path", "time")
    level = np.arange(data.sizes["rank"] - 0.5, 1.0, -1.0) if levels is None else _levels(levels)
    long_name = "time of the last fall of the effective rank through the level"
    return xr.DataArray(
        _last_falls(data["time"].to_numpy(), rank.to_numpy(), level),
        coords={name: coord for name, coord in rank.coords.items() if "time" not in coord.dims}
        | {"level": ("level", level, {"long_name": "level of the effective rank", "units": "1"})},
        dims=("path", "level"),
        name="rank_jump",
        attrs={"long_name": long_name, "units": dataset.clock_units(dataset.model_of(data))},
    )


def _levels(levels: Any) -> Floats:
    try:
        array = np.asarray(levels, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.array(np.nan)
    if array.ndim != 1 or not np.all(np.isfinite(array)):
        raise InvalidValue(f"levels = {levels!r}: they must be a list of finite numbers")
    return array


def _last_falls(times: Floats, rank: Floats, level: Floats) -> Floats:
    """When each path of `rank` (path, time) last passes from a level or above to below it, (path, level), else NaN."""
    falls = (rank[:, :-1, np.newaxis] >= level) & (rank[:, 1:, np.newaxis] < level)
    last = falls.shape[1] - 1 - np.argmax(falls[:, ::-1], axis=1)
    above, below = np.take_along_axis(rank, last, axis=1), np.take_along_axis(rank, last + 1, axis=1)
    part = (above - level) / np.where(above > below, above - below, 1.0)
    return np.where(falls.any(axis=1), times[last] + part * (times[last + 1] - times[last]), np.nan)


def _kept(result: Any) -> xr.Dataset:
    """The states that a result holds, with the coordinates and attributes of its root."""
    if not isinstance(result, xr.Dataset | xr.DataTree):
        raise InvalidValue(f"{type(result).__name__} is no result of dlnmc")
    data: xr.Dataset
    if isinstance(result, xr.DataTree):
        data = (result["samples"] if "samples" in result.children else result).to_dataset()
        data = data.assign_coords({name: own for name, own in result.coords.items() if name not in data.coords})
        data.attrs = result.attrs
    else:
        data = result
    if data.attrs.get("model") == "dyson":
        raise InvalidValue("the result is one of Dyson Brownian motion: observables are those of the matrices W")
    return data


def _dims(data: xr.Dataset) -> tuple[str, ...]:
    """The dimensions of the states of a result beside those of a single state."""
    for name in AXES:
        if name in data:
            return tuple(str(dim) for dim in data[name].dims if dim not in AXES[name])
    raise InvalidValue("the result holds no states: run it with keep_samples")


def _observed(data: xr.Dataset, names: Sequence[str], minimisers: Any) -> dict[str, Floats]:
    """Observables of the states of one model, by name, in the shape of what is beside a state."""
    model = dataset.model_of(data)
    assert isinstance(model, DeepLinearNetwork)
    states, shape = _states(data, model, None if minimisers is None else _nearest(minimisers, model.width))
    rows = _chosen(states, names)
    count = math.prod(shape)
    sound = np.ones(count, dtype=bool)
    for array in states.arrays.values():
        sound &= np.isfinite(array).reshape(count, -1).all(axis=1)
    found = {name: np.full(count, np.nan) for name in rows}
    for chosen in _blocks(np.flatnonzero(sound), model.width**2):
        part = states.at(chosen)
        for name, row in rows.items():
            found[name][chosen] = row.function(part)
    return {name: values.reshape(shape) for name, values in found.items()}


def _blocks(index: NDArray[np.intp], numbers: int) -> Iterator[NDArray[np.intp]]:
    size = max(BLOCK // numbers, 1)
    for begin in range(0, len(index), size):
        yield index[begin : begin + size]


def _chosen(states: States, names: Sequence[str]) -> Mapping[str, Row]:
    """The rows that are asked for, or all whose needs are met; InvalidValue where those of a name are not."""
    lacking = {
        name: [field for field in row.needs(states.model) if getattr(states, field) is None]
        for name, row in OBSERVABLES.items()
    }
    for name in names:
        if lacking[name]:
            raise InvalidValue(f"{name}: {LACKING[lacking[name][0]]}")
    return {name: OBSERVABLES[name] for name in names or OBSERVABLES if not lacking[name]}


def _states(data: xr.Dataset, model: DeepLinearNetwork, nearest: Nearest | None) -> tuple[States, tuple[int, ...]]:
    """The states of one model as rows, without what sweeps are padded with, and the shape of what is beside a state."""
    beside = _dims(data)
    sizes = dict.fromkeys(("rank", "row", "column"), model.width)
    arrays: dict[str, Floats | None] = dict.fromkeys(AXES)
    for name, axes in AXES.items():
        if name in data:
            own = sizes | ({"factor": int(model.depth)} if "factor" in axes else {})
            for axis in axes:
                if (there := data[name].sizes.get(axis, 0)) < own[axis]:
                    raise InvalidValue(
                        f"{name} has {there or 'one'} of {own[axis]} along {axis!r}: observables are those of whole "
                        "states; take parts of the result along its other dimensions"
                    )
            values = data[name].isel({axis: slice(own[axis]) for axis in axes}).transpose(*beside, *axes)
            arrays[name] = values.to_numpy().reshape(-1, *values.shape[len(beside) :])
    return States(model, _energy_of(model), nearest, **arrays), tuple(data.sizes[dim] for dim in beside)


def _energy_of(model: DeepLinearNetwork) -> MatrixEnergy | None:
    """The energy of matrices, where it is known: of a user's own a file holds but the name."""
    if isinstance(model.energy, MatrixEnergy):
        with contextlib.suppress(InvalidValue):
            model.energy.check_functions()
            return model.energy
    return None


def _nearest(minimisers: Any, width: int) -> Nearest:
    """The function that finds the nearest minimiser."""
    if callable(minimisers):
        return _checked(minimisers)
    try:
        array = np.asarray(minimisers, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidValue(" ".join(f"minimisers: they must be matrices or a function, not {error}".split())) from None
    if array.ndim not in (2, 3) or array.shape[-2:] != (width, width) or not array.size:
        raise InvalidValue(
            f"minimisers have the shape {array.shape}: they must be ({width}, {width}) matrices, or a function"
        )
    if not np.all(np.isfinite(array)):
        raise InvalidValue(f"minimisers contain {array[~np.isfinite(array)][0].item()!r}: they must be finite")
    points = array.reshape(-1, width, width)

    def nearest(W: Floats) -> Floats:
        best, least = np.empty_like(W), np.full(len(W), np.inf)
        for point in points:
            off = np.sum((W - point) ** 2, axis=(-2, -1))
            best[off < least] = point
            least = np.minimum(off, least)
        return best

    return nearest


def _checked(function: Callable[[Floats], Any]) -> Nearest:
    """A user's function, whose failures are told in one line."""

    def nearest(W: Floats) -> Floats:
        try:
            found = np.asarray(function(W.copy()), dtype=np.float64)
        except Exception as error:  # whatever a user's function does
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise InvalidValue(f"minimisers: the function fails on matrices {W.shape}: {reason}") from None
        if found.shape != W.shape:
            raise InvalidValue(
                f"minimisers: for matrices {W.shape} the function returns {found.shape}: it must return the nearest "
                "minimiser of each, in the same shape"
            )
        return found

    return nearest
