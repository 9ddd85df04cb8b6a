"""What a kind of window answers. Times are epoch milliseconds UTC, windows are [start, end)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np


class Window(Protocol):
    """How event time is cut; frozen, compares by value. Its text is what people read.

    An event may lie in several windows: `start` and `starts` give the last of them, whose end
    decides when an event is too late.
    """

    @property
    def suffix(self) -> str:
        """How tables and grains name it: `1m`, `1d`."""
        ...

    @property
    def is_calendar(self) -> bool:
        """Days, weeks and months of a time zone; rows carry `window_date`."""
        ...

    @property
    def timezone(self) -> str:
        """The zone whose days it follows; UTC for those that follow none."""
        ...

    @property
    def approximate_ms(self) -> int:
        """Its length, the average one for months: for budgets and estimates only."""
        ...

    @property
    def every_ms(self) -> int:
        """How often one ends, about: how fine its rows are."""
        ...

    def starts(self, times_ms: np.ndarray) -> np.ndarray:
        """The start of the last window that holds each time; int64 in, int64 out."""
        ...

    def ends(self, starts_ms: np.ndarray) -> np.ndarray:
        """The last end of the windows that start there."""
        ...

    def start(self, time_ms: int) -> int: ...

    def end(self, start_ms: int) -> int: ...

    def next_start(self, time_ms: int) -> int:
        """The least start beyond `time_ms`."""
        ...

    def closed_through(self, time_ms: int) -> int:
        """The greatest end up to `time_ms`."""
        ...
