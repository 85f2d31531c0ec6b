"""Statistics with error bars from independent paths: the singular values of one path are not independent samples.

Arrays are NumPy arrays or xarray DataArrays whose first axis is `path`. A path with a number that is not finite has
failed: it is left out, and `failed_paths` counts such paths.
"""

from dlnmc.statistics.bessel import dimension_of_paths, tail_exponent
from dlnmc.statistics.comparison import Difference, compare, difference
from dlnmc.statistics.density import against, density, density_of_counts
from dlnmc.statistics.distances import (
    kolmogorov_between,
    kolmogorov_bound,
    kolmogorov_distance,
    one_sample_bound,
    wasserstein_between,
    wasserstein_distance,
)
from dlnmc.statistics.estimates import Estimate, allowed_z, failed_paths, largest_z, mean_over_paths
from dlnmc.statistics.extrapolation import Extrapolation, extrapolate
from dlnmc.statistics.extremes import Shape, hard_edge, shape, soft_edge
from dlnmc.statistics.limits import AtInfinity, at_infinity
from dlnmc.statistics.rates import Rate, rate
from dlnmc.statistics.series import (
    Stationarity,
    autocorrelation,
    autocorrelation_time,
    effective_samples,
    stationarity,
)
from dlnmc.statistics.spacings import number_variance, spacing_ratio, spacings, unfold, unfold_locally

__all__ = [
    "AtInfinity",
    "Difference",
    "Estimate",
    "Extrapolation",
    "Rate",
    "Shape",
    "Stationarity",
    "against",
    "allowed_z",
    "at_infinity",
    "autocorrelation",
    "autocorrelation_time",
    "compare",
    "density",
    "density_of_counts",
    "difference",
    "dimension_of_paths",
    "effective_samples",
    "extrapolate",
    "failed_paths",
    "hard_edge",
    "kolmogorov_between",
    "kolmogorov_bound",
    "kolmogorov_distance",
    "largest_z",
    "mean_over_paths",
    "number_variance",
    "one_sample_bound",
    "rate",
    "shape",
    "soft_edge",
    "spacing_ratio",
    "spacings",
    "stationarity",
    "tail_exponent",
    "unfold",
    "unfold_locally",
    "wasserstein_between",
    "wasserstein_distance",
]
