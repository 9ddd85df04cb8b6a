"""The rows of a second stage, computed by the engine: what its tests compare."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from pipelinekit.columns import polars_type
from pipelinekit.engine.compile import EVENT_TIME, START, Columns, compile_metric, late_column
from pipelinekit.engine.ingest import Partial
from pipelinekit.engine.panes import Metric, PaneStore
from pipelinekit.plan.model import MetricPlan, SourcePlan, StagePlan
from pipelinekit.plan.tables import tables_of
from pipelinekit.runtime.outcome import Row
from pipelinekit.spec.expressions.tree import field_types
from pipelinekit.spec.stages import ROW_SECONDS
from pipelinekit.types import INT
from pipelinekit.windows.session import Session


def stage_rows(stage: StagePlan, source: SourcePlan, rows: Sequence[Row]) -> list[Row]:
    """The stage's rows over another metric's: each of those counts as one event at its start."""
    metric = stage.metric
    if not rows:
        return []
    columns = Columns()
    compiled = compile_metric(metric, replace(source, id=None), columns)
    frame = row_frame(metric, rows).with_columns(**columns.exprs)
    if compiled.filter is not None:
        frame = frame.filter(pl.col(compiled.filter))
    if frame.is_empty():
        return []
    starts = metric.window.starts(frame[EVENT_TIME].to_numpy())
    keys = [pl.col(column).alias(f"key_{i}") for i, column in enumerate(compiled.keys)]
    late = (pl.col("_late") > 0).cast(pl.Int64).sum().alias(late_column(0))
    partial = (
        frame.with_columns(pl.Series(START, starts))
        .group_by(*keys, START)
        .agg(*compiled.aggregations, late)
    )
    store = PaneStore(source, [Metric(metric, tables_of(metric))], 1)
    store.merge(Partial(metric.state_name, 0, partial), 0)
    return [
        Row(upserts.table.grain, row)
        for upserts in store.flush(0, everything=True)
        for row in upserts.rows.to_pylist()
    ]


def provisional_ms(over: MetricPlan) -> int:
    """For how long after a window's end rows of `over` may still come for it, beside lateness."""
    window = over.window
    return over.allowed_lateness_ms + window.max_ms if isinstance(window, Session) else 0


def row_frame(metric: MetricPlan, rows: Sequence[Row]) -> pl.DataFrame:
    """The columns that the metric reads, the rows' late events and their starts as event times."""
    starts = [_ms(row, "window_start") for row in rows]
    ends = [_ms(row, "window_end") for row in rows]
    series = [pl.Series(EVENT_TIME, starts, pl.Int64)]
    lengths = [(end - start) / 1000 for start, end in zip(starts, ends, strict=True)]
    read = {n: t for e in metric.expressions for n, t in field_types(e).items()}
    for name, kind in {**read, "_late": INT}.items():
        values = lengths if name == ROW_SECONDS else [row.values[name] for row in rows]
        series.append(pl.Series(name, values, polars_type(kind)))
    return pl.DataFrame(series)


def _ms(row: Row, name: str) -> int:
    moment: dt.datetime = row.values[name]
    return round(moment.timestamp() * 1000)
