"""Speed of the kernels: normals, path steps and pair interactions per second, the best of several short runs."""

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from dlnmc.chunks import Chunk, Member, prepared_call, schedule
from dlnmc.config import Equilibrium
from dlnmc.defaults import completed, default_dt
from dlnmc.engine import noise_key
from dlnmc.errors import InvalidValue
from dlnmc.exact_sampling import exact
from dlnmc.executors import thread_count
from dlnmc.models import DeepLinearNetwork, DysonBrownianMotion, Model
from dlnmc_kernels import driver, fast_sums
from dlnmc_kernels.dyson import TINY
from dlnmc_kernels.lanes import WIDTH, aligned_rows
from dlnmc_kernels.philox import DYNAMICS
from dlnmc_kernels.schemes import SCRATCH

SIZES = (8, 32, 64, 128)
DEPTHS = (2, 8)
WIDTHS = (4, 8, 16)  # of whole matrices, at depth 3
SECONDS = 0.2  # of one measurement
REPETITIONS = 3
BLOCKS = 4  # of eight paths, for each thread
CALL_PAIRS = 2e7  # pair interactions in one kernel call: about 10 ms


def measure(threads: int | None = None) -> dict[str, Any]:
    """Everything that `dlnmc bench --json` prints. A pair is one unordered pair in one step of one path."""
    counts = sorted({1, thread_count(threads)})
    kernels = [row(*case, count) for case in cases() for count in counts]
    return {"normals_per_second": normals_per_second(), "kernels": kernels}


def cases() -> list[tuple[Model, str, str]]:
    """The models, states and schemes that are measured."""

    def network(width: int, depth: int) -> DeepLinearNetwork:
        return DeepLinearNetwork(width=width, depth=float(depth), beta=float(width))

    return [
        *((DysonBrownianMotion(size=n, beta=float(n)), "eigenvalues", "euler_maruyama") for n in SIZES),
        *((network(n, depth), "singular_values", "euler_maruyama") for depth in DEPTHS for n in SIZES),
        *((network(n, 3), "matrix", "euler_maruyama") for n in WIDTHS),
    ]


def normals_per_second() -> float:
    """Standard normals of one thread, written to memory that stays in cache."""
    out = np.empty((2, 1024, WIDTH))
    key = noise_key(0)
    driver.normals(key, DYNAMICS, 0, 0, out)
    rates = (_calls_per_second(lambda: driver.normals(key, DYNAMICS, 0, 0, out), SECONDS) for _ in range(REPETITIONS))
    return max(rates) * out.size


def row(model: Model, state: str, scheme: str, threads: int) -> dict[str, Any]:
    """One row of the table: whole steps, with noise, ordering and streaming statistics every 64 steps."""
    rate = max(path_steps_per_second(model, state, scheme, threads, SECONDS) for _ in range(REPETITIONS))
    size = model.size
    return {
        "model": "dyson" if isinstance(model, DysonBrownianMotion) else "dln",
        "state": state,
        "size": size,
        "depth": getattr(model, "depth", None),
        "scheme": scheme,
        "threads": threads,
        "path_steps_per_second": rate,
        "pairs_per_second": rate * size * (size - 1) / 2,
    }


def path_steps_per_second(model: Model, state: str, scheme: str, threads: int, seconds: float) -> float:
    """Path steps per second of threads that run side by side for about this time, each on its own paths."""
    steps = max(64, int(CALL_PAIRS / (BLOCKS * WIDTH * model.size**2 / 2)))
    calls = [_call(model, state, scheme, steps, first_block=BLOCKS * thread) for thread in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda call: call(), calls))  # compiled, and the caches warm
        rates = list(pool.map(lambda call: _calls_per_second(call, seconds), calls))
    return sum(rates) * steps * BLOCKS * WIDTH


def _calls_per_second(call: Callable[[], object], seconds: float) -> float:
    began, repeats = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        call()
        repeats += 1
    return repeats / (time.perf_counter() - began)


def _call(model: Model, state: str, scheme: str, steps: int, first_block: int) -> Callable[[], object]:
    """A function that carries `BLOCKS` blocks through `steps` steps."""
    dt = default_dt(model)
    settings: dict[str, Any] = {"scheme": scheme, "state": state}
    run = completed(
        Equilibrium(
            model=model,
            **settings,
            paths=(first_block + BLOCKS) * WIDTH,
            burn_in=0.0,
            duration=steps * dt,
            dt=dt,
            observations=max(1, steps // 64),
        )
    )
    call, _, _ = prepared_call(Member(run), Chunk(0, first_block, BLOCKS))
    plan = schedule(run)
    return lambda: call(plan.first_step, plan.last_step)


def fast_drift_rates(size: int) -> dict[str, float]:
    """CPU seconds for one evaluation of sums over pairs for a block of eight paths, the least of calls that alternate.

    Components are independent draws of equilibria: of Dyson at β = size, of the Deep Linear Network at depth 2, κ = ½.

    Returns
    -------
    dict
        `dyson_fast`, `dyson_direct`: of Σ 1/(x_i − x_j); `dln_fast`, `dln_direct`: of those of λ² and λ⁴ together.

    Raises
    ------
    InvalidValue
        If the size is below that from which sums are fast.
    """
    if size < fast_sums.FAST_SIZE:
        raise InvalidValue(f"size = {size!r}: sums are fast from {fast_sums.FAST_SIZE} on")
    x = exact(DysonBrownianMotion(size=size, beta=float(size)), paths=WIDTH)["eigenvalues"].values
    sigma = exact(DeepLinearNetwork(width=size, depth=2.0, beta=float(size), kappa=0.5), paths=WIDTH)[
        "singular_values"
    ].values
    x, squares = (np.ascontiguousarray(np.sort(values, axis=1).T) for values in (x, sigma))
    f, work = aligned_rows(size), aligned_rows(SCRATCH * size).reshape(SCRATCH, size, WIDTH)
    work[0], work[1] = squares, squares**2
    calls: dict[str, Callable[[], Any]] = {
        "dyson_fast": lambda: fast_sums.repulsion(x, TINY, f, work[8:], True),
        "dyson_direct": lambda: fast_sums.repulsion(x, TINY, f, work[8:], False),
        "dln_fast": lambda: fast_sums.pair_sums(2.0, 0.0, work, True),
        "dln_direct": lambda: fast_sums.pair_sums(2.0, 0.0, work, False),
    }
    seconds = dict.fromkeys(calls, math.inf)
    for _ in range(1 + 2 * REPETITIONS):  # the first compiles
        for name, call in calls.items():
            began = time.thread_time()
            call()
            seconds[name] = min(seconds[name], time.thread_time() - began)
    return seconds


def as_text(result: dict[str, Any]) -> str:
    """The measurements as a table."""
    lines = [f"normals  {result['normals_per_second'] / 1e6:.0f} M/s", ""]
    lines.append(f"{'model':8}{'state':17}{'size':>6}{'depth':>7}{'threads':>9}{'path steps/s':>16}{'pairs/s':>12}")
    for kernel in result["kernels"]:
        depth = "–" if kernel["depth"] is None else f"{kernel['depth']:g}"
        lines.append(
            f"{kernel['model']:8}{kernel['state']:17}{kernel['size']:>6}{depth:>7}{kernel['threads']:>9}"
            f"{kernel['path_steps_per_second']:>16.3g}{kernel['pairs_per_second'] / 1e9:>10.2f} G"
        )
    return "\n".join(lines)
