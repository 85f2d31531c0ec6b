"""Kills at random moments: nothing is lost but a moment's computing, and the result is the same to the last bit."""

import math
import random
import signal
import struct
import subprocess
import sys
import time

import pytest
from commands import long_study, same_data

import dlnmc
from dlnmc import chunks, runs
from dlnmc_kernels.lanes import WIDTH

# Beside the run, a process notes how much it has computed, where a kill does not reach it.
STARTER = """
import os, struct, sys, threading
from dlnmc import cli, progress

file = os.open(sys.argv.pop(1), os.O_RDWR | os.O_CREAT)
lock, total, advance = threading.Lock(), 0.0, progress.Progress.advance

def noted(self, work):
    global total
    with lock:
        total += work
        os.pwrite(file, struct.pack("d", total), 0)
    advance(self, work)

progress.Progress.advance = noted
cli.main()
"""


def started(folder, executor, name):
    line = [sys.executable, "-c", STARTER, "computed", "study", "long.toml", "-o", name, "--quiet", "--threads", "2"]
    (folder / "computed").write_bytes(bytes(8))
    return subprocess.Popen([*line, "--executor", executor], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def computed(folder):
    return struct.unpack("d", (folder / "computed").read_bytes())[0]


def kill_and_continue(folder, executor, kills):
    """Run the study of a folder with so many kills; the seconds of computing lost in each, and without any."""
    chance = random.Random(f"{executor} {kills}")
    began = time.monotonic()
    total, first, last = 0.0, math.inf, 0.0
    with started(folder, executor, "whole.nc") as process:
        while process.poll() is None:
            if (now := computed(folder)) > total:
                total, last = now, time.monotonic()
                first = min(first, last)
            time.sleep(0.01)
        assert process.returncode == 0, process.stderr.read()
    seconds = last - first  # of two cores
    longest = seconds / (kills + 2)  # were nothing lost, it would not be complete after all kills
    losses = []
    while len(losses) < kills:
        with started(folder, executor, "killed.nc") as process:
            while not (folder / "killed.parts").is_dir() or not computed(folder):
                assert process.poll() is None, process.stderr.read()
                time.sleep(0.005)
            time.sleep(chance.uniform(0.0, longest))
            assert process.poll() is None, f"complete after {len(losses)} kills"
            process.send_signal(signal.SIGKILL)
        time.sleep(0.3)  # other processes end with the first
        done = computed(folder)
        kept = runs.status(folder / "killed.nc").fraction * total
        losses.append((done - kept) / total * 2.0 * seconds)
    with started(folder, executor, "killed.nc") as process:
        assert process.wait() == 0, process.stderr.read()
    same_data(dlnmc.open(folder / "killed.nc"), dlnmc.open(folder / "whole.nc"))
    assert sorted(path.name for path in folder.iterdir()) == ["computed", "killed.nc", "long.toml", "whole.nc"]
    return {"seconds": seconds, "in_all": time.monotonic() - began, "losses": losses}


@pytest.mark.parametrize("executor", ["threads", pytest.param("processes", marks=pytest.mark.slow)])
def test_a_study_that_is_killed_gives_the_same_bits(executor, tmp_path, monkeypatch):
    """Two long chunks, so that what is kept of them within counts."""
    (tmp_path / "long.toml").write_text(long_study(WIDTH, dt=5e-6, burn_in=2.0))
    assert len(chunks.plan_chunks(dlnmc.studies.load(tmp_path / "long.toml").members())) == 2
    kill_and_continue(tmp_path, executor, 2)


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_twenty_kills_of_a_study_of_a_minute(executor, tmp_path, record):
    (tmp_path / "long.toml").write_text(long_study(15360, dt=1e-4, burn_in=2.0))
    found = kill_and_continue(tmp_path, executor, 20)
    losses = found["losses"]
    record(
        kills=len(losses),
        seconds=round(found["seconds"], 1),
        lost_mean=round(sum(losses) / len(losses), 3),
        lost_most=round(max(losses), 3),
    )
    assert max(losses) < 2.0
