"""The outer edge of the graph: rows, dead letters, ledger and progress, by the same connectors.

A bundle ends only after the stores have acknowledged what came in it, so that a runner's
checkpoint never holds less than what is promised; nothing is kept across bundles.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import msgspec
import pyarrow as pa
from apache_beam.coders import BytesCoder
from apache_beam.metrics import Metrics
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec, TimerSpec, on_timer
from apache_beam.utils.timestamp import Timestamp

from pipelinekit.clock import SystemClock
from pipelinekit.connectors.base import DeadLetterQueue, Sink
from pipelinekit.data import DeadLetter, LedgerEntry, Progress, Table, Upserts
from pipelinekit.engine.key_values import KeyCount, KeyTotals
from pipelinekit.engine.lateness import NO_TIME
from pipelinekit.errors import Unreachable
from pipelinekit.runtime.beam.bucket import Flush
from pipelinekit.runtime.beam.job import BeamJob
from pipelinekit.runtime.outside import make_dead_letters, make_sink
from pipelinekit.units import TIME_MAX_MS

PATIENCE_S = 600  # beyond it the bundle fails, and the runner restarts the job from its checkpoint
_SAY_EVERY_S = 10
_ONE_KEY = b"job"
_log = logging.getLogger("pipelinekit")
# Of this process, by submission. No state: after a restart they fill as the buckets write.
_TOTALS: dict[str, KeyTotals] = {}


def patiently(what: str, act: Callable[[], None]) -> None:
    """Act, again while what it needs is unreachable; raises Unreachable after PATIENCE_S."""
    began = said = time.monotonic()
    while True:
        try:
            return act()
        except Unreachable as error:
            now = time.monotonic()
            if now - began > PATIENCE_S:
                raise
            if now - said > _SAY_EVERY_S:
                said = now
                _log.warning("%s waits since %.0f s: %s", what, now - began, error.message)
            time.sleep(0.5)


class _ToSinks(beam.DoFn):  # type: ignore[misc]
    """What every writer to the sinks shares: they are opened once a worker's DoFn."""

    def __init__(self, job: BeamJob) -> None:
        self._job = job
        self._sinks: dict[str, Sink] = {}
        # Of the metrics of now: a table's rows go where its metric's rows go.
        self._sinks_of = {m.name: m.sinks for m in reversed(job.plan.metrics)}

    def setup(self) -> None:
        self._sinks = {plan.name: make_sink(plan) for plan in self._job.plan.sinks}

    def teardown(self) -> None:
        for sink in self._sinks.values():
            sink.close()
        self._sinks = {}


class WriteRows(_ToSinks):
    """Flush → a (key, news of it) pair a flush; one insert a table and bundle."""

    def __init__(self, job: BeamJob) -> None:
        super().__init__(job)
        self._held: dict[str, list[Upserts]] = {}
        self._rows = Metrics.counter("pipelinekit", "rows")

    def start_bundle(self) -> None:
        self._held = {}

    def process(self, element: Flush) -> Iterator[tuple[bytes, bytes]]:
        for upserts in element.upserts:
            self._held.setdefault(upserts.table.name, []).append(upserts)
            self._rows.inc(len(upserts))
        yield _ONE_KEY, _encoded(element)

    def finish_bundle(self) -> None:
        held, self._held = self._held, {}
        for parts in held.values():
            table = parts[0].table
            rows = pa.concat_tables([p.rows for p in parts])
            for name in self._sinks_of[table.metric]:
                self._write(name, table, rows)

    def _write(self, name: str, table: Table, rows: pa.Table) -> None:
        sink = self._sinks[name]
        patiently(f"sink {name}", lambda: sink.write(Upserts(table, rows)))


class WriteLedger(_ToSinks):
    """A shard's ledger entries, the newest of a bundle."""

    def __init__(self, job: BeamJob) -> None:
        super().__init__(job)
        self._held: dict[tuple[str, int, str], LedgerEntry] = {}

    def start_bundle(self) -> None:
        self._held = {}

    def process(self, element: Sequence[LedgerEntry]) -> None:
        for entry in element:
            self._held[(entry.metric, entry.partition, entry.outcome.value)] = entry

    def finish_bundle(self) -> None:
        entries, self._held = list(self._held.values()), {}
        for name, sink in self._sinks.items():
            patiently(f"sink {name}", lambda sink=sink: sink.write_ledger(entries))  # type: ignore[misc]


class WriteDeadLetters(beam.DoFn):  # type: ignore[misc]
    """Refused events, delivered before the bundle ends."""

    def __init__(self, job: BeamJob) -> None:
        self._source = job.plan.source
        self._queue: DeadLetterQueue | None = None

    def setup(self) -> None:
        self._queue = make_dead_letters(self._source)

    def process(self, element: Sequence[DeadLetter]) -> None:
        if self._queue is not None:
            self._queue.write(element)

    def finish_bundle(self) -> None:
        if self._queue is not None:
            patiently("the dead letters", self._queue.flush)

    def teardown(self) -> None:
        if self._queue is not None:
            self._queue.close()


class _Pending(msgspec.Struct, array_like=True):
    """`ends`: of windows not yet announced as closed, ms; `announced_ms`: how far it went."""

    ends: list[int] = []
    announced_ms: int = NO_TIME
    armed_ms: int | None = None


class WriteProgress(_ToSinks):
    """Says which windows are closed, once the watermark has passed the writing of their rows.

    The one place where all buckets meet, so it also counts windows with too many values of a key.
    It stands behind the writers of all buckets: a watermark reaches it after every row that it
    closes was acknowledged.
    """

    PENDING = ReadModifyWriteStateSpec("pending", BytesCoder())
    CLOSE = TimerSpec("close", TimeDomain.WATERMARK)

    def __init__(self, job: BeamJob) -> None:
        super().__init__(job)
        self._overflows = Metrics.counter("pipelinekit", "overflowed_windows")

    def process(
        self,
        element: tuple[bytes, bytes],
        pending: Any = beam.DoFn.StateParam(PENDING),
        close: Any = beam.DoFn.TimerParam(CLOSE),
    ) -> None:
        ends, bucket, counts = _decoded(element[1])
        if counts:
            self._count_keys(bucket, counts)
        state = _read(pending)
        new = {e for e in ends if e > state.announced_ms} - set(state.ends)
        if not new:
            return
        state.ends = sorted({*state.ends, *new})
        _arm(state, close)
        pending.write(msgspec.msgpack.encode(state))

    @on_timer(CLOSE)
    def on_close(
        self,
        timestamp: Timestamp = beam.DoFn.TimestampParam,
        pending: Any = beam.DoFn.StateParam(PENDING),
        close: Any = beam.DoFn.TimerParam(CLOSE),
    ) -> None:
        state = _read(pending)
        at_ms = timestamp.micros // 1000
        news = self._news(state.announced_ms, at_ms)
        for name, sink in self._sinks.items():
            mine = [p for p in news if name in self._sinks_of[p.metric]]
            patiently(f"sink {name}", lambda sink=sink, mine=mine: sink.write_progress(mine))  # type: ignore[misc]
        if self._job.run in _TOTALS:
            _TOTALS[self._job.run].forget(at_ms)
        state.announced_ms = max(state.announced_ms, at_ms)
        state.ends = [e for e in state.ends if e > at_ms]
        state.armed_ms = None
        _arm(state, close)
        pending.write(msgspec.msgpack.encode(state))

    def _count_keys(self, bucket: bytes, counts: Sequence[KeyCount]) -> None:
        totals = _TOTALS.get(self._job.run)
        if totals is None:
            totals = _TOTALS[self._job.run] = KeyTotals(self._job.plan.metrics)
        for name in totals.add(bucket, counts):
            self._overflows.inc()
            limit = totals.excesses[name].limit
            _log.warning("%s has more than %d values in a window", name, limit)

    def _news(self, before_ms: int, at_ms: int) -> list[Progress]:
        now_ms = SystemClock().now_ms()
        news = []
        for metric in self._job.plan.metrics:
            if metric.is_retired:
                continue  # its windows end before those of the one that follows it
            for grain in metric.grains:
                through = metric.closed_through(grain, min(at_ms, TIME_MAX_MS))
                if before_ms == NO_TIME or through > metric.closed_through(grain, before_ms):
                    news.append(Progress(metric.name, grain.suffix, through, now_ms))
        return news


def _encoded(flush: Flush) -> bytes:
    """What of a flush is news to WriteProgress: its window ends; with them key counts if any."""
    if not flush.key_counts:
        return msgspec.msgpack.encode(flush.ends)
    return msgspec.msgpack.encode((flush.ends, flush.bucket, flush.key_counts))


def _decoded(news: bytes) -> tuple[Sequence[int], bytes, Sequence[KeyCount]]:
    found = msgspec.msgpack.decode(news)
    if not found or isinstance(found[0], int):
        return found, b"", ()
    ends, bucket, counts = found
    return ends, bucket, [KeyCount(*count) for count in counts]


def _read(pending: Any) -> _Pending:
    data = pending.read()
    return _Pending() if data is None else msgspec.msgpack.decode(data, type=_Pending)


def _arm(state: _Pending, close: Any) -> None:
    if state.ends and (state.armed_ms is None or state.ends[0] < state.armed_ms):
        state.armed_ms = state.ends[0]
        close.set(Timestamp(micros=state.armed_ms * 1000))
