"""Hold laws against simulations and exact draws, each beside a negative control, and keep the table.

A row of `ROWS` is one claim about one model and scheme. Its distance must stay below its threshold, and that of its
control, the same states held against a slightly wrong model, must lie above. Every row is run, with a seed made from its
name; then data/validation/verification.json and docs/verification.md are written. Exit code 3 if a law fails or a
control passes.
"""

import argparse
import json
import math
import pathlib
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
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
BATCHES = 64
LEVELS = (np.arange(4096) + 0.5) / 4096

# ---------------------------------------------------------------- statistics of states (path, draw, component)


def trace(states, model):
    return (states**2).sum(axis=-1)


def largest(states, model):
    return states[..., -1]


def smallest(states, model):
    return states[..., 0]


def gap(states, model):
    return states[..., 1] - states[..., 0]


def centre(states, model):
    return states.mean(axis=-1)


def soft_edge(states, model):
    return laws.at_soft_edge(laws.scaled(states[..., -1], model), laws.of(model), model.size)


def hard_edge(states, model):
    return laws.at_hard_edge(states[..., 0], model)


# ---------------------------------------------------------------- kinds of claims


class Figures(NamedTuple):
    """What a row measured. `chance` is what chance may add to a distance; the rest of the threshold is an allowance."""

    distance: float
    threshold: float
    chance: float
    control_distance: float


@dataclass(frozen=True, kw_only=True)
class Row:
    """A claim about a model that a scheme samples, and by which factors the control's model is wrong.

    Without a `time` states are those at equilibrium; `dt` None leaves the step to the scheme.
    """

    law: str
    model: Any
    scheme: str
    wrong: dict[str, float]
    paths: int
    dt: float | None = None
    time: float | None = None
    start: Any = None

    unit = ""

    def measure(self, seed) -> Figures:
        raise NotImplementedError

    def states(self, model, seed, dt=None, draws=1, **settings):
        """Independent states (path, draw, component), ascending."""
        settings |= {"paths": self.paths, "seed": seed}
        if self.scheme == "exact":
            return analysis.states(dlnmc.exact(model, time=self.time, **settings))
        settings |= {"scheme": self.scheme, "dt": dt or self.dt}
        if self.time is not None:
            return analysis.states(dlnmc.simulate(model, times=[self.time], start=self.start, **settings))
        duration = 0.5 * draws * time_unit(model)
        return analysis.states(dlnmc.equilibrium(model, draws=draws, observations=draws, duration=duration, **settings))

    @property
    def what(self):
        return name_of(self.model) + ("" if self.time is None else f", t = {self.time:g}")

    @property
    def control(self):
        symbols = {"kappa": "κ", "beta": "β", "energy": "last coefficient"}
        return ", ".join(f"{factor:g} {symbols[name]}" for name, factor in self.wrong.items())


@dataclass(frozen=True, kw_only=True)
class Exact(Row):
    """One number of each path has an exact law."""

    of: Callable = trace
    exact: Callable = laws.trace
    biased: bool = False
    offset: Callable = lambda model: 0.0  # noqa: E731

    def measure(self, seed):
        states, wrong = self.states(self.model, seed), changed(self.model, self.wrong)
        law, control = self.exact(self.model), self.exact(wrong)
        chance = statistics.kolmogorov_bound(self.paths, math.inf, FALSE_ALARM)
        allowance = self.offset(self.model) + (self.bias(law, states, seed) if self.biased else 0.0)
        return Figures(
            statistics.kolmogorov_distance(self.of(states, self.model), law).value,
            chance + allowance,
            chance,
            statistics.kolmogorov_distance(self.of(states, wrong), control).value,
        )

    def bias(self, law, states, seed):
        """The distance by which a positive law moves when its mean is off by what the step may do.

        That is at most the change from dt to 2 dt, if the order is 1 or more, and four standard errors of it.
        """
        coarse = self.states(self.model, seed + 1, 2.0 * self.dt)
        change, error = statistics.difference(*(self.of(s, self.model).mean(axis=1) for s in (coarse, states))).estimate
        return distance_of_laws(law, lambda x: law.cdf(x * (1.0 + (abs(change) + 4.0 * error) / law.mean())))


@dataclass(frozen=True, kw_only=True)
class Limit(Row):
    """All values, or one of each path, have this law as d → ∞; `narrow` is a width at which the correction doubles."""

    narrow: int
    of: Callable = laws.scaled
    exact: Callable = laws.of
    draws: int = 1
    burn_in: float | None = None

    def measure(self, seed):
        models = of_width(self.model, self.narrow), self.model
        settings = {} if self.burn_in is None else {"burn_in": self.burn_in}
        states = [self.states(model, seed + k, draws=self.draws, **settings) for k, model in enumerate(models)]
        distance, chance, correction = self.extrapolated(models, states)
        wrong, _, _ = self.extrapolated([changed(model, self.wrong) for model in models], states)
        return Figures(distance, 0.5 * correction + chance, chance, wrong)

    def extrapolated(self, models, states):
        """The distance of 2F_wide − F_narrow to the law, what chance may add to it, and that of F_wide to F_narrow."""
        law = self.exact(models[1])
        narrow, wide = (functions(self.of(s, model), law.ppf(LEVELS)) for s, model in zip(states, models, strict=True))
        error = np.sqrt((4.0 * wide.var(axis=0, ddof=1) + narrow.var(axis=0, ddof=1)) / BATCHES)
        F_wide, F_narrow = wide.mean(axis=0), narrow.mean(axis=0)
        return (
            float(np.max(np.abs(2.0 * F_wide - F_narrow - LEVELS))),
            float(np.max(error)) * largest_z(self.model.size, BATCHES - 1, FALSE_ALARM),
            float(np.max(np.abs(F_wide - F_narrow))),
        )

    @property
    def what(self):
        return name_of(self.model).replace(", β = ", f" from {self.narrow}, β = ", 1)


@dataclass(frozen=True, kw_only=True)
class Identities(Row):
    """The generator's identities hold: largest |z|."""

    unit = " s.e."

    def measure(self, seed):
        states = self.states(self.model, seed)
        models = self.model, changed(self.model, self.wrong)
        true, wrong = (identities.verdict(identities.identities(model, states), FALSE_ALARM) for model in models)
        return Figures(abs(true.worst.z), true.threshold, true.threshold, abs(wrong.worst.z))


@dataclass(frozen=True, kw_only=True)
class Between(Row):
    """All ordered values have the laws of exact draws: the largest distance of two samples. The control is run."""

    def measure(self, seed):
        drawn = analysis.states(dlnmc.exact(self.model, paths=self.paths, seed=seed))
        distances = []
        for k, model in enumerate((self.model, changed(self.model, self.wrong))):
            states = self.states(model, seed + k)
            pairs = zip(np.moveaxis(states, -1, 0), np.moveaxis(drawn, -1, 0), strict=True)
            distances.append(max(statistics.kolmogorov_between(a, b).value for a, b in pairs))
        bound = statistics.kolmogorov_bound(self.paths, self.paths, FALSE_ALARM / self.model.size)
        return Figures(distances[0], bound, bound, distances[1])


@dataclass(frozen=True, kw_only=True)
class Ratio(Row):
    """The mean ratio of neighbouring gaps in the middle half is that of its class; control: the surmise's mean."""

    exponent: int
    wrong: None = None

    unit = " s.e."
    ERROR = 1e-4  # of the reference value

    def measure(self, seed):
        ratio = statistics.mean_over_paths(statistics.spacing_ratio(self.states(self.model, seed)))
        error = math.hypot(ratio.error, self.ERROR)
        class_, surmise = laws.mean_spacing_ratio(self.exponent), laws.SpacingRatioSurmise(self.exponent).mean()
        threshold = largest_z(1, self.paths - 1, FALSE_ALARM)
        return Figures(abs(ratio.value - class_) / error, threshold, threshold, abs(ratio.value - surmise) / error)

    @property
    def control(self):
        return "surmise of 3×3 matrices"


# ---------------------------------------------------------------- models


def changed(model, factors):
    """The model with parameters multiplied by factors; of a polynomial energy the last coefficient."""
    values = {name: factor * getattr(model, name) for name, factor in factors.items() if name != "energy"}
    if "energy" in factors:
        *others, last = model.energy.coefficients
        values["energy"] = Polynomial(coefficients=(*others, factors["energy"] * last))
    return model.changed(**values)


def of_width(model, d):
    """The model at another width, β being d."""
    name = "width" if isinstance(model, DeepLinearNetwork) else "size"
    return model.changed(**{name: d, "beta": float(d)})


def network(d, N, kappa, beta=None, energy="quadratic"):
    return DeepLinearNetwork(width=d, depth=N, beta=float(d if beta is None else beta), kappa=kappa, energy=energy)


def dyson(d, kappa, beta=None, energy="quadratic"):
    return DysonBrownianMotion(size=d, beta=float(d if beta is None else beta), kappa=kappa, energy=energy)


def name_of(model):
    is_network = isinstance(model, DeepLinearNetwork)
    text = f"{'DLN' if is_network else 'Dyson'}, d = {model.size}"
    if is_network:
        text += f", N = {model.depth:g}".replace("inf", "∞")
    text += f", β = {model.beta:g}, κ = {model.kappa:g}"
    if model.energy.kind == "none":
        return text + ", V = 0"
    if model.energy.kind == "polynomial":
        exponents = ("", "²", "³", "⁴")
        u = "σ²" if is_network else "x"
        powers = [f"{u}" if k == 0 else f"({u}){e}" if is_network else f"{u}{e}" for k, e in enumerate(exponents)]
        terms = [f"{c:g} {power}" for c, power in zip(model.energy.coefficients, powers, strict=False) if c]
        return text + ", v = " + " + ".join(terms).replace("+ -", "− ").replace("= -", "= −")
    return text


# ---------------------------------------------------------------- distribution functions


def functions(values, grid):
    """Distribution functions (batch, grid) of values (path, …), in batches of paths."""
    parts = [np.sort(part, axis=None) for part in np.array_split(values, BATCHES)]
    return np.array([np.searchsorted(part, grid, side="right") / part.size for part in parts])


def distance_of_laws(law, cdf):
    """The largest difference of a law's distribution function and another, over the law's quantiles."""
    return float(np.max(np.abs(LEVELS - cdf(law.ppf(LEVELS)))))


def finite_width(model):
    """How far the law of the smallest singular value at this width is from its limit, both being known."""
    law = laws.smallest_singular_value(model.width)
    return distance_of_laws(law, laws.smallest_singular_value().cdf)


# ---------------------------------------------------------------- the rows

GAMMA = "Tr WᵀW ~ Gamma"
SQUARES = "Σx² ~ Gamma"
TWO_1, TWO_2 = "σ₁ of two, by quadrature", "σ₂ of two, by quadrature"
IDENTITIES = "generator identities"
POOLED = "all σ, d → ∞"
DOUBLE_WELL = Polynomial(coefficients=(-0.4, 0.3))
QUARTIC = Polynomial(coefficients=(0.0, -0.5, 0.0, 0.25))


def largest_of_two(model):
    return laws.two(model).largest


def smallest_of_two(model):
    return laws.two(model).smallest


ROWS = (
    Exact(law=GAMMA, model=network(4, 2, 1.0), scheme="euler_maruyama", dt=1e-3, biased=True, wrong={"kappa": 1.15}, paths=2**14),
    Exact(law=GAMMA, model=network(8, 3, 0.75, 6), scheme="leimkuhler_matthews", dt=2e-3, biased=True, wrong={"kappa": 1.15}, paths=2**14),
    Exact(law=GAMMA, model=network(6, 4.5, 2.0, 5), scheme="mala", wrong={"kappa": 1.1}, paths=2**14),
    Exact(law=GAMMA, model=network(24, 3, 0.3), scheme="hmc", wrong={"kappa": 1.1}, paths=2**13),
    Exact(law=GAMMA, model=network(4, 6, 1.5, 1.5), scheme="hmc", wrong={"kappa": 1.1}, paths=2**15),
    Exact(law=GAMMA, model=network(3, math.inf, 0.2, 2), scheme="hmc", wrong={"kappa": 1.1}, paths=2**14),
    Exact(law=GAMMA, model=network(32, 5, 0.5), scheme="exact", wrong={"kappa": 1.1}, paths=2**14),
    Exact(law=GAMMA, model=network(64, 1, 1.3), scheme="exact", wrong={"kappa": 1.02}, paths=2**14),
    Identities(law=IDENTITIES, model=network(8, 3, 0.8, energy=DOUBLE_WELL), scheme="hmc", wrong={"kappa": 1.1}, paths=2**13),
    Identities(law=IDENTITIES, model=network(5, 2, 1.5, energy=DOUBLE_WELL), scheme="mala", wrong={"energy": 1.1}, paths=2**13),
    Identities(law=IDENTITIES, model=network(6, math.inf, 0.25, energy=DOUBLE_WELL), scheme="hmc", wrong={"energy": 1.1}, paths=2**13),
    Identities(law=IDENTITIES, model=dyson(6, 0.8, energy=QUARTIC), scheme="hmc", wrong={"kappa": 1.1}, paths=2**13),
    Between(law="every σ, against exact draws", model=network(6, 3, 0.5), scheme="hmc", wrong={"kappa": 1.2}, paths=2**14),
    Between(law="every x, against exact draws", model=dyson(6, 0.7), scheme="mala", wrong={"kappa": 1.2}, paths=2**14),
    Exact(law=TWO_1, model=network(2, 3, 0.8), scheme="hmc", of=largest, exact=largest_of_two, wrong={"beta": 0.94}, paths=2**17),
    Exact(law=TWO_2, model=network(2, 3, 0.8), scheme="hmc", of=smallest, exact=smallest_of_two, wrong={"beta": 0.94}, paths=2**17),
    Exact(law=TWO_1, model=network(2, 2, 1.2, energy=DOUBLE_WELL), scheme="mala", of=largest, exact=largest_of_two, wrong={"beta": 0.94}, paths=2**17),
    Exact(law=TWO_2, model=network(2, math.inf, 0.15), scheme="hmc", of=smallest, exact=smallest_of_two, wrong={"beta": 0.94}, paths=2**17),
    Exact(law="x₁ of two, by quadrature", model=dyson(2, 1.0, energy=QUARTIC), scheme="hmc", of=largest, exact=largest_of_two, wrong={"beta": 0.94}, paths=2**17),
    Exact(law=SQUARES, model=dyson(8, 1.3, 5), scheme="euler_maruyama", dt=1e-3, biased=True, wrong={"beta": 0.94}, paths=2**14),
    Exact(law=SQUARES, model=dyson(12, 0.8, 5), scheme="leimkuhler_matthews", dt=2e-3, biased=True, wrong={"beta": 0.94}, paths=2**14),
    Exact(law=SQUARES, model=dyson(8, 2.0, 5), scheme="mala", wrong={"beta": 0.94}, paths=2**14),
    Exact(law=SQUARES, model=dyson(16, 0.5, 5), scheme="hmc", wrong={"beta": 0.94}, paths=2**13),
    Exact(law=SQUARES, model=dyson(64, 1.0, 5), scheme="exact", wrong={"beta": 0.98}, paths=2**14),
    Exact(law=SQUARES, model=dyson(8, 0.9, 3), scheme="exact", time=0.3, exact=lambda m: laws.trace(m, 0.3), wrong={"kappa": 1.1}, paths=2**16),
    Exact(law=SQUARES + ", free from 0", model=dyson(4, 0.8, 2.5, "none"), scheme="euler_maruyama", time=1.0, dt=1e-3, start="zero", biased=True, exact=lambda m: laws.trace(m, 1.0), wrong={"beta": 0.9}, paths=2**15),
    Exact(law="gap of two, from 0", model=dyson(2, 0.5, 1.7), scheme="leimkuhler_matthews", time=1.0, dt=2e-3, start="zero", biased=True, of=gap, exact=lambda m: laws.gap(m, 1.0), wrong={"kappa": 1.15}, paths=2**17),
    Exact(law="gap of two, from a gap of 0.8", model=dyson(2, 1.5, 1.7), scheme="euler_maruyama", time=0.4, dt=1e-3, start=[-0.4, 0.4], biased=True, of=gap, exact=lambda m: laws.gap(m, 0.4, 0.8), wrong={"kappa": 1.15}, paths=2**17),
    Exact(law="centre of mass, free from 0", model=dyson(5, 1.1, 2, "none"), scheme="euler_maruyama", time=0.5, dt=1e-2, start="zero", of=centre, exact=lambda m: laws.centre_of_mass(m, 0.0, 0.5), wrong={"kappa": 1.1}, paths=2**17),
    Limit(law=POOLED, model=network(32, 3, 0.75), narrow=16, scheme="hmc", draws=16, wrong={"kappa": 1.1}, paths=512),
    Limit(law=POOLED, model=network(32, 3, 1.0), narrow=16, scheme="hmc", draws=16, wrong={"kappa": 1.1}, paths=512),
    Limit(law=POOLED, model=network(32, 2, 0.3), narrow=16, scheme="hmc", draws=16, wrong={"kappa": 1.1}, paths=512),
    Limit(law=POOLED, model=network(32, 8, 0.05), narrow=16, scheme="hmc", draws=16, wrong={"kappa": 1.1}, paths=128),
    Limit(law=POOLED, model=network(32, math.inf, 0.3), narrow=16, scheme="hmc", draws=16, wrong={"kappa": 1.1}, paths=512),
    Limit(law=POOLED + ": quarter circle", model=network(512, 4, 0.5), narrow=256, scheme="exact", wrong={"kappa": 1.02}, paths=1024),
    Limit(law=POOLED + ": quarter circle", model=network(512, 1, 0.8), narrow=256, scheme="exact", wrong={"kappa": 1.02}, paths=1024),
    Limit(law="all x, d → ∞: semicircle", model=dyson(512, 0.7), narrow=256, scheme="exact", wrong={"beta": 1.02}, paths=1024),
    Limit(law="σ_max, d → ∞: Tracy–Widom, β = 1", model=network(512, 3, 0.5), narrow=64, scheme="exact", of=soft_edge, exact=laws.soft_edge_limit, wrong={"kappa": 1.02}, paths=2**14),
    Limit(law="x_max, d → ∞: Tracy–Widom, β = 2", model=dyson(512, 1.0), narrow=181, scheme="exact", of=soft_edge, exact=laws.soft_edge_limit, wrong={"kappa": 2.0}, paths=2**14),
    Exact(law="σ_min, d → ∞: Edelman", model=network(128, 1, 0.6), scheme="exact", of=hard_edge, exact=lambda m: laws.smallest_singular_value(), offset=finite_width, wrong={"kappa": 1.1}, paths=2**16),
    Ratio(law="spacing ratio of σ, d → ∞: 0.5307", model=network(256, 2.5, 0.5), scheme="exact", exponent=1, paths=2**14),
    Ratio(law="spacing ratio of x, d → ∞: 0.5996", model=dyson(256, 1.0), scheme="exact", exponent=2, paths=2**14),
)  # fmt: skip


def main():
    import re
    pat = sys.argv[1] if len(sys.argv) > 1 else ""
    for row in ROWS:
        key = f"{row.law}; {row.what}; {row.scheme}"
        if pat.lower() not in key.lower(): continue
        t=time.time()
        f=row.measure(zlib.crc32(key.encode()))
        ok = f.distance < f.threshold < f.control_distance
        strong = f.control_distance > f.threshold + 0.72*f.chance
        print(f"{key}: {f.distance:.4g} < {f.threshold:.4g} ({f.chance:.3g}) < {f.control_distance:.4g} {'' if ok else 'FAIL'}{'' if strong else ' WEAK'} {time.time()-t:.1f}s", flush=True)

if __name__ == "__main__":
    main()
