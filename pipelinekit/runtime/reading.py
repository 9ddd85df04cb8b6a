"""Reading a shard, one step at a time: what the local runner's thread and Beam's source share.

A step polls, publishes the watermark as it stands, and ingests; the watermark that a step gives
stood before its data, so none overtakes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from pipelinekit.clock import Clock
from pipelinekit.connectors.base import Reader
from pipelinekit.data import RawBatch
from pipelinekit.engine.ingest import Admitted, Ingest, Slice
from pipelinekit.engine.lateness import PartitionTime, ShardTime
from pipelinekit.plan.model import Plan

_ALIGNMENT_CHECK_MS = 200
# A step is polled and decoded so many messages at a time, and grouped once: 50,000 messages held
# together outgrow the processor's cache, and their memory goes back to the system each time.
POLLED_AT_ONCE = 5_000


@dataclass(slots=True)
class ReadSettings:
    """`align_ms`: a partition whose W is further ahead of its shard's least one is paused."""

    align_ms: int
    log_append_time: bool
    stop_at: Mapping[int, int] | None = None  # per partition the offset to end at


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What one step gave. `watermark_ms` is the shard's as it stood before the slice.

    `raised` names partitions whose W was raised by idleness in this publication.
    """

    watermark_ms: int
    slice: Slice | None
    raised: frozenset[int]


def alignment_ms(plan: Plan) -> int:
    """How far a partition may run ahead of its shard's others in a catch-up."""
    return 2 * max(m.window.every_ms for m in plan.metrics)


@dataclass(slots=True, eq=False)
class ShardRead:
    """A shard's open reader and its time. Not thread-safe."""

    reader: Reader
    ingest: Ingest
    time: ShardTime
    settings: ReadSettings
    clock: Clock
    trouble: str | None = None
    _last_message_ms: dict[int, int] = field(default_factory=dict)
    _paused: frozenset[int] = frozenset()
    _aligned_ms: int = 0

    def step(self, messages_max: int, wait_ms: int) -> Step:
        """Poll at most so many messages, after `wait_ms` none, and ingest them."""
        batch = self._poll(min(messages_max, POLLED_AT_ONCE), wait_ms)
        before = {p: t.watermark_ms for p, t in self.time.partitions.items()}
        watermark = self.time.publish(self.time.watermark(self.clock.now_ms()))
        raised = frozenset(p for p, t in self.time.partitions.items() if t.watermark_ms > before[p])
        admitted: list[Admitted] = []
        left = messages_max
        while len(batch) or batch.positions:
            admitted.append(self._admit(batch))
            left -= len(batch)
            if len(batch) < POLLED_AT_ONCE or left <= 0:
                break
            batch = self._poll(min(left, POLLED_AT_ONCE), 0)
        return Step(watermark, self.ingest.slice(admitted) if admitted else None, raised)

    def _poll(self, messages_max: int, wait_ms: int) -> RawBatch:
        batch = self.reader.poll(messages_max, wait_ms)
        self.trouble = self.reader.trouble()
        return _cut(batch, self.settings.stop_at)

    def _admit(self, batch: RawBatch) -> Admitted:
        now_ms = self.clock.now_ms()
        times = batch.broker_times_ms
        references = times if self.settings.log_append_time else np.minimum(times, now_ms)
        references = np.where(times < 0, now_ms, references)
        admitted = self.ingest.admit(batch, self.time.partitions, references)
        self.time.partitions.update(admitted.partitions)
        for partition in np.unique(batch.partitions).tolist():
            self._last_message_ms[partition] = now_ms
        return admitted

    def rest(self) -> None:
        """Between steps: which partitions are idle, which run ahead and must wait."""
        now_ms = self.clock.now_ms()
        self._mark_idle(now_ms)
        self._align(now_ms)

    def add(self, positions: Mapping[int, int]) -> None:
        """Also read these partitions, from these offsets; those that are read go on as they do."""
        new = {p: o for p, o in positions.items() if p not in self.time.partitions}
        if not new:
            return
        # A new partition starts at the shard's watermark: it can't hold it back.
        start = self.time.published_ms
        for partition, offset in new.items():
            self.time.partitions[partition] = PartitionTime(offset, watermark_ms=start)
        self.reader.add(new)

    @property
    def is_at_end(self) -> bool:
        """Whether every partition was read to where its log ends now."""
        return self.reader.at_end() >= self.time.partitions.keys()

    @property
    def is_done(self) -> bool:
        """Whether every partition was read up to its `stop_at`."""
        if self.settings.stop_at is None:
            return False
        return all(
            t.next_offset >= self.settings.stop_at.get(p, 0)
            for p, t in self.time.partitions.items()
        )

    def _mark_idle(self, now_ms: int) -> None:
        """At their end and silent for idle_after; never while a broker is in trouble."""
        if self.trouble is not None:
            return
        silent = []
        for partition in self.reader.at_end():
            since = self._last_message_ms.setdefault(partition, now_ms)
            is_live = not self.time.partitions[partition].is_idle
            if is_live and now_ms - since >= self.time.idle_after_ms:
                silent.append(partition)
        if silent:
            self.time.mark_idle(silent)

    def _align(self, now_ms: int) -> None:
        """Pause partitions that run ahead, so that few panes are open in a catch-up."""
        if now_ms - self._aligned_ms < _ALIGNMENT_CHECK_MS or len(self.time.partitions) < 2:
            return
        self._aligned_ms = now_ms
        behind = self.reader.at_end()
        marks = {
            p: t.watermark_ms
            for p, t in self.time.partitions.items()
            if not t.is_idle and p not in behind
        }
        ahead: frozenset[int] = frozenset()
        if len(marks) > 1:
            least = min(marks.values())
            slack = {p: self.settings.align_ms // (2 if p in self._paused else 1) for p in marks}
            ahead = frozenset(p for p, mark in marks.items() if mark - least > slack[p])
        if newly := ahead - self._paused:
            self.reader.pause(newly)
        if again := self._paused - ahead:
            self.reader.resume(again)
        self._paused = ahead


def _cut(batch: RawBatch, stop_at: Mapping[int, int] | None) -> RawBatch:
    """The batch without what lies at or beyond the offsets to stop at."""
    if stop_at is None or not len(batch):
        return batch
    limits = np.array([stop_at.get(int(p), 0) for p in batch.partitions], dtype=np.int64)
    kept = batch.offsets < limits
    if kept.all():
        return batch
    places = np.flatnonzero(kept).tolist()
    positions = {p: min(o, max(stop_at.get(p, 0), 0)) for p, o in batch.positions.items()}
    return RawBatch(
        values=[batch.values[i] for i in places],
        partitions=batch.partitions[kept],
        offsets=batch.offsets[kept],
        broker_times_ms=batch.broker_times_ms[kept],
        keys=[batch.keys[i] for i in places],
        headers=[batch.headers[i] for i in places],
        positions=positions,
    )
