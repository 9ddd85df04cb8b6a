"""Where a run begins: positions, floors, epoch and panes, from what is asked and what is stored."""

from __future__ import annotations

import queue
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pipelinekit.clock import Clock
from pipelinekit.connectors.base import Sink, Source
from pipelinekit.engine.ingest import Ingest
from pipelinekit.engine.lateness import NO_TIME, PartitionTime, ShardTime
from pipelinekit.engine.panes import Metric, PaneStore, rebucket
from pipelinekit.engine.placing import Bounds
from pipelinekit.errors import Refused, Unreachable, UsageError
from pipelinekit.plan.model import Plan
from pipelinekit.plan.tables import tables_of
from pipelinekit.runtime.epoch import greatest_epoch
from pipelinekit.runtime.floors import continued, continued_ledger, fresh, fresh_notes, latest_ms
from pipelinekit.runtime.local.checkpoint import CheckpointStore
from pipelinekit.runtime.local.options import RunOptions, StartFrom
from pipelinekit.runtime.local.shard import Message, Shard, shard_partitions
from pipelinekit.runtime.local.state import JobState, Manifest
from pipelinekit.runtime.reading import ReadSettings, ShardRead

Offsets = Mapping[int, tuple[int, int]]  # by partition the first offset and the end
_DECIDE = "decide where to go on: --from earliest or --from latest"


@dataclass(frozen=True, slots=True)
class Start:
    """The state to begin with. `notes` say in words what differs from the run before.

    `manifest` is the checkpoint that the panes are in, None for a job that starts anew.
    """

    state: JobState
    notes: tuple[str, ...] = ()
    manifest: Manifest | None = None

    def bounds(self) -> dict[str, Bounds]:
        return {name: m.bounds for name, m in self.state.metrics.items()}


def begin(
    plan: Plan,
    options: RunOptions,
    store: CheckpointStore,
    source: Source,
    sinks: Mapping[str, Sink],
    *,
    offsets: Offsets,
    now_ms: int,
) -> Start:
    """The start that the options ask for; what is stored is forgotten unless it goes on.

    Raises Refused for a state that can't go on, UsageError for another number of shards than its.
    """
    topic_id = getattr(source, "topic_id", lambda: "")()
    stored = store.load()
    if stored is not None and options.start_from is StartFrom.STORED:
        _refuse_other_shards(options.shards, stored.state)
        _refuse_overruled(plan, stored.state, sinks)
        start = resumed(plan, stored.state, topic_id, options.buckets)
        return replace(start, manifest=stored)
    written = greatest_epoch(plan, sinks)
    epoch = 1 + written
    if stored is not None:
        epoch = max(epoch, stored.state.epoch + 1)
    latest = options.start_from is StartFrom.LATEST
    store.forget()
    start = fresh_start(
        plan,
        positions={p: end if latest else first for p, (first, end) in offsets.items()},
        floor_after_ms=latest_ms(plan.source, now_ms) if latest else NO_TIME,
        epoch=epoch,
        shards=options.shards or 1,
        buckets=options.buckets,
        topic_id=topic_id,
    )
    if not written or stored is not None:
        return start
    note = (
        f"the tables hold rows of another run (epoch {written}): rows of this one (epoch {epoch}) "
        "take their place, and that other run's no more"
    )
    return replace(start, notes=(note, *start.notes))


def _refuse_overruled(plan: Plan, stored: JobState, sinks: Mapping[str, Sink]) -> None:
    """Rows of an older epoch than the tables hold would be written, and never be seen."""
    try:
        written = greatest_epoch(plan, sinks)
    except Unreachable:
        return  # the writers wait for it
    if written > stored.epoch:
        raise Refused(
            f"another run has written to the tables since (epoch {written}, this state is of "
            f"{stored.epoch}): rows of this one would not be seen",
            help="let one run write to a table; --from earliest counts anew, above its rows",
        )


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
    return Start(state, fresh_notes(state.metrics))


def resumed(plan: Plan, stored: JobState, topic_id: str, buckets: int) -> Start:
    """The job as it was left; metrics that are new or changed since start at the next boundary.

    Raises Refused when the topic is another one than the stored positions belong to.
    """
    if stored.topic_id and topic_id and stored.topic_id != topic_id:
        raise Refused(
            f'topic "{plan.source.topic}" was made anew since the last run: the stored positions '
            "belong to the one before",
            help=_DECIDE,
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


def partition_times(state: JobState, offsets: Offsets) -> dict[int, PartitionTime]:
    """Where every partition is read on, those included that were added while nobody ran.

    Raises Refused for a stored position that the topic doesn't have any more.
    """
    times = dict(state.partitions)
    for partition, (first, _) in sorted(offsets.items()):
        if partition not in times:
            watermark_ms = state.published_ms.get(partition % state.shards, NO_TIME)
            times[partition] = PartitionTime(first, watermark_ms=watermark_ms)
    topic = state.plan.source.topic
    for partition, time in times.items():
        if partition not in offsets:
            raise Refused(
                f'topic "{topic}" has no partition {partition} any more, '
                f"and the stored position is {time.next_offset}",
                help=_DECIDE,
            )
        first, end = offsets[partition]
        if not first <= time.next_offset <= end:
            raise Refused(
                f'topic "{topic}" partition {partition}: the stored position '
                f"{time.next_offset} is not there any more, offsets {first} to {end} are",
                help=_DECIDE,
            )
    return times


def restored_panes(start: Start, store: CheckpointStore) -> list[PaneStore]:
    """The panes of every bucket, with the rows of the start's checkpoint."""
    state = start.state
    bounds = start.bounds()
    metrics = [
        Metric(m, tables_of(m), bounds[m.id], state.metrics[m.id].measure_floors)
        for m in state.plan.metrics
    ]
    stores = [PaneStore(state.plan.source, metrics, state.epoch) for _ in range(state.buckets)]
    if start.manifest is not None:
        keys = {m.state_name: len(m.key) for m in state.plan.metrics}
        for saved in store.rows(start.manifest):
            if saved.id.metric in keys:
                for bucket, part in rebucket(saved, keys[saved.id.metric], state.buckets):
                    stores[bucket].restore(part)
    for panes in stores:
        panes.advance(state.watermark_ms)
    return stores


def open_shards(
    start: Start,
    source: Source,
    times: Mapping[int, PartitionTime],
    settings: ReadSettings,
    clock: Clock,
    out: queue.Queue[Message],
) -> list[Shard]:
    """The shards that will read on from `times`, each with its reader open."""
    state, plan = start.state, start.state.plan.source
    shards = []
    for number, mine in enumerate(shard_partitions(sorted(times), state.shards)):
        read = ShardRead(
            source.open({p: times[p].next_offset for p in mine}),
            Ingest(plan, state.plan.metrics, start.bounds(), state.buckets),
            ShardTime(
                plan.out_of_orderness_ms,
                plan.idle_after_ms,
                {p: times[p] for p in mine},
                state.published_ms.get(number, NO_TIME),
            ),
            settings,
            clock,
        )
        shards.append(Shard(number, read, out))
    return shards


def _refuse_other_shards(asked: int | None, stored: JobState) -> None:
    if asked is not None and asked != stored.shards:
        raise UsageError(
            f"the stored state has {stored.shards} shards, {asked} were asked for",
            help="leave --shards out, or start anew with --from earliest",
        )
