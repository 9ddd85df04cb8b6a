from __future__ import annotations

import pytest

from pipelinekit.connectors.kafka.admin import KafkaAdmin
from pipelinekit.connectors.kafka.topics import (
    TopicInfo,
    TopicWanted,
    aggregates_topic,
    create,
    dead_letters_topic,
    describe,
    drift,
    parse_statement,
    source_topic,
)
from pipelinekit.errors import Unreachable, UsageError
from pipelinekit.units import DAY_MS

DAY = 86_400_000


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("make", "days", "log_append_time", "bytes_max"),
    [
        (source_topic, 7, True, 1_048_588),
        (aggregates_topic, 1, False, 1_048_588),
        (dead_letters_topic, 14, False, 1_048_588 + 65_536),
    ],
)
def test_topics_are_made_with_their_retention_and_clock(
    brokers, topic_name, make, days, log_append_time, bytes_max
):
    admin = KafkaAdmin(brokers)
    wanted = make(topic_name, partitions=2)

    assert describe(admin, topic_name) is None
    create(admin, wanted)

    info = describe(admin, topic_name)
    assert info == TopicInfo(topic_name, 2, 1, days * DAY, log_append_time, bytes_max, False)
    assert drift(info, wanted) == []


@pytest.mark.kafka
def test_an_existing_topic_is_never_altered(brokers, make_topic):
    admin = KafkaAdmin(brokers)
    topic = make_topic(1, retention_ms="3600000")
    before = describe(admin, topic)

    create(admin, source_topic(topic))

    assert describe(admin, topic) == before


def test_drift_says_what_differs_and_why_it_matters():
    info = TopicInfo("late", 1, 1, 3_600_000, False, 1_048_588, True)
    wanted = TopicWanted(
        "late", retention_ms=14 * DAY_MS, log_append_time=True, message_bytes_max=1_114_124
    )

    assert drift(info, wanted) == [
        'topic "late" has message.timestamp.type CreateTime, LogAppendTime is wanted: '
        "a replay may decide otherwise which events lie in the future",
        'topic "late" keeps messages 1h, 14d is wanted',
        'topic "late" has max.message.bytes 1048588, 1114124 is wanted: '
        "the largest messages won't fit",
        'topic "late" is compacted: of messages with one key all but the last vanish',
    ]


def test_a_topic_that_keeps_more_than_wanted_does_not_drift():
    assert drift(TopicInfo("a", 9, 3, -1, True, 2_000_000, False), source_topic("a")) == []


@pytest.mark.parametrize("make", [source_topic, aggregates_topic, dead_letters_topic])
def test_a_statement_reads_back_as_the_topic_it_makes(make):
    assert parse_statement(make("a").statement) == make("a")


def test_statements_are_lines_that_people_can_read():
    assert aggregates_topic("aggregates").statement == (
        "create topic aggregates partitions 4 replication -1 "
        "retention.ms=86400000 message.timestamp.type=CreateTime"
    )


def test_another_statement_is_refused():
    with pytest.raises(UsageError, match='"drop topic a" is not a statement for Kafka'):
        parse_statement("drop topic a")


def test_an_unreachable_broker_is_told(free_port):
    with pytest.raises(Unreachable, match=f"127.0.0.1:{free_port} did not answer within 0.3 s"):
        describe(KafkaAdmin(f"127.0.0.1:{free_port}", timeout_ms=300), "a")
