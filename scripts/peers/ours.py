"""dlnmc by its public `simulate`, with all that it does around its kernels: taming, order, counters, labels."""

import itertools

import numpy as np

import dlnmc

LABEL = "dlnmc"
HOW = "simulate"
MODELS = ("dyson", "dln")


def stepper(problem, threads):
    seeds = itertools.count()

    def advance(x, steps, noise):
        assert noise == problem.noise  # a model without noise is another model here
        run = {"paths": len(x), "dt": problem.dt, "times": [steps * problem.dt], "threads": threads}
        if problem.kind == "dyson":
            data = dlnmc.simulate(problem.model, start=x, seed=next(seeds), **run)
            return data["eigenvalues"].values[:, 0]
        data = dlnmc.simulate(problem.model, start=np.sort(np.abs(x))[:, ::-1] ** 2, seed=next(seeds), **run)
        return np.sqrt(data["singular_values"].values[:, 0])

    return advance
