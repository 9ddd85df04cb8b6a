"""The stateful step: one key a bucket, its panes merged in the process, its log in the state."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.coders import BytesCoder
from apache_beam.metrics import Metrics
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import (
    BagStateSpec,
    ReadModifyWriteStateSpec,
    TimerSpec,
    on_timer,
)
from apache_beam.utils.timestamp import Timestamp

from pipelinekit.clock import SystemClock
from pipelinekit.runtime.beam import sizes
from pipelinekit.runtime.beam.bucket import Bucket, Flush, Schema, read_head
from pipelinekit.runtime.beam.job import TICK_MS, BeamJob

_log = logging.getLogger("pipelinekit")
# Of this process, by submission and bucket. Taken out while in use: what failed isn't put back.
_BUCKETS: dict[tuple[str, bytes], Bucket] = {}


class MergePanes(beam.DoFn):  # type: ignore[misc]
    """(bucket, partials) → flushes. In the global window, so that no runner drops anything.

    Rows leave with the slice that comes nearest to when they are due; where none comes, by a
    real-time timer, at multiples of TICK_MS so that the buckets' timers share a bundle. A watermark
    timer closes and forgets. Names of state are part of a savepoint.
    """

    LOG = BagStateSpec("log", BytesCoder())
    HEAD = ReadModifyWriteStateSpec("head", BytesCoder())
    FLUSH = TimerSpec("flush", TimeDomain.REAL_TIME)
    ADVANCE = TimerSpec("advance", TimeDomain.WATERMARK)

    def __init__(self, job: BeamJob) -> None:
        self._job = job
        self._schema: Schema | None = None
        self._orphans = Metrics.counter("pipelinekit", "orphan_events")
        self._overflows = Metrics.counter("pipelinekit", "overflowed_rows")
        self._named: set[str] = set()  # measures that the log has named
        self._rows_per_flush = _rows_per_flush(job)
        self._nearest_ms = job.pace_ms // 2  # no other slice is nearer to what is due so soon

    def setup(self) -> None:
        sizes.install()

    def process(
        self,
        element: tuple[bytes, bytes],
        log: Any = beam.DoFn.StateParam(LOG),
        head: Any = beam.DoFn.StateParam(HEAD),
        flush: Any = beam.DoFn.TimerParam(FLUSH),
        advance: Any = beam.DoFn.TimerParam(ADVANCE),
    ) -> Iterator[Flush]:
        key, blob = element
        bucket = self._take(key, log, head)
        bucket.add(blob, log)
        rows = None
        now_ms = SystemClock().now_ms()
        due_by_ms = now_ms + self._nearest_ms
        if not self._job.is_bounded and bucket.store.due(due_by_ms):
            rows = bucket.flush(now_ms, self._rows_per_flush, due_by_ms)
            if bucket.head.flush_at_ms is not None:
                bucket.head.flush_at_ms = None
                flush.clear()
        self._give_back(key, bucket, head, flush, advance)
        if rows is not None:
            yield rows

    @on_timer(FLUSH)
    def on_flush(
        self,
        key: bytes = beam.DoFn.KeyParam,
        log: Any = beam.DoFn.StateParam(LOG),
        head: Any = beam.DoFn.StateParam(HEAD),
        flush: Any = beam.DoFn.TimerParam(FLUSH),
        advance: Any = beam.DoFn.TimerParam(ADVANCE),
    ) -> Iterator[Flush]:
        bucket = self._take(key, log, head)
        bucket.head.flush_at_ms = None
        rows = bucket.flush(SystemClock().now_ms(), self._rows_per_flush)
        self._give_back(key, bucket, head, flush, advance)
        if rows is not None:
            yield rows

    @on_timer(ADVANCE)
    def on_advance(
        self,
        key: bytes = beam.DoFn.KeyParam,
        timestamp: Timestamp = beam.DoFn.TimestampParam,
        log: Any = beam.DoFn.StateParam(LOG),
        head: Any = beam.DoFn.StateParam(HEAD),
        flush: Any = beam.DoFn.TimerParam(FLUSH),
        advance: Any = beam.DoFn.TimerParam(ADVANCE),
    ) -> Iterator[Flush]:
        """Rows of a window that closes leave here: before the watermark goes on downstream."""
        bucket = self._take(key, log, head)
        bucket.head.advance_at_ms = None
        bucket.advance(timestamp.micros // 1000)
        rows = bucket.flush(SystemClock().now_ms())
        self._give_back(key, bucket, head, flush, advance)
        if rows is not None:
            yield rows

    def _take(self, key: bytes, log: Any, head: Any) -> Bucket:
        stored = read_head(head.read())
        held = _BUCKETS.pop((self._job.run, key), None)
        if held is not None and held.head.token == stored.token:
            return held
        if self._schema is None:
            self._schema = Schema(self._job)
        return Bucket.rebuilt(key, self._schema, stored, log)

    def _give_back(self, key: bytes, bucket: Bucket, head: Any, flush: Any, advance: Any) -> None:
        """Set the timers that are needed and not set, write the head, keep the panes."""
        if bucket.store.orphans:
            self._orphans.inc(bucket.store.orphans)
            bucket.store.orphans = 0
        if bucket.store.overflows:
            self._count_overflows(bucket.store.overflows)
        due = bucket.store.next_due_ms()
        is_set = bucket.head.flush_at_ms is not None or self._job.is_bounded
        if due is not None and not is_set:
            due = max(due, SystemClock().now_ms()) + self._nearest_ms
            bucket.head.flush_at_ms = -(-due // TICK_MS) * TICK_MS
            flush.set(Timestamp(micros=bucket.head.flush_at_ms * 1000))
        deadline = bucket.store.next_deadline()
        held = bucket.head.advance_at_ms
        if deadline is not None and (held is None or deadline < held):
            bucket.head.advance_at_ms = deadline
            advance.set(Timestamp(micros=deadline * 1000))
        head.write(bucket.sealed())
        _BUCKETS[(self._job.run, key)] = bucket

    def _count_overflows(self, overflows: Counter[str]) -> None:
        self._overflows.inc(overflows.total())
        for name in sorted(overflows.keys() - self._named):
            _log.warning("%s is null in rows that leave: it went beyond its limit", name)
        self._named |= overflows.keys()
        overflows.clear()


def _rows_per_flush(job: BeamJob) -> int:
    """A bucket's share of what the sinks take in the time between two flushes."""
    budget = min((s.budget.rows_per_second for s in job.plan.sinks), default=2**31)
    return max(1, budget * job.early_ms // 1000 // job.buckets)
