"""Sliding windows: of one length, a new one each `every`, so that an event lies in several."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from pipelinekit.units import DAY_MS, format_duration
from pipelinekit.windows.calendar import QUARTER_MS, by_quarter, local_day, midnight_ms

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Sliding:
    """Windows of `size_ms`, each `slide_ms`, which divides it; aligned to the epoch in UTC."""

    size_ms: int
    slide_ms: int

    def __str__(self) -> str:
        return f"{self.suffix} every {format_duration(self.slide_ms)}"

    @property
    def suffix(self) -> str:
        return format_duration(self.size_ms)

    @property
    def is_calendar(self) -> bool:
        return False

    @property
    def timezone(self) -> str:
        return "UTC"

    @property
    def approximate_ms(self) -> int:
        return self.size_ms

    @property
    def every_ms(self) -> int:
        return self.slide_ms

    def starts(self, times_ms: np.ndarray) -> np.ndarray:
        starts: np.ndarray = times_ms - times_ms % self.slide_ms
        return starts

    def ends(self, starts_ms: np.ndarray) -> np.ndarray:
        return starts_ms + self.size_ms

    def start(self, time_ms: int) -> int:
        return time_ms - time_ms % self.slide_ms

    def end(self, start_ms: int) -> int:
        return start_ms + self.size_ms

    def next_start(self, time_ms: int) -> int:
        return self.start(time_ms) + self.slide_ms

    def closed_through(self, time_ms: int) -> int:
        return self.start(time_ms)

    # --- which windows an event lies in -------------------------------------------------------

    def starts_ending_after(self, times_ms: np.ndarray) -> np.ndarray:
        """The start of the first window that ends after each time."""
        starts: np.ndarray = self.starts(times_ms) - self.size_ms + self.slide_ms
        return starts


@dataclass(frozen=True, slots=True)
class CalendarSliding:
    """Windows of `days` local days, each `slide_days` days, which divide them."""

    days: int
    slide_days: int
    timezone: str = "UTC"

    def __str__(self) -> str:
        text = f"{self.suffix} every {self.slide_days}d"
        return text if self.timezone == "UTC" else f"{text} in {self.timezone}"

    @property
    def suffix(self) -> str:
        return f"{self.days}d"

    @property
    def is_calendar(self) -> bool:
        return True

    @property
    def approximate_ms(self) -> int:
        return self.days * DAY_MS

    @property
    def every_ms(self) -> int:
        return self.slide_days * DAY_MS

    def starts(self, times_ms: np.ndarray) -> np.ndarray:
        return by_quarter(times_ms, lambda q: self._shifted(q, 0))

    def ends(self, starts_ms: np.ndarray) -> np.ndarray:
        return by_quarter(starts_ms, lambda q: self._shifted(q, self.days))

    def start(self, time_ms: int) -> int:
        return self._shifted(time_ms // QUARTER_MS, 0)

    def end(self, start_ms: int) -> int:
        return self._shifted(start_ms // QUARTER_MS, self.days)

    def next_start(self, time_ms: int) -> int:
        return self._shifted(time_ms // QUARTER_MS, self.slide_days)

    def closed_through(self, time_ms: int) -> int:
        return self.start(time_ms)

    def starts_ending_after(self, times_ms: np.ndarray) -> np.ndarray:
        """The start of the first window that ends after each time."""
        return by_quarter(times_ms, lambda q: self._shifted(q, self.slide_days - self.days))

    def _shifted(self, quarter: int, days: int) -> int:
        return _day_ms(self.slide_days, self.timezone, quarter, days)


@lru_cache(maxsize=8192)
def _day_ms(slide_days: int, timezone: str, quarter: int, shift: int) -> int:
    """The midnight, `shift` days on, of the last local day that a window starts on."""
    zone = ZoneInfo(timezone)
    day = local_day(quarter, zone)
    since = (day - dt.date(1970, 1, 1)).days
    return midnight_ms(day + dt.timedelta(days=shift - since % slide_days), zone)
