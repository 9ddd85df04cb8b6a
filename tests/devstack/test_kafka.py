from __future__ import annotations

import socket

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from pipelinekit.devstack import kafka_distribution
from pipelinekit.devstack.kafka import Kafka, brokers_seen, running_kafka
from pipelinekit.errors import Refused, UsageError


@pytest.fixture
def bare_path(tmp_path, monkeypatch):
    """A PATH on which only the programs linked into this folder are found, and an empty cache."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return programs


def produce(bootstrap: str, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    producer.produce(topic, value)
    assert producer.flush(20) == 0


def read_all(bootstrap: str, topic: str, count: int) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    messages = consumer.consume(count, timeout=20)
    consumer.close()
    return [message.value() for message in messages]


@pytest.mark.kafka
def test_data_outlives_a_kill_and_a_stop(kafka, tmp_path) -> None:
    """`kafka` is asked for only so that a machine without Java skips this."""
    with running_kafka(tmp_path / "broker") as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        admin.create_topics([NewTopic("t", 1, 1)])["t"].result()
        produce(broker.bootstrap, "t", b"before the kill")
        first = broker.pid

        broker.kill()
        broker.start()
        produce(broker.bootstrap, "t", b"after the kill")
        broker.stop()
        broker.start()

        assert read_all(broker.bootstrap, "t", 2) == [b"before the kill", b"after the kill"]
        assert broker.pid != first

    assert not broker.is_alive
    assert brokers_seen(broker.port) == 0


@pytest.mark.kafka
def test_a_paused_broker_answers_only_once_resumed(kafka, tmp_path) -> None:
    with running_kafka(tmp_path / "broker") as broker:
        broker.pause()
        while_paused = brokers_seen(broker.port)
        broker.resume()
        broker.wait_ready()

        assert while_paused == 0


@pytest.mark.kafka
def test_topics_are_never_made_by_themselves(kafka) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "message.timeout.ms": 1000})
    errors = []
    producer.produce("nobody_made_it", b"x", on_delivery=lambda error, _: errors.append(error))
    producer.flush(10)

    assert errors[0] is not None
    topics = AdminClient({"bootstrap.servers": kafka.bootstrap}).list_topics(timeout=10).topics
    assert "nobody_made_it" not in topics


@pytest.mark.kafka
def test_topics_keep_their_own_timestamp_type(kafka, make_topic) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    names = {
        "CreateTime": make_topic(partitions=1),
        "LogAppendTime": make_topic(config={"message.timestamp.type": "LogAppendTime"}),
    }

    for expected, name in names.items():
        resource = ConfigResource(ResourceType.TOPIC, name)
        config = admin.describe_configs([resource])[resource].result()
        assert config["message.timestamp.type"].value == expected


def test_a_taken_port_is_refused_with_its_holder_and_the_way_out(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(kafka_distribution, "fetch", lambda progress: None)
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]

        with pytest.raises(
            UsageError, match=rf"port {port}, wanted for kafka, is held by"
        ) as caught:
            Kafka(tmp_path, port).start()

    assert "python" in caught.value.message
    assert "--port kafka=" in (caught.value.help or "")


def test_without_java_the_next_step_is_said(tmp_path, bare_path) -> None:
    with pytest.raises(Refused, match='needs the program "java"') as caught:
        Kafka(tmp_path, 1).start()

    assert "apt install openjdk-17" in (caught.value.help or "")


def test_without_maven_the_next_step_is_said(tmp_path, bare_path) -> None:
    (bare_path / "java").write_text("#!/bin/sh\n")
    (bare_path / "java").chmod(0o755)

    with pytest.raises(Refused, match='needs the program "mvn"') as caught:
        Kafka(tmp_path, 1).start()

    assert "apt install maven" in (caught.value.help or "")


def test_a_failed_fetch_leaves_no_cache_and_quotes_maven(bare_path) -> None:
    from pipelinekit.errors import Unreachable

    for program in ("java", "mvn"):
        (bare_path / program).write_text("#!/bin/sh\necho 'no route to the repository'; exit 1\n")
        (bare_path / program).chmod(0o755)
    lines: list[str] = []

    with pytest.raises(Unreachable, match="no route to the repository"):
        kafka_distribution.fetch(lines.append)

    assert not kafka_distribution.is_fetched()
    assert [entry.name for entry in kafka_distribution.home().parent.iterdir()] == [
        kafka_distribution.lock().name
    ]
    assert "45 MB" in lines[0]
