"""The benchmark: every row of the interface, with fields that agree with each other."""

import json
import math

import pytest

from dlnmc import DeepLinearNetwork, DysonBrownianMotion, InvalidValue, benchmarks
from dlnmc.engine import SCHEMES
from dlnmc.executors import thread_count

FIELDS = ["model", "state", "size", "depth", "scheme", "threads", "path_steps_per_second", "pairs_per_second"]


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(benchmarks, "SECONDS", 0.002)
    monkeypatch.setattr(benchmarks, "REPETITIONS", 1)
    monkeypatch.setattr(benchmarks, "CALL_PAIRS", 2e5)


@pytest.fixture(scope="module")
def measured():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmarks, "SECONDS", 0.002)
        patch.setattr(benchmarks, "REPETITIONS", 1)
        patch.setattr(benchmarks, "CALL_PAIRS", 2e5)
        yield benchmarks.measure(2)


def test_all_rows_of_the_interface_are_there(measured):
    assert set(measured) == {"normals_per_second", "kernels"}
    rows = {(r["state"], r["scheme"], r["size"], r["depth"], r["threads"]) for r in measured["kernels"]}
    sizes, em = (8, 32, 64, 128), "euler_maruyama"
    wanted = {("eigenvalues", em, n, None, t) for n in sizes for t in (1, 2)}
    wanted |= {("singular_values", em, n, depth, t) for n in sizes for depth in (2, 8) for t in (1, 2)}
    wanted |= {("matrix", em, n, 3, t) for n in (4, 8, 16) for t in (1, 2)}
    assert wanted <= rows
    assert len(rows) == len(measured["kernels"])


def test_every_row_has_the_fields_of_the_interface_and_sound_rates(measured):
    assert measured["normals_per_second"] > 1e6
    for row in measured["kernels"]:
        assert list(row) == FIELDS
        assert (row["state"] == "eigenvalues") == (row["model"] == "dyson")
        assert 1e3 < row["path_steps_per_second"] < 1e9
        pairs = row["size"] * (row["size"] - 1) / 2
        assert row["pairs_per_second"] == pytest.approx(pairs * row["path_steps_per_second"], rel=1e-12)


def test_the_result_is_json_and_a_table(measured):
    assert json.loads(json.dumps(measured, allow_nan=False)) == measured
    lines = benchmarks.as_text(measured).splitlines()
    assert len(lines) == 3 + len(measured["kernels"])
    assert len({len(line) for line in lines[2:]}) == 1


@pytest.mark.parametrize("scheme", [name for name, row in SCHEMES.items() if not row.needs_no_noise])
@pytest.mark.parametrize(
    "model",
    [DysonBrownianMotion(3, 2.0), DeepLinearNetwork(3, 2.5, 3.0), DeepLinearNetwork(3, math.inf, 3.0, 0.2)],
    ids=["dyson", "dln", "infinite depth"],
)
def test_any_model_and_scheme_can_be_measured(model, scheme):
    row = benchmarks.row(model, "eigenvalues" if model.kind == "dyson" else "singular_values", scheme, 1)
    assert (row["size"], row["scheme"], row["threads"]) == (3, scheme, 1)
    assert row["depth"] == getattr(model, "depth", None)
    assert row["pairs_per_second"] == pytest.approx(3.0 * row["path_steps_per_second"], rel=1e-12)


def test_threads_measure_different_paths(monkeypatch):
    blocks, original = [], benchmarks._call

    def call(*case, first_block):
        blocks.append(first_block)
        return original(*case, first_block)

    monkeypatch.setattr(benchmarks, "_call", call)
    benchmarks.row(DysonBrownianMotion(3, 2.0), "eigenvalues", "euler_maruyama", 3)
    assert blocks[-3:] == [0, benchmarks.BLOCKS, 2 * benchmarks.BLOCKS]


def test_one_thread_alone_and_the_default(monkeypatch):
    monkeypatch.setattr(benchmarks, "cases", lambda: [(DysonBrownianMotion(2, 2.0), "eigenvalues", "euler_maruyama")])
    assert [row["threads"] for row in benchmarks.measure(1)["kernels"]] == [1]
    assert [row["threads"] for row in benchmarks.measure()["kernels"]] == sorted({1, thread_count(None)})
    with pytest.raises(InvalidValue, match="threads = 0"):
        benchmarks.measure(0)


def test_fast_sums_are_measured_beside_direct_ones():
    seconds = benchmarks.fast_drift_rates(300)
    assert list(seconds) == ["dyson_fast", "dyson_direct", "dln_fast", "dln_direct"]
    assert all(0.0 < value < 1.0 for value in seconds.values())
    with pytest.raises(InvalidValue, match=r"size = 255: sums are fast from 256 on"):
        benchmarks.fast_drift_rates(255)
