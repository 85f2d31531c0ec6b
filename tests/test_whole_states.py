"""Whole states: matrices W, balanced networks, Hermitian matrices: starts, data, files, the same bits every time."""

import itertools
import math

import numpy as np
import pytest
import xarray as xr
from scipy import stats
from statistical import FALSE_ALARM, distance, envelope

import dlnmc
from dlnmc import analysis, geometry, identities, matrices
from dlnmc.chunks import costs_of, histogram_range, plan_chunks
from dlnmc.engine import STATES
from dlnmc.matrices import haar, random_rows
from dlnmc.starts import start_rows

NETWORK = dlnmc.DeepLinearNetwork(width=3, depth=2.0, beta=3.0)
DYSON = dlnmc.DysonBrownianMotion(size=3, beta=3.0)
COMPLETION = NETWORK.changed(energy=dlnmc.MatrixCompletion(((0, 0, 1.0), (1, 1, -0.5)), 0.5))
WHOLE = {"matrix": NETWORK, "network": NETWORK, "hermitian": DYSON}
ALL = pytest.mark.parametrize("state", WHOLE)
SHORT = {"burn_in": 0.02, "duration": 0.04, "draws": 2, "observations": 4, "threads": 1}
RNG = np.random.default_rng(7)
W = RNG.standard_normal((3, 3))
MANY = RNG.standard_normal((9, 3, 3))


def simulated(model, state, **settings):
    return dlnmc.simulate(model, state=state, **{"paths": 9, "dt": 0.01, "times": [0.0, 0.02], "threads": 1} | settings)


def equilibrated(model, state, **settings):
    return dlnmc.equilibrium(model, state=state, **{"paths": 9, "dt": 0.01} | SHORT | settings)


def hermitian(array):
    """Hermitian matrices (…, d, d) from their parts (…, part, row, column)."""
    parts = np.asarray(array)
    return parts[..., 0, :, :] + 1j * parts[..., 1, :, :]


def whole(data):
    """The matrices of a result: (path, draw or time, row, column)."""
    return hermitian(data.matrix) if "part" in data.matrix.dims else data.matrix.to_numpy()


def values(data):
    return (data.singular_values if "singular_values" in data else data.eigenvalues).to_numpy()


def self_adjoint(array):
    return array + np.swapaxes(np.conj(array), -1, -2)


def given(state, array):
    return self_adjoint(array * (1.0 + 0.5j)) if state == "hermitian" else array


@pytest.fixture(scope="module")
def paths():
    return {state: simulated(model, state) for state, model in WHOLE.items()}


@pytest.fixture(scope="module")
def trees():
    return {state: equilibrated(model, state) for state, model in WHOLE.items()}


# --- which state serves which model -----------------------------------------------------------------------------------

ENERGIES = ("quadratic", "none", dlnmc.Polynomial((-0.5, 0.25)), COMPLETION.energy, dlnmc.QuadraticTo(np.eye(3)))
MODELS = [
    NETWORK.changed(depth=N, energy=e) for N, e in itertools.product((1.0, 2.0, 2.5, 64.0, 65.0, math.inf), ENERGIES)
]
MODELS += [DYSON.changed(energy=energy) for energy in ENERGIES[:3]]


@pytest.mark.parametrize("model", MODELS, ids=lambda m: f"{m.kind}-{getattr(m, 'depth', '')}-{m.energy.kind}")
def test_every_state_serves_its_models_and_refuses_others(model, paths_of, refused):
    serving = {"eigenvalues", "hermitian"}
    if model.kind != "dyson":
        serving = {"matrix"} | ({"singular_values"} if model.energy.invariant else set())
        serving |= {"network"} if model.depth in (1.0, 2.0, 64.0) else set()
    for state in ("singular_values", "matrix", "network", "eigenvalues", "hermitian"):
        if state in serving:
            run = paths_of(model, state=state).run
            assert run.state == state
            assert (run.coordinates == "frames") == (state == "matrix")
        else:
            text = refused(lambda state=state: paths_of(model, state=state), f"state = '{state}'", *map(repr, serving))
            assert ("factors" in text) == (state == "network" and model.kind != "dyson")
            assert ("needs whole matrices" in text) == (not model.energy.invariant)
    preferred = "eigenvalues" if model.kind == "dyson" else "singular_values" if model.energy.invariant else "matrix"
    assert paths_of(model).run.state == preferred


def test_an_energy_of_matrices_is_refused_by_coordinates_of_singular_values_too(refused, paths_of):
    for coordinates in ("lambda", "sigma", "log"):
        pieces = (coordinates, "'matrix_completion'", "state 'matrix'", "state 'network'")
        refused(lambda c=coordinates: paths_of(COMPLETION, coordinates=c), *pieces)
    assert paths_of(COMPLETION, coordinates="balanced").run.state == "network"
    refused(lambda: paths_of(NETWORK, state="matrix", coordinates="lambda"), "'matrix'", "'lambda'")


@ALL
@pytest.mark.parametrize("scheme", ["milstein", "leimkuhler_matthews", "mala", "hmc"])
def test_whole_states_take_euler_alone(state, scheme, refused):
    model, pieces = WHOLE[state], (f"scheme = '{scheme}'", "does not commute", "'euler_maruyama'")
    other = "'eigenvalues'" if state == "hermitian" else "'singular_values'"
    refused(lambda: simulated(model, state, scheme=scheme), *pieces, other)
    refused(lambda: equilibrated(model, state, scheme=scheme), *pieces, other)
    if state != "hermitian":
        text = refused(lambda: simulated(COMPLETION, state, scheme=scheme), *pieces)
        assert other not in text
    tree = equilibrated(model, state, keep_samples=False)
    assert tree.attrs["scheme"] == "euler_maruyama"


# --- what a result holds ----------------------------------------------------------------------------------------------

DIMS = {
    "matrix": {"matrix": ("row", "column")},
    "network": {"matrix": ("row", "column"), "network": ("factor", "row", "column")},
    "hermitian": {"matrix": ("part", "row", "column")},
}


@ALL
def test_names_dimensions_and_units(state, paths, trees):
    for data, dim in ((paths[state], "time"), (trees[state]["samples"].to_dataset(), "draw")):
        for name, dims in DIMS[state].items():
            assert data[name].dims == ("path", dim, *dims)
            assert data[name].shape[:2] == (9, 2)
            assert data[name].attrs["units"] == "units of the model (not scaled)"
            assert len(data[name].attrs["long_name"]) > 3
        assert data.row.values.tolist() == data.column.values.tolist() == [0, 1, 2]
        if state == "network":
            assert data.factor.values.tolist() == [1, 2]
        if state == "hermitian":
            assert data.part.values.tolist() == [0, 1]
        assert not [name for name, coordinate in data.coords.items() if not coordinate.attrs.get("units")]
        expected = {*DIMS[state], "eigenvalues" if state == "hermitian" else "singular_values"}
        assert expected == {name for name in data.data_vars if "path" in data[name].dims and data[name].ndim > 1}
    coordinates = {"matrix": "frames", "network": "balanced", "hermitian": "hermitian"}
    assert paths[state].attrs["coordinates_evolved"] == coordinates[state]
    if state != "hermitian":
        assert paths[state].attrs["determinant"] == trees[state].attrs["determinant"] == "keeps its sign"  # depth 2
    assert set(trees[state].children) >= {"samples", "moments", "extremes", "histogram", "stationarity", "sampler"}


@ALL
def test_values_are_those_of_the_matrices(state, paths, trees):
    for data in (paths[state], trees[state]["samples"].to_dataset()):
        found = whole(data)
        if state == "hermitian":
            assert found == pytest.approx(np.conj(np.swapaxes(found, -1, -2)), abs=1e-13)
            assert values(data) == pytest.approx(np.linalg.eigvalsh(found), abs=1e-10)
            continue
        assert values(data) == pytest.approx(np.linalg.svd(found, compute_uv=False), abs=1e-10)
        if state == "network":
            factors = data.network.to_numpy()
            assert factors[..., 1, :, :] @ factors[..., 0, :, :] == pytest.approx(found, abs=1e-12)
            assert np.max(geometry.imbalance(factors)) < 1e-12


def test_averages_are_those_of_the_samples(trees):
    tree = equilibrated(NETWORK, "matrix", draws=4)
    found = whole(tree["samples"])
    trace = np.sum(found**2, axis=(2, 3)).mean(axis=1)
    assert tree["moments/trace"].to_numpy() == pytest.approx(trace, rel=1e-12)
    assert int(tree["histogram/samples"].sum()) == 9 * 4 * 3


@ALL
def test_a_file_holds_the_same_and_needs_no_dlnmc(state, paths, trees, tmp_path):
    dlnmc.save(paths[state], tmp_path / "paths.nc")
    dlnmc.save(trees[state], tmp_path / "tree.nc")
    assert dlnmc.open(tmp_path / "paths.nc").to_dataset().equals(paths[state])
    assert dlnmc.open(tmp_path / "tree.nc").equals(trees[state])
    with xr.open_dataset(tmp_path / "tree.nc", group="samples", engine="netcdf4") as plain:
        assert np.array_equal(plain["matrix"], trees[state]["samples/matrix"])
        assert plain["matrix"].dims == trees[state]["samples/matrix"].dims
    with xr.open_dataset(tmp_path / "paths.nc", engine="netcdf4") as plain:
        assert np.array_equal(plain["matrix"], paths[state]["matrix"])


@ALL
def test_without_kept_states_the_averages_are_the_same(state, trees):
    without = equilibrated(WHOLE[state], state, keep_samples=False)
    assert "samples" not in without.children
    for group in ("moments", "extremes", "histogram", "sampler"):
        assert without[group].to_dataset().equals(trees[state][group].to_dataset())
    bare = simulated(WHOLE[state], state, keep_samples=False, bins=8)
    assert "matrix" not in bare
    assert int(bare.counted.sum()) == 9 * 2 * 3


@ALL
def test_sweeps_over_widths_and_depths_are_padded(state):
    if state == "hermitian":
        models = [DYSON.changed(size=size) for size in (2, 3)]
    else:
        models = [NETWORK.changed(width=d, depth=N) for d, N in itertools.product((2, 3), (1.0, 2.0))]
    tree = dlnmc.sweep(models, state=state, paths=9, dt=0.01, **SHORT)
    for member in analysis.dataset.members(tree):
        model = analysis.dataset.model_of(member, tree.attrs)
        d = model.size
        kept = member["samples"].to_dataset()
        inner, outer = whole(kept)[..., :d, :d], whole(kept)[..., d:, :]
        assert np.all(np.isfinite(inner))
        assert np.all(np.isnan(outer))
        onward = dlnmc.simulate(model, paths=9, dt=0.01, times=[0.0], start=member, state=state, threads=1)
        assert whole(onward)[:, 0] == pytest.approx(inner[:, -1], abs=1e-12)
        if state == "network":
            factors = kept.network.to_numpy()[:, -1, : int(model.depth), :d, :d]
            assert onward.network.to_numpy()[:, 0] == pytest.approx(factors, abs=1e-12)


@ALL
def test_more_than_memory_is_refused(state, member, refused):
    model, few = WHOLE[state], {"burn_in": 0.1, "duration": 10.0, "draws": 100, "observations": 100}
    refused(lambda: dlnmc.equilibrium(model, state=state, paths=2**30, dt=0.1, **few), "GiB", "keep_samples")
    plain, own = (costs_of(member(model, state=s, draws=2).run).path for s in (None, state))
    rows = {"matrix": 21, "network": 30, "hermitian": 18}[state]
    assert own - plain == 8 * 2 * rows
    none = costs_of(member(model, state=state, draws=2, keep_samples=False).run).path
    assert none == costs_of(member(model, draws=2, keep_samples=False).run).path


# --- the same bits ----------------------------------------------------------------------------------------------------


@ALL
def test_threads_chunks_and_more_paths_change_no_bit(state, member, arrays_of, same_bits, small_chunks, monkeypatch):
    model = COMPLETION if state == "network" else WHOLE[state]
    run = member(model, state=state, paths=45)
    reference = arrays_of(run)
    assert reference["states"].shape[1] == 2
    more = arrays_of(member(model, state=state, paths=85), threads=2)
    for name in ("samples", "states", "sums"):
        assert more[name][:45].tobytes() == reference[name].tobytes()
    small_chunks(monkeypatch)
    assert len(plan_chunks([run])) == 6
    same_bits(arrays_of(run, threads=3), reference)


@ALL
def test_a_run_in_many_calls_is_the_same(state, member, arrays_of, same_bits, monkeypatch):
    run = member(WHOLE[state], state=state)
    reference = arrays_of(run)
    monkeypatch.setattr("dlnmc.chunks.SMALLEST_WORK", 1.0)
    monkeypatch.setattr("dlnmc.chunks.CALL_SECONDS", 0.0)  # a step in each call
    same_bits(arrays_of(run), reference)


@ALL
def test_a_ladder_of_steps_sees_one_noise(state):
    """Coarse increments are sums of fine ones: final states differ by much less than those of another seed.

    From singular values that are equal, where frames turn without bound: noise is that of fixed frames.
    """
    model = WHOLE[state].changed(beta=100.0)
    start = np.diag([3.0, 2.0, 1.0] if state == "hermitian" else [1.0, 1.0, 1.0])
    ladder = {"dt": [2e-3, 1e-3, 5e-4], "burn_in": 0.032, "duration": 0.032, "start": start}
    tree = equilibrated(model, state, **ladder)
    assert tree["samples/matrix"].dims[:3] == ("dt", "path", "draw")
    assert tree["dt"].values.tolist() == [5e-4, 1e-3, 2e-3]
    assert tree["extrapolated"].sizes["scalar"] >= 3
    at = [whole(tree["samples"].isel(dt=k).to_dataset()) for k in range(3)]
    other = whole(equilibrated(model, state, **ladder, seed=1)["samples"].isel(dt=0).to_dataset())
    between = np.median(np.abs(other - at[0]))
    fine, coarse = (np.median(np.abs(at[k] - at[0])) for k in (1, 2))
    assert fine < coarse < 0.25 * between


# --- random starts ----------------------------------------------------------------------------------------------------


@ALL
@pytest.mark.parametrize("start", ["random", "law"])
def test_named_starts_have_the_values_of_the_state_downstairs(state, start):
    model = WHOLE[state]
    below = dlnmc.simulate(model, paths=20, dt=0.01, times=[0.0], start=start, threads=1)
    above = simulated(model, state, paths=20, times=[0.0], start=start)
    assert values(above) == pytest.approx(values(below), rel=1e-10)
    found = whole(above)[:, 0]
    assert len(np.unique(found.real.round(12))) == found.size if state != "hermitian" else len(np.unique(found)) > 100


def test_a_start_at_a_great_depth_keeps_what_underflows(paths_of):
    """λ = σ^{1/64} of a singular value below 1e-308 is not 0."""
    model = NETWORK.changed(depth=64.0)
    run = paths_of(model, state="network", paths=8).run
    rows = random_rows(run, np.tile([-1000.0, -2.0, 0.0], (8, 1)), 0, 1)
    assert rows[:, -3:] == pytest.approx(np.tile(np.exp(np.array([-1000.0, -2.0, 0.0]) / 64.0), (8, 1)), rel=1e-14)


@ALL
def test_starts_are_functions_of_seed_and_path_alone(state, paths_of):
    run = paths_of(WHOLE[state], state=state, paths=80).run
    reference = start_rows(run, None, 0, 10)
    for first, blocks in ((0, 3), (3, 7), (9, 1)):
        assert np.array_equal(start_rows(run, None, first, blocks), reference[8 * first : 8 * (first + blocks)])
    assert not np.any(np.all(start_rows(run.changed(seed=1), None, 0, 10) == reference, axis=1))
    array = given(state, RNG.standard_normal((80, 3, 3)))
    member = paths_of(WHOLE[state], array, state=state, paths=80)
    rows = start_rows(member.run, member.given, 0, 10)
    assert np.array_equal(start_rows(member.run, member.given, 4, 2), rows[32:48])


PATHS = 4096
UNIFORM = stats.uniform(-1.0, 2.0)  # entries of Haar matrices of O(3)


def frames_of(run):
    """Orthogonal (path, d, d) matrices of random starts, whose entries are uniform at d = 3."""
    rows = random_rows(run, np.zeros((PATHS, 3)), 0, PATHS // 8)
    return rows[:, :-3].reshape(PATHS, -1, 3, 3)


@pytest.mark.parametrize("state", ["matrix", "network"])
def test_random_frames_have_haars_law(state, paths_of):
    """Entries are uniform on (−1, 1) at d = 3, also those of products of two frames, which are independent.

    Distances at false-alarm rate 1e-6 each. Without the signs of R in the decomposition QR they are far off.
    """
    run = paths_of(NETWORK, state=state, paths=PATHS).run
    found = frames_of(run)
    assert found @ np.swapaxes(found, -1, -2) == pytest.approx(np.broadcast_to(np.eye(3), found.shape), abs=1e-13)
    alone = list(np.moveaxis(found, 1, 0))
    both = [a @ np.swapaxes(b, 1, 2) for a, b in itertools.combinations(alone, 2)]
    threshold = envelope(PATHS, FALSE_ALARM)
    for frame, i, j in itertools.product([*alone, *both], range(3), range(3)):
        assert distance(frame[:, i, j], UNIFORM.cdf) < threshold
    raw = np.linalg.qr(np.random.default_rng(0).standard_normal((PATHS, 3, 3)))[0]
    assert distance(raw[:, 0, 0], UNIFORM.cdf) > threshold
    assert distance(haar(np.random.default_rng(0).standard_normal((PATHS, 3, 3)))[:, 0, 0], UNIFORM.cdf) < threshold


def test_random_unitary_frames_have_haars_law(paths_of):
    """With eigenvalues 0, 0, 1 M_kk = |u_k|² ~ Beta(1, 2), and phases beside the diagonal are uniform."""
    run = paths_of(DYSON, state="hermitian", paths=PATHS).run
    rows = random_rows(run, np.tile([0.0, 0.0, 1.0], (PATHS, 1)), 0, PATHS // 8)
    found = hermitian(rows.reshape(-1, 2, 3, 3))
    threshold = envelope(PATHS, FALSE_ALARM)
    for k, l in ((0, 1), (1, 2), (2, 0)):
        assert distance(found[:, k, k].real, stats.beta(1.0, 2.0).cdf) < threshold
        assert distance(np.angle(found[:, k, l]), stats.uniform(-np.pi, 2.0 * np.pi).cdf) < threshold
        assert distance(found[:, k, k].real, stats.beta(0.5, 1.0).cdf) > threshold  # that of real frames


def test_a_hermitian_start_from_zero_is_exact_in_its_first_step():
    below = dlnmc.simulate(DYSON, paths=9, dt=0.01, times=[0.0, 0.01, 0.02], start="zero", threads=1)
    above = simulated(DYSON, "hermitian", times=[0.0, 0.01, 0.02], start="zero")
    assert np.all(whole(above)[:, 0] == 0.0)
    assert np.all(values(above)[:, 0] == 0.0)
    assert values(above)[:, 1] == pytest.approx(values(below)[:, 1], abs=1e-12)
    assert np.all(np.isfinite(whole(above)))


# --- given starts -----------------------------------------------------------------------------------------------------


@ALL
@pytest.mark.parametrize("form", ["one", "one of one", "each", "list"])
def test_matrices_are_a_start(state, form):
    array = given(state, {"one": W, "one of one": W[None], "each": MANY, "list": W}[form])
    data = simulated(WHOLE[state], state, start=array.tolist() if form == "list" else array)
    expected = np.broadcast_to(array, (9, 3, 3))
    found = whole(data)[:, 0]
    assert found == pytest.approx(expected, abs=1e-13)
    assert len(np.unique(whole(data)[:, 1, 0, 0])) == 9  # noise of their own


def test_real_symmetric_matrices_and_whole_numbers_are_a_start():
    data = simulated(DYSON, "hermitian", start=np.diag([1, 2, 4]), times=[0.0])
    assert np.array_equal(whole(data)[0, 0], np.diag([1.0, 2.0, 4.0]))
    assert np.array_equal(whole(simulated(NETWORK, "matrix", start=np.eye(3, dtype=int), times=[0.0]))[0, 0], np.eye(3))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("depth", [1.0, 2.0, 4.0])
def test_balanced_networks_are_a_start(scale, depth):
    N = int(depth)
    gauge = haar(np.random.default_rng(3).standard_normal((9, N - 1, 3, 3))) if N > 1 else None
    factors = geometry.balanced_over(scale**N * MANY, N, gauge=gauge)
    model = NETWORK.changed(depth=depth, beta=math.inf, kappa=0.0)
    for start in (factors, factors[0], factors[:1]):
        data = simulated(model, "network", start=start, times=[0.0])
        expected = np.broadcast_to(start, (9, N, 3, 3))
        assert data.network.to_numpy()[:, 0] / scale == pytest.approx(expected / scale, abs=1e-12)


def test_networks_of_equal_small_or_vanishing_singular_values_are_a_start():
    """Frames of a zero are free, and stay orthogonal; those of 1e-7 are known to 1e-16 of the largest."""
    gauge = haar(np.random.default_rng(3).standard_normal((3, 3, 3)))
    for diagonal in ([1.0, 1.0, 1.0], [1e-28, 1e-28, 1e-28], [1.0, 1e-16, 1e-28], [1.0, 1.0, 0.0]):
        factors = geometry.gauge_transformed(geometry.balanced_over(np.diag(diagonal), 4), gauge)
        data = simulated(NETWORK.changed(depth=4.0), "network", start=factors, dt=1e-4, times=[0.0, 1e-3])
        size = np.max(np.abs(factors))
        assert data.network.to_numpy()[:, 0] == pytest.approx(np.broadcast_to(factors, (9, 4, 3, 3)), abs=1e-14 * size)
        assert np.max(geometry.imbalance(data.network.to_numpy())) < 1e-13


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_unbalanced_networks_are_refused_whatever_their_size(scale, refused):
    factors = scale * geometry.balanced_over(W, 2)
    bent = factors.copy()
    bent[0, 0, 0] += 1e-5 * scale
    pieces = ("relative imbalance", "1e-08", "balanced_over(W, depth)")
    for start in (bent, np.stack([factors] * 8 + [bent]), scale * np.stack([W, np.eye(3)])):
        refused(lambda start=start: simulated(NETWORK, "network", start=start), *pieces)
    bent[0, 0, 0] = factors[0, 0, 0] + 1e-11 * scale
    simulated(NETWORK.changed(beta=math.inf, kappa=0.0), "network", start=bent, times=[0.0])


BAD = [
    (W[:2], ("(2, 3)", "(3, 3)", "one for each of 9 paths")),
    (W[0], ("(3,)", "(3, 3)")),
    (1.0, ("()", "(3, 3)")),
    (MANY[:8], ("(8, 3, 3)", "9 paths")),
    (np.zeros((3, 3, 3, 3)), ("(3, 3, 3, 3)", "(3, 3)")),  # nine matrices, but not one for each path
    (np.zeros((9, 2, 2, 3, 3)), ("(9, 2, 2, 3, 3)", "(3, 3)")),
    ([], ("(0,)", "(3, 3)")),
    (np.full((3, 3), math.nan), ("start contains", "nan", "finite")),
    (np.where(np.eye(3) > 0, math.inf, W), ("start contains inf", "finite")),
    ([["a"] * 3] * 3, ("start", "(3, 3)")),
    ([[1.0, 2.0], [1.0]], ("start", "(3, 3)")),
    (object(), ("start", "object")),
    ({"a": 1}, ("start",)),
]


@ALL
@pytest.mark.parametrize(("start", "pieces"), BAD, ids=range(len(BAD)))
def test_a_bad_start_is_refused_in_one_line(state, start, pieces, refused):
    text = refused(lambda: simulated(WHOLE[state], state, start=start), *pieces)
    assert "np." not in text
    assert len(text) < 250


def test_starts_of_the_wrong_kind_are_refused(refused):
    for state in ("matrix", "network"):
        refused(lambda state=state: simulated(NETWORK, state, start=W + 0j), "complex128")
        refused(lambda state=state: simulated(NETWORK, state, start="zero"), "start = 'zero'", "Dyson")
    refused(lambda: simulated(DYSON, "hermitian", start=W), "adjoint", "Hermitian")
    refused(lambda: simulated(DYSON, "hermitian", start=self_adjoint(W) * 1j), "adjoint", "Hermitian")
    refused(lambda: simulated(NETWORK, "matrix", start=geometry.balanced_over(W, 2)), "(2, 3, 3)")
    refused(lambda: simulated(NETWORK, "network", start=geometry.balanced_over(W, 3)), "(3, 3, 3)", "(2, 3, 3)")
    refused(lambda: simulated(NETWORK, "singular_values", start=W), "(3, 3)", "(9, 3)")


def test_as_many_paths_as_factors_are_ambiguous(refused):
    pair = geometry.balanced_over(W, 2)
    refused(lambda: simulated(NETWORK, "network", paths=2, start=pair), "(2, 3, 3)", "one network", "(2, 2, 3, 3)")
    data = simulated(NETWORK, "network", paths=2, start=np.stack([pair, pair]))
    assert data.network.to_numpy()[:, 0] == pytest.approx(np.stack([pair, pair]), abs=1e-13)
    assert whole(simulated(NETWORK, "network", paths=3, start=MANY[:3]))[:, 0] == pytest.approx(MANY[:3], abs=1e-13)


@pytest.mark.parametrize("state", ["matrix", "network"])
def test_matrices_that_entropy_repels_without_bound_are_refused(state, refused):
    """As where two singular values are 0: Σ' is not defined there."""
    two, one = np.diag([1.0, 0.0, 0.0]), np.diag([1.0, 1.0, 0.0])
    turned = haar(np.random.default_rng(0).standard_normal((3, 3))) @ two
    for start in (np.zeros((3, 3)), two, turned, np.outer(W[0], W[1]), np.stack([W] * 8 + [two])):
        refused(lambda start=start: simulated(NETWORK, state, start=start), "singular values 0", "entropy")
        simulated(NETWORK.changed(depth=1.0), state, start=start)
    still = simulated(NETWORK.changed(kappa=0.0, beta=math.inf), state, start=two, times=[0.0, 0.1])
    assert np.all(np.isfinite(still.matrix))
    simulated(NETWORK, state, start=one)
    if state == "matrix":
        refused(lambda: simulated(NETWORK.changed(depth=math.inf), state, start=one), "infinite depth", "> 0")


def test_given_matrices_are_part_of_the_identity_of_a_run(paths_of):
    start = MANY.copy()
    member = paths_of(NETWORK, start, state="matrix", paths=9)
    start[:] = 7.0
    assert geometry.end_to_end(member.given[:, None, :9].reshape(9, 1, 3, 3)).shape == MANY.shape
    assert np.all(member.given < 7.0)
    other = paths_of(NETWORK, np.nextafter(MANY, 9.0), state="matrix", paths=9)
    assert member.run.digest() != other.run.digest()
    assert member.run.digest() == paths_of(NETWORK, MANY.tolist(), state="matrix", paths=9).run.digest()


# --- continued results ------------------------------------------------------------------------------------------------


@ALL
def test_a_result_is_continued_from_its_matrices_with_fresh_noise(state, paths, trees):
    for result, kept in ((paths[state], paths[state]), (trees[state], trees[state]["samples"].to_dataset())):
        onward = simulated(WHOLE[state], state, start=result, times=[0.0, 0.01])
        last = whole(kept)[:, -1]
        assert whole(onward)[:, 0] == pytest.approx(last, abs=1e-12)
        if state == "network":
            assert onward.network.to_numpy()[:, 0] == pytest.approx(kept.network.to_numpy()[:, -1], abs=1e-12)
        assert values(onward)[:, 0] == pytest.approx(values(kept)[:, -1], abs=1e-10)
        given_again = simulated(WHOLE[state], state, start=last, times=[0.0, 0.01])
        assert not np.any(whole(given_again)[:, 1] == whole(onward)[:, 1])
        assert onward.attrs["last_step"] > result.attrs["last_step"]


def test_states_are_continued_as_other_states(paths):
    of_network, of_matrix = paths["network"], paths["matrix"]
    last = whole(of_network)[:, -1]
    for depth in (2.0, 3.0):
        model = NETWORK.changed(depth=depth)
        assert whole(simulated(model, "matrix", start=of_network))[:, 0] == pytest.approx(last, abs=1e-13)
        assert whole(simulated(model, "network", start=of_network))[:, 0] == pytest.approx(last, abs=1e-13)
    lifted = simulated(NETWORK, "network", start=of_matrix)
    assert whole(lifted)[:, 0] == pytest.approx(whole(of_matrix)[:, -1], abs=1e-13)
    below = simulated(NETWORK, "singular_values", start=of_network)
    assert values(below)[:, 0] == pytest.approx(values(of_network)[:, -1], rel=1e-12)
    eigenvalues = simulated(DYSON, "eigenvalues", start=paths["hermitian"])
    assert values(eigenvalues)[:, 0] == pytest.approx(values(paths["hermitian"])[:, -1], rel=1e-12)
    completed = simulated(COMPLETION, None, start=of_matrix)  # whose default is the matrix
    assert whole(completed)[:, 0] == pytest.approx(whole(of_matrix)[:, -1], abs=1e-13)


@ALL
def test_what_holds_values_alone_gets_random_frames(state, refused):
    """Earlier results downstairs, and exact draws: those of W as a whole, as the law is invariant."""
    model = WHOLE[state].changed(kappa=0.5)
    drawn = dlnmc.exact(model, paths=9, seed=3)
    run = dlnmc.simulate(model, paths=9, dt=0.01, times=[0.05], threads=1)
    for start, last in ((drawn, values(drawn)), (run, values(run)[:, -1])):
        above = simulated(model, state, start=start)
        assert values(above)[:, 0] == pytest.approx(last, abs=1e-11)
        assert len(np.unique(whole(above)[:, 0, 0, 0])) == 9
        assert np.array_equal(whole(above), whole(simulated(model, state, start=start)))
        other = simulated(model, state, start=start, seed=1)
        assert not np.any(whole(other)[:, 0, 0, 0] == whole(above)[:, 0, 0, 0])
    three = dlnmc.exact(model, paths=3)  # as many paths as values: no matrix
    assert values(simulated(model, state, start=three, paths=3))[:, 0] == pytest.approx(values(three), abs=1e-11)
    refused(lambda: simulated(model, state, start=drawn, paths=8), "(9, 3)", "(8, 3)")


def test_results_that_are_no_start_are_refused(paths, refused):
    refused(lambda: simulated(NETWORK.changed(width=4), "matrix", start=paths["matrix"]), "(9, 3, 3)", "(4, 4)")
    refused(lambda: simulated(NETWORK, "matrix", start=paths["matrix"], paths=8), "(9, 3, 3)", "8 paths")
    refused(lambda: simulated(NETWORK, "matrix", start=paths["hermitian"]), "'dyson'", "'deep_linear_network'")
    bare = equilibrated(NETWORK, "matrix", keep_samples=False)
    refused(lambda: simulated(NETWORK, "matrix", start=bare), "without kept states")
    sweep = dlnmc.sweep([NETWORK, NETWORK.changed(kappa=0.5)], state="matrix", paths=9, dt=0.01, **SHORT)
    refused(lambda: simulated(NETWORK, "matrix", start=sweep), "member")
    failed = paths["matrix"].copy(deep=True)
    failed["matrix"][2] = np.nan
    refused(lambda: simulated(NETWORK, "matrix", start=failed), "start contains nan")
    below = dlnmc.simulate(NETWORK, paths=9, dt=0.01, times=[0.0], threads=1)
    below["singular_values"][2] = np.nan
    refused(lambda: simulated(NETWORK, "matrix", start=below), "failed")


# --- histograms -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1.0, 1e3])
def test_histograms_in_time_cover_given_matrices(size):
    off = self_adjoint(np.triu(np.full((3, 3), size * (1.0 + 1.0j)), 1))
    cases = [
        (NETWORK, "matrix", size * np.ones((3, 3)) + 0.1 * size * np.eye(3)),
        (NETWORK.changed(depth=4.0), "network", size * np.ones((3, 3)) + 0.1 * size * np.eye(3)),
        (DYSON, "hermitian", off),
    ]
    for model, state, start in cases:
        data = simulated(model, state, start=start, times=[0.0], bins=16)
        assert int(data.underflow.sum() + data.overflow.sum()) == 0
        assert int(data.counts.sum()) == 27


def test_the_range_of_a_histogram_is_not_far_beyond_the_matrix(paths_of):
    for state in ("matrix", "network"):
        member = paths_of(NETWORK, 100.0 * np.eye(3), state=state, bins=8)
        assert 100.0 < histogram_range(member)[1] < 200.0  # d = β: the scale is 1


# --- energies that are not invariant ----------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["matrix", "network"])
def completed(request):
    model = COMPLETION.changed(depth=3.0) if request.param == "network" else COMPLETION
    return model, dlnmc.equilibrium(
        model, state=request.param, paths=256, dt=5e-3, burn_in=2.0, duration=1.0, threads=1
    )


def test_no_law_or_identity_of_singular_values_is_claimed_for_other_energies(completed, refused):
    model, tree = completed
    assert analysis.dataset.model_of(tree) == model
    found = list(analysis.checks(tree))
    for (text, _), words in zip(found, ("paths failed", "halves", "generator identities"), strict=True):
        assert words in text
    row = analysis.row(tree)
    assert {row[name] for name in ("ks", "trace_ratio", "edge_law")} == {None}
    assert row["trace_mean"] > 0.0
    assert np.all(np.isnan(tree["law/probability"]))
    assert np.isnan(tree["law/trace_mean"])
    kept = analysis.states(tree)
    refused(lambda: identities.identities(model, kept), "matrix_completion", "singular values")
    refused(lambda: identities.generator(model, kept), "matrix_completion")
    quadratic = model.changed(energy="quadratic")
    assert any("identities" in text for text, _ in analysis.checks(tree, quadratic))


def test_results_of_other_energies_are_reported_compared_and_drawn(completed, tmp_path):
    model, tree = completed
    text = dlnmc.report(tree)
    assert "trace" in text
    assert "trace/exact" not in text
    table = dlnmc.compare(
        tree, dlnmc.equilibrium(model, state="matrix", paths=256, dt=5e-3, burn_in=2.0, duration=1.0, seed=9)
    )
    assert set(table.data_vars) >= {"agrees", "kolmogorov"}
    dlnmc.plot(tree, tmp_path / "tree.png")
    dlnmc.plot(simulated(model, "matrix", times=[0.0, 0.01, 0.02], bins=8), tmp_path / "paths.png")
    assert (tmp_path / "tree.png").stat().st_size > 1000
    figure = dlnmc.plot(tree)
    assert "law" not in " ".join(label for ax in figure.axes for label in ax.get_legend_handles_labels()[1])


@ALL
def test_checks_of_invariant_energies_hold_whole_states_to_all(state):
    tree = equilibrated(WHOLE[state], state, paths=16)
    found = " ".join(text for text, _ in analysis.checks(tree))
    assert "Gamma law" in found
    assert "generator identities" in found
    assert analysis.row(tree)["ks"] is not None


def test_every_whole_state_has_a_form_and_a_row():
    rows = {row.coordinates: row for row in STATES if row.whole}
    assert set(rows) <= set(matrices.FORMS)
    assert {row.state for row in rows.values()} == set(WHOLE)
    for coordinates, row in rows.items():
        given_rows = matrices.FORMS[coordinates].from_matrices(WHOLE[row.state], given(row.state, W))
        assert given_rows.shape == (1, row.rows(WHOLE[row.state]))
