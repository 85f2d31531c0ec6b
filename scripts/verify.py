"""Hold laws against simulations and exact draws, each beside a negative control, and keep the table.

A row of `ROWS` is one claim about one model and scheme. Its distance must stay below its threshold, and that of its
control, the same states held against a slightly wrong model, must lie above. All rows are run, with seeds made from
their names; then data/validation/verification.json and docs/verification.md are written. Exit code 3 if a law fails
or a control passes.
"""

import argparse
import json
import math
import pathlib
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

import dlnmc
from dlnmc import (
    DeepLinearNetwork,
    DysonBrownianMotion,
    Polynomial,
    analysis,
    identities,
    information,
    laws,
    statistics,
)
from dlnmc.defaults import time_unit

ROOT = pathlib.Path(__file__).parent.parent
FIGURES = ROOT / "data" / "validation" / "verification.json"
PACKAGES = ROOT / "data" / "validation" / "against_other_packages.json"
PAGE = ROOT / "docs" / "verification.md"
FALSE_ALARM = 1e-6
FAILED = 3  # exit code
BATCHES = 64  # of paths, for errors
LEVELS = (np.arange(4096) + 0.5) / 4096

# ---------------------------------------------------------------- numbers from states (path, draw, component)


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


# ---------------------------------------------------------------- kinds of rows


class Figures(NamedTuple):
    """What a row measured; `chance` is the part of the threshold that is due to the number of paths."""

    distance: float
    threshold: float
    chance: float
    control_distance: float


@dataclass(frozen=True)
class Row:
    """A claim about a model that a scheme samples, and the factors by which the control's model is wrong.

    States are those at equilibrium, or at a `time` after a `start`. What is None is left to the library.
    """

    law: str
    model: Any
    scheme: str
    paths: int
    wrong: dict[str, float] = field(default_factory=dict)
    dt: float | None = None
    burn_in: float | None = None
    draws: int = 1
    time: float | None = None
    start: Any = None

    unit = ""

    def measure(self, seed) -> Figures:
        raise NotImplementedError

    def states(self, model, seed, dt=None):
        """Independent states (path, draw, component), ascending."""
        settings = {"paths": self.paths, "seed": seed}
        if self.scheme == "exact":
            return analysis.states(dlnmc.exact(model, time=self.time, **settings))
        settings |= {"scheme": self.scheme, "dt": dt or self.dt}
        if self.time is not None:
            return analysis.states(dlnmc.simulate(model, times=[self.time], start=self.start, **settings))
        settings |= {"draws": self.draws, "observations": self.draws, "duration": 0.5 * self.draws * time_unit(model)}
        return analysis.states(dlnmc.equilibrium(model, burn_in=self.burn_in, **settings))

    @property
    def name(self):
        return f"{self.law}; {self.what}; {self.scheme}"

    @property
    def what(self):
        return described(self.model) + ("" if self.time is None else f", t = {self.time:g}")

    @property
    def control(self):
        symbols = {"kappa": "κ", "beta": "β", "energy": "last coefficient"}
        return ", ".join(f"{factor:g} {symbols[name]}" for name, factor in self.wrong.items())


@dataclass(frozen=True)
class Exact(Row):
    """One number of each path has an exact law: Kolmogorov's distance to it.

    `offset` is how far the law at the model's width is from `exact`, where both are known.
    """

    of: Callable = trace
    exact: Callable = laws.trace
    biased: bool = False
    offset: float = 0.0

    def measure(self, seed):
        states, wrong = self.states(self.model, seed), changed(self.model, self.wrong)
        law = self.exact(self.model)
        chance = statistics.kolmogorov_bound(self.paths, math.inf, FALSE_ALARM)
        allowance = self.offset + (self.bias(law, states, seed) if self.biased else 0.0)
        distance = statistics.kolmogorov_distance(self.of(states, self.model), law).value
        control = statistics.kolmogorov_distance(self.of(states, wrong), self.exact(wrong)).value
        return Figures(distance, chance + allowance, chance, control)

    def bias(self, law, states, seed):
        """The distance by which a positive law moves when its mean is off by what the step may do.

        That is the change from dt to 2 dt, for any order of 1 or more, and four standard errors.
        """
        coarse = self.states(self.model, seed + 1, 2.0 * self.dt)
        change, error = statistics.difference(*(self.of(s, self.model)[:, 0] for s in (coarse, states))).estimate
        return distance_of_laws(law, lambda x: law.cdf(x * (1.0 + (abs(change) + 4.0 * error) / law.mean())))


@dataclass(frozen=True)
class Limit(Row):
    """All values, or one of each path, have a law as d → ∞: the distance to it of F = 2F_d − F_narrow.

    At the width `narrow` the correction to the law should be twice that at d, so that it cancels in F. If it is u times
    that at d instead, F is off by |2 − u|/(u − 1) of F_d − F_narrow: at most the half that is allowed, for every u
    between 5/3 and 3. A correction of order d^(−p) has u = (d/narrow)^p: then p may be anything from log₂(5/3) = 0.74
    to log₂ 3 = 1.58 times what it should be, which is 1 where narrow is d/2, ⅓ at d/8, ⅔ at 0.354 d.
    """

    narrow: int = 0
    of: Callable = laws.scaled
    exact: Callable = laws.of

    def measure(self, seed):
        models = self.model, of_width(self.model, self.narrow)
        states = [self.states(model, seed + k) for k, model in enumerate(models)]
        distance, chance, correction = self.extrapolated(models, states)
        control, _, _ = self.extrapolated([changed(model, self.wrong) for model in models], states)
        return Figures(distance, 0.5 * correction + chance, chance, control)

    def extrapolated(self, models, states):
        """The distance, what chance may add to it, and the distance of F_d to F_narrow."""
        grid = self.exact(models[0]).ppf(LEVELS)
        wide, narrow = (functions(self.of(s, model), grid) for s, model in zip(states, models, strict=True))
        F_d, F_narrow = wide.mean(axis=0), narrow.mean(axis=0)
        error = np.sqrt((4.0 * wide.var(axis=0, ddof=1) + narrow.var(axis=0, ddof=1)) / BATCHES)
        chance = statistics.largest_z(self.model.size, BATCHES - 1, FALSE_ALARM) * np.max(error)
        return np.max(np.abs(2.0 * F_d - F_narrow - LEVELS)), chance, np.max(np.abs(F_d - F_narrow))

    @property
    def what(self):
        d = self.model.size
        return described(self.model).replace(f"d = {d}", f"d = {self.narrow}, {d}").replace(f"β = {d}", "β = d")


@dataclass(frozen=True)
class Identities(Row):
    """The generator's identities hold: the largest |z|."""

    unit = " s.e."

    def measure(self, seed):
        states, models = self.states(self.model, seed), (self.model, changed(self.model, self.wrong))
        found, wrong = (identities.verdict(identities.identities(model, states), FALSE_ALARM) for model in models)
        return Figures(abs(found.worst.z), found.threshold, found.threshold, abs(wrong.worst.z))


@dataclass(frozen=True)
class Between(Row):
    """Every ordered value has the law of exact draws: the largest distance of two samples. The control is sampled."""

    def measure(self, seed):
        drawn = analysis.states(dlnmc.exact(self.model, paths=self.paths, seed=seed))
        distances = []
        for k, model in enumerate((self.model, changed(self.model, self.wrong))):
            pairs = zip(np.moveaxis(self.states(model, seed + k), -1, 0), np.moveaxis(drawn, -1, 0), strict=True)
            distances.append(max(statistics.kolmogorov_between(a, b).value for a, b in pairs))
        bound = statistics.kolmogorov_bound(self.paths, self.paths, FALSE_ALARM / self.model.size)
        return Figures(distances[0], bound, bound, distances[1])


@dataclass(frozen=True)
class Ratio(Row):
    """The mean ratio of neighbouring gaps in the middle half is that of the random matrix class.

    Of the reference value the error is 1e-4 (Atas, Bogomolny, Giraud and Roux 2013).
    """

    exponent: int = 1

    unit = " s.e."
    control = "surmise of 3×3 matrices"

    def measure(self, seed):
        ratio = statistics.mean_over_paths(statistics.spacing_ratio(self.states(self.model, seed)))
        values = laws.mean_spacing_ratio(self.exponent), laws.SpacingRatioSurmise(self.exponent).mean()
        z, control = (abs(ratio.value - value) / math.hypot(ratio.error, 1e-4) for value in values)
        threshold = statistics.largest_z(1, self.paths - 1, FALSE_ALARM)
        return Figures(z, threshold, threshold, control)


# ---------------------------------------------------------------- models and distribution functions


def network(d, N, kappa, beta=None, energy="quadratic"):
    return DeepLinearNetwork(width=d, depth=N, beta=float(d if beta is None else beta), kappa=kappa, energy=energy)


def dyson(d, kappa, beta=None, energy="quadratic"):
    return DysonBrownianMotion(size=d, beta=float(d if beta is None else beta), kappa=kappa, energy=energy)


def changed(model, factors):
    """The model with its parameters, or the last coefficient of its energy, multiplied by factors."""
    values = {name: factor * getattr(model, name) for name, factor in factors.items() if name != "energy"}
    if "energy" in factors:
        *others, last = model.energy.coefficients
        values["energy"] = Polynomial(coefficients=(*others, factors["energy"] * last))
    return model.changed(**values)


def of_width(model, d):
    """The model at another width, with β = d."""
    return model.changed(**{"width" if isinstance(model, DeepLinearNetwork) else "size": d, "beta": float(d)})


def described(model):
    is_network = isinstance(model, DeepLinearNetwork)
    name = f"DLN, d = {model.size}, N = {model.depth:g}" if is_network else f"Dyson, d = {model.size}"
    name = f"{name}, β = {model.beta:g}, κ = {model.kappa:g}".replace("inf", "∞")
    if model.energy.kind == "none":
        return f"{name}, V = 0"
    terms = [
        f"{c:+g} {'σ' if is_network else 'x'}{'⁰¹²³⁴⁵⁶⁷⁸⁹'[m]}" for m, c in enumerate(model.powers, 1) if c and m > 1
    ]
    energy = " ".join(terms).removeprefix("+").replace(" +", " + ").replace(" -", " − ").replace("-", "−")
    return name if model.energy.kind == "quadratic" else f"{name}, v = {energy}"


def largest_of_two(model):
    return laws.two(model).largest


def smallest_of_two(model):
    return laws.two(model).smallest


def functions(values, grid):
    """Distribution functions (batch, grid) of all values (path, …) in batches of paths."""
    parts = [np.sort(part, axis=None) for part in np.array_split(values, BATCHES)]
    return np.array([np.searchsorted(part, grid, side="right") / part.size for part in parts])


def distance_of_laws(law, cdf):
    """The largest difference of a law's distribution function and another one, over quantiles of the law."""
    return float(np.max(np.abs(LEVELS - cdf(law.ppf(LEVELS)))))


# ---------------------------------------------------------------- the rows

GAMMA, SQUARES, GENERATOR = "Tr WᵀW ~ Gamma", "Σx² ~ Gamma", "generator identities"
TWO_1, TWO_2, X_OF_TWO = "σ₁ of two, by quadrature", "σ₂ of two, by quadrature", "larger x of two, by quadrature"
POOLED, CIRCLE, SEMICIRCLE = "all σ, d → ∞", "all σ, d → ∞: quarter circle", "all x, d → ∞: semicircle"
AIRY_1, AIRY_2 = "σ_max, d → ∞: Tracy–Widom, β = 1", "x_max, d → ∞: Tracy–Widom, β = 2"
EDELMAN, EDELMAN_128 = laws.smallest_singular_value(), laws.smallest_singular_value(128)
WELL = Polynomial(coefficients=(-0.4, 0.3))
DOUBLE_WELL = Polynomial(coefficients=(0.0, -0.5, 0.0, 0.25))

ROWS = (
    Exact(GAMMA, network(4, 2, 1.0), "euler_maruyama", 2**15, {"kappa": 1.15}, dt=1e-3, biased=True),
    Exact(GAMMA, network(8, 3, 0.75, 6), "leimkuhler_matthews", 2**15, {"kappa": 1.15}, dt=2e-3, biased=True),
    Exact(GAMMA, network(6, 4.5, 2.0, 5), "mala", 2**16, {"kappa": 1.1}),
    Exact(GAMMA, network(24, 3, 0.3), "hmc", 2**14, {"kappa": 1.1}),
    Exact(GAMMA, network(4, 6, 1.5, 1.5), "hmc", 2**16, {"kappa": 1.1}),
    Exact(GAMMA, network(3, math.inf, 0.2, 2), "hmc", 2**17, {"kappa": 1.1}),
    Exact(GAMMA, network(32, 5, 0.5), "exact", 2**16, {"kappa": 1.1}),
    Exact(GAMMA, network(64, 1, 1.3), "exact", 2**16, {"kappa": 1.02}),
    Identities(GENERATOR, network(8, 3, 0.8, energy=WELL), "hmc", 2**14, {"kappa": 1.1}),
    Identities(GENERATOR, network(5, 2, 1.5, energy=WELL), "mala", 2**14, {"energy": 1.1}),
    Identities(GENERATOR, network(6, math.inf, 0.25, energy=WELL), "hmc", 2**14, {"energy": 1.1}),
    Identities(GENERATOR, dyson(6, 0.8, energy=DOUBLE_WELL), "hmc", 2**16, {"kappa": 1.1}),
    Between("every σ, as exact draws", network(6, 3, 0.5), "hmc", 2**16, {"kappa": 1.2}),
    Between("every x, as exact draws", dyson(6, 0.7), "mala", 2**16, {"kappa": 1.2}),
    Exact(TWO_1, network(2, 3, 0.8), "hmc", 2**17, {"beta": 0.94}, of=largest, exact=largest_of_two),
    Exact(TWO_2, network(2, 3, 0.8), "hmc", 2**20, {"beta": 0.94}, of=smallest, exact=smallest_of_two),
    Exact(TWO_1, network(2, 2, 1.2, energy=WELL), "mala", 2**18, {"beta": 0.94},
          of=largest, exact=largest_of_two),
    Exact(TWO_2, network(2, math.inf, 0.05), "hmc", 2**18, {"beta": 0.94}, of=smallest, exact=smallest_of_two),
    Exact(X_OF_TWO, dyson(2, 1.0, energy=DOUBLE_WELL), "hmc", 2**18, {"beta": 0.94},
          of=largest, exact=largest_of_two),
    Exact(SQUARES, dyson(8, 1.3, 5), "euler_maruyama", 2**15, {"beta": 0.94}, dt=1e-3, biased=True),
    Exact(SQUARES, dyson(12, 0.8, 5), "leimkuhler_matthews", 2**15, {"beta": 0.94}, dt=2e-3, biased=True),
    Exact(SQUARES, dyson(8, 2.0, 5), "mala", 2**16, {"beta": 0.94}),
    Exact(SQUARES, dyson(16, 0.5, 5), "hmc", 2**16, {"beta": 0.94}),
    Exact(SQUARES, dyson(64, 1.0, 5), "exact", 2**16, {"beta": 0.98}),
    Exact(SQUARES + ", from 0", dyson(8, 0.9, 3), "exact", 2**16, {"kappa": 1.1}, time=0.3,
          exact=lambda model: laws.trace(model, 0.3)),
    Exact(SQUARES + ", from 0", dyson(4, 0.8, 2.5, "none"), "euler_maruyama", 2**17, {"beta": 0.9}, dt=1e-3,
          time=1.0, start="zero", biased=True, exact=lambda model: laws.trace(model, 1.0)),
    Exact("gap of two, from 0", dyson(2, 0.5, 1.7), "leimkuhler_matthews", 2**18, {"kappa": 1.15}, dt=2e-3,
          time=1.0, start="zero", biased=True, of=gap, exact=lambda model: laws.gap(model, 1.0)),
    Exact("gap of two, from a gap of 0.8", dyson(2, 1.5, 1.7), "euler_maruyama", 2**18, {"kappa": 1.15}, dt=1e-3,
          time=0.4, start=(-0.4, 0.4), biased=True, of=gap, exact=lambda model: laws.gap(model, 0.4, 0.8)),
    Exact("centre of mass, from 0", dyson(5, 1.1, 2, "none"), "euler_maruyama", 2**18, {"kappa": 1.1}, dt=1e-2,
          time=0.5, start="zero", of=centre, exact=lambda model: laws.centre_of_mass(model, 0.0, 0.5)),
    Limit(POOLED, network(32, 3, 0.75), "hmc", 2048, {"kappa": 1.1}, draws=16, narrow=16),
    Limit(POOLED, network(32, 3, 1.0), "hmc", 2048, {"kappa": 1.1}, draws=16, narrow=16),
    Limit(POOLED, network(32, 2, 0.3), "hmc", 2048, {"kappa": 1.1}, draws=16, narrow=16),
    Limit(POOLED, network(32, 8, 0.05), "hmc", 512, {"kappa": 1.2}, draws=16, narrow=16),
    Limit(POOLED, network(32, math.inf, 0.3), "hmc", 2048, {"kappa": 1.1}, draws=16, narrow=16),
    Limit(CIRCLE, network(512, 4, 0.5), "exact", 2**12, {"kappa": 1.02}, narrow=256),
    Limit(CIRCLE, network(512, 1, 0.8), "exact", 2**12, {"kappa": 1.02}, narrow=256),
    Limit(SEMICIRCLE, dyson(512, 0.7), "exact", 2**12, {"beta": 1.02}, narrow=256),
    Limit(AIRY_1, network(512, 3, 0.5), "exact", 2**16, {"kappa": 1.02}, narrow=64,
          of=soft_edge, exact=laws.soft_edge_limit),
    Limit(AIRY_2, dyson(512, 1.0), "exact", 2**16, {"kappa": 2.0}, narrow=181,
          of=soft_edge, exact=laws.soft_edge_limit),
    Exact("σ_min, d → ∞: Edelman", network(128, 1, 0.6), "exact", 2**17, {"kappa": 1.1},
          of=hard_edge, exact=lambda model: EDELMAN, offset=distance_of_laws(EDELMAN_128, EDELMAN.cdf)),
    Ratio("spacing ratio of σ, d → ∞: 0.5307", network(256, 2.5, 0.5), "exact", 2**14),
    Ratio("spacing ratio of x, d → ∞: 0.5996", dyson(256, 1.0), "exact", 2**14, exponent=2),
)  # fmt: skip

# ---------------------------------------------------------------- figures and page

PAGE_TEXT = """# Verification

Written by `scripts/verify`, which runs every row of the table, in a few minutes, and keeps all figures, with seeds and
steps, in `data/validation/verification.json`. With `--only PATTERN` it runs some rows and writes nothing; `--check`
says whether this page, the figures, the rows and the sources of the kernels belong together. A row is one entry of
`ROWS` in `scripts/verify.py`. The kernels have the hash `{kernel_hash}`.

A row says that numbers from independent paths have a law. Their **distance** to it must be below the **threshold**,
which chance exceeds with a probability of at most 1e-6. The **control** holds the same states against a model in which
something is wrong by a factor: its distance must be above the threshold, or the row could not fail. Controls are made
to fail with probability 0.999.

- One number of each path has an exact law: Kolmogorov's distance, and a threshold from the number of paths by the
  inequality of Dvoretzky, Kiefer and Wolfowitz. Where steps are biased it has an allowance: the distance by which the
  law moves when its mean changes as much as from Δt to 2Δt, plus four standard errors of that. The centre of mass in
  free motion needs none, since repulsions cancel in every step.
- "As exact draws": the largest two-sample distance over all ordered values, against `dlnmc.exact`. The control is
  sampled.
- Generator identities and spacing ratios: the largest deviation in standard errors (s.e.). The control of a ratio is
  the surmise, which is off by 0.5 to 1 %.
- Laws for d → ∞, with two widths, of all values of all paths or of the largest of each: with the distribution functions
  F at the larger and F′ at the smaller width, the distance is that of 2F − F′. The widths are such that the leading
  correction to the law is twice as large at the smaller one, and cancels: its order is 1/d for all values, and for the
  largest d^(−1/3) at β = 1 and d^(−2/3) at β = 2. The threshold is c/d, half the measured distance of F and F′, plus
  what chance may do to 2F − F′, from the scatter of {batches} batches of paths.
- Edelman's law is known at every width, and so is its distance to the limit, which is allowed.

With polynomial energies paths forget their start slowly: the burn-in given there is several times the default.

| law | model | scheme | paths | distance | threshold | control | its distance |
|---|---|---|---|---|---|---|---|
{rows}

## Against public packages

`tests/test_against_other_packages.py` compares with DPPy (Gautier, Polito, Bardenet and Valko 2019) and TracyWidom (Mao
2013), which are installed for development only. Samples are compared value by value: two-sample distances.

| what | package | largest difference | allowed | control |
|---|---|---|---|---|
{packages}

Where they differ from `dlnmc`:

- TracyWidom interpolates tables of six digits (Bejan 2005), and it is the tables that are off: at the worst place
  the Fredholm determinant of Airy's kernel, evaluated in the test, agrees with `dlnmc.laws.TracyWidom` to 1e-12. The
  scale for β = 4 is the same, that of Tracy and Widom 1996.
- scikit-rmt cannot be compared in the same environment. Its version 2.1.1 asks for NumPy ≤ 1.26.4, SciPy ≤ 1.12 and
  Python < 3.13; 0.5.0, which accepts any, imports a function that SciPy 1.12 removed, as 2.1.1 does. In an
  environment of its own (2.1.1, NumPy 1.26.4, SciPy 1.11.4) its semicircle is ours to 3e-16, and its Tracy–Widom
  tables are those of TracyWidom. Its tridiagonal matrices are not those of the β-Hermite ensemble: beside off-diagonal
  χ without the factor 1/√2 the diagonal needs the variance 2 and has 1. The mean of Σx² at size 8 is 63.9 ± 0.2 for
  β = 1 and 119.8 ± 0.2 for β = 2, where its own dense matrices give 72.2 ± 0.2 and 128.5 ± 0.3, and the ensemble
  has 72 and 128.
"""


def measured(row):
    """All figures of a row, as plain values."""
    began, seed = time.perf_counter(), zlib.crc32(row.name.encode())
    figures = {name: float(value) for name, value in row.measure(seed)._asdict().items()}
    return {
        "law": row.law,
        "model": row.what,
        "scheme": row.scheme,
        "control": row.control,
        "unit": row.unit,
        "paths": row.paths,
        "dt": row.dt,
        "burn_in": row.burn_in,
        "description": row.model.to_json(),
        "seed": seed,
        **figures,
        "seconds": round(time.perf_counter() - began, 1),
    }


def holds(row):
    return row["distance"] < row["threshold"] < row["control_distance"]


def line_of_table(row):
    settings = [f"`{row['scheme']}`"]
    settings += [f"Δt = {row['dt']:g}"] if row["dt"] else []
    settings += [f"burn-in {row['burn_in']:g}"] if row["burn_in"] else []
    distance, threshold, control = (
        f"{row[name]:.2g}{row['unit']}" for name in ("distance", "threshold", "control_distance")
    )
    cells = row["law"], row["model"], ", ".join(settings), f"{row['paths']:,}", distance, threshold, row["control"]
    return f"| {' | '.join(cells)} | {control} |"


def page(record):
    """The page as text, from the record of a run and from what the test of other packages left."""
    packages = json.loads(PACKAGES.read_text()).values()
    return PAGE_TEXT.format(
        kernel_hash=record["kernel_hash"][:12],
        batches=BATCHES,
        rows="\n".join(map(line_of_table, record["rows"])),
        packages="\n".join(
            f"| {one['what']} | {one['package']} "
            f"| {one['difference']:.2g} | {one['allowed']:.2g} | {one['control']:.2g} |"
            for one in packages
        ),
    )


def problems():
    """What does not belong together, a line each; none if all does."""
    record = json.loads(FIGURES.read_text())
    if PAGE.read_text() != page(record):
        yield "docs/verification.md is not what data/validation/ says: run scripts/verify --page"
    if record["kernel_hash"] != information.facts()["kernel_hash"]:
        yield "the kernels have changed since data/validation/verification.json was written: run scripts/verify"
    if [(row["law"], row["model"], row["scheme"]) for row in record["rows"]] != [
        (row.law, row.what, row.scheme) for row in ROWS
    ]:
        yield "the rows of scripts/verify.py are not those of data/validation/verification.json: run scripts/verify"
    for row in record["rows"]:
        if not holds(row):
            yield f"does not hold: {line_of_table(row)}"


def run(pattern):
    """The measured rows whose names hold the pattern, each reported when it is done."""
    chosen = [row for row in ROWS if pattern.lower() in row.name.lower()]
    for index, row in enumerate(chosen, 1):
        print(f"[{index:2}/{len(chosen)}] {row.name}", end=" ", flush=True)
        found = measured(row)
        verdict = "holds" if holds(found) else "DOES NOT HOLD"
        figures = f"{found['distance']:.2g} < {found['threshold']:.2g} < {found['control_distance']:.2g}"
        print(f"… {figures}: {verdict}, {found['seconds']:g} s", flush=True)
        yield found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--only", metavar="PATTERN", help="run the rows whose names hold this text, and write nothing")
    group.add_argument("--check", action="store_true", help="run nothing; exit code 1 unless all belongs together")
    group.add_argument("--page", action="store_true", help="run nothing; write the page from the figures")
    options = parser.parse_args()
    if options.check:
        found = "\n".join(problems())
        sys.exit(found or 0)
    if options.page:
        PAGE.write_text(page(json.loads(FIGURES.read_text())))
        return
    rows = list(run(options.only or ""))
    if not rows:
        sys.exit(f"--only {options.only!r}: no row has this text in its name")
    if options.only is None:
        record = {
            "date": time.strftime("%Y-%m-%d"),
            "kernel_hash": information.facts()["kernel_hash"],
            "seconds": round(sum(row["seconds"] for row in rows)),
            "rows": rows,
        }
        FIGURES.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
        PAGE.write_text(page(record))
    failed = sum(not holds(row) for row in rows)
    print(f"{len(rows) - failed} of {len(rows)} rows hold, and their controls fail")
    sys.exit(FAILED if failed else 0)


if __name__ == "__main__":
    main()
