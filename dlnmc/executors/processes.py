"""Processes of this machine, started afresh: threads and forks do not mix.

A process ends with the one that started it, however that ends. Work is pickled by value, functions of the user's own
script included, so that children never import that script.
"""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import types
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.sharedctypes import RawArray, RawValue
from typing import Any

import cloudpickle  # type: ignore[import-untyped]

from dlnmc.executors.pool import Advanced, Work

_ONE_STARTS = threading.Lock()  # of the threads of this process, at a time
SLOTS = 4096  # of counters, one for each process by its number: nothing that a killed process could leave locked


class ProcessPool:
    """A pool of spawned processes, which is replaced as a whole when one of them is lost."""

    reports = True
    losses: tuple[type[BaseException], ...] = (BrokenProcessPool,)

    def __init__(self, work: Work, size: int, advanced: Advanced) -> None:
        self.size = size
        self._payload = cloudpickle.dumps(work)
        self._advanced = advanced
        self.renew()

    def renew(self) -> None:
        """Start over with new processes."""
        self._stop = RawValue(ctypes.c_bool, False)
        self._counts = RawArray(ctypes.c_double, SLOTS)
        self._seen = 0.0
        self._processes: set[Any] = set()
        self._pool = ProcessPoolExecutor(
            self.size,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=(self._payload, self._stop, self._counts),
        )

    def submit(self, task: Any) -> Future[Any]:
        """Queue a task; the first ones start a process each."""
        before = set(multiprocessing.active_children())
        with _starting():
            try:
                return self._pool.submit(_run, task)
            finally:
                self._processes |= set(multiprocessing.active_children()) - before

    def look(self) -> None:
        """Report what the processes have done since."""
        total = sum(self._counts)
        self._advanced(total - self._seen)
        self._seen = total

    def stop(self) -> None:
        """Tell tasks to stop."""
        self._stop.value = True

    def abandon(self) -> None:
        """End processes that are still at work."""
        for process in self._processes:
            process.kill()

    def close(self) -> None:
        """Let processes end when their tasks do."""
        self._pool.shutdown(wait=False, cancel_futures=True)


@contextlib.contextmanager
def _starting() -> Iterator[None]:
    """Processes that are started here see no Ctrl-C, which reaches all of a terminal's, and import no script."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with _ONE_STARTS:
            main = sys.modules["__main__"]
            sys.modules["__main__"] = types.ModuleType("__main__")
            try:
                yield
            finally:
                sys.modules["__main__"] = main
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# --- in the processes -------------------------------------------------------------------------------------------------

_work: Any = None
_stopped: Any = None
_counts: Any = None


def _begin(payload: bytes, stop: Any, counts: Any) -> None:
    """What a process does first: ignore Ctrl-C, watch over the process that started it, unpack its work."""
    global _work, _stopped, _counts
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _stopped, _counts = stop, counts
    try:
        _work = cloudpickle.loads(payload)
    except Exception as error:  # raised by the first task: here it would break the pool, and its reason be lost
        _work = error


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run(task: Any) -> Any:
    if isinstance(_work, Exception):
        raise _work
    slot = os.getpid() % SLOTS

    def advanced(work: float) -> None:
        _counts[slot] += work

    return _work(task, lambda: _stopped.value, advanced)
