"""Whether coarser tumbling windows are made of whole finer ones."""

from __future__ import annotations

from collections.abc import Iterable

from pipelinekit.units import DAY_MS
from pipelinekit.windows.base import Window
from pipelinekit.windows.tumbling import CalendarTumbling, Tumbling

_NEW_YEAR_MS = 1_704_067_200_000  # of 2024


def why_not_nested(fine: Window, coarse: Window) -> str | None:
    """Why the coarser tumbling windows are not made of whole finer ones; None if they are."""
    if coarse.approximate_ms <= fine.approximate_ms:
        return "it is not longer"
    match fine, coarse:
        case CalendarTumbling(unit="1w"), CalendarTumbling():
            return "weeks cross the ends of months"
        case CalendarTumbling(), CalendarTumbling():
            return None if fine.timezone == coarse.timezone else "their time zones differ"
        case Tumbling(), Tumbling():
            return "its length is no multiple" if coarse.size_ms % fine.size_ms else None
        case Tumbling(), CalendarTumbling():
            if all(start % fine.size_ms == 0 for start in _starts(coarse)):
                return None
            return f"{coarse.unit} in {coarse.timezone} does not start on the edge of a window"
        case _:
            return "a calendar window can't be cut"


def _starts(window: CalendarTumbling) -> Iterable[int]:
    """The starts of a zone's days through a year: summer time may lie half an hour off."""
    return (window.start(_NEW_YEAR_MS + day * DAY_MS) for day in range(0, 366, 7))
