"""Limits of large sizes by powers: exact where values are, with errors that are right where they are noisy."""

import numpy as np
import pytest

from dlnmc import statistics

X = np.array([8.0, 16.0, 32.0, 64.0])


def test_it_finds_what_values_are_made_of():
    values = np.stack([2.0 + 3.0 / X - 5.0 / X**2, -1.0 + 0.5 / X + 0.0 * X], axis=1)
    found = statistics.at_infinity(X, values, np.full(values.shape, 1e-3), (1.0, 2.0))
    np.testing.assert_allclose(found.limit, [2.0, -1.0], atol=1e-9)
    np.testing.assert_allclose(found.factors, [[3.0, 0.5], [-5.0, 0.0]], atol=1e-6)
    np.testing.assert_allclose(found.at(X), values, atol=1e-9)
    np.testing.assert_allclose(found.residuals, 0.0, atol=1e-9)
    assert found.misfit.shape == (2,)


def test_errors_are_those_of_repeated_measurements():
    """Over 20,000 of them: the standard deviation is known to 0.5 %, the mean of χ² over one to 1 %."""
    rng = np.random.default_rng(1)
    error = np.array([0.01, 0.02, 0.015, 0.03])[:, None]
    values = 1.0 + 2.0 * X[:, None] ** (-2.0 / 3.0) + error * rng.standard_normal((4, 20_000))
    found = statistics.at_infinity(X, values, np.broadcast_to(error, values.shape), (2.0 / 3.0,))
    assert np.std(found.limit) == pytest.approx(found.error[0], rel=0.03)
    assert abs(np.mean(found.limit) - 1.0) < 5.0 * found.error[0] / np.sqrt(20_000)
    np.testing.assert_allclose(found.residuals.std(axis=1), found.residual_errors[:, 0], rtol=0.03)
    assert np.mean(found.misfit) == pytest.approx(1.0, abs=0.05)
    other = statistics.at_infinity(X, values, np.broadcast_to(error, values.shape), (2.0,))
    assert abs(np.mean(other.limit) - 1.0) > 5.0 * other.error[0]  # another power leads elsewhere


def test_as_many_points_as_unknowns_leave_no_misfit():
    found = statistics.at_infinity(X[:2], [1.0, 1.5], [0.1, 0.1], (1.0,))
    assert float(found.limit) == pytest.approx(2.0)
    assert float(found.error) == pytest.approx(0.1 * np.sqrt(5.0))
    assert np.isnan(found.misfit)


@pytest.mark.parametrize(
    ("x", "values", "errors", "powers", "piece"),
    [
        (X[:1], [1.0], [0.1], (1.0,), "needs 2 different x"),
        (X[[0, 0]], [1.0, 1.0], [0.1, 0.1], (1.0,), "needs 2 different x"),
        (-X, X, X, (1.0,), "x > 0"),
        (X, X, X, (1.0, 1.0), "powers"),
        (X, X, X, (0.0,), "powers"),
        (X, X, 0.0 * X, (1.0,), "error > 0"),
        (X, X, X[:2], (1.0,), "error > 0"),
    ],
)
def test_what_leads_to_no_limit_is_refused(x, values, errors, powers, piece, refused):
    refused(lambda: statistics.at_infinity(x, values, errors, powers), piece)
