"""A measure's filter that the metric's filter excludes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.spec.projects import METRIC, check, make_project


@pytest.mark.parametrize(
    ("outer", "inner", "is_found"),
    [
        ("kind = 'view'", "kind = 'click'", True),
        ("kind = 'view'", "'click' = kind", True),
        ("kind in ('a', 'b') and not bot", "kind = 'c' and load > 5", True),
        ("lower(kind) = 'a'", "lower(kind) in ('b', 'c')", True),
        ("kind = 'a' and kind = 'b'", "kind = 'a'", True),
        ("load = 5", "load = 6", True),
        ("kind = 'view'", "kind = 'view'", False),
        ("kind in ('a', 'b')", "kind in ('b', 'c')", False),
        ("kind = 'view' or bot", "kind = 'click'", False),
        ("kind = 'view'", "lower(kind) = 'click'", False),
        ("kind != 'view'", "kind = 'view'", False),
        ("kind = 'view'", "country = 'BE'", False),
    ],
)
def test_measure_that_counts_nothing_is_a_warning(
    tmp_path: Path, outer: str, inner: str, is_found: bool
) -> None:
    metric = METRIC.replace("filter: kind = 'view'", f'filter: "{outer}"')
    metric = metric.replace("n: count()", f'n: {{ measure: count(), filter: "{inner}" }}')
    findings = check(make_project(tmp_path, metric=metric))[1]
    assert [(f.code, f.path) for f in findings] == [("PK212", "measures.n.filter")] * is_found
