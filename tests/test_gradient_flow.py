"""Paths without noise: what the gradient flow conserves, loses and tends to; its starts, steps and refusals."""

import json
import math

import numpy as np
import pytest
import xarray as xr
from scipy import stats
from scipy.integrate import romb, solve_ivp
from statistical import FALSE_ALARM, distance, envelope

import dlnmc
from dlnmc import geometry
from dlnmc.defaults import step_of_flow
from dlnmc.matrices import form_of
from dlnmc.starts import start_rows

ENERGY = dlnmc.MatrixCompletion(((0, 0, 1.0), (1, 1, -0.5), (2, 1, 0.8)))
TARGET = dlnmc.MatrixCompletion(((0, 0, 2.0), (1, 1, 0.5), (2, 2, 1.2)), 0.1)  # the same kernel
FLOW = dlnmc.DeepLinearNetwork(width=3, depth=3.0, beta=math.inf, kappa=0.0, energy=ENERGY)
WARM = FLOW.changed(beta=2.0)
STATES = pytest.mark.parametrize("state", ["matrix", "network"])
RNG = np.random.default_rng(11)
W = RNG.standard_normal((9, 3, 3))


def flowed(model=FLOW, state="matrix", **settings):
    standard = {"paths": 9, "times": [0.25, 0.5, 1.0, 2.0], "start": W, "threads": 1}
    return dlnmc.simulate(model, state=state, scheme="gradient_flow", **standard | settings)


# --- upstairs and downstairs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [2, 3])
def test_balance_is_conserved_from_unbalanced_networks(depth):
    """G_p = W_{p+1}ᵀW_{p+1} − W_pW_pᵀ (4.2) to 1e-9; the control, Euler's steps, loses it."""
    factors = np.random.default_rng(depth).standard_normal((9, depth, 3, 3))
    model = FLOW.changed(depth=float(depth))
    data = flowed(model, "network", start=factors)
    balance = geometry.balance(data.network.to_numpy())
    before = geometry.balance(factors)[:, None]
    assert np.max(np.abs(before)) > 1.0
    assert np.max(np.abs(balance - before)) < 1e-9
    euler = factors.copy()
    for _ in range(1000):
        euler += 2e-3 * geometry.gradient_flow(euler, ENERGY.gradient(geometry.end_to_end(euler)))
    assert np.max(np.abs(geometry.balance(euler) - before[:, 0])) > 1e-4


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_balanced_networks_and_their_matrices_flow_alike(depth):
    """Theorem 2, to 1e-8; the control is a network that is not balanced over the same W."""
    model = FLOW.changed(depth=float(depth))
    matrices, networks = (flowed(model, state) for state in ("matrix", "network"))
    assert np.max(np.abs(matrices.matrix - networks.matrix)) < 1e-8
    assert np.max(np.abs(matrices.singular_values - networks.singular_values)) < 1e-8
    if depth > 1:
        assert np.max(geometry.imbalance(networks.network.to_numpy())) < 1e-9
        tilted = geometry.balanced_over(W, depth)
        tilted[:, 0] *= 2.0
        tilted[:, 1] *= 0.5
        assert np.max(np.abs(flowed(model, "network", start=tilted).matrix - matrices.matrix)) > 1e-2


@STATES
def test_energy_decays_at_the_rate_of_the_riemannian_gradient(state):
    """(4.22): dE/dt = −|grad E|²_g = −⟨E', A(E')⟩, its integral by Romberg's rule over outputs, to 1e-7."""
    data = flowed(state=state, start=W / 3.0, times=np.arange(65) / 64.0, tolerance=1e-12)
    matrices = data.matrix.to_numpy()
    slope = ENERGY.gradient(matrices)
    for depth, agrees in ((3.0, True), (3.1, False)):  # the control: the metric of another depth
        rate = np.sum(slope * geometry.apply_A(depth, matrices, slope), axis=(-2, -1))
        lost = romb(rate, dx=1.0 / 64.0, axis=1)
        difference = float(np.abs(data.energy[:, 0] - data.energy[:, -1] - lost).max())
        assert (difference < 1e-7) == agrees
    assert np.all(np.diff(data.energy) < 0.0)
    assert data.free_energy.equals(data.energy)


@pytest.mark.parametrize("depth", [1.0, 2.5, 3.0, math.inf])
def test_matrices_follow_the_flow_of_plain_numpy(depth):
    data = flowed(WARM.changed(depth=depth), tolerance=1e-12)

    def flow(t, w):
        return geometry.drift(depth, w.reshape(3, 3), ENERGY.gradient(w.reshape(3, 3)), 2.0, 0.0).ravel()

    for path in range(2):
        exact = solve_ivp(flow, (0.0, 2.0), W[path].ravel(), "DOP853", data.time.to_numpy(), rtol=1e-12, atol=1e-13)
        assert data.matrix[path].to_numpy().reshape(4, 9) == pytest.approx(exact.y.T, abs=1e-9)


def test_singular_values_pass_each_other_smoothly():
    """Diagonal W stay diagonal, and their entries pass each other as in an equation that knows nothing of it."""
    model = WARM.changed(energy=TARGET, beta=20.0)
    start = np.diag([0.3, 0.9, 1.1])
    times = np.linspace(0.0, 1.0, 33)
    data = flowed(model, start=start, paths=1, times=times, tolerance=1e-12)
    entries = np.diagonal(data.matrix[0].to_numpy(), axis1=1, axis2=2)
    off = data.matrix[0].to_numpy() - entries[:, :, None] * np.eye(3)
    assert np.max(np.abs(off)) < 1e-12
    assert np.ptp(np.sign(entries[:, 0] - entries[:, 1])) == 2.0  # they did

    def flow(t, sigma):
        lam, v = sigma ** (2.0 / 3.0), np.diagonal(TARGET.gradient(np.diag(sigma)))
        k = np.arange(3)
        a = lam[:, None] ** 2 + lam[:, None] * lam + lam**2
        share = np.sum((2.0 * lam[:, None] ** 2 + lam[:, None] * lam) / a, axis=1, where=k[:, None] != k) / 3.0
        return -3.0 * sigma ** (4.0 / 3.0) * v + 3.0 * sigma ** (1.0 / 3.0) * share / 20.0

    exact = solve_ivp(flow, (0.0, 1.0), np.diag(start), "DOP853", times, rtol=1e-12, atol=1e-13)
    assert entries == pytest.approx(exact.y.T, abs=1e-9)


# --- free energy ------------------------------------------------------------------------------------------------------

ROUND = dlnmc.DeepLinearNetwork(width=4, depth=3.0, beta=5.0, kappa=0.0)
SPREADS = {"equal": [1.3] * 4, "two equal": [0.2, 0.9, 0.9, 1.4], "distinct": [0.1, 0.6, 1.1, 1.9]}


@pytest.mark.parametrize("state", ["singular_values", "matrix"])
@pytest.mark.parametrize("depth", [3.0, math.inf])
def test_free_energy_falls_and_all_singular_values_meet(depth, state):
    """σ*² = (d−1)(1−1/N)/(2β) (Chen, Kotwal and Menon 2025), to 1e-8, for E = ½ Tr WᵀW."""
    model, values = ROUND.changed(depth=depth), np.array(list(SPREADS.values()))
    left, right = (np.linalg.qr(np.random.default_rng(1).standard_normal((3, 4, 4)))[0] for _ in range(2))
    start = values if state == "singular_values" else left * values[:, None, :] @ right
    data = flowed(model, state, start=start, paths=3, times=np.append(np.arange(1.0, 8.0), 300.0))
    limit = math.sqrt(3.0 * (1.0 - 1.0 / depth) / 10.0)
    assert np.max(np.abs(data.singular_values[:, -1] - limit)) < 1e-8
    free = data.free_energy.to_numpy()
    assert np.all(np.diff(free[:, :-1]) < 0.0)
    assert np.all(free[:, -1] <= free[:, -2])
    S = geometry.entropy_of_singular_values(depth, data.singular_values.to_numpy())
    assert free == pytest.approx(data.energy.to_numpy() - S / 5.0, abs=1e-12)
    assert data.energy.to_numpy() == pytest.approx(0.5 * np.sum(data.singular_values.to_numpy() ** 2, axis=2))
    wrong = data.energy.to_numpy() - S / 0.5
    assert not np.all(np.diff(wrong) < 0.0)  # the control: that of another temperature


def test_what_coincides_stays_together_and_what_does_not_meets_at_the_end():
    data = flowed(ROUND, "singular_values", start=SPREADS["two equal"], paths=1, times=[0.5, 2.0, 300.0])
    s = data.singular_values[0].to_numpy()
    assert s[:, 1] == pytest.approx(s[:, 2], rel=1e-13)
    assert s[0, 0] - s[0, 1] > 1e-2
    assert np.ptp(s[-1]) < 1e-8


def test_coordinates_agree():
    lam, sigma = (
        flowed(ROUND, "singular_values", start=SPREADS["distinct"], coordinates=coordinates)
        for coordinates in ("lambda", "sigma")
    )
    assert lam.singular_values.to_numpy() == pytest.approx(sigma.singular_values.to_numpy(), abs=1e-8)


def test_eigenvalues_come_to_the_zeros_of_a_hermite_polynomial():
    """Stieltjes (1885); the free energy is V − (2/β) Σ log |x_i − x_j|."""
    model = dlnmc.DysonBrownianMotion(size=4, beta=3.0, kappa=0.0)
    data = flowed(model, "eigenvalues", start=[-1.0, 0.0, 1e-3, 2.0], times=[0.0, 0.1, 1.0, 20.0])
    zeros = np.polynomial.hermite.hermgauss(4)[0]
    assert data.eigenvalues[:, -1].to_numpy() == pytest.approx(np.tile(zeros * math.sqrt(2.0 / 3.0), (9, 1)), abs=1e-9)
    x = data.eigenvalues[0, 1].to_numpy()
    i, j = np.triu_indices(4, 1)
    free = 0.5 * np.sum(x**2) - 2.0 / 3.0 * np.sum(np.log(np.abs(x[i] - x[j])))
    assert float(data.free_energy[0, 1]) == pytest.approx(free, rel=1e-12)
    assert np.all(np.diff(data.free_energy) < 0.0)


# --- steps and bits ---------------------------------------------------------------------------------------------------


def test_the_step_is_the_largest_that_meets_all_times():
    assert step_of_flow((0.5, 1.0, 2.0)) == 0.5
    assert step_of_flow((0.3, 0.7)) == pytest.approx(0.1)
    assert step_of_flow((0.0,)) == 1.0
    assert step_of_flow((0.0, 1e4)) == 1e4
    assert step_of_flow((1e-3, 1e-2, 0.1, 1.0, 10.0)) == pytest.approx(1e-3)
    assert step_of_flow((1.0 / 3.0 + 1e-10, 1.0)) == 1.0 / 16384  # a third would be rounded up to two
    assert step_of_flow((0.1, 1.0 / 3.0, math.pi)) == math.pi / 16384
    data = flowed(times=[0.1, 1.0 / 3.0, math.pi])
    assert np.all(data.time.to_numpy() >= [0.1, 1.0 / 3.0, math.pi])
    assert data.time.to_numpy() == pytest.approx([0.1, 1.0 / 3.0, math.pi], abs=math.pi / 16384)
    assert data.attrs["dt"] == math.pi / 16384
    assert data.attrs["tolerance"] == 1e-10


def test_times_that_coincide_are_refused_with_advice(refused):
    times = np.geomspace(1e-3, 1e3, 13)
    refused(lambda: flowed(times=times), "0.001 and the next", "give a smaller dt", "farther apart")
    assert len(flowed(times=times[:9]).time) == 9


@STATES
def test_the_step_does_not_matter_but_the_tolerance_does(state):
    few, many = flowed(state=state), flowed(state=state, dt=1.0 / 64.0)
    assert np.max(np.abs(few.matrix - many.matrix)) < 1e-8
    exact, rough = flowed(state=state, tolerance=1e-13), flowed(state=state, tolerance=1e-3)
    error, control = (float(np.max(np.abs(data.matrix - exact.matrix))) for data in (few, rough))
    assert 0.0 < error < 1e-8
    assert control > 100.0 * error
    config = json.loads(few.attrs["config"])
    assert (config["dt"], config["tolerance"], config["scheme"]) == (0.25, 1e-10, "gradient_flow")
    assert config["coordinates"] == state


@STATES
def test_threads_chunks_and_neighbours_change_no_bit(state, paths_of, arrays_of, same_bits, small_chunks, monkeypatch):
    settings = {"scheme": "gradient_flow", "state": state, "times": (0.5, 2.0), "dt": None}
    member = paths_of(FLOW, "gaussian", **settings)
    reference = arrays_of(member)
    small_chunks(monkeypatch)
    same_bits(arrays_of(member, threads=3), reference)
    monkeypatch.undo()
    more = arrays_of(paths_of(FLOW, "gaussian", paths=45, **settings))
    assert more["states"][:21].tobytes() == reference["states"].tobytes()
    order = np.random.default_rng(0).permutation(9)
    plain, permuted = flowed(state=state), flowed(state=state, start=W[order])
    assert permuted.matrix.to_numpy().tobytes() == plain.matrix.to_numpy()[order].tobytes()


def test_a_flow_that_goes_on_from_a_result_is_the_same_flow():
    factors = np.random.default_rng(3).standard_normal((9, 3, 3, 3))
    whole = flowed(state="network", start=factors, times=[1.0, 2.0])
    onward = flowed(state="network", start=flowed(state="network", start=factors, times=[1.0]), times=[1.0])
    assert np.max(np.abs(onward.network[:, -1] - whole.network[:, -1])) < 1e-8
    assert np.max(geometry.imbalance(onward.network.to_numpy())) > 0.1
    downstairs = flowed(start=flowed(times=[1.0]), times=[1.0])
    assert np.max(np.abs(downstairs.matrix[:, -1] - flowed(times=[2.0]).matrix[:, -1])) < 1e-8


@STATES
def test_a_file_holds_the_same(state, tmp_path):
    data = flowed(state=state, bins=8)
    dlnmc.save(data, tmp_path / "flow.nc")
    assert dlnmc.open(tmp_path / "flow.nc").to_dataset().equals(data)
    with xr.open_dataset(tmp_path / "flow.nc", engine="netcdf4") as plain:
        assert {"energy", "free_energy", "matrix"} <= set(plain)
    dlnmc.plot(data, tmp_path / "flow.png")


def test_a_path_that_runs_away_is_named(refused):
    start = W.copy()
    start[3] *= 1e60
    advice = "take another tolerance, or another start, or"
    refused(lambda: flowed(start=start), "1 of", "path 3 at step 0", advice, error=dlnmc.RunFailed)
    data = flowed(start=start, failed_fraction=0.2)
    assert np.flatnonzero(data.status).tolist() == [3]
    assert np.all(np.isnan(data.energy[3]))
    assert np.all(np.isfinite(data.free_energy.drop_isel(path=3)))


# --- starts -----------------------------------------------------------------------------------------------------------


@STATES
def test_a_start_near_the_identity(state):
    data = flowed(state=state, start="identity", times=[0.0, 1.0], paths=2)
    assert data.matrix[:, 0].to_numpy() == pytest.approx(np.tile(0.01 * np.eye(3), (2, 1, 1)), abs=1e-16)
    if state == "network":
        factors = data.network[:, 0].to_numpy()
        assert factors == pytest.approx(np.tile(0.01 ** (1.0 / 3.0) * np.eye(3), (2, 3, 1, 1)), abs=1e-15)


@pytest.mark.parametrize("start", ["gaussian", "identity"])
def test_as_many_paths_in_a_chunk_as_factors_start_from_matrices(start, paths_of):
    """Eight matrices (8, d, d) of a named start are not the factors of one network."""
    model = FLOW.changed(depth=8.0)
    flow = flowed(model, "network", start=start, paths=8, times=[0.0])
    assert flow.network.shape == (8, 1, 8, 3, 3)
    kept = flowed(model, "matrix", start=start, paths=8, times=[0.0])
    assert flow.matrix.to_numpy() == pytest.approx(kept.matrix.to_numpy(), abs=1e-13)
    noisy = paths_of(model.changed(kappa=1.0, beta=2.0), start, state="network", paths=8, scheme="euler_maruyama").run
    for run in (noisy, noisy.changed(paths=16)):
        rows = start_rows(run, None, 0, 1)
        assert rows.shape == (8, 9 * 9 + 3)
        read = form_of(run).read(run.model, rows)["matrix"][1]
        assert read == pytest.approx(kept.matrix.to_numpy()[:, 0], abs=1e-13)


def test_as_many_paths_as_factors_go_on_from_matrices():
    """A result says that it holds three matrices, not a network of three factors."""
    first = flowed(start=W[:3], paths=3, times=[0.5])
    onward = flowed(state="network", start=first, paths=3, times=[0.0])
    assert onward.matrix.to_numpy() == pytest.approx(first.matrix.to_numpy(), abs=1e-12)


def test_gaussian_starts_have_their_law_and_networks_are_over_them(paths_of):
    many = flowed(start="gaussian", times=[0.0], paths=4096, seed=5)
    entries = many.matrix.to_numpy().reshape(4096, 9) * math.sqrt(3.0)
    bound = envelope(4096, FALSE_ALARM / 9)
    assert max(distance(entries[:, k], stats.norm.cdf) for k in range(9)) < bound
    assert distance(entries[:, 0] * 1.2, stats.norm.cdf) > 0.7 * bound  # the control; see the next line
    assert distance(entries.ravel() * 1.1, stats.norm.cdf) > envelope(4096 * 9, FALSE_ALARM)
    assert np.max(np.abs(np.corrcoef(entries.T) - np.eye(9))) < 6.0 / math.sqrt(4096)
    networks = flowed(state="network", start="gaussian", times=[0.0], paths=16, seed=5)
    assert networks.matrix.to_numpy() == pytest.approx(many.matrix[:16].to_numpy(), abs=1e-13)
    assert np.max(geometry.imbalance(networks.network.to_numpy())) < 1e-13
    for state in ("matrix", "network"):  # states of frames take them too
        assert paths_of(WARM.changed(kappa=0.5), state=state, start="gaussian").run.start == "gaussian"


@pytest.mark.parametrize("start", ["identity", "gaussian"])
def test_named_matrices_are_for_whole_states(start, refused):
    refused(lambda: flowed(ROUND, "singular_values", start=start), f"start = '{start}'", "'matrix'", "'network'")
    dyson = dlnmc.DysonBrownianMotion(size=3, beta=3.0)
    for state in ("eigenvalues", "hermitian"):
        refused(lambda s=state: dlnmc.simulate(dyson, paths=1, dt=0.1, times=[0.1], start=start, state=s), start)


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_noise_is_refused(refused):
    for state, other in (("singular_values", "'leimkuhler_matthews'"), ("matrix", ""), ("network", "")):
        model = ROUND.changed(kappa=0.5)
        pieces = ("kappa = 0.5", "euler_maruyama", "or kappa = 0")
        text = refused(lambda m=model, s=state: flowed(m, s, start="random"), *pieces)
        assert other.strip("'") in text
        assert "use gradient_flow" not in text
    refused(lambda: flowed(WARM.changed(kappa=0.5), coordinates="matrix"), "noise; use kappa = 0")
    refused(lambda: flowed(WARM, "network"), "beta = 2", "gauge", "state = 'matrix'", "beta = inf")
    dyson = dlnmc.DysonBrownianMotion(size=3, beta=3.0, kappa=0.0)
    refused(lambda: flowed(dyson, "hermitian", start="random"), "orbits", "'eigenvalues'", "'euler_maruyama'")
    text = "scheme = 'gradient_flow'"
    refused(lambda: dlnmc.equilibrium(ROUND, scheme="gradient_flow"), text, "use simulate")
    refused(lambda: dlnmc.equilibrium(ROUND.changed(kappa=1.0), scheme="gradient_flow"), text, "euler_maruyama")


def test_settings_that_are_not_its_own_are_refused(refused):
    settings = {"paths": 1, "dt": 0.1, "times": [0.1]}
    refused(lambda: dlnmc.simulate(ROUND, tolerance=1e-8, **settings), "tolerance = 1e-08", "'gradient_flow'")
    refused(lambda: flowed(tolerance=1e-20), "tolerance", "1e-20")
    refused(lambda: flowed(tolerance=0.5), "tolerance", "0.5")
    refused(lambda: dlnmc.simulate(FLOW, coordinates="matrix", start=W[0], **settings), "'matrix'", "'gradient_flow'")
    for state, coordinates in (("matrix", "frames"), ("network", "balanced")):
        pieces = (f"coordinates '{coordinates}'", "scheme = 'euler_maruyama'", "leave coordinates out")
        refused(lambda s=state, c=coordinates: flowed(state=s, coordinates=c), *pieces)
    refused(lambda: flowed(start=None), "'gaussian', 'identity' or an array")
    refused(lambda: dlnmc.simulate(ROUND, paths=1, times=[0.1]), "dt = None", "time step")
    refused(lambda: flowed(start=np.ones((2, 2))), "(2, 2)", "(3, 3)")
    refused(lambda: flowed(dt=-1.0), "dt = -1.0")
