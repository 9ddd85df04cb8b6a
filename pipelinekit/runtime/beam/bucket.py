"""A bucket's panes and the log in a runner's state that they can be made from again.

The log is a bag of blobs, each with its number: a snapshot at most, then partials. The head says
how far rows had left, how far the watermark had come, and carries a token, fresh and random with
every change: panes kept in the process are trusted only while theirs equals the state's. (A
counter could match another history after a rollback.)
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from pipelinekit.data import Table, Upserts
from pipelinekit.engine.compile import compile_measures
from pipelinekit.engine.key_values import KeyCount
from pipelinekit.engine.lateness import NO_TIME
from pipelinekit.engine.panes import Metric, PaneStore
from pipelinekit.plan.tables import tables_of
from pipelinekit.runtime.beam.blobs import decode_partials, decode_rows, encode_rows
from pipelinekit.runtime.beam.job import BeamJob
from pipelinekit.units import SECOND_MS
from pipelinekit.windows.session import Session

# Below this a log is not worth compacting; above, when it outgrew its snapshot.
_LOG_BYTES_MIN = 128 * 1024
_LOG_BLOBS_MAX = 400  # a rebuild merges them one by one
_SNAPSHOT, _PARTIALS = 0, 1
_TOKEN_BITS = 63
_encode, _decode = msgspec.msgpack.encode, msgspec.msgpack.decode


class Head(msgspec.Struct, array_like=True):
    """The small part of a bucket's state, written whole with each change. Times in ms.

    Blobs with a number below `flushed` had left as rows. `flush_at_ms` and `advance_at_ms`: for
    when the timers are set.
    """

    token: int = 0
    blobs: int = 0
    flushed: int = 0
    log_bytes: int = 0
    snapshot_bytes: int = 0
    watermark_ms: int = NO_TIME
    flush_at_ms: int | None = None
    advance_at_ms: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Flush:
    """A bucket's rows that leave together; `ends` are the watermarks (ms) that close their windows.

    `key_counts`: of its windows that hold other numbers of watched keys' values than before.
    """

    bucket: bytes
    upserts: tuple[Upserts, ...]
    ends: tuple[int, ...]
    key_counts: tuple[KeyCount, ...] = ()


class Schema:
    """What all buckets of a job share, made once a process."""

    def __init__(self, job: BeamJob) -> None:
        plan = job.plan
        self._job = job
        self._parts = [
            Metric(m, tables_of(m), job.bounds(m), job.measure_floors(m)) for m in plan.metrics
        ]
        self._columns = {
            m.state_name: tuple(c for x in compile_measures(m, plan.source) for c in x.columns)
            for m in plan.metrics
        }

    def store(self) -> PaneStore:
        return PaneStore(self._job.plan.source, self._parts, self._job.epoch)

    def closes_at(self, table: Table) -> Callable[[int], int]:
        """From a window's end to the watermark that closes it; of sessions in whole seconds."""
        metric = self._job.plan.metric(table.metric)
        if not isinstance(metric.window, Session):
            return lambda end_ms: end_ms
        allowed_ms = metric.allowed_lateness_ms
        return lambda end_ms: -(-(end_ms + allowed_ms) // SECOND_MS) * SECOND_MS

    def merge(self, store: PaneStore, blob: bytes, now_ms: int) -> None:
        for partial in decode_partials(blob, self._columns):
            store.merge(partial, now_ms)


@dataclass(slots=True, eq=False)
class Bucket:
    """`log` is the runner's bag (`add`, `read`, `clear`); the caller writes `head` afterwards.

    What changes counts as waiting since the last rows left: the next leave `emit.early` after
    those, and at once where none have left for that long.
    """

    key: bytes
    schema: Schema
    store: PaneStore
    head: Head
    flushed_at_ms: int = 0

    @classmethod
    def rebuilt(cls, key: bytes, schema: Schema, head: Head, log: Any) -> Bucket:
        """From the log: rows that had not left yet are due at once."""
        store = schema.store()
        is_marked = not head.flushed
        for number, kind, data in sorted(_decode(item) for item in log.read()):
            if not is_marked and number >= head.flushed:
                store.mark_written()
                is_marked = True
            if kind == _SNAPSHOT:
                for rows in decode_rows(data):
                    store.restore(rows)
            else:
                schema.merge(store, data, 0)
        if not is_marked:
            store.mark_written()
        store.advance(head.watermark_ms)
        return cls(key, schema, store, head)

    def add(self, blob: bytes, log: Any) -> None:
        """Merge partials, and note them in the log."""
        self.schema.merge(self.store, blob, self.flushed_at_ms)
        head = self.head
        log.add(_encode((head.blobs, _PARTIALS, blob)))
        head.blobs += 1
        head.log_bytes += len(blob)
        if head.log_bytes > max(_LOG_BYTES_MIN, head.snapshot_bytes) or head.blobs > _LOG_BLOBS_MAX:
            self._compact(log)

    def flush(
        self, now_ms: int, rows_max: int | None = None, due_by_ms: int | None = None
    ) -> Flush | None:
        """The rows that are due by `due_by_ms`, now unless given; None if none is."""
        upserts = self.store.flush(now_ms, due_by_ms=due_by_ms, rows_max=rows_max)
        if self.store.next_due_ms() is None:
            self.head.flushed = self.head.blobs
        if not upserts:
            return None
        self.flushed_at_ms = now_ms
        ends: set[int] = set()
        for change in upserts:
            found = pc.unique(change.rows.column("window_end")).cast(pa.int64())
            ends.update(map(self.schema.closes_at(change.table), found.to_pylist()))
        counts = tuple(self.store.take_key_counts())
        return Flush(self.key, tuple(upserts), tuple(sorted(ends)), counts)

    def advance(self, watermark_ms: int) -> None:
        self.store.advance(watermark_ms)
        self.head.watermark_ms = self.store.watermark_ms

    def sealed(self) -> bytes:
        """The head as it is to be written, with a token of its own."""
        self.head.token = secrets.randbits(_TOKEN_BITS)
        return _encode(self.head)

    def _compact(self, log: Any) -> None:
        data = encode_rows(self.store.changed_rows(everything=True))
        log.clear()
        log.add(_encode((0, _SNAPSHOT, data)))
        # The snapshot's rows say themselves whether they have left.
        self.head.blobs, self.head.flushed = 1, 0
        self.head.log_bytes, self.head.snapshot_bytes = 0, len(data)


def read_head(data: bytes | None) -> Head:
    """The head of a bucket's state; a new bucket's if there is none."""
    return Head() if data is None else msgspec.msgpack.decode(data, type=Head)
