"""What the kernel tests share: sizes for both ways of running, rows of eight, exact values, errors in ulp."""

import math
import os
import subprocess
import sys

import mpmath
import numpy as np

from dlnmc_kernels.dispatch import drift, log_density, step
from dlnmc_kernels.driver import Results, Schedule, State, normals, run
from dlnmc_kernels.jit import JIT_DISABLED, device, kernel
from dlnmc_kernels.lanes import WIDTH, load, splat, store
from dlnmc_kernels.observables import SUMS
from dlnmc_kernels.ordering import ALIVE, CROSSINGS, SIGN_CHANGES, STATUS, TALLY, TAMED, accept
from dlnmc_kernels.philox import DYNAMICS
from dlnmc_kernels.schemes import SCRATCH, MetropolisAdjusted, Noise

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


def rows_of(matrices):
    """Eight matrices, (8, d, d), as the rows of a block, (d², 8); a complex one as its real part and its imaginary."""
    if np.iscomplexobj(matrices):
        return np.concatenate([rows_of(matrices.real), rows_of(matrices.imag)])
    return np.ascontiguousarray(np.reshape(matrices, (WIDTH, -1)).T)


def matrices_of(rows):
    """The matrices, (8, d, d), whose rows these are."""
    size = math.isqrt(len(rows))
    return np.ascontiguousarray(rows.T).reshape(WIDTH, size, size)


def complex_matrices_of(rows):
    """The complex matrices, (8, d, d), whose rows these are."""
    half = len(rows) // 2
    return matrices_of(rows[:half]) + 1j * matrices_of(rows[half:])


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
    """A function got -> got − function(x), computed in long doubles, or in mpmath where those are short.

    `function(x, m)` uses `m.log`, `m.exp` ... of NumPy or of mpmath.
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


# --- drifts and densities of arrays ---

NO_TAMING = 1e-18  # a step so small that only what is closer than all taming leaves alone is tamed


@kernel
def drift_of(model, x, dt, f, work):
    drift(model, x, dt, f, work)


def kernel_drift(model, x, dt=NO_TAMING):
    """The drift of all columns of x, shape (component, 8)."""
    f = np.full_like(x, np.nan)
    drift_of(model, x, dt, f, np.full((SCRATCH, *x.shape), np.nan))
    return f


@kernel
def log_density_of(model, x, out, work):
    store(out, 0, log_density(model, x, work))


def kernel_log_density(model, x):
    """The logarithm of the density of all columns of x, shape (component, 8)."""
    out = np.full((1, WIDTH), np.nan)
    log_density_of(model, x, out, np.full((SCRATCH, *x.shape), np.nan))
    return out[0]


# --- following given noise ---


@kernel
def follow_block(model, scheme, x, normals, merged, dt, tally, work):
    """Carry a block along its normals, shape (fine step, component, 8), `merged` of them to each step `dt`."""
    size = len(x)
    z, proposal, memory = np.zeros((size + 2, WIDTH)), np.zeros((size, WIDTH)), np.zeros((0, WIDTH))
    scale = 1.0 / math.sqrt(merged)
    for n in range(len(normals) // merged):
        for i in range(size):
            total = splat(0.0)
            for m in range(n * merged, (n + 1) * merged):
                total = total + load(normals[m], i)
            store(z, i, total * scale)
        step(scheme, model, x, z, dt, proposal, memory, tally, work)
        accept(model, x, proposal, dt, tally, n)


def fresh_tally(*shape):
    tally = np.zeros((*shape, TALLY, WIDTH))
    tally[..., STATUS, :] = ALIVE
    return tally


def follow(model, scheme, start, normals, merged, duration):
    """The final states, shape (block, component, 8), of paths from `start`; none may be tamed, cross or change sign.

    start: (component,) or (component, 8); normals: (block, fine step, component, 8), the same for every `merged`.
    """
    x = np.zeros((len(normals), *normals.shape[2:])) + np.reshape(start, (len(start), -1))
    tally = fresh_tally(len(x))
    dt = duration * merged / normals.shape[1]
    for block in range(len(x)):
        follow_block(
            model, scheme, x[block], normals[block], merged, dt, tally[block], np.zeros((SCRATCH, *x.shape[1:]))
        )
    assert (tally[:, STATUS] == ALIVE).all()
    assert (tally[:, [TAMED, SIGN_CHANGES, CROSSINGS]] == 0.0).all()
    return x


# --- runs by the driver ---

KEY = np.uint64(77)
LOW, BINS_PER_UNIT, BINS = 0.25, 8.0, 10  # small on purpose: both underflow and overflow are filled


class Run:
    """The arrays of a whole run, and calls of the driver for parts of it."""

    def __init__(
        self,
        model,
        scheme,
        start,
        first_step=0,
        last_step=30,
        every=7,
        dt=0.02,
        stream=DYNAMICS,
        refinement=1,
        values=None,
        carried=None,
    ):
        """start: (block, component, 8). Observations fill two histograms in turn, and the later half the late sums.

        `values` are read from a state (else as many as it has components), and `carried` rows of memory go with it.
        """
        self.model, self.scheme, self.dt, self.noise = model, scheme, dt, Noise(KEY, stream, refinement)
        blocks, size, _ = start.shape
        self.first_step, self.last_step = first_step, last_step
        self.events = np.arange(first_step, last_step + 1, every)
        self.draws = np.arange(len(self.events))
        self.slots = self.draws % 2
        self.halves = (2 * self.draws >= len(self.draws)).astype(np.int64)
        self.x = start.copy()
        if carried is None:
            carried = size + 1 if isinstance(scheme, MetropolisAdjusted) else 0
        self.memory = np.zeros((blocks, carried, WIDTH))
        self.tally = fresh_tally(blocks)
        self.sums = np.zeros((blocks, 2, SUMS, WIDTH))
        self.squares = np.zeros((blocks, SUMS, WIDTH))
        self.counts = np.zeros((blocks, 2, BINS + 2), np.int64)
        values = size if values is None else values
        self.samples = np.full((blocks, len(self.events), values, WIDTH), np.nan)
        self.recent = np.zeros((blocks, 0, values, WIDTH))
        self.states = np.zeros((blocks, 0, size, WIDTH))

    def arrays(self):
        return self.x, self.memory, self.tally, self.sums, self.squares, self.counts, self.samples

    def go(self, from_step=None, to_step=None, blocks=slice(None)):
        first_block = range(len(self.x))[blocks][0]
        from_step = self.first_step if from_step is None else from_step
        to_step = self.last_step + 1 if to_step is None else to_step
        schedule = Schedule(self.first_step, self.last_step, self.events, self.draws, self.slots, self.halves)
        state = State(self.x[blocks], self.memory[blocks], self.tally[blocks])
        sums, squares, counts, samples = self.sums, self.squares, self.counts, self.samples
        results = Results(*(array[blocks] for array in (sums, squares, counts, samples, self.recent, self.states)))
        with np.errstate(all="ignore"):  # overflow is what some tests are about
            run(
                *(self.model, self.scheme, self.noise, self.dt, first_block, from_step, to_step),
                *(schedule, LOW, BINS_PER_UNIT, state, results),
            )
        return self


def starts(blocks=3, size=5):
    """Sorted components of order 1."""
    return np.sort(np.random.default_rng(11).uniform(0.2, 1.8, (blocks, size, WIDTH)), axis=1)


def assert_same(one, other):
    for a, b in zip(one.arrays(), other.arrays(), strict=True):
        assert np.array_equal(a, b)


def normals_of_steps(steps, blocks, size, stream=DYNAMICS):
    """The normals of these steps, shape (step, block, component, 8)."""
    z = np.zeros((len(steps), blocks, size + size % 2, WIDTH))
    for i, n in enumerate(steps):
        normals(KEY, stream, 0, n, z[i])
    return z[:, :, :size]
