"""Tests that there are, and that can be run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.spec.projects import METRIC, check, make_project

EVENT = '{ t: "12:00:05", kind: view }'


def found(tmp_path: Path, steps: str, more: str = "") -> list[str]:
    tests = f"tests:\n  - name: x\n    steps: [{steps}]\n{more}"
    folder = make_project(tmp_path, metric=METRIC.split("tests:")[0] + tests)
    return [f"{f.code} {f.path.removeprefix('tests[0].')}" for f in check(folder)[1]]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (f"{{ events: [{EVENT}] }}", []),
        ('{ watermark: "12:00", now: "12:00" }', ["PK602 steps[0]"]),
        ("{}", ["PK602 steps[0]"]),
        ("{ events: [{ kind: view }] }", ["PK603 steps[0].events[0]"]),
        ('{ events: [{ t: "12:00", kidn: view }] }', ["PK603 steps[0].events[0].kidn"]),
        ('{ events: [{ t: "12:00", partition: 16 }] }', ["PK603 steps[0].events[0].partition"]),
        ('{ events: [{ t: "12:00", partition: x }] }', ["PK603 steps[0].events[0].partition"]),
        ("{ events: [{ t: 1704110400000 }] }", []),
        ('{ events: [{ t: "2024-01-31T12:00:05+01:00" }] }', []),
        ('{ events: [{ t: "12:00:60" }] }', ["PK604 steps[0].events[0].t"]),
        ("{ events: [{ t: null }] }", ["PK604 steps[0].events[0].t"]),
        ('{ events: [{ t: "12:00", broker_time: noon }] }',
         ["PK604 steps[0].events[0].broker_time"]),
        ('{ watermark: "24:00" }', ["PK604 steps[0].watermark"]),
        ('{ now: "12" }', ["PK604 steps[0].now"]),
        ('{ raw: [{ text: "{", broker_time: "9:00" }] }', ["PK604 steps[0].raw[0].broker_time"]),
        ('{ expect: [{ window: "12:00", m: 1 }] }', ["PK605 steps[0].expect[0].m"]),
        ("{ expect: [{ n: 1 }] }", ["PK605 steps[0].expect[0]"]),
        ('{ expect: { contains: [{ window: "x" }] } }',
         ["PK604 steps[0].expect.contains[0].window"]),
        ('{ expect: [{ window: "12:00", grain: 1h }] }', ["PK605 steps[0].expect[0].grain"]),
        ('{ expect: [{ window: "12:00", grain: 1m, state: final, late: 0, events: 1 }] }', []),
        ("{ expect_dead_letters: [{ reason: late }] }",
         ["PK605 steps[0].expect_dead_letters[0].reason"]),
        ("{ expect_dead_letters: [{ reason: too_late }] }", []),
    ],
)  # fmt: skip
def test_step_that_can_not_be_run_is_found(tmp_path: Path, steps: str, expected: list[str]) -> None:
    assert found(tmp_path, steps) == expected


def test_base_is_a_day_of_the_calendar(tmp_path: Path) -> None:
    step = '{ watermark: "12:00" }'
    assert found(tmp_path, step, '    base: "2024-02-30"\n') == ["PK604 base"]
    assert found(tmp_path, step, '    base: "2024-02-29"\n') == []


def test_final_expectation_is_checked_too(tmp_path: Path) -> None:
    step = '{ watermark: "12:00" }'
    assert found(tmp_path, step, '    expect: [{ window: "12:00", x: 1 }]\n') == [
        "PK605 expect[0].x"
    ]


@pytest.mark.parametrize("idle", ["-1", "16", "[0, 99]"])
def test_partitions_of_a_test_are_few(tmp_path: Path, idle: str) -> None:
    metric = METRIC.split("tests:")[0]
    metric += f"tests: [{{ name: x, steps: [{{ idle: {idle} }}] }}]\n"
    assert "PK104" in [f.code for f in check(make_project(tmp_path, metric=metric))[1]]


def test_metric_without_tests_is_a_warning(tmp_path: Path) -> None:
    folder = make_project(tmp_path, metric=METRIC.split("tests:")[0])
    assert [f.code for f in check(folder)[1]] == ["PK600"]
