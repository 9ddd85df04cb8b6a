"""A Kafka broker on the loopback: one node, KRaft, no topics made by themselves."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from pipelinekit.devstack import kafka_distribution, ports
from pipelinekit.devstack.service import Progress, Service, running

_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "default.replication.factor": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "2",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "2",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    "log.cleaner.dedupe.buffer.size": "8388608",
    # After a kill the broker is let in again once its last session has run out (9 s by default).
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
}


class Kafka(Service):
    """A broker that may be started, killed and started again on the same data."""

    name: ClassVar[str] = "kafka"
    title: ClassVar[str] = "Kafka"
    default_port: ClassVar[int] = 9092

    @property
    def bootstrap(self) -> str:
        return f"{ports.HOST}:{self.port}"

    @property
    def address(self) -> dict[str, str]:
        return {"bootstrap": self.bootstrap}

    def prepare(self, progress: Progress) -> None:
        kafka_distribution.fetch(progress)

    def command(self) -> list[str]:
        data = self.folder / "data"
        if not (data / "meta.properties").exists():
            kafka_distribution.format_storage(data)
        controller = f"{ports.HOST}:{ports.free_port()}"
        settings = _SETTINGS | {
            "log.dirs": str(data),
            "controller.quorum.voters": f"1@{controller}",
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
        }
        configuration = self.folder / "server.properties"
        kafka_distribution.write_properties(configuration, settings)
        return [*kafka_distribution.java(), "kafka.Kafka", str(configuration)]

    def is_answering(self) -> bool:
        return brokers_seen(self.port) >= 1


@contextmanager
def running_kafka(folder: Path, port: int | None = None) -> Iterator[Kafka]:
    """A broker that answers, on a free port when none is named, stopped at the end."""
    with running(Kafka(folder, port or ports.free_port())) as kafka:
        yield kafka


def brokers_seen(port: int) -> int:
    """How many brokers a Metadata answer lists, 0 without an answer: an open port says little."""
    api_key, version, correlation, client = 3, 1, 7, b"ready"
    body = struct.pack(">hhih", api_key, version, correlation, len(client)) + client
    body += struct.pack(">i", 0)  # no topics
    try:
        with socket.create_connection((ports.HOST, port), 1) as connection:
            connection.settimeout(2)
            connection.sendall(struct.pack(">i", len(body)) + body)
            (size,) = struct.unpack(">i", _exactly(connection, 4))
            answer = _exactly(connection, size)
    except OSError:
        return 0
    return int(struct.unpack(">i", answer[4:8])[0])


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionError("closed before the whole answer came")
        data += part
    return data
