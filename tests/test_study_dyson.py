"""The study of Dyson Brownian motion: what it says, what it is held against, what is refused."""

import math

import numpy as np
import pytest
from small_studies import overlaid, shipped, within

import dlnmc
from dlnmc import dataset, findings, laws, statistics, studies
from dlnmc.cli import main
from dlnmc.starts import clusters
from dlnmc.studies import dyson

SHIPPED = shipped("dyson")
SMALL = overlaid(
    SHIPPED,
    within("equilibrium", "model", {"size": 16, "beta": 16.0, "kappa": [1.0]}),
    within("equilibrium", "run", {"paths": 200}),
    within("expansion", "model", {"size": [3, 4, 6]}),
    within("expansion", "run", {"paths": 64, "dt": 0.01, "times": [0.5]}),
    within("relaxation", "model", {"size": 5, "beta": 5.0, "kappa": [1.0]}),
    within("relaxation", "run", {"paths": 300, "dt": 0.005, "times": [0.7]}),
    *(within(part, "model", {"size": 3}) for part in ("upstairs", "downstairs")),
    *(within(part, "run", {"paths": 400, "dt": 0.01, "times": [0.2]}) for part in ("upstairs", "downstairs")),
    within("quartic", "model", {"size": 6, "beta": 6.0, "kappa": [1.0]}),
    within("quartic", "run", {"paths": 200}),
    {"study": {"ks": 1.0, "relaxation": 0.1, "rate": 0.1}},  # few paths, coarse steps
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("dyson")


@pytest.fixture(scope="module")
def tree(folder):
    return dlnmc.study(SMALL, folder / "tiny.nc", threads=1, progress=False)


@pytest.fixture(scope="module")
def said(tree):
    """The kind, parts and tables of the result."""
    kind, parts = findings.parts_of(tree)
    return kind, dict(parts), kind.tables(parts)


def failing(kind, parts, tables):
    return findings.failed(kind.checks(parts, tables))


def changed(said, changes):
    """The same with changed eigenvalues of parts; their tables are made anew."""
    kind, parts, tables = said
    parts, tables = dict(parts), dict(tables)
    for name, change in changes.items():
        parts[name] = parts[name].copy(deep=True)
        data = parts[name]["samples"].to_dataset().copy(deep=True)
        change(data["eigenvalues"])
        parts[name]["samples"].dataset = data
    for name in changes:
        table = "upstairs" if name == "downstairs" else name
        tables[table] = dyson.TABLES[table](parts)
    return kind, parts, tables


def test_all_that_is_known_holds(said):
    assert failing(*said) == []


def times(factor):
    def change(values):
        values *= factor

    return change


def moved(by):
    def change(values):
        values += by

    return change


def one_moved(values):
    values[{"component": 1}] -= 1.0


@pytest.mark.parametrize(
    ("changes", "pieces"),
    [
        (
            {
                "equilibrium": times(1.15),
                "expansion": times(2.5),
                "relaxation": times(1.3),
                "upstairs": one_moved,
                "quartic": times(1.1),
            },
            [
                ("equilibrium", "scaled edge"),
                ("equilibrium", "sum of x^2"),
                ("equilibrium", "generator identities"),
                ("expansion", "from its law"),
                ("relaxation", "second moment"),
                ("matrices and eigenvalues", "largest distance"),
                ("quartic", "sum of x V'(x)"),
                ("quartic", "generator identities"),
            ],
        ),
        (
            {"equilibrium": moved(1.0), "relaxation": moved(1.5), "downstairs": times(1.4), "quartic": moved(1.0)},
            [
                ("equilibrium", "from exact draws"),
                ("equilibrium", "from its law"),
                ("relaxation", "from its law"),
                ("relaxation", "centre of mass"),
                ("matrices and eigenvalues", "largest distance"),
                ("quartic", "from its law"),
            ],
        ),
    ],
)
def test_what_is_wrong_fails(said, changes, pieces):
    """The controls are results of which each part is wrong in one way."""
    found = failing(*changed(said, changes))
    for start, piece in pieces:
        assert any(text.startswith(start) and piece in text for text in found), (start, piece)


def test_rows_that_are_wrong_fail(said):
    """Checks that look at rows alone, changed by more than their errors explain."""
    kind, parts, tables = said
    changes = {
        "spacing ratio": (
            "equilibrium",
            {"spacing_ratio": 0.5307, "spacing_ratio_error": 1e-3},
        ),  # of exponent 1, not 2
        "falls like size": ("expansion", {"ks": 0.02, "ks_error": 1e-5}),  # it does not fall
    }
    for piece, (name, values) in changes.items():
        wrong = tables | {name: [row | values for row in tables[name]]}
        assert any(piece in text for text in failing(kind, parts, wrong)), piece
    dead = parts["expansion"].copy(deep=True)
    dead["sampler"]["status"][..., 3] = 1
    assert any(text.startswith("expansion: 3 paths") for text in failing(kind, parts | {"expansion": dead}, tables))


def test_tables_say_what_the_states_say(said):
    _, parts, tables = said
    (member,) = dataset.members(parts["relaxation"])
    x = member["samples/eigenvalues"].transpose("path", "time", "component").to_numpy()
    for index, row in enumerate(tables["relaxation"]):
        own = x[:, index]  # β = d: no units
        assert row["second_moment"] == pytest.approx(np.mean(own**2))
        assert row["centre_variance"] == pytest.approx(np.var(own.mean(axis=1)), rel=0.02)
    assert [row["time"] for row in tables["expansion"]] == 3 * [0.5]
    (row,) = tables["quartic"]
    states = next(iter(dataset.members(parts["quartic"])))["samples/eigenvalues"].to_numpy()
    assert row["virial"] == pytest.approx(np.mean(np.sum(states**4, axis=-1)) / 6.0)  # (d(d−1) + κd)/β at κ = 1, β = d
    for row in tables["equilibrium"]:
        assert row["edge_mean_law"] == pytest.approx(-1.7710868074)
        assert row["spacing_class"] == 0.5996


def test_exact_second_moments_solve_their_equation():
    """dm/dt = −2m + 2(d − 1 + κ)/d, by differences; and a simulation of one particle is that of Ornstein–Uhlenbeck."""
    for kappa in (0.5, 2.0):
        model = dlnmc.DysonBrownianMotion(size=7, beta=3.0, kappa=kappa)
        h, t = 1e-5, 0.4
        slope = (dyson.second_moment(model, t + h) - dyson.second_moment(model, t - h)) / (2.0 * h)
        expected = 2.0 * (6.0 + kappa) / 7.0 - 2.0 * dyson.second_moment(model, t)
        assert slope == pytest.approx(expected, rel=1e-8)
        assert dyson.second_moment(model, 0.0) == pytest.approx(np.mean(clusters(7) ** 2))
        infinite = laws.trace(model).mean() * model.beta / model.size**2
        assert dyson.second_moment(model, 30.0) == pytest.approx(infinite)


def test_the_law_of_each_time_has_the_second_moment_of_that_time():
    """For κ = 1 finite size changes nothing of E Σx²."""
    free = dlnmc.DysonBrownianMotion(size=8, beta=2.0, kappa=1.0, energy="none")
    for t in (0.05, 0.8):
        assert dyson.law_after(free, t).moment(2) == pytest.approx(np.mean(clusters(8) ** 2) + 2.0 * t)
        confined = free.changed(energy="quadratic")
        assert dyson.law_after(confined, t).moment(2) == pytest.approx(dyson.second_moment(confined, t))


def test_the_quartic_is_held_against_the_law_of_its_own_scale():
    """V = μx²/2 + γx⁴/4 at β ≠ d: the law of x√(β/d) has g = γd/β; the virial of quantiles tells."""
    energy = dlnmc.Polynomial((0.0, 0.5 * 0.7, 0.0, 0.25 * 1.3))
    model = dlnmc.DysonBrownianMotion(size=400, beta=50.0, kappa=1.0, energy=energy)
    x = dyson.law_of_quartic(model).ppf((np.arange(400) + 0.5) / 400) * math.sqrt(400 / 50.0)
    assert dyson.virials(model, x) == pytest.approx(1.0, rel=2e-3)


def test_pictures_have_words_and_errors(said):
    kind, parts, tables = said
    found = kind.pictures(parts, tables)
    assert list(found) == ["equilibrium", "edges", "expansion", "relaxation", "upstairs", "quartic"]
    assert all(len(picture.words) > 60 for picture in found.values())
    assert f"{tables['upstairs'][0]['distance']:.2g}" in found["upstairs"].words
    for name in ("equilibrium", "edges", "expansion", "quartic"):
        assert all(panel.error is not None and panel.law is not None for panel in found[name].panels)
    points = [own for panel in found["relaxation"].panels for own in panel.series if own.look == "points"]
    assert all(np.all(own.high > own.low) for own in points)


def test_where_no_law_of_the_edge_is_known_there_is_no_picture_of_it(said):
    kind, parts, tables = said
    other = parts["equilibrium"].copy()
    other.attrs["model"] = other.attrs["model"].replace('"kappa":1.0', '"kappa":0.7')
    other["kappa"] = 0.7
    found = kind.pictures(parts | {"equilibrium": other}, tables)
    assert "edges" not in found
    assert "equilibrium" in found


def test_a_summary_says_the_same(tree, said, folder, capsys):
    path = dlnmc.save(findings.summary(tree), folder / "summary.nc")
    again = dlnmc.open(path)
    assert findings.verdicts(again) == list(said[0].checks(said[1], said[2]))
    assert findings.tables(again)["upstairs"] == said[2]["upstairs"]
    main(["check", str(path)])
    assert ", 0 failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("part", "section", "values", "pieces"),
    [
        ("expansion", "model", {"energy": "quadratic"}, ("parts.expansion.model.energy", "'none'")),
        ("relaxation", "model", {"energy": "none"}, ("parts.relaxation.model.energy", "'quadratic'")),
        ("relaxation", "run", {"times": [0.0, 1.0]}, ("parts.relaxation.run.times = [0.0, 1.0]", "> 0")),
        ("relaxation", "run", {"start": "random"}, ("parts.relaxation.run.start", "'clusters'")),
        ("upstairs", "run", {"state": "eigenvalues"}, ("parts.upstairs", "'hermitian'")),
        ("downstairs", "run", {"state": "hermitian"}, ("parts.downstairs.run.state", "'eigenvalues'")),
        ("downstairs", "run", {"times": [0.3]}, ("parts.upstairs", "times")),
        ("upstairs", "model", {"size": [3, 4]}, ("not a sweep",)),
        ("quartic", "model", {"energy": "quadratic"}, ("parts.quartic.model.energy", "'polynomial'")),
        ("equilibrium", "run", {"keep_samples": False}, ("parts.equilibrium.run.keep_samples",)),
        ("", "study", {"ks": 0.0}, ("ks", "0")),
    ],
)
def test_what_it_cannot_use_is_refused(part, section, values, pieces, refused):
    refused(lambda: studies.load(overlaid(SMALL, within(part, section, values))).members(), *pieces)


@pytest.mark.parametrize("coefficients", [(0.0, 1.0), (0.0, 1.0, 0.1, 1.0), (0.0, -3.0, 0.0, 1.0)])
def test_only_quartic_potentials_of_one_interval_have_the_law(coefficients, refused):
    model = dlnmc.DysonBrownianMotion(size=4, beta=4.0, kappa=1.0, energy=dlnmc.Polynomial(coefficients))
    refused(lambda: dyson.law_of_quartic(model))


@pytest.mark.slow
def test_steps_downstairs_are_fine_enough(record):
    """Eigenvalues after H_0 + Gaussian noise, exactly, against (11.1) in steps: the bias of the shipped step is small.

    The distances over a ladder of steps, to exact draws. The coarsest must be seen, or the test would see nothing.
    """
    downstairs = SHIPPED["parts"]["downstairs"]
    d, beta, t = downstairs["model"]["size"], downstairs["model"]["beta"], downstairs["run"]["times"][0]
    model = dlnmc.DysonBrownianMotion(size=d, beta=beta, kappa=1.0, energy="none")
    paths, rng = 100_000, np.random.default_rng(1)
    noise = (rng.normal(size=(paths, d, d)) + 1j * rng.normal(size=(paths, d, d))) / 2.0
    noise += np.conj(np.swapaxes(noise, 1, 2))
    exact = np.linalg.eigvalsh(np.diag(clusters(d) * math.sqrt(d / beta)) + math.sqrt(2.0 * t / beta) * noise)
    found = {}
    for dt in (16.0 * downstairs["run"]["dt"], downstairs["run"]["dt"]):
        run = dlnmc.simulate(model, paths=paths, dt=dt, times=[t], start="clusters", seed=3, progress=False)
        x = np.sort(run["eigenvalues"].isel(time=0).transpose("path", ...).to_numpy(), axis=1)
        found[dt] = max(statistics.kolmogorov_between(x[:, [k]], exact[:, [k]]).value for k in range(d))
    coarse, fine = found.values()
    bound = statistics.kolmogorov_bound(paths, paths, 1e-6 / d)
    shipped = statistics.kolmogorov_bound(downstairs["run"]["paths"], downstairs["run"]["paths"], 1e-6 / (2 * d))
    assert coarse > bound
    assert fine <= bound
    assert bound < 0.5 * shipped  # so that the bias leaves most of the study's own bound to chance
    record(coarse=coarse, fine=fine, bound=bound, shipped_bound=shipped)
