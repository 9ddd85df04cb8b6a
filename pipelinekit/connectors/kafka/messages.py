"""From the client's message objects to columns: the hot path of reading.

Each message takes three calls into C (error, partition, value); the rest is asked for per run of
one partition where the log's own rules make that exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from operator import methodcaller
from typing import TYPE_CHECKING, Any, overload

from pipelinekit.data import RawBatch

if TYPE_CHECKING:
    import numpy as np
    from confluent_kafka import Message

# Below this many messages a run, per-message calls cost less than the run's own overhead.
RUN_LENGTH_MIN = 64
TIME_STRIDE = 16
LOG_APPEND_TIME = 2
_headers = methodcaller("headers")
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


class MessageColumns:
    """Makes columns of messages. Holds on to the client's C methods: looking them up costs too."""

    def __init__(self) -> None:
        import numpy as np
        from confluent_kafka import Message

        self._np = np
        self._value = Message.value
        self._key = Message.key
        self._partition = Message.partition
        self._offset = Message.offset
        self._timestamp = Message.timestamp
        self._error = Message.error

    def split(self, messages: list[Message]) -> tuple[list[Message], list[Message]]:
        """The real messages, and the client's events (end of partition, errors) among them."""
        if not any(map(self._error, messages)):
            return messages, []
        events = [m for m in messages if m.error() is not None]
        return [m for m in messages if m.error() is None], events

    def batch(self, messages: list[Message]) -> RawBatch:
        """The messages as columns, keys and headers lazily; positions follow from the offsets."""
        import numpy as np

        if not messages:
            nothing = np.empty(0, np.int64)
            return RawBatch([], nothing.astype(np.int32), nothing, nothing, [], [], {})
        partitions, runs = self.partitions(messages)
        offsets = self.offsets(messages, runs)
        return RawBatch(
            values=list(map(self._value, messages)),
            partitions=partitions,
            offsets=offsets,
            broker_times_ms=self.times(messages, runs),
            keys=LazyColumn(messages, self._key),
            headers=LazyColumn(messages, headers_of),
            positions={int(partitions[end - 1]): int(offsets[end - 1]) + 1 for end in runs[1:]},
        )

    def partitions(self, messages: list[Message]) -> tuple[np.ndarray, list[int]]:
        """The messages' partitions, and where each run of one partition starts, then the end."""
        import numpy as np

        count = len(messages)
        try:
            octets = bytes(map(self._partition, messages))
        except ValueError:  # a partition above 255
            column = np.array(list(map(self._partition, messages)), np.int32)
        else:
            if octets == octets[:1] * count:
                return np.full(count, octets[0], np.int32), [0, count]
            column = np.frombuffer(octets, np.uint8).astype(np.int32)
        starts = np.flatnonzero(column[1:] != column[:-1]) + 1
        return column, [0, *starts.tolist(), count]

    def offsets(self, messages: list[Message], runs: list[int]) -> np.ndarray:
        """The messages' offsets.

        Offsets of a partition only rise, so a run whose ends lie as far apart as its length has
        no gaps and needs no look at the messages between.
        """
        import numpy as np

        count = len(messages)
        if count < RUN_LENGTH_MIN * (len(runs) - 1):
            return np.fromiter(map(self._offset, messages), np.int64, count)
        offsets = np.empty(count, np.int64)
        for start, end in pairwise(runs):
            first, last = messages[start].offset(), messages[end - 1].offset()
            if last - first == end - start - 1:
                offsets[start:end] = np.arange(first, last + 1)
            else:
                offsets[start:end] = list(map(self._offset, messages[start:end]))
        return offsets

    def times(self, messages: list[Message], runs: list[int]) -> np.ndarray:
        """The messages' broker times, epoch milliseconds, -1 where there is none.

        A broker stamps a partition's messages in order, a batch at a time: between two with the
        same LogAppendTime, all have it. CreateTime, which producers set, is looked at each time.
        """
        import numpy as np

        count = len(messages)
        if count < RUN_LENGTH_MIN * (len(runs) - 1):
            return np.array(self._each_time(messages), np.int64)
        times = np.empty(count, np.int64)
        for start, end in pairwise(runs):
            first, last = messages[start].timestamp(), messages[end - 1].timestamp()
            if first[0] != LOG_APPEND_TIME or last[0] != LOG_APPEND_TIME:
                times[start:end] = self._each_time(messages[start:end])
            elif first == last:
                times[start:end] = first[1]
            else:
                times[start:end] = self._sampled_times(messages[start:end], last)
        return times

    def _sampled_times(self, messages: list[Message], last: tuple[int, int]) -> np.ndarray:
        import numpy as np

        samples = [*map(self._timestamp, messages[::TIME_STRIDE]), last]
        times = np.repeat([time for _, time in samples[:-1]], TIME_STRIDE)[: len(messages)]
        for index, (before, after) in enumerate(pairwise(samples)):
            if before != after or before[0] != LOG_APPEND_TIME:
                stretch = slice(index * TIME_STRIDE, (index + 1) * TIME_STRIDE)
                times[stretch] = self._each_time(messages[stretch])
        return times

    def _each_time(self, messages: list[Message]) -> list[int]:
        return [time for _, time in map(self._timestamp, messages)]


def headers_of(message: Message) -> Sequence[tuple[str, bytes | None]]:
    """The message's headers in order, none if a name among them isn't UTF-8."""
    try:
        headers: Sequence[tuple[str, bytes | None]] | None = _headers(message)
    except SystemError:
        # The client (2.16) has left a null pointer for that name, deadly to whoever looks next.
        # A plain `message.headers()` skips the interpreter's check for this once it is hot.
        message.set_headers([])
        return NO_HEADERS
    return headers or NO_HEADERS
