"""The table of docs/verification.md: that it is up to date, and that its script sees what is wrong."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "verify.py"


@pytest.fixture(scope="module")
def verify():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("verify", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["verify"] = module  # where dataclasses look for their module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["verify"]


@pytest.fixture
def copies(verify, monkeypatch, tmp_path):
    """The script with copies of page and figures in a folder of its own."""
    for name in ("PAGE", "FIGURES"):
        copy = tmp_path / getattr(verify, name).name
        shutil.copy(getattr(verify, name), copy)
        monkeypatch.setattr(verify, name, copy)
    return verify


def exit_code(verify, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["verify", *arguments])
    with pytest.raises(SystemExit) as ended:
        verify.main()
    return ended.value.code


def test_page_figures_rows_and_kernels_belong_together():
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_every_law_holds_and_every_control_fails_with_power(verify):
    """0.72 is the ratio of the Kolmogorov distances that chance exceeds with probabilities 1e-3 and 1e-6."""
    for row in json.loads(verify.FIGURES.read_text())["rows"]:
        assert row["distance"] < row["threshold"], row
        assert row["control_distance"] > row["threshold"] + 0.72 * row["chance"], row


def test_rows_have_every_kind_of_model_and_scheme(verify):
    kinds = {(row.model.kind, row.scheme) for row in verify.ROWS}
    schemes = {"euler_maruyama", "leimkuhler_matthews", "mala", "hmc", "exact"}
    assert kinds == {(kind, scheme) for kind in ("deep_linear_network", "dyson") for scheme in schemes}
    assert len({row.name for row in verify.ROWS}) == len(verify.ROWS)


def test_only_runs_rows_by_name_and_writes_nothing(copies, monkeypatch, capsys):
    before = copies.PAGE.read_text(), copies.FIGURES.read_text()
    assert exit_code(copies, monkeypatch, "--only", "β = 5, κ = 1; exact") == 0
    out = capsys.readouterr().out
    assert "[ 1/1] Σx² ~ Gamma; Dyson, d = 64, β = 5, κ = 1; exact" in out
    assert (copies.PAGE.read_text(), copies.FIGURES.read_text()) == before
    assert "no row" in exit_code(copies, monkeypatch, "--only", "no such row")


def test_a_run_writes_what_check_accepts(copies, monkeypatch):
    monkeypatch.setattr(
        copies, "ROWS", (copies.Exact(copies.GAMMA, copies.network(3, 2, 0.5), "exact", 4096, {"kappa": 2}),)
    )
    assert exit_code(copies, monkeypatch) == 0
    assert len(json.loads(copies.FIGURES.read_text())["rows"]) == 1
    assert list(copies.problems()) == []


@pytest.mark.parametrize(
    "wrong", [{"kappa": 1.0001}, {"kappa": 2.0}], ids=["a control that passes", "a law that fails"]
)
def test_what_fails_ends_with_exit_code_3(copies, monkeypatch, wrong):
    def law(model):  # of the model with κ = ½ only where the control is to pass
        return copies.laws.trace(model.changed(kappa=model.kappa if wrong["kappa"] < 2.0 else 1.2 * model.kappa))

    row = copies.Exact(copies.GAMMA, copies.network(3, 2, 0.5), "exact", 16384, wrong, exact=law)
    monkeypatch.setattr(copies, "ROWS", (row,))
    assert exit_code(copies, monkeypatch) == copies.FAILED == 3
    assert any("does not hold" in line for line in copies.problems())


def test_check_sees_what_does_not_belong_together(copies, monkeypatch):
    record = json.loads(copies.FIGURES.read_text())
    copies.FIGURES.write_text(json.dumps(record | {"kernel_hash": "another"}))
    assert any("kernels have changed" in line for line in copies.problems())
    copies.FIGURES.write_text(json.dumps(record | {"rows": record["rows"][1:]}))
    assert any("the rows" in line for line in copies.problems())
    copies.FIGURES.write_text(json.dumps(record))
    copies.PAGE.write_text(copies.PAGE.read_text().replace("exact draws", "exact drawings"))
    found = exit_code(copies, monkeypatch, "--check")
    assert "docs/verification.md is not what data/validation/ says: run scripts/verify --page" in found


@pytest.mark.parametrize(("dt", "control_fails"), [(0.05, True), (0.1, False)])
def test_an_allowance_covers_the_bias_of_a_step_until_the_control_passes(verify, dt, control_fails):
    row = verify.Exact(verify.SQUARES, verify.dyson(4, 1.0), "euler_maruyama", 2**15, {"beta": 0.9}, dt, biased=True)
    figures = row.measure(1)
    assert figures.chance < figures.distance < figures.threshold
    assert (figures.control_distance > figures.threshold) == control_fails
