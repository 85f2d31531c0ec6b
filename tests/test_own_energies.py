"""A user's own energy: it does what a built-in one does, is tried before it runs, and leaves no code in files."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

import dlnmc
from dlnmc import DeepLinearNetwork, OwnEnergy, analysis, dataset, defaults, functions, landscape
from dlnmc.energies import _FUNCTIONS
from dlnmc_kernels import driver
from dlnmc_kernels.jit import JIT_DISABLED

RNG = np.random.default_rng(8)
START = RNG.standard_normal((3, 3))
TARGET = RNG.standard_normal((3, 3))


def value(W, p):
    """A double well about a target: ½ |W − T|² + ¼ p_0 (|W|² − p_1)², T row by row in the rest of p."""
    return 0.5 * np.sum((W - p[2:].reshape(W.shape)) ** 2) + 0.25 * p[0] * (np.sum(W * W) - p[1]) ** 2


def gradient(W, p):
    if W[0, 0] > 50.0:
        raise ValueError("too far out")
    return W - p[2:].reshape(W.shape) + p[0] * (np.sum(W * W) - p[1]) * W


def half_squares(W, p):
    return 0.5 * np.sum(W * W)


def itself(W, p):
    return W


WELL = OwnEnergy("double_well", value, gradient, parameters=[2.0, 0.5, *np.zeros(9)])
TO = WELL.changed(parameters=(0.0, 0.0, *TARGET.ravel()))  # `QuadraticTo`: nothing is compiled for it
DRAWN = "energy double_well (2, 0.5, 0, 0, 0, 0, …)"


def model_of(energy, **changes):
    return DeepLinearNetwork(**({"width": 3, "depth": 2.0, "beta": 3.0, "energy": energy} | changes))


def tried(value, gradient, parameters=(), width=3):
    return model_of(OwnEnergy("mine", value, gradient, parameters=parameters), width=width)


COMPILED = pytest.mark.skipif(JIT_DISABLED, reason="nothing is compiled")
PATHS = {"paths": 9, "dt": 1e-2, "times": [0.0, 0.05, 0.1], "threads": 1, "seed": 4}


@pytest.fixture(scope="module")
def well_paths():
    return dlnmc.simulate(model_of(WELL), state="matrix", **PATHS)


# --- what it computes -------------------------------------------------------------------------------------------------


def test_arrays_of_matrices_give_arrays():
    W = RNG.standard_normal((2, 5, 3, 3))
    squares = np.sum(W**2, axis=(-2, -1))
    assert WELL.value(W) == pytest.approx(0.5 * squares + 0.5 * (squares - 0.5) ** 2, rel=1e-13)
    assert WELL.gradient(W) == pytest.approx((2.0 * squares)[..., None, None] * W, rel=1e-13)
    assert WELL.value(START).shape == ()
    assert WELL.gradient(START.tolist()).shape == (3, 3)
    assert WELL.value(np.moveaxis(W, 0, -1)[..., 0].swapaxes(-1, -2)) == pytest.approx(WELL.value(W[0]), rel=1e-13)
    assert WELL.value(np.empty((0, 3, 3))).shape == (0,)


def test_matrices_of_failed_paths_have_no_energy():
    W = np.stack([START, np.full((3, 3), np.nan)])
    assert np.isnan(WELL.value(W)).tolist() == [False, True]
    assert np.isnan(WELL.gradient(W)).all(axis=(1, 2)).tolist() == [False, True]


def test_functions_may_spoil_their_matrix():
    def spoiling(W, p):
        W *= W
        return 0.5 * W.sum()

    W = START.copy()
    energy = tried(spoiling, itself).energy
    assert energy.value(W) == pytest.approx(0.5 * np.sum(START**2), rel=1e-13)
    assert np.array_equal(W, START)
    assert np.array_equal(energy.gradient(W), START)


@pytest.mark.parametrize("state", ["matrix", pytest.param("network", marks=pytest.mark.slow)])
def test_paths_are_those_of_the_built_in_energy_with_these_formulas(state):
    run = {"state": state, "start": START} | PATHS
    own = dlnmc.simulate(model_of(TO), **run)
    built_in = dlnmc.simulate(model_of(dlnmc.QuadraticTo(TARGET)), **run)
    other = dlnmc.simulate(model_of(TO.changed(parameters=(0.0, 0.0, *(0.9 * TARGET.ravel())))), **run)
    W, expected = own["matrix"].to_numpy(), built_in["matrix"].to_numpy()
    assert np.max(np.abs(W - expected)) < 1e-12
    assert np.min(np.max(np.abs(other["matrix"].to_numpy() - expected)[:, -1], axis=(1, 2))) > 1e-4
    assert np.ptp(W[:, -1], axis=0).min() > 0.0  # each path has its own matrix


def test_paths_do_not_depend_on_threads_nor_on_other_paths(well_paths):
    more = dlnmc.simulate(model_of(WELL), state="matrix", **(PATHS | {"paths": 17, "threads": 2}))
    assert np.array_equal(well_paths["matrix"], more["matrix"][:9])


# --- how it is compiled -----------------------------------------------------------------------------------------------


@COMPILED
def test_kernels_are_compiled_once_for_all_functions(well_paths):
    """And kept on disk: their types say nothing of the function."""

    def value(W, p):
        return 3.0 * np.sum(W**4)

    def gradient(W, p):
        return 12.0 * W**3

    before = len(driver.run.signatures)
    model = tried(value, gradient)
    data = dlnmc.simulate(model, state="matrix", **PATHS)
    assert len(driver.run.signatures) == before
    assert not np.array_equal(data["matrix"], well_paths["matrix"])
    assert "dlnmc" in driver.run.stats.cache_path


@COMPILED
def test_equal_functions_are_compiled_once():
    def make():
        def value(W, p):
            return 0.5 * np.sum(W * W)

        def gradient(W, p):
            return W

        return OwnEnergy("mine", value, gradient)

    one, other = make(), make()
    assert one == other
    assert one.functions.compiled_gradient is other.functions.compiled_gradient


def test_functions_that_are_compiled_already_are_taken():
    energy = OwnEnergy("double_well", numba.njit(value), numba.njit(gradient), WELL.parameters)
    assert energy == WELL
    assert model_of(energy) == model_of(WELL)


PURE = """
import numpy as np, dlnmc
from dlnmc_kernels.jit import JIT_DISABLED
def value(W, p):
    return 0.5 * np.sum((W - p.reshape(W.shape)) ** 2)
def gradient(W, p):
    return W - p.reshape(W.shape)
assert JIT_DISABLED
target = np.arange(4.0).reshape(2, 2) / 3.0
run = dict(paths=2, dt=1e-2, times=[0.02], state="matrix", start=np.eye(2), threads=1)
model = dlnmc.DeepLinearNetwork(2, 2.0, 3.0, 0.5, dlnmc.OwnEnergy("mine", value, gradient, target.ravel()))
one, other = dlnmc.simulate(model, **run), dlnmc.simulate(model.changed(energy=dlnmc.QuadraticTo(target)), **run)
assert np.max(np.abs(one.matrix - other.matrix)) < 1e-13
"""


def test_it_runs_in_pure_python():
    python(PURE, NUMBA_DISABLE_JIT="1")


def python(program, **environment):
    """Run Python source in a process of its own, where the functions of this one are not known."""
    root = Path(__file__).parents[1]
    environment |= {"PYTHONPATH": os.pathsep.join([str(root), str(root / "kernels"), *filter(None, sys.path)])}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- as a description -------------------------------------------------------------------------------------------------


def test_it_is_known_by_name_parameters_and_source():
    assert OwnEnergy("double_well", value, gradient, parameters=np.array(WELL.parameters)) == WELL
    assert hash(WELL) == hash(OwnEnergy("double_well", value, gradient, [2, 0.5] + 9 * [0]))
    others = [
        WELL.changed(name="well"),
        TO,
        OwnEnergy("double_well", half_squares, gradient, WELL.parameters),
        OwnEnergy("double_well", value, itself, WELL.parameters),
    ]
    assert len({WELL.digest(), *(other.digest() for other in others)}) == 5
    assert len({WELL, *others}) == 5
    stored = json.loads(WELL.to_json())
    assert {key: stored[key] for key in stored if stored[key] is not None} == {
        "kind": "own",
        "name": "double_well",
        "parameters": list(WELL.parameters),
        "sha256": functions.digest(value, gradient),
    }


def test_models_keep_their_functions_through_changes_and_json():
    model = model_of(WELL).changed(kappa=0.5, depth=3.0)
    assert model.energy.value(START) == WELL.value(START)
    again = DeepLinearNetwork(**json.loads(model.to_json()))
    assert again == model
    assert again.energy.value(START) == WELL.value(START)


OUTSIDE = 2.0


def test_a_digest_follows_what_functions_refer_to():
    def scaled(c):
        return lambda W, p: c * W

    def helper(c):
        def inner(W):
            return c * W

        return lambda W, p: inner(W)

    def counted(name, number):
        space = {"OUTSIDE": number, "np": np}
        exec(f"def {name}(W, p):\n    return [OUTSIDE * w for w in W]", space)
        return space[name]

    large = np.zeros(5000)
    other = large.copy()
    other[2500] = 1.0  # where its text has an ellipsis
    different = [
        *(scaled(c) for c in (1.0, 2.0, large, other)),
        *(helper(c) for c in (1.0, 2.0)),
        *(counted("f", number) for number in (1.0, 2.0)),
        value,
        gradient,
    ]
    assert len({functions.digest(function) for function in different}) == len(different)
    for make, c in ((scaled, 1.0), (scaled, other), (helper, 2.0)):
        assert functions.digest(make(c)) == functions.digest(make(c))
    assert functions.digest(counted("f", 1.0)) == functions.digest(counted("f", 1.0))
    assert functions.digest(value) == functions.digest(numba.njit(value))
    assert functions.digest(value, gradient) != functions.digest(gradient, value)


def recursive(n):
    return 1 if n == 0 else recursive(n - 1)


def test_a_digest_ends_and_is_the_same_in_every_process():
    assert functions.digest(recursive) == functions.digest(recursive)
    program = """
from dlnmc.functions import digest
code = "def g(W):\\n    return W\\ndef f(W, p):\\n    return [g(w) for w in W if w in {'a', 'b', 'c'}]"
space = {}
exec(code, space)
print(digest(space["f"]))
"""
    assert python(program, PYTHONHASHSEED="1") == python(program, PYTHONHASHSEED="2")


# --- what is tried ----------------------------------------------------------------------------------------------------


def wrong_in_one_entry(W, p):
    G = W.copy()
    G[1, 2] *= 1.0 + 1e-5
    return G


def test_a_wrong_entry_of_the_gradient_is_named_with_both_numbers(refused):
    line = refused(lambda: tried(half_squares, wrong_in_one_entry), "'mine'", "gradient[1, 2] = ", "∂E/∂W")
    given, differences = (float(word.rstrip(",:")) for word in line.split() if "." in word and word[-2].isdigit())
    assert given / differences == pytest.approx(1.0 + 1e-5, abs=1e-7)


@pytest.mark.parametrize(
    ("value", "gradient", "pieces"),
    [
        (half_squares, lambda W, p: 2.0 * W, ("gradient[", "∂E/∂W")),
        (lambda W, p: W[0] @ W[1], lambda W, p: W.T.copy(), ("gradient[", "∂E/∂W")),
        (lambda W, p: p[0] * W[0, 0], itself, ("value", "fails", "index 0")),  # of no parameters
        (itself, itself, ("value", "an array of float64, shape (3, 3)", "a real number")),
        (lambda W, p: None, itself, ("value", "None", "a real number")),
        (lambda W, p: W[0, 0] * 1j, itself, ("value", "real number")),
        (lambda W, p: "x", itself, ("value", "'x'", "real number")),
        (half_squares, lambda W, p: W[0], ("gradient", "shape (3,)", "shape (3, 3)")),
        (half_squares, lambda W, p: 1.0, ("gradient", "1.0", "shape (3, 3)")),
        (lambda W, p: np.sum(np.log(W)), lambda W, p: 1.0 / W, ("value", "finite", "width 3")),
        (half_squares, lambda W, p: W * np.inf, ("gradient", "finite")),
        (lambda W: W[0, 0], itself, ("value", "argument")),
        (lambda W, p: W.no_such_attribute, itself, ("value", "no_such_attribute")),
        (lambda W, p: W[100, 0], itself, ("value", "100")),
        pytest.param(lambda W, p: float(json.dumps(1)), itself, ("value", "compiled", "json"), marks=COMPILED),
        (half_squares, lambda W, p: np.linalg.inv(0.0 * W), ("gradient", "ingular")),
    ],
    ids=list("abcdefghijklmnop"),
)
def test_what_is_no_energy_is_refused_in_one_line(value, gradient, pieces, refused):
    text = refused(lambda: tried(value, gradient), "'mine'", *pieces)
    assert len(text) < 400


def test_parameters_cannot_be_changed_by_functions(refused):
    def counting(W, p):
        p[0] += 1.0
        return p[0] * np.sum(W * W)

    refused(lambda: tried(counting, itself, (0.0,)), "'mine'", "value", "read-only")


@COMPILED
def test_code_that_compiles_to_something_else_is_seen(refused):
    def beyond_64_bits(W, p):
        return 0.5 * np.sum(W * W) + 1e-19 * float((3037000500 * len(W)) ** 2)

    refused(lambda: tried(beyond_64_bits, itself), "'mine'", "value", "not the same")


@pytest.mark.parametrize(
    ("make", "pieces"),
    [
        (lambda: OwnEnergy("double well", value, gradient), ("name = 'double well'", "identifier")),
        (lambda: OwnEnergy("lambda", value, gradient), ("name = 'lambda'", "identifier")),
        (lambda: OwnEnergy(3, value, gradient), ("name = 3", "string")),
        (lambda: OwnEnergy("mine", 3, gradient), ("'mine'", "value is 3", "function")),
        (lambda: OwnEnergy("mine", value), ("'mine'", "gradient is None", "function")),
        (lambda: OwnEnergy("mine", np.sum, gradient), ("'mine'", "value", "written in Python")),
        (lambda: OwnEnergy("mine", value, gradient, parameters=2.0), ("parameters = 2.0", "list")),
        (lambda: OwnEnergy("mine", value, gradient, parameters=[math.nan]), ("parameters.0 = nan", "finite")),
        (lambda: OwnEnergy("mine", value, gradient, curvature=(2.0, 1.0)), ("curvature = (2.0, 1.0)", "smallest")),
        (lambda: OwnEnergy("mine", value, gradient, sha256="ab"), ("'mine'", "sha256")),
        (lambda: OwnEnergy("mine", sha256="ab"), ("sha256 = 'ab'",)),
        (lambda: OwnEnergy("mine", value, gradient, minimun=[[1.0]]), ("minimun", "'minimum'")),
        (lambda: model_of(WELL.changed(minimum=np.eye(2))), ("energy.minimum", "3 rows of 3")),
        (lambda: dlnmc.DysonBrownianMotion(3, 1.0, energy=WELL), ("'own'", "Deep Linear Network")),
        (lambda: dlnmc.simulate(model_of(WELL), state="singular_values", **PATHS), ("'own'", "whole matrices")),
    ],
)  # fmt: skip
def test_a_bad_description_is_refused_in_one_line(make, pieces, refused):
    refused(make, *pieces)


def test_a_path_fails_where_a_function_raises(refused):
    far = np.stack([START, 100.0 * np.eye(3), START])
    run = {"state": "matrix", "start": far} | PATHS | {"paths": 3}
    refused(lambda: dlnmc.simulate(model_of(WELL), **run), "1 of 3 paths", "path 1 at step 0", error=dlnmc.RunFailed)
    data = dlnmc.simulate(model_of(WELL), **run, failed_fraction=0.5)
    assert data["status"].values.tolist() == [0, 1, 0]
    assert np.isfinite(data["matrix"].to_numpy()).all(axis=(1, 2, 3)).tolist() == [True, False, True]


# --- scales -----------------------------------------------------------------------------------------------------------


def quadratic(A, B):
    """½ Tr W A Wᵀ − Tr BᵀW."""
    return lambda W: 0.5 * np.einsum("...ij,jk,...ik->...", W, A, W) - np.sum(B * W, axis=(-2, -1)), lambda W: W @ A - B


@pytest.mark.parametrize("width", [1, 2, 4])
def test_the_landscape_of_a_quadratic_is_found(width):
    rng = np.random.default_rng(width)
    A = rng.standard_normal((width, width))
    A, B = A @ A.T + 0.5 * np.eye(width), rng.standard_normal((width, width))
    found = landscape.estimated(*quadratic(A, B), width)
    curvatures = np.linalg.eigvalsh(A)
    assert found.softness == pytest.approx(curvatures[0], rel=1e-6)
    assert found.stiffness == pytest.approx(curvatures[-1], rel=1e-6)
    assert found.minimiser == pytest.approx(B @ np.linalg.inv(A), abs=1e-5)


@pytest.mark.parametrize("energy", [dlnmc.MatrixCompletion(((0, 0, 1.0), (1, 2, 0.5))), dlnmc.QuadraticTo(TARGET)])
def test_the_landscape_of_built_in_energies_is_found(energy):
    found = landscape.estimated(energy.value, energy.gradient, 3)
    assert found.softness == pytest.approx(energy.softness(3), rel=1e-6)  # 0 where entries are left open
    assert found.stiffness == pytest.approx(energy.stiffness(3), rel=1e-6)
    assert found.minimiser == pytest.approx(energy.minimiser(3), abs=1e-5)


def squared(W):
    return np.sum(W**2, axis=(-2, -1))


def times(factor, W):
    return factor[..., None, None] * W


GROWING = {
    "flat at its minimum": (lambda W: squared(W) ** 2, lambda W: times(4.0 * squared(W), W)),
    "flat along its minima": (lambda W: (squared(W) - 9.0) ** 2, lambda W: times(4.0 * (squared(W) - 9.0), W)),
    "rippled": (lambda W: squared(W) + np.cos(5.0 * W).sum((-2, -1)), lambda W: 2.0 * W - 5.0 * np.sin(5.0 * W)),
}
NOT_GROWING = {
    "falling": (lambda W: -squared(W), lambda W: -2.0 * W),
    "falling fast": (lambda W: -(squared(W) ** 2), lambda W: times(-4.0 * squared(W), W)),
    "constant": (lambda W: 0.0 * squared(W), lambda W: 0.0 * W),
    "a slope": (lambda W: W[..., 0, 1], lambda W: 0.0 * W + np.array([[0.0, 1.0], [0.0, 0.0]])),
    "of one entry": (lambda W: W[..., 0, 0] ** 2, lambda W: 2.0 * W * np.array([[1.0, 0.0], [0.0, 0.0]])),
}


@pytest.mark.parametrize(("name", "confines"), [*((n, True) for n in GROWING), *((n, False) for n in NOT_GROWING)])
def test_what_confines_is_told_from_what_does_not(name, confines):
    value, gradient = (GROWING | NOT_GROWING)[name]
    assert landscape.disagreement(value, gradient, 2) is None
    found = landscape.estimated(value, gradient, 2)
    assert (found.softness > 0.0) == confines
    assert found.stiffness >= found.softness
    assert np.isfinite(found.minimiser).all()


@pytest.mark.parametrize("frequency", [1.0, 30.0, 1000.0])
@pytest.mark.parametrize("error", [0.0, 1e-5, -1e-5])
def test_differences_tell_right_gradients_from_wrong_ones(frequency, error):
    """A steep or a rippled function needs small steps, a large constant large ones."""

    def value(W):
        return 100.0 + np.sin(frequency * W).sum((-2, -1)) + squared(W)

    def gradient(W):
        return (1.0 + error) * (frequency * np.cos(frequency * W) + 2.0 * W)

    assert (landscape.disagreement(value, gradient, 3) is None) == (error == 0.0)


def test_large_matrices_are_tried_at_some_entries(monkeypatch):
    monkeypatch.setattr(landscape, "MOST_NUMBERS", 100 * 20**2)
    calls = []

    def value(W):
        calls.append(len(W))
        return squared(W)

    assert landscape.disagreement(value, lambda W: 2.0 * W, 20) is None
    assert landscape.disagreement(value, lambda W: 2.001 * W, 20) is not None
    assert set(calls) == {100}


def test_defaults_are_those_of_the_built_in_energy_with_these_formulas():
    own, built_in = model_of(TO), model_of(dlnmc.QuadraticTo(TARGET))
    for default in (defaults.default_dt, defaults.default_burn_in, defaults.equilibrium_radius):
        assert default(own) == pytest.approx(default(built_in), rel=1e-6)


def test_scales_may_be_given(refused):
    given = WELL.changed(curvature=(0.7, 3.0), minimum=np.eye(3))
    assert (given.softness(3), given.stiffness(3)) == (0.7, 3.0)
    assert np.array_equal(given.minimiser(3), np.eye(3))
    assert given.digest() != WELL.digest()
    assert TO.minimiser(3) == pytest.approx(TARGET, abs=1e-6)
    assert 0.0 < WELL.softness(3) <= WELL.stiffness(3)
    refused(lambda: WELL.softness(40), "'double_well'", "width is 40", "curvature")


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_result_holds_its_name_and_no_code(well_paths):
    energy = json.loads(well_paths.attrs["config"])["model"]["energy"]
    assert (energy["name"], energy["parameters"], energy["sha256"]) == (
        "double_well",
        list(WELL.parameters),
        WELL.sha256,
    )
    assert "np.sum" not in json.dumps(well_paths.attrs, default=str)
    assert dataset.model_of(well_paths) == model_of(WELL)


@pytest.fixture
def forgotten(monkeypatch):
    """A process that does not know the functions."""
    monkeypatch.delitem(_FUNCTIONS, WELL.sha256)


@pytest.fixture(scope="module")
def well_tree():
    settings = {"paths": 9, "dt": 1e-2, "burn_in": 0.1, "duration": 0.1, "draws": 2, "threads": 1}
    return dlnmc.equilibrium(model_of(WELL), state="matrix", **settings)


def test_files_are_read_reported_checked_and_drawn_without_functions(well_paths, well_tree, forgotten, tmp_path):
    for name, result in (("paths", well_paths), ("tree", well_tree)):
        dlnmc.save(result, tmp_path / f"{name}.nc")
        found = dlnmc.open(tmp_path / f"{name}.nc")
        assert dataset.model_of(found) == DeepLinearNetwork(**json.loads(model_of(WELL).to_json()))
        assert DRAWN in dlnmc.plot(found).get_suptitle()
    assert DRAWN in dlnmc.report(found)
    checks = analysis.checks(found, dataset.model_of(found))
    (unknown,) = [text for text, holds in checks if holds is not True]
    assert "generator identities" in unknown
    assert "functions" in unknown


def test_what_has_no_functions_cannot_be_run_and_says_so(well_paths, forgotten, refused):
    model = dataset.model_of(well_paths)
    pieces = ("'double_well'", "functions", "OwnEnergy", WELL.sha256[:16])
    refused(lambda: dlnmc.simulate(model, start=START, **PATHS), *pieces)
    refused(lambda: dlnmc.simulate(model, **PATHS), *pieces)
    refused(lambda: dlnmc.equilibrium(model, threads=1), *pieces)
    refused(lambda: model.energy.value(START), *pieces)


def test_a_description_from_a_file_runs_when_the_functions_are_given_again(well_paths, forgotten):
    model = dataset.model_of(well_paths)
    OwnEnergy("double_well", value, gradient)
    again = dlnmc.simulate(model, state="matrix", **PATHS)
    assert np.array_equal(again["matrix"], well_paths["matrix"])


def test_a_run_is_continued(well_paths):
    more = dlnmc.simulate(model_of(WELL), start=well_paths, state="matrix", **PATHS)
    assert more["matrix"].isel(time=0).to_numpy() == pytest.approx(
        well_paths["matrix"].isel(time=-1).to_numpy(), abs=1e-13
    )


@pytest.mark.parametrize("energy", ["own", {"kind": "own"}, json.loads(WELL.to_json()), WELL], ids=str)
def test_a_study_holds_no_code(energy, refused, tmp_path):
    tables = {"model": {"width": 3, "depth": 2.0, "beta": 3.0, "energy": energy}, "run": {"paths": 9}}
    refused(lambda: dlnmc.study(tables, tmp_path / "a.nc", progress=False), "'own'", "no code")


def test_words_name_every_energy():
    words = {
        dlnmc.Quadratic(): "",
        dlnmc.NoEnergy(): "",
        dlnmc.Polynomial((-1.0, 0.25)): "polynomial energy (-1, 0.25)",
        dlnmc.MatrixCompletion(((0, 0, 1.0),)): "completion of 1 entry",
        dlnmc.MatrixCompletion(((0, 0, 1.0), (1, 1, 2.0)), 0.5): "completion of 2 entries, confinement 0.5",
        dlnmc.QuadraticTo(TARGET): "quadratic energy about a target",
        dlnmc.LeastSquares(TARGET, TARGET): "least squares of 3 samples",
        WELL: DRAWN,
        OwnEnergy("plain", value, gradient): "energy plain",
    }
    assert all(energy.words == text for energy, text in words.items())
