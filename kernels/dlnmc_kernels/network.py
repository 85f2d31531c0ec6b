"""The Riemannian Langevin equation on the balanced variety, Menon (12.11), with noise split in gauge and observable.

A balanced network is W_p = Q_p Λ Q_{p−1}ᵀ, p = 1 … N. A state holds f_p = Q_pᵀ, p = 0 … N, row by row, and then Λ >= 0.
In the frame of Q_p and Q_{p−1} a step of W_p is a matrix B_p, a normal vector of the tangent space:

    horizontal, all that moves W:   B_p[k,l] = λ_k^{N−p} λ_l^{p−1} z_kl / √a_kl,   a_kl = Σ_p λ_k^{2(N−p)} λ_l^{2(p−1)},
    vertical, what leaves W alone:  B_p[k,l] = ω_p λ_l − λ_k ω_{p−1},  B_p[l,k] = λ_l ω_{p−1} − ω_p λ_k,  ω_0 = ω_N = 0,

where the covariance of ω is the inverse of T, tridiagonal, 2(λ_k² + λ_l²) beside −2λ_kλ_l. Their variances are 2κ/β
and 2/β in a unit of time, and the force is −λ_k^{N−p} (Q_Nᵀ E'(W) Q_0)[k,l] λ_l^{p−1}. The step ends on the variety
again, at O_p S O_{p−1}ᵀ with S symmetric and O_p orthogonal, off Λ + B in normal directions but for terms of third
order: so the curvature of the variety gives the entropic drift, and no singularity occurs where singular values meet.
"""

import math
from typing import Any, NamedTuple

from dlnmc_kernels.dispatch import explicit_step, looks_at_matrix, normals_per_step, pull, read_values, settle
from dlnmc_kernels.jit import device
from dlnmc_kernels.lanes import Lane, absolute, load, maximum, reciprocal, select, splat, sqrt, store
from dlnmc_kernels.linear_algebra import diagonalise, dot, make_unit, product, rotation_by, transpose
from dlnmc_kernels.matrix import ENOUGH, whole_power
from dlnmc_kernels.ordering import settle_rows, sort

TINY = 1e-140


class Network(NamedTuple):
    """Parameters of (12.11)."""

    width: int
    depth: int
    beta: float
    kappa: float
    energy: Any


@normals_per_step.register(Network)
def _normals_per_step(model: Network, size: int) -> int:
    d = model.width
    return d * d + (model.depth - 1) * (d * (d - 1) // 2)


@device
def nth(p: int, d: int) -> slice:
    """The rows of matrix p of several that follow each other."""
    return slice(p * d * d, (p + 1) * d * d)


@device
def in_frames(model: Network, x: Lane, z: Lane, Z: Lane, spare: Lane, turned: Lane) -> None:
    """The normals of a step, which are those of fixed frames, in those of x: Q_Nᵀ z Q_0, and Q_pᵀ ζ_p Q_p, p = 1 … N−1.

    So they depend continuously on the state also where λ meet, and steps of different lengths may share them.
    """
    d, N = model.width, model.depth
    product(x[nth(N, d)], z, d, spare)
    transpose(x[nth(0, d)], d, turned)
    product(spare, turned, d, Z)
    slot = d * d
    for p in range(1, N):
        own, f = Z[nth(p, d)], x[nth(p, d)]
        for k in range(d):
            store(own, k * d + k, splat(0.0))
            for l in range(k):
                store(own, k * d + l, load(z, slot))
                store(own, l * d + k, -load(z, slot))
                slot += 1
        product(f, own, d, spare)
        transpose(f, d, turned)
        product(spare, turned, d, own)


@device
def shares(N: int, lam_k: Lane, lam_l: Lane, column: Lane) -> Lane:
    """Write t_p = λ_k^{N−p} λ_l^{p−1}/λ^{N−1}, λ the larger of the two, to row p of `column`; return 1/√Σ t_p²."""
    larger = maximum(lam_k, lam_l)
    scale = reciprocal(maximum(larger, splat(TINY)))
    k = select(larger > TINY, lam_k * scale, splat(1.0))
    l = select(larger > TINY, lam_l * scale, splat(1.0))
    t, total = splat(1.0), splat(0.0)
    for p in range(1, N + 1):
        store(column, p, t)
        t = t * l
    t = splat(1.0)
    for p in range(N, 0, -1):
        t_p = load(column, p) * t
        store(column, p, t_p)
        total = total + t_p * t_p
        t = t * k
    return reciprocal(sqrt(total))


@device
def tangent(model: Network, lam: Lane, Z: Lane, G: Lane, dt: float, B: Lane, column: Lane) -> None:
    """The step B_p, p = 1 … N, in the frame: noise of Z, and the force of G = Q_Nᵀ E' Q_0."""
    d, N = model.width, model.depth
    n = d * d
    loud, quiet = math.sqrt(2.0 * dt / model.beta), math.sqrt(2.0 * model.kappa * dt / model.beta)
    for k in range(d):
        for l in range(k + 1):
            lam_k, lam_l = load(lam, k), load(lam, l)
            i, j = k * d + l, l * d + k
            inverse = shares(N, lam_k, lam_l, column)
            reach = whole_power(maximum(lam_k, lam_l), N - 1) * dt
            along_i = load(Z, i) * inverse * quiet - load(G, i) * reach
            along_j = load(Z, j) * inverse * quiet - load(G, j) * reach
            for p in range(1, N + 1):
                store(B, (p - 1) * n + i, along_i * load(column, p))
                store(B, (p - 1) * n + j, along_j * load(column, N + 1 - p))
            if k == l:
                continue
            factorise(N - 1, lam_k, lam_l, False, column)
            after = splat(0.0)  # ω_p, from Lᵀ ω = z
            for p in range(N, 0, -1):
                omega = splat(0.0)
                if p > 1:
                    z = load(Z, (p - 1) * n + i)
                    omega = (z - load(column, 2 * p - 1) * after) * load(column, 2 * p - 2)
                to_i, to_j = (p - 1) * n + i, (p - 1) * n + j
                store(B, to_i, load(B, to_i) + (after * lam_l - lam_k * omega) * loud)
                store(B, to_j, load(B, to_j) + (lam_l * omega - after * lam_k) * loud)
                after = omega


@device
def factorise(n: int, lam_k: Lane, lam_l: Lane, open_end: bool, column: Lane) -> None:
    """T = L Lᵀ for rates ω_1 … ω_n: 1/L_pp in row 2p of `column`, L_{p+1,p} in row 2p + 1.

    With an open end ω_n belongs to the last frame, which only one factor sees.
    """
    diagonal, beside = (lam_k * lam_k + lam_l * lam_l) * 2.0, lam_k * lam_l * -2.0
    before = splat(0.0)
    for p in range(1, n + 1):
        own = diagonal * 0.5 if open_end and p == n else diagonal
        inverse = reciprocal(sqrt(maximum(own - before * before, splat(TINY))))
        before = beside * inverse
        store(column, 2 * p, inverse)
        store(column, 2 * p + 1, before)


@device
def solve(n: int, column: Lane, b: int) -> None:
    """Solve T u = r in place, for r_1 … r_n in the rows b + 1 … of `column`, where its factors are."""
    for p in range(1, n + 1):
        r = load(column, b + p)
        if p > 1:
            r = r - load(column, 2 * p - 1) * load(column, b + p - 1)
        store(column, b + p, r * load(column, 2 * p))
    for p in range(n, 0, -1):
        r = load(column, b + p)
        if p < n:
            r = r - load(column, 2 * p + 1) * load(column, b + p + 1)
        store(column, b + p, r * load(column, 2 * p))


@device
def resolve(model: Network, lam: Lane, B: Lane, sign: float, omega: Lane, S: Lane, column: Lane) -> None:
    """Add to S and ω_1 … ω_N, times `sign`, what makes S + ω_p Λ − Λ ω_{p−1}, ω_0 = 0, come nearest to B_p."""
    d, N = model.width, model.depth
    first, second = 2 * (N + 1), 3 * (N + 1)
    for k in range(d):
        mean = splat(0.0)
        for p in range(N):
            mean = mean + load(B, p * d * d + k * d + k)
        store(S, k * d + k, load(S, k * d + k) + mean * (sign / N))
        for l in range(k):
            lam_k, lam_l = load(lam, k), load(lam, l)
            factorise(N, lam_k, lam_l, True, column)
            apart, total = lam_l - lam_k, splat(0.0)
            for p in range(1, N + 1):
                i, j = (p - 1) * d * d + k * d + l, (p - 1) * d * d + l * d + k
                b, c = load(B, i), load(B, j)
                total = total + (b + c)
                right = lam_l * b - lam_k * c
                if p < N:
                    right = right + lam_l * load(B, j + d * d) - lam_k * load(B, i + d * d)
                store(column, first + p, right)
                store(column, second + p, apart * 2.0 if p < N else apart)
            solve(N, column, first)
            solve(N, column, second)
            pivot = splat(2.0 * N)
            for p in range(1, N + 1):
                g = apart * 2.0 if p < N else apart
                total = total - g * load(column, first + p)
                pivot = pivot - g * load(column, second + p)
            s = total * reciprocal(pivot)
            for i in (k * d + l, l * d + k):
                store(S, i, load(S, i) + s * sign)
            for p in range(1, N + 1):
                rate = (load(column, first + p) - s * load(column, second + p)) * sign
                i, j = (p - 1) * d * d + k * d + l, (p - 1) * d * d + l * d + k
                store(omega, i, load(omega, i) + rate)
                store(omega, j, load(omega, j) - rate)


@device
def deviation(model: Network, lam: Lane, S: Lane, O: Lane, B: Lane, spare: Lane) -> None:
    """O_p S O_{p−1}ᵀ − Λ − B_p, in the place of B_p."""
    d = model.width
    for p in range(model.depth):
        b = B[nth(p, d)]
        product(O[nth(p, d)], S, d, spare)
        if p > 0:
            for i in range(d):
                for j in range(d):
                    store(b, i * d + j, dot(spare, i, O[nth(p - 1, d)], j, d) - load(b, i * d + j))
        else:
            for i in range(d * d):
                store(b, i, load(spare, i) - load(b, i))
        for k in range(d):
            store(b, k * d + k, load(b, k * d + k) - load(lam, k))


@device
def end_to_end(model: Network, x: Lane, sigma: Lane, w: Lane, spare: Lane, turned: Lane) -> None:
    """Write λ^N to `sigma`, and W = Q_N Λ^N Q_0ᵀ to `w` if the energy looks at it."""
    d, N = model.width, model.depth
    lam = x[(N + 1) * d * d :]
    for k in range(d):
        store(sigma, k, whole_power(load(lam, k), N))
    if looks_at_matrix(model.energy):
        for k in range(d):
            for j in range(d):
                store(spare, k * d + j, load(sigma, k) * load(x, k * d + j))
        transpose(x[nth(N, d)], d, turned)
        product(turned, spare, d, w)


@explicit_step.register(Network)
def _explicit_step(model: Network, x: Lane, z: Lane, dt: float, proposal: Lane, memory: Lane, work: Lane) -> None:
    d, N = model.width, model.depth
    lam = x[(N + 1) * d * d :]
    B, omega, O, column, Z = work[0], work[1], work[2], work[8], work[9]
    S, r, spare, turned, G = work[3], work[4], work[5], work[6], work[7]
    end_to_end(model, x, S, r, spare, turned)
    pull(model.energy, r, x[nth(N, d)], x[nth(0, d)], S[:d], G, spare, turned)
    in_frames(model, x, z, Z, spare, turned)
    tangent(model, lam, Z, G, dt, B, column)
    for i in range(N * d * d):
        store(omega, i, splat(0.0))
    for i in range(d):
        for j in range(d):
            store(S, i * d + j, load(lam, i) if i == j else splat(0.0))
    resolve(model, lam, B, 1.0, omega, S, column)
    for p in range(N):
        rotation_by(omega[nth(p, d)], d, O[nth(p, d)])
    deviation(model, lam, S, O, B, spare)
    resolve(model, lam, B, -1.0, omega, S, column)
    for p in range(N):
        rotation_by(omega[nth(p, d)], d, O[nth(p, d)])
    new_lam = proposal[(N + 1) * d * d :]
    diagonalise(S, r, new_lam, column[:d], ENOUGH)
    for p in range(N + 1):
        f, new = x[nth(p, d)], proposal[nth(p, d)]
        if p == 0:
            product(r, f, d, new)
        else:
            transpose(O[nth(p - 1, d)], d, turned)
            product(turned, f, d, spare)
            product(r, spare, d, new)
        for k in range(d):
            make_unit(new, k, d, dot(new, k, new, k, d))
    for k in range(d):
        flip = select(load(new_lam, k) < 0.0, splat(-1.0), splat(1.0))
        store(new_lam, k, absolute(load(new_lam, k)))
        for p in range(1, N + 1, 2):
            for j in range(d):
                i = p * d * d + k * d + j
                store(proposal, i, load(proposal, i) * flip)


settle.register(Network)(settle_rows)


@read_values.register(Network)
def _read_values(
    model: Network, scheme: Any, x: Lane, z: Lane, dt: float, memory: Lane, values: Lane, work: Lane
) -> None:
    for k in range(model.width):
        store(values, k, whole_power(load(x, (model.depth + 1) * model.width * model.width + k), model.depth))
    sort(values)
