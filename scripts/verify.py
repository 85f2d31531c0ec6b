"""Hold every law against simulations and exact draws, each beside a negative control, and keep the table.

A row of `ROWS` is one claim. Its distance must stay below its threshold, which chance exceeds with probability 1e-6 at
most, and that of its control, the same data held against a slightly wrong model, must lie above. Without options all
rows are run, and data/validation/verification.json and docs/verification.md are written. Exit code 3 if a law fails or
a control passes.

--only PATTERN   run the rows whose line in the table holds this text, and write nothing
--check          run nothing: exit code 1 unless page, figures, rows and the sources of the kernels agree
"""

import argparse
import json
import math
import pathlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

import dlnmc
from dlnmc import DeepLinearNetwork, DysonBrownianMotion, Polynomial, analysis, identities, information, laws, statistics
from dlnmc.defaults import time_unit
from dlnmc.statistics.estimates import largest_z

ROOT = pathlib.Path(__file__).parent.parent
FIGURES = ROOT / "data" / "validation" / "verification.json"
PACKAGES = ROOT / "data" / "validation" / "against_other_packages.json"
PAGE = ROOT / "docs" / "verification.md"
FALSE_ALARM = 1e-6
FAILED = 3
BATCHES = 64  # of paths, for errors


class Figures(NamedTuple):
    """What a row measured; `chance` is the part of the threshold that chance may take, the rest is an allowance."""

    distance: float
    threshold: float
    control_distance: float
    chance: float


def trace(states, model):
    return (states**2).sum(axis=-1)


def smallest(states, model):
    return states[..., 0]


def largest(states, model):
    return states[..., -1]


def gap(states, model):
    return states[..., 1] - states[..., 0]


def centre_of_mass(states, model):
    return states.mean(axis=-1)


def pooled(states, model):
    return laws.scaled(states, model)


def soft_edge(states, model):
    return laws.at_soft_edge(laws.scaled(states[..., -1], model), laws.of(model), model.size)


def hard_edge(states, model):
    return laws.at_hard_edge(states[..., 0], model)


@dataclass(frozen=True)
class Row:
    """A claim about a model that a scheme samples; the control holds the same states against the model `wrong`."""

    law: str
    model: Any
    scheme: str
    wrong: dict[str, Any]
    paths: int
    dt: float | None = None
    time: float | None = None
    start: Any = None

    def states(self, model, seed, dt=None, draws=1):
        """Ascending states (path, draw, component) at equilibrium, or at a time after the start."""
        if self.scheme == "exact":
            return analysis.states(dlnmc.exact(model, paths=self.paths, time=self.time, seed=seed))
        settings = {"paths": self.paths, "dt": dt or self.dt, "scheme": self.scheme, "seed": seed}
        if self.time is not None:
            return analysis.states(dlnmc.simulate(model, times=[self.time], start=self.start, **settings))
        duration = 0.5 * draws * time_unit(model)
        return analysis.states(
            dlnmc.equilibrium(model, draws=draws, observations=draws, duration=duration, **settings)
        )

    def measure(self, seed) -> Figures:
        raise NotImplementedError

    @property
    def control(self):
        return describe(self.wrong)

    @property
    def what(self):
        """The model as the table has it."""
        return name_of(self.model) + ("" if self.time is None else f", t = {self.time:g}")


@dataclass(frozen=True)
class Exact(Row):
    """One number for each path has an exact law: Kolmogorov's distance.

    The threshold is the envelope of Dvoretzky, Kiefer and Wolfowitz for the number of paths; where steps are biased, plus the
    distance by which the law moves when its mean is off by the bias, which is at most the change from dt to 2 dt and four standard
    errors (any order of 1 or more). `offset` is a distance known beforehand: that of the law of this width to its limit.
    """

    of: Callable = trace
    exact: Callable = laws.trace
    offset: Callable = field(default=lambda model: 0.0)

    def measure(self, seed):
        law = self.exact(self.model)
        states = self.states(self.model, seed)
        chance = statistics.kolmogorov_bound(self.paths, math.inf, FALSE_ALARM)
        wrong = self.model.changed(**self.wrong)
        return Figures(
            statistics.kolmogorov_distance(self.of(states, self.model), law).value,
            chance + self.offset(self.model) + self.bias(law, states, seed),
            statistics.kolmogorov_distance(self.of(states, wrong), self.exact(wrong)).value,
            chance,
        )

    def bias(self, law, states, seed):
        if self.dt is None or self.scheme in ("mala", "hmc") or self.of is centre_of_mass:
            return 0.0
        coarse = self.states(self.model, seed + 1, 2.0 * self.dt)
        change = statistics.difference(*(self.of(values, self.model).mean(axis=1) for values in (coarse, states)))
        factor = 1.0 + (abs(change.estimate.value) + 4.0 * change.estimate.error) / law.mean()
        at = law.ppf((np.arange(4000) + 0.5) / 4000)
        return float(np.max(np.abs(law.cdf(at) - law.cdf(at * factor))))
