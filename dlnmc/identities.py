"""Generator identities: at equilibrium E[Lf] = 0 for the generator L and every admissible test function f.

They are exact at every width, depth, β, κ and for every energy, so they check a simulation where no law is known
(C. Stein 1972; for diffusions Barbour 1990; for f linear in the density of components they are the loop equations of
the ensemble, Johansson 1998). For the Deep Linear Network f must be smooth in W: here a function of y = σ² or of
x = λ² = σ^{2/N}, so that ∂f/∂λ_k = 0 at λ_k = 0 and the boundary pays nothing.

Test functions are products of one or two means tr φ = (1/d) Σ_k φ(w_k), where w is y, x or an eigenvalue in units of
its size at equilibrium. In the flat coordinate u, whose noise is √(2κ/β) dB,

    d L tr φ = Σ_k [ (κ/β) w_u² φ'' + ((κ/β) w_uu − ∂E/∂u w_u) φ' ]_k + Σ_{k<l} [ P_kl (φ'_k + φ'_l)/2 + Q_kl φ'_{k,l} ]

with the divided difference φ'_{k,l} = (φ'_k − φ'_l)/(w_k − w_l): nothing is singular at a collision.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from dlnmc import laws
from dlnmc.defaults import size_towards
from dlnmc.energies import MatrixEnergy
from dlnmc.errors import InvalidValue
from dlnmc.models import DeepLinearNetwork, DysonBrownianMotion
from dlnmc.statistics import mean_over_paths
from dlnmc.statistics.estimates import allowed_z, check_probability, skewness_of

Floats = NDArray[np.float64]

FALSE_ALARM = 1e-6
DEEPEST = 32.0  # x = y^{1/N} up to this depth, y^{1/32} beyond: σ = λ^N of a smaller root leaves the range of floats
BLOCK = 2**18  # pairs of components in memory at a time


class Function(NamedTuple):
    """φ, φ' and the divided difference of φ', which is φ'' at coinciding arguments."""

    value: Callable[[Floats], Floats]
    derivative: Callable[[Floats], Floats]
    difference: Callable[[Floats, Floats], Floats]


class Coordinate(NamedTuple):
    """w of each component and what L needs of it, shapes (sample, component) and, for P and Q, (sample, pair)."""

    w: Floats
    slope: Floats  # w_u
    curvature: Floats  # w_uu
    pull: Floats  # ∂E/∂u w_u
    P: Floats
    Q: Floats

    def stretched(self, c: float) -> "Coordinate":
        """The same for c w."""
        return Coordinate(c * self.w, c * self.slope, c * self.curvature, c * self.pull, c * self.P, c * c * self.Q)


class Applied(NamedTuple):
    """A test function f: its value, the part of Lf due to the energy, the rest of Lf, and ∂f/∂u (sample, …)."""

    value: Floats
    energy: Floats
    rest: Floats
    gradient: Floats


class Identity(NamedTuple):
    """E[Lf] = 0 as samples have it: z = mean/error follows Student's law of `freedom` degrees if they are exact.

    That is so up to the `skewness` of the mean. `terms_scale` is the mean of |Σ_k ∂E/∂u_k ∂f/∂u_k|, one of the terms
    that cancel, with which to compare the mean.
    """

    name: str
    mean: float
    error: float
    z: float
    terms_scale: float
    freedom: float
    skewness: float


class Verdict(NamedTuple):
    """Whether all identities hold, the one furthest from 0, and the threshold of its |z|.

    `holds` is None where that is not known: the paths are too few for so skewed a law.
    """

    holds: bool | None
    worst: Identity
    threshold: float
    false_alarm: float


def _bump(w: Floats) -> Floats:
    return 1.0 / (1.0 + w * w)


def _difference_of_resolvent(a: Floats, b: Floats) -> Floats:
    ab = a * b
    return -2.0 * (_bump(a) * _bump(b)) ** 2 * (1.0 - ab * (2.0 + a * a + ab + b * b))


LINEAR = Function(lambda w: w, np.ones_like, lambda a, b: np.zeros_like(a))
SQUARE = Function(lambda w: w * w, lambda w: 2.0 * w, lambda a, b: np.full_like(a, 2.0))
LOGARITHM = Function(
    lambda w: np.log1p(w * w), lambda w: 2.0 * w * _bump(w), lambda a, b: 2.0 * (1.0 - a * b) * _bump(a) * _bump(b)
)
COSINE = Function(np.cos, lambda w: -np.sin(w), lambda a, b: -np.cos(0.5 * (a + b)) * np.sinc((a - b) / (2.0 * np.pi)))
ARCTANGENT = Function(np.arctan, _bump, lambda a, b: -(a + b) * _bump(a) * _bump(b))
RESOLVENT = Function(_bump, lambda w: -2.0 * w * _bump(w) ** 2, _difference_of_resolvent)

Factor = tuple[str, Function]

# By name: the factors, each a coordinate and a function of it. For the network y = σ² and x = y^{1/N} (y^{1/32} beyond
# depth 32) are in units of their size, and c = d^{1 + 1/N} takes x to the size of the smallest singular value's.
NETWORK: dict[str, tuple[Factor, ...]] = {
    "tr y": (("y", LINEAR),),
    "tr y²": (("y", SQUARE),),
    "tr log(1+y²)": (("y", LOGARITHM),),
    "tr cos y": (("y", COSINE),),
    "tr arctan x": (("x", ARCTANGENT),),
    "tr 1/(1+x²)": (("x", RESOLVENT),),
    "tr arctan cx": (("cx", ARCTANGENT),),
    "(tr y)²": (("y", LINEAR), ("y", LINEAR)),
    "(tr cos y)²": (("y", COSINE), ("y", COSINE)),
    "tr y tr arctan x": (("y", LINEAR), ("x", ARCTANGENT)),
}
DYSON: dict[str, tuple[Factor, ...]] = {
    "tr x": (("x", LINEAR),),
    "tr x²": (("x", SQUARE),),
    "tr log(1+x²)": (("x", LOGARITHM),),
    "tr cos x": (("x", COSINE),),
    "tr arctan x": (("x", ARCTANGENT),),
    "tr 1/(1+x²)": (("x", RESOLVENT),),
    "(tr x)²": (("x", LINEAR), ("x", LINEAR)),
    "(tr cos x)²": (("x", COSINE), ("x", COSINE)),
    "tr x² tr 1/(1+x²)": (("x", SQUARE), ("x", RESOLVENT)),
}


def generator(model: DeepLinearNetwork | DysonBrownianMotion, values: Any) -> dict[str, Floats]:
    """Lf in the model's own clock, for each test function by name, at singular values or eigenvalues.

    `values` have shape (…, component), in any order, and each result has shape (…). Values that coincide or are 0 are
    as good as others; NaN gives NaN. The cost is O(d²) per sample.

    Raises InvalidValue for values of another width or negative singular values, and where there is no equilibrium:
    κ = 0, no energy, or κ too large at infinite depth.
    """
    return {name: energy + rest for name, (energy, rest) in _parts(model, values).items()}


def identities(model: DeepLinearNetwork | DysonBrownianMotion, samples: Any) -> list[Identity]:
    """The mean of Lf, with its error, for each test function, over samples of shape (path, draw, component).

    Errors are from independent paths, each the mean of its draws; a path with NaN, which failed, is left out. Skewness
    is in magnitude, and at least that of the trace of one state, from its Gamma law (for quadratic energy): a few paths
    may have missed the tail that makes it, and do not show it then.

    Raises InvalidValue for samples of another shape or of less than two paths, and as `generator`.
    """
    samples = np.asarray(samples, dtype=np.float64)
    if samples.ndim != 3 or len(samples) < 2 or samples.shape[1] < 1:
        raise InvalidValue(f"samples have the shape {samples.shape}: it must be (path, draw, component), of >= 2 paths")
    return from_parts(model, _parts(model, samples))


def from_parts(
    model: DeepLinearNetwork | DysonBrownianMotion, parts: Mapping[str, tuple[Floats, Floats] | Floats]
) -> list[Identity]:
    """The identities of test functions, of each by name what is due to the energy, and the rest: (path, draw) both."""
    found = []
    trace = laws.trace(model.changed(energy="quadratic"))
    of_trace = 2.0 * math.sqrt(trace.var()) / trace.mean()
    for name, (energy, rest) in parts.items():
        per_path = (energy + rest).mean(axis=1)
        largest = float(np.max(np.abs(per_path), where=np.isfinite(per_path), initial=0.0))
        mean, error = (largest * each for each in mean_over_paths(per_path / (largest or 1.0)))  # no square underflows
        z = mean / error if error > 0.0 else math.nan
        terms_scale = mean_over_paths(np.abs(energy).mean(axis=1)).value
        skewness = max(abs(skewness_of(per_path)), of_trace) / math.sqrt(max(1, np.isfinite(per_path).sum()))
        found.append(Identity(name, mean, error, z, terms_scale, _freedom(per_path), skewness))
    return found


def verdict(found: Sequence[Identity], false_alarm: float = FALSE_ALARM) -> Verdict:
    """Whether all identities hold: those of exact samples fail with a probability of at most `false_alarm`.

    The threshold of |z| is Student's two-sided quantile at false_alarm/(number of identities) (Bonferroni), moved by
    the skewness of the mean, `dlnmc.statistics.allowed_z`. An identity too skewed for a threshold cannot
    fail. The verdict is None if there is no other, or if none fails and such a one is beyond Student's quantile. A z of
    NaN fails.

    Raises InvalidValue without identities, or unless 0 < false_alarm < 1.
    """
    if not found:
        raise InvalidValue("found = []: it must hold at least one identity")
    level = check_probability("false_alarm", false_alarm) / (2 * len(found))
    normal = np.array([-scipy.special.stdtrit(identity.freedom, level) for identity in found])
    allowed = np.array([allowed_z(t, identity.skewness) for t, identity in zip(normal, found, strict=True)])
    z = np.array([abs(identity.z) for identity in found])
    worst = int(np.argmax(z / allowed))  # NaN counts as the largest
    if not z[worst] < allowed[worst]:
        return Verdict(False, found[worst], float(allowed[worst]), false_alarm)
    if np.all(np.isinf(allowed)) or np.any(np.isinf(allowed) & (z >= normal)):
        worst = int(np.argmax(z / normal))
        return Verdict(None, found[worst], float(normal[worst]), false_alarm)
    return Verdict(True, found[worst], float(allowed[worst]), false_alarm)


def _freedom(values: Floats) -> float:
    """Degrees of freedom of the standard error of n values: n − 1, or 2n/(kurtosis − 1) if that is less.

    The relative variance of s² is (kurtosis − 1)/n, that of a χ² is 2/freedom (Satterthwaite 1946).
    """
    values = values[np.isfinite(values)]
    n = len(values)
    deviations = values - np.mean(values) if n else values
    largest = np.max(np.abs(deviations), initial=0.0)
    if n < 2 or largest == 0.0:
        return 1.0
    squares = (deviations / largest) ** 2  # of which no square underflows
    kurtosis = float(np.mean(squares**2) / np.mean(squares) ** 2)
    return max(1.0, 2.0 * n / max(kurtosis - 1.0, 2.0 * n / (n - 1)))


def _parts(model: DeepLinearNetwork | DysonBrownianMotion, values: Any) -> dict[str, Floats]:
    """Lf by name, shape (2, …): what is due to the energy, and the rest."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim < 1 or values.shape[-1] != model.size:
        raise InvalidValue(f"values have the shape {values.shape}: the last axis must be {model.size} components")
    if isinstance(model, DeepLinearNetwork) and np.any(values < 0.0):
        raise InvalidValue(f"values contain {float(values[values < 0.0][0])!r}: singular values must be >= 0")
    if not model.energy.invariant:
        raise InvalidValue(
            f"energy = {model.energy.kind!r}: it depends on all of W, and the identities are those of singular values; "
            "those of dlnmc.matrix_identities hold"
        )
    check_equilibrium(model)
    size = size_towards(model, 1.0)
    blocks = np.array_split(values.reshape(-1, model.size), blocks_for(values.size * model.size))
    return joined([_parts_of_block(model, block, size) for block in blocks], values.shape[:-1])


def check_equilibrium(model: DeepLinearNetwork | DysonBrownianMotion) -> None:
    """Raise InvalidValue where a model has no equilibrium, and no identities."""
    energy = model.energy
    if energy.kind == "none":
        raise InvalidValue("energy = 'none': free motion has no equilibrium, and no generator identities")
    if isinstance(energy, MatrixEnergy) and not energy.softness(model.size) > 0.0:
        raise InvalidValue(
            f"energy = {energy.kind!r}: it does not confine all of W, and there is no equilibrium, and no generator "
            "identities"
        )
    laws.trace(model.changed(energy="quadratic"))  # refuses κ = 0, and infinite depth above the threshold


def blocks_for(numbers: int) -> int:
    """In how many blocks to take so many numbers, of each test function, that memory does not matter."""
    return max(1, math.ceil(numbers / BLOCK))


def joined(pieces: Sequence[Mapping[str, Floats]], shape: tuple[int, ...]) -> dict[str, Floats]:
    """The parts (2, *shape) by name, from those of blocks (2, sample)."""
    return {name: np.concatenate([piece[name] for piece in pieces], axis=1).reshape((2, *shape)) for name in pieces[0]}


def _parts_of_block(model: DeepLinearNetwork | DysonBrownianMotion, values: Floats, size: float) -> dict[str, Floats]:
    if isinstance(model, DeepLinearNetwork):
        sigma = np.sort(values, axis=-1)[..., ::-1]
        return combined(model, NETWORK, network_means(model, sigma, model.slope(sigma), size))
    x = _eigenvalues(model, values).stretched(1.0 / size)
    return combined(model, DYSON, _means(model, DYSON, {"x": x}))


def combined(
    model: DeepLinearNetwork | DysonBrownianMotion,
    functions: Mapping[str, tuple[Hashable, ...]],
    factors: Mapping[Any, Applied],
) -> dict[str, Floats]:
    """The parts (2, sample) of test functions in the model's own clock; each function is a product of factors."""
    rate = model.depth if isinstance(model, DeepLinearNetwork) and model.clock == "paper" else 1.0
    parts = {}
    for name, keys in functions.items():
        f = reduce(partial(_product, model.kappa / model.beta), (factors[key] for key in keys))
        parts[name] = rate * np.stack([f.energy, f.rest])
    return parts


def network_means(model: DeepLinearNetwork, sigma: Floats, slope: Floats, size: float) -> dict[Factor, Applied]:
    """All factors in NETWORK, in the clock of infinite depth, at falling singular values (sample, component).

    `slope` is ∂E/∂σ_k, of the same shape: for every energy (u_kᵀ E' v_k), as only first derivatives are asked.
    """
    a = 1.0 / min(model.depth, DEEPEST)
    y, x = (_power_of_y(model, sigma, slope, power).stretched(size ** (-2.0 * power)) for power in (1.0, a))
    return _means(model, NETWORK, {"y": y, "x": x, "cx": x.stretched(model.width ** (1.0 + a))})


def _means(
    model: DeepLinearNetwork | DysonBrownianMotion,
    functions: Mapping[str, tuple[Factor, ...]],
    coordinates: Mapping[str, Coordinate],
) -> dict[Factor, Applied]:
    temperature = model.kappa / model.beta
    known = {factor for factors in functions.values() for factor in factors}
    return {(name, phi): _mean(coordinates[name], phi, temperature) for name, phi in known}


def _mean(at: Coordinate, phi: Function, temperature: float) -> Applied:
    """The test function tr φ = (1/d) Σ φ(w_k)."""
    d = at.w.shape[-1]
    k, l = np.triu_indices(d, 1)
    derivative = phi.derivative(at.w)
    noise = at.curvature * derivative + at.slope**2 * phi.difference(at.w, at.w)
    pairs = 0.5 * at.P * (derivative[:, k] + derivative[:, l]) + at.Q * phi.difference(at.w[:, k], at.w[:, l])
    return Applied(
        value=phi.value(at.w).mean(axis=-1),
        energy=-(at.pull * derivative).mean(axis=-1),
        rest=temperature * noise.mean(axis=-1) + pairs.sum(axis=-1) / d,
        gradient=at.slope * derivative / d,
    )


def _product(temperature: float, f: Applied, g: Applied) -> Applied:
    """The test function fg: L(fg) = f Lg + g Lf + 2 (κ/β) ⟨∂f, ∂g⟩."""
    both = inner(f.gradient, g.gradient)
    return Applied(
        value=f.value * g.value,
        energy=f.value * g.energy + g.value * f.energy,
        rest=f.value * g.rest + g.value * f.rest + 2.0 * temperature * both,
        gradient=scaled(f.value, g.gradient) + scaled(g.value, f.gradient),
    )


def composed(temperature: float, phi: Function, f: Applied) -> Applied:
    """The test function φ(f): L φ(f) = φ' Lf + (κ/β) φ'' ⟨∂f, ∂f⟩."""
    slope, curvature = phi.derivative(f.value), phi.difference(f.value, f.value)
    return Applied(
        value=phi.value(f.value),
        energy=slope * f.energy,
        rest=slope * f.rest + temperature * curvature * inner(f.gradient, f.gradient),
        gradient=scaled(slope, f.gradient),
    )


def inner(a: Floats, b: Floats) -> Floats:
    """The inner product (sample,) over all axes but the first."""
    return np.asarray(np.sum(a * b, axis=tuple(range(1, a.ndim))))


def scaled(factor: Floats, a: Floats) -> Floats:
    """The product of numbers (sample,) and arrays (sample, …)."""
    return factor.reshape(-1, *[1] * (a.ndim - 1)) * a


def _eigenvalues(model: DysonBrownianMotion, x: Floats) -> Coordinate:
    """The coordinate w = u = x in (11.8): its pairs are (2/β)(φ'_k − φ'_l)/(x_k − x_l)."""
    zero = np.zeros(())
    return Coordinate(x, np.ones_like(x), zero, model.slope(x), zero, np.asarray(2.0 / model.beta))


def _power_of_y(model: DeepLinearNetwork, sigma: Floats, slope: Floats, a: float) -> Coordinate:
    """The coordinate w = y^a, a >= 1/N, in u = Nλ and the clock of infinite depth, for finite and infinite N.

    σ falls; `slope` is ∂E/∂σ.

    With p = w_z φ', z = log σ, the pairs of the entropy and of the noise are

        (1/β) (y_k p_k/x_k − y_l p_l/x_l)/(y_k − y_l)   and   ((2κ−1)/β) (p_k − p_l)/(N(x_k − x_l)) ,

    where N(x_k − x_l) → 2(z_k − z_l) as N → ∞. All is written in powers >= 0 of the larger σ and in quotients of two
    1 − r^α, with r = y_l/y_k <= 1: smooth functions of log r, so that nothing cancels, overflows or underflows.
    """
    N, kappa, beta = model.depth, model.kappa, model.beta
    e = a - 1.0 / N
    k, l = np.triu_indices(sigma.shape[-1], 1)
    large, small = sigma[:, k], sigma[:, l]
    ratio = np.divide(small, large, out=np.ones_like(large), where=large > 0.0)
    log_r = 2.0 * np.log(ratio, out=np.full_like(ratio, -np.inf), where=ratio > 0.0)

    def quotient(numerator: Floats, denominator: Floats, limit: float) -> Floats:
        return np.divide(numerator, denominator, out=np.full_like(log_r, limit), where=log_r < 0.0)

    power, outer = np.expm1(a * log_r), np.expm1((1.0 + e) * log_r)
    y = np.expm1(log_r)
    Nx = log_r if math.isinf(N) else N * np.expm1(log_r / N)
    w_in_y, w_in_Nx = quotient(power, y, a), quotient(power, Nx, a)
    P = (sigma ** (2.0 * e))[:, k] * (quotient(outer, y, 1.0 + e) + (2.0 * kappa - 1.0) * w_in_Nx)
    Q = (1.0 + 0.5 * outer) * w_in_y + (2.0 * kappa - 1.0) * (1.0 + 0.5 * power) * w_in_Nx
    w_z_in_x = 2.0 * a * sigma ** (2.0 * e)  # w_z/x
    return Coordinate(
        w=sigma ** (2.0 * a),
        slope=2.0 * a * sigma ** (2.0 * a - 1.0 / N),
        curvature=(2.0 * a - 1.0 / N) * w_z_in_x,
        pull=sigma * slope * w_z_in_x,
        P=2.0 * a / beta * P,
        Q=2.0 * a / beta * (sigma ** (2.0 * (a + e)))[:, k] * Q,
    )
