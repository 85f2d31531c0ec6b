"""What is simulated: the Deep Linear Network and Dyson Brownian motion, as frozen, validated descriptions."""

import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from dlnmc.descriptions import Description
from dlnmc.energies import WIDEST, Energy, MatrixEnergy, NoEnergy, Polynomial, Quadratic, powers
from dlnmc.errors import InvalidValue

Size = Annotated[int, Field(ge=1, le=2**24)]
Floats = NDArray[np.float64]

SMALLEST, LARGEST = 1e-100, 1e100  # of β and κ: products of the squares of gaps stay within floating point
DEEPEST = 1e12  # finite depth, where σ^{1/N} still tells singular values apart to four digits


class Langevin(Description):
    """What the models share: temperature κ/β, and an energy that is a sum over components."""

    energy_of_squares: ClassVar[bool]  # whether a polynomial energy is one of s²
    if TYPE_CHECKING:  # fields of the subclasses, which say where they stand among the others
        beta: float
        kappa: float
        energy: Energy

        @property
        def size(self) -> int: ...  # noqa: D102

    @field_validator("energy", mode="before", check_fields=False)
    @classmethod
    def _energy_from_name(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _finite_temperature(self) -> Self:
        for name, value, special in (("kappa", self.kappa, "0"), ("beta", self.beta, "inf")):
            if value != float(special) and not SMALLEST <= value <= LARGEST:
                raise ValueError(f"{name} = {value!r}: it must be {special}, or between {SMALLEST:g} and {LARGEST:g}")
        if not math.isfinite(self.beta) and self.kappa != 0:
            raise ValueError(
                f"beta = {self.beta!r}: it must be finite unless kappa = 0, where it gives the gradient flow"
            )
        return self

    @property
    def powers(self) -> tuple[float, ...]:
        """The coefficients (a_1, a_2, …) of v(s) = Σ a_m s^m, s a singular value or an eigenvalue."""
        return powers(self.energy, self.energy_of_squares, self.size)

    def potential(self, s: Floats) -> Floats:
        """v(s), for an array of singular values or eigenvalues."""
        return np.asarray(np.polynomial.polynomial.polyval(s, [0.0, *self.powers]), dtype=np.float64)

    def slope(self, s: Floats) -> Floats:
        """v'(s), for an array of singular values or eigenvalues."""
        derivative = [m * a for m, a in enumerate(self.powers, 1)]
        return np.asarray(np.polynomial.polynomial.polyval(s, derivative), dtype=np.float64)


class DeepLinearNetwork(Langevin):
    """The Riemannian Langevin equation of the Deep Linear Network (Menon, (12.12) with Theorem 18).

    See docs/mathematics.md, "Deep Linear Network".

    Parameters
    ----------
    width
        d, the number of singular values of the end-to-end matrix W.
    depth
        N >= 1, any real number, or math.inf: the limit N → ∞ of the equation in its own clock.
    beta
        Inverse temperature, > 0; math.inf with κ = 0.
    kappa
        Strength of the noise in the observable relative to the noise in the gauge, >= 0. κ = 0 is a deterministic flow.
    energy
        E(W); default `Quadratic()`, E = ½ Tr WᵀW.
    clock
        "paper": time as in (12.12). "depth": time divided by 1/N, the rescaling (14.6) with a limit as N → ∞; at
        infinite depth time is always counted so.
    """

    width: Size
    depth: float = Field(ge=1)
    beta: float = Field(gt=0)
    kappa: float = Field(default=1.0, ge=0)
    energy: Energy = Quadratic()
    clock: Literal["paper", "depth"] = "paper"
    energy_of_squares: ClassVar[bool] = True
    kind: Literal["deep_linear_network"] = "deep_linear_network"

    @field_validator("depth")
    @classmethod
    def _depth_in_floating_point(cls, value: float) -> float:
        if DEEPEST < value < math.inf:
            raise ValueError(f"it must be between 1 and {DEEPEST:g}, or inf")
        return value

    @model_validator(mode="before")
    @classmethod
    def _clock_of_infinite_depth(cls, values: dict[str, Any]) -> dict[str, Any]:
        infinite = values.get("clock") in (None, "paper") and values.get("depth") == math.inf
        return values | {"clock": "depth"} if infinite else values

    @model_validator(mode="after")
    def _energy_of_this_width(self) -> Self:
        if isinstance(self.energy, MatrixEnergy):
            if self.width > WIDEST:
                raise ValueError(f"width = {self.width}: energies of whole matrices go up to width {WIDEST}")
            self.energy.check(self.width)
        return self

    @property
    def size(self) -> int:
        """The number of singular values, d."""
        return self.width


class DysonBrownianMotion(Langevin):
    """Dyson Brownian motion, Menon (11.8): dx_i = [−V'(x_i) + (2/β) Σ 1/(x_i − x_j)] dt + √(2κ/β) dB_i.

    See docs/mathematics.md, "Dyson Brownian motion".

    Parameters
    ----------
    size
        The number of eigenvalues.
    beta
        Inverse temperature, > 0; math.inf with κ = 0.
    kappa
        0 <= κ <= 2: the repulsion exponent is 2/κ, and for κ > 2 eigenvalues collide.
    energy
        V; default `Quadratic()`, V = ½ Σ x_i².
    """

    size: Size
    beta: float = Field(gt=0)
    kappa: float = Field(default=1.0, ge=0, json_schema_extra={"maximum": 2})
    energy: Energy = Quadratic()
    energy_of_squares: ClassVar[bool] = False
    kind: Literal["dyson"] = "dyson"

    @model_validator(mode="after")
    def _no_collisions(self) -> Self:
        if self.kappa > 2:
            raise ValueError(
                f"kappa = {self.kappa!r}: it must be <= 2, since the repulsion exponent is 2/kappa and below 1 "
                "eigenvalues collide"
            )
        if not self.energy.invariant:
            raise ValueError(
                f"energy = {self.energy.kind!r}: it is one of whole matrices W of the Deep Linear Network; for "
                "eigenvalues there are 'quadratic', 'none' and 'polynomial'"
            )
        if isinstance(self.energy, Polynomial) and len(self.energy.coefficients) % 2:
            raise ValueError(
                f"energy.coefficients = {self.energy.coefficients}: there must be an even number of them, since a "
                "polynomial of odd degree in x does not grow in both directions"
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
