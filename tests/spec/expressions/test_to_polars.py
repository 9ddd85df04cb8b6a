"""What each function says of the values that catch engines out."""

from __future__ import annotations

import datetime as dt
import pickle
from collections.abc import Sequence
from decimal import Decimal

import polars as pl
import pytest

from pipelinekit.columns import polars_type
from pipelinekit.spec.expressions.parse import parse_expression
from pipelinekit.spec.expressions.to_polars import to_polars
from tests.spec.expressions.fields import FIELDS


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        # Numbers.
        ("7 / 2", 3.5),
        ("1 / 0", None),
        ("1 % 0", None),
        ("-7 % 3", -1),
        ("7 % -3", 1),
        ("-7.5 % 2.0", Decimal("-1.5")),
        ("-7.5e0 % 2", -1.5),
        ("9223372036854775807 + 1", None),
        ("-9223372036854775808 - 1", None),
        ("9223372036854775807 * 2", None),
        ("abs(-9223372036854775808)", None),
        ("1e308 * 10", None),
        ("0.1 + 0.2", Decimal("0.3")),
        ("1.25 * 0.5", Decimal("0.625")),
        ("1234567890123456789012345678901234567.0 * 1000.0", None),
        ("round(2.5)", Decimal("3.0")),
        ("round(-2.5)", Decimal("-3.0")),
        ("round(2.5e0)", 3.0),
        ("round(-2.5e0)", -3.0),
        ("round(99.95, 1)", Decimal("100.00")),
        ("floor(-1.5)", Decimal("-2.0")),
        ("ceil(-1.5)", Decimal("-1.0")),
        ("greatest(1, 2.5)", Decimal("2.5")),
        ("greatest('a', 'B', 'é')", "é"),
        ("greatest(1, null)", None),
        ("least(1, null)", None),
        # Three-valued logic.
        ("null and false", False),
        ("null and true", None),
        ("null or true", True),
        ("null or false", None),
        ("not null", None),
        ("1 in (1, null)", True),
        ("1 in (2, null)", None),
        ("1 not in (2, null)", None),
        ("1 between 2 and null", False),
        ("case when null then 1 else 2 end", 2),
        ("coalesce(null, 3)", 3),
        ("nullif(1, 1.0)", None),
        # Texts.
        ("length('🦊é')", 2),
        ("upper('straße')", "STRASSE"),
        ("lower('ÉCOLE')", "école"),
        ("trim('  a\t ')", "a\t"),
        ("concat('a', cast(null as string))", None),
        ("contains('abc', cast(null as string))", None),
        ("contains('a.c', '.')", True),
        ("starts_with('abc', '')", True),
        ("substring('éab', 2, 1)", "a"),
        ("substring('ab', 5)", ""),
        ("substring('ab', 1, 0)", ""),
        ("split_part('a/b', '/', 2)", "b"),
        ("split_part('a/b', '/', 3)", ""),
        ("'a\nb' like 'a%b'", True),
        ("'a\nb' like 'a_b'", True),
        (r"'50%' like '50\%'", True),
        (r"'50x' like '50\%'", False),
        ("'a.c' like 'abc'", False),
        ("'abc' like 'b'", False),
        ("url_path('https://shop.be/a/b?q=1#x')", "/a/b"),
        ("url_path('/a/b?q=1')", "/a/b"),
        ("url_path('https://shop.be')", ""),
        ("regexp_extract('v12 v13', 'v([0-9]+)', 1)", "12"),
        ("regexp_extract('v12', 'v([0-9]+)')", "12"),
        ("regexp_extract('v12', 'v[0-9]+')", "v12"),
        ("regexp_extract('v12', 'v([0-9]+)', 0)", "v12"),
        ("regexp_extract('x', 'v([0-9]+)', 1)", None),
        # Casts.
        ("cast('12' as int)", 12),
        ("cast(' 12' as int)", None),
        ("cast('1.0' as int)", None),
        ("cast('9223372036854775808' as int)", None),
        ("cast('1e400' as float)", None),
        ("cast('nan' as float)", None),
        ("cast('1.50' as decimal(4,2))", Decimal("1.50")),
        ("cast('1.555' as decimal(4,2))", None),
        ("cast('100' as decimal(4,2))", None),
        ("cast(1.555 as decimal(4,2))", Decimal("1.56")),
        ("cast(-2.5e0 as decimal(4,0))", Decimal(-3)),
        ("cast(2.5 as decimal(4,0))", Decimal(3)),
        ("cast(-2.7 as int)", -2),
        ("cast(1e300 as int)", None),
        ("cast('TRUE' as bool)", None),
        ("cast(true as int)", 1),
        ("cast(1.50 as string)", "1.50"),
        ("cast(concat('2024-02-3', '0') as date)", None),
    ],
)
def test_value(text: str, answer: object) -> None:
    parsed = parse_expression(text, {})
    assert parsed.expression is not None, parsed.problems

    frame = pl.select(answer=to_polars(parsed.expression))

    assert frame.schema["answer"] == polars_type(parsed.expression.type)
    assert frame.item() == answer
    assert type(frame.item()) is type(answer)


@pytest.mark.parametrize(
    ("written", "instant"),
    [
        ("2024-01-31T12:00:00Z", "2024-01-31T12:00:00+00:00"),
        ("2024-01-31 12:00", "2024-01-31T12:00:00+00:00"),
        ("2024-01-31", "2024-01-31T00:00:00+00:00"),
        ("2024-01-31T12:00:00+02:00", "2024-01-31T10:00:00+00:00"),
        ("2024-01-31T12:00:00.1239Z", "2024-01-31T12:00:00.123+00:00"),
        ("1969-12-31T23:59:59.9999Z", "1969-12-31T23:59:59.999+00:00"),
        ("2024-02-30", None),
        ("2024-01-31T24:00:00Z", None),
        ("2024-01-31T23:59:60Z", None),
        ("20240131", None),
        ("yesterday", None),
        (None, None),
    ],
)
def test_text_is_cast_to_a_timestamp_whatever_stands_in_other_rows(
    written: str | None, instant: str | None
) -> None:
    rows = ["2020-01-01", written, "none", "2020-01-01T00:00:00.5+01:00"]

    read = _evaluated("cast(country as timestamp)", country=rows)[1]

    assert read == (None if instant is None else dt.datetime.fromisoformat(instant))


@pytest.mark.parametrize(
    ("unit", "zone", "time", "start"),
    [
        ("hour", "UTC", "2024-01-31T12:34:56+00:00", "2024-01-31T12:00:00+00:00"),
        ("hour", "Asia/Kolkata", "2024-01-31T12:34:56+00:00", "2024-01-31T12:30:00+00:00"),
        ("day", "Europe/Brussels", "2024-03-31T12:00:00+00:00", "2024-03-30T23:00:00+00:00"),
        ("day", "Europe/Brussels", "2024-10-27T12:00:00+00:00", "2024-10-26T22:00:00+00:00"),
        ("hour", "Europe/Brussels", "2024-10-27T00:30:00+00:00", "2024-10-27T00:00:00+00:00"),
        ("hour", "Europe/Brussels", "2024-10-27T01:30:00+00:00", "2024-10-27T01:00:00+00:00"),
        # Midnight didn't exist: the day began at one.
        ("day", "America/Sao_Paulo", "2018-11-04T12:00:00+00:00", "2018-11-04T03:00:00+00:00"),
        ("week", "UTC", "2024-01-07T12:00:00+00:00", "2024-01-01T00:00:00+00:00"),
        ("quarter", "UTC", "2024-06-30T12:00:00+00:00", "2024-04-01T00:00:00+00:00"),
        ("day", "UTC", "1969-12-31T12:00:00+00:00", "1969-12-31T00:00:00+00:00"),
    ],
)
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
