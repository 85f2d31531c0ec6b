"""Numba as its page on parallel loops has it: the equations as scalar loops, `prange` over paths, fastmath."""

import numba
import numpy as np

from peers import REACH

LABEL = "Numba"
HOW = "prange over paths"
MODELS = ("dyson", "dln")


@numba.njit(parallel=True, fastmath=True, cache=True)
def dyson(x, steps, dt, noise, beta):
    paths, size = x.shape
    for p in numba.prange(paths):
        y, f = x[p].copy(), np.empty(size)
        for _ in range(steps):
            for i in range(size):
                total = 0.0
                for j in range(size):
                    if j != i:
                        total += 1.0 / (y[i] - y[j])
                f[i] = 2.0 / beta * total - y[i]
            move(y, f, dt, noise)
        x[p] = y


@numba.njit(parallel=True, fastmath=True, cache=True)
def dln(lam, steps, dt, noise, beta, kappa, depth):
    paths, size = lam.shape
    coulomb = (2.0 * kappa - 1.0) / (beta * depth)
    for p in numba.prange(paths):
        z, f = lam[p].copy(), np.empty(size)
        for _ in range(steps):
            x = z**2
            y = x**2
            for i in range(size):
                in_x, in_y = 0.0, 0.0
                for j in range(size):
                    if j != i:
                        in_x += 1.0 / (x[i] - x[j])
                        in_y += 1.0 / (y[i] - y[j])
                f[i] = z[i] * (x[i] * (in_y / beta - 1.0) + coulomb * in_x)
            move(z, f, dt, noise)
        lam[p] = z


@numba.njit(fastmath=True, cache=True)
def move(x, f, dt, noise):
    """x + f dt + noise, in place."""
    for i in range(len(x)):
        limited = min(max(f[i] * dt, -REACH), REACH)
        x[i] += limited + noise * np.sqrt(dt) * np.random.standard_normal()  # noqa: NPY002


def stepper(problem, threads, dyson=dyson, dln=dln):
    """Also of other kernels that take the same."""
    numba.set_num_threads(threads)

    def advance(x, steps, noise):
        x = x.copy()
        if problem.kind == "dyson":
            dyson(x, steps, problem.dt, noise, problem.beta)
        else:
            dln(x, steps, problem.dt, noise, problem.beta, problem.kappa, problem.depth)
        return x

    return advance
