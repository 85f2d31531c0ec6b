"""Dyson Brownian motion upstairs, Menon (11.4) and (11.7): Hermitian matrices, noise split by isospectral orbits.

    dM = −∇L(M) dt + √(2/β) (P_M dH + √κ P_M^⊥ dH),   L(M) = Σ v(x_i),

where P_M^⊥ keeps what is diagonal in the eigenvectors of M, and P_M the rest. A matrix is two arrays of shape (d², 8)
one after the other, real and imaginary parts, row by row. H has variance t on the diagonal and t/2 in each part of what
is above it.
"""

import math
from typing import Any, NamedTuple

from dlnmc_kernels.dispatch import explicit_step, normals_per_step, prepare, read_values, settle, slope
from dlnmc_kernels.jit import device
from dlnmc_kernels.lanes import Lane, any_of, load, maximum, reciprocal, select, splat, sqrt, store
from dlnmc_kernels.linear_algebra import MOST_SWEEPS, TINY, TOLERANCE, dot, make_unit, rotation, set_identity
from dlnmc_kernels.ordering import settle_rows, sort


class Hermitian(NamedTuple):
    """Parameters of (11.7)."""

    size: int
    beta: float
    kappa: float
    energy: Any


@normals_per_step.register(Hermitian)
def _normals_per_step(model: Hermitian, size: int) -> int:
    return model.size * model.size


@prepare.register(Hermitian)
def _prepare(model: Hermitian, x: Lane, memory: Lane) -> None:
    d = model.size
    set_identity(memory[: d * d], d)
    for i in range(d * d):
        store(memory, d * d + i, splat(0.0))


@device
def mix(a: Lane, b: Lane, c: Lane, s: Lane) -> tuple[Lane, Lane]:
    """The pair c a − s b and s a + c b."""
    return c * a - s * b, s * a + c * b


@device
def rotate_phased(a: Lane, i: int, j: int, stride: int, c: Lane, s: Lane, x: Lane, y: Lane, size: int) -> None:
    """Two lines of `a`, from i and from j on, become c a_i − s w a_j and s a_i + c w a_j, with the phase w = x + iy.

    They are rows with stride 1, columns with stride `size`.
    """
    n = size * size
    for k in range(0, size * stride, stride):
        re_j, im_j = load(a, j + k), load(a, n + j + k)
        re_i, re_j, im_j = load(a, i + k), re_j * x - im_j * y, re_j * y + im_j * x
        re_i, re_j = mix(re_i, re_j, c, s)
        im_i, im_j = mix(load(a, n + i + k), im_j, c, s)
        store(a, i + k, re_i)
        store(a, j + k, re_j)
        store(a, n + i + k, im_i)
        store(a, n + j + k, im_j)


@device
def diagonalise(a: Lane, u: Lane, size: int) -> int:
    """Make a Hermitian `a` diagonal by Jacobi rotations with phases, and turn the rows of `u` along.

    Where `a` began as u M u*, it ends as the eigenvalues of M on the diagonal, with conjugate eigenvectors in the rows
    of u. Returns the number of sweeps.
    """
    n = size * size
    for sweep in range(MOST_SWEEPS):
        total = splat(0.0)
        for i in range(n):
            total = total + (load(a, i) * load(a, i) + load(a, n + i) * load(a, n + i))
        least = total * (TOLERANCE * TOLERANCE)
        rotated = False
        for p in range(size - 1):
            for q in range(p + 1, size):
                x, y = load(a, p * size + q), load(a, n + p * size + q)
                squared = x * x + y * y
                oblique = squared > least
                if any_of(oblique):
                    rotated = True
                    modulus = sqrt(maximum(squared, splat(TINY)))
                    inverse = reciprocal(modulus)
                    x, y = select(oblique, x * inverse, splat(1.0)), select(oblique, y * inverse, splat(0.0))
                    apart = load(a, q * size + q) - load(a, p * size + p)
                    _, c, s = rotation(apart, modulus, oblique)
                    rotate_phased(a, p * size, q * size, 1, c, s, x, y, size)
                    rotate_phased(a, p, q, size, c, s, x, -y, size)
                    rotate_phased(u, p * size, q * size, 1, c, s, x, y, size)
        if not rotated:
            return sweep + 1
    return MOST_SWEEPS


@device
def conjugated(m: Lane, u: Lane, size: int, out: Lane, spare: Lane) -> None:
    """The product u m u*, of which the two halves of each array are real and imaginary parts."""
    n = size * size
    for i in range(size):
        for j in range(size):
            re, im = splat(0.0), splat(0.0)
            for k in range(size):
                a, b = load(u, i * size + k), load(u, n + i * size + k)
                x, y = load(m, k * size + j), load(m, n + k * size + j)
                re, im = re + (a * x - b * y), im + (a * y + b * x)
            store(spare, i * size + j, re)
            store(spare, n + i * size + j, im)
    for i in range(size):
        for j in range(size):
            re, im = splat(0.0), splat(0.0)
            for k in range(size):
                a, b = load(spare, i * size + k), load(spare, n + i * size + k)
                x, y = load(u, j * size + k), -load(u, n + j * size + k)
                re, im = re + (a * x - b * y), im + (a * y + b * x)
            store(out, i * size + j, re)
            store(out, n + i * size + j, im)


@explicit_step.register(Hermitian)
def _explicit_step(model: Hermitian, x: Lane, z: Lane, dt: float, proposal: Lane, memory: Lane, work: Lane) -> None:
    d = model.size
    n = d * d
    a, noise = work[0], work[1]
    for k in range(d):
        u_re, u_im = memory[:n], memory[n:]
        squared = dot(u_re, k, u_re, k, d) + dot(u_im, k, u_im, k, d)
        make_unit(u_re, k, d, squared)
        make_unit(u_im, k, d, squared)
    conjugated(x, memory, d, a, work[2])
    diagonalise(a, memory, d)
    on_diagonal, slot = math.sqrt(2.0 * dt / model.beta), d
    above = on_diagonal * math.sqrt(0.5)
    for i in range(d):
        store(noise, i * d + i, load(z, i) * on_diagonal)
        store(noise, n + i * d + i, splat(0.0))
        for j in range(i):
            re, im = load(z, slot) * above, load(z, slot + 1) * above
            slot += 2
            store(noise, i * d + j, re)
            store(noise, j * d + i, re)
            store(noise, n + i * d + j, im)
            store(noise, n + j * d + i, -im)
    for i in range(2 * n):
        store(proposal, i, load(x, i) + load(noise, i))
    for k in range(d):
        seen = splat(0.0)  # the noise along u_k
        for i in range(d):
            re, im = splat(0.0), splat(0.0)
            for j in range(d):
                # row k of u is that of the conjugate eigenvector
                p, q = load(memory, k * d + j), -load(memory, n + k * d + j)
                b, c = load(noise, i * d + j), load(noise, n + i * d + j)
                re, im = re + (b * p - c * q), im + (b * q + c * p)
            seen = seen + (load(memory, k * d + i) * re - load(memory, n + k * d + i) * im)
        change = seen * (math.sqrt(model.kappa) - 1.0) - slope(model.energy, load(a, k * d + k)) * dt
        for i in range(d):
            p, q = load(memory, k * d + i) * change, -load(memory, n + k * d + i) * change
            for j in range(d):
                r, s = load(memory, k * d + j), load(memory, n + k * d + j)
                store(proposal, i * d + j, load(proposal, i * d + j) + (p * r - q * s))
                store(proposal, n + i * d + j, load(proposal, n + i * d + j) + (p * s + q * r))


settle.register(Hermitian)(settle_rows)


@read_values.register(Hermitian)
def _read_values(
    model: Hermitian, scheme: Any, x: Lane, z: Lane, dt: float, memory: Lane, values: Lane, work: Lane
) -> None:
    d = model.size
    a, u = work[0], work[1]
    for i in range(2 * d * d):
        store(u, i, load(memory, i))
    conjugated(x, u, d, a, work[2])
    diagonalise(a, u, d)
    for k in range(d):
        store(values, k, load(a, k * d + k))
    sort(values)
