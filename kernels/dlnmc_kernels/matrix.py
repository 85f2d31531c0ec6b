"""The Riemannian Langevin equation on whole matrices, Menon (12.12) with Theorem 18.

With the singular value decomposition W = uᵀ diag(σ) v, λ = σ^{1/N}, in the frame of u and v,

    u dW vᵀ = [ −a ∘ (u E'(W) vᵀ) + diag(Σ' + κ Σ'')/β ] dt + √(2κ/β) √a ∘ (u dB vᵀ),
    a_kl = (σ_k² − σ_l²)/(λ_k² − λ_l²),   a_kk = N λ_k^{2N−2},
    Σ'_k = N λ_k^{N−1} ∂S/∂λ_k / N,   S = ½ Σ_{k<l} log a_kl,   Σ''_k = (N−1) λ_k^{N−2},

and at infinite depth, with time divided by 1/N (14.6), λ^N is replaced by e^z, z = log σ.

Steps of W itself come too rarely near det W = 0, where a singular value λ^N hardly moves while λ does. So a state is
u, v and the level λ (or z), and a step moves it to

    W' = uᵀ R (Λ + m)^N R v,   m symmetric, R = e^ω orthogonal,

where the symmetric part of u dW vᵀ makes m and the antisymmetric one ω: with f = λ^N, f_kl = (σ_k − σ_l)/(λ_k − λ_l),
the divided difference, and s = λ_k + λ_l (2 at infinite depth),

    u dW vᵀ = f_kl m_kl + (σ_k + σ_l) ω_kl,   a_kl = f_kl (σ_k + σ_l)/s ,

all of it smooth where singular values meet. By Itô's formula m_kk has the drift of λ_k but for the repulsion, which the
eigenvalues of Λ + m have by themselves, and Σ'' is that of f:

    −λ_k^{N−1} (u E' vᵀ)_kk + (1/(βN)) ∂S/∂λ_k + (κ/β) Σ_l (1 − 2 h_kl)/s ,   h_kl = λ_k ∂ log f_kl/∂λ_k / N .

Eigenvalues of Λ + m may be negative: λ is their modulus. det W changes sign with them at odd N, as it does for networks
(the product of N factors), never at even N, and at depths between it is let change too.
"""

import math
from typing import Any, NamedTuple

from dlnmc_kernels.dispatch import explicit_step, normals_per_step, pull, read_values, settle
from dlnmc_kernels.elementary import exp, log, power
from dlnmc_kernels.jit import device
from dlnmc_kernels.lanes import Lane, absolute, load, maximum, minimum, reciprocal, select, splat, sqrt, store
from dlnmc_kernels.linear_algebra import diagonalise, dot, exponential, make_unit, product, set_identity, transpose
from dlnmc_kernels.ordering import settle_rows, sort
from dlnmc_kernels.singular_values import smaller_share, smallest_gap

TINY = 1e-290
LEAST = 1e-140  # of levels that are divided by
WHOLE = 24.0  # up to this depth divided differences are sums of products


class Matrix(NamedTuple):
    """Parameters of (12.12); the depth may be infinite."""

    width: int
    depth: float
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
def pair(depth: float, x_k: Lane, x_l: Lane) -> tuple[Lane, Lane]:
    """The divided difference a of x^N, and x_k ∂_{x_k} log a / N; at infinite depth x is x^N, and a that of its log."""
    inverse_depth = 1.0 / depth
    if depth <= WHOLE and depth == math.floor(depth):
        a, slope, last = splat(1.0), splat(0.0), splat(1.0)
        for _ in range(int(depth) - 1):
            last = last * x_l
            slope = slope * x_k + a
            a = a * x_k + last
        return a, slope * x_k * reciprocal(maximum(a, splat(TINY))) * inverse_depth
    larger, smaller = maximum(maximum(x_k, x_l), splat(TINY)), maximum(minimum(x_k, x_l), splat(TINY))
    u = log(larger) - log(smaller)
    share = smaller_share(inverse_depth, u if math.isinf(depth) else u * depth)
    share = select(x_k < x_l, share, (1.0 - inverse_depth) - share)
    if math.isinf(depth):
        return larger * decay(u), share
    return power(larger, depth - 1.0) * decay(u * depth) * reciprocal(decay(u)) * depth, share


@normals_per_step.register(Matrix)
def _normals_per_step(model: Matrix, size: int) -> int:
    return model.width * model.width


@device
def sigma_of(model: Matrix, level: Lane) -> Lane:
    """The singular value of a level, λ or log σ."""
    return exp(level) if math.isinf(model.depth) else power(level, model.depth)


@device
def tangent(
    model: Matrix, level: Lane, sigma: Lane, z: Lane, G: Lane, dt: float, m: Lane, omega: Lane, shift: Lane
) -> None:
    """Λ + m and ω for the noise z and the force G, both in the frame."""
    d, depth, deepest = model.width, model.depth, math.isinf(model.depth)
    inverse_depth = 1.0 / depth
    noise = math.sqrt(2.0 * model.kappa * dt / model.beta)
    least = max(smallest_gap(1.0 if deepest else depth, model.beta, model.kappa, dt), LEAST)
    most = math.inf if deepest else 1.0
    entropy, repulsion = dt / model.beta, model.kappa * dt / model.beta
    for k in range(d):
        store(shift, k, splat(0.0))
        store(omega, k * d + k, splat(0.0))
    for k in range(d):
        lam_k, sigma_k = load(level, k), load(sigma, k)
        for l in range(k):
            i, j = k * d + l, l * d + k
            lam_l, sigma_l = load(level, l), load(sigma, l)
            if deepest:
                f, h = pair(depth, sigma_k, sigma_l)
                s, own = splat(2.0), splat(0.5)
                to_level_k, to_level_l = splat(1.0), splat(1.0)
            else:
                f, h = pair(depth, lam_k, lam_l)
                s = maximum(lam_k + lam_l, splat(least))
                own = lam_k * reciprocal(s)
                to_level_k = reciprocal(maximum(lam_k, splat(least)))
                to_level_l = reciprocal(maximum(lam_l, splat(least)))
            one_over_s, total = reciprocal(s), maximum(sigma_k + sigma_l, splat(TINY))
            f = maximum(f, splat(TINY))
            q = sqrt(minimum(maximum(total * reciprocal(f * s), splat(inverse_depth)), splat(most)))
            symmetric, odd = (load(G, i) + load(G, j)) * 0.5, (load(G, i) - load(G, j)) * 0.5
            m_kl = (load(z, i) + load(z, j)) * q * (0.5 * noise) - symmetric * total * one_over_s * dt
            omega_kl = (load(z, i) - load(z, j)) * reciprocal(q) * one_over_s * (0.5 * noise)
            omega_kl = omega_kl - odd * f * one_over_s * dt
            store(m, i, m_kl)
            store(m, j, m_kl)
            store(omega, i, omega_kl)
            store(omega, j, -omega_kl)
            h_l = (1.0 - inverse_depth) - h
            share = (h + sigma_k * reciprocal(total) - own * inverse_depth) * 0.5
            share_l = (1.0 - inverse_depth) - share
            apart = one_over_s * repulsion
            store(shift, k, load(shift, k) + share * to_level_k * entropy + (1.0 - h * 2.0) * apart)
            store(shift, l, load(shift, l) + share_l * to_level_l * entropy + (1.0 - h_l * 2.0) * apart)
    for k in range(d):
        i = k * d + k
        force = load(sigma, k)
        if not deepest:
            force = power(load(level, k), depth - 1.0)
        own_noise = load(z, i) * (noise if deepest else noise * math.sqrt(inverse_depth))
        store(m, i, load(level, k) + load(shift, k) + own_noise - force * load(G, i) * dt)


@explicit_step.register(Matrix)
def _explicit_step(model: Matrix, x: Lane, z: Lane, dt: float, proposal: Lane, memory: Lane, work: Lane) -> None:
    d = model.width
    n = d * d
    v, u, level = x[:n], x[n : 2 * n], x[2 * n :]
    sigma, shift = work[0][:d], work[1][:d]
    W, G, m, omega, R, r, spare, turned = work[2], work[3], work[4], work[5], work[6], work[7], work[8], work[9]
    for k in range(d):
        store(sigma, k, sigma_of(model, load(level, k)))
        for j in range(d):
            store(spare, k * d + j, load(sigma, k) * load(v, k * d + j))
    transpose(u, d, turned)
    product(turned, spare, d, W)
    pull(model.energy, W, u, v, sigma, G, spare, turned)
    product(u, z, d, spare)
    transpose(v, d, turned)
    product(spare, turned, d, W)
    tangent(model, level, sigma, W, G, dt, m, omega, shift)
    exponential(omega, d, R)
    set_identity(r, d)
    diagonalise(m, r, d)
    product(r, R, d, spare)
    product(spare, v, d, proposal[:n])
    transpose(R, d, turned)
    product(r, turned, d, spare)
    product(spare, u, d, proposal[n : 2 * n])
    crosses = model.depth % 2.0 != 0.0
    for k in range(d):
        for rows in (proposal[:n], proposal[n : 2 * n]):
            make_unit(rows, k, d, dot(rows, k, rows, k, d))
        new = load(m, k * d + k)
        if not math.isinf(model.depth):
            if crosses:
                flip = select(new < 0.0, splat(-1.0), splat(1.0))
                for j in range(d):
                    store(proposal, n + k * d + j, load(proposal, n + k * d + j) * flip)
            new = absolute(new)
        store(proposal, 2 * n + k, new)


settle.register(Matrix)(settle_rows)


@read_values.register(Matrix)
def _read_values(
    model: Matrix, scheme: Any, x: Lane, z: Lane, dt: float, memory: Lane, values: Lane, work: Lane
) -> None:
    for k in range(model.width):
        store(values, k, sigma_of(model, load(x, 2 * model.width * model.width + k)))
    sort(values)
