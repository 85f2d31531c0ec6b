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
_FARTHEST = 1e5  # eigenvalues are looked for this far from 0, and from each other in units of the thermal width


@dataclass(frozen=True, eq=False)
class Two:
    """Two values s_1 > s_2 at equilibrium, not scaled: the exact laws of both, and expectations of any function.

    By two rules of quadrature, one per member. Means, variances and cdfs are usually good to 1e-13; what limits them
    is the rounding of energies large against the temperature κ/β.
    `exponents`: P(s_k ≤ s) ~ s^exponent as s → 0, for singular values s = e^z; None for eigenvalues s = z.
    """

    pair: Pair
    exponents: tuple[float, float] | None

    @cached_property
    def largest(self) -> Marginal:
        """The law of s_1."""
        return self._marginal(1)

    @cached_property
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

    @property
    def error(self) -> float:
        """Estimate of the largest relative error of the variances, and of the means relative to E|s|.

        It is what the two rules disagree by, or what half as many nodes in each direction change if that is more.
        """
        return self._quadrature[1]

    def expectation(self, function: Callable[[FloatArray, FloatArray], FloatArray]) -> float:
        """E[function(s_1, s_2)], the function being given two arrays of one shape.

        Smooth functions of eigenvalues, and of the logarithms of singular values, converge like the means. Where s_2
        underflows the function is given 0.
        """
        rule = self._quadrature[0][1]
        return float(np.sum(rule.weight * function(*self._values(rule))))

    def _values(self, rule: Rule) -> tuple[FloatArray, FloatArray]:
        if self.exponents is None:
            return rule.z_1, rule.z_2
        with np.errstate(under="ignore"):
            return np.exp(rule.z_1), np.exp(rule.z_2)

    @cached_property
    def _quadrature(self) -> tuple[tuple[Rule, Rule], float]:
        """The rules for both members and their error, with as many nodes as it takes."""
        rows, columns = _ROWS, _COLUMNS
        for _ in range(_DOUBLINGS):
            rules = self.pair.rule(1, rows, columns), self.pair.rule(2, rows, columns)
            found, sizes = zip(
                *(self._summary(rule) for rule in (*rules, *(rule.coarse() for rule in rules))), strict=True
            )
            error = float(np.max(np.ptp(found, axis=0) / sizes[0]))
            if error < _TOLERANCE:
                break
            rows, columns = 2 * rows - 1, 2 * columns - 1
        return rules, error

    def _summary(self, rule: Rule) -> tuple[FloatArray, FloatArray]:
        """Means and variances of both values, and what their errors are relative to."""
        found, sizes = [], []
        for s in self._values(rule):
            mean = np.sum(rule.weight * s)
            variance = np.sum(rule.weight * (s - mean) ** 2)
            found += [mean, variance]
            sizes += [np.sum(rule.weight * np.abs(s)), variance]
        return np.array(found), np.array(sizes)

    def _marginal(self, member: Member) -> Marginal:
        rule = self._quadrature[0][member - 1]
        exponent = self.exponents[member - 1] if self.exponents else 0.0
        return Marginal(self.pair.stretch, rule.t, np.sum(rule.weight, axis=1), self.exponents is not None, exponent)


def two(model: DeepLinearNetwork | Dyson) -> Two:
    """The equilibrium of a DLN of width 2, or of Dyson Brownian motion of size 2, for any energy with one.

    With x = λ², y = σ² = λ^{2N}, z = log σ and c = 1/(2κ), the density is

        |y_1 − y_2|^c |x_1 − x_2|^{1−c} e^{−2cβE}  in λ,
        |y_1 − y_2|^c |z_1 − z_2|^{1−c} e^{−2cβE}  in z at infinite depth (κ < ¼),
        |x_1 − x_2|^{2/κ} e^{−(β/κ)V}              in the eigenvalues x of Dyson Brownian motion.

    The model has `depth`, `width` or `size`, `beta`, `kappa`, and unless its energy is quadratic `potential(s)`, v of
    an array. Raises ValueError for another width or size, for energy none, and where there is no equilibrium.

    See docs/mathematics.md, "Equilibrium".
    """
    return _of_network(model) if isinstance(model, DeepLinearNetwork) else _of_dyson(model)


def _of_network(model: DeepLinearNetwork) -> Two:
    _check_size("width", model.width)
    v, N, T = _potential(model), check_depth(model.depth), temperature(model)
    is_infinite, c = math.isinf(N), 0.5 / model.kappa
    if is_infinite and model.kappa >= 0.25:
        raise InvalidValue(f"no equilibrium at infinite depth unless kappa < (d-1)/(2d) = 0.25, got {model.kappa!r}")
    exponent = 2.0 * c + (4.0 - 2.0 * c) / N  # of σ_1

    def log_density(z_1: FloatArray, z_2: FloatArray, log_gap: FloatArray) -> FloatArray:
        gap = np.exp(log_gap)
        from_y = c * (2.0 * z_1 + np.log(-np.expm1(-2.0 * gap))) - (v(np.exp(z_1)) + v(np.exp(z_2))) / T
        if is_infinite:
            return from_y + (1.0 - c) * log_gap
        return from_y + (1.0 - c) * (2.0 * z_1 / N + np.log(-np.expm1(-2.0 * gap / N))) + (z_1 + z_2) / N

    z, width = _mode(lambda z: exponent * z - 2.0 * v(np.exp(z)) / T, 350.0)
    stretch = Stretch(z, min(width, 1.0), folds=2 if is_infinite else 1)
    reach = 2000.0 / (c - 2.0) + 200.0 if is_infinite else 100.0 * N / stretch.scale + 1.0
    return Two(Pair(log_density, stretch, -math.log(reach), 100.0 / stretch.scale), (exponent, 1.0 / N))


def _of_dyson(model: Dyson) -> Two:
    _check_size("size", model.size)
    v, T, exponent = _potential(model), temperature(model), 2.0 / model.kappa

    def log_density(x_1: FloatArray, x_2: FloatArray, log_gap: FloatArray) -> FloatArray:
        return exponent * log_gap - (v(x_1) + v(x_2)) / T

    x, width = _mode(lambda x: -2.0 * v(x) / T, _FARTHEST)
    return Two(Pair(log_density, Stretch(x, width, folds=0), -_FARTHEST, _FARTHEST), None)


def _mode(log_density: Callable[[FloatArray], FloatArray], farthest: float) -> tuple[float, float]:
    """The mode of a density on the line, and its width."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        low, high, _ = zoom(log_density, np.array([-farthest]), np.array([farthest]), reach=0.5)
    return float(low[0] + high[0]) / 2.0, float(high[0] - low[0]) / 2.0


def _potential(model: Any) -> Callable[[FloatArray], FloatArray]:
    kind = energy_kind(model)
    if kind == "none":
        raise InvalidValue("free motion (energy none) has no equilibrium")
    return (lambda s: s * s / 2.0) if kind == "quadratic" else model.potential


def _check_size(name: str, size: int) -> None:
    if size != 2:
        raise InvalidValue(f"{name} must be 2 for the exact laws of two values, got {size!r}")
