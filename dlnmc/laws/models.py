"""What the laws need to know of a model, by its attributes alone, whatever its class."""

from __future__ import annotations

import math
from typing import Any, Protocol, runtime_checkable

from dlnmc.errors import InvalidValue
from dlnmc.laws.base import check_positive


@runtime_checkable
class DeepLinearNetwork(Protocol):
    """(12.12): attributes of a model of W. Without an attribute `energy`, E = ½ Tr WᵀW."""

    @property
    def depth(self) -> float:
        """N ≥ 1, or inf."""
        ...

    @property
    def width(self) -> int:
        """The width d."""
        ...

    @property
    def beta(self) -> float:
        """β > 0."""
        ...

    @property
    def kappa(self) -> float:
        """κ > 0."""
        ...


class Dyson(Protocol):
    """(11.8): attributes of a model of eigenvalues. Without an attribute `energy`, V = x²/2."""

    @property
    def size(self) -> int:
        """The number of eigenvalues d."""
        ...

    @property
    def beta(self) -> float:
        """β > 0."""
        ...

    @property
    def kappa(self) -> float:
        """κ > 0."""
        ...


def energy_kind(model: DeepLinearNetwork | Dyson) -> str:
    """`model.energy.kind`; "none" where the energy is None, "quadratic" where there is no such attribute."""
    if not hasattr(model, "energy"):
        return "quadratic"
    energy: Any = model.energy
    return "none" if energy is None else str(energy.kind)


def temperature(model: DeepLinearNetwork | Dyson) -> float:
    """κ/β, the temperature of the noise in the observable.

    Raises ValueError unless κ and β are positive and finite.
    """
    return check_positive("kappa", model.kappa) / check_positive("beta", model.beta)


def diffused_variance(model: Dyson, time: float | None) -> float:
    """Variance at `time` of √(2κ/β) dB with the drift −V' alone, from a point; None: at equilibrium.

    V = x²/2: (κ/β)(1 − e^{−2t}). V = 0: 2κt/β. Raises ValueError for another V, for V = 0 without a time, and
    for a time that is not positive and finite.
    """
    kind = energy_kind(model)
    if kind not in ("quadratic", "none"):
        raise InvalidValue(f"Dyson Brownian motion has exact laws for energy quadratic or none, got {kind!r}")
    if time is None:
        if kind == "none":
            raise InvalidValue("free Dyson Brownian motion (energy none) has no equilibrium: give a time > 0")
        return temperature(model)
    check_positive("time", time)
    if kind == "none":
        return 2.0 * temperature(model) * time
    return -temperature(model) * math.expm1(-2.0 * time)
