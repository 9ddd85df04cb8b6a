from __future__ import annotations

from itertools import groupby

from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st

from pipelinekit.connectors.kafka.messages import MessageColumns

CREATE_TIME, LOG_APPEND_TIME = 1, 2


@st.composite
def logs(draw) -> list[Message]:
    """Runs of messages of some partitions: offsets with gaps, stamps by batches or by producers."""
    next_offset: dict[int, int] = {}
    clock: dict[int, int] = {}
    messages = []
    partitions = draw(st.sampled_from([[0], [0, 1, 2], [7, 255, 256, 1000]]))
    for _ in range(draw(st.integers(1, 8))):
        partition = draw(st.sampled_from(partitions))
        kind = draw(st.sampled_from([CREATE_TIME, LOG_APPEND_TIME, LOG_APPEND_TIME]))
        batch = draw(st.integers(1, 90))
        for n in range(draw(st.integers(1, 150))):
            has_gap = draw(st.integers(0, 60)) == 0
            offset = next_offset.get(partition, 0) + 3 * has_gap
            next_offset[partition] = offset + 1
            if n % batch == 0:
                clock[partition] = clock.get(partition, 1_000) + 1
            time = clock[partition] if kind == LOG_APPEND_TIME else (n * 7919) % 100
            messages.append(
                Message(
                    topic="t",
                    partition=partition,
                    offset=offset,
                    key=b"k%d" % offset,
                    value=b"%d-%d" % (partition, offset),
                    headers=[("h", b"1")] if n % 3 else None,
                    timestamp=(kind, time),
                )
            )
    return messages


@given(logs())
def test_columns_equal_what_each_message_says(messages):
    batch = MessageColumns().batch(messages)

    assert batch.values == [m.value() for m in messages]
    assert batch.partitions.tolist() == [m.partition() for m in messages]
    assert batch.offsets.tolist() == [m.offset() for m in messages]
    assert batch.broker_times_ms.tolist() == [m.timestamp()[1] for m in messages]
    assert list(batch.keys) == [m.key() for m in messages]
    assert [list(h) for h in batch.headers] == [m.headers() or [] for m in messages]
    by_partition = groupby(sorted(messages, key=Message.partition), key=Message.partition)
    assert batch.positions == {p: max(m.offset() for m in ms) + 1 for p, ms in by_partition}


def test_lazy_columns_index_and_slice_as_lists_do():
    messages = [Message(topic="t", partition=0, offset=n, key=b"%d" % n) for n in range(5)]
    keys = MessageColumns().batch(messages).keys

    assert (keys[0], keys[-1], len(keys)) == (b"0", b"4", 5)
    assert list(keys[1:4:2]) == [b"1", b"3"]
