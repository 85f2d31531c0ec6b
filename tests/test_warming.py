"""Compiling ahead: what is compiled, by how many processes, and how that ends."""

import os
import signal
import subprocess
import sys
import time

import pytest

from dlnmc import warming
from dlnmc.cli import main
from dlnmc.config import Run
from dlnmc.defaults import completed
from dlnmc.engine import SCHEMES
from dlnmc.errors import RunFailed
from dlnmc.models import DysonBrownianMotion
from dlnmc_kernels.outlined import OUTLINED

WARMUP = [sys.executable, "-m", "dlnmc", "warmup"]


def test_every_kernel_has_a_task():
    warmed = [(run.model.kind, run.coordinates, run.scheme) for run in map(completed, warming.runs())]
    assert {scheme for *_, scheme in warmed} == set(SCHEMES)
    assert {(kind, coordinates) for kind, coordinates, _ in warmed} == {
        ("deep_linear_network", "lambda"), ("deep_linear_network", "sigma"), ("deep_linear_network", "log"),
        ("deep_linear_network", "frames"), ("deep_linear_network", "balanced"),
        ("deep_linear_network", "matrix"), ("deep_linear_network", "network"),
        ("dyson", "eigenvalues"), ("dyson", "hermitian"),
    }  # fmt: skip
    whole = 4 + 3  # matrices at finite and infinite depth, networks, Hermitian matrices; flows of the first three
    assert len(warmed) == 3 * len(SCHEMES) + 3 + 1 + whole  # three for σ, one from 0


def test_jobs_are_all_tasks_those_of_one_state_together_and_the_largest_first():
    jobs = warming.jobs()
    states = [{completed(task).coordinates if isinstance(task, Run) else "exact" for task in job} for job in jobs]
    assert all(len(own) == 1 for own in states)
    assert len(set.union(*states)) == len(jobs)
    assert [len(job) for job in jobs] == sorted(map(len, jobs), reverse=True)
    tasks = [*warming.runs(), *warming.draws(), *OUTLINED]
    assert sorted(map(repr, tasks)) == sorted(repr(task) for job in jobs for task in job)


def small_jobs():
    """Two jobs of kernels that other tests compile too."""
    runs = list(warming.runs())
    return [[runs[0], *warming.draws()], [runs[0]]]


def test_one_process_is_this_one(monkeypatch):
    monkeypatch.setattr(warming, "jobs", small_jobs)
    monkeypatch.setattr(warming, "multiprocessing", None)
    assert warming.warm_up(processes=1) == 4


def test_two_processes_share_the_jobs_and_the_command_shows_it(monkeypatch, capfd):
    monkeypatch.setattr(warming, "jobs", small_jobs)
    monkeypatch.setattr(warming, "thread_count", lambda processes: 2)
    monkeypatch.setattr(warming, "compile_task", None)  # not in this process
    main(["warmup"])
    out, err = capfd.readouterr()
    assert out == ""
    assert "compiling kernels: 100%" in err
    assert "4/4" in err


def test_what_does_not_compile_is_named_in_one_line(monkeypatch, refused):
    nothing_exact = DysonBrownianMotion(size=2, beta=2.0, energy="none")
    monkeypatch.setattr(warming, "jobs", lambda: [[nothing_exact], small_jobs()[1]])
    refused(lambda: warming.warm_up(processes=2), "compiling the kernel of", "energy=NoEnergy()", error=RunFailed)


# --- for real ---------------------------------------------------------------------------------------------------------


def cached(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.nbc")}


def started(folder, **options):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder)}
    return subprocess.Popen(WARMUP, env=environment, stderr=subprocess.PIPE, text=True, **options)


def wait_for(what, seconds=300):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_two_warm_ups_at_once_fill_one_cache_though_a_third_is_killed(tmp_path):
    killed, one, other = started(tmp_path, start_new_session=True), started(tmp_path), started(tmp_path)
    wait_for(lambda: len(cached(tmp_path)) >= 3)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=60)
    for process in (one, other):
        _, said = process.communicate(timeout=600)
        assert process.returncode == 0, said
    first = cached(tmp_path)
    assert len(first) >= 24
    again = started(tmp_path)
    again.communicate(timeout=600)
    assert again.returncode == 0
    assert cached(tmp_path) == first  # nothing was compiled


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["group", "parent"])
def test_ctrl_c_ends_all_processes_at_once_and_what_was_compiled_stays(tmp_path, whom):
    process = started(tmp_path, start_new_session=True)
    wait_for(lambda: cached(tmp_path))
    before = time.monotonic()
    (os.killpg if whom == "group" else os.kill)(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)  # until all that hold the pipe have ended
    assert process.returncode == 130
    assert time.monotonic() - before < 10.0
    assert said.splitlines()[-1] == "dlnmc: interrupted"
    assert cached(tmp_path)
