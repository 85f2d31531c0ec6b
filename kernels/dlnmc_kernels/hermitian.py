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
from dlnmc_kernels.lanes import Lane, absolute, any_of, load, maximum, reciprocal, select, splat, sqrt, store
from dlnmc_kernels.linear_algebra import MOST_SWEEPS, TINY, TOLERANCE, dot, make_unit, set_identity
from dlnmc_kernels.ordering import keep_finite, sort


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
def rotate_rows(re: Lane, im: Lane, p: int, q: int, c: Lane, s: Lane, x: Lane, y: Lane, size: int) -> None:
    """Rows p and q become c a_p − s w a_q and s a_p + c w a_q, with the phase w = x + iy."""
    for k in range(size):
        i, j = p * size + k, q * size + k
        re_q, im_q = load(re, j) * x - load(im, j) * y, load(re, j) * y + load(im, j) * x
        re_p, re_q = mix(load(re, i), re_q, c, s)
        im_p, im_q = mix(load(im, i), im_q, c, s)
        store(re, i, re_p)
        store(re, j, re_q)
        store(im, i, im_p)
        store(im, j, im_q)


@device
def rotate_columns(re: Lane, im: Lane, p: int, q: int, c: Lane, s: Lane, x: Lane, y: Lane, size: int) -> None:
    """The same for columns, with the phase x − iy."""
    for k in range(size):
        i, j = k * size + p, k * size + q
        re_q, im_q = load(re, j) * x + load(im, j) * y, load(im, j) * x - load(re, j) * y
        re_p, re_q = mix(load(re, i), re_q, c, s)
        im_p, im_q = mix(load(im, i), im_q, c, s)
        store(re, i, re_p)
        store(re, j, re_q)
        store(im, i, im_p)
        store(im, j, im_q)


@device
def diagonalise(a: Lane, u: Lane, size: int) -> int:
    """Make a Hermitian `a` diagonal by Jacobi rotations with phases, and turn the rows of `u` along.

    Where `a` began as u M u*, it ends as the eigenvalues of M on the diagonal, with conjugate eigenvectors in the rows
    of u. Returns the number of sweeps.
    """
    n = size * size
    re, im, u_re, u_im = a[:n], a[n:], u[:n], u[n:]
    for sweep in range(MOST_SWEEPS):
        total = splat(0.0)
        for i in range(n):
            total = total + (load(re, i) * load(re, i) + load(im, i) * load(im, i))
        least = total * (TOLERANCE * TOLERANCE)
        rotated = False
        for p in range(size - 1):
            for q in range(p + 1, size):
                x, y = load(re, p * size + q), load(im, p * size + q)
                squared = x * x + y * y
                oblique = squared > least
                if any_of(oblique):
                    rotated = True
                    modulus = sqrt(maximum(squared, splat(TINY)))
                    inverse = reciprocal(modulus)
                    x, y = select(oblique, x * inverse, splat(1.0)), select(oblique, y * inverse, splat(0.0))
                    twice = select(oblique, modulus + modulus, splat(0.0))
                    apart = load(re, q * size + q) - load(re, p * size + p)
                    reach = absolute(apart) + sqrt(apart * apart + twice * twice)
                    t = twice * reciprocal(maximum(reach, splat(TINY)))
                    t = select(apart < 0.0, -t, t)
                    c = select(oblique, reciprocal(sqrt(t * t + 1.0)), splat(1.0))
                    s = t * c
                    rotate_rows(re, im, p, q, c, s, x, y, size)
                    rotate_columns(re, im, p, q, c, s, x, y, size)
                    rotate_rows(u_re, u_im, p, q, c, s, x, y, size)
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


@settle.register(Hermitian)
def _settle(model: Hermitian, x: Lane, proposal: Lane, dt: float, tally: Lane, n: int) -> None:
    keep = keep_finite(proposal, tally, n)
    for i in range(len(x)):
        store(x, i, select(keep, load(proposal, i), load(x, i)))


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
