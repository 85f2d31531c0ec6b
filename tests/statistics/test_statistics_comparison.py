"""Differences between independent sets of paths, one scalar or a table."""

import math

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from dlnmc.statistics import compare, difference


def test_the_difference_and_its_error(rng):
    a, b = rng(1).normal(1.0, 2.0, size=40), rng(2).normal(0.0, 0.5, size=90)
    found = difference(a, np.append(b, np.nan))
    assert found.estimate.value == pytest.approx(a.mean() - b.mean(), rel=1e-14)
    assert found.estimate.error == pytest.approx(math.hypot(stats.sem(a), stats.sem(b)), rel=1e-14)
    assert found.z == found.estimate.value / found.estimate.error
    assert found.z == pytest.approx(stats.ttest_ind(a, b, equal_var=False).statistic, rel=1e-12)
    assert difference(np.ones(3), np.ones(2)).z == 0.0


def test_z_is_standard_for_equal_means(rng):
    """2,000 differences, 200 paths a set: their mean square is 1 within five standard errors of χ² (6e-7)."""
    chance = rng()
    z = [difference(chance.exponential(size=200), chance.exponential(size=200)).z for _ in range(2000)]
    assert np.mean(np.square(z)) == pytest.approx(1.0 + 2.0 / 200, abs=5.0 * math.sqrt(2.0 / 2000))


def test_a_table_of_what_is_in_common(rng):
    chance = rng()
    a = xr.Dataset({name: ("path", chance.normal(size=500)) for name in ("trace", "largest", "ratio")})
    b = {"largest": chance.normal(size=400), "trace": chance.normal(size=400), "other": np.ones(400)}
    table = compare(a, b, false_alarm=1e-6)
    assert table.scalar.values.tolist() == ["trace", "largest"]
    for name in ("trace", "largest"):
        row, expected = table.sel(scalar=name), difference(a[name], b[name])
        assert (float(row.difference), float(row.difference_error)) == expected.estimate
        assert float(row.z) == expected.z
        assert float(row.mean_a) == pytest.approx(float(a[name].mean()))
        assert float(row.mean_b_error) == pytest.approx(stats.sem(b[name]))
    assert bool(table.agrees)
    assert table.attrs["threshold"] == pytest.approx(stats.t.isf(1e-6 / 4, 399))
    assert np.all((table.allowed_z >= table.attrs["threshold"]) & (table.allowed_z < 1.1 * table.attrs["threshold"]))
    control = compare(a, b | {"trace": b["trace"] + 0.6}, false_alarm=1e-6)  # nine errors
    assert not bool(control.agrees)


def test_means_of_skewed_values_are_not_judged_by_few_paths(rng):
    """A Gamma law of shape 0.05: 20 paths miss its tail, and lie beyond the threshold in one repetition of eight.

    Of 100 they are at least two, with probability 1 − 3e-5; 5,000 paths in both sets know enough to be judged.
    """
    chance, beyond = rng(), 0
    for _ in range(100):
        table = compare({"x": chance.gamma(0.05, size=5000)}, {"x": chance.gamma(0.05, size=20)}, false_alarm=1e-6)
        assert bool(table.agrees)
        assert np.isinf(table.allowed_z.values).all()
        beyond += abs(float(table.z[0])) > table.attrs["threshold"]
    assert beyond >= 2
    a, b, c = (chance.gamma(0.05, size=20_000) for _ in range(3))
    right, wrong = (compare({"x": a}, {"x": other}, false_alarm=1e-6) for other in (b, 1.5 * c))
    assert right.attrs["threshold"] < float(right.allowed_z[0]) < 1.2 * right.attrs["threshold"]
    assert bool(right.agrees)
    assert not bool(wrong.agrees)


def test_bad_input_is_refused(refused):
    refused(lambda: compare({"a": [1.0, 2.0]}, {"b": [1.0, 2.0]}), "a", "b", "in common")
    refused(lambda: compare({"a": np.ones((3, 2))}, {"a": np.ones((3, 2))}), "a", "one number per path")
    refused(lambda: difference([1.0], [1.0, 2.0]), "1 of 1 paths")
