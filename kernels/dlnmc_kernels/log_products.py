"""Sums of logarithms of many factors, as the logarithm of a product that is kept in range: few logarithms are taken."""

from dlnmc_kernels.elementary import LN2_HIGH, LN2_LOW, log, split_exponent
from dlnmc_kernels.jit import device
from dlnmc_kernels.lanes import Lane

FACTORS = 4  # between two normalisations
SMALLEST_FACTOR = 1e-70  # FACTORS of these do not underflow; factors must be smaller than 1e70


@device
def normalised(product: Lane, exponent: Lane) -> tuple[Lane, Lane]:
    """The product with its power of two moved to the sum `exponent`."""
    mantissa, e = split_exponent(product)
    return mantissa, exponent + e


@device
def log_of(product: Lane, exponent: Lane) -> Lane:
    """The logarithm of product · 2^exponent."""
    return log(product) + exponent * (LN2_HIGH + LN2_LOW)
