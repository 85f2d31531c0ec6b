"""Where chunks are computed: threads of this process, spawned processes, or the workers of a cluster."""

import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from dlnmc import machine
from dlnmc.errors import InvalidValue
from dlnmc.executors.pool import Advanced, Pool, Work
from dlnmc.executors.pool import compute as compute
from dlnmc.executors.threads import ThreadPool

ADDRESS = r"(tcp|tls|ucx|ws|wss)://[^\s/]+:\d{1,5}"  # of a scheduler
Executor = Any  # a name of EXECUTORS, the address of a dask scheduler, or a distributed.Client


def thread_count(threads: Any) -> int:
    """The number of threads to use: as asked for, or one for each processor this process has."""
    if threads is None:
        return machine.processors()
    if isinstance(threads, bool) or not isinstance(threads, int | np.integer) or not 1 <= threads <= 4096:
        raise InvalidValue(f"threads = {threads!r}: it must be a whole number from 1 to 4096")
    return int(threads)


def _processes(work: Work, size: int, advanced: Advanced) -> Pool:
    from dlnmc.executors.processes import ProcessPool

    work.warm()
    return ProcessPool(work, size, advanced)


EXECUTORS: dict[str, Callable[[Work, int, Advanced], Pool]] = {"threads": ThreadPool, "processes": _processes}


def checked(executor: Executor) -> Executor:
    """The executor that was asked for, "threads" for None. Raises InvalidValue where there is none such."""
    if executor is None:
        return "threads"
    if isinstance(executor, str):
        if executor in EXECUTORS or re.fullmatch(ADDRESS, executor):
            return executor
    elif hasattr(executor, "get_executor") and not isinstance(executor, type):
        return executor
    known = ", ".join(map(repr, EXECUTORS))
    raise InvalidValue(
        f"executor = {executor!r}: allowed: {known}, the address of a dask scheduler such as 'tcp://host:8786', or "
        "from Python a distributed.Client"
    )


def name_of(executor: Executor) -> str:
    """An executor in a word, for provenance records."""
    executor = checked(executor)
    return executor if isinstance(executor, str) and executor in EXECUTORS else "dask"


def pool_of(executor: Executor, work: Work, threads: int, advanced: Advanced) -> Pool:
    """The pool for an executor; `threads` is the number of threads or processes, which clusters know themselves."""
    executor = checked(executor)
    if isinstance(executor, str) and executor in EXECUTORS:
        return EXECUTORS[executor](work, threads, advanced)
    from dlnmc.executors.cluster import ClusterPool

    return ClusterPool(executor, work)


def run_in_threads(
    tasks: Iterable[Any],
    work: Callable[[Any, Callable[[], bool]], Any | None],
    threads: int,
    finished: Callable[[Any, Any], None],
    tick: Callable[[], None],
) -> None:
    """`compute` in threads of this process, for work(task, stopped) that reports no progress to its pool."""
    pool = ThreadPool(lambda task, stopped, advanced: work(task, stopped), threads, lambda work: None)
    compute(pool, tasks, finished, tick)
