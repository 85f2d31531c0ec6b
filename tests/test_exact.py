"""Exact draws: their laws, their reproducibility, and what is refused.

Statistical tests have fixed seeds, a false-alarm rate of 1e-6, and controls that they reject with power above 0.999.
"""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from scipy.special import gamma as gamma_function
from scipy.special import gammainc, gammaincc, gammaln
from statistical import FALSE_ALARM, POWER, distance, distance_of_laws, envelope, paths_for_power

import dlnmc
from dlnmc import ensembles, exact_sampling, laws
from dlnmc.exact_sampling import exact
from dlnmc.executors import thread_count
from dlnmc_kernels.philox import EXACT, START

DYSON = dlnmc.DysonBrownianMotion(size=5, beta=3.0, kappa=0.7)
FREE = DYSON.changed(energy="none")
NETWORK = dlnmc.DeepLinearNetwork(width=5, depth=2.5, beta=3.0, kappa=0.5)
CASES = [
    *((DYSON.changed(kappa=kappa), None) for kappa in (1e-3, 0.7, 1.0, 2.0)),
    *((DYSON, time) for time in (0.01, 0.8)),
    *((FREE.changed(kappa=kappa), time) for kappa, time in ((0.3, 0.05), (2.0, 40.0))),
    (DYSON.changed(size=1), None),
    (DYSON.changed(size=40), None),
    *((NETWORK.changed(depth=depth), None) for depth in (1.0, 2.5, 7.0, 1e6)),
    (NETWORK.changed(width=40), None),
    *((NETWORK.changed(depth=1.0, kappa=kappa), None) for kappa in (0.1, 1.0, 30.0)),
    *((NETWORK.changed(width=1, depth=depth, kappa=2.0), None) for depth in (1.0, 5.5)),
]


def name_of(case):
    model, time = case
    depth = f"-depth{model.depth:g}" if hasattr(model, "depth") else ""
    return f"{model.kind}{model.size}{depth}-kappa{model.kappa:g}-{model.energy.kind}-{time}"


EACH = pytest.mark.parametrize("case", CASES, ids=name_of)


def values(data):
    """The values of a result, ascending, shape (path, component)."""
    return data["eigenvalues"].values if "eigenvalues" in data else data["singular_values"].values[:, ::-1]


# --- laws -------------------------------------------------------------------------------------------------------------


@EACH
def test_the_trace_has_its_gamma_law(case):
    """Tr WᵀW or Σx² of independent paths: KS; a Gamma law of a shape 15 % larger is rejected."""
    model, time = case
    law = laws.trace(model, time)
    wrong = laws.Gamma(1.15 * law.shape, law.scale)
    paths = paths_for_power(distance_of_laws(law, wrong), 0.0)
    trace = np.sum(values(exact(model, paths=paths, time=time, seed=21)) ** 2, axis=1)
    assert distance(trace, law.cdf) < envelope(paths, FALSE_ALARM)
    assert distance(trace, wrong.cdf) > envelope(paths, FALSE_ALARM)


@pytest.mark.parametrize("kappa", [0.2, 1.0, 2.0])
@pytest.mark.parametrize(("energy", "time"), [("quadratic", None), ("quadratic", 0.4), ("none", 0.4)])
def test_the_gap_of_two_has_its_law(kappa, energy, time):
    """KS; the law for κ 20 % larger, with the same second moment, is rejected."""
    model = dlnmc.DysonBrownianMotion(size=2, beta=3.0, kappa=kappa, energy=energy)
    law, wrong = laws.gap(model, time), laws.gap(model.changed(kappa=min(1.2 * kappa, 2.0)), time)
    if kappa == 2.0:
        wrong = laws.gap(model.changed(kappa=1.6), time)
    paths = paths_for_power(distance_of_laws(law, wrong), 0.0)
    gap = np.diff(values(exact(model, paths=paths, time=time, seed=22)), axis=1)[:, 0]
    assert distance(gap, law.cdf) < envelope(paths, FALSE_ALARM)
    assert distance(gap, wrong.cdf) > envelope(paths, FALSE_ALARM)


@pytest.mark.parametrize("depth", [1.0, 3.0, 20.0])
def test_the_smaller_of_two_has_its_law(depth):
    """κ = ½: y = σ² has the density Π y^a e^{−βy} |y_1 − y_2|, a = 1/(2N) − 1: KS; half the depth is rejected."""
    model = dlnmc.DeepLinearNetwork(width=2, depth=depth, beta=3.0, kappa=0.5)

    def cdf(depth):
        a = 0.5 / depth - 1.0
        log_y = np.linspace(-70.0 * max(depth, 1.0), math.log(60.0), 60_001)  # of β y
        y = np.exp(log_y)
        above = gammaincc(a + 2.0, y) * gamma_function(a + 2.0) - y * gammaincc(a + 1.0, y) * gamma_function(a + 1.0)
        density = np.exp((a + 1.0) * log_y - y) * above
        cumulative = np.append(0.0, np.cumsum(density[1:] + density[:-1]))
        return lambda smallest: np.interp(np.log(3.0 * smallest**2), log_y, cumulative / cumulative[-1])

    paths = 20_000
    smallest = values(exact(model, paths=paths, seed=23))[:, 0]
    law, wrong = cdf(depth), cdf(depth / 2.0 if depth > 1.0 else 1.5)
    at = np.quantile(smallest, np.linspace(0.01, 0.99, 99))
    threshold = envelope(paths, FALSE_ALARM)
    assert distance(smallest, law) < threshold
    assert np.max(np.abs(law(at) - wrong(at))) > threshold + envelope(paths, 1.0 - POWER)
    assert distance(smallest, wrong) > threshold


def distance_of_samples(one, other):
    at = np.concatenate([one, other])
    one, other = np.sort(one), np.sort(other)
    ranks = [np.searchsorted(x, at, side="right") / len(x) for x in (one, other)]
    return float(np.max(np.abs(ranks[0] - ranks[1])))


def gaussian_singular_values(model, rng, paths):
    matrices = rng.normal(size=(paths, model.width, model.width)) * math.sqrt(model.kappa / model.beta)
    return np.linalg.svd(matrices, compute_uv=False)[:, ::-1]


def gaussian_eigenvalues(model, rng, paths):
    """GOE at κ = 2, GUE at κ = 1."""
    shape = (paths, model.size, model.size)
    matrices = rng.normal(size=shape) + (1j * rng.normal(size=shape) if model.kappa == 1.0 else 0.0)
    hermitian = (matrices + matrices.conj().transpose(0, 2, 1)) / 2.0
    return np.linalg.eigvalsh(hermitian) * math.sqrt(model.kappa / model.beta)


@pytest.mark.parametrize(
    ("model", "dense"),
    [
        (NETWORK.changed(depth=1.0, kappa=1.0), gaussian_singular_values),
        (NETWORK.changed(depth=1.0, kappa=0.5), gaussian_singular_values),
        (DYSON.changed(kappa=1.0), gaussian_eigenvalues),
        (DYSON.changed(kappa=2.0), gaussian_eigenvalues),
    ],
    ids=["network", "network-half", "gue", "goe"],
)
def test_each_component_has_the_law_of_dense_gaussian_matrices(model, dense, rng):
    """Two-sample distances of every component and of the gaps; matrices 10 % larger are rejected."""
    paths = 20_000
    ours, theirs = values(exact(model, paths=paths, seed=24)), dense(model, rng(25), paths)
    ours, theirs = (np.concatenate([x, np.diff(x, axis=1)], axis=1) for x in (ours, theirs))
    columns = ours.shape[1]
    threshold = 2.0 * envelope(paths, FALSE_ALARM / columns / 2.0)
    found = [distance_of_samples(ours[:, k], theirs[:, k]) for k in range(columns)]
    controls = [distance_of_samples(1.1 * ours[:, k], theirs[:, k]) for k in range(columns)]
    assert max(found) < threshold
    assert max(controls) > threshold + 2.0 * envelope(paths, 1.0 - POWER)


# --- the tiniest singular values --------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [40.0, 100.0])
def test_the_determinant_holds_where_the_square_of_a_singular_value_underflows(depth):
    """log det² is a sum of independent log Gammas: two-sample distance, down to singular values of e^-700."""
    model = dlnmc.DeepLinearNetwork(width=4, depth=depth, beta=3.0, kappa=0.5)
    paths = 30_000
    rng = np.random.default_rng(26)
    log_det = np.zeros(paths)
    for i in range(1, 5):
        shape = (1.0 / depth + 4 - i) / 2.0
        log_det += np.log(rng.gamma(shape + 1.0, size=paths)) + np.log(rng.random(paths)) / shape - math.log(3.0)
    drawn = values(exact(model, paths=paths, seed=27))
    assert np.all(drawn >= 0.0)
    assert np.any(drawn[:, 0] < 1e-160)
    with np.errstate(divide="ignore"):
        ours = np.maximum(2.0 * np.sum(np.log(drawn), axis=1), -1390.0)
    theirs = np.maximum(log_det, -1390.0)
    threshold = 2.0 * envelope(paths, FALSE_ALARM / 4.0)
    assert distance_of_samples(ours, theirs) < threshold
    assert distance_of_samples(ours, theirs * 1.15) > threshold + 2.0 * envelope(paths, 1.0 - POWER)


def test_width_1_reaches_down_to_underflow():
    """log σ² of a Gamma(1/(2N)): KS where σ does not underflow."""
    model = dlnmc.DeepLinearNetwork(width=1, depth=100.0, beta=3.0, kappa=0.8)
    paths, shape, scale = 30_000, 0.005, 1.6 / 3.0
    sigma = np.sort(values(exact(model, paths=paths, seed=28))[:, 0])
    rank = (np.arange(paths) + 0.5) / paths
    seen = sigma > 1e-306

    def cdf(shape):
        v = 2.0 * np.log(sigma[seen]) - math.log(scale)
        small = np.exp(shape * np.minimum(v, -30.0) - gammaln(shape + 1.0))
        return np.where(v < -30.0, small, gammainc(shape, np.exp(np.maximum(v, -30.0))))

    threshold = envelope(paths, FALSE_ALARM) + 0.5 / paths
    assert np.max(np.abs(cdf(shape) - rank[seen])) < threshold
    assert np.max(np.abs(cdf(1.1 * shape) - cdf(shape))) > threshold + envelope(paths, 1.0 - POWER)
    assert np.max(np.abs(cdf(1.1 * shape) - rank[seen])) > threshold


@pytest.mark.parametrize("depth", [1e6, 1e12])
def test_huge_depths_end_in_zeros_not_in_nan(depth):
    drawn = values(exact(NETWORK.changed(depth=depth), paths=4000, seed=29))
    assert np.all(np.isfinite(drawn))
    assert np.mean(drawn[:, 0] == 0.0) > 0.99
    assert np.all(drawn[:, 1:] > 1e-4)


# --- exact relations --------------------------------------------------------------------------------------------------


def test_times_differ_by_a_factor():
    at_rest = values(exact(DYSON, paths=40, seed=5))
    for time in (1e-12, 0.3, 50.0):
        confined, free = (values(exact(model, paths=40, time=time, seed=5)) for model in (DYSON, FREE))
        assert np.allclose(confined, at_rest * math.sqrt(-math.expm1(-2.0 * time)), rtol=1e-14)
        assert np.allclose(free, at_rest * math.sqrt(2.0 * time), rtol=1e-14)


@EACH
def test_the_temperature_is_a_scale(case):
    model, time = case
    drawn = values(exact(model, paths=40, time=time, seed=5))
    assert np.allclose(values(exact(model.changed(beta=12.0), paths=40, time=time, seed=5)), drawn / 2.0, rtol=1e-14)
    for beta in (1e-100, 1e100):
        scaled = values(exact(model.changed(beta=beta), paths=40, time=time, seed=5))
        assert np.allclose(scaled, drawn * math.sqrt(3.0) / math.sqrt(beta), rtol=1e-13, atol=0.0)


@EACH
def test_values_are_finite_ascending_and_distinct(case):
    model, time = case
    drawn = values(exact(model, paths=4000, time=time, seed=6))
    assert drawn.shape == (4000, model.size)
    assert np.all(np.isfinite(drawn))
    assert np.all(np.diff(drawn, axis=1) > 0.0)
    assert len(np.unique(drawn[:, -1])) == 4000


def test_kappa_to_zero_freezes_the_eigenvalues_at_the_zeros_of_a_hermite_polynomial():
    zeros = np.polynomial.hermite_e.hermegauss(9)[0]
    drawn = values(exact(dlnmc.DysonBrownianMotion(size=9, beta=1.0, kappa=1e-100), paths=8))
    assert np.allclose(drawn, zeros, rtol=0.0, atol=1e-13)


# --- reproducibility --------------------------------------------------------------------------------------------------


@EACH
def test_threads_and_the_number_of_paths_do_not_matter(case, monkeypatch):
    model, time = case
    one = exact(model, paths=203, time=time, seed=7, threads=1)
    monkeypatch.setattr(exact_sampling, "CALL_SECONDS", 1e-9)  # a block in each call
    assert values(exact(model, paths=203, time=time, seed=7, threads=3)).tobytes() == values(one).tobytes()
    for paths in (1, 7, 8, 9, 200):
        assert values(exact(model, paths=paths, time=time, seed=7)).tobytes() == values(one)[:paths].tobytes()
    assert not np.any(values(exact(model, paths=203, time=time, seed=8))[:, -1] == values(one)[:, -1])


def test_blocks_are_a_function_of_their_arguments():
    for model in (DYSON, NETWORK):
        every = ensembles.blocks(model, None, 7, EXACT, 0, 6)
        assert ensembles.blocks(model, None, 7, EXACT, 2, 3).tobytes() == every[16:40].tobytes()
        assert every[:41].tobytes() == values(exact(model, paths=41, seed=7)).tobytes()
        assert not np.any(ensembles.blocks(model, None, 7, START, 0, 6) == every)
        far = 2**45 - 1  # the last block of 2^48 paths
        assert np.all(np.isfinite(ensembles.blocks(model, None, 7, EXACT, far, 1)))


PURE = """
import json
import sys
from dlnmc.descriptions import Description
from dlnmc.ensembles import blocks
from dlnmc.models import MODELS
cases = json.loads(sys.argv[1])
drawn = [blocks(MODELS[model["kind"]](**model), time, 7, 5, 3, 1).tolist() for model, time in cases]
print(json.dumps(drawn))
"""


def test_pure_python_draws_the_same():
    """The kernels run without compilation too; rounding differs."""
    cases = [(json.loads(model.to_json()), time) for model, time in CASES if model.size <= 5]
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", PURE, json.dumps(cases)],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    small = [(model, time) for model, time in CASES if model.size <= 5]
    for (model, time), drawn in zip(small, json.loads(run.stdout), strict=True):
        expected = ensembles.blocks(model, time, 7, EXACT, 3, 1)
        assert np.allclose(drawn, expected, rtol=1e-9, atol=1e-13 * np.max(np.abs(expected))), (model, time)


# --- the result -------------------------------------------------------------------------------------------------------


def test_a_result_is_labelled_and_says_where_it_comes_from():
    data = exact(NETWORK, paths=21, seed=9, threads=1)
    assert data["singular_values"].dims == ("path", "rank")
    assert data["singular_values"].sizes == {"path": 21, "rank": 5}
    assert list(data["rank"].values) == [1, 2, 3, 4, 5]
    assert np.all(data["singular_values"].sel(rank=1) > data["singular_values"].sel(rank=2))
    assert data["singular_values"].attrs["units"] == "units of the model (not scaled)"
    assert {name: data.coords[name].item() for name in ("width", "depth", "beta", "kappa")} == {
        "width": 5,
        "depth": 2.5,
        "beta": 3.0,
        "kappa": 0.5,
    }
    assert "time" not in data.coords
    attrs = data.attrs
    assert json.loads(attrs["config"]) == {
        "kind": "exact",
        "model": json.loads(NETWORK.to_json()),
        "paths": 21,
        "seed": 9,
        "time": None,
    }
    assert attrs["title"] == "Exact draws of DeepLinearNetwork"
    assert attrs["seed"] == 9
    assert attrs["threads"] == 1
    for name in ("source", "history", "kernel_hash", "numba_version", "cpu", "simd", "dlnmc_version"):
        assert attrs[name]
    assert not set(attrs) & {"scheme", "dt", "coordinates_evolved"}
    assert dlnmc.dataset.model_of(data) == NETWORK


def test_a_time_is_a_coordinate():
    data = exact(FREE, paths=21, time=2)
    assert data["eigenvalues"].dims == ("path", "component")
    assert data.coords["time"].item() == 2.0
    assert dlnmc.dataset.model_of(data) == FREE


def test_a_result_can_be_saved(tmp_path):
    data = exact(FREE, paths=21, time=0.5)
    opened = dlnmc.open(dlnmc.save(data, tmp_path / "exact.nc"))
    assert opened.to_dataset().identical(data)


def test_progress_is_shown(capsys):
    exact(DYSON, paths=21, progress=True)
    assert "drawing" in capsys.readouterr().err
    exact(DYSON, paths=21)
    assert capsys.readouterr().err == ""


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "time"),
    [
        (FREE, None),
        (DYSON.changed(kappa=0.0), None),
        (DYSON.changed(energy={"kind": "polynomial", "coefficients": (0.0, 1.0)}), 1.0),
        (NETWORK, 1.0),
        (NETWORK.changed(kappa=1.0), None),
        (NETWORK.changed(kappa=0.5000001), None),
        (NETWORK.changed(depth=math.inf, kappa=0.3), None),
        (NETWORK.changed(depth=math.inf, width=1), None),
        (NETWORK.changed(width=1, kappa=0.0), None),
        (NETWORK.changed(depth=1.0, kappa=0.0), None),
        (NETWORK.changed(energy="none"), None),
    ],
)
def test_where_there_is_no_exact_sampler_those_are_named_that_exist(model, time, refused):
    text = refused(lambda: exact(model, paths=8, time=time), f"time = {time!r}", repr(model))
    for row in ensembles.SAMPLERS:
        assert row.where in text
    with pytest.raises(dlnmc.InvalidValue):
        ensembles.blocks(model, time, 0, EXACT, 0, 1)


def test_every_sampler_serves_and_no_two_serve_the_same():
    for row in ensembles.SAMPLERS:
        assert any(row.serves(model, time) for model, time in CASES), row.where
    dyson = [row for row in ensembles.SAMPLERS if "Dyson" in row.where]
    assert all(sum(row.serves(model, time) for row in dyson) <= 1 for model, time in CASES)


@pytest.mark.parametrize(
    ("settings", "pieces"),
    [
        ({"paths": 0}, ("paths = 0", ">= 1")),
        ({"paths": 2.5}, ("paths = 2.5",)),
        ({"paths": 2**41}, ("paths = 2199023255552", "<= 1099511627776")),
        ({"paths": 2**40}, ("paths = 1099511627776", "GiB", "fewer paths")),
        ({"time": 0.0}, ("time = 0.0", "> 0")),
        ({"time": -1.0}, ("time = -1.0", "> 0")),
        ({"time": math.inf}, ("time = inf",)),
        ({"time": math.nan}, ("time = nan",)),
        ({"time": "soon"}, ("time = 'soon'",)),
        ({"seed": -1}, ("seed = -1", ">= 0")),
        ({"seed": 2**64}, ("seed = 18446744073709551616",)),
        ({"threads": 0}, ("threads = 0",)),
    ],
)
def test_bad_values_are_quoted(settings, pieces, refused):
    refused(lambda: exact(DYSON, **({"paths": 8} | settings)), *pieces)


def test_a_model_that_is_none_is_refused(refused):
    refused(lambda: exact("dyson", paths=8), "model")


def test_an_interrupt_says_that_nothing_was_kept(monkeypatch, refused):
    def interrupt(bar):
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(exact_sampling.Progress, "show", interrupt)
    text = refused(lambda: exact(DYSON, paths=80), "interrupted", "of 80 paths", error=dlnmc.Interrupted)
    assert "nothing was kept" in text


def test_values_that_are_not_finite_end_the_run(monkeypatch, refused):
    def failing(model, time, seed, stream, first_block, blocks):
        drawn = np.ones((8 * blocks, model.size))
        drawn[10, 2] = np.nan
        return drawn

    monkeypatch.setattr(exact_sampling, "blocks", failing)
    refused(lambda: exact(DYSON, paths=21), "path 10", "seed = 0", error=dlnmc.RunFailed)
    assert values(exact(DYSON, paths=10)).shape == (10, 5)


def test_threads_default_to_the_processors():
    assert exact(DYSON, paths=8).attrs["threads"] == thread_count(None)
