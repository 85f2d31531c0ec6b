"""Units: from values as simulated to those of the limit laws, in the bulk and at the edges."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from dlnmc.errors import InvalidValue
from dlnmc.laws.base import FloatArray, Values
from dlnmc.laws.models import DeepLinearNetwork, Dyson, temperature
from dlnmc.laws.tracy_widom import TracyWidom


class SoftEdged(Protocol):
    """What scaling at the upper edge needs of a law."""

    @property
    def support(self) -> tuple[float, float]:
        """The ends (low, high) of the support."""
        ...

    def edge_constant(self) -> float:
        """The A of `pdf ≈ (A/π) √(b − x)` near the upper end b of the support."""
        ...


def scaled(values: Values | float, model: DeepLinearNetwork | Dyson) -> FloatArray:
    """σ·√(β/d), the units of `laws.of`, for singular values or eigenvalues of a model; the shape is kept."""
    d = model.width if isinstance(model, DeepLinearNetwork) else model.size
    return np.asarray(values, dtype=np.float64) * math.sqrt(model.beta / d)


def squared(values: Values | float, model: DeepLinearNetwork | Dyson) -> FloatArray:
    """The variable y = σ²β/d, in which moments and densities of the laws are simple; the shape is kept."""
    return scaled(values, model) ** 2


def at_soft_edge(largest: Values | float, law: SoftEdged, width: int, shift: float = 0.0) -> FloatArray:
    """`(A d)^{2/3} (σ − b √(1 + c/d))` for the largest of d = `width` values in the law's units (see `scaled`).

    The law of one value ends at b like `(A/π) √(b − σ)`, so that d times its mass above b − s (A d)^{−2/3} is
    2s^{3/2}/(3π), as for the eigenvalues −s of Airy's operator (Tracy and Widom 1994). The limit law is
    `soft_edge_limit(model)`, approached with corrections of order d^{−1/3}; of order d^{−2/3} where c = `shift` is
    `edge_shift(depth, kappa)`.

    See docs/mathematics.md, "Laws".
    """
    unit = math.cbrt(law.edge_constant() * width) ** 2
    return unit * (np.asarray(largest, dtype=np.float64) - law.support[1] * math.sqrt(1.0 + shift / width))


def soft_edge_limit(model: DeepLinearNetwork | Dyson) -> TracyWidom:
    """The law to which `at_soft_edge` leads at equilibrium as d → ∞: Tracy–Widom of the repulsion exponent.

    The DLN: exponent 1. Proved at κ = ½ and at depth 1 (Ramírez, Rider and Virág 2011), expected otherwise.
    Dyson Brownian motion: exponent b = 2/κ, which must be 1, 2 or 4, or else ValueError is raised. For b = 4 it is
    2^{−1/6} times the law as Tracy and Widom scale it.
    """
    if isinstance(model, DeepLinearNetwork):
        return TracyWidom(1)
    exponent = 2.0 / model.kappa
    if exponent not in (1.0, 2.0, 4.0):
        raise InvalidValue(f"kappa must be 2, 1 or 0.5 for a Tracy-Widom law of eigenvalues, got {model.kappa!r}")
    return TracyWidom(int(exponent), 2.0 ** (-1.0 / 6.0) if exponent == 4.0 else 1.0)


def at_hard_edge(smallest: Values | float, model: DeepLinearNetwork) -> FloatArray:
    """`t = d σ_min² β/κ` for the smallest singular value (not scaled) of a DLN of depth 1 at equilibrium.

    There W is a real Gaussian matrix with entries of variance κ/β, so that t has the law
    `smallest_singular_value(d)`, exactly, for E = ½ Tr WᵀW. Raises ValueError for another depth.

    See docs/mathematics.md, "Laws".
    """
    if model.depth != 1:
        raise InvalidValue(f"the law of the smallest singular value is known at depth 1, got {model.depth!r}")
    return model.width * np.asarray(smallest, dtype=np.float64) ** 2 / temperature(model)
