from __future__ import annotations

import os
import threading
import time

import pytest

from pipelinekit.connectors.kafka.admin import KafkaAdmin
from pipelinekit.connectors.kafka.dead_letters import DETAIL_BYTES_MAX, KafkaDeadLetters
from pipelinekit.connectors.kafka.source import KafkaSource
from pipelinekit.connectors.kafka.topics import (
    BROKER_MESSAGE_BYTES_MAX,
    create,
    dead_letters_topic,
)
from pipelinekit.data import DeadLetter
from pipelinekit.errors import Refused, Unreachable
from pipelinekit.reasons import Reason
from tests.connectors.kafka.logs import read_to_end, until

pytestmark = pytest.mark.kafka


def letter(value: bytes | None = b"{}", **changes) -> DeadLetter:
    given = {
        "key": b"k",
        "headers": (),
        "reason": Reason.INVALID,
        "detail": "not an object",
        "metrics": (),
        "topic": "events",
        "partition": 3,
        "offset": 42,
        "event_time_ms": None,
        "watermark_ms": None,
    }
    return DeadLetter(value=value, **(given | changes))


def read(brokers, topic):
    reader = KafkaSource(brokers, topic).open({0: 0})
    got = read_to_end(reader, {0})
    reader.close()
    return got


def test_key_and_value_are_kept_byte_for_byte(brokers, make_topic):
    topic = make_topic(1)
    pairs = [
        (None, None),
        (b"", b""),
        (b"\xff\xfe\x00", b"\x00\xc3\x28 not UTF-8"),
        (b"k", os.urandom(1_000_000)),
        (b"k", None),
        (None, "näh".encode()),
    ]
    letters = KafkaDeadLetters(brokers, topic)

    letters.write([letter(value, key=key) for key, value in pairs])
    letters.flush()
    letters.close()

    got = read(brokers, topic)
    assert list(zip(got["keys"], got["values"], strict=True)) == pairs


def test_headers_say_reason_and_origin_after_the_original_ones(brokers, make_topic):
    topic = make_topic(1)
    letters = KafkaDeadLetters(brokers, topic)

    letters.write(
        [
            letter(
                headers=(("tenant", b"\xff"), ("reason", b"theirs"), ("empty", None)),
                reason=Reason.TOO_LATE,
                detail="12 s after the watermark – ü",
                metrics=("views", "buyers"),
                event_time_ms=1_700_000_000_000,
                watermark_ms=1_700_000_012_000,
            ),
            letter(),
        ]
    )
    letters.flush()
    letters.close()

    origin = [("source_topic", b"events"), ("source_partition", b"3"), ("source_offset", b"42")]
    assert read(brokers, topic)["headers"] == [
        [
            ("tenant", b"\xff"),
            ("reason", b"theirs"),
            ("empty", None),
            ("reason", b"too_late"),
            ("detail", "12 s after the watermark – ü".encode()),
            ("metrics", b"views,buyers"),
            *origin,
            ("event_time_ms", b"1700000000000"),
            ("watermark_ms", b"1700000012000"),
        ],
        [("reason", b"invalid"), ("detail", b"not an object"), *origin],
    ]


def test_a_long_detail_is_cut_between_characters(brokers, make_topic):
    topic = make_topic(1)
    letters = KafkaDeadLetters(brokers, topic)

    letters.write([letter(detail="é" * 5_000), letter(detail="\ud800")])
    letters.flush()
    letters.close()

    long, surrogate = (dict(h)["detail"] for h in read(brokers, topic)["headers"])
    assert len(long) <= DETAIL_BYTES_MAX
    assert set(long.decode()[:-1]) == {"é"}
    assert long.decode().endswith("…")
    assert surrogate == b"?"


def test_letters_carry_the_time_of_production(brokers, make_topic):
    topic = make_topic(1, message_timestamp_type="CreateTime")
    letters = KafkaDeadLetters(brokers, topic)
    before = time.time_ns() // 1_000_000

    letters.write([letter(event_time_ms=1_000)])
    letters.flush()
    letters.close()

    assert before <= read(brokers, topic)["times"][0] <= time.time_ns() // 1_000_000


def test_the_greatest_message_of_a_source_fits_a_topic_we_make(brokers, topic_name):
    create(KafkaAdmin(brokers), dead_letters_topic(topic_name, partitions=1))
    letters = KafkaDeadLetters(brokers, topic_name)
    largest = os.urandom(BROKER_MESSAGE_BYTES_MAX - 100)

    letters.write([letter(largest, detail="x" * 2_000, metrics=("a_metric_name",) * 1_000)])
    letters.flush()
    letters.close()

    assert read(brokers, topic_name)["values"] == [largest]


def test_a_letter_too_large_for_the_topic_is_refused_by_name_and_size(brokers, make_topic):
    topic = make_topic(1, max_message_bytes="200000")
    letters = KafkaDeadLetters(brokers, topic)
    letters.write([letter(b"a"), letter(os.urandom(300_000)), letter(b"b")])

    with pytest.raises(Refused) as refused:
        letters.flush()
    letters.close()

    assert refused.value.message == (
        'the dead letter of topic "events" partition 3 offset 42 has 300083 bytes, '
        f'more than topic "{topic}" takes'
    )
    assert refused.value.help == (
        f'raise max.message.bytes of topic "{topic}" on Kafka at {brokers}'
    )
    assert read(brokers, topic)["values"] == [b"a", b"b"]


def test_a_missing_topic_is_refused_and_not_made(brokers, admin):
    letters = KafkaDeadLetters(brokers, "no_such_letters")

    with pytest.raises(Refused, match='topic "no_such_letters" does not exist'):
        letters.check()
    letters.write([letter()])
    with pytest.raises(Refused, match='topic "no_such_letters" does not exist'):
        letters.flush()
    letters.close()
    assert "no_such_letters" not in admin.list_topics(timeout=10).topics


def test_flush_without_a_broker_is_unreachable_within_its_budget_and_keeps_the_letters(free_port):
    letters = KafkaDeadLetters(f"127.0.0.1:{free_port}", "late", flush_timeout_ms=300)
    letters.write([letter(), letter()])

    for _ in range(2):
        started = time.monotonic()
        with pytest.raises(Unreachable, match=f'2 dead letters to topic "late" .*{free_port}'):
            letters.flush()
        assert time.monotonic() - started < 2
    letters.close()


def test_write_blocks_when_the_queue_is_full_and_close_frees_it(free_port):
    letters = KafkaDeadLetters(f"127.0.0.1:{free_port}", "late", queue_kbytes_max=100)
    outcome = []

    def write() -> None:
        try:
            letters.write([letter(bytes(10_000), offset=n) for n in range(100)])
        except Unreachable as unreachable:
            outcome.append(unreachable.message)

    thread = threading.Thread(target=write)
    thread.start()
    thread.join(0.5)
    assert thread.is_alive()

    letters.close()
    thread.join(10)
    assert outcome == [f'the queue to topic "late" on Kafka at 127.0.0.1:{free_port} is full']


def test_letters_that_a_producer_gave_up_are_sent_by_another(brokers, make_topic):
    topic = make_topic(1)
    letters = KafkaDeadLetters(brokers, topic)
    letters.write([letter(b"%d" % n) for n in range(50)])
    # What a fatal error of the client does to everything that waits.
    letters._producer._client.purge()

    def flushed() -> bool:
        try:
            letters.flush()
        except Unreachable:
            return False
        return True

    until(flushed)
    letters.close()
    assert set(read(brokers, topic)["values"]) == {b"%d" % n for n in range(50)}
