"""NumPy, the fastest that we found: paths last, each pair once, row by row, into memory that is used again.

A thread for each processor: NumPy's loops let the others run. A group has as many paths as stay in the second-level
cache and still hide what a call costs.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from peers import REACH

LABEL = "NumPy"
HOW = "by rows, threads"
MODELS = ("dyson", "dln")
NUMBERS = 65536  # of a state, in one group
MOST = 2048  # paths in one group


def stepper(problem, threads):
    seeds = np.random.SeedSequence(0)
    pool = ThreadPoolExecutor(threads)
    walk = dyson if problem.kind == "dyson" else dln

    def advance(x, steps, noise):
        each = min(max(NUMBERS // problem.size, 64), MOST, -(-len(x) // threads))
        groups = [np.ascontiguousarray(x[first : first + each].T) for first in range(0, len(x), each)]
        generators = map(np.random.default_rng, seeds.spawn(len(groups)))
        list(pool.map(lambda group, generator: walk(problem, group, steps, noise, generator), groups, generators))
        return np.concatenate(groups, axis=1).T

    return advance


def dyson(problem, x, steps, noise, generator):
    """Carry x (component, path) on, in place."""
    f, z, row = np.empty_like(x), np.empty_like(x), np.empty_like(x)
    for _ in range(steps):
        f[:] = 0.0
        for i in range(problem.size - 1):
            r = row[i + 1 :]
            np.subtract(x[i], x[i + 1 :], out=r)
            np.divide(1.0, r, out=r)
            f[i] += r.sum(axis=0)
            f[i + 1 :] -= r
        f *= 2.0 / problem.beta
        f -= x
        move(problem, x, f, z, noise, generator)


def dln(problem, lam, steps, noise, generator):
    """Carry λ (component, path) on, in place: with r = 1/(Δx Δy) both sums take one reciprocal."""
    f, z = np.empty_like(lam), np.empty_like(lam)
    x, y, sum_x, sum_y = (np.empty_like(lam) for _ in range(4))
    rows_x, rows_y, rows = (np.empty_like(lam) for _ in range(3))
    beta, coulomb = problem.beta, (2.0 * problem.kappa - 1.0) / (problem.beta * problem.depth)
    for _ in range(steps):
        np.multiply(lam, lam, out=x)
        np.multiply(x, x, out=y)
        sum_x[:], sum_y[:] = 0.0, 0.0
        for i in range(problem.size - 1):
            later = slice(i + 1, None)
            dx, dy, r = rows_x[later], rows_y[later], rows[later]
            np.subtract(x[i], x[later], out=dx)
            np.subtract(y[i], y[later], out=dy)
            np.multiply(dx, dy, out=r)
            np.divide(1.0, r, out=r)
            dy *= r
            dx *= r
            sum_x[i] += dy.sum(axis=0)
            sum_x[later] -= dy
            sum_y[i] += dx.sum(axis=0)
            sum_y[later] -= dx
        np.multiply(lam, x * (sum_y / beta - 1.0) + coulomb * sum_x, out=f)
        move(problem, lam, f, z, noise, generator)


def move(problem, x, f, z, noise, generator):
    """x + f dt + noise √dt z, in place."""
    f *= problem.dt
    x += np.clip(f, -REACH, REACH, out=f)
    generator.standard_normal(out=z)
    z *= noise * np.sqrt(problem.dt)
    x += z
