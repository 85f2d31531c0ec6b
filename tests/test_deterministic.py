"""Without noise: κ = 0, the flow of free energy, and β = ∞ besides, gradient flow; both against what is known exactly.

For E = ½ Tr WᵀW all singular values tend to σ* with σ*² = (d−1)(1−1/N)/(2β) along the flow of free energy (Chen, Kotwal
and Menon 2025), and Dyson's eigenvalues to √(2/β) times the zeros of a Hermite polynomial (Stieltjes 1885).
"""

import itertools
import math

import numpy as np
import pytest

import dlnmc

EQUAL = [0.4, 0.9, 0.9, 1.3, 1.7]  # two coincide
FLOW = dlnmc.DeepLinearNetwork(width=5, depth=3.0, beta=5.0, kappa=0.0)


def final(model, start, time, dt, **settings):
    """The states at one time, ascending: of every path, which must be the same."""
    data = dlnmc.simulate(model, **{"paths": 9, "dt": dt, "times": [time], "start": start, "threads": 1} | settings)
    assert int(data.status.sum()) == 0
    name = "eigenvalues" if "eigenvalues" in data else "singular_values"
    values = np.sort(data[name].to_numpy()[:, 0], axis=-1)
    assert np.all(values == values[0])
    return values[0]


# --- κ = 0 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1.5, 2.0, 3.0, 8.0, 30.0, math.inf])
def test_all_singular_values_tend_to_one_also_from_coinciding_ones(depth):
    model = FLOW.changed(depth=depth, clock="depth")
    limit = math.sqrt((5 - 1) * (1 - 1 / depth) / (2 * 5.0))
    assert np.max(np.abs(final(model, EQUAL, 200.0, 0.02) - limit)) < 1e-8


def test_the_limit_in_the_papers_clock_and_from_all_equal_values():
    limit = math.sqrt(4 * (1 - 1 / 3) / 10.0)
    assert limit == pytest.approx(0.516398, abs=1e-6)
    assert np.max(np.abs(final(FLOW, EQUAL, 40.0, 0.005) - limit)) < 1e-8
    values = final(FLOW, [1.3] * 5, 0.5, 0.005)
    assert np.all(values == values[0])  # what coincides stays together
    assert values[0] < 1.3


@pytest.mark.parametrize("gap", [0.0, 1e-15, 1e-12, 1e-9, 1e-6, 1e-3])
def test_nearly_equal_values_are_as_good_as_others(gap):
    """The entropic force is smooth: a small gap changes the flow by as little."""
    start = [0.4, 0.9, 0.9 * (1.0 + gap), 1.3, 1.7]
    assert np.max(np.abs(final(FLOW, start, 0.5, 0.005) - final(FLOW, EQUAL, 0.5, 0.005))) <= 2.0 * gap + 1e-13


def test_one_singular_value_has_no_entropy():
    """λ' = −λ^{2N−1}, for d = 1."""
    model = FLOW.changed(width=1)
    expected = (0.8 ** (-4.0 / 3.0) + 4.0 * 2.0) ** (-3.0 / 4.0)
    assert final(model, [0.8], 2.0, 1e-4)[0] == pytest.approx(expected, rel=1e-3)


def free_energy(model, sigma):
    """E − S/β, S = ½ Σ log (σ_k² − σ_l²)/(λ_k² − λ_l²)."""
    lam = sigma ** (1.0 / model.depth)
    entropy = sum(
        0.5 * math.log((a**2 - b**2) / (x**2 - y**2))
        for (a, x), (b, y) in itertools.combinations(zip(sigma, lam, strict=True), 2)
    )
    return 0.5 * np.sum(sigma**2) - entropy / model.beta


def test_free_energy_decreases_along_the_flow():
    data = dlnmc.simulate(FLOW, paths=1, dt=0.002, times=np.linspace(0.0, 1.0, 21), start=[0.2, 0.5, 0.9, 1.3, 1.7])
    values = [free_energy(FLOW, sigma) for sigma in data.singular_values.to_numpy()[0]]
    assert np.all(np.diff(values) < 0.0)
    backwards = [free_energy(FLOW.changed(beta=0.5), sigma) for sigma in data.singular_values.to_numpy()[0]]
    assert not np.all(np.diff(backwards) < 0.0)  # the control: it is not that of another temperature


@pytest.mark.parametrize(
    ("model", "coordinates"),
    [(FLOW, "lambda"), (FLOW, "sigma"), (FLOW.changed(depth=math.inf), "log"),
     (dlnmc.DysonBrownianMotion(5, 5.0, 0.0), "eigenvalues")],
    ids=["lambda", "sigma", "log", "dyson"],
)  # fmt: skip
def test_schemes_are_one_explicit_step_of_euler_and_seeds_do_not_matter(model, coordinates):
    start = [0.4, 0.7, 0.9, 1.3, 1.7]
    reference = final(model, start, 0.3, 0.01, coordinates=coordinates, scheme="euler_maruyama")
    schemes = ["milstein"] if coordinates == "sigma" else ["milstein", "leimkuhler_matthews"]
    for scheme in schemes:
        found = final(model, start, 0.3, 0.01, coordinates=coordinates, scheme=scheme, seed=7)
        assert found == pytest.approx(reference, rel=1e-14)
    half = final(model, start, 0.3, 0.005, coordinates=coordinates)
    quarter = final(model, start, 0.3, 0.0025, coordinates=coordinates)
    assert np.max(np.abs(half - quarter) / np.abs(reference - half)) == pytest.approx(0.5, abs=0.1)  # order 1


def test_lambda_and_sigma_are_coordinates_of_the_same_flow():
    fine = [final(FLOW, EQUAL, 0.5, 1e-4, coordinates=coordinates) for coordinates in ("lambda", "sigma")]
    assert fine[0] == pytest.approx(fine[1], abs=2e-4)


@pytest.mark.parametrize("model", [FLOW, FLOW.changed(depth=math.inf)], ids=["network", "infinite depth"])
def test_weak_noise_stays_near_the_flow(model):
    """Fluctuations are of the order √κ: from κ = 10⁻⁴ to 10⁻⁸ they fall by a hundred."""
    start = [0.4, 0.7, 0.9, 1.3, 1.7]
    limit = final(model, start, 0.5, 0.005)
    off = []
    for kappa in (1e-4, 1e-8):
        data = dlnmc.simulate(model.changed(kappa=kappa), paths=64, dt=0.005, times=[0.5], start=start)
        off.append(np.median(np.abs(np.sort(data.singular_values.to_numpy()[:, 0]) - limit)))
    assert 50.0 < off[0] / off[1] < 200.0


@pytest.mark.parametrize("energy", ["quadratic", "none"])
def test_dyson_without_noise_is_on_the_zeros_of_a_hermite_polynomial(energy):
    model = dlnmc.DysonBrownianMotion(5, 3.0, 0.0, energy)
    zeros = np.polynomial.hermite.hermgauss(5)[0]
    size = math.sqrt(2.0 / 3.0)
    if energy == "quadratic":  # where the flow ends, from anywhere
        assert np.max(np.abs(final(model, [-2.0, -0.1, 0.0, 0.1, 3.0], 40.0, 0.01) - size * zeros)) < 1e-8
    else:  # a(t)² = a(0)² + 4t/β, and the shape stays
        found = final(model, size * zeros, 2.0, 2e-4)
        assert found == pytest.approx(math.sqrt(2.0 / 3.0 + 8.0 / 3.0) * zeros, rel=2e-3, abs=1e-12)


def test_a_random_start_needs_no_noise_in_the_equation():
    data = dlnmc.simulate(FLOW, paths=64, dt=0.01, times=[0.0, 40.0])
    first, last = data.singular_values.to_numpy().transpose(1, 0, 2)
    assert len(np.unique(first)) == first.size
    assert np.max(np.abs(last - math.sqrt(4 * (1 - 1 / 3) / 10.0))) < 1e-6


def test_equal_values_pass_through_files_histograms_and_continuations(tmp_path):
    data = dlnmc.simulate(FLOW, paths=9, dt=0.01, times=[0.1, 0.2], start=EQUAL, bins=8)
    assert int(data.counts.sum() + data.underflow.sum() + data.overflow.sum()) == 9 * 5 * 2
    opened = dlnmc.open(dlnmc.save(data, tmp_path / "a.nc"))
    more = dlnmc.simulate(FLOW, paths=9, dt=0.01, times=[0.1], start=opened)
    whole = dlnmc.simulate(FLOW, paths=9, dt=0.01, times=[0.3], start=EQUAL)
    assert np.allclose(more.singular_values, whole.singular_values, rtol=1e-13)


# --- β = ∞ ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1.0, 2.0, 3.0, 10.0, math.inf])
def test_gradient_flow_is_that_of_each_singular_value_alone(depth):
    """λ' = −λ^{2N−1} in the paper's clock; y' = −2y² in that of infinite depth, y = σ²; from 0 nothing moves."""
    model = dlnmc.DeepLinearNetwork(4, depth, math.inf, 0.0)
    start = np.array([0.3, 0.8, 0.8, 1.6])
    times = [0.25, 1.0, 4.0]
    data = dlnmc.simulate(model, paths=3, dt=1e-4, times=times, start=start)
    for t, found in zip(times, data.singular_values.to_numpy()[0, :, ::-1], strict=True):
        if depth == 1.0:
            expected = start * math.exp(-t)
        elif math.isinf(depth):
            expected = (start**-2.0 + 2.0 * t) ** -0.5
        else:
            power = 2.0 - 2.0 / depth
            expected = (start**-power + (2.0 * depth - 2.0) * t) ** (-1.0 / power)
        assert found == pytest.approx(expected, rel=5e-3)
    assert np.all(np.diff(data.singular_values.to_numpy(), axis=1) < 0.0)
    if math.isfinite(depth):
        assert np.all(final(model, [0.0, 0.0, 0.0, 0.0], 1.0, 0.01) == 0.0)


def test_gradient_flow_decreases_to_zero():
    values = final(dlnmc.DeepLinearNetwork(4, 2.0, math.inf, 0.0), [0.3, 0.8, 0.8, 1.6], 1e4, 0.05)
    assert np.all(values < 1e-4)
    assert np.all(values > 0.0)
    assert np.max(np.abs(final(dlnmc.DysonBrownianMotion(3, math.inf, 0.0), [-1.0, 0.5, 2.0], 40.0, 0.01))) < 1e-12


def test_gradient_flow_finds_the_nearest_minimum_of_a_double_well():
    """E = Σ σ⁴/4 − σ²/2: every singular value tends to 1, but from 0."""
    model = dlnmc.DeepLinearNetwork(3, 2.0, math.inf, 0.0, dlnmc.Polynomial((-0.5, 0.25)))
    assert final(model, [0.1, 0.5, 3.0], 60.0, 0.005) == pytest.approx([1.0] * 3, abs=1e-8)
    assert final(model, [0.0, 0.5, 3.0], 60.0, 0.005) == pytest.approx([0.0, 1.0, 1.0], abs=1e-8)
    dyson = dlnmc.DysonBrownianMotion(3, math.inf, 0.0, dlnmc.Polynomial((0.0, -0.5, 0.0, 0.25)))
    assert final(dyson, [-0.1, 0.5, 3.0], 60.0, 0.005) == pytest.approx([-1.0, 1.0, 1.0], abs=1e-8)


def test_without_energy_and_temperature_nothing_moves():
    model = dlnmc.DeepLinearNetwork(3, 2.0, math.inf, 0.0, "none")
    assert final(model, [0.25, 1.0, 1.0], 5.0, 0.01) == pytest.approx([0.25, 1.0, 1.0], rel=1e-14)


def test_results_at_infinite_beta_say_so(tmp_path):
    model = dlnmc.DeepLinearNetwork(3, 2.0, math.inf, 0.0)
    data = dlnmc.simulate(model, paths=9, dt=0.01, times=[0.0, 0.5], start=[0.5, 1.0, 2.0], bins=16)
    assert float(data.beta) == math.inf
    assert int(data.counts.sum() + data.underflow.sum() + data.overflow.sum()) == 9 * 3 * 2
    assert np.all(np.isfinite(data.edges))
    assert dlnmc.open(dlnmc.save(data, tmp_path / "a.nc")).to_dataset().identical(data)


def test_entropy_repels_equal_zeros_and_they_are_no_start(refused):
    model = dlnmc.DeepLinearNetwork(3, 2.0, 3.0, 0.0)
    refused(lambda: final(model, [0.0, 0.0, 1.0], 1.0, 0.01), "start", "0.0 twice", "entropy")
    assert np.all(np.isfinite(final(model, [0.0, 0.5, 1.0], 1.0, 0.01)))
