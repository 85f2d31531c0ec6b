"""The workers of a dask.distributed cluster: on this machine, or on many.

Work is handed to every worker once, also to those that join later, by a plugin; a task is a chunk and a name. Workers
that are lost are dask's business; a scheduler that is lost is waited for, and asked again.
"""

import contextlib
import threading
import time
import uuid
from concurrent.futures import CancelledError, Future
from typing import Any

from dlnmc.errors import InvalidValue, RunFailed
from dlnmc.executors.pool import Work

try:
    from distributed import Client, KilledWorker, WorkerPlugin, get_worker
    from distributed.comm.core import CommClosedError
except ImportError:
    raise InvalidValue("executor: dask.distributed is not installed here; pip install 'dlnmc[dask]'") from None

WAIT_SECONDS = 60.0  # for a scheduler, and for its first worker
LOOK_SECONDS = 5.0  # between two looks at how many workers there are


class Handed(WorkerPlugin):
    """Work in the memory of a worker, with a flag that tells its tasks to stop."""

    def __init__(self, name: str, work: Work) -> None:
        self.name, self.work = name, work

    def setup(self, worker: Any) -> None:
        """Called on each worker when it gets the work, or joins."""
        self.stop = threading.Event()

    def teardown(self, worker: Any) -> None:
        """Called when the work is over."""
        self.stop.set()


class ClusterPool:
    """The workers that a client knows, or that a scheduler's address leads to."""

    reports = False
    losses: tuple[type[BaseException], ...] = (CancelledError, KilledWorker, CommClosedError)

    def __init__(self, cluster: Any, work: Work) -> None:
        self._cluster, self._work = cluster, work
        self._own = isinstance(cluster, str)  # a client of ours, which is closed in the end
        self._connect()

    def _connect(self) -> None:
        """Find the scheduler, hand over the work, and compile kernels on one worker of each host."""
        try:
            make: Any = Client
            self._client = make(self._cluster, timeout=WAIT_SECONDS) if self._own else self._cluster
            self._client.wait_for_workers(1, timeout=WAIT_SECONDS)
            self._name = f"dlnmc-{uuid.uuid4().hex}"
            self._client.register_plugin(Handed(self._name, self._work), name=self._name)
            self._count()
            self._executor = self._client.get_executor(pure=False)
            hosts = {address.rpartition(":")[0]: address for address in self._threads}
            for future in [
                self._client.submit(_warm, self._name, workers=[address], pure=False) for address in hosts.values()
            ]:
                future.result()
        except (OSError, TimeoutError, ValueError) as error:
            where = self._cluster if self._own else self._client
            raise RunFailed(f"executor = {where}: no scheduler with a worker answers ({error})") from None

    def _count(self) -> None:
        self._threads: dict[str, int] = self._client.nthreads()
        self._looked = time.monotonic()

    @property
    def size(self) -> int:
        """The threads of all workers."""
        return max(1, sum(self._threads.values()))

    def submit(self, task: Any) -> Future[Any]:
        """Queue a task."""
        try:
            future: Future[Any] = self._executor.submit(_run, self._name, task)
        except RuntimeError as error:  # a client that is closed, or whose scheduler is gone
            raise CommClosedError(str(error)) from None
        return future

    def look(self) -> None:
        """Count the workers anew."""
        if time.monotonic() - self._looked > LOOK_SECONDS and self._client.status == "running":
            with contextlib.suppress(OSError, TimeoutError):  # a scheduler that is gone is noticed by its tasks
                self._count()

    def renew(self) -> None:
        """Ask the scheduler again, or the one in its place; what old tasks do there is told to stop."""
        self.stop()
        if self._own:
            self._client.close(timeout=1)
        self._connect()

    def stop(self) -> None:
        """Tell tasks to stop, as far as a scheduler is still there."""
        if self._client.status == "running" and self._name:
            name, self._name = self._name, ""
            with contextlib.suppress(OSError, TimeoutError):
                self._client.unregister_worker_plugin(name)

    def abandon(self) -> None:
        """Workers are the cluster's."""

    def close(self) -> None:
        """Let go of the workers."""
        self._executor.shutdown(wait=False)
        if self._own:
            self._client.close(timeout=1)


def _handed(name: str) -> Any:
    return get_worker().plugins[name]


def _warm(name: str) -> None:
    _handed(name).work.warm()


def _run(name: str, task: Any) -> Any:
    handed = _handed(name)
    return handed.work(task, handed.stop.is_set, lambda work: None)
