"""torchsde: `sdeint` with the method "euler", diagonal noise and a `BrownianInterval` told its step, in float64.

Without gradients. Its documentation's "speed over memory", `cache_size=None`, is no faster here, and takes gigabytes.
"""

import itertools
import math

import torch
import torchsde

from peers import REACH

LABEL = "torchsde"
HOW = "sdeint"
MODELS = ("dyson",)


class Dyson(torch.nn.Module):
    noise_type, sde_type = "diagonal", "ito"

    def __init__(self, problem):
        super().__init__()
        self.beta, self.limit, self.noise = problem.beta, REACH / problem.dt, problem.noise
        self.same = torch.eye(problem.size, dtype=torch.bool)

    def f(self, t, x):
        gaps = (x[:, :, None] - x[:, None, :]).masked_fill_(self.same, math.inf)
        return (2.0 / self.beta * gaps.reciprocal_().sum(dim=2) - x).clamp(-self.limit, self.limit)

    def g(self, t, x):
        return torch.full_like(x, self.noise)


def stepper(problem, threads):
    torch.set_num_threads(threads)
    sde, seeds = Dyson(problem), itertools.count()

    @torch.no_grad()
    def advance(x, steps, noise):
        sde.noise = noise
        ends = torch.tensor([0.0, steps * problem.dt], dtype=torch.float64)
        path = torchsde.BrownianInterval(
            ends[0], ends[1], size=x.shape, dtype=torch.float64, entropy=next(seeds), dt=problem.dt
        )
        return torchsde.sdeint(sde, torch.from_numpy(x), ends, bm=path, method="euler", dt=problem.dt)[-1].numpy()

    return advance
