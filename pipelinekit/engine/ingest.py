"""From a raw batch to partials, dead letters and counts: everything decided at the source.

Pure: the shard's time goes in and a new one comes out, so a caller can drop the result of a slice
that it could not claim.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import msgspec
import numpy as np
import polars as pl

from pipelinekit.catalog import codec as find_codec
from pipelinekit.data import DeadLetter, Outcome, RawBatch
from pipelinekit.engine.compile import (
    EVENT_TIME,
    FIRST,
    LAST,
    START,
    Columns,
    CompiledMetric,
    compile_metric,
    fields_read,
)
from pipelinekit.engine.lateness import NO_TIME, PartitionTime, time_events
from pipelinekit.engine.letters import Events, Letters
from pipelinekit.engine.placing import Bounds, Placed, Timed, Windows, joined, place
from pipelinekit.plan.model import MetricPlan, SourcePlan
from pipelinekit.reasons import Reason
from pipelinekit.windows.session import Session

# Chosen by itself, polars streams a group_by: twice the time for columns as short as a slice's.
_ENGINE: Literal["in-memory"] = "in-memory"


@dataclass(frozen=True, slots=True, eq=False)
class Partial:
    """What a slice adds to one metric's panes of one bucket; `metric` is its name of state.

    `frame`: the key columns (`key_0`, …), `__events`, the accumulators, and what names the windows
    (ms): `__start`, for tumbling ones with `__late_<grain>` columns if any event was late; for
    sliding and cumulative ones with `__first` and `__on_time`; for sessions the cut before it, with
    `__first` and `__last`, the times of a stretch of events without a gap. One row for each
    difference of these.
    """

    metric: str
    bucket: int
    frame: pl.DataFrame


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """What came out of batches that followed one another; `partitions`: their time after them.

    `read` counts the messages per partition, whatever became of them: what the outcomes in
    `counts` are checked against.
    """

    partials: tuple[Partial, ...]
    dead_letters: tuple[DeadLetter, ...]
    counts: Mapping[tuple[str, int, Outcome], int]
    partitions: Mapping[int, PartitionTime]
    read: Mapping[int, int]
    newest_event_ms: int  # NO_TIME if none was accepted
    accepted_broker_ms: np.ndarray  # int64: when the broker got each accepted event

    @property
    def messages(self) -> int:
        return sum(self.read.values())


@dataclass(frozen=True, slots=True, eq=False)
class Admitted:
    """A batch, decoded, timed and placed, but not grouped yet; its messages are held no more.

    `frame` has a row for each accepted event; `windows` and `kept` (which rows it counts, None:
    all) one item for each metric, none without events. The rest: see Slice.
    """

    frame: pl.DataFrame
    windows: tuple[Windows, ...]
    kept: tuple[np.ndarray | None, ...]
    dead_letters: tuple[DeadLetter, ...]
    counts: Mapping[tuple[str, int, Outcome], int]
    partitions: Mapping[int, PartitionTime]
    read: Mapping[int, int]
    newest_event_ms: int
    accepted_broker_ms: np.ndarray


class Ingest:
    """A job's source and metrics, compiled; `take` turns batches into slices.

    Not thread-safe: one for each shard.
    """

    def __init__(
        self,
        source: SourcePlan,
        metrics: Sequence[MetricPlan],
        bounds: Mapping[str, Bounds],
        buckets: int = 1,
    ) -> None:
        self._source = source
        self._columns = Columns()
        self._metrics = [compile_metric(m, source, self._columns) for m in metrics]
        self._decoder = find_codec(source.format)(
            source.fields, source.event_time, fields_read(self._metrics, self._columns)
        )
        self._bounds = [bounds.get(m.id, Bounds()) for m in metrics]
        self._buckets = buckets
        self._windows = tuple({m.window: None for m in metrics})

    def take(
        self, batch: RawBatch, time: Mapping[int, PartitionTime], references_ms: np.ndarray
    ) -> Slice:
        """The batch's slice. `references_ms`: what "now" was for each message (future rule).

        `time` must hold every partition of the batch.
        """
        return self.slice([self.admit(batch, time, references_ms)])

    def admit(
        self, batch: RawBatch, time: Mapping[int, PartitionTime], references_ms: np.ndarray
    ) -> Admitted:
        """As `take`, but for the grouping; the next batch is admitted with its `partitions`."""
        decoded = self._decoder.decode(batch.values, batch.headers)
        rows = decoded.indices
        partitions = batch.partitions if rows is None else batch.partitions[rows]
        references = references_ms if rows is None else references_ms[rows]
        timed = time_events(
            decoded.event_times_ms,
            rows_by_partition(partitions),
            references,
            time,
            self._source.out_of_orderness_ms,
            self._source.max_future_skew_ms,
        )
        letters = Letters(batch, self._source.topic)
        for refused in decoded.refused:
            letters.add(refused.index, Reason.INVALID, refused.detail)
        events = Events(
            decoded.frame, decoded.event_times_ms, partitions, rows, timed.watermarks_ms
        )
        if timed.is_future.any():
            events = self._split_future(events, timed.is_future, references, letters)
        counts = _count_source(batch, events, letters)
        frame = self._frame(events)
        windows, kept = self._place(frame, events, counts, letters) if len(events) else ((), ())
        return Admitted(
            frame=frame,
            windows=windows,
            kept=kept,
            dead_letters=letters.build(),
            counts=counts,
            partitions=_advance(batch, time, timed.partitions),
            read=_totals(batch.partitions),
            newest_event_ms=int(events.times.max()) if len(events) else NO_TIME,
            accepted_broker_ms=_broker_times(batch, events),
        )

    def slice(self, admitted: Sequence[Admitted]) -> Slice:
        """The slice of batches that followed one another: their events are grouped once."""
        counts: Counter[tuple[str, int, Outcome]] = Counter()
        read: Counter[int] = Counter()
        partitions: dict[int, PartitionTime] = {}
        for part in admitted:
            counts.update(part.counts)
            read.update(part.read)
            partitions |= part.partitions
        return Slice(
            partials=tuple(self._group([part for part in admitted if part.windows])),
            dead_letters=tuple(letter for part in admitted for letter in part.dead_letters),
            counts=counts,
            partitions=partitions,
            read=read,
            newest_event_ms=max(part.newest_event_ms for part in admitted),
            accepted_broker_ms=np.concatenate([part.accepted_broker_ms for part in admitted]),
        )

    def _split_future(
        self, events: Events, future: np.ndarray, references: np.ndarray, letters: Letters
    ) -> Events:
        skew = self._source.max_future_skew_ms
        for row in np.flatnonzero(future):
            ahead = int(events.times[row] - references[row])
            letters.add(
                events.place(int(row)),
                Reason.FUTURE,
                f"event time is {ahead} ms ahead of the broker's; max_future_skew is {skew} ms",
                event_time_ms=int(events.times[row]),
            )
        return events.where(~future)

    def _frame(self, events: Events) -> pl.DataFrame:
        """The events' columns, with those that the metrics compute."""
        frame = events.frame.hstack([pl.Series(EVENT_TIME, events.times)])
        return frame.with_columns(*self._columns.exprs.values()) if self._columns.exprs else frame

    def _place(
        self,
        frame: pl.DataFrame,
        events: Events,
        counts: dict[tuple[str, int, Outcome], int],
        letters: Letters,
    ) -> tuple[tuple[Windows, ...], tuple[np.ndarray | None, ...]]:
        """For each metric the events' windows, and which of them it counts, None for all."""
        timed = {w: Timed.of(w, events.times, events.watermarks) for w in self._windows}
        windows: list[Windows] = []
        kept: list[np.ndarray | None] = []
        for metric, bounds in zip(self._metrics, self._bounds, strict=True):
            placed = place(metric.plan, bounds, timed[metric.plan.window])
            windows.append(placed.windows)
            kept.append(_select(metric, placed, frame, events, counts, letters))
        return tuple(windows), tuple(kept)

    def _group(self, parts: Sequence[Admitted]) -> list[Partial]:
        """One partial for each metric and bucket with events that count."""
        if not parts:
            return []
        frame = parts[0].frame
        if len(parts) > 1:
            frame = pl.concat([part.frame for part in parts], rechunk=True)
        partials: list[Partial] = []
        for number, metric in enumerate(self._metrics):
            kept = _joined_masks(parts, number)
            if kept is not None and not kept.any():
                continue
            windows = joined([part.windows[number] for part in parts])
            # Lazy, so that only the columns in use are filtered, in one pass with the grouping.
            rows = frame.hstack([*windows.columns, *windows.late]).lazy()
            if kept is not None:
                rows = rows.filter(pl.Series(kept))
            partials += self._partials(metric, rows, windows)
        return partials

    def _partials(
        self, metric: CompiledMetric, rows: pl.LazyFrame, windows: Windows
    ) -> list[Partial]:
        aggregations = [*metric.aggregations, *(pl.col(s.name).sum() for s in windows.late)]
        if isinstance(metric.plan.window, Session):
            frame = _by_stretch(metric, rows, metric.plan.window.gap_ms, aggregations)
        else:
            keys = [pl.col(column).alias(f"key_{i}") for i, column in enumerate(metric.keys)]
            names = [s.name for s in windows.columns]
            frame = rows.group_by(*keys, *names).agg(*aggregations).collect(engine=_ENGINE)
        if self._buckets == 1:
            return [Partial(metric.plan.state_name, 0, frame)]
        owner = pl.Series(bucket_of(frame, len(metric.keys), self._buckets))
        return [
            Partial(metric.plan.state_name, bucket, frame.filter(owner == bucket))
            for bucket in owner.unique().sort().to_list()
        ]


def _select(
    metric: CompiledMetric,
    placed: Placed,
    frame: pl.DataFrame,
    events: Events,
    counts: dict[tuple[str, int, Outcome], int],
    letters: Letters,
) -> np.ndarray | None:
    """Which events the metric counts, None for all; the others are accounted for."""
    name = metric.plan.id
    kept: np.ndarray | None = None
    if metric.filter is not None:
        kept = frame[metric.filter].to_numpy()
        _count(counts, name, Outcome.FILTERED, events.partitions[~kept])
    if placed.outside.any():
        before = placed.outside if kept is None else placed.outside & kept
        _count(counts, name, Outcome.BEFORE_START, events.partitions[before])
        kept = ~placed.outside if kept is None else kept & ~placed.outside
    if placed.too_late.any():
        refused = placed.too_late if kept is None else placed.too_late & kept
        _count(counts, name, Outcome.TOO_LATE, events.partitions[refused])
        for row in np.flatnonzero(refused):
            letters.add_too_late(events, int(row), metric.plan.name)
        kept = ~placed.too_late if kept is None else kept & ~placed.too_late
    counted = events.partitions if kept is None else events.partitions[kept]
    _count(counts, name, Outcome.COUNTED, counted)
    return None if kept is None or kept.all() else kept


def _joined_masks(parts: Sequence[Admitted], metric: int) -> np.ndarray | None:
    """Which of all their events the metric of that place counts, None for all."""
    masks = [part.kept[metric] for part in parts]
    if all(mask is None for mask in masks):
        return None
    whole = [
        np.ones(part.frame.height, np.bool_) if mask is None else mask
        for mask, part in zip(masks, parts, strict=True)
    ]
    return np.concatenate(whole)


def _by_stretch(
    metric: CompiledMetric, rows: pl.LazyFrame, gap_ms: int, aggregations: Sequence[pl.Expr]
) -> pl.DataFrame:
    """A row for each stretch of a key's events without a gap, between two cuts."""
    time, same = pl.col(EVENT_TIME), [*metric.keys, START]
    begins = time - time.shift(1) >= gap_ms
    for column in same:
        begins |= pl.col(column).ne_missing(pl.col(column).shift(1))
    stretch = begins.fill_null(True).cum_sum()
    keys = [pl.col(column).first().alias(f"key_{i}") for i, column in enumerate(metric.keys)]
    return (
        rows.sort(*same, EVENT_TIME)
        .with_columns(stretch.alias("__stretch"))
        .group_by("__stretch")
        .agg(*keys, pl.col(START).first(), time.min().alias(FIRST), time.max().alias(LAST),
             *aggregations)
        .drop("__stretch")
        .collect(engine=_ENGINE)
    )  # fmt: skip


def bucket_of(frame: pl.DataFrame, keys: int, buckets: int) -> list[int]:
    """The bucket of each row by its key columns: stable across processes and versions."""
    if not keys:
        return [0] * frame.height
    encode = msgspec.msgpack.Encoder().encode
    columns = [frame[f"key_{i}"].to_list() for i in range(keys)]
    return [zlib.crc32(encode(key)) % buckets for key in zip(*columns, strict=True)]


def _broker_times(batch: RawBatch, events: Events) -> np.ndarray:
    if events.places is None:
        return batch.broker_times_ms
    times: np.ndarray = batch.broker_times_ms[events.places]
    return times


def rows_by_partition(partitions: np.ndarray) -> dict[int, np.ndarray]:
    """Each partition's rows, in order."""
    if not len(partitions):
        return {}
    first = int(partitions[0])
    if (partitions == first).all():
        return {first: np.arange(len(partitions))}
    return {int(p): np.flatnonzero(partitions == p) for p in np.unique(partitions)}


def _count_source(
    batch: RawBatch, events: Events, letters: Letters
) -> dict[tuple[str, int, Outcome], int]:
    counts: dict[tuple[str, int, Outcome], int] = {}
    _count(counts, "", Outcome.ACCEPTED, events.partitions)
    if len(letters):
        _count(counts, "", Outcome.INVALID, batch.partitions[letters.places(Reason.INVALID)])
        _count(counts, "", Outcome.FUTURE, batch.partitions[letters.places(Reason.FUTURE)])
    return counts


def _count(
    counts: dict[tuple[str, int, Outcome], int],
    metric: str,
    outcome: Outcome,
    partitions: np.ndarray,
) -> None:
    for partition, total in _totals(partitions).items():
        key = (metric, partition, outcome)
        counts[key] = counts.get(key, 0) + total


def _totals(partitions: np.ndarray) -> dict[int, int]:
    """How often each partition occurs."""
    if not len(partitions):
        return {}
    totals = np.bincount(partitions)
    return {int(p): int(totals[p]) for p in np.flatnonzero(totals)}


def _advance(
    batch: RawBatch, before: Mapping[int, PartitionTime], timed: Mapping[int, PartitionTime]
) -> dict[int, PartitionTime]:
    """The partitions' time after the batch: positions, and broker times of what was read."""
    after = dict(timed)
    rows = rows_by_partition(batch.partitions)
    for partition, position in batch.positions.items():
        state = after.get(partition, before[partition])
        if partition in rows:
            newest = int(batch.broker_times_ms[rows[partition]].max())
            newest = max(state.newest_broker_ms, newest)
            state = replace(state, newest_broker_ms=newest, is_idle=False)
        after[partition] = replace(state, next_offset=position)
    return after
