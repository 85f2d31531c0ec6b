"""What the tests of runs share: small complete runs, and what it means to be refused in one line."""

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from commands import Computed, Ended

import dlnmc
from dlnmc import files, runs, simulation
from dlnmc.cli import main
from dlnmc.config import Equilibrium, Simulation
from dlnmc.simulation import execute, prepared
from dlnmc.store import ChunkStore
from dlnmc_kernels.jit import source_hash

# Started in the background, a shell's child ignores Ctrl-C, and so would every process that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

NETWORK = dlnmc.DeepLinearNetwork(width=5, depth=2.0, beta=3.0)
DYSON = dlnmc.DysonBrownianMotion(size=5, beta=3.0)


def tiny(model=NETWORK, start=None, **settings):
    """A complete equilibrium run of a few steps: 21 paths are two and a half blocks."""
    standard = {"paths": 21, "dt": 0.01, "burn_in": 0.05, "duration": 0.08, "draws": 2, "observations": 4, "bins": 16}
    return prepared(Equilibrium, standard | {"model": model} | settings, start)


@pytest.fixture(scope="session")
def member():
    """Function: the member of a sweep that is one tiny equilibrium run, with changed settings."""
    return tiny


@pytest.fixture(scope="session")
def paths_of():
    """Function: the member that is one tiny simulation."""

    def make(model=NETWORK, start=None, **settings):
        return prepared(Simulation, {"model": model, "paths": 21, "dt": 0.01, "times": (0.1,)} | settings, start)

    return make


@pytest.fixture(scope="session")
def arrays_of():
    """Function: the arrays of one member, or of several, computed on one thread unless said otherwise.

    With a folder for `parts` there would also be where paths end; that is left out.
    """

    def compute(*members, threads=1, executor=None, parts=None):
        store = None if parts is None else ChunkStore.opened(parts, members)
        results, _ = execute(list(members), threads=threads, executor=executor, progress=False, store=store)
        results = [{name: array for name, array in own.items() if name not in ("x", "memory")} for own in results]
        return results[0] if len(results) == 1 else results

    return compute


@pytest.fixture(scope="session")
def same_bits():
    """Function: assert that arrays agree bit by bit."""

    def check(one, other, names=None):
        assert set(one) == set(other)
        for name in names or one:
            assert one[name].dtype == other[name].dtype, name
            assert one[name].shape == other[name].shape, name
            assert one[name].tobytes() == other[name].tobytes(), name

    return check


@pytest.fixture(scope="session")
def refused():
    """Function: assert that a call is refused in one line that holds the given pieces; the line."""

    def check(call, *pieces, error=dlnmc.InvalidValue):
        with pytest.raises(error) as caught:
            call()
        text = str(caught.value)
        assert len(text.splitlines()) == 1, text
        for piece in pieces:
            assert piece in text, f"{piece!r} is not in {text!r}"
        return text

    return check


@pytest.fixture(scope="session")
def sealed():
    """Function: give a file that some other program wrote a trailer that agrees with it."""

    def seal(path):
        content = path.read_bytes()
        path.write_bytes(content + files.TRAILER + hashlib.sha256(content).hexdigest().encode())
        return path

    return seal


@pytest.fixture(scope="session")
def small_chunks():
    """Function: with a monkeypatch, make every block a chunk of its own."""

    def cut(monkeypatch, blocks=1):
        from dlnmc import chunks

        def work(run):
            return chunks.work_of_block(run) * blocks * 1.01

        monkeypatch.setattr(chunks, "SMALLEST_WORK", 1.0)
        monkeypatch.setattr(chunks, "WORK_PER_CHUNK", work(tiny().run))

    return cut


@pytest.fixture(scope="session")
def network_tree():
    return dlnmc.equilibrium(
        NETWORK, paths=21, dt=0.01, burn_in=0.05, duration=0.08, draws=4, observations=4, bins=16, threads=1
    )


@pytest.fixture(scope="session")
def dyson_tree():
    return dlnmc.equilibrium(
        DYSON, paths=21, dt=0.01, burn_in=0.05, duration=0.08, draws=4, observations=4, bins=16, threads=1
    )


@pytest.fixture(scope="session")
def network_paths():
    return dlnmc.simulate(NETWORK, paths=21, dt=0.01, times=[0.0, 0.05, 0.1], threads=1)


@pytest.fixture(scope="session")
def grid():
    """A sweep in depth and width, whose members have unequal ranks and one path more than a block."""
    models = [NETWORK.changed(depth=depth, width=width) for width in (3, 6) for depth in (1.0, 2.5)]
    settings = {"paths": 9, "dt": 0.01, "burn_in": 0.05, "duration": 0.1, "draws": 2, "observations": 2, "bins": 8}
    return dlnmc.sweep(models, threads=1, **settings)


@pytest.fixture(scope="session")
def rng():
    """Function: a generator of NumPy with a fixed seed."""
    return lambda seed=12345: np.random.default_rng(seed)


@pytest.fixture
def dlnmc_command(capsys, monkeypatch, tmp_path):
    """Function: run the command line in this process, in an empty folder; exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "_exit", sys.exit)

    def command(*arguments):
        capsys.readouterr()
        try:
            main([str(a) for a in arguments])
            code = 0
        except SystemExit as end:
            code = end.code
        return Ended(code, *capsys.readouterr())

    return command


@pytest.fixture
def nothing_is_computed(monkeypatch):
    """Function: from here on, where a run would begin, `Computed` is raised."""

    def refuse(*arguments):
        raise Computed

    def begin():
        monkeypatch.setattr(runs, "estimate", refuse)
        monkeypatch.setattr(simulation, "compute", refuse)

    return begin


@pytest.fixture
def record(request):
    """Function: keep the figures of a validation test; with DLNMC_RECORD=1 they go to data/validation/."""
    figures = {}
    yield lambda **values: figures.update(values)
    if os.environ.get("DLNMC_RECORD") and figures:
        module = request.node.path.stem.removeprefix("test_")
        path = Path(__file__).parent.parent / "data" / "validation" / f"{module}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        known = json.loads(path.read_text()) if path.exists() else {}
        known[request.node.name] = figures | {"date": time.strftime("%Y-%m-%d"), "kernel_hash": source_hash()[:12]}
        path.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
