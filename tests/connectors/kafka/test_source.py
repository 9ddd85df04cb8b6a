from __future__ import annotations

import time
from collections import defaultdict

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import NewPartitions, NewTopic

from pipelinekit.connectors.kafka.reader import ReadSettings
from pipelinekit.connectors.kafka.source import KafkaSource
from pipelinekit.errors import Refused, Unreachable
from tests.connectors.kafka.logs import read_to_end, send, until
from tests.connectors.kafka.raw_produce import produce_raw

pytestmark = pytest.mark.kafka


@pytest.fixture
def transactional(brokers):
    client = Producer({"bootstrap.servers": brokers, "transactional.id": f"t{time.time_ns()}"})
    client.init_transactions(10)
    return client


def in_transaction(client: Producer, topic: str, values: list[bytes], *, abort: bool = False):
    client.begin_transaction()
    for value in values:
        client.produce(topic, value, partition=0)
    client.flush(10)
    client.abort_transaction(10) if abort else client.commit_transaction(10)


def test_each_partition_is_read_in_order_with_its_offsets(brokers, make_topic, producer):
    topic = make_topic(3)
    sent = {p: [b"%d-%d" % (p, n) for n in range(700)] for p in range(3)}
    for partition, values in sent.items():
        send(producer, topic, values, partition)
    source = KafkaSource(brokers, topic)
    reader = source.open(dict.fromkeys(source.partitions(), 0))

    got = read_to_end(reader, {0, 1, 2})
    reader.close()

    by_partition = defaultdict(list)
    for value, partition, offset in zip(
        got["values"], got["partitions"], got["offsets"], strict=True
    ):
        by_partition[partition].append((offset, value))
    assert by_partition == {p: list(enumerate(values)) for p, values in sent.items()}
    assert got["positions"] == {0: 700, 1: 700, 2: 700}


@pytest.mark.parametrize("stamp", ["CreateTime", "LogAppendTime"])
def test_columns_are_those_of_the_messages_whatever_the_batch(brokers, make_topic, producer, stamp):
    topic = make_topic(3, message_timestamp_type=stamp)
    for n in range(3_000):
        partition = (n // 70) % 3
        key, headers = (None, None) if n % 5 else (b"k%d" % n, [("h", b"%d" % n), ("n", None)])
        producer.produce(
            topic,
            None if n % 11 == 0 else b"v%d" % n,
            key=key,
            headers=headers,
            partition=partition,
            timestamp=1_700_000_000_000 + (n * 7919) % 1000,
        )
        if n % 100 == 0:
            producer.flush(10)
    producer.flush(10)
    expected = plain_read(brokers, topic, 3_000)
    source = KafkaSource(brokers, topic)

    for max_messages in (1, 7, 500, 501, 2_000, 100_000):
        reader = source.open(dict.fromkeys(range(3), 0))
        got = read_to_end(reader, {0, 1, 2}, max_messages)
        reader.close()
        rows = zip(*(got[c] for c in COLUMNS), strict=True)
        assert sorted(rows, key=lambda row: row[:2]) == expected
    assert source.log_append_time() is (stamp == "LogAppendTime")


COLUMNS = ("partitions", "offsets", "values", "times", "keys", "headers")


def plain_read(brokers, topic, count):
    """The topic's messages by the client alone, attribute by attribute."""
    from confluent_kafka import Consumer

    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "test"})
    consumer.assign([TopicPartition(topic, p, 0) for p in range(3)])
    rows = []
    while len(rows) < count:
        message = consumer.poll(10)
        assert message is not None
        rows.append(
            (
                message.partition(),
                message.offset(),
                message.value(),
                message.timestamp()[1],
                message.key(),
                message.headers() or [],
            )
        )
    consumer.close()
    return sorted(rows, key=lambda row: row[:2])


def test_a_reader_starts_at_the_positions_given(brokers, make_topic, producer):
    topic = make_topic(2)
    for partition in (0, 1):
        send(producer, topic, [b"%d" % n for n in range(10)], partition)
    reader = KafkaSource(brokers, topic).open({0: 8, 1: 10})

    got = read_to_end(reader, {0, 1})
    reader.close()

    assert (got["values"], got["offsets"]) == ([b"8", b"9"], [8, 9])
    assert got["positions"] == {0: 10, 1: 10}


def test_an_empty_partition_is_at_its_end_at_once(brokers, make_topic):
    source = KafkaSource(brokers, make_topic(1))
    reader = source.open({0: 0})

    batch = reader.poll(500, 5_000)

    assert (len(batch), batch.positions, reader.at_end()) == (0, {0: 0}, {0})
    assert source.bounds() == {0: (0, 0)}
    reader.close()


def test_new_messages_end_the_state_of_being_at_the_end(brokers, make_topic, producer):
    topic = make_topic(1)
    reader = KafkaSource(brokers, topic).open({0: 0})
    read_to_end(reader, {0})
    send(producer, topic, [b"a"])

    batch = reader.poll(1, 5_000)
    assert (list(batch.values), reader.at_end()) == ([b"a"], frozenset())
    assert read_to_end(reader, {0})["positions"] == {0: 1}
    reader.close()


def test_polls_with_messages_are_a_linger_apart_and_work_between_them_counts(
    brokers, make_topic, producer
):
    topic = make_topic(1)
    reader = KafkaSource(brokers, topic, settings=ReadSettings(linger_ms=1_000)).open({0: 0})
    read_to_end(reader, {0})
    send(producer, topic, [b"a"])
    reader.poll(100, 5_000)

    began = time.monotonic()
    send(producer, topic, [b"b"])
    time.sleep(0.3)
    send(producer, topic, [b"c"])
    assert list(reader.poll(100, 5_000).values) == [b"b", b"c"]
    assert time.monotonic() - began > 0.9

    send(producer, topic, [b"d"])
    time.sleep(1.2)
    began = time.monotonic()
    assert list(reader.poll(100, 5_000).values) == [b"d"]
    assert time.monotonic() - began < 0.7
    reader.close()


def test_transactions_leave_gaps_and_aborted_messages_never_appear(
    brokers, make_topic, transactional
):
    topic = make_topic(1)
    in_transaction(transactional, topic, [b"a", b"b"])  # offsets 0 1, marker 2
    in_transaction(transactional, topic, [b"x", b"y"], abort=True)  # 3 4, marker 5
    in_transaction(transactional, topic, [b"c"])  # 6, marker 7
    source = KafkaSource(brokers, topic)
    reader = source.open({0: 0})

    got = read_to_end(reader, {0})
    reader.close()

    assert list(zip(got["offsets"], got["values"], strict=True)) == [
        (0, b"a"),
        (1, b"b"),
        (6, b"c"),
    ]
    assert got["positions"] == {0: 8}
    assert source.bounds() == {0: (0, 8)}


def test_a_trailing_aborted_transaction_still_ends_at_the_end(brokers, make_topic, transactional):
    topic = make_topic(1)
    in_transaction(transactional, topic, [b"a"])
    in_transaction(transactional, topic, [b"x"] * 600, abort=True)
    reader = KafkaSource(brokers, topic).open({0: 0})

    got = read_to_end(reader, {0})

    assert got["values"] == [b"a"]
    assert got["positions"] == {0: 603}
    in_transaction(transactional, topic, [b"b"])
    assert list(reader.poll(10, 5_000).values) == [b"b"]
    reader.close()


def test_an_open_transaction_is_the_end_until_it_is_committed(brokers, make_topic, transactional):
    topic = make_topic(1)
    transactional.begin_transaction()
    transactional.produce(topic, b"a", partition=0)
    transactional.flush(10)
    source = KafkaSource(brokers, topic)
    reader = source.open({0: 0})

    assert read_to_end(reader, {0})["values"] == []
    assert source.bounds() == {0: (0, 0)}
    transactional.commit_transaction(10)
    assert list(reader.poll(10, 5_000).values) == [b"a"]
    reader.close()


def test_gaps_of_many_small_transactions_keep_every_offset(brokers, make_topic, transactional):
    topic = make_topic(1)
    for n in range(60):
        in_transaction(transactional, topic, [b"%d" % n] * 3, abort=n % 7 == 3)
    reader = KafkaSource(brokers, topic).open({0: 0})

    got = read_to_end(reader, {0}, 100_000)
    reader.close()

    expected = [(4 * n + i, b"%d" % n) for n in range(60) if n % 7 != 3 for i in range(3)]
    assert list(zip(got["offsets"], got["values"], strict=True)) == expected


def test_a_header_whose_name_is_not_utf8_costs_its_message_the_headers_alone(brokers, make_topic):
    topic = make_topic(1)
    # Many, for calls that are hot take another way through the interpreter.
    bad = [(b"%d" % n, [(b"ok", b"1"), (b"\xff", b"2"), (b"last", None)]) for n in range(40)]
    produce_raw(brokers, topic, [*bad, (b"last", [(b"ok", b"1")])])
    reader = KafkaSource(brokers, topic).open({0: 0})

    got = read_to_end(reader, {0})
    reader.close()

    assert got["values"] == [*(b"%d" % n for n in range(40)), b"last"]
    assert got["headers"] == [*([] for _ in range(40)), [("ok", b"1")]]


def test_headers_may_be_read_twice_even_if_a_name_is_not_utf8(brokers, make_topic):
    topic = make_topic(1)
    produce_raw(brokers, topic, [(b"a", [(b"ok", b"1"), (b"\xff\xfe", b"2")])])
    reader = KafkaSource(brokers, topic).open({0: 0})
    batch = reader.poll(1, 5_000)
    reader.close()

    assert [list(batch.headers[0]) for _ in range(100)] == [[]] * 100


def test_an_offset_that_retention_took_is_refused_with_the_range(
    brokers, make_topic, producer, admin
):
    topic = make_topic(1)
    send(producer, topic, [b"%d" % n for n in range(10)])
    admin.delete_records([TopicPartition(topic, 0, 6)])[TopicPartition(topic, 0, 6)].result()
    reader = KafkaSource(brokers, topic).open({0: 3})

    with pytest.raises(Refused) as refused:
        read_to_end(reader, {0})
    reader.close()

    assert refused.value.message == (
        f'topic "{topic}" partition 0 has no offset 3: offsets 6 to 10 are there'
    )
    assert "--from earliest" in refused.value.help


def test_an_offset_beyond_the_end_is_refused(brokers, make_topic, producer):
    topic = make_topic(1)
    send(producer, topic, [b"a"])
    reader = KafkaSource(brokers, topic).open({0: 5})

    with pytest.raises(Refused, match="has no offset 5: offsets 0 to 1 are there"):
        read_to_end(reader, {0})
    reader.close()


def test_a_missing_topic_is_refused_and_not_made(brokers, admin):
    source = KafkaSource(brokers, "no_such_topic")

    for ask in (source.partitions, source.bounds, source.log_append_time, lambda: source.open({})):
        with pytest.raises(Refused, match='topic "no_such_topic" does not exist on Kafka at'):
            ask()
    assert "no_such_topic" not in admin.list_topics(timeout=10).topics


def test_a_partition_that_does_not_exist_is_refused(brokers, make_topic):
    with pytest.raises(Refused, match="has no partition 7: it has 2, counted from 0"):
        KafkaSource(brokers, make_topic(2)).open({0: 0, 7: 0})


def test_a_topic_deleted_while_reading_is_refused(brokers, make_topic, admin):
    topic = make_topic(1)
    reader = KafkaSource(brokers, topic).open({0: 0})
    read_to_end(reader, {0})
    admin.delete_topics([topic])[topic].result()
    refusals = []

    def is_refused() -> bool:
        try:
            reader.poll(10, 500)
        except Refused as refused:
            refusals.append(refused.message)
        return bool(refusals)

    until(is_refused, seconds=30)
    assert refusals == [f'topic "{topic}" does not exist on Kafka at {brokers}']
    reader.close()


def test_a_topic_made_anew_is_refused_when_partitions_are_looked_for(
    brokers, make_topic, producer, admin
):
    topic = make_topic(1)
    source = KafkaSource(brokers, topic)
    reader = source.open({0: 0})
    admin.delete_topics([topic])[topic].result()
    until(lambda: topic not in admin.list_topics(timeout=10).topics)
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result()
    until(lambda: topic in admin.list_topics(timeout=10).topics)

    with pytest.raises(Refused, match=f'topic "{topic}" on Kafka at .* was deleted and made anew'):
        source.partitions()
    reader.close()


def test_an_unreachable_broker_is_told_in_bounded_time_with_its_address(free_port):
    address = f"127.0.0.1:{free_port}"
    started = time.monotonic()

    with pytest.raises(Unreachable) as unreachable:
        KafkaSource(address, "events").open({0: 0})

    assert time.monotonic() - started < 6
    assert address in unreachable.value.message
    assert "Connection refused" in unreachable.value.message
    assert "pipelinekit up kafka" in unreachable.value.help


def test_partitions_added_while_reading_are_seen_and_can_be_read(
    brokers, make_topic, producer, admin
):
    topic = make_topic(1)
    send(producer, topic, [b"a"])
    source = KafkaSource(brokers, topic)
    reader = source.open({0: 0})
    read_to_end(reader, {0})
    admin.create_partitions([NewPartitions(topic, 3)])[topic].result()

    until(lambda: source.partitions() == (0, 1, 2))
    reader.add({1: 0, 2: 0})
    other = Producer({"bootstrap.servers": brokers})
    send(other, topic, [b"b"], 2)
    send(other, topic, [b"c"], 0)

    got = read_to_end(reader, {0, 1, 2})
    assert sorted(zip(got["partitions"], got["offsets"], got["values"], strict=True)) == [
        (0, 1, b"c"),
        (2, 0, b"b"),
    ]
    reader.close()


def test_a_paused_partition_rests_and_goes_on_without_loss_or_repeat(brokers, make_topic, producer):
    topic = make_topic(2)
    for partition in (0, 1):
        send(producer, topic, [b"%d" % n for n in range(5_000)], partition)
    reader = KafkaSource(brokers, topic).open({0: 0, 1: 0})
    first = reader.poll(100, 5_000)
    seen = int(first.partitions[0])
    other = 1 - seen

    reader.pause(frozenset({seen}))
    rest = read_to_end(reader, {other})
    assert set(rest["partitions"]) == {other}
    reader.resume(frozenset({seen}))
    more = read_to_end(reader, {0, 1})

    offsets = {0: [], 1: []}
    for partition, offset in zip(
        [*first.partitions.tolist(), *rest["partitions"], *more["partitions"]],
        [*first.offsets.tolist(), *rest["offsets"], *more["offsets"]],
        strict=True,
    ):
        offsets[partition].append(offset)
    assert offsets == {0: list(range(5_000)), 1: list(range(5_000))}
    reader.close()


def test_reading_commits_nothing(brokers, make_topic, producer, admin):
    topic = make_topic(1)
    send(producer, topic, [b"a"])
    reader = KafkaSource(brokers, topic).open({0: 0})
    read_to_end(reader, {0})
    reader.close()

    groups = admin.list_consumer_groups().result().valid
    assert "pipelinekit" not in {group.group_id for group in groups}
