"""Threads of this process: kernels release the lock of the interpreter, so that they run side by side."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from dlnmc.executors.pool import Advanced


class ThreadPool:
    """A pool of threads; `work(task, stopped, advanced)` is called as it is."""

    reports = True
    losses: tuple[type[BaseException], ...] = ()

    def __init__(self, work: Callable[..., Any], size: int, advanced: Advanced) -> None:
        self.size = size
        self._work, self._advanced = work, advanced
        self._stop = threading.Event()
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="dlnmc")

    def submit(self, task: Any) -> Future[Any]:
        """Queue a task."""
        return self._threads.submit(self._work, task, self._stop.is_set, self._advanced)

    def look(self) -> None:
        """Nothing to look after: threads report by themselves."""

    def renew(self) -> None:
        """Threads are not lost."""

    def stop(self) -> None:
        """Tell tasks to stop."""
        self._stop.set()

    def abandon(self) -> None:
        """Threads cannot be ended: they end after the call of a kernel that they are in."""

    def close(self) -> None:
        """Let threads end when their tasks do."""
        self._threads.shutdown(wait=False, cancel_futures=True)
