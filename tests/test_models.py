"""Models, energies, runs as data: what is refused and how; what a description promises."""

import hashlib
import json
import math
import tomllib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from dlnmc import DeepLinearNetwork, DysonBrownianMotion, InvalidValue, NoEnergy, Polynomial, Quadratic, RunFailed
from dlnmc.config import Equilibrium, Simulation, run_settings
from dlnmc.descriptions import unknown_key
from dlnmc.models import Model

NETWORK = {"width": 3, "depth": 2.0, "beta": 1.0}
DYSON = {"size": 3, "beta": 1.0}
RUN = {"model": DeepLinearNetwork(**NETWORK)}
TIMES = RUN | {"times": (0.1, 0.2)}

NOT_NUMBERS = ["3", None, True, False, np.True_, [3], {"a": 1}, 1j, (1, 2), np.ones(2), print]
NOT_WHOLE = [*NOT_NUMBERS, 2.5, math.nan, math.inf, -math.inf, np.float64(2.5)]
NOT_GIVEN_OR_WHOLE = [value for value in NOT_WHOLE if value is not None]  # None: to be chosen from the model


def cases(cls, others, bad):
    """(class, the other values, the name, the bad value), one for each bad value."""
    return [
        pytest.param(cls, others, name, value, id=f"{cls.__name__}-{name}-{type(value).__name__}-{str(value)[:12]}")
        for name, values in bad.items()
        for value in values
    ]


BAD = [
    *cases(
        DeepLinearNetwork,
        NETWORK,
        {
            "width": [0, -1, 2**24 + 1, 10**30, *NOT_WHOLE],
            "depth": [0, 0.999, -2.0, math.nan, -math.inf, *NOT_NUMBERS],
            "beta": [0, -0.0, -1.0, math.nan, math.inf, *NOT_NUMBERS],
            "kappa": [-1e-9, -1, math.nan, math.inf, *NOT_NUMBERS],
            "energy": ["quadratc", "Quadratic", "", None, 3, {}, {"kind": "cubic"}, Quadratic, RUN["model"]],
            "clock": ["Paper", "", None, 1, True],
        },
    ),
    *cases(
        DysonBrownianMotion,
        DYSON,
        {
            "size": [0, -1, 2**24 + 1, *NOT_WHOLE],
            "beta": [0, -1.0, math.nan, math.inf, *NOT_NUMBERS],
            "kappa": [-1, math.nextafter(2, 3), 3, math.nan, math.inf, *NOT_NUMBERS],
            "energy": ["quartic", None, 0],
        },
    ),
    *cases(
        Polynomial,
        {},
        {
            "coefficients": [
                (),
                (1.0, 0.0),
                (1.0, -0.5),
                (math.nan, 1.0),
                (1.0, math.inf),
                ("1",),
                (True,),
                (1.0,) * 17,
                "1",
                3.0,
                None,
                {"a": 1.0},
                [[1.0], [2.0]],
            ],
        },
    ),
    *cases(
        Equilibrium,
        RUN,
        {
            "model": [3, "dyson", None, {}, NETWORK, {"kind": "deep"}, Quadratic(), DeepLinearNetwork],
            "paths": [0, -8, 2**40 + 1, *NOT_WHOLE],
            "dt": [0, -0.1, math.nan, math.inf, "0.1", True, [0.1], 1j],
            "start": ["randm", "", 3, True],
            "state": ["matrices", "singular value", 1],
            "coordinates": ["lamda", "x", 1],
            "scheme": ["euler", "Mala", 2],
            "seed": [-1, 2**64, 10**30, *NOT_WHOLE],
            "burn_in": [-1e-9, math.nan, math.inf, "1", True],
            "duration": [0, -1, math.nan, math.inf, "1", True],
            "draws": [0, -1, 2**24 + 1, *NOT_WHOLE],
            "observations": [0, -1, 2.5, "4", True],
            "bins": [0, -1, 2**20 + 1, *NOT_GIVEN_OR_WHOLE],
            "refinement": [0, -1, 2**20 + 1, *NOT_WHOLE],
            "leaps": [0, -1, 4097, *NOT_GIVEN_OR_WHOLE],
            "accuracy": [0, -0.1, 1, 2.0, math.nan, math.inf, "0.1", True, [0.1]],
            "observables": ["log_determinant", 3, None, [1], [None], {"f": 1}],
            "keep_samples": ["yes", 1, 0, 2, None, 1.0],
        },
    ),
    *cases(
        Simulation,
        RUN,
        {
            "times": [(), 3, 0.5, None, "0.1", ("a",), (-0.1,), (math.nan,), (math.inf,), ((0.1,),), (True,)],
        },
    ),
]


@pytest.mark.parametrize(("cls", "others", "name", "value"), BAD)
def test_a_bad_value_is_refused_in_one_line_with_key_value_and_what_is_allowed(cls, others, name, value, refused):
    text = refused(lambda: cls(**(others | {name: value})), name)
    shown = value["kind"] if isinstance(value, dict) and "kind" in value else value
    if not isinstance(shown, dict | type) and np.ndim(shown) == 0 and shown is not RUN["model"]:
        plain = shown.item() if isinstance(shown, np.generic) else shown
        assert repr(plain) in text or str(plain) in text
    reasons = ("must", "allowed", "should", "valid", "unable", "missing")
    assert any(reason in text for reason in reasons), text
    assert len(text) < 500  # quotes what is wrong, not everything that was given


@pytest.mark.parametrize(
    "value", [np.ones((3, 3)), "a\nb", "a\r\nb", "a\x85b", "a\u2028b"], ids=["array", "n", "rn", "x85", "u2028"]
)
def test_a_value_of_several_lines_is_quoted_in_one(value, refused):
    refused(lambda: DeepLinearNetwork(value, 2.0, 1.0), "width")
    refused(lambda: Equilibrium(**RUN, scheme=value), "scheme")
    refused(lambda: DeepLinearNetwork(**NETWORK, **{str(value): 1}))
    refused(lambda: Equilibrium(**RUN, start_digest="a\nb", draws=2, observations=3), "observations = 3")


@pytest.mark.parametrize(
    ("make", "limit"),
    [
        (lambda: Equilibrium(**RUN, seed=2**65), 2**64),
        (lambda: DeepLinearNetwork(2**25, 1, 1.0), 2**24),
        (lambda: Equilibrium(**RUN, bins=2**21), 2**20),
    ],
)
def test_a_limit_is_stated_exactly(make, limit, refused):
    text = refused(make)
    power = limit.bit_length() - 1
    assert any(form in text for form in (str(limit), f"2^{power}", f"2**{power}")), text


@pytest.mark.parametrize(
    ("make", "pieces"),
    [
        (lambda: DysonBrownianMotion(3, 1.0, 2.5), ("kappa = 2.5", "<= 2", "collide")),
        (lambda: DysonBrownianMotion(3, math.inf), ("beta = inf", "finite", "kappa = 0")),
        (lambda: DeepLinearNetwork(3, 2.0, math.inf, 0.5), ("beta = inf", "finite", "kappa = 0")),
        (lambda: DeepLinearNetwork(3, 2.0, 1.0, math.inf), ("kappa = inf", "1e+100")),
        (lambda: Equilibrium(**RUN, draws=2, observations=3), ("observations = 3", "multiple of draws = 2")),
        (lambda: Simulation(**RUN, times=(0.2, 0.1)), ("times", "0.2", "0.1", "ascending")),
        (lambda: Simulation(**RUN, times=(0.1, 0.1)), ("times", "0.1", "ascending")),
    ],
    ids=["kappa", "beta", "hot", "infinite kappa", "observations", "descending", "equal"],
)
def test_what_concerns_several_values_is_said_without_reciting_the_rest(make, pieces, refused):
    text = refused(make, *pieces)
    assert "{'" not in text
    assert len(text) < 160


@pytest.mark.parametrize("coefficients", [(1.0,), (0.0, 1.0, 1.0)])
def test_a_potential_of_odd_degree_is_refused_for_dyson_and_not_for_networks(coefficients, refused):
    """u = x grows in one direction only; u = σ² has no other."""
    energy = Polynomial(coefficients)
    refused(lambda: DysonBrownianMotion(**DYSON, energy=energy), str(coefficients), "even", "grow")
    refused(lambda: DysonBrownianMotion(**DYSON).changed(energy=energy), str(coefficients), "even")
    assert DeepLinearNetwork(**NETWORK, energy=energy).energy == energy


@pytest.mark.parametrize("beta", [0.5, 0, -1, math.nan, "2", None, True])
def test_the_standard_form_needs_beta_from_1_on(beta, refused):
    refused(lambda: DysonBrownianMotion.standard(3, beta), "beta", repr(beta))


def test_the_standard_form_is_11_1():
    model = DysonBrownianMotion.standard(4, 8.0)
    assert model.energy == NoEnergy()
    assert model.size == 4
    assert 2.0 / model.beta == 1.0  # the repulsion is Σ 1/(x_i − x_j)
    assert 2.0 * model.kappa / model.beta == 2.0 / 8.0  # the noise is √(2/b)
    assert DysonBrownianMotion.standard(4, 1).kappa == 2.0


MISSPELT = [
    (lambda: DeepLinearNetwork(3, 2.0, 1.0, kapa=1.0), "kapa", "kappa"),
    (lambda: DeepLinearNetwork(width=3, dept=2.0, beta=1.0), "dept", "depth"),
    (lambda: DeepLinearNetwork(widht=3, depth=2.0, beta=1.0), "widht", "width"),
    (lambda: DysonBrownianMotion(sise=3, beta=1.0), "sise", "size"),
    (lambda: Equilibrium(**RUN, path=8), "path", "paths"),
    (lambda: Equilibrium(**RUN, burnin=8), "burnin", "burn_in"),
    (lambda: Equilibrium(model={"kind": "dyson", "size": 3, "bta": 1.0}), "bta", "beta"),
    (lambda: Simulation(**RUN, time=(1.0,)), "time", "times"),
    (lambda: Simulation(**TIMES, sceme="milstein"), "sceme", "scheme"),
]


@pytest.mark.parametrize(("make", "wrong", "near"), MISSPELT, ids=[wrong for _, wrong, _ in MISSPELT])
def test_a_misspelt_key_is_named_with_the_nearest_one(make, wrong, near, refused):
    refused(make, repr(wrong), f"did you mean {near!r}")


def test_an_unknown_key_far_from_all_gets_the_list_and_no_guess():
    text = unknown_key("zzz", ["width", "depth"])
    assert "did you mean" not in text
    assert "width, depth" in text


def test_missing_and_surplus_values(refused):
    refused(lambda: DeepLinearNetwork(3, 2.0), "DeepLinearNetwork", "beta", "missing")
    refused(lambda: DeepLinearNetwork(*range(9)), "at most 6", "9")
    refused(lambda: DeepLinearNetwork(3, 2.0, 1.0, width=3), "width", "twice")
    refused(lambda: DeepLinearNetwork(**NETWORK, kind="dyson"), "kind = 'dyson'", "deep_linear_network")


def test_errors_are_of_the_kinds_that_callers_expect():
    assert issubclass(InvalidValue, ValueError)
    assert issubclass(RunFailed, RuntimeError)


@pytest.mark.parametrize("whole", [np.int8, np.int32, np.int64, np.uint64])
@pytest.mark.parametrize("real", [np.float32, np.float64, np.int64])
def test_numpy_scalars_are_plain_numbers(whole, real):
    model = DeepLinearNetwork(whole(3), real(2), real(4), real(1))
    assert model == DeepLinearNetwork(3, 2.0, 4.0, 1.0)
    assert type(model.width) is int
    assert all(type(value) is float for value in (model.depth, model.beta, model.kappa))
    run = Equilibrium(**RUN, paths=whole(8), dt=real(1), seed=whole(7), keep_samples=np.False_)
    assert run == Equilibrium(**RUN, paths=8, dt=1.0, seed=7, keep_samples=False)
    assert json.loads(run.to_json())["seed"] == 7


def test_temperature_zero_and_no_noise_are_taken():
    assert DeepLinearNetwork(2, 3.0, 1.0, 0.0).kappa == 0.0
    assert DysonBrownianMotion(2, 1.0, 0).kappa == 0.0
    for model in (DeepLinearNetwork(2, 3.0, math.inf, 0.0), DysonBrownianMotion(2, math.inf, 0.0)):
        assert model.beta == math.inf


def test_infinite_depth_counts_time_in_its_own_clock():
    """The paper's time would be 0 throughout; so `clock` is "depth" whether it is left out or not."""
    for model in (
        DeepLinearNetwork(2, math.inf, 1.0),
        DeepLinearNetwork(2, math.inf, 1.0, clock="paper"),
        DeepLinearNetwork(2, 3.0, 1.0).changed(depth=math.inf),
        DeepLinearNetwork(**{"width": 2, "depth": "Infinity", "beta": 1.0}),  # as JSON spells it
    ):
        assert model == DeepLinearNetwork(2, math.inf, 1.0, clock="depth")
    assert DeepLinearNetwork(2, 1e12, 1.0).clock == "paper"


@pytest.mark.parametrize(
    ("values", "pieces"),
    [
        ({"depth": 1e13}, ("depth = 10000000000000.0", "1e+12", "inf")),
        ({"beta": 1e-101}, ("beta = 1e-101", "1e-100", "1e+100", "inf")),
        ({"beta": 1e101}, ("beta = 1e+101", "1e+100")),
        ({"kappa": 1e-300}, ("kappa = 1e-300", "0", "1e-100")),
    ],
    ids=str,
)
def test_values_beyond_what_floating_point_can_tell_apart_are_refused(values, pieces, refused):
    refused(lambda: DeepLinearNetwork(**{"width": 2, "depth": 2.0, "beta": 1.0} | values), *pieces)


def test_extreme_values_are_taken_as_they_are():
    assert Equilibrium(**RUN, seed=np.uint64(2**64 - 1)).seed == 2**64 - 1
    assert DeepLinearNetwork(1, 1, 1e-100).depth == 1.0
    assert DeepLinearNetwork(1, math.inf, 1.0).depth == math.inf
    assert DysonBrownianMotion(1, 1.0, 2.0).kappa == 2.0
    assert Simulation(**RUN, times=[0, 1]).times == (0.0, 1.0)
    assert Simulation(**RUN, times=np.array([0.5])).times == (0.5,)


def test_energies_by_name_by_value_and_by_record_are_equal():
    for energy in ("none", NoEnergy(), {"kind": "none"}):
        assert DeepLinearNetwork(**NETWORK, energy=energy).energy == NoEnergy()
    assert DeepLinearNetwork(**NETWORK).energy == Quadratic()
    assert Quadratic() != NoEnergy()
    quartic = Polynomial((0.5, 0.25))
    for energy in (quartic, {"kind": "polynomial", "coefficients": [0.5, 0.25]}, Polynomial(np.array([0.5, 0.25]))):
        assert DeepLinearNetwork(**NETWORK, energy=energy).energy == quartic
        assert DysonBrownianMotion(**DYSON, energy=energy).energy == quartic


@pytest.mark.parametrize(
    ("energy", "network", "dyson"),
    [
        (Quadratic(), lambda s: s**2 / 2, lambda x: x**2 / 2),
        (NoEnergy(), lambda s: 0.0 * s, lambda x: 0.0 * x),
        (Polynomial((0.5,)), lambda s: s**2 / 2, None),
        (Polynomial((-1.0, 0.25)), lambda s: -(s**2) + s**4 / 4, lambda x: -x + x**2 / 4),
        (Polynomial((1.0, 0.0, -3.0, 2.0)), lambda s: s**2 - 3 * s**6 + 2 * s**8, lambda x: x - 3 * x**3 + 2 * x**4),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_the_potential_is_a_polynomial_of_w_w_transposed_or_of_x(energy, network, dyson):
    """E = Σ c_m Tr (WᵀW)^m, V = Σ c_m x^m; the slope is the derivative, by central differences."""
    s = np.linspace(0.1, 2.0, 20)
    for model, formula in ((DeepLinearNetwork(3, 2.0, 1.0, 1.0, energy), network),
                           (DysonBrownianMotion(3, 1.0, 1.0, energy) if dyson else None, dyson)):  # fmt: skip
        if model is None:
            continue
        at = s if model.kind == "deep_linear_network" else np.concatenate([-s, s])
        np.testing.assert_allclose(model.potential(at), formula(at), rtol=1e-13, atol=1e-15)
        slope = (formula(at + 1e-5) - formula(at - 1e-5)) / 2e-5
        np.testing.assert_allclose(model.slope(at), slope, rtol=1e-6, atol=1e-8)


# --- descriptions -----------------------------------------------------------------------------------------------------


def test_descriptions_are_immutable():
    model = DeepLinearNetwork(**NETWORK)
    for change in (lambda: setattr(model, "width", 4), lambda: delattr(model, "width"), lambda: setattr(model, "n", 1)):
        with pytest.raises((ValueError, TypeError, AttributeError)):
            change()
    assert model == DeepLinearNetwork(**NETWORK)


def test_a_changed_copy_is_validated_anew(refused):
    model = DysonBrownianMotion(**DYSON)
    assert model.changed(kappa=2.0) == DysonBrownianMotion(3, 1.0, 2.0)
    assert model == DysonBrownianMotion(**DYSON)
    refused(lambda: model.changed(kappa=2.5), "kappa = 2.5")
    refused(lambda: model.changed(kapa=1.0), "'kapa'", "did you mean 'kappa'")


finite = st.floats(1e-3, 1e3)
even = st.lists(st.floats(-5, 5), max_size=2).map(lambda c: Polynomial((*c, *c, 0.5, 1.0)))
kappas = st.just(0.0) | st.floats(1e-100, 2)
energies = st.sampled_from(["quadratic", "none"]) | even
networks = st.builds(
    DeepLinearNetwork,
    st.integers(1, 2**24),
    st.one_of(st.floats(1, 1e6), st.just(math.inf)),
    finite,
    kappas,
    energies,
    st.sampled_from(["paper", "depth"]),
)
dysons = st.builds(DysonBrownianMotion, st.integers(1, 2**24), finite, kappas, energies)


@settings(deadline=None, max_examples=50)
@given(model=st.one_of(networks, dysons), seed=st.integers(0, 2**64 - 1), draws=st.integers(1, 99), dt=finite)
def test_json_gives_back_an_equal_description(model, seed, draws, dt):
    assert TypeAdapter(Model).validate_python(json.loads(model.to_json())) == model
    for run in (Equilibrium(model, seed=seed, draws=draws, dt=dt), Simulation(model, times=(0.0, dt), seed=seed)):
        text = run.to_json()
        assert "\n" not in text
        again = type(run)(**json.loads(text))
        assert again == run
        assert hash(again) == hash(run)
        assert again.to_json() == text
        assert again.digest() == run.digest() == hashlib.sha256(text.encode()).hexdigest()


@settings(deadline=None, max_examples=20)
@given(model=st.one_of(networks, dysons))
def test_a_model_is_shown_as_the_python_that_makes_it(model):
    assert eval(repr(model), globals() | {"inf": math.inf}) == model  # noqa: S307
    assert str(model) == repr(model)


def test_what_the_name_of_a_class_says_is_not_shown_again():
    assert str(DysonBrownianMotion(5, 2.0)) == "DysonBrownianMotion(size=5, beta=2.0, kappa=1.0, energy=Quadratic())"


def test_the_digest_is_the_same_in_every_process_and_version():
    """What is stored in files: a change here orphans them, and belongs in the changelog."""
    model = DeepLinearNetwork(3, 2.0, 1.0)
    text = (
        '{"beta": 1.0, "clock": "paper", "depth": 2.0, "energy": {"kind": "quadratic"}, "kappa": 1.0, '
        '"kind": "deep_linear_network", "width": 3}'
    )
    assert model.to_json() == text
    assert model.digest() == hashlib.sha256(text.encode()).hexdigest()


def test_the_digest_notices_every_field():
    base = Equilibrium(DeepLinearNetwork(3, 2.0, 1.0), paths=8, dt=0.1)
    changes = {
        "paths": 9, "dt": math.nextafter(0.1, 1), "start": "law", "start_digest": "0", "first_step": 1,
        "state": "singular_values", "coordinates": "sigma", "scheme": "milstein", "seed": 1, "burn_in": 1.0,
        "duration": 1.0, "draws": 2, "observations": 64, "bins": 8, "keep_samples": False,
        "failed_fraction": 0.1, "refinement": 2, "leaps": 3, "accuracy": 0.01, "early": 1,
        "observables": ("log_determinant",),
    }  # fmt: skip
    assert set(changes) == set(Equilibrium.model_fields) - {"model", "kind"}
    runs = [base, *(base.changed(**{name: value}) for name, value in changes.items())]
    models = {"width": 4, "depth": 2.5, "beta": 1.5, "kappa": 0.5, "energy": "none", "clock": "depth"}
    assert set(models) == set(DeepLinearNetwork.model_fields) - {"kind"}
    runs += [base.changed(model=base.model.changed(**{name: value})) for name, value in models.items()]
    runs += [base.changed(model=base.model.changed(energy=Polynomial(c))) for c in ((0.5,), (0.5, 0.1), (0.5, 0.2))]
    runs += [base.changed(observables=names) for names in (("a:1",), ("a:2",), ("a:1", "a:2"))]
    assert len({run.digest() for run in runs}) == len(runs)
    assert len(set(runs)) == len(runs)


def test_toml_describes_the_same_run():
    table = tomllib.loads(
        """
        paths = 16
        dt = 0.1
        seed = 18446744073709551615
        times = [0.5, 1]
        [model]
        kind = "deep_linear_network"
        width = 3
        depth = inf
        beta = 2
        energy = "none"
        """
    )
    model = DeepLinearNetwork(3, math.inf, 2.0, energy=NoEnergy())
    assert Simulation(**table) == Simulation(model, paths=16, dt=0.1, seed=2**64 - 1, times=(0.5, 1.0))
    table["model"] |= tomllib.loads('energy = {kind = "polynomial", coefficients = [-1, 0.25]}')
    model = model.changed(energy=Polynomial((-1.0, 0.25)))
    assert Simulation(**table) == Simulation(model, paths=16, dt=0.1, seed=2**64 - 1, times=(0.5, 1.0))


def test_the_settings_of_a_run_are_those_a_user_may_write():
    names = run_settings(Equilibrium)
    assert {"paths", "dt", "seed", "burn_in", "draws", "keep_samples", "accuracy", "observables"} <= set(names)
    assert not {"kind", "model", "start_digest", "first_step", "refinement", "early"} & set(names)
