"""The flow without noise, κ = 0, on whole matrices and on networks.

Downstairs, on W with the singular value decomposition W = uᵀ diag(σ) v and λ = σ^{1/N}, it is Ẇ = −grad F_β, Menon
(12.12) at κ = 0; at β = ∞ (4.11), at infinite depth (14.5):

    u Ẇ vᵀ = −a ∘ (u E'(W) vᵀ) + diag(Σ')/β,   Σ'_k = N σ_k^{1−2/N} Σ_l h_kl,   h_kl = x_k ∂ log a_kl/∂x_k / N,
    a_kl = (σ_k² − σ_l²)/(x_k − x_l),   x = λ²,   a_kk = N σ_k^{2−2/N}.

Upstairs it is the gradient flow (3.4) on the factors of a network, balanced or not, at β = ∞:

    Ẇ_p = −(W_N … W_{p+1})ᵀ E'(W) (W_{p−1} … W_1)ᵀ.
"""

import math
from typing import Any, NamedTuple

from dlnmc_kernels.dispatch import looks_at_matrix, prepare, pull, read_values, settle, velocity
from dlnmc_kernels.elementary import power
from dlnmc_kernels.jit import device
from dlnmc_kernels.lanes import Lane, load, maximum, splat, store
from dlnmc_kernels.linear_algebra import TOLERANCE, decompose, product, set_identity, transpose
from dlnmc_kernels.matrix import pair
from dlnmc_kernels.network import nth
from dlnmc_kernels.ordering import settle_rows, sort

ENOUGH = 1e-8  # of cosines in a frame: what is left is about their squares
TINY = 1e-200


class MatrixFlow(NamedTuple):
    """Parameters of (12.12) at κ = 0, on the d² entries of W; depth and β may be infinite."""

    width: int
    depth: float
    beta: float
    energy: Any


class NetworkFlow(NamedTuple):
    """Parameters of (3.4), on the N d² entries of W_1 … W_N."""

    width: int
    depth: int
    energy: Any


@prepare.register(MatrixFlow)
@prepare.register(NetworkFlow)
def _prepare(model: Any, x: Lane, memory: Lane) -> None:
    set_identity(memory, model.width)


settle.register(MatrixFlow)(settle_rows)
settle.register(NetworkFlow)(settle_rows)


@velocity.register(MatrixFlow)
def _velocity_of_matrix(model: MatrixFlow, x: Lane, f: Lane, memory: Lane, work: Lane) -> None:
    d, depth, deepest = model.width, model.depth, math.isinf(model.depth)
    u, v, frame, spare = memory[: d * d], work[0], work[1], work[2]
    sigma, x_of, share = work[3][:d], work[4][:d], work[5][:d]
    decompose(x, u, v, sigma, x_of, ENOUGH)
    pull(model.energy, x, u, v, sigma, frame, work[6], work[7])
    for k in range(d):
        store(x_of, k, power(load(sigma, k), 2.0 if deepest else 2.0 / depth))
        store(share, k, splat(0.0))
    for k in range(d):
        for l in range(k):
            a, of_k = pair(depth, load(x_of, k), load(x_of, l))
            for i in (k * d + l, l * d + k):
                store(frame, i, load(frame, i) * a * -1.0)
            store(share, k, load(share, k) + of_k)
            store(share, l, load(share, l) + ((1.0 - 1.0 / depth) - of_k))
    factor = 1.0 if deepest else depth
    for k in range(d):
        sigma_k, i = load(sigma, k), k * d + k
        a = power(sigma_k, 2.0 - 2.0 / depth) * factor
        entropic = power(maximum(sigma_k, splat(TINY)), 1.0 - 2.0 / depth) * load(share, k) * (factor / model.beta)
        store(frame, i, entropic - load(frame, i) * a)
    product(frame, v, d, spare)
    transpose(u, d, frame)
    product(frame, spare, d, f)


@device
def energy_gradient(model: NetworkFlow, W: Lane, G: Lane, memory: Lane, work: Lane) -> None:
    """E'(W) to `G`, with six rows of `work`."""
    d = model.width
    n = d * d
    u, v, frame, spare, more, sigma = memory[:n], work[0][:n], work[1][:n], work[2][:n], work[3][:n], work[4][:d]
    if looks_at_matrix(model.energy):  # then any frames will do
        set_identity(v, d)
        pull(model.energy, W, v, v, sigma, G, spare, more)
    else:
        decompose(W, u, v, sigma, work[5][:d], ENOUGH)
        pull(model.energy, W, u, v, sigma, frame, spare, more)
        product(frame, v, d, spare)
        transpose(u, d, more)
        product(more, spare, d, G)


@device
def partial_products(model: NetworkFlow, x: Lane, R: Lane) -> None:
    """W_p … W_1, p = 1 … N, to `R`."""
    d = model.width
    for i in range(d * d):
        store(R, i, load(x, i))
    for p in range(1, model.depth):
        product(x[nth(p, d)], R[nth(p - 1, d)], d, R[nth(p, d)])


@velocity.register(NetworkFlow)
def _velocity_of_network(model: NetworkFlow, x: Lane, f: Lane, memory: Lane, work: Lane) -> None:
    d, N = model.width, model.depth
    R, S, turned, spare = work[6], work[7][: d * d], work[8][: d * d], work[9][: d * d]
    partial_products(model, x, R)
    energy_gradient(model, R[nth(N - 1, d)], S, memory, work)
    for p in range(N - 1, -1, -1):  # S is (W_N … W_{p+2})ᵀ E'(W), as p counts from 0
        f_p = f[nth(p, d)]
        if p > 0:
            transpose(R[nth(p - 1, d)], d, turned)
            product(S, turned, d, f_p)
            transpose(x[nth(p, d)], d, turned)
            product(turned, S, d, spare)
        for i in range(d * d):
            store(f_p, i, load(f_p if p > 0 else S, i) * -1.0)
            store(S, i, load(spare, i))


@device
def singular_values(W: Lane, u: Lane, v: Lane, values: Lane, norms: Lane) -> None:
    """The singular values of W, ascending; `u` is a guess of its frame, which is lost."""
    decompose(W, u, v, values, norms, TOLERANCE)
    sort(values)


@read_values.register(MatrixFlow)
def _read_values_of_matrix(
    model: MatrixFlow, scheme: Any, x: Lane, z: Lane, dt: float, memory: Lane, values: Lane, work: Lane
) -> None:
    for i in range(model.width * model.width):
        store(work[1], i, load(memory, i))
    singular_values(x, work[1], work[0], values, work[2][: model.width])


@read_values.register(NetworkFlow)
def _read_values_of_network(
    model: NetworkFlow, scheme: Any, x: Lane, z: Lane, dt: float, memory: Lane, values: Lane, work: Lane
) -> None:
    d = model.width
    partial_products(model, x, work[3])
    set_identity(work[1], d)
    singular_values(work[3][nth(model.depth - 1, d)], work[1][: d * d], work[0][: d * d], values, work[2][:d])
