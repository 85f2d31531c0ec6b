"""Which law belongs to which (depth, κ): one row per law, the first that applies is taken."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from dlnmc.errors import InvalidValue
from dlnmc.laws.base import Law, SingularValueLaw, check_depth, check_positive
from dlnmc.laws.dykema_haagerup import DykemaHaagerup
from dlnmc.laws.fuss_catalan import FussCatalan
from dlnmc.laws.gapped import Gapped, has_gap
from dlnmc.laws.hard_edge import HardEdge
from dlnmc.laws.models import DeepLinearNetwork, Dyson, energy_kind
from dlnmc.laws.quarter_circle import QuarterCircle
from dlnmc.laws.semicircle import Semicircle


class Row(NamedTuple):
    """A law of singular values: whether it is that of (depth, κ), and how to make it."""

    applies: Callable[[float, float], bool]
    make: Callable[[float, float], SingularValueLaw]


ROWS = (
    Row(lambda N, kappa: N == 1.0, lambda N, kappa: QuarterCircle(2.0 * math.sqrt(kappa))),
    Row(lambda N, kappa: kappa == 0.5, lambda N, kappa: QuarterCircle(math.sqrt(2.0))),
    Row(lambda N, kappa: kappa == 1.0 and math.isfinite(N), lambda N, kappa: FussCatalan(N)),
    Row(lambda N, kappa: kappa == 1.0, lambda N, kappa: DykemaHaagerup()),
    Row(has_gap, Gapped),
    Row(lambda N, kappa: True, HardEdge),
)


def singular_values(depth: float, kappa: float = 1.0) -> SingularValueLaw:
    """The semicircle law of the DLN: the law of σ·√(β/d) as d → ∞ at equilibrium for E = ½ Tr WᵀW.

    depth: a number ≥ 1, or inf for the limit N → ∞ after d → ∞; kappa > 0.
    Closed forms where they are known, else to its `error`, about 1e-12. Raises ValueError for values out of range.

    See docs/mathematics.md, "Every depth and every κ".
    """
    return _law(check_depth(depth), check_positive("kappa", kappa))


@lru_cache(maxsize=64)  # laws are immutable, and keep their interpolants
def _law(N: float, kappa: float) -> SingularValueLaw:
    return next(row.make(N, kappa) for row in ROWS if row.applies(N, kappa))


def eigenvalues() -> Semicircle:
    """The law of x·√(β/d), d → ∞, for Dyson Brownian motion at equilibrium in V = x²/2: radius 2.

    See docs/mathematics.md, "Laws".
    """
    return Semicircle(2.0)


def of(model: DeepLinearNetwork | Dyson) -> Law:
    """The law of σ·√(β/d) or x·√(β/d), d → ∞, for a model at equilibrium. Raises ValueError where none is known."""
    if energy_kind(model) != "quadratic":
        raise InvalidValue(f"energy = {energy_kind(model)!r}: the laws here are those of quadratic energy")
    if isinstance(model, DeepLinearNetwork):
        return singular_values(model.depth, model.kappa)
    return eigenvalues()
