"""The law of Tr WᵀW for the DLN and of Σx² for Dyson Brownian motion."""

from __future__ import annotations

import math

from dlnmc.errors import InvalidValue
from dlnmc.laws.base import Law, check_depth
from dlnmc.laws.gamma import Gamma
from dlnmc.laws.models import DeepLinearNetwork, Dyson, diffused_variance, energy_kind, temperature


def trace(model: DeepLinearNetwork | Dyson, time: float | None = None) -> Law:
    """The law of Tr WᵀW (of Σx² for Dyson), unscaled; exact at every width.

    DLN (a model with `depth`, `width`, `beta`, `kappa`), at equilibrium for E = ½ Tr WᵀW:
    `Gamma(D/(2N), 2κ/β)`, `D = d + d(d−1)(N/(2κ) + 1 − 1/(2κ))`, since the density of λ is homogeneous.

    Dyson (a model with `size`, `beta`, `kappa`): `Gamma((d + d(d−1)/κ)/2, 2s²)`, where for V = x²/2 s² = κ/β
    at equilibrium and (κ/β)(1 − e^{−2t}) at a time t after a start from 0, and s² = 2κt/β for V = 0.
    By Itô's formula on (11.8), √Σx² is a Bessel or radial Ornstein–Uhlenbeck process (Revuz and
    Yor 1999, XI.1).

    Raises ValueError where no exact law is known, and for a DLN of infinite depth without equilibrium.

    See docs/mathematics.md, "Laws".
    """
    return _of_network(model, time) if isinstance(model, DeepLinearNetwork) else _of_dyson(model, time)


def _of_dyson(model: Dyson, time: float | None) -> Gamma:
    variance, d = diffused_variance(model, time), model.size
    return Gamma((d + d * (d - 1) / model.kappa) / 2.0, 2.0 * variance)


def _of_network(model: DeepLinearNetwork, time: float | None) -> Gamma:
    if time is not None:
        raise InvalidValue(f"the trace of the DLN has an exact law at equilibrium only, got time {time!r}")
    if (kind := energy_kind(model)) != "quadratic":
        raise InvalidValue(f"the trace of the DLN has an exact law for energy quadratic only, got {kind!r}")
    T, kappa, N, d = temperature(model), model.kappa, check_depth(model.depth), model.width
    if math.isinf(N):
        threshold = (d - 1) / (2 * d)
        if kappa >= threshold:
            raise InvalidValue(
                f"no equilibrium at infinite depth unless kappa < (d-1)/(2d) = {threshold:.6g}, got {kappa!r}"
            )
    per_pair = 1.0 / (2.0 * kappa) + (1.0 - 1.0 / (2.0 * kappa)) / N
    return Gamma((d / N + d * (d - 1) * per_pair) / 2.0, 2.0 * T)
