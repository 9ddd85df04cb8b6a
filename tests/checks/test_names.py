"""Names that would stand for two things."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.spec.projects import METRIC, check, make_project


def found(folder: Path) -> list[str]:
    return [f"{f.code}@{f.span.line}:{f.span.column}" for f in check(folder)[1]]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("key: [country]", "key: [country, country]", "PK109@5:16"),
        ("  total: sum", "  country: sum", "PK109@8:3"),
        ("  total: sum", "  window_start: sum", "PK109@8:3"),
        ("key: [country]", "key: [{ name: window_end, expr: country }]", "PK109@5:15"),
        ("  n: count()\n  total: sum(amount)", "  n: { measure: count(), hidden: true }",
         "PK112@6:1"),
        ("key: [country]", "key: [{ name: country, values: [BE, FR, BE] }]", "PK116@5:41"),
        ("key: [country]", "key: [{ name: country, values: [BE, __other__] }]", "PK116@5:37"),
    ],
)  # fmt: skip
def test_name_that_is_taken_is_found_at_its_place(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    metric = METRIC.replace(old, new)
    metric = metric.split("tests:")[0] + 'tests: [{ name: x, steps: [{ watermark: "12:00" }] }]\n'
    assert found(make_project(tmp_path, metric=metric)) == [expected]


@pytest.mark.parametrize("name", ["minly_aggs", "hourly_aggs", "pipelinekit_ledger"])
def test_name_of_an_own_table_is_found(tmp_path: Path, name: str) -> None:
    metric = METRIC.replace("name: views", f"name: {name}")
    folder = make_project(tmp_path, **{f"metrics/{name}.yaml": metric})
    assert found(folder) == ["PK115@2:7"]


def test_same_measure_names_in_two_metrics_are_fine(tmp_path: Path) -> None:
    metric = METRIC.replace("name: views", "name: clicks")
    assert found(make_project(tmp_path, **{"metrics/clicks.yaml": metric})) == []
