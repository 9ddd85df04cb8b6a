"""The panes of one bucket: merge partials, close and forget by watermark, give changed rows.

Rows are full values, never deltas, with `_version = epoch << 48 | _events`: of two versions of a
row the one that saw more events wins, and after a restore the same events end in the same row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from pipelinekit.columns import polars_type
from pipelinekit.data import Table, Upserts
from pipelinekit.engine.compile import EVENTS, START, CompiledMeasure, compile_measures, late_column
from pipelinekit.engine.ingest import Bounds, Partial, bucket_of
from pipelinekit.engine.lateness import NO_TIME
from pipelinekit.engine.pane import Key, Pane, PaneId, key_rows, to_state
from pipelinekit.engine.rows import RowBuilder
from pipelinekit.plan.model import MetricPlan, SourcePlan
from pipelinekit.units import TIME_MAX_MS

_ROLLUP_FLUSHES_PER_WINDOW = 60


@dataclass(frozen=True, slots=True, eq=False)
class PaneRows:
    """Rows of one pane as they are saved. `is_full`: all of them, not just the changed ones."""

    id: PaneId
    frame: pl.DataFrame
    is_full: bool


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """What the store needs of one metric. `measure_floors`: windows that start before are null."""

    plan: MetricPlan
    tables: Sequence[Table]  # one for each grain
    bounds: Bounds = field(default_factory=Bounds)
    measure_floors: Mapping[str, int] = field(default_factory=dict)


class _Grain:
    """The panes of one metric's grain, and what is due of them."""

    def __init__(self, metric: Metric, place: int, measures: tuple[CompiledMeasure, ...]) -> None:
        plan = metric.plan
        self.metric = metric
        self.place = place
        self.window = plan.grains[place]
        self.columns = tuple(c for m in measures for c in m.columns)
        self.key_types = [polars_type(key.type) for key in plan.key]
        self.rows = RowBuilder(metric.tables[place], plan, measures, metric.measure_floors)
        self.panes: dict[int, Pane] = {}
        early = plan.emit_early_ms
        if place:
            early = max(early, self.window.approximate_ms // _ROLLUP_FLUSHES_PER_WINDOW)
        self.early_ms = early
        self.late_ms = plan.emit_late_ms

    def pane(self, start_ms: int, watermark_ms: int) -> Pane:
        pane = self.panes.get(start_ms)
        if pane is None:
            end_ms = self.window.end(start_ms)
            identity = PaneId(self.metric.plan.state_name, self.place, start_ms)
            pane = Pane(identity, end_ms, self.columns, is_closed=end_ms <= watermark_ms)
            self.panes[start_ms] = pane
        return pane

    def wait_ms(self, pane: Pane) -> int:
        """How long changed rows of the pane may wait."""
        return self.late_ms if pane.is_closed else self.early_ms

    def forgotten_by(self, end_ms: int, watermark_ms: int) -> bool:
        return end_ms + self.metric.plan.allowed_lateness_ms <= watermark_ms


class PaneStore:
    """All metrics' panes of one bucket. Not thread-safe.

    Times of processing (`now_ms`) come from the caller: the store has no clock.
    """

    def __init__(self, source: SourcePlan, metrics: Sequence[Metric], epoch: int) -> None:
        self._epoch = epoch
        self._grains: dict[str, list[_Grain]] = {}
        for metric in metrics:
            measures = compile_measures(metric.plan, source)
            self._grains[metric.plan.state_name] = [
                _Grain(metric, place, measures) for place in range(len(metric.plan.grains))
            ]
        self.watermark_ms = NO_TIME
        self.orphans = 0  # events whose pane was forgotten already: a bug, raised as an alarm

    # --- in ---------------------------------------------------------------------------------

    def merge(self, partial: Partial, now_ms: int) -> None:
        """Add a slice's partial to its panes, of every grain."""
        grains = self._grains[partial.metric]
        finest = grains[0]
        frame = partial.frame
        rows = _Rows(
            keys=key_rows(frame, len(finest.key_types)),
            parts=[to_state(frame[c.name], c.accumulator) for c in finest.columns],
            events=frame[EVENTS].to_numpy(),
            late=[
                frame[name].to_numpy() if (name := late_column(g.place)) in frame.columns else None
                for g in grains
            ],
        )
        starts = frame[START].to_numpy()
        first = int(starts[0])
        if (starts == first).all():
            self._merge_window(grains, first, rows, now_ms)
            return
        order = np.argsort(starts, kind="stable")
        edges = np.flatnonzero(np.diff(starts[order])) + 1
        for places in np.split(order, edges):
            self._merge_window(grains, int(starts[places[0]]), rows.at(places), now_ms)

    def advance(self, watermark_ms: int) -> None:
        """Close and forget what `watermark_ms` has passed. Never goes back."""
        if watermark_ms <= self.watermark_ms:
            return
        self.watermark_ms = watermark_ms
        for grain in self._all_grains():
            for start, pane in list(grain.panes.items()):
                if not pane.is_closed and pane.end_ms <= watermark_ms:
                    pane.is_closed = True
                    if pane.dirty_since_ms is not None:
                        pane.dirty_since_ms = 0  # its last early row goes at once
                is_sent = pane.dirty_since_ms is None
                if is_sent and grain.forgotten_by(pane.end_ms, watermark_ms):
                    del grain.panes[start]

    # --- out --------------------------------------------------------------------------------

    def next_deadline(self) -> int | None:
        """The watermark at which something closes or is forgotten next."""
        deadlines = [
            pane.end_ms
            if not pane.is_closed
            else pane.end_ms + grain.metric.plan.allowed_lateness_ms
            for grain in self._all_grains()
            for pane in grain.panes.values()
        ]
        return min(deadlines, default=None)

    def due(self, now_ms: int) -> bool:
        """Whether `flush` would give anything."""
        return any(True for grain in self._all_grains() for _ in self._due_panes(grain, now_ms))

    def next_due_ms(self) -> int | None:
        """When `flush` will have something to give, None if nothing waits; may lie in the past."""
        return min(
            (
                pane.dirty_since_ms and pane.dirty_since_ms + grain.wait_ms(pane)
                for grain in self._all_grains()
                for pane in grain.panes.values()
                if pane.dirty_since_ms is not None
            ),
            default=None,
        )

    def flush(
        self, now_ms: int, *, rows_max: int | None = None, everything: bool = False
    ) -> list[Upserts]:
        """The changed rows that are due, at most `rows_max`, those that waited longest first.

        What exceeds `rows_max` stays changed, in state, and is due at the next call.
        """
        waiting = sorted(
            (
                (pane.dirty_since_ms or 0, number, pane, grain)
                for number, grain in enumerate(self._all_grains())
                for pane in self._due_panes(grain, now_ms, everything=everything)
            ),
            key=lambda item: item[:2],
        )
        left = rows_max
        taken: dict[int, list[tuple[Pane, np.ndarray]]] = {}
        grains: dict[int, _Grain] = {}
        for _, number, pane, grain in waiting:
            if left is not None and left <= 0:
                break
            slots = pane.dirty_slots()[:left]
            taken.setdefault(number, []).append((pane, slots))
            grains[number] = grain
            left = None if left is None else left - len(slots)
        upserts = []
        for number, panes in taken.items():
            grain = grains[number]
            upserts.append(grain.rows.build(panes, self._epoch, self.watermark_ms, now_ms))
            for pane, slots in panes:
                pane.mark_written(slots, now_ms)
                self._forget_if_sent(grain, pane)
        return upserts

    def closed_through(self) -> dict[tuple[str, str], int]:
        """Per metric and grain the end of the last closed window; all its rows have left.

        Not of retired metrics: their windows end before those of the ones that follow them.
        """
        closed: dict[tuple[str, str], int] = {}
        if self.watermark_ms == NO_TIME:
            return closed
        for grain in self._all_grains():
            if grain.metric.plan.is_retired:
                continue
            through = grain.window.start(min(self.watermark_ms, TIME_MAX_MS))
            for pane in grain.panes.values():
                if pane.is_closed and pane.dirty_since_ms == 0:
                    through = min(through, pane.id.start_ms)
            closed[(grain.metric.plan.name, grain.window.suffix)] = through
        return closed

    # --- state ------------------------------------------------------------------------------

    def changed_rows(
        self, full: Iterable[PaneId] = (), *, everything: bool = False
    ) -> list[PaneRows]:
        """Rows changed since the last call; whole panes for those in `full`."""
        whole = set(full)
        saved = []
        for grain in self._all_grains():
            for pane in grain.panes.values():
                is_full = everything or pane.id in whole
                if not is_full and not pane.is_changed:
                    continue
                slots = pane.take_changed(everything=is_full)
                saved.append(PaneRows(pane.id, pane.rows(slots, grain.key_types), is_full))
        return saved

    def pane_sizes(self) -> dict[PaneId, int]:
        """How many rows each live pane holds."""
        return {p.id: len(p) for grain in self._all_grains() for p in grain.panes.values()}

    def restore(self, saved: PaneRows) -> None:
        """Take back rows; of a key's copies the last one given holds. Advance afterwards.

        Rows of a metric or grain that is no longer there are left out.
        """
        grains = self._grains.get(saved.id.metric, [])
        if saved.id.grain >= len(grains):
            return
        grain = grains[saved.id.grain]
        pane = grain.pane(saved.id.start_ms, self.watermark_ms)
        pane.put(saved.frame, len(grain.key_types))

    def mark_written(self) -> None:
        """All rows have left already: after a restore, by whom knows that they had."""
        for grain in self._all_grains():
            for pane in grain.panes.values():
                pane.mark_written(pane.dirty_slots(), 0)

    @property
    def waiting_rows(self) -> int:
        """Changed rows not yet given by `flush`."""
        return sum(
            int(pane.dirty[: len(pane)].sum())
            for grain in self._all_grains()
            for pane in grain.panes.values()
            if pane.dirty_since_ms is not None
        )

    @property
    def held_rows(self) -> int:
        return sum(len(p) for grain in self._all_grains() for p in grain.panes.values())

    # --- private ----------------------------------------------------------------------------

    def _all_grains(self) -> Iterable[_Grain]:
        for grains in self._grains.values():
            yield from grains

    def _due_panes(self, grain: _Grain, now_ms: int, *, everything: bool = False) -> Iterable[Pane]:
        for pane in grain.panes.values():
            since = pane.dirty_since_ms
            if since is None:
                continue
            if everything or since == 0 or now_ms - since >= grain.wait_ms(pane):
                yield pane

    def _merge_window(self, grains: Sequence[_Grain], start: int, rows: _Rows, now_ms: int) -> None:
        finest = grains[0]
        if finest.forgotten_by(finest.window.end(start), self.watermark_ms):
            self.orphans += int(rows.events.sum())
            return
        for grain, late in zip(grains, rows.late, strict=True):
            own = start if grain.place == 0 else grain.window.start(start)
            pane = grain.pane(own, self.watermark_ms)
            pane.merge(rows.keys, rows.parts, rows.events, late, now_ms)

    def _forget_if_sent(self, grain: _Grain, pane: Pane) -> None:
        is_sent = pane.dirty_since_ms is None
        if is_sent and grain.forgotten_by(pane.end_ms, self.watermark_ms):
            grain.panes.pop(pane.id.start_ms, None)


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """A partial's rows as panes take them; `late` has a column for each grain, or None."""

    keys: Sequence[Key]
    parts: Sequence[np.ndarray]
    events: np.ndarray
    late: Sequence[np.ndarray | None]

    def at(self, places: np.ndarray) -> _Rows:
        return _Rows(
            [self.keys[i] for i in places.tolist()],
            [part[places] for part in self.parts],
            self.events[places],
            [None if late is None else late[places] for late in self.late],
        )


def rebucket(saved: PaneRows, keys: int, buckets: int) -> list[tuple[int, PaneRows]]:
    """The saved rows split by bucket, for another number of buckets."""
    if buckets == 1:
        return [(0, saved)]
    owner = pl.Series(bucket_of(saved.frame, keys, buckets))
    return [
        (bucket, PaneRows(saved.id, saved.frame.filter(owner == bucket), saved.is_full))
        for bucket in owner.unique().sort().to_list()
    ]
