"""What a user installs: the wheel alone, in a fresh environment, away from the checkout."""

import subprocess
import sys
import sysconfig
import venv
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
STUDY = "study semicircle --paths 16 --set width=4 --set burn_in=0.05 --set duration=0.05 -o out.nc"
WHERE = "import dlnmc, dlnmc_kernels; print(dlnmc.__file__); print(dlnmc_kernels.__file__)"


def run(*command, cwd):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    run(*build, "--wheel-dir", folder, REPOSITORY, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(
    scope="module",
    params=["dependencies borrowed", pytest.param("dependencies installed", marks=pytest.mark.slow)],
)
def environment(request, wheel, tmp_path_factory):
    """Folder of a fresh environment with the wheel in it."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    install = [sys.executable, "-m", "pip", "--python", folder, "install", wheel]
    if request.param == "dependencies borrowed":
        run(*install, "--no-deps", "--no-index", cwd=folder)
        # A folder added by a .pth has its own .pth files ignored, so the editable dlnmc stays out of sight.
        lenders = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        (packages(folder) / "borrowed.pth").write_text("\n".join(lenders))
    else:
        run(*install, cwd=folder)
    return folder


def packages(environment):
    (folder,) = environment.glob("lib/python*/site-packages")
    return folder


def test_wheel_brings_two_packages_and_the_studies(environment):
    site = packages(environment)
    assert PathFinder.find_spec("dlnmc", [str(site)])
    assert PathFinder.find_spec("dlnmc_kernels", [str(site)])
    for name in ("kernels", "data", "scripts", "tests"):
        assert PathFinder.find_spec(name, [str(site)]) is None

    shipped = {path.name for path in (site / "dlnmc/data/studies").iterdir()}
    assert shipped == {path.name for path in (REPOSITORY / "data/studies").iterdir()}
    assert "semicircle.toml" in shipped


def test_named_study_runs_in_an_empty_folder(environment, tmp_path):
    python = environment / "bin/python"
    origins = run(python, "-c", WHERE, cwd=tmp_path).split()
    assert [Path(origin).parents[1] for origin in origins] == [packages(environment)] * 2

    run(python, "-m", "dlnmc", *STUDY.split(), cwd=tmp_path)
    assert (tmp_path / "out.nc").stat().st_size > 0
