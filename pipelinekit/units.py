"""Durations and byte sizes as specs write them: parse and print."""

from __future__ import annotations

import re

MS = 1
SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
WEEK_MS = 7 * DAY_MS
# The instants that every store holds: ClickHouse's DateTime64 goes from 1900 to 2299.
TIME_MIN_MS = -2_208_988_800_000
TIME_MAX_MS = 10_413_791_999_999
DURATION_MAX_MS = 366 * DAY_MS

_UNITS_MS = {"ms": MS, "s": SECOND_MS, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS, "w": WEEK_MS}
_DURATION = re.compile(r"(\d{1,12})(ms|s|m|h|d|w)")


def parse_duration_ms(text: str) -> int:
    """Milliseconds of a duration such as `200ms`, `10m` or `7d`; ValueError says the rule."""
    found = _DURATION.fullmatch(text.strip())
    if not found:
        raise ValueError(f'"{text}" is not a duration: a whole number and one of ms s m h d w')
    value = int(found[1]) * _UNITS_MS[found[2]]
    if value > DURATION_MAX_MS:
        raise ValueError(f'"{text}" is longer than 366d')
    return value


def format_duration(value_ms: int) -> str:
    """The shortest spelling with one unit: 60000 → `1m`, 90000 → `90s`; weeks are days."""
    if value_ms == 0:
        return "0s"
    for unit in ("d", "h", "m", "s"):
        if value_ms % _UNITS_MS[unit] == 0:
            return f"{value_ms // _UNITS_MS[unit]}{unit}"
    return f"{value_ms}ms"


def format_bytes(size: int) -> str:
    """A size for people: 1536 → `1.5 KiB`."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")
