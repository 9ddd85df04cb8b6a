"""A broker that is killed and comes back, seen from each of our clients."""

from __future__ import annotations

import pyarrow as pa
import pytest
from confluent_kafka import Producer

from pipelinekit.clock import ManualClock
from pipelinekit.connectors.kafka.admin import KafkaAdmin
from pipelinekit.connectors.kafka.dead_letters import KafkaDeadLetters
from pipelinekit.connectors.kafka.sink import KafkaSink
from pipelinekit.connectors.kafka.source import KafkaSource
from pipelinekit.connectors.kafka.topics import TopicWanted, create
from pipelinekit.data import DeadLetter, LedgerEntry, Outcome
from pipelinekit.devstack.kafka import running_kafka
from pipelinekit.errors import Unreachable
from pipelinekit.reasons import Reason
from tests.connectors.kafka.logs import read_to_end, send, until

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def mortal(tmp_path_factory):
    """A broker that a test may kill, if it starts it again."""
    with running_kafka(tmp_path_factory.mktemp("kafka")) as kafka:
        yield kafka


@pytest.fixture
def topic(mortal, topic_name) -> str:
    create(KafkaAdmin(mortal.bootstrap), TopicWanted(topic_name, partitions=2))
    return topic_name


def test_a_reader_waits_for_its_broker_and_goes_on_without_loss_or_repeat(mortal, topic):
    producer = Producer({"bootstrap.servers": mortal.bootstrap, "log_level": 0})
    for partition in (0, 1):
        send(producer, topic, [b"%d" % n for n in range(3_000)], partition)
    clock = ManualClock(at_ms=1_704_110_401_000)
    reader = KafkaSource(mortal.bootstrap, topic, clock=clock).open({0: 0, 1: 0})
    first = reader.poll(500, 5_000)
    assert reader.trouble() is None
    got = [(int(p), int(o)) for p, o in zip(first.partitions, first.offsets, strict=True)]

    def take() -> None:
        batch = reader.poll(500, 50)
        got.extend(zip(batch.partitions.tolist(), batch.offsets.tolist(), strict=True))

    mortal.kill()

    def is_told() -> bool:
        take()
        return "Connection refused" in (reader.trouble() or "")

    until(is_told)
    assert f"broker {mortal.bootstrap} is down since 12:00:01 UTC" in reader.trouble()
    mortal.start()
    for partition in (0, 1):
        send(producer, topic, [b"%d" % n for n in range(3_000, 3_500)], partition)

    def is_done() -> bool:
        take()
        return len(got) >= 7_000 and reader.trouble() is None

    until(is_done, seconds=20)
    take()
    reader.close()
    assert len(got) == 7_000
    for partition in (0, 1):
        assert [o for p, o in got if p == partition] == list(range(3_500))


def test_dead_letters_written_during_an_outage_arrive_after_it(mortal, topic):
    letters = KafkaDeadLetters(mortal.bootstrap, topic, flush_timeout_ms=500)
    send_letters = [
        DeadLetter(
            key=b"k",
            value=b"%d" % n,
            headers=(),
            reason=Reason.INVALID,
            detail="",
            metrics=(),
            topic="events",
            partition=0,
            offset=n,
            event_time_ms=None,
            watermark_ms=None,
        )
        for n in range(200)
    ]

    def is_flushed() -> bool:
        try:
            letters.flush()
        except Unreachable:
            return False
        return True

    letters.write(send_letters[:100])
    until(is_flushed)
    mortal.kill()
    letters.write(send_letters[100:])
    with pytest.raises(Unreachable, match=f'100 dead letters to topic "{topic}" were not'):
        letters.flush()
    mortal.start()
    until(is_flushed, seconds=20)
    letters.close()
    reader = KafkaSource(mortal.bootstrap, topic).open({0: 0, 1: 0})
    got = read_to_end(reader, {0, 1})
    reader.close()
    assert got["values"] == [b"%d" % n for n in range(200)]


def test_a_sink_tells_of_an_outage_and_takes_the_same_again_after_it(mortal, topic):
    sink = KafkaSink(mortal.bootstrap, topic, timeout_ms=1_000)
    entries = [LedgerEntry("job", "events", "", p, Outcome.ACCEPTED, 10, 10) for p in range(3)]
    mortal.kill()
    with pytest.raises(Unreachable, match=f'topic "{topic}" on Kafka at {mortal.bootstrap}'):
        sink.write_ledger(entries)
    mortal.start()

    def is_written() -> bool:
        try:
            sink.write_ledger(entries)
        except Unreachable:
            return False
        return True

    until(is_written, seconds=20)
    ledger: pa.Table = sink.read_back("pipelinekit_ledger")
    sink.close()
    assert sorted(ledger["partition"].to_pylist()) == [0, 1, 2]
