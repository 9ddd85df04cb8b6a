"""The local runner on a real broker: the same log always gives the same table, whatever happens."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pyarrow as pa
import pytest

from pipelinekit.data import Outcome
from pipelinekit.engine.lateness import NO_TIME
from tests import plans
from tests.runtime.local.jobs import (
    BASE_MS,
    Job,
    counted,
    events,
    expected,
    send,
    until,
)

pytestmark = pytest.mark.kafka


def test_until_end_counts_the_whole_topic_and_balances(job: Job) -> None:
    sent = events(3000)
    send(job.brokers, job.topic, [*sent, b"{", b"\xff"])
    status = job.run_to_end()
    assert counted(job.rows()) == expected(sent)
    assert status.imbalances == []
    assert status.ledger.get("", Outcome.INVALID) == 2
    letters = job.dead()
    assert {m.value() for m in letters} == {b"{", b"\xff"}
    assert dict(letters[0].headers())["reason"] == b"invalid"


def test_running_on_from_stored_counts_each_event_once(job: Job) -> None:
    sent = events(2000)
    send(job.brokers, job.topic, sent[:1500])
    job.run_to_end()
    send(job.brokers, job.topic, sent[1500:])
    status = job.run_to_end()
    assert status.events == 500
    assert counted(job.rows()) == expected(sent)
    assert status.imbalances == []


def test_closing_of_until_end_is_not_part_of_the_stored_state(job: Job) -> None:
    sent = events(10)
    send(job.brokers, job.topic, sent)
    job.run_to_end()
    more = events(10, start=10, step_ms=50)
    send(job.brokers, job.topic, more)
    job.run_to_end()
    assert counted(job.rows()) == expected([*sent, *more])
    assert {row["_late"] for row in job.rows().values()} == {0}


def test_live_run_shows_rows_early_and_stops_gracefully(job: Job) -> None:
    runner = job.runner(checkpoint_every_ms=300)
    thread = threading.Thread(target=runner.run)
    thread.start()
    sent = events(1000)
    send(job.brokers, job.topic, sent)
    until(lambda: sum(r["n"] for r in job.rows().values()) == 1000)
    runner.stop()
    thread.join(15)
    assert not thread.is_alive()
    assert counted(job.rows()) == expected(sent)
    again = job.run_to_end()
    assert again.events == 0


def test_rows_beyond_max_values_are_null_and_said(kafka, make_topic, tmp_path: Path) -> None:
    users = plans.metric("users", [plans.measure("n", "count_distinct(user)", max_values=2)])
    job = Job(kafka, make_topic, tmp_path, users)
    minutes = [("a", "b", "a"), ("a", "b", "c"), ("c", "c", "c")]
    sent = [
        {"id": f"{minute}-{place}", "t": BASE_MS + minute * 60_000, "kind": "view", "user": user}
        for minute, names in enumerate(minutes)
        for place, user in enumerate(names)
    ]
    send(job.brokers, job.topic, sent)
    status = job.run_to_end()
    assert [row["n"] for _, row in sorted(job.rows("users_1m").items())] == [2, None, 1]
    assert status.overflows["users.n"] >= 1
    assert status.line(0, None).startswith("users.n null in")  # before what a terminal may cut


def test_ledger_that_loses_a_message_does_not_balance(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelinekit.engine import ingest

    count_source = ingest._count_source

    def forgetful(*arguments):
        counts = count_source(*arguments)
        return {key: n for key, n in counts.items() if key[2] is not Outcome.INVALID}

    monkeypatch.setattr(ingest, "_count_source", forgetful)
    send(job.brokers, job.topic, [*events(10), b"{"])
    (found,) = job.run_to_end().imbalances
    assert "partition 0: 6 messages read, 5 accounted for" in found


def test_several_shards_agree_with_one(job: Job) -> None:
    sent = events(3000)
    send(job.brokers, job.topic, sent)
    status = job.run_to_end(shards=2, buckets=3)
    assert counted(job.rows()) == expected(sent)
    assert status.imbalances == []


def test_partition_added_while_running_is_read_from_its_start(job: Job) -> None:
    from confluent_kafka.admin import AdminClient, NewPartitions

    runner = job.runner(look_every_ms=200)
    thread = threading.Thread(target=runner.run)
    thread.start()
    send(job.brokers, job.topic, events(100))
    until(lambda: sum(r["n"] for r in job.rows().values()) == 100)
    admin = AdminClient({"bootstrap.servers": job.brokers})
    admin.create_partitions([NewPartitions(job.topic, 3)])[job.topic].result()
    until(lambda: len(admin.list_topics(job.topic, timeout=5).topics[job.topic].partitions) == 3)
    send(job.brokers, job.topic, events(30, start=100), partitions=3)
    until(lambda: sum(r["n"] for r in job.rows().values()) == 130)
    runner.stop()
    thread.join(15)
    assert counted(job.rows()) == expected(events(130))


def test_disk_full_at_a_checkpoint_keeps_the_older_and_recovers(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelinekit.runtime.local import checkpoint

    send(job.brokers, job.topic, events(10))
    job.run_to_end()
    manifest = (job.folder / "manifest.json").read_bytes()

    def full(file: object) -> None:
        raise OSError(28, "No space left on device")

    runner = job.runner(checkpoint_every_ms=100)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_sync", full)
        thread = threading.Thread(target=runner.run)
        thread.start()
        send(job.brokers, job.topic, events(10, start=10))
        until(lambda: "No space left" in (runner.status.checkpoint_error or ""))
        assert (job.folder / "manifest.json").read_bytes() == manifest
    until(lambda: runner.status.checkpoint_error is None and runner.status.checkpoints > 0)
    runner.stop()
    thread.join(15)
    job.run_to_end()
    assert counted(job.rows()) == expected(events(20))


def test_empty_topic_ends_at_once_without_rows(job: Job) -> None:
    status = job.run_to_end()
    assert status.events == 0
    assert job.rows() == {}
    assert status.watermark_ms == NO_TIME or status.watermark_ms < time.time() * 1000


def test_read_back_has_state(job: Job) -> None:
    send(job.brokers, job.topic, events(10))
    job.run_to_end()
    view: pa.Table = job.sink.read_back("counts")
    assert set(view["_state"].to_pylist()) == {"final"}
