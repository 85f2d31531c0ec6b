"""Limits of large sizes: values at several sizes, and the powers of the size by which they approach their limit."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dlnmc.errors import InvalidValue
from dlnmc.statistics.estimates import Floats


class AtInfinity(NamedTuple):
    """The fit `value ≈ limit + Σ_j factor_j x^(−power_j)`; arrays have the shape that values have at one x.

    `error` is the standard error of the limit, `factors` has shape (power, …), `residuals` (x, …) are values less the
    fit, and `residual_errors` their standard errors. `misfit` is χ² over its degrees of freedom, NaN where there are
    none.
    """

    limit: Floats
    error: Floats
    factors: Floats
    powers: tuple[float, ...]
    residuals: Floats
    residual_errors: Floats
    misfit: Floats

    def at(self, x: ArrayLike) -> Floats:
        """The fitted values (x, …)."""
        x = np.asarray(x, dtype=np.float64)
        terms = [np.multiply.outer(x**-power, own) for power, own in zip(self.powers, self.factors, strict=True)]
        return np.asarray(self.limit + sum(terms, np.zeros(1)))


def at_infinity(x: ArrayLike, values: ArrayLike, errors: ArrayLike, powers: Sequence[float]) -> AtInfinity:
    """The limit as x → ∞ of values (x, …) with independent standard errors, by weighted least squares.

    Raises InvalidValue for fewer points than unknowns, for x that are not positive and different, for powers that are
    not, and for errors that are not positive.
    """
    x, values, errors = (np.asarray(array, dtype=np.float64) for array in (x, values, errors))
    if len(x) < len(powers) + 1 or len(set(x.tolist())) < len(x) or not np.all(x > 0.0):
        raise InvalidValue(
            f"x = {x.tolist()}: a limit with {len(powers)} powers needs {len(powers) + 1} different x > 0"
        )
    if not all(power > 0.0 for power in powers) or len(set(powers)) < len(powers):
        raise InvalidValue(f"powers = {tuple(powers)}: they must be different, and > 0")
    if not np.all(errors > 0.0) or errors.shape != values.shape or len(values) != len(x):
        raise InvalidValue("a limit needs values (x, …), and an error > 0 of each")
    shape, points = values.shape[1:], len(x)
    y, sigma = values.reshape(points, -1).T, errors.reshape(points, -1).T
    design = np.stack([np.ones(points), *(x**-power for power in powers)], axis=1)
    weighted = design / sigma[..., None]
    inverse = np.linalg.inv(np.swapaxes(weighted, 1, 2) @ weighted)
    fitted = (inverse @ np.swapaxes(weighted, 1, 2) @ (y / sigma)[..., None])[..., 0]
    residuals = y - fitted @ design.T
    explained = np.einsum("xi,gij,xj->gx", design, inverse, design)
    freedom = points - design.shape[1]
    chi = np.sum((residuals / sigma) ** 2, axis=1)
    return AtInfinity(
        fitted[:, 0].reshape(shape),
        np.sqrt(inverse[:, 0, 0]).reshape(shape),
        fitted[:, 1:].T.reshape(len(powers), *shape),
        tuple(powers),
        residuals.T.reshape(points, *shape),
        np.sqrt(np.maximum(sigma**2 - explained, 0.0)).T.reshape(points, *shape),
        (chi / freedom if freedom else np.full(len(chi), np.nan)).reshape(shape),
    )
