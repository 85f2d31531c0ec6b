"""Runs as a user makes them: the same bits every time, continued after every stop, failures named."""

import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
import tracemalloc

import numpy as np
import pytest

import dlnmc
from dlnmc import chunks, simulation, work
from dlnmc.chunks import blocks_of, plan_chunks
from dlnmc.errors import Interrupted, RunFailed
from dlnmc.simulation import execute, member_seed
from dlnmc.store import ChunkStore

NETWORK = dlnmc.DeepLinearNetwork(width=5, depth=2.0, beta=3.0)
DYSON = dlnmc.DysonBrownianMotion(size=5, beta=3.0)
DEEP = dlnmc.DeepLinearNetwork(width=5, depth=math.inf, beta=3.0, kappa=0.2)
START = np.array([0.5, 1.0, 1.5, 2.0, 2.5])


def simulated(model=NETWORK, **settings):
    return dlnmc.simulate(model, **{"paths": 9, "dt": 0.01, "times": [0.1], "threads": 1} | settings)


def states(data):
    return (data.singular_values if "singular_values" in data else data.eigenvalues).to_numpy()


# --- the same bits ----------------------------------------------------------------------------------------------------

MODELS = pytest.mark.parametrize("model", [NETWORK, DYSON], ids=["network", "dyson"])
ALL_MODELS = pytest.mark.parametrize("model", [NETWORK, DYSON, DEEP], ids=["network", "dyson", "infinite depth"])


@ALL_MODELS
@pytest.mark.parametrize("threads", [2, 3])
def test_the_number_of_threads_changes_no_bit(model, threads, member, arrays_of, same_bits, small_chunks, monkeypatch):
    run = member(model, paths=165)
    reference = arrays_of(run)
    same_bits(arrays_of(run, threads=threads), reference)
    small_chunks(monkeypatch)
    assert len(plan_chunks([run])) == 21
    same_bits(arrays_of(run, threads=threads), reference)


def test_results_of_different_numbers_of_threads_agree_but_for_wall_clock_facts():
    one, other = simulated(threads=1, paths=99), simulated(threads=3, paths=99)
    assert one.equals(other)
    differing = {key for key in one.attrs if one.attrs[key] != other.attrs[key]}
    assert differing <= {"threads", "wall_seconds", "history"}


@ALL_MODELS
@pytest.mark.parametrize("scheme", ["euler_maruyama", "mala"])
def test_more_paths_leave_earlier_ones_as_they_were(model, scheme):
    few, more = simulated(model, paths=5, scheme=scheme), simulated(model, paths=83, scheme=scheme)
    assert states(few).tobytes() == states(more)[:5].tobytes()
    assert len(np.unique(states(more))) == states(more).size


def test_more_observed_times_leave_the_states_as_they_were():
    few, more = simulated(times=[0.1]), simulated(times=[0.02, 0.05, 0.1, 0.2])
    assert np.array_equal(states(few)[:, 0], states(more)[:, 2])


def test_another_seed_is_other_noise():
    assert not np.any(states(simulated(start=START, seed=0)) == states(simulated(start=START, seed=1)))
    assert not np.any(states(simulated(seed=2**64 - 1)) == states(simulated(seed=2**32 - 1)))


@pytest.mark.parametrize("depth", [2.0, 4.0])
def test_the_clock_of_depth_is_the_papers_with_time_divided_by_1_over_n(depth):
    paper = NETWORK.changed(depth=depth)
    other = simulated(paper.changed(clock="depth"), dt=0.01 * depth, times=[0.05 * depth, 0.1 * depth])
    assert np.array_equal(states(simulated(paper, times=[0.05, 0.1])), states(other))
    assert other.time.to_numpy() == pytest.approx([0.05 * depth, 0.1 * depth])
    same = simulated(paper.changed(clock="depth"), times=[0.05, 0.1])
    assert not np.array_equal(states(simulated(paper, times=[0.05, 0.1])), states(same))


def test_at_infinite_depth_the_clock_is_that_of_depth_whatever_is_asked_for():
    paper = simulated(DEEP.changed(clock="paper"))
    assert np.array_equal(states(paper), states(simulated(DEEP)))
    assert paper.attrs["clock"] == "depth"
    assert "(depth)" in paper.time.attrs["units"]


def test_infinite_depth_is_the_limit_of_depth():
    """On the same noise; log σ moves by N d log λ, so the coordinates and noises agree up to 1/N."""
    start, distance = START, []
    limit = states(simulated(DEEP, paths=33, start=start, dt=1e-3))
    for depth in (1e2, 1e4):
        finite = simulated(DEEP.changed(depth=depth), paths=33, start=start, dt=1e-3)
        distance.append(np.median(np.abs(states(finite) / limit - 1.0)))
    assert distance[1] < 0.03 * distance[0]
    assert distance[0] < 0.05


def test_milstein_is_euler_where_noise_is_additive():
    euler, milstein = simulated(scheme="euler_maruyama"), simulated(scheme="milstein")
    assert states(euler).tobytes() == states(milstein).tobytes()
    sigma = {"coordinates": "sigma"}
    assert not np.array_equal(
        states(simulated(scheme="euler_maruyama", **sigma)), states(simulated(scheme="milstein", **sigma))
    )


# --- times ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "coordinates", "scheme", "tolerance"),
    [
        (NETWORK, "sigma", "euler_maruyama", 0.0),
        (NETWORK, "lambda", "euler_maruyama", 1e-15),  # λ = σ^{1/N} and back
        (NETWORK, "lambda", "leimkuhler_matthews", 1e-14),
        (DYSON, "eigenvalues", "euler_maruyama", 0.0),
        (DYSON, "eigenvalues", "leimkuhler_matthews", 1e-14),
        (NETWORK, "lambda", "mala", 1e-15),
        (DYSON, "eigenvalues", "mala", 0.0),
        (DEEP, "log", "euler_maruyama", 1e-15),
        (DEEP, "log", "leimkuhler_matthews", 1e-14),
    ],
)
def test_the_state_at_time_zero_is_the_start(model, coordinates, scheme, tolerance):
    data = simulated(model, start=START, times=[0.0, 0.1], coordinates=coordinates, scheme=scheme)
    expected = START if model is DYSON else START[::-1]
    assert np.max(np.abs(states(data)[:, 0] / expected - 1)) <= tolerance
    assert np.all(states(data)[:, 1] != states(data)[:, 0])
    only = simulated(model, start=START, times=[0.0], coordinates=coordinates, scheme=scheme)
    assert np.array_equal(states(only)[:, 0], states(data)[:, 0])


def test_times_are_rounded_up_and_the_actual_ones_recorded():
    data = simulated(times=[0.0, 0.031, 0.1, 0.3])
    assert data.time.to_numpy() == pytest.approx([0.0, 0.04, 0.1, 0.3], abs=1e-12)
    assert data.attrs["last_step"] == 30


def test_one_step_of_euler_from_given_values_is_the_formula():
    """Free of the kernels' code: the drift of one particle, and the noise of two paths of opposite start."""
    model = dlnmc.DysonBrownianMotion(1, 2.0)
    one = states(simulated(model, start=[1.0], times=[0.25], dt=0.25))
    other = states(simulated(model, start=[-3.0], times=[0.25], dt=0.25))
    assert one - other == pytest.approx(4.0 * 0.75, rel=1e-14)


@pytest.mark.parametrize("times", ["a", None, 0.1, [[0.1]], ["a"], [], [0.2, 0.1], [0.1, 0.1], [-0.1], [math.nan]])
def test_bad_times_are_refused(times, refused):
    refused(lambda: simulated(times=times), "times")


# --- what is refused --------------------------------------------------------------------------------------------------

SIGMA = {"coordinates": "sigma"}
REFUSED = [
    ({"scheme": "leimkuhler_matthews"} | SIGMA, ("leimkuhler_matthews", "sigma", "milstein")),
    ({"scheme": "mala"} | SIGMA, ("mala", "additive noise", "sigma", "milstein")),
    ({"scheme": "hmc"} | SIGMA, ("hmc", "additive noise", "sigma", "milstein")),
    ({"state": "eigenvalues"}, ("eigenvalues", "singular_values")),
    ({"state": "hermitian"}, ("state = 'hermitian'", "singular_values", "'matrix'", "'network'")),
    ({"coordinates": "lamda"}, ("coordinates = 'lamda'", "'lambda'", "'sigma'", "'log'")),
    ({"coordinates": "eigenvalues"}, ("eigenvalues", "lambda")),
    ({"coordinates": "log"}, ("coordinates = 'log'", "depth 2", "lambda", "sigma")),
    ({"scheme": "metropolis"}, ("scheme = 'metropolis'", "euler_maruyama", "mala")),
    ({"leaps": 3, "scheme": "mala"}, ("leaps = 3", "hmc", "mala")),
    ({"leaps": 0}, ("leaps = 0",)),
    ({"model": DYSON} | SIGMA, ("sigma", "eigenvalues")),
    ({"model": DEEP} | SIGMA, ("sigma", "depth inf", "log")),
    ({"model": DEEP, "coordinates": "lambda"}, ("lambda", "depth inf", "log")),
    ({"model": NETWORK.changed(kappa=0.0), "scheme": "mala"}, ("mala", "kappa = 0", "euler_maruyama")),
    ({"model": DYSON.changed(kappa=0.0), "scheme": "hmc"}, ("hmc", "kappa = 0", "euler_maruyama")),
    ({"model": 3}, ("model = 3",)),
    ({"model": None}, ("model = None",)),
    ({"seed": 2**64}, (f"seed = {2**64}",)),
    ({"seed": 1.5}, ("seed = 1.5",)),
    ({"paths": 0}, ("paths = 0",)),
    ({"paths": None}, ("paths = None",)),
    ({"dt": 0}, ("dt = 0",)),
    ({"bins": 0}, ("bins = 0",)),
    ({"threads": 0}, ("threads = 0",)),
]
EQUILIBRIUM_REFUSED = [
    (NETWORK.changed(kappa=0.0), {}, ("kappa = 0", "no equilibrium", "simulate", "kappa > 0")),
    (DYSON.changed(kappa=0.0), {}, ("kappa = 0", "no equilibrium", "simulate", "kappa > 0")),
    (NETWORK.changed(kappa=0.0, beta=math.inf), {}, ("kappa = 0", "no equilibrium")),
    (DEEP.changed(kappa=0.4), {}, ("infinite depth", "kappa < (d-1)/(2d) = 0.4", "0.4")),
    (DEEP.changed(width=1), {}, ("infinite depth", "kappa < (d-1)/(2d) = 0")),
    (NETWORK, SIGMA, ("coordinates = 'sigma'", "'lambda'", "simulate")),
    (NETWORK, {"observables": ["log_det"]}, ("'log_det'", "log_determinant", "effective_rank")),
    (NETWORK, {"accuracy": 0.0}, ("accuracy = 0.0", ">= 1e-12")),
    (NETWORK, {"accuracy": 1.5}, ("accuracy = 1.5", "< 1")),
]


@pytest.mark.parametrize(("settings", "pieces"), REFUSED, ids=[str(next(iter(s.items()))) for s, _ in REFUSED])
def test_what_makes_no_sense_is_refused(settings, pieces, refused):
    settings = dict(settings)
    model = settings.pop("model", NETWORK)
    if not ({"leaps"} & set(settings)):
        refused(lambda: simulated(model, **settings), *pieces)
    if "paths" not in settings and getattr(model, "kappa", None) != 0.0:
        short = {"paths": 8, "dt": 0.01, "burn_in": 0.1, "duration": 0.1}
        refused(lambda: dlnmc.equilibrium(model, **short | settings), *pieces)


@pytest.mark.parametrize(("model", "settings", "pieces"), EQUILIBRIUM_REFUSED, ids=lambda value: str(value)[:40])
def test_an_equilibrium_that_makes_no_sense_is_refused(model, settings, pieces, refused):
    refused(lambda: dlnmc.equilibrium(model, paths=8, **settings), *pieces)


def test_leaps_are_those_of_an_equilibrium(refused):
    """Hamiltonian Monte Carlo reaches the equilibrium, but its steps are not the paths of the equation."""
    refused(lambda: simulated(scheme="hmc"), "scheme = 'hmc'", "euler_maruyama", "equilibrium")


@MODELS
def test_free_motion_has_no_equilibrium_and_can_be_simulated(model, refused):
    free = model.changed(energy="none")
    refused(lambda: dlnmc.equilibrium(free, paths=8), "none", "equilibrium", "simulate")
    assert np.all(np.isfinite(states(simulated(free))))


# --- continuing -------------------------------------------------------------------------------------------------------


@ALL_MODELS
@pytest.mark.parametrize("scheme", ["euler_maruyama", "leimkuhler_matthews", "mala"])
def test_a_result_is_continued_with_fresh_noise(model, scheme):
    first = simulated(model, scheme=scheme, times=[0.05, 0.1])
    second = simulated(model, scheme=scheme, times=[0.0, 0.1], start=first)
    assert states(second)[:, 0] == pytest.approx(states(first)[:, -1], rel=1e-14)
    replayed = simulated(model, scheme=scheme, times=[0.1], start=np.sort(states(first)[:, -1], axis=-1))
    same = np.mean(states(second)[:, 1] == states(replayed)[:, 0])  # not the noise of the first steps again
    assert same <= (0.1 if scheme == "mala" else 0.0)  # a path whose proposals were all refused has not moved
    third = simulated(model, scheme=scheme, times=[0.1], start=second)
    assert third.attrs["last_step"] == 10 + 11 + 11
    assert third.time.to_numpy() == pytest.approx([0.1])


def test_continuing_makes_independent_increments():
    """Correlation of the noise of two parts, over 9,600 values: beyond 5 deviations with probability 6e-7."""
    model = dlnmc.DysonBrownianMotion(1, 2.0, energy="none")
    first = simulated(model, paths=9600, start=[0.0], times=[0.1])
    second = simulated(model, paths=9600, start=first, times=[0.1])
    one, other = states(first).ravel(), (states(second) - states(first)).ravel()
    same = (states(simulated(model, paths=9600, start=states(first)[:, 0], times=[0.1])) - states(first)).ravel()
    assert abs(np.corrcoef(one, other)[0, 1]) < 5 / math.sqrt(9600)
    assert np.corrcoef(one, same)[0, 1] > 0.99  # the control: noise that is replayed


def test_an_equilibrium_is_continued_too(network_tree, refused):
    settings = {"paths": 21, "dt": 0.01, "burn_in": 0.0, "duration": 0.02, "observations": 2}
    more = dlnmc.equilibrium(NETWORK, start=network_tree, **settings)
    assert more.attrs["last_step"] == network_tree.attrs["last_step"] + 1 + 2
    assert np.allclose(
        states(simulated(paths=21, start=network_tree, times=[0.0]))[:, 0],
        network_tree["samples"].singular_values.isel(draw=-1),
    )
    refused(lambda: simulated(paths=20, start=network_tree), "start", "(21, 5)", "(20, 5)")
    unkept = dlnmc.equilibrium(NETWORK, keep_samples=False, **settings)
    refused(lambda: simulated(paths=21, start=unkept), "start", "keep_samples")


@pytest.mark.parametrize("model", [NETWORK.changed(kappa=0.5), DYSON])
def test_exact_draws_are_a_start(model):
    drawn = dlnmc.exact(model, paths=9, seed=4)
    name = "singular_values" if "rank" in drawn.dims else "eigenvalues"
    begun = simulated(model, paths=9, start=drawn, times=[0.0, 0.1])
    assert begun[name].isel(time=0).to_numpy() == pytest.approx(drawn[name].to_numpy(), rel=1e-12)
    assert begun.time.to_numpy() == pytest.approx([0.0, 0.1])
    again = simulated(model, paths=9, start=np.sort(drawn[name].to_numpy(), axis=-1), times=[0.0, 0.1])
    assert np.array_equal(states(begun), states(again))


def test_a_sweep_cannot_be_continued_as_one(grid, refused):
    refused(lambda: simulated(paths=9, start=grid), "start", "member")


# --- sweeps -----------------------------------------------------------------------------------------------------------

SWEPT = {"paths": 9, "dt": 0.01, "burn_in": 0.05, "duration": 0.1, "observations": 2, "threads": 1}


@pytest.mark.parametrize("common", [False, True])
def test_a_member_of_a_sweep_is_the_equilibrium_of_its_model(common):
    models = [NETWORK.changed(kappa=kappa) for kappa in (0.5, 1.0, 2.0)]
    tree = dlnmc.sweep(models, common_noise=common, seed=5, **SWEPT)
    for index, model in enumerate(models):
        alone = dlnmc.equilibrium(model, seed=5 if common else member_seed(5, index), **SWEPT)
        swept = tree["samples"].singular_values.sel(kappa=model.kappa)
        assert swept.to_numpy().tobytes() == alone["samples"].singular_values.to_numpy().tobytes()
        counts = tree["histogram"].counts.sel(kappa=model.kappa)
        assert np.array_equal(counts, alone["histogram"].counts)


def test_seeds_of_members_differ_and_the_first_is_the_sweeps():
    seeds = [member_seed(seed, index) for seed in (0, 1, 2**64 - 1) for index in range(50)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**64 for seed in seeds)
    assert member_seed(7, 0) == 7


def test_an_incomplete_grid_is_refused_before_anything_is_run(refused, monkeypatch):
    def never(*args, **settings):
        raise AssertionError("a run was started")

    monkeypatch.setattr(simulation, "execute", never)
    corners = [NETWORK.changed(depth=depth, kappa=kappa) for depth, kappa in ((1.0, 1.0), (2.0, 1.0), (1.0, 0.5))]
    refused(lambda: dlnmc.sweep(corners, **SWEPT), "3 models", "grid", "depth, kappa")
    refused(lambda: dlnmc.sweep([NETWORK, NETWORK], **SWEPT), "grid")
    refused(lambda: dlnmc.sweep([NETWORK, DYSON], **SWEPT), "one class")
    refused(lambda: dlnmc.sweep([], **SWEPT))
    other = NETWORK.changed(kappa=0.5, energy=dlnmc.Polynomial((1.0, 1.0)))
    refused(lambda: dlnmc.sweep([NETWORK, other], **SWEPT), "one energy")


@pytest.mark.parametrize(
    ("settings", "pieces"),
    [
        ({"path": 3}, ("'path'", "did you mean 'paths'")),
        ({"seed": -1}, ("seed = -1",)),
        ({"seed": 1.5}, ("seed = 1.5",)),
        ({"seed": "1"}, ("seed = '1'",)),
        ({"model": NETWORK}, ("'model'",)),
        ({"first_step": 3}, ("'first_step'",)),
        ({"start": "lwa"}, ("start = 'lwa'",)),
        ({"threads": 0}, ("threads = 0",)),
    ],
    ids=str,
)
def test_bad_settings_of_a_sweep_are_refused(settings, pieces, refused):
    refused(lambda: dlnmc.sweep([NETWORK, NETWORK.changed(kappa=0.5)], **SWEPT | settings), *pieces)


# --- stopping and resuming --------------------------------------------------------------------------------------------


class Counted:
    """run_chunk, noting which chunks it computed."""

    def __init__(self, monkeypatch):
        self.chunks = []
        monkeypatch.setattr(work, "run_chunk", self)

    def __call__(self, member, chunk, *rest):
        result = chunks.run_chunk(member, chunk, *rest)
        self.chunks.append(chunk)
        return result


class Trouble(Exception):
    pass


@pytest.mark.parametrize("stop", [KeyboardInterrupt, Trouble])
@pytest.mark.parametrize("after", [1, 4])
def test_an_interrupted_run_is_continued_with_its_missing_chunks_only(
    stop, after, member, arrays_of, same_bits, small_chunks, monkeypatch, tmp_path
):
    members = [member(paths=60), member(DYSON, paths=20)]
    reference = arrays_of(*members)
    small_chunks(monkeypatch)
    plan = plan_chunks(members)
    save = ChunkStore.save
    saved = []

    def fail(store, chunk, arrays):
        if len(saved) == after:
            raise stop
        save(store, chunk, arrays)
        saved.append(chunk)

    with monkeypatch.context() as patch:
        patch.setattr(ChunkStore, "save", fail)
        with pytest.raises(Interrupted if stop is KeyboardInterrupt else stop) as caught:
            arrays_of(*members, threads=2, parts=tmp_path / "parts")
    if stop is KeyboardInterrupt:
        text = str(caught.value)
        assert f"{after} of {len(plan)} chunks" in text  # what is on disk, no more
        assert str(tmp_path / "parts") in text
        assert len(text.splitlines()) == 1
    assert len(list((tmp_path / "parts").glob("*.chunk"))) == after
    counted = Counted(monkeypatch)
    for result, expected in zip(arrays_of(*members, threads=2, parts=tmp_path / "parts"), reference, strict=True):
        same_bits(result, expected)
    assert sorted(counted.chunks) == sorted(set(plan) - set(saved))
    counted.chunks.clear()
    for result, expected in zip(arrays_of(*members, parts=tmp_path / "parts"), reference, strict=True):
        same_bits(result, expected)
    assert counted.chunks == []


def test_damaged_chunks_are_computed_again(member, arrays_of, same_bits, small_chunks, monkeypatch, tmp_path):
    run = member(paths=60)
    small_chunks(monkeypatch)
    reference = arrays_of(run, parts=tmp_path)
    files = sorted(tmp_path.glob("*.chunk"))
    content = files[0].read_bytes()
    files[0].write_bytes(content[:-1])
    files[1].write_bytes(b"a foreign file\n")
    files[2].write_bytes(bytearray(content[:200]) + bytes([content[200] ^ 1]) + content[201:])
    files[3].unlink()
    before = [file.read_bytes() for file in files[4:]]
    counted = Counted(monkeypatch)
    same_bits(arrays_of(run, parts=tmp_path), reference)
    assert len(counted.chunks) == 4
    assert [file.read_bytes() for file in files[4:]] == before
    assert files[0].read_bytes() == content


def test_chunks_that_changed_places_are_computed_again(
    member, arrays_of, same_bits, small_chunks, monkeypatch, tmp_path
):
    run = member(paths=60)
    small_chunks(monkeypatch)
    reference = arrays_of(run, parts=tmp_path)
    one, other = sorted(tmp_path.glob("*.chunk"))[1:3]
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    same_bits(arrays_of(run, parts=tmp_path), reference)


def test_a_run_that_is_cut_differently_when_continued_is_the_same(
    member, arrays_of, same_bits, small_chunks, monkeypatch, tmp_path
):
    """As when a new version changes the size of chunks; kernels, settings and machine are the same."""
    run = member(paths=60)
    reference = arrays_of(run)
    small_chunks(monkeypatch, blocks=3)
    arrays_of(run, parts=tmp_path)
    small_chunks(monkeypatch, blocks=2)
    same_bits(arrays_of(run, parts=tmp_path), reference)


def long_member(member):
    """Minutes of work in one chunk."""
    return member(NETWORK.changed(width=64), paths=8, dt=1e-4, burn_in=1e3, duration=1.0)


@pytest.mark.parametrize("parts", [False, True])
def test_ctrl_c_ends_a_run_within_a_second(parts, member, tmp_path, refused):
    run = long_member(member)
    execute([member(NETWORK.changed(width=64), paths=8)], threads=1, progress=False)  # compiled
    sent = []

    def interrupt():
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.7, interrupt)
    timer.start()
    folder = tmp_path / "parts"
    store = ChunkStore.opened(folder, [run, run]) if parts else None
    text = refused(
        lambda: execute([run, run], threads=2, progress=False, store=store), "interrupted: 0 of", error=Interrupted
    )
    assert time.monotonic() - sent[0] < 1.0
    assert (str(folder) in text) if parts else ("nothing was kept" in text)
    timer.join()


CHILD = """
import threading, time
from dlnmc import DeepLinearNetwork
from dlnmc.config import Equilibrium
from dlnmc.simulation import execute, prepared
model = DeepLinearNetwork(64, 2.0, 3.0)
member = prepared(Equilibrium, {"model": model, "paths": 8, "dt": 1e-4, "burn_in": 1e3}, None)
short = prepared(Equilibrium, {"model": model, "paths": 8, "dt": 1e-4, "burn_in": 0.0, "duration": 1e-3}, None)
execute([short], threads=2, progress=False)  # compiled
threading.Timer(0.5, lambda: print("running", flush=True)).start()
execute([member, member], threads=2, progress=False)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for a child process")
def test_ctrl_c_ends_a_process_within_a_second_and_says_what_was_kept():
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "running\n"
        child.send_signal(signal.SIGINT)
        sent = time.monotonic()
        _, errors = child.communicate(timeout=20)
        assert time.monotonic() - sent < 1.5
        assert child.returncode != 0
        assert re.search(r"Interrupted: interrupted: 0 of \d+ chunks were done; nothing was kept", errors)
    finally:
        child.kill()


# --- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blocks", [1, 100])
def test_a_path_that_becomes_infinite_is_named_with_its_step(blocks, refused, small_chunks, monkeypatch):
    """With dt = 10 a confined particle at x moves to −9x: from 1e300 it leaves the numbers at step 8, from 1 never."""
    small_chunks(monkeypatch, blocks)
    start = np.tile([-1.0, 0.5, 1.0], (21, 1))
    start[13, 2] = 1e300
    start[17, 2] = 1e305
    model = dlnmc.DysonBrownianMotion(3, 3.0)
    text = refused(
        lambda: simulated(model, paths=21, start=start, dt=10.0, times=[200.0], threads=2),
        "non-finite", "dt = 10", "smaller dt",
        error=RunFailed,
    )  # fmt: skip
    assert "path 13 at step 8 " in text or "path 17 at step 3 " in text  # a run stops soon after the first
    assert re.search(r"[12] of \d+ paths so far", text)


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        (NETWORK, {"start": [1, 2, 3, 4, 1e200]}),
        (NETWORK, {"dt": 1e200, "times": [1e202]}),
        (NETWORK.changed(depth=7.0), {"dt": 100.0, "times": [1e4]}),
        (DYSON, {"dt": 1e200, "times": [1e202]}),
        (NETWORK, {"coordinates": "sigma", "scheme": "milstein", "dt": 100.0, "times": [1e5]}),
    ],
)
def test_runs_that_cannot_work_fail_and_say_what_to_change(model, settings, refused):
    refused(lambda: simulated(model, **settings), "path 0 at step", "smaller dt", error=RunFailed)


def test_a_failing_path_does_not_touch_its_neighbours(paths_of):
    """The seven paths of the same register go on as if nothing had happened."""
    start = np.tile([-1.0, 0.5, 1.0], (8, 1))
    model = dlnmc.DysonBrownianMotion(3, 3.0)
    one = chunks.Chunk(0, 0, 1)
    good = paths_of(model, start, paths=8)
    start[3, 2] = 1e308
    bad = paths_of(model, start, paths=8, dt=10.0)
    good = paths_of(model, good.given, paths=8, dt=10.0)
    healthy, failed = (chunks.run_chunk(m, one, lambda: False, lambda work: None) for m in (good, bad))
    others = np.arange(8) != 3
    assert np.array_equal(healthy["samples"][others], failed["samples"][others])
    assert np.array_equal(healthy["tally"][others], failed["tally"][others])
    assert blocks_of(good.run) == 1


@pytest.mark.parametrize("depth", [1.0, 2.0, 8.0, 30.0, 100.0, math.inf])
@pytest.mark.parametrize("width", [2, 16])
@pytest.mark.parametrize("scheme", ["euler_maruyama", None])
def test_default_steps_are_stable_at_every_depth(depth, width, scheme):
    """`dt` left out is a sound value: no path fails in a short run from the random start."""
    model = dlnmc.DeepLinearNetwork(width, depth, float(width), 1.0 if math.isfinite(depth) else 0.2)
    tree = dlnmc.equilibrium(model, paths=64, burn_in=1.0, duration=0.5, observations=2, scheme=scheme)
    assert np.all(np.isfinite(tree["samples"].singular_values))


# --- what a run costs -------------------------------------------------------------------------------------------------


def test_memory_does_not_grow_with_the_number_of_steps(member, arrays_of):
    def peak(run):
        arrays_of(run)
        tracemalloc.start()
        arrays_of(run)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    few, many = peak(member(dt=0.01)), peak(member(dt=0.01 / 400))
    assert many < few + 50_000  # 400 times the steps; one state of 8 bytes per step and path would be 900,000


def test_progress_is_shown_only_when_asked_for(capfd):
    simulated()
    assert capfd.readouterr().err == ""
    simulated(progress=True)
    assert "100%" in capfd.readouterr().err


def test_paths_that_may_fail_are_counted_and_left_out():
    """From 1e300 a confined particle leaves the numbers at step 8 of dt = 10; 1 of 21 paths is below 10 %."""
    start = np.tile([-1.0, 0.5, 1.0], (21, 1))
    start[13, 2] = 1e300
    settings = {"paths": 21, "start": start, "dt": 10.0, "times": [200.0], "threads": 1}
    model = dlnmc.DysonBrownianMotion(size=3, beta=3.0)
    result = simulated(model, **settings, failed_fraction=0.1)
    assert np.flatnonzero(result.status).tolist() == [13]
    assert result.failed_step[13] == 8
    assert np.flatnonzero(np.isnan(result.eigenvalues).any(["time", "component"])).tolist() == [13]


def test_times_on_the_same_step_are_refused(refused):
    refused(lambda: simulated(NETWORK, paths=8, dt=0.1, times=[0.01, 0.02]), "times", "0.01", "dt = 0.1")


def test_a_result_of_another_model_is_no_start(refused):
    paths = simulated(NETWORK, paths=8, dt=0.1, times=[0.1])
    refused(lambda: simulated(DYSON, paths=8, dt=0.1, times=[0.1], start=paths), "start", "deep_linear_network")


# --- histograms in time -----------------------------------------------------------------------------------------------


@ALL_MODELS
def test_histograms_in_time_are_those_of_the_states(model):
    data = simulated(model, paths=21, times=[0.0, 0.05, 0.1], bins=32)
    values = np.sort(states(data), axis=-1) / math.sqrt(5 / 3.0)
    edges = data.edges.to_numpy()
    assert data.counts.dims == ("time", "batch", "bin")
    assert data.counts.dtype == np.int64
    for n in range(3):
        for batch in range(3):  # 21 paths are batches of 8, 8 and 5
            own = values[8 * batch : 8 * batch + 8, n].ravel()
            found, _ = np.histogram(own[own < edges[-1]], edges)
            assert data.counts[n, batch].values.tolist() == found.tolist()
            assert data.underflow[n, batch] == np.sum(own < edges[0])
            assert data.overflow[n, batch] == np.sum(own >= edges[-1])
            assert data.counted[n, batch] == own.size
    assert data.counts.sum() + data.underflow.sum() + data.overflow.sum() == 21 * 5 * 3


def test_histograms_need_no_kept_states():
    settings = {"paths": 21, "times": [0.0, 0.1], "bins": 32}
    kept, thrown = simulated(**settings), simulated(keep_samples=False, **settings)
    assert "singular_values" not in thrown
    assert "counts" not in simulated()
    assert thrown.drop_attrs().identical(kept.drop_vars(["singular_values", "rank"]).drop_attrs())


@pytest.mark.parametrize(
    ("model", "start", "times"),
    [
        (DYSON.changed(energy="none"), "zero", [0.0, 0.5, 2.0, 8.0]),
        (NETWORK, START * 10, [0.01, 0.1]),
        (NETWORK.changed(kappa=0.0), START, [0.0, 0.5]),
        (NETWORK.changed(kappa=0.0, beta=math.inf), START, [0.0, 0.5]),
    ],
)
def test_histograms_in_time_cover_what_happens(model, start, times):
    """Free motion spreads, and a start may be anywhere: the range holds both."""
    data = simulated(model, paths=64, start=start, times=times, bins=64)
    assert data.counted.sum("batch").values.tolist() == [64 * 5] * len(times)
    outside = int(data.underflow.sum() + data.overflow.sum())
    assert outside <= 0.02 * int(data.counted.sum())
    used = data.counts.sum(["time", "batch"]).to_numpy()
    assert np.sum(used > 0) >= 5  # and is not so wide that all is in a few bins


def test_a_failed_path_is_not_counted():
    start = np.tile([-1.0, 0.5, 1.0], (21, 1))
    start[13, 2] = 1e300
    model = dlnmc.DysonBrownianMotion(size=3, beta=3.0)
    settings = {"paths": 21, "start": start, "dt": 10.0, "times": [50.0, 200.0], "failed_fraction": 0.1}
    data = simulated(model, bins=16, **settings)
    assert data.counted.sum("batch").values.tolist() == [63, 60]
