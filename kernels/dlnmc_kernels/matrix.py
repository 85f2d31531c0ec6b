"""The Riemannian Langevin equation on whole matrices, Menon (12.12) with Theorem 18.

With the singular value decomposition W = uᵀ diag(σ) v, x = σ^{2/N} and y = σ², in the frame of u and v,

    u dW vᵀ = [ −a ∘ (u E'(W) vᵀ) + diag(Σ' + κ Σ'')/β ] dt + √(2κ/β) √a ∘ (u dB vᵀ),
    a_kl = (y_k − y_l)/(x_k − x_l),   a_kk = N σ_k^{2−2/N},
    Σ'_k = N σ_k^{1−2/N} Σ_l x_k ∂_{x_k} log a_kl / N,   Σ''_k = (N−1) σ_k^{1−2/N}.

At infinite depth time is divided by 1/N: a_kl = (y_k − y_l)/(log y_k − log y_l), a_kk = y_k, Σ'' = Σ. All of it is
smooth through equal singular values, and A^{1/2}(dB) = uᵀ(√a ∘ (u dB vᵀ))v does not depend on the choice of u and v.
"""

import math
from typing import Any, NamedTuple

from dlnmc_kernels.dispatch import explicit_step, prepare, pull, read_values, settle
from dlnmc_kernels.elementary import exp, log, power
from dlnmc_kernels.jit import device
from dlnmc_kernels.lanes import Lane, load, maximum, minimum, reciprocal, select, splat, sqrt, store
from dlnmc_kernels.linear_algebra import TOLERANCE, decompose, product, set_identity, transpose
from dlnmc_kernels.ordering import settle_rows, sort
from dlnmc_kernels.singular_values import smaller_share, smallest_gap

TINY = 1e-290
WHOLE = 24.0  # up to this depth a_kl is a sum of products
ENOUGH = 1e-4  # of cosines in a frame: what is left is about their squares, more only where singular values meet


class Matrix(NamedTuple):
    """Parameters of (12.12); the inverse depth 0 is infinite depth."""

    width: int
    inverse_depth: float
    beta: float
    kappa: float
    energy: Any


@device
def decay(u: Lane) -> Lane:
    """(1 − e^{−u})/u for u >= 0."""
    z = minimum(u, splat(0.25))
    near = splat(1.0 / 39916800.0)
    for factorial in (3628800.0, 362880.0, 40320.0, 5040.0, 720.0, 120.0, 24.0, 6.0, 2.0, 1.0):
        near = 1.0 / factorial - near * z
    beyond = maximum(u, splat(0.25))
    return select(u < 0.25, near, (1.0 - exp(-beyond)) * reciprocal(beyond))


@device
def pair(inverse_depth: float, x_k: Lane, x_l: Lane) -> tuple[Lane, Lane]:
    """a_kl, and x_k ∂_{x_k} log a_kl / N; at infinite depth x is y."""
    depth = 1.0 / inverse_depth if inverse_depth > 0.0 else math.inf
    if depth <= WHOLE and depth == math.floor(depth):
        a, slope, last = splat(1.0), splat(0.0), splat(1.0)
        for _ in range(int(depth) - 1):
            last = last * x_l
            slope = slope * x_k + a
            a = a * x_k + last
        return a, slope * x_k * reciprocal(maximum(a, splat(TINY))) * inverse_depth
    larger, smaller = maximum(maximum(x_k, x_l), splat(TINY)), maximum(minimum(x_k, x_l), splat(TINY))
    u = log(larger) - log(smaller)
    share = smaller_share(inverse_depth, u if inverse_depth == 0.0 else u * depth)
    share = select(x_k < x_l, share, (1.0 - inverse_depth) - share)
    if inverse_depth == 0.0:
        return larger * decay(u), share
    return power(larger, depth - 1.0) * decay(u * depth) * reciprocal(decay(u)) * depth, share


@prepare.register(Matrix)
def _prepare(model: Matrix, x: Lane, memory: Lane) -> None:
    set_identity(memory, model.width)


@explicit_step.register(Matrix)
def _explicit_step(model: Matrix, x: Lane, z: Lane, dt: float, proposal: Lane, memory: Lane, work: Lane) -> None:
    d, inverse_depth = model.width, model.inverse_depth
    u, v, frame, noise, spare = memory[: d * d], work[0], work[1], work[2], work[3]
    sigma, x_of = work[4][:d], work[5][:d]
    decompose(x, u, v, sigma, x_of, ENOUGH)
    drift_scale, noise_scale = -dt, math.sqrt(2.0 * model.kappa * dt / model.beta)
    product(u, z, d, spare)
    transpose(v, d, frame)
    product(spare, frame, d, noise)
    pull(model.energy, x, u, v, sigma, frame, work[6], work[7])
    share = work[6]
    exponent = 2.0 if inverse_depth == 0.0 else 2.0 * inverse_depth
    for k in range(d):
        store(x_of, k, power(load(sigma, k), exponent))
        store(share, k, splat(0.0))
    for k in range(d):
        for l in range(k):
            a, of_k = pair(inverse_depth, load(x_of, k), load(x_of, l))
            root = sqrt(a) * noise_scale
            for i in (k * d + l, l * d + k):
                store(frame, i, load(frame, i) * a * drift_scale + load(noise, i) * root)
            store(share, k, load(share, k) + of_k)
            store(share, l, load(share, l) + ((1.0 - inverse_depth) - of_k))
    depth = 1.0 / inverse_depth if inverse_depth > 0.0 else 1.0
    least = splat(TINY)
    if inverse_depth > 0.0:
        least = splat(max(smallest_gap(depth, model.beta, model.kappa, dt), TINY) ** depth)
    for k in range(d):
        sigma_k, i = load(sigma, k), k * d + k
        a = power(sigma_k, 2.0 - 2.0 * inverse_depth) * depth
        curvature = power(maximum(sigma_k, least), 1.0 - 2.0 * inverse_depth) * depth
        forced = (load(share, k) + model.kappa * (1.0 - inverse_depth)) * (dt / model.beta) * curvature
        store(frame, i, load(frame, i) * a * drift_scale + load(noise, i) * sqrt(a) * noise_scale + forced)
    product(frame, v, d, spare)
    transpose(u, d, frame)
    product(frame, spare, d, proposal)
    for i in range(d * d):
        store(proposal, i, load(proposal, i) + load(x, i))


settle.register(Matrix)(settle_rows)


@read_values.register(Matrix)
def _read_values(
    model: Matrix, scheme: Any, x: Lane, z: Lane, dt: float, memory: Lane, values: Lane, work: Lane
) -> None:
    d = model.width
    u = work[1]
    for i in range(d * d):
        store(u, i, load(memory, i))
    decompose(x, u, work[0], values, work[2][:d], TOLERANCE)
    sort(values)
