"""Initial values: pure functions of (seed, path); the law of one step from zero; what arrays are refused."""

import math

import numpy as np
import pytest
from scipy import stats

import dlnmc
from dlnmc import laws, starts
from dlnmc.defaults import typical_size, virial
from dlnmc.engine import noise_key
from dlnmc.starts import checked_array, digest, start_levels

NETWORK = dlnmc.DeepLinearNetwork(width=5, depth=2.0, beta=3.0)
DYSON = dlnmc.DysonBrownianMotion(size=5, beta=3.0)
FREE = DYSON.changed(energy="none")
DEEP = dlnmc.DeepLinearNetwork(width=5, depth=math.inf, beta=3.0, kappa=0.2)
QUARTIC = dlnmc.Polynomial((-0.5, 0.25))

FALSE_ALARM = 1e-6  # of each statistical test
POWER = 0.999  # of each negative control, at least
PATHS = 4096


def starting(paths_of, model, start, paths=40, seed=0, dt=0.01):
    """Start values of paths, ascending: eigenvalues, or singular values from their logarithms."""
    member = paths_of(model, start, paths=paths, seed=seed, dt=dt, times=(dt,))
    levels = start_levels(member.run, member.given, 0, -(-paths // 8))[:paths]
    return levels if model.kind == "dyson" else np.exp(levels)


CASES = pytest.mark.parametrize(
    ("model", "start"),
    [
        (NETWORK, "random"), (DYSON, "random"), (FREE, "random"), (DYSON, "zero"), (FREE, "zero"), (NETWORK, "law"),
        (DEEP, "random"), (DEEP, "law"), (NETWORK.changed(kappa=0.0), "random"),
        (NETWORK.changed(energy=QUARTIC), "random"),
    ],
)  # fmt: skip


@CASES
def test_starts_are_functions_of_seed_and_path_alone(model, start, paths_of):
    run = paths_of(model, start, paths=320).run
    whole = start_levels(run, None, 0, 40)
    for first, blocks in (*((block, 1) for block in range(40)), (3, 2), (14, 15), (1, 39)):
        assert np.array_equal(start_levels(run, None, first, blocks), whole[8 * first : 8 * (first + blocks)])
    more = start_levels(run.changed(paths=10**6), None, 0, 70)
    assert np.array_equal(more[:320], whole)
    if start != "law":
        assert not np.any(whole == start_levels(run.changed(seed=1), None, 0, 40))
        assert len(np.unique(whole)) == whole.size


@CASES
def test_starts_ascend_and_are_distinct_and_finite(model, start, paths_of):
    values = starting(paths_of, model, start)
    assert values.shape == (40, 5)
    assert np.all(np.isfinite(values))
    assert np.all(np.diff(values, axis=1) > 0)
    if model.kind != "dyson":
        assert np.all(values > 0)


@pytest.mark.parametrize("depth", [1.0, 1.5, 3.0, 30.0, 100.0])
@pytest.mark.parametrize("kappa", [0.0, 0.3, 1.0, 3.0])
@pytest.mark.parametrize("width", [1, 2, 64])
def test_random_starts_are_sound_at_every_depth(depth, kappa, width, paths_of):
    member = paths_of(dlnmc.DeepLinearNetwork(width, depth, 7.0, kappa), "random")
    levels = start_levels(member.run, None, 0, 5)
    assert np.all(np.isfinite(levels))
    assert np.all(np.diff(levels, axis=1) > 0)


@pytest.mark.parametrize("depth", [1e3, 1e6, math.inf])
@pytest.mark.parametrize("kappa", [0.2, 1.0])
def test_levels_are_finite_where_singular_values_underflow(depth, kappa, paths_of):
    """log σ is what starts: σ itself is 0 in floating point for some of them at depth 10⁶, and λ = σ^{1/N} is not."""
    member = paths_of(dlnmc.DeepLinearNetwork(64, depth, 64.0, kappa), "random", paths=64)
    levels = start_levels(member.run, None, 0, 8)
    assert np.all(np.isfinite(levels))
    assert np.all(np.diff(levels, axis=1) > 0)
    if kappa == 1.0:
        assert np.min(levels) < -40.0


def test_a_start_without_any_scale_is_refused_or_sound(refused):
    """d = 1 at infinite depth is a Brownian motion in log σ; at β = ∞ nothing repels and nothing is typical."""
    short = {"paths": 8, "dt": 0.01, "times": [0.1]}
    for model in (NETWORK.changed(kappa=0.0, beta=math.inf), DYSON.changed(kappa=0.0, beta=math.inf)):
        refused(lambda model=model: dlnmc.simulate(model, **short), "start = 'random'", "beta = inf", "array")
        values = dlnmc.simulate(model, start=np.arange(1.0, 6.0), **short)
        assert int(values.status.sum()) == 0
    refused(lambda: dlnmc.simulate(DEEP.changed(width=1), **short), "start = 'random'", "array")


@pytest.mark.parametrize("model", [NETWORK, DYSON, DYSON.changed(kappa=0.3), NETWORK.changed(depth=4.0, kappa=2.0)])
def test_random_starts_have_about_the_size_of_equilibrium(model, paths_of):
    values = starting(paths_of, model.changed(**{"width" if model.kind != "dyson" else "size": 64}), "random", 64)
    expected = laws.trace(model.changed(**{"width" if model.kind != "dyson" else "size": 64})).mean()
    assert np.mean(np.sum(values**2, axis=1)) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(
    "model",
    [
        NETWORK.changed(width=64, energy=QUARTIC),
        NETWORK.changed(width=64, depth=4.0, kappa=2.0, energy=dlnmc.Polynomial((0.0, 0.0, 0.1))),
        dlnmc.DysonBrownianMotion(64, 3.0, 1.0, dlnmc.Polynomial((0.0, 0.0, 0.0, 0.25))),
        dlnmc.DeepLinearNetwork(64, math.inf, 3.0, 0.2, dlnmc.Polynomial((0.3, 0.25))),
    ],
)
def test_random_starts_in_a_polynomial_have_about_the_size_of_equilibrium(model, paths_of):
    """Their root mean square is where s v'(s) has its exact mean."""
    values = starting(paths_of, model, "random", 64)
    size = typical_size(model)
    assert np.sqrt(np.mean(values**2)) == pytest.approx(size, rel=0.02)
    assert size * model.slope(np.array(size)) == pytest.approx(virial(model), rel=1e-9)


@pytest.mark.parametrize("kappa", [2.0, 1.0, 0.01])
def test_random_eigenvalues_keep_to_the_middle_of_their_cells(kappa, paths_of):
    """Between the quantiles of the semicircle of the right second moment, uniform in probability."""
    model = DYSON.changed(kappa=kappa)
    values = starting(paths_of, model, "random", 4000)
    second = laws.trace(model).mean() / 5
    probability = laws.Semicircle().cdf(values / math.sqrt(second / laws.Semicircle().moment(2)))
    cell = probability * 5 - np.arange(5)
    width = min(0.5, math.sqrt(kappa))
    middle = stats.uniform(0.5 - width / 2, width)
    assert stats.kstest(cell.ravel(), middle.cdf).statistic < allowed_distance(cell.size)


@pytest.mark.parametrize(("depth", "kappa"), [(1.0, 1.0), (3.0, 0.5), (20.0, 2.0)])
def test_a_random_start_of_width_1_is_at_equilibrium(depth, kappa, paths_of):
    """σ² is Gamma with the shape 1/(2N) (model page, section 4)."""
    values = starting(paths_of, dlnmc.DeepLinearNetwork(1, depth, 3.0, kappa), "random", 20000)
    law = stats.gamma(0.5 / depth, scale=2.0 * kappa / 3.0)
    assert stats.kstest(values.ravel() ** 2, law.cdf).statistic < allowed_distance(values.size)
    control = stats.gamma(0.5 / depth, scale=2.3 * kappa / 3.0)
    assert depth > 1.0 or stats.kstest(values.ravel() ** 2, control.cdf).statistic > allowed_distance(values.size)


@pytest.mark.parametrize("depth", [3.0, 15.0])
def test_the_smallest_singular_value_begins_near_its_law(depth, paths_of):
    """Against exact draws at κ = ½; one drawn uniformly from its cell is far off at either depth."""
    model = dlnmc.DeepLinearNetwork(6, depth, 6.0, 0.5)
    drawn = dlnmc.exact(model, paths=20000, seed=3)["singular_values"].to_numpy()[:, -1]
    begun = starting(paths_of, model, "random", 20000)[:, 0]
    uniform = laws.singular_values(depth, 0.5).ppf(np.linspace(0.0, 1.0 / 6.0, 20000))
    assert stats.ks_2samp(begun, drawn).statistic < 0.1
    assert stats.ks_2samp(uniform, drawn).statistic > 0.15


@pytest.mark.parametrize(
    ("model", "law"),
    [
        (NETWORK, laws.singular_values(2.0)),
        (NETWORK.changed(kappa=0.7), laws.singular_values(2.0, 0.7)),
        (DEEP, laws.singular_values(math.inf, 0.2)),
        (DYSON, laws.Semicircle()),
    ],
)
def test_a_start_from_the_law_is_at_its_quantiles(model, law, paths_of):
    values = starting(paths_of, model, "law")
    assert np.all(values == values[0])
    assert law.cdf(values[0] / math.sqrt(5 / 3.0)) == pytest.approx((np.arange(5) + 0.5) / 5, abs=1e-9)


@pytest.mark.parametrize("size", [1, 2, 5, 64])
def test_clusters_are_two_halves_about_one_and_its_negative(size, paths_of):
    model = dlnmc.DysonBrownianMotion(size=size, beta=3.0, kappa=1.0)
    values = starting(paths_of, model, "clusters") / math.sqrt(size / 3.0)
    assert values.shape == (40, size)
    assert np.all(values == values[0])  # of every path
    assert np.all(np.diff(values[0]) > 0.0)
    assert np.all(np.abs(np.abs(values[0]) - 1.0) <= starts.CLUSTER)
    assert np.sum(values[0] < 0.0) == (size + 1) // 2
    if size % 2 == 0:
        assert values[0] == pytest.approx(-values[0, ::-1])


def test_only_dyson_brownian_motion_at_finite_beta_starts_in_clusters(paths_of, refused):
    refused(lambda: paths_of(NETWORK, "clusters"), "start = 'clusters'", "Dyson")
    refused(lambda: paths_of(DYSON.changed(beta=math.inf), "clusters"), "beta")


def test_a_start_that_does_not_exist_is_refused_before_anything_is_computed(paths_of, refused):
    refused(lambda: paths_of(NETWORK, "zero"), "start = 'zero'", "Dyson")
    refused(lambda: paths_of(DEEP, "zero"), "start = 'zero'", "Dyson")
    refused(lambda: paths_of(NETWORK.changed(kappa=0.0), "law"), "kappa")
    refused(lambda: paths_of(NETWORK.changed(energy=QUARTIC), "law"), "polynomial", "quadratic")
    refused(lambda: paths_of(FREE, "law"), "none")
    refused(lambda: paths_of(NETWORK, "given"), "start = 'given'", "'random'", "array")
    text = refused(lambda: paths_of(NETWORK, "randm"), "start = 'randm'", "'random'", "'law'", "'zero'")
    assert "given" not in text  # it is not a user's


@pytest.mark.parametrize(
    "change",
    [{"energy": dlnmc.Polynomial((0.0, 0.0, 0.0, 0.25))}, {"energy": dlnmc.Polynomial((0.0, 2.0))}, {"kappa": 0.0}],
)
def test_a_start_from_zero_is_refused_where_its_first_step_is_not_known_exactly(change, paths_of, refused):
    """The β-Hermite model is that of free motion or of V = x²/2, with noise."""
    refused(lambda: paths_of(DYSON.changed(**change), "zero"), "start = 'zero'", "kappa > 0", "quadratic")


# --- zero -------------------------------------------------------------------------------------------------------------


def allowed_distance(n, false_alarm=FALSE_ALARM):
    """Dvoretzky, Kiefer, Wolfowitz and Massart: an empirical cdf of n draws is farther off with at most this rate."""
    return math.sqrt(math.log(2.0 / false_alarm) / (2.0 * n))


def spread(model, t):
    """s² at time t after 0: of (11.8) without repulsion."""
    return model.kappa / model.beta * (2.0 * t if model.energy.kind == "none" else 1.0 - math.exp(-2.0 * t))


def gamma_of_squares(model, t, factor=1.0):
    d = model.size
    return stats.gamma((d + d * (d - 1) / model.kappa) / 2.0, scale=2.0 * spread(model, t) * factor)


ZERO = pytest.mark.parametrize(
    "model",
    [dlnmc.DysonBrownianMotion(8, 3.0, kappa, energy) for energy in ("quadratic", "none") for kappa in (0.4, 1.0, 2.0)],
    ids=lambda model: f"{model.energy.kind}-{model.kappa}",
)


@ZERO
@pytest.mark.parametrize("t", [1e-3, 0.7])
def test_one_step_from_zero_has_its_gamma_law(model, t, paths_of):
    """Σx² of 4096 paths: KS at false-alarm rate 1e-6; a law 10 % too wide is found with power above 0.999."""
    squares = np.sum(starting(paths_of, model, "zero", PATHS, seed=5, dt=t) ** 2, axis=1)
    threshold = allowed_distance(PATHS)
    law, wrong = gamma_of_squares(model, t), gamma_of_squares(model, t, 1.1)
    assert stats.kstest(squares, law.cdf).statistic < threshold
    at = law.ppf(np.linspace(0.001, 0.999, 999))
    assert np.max(np.abs(law.cdf(at) - wrong.cdf(at))) > threshold + allowed_distance(PATHS, 1 - POWER)
    assert stats.kstest(squares, wrong.cdf).statistic > threshold
    assert laws.trace(model, t).cdf(at) == pytest.approx(law.cdf(at), abs=1e-9)


@ZERO
def test_one_step_from_zero_has_its_centre_of_mass(model, paths_of):
    """Σx ~ N(0, d s²): KS at false-alarm rate 1e-6; one shifted by a quarter of its deviation is found."""
    t = 0.3
    centre = np.sum(starting(paths_of, model, "zero", PATHS, seed=6, dt=t), axis=1)
    law = stats.norm(0.0, math.sqrt(8 * spread(model, t)))
    threshold = allowed_distance(PATHS)
    assert stats.kstest(centre, law.cdf).statistic < threshold
    assert stats.norm.cdf(0.125) - stats.norm.cdf(-0.125) > threshold + allowed_distance(PATHS, 1 - POWER)
    assert stats.kstest(centre + 0.25 * law.std(), law.cdf).statistic > threshold


def test_the_gap_of_two_from_zero_has_its_law(paths_of):
    """(x₂ − x₁)² / (2 · 2s²) ~ Gamma((1 + 2/κ)/2, 1): KS at 1e-6; the law of 1.2 κ is found."""
    model = dlnmc.DysonBrownianMotion(2, 3.0, 1.0, "none")
    t = 0.3
    gap = np.diff(starting(paths_of, model, "zero", 2 * PATHS, seed=7, dt=t), axis=1)[:, 0]
    scaled = gap**2 / (4.0 * spread(model, t))
    law, wrong = stats.gamma(1.5), stats.gamma((1 + 2 / 1.2) / 2)
    threshold = allowed_distance(2 * PATHS)
    assert stats.kstest(scaled, law.cdf).statistic < threshold
    at = law.ppf(np.linspace(0.001, 0.999, 999))
    assert np.max(np.abs(law.cdf(at) - wrong.cdf(at))) > threshold + allowed_distance(2 * PATHS, 1 - POWER)
    assert stats.kstest(scaled, wrong.cdf).statistic > threshold


@pytest.mark.parametrize("model", [DYSON, FREE], ids=["confined", "free"])
def test_a_simulation_from_zero_passes_through_the_exact_first_step(model, paths_of):
    result = dlnmc.simulate(model, paths=21, dt=0.01, times=[0.01, 0.02], start="zero")
    assert np.array_equal(result.eigenvalues.isel(time=0), starting(paths_of, model, "zero", 21))
    assert not np.any(result.eigenvalues.isel(time=1) == result.eigenvalues.isel(time=0))


@pytest.mark.parametrize("times", [[0.0], [0.0, 0.05]])
@pytest.mark.parametrize("scheme", ["euler_maruyama", "leimkuhler_matthews"])
def test_the_state_at_time_zero_of_a_start_from_zero_is_zero(times, scheme):
    result = dlnmc.simulate(DYSON, paths=9, dt=0.01, times=times, start="zero", scheme=scheme)
    assert np.all(result.eigenvalues.sel(time=0.0) == 0.0)
    assert np.all(np.isfinite(result.eigenvalues))


# --- given ------------------------------------------------------------------------------------------------------------

GOOD = np.array([0.5, 1.0, 1.5, 2.0, 2.5])


@pytest.mark.parametrize(
    ("start", "pieces"),
    [
        (GOOD[:4], ("(4,)", "(5,)", "(21, 5)")),
        (np.ones((20, 5)), ("(20, 5)", "(21, 5)")),
        (GOOD[:, None], ("(5, 1)", "(5,)")),
        (3, ("()", "(5,)")),
        ([], ("(0,)", "(5,)")),
        ([1, 2, 3, 4, math.nan], ("nan", "finite")),
        ([1, 2, 3, 4, math.inf], ("inf", "finite")),
        ([1, 2, 3, 4, -0.25], ("-0.25", ">= 0")),
        ([1, 2, 3, 4, 4], ("4.0", "twice")),
        (np.tile(np.where(GOOD == 2.0, 0.5, GOOD), (21, 1)), ("0.5", "twice")),
        (["a", "b", "c", "d", "e"], ("'a'", "number")),
        ([[1, 2, 3, 4, 5], [1, 2]], ("shape",)),
        (GOOD + 1j, ("complex", "real")),
        ({"a": 1}, ("number",)),
        ([None, 1, 2, 3, 4], ("None",)),
        (object(), ("object",)),
    ],
    ids=lambda value: None if isinstance(value, tuple) else type(value).__name__,
)
@pytest.mark.parametrize("model", [NETWORK, DYSON], ids=["network", "dyson"])
def test_a_bad_array_is_refused_in_one_line(start, pieces, model, paths_of, refused):
    if model is DYSON and ">= 0" in pieces:
        assert paths_of(model, start).given is not None  # eigenvalues may be negative
        return
    text = refused(lambda: paths_of(model, start), "start")
    if pieces[-1] not in ("number", "real", "shape", "None", "object"):  # the wording of those is free
        for piece in pieces:
            assert piece in text or (piece == ">= 0" and model is DYSON)
    assert "np.float64" not in text


def test_given_values_are_sorted_copied_and_part_of_the_identity(paths_of):
    start = GOOD[::-1].copy()
    member = paths_of(NETWORK, start)
    start[:] = 7
    assert np.array_equal(member.given, GOOD)
    assert member.run.start == "given"
    assert member.run.start_digest == digest(GOOD)
    assert member.run.digest() == paths_of(NETWORK, GOOD.tolist()).run.digest()
    assert member.run.digest() != paths_of(NETWORK, np.nextafter(GOOD, 9)).run.digest()
    assert digest(GOOD) != digest(GOOD[None, :])


def test_given_values_belong_to_their_paths(paths_of):
    start = np.sort(np.random.default_rng(0).uniform(1, 2, (21, 5)), axis=1)
    member = paths_of(NETWORK, start)
    values = start_levels(member.run, member.given, 0, 3)
    assert np.array_equal(values[:21], np.log(start))
    assert np.all(np.isfinite(values))
    assert np.array_equal(start_levels(member.run, member.given, 2, 1)[:5], np.log(start[16:]))
    result = dlnmc.simulate(NETWORK, paths=21, dt=0.01, times=[0.0], start=start[:, ::-1])
    assert np.allclose(result.singular_values.isel(time=0), start[:, ::-1], rtol=1e-15)


def test_equal_values_are_a_start_where_nothing_repels_them(paths_of, refused):
    """The entropic force is smooth; Dyson's repulsion is not, even at κ = 0."""
    equal = [0.5, 1.0, 1.0, 1.0, 2.5]
    still = NETWORK.changed(kappa=0.0)
    assert np.array_equal(paths_of(still, equal).given, equal)
    refused(lambda: paths_of(NETWORK, equal), "1.0", "twice")
    refused(lambda: paths_of(DEEP, equal), "1.0", "twice")
    refused(lambda: paths_of(DYSON.changed(kappa=0.0), equal), "1.0", "twice")


def test_zero_is_a_start_at_finite_depth_alone(paths_of, refused):
    """λ = 0 where σ = 0; log σ is −∞."""
    start = [0.0, 1.0, 1.5, 2.0, 2.5]
    result = dlnmc.simulate(NETWORK, paths=9, dt=0.01, times=[0.0, 0.1], start=start)
    assert np.all(result.singular_values.sel(time=0.0, rank=5) == 0.0)
    assert np.all(result.singular_values.isel(time=1) > 0.0)
    refused(lambda: paths_of(DEEP, start), "start contains 0.0", "> 0 at infinite depth")


@pytest.mark.parametrize("kind", [np.float32, np.int64, list])
def test_given_values_of_any_kind_of_number(kind, paths_of):
    values = [1, 2, 3, 4, 5] if kind is list else np.arange(1, 6).astype(kind)
    assert np.array_equal(checked_array(values, paths_of(NETWORK).run), [1.0, 2.0, 3.0, 4.0, 5.0])


def test_keys_of_seeds_differ():
    seeds = [0, 1, 2, 2**32, 2**63, 2**64 - 1]
    assert len({int(noise_key(seed)) for seed in seeds}) == len(seeds)
    assert noise_key(0) == np.random.SeedSequence(0).generate_state(1, np.uint64)[0]
