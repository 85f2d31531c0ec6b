"""NumPy as its page on broadcasting has it: all gaps of all paths in one expression. One thread, which is what it uses.

At size 128 the gaps of 4,096 paths would take half a gigabyte, and every temporary as much again, which nobody would
write: there are 1,024 paths then.
"""

import numpy as np

from peers import REACH

LABEL = "NumPy"
HOW = "broadcasting"
MODELS = ("dyson", "dln")
MOST_GAPS = 2**24  # at once, 128 MiB


def most_paths(size):
    return MOST_GAPS // size**2


def stepper(problem, threads):
    generator = np.random.default_rng(0)
    beta, kappa, N, dt = problem.beta, problem.kappa, problem.depth, problem.dt
    same = np.eye(problem.size, dtype=bool)

    def repulsion(z):
        gaps = z[:, :, None] - z[:, None, :]
        gaps[:, same] = np.inf
        return np.sum(1.0 / gaps, axis=2)

    def dyson(x):
        return 2.0 / beta * repulsion(x) - x

    def dln(lam):
        x, y = lam**2, lam**4
        return lam * (x * (repulsion(y) / beta - 1.0) + (2.0 * kappa - 1.0) / (beta * N) * repulsion(x))

    drift = dyson if problem.kind == "dyson" else dln

    def advance(x, steps, noise):
        for _ in range(steps):
            z = generator.standard_normal(x.shape)
            x = x + np.clip(drift(x) * dt, -REACH, REACH) + noise * np.sqrt(dt) * z
        return x

    return advance
