"""Our kernels alone, on few paths that stay in cache: a worker, and no peer."""

from dlnmc import benchmarks

LABEL = "kernels of dlnmc"
HOW = "kernels alone"
MODELS = ("dyson", "dln")


def rate(problem, seconds, threads):
    """Path steps per second of whole Euler–Maruyama steps, with order and a histogram every 64 steps."""
    state = "eigenvalues" if problem.kind == "dyson" else "singular_values"
    return benchmarks.path_steps_per_second(problem.model, state, "euler_maruyama", threads, seconds)
