"""JAX as its pages have it: the drift of one path by broadcasting, `vmap`, `lax.scan` over steps, `jit`, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random

from peers import REACH

LABEL = "JAX"
HOW = "vmap, scan"
MODELS = ("dyson", "dln")
jax.config.update("jax_enable_x64", True)


def drift_of(problem):
    """The drift of one path (component,)."""
    beta, kappa, N = problem.beta, problem.kappa, problem.depth
    same = jnp.eye(problem.size, dtype=bool)

    def repulsion(z):
        return jnp.sum(1.0 / jnp.where(same, jnp.inf, z[:, None] - z[None, :]), axis=1)

    def dyson(x):
        return 2.0 / beta * repulsion(x) - x

    def dln(lam):
        x, y = lam**2, lam**4
        return lam * (x * (repulsion(y) / beta - 1.0) + (2.0 * kappa - 1.0) / (beta * N) * repulsion(x))

    return dyson if problem.kind == "dyson" else dln


def over_paths(carry):
    """advance from carry(x, key, noise, steps) of one path, compiled for all of them."""
    compiled = jax.jit(jax.vmap(carry, in_axes=(0, 0, None, None)), static_argnums=3)
    calls = iter(random.split(random.key(0), 1024))

    def advance(x, steps, noise):
        return np.asarray(compiled(jnp.asarray(x), random.split(next(calls), len(x)), noise, steps))

    return advance


def stepper(problem, threads):
    drift, dt = drift_of(problem), problem.dt

    def carry(x, key, noise, steps):
        def step(x, key):
            z = random.normal(key, x.shape)
            return x + jnp.clip(drift(x) * dt, -REACH, REACH) + noise * jnp.sqrt(dt) * z, None

        return lax.scan(step, x, random.split(key, steps))[0]

    return over_paths(carry)
