"""Schedules, plans, and chunks: whole steps, every path once, the same bits however a run is cut."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dlnmc
from dlnmc import chunks
from dlnmc.chunks import BATCHES, Chunk, Collected, blocks_of, blocks_per_batch, plan_chunks, run_chunk, schedule
from dlnmc.config import Equilibrium, Simulation
from dlnmc_kernels.ordering import ALIVE, STATUS

MODEL = dlnmc.DeepLinearNetwork(width=5, depth=2.0, beta=3.0)
STANDARD = {
    "paths": 21, "dt": 0.01, "burn_in": 0.05, "duration": 0.1, "observations": 4, "start": "random", "bins": 256,
}  # fmt: skip


def steps_of(times, dt, **settings):
    return schedule(Simulation(MODEL, times=times, dt=dt, **settings)).steps.tolist()


# --- schedules --------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=200)
@given(dt=st.floats(1e-6, 1e3), step=st.integers(0, 10**9), nudge=st.sampled_from([-1, 0, 1]))
def test_rounding_errors_do_not_add_or_lose_steps(dt, step, nudge):
    time = max(math.nextafter(step * dt, nudge * math.inf) if nudge else step * dt, 0.0)
    assert steps_of((time,), dt) == [step]


@settings(deadline=None, max_examples=100)
@given(dt=st.floats(1e-3, 1e3), time=st.floats(0, 1e3))
def test_a_time_is_rounded_up_to_whole_steps(dt, time):
    (step,) = steps_of((time,), dt)
    assert step * dt >= time * (1 - 1e-11) - 1e-11 * dt
    assert (step - 1) * dt < time or step == 0


@pytest.mark.parametrize(
    ("time", "dt", "step"), [(0.3, 0.1, 3), (0.6, 0.2, 3), (0.7, 0.1, 7), (1.1, 0.1, 11), (8, 0.1, 80)]
)
def test_quotients_that_floating_point_gets_wrong(time, dt, step):
    assert steps_of((time,), dt) == [step]
    assert steps_of((time * (1 + 1e-9),), dt) == [step + 1]  # a real excess does add one


def test_draws_are_at_burn_in_and_whole_parts_of_the_duration():
    run = Equilibrium(MODEL, **STANDARD | {"burn_in": 0.3, "duration": 0.6, "dt": 0.1, "draws": 3, "observations": 6})
    plan = schedule(run)
    assert plan.steps.tolist() == [4, 5, 6, 7, 8, 9]
    assert plan.draws.tolist() == [-1, 0, -1, 1, -1, 2]
    assert (plan.first_step, plan.last_step) == (0, 9)
    plan = schedule(run.changed(first_step=100))
    assert plan.steps.tolist() == [104, 105, 106, 107, 108, 109]
    assert (plan.first_step, plan.last_step) == (100, 109)
    plan = schedule(run.changed(keep_samples=False))
    assert plan.steps.tolist() == [4, 5, 6, 7, 8, 9]
    assert set(plan.draws.tolist()) == {-1}


@pytest.mark.parametrize("observations", [1, 2, 5, 6])
def test_the_late_half_of_the_observations_is_the_larger_where_they_are_odd(observations):
    run = Equilibrium(MODEL, **STANDARD | {"observations": observations})
    halves = schedule(run).halves.tolist()
    assert halves == sorted(halves)
    assert sum(halves) == -(-observations // 2)


def test_every_time_of_a_simulation_has_its_own_slot_where_there_are_bins():
    run = Simulation(MODEL, times=(0.1, 0.2, 0.3), dt=0.1)
    assert schedule(run).slots.tolist() == [-1, -1, -1]
    assert schedule(run).draws.tolist() == [0, 1, 2]
    plan = schedule(run.changed(bins=8, keep_samples=False))
    assert plan.slots.tolist() == [0, 1, 2]
    assert plan.draws.tolist() == [-1, -1, -1]
    assert set(schedule(Equilibrium(MODEL, **STANDARD)).slots.tolist()) == {0}


def test_several_observations_may_fall_on_one_step():
    run = Equilibrium(MODEL, **STANDARD | {"dt": 0.05, "burn_in": 0.0, "duration": 0.1, "draws": 4, "observations": 4})
    plan = schedule(run)
    assert plan.steps.tolist() == [1, 1, 2, 2]
    assert plan.draws.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(("times", "dt"), [((1e300,), 0.01), ((1.0,), 1e-300), ((1.0,), 5e-324), ((1e13,), 1e-3)])
def test_more_steps_than_the_noise_has_counters_for_are_refused(times, dt, paths_of, refused):
    """The counter has 48 bits for the step; beyond them noise would repeat."""
    refused(lambda: schedule(paths_of(times=times, dt=dt).run), "dt", "steps")


def test_observations_that_do_not_fit_into_memory_are_refused_before_they_are_allocated(member, refused):
    """2^32 of them would need 100 GB; here nothing is run."""
    refused(lambda: member(observations=2**32), "observations = 4294967296")


# --- plans ------------------------------------------------------------------------------------------------------------


def assert_complete(plan, members):
    for index, member in enumerate(members):
        own = [chunk for chunk in plan if chunk.member == index]
        ends = np.cumsum([0, *(chunk.blocks for chunk in own)])
        assert [chunk.first_block for chunk in own] == ends[:-1].tolist()
        assert ends[-1] == blocks_of(member.run)
        assert all(chunk.blocks >= 1 for chunk in own)


@settings(deadline=None, max_examples=60)
@given(
    paths=st.lists(st.integers(1, 3000), min_size=1, max_size=4),
    work=st.floats(1.0, 1e10),
    smallest=st.floats(1.0, 1e10),
    at_least=st.integers(1, 100),
    memory=st.integers(1, 2**20),
)
def test_a_plan_holds_every_block_once_in_order(paths, work, smallest, at_least, memory):
    run = Equilibrium(MODEL, **STANDARD)
    members = [chunks.Member(run.changed(paths=number)) for number in paths]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "WORK_PER_CHUNK", work)
        patch.setattr(chunks, "SMALLEST_WORK", smallest)
        patch.setattr(chunks, "CHUNKS_PER_RUN", at_least)
        patch.setattr(chunks, "SAMPLES_PER_CHUNK", memory)
        assert_complete(plan_chunks(members), members)


def test_large_runs_are_cut_into_many_chunks_and_tiny_ones_are_not():
    run = Equilibrium(MODEL.changed(width=64), **STANDARD | {"paths": 4096, "burn_in": 10.0, "duration": 10.0})
    members = [chunks.Member(run), chunks.Member(run.changed(seed=1))]
    plan = plan_chunks(members)
    assert_complete(plan, members)
    assert len(plan) >= 32
    assert len(plan_chunks([chunks.Member(Equilibrium(MODEL, **STANDARD))])) == 1


@pytest.mark.parametrize("bins", [1, 256, 2**14, 2**20])
@pytest.mark.parametrize("paths", [1000, 2**20])
def test_the_memory_of_a_chunk_is_bounded(bins, paths):
    """Samples and counts of one chunk stay below 256 MB, unless a single block needs more."""
    for model in (MODEL.changed(width=1), MODEL):
        run = Equilibrium(model, **STANDARD | {"paths": paths, "bins": bins})
        for chunk in plan_chunks([chunks.Member(run)]):
            counts = chunk.blocks * (bins + 2)
            samples = chunk.blocks * 8 * model.width
            assert (counts + samples) * 8 <= 2**28 or chunk.blocks == 1


# --- chunks -----------------------------------------------------------------------------------------------------------


DYSON = dlnmc.DysonBrownianMotion(size=5, beta=3.0)
INFINITE = dlnmc.DeepLinearNetwork(width=5, depth=math.inf, beta=3.0, kappa=0.2)
RUNS = {
    "lambda": {"scheme": "leimkuhler_matthews", "observations": 8},
    "sigma": {"model": MODEL.changed(depth=1.0), "coordinates": "sigma", "observations": 8},
    "dyson": {"model": DYSON, "scheme": "euler_maruyama"},
    "mala": {"model": DYSON, "scheme": "mala"},
    "hmc with observables": {"leaps": 2, "observables": ["effective_rank", "largest_gap"], "observations": 8},
    "infinite depth": {"model": INFINITE, "scheme": "hmc", "leaps": 1},
    "coarse": {"scheme": "euler_maruyama", "refinement": 3},
}


@pytest.fixture(scope="module", params=[*RUNS, "histograms in time"])
def member_and_reference(request, member, paths_of, arrays_of):
    if request.param == "histograms in time":
        run = paths_of(paths=85, times=(0.0, 0.05, 0.1), bins=16)
    else:
        run = member(paths=85, **RUNS[request.param])
    return run, arrays_of(run)


@pytest.mark.parametrize("blocks", [1, 2, 3, 7, 100])
def test_the_size_of_chunks_changes_no_bit(member_and_reference, blocks, monkeypatch, arrays_of, same_bits):
    member, reference = member_and_reference
    monkeypatch.setattr(chunks, "SMALLEST_WORK", 1.0)
    monkeypatch.setattr(chunks, "WORK_PER_CHUNK", chunks.work_of_block(member.run) * blocks * 1.01)
    monkeypatch.setattr(chunks, "CHUNKS_PER_RUN", 1)
    assert len(plan_chunks([member])) == math.ceil(11 / blocks)
    same_bits(arrays_of(member), reference)


def test_a_chunk_goes_on_from_any_of_its_states_with_the_same_bits(member_and_reference, same_bits, monkeypatch):
    member, reference = member_and_reference
    monkeypatch.setattr(chunks, "SMALLEST_WORK", 1.0)
    monkeypatch.setattr(chunks, "CALL_SECONDS", 0.0)
    monkeypatch.setattr(chunks, "STATE_SECONDS", 0.0)
    monkeypatch.setattr(chunks, "STATE_SHARE", math.inf)
    whole = Chunk(0, 0, 11)
    kept = []

    def keep(state, fraction):
        kept.append(({name: array.copy() for name, array in state.items()}, fraction))

    run_chunk(member, whole, lambda: False, lambda work: None, None, keep)
    assert len(kept) >= 5
    fractions = [fraction for _, fraction in kept]
    assert fractions == sorted(fractions)
    assert 0.0 < fractions[0] < fractions[-1] < 1.0
    for state, fraction in kept[:: len(kept) // 4]:
        work = []
        result = run_chunk(member, whole, lambda: False, work.append, state)
        collected = Collected(member)
        collected.add(whole, result)
        same_bits(collected.arrays, reference)
        total = 11 * chunks.work_of_block(member.run)
        assert work[0] == pytest.approx(fraction * total)
        assert sum(work) == pytest.approx(total)


def test_a_chunk_that_is_told_to_stop_keeps_its_state(member, monkeypatch):
    run, kept = member(), []
    monkeypatch.setattr(chunks, "SMALLEST_WORK", 1.0)
    work = []
    stopped = run_chunk(
        run, Chunk(0, 0, 3), lambda: len(work) >= 2, work.append, None, lambda *state: kept.append(state)
    )
    assert stopped is None
    assert len(kept) == 1
    assert kept[0][1] == pytest.approx(sum(work) / (3 * chunks.work_of_block(run.run)))
    assert run_chunk(run, Chunk(0, 0, 3), lambda: True, work.append, None, lambda *state: kept.append(state)) is None
    assert len(kept) == 1  # nothing new to keep


def test_states_are_kept_the_less_often_the_longer_it_takes(member, monkeypatch):
    """So that they cost a hundredth of the time at most, also on a slow disk."""
    clock, kept = [0.0], []
    monkeypatch.setattr(chunks.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(chunks, "SMALLEST_WORK", 1.0)
    monkeypatch.setattr(chunks, "CALL_SECONDS", 0.0)

    def keep(state, fraction):
        kept.append(clock[0])
        clock[0] += 0.05

    def advanced(work):
        clock[0] += 1.0

    run_chunk(member(dt=1e-3), Chunk(0, 0, 3), lambda: False, advanced, None, keep)
    assert len(kept) > 10
    assert np.diff(kept)[0] == pytest.approx(5.05, abs=1.0)
    assert 0.05 / np.mean(np.diff(kept)) <= 0.0101


def test_the_runs_whose_bits_are_compared_have_something_to_compare(member_and_reference):
    member, reference = member_and_reference
    assert np.all(np.isfinite(reference["samples"]))
    assert reference["samples"].size > 0
    assert len(np.unique(reference["samples"][:, -1])) > 85
    assert reference["counts"].sum() > 0
    assert np.any(reference["own_sums"]) == bool(member.observables)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CHUNKS_PER_RUN", 5),
        ("SMALLEST_WORK", 1.0),
        ("SAMPLES_PER_CHUNK", 160),
        ("CALL_SECONDS", 0.0),
        ("CALL_SECONDS", 9),
    ],
)
def test_no_constant_that_is_tuned_changes_a_bit(member_and_reference, name, value, monkeypatch, arrays_of, same_bits):
    member, reference = member_and_reference
    monkeypatch.setattr(chunks, "SMALLEST_WORK", 1.0)
    monkeypatch.setattr(chunks, name, value)
    same_bits(arrays_of(member, threads=2), reference)


def test_the_order_in_which_chunks_are_computed_changes_no_bit(member_and_reference, same_bits):
    member, reference = member_and_reference
    plan = [Chunk(0, first, min(2, 11 - first)) for first in range(0, 11, 2)]
    collected = Collected(member)
    for chunk in reversed(plan):
        collected.add(chunk, run_chunk(member, chunk, lambda: False, lambda work: None))
    same_bits(collected.arrays, reference)


@pytest.mark.parametrize("paths", [1, 7, 8, 9, 84])
def test_fewer_paths_are_the_first_of_more(member_and_reference, paths, arrays_of):
    member, reference = member_and_reference
    few = arrays_of(member._replace(run=member.run.changed(paths=paths)))
    for name in ("samples", "sums", "squares", "tally", "own_sums", "own_squares"):
        assert few[name].tobytes() == reference[name][:paths].tobytes(), name


def test_a_chunk_counts_its_work_and_stops_when_told(member, monkeypatch):
    run = member()
    monkeypatch.setattr(chunks, "SMALLEST_WORK", 1.0)
    work = []
    assert run_chunk(run, Chunk(0, 0, 3), lambda: False, work.append) is not None
    assert sum(work) == pytest.approx(3 * chunks.work_of_block(run.run))
    work.clear()
    assert run_chunk(run, Chunk(0, 0, 3), lambda: len(work) >= 2, work.append) is None
    assert len(work) == 2
    assert run_chunk(run, Chunk(0, 0, 3), lambda: True, work.append) is None


@pytest.mark.parametrize("paths", [1, 21, 8 * BATCHES, 8 * BATCHES + 1, 8 * 3 * BATCHES - 5])
def test_batches_are_a_partition_of_the_paths(member, arrays_of, paths):
    """Without overflow or underflow, a batch counts what the samples of its own paths hold."""
    run = member(paths=paths, draws=2, observations=2, bins=40)
    arrays = arrays_of(run)
    each = blocks_per_batch(run.run)
    assert len(arrays["counts"]) == math.ceil(blocks_of(run.run) / each) <= BATCHES
    low, high = (edge * chunks.scale(run.run.model) for edge in chunks.histogram_range(run))
    assert arrays["counts"].shape[1:] == (1, 42)
    for batch, counts in enumerate(arrays["counts"][:, 0]):
        values = arrays["samples"][batch * each * 8 : (batch + 1) * each * 8].ravel()
        assert values.size > 0
        expected, _ = np.histogram(values[values < high], 40, (low, high))
        assert counts[1:-1].tolist() == expected.tolist()
        assert counts[-1] == np.sum(values >= high)
        assert counts.sum() == values.size
    assert np.all(arrays["tally"][:, STATUS] == ALIVE)
    assert arrays["counts"].dtype == np.int64


def test_without_kept_samples_the_statistics_are_the_same(member, arrays_of, same_bits):
    kept, thrown = arrays_of(member()), arrays_of(member(keep_samples=False))
    assert thrown["samples"].shape == (21, 0, 5)
    same_bits(kept, thrown | {"samples": kept["samples"]})


def test_without_bins_nothing_is_counted_and_the_states_are_the_same(paths_of, arrays_of, same_bits):
    counted, plain = (arrays_of(paths_of(times=(0.05, 0.1), bins=bins)) for bins in (16, None))
    assert counted["counts"].shape == (3, 2, 18)
    assert counted["counts"].sum(axis=(0, 2)).tolist() == [21 * 5] * 2
    assert plain["counts"].shape[1] == 0
    same_bits(plain | {"counts": counted["counts"]}, counted)
