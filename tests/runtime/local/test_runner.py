"""The local runner on a real broker: the same log always gives the same table, whatever happens."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from pipelinekit.connectors.kafka.dead_letters import KafkaDeadLetters
from pipelinekit.connectors.kafka.source import KafkaSource
from pipelinekit.connectors.memory.sink import MemorySink
from pipelinekit.data import Outcome, SinkSchema
from pipelinekit.engine.lateness import NO_TIME
from pipelinekit.errors import Refused, UsageError
from pipelinekit.plan.model import MetricPlan, Plan
from pipelinekit.plan.tables import tables_of
from pipelinekit.runtime.local.options import RunOptions, StartFrom
from pipelinekit.runtime.local.runner import LocalRunner
from pipelinekit.runtime.local.status import Status
from tests import plans

pytestmark = pytest.mark.kafka
BASE_MS = 1_704_110_400_000
COUNT = plans.metric(
    "counts", [plans.measure("n", "count()"), plans.measure("total", "sum(load)")], key=["country"]
)


def plan_of(topic: str, brokers: str, letters: str, *metrics: MetricPlan) -> Plan:
    source = plans.source(topic=topic, brokers=brokers, dead_letters=letters)
    return Plan("events", "local", source, metrics or (COUNT,), ())


def send(brokers: str, topic: str, events: Sequence[dict | bytes], partitions: int = 2) -> None:
    producer = Producer({"bootstrap.servers": brokers})
    for number, event in enumerate(events):
        value = event if isinstance(event, bytes) else json.dumps(event).encode()
        producer.produce(topic, value, key=f"k{number}", partition=number % partitions)
    assert producer.flush(10) == 0


def events(count: int, *, start: int = 0, step_ms: int = 50) -> list[dict]:
    return [
        {
            "id": f"e{i}",
            "t": BASE_MS + i * step_ms,
            "kind": "view",
            "country": ("BE", "NL", None)[i % 3],
            "load": i,
        }
        for i in range(start, start + count)
    ]


class Job:
    """One job on a topic, run as often as a test wants."""

    def __init__(self, kafka, make_topic, folder: Path, *metrics: MetricPlan) -> None:
        self.brokers = kafka.bootstrap
        self.topic = make_topic(2)
        self.letters = make_topic(1)
        self.plan = plan_of(self.topic, self.brokers, self.letters, *metrics)
        self.sink = MemorySink()
        self.folder = folder

    def runner(self, **options: object) -> LocalRunner:
        metrics = self.plan.metrics
        self.sink.ddl(SinkSchema("events", tuple(t for m in metrics for t in tables_of(m))))
        return LocalRunner(
            self.plan,
            KafkaSource(self.brokers, self.topic),
            {"memory": self.sink},
            KafkaDeadLetters(self.brokers, self.letters),
            self.folder,
            RunOptions(**options),  # type: ignore[arg-type]
        )

    def run_to_end(self, **options: object) -> Status:
        return self.runner(until_end=True, **options).run()

    def rows(self, table: str = "counts_1m") -> dict[tuple, dict]:
        found = self.sink.read_back(table).to_pylist()
        return {(r.get("country"), r["window_start"].timestamp() * 1000): r for r in found}

    def dead(self) -> list:
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": "t"})
        consumer.assign([TopicPartition(self.letters, 0, 0)])
        end = consumer.get_watermark_offsets(TopicPartition(self.letters, 0), timeout=5)[1]
        found = []
        while len(found) < end:
            found += consumer.consume(end - len(found), 5)
        consumer.close()
        return found


@pytest.fixture
def job(kafka, make_topic, tmp_path: Path) -> Job:
    return Job(kafka, make_topic, tmp_path / "state")


def expected(sent: Sequence[dict]) -> dict[tuple, tuple[int, int]]:
    table: dict[tuple, tuple[int, int]] = {}
    for event in sent:
        key = (event["country"], event["t"] // 60_000 * 60_000)
        n, total = table.get(key, (0, 0))
        table[key] = (n + 1, total + event["load"])
    return table


def counted(rows: dict[tuple, dict]) -> dict[tuple, tuple[int, int]]:
    return {key: (row["n"], int(row["total"])) for key, row in rows.items()}


def until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)


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


def test_from_earliest_starts_anew_with_a_higher_epoch(job: Job) -> None:
    sent = events(100)
    send(job.brokers, job.topic, sent)
    job.run_to_end()
    before = {row["_version"] for row in job.rows().values()}
    job.run_to_end(start_from=StartFrom.EARLIEST)
    after = {row["_version"] for row in job.rows().values()}
    assert counted(job.rows()) == expected(sent)
    assert min(after) > max(before)


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
    assert "users.n null in" in status.line(0, None)


def test_second_runner_on_one_state_folder_is_refused(job: Job) -> None:
    runner = job.runner()
    thread = threading.Thread(target=runner.run)
    thread.start()
    until(lambda: (job.folder / "lock").exists())
    until(lambda: bool((job.folder / "lock").read_text()))
    with pytest.raises(UsageError, match="in use by process"):
        job.run_to_end()
    runner.stop()
    thread.join(15)


def test_metric_added_between_runs_starts_at_the_next_boundary(job: Job) -> None:
    sent = events(100)
    send(job.brokers, job.topic, sent)
    job.run_to_end()
    added = plans.metric("added", [plans.measure("n", "count()")], key=["country"])
    job.plan = plan_of(job.topic, job.brokers, job.letters, COUNT, added)
    later = events(100, start=2000)  # beyond the minute in which the first run ended
    send(job.brokers, job.topic, [*events(20, start=100), *later])
    status = job.run_to_end()
    assert counted(job.rows()) == expected([*sent, *events(20, start=100), *later])
    rows = job.rows("added_1m")
    assert sum(r["n"] for r in rows.values()) == 100
    assert status.ledger.get("added", Outcome.BEFORE_START) == 20
    assert status.imbalances == []
    assert any("added is new" in note for note in status.notes)


def test_metric_removed_drops_its_state_and_its_ledger(job: Job) -> None:
    other = plans.metric("other", [plans.measure("n", "count()")])
    job.plan = plan_of(job.topic, job.brokers, job.letters, COUNT, other)
    send(job.brokers, job.topic, events(10))
    job.run_to_end()
    job.plan = plan_of(job.topic, job.brokers, job.letters, COUNT)
    send(job.brokers, job.topic, events(10, start=10))
    status = job.run_to_end()
    assert status.imbalances == []
    assert status.ledger.get("other", Outcome.COUNTED) == 0
    assert counted(job.rows()) == expected(events(20))


def test_measure_added_is_null_in_windows_already_open(job: Job) -> None:
    send(job.brokers, job.topic, events(10))
    job.run_to_end()
    more = plans.metric(
        "counts",
        [*COUNT.measures, plans.measure("most", "max(load)")],
        key=["country"],
    )
    job.plan = plan_of(job.topic, job.brokers, job.letters, more)
    send(job.brokers, job.topic, [*events(10, start=10), *events(10, start=2000)])
    job.run_to_end()
    found = {(key[1], row["most"]) for key, row in job.rows().items()}
    first, second = sorted({start for start, _ in found})
    assert {most for start, most in found if start == first} == {None}
    assert max(most for start, most in found if start == second) == 2009


def test_changed_metric_leaves_its_open_windows_to_the_older_form(job: Job) -> None:
    send(job.brokers, job.topic, events(10))  # of the first minute
    job.run_to_end()
    heavy = plans.metric("counts", COUNT.measures, key=["country"], filter="load > 1200")
    job.plan = plan_of(job.topic, job.brokers, job.letters, heavy)
    more = [*events(10, start=10), *events(10, start=1195), *events(10, start=1295)]
    send(job.brokers, job.topic, more)
    status = job.run_to_end()
    assert any("has changed" in note for note in status.notes)
    assert status.imbalances == []
    first = BASE_MS // 60_000 * 60_000
    old = [e for e in [*events(10), *more] if e["t"] < first + 60_000]
    new = [e for e in more if e["t"] >= first + 60_000 and e["load"] > 1200]
    assert len(old) == 25
    assert counted(job.rows()) == expected([*old, *new])
    # Once more: the older form is still there for what comes late, until its lateness is over.
    late = events(3, start=3)
    send(job.brokers, job.topic, late)
    status = job.run_to_end()
    assert counted(job.rows()) == expected([*old, *new, *late])
    assert status.imbalances == []


def test_older_form_goes_when_its_last_window_is_forgotten(job: Job) -> None:
    send(job.brokers, job.topic, events(10))
    job.run_to_end()
    heavy = plans.metric("counts", COUNT.measures, key=["country"], filter="load > 1200")
    job.plan = plan_of(job.topic, job.brokers, job.letters, heavy)
    for start in (40_000, 40_100, 40_200):  # half an hour later, and the watermark behind it
        send(job.brokers, job.topic, events(40, start=start))
        job.run_to_end()
    from pipelinekit.runtime.local.state import decode

    state = decode((job.folder / "manifest.json").read_bytes(), "here").state
    assert [m.id for m in state.plan.metrics] == ["counts"]
    assert state.metrics.keys() == {"counts"}


def test_changed_metric_reads_a_field_that_the_new_form_does_not(job: Job) -> None:
    by_user = plans.metric("counts", [plans.measure("n", "count()")], filter="score is null")
    job.plan = plan_of(job.topic, job.brokers, job.letters, by_user)
    send(job.brokers, job.topic, events(10))
    job.run_to_end()
    plain = plans.metric("counts", [plans.measure("n", "count()")])
    source = job.plan.source
    kept = tuple(f for f in source.fields if f.name != "score")
    job.plan = replace(job.plan, source=replace(source, fields=kept), metrics=(plain,))
    send(job.brokers, job.topic, events(10, start=10))
    assert job.run_to_end().imbalances == []
    assert sum(row["n"] for row in job.rows().values()) == 20


def test_state_deleted_starts_an_epoch_above_that_of_the_rows(job: Job) -> None:
    import shutil

    send(job.brokers, job.topic, events(100))
    job.run_to_end()
    shutil.rmtree(job.folder)
    fewer = plans.metric("counts", COUNT.measures, key=["country"], filter="load < 50")
    job.plan = plan_of(job.topic, job.brokers, job.letters, fewer)
    job.run_to_end()
    assert counted(job.rows()) == expected(events(50))  # though the older rows saw more events


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


def test_other_number_of_shards_is_refused_on_a_resume(job: Job) -> None:
    send(job.brokers, job.topic, events(10))
    job.run_to_end(shards=2)
    with pytest.raises(UsageError, match="2 shards, 1 were asked for"):
        job.run_to_end(shards=1)
    job.run_to_end()


def test_other_number_of_buckets_keeps_the_state(job: Job) -> None:
    send(job.brokers, job.topic, events(100))
    job.run_to_end(buckets=1)
    send(job.brokers, job.topic, events(100, start=100))
    job.run_to_end(buckets=5)
    assert counted(job.rows()) == expected(events(200))


def test_several_shards_agree_with_one(job: Job) -> None:
    sent = events(3000)
    send(job.brokers, job.topic, sent)
    status = job.run_to_end(shards=2, buckets=3)
    assert counted(job.rows()) == expected(sent)
    assert status.imbalances == []


def test_topic_made_anew_is_refused_with_the_next_step(job: Job, kafka) -> None:
    from confluent_kafka.admin import AdminClient, NewTopic

    send(job.brokers, job.topic, events(10))
    job.run_to_end()
    admin = AdminClient({"bootstrap.servers": job.brokers})
    admin.delete_topics([job.topic])[job.topic].result()
    until(lambda: job.topic not in admin.list_topics(timeout=5).topics)
    admin.create_topics([NewTopic(job.topic, 2, 1)])[job.topic].result()
    until(lambda: job.topic in admin.list_topics(timeout=5).topics)
    with pytest.raises(Refused, match="made anew") as caught:
        job.run_to_end()
    assert "--from earliest" in str(caught.value.help)


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
