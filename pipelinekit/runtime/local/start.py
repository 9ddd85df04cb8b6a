"""Where a run begins: positions, floors and epoch, from what is asked and what is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from pipelinekit.engine.lateness import NO_TIME, PartitionTime
from pipelinekit.engine.placing import Bounds
from pipelinekit.errors import Refused
from pipelinekit.plan.model import Plan
from pipelinekit.runtime.floors import continued, continued_ledger, fresh
from pipelinekit.runtime.local.state import JobState


class StartFrom(Enum):
    EARLIEST = "earliest"
    LATEST = "latest"
    STORED = "stored"


@dataclass(frozen=True, slots=True)
class Start:
    """The state to begin with. `notes` say in words what differs from the run before."""

    state: JobState
    notes: tuple[str, ...] = ()

    def bounds(self) -> dict[str, Bounds]:
        return {name: m.bounds for name, m in self.state.metrics.items()}


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
        plan=plan,
        epoch=epoch,
        shards=shards,
        buckets=buckets,
        topic_id=topic_id,
        out_of_orderness_ms=plan.source.out_of_orderness_ms,
        partitions={p: PartitionTime(o) for p, o in positions.items()},
        first_offsets=dict(positions),
        messages_read=dict.fromkeys(positions, 0),
        metrics=fresh(plan, floor_after_ms),
    )
    return Start(state)


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
    goes_on = continued(
        plan, stored.plan, stored.metrics, after_ms=greatest, watermark_ms=stored.watermark_ms
    )
    before = {name: m.fingerprint for name, m in stored.metrics.items()}
    state = replace(
        stored,
        plan=goes_on.plan,
        buckets=buckets,
        out_of_orderness_ms=plan.source.out_of_orderness_ms,
        partitions=partitions,
        ledger=continued_ledger(stored.ledger, before, goes_on.plan.metrics, stored.partitions),
        metrics=dict(goes_on.metrics),
    )
    return Start(state, goes_on.notes)
