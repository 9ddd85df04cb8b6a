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


def windowed(window: str, lateness: str, steps: str) -> str:
    head = METRIC.split("tests:")[0].replace("{ tumbling: 1m }", f"{{ {window} }}")
    return head.replace("{ allowed: 10m }", f"{{ allowed: {lateness} }}") + steps


def test_sliding_windows_hold_a_late_event_where_they_are_still_open(tmp_path: Path) -> None:
    steps = """\
tests:
  - name: two windows hold each event, a late one only what is open
    steps:
      - events: [{ t: "12:00:35", id: a, kind: view, country: BE }]
      - watermark: "12:01:10"
      - expect:
          - { window: "12:00", window_end: "12:01:00", country: BE, n: 1, state: final }
          - { window: "12:00:30", window_end: "12:01:30", country: BE, n: 1, state: provisional }
      - restart: {}
      - events: [{ t: "12:00:40", id: b, kind: view, country: BE }]
      - expect:
          - { window: "12:00", country: BE, n: 2, state: corrected, late: 1 }
          - { window: "12:00:30", country: BE, n: 2, state: provisional, late: 0 }
      - watermark: "12:01:20"
      - events: [{ t: "12:00:50", id: c, kind: view, country: BE }]
      - expect_dead_letters: []
      - watermark: "12:01:50"
      - events: [{ t: "12:00:55", id: d, kind: view, country: BE }]
      - expect_dead_letters: [{ id: d, reason: too_late }]
    expect:
      - { window: "12:00", country: BE, n: 2, late: 1 }
      - { window: "12:00:30", country: BE, n: 3, late: 0 }
"""
    text = windowed("sliding: 1m, every: 30s", "20s", steps)
    assert outcome(tmp_path, text).failures == ()


def test_a_cumulative_row_counts_from_the_period_on_and_missed_ticks_stay(tmp_path: Path) -> None:
    steps = """\
tests:
  - name: ticks with events, each with all before it
    steps:
      - events:
          - { t: "12:00:10", id: a, kind: view, country: BE }
          - { t: "12:02:10", id: b, kind: view, country: BE }
      - restart: {}                     # W is 12:02:08: the first tick is closed for good
      - events: [{ t: "12:00:50", id: c, kind: view, country: BE }]
      - expect:
          - { window: "12:00", window_end: "12:01:00", country: BE, n: 1, state: final }
          - { window: "12:00", window_end: "12:02:00", country: BE, n: 2, state: corrected }
          - { window: "12:00", window_end: "12:03:00", country: BE, n: 3, state: provisional }
      - watermark: "13:00:05"
      - restart: {}
      - events: [{ t: "12:59:59", id: d, kind: view, country: BE }]
      - watermark: "13:00:20"
      - events: [{ t: "12:59:59", id: e, kind: view, country: BE }]
    expect:
      - { window: "12:00", window_end: "12:01:00", country: BE, n: 1 }
      - { window: "12:00", window_end: "12:02:00", country: BE, n: 2 }
      - { window: "12:00", window_end: "12:03:00", country: BE, n: 3, late: 0 }
      - { window: "12:00", window_end: "13:00:00", country: BE, n: 4, late: 1, state: corrected }
    expect_dead_letters: [{ id: e, reason: too_late }]
"""
    text = windowed("cumulative: 1h, every: 1m", "10s", steps)
    assert outcome(tmp_path, text).failures == ()


def test_a_session_is_written_once_when_nothing_can_change_it(tmp_path: Path) -> None:
    steps = """\
tests:
  - name: two visits are one when an event between them comes
    steps:
      - events:
          - { t: "12:00:00", id: a, kind: view, country: BE }
          - { t: "12:50:00", id: b, kind: view, country: BE }
          - { t: "12:10:00", id: x, kind: view, country: NL }
      - restart: {}
      - events: [{ t: "12:25:00", id: c, kind: view, country: BE }]
      - watermark: "13:39:59"
      - expect: []
      - watermark: "13:40:00"
      - expect: [{ window: "12:10", window_end: "12:40", country: NL, n: 1, state: final }]
      - events: [{ t: "12:40:00", id: late, kind: view, country: NL }]
      - restart: {}
      - watermark: "14:20:00"
    expect:
      - { window: "12:10", window_end: "12:40", country: NL, n: 1 }
      - { window: "12:00", window_end: "13:20", country: BE, n: 3, state: final }
    expect_dead_letters: [{ id: late, reason: too_late }]
"""
    text = windowed("session: 30m", "1h", steps)
    assert outcome(tmp_path, text).failures == ()


@pytest.mark.parametrize(
    ("window", "base", "lengths"),
    [
        # In Brussels the one day has 23 hours, the other 25.
        ("tumbling: 1d, timezone: Europe/Brussels", "2024-03-31", {"2024-04-01": 82_800}),
        ("tumbling: 1d, timezone: Europe/Brussels", "2024-10-27", {"2024-10-28": 90_000}),
        ("tumbling: 1mo", "2024-02-29", {"2024-03-01": 29 * 86_400}),
        ("sliding: 1m, every: 30s", "2024-01-01", {"12:00:30": 60, "12:01:00": 60}),
        ("cumulative: 1d, every: 1m", "2024-01-01", {"12:01:00": 43_260}),
        ("session: 30m", "2024-01-01", {"12:30:08": 8}),  # the time between its events
    ],
)
def test_rate_divides_by_the_true_length_of_the_row(
    tmp_path: Path, window: str, base: str, lengths: dict[str, int]
) -> None:
    starts = {"2024-04-01": base, "2024-10-28": base, "2024-03-01": "2024-02-01",
              "12:00:30": "11:59:30"}  # fmt: skip
    start = "00:00" if window.startswith("cumulative") else "12:00"
    rows = "".join(
        f'      - {{ window: "{starts.get(end, start)}", window_end: "{end}", country: BE, '
        f"rate: {{ approx: {2 / seconds!r}, within: 1e-15 }} }}\n"
        for end, seconds in lengths.items()
    )
    steps = f"""\
tests:
  - name: two views
    base: {base}
    steps:
      - events:
          - {{ t: "12:00:00", kind: view, country: BE }}
          - {{ t: "12:00:08", kind: view, country: BE }}
      - watermark: "14:00:00"
    expect:
{rows}"""
    text = windowed(window, "1h", steps).replace(
        "  total: sum(amount)\n", "  rate: { rate_per_second: n }\n"
    )
    assert outcome(tmp_path, text).failures == ()


def test_session_of_a_single_moment_has_no_rate(tmp_path: Path) -> None:
    steps = """\
tests:
  - name: two events of one millisecond
    steps:
      - events:
          - { t: "12:00:00", kind: view, country: BE }
          - { t: "12:00:00", kind: view, country: BE }
      - watermark: "14:00:00"
    expect: [{ window: "12:00", country: BE, n: 2, rate: null }]
"""
    text = windowed("session: 30m", "1h", steps).replace(
        "  total: sum(amount)\n", "  rate: { rate_per_second: n }\n"
    )
    assert outcome(tmp_path, text).failures == ()


LISTS = """\
tests:
  - name: lists
    steps:
      - events:
          - { t: "12:00:00", kind: view, country: BE, amount: "1.5", load: 3 }
          - { t: "12:00:01", kind: view, country: BE, amount: "1.50", load: 5 }
          - { t: "12:00:02", kind: view, country: BE, amount: "0.25" }
    expect:
      - { window: "12:00", country: BE, bins: [1, 1], top: TOP, most: null }
"""


def lists(top: str) -> str:
    head = METRIC.split("tests:")[0].replace(
        "  total: sum(amount)\n",
        """\
  bins: "histogram(load, [5])"
  top: { measure: "most_frequent(amount, 2)", max_values: 2 }
  most: { measure: "most_frequent(amount, 2)", max_values: 1 }
""",
    )
    return head + LISTS.replace("TOP", top)


def test_lists_are_compared_value_by_value(tmp_path: Path) -> None:
    good = '[{ value: "1.5", count: 2 }, { value: "0.25", count: 1 }]'
    assert outcome(tmp_path / "good", lists(good)).failures == ()
    for number, bad in enumerate(
        (
            '[{ value: "1.5", count: 2 }]',
            '[{ value: "0.25", count: 1 }, { value: "1.5", count: 2 }]',
            '[{ value: "1.5", count: 2 }, { value: "0.25", count: 2 }]',
            '[{ value: "1.5", count: 2 }, { value: "0.25" }]',
            '["1.5", "0.25"]',
            "1",
        )
    ):
        (failure,) = outcome(tmp_path / str(number), lists(bad)).failures
        actual = failure.text.splitlines()[-1]
        assert "[{ value: 1.50, count: 2 }, { value: 0.25, count: 1 }]" in actual
