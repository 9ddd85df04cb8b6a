"""Random expressions over random rows: polars against plain Python, and text against its tree."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence

import polars as pl
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipelinekit.columns import polars_type
from pipelinekit.spec.expressions.parse import parse_expression, parse_measure
from pipelinekit.spec.expressions.render import render
from pipelinekit.spec.expressions.to_polars import to_polars
from pipelinekit.spec.expressions.tree import Expression
from tests.spec.expressions.fields import FIELDS
from tests.spec.expressions.naive import Value, evaluate
from tests.spec.expressions.strategies import EXPRESSIONS, ROWS


@settings(max_examples=300)
@given(EXPRESSIONS, ROWS)
def test_polars_agrees_with_the_naive_evaluator(text: str, rows: list[Mapping[str, Value]]) -> None:
    expression = _parsed(text)
    expected = [evaluate(expression, row) for row in rows]

    actual = _frame(rows).with_columns(answer=to_polars(expression))["answer"]

    assert actual.dtype == polars_type(expression.type)
    assert _agree(actual.to_list(), expected), (text, actual.to_list(), expected)


@settings(max_examples=300)
@given(EXPRESSIONS)
def test_canonical_text_parses_back_to_its_tree(text: str) -> None:
    expression = _parsed(text)

    again = parse_expression(render(expression), FIELDS).expression

    assert again == expression
    assert render(again) == render(expression)


_PIECES = (
    *FIELDS,
    *("'a'", "1", "2.5", "(", ")", "()", ",", "and", "or", "not", "in", "between", "like", "is"),
    *("null", "case", "when", "then", "else", "end", "cast(", "as", "int", "decimal(4,2)", "-"),
    *("+", "*", "/", "%", "=", "!=", "<", "--", "/*", "'", '"', "\x00", "\ud800", "é", ".", ";"),
    *("coalesce(", "round(", "extract(", "hour", "from", "date_trunc('day',", "timestamp"),
    *("regexp_match(", "'(?=a)'", "like '\\'", "sum(", "1e999", "9" * 50, "0.", "[", "]", "\t"),
)


@settings(max_examples=300)
@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(_PIECES)).map(" ".join)))
def test_any_text_gives_an_expression_or_problems_with_places_in_it(text: str) -> None:
    parsed, measure = parse_expression(text, FIELDS), parse_measure(text, FIELDS)

    assert (parsed.expression is None) == bool(parsed.problems)
    assert measure.name is not None or measure.problems
    for problem in (*parsed.problems, *measure.problems):
        assert 0 <= problem.start <= problem.end <= len(text)
        assert problem.message.encode()


def _parsed(text: str) -> Expression:
    parsed = parse_expression(text, FIELDS)
    # Products of products may have more digits than there are.
    assume(not any("digits after the point" in p.message for p in parsed.problems))
    assert parsed.expression is not None, (text, parsed.problems)
    return parsed.expression


def _frame(rows: Sequence[Mapping[str, Value]]) -> pl.DataFrame:
    columns = {name: [row.get(name) for row in rows] for name in FIELDS}
    return pl.DataFrame(columns, schema={n: polars_type(t) for n, t in FIELDS.items()})


def _agree(actual: Sequence[object], expected: Sequence[object]) -> bool:
    return all(_is_same(a, e) for a, e in zip(actual, expected, strict=True))


def _is_same(actual: object, expected: object) -> bool:
    if isinstance(actual, float) and isinstance(expected, float):
        return math.isclose(actual, expected, rel_tol=1e-12, abs_tol=1e-300)
    if isinstance(actual, dt.datetime):
        actual = actual.astimezone(dt.UTC)
    return type(actual) is type(expected) and actual == expected
