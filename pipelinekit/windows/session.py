"""Session windows: a key's events up to a gap without one, cut at fixed times so that they end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelinekit.units import format_duration

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Session:
    """From a first event to `gap_ms` after the last; cut at the multiples of `max_ms`.

    The multiples are those since the epoch, so where a session is cut does not depend on the order
    of arrival. `start` and `end` are of the stretch between two cuts, which holds whole sessions.
    """

    gap_ms: int
    max_ms: int

    def __str__(self) -> str:
        gap, most = format_duration(self.gap_ms), format_duration(self.max_ms)
        return f"session of {gap}, cut each {most}"

    @property
    def suffix(self) -> str:
        return "session"

    @property
    def is_calendar(self) -> bool:
        return False

    @property
    def timezone(self) -> str:
        return "UTC"

    @property
    def approximate_ms(self) -> int:
        return self.gap_ms

    @property
    def every_ms(self) -> int:
        return self.gap_ms

    def starts(self, times_ms: np.ndarray) -> np.ndarray:
        starts: np.ndarray = times_ms - times_ms % self.max_ms
        return starts

    def ends(self, starts_ms: np.ndarray) -> np.ndarray:
        return starts_ms + self.max_ms

    def start(self, time_ms: int) -> int:
        return time_ms - time_ms % self.max_ms

    def end(self, start_ms: int) -> int:
        return start_ms + self.max_ms

    def next_start(self, time_ms: int) -> int:
        return self.start(time_ms) + self.max_ms

    def closed_through(self, time_ms: int) -> int:
        return time_ms
