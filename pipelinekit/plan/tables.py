"""The tables that a metric's rows land in: one for each grain."""

from __future__ import annotations

from collections.abc import Iterator

from pipelinekit.data import OVERLAPPING, Column, PartitionBy, SinkSchema, Table
from pipelinekit.plan.model import MeasurePlan, MetricPlan, Plan
from pipelinekit.plan.stage_view import stage_view
from pipelinekit.types import Kind
from pipelinekit.units import DAY_MS
from pipelinekit.windows.base import Window
from pipelinekit.windows.cumulative import Cumulative
from pipelinekit.windows.sliding import CalendarSliding, Sliding

_COUNTS = ("count", "count_distinct", "approx_count_distinct")
_KEPT_MS = 30 * DAY_MS  # rows of grains below an hour stay hot for 30 days
_DAILY_PARTITIONS_BELOW_MS = DAY_MS // 24


def tables_of(metric: MetricPlan) -> tuple[Table, ...]:
    """A table for each grain, finest first."""
    return tuple(_table(metric, place, window) for place, window in enumerate(metric.grains))


def sink_schemas(plan: Plan) -> dict[str, SinkSchema]:
    """For each sink what the plan wants to exist there."""
    schemas = {}
    for sink in plan.sinks:
        metrics = [m for m in plan.metrics if sink.name in m.sinks]
        tables = tuple(table for metric in metrics for table in tables_of(metric))
        views = tuple(
            stage_view(stage, plan.metric(stage.over), str(sink.settings["database"]))
            for stage in plan.stages
            if sink.name in stage.metric.sinks
        )
        schemas[sink.name] = SinkSchema(plan.job, tables, views)
    return schemas


def table_name(metric: str, version: int, grain: str) -> str:
    """`page_views_1m`, from version 2 on `page_views_v2_1m`."""
    return f"{metric}_{grain}" if version == 1 else f"{metric}_v{version}_{grain}"


def _table(metric: MetricPlan, place: int, window: Window) -> Table:
    grain = window.suffix
    is_overlapping = isinstance(window, Sliding | CalendarSliding | Cumulative)
    fine = window.every_ms < _DAILY_PARTITIONS_BELOW_MS
    return Table(
        name=table_name(metric.name, metric.version, grain),
        metric=metric.name,
        metric_version=metric.version,
        grain=grain,
        key=tuple(Column(key.name, key.type, nullable=True) for key in metric.key),
        measures=tuple(c for m in metric.measures for c in _columns(m)),
        is_finest=place == 0,
        is_calendar=window.is_calendar,
        partition_by=PartitionBy.DAY if fine else PartitionBy.MONTH,
        retired_after_ms=_KEPT_MS if fine else None,
        is_overlapping=is_overlapping,
        comment=f"pipelinekit:{metric.name}:{metric.version}:{metric.fingerprint}"
        + (f" {OVERLAPPING}" if is_overlapping else ""),
        description=metric.description,
    )


def _columns(measure: MeasurePlan) -> Iterator[Column]:
    if not measure.hidden:
        is_count = measure.measure in _COUNTS and measure.type.kind is Kind.INT
        yield Column(
            measure.name,
            measure.type,
            nullable=measure.nullable,
            description=measure.description,
            unit=measure.unit,
            unsigned=is_count,
        )
    if measure.state is not None:
        about = f"what {measure.name} keeps, to be merged"
        # Null in windows that were open when the measure came.
        yield Column(measure.state_column, measure.state, nullable=True, description=about)
