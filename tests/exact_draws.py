"""Exact draws without any SDE, made with NumPy: for tests of generator identities.

Singular values and eigenvalues (path, component) from Gaussian matrices, bidiagonal and tridiagonal models, and by
rejection from the density of the model page; whole matrices (path, d, d) from these. Each takes a model, a number of
paths and a generator of random numbers.
"""

import math

import numpy as np

import dlnmc


def is_network(model):
    return isinstance(model, dlnmc.DeepLinearNetwork)


def gaussian_matrices(model, paths, rng):
    """Depth 1, quadratic energy."""
    entries = rng.normal(scale=math.sqrt(model.kappa / model.beta), size=(paths, model.width, model.width))
    return np.linalg.svd(entries, compute_uv=False)


def bidiagonal(model, paths, rng):
    """κ = ½, quadratic energy, any depth."""
    d = model.width
    B = np.zeros((paths, d, d))
    B[:, range(d), range(d)] = np.sqrt(rng.chisquare(1 / model.depth + np.arange(d - 1, -1, -1), (paths, d)))
    B[:, range(1, d), range(d - 1)] = np.sqrt(rng.chisquare(np.arange(d - 1, 0, -1), (paths, d - 1)))
    return np.linalg.svd(B / math.sqrt(2 * model.beta), compute_uv=False)


def tridiagonal(model, paths, rng):
    """Dyson, quadratic potential."""
    d = model.size
    H = np.zeros((paths, d, d))
    H[:, range(d), range(d)] = rng.normal(size=(paths, d))
    off = np.sqrt(rng.chisquare(2 / model.kappa * np.arange(d - 1, 0, -1), (paths, d - 1)) / 2)
    H[:, range(1, d), range(d - 1)] = off
    return np.linalg.eigvalsh(H) * math.sqrt(model.kappa / model.beta)


def rejected(log_density, propose, paths, rng):
    """Samples of exp(log_density) by rejection from `propose(count)`, which returns points and their log density."""
    points, log_proposed = propose(200_000)
    bound = np.max(log_density(points) - log_proposed) + 0.2
    kept, count = [], 0
    while count < paths:
        points, log_proposed = propose(400_000)
        log_ratio = log_density(points) - log_proposed - bound
        assert np.max(log_ratio) < 0.0
        kept.append(points[np.log(rng.uniform(size=len(points))) < log_ratio])
        count += len(kept[-1])
    return np.concatenate(kept)[:paths]


def log_repulsion(y, inner, c):
    """log Π |y_i − y_j|^c |inner_i − inner_j|^{1−c}."""
    i, j = np.triu_indices(y.shape[-1], 1)
    return np.sum(c * np.log(abs(y[:, i] - y[:, j])) + (1 - c) * np.log(abs(inner[:, i] - inner[:, j])), axis=-1)


def by_dilation(model, paths, rng):
    """Quadratic energy, any κ and finite depth: Tr WᵀW is Gamma and independent of the ratios of the λ_k."""
    N, d, c = model.depth, model.width, 1 / (2 * model.kappa)
    shape = (d + d * (d - 1) * (N * c + 1 - c)) / (2 * N)

    def propose(count):
        return np.column_stack([np.ones(count), rng.uniform(size=(count, d - 1))]), 0.0

    def log_density(r):
        return log_repulsion(r ** (2 * N), r**2, c) - shape * np.log(np.sum(r ** (2 * N), axis=-1))

    r = rejected(log_density, propose, paths, rng)
    trace = rng.gamma(shape, 2 * model.kappa / model.beta, (paths, 1))
    return r**N * np.sqrt(trace / np.sum(r ** (2 * N), axis=-1, keepdims=True))


def by_dilation_at_infinite_depth(model, paths, rng):
    """The same for three z_k = log σ_k, the largest 0, whose gaps have the tails e^{−2cu} and v^{2(1−c)} at worst."""
    c = 1 / (2 * model.kappa)

    def propose(count):
        u, v = rng.exponential(0.5, count), rng.pareto(2.0, count)
        return np.column_stack([np.zeros(count), -u, -u - v]), -2 * u - 3 * np.log1p(v)

    def log_density(z):
        y = np.exp(2 * z)
        return log_repulsion(y, z, c) - 3 * c * np.log(np.sum(y, axis=-1))

    z = rejected(log_density, propose, paths, rng)
    trace = rng.gamma(3 * c, 2 * model.kappa / model.beta, (paths, 1))
    return np.exp(z) * np.sqrt(trace / np.sum(np.exp(2 * z), axis=-1, keepdims=True))


def in_a_box(model, paths, rng):
    """Any energy: λ in [0, 3]^d, or eigenvalues in [−6, 6]^d, beyond which the density is nil."""
    c = 1 / (2 * model.kappa)
    N = model.depth if is_network(model) else 1.0
    low, high = (0.0, 3.0) if is_network(model) else (-6.0, 6.0)

    def propose(count):
        return rng.uniform(low, high, (count, model.size)), 0.0

    def log_density(u):
        energy = model.beta / model.kappa * np.sum(model.potential(u**N if is_network(model) else u), axis=-1)
        repulsion = log_repulsion(u ** (2 * N), u**2, c) if is_network(model) else log_repulsion(u, u, 0) * 4 * c
        return repulsion - energy

    u = rejected(log_density, propose, paths, rng)
    return u**N if is_network(model) else u


def gamma(model, paths, rng):
    """Width 1."""
    return np.sqrt(rng.gamma(1 / (2 * model.depth), 2 * model.kappa / model.beta, (paths, 1)))


def haar(sigma, rng):
    """W (path, d, d) of these singular values, with independent frames of Haar's law: both signs of det W."""
    Q, R = np.linalg.qr(rng.normal(size=(2, *sigma.shape, sigma.shape[-1])))
    left, right = Q * np.sign(np.einsum("...ii->...i", R))[..., None, :]
    return (left * sigma[:, None, :]) @ np.swapaxes(right, 1, 2)


def matrices(sampler, model, confinement, paths, rng):
    """W (path, d, d) for energies that exceed ½ c |W|², by rejection from singular values that `sampler` draws for it.

    The density is that of ½ c |W|² times exp(−(β/κ)(E − ½ c |W|²)): det W = 0 is as hard, or easy, for both.
    """
    kept, count = [], 0
    while count < paths:
        wide = model.changed(energy="quadratic", beta=confinement * model.beta)
        W = haar(sampler(wide, paths, rng), rng)
        excess = energy_of(model, W) - 0.5 * confinement * np.sum(W**2, axis=(1, 2))
        assert np.min(excess) > -1e-12
        kept.append(W[rng.exponential(size=paths) > model.beta / model.kappa * excess])
        count += len(kept[-1])
    return np.concatenate(kept)[:paths]


def energy_of(model, W):
    """E(W) (path,)."""
    if not model.energy.invariant:
        return model.energy.value(W)
    return model.potential(np.linalg.svd(W, compute_uv=False)).sum(axis=-1)


def gaussian(model, paths, rng):
    """W (path, d, d) at depth 1 for quadratic energies: mean and covariance of its d² entries by their gradients."""
    d, energy = model.width, model.energy
    unit = np.eye(d * d).reshape(-1, d, d)
    hessian = (energy.gradient(unit) - energy.gradient(np.zeros((d, d)))).reshape(d * d, -1)
    spread = np.linalg.cholesky(np.linalg.inv(hessian) * model.kappa / model.beta)
    return energy.minimiser(d) + (rng.normal(size=(paths, d * d)) @ spread.T).reshape(-1, d, d)
