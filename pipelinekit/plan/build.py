"""Resolved specs → Plans: one job for each source, with the metrics that read it."""

from __future__ import annotations

from collections.abc import Collection

from pipelinekit.codecs.base import FieldSpec
from pipelinekit.connectors.base import Budget
from pipelinekit.plan.fingerprint import fingerprint, measure_fingerprint, metric_fingerprint
from pipelinekit.plan.model import (
    KeyPlan,
    MeasurePlan,
    MetricPlan,
    Plan,
    SinkPlan,
    SourcePlan,
    StagePlan,
)
from pipelinekit.spec.expressions.render import render
from pipelinekit.spec.expressions.tree import Expression, fields_of
from pipelinekit.spec.models.source import SourceSpec
from pipelinekit.spec.project import LOCAL, Project
from pipelinekit.spec.resolve import Resolved, ResolvedMeasure, ResolvedMetric, ResolvedStage

_EARLY_MS = 200
_LATE_MS = 1_000
_BASE_SETTINGS = frozenset(("kind", "name", "description", "owner", "manage", "budget", "type"))


def build(resolved: Resolved, only: Collection[str] | None = None) -> tuple[Plan, ...]:
    """The plans of the metrics (of `only` those and what they are over, if given), by source name.

    The resolved project must have no errors.
    """
    stages = [s for name, s in sorted(resolved.stages.items()) if only is None or name in only]
    over = {stage.over.spec.name for stage in stages}
    chosen = [
        m
        for name, m in sorted(resolved.metrics.items())
        if only is None or name in only or name in over
    ]
    sources = sorted({m.spec.source for m in chosen})
    return tuple(_job(resolved.project, source, chosen, stages) for source in sources)


def _job(
    project: Project,
    source_name: str,
    chosen: list[ResolvedMetric],
    stages: list[ResolvedStage],
) -> Plan:
    mine = [m for m in chosen if m.spec.source == source_name]
    metrics = tuple(_metric(m) for m in mine)
    sinks = sorted({sink for metric in metrics for sink in metric.sinks})
    return Plan(
        job=source_name,
        environment=project.environment,
        source=source_plan(project, project.sources[source_name].spec, _used(mine)),
        metrics=metrics,
        sinks=tuple(sink_plan(project, name) for name in sinks),
        stages=tuple(_stage(project, s) for s in stages if s.over.spec.source == source_name),
    )


def source_plan(project: Project, spec: SourceSpec, names: Collection[str]) -> SourcePlan:
    """The source with the fields of these names, and with those that it can't do without."""
    used = {*names, spec.event_time.field} | ({spec.id} if spec.id is not None else set())
    # A required field is part of what makes an event valid, used or not.
    required = {n for n, f in spec.fields.items() if not f.optional and f.default is None}
    return SourcePlan(
        name=spec.name,
        topic=spec.topic,
        brokers=spec.brokers,
        format=spec.format,
        fields=tuple(_field(spec, name) for name in spec.fields if name in used | required),
        event_time=spec.event_time.field,
        id=spec.id,
        out_of_orderness_ms=spec.event_time.out_of_orderness,
        idle_after_ms=spec.event_time.idle_after,
        max_future_skew_ms=spec.event_time.max_future_skew,
        dead_letters_topic=None if spec.dead_letters is None else spec.dead_letters.topic,
        manage=spec.manage or _managed(project),
        security=None if spec.security is None else spec.security.model_dump(exclude_none=True),
    )


def _field(source: SourceSpec, name: str) -> FieldSpec:
    spec = source.fields[name]
    texts = spec.from_ or [name]
    headers = [t.removeprefix("header:") for t in texts if t.startswith("header:")]
    return FieldSpec(
        name=name,
        type=spec.type,
        paths=tuple(tuple(t.split(".")) for t in texts if not t.startswith("header:")),
        header=headers[0] if headers else None,
        optional=spec.optional,
        default=spec.default,
        unit=spec.unit,
    )


def _metric(metric: ResolvedMetric) -> MetricPlan:
    spec = metric.spec
    key = tuple(KeyPlan(k.name, k.expression, k.values, k.max_values) for k in metric.key)
    early = spec.emit.early if spec.emit is not None else _EARLY_MS
    return MetricPlan(
        name=spec.name,
        version=spec.version,
        fingerprint=metric_fingerprint(key, metric.filter, metric.grains),
        filter=metric.filter,
        key=key,
        measures=tuple(_measure(m) for m in metric.measures),
        grains=metric.grains,
        allowed_lateness_ms=spec.lateness.allowed,
        emit_early_ms=min(early, metric.grains[0].approximate_ms),
        emit_late_ms=spec.emit.late if spec.emit is not None else _LATE_MS,
        sinks=tuple(spec.sink),
        description=spec.description,
        owner=spec.owner,
        slo_latency_p99_ms=spec.slo.latency_p99 if spec.slo else None,
        slo_freshness_ms=spec.slo.freshness if spec.slo else None,
    )


def _stage(project: Project, stage: ResolvedStage) -> StagePlan:
    spec, over = stage.spec, stage.over.spec
    key = tuple(KeyPlan(k.name, k.expression, k.values, k.max_values) for k in stage.key)
    metric = MetricPlan(
        name=spec.name,
        version=1,
        fingerprint=metric_fingerprint(key, stage.filter, stage.grains),
        filter=stage.filter,
        key=key,
        measures=tuple(_measure(m) for m in stage.measures),
        grains=stage.grains,
        allowed_lateness_ms=0,
        emit_early_ms=_EARLY_MS,
        emit_late_ms=_LATE_MS,
        sinks=tuple(s for s in over.sink if project.sinks[s].spec.type == "clickhouse"),
        description=spec.description,
        owner=spec.owner or over.owner,
    )
    return StagePlan(over.name, metric)


def _measure(measure: ResolvedMeasure) -> MeasurePlan:
    spec = measure.spec
    state = getattr(measure.kind, "state_type", None) if spec.state else None
    if measure.kind is not None:
        name = measure.kind.name
        mark = measure_fingerprint(name, measure.arguments, measure.filter, spec.max_values)
    else:
        assert measure.derived is not None
        name, mark = None, fingerprint("derived", render(measure.derived))
    return MeasurePlan(
        name=measure.name,
        measure=name,
        arguments=measure.arguments,
        filter=measure.filter,
        derived=measure.derived,
        max_values=spec.max_values,
        hidden=spec.hidden,
        type=measure.type,
        nullable=measure.nullable,
        fingerprint=mark,
        description=spec.description,
        unit=spec.unit,
        state=state,
    )


def sink_plan(project: Project, name: str) -> SinkPlan:
    """The sink of that name."""
    spec = project.sinks[name].spec
    settings = {
        k: v for k, v in spec.model_dump(exclude_none=True).items() if k not in _BASE_SETTINGS
    }
    budget = Budget(spec.budget.rows_per_second, spec.budget.inserts_per_second)
    return SinkPlan(name, spec.type, settings, budget, spec.manage or _managed(project))


def _managed(project: Project) -> str:
    """What may be created where nothing is said: all in `local`, nothing elsewhere."""
    return "full" if project.environment == LOCAL else "verify"


def _used(metrics: list[ResolvedMetric]) -> frozenset[str]:
    return frozenset().union(*(fields_of(e) for m in metrics for e in _expressions(m)))


def _expressions(metric: ResolvedMetric) -> list[Expression]:
    found = [k.expression for k in metric.key]
    if metric.filter is not None:
        found.append(metric.filter)
    for measure in metric.measures:
        found += measure.arguments
        if measure.filter is not None:
            found.append(measure.filter)
    return found
