"""NumPy for what is no pair sum: normals, and steps of whole matrices with batched `numpy.linalg.svd`, one thread."""

import time

import numpy as np

SECONDS, REPETITIONS = 0.2, 3  # as dlnmc.benchmarks measures ours
DT = 1e-3


def normals():
    """Standard normals per second, into memory that stays in cache; the best of several runs."""
    generator, out = np.random.default_rng(0), np.empty(16384)
    rates = [calls_per_second(lambda: generator.standard_normal(out=out), SECONDS) for _ in range(REPETITIONS)]
    return out.size * max(rates)


def matrices(width, paths=512, seconds=0.5):
    """Path steps per second at depth 3, κ = 1, β = d: (12.12) with the normals of a fixed frame."""
    generator, beta = np.random.default_rng(0), float(width)
    W = generator.standard_normal((paths, width, width)) / np.sqrt(2.0 * width)
    z, diagonal = np.empty_like(W), np.arange(width)

    def step():
        left, sigma, right = np.linalg.svd(W)
        x = np.cbrt(sigma) ** 2
        x_k, x_l = x[:, :, None], x[:, None, :]
        a = x_k * x_k + x_k * x_l + x_l * x_l
        slopes = (2.0 * x_k + x_l) / a
        slopes[:, diagonal, diagonal] = 0.0
        drift = -a[:, diagonal, diagonal] * sigma + (sigma * slopes.sum(axis=2) + 2.0 * np.sqrt(x)) / beta
        generator.standard_normal(out=z)
        move = np.sqrt(a * (2.0 * DT / beta)) * (left.transpose(0, 2, 1) @ z @ right.transpose(0, 2, 1))
        move[:, diagonal, diagonal] += drift * DT
        np.add(W, left @ move @ right, out=W)

    rate = paths * calls_per_second(step, seconds)
    if not np.all(np.isfinite(W)):
        raise ValueError(f"matrices of width {width}: not finite")
    return rate


def calls_per_second(call, seconds):
    began, repeats = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        call()
        repeats += 1
    return repeats / (time.perf_counter() - began)
