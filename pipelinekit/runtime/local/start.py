"""Where a run begins: positions, floors and epoch, from what is asked and what is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from pipelinekit.engine.ingest import Bounds
from pipelinekit.engine.lateness import NO_TIME, PartitionTime
from pipelinekit.engine.ledger import Ledger
from pipelinekit.errors import Refused
from pipelinekit.plan.model import MetricPlan, Plan
from pipelinekit.runtime.local.state import JobState, MetricState


class StartFrom(Enum):
    EARLIEST = "earliest"
    LATEST = "latest"
    STORED = "stored"


@dataclass(frozen=True, slots=True)
class Start:
    """The state to begin with. `restores`: metrics whose saved rows are still theirs.

    `notes` say in words what differs from the run before.
    """

    state: JobState
    restores: frozenset[str]
    notes: tuple[str, ...] = ()

    def bounds(self) -> dict[str, Bounds]:
        return {name: Bounds(m.floor_ms) for name, m in self.state.metrics.items()}


def fresh_start(
    plan: Plan,
    *,
    positions: Mapping[int, int],
    floor_after_ms: int,
    epoch: int,
    shards: int,
    buckets: int,
    topic_id: str,
) -> Start:
    """A job without a past. `floor_after_ms`: windows up to the boundary after it don't count."""
    state = JobState(
        job=plan.job,
        epoch=epoch,
        shards=shards,
        buckets=buckets,
        topic_id=topic_id,
        out_of_orderness_ms=plan.source.out_of_orderness_ms,
        partitions={p: PartitionTime(o) for p, o in positions.items()},
        first_offsets=dict(positions),
        messages_read=dict.fromkeys(positions, 0),
        metrics={m.name: _metric_state(m, _floor(m, floor_after_ms)) for m in plan.metrics},
    )
    return Start(state, frozenset())


def resumed(plan: Plan, stored: JobState, topic_id: str, buckets: int) -> Start:
    """The job as it was left; metrics that are new or changed since start at the next boundary.

    Raises Refused when the topic is another one than the stored positions belong to.
    """
    if stored.topic_id and topic_id and stored.topic_id != topic_id:
        raise Refused(
            f'topic "{plan.source.topic}" was made anew since the last run: the stored positions '
            "belong to the one before",
            help="decide where to go on: --from earliest or --from latest",
        )
    greatest = max((t.greatest_ms for t in stored.partitions.values()), default=NO_TIME)
    partitions = {
        p: t.rebased(plan.source.out_of_orderness_ms) for p, t in stored.partitions.items()
    }
    ledger = Ledger(dict(stored.ledger.counts), dict(stored.ledger.metric_base))
    metrics: dict[str, MetricState] = {}
    restores = set()
    notes = []
    for metric in plan.metrics:
        before = stored.metrics.get(metric.name)
        if before is not None and before.fingerprint == metric.fingerprint:
            metrics[metric.name], added = _continued(metric, before, greatest)
            restores.add(metric.name)
            notes += [
                f"measure {metric.name}.{name} is new: it counts {when}" for name, when in added
            ]
            continue
        floor = _floor(metric, greatest)
        metrics[metric.name] = _metric_state(metric, floor)
        ledger.start_metric(metric.name, stored.partitions)
        what = "is new" if before is None else "has changed"
        notes.append(f"metric {metric.name} {what}: it counts {_when(floor)}")
    for name in stored.metrics.keys() - metrics.keys():
        ledger.drop_metric(name)
        notes.append(f"metric {name} is gone: its state is dropped, its tables stay")
    state = replace(
        stored,
        buckets=buckets,
        out_of_orderness_ms=plan.source.out_of_orderness_ms,
        partitions=partitions,
        ledger=ledger,
        metrics=metrics,
    )
    return Start(state, frozenset(restores), tuple(notes))


def _continued(
    metric: MetricPlan, before: MetricState, greatest_ms: int
) -> tuple[MetricState, Sequence[tuple[str, str]]]:
    """The metric's state with its measures of now; those that are new get a floor of their own."""
    measures = _measures(metric)
    floors = {n: f for n, f in before.measure_floors.items() if n in measures}
    added = []
    for name, fingerprint in measures.items():
        if before.measures.get(name) != fingerprint:
            floors[name] = _floor(metric, greatest_ms)
            added.append((name, _when(floors[name])))
    return MetricState(metric.fingerprint, measures, before.floor_ms, floors), added


def _metric_state(metric: MetricPlan, floor_ms: int) -> MetricState:
    return MetricState(metric.fingerprint, _measures(metric), floor_ms)


def _measures(metric: MetricPlan) -> dict[str, str]:
    return {m.name: m.fingerprint for m in metric.measures if m.measure is not None}


def _floor(metric: MetricPlan, after_ms: int) -> int:
    """The next boundary of the metric's coarsest grain."""
    if after_ms == NO_TIME:
        return NO_TIME
    coarsest = metric.grains[-1]
    return coarsest.end(coarsest.start(after_ms))


def _when(floor_ms: int) -> str:
    if floor_ms == NO_TIME:
        return "from the first event on"
    import datetime as dt

    time = dt.datetime.fromtimestamp(floor_ms / 1000, dt.UTC)
    return f"windows from {time:%Y-%m-%d %H:%M:%S} UTC on"
