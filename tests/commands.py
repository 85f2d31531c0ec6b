"""What tests of the command line share: study files, commands in processes of their own, what they must give."""

import re
import resource
import subprocess
import sys
import time
from typing import NamedTuple

NETWORK = """\
[model]
kind = "deep_linear_network"
width = 6
depth = [1, 2]
beta = 6.0
kappa = 1.0

[run]
paths = 16
dt = 0.01
burn_in = 0.05
duration = 0.1
draws = 2
observations = 4
bins = 16
seed = 3
scheme = "leimkuhler_matthews"

[study]
kind = "semicircle"
title = "A tiny one"
"""
DYSON = """\
[model]
kind = "dyson"
size = 4
beta = [2.0, 4.0]

[run]
paths = 9
dt = 0.01
burn_in = 0.05
duration = 0.1
start = "zero"
common_noise = true
"""


LONG = """\
[model]
width = 16
depth = [1.0, 2.0]
beta = 16.0

[run]
paths = {paths}
dt = {dt}
burn_in = {burn_in}
duration = 2.0
draws = 4
scheme = "leimkuhler_matthews"
"""
STARTER = (  # a shell in the background ignores SIGINT, and its children with it
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from dlnmc.cli import main; main()"
)


def long_study(paths=256, dt=2e-3, burn_in=1.0):
    """The text of a study of two depths, some seconds long."""
    return LONG.format(paths=paths, dt=dt, burn_in=burn_in)


class Ended(NamedTuple):
    code: int
    out: str
    err: str


class Computed(Exception):
    """A run began: the input was taken as good."""


def one_line(ended, *pieces):
    """Assert that a command ended as bad input does: nothing on stdout, one line on stderr, which holds the pieces."""
    assert ended.code == 2, ended
    assert ended.out == ""
    assert re.fullmatch(r"dlnmc: .+\n", ended.err), ended.err
    assert len(ended.err.splitlines()) == 1, ended.err
    assert "Traceback" not in ended.err
    for piece in pieces:
        assert piece in ended.err, f"{piece!r} is not in {ended.err!r}"


def started(folder, *options, paths=256, limit=None):
    """The command line on the study, in a folder."""
    (folder / "long.toml").write_text(long_study(paths))
    line = [sys.executable, "-c", STARTER, "study", "long.toml", "-o", "out.nc", "--threads", "1", "--quiet", *options]

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.Popen(
        line,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=limited if limit else None,
    )


def ended(process, timeout=120):
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def wait_for_chunks(process, folder, least):
    began = time.monotonic()
    while len(list(folder.glob("out.parts/*.chunk"))) < least:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - began < 120.0
        time.sleep(0.005)


def same_data(one, other):
    """Assert that all variables and coordinates of two results agree bit by bit."""
    assert [node.path for node in one.subtree] == [node.path for node in other.subtree]
    for a, b in zip(one.subtree, other.subtree, strict=True):
        first, second = a.to_dataset(inherit=False), b.to_dataset(inherit=False)
        assert set(first.variables) == set(second.variables)
        for name in first.variables:
            x, y = first[name].to_numpy(), second[name].to_numpy()
            assert (x.dtype, x.shape, first[name].dims) == (y.dtype, y.shape, second[name].dims), name
            assert x.tolist() == y.tolist() if x.dtype.kind in "OUT" else x.tobytes() == y.tobytes(), name
