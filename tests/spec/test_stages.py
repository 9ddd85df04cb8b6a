"""Metrics over another metric's rows: what they may read, and what they are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelinekit.diagnostics import Severity
from pipelinekit.spec.resolve import Resolved
from pipelinekit.types import BOOL, FLOAT, INT, decimal_type
from tests.spec.projects import METRIC, check, make_project

STAGE = """\
kind: metric
name: by_hour
from: views
filter: n > 0
key: [country]
measures: { minutes: count(), total: sum(total), length: avg(_seconds), late: any_true(_late > 0) }
window: { tumbling: 1h }
tests:
  - name: two minutes
    steps:
      - events: [{ t: "12:00:05", kind: view, country: BE }]
      - events: [{ t: "12:01:05", kind: view, country: BE }]
    expect: [{ window: "12:00", country: BE, minutes: 2 }]
"""


def found(
    folder: Path, stage: str, metric: str = METRIC, **files: str
) -> tuple[Resolved, list[str]]:
    resolved, findings = check(
        make_project(folder, metric=metric, **{"metrics/by_hour.yaml": stage}, **files)
    )
    return resolved, [
        f"{f.code}:{f.span.line}:{f.span.column}: {f.message}"
        for f in findings
        if f.severity is Severity.ERROR
    ]


def test_reads_the_key_and_measures_of_the_rows_and_their_own_columns(tmp_path: Path) -> None:
    resolved, findings = found(tmp_path, STAGE)

    assert findings == []
    stage = resolved.stages["by_hour"]
    assert stage.over is resolved.metrics["views"]
    types = {m.name: m.type for m in stage.measures}
    assert types == {
        "minutes": INT,
        "total": decimal_type(38, 2),
        "length": FLOAT,
        "late": BOOL,
    }


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("from: views", "from: viewz", 'PK372:3:7: there is no metric "viewz"'),
        ("from: views", "from: by_hour", "PK372:3:7: by_hour is itself over another metric's rows"),
        ("n > 0", "load > 0", 'PK201:4:9: unknown field "load"'),
        ("[country]", "[user]", 'PK201:5:7: unknown field "user"'),
        ("[country]", "[{ name: country, max_values: 5 }]",
         "PK209:5:36: a metric over another's rows is a view: no run counts the values of its key"),
        (
            "count()", "last(country)",
            "PK371:6:22: last can't be computed over another metric's rows",
        ),
        ("tumbling: 1h", "tumbling: 30s",
         "PK370:7:9: windows of 30s do not follow from 1m windows: it is not longer"),
        ("tumbling: 1h", "session: 30m",
         "PK370:7:9: a metric over another's rows has tumbling windows"),
        ("tumbling: 1h", "tumbling: 7m",
         "PK301:7:21: 7m does not divide a day: windows would start at other times each day"),
        ("key:", "emit: { late: 1s }\nkey:", 'PK101:5:1: unknown key "emit"'),
        ("from: views", "from: views\nsource: events", 'PK101:4:1: unknown key "source"'),
        ("minutes: 2", "minutes: 2, hours: 1", 'PK605:13:58: a row has no "hours"'),
        ("12:00:05\", kind", "12:00:05\", sort", 'PK603:11:35: the source has no field "sort"'),
        ("minutes: count()", "minutes: count(), country: count()",
         'PK109:6:31: the measure "country" is a column of the table already'),
    ],
)  # fmt: skip
def test_refused(tmp_path: Path, old: str, new: str, finding: str) -> None:
    assert old in STAGE
    resolved, findings = found(tmp_path, STAGE.replace(old, new))
    assert findings == [finding]
    assert ("PK6" in finding or "PK109" in finding) == ("by_hour" in resolved.stages)


def test_overlapping_windows_can_not_be_read(tmp_path: Path) -> None:
    sliding = METRIC.replace("{ tumbling: 1m }", "{ sliding: 1m, every: 10s }")
    _, findings = found(tmp_path, STAGE, sliding)
    assert findings == [
        "PK370:3:7: the windows of 1m every 10s overlap: an event would count in several rows"
    ]


def test_needs_a_clickhouse_sink(tmp_path: Path) -> None:
    _, findings = found(tmp_path, STAGE, sink="kind: sink\nname: store\ntype: console\n")
    assert findings == ["PK372:3:7: views writes to no ClickHouse, where the view would stand"]


def test_findings_of_the_metric_below_are_said_once(tmp_path: Path) -> None:
    _, findings = found(tmp_path, STAGE, METRIC.replace("n: count()", "n: cout()"))
    assert findings == ['PK204:7:6: unknown measure "cout"']


def test_shares_the_names_of_metrics(tmp_path: Path) -> None:
    _, findings = found(tmp_path, STAGE.replace("name: by_hour", "name: views"))
    assert {"PK107", "PK108"} <= {f.split(":")[0] for f in findings}
