"""Gamma variates of any shape > 0 in lanes: Marsaglia and Tsang, "A simple method for generating gamma variables" (2000).

A pair of variates belongs to one slot. At step 0 of the slot stand the two uniforms that make shapes below 1 of shapes
above it, at step 1 whatever the caller needs beside them, and at steps 2 + 2k and 3 + 2k the normals and uniforms of
attempt k. So a path's variates do not depend on the other lanes, although all eight repeat until each has accepted.
"""

import math

import numpy as np

from dlnmc_kernels.elementary import exp, log
from dlnmc_kernels.jit import device
from dlnmc_kernels.lanes import Lane, any_of, maximum, select, splat
from dlnmc_kernels.philox import normal_pair, uniform_pair

BOOST, BESIDE, FIRST_ATTEMPT = 0, 1, 2  # steps
ATTEMPTS = 64  # each fails with probability below 0.05: then NaN
SERIES_BELOW = 1e-3  # of c = 1/√(9 shape − 3): |c z| stays below 0.0085
LARGEST_INVERSE = 1e300


@device
def log_acceptance(shape: float, c: float, w: Lane) -> Lane:
    """log of the probability of accepting (1 + w)³ (shape − 1/3), w = c z: z²/2 + d (1 − (1+w)³ + 3 log(1+w)).

    With c² = 1/(9d) it is 3d (log(1+w) − w + w²/2 − w³/3), which is of order w⁴: a series where w is small.
    """
    if c < SERIES_BELOW:
        tail = w * (-1.0 / 8.0) + 1.0 / 7.0
        tail = tail * w - 1.0 / 6.0
        tail = tail * w + 1.0 / 5.0
        tail = (tail * w - 1.0 / 4.0) * (w * w) * (w * w)
    else:
        tail = log(maximum(w + 1.0, splat(1e-300))) - w * (1.0 - w * (0.5 - w * (1.0 / 3.0)))
    return tail * (3.0 * shape - 1.0)


@device
def attempt(shape: float, z: Lane, u: Lane) -> tuple[Lane, Lane]:
    """A proposal for Gamma(shape), shape >= 1, made of the normal `z`, and the mask of where the uniform accepts it."""
    c = 1.0 / math.sqrt(9.0 * shape - 3.0)
    w = z * c
    root = w + 1.0
    accepted = (root > 0.0) & (log(u) < log_acceptance(shape, c, w))
    return root * root * root * (shape - 1.0 / 3.0), accepted


@device
def raised_pair(key: np.uint64, stream: int, path: Lane, slot: int, first: float, second: float) -> tuple[Lane, Lane]:
    """Two independent lanes: Gamma(first) and Gamma(second), both shapes >= 1."""
    a, b = splat(np.nan), splat(np.nan)
    waiting = ~(splat(0.0) > 0.0)
    k = 0
    while any_of(waiting) and k < ATTEMPTS:
        z_a, z_b = normal_pair(key, stream, path, FIRST_ATTEMPT + 2 * k, slot)
        u_a, u_b = uniform_pair(key, stream, path, FIRST_ATTEMPT + 2 * k + 1, slot)
        new_a, accepted_a = attempt(first, z_a, u_a)
        new_b, accepted_b = attempt(second, z_b, u_b)
        # What was accepted stays: a lane is written at its first acceptance only.
        a = select(accepted_a & ~(a > 0.0), new_a, a)
        b = select(accepted_b & ~(b > 0.0), new_b, b)
        waiting = ~((a > 0.0) & (b > 0.0))
        k += 1
    return a, b


@device
def raised(shape: float) -> float:
    """The shape to draw at: a shape below 1 is raised by 1, since X U^{1/a} ~ Gamma(a) for X ~ Gamma(a + 1)."""
    return shape + 1.0 if shape < 1.0 else shape


@device
def log_boost(shape: float, u: Lane) -> Lane:
    """log U^{1/shape}."""
    return log(u) * min(1.0 / shape, LARGEST_INVERSE)


@device
def gamma_pair(key: np.uint64, stream: int, path: Lane, slot: int, first: float, second: float) -> tuple[Lane, Lane]:
    """Two independent lanes: Gamma(first) and Gamma(second), of scale 1; 0 below e^-708."""
    a, b = raised_pair(key, stream, path, slot, raised(first), raised(second))
    if first < 1.0 or second < 1.0:
        u_a, u_b = uniform_pair(key, stream, path, BOOST, slot)
        if first < 1.0:
            a = a * exp(log_boost(first, u_a))
        if second < 1.0:
            b = b * exp(log_boost(second, u_b))
    return a, b


@device
def log_gamma(key: np.uint64, stream: int, path: Lane, slot: int, shape: float) -> Lane:
    """The logarithm of a Gamma(shape) variate: finite for every shape, however small."""
    a, _ = raised_pair(key, stream, path, slot, raised(shape), 1.0)
    result = log(a)
    if shape < 1.0:
        u, _ = uniform_pair(key, stream, path, BOOST, slot)
        result = result + log_boost(shape, u)
    return result
