"""Measures as written → typed measures, whatever their order, or findings at their characters."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelinekit.spec.expressions.render import render
from tests.spec.projects import METRIC, check, make_project

MEASURES = "  n: count()\n  total: sum(amount)\n"


def project(tmp_path: Path, measures: str) -> Path:
    metric = METRIC.replace(MEASURES, measures).replace(", n: 1", "")
    return make_project(tmp_path, metric=metric)


def test_derived_measures_may_stand_before_what_they_read(tmp_path: Path) -> None:
    text = "  a: { expr: case when b then 1 else 0 end }\n  b: { expr: not c }\n"
    text += "  c: { expr: n > 5 }\n  r: { ratio: [a, n] }\n  n: count()\n"
    resolved, findings = check(project(tmp_path, text))
    assert findings == []
    measures = resolved.metrics["views"].measures
    assert [(m.name, str(m.type)) for m in measures] == [
        ("a", "int"), ("b", "bool"), ("c", "bool"), ("r", "float"), ("n", "int"),
    ]  # fmt: skip
    assert measures[3].derived is not None
    assert render(measures[3].derived) == "a / n"


def test_long_chain_of_derived_measures_resolves(tmp_path: Path) -> None:
    chain = "".join(f"  m{i}: {{ expr: m{i + 1} + 1 }}\n" for i in range(300))
    resolved, findings = check(project(tmp_path, chain + "  m300: count()\n"))
    assert findings == []
    assert len(resolved.metrics["views"].measures) == 301


@pytest.mark.parametrize(
    ("measures", "code", "message", "help"),
    [
        ("  a: mean(load)\n", "PK204", 'unknown measure "mean"', "did you mean avg()?"),
        ("  a: percentile(load, 0.9)\n", "PK204", 'unknown measure "percentile"',
         "did you mean approx_quantile()?"),
        ("  a: count()\n  b: { expr: a / load }\n", "PK201", 'unknown measure "load"',
         "load is a field: add a measure of it"),
        ("  a: count()\n  b: { expr: a / c }\n", "PK201", 'unknown measure "c"', None),
        ("  a: count()\n  b: { ratio: [a, aa] }\n", "PK201", 'unknown measure "aa"',
         "did you mean a?"),
        ("  a: last(kind)\n  b: { ratio: [n, a] }\n  n: count()\n", "PK203",
         "a ratio is of numbers", None),
        ("  a: last(kind)\n  b: { rate_per_second: a }\n", "PK203", "a rate is of numbers", None),
        ("  a: count()\n  b: { rate_per_second: load }\n", "PK201", 'unknown measure "load"',
         "load is a field: add a measure of it"),
        ("  a: rate_per_second(load)\n", "PK204", 'unknown measure "rate_per_second"',
         "write { rate_per_second: views }"),
        ("  a: count() + 1\n", "PK200", "a measure is one call", "under expr:"),
        ("  a: { expr: a + 1 }\n", "PK210", "a reads itself", None),
        ("  a: { ratio: [b, c], filter: bot }\n  b: count()\n  c: count()\n", "PK211",
         "takes no filter", None),
    ],
)  # fmt: skip
def test_measure_that_can_not_be(
    tmp_path: Path, measures: str, code: str, message: str, help: str | None
) -> None:
    _, findings = check(project(tmp_path, measures))
    assert [f.code for f in findings] == [code]
    assert message in findings[0].message
    assert help is None or help in (findings[0].help or "")


def test_unknown_measure_and_unknown_argument_are_both_said(tmp_path: Path) -> None:
    _, findings = check(project(tmp_path, "  a: cout(amout)\n"))
    assert [(f.code, f.span.column) for f in findings] == [("PK204", 6), ("PK201", 11)]


def test_measure_that_reads_a_broken_one_is_silent(tmp_path: Path) -> None:
    _, findings = check(project(tmp_path, "  a: cout()\n  b: { expr: a + 1 }\n"))
    assert [(f.code, f.span.line) for f in findings] == [("PK204", 7)]


def test_finding_in_a_quoted_text_stands_at_its_characters(tmp_path: Path) -> None:
    _, findings = check(project(tmp_path, '  a: { measure: "sum(amout)" }\n'))
    assert [(f.code, f.span.column, f.span.end_column) for f in findings] == [("PK201", 22, 27)]
