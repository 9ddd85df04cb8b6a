"""`--update`: which tests change, what stays, and that they pass afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelinekit.plan.build import build
from pipelinekit.runtime.scenario import run_test
from pipelinekit.runtime.updating import Update, update
from tests.runtime.layouts import Layouts
from tests.spec.projects import METRIC, check, make_project

HEAD = METRIC.split("tests:")[0].replace("window:", "rollups: [1h, 1d]\nwindow:")
STEPS = """\
tests:   # with time
  - name: one
    steps:
      - events: [{ t: "12:00:05", kind: view, country: BE, amount: "1.50" }]
      - watermark: "12:01:00"
      - events:
          - { t: "12:00:06", kind: view, country: BE, id: b }
          - { t: "12:00:07", kind: view, country: NL, id: c }
      - raw: "{"
      - watermark: "12:11:00"
      - events: [{ t: "12:00:08", kind: view, id: d }]
"""


def made(folder: Path, text: str) -> tuple[str, Update]:
    """The metric's new text, and the whole update; the tests of the new text pass."""
    resolved, _ = check(make_project(folder, metric=text))
    (plan,) = build(resolved)
    tests = resolved.project.tests["views"]
    found = update([(run_test(plan, t.spec), t, plan) for t in tests])
    (new,) = found.texts.values() or [text]
    if not found.refused:
        again, _ = check(make_project(folder, metric=new))
        assert all(run_test(plan, t.spec).passed for t in again.project.tests["views"])
    return new, found


def test_wrong_values_change_alone_and_remarks_stay(tmp_path: Path) -> None:
    expect = """\
    expect:
      # Belgium
      - window: "12:00"
        country: BE
        n: 7   # both
        total: { approx: 1.4, within: 0.01 }
      - { window: "12:00", country: NL, n: 1, state: final, total: null }   # late
"""
    new, found = made(tmp_path, HEAD + STEPS + expect)
    expect = expect.replace("n: 7", "n: 2").replace("1.4", "1.5").replace("final", "corrected")
    assert new == HEAD + STEPS + expect
    assert [line.partition("views.yaml")[2] for line in found.changed] == [
        ":28: n: 7 → 2",
        ":29: total: { approx: 1.4, within: 0.01 } → { approx: 1.5, within: 0.01 }",
        ":30: state: final → corrected",
    ]


def test_rows_come_and_go_with_the_columns_of_the_others(tmp_path: Path) -> None:
    expect = """\
      - expect:
          - { window: "11:00", country: BE, n: 1 }
          - { window: "12:00", country: BE, n: 2 }
          - { window: "12:00", grain: 1d, country: BE, n: 2 }
    expect: []
"""
    new, _ = made(tmp_path, HEAD + STEPS + expect)
    expect = """\
      - expect:
          - { window: "12:00", country: BE, n: 2 }
          - { window: "2024-01-01", grain: 1d, country: BE, n: 2 }
          - { window: "12:00", country: NL, n: 1 }
          - { window: "2024-01-01", grain: 1d, country: NL, n: 1 }
    expect:
      - { window: "12:00", country: BE, n: 2, total: "1.50" }
      - { window: "12:00", country: NL, n: 1, total: null }
"""
    assert new == HEAD + STEPS + expect


def test_row_of_another_key_takes_the_place_of_the_one_of_its_window(tmp_path: Path) -> None:
    expect = """\
    expect:
      - { window: "12:00", country: FR, n: 2 }   # not France
      - { window: "12:00", country: NL, n: 1 }
"""
    new, _ = made(tmp_path, HEAD + STEPS + expect)
    assert new == HEAD + STEPS + expect.replace("FR", "BE")


def test_contains_gets_no_more_rows(tmp_path: Path) -> None:
    expect = """\
    expect:
      contains:
        - { window: "12:00", country: NL, n: 3 }
        - { window: "13:00", country: NL, n: 3 }
"""
    new, _ = made(tmp_path, HEAD + STEPS + expect)
    assert (
        new
        == HEAD
        + STEPS
        + """\
    expect:
      contains:
        - { window: "12:00", country: NL, n: 1 }
"""
    )


def test_dead_letters_are_named_by_their_id_or_text(tmp_path: Path) -> None:
    expect = """\
    expect_dead_letters: [{ id: d, reason: invalid }, { id: e }]
"""
    new, _ = made(tmp_path, HEAD + STEPS + expect)
    assert (
        new
        == HEAD
        + STEPS
        + """\
    expect_dead_letters: [{ id: d, reason: too_late }, { raw: "{", reason: invalid }]
"""
    )


def test_tests_that_pass_stay_as_they_are(tmp_path: Path) -> None:
    first = STEPS + '    expect: { contains: [{ window: "12:00", country:   NL, n: 1 }] }\n'
    second = (
        first.replace("tests:   # with time\n", "").replace("one", "two").replace("n: 1", "n: 4")
    )
    new, found = made(tmp_path, HEAD + first + second)
    assert new == HEAD + first + second.replace("n: 4", "n: 1")
    assert len(found.changed) == 1


@pytest.mark.parametrize("place", ["    expect:", "      - expect:"])
def test_test_file_changes_and_not_the_metric(tmp_path: Path, place: str) -> None:
    text = "kind: test\nmetric: views\n" + STEPS + f"{place} []\n"
    folder = make_project(tmp_path, metric=HEAD, **{"metrics/views.test.yaml": text})
    resolved, _ = check(folder)
    (plan,) = build(resolved)
    (test,) = resolved.project.tests["views"]
    found = update([(run_test(plan, test.spec), test, plan)])
    assert [Path(file).name for file in found.texts] == ["views.test.yaml"]


def test_step_that_cannot_be_run_leaves_its_test_alone(tmp_path: Path) -> None:
    resolved, _ = check(make_project(tmp_path, metric=HEAD + STEPS + "    expect: []\n"))
    (plan,) = build(resolved)
    (test,) = resolved.project.tests["views"]
    steps = [test.spec.steps[1].model_copy(update={"watermark": "noon"}), *test.spec.steps]
    broken = test.spec.model_copy(update={"steps": steps})
    found = update([(run_test(plan, broken), test, plan)])
    assert (found.texts, found.changed) == ({}, [])
    (why,) = found.refused
    assert 'tests[0].steps[0] can\'t be run: "noon" is no time' in why


@pytest.mark.parametrize("seed", range(40))
def test_whatever_the_layout_the_tests_pass_afterwards(tmp_path: Path, seed: int) -> None:
    text = HEAD + STEPS + Layouts(seed).draw()
    new, found = made(tmp_path, text)
    assert found.refused == []
    assert new.startswith(HEAD + STEPS)
    again, nothing = made(tmp_path / "again", new)
    assert (again, nothing.texts) == (new, {})


def test_rows_of_ticks_are_told_apart_by_their_end(tmp_path: Path) -> None:
    head = METRIC.split("tests:")[0].replace("tumbling: 1m", "cumulative: 1h, every: 1m")
    steps = """\
tests:
  - name: one
    steps:
      - events:
          - { t: "12:00:05", kind: view, country: BE }
          - { t: "12:02:05", kind: view, country: BE }
    expect: [{ window: "12:00", window_end: "12:01", country: BE, n: 7 }]
"""
    new, _ = made(tmp_path, head + steps)
    assert (
        new.removeprefix(head + steps.rsplit("    expect:", 1)[0])
        == """\
    expect:
      - { window: "12:00", window_end: "12:01", country: BE, n: 1 }
      - { window: "12:00", window_end: "12:03", country: BE, n: 2 }
"""
    )
    new, _ = made(tmp_path, head + steps.rsplit("[{", 1)[0] + "[]\n")
    assert new.count("window_end") == 2
