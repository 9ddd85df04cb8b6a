"""What a run has merged so far: panes, partitions' times, counts. A checkpoint is a cut of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipelinekit.data import LedgerEntry
from pipelinekit.engine.lateness import END_OF_TIME, NO_TIME, PartitionTime
from pipelinekit.engine.ledger import Ledger
from pipelinekit.engine.panes import PaneStore
from pipelinekit.runtime.local.state import JobState
from pipelinekit.runtime.reading import Step


@dataclass(slots=True, eq=False)
class Merged:
    """All that the shards' steps have come to; `panes` by bucket. The run's own thread changes it.

    `raised` are partitions whose watermark was raised by idleness, in no checkpoint yet: what was
    decided under it waits for one. `watermark_ms` is that of all shards once each has told its own.
    """

    panes: Sequence[PaneStore]
    times: dict[int, PartitionTime]
    ledger: Ledger
    messages_read: dict[int, int]
    shards: int
    raised: set[int] = field(default_factory=set)
    watermark_ms: int = NO_TIME
    _published: dict[int, int] = field(default_factory=dict)

    def add(self, shard: int, step: Step, now_ms: int) -> None:
        """Merge what one step of a shard gave."""
        self.raised |= step.raised
        result = step.slice
        if result is not None:
            for partial in result.partials:
                self.panes[partial.bucket].merge(partial, now_ms)
            self.ledger.add(result.counts)
            self.times.update(result.partitions)
            for partition, count in result.read.items():
                read = self.messages_read.get(partition, 0)
                self.messages_read[partition] = read + count
        # After its data: the watermark as it stood before them.
        self._published[shard] = step.watermark_ms
        if len(self._published) == self.shards:
            self.watermark_ms = min(self._published.values())
            for panes in self.panes:
                panes.advance(self.watermark_ms)

    def close_all(self) -> None:
        """Call every window closed. No checkpoint may follow."""
        for panes in self.panes:
            panes.advance(END_OF_TIME)
        self.raised.clear()

    def closed_through(self) -> dict[tuple[str, str], int]:
        """Per metric and grain the end of the last window that closed in every bucket, in ms."""
        closed: dict[tuple[str, str], int] = {}
        for panes in self.panes:
            for grain, through_ms in panes.closed_through().items():
                closed[grain] = min(through_ms, closed.get(grain, through_ms))
        return closed

    def state(self, begun: JobState, number: int, published: Mapping[int, int]) -> JobState:
        """The job's state as of now, with the watermarks that the shards published."""
        return replace(
            begun,
            number=number,
            watermark_ms=min(published.values(), default=NO_TIME),
            partitions=dict(self.times),
            published_ms=dict(published),
            ledger=Ledger(dict(self.ledger.counts), dict(self.ledger.metric_base)),
            messages_read=dict(self.messages_read),
        )


def ledger_entries(state: JobState) -> Sequence[LedgerEntry]:
    """The state's counts as sinks take them."""
    return state.ledger.entries(
        state.job,
        state.plan.source.name,
        {p: t.next_offset for p, t in state.partitions.items()},
        epoch=state.epoch,
        metrics=[m.id for m in state.plan.metrics],
    )
