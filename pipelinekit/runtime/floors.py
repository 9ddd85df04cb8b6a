"""What a job's rows were made with, and from where on a metric that is new or changed counts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipelinekit.engine.lateness import NO_TIME
from pipelinekit.plan.model import MetricPlan, Plan


@dataclass(frozen=True, slots=True)
class MetricState:
    """What a metric's rows were made with; `floor_ms`: windows that start before don't count."""

    fingerprint: str
    measures: Mapping[str, str]
    floor_ms: int = NO_TIME
    measure_floors: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Continued:
    """A plan's metrics as they go on from a stored state.

    `restores`: those whose rows are still theirs; `notes` say in words what differs.
    """

    metrics: Mapping[str, MetricState]
    restores: frozenset[str]
    notes: tuple[str, ...]


def fresh(plan: Plan, after_ms: int) -> dict[str, MetricState]:
    """Metrics without a past. Windows up to the boundary after `after_ms` don't count."""
    return {m.name: _state(m, floor_after(m, after_ms)) for m in plan.metrics}


def continued(plan: Plan, stored: Mapping[str, MetricState], after_ms: int) -> Continued:
    """The plan's metrics after a state; those new or changed start at the boundary after."""
    metrics: dict[str, MetricState] = {}
    restores = set()
    notes = []
    for metric in plan.metrics:
        before = stored.get(metric.name)
        if before is not None and before.fingerprint == metric.fingerprint:
            metrics[metric.name], added = _with_measures(metric, before, after_ms)
            restores.add(metric.name)
            notes += [
                f"measure {metric.name}.{name} is new: it counts {when}" for name, when in added
            ]
            continue
        floor = floor_after(metric, after_ms)
        metrics[metric.name] = _state(metric, floor)
        what = "is new" if before is None else "has changed"
        notes.append(f"metric {metric.name} {what}: it counts {_when(floor)}")
    notes += [
        f"metric {name} is gone: its state is dropped, its tables stay"
        for name in stored.keys() - metrics.keys()
    ]
    return Continued(metrics, frozenset(restores), tuple(notes))


def floor_after(metric: MetricPlan, after_ms: int) -> int:
    """The next boundary of the metric's coarsest grain."""
    if after_ms == NO_TIME:
        return NO_TIME
    coarsest = metric.grains[-1]
    return coarsest.end(coarsest.start(after_ms))


def _with_measures(
    metric: MetricPlan, before: MetricState, after_ms: int
) -> tuple[MetricState, Sequence[tuple[str, str]]]:
    """The metric's state with its measures of now; those that are new get a floor of their own."""
    measures = _measures(metric)
    floors = {n: f for n, f in before.measure_floors.items() if n in measures}
    added = []
    for name, fingerprint in measures.items():
        if before.measures.get(name) != fingerprint:
            floors[name] = floor_after(metric, after_ms)
            added.append((name, _when(floors[name])))
    return MetricState(metric.fingerprint, measures, before.floor_ms, floors), added


def _state(metric: MetricPlan, floor_ms: int) -> MetricState:
    return MetricState(metric.fingerprint, _measures(metric), floor_ms)


def _measures(metric: MetricPlan) -> dict[str, str]:
    return {m.name: m.fingerprint for m in metric.measures if m.measure is not None}


def _when(floor_ms: int) -> str:
    if floor_ms == NO_TIME:
        return "from the first event on"
    time = dt.datetime.fromtimestamp(floor_ms / 1000, dt.UTC)
    return f"windows from {time:%Y-%m-%d %H:%M:%S} UTC on"
