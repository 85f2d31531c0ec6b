"""Energies E = sum of v(s) over singular values or eigenvalues s: parameters, the value v and the slope v'."""

from typing import Any, NamedTuple

from dlnmc_kernels.dispatch import pull, slope, value
from dlnmc_kernels.lanes import Lane, load, splat, store


class Quadratic(NamedTuple):
    """v(s) = strength s²/2; the strength 0 is the absence of an energy."""

    strength: float


class Polynomial(NamedTuple):
    """v(s) = a_1 s + a_2 s² + … + a_p s^p, powers = (a_1, …, a_p)."""

    powers: tuple[float, ...]


@value.register(Quadratic)
def _value_quadratic(energy: Quadratic, s: Lane) -> Lane:
    return s * s * (0.5 * energy.strength)


@slope.register(Quadratic)
def _slope_quadratic(energy: Quadratic, s: Lane) -> Lane:
    return s * energy.strength


@value.register(Polynomial)
def _value_polynomial(energy: Polynomial, s: Lane) -> Lane:
    total = splat(0.0)
    for m in range(len(energy.powers), 0, -1):
        total = (total + energy.powers[m - 1]) * s
    return total


@slope.register(Polynomial)
def _slope_polynomial(energy: Polynomial, s: Lane) -> Lane:
    total = splat(0.0)
    for m in range(len(energy.powers), 0, -1):
        total = total * s + energy.powers[m - 1] * float(m)
    return total


@pull.otherwise
def _pull_of_singular_values(
    energy: Any, w: Lane, u: Lane, v: Lane, s: Lane, out: Lane, work: Lane, more: Lane
) -> None:
    size = len(s)
    for i in range(size * size):
        store(out, i, splat(0.0))
    for k in range(size):
        store(out, k * size + k, slope(energy, load(s, k)))
