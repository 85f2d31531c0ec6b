"""What tests of the command line share: two small study files, and what it means to be refused in one line."""

import re
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
