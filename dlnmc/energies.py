"""Energies E(W) = Σ v(σ_k) of the Deep Linear Network, and potentials V = Σ v(x_i) of Dyson Brownian motion."""

import math
from typing import Annotated, Literal

from pydantic import Field, field_validator

from dlnmc.descriptions import Description


class Quadratic(Description):
    """v(s) = s²/2: E = ½ Tr WᵀW, or V = ½ Σ x_i²."""

    kind: Literal["quadratic"] = "quadratic"


class NoEnergy(Description):
    """v = 0: free motion, as in Menon (11.1). It has no equilibrium."""

    kind: Literal["none"] = "none"


class Polynomial(Description):
    """A polynomial c_1 u + c_2 u² + … + c_p u^p, of u = σ² for the Deep Linear Network and u = x for Dyson.

    So E = Σ_m c_m Tr (WᵀW)^m, or V = Σ_m c_m Σ_i x_i^m.

    Parameters
    ----------
    coefficients
        c_1 … c_p. The last must be > 0 (for Dyson p must be even too): the energy must grow in every direction.
    """

    coefficients: tuple[float, ...] = Field(min_length=1, max_length=16)
    kind: Literal["polynomial"] = "polynomial"

    @field_validator("coefficients")
    @classmethod
    def _growing(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not all(map(math.isfinite, value)):
            raise ValueError("they must be finite")
        if value[-1] <= 0:
            raise ValueError("the last must be > 0, or the energy does not grow and paths run away")
        return value


Energy = Annotated[Quadratic | NoEnergy | Polynomial, Field(discriminator="kind")]


def powers(energy: Quadratic | NoEnergy | Polynomial, squared: bool) -> tuple[float, ...]:
    """The coefficients (a_1, a_2, …) of v(s) = Σ a_m s^m; `squared` says that a polynomial is one of s²."""
    if isinstance(energy, Polynomial):
        if not squared:
            return energy.coefficients
        return tuple(c for pair in ((0.0, c) for c in energy.coefficients) for c in pair)
    return (0.0, 0.5 if isinstance(energy, Quadratic) else 0.0)
