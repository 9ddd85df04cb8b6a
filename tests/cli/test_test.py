"""`pipelinekit test` with --update and --coverage, as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_main import run
from tests.spec.projects import METRIC, make_project

WRONG = METRIC.replace("n: 1 }]", "n: 3 }]  # a remark")


def test_update_writes_prints_what_changed_and_the_tests_pass(tmp_path: Path) -> None:
    folder = make_project(tmp_path, metric=WRONG)
    done = run("test", "--update", cwd=folder)
    assert (done.returncode, done.stdout) == (0, "metrics/views.yaml:16: n: 3 → 1\n")
    assert done.stderr == "0 passed before, 1 updated, 0 not updated\n"
    assert (folder / "metrics/views.yaml").read_text() == WRONG.replace("n: 3", "n: 1")
    assert run("test", "-q", cwd=folder).returncode == 0


def test_update_of_chosen_tests_leaves_the_others(tmp_path: Path) -> None:
    second = WRONG.split("tests:\n")[1].replace("one view", "another")
    folder = make_project(tmp_path, metric=WRONG + second)
    done = run("test", "--update", "-k", "another", "--format", "json", cwd=folder)
    assert json.loads(done.stdout) == {
        "files": ["metrics/views.yaml"],
        "changed": ["metrics/views.yaml:20: n: 3 → 1"],
        "refused": [],
    }
    text = (folder / "metrics/views.yaml").read_text()
    assert text == WRONG + second.replace("n: 3", "n: 1")


def test_update_goes_with_the_engine_alone(tmp_path: Path) -> None:
    done = run("test", "--update", "--runner", "direct", cwd=make_project(tmp_path))
    assert done.returncode == 2
    assert "--update takes what the engine gives" in done.stderr


def test_coverage_shows_the_lateness_rule_that_no_test_shows(tmp_path: Path) -> None:
    folder = make_project(tmp_path)
    done = run("test", "-q", "--coverage", cwd=folder)
    assert (done.returncode, done.stdout) == (
        0,
        "views: 2 of 6 branches\n"
        "  filter        true 1, false NEVER\n"
        "  lateness      on time 1, corrected NEVER, too late NEVER\n"
        "  dead letters  invalid NEVER\n",
    )
    (found,) = json.loads(run("test", "--coverage", "--format", "json", cwd=folder).stdout)[
        "coverage"
    ]
    assert (found["metric"], found["reached"]) == ("views", 2)
    assert {"place": "lateness", "branch": "too late", "events": 0} in found["branches"]


def test_on_flink_without_a_cluster_says_how_to_start_one(tmp_path: Path) -> None:
    done = run("test", "--runner", "flink", cwd=make_project(tmp_path))
    assert done.returncode == 2
    assert "no Flink cluster is up here" in done.stderr
    assert "pipelinekit up flink" in done.stderr


@pytest.mark.flink
def test_on_flink_tests_pass_and_fail_as_on_the_engine_all_in_one_job(
    flink, tmp_path: Path
) -> None:
    steps = """\
  - name: corrected
    steps:
      - events: [{ t: "12:00:05", kind: view, country: BE, amount: "2.50" }]
      - events: [{ t: "12:01:30", kind: view, country: NL }]
      - expect: [{ window: "12:00", country: BE, n: 1 }, { window: "12:01", country: NL, n: 1 }]
      - events: [{ t: "12:00:30", kind: view, country: BE, amount: "1.00" }]
    expect:
      - { window: "12:00", country: BE, n: 2, total: "3.50", state: corrected }
      - { window: "12:01", country: NL, n: 1 }
"""
    folder = make_project(tmp_path, metric=WRONG + steps)
    stack = folder / ".pipelinekit/local/stack"
    stack.mkdir(parents=True)
    (stack / "flink").symlink_to(flink.folder)

    done = run("test", "--runner", "flink", cwd=folder)

    *told, total = done.stdout.splitlines()
    assert [line.split(":")[0] for line in told if not line.startswith(" ")] == [
        "FAILED  views",
        "passed  views",
    ]
    assert "    actual    12:00:00  BE       1" in told
    assert total.startswith("1 passed, 1 failed in ")
    assert done.stderr == "flink: pipeline 1 of 1, expectations: 3; some seconds\n"
