"""Nanoseconds per pair of whole steps, and per normal, on one thread: less is better, which is what asv expects."""

from dlnmc import benchmarks

CASES = {
    f"{model.kind} {state} {model.size} depth {getattr(model, 'depth', 1):g}": (model, state, scheme)
    for model, state, scheme in benchmarks.cases()
}


class Kernels:
    """One row of `dlnmc bench` for each case."""

    params = tuple(CASES)
    param_names = ("case",)
    timeout = 600  # the first run compiles
    unit = "ns"

    def track_nanoseconds_per_pair(self, case):
        return 1e9 / benchmarks.row(*CASES[case], 1)["pairs_per_second"]


def track_nanoseconds_per_normal():
    return 1e9 / benchmarks.normals_per_second()


track_nanoseconds_per_normal.unit = "ns"
track_nanoseconds_per_normal.timeout = 600
