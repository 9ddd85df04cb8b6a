from __future__ import annotations

import threading

import pytest

from pipelinekit.connectors.kafka.source import KafkaSource
from pipelinekit.load.produce import produce
from pipelinekit.load.stream import ClickStream, Shares


def count_of(brokers: str, topic: str) -> int:
    source = KafkaSource(brokers, topic)
    count = sum(end - first for first, end in source.bounds().values())
    source.close()
    return count


@pytest.mark.kafka
def test_every_message_arrives_and_is_counted_once(kafka, topic) -> None:
    name = topic(partitions=3)
    stream = ClickStream(5, Shares(late=0.1, malformed=0.1))
    sent = produce(kafka.bootstrap, name, stream, 50_000, count=5_000)
    assert sent.messages == sum(sent.kinds.values()) == count_of(kafka.bootstrap, name) == 5_000


@pytest.mark.kafka
def test_a_rate_is_kept_for_the_seconds(kafka, topic) -> None:
    sent = produce(kafka.bootstrap, topic(partitions=1), ClickStream(6), 1_000, seconds=1)
    assert sent.messages == 1_000
    assert sent.seconds >= 0.99


@pytest.mark.kafka
def test_stop_ends_it(kafka, topic) -> None:
    stop = threading.Event()
    sent = produce(
        kafka.bootstrap, topic(partitions=1), ClickStream(7), 10_000, stop=stop,
        progress=lambda _: stop.set(),
    )  # fmt: skip
    assert 0 < sent.messages < 50_000
