"""What a user would write in the place of dlnmc: two files for each package, or one where we found nothing faster.

`…_plain` is written as the package's documentation would have it, and goals are judged against it; `…_fast` is the
fastest that we found, shown beside it. All take whole Euler–Maruyama steps of the same model with the same step, in
float64. A file has a `LABEL`, the package, and `HOW` it is used, the `MODELS` it can do, maybe `most_paths(size)`, and

    stepper(problem, threads) -> advance(x, steps, noise) -> states (path, component)

`advance` carries states (path, component) on, with noise of this standard deviation for each √time: the problem's, or
none in checks. Nothing is tamed pair by pair, as it is in dlnmc; instead a step moves by drift no farther than `REACH`,
which costs a peer next to nothing and keeps it finite. No noise is kept or compared: each package draws its own.
"""

import importlib
import math
import time
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from dlnmc import DeepLinearNetwork, DysonBrownianMotion, laws
from dlnmc.defaults import default_dt

OURS = "ours"
PACKAGES = ("numpy", "numba", "jax", "diffrax", "torchsde")
FORMS = ("plain", "fast")
PEERS = tuple(f"{package}_{form}" for package in PACKAGES for form in FORMS if (package, form) != ("torchsde", "fast"))
PATHS = 4096
CHECKED = 16  # paths whose drift is compared
STEPS = 5  # of the run that checks the trace
REACH = 1.0  # of one step's drift; the semicircle's radius is 2
FALSE_ALARM = 4.9  # standard deviations: 1e-6


@dataclass(frozen=True)
class Problem:
    """Dyson Brownian motion (11.8), or λ of the Deep Linear Network, κ = 1, β = d, quadratic energy."""

    kind: str  # "dyson" or "dln"
    size: int
    paths: int = PATHS

    @property
    def model(self):
        if self.kind == "dyson":
            return DysonBrownianMotion(size=self.size, beta=float(self.size))
        return DeepLinearNetwork(width=self.size, depth=2.0, beta=float(self.size))

    @property
    def depth(self):
        return 1 if self.kind == "dyson" else 2

    @property
    def beta(self):
        return float(self.size)

    @property
    def kappa(self):
        return 1.0

    @cached_property
    def dt(self):
        return default_dt(self.model)

    @property
    def noise(self):
        """√(2κ/(βN)), of dx or dλ."""
        return math.sqrt(2.0 * self.kappa / (self.beta * self.depth))

    @property
    def pairs(self):
        return self.size * (self.size - 1) // 2


def start(problem):
    """States (path, component): quantiles of the law at infinite size, off by a tenth of the gap beside each."""
    law = laws.of(problem.model)
    x = law.ppf((np.arange(problem.size) + 0.5) / problem.size) ** (1.0 / problem.depth)
    gaps = np.diff(x, prepend=2.0 * x[0] - x[1])
    jitter = np.random.default_rng(0).uniform(-0.1, 0.1, (problem.paths, problem.size))
    return x + gaps * jitter


def drift(problem, x):
    """The drift of states (path, component), as it stands in the equations; the measure of every peer."""
    beta, kappa, N, others = problem.beta, problem.kappa, problem.depth, ~np.eye(problem.size, dtype=bool)

    def repulsion(z):
        gaps = z[:, :, None] - z[:, None, :]
        return np.sum(1.0 / np.where(others, gaps, np.inf), axis=2)

    if problem.kind == "dyson":
        return -x + 2.0 / beta * repulsion(x)
    entropic = x ** (2 * N - 1) * repulsion(x ** (2 * N)) / beta
    return -(x ** (2 * N - 1)) + entropic + (2.0 * kappa - 1.0) * x * repulsion(x**2) / (beta * N)


def check(advance, problem):
    """Raise ValueError unless a step without noise is the drift, noise has its variance, and a run stays in place."""
    x, dt, few = start(problem), problem.dt, slice(0, CHECKED)
    f = drift(problem, x[few])
    still = advance(x, 1, 0.0)
    error = np.max(np.abs((still - x)[few] / dt - f)) / np.max(np.abs(f))
    if not error < 1e-6:
        raise ValueError(f"{problem.kind} {problem.size}: a step without noise is off the drift by {error:.2g}")
    z = (advance(x, 1, problem.noise) - still) / (problem.noise * math.sqrt(dt))
    if not abs(np.mean(z**2) - 1.0) < FALSE_ALARM * math.sqrt(2.0 / z.size):
        raise ValueError(f"{problem.kind} {problem.size}: the noise has the variance {np.mean(z**2):.4f}, not 1")
    trace = np.mean(np.sum(advance(x, STEPS, problem.noise) ** (2 * problem.depth), axis=1))
    exact = float(laws.trace(problem.model).mean())
    if not abs(trace / exact - 1.0) < 0.15:  # the start is off by O(1/d)
        raise ValueError(f"{problem.kind} {problem.size}: the trace is {trace:.4g}, at equilibrium {exact:.4g}")


def load(name):
    """The module of a peer; ImportError where its package is not installed."""
    return importlib.import_module(f"peers.{name}")


class Stopwatch:
    """A peer on one problem, whose calls take about as long as they are asked to."""

    def __init__(self, name, problem, threads):
        module = load(name)
        if hasattr(module, "most_paths"):
            problem = replace(problem, paths=min(problem.paths, module.most_paths(problem.size)))
        self.problem, self.steps = problem, STEPS
        if hasattr(module, "rate"):
            self.rate = lambda seconds: module.rate(problem, seconds, threads)
            return
        self.advance = module.stepper(problem, threads)
        self.x = start(problem)
        if name != OURS:
            check(self.advance, problem)

    def rate(self, seconds):
        """Path steps per second over one call. Where its length changes it is made once before, as it may compile."""
        taken = self.call()
        for _ in range(3):  # short calls tell little of long ones
            if 0.8 * seconds < taken < 3.0 * seconds:
                break
            self.steps = max(1, round(1.2 * seconds * self.steps / self.call()))
            self.call()
            taken = self.call()
        return self.problem.paths * self.steps / taken

    def call(self):
        began = time.perf_counter()
        self.x = self.advance(self.x, self.steps, self.problem.noise)
        taken = time.perf_counter() - began
        if not np.all(np.isfinite(self.x)):
            raise ValueError(f"{self.problem.kind} {self.problem.size}: not finite")
        return taken
