"""The lateness advisor: what a slice of a log says about disorder, lateness and state.

The rule is the engine's own (engine/lateness.py), applied to the whole slice at once: with M the
greatest event time that a partition had shown before an event, and W = M − out_of_orderness, an
event is in time while its window's end lies beyond W, corrects its row until the end plus the
allowed lateness does not, and is too late then. Of several windows the first to end makes it late,
the last too late.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from pipelinekit.catalog import codec as find_codec
from pipelinekit.data import RawBatch
from pipelinekit.engine.compile import Columns
from pipelinekit.engine.ingest import rows_by_partition
from pipelinekit.engine.lateness import END_OF_TIME, NO_TIME, PartitionTime, time_events
from pipelinekit.plan.estimate import state_estimate
from pipelinekit.plan.model import MetricPlan, Plan, SourcePlan
from pipelinekit.runtime.simulated_rows import Counted, rows_held
from pipelinekit.spec.expressions.render import render
from pipelinekit.units import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from pipelinekit.windows.base import Window
from pipelinekit.windows.cumulative import Cumulative
from pipelinekit.windows.session import Session
from pipelinekit.windows.sliding import CalendarSliding, Sliding

_DISORDER_MS = (0, *(n * SECOND_MS for n in (1, 2, 5, 10, 30, 60, 600, 3600)))
LATENESS_MS = (0, 10 * SECOND_MS, MINUTE_MS, 10 * MINUTE_MS)
IN_TIME_SHARE = 0.99  # of all events, with the recommended out_of_orderness
KEPT_SHARE = 0.999  # of a metric's events, with the recommended lateness
_STEPS_MS = (
    *(0, 100, 200, 500),
    *(n * SECOND_MS for n in (1, 2, 5, 10, 15, 30)),
    *(n * MINUTE_MS for n in (1, 2, 5, 10, 15, 30)),
    *(n * HOUR_MS for n in (1, 2, 3, 6, 12)),
)


@dataclass(frozen=True, slots=True)
class Fate:
    """How many of a metric's events meet which fate at one lateness."""

    lateness_ms: int
    in_time: int
    corrected: int
    too_late: int


@dataclass(frozen=True, slots=True)
class Held:
    """The state at its greatest: rows of all grains, and about how many bytes they take."""

    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class MetricAdvice:
    """`fates` with the source's declared out_of_orderness, by lateness; the declared one is there.

    `events` are those that its `filter` lets through; where it lets none, nothing is recommended.
    `recommended_ms` goes with the recommended out_of_orderness. `held` and `held_recommended` are
    the state with what is declared and with what is recommended.
    """

    metric: str
    window: str
    filter: str | None
    events: int
    fates: tuple[Fate, ...]
    declared_ms: int
    recommended_ms: int | None
    held: Held
    held_recommended: Held


@dataclass(frozen=True, slots=True)
class Advice:
    """What the slice says. `disorder`: how many events lay at most so far behind the newest one of
    their partition, by that distance in ms; None: farther."""

    source: str
    messages: int
    invalid: int
    future: int
    partitions: int
    first_ms: int
    last_ms: int
    disorder: tuple[tuple[int | None, int], ...]
    declared_out_of_orderness_ms: int
    recommended_out_of_orderness_ms: int
    metrics: tuple[MetricAdvice, ...]

    @property
    def accepted(self) -> int:
        return self.messages - self.invalid - self.future


@dataclass(frozen=True, slots=True, eq=False)
class _Events:
    """Accepted events in the order of the slice; `greatest` is M before each."""

    frame: pl.DataFrame
    times: np.ndarray
    partitions: np.ndarray
    greatest: np.ndarray
    messages: int
    invalid: int
    future: int

    def __len__(self) -> int:
        return len(self.times)


def simulate(plan: Plan, batches: Iterable[RawBatch], now_ms: int | None = None) -> Advice:
    """The advice for the plan's source and metrics. `batches` are one slice, in order; read once.

    `now_ms` is the wall clock for the rule about the future, as the runner looks at it; without it
    the broker's times are taken as they are, and a message without one is never from the future.
    """
    source = plan.source
    events = _events(source, batches, now_ms)
    behind = np.maximum(events.greatest - events.times, 0)
    bound = _nice(_at_share(behind, IN_TIME_SHARE)) if len(events) else 0
    return Advice(
        source=source.name,
        messages=events.messages,
        invalid=events.invalid,
        future=events.future,
        partitions=len(np.unique(events.partitions)),
        first_ms=int(events.times.min()) if len(events) else 0,
        last_ms=int(events.times.max()) if len(events) else 0,
        disorder=tuple(_disorder(behind)),
        declared_out_of_orderness_ms=source.out_of_orderness_ms,
        recommended_out_of_orderness_ms=bound,
        metrics=tuple(_metric(metric, source, events, bound) for metric in plan.metrics),
    )


def _events(source: SourcePlan, batches: Iterable[RawBatch], now_ms: int | None) -> _Events:
    decoder = find_codec(source.format)(source.fields, source.event_time)
    empty = decoder.decode([], [])
    frames, times = [empty.frame], [empty.event_times_ms]
    partitions, brokers = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)]
    messages = 0
    for batch in batches:
        decoded = decoder.decode(batch.values, batch.headers)
        rows = slice(None) if decoded.indices is None else decoded.indices
        messages += len(batch)
        frames.append(decoded.frame)
        times.append(decoded.event_times_ms)
        partitions.append(batch.partitions[rows])
        brokers.append(batch.broker_times_ms[rows])
    time, partition, broker = map(np.concatenate, (times, partitions, brokers))
    latest = END_OF_TIME if now_ms is None else now_ms
    timed = time_events(
        time,
        rows_by_partition(partition),
        np.where(broker < 0, latest, np.minimum(broker, latest)),
        {int(p): PartitionTime(0) for p in np.unique(partition)},
        0,  # then the watermark is M itself
        source.max_future_skew_ms,
    )
    kept = ~timed.is_future
    return _Events(
        pl.concat(frames).filter(pl.Series(kept)),
        time[kept],
        partition[kept],
        timed.watermarks_ms[kept],
        messages,
        messages - len(time),
        int(timed.is_future.sum()),
    )


def _metric(metric: MetricPlan, source: SourcePlan, events: _Events, bound: int) -> MetricAdvice:
    columns = Columns()
    keys = [columns.folded(key) for key in metric.key]
    mask = None if metric.filter is None else columns.mask(metric.filter)
    frame = events.frame.with_columns(*columns.exprs.values())
    places = np.arange(len(events)) if mask is None else np.flatnonzero(frame[mask].to_numpy())
    rows = frame.select(keys)[places]
    times, greatest = events.times[places], events.greatest[places]
    last, first = _ends(metric.window, times)
    declared, old_bound = metric.allowed_lateness_ms, source.out_of_orderness_ms
    lateness = sorted({*LATENESS_MS, declared})
    needed = _at_share(greatest - bound - last, KEPT_SHARE) + 1 if len(places) else 0
    recommended = max(_nice(needed), bound) if needed > 0 else bound

    def held(out_of_orderness_ms: int, allowed_ms: int) -> Held:
        proposed = replace(metric, allowed_lateness_ms=allowed_ms)
        watermarks = greatest - out_of_orderness_ms
        counts = watermarks - last < allowed_ms
        job = _job_watermark(events, out_of_orderness_ms)
        keys = rows.filter(pl.Series(counts))
        number = rows_held(
            proposed, Counted(keys, times[counts], watermarks[counts], places[counts], job)
        )
        return Held(number, number * state_estimate(proposed, source).row_bytes)

    return MetricAdvice(
        metric=metric.name,
        window=str(metric.window),
        filter=None if metric.filter is None else render(metric.filter),
        events=len(places),
        fates=tuple(_fate(greatest - old_bound, first, last, allowed) for allowed in lateness),
        declared_ms=declared,
        recommended_ms=recommended if len(places) else None,
        held=held(old_bound, declared),
        held_recommended=held(bound, recommended),
    )


def _ends(window: Window, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """When each event is too late, without lateness, and when it is late for one of its windows.

    A session's event is too late by its own time, for when the session ends isn't known yet; late
    it is never: the row of a session is written once.
    """
    last = window.ends(window.starts(times))
    match window:
        case Session():
            return times, np.full(len(times), END_OF_TIME)
        case Sliding() | CalendarSliding():
            return last, window.ends(window.starts_ending_after(times))
        case Cumulative():
            return last, np.minimum(window.ticks(times) + window.tick_ms, last)
        case _:
            return last, last


def _fate(watermarks: np.ndarray, first: np.ndarray, last: np.ndarray, allowed: int) -> Fate:
    is_too_late = last + allowed <= watermarks
    is_late = (first <= watermarks) & ~is_too_late
    too_late, late = int(is_too_late.sum()), int(is_late.sum())
    return Fate(allowed, len(watermarks) - late - too_late, late, too_late)


def _job_watermark(events: _Events, out_of_orderness_ms: int) -> np.ndarray:
    """After each event the least watermark of all partitions; none is taken for idle."""
    least = np.full(len(events), np.iinfo(np.int64).max)
    for rows in rows_by_partition(events.partitions).values():
        own = np.full(len(events), NO_TIME)
        own[rows] = np.maximum(events.greatest[rows], events.times[rows])
        least = np.minimum(least, np.maximum.accumulate(own))
    return least - out_of_orderness_ms


def _disorder(behind: np.ndarray) -> Iterator[tuple[int | None, int]]:
    last = -1
    for limit in _DISORDER_MS:
        yield limit, int(((behind > last) & (behind <= limit)).sum())
        last = limit
    yield None, int((behind > last).sum())


def _at_share(values: np.ndarray, share: float) -> int:
    """The least value that so large a share of the values does not exceed."""
    rank = max(0, int(np.ceil(len(values) * share)) - 1)
    return int(np.partition(values, rank)[rank])


def _nice(value_ms: int) -> int:
    """The least duration a person would write that is not shorter."""
    days = -(-value_ms // DAY_MS) * DAY_MS
    return next((step for step in _STEPS_MS if step >= value_ms), days)
