"""Filling and reading a topic in tests."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from confluent_kafka import Producer

from pipelinekit.connectors.kafka.reader import KafkaReader


def send(producer: Producer, topic: str, values: list[bytes], partition: int = 0) -> None:
    for value in values:
        producer.produce(topic, value, partition=partition)
    assert producer.flush(10) == 0


def read_to_end(reader: KafkaReader, partitions: set[int], max_messages: int = 500) -> dict:
    """Everything up to the ends: per column one list, and the last positions."""
    columns = {
        "values": [],
        "partitions": [],
        "offsets": [],
        "times": [],
        "keys": [],
        "headers": [],
    }
    positions: dict[int, int] = {}
    for _ in range(10_000):
        batch = reader.poll(max_messages, 200)
        columns["values"] += batch.values
        columns["partitions"] += batch.partitions.tolist()
        columns["offsets"] += batch.offsets.tolist()
        columns["times"] += batch.broker_times_ms.tolist()
        columns["keys"] += list(batch.keys)
        columns["headers"] += [list(headers) for headers in batch.headers]
        positions.update(batch.positions)
        assert (batch.partitions.dtype, batch.offsets.dtype) == (np.int32, np.int64)
        assert batch.broker_times_ms.dtype == np.int64
        if reader.at_end() >= partitions:
            return columns | {"positions": positions}
    raise AssertionError(f"ends not reached: {reader.at_end()} of {partitions}")


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "condition not met in time"
        time.sleep(0.01)
