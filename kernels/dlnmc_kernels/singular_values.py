"""The Riemannian Langevin equation of the Deep Linear Network on singular values, for energies E = Σ v(σ_k).

With λ = σ^{1/N}, x = λ², y = σ² and E = Σ v(σ), (12.12) with Theorem 18 of Menon becomes, in the coordinate λ,

    dλ_k = [ −v'(σ_k) λ_k^{N−1} + λ_k^{2N−1} r_y/β + (2κ−1) λ_k r_x/(βN) ] dt + √(2κ/(βN)) dB_k,
    r_x = Σ_l 1/(x_k − x_l),   r_y = Σ_l 1/(y_k − y_l),

with additive noise; by Itô's formula in the coordinate σ = λ^N

    dσ_k = [ N λ_k^{N−1} (drift of λ_k) + (κ/β)(N−1) λ_k^{N−2} ] dt + √(2κN/β) λ_k^{N−1} dB_k,

and at infinite depth, with time divided by 1/N (14.6), in z = log σ

    dz_k = [ −σ_k v'(σ_k) + y_k r_y/β + (2κ−1) r_z/(2β) ] dt + √(2κ/β) dB_k,   r_z = Σ_l 1/(z_k − z_l).

With c = 1/(2κ) the equilibrium density is p(λ) ∝ Π_{k<l} |y_k−y_l|^c |x_k−x_l|^{1−c} e^{−2cβE}, and so is p(z) with z
for x.

λ and σ are signed: the drift is odd in its own component and even in the others, so that |λ| has the law of the
process reflected at 0 (and likewise σ). Components are kept in ascending order of their absolute values.

Taming: where neighbours are closer than ε = TAMING √(2κ dt/(βN)) in λ, their repulsion κ/(gap), which is singular, is
continued linearly to 0. What entropy adds to it is bounded, (N−1)/(2λ) for either of two equal singular values
divided by βN, and is kept: it is the whole interaction at κ = 0.
"""

import math
from typing import Any, NamedTuple

import numpy as np
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
from dlnmc_kernels.elementary import exp, log, power
from dlnmc_kernels.fast_sums import FAST_SIZE, fast_pair_sums
from dlnmc_kernels.jit import device, inlined
from dlnmc_kernels.lanes import (
    Lane,
    absolute,
    address,
    float_bits,
    from_bits,
    load,
    maximum,
    minimum,
    reciprocal,
    select,
    splat,
    store,
)
from dlnmc_kernels.log_products import FACTORS, SMALLEST_FACTOR, log_of, normalised
from dlnmc_kernels.pair_sums import TwoSums, entropy_of, tamed_product, taming, two_gap_sums

TAMING = 0.4
SHIFT = 4  # rows between arrays: processors mix up addresses that differ by 4096 bytes
COLD = 1e-5  # below this κ gaps are so small that differences of powers would be all rounding
TINY = 1e-290  # keeps reciprocals finite where products underflow
LEAST_DISTANCE = 1e-140  # whose square is still a normal number
LARGEST_LOG_RATIO = 200.0  # neighbours that crossed have y_l > y_k; beyond this the difference does not matter
SIGN_BIT = np.uint64(1 << 63)
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


class LogSigma(NamedTuple):
    """Parameters at infinite depth, in the coordinate log σ."""

    beta: float
    kappa: float
    energy: Any


@device
def smallest_gap(depth: float, beta: float, kappa: float, dt: float) -> float:
    """ε, in λ; with depth 1 it is ε in log σ at infinite depth."""
    return TAMING * math.sqrt(2.0 * kappa * dt / (beta * depth))


@device
def pair_sums_deep(x: Lane, log_y: Lane, floor: Lane, entropy: Lane, sum_x: Lane, sum_y: Lane) -> None:
    """Tamed r_x, and y_k r_y in the place of r_y, from the rows x and log y: ratios of y do not underflow.

    `floor` has the product (x_k−x_l)(1−y_l/y_k) below which pairs of k are tamed; `entropy` what entropy adds to
    y_k r_y for equal components.
    """
    for k in range(len(x)):
        x_k, log_y_k, floor_k, entropy_k = load(x, k), load(log_y, k), load(floor, k), load(entropy, k)
        sum_x_k, sum_y_k = splat(0.0), splat(0.0)
        for l in range(k):
            dx = x_k - load(x, l)
            ratio = exp(minimum(load(log_y, l) - log_y_k, splat(LARGEST_LOG_RATIO)))  # y_l / y_k
            product = dx * (1.0 - ratio)
            r = reciprocal(maximum(product, floor_k))
            e = maximum(floor_k - product, splat(0.0)) * r * entropy_k
            r_x, r_y = (1.0 - ratio) * r, dx * r
            sum_x_k, sum_y_k = sum_x_k + r_x, sum_y_k + (r_y + e)
            store(sum_x, l, load(sum_x, l) - r_x)
            store(sum_y, l, load(sum_y, l) - ratio * (r_y - e))
        store(sum_x, k, sum_x_k)
        store(sum_y, k, sum_y_k)


@device
def pull_and_tail(u: Lane) -> tuple[Lane, Lane]:
    """½ coth(u/2) − 1/u for u >= 0, and 1/(e^u − 1) for u >= 0.5."""
    z = minimum(u, splat(0.5)) * minimum(u, splat(0.5))
    # Bernoulli's series, of which the next term is below rounding for u <= 0.5
    near = z * (-691.0 / 1307674368000.0) + 1.0 / 47900160.0
    near = near * z - 1.0 / 1209600.0
    near = near * z + 1.0 / 30240.0
    near = near * z - 1.0 / 720.0
    near = (near * z + 1.0 / 12.0) * u
    beyond = maximum(u, splat(0.5))
    decayed = exp(-beyond)
    tail = decayed * reciprocal(1.0 - decayed)
    return select(u < 0.5, near, tail + 0.5 - reciprocal(beyond)), tail


@device
def smaller_share(inverse_depth: float, u: Lane) -> Lane:
    """The share x ∂_x log a / N of the smaller of two, u = |log y_k/y_l|; with that of the larger it adds to 1 − 1/N.

    Far below the other it decays, and is as exact as a number that is divided by λ must be.
    """
    pull, tail = pull_and_tail(u)
    if inverse_depth == 0.0:
        return 0.5 - pull
    pull_of_x, tail_of_x = pull_and_tail(u * inverse_depth)
    close = (0.5 - pull) - (0.5 - pull_of_x) * inverse_depth
    return select(u * inverse_depth < 0.5, close, tail_of_x * inverse_depth - tail)


@device
def entropic_sums(inverse_depth: float, x: Lane, log_y: Lane, floor: Lane, sum_x: Lane, sum_e: Lane) -> None:
    """Tamed Σ 1/(x_k − x_l), and Σ x_k ∂_{x_k} log a_kl / N, with a_kl = (y_k−y_l)/(x_k−x_l), without any cancellation.

    `floor` has the distances x_k − x_l below which repulsion is continued linearly. Infinite depth has the inverse 0.
    """
    for k in range(len(x)):
        x_k, log_y_k, floor_k = load(x, k), load(log_y, k), load(floor, k)
        sum_x_k, sum_e_k = splat(0.0), splat(0.0)
        for l in range(k):
            dx, u = x_k - load(x, l), log_y_k - load(log_y, l)
            r = dx * reciprocal(maximum(dx * dx, floor_k * floor_k))
            smaller = smaller_share(inverse_depth, absolute(u))
            larger = (1.0 - inverse_depth) - smaller
            sum_x_k, sum_e_k = sum_x_k + r, sum_e_k + select(u < 0.0, smaller, larger)
            store(sum_x, l, load(sum_x, l) - r)
            store(sum_e, l, load(sum_e, l) + select(u < 0.0, larger, smaller))
        store(sum_x, k, sum_x_k)
        store(sum_e, k, sum_e_k)


@inlined
def with_sign(f: Lane, x: Lane) -> Lane:
    """The number f where x is positive, −f where it is negative."""
    return from_bits(float_bits(f) ^ (float_bits(x) & SIGN_BIT))


@register_jitable
def sums_are_fast(size: int, depth: float, kappa: float) -> bool:
    """Whether the drift of λ or σ has its sums from `fast_pair_sums`."""
    return size >= FAST_SIZE and depth <= DEEP and kappa >= COLD


@device
def lambda_drift(
    depth: float, beta: float, kappa: float, energy: Any, dt: float, lam: Lane, f: Lane, work: Lane
) -> None:
    """The drift of λ, odd in each of its rows, into `f`; uses all arrays of `work` but the sixth and the last two."""
    if kappa < COLD:
        cold_lambda_drift(depth, beta, kappa, energy, dt, lam, f, work)
        return
    size, deep, fast = len(lam), depth > DEEP, sums_are_fast(len(lam), depth, kappa)
    gap = size if deep or fast else size + min(SHIFT, size // 4)
    x, y, sum_x, sum_y = address(work, 0), address(work, gap), address(work, 2 * gap), address(work, 3 * gap)
    entropy, jacobian = work[4], work[6]
    epsilon = smallest_gap(depth, beta, kappa, dt)
    tame = taming(depth, epsilon)
    for k in range(len(lam)):
        lam_k = absolute(load(lam, k))
        x_k = lam_k * lam_k
        store(x, k, x_k)
        jacobian_k = power(lam_k, depth - 1.0)  # dσ/dλ over N
        store(jacobian, k, jacobian_k)
        if deep:
            store(y, k, log(maximum(lam_k, splat(TINY))) * (2.0 * depth))
            store(f, k, maximum(tamed_product(tame, x_k), splat(TINY)))
            store(entropy, k, entropy_of(tame, x_k))
        else:
            sigma_k = lam_k * jacobian_k
            store(y, k, sigma_k * sigma_k)
    if deep:
        pair_sums_deep(work[0], work[1], f, entropy, work[2], work[3])
    elif fast:
        fast_pair_sums(work, work[2:], work[7:], len(lam), depth, epsilon)
    else:
        two_gap_sums(TwoSums(x, y, tame, sum_x, sum_y), size)
    for k in range(len(lam)):
        lam_k = absolute(load(lam, k))
        jacobian_k = load(jacobian, k)
        sigma_k = lam_k * jacobian_k
        coulomb = lam_k * load(sum_x, k) * ((2.0 * kappa - 1.0) / (beta * depth))
        entropic = load(sum_y, k) * (1.0 / beta)
        if deep:
            f_k = coulomb + entropic / maximum(lam_k, splat(TINY)) - slope(energy, sigma_k) * jacobian_k
        else:
            f_k = coulomb + (entropic * sigma_k - slope(energy, sigma_k)) * jacobian_k
        store(f, k, with_sign(f_k, load(lam, k)))


@device
def cold_lambda_drift(
    depth: float, beta: float, kappa: float, energy: Any, dt: float, lam: Lane, f: Lane, work: Lane
) -> None:
    """The same for very small κ, and κ = 0: the entropic drift is one smooth function of two components."""
    x, log_y, sum_x, sum_e = work[0], work[1], work[2], work[3]
    epsilon = smallest_gap(depth, beta, kappa, dt)
    for k in range(len(lam)):
        lam_k = absolute(load(lam, k))
        store(x, k, lam_k * lam_k)
        store(log_y, k, log(maximum(lam_k, splat(TINY))) * (2.0 * depth))
        store(f, k, maximum(lam_k * (2.0 * epsilon), splat(epsilon * epsilon + LEAST_DISTANCE)))
    entropic_sums(1.0 / depth, x, log_y, f, sum_x, sum_e)
    for k in range(len(lam)):
        lam_k = absolute(load(lam, k))
        jacobian = power(lam_k, depth - 1.0)
        entropic = load(sum_e, k) / maximum(lam_k, splat(epsilon + TINY)) * (1.0 / beta)
        coulomb = lam_k * load(sum_x, k) * (2.0 * kappa / (beta * depth))
        f_k = entropic + coulomb - slope(energy, lam_k * jacobian) * jacobian
        store(f, k, with_sign(f_k, load(lam, k)))


@drift.register(Lambda)
def _drift_lambda(model: Lambda, x: Lane, dt: float, f: Lane, work: Lane) -> None:
    lambda_drift(model.depth, model.beta, model.kappa, model.energy, dt, x, f, work)


@drift.register(Sigma)
def _drift_sigma(model: Sigma, x: Lane, dt: float, f: Lane, work: Lane) -> None:
    lam = work[5]
    for k in range(len(x)):
        store(lam, k, power(absolute(load(x, k)), 1.0 / model.depth))
    lambda_drift(model.depth, model.beta, model.kappa, model.energy, dt, lam, f, work)
    ito = (model.depth - 1.0) * model.kappa / model.beta
    epsilon = splat(smallest_gap(model.depth, model.beta, model.kappa, dt))
    for k in range(len(x)):
        lam_k = load(lam, k)
        curvature = power(maximum(lam_k, epsilon), model.depth - 2.0) * ito
        f_k = load(f, k) * power(lam_k, model.depth - 1.0) * model.depth + curvature
        store(f, k, with_sign(f_k, load(x, k)))


@drift.register(LogSigma)
def _drift_log(model: LogSigma, x: Lane, dt: float, f: Lane, work: Lane) -> None:
    log_y, floor, entropy, sum_z, sum_y = work[0], work[1], work[2], work[3], work[4]
    cold = model.kappa < COLD
    epsilon = smallest_gap(1.0, model.beta, model.kappa, dt)
    for k in range(len(x)):
        store(log_y, k, load(x, k) * 2.0)
        store(floor, k, splat(epsilon + LEAST_DISTANCE if cold else 2.0 * epsilon * epsilon))
        store(entropy, k, splat(0.5))
    strength = model.kappa
    if cold:
        entropic_sums(0.0, x, log_y, floor, sum_z, sum_y)
    else:
        pair_sums_deep(x, log_y, floor, entropy, sum_z, sum_y)
        strength -= 0.5  # of entropy y r_y is only one part
    for k in range(len(x)):
        sigma_k = exp(load(x, k))
        pairs = load(sum_y, k) + load(sum_z, k) * strength
        store(f, k, pairs * (1.0 / model.beta) - sigma_k * slope(model.energy, sigma_k))


@device
def log_of_pairs(c: float, deep: bool, log_y: Lane, y: Lane, x: Lane, unit: Lane) -> Lane:
    """Σ_{k>l} of c log(y_k − y_l) + (1−c) log(x_k − x_l) for ascending rows; `unit` has the sizes of typical x_k − x_l.

    Where y may underflow, `deep`, its ratios are formed from logarithms.
    """
    total = splat(0.0)
    for k in range(len(x)):
        x_k, log_y_k, unit_k = load(x, k), load(log_y, k), maximum(load(unit, k), splat(TINY))
        in_x, in_y = reciprocal(unit_k), reciprocal(maximum(load(y, k), splat(TINY)))
        product_x, product_y = splat(1.0), splat(1.0)
        exponent_x, exponent_y = splat(0.0), splat(0.0)
        for l in range(k):
            if deep:
                ratio = exp(load(log_y, l) - log_y_k)
            else:
                ratio = load(y, l) * in_y
            product_x = product_x * maximum((x_k - load(x, l)) * in_x, splat(SMALLEST_FACTOR))
            product_y = product_y * maximum(1.0 - ratio, splat(SMALLEST_FACTOR))
            if l % FACTORS == FACTORS - 1:
                product_x, exponent_x = normalised(product_x, exponent_x)
                product_y, exponent_y = normalised(product_y, exponent_y)
        row = log_of(product_y, exponent_y) * c + log_of(product_x, exponent_x) * (1.0 - c)
        total = total + row + (log_y_k * c + log(unit_k) * (1.0 - c)) * float(k)
    return total


@log_density.register(Lambda)
def _log_density_lambda(model: Lambda, x: Lane, work: Lane) -> Lane:
    log_y, y, squares = work[0], work[1], work[2]
    energy = splat(0.0)
    for k in range(len(x)):
        lam_k = absolute(load(x, k))
        sigma_k = power(lam_k, model.depth)
        store(log_y, k, log(maximum(lam_k, splat(TINY))) * (2.0 * model.depth))
        store(y, k, sigma_k * sigma_k)
        store(squares, k, lam_k * lam_k)
        energy = energy + value(model.energy, sigma_k)
    pairs = log_of_pairs(0.5 / model.kappa, model.depth > DEEP, log_y, y, squares, squares)
    return pairs - energy * (model.beta / model.kappa)


@log_density.register(LogSigma)
def _log_density_log(model: LogSigma, x: Lane, work: Lane) -> Lane:
    log_y, one = work[0], work[1]
    energy = splat(0.0)
    for k in range(len(x)):
        z_k = load(x, k)
        store(log_y, k, z_k * 2.0)
        store(one, k, splat(1.0))
        energy = energy + value(model.energy, exp(z_k))
    pairs = log_of_pairs(0.5 / model.kappa, True, log_y, one, x, one)
    return pairs - energy * (model.beta / model.kappa)


@noise.register(Lambda)
def _noise_lambda(model: Lambda, x_i: Lane) -> Lane:
    return splat(math.sqrt(2.0 * model.kappa / (model.beta * model.depth)))


@noise.register(Sigma)
def _noise_sigma(model: Sigma, x_i: Lane) -> Lane:
    scale = math.sqrt(2.0 * model.kappa * model.depth / model.beta)
    return power(absolute(x_i), 1.0 - 1.0 / model.depth) * scale


@noise.register(LogSigma)
def _noise_log(model: LogSigma, x_i: Lane) -> Lane:
    return splat(math.sqrt(2.0 * model.kappa / model.beta))


@noise_slope.register(Lambda)
@noise_slope.register(LogSigma)
def _noise_slope_additive(model: Any, x_i: Lane) -> Lane:
    return splat(0.0)


@noise_slope.register(Sigma)
def _noise_slope_sigma(model: Sigma, x_i: Lane) -> Lane:
    scale = 2.0 * model.kappa / model.beta * (model.depth - 1.0)
    return with_sign(power(absolute(x_i), 1.0 - 2.0 / model.depth), x_i) * scale


@rank_key.register(Lambda)
@rank_key.register(Sigma)
def _rank_key_signed(model: Any, x_i: Lane) -> Lane:
    return absolute(x_i)


@rank_key.register(LogSigma)
def _rank_key_log(model: LogSigma, x_i: Lane) -> Lane:
    return x_i


@observed.register(Lambda)
def _observed_lambda(model: Lambda, x_i: Lane) -> Lane:
    return power(absolute(x_i), model.depth)


@observed.register(Sigma)
def _observed_sigma(model: Sigma, x_i: Lane) -> Lane:
    return absolute(x_i)


@observed.register(LogSigma)
def _observed_log(model: LogSigma, x_i: Lane) -> Lane:
    return exp(x_i)


@too_close.register(Lambda)
def _too_close_lambda(model: Lambda, x_i: Lane, x_j: Lane, dt: float) -> Lane:
    gap = absolute(absolute(x_i) - absolute(x_j))
    return gap < smallest_gap(model.depth, model.beta, model.kappa, dt)


@too_close.register(Sigma)
def _too_close_sigma(model: Sigma, x_i: Lane, x_j: Lane, dt: float) -> Lane:
    lam_i, lam_j = power(absolute(x_i), 1.0 / model.depth), power(absolute(x_j), 1.0 / model.depth)
    return absolute(lam_i - lam_j) < smallest_gap(model.depth, model.beta, model.kappa, dt)


@too_close.register(LogSigma)
def _too_close_log(model: LogSigma, x_i: Lane, x_j: Lane, dt: float) -> Lane:
    return absolute(x_i - x_j) < smallest_gap(1.0, model.beta, model.kappa, dt)
