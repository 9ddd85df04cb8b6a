"""A metric over another metric's rows: its names looked up among that metric's columns."""

from __future__ import annotations

from collections.abc import Mapping

from pipelinekit.spec.keys import keys_of
from pipelinekit.spec.measures import measures_of
from pipelinekit.spec.models.metric import StageSpec
from pipelinekit.spec.notes import Notes, nearest
from pipelinekit.spec.project import Loaded, Project
from pipelinekit.spec.resolved import ResolvedMetric, ResolvedStage
from pipelinekit.spec.windows import window_of
from pipelinekit.types import FLOAT, INT, TIMESTAMP, Kind, Type
from pipelinekit.windows.base import Window
from pipelinekit.windows.nesting import why_not_nested
from pipelinekit.windows.session import Session
from pipelinekit.windows.tumbling import CalendarTumbling, Tumbling

ROW_SECONDS = "_seconds"  # how long the row's window is
_OF_ROWS: Mapping[str, Type] = {
    "window_start": TIMESTAMP,
    "window_end": TIMESTAMP,
    "_events": INT,
    "_late": INT,
    ROW_SECONDS: FLOAT,
}


def stage_of(
    project: Project, loaded: Loaded[StageSpec], metrics: Mapping[str, ResolvedMetric], notes: Notes
) -> ResolvedStage | None:
    """The stage, or None where it or the metric that it is over has findings."""
    spec = loaded.spec
    window = window_of(spec.window, notes)
    over = _over(project, spec, metrics, notes)
    if over is None:
        return None
    if window is not None:
        _check_windows(over.grains[0], window, notes)
    _check_sinks(project, over, notes)
    types = row_types(over)
    where = notes.condition(spec.filter, types, ("filter",))
    keys = keys_of(spec, types, notes)
    _check_keys(spec, notes)
    measures = measures_of(spec, None, types, notes)
    grains = () if window is None else (window,)
    return ResolvedStage(loaded, over, where, keys, measures, grains)


def row_types(metric: ResolvedMetric) -> dict[str, Type]:
    """The columns of a metric's rows that expressions over them may read."""
    # A list is null in no store, so that the view could not tell one from an empty one.
    shown = {
        m.name: m.type
        for m in metric.measures
        if not m.spec.hidden and m.type.kind not in (Kind.LIST, Kind.COUNTED)
    }
    return {**{k.name: k.expression.type for k in metric.key}, **shown, **_OF_ROWS}


def _over(
    project: Project, spec: StageSpec, metrics: Mapping[str, ResolvedMetric], notes: Notes
) -> ResolvedMetric | None:
    name = spec.from_
    if name in project.stages:
        message = f"{name} is itself over another metric's rows"
        help = f"read {project.stages[name].spec.from_}, which counts events"
        notes.add("PK372", message, ("from",), help)
        return None
    if name not in project.metrics and ("metric", name) not in project.unread:
        help = nearest(name, project.metrics, "metric", else_=f"add metrics/{name}.yaml")
        notes.add("PK372", f'there is no metric "{name}"', ("from",), help)
        return None
    return metrics.get(name)


def _check_keys(spec: StageSpec, notes: Notes) -> None:
    for place, key in enumerate(spec.key):
        if key.max_values is not None:
            message = "a metric over another's rows is a view: no run counts the values of its key"
            help = f"set it on the key of {spec.from_}"
            notes.add("PK209", message, ("key", place, "max_values"), help)


def _check_sinks(project: Project, over: ResolvedMetric, notes: Notes) -> None:
    types = [project.sinks[s].spec.type for s in over.spec.sink if s in project.sinks]
    if types and "clickhouse" not in types:
        message = f"{over.spec.name} writes to no ClickHouse, where the view would stand"
        notes.add("PK372", message, ("from",), "give that metric a sink of type: clickhouse")


def _check_windows(fine: Window, coarse: Window, notes: Notes) -> None:
    if not isinstance(coarse, Tumbling | CalendarTumbling):
        message = "a metric over another's rows has tumbling windows"
        notes.add("PK370", message, ("window",), "write { tumbling: 1h }")
    elif not isinstance(fine, Tumbling | CalendarTumbling | Session):
        message = f"the windows of {fine} overlap: an event would count in several rows"
        notes.add("PK370", message, ("from",), "take a metric with tumbling windows or sessions")
    elif not isinstance(fine, Session) and fine != coarse and (why := why_not_nested(fine, coarse)):
        message = f"windows of {coarse.suffix} do not follow from {fine.suffix} windows: {why}"
        notes.add("PK370", message, ("window",), "take windows made of whole windows")
