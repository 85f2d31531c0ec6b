"""What `scripts/bench` measures: a function for each section, from an `Effort` to figures that JSON can hold.

What is compared alternates, and a ratio is the median over its pairs, so that the ups and downs of the machine cancel.
"""

import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

import numpy as np

import answers
import dlnmc
import peers
from dlnmc import DeepLinearNetwork, DysonBrownianMotion, analysis, benchmarks, defaults, executors, laws, studies
from dlnmc.simulation import execute
from dlnmc.store import ChunkStore
from peers import numpy_others, processes, reference

SIZES = (8, 32, 128)  # against peers
REFERENCE_SIZES = (32, 64, 128)
REPETITIONS = 5  # the reference takes the best of as many
FAST_SIZES = (1024, 2048, 4096, 8192)
WIDE = {"width": 1024, "depth": 4.0, "beta": 1024.0}
WIDE_STEP = 4.0  # times the default, which resolves gaps; the law and the trace do not feel it
WIDE_RUN = {"burn_in": 4.0, "duration": 2.0, "draws": 8, "paths": 16}  # what is left of the start falls as e^{−3t}
SIDES = (0.5, 1.5)  # of the law, from which they start
FIRST_STEP = """
import dlnmc, time
dlnmc.simulate(dlnmc.DysonBrownianMotion(size=8, beta=8.0), paths=8, dt=1e-3, times=[1e-3], threads=1)
print(time.time())
"""


class Effort(NamedTuple):
    """How long things are measured, and how often."""

    seconds: float = 1.0
    pairs: int = 11
    rounds: int = 5  # where one measurement is longer
    turns: int = 3  # of all peers
    sizes: tuple[int, ...] | None = None  # only these of the section's own
    paths: int = 1024  # of the default study, at each depth

    def of(self, sizes):
        return [size for size in sizes if self.sizes is None or size in self.sizes] or [min(sizes)]


QUICK = Effort(seconds=0.2, pairs=3, rounds=2, turns=1, sizes=(8, 32), paths=64)


def ratios(first, second, pairs):
    """The median of first()/second(), and all of them."""
    return median_of([first() / second() for _ in range(pairs)])


def median_of(found):
    return {"ratio": statistics.median(found), "ratios": [round(ratio, 3) for ratio in found]}


def pair_rate(model, seconds, repetitions=1):
    """Pair interactions per second of whole steps on one thread, the best of some runs."""
    state = "eigenvalues" if isinstance(model, DysonBrownianMotion) else "singular_values"
    each = seconds / repetitions
    runs = [benchmarks.path_steps_per_second(model, state, "euler_maruyama", 1, each) for _ in range(repetitions)]
    return max(runs) * model.size * (model.size - 1) / 2


def dyson(size):
    return DysonBrownianMotion(size=size, beta=float(size))


def network(width, depth):
    return DeepLinearNetwork(width=width, depth=depth, beta=float(width))


# ---------------------------------------------------------------- sections


def kernels(effort):
    """The rows of `dlnmc bench --json`."""
    return benchmarks.measure()


def normals(effort):
    """Our normals against NumPy's default_rng().standard_normal, one thread."""
    return ratios(benchmarks.normals_per_second, numpy_others.normals, effort.pairs)


def matrices(effort):
    """Steps of whole matrices at depth 3 against NumPy with batched numpy.linalg.svd, one thread."""
    rows = []
    for width in benchmarks.WIDTHS:
        model, seconds = network(width, 3.0), effort.seconds / 2

        def ours(model=model, seconds=seconds):
            return benchmarks.path_steps_per_second(model, "matrix", "euler_maruyama", 1, seconds)

        def theirs(width=width, seconds=seconds):
            return numpy_others.matrices(width, seconds=seconds)

        rows.append({"width": width, **ratios(ours, theirs, effort.pairs)})
    return {"rows": rows}


def depths(effort):
    """Pair rates of the Deep Linear Network in λ over those of Dyson Brownian motion, one thread.

    The median of the ratios of many short runs next to each other; beside it, `best`, the ratio of the best runs.
    """
    rows, seconds = [], effort.seconds / 16
    for size in effort.of(benchmarks.SIZES):
        models = {0: dyson(size), **{depth: network(size, float(depth)) for depth in benchmarks.DEPTHS}}
        found = [{depth: pair_rate(model, seconds) for depth, model in models.items()} for _ in range(3 * effort.pairs)]
        best = {depth: max(turn[depth] for turn in found) for depth in models}
        for depth in benchmarks.DEPTHS:
            ratios_of_turns = median_of([turn[depth] / turn[0] for turn in found])
            rows.append({"size": size, "depth": depth, **ratios_of_turns, "best": best[depth] / best[0]})
    return {"rows": rows}


def against_reference(effort):
    """Whole Dyson steps, with noise, order and histogram, over the pair sum alone by hand in C++; one thread."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            program = reference.built(folder)
            best, ours = {}, {size: [] for size in REFERENCE_SIZES}
            over = {size: [] for size in REFERENCE_SIZES}
            for _ in range(effort.rounds):
                found = reference.rates(program, effort.seconds / 4)
                for row in found:
                    best[row["size"]] = max(best.get(row["size"], 0.0), row["pairs_per_second"])
                yardstick = max(row["pairs_per_second"] for row in found)
                for size in REFERENCE_SIZES:
                    ours[size].append(pair_rate(dyson(size), effort.seconds / 2, REPETITIONS))
                    over[size].append(ours[size][-1] / yardstick)
    except reference.Absent as reason:
        return {"absent": str(reason)}
    return {
        "compiler": reference.compiler()[1],
        "best_pairs_per_second": best,
        "rows": [
            {
                "size": size,
                "pairs_per_second": statistics.median(ours[size]),
                "ratio": statistics.median(over[size]),
                "ratios": [round(ratio, 3) for ratio in over[size]],
            }
            for size in REFERENCE_SIZES
        ],
    }


def threads(effort):
    """All threads of one process against as many processes of one thread each, whole Dyson steps."""
    count = executors.thread_count(None)
    rows = []
    with processes.workers(("kernels", count), *[("kernels", 1)] * count) as (one, *several):
        for size in effort.of(benchmarks.SIZES):
            problem = peers.Problem("dyson", size)

            def together(problem=problem):
                return one.measure(problem, effort.seconds)["rate"]

            def apart(problem=problem):
                for worker in several:
                    worker.ask(problem, effort.seconds)
                return sum(worker.answer()["rate"] for worker in several)

            together(), apart()  # compiled
            rows.append({"size": size, "threads": count, **ratios(together, apart, effort.pairs)})
    return {"rows": rows}


def peers_on_all_cores(effort):
    """Ours, by `simulate`, and what a user would write with other packages; all cores."""
    return against_peers(effort, executors.thread_count(None), ("dyson", "dln"))


def peers_on_one_core(effort):
    """The same for Dyson Brownian motion, held on one core."""
    return against_peers(effort, 1, ("dyson",))


def against_peers(effort, count, kinds):
    problems = [peers.Problem(kind, size) for kind in kinds for size in effort.of(SIZES)]
    return processes.compare(peers.PEERS, problems, count, effort.turns, effort.seconds)


def fast(effort):
    """CPU seconds of the sums over pairs of eight paths, fast and directly, and their ratio."""
    rows = []
    for size in effort.of(FAST_SIZES):
        measured = [benchmarks.fast_drift_rates(size) for _ in range(effort.turns)]
        for model in ("dyson", "dln"):
            quick, direct = ([one[f"{model}_{way}"] for one in measured] for way in ("fast", "direct"))
            ratio = statistics.median(slow / fast for fast, slow in zip(quick, direct, strict=True))
            row = {"model": model, "size": size, "ratio": ratio}
            rows.append(row | {"fast": statistics.median(quick), "direct": statistics.median(direct)})
    return {"rows": rows}


def startup(effort):
    """Seconds of `dlnmc warmup` into an empty cache; from a warm one until a first step is done, the median.

    `best` is the least of them, `whole` the least with the interpreter's end, which frees what was compiled.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}

        def run(*command):
            began = time.time()
            done = subprocess.run([sys.executable, *command], env=environment, check=True, capture_output=True)
            return began, done.stdout, time.time() - began

        cold = run("-m", "dlnmc", "warmup")[2]
        warm = [run("-c", FIRST_STEP) for _ in range(effort.pairs)]
    steps = [float(said) - began for began, said, _ in warm]
    return {
        "warmup": cold,
        "first_step": statistics.median(steps),
        "best": min(steps),
        "whole": min(whole for _, _, whole in warm),
        "first_steps": [round(step, 2) for step in steps],
    }


class TimedStore(ChunkStore):
    """A store that counts how often it writes, and what that takes."""

    writes, cpu, seconds = 0, 0.0, 0.0

    def save(self, *arguments):
        self._timed(super().save, *arguments)

    def save_state(self, *arguments):
        self._timed(super().save_state, *arguments)

    def _timed(self, write, *arguments):
        began = time.thread_time(), time.perf_counter()
        write(*arguments)
        self.writes += 1
        self.cpu += time.thread_time() - began[0]
        self.seconds += time.perf_counter() - began[1]


def durability(effort):
    """The default study with chunks, states and checksums on disk over that without; CPU time of all writing over all.

    `within` is the time within the writers instead, with their waiting for the disk and for a core, over CPU time.
    """
    members, count = studies.load("semicircle", [f"paths={effort.paths}"]).members(), executors.thread_count(None)
    found = [with_store_and_without(members, count) for _ in range(effort.rounds + 2)]
    medians = {name: statistics.median(one[name] for one in found) for name in found[0]}
    return {"paths": effort.paths, "threads": count, **medians, "ratios": [round(one["cpu"], 4) for one in found]}


def with_store_and_without(members, count):
    """Ratios of CPU time and of time, shares of writing, and how often something was written."""

    def seconds(store):
        began = time.process_time(), time.perf_counter()
        execute(members, threads=count, progress=False, store=store)
        return time.process_time() - began[0], time.perf_counter() - began[1]

    with tempfile.TemporaryDirectory(dir=".") as folder:  # a disk, where others may be memory
        store = TimedStore.opened(pathlib.Path(folder), members)
        kept, plain = seconds(store), seconds(None)
    ratios = {"cpu": kept[0] / plain[0], "time": kept[1] / plain[1]}
    return ratios | {"writing": store.cpu / kept[0], "within": store.seconds / kept[0], "writes": store.writes}


def wide(effort):
    """The semicircle law at width 1,024, depth 4, by `equilibrium` from starts on both sides of it; all cores.

    Every path starts at the quantiles of the law, times a half or one and a half.
    """
    model = DeepLinearNetwork(**WIDE)
    return {**WIDE_RUN, "threads": executors.thread_count(None), **from_both_sides(model, WIDE_RUN)}


def from_both_sides(model, settings):
    """Rows of both starts, and in standard errors how far apart they are."""
    quantiles = laws.of(model).ppf((np.arange(model.width) + 0.5) / model.width)[::-1]
    unit, rows = math.sqrt(model.width / model.beta), []
    dt = WIDE_STEP * defaults.default_dt(model)
    for seed, side in enumerate(SIDES):
        began = time.perf_counter()
        tree = dlnmc.equilibrium(
            model, dt=dt, start=side * unit * quantiles, scheme="leimkuhler_matthews", seed=seed, **settings
        )
        seconds, found = time.perf_counter() - began, analysis.row(tree)
        figures = {name: found[name] for name in ("trace_ratio", "trace_error", "ks", "ks_error", "stationary")}
        rows.append({"start": side, "seconds": seconds, **figures})
    low, high = rows
    apart = {
        f"{name}_apart": abs(low[name] - high[name]) / math.hypot(low[error], high[error])
        for name, error in (("trace_ratio", "trace_error"), ("ks", "ks_error"))
    }
    return {"dt": dt, "seconds": sum(row["seconds"] for row in rows), **apart, "rows": rows}


def answer(effort):
    """CPU seconds of one core until the trace, and the law of all components, are known to 0.001, κ = 1, β = d."""
    rows = []
    for size in effort.of(answers.PATHS):
        for kind, model in answers.models(size):
            print(f"  {kind}, size {size}", file=sys.stderr, flush=True)
            rows += answers.answers(kind, model, effort)
    return {"target": answers.TARGET, "rows": rows}


SECTIONS = {
    "kernels": kernels,
    "normals": normals,
    "matrices": matrices,
    "depths": depths,
    "reference": against_reference,
    "threads": threads,
    "peers": peers_on_all_cores,
    "peers_one_core": peers_on_one_core,
    "fast": fast,
    "startup": startup,
    "durability": durability,
    "wide": wide,
    "answer": answer,
}
LONG = ("durability", "wide", "answer")  # measured when asked for, or for all
