"""`pipelinekit status`: what a job's cluster says, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipelinekit.cli.main import cli
from pipelinekit.launch import deployment
from pipelinekit.launch.deployment import Deployment
from pipelinekit.plan.model import Plan
from pipelinekit.runtime.floors import fresh
from tests import plans
from tests.launch.fake_flink import JOB, PANES, PROGRESS, FakeFlink, fake_flink

COUNTS = plans.metric("counts", [plans.measure("n", "count()")], key=["country"])
PLAN = Plan("clicks", "local", plans.source(topic="clicks"), (COUNTS,), ())


@pytest.fixture
def flink() -> Iterator[FakeFlink]:
    with fake_flink() as fake:
        yield fake


SUBMITTED_AT_MS = 1_795_902_862_799  # five seconds before the recorded job's start


def status(flink: FakeFlink, folder: Path, *options: str) -> Result:
    """The verb, on a job that was submitted to the cluster."""
    record = Deployment(
        "clicks", "flink", JOB, SUBMITTED_AT_MS, 1, 1, 2, "", {}, fresh(PLAN, 0), PLAN
    )
    deployment.save(folder, record)
    names = ("JOB_ENDPOINT", "ARTIFACT_ENDPOINT", "WORKER_POOL", "CHECKPOINTS")
    where = {f"FLINK_{name}": "127.0.0.1:1" for name in names}
    return CliRunner().invoke(
        cli,
        ["status", "--state", str(folder), *options],
        env={**where, "FLINK_REST": flink.url},
        catch_exceptions=False,
    )


def lines(done: Result) -> dict[str, str]:
    """The table: what → its value."""
    rows = [line[2:].partition("  ") for line in done.stdout.splitlines()[1:]]
    return {what: value.strip() for what, _, value in rows}


def test_what_rows_lack_stands_in_the_table_with_its_meaning(
    flink: FakeFlink, tmp_path: Path
) -> None:
    flink.counters(PANES, rows=5, overflowed_rows=2049, orphan_events=4)
    done = status(flink, tmp_path)

    assert done.exit_code == 0
    found = lines(done)
    assert found["measures"] == "null in 2,049 rows, beyond their limits"
    assert found["keys"] == "more values than their limits in 3 windows"
    assert found["ALARM"] == "4 events met forgotten panes: a bug, report it"


@pytest.mark.parametrize("counted", [{}, {"overflowed_rows": 0, "orphan_events": 0}])
def test_where_nothing_lacks_the_table_says_nothing_of_it(
    flink: FakeFlink, tmp_path: Path, counted: dict[str, int]
) -> None:
    flink.counters(PANES, rows=5, **counted)
    flink.counters(PROGRESS, **({"overflowed_windows": 0} if counted else {}))
    done = status(flink, tmp_path)

    assert done.exit_code == 0
    assert {"measures", "keys", "ALARM"} & lines(done).keys() == set()


def test_json_has_the_counts_always_null_where_flink_has_none(
    flink: FakeFlink, tmp_path: Path
) -> None:
    flink.counters(PANES, rows=5, overflowed_rows=0)
    done = status(flink, tmp_path, "--format", "json")

    found = json.loads(done.stdout)["clicks"]
    assert (found["submitted_at_ms"], found["since_ms"]) == (SUBMITTED_AT_MS, 1_795_902_867_799)
    assert (found["overflowed_rows"], found["overflowed_windows"]) == (0, 3)
    assert found["orphan_events"] is None


def test_a_job_that_was_taken_over_shows_since_when_its_restarts_are_counted(
    flink: FakeFlink, tmp_path: Path
) -> None:
    taken_over_ms = flink.answers[f"/jobs/{JOB}"]["start-time"] + 3_600_000
    before = lines(status(flink, tmp_path))
    flink.answers[f"/jobs/{JOB}"] |= {"start-time": taken_over_ms, "duration": 7_000}
    after = lines(status(flink, tmp_path))

    assert before["submitted"] == after["submitted"] == "2026-11-28 21:54:22 UTC"
    assert before["running since"] == "2026-11-28 21:54:27 UTC: 52 s, 0 restarts"
    assert after["running since"] == "2026-11-28 22:54:27 UTC: 7 s, 0 restarts"
