"""The soak: that it goes through, and that it sees what it looks for."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import soak

TINY = {"tiny": ("network", ("width=8", "paths=256", "dt=5e-4", "scheme=euler_maruyama", "bins=16"))}


@pytest.fixture
def running(tmp_path, monkeypatch):
    """A soak of one tiny study, and that study."""
    monkeypatch.setattr(soak, "STUDIES", TINY)
    for name, text in soak.SOURCES.items():
        (tmp_path / f"{name}.toml").write_text(text)
    found = soak.Soak(3, tmp_path)
    yield found, found.prepared("tiny")
    for command in found.commands:
        command.end()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["threads", "shares"])
def test_a_study_is_killed_continued_and_compared(way, running):
    found, study = running
    found.run(study, way)
    assert found.runs[way] == 1
    assert found.bits_different == 0
    assert sum(found.kills.values()) + found.late >= 1
    assert list(soak.mentioned(found.work / "run-0")) == []


@pytest.mark.slow
def test_one_bit_that_is_different_is_seen(running):
    found, study = running
    tree = study.reference.copy(deep=True)
    values = tree["moments/trace"].values
    values[3] = np.nextafter(values[3], 9.0)
    assert soak.bits_different(study.reference, study.reference) == 0
    assert soak.bits_different(tree, study.reference) >= 1
    with pytest.raises(soak.Wrong, match="bits are different"):
        found.run(study._replace(reference=tree), "threads")


@pytest.mark.slow
def test_a_file_that_is_left_is_seen(running, monkeypatch):
    found, study = running
    phase = found.phase

    def littered(study, way, out, *rest):
        phase(study, way, out, *rest)
        out.with_name(".out.nc.1.tmp").touch()

    monkeypatch.setattr(found, "phase", littered)
    with pytest.raises(soak.Wrong, match=r"left behind by tiny, threads: \.out\.nc\.1\.tmp"):
        found.run(study, "threads")


def test_a_process_that_is_left_is_seen(running, tmp_path, monkeypatch):
    found, study = running
    code = "import subprocess, sys, time; subprocess.Popen(['sleep', '60']); print(flush=True); time.sleep(60)"
    command = made_of(["-c", code], tmp_path, monkeypatch, found)
    wait_for(lambda: command.look() is None and command.text)
    monkeypatch.setattr(soak, "ENDED_SECONDS", 1.0)
    with pytest.raises(soak.Wrong, match="SIGKILL leaves processes"):
        found.strike(study, "threads", tmp_path / "out.nc", command, signal.SIGKILL)


def test_a_command_that_hangs_tells_where(running, tmp_path, monkeypatch):
    found, _ = running
    monkeypatch.setattr(soak, "HANG_SECONDS", 2.0)
    code = "import time\ndef waits(): time.sleep(60)\nwaits()"
    command = made_of(["-X", "faulthandler", "-c", code], tmp_path, monkeypatch, found)
    with pytest.raises(soak.Wrong, match=r"no progress for 2 s(.|\n)*in waits"):
        wait_for(lambda: command.look() is not None)


def made_of(line, folder, monkeypatch, found):
    """A command that is Python with these arguments."""
    start = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda given, **how: start([sys.executable, *line], **how))
    command = soak.Command((), folder)
    monkeypatch.setattr(subprocess, "Popen", start)
    found.commands.append(command)
    return command


def wait_for(condition):
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < 60.0
        time.sleep(0.02)


def test_growth_is_from_the_first_third_to_the_last(tmp_path):
    rounds = ["[50, 9]", *(f"[{100 + 10 * i}, {7 + (i > 5)}]" for i in range(9))]
    (tmp_path / "said").write_text("\n".join(rounds))
    assert soak.of_staying(tmp_path / "said") == {
        "rounds": 9, "memory_mb": 170.0, "growth_mb": 60.0, "more_open_files": 1.0,
    }  # fmt: skip


def test_ctrl_c_ends_a_soak_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    line = [sys.executable, soak.__file__, "--minutes", "1", "--seed", "1"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith("seed ")
        wait_for(lambda: any(tmp_path.iterdir()))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")
    assert list(tmp_path.iterdir()) == []
