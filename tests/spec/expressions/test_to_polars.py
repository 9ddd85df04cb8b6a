"""What each function says of the values that catch engines out."""

from __future__ import annotations

import datetime as dt
import pickle
from collections.abc import Sequence

import polars as pl
import pytest

from pipelinekit.columns import polars_type
from pipelinekit.spec.expressions.parse import parse_expression
from pipelinekit.spec.expressions.to_polars import to_polars
from tests.spec.expressions.cases import CASES, TIMES, TRUNCATIONS
from tests.spec.expressions.fields import FIELDS


@pytest.mark.parametrize(("text", "answer"), CASES)
def test_value(text: str, answer: object) -> None:
    parsed = parse_expression(text, {})
    assert parsed.expression is not None, parsed.problems

    frame = pl.select(answer=to_polars(parsed.expression))

    assert frame.schema["answer"] == polars_type(parsed.expression.type)
    assert frame.item() == answer
    assert type(frame.item()) is type(answer)


@pytest.mark.parametrize(("written", "instant"), TIMES)
def test_text_is_cast_to_a_timestamp_whatever_stands_in_other_rows(
    written: str | None, instant: str | None
) -> None:
    rows = ["2020-01-01", written, "none", "2020-01-01T00:00:00.5+01:00"]

    read = _evaluated("cast(country as timestamp)", country=rows)[1]

    assert read == (None if instant is None else dt.datetime.fromisoformat(instant))


@pytest.mark.parametrize(("unit", "zone", "time", "start"), TRUNCATIONS)
def test_date_trunc_follows_the_zones_calendar(unit: str, zone: str, time: str, start: str) -> None:
    text = f"date_trunc('{unit}', occurred_at, '{zone}')"

    rows = _evaluated(text, occurred_at=[dt.datetime.fromisoformat(time), None])

    assert rows == [dt.datetime.fromisoformat(start), None]


def test_long_conditions_stay_within_the_recursion_limit() -> None:
    chain = " or ".join(f"load_ms = {n}" for n in range(200))
    deep = "(" * 60 + "load_ms" + " + 1)" * 60

    assert _evaluated(chain, load_ms=[199, 200]) == [True, False]
    assert _evaluated(deep, load_ms=[1, None]) == [61, None]
    expression = parse_expression(deep, FIELDS).expression
    assert pickle.loads(pickle.dumps(expression)) == expression
    assert hash(expression) == hash(pickle.loads(pickle.dumps(expression)))


def test_comparison_keeps_the_frames_height_where_a_case_holds_nowhere() -> None:
    assert _evaluated("1 < cast(country as int)", country=["a", "b", None]) == [None] * 3
    assert _evaluated("1 between 0 and cast(country as int)", country=["a", "b"]) == [None] * 2
    text = "not (cast(country as int) between greatest(1, 2) and abs(3))"
    assert _evaluated(text, country=["a", "b"]) == [None] * 2


def _evaluated(text: str, **columns: Sequence[object]) -> list[object]:
    parsed = parse_expression(text, FIELDS)
    assert parsed.expression is not None, parsed.problems
    frame = pl.DataFrame(columns, schema={n: polars_type(FIELDS[n]) for n in columns})
    return frame.with_columns(answer=to_polars(parsed.expression))["answer"].to_list()
