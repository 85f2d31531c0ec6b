"""The pair sum by hand in C++, reference.cpp, where a compiler and AVX-512 are found."""

import json
import os
import pathlib
import shutil
import subprocess

SOURCE = pathlib.Path(__file__).with_name("reference.cpp")
FLAGS = ("-O3", "-march=native", "-std=c++17")


class Absent(Exception):
    """No compiler here, or no AVX-512."""


def compiler():
    """The compiler's command and the first line of its version."""
    for name in filter(None, (os.environ.get("CXX"), "g++", "clang++")):
        if shutil.which(name):
            said = subprocess.run([name, "--version"], capture_output=True, text=True, check=False).stdout
            return name, said.partition("\n")[0]
    raise Absent("no C++ compiler here")


def built(folder):
    """The program, compiled into this folder."""
    name, _ = compiler()
    program = pathlib.Path(folder) / "reference"
    done = subprocess.run([name, *FLAGS, SOURCE, "-o", program], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Absent("no AVX-512 here" if "target" in done.stderr else "it does not compile")
    return program


def rates(program, seconds):
    """Its rows: size, reciprocal, pairs_per_second of one core, error; about `seconds` for each."""
    done = subprocess.run([program, str(seconds)], capture_output=True, text=True, check=True, timeout=600)
    return [json.loads(line) for line in done.stdout.splitlines()]
