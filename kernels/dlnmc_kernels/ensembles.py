"""Random tridiagonal matrices whose eigenvalues have the law of whole random matrices (Dumitriu and Edelman 2002).

Entry points: single-threaded, without the GIL; callers keep each call short. A path's values depend on its index only.
"""

import math

import numpy as np

from dlnmc_kernels.elementary import exp
from dlnmc_kernels.gamma import BESIDE, gamma_pair, log_gamma
from dlnmc_kernels.jit import kernel
from dlnmc_kernels.lanes import WIDTH, lane_numbers, load, maximum, splat, sqrt, store
from dlnmc_kernels.philox import fill_normals
from dlnmc_kernels.tridiagonal import NOTES, eigenvalues, qd_eigenvalues

LOG_SMALLEST = -300.0  # of a square that is represented; a smaller one scales the smallest singular value


@kernel
def hermite(key: np.uint64, stream: int, first_block: int, kappa: float, out: np.ndarray) -> None:
    """Eigenvalues, ascending, of √κ H into `out`, shape (block, component, 8), 0 < κ.

    H is symmetric tridiagonal with N(0, 1) on the diagonal and χ with (2/κ) i degrees of freedom, over √2, beside it,
    i = 1 ... d − 1: the β-Hermite ensemble with repulsion exponent 2/κ (Dumitriu and Edelman 2002).
    """
    size = out.shape[1]
    diagonal, off_diagonal = np.zeros((size + 1, WIDTH)), np.zeros((size + 1, WIDTH))
    q, e, notes = np.zeros((size, WIDTH)), np.zeros((size, WIDTH)), np.zeros((NOTES, WIDTH))
    for b in range(out.shape[0]):
        path = lane_numbers() + np.uint64(first_block + b) * np.uint64(WIDTH)
        fill_normals(diagonal, size, key, stream, path, BESIDE)
        for i in range(size):
            store(diagonal, i, load(diagonal, i) * math.sqrt(kappa))
        for slot in range(size // 2):  # large ones last: that is where small eigenvalues then live
            first, second = gamma_pair(key, stream, path, slot, (2 * slot + 1) / kappa, (2 * slot + 2) / kappa)
            store(off_diagonal, 2 * slot, sqrt(first * kappa))
            store(off_diagonal, 2 * slot + 1, sqrt(second * kappa))
        eigenvalues(diagonal, off_diagonal, q, e, notes, out[b])


@kernel
def laguerre(key: np.uint64, stream: int, first_block: int, depth: float, out: np.ndarray) -> None:
    """Singular values, ascending, of B/√2 into `out`, shape (block, component, 8), for a depth N >= 1.

    B is bidiagonal with χ with 1/N + d − i degrees of freedom on the diagonal, i = 1 ... d, and χ with d − i beside it:
    the β-Laguerre ensemble with repulsion exponent 1 (Dumitriu and Edelman 2002), a Gaussian matrix at N = 1.
    """
    size = out.shape[1]
    q, e, notes = np.zeros((size, WIDTH)), np.zeros((size, WIDTH)), np.zeros((NOTES, WIDTH))
    for b in range(out.shape[0]):
        path = lane_numbers() + np.uint64(first_block + b) * np.uint64(WIDTH)
        for i in range(size - 1):
            below = size - 1.0 - i
            diagonal, off_diagonal = gamma_pair(key, stream, path, i, (1.0 / depth + below) / 2.0, below / 2.0)
            store(q, i, diagonal)
            store(e, i, off_diagonal)
        log_last = log_gamma(key, stream, path, size - 1, 0.5 / depth)
        represented = maximum(log_last, splat(LOG_SMALLEST))
        store(q, size - 1, exp(represented))
        qd_eigenvalues(q, e, notes, out[b])
        for i in range(size):
            store(out[b], i, sqrt(load(out[b], i)))
        store(out[b], 0, load(out[b], 0) * exp((log_last - represented) * 0.5))
