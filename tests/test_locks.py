"""Two runs in one place: the second is told who is there; what a dead one left is no hindrance."""

import errno
import fcntl
import json
import os
import socket
import subprocess
import sys
import threading

import pytest

from dlnmc import InvalidValue, locks
from dlnmc.locks import Share, held, holders

HOLDER = "import sys, pathlib\nfrom dlnmc.locks import Share, held\n"


@pytest.fixture
def holder(tmp_path):
    """Function: a process that holds the folder until it is killed."""
    processes = []

    def start(share=None):
        which = "None" if share is None else f"Share.parsed({str(share)!r})"
        code = HOLDER + f"with held(pathlib.Path(sys.argv[1]), {which}):\n    print('held', flush=True)\n    input()"
        line = [sys.executable, "-c", code, str(tmp_path / "out.parts")]
        process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def place(tmp_path):
    return tmp_path / "out.parts"


def enter(place, share=None):
    with held(place, share):
        return True


def test_the_second_is_told_who_holds_a_place(holder, place, refused):
    process = holder()
    refused(lambda: enter(place), str(place), f"process {process.pid}", socket.gethostname(), "since 20")
    refused(lambda: enter(place, Share(1, 2)), f"process {process.pid}")
    assert len(holders(place)) == 1


def test_a_lock_of_a_process_that_was_killed_is_recovered(holder, place):
    process = holder()
    process.kill()
    process.wait()
    assert (place / "run.lock").exists()
    assert holders(place) == []
    assert enter(place)
    assert not place.exists()  # nothing was put in it


def test_different_shares_run_side_by_side_and_the_same_one_does_not(holder, place, refused):
    first = holder("1/3")
    assert enter(place, Share(2, 3))
    refused(lambda: enter(place, Share(1, 3)), "share 1 of 3", f"process {first.pid}")
    refused(lambda: enter(place), "share 1 of 3", f"process {first.pid}")
    first.communicate("\n")
    assert enter(place)


def test_a_place_is_held_once_within_a_process_too(place, refused):
    with held(place):
        refused(lambda: enter(place), f"process {os.getpid()}")
    assert enter(place)


def test_a_run_tidies_up_after_shares_that_were_killed(holder, place):
    process = holder("2/3")
    process.kill()
    process.wait()
    assert (place / "share-2-of-3.lock").exists()
    assert enter(place)
    assert not place.exists()


def test_who_only_looks_keeps_nobody_out(place):
    place.mkdir()
    (place / "run.lock").touch()
    with (place / "run.lock").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        threading.Timer(0.1, fcntl.flock, (file.fileno(), fcntl.LOCK_UN)).start()
        assert enter(place)


def test_what_was_put_in_a_place_stays_and_locks_do_not(place):
    with held(place):
        (place / "thesis.txt").write_text("mine")
    with held(place, Share(1, 2)):
        assert {path.name for path in place.iterdir()} == {"thesis.txt", "run.lock", "share-1-of-2.lock"}
    assert {path.name for path in place.iterdir()} - {"run.lock"} == {"thesis.txt"}


def test_a_lock_file_that_says_nothing_is_still_a_lock(place, refused):
    place.mkdir()
    for text in ("", "{", "[]", json.dumps({"pid": 3})):
        with (place / "run.lock").open("w") as file:
            file.write(text)
            file.flush()
            fcntl.flock(file, fcntl.LOCK_EX)
            refused(lambda: enter(place), "in use by a run")


def test_a_file_system_without_locks_is_used_without(place, monkeypatch):
    def unknown(file, kind):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", unknown)
    with held(place):
        assert enter(place)


@pytest.mark.parametrize(
    "text", ["", "1", "0/3", "4/3", "-1/3", "1/0", "1/", "/3", "a/b", "1/2/3", "1.0/2", "1/9999999"]
)
def test_a_share_that_is_none_is_told_in_one_line(text, refused):
    refused(lambda: Share.parsed(text), f"--chunk {text!r}", "I/N", error=InvalidValue)


def test_a_share_is_read_as_it_is_written():
    assert Share.parsed("3/5") == Share(3, 5)
    assert str(Share.parsed("03/5")) == "3/5"
