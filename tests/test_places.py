"""Where chunks are computed changes no bit: threads, processes, a cluster, shares; nor does what is lost on the way."""

import contextlib
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

import dlnmc
from dlnmc import energies, executors, simulation, work
from dlnmc.chunks import plan_chunks
from dlnmc.executors import pool
from dlnmc.locks import Share
from dlnmc.simulation import collected, execute
from dlnmc.store import ChunkStore

NETWORK = dlnmc.DeepLinearNetwork(width=16, depth=2.0, beta=16.0)
SLOW = {"paths": 512, "dt": 5e-4, "burn_in": 1.0, "duration": 2.0, "draws": 2, "observations": 8}  # seconds in all


def spread(s):
    return s[-1] - s[0]


def tilted(W, p):
    return 0.5 * np.sum(W * W) + p[0] * W[0, 0]


def tilted_gradient(W, p):
    out = W.copy()
    out[0, 0] += p[0]
    return out


@pytest.fixture(scope="module")
def cluster():
    """Function-scoped clusters take seconds to start: one of two workers for all tests that do not harm it."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as local:
        yield local


@pytest.fixture(scope="module")
def slow(member):
    """A run of some seconds in a dozen chunks, and its arrays."""
    run = member(NETWORK, **SLOW)
    return run, execute([run], threads=2, progress=False)[0][0]


@pytest.fixture
def many_chunks(monkeypatch):
    from dlnmc import chunks

    monkeypatch.setattr(chunks, "WORK_PER_CHUNK", 4e7)


def without_ends(arrays):
    """What a run holds that has no store: nothing of where paths ended."""
    return {name: array for name, array in arrays.items() if name not in ("x", "memory")}


def during(condition, act):
    """Start a thread that waits for a condition, then acts; what it did is in the list."""
    done = []

    def wait():
        end = time.monotonic() + 60.0
        while not condition():
            if time.monotonic() > end:
                return
            time.sleep(0.01)
        done.append(act())

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return done


# --- the same bits everywhere -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("threads", "executor"), [(1, None), (2, "threads"), (1, "processes"), (2, "processes")])
def test_threads_and_processes_give_the_same_bits(threads, executor, slow, many_chunks, arrays_of, same_bits):
    run, reference = slow
    assert len(plan_chunks([run])) >= 8
    same_bits(arrays_of(run, threads=threads, executor=executor), reference)


def test_a_cluster_gives_the_same_bits_by_address_and_by_client(cluster, slow, many_chunks, arrays_of, same_bits):
    from distributed import Client

    run, reference = slow
    same_bits(arrays_of(run, executor=cluster.scheduler_address), reference)
    with Client(cluster) as client:
        same_bits(arrays_of(run, executor=client), reference)
        assert client.status == "running"  # a user's client is left alone


@pytest.mark.parametrize("total", [1, 2, 5])
def test_shares_that_are_merged_give_the_same_bits(total, slow, many_chunks, same_bits, tmp_path):
    run, reference = slow
    store = ChunkStore.opened(tmp_path / "parts", [run])
    for number in reversed(range(1, total + 1)):
        if number > 1:
            assert collected([run], store)[1]
        execute([run], threads=2, progress=False, store=store, share=Share(number, total))
    (arrays,), missing = collected([run], store)
    assert not missing
    same_bits(without_ends(arrays), reference)


@pytest.mark.parametrize("where", ["processes", "cluster"])
def test_a_users_own_functions_go_along(where, cluster):
    """Also those that other processes cannot import, such as a notebook's."""
    executor = "processes" if where == "processes" else cluster.scheduler_address
    namespace = {"np": np}
    exec("def squares(s):\n    return np.sum(s * s)", namespace)  # no source, in no module
    settings = {"paths": 16, "dt": 0.01, "burn_in": 0.05, "duration": 0.1}
    settings["observables"] = {"spread": spread, "squares": namespace["squares"]}
    model = NETWORK
    here, there = (dlnmc.equilibrium(model, executor=place, threads=2, **settings) for place in (None, executor))
    for group in ("samples", "moments", "observables"):
        assert here[group].to_dataset().equals(there[group].to_dataset())
    assert here.attrs["config"] == there.attrs["config"]
    assert there.attrs["executor"] in ("processes", "dask")


@pytest.mark.slow
@pytest.mark.parametrize("where", ["processes", "cluster"])
def test_a_users_own_energy_goes_along(where, cluster):
    executor = "processes" if where == "processes" else cluster.scheduler_address
    own = dlnmc.OwnEnergy("tilted", tilted, tilted_gradient, [0.3], curvature=(1.0, 1.0))
    model = dlnmc.DeepLinearNetwork(width=2, depth=2.0, beta=2.0, energy=own)
    settings = {"paths": 16, "dt": 0.01, "burn_in": 0.05, "duration": 0.1, "state": "matrix"}
    here, there = (dlnmc.equilibrium(model, executor=place, threads=2, **settings) for place in (None, executor))
    assert here["samples"].to_dataset().equals(there["samples"].to_dataset())
    assert here.attrs["config"] == there.attrs["config"]


def test_a_users_own_energy_is_pickled_with_its_functions(monkeypatch):
    own = dlnmc.OwnEnergy("tilted", tilted, tilted_gradient, [0.3], curvature=(1.0, 1.0))
    payload = cloudpickle.dumps(own)
    monkeypatch.setattr(energies, "_FUNCTIONS", {})  # as in another process
    again = cloudpickle.loads(payload)
    assert again == own
    W = np.arange(4.0).reshape(2, 2)
    assert again.value(W) == tilted(W, [0.3])


@pytest.mark.parametrize("threads", [1, 3])
def test_a_script_without_a_guard_may_use_processes(threads, tmp_path):
    """Spawned processes import no script of the user's, which would start itself again."""
    script = tmp_path / "script.py"
    script.write_text(
        "import dlnmc\n"
        "def own(s):\n    return s[0]\n"
        "model = dlnmc.DysonBrownianMotion(size=4, beta=2.0)\n"
        "settings = dict(paths=64, dt=0.01, burn_in=0.1, duration=0.1, observables={'own': own}, "
        f"threads={threads})\n"
        "one = dlnmc.equilibrium(model, executor='processes', **settings)\n"
        "other = dlnmc.equilibrium(model, **settings)\n"
        "assert one['observables'].to_dataset().equals(other['observables'].to_dataset())\n"
        "print('once')\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "once\n", "")


# --- what is lost on the way ------------------------------------------------------------------------------------------


def test_a_process_that_is_killed_is_replaced(slow, many_chunks, same_bits, tmp_path, monkeypatch):
    run, reference = slow
    store = ChunkStore.opened(tmp_path / "parts", [run])

    def kill():
        victim = multiprocessing.active_children()[0].pid
        os.kill(victim, signal.SIGKILL)
        return victim

    killed = during(lambda: len(list(store.directory.glob("*.chunk"))) >= 2, kill)
    (arrays,), _ = execute([run], threads=2, executor="processes", progress=False, store=store)
    assert killed
    same_bits(without_ends(arrays), reference)


def test_processes_that_are_lost_again_and_again_end_the_run_in_one_line(slow, many_chunks, refused, monkeypatch):
    """As where each runs out of memory."""
    monkeypatch.setattr(work.ChunkWork, "warm", lambda self: None)
    monkeypatch.setattr(pool, "MOST_LOSSES", 1)
    broken = work.ChunkWork([slow[0]], None)
    monkeypatch.setattr(simulation, "ChunkWork", lambda members, store: Deadly(broken))
    refused(
        lambda: execute([slow[0]], threads=2, executor="processes", progress=False),
        "workers were lost 2 times",
        error=dlnmc.RunFailed,
    )


class Deadly:
    """Work that ends the process that does it."""

    def __init__(self, inner):
        self.inner = inner

    def __call__(self, chunk, stopped, advanced):
        os._exit(9)

    def warm(self):
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_one_that_started_it(number, tmp_path):
    code = (
        "import dlnmc, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "model = dlnmc.DeepLinearNetwork(width=64, depth=2.0, beta=64.0)\n"
        "dlnmc.equilibrium(model, paths=512, dt=1e-4, burn_in=100.0, duration=1.0, executor='processes', threads=2)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_until(lambda: len(children(process.pid)) >= 2)
            found = children(process.pid)
            time.sleep(1.0)
            process.send_signal(number)
            process.wait(timeout=20)
            wait_until(lambda: not any(map(alive, found)))
        finally:
            process.kill()


def wait_until(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def children(pid):
    """The processes that have this parent, those that watch over shared memory aside."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid and b"resource_tracker" not in (stat.parent / "cmdline").read_bytes():
                found.append(int(stat.parent.name))
    return found


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_worker_of_a_cluster_that_is_killed_is_done_without(slow, many_chunks, same_bits, tmp_path):
    distributed = pytest.importorskip("distributed")
    run, reference = slow
    store = ChunkStore.opened(tmp_path / "parts", [run])
    settings = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    with distributed.LocalCluster(**settings) as local, distributed.Client(local) as client:
        pids = client.run(os.getpid)
        address = next(iter(pids))

        def kill():
            os.kill(pids[address], signal.SIGKILL)
            return address

        killed = during(lambda: len(list(store.directory.glob("*.chunk"))) >= 2, kill)
        (arrays,), _ = execute([run], threads=None, executor=client, progress=False, store=store)
        assert killed
        assert address not in client.scheduler_info()["workers"]
    same_bits(without_ends(arrays), reference)


@contextlib.contextmanager
def started(*arguments):
    with subprocess.Popen(
        [sys.executable, "-m", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=Path.home()
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_a_scheduler_that_is_started_anew_is_found_again(slow, many_chunks, same_bits, tmp_path):
    pytest.importorskip("distributed")
    run, reference = slow
    store = ChunkStore.opened(tmp_path / "parts", [run])
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    scheduler = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    worker = ["distributed.cli.dask_worker", address, "--nworkers", "2", "--nthreads", "1", "--no-dashboard"]
    with contextlib.ExitStack() as stack:
        first = [stack.enter_context(started(*line)) for line in (scheduler, worker)]

        def restart():
            for process in first:
                process.kill()
                process.wait()
            for line in (scheduler, worker):
                stack.enter_context(started(*line))
            return True

        restarted = during(lambda: len(list(store.directory.glob("*.chunk"))) >= 2, restart)
        (arrays,), _ = execute([run], threads=None, executor=address, progress=False, store=store)
        assert restarted
    same_bits(without_ends(arrays), reference)


# --- what cannot be ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "executor", ["thread", "", "dask", 3, ["threads"], object(), "foo://bar:1", "tcp://", "tcp://host:port", type]
)
def test_an_executor_that_does_not_exist_is_told_with_those_that_do(executor, refused):
    refused(lambda: executors.checked(executor), "executor = ", "'threads'", "'processes'", "tcp://")


def test_processes_that_several_threads_start_leave_the_script_in_its_place():
    """Each would put back what it found, and that may be what another one put there."""
    from dlnmc.executors import processes

    main, begin = sys.modules["__main__"], threading.Barrier(4)

    def start():
        begin.wait()
        for _ in range(200):
            with processes._starting():
                pass

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sys.modules["__main__"] is main


def test_an_address_at_which_nobody_answers_is_told_in_one_line(member, refused, monkeypatch):
    from dlnmc.executors import cluster

    monkeypatch.setattr(cluster, "WAIT_SECONDS", 0.5)
    address = f"tcp://127.0.0.1:{free_port()}"
    refused(lambda: execute([member()], threads=None, executor=address, progress=False), address, error=dlnmc.RunFailed)


def test_a_worker_that_would_compute_other_bits_is_refused(member, refused, monkeypatch):
    """One with another processor, or other versions: the difference is shown."""
    own = work.ChunkWork([member()], None)
    monkeypatch.setattr(work, "facts", lambda: own._facts | {"cpu": "another"})
    refused(
        lambda: own(plan_chunks([member()])[0], lambda: False, lambda work: None),
        "cpu (", "another", "NUMBA_CPU_NAME",
        error=dlnmc.RunFailed,
    )  # fmt: skip


def test_a_worker_that_does_not_see_the_folder_computes_without_states(member, same_bits, arrays_of, tmp_path):
    """On another host the folder may be missing, or be another run's."""
    run = member()
    store = ChunkStore.opened(tmp_path / "parts", [run])
    other = ChunkStore.opened(tmp_path / "other", [member(seed=1)])
    (chunk,) = plan_chunks([run])
    for directory in (tmp_path / "missing", other.directory):
        moved = ChunkStore(directory, store._identity)
        assert not moved.is_here()
        result = work.ChunkWork([run], moved)(chunk, lambda: False, lambda work: None)
        same_bits({"samples": result["samples"]}, {"samples": arrays_of(run)["samples"]})
    assert store.is_here()
