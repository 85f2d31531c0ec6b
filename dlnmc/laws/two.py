"""Two singular values, or two eigenvalues, at equilibrium: every depth, κ and energy, by quadrature."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from dlnmc.errors import InvalidValue
from dlnmc.laws.base import FloatArray, check_depth
from dlnmc.laws.models import DeepLinearNetwork, Dyson, energy_kind, temperature
from dlnmc.laws.pair import Marginal, Member, Pair, Rule, Stretch, zoom

_ROWS, _COLUMNS, _DOUBLINGS = 513, 97, 3
_TOLERANCE = 1e-9
_FARTHEST = 1e6  # Dyson: eigenvalues are looked for this far from 0; in units of the thermal width, from each other


@dataclass(frozen=True)
class Two:
    """The exact equilibrium of two values s_1 > s_2, not scaled: laws of both, and expectations of any function.

    Means and variances come from two rules of quadrature, one per member.
    """

    pair: Pair
    is_logarithm: bool
    exponents: tuple[float, float]

    @property
    def largest(self) -> Marginal:
        """The law of s_1."""
        return self._marginal(1)

    @property
    def smallest(self) -> Marginal:
        """The law of s_2."""
        return self._marginal(2)

    @property
    def mean(self) -> FloatArray:
        """E[s_1] and E[s_2]."""
        return np.array([self.largest.mean(), self.smallest.mean()])

    @property
    def variance(self) -> FloatArray:
        """The variances of s_1 and s_2."""
        return np.array([self.largest.var(), self.smallest.var()])

    def expectation(self, function: Callable[[FloatArray, FloatArray], FloatArray]) -> float:
        """E[function(s_1, s_2)], for a function of two arrays of one shape; it sees s_2 = 0 where s_2 underflows."""
        return self._rules[1].expectation(lambda z_1, z_2: function(self._value(z_1), self._value(z_2)))

    @cached_property
    def error(self) -> float:
        """Estimate of the largest relative error of means (to the deviation for eigenvalues) and variances.

        The larger of what half as many nodes in each direction change, and what the two rules disagree by.
        """
        return max(_difference(...))
