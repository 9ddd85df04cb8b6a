from __future__ import annotations

import math

import polars as pl

from pipelinekit.measures.most_frequent import MostFrequent
from pipelinekit.types import FLOAT, STRING
from tests.measures.kit import merged


def top(k: int, values: list, kind: object = STRING, max_values: int = 10) -> object:
    dtype = pl.Float64 if kind is FLOAT else pl.String
    parts = [pl.Series(values[at : at + 2], dtype=dtype) for at in range(0, len(values), 2)]
    return merged(MostFrequent(k), kind, parts, max_values=max_values)[1]  # type: ignore[arg-type]


def test_by_count_down_and_of_equals_by_value_up() -> None:
    values = ["b", "c", None, "a", "c", "b", "d"]
    assert top(3, values) == [
        {"value": "b", "count": 2},
        {"value": "c", "count": 2},
        {"value": "a", "count": 1},
    ]


def test_of_no_values_the_list_is_empty() -> None:
    assert top(3, [None, None]) == []


def test_beyond_max_values_it_is_null_for_ever() -> None:
    assert top(1, ["a", "b", "a"], max_values=2) == [{"value": "a", "count": 2}]
    assert top(1, ["a", "b", "a", "c", "a", "a"], max_values=2) is None


def test_zero_has_one_sign() -> None:
    (entry,) = top(1, [-0.0, 0.0, -0.0], FLOAT)  # type: ignore[misc]
    assert entry["count"] == 3
    assert math.copysign(1, entry["value"]) == 1
