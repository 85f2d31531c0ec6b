"""Observables of whole states after a run: against obvious formulas, on singular matrices, on every kind of result."""

import json
import math

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import dlnmc
from dlnmc import dataset, geometry, matrix_observables, observables
from dlnmc.matrices import haar
from dlnmc.matrix_observables import OBSERVABLES

INVARIANT = dlnmc.DeepLinearNetwork(width=3, depth=2.5, beta=4.0)
COMPLETION = INVARIANT.changed(depth=3.0, energy=dlnmc.MatrixCompletion(((0, 0, 1.0), (1, 1, -0.5)), 0.5))
DIAGONAL = dlnmc.MatrixCompletion(entries=((0, 0, 1.0), (1, 1, 1.0)))  # (14.1)
SPECTRAL = {"effective_rank", "entropy", "energy", "free_energy"}
RNG = np.random.default_rng(20)
W = RNG.standard_normal((5, 2, 3, 3))  # (path, time, row, column)


def result(model, W=None, sigma=None, factors=None, times=None):
    """A result as `simulate` gives it, from matrices (path, time, …), singular values or factors."""
    if factors is not None:
        W = geometry.end_to_end(factors)
    sigma = np.linalg.svd(W, compute_uv=False) if sigma is None else np.asarray(sigma)
    found = {"singular_values": sigma, "matrix": W, "network": factors}
    variables = {
        name: (("path", "time", *matrix_observables.AXES[name]), array)
        for name, array in found.items()
        if array is not None
    }
    times = np.arange(sigma.shape[1]) if times is None else times
    attrs = {"model": model.kind, "config": json.dumps({"model": json.loads(model.to_json())})}
    return xr.Dataset(variables, dataset.parameters(model) | {"time": times}, attrs)


def of(model, W, name, **settings):
    """One observable of matrices (…, d, d)."""
    W = np.asarray(W, dtype=float)
    values = dlnmc.observe(result(model, W.reshape(1, -1, *W.shape[-2:])), name, **settings)[name]
    return values.to_numpy().reshape(W.shape[:-2])


def diagonal_set_to_1(W):
    """The nearest point of the variety (14.2)."""
    W[:, [0, 1], [0, 1]] = 1.0
    return W


def rank_one(W):
    """The nearest point of the variety (14.3): a⁴ − W_12 a³ + W_21 a − 1 = 0 where the distance is stationary."""
    found = []
    for x, y in zip(W[:, 0, 1], W[:, 1, 0], strict=True):
        roots = np.roots([1.0, -x, 0.0, y, -1.0])
        a = roots[np.abs(roots.imag) < 1e-9].real
        a = a[np.argmin((a - x) ** 2 + (1.0 / a - y) ** 2)]
        found.append([[1.0, a], [1.0 / a, 1.0]])
    return np.array(found)


# --- formulas ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1.0, 2.5, 3.0, math.inf])
@pytest.mark.parametrize("model", [INVARIANT, COMPLETION], ids=["invariant", "completion"])
def test_against_one_matrix_at_a_time(model, depth):
    model = model.changed(depth=depth)
    points = RNG.standard_normal((4, 3, 3))
    data = dlnmc.observe(result(model, W), minimisers=points)
    assert set(data.data_vars) == set(OBSERVABLES) - {"imbalance"}
    for path, time in np.ndindex(5, 2):
        own = W[path, time]
        sigma = np.linalg.svd(own, compute_uv=False)
        E = 0.5 * np.sum(own**2) if model.energy.invariant else model.energy.value(own)
        expected = {
            "sign_of_determinant": np.sign(np.linalg.det(own)),
            "effective_rank": observables.effective_rank(sigma),
            "entropy": geometry.entropy(depth, own),
            "energy": E,
            "free_energy": geometry.free_energy(depth, own, E, model.beta),
            "distance": min(np.linalg.norm(own - point) for point in points),
        }
        at = data.isel(path=path, time=time)
        for name, value in expected.items():
            assert float(at[name]) == pytest.approx(float(value), rel=1e-12, abs=1e-12), name


def test_energies_that_are_polynomials():
    model = INVARIANT.changed(energy=dlnmc.Polynomial((-0.5, 0.25)))
    y = np.swapaxes(W, -1, -2) @ W
    expected = np.einsum("...ii", -0.5 * y + 0.25 * y @ y)
    assert np.allclose(of(model, W, "energy"), expected, rtol=1e-12, atol=0.0)


def test_networks_have_an_imbalance():
    factors = RNG.standard_normal((2, 3, 4, 3, 3))
    model = INVARIANT.changed(depth=4.0)
    data = dlnmc.observe(result(model, factors=factors), "imbalance", "sign_of_determinant")
    assert np.allclose(data["imbalance"], geometry.imbalance(factors), rtol=1e-12)
    assert np.array_equal(data["sign_of_determinant"], np.sign(np.linalg.det(geometry.end_to_end(factors))))
    balanced = result(model, factors=geometry.balanced_over(W, 4))
    assert np.max(dlnmc.observe(balanced)["imbalance"]) < 1e-14
    one = result(model.changed(depth=1.0), factors=W[:, :, None])
    assert np.all(dlnmc.observe(one)["imbalance"] == 0.0)


def test_the_sign_of_a_deep_network_is_that_of_its_factors():
    """At depth 40 the smallest singular value is 1e-28 of the largest: W does not know the sign, factors do."""
    Q = haar(np.random.default_rng(4).standard_normal((8, 1, 41, 3, 3)))
    factors = geometry.chart_z(np.broadcast_to([1.0, 0.5, 0.2], (8, 1, 3)), Q)
    expected = np.linalg.det(Q[:, :, 0]) * np.linalg.det(Q[:, :, -1])
    assert set(np.sign(expected).ravel()) == {-1.0, 1.0}
    data = result(INVARIANT.changed(depth=40.0), factors=factors)
    assert np.allclose(dlnmc.observe(data)["sign_of_determinant"], expected)
    assert np.all(dlnmc.observe(data.drop_vars("network"))["sign_of_determinant"] == 0.0)


orthogonal = st.integers(0, 2**32 - 1).map(lambda seed: haar(np.random.default_rng(seed).standard_normal((2, 3, 3))))


@given(orthogonal, st.sampled_from([1.0, 2.0, 7.5, math.inf]), st.floats(0.01, 100.0))
@settings(max_examples=40, deadline=None)
def test_orthogonal_changes_of_basis(frames, depth, c):
    Q, R = frames
    model, moved = INVARIANT.changed(depth=depth), Q @ (c * W) @ R.T
    before = dlnmc.observe(result(model, c * W), minimisers=c * W[0, 0])
    after = dlnmc.observe(result(model, moved), minimisers=moved[0, 0])
    for name in SPECTRAL | {"distance"}:
        assert np.allclose(after[name], before[name], rtol=1e-9, atol=1e-9 * c), name
    turned = before["sign_of_determinant"] * np.sign(np.linalg.det(Q) * np.linalg.det(R))
    assert np.array_equal(after["sign_of_determinant"], turned)
    assert np.allclose(before["effective_rank"], of(model, W, "effective_rank"), rtol=1e-9)  # of no scale
    assert np.all((before["effective_rank"] >= 1.0) & (before["effective_rank"] <= 3.0))


# --- singular matrices ------------------------------------------------------------------------------------------------

SINGULAR = np.array([np.diag([2.0, 1.0, 0.0]), np.diag([2.0, 0.0, 0.0]), np.zeros((3, 3)), np.ones((3, 3))])


def test_singular_matrices():
    """No warning (warnings are errors), sign 0, and what the formulas give."""
    for depth in (1.0, 2.0, 64.0, math.inf):
        assert np.all(of(INVARIANT.changed(depth=depth), SINGULAR, "sign_of_determinant") == 0.0)
    rank = of(INVARIANT, SINGULAR, "effective_rank")
    assert rank == pytest.approx([math.exp(math.log(5) - 0.8 * math.log(4)), 1.0, 0.0, 1.0], abs=1e-12)
    exact = SINGULAR[:3]
    assert of(INVARIANT.changed(depth=1.0), exact, "entropy").tolist() == [0.0, 0.0, 0.0]
    pair = math.log((4.0 - 1.0) / (2.0 - 1.0))  # a_12 at depth 2; a_13 = 2, a_23 = 1; a pair of zeros drops out
    assert of(INVARIANT.changed(depth=2.0), exact, "entropy") == pytest.approx(
        [0.5 * (pair + math.log(2.0)), math.log(2.0), 0.0], abs=1e-12
    )
    endless = INVARIANT.changed(depth=math.inf)
    assert of(endless, exact[:2], "entropy").tolist() == [-math.inf, -math.inf]
    assert of(endless, exact[:2], "free_energy").tolist() == [math.inf, math.inf]
    cold = endless.changed(beta=math.inf, kappa=0.0)
    assert of(cold, exact, "free_energy").tolist() == of(cold, exact, "energy").tolist() == [2.5, 2.0, 0.0]


def test_a_product_that_is_singular_to_rounding_has_sign_0():
    thin = RNG.standard_normal((200, 4, 3)) @ RNG.standard_normal((200, 3, 4))
    model = INVARIANT.changed(width=4)
    assert np.any(np.linalg.det(thin) != 0.0)
    assert np.all(of(model, thin, "sign_of_determinant") == 0.0)
    lifted = thin + 1e-12 * np.linalg.norm(thin, axis=(1, 2))[:, None, None] * np.eye(4)
    assert np.all(of(model, lifted, "sign_of_determinant") != 0.0)


def test_width_1():
    data = result(INVARIANT.changed(width=1), np.array([[[[-2.0]], [[0.5]]]]))
    found = dlnmc.observe(data)
    assert found["sign_of_determinant"].values.tolist() == [[-1.0, 1.0]]
    assert found["effective_rank"].values.tolist() == [[1.0, 1.0]]
    assert found["entropy"].values.tolist() == [[0.0, 0.0]]
    assert dlnmc.rank_jumps(data).shape == (1, 0)


def test_paths_that_failed_are_nan(monkeypatch):
    broken = W.copy()
    broken[3] = np.nan
    sigma = np.linalg.svd(W, compute_uv=False)
    sigma[3] = np.nan
    found = dlnmc.observe(result(INVARIANT, broken, sigma), minimisers=W[0])
    sound = dlnmc.observe(result(INVARIANT, W), minimisers=W[0])
    for name in found.data_vars:
        assert np.isnan(found[name][3]).all()
        assert np.array_equal(np.delete(found[name], 3, axis=0), np.delete(sound[name], 3, axis=0))
    monkeypatch.setattr(matrix_observables, "BLOCK", 1)
    assert dlnmc.observe(result(INVARIANT, W), minimisers=W[0]).identical(sound)


# --- distances --------------------------------------------------------------------------------------------------------


def test_distances_to_varieties():
    model = INVARIANT.changed(width=2, energy=DIAGONAL)
    Z = 1.5 * RNG.standard_normal((40, 2, 2))
    to_diagonal = of(model, Z, "distance", minimisers=diagonal_set_to_1)
    assert np.allclose(0.5 * to_diagonal**2, of(model, Z, "energy"), rtol=1e-12)
    a = np.concatenate([-np.geomspace(1e-3, 1e3, 4001), np.geomspace(1e-3, 1e3, 4001)])
    points = np.stack([np.ones_like(a), a, 1.0 / a, np.ones_like(a)], axis=1).reshape(-1, 2, 2)
    to_rank_one, on_grid = (of(model, Z, "distance", minimisers=near) for near in (rank_one, points))
    assert np.all((to_diagonal <= to_rank_one) & (to_rank_one <= on_grid + 1e-12))
    assert np.allclose(to_rank_one, on_grid, rtol=0.0, atol=1e-2)


def test_a_function_may_write_into_what_it_is_given():
    data = result(INVARIANT.changed(width=2, energy=DIAGONAL), W[..., :2, :2].copy())
    before = data.copy(deep=True)
    dlnmc.observe(data, minimisers=diagonal_set_to_1)
    assert data.identical(before)


def test_an_energy_whose_functions_are_not_known_is_left_out(monkeypatch, refused):
    """As a user's own energy is in a file that was made elsewhere."""

    def unknown(self):
        raise dlnmc.InvalidValue("files hold no code")

    monkeypatch.setattr(dlnmc.MatrixCompletion, "check_functions", unknown)
    data = result(COMPLETION, W)
    assert set(dlnmc.observe(data).data_vars) == {"sign_of_determinant", "effective_rank", "entropy"}
    refused(lambda: dlnmc.observe(data, "free_energy"), "free_energy", "give them again")


# --- kinds of results -------------------------------------------------------------------------------------------------


def test_paths_in_time(network_paths):
    found = dlnmc.observe(network_paths)
    assert set(found.data_vars) == SPECTRAL
    for name in found.data_vars:
        assert found[name].dims == ("path", "time")
        assert set(found[name].attrs) == {"long_name", "units"}
    assert np.allclose(found["energy"], 0.5 * (network_paths["singular_values"] ** 2).sum("rank"))
    assert found["time"].identical(network_paths["time"])
    assert found.attrs == network_paths.attrs | {"title": "Observables"}
    part = dlnmc.observe(network_paths.isel(time=-1, path=slice(4)))
    assert part.equals(found.isel(time=-1, path=slice(4)))


def test_equilibria_exact_draws_and_files(network_tree, tmp_path):
    found = dlnmc.observe(network_tree, "entropy", "energy")
    assert list(found.data_vars) == ["entropy", "energy"]
    assert found["energy"].dims == ("path", "draw")
    assert found["time"].identical(network_tree["samples"]["time"])
    assert np.allclose(found["energy"], 0.5 * (network_tree["samples/singular_values"] ** 2).sum("rank"))
    opened = dlnmc.open(dlnmc.save(network_tree, tmp_path / "tree.nc"))
    assert dlnmc.observe(opened, "entropy", "energy").equals(found)
    dlnmc.save(found, tmp_path / "found.nc")
    draws = dlnmc.exact(INVARIANT.changed(depth=3.0, kappa=0.5), paths=8)
    assert dlnmc.observe(draws)["effective_rank"].dims == ("path",)


def test_sweeps(grid):
    found = dlnmc.observe(grid)
    assert set(found.data_vars) == SPECTRAL
    assert found["energy"].dims == ("depth", "width", "path", "draw")
    assert found["entropy"].dtype == float
    assert np.isfinite(found.to_dataarray()).all()
    for depth in (1.0, 2.5):
        for width in (3, 6):
            own = grid.sel(depth=depth, width=width)
            assert dlnmc.observe(own).drop_attrs().equals(found.sel(depth=depth, width=width).drop_attrs())
    assert np.all(found["entropy"].sel(depth=1.0) == 0.0)


def test_sweeps_of_networks():
    models = [COMPLETION.changed(width=d, depth=N) for d in (2, 3) for N in (2.0, 3.0)]
    short = {"burn_in": 0.02, "duration": 0.04, "draws": 2, "observations": 2, "bins": 4, "threads": 1}
    tree = dlnmc.sweep(models, state="network", paths=3, dt=0.01, **short)
    found = dlnmc.observe(tree)
    assert set(found.data_vars) == SPECTRAL | {"sign_of_determinant", "imbalance"}
    assert np.isfinite(found.to_dataarray()).all()
    for model in models:
        own = tree.sel(width=model.width, depth=model.depth)
        at = found.sel(width=model.width, depth=model.depth)
        assert dlnmc.observe(own).drop_attrs().equals(at.drop_attrs())
        W = own["samples/matrix"].to_numpy()[..., : model.width, : model.width]
        assert np.allclose(at["energy"], model.energy.value(W), rtol=1e-12)


@pytest.fixture(scope="module")
def descending():
    """Networks, and matrices, in gradient flow of the free energy: the noise, if there is one, is in the gauge."""
    start = 0.6 * np.eye(3) + 0.2 * W[0, 0]
    times, settings = np.linspace(0.0, 1.5, 16), {"paths": 8, "dt": 2.5e-3, "seed": 3, "threads": 1, "start": start}
    model = COMPLETION.changed(kappa=0.0)
    return {state: dlnmc.simulate(model, state=state, times=times, **settings) for state in ("matrix", "network")}


def test_the_flow_descends(descending):
    matrix = dlnmc.observe(descending["matrix"])
    assert set(matrix.data_vars) == SPECTRAL | {"sign_of_determinant"}
    assert np.all(np.diff(matrix["free_energy"], axis=1) < 0.0)
    network = dlnmc.observe(descending["network"])
    assert set(network.data_vars) == SPECTRAL | {"sign_of_determinant", "imbalance"}
    assert np.max(network["imbalance"]) < 1e-12
    for state, found in (("matrix", matrix), ("network", network)):
        values = np.linalg.svd(descending[state]["matrix"], compute_uv=False)
        ranks = np.array([observables.effective_rank(s) for s in values.reshape(-1, 3)]).reshape(8, 16)
        assert np.allclose(found["effective_rank"], ranks, rtol=1e-9)
    sigma = descending["network"]["singular_values"].to_numpy()
    assert np.allclose(network["entropy"], geometry.entropy_of_singular_values(3, sigma), rtol=1e-12)
    assert np.allclose(network["energy"], COMPLETION.energy.value(descending["network"]["matrix"]), rtol=1e-12)


# --- jumps of the effective rank --------------------------------------------------------------------------------------


def with_rank(ranks):
    """Singular values (…, 2) whose effective rank is given."""
    p = np.linspace(0.5, 1.0, 200_001)
    entropies = -(p * np.log(p) + (1.0 - p) * np.log(np.maximum(1.0 - p, 1e-300)))
    share = np.interp(-np.log(ranks), -entropies, p)
    return np.sqrt(np.stack([share, 1.0 - share], axis=-1))


def test_jumps_of_the_effective_rank():
    ranks = np.array(
        [
            [1.9, 1.9, 1.7, 1.1, 1.1],  # one fall
            [1.9, 1.2, 1.8, 1.6, 1.2],  # two: the last counts
            [1.9, 1.2, 1.3, 1.7, 1.9],  # one, and a rise
            [1.1, 1.2, 1.6, 1.7, 1.9],  # a rise alone
            [1.9, 1.8, 1.7, 1.7, 1.6],  # none
            [1.9, 1.8, 1.5, 1.5, 1.2],  # from the level itself
        ]
    )
    times = [0.0, 1.0, 2.0, 4.0, 8.0]
    model = INVARIANT.changed(width=2)
    data = result(model, sigma=with_rank(ranks), times=times)
    assert np.allclose(dlnmc.observe(data)["effective_rank"], ranks, atol=1e-6)
    found = dlnmc.rank_jumps(data)
    assert found.dims == ("path", "level")
    assert found["level"].values.tolist() == [1.5]
    assert "clock" in found.attrs["units"]
    expected = [2.0 + 2.0 * 0.2 / 0.6, 4.0 + 4.0 * 0.1 / 0.4, 0.4 / 0.7, np.nan, np.nan, 4.0]
    assert np.allclose(found[:, 0], expected, atol=1e-4, equal_nan=True)
    several = dlnmc.rank_jumps(data, levels=[1.95, 1.5, 1.15])
    assert several["level"].values.tolist() == [1.95, 1.5, 1.15]
    assert several.sel(level=1.5).drop_vars("level").equals(found[:, 0].drop_vars("level"))
    assert np.isnan(several.sel(level=1.95)).all()
    assert np.isfinite(several.sel(level=1.15)).to_numpy().tolist() == [True, False, False, False, False, False]
    gone = data.copy(deep=True)
    gone["singular_values"][0] = np.nan
    assert np.isnan(dlnmc.rank_jumps(gone)).to_numpy().ravel().tolist() == [True, False, False, True, True, False]


def test_levels_are_halfway_between_ranks():
    sigma = np.broadcast_to(np.eye(4).cumsum(axis=0)[::-1], (2, 4, 4))  # ranks 4, 3, 2, 1
    found = dlnmc.rank_jumps(result(INVARIANT.changed(width=4), sigma=sigma))
    assert found["level"].values.tolist() == [3.5, 2.5, 1.5]
    assert np.allclose(found, [[0.5, 1.5, 2.5]] * 2, rtol=0.0, atol=1e-12)


def test_a_fall_begins_at_the_level_or_above_and_ends_below():
    rank = np.array([[4.0, 2.0, 2.0, 1.0], [4.0, 2.0, 2.0, 2.0], [2.0, 2.0, 3.0, 4.0]])
    found = matrix_observables._last_falls(np.arange(4.0), rank, np.array([2.0]))
    assert np.array_equal(found, [[2.0], [np.nan], [np.nan]], equal_nan=True)


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_refusals(refused, network_tree, network_paths, dyson_tree, grid):
    data = result(COMPLETION, W)
    of_factors = result(COMPLETION, factors=geometry.balanced_over(W, 3))
    calls = [
        (lambda: dlnmc.observe(data, "rank"), ["'rank'", "effective_rank"]),
        (lambda: dlnmc.observe(data, "distance"), ["distance", "give minimisers"]),
        (lambda: dlnmc.observe(data, "imbalance"), ["imbalance", "state = 'network'"]),
        (lambda: dlnmc.observe(network_tree, "sign_of_determinant"), ["state = 'matrix'"]),
        (lambda: dlnmc.observe(network_tree, "distance", minimisers=np.eye(5)), ["state = 'matrix'"]),
        (lambda: dlnmc.observe(data.drop_vars("matrix"), "energy"), ["no matrices"]),
        (lambda: dlnmc.observe(data.drop_vars("singular_values"), "entropy"), ["no singular values"]),
        (lambda: dlnmc.observe(data.drop_vars(["singular_values", "matrix"])), ["no states"]),
        (lambda: dlnmc.observe(data.isel(rank=slice(0, 2))), ["singular_values has 2 of 3 along 'rank'"]),
        (lambda: dlnmc.observe(data.isel(row=0)), ["matrix has one of 3 along 'row'"]),
        (lambda: dlnmc.observe(of_factors.isel(factor=slice(0, 2))), ["network has 2 of 3 along 'factor'"]),
        (lambda: dlnmc.observe(dyson_tree), ["Dyson"]),
        (lambda: dlnmc.observe(W), ["ndarray"]),
        (lambda: dlnmc.observe(data.drop_attrs()), ["model = None"]),
        (lambda: dlnmc.observe(data, minimisers=np.eye(2)), ["(2, 2)", "(3, 3)"]),
        (lambda: dlnmc.observe(data, minimisers=np.empty((0, 3, 3))), ["(0, 3, 3)"]),
        (lambda: dlnmc.observe(data, minimisers=[[1.0], [2.0, 3.0]]), ["minimisers"]),
        (lambda: dlnmc.observe(data, minimisers=np.full((3, 3), np.inf)), ["inf"]),
        (lambda: dlnmc.observe(data, minimisers=lambda W: W[0]), ["(10, 3, 3)", "(3, 3)"]),
        (lambda: dlnmc.observe(data, minimisers=lambda W: W[99]), ["IndexError"]),
        (lambda: dlnmc.rank_jumps(network_tree), ["simulate"]),
        (lambda: dlnmc.rank_jumps(grid), ["simulate"]),
        (lambda: dlnmc.rank_jumps(network_paths.isel(time=0)), ["two times"]),
        (lambda: dlnmc.rank_jumps(network_paths.isel(time=[0])), ["two times"]),
        (lambda: dlnmc.rank_jumps(network_paths, levels=[np.nan]), ["levels", "finite"]),
        (lambda: dlnmc.rank_jumps(network_paths, levels=2.5), ["2.5", "list"]),
        (lambda: dlnmc.rank_jumps(network_paths, levels=["one"]), ["one"]),
    ]
    for call, pieces in calls:
        refused(call, *pieces)
