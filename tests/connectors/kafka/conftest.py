"""Topics of a test's own on the session's broker, and plain clients to fill and read them."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tests.connectors.kafka.logs import until

_names = (f"t{os.getpid()}_{n}" for n in itertools.count())
MakeTopic = Callable[..., str]


@pytest.fixture
def brokers(kafka) -> str:
    return kafka.bootstrap


@pytest.fixture
def admin(brokers) -> AdminClient:
    return AdminClient({"bootstrap.servers": brokers})


@pytest.fixture
def topic_name() -> str:
    """A name that no topic has."""
    return next(_names)


@pytest.fixture
def make_topic(admin) -> MakeTopic:
    def make(partitions: int = 1, **config: str) -> str:
        name = next(_names)
        wanted = NewTopic(
            name, partitions, 1, config={k.replace("_", "."): v for k, v in config.items()}
        )
        admin.create_topics([wanted])[name].result()
        until(lambda: name in admin.list_topics(timeout=10).topics)
        return name

    return make


@pytest.fixture
def producer(brokers) -> Iterator[Producer]:
    client = Producer({"bootstrap.servers": brokers})
    yield client
    client.flush(5)


@pytest.fixture
def free_port() -> int:
    """A port of the loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
