"""The script for arrays of Slurm, with the variables that Slurm would set: shares, a time limit, a merge."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import long_study, same_data

import dlnmc

BASH = shutil.which("bash")
SCRIPT = Path(__file__).parents[1] / "scripts" / "array.slurm"
COMMANDS = {"dlnmc": f'exec "{sys.executable}" -m dlnmc "$@"', "scontrol": 'echo "$@" >>scontrol.txt'}


@pytest.fixture
def task(tmp_path):
    """Function: a task of an array in a folder with a study, so many paths long."""
    (tmp_path / "bin").mkdir()
    for name, line in COMMANDS.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / "bin" / name).chmod(0o755)

    def start(number, count, *options, paths=64, output="out.nc"):
        (tmp_path / "my.toml").write_text(long_study(paths))
        slurm = {"ARRAY_JOB_ID": 77, "ARRAY_TASK_ID": number, "ARRAY_TASK_COUNT": count, "CPUS_PER_TASK": 2}
        variables = {f"SLURM_{name}": str(value) for name, value in slurm.items()}
        environment = os.environ | variables | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
        line = [BASH, SCRIPT, "my.toml", output, *options]
        return subprocess.Popen(line, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)

    return start


def merged(folder, output="out.nc"):
    line = [sys.executable, "-m", "dlnmc", "merge", output]
    subprocess.run(line, cwd=folder, check=True, timeout=120, capture_output=True)
    return dlnmc.open(folder / output)


def test_three_tasks_are_merged_to_the_bits_of_one_run(task, tmp_path):
    tasks = [task(number, 3, "--set", "kappa=0.5") for number in (1, 2, 3)]
    for number, each in enumerate(tasks, 1):
        out, _ = each.communicate(timeout=120)
        assert each.returncode == 0
        assert out == f"share {number}/3 of out.nc: complete; when all are: dlnmc merge out.nc\n"
    whole = dlnmc.study(tmp_path / "my.toml", tmp_path / "whole.nc", changes=["kappa=0.5"], progress=False)
    same_data(merged(tmp_path), whole)
    assert not (tmp_path / "scontrol.txt").exists()


def test_a_task_whose_time_is_over_is_queued_again_and_goes_on(task, tmp_path):
    first = task(1, 1, paths=4096)
    began = time.monotonic()
    while not list(tmp_path.glob("out.parts/*.chunk")):
        assert time.monotonic() - began < 120.0
        assert first.poll() is None
        time.sleep(0.01)
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=60)
    assert first.returncode == 143
    assert (tmp_path / "scontrol.txt").read_text() == "requeue 77_1\n"
    second = task(1, 1, paths=4096)
    second.communicate(timeout=120)
    assert second.returncode == 0
    same_data(merged(tmp_path), dlnmc.study(tmp_path / "my.toml", tmp_path / "whole.nc", progress=False))


def test_what_goes_wrong_keeps_its_exit_code(task, tmp_path):
    for number, count, options, code in ((1, 2, ["--set", "depth=-1"], 2), (3, 2, [], 2)):
        failing = task(number, count, *options)
        failing.communicate(timeout=120)
        assert failing.returncode == code
    lone = subprocess.run([BASH, SCRIPT, "my.toml"], capture_output=True, text=True, check=False, timeout=60)
    assert (lone.returncode, lone.stderr.partition(":")[0]) == (2, "usage")
    assert not (tmp_path / "scontrol.txt").exists()
