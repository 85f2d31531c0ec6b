"""The laws against exact samples: one random singular value of each of many independent bidiagonal matrices.

Tolerances: DKW at false-alarm 1e-6 over independent matrices, plus 1/d for the distance of the mean cdf at
width d from its limit (measured: at most 0.8/d). The negative control has power ≥ 0.999, computed likewise.
"""

import math

import numpy as np
import pytest
from scipy.linalg import eigvalsh_tridiagonal

from dlnmc.laws import FussCatalan, Law, QuarterCircle, Semicircle, eigenvalues, singular_values

D, PATHS = 400, 8_000


def dkw(probability: float, n: int) -> float:
    """The distance that an empirical cdf of n independent draws exceeds with at most this probability."""
    return math.sqrt(math.log(2.0 / probability) / (2.0 * n))


def distance(sample: np.ndarray, law: Law) -> float:
    cdf, n = law.cdf(np.sort(sample)), sample.size
    return float(max(np.max(np.arange(1, n + 1) / n - cdf), np.max(cdf - np.arange(n) / n)))


def one_of(diagonal: np.ndarray, off_diagonal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One eigenvalue, of uniformly random rank, of each tridiagonal matrix."""
    ranks = rng.integers(D, size=len(diagonal))
    pairs = zip(diagonal, off_diagonal, ranks, strict=True)
    return np.array([eigvalsh_tridiagonal(a, b, select="i", select_range=(k, k))[0] for a, b, k in pairs])


def bidiagonal_singular_values(first_degrees: float, rng: np.random.Generator) -> np.ndarray:
    """Singular values of B: diagonal χ of first_degrees + d − i (i = 1 … d), below it χ of d−1, …, 1."""
    down = np.arange(D)
    squares = rng.chisquare(first_degrees + down[::-1], (PATHS, D))
    below = rng.chisquare(down[:0:-1], (PATHS, D - 1))
    diagonal = squares.copy()
    diagonal[:, 1:] += below
    return np.asarray(np.sqrt(np.maximum(one_of(diagonal, np.sqrt(squares[:, :-1] * below), rng), 0.0)))


def assert_follows_the_law_and_not_the_other(sample: np.ndarray, law: Law, other: Law) -> None:
    threshold = dkw(1e-6, sample.size) + 1.0 / D
    x = np.linspace(*law.support, 2001)
    apart = float(np.max(np.abs(law.cdf(x) - other.cdf(x))))
    assert apart - 1.0 / D - dkw(1e-3, sample.size) > threshold  # power of the control
    assert distance(sample, law) < threshold
    assert distance(sample, other) > threshold


@pytest.mark.parametrize("depth", [1.5, 8.0])
def test_kappa_one_half_follows_the_quarter_circle_of_radius_root_two(depth: float) -> None:
    rng = np.random.default_rng(20_260_100)
    sample = bidiagonal_singular_values(1.0 / depth, rng) / math.sqrt(2.0 * D)
    assert_follows_the_law_and_not_the_other(sample, singular_values(depth, 0.5), QuarterCircle(1.12 * math.sqrt(2.0)))


def test_depth_one_follows_the_quarter_circle_of_radius_two_root_kappa() -> None:
    rng = np.random.default_rng(20_260_101)
    kappa = 0.8
    sample = bidiagonal_singular_values(1.0, rng) * math.sqrt(kappa / D)
    assert_follows_the_law_and_not_the_other(sample, singular_values(1, kappa), singular_values(1, 1.25 * kappa))
    assert distance(sample / math.sqrt(kappa), FussCatalan(1)) < dkw(1e-6, PATHS) + 1.0 / D


def test_dyson_equilibrium_follows_the_semicircle_of_radius_two() -> None:
    rng = np.random.default_rng(20_260_102)
    kappa = 0.7
    off_diagonal = np.sqrt(rng.chisquare(2.0 / kappa * np.arange(D - 1, 0, -1), (PATHS, D - 1)) / 2.0)
    sample = one_of(rng.standard_normal((PATHS, D)), off_diagonal, rng) * math.sqrt(kappa / D)
    assert_follows_the_law_and_not_the_other(sample, eigenvalues(), Semicircle(2.5))
