"""diffrax, the fastest that we found: all paths of a core are one state, whose drift and shards are those of our JAX.

Tried beside it: `vmap` of single paths, and `VirtualBrownianTree`, 3 to 30 times slower.
"""

from peers.diffrax_plain import LABEL, MODELS, solved  # noqa: F401
from peers.jax_fast import drift_of, on_all_cores

HOW = "paths last, sharded"


def stepper(problem, threads):
    drift, dt = drift_of(problem), problem.dt

    def carry(x, key, noise, steps):
        def velocity(y):
            return drift(y.reshape(x.shape)).reshape(-1)

        return solved(velocity, x.reshape(-1), key, noise, steps, dt).reshape(x.shape)

    return on_all_cores(carry, threads)
