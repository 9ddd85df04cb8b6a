"""Every measure over every type it takes: the same events in any order and split, one answer."""

from __future__ import annotations

import datetime as dt
import random
from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from pipelinekit.catalog import all_measures
from pipelinekit.columns import arrow_type, polars_type
from pipelinekit.measures.base import Measure, Merge
from pipelinekit.types import BOOL, DATE, FLOAT, INT, STRING, TIMESTAMP, Type, decimal_type
from tests.measures.kit import merged

MONEY = decimal_type(38, 2)
CONSTANTS = {"approx_quantile": (0.9,), "histogram": ((-7, 0, 3),), "most_frequent": (2,)}
VALUES = {
    STRING: ["", "a", "b", "é", "\U0001f600", "\x00"],
    BOOL: [True, False],
    INT: [0, 1, -7, 3, 2**63 - 1, -(2**63)],
    FLOAT: [0.0, 0.5, -1e9, 3.25],
    MONEY: [Decimal("0.01"), Decimal("-7.00"), Decimal(10) ** 35, Decimal("3.50")],
    TIMESTAMP: [dt.datetime(2024, 1, d, tzinfo=dt.UTC) for d in (1, 2, 3)],
    DATE: [dt.date(2024, 1, 1), dt.date(1969, 1, 1)],
}


def bound(name: str) -> Measure:
    measure = all_measures()[name]
    if name in CONSTANTS:
        measure = measure.with_constants(CONSTANTS[name])  # type: ignore[attr-defined]
    return measure


def cases() -> list[tuple[str, Type]]:
    found = []
    for name in all_measures():
        for kind in VALUES:
            try:
                bound(name).result_type([kind])
            except TypeError:
                continue
            found.append((name, kind))
    return found


def frame(kind: Type, rng: random.Random, count: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "x": [rng.choice([None, *VALUES[kind]]) for _ in range(count)],
            "id": [rng.choice(["a", "b", "c"]) for _ in range(count)],
            "time": [rng.randrange(20) for _ in range(count)],
        },
        schema={"x": polars_type(kind), "id": pl.String, "time": pl.Int64},
    )


@pytest.mark.parametrize(
    ("name", "kind", "max_values"),
    [
        (name, kind, max_values)
        for name, kind in cases()
        for max_values in (
            (2, 1000) if all_measures()[name].signature.needs_max_values else (None,)
        )
    ],
    ids=str,
)
def test_any_order_split_and_grouping_gives_the_same_answer(
    name: str, kind: Type, max_values: int | None
) -> None:
    measure = bound(name)
    accumulators = measure.accumulators([kind], max_values, STRING)
    for seed in range(5):
        rng = random.Random(seed)
        events = frame(kind, rng, rng.choice([1, 4, 60]))
        whole, answer = merged(measure, kind, [events], max_values=max_values)
        shuffled = events.sample(fraction=1.0, shuffle=True, seed=seed)
        cuts = sorted(rng.choices(range(len(events) + 1), k=6))
        parts = [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, len(events)], strict=True)]
        state, again = merged(measure, kind, parts, max_values=max_values, rng=rng)
        if isinstance(answer, float):
            assert again == pytest.approx(answer, rel=1e-9)
        else:
            assert again == answer
        for accumulator, one, other in zip(accumulators, whole, state, strict=True):
            if accumulator.merge is not Merge.SUM:  # a sum has its digits in several, with carries
                assert _plain(one) == _plain(other)


@pytest.mark.parametrize(("name", "kind"), cases(), ids=str)
def test_answer_has_the_type_that_was_announced_and_null_only_where_it_may(
    name: str, kind: Type
) -> None:
    measure = bound(name)
    nothing = pl.Series([None, None], dtype=polars_type(kind))
    _, answer = merged(measure, kind, [nothing], max_values=10)
    assert answer is not None or measure.is_nullable()
    columns = {a.name: np.zeros(0, dtype=a.dtype) for a in measure.accumulators([kind], 10, STRING)}
    assert measure.result(columns, [kind]).type == arrow_type(measure.result_type([kind]))


def _plain(state: pl.Series) -> object:
    """Sets have no order of their own."""
    (value,) = state.to_list()
    return sorted(map(repr, value)) if isinstance(value, list) else value
