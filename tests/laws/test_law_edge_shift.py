"""The edge at finite width: against Wishart matrices, and against exact draws of the largest singular value."""

import numpy as np
import pytest

import dlnmc
from dlnmc import laws


@pytest.mark.parametrize("kappa", [0.3, 1.0, 4.0])
def test_at_depth_one_it_is_that_of_square_wishart_matrices(kappa):
    assert laws.edge_shift(1.0, kappa) == pytest.approx(-0.5, abs=1e-9)


@pytest.mark.parametrize("depth", [1.5, 2.0, 5.0, 40.0])
def test_at_kappa_one_half_it_is_that_of_wishart_matrices(depth):
    """n = d − 1 + 1/N columns: (√(n − ½) + √(d − ½))² = 4d (1 − (1 − 1/(2N))/d + …)."""
    assert laws.edge_shift(depth, 0.5) == pytest.approx(0.5 / depth - 1.0, abs=1e-9)


def test_it_is_continuous_where_other_classes_of_laws_begin():
    for depth, kappa in ((3.0, 0.5), (3.0, 1.0), (1.0, 2.0)):
        near = laws.edge_shift(depth * (1.0 + 1e-7), kappa * (1.0 + 1e-7))
        assert near == pytest.approx(laws.edge_shift(depth, kappa), abs=1e-5)
    assert laws.edge_shift(1e7, 1.0) == pytest.approx(laws.edge_shift(np.inf, 1.0), abs=1e-3)


def test_a_gap_is_refused(refused):
    refused(lambda: laws.edge_shift(3.0, 0.3), "kappa = 0.3", "0.5", "depth 3")


def test_centred_by_it_the_largest_singular_value_has_no_term_in_d_to_minus_one_third():
    """Exact draws at widths 32 … 256: the term is within 4 errors of 0; without the shift it is far from it."""
    model = dlnmc.DeepLinearNetwork(width=32, depth=3.0, beta=32.0, kappa=0.5)
    law, shift = laws.of(model), laws.edge_shift(3.0, 0.5)
    terms = {}
    for name, c in (("centred", shift), ("not centred", 0.0)):
        means, errors, rows = [], [], []
        for width, paths in ((32, 60000), (64, 30000), (128, 12000), (256, 4000)):
            drawn = dlnmc.exact(model.changed(width=width, beta=float(width)), paths=paths, seed=width)
            scaled = laws.at_soft_edge(drawn["singular_values"].sel(rank=1).to_numpy(), law, width, c)
            means.append(np.mean(scaled) - laws.tracy_widom(1).mean())
            errors.append(np.std(scaled) / np.sqrt(paths))
            rows.append([width ** (-1 / 3), width ** (-2 / 3)])
        design, weight = np.array(rows), 1.0 / np.array(errors)
        covariance = np.linalg.inv((design * weight[:, None] ** 2).T @ design)
        found = covariance @ (design * weight[:, None] ** 2).T @ np.array(means)
        terms[name] = found[0], np.sqrt(covariance[0, 0])
    value, error = terms["centred"]
    assert abs(value) < 4.0 * error
    value, error = terms["not centred"]
    assert abs(value) > 8.0 * error
