"""Differences between two sets of independent paths."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from dlnmc.errors import InvalidValue
from dlnmc.statistics.estimates import (
    Estimate,
    allowed_z,
    finite_paths,
    largest_z,
    mean_over_paths,
    skewness_of,
    z_of,
)


class Difference(NamedTuple):
    """A difference of means with its standard error, and their ratio z."""

    estimate: Estimate
    z: float


def difference(a: ArrayLike, b: ArrayLike) -> Difference:
    """The difference of the means of one number per path, a minus b, for independent sets of paths (path,).

    Paths that failed are left out. Raises InvalidValue for fewer than two paths in a set.
    """
    mean_a, mean_b = (mean_over_paths(finite_paths(values, least=2)) for values in (a, b))
    estimate = Estimate(mean_a.value - mean_b.value, float(np.hypot(mean_a.error, mean_b.error)))
    return Difference(estimate, float(z_of(np.asarray(estimate.value), np.asarray(estimate.error))))


def compare(a: Mapping[Any, ArrayLike], b: Mapping[Any, ArrayLike], *, false_alarm: float = 1e-4) -> xr.Dataset:
    """A table of the scalars that two independent sets of paths have in common.

    `a` and `b` map names to one number per path (path,). By `scalar` the result has `mean_a`, `mean_b`, `difference`
    (a minus b), their standard errors `…_error`, `z`, and `allowed_z`, the largest |z| that chance makes: the attribute
    `threshold` (Bonferroni over scalars, Student's law of the smaller set), and more where values are skewed. It is
    infinite, and the scalar is not judged, where they are too skewed for so few paths. `agrees` is the verdict: no |z|
    is beyond `allowed_z`, as one is with at most the probability `false_alarm` if the sets have one law. Raises
    InvalidValue where nothing is in common, for fewer than two finite paths, and for values that are not one number per
    path.
    """
    names = [name for name in a if name in b]
    if not names:
        raise InvalidValue(
            f"nothing to compare: {', '.join(map(str, a))} and {', '.join(map(str, b))} have no scalar in common"
        )
    rows, fewest, skewness = [], np.inf, []
    for name in names:
        values = [finite_paths(one[name], least=2) for one in (a, b)]
        if any(value.ndim != 1 for value in values):
            raise InvalidValue(f"{name}: only one number per path can be compared")
        fewest = min(fewest, *map(len, values))
        between = difference(*values)
        skewness.append(max(abs(skewness_of(value)) for value in values) / np.sqrt(min(map(len, values))))
        rows.append([*mean_over_paths(values[0]), *mean_over_paths(values[1]), *between.estimate, between.z])
    columns = ("mean_a", "mean_a_error", "mean_b", "mean_b_error", "difference", "difference_error", "z")
    variables = {column: ("scalar", value) for column, value in zip(columns, np.array(rows).T, strict=True)}
    threshold = largest_z(len(names), int(fewest) - 1, false_alarm)
    allowed = [allowed_z(threshold, each) for each in skewness]
    variables["allowed_z"] = ("scalar", np.array(allowed))
    agrees = bool(np.all(np.abs(variables["z"][1]) <= allowed))
    return xr.Dataset(
        variables | {"agrees": ((), agrees)},
        coords={"scalar": [str(name) for name in names]},
        attrs={"threshold": threshold, "false_alarm": false_alarm},
    )
