"""Exactness: simulations against exact samplers, quadrature, the Gamma law of infinite depth, and the flow of κ = 0."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import roots_legendre
from statistical import FALSE_ALARM, distance, distance_of_laws, envelope, paths_for_power

import dlnmc
from dlnmc import laws

ERRORS = 4.0  # standard errors within which means agree: each fails by chance with probability 6.3e-5


# --- κ = ½: the simulation and the matrix model -----------------------------------------------------------------------

HALF = dlnmc.DeepLinearNetwork(width=8, depth=3.0, beta=8.0, kappa=0.5)
INDEPENDENT = 51_200


def marginal_laws_agree(record, **settings):
    exact = dlnmc.exact(HALF, paths=INDEPENDENT, seed=1)
    settings |= {"paths": INDEPENDENT, "observations": 1}
    right, wrong = (
        dlnmc.compare(dlnmc.equilibrium(HALF.changed(kappa=kappa), seed=2, **settings), exact) for kappa in (0.5, 0.6)
    )
    bound = float(right["kolmogorov_bound"])  # at FALSE_ALARM over all ranks
    seen, seen_by_control = (table["kolmogorov"].to_numpy() for table in (right, wrong))
    record(**settings, bound=bound, kolmogorov=seen.tolist(), kolmogorov_control=seen_by_control.tolist())
    assert np.all(seen < bound)
    assert np.any(seen_by_control > bound + 2.0 * envelope(INDEPENDENT, 1e-3 / 2.0))  # a power above 0.999


def test_hmc_has_the_marginal_laws_of_the_matrix_model(record):
    marginal_laws_agree(record, scheme="hmc")


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"scheme": "mala"}, {"scheme": "leimkuhler_matthews", "dt": 2e-3}], ids=str)
def test_every_scheme_has_the_marginal_laws_of_the_matrix_model(settings, record):
    marginal_laws_agree(record, **settings)


# --- d = 2: means and variances by quadrature -------------------------------------------------------------------------


def models_of_width_two():
    rng = np.random.default_rng(20261122)
    models = []
    for _ in range(10):
        depth, kappa = round(float(rng.uniform(1.0, 8.0)), 2), round(float(rng.uniform(0.15, 2.0)), 2)
        beta = round(float(rng.uniform(0.5, 20.0)), 2)
        models.append(dlnmc.DeepLinearNetwork(width=2, depth=depth, beta=beta, kappa=kappa))
    return models


TWO = models_of_width_two()
PATHS = 2**14
SQUARES = {"largest_squared": lambda s: s[1] ** 2, "smallest_squared": lambda s: s[0] ** 2}


def independent_states(law, accuracy):
    """How many give means and variances of both singular values this relative standard error."""
    numbers = []
    for k, (mean, variance) in enumerate(zip(law.mean, law.variance, strict=True)):
        fourth = law.expectation(lambda *s, k=k, mean=mean: (s[k] - mean) ** 4)
        numbers += [variance / mean**2, fourth / variance**2 - 1.0]
    return max(numbers) / accuracy**2


def means_and_variances(tree):
    """Those of both singular values, and their standard errors from independent paths."""
    found = []
    for name in ("largest", "smallest"):
        s = tree[f"extremes/{name}"].to_numpy()
        squares = tree[f"observables/{name}_squared"].to_numpy()
        mean = s.mean()
        found += [(mean, s), (squares.mean() - mean**2, squares - 2.0 * mean * s)]
    values, by_path = zip(*found, strict=True)
    return np.array(values), np.std(by_path, axis=1, ddof=1) / math.sqrt(PATHS)


def moments_are_those_of_quadrature(model, accuracy, record):
    law, control = laws.two(model), laws.two(model.changed(beta=0.94 * model.beta))
    pilot = dlnmc.equilibrium(model, paths=2048, scheme="mala", seed=1)
    memory = float(pilot["stationarity/autocorrelation_time"].max())
    duration = 1.5 * memory * independent_states(law, accuracy) / PATHS
    observations = math.ceil(duration / max(0.25 * memory, pilot.attrs["dt"]))
    tree = dlnmc.equilibrium(
        model,
        paths=PATHS,
        scheme="mala",
        duration=duration,
        observations=observations,
        observables=SQUARES,
        keep_samples=False,
        seed=2,
    )
    values, errors = means_and_variances(tree)
    exact, wrong = (np.stack([two.mean, two.variance], axis=1).ravel() for two in (law, control))
    z, z_control = (values - exact) / errors, (values - wrong) / errors
    record(
        model=model.to_json(),
        relative_errors=(errors / exact).tolist(),
        z=z.tolist(),
        z_control=z_control.tolist(),
        duration=duration,
        dt=tree.attrs["dt"],
    )
    assert law.error < 1e-6
    assert np.all(errors <= accuracy * exact)
    assert np.all(np.abs(z) < ERRORS)
    assert np.all(np.abs(z_control) > ERRORS)


@pytest.mark.parametrize("index", [0, 5])
def test_two_singular_values_have_the_moments_of_quadrature(index, record):
    moments_are_those_of_quadrature(TWO[index], 5e-3, record)


@pytest.mark.slow
@pytest.mark.parametrize("index", range(10))
def test_two_singular_values_have_the_moments_of_quadrature_to_2e_3(index, record):
    moments_are_those_of_quadrature(TWO[index], 2e-3, record)


# --- schemes without step-size bias -----------------------------------------------------------------------------------

SIX = dlnmc.DeepLinearNetwork(width=6, depth=2.0, beta=6.0, kappa=1.0)
COARSE = 0.03  # five times the default step


def z_of_trace(**settings):
    """The mean of Tr WᵀW over the exact one minus 1, in standard errors, and the bias itself."""
    tree = dlnmc.equilibrium(SIX, paths=8192, burn_in=12.0, duration=8.0, seed=3, keep_samples=False, **settings)
    exact = laws.trace(SIX).mean()
    mean, error = dlnmc.statistics.mean_over_paths(tree["moments/trace"])
    return (mean - exact) / error, mean / exact - 1.0


def test_adjusted_schemes_have_no_bias_at_a_step_where_euler_maruyama_has(record):
    z, bias = z_of_trace(scheme="euler_maruyama", dt=COARSE)
    z_mala, _ = z_of_trace(scheme="mala", dt=COARSE)
    z_hmc, _ = z_of_trace(scheme="hmc", dt=16 * COARSE, leaps=4)
    record(dt=COARSE, bias_euler_maruyama=bias, z_euler_maruyama=z, z_mala=z_mala, z_hmc=z_hmc)
    assert bias > 0.01
    assert z > 2.0 * ERRORS
    assert abs(z_mala) < ERRORS
    assert abs(z_hmc) < ERRORS


NETWORKS = {
    "finite depth": dlnmc.DeepLinearNetwork(width=5, depth=2.5, beta=3.0),
    "infinite depth": dlnmc.DeepLinearNetwork(width=5, depth=math.inf, beta=3.0, kappa=0.2),
    "dyson": dlnmc.DysonBrownianMotion(size=5, beta=3.0),
}


def by_path(tree, paths):
    """The bytes of all that belongs to the first paths."""
    data = {f"{group.path}/{name}": variable for group in tree.subtree for name, variable in group.data_vars.items()}
    return {name: v.isel(path=slice(paths)).to_numpy().tobytes() for name, v in data.items() if "path" in v.dims}


@pytest.mark.parametrize("model", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("scheme", ["euler_maruyama", "milstein", "leimkuhler_matthews", "mala", "hmc"])
def test_more_paths_leave_earlier_ones_as_they_were(scheme, model):
    settings = {"scheme": scheme, "burn_in": 0.3, "duration": 0.5, "draws": 2, "observations": 2, "seed": 4}
    few, more = (dlnmc.equilibrium(model, paths=paths, **settings) for paths in (11, 83))
    assert few.attrs["dt"] == more.attrs["dt"]  # of mala and hmc from a pilot run
    assert few.attrs.get("leaps") == more.attrs.get("leaps")
    assert by_path(few, 11) == by_path(more, 11)
    assert by_path(few, 11) != by_path(dlnmc.equilibrium(model, paths=11, **(settings | {"seed": 5})), 11)


# --- infinite depth ---------------------------------------------------------------------------------------------------

DEEP = dlnmc.DeepLinearNetwork(width=3, depth=math.inf, beta=2.0, kappa=0.2)
TAIL_FILLED = 200.0  # P(log σ_3 < −r) is about 1/r², and noise needs the time r²β/(2κ) to get there


def trace_of_infinite_depth_has_its_law(scheme, control, record):
    law, wrong = laws.trace(DEEP), laws.trace(control)
    assert law == laws.Gamma(3 * 2 / (4 * 0.2), 2 * 0.2 / 2.0)
    paths = paths_for_power(distance_of_laws(law, wrong), bias=0.0, at_least=20_480)
    tree = dlnmc.equilibrium(DEEP, paths=paths, scheme=scheme, burn_in=TAIL_FILLED, observations=1, seed=6)
    trace = (tree["samples/singular_values"].isel(draw=0) ** 2).sum("rank").to_numpy()
    seen, seen_by_control = distance(trace, law.cdf), distance(trace, wrong.cdf)
    threshold = envelope(paths, FALSE_ALARM)
    record(paths=paths, scheme=scheme, ks=seen, ks_control=seen_by_control, threshold=threshold)
    assert seen < threshold < seen_by_control


def test_trace_of_infinite_depth_has_its_gamma_law(record):
    trace_of_infinite_depth_has_its_law("hmc", DEEP.changed(beta=1.06 * DEEP.beta), record)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["hmc", "mala"])
def test_trace_of_infinite_depth_has_its_gamma_law_and_not_that_of_another_kappa(scheme, record):
    trace_of_infinite_depth_has_its_law(scheme, DEEP.changed(kappa=0.22), record)


@pytest.mark.parametrize("kappa", [1.0 / 3.0, 0.5])
def test_infinite_depth_is_refused_from_the_threshold_on(kappa, refused):
    refused(lambda: dlnmc.equilibrium(DEEP.changed(kappa=kappa), paths=8), "0.333333", repr(kappa))
    assert laws.trace(DEEP.changed(kappa=0.333)).mean() == pytest.approx(laws.trace(DEEP).mean())  # of κ it is free


# --- κ = 0: a smooth flow ---------------------------------------------------------------------------------------------

STARTS = np.array(
    [
        [1.0, 1.0, 1.0, 1.0],
        [0.4, 0.4, 1.6, 1.6],
        [0.3, 0.7, 0.7, 2.0],
        [0.5, 0.5 * (1.0 + 1e-9), 1.5, 1.5 * (1.0 + 1e-5)],
    ]
)


def flow(depth):
    return dlnmc.DeepLinearNetwork(width=4, depth=depth, beta=2.0, kappa=0.0)


def slope_of_log_sigma(depth, beta):
    """d log σ/dt at κ = 0: entropy's share ⟨a⟩ of a pair is the mean of a with the weights e^{au} (model page, 3).

    a = 0, 1, …, N − 1 and u = log(x_k/x_l); at infinite depth 0 < a < 1, in the clock of depth, and u = log(y_k/y_l).
    """
    if math.isinf(depth):
        node, weight = roots_legendre(30)
        a, weight, root = (1.0 + node) / 2.0, weight / 2.0, 0.0
    else:
        a, weight, root = np.arange(depth), np.ones(int(depth)), 1.0 / depth

    def slope(t, z):
        u = 2.0 * (root or 1.0) * (z[:, None] - z)
        each = weight * np.exp(a * u[:, :, None])
        share = (each @ a) / each.sum(axis=2)
        np.fill_diagonal(share, 0.0)
        x, sigma = np.exp(2.0 * root * z), np.exp(z)
        return share.sum(axis=1) / (beta * x) - (depth if root else 1.0) * sigma**2 / x

    return slope


@pytest.mark.parametrize("depth", [3.0, math.inf])
def test_without_noise_all_singular_values_reach_the_minimiser(depth, record):
    model = flow(depth)
    paths = dlnmc.simulate(model, paths=len(STARTS), dt=2e-3, times=[40.0], start=STARTS)
    minimiser = math.sqrt(3.0 * (1.0 - 1.0 / depth) / (2.0 * model.beta))
    distance = float(np.max(np.abs(paths["singular_values"] - minimiser)))
    record(distance=distance)
    assert distance < 1e-8


def solved(depth, beta, times):
    """Singular values (path, time, rank) by an adaptive method of order 8."""
    slope = slope_of_log_sigma(depth, beta)
    found = [
        solve_ivp(slope, (0.0, times[-1]), np.log(start), "DOP853", times, rtol=1e-11, atol=1e-12).y for start in STARTS
    ]
    return np.exp(np.sort(np.stack(found), axis=1)[:, ::-1].transpose(0, 2, 1))


@pytest.mark.parametrize("depth", [3.0, math.inf])
def test_without_noise_paths_pass_smoothly_through_coincidence(depth, record):
    model, times, steps = flow(depth), np.array([0.1, 0.3, 1.0, 3.0]), (4e-4, 2e-4)
    exact = solved(depth, model.beta, times)
    runs = [dlnmc.simulate(model, paths=len(STARTS), dt=dt, times=times, start=STARTS) for dt in steps]
    coarse, fine = (run["singular_values"].to_numpy() for run in runs)
    errors = [float(np.max(np.abs(values - exact))) for values in (coarse, fine)]
    extrapolated = 2.0 * fine - coarse
    left = float(np.max(np.abs(extrapolated - exact)))
    left_of_control = float(np.max(np.abs(extrapolated - solved(depth, 1.001 * model.beta, times))))
    record(dt=steps, errors=errors, left=left, left_of_control=left_of_control)
    assert 1.99 < errors[0] / errors[1] < 2.01  # order one
    assert left < 10.0 * steps[0] ** 2 < left_of_control
