"""What is simulated: the Deep Linear Network and Dyson Brownian motion, as frozen, validated descriptions."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from dlnmc.descriptions import Description
from dlnmc.energies import Energy, NoEnergy, Quadratic
from dlnmc.errors import InvalidValue

Size = Annotated[int, Field(ge=1, le=2**24)]


def _energy_from_name(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


class DeepLinearNetwork(Description):
    """The Riemannian Langevin equation of the Deep Linear Network (Menon, (12.12) with Theorem 18).

    Parameters
    ----------
    width
        d, the number of singular values of the end-to-end matrix W.
    depth
        N >= 1, any real number.
    beta
        Inverse temperature, > 0.
    kappa
        Strength of the noise in the observable relative to the noise in the gauge, >= 0.
    energy
        E(W); default `Quadratic()`, E = ½ Tr WᵀW.
    clock
        "paper": time as in (12.12). "depth": time divided by 1/N, the rescaling (14.6) with a limit as N → ∞.
    """

    width: Size
    depth: float = Field(ge=1)
    beta: float = Field(gt=0)
    kappa: float = Field(default=1.0, ge=0)
    energy: Energy = Quadratic()
    clock: Literal["paper", "depth"] = "paper"
    kind: Literal["deep_linear_network"] = "deep_linear_network"

    _named_energy = field_validator("energy", mode="before")(_energy_from_name)

    @field_validator("beta", "kappa")
    @classmethod
    def _finite(cls, value: float) -> float:
        if not math.isfinite(value):
            raise ValueError("it must be finite")
        return value

    @property
    def size(self) -> int:
        """The number of singular values, d."""
        return self.width


class DysonBrownianMotion(Description):
    """Dyson Brownian motion, Menon (11.8): dx_i = [−V'(x_i) + (2/β) Σ 1/(x_i − x_j)] dt + √(2κ/β) dB_i.

    Parameters
    ----------
    size
        The number of eigenvalues.
    beta
        Inverse temperature, > 0.
    kappa
        0 <= κ <= 2: the repulsion exponent is 2/κ, and for κ > 2 eigenvalues collide.
    energy
        V; default `Quadratic()`, V = ½ Σ x_i².
    """

    size: Size
    beta: float = Field(gt=0)
    kappa: float = Field(default=1.0, ge=0)
    energy: Energy = Quadratic()
    kind: Literal["dyson"] = "dyson"

    _named_energy = field_validator("energy", mode="before")(_energy_from_name)

    @model_validator(mode="after")
    def _no_collisions(self) -> Self:
        if not math.isfinite(self.beta):
            raise ValueError(f"beta = {self.beta!r}: it must be finite")
        if self.kappa > 2:
            raise ValueError(
                f"kappa = {self.kappa!r}: it must be <= 2, since the repulsion exponent is 2/kappa and below 1 "
                "eigenvalues collide"
            )
        return self

    @classmethod
    def standard(cls, size: int, beta: float) -> "DysonBrownianMotion":
        """The standard form (11.1), dx_i = Σ 1/(x_i − x_j) dt + √(2/b) dB_i with b = `beta` >= 1."""
        beta = cls(size=size, beta=beta).beta  # validated
        if not beta >= 1:
            raise InvalidValue(f"beta = {beta!r}: it must be >= 1, since below eigenvalues collide")
        return cls(size=size, beta=2.0, kappa=2.0 / beta, energy=NoEnergy())


Model = Annotated[DeepLinearNetwork | DysonBrownianMotion, Field(discriminator="kind")]
MODELS: dict[str, type[DeepLinearNetwork | DysonBrownianMotion]] = {  # by kind
    "deep_linear_network": DeepLinearNetwork,
    "dyson": DysonBrownianMotion,
}
