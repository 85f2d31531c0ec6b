"""Dormand and Prince's method of order 8 for dx = f(x) dt, in which every path has steps of its own.

A step `dt` of the driver is what all paths have in common: in it each takes as many substeps as its error asks for,
and those that have arrived wait for the others. What it carries beside its state are the length of its next substep,
in the last row of `memory`, and what the model keeps in the rows before; neither depends on the other seven paths.
"""

import math
from typing import Any, NamedTuple

from dlnmc_kernels.dispatch import begin, draw, drift, output, scratch_rows, step, velocity
from dlnmc_kernels.jit import device
from dlnmc_kernels.lanes import Lane, any_of, load, maximum, minimum, reciprocal, select, splat, sqrt, store
from dlnmc_kernels.linear_algebra import squared_norm
from dlnmc_kernels.ordering import ALIVE, STATUS
from dlnmc_kernels.schemes import SCRATCH

STAGES = 12
FIRST_STAGE, TRIAL, KEPT = SCRATCH, SCRATCH + STAGES, SCRATCH + STAGES + 1  # places in `work`
SAFETY, LEAST_GROWTH, MOST_GROWTH = 0.9, 0.2, 6.0  # of a substep, from one to the next (Hairer, Nørsett and Wanner)
FIRST = 1e-6  # the first substep, as part of dt: eight more are as long as dt, if they may
SHORTEST = 1e-14  # part of dt: a path that needs shorter substeps has failed
MOST_SUBSTEPS = 1e6  # and so has one that needs more in a dt
STRETCH = 1.01  # a substep is stretched so much rather than leave a sliver
LARGEST, TINY = 1e300, 1e-290


class DormandPrince(NamedTuple):
    """DOP853: order 8, with error estimates of orders 5 and 3 (Hairer, Nørsett and Wanner 1993, II.10).

    A (stage, stage), B, fifth, third (stage): float64 arrays of its coefficients. `tolerance` is the error of a
    substep, relative to the Euclidean norm of the state.
    """

    A: Any
    B: Any
    fifth: Any
    third: Any
    tolerance: float


@velocity.otherwise
def _drift_without_noise(model: Any, x: Lane, f: Lane, memory: Lane, work: Lane) -> None:
    drift(model, x, 0.0, f, work)


@scratch_rows.register(DormandPrince)
def _scratch_rows(scheme: DormandPrince) -> int:
    return SCRATCH + STAGES + 2


@draw.register(DormandPrince)
def _draw_nothing(scheme: Any, size: int, noise_source: Any, path: Lane, step: int, z: Lane) -> None:
    pass


@output.register(DormandPrince)
def _output_as_is(scheme: Any, model: Any, x_i: Lane, z_i: Lane, dt: float) -> Lane:
    return x_i


@begin.register(DormandPrince)
def _begin_carefully(scheme: Any, model: Any, x: Lane, z: Lane, dt: float, memory: Lane, work: Lane) -> None:
    store(memory, len(memory) - 1, splat(dt * FIRST))


@device
def attempt(scheme: DormandPrince, model: Any, x: Lane, h: Lane, y: Lane, memory: Lane, work: Lane) -> Lane:
    """Write the state after a substep `h` from `x` to `y`; its error, in units of what is tolerated."""
    for s in range(STAGES):
        for i in range(len(x)):
            store(y, i, splat(0.0))
        for r in range(s):
            a = scheme.A[s, r]
            if a != 0.0:
                for i in range(len(x)):
                    store(y, i, load(y, i) + load(work[FIRST_STAGE + r], i) * a)
        for i in range(len(x)):
            store(y, i, load(x, i) + load(y, i) * h)
        velocity(model, y, work[FIRST_STAGE + s], memory, work)
    fifth, third = splat(0.0), splat(0.0)
    for i in range(len(x)):
        change, e_5, e_3 = splat(0.0), splat(0.0), splat(0.0)
        for s in range(STAGES):
            k = load(work[FIRST_STAGE + s], i)
            change, e_5, e_3 = change + k * scheme.B[s], e_5 + k * scheme.fifth[s], e_3 + k * scheme.third[s]
        store(y, i, load(x, i) + change * h)
        fifth, third = fifth + e_5 * e_5, third + e_3 * e_3
    size = sqrt(maximum(squared_norm(x), squared_norm(y)))
    error = h * fifth * reciprocal(maximum(sqrt(fifth + third * 0.01), splat(TINY)))
    error = error * reciprocal(maximum(size * scheme.tolerance, splat(TINY)))
    return select(size < LARGEST, error, splat(math.inf))


@step.register(DormandPrince)
def _substeps(
    scheme: Any, model: Any, x: Lane, z: Lane, dt: float, proposal: Lane, memory: Lane, tally: Lane, work: Lane
) -> None:
    y, kept, own = work[TRIAL], work[KEPT], len(memory) - 1
    for i in range(len(x)):
        store(proposal, i, load(x, i))
    left, count = select(load(tally, STATUS) == ALIVE, splat(dt), splat(0.0)), splat(0.0)
    while any_of(left > 0.0):
        for i in range(own):
            store(kept, i, load(memory, i))
        going, h = left > 0.0, load(memory, own)
        last = h * STRETCH >= left
        tried = select(last, left, h)
        error = attempt(scheme, model, proposal, tried, y, memory, work)
        accepted = going & (error <= 1.0)  # never where the error is NaN
        root = sqrt(sqrt(sqrt(maximum(error, splat(TINY)))))
        growth = minimum(maximum(reciprocal(root) * SAFETY, splat(LEAST_GROWTH)), splat(MOST_GROWTH))
        following = tried * select(error < LARGEST, growth, splat(LEAST_GROWTH))
        following = select(accepted & last, maximum(following, h), following)
        count = count + 1.0
        stuck = going & ~accepted & (following < dt * SHORTEST)
        stuck = stuck | (going & (count > MOST_SUBSTEPS))
        for i in range(len(x)):
            reached = select(accepted, load(y, i), load(proposal, i))
            store(proposal, i, select(stuck, splat(math.nan), reached))
        for i in range(own):
            store(memory, i, select(accepted, load(memory, i), load(kept, i)))
        store(memory, own, select(going, following, h))
        left = select(accepted, select(last, splat(0.0), left - tried), left)
        left = select(stuck, splat(0.0), left)
