"""Energies E(W) of the Deep Linear Network, and potentials V = Σ v(x_i) of Dyson Brownian motion.

Those that are sums of v over singular values or eigenvalues are called invariant. Others need whole matrices.
"""

import csv
import dataclasses
import functools
import keyword
import math
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, field_validator, model_validator
from typing_extensions import override

from dlnmc import landscape
from dlnmc.descriptions import Description
from dlnmc.errors import InvalidValue
from dlnmc.functions import Function, compiled, digest, is_function, python_of, reason
from dlnmc_kernels.energies import each_gradient, each_value, gradient_pointer, value_pointer

Floats = NDArray[np.float64]
LARGEST = 1e100  # of numbers: their products stay within floating point
WIDEST = 2048  # of matrices with an energy of their own: one step takes seconds beyond
Finite = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]
Index = Annotated[int, Field(ge=0)]
Rows = tuple[tuple[Finite, ...], ...]

MOST_SHOWN = 6  # numbers in a title


class _Invariant(Description):
    invariant: ClassVar[bool] = True

    @property
    def words(self) -> str:
        """What titles say of it: nothing, where it is the usual one or none."""
        return ""


class MatrixEnergy(Description):
    """An energy of whole matrices W, (…, d, d)."""

    invariant: ClassVar[bool] = False

    def check(self, width: int) -> None:
        """Raise ValueError where the energy is not one of width × width matrices."""
        raise NotImplementedError

    @property
    def words(self) -> str:
        """What titles say of it."""
        raise NotImplementedError

    def check_functions(self) -> None:
        """Raise InvalidValue where E is a user's own, and its functions are not known in this process."""

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

    coefficients: tuple[Finite, ...] = Field(min_length=1, max_length=16)
    kind: Literal["polynomial"] = "polynomial"

    @field_validator("coefficients")
    @classmethod
    def _growing(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if value[-1] <= 0:
            raise ValueError("the last must be > 0, or the energy does not grow and paths run away")
        return value

    @property
    @override
    def words(self) -> str:
        return f"polynomial energy {_listed(self.coefficients)}"


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
    confinement: float = Field(default=0.0, ge=0, le=LARGEST, allow_inf_nan=False)
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
        """From a file with a line i,j,value for each entry that is given, rows and columns counted from 0.

        The first line may be a header, of no number.
        """
        entries = []
        try:
            with Path(path).open(newline="", encoding="utf-8-sig") as file:
                for number, line in enumerate(csv.reader(file), 1):
                    if number == 1 and len(line) == 3 and not any(map(_is_number, line)):
                        continue
                    if any(map(str.strip, line)) and not line[0].lstrip().startswith("#"):
                        try:
                            i, j, value = line
                            entries.append((int(i), int(j), float(value)))
                            if int(i) < 0 or int(j) < 0 or not math.isfinite(float(value)):
                                raise ValueError
                        except ValueError:
                            text = ",".join(line)
                            raise InvalidValue(
                                f"{path}, line {number}: {text!r} is not integers i, j and a number"
                            ) from None
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

    @property
    @override
    def words(self) -> str:
        confined = f", confinement {self.confinement:g}" if self.confinement else ""
        return f"completion of {len(self.entries)} {'entry' if len(self.entries) == 1 else 'entries'}{confined}"

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
    """E = ½ |W − T|² (Frobenius), with the minimum at a target.

    Parameters
    ----------
    target
        T, d rows of d numbers.
    """

    target: Rows = Field(min_length=1)
    kind: Literal["quadratic_to"] = "quadratic_to"

    @override
    def check(self, width: int) -> None:
        _check_square("target", self.target, width)

    @property
    @override
    def words(self) -> str:
        return "quadratic energy about a target"

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

    @property
    @override
    def words(self) -> str:
        return f"least squares of {len(self.inputs)} sample{'s' if len(self.inputs) != 1 else ''}"

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


class OwnEnergy(MatrixEnergy):
    """A user's own E(W), by two functions of W, a (d, d) array, and p, a read-only array of parameters.

    They are Python that Numba compiles, and are tried when a model is made of them: the gradient must be that of the
    value. Where they raise something later, the path fails. Files hold the name, the parameters and a hash of the
    source, never code: a description that comes from a file can be run once an `OwnEnergy` has been made of the same
    functions.

    Parameters
    ----------
    name
        An identifier, for titles and messages.
    value
        E(W, p), a number.
    gradient
        E'(W, p), a (d, d) array: entry (k, l) is ∂E/∂W_kl.
    parameters
        p, numbers.
    curvature
        The smallest and the largest curvature of E, the former 0 where E does not grow in every direction: scales for
        starts and default steps. Left out, they are estimated (`dlnmc.landscape.estimated`), up to width 32.
    minimum
        The smallest W at which E is least, d rows of d numbers; estimated likewise.
    sha256
        In files, the hash of the functions' source.
    """

    name: str
    parameters: tuple[Finite, ...] = ()
    curvature: tuple[Finite, Finite] | None = None
    minimum: Rows | None = None
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    kind: Literal["own"] = "own"

    def __init__(
        self,
        name: Any = None,
        value: Function | None = None,
        gradient: Function | None = None,
        parameters: Any = (),
        **described: Any,
    ) -> None:
        if "sha256" not in described:
            described["sha256"] = _registered(name, value, gradient)
        elif value is not None or gradient is not None:
            raise InvalidValue(f"energy {name!r}: sha256 follows from the functions; give one or the others")
        super().__init__(**described, **{"name": name, "parameters": parameters})

    def __reduce__(self) -> Any:
        """Another process gets the functions along with their hash, for which it may lack the source."""
        described = {name: getattr(self, name) for name in type(self).model_fields}
        functions = _FUNCTIONS.get(self.sha256)
        return _unpickled, (described, None if functions is None else (functions.value, functions.gradient))

    @field_validator("name")
    @classmethod
    def _identifier(cls, value: str) -> str:
        if not value.isidentifier() or keyword.iskeyword(value):
            raise ValueError("it must be an identifier, such as 'double_well'")
        return value

    @field_validator("curvature")
    @classmethod
    def _ascending(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not 0.0 <= value[0] <= value[1]:
            raise ValueError("it must be the smallest curvature, >= 0, and the largest")
        return value

    @override
    def check(self, width: int) -> None:
        if self.minimum is not None:
            _check_square("minimum", self.minimum, width)
        if self.sha256 in _FUNCTIONS:
            _tried(self, width)

    @property
    def functions(self) -> "Functions":
        """Value and gradient; InvalidValue where they are not known in this process."""
        if self.sha256 not in _FUNCTIONS:
            raise InvalidValue(
                f"energy {self.name!r}: files hold no code, so it cannot be run before its functions are given again, "
                f"in dlnmc.OwnEnergy({self.name!r}, value, gradient, …), with the source of SHA-256 "
                f"{self.sha256[:16]}…"
            )
        return _FUNCTIONS[self.sha256]

    @override
    def check_functions(self) -> None:
        self.functions  # noqa: B018

    @property
    def array(self) -> Floats:
        """The parameters as functions get them."""
        p = np.array(self.parameters, dtype=np.float64)
        p.setflags(write=False)
        return p

    @property
    @override
    def words(self) -> str:
        return f"energy {self.name} {_listed(self.parameters)}".rstrip()

    @override
    def value(self, W: ArrayLike) -> Floats:
        W = np.ascontiguousarray(W, dtype=np.float64)
        out = np.empty(W.shape[:-2])
        each_value(self.functions.compiled_value, W.reshape(-1, *W.shape[-2:]), self.array, out.reshape(-1))
        return out

    @override
    def gradient(self, W: ArrayLike) -> Floats:
        W = np.ascontiguousarray(W, dtype=np.float64)
        out = np.empty(W.shape)
        flat = (-1, *W.shape[-2:])
        each_gradient(self.functions.compiled_gradient, W.reshape(flat), self.array, out.reshape(flat))
        return out

    @override
    def stiffness(self, width: int) -> float:
        return self.curvature[1] if self.curvature else _landscape(self, width).stiffness

    @override
    def softness(self, width: int) -> float:
        return self.curvature[0] if self.curvature else _landscape(self, width).softness

    @override
    def minimiser(self, width: int) -> Floats:
        return np.array(self.minimum) if self.minimum else _landscape(self, width).minimiser


@dataclasses.dataclass(frozen=True)
class Functions:
    """A user's E and E', as they were given, and as kernels take them."""

    value: Function
    gradient: Function

    @functools.cached_property
    def compiled_value(self) -> Any:
        """E for kernels."""
        return _pointer(value_pointer, compiled(self.value))

    @functools.cached_property
    def compiled_gradient(self) -> Any:
        """E' for kernels."""
        return _pointer(gradient_pointer, compiled(self.gradient))


@functools.cache
def _pointer(make: Function, function: Function) -> Any:
    return make(function)


_FUNCTIONS: dict[str, Functions] = {}  # by the hash of their source: descriptions hold nothing else


def _registered(name: Any, value: Any, gradient: Any) -> str:
    """Keep a user's functions, and return the hash that they are found by."""
    for role, function in (("value", value), ("gradient", gradient)):
        if not is_function(function):
            raise InvalidValue(
                f"energy {name!r}: {role} is {function!r}: it must be a function that is written in Python, or one "
                "compiled by Numba"
            )
    key = digest(value, gradient)
    _FUNCTIONS.setdefault(key, Functions(value, gradient))
    return key


def _unpickled(described: dict[str, Any], functions: tuple[Function, Function] | None) -> OwnEnergy:
    if functions is not None:
        _FUNCTIONS.setdefault(described["sha256"], Functions(*functions))
    return OwnEnergy(**described)


@functools.lru_cache(maxsize=256)
def _tried(energy: OwnEnergy, width: int) -> None:
    """Raise InvalidValue where functions fail on fixed random matrices, or the gradient is not that of the value."""
    _tried_alone(energy, "value", (), "a real number", width)
    _tried_alone(energy, "gradient", (width, width), f"a real array of the shape {(width, width)}", width)
    wrong = landscape.disagreement(energy.value, energy.gradient, width)
    if wrong is not None:
        raise InvalidValue(
            f"energy {energy.name!r}: gradient[{wrong.row}, {wrong.column}] = {wrong.gradient:.9g} at a random W, and "
            f"differences of value give {wrong.difference:.9g}: it must be ∂E/∂W"
        )


def _tried_alone(energy: OwnEnergy, role: str, shape: tuple[int, ...], allowed: str, width: int) -> None:
    """Raise InvalidValue where one of the functions fails, in Python or compiled, or returns what it must not."""
    where, trials = f"energy {energy.name!r}: {role}", landscape.trials(width)
    function = python_of(getattr(energy.functions, role))
    try:
        with np.errstate(all="ignore"):  # compiled code does not see an index that is out of range: Python goes first
            plain = [function(W.copy(), energy.array) for W in trials]
        for returned in plain:
            if np.shape(returned) != shape or np.asarray(returned).dtype.kind not in "biuf":
                raise _Returned(_short(returned))
        compiled(getattr(energy.functions, role))(trials[0].copy(), energy.array)  # refuses what writes to parameters
        found = getattr(energy, role)(trials)
    except _Returned as returned:
        raise InvalidValue(f"{where} returns {returned}: it must be {allowed}") from None
    except Exception as error:  # whatever a user's function does
        raise InvalidValue(f"{where} cannot be compiled, or fails at width {width}: {reason(error)}") from None
    if not np.all(np.isfinite(found)):
        raise InvalidValue(f"{where} is not finite at a random W of width {width}: it must be everywhere")
    if not np.allclose(found, plain, rtol=1e-9, atol=1e-12 * float(np.max(np.abs(found)))):
        raise InvalidValue(f"{where} is not the same at a random W when it is compiled as in Python")


class _Returned(Exception):
    """What a user's function returned, where it must not."""


@functools.lru_cache(maxsize=256)
def _landscape(energy: OwnEnergy, width: int) -> landscape.Landscape:
    advice = "give curvature = (smallest, largest) and minimum"
    if width > landscape.LARGEST_WIDTH:
        raise InvalidValue(
            f"energy {energy.name!r}: its curvature and minimum are estimated up to width {landscape.LARGEST_WIDTH}, "
            f"and the width is {width}; {advice}"
        )
    try:
        return landscape.estimated(energy.value, energy.gradient, width)
    except InvalidValue:
        raise
    except Exception as error:  # whatever a user's function does
        raise InvalidValue(f"energy {energy.name!r}: its curvature is not found ({reason(error)}); {advice}") from None


def _check_square(name: str, rows: Rows, width: int) -> None:
    if len(rows) != width or any(len(row) != width for row in rows):
        raise ValueError(f"energy.{name}: it must have {width} rows of {width} numbers, as the width is {width}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _short(value: Any) -> str:
    array = np.asarray(value)
    return f"an array of {array.dtype}, shape {array.shape}" if array.ndim else repr(value)[:60]


def _listed(numbers: tuple[float, ...]) -> str:
    """A few numbers in brackets, for titles."""
    shown = [f"{number:g}" for number in numbers[:MOST_SHOWN]] + ["…"] * (len(numbers) > MOST_SHOWN)
    return f"({', '.join(shown)})" if shown else ""


Energy = Annotated[
    Quadratic | NoEnergy | Polynomial | MatrixCompletion | QuadraticTo | LeastSquares | OwnEnergy,
    Field(discriminator="kind"),
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
