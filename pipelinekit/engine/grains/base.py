"""The panes of one metric's grain, as tumbling windows keep them; other kinds differ where said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from pipelinekit.columns import polars_type
from pipelinekit.data import Table
from pipelinekit.engine.compile import CompiledMeasure, StateColumn
from pipelinekit.engine.key_values import KeyCounter
from pipelinekit.engine.pane import Key, Pane, PaneId
from pipelinekit.engine.placing import Bounds
from pipelinekit.engine.rows import Changed, RowBuilder
from pipelinekit.plan.model import MetricPlan
from pipelinekit.units import TIME_MAX_MS

_ROLLUP_FLUSHES_PER_WINDOW = 60


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """What the store needs of one metric. `measure_floors`: windows that start before are null."""

    plan: MetricPlan
    tables: Sequence[Table]  # one for each grain
    bounds: Bounds = field(default_factory=Bounds)
    measure_floors: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows of a partial that name the same windows; `late` has a column for each grain, or None.

    `windows` holds what else than `start_ms` names them: FIRST, LAST, ON_TIME, a value a row.
    """

    start_ms: int
    windows: Mapping[str, np.ndarray]
    keys: Sequence[Key]
    parts: Sequence[np.ndarray]
    events: np.ndarray
    late: Sequence[np.ndarray | None]

    def at(self, places: np.ndarray, start_ms: int) -> Rows:
        """The rows of these places, which start there."""
        return Rows(
            start_ms,
            {name: values[places] for name, values in self.windows.items()},
            [self.keys[i] for i in places.tolist()],
            [part[places] for part in self.parts],
            self.events[places],
            [None if late is None else late[places] for late in self.late],
        )


class Grain:
    """The panes of one metric's grain, and what is due of them."""

    # What of Rows.windows must be equal in rows that are merged together.
    merged_by: tuple[str, ...] = ()

    def __init__(self, metric: Metric, place: int, measures: tuple[CompiledMeasure, ...]) -> None:
        plan = metric.plan
        self.metric = metric
        self.place = place
        self.merged_columns = tuple(c for m in measures for c in m.columns)  # of partials
        self.columns: tuple[StateColumn, ...] = self.merged_columns  # of panes
        self.key_types = [polars_type(key.type) for key in plan.key]
        self.rows = RowBuilder(metric.tables[place], plan, measures, metric.measure_floors)
        self.panes: dict[int, Pane] = {}
        self.key_counter = KeyCounter.of(plan) if place == 0 else None
        early = plan.emit_early_ms
        if place:
            early = max(early, plan.grains[place].approximate_ms // _ROLLUP_FLUSHES_PER_WINDOW)
        self.early_ms = early
        self.late_ms = plan.emit_late_ms
        self.allowed_ms = plan.allowed_lateness_ms

    @property
    def suffix(self) -> str:
        return self.metric.plan.grains[self.place].suffix

    # --- in -----------------------------------------------------------------------------------

    def is_forgotten(self, rows: Rows, watermark_ms: int) -> bool:
        """Whether the watermark has passed these rows' windows for good."""
        end_ms = self.metric.plan.window.end(rows.start_ms)
        return end_ms + self.allowed_ms <= watermark_ms

    def merge(self, rows: Rows, watermark_ms: int, now_ms: int) -> None:
        window = self.metric.plan.grains[self.place]
        own = rows.start_ms if self.place == 0 else window.start(rows.start_ms)
        pane = self.pane(own, watermark_ms)
        pane.merge(rows.keys, rows.parts, rows.events, rows.late[self.place], now_ms)
        if self.key_counter is not None:
            self.key_counter.grew(pane)

    def pane(self, start_ms: int, watermark_ms: int) -> Pane:
        """The pane of the window that starts there, a new one if it holds none."""
        pane = self.panes.get(start_ms)
        if pane is None:
            end_ms = self.end(start_ms)
            identity = PaneId(self.metric.plan.state_name, self.place, start_ms)
            pane = Pane(identity, end_ms, self.columns, is_closed=end_ms <= watermark_ms)
            self.panes[start_ms] = pane
        return pane

    def end(self, start_ms: int) -> int:
        """The end of the window whose pane starts there."""
        return self.metric.plan.grains[self.place].end(start_ms)

    def advance(self, watermark_ms: int) -> None:
        """Close and forget what the watermark has passed."""
        for pane in list(self.panes.values()):
            if not pane.is_closed and pane.end_ms <= watermark_ms:
                pane.is_closed = True
                if pane.dirty_since_ms is not None:
                    pane.dirty_since_ms = 0  # its last early row goes at once
        self.forget(watermark_ms)

    def forget(self, watermark_ms: int) -> None:
        """Let go of panes that nothing can change any more and whose rows have left."""
        for start, pane in list(self.panes.items()):
            is_sent = pane.dirty_since_ms is None
            if is_sent and pane.end_ms + self.allowed_ms <= watermark_ms:
                del self.panes[start]

    # --- out ----------------------------------------------------------------------------------

    def deadlines(self) -> Iterable[int]:
        """The watermarks at which something closes or is forgotten."""
        for pane in self.panes.values():
            yield pane.end_ms if not pane.is_closed else pane.end_ms + self.allowed_ms

    def waiting(self) -> Iterable[tuple[Pane, int]]:
        """Panes with changed rows, and when these are due, in ms."""
        for pane in self.panes.values():
            if (since := pane.dirty_since_ms) is not None:
                wait_ms = self.late_ms if pane.is_closed else self.early_ms
                yield pane, since and since + wait_ms

    def changed(self, pane: Pane, slots: np.ndarray) -> Changed:
        """The rows of these slots as they leave."""
        return Changed(
            keys=[pane.keys[i] for i in slots.tolist()],
            starts=np.full(len(slots), pane.id.start_ms),
            ends=np.full(len(slots), pane.end_ms),
            state={name: values[slots] for name, values in pane.state.items()},
            events=pane.events[slots],
            late=pane.late[slots],
            lengths=np.full(len(slots), pane.end_ms - pane.id.start_ms),
        )

    def written(self, pane: Pane, slots: np.ndarray, now_ms: int) -> None:
        """The rows of these slots have left."""
        pane.mark_written(slots, now_ms)

    def all_written(self) -> None:
        """All rows have left already: after a restore, by whom knows that they had."""
        for pane in self.panes.values():
            pane.mark_written(pane.dirty_slots(), 0)

    def closed_through(self, watermark_ms: int) -> int:
        """The end of the last closed window; all rows of it and those before have left."""
        window = self.metric.plan.grains[self.place]
        through = self.metric.plan.closed_through(window, min(watermark_ms, TIME_MAX_MS))
        for pane in self.panes.values():
            if pane.is_closed and pane.dirty_since_ms == 0:
                through = min(through, window.closed_through(pane.end_ms - 1))
        return through

    # --- state --------------------------------------------------------------------------------

    def held(self) -> Iterable[Pane]:
        """All that is to be saved."""
        return self.panes.values()

    @property
    def saved_key_types(self) -> Sequence[pl.DataType]:
        """The types of the columns that a saved row is found by."""
        return self.key_types

    def home(self, identity: PaneId, watermark_ms: int) -> Pane | None:
        """Where rows saved under the identity go back to; None if they are of another grain."""
        return self.pane(identity.start_ms, watermark_ms) if identity.grain == self.place else None
