"""What a job's rows were made with, and from where on a metric that is new or changed counts.

A metric whose key, filter or window changed becomes two: the new one counts from a boundary on,
the old one, retired, takes the windows before it to their end.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipelinekit.engine.lateness import NO_TIME
from pipelinekit.engine.ledger import Ledger
from pipelinekit.engine.placing import Bounds
from pipelinekit.plan.model import MetricPlan, Plan, SourcePlan
from pipelinekit.spec.expressions.tree import Expression, fields_of


@dataclass(frozen=True, slots=True)
class MetricState:
    """What a metric's rows were made with; windows that start in [floor, ceiling) count, in ms."""

    fingerprint: str
    measures: Mapping[str, str]
    floor_ms: int = NO_TIME
    measure_floors: Mapping[str, int] = field(default_factory=dict)
    ceiling_ms: int | None = None

    @property
    def bounds(self) -> Bounds:
        return Bounds(self.floor_ms, self.ceiling_ms)


@dataclass(frozen=True, slots=True)
class Continued:
    """A plan's metrics as they go on from a stored state, by id.

    `plan` holds the retired ones too; `notes` say in words what differs.
    """

    plan: Plan
    metrics: Mapping[str, MetricState]
    notes: tuple[str, ...]


def latest_ms(source: SourcePlan, now_ms: int) -> int:
    """The greatest time that an event may have that is on the log already, and is accepted.

    Windows that start later are whole for who reads from the end of the log.
    """
    return now_ms + source.max_future_skew_ms


def fresh_notes(metrics: Mapping[str, MetricState]) -> tuple[str, ...]:
    """In words from where on metrics without a past count; nothing for those that count all."""
    return tuple(
        f"metric {name} counts {_when(state.floor_ms)}"
        for name, state in sorted(metrics.items())
        if state.floor_ms != NO_TIME
    )


def fresh(plan: Plan, after_ms: int) -> dict[str, MetricState]:
    """Metrics without a past. Windows up to the boundary after `after_ms` don't count."""
    return {m.name: _state(m, floor_after(m, after_ms)) for m in plan.metrics}


def continued(
    plan: Plan,
    before: Plan,
    stored: Mapping[str, MetricState],
    *,
    after_ms: int,
    watermark_ms: int,
) -> Continued:
    """The plan's metrics after those of the plan before.

    What is new or changed starts at the boundary after `after_ms`. Retired metrics whose last
    window `watermark_ms` has passed are let go.
    """
    old = {m.id: m for m in before.metrics}
    metrics: dict[str, MetricState] = {}
    retired: dict[str, MetricPlan] = {
        m.id: m
        for m in before.metrics
        if m.is_retired and not _is_over(m, stored[m.id], watermark_ms)
    }
    notes = []
    for metric in plan.metrics:
        was = stored.get(metric.name)
        if was is not None and was.fingerprint == metric.fingerprint:
            metrics[metric.name], added = _with_measures(metric, was, after_ms)
            notes += [
                f"measure {metric.name}.{name} is new: it counts {when}" for name, when in added
            ]
            continue
        floor = floor_after(metric, after_ms)
        metrics[metric.name] = _state(metric, floor)
        what = "is new" if was is None else "has changed"
        notes.append(f"metric {metric.name} {what}: it counts {_when(floor)}")
        if was is not None and floor != NO_TIME:
            retiring = replace(old[metric.name], is_retired=True)
            retired[retiring.id] = retiring
            metrics[retiring.id] = replace(was, ceiling_ms=floor)
    current = {m.state_name for m in plan.metrics}
    kept, source = _that_can_run(plan, before, retired.values(), current)
    for one in kept:
        metrics.setdefault(one.id, stored.get(one.id) or metrics[one.id])
    for name in retired.keys() - {m.id for m in kept}:
        metrics.pop(name, None)
        notes.append(
            f"metric {old.get(name, retired[name]).name}: its older windows stay as they are"
        )
    notes += [
        f"metric {name} is gone: its state is dropped, its tables stay"
        for name in sorted({m.name for m in before.metrics} - {m.name for m in plan.metrics})
    ]
    together = replace(plan, source=source, metrics=(*plan.metrics, *kept))
    return Continued(together, metrics, tuple(notes))


def continued_ledger(
    ledger: Ledger,
    before: Mapping[str, str],
    metrics: Sequence[MetricPlan],
    partitions: Iterable[int],
) -> Ledger:
    """The counts for the metrics of now; `before` has the fingerprints, by id, that they are of.

    A metric that changed is one that retired, with its counts, and one that starts at nothing.
    """
    goes_on = Ledger(dict(ledger.counts), dict(ledger.metric_base))
    for metric in metrics:
        if metric.is_retired and metric.id not in before:
            goes_on.rename_metric(metric.name, metric.id)
    for metric in metrics:
        if not metric.is_retired and before.get(metric.name) != metric.fingerprint:
            goes_on.start_metric(metric.name, partitions)
    for name in before.keys() - {m.id for m in metrics}:
        goes_on.drop_metric(name)
    return goes_on


def floor_after(metric: MetricPlan, after_ms: int) -> int:
    """The next boundary of the metric's coarsest grain."""
    if after_ms == NO_TIME:
        return NO_TIME
    return metric.grains[-1].next_start(after_ms)


def _is_over(metric: MetricPlan, state: MetricState, watermark_ms: int) -> bool:
    """Whether a retired metric's last window is forgotten."""
    assert state.ceiling_ms is not None
    coarsest = metric.grains[-1]
    last_end = coarsest.end(coarsest.start(state.ceiling_ms - 1))
    return last_end + metric.allowed_lateness_ms <= watermark_ms


def _that_can_run(
    plan: Plan, before: Plan, retired: Iterable[MetricPlan], current: set[str]
) -> tuple[list[MetricPlan], SourcePlan]:
    """Retired metrics whose fields are as they were, and the source with those fields.

    A field that only they read decides no more whether an event is valid.
    """
    names = {m.name for m in plan.metrics}
    fields = {f.name: f for f in plan.source.fields}
    were = {f.name: f for f in before.source.fields}
    kept = []
    for metric in retired:
        wanted = _fields_read(metric)
        is_same = all(
            name in were and (name not in fields or fields[name].type == were[name].type)
            for name in wanted
        )
        if metric.name not in names or metric.state_name in current or not is_same:
            continue
        for name in sorted(wanted - fields.keys()):
            fields[name] = replace(were[name], optional=True)
        kept.append(metric)
    return kept, replace(plan.source, fields=tuple(fields.values()))


def _fields_read(metric: MetricPlan) -> set[str]:
    expressions: list[Expression] = [k.expression for k in metric.key]
    for measure in metric.measures:
        expressions += measure.arguments
        expressions += [] if measure.filter is None else [measure.filter]
    expressions += [] if metric.filter is None else [metric.filter]
    return set().union(*(fields_of(e) for e in expressions))


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
