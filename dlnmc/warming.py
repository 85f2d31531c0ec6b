"""Compiling all kernels ahead of time, but for those of matrix energies other than quadratic.

Numba compiles one function at a time in a process, so processes share the work: started afresh, as threads and forks do
not mix. The kernels' cache is made for that.
"""

import itertools
import math
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait
from typing import Any

from tqdm.auto import tqdm

from dlnmc.chunks import Chunk, Member, run_chunk
from dlnmc.config import Equilibrium, Run, Simulation
from dlnmc.defaults import completed
from dlnmc.engine import SCHEMES, STATES, fits, state_row
from dlnmc.ensembles import blocks
from dlnmc.errors import RunFailed
from dlnmc.executors import thread_count
from dlnmc.functions import reason
from dlnmc.models import DeepLinearNetwork, DysonBrownianMotion, Model
from dlnmc_kernels.outlined import OUTLINED
from dlnmc_kernels.philox import EXACT

Task = Run | Model | str  # a tiny run, a model of which there are exact draws, or the name of an outlined function

SMALL: tuple[Model, ...] = (  # at depth 1 all coordinates have an equilibrium
    DeepLinearNetwork(width=2, depth=1.0, beta=2.0),
    DeepLinearNetwork(width=2, depth=math.inf, beta=2.0, kappa=0.1),
    DysonBrownianMotion(size=2, beta=2.0),
)
ENDED = "a process that compiles kernels was ended; the same command goes on"
SHORT: dict[str, Any] = {"paths": 1, "dt": 1e-3, "burn_in": 0.0, "duration": 2e-3}


def runs() -> Iterator[Run]:
    """A tiny run for every state and scheme, and one that starts at 0."""
    for model in SMALL:
        for row in STATES:
            if isinstance(model, row.model) and row.serves(model):
                for name in SCHEMES:
                    choice: dict[str, Any] = {"coordinates": row.coordinates, "scheme": name}
                    if fits(row, name) and SCHEMES[name].needs_no_noise:
                        cold = model.changed(kappa=0.0, beta=math.inf if row.state == "network" else model.beta)
                        start = "gaussian" if row.whole else "random"
                        yield Simulation(model=cold, start=start, paths=1, times=(1e-3,), **choice)
                    elif fits(row, name):
                        yield Equilibrium(model=model, **choice, **SHORT)
    yield Equilibrium(model=SMALL[-1], start="zero", scheme="euler_maruyama", **SHORT)


def draws() -> Iterator[Model]:
    """A model for every kernel of exact draws."""
    yield DysonBrownianMotion(size=2, beta=2.0)
    yield DeepLinearNetwork(width=2, depth=1.0, beta=2.0)


def jobs() -> list[list[Task]]:
    """All tasks, those together that share most of their code, the most first."""

    def of(run: Run) -> str:
        return state_row(run).coordinates

    listed: list[list[Task]] = [list(own) for _, own in itertools.groupby(sorted(runs(), key=of), key=of)]
    return sorted([*listed, [*draws(), *OUTLINED]], key=len, reverse=True)


def compile_task(task: Task) -> None:
    """Compile what a task needs, or load it from the cache."""
    if isinstance(task, Run):
        run_chunk(Member(completed(task)), Chunk(0, 0, 1), lambda: False, lambda work: None)
    elif isinstance(task, str):
        OUTLINED[task]()
    else:
        blocks(task, None, 0, EXACT, 0, 1)


def warm_up(progress: bool = False, processes: int | None = None) -> int:
    """Compile every kernel, or load it from the cache; returns how many tasks that took.

    Processes: default one for each processor. Raises RunFailed where one does not compile, or a process ends early.
    """
    listed = jobs()
    total = sum(map(len, listed))
    with tqdm(total=total, desc="compiling kernels", unit="kernel", disable=not progress) as bar:
        if (count := min(thread_count(processes), len(listed))) > 1:
            _share(listed, count, bar)
        else:
            for task in itertools.chain(*listed):
                compile_task(task)
                bar.update()
    return total


def _share(listed: Sequence[list[Task]], count: int, bar: "tqdm[Any]") -> None:
    """Hand jobs to processes, each a new one as soon as it is through with one; none outlives this call."""
    context = multiprocessing.get_context("spawn")
    processes: list[Any] = []
    left: dict[Any, int] = {}  # tasks, by the pipe to the process that does them
    waiting = iter(listed)
    try:
        for _ in range(count):
            ours, theirs = context.Pipe()
            processes.append(context.Process(target=_work, args=(theirs,), daemon=True))
            processes[-1].start()
            theirs.close()
            left[ours] = _hand_over(ours, waiting)
        while any(left.values()):
            for pipe in wait([pipe for pipe, tasks in left.items() if tasks]):
                if trouble := _received(pipe):
                    raise RunFailed(trouble)
                bar.update()
                left[pipe] = left[pipe] - 1 or _hand_over(pipe, waiting)
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _received(pipe: Any) -> str | None:
    """What the process at the other end has to say of its next task."""
    try:
        trouble: str | None = pipe.recv()
    except (EOFError, ConnectionError):
        return ENDED
    return trouble


def _hand_over(pipe: Any, waiting: Iterator[list[Task]]) -> int:
    """Give the process at the other end its next job, and return how many tasks that is."""
    job = next(waiting, [])
    if job:
        try:
            pipe.send(job)
        except ConnectionError:
            raise RunFailed(ENDED) from None
    return len(job)


def _work(pipe: Any) -> None:
    """Do the jobs that come: None for a task that is done, a line of text for one that failed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes, and the first ends the others
    try:
        while True:
            for task in pipe.recv():
                try:
                    compile_task(task)
                    trouble = None
                except Exception as error:
                    trouble = f"compiling the kernel of {task!r}: {reason(error)}"
                pipe.send(trouble)
    except (EOFError, BrokenPipeError):  # nobody is at the other end
        return
