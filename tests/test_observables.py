"""What else is averaged while a run goes on: equal to the same averages over kept states; bad functions are refused."""

import json
import math

import numpy as np
import pytest
import xarray as xr

import dlnmc
from dlnmc.observables import BUILT_IN, resolved

NETWORK = dlnmc.DeepLinearNetwork(width=5, depth=2.0, beta=3.0)
DYSON = dlnmc.DysonBrownianMotion(size=5, beta=3.0)
DEEP = dlnmc.DeepLinearNetwork(width=5, depth=math.inf, beta=3.0, kappa=0.2)
SHORT = {"paths": 21, "dt": 0.01, "burn_in": 0.05, "duration": 0.08, "draws": 4, "observations": 4, "threads": 1}
MODELS = pytest.mark.parametrize("model", [NETWORK, DYSON, DEEP], ids=["network", "dyson", "infinite depth"])

FORMULAS = {  # of states (…, component), ascending
    "sum_of_values": lambda s: s.sum(axis=-1),
    "log_determinant": lambda s: np.log(np.abs(s)).sum(axis=-1),
    "effective_rank": lambda s: np.exp(-np.sum(share(s) * np.log(share(s)), axis=-1)),
    "log_condition": lambda s: np.log(s[..., -1] / s[..., 0]),
    "largest_gap": lambda s: np.diff(s, axis=-1).max(axis=-1),
}


def share(s):
    return s**2 / np.sum(s**2, axis=-1, keepdims=True)


def second_largest(s):
    """A user's own; s ascends."""
    return s[-2]


def half_filled(s):
    """A whole number, from a loop that would not end for NaN."""
    total, wanted, k = 0.0, 0.5 * np.sum(s * s), 0
    while not total >= wanted:
        k += 1
        total += s[len(s) - k] ** 2
    return k


OWN = {"second_largest": second_largest, "cubes": lambda s: np.sum(s**3)}


def states(tree):
    """(path, draw, component), ascending."""
    return np.sort(np.asarray(next(iter(tree["samples"].data_vars.values()))), axis=-1)


# --- the same as from kept states -------------------------------------------------------------------------------------


@MODELS
def test_built_in_ones_are_their_formulas(model):
    names = [name for name in FORMULAS if model is not DYSON or name != "log_condition"]  # of both signs there is none
    tree = dlnmc.equilibrium(model, observables=names, **SHORT)
    assert list(tree["observables"].data_vars) == names
    for name in names:
        found = tree["observables"][name]
        assert found.dims == ("path",)
        assert found.values == pytest.approx(FORMULAS[name](states(tree)).mean(axis=1), rel=1e-12), name


@pytest.mark.parametrize("width", [1, 2])
def test_built_in_ones_of_few_values(width):
    tree = dlnmc.equilibrium(NETWORK.changed(width=width), observables=list(FORMULAS), **SHORT)
    for name in FORMULAS if width > 1 else set(FORMULAS) - {"largest_gap"}:
        expected = FORMULAS[name](states(tree)).mean(axis=1)
        assert tree["observables"][name].values == pytest.approx(expected, rel=1e-12, abs=1e-12), name
    if width == 1:
        assert np.all(tree["observables/largest_gap"] == 0.0)


def test_there_is_a_formula_for_each_and_words_for_each():
    assert set(FORMULAS) == set(BUILT_IN)
    assert all(function.__doc__ for function in BUILT_IN.values())


@pytest.mark.parametrize(("model", "scheme"), [(NETWORK, "leimkuhler_matthews"), (DYSON, "hmc"), (DEEP, "mala")])
def test_a_users_own_are_averages_over_the_observed_states(model, scheme):
    tree = dlnmc.equilibrium(model, observables=OWN, scheme=scheme, **SHORT)
    values = states(tree)
    group = tree["observables"].to_dataset()
    assert list(group.data_vars) == ["second_largest", "cubes"]
    assert group.second_largest.values == pytest.approx(values[..., -2].mean(axis=1), rel=1e-13)
    assert group.cubes.values == pytest.approx((values**3).sum(axis=2).mean(axis=1), rel=1e-12, abs=1e-13)
    for variable in group.data_vars.values():
        assert variable.attrs["units"]
        assert "observable" in variable.attrs["long_name"]


def test_halves_and_squares_are_those_of_the_states_too(member, arrays_of):
    """Which stationarity and effective samples are made of."""
    run = member(observables={"second_largest": second_largest}, draws=5, observations=5)
    arrays = arrays_of(run)
    values = arrays["samples"][..., -2]
    assert arrays["own_sums"][:, 0, 0] == pytest.approx(values[:, :2].sum(axis=1), rel=1e-13)
    assert arrays["own_sums"][:, 0, 1] == pytest.approx(values[:, 2:].sum(axis=1), rel=1e-13)
    assert arrays["own_squares"][:, 0] == pytest.approx((values**2).sum(axis=1), rel=1e-13)


def test_all_observations_enter_not_only_kept_states():
    few = dlnmc.equilibrium(NETWORK, observables=OWN, **SHORT)
    many = dlnmc.equilibrium(NETWORK, observables=OWN, **SHORT | {"draws": 1, "keep_samples": False})
    assert many["observables"].to_dataset().identical(few["observables"].to_dataset())


def test_functions_of_any_shape_of_code_and_of_whole_numbers():
    tree = dlnmc.equilibrium(
        NETWORK,
        observables={"half_filled": half_filled, "three": lambda s: 3, "positive": lambda s: s[0] > 0.0},
        **SHORT,
    )
    values = states(tree)[..., ::-1]
    expected = (np.cumsum(values**2, axis=-1) < 0.5 * np.sum(values**2, axis=-1, keepdims=True)).sum(axis=-1) + 1
    assert tree["observables/half_filled"].values == pytest.approx(expected.mean(axis=1))
    assert np.all(tree["observables/three"] == 3.0)
    assert np.all(tree["observables/positive"] == 1.0)


def test_a_function_that_is_compiled_already_is_taken_as_it_is():
    import numba

    tree = dlnmc.equilibrium(NETWORK, observables={"f": numba.njit(second_largest)}, **SHORT)
    plain = dlnmc.equilibrium(NETWORK, observables={"f": second_largest}, **SHORT)
    assert np.array_equal(tree["observables/f"], plain["observables/f"])


def test_observables_change_nothing_else(same_bits, member, arrays_of):
    own = ("own_sums", "own_squares")
    with_them, without = arrays_of(member(observables=["effective_rank"])), arrays_of(member())
    same_bits(with_them | {name: without[name] for name in own}, without)


def test_they_are_scalars_like_others():
    tree = dlnmc.equilibrium(NETWORK, observables=["effective_rank"], **SHORT | {"dt": [0.01, 0.02]})
    assert tree["observables/effective_rank"].dims == ("dt", "path")
    assert "effective_rank" in tree["stationarity"].scalar
    assert "effective_rank" in tree["extrapolated"].scalar
    table = dlnmc.compare(tree.isel(dt=0), tree.isel(dt=0))
    assert "effective_rank" in table.scalar


def test_a_sweep_has_them_for_every_member(tmp_path):
    models = [NETWORK.changed(kappa=kappa) for kappa in (0.5, 1.0)]
    tree = dlnmc.sweep(models, observables=OWN, **SHORT)
    assert tree["observables/cubes"].dims == ("kappa", "path")
    alone = dlnmc.equilibrium(models[0], observables=OWN, **SHORT)
    assert np.array_equal(tree["observables/cubes"].sel(kappa=0.5), alone["observables/cubes"])
    xr.testing.assert_identical(dlnmc.open(dlnmc.save(tree, tmp_path / "a.nc")), tree)


def test_a_failed_path_has_none():
    """What a state that is not finite would make of a function is not asked."""
    start = np.tile(np.linspace(0.5, 1.5, 5), (21, 1))
    start[7, 4] = 1e300
    settings = SHORT | {"scheme": "euler_maruyama", "start": start, "failed_fraction": 0.1}
    tree = dlnmc.equilibrium(NETWORK, observables={"half_filled": half_filled}, **settings)
    assert np.flatnonzero(np.isnan(tree["observables/half_filled"])).tolist() == [7]


def test_no_group_without_observables():
    for asked in (None, [], {}, ()):
        assert "observables" not in dlnmc.equilibrium(NETWORK, observables=asked, **SHORT)


# --- the description --------------------------------------------------------------------------------------------------


def key(function, name="f"):
    (found,) = resolved({name: function}, 5)
    return found.key


def test_a_users_own_enter_the_description_by_their_source():
    tree = dlnmc.equilibrium(NETWORK, observables={"f": second_largest}, **SHORT)
    (stored,) = json.loads(tree.attrs["config"])["observables"]
    assert stored == key(second_largest)
    assert stored.startswith("f:")
    names = json.loads(dlnmc.equilibrium(NETWORK, observables=["effective_rank"], **SHORT).attrs["config"])
    assert names["observables"] == ["effective_rank"]


def test_a_function_is_compiled_once_for_all_members(monkeypatch):
    """A sweep of many members would otherwise take many compilations."""
    from dlnmc import functions

    compiled, original = [], functions.entry
    monkeypatch.setattr(functions, "entry", lambda function: compiled.append(function) or original(function))

    def own(s):
        return s[0] ** 3

    dlnmc.sweep([NETWORK.changed(kappa=kappa) for kappa in (0.5, 1.0, 2.0)], observables={"own": own}, **SHORT)
    assert compiled.count(own) == 1


def test_functions_that_differ_have_other_keys():
    def scaled(c):
        return lambda s: c * s[0]

    keys = {key(second_largest), key(half_filled), key(lambda s: s[0]), key(lambda s: s[1]), key(scaled(1.0)),
            key(scaled(2.0)), key(second_largest, "g")}  # fmt: skip
    assert len(keys) == 7
    assert key(scaled(1.0)) == key(scaled(1.0))


def test_code_without_source_has_a_key():
    space = {}
    exec("def f(s):\n    return s[0] + 1.0\ndef g(s):\n    return s[0] + 2.0", space)
    assert key(space["f"]) != key(space["g"])


# --- what is refused --------------------------------------------------------------------------------------------------


def raising(s):
    raise ValueError("no such state")


@pytest.mark.parametrize(
    ("observables", "pieces"),
    [
        (["trace"], ("'trace'", "log_determinant", "effective_rank")),
        ("log_det", ("'log_det'", "log_determinant")),
        ([3], ("3", "log_determinant")),
        (3, ("3", "log_determinant")),
        (True, ("True",)),
        ({"f": 3}, ("'f'", "3", "function")),
        ({"f": "effective_rank"}, ("'f'", "'effective_rank'", "function")),
        ({"a b": second_largest}, ("'a b'", "identifier")),
        ({3: second_largest}, ("'3'", "identifier")),
        ({"f": lambda s: "x"}, ("'f'", "number")),
        ({"f": lambda s: s}, ("'f'", "number")),
        ({"f": lambda s: None}, ("'f'", "number")),
        ({"f": lambda s: 1j}, ("'f'", "number")),
        ({"f": lambda: 1.0}, ("'f'",)),
        ({"f": lambda s, t: 1.0}, ("'f'",)),
        ({"f": lambda s: s.no_such_attribute}, ("'f'", "compiled")),
        ({"f": lambda s: np.linalg.no_such_function(s)}, ("'f'", "compiled")),
        ({"f": raising}, ("'f'", "no such state")),
        ({"f": lambda s: s[100]}, ("'f'", "100")),  # compiled code would read whatever lies behind the array
        ({"f": np.sum}, ("'f'",)),
        ({"f": len}, ("'f'",)),
        (["effective_rank", "effective_rank"], ("'effective_rank'", "twice")),
    ],
)
def test_what_cannot_be_averaged_is_refused_in_one_line(observables, pieces, refused):
    text = refused(lambda: dlnmc.equilibrium(NETWORK, observables=observables, **SHORT), "observables", *pieces)
    assert len(text) < 400


@pytest.mark.parametrize("name", ["trace", "largest", "ratio_all", "moment", "path", "depth", "beta", "dt", "scalar"])
def test_a_name_that_means_something_else_is_refused(name, refused):
    """It would stand for the trace in reports, or be a coordinate."""
    refused(lambda: dlnmc.equilibrium(NETWORK, observables={name: second_largest}, **SHORT), "observables", f"'{name}'")


def test_a_study_takes_names_and_says_so(refused, tmp_path):
    tables = {
        "model": {"width": 5, "depth": 2.0, "beta": 3.0},
        "run": {k: v for k, v in SHORT.items() if k != "threads"},
    }
    tables["run"]["observables"] = ["effective_rank"]
    tree = dlnmc.study(tables, tmp_path / "a.nc", progress=False)
    assert tree["observables/effective_rank"].dims == ("path",)
    tables["run"]["observables"] = {"f": second_largest}
    refused(lambda: dlnmc.study(tables, tmp_path / "b.nc", progress=False), "observables")
