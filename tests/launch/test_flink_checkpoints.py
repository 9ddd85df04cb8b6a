"""From which checkpoint the next submission of a job goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelinekit.errors import Refused
from pipelinekit.launch.flink_checkpoints import newest_checkpoint
from pipelinekit.launch.flink_rest import FlinkRest
from tests.launch.fake_flink import JOB, FakeFlink

FORGOTTEN = "0" * 32


def latest(flink: FakeFlink, **found: tuple[int, str]) -> None:
    """Let Flink's newest of each kind be these: number and path."""
    flink.answers[f"/jobs/{JOB}/checkpoints"]["latest"] = {
        kind: {"id": number, "external_path": path} for kind, (number, path) in found.items()
    }


def test_flink_knows_it_where_this_machine_sees_no_folder(flink: FakeFlink) -> None:
    latest(flink, completed=(17, f"s3://store/c/{JOB}/chk-17"))

    found = newest_checkpoint(FlinkRest(flink.url), "s3://store/c", JOB)

    assert found == f"s3://store/c/{JOB}/chk-17"


@pytest.mark.parametrize(("completed", "newest"), [(9, "chk-12"), (13, "chk-13")])
def test_what_a_job_manager_took_over_counts_until_the_next_one(
    flink: FakeFlink, completed: int, newest: str
) -> None:
    latest(
        flink, completed=(completed, f"file:/c/chk-{completed}"), restored=(12, "file:/c/chk-12")
    )

    assert newest_checkpoint(FlinkRest(flink.url), "file:///c", JOB) == f"file:/c/{newest}"


def test_a_job_that_completed_none_has_none(flink: FakeFlink) -> None:
    latest(flink)

    assert newest_checkpoint(FlinkRest(flink.url), "file:///nowhere", JOB) is None


def test_where_flink_forgot_the_job_its_folder_is_looked_at(
    flink: FakeFlink, tmp_path: Path
) -> None:
    for number in (2, 9, 10, 11):
        (tmp_path / FORGOTTEN / f"chk-{number}").mkdir(parents=True)
    for number in (2, 9, 10):  # 11 was cut short
        (tmp_path / FORGOTTEN / f"chk-{number}/_metadata").write_bytes(b"")
    (tmp_path / FORGOTTEN / "shared").mkdir()

    found = newest_checkpoint(FlinkRest(flink.url), tmp_path.as_uri(), FORGOTTEN)

    assert found == f"{tmp_path.as_uri()}/{FORGOTTEN}/chk-10"


def test_a_folder_without_checkpoints_is_of_a_job_that_completed_none(
    flink: FakeFlink, tmp_path: Path
) -> None:
    (tmp_path / FORGOTTEN / "shared").mkdir(parents=True)

    assert newest_checkpoint(FlinkRest(flink.url), tmp_path.as_uri(), FORGOTTEN) is None


@pytest.mark.parametrize("checkpoints", ["file:///nowhere", "hdfs://name:8020/c", "c"])
def test_where_nobody_knows_it_the_job_does_not_begin_somewhere_else(
    flink: FakeFlink, checkpoints: str
) -> None:
    unseen = f"forgotten the job, and {checkpoints}/{FORGOTTEN} can't be seen from here: ."
    with pytest.raises(Refused, match=unseen) as why:
        newest_checkpoint(FlinkRest(flink.url), checkpoints, FORGOTTEN)

    assert "--from-savepoint" in str(why.value.help)
