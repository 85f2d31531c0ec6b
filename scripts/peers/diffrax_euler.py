"""diffrax: `diffeqsolve` with `Euler`, an `ODETerm` and a `ControlTerm` of diagonal diffusion, in float64.

The Brownian path is `UnsafeBrownianPath`, which its documentation allows for fixed steps without derivatives: with
`VirtualBrownianTree` it is 3 to 30 times slower. All paths of a core are one state, which is 1.1 to 2 times faster
than `vmap` of single paths; the sum over pairs and the shards are those of our JAX.
"""

import diffrax
import jax.numpy as jnp
import lineax

from peers import REACH
from peers.jax_scan import drift_of, on_all_cores

LABEL = "diffrax, Euler"
MODELS = ("dyson",)


def stepper(problem, threads):
    drift, dt = drift_of(problem), problem.dt

    def carry(x, key, noise, steps):
        flat = x.reshape(-1)

        def velocity(t, y, noise):
            return jnp.clip(drift(y.reshape(x.shape)), -REACH / dt, REACH / dt).reshape(-1)

        def diffusion(t, y, noise):
            return lineax.DiagonalLinearOperator(jnp.full(flat.shape, noise))

        path = diffrax.UnsafeBrownianPath(flat.shape, key)
        terms = diffrax.MultiTerm(diffrax.ODETerm(velocity), diffrax.ControlTerm(diffusion, path))
        solution = diffrax.diffeqsolve(
            terms,
            diffrax.Euler(),
            t0=0.0,
            t1=steps * dt,
            dt0=dt,
            y0=flat,
            args=noise,
            saveat=diffrax.SaveAt(t1=True),
            adjoint=diffrax.ForwardMode(),
            max_steps=None,
        )
        return solution.ys[0].reshape(x.shape)

    return on_all_cores(carry, threads)
