"""A function E of matrices W and its gradient, looked at from outside: whether they agree, minimum, curvature.

Both are given as functions of arrays (…, d, d). What is found about minima and curvature is an estimate: it sets scales
for starts and default steps, and nothing else depends on it.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

Floats = NDArray[np.float64]
OfMatrices = Callable[[Floats], Floats]

SIZES = (0.5, 1.0, 2.0)  # of fixed random matrices: entries are normal, with this standard deviation times 1/√d
STEPS = (1e-2, 3e-4, 1e-5)  # of differences, in units of these sizes; an entry may agree at any of them
AGREEMENT = 1e-6  # of an entry of the gradient with differences, relative to its largest
ROUNDING = 1e-14  # of values, relative to the largest in the differences
MOST_NUMBERS = 2**22  # in the matrices of one difference: beyond width 45 entries are tried at fixed random places
STARTS = 4  # random ones of the search for the minimum, besides 0
LARGEST_WIDTH = 32  # up to which all d² directions are looked at
FLAT = 1e-7  # curvature below this, relative to the largest, is 0: differences do not see it
HESSIAN_STEP = 1e-4
DOUBLINGS = 6  # of the distance at which E should grow
DOWN = 1e-5  # of the slopes at the starts, what is left of them at a minimum


class Landscape(NamedTuple):
    """The smallest and the largest curvature about a minimum, and where that is, (d, d)."""

    softness: float
    stiffness: float
    minimiser: Floats


class Disagreement(NamedTuple):
    """An entry of the gradient, and the difference of values that it should be."""

    row: int
    column: int
    gradient: float
    difference: float


def trials(width: int) -> Floats:
    """The fixed random matrices (trial, d, d) at which functions are tried."""
    normals = np.random.default_rng(width).standard_normal((len(SIZES), width, width))
    return np.asarray(normals * np.array(SIZES)[:, None, None] / np.sqrt(width))


def disagreement(value: OfMatrices, gradient: OfMatrices, width: int) -> Disagreement | None:
    """The entry in which the gradient differs most from central differences of the value; None where all agree.

    Differences are of fourth order, (8 [E(h) − E(−h)] − [E(2h) − E(−2h)])/12h, at three steps h.
    """
    number = width * width
    places = np.random.default_rng(0).permutation(number)[: max(1, MOST_NUMBERS // number)]
    directions = np.zeros((len(places), width, width))
    directions.reshape(len(places), number)[np.arange(len(places)), places] = 1.0
    found: list[tuple[float, Disagreement]] = []
    for W, size in zip(trials(width), SIZES, strict=True):
        slopes = gradient(W[None])[0].ravel()
        scale = AGREEMENT * float(np.max(np.abs(slopes)))
        differences, allowed = zip(*_differences(value, W, directions, size), strict=True)
        excess = np.abs(np.array(differences) - slopes[places]) - scale - np.array(allowed)[:, None]
        best = np.argmin(excess, axis=0)
        worst = int(np.argmax(np.min(excess, axis=0)))
        row, column = divmod(int(places[worst]), width)
        entry = Disagreement(row, column, float(slopes[places[worst]]), float(differences[best[worst]][worst]))
        found.append((float(excess[best[worst], worst]), entry))
    largest, entry = max(found)
    return None if largest <= 0.0 else entry


def _differences(value: OfMatrices, W: Floats, directions: Floats, size: float) -> Iterator[tuple[Floats, float]]:
    """Directional derivatives by central differences, and the error that rounding makes in them, for each step."""
    for step in STEPS:
        h = step * size
        near, far = ((value(W + m * h * directions), value(W - m * h * directions)) for m in (1.0, 2.0))
        rounding = ROUNDING * float(np.max(np.abs(np.stack([*near, *far]))))
        yield (8.0 * (near[0] - near[1]) - (far[0] - far[1])) / (12.0 * h), rounding / h


def estimated(value: OfMatrices, gradient: OfMatrices, width: int) -> Landscape:
    """Where E is least, and its smallest and largest curvature there.

    The minimum is the lowest that descent finds from 0 and from a few random matrices; of equal ones the smallest.
    Curvatures are taken along the eigenvectors U of the Hessian (differences of the gradient), across a distance r:
    ⟨E'(W + rU) − E'(W − rU), U⟩/2r with r the size of W, but at least 1, doubled until E grows along all U. So a
    minimum that is flat, of E = |W|⁴ or on an orbit, confines as it should. The largest is that of the Hessian where
    that is larger. The smallest is 0 where E does not grow along some U. `width` is at most LARGEST_WIDTH.
    Raises ValueError where the gradient is not finite.
    """
    least = _minimiser(value, gradient, width)
    number = width * width
    basis = np.eye(number).reshape(number, width, width)
    across = _across(gradient, least, basis, HESSIAN_STEP * max(1.0, float(np.max(np.abs(least)))))
    if not np.all(np.isfinite(across)):
        raise ValueError("the gradient is not finite at the minimum")
    curvatures, vectors = np.linalg.eigh(0.5 * (across + across.T))
    U = np.ascontiguousarray(vectors.T).reshape(number, width, width)
    r, stiffness = max(1.0, float(np.linalg.norm(least))), float(np.max(np.abs(curvatures)))
    for _ in range(DOUBLINGS + 1):
        with np.errstate(all="ignore"):
            wide = np.sum(_across(gradient, least, U, r) * U.reshape(number, -1), axis=1)
        stiff, soft = max(stiffness, float(np.max(np.abs(wide)))), float(np.min(wide))
        if soft > FLAT * stiff:
            return Landscape(soft, stiff, least)
        r *= 2.0
    return Landscape(0.0, stiffness, least)


def _across(gradient: OfMatrices, W: Floats, directions: Floats, r: float) -> Floats:
    """(E'(W + rU) − E'(W − rU))/2r for each direction U, one a row."""
    differences = (gradient(W + r * directions) - gradient(W - r * directions)) / (2.0 * r)
    return differences.reshape(len(directions), -1)


def _minimiser(value: OfMatrices, gradient: OfMatrices, width: int) -> Floats:
    """The lowest minimum that descent finds, 0 where it finds none."""

    def both(w: Floats) -> tuple[float, Floats]:
        W = w.reshape(1, width, width)
        return float(value(W)[0]), gradient(W)[0].ravel()

    starts = np.random.default_rng(width).standard_normal((STARTS, width * width)) / np.sqrt(width)
    with np.errstate(all="ignore"):  # descent may run away
        found = [
            scipy.optimize.minimize(
                both, w, jac=True, method="L-BFGS-B", options={"gtol": 1e-10, "ftol": 1e-16, "maxiter": 500}
            )
            for w in (0.0 * starts[0], *starts)
        ]
    left = DOWN * float(np.max(np.abs(gradient(starts.reshape(-1, width, width)))))
    ends = [end for end in found if np.isfinite(end.fun) and np.max(np.abs(end.jac)) <= left]
    if not ends:
        return np.zeros((width, width))
    lowest = min(float(end.fun) for end in ends)
    equal = [end for end in ends if end.fun <= lowest + 1e-9 * max(1.0, abs(lowest))]
    return np.asarray(min(equal, key=lambda end: float(np.linalg.norm(end.x))).x).reshape(width, width)
