"""From accumulators to the rows of a table: results, derived measures and the row's own columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pipelinekit.columns import arrow_type, polars_type
from pipelinekit.data import EPOCH_SHIFT, Table, Upserts
from pipelinekit.engine.compile import CompiledMeasure
from pipelinekit.engine.pane import Key, key_series
from pipelinekit.measures.base import WithState
from pipelinekit.plan.model import MetricPlan
from pipelinekit.spec.expressions.to_polars import to_polars
from pipelinekit.spec.expressions.tree import WINDOW_SECONDS
from pipelinekit.units import SECOND_MS, TIME_MAX_MS

_TIME = pa.timestamp("ms", "UTC")


@dataclass(frozen=True, slots=True, eq=False)
class Changed:
    """Rows that are to leave: key, window [start, end) in ms, accumulators and counts, aligned.

    `state` holds the accumulators by their columns' names; `lengths` is what a rate divides by, ms.
    """

    keys: Sequence[Key]
    starts: np.ndarray
    ends: np.ndarray
    state: Mapping[str, np.ndarray]
    events: np.ndarray
    late: np.ndarray
    lengths: np.ndarray


class RowBuilder:
    """Makes the rows of one table."""

    def __init__(
        self,
        table: Table,
        plan: MetricPlan,
        measures: Sequence[CompiledMeasure],
        measure_floors: Mapping[str, int],
    ) -> None:
        self._table = table
        self._measures = measures
        self._floors = measure_floors
        self._key_types = [polars_type(key.type) for key in plan.key]
        self._derived = [
            {name: to_polars(expression) for name, expression in level.items()}
            for level in plan.derived
        ]
        self._names = [c.name for c in table.columns]
        self._types = {c.name: arrow_type(c.type) for c in table.columns}
        self._key_names = [c.name for c in table.key]
        self._overflows: Counter[str] = Counter()
        self._metric = plan.name
        self._window = next(g for g in plan.grains if g.suffix == table.grain)

    def build(
        self,
        changed: Sequence[Changed],
        epoch: int,
        watermark_ms: int,
        now_ms: int,
    ) -> Upserts:
        """The upserts of these rows; the table's columns, in order."""
        keys = [key for part in changed for key in part.keys]
        starts = np.concatenate([part.starts for part in changed])
        columns: dict[str, pa.Array] = {}
        for name, series in zip(self._key_names, key_series(keys, self._key_types), strict=True):
            columns[name] = series.to_arrow()
        columns |= self._results(changed, starts)
        events = np.concatenate([part.events for part in changed])
        columns["window_start"] = pa.array(starts).cast(_TIME)
        columns["window_end"] = pa.array(np.concatenate([part.ends for part in changed])).cast(
            _TIME
        )
        if self._table.is_calendar:
            columns["window_date"] = self._dates(columns["window_start"])
        columns["_events"] = pa.array(events)
        columns["_late"] = pa.array(np.concatenate([part.late for part in changed]))
        columns["_version"] = pa.array((epoch << EPOCH_SHIFT) | events)
        count = len(keys)
        columns["_watermark"] = pa.array(
            np.full(count, min(max(watermark_ms, 0), TIME_MAX_MS))
        ).cast(_TIME)
        columns["_updated_at"] = pa.array(np.full(count, now_ms)).cast(_TIME)
        arrays = [
            columns[name] if columns[name].type == kind else columns[name].cast(kind)
            for name, kind in self._types.items()
        ]
        return Upserts(self._table, pa.Table.from_arrays(arrays, names=self._names))

    def take_overflows(self) -> Counter[str]:
        """By metric.measure the rows built since the last call that it was too much for."""
        taken, self._overflows = self._overflows, Counter()
        return taken

    def _results(self, changed: Sequence[Changed], starts: np.ndarray) -> dict[str, pa.Array]:
        results: dict[str, pa.Array] = {}
        states: dict[str, pa.Array] = {}
        for compiled in self._measures:
            state = {
                column.accumulator.name: np.concatenate(
                    [part.state[column.name] for part in changed]
                )
                for column in compiled.columns
            }
            types = [a.type for a in compiled.arguments]
            result = compiled.measure.result(state, types)
            if (overflowed := getattr(compiled.measure, "overflowed", None)) is not None:
                count = pc.sum(overflowed(state, result)).as_py() or 0
                if count:
                    self._overflows[f"{self._metric}.{compiled.plan.name}"] += count
            made = {compiled.plan.name: result}
            if compiled.plan.state is not None:
                made[compiled.plan.state_column] = cast("WithState", compiled.measure).state(state)
            floor = self._floors.get(compiled.plan.name)
            if floor is not None and (starts < floor).any():
                is_before = pa.array(starts < floor)
                made = {name: pc.if_else(is_before, None, array) for name, array in made.items()}
            results[compiled.plan.name] = made.pop(compiled.plan.name)
            states |= made
        if self._derived:
            lengths = np.concatenate([part.lengths for part in changed])
            frame = pl.DataFrame({name: pl.from_arrow(a) for name, a in results.items()})
            frame = frame.with_columns(pl.Series(WINDOW_SECONDS, lengths / SECOND_MS))
            for level in self._derived:
                frame = frame.with_columns(**level)
                results |= {name: frame[name].to_arrow() for name in level}
        return results | states

    def _dates(self, starts: pa.Array) -> pa.Array:
        local = pl.Series(pl.from_arrow(starts)).dt.convert_time_zone(self._window.timezone)
        return local.dt.date().to_arrow()
