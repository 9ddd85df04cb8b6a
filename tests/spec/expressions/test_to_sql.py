"""Random expressions over random rows in SQL: the ClickHouse engine against plain Python.

BigQuery can't be had here: its SQL is parsed in its own dialect, which shows that it is SQL, and
not what it answers.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

import polars as pl
import pytest
import sqlglot
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pipelinekit.columns import polars_type
from pipelinekit.connectors.clickhouse.client import ClickHouseClient
from pipelinekit.connectors.clickhouse.rows import from_stream, to_stream
from pipelinekit.connectors.clickhouse.sql import column_definition, identifier
from pipelinekit.data import Column
from pipelinekit.devstack.clickhouse import ClickHouse
from pipelinekit.spec.expressions.parse import parse_expression
from pipelinekit.spec.expressions.patterns import capturing
from pipelinekit.spec.expressions.to_sql import to_bigquery, to_clickhouse
from pipelinekit.spec.expressions.tree import Expression
from tests.spec.expressions.cases import CASES, TIMES, TRUNCATIONS
from tests.spec.expressions.fields import FIELDS
from tests.spec.expressions.naive import Value, evaluate
from tests.spec.expressions.strategies import EXPRESSIONS, KINDS, ROWS, texts_of

# Shallow ones meet every function, deep ones what they do to each other.
_EACH_KIND = st.tuples(*(texts_of(kind, depth) for kind in KINDS for depth in (1, 1, 2, 3)))
COLUMNS = {name: identifier(name) for name in FIELDS}
TABLE = "expressions"


@pytest.fixture(scope="module")
def table(clickhouse: ClickHouse) -> Iterator[ClickHouseClient]:
    """A client whose server has a table with the fields as columns."""
    client = ClickHouseClient(clickhouse.url, "default", "", timeout_s=30)
    columns = ", ".join(column_definition(Column(n, t, nullable=True)) for n, t in FIELDS.items())
    client.execute(f"CREATE OR REPLACE TABLE {TABLE} (`_row` UInt32, {columns}) ENGINE = Memory")
    yield client
    client.execute(f"DROP TABLE {TABLE}")
    client.close()


@pytest.mark.clickhouse
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(texts=_EACH_KIND, rows=ROWS)
def test_clickhouse_agrees_with_the_naive_evaluator(
    table: ClickHouseClient, texts: tuple[str, ...], rows: list[Mapping[str, Value]]
) -> None:
    parsed = {text: e for text in texts if (e := _parsed(text)) is not None}
    assume(parsed)
    _fill(table, rows)

    answers = _answers(table, list(parsed.values()))

    for (text, expression), actual in zip(parsed.items(), answers, strict=True):
        expected = [evaluate(expression, row) for row in rows]
        same = all(_is_same(a, e) for a, e in zip(actual, expected, strict=True))
        assert same, (text, actual, expected, to_clickhouse(expression, COLUMNS))


@pytest.mark.clickhouse
def test_clickhouse_gives_the_answers_that_catch_engines_out(table: ClickHouseClient) -> None:
    _fill(table, [dict.fromkeys(FIELDS)])
    cases = [(text, answer, _parsed(text)) for text, answer in CASES]

    answers = _answers(table, [e for _, _, e in cases if e is not None])

    wrong = {
        text: (actual, answer)
        for (text, answer, _), (actual,) in zip(cases, answers, strict=True)
        if not _is_same(actual, answer)
    }
    assert not wrong


@pytest.mark.clickhouse
def test_clickhouse_reads_times_as_texts_and_truncates_them(table: ClickHouseClient) -> None:
    _fill(table, [dict.fromkeys(FIELDS) | {"country": text} for text, _ in TIMES])
    expression = _parsed("cast(country as timestamp)")
    assert expression is not None
    (read,) = _answers(table, [expression])
    assert read == [i and dt.datetime.fromisoformat(i) for _, i in TIMES]

    for unit, zone, time, start in TRUNCATIONS:
        _fill(table, [dict.fromkeys(FIELDS) | {"occurred_at": dt.datetime.fromisoformat(time)}])
        expression = _parsed(f"date_trunc('{unit}', occurred_at, '{zone}')")
        assert expression is not None
        ((started,),) = _answers(table, [expression])
        assert started == dt.datetime.fromisoformat(start), (unit, zone, time)


@settings(max_examples=300)
@given(EXPRESSIONS)
def test_bigquery_is_sql_of_its_dialect(text: str) -> None:
    expression = _parsed(text)
    assume(expression is not None)
    assert expression is not None

    statement = f"SELECT {to_bigquery(expression, COLUMNS)} AS answer FROM events"

    (parsed,) = sqlglot.parse(statement, read="bigquery")
    assert parsed is not None
    names = {column.name for column in parsed.find_all(sqlglot.exp.Column)}
    assert {n for n in names if not n.startswith("v")} <= set(FIELDS)
    assert not list(parsed.find_all(sqlglot.exp.Anonymous)) or _known(parsed)


_ANONYMOUS = {"SAFE_ADD", "SAFE_SUBTRACT", "SAFE_MULTIPLY", "SAFE_NEGATE"}


def _known(parsed: sqlglot.Expr) -> bool:
    """Whether the dialect knows every function, or we do from BigQuery's reference."""
    return {a.name.upper() for a in parsed.find_all(sqlglot.exp.Anonymous)} <= _ANONYMOUS


@pytest.mark.parametrize(
    ("pattern", "group", "expected"),
    [
        ("(a)(b)", 2, "(?:a)(b)"),
        ("(a)(b)", 0, "(?:a)(?:b)"),
        (r"\((a)[(](?P<x>b)", 1, r"\((a)[(](?:b)"),
        (r"\((a)[(](?P<x>b)", 2, r"\((?:a)[(](b)"),
        (r"[\](](?i:a)(b)", 1, r"[\](](?i:a)(b)"),
    ],
)
def test_one_group_captures(pattern: str, group: int, expected: str) -> None:
    assert capturing(pattern, group) == expected


def _parsed(text: str) -> Expression | None:
    parsed = parse_expression(text, FIELDS)
    return parsed.expression


def _fill(table: ClickHouseClient, rows: Sequence[Mapping[str, Value]]) -> None:
    columns = {name: [row.get(name) for row in rows] for name in FIELDS}
    frame = pl.DataFrame(columns, schema={n: polars_type(t) for n, t in FIELDS.items()})
    arrow = frame.with_row_index("_row").to_arrow(compat_level=pl.CompatLevel.oldest())
    table.execute(f"TRUNCATE TABLE {TABLE}")
    table.execute(f"INSERT INTO {TABLE} FORMAT ArrowStream", to_stream(arrow))


def _answers(table: ClickHouseClient, expressions: Sequence[Expression]) -> list[list[object]]:
    """For each expression its answers, row by row."""
    selects = ", ".join(f"{to_clickhouse(e, COLUMNS)} AS a{i}" for i, e in enumerate(expressions))
    statement = f"SELECT {selects} FROM {TABLE} ORDER BY _row FORMAT ArrowStream"
    answer = from_stream(table.execute(statement))
    return [answer.column(f"a{i}").to_pylist() for i in range(len(expressions))]


def _is_same(actual: object, expected: object) -> bool:
    match actual, expected:
        case float(), float():
            return math.isclose(actual, expected, rel_tol=1e-12, abs_tol=1e-300)
        case dt.datetime(), dt.datetime():
            return actual.astimezone(dt.UTC) == expected
        case Decimal(), Decimal():
            return actual == expected
        case _:
            return actual == expected and type(actual) is type(expected)
