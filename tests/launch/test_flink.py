"""What is read from Flink about a job."""

from __future__ import annotations

import pytest

from pipelinekit.cli.jobs import flink_job
from pipelinekit.errors import Refused, UsageError
from pipelinekit.launch.deployment import Deployment
from pipelinekit.launch.flink import FlinkRest, cancel, status
from pipelinekit.plan.model import Plan
from tests import plans
from tests.launch.fake_flink import JOB, PANES, PROGRESS, FakeFlink


def test_status_is_what_the_stages_of_the_job_count(flink: FakeFlink) -> None:
    found = status(FlinkRest(flink.url), JOB)

    assert (found.state, found.running_ms, found.restarts) == ("RUNNING", 52_868, 0)
    assert found.since_ms == 1_795_902_867_799
    assert found.watermark_ms == 1_795_902_918_018
    assert found.messages > 17_666
    assert found.messages_per_second > 0
    assert (found.lag, found.dead_letters, found.rows) == (0, 109, 21_191)
    assert (found.checkpoint_bytes, found.checkpoint_ms, found.checkpoints_failed) == (
        1_080_668, 387, 2,
    )  # fmt: skip
    assert found.last_error is None


def test_status_says_what_rows_lack(flink: FakeFlink) -> None:
    found = status(FlinkRest(flink.url), JOB)

    assert (found.overflowed_rows, found.overflowed_windows) == (2_049, 3)
    assert found.orphan_events is None  # Flink has no counter that never counted


def test_each_counter_is_read_from_the_stage_that_has_it(flink: FakeFlink) -> None:
    flink.counters(PANES, rows=5, overflowed_rows=0, orphan_events=4)
    flink.counters(PROGRESS)

    found = status(FlinkRest(flink.url), JOB)

    assert (found.rows, found.overflowed_rows, found.orphan_events) == (5, 0, 4)
    assert found.overflowed_windows is None


@pytest.mark.parametrize("ended", ["FINISHED", "CANCELED", "FAILED"])
def test_a_job_that_ended_by_itself_needs_no_cancel(flink: FakeFlink, ended: str) -> None:
    flink.then = [409]  # what Flink says to the cancel of such a job
    flink.answers[f"/jobs/{JOB}"]["state"] = ended

    assert cancel(FlinkRest(flink.url), JOB) == ended


def test_a_refused_cancel_of_a_job_that_goes_on_is_an_error(flink: FakeFlink) -> None:
    flink.then = [409]

    with pytest.raises(Refused, match=f"refused PATCH /jobs/{JOB}.*409"):
        cancel(FlinkRest(flink.url), JOB)


def test_the_cause_behind_a_failure_is_told_with_where_it_showed(flink: FakeFlink) -> None:
    flink.answers[f"/jobs/{JOB}/exceptions"] = {
        "exceptionHistory": {
            "entries": [
                {
                    "stacktrace": "x.JobInitializationException: Could not start the JobMaster.\n"
                    "\tat x.y.Z.run(Z.java:97)\n"
                    "Caused by: java.io.IOException: no file system\n\tat x.y.Z.run(Z.java:12)\n"
                    "Caused by: store.NoSuchBucket: s3://checkpiont\n\t... 5 more\n"
                }
            ]
        }
    }

    found = status(FlinkRest(flink.url), JOB).last_error

    assert found == (
        "x.JobInitializationException: Could not start the JobMaster. … "
        "Caused by: store.NoSuchBucket: s3://checkpiont"
    )


def record(runner_job: str) -> Deployment:
    plan = Plan("clicks", "local", plans.source(topic="clicks"), (), ())
    return Deployment("clicks", "flink", runner_job, 0, 1, 1, 2, "", {}, {}, plan)


def test_the_running_job_of_the_name_is_meant_whatever_id_the_record_has(flink: FakeFlink) -> None:
    assert flink_job(FlinkRest(flink.url), record("0" * 32)) == JOB


@pytest.mark.parametrize(
    ("runner_job", "reason"),
    [("", "did not get that far"), ("0" * 32, f"it has forgotten {'0' * 32}")],
)
def test_a_job_that_flink_does_not_know_is_said_to_be_so(
    flink: FakeFlink, runner_job: str, reason: str
) -> None:
    flink.answers["/jobs/overview"]["jobs"][0]["name"] = "another"

    with pytest.raises(UsageError, match=f"has no job clicks: .*{reason}"):
        flink_job(FlinkRest(flink.url), record(runner_job))


def test_one_that_takes_a_job_over_just_now_is_asked_again(flink: FakeFlink) -> None:
    flink.then = ["…UnavailableDispatcherOperationException: Unable to get JobMasterGateway"] * 2

    assert FlinkRest(flink.url).job(JOB)["jid"] == JOB
    assert len(flink.asked) == 3
