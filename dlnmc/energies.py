"""Energies E(W) of the Deep Linear Network, and potentials V = Σ v(x_i) of Dyson Brownian motion.

Those that are sums of v over singular values or eigenvalues are called invariant. Others need whole matrices.
"""

import csv
import math
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, field_validator, model_validator
from typing_extensions import override

from dlnmc.descriptions import Description
from dlnmc.errors import InvalidValue

Floats = NDArray[np.float64]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Index = Annotated[int, Field(ge=0)]
Rows = tuple[tuple[Finite, ...], ...]


class _Invariant(Description):
    invariant: ClassVar[bool] = True


class MatrixEnergy(Description):
    """An energy of whole matrices W, (…, d, d)."""

    invariant: ClassVar[bool] = False

    def check(self, width: int) -> None:
        """Raise ValueError where the energy is not one of width × width matrices."""
        raise NotImplementedError

    def value(self, W: ArrayLike) -> Floats:
        """E(W), (…)."""
        raise NotImplementedError

    def gradient(self, W: ArrayLike) -> Floats:
        """E'(W), (…, d, d)."""
        raise NotImplementedError

    def stiffness(self, width: int) -> float:
        """The largest curvature of E."""
        raise NotImplementedError

    def softness(self, width: int) -> float:
        """The smallest curvature of E, 0 where it does not grow in every direction."""
        raise NotImplementedError

    def minimiser(self, width: int) -> Floats:
        """The smallest W (d, d) at which E is least."""
        raise NotImplementedError


class Quadratic(_Invariant):
    """v(s) = s²/2: E = ½ Tr WᵀW, or V = ½ Σ x_i²."""

    kind: Literal["quadratic"] = "quadratic"


class NoEnergy(_Invariant):
    """v = 0: free motion, as in Menon (11.1). It has no equilibrium."""

    kind: Literal["none"] = "none"


class Polynomial(_Invariant):
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


class MatrixCompletion(MatrixEnergy):
    """E = ½ Σ_{(i,j) ∈ S} (W_ij − a_ij)² + ½ c Tr WᵀW (Menon (3.8), where c = 0).

    Parameters
    ----------
    entries
        (i, j, a_ij) for each entry that is given, rows and columns counted from 0.
    confinement
        c >= 0. With c = 0 and entries left open E does not confine W, and there is no equilibrium.
    """

    entries: tuple[tuple[Index, Index, Finite], ...] = Field(min_length=1)
    confinement: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    kind: Literal["matrix_completion"] = "matrix_completion"

    @model_validator(mode="after")
    def _once_each(self) -> Self:
        places: set[tuple[int, int]] = set()
        for i, j, _ in self.entries:
            if (i, j) in places:
                raise ValueError(f"entries: {(i, j)} is given twice")
            places.add((i, j))
        return self

    @classmethod
    def from_mask(cls, mask: ArrayLike, values: ArrayLike, confinement: float = 0.0) -> Self:
        """From a boolean mask (d, d) of the entries that are given, and a matrix (d, d) that holds them."""
        try:
            chosen, matrix = np.asarray(mask), np.asarray(values)
        except ValueError as error:
            text = " ".join(str(error).split())
            raise InvalidValue(f"mask and values: they must be matrices of one shape, not {text}") from None
        if matrix.dtype.kind not in "iuf":
            raise InvalidValue(f"values of {matrix.dtype}: they must be real numbers")
        if chosen.dtype != bool or chosen.ndim != 2 or chosen.shape != matrix.shape:
            raise InvalidValue(
                f"mask of {chosen.dtype}, shape {chosen.shape}, and values of shape {matrix.shape}: they must be a "
                "boolean matrix and a matrix of one shape"
            )
        entries = tuple((int(i), int(j), float(matrix[i, j])) for i, j in np.argwhere(chosen))
        return cls(entries=entries, confinement=confinement)

    @classmethod
    def from_csv(cls, path: str | Path, confinement: float = 0.0) -> Self:
        """From a file with a line i,j,value for each entry that is given, rows and columns counted from 0."""
        entries = []
        try:
            with Path(path).open(newline="", encoding="utf-8") as file:
                for number, line in enumerate(csv.reader(file), 1):
                    if any(map(str.strip, line)) and not line[0].lstrip().startswith("#"):
                        try:
                            i, j, value = line
                            entries.append((int(i), int(j), float(value)))
                            if int(i) < 0 or int(j) < 0 or not math.isfinite(float(value)):
                                raise ValueError
                        except ValueError:
                            text = ",".join(line)
                            raise InvalidValue(f"{path}, line {number}: {text!r} is not i,j,value") from None
        except OSError as error:
            raise InvalidValue(f"{path}: {error.strerror}") from None
        except (UnicodeDecodeError, csv.Error) as error:
            raise InvalidValue(f"{path}: it is not text of lines i,j,value ({error})") from None
        if not entries:
            raise InvalidValue(f"{path}: it holds no line i,j,value")
        return cls(entries=tuple(entries), confinement=confinement)

    @override
    def check(self, width: int) -> None:
        for i, j, value in self.entries:
            if max(i, j) >= width:
                raise ValueError(
                    f"energy.entries holds ({i}, {j}, {value:g}): rows and columns of width {width} go from 0 to "
                    f"{width - 1}"
                )

    def weights_and_targets(self, width: int) -> tuple[Floats, Floats]:
        """Matrices with E = ½ Σ weight (W − target)², up to a constant."""
        weights, targets = np.full((width, width), self.confinement), np.zeros((width, width))
        for i, j, value in self.entries:
            weights[i, j] += 1.0
            targets[i, j] = value / weights[i, j]
        return weights, targets

    @override
    def value(self, W: ArrayLike) -> Floats:
        W = np.asarray(W, dtype=np.float64)
        i, j, values = (np.array(column) for column in zip(*self.entries, strict=True))
        missed = np.sum((W[..., i, j] - values) ** 2, axis=-1)
        return np.asarray(0.5 * missed + 0.5 * self.confinement * np.sum(W**2, axis=(-2, -1)))

    @override
    def gradient(self, W: ArrayLike) -> Floats:
        W = np.asarray(W, dtype=np.float64)
        weights, targets = self.weights_and_targets(W.shape[-1])
        return np.asarray(weights * (W - targets))

    @override
    def stiffness(self, width: int) -> float:
        return 1.0 + self.confinement

    @override
    def softness(self, width: int) -> float:
        return self.confinement + float(len(self.entries) == width * width)

    @override
    def minimiser(self, width: int) -> Floats:
        return self.weights_and_targets(width)[1]


class QuadraticTo(MatrixEnergy):
    """E = ½ |W − T|² (Frobenius), with the minimum at a target T, d rows of d numbers."""

    target: Rows = Field(min_length=1)
    kind: Literal["quadratic_to"] = "quadratic_to"

    @override
    def check(self, width: int) -> None:
        if len(self.target) != width or any(len(row) != width for row in self.target):
            raise ValueError(f"energy.target: it must have {width} rows of {width} numbers, as the width is {width}")

    @override
    def value(self, W: ArrayLike) -> Floats:
        return np.asarray(0.5 * np.sum((np.asarray(W) - np.array(self.target)) ** 2, axis=(-2, -1)))

    @override
    def gradient(self, W: ArrayLike) -> Floats:
        return np.asarray(np.asarray(W) - np.array(self.target))

    @override
    def stiffness(self, width: int) -> float:
        return 1.0

    @override
    def softness(self, width: int) -> float:
        return 1.0

    @override
    def minimiser(self, width: int) -> Floats:
        return np.array(self.target)


class LeastSquares(MatrixEnergy):
    """E = (1/n) Σ_k |W X_k − Y_k|² (Menon (2.1)), for n samples of d numbers each.

    Parameters
    ----------
    inputs, outputs
        X_k and Y_k, each n rows of d numbers.
    """

    inputs: Rows = Field(min_length=1)
    outputs: Rows = Field(min_length=1)
    kind: Literal["least_squares"] = "least_squares"

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if len(self.inputs) != len(self.outputs):
            raise ValueError(f"there are {len(self.inputs)} inputs and {len(self.outputs)} outputs: one for each")
        return self

    @override
    def check(self, width: int) -> None:
        if any(len(row) != width for row in (*self.inputs, *self.outputs)):
            raise ValueError(f"energy: samples must have {width} numbers, as the width is {width}")

    def normal_equations(self) -> tuple[Floats, Floats]:
        """Matrices A and B with E'(W) = W A − B."""
        X, Y = np.array(self.inputs), np.array(self.outputs)
        return 2.0 / len(X) * X.T @ X, 2.0 / len(X) * Y.T @ X

    @override
    def value(self, W: ArrayLike) -> Floats:
        X, Y = np.array(self.inputs), np.array(self.outputs)
        missed = np.einsum("...ij,kj->...ki", np.asarray(W, dtype=np.float64), X) - Y
        return np.asarray(np.sum(missed**2, axis=(-2, -1)) / len(X))

    @override
    def gradient(self, W: ArrayLike) -> Floats:
        A, B = self.normal_equations()
        return np.asarray(np.asarray(W, dtype=np.float64) @ A - B)

    @override
    def stiffness(self, width: int) -> float:
        return float(np.linalg.eigvalsh(self.normal_equations()[0])[-1])

    @override
    def softness(self, width: int) -> float:
        values = np.linalg.eigvalsh(self.normal_equations()[0])
        return float(values[0]) if values[0] > 1e-12 * values[-1] else 0.0

    @override
    def minimiser(self, width: int) -> Floats:
        A, B = self.normal_equations()
        return np.asarray(B @ np.linalg.pinv(A, hermitian=True))


Energy = Annotated[
    Quadratic | NoEnergy | Polynomial | MatrixCompletion | QuadraticTo | LeastSquares, Field(discriminator="kind")
]


def powers(energy: Any, squared: bool, width: int) -> tuple[float, ...]:
    """The coefficients (a_1, a_2, …) of v(s) = Σ a_m s^m; `squared` says that a polynomial is one of s².

    For energies that are not invariant it is a quadratic with their largest curvature, as a scale for steps.
    """
    if not energy.invariant:
        return (0.0, 0.5 * energy.stiffness(width))
    if isinstance(energy, Polynomial):
        if not squared:
            return energy.coefficients
        return tuple(c for pair in ((0.0, c) for c in energy.coefficients) for c in pair)
    return (0.0, 0.5 if isinstance(energy, Quadratic) else 0.0)
