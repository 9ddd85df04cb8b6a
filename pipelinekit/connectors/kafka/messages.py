"""From the client's message objects to columns: the hot path of reading.

Per message two calls into C (value, partition) are needed; the rest is asked for per run of one
partition where the log's own rules make that exact. Figures: benchmarks/kafka_messages.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    import numpy as np
    from confluent_kafka import Message

# Below this many messages a run, per-message calls cost less than the run's own overhead.
RUN_LENGTH_MIN = 64
TIME_STRIDE = 16
LOG_APPEND_TIME = 2
NO_HEADERS: tuple[tuple[str, bytes | None], ...] = ()


class LazyColumn(Sequence[Any]):
    """One attribute of kept messages, read when asked for."""

    __slots__ = ("_attribute", "_messages")

    def __init__(self, messages: Sequence[Message], attribute: Callable[[Message], object]) -> None:
        self._messages = messages
        self._attribute = attribute

    def __len__(self) -> int:
        return len(self._messages)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> LazyColumn: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return LazyColumn(self._messages[index], self._attribute)
        return self._attribute(self._messages[index])


def headers_of(message: Message) -> Sequence[tuple[str, bytes | None]]:
    """The message's headers in order, empty if it has none."""
    headers: Sequence[tuple[str, bytes | None]] | None = message.headers()
    return headers or NO_HEADERS


def split_events(messages: list[Message]) -> tuple[list[Message], list[Message]]:
    """The real messages, and the client's events (end of partition, errors) among them."""
    from confluent_kafka import Message

    if not any(map(Message.error, messages)):
        return messages, []
    events = [m for m in messages if m.error() is not None]
    return [m for m in messages if m.error() is None], events


def partition_runs(messages: list[Message]) -> tuple[np.ndarray, list[int]]:
    """The messages' partitions, and where each run of one partition starts, the end included."""
    import numpy as np
    from confluent_kafka import Message

    count = len(messages)
    partitions = list(map(Message.partition, messages))
    if partitions.count(partitions[0]) == count:
        return np.full(count, partitions[0], np.int32), [0, count]
    column = np.array(partitions, np.int32)
    starts = np.flatnonzero(column[1:] != column[:-1]) + 1
    return column, [0, *starts.tolist(), count]


def offset_column(messages: list[Message], runs: list[int]) -> np.ndarray:
    """The messages' offsets.

    Offsets of a partition only rise, so a run whose ends lie as far apart as its length has no
    gaps and needs no look at the messages between.
    """
    import numpy as np
    from confluent_kafka import Message

    count = len(messages)
    if count < RUN_LENGTH_MIN * (len(runs) - 1):
        return np.fromiter(map(Message.offset, messages), np.int64, count)
    offsets = np.empty(count, np.int64)
    for start, end in pairwise(runs):
        first, last = messages[start].offset(), messages[end - 1].offset()
        if last - first == end - start - 1:
            offsets[start:end] = np.arange(first, last + 1)
        else:
            offsets[start:end] = list(map(Message.offset, messages[start:end]))
    return offsets


def time_column(messages: list[Message], runs: list[int]) -> np.ndarray:
    """The messages' broker times, epoch milliseconds, -1 where there is none.

    A broker stamps a partition's messages in order, a batch at a time: between two messages with
    the same LogAppendTime, all have it. Times that producers set (CreateTime) are each looked at.
    """
    import numpy as np

    count = len(messages)
    if count < RUN_LENGTH_MIN * (len(runs) - 1):
        return np.array([time for _, time in _stamps(messages)], np.int64)
    times = np.empty(count, np.int64)
    for start, end in pairwise(runs):
        times[start:end] = _run_times(messages[start:end])
    return times


def _run_times(messages: list[Message]) -> np.ndarray:
    import numpy as np

    samples = _stamps([*messages[::TIME_STRIDE], messages[-1]])
    if any(kind != LOG_APPEND_TIME for kind, _ in (samples[0], samples[-1])):
        return np.array([time for _, time in _stamps(messages)], np.int64)
    times = np.repeat([time for _, time in samples[:-1]], TIME_STRIDE)[: len(messages)]
    for index, (before, after) in enumerate(pairwise(samples)):
        if before != after or before[0] != LOG_APPEND_TIME:
            start = index * TIME_STRIDE
            between = _stamps(messages[start : start + TIME_STRIDE])
            times[start : start + TIME_STRIDE] = [time for _, time in between]
    return times


def _stamps(messages: list[Message]) -> list[tuple[int, int]]:
    from confluent_kafka import Message

    return list(map(Message.timestamp, messages))
