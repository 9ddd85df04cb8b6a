"""What a kind of window answers. Times are epoch milliseconds UTC, windows are [start, end)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np


class Window(Protocol):
    """How event time is cut; frozen, compares by value."""

    @property
    def suffix(self) -> str:
        """How tables and grains name it: `1m`, `1d`."""
        ...

    @property
    def is_calendar(self) -> bool:
        """Days, weeks and months of a time zone; rows carry `window_date`."""
        ...

    @property
    def approximate_ms(self) -> int:
        """Its length, the average one for months: for budgets and estimates only."""
        ...

    def starts(self, times_ms: np.ndarray) -> np.ndarray:
        """The start of the window that holds each time; int64 in, int64 out."""
        ...

    def ends(self, starts_ms: np.ndarray) -> np.ndarray:
        """The end of each window given by its start."""
        ...

    def start(self, time_ms: int) -> int: ...

    def end(self, start_ms: int) -> int:
        """The end of the window that starts at `start_ms`."""
        ...
