"""Dyson Brownian motion, Menon (11.8): dx_i = [ −V'(x_i) + (2/β) Σ_{j≠i} 1/(x_i − x_j) ] dt + √(2κ/β) dB_i.

Taming: a repulsion 1/g of a gap |g| < ε is replaced by 1/(±ε), ε = TAMING · 2 √(dt/β), the gap which one explicit step
of the pair alone doubles. The equilibrium density is p(x) ∝ Π_{i<j} |x_i − x_j|^{2/κ} e^{−(β/κ)V}.
"""

import math
from typing import Any, NamedTuple

from numba.extending import register_jitable

from dlnmc_kernels.dispatch import (
    drift,
    log_density,
    noise,
    noise_slope,
    observed,
    rank_key,
    slope,
    too_close,
    value,
)
from dlnmc_kernels.fast_sums import FAST_SIZE, fast_repulsion
from dlnmc_kernels.jit import device
from dlnmc_kernels.lanes import Lane, absolute, load, maximum, splat, store
from dlnmc_kernels.log_products import FACTORS, SMALLEST_FACTOR, log_of, normalised
from dlnmc_kernels.pair_sums import gap_sums

TAMING = 0.4
TINY = 1e-70  # keeps reciprocals of products of four gaps finite where β = ∞ and nothing is tamed


class Dyson(NamedTuple):
    """Parameters of (11.8)."""

    beta: float
    kappa: float
    energy: Any


@device
def smallest_gap(beta: float, dt: float) -> float:
    """ε: closer neighbours repel each other as if at this distance."""
    return TAMING * 2.0 * math.sqrt(dt / beta)


@register_jitable
def sums_are_fast(size: int) -> bool:
    """Whether the drift has its sums from `fast_repulsion`."""
    return size >= FAST_SIZE


@drift.register(Dyson)
def _drift(model: Dyson, x: Lane, dt: float, f: Lane, work: Lane) -> None:
    repulsion = 2.0 / model.beta
    floor = max(smallest_gap(model.beta, dt), TINY)
    if sums_are_fast(len(x)):
        fast_repulsion(x, f, work, len(x), floor, 0.0)
    else:
        gap_sums(x, splat(floor), f)
    for i in range(len(x)):
        store(f, i, load(f, i) * repulsion - slope(model.energy, load(x, i)))


@log_density.register(Dyson)
def _log_density(model: Dyson, x: Lane, work: Lane) -> Lane:
    pairs, energy = splat(0.0), splat(0.0)
    for i in range(len(x)):
        x_i = load(x, i)
        energy = energy + value(model.energy, x_i)
        product, exponent = splat(1.0), splat(0.0)
        for j in range(i):
            product = product * maximum(x_i - load(x, j), splat(SMALLEST_FACTOR))
            if j % FACTORS == FACTORS - 1:
                product, exponent = normalised(product, exponent)
        pairs = pairs + log_of(product, exponent)
    return pairs * (2.0 / model.kappa) - energy * (model.beta / model.kappa)


@noise.register(Dyson)
def _noise(model: Dyson, x_i: Lane) -> Lane:
    return splat(math.sqrt(2.0 * model.kappa / model.beta))


@noise_slope.register(Dyson)
def _noise_slope(model: Dyson, x_i: Lane) -> Lane:
    return splat(0.0)


@rank_key.register(Dyson)
def _rank_key(model: Dyson, x_i: Lane) -> Lane:
    return x_i


@observed.register(Dyson)
def _observed(model: Dyson, x_i: Lane) -> Lane:
    return x_i


@too_close.register(Dyson)
def _too_close(model: Dyson, x_i: Lane, x_j: Lane, dt: float) -> Lane:
    return absolute(x_i - x_j) < smallest_gap(model.beta, dt)
