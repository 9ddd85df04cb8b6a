"""A plan as canonical text: the same specs always give the same lines, so that a diff is short."""

from __future__ import annotations

from pipelinekit.plan.estimate import VALUE_BYTES, StateEstimate, state_estimate
from pipelinekit.plan.model import KeyPlan, MeasurePlan, MetricPlan, Plan, SourcePlan, StagePlan
from pipelinekit.plan.tables import tables_of
from pipelinekit.spec.expressions.render import render as render_expression
from pipelinekit.spec.expressions.tree import OTHER
from pipelinekit.units import format_bytes, format_duration

_MANY_KEYS = 1_000


def render(plan: Plan) -> str:
    """The plan's text, one fact a line."""
    source = plan.source
    lines = [
        f"job {plan.job} ({plan.environment})",
        f"  source {source.name}: topic {source.topic} at {source.brokers}, {source.format}",
        f"    time {source.event_time}, {format_duration(source.out_of_orderness_ms)} out of order"
        f", idle after {format_duration(source.idle_after_ms)}"
        f", future beyond {format_duration(source.max_future_skew_ms)}",
        *([] if source.security is None else [f"    security {_setting(source.security)}"]),
        f"    id {source.id or 'none'}, dead letters to {source.dead_letters_topic or 'nowhere'}",
    ]
    for field in source.fields:
        where = (
            f'header "{field.header}"'
            if field.header is not None
            else " or ".join(".".join(path) for path in field.paths)
        )
        unit = f" in {field.unit}" if field.unit != "ms" else ""
        rule = "optional" if field.optional else "required"
        if field.default is not None:
            rule = f"default {field.default}"
        lines.append(f"    field {field.name}: {field.type}{unit} from {where}, {rule}")
    for metric in plan.metrics:
        lines += _metric(metric, source)
    for stage in plan.stages:
        lines += _stage(stage)
    for sink in plan.sinks:
        settings = " ".join(f"{k}={_setting(v)}" for k, v in sorted(sink.settings.items()))
        budget = sink.budget
        lines.append(
            f"  sink {sink.name}: {sink.type} {settings}".rstrip()
            + f", {budget.rows_per_second} rows/s, {budget.inserts_per_second} inserts/s"
        )
    return "\n".join(lines) + "\n"


def _metric(metric: MetricPlan, source: SourcePlan) -> list[str]:
    lines = [f"  metric {metric.name} version {metric.version} [{metric.fingerprint}]"]
    if metric.filter is not None:
        lines.append(f"    filter {render_expression(metric.filter)}")
    lines += [f"    key {_key(key)}" for key in metric.key]
    lines += [f"    measure {_measure(measure)}" for measure in metric.measures]
    if str(metric.window) != metric.window.suffix:
        lines.append(f"    window {metric.window}")
    lateness = format_duration(metric.allowed_lateness_ms)
    early, late = format_duration(metric.emit_early_ms), format_duration(metric.emit_late_ms)
    lines.append(f"    lateness {lateness}, rows each {early} while open, {late} after")
    for table in tables_of(metric):
        lines.append(f"    table {table.name} view {table.view}: to {', '.join(metric.sinks)}")
    lines.append(f"    state {_state(metric, source)}")
    return lines


def _stage(stage: StagePlan) -> list[str]:
    metric = stage.metric
    lines = [f"  metric {metric.name} over the rows of {stage.over} [{metric.fingerprint}]"]
    if metric.filter is not None:
        lines.append(f"    filter {render_expression(metric.filter)}")
    lines += [f"    key {_key(key)}" for key in metric.key]
    lines += [f"    measure {_measure(measure)}" for measure in metric.measures]
    lines += [
        f"    window {metric.window}",
        f"    view {metric.name}: to {', '.join(metric.sinks)}",
    ]
    return lines


def _key(key: KeyPlan) -> str:
    folded = "" if key.values is None else f", one of {', '.join(key.values)} or {OTHER}"
    watched = "" if key.max_values is None else f", alert beyond {key.max_values} values"
    return f"{key.name}: {key.type} = {render_expression(key.expression)}{folded}{watched}"


def _measure(measure: MeasurePlan) -> str:
    if measure.derived is not None:
        text = render_expression(measure.derived)
    else:
        text = f"{measure.measure}({', '.join(render_expression(a) for a in measure.arguments)})"
    if measure.filter is not None:
        text += f" where {render_expression(measure.filter)}"
    if measure.max_values is not None:
        text += f", at most {measure.max_values} values"
    hidden = ", hidden" if measure.hidden else ""
    hidden += ", its state too" if measure.state is not None else ""
    null = " or null" if measure.nullable else ""
    return f"{measure.name}: {measure.type}{null} = {text}{hidden}"


def _state(metric: MetricPlan, source: SourcePlan) -> str:
    """How many windows are held at once, what a row of one costs, and what all may come to."""
    estimate = state_estimate(metric, source)
    held = ", ".join(f"{count} windows of {grain}" for grain, count in estimate.windows)
    row = f"about {format_bytes(estimate.row_bytes)}"
    if estimate.has_sets:
        row += f" and {VALUE_BYTES} B a distinct value"
    if estimate.sketch_bytes:
        row += f", {format_bytes(estimate.row_bytes + estimate.sketch_bytes)} with full sketches"
    if estimate.rows_max is None:
        many = _sizes(estimate, _MANY_KEYS)
        return f"{held}; a row a key and window, {row}: {_MANY_KEYS:,} keys in each are {many}"
    rows = estimate.rows_max
    return f"{held}; at most {rows} rows each, {row}: at most {_sizes(estimate, rows)}"


def _sizes(estimate: StateEstimate, rows: int) -> str:
    """What so many rows in each window take: from few values in them to full sketches."""
    held = rows * estimate.windows_held
    least, growth = held * estimate.row_bytes, held * estimate.sketch_bytes
    return f"{format_bytes(least)}{f' to {format_bytes(least + growth)}' if growth else ''}"


def _setting(value: object) -> str:
    if isinstance(value, dict) and set(value) == {"secret"}:
        return f"<secret {value['secret']}>"
    return str(value)
