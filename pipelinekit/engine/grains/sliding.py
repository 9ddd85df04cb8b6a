"""Sliding windows: a partial, grouped once for all windows it lies in, is merged into each.

(docs/decisions/0012: why the windows hold totals, and not the slices between them.)
"""

from __future__ import annotations

from pipelinekit.engine.compile import FIRST, ON_TIME
from pipelinekit.engine.grains.base import Grain, Rows


class SlidingGrain(Grain):
    merged_by = (FIRST, ON_TIME)

    def is_forgotten(self, rows: Rows, watermark_ms: int) -> bool:
        # FIRST is the first window that was open when the events were read.
        end_ms = self.end(int(rows.windows[FIRST][0]))
        return end_ms + self.allowed_ms <= watermark_ms

    def merge(self, rows: Rows, watermark_ms: int, now_ms: int) -> None:
        window = self.metric.plan.window
        on_time = rows.windows.get(ON_TIME)
        start = int(rows.windows[FIRST][0])
        while start <= rows.start_ms:
            late = rows.events if on_time is not None and start < on_time[0] else None
            pane = self.pane(start, watermark_ms)
            pane.merge(rows.keys, rows.parts, rows.events, late, now_ms)
            if self.key_counter is not None:
                self.key_counter.grew(pane)
            start = window.next_start(start)
