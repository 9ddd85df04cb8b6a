"""In which of a metric's windows each event counts: decided per event, from the log alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from pipelinekit.engine.compile import FIRST, ON_TIME, START, late_column
from pipelinekit.engine.lateness import NO_TIME
from pipelinekit.plan.model import MetricPlan
from pipelinekit.windows.base import Window
from pipelinekit.windows.cumulative import Cumulative
from pipelinekit.windows.session import Session
from pipelinekit.windows.sliding import CalendarSliding, Sliding


@dataclass(frozen=True, slots=True)
class Bounds:
    """Which windows of a metric count: those that start in [floor, ceiling)."""

    floor_ms: int = NO_TIME
    ceiling_ms: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Timed:
    """Accepted events for one kind of window: `starts` and `ends` of the last that holds each.

    All int64 ms; `watermarks` is W as it stood just before each event.
    """

    times: np.ndarray
    watermarks: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    newest_watermark: int

    @classmethod
    def of(cls, window: Window, times: np.ndarray, watermarks: np.ndarray) -> Timed:
        starts = window.starts(times)
        return cls(times, watermarks, starts, window.ends(starts), int(watermarks.max()))


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Aligned with events: `columns` name each one's windows, `late` are 0/1 and to be summed."""

    columns: list[pl.Series]
    late: list[pl.Series]


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """The verdict: `outside` the metric's bounds, `too_late`, or in its `windows`.

    These are of use where neither mask holds.
    """

    outside: np.ndarray
    too_late: np.ndarray
    windows: Windows


def place(metric: MetricPlan, bounds: Bounds, events: Timed) -> Placed:
    """Where the events lie for the metric."""
    window = metric.window
    allowed = metric.allowed_lateness_ms
    match window:
        case Sliding() | CalendarSliding():
            return _sliding(window, allowed, bounds, events)
        case Cumulative():
            return _cumulative(window, allowed, bounds, events)
        case Session():
            too_late = events.times + allowed <= events.watermarks
            windows = Windows([pl.Series(START, events.starts)], [])
            return Placed(_outside(bounds, events), too_late, windows)
        case _:
            too_late = events.ends + allowed <= events.watermarks
            windows = Windows([pl.Series(START, events.starts)], _late(metric, events))
            return Placed(_outside(bounds, events), too_late, windows)


def joined(parts: Sequence[Windows]) -> Windows:
    """Those of batches that followed one another, as one."""
    if len(parts) == 1:
        return parts[0]
    frames = [pl.DataFrame([*part.columns, *part.late]) for part in parts]
    frame = pl.concat(frames, how="diagonal", rechunk=True)
    if ON_TIME in frame.columns:  # a batch without it has no late event: see _sliding, _cumulative
        first = FIRST if FIRST in frame.columns else START
        frame = frame.with_columns(pl.col(ON_TIME).fill_null(pl.col(first)))
    names = dict.fromkeys(series.name for part in parts for series in part.columns)
    return Windows(
        [series for series in frame if series.name in names],
        [series for series in frame if series.name not in names],  # null where none was late
    )


def _outside(bounds: Bounds, events: Timed) -> np.ndarray:
    outside: np.ndarray = events.starts < bounds.floor_ms
    if bounds.ceiling_ms is not None:
        outside |= events.starts >= bounds.ceiling_ms
    return outside


def _late(metric: MetricPlan, events: Timed) -> list[pl.Series]:
    """For each grain a 0/1 column of events whose window had closed; none if no event was late."""
    if events.newest_watermark < int(events.ends.min()):
        return []  # coarser windows end later still
    columns = []
    for place, grain in enumerate(metric.grains):
        closed = events.ends if place == 0 else grain.ends(grain.starts(events.starts))
        late = (closed <= events.watermarks).astype(np.int64)
        columns.append(pl.Series(late_column(place), late))
    return columns


def _sliding(
    window: Sliding | CalendarSliding, allowed_ms: int, bounds: Bounds, events: Timed
) -> Placed:
    """An event counts in each of its windows that is still open: from FIRST to START.

    Late it is for those of them that start before ON_TIME.
    """
    too_late = events.ends + allowed_ms <= events.watermarks
    # What has passed for good, kept within the event's own windows.
    passed = np.clip(events.watermarks - allowed_ms, events.times, events.ends)
    first, last = window.starts_ending_after(passed), events.starts
    outside = events.starts < bounds.floor_ms
    if bounds.floor_ms > NO_TIME:
        floor = window.next_start(bounds.floor_ms - 1)
        first = np.maximum(first, floor)
    if bounds.ceiling_ms is not None:
        last = np.minimum(last, window.start(bounds.ceiling_ms - 1))
        outside |= window.starts_ending_after(events.times) >= bounds.ceiling_ms
        outside |= (first > last) & ~too_late
    columns = [pl.Series(START, last), pl.Series(FIRST, first)]
    if events.newest_watermark >= int(events.times.min()):
        closed = np.clip(events.watermarks, events.times, events.ends)
        columns.append(pl.Series(ON_TIME, np.maximum(window.starts_ending_after(closed), first)))
    return Placed(outside, too_late, Windows(columns, []))


def _cumulative(window: Cumulative, allowed_ms: int, bounds: Bounds, events: Timed) -> Placed:
    """An event counts from its tick on, or from the first that is still open: START.

    Late it is for the ticks before ON_TIME.
    """
    too_late = events.ends + allowed_ms <= events.watermarks
    starts, tick = events.starts, window.tick_ms
    passed = np.maximum(events.watermarks - allowed_ms, events.times)
    counted = starts + (passed - starts) // tick * tick
    columns = [pl.Series(START, counted)]
    if events.newest_watermark >= int(events.times.min()):
        closed = np.clip(events.watermarks, events.times, events.ends)
        first = starts + (closed - starts) // tick * tick
        # At the period's end all ticks are closed, also where the last is a short one.
        first = np.where(closed == events.ends, events.ends, first)
        columns.append(pl.Series(ON_TIME, np.maximum(first, counted)))
    return Placed(_outside(bounds, events), too_late, Windows(columns, []))
