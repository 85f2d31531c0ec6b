"""One step of each integration scheme, written once for all models with diagonal noise dx = f dt + b(x) dB.

Orders: "strong" is of the error of a path, "weak" of the error of a law. For additive noise (b constant) Milstein's
correction vanishes and Milstein is Euler–Maruyama, of strong order 1 away from the singularities of the drift.
"""

import math
from typing import Any, NamedTuple

from dlnmc_kernels.dispatch import begin, drift, noise, noise_slope, output, step
from dlnmc_kernels.lanes import Lane, load, store

SCRATCH = 6  # rows of `work`: the drift uses up to five, a scheme the last


class EulerMaruyama(NamedTuple):
    """x' = x + f dt + b √dt z. Strong order 1/2, weak order 1 (Maruyama 1955)."""


class Milstein(NamedTuple):
    """x' = x + f dt + b √dt z + b b' dt (z² − 1)/2. Strong order 1, weak order 1 (Milstein 1974)."""


class LeimkuhlerMatthews(NamedTuple):
    """x' = x + f dt + b √dt (z + z')/2, z' the normals of the next step; additive noise only.

    Weak order 1 in time, order 2 at equilibrium (Leimkuhler and Matthews 2013). In the state X = x − b √dt z/2 it
    reads X' = X + f(X + b √dt z/2) dt + b √dt z (Vilmart 2015): a Markov chain without memory of earlier noise, so its
    components may be sorted and change sign freely.
    """


@step.register(EulerMaruyama)
def _euler_maruyama(scheme: Any, model: Any, x: Lane, z: Lane, dt: float, proposal: Lane, work: Lane) -> None:
    drift(model, x, dt, proposal, work)
    for i in range(len(x)):
        x_i = load(x, i)
        store(proposal, i, x_i + load(proposal, i) * dt + noise(model, x_i) * load(z, i) * math.sqrt(dt))


@step.register(Milstein)
def _milstein(scheme: Any, model: Any, x: Lane, z: Lane, dt: float, proposal: Lane, work: Lane) -> None:
    drift(model, x, dt, proposal, work)
    for i in range(len(x)):
        x_i, z_i = load(x, i), load(z, i)
        euler_maruyama = x_i + load(proposal, i) * dt + noise(model, x_i) * z_i * math.sqrt(dt)
        store(proposal, i, euler_maruyama + noise_slope(model, x_i) * (z_i * z_i - 1.0) * (0.5 * dt))


@step.register(LeimkuhlerMatthews)
def _leimkuhler_matthews(scheme: Any, model: Any, x: Lane, z: Lane, dt: float, proposal: Lane, work: Lane) -> None:
    shifted = work[SCRATCH - 1]
    for i in range(len(x)):
        store(shifted, i, output(scheme, model, load(x, i), load(z, i), dt))
    drift(model, shifted, dt, proposal, work)
    for i in range(len(x)):
        x_i = load(x, i)
        store(proposal, i, x_i + load(proposal, i) * dt + noise(model, x_i) * load(z, i) * math.sqrt(dt))


@begin.register(EulerMaruyama)
@begin.register(Milstein)
def _begin_as_is(scheme: Any, model: Any, x: Lane, z: Lane, dt: float) -> None:
    pass


@begin.register(LeimkuhlerMatthews)
def _begin_leimkuhler_matthews(scheme: Any, model: Any, x: Lane, z: Lane, dt: float) -> None:
    for i in range(len(x)):
        x_i = load(x, i)
        store(x, i, x_i - noise(model, x_i) * load(z, i) * (0.5 * math.sqrt(dt)))


@output.register(EulerMaruyama)
@output.register(Milstein)
def _output_as_is(scheme: Any, model: Any, x_i: Lane, z_i: Lane, dt: float) -> Lane:
    return x_i


@output.register(LeimkuhlerMatthews)
def _output_leimkuhler_matthews(scheme: Any, model: Any, x_i: Lane, z_i: Lane, dt: float) -> Lane:
    return x_i + noise(model, x_i) * z_i * (0.5 * math.sqrt(dt))
