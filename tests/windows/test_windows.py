"""Where windows of each kind start and end, also on days that are longer or shorter."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelinekit.windows.base import Window
from pipelinekit.windows.cumulative import Cumulative
from pipelinekit.windows.session import Session
from pipelinekit.windows.sliding import CalendarSliding, Sliding
from pipelinekit.windows.tumbling import CalendarTumbling, Tumbling

HOUR_MS = 3_600_000
BRUSSELS = "Europe/Brussels"
WINDOWS: list[Window] = [
    Tumbling(60_000),
    CalendarTumbling("1d", BRUSSELS),
    CalendarTumbling("1w", "Asia/Kolkata"),
    CalendarTumbling("1mo", "America/Sao_Paulo"),
    Sliding(300_000, 10_000),
    CalendarSliding(7, 1, BRUSSELS),
    CalendarSliding(6, 3),
    Cumulative(Tumbling(300_000), 40_000),
    Cumulative(CalendarTumbling("1d", BRUSSELS), 60_000),
    Session(30_000, 200_000),
]


def _ms(text: str, zone: str = BRUSSELS) -> int:
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@given(time_ms=st.integers(0, 4_102_444_800_000))
def test_a_time_lies_in_its_last_window_and_columns_say_the_same(
    window: Window, time_ms: int
) -> None:
    start = window.start(time_ms)
    assert start <= time_ms < window.end(start)
    assert start < window.next_start(time_ms)
    assert window.start(window.next_start(time_ms)) == window.next_start(time_ms) > time_ms
    assert window.closed_through(time_ms) <= time_ms
    starts = window.starts(np.array([time_ms]))
    assert starts.tolist() == [start]
    assert window.ends(starts).tolist() == [window.end(start)]


@pytest.mark.parametrize("window", [WINDOWS[4], WINDOWS[5], WINDOWS[6]], ids=str)
@given(time_ms=st.integers(0, 4_102_444_800_000))
def test_sliding_windows_of_a_time_are_all_that_hold_it(
    window: Sliding | CalendarSliding, time_ms: int
) -> None:
    first = int(window.starts_ending_after(np.array([time_ms]))[0])
    held = []
    start = first
    while start <= time_ms:
        held.append(start)
        start = window.next_start(start)
    assert held[-1] == window.start(time_ms)
    assert all(s <= time_ms < window.end(s) for s in held)
    slides = window.days // window.slide_days if isinstance(window, CalendarSliding) else 30
    assert len(held) == slides


def test_days_of_23_and_25_hours() -> None:
    day = CalendarTumbling("1d", BRUSSELS)
    spring, autumn = _ms("2024-03-31"), _ms("2024-10-27")
    assert day.end(spring) - spring == 23 * HOUR_MS
    assert day.end(autumn) - autumn == 25 * HOUR_MS
    week = CalendarSliding(7, 1, BRUSSELS)
    assert week.end(_ms("2024-03-25")) - _ms("2024-03-25") == (7 * 24 - 1) * HOUR_MS


def test_ticks_of_a_longer_day_end_with_it() -> None:
    window = Cumulative(CalendarTumbling("1d", BRUSSELS), 6 * HOUR_MS)
    start = _ms("2024-10-27")
    ticks = [start + n * 6 * HOUR_MS for n in range(5)]
    assert [window.tick_end(t) - t for t in ticks] == [6 * HOUR_MS] * 4 + [HOUR_MS]
    assert window.ticks(np.array([start + 24 * HOUR_MS + 1])).tolist() == [ticks[-1]]
    assert window.tick_end(ticks[-1]) == window.end(start)
