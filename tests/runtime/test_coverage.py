"""Which branches tests reach, event by event."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelinekit.plan.build import build
from pipelinekit.runtime.coverage import Coverage, places
from pipelinekit.runtime.scenario import run_test
from tests.spec.projects import METRIC, check, make_project

HEAD = METRIC.split("tests:")[0]
KEY = """\
key:
  - { name: land, expr: "coalesce(country, '?')", values: [BE, NL] }
  - name: size
    expr: >-
      case when load > 9 then 'big' when load > 3 then case when bot then 'b' else 'h' end
      else 'small' end
"""
MEASURES = """\
measures:
  n: { measure: count(), filter: load > 3 }
  total: "sum(case when bot then 0 else load end)"
"""
FULL = HEAD.replace("key: [country]\n", KEY).replace(
    "measures:\n  n: count()\n  total: sum(amount)\n", MEASURES
)


def covered(folder: Path, metric: str, steps: str) -> dict[str, dict[str, int]]:
    test = f"tests:\n  - name: one\n    steps:\n{steps}"
    resolved, findings = check(make_project(folder, metric=metric + test))
    assert [f for f in findings if f.severity.value == "error"] == []
    (plan,) = build(resolved)
    coverage = Coverage(plan)
    for loaded in resolved.project.tests["views"]:
        run_test(plan, loaded.spec, observer=coverage)
    return places(coverage.reached)


def events(*texts: str) -> str:
    return "".join(f"      - events: [{{ t: '12:00:05', {text} }}]\n" for text in texts)


def test_every_branch_is_listed_though_nothing_reaches_it(tmp_path: Path) -> None:
    found = covered(tmp_path, FULL, events("kind: click, load: 5"))
    assert {place: set(branches) for place, branches in found.items()} == {
        "filter": {"true", "false"},
        "key land": {"__other__"},
        "key size": {
            "when load > 9", "when load > 3", "when bot", "else of when bot",
            "else of when load > 9",
        },
        "measure n filter": {"true", "false", "null"},
        "measure total": {"when bot", "else of when bot"},
        "lateness": {"on time", "corrected", "too late"},
        "dead letters": {"invalid"},
    }  # fmt: skip
    assert {n for branches in found.values() for n in branches.values()} == {0, 1}
    assert (found["filter"]["false"], sum(sum(b.values()) for b in found.values())) == (1, 1)


def test_events_are_counted_where_they_go(tmp_path: Path) -> None:
    steps = events(
        "kind: view, load: 10, country: BE",
        "kind: view, load: 4, country: FR, bot: true",
        "kind: view, load: 4",
        "kind: view",
        "kind: click, load: 10, country: FR",
    )
    found = covered(tmp_path, FULL, steps)
    assert found["filter"] == {"true": 4, "false": 1}
    assert found["key land"] == {"__other__": 3}
    assert found["key size"] == {
        "when load > 9": 1, "when load > 3": 2, "when bot": 1, "else of when bot": 1,
        "else of when load > 9": 1,
    }  # fmt: skip
    assert found["measure n filter"] == {"true": 3, "false": 0, "null": 1}
    assert found["measure total"] == {"when bot": 1, "else of when bot": 3}


def test_lateness_and_dead_letters(tmp_path: Path) -> None:
    steps = (
        events("kind: view, country: BE", "kind: click")
        + '      - watermark: "12:01:00"\n'
        + events("kind: view", "kind: view", "kind: click")
        + '      - watermark: "12:11:00"\n'
        + events("kind: view", "kind: click")
        + '      - raw: ["{", "[]"]\n'
        + "      - events: [{ t: '13:00:00', broker_time: '12:00:00', kind: view }]\n"
    )
    found = covered(tmp_path, HEAD, steps)
    assert found["lateness"] == {"on time": 1, "corrected": 2, "too late": 1}
    assert found["dead letters"] == {"invalid": 2}
    assert found["filter"] == {"true": 4, "false": 3}  # not the one from the future


@pytest.mark.parametrize(
    ("condition", "has_null"),
    [
        ("kind = 'view'", False),
        ("country = 'BE'", True),
        ("coalesce(country, 'x') = 'BE'", False),
        ("country is null", False),
        ("bot", False),
        ("10 / length(kind) > 1", True),
    ],
)
def test_null_is_a_branch_where_it_can_be(tmp_path: Path, condition: str, has_null: bool) -> None:
    metric = HEAD.replace("kind = 'view'", f'"{condition}"')
    found = covered(tmp_path, metric, events("kind: view"))
    assert ("null" in found["filter"]) == has_null


def test_without_lateness_nothing_can_be_corrected(tmp_path: Path) -> None:
    metric = HEAD.replace("allowed: 10m", "allowed: 0s")
    found = covered(tmp_path, metric, events("kind: view"))
    assert found["lateness"] == {"on time": 1, "too late": 0}


@pytest.mark.parametrize(
    ("window", "lateness"),
    [
        ("{ sliding: 2m, every: 1m }", {"on time": 1, "corrected": 2, "too late": 1}),
        ("{ cumulative: 1h, every: 1m }", {"on time": 1, "corrected": 2, "too late": 0}),
        ("{ session: 30s, max: 1h }", {"on time": 1, "too late": 3}),
    ],
)
def test_lateness_of_every_kind_of_window(
    tmp_path: Path, window: str, lateness: dict[str, int]
) -> None:
    metric = HEAD.replace("{ tumbling: 1m }", window).replace(
        "10m", "3m" if "2m" in window else "1m"
    )
    steps = (
        events("kind: view, country: BE")
        + '      - watermark: "12:01:30"\n'
        + events("kind: view", "kind: view")
        + '      - watermark: "12:05:00"\n'
        + ("" if "cumulative" in window else events("kind: view"))
    )
    assert covered(tmp_path, metric, steps)["lateness"] == lateness


STAGE = """\
kind: metric
name: totals
from: views
filter: n > 1
key: [{ name: land, expr: country, values: [BE] }]
measures:
  many: { measure: count(), filter: n > 2 }
  size: "sum(case when n > 3 then 1 else 0 end)"
window: { tumbling: 1h }
tests:
  - name: one
    steps:
      - events:
          - { t: "12:00:05", kind: view, country: BE }
          - { t: "12:00:06", kind: view, country: BE }
          - { t: "12:00:07", kind: view, country: BE }
          - { t: "12:00:07", kind: view, country: NL }
    expect: [{ window: "12:00", land: BE, many: 1 }]
"""


def test_a_second_stage_counts_the_rows_that_it_is_over(tmp_path: Path) -> None:
    resolved, findings = check(make_project(tmp_path, **{"metrics/totals.yaml": STAGE}))
    assert [f for f in findings if f.severity.value == "error"] == []
    plan = build(resolved, {"totals"})[0]
    coverage = Coverage(plan)
    for loaded in resolved.project.tests["totals"]:
        assert run_test(plan, loaded.spec, observer=coverage).passed
    assert places(coverage.reached) == {
        "filter": {"true": 1, "false": 1},
        "key land": {"__other__": 0},
        "measure many filter": {"true": 1, "false": 0},
        "measure size": {"when n > 3": 0, "else of when n > 3": 1},
    }
