"""Gamma variates of any shape > 0 in lanes: Marsaglia and Tsang (2000).

A slot serves a pair of variates. At its step 0 stand the two uniforms that lower a shape by 1, at step 1 whatever a
caller draws beside gamma variates, at steps 2 + 2k and 3 + 2k the normals and the uniforms of attempt k. All lanes go
on until each has accepted, and each keeps what it accepted first: a path's variates do not depend on other lanes.
"""

import math

import numpy as np

from dlnmc_kernels.elementary import exp, log
from dlnmc_kernels.jit import device
from dlnmc_kernels.lanes import Lane, any_of, maximum, select, splat
from dlnmc_kernels.philox import normal_pair, uniform_pair

LOWERING, BESIDE, FIRST_ATTEMPT = 0, 1, 2  # steps
ATTEMPTS = 64  # each fails with probability below 0.05; after so many the variate is NaN
SERIES_BELOW = 1e-3  # of c: then |w| stays below 0.0085, and four digits are lost to cancellation
LARGEST_INVERSE = 1e300  # of a shape


@device
def log_acceptance(shape: float, w: Lane, c: float) -> Lane:
    """Logarithm of the probability of accepting the proposal d (1 + w)³, w = c z, d = shape − 1/3 = 1/(9 c²).

    z²/2 + d (1 − (1 + w)³ + 3 log(1 + w)) = 3d (log(1 + w) − w + w²/2 − w³/3), of order w⁴: for small w, its series.
    """
    if c < SERIES_BELOW:
        p = w * (-1.0 / 8.0) + 1.0 / 7.0
        p = p * w - 1.0 / 6.0
        p = p * w + 1.0 / 5.0
        p = (p * w - 1.0 / 4.0) * (w * w) * (w * w)
    else:
        p = log(maximum(w + 1.0, splat(1e-300))) - w * (1.0 - w * (0.5 - w * (1.0 / 3.0)))
    return p * (3.0 * shape - 1.0)


@device
def attempt(shape: float, z: Lane, u: Lane) -> tuple[Lane, Lane]:
    """A proposal for Gamma(shape), shape >= 1, from a normal, and the mask of where a uniform accepts it."""
    c = 1.0 / math.sqrt(9.0 * shape - 3.0)
    w = z * c
    root = w + 1.0
    accepted = (root > 0.0) & (log(u) < log_acceptance(shape, w, c))
    return root * root * root * (shape - 1.0 / 3.0), accepted


@device
def raised_pair(key: np.uint64, stream: int, path: Lane, slot: int, first: float, second: float) -> tuple[Lane, Lane]:
    """Two independent lanes, Gamma(first) and Gamma(second), for shapes >= 1."""
    a, b = splat(np.nan), splat(np.nan)
    k = 0
    while any_of(~((a > 0.0) & (b > 0.0))) and k < ATTEMPTS:
        z_a, z_b = normal_pair(key, stream, path, FIRST_ATTEMPT + 2 * k, slot)
        u_a, u_b = uniform_pair(key, stream, path, FIRST_ATTEMPT + 2 * k + 1, slot)
        new_a, accepted_a = attempt(first, z_a, u_a)
        new_b, accepted_b = attempt(second, z_b, u_b)
        a = select(accepted_a & ~(a > 0.0), new_a, a)
        b = select(accepted_b & ~(b > 0.0), new_b, b)
        k += 1
    return a, b


@device
def raised(shape: float) -> float:
    """The shape to draw at: one below 1 is raised by 1, since X U^{1/a} ~ Gamma(a) for X ~ Gamma(a + 1)."""
    return shape + 1.0 if shape < 1.0 else shape


@device
def log_lowering(shape: float, u: Lane) -> Lane:
    """The logarithm of U^{1/a}, a = shape."""
    return log(u) * min(1.0 / shape, LARGEST_INVERSE)


@device
def gamma_pair(key: np.uint64, stream: int, path: Lane, slot: int, first: float, second: float) -> tuple[Lane, Lane]:
    """Two independent lanes, Gamma(first) and Gamma(second), of scale 1."""
    a, b = raised_pair(key, stream, path, slot, raised(first), raised(second))
    if first < 1.0 or second < 1.0:
        u_a, u_b = uniform_pair(key, stream, path, LOWERING, slot)
        if first < 1.0:
            a = a * exp(log_lowering(first, u_a))
        if second < 1.0:
            b = b * exp(log_lowering(second, u_b))
    return a, b


@device
def log_gamma(key: np.uint64, stream: int, path: Lane, slot: int, shape: float) -> Lane:
    """The logarithm of a Gamma(shape) variate, which stays finite where the variate underflows."""
    a, _ = raised_pair(key, stream, path, slot, raised(shape), 1.0)
    if shape < 1.0:
        u, _ = uniform_pair(key, stream, path, LOWERING, slot)
        return log(a) + log_lowering(shape, u)
    return log(a)
