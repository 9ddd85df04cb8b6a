"""Event time per partition and per shard: watermarks, the future and what is too late.

All decisions follow from the log alone, per event, in its partition's order (docs/concepts).
Idleness is the one exception: it depends on a clock, and its effect (a raised watermark) is state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

# Before any event: less than every time, and far enough from the int64 edge to subtract from.
NO_TIME = -(2**62)
# After all events: what closes every window.
END_OF_TIME = 2**62


@dataclass(frozen=True, slots=True)
class PartitionTime:
    """What a partition's log has told of event time up to `next_offset`.

    `greatest_ms` is M: the greatest event time accepted; `watermark_ms` is W, which never goes
    back and may have been raised beyond M − bound while the partition was idle.
    """

    next_offset: int
    greatest_ms: int = NO_TIME
    watermark_ms: int = NO_TIME
    newest_broker_ms: int = NO_TIME
    is_idle: bool = False

    def rebased(self, out_of_orderness_ms: int) -> PartitionTime:
        """After a change of the bound: W = max(stored, M − bound)."""
        watermark = max(self.watermark_ms, self.greatest_ms - out_of_orderness_ms)
        return replace(self, watermark_ms=watermark)


@dataclass(slots=True)
class ShardTime:
    """The partitions of one shard and the watermark that it has published."""

    out_of_orderness_ms: int
    idle_after_ms: int
    partitions: dict[int, PartitionTime] = field(default_factory=dict)
    published_ms: int = NO_TIME

    def watermark(self, now_ms: int) -> int:
        """The shard's watermark as it stands: the least of its partitions that aren't idle.

        A shard idle as a whole goes on from what its log says: W + (now − its newest message's
        broker time); one that never read a message reports now − bound − idle_after.
        """
        live = [p.watermark_ms for p in self.partitions.values() if not p.is_idle]
        if live:
            return max(self.published_ms, min(live))
        read = [p for p in self.partitions.values() if p.newest_broker_ms > NO_TIME]
        if not read:
            return max(self.published_ms, now_ms - self.out_of_orderness_ms - self.idle_after_ms)
        # From M, not from the stored W: that one is raised by this very rule.
        passed = max(0, now_ms - max(p.newest_broker_ms for p in read))
        own = max(p.greatest_ms for p in read) - self.out_of_orderness_ms
        return max(self.published_ms, own + passed) if own > NO_TIME else self.published_ms

    def publish(self, watermark_ms: int) -> int:
        """Note that `watermark_ms` leaves the shard; idle partitions are raised to it."""
        self.published_ms = max(self.published_ms, watermark_ms)
        for number, partition in self.partitions.items():
            if partition.is_idle and partition.watermark_ms < self.published_ms:
                raised = replace(partition, watermark_ms=self.published_ms)
                self.partitions[number] = raised
        return self.published_ms

    def mark_idle(self, idle: Iterable[int]) -> None:
        """These partitions, at their end and silent for `idle_after`, leave the minimum."""
        for number in idle:
            self.partitions[number] = replace(self.partitions[number], is_idle=True)

    def raise_to(self, watermark_ms: int) -> None:
        """As if every partition's watermark had passed `watermark_ms` (tests with time)."""
        for number, partition in self.partitions.items():
            raised = max(partition.watermark_ms, watermark_ms)
            self.partitions[number] = replace(partition, watermark_ms=raised)


@dataclass(frozen=True, slots=True, eq=False)
class TimedEvents:
    """The verdict on a batch's events, aligned with the rows that were given.

    `watermarks_ms` is W as it stood just before each event, in its partition's order.
    """

    is_future: np.ndarray  # bool
    watermarks_ms: np.ndarray  # int64
    partitions: Mapping[int, PartitionTime]  # as they stand after the batch


def time_events(
    times_ms: np.ndarray,
    rows_of: Mapping[int, np.ndarray],
    references_ms: np.ndarray,
    state: Mapping[int, PartitionTime],
    out_of_orderness_ms: int,
    max_future_skew_ms: int,
) -> TimedEvents:
    """Split off future events and give each other one the watermark it met.

    `rows_of` names each partition's rows in log order; `references_ms` is what "now" was for each
    event (its broker time). A future event moves nothing.
    """
    is_future = times_ms > references_ms + max_future_skew_ms
    any_future = bool(is_future.any())
    watermarks = np.empty(len(times_ms), dtype=np.int64)
    after: dict[int, PartitionTime] = {}
    for number, rows in rows_of.items():
        before = state[number]
        times = times_ms[rows]
        if any_future:
            times = np.where(is_future[rows], NO_TIME, times)
        greatest = np.maximum.accumulate(np.concatenate(([before.greatest_ms], times)))
        marks = np.maximum(greatest - out_of_orderness_ms, before.watermark_ms)
        watermarks[rows] = marks[:-1]
        after[number] = replace(before, greatest_ms=int(greatest[-1]), watermark_ms=int(marks[-1]))
    return TimedEvents(is_future, watermarks, after)
