"""A process that measures when told to: `python -m peers NAME THREADS [CORE]`, a JSON object on every line, to and fro.

A process of its own for every peer: pools of threads of several packages in one process would be in each other's way.
"""

import contextlib
import json
import os
import sys
from importlib import metadata

DISTRIBUTIONS = {"ours": "dlnmc", "kernels": "dlnmc"}


def prepare(threads, cores):
    """Before anything else is imported. A core is enforced, since not every package can be told how many to use."""
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={threads}"
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = str(threads)


def answers(name, threads, questions):
    """An object for each: first what is there, then for {kind, size, seconds} the rate in path steps per second."""
    import peers

    try:
        module = peers.load(name)
    except ImportError as error:
        yield {"absent": str(error)}
        return
    package = name.partition("_")[0]
    yield {
        "label": module.LABEL,
        "how": module.HOW,
        "models": module.MODELS,
        "version": metadata.version(DISTRIBUTIONS.get(name, package)),
    }
    watches = {}
    for question in questions:
        problem = peers.Problem(question["kind"], question["size"])
        try:
            if problem not in watches:
                watches[problem] = peers.Stopwatch(name, problem, threads)
            watch = watches[problem]
            yield {"rate": watch.rate(question["seconds"]), "paths": watch.problem.paths}
        except Exception as error:  # named in the table, whatever it is; the others go on
            yield {"failed": f"{type(error).__name__}: {error}".partition("\n")[0]}


def main():
    name, threads, *cores = sys.argv[1], *map(int, sys.argv[2:])
    prepare(threads, cores)
    out = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # what packages print is no answer
        for answer in answers(name, threads, map(json.loads, sys.stdin)):
            print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main()
