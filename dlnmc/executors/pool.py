"""What executors have in common: work that can be handed over, and a pool like those of `concurrent.futures`.

The only home-made part of any executor is the list of tasks: a pool takes one, and answers with a future.
"""

import contextlib
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, Protocol

from dlnmc.errors import RunFailed

POLL_SECONDS = 0.1
STOP_SECONDS = 0.5  # for tasks that were told to stop, before they are left to themselves
MOST_LOSSES = 5  # of workers, with no task finished in between

Advanced = Callable[[float], None]


class Work(Protocol):
    """What is done for a task, in any process that it is handed to."""

    def __call__(self, task: Any, /, stopped: Callable[[], bool], advanced: Advanced) -> Any | None:
        """The result of a task, or None if `stopped()` said so; `advanced` is told of work done in between."""

    def warm(self) -> None:
        """Prepare what all tasks share, once on each host: compile kernels."""


class Pool(Protocol):
    """Workers for one kind of work."""

    reports: bool  # of work that is done within a task; else only its end is known
    losses: tuple[type[BaseException], ...]  # a future's errors that mean: the worker is gone, and not the task's fault

    @property
    def size(self) -> int:
        """How many tasks are done at once."""

    def submit(self, task: Any) -> "Future[Any]":
        """Queue a task."""

    def look(self) -> None:
        """Called every tenth of a second: report progress, notice what changed."""

    def renew(self) -> None:
        """Replace workers after a loss; tasks that were submitted are forgotten."""

    def stop(self) -> None:
        """Tell tasks to stop; returns at once."""

    def abandon(self) -> None:
        """End workers of our own that did not stop in time; returns at once."""

    def close(self) -> None:
        """Let go of the workers; returns at once."""


def compute(
    pool: Pool, tasks: Iterable[Any], finished: Callable[[Any, Any], None], tick: Callable[[], None] = lambda: None
) -> None:
    """Do all tasks, and call `finished(task, result)` in this thread as they complete, in any order.

    `tick` is called about every tenth of a second. On any exception, KeyboardInterrupt among them, tasks are told to
    stop, complete ones are still handed to `finished`, and the exception goes on. Tasks of workers that are lost are
    done again; RunFailed after `MOST_LOSSES` losses without a result.
    """
    queue = iter(tasks)
    pending: dict[Future[Any], Any] = {}
    again: list[Any] = []
    losses = 0

    def submit() -> BaseException | None:
        while len(pending) < 2 * pool.size:
            try:
                task = again.pop() if again else next(queue)
            except StopIteration:
                return None
            try:
                pending[pool.submit(task)] = task
            except pool.losses as error:
                again.append(task)
                return error
        return None

    def collect() -> BaseException | None:
        nonlocal losses
        done, _ = wait(pending, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
        lost: BaseException | None = None
        for future in done:
            task = pending.pop(future)
            try:
                result = future.result()
            except pool.losses as error:
                again.append(task)
                lost = error
                continue
            losses = 0
            if result is not None:
                finished(task, result)
        return lost

    try:
        lost = submit()
        while pending or lost is not None:
            if lost is None:
                lost = collect()
            pool.look()
            tick()
            if lost is not None:
                losses += 1
                if losses > MOST_LOSSES:
                    reason = " ".join(str(lost).split()) or type(lost).__name__
                    raise RunFailed(f"workers were lost {losses} times with nothing finished in between: {reason}")
                again += pending.values()
                pending.clear()
                pool.renew()
            lost = submit()
    except BaseException:
        pool.stop()
        for future in list(pending):
            with contextlib.suppress(Exception):  # of a cluster that is gone: the reason is the first one
                if future.cancel():
                    del pending[future]
        wait(pending, timeout=STOP_SECONDS)
        pool.abandon()
        for future, task in list(pending.items()):
            complete = future.done() and not future.cancelled() and future.exception() is None
            if complete and (result := future.result()) is not None:
                finished(task, result)
        raise
    finally:
        pool.stop()
        pool.close()
