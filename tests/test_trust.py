"""What comes from a stranger, a result or a study, runs no code, and asks for no more than there is."""

import ast
import json
import os
from pathlib import Path

import pytest
import xarray as xr

import dlnmc
from dlnmc import dataset, files, findings, studies

ROOT = Path(__file__).parents[1]
SOURCES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for folder in ("dlnmc", "kernels")
    for path in sorted((ROOT / folder).rglob("*.py"))
}
RUNS_CODE = {
    "cloudpickle", "code", "codeop", "ctypes", "dill", "imp", "importlib", "joblib", "jsonpickle", "marshal", "pickle",
    "pkgutil", "runpy", "shelve", "yaml",
}  # fmt: skip
ALLOWED = {  # why a module may have one of these
    ("dlnmc/__init__.py", "importlib"): "imports its own modules when they are first used, by names that stand there",
    ("dlnmc/information.py", "importlib"): "versions of installed packages",
    ("dlnmc/executors", "cloudpickle"): "hands work to processes that it started itself",
    ("dlnmc/executors", "ctypes"): "numbers in memory that is shared with processes that it started itself",
    ("kernels/dlnmc_kernels/outlined.py", "ctypes"): "calls what this process has compiled",
    ("kernels/dlnmc_kernels/cache.py", "pickle"): "compiled kernels in the user's own cache, as Numba keeps them",
}
DEEP = {"beyond Python's recursion": "[" * 100_000, "within it": '{"a":' * 400 + "1" + "}" * 400}


def runs_code(source):
    """What in a source can run code that comes from elsewhere: modules, built-in functions, archives with pickles."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from {name.name.split(".")[0] for name in node.names} & RUNS_CODE
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from {(node.module or "").split(".")[0]} & RUNS_CODE
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in ("eval", "exec", "compile", "__import__"):
                yield called
            if called in ("np.load", "numpy.load") and "allow_pickle=False" not in map(ast.unparse, node.keywords):
                yield called
            if any(ast.unparse(keyword) == "allow_pickle=True" for keyword in node.keywords):
                yield called


def test_no_source_runs_code_that_comes_from_elsewhere():
    found = {(path, name) for path, source in SOURCES.items() for name in runs_code(source)}
    assert not {
        (path, name)
        for path, name in found
        if not any(path.startswith(place) and name == allowed for place, allowed in ALLOWED)
    }


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "from importlib import import_module", "def f():\n import cloudpickle.extra", "eval('1')",
        "__import__(name)", "np.load(file)", "np.load(file, allow_pickle=True)", "np.savez(file, allow_pickle=True)",
    ],
)  # fmt: skip
def test_code_that_would_run_is_seen(source):
    assert list(runs_code(source))


def test_archives_are_read_without_pickles():
    loads = [source for source in SOURCES.values() if "np.load(" in source]
    assert loads
    assert all("allow_pickle=False" in source for source in loads)


# --- studies ----------------------------------------------------------------------------------------------------------

NAMES_CODE = {
    "an energy of one's own": "[model]\nwidth = 3\nbeta = 3.0\nenergy = 'own'\n",
    "an energy as a table": "[model]\nwidth = 3\nbeta = 3.0\nenergy = { kind = 'own', value = 'evil:f' }\n",
    "an energy's module": "[model]\nwidth = 3\nbeta = 3.0\nenergy = { kind = 'evil' }\n",
    "a kind of model": "[model]\nkind = 'evil.Model'\nwidth = 3\n",
    "a kind of study": "[model]\nwidth = 3\nbeta = 3.0\n[study]\nkind = 'evil'\n",
    "a section": "[model]\nwidth = 3\n[plugins]\nimport = 'evil'\n",
    "observables": "[model]\nwidth = 3\nbeta = 3.0\n[run]\nobservables = ['evil.f']\n",
    "observables as a table": "[model]\nwidth = 3\nbeta = 3.0\n[run]\nobservables = { f = 'evil.f' }\n",
    "an executor": "[model]\nwidth = 3\nbeta = 3.0\n[run]\nexecutor = 'evil'\n",
    "a scheme": "[model]\nwidth = 3\nbeta = 3.0\n[run]\nscheme = 'evil.scheme'\n",
    "a start": "[model]\nwidth = 3\nbeta = 3.0\n[run]\nstart = 'evil.npy'\n",
}


@pytest.mark.parametrize("text", NAMES_CODE.values(), ids=NAMES_CODE)
def test_a_study_that_names_code_is_refused_and_the_code_is_not_run(text, tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "evil.py").write_text("open('it-ran', 'w')\n")
    (tmp_path / "study.toml").write_text(text)
    refused(lambda: dlnmc.study("study.toml", "out.nc", progress=False))
    assert sorted(os.listdir(tmp_path)) == ["evil.py", "study.toml"]


def test_a_study_that_is_nested_too_deep_is_refused(tmp_path, refused):
    path = tmp_path / "study.toml"
    path.write_text("[model]\nwidth = " + "[" * 100_000)
    refused(lambda: studies.load(path), str(path))


def test_a_study_file_of_any_size_is_not_read(tmp_path, refused):
    path = tmp_path / "study.toml"
    with path.open("wb") as file:
        file.truncate(2**34)
    refused(lambda: studies.load(path), str(path), "at most")


# --- results ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_a_configuration_that_is_nested_too_deep_is_refused_wherever_it_is_read(text, tmp_path, network_tree, refused):
    tree = network_tree.copy()
    tree.attrs = tree.attrs | {"config": text}
    tree = dlnmc.open(files.save(tree, tmp_path / "deep.nc"))
    for read in (dataset.model_of, dlnmc.report, findings.verdicts, lambda tree: dlnmc.plot(tree, tmp_path / "a.png")):
        refused(lambda read=read: read(tree), "config", "nested")


def test_an_identity_that_is_nested_too_deep_is_refused(tmp_path, network_tree, refused):
    tree = network_tree.copy()
    tree.attrs = tree.attrs | {"identity": "[" * 100_000}
    path = files.save(tree, tmp_path / "deep.nc")
    run = {"paths": 9, "dt": 0.01, "burn_in": 0.1, "duration": 0.1}
    plan = {"model": {"width": 5, "depth": 2.0, "beta": 3.0}, "run": run}
    refused(lambda: dlnmc.study(plan, path, progress=False), "identity", "nested")


def test_configurations_of_results_are_far_from_that_deep(network_tree):
    def depth(value):
        own = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        return 0 if own is None else 1 + max(map(depth, own), default=0)

    assert depth(json.loads(network_tree.attrs["config"])) <= 6


def test_a_result_that_names_code_runs_none(tmp_path, monkeypatch, network_tree, refused):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "evil.py").write_text("open('it-ran', 'w')\n")
    energies = ({"kind": "own", "value": "evil:f", "gradient": "evil:g"}, {"kind": "evil.Energy"}, "evil")
    for energy in energies:
        tree = network_tree.copy()
        tree.attrs = tree.attrs | {"config": json.dumps({"model": {"energy": energy}})}
        opened = dlnmc.open(files.save(tree, "run.nc"))
        refused(lambda opened=opened: dataset.model_of(opened))
        tree.attrs = tree.attrs | {"config": json.dumps({"study": {"kind": "evil"}})}
        refused(lambda tree=tree: findings.verdicts(tree), "study.kind")
    assert sorted(os.listdir(tmp_path)) == ["evil.py", "run.nc"]


def test_a_result_that_was_opened_by_xarray_can_be_saved_again(tmp_path, network_tree):
    path = files.save(network_tree, tmp_path / "run.nc")
    with xr.open_datatree(path, engine="netcdf4") as plain:
        again = files.save(plain.load(), tmp_path / "again.nc")
    assert files.open(again).attrs == files.open(path).attrs
