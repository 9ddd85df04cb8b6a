"""The panes of one bucket: merge partials, close and forget by watermark, give changed rows.

Rows are full values, never deltas, with `_version = epoch << 48 | _events`: of two versions of a
row the one that saw more events wins, and after a restore the same events end in the same row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from pipelinekit.data import Upserts
from pipelinekit.engine.compile import (
    EVENTS,
    FIRST,
    LAST,
    ON_TIME,
    START,
    CompiledMeasure,
    compile_measures,
    late_column,
)
from pipelinekit.engine.grains.base import Grain, Metric, Rows
from pipelinekit.engine.grains.cumulative import CumulativeGrain
from pipelinekit.engine.grains.session import SessionGrain
from pipelinekit.engine.grains.sliding import SlidingGrain
from pipelinekit.engine.ingest import Partial, bucket_of
from pipelinekit.engine.key_values import KeyCount
from pipelinekit.engine.lateness import NO_TIME
from pipelinekit.engine.pane import Pane, PaneId, key_rows, to_state
from pipelinekit.plan.model import SourcePlan
from pipelinekit.windows.cumulative import Cumulative
from pipelinekit.windows.session import Session
from pipelinekit.windows.sliding import CalendarSliding, Sliding

__all__ = ["Metric", "PaneRows", "PaneStore", "rebucket"]


@dataclass(frozen=True, slots=True, eq=False)
class PaneRows:
    """Rows of one pane as they are saved. `is_full`: all of them, not just the changed ones."""

    id: PaneId
    frame: pl.DataFrame
    is_full: bool


class PaneStore:
    """All metrics' panes of one bucket. Not thread-safe.

    Times of processing (`now_ms`) come from the caller: the store has no clock.
    """

    def __init__(self, source: SourcePlan, metrics: Sequence[Metric], epoch: int) -> None:
        self._epoch = epoch
        self._grains: dict[str, list[Grain]] = {}
        for metric in metrics:
            measures = compile_measures(metric.plan, source)
            self._grains[metric.plan.state_name] = [
                _grain(metric, place, measures) for place in range(len(metric.plan.grains))
            ]
        self.watermark_ms = NO_TIME
        # Rows that left with null as too much for a measure, by metric.measure; again each time.
        self.overflows: Counter[str] = Counter()
        self._key_counters = [
            g.key_counter for g in self._all_grains() if g.key_counter is not None
        ]
        self.orphans = 0  # events whose pane was forgotten already: a bug, raised as an alarm

    # --- in ---------------------------------------------------------------------------------

    def merge(self, partial: Partial, now_ms: int) -> None:
        """Add a slice's partial to its panes, of every grain."""
        grains = self._grains[partial.metric]
        finest = grains[0]
        for rows in _split(partial.frame, grains):
            if finest.is_forgotten(rows, self.watermark_ms):
                self.orphans += int(rows.events.sum())
                continue
            for grain in grains:
                grain.merge(rows, self.watermark_ms, now_ms)

    def advance(self, watermark_ms: int) -> None:
        """Close and forget what `watermark_ms` has passed. Never goes back."""
        if watermark_ms <= self.watermark_ms:
            return
        self.watermark_ms = watermark_ms
        for grain in self._all_grains():
            grain.advance(watermark_ms)
        for counter in self._key_counters:
            counter.forget(watermark_ms)

    # --- out --------------------------------------------------------------------------------

    def next_deadline(self) -> int | None:
        """The watermark at which something closes or is forgotten next."""
        return min((d for grain in self._all_grains() for d in grain.deadlines()), default=None)

    def due(self, now_ms: int, metrics: Collection[str] | None = None) -> bool:
        """Whether `flush` would give anything."""
        return any(at <= now_ms for grain in self._grains_of(metrics) for _, at in grain.waiting())

    def next_due_ms(self) -> int | None:
        """When `flush` will have something to give, None if nothing waits; may lie in the past."""
        return min((at for grain in self._all_grains() for _, at in grain.waiting()), default=None)

    def flush(
        self,
        now_ms: int,
        *,
        metrics: Collection[str] | None = None,
        due_by_ms: int | None = None,
        rows_max: int | None = None,
        everything: bool = False,
    ) -> list[Upserts]:
        """The changed rows that are due, at most `rows_max`, those that waited longest first.

        Of all `metrics`, or of those named. With `due_by_ms` also those that are due by then. What
        exceeds `rows_max` stays changed, in state, and is due at the next call.
        """
        due_by_ms = now_ms if due_by_ms is None else due_by_ms
        waiting = sorted(
            (
                (pane.dirty_since_ms or 0, number, pane, grain)
                for number, grain in enumerate(self._grains_of(metrics))
                for pane, at in grain.waiting()
                if everything or at <= due_by_ms
            ),
            key=lambda item: item[:2],
        )
        left = rows_max
        taken: dict[int, list[tuple[Pane, np.ndarray]]] = {}
        grains: dict[int, Grain] = {}
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
            changed = [grain.changed(pane, slots) for pane, slots in panes]
            upserts.append(grain.rows.build(changed, self._epoch, self.watermark_ms, now_ms))
            self.overflows.update(grain.rows.take_overflows())
            for pane, slots in panes:
                grain.written(pane, slots, now_ms)
            grain.forget(self.watermark_ms)
        return upserts

    def closed_through(self) -> dict[tuple[str, str], int]:
        """Per metric and grain the end of the last closed window; all its rows have left.

        Not of retired metrics: their windows end before those of the ones that follow them.
        """
        if self.watermark_ms == NO_TIME:
            return {}
        return {
            (grain.metric.plan.name, grain.suffix): grain.closed_through(self.watermark_ms)
            for grain in self._all_grains()
            if not grain.metric.plan.is_retired
        }

    def take_key_counts(self) -> list[KeyCount]:
        """How many values of its watched keys each window holds, where that changed."""
        return [count for counter in self._key_counters for count in counter.take()]

    # --- state ------------------------------------------------------------------------------

    def changed_rows(
        self, full: Iterable[PaneId] = (), *, everything: bool = False
    ) -> list[PaneRows]:
        """Rows changed since the last call; whole panes for those in `full`."""
        whole = set(full)
        saved = []
        for grain in self._all_grains():
            for pane in grain.held():
                is_full = everything or pane.id in whole
                if not is_full and not pane.is_changed:
                    continue
                slots = pane.take_changed(everything=is_full)
                saved.append(PaneRows(pane.id, pane.rows(slots, grain.saved_key_types), is_full))
                pane.without_empty()
        return saved

    def pane_sizes(self) -> dict[PaneId, int]:
        """How many rows each live pane holds."""
        return {p.id: len(p) for grain in self._all_grains() for p in grain.held()}

    def restore(self, saved: PaneRows) -> None:
        """Take back rows; of a key's copies the last one given holds. Advance afterwards.

        Rows of a metric or grain that is no longer there are left out.
        """
        for grain in self._grains.get(saved.id.metric, ()):
            pane = grain.home(saved.id, self.watermark_ms)
            if pane is not None:
                pane.put(saved.frame, len(grain.saved_key_types))

    def mark_written(self) -> None:
        """All rows have left already: after a restore, by whom knows that they had."""
        for grain in self._all_grains():
            grain.all_written()

    @property
    def waiting_rows(self) -> int:
        """Changed rows not yet given by `flush`."""
        return sum(
            int(pane.dirty[: len(pane)].sum())
            for grain in self._all_grains()
            for pane, _ in grain.waiting()
        )

    @property
    def held_rows(self) -> int:
        """Rows in state, without emptied ones; those that only count late events are among them."""
        return sum(
            int(np.count_nonzero(pane.events[: len(pane)] | pane.late[: len(pane)]))
            for grain in self._all_grains()
            for pane in grain.held()
        )

    # --- private ----------------------------------------------------------------------------

    def _all_grains(self) -> Iterable[Grain]:
        return self._grains_of(None)

    def _grains_of(self, metrics: Collection[str] | None) -> Iterable[Grain]:
        """Of all metrics or of those named, their older forms included."""
        for grains in self._grains.values():
            if metrics is None or grains[0].metric.plan.name in metrics:
                yield from grains


def _grain(metric: Metric, place: int, measures: tuple[CompiledMeasure, ...]) -> Grain:
    match metric.plan.window:
        case Sliding() | CalendarSliding():
            return SlidingGrain(metric, place, measures)
        case Cumulative():
            return CumulativeGrain(metric, place, measures)
        case Session():
            return SessionGrain(metric, place, measures)
        case _:
            return Grain(metric, place, measures)


def _split(frame: pl.DataFrame, grains: Sequence[Grain]) -> Iterable[Rows]:
    """A partial's rows, those together that name the same windows."""
    finest = grains[0]
    starts = frame[START].to_numpy()
    rows = Rows(
        start_ms=int(starts[0]),
        windows={n: frame[n].to_numpy() for n in (FIRST, LAST, ON_TIME) if n in frame.columns},
        keys=key_rows(frame, len(finest.key_types)),
        parts=[to_state(frame[c.name], c.accumulator) for c in finest.merged_columns],
        events=frame[EVENTS].to_numpy(),
        late=[
            frame[name].to_numpy() if (name := late_column(g.place)) in frame.columns else None
            for g in grains
        ],
    )
    by = [starts, *(rows.windows[n] for n in finest.merged_by if n in rows.windows)]
    if all((values == values[0]).all() for values in by):
        yield rows
        return
    order = np.lexsort(by)
    is_edge = np.logical_or.reduce([np.diff(values[order]) != 0 for values in by])
    for places in np.split(order, np.flatnonzero(is_edge) + 1):
        yield rows.at(places, int(starts[places[0]]))


def rebucket(saved: PaneRows, keys: int, buckets: int) -> list[tuple[int, PaneRows]]:
    """The saved rows split by bucket, for another number of buckets."""
    if buckets == 1:
        return [(0, saved)]
    owner = pl.Series(bucket_of(saved.frame, keys, buckets), dtype=pl.Int64)
    return [
        (bucket, PaneRows(saved.id, saved.frame.filter(owner == bucket), saved.is_full))
        for bucket in owner.unique().sort().to_list()
    ]
