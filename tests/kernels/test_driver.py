"""The driver, the tallies and the observables: cutting, counting, freezing, sorting; compiled against pure Python."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_tools import (
    BINS,
    BINS_PER_UNIT,
    LOW,
    Run,
    assert_same,
    follow,
    fresh_tally,
    in_another_process,
    normals_of_steps,
    sized,
    starts,
)

from dlnmc_kernels import jit
from dlnmc_kernels.dyson import Dyson
from dlnmc_kernels.energies import Quadratic
from dlnmc_kernels.jit import JIT_DISABLED, device, kernel
from dlnmc_kernels.lanes import WIDTH
from dlnmc_kernels.observables import LARGEST, MOMENTS, RATIO_ALL, RATIO_MIDDLE, SMALLEST, SUMS, measure
from dlnmc_kernels.ordering import (
    ABSENT,
    ACCEPTED,
    ALIVE,
    CROSSINGS,
    SIGN_CHANGES,
    STATUS,
    TAMED,
    accept,
    sort,
)
from dlnmc_kernels.philox import DYNAMICS, PILOT
from dlnmc_kernels.schemes import EulerMaruyama, LeimkuhlerMatthews, MetropolisAdjusted, Milstein
from dlnmc_kernels.singular_values import Lambda, Sigma

DEEP_NETWORK = Lambda(2.0, 5.0, 1.0, Quadratic(1.0)), LeimkuhlerMatthews()
DYSON = Dyson(5.0, 1.0, Quadratic(1.0)), EulerMaruyama()
ADJUSTED = Lambda(2.0, 5.0, 1.0, Quadratic(1.0)), MetropolisAdjusted(1)
LEAPING = Lambda(2.0, 5.0, 1.0, Quadratic(1.0)), MetropolisAdjusted(3)
CASES = pytest.mark.parametrize(
    ("model", "scheme"), [DEEP_NETWORK, DYSON, ADJUSTED, LEAPING], ids=["lambda", "dyson", "adjusted", "leaping"]
)


def assert_same_in(lanes, one, other):
    for name in ("x", "tally", "sums", "squares", "samples"):
        assert np.array_equal(getattr(one, name)[..., lanes], getattr(other, name)[..., lanes])


# --- cutting ------------------------------------------------------------------------------------------------


@CASES
@settings(deadline=None, max_examples=sized(25, 3))
@given(data=st.data())
def test_cutting_a_run_between_steps_and_blocks_changes_no_bit(model, scheme, data):
    whole = Run(model, scheme, starts()).go()
    assert not np.isnan(whole.samples).any()
    parts = Run(model, scheme, starts())
    for blocks in data.draw(st.sampled_from([[slice(0, 3)], [slice(0, 1), slice(1, 3)], [slice(2, 3), slice(0, 2)]])):
        cuts = sorted(data.draw(st.sets(st.integers(1, whole.last_step), max_size=4)))
        for from_step, to_step in zip([0, *cuts], [*cuts, whole.last_step + 1], strict=True):
            parts.go(from_step, to_step, blocks)
    assert_same(whole, parts)


@CASES
def test_paths_do_not_depend_on_which_others_are_run(model, scheme):
    three, one = Run(model, scheme, starts()).go(), Run(model, scheme, starts())
    one.go(blocks=slice(1, 2))
    for a, b in zip(three.arrays(), one.arrays(), strict=True):
        assert np.array_equal(a[1], b[1])
    assert np.array_equal(one.x[0], starts()[0])


def test_every_path_has_its_own_noise():
    start = np.full((2, 1, WIDTH), 1.0)
    x = Run(*DYSON, start).go().x
    assert len(np.unique(x)) == 2 * WIDTH


@pytest.mark.parametrize("first_step", [0, 5])
@pytest.mark.parametrize(
    ("model", "scheme"),
    [
        (Dyson(2.0, 1.0, Quadratic(0.0)), EulerMaruyama()),
        (Lambda(1.0, 2.0, 1.0, Quadratic(0.0)), LeimkuhlerMatthews()),
        (Lambda(1.0, 2.0, 1.0, Quadratic(0.0)), MetropolisAdjusted(1)),
        (Lambda(1.0, 2.0, 1.0, Quadratic(0.0)), MetropolisAdjusted(3)),
    ],
    ids=["dyson", "lambda", "adjusted", "leaping"],
)
@pytest.mark.parametrize("stream", [DYNAMICS, PILOT])
@pytest.mark.parametrize("refinement", [1, 4])
def test_the_noise_of_step_n_is_the_normals_of_its_finer_steps(model, scheme, first_step, stream, refinement):
    # A free particle under the driver is the sum of its normals: of those of steps n·m ... n·m + m − 1 over √m.
    start, steps = np.zeros((2, 1, WIDTH)), 13
    free = Run(
        *(model, scheme, start, first_step, first_step + steps - 1, 1), stream=stream, refinement=refinement
    ).go()
    fine = normals_of_steps(range(first_step * refinement, (first_step + steps) * refinement), 2, 1, stream)[:, :, 0]
    increments = fine.reshape(steps, refinement, 2, WIDTH).sum(axis=1) * np.sqrt(free.dt / refinement)
    expected = np.cumsum(increments, axis=0) - increments
    if isinstance(scheme, LeimkuhlerMatthews):
        expected = expected + 0.5 * (increments - increments[0])
    if isinstance(model, Lambda):  # which is observed in absolute value
        expected = np.abs(expected)
    assert free.samples[:, :, 0].transpose(1, 0, 2) == pytest.approx(expected, abs=1e-14)


def test_a_coarse_run_sees_the_brownian_path_of_a_fine_one():
    # Strong convergence: paths that are m times as coarse stay close to the fine ones, and independent ones do not.
    start = starts(blocks=1, size=3) + np.array([0.0, 1.5, 3.0])[:, None]
    fine, duration = sized(512, 128), 0.25
    finest = Run(*DYSON, start, last_step=fine, every=fine, dt=duration / fine).go().x
    distances = []
    for refinement in (2, 8, 32):
        n = fine // refinement
        coarse = Run(*DYSON, start, last_step=n, every=n, dt=duration / n, refinement=refinement).go().x
        distances.append(np.abs(coarse - finest).mean())
    assert distances[0] < distances[1] < distances[2] < 0.06
    other = Run(*DYSON, start, last_step=n, every=n, dt=duration / n).go().x
    assert np.abs(other - finest).mean() > 0.12


# --- what is observed ---------------------------------------------------------------------------------------


def spacing_ratio(values, first, last):
    """The mean ratio of consecutive gaps; values: (event, component, 8)."""
    gaps = np.diff(values[:, first:last], axis=1)
    a, b = gaps[:, :-1], gaps[:, 1:]
    return (np.minimum(a, b) / np.maximum(a, b)).mean(axis=1)


@CASES
@pytest.mark.parametrize("size", [5, 8])
def test_sums_and_counts_are_those_of_the_samples(model, scheme, size):
    result = Run(model, scheme, starts(size=size)).go()
    s = result.samples
    assert np.array_equal(s, np.sort(s, axis=2))
    edges = np.concatenate([[-np.inf], LOW + np.arange(BINS + 1) / BINS_PER_UNIT, [np.inf]])
    for b in range(len(s)):
        terms = [(s[b] ** (m + 1)).sum(axis=1) for m in range(MOMENTS)] + [None] * (SUMS - MOMENTS)
        terms[LARGEST], terms[SMALLEST] = s[b, :, -1], s[b, :, 0]
        terms[RATIO_ALL] = spacing_ratio(s[b], 0, size)
        terms[RATIO_MIDDLE] = spacing_ratio(s[b], size // 4, size - size // 4)
        for row, term in enumerate(terms):
            for half in (0, 1):
                of_half = term[result.halves == half].sum(axis=0)
                assert result.sums[b, half, row] == pytest.approx(of_half, rel=1e-12, abs=1e-13)
            assert result.squares[b, row] == pytest.approx((term**2).sum(axis=0), rel=1e-12)
        for slot in (0, 1):
            assert np.array_equal(result.counts[b, slot], np.histogram(s[b, result.slots == slot], edges)[0])
    assert (result.counts.sum(axis=(0, 1)) > 0).all()
    assert result.counts.sum() == s.size


def test_only_the_wanted_draws_are_kept_but_all_events_are_counted():
    every, some = Run(*DYSON, starts()).go(), Run(*DYSON, starts())
    some.draws = np.array([-1, 0, -1, 1, -1])
    some.go()
    assert np.array_equal(some.samples[:, :2], every.samples[:, [1, 3]])
    assert np.isnan(some.samples[:, 2:]).all()
    assert np.array_equal(some.counts, every.counts)
    assert np.array_equal(some.sums, every.sums)
    assert np.array_equal(some.squares, every.squares)


def test_only_the_wanted_observations_enter_histograms():
    every, some = Run(*DYSON, starts()).go(), Run(*DYSON, starts())
    some.slots = np.array([-1, 1, -1, 1, -1])
    some.go()
    assert not some.counts[:, 0].any()
    assert np.array_equal(some.counts[:, 1], every.counts[:, 1])
    assert np.array_equal(some.sums, every.sums)


def test_several_observations_may_be_due_at_one_step():
    result = Run(*DYSON, starts())
    result.events = np.array([0, 7, 7, 7, 30])
    result.go()
    assert np.array_equal(result.samples[:, 1], result.samples[:, 2])
    assert np.array_equal(result.samples[:, 1], result.samples[:, 3])
    assert result.counts.sum() == result.samples.size


def test_recent_observations_are_those_of_the_call():
    whole, parts = Run(*DYSON, starts()).go(), Run(*DYSON, starts())
    parts.draws = np.full(5, -1)
    for from_step, to_step, observed in [(0, 7, [0]), (7, 22, [1, 2, 3]), (22, 28, []), (28, 31, [4])]:
        parts.recent = np.full((3, len(observed), 5, WIDTH), np.nan)
        parts.go(from_step, to_step)
        assert np.array_equal(parts.recent, whole.samples[:, observed])
    assert np.isnan(parts.samples).all()


def test_observing_does_not_disturb_the_paths():
    often, never = Run(*DEEP_NETWORK, starts(), every=1).go(), Run(*DEEP_NETWORK, starts(), every=1)
    never.events, never.draws = never.events[:0], never.draws[:0]
    never.go()
    assert np.array_equal(often.x, never.x)
    assert np.array_equal(often.tally, never.tally)
    assert not never.counts.any()


def test_the_last_step_is_observed_but_not_left():
    result = Run(*DYSON, starts(), last_step=14).go()
    assert np.array_equal(result.samples[:, -1], np.sort(result.x, axis=1))


@pytest.mark.parametrize("size", [1, 2])
def test_spacing_ratios_of_fewer_than_three_components_are_zero(size):
    result = Run(*DYSON, starts(size=size)).go()
    assert (result.sums[:, :, [RATIO_MIDDLE, RATIO_ALL]] == 0.0).all()
    assert result.counts.sum() == result.samples.size


# --- paths that fail, and paths that are not there ----------------------------------------------------------


def step_of_failure(x, depth, dt):
    """The first step whose result is not finite, without noise and repulsion: these vanish beside λ^{2N−1}."""
    x = np.float64(x)
    with np.errstate(over="ignore"):
        for n in range(100):
            x = x - x ** (2 * depth - 1) * dt
            if not np.isfinite(x):
                return n
    raise AssertionError


@pytest.mark.parametrize(("high", "step"), [(1e200, 0), (1e5, 3)])
def test_a_path_that_overflows_is_frozen_noted_and_left_out_and_the_others_go_on(high, step):
    assert step_of_failure(high, 2, 0.02) == step
    good, bad = Run(*DEEP_NETWORK, starts(), every=1), starts()
    bad[1, -1, 3] = high
    bad = Run(*DEEP_NETWORK, bad, every=1)
    good.go()
    bad.go(0, step)
    assert (bad.tally[:, STATUS] == ALIVE).all()
    before = bad.x.copy()
    bad.go(step, step + 1)
    if step > 0:  # at the first step it is made the scheme's state before it is moved
        assert np.array_equal(bad.x[1, :, 3], before[1, :, 3])
    frozen = bad.x.copy()
    bad.go(step + 1)
    others = np.delete(np.arange(WIDTH), 3)
    assert_same_in(others, good, bad)
    assert np.array_equal(good.x[[0, 2]], bad.x[[0, 2]])
    status = np.full((3, WIDTH), ALIVE)
    status[1, 3] = step
    assert np.array_equal(bad.tally[:, STATUS], status)
    assert np.isfinite(bad.x).all()
    assert np.array_equal(bad.x[1, :, 3], frozen[1, :, 3])
    # Its observations up to the failing step were counted, later ones not.
    size = bad.x.shape[1]
    assert bad.counts[[0, 2]].sum() == 2 * len(bad.events) * size * WIDTH
    assert bad.counts[1].sum() == len(bad.events) * size * (WIDTH - 1) + (step + 1) * size


@pytest.mark.parametrize("high", [1e200, 1e60])
def test_an_adjusted_path_refuses_proposals_that_overflow_and_the_others_go_on(high):
    good, bad = Run(*ADJUSTED, starts()), starts()
    bad[1, -1, 3] = high
    bad = Run(*ADJUSTED, bad).go()
    good.go()
    assert_same_in(np.delete(np.arange(WIDTH), 3), good, bad)
    assert np.array_equal(good.x[[0, 2]], bad.x[[0, 2]])
    assert (bad.tally[:, STATUS] == ALIVE).all()
    assert (good.tally[:, ACCEPTED] > 0.0).all()
    assert bad.tally[1, ACCEPTED, 3] == 0.0  # what shows that the path never moved
    assert np.array_equal(bad.x[1, :4, 3], starts()[1, :4, 3])


def state_at_start(result):
    """The scheme's state before the first step, like `result.x` after it."""
    x = result.x.copy()
    if isinstance(result.scheme, LeimkuhlerMatthews):  # half an increment before the value
        z = normals_of_steps([0], *x.shape[:2])[0]
        variance = 2.0 * result.model.kappa / (result.model.beta * result.model.depth)
        x -= 0.5 * np.sqrt(variance * result.dt) * z
    return x


GONE, HERE = [2, 5, 6, 7], [0, 1, 3, 4]


@CASES
def test_absent_lanes_move_like_others_and_never_count(model, scheme):
    full, some = Run(model, scheme, starts(size=3)).go(), Run(model, scheme, starts(size=3))
    some.tally[2][STATUS, GONE] = ABSENT
    some.go()
    assert_same_in(HERE, full, some)
    assert np.array_equal(full.x, some.x)
    assert (some.tally[2][STATUS, GONE] == ABSENT).all()
    assert np.array_equal(full.counts[:2], some.counts[:2])
    assert some.counts[2].sum() == some.samples[2][..., HERE].size


@CASES
def test_frozen_lanes_stay_as_they_are(model, scheme):
    result = Run(model, scheme, starts(size=3))
    result.tally[2][STATUS, GONE] = 0.0
    before = state_at_start(result)
    result.go()
    assert result.x[2][:, GONE] == pytest.approx(before[2][:, GONE], rel=1e-15)
    assert (result.tally[2][[TAMED, SIGN_CHANGES, ACCEPTED]][:, GONE] == 0.0).all()


# --- a user's functions -------------------------------------------------------------------------------------


@device
def largest_over_smallest(state):
    return state[-1] / state[0]


@device
def refuses_nan(state):
    total = 0.0
    for s in state:
        if not np.isfinite(s):
            raise ValueError("asked for a state that is not finite")
        total += s
    return total


def measured(function, recent, halves):
    """(sums, squares) of a function, from zero."""
    sums, squares = np.zeros((len(recent), 2, WIDTH)), np.zeros((len(recent), WIDTH))
    measure(function, recent, halves, sums, squares)
    return sums, squares


def test_a_users_function_is_summed_over_early_and_late_observations():
    result = Run(*DYSON, starts() + 9.0).go()
    sums, squares = measured(largest_over_smallest, result.samples, result.halves)
    values = result.samples[:, :, -1] / result.samples[:, :, 0]
    for half in (0, 1):
        assert sums[:, half] == pytest.approx(values[:, result.halves == half].sum(axis=1), rel=1e-14)
    assert squares == pytest.approx((values**2).sum(axis=1), rel=1e-14)
    measure(largest_over_smallest, result.samples[:, :0], result.halves[:0], sums, squares)
    assert squares == pytest.approx((values**2).sum(axis=1), rel=1e-14)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_users_function_is_not_asked_about_states_that_are_not_finite(wrong):
    recent = np.random.default_rng(13).uniform(1.0, 2.0, (2, 3, 4, WIDTH))
    recent[1, 2, 3, 5] = wrong
    halves = np.array([0, 0, 1])
    sums, squares = measured(refuses_nan, recent, halves)
    expected = recent.sum(axis=2)
    expected[1, 2, 5] = np.nan
    assert sums[:, 0] == pytest.approx(expected[:, :2].sum(axis=1))
    assert sums[:, 1] == pytest.approx(expected[:, 2], nan_ok=True)
    assert squares == pytest.approx((expected**2).sum(axis=1), nan_ok=True)
    assert np.isnan(sums).sum() == np.isnan(squares).sum() == 1


# --- tallies on hand-made steps -----------------------------------------------------------------------------


@kernel
def accept_loop(model, x, proposal, dt, tally, n):
    accept(model, x, proposal, dt, tally, n)


def accepted(model, old, new, dt=1e-12, status=ALIVE):
    """(x, tally) of one lane after a step from `old` to `new`; the other lanes stay at `old`."""
    x = np.array(old)[:, None] * np.ones(WIDTH)
    proposal = x.copy()
    proposal[:, 4] = new
    tally = fresh_tally()
    tally[STATUS, 4] = status
    with np.errstate(all="ignore"):
        accept_loop(model, x, proposal, dt, tally, 9)
    others = np.delete(np.arange(WIDTH), 4)
    assert (tally[[SIGN_CHANGES, CROSSINGS]][:, others] == 0.0).all()
    assert np.array_equal(x[:, others], np.array(old)[:, None] * np.ones(7))
    return x[:, 4].tolist(), tally[:, 4].tolist()


SIGNED, PLAIN = Lambda(2.0, 5.0, 1.0, Quadratic(1.0)), Dyson(5.0, 1.0, Quadratic(1.0))
HAND_MADE = [  # model, old, new, result, crossings, sign changes
    (PLAIN, [1.0, 2.0, 3.0], [1.1, 2.1, 2.9], [1.1, 2.1, 2.9], 0, 0),
    (PLAIN, [1.0, 2.0, 3.0], [2.1, 1.9, 3.0], [1.9, 2.1, 3.0], 1, 0),
    (PLAIN, [1.0, 2.0, 3.0], [1.0, 3.1, 2.9], [1.0, 2.9, 3.1], 1, 0),
    (PLAIN, [1.0, 2.0, 3.0, 4.0], [2.0, 1.0, 4.0, 3.0], [1.0, 2.0, 3.0, 4.0], 2, 0),
    (PLAIN, [1.0, 2.0, 3.0], [3.0, 1.0, 2.0], [1.0, 2.0, 3.0], 2, 0),
    (PLAIN, [1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [1.0, 2.0, 3.0], 3, 0),
    (PLAIN, [1.0, 2.0, 3.0, 4.0], [4.0, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0], 3, 0),
    (PLAIN, [1.0, 2.0, 3.0], [2.0, 2.0, 2.0], [2.0, 2.0, 2.0], 0, 0),
    (SIGNED, [0.5, 1.0, 2.0], [-0.4, 1.0, 2.0], [-0.4, 1.0, 2.0], 0, 1),
    (SIGNED, [0.5, -1.0, 2.0], [0.4, 0.9, -2.1], [0.4, 0.9, -2.1], 0, 2),
    (SIGNED, [0.5, 1.0, 2.0], [-1.1, 0.9, 2.0], [0.9, -1.1, 2.0], 1, 1),
    (SIGNED, [0.5, -1.0, 2.0], [0.5, -1.5, 2.0], [0.5, -1.5, 2.0], 0, 0),
    (SIGNED, [1e-150, 1.0, 2.0], [-1e-150, 1.0, 2.0], [-1e-150, 1.0, 2.0], 0, 1),
]


@pytest.mark.parametrize(("model", "old", "new", "result", "crossings", "sign_changes"), HAND_MADE)
def test_crossings_and_sign_changes_are_counted(model, old, new, result, crossings, sign_changes):
    x, tally = accepted(model, old, new)
    assert x == result
    assert tally[CROSSINGS] == crossings
    assert tally[SIGN_CHANGES] == sign_changes
    assert tally[TAMED] == (2.0 if new == [2.0, 2.0, 2.0] else 0.0)
    assert tally[STATUS] == ALIVE


@pytest.mark.parametrize(("model", "old", "new"), [case[:3] for case in HAND_MADE])
@pytest.mark.parametrize("status", [0.0, 4.0])
def test_frozen_lanes_keep_their_state_status_and_tallies(model, old, new, status):
    x, tally = accepted(model, old, new, status=status)
    assert x == old
    assert tally == [0.0, 0.0, 0.0, status, 0.0]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_proposal_that_is_not_finite_freezes_all_components_and_notes_the_step(wrong):
    for k in range(3):
        new = [0.4, -1.1, 2.1]
        new[k] = wrong
        x, tally = accepted(SIGNED, [0.5, 1.0, 2.0], new)
        assert x == [0.5, 1.0, 2.0]
        assert tally == [0.0, 0.0, 0.0, 9.0, 0.0]


def test_tamed_pairs_are_counted_once_for_each_pair_of_neighbours():
    # ε = 0.8 √(dt/β)
    dt = 5.0 * 0.1**2 / 0.64
    assert accepted(PLAIN, [1.0, 2.0, 3.0], [1.0, 1.09, 3.0], dt)[1][TAMED] == 1.0
    assert accepted(PLAIN, [1.0, 2.0, 3.0], [1.0, 1.09, 1.18], dt)[1][TAMED] == 2.0
    assert accepted(PLAIN, [1.0, 2.0, 3.0], [1.0, 1.11, 1.22], dt)[1][TAMED] == 0.0


@settings(deadline=None, max_examples=sized(60, 30))
@given(data=st.data())
def test_any_order_is_mended_and_every_exchange_counted(data):
    size = data.draw(st.integers(1, 9))
    number = st.integers(-6, 6).map(float)
    row = st.lists(number, min_size=WIDTH, max_size=WIDTH)
    model = data.draw(st.sampled_from([SIGNED, PLAIN]))
    proposal = np.array(data.draw(st.lists(row, min_size=size, max_size=size)))
    x, tally, dt = np.ones((size, WIDTH)), fresh_tally(), 1.2**2 * 5.0 / 0.64  # ε = 1.2 for Dyson
    key = np.abs(proposal) if model is SIGNED else proposal
    accept_loop(model, x, proposal.copy(), dt, tally, 3)
    order = np.argsort(key, axis=0, kind="stable")
    assert np.array_equal(x, np.take_along_axis(proposal, order, axis=0))
    exchanges = sum((key[i] > key[j]).astype(float) for i in range(size) for j in range(i + 1, size))
    assert np.array_equal(tally[CROSSINGS], exchanges + np.zeros(WIDTH))
    assert np.array_equal(tally[SIGN_CHANGES], (proposal < 0.0).sum(axis=0))
    if model is PLAIN:
        assert np.array_equal(tally[TAMED], (np.diff(x, axis=0) < 1.2).sum(axis=0))


@kernel
def sort_loop(rows):
    sort(rows)


@settings(deadline=None, max_examples=sized(60, 30))
@given(data=st.data())
def test_sort_sorts_any_numbers(data):
    size = data.draw(st.integers(1, 12))
    number = st.floats(allow_nan=False) | st.sampled_from([0.0, -0.0, 1.0, np.inf, -np.inf])
    row = st.lists(number, min_size=WIDTH, max_size=WIDTH)
    rows = np.array(data.draw(st.lists(row, min_size=size, max_size=size)))
    expected = np.sort(rows, axis=0)
    sort_loop(rows)
    assert np.array_equal(rows, expected)


def test_sort_loses_no_value_and_keeps_what_is_no_number():
    rows = np.random.default_rng(2).uniform(-1.0, 1.0, (9, WIDTH))
    rows[4, 0] = rows[0, 1] = rows[8, 2] = rows[3, 3] = rows[5, 3] = np.nan
    before = np.sort(rows, axis=0)
    sort_loop(rows)
    assert np.array_equal(np.sort(rows, axis=0), before, equal_nan=True)


def test_sort_puts_a_long_descending_row_in_order():
    rows = np.arange(100.0, 0.0, -1.0)[:, None] * np.linspace(-1.0, 1.0, WIDTH)
    expected = np.sort(rows, axis=0)
    sort_loop(rows)
    assert np.array_equal(rows, expected)


# --- compiled against pure Python ---------------------------------------------------------------------------


def short_cases():
    """What short runs of every coordinate and scheme end with, as plain lists."""
    cases = DEEP_NETWORK, DYSON, ADJUSTED, LEAPING
    results = [Run(*case, starts(blocks=2), last_step=20, dt=0.002).go() for case in cases]
    noise = np.random.default_rng(12).standard_normal((2, 20, 3, WIDTH))
    sigma = follow(Sigma(3.0, 1.0, 1.0, Quadratic(1.0)), Milstein(), [0.2, 1.3, 4.0], noise, 2, 0.005)
    return [sigma.tolist(), *(a.tolist() for result in results for a in result.arrays())]


@pytest.mark.skipif(JIT_DISABLED, reason="the compiled run makes the comparison")
def test_compiled_and_pure_python_runs_agree():
    program = "import json, test_driver; print(json.dumps(test_driver.short_cases()))"
    pure = json.loads(in_another_process(program, NUMBA_DISABLE_JIT="1"))
    for a, b in zip(short_cases(), pure, strict=True):
        assert np.array(a) == pytest.approx(np.array(b), rel=1e-12, abs=1e-14)


# --- how kernels are compiled -------------------------------------------------------------------------------


def test_the_identity_of_the_kernels_is_a_sha256_and_the_machine_has_words():
    assert len(jit.source_hash()) == 64
    assert jit.cpu_name()
    assert jit.simd()
    assert (jit.simd() == "none (pure Python)") == JIT_DISABLED


def test_compiled_code_is_kept_below_the_first_directory_that_can_be_written(tmp_path, monkeypatch):
    blocked = tmp_path / "a file, not a directory"
    blocked.touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(blocked))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    jit.cache_directory.cache_clear()
    try:
        directory = jit.cache_directory()
    finally:
        jit.cache_directory.cache_clear()
    assert directory.is_dir()
    assert directory.parent == tmp_path / "cache" / "dlnmc"
