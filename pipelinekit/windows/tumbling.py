"""Tumbling windows: fixed lengths aligned to the epoch, and calendar days, weeks and months.

Under a day a window is a stretch of UTC milliseconds; `1d`, `1w` (from Monday) and `1mo` are
always calendar ones in a time zone, so a day may have 23 or 25 hours.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from pipelinekit.units import DAY_MS, HOUR_MS, WEEK_MS, format_duration
from pipelinekit.windows.calendar import QUARTER_MS, by_quarter, local_day, midnight_ms

if TYPE_CHECKING:
    import numpy as np

CALENDAR_UNITS = ("1d", "1w", "1mo")


@dataclass(frozen=True, slots=True)
class Tumbling:
    """Windows of a fixed length below a day, aligned to the epoch in UTC."""

    size_ms: int

    def __str__(self) -> str:
        return self.suffix

    @property
    def suffix(self) -> str:
        return format_duration(self.size_ms)

    @property
    def timezone(self) -> str:
        return "UTC"

    @property
    def is_calendar(self) -> bool:
        return False

    @property
    def approximate_ms(self) -> int:
        return self.size_ms

    @property
    def every_ms(self) -> int:
        return self.size_ms

    def starts(self, times_ms: np.ndarray) -> np.ndarray:
        starts: np.ndarray = times_ms - times_ms % self.size_ms
        return starts

    def ends(self, starts_ms: np.ndarray) -> np.ndarray:
        return starts_ms + self.size_ms

    def start(self, time_ms: int) -> int:
        return time_ms - time_ms % self.size_ms

    def end(self, start_ms: int) -> int:
        return start_ms + self.size_ms

    def next_start(self, time_ms: int) -> int:
        return self.start(time_ms) + self.size_ms

    def closed_through(self, time_ms: int) -> int:
        return self.start(time_ms)


@dataclass(frozen=True, slots=True)
class CalendarTumbling:
    """Days, weeks or months as they are lived in `timezone`, one of CALENDAR_UNITS long."""

    unit: str
    timezone: str = "UTC"

    def __str__(self) -> str:
        return self.unit if self.timezone == "UTC" else f"{self.unit} in {self.timezone}"

    @property
    def suffix(self) -> str:
        return self.unit

    @property
    def is_calendar(self) -> bool:
        return True

    @property
    def approximate_ms(self) -> int:
        return {"1d": DAY_MS, "1w": WEEK_MS, "1mo": 30 * DAY_MS + 10 * HOUR_MS}[self.unit]

    @property
    def every_ms(self) -> int:
        return self.approximate_ms

    def starts(self, times_ms: np.ndarray) -> np.ndarray:
        return self._bounds(times_ms, 0)

    def ends(self, starts_ms: np.ndarray) -> np.ndarray:
        return self._bounds(starts_ms, 1)

    def start(self, time_ms: int) -> int:
        return _bounds(self.unit, self.timezone, time_ms // QUARTER_MS)[0]

    def end(self, start_ms: int) -> int:
        return _bounds(self.unit, self.timezone, start_ms // QUARTER_MS)[1]

    def next_start(self, time_ms: int) -> int:
        return self.end(time_ms)

    def closed_through(self, time_ms: int) -> int:
        return self.start(time_ms)

    def _bounds(self, times_ms: np.ndarray, which: int) -> np.ndarray:
        return by_quarter(times_ms, lambda q: _bounds(self.unit, self.timezone, q)[which])


@lru_cache(maxsize=4096)
def _bounds(unit: str, timezone: str, quarter: int) -> tuple[int, int]:
    zone = ZoneInfo(timezone)
    day = local_day(quarter, zone)
    match unit:
        case "1d":
            first, last = day, day + dt.timedelta(days=1)
        case "1w":
            first = day - dt.timedelta(days=day.weekday())
            last = first + dt.timedelta(days=7)
        case "1mo":
            first = day.replace(day=1)
            last = (first + dt.timedelta(days=32)).replace(day=1)
        case _:
            raise ValueError(f'"{unit}" is no calendar window; those are {CALENDAR_UNITS}')
    return midnight_ms(first, zone), midnight_ms(last, zone)
