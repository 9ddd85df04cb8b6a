"""The canonical text of plans: the example project's as golden files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelinekit.plan.build import build
from pipelinekit.plan.model import Plan
from pipelinekit.plan.render import render
from pipelinekit.spec.loading import load
from pipelinekit.spec.resolve import resolve
from tests.spec.projects import METRIC, check, make_project

SPECS = Path(__file__).parents[2] / "specs"
GOLDEN = Path(__file__).parent / "golden"
HEAD = METRIC.split("tests:")[0]


@pytest.mark.parametrize("environment", ["local", "production"])
def test_plans_of_the_example_project(
    environment: str, golden: Callable[[Path, str], None]
) -> None:
    project, report = load(SPECS, environment)
    assert not report.has_errors
    plans = build(resolve(project))
    assert [plan.job for plan in plans] == ["user_events"]
    for plan in plans:
        golden(GOLDEN / f"{plan.job}.{environment}.txt", render(plan))


def state_line(folder: Path, metric: str) -> str:
    resolved, _ = check(make_project(folder, metric=metric))
    (plan,) = build(resolved)
    (line,) = [line for line in render(plan).splitlines() if line.startswith("    state ")]
    return line.removeprefix("    state ")


def test_state_of_open_keys_is_said_for_a_thousand(tmp_path: Path) -> None:
    assert state_line(tmp_path, HEAD) == (
        "12 windows of 1m; a row a key and window, about 210 B: 1,000 keys in each are 2.4 MiB"
    )


def test_state_of_listed_keys_has_an_end(tmp_path: Path) -> None:
    key = "[{ name: country, values: [BE, NL] }]"
    text = HEAD.replace("[country]", key).replace("total: sum(amount)", "last: last(kind)")
    assert state_line(tmp_path, text) == (
        "12 windows of 1m; at most 4 rows each, about 420 B: at most 19.7 KiB"
    )


def test_limit_of_a_key_is_shown_and_is_no_part_of_the_state(tmp_path: Path) -> None:
    def plan_of(folder: str, key: str) -> Plan:
        text = HEAD.replace("[country]", key)
        (plan,) = build(check(make_project(tmp_path / folder, metric=text))[0])
        return plan

    plain, watched = plan_of("a", "[country]"), plan_of("b", "[{ name: country, max_values: 5 }]")
    assert watched.metrics[0].state_name == plain.metrics[0].state_name
    before, after = render(plain).splitlines(), render(watched).splitlines()
    new = [line for line in after if line not in before]
    assert new == ["    key country: string = country, alert beyond 5 values"]
    assert len(after) == len(before)


def test_sets_grow_with_their_values(tmp_path: Path) -> None:
    text = HEAD.replace(
        "total: sum(amount)", "users: { measure: count_distinct(user), max_values: 9 }"
    ).replace("key: [country]\n", "")
    assert state_line(tmp_path, text) == (
        "12 windows of 1m; at most 1 rows each, about 340 B and 80 B a distinct value: "
        "at most 4.0 KiB"
    )


def test_sketches_are_said_from_small_to_full(tmp_path: Path) -> None:
    text = HEAD.replace("total: sum(amount)", "users: approx_count_distinct(user)")
    assert state_line(tmp_path, text) == (
        "12 windows of 1m; a row a key and window, about 480 B, 16.3 KiB with full sketches: "
        "1,000 keys in each are 5.5 MiB to 190.9 MiB"
    )
