"""A shard: one thread that reads its partitions, ingests, and hands on what came out.

Everything travels in one queue, the watermark as it stood before a slice with the slice, so that
no watermark overtakes data. The queue's bound is the back-pressure: a full one stops reading.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipelinekit.clock import Clock
from pipelinekit.connectors.base import Reader
from pipelinekit.data import RawBatch
from pipelinekit.engine.ingest import Ingest, Slice
from pipelinekit.engine.lateness import PartitionTime, ShardTime

# One poll: large enough to make a group_by cheap per event when behind, and soon over when not.
POLL_MESSAGES_MAX = 10_000
POLL_WAIT_MS = 40
_ALIGNMENT_CHECK_MS = 200


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """What one slice gave. `watermark_ms` is the shard's as it stood before the slice.

    `raised` names partitions whose W was raised by idleness in this publication.
    """

    shard: int
    watermark_ms: int
    slice: Slice | None
    raised: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Barrier:
    """Everything before it belongs to checkpoint `number`, with the shard's time as given."""

    shard: int
    number: int
    partitions: Mapping[int, PartitionTime]
    published_ms: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The shard will send nothing more; `error` says why if it failed."""

    shard: int
    error: BaseException | None


Message = Output | Barrier | Ended


@dataclass(slots=True)
class ShardSettings:
    """`align_ms`: a partition whose W is further ahead of its shard's least one is paused."""

    align_ms: int
    log_append_time: bool
    stop_at: Mapping[int, int] | None = None  # per partition the offset to end at


@dataclass(slots=True, eq=False)
class Shard:
    """Call `start`, then read `out`. `request_barrier`, `add` and `stop` from other threads."""

    number: int
    reader: Reader
    ingest: Ingest
    time: ShardTime
    settings: ShardSettings
    clock: Clock
    out: queue.Queue[Message]
    _barrier: int = 0
    _sent_barrier: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _added: queue.SimpleQueue[Mapping[int, int]] = field(default_factory=queue.SimpleQueue)
    _thread: threading.Thread | None = None
    _last_message_ms: dict[int, int] = field(default_factory=dict)
    _paused: frozenset[int] = frozenset()
    _aligned_ms: int = 0
    trouble: str | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=f"shard-{self.number}", daemon=True)
        self._thread.start()

    def request_barrier(self, number: int) -> None:
        self._barrier = number

    def add(self, positions: Mapping[int, int]) -> None:
        """Also read these partitions, from these offsets."""
        self._added.put(positions)

    def stop(self) -> None:
        self._stop.set()

    def join(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            while not self._stop.is_set() and not self._is_done():
                self._step()
            self._send_barrier()
        except BaseException as raised:
            error = raised
        finally:
            self.reader.close()
        self._put(Ended(self.number, error))

    def _step(self) -> None:
        self._take_added()
        batch = self.reader.poll(POLL_MESSAGES_MAX, POLL_WAIT_MS)
        self.trouble = self.reader.trouble()
        now_ms = self.clock.now_ms()
        batch = _cut(batch, self.settings.stop_at)
        before = {p: t.watermark_ms for p, t in self.time.partitions.items()}
        watermark = self.time.publish(self.time.watermark(now_ms))
        raised = frozenset(p for p, t in self.time.partitions.items() if t.watermark_ms > before[p])
        result = None
        if len(batch) or batch.positions:
            times = batch.broker_times_ms
            references = times if self.settings.log_append_time else np.minimum(times, now_ms)
            references = np.where(times < 0, now_ms, references)
            result = self.ingest.take(batch, self.time.partitions, references)
            self.time.partitions.update(result.partitions)
            for partition in np.unique(batch.partitions).tolist():
                self._last_message_ms[partition] = now_ms
        self._put(Output(self.number, watermark, result, raised))
        self._mark_idle(now_ms)
        self._align(now_ms)
        self._send_barrier()

    def _send_barrier(self) -> None:
        wanted = self._barrier
        if wanted > self._sent_barrier:
            self._sent_barrier = wanted
            state = dict(self.time.partitions)
            self._put(Barrier(self.number, wanted, state, self.time.published_ms))

    def _put(self, message: Message) -> None:
        self.out.put(message)

    def _is_done(self) -> bool:
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

    def _take_added(self) -> None:
        while not self._added.empty():
            positions = self._added.get()
            # A new partition starts at the shard's watermark: it can't hold it back.
            start = self.time.published_ms
            for partition, offset in positions.items():
                self.time.partitions[partition] = PartitionTime(offset, watermark_ms=start)
            self.reader.add(positions)


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


def shard_partitions(partitions: Sequence[int], shards: int) -> list[list[int]]:
    """Which partitions each shard reads: p mod shards."""
    return [[p for p in partitions if p % shards == shard] for shard in range(shards)]


OpenReader = Callable[[Mapping[int, int]], Reader]
