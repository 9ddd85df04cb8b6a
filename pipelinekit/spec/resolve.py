"""A project's metrics with every name looked up and every expression typed; parsed once, kept."""

from __future__ import annotations

from pipelinekit.diagnostics import Diagnostic
from pipelinekit.spec.document import Path, Scalar
from pipelinekit.spec.keys import keys_of
from pipelinekit.spec.measures import measures_of
from pipelinekit.spec.models.metric import MetricSpec
from pipelinekit.spec.models.source import SourceSpec
from pipelinekit.spec.notes import Notes, nearest
from pipelinekit.spec.project import Loaded, Project
from pipelinekit.spec.resolved import (
    Resolved,
    ResolvedKey,
    ResolvedMeasure,
    ResolvedMetric,
    ResolvedStage,
)
from pipelinekit.spec.stages import stage_of
from pipelinekit.spec.windows import grains_of
from pipelinekit.types import Type

__all__ = [
    "Resolved", "ResolvedKey", "ResolvedMeasure", "ResolvedMetric", "ResolvedStage", "field_types",
    "resolve",
]  # fmt: skip


def resolve(project: Project, twin: Resolved | None = None) -> Resolved:
    """Every metric of the project resolved, or findings that say why not.

    What the project shares with its `twin` (`load`) is taken over from there.
    """
    metrics = {}
    findings: list[Diagnostic] = []
    for name, loaded in project.metrics.items():
        if twin is not None and (same := _shared(project, name, twin)) is not None:
            metrics[name] = same
            continue
        notes = Notes(loaded)
        metric = _metric(project, loaded, notes)
        findings += notes.findings
        is_whole = ("metric", name) not in project.unread
        has_window = metric is not None and bool(metric.grains)  # else a finding of its shape
        if metric is not None and has_window and is_whole and not notes.findings:
            metrics[name] = metric
    stages = {}
    for name, stage in project.stages.items():
        notes = Notes(stage)
        resolved = stage_of(project, stage, metrics, notes)
        findings += notes.findings
        is_whole = ("metric", name) not in project.unread
        if resolved is not None and resolved.grains and is_whole and not notes.findings:
            stages[name] = resolved
    return Resolved(project, metrics, tuple(findings), stages)


def _shared(project: Project, name: str, twin: Resolved) -> ResolvedMetric | None:
    """The twin's metric, if it and all that it names are the project's own."""
    metric, loaded = twin.metrics.get(name), project.metrics[name]
    if metric is None or metric.loaded is not loaded:
        return None
    is_whole = ("metric", name) not in project.unread
    has_source = metric.source is project.sources.get(loaded.spec.source)
    has_sinks = all(sink in project.sinks for sink in loaded.spec.sink)
    return metric if is_whole and has_source and has_sinks else None


def field_types(source: SourceSpec) -> dict[str, Type]:
    """The typed columns that expressions may use."""
    return {name: spec.type for name, spec in source.fields.items()}


def _metric(project: Project, loaded: Loaded[MetricSpec], notes: Notes) -> ResolvedMetric | None:
    spec = loaded.spec
    has_sinks = _check_sinks(project, spec, notes)
    grains = grains_of(spec, notes)
    source = project.sources.get(spec.source)
    if source is None:
        if ("source", spec.source) not in project.unread:
            help = nearest(
                spec.source, project.sources, "source", else_=f"add sources/{spec.source}.yaml"
            )
            notes.add("PK402", f'there is no source "{spec.source}"', ("source",), help)
        return None
    types = field_types(source.spec)
    where = notes.condition(spec.filter, types, ("filter",))
    keys = keys_of(spec, types, notes)
    measures = measures_of(spec, source.spec, types, notes)
    resolved = ResolvedMetric(loaded, source, where, keys, measures, grains)
    return resolved if has_sinks else None


def _check_sinks(project: Project, spec: MetricSpec, notes: Notes) -> bool:
    """Whether all sinks are there; those that are nowhere are noted."""
    written = notes.loaded.document.node(("sink",)) or (
        notes.loaded.defaults and notes.loaded.defaults.node(("defaults", "sink"))
    )
    missing = [(place, name) for place, name in enumerate(spec.sink) if name not in project.sinks]
    for place, name in missing:
        if ("sink", name) in project.unread:
            continue
        path: Path = ("sink",) if isinstance(written, Scalar) else ("sink", place)
        help = nearest(name, project.sinks, "sink", else_=f"add sinks/{name}.yaml")
        notes.add("PK404", f'there is no sink "{name}"', path, help)
    return not missing
