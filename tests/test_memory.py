"""Memory: the samples that were asked for, a few states, and nothing that grows with the number of steps."""

import subprocess
import sys

import pytest

SCRIPT = """
import gc
import resource
import dlnmc

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if __import__("sys").platform == "darwin" else 1024)

def go(size, paths, draws, steps, keep):
    model = dlnmc.{model}
    plan = dict(dt=1e-4, burn_in=0.0, duration=steps * 1e-4, draws=draws, observations=draws, bins=200)
    dlnmc.equilibrium(model, paths=paths, scheme="euler_maruyama", keep_samples=keep, threads=2, **plan)

size = 8
go(size, 64, 1, 2, True)
idle, size = peak(), {size}
go(size, {paths}, {draws}, {draws}, {keep})
few = peak()
gc.collect()  # trees hold themselves
go(size, {paths}, {draws}, {more} * {draws}, {keep})
print(few - idle, peak() - few)
"""
NETWORK = "DeepLinearNetwork(width=size, depth=2.0, beta=float(size))"
DYSON = "DysonBrownianMotion(size=size, beta=float(size))"


def growth(model, size, paths, draws, keep, more):
    """The growth of a process that runs this, over one that has run something small; and what more steps add, bytes."""
    code = SCRIPT.format(model=model, size=size, paths=paths, draws=draws, keep=keep, more=more)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=900)
    return map(int, done.stdout.split())


def check(model, size, paths, draws, keep, more):
    state = 8 * size * paths
    asked = state * draws if keep else 0
    first, later = growth(model, size, paths, draws, keep, more)
    assert first <= asked + 4 * state + 100e6
    assert later <= 30e6 + 0.2 * asked  # the allocator returns memory as it likes


def test_memory_is_that_of_the_samples_and_a_few_states():
    """Samples of 134 MB: kept twice, as chunks and as a whole, they would break the bound."""
    check(NETWORK, 64, 16384, 16, True, 3)


@pytest.mark.slow
@pytest.mark.parametrize("model", [NETWORK, DYSON])
@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize(("size", "paths", "draws"), [(1024, 512, 4), (64, 65536, 4), (64, 65536, 1), (16, 131072, 8)])
def test_memory_at_full_size(model, size, paths, draws, keep):
    check(model, size, paths, draws, keep, 5)
