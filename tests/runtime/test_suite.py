"""Many tests over processes end as they do one after another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipelinekit.plan.build import build
from pipelinekit.runtime.suite import Outcomes, Suite, run_suites
from tests.spec.projects import METRIC, check, make_project

WRONG = METRIC.split("tests:\n")[1].replace("one view", "a wrong one").replace("n: 1", "n: 3")


def told(outcomes: Outcomes) -> tuple[object, ...]:
    return tuple(replace(r, seconds=0) for r in outcomes.results), outcomes.reached


def test_processes_give_the_same_in_the_same_order(tmp_path: Path) -> None:
    resolved, _ = check(make_project(tmp_path, metric=METRIC + WRONG))
    (plan,) = build(resolved)
    right, wrong = (test.spec for test in resolved.project.tests["views"])
    suites = [Suite(plan, tests) for tests in ((right,), (wrong, right), (), (right, right))] * 12
    alone = list(run_suites(suites, is_coverage=True, processes=1))
    assert [[r.passed for r in o.results] for o in alone[:4]] == [
        [True], [False, True], [], [True, True],
    ]  # fmt: skip
    shared = run_suites(suites, is_coverage=True, processes=2)
    assert [told(o) for o in shared] == [told(o) for o in alone]


def test_few_tests_stay_in_this_process(tmp_path: Path) -> None:
    resolved, _ = check(make_project(tmp_path))
    (plan,) = build(resolved)
    (test,) = resolved.project.tests["views"]
    seen: list[object] = []

    def through(plan: object) -> None:
        seen.append(plan)

    outcomes = list(run_suites([Suite(plan, (test.spec,))] * 3, through=through))
    assert [o.reached for o in outcomes] == [None] * 3
    assert seen == [plan] * 3
