"""A second stage as a ClickHouse view over its metric's newest rows: the SQL of measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipelinekit.connectors.clickhouse.sql import identifier, literal
from pipelinekit.connectors.clickhouse.views import PROGRESS
from pipelinekit.data import View
from pipelinekit.plan.model import MeasurePlan, MetricPlan, StagePlan
from pipelinekit.spec.expressions.to_sql import to_clickhouse
from pipelinekit.spec.expressions.tree import (
    WINDOW_SECONDS,
    Call,
    Expression,
    Field,
    Literal,
    fields_of,
)
from pipelinekit.spec.stages import ROW_SECONDS
from pipelinekit.types import DECIMAL_PRECISION_MAX, STRING, TIMESTAMP, Kind
from pipelinekit.windows.base import Window
from pipelinekit.windows.session import Session
from pipelinekit.windows.tumbling import CalendarTumbling, Tumbling

_UNITS = {"1d": "day", "1w": "week", "1mo": "month"}
_MS = "toUnixTimestamp64Milli"


def stage_view(stage: StagePlan, over: MetricPlan, database: str) -> View:
    """The view of the stage's rows; it reads the view of `over`, of its finest grain.

    `_events` counts the rows that a row stands for, `_late` those of them that were corrected.
    """
    metric = stage.metric
    return View(
        metric.name,
        _outer(metric, over, database),
        f"pipelinekit:{metric.name}:{metric.version}:{metric.fingerprint}",
    )


def _inner(metric: MetricPlan, over: MetricPlan, database: str) -> str:
    """The rows grouped by key and window; names begin with an underscore, as no column's does."""
    columns = _Columns(over)
    keys = [f"{columns.sql(k.folded)} AS `_k{i}`" for i, k in enumerate(metric.key)]
    start = f"{_start(metric.window, columns)} AS `_start`"
    measures = [
        f"{_aggregate(m, columns)} AS `_m{i}`"
        for i, m in enumerate(metric.measures)
        if m.derived is None
    ]
    own = ["count() AS `_rows`", "countIf(r.`_late` > 0) AS `_corrected`",
           "max(r.`_updated_at`) AS `_at`"]  # fmt: skip
    where = "" if metric.filter is None else f" WHERE {columns.sql(metric.filter)}"
    groups = ", ".join([*(f"`_k{i}`" for i in range(len(keys))), "`_start`"])
    return (
        f"SELECT {', '.join([*keys, start, *measures, *own])} "
        f"FROM {identifier(database)}.{identifier(over.name)} AS r{where} GROUP BY {groups}"
    )


def _outer(metric: MetricPlan, over: MetricPlan, database: str) -> str:
    window = metric.window
    columns = [f"`_k{i}` AS {identifier(k.name)}" for i, k in enumerate(metric.key)]
    end = _end(window)
    columns += ["`_start` AS `window_start`", f"{end} AS `window_end`"]
    if window.is_calendar:
        columns.append(f"{_local_day(window)} AS `window_date`")
    results = _results(metric)
    columns += [
        f"{results[m.name]} AS {identifier(m.name)}" for m in metric.measures if not m.hidden
    ]
    closed = (
        f"(SELECT argMax(closed_through, updated_at) FROM "
        f"{identifier(database)}.{identifier(PROGRESS)} WHERE metric = {literal(over.name)} "
        f"AND grain = {literal(over.window.suffix)})"
    )
    # A session is of the window that it began in, and may end that much later.
    window = over.window
    last = f" + toIntervalMillisecond({window.max_ms})" if isinstance(window, Session) else ""
    columns += [
        "`_rows` AS `_events`",
        "`_corrected` AS `_late`",
        "`_at` AS `_updated_at`",
        f"multiIf({end}{last} > {closed}, 'provisional', `_corrected` > 0, 'corrected', 'final') "
        "AS `_state`",
    ]
    return f"SELECT {', '.join(columns)} FROM ({_inner(metric, over, database)})"


@dataclass(frozen=True, slots=True)
class _Columns:
    """Expressions over the rows of a metric, as SQL over `r`."""

    over: MetricPlan

    def sql(self, expression: Expression) -> str:
        names = {name: f"r.{identifier(name)}" for name in fields_of(expression)}
        length = f"({_MS}(r.`window_end`) - {_MS}(r.`window_start`)) / 1000"
        return to_clickhouse(expression, names | {ROW_SECONDS: length})


# --- windows ------------------------------------------------------------------------------------


def _start(window: Window, columns: _Columns) -> str:
    match window:
        case CalendarTumbling(unit=unit, timezone=zone):
            time = Field("window_start", TIMESTAMP)
            parts = (Literal(_UNITS[unit], STRING), time, Literal(zone, STRING))
            return f"assumeNotNull({columns.sql(Call('date_trunc', parts, TIMESTAMP))})"
        case Tumbling(size_ms=size_ms):
            at = f"{_MS}(r.`window_start`)"
            return f"fromUnixTimestamp64Milli({at} - positiveModulo({at}, {size_ms}), 'UTC')"
        case _:
            raise ValueError(f"{window} is no window of a second stage")


def _end(window: Window) -> str:
    if isinstance(window, CalendarTumbling):
        day = f"add{_UNITS[window.unit].capitalize()}s({_local_day(window)}, 1)"
        return f"toTimeZone(toDateTime64({day}, 3, {literal(window.timezone)}), 'UTC')"
    assert isinstance(window, Tumbling)
    return f"`_start` + toIntervalMillisecond({window.size_ms})"


def _local_day(window: Window) -> str:
    return f"toDate32(toTimeZone(`_start`, {literal(window.timezone)}))"


# --- measures -----------------------------------------------------------------------------------


def _results(metric: MetricPlan) -> Mapping[str, str]:
    """By name the SQL of each measure over the inner columns; derived ones are written out."""
    results = {m.name: f"`_m{i}`" for i, m in enumerate(metric.measures) if m.derived is None}
    results[WINDOW_SECONDS] = f"({_MS}({_end(metric.window)}) - {_MS}(`_start`)) / 1000"
    for level in metric.derived:
        results |= {name: to_clickhouse(e, results) for name, e in level.items()}
    return results


def _aggregate(measure: MeasurePlan, columns: _Columns) -> str:
    where = None if measure.filter is None else columns.sql(measure.filter)
    values = [columns.sql(a) for a in measure.arguments]
    assert measure.measure is not None
    return _AGGREGATES[measure.measure](measure, values, where)


def _count(measure: MeasurePlan, values: list[str], where: str | None) -> str:
    conditions = [f"isNotNull({v})" for v in values] + ([where] if where is not None else [])
    return f"countIf({' AND '.join(conditions)})" if conditions else "count()"


def _called(name: str, value: str, where: str | None) -> str:
    """An aggregate function that is null of no values."""
    return f"{name}OrNull({value})" if where is None else f"{name}OrNullIf({value}, {where})"


def _sum(measure: MeasurePlan, values: list[str], where: str | None) -> str:
    if measure.type.kind is Kind.FLOAT:
        return _finite(_called("sum", values[0], where))
    scale = measure.type.scale
    wide = f"CAST({values[0]}, 'Nullable(Decimal(76, {scale}))')"
    limit = f"toDecimal256('1{'0' * (DECIMAL_PRECISION_MAX - scale)}', {scale})"
    total = f"arrayFirstOrNull(v -> abs(v) < {limit}, [{_called('sum', wide, where)}])"
    return f"CAST({total}, 'Nullable(Decimal({DECIMAL_PRECISION_MAX}, {scale}))')"


def _finite(value: str) -> str:
    return f"arrayFirstOrNull(v -> isFinite(v), [{value}])"


def _plain(name: str) -> Callable[[MeasurePlan, list[str], str | None], str]:
    return lambda measure, values, where: _called(name, values[0], where)


def _of_floats(name: str) -> Callable[[MeasurePlan, list[str], str | None], str]:
    return lambda measure, values, where: _finite(_called(name, f"toFloat64({values[0]})", where))


def _of_bools(name: str) -> Callable[[MeasurePlan, list[str], str | None], str]:
    return lambda measure, values, where: (
        f"CAST({_called(name, values[0], where)}, 'Nullable(Bool)')"
    )


def _count_distinct(measure: MeasurePlan, values: list[str], where: str | None) -> str:
    count = f"uniqExact({values[0]})" if where is None else f"uniqExactIf({values[0]}, {where})"
    return f"arrayFirstOrNull(v -> v <= {measure.max_values}, [toInt64({count})])"


_AGGREGATES: dict[str, Callable[[MeasurePlan, list[str], str | None], str]] = {
    "count": _count,
    "sum": _sum,
    "min": _plain("min"),
    "max": _plain("max"),
    "avg": _of_floats("avg"),
    "variance": _of_floats("varSampStable"),
    "stddev": _of_floats("stddevSampStable"),
    "count_distinct": _count_distinct,
    "any_true": _of_bools("max"),
    "all_true": _of_bools("min"),
}
