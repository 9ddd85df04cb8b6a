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

if TYPE_CHECKING:
    import numpy as np

CALENDAR_UNITS = ("1d", "1w", "1mo")
# No time zone has moved its clock by anything but a multiple of this since 1972, so times within
# one quarter of an hour lie in the same calendar window.
_QUARTER_MS = 15 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Tumbling:
    """Windows of a fixed length below a day, aligned to the epoch in UTC."""

    size_ms: int

    @property
    def suffix(self) -> str:
        return format_duration(self.size_ms)

    @property
    def is_calendar(self) -> bool:
        return False

    @property
    def approximate_ms(self) -> int:
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


@dataclass(frozen=True, slots=True)
class CalendarTumbling:
    """Days, weeks or months as they are lived in `timezone`, one of CALENDAR_UNITS long."""

    unit: str
    timezone: str = "UTC"

    @property
    def suffix(self) -> str:
        return self.unit

    @property
    def is_calendar(self) -> bool:
        return True

    @property
    def approximate_ms(self) -> int:
        return {"1d": DAY_MS, "1w": WEEK_MS, "1mo": 30 * DAY_MS + 10 * HOUR_MS}[self.unit]

    def starts(self, times_ms: np.ndarray) -> np.ndarray:
        return self._bounds(times_ms, 0)

    def ends(self, starts_ms: np.ndarray) -> np.ndarray:
        return self._bounds(starts_ms, 1)

    def start(self, time_ms: int) -> int:
        return _bounds(self.unit, self.timezone, time_ms // _QUARTER_MS)[0]

    def end(self, start_ms: int) -> int:
        return _bounds(self.unit, self.timezone, start_ms // _QUARTER_MS)[1]

    def _bounds(self, times_ms: np.ndarray, which: int) -> np.ndarray:
        import numpy as np

        quarters, places = np.unique(times_ms // _QUARTER_MS, return_inverse=True)
        bounds = [_bounds(self.unit, self.timezone, int(q))[which] for q in quarters]
        return np.asarray(bounds, dtype=np.int64)[places]


@lru_cache(maxsize=4096)
def _bounds(unit: str, timezone: str, quarter: int) -> tuple[int, int]:
    zone = ZoneInfo(timezone)
    seconds = quarter * _QUARTER_MS // 1000
    day = dt.datetime.fromtimestamp(seconds, zone).date()
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
    return _midnight_ms(first, zone), _midnight_ms(last, zone)


def _midnight_ms(day: dt.date, zone: ZoneInfo) -> int:
    """The first instant of `day`: where midnight is skipped, the instant of the change."""
    local = dt.datetime(day.year, day.month, day.day, tzinfo=zone)
    instant = local.astimezone(dt.UTC)
    if instant.astimezone(zone).date() < day:  # a gap at midnight: fold=0 lands before it
        instant = instant.replace(minute=0, second=0)
        while instant.astimezone(zone).date() < day:
            instant += dt.timedelta(minutes=15)
    return int(instant.timestamp()) * 1000
