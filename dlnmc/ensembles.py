"""Exact samplers: where the law of all singular values or eigenvalues is that of a random tridiagonal matrix.

A new exact sampler is one kernel in `dlnmc_kernels.ensembles` and one row of `SAMPLERS`.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlnmc.engine import noise_key
from dlnmc.errors import InvalidValue
from dlnmc.models import DeepLinearNetwork, DysonBrownianMotion, Model
from dlnmc_kernels.ensembles import hermite, laguerre
from dlnmc_kernels.lanes import WIDTH

Floats = NDArray[np.float64]


class Recipe(NamedTuple):
    """A draw: `scale` times what the kernel draws with the parameter."""

    kernel: Callable[..., None]
    parameter: float
    scale: float


class Sampler(NamedTuple):
    """An exact sampler: where it serves, in words and as a function of (model, time), and its recipe."""

    where: str
    serves: Callable[[Any, float | None], bool]
    recipe: Callable[[Any, float | None], Recipe]


def _dyson(model: Model) -> bool:
    return isinstance(model, DysonBrownianMotion) and model.kappa > 0.0


def _network(model: Model, time: float | None) -> bool:
    return (
        isinstance(model, DeepLinearNetwork)
        and model.energy.kind == "quadratic"
        and time is None
        and model.kappa > 0.0
        and math.isfinite(model.depth)
    )


def _hermite(model: DysonBrownianMotion, time: float | None) -> Recipe:
    """√(s²/κ) times the eigenvalues of √κ H, s² = κ/β; at a time after 0 (κ/β)(1 − e^{−2t}), 2κt/β without energy."""
    grown = 1.0
    if time is not None:
        grown = 2.0 * time if model.energy.kind == "none" else -math.expm1(-2.0 * time)
    return Recipe(hermite, model.kappa, math.sqrt(grown) / math.sqrt(model.beta))


def _laguerre(model: DeepLinearNetwork, time: float | None) -> Recipe:
    """√(2κ/β) times the singular values of B/√2."""
    return Recipe(laguerre, model.depth, math.sqrt(2.0) * math.sqrt(model.kappa) / math.sqrt(model.beta))


SAMPLERS = (
    Sampler(
        "Dyson Brownian motion with energy quadratic, kappa > 0, at equilibrium (no time)",
        lambda model, time: _dyson(model) and model.energy.kind == "quadratic" and time is None,
        _hermite,
    ),
    Sampler(
        "Dyson Brownian motion with energy quadratic or none, kappa > 0, at a time after a start from 0",
        lambda model, time: _dyson(model) and model.energy.kind in ("quadratic", "none") and time is not None,
        _hermite,
    ),
    Sampler(
        "the Deep Linear Network with energy quadratic, kappa = 1/2 and finite depth, at equilibrium",
        lambda model, time: _network(model, time) and model.kappa == 0.5,
        _laguerre,
    ),
    Sampler(
        "the Deep Linear Network with energy quadratic, kappa > 0 and depth 1, at equilibrium",
        lambda model, time: _network(model, time) and model.depth == 1.0,
        _laguerre,
    ),
    Sampler(
        "the Deep Linear Network with energy quadratic, kappa > 0, finite depth and width 1, at equilibrium",
        lambda model, time: _network(model, time) and model.width == 1,
        _laguerre,
    ),
)


def recipe(model: Model, time: float | None) -> Recipe:
    """How a model is drawn at equilibrium, or at a time after a start from 0; InvalidValue where that is not known."""
    for row in SAMPLERS:
        if row.serves(model, time):
            return row.recipe(model, time)
    known = "; ".join(row.where for row in SAMPLERS)
    raise InvalidValue(f"time = {time!r}, model = {model!r}: there is no exact sampler; there are for {known}")


def blocks(model: Model, time: float | None, seed: int, stream: int, first_block: int, blocks: int) -> Floats:
    """Exact draws, ascending, of shape (path, component), for the 8 `blocks` paths from 8 `first_block` on.

    One kernel call, without the GIL. A path's values are a function of model, time, seed, stream and its index; NaN
    should the computation of eigenvalues fail.
    """
    kernel, parameter, scale = recipe(model, time)
    out = np.empty((blocks, model.size, WIDTH))
    with np.errstate(all="ignore"):  # as in compiled code
        kernel(noise_key(seed), stream, first_block, parameter, out)
    out *= scale
    return out.transpose(0, 2, 1).reshape(blocks * WIDTH, model.size)
