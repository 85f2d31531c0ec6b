"""Exact laws of Dyson Brownian motion (11.8): the centre of mass, and the gap of two particles."""

from __future__ import annotations

import math

import numpy as np

from dlnmc.errors import InvalidValue
from dlnmc.laws.base import Law, Values
from dlnmc.laws.chi import Chi
from dlnmc.laws.models import Dyson, diffused_variance, energy_kind
from dlnmc.laws.noncentral_chi import NoncentralChi
from dlnmc.laws.normal import Normal


def centre_of_mass(model: Dyson, start: float | Values = 0.0, time: float | None = None) -> Law:
    """The law of (1/d) Σx_i, unscaled, at `time` after `start` (the eigenvalues, or their mean).

    Without a time, at equilibrium.
    The repulsion cancels in the sum of (11.8): `Normal(m e^{−t}, (κ/(βd))(1 − e^{−2t}))` for V = x²/2 and
    `Normal(m, 2κt/(βd))` for V = 0, m the mean of `start`. Raises ValueError for another energy.

    See docs/mathematics.md, "Laws".
    """
    deviation = math.sqrt(diffused_variance(model, time) / model.size)
    if time is None:
        return Normal(0.0, deviation)
    m = float(np.mean(start))
    return Normal(m * math.exp(-time) if energy_kind(model) == "quadratic" else m, deviation)


def gap(model: Dyson, time: float | None = None, start: float = 0.0) -> Law:
    """The law of x_2 − x_1 at size 2, at `time` after a gap `start` ≥ 0; without a time, at equilibrium. Unscaled.

    By (11.8), `dg = 4/(βg) dt + √(4κ/β) dB` for V = 0, a Bessel process of dimension n = 1 + 2/κ; V = x²/2
    adds −g dt, so that e^t g is the same process at time (e^{2t} − 1)/2. With s² = 2κt/β for V = 0, (κ/β)(1 − e^{−2t})
    for V = x²/2, κ/β at equilibrium: `g ~ s√2 χ_n` from 0, and otherwise the noncentral χ_n of scale s√2 about
    the start, times e^{−t} for V = x²/2.
    Raises ValueError for another size or energy, and for a start that is negative or not finite.

    See docs/mathematics.md, "Laws".
    """
    if model.size != 2:
        raise InvalidValue(f"the gap has an exact law at size 2 only, got size {model.size!r}")
    if not 0.0 <= start < math.inf:
        raise InvalidValue(f"start must be a finite gap >= 0, got {start!r}")
    dimension, scale = 1.0 + 2.0 / model.kappa, math.sqrt(2.0 * diffused_variance(model, time))
    if time is None or start == 0.0:
        return Chi(dimension, scale)
    decay = math.exp(-time) if energy_kind(model) == "quadratic" else 1.0
    return NoncentralChi(dimension, start * decay, scale)
