"""Where chunks are computed: a pool of threads of this process, which kernels let run side by side, and its memory."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

import numpy as np

from dlnmc import machine
from dlnmc.errors import InvalidValue

Task = TypeVar("Task")
Result = TypeVar("Result")

POLL_SECONDS = 0.1


def thread_count(threads: Any) -> int:
    """The number of threads to use: as asked for, or one for each processor this process has."""
    if threads is None:
        return machine.processors()
    if isinstance(threads, bool) or not isinstance(threads, int | np.integer) or not 1 <= threads <= 4096:
        raise InvalidValue(f"threads = {threads!r}: it must be a whole number from 1 to 4096")
    return int(threads)


def refuse_more_than_memory(needed: float, paths: int, advice: str) -> None:
    """Raise InvalidValue where results of so many bytes do not fit in the memory that this process has."""
    memory = machine.memory()
    if needed > memory:
        raise InvalidValue(
            f"paths = {paths}: the results would take {needed / 2**30:.3g} GiB, and there are "
            f"{memory / 2**30:.3g} GiB of memory; {advice}"
        )


def run_in_threads(
    tasks: Iterable[Task],
    work: Callable[[Task, Callable[[], bool]], Result | None],
    threads: int,
    finished: Callable[[Task, Result], None],
    tick: Callable[[], None],
) -> None:
    """Compute `work(task, stopped)` for all tasks, and call `finished(task, result)` in this thread as they complete.

    `tick` is called about every tenth of a second. On any exception, KeyboardInterrupt among them, the workers are
    told to stop through `stopped()`, complete tasks are still handed to `finished`, and the exception goes on.
    """
    stop = threading.Event()
    queue = iter(tasks)
    pending: dict[Future[Result | None], Task] = {}
    pool = ThreadPoolExecutor(threads, thread_name_prefix="dlnmc")

    def collect(timeout: float) -> None:
        done, _ = wait(pending, timeout=timeout, return_when=FIRST_COMPLETED)
        for future in done:
            task, result = pending.pop(future), future.result()
            if result is not None:
                finished(task, result)

    def submit() -> None:
        while len(pending) < 2 * threads:
            try:
                task = next(queue)
            except StopIteration:
                return
            pending[pool.submit(work, task, stop.is_set)] = task

    try:
        submit()
        while pending:
            collect(POLL_SECONDS)
            tick()
            submit()
    except BaseException:
        stop.set()
        for future in list(pending):
            if future.cancel():
                del pending[future]
        wait(pending, timeout=5 * POLL_SECONDS)
        for future, task in list(pending.items()):
            if future.done() and future.exception() is None and (result := future.result()) is not None:
                finished(task, result)
        raise
    finally:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
