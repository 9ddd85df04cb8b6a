"""Local days as instants: what windows of days, weeks and months are cut by."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    import numpy as np

# No time zone has moved its clock by anything but a multiple of this since 1972, so times within
# one quarter of an hour lie in the same calendar window.
QUARTER_MS = 15 * 60 * 1000


def by_quarter(times_ms: np.ndarray, value: Callable[[int], int]) -> np.ndarray:
    """`value` of each time's quarter of an hour since the epoch, asked once a quarter; int64."""
    import numpy as np

    quarters, places = np.unique(times_ms // QUARTER_MS, return_inverse=True)
    return np.asarray([value(int(q)) for q in quarters], dtype=np.int64)[places]


def local_day(quarter: int, zone: ZoneInfo) -> dt.date:
    """The day in the zone that a quarter of an hour since the epoch lies in."""
    return dt.datetime.fromtimestamp(quarter * QUARTER_MS // 1000, zone).date()


def midnight_ms(day: dt.date, zone: ZoneInfo) -> int:
    """The first instant of `day`: where midnight is skipped, the instant of the change."""
    local = dt.datetime(day.year, day.month, day.day, tzinfo=zone)
    instant = local.astimezone(dt.UTC)
    if instant.astimezone(zone).date() < day:  # a gap at midnight: fold=0 lands before it
        instant = instant.replace(minute=0, second=0)
        while instant.astimezone(zone).date() < day:
            instant += dt.timedelta(minutes=15)
    return int(instant.timestamp()) * 1000
