"""Generator identities of whole matrices: at equilibrium of (12.12) E[Lf] = 0 for every f that is smooth in W.

They hold for every energy E(W), and check what singular values do not show: frames, entries, the energy itself.

    Lf = ⟨drift, ∇f⟩ + (κ/β) Σ_kl a_kl D²f[u_k v_lᵀ, u_k v_lᵀ] ,
    drift = −A_{N,W}(E') + (1/β) Q_N Σ' Q_0ᵀ + (κ/β) Q_N Σ'' Q_0ᵀ ,

with u_k, v_l the columns of Q_N and Q_0. In this frame all is a sum over (k, l) of smooth functions of singular values,
as they stand in `dlnmc.geometry`: nothing is singular where they coincide or vanish.

Nothing is paid at det W = 0 for depths N > 1: there ∂f/∂λ_d = N λ_d^{N−1} ∂f/∂σ_d = 0, whether paths pass it or are
reflected, so that the identities hold for both signs of det W, for one, and for all weights of the two. At N = 1 there
is no boundary, and both signs belong to the equilibrium: samples of one alone fail.

Test functions are those of `dlnmc.identities` on singular values, and others of w = W in units of its size: linear
functions ⟨C, w⟩, quadratic forms ⟨S, wᵀw⟩ and ⟨S, wwᵀ⟩, the energy where it is quadratic, and products of these. At
1 < N < 2 the drift Σ'' = (N−1) σ^{1−2/N} diverges at 0, and Lf has heavy tails (no variance for N <= 3/2) unless
⟨∇f, u_d v_dᵀ⟩ = 0 where σ_d = 0: linear functions and the energy are left out.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlnmc import geometry
from dlnmc.defaults import typical_size
from dlnmc.energies import LeastSquares, MatrixCompletion, MatrixEnergy, QuadraticTo
from dlnmc.errors import InvalidValue
from dlnmc.geometry.base import decomposed, transposed
from dlnmc.identities import (
    COSINE,
    NETWORK,
    Applied,
    Factor,
    Identity,
    blocks_for,
    check_equilibrium,
    combined,
    composed,
    from_parts,
    inner,
    joined,
    network_means,
)
from dlnmc.models import DeepLinearNetwork, DysonBrownianMotion

Floats = NDArray[np.float64]

WORK = 32  # arrays of the size of W that a block holds
MISMATCH = 1e-6  # of given singular values and W, relative: beyond rounding


class Frame(NamedTuple):
    """W = Q_N Σ Q_0ᵀ of samples, and what L is there, in the clock of infinite depth: A/N, Σ'/N, Σ''/N."""

    W: Floats
    Q_N: Floats
    sigma: Floats  # falling
    Q_0: Floats
    slope: Floats  # E' in this frame, (sample, d, d)
    a: Floats  # (sample, d, d)
    push: Floats  # (Σ' + κ Σ'')/β, (sample, d)
    temperature: float  # κ/β

    def applied(self, value: Floats, gradient: Floats, curvature: Floats | float) -> Applied:
        """L on a test function f with ∇f (…, d, d), and D²f[u_k v_lᵀ, u_k v_lᵀ], which broadcasts to (sample, k, l)."""
        there = transposed(self.Q_N) @ gradient @ self.Q_0
        diagonal = np.einsum("nkk->nk", there)
        return Applied(
            value=value,
            energy=-inner(self.a * self.slope, there),
            rest=inner(self.push, diagonal) + self.temperature * inner(self.a, np.asarray(curvature)),
            gradient=np.sqrt(self.a) * there,
        )


def along(S: Floats, Q: Floats) -> Floats:
    """q_kᵀ S q_k, (sample, k), for the columns q_k of Q."""
    return np.asarray(np.sum(Q * (S @ Q), axis=1))


def _of_completion(energy: MatrixCompletion, at: Frame) -> Floats:
    weights = energy.weights_and_targets(at.sigma.shape[-1])[0]
    return np.asarray(transposed(at.Q_N**2) @ weights @ at.Q_0**2)


def _of_least_squares(energy: LeastSquares, at: Frame) -> Floats:
    return along(energy.normal_equations()[0], at.Q_0)[:, None, :]


CURVATURES: dict[type, Callable[[Any, Frame], Floats | float]] = {  # D²E[u_k v_lᵀ, u_k v_lᵀ] of quadratic energies
    MatrixCompletion: _of_completion,
    LeastSquares: _of_least_squares,
    QuadraticTo: lambda energy, at: 1.0,
}

ENERGY = "E"
LINEAR: dict[str, tuple[str | Factor, ...]] = {  # by name, the factors
    "⟨C₁,w⟩": ("C₁",),
    "⟨C₂,w⟩": ("C₂",),
    "⟨C₃,w⟩": ("C₃",),
    "cos⟨C₁,w⟩": ("cos C₁",),
    "⟨C₁,w⟩²": ("C₁", "C₁"),
    "⟨C₁,w⟩⟨C₂,w⟩": ("C₁", "C₂"),
    "⟨C₃,w⟩⟨S,wᵀw⟩": ("C₃", "wᵀw"),
    "⟨C₂,w⟩ tr y": ("C₂", *NETWORK["tr y"]),
}
EVEN: dict[str, tuple[str, ...]] = {
    "⟨S,wᵀw⟩": ("wᵀw",),
    "⟨S,wwᵀ⟩": ("wwᵀ",),
    "⟨S,wᵀw⟩⟨S,wwᵀ⟩": ("wᵀw", "wwᵀ"),
}


def generic(width: int) -> Floats:
    """C₁, C₂, C₃ (3, d, d): the numbers cos(p (1 + √2 i)(1 + √3 j)), i, j = 0 … d − 1, over their root mean square √d.

    No function of W is singled out by them, and they have full rank. S is C₃ + C₃ᵀ.
    """
    i = np.arange(width)
    C = np.cos(np.arange(1, 4)[:, None, None] * np.outer(1.0 + math.sqrt(2.0) * i, 1.0 + math.sqrt(3.0) * i))
    return np.asarray(C * math.sqrt(width) / np.linalg.norm(C, axis=(1, 2), keepdims=True))


def generator(model: DeepLinearNetwork, W: Any, singular_values: Any = None) -> dict[str, Floats]:
    """Lf in the model's own clock, for each test function by name, at matrices W.

    W has shape (…, d, d), and each result has shape (…). Singular values that coincide or are 0 are as good as others
    (at depth 2 with σ_d = 0, where Lf jumps with the sign of det W, it is the mean of both sides); NaN gives NaN. The
    cost is that of a decomposition, and O(d³) per sample.

    In floating point W does not hold singular values below 1e-16 of the largest, which beyond depth 12 or so count:
    `singular_values` (…, d), in any order, takes them from where they are known better.

    Raises InvalidValue for arrays of other shapes, singular values that are not those of W, and where there is no
    equilibrium: κ = 0, an energy that does not confine W, or κ too large at infinite depth.
    """
    return {name: energy + rest for name, (energy, rest) in _parts(model, W, singular_values).items()}


def identities(model: DeepLinearNetwork, W: Any, singular_values: Any = None) -> list[Identity]:
    """The mean of Lf, with its error, for each test function, over matrices W (path, draw, d, d).

    `dlnmc.identities.verdict` says whether they hold. Errors are from independent paths, each the mean of its draws;
    a path with NaN, which failed, is left out. `singular_values` (path, draw, d), and what is raised, as for
    `generator`; also for less than two paths.
    """
    array = np.asarray(W)
    if array.ndim != 4 or len(array) < 2 or array.shape[1] < 1:
        raise InvalidValue(f"W has the shape {array.shape}: it must be (path, draw, row, column), of >= 2 paths")
    return from_parts(model, _parts(model, array, singular_values))


def _parts(model: DeepLinearNetwork, W: Any, singular_values: Any) -> dict[str, Floats]:
    """Lf by name, shape (2, …): what is due to the energy, and the rest."""
    if isinstance(model, DysonBrownianMotion):
        raise InvalidValue(f"model = {model.kind!r}: these are identities of matrices W of the Deep Linear Network")
    d = model.width
    array = np.asarray(W)
    if array.dtype.kind not in "iuf" or array.ndim < 2 or array.shape[-2:] != (d, d):
        raise InvalidValue(f"W of {array.dtype} has the shape {array.shape}: it must be real matrices (…, {d}, {d})")
    check_equilibrium(model)
    flat = array.astype(np.float64).reshape(-1, d, d)
    sound = np.asarray(np.isfinite(flat).all(axis=(1, 2)))
    flat = flat[sound]
    sigma = None if singular_values is None else _given(singular_values, array.shape[:-1], sound, flat)
    count = blocks_for(flat.size * WORK)
    blocks = zip(
        np.array_split(flat, count), np.array_split(sigma, count) if sigma is not None else [None] * count, strict=True
    )
    parts = joined([_parts_of_block(model, *block) for block in blocks], (len(flat),))
    whole = {name: np.full((2, len(sound)), np.nan) for name in parts}
    for name, values in parts.items():
        whole[name][:, sound] = values
    return {name: values.reshape((2, *array.shape[:-2])) for name, values in whole.items()}


def _given(singular_values: Any, shape: tuple[int, ...], sound: NDArray[np.bool_], W: Floats) -> Floats:
    """Given singular values of the sound matrices, falling (sample, d)."""
    sigma = np.asarray(singular_values, dtype=np.float64)
    if sigma.shape != shape:
        raise InvalidValue(f"singular_values have the shape {sigma.shape}: it must be {shape}")
    sigma = np.sort(sigma.reshape(-1, shape[-1])[sound], axis=-1)[:, ::-1]
    total = np.sum(W**2, axis=(1, 2))
    off = ~(np.abs(np.sum(sigma**2, axis=1) - total) <= MISMATCH * total) | (sigma[:, -1] < 0.0)
    if np.any(off):
        raise InvalidValue(f"singular_values contain {sigma[off][0].tolist()}: they are not those of W")
    return sigma


def _frame(model: DeepLinearNetwork, W: Floats, sigma: Floats | None) -> Frame:
    N = model.depth
    Q_N, own, Q_0 = decomposed(W)
    sigma = own if sigma is None else sigma
    # Σ'' has the direction of u_d v_dᵀ, which no rank-deficient W has: 0 is the mean of both.
    second = np.where(sigma > 0.0, geometry.sigma_second(N, np.where(sigma > 0.0, sigma, 1.0)), 0.0)
    push = (geometry.sigma_prime(N, sigma) + model.kappa * second) / model.beta
    a, rate = geometry.eigenvalues_of_A(N, sigma), 1.0 if math.isinf(N) else N
    if isinstance(model.energy, MatrixEnergy):
        slope = transposed(Q_N) @ model.energy.gradient(W) @ Q_0
    else:
        slope = model.slope(sigma)[..., None] * np.eye(model.width)
    return Frame(W, Q_N, sigma, Q_0, slope, a / rate, push / rate, model.kappa / model.beta)


def _parts_of_block(model: DeepLinearNetwork, W: Floats, sigma: Floats | None) -> dict[str, Floats]:
    at = _frame(model, W, sigma)
    size = _size(model)
    functions: dict[str, tuple[Any, ...]] = {**NETWORK, **EVEN}
    factors: dict[Any, Applied] = {**_forms(at, size), **_spectral(model, at, size)}
    if not 1.0 < model.depth < 2.0:
        functions |= LINEAR
        factors |= _linear(at, size)
        if type(model.energy) in CURVATURES:
            functions[ENERGY] = (ENERGY,)
            factors[ENERGY] = _energy(model.energy, at)
    return combined(model, functions, factors)


def _size(model: DeepLinearNetwork) -> float:
    """The size of singular values at equilibrium, about: that of the minimum of E, and of what paths stray from it."""
    least = model.energy.minimiser(model.width) if isinstance(model.energy, MatrixEnergy) else np.zeros(1)
    return math.hypot(typical_size(model), float(np.linalg.norm(least)) / math.sqrt(model.width))


def _spectral(model: DeepLinearNetwork, at: Frame, size: float) -> dict[Factor, Applied]:
    """The means over singular values of `dlnmc.identities`, whose ∂f/∂u is the diagonal of √a ∘ Q_Nᵀ ∇f Q_0."""
    means = network_means(model, at.sigma, np.einsum("nkk->nk", at.slope), size)
    diagonal = np.eye(model.width)
    return {key: f._replace(gradient=f.gradient[..., None] * diagonal) for key, f in means.items()}


def _linear(at: Frame, size: float) -> dict[str, Applied]:
    C = generic(at.sigma.shape[-1]) / size
    found = {f"C{p}": at.applied(inner(c[None], at.W), c, 0.0) for p, c in zip("₁₂₃", C, strict=True)}
    return found | {"cos C₁": composed(at.temperature, COSINE, found["C₁"])}


def _forms(at: Frame, size: float) -> dict[str, Applied]:
    """⟨S, wᵀw⟩ and ⟨S, wwᵀ⟩, with second derivatives 2 v_lᵀ S v_l and 2 u_kᵀ S u_k."""
    C = generic(at.sigma.shape[-1])[2]
    S = (C + C.T) / size**2
    right, left = at.W @ S, S @ at.W
    return {
        "wᵀw": at.applied(inner(at.W, right), 2.0 * right, 2.0 * along(S, at.Q_0)[:, None, :]),
        "wwᵀ": at.applied(inner(at.W, left), 2.0 * left, 2.0 * along(S, at.Q_N)[:, :, None]),
    }


def _energy(energy: Any, at: Frame) -> Applied:
    return at.applied(energy.value(at.W), energy.gradient(at.W), CURVATURES[type(energy)](energy, at))
