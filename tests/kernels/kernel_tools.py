"""What the kernel tests share: sizes for both ways of running, rows of eight, exact values, errors in ulp."""

import math
import os
import subprocess
import sys

import mpmath
import numpy as np
from dlnmc_kernels.jit import JIT_DISABLED, device
from dlnmc_kernels.lanes import WIDTH, load, store

FALSE_ALARM = 1e-6  # of every statistical test as a whole
POWER = 0.999  # of every negative control, at least
EXTENDED = np.finfo(np.longdouble).nmant > 60  # 80-bit or better; else long double is no better than double


def sized(compiled, pure):
    """A size: the second for a pure-Python run, about a thousand times slower."""
    return pure if JIT_DISABLED else compiled


def as_rows(x):
    """The numbers `x` as an array of shape (rows, 8), the last of them repeated as needed."""
    x = np.ravel(x)
    return np.pad(x, (0, -len(x) % WIDTH), mode="edge").reshape(-1, WIDTH)


def on_rows(function):
    """A function of a float64 lane as one of arrays of any length."""

    @device
    def loop(x, out):
        for i in range(len(x)):
            store(out, i, function(load(x, i)))

    def apply(x):
        rows = as_rows(x)
        out = np.empty_like(rows)
        loop(rows, out)
        return out.ravel()[: np.size(x)]

    return apply


def exactly(function, x):
    """The errors of `got` are measured against this: `function` of long doubles, or of mpmath numbers where those are short.

    `function(x, m)` uses `m.log`, `m.exp` ... of NumPy or of mpmath. Returns a function got -> got − exact, in double.
    """
    if EXTENDED:
        exact = function(x.astype(np.longdouble), np)
        return lambda got: (got.astype(np.longdouble) - exact).astype(float)
    with mpmath.workdps(40):
        exact = [function(mpmath.mpf(float(v)), mpmath) for v in x]

    def error(got):
        with mpmath.workdps(40):
            return np.array([float(mpmath.mpf(float(g)) - e) for g, e in zip(got, exact, strict=True)])

    return error


def ulps(got, error):
    """|error| in units in the last place of the results."""
    return np.abs(error) / np.spacing(np.abs(got))


def dkw(n, false_alarm=FALSE_ALARM):
    """The bound on sup |F_n − F| of n independent numbers (Dvoretzky, Kiefer, Wolfowitz; Massart's constant)."""
    return math.sqrt(math.log(2.0 / false_alarm) / (2.0 * n))


def in_another_process(program, **environment):
    """Run Python source in a process with these environment variables, and return what it printed."""
    path = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=os.environ | {"PYTHONPATH": path} | environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
