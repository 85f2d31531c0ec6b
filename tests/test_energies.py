"""Energies of whole matrices: values, gradients, curvatures, their compiled forms, where they come from and go to."""

import math
import tomllib

import numpy as np
import pytest
from pydantic import TypeAdapter

import dlnmc
from dlnmc import LeastSquares, MatrixCompletion, QuadraticTo, analysis, findings, geometry, studies
from dlnmc.defaults import default_burn_in, default_dt, default_duration, equilibrium_radius
from dlnmc.energies import Energy
from dlnmc.models import DeepLinearNetwork, DysonBrownianMotion, Model

RNG = np.random.default_rng(5)
W = RNG.standard_normal((3, 3))
OPEN = MatrixCompletion(((0, 0, 1.0), (1, 1, -0.5), (2, 0, 0.25)))
CLOSED = MatrixCompletion(OPEN.entries, confinement=0.3)
FULL = MatrixCompletion.from_mask(np.ones((3, 3), dtype=bool), RNG.standard_normal((3, 3)))
TARGET = QuadraticTo(RNG.standard_normal((3, 3)))
DATA = LeastSquares(RNG.standard_normal((7, 3)), RNG.standard_normal((7, 3)))
FEW_DATA = LeastSquares(RNG.standard_normal((2, 3)), RNG.standard_normal((2, 3)))
BY_NAME = {"open": OPEN, "closed": CLOSED, "full": FULL, "target": TARGET, "data": DATA, "few data": FEW_DATA}
ENERGIES = pytest.mark.parametrize("energy", BY_NAME.values(), ids=BY_NAME)
NETWORK = {"width": 3, "depth": 2.0, "beta": 3.0}


def model_of(energy, **changes):
    return DeepLinearNetwork(**(NETWORK | {"energy": energy} | changes))


# --- formulas ---------------------------------------------------------------------------------------------------------


def test_values_are_the_formulas():
    i, j = [0, 1, 2], [0, 1, 0]
    missed = 0.5 * np.sum((W[i, j] - [1.0, -0.5, 0.25]) ** 2)
    assert OPEN.value(W) == pytest.approx(missed, rel=1e-14)  # (3.8)
    assert CLOSED.value(W) == pytest.approx(missed + 0.15 * np.sum(W**2), rel=1e-14)
    assert TARGET.value(W) == pytest.approx(0.5 * np.linalg.norm(W - np.array(TARGET.target)) ** 2, rel=1e-14)
    each = [np.linalg.norm(W @ x - y) ** 2 for x, y in zip(DATA.inputs, DATA.outputs, strict=True)]
    assert DATA.value(W) == pytest.approx(np.mean(each), rel=1e-14)  # (2.1)


@ENERGIES
def test_gradients_are_the_differences_of_values(energy):
    at = RNG.standard_normal((2, 4, 3, 3))
    gradient, h = energy.gradient(at), 1e-4
    assert gradient.shape == at.shape
    assert energy.value(at).shape == (2, 4)
    for i in range(3):
        for j in range(3):
            step = np.zeros((3, 3))
            step[i, j] = h
            difference = (energy.value(at + step) - energy.value(at - step)) / (2.0 * h)
            assert gradient[..., i, j] == pytest.approx(difference, rel=1e-6, abs=1e-8)


@ENERGIES
def test_curvatures_and_the_minimum_are_those_of_the_gradient(energy):
    """E' is affine: its matrix has the largest and the smallest curvature as eigenvalues."""
    basis = np.eye(9).reshape(9, 3, 3)
    hessian = (energy.gradient(basis) - energy.gradient(np.zeros((3, 3)))).reshape(9, 9)
    values = np.linalg.eigvalsh(hessian)
    assert hessian == pytest.approx(hessian.T, abs=1e-14)
    assert energy.stiffness(3) == pytest.approx(values[-1], rel=1e-12)
    assert energy.softness(3) == pytest.approx(values[0], rel=1e-9, abs=1e-14)
    assert (energy.softness(3) > 0.0) == (energy not in (OPEN, FEW_DATA))
    least = energy.minimiser(3)
    assert np.max(np.abs(energy.gradient(least))) < 1e-13
    null = np.linalg.eigh(hessian)[1][:, values < 1e-9]  # the smallest of all minimisers has no part in it
    assert np.max(np.abs(null.T @ least.ravel()), initial=0.0) < 1e-12


def test_weights_and_targets_give_the_energy_up_to_a_constant():
    weights, targets = CLOSED.weights_and_targets(3)
    at = RNG.standard_normal((5, 3, 3))
    rest = CLOSED.value(at) - 0.5 * np.sum(weights * (at - targets) ** 2, axis=(1, 2))
    assert rest == pytest.approx(np.full(5, rest[0]), abs=1e-13)


# --- compiled forms ---------------------------------------------------------------------------------------------------


def prime(energy, at):
    """E'(W), also of invariant energies."""
    if not energy.invariant:
        return energy.gradient(at)
    coefficients = {"quadratic": (0.5,), "none": ()}.get(energy.kind, getattr(energy, "coefficients", ()))
    y = at.T @ at
    powers = (np.linalg.matrix_power(y, m) for m in range(len(coefficients)))
    return sum(
        (2.0 * (m + 1) * c * at @ p for m, (c, p) in enumerate(zip(coefficients, powers, strict=True))), 0.0 * at
    )


def fourth_powers(W, p):
    return p[0] * np.sum(W**4) + W[0, 1]


def cubes(W, p):
    G = 4.0 * p[0] * W**3
    G[0, 1] += 1.0
    return G


OWN = dlnmc.OwnEnergy("fourth_powers", fourth_powers, cubes, parameters=[0.25])
COMPILED = [dlnmc.Quadratic(), dlnmc.NoEnergy(), dlnmc.Polynomial((-0.5, 0.25)), OPEN, CLOSED, TARGET, DATA, OWN]


@pytest.mark.parametrize("energy", COMPILED, ids=lambda energy: energy.kind)
@pytest.mark.parametrize(("depth", "beta"), [(1.0, 3.0), (2.0, math.inf), (3.5, 3.0), (math.inf, 3.0)])
def test_a_compiled_matrix_moves_along_the_drift(energy, depth, beta):
    """At κ = 0 nothing is random: W moves by dt (−A(E') + Q_N Σ' Q_0ᵀ/β), up to dt² since levels and frames do."""
    model = model_of(energy, depth=depth, beta=beta, kappa=0.0)
    drift = geometry.drift(depth, W, prime(energy, W), beta, 0.0)
    left = []
    for dt in (1e-4, 5e-5):
        data = dlnmc.simulate(model, paths=1, dt=dt, times=[0.0, dt], state="matrix", start=W, threads=1)
        moved = np.diff(data.matrix.to_numpy()[0], axis=0)[0]
        left.append(np.max(np.abs(moved / dt - drift)))
    scale = np.max(np.abs(drift))
    assert left[0] < 0.01 * scale or left[0] < 1e-9
    assert left[1] < 0.6 * left[0] or left[0] < 1e-9


NETWORKS = [dlnmc.Quadratic(), CLOSED]
REST = [pytest.param(energy, marks=pytest.mark.slow) for energy in (dlnmc.Polynomial((-0.5, 0.25)), DATA)]  # to compile


@pytest.mark.parametrize("energy", [*NETWORKS, *REST], ids=lambda energy: energy.kind)
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_compiled_network_moves_along_the_gradient(energy, depth):
    """(3.4): W_p moves by −dt W_{p+1}ᵀ … W_Nᵀ E'(W) W_1ᵀ … W_{p−1}ᵀ, up to dt² for the way back to the variety."""
    factors = geometry.balanced_over(W, depth, gauge=geometry_gauge(depth))
    model = model_of(energy, depth=float(depth), beta=math.inf, kappa=0.0)
    gradient = upstairs(factors, prime(energy, W))
    left = []
    for dt in (2e-3, 1e-3):
        data = dlnmc.simulate(model, paths=1, dt=dt, times=[0.0, dt], state="network", start=factors, threads=1)
        moved = np.diff(data.network.to_numpy()[0], axis=0)[0]
        left.append(np.max(np.abs(moved / dt + gradient)))
        assert left[-1] < 20.0 * dt * max(1.0, np.max(np.abs(gradient))) ** 2
    assert left[1] < 0.6 * left[0] or left[0] < 1e-9


def geometry_gauge(depth):
    return np.linalg.qr(np.random.default_rng(2).standard_normal((depth - 1, 3, 3)))[0] if depth > 1 else None


def upstairs(factors, E):
    N = len(factors)
    before = [np.eye(3)]
    for p in range(N - 1):
        before.append(factors[p] @ before[-1])
    after = [np.eye(3)]
    for p in range(N - 1, 0, -1):
        after.append(after[-1] @ factors[p])
    return np.stack([after[N - 1 - p].T @ E @ before[p].T for p in range(N)])


@pytest.mark.parametrize("energy", [dlnmc.Quadratic(), dlnmc.Polynomial((0.3, 0.2, 0.0, 0.25))], ids=["x²", "x⁴"])
def test_a_compiled_hermitian_matrix_follows_an_euler_loop_in_numpy(energy):
    """At κ = 0 and β = ∞: dM = −v'(M) dt."""
    model, dt = DysonBrownianMotion(3, math.inf, 0.0, energy), 1e-3
    at = W + W.T + 1j * (W - W.T)
    start = at
    for _ in range(50):
        at = at - dt * geometry.spectral_gradient(at, model.slope(np.linalg.eigvalsh(at)))
    data = dlnmc.simulate(model, paths=2, dt=dt, times=[0.05], state="hermitian", start=start, threads=1)
    found = data.matrix.isel(time=0, part=0) + 1j * data.matrix.isel(time=0, part=1)
    assert np.max(np.abs(found.to_numpy() - at)) < 1e-8


# --- from masks and files ---------------------------------------------------------------------------------------------


def test_a_mask_chooses_entries():
    mask, values = np.zeros((3, 3), dtype=bool), np.full((3, 3), np.nan)
    for i, j, value in OPEN.entries:
        mask[i, j], values[i, j] = True, value
    assert set(MatrixCompletion.from_mask(mask, values).entries) == set(OPEN.entries)
    assert MatrixCompletion.from_mask(mask, values, 0.3).confinement == 0.3
    assert MatrixCompletion.from_mask(mask.tolist(), np.arange(9).reshape(3, 3)).entries == (
        (0, 0, 0),
        (1, 1, 4),
        (2, 0, 6),
    )


@pytest.mark.parametrize(
    ("mask", "values", "pieces"),
    [
        (np.ones((3, 3)), W, ("mask of float64", "boolean")),
        (np.ones((2, 3), dtype=bool), W, ("(2, 3)", "(3, 3)", "one shape")),
        (np.ones(3, dtype=bool), np.ones(3), ("(3,)", "matrix")),
        (np.zeros((3, 3), dtype=bool), W, ("entries", "at least 1")),
        (np.ones((3, 3), dtype=bool), np.where(W > 0, W, np.nan), ("entries", "nan")),
        (np.ones((3, 3), dtype=bool), W + 0j, ("complex128", "real")),
        (np.ones((3, 3), dtype=bool), [["a"] * 3] * 3, ("real",)),
        ([[True], [True, False]], W, ("mask and values", "one shape")),
    ],
    ids=["numbers", "shapes", "a row", "empty", "nan", "complex", "text", "ragged"],
)
def test_a_bad_mask_is_refused(mask, values, pieces, refused):
    refused(lambda: MatrixCompletion.from_mask(mask, values), *pieces)


def test_a_file_holds_a_line_for_each_entry(tmp_path):
    path = tmp_path / "entries.csv"
    path.write_text("# i, j, value\n0,0,1.0\n\n  \n 1 , 1 , -5e-1\n# and one more\n2,0,0.25\n", encoding="utf-8")
    assert MatrixCompletion.from_csv(path) == OPEN
    assert MatrixCompletion.from_csv(str(path), confinement=0.3) == CLOSED
    path.write_text("i,j,value\n0,0,1.0\n1,1,-0.5\n2,0,0.25\n", encoding="utf-8-sig")
    assert MatrixCompletion.from_csv(path) == OPEN


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("0,0,1\ni,j,value\n", ("line 2", "'i,j,value'", "is not integers i, j and a number")),
        ("i,j,value\n", ("no line i,j,value",)),
        ("0,0,1\n0,1\n", ("line 2", "'0,1'")),
        ("0,0,1\n0,1,2,3\n", ("line 2", "'0,1,2,3'")),
        ("0;0;1\n", ("line 1", "'0;0;1'")),
        ("0.0,0,1\n", ("line 1", "'0.0,0,1'")),
        ("0,0,one\n", ("line 1", "'0,0,one'")),
        ("0,0,nan\n", ("line 1", "'0,0,nan'")),
        ("0,0,1e999\n", ("line 1", "1e999")),
        ("0,-1,1\n", ("line 1", "'0,-1,1'")),
        ("0,0,1\n\n0,0,2\n", ("(0, 0)", "twice")),
        ("", ("no line i,j,value",)),
        ("# nothing\n", ("no line i,j,value",)),
        (b"\xff\xfe\x00", ("not text",)),
    ],
)
def test_a_bad_file_is_refused_with_its_line(text, pieces, refused, tmp_path):
    path = tmp_path / "entries.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    line = refused(lambda: MatrixCompletion.from_csv(path), *pieces)
    assert str(path) in line or "twice" in pieces


@pytest.mark.parametrize("name", ["missing.csv", "."])
def test_a_file_that_cannot_be_read_is_named(name, refused, tmp_path):
    refused(lambda: MatrixCompletion.from_csv(tmp_path / name), str(tmp_path / name))


def test_many_entries_take_no_time():
    energy = MatrixCompletion.from_mask(np.ones((150, 150), dtype=bool), np.zeros((150, 150)))
    assert len(energy.entries) == 22500  # comparing all pairs would take half a minute


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "pieces"),
    [
        (lambda: MatrixCompletion(((0, 0, 1.0), (0, 1, 2.0), (0, 0, 3.0))), ("(0, 0)", "twice")),
        (lambda: MatrixCompletion(((0, 0, 1.0), (0, 0, 1.0))), ("(0, 0)", "twice")),
        (lambda: MatrixCompletion(()), ("entries", "at least 1")),
        (lambda: MatrixCompletion(((0, -1, 1.0),)), ("entries.0.1 = -1", ">= 0")),
        (lambda: MatrixCompletion(((0, 0.5, 1.0),)), ("entries.0.1 = 0.5", "integer")),
        (lambda: MatrixCompletion(((0, 0, math.nan),)), ("entries.0.2 = nan", "finite")),
        (lambda: MatrixCompletion(((0, 0),)), ("entries.0",)),
        (lambda: MatrixCompletion("0,0,1"), ("entries = '0,0,1'", "list")),
        (lambda: MatrixCompletion(((0, 0, 1.0),), -0.1), ("confinement = -0.1", ">= 0")),
        (lambda: MatrixCompletion(((0, 0, 1.0),), math.inf), ("confinement = inf",)),
        (lambda: MatrixCompletion(((0, 0, 1.0),), confinment=1.0), ("confinment", "'confinement'")),
        (lambda: QuadraticTo([[1.0, math.inf], [0.0, 1.0]]), ("target.0.1 = inf", "finite")),
        (lambda: QuadraticTo(()), ("target", "at least 1")),
        (lambda: QuadraticTo(np.eye(2) * 1j), ("target",)),
        (lambda: LeastSquares(np.ones((2, 3)), np.ones((3, 3))), ("2 inputs", "3 outputs")),
        (lambda: LeastSquares([[math.nan]], [[1.0]]), ("inputs.0.0 = nan", "finite")),
        (lambda: model_of(MatrixCompletion(((0, 3, 1.5),))), ("(0, 3, 1.5)", "width 3", "0 to 2")),
        (lambda: model_of(QuadraticTo(np.eye(2))), ("energy.target", "3 rows of 3", "width is 3")),
        (lambda: model_of(QuadraticTo(np.ones((3, 2)))), ("energy.target", "3 rows of 3")),
        (lambda: model_of(QuadraticTo([[1.0, 2.0, 3.0], [1.0], [1.0]])), ("energy.target", "3 rows of 3")),
        (lambda: model_of(LeastSquares(np.ones((2, 3)), np.ones((2, 2)))), ("samples", "3 numbers", "width is 3")),
        (lambda: model_of(TARGET).changed(width=4), ("energy.target", "4 rows of 4")),
        (lambda: model_of({"kind": "matrix_completon"}), ("matrix_completon", "'matrix_completion'")),
        (lambda: model_of("matrix_completion"), ("entries", "missing")),
        (lambda: DysonBrownianMotion(3, 1.0, energy=TARGET), ("'quadratic_to'", "Deep Linear Network", "'polynomial'")),
        (lambda: DysonBrownianMotion(3, 1.0, energy={"kind": "matrix_completion", "entries": [[0, 0, 1.0]]}),
         ("'matrix_completion'", "Deep Linear Network")),
    ],
)  # fmt: skip
def test_what_is_no_energy_is_refused_in_one_line(make, pieces, refused):
    text = refused(make, *pieces)
    assert len(text) < 300


@pytest.mark.parametrize("energy", [OPEN, FEW_DATA], ids=["open", "few data"])
def test_an_energy_that_does_not_confine_has_paths_and_no_equilibrium(energy, refused, paths_of):
    refused(lambda: dlnmc.equilibrium(model_of(energy), paths=8), energy.kind, "confine", "no equilibrium", "simulate")
    refused(lambda: dlnmc.equilibrium(model_of("none"), paths=8, state="matrix"), "'none'", "no equilibrium")
    assert paths_of(model_of(energy)).run.state == "matrix"


@ENERGIES
def test_there_is_no_law_of_another_energy(energy, refused, paths_of):
    kind = energy.kind
    refused(lambda: dlnmc.laws.of(model_of(energy)), kind)
    refused(lambda: dlnmc.laws.trace(model_of(energy)), kind)
    refused(lambda: dlnmc.exact(model_of(energy, kappa=0.5), paths=8), "no exact sampler")
    refused(lambda: paths_of(model_of(energy), "law"), kind)
    refused(lambda: analysis.identities.generator(model_of(energy), np.ones(3)), kind, "singular values")
    samples = np.ones((8, 1, 3))
    refused(lambda: analysis.identities.identities(model_of(energy), samples), kind, "singular values")


# --- as data ----------------------------------------------------------------------------------------------------------


@ENERGIES
def test_energies_survive_json_and_toml(energy):
    text = energy.to_json()
    assert TypeAdapter(Energy).validate_json(text) == energy
    model = model_of(energy)
    assert TypeAdapter(Model).validate_json(model.to_json()) == model
    pairs = ", ".join(f"{key} = {value!r}" for key, value in energy.model_dump(mode="json").items())
    loaded = tomllib.loads(f"energy = {{{pairs.replace(chr(39), chr(34))}}}")["energy"]
    assert model_of(loaded) == model
    assert model_of(loaded).digest() == model.digest()


def test_numbers_of_any_kind_make_the_same_energy():
    assert MatrixCompletion([[0, 0, 1], [1, 1, -0.5], [2, 0, 0.25]]) == OPEN
    assert MatrixCompletion(((np.int64(0), 0, np.float64(1.0)), (1, 1, -0.5), (2, 0, 0.25))) == OPEN
    assert QuadraticTo(np.array(TARGET.target)) == QuadraticTo(np.array(TARGET.target).tolist()) == TARGET
    assert LeastSquares(inputs=np.array(DATA.inputs), outputs=np.array(DATA.outputs)).digest() == DATA.digest()
    with pytest.raises(ValueError, match="frozen"):
        OPEN.confinement = 1.0


@ENERGIES
def test_a_result_knows_its_energy_also_from_a_file(energy, tmp_path):
    model = model_of(energy, depth=3.0)
    data = dlnmc.simulate(model, paths=3, dt=1e-3, times=[0.002], threads=1)
    dlnmc.save(data, tmp_path / "paths.nc")
    for result in (data, dlnmc.open(tmp_path / "paths.nc")):
        assert analysis.dataset.model_of(result) == model
        assert result.attrs["energy"] == energy.kind


STUDY = """
[model]
width = 2
depth = [1.0, 2.0]
beta = 3.0
energy = {kind = "matrix_completion", entries = [[0, 0, 1.0], [1, 1, 1.0]], confinement = 0.5}

[run]
paths = 16
dt = 0.005
burn_in = 0.05
duration = 0.05
observations = 4

[study]
title = "Completion"
"""


def test_a_study_completes_a_matrix(tmp_path):
    (tmp_path / "completion.toml").write_text(STUDY)
    tree = dlnmc.study(tmp_path / "completion.toml", tmp_path / "out.nc", threads=1, progress=False)
    energy = MatrixCompletion(((0, 0, 1.0), (1, 1, 1.0)), 0.5)
    for result in (tree, dlnmc.open(tmp_path / "out.nc")):
        assert result["samples/matrix"].dims == ("depth", "path", "draw", "row", "column")
        models = [analysis.dataset.model_of(member, result.attrs) for member in analysis.dataset.members(result)]
        assert [(model.depth, model.energy) for model in models] == [(1.0, energy), (2.0, energy)]
        table = dlnmc.report(result)
        assert "trace/exact" not in table
        assert "KS" not in table
        found = findings.verdicts(result)
        assert not any("Gamma law" in text or "exact" in text for text, _ in found)
        assert any("generator identities" in text for text, _ in found)
    again = dlnmc.study(tmp_path / "completion.toml", tmp_path / "out.nc", threads=1, progress=False)
    assert again["samples/matrix"].equals(tree["samples/matrix"])


@pytest.mark.parametrize(
    ("old", "new", "pieces"),
    [
        ("confinement = 0.5", "confinement = 0.0", ("matrix_completion", "confine")),
        ("[1, 1, 1.0]", "[0, 0, 1.0]", ("(0, 0)", "twice")),
        ("[1, 1, 1.0]", "[2, 1, 1.0]", ("(2, 1, 1)", "width 2")),
        ("[1, 1, 1.0]", "[1, 1]", ("entries",)),
        ("[1, 1, 1.0]", '"1,1,1"', ("entries",)),
        ("paths = 16", 'paths = 16\nstate = "singular_values"', ("matrix_completion", "'matrix'", "'network'")),
        ("paths = 16", 'paths = 16\nscheme = "hmc"', ("hmc", "whole matrices", "euler_maruyama")),
    ],
)
def test_a_bad_study_of_a_matrix_is_refused(old, new, pieces, refused, tmp_path):
    (tmp_path / "completion.toml").write_text(STUDY.replace(old, new))
    refused(lambda: studies.load(tmp_path / "completion.toml").members(), *pieces)


# --- what is chosen for them ------------------------------------------------------------------------------------------


def test_times_follow_the_softest_direction_and_steps_the_stiffest():
    """At depth 1 E = c/2 |W|² takes 1/c as long; a step must resolve the largest curvature."""
    base = model_of(MatrixCompletion(((0, 0, 0.0),), 1.0), depth=1.0)
    soft = model_of(MatrixCompletion(((0, 0, 0.0),), 0.01), depth=1.0)
    for chosen in (default_burn_in, default_duration):
        assert chosen(soft) == pytest.approx(100.0 * chosen(base), rel=1e-9)
    stiff = model_of(LeastSquares(100.0 * np.eye(3), np.zeros((3, 3))), depth=1.0)
    assert default_dt(stiff) * stiff.energy.stiffness(3) < 0.2


@pytest.mark.parametrize("depth", [1.0, 2.0, 4.0])
def test_a_target_far_out_is_reached_with_default_settings(depth):
    """The default step resolves A there, and the histogram covers it; those for a target at 0 do not at depths > 1."""
    far = model_of(QuadraticTo(np.diag([30.0, -25.0, 20.0])), depth=depth)
    near = model_of(QuadraticTo(np.zeros((3, 3))), depth=depth)
    rate = depth * 30.0 ** (2.0 - 2.0 / depth)
    assert default_dt(far) * rate < 0.1 < max(default_dt(near) * rate, float(depth == 1.0))
    assert equilibrium_radius(near) < 30.0 < equilibrium_radius(far)
    tree = dlnmc.equilibrium(far, paths=8, start=np.diag([30.0, -25.0, 20.0]), burn_in=0.01, duration=0.01, threads=1)
    assert int(tree["sampler/status"].sum()) == 0
    assert int(tree["histogram/overflow"].sum()) == 0
    assert np.allclose(tree["samples/matrix"].mean("path").to_numpy()[0], far.energy.target, atol=5.0)
