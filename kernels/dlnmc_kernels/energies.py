"""Energies E = sum of v(s) over singular values or eigenvalues s: parameters and the slope v'."""

from typing import NamedTuple

from dlnmc_kernels.dispatch import slope
from dlnmc_kernels.lanes import Lane


class Quadratic(NamedTuple):
    """v(s) = strength s²/2; the strength 0 is the absence of an energy."""

    strength: float


@slope.register(Quadratic)
def _slope_quadratic(energy: Quadratic, s: Lane) -> Lane:
    return s * energy.strength
