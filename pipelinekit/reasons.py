"""Why an event went to the dead letters: known to what checks tests, and to what runs."""

from __future__ import annotations

from enum import Enum


class Reason(Enum):
    """Why an event went to the dead letters."""

    INVALID = "invalid"
    FUTURE = "future"
    TOO_LATE = "too_late"
