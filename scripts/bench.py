"""Ratios of speeds, each the median over eleven pairs of measurements that alternate.

normals     our normals against NumPy's default_rng().standard_normal, one thread
matrices    steps of whole matrices at depth 3 against vectorised NumPy with batched numpy.linalg.svd, one thread
threads     two threads of one process against two processes with one thread each, whole Dyson steps
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

import numpy as np

from dlnmc import benchmarks
from dlnmc.models import DeepLinearNetwork, DysonBrownianMotion

PAIRS = 11


def alternate(first, second):
    """The median of first()/second() over pairs, and all the ratios."""
    ratios = [first() / second() for _ in range(PAIRS)]
    return {"median": round(statistics.median(ratios), 3), "ratios": [round(r, 3) for r in ratios]}


def numpy_normals():
    """Standard normals per second, into memory that stays in cache."""
    generator, out = np.random.default_rng(0), np.empty(16384)
    began, repeats = time.perf_counter(), 0
    while time.perf_counter() - began < 0.2:
        generator.standard_normal(out=out)
        repeats += 1
    return out.size * repeats / (time.perf_counter() - began)


def dyson_rate(size, threads):
    """Path steps per second of whole Euler–Maruyama steps, over one second."""
    model = DysonBrownianMotion(size=size, beta=float(size))
    return benchmarks.path_steps_per_second(model, "eigenvalues", "euler_maruyama", threads, 1.0)


def matrix_rate(width):
    """Path steps per second of matrices at depth 3, one thread."""
    model = DeepLinearNetwork(width=width, depth=3.0, beta=float(width))
    return benchmarks.path_steps_per_second(model, "matrix", "euler_maruyama", 1, 0.5)


def numpy_matrix_rate(width, paths=512, beta=None, dt=1e-3):
    """The same with NumPy: a step of (12.12) at κ = 1, with the normals of a fixed frame."""
    beta = beta or float(width)
    generator = np.random.default_rng(0)
    W = generator.standard_normal((paths, width, width)) / np.sqrt(2.0 * width)
    z, diagonal = np.empty_like(W), np.arange(width)
    began, repeats = time.perf_counter(), 0
    while time.perf_counter() - began < 0.5:
        left, sigma, right = np.linalg.svd(W)
        x = np.cbrt(sigma) ** 2
        x_k, x_l = x[:, :, None], x[:, None, :]
        a = x_k * x_k + x_k * x_l + x_l * x_l
        slopes = (2.0 * x_k + x_l) / a
        slopes[:, diagonal, diagonal] = 0.0
        drift = -a[:, diagonal, diagonal] * sigma + (sigma * slopes.sum(axis=2) + 2.0 * np.sqrt(x)) / beta
        generator.standard_normal(out=z)
        step = np.sqrt(a * (2.0 * dt / beta)) * (left.transpose(0, 2, 1) @ z @ right.transpose(0, 2, 1))
        step[:, diagonal, diagonal] += drift * dt
        W += left @ step @ right
        repeats += 1
    assert np.all(np.isfinite(W))
    return paths * repeats / (time.perf_counter() - began)


class Worker:
    """A process that measures one thread when told to."""

    def __init__(self, size):
        command = [sys.executable, __file__, "--serve", str(size)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self):
        self.process.stdin.write("measure\n")
        self.process.stdin.flush()

    def answer(self):
        return float(self.process.stdout.readline())


def two_processes(workers):
    for worker in workers:
        worker.ask()
    return sum(worker.answer() for worker in workers)


def serve(size):
    for _ in sys.stdin:
        print(dyson_rate(size, 1), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64, help="number of particles (default 64)")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(options.serve)
    result = {"normals against NumPy": alternate(benchmarks.normals_per_second, numpy_normals)}
    for width in benchmarks.WIDTHS:
        key = f"matrices of width {width} against NumPy"
        result[key] = alternate(lambda width=width: matrix_rate(width), lambda width=width: numpy_matrix_rate(width))
    workers = [Worker(options.size), Worker(options.size)]
    two_processes(workers)
    dyson_rate(options.size, 2)
    key = f"two threads against two processes, Dyson {options.size}"
    result[key] = alternate(lambda: dyson_rate(options.size, 2), lambda: two_processes(workers))
    for worker in workers:
        worker.process.stdin.close()
        worker.process.wait()
    print(json.dumps(result, indent=1))
    return None


if __name__ == "__main__":
    main()
