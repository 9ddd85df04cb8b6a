"""How many rows a metric holds at once over a slice of a log, by the kind of its windows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from pipelinekit.plan.model import MetricPlan
from pipelinekit.windows.base import Window
from pipelinekit.windows.cumulative import Cumulative
from pipelinekit.windows.session import Session
from pipelinekit.windows.sliding import CalendarSliding, Sliding

# Rows of overlapping windows; beyond it a sample of the keys stands for all.
_ROWS_MAX = 4_000_000
_SHARES = 1_000
_Life = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """A metric's events that count, in the slice's order.

    `places` are theirs among all events of the slice, `watermarks` W as each met it; `job` is the
    job's watermark after each event of the slice.
    """

    keys: pl.DataFrame
    times: np.ndarray
    watermarks: np.ndarray
    places: np.ndarray
    job: np.ndarray


def rows_held(metric: MetricPlan, events: Counted) -> int:
    """The most rows held at once, the watermark moving after each event; no partition is idle."""
    factor = 1.0
    match metric.window:
        case Sliding() | CalendarSliding() as window:
            events, factor = _sampled(window, events)
            lives = _sliding(window, metric.allowed_lateness_ms, events)
        case Cumulative() as window:
            lives = _cumulative(window, metric.allowed_lateness_ms, events)
        case Session() as window:
            lives = _sessions(window, metric.allowed_lateness_ms, events)
        case _:
            lives = _tumbling(metric, events)
    change = np.zeros(len(events.job) + 2, dtype=np.int64)
    for first, last in lives:  # held from the one through the other
        np.add.at(change, first, 1)
        np.add.at(change, last + 1, -1)
    return round(int(np.cumsum(change[:-2]).max(initial=0)) * factor)


def _passed(events: Counted, times_ms: np.ndarray) -> np.ndarray:
    """The event after which the job's watermark reaches each time; the number of all if none."""
    return np.searchsorted(events.job, times_ms, side="left")


def _first(events: Counted, **columns: np.ndarray) -> pl.DataFrame:
    """A row for each key and distinct values of the columns, with the first event's `__place`."""
    named = {name: pl.Series(values) for name, values in columns.items()}
    frame = events.keys.with_columns(**named, __place=pl.Series(events.places))
    return frame.group_by(*events.keys.columns, *named).agg(pl.col("__place").min())


def _tumbling(metric: MetricPlan, events: Counted) -> Iterator[_Life]:
    starts = metric.window.starts(events.times)
    for place, grain in enumerate(metric.grains):
        rows = _first(events, __start=starts if place == 0 else grain.starts(starts))
        ends = grain.ends(rows["__start"].to_numpy()) + metric.allowed_lateness_ms
        yield rows["__place"].to_numpy(), _passed(events, ends)


def _sliding(
    window: Sliding | CalendarSliding, allowed_ms: int, events: Counted
) -> Iterator[_Life]:
    last = window.starts(events.times)
    passed = np.clip(events.watermarks - allowed_ms, events.times, window.ends(last))
    rows = _first(events, __start=window.starts_ending_after(passed), __last=last)
    pieces = []
    while rows.height:
        pieces.append(rows.drop("__last"))
        rows = rows.with_columns(__start=_next(window, rows["__start"].to_numpy()))
        rows = rows.filter(pl.col("__start") <= pl.col("__last"))
    if pieces:
        each = pl.concat(pieces).group_by(*events.keys.columns, "__start")
        held = each.agg(pl.col("__place").min())
        ends = window.ends(held["__start"].to_numpy()) + allowed_ms
        yield held["__place"].to_numpy(), _passed(events, ends)


def _next(window: Window, starts: np.ndarray) -> pl.Series:
    distinct, places = np.unique(starts, return_inverse=True)
    following = np.asarray([window.next_start(int(start)) for start in distinct], dtype=np.int64)
    return pl.Series(following[places])


def _sampled(window: Sliding | CalendarSliding, events: Counted) -> tuple[Counted, float]:
    """The events, or those of so many of the keys that their windows' rows can be made."""
    slices = _first(events, __last=window.starts(events.times)).height
    rows = slices * (window.approximate_ms // window.every_ms)
    if rows <= _ROWS_MAX or not events.keys.width:
        return events, 1.0
    share = max(1, _SHARES * _ROWS_MAX // rows)
    kept = (events.keys.hash_rows(seed=1) % _SHARES < share).to_numpy()
    sample = Counted(
        events.keys.filter(pl.Series(kept)),
        events.times[kept],
        events.watermarks[kept],
        events.places[kept],
        events.job,
    )
    return sample, _SHARES / share


def _cumulative(window: Cumulative, allowed_ms: int, events: Counted) -> Iterator[_Life]:
    """Rows of ticks until they are folded into their period's total, and those totals.

    A late event has a row in each tick that it is late for, beside that which it counts from.
    """
    starts, ends = window.starts(events.times), window.ends(window.starts(events.times))
    open_ms = np.maximum(events.watermarks - allowed_ms, events.times)
    closed_ms = np.clip(events.watermarks, events.times, ends)
    on_time = np.where(closed_ms == ends, ends, _tick(window, starts, closed_ms))
    ticks = _first(events, __tick=_tick(window, starts, open_ms), __on_time=on_time)
    pieces = []
    while ticks.height:
        pieces.append(ticks.drop("__on_time"))
        ticks = ticks.with_columns(pl.col("__tick") + window.tick_ms)
        ticks = ticks.filter(pl.col("__tick") < pl.col("__on_time"))
    if not pieces:
        return
    rows = pl.concat(pieces).group_by(*events.keys.columns, "__tick").agg(pl.col("__place").min())
    tick = rows["__tick"].to_numpy()
    period = window.starts(tick)
    folded = _passed(events, np.minimum(tick + window.tick_ms, window.ends(period)) + allowed_ms)
    yield rows["__place"].to_numpy(), folded
    totals = (
        rows.with_columns(__period=pl.Series(period), __folded=pl.Series(folded))
        .group_by(*events.keys.columns, "__period")
        .agg(pl.col("__folded").min())
    )
    begins = np.minimum(totals["__folded"].to_numpy() + 1, len(events.job))
    ends = _passed(events, window.ends(totals["__period"].to_numpy()) + allowed_ms)
    yield begins, np.maximum(ends, begins - 1)


def _tick(window: Cumulative, starts: np.ndarray, times_ms: np.ndarray) -> np.ndarray:
    ticks: np.ndarray = starts + (times_ms - starts) // window.tick_ms * window.tick_ms
    return ticks


def _sessions(window: Session, allowed_ms: int, events: Counted) -> Iterator[_Life]:
    """A row a session, as the slice in the end says that they are."""
    cut, time = pl.col("__cut"), pl.col("__time")
    same = [*events.keys.columns, "__cut"]
    begins = pl.any_horizontal(
        time - time.shift(1) >= window.gap_ms,
        *(pl.col(column).ne_missing(pl.col(column).shift(1)) for column in same),
    )
    rows = (
        events.keys.with_columns(
            __cut=pl.Series(window.starts(events.times)),
            __time=pl.Series(events.times),
            __place=pl.Series(events.places),
        )
        .sort(*same, "__time")
        .with_columns(begins.fill_null(True).cum_sum().alias("__session"))
        .group_by("__session")
        .agg(cut.first(), time.max(), pl.col("__place").min())
    )
    ends = np.minimum(
        rows["__time"].to_numpy() + window.gap_ms, window.ends(rows["__cut"].to_numpy())
    )
    yield rows["__place"].to_numpy(), _passed(events, ends + allowed_ms)
