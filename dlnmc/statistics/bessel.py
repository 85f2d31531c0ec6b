"""Bessel processes that are seen far from 0: their dimension from paths, the exponent of their power law at rest."""

import math

import numpy as np
from numpy.typing import ArrayLike

from dlnmc.errors import InvalidValue
from dlnmc.statistics.estimates import Estimate

CLEAR = 4.0  # standard deviations of noise between the start of an increment and 0, which it then reaches in 3e-5


def dimension_of_paths(u: ArrayLike, times: ArrayLike, diffusion: float, far: float) -> Estimate:
    """The dimension δ of du = ((δ − 1)s²/2)/u dt + s dB, s² = `diffusion`, from paths u (path, time) far from 0.

    By Itô's formula E[u(t+h)² − u(t)²] = δ s² h wherever the process does not reach 0. The increments that begin at
    u > max(`far`, 4 s√h) are averaged with the weights 1/u², nearly those of maximum likelihood; there is no
    bias from their length. The error is that of a ratio over independent paths. NaN where fewer than two paths are far.
    """
    u, times = np.asarray(u, dtype=np.float64), np.asarray(times, dtype=np.float64)
    if u.ndim != 2 or u.shape[1] != len(times) or len(times) < 2:
        raise InvalidValue(f"u has the shape {u.shape}, times {times.shape}: they must be (path, time) and (time,)")
    before, growth, h = u[:, :-1], np.diff(u**2, axis=1), np.diff(times)
    chosen = before > np.maximum(far, CLEAR * np.sqrt(diffusion * h))
    weight = np.where(chosen, 1.0 / np.where(chosen, before, 1.0) ** 2, 0.0)
    above, below = np.sum(weight * growth, axis=1), diffusion * np.sum(weight * h, axis=1)
    if np.sum(below > 0.0) < 2:
        return Estimate(math.nan, math.nan)
    found = float(np.sum(above) / np.sum(below))
    return Estimate(found, float(np.sqrt(np.sum((above - found * below) ** 2)) / np.sum(below)))


def tail_exponent(values: ArrayLike, above: float, below: float = math.inf) -> Estimate:
    """The α of P(X > x) ~ x^{−α}, from independent values (path,) that exceed `above` (Hill 1975).

    Values beyond `below` count as that large: only that they are beyond enters (maximum likelihood of censored
    exponentials, log X). The error is α/√k for k values between; NaN for none.
    """
    values = np.asarray(values, dtype=np.float64)
    if not 0.0 < above < below:
        raise InvalidValue(f"above = {above!r}, below = {below!r}: it must be 0 < above < below")
    far = values[values > above]
    between = int(np.sum(far < below))
    if not between:
        return Estimate(math.nan, math.nan)
    found = between / float(np.sum(np.log(np.minimum(far, below) / above)))
    return Estimate(found, found / math.sqrt(between))
