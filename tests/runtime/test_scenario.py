"""Tests with time on the engine alone: which rows are made, what fails and how it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelinekit.plan.build import build
from pipelinekit.runtime.scenario import Result, run_test
from tests.spec.projects import METRIC, check, make_project

HEAD = METRIC.split("tests:")[0].replace("window:", "rollups: [1h, 1d]\nwindow:")
EVENTS = """\
tests:
  - name: two minutes of an hour
    steps:
      - events:
          - { t: "12:00:05", kind: view, country: BE, amount: "1.50" }
          - { t: "12:01:05", kind: view, country: BE, amount: "2.25" }
"""


def outcome(folder: Path, text: str) -> Result:
    resolved, _ = check(make_project(folder, metric=text))
    (plan,) = build(resolved)
    (test,) = resolved.project.tests["views"]
    return run_test(plan, test.spec)


@pytest.mark.parametrize("place", ["    expect:", "      - expect:"])
def test_rollups_are_compared_where_a_row_names_them(tmp_path: Path, place: str) -> None:
    good = f"""{place}
          - {{ window: "12:00", country: BE, n: 1, total: "1.50" }}
          - {{ window: "12:01", country: BE, n: 1, total: "2.25" }}
          - {{ window: "12:00", grain: 1h, country: BE, n: 2, total: "3.75" }}
"""
    assert outcome(tmp_path / "good", HEAD + EVENTS + good).failures == ()
    bad = outcome(tmp_path / "bad", HEAD + EVENTS + good.replace("n: 2", "n: 3"))
    (failure,) = bad.failures
    assert failure.text.splitlines()[1:] == [
        "expected  1h     12:00     BE       3  3.75",
        "actual    1h     12:00:00  BE       2  3.75",
    ]


def test_grain_that_no_row_names_is_not_compared(tmp_path: Path) -> None:
    expect = """    expect:
      contains: [{ window: "12:01", country: BE, n: 1 }]
"""
    assert outcome(tmp_path, HEAD + EVENTS + expect).passed


def test_derived_measures_may_read_derived_ones(tmp_path: Path) -> None:
    head = HEAD.replace(
        "  total: sum(amount)\n",
        "  total: sum(amount)\n  four: { expr: two * 2 }\n  two: { expr: n * 2 }\n"
        "  mean: { ratio: [total, n] }\n",
    )
    expect = """    expect:
      - { window: "12:00", country: BE, two: 2, four: 4, mean: 1.5 }
      - { window: "12:01", country: BE, two: 2, four: 4, mean: 2.25 }
"""
    assert outcome(tmp_path, head + EVENTS + expect).failures == ()


def test_own_columns_go_before_those_of_the_row(tmp_path: Path) -> None:
    head = HEAD.replace("  n: count()\n", "  events: sum(load)\n  late: count(amount)\n")
    head = head.replace("key: [country]", "key: [{ name: state, expr: country }]")
    expect = """    expect:
      - { window: "12:00", state: BE, events: null, late: 1 }
      - { window: "12:01", state: BE, events: null, late: 1 }
"""
    assert outcome(tmp_path / "good", head + EVENTS + expect).failures == ()
    bad = outcome(tmp_path / "bad", head + EVENTS + expect.replace("late: 1", "late: 2"))
    assert bad.failures[0].text.splitlines()[:2] == [
        "          window    state  events  late",
        "expected  12:00     BE     null    2",
    ]
