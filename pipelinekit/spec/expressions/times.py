"""Times as text: the one grammar of written timestamps and dates, and of casts from strings."""

from __future__ import annotations

import datetime as dt
import re

# RFC 3339, or without a zone, which is UTC, or the day alone; a regular expression that Python,
# RE2 and Rust read alike. Groups: day, hour and minute, second, milliseconds, zone.
TIMESTAMP_PATTERN = (
    r"^([12][0-9]{3}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ]((?:[01][0-9]|2[0-3]):[0-5][0-9])(?:(:[0-5][0-9])(\.[0-9]{1,3})?[0-9]{0,6})?"
    r"(Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])?)?$"
)
DATE_PATTERN = r"^[12][0-9]{3}-[0-9]{2}-[0-9]{2}$"
TIMESTAMP_USAGE = "write it as 2024-01-31T12:00:00Z"
DATE_USAGE = "write it as 2024-01-31"


def is_timestamp(text: str) -> bool:
    """Whether the text is a time that a cast to timestamp can read."""
    found = re.fullmatch(TIMESTAMP_PATTERN, text)
    return found is not None and is_date(found[1])


def is_date(text: str) -> bool:
    """Whether the text is a day that a cast to date can read."""
    if not re.fullmatch(DATE_PATTERN, text):
        return False
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return False
    return True
