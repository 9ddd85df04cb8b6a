"""Cumulative windows: a total that runs from a period's start, with a row each tick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelinekit.units import format_duration
from pipelinekit.windows.tumbling import CalendarTumbling, Tumbling

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Cumulative:
    """Windows from the period's start to each of its ticks.

    Ticks lie `tick_ms` apart from the period's start on; the last ends with the period, so on a
    day of 23 or 25 hours there are fewer or more of them.
    """

    period: Tumbling | CalendarTumbling
    tick_ms: int

    def __str__(self) -> str:
        return f"{self.period} so far, every {format_duration(self.tick_ms)}"

    @property
    def suffix(self) -> str:
        return self.period.suffix

    @property
    def is_calendar(self) -> bool:
        return self.period.is_calendar

    @property
    def timezone(self) -> str:
        return self.period.timezone

    @property
    def approximate_ms(self) -> int:
        return self.period.approximate_ms

    @property
    def every_ms(self) -> int:
        return self.tick_ms

    def starts(self, times_ms: np.ndarray) -> np.ndarray:
        return self.period.starts(times_ms)

    def ends(self, starts_ms: np.ndarray) -> np.ndarray:
        return self.period.ends(starts_ms)

    def start(self, time_ms: int) -> int:
        return self.period.start(time_ms)

    def end(self, start_ms: int) -> int:
        return self.period.end(start_ms)

    def next_start(self, time_ms: int) -> int:
        return self.period.next_start(time_ms)

    def closed_through(self, time_ms: int) -> int:
        return self.tick(time_ms)

    # --- ticks: each is named by where its own stretch of time starts -------------------------

    def ticks(self, times_ms: np.ndarray) -> np.ndarray:
        """The tick whose own stretch holds each time."""
        starts = self.period.starts(times_ms)
        ticks: np.ndarray = times_ms - (times_ms - starts) % self.tick_ms
        return ticks

    def tick(self, time_ms: int) -> int:
        return time_ms - (time_ms - self.period.start(time_ms)) % self.tick_ms

    def tick_end(self, tick_ms: int) -> int:
        """The end of the tick's window."""
        return min(tick_ms + self.tick_ms, self.period.end(self.period.start(tick_ms)))
