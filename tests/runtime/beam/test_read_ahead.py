"""Steps taken ahead give what steps taken one by one give, and nothing before its time."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from confluent_kafka import Producer

from pipelinekit.clock import SystemClock
from pipelinekit.connectors.kafka.source import KafkaSource
from pipelinekit.data import Outcome
from pipelinekit.engine.ingest import Ingest
from pipelinekit.engine.lateness import PartitionTime, ShardTime
from pipelinekit.errors import Refused
from pipelinekit.runtime import reading
from pipelinekit.runtime.beam import read_ahead
from pipelinekit.runtime.beam.read_ahead import ReadAhead, Taken
from pipelinekit.runtime.reading import ReadSettings, ShardRead
from tests import plans

BASE_MS = 1_704_110_400_000
COUNT = plans.metric("counts", [plans.measure("n", "count()")])


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "POLL_MESSAGES_MAX", 500)
    monkeypatch.setattr(read_ahead, "FULL_MESSAGES", 400)
    monkeypatch.setattr(reading, "POLLED_AT_ONCE", 150)


def send(brokers: str, topic: str, count: int, partitions: int) -> None:
    producer = Producer({"bootstrap.servers": brokers})
    for number in range(count):
        value = f'{{"id": "{number}", "t": {BASE_MS + number}, "kind": "view"}}'
        producer.produce(topic, value.encode(), partition=number % partitions)
    assert producer.flush(10) == 0


@contextmanager
def opened(brokers: str, topic: str, positions: dict[int, int]) -> Iterator[ReadAhead]:
    plan = plans.source(topic=topic, brokers=brokers)
    source = KafkaSource(brokers, topic)
    ahead = ReadAhead(
        ShardRead(
            source.open(positions),
            Ingest(plan, [COUNT], {}),
            ShardTime(0, 60_000, {p: PartitionTime(o) for p, o in positions.items()}),
            ReadSettings(10**9, log_append_time=False),
            SystemClock(),
        )
    )
    try:
        yield ahead
    finally:
        ahead.close()
        source.close()


def threads() -> int:
    return sum(t.name == "read ahead" for t in threading.enumerate())


def counted(taken: Taken) -> Counter[int]:
    """Counted messages by partition."""
    counts = taken.step.slice.counts if taken.step.slice is not None else {}
    return Counter(
        {p: n for (metric, p, outcome), n in counts.items() if outcome is Outcome.COUNTED}
    )


def steps(ahead: ReadAhead, messages: int) -> list[Taken]:
    found: list[Taken] = []
    deadline = time.monotonic() + 20
    while sum(t.messages for t in found) < messages:
        assert time.monotonic() < deadline, "did not read all in time"
        found.append(ahead.step())
    return found


def test_each_step_stands_where_its_own_messages_end(kafka, make_topic) -> None:
    topic = make_topic(2)
    send(kafka.bootstrap, topic, 6_000, 2)
    with opened(kafka.bootstrap, topic, {0: 0, 1: 0}) as ahead:
        found = steps(ahead, 6_000)
        total: Counter[int] = Counter()
        for taken in found:
            total += counted(taken)
            assert {p: t.next_offset for p, t in taken.partitions.items()} == {
                0: total[0],
                1: total[1],
            }
        assert total == {0: 3_000, 1: 3_000}
        assert max(t.messages for t in found) <= 500


def test_a_thread_reads_on_after_a_full_step_and_ends_with_the_backlog(kafka, make_topic) -> None:
    topic = make_topic(1)
    send(kafka.bootstrap, topic, 10_000, 1)
    with opened(kafka.bootstrap, topic, {0: 0}) as ahead:
        assert threads() == 0
        taken = steps(ahead, 500)[-1]
        assert taken.is_full
        assert threads() == 1
        assert taken.partitions[0].next_offset < 10_000
        read = taken.partitions[0].next_offset
        steps(ahead, 10_000 - read)
        while ahead.step().is_full:
            pass
        assert threads() == 0


def test_no_more_than_a_few_steps_are_ahead(kafka, make_topic) -> None:
    topic = make_topic(1)
    send(kafka.bootstrap, topic, 10_000, 1)
    with opened(kafka.bootstrap, topic, {0: 0}) as ahead:
        read = steps(ahead, 500)[-1].partitions[0].next_offset
        time.sleep(1)
        ahead_by = ahead.read.time.partitions[0].next_offset - read
        # As many as wait in the queue, and the one that waits for a place in it.
        assert 0 < ahead_by <= (read_ahead._AHEAD_MAX + 1) * 500


def test_closing_ends_a_thread_that_waits_for_a_place(kafka, make_topic) -> None:
    topic = make_topic(1)
    send(kafka.bootstrap, topic, 10_000, 1)
    with opened(kafka.bootstrap, topic, {0: 0}) as ahead:
        steps(ahead, 500)
        time.sleep(0.5)
        assert threads() == 1
        began = time.monotonic()
    assert time.monotonic() - began < 2
    assert threads() == 0


def test_a_partition_that_is_added_twice_is_read_once(kafka, make_topic) -> None:
    topic = make_topic(2)
    send(kafka.bootstrap, topic, 8_000, 2)
    with opened(kafka.bootstrap, topic, {0: 0}) as ahead:
        first = steps(ahead, 500)
        assert threads() == 1
        ahead.add({1: 0})
        time.sleep(0.3)  # the thread has seen it; the steps given don't show it yet
        ahead.add({1: 0})
        rest = steps(ahead, 8_000 - sum(t.messages for t in first))
        total: Counter[int] = Counter()
        for taken in [*first, *rest]:
            total += counted(taken)
        assert total == {0: 4_000, 1: 4_000}
        assert not ahead.step().messages


def test_what_reading_raises_ahead_is_raised_after_the_steps_before_it(
    kafka, make_topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = make_topic(1)
    send(kafka.bootstrap, topic, 3_000, 1)
    with opened(kafka.bootstrap, topic, {0: 0}) as ahead:
        reader = ahead.read.reader
        poll = reader.poll

        def failing(messages_max: int, wait_ms: int):
            batch = poll(messages_max, wait_ms)
            if batch.positions and max(batch.positions.values()) > 2_000:
                raise Refused("the log is gone")
            return batch

        monkeypatch.setattr(reader, "poll", failing)
        read: list[int] = []
        with pytest.raises(Refused, match="the log is gone"):
            read.extend(iter(lambda: ahead.step().messages, None))
        assert 1_500 <= sum(read) <= 2_000
        assert threads() == 0


def test_a_read_with_an_end_stops_there(kafka, make_topic) -> None:
    topic = make_topic(1)
    send(kafka.bootstrap, topic, 6_000, 1)
    with opened(kafka.bootstrap, topic, {0: 0}) as ahead:
        ahead.read.settings = replace(ahead.read.settings, stop_at={0: 4_321})
        taken = ahead.step()
        read = taken.messages
        while not taken.is_done:
            taken = ahead.step()
            read += taken.messages
        assert read == 4_321
        assert threads() == 0
