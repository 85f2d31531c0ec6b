"""Energies E(W) = Σ v(σ_k) of the Deep Linear Network, and potentials V = Σ v(x_i) of Dyson Brownian motion."""

from typing import Annotated, Literal

from pydantic import Field

from dlnmc.descriptions import Description


class Quadratic(Description):
    """v(s) = s²/2: E = ½ Tr WᵀW, or V = ½ Σ x_i²."""

    kind: Literal["quadratic"] = "quadratic"


class NoEnergy(Description):
    """v = 0: free motion, as in Menon (11.1). It has no equilibrium."""

    kind: Literal["none"] = "none"


Energy = Annotated[Quadratic | NoEnergy, Field(discriminator="kind")]
