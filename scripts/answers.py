"""Time to answer: CPU seconds of one core in which a scheme gets trace and law of an equilibrium right enough.

One block of eight paths starts at random, forgets that in its default burn-in, and is averaged over. An average with
the bias b, whose variance over s seconds is v/s, is right enough, √(b² + v/s) = target, after burn-in and v/(target² −
b²) seconds. Averages are the trace over its exact mean, and the distribution function at 63 quantiles, of which the
slowest counts. b and v are measured on more paths: b against the exact mean and the exact ensemble, or where none is
known Hamiltonian Monte Carlo, which has no bias; b of the trace also by steps on shared noise, where that errs less.
"""

import math
import time
from typing import Any, NamedTuple

import numpy as np

import dlnmc
from dlnmc import DeepLinearNetwork, DysonBrownianMotion, InvalidValue, config, defaults, pilot

BIASED, ADJUSTED = ("euler_maruyama", "leimkuhler_matthews"), ("hmc", "mala")
SCHEMES = (*ADJUSTED, *BIASED)  # whose seeds are their places here
TARGET = 1e-3
COARSE, FINE = (1.0, 2.0, 4.0), (0.25, 0.5)  # times the default step
DURATION, DRAWS = 8.0, 32  # natural units of time of each measurement; states kept of each path
TIMED = 1.0  # natural units of time in which a scheme is timed
LEVELS = np.arange(1, 64) / 64.0
PATHS = {16: 8192, 64: 256, 256: 16}  # of each measurement, by size
EXACT = 2**20  # values of the exact ensemble
BLOCK = 8  # paths


class Averages(NamedTuple):
    """The trace over its exact mean, and distribution functions at the levels: one row for each path."""

    trace: np.ndarray
    law: np.ndarray


class Reference(NamedTuple):
    """Quantiles of all components, and the distribution function there with its error."""

    levels: np.ndarray
    law: np.ndarray
    error: np.ndarray


class Costs(NamedTuple):
    """CPU seconds: before the burn-in of a block, of the burn-in, and of a path in a natural unit of time."""

    pilot: float
    burn_in: float
    unit: float


def models(size):
    yield "dyson", DysonBrownianMotion(size=size, beta=float(size))
    yield "dln", DeepLinearNetwork(width=size, depth=2.0, beta=float(size))


def values(data):
    """The states in a dataset of one variable (…, path, draw, component), or (path, component)."""
    return next(variable for variable in data.data_vars.values() if "path" in variable.dims).to_numpy()


def averages(x, model, levels):
    """Of states (path, draw, component)."""
    trace = (x**2).sum(axis=2).mean(axis=1) / dlnmc.laws.trace(model).mean()
    cells, count = np.searchsorted(levels, x.reshape(len(x), -1)), len(levels) + 1
    of_path = cells + count * np.arange(len(x))[:, np.newaxis]
    counts = np.bincount(of_path.ravel(), minlength=count * len(x)).reshape(-1, count)
    return Averages(trace, np.cumsum(counts, axis=1)[:, :-1] / cells.shape[1])


def mean_and_error(found):
    return found.mean(axis=0), found.std(axis=0, ddof=1) / math.sqrt(len(found))


def reference(model, unbiased):
    """From exact draws, or where there are none from states (path, draw, component) of a scheme without bias."""
    try:
        x = values(dlnmc.exact(model, paths=EXACT // model.size, seed=len(SCHEMES)))[:, np.newaxis]
    except InvalidValue:
        x = unbiased
    levels = np.quantile(x, LEVELS)
    return Reference(levels, *mean_and_error(averages(x, model, levels).law))


def sampled(model, scheme, paths, dt, leaps=None, duration=DURATION, **settings):
    settings |= {"draws": DRAWS, "duration": duration * defaults.time_unit(model), "seed": SCHEMES.index(scheme)}
    return dlnmc.equilibrium(model, scheme=scheme, paths=paths, dt=dt, leaps=leaps, **settings)


def run_by_default(model, scheme):
    """The description of a run with its step, leaps and burn-in, and the CPU seconds that finding them takes."""
    began = time.process_time()
    run = defaults.completed(config.Equilibrium(model=model, paths=BLOCK, scheme=scheme))
    run = run if run.dt else pilot.adapted(run, None)
    return run, time.process_time() - began


def costs(model, run, paths, turns):
    """Of a scheme at its default step: the least of some turns, with all that `equilibrium` does around its kernels."""
    natural, units = defaults.time_unit(model), []
    timed = math.ceil(TIMED * natural / run.dt - 1e-9) * run.dt / natural  # whole steps
    for _ in range(turns + 1):  # the first may compile
        began = time.process_time()
        sampled(model, run.scheme, paths, run.dt, run.leaps, TIMED, burn_in=0.0, threads=1)
        units.append((time.process_time() - began) / (paths * timed))
    tuning = min(run_by_default(model, run.scheme)[1] for _ in range(turns))
    return Costs(tuning, BLOCK * min(units) * run.burn_in / natural, min(units))


def seconds_to(bias_squared, variance):
    """CPU seconds of averaging; None where the target is never reached. `variance` is that of one second."""
    left = TARGET**2 - np.asarray(bias_squared)
    return float(np.max(variance / left)) if np.all(left > 0.0) else None


def row(found, known, cost, shared=None):
    """Biases with errors, and seconds to both answers. Errors of biases are taken out of their squares."""
    trace, trace_error = mean_and_error(found.trace)
    bias = (float(trace) - 1.0, float(trace_error))
    if shared is not None and shared[1] < bias[1]:
        bias = shared
    law, law_error = mean_and_error(found.law)
    law_error = np.hypot(law_error, known.error)
    worst = np.argmax(np.abs(law - known.law))
    figures: dict[str, Any] = {"trace_bias": bias[0], "trace_bias_error": bias[1]}
    figures |= {"ks_bias": float(np.abs(law - known.law)[worst]), "ks_bias_error": float(law_error[worst])}
    squares = {"trace": bias[0] ** 2 - bias[1] ** 2, "ks": (law - known.law) ** 2 - law_error**2}
    for name, each in (("trace", found.trace), ("ks", found.law)):
        variance = each.var(axis=0, ddof=1) * DURATION * cost.unit
        averaging = seconds_to(0.0 if shared is None else np.maximum(squares[name], 0.0), variance)
        figures[f"{name}_seconds"] = None if averaging is None else cost.pilot + cost.burn_in + averaging
    surely = max(abs(bias[0]) - 2.0 * bias[1], np.max(np.abs(law - known.law) - 3.0 * law_error))
    finer = shared is not None and bool(surely > TARGET / math.sqrt(2.0))
    return figures | {"finer_may_win": finer, "start_seconds": cost.pilot + cost.burn_in}


def ladder_rows(model, scheme, factors, paths, known, cost):
    """A row for each step, in units of the default one, on shared noise. Half the step costs twice the seconds."""
    steps = [factor * defaults.default_dt(model) for factor in factors]
    tree = sampled(model, scheme, paths, steps)
    x, biases = values(tree["samples"]), tree["extrapolated"].to_dataset().sel(scalar="trace")
    exact, rows = dlnmc.laws.trace(model).mean(), []
    for index, (factor, dt) in enumerate(zip(factors, steps, strict=True)):
        shared = float(biases["bias"][index]) / exact, float(biases["bias_error"][index]) / exact
        own = Costs(cost.pilot, cost.burn_in / factor, cost.unit / factor)
        figures = row(averages(x[index], model, known.levels), known, own, shared)
        rows.append({"scheme": scheme, "factor": factor, "dt": dt, **figures})
    return rows


def answers(kind, model, effort):
    """Rows of all schemes for one model. Finer steps than the default are tried where they may win: a step of half the
    size takes twice as long, and gains at most that where the square of the bias is above half that of the target.
    """
    paths, rows, known = max(2 * BLOCK, int(effort.seconds * PATHS[model.size])), [], None
    for scheme in SCHEMES:
        run, _ = run_by_default(model, scheme)
        cost = costs(model, run, paths, effort.turns)
        if scheme in ADJUSTED:
            x = values(sampled(model, scheme, paths, run.dt, run.leaps)["samples"])
            known = known or reference(model, x)
            figures = row(averages(x, model, known.levels), known, cost)
            found = [{"scheme": scheme, "factor": None, "dt": run.dt, **figures}]
        else:
            found = ladder_rows(model, scheme, COARSE, paths, known, cost)
            if found[0]["finer_may_win"]:
                found = ladder_rows(model, scheme, FINE, paths, known, cost) + found
        rows += found
    return [{"model": kind, "size": model.size, **figures} for figures in rows]


def best(rows, answer, scheme=None, factors=(None, 0.25, 0.5, 1.0, 2.0, 4.0)):
    """The quickest row of one model and size, of all schemes or one, at these steps; None if none is right enough."""
    able = [each for each in rows if each[f"{answer}_seconds"] is not None and each["factor"] in factors]
    able = [each for each in able if scheme in (None, each["scheme"])]
    return min(able, key=lambda each: each[f"{answer}_seconds"], default=None)


def default(model):
    """The scheme that `equilibrium` takes."""
    return defaults.default_scheme(config.Equilibrium(model=model, paths=1))
