"""The Riemannian Langevin equation on whole matrices, Menon (12.12) with Theorem 18.

With the singular value decomposition W = uᵀ diag(σ) v, λ = σ^{1/N}, in the frame of u and v,

    u dW vᵀ = [ −a ∘ (u E'(W) vᵀ) + diag(Σ' + κ Σ'')/β ] dt + √(2κ/β) √a ∘ (u dB vᵀ),
    a_kl = (σ_k² − σ_l²)/(λ_k² − λ_l²),   a_kk = N λ_k^{2N−2},
    Σ'_k = λ_k^{N−1} ∂S/∂λ_k,   S = ½ Σ_{k<l} log a_kl,   Σ''_k = (N−1) λ_k^{N−2},

and at infinite depth, with time divided by 1/N (14.6), λ^N is replaced by e^z, z = log σ.

Steps of W itself come too rarely near det W = 0, where a singular value λ^N hardly moves while λ does. So a state is
u, v and the level λ (or z), and a step moves it to

    W' = uᵀ R (Λ + m)^N R v,   m symmetric, R = e^ω but for terms of third order,

where the symmetric part of u dW vᵀ makes m and the antisymmetric one ω: with f = λ^N, f_kl = (σ_k − σ_l)/(λ_k − λ_l),
the divided difference, and s = λ_k + λ_l (2 at infinite depth),

    u dW vᵀ = f_kl m_kl + (σ_k + σ_l) ω_kl,   a_kl = f_kl (σ_k + σ_l)/s ,

all of it smooth where singular values meet. By Itô's formula m_kk has the drift of λ_k but for the repulsion, which the
eigenvalues of Λ + m have by themselves, and Σ'' is that of f:

    −λ_k^{N−1} (u E' vᵀ)_kk + (1/(βN)) ∂S/∂λ_k + (κ/β) Σ_l (1 − 2 h_kl)/s ,   h_kl = λ_k ∂ log f_kl/∂λ_k / N .

Eigenvalues of Λ + m may be negative: λ is their modulus. det W changes sign with them at odd N, as it does for networks
(the product of N factors), never at even N, and at depths between it is let change too. At depth 1, where a = 1, W is
moved itself and decomposed.
"""

import math
from typing import Any, NamedTuple

from dlnmc_kernels.dispatch import explicit_step, looks_at_matrix, normals_per_step, pull, read_values, settle
from dlnmc_kernels.elementary import exp, log, power
from dlnmc_kernels.jit import device
from dlnmc_kernels.lanes import (
    Lane,
    absolute,
    load,
    maximum,
    minimum,
    reciprocal,
    reciprocal_root,
    select,
    splat,
    store,
)
from dlnmc_kernels.linear_algebra import (
    TOLERANCE,
    decompose,
    diagonalise,
    dot,
    make_unit,
    product,
    rotation_by,
    set_identity,
    transpose,
)
from dlnmc_kernels.ordering import settle_rows, sort
from dlnmc_kernels.singular_values import smaller_share, smallest_gap

TINY = 1e-290
LEAST = 1e-140  # of levels that are divided by
ENOUGH = 1e-7  # of angles of the eigenvectors of Λ + m: what is left is about their squares
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
def whole_power(x: Lane, n: int) -> Lane:
    """xⁿ for a whole n >= 0."""
    result = splat(1.0)
    for _ in range(n):
        result = result * x
    return result


@device
def raised(x: Lane, depth: float) -> Lane:
    """x^N for x >= 0."""
    return whole_power(x, int(depth)) if is_whole(depth) else power(x, depth)


@device
def is_whole(depth: float) -> bool:
    """Whether divided differences are sums of products."""
    return depth <= WHOLE and depth == math.floor(depth)


@device
def divided(depth: float, k: Lane, l: Lane) -> tuple[Lane, Lane]:
    """The divided difference f of x^N, and k ∂f/∂k / N, at whole depths: f = Σ k^{N−1−s} l^s."""
    f, slope, last = splat(1.0), splat(0.0), splat(1.0)
    for _ in range(int(depth) - 1):
        last = last * l
        slope = slope * k + f
        f = f * k + last
    return f, slope * k * (1.0 / depth)


@device
def pair(depth: float, x_k: Lane, x_l: Lane) -> tuple[Lane, Lane]:
    """The divided difference a of x^N, and x_k ∂_{x_k} log a / N; at infinite depth x is x^N, and a that of its log."""
    if is_whole(depth):
        a, rise = divided(depth, x_k, x_l)
        return a, rise * reciprocal(maximum(a, splat(TINY)))
    inverse_depth = 1.0 / depth
    larger, smaller = maximum(maximum(x_k, x_l), splat(TINY)), maximum(minimum(x_k, x_l), splat(TINY))
    u = log(larger) - log(smaller)
    share = smaller_share(inverse_depth, u if math.isinf(depth) else u * depth)
    share = select(x_k < x_l, share, (1.0 - inverse_depth) - share)
    if math.isinf(depth):
        return larger * decay(u), share
    return power(larger, depth - 1.0) * decay(u * depth) * reciprocal(decay(u)) * depth, share


@device
def scaled_pair(depth: float, k: Lane, l: Lane) -> tuple[Lane, Lane, Lane, Lane]:
    """For k, l <= 1, one of them 1: f, k ∂f/∂k / N, k^N and l^N; at infinite depth k and l are such powers."""
    if is_whole(depth):
        f, rise = divided(depth, k, l)
        smaller = raised(minimum(k, l), depth)
        return f, rise, select(k < l, smaller, splat(1.0)), select(k < l, splat(1.0), smaller)
    f, share = pair(depth, k, l)
    if math.isinf(depth):
        return f, share * f, k, l
    return f, share * f, raised(k, depth), raised(l, depth)


@normals_per_step.register(Matrix)
def _normals_per_step(model: Matrix, size: int) -> int:
    return model.width * model.width


@device
def sigma_of(model: Matrix, level: Lane) -> Lane:
    """The singular value of a level, λ or log σ."""
    return exp(level) if math.isinf(model.depth) else raised(level, model.depth)


@device
def tangent(
    model: Matrix, level: Lane, sigma: Lane, z: Lane, G: Lane, dt: float, m: Lane, omega: Lane, work: Lane, more: Lane
) -> None:
    """Λ + m and ω for the noise z and the force G, both in the frame.

    Levels are not taken for less than a fraction of their noise in a step, where they are divided by.
    """
    d, depth, deepest = model.width, model.depth, math.isinf(model.depth)
    inverse_depth = 1.0 / depth
    base, inverse, force, drift = work[:d], work[d : 2 * d], more[:d], more[d : 2 * d]
    least = splat(max(smallest_gap(1.0 if deepest else depth, model.beta, model.kappa, dt), LEAST))
    half_noise = 0.5 * math.sqrt(2.0 * model.kappa * dt / model.beta)
    entropy, repulsion = dt / model.beta, model.kappa * dt / model.beta
    for k in range(d):
        store(drift, k, splat(0.0))
        if deepest:
            store(base, k, maximum(load(sigma, k), splat(LEAST)))
            store(force, k, load(sigma, k))
        else:
            store(base, k, maximum(load(level, k), least))
            store(force, k, raised(load(level, k), depth - 1.0))
        store(inverse, k, reciprocal(load(base, k)))
    for k in range(d):
        for l in range(k):
            i, j = k * d + l, l * d + k
            scale = minimum(load(inverse, k), load(inverse, l))
            k_1, l_1 = load(base, k) * scale, load(base, l) * scale
            f, rise, k_N, l_N = scaled_pair(depth, k_1, l_1)
            s, t = splat(2.0) if deepest else k_1 + l_1, k_N + l_N
            root = reciprocal_root(f * s * t)
            r = root * root
            one_over_s = r * f * t
            own = k_1 * one_over_s * inverse_depth
            if not deepest:
                one_over_s = one_over_s * scale
            symmetric, odd = load(G, i) + load(G, j), load(G, i) - load(G, j)
            m_kl = (load(z, i) + load(z, j)) * (t * root * half_noise)
            m_kl = m_kl - symmetric * (load(sigma, k) + load(sigma, l)) * one_over_s * (0.5 * dt)
            omega_kl = (load(z, i) - load(z, j)) * (f * s * root * one_over_s * half_noise)
            omega_kl = omega_kl - odd * (f * maximum(load(force, k), load(force, l))) * one_over_s * (0.5 * dt)
            store(m, i, m_kl)
            store(m, j, m_kl)
            store(omega, i, omega_kl)
            store(omega, j, -omega_kl)
            h = rise * (r * s * t)
            share = (h + k_N * (r * f * s) - own) * 0.5
            share_l = (1.0 - inverse_depth) - share
            if not deepest:
                share, share_l = share * load(inverse, k), share_l * load(inverse, l)
            apart, turned = one_over_s * repulsion, h * 2.0
            store(drift, k, load(drift, k) + share * entropy + (1.0 - turned) * apart)
            store(drift, l, load(drift, l) + share_l * entropy + (turned + (2.0 * inverse_depth - 1.0)) * apart)
    noise = 2.0 * half_noise * (1.0 if deepest else math.sqrt(inverse_depth))
    for k in range(d):
        i = k * d + k
        store(omega, i, splat(0.0))
        own_force = load(force, k) * load(G, i) * dt
        store(m, i, load(level, k) + load(drift, k) + load(z, i) * noise - own_force)


@device
def flat_step(model: Matrix, sigma: Lane, z: Lane, G: Lane, dt: float, m: Lane) -> None:
    """Σ + u dW vᵀ at depth 1, where the metric is flat and noise is that of Brownian motion whatever the step."""
    d = model.width
    noise = math.sqrt(2.0 * model.kappa * dt / model.beta)
    for i in range(d * d):
        store(m, i, load(z, i) * noise - load(G, i) * dt)
    for k in range(d):
        store(m, k * d + k, load(m, k * d + k) + load(sigma, k))


@explicit_step.register(Matrix)
def _explicit_step(model: Matrix, x: Lane, z: Lane, dt: float, proposal: Lane, memory: Lane, work: Lane) -> None:
    d = model.width
    n = d * d
    v, u, level = x[:n], x[n : 2 * n], x[2 * n :]
    new_v, new_u, new_level = proposal[:n], proposal[n : 2 * n], proposal[2 * n :]
    sigma, W, G, m, omega = work[0][:d], work[1], work[2], work[3], work[4]
    R, r, spare, turned, noise = work[5], work[6], work[7], work[8], work[9]
    for k in range(d):
        store(sigma, k, sigma_of(model, load(level, k)))
    if looks_at_matrix(model.energy):
        for k in range(d):
            for j in range(d):
                store(spare, k * d + j, load(sigma, k) * load(v, k * d + j))
        transpose(u, d, turned)
        product(turned, spare, d, W)
    pull(model.energy, W, u, v, sigma, G, spare, turned)
    product(u, z, d, spare)
    transpose(v, d, turned)
    product(spare, turned, d, noise)
    if model.depth == 1.0:
        flat_step(model, sigma, noise, G, dt, m)
        set_identity(r, d)
        decompose(m, r[:n], R[:n], new_level, sigma, TOLERANCE)
        product(R, v, d, new_v)
        product(r, u, d, new_u)
    else:
        tangent(model, level, sigma, noise, G, dt, m, omega, R, r)
        rotation_by(omega, d, R)
        diagonalise(m, r, new_level, sigma, ENOUGH)
        product(r, R, d, spare)
        product(spare, v, d, new_v)
        transpose(R, d, turned)
        product(r, turned, d, spare)
        product(spare, u, d, new_u)
    for k in range(d):
        make_unit(new_v, k, d, dot(new_v, k, new_v, k, d))
        make_unit(new_u, k, d, dot(new_u, k, new_u, k, d))
    if not math.isinf(model.depth):
        reflect(model, new_level, new_u)


@device
def reflect(model: Matrix, level: Lane, u: Lane) -> None:
    """Make levels positive, and take the sign of λ^N to the frame, unless N is even."""
    d = model.width
    for k in range(d):
        if model.depth % 2.0 != 0.0:
            flip = select(load(level, k) < 0.0, splat(-1.0), splat(1.0))
            for j in range(d):
                store(u, k * d + j, load(u, k * d + j) * flip)
        store(level, k, absolute(load(level, k)))


settle.register(Matrix)(settle_rows)


@read_values.register(Matrix)
def _read_values(
    model: Matrix, scheme: Any, x: Lane, z: Lane, dt: float, memory: Lane, values: Lane, work: Lane
) -> None:
    for k in range(model.width):
        store(values, k, sigma_of(model, load(x, 2 * model.width * model.width + k)))
    sort(values)
