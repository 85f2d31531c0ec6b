"""Thresholds of statistical tests, computed from sample sizes. A test states its false-alarm rate and its power.

The envelope is that of Dvoretzky, Kiefer and Wolfowitz with Massart's constant: for n independent samples
P(sup |F_n − F| > e) <= 2 exp(−2 n e²).
"""

import math
from collections.abc import Callable

import numpy as np

FALSE_ALARM = 1e-6
POWER = 0.999


def envelope(n, probability):
    """The distance that n independent samples exceed with at most this probability."""
    return math.sqrt(math.log(2.0 / probability) / (2.0 * n))


def distance(samples, cdf: Callable):
    """The Kolmogorov distance of independent samples to a law."""
    ordered = np.sort(samples)
    n, probability = len(ordered), cdf(ordered)
    rank = np.arange(n) / n
    return float(max(np.max(probability - rank), np.max(rank + 1.0 / n - probability)))


def distance_of_laws(law, other, points=4001):
    """sup |F − G| of two laws, over a grid of both laws' quantiles (a lower bound, tight for smooth laws)."""
    level = (np.arange(points) + 0.5) / points
    at = np.concatenate([law.ppf(level), other.ppf(level)])
    return float(np.max(np.abs(law.cdf(at) - other.cdf(at))))


def paths_for_power(distance_of_control, bias, at_least=8192):
    """The smallest number of paths (a multiple of 1024) at which a control at this distance fails with power 0.999.

    A sample of the control deviates from the control's law by less than the envelope with probability 0.999, so that it
    lies beyond the threshold `envelope(n, FALSE_ALARM) + bias`.
    """
    n = at_least
    while envelope(n, FALSE_ALARM) + bias + envelope(n, 1.0 - POWER) >= distance_of_control:
        n += 1024
        if n > 2**21:
            raise ValueError(f"a control at distance {distance_of_control} cannot be told from the bias {bias}")
    return n
