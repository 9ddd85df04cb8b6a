"""Sketches: errors within what is promised, and hashes that stay."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from pipelinekit.measures.approx_count_distinct import MEASURE as DISTINCT
from pipelinekit.measures.approx_quantile import ApproxQuantile
from pipelinekit.types import FLOAT, INT, STRING, Type
from tests.measures.kit import merged


@pytest.mark.parametrize(("count", "within"), [(0, 0), (1, 0), (100, 0.01), (10_000, 0.02),
                                               (1_000_000, 0.02)])  # fmt: skip
@pytest.mark.parametrize("kind", [INT, STRING], ids=str)
def test_distinct_count_is_within_its_bound(kind: Type, count: int, within: float) -> None:
    if kind == STRING and count > 10_000:
        pytest.skip("texts have the same registers, and hashing a million takes a second")
    numbers = pl.Series(np.arange(count, dtype=np.int64) * 7 - 3)
    values = numbers if kind == INT else numbers.cast(pl.String)
    _, result = merged(DISTINCT, kind, [values, values])
    assert abs(result - count) <= within * count


def test_distinct_counts_of_95_in_100_sets_are_within_2_percent() -> None:
    errors = []
    for trial in range(100):
        values = pl.Series(np.arange(30_000, dtype=np.int64) + trial * 10**9)
        errors.append(abs(merged(DISTINCT, INT, [values])[1] - 30_000) / 30_000)
    assert sorted(errors)[94] <= 0.02


def test_hashes_never_change() -> None:
    """State is kept for months: these codes were computed apart, with Python's integers."""
    (texts,), _ = merged(DISTINCT, STRING, [pl.Series(["ada", "bob"])])
    (numbers,), _ = merged(DISTINCT, INT, [pl.Series([0, 1, -1])])
    assert texts.to_list() == [[159810, 600644]]
    assert numbers.to_list() == [[594049, 926211, 937346]]


@pytest.mark.parametrize("q", [0.0, 0.01, 0.5, 0.95, 0.999, 1.0])
@pytest.mark.parametrize("count", [1, 100, 10_000, 1_000_000])
def test_quantile_is_within_1_percent_of_the_value_at_its_rank(q: float, count: int) -> None:
    rng = np.random.default_rng(7)
    values = np.concatenate(
        [rng.lognormal(3, 2, count), -rng.lognormal(0, 1, count // 10), np.zeros(count // 20)]
    )
    _, result = merged(ApproxQuantile(q), FLOAT, [pl.Series(values)])
    exact = float(np.sort(values)[int(np.floor(q * (len(values) - 1)))])
    assert abs(result - exact) <= 0.010001 * abs(exact)


def test_quantile_of_extremes_and_of_nothing() -> None:
    assert merged(ApproxQuantile(0.5), FLOAT, [pl.Series([None], dtype=pl.Float64)])[1] is None
    for value in (1e-300, 2.2e-308, 1.7e308, -1.7e308, 0.0):
        result = merged(ApproxQuantile(0.5), FLOAT, [pl.Series([value])])[1]
        assert result == pytest.approx(value, rel=0.0101, abs=0)
