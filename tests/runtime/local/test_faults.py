"""The local runner when the outside fails: it waits or says why, and nothing is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from pipelinekit.connectors.base import Budget
from pipelinekit.connectors.clickhouse.sink import ClickHouseSink
from pipelinekit.connectors.memory.sink import MemorySink
from pipelinekit.data import Outcome, SinkSchema, Upserts
from pipelinekit.devstack.clickhouse import running_clickhouse
from pipelinekit.devstack.kafka import running_kafka
from pipelinekit.errors import Refused, Unreachable
from pipelinekit.plan.tables import tables_of
from pipelinekit.windows.tumbling import Tumbling
from tests import plans
from tests.runtime.local.jobs import (
    COUNT,
    Job,
    Running,
    counted,
    events,
    expected,
    send,
    until,
)

pytestmark = pytest.mark.kafka


class Flaky(MemorySink):
    """A real memory sink that can be switched off, as a store that doesn't answer."""

    is_down = False
    refuses = False

    def write(self, upserts: Upserts) -> None:
        if self.refuses:
            raise Refused("the table has another shape", help="see `pipelinekit ddl`")
        if self.is_down:
            raise Unreachable("nobody answers")
        super().write(upserts)


class Slow(MemorySink):
    """A real memory sink whose writes wait at a gate; `writes` counts those that came to it."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.writes = 0

    def write(self, upserts: Upserts) -> None:
        self.writes += 1
        assert self.gate.wait(20)
        super().write(upserts)


def test_what_comes_while_a_store_writes_leaves_together_when_it_has(job: Job) -> None:
    job.sink = sink = Slow()
    sent = events(200, step_ms=1)
    # No checkpoint in between: it would have a write of its own.
    with Running(job.runner(checkpoint_every_ms=60_000, stall_ms=20_000)) as run:
        send(job.brokers, job.topic, sent[:20])
        until(lambda: sum(r["n"] for r in job.rows().values()) == 20)
        sink.gate.clear()
        before = sink.writes
        for start in range(20, 200, 20):
            send(job.brokers, job.topic, sent[start : start + 20])
            time.sleep(0.25)  # rows would be due by now: emit.early is 200 ms
        until(lambda: run.runner.status.events == 200)
        assert sink.writes - before == 1
        sink.gate.set()
        until(lambda: counted(job.rows()) == expected(sent))
        assert sink.writes - before == 2
    assert run.error is None


def test_a_slow_sink_sets_the_pace_of_its_own_metrics_and_of_no_other(job: Job) -> None:
    archived = replace(
        plans.metric("archived", [plans.measure("n", "count()")]), sinks=("archive",)
    )
    both = replace(
        plans.metric("both", [plans.measure("n", "count()")]), sinks=("memory", "archive")
    )
    job.plan = type(job.plan)("events", "local", job.plan.source, (COUNT, archived, both), ())
    job.other_sinks["archive"] = slow = Slow()
    sent = events(60, step_ms=1)

    def n(sink: MemorySink, table: str) -> int:
        return sum(row["n"] for row in sink.read_back(table).to_pylist())

    with Running(job.runner(checkpoint_every_ms=60_000, stall_ms=20_000)) as run:
        send(job.brokers, job.topic, sent[:20])
        until(lambda: n(job.sink, "both_1m") == n(slow, "both_1m") == 20)
        slow.gate.clear()
        for end in (40, 60):
            send(job.brokers, job.topic, sent[end - 20 : end])
            until(lambda end=end: counted(job.rows()) == expected(sent[:end]))
        # The first write may be on its way; what came since then waits for the archive.
        assert n(job.sink, "both_1m") <= 40
        assert n(slow, "archived_1m") <= 40
        slow.gate.set()
        until(lambda: n(job.sink, "both_1m") == n(slow, "both_1m") == 60)
        until(lambda: n(slow, "archived_1m") == 60)
    assert run.error is None
    assert slow.read_back("counts_1m").num_rows == 0


def test_store_down_pauses_reading_keeps_state_and_catches_up(job: Job) -> None:
    job.sink = sink = Flaky()
    runner = job.runner(checkpoint_every_ms=200, stall_ms=300, slices_queued_max=2)
    sent = events(400, step_ms=2_000)
    with Running(runner) as run:
        send(job.brokers, job.topic, sent[:20])
        until(lambda: sum(r["n"] for r in job.rows().values()) == 20)
        sink.is_down = True
        for start in range(20, 400, 20):
            send(job.brokers, job.topic, sent[start : start + 20])
            time.sleep(0.05)
        until(lambda: run.runner.status.stalled_by == "memory")
        assert any("nobody answers" in t for t in run.runner.status.troubles)
        read = run.runner.status.events
        time.sleep(0.5)
        assert run.runner.status.events - read < 100
        sink.is_down = False
        until(lambda: counted(job.rows()) == expected(sent))
    assert run.error is None
    status = job.run_to_end()
    assert counted(job.rows()) == expected(sent)
    assert status.imbalances == []


def test_stop_while_the_store_is_down_ends_and_loses_nothing(job: Job) -> None:
    job.sink = sink = Flaky()
    sent = events(100)
    with Running(job.runner(checkpoint_every_ms=100)) as run:
        send(job.brokers, job.topic, sent[:50])
        until(lambda: sum(r["n"] for r in job.rows().values()) == 50)
        sink.is_down = True
        send(job.brokers, job.topic, sent[50:])
        until(lambda: run.runner.status.events == 100)
    assert isinstance(run.error, Unreachable)
    assert "nothing is lost" in str(run.error.help)
    sink.is_down = False
    job.run_to_end()
    assert counted(job.rows()) == expected(sent)


def test_store_that_refuses_ends_the_run_with_its_reason(job: Job) -> None:
    job.sink = sink = Flaky()
    sink.refuses = True
    with Running(job.runner()) as run:
        send(job.brokers, job.topic, events(10))
        run.wait()
    assert isinstance(run.error, Refused)
    assert "another shape" in run.error.message
    sink.refuses = False
    job.run_to_end()
    assert counted(job.rows()) == expected(events(10))


def test_budget_stretches_flushes_and_loses_nothing(job: Job) -> None:
    many = plans.metric("counts", COUNT.measures, key=["country", "user"])
    job.plan = type(job.plan)("events", "local", job.plan.source, (many,), ())
    job.sink = MemorySink(budget=Budget(rows_per_second=500, inserts_per_second=5))
    sent = [e | {"user": f"u{i}"} for i, e in enumerate(events(2000, step_ms=1))]
    runner = job.runner()
    with Running(runner) as run:
        send(job.brokers, job.topic, sent)
        until(lambda: run.runner.status.is_stretched)
        began = time.monotonic()
        until(lambda: len(job.sink.read_back("counts_1m")) == 2000)
        assert time.monotonic() - began > 1  # 2,000 rows at 500 a second
    assert run.error is None
    job.run_to_end()
    assert len(job.sink.read_back("counts_1m")) == 2000


def test_silent_partition_does_not_hold_windows_open(job: Job) -> None:
    source = plans.source(
        topic=job.topic, brokers=job.brokers, dead_letters=job.letters, idle_after_ms=500
    )
    short = plans.metric("counts", COUNT.measures, key=["country"], window=Tumbling(1_000))
    job.plan = type(job.plan)("events", "local", source, (short,), ())
    now = int(time.time() * 1000)
    sent = [e | {"t": now + i} for i, e in enumerate(events(20))]
    with Running(job.runner(checkpoint_every_ms=300)) as run:
        send(job.brokers, job.topic, sent, partitions=1)  # the other partition stays empty
        until(lambda: sum(r["n"] for r in job.rows("counts_1s").values()) == 20)

        def states() -> set:
            return set(job.sink.read_back("counts")["_state"].to_pylist())

        until(lambda: states() == {"final"})
    assert run.error is None


def test_event_after_an_idle_raise_is_late_or_dead_but_never_both(job: Job) -> None:
    source = plans.source(
        topic=job.topic, brokers=job.brokers, dead_letters=job.letters, idle_after_ms=300
    )
    short = plans.metric("counts", COUNT.measures, key=["country"], allowed_ms=0)
    job.plan = type(job.plan)("events", "local", source, (short,), ())
    now = int(time.time() * 1000)
    base = events(1)[0]
    with Running(job.runner(checkpoint_every_ms=300)) as run:
        send(job.brokers, job.topic, [base | {"t": now}], partitions=2)
        until(lambda: run.runner.status.watermark_ms > now)
        send(job.brokers, job.topic, [base | {"t": now - 200_000}], partitions=1)
        until(lambda: run.runner.status.dead_letters.get("too_late") == 1)
        until(lambda: len(job.dead()) == 1)  # it leaves once a checkpoint holds the raise
    assert run.error is None
    status = job.run_to_end()
    assert status.ledger.get("counts", Outcome.TOO_LATE) == 1
    assert status.ledger.get("counts", Outcome.COUNTED) == 1
    assert status.imbalances == []


def test_missing_dead_letter_topic_is_refused_by_name(job: Job) -> None:
    job.letters = "no_such_topic"
    source = plans.source(topic=job.topic, brokers=job.brokers, dead_letters="no_such_topic")
    job.plan = type(job.plan)("events", "local", source, (COUNT,), ())
    send(job.brokers, job.topic, [b"{"])
    with pytest.raises(Refused, match="no_such_topic"):
        job.run_to_end()


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[object]:
    with running_kafka(tmp_path / "kafka") as kafka:
        yield kafka


def test_broker_lost_while_running_is_waited_for(own_kafka, tmp_path: Path) -> None:
    from confluent_kafka.admin import NewTopic

    names = iter(("events", "dead"))

    def make_topic(partitions: int) -> str:
        name = next(names)
        admin = AdminClient({"bootstrap.servers": own_kafka.bootstrap})
        admin.create_topics([NewTopic(name, partitions, 1)])[name].result()
        return name

    job = Job(own_kafka, make_topic, tmp_path / "state")
    with Running(job.runner(checkpoint_every_ms=200)) as run:
        send(job.brokers, job.topic, events(50))
        until(lambda: sum(r["n"] for r in job.rows().values()) == 50)
        own_kafka.kill()
        until(lambda: any("down" in t for t in run.runner.status.troubles))
        own_kafka.start()
        send(job.brokers, job.topic, events(50, start=50))
        until(lambda: counted(job.rows()) == expected(events(100)), timeout_s=40)
        assert run.error is None
    assert run.error is None


@pytest.mark.clickhouse
def test_clickhouse_killed_while_running_ends_in_the_same_table(job: Job, tmp_path: Path) -> None:
    with running_clickhouse(tmp_path / "clickhouse") as server:
        sink = ClickHouseSink(server.url, "faults", retry_s=0.5)
        sink.apply(sink.ddl(SinkSchema("events", tables_of(COUNT))))
        job.sink = sink
        with Running(job.runner(checkpoint_every_ms=300)) as run:
            send(job.brokers, job.topic, events(50))
            until(lambda: sum(r["n"] for r in job.rows().values()) == 50)
            server.kill()
            send(job.brokers, job.topic, events(50, start=50))
            until(lambda: bool(run.runner.status.troubles))
            server.start()
            until(lambda: counted(job.rows()) == expected(events(100)), timeout_s=40)
        assert run.error is None
        job.run_to_end()
        assert counted(job.rows()) == expected(events(100))
        sink.close()


@pytest.mark.clickhouse
def test_table_of_another_shape_is_refused_before_the_run(clickhouse, database: str) -> None:
    sink = ClickHouseSink(clickhouse.url, database)
    sink.apply(
        [f"CREATE TABLE {database}.counts_1m (country String) ENGINE=MergeTree ORDER BY country"]
    )
    with pytest.raises(Refused, match="counts_1m"):
        sink.ddl(SinkSchema("events", tables_of(COUNT)))
    sink.close()
