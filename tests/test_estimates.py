"""What a run will take: arithmetic with a clock and kernels of the test's own, bytes against those of real runs."""

import itertools
import json
import math
import shutil
import subprocess
import sys
import threading
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dlnmc
from dlnmc import estimates, machine, runs, studies
from dlnmc.chunks import blocks_of, costs_of, plan_chunks, work_of_block
from dlnmc.config import Equilibrium
from dlnmc.estimates import Estimate, estimate, refuse_more_than_disk, refuse_more_than_memory
from dlnmc.simulation import prepared

GIB = 2**30
NETWORK = dlnmc.DeepLinearNetwork(width=5, depth=2.0, beta=3.0)


def equilibrium(**values):
    """One described run, of which nothing is computed."""
    plan = {"model": NETWORK, "scheme": "euler_maruyama", "dt": 0.01, "burn_in": 1.0, "duration": 4.0}
    return prepared(Equilibrium, plan | values, None)


def widths(*sizes, **values):
    return [equilibrium(model=NETWORK.changed(width=width), **values) for width in sizes]


class Kernels:
    """Kernels that compute nothing and take known seconds for a step of a block, after compiling for a minute.

    Time is that of each thread. `calls` holds, for each kernel, the run, the number of blocks and the ranges of steps.
    """

    def __init__(self, seconds):
        self.seconds, self.calls, self.clock = seconds, [], threading.local()

    def cost(self, run, from_step, to_step):
        return self.seconds(run) * (to_step - from_step)

    def perf_counter(self):
        return getattr(self.clock, "now", 0.0)

    def prepared_call(self, member, chunk):
        ranges = []
        self.calls.append((member, chunk.blocks, ranges))

        def call(from_step, to_step):
            compiling = 60.0 if len(ranges) < 2 else 0.0
            ranges.append((from_step, to_step))
            cost = self.cost(member.run, from_step, to_step) * chunk.blocks
            self.clock.now = self.perf_counter() + compiling + cost

        return call, None, None


@pytest.fixture
def kernels(monkeypatch):
    """Function: replace the clock and the kernels, which take `seconds(run)` for a step of a block; four processors."""

    def replace(seconds):
        fake = Kernels(seconds)
        monkeypatch.setattr(estimates, "prepared_call", fake.prepared_call)
        monkeypatch.setattr(estimates, "time", SimpleNamespace(perf_counter=fake.perf_counter))
        monkeypatch.setattr(machine, "processors", lambda: 4)
        return fake

    return replace


# --- time -------------------------------------------------------------------------------------------------------------


def block_seconds(run):
    return 1e-5 * run.model.size


@pytest.mark.parametrize(("threads", "working"), [(1, 1), (2, 2), (4, 4), (16, 4)])
def test_time_is_that_of_all_steps_shared_by_the_threads_that_can_work(kernels, threads, working):
    kernels(block_seconds)
    members = widths(4, 6, 9, paths=65529)
    expected = sum(block_seconds(m.run) * costs_of(m.run).steps * blocks_of(m.run) for m in members) / working
    found = estimate(members, threads)
    assert found.seconds == pytest.approx(expected, rel=1e-9)
    assert (found.runs, found.paths, found.threads) == (3, 3 * 65529, threads)
    assert found.steps == sum(65529 * costs_of(member.run).steps for member in members)
    assert found.work == sum(work_of_block(member.run) * blocks_of(member.run) for member in members)


def test_one_chunk_keeps_one_thread_busy(kernels):
    kernels(block_seconds)
    members = widths(4, paths=8)
    assert len(plan_chunks(members)) == 1
    assert estimate(members, 4).seconds == pytest.approx(estimate(members, 1).seconds)


def test_a_flow_whose_first_steps_are_hard_is_not_taken_to_be_so_throughout(kernels, paths_of):
    """Steps of gradient flows adapt: the first takes as long as a thousand of the others."""
    flow = paths_of(NETWORK.changed(kappa=0.0), scheme="gradient_flow", state="matrix", dt=0.01, times=(10.0,))
    fake, steps = kernels(block_seconds), costs_of(flow.run).steps
    fake.cost = lambda run, a, b: block_seconds(run) * (b - a + 999 * (a == 0))
    found = estimate([flow], 1).seconds
    assert found == pytest.approx(block_seconds(flow.run) * (steps + 999) * blocks_of(flow.run), rel=0.01)
    assert found < 0.1 * block_seconds(flow.run) * 1000 * steps * blocks_of(flow.run)  # at the rate of the first


def test_what_is_done_takes_no_more_time(kernels):
    kernels(block_seconds)
    members = widths(4, 6, paths=4096)
    whole = estimate(members, 2)
    assert estimate(members, 2, done=0.75 * whole.work).seconds == pytest.approx(0.25 * whole.seconds)
    assert estimate(members, 2, done=whole.work).seconds == 0.0
    assert estimate(members, 2, done=1.01 * whole.work).seconds == 0.0


@pytest.mark.parametrize("count", [1, 3, 8, 9, 40])
@pytest.mark.parametrize("seconds", [1e-6, 1e-4])
def test_measuring_takes_a_second_whatever_the_number_of_members(kernels, count, seconds):
    fake = kernels(lambda run: seconds)
    estimate(widths(*range(4, 4 + count), paths=10**6, dt=1e-6), 1)
    assert len(fake.calls) == min(count, estimates.MEASURED)
    measured = sum(
        seconds * blocks * sum(to - from_step for from_step, to in ranges[2:]) for _, blocks, ranges in fake.calls
    )
    assert 0.9 * estimates.SECONDS < measured < 1.5 * estimates.SECONDS


def test_members_between_those_measured_go_at_the_rate_of_their_neighbours(kernels):
    """A kernel that takes as long as its work says: then it does not matter which are measured."""
    kernels(lambda run: 1e-9 * work_of_block(run) / costs_of(run).steps)
    members = widths(*range(30, 4, -1), paths=10**6)
    assert estimate(members, 2).seconds == pytest.approx(0.5e-9 * estimate(members, 2).work, rel=1e-9)


@pytest.mark.parametrize(("size", "few"), [(40, 2), (2, 40)])
def test_a_study_of_runs_of_several_kinds_goes_at_the_rate_of_each(kernels, paths_of, size, few):
    """Flows of matrices that take a thousand times as long for their work as the equilibria beside them."""

    def seconds(run):
        return 1e-9 * work_of_block(run) / costs_of(run).steps * (1000.0 if run.scheme == "gradient_flow" else 1.0)

    fake = kernels(seconds)
    flow = NETWORK.changed(kappa=0.0)
    flows = [
        paths_of(flow.changed(width=2 + k), scheme="gradient_flow", state="matrix", dt=0.01, times=(10.0,))
        for k in range(few)
    ]
    members = widths(*range(4, 4 + size)) + flows
    expected = sum(seconds(m.run) * costs_of(m.run).steps * blocks_of(m.run) for m in members)
    assert estimate(members, 1).seconds == pytest.approx(expected, rel=1e-9)
    assert len(fake.calls) == 2 + estimates.MEASURED


def test_steps_are_measured_all_over_a_run_so_that_observations_are_among_them(kernels):
    fake = kernels(lambda run: 1e-3)
    member = equilibrium(paths=8, dt=1e-5)
    steps = costs_of(member.run).steps
    estimate([member], 1)
    ((_, _, (nothing, first, *ranges)),) = fake.calls
    assert (nothing, first) == ((0, 0), (0, 1))
    assert {from_step * estimates.PIECES // steps for from_step, _ in ranges} == set(range(estimates.PIECES))
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(ranges))


def test_a_short_run_is_measured_whole(kernels):
    fake = kernels(lambda run: 1e-6)
    member = equilibrium(paths=8, burn_in=0.1, duration=0.2)
    estimate([member], 1)
    ranges = fake.calls[0][2][2:]
    assert [step for pair in ranges for step in range(*pair)] == list(range(costs_of(member.run).steps))


@pytest.mark.parametrize(
    "values",
    [
        {"model": NETWORK.changed(width=2**15, depth=30.0)},
        {"model": NETWORK.changed(width=2**10), "scheme": "hmc", "leaps": 4096},
        {"model": dlnmc.DeepLinearNetwork(width=2**11, depth=2.0, beta=1.0), "state": "matrix"},
        {"model": dlnmc.DysonBrownianMotion(size=2**11, beta=1.0), "state": "hermitian"},
    ],
)
def test_something_smaller_stands_for_a_model_of_which_a_step_takes_too_long(kernels, values):
    fake = kernels(lambda run: 1e-9 * work_of_block(run) / costs_of(run).steps)
    member = equilibrium(**values, paths=8)
    found = estimate([member], 1)
    ((tried, blocks, _),) = fake.calls
    assert work_of_block(tried.run) / costs_of(tried.run).steps < 0.5e9
    assert blocks == 1
    assert found.seconds == pytest.approx(1e-9 * found.work, rel=1e-9)
    assert tried.run.kind == "equilibrium"


def test_sums_that_cost_as_much_as_their_number_are_measured_at_full_size(kernels):
    fake = kernels(lambda run: 1e-3)
    estimate([equilibrium(model=NETWORK.changed(width=2**15), paths=8)], 1)
    assert fake.calls[0][0].run.model.size == 2**15


def test_given_starts_are_cut_to_the_size_that_stands_for_a_large_one(kernels, member, paths_of):
    fake = kernels(lambda run: 1e-3)
    wide = NETWORK.changed(width=2**14, depth=30.0)
    estimate([member(wide, start=np.linspace(0.1, 1.0, 2**14))], 1)
    whole = NETWORK.changed(width=600, kappa=0.0)
    flow = {"scheme": "gradient_flow", "state": "matrix", "dt": 0.1}
    estimate([paths_of(whole, start=np.eye(600), **flow)], 1)
    (values, _, _), (matrices, _, _) = fake.calls
    assert values.given.shape == (values.run.model.size,)
    assert matrices.given is None
    assert matrices.run.start == "gaussian"


@pytest.mark.parametrize(
    "make",
    [
        lambda member, paths_of: [member(), member(NETWORK.changed(depth=3.0))],
        lambda member, paths_of: [member(scheme="hmc", dt=None, duration=1.0)],
        lambda member, paths_of: [member(observables={"last": last}, bins=None)],
        lambda member, paths_of: [paths_of(start=np.arange(1.0, 6.0), bins=7, keep_samples=False)],
        lambda member, paths_of: [paths_of(dlnmc.DysonBrownianMotion(size=3, beta=2.0), start="zero", times=(0.0,))],
        lambda member, paths_of: [paths_of(NETWORK.changed(kappa=0.0), scheme="gradient_flow", state="matrix")],
        lambda member, paths_of: [member(dlnmc.DysonBrownianMotion(size=3, beta=2.0), state="hermitian")],
    ],
)
def test_every_kind_of_run_has_an_estimate(make, member, paths_of):
    found = estimate(make(member, paths_of), 2)
    assert all(0 < figure < math.inf for figure in found)


def last(x):
    return x[-1]


def test_an_estimate_changes_no_bit_of_the_run_that_follows(member, arrays_of, same_bits):
    before = arrays_of(member())
    estimate([member()], 2)
    same_bits(arrays_of(member()), before)


@pytest.mark.parametrize(
    ("figures", "text"),
    [
        (
            (4, 16384, 2, 1.2e9, 1.0, 45.2, 0.125 * GIB, 0.0804 * GIB),
            "4 runs, 16,384 paths, 1.2e+09 path steps: about 45 s on 2 threads, 128 MiB of memory, 82.3 MiB of disk",
        ),
        (
            (1, 1, 1, 999, 1.0, 0.0123, 5000.0, 2.5 * GIB),
            "1 run, 1 path, 1e+03 path steps: about 0.012 s on 1 thread, 4.88 kiB of memory, 2.5 GiB of disk",
        ),
        (
            (1, 2**40, 64, 1e20, 1.0, 1e11, 2.0**63, 1023.9 * 2**20),
            "1 run, 1,099,511,627,776 paths, 1e+20 path steps: about 1,200,000 days on 64 threads, 8,390,000 TiB of "
            "memory, 1 GiB of disk",
        ),
    ],
)
def test_an_estimate_is_one_line(figures, text):
    assert Estimate(*figures).as_text() == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 s"), (59.0, "59 s"), (90.0, "1.5 min"), (3599.0, "60 min"), (7200.0, "2 h"), (2e6, "23 days")],
)
def test_times_are_in_the_unit_that_suits_them(seconds, text):
    assert f"about {text} on" in Estimate(1, 8, 2, 8, 1.0, seconds, 1e6, 1e6).as_text()


# --- memory and disk, against real runs -------------------------------------------------------------------------------

SCRIPT = """
import gc
import json
import pathlib
import resource
import sys

import dlnmc
from dlnmc import estimates, studies

def peak():
    if sys.platform == "linux":  # where getrusage also counts the process that this one was started by
        return 1024 * int(pathlib.Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

def go(run, depths, output):
    plan = dict(dt=1e-4, burn_in=0.0, duration=run["draws"] * 1e-4, observations=run["draws"])
    model = dict(width=32, depth=depths, beta=32.0)
    study = dict(kind="semicircle", title="a test", ks=[0.1] * len(depths))
    tables = dict(model=model, run=run | plan | dict(scheme="euler_maruyama"), study=study)
    dlnmc.study(tables, output, threads=2, progress=False)
    return estimates.estimate(studies.load(tables).members(), 2).memory

run, depths, folder = json.loads(sys.argv[1])
go(run | dict(paths=64), depths, folder + "/few.nc")
gc.collect()
idle = peak()
needed = go(run, depths, folder + "/many.nc")
print(peak() - idle, needed)
"""


IN_PROCESSES = """
import multiprocessing, pathlib
import dlnmc
from dlnmc.executors.processes import ProcessPool

submit = ProcessPool.submit

def submitted(self, task):
    future = submit(self, task)
    if task.first_block > 100:
        for process in multiprocessing.active_children():
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            sizes[process.pid] = status.partition("VmHWM:")[2].split()[0]
    return future

sizes, ProcessPool.submit = {}, submitted
model = dlnmc.DeepLinearNetwork(width=16, depth=2.0, beta=16.0)
run = dict(paths=8192, dt=1e-3, burn_in=1.0, duration=1.0, threads=2, executor="processes")
dlnmc.equilibrium(model, keep_samples=False, **run)
print(*sizes.values())
"""


@pytest.mark.parametrize(
    ("run", "depths"),
    [
        pytest.param({"paths": 16384, "draws": 48}, [2.0], marks=pytest.mark.slow),  # 200 MB of samples
        pytest.param({"paths": 16384, "draws": 16}, [1.0, 2.0, 3.0], marks=pytest.mark.slow),
        pytest.param({"paths": 300_000, "draws": 2, "keep_samples": False}, [2.0], marks=pytest.mark.slow),
    ],
)
def test_the_peak_of_memory_is_at_most_the_estimate_and_not_far_below(run, depths, tmp_path):
    arguments = json.dumps([run, depths, str(tmp_path)])
    command = [sys.executable, "-c", SCRIPT, arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=900)
    peak, needed = map(float, done.stdout.split())
    assert needed / 3 <= peak <= needed


@pytest.mark.parametrize(
    "run",
    [
        {"draws": 8, "observations": 8},
        {"state": "matrix", "draws": 2, "observations": 2, "paths": 1000},
        {"bins": 5_000},
    ],
)
def test_files_take_at_most_the_estimate_of_disk_and_at_least_half(run, tmp_path, monkeypatch):
    sizes = []

    def measured(parts):
        sizes.append(sum(file.stat().st_size for file in (*parts.iterdir(), tmp_path / "result.nc")))

    monkeypatch.setattr(runs, "remove_parts", measured)
    plan = {"dt": 0.01, "burn_in": 0.0, "duration": 0.08, "scheme": "euler_maruyama", "paths": 5000} | run
    tables = {"model": {"width": 24, "depth": [2.0, 3.0], "beta": 24.0}, "run": plan, "study": {"ks": [1.0, 1.0]}}
    dlnmc.study(tables, tmp_path / "result.nc", threads=2, progress=False)
    needed = estimate(studies.load(tables).members(), 2).disk
    least = 0.5 if run.keys() != {"bins"} else 0.05  # counts are few, and compressed
    assert least * needed <= sizes[0] <= needed


def test_processes_take_memory_of_their_own_and_what_a_cluster_computes_takes_none_here(member):
    members = [member(paths=10**6, draws=4, observations=4)]
    threads, processes, cluster = (
        estimate(members, 4, executor=own).memory for own in (None, "processes", "tcp://h:1")
    )
    assert processes == pytest.approx(threads + 4 * estimates.PROCESS)
    assert cluster == estimate(members, 1).memory < threads


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux tells of processes")
def test_a_process_takes_at_most_the_memory_that_is_set_aside_for_it(tmp_path):
    found = subprocess.run(
        [sys.executable, "-c", IN_PROCESSES], capture_output=True, text=True, check=True, timeout=300
    )
    sizes = [1024 * int(size) for size in found.stdout.split()]
    assert len(sizes) == 2
    assert estimates.PROCESS / 3 <= max(sizes) <= estimates.PROCESS


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def limits(monkeypatch):
    """Function: this process may have so many bytes of memory, and as many of disk."""

    def limit(size):
        monkeypatch.setattr(machine, "memory", lambda: size)
        monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=size, total=size))

    return limit


def on_disk(folder):
    return lambda members: refuse_more_than_disk(members, folder)


def in_memory(members):
    refuse_more_than_memory(members, 2)


def named_paths(text):
    """The number of paths that a refusal says would fit."""
    return int(text.partition("; ")[2].partition("paths = ")[2].split()[0])


def with_paths(members, paths, **values):
    return [member._replace(run=member.run.changed(paths=paths, **values)) for member in members]


@pytest.mark.parametrize("where", ["memory", "disk"])
@pytest.mark.parametrize("paths", [10**8, 10**9, 2**40])
@pytest.mark.parametrize("sizes", [(5,), (5, 9, 64)])
def test_the_number_of_paths_that_a_refusal_names_fits_and_the_double_does_not(
    where, paths, sizes, limits, refused, tmp_path
):
    limits(7 * GIB)
    refuse = in_memory if where == "memory" else on_disk(tmp_path)
    members = widths(*sizes, paths=paths, draws=2, observations=4)
    text = refused(lambda: refuse(members), f"paths = {paths}: ", "GiB, and there are 7 GiB", " would fit, ")
    most = named_paths(text)
    refuse(with_paths(members, most))
    refused(lambda: refuse(with_paths(members, 2 * most)), f"paths = {2 * most}")
    unkept = int(text.split()[-1])  # fewer than that many are not enough even without samples
    assert "or with keep_samples = false paths = " in text
    refuse(with_paths(members, unkept, keep_samples=False))
    refused(lambda: refuse(with_paths(members, 2 * unkept, keep_samples=False)), "GiB")


@settings(deadline=None, max_examples=100)
@given(
    size=st.integers(1, 400),
    draws=st.integers(1, 2**10),
    each=st.integers(1, 2**6),
    bins=st.none() | st.integers(1, 2**20),
    keep=st.booleans(),
    paths=st.integers(1, 2**40),
    room=st.floats(1e6, 1e15),
    threads=st.integers(1, 300),
    where=st.sampled_from(["memory", "disk"]),
)
def test_refusals_of_every_size_name_what_fits(
    size, draws, each, bins, keep, paths, room, threads, where, tmp_path_factory
):
    folder = tmp_path_factory.getbasetemp()
    plan = {"draws": draws, "observations": draws * each, "bins": bins, "keep_samples": keep, "dt": 1e-6}
    members = widths(size, size + 1, paths=paths, **plan)

    def answer(members):
        try:
            if where == "memory":
                refuse_more_than_memory(members, threads)
            else:
                refuse_more_than_disk(members, folder)
        except dlnmc.InvalidValue as error:
            return str(error)
        return ""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "memory", lambda: room)
        patch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=room, total=room + 1))
        text = answer(members)
        if not text:
            return
        assert len(text.splitlines()) == 1
        advice = text.partition("; ")[2]
        if advice.startswith("paths = "):
            most = named_paths(text)
            assert not answer(with_paths(members, most))
            assert 2 * most > paths or answer(with_paths(members, 2 * most))
        else:
            assert answer(with_paths(members, 1))
        if advice.endswith(("keep_samples = false", "keep_samples = false would fit")):
            assert not answer(with_paths(members, paths, keep_samples=False))
        if "not even one path" in advice:
            assert answer(with_paths(members, 1, keep_samples=False))


def test_runs_that_fit_without_their_samples_are_told_so(limits, refused):
    limits(GIB)
    members = widths(50, paths=10**5, draws=64)
    text = refused(lambda: in_memory(members), "would fit, or keep_samples = false")
    assert text.endswith("false")
    in_memory(with_paths(members, 10**5, keep_samples=False))


def test_where_not_one_path_fits_other_settings_are_named(limits, refused, paths_of):
    limits(GIB)
    run = equilibrium(bins=2**20, keep_samples=False, model=NETWORK.changed(width=2**24, depth=2.0))
    refused(lambda: in_memory([run]), "not even one path", "fewer bins", "a smaller width")
    times = paths_of(dlnmc.DysonBrownianMotion(size=5, beta=1.0), times=tuple(np.arange(1.0, 300.0)), bins=2**18)
    refused(lambda: in_memory([times]), "not even one path", "fewer times", "fewer bins", "a smaller size")
    kept = equilibrium(draws=2**20, observations=2**20, model=NETWORK.changed(width=4096), dt=1e-9, paths=8)
    text = refused(lambda: in_memory([kept]), "keep_samples = false would fit")
    assert text.endswith("; keep_samples = false would fit")


def test_the_free_space_is_that_of_the_nearest_folder_that_exists(monkeypatch, tmp_path, refused):
    asked = []

    def usage(place):
        asked.append(place)
        return SimpleNamespace(free=1.5 * GIB, total=2 * GIB)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    members = widths(64, paths=10**6, draws=4)
    below = tmp_path / "{not}" / "there.parts"
    refused(lambda: refuse_more_than_disk(members, below), "the result and its parts", f"1.5 GiB free at {tmp_path};")
    (tmp_path / "{not}").mkdir()
    refused(lambda: refuse_more_than_disk(members, below), f"1.5 GiB free at {tmp_path / '{not}'};")
    assert asked == [tmp_path, tmp_path / "{not}"]
    refuse_more_than_disk(with_paths(members, 1000), below)


def test_refusing_allocates_nothing_that_grows_with_paths(limits, refused):
    """Their chunks alone would be a list of 2^37."""
    limits(GIB)
    members = widths(2**12, paths=2**40)
    tracemalloc.start()
    refused(lambda: in_memory(members), "paths = 1099511627776")
    assert tracemalloc.get_traced_memory()[1] < 1e7
    tracemalloc.stop()
