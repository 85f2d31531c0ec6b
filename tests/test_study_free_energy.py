"""The study of the free energy: what is exact in it, a small run, and what must fail."""

import numpy as np
import pytest
from small_studies import overlaid, shipped, within

import dlnmc
from dlnmc import findings, studies
from dlnmc.studies import free_energy

SHIPPED = shipped("free-energy")
SMALL = overlaid(
    SHIPPED,
    within("escape", "model", {"depth": [1, 3], "beta": 2.0}),
    within("escape", "run", {"paths": 16, "times": [0.0, 10.0, 20.0]}),
    within("confined", "model", {"depth": [3], "beta": [1.0, 8.0]}),
    within("confined", "run", {"paths": 96, "times": [0.0, 600.0]}),
    within("langevin", "model", {"kappa": [0.005, 0.01, 0.02]}),
    within("langevin", "run", {"paths": 256, "times": [30.0], "dt": 0.01}),
)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return dlnmc.study(SMALL, tmp_path_factory.mktemp("free") / "out.nc", progress=False)


def model_of(depth, beta, confinement):
    energy = dlnmc.MatrixCompletion(((0, 0, 1.0), (1, 1, 1.0)), confinement=confinement)
    return dlnmc.DeepLinearNetwork(2, depth, beta, 0.0, energy=energy)


@pytest.mark.parametrize("sign", free_energy.SIDES.values(), ids=free_energy.SIDES)
@pytest.mark.parametrize(("depth", "beta"), [(2.0, 1.0), (3.0, 2.0), (3.0, 16.0), (4.0, 4.0)])
def test_no_matrix_near_an_exact_minimiser_is_lower(depth, beta, sign):
    model, rng = model_of(depth, beta, 0.1), np.random.default_rng(1)
    for W in free_energy.minimisers(model, sign):
        near = W + 1e-3 * rng.standard_normal((200, 2, 2))
        near = near[np.sign(np.linalg.det(near)) == np.sign(np.linalg.det(W))]
        assert len(near) > 50
        assert np.all(free_energy.free_energy(model, near) >= free_energy.free_energy(model, W) - 1e-12)
        other = W + 0.05 * np.array([[1.0, 0.3], [0.2, -1.0]])  # control
        assert free_energy.free_energy(model, other) > free_energy.free_energy(model, W) + 1e-5


def test_the_number_of_minimisers_changes_at_the_threshold():
    threshold = (1.0 - 1.0 / 3.0) / (2.0 * 0.1)
    assert len(free_energy.minimisers(model_of(3.0, 0.999 * threshold, 0.1), 1.0)) == 2
    (W,) = free_energy.minimisers(model_of(3.0, 1.001 * threshold, 0.1), 1.0)
    np.testing.assert_allclose(W, np.eye(2) * W[0, 0])
    for beta in (0.999 * threshold, 1.001 * threshold):  # continuous there
        np.testing.assert_allclose(free_energy.minimisers(model_of(3.0, beta, 0.1), 1.0)[0], np.eye(2), atol=0.05)


def test_without_confinement_the_free_energy_falls_without_end_along_the_valley():
    model = model_of(3.0, 4.0, 0.0)
    x = 10.0 ** np.arange(2.0, 9.0)
    valley = np.array([[[1.0, own], [own, 1.0]] for own in x])
    falls = np.diff(free_energy.free_energy(model, valley)) / np.diff(np.log(x))
    np.testing.assert_allclose(falls, -(1.0 - 1.0 / 3.0) / 4.0, rtol=2e-3)
    at_depth_one = free_energy.free_energy(model.changed(depth=1.0), valley)
    np.testing.assert_allclose(at_depth_one, at_depth_one[0], atol=1e-12)


@pytest.mark.parametrize("c", [0.1, 0.5])
def test_at_depth_two_there_is_a_minimiser_of_negative_determinant_up_to_a_threshold(c):
    """Where its rank becomes one; beyond, F falls through rank one to what is lower."""
    threshold = (1.0 + c) ** 2 / (4.0 * c)
    assert not free_energy.minimisers(model_of(2.0, 1.0001 * threshold, c), -1.0)
    below = free_energy.minimisers(model_of(2.0, 0.9999 * threshold, c), -1.0)[0]
    assert 0.0 < np.linalg.svd(below, compute_uv=False)[1] < 1e-3
    assert below[0, 0] == pytest.approx(1.0 / (1.0 + c), rel=1e-2)


@pytest.mark.parametrize("depth", [2.0, 2.5, 3.0, 10.0, 100.0])
def test_minimisers_of_negative_determinant_are_never_the_lowest(depth):
    """So the minimising set (6.9) lies in det W > 0."""
    found = 0
    for beta in (1e-3, 0.1, 1.0, 30.0, 1e3, 1e5):
        for c in (1e-4, 0.01, 1.0, 1e3):
            model = model_of(depth, beta, c)
            low, *_ = free_energy.minimisers(model, 1.0)
            assert free_energy.lowest(model) == free_energy.free_energy(model, low)
            for W in free_energy.minimisers(model, -1.0):
                assert np.linalg.det(W) < 0.0
                assert free_energy.free_energy(model, W) > free_energy.free_energy(model, low)
                found += 1
    assert found == 48 if depth > 2.0 else 0 < found < 48


def test_the_spread_is_that_of_the_hessian_near_rank_one_too():
    """Steps of differences follow the smallest singular value: with finer ones they are the same."""
    model = model_of(3.0, 14.0, 0.1)
    (W, _), steps = free_energy.minimisers(model, -1.0), (free_energy.DIFFERENCE, free_energy.DIFFERENCE / 3.0)
    assert np.linalg.svd(W, compute_uv=False)[1] < 2e-3
    with pytest.MonkeyPatch.context() as patch:
        found = []
        for step in (*steps, 10.0):  # the last goes beyond det W = 0
            patch.setattr(free_energy, "DIFFERENCE", step)
            found.append(free_energy.spread(model, W))
    assert found[0] == pytest.approx(found[1], rel=1e-3)
    assert found[0] != pytest.approx(found[2], rel=0.1)


def test_limits_are_of_one_depth_and_temperature_and_side():
    rows = [
        {"depth": depth, "beta": beta, "side": "negative", "kappa": kappa, "square": depth * beta + kappa,
         "square_error": 0.1, "exact": 1.0}
        for depth in (3.0, 4.0) for beta in (1.0, 2.0) for kappa in (0.1, 0.2, 0.4)
    ]  # fmt: skip
    found = free_energy._limits(rows)
    assert [row["limit"] for row in found] == pytest.approx([3.0, 6.0, 4.0, 8.0])
    (few,) = free_energy._limits(rows[:2])
    assert few == {"depth": 3.0, "beta": 1.0, "side": "negative", "kappas": 2}


def test_beyond_it_falls_like_a_power_of_the_inverse_temperature():
    c, w = 0.1, 1.0 / 1.2
    for depth in (3.0, 4.0):
        s = np.linalg.svd(free_energy.minimisers(model_of(depth, 1e3, c), -1.0)[0], compute_uv=False)
        wanted = (depth * 1e3 * (1.0 - w) * (2.0 * w) ** (2.0 / depth)) ** (-depth / (depth - 2.0))
        assert s[1] == pytest.approx(wanted, rel=0.03)


def test_every_check_of_a_small_run_holds_and_says_so_in_a_summary(result, tmp_path):
    assert findings.failed(findings.verdicts(result)) == []
    summary = dlnmc.open(dlnmc.save(dlnmc.summary(result), tmp_path / "summary.nc"))
    assert findings.verdicts(summary) == findings.verdicts(result)
    assert set(findings.pictures(summary)) == {"minimisers", "escape", "concentration"}
    for name in findings.pictures(summary):
        assert dlnmc.plot(summary, picture=name).axes


@pytest.mark.parametrize(
    ("table", "key", "value", "words"),
    [
        ("escape", "growth", 0.9, "exact rate"),
        ("escape", "still", 1, "do not grow"),
        ("escape", "moved", 1e-3, "entries not given"),
        ("minimisers", "farthest", 0.1, "from an exact minimiser"),
        ("minimisers", "visited", 0, "were found"),
        ("minimisers", "number", 0, "where no minimiser is"),
        ("limit", "limit", 1e3, "tends to"),
    ],
)
def test_what_is_off_fails(result, table, key, value, words):
    settings, parts = findings.parts_of(result)
    found = settings.tables(parts)
    for row in found[table]:
        row[key] = value if key in row else row.get(key)
    outcome = [holds for text, holds in settings.checks(parts, found) if words in text]
    assert outcome
    assert False in outcome


@pytest.mark.parametrize(
    ("table", "key", "value", "words"),
    [
        ("minimisers", "left", None, "no path starts there"),
        ("minimisers", "paths", 8, "too few to find"),
        ("limit", "limit", None, "too few for a limit"),
    ],
)
def test_what_is_not_known_says_so(result, table, key, value, words):
    settings, parts = findings.parts_of(result)
    found = settings.tables(parts)
    for row in found[table]:
        row[key] = value
    assert {holds for text, holds in settings.checks(parts, found) if words in text} == {None}


@pytest.mark.parametrize("part", ["escape", "confined", "langevin"])
def test_a_path_that_fails_is_told(result, part):
    broken = result.copy(deep=True)
    broken[f"{part}/sampler/status"][..., 0] = 1
    assert any(text.startswith(part) and "paths failed" in text for text in findings.failed(findings.verdicts(broken)))


@pytest.mark.parametrize(
    ("part", "section", "values", "pieces"),
    [
        (
            "escape",
            "model",
            {"energy": SHIPPED["parts"]["confined"]["model"]["energy"]},
            ("escape", "confinement", "0.1"),
        ),
        ("confined", "model", {"energy": SHIPPED["parts"]["escape"]["model"]["energy"]}, ("confined", "confinement")),
        ("langevin", "model", {"kappa": 0.1}, ("langevin", "three kappa")),
        ("escape", "run", {"times": [1.0, 2.0]}, ("escape", "three times")),
        ("escape", "model", {"depth": 1}, ("parts.escape.model.depth = 1", "one above 1")),
        ("confined", "model", {"depth": float("inf")}, ("parts.confined.model.depth = inf", "finite")),
        ("langevin", "run", {"paths": 1}, ("parts.langevin.run.paths = 1", "2 or more")),
        ("escape", "model", {"width": [2, 3]}, ("parts.escape.model.energy", "width 2")),
        ("langevin", "model", {"kappa": [0.0, 0.1, 0.2]}, ("parts.langevin", "kappa = 0", "kappa > 0")),
        ("langevin", "model", {"beta": 64.0}, ("parts.langevin.model.beta = 64", "rank one", "smaller beta")),
        ("confined", "model", {"depth": 1.5}, ("parts.confined.model.depth = 1.5", "1, or 2 or more")),
        ("escape", "model", {"clock": "depth"}, ("parts.escape.model.clock = 'depth'", "'paper'")),
    ],
)
def test_other_parts_are_refused(part, section, values, pieces, refused):
    refused(lambda: studies.load(overlaid(SMALL, within(part, section, values))).members(), *pieces)


def test_paths_may_not_leave_a_side_that_has_minimisers(result):
    """The control: all ends with det W < 0 are mirrored onto the other side, whose minimisers they then are near."""
    wrong = result.copy(deep=True)
    data = wrong["confined/samples"].to_dataset().copy(deep=True)
    ends = data["matrix"].transpose("time", ..., "row", "column")[-1]  # of the copy's own memory
    ends[..., 0, :] *= np.where(np.linalg.det(ends) < 0.0, -1.0, 1.0)[..., None]
    wrong["confined/samples"].dataset = data
    assert np.all(np.linalg.det(ends) > 0.0)
    left = [text for text in findings.failed(findings.verdicts(wrong)) if "paths leave it" in text]
    assert len(left) == 2
    assert all("det W negative" in text for text in left)
