"""What is imported is declared, what is declared is used, and what is installed is what was asked for."""

import ast
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OWN = {"dlnmc", "dlnmc_kernels"}
OPTIONAL = {  # imported only where somebody asks for it
    "matplotlib": "plot", "jinja2": "plot", "markupsafe": "plot", "distributed": "dask", "dask": "dask",
}  # fmt: skip
WITH = {"dask": "distributed", "llvmlite": "numba"}  # comes with, in versions of its own choice


def requirements(lines):
    """The requirements by their normalized names, without extras of our own."""
    found = [Requirement(line) for line in lines]
    return {normalized(found.name): found for found in found if found.name != PROJECT["name"]}


def normalized(name):
    return re.sub(r"[-_.]+", "-", name).lower()


PROVIDERS = metadata.packages_distributions()
DEPENDENCIES = requirements(PROJECT["dependencies"])
EXTRAS = {extra: requirements(lines) for extra, lines in PROJECT["optional-dependencies"].items()}
EVERY = [("dependencies", found) for found in DEPENDENCIES.values()] + [
    (extra, found) for extra, own in EXTRAS.items() for found in own.values()
]


def imported(path):
    """The packages that a source imports, wherever it stands in it, and whether only for types."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module]
        yield from ((name.split(".")[0], node in for_types) for name in names)


def distributions_of(package):
    """The distributions that bring a package; its own name where it is not installed."""
    return {normalized(name) for name in PROVIDERS.get(package, [package])}


IMPORTS = {
    (package, path.relative_to(ROOT).as_posix(), for_types)
    for folder in ("dlnmc", "kernels")
    for path in (ROOT / folder).rglob("*.py")
    for package, for_types in imported(path)
    if package not in OWN and package not in sys.stdlib_module_names
}


def test_everything_that_is_imported_is_declared():
    undeclared = set()
    for package, path, for_types in IMPORTS:
        known = set(DEPENDENCIES) | set(EXTRAS.get(OPTIONAL.get(package, ""), {}))
        known |= {extra for extra in EXTRAS["dev"] if for_types}
        if not distributions_of(package) & known and WITH.get(package) not in known:
            undeclared.add((package, path))
    assert not undeclared


def test_everything_that_is_declared_is_imported():
    used = {name for package, _, for_types in IMPORTS if not for_types for name in distributions_of(package)}
    assert not set(DEPENDENCIES) - used


def test_lazy_and_typing_imports_are_found(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        "import a.b, c\nfrom . import own\nfrom d.e import f\ndef g():\n    import h\nif TYPE_CHECKING:\n    import i\n"
    )
    assert set(imported(path)) == {("a", False), ("c", False), ("d", False), ("h", False), ("i", True)}
    assert {"numpy", "matplotlib", "tqdm", "xarray"} <= {package for package, _, _ in IMPORTS}


@pytest.mark.parametrize(("extra", "requirement"), EVERY, ids=lambda value: str(value))
def test_every_dependency_has_a_lower_bound_and_what_is_installed_is_within_it(extra, requirement):
    operators = {specifier.operator for specifier in requirement.specifier}
    assert operators & {">=", "==", "~="}, f"{extra}: {requirement}"
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        assert extra not in ("dependencies", "plot"), f"{requirement} is not installed"
        pytest.skip(f"{requirement.name} of the extra {extra} is not installed")
    assert requirement.specifier.contains(version, prereleases=True), f"{requirement}: {version} is installed"
