"""A window's length and zone as written → the window."""

from __future__ import annotations

from functools import cache
from zoneinfo import available_timezones

from pipelinekit.spec.document import Path
from pipelinekit.spec.models import MetricSpec
from pipelinekit.spec.notes import Notes
from pipelinekit.units import DAY_MS, WEEK_MS, parse_duration_ms
from pipelinekit.windows.base import Window
from pipelinekit.windows.tumbling import CALENDAR_UNITS, CalendarTumbling, Tumbling

_CALENDAR_MS = {DAY_MS: "1d", WEEK_MS: "1w"}


def grains_of(spec: MetricSpec, notes: Notes) -> tuple[Window, ...]:
    """The metric's window and its rollups, without those that have findings."""
    found = [_window(spec.window.tumbling, spec.window.timezone, ("window", "tumbling"), notes)]
    found += [
        _window(rollup.size, rollup.timezone, ("rollups", place, "size"), notes)
        for place, rollup in enumerate(spec.rollups)
    ]
    return tuple(window for window in found if window is not None)


def _window(size: str, timezone: str | None, path: Path, notes: Notes) -> Window | None:
    zone_path = (*path[:-1], "timezone")
    if timezone is not None and timezone not in _timezones():
        help = "write it as Europe/Brussels"
        notes.add("PK303", f'"{timezone[:60]}" is no time zone', zone_path, help)
        return None
    if size in CALENDAR_UNITS:
        return CalendarTumbling(size, timezone or "UTC")
    try:
        size_ms = parse_duration_ms(size)
    except ValueError:
        message = f'"{size[:60]}" is no length: a whole number and one of ms s m h d w, or 1mo'
        notes.add("PK300", message, path, "write it as 10s, 1m, 1h, 1d, 1w or 1mo")
        return None
    if size_ms in _CALENDAR_MS:
        return CalendarTumbling(_CALENDAR_MS[size_ms], timezone or "UTC")
    if size_ms > DAY_MS or size_ms == 0:
        message = f"{size} is no window: below a day any length that divides it, else a calendar's"
        notes.add("PK301", message, path, "take 1m, 1h, 1d, 1w or 1mo")
        return None
    if DAY_MS % size_ms:
        message = f"{size} does not divide a day: windows would start at other times each day"
        notes.add("PK301", message, path, "take a length that divides 24 h")
        return None
    if timezone is not None:
        message = f"a window of {size} lies in UTC"
        notes.add("PK303", message, zone_path, "a time zone goes with 1d, 1w and 1mo")
        return None
    return Tumbling(size_ms)


@cache
def _timezones() -> frozenset[str]:
    return frozenset(available_timezones())
