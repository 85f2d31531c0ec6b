"""The Riemannian Langevin equation of the Deep Linear Network on singular values, for energies E = Σ v(σ_k).

With λ = σ^{1/N}, x = λ², y = σ² and E = Σ v(σ), (12.12) with Theorem 18 of Menon becomes, in the coordinate λ,

    dλ_k = [ −v'(σ_k) λ_k^{N−1} + λ_k^{2N−1} r_y/β + (2κ−1) λ_k r_x/(βN) ] dt + √(2κ/(βN)) dB_k,
    r_x = Σ_l 1/(x_k − x_l),   r_y = Σ_l 1/(y_k − y_l),

with additive noise, and by Itô's formula in the coordinate σ = λ^N

    dσ_k = [ N λ_k^{N−1} (drift of λ_k) + (κ/β)(N−1) λ_k^{N−2} ] dt + √(2κN/β) λ_k^{N−1} dB_k.

Coordinates are signed: the drift is odd in its own component and even in the others, so that |λ| has the law of the
process reflected at 0 (and likewise σ). Components are kept in ascending order of their absolute values.

Taming: where neighbours are closer than ε = TAMING √(2κ dt/(βN)) in λ, their interaction, which is singular as
1/gap, is continued linearly to 0.
"""

import math
from typing import Any, NamedTuple

from dlnmc_kernels.dispatch import drift, noise, noise_slope, observed, rank_key, slope, too_close
from dlnmc_kernels.elementary import exp, log, power
from dlnmc_kernels.jit import device
from dlnmc_kernels.lanes import Lane, absolute, copy_sign, load, maximum, minimum, reciprocal, splat, store

TAMING = 0.4
TINY = 1e-290  # keeps reciprocals finite where products underflow
LARGEST_LOG_RATIO = 200.0  # neighbours that crossed have y_l > y_k; beyond this the difference does not matter
DEEP = 24.0  # beyond this depth y = λ^{2N} may underflow, and ratios y_l/y_k are formed from logarithms instead


class Lambda(NamedTuple):
    """Parameters in the coordinate λ."""

    depth: float
    beta: float
    kappa: float
    energy: Any


class Sigma(NamedTuple):
    """Parameters in the coordinate σ."""

    depth: float
    beta: float
    kappa: float
    energy: Any


@device
def smallest_gap(depth: float, beta: float, kappa: float, dt: float) -> float:
    """ε, in λ."""
    return TAMING * math.sqrt(2.0 * kappa * dt / (beta * depth))


@device
def tamed_product(depth: float, epsilon: float, x_k: Lane) -> Lane:
    """The value of (x_k − x_l)(y_k − y_l)/y_k below which a pair is tamed.

    It is 4Nε² where λ_l = λ_k − ε, away from 0; near 0 it is not more than x_k, the value for λ_l = 0.
    """
    return minimum(splat(4.0 * depth * epsilon * epsilon), maximum(x_k, splat(epsilon * epsilon)))


@device
def pair_sums(depth: float, epsilon: float, x: Lane, y: Lane, sum_x: Lane, sum_y: Lane) -> None:
    """Tamed r_x and r_y from the rows x and y: one reciprocal, of the product (x_k−x_l)(y_k−y_l), serves both."""
    for k in range(len(x)):
        x_k, y_k = load(x, k), load(y, k)
        floor = maximum(y_k * tamed_product(depth, epsilon, x_k), splat(TINY))
        sum_x_k, sum_y_k = splat(0.0), splat(0.0)
        for l in range(k):
            dx, dy = x_k - load(x, l), y_k - load(y, l)
            r = reciprocal(maximum(dx * dy, floor))
            r_x, r_y = dy * r, dx * r
            sum_x_k, sum_y_k = sum_x_k + r_x, sum_y_k + r_y
            store(sum_x, l, load(sum_x, l) - r_x)
            store(sum_y, l, load(sum_y, l) - r_y)
        store(sum_x, k, sum_x_k)
        store(sum_y, k, sum_y_k)


@device
def pair_sums_deep(depth: float, epsilon: float, x: Lane, log_y: Lane, sum_x: Lane, sum_y: Lane) -> None:
    """Tamed r_x, and y_k r_y in the place of r_y, from the rows x and log y: ratios of y do not underflow."""
    for k in range(len(x)):
        x_k, log_y_k = load(x, k), load(log_y, k)
        floor = maximum(tamed_product(depth, epsilon, x_k), splat(TINY))
        sum_x_k, sum_y_k = splat(0.0), splat(0.0)
        for l in range(k):
            dx = x_k - load(x, l)
            ratio = exp(minimum(load(log_y, l) - log_y_k, splat(LARGEST_LOG_RATIO)))  # y_l / y_k
            dy = 1.0 - ratio
            r = reciprocal(maximum(dx * dy, floor))
            r_x, r_y = dy * r, dx * r
            sum_x_k, sum_y_k = sum_x_k + r_x, sum_y_k + r_y
            store(sum_x, l, load(sum_x, l) - r_x)
            store(sum_y, l, load(sum_y, l) - ratio * r_y)
        store(sum_x, k, sum_x_k)
        store(sum_y, k, sum_y_k)


@device
def lambda_drift(
    depth: float, beta: float, kappa: float, energy: Any, dt: float, lam: Lane, f: Lane, work: Lane
) -> None:
    """The drift of λ at the rows `lam` >= 0 into `f`; uses four rows of `work`."""
    size = len(lam)
    x, y, sum_x, sum_y = work[0], work[1], work[2], work[3]
    deep = depth > DEEP
    for k in range(size):
        lam_k = load(lam, k)
        store(x, k, lam_k * lam_k)
        if deep:
            store(y, k, log(maximum(lam_k, splat(TINY))) * (2.0 * depth))
        else:
            sigma_k = power(lam_k, depth)
            store(y, k, sigma_k * sigma_k)
    epsilon = smallest_gap(depth, beta, kappa, dt)
    if deep:
        pair_sums_deep(depth, epsilon, x, y, sum_x, sum_y)
    else:
        pair_sums(depth, epsilon, x, y, sum_x, sum_y)
    for k in range(size):
        lam_k = load(lam, k)
        jacobian = power(lam_k, depth - 1.0)  # dσ/dλ over N
        if deep:
            entropic = load(sum_y, k) / maximum(lam_k, splat(TINY))
        else:
            entropic = load(sum_y, k) * lam_k * jacobian * jacobian
        coulomb = lam_k * load(sum_x, k) * ((2.0 * kappa - 1.0) / (beta * depth))
        store(f, k, entropic * (1.0 / beta) + coulomb - slope(energy, lam_k * jacobian) * jacobian)


@device
def sign_of(x: Lane) -> Lane:
    """+1 or −1."""
    return copy_sign(splat(1.0), x)


@drift.register(Lambda)
def _drift_lambda(model: Lambda, x: Lane, dt: float, f: Lane, work: Lane) -> None:
    lam = work[4]
    for k in range(len(x)):
        store(lam, k, absolute(load(x, k)))
    lambda_drift(model.depth, model.beta, model.kappa, model.energy, dt, lam, f, work)
    for k in range(len(x)):
        store(f, k, load(f, k) * sign_of(load(x, k)))


@drift.register(Sigma)
def _drift_sigma(model: Sigma, x: Lane, dt: float, f: Lane, work: Lane) -> None:
    lam = work[4]
    for k in range(len(x)):
        store(lam, k, power(absolute(load(x, k)), 1.0 / model.depth))
    lambda_drift(model.depth, model.beta, model.kappa, model.energy, dt, lam, f, work)
    ito = (model.depth - 1.0) * model.kappa / model.beta
    epsilon = splat(smallest_gap(model.depth, model.beta, model.kappa, dt))
    for k in range(len(x)):
        lam_k = load(lam, k)
        curvature = power(maximum(lam_k, epsilon), model.depth - 2.0) * ito
        f_k = load(f, k) * power(lam_k, model.depth - 1.0) * model.depth + curvature
        store(f, k, f_k * sign_of(load(x, k)))


@noise.register(Lambda)
def _noise_lambda(model: Lambda, x_i: Lane) -> Lane:
    return splat(math.sqrt(2.0 * model.kappa / (model.beta * model.depth)))


@noise.register(Sigma)
def _noise_sigma(model: Sigma, x_i: Lane) -> Lane:
    scale = math.sqrt(2.0 * model.kappa * model.depth / model.beta)
    return power(absolute(x_i), 1.0 - 1.0 / model.depth) * scale


@noise_slope.register(Lambda)
def _noise_slope_lambda(model: Lambda, x_i: Lane) -> Lane:
    return splat(0.0)


@noise_slope.register(Sigma)
def _noise_slope_sigma(model: Sigma, x_i: Lane) -> Lane:
    scale = 2.0 * model.kappa / model.beta * (model.depth - 1.0)
    return power(absolute(x_i), 1.0 - 2.0 / model.depth) * sign_of(x_i) * scale


@rank_key.register(Lambda)
@rank_key.register(Sigma)
def _rank_key(model: Any, x_i: Lane) -> Lane:
    return absolute(x_i)


@observed.register(Lambda)
def _observed_lambda(model: Lambda, x_i: Lane) -> Lane:
    return power(absolute(x_i), model.depth)


@observed.register(Sigma)
def _observed_sigma(model: Sigma, x_i: Lane) -> Lane:
    return absolute(x_i)


@too_close.register(Lambda)
def _too_close_lambda(model: Lambda, x_i: Lane, x_j: Lane, dt: float) -> Lane:
    gap = absolute(absolute(x_i) - absolute(x_j))
    return gap < smallest_gap(model.depth, model.beta, model.kappa, dt)


@too_close.register(Sigma)
def _too_close_sigma(model: Sigma, x_i: Lane, x_j: Lane, dt: float) -> Lane:
    lam_i, lam_j = power(absolute(x_i), 1.0 / model.depth), power(absolute(x_j), 1.0 / model.depth)
    return absolute(lam_i - lam_j) < smallest_gap(model.depth, model.beta, model.kappa, dt)
