"""One step of each scheme, written once for all models with diagonal noise dx = f dt + b(x) dB.

Orders: "strong" is of the error of a path, "weak" of the error of a law. For additive noise (b constant) Milstein's
correction vanishes and Milstein is Euler–Maruyama, of strong order 1 away from the singularities of the drift.
"""

import math
from typing import Any, NamedTuple

from dlnmc_kernels.dispatch import (
    begin,
    draw,
    drift,
    explicit_step,
    log_density,
    noise,
    noise_slope,
    normals_per_step,
    output,
    prepare,
    scratch_rows,
    step,
)
from dlnmc_kernels.elementary import log
from dlnmc_kernels.jit import device
from dlnmc_kernels.lanes import Lane, load, reciprocal, select, splat, store
from dlnmc_kernels.ordering import ACCEPTED, ALIVE, CROSSINGS, STATUS, sort_together
from dlnmc_kernels.philox import DYNAMICS, METROPOLIS, PILOT_METROPOLIS, fill_normals, normal_pair, uniform_pair

SCRATCH = 17  # arrays like the state in `work`: a scheme uses the last two, a drift the others, a network ten


class Noise(NamedTuple):
    """Where random numbers come from: the seed's key, the stream, and how many steps' normals make one increment.

    With a refinement m the normals of a step are the sums of those of m finer steps, over √m: a run with m times the
    step then sees the same Brownian paths.
    """

    key: Any
    stream: int
    refinement: int


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


class MetropolisAdjusted(NamedTuple):
    """Leapfrog steps of Hamilton's equations as a proposal, accepted or refused so that the equilibrium law is exact.

    With `leaps` = 1 the proposal is a step of Euler–Maruyama, and the scheme MALA (Besag 1994; Roberts and Tweedie
    1996); with more it is Hamiltonian Monte Carlo (Duane, Kennedy, Pendleton and Roweth 1987), of which one step is
    counted as leaps² as much time as one of its leaps: free particles diffuse so far. Additive noise only. Components
    are put in order after every leap: forces, density and momenta do not depend on labels.
    """

    leaps: int


@device
def fill_increments(z: Lane, size: int, source: Noise, path: Lane, n: int) -> None:
    """The normals of step n for components 0 ... size − 1."""
    first = n * source.refinement
    fill_normals(z, size, source.key, source.stream, path, first)
    if source.refinement == 1:
        return
    scale = 1.0 / math.sqrt(source.refinement)
    for slot in range((size + 1) // 2):
        a, b = load(z, 2 * slot), load(z, 2 * slot + 1)
        for i in range(1, source.refinement):
            more_a, more_b = normal_pair(source.key, source.stream, path, first + i, slot)
            a, b = a + more_a, b + more_b
        store(z, 2 * slot, a * scale)
        store(z, 2 * slot + 1, b * scale)


@draw.register(EulerMaruyama)
@draw.register(Milstein)
@draw.register(LeimkuhlerMatthews)
def _draw_normals(scheme: Any, size: int, noise_source: Any, path: Lane, step: int, z: Lane) -> None:
    fill_increments(z, size, noise_source, path, step)


@draw.register(MetropolisAdjusted)
def _draw_with_threshold(scheme: Any, size: int, noise_source: Any, path: Lane, step: int, z: Lane) -> None:
    fill_increments(z, size, noise_source, path, step)
    stream = METROPOLIS if noise_source.stream == DYNAMICS else PILOT_METROPOLIS
    uniform, _ = uniform_pair(noise_source.key, stream, path, step, 0)
    store(z, len(z) - 1, log(uniform))


@begin.register(EulerMaruyama)
@begin.register(Milstein)
def _begin_as_is(scheme: Any, model: Any, x: Lane, z: Lane, dt: float, memory: Lane, work: Lane) -> None:
    pass


@begin.register(LeimkuhlerMatthews)
def _begin_half_a_kick_earlier(scheme: Any, model: Any, x: Lane, z: Lane, dt: float, memory: Lane, work: Lane) -> None:
    for i in range(len(x)):
        x_i = load(x, i)
        store(x, i, x_i - noise(model, x_i) * load(z, i) * (0.5 * math.sqrt(dt)))


@begin.register(MetropolisAdjusted)
def _begin_with_density(scheme: Any, model: Any, x: Lane, z: Lane, dt: float, memory: Lane, work: Lane) -> None:
    drift(model, x, dt / (scheme.leaps * scheme.leaps), memory, work)
    store(memory, len(x), log_density(model, x, work))


@step.register(EulerMaruyama)
def _euler_maruyama(
    scheme: Any, model: Any, x: Lane, z: Lane, dt: float, proposal: Lane, memory: Lane, tally: Lane, work: Lane
) -> None:
    explicit_step(model, x, z, dt, proposal, memory, work)


@explicit_step.otherwise
def _explicit_step(model: Any, x: Lane, z: Lane, dt: float, proposal: Lane, memory: Lane, work: Lane) -> None:
    drift(model, x, dt, proposal, work)
    for i in range(len(x)):
        x_i = load(x, i)
        store(proposal, i, x_i + load(proposal, i) * dt + noise(model, x_i) * math.sqrt(dt) * load(z, i))


@prepare.otherwise
def _prepare_nothing(model: Any, x: Lane, memory: Lane) -> None:
    pass


@scratch_rows.otherwise
def _as_usual(scheme: Any) -> int:
    return SCRATCH


@normals_per_step.otherwise
def _one_for_each_row(model: Any, size: int) -> int:
    return size


@step.register(Milstein)
def _milstein(
    scheme: Any, model: Any, x: Lane, z: Lane, dt: float, proposal: Lane, memory: Lane, tally: Lane, work: Lane
) -> None:
    drift(model, x, dt, proposal, work)
    for i in range(len(x)):
        x_i, z_i = load(x, i), load(z, i)
        euler_maruyama = x_i + load(proposal, i) * dt + noise(model, x_i) * math.sqrt(dt) * z_i
        store(proposal, i, euler_maruyama + noise_slope(model, x_i) * (z_i * z_i - 1.0) * (0.5 * dt))


@step.register(LeimkuhlerMatthews)
def _leimkuhler_matthews(
    scheme: Any, model: Any, x: Lane, z: Lane, dt: float, proposal: Lane, memory: Lane, tally: Lane, work: Lane
) -> None:
    shifted = work[SCRATCH - 1]
    for i in range(len(x)):
        store(shifted, i, output(scheme, model, load(x, i), load(z, i), dt))
    exchanges = sort_together(model, shifted, (x, z))
    alive = load(tally, STATUS) == ALIVE
    store(tally, CROSSINGS, load(tally, CROSSINGS) + select(alive, exchanges, splat(0.0)))
    drift(model, shifted, dt, proposal, work)
    for i in range(len(x)):
        x_i = load(x, i)
        store(proposal, i, x_i + load(proposal, i) * dt + noise(model, x_i) * math.sqrt(dt) * load(z, i))


@step.register(MetropolisAdjusted)
def _metropolis_adjusted(
    scheme: Any, model: Any, x: Lane, z: Lane, dt: float, proposal: Lane, memory: Lane, tally: Lane, work: Lane
) -> None:
    size = len(x)
    momentum, force = work[SCRATCH - 1], work[SCRATCH - 2]
    leap = dt / (scheme.leaps * scheme.leaps)
    reach = noise(model, load(x, 0)) * math.sqrt(leap)  # of a unit momentum in a leap
    kick = reciprocal(reach) * leap  # of a unit force in half a leap
    before, after = splat(0.0), splat(0.0)  # twice the kinetic energy
    for i in range(size):
        z_i = load(z, i)
        before = before + z_i * z_i
        store(proposal, i, load(x, i))
        store(momentum, i, z_i + load(memory, i) * kick)
    for n in range(scheme.leaps):
        for i in range(size):
            store(proposal, i, load(proposal, i) + load(momentum, i) * reach)
        sort_together(model, proposal, (momentum,))
        drift(model, proposal, leap, force, work)
        weight = kick * (1.0 if n == scheme.leaps - 1 else 2.0)
        for i in range(size):
            store(momentum, i, load(momentum, i) + load(force, i) * weight)
    for i in range(size):
        p_i = load(momentum, i)
        after = after + p_i * p_i
    density = log_density(model, proposal, work)
    ratio = density - load(memory, size) + (before - after) * 0.5
    accepted = load(z, len(z) - 1) < ratio  # never where the ratio is NaN
    for i in range(size):
        store(proposal, i, select(accepted, load(proposal, i), load(x, i)))
        store(memory, i, select(accepted, load(force, i), load(memory, i)))
    store(memory, size, select(accepted, density, load(memory, size)))
    counted = accepted & (load(tally, STATUS) == ALIVE)
    store(tally, ACCEPTED, load(tally, ACCEPTED) + select(counted, splat(1.0), splat(0.0)))


@output.register(EulerMaruyama)
@output.register(Milstein)
@output.register(MetropolisAdjusted)
def _output_as_is(scheme: Any, model: Any, x_i: Lane, z_i: Lane, dt: float) -> Lane:
    return x_i


@output.register(LeimkuhlerMatthews)
def _output_leimkuhler_matthews(scheme: Any, model: Any, x_i: Lane, z_i: Lane, dt: float) -> Lane:
    return x_i + noise(model, x_i) * z_i * (0.5 * math.sqrt(dt))
