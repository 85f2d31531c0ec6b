"""diffrax as its page on SDEs has it: `diffeqsolve` of one path, with `MultiTerm(ODETerm, ControlTerm)` and `Euler`.

Under `vmap` and `jit`, in float64. The page's `VirtualBrownianTree` serves steps that adapt and derivatives; for fixed
steps without them its page on Brownian controls names `UnsafeBrownianPath`, which is faster, and is taken.
"""

import diffrax
import jax.numpy as jnp
import lineax

from peers import REACH
from peers.jax_plain import drift_of, over_paths

LABEL = "diffrax"
HOW = "vmap of diffeqsolve"
MODELS = ("dyson", "dln")


def solved(velocity, y, key, noise, steps, dt):
    """State y (component,) after Euler's steps, with noise of this standard deviation for each √time."""

    def diffusion(t, y, noise):
        return lineax.DiagonalLinearOperator(jnp.full(y.shape, noise))

    def limited(t, y, noise):
        return jnp.clip(velocity(y), -REACH / dt, REACH / dt)

    path = diffrax.UnsafeBrownianPath(y.shape, key)
    solution = diffrax.diffeqsolve(
        diffrax.MultiTerm(diffrax.ODETerm(limited), diffrax.ControlTerm(diffusion, path)),
        diffrax.Euler(),
        t0=0.0,
        t1=steps * dt,
        dt0=dt,
        y0=y,
        args=noise,
        saveat=diffrax.SaveAt(t1=True),
        adjoint=diffrax.ForwardMode(),
        max_steps=None,
    )
    return solution.ys[0]


def stepper(problem, threads):
    drift, dt = drift_of(problem), problem.dt
    return over_paths(lambda x, key, noise, steps: solved(drift, x, key, noise, steps, dt))
