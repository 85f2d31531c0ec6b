"""The command line: what each command prints, every exit code, and that bad input is told in one line."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from commands import DYSON, NETWORK, one_line

import dlnmc
from dlnmc import benchmarks, files, information, runs, studies


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """The file of a tiny study."""
    folder = tmp_path_factory.mktemp("result")
    (folder / "tiny.toml").write_text(NETWORK)
    dlnmc.study(folder / "tiny.toml", folder / "tiny.nc", threads=1, progress=False)
    return folder / "tiny.nc"


# --- bad input --------------------------------------------------------------------------------------------------------

THOUSAND = f"[{','.join(map(str, range(1, 1001)))}]"
OPTIONS = [  # options after `dlnmc study tiny.toml`; what the line must hold
    ("--paths 0", "paths = 0", ">= 1"),
    ("--paths -1", "paths = -1", ">= 1"),
    ("--paths 1e30", "--paths", "1e30", "integer"),
    (f"--paths {10**30}", f"paths = {10**30}", "<="),
    ("--paths many", "--paths", "many", "integer"),
    ("--seed -1", "seed = -1", ">= 0"),
    (f"--seed {2**64}", f"seed = {2**64}", "<"),
    ("--seed 1.5", "--seed", "1.5", "integer"),
    ("--threads 0", "threads = 0", "from 1 to"),
    ("--threads -3", "threads = -3", "from 1 to"),
    ("--thread 2", "--thread", "--threads"),
    ("--path", "--path"),
    ("--paths", "--paths", "requires an argument"),
    ("surplus.toml", "surplus.toml"),
    ("--set kappa", "'kappa'", "key=value"),
    ("--set =1", "unknown key ''", "model.kappa"),
    ("--set kapa=1", "unknown key 'kapa'", "did you mean", "kappa"),
    ("--set model.kapa=1", "unknown key 'model.kapa'", "did you mean 'model.kappa'"),
    ("--set run.kappa=1", "unknown key 'run.kappa'", "model.kappa"),
    ("--set runs.paths=8", "unknown key 'runs.paths'", "run.paths"),
    ("--set first_step=8", "unknown key 'first_step'", "run.paths"),
    ("--set size=8", "unknown key 'size'", "model.width"),
    ("--set kind=network", "'network'", "deep_linear_network", "dyson"),
    ("--set kind=['dyson']", "kind = ['dyson']", "deep_linear_network"),
    ("--set kind=dyson", "size"),
    ("--set study.kind=circle", "'circle'", "semicircle"),
    ("--set study.kind=['semicircle']", "kind = ['semicircle']", "semicircle"),
    ("--set dt=0", "dt = 0", "> 0"),
    ("--set dt=nan", "dt = nan", "finite"),
    ("--set dt=inf", "dt = inf", "finite"),
    ("--set dt=1e-300", "dt = 1e-300"),
    ("--set dt=1e308 --set scheme=hmc", "width=6", "dt = 1e+308", "beyond floating point"),
    ("--set dt=5e-324", "dt = 4.94066e-324", "steps"),
    ("--set dt=small", "dt", "small"),
    (f"--set dt=[{10**400},1]", "run.dt = 0x", "integer of 1329 bits"),
    (f"--set dt=[{','.join(map(str, range(1, 10_002)))}]", "10001 of run.dt", "= 20002 members", "10000"),
    (f"--set seed=0x{'f' * 5000}", "run.seed = 0xfff", "integer of 20000 bits"),
    (f"--set seed={'9' * 5000}", "--set 'seed=999", "digits"),
    (f"--set ks={'[' * 3000}", "--set 'ks=[[[", "deep"),
    (f"--set ks={'[' * 50}{']' * 50}", "study.ks", "deep"),
    (f"--set title=['{'a' * 1000}']", "title = ('aaa", "…", "string"),
    ("--set dt=[]", "dt = []"),
    ("--set dt=[0.01,0.01]", "dt = [0.01, 0.01]", "different"),
    ("--set dt=[0.01,0.015]", "dt = [0.01, 0.015]", "whole multiple", "0.015"),
    ("--set dt=[0.01,-0.02]", "-0.02", "> 0"),
    ("--set dt=[0.01,nan]", "nan"),
    ("--set dt=[0.01,inf]", "inf"),
    ("--set dt=[0.01,'fine']", "'fine'"),
    ("--set dt=[[0.01],[0.02]]", "[0.01]"),
    ("--set dt=[true,2]", "True"),
    ("--set refinement=2", "unknown key 'refinement'"),
    ("--set accuracy=0", "accuracy = 0", ">= 1e-12"),
    ("--set accuracy=1e-300", "accuracy = 1e-300", ">= 1e-12"),
    ("--set accuracy=1.5", "accuracy = 1.5", "< 1"),
    ("--set observables=trace", "'trace'", "log_determinant", "effective_rank"),
    ("--set observables=['log_det']", "'log_det'", "log_determinant"),
    ("--set observables=[1]", "1", "log_determinant"),
    ("--set observables=1", "observables", "log_determinant"),
    ("--set observables={a=1}", "observables", "'a'", "function"),
    ("--set leaps=0 --set scheme=hmc", "leaps = 0", ">= 1"),
    ("--set leaps=2", "leaps = 2", "hmc", "leimkuhler_matthews"),
    ("--set burn_in=1e300", "1e+300"),
    ("--set burn_in=-1", "burn_in = -1", ">= 0"),
    ("--set duration=0", "duration = 0", "> 0"),
    ("--set draws=0", "draws = 0", ">= 1"),
    ("--set draws=3", "observations = 4", "multiple of draws = 3"),
    ("--set bins=0", "bins = 0", ">= 1"),
    ("--set kappa=-1", "kappa = -1", ">= 0"),
    ("--set kappa=0 --set scheme=milstein", "kappa = 0", "no equilibrium", "> 0"),
    ("--set kappa=0 --set scheme=mala", "scheme = 'mala'", "kappa = 0", "euler_maruyama"),
    ("--set kappa=nan", "kappa = nan"),
    ("--set kappa=warm", "kappa = 'warm'", "number"),
    ("--set kappa=[]", "kappa = []", "different"),
    ("--set kappa=[1.0,1.0]", "kappa = [1.0, 1.0]", "different"),
    ("--set kappa=[1.0,1]", "kappa"),
    ("--set kappa=1e-100 --set depth=1e12", "kappa=1e-100", "beyond floating point"),
    (
        f"--set kappa={THOUSAND} --set beta={THOUSAND}",
        "2 of model.depth · 1000 of model.beta · 1000 of model.kappa = 2000000 members",
        "10000",
    ),
    ("--set kappa=[[1.0,2.0],3.0]", "kappa", "1.0, 2.0", "number"),
    ("--set kappa={a=1}", "kappa = {'a': 1}", "number"),
    ("--set depth=0.5", "depth = 0.5", ">= 1"),
    ("--set depth=inf", "infinite depth", "kappa < (d-1)/(2d) = 0.416667", "1.0"),
    ("--set depth=inf --set kappa=0.42", "infinite depth", "kappa < (d-1)/(2d) = 0.416667", "0.42"),
    ("--set depth=inf --set kappa=0.1 --set coordinates=lambda", "coordinates = 'lambda'", "depth inf", "'log'"),
    ("--set depth=[1,0.5]", "depth = 0.5", ">= 1"),
    ("--set width=0", "width = 0", ">= 1"),
    ("--set width=2.5", "width = 2.5", "integer"),
    ("--set width=1979-05-27", "width", "1979"),
    ("--set beta=0", "beta = 0", "> 0"),
    ("--set beta=inf", "beta = inf", "finite", "kappa = 0"),
    ("--set kappa=inf", "kappa = inf", "1e+100"),
    ("--set energy=cubic", "cubic", "quadratic", "polynomial"),
    ("--set energy=polynomial", "coefficients", "missing"),
    ("--set energy={kind='polynomial',coefficients=[1,-1]}", "coefficients = (1, -1)", "must be > 0"),
    ("--set energy={kind='polynomial',coefficients=[]}", "coefficients = ()", "at least 1"),
    ("--set energy={kind='polynomial',coefficients=['a']}", "coefficients", "'a'", "number"),
    ("--set energy={kind='polynomial',coefficients=[1e300]}", "coefficients.0 = 1e+300", "<= 1e+100"),
    ("--set energy={kind='polynomial',coefficients=[5e-324]}", "5e-324", "beyond floating point"),
    ("--set energy={kind='polynomial',coefs=[1]}", "unknown key", "'coefs'", "coefficients"),
    ("--set energy=['quadratic','own']", "'own'", "no code"),
    ("--set energy={}", "energy = {}", "kind", "missing"),
    ("--set width=4096 --set energy={kind='matrix_completion',entries=[[0,0,1]],confinement=1}", "4096", "2048"),
    ("--set energy=none", "energy = 'none'", "no equilibrium", "quadratic"),
    ("--set clock=fast", "clock = 'fast'", "paper", "depth"),
    ("--set scheme=euler", "scheme = 'euler'", "euler_maruyama", "milstein"),
    ("--set coordinates=sigma", "leimkuhler_matthews", "additive noise", "milstein"),
    ("--set coordinates=eigenvalues", "coordinates = 'eigenvalues'", "lambda", "sigma"),
    ("--set state=matrix", "leimkuhler_matthews", "whole matrices", "euler_maruyama"),
    ("--set state=hermitian", "state = 'hermitian'", "singular_values", "matrix"),
    ("--set energy=matrix_completion", "entries", "missing"),
    ("--set energy={kind='matrix_completion',entries=[[0,0,1],[0,0,2]],confinement=1}", "(0, 0)", "twice"),
    ("--set energy={kind='quadratic_to',target=[[1,0],[0,1]]}", "energy.target", "6 rows of 6"),
    ("--set start=one", "start = 'one'", "random", "law"),
    ("--set start=given", "start", "'given'"),
    ("--set start=zero", "start = 'zero'", "law"),
    ("--set common_noise=1", "common_noise = 1", "true or false"),
    ("--set keep_samples=1", "keep_samples = 1"),
    ("--set law_kappa=0", "law_kappa = 0", "> 0"),
    ("--set trace=-0.1", "trace = -0.1", "> 0"),
    ("--set spacing=wide", "spacing = 'wide'", "number"),
    ("--set title=3", "title = 3", "string"),
    ("--set ks=low", "ks"),
    ("--set ks=nan", "ks"),
    ("--set ks=-1", "ks", "-1"),
    ("--set ks=[]", "ks", "2 members"),
    ("--set ks=[0.1]", "ks", "0.1", "2 members"),
]


@pytest.mark.parametrize(("options", "pieces"), [(o, p) for o, *p in OPTIONS], ids=[o[:80] for o, *_ in OPTIONS])
def test_a_bad_option_is_told_in_one_line(options, pieces, dlnmc_command, nothing_is_computed, tmp_path):
    nothing_is_computed()
    (tmp_path / "tiny.toml").write_text(NETWORK)
    one_line(dlnmc_command("study", "tiny.toml", "-o", "out.nc", "--quiet", *options.split(" ")), *pieces)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.toml"]  # nothing was begun


FILES = {  # a study file; what the line must hold
    "nothing": ("", "[model]", "missing"),
    "broken": ('[model]\nwidth = "', "study.toml", "string"),
    "broken in the middle": ("[model]\nwidth 6\n", "study.toml", "line 2"),
    "a key twice": ("[model]\nwidth = 6\nwidth = 7\n", "study.toml", "line 3"),
    "not text": (b"[model]\nwidth = \xff\xfe\n", "study.toml"),
    "unknown section": (NETWORK + "[runs]\n", "unknown key 'runs'", "did you mean 'run'"),
    "unknown section, far": (NETWORK + "[zzz]\n", "unknown key 'zzz'", "model, run, study"),
    "key outside": ("paths = 3\n" + NETWORK, "unknown key 'paths'"),
    "not a table": ("model = 3\n", "model = 3", "table"),
    "array of tables": ("[[model]]\nwidth = 6\n", "model = [", "table"),
    "unknown key of a model": (NETWORK.replace("kappa", "kapa"), "'kapa'", "did you mean 'kappa'"),
    "unknown key of a run": (NETWORK.replace("burn_in", "burnin"), "'burnin'", "did you mean 'burn_in'"),
    "unknown key of a study": (NETWORK.replace("title", "titel"), "'titel'", "did you mean 'title'"),
    "key of another section": (NETWORK.replace("[run]", "[run]\nwidth = 6"), "'width'", "paths"),
    "unknown kind of model": (NETWORK.replace("deep_linear_network", "dlm"), "model.kind = 'dlm'", "dyson"),
    "kind is a list": (NETWORK.replace('"deep_linear_network"', "[1]"), "model.kind = [1]", "dyson"),
    "kind is a table": (NETWORK.replace('"deep_linear_network"', "{a = 1}"), "model.kind", "dyson"),
    "unknown kind of study": (NETWORK.replace("semicircle", "circle"), "study.kind = 'circle'", "semicircle"),
    "kind of study is a list": (NETWORK.replace('"semicircle"', "[1]"), "study.kind = [1]", "semicircle"),
    "missing width": (NETWORK.replace("width = 6\n", ""), "width", "missing"),
    "text for a number": (NETWORK.replace("beta = 6.0", 'beta = "6.0"'), "beta = '6.0'", "number"),
    "truth for a number": (NETWORK.replace("paths = 16", "paths = true"), "paths = True"),
    "list in the run": (NETWORK.replace("paths = 16", "paths = [8, 16]"), "paths = ", "8, 16"),
    "list of lists for dt": (NETWORK.replace("dt = 0.01", "dt = [[0.01, 0.02]]"), "dt", "0.01, 0.02"),
    "table for dt": (NETWORK.replace("dt = 0.01", "dt = {a = 0.01}"), "dt = {'a': 0.01}", "number"),
    "table of observables": (NETWORK + "[run.observables]\nf = 3\n", "observables", "function"),
    "odd potential": (
        DYSON.replace("size = 4", 'size = 4\nenergy = {kind = "polynomial", coefficients = [0, 0, 1]}'),
        "coefficients = (0.0, 0.0, 1.0)",
        "even",
    ),
    "Dyson at kappa 3": (DYSON.replace("size = 4", "size = 4\nkappa = 3"), "kappa = 3", "<= 2", "collide"),
    "Dyson of width": (DYSON.replace("size", "width"), "size"),
    "Dyson in lambda": (DYSON + 'coordinates = "lambda"\n', "coordinates = 'lambda'", "eigenvalues"),
    "free Dyson": (DYSON.replace("size = 4", 'size = 4\nenergy = "none"'), "energy = 'none'", "no equilibrium"),
}


@pytest.mark.parametrize(("text", "pieces"), [(t, p) for t, *p in FILES.values()], ids=FILES)
def test_a_bad_study_file_is_told_in_one_line(text, pieces, dlnmc_command, nothing_is_computed, tmp_path):
    nothing_is_computed()
    (tmp_path / "study.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    one_line(dlnmc_command("study", "study.toml"), *pieces)
    assert [path.name for path in tmp_path.iterdir()] == ["study.toml"]


@pytest.mark.parametrize("name", ["nope", "nope.toml", "no/such/folder.toml", ".", "", "../", "Semicircle"])
def test_an_unknown_study_is_told_with_those_that_exist(name, dlnmc_command, nothing_is_computed):
    nothing_is_computed()
    one_line(dlnmc_command("study", name), "semicircle", "study")


@pytest.mark.parametrize("options", [[], ["--fresh"]], ids=["", "fresh"])
@pytest.mark.parametrize("output", ["folder", "", ".", "folder/..", "out.parts"])
def test_an_output_that_is_no_name_of_a_file_is_told_before_anything_is_computed(
    output, options, dlnmc_command, nothing_is_computed, tmp_path
):
    nothing_is_computed()
    (tmp_path / "tiny.toml").write_text(NETWORK)
    (tmp_path / "folder").mkdir()
    one_line(dlnmc_command("study", "tiny.toml", "-o", output, *options), output)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "tiny.toml"]


@pytest.mark.parametrize("output", ["a file/out.nc", "/proc/out.nc"])
def test_an_output_that_cannot_be_written_is_told_before_anything_is_computed(
    output, dlnmc_command, nothing_is_computed, tmp_path
):
    nothing_is_computed()
    (tmp_path / "tiny.toml").write_text(NETWORK)
    (tmp_path / "a file").touch()
    code, out, err = dlnmc_command("study", "tiny.toml", "-o", output)
    assert code in (1, 2)
    assert out == ""
    assert re.fullmatch(rf"dlnmc: {output[:-3]}.*\n", err), err


@pytest.mark.parametrize(
    ("arguments", "pieces"),
    [
        ("study", ["NAME|FILE.toml"]),
        ("plot", ["RESULT"]),
        ("report", ["RESULT"]),
        ("check", ["RESULT"]),
        ("studdy", ["studdy"]),
        ("--verbose", ["--verbose"]),
        ("report a b", ["b"]),
        ("report --xml a", ["--xml"]),
        ("bench --threads 0", ["threads = 0", "from 1 to"]),
        ("bench --threads two", ["--threads", "two", "integer"]),
        ("info --yaml", ["--yaml"]),
        ("warmup now", ["now"]),
    ],
)
def test_a_bad_command_is_told_in_one_line(arguments, pieces, dlnmc_command):
    one_line(dlnmc_command(*arguments.split()), *pieces)


@pytest.mark.parametrize("command", ["plot", "report", "check"])
def test_a_file_that_is_not_a_sound_result_is_told_in_one_line(command, result, dlnmc_command, tmp_path):
    sound = result.read_bytes()
    flipped = bytearray(sound)
    flipped[len(flipped) // 2] ^= 4
    xr.Dataset({"a": ("x", [1.0])}).to_netcdf(tmp_path / "other.nc", engine="netcdf4")
    contents = {
        "text.nc": b"hello",
        "nothing.nc": b"",
        "truncated.nc": sound[:-1000],
        "longer.nc": sound + b"\n",
        "flipped.nc": bytes(flipped),
        "half.nc": sound[: len(sound) // 2],
        "other.nc": (tmp_path / "other.nc").read_bytes(),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        one_line(dlnmc_command(command, name), name)
    one_line(dlnmc_command(command, "missing.nc"), "missing.nc", "No such file")
    one_line(dlnmc_command(command, tmp_path), str(tmp_path), "irectory")
    assert not list(tmp_path.glob("*.png"))


def test_any_flipped_bit_or_cut_is_noticed(result, tmp_path, refused):
    sound, chance = result.read_bytes(), random.Random(1)
    path = tmp_path / "damaged.nc"
    for _ in range(60):
        damaged = bytearray(sound)
        if chance.random() < 0.7:
            damaged[chance.randrange(len(sound))] ^= 1 << chance.randrange(8)
        else:
            del damaged[chance.randrange(len(sound)) :]
        path.write_bytes(damaged)
        refused(lambda: files.open(path), "damaged.nc")


@pytest.mark.parametrize("command", ["report", "check"])
def test_a_simulation_has_no_table_and_says_so(command, dlnmc_command, network_paths, tmp_path):
    files.save(network_paths, tmp_path / "paths.nc")
    one_line(dlnmc_command(command, "paths.nc"), "equilibrium")


@pytest.mark.parametrize("name", ["out.xyz", "out", "out.nc", "a file/out.png"])
def test_a_picture_that_cannot_be_written_is_told_in_one_line(name, result, dlnmc_command, tmp_path):
    before = result.read_bytes()
    (tmp_path / "a file").touch()
    one_line(dlnmc_command("plot", result, "-o", name), name)
    assert result.read_bytes() == before


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="lists open files as Linux does")
def test_an_opened_result_is_in_memory_and_its_file_is_closed(result):
    """A variable with the name of a group, /histogram/samples, is one that `xarray.load_datatree` does not read."""
    files.open(result)
    links = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
    assert str(result) not in links


# --- the other exit codes ---------------------------------------------------------------------------------------------


def test_a_run_that_fails_ends_with_1_in_one_line(dlnmc_command, tmp_path):
    (tmp_path / "tiny.toml").write_text(NETWORK)
    options = ["--quiet", "--threads", 1, "--set", "dt=10.0", "--set", "duration=1000.0", "--set", "depth=4"]
    ended = dlnmc_command("study", "tiny.toml", "-o", "out.nc", *options)
    assert ended.code == 1, ended
    assert re.fullmatch(r"dlnmc: .*non-finite.*path \d+.*step \d+.*dt.*\n", ended.err), ended.err
    assert not (tmp_path / "out.nc").exists()


def raising(error):
    def call(*arguments, **options):
        raise error

    return call


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (dlnmc.RunFailed("the run\nfailed"), 1, "the run failed"),
        (MemoryError(), 1, "out of memory"),
        (dlnmc.InvalidValue("bad\n value"), 2, "bad value"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (dlnmc.Interrupted("stopped; kept in x"), 130, "stopped; kept in x"),
    ],
)
def test_every_error_has_its_exit_code_and_one_line(error, code, text, dlnmc_command, monkeypatch):
    monkeypatch.setattr(runs, "study", raising(error))
    assert dlnmc_command("study", "semicircle") == (code, "", f"dlnmc: {text}\n")


def test_sigterm_ends_with_143_and_its_handler_is_gone_afterwards(dlnmc_command, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(runs, "study", lambda *a, **o: signal.raise_signal(signal.SIGTERM))
    assert dlnmc_command("study", "semicircle") == (143, "", "dlnmc: interrupted\n")
    assert signal.getsignal(signal.SIGTERM) is before


class Dying:
    """What is interrupted while it is collected as garbage, where Python drops exceptions."""

    def __init__(self, number):
        self.number = number

    def __del__(self):
        signal.raise_signal(self.number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_comes_where_python_drops_it_is_heard_again(number, dlnmc_command, monkeypatch):
    def run(*arguments, **options):
        Dying(number)
        time.sleep(60.0)

    monkeypatch.setattr(runs, "study", run)
    hook = sys.unraisablehook
    assert dlnmc_command("study", "semicircle") == (128 + number, "", "dlnmc: interrupted\n")
    assert sys.unraisablehook is hook


@pytest.mark.filterwarnings("ignore:Exception ignored:pytest.PytestUnraisableExceptionWarning")
def test_other_exceptions_that_python_drops_are_reported_as_ever(dlnmc_command, monkeypatch):
    found = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: found.append(what.exc_type))
    monkeypatch.setattr(Dying, "__del__", raising(ValueError("a bug")))
    monkeypatch.setattr(runs, "study", lambda *a, **o: Dying(0) and None)
    dlnmc_command("study", "semicircle")
    assert found == [ValueError]


def test_a_bug_is_not_hidden(dlnmc_command, monkeypatch):
    monkeypatch.setattr(runs, "study", raising(ZeroDivisionError("a bug")))
    with pytest.raises(ZeroDivisionError):
        dlnmc_command("study", "semicircle")


def test_a_reader_that_leaves_early_is_no_error(result):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "dlnmc", "report", result, "--json"]
    ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, "")


# --- what commands print ----------------------------------------------------------------------------------------------


def test_study_plot_report_check_in_an_empty_folder(dlnmc_command, tmp_path):
    tiny = ["width=8", "depth=[1,2]", "kappa=1.0", "ks=0.9", "trace=0.9", "spacing=0.5", "burn_in=6.0", "duration=0.1"]
    options = [word for change in tiny for word in ("--set", change)]
    assert dlnmc_command("study", "semicircle", "--paths", 32, "--quiet", *options) == (
        0,
        "results/semicircle.nc: complete\n",
        "",
    )
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")] == ["results/semicircle.nc"]
    assert dlnmc_command("plot", "results/semicircle.nc") == (0, "results/semicircle.png\n", "")
    assert (tmp_path / "results/semicircle.png").read_bytes().startswith(b"\x89PNG")
    assert dlnmc_command("plot", "results/semicircle.nc", "-o", "a.svg").out == "a.svg\n"
    code, out, _ = dlnmc_command("report", "results/semicircle.nc", "--json")
    assert code == 0
    assert [row["depth"] for row in json.loads(out)] == [1.0, 2.0]
    code, out, _ = dlnmc_command("report", "results/semicircle.nc")
    assert code == 0
    assert "KS to law" in out
    code, out, err = dlnmc_command("check", "results/semicircle.nc")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[-1] == f"{len(lines) - 1} passed, 0 failed"
    assert len(lines) > 12


LADDER = """\
[model]
kind = "deep_linear_network"
width = 6
depth = [1, 2]
beta = 6.0
kappa = 1.0
{energy}

[run]
paths = 96
dt = [0.01, 0.02, 0.04]
burn_in = 6.0
duration = 1.0
scheme = "euler_maruyama"
observables = ["effective_rank", "log_determinant"]
seed = 3

[study]
title = "Two depths, three steps"
trace = 0.05
"""


@pytest.mark.parametrize(
    "energy", ["", 'energy = {kind = "polynomial", coefficients = [0.2, 0.25]}'], ids=["quadratic", "polynomial"]
)
def test_a_sweep_of_ladders_with_observables_through_all_commands(energy, dlnmc_command, tmp_path):
    (tmp_path / "own.toml").write_text(LADDER.format(energy=energy))
    assert dlnmc_command("study", "own.toml", "-o", "own.nc", "--quiet") == (0, "own.nc: complete\n", "")
    assert dlnmc_command("study", "own.toml", "-o", "own.nc", "--quiet").code == 0  # complete: nothing is computed
    tree = dlnmc.open("own.nc")
    assert dict(tree["observables"].sizes) == {"depth": 2, "dt": 3, "path": 96}
    assert {"effective_rank", "log_determinant"} <= set(tree["extrapolated"].scalar.values)
    code, out, err = dlnmc_command("report", "own.nc")
    assert (code, err) == (0, "")
    assert not re.search(r"\bnan\b", out)
    lines = out.splitlines()
    own = ", polynomial energy (0.2, 0.25)" if energy else ""
    assert lines[0].startswith(f"Two depths, three steps{own} — euler_maruyama, seed 3")
    assert lines[1].startswith("stationary: ")
    rows = [line.split() for line in lines if line.split()[1:2] == ["6"]]
    assert [row[0] for row in rows] == ["1"] * 3 + ["2"] * 3
    assert sum(line.startswith("dt → 0, depth") for line in lines) == (2 if energy else 4)
    code, out, _ = dlnmc_command("report", "own.nc", "--json")
    found = json.loads(out, parse_constant=lambda constant: pytest.fail(constant))
    assert [(row["depth"], row["dt"]) for row in found] == [(d, dt) for d in (1.0, 2.0) for dt in (0.01, 0.02, 0.04)]
    code, out, _ = dlnmc_command("check", "own.nc")
    sentences = out.splitlines()[:-1]
    for depth in (1, 2):
        for dt in ("0.01", "0.02", "0.04"):
            own = [line for line in sentences if f"depth {depth}," in line and f"dt {dt}:" in line]
            assert len(own) == (3 if energy else 5)
    assert code == (3 if any(line.startswith("FAILED") for line in sentences) else 0)
    assert dlnmc_command("plot", "own.nc") == (0, "own.png\n", "")
    assert (tmp_path / "own.png").read_bytes().startswith(b"\x89PNG")
    one_line(dlnmc_command("study", "own.toml", "-o", "own.nc", "--set", "dt=[0.01, 0.02]"), "other settings")


def test_a_study_may_go_to_infinite_depth(dlnmc_command, tmp_path):
    text = NETWORK.replace("depth = [1, 2]", "depth = [2, inf]").replace("kappa = 1.0", "kappa = 0.2")
    (tmp_path / "own.toml").write_text(text.replace("[run]", 'clock = "depth"\n\n[run]'))
    assert dlnmc_command("study", "own.toml", "-o", "own.nc", "--quiet") == (0, "own.nc: complete\n", "")
    code, out, err = dlnmc_command("report", "own.nc")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[-2:]] == ["2", "inf"]
    assert [row["width"] for row in json.loads(dlnmc_command("report", "own.nc", "--json").out)] == [6, 6]
    assert dlnmc_command("check", "own.nc").out.count("depth inf,") >= 4
    assert dlnmc_command("plot", "own.nc").code == 0


def test_accuracy_is_a_setting_like_others(dlnmc_command, tmp_path):
    left_open = ("dt = 0.01\n", "duration = 0.1\n", "observations = 4\n")
    (tmp_path / "own.toml").write_text("".join(line for line in NETWORK.splitlines(True) if line not in left_open))
    line = ["study", "own.toml", "-o", "own.nc", "--quiet", "--set", "accuracy=0.02", "--set", "burn_in=6.0"]
    assert dlnmc_command(*line).code == 0
    assert json.loads(dlnmc.open("own.nc").attrs["config"])["run"]["accuracy"] == 0.02
    rows = json.loads(dlnmc_command("report", "own.nc", "--json").out)
    assert all(row["trace_error"] < 0.04 for row in rows)  # of 16 paths


def test_a_progress_bar_goes_to_stderr_unless_quiet(dlnmc_command, tmp_path):
    (tmp_path / "tiny.toml").write_text(NETWORK)
    code, out, err = dlnmc_command("study", "tiny.toml")
    assert (code, out) == (0, "results/tiny.nc: complete\n")
    assert "100%" in err
    assert "interactions/s" in err


def test_help_and_version(dlnmc_command):
    code, out, err = dlnmc_command("--help")
    assert (code, err) == (0, "")
    for name in ("study", "plot", "report", "check", "bench", "info", "schema", "warmup"):
        assert f"\n  {name} " in out
        code, own, _ = dlnmc_command(name, "-h")
        assert code == 0
        assert own.startswith(f"Usage: dlnmc {name}")
    assert dlnmc_command().out == out
    assert dlnmc_command("--version") == (0, f"dlnmc, version {dlnmc.__version__}\n", "")


def test_info(dlnmc_command):
    code, out, _ = dlnmc_command("info", "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts == information.facts()
    assert facts["dlnmc"] == dlnmc.__version__
    assert facts["packages"]["numpy"] == np.__version__
    assert facts["studies"] == studies.names()
    assert {"dyson", "semicircle"} <= set(studies.names())
    code, out, _ = dlnmc_command("info")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == list(facts)


def test_a_missing_package_is_a_fact(monkeypatch):
    monkeypatch.setattr(information, "PACKAGES", ("numpy", "no-such-package"))
    assert information.facts()["packages"]["no-such-package"] == "not installed"


def test_bench(dlnmc_command, monkeypatch):
    measured = {"normals_per_second": 1e8, "kernels": []}
    monkeypatch.setattr(benchmarks, "measure", lambda threads: measured | {"threads": threads})
    assert json.loads(dlnmc_command("bench", "--json").out) == measured | {"threads": None}
    assert json.loads(dlnmc_command("bench", "--json", "--threads", 3).out) == measured | {"threads": 3}
    assert dlnmc_command("bench").out.startswith("normals  100 M/s")


# --- what is not imported ---------------------------------------------------------------------------------------------

HEAVY = ["numba", "numpy", "xarray", "netCDF4", "pydantic", "matplotlib", "scipy"]


@pytest.mark.parametrize(
    "code",
    [
        "import dlnmc",
        "import dlnmc; dir(dlnmc)",
        "from dlnmc.cli import main; main(['--help'])",
        "from dlnmc.cli import main; main(['study', '--help'])",
        "from dlnmc.cli import main; main(['--version'])",
    ],
)
def test_nothing_heavy_is_imported_for_help(code):
    show = f"{code}; import sys; print('loaded:', *(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1].strip() == "loaded:"


def test_a_run_imports_no_more_than_it_needs():
    """These take as long to import as the rest of SciPy together; the time to the first step is seen by every user."""
    late = [
        "matplotlib",
        "netCDF4",
        *(f"scipy.{name}" for name in ("fft", "integrate", "interpolate", "optimize", "special", "stats")),
    ]
    show = f"import dlnmc.simulation, sys; print('loaded:', *(name for name in {late} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1].strip() == "loaded:"


def test_every_public_name_exists_and_others_do_not():
    for name in dlnmc.__all__:
        assert getattr(dlnmc, name) is not None
    assert set(dlnmc.__all__) <= set(dir(dlnmc))
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        dlnmc.nothing_of_the_kind  # noqa: B018
