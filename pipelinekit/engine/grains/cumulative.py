"""Cumulative windows: a pane a tick holds what that tick adds; a row is the sum up to its tick.

Ticks that nothing can change any more are folded, in order, into the period's total (grain 1 in
the state), which later ticks of the period are summed with.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pipelinekit.engine.compile import ON_TIME, CompiledMeasure
from pipelinekit.engine.grains.base import Grain, Metric, Rows
from pipelinekit.engine.pane import Pane, PaneId, total
from pipelinekit.engine.rows import Changed
from pipelinekit.windows.cumulative import Cumulative

_TOTAL = 1


class CumulativeGrain(Grain):
    """`panes` by the start of the tick's own stretch; `totals` by that of the period."""

    merged_by = (ON_TIME,)

    def __init__(self, metric: Metric, place: int, measures: tuple[CompiledMeasure, ...]) -> None:
        super().__init__(metric, place, measures)
        assert isinstance(metric.plan.window, Cumulative)
        self.window = metric.plan.window
        self.totals: dict[int, Pane] = {}
        self._folded: dict[int, Pane] = {}  # emptied ticks

    def is_forgotten(self, rows: Rows, watermark_ms: int) -> bool:
        return self.end(rows.start_ms) + self.allowed_ms <= watermark_ms

    def end(self, start_ms: int) -> int:
        return self.window.tick_end(start_ms)

    def merge(self, rows: Rows, watermark_ms: int, now_ms: int) -> None:
        tick = rows.start_ms
        self.pane(tick, watermark_ms).merge(rows.keys, rows.parts, rows.events, None, now_ms)
        period = self.window.start(tick)
        on_time = int(rows.windows[ON_TIME][0]) if ON_TIME in rows.windows else tick
        while tick < on_time and self.window.start(tick) == period:
            self.pane(tick, watermark_ms).add_late(rows.keys, rows.events)
            tick = self.end(tick)
        for start, pane in self.panes.items():  # rows of later ticks hold these events too
            if start > rows.start_ms and self.window.start(start) == period:
                pane.touch(rows.keys, now_ms)
        if self.key_counter is not None:
            end_ms = self.window.end(period)
            self.key_counter.part_grew(
                self.panes[rows.start_ms], period, end_ms, lambda: self._parts(period)
            )

    def forget(self, watermark_ms: int) -> None:
        for start in sorted(self.panes):
            pane = self.panes[start]
            is_done = pane.end_ms + self.allowed_ms <= watermark_ms
            if not is_done or pane.dirty_since_ms is not None:
                break  # a later tick's sum would be in an earlier one's
            self._total(self.window.start(start)).fold(pane)
            pane.empty(np.arange(len(pane)))
            self._folded[start] = self.panes.pop(start)
        # Until that is saved: another bucket's rows of the tick would bring back ours beside them.
        self._folded = {start: p for start, p in self._folded.items() if p.is_changed}
        open_periods = {self.window.start(start) for start in self.panes}
        for period, pane in list(self.totals.items()):
            if pane.end_ms + self.allowed_ms <= watermark_ms and period not in open_periods:
                del self.totals[period]

    def deadlines(self) -> Iterable[int]:
        yield from super().deadlines()
        yield from (pane.end_ms + self.allowed_ms for pane in self.totals.values())

    def changed(self, pane: Pane, slots: np.ndarray) -> Changed:
        period = self.window.start(pane.id.start_ms)
        keys = [pane.keys[i] for i in slots.tolist()]
        before = [
            self.panes[start] for start in sorted(self.panes) if period <= start <= pane.id.start_ms
        ]
        if period in self.totals:
            before.insert(0, self.totals[period])
        state, events = total(before, keys, self.columns)
        return Changed(
            keys=keys,
            starts=np.full(len(slots), period),
            ends=np.full(len(slots), pane.end_ms),
            state=state,
            events=events,
            late=pane.late[slots],
            lengths=np.full(len(slots), pane.end_ms - period),
        )

    def held(self) -> Iterable[Pane]:
        yield from self.totals.values()
        yield from self._folded.values()
        yield from self.panes.values()

    def home(self, identity: PaneId, watermark_ms: int) -> Pane | None:
        if identity.grain == _TOTAL:
            return self._total(identity.start_ms)
        return super().home(identity, watermark_ms)

    def _parts(self, period_ms: int) -> Iterable[Pane]:
        """The panes that the period's events lie in."""
        if period_ms in self.totals:
            yield self.totals[period_ms]
        for start, pane in self.panes.items():
            if self.window.start(start) == period_ms:
                yield pane

    def _total(self, period_ms: int) -> Pane:
        if period_ms not in self.totals:
            identity = PaneId(self.metric.plan.state_name, _TOTAL, period_ms)
            self.totals[period_ms] = Pane(identity, self.window.end(period_ms), self.columns)
        return self.totals[period_ms]
