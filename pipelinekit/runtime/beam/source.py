"""Reading as a splittable DoFn: one unbounded element a shard, ended after each slice.

A slice's outputs carry the watermark as it stood before the slice, and that is what the estimator
publishes: at a checkpoint a runner may emit the watermark before the bundle's outputs.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import apache_beam as beam
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.metrics import Metrics
from apache_beam.transforms.core import RestrictionProvider
from apache_beam.utils.timestamp import MAX_TIMESTAMP, MIN_TIMESTAMP, Timestamp

from pipelinekit.clock import SystemClock
from pipelinekit.data import DeadLetter, LedgerEntry
from pipelinekit.engine.ingest import Ingest, Partial
from pipelinekit.engine.lateness import NO_TIME, PartitionTime, ShardTime
from pipelinekit.engine.ledger import Ledger
from pipelinekit.errors import Unreachable
from pipelinekit.runtime.beam.blobs import encode_partials
from pipelinekit.runtime.beam.job import BeamJob
from pipelinekit.runtime.beam.read_ahead import ReadAhead, Taken
from pipelinekit.runtime.beam.restriction import (
    ShardRestriction,
    ShardRestrictionCoder,
    ShardTracker,
)
from pipelinekit.runtime.collector import settle_collector
from pipelinekit.runtime.floors import continued_ledger
from pipelinekit.runtime.outside import make_source
from pipelinekit.runtime.reading import ReadSettings, ShardRead, Step, alignment_ms

DEAD_LETTERS = "dead_letters"
LEDGER = "ledger"
_LOOK_EVERY_MS = 10_000  # for new partitions
_LEDGER_EVERY_MS = 1_000
_TOKEN_BITS = 63


@dataclass(slots=True, eq=False)
class _Open:
    """A shard's reader, standing where the claim of that token stands."""

    shard: int
    token: int
    source: Any
    ahead: ReadAhead
    ledger: Ledger
    partitions: Mapping[int, PartitionTime]
    lag: int | None = None
    ledger_due_ms: int = 0
    look_due_ms: int = 0

    def close(self) -> None:
        self.ahead.close()
        self.source.close()


# Of this process, by submission and shard. Taken out while in use: what failed isn't put back.
_OPEN: dict[tuple[str, int], _Open] = {}


@dataclass(slots=True)
class _Gathered:
    """What the claims of one slice gave."""

    partials: dict[int, list[Partial]] = field(default_factory=dict)
    letters: list[DeadLetter] = field(default_factory=list)
    messages: int = 0
    watermark_ms: int | None = None  # before the first of them


class ReadShard(beam.DoFn, RestrictionProvider):  # type: ignore[misc]
    """Shard → (bucket, partials) pairs; dead letters and ledger entries as tagged outputs."""

    def __init__(self, job: BeamJob) -> None:
        self._job = job
        self._fingerprints = {m.id: m.fingerprint for m in job.plan.metrics}
        self._messages = Metrics.counter("pipelinekit", "messages")
        self._dead = Metrics.counter("pipelinekit", "dead_letters")

    def setup(self) -> None:
        settle_collector()

    # --- the restriction ------------------------------------------------------------------------

    def initial_restriction(self, element: int) -> ShardRestriction:
        mine = {p: o for p, o in self._job.positions.items() if p % self._job.shards == element}
        return ShardRestriction(
            shard=element,
            partitions={p: PartitionTime(o) for p, o in mine.items()},
            out_of_orderness_ms=self._job.plan.source.out_of_orderness_ms,
            metrics=self._fingerprints,
            ledger=Ledger(),
        )

    def create_tracker(self, restriction: ShardRestriction) -> ShardTracker:
        return ShardTracker(restriction)

    def restriction_coder(self) -> ShardRestrictionCoder:
        return ShardRestrictionCoder()

    def restriction_size(self, element: int, restriction: ShardRestriction) -> int:
        return 1

    def truncate(self, element: int, restriction: ShardRestriction) -> None:
        """A drain stops reading at once."""

    # --- reading --------------------------------------------------------------------------------

    @beam.DoFn.unbounded_per_element()
    def process(
        self,
        element: int,
        tracker: Any = beam.DoFn.RestrictionParam(),
        estimator: Any = beam.DoFn.WatermarkEstimatorParam(
            ManualWatermarkEstimator.default_provider()
        ),
    ) -> Iterator[Any]:
        """One slice of the shard; ends by giving the rest back, unless nothing is left."""
        opened = self._take(tracker.current_restriction())
        gathered = _Gathered()
        is_done = False
        for taken, claim in self._steps(opened, tracker.current_restriction()):
            if not tracker.try_claim(claim):
                opened.close()  # it stands beyond the claim
                yield from self._outputs(gathered)
                return
            opened.token = claim.token
            is_done = claim.is_done
            self._gather(gathered, taken.step)
        now_ms = SystemClock().now_ms()
        if is_done or now_ms >= opened.ledger_due_ms:
            opened.ledger_due_ms = now_ms + _LEDGER_EVERY_MS
            yield beam.pvalue.TaggedOutput(LEDGER, self._entries(opened))
        yield from self._outputs(gathered)
        if opened.lag is not None:
            Metrics.gauge("pipelinekit", f"lag_{element}").set(opened.lag)
        if is_done:
            opened.close()
            return
        _publish(estimator, gathered.watermark_ms)
        _OPEN[(self._job.run, element)] = opened
        tracker.defer_remainder()

    def _steps(
        self, opened: _Open, restriction: ShardRestriction
    ) -> Iterator[tuple[Taken, ShardRestriction]]:
        """Steps and where each leaves the shard: one when caught up, more when behind."""
        until = time.monotonic() + self._job.behind_ms / 1000
        # The state is the job's of now from its first claim on.
        restriction = replace(
            restriction,
            out_of_orderness_ms=self._job.plan.source.out_of_orderness_ms,
            metrics=self._fingerprints,
        )
        while True:
            self._add_partitions(opened)
            taken = opened.ahead.step()
            if taken.step.slice is not None:
                opened.ledger.add(taken.step.slice.counts)
            opened.partitions, opened.lag = taken.partitions, taken.lag
            restriction = replace(
                restriction,
                partitions=taken.partitions,
                published_ms=taken.published_ms,
                ledger=Ledger(dict(opened.ledger.counts), dict(opened.ledger.metric_base)),
                token=secrets.randbits(_TOKEN_BITS),
                is_done=taken.is_done,
            )
            yield taken, restriction
            if taken.is_done or not taken.is_full or time.monotonic() >= until:
                return

    def _gather(self, gathered: _Gathered, step: Step) -> None:
        if gathered.watermark_ms is None:
            gathered.watermark_ms = step.watermark_ms
        if step.slice is None:
            return
        gathered.messages += step.slice.messages
        gathered.letters += step.slice.dead_letters
        for partial in step.slice.partials:
            gathered.partials.setdefault(partial.bucket, []).append(partial)

    def _outputs(self, gathered: _Gathered) -> Iterator[Any]:
        self._messages.inc(gathered.messages)
        if gathered.letters:
            self._dead.inc(len(gathered.letters))
            yield beam.pvalue.TaggedOutput(DEAD_LETTERS, gathered.letters)
        at = timestamp(gathered.watermark_ms)
        for bucket, partials in gathered.partials.items():
            blob = encode_partials(partials)
            yield beam.window.TimestampedValue((bucket_key(bucket), blob), at)

    def _entries(self, opened: _Open) -> list[LedgerEntry]:
        plan = self._job.plan
        offsets = {p: t.next_offset for p, t in opened.partitions.items()}
        return opened.ledger.entries(
            plan.job,
            plan.source.name,
            offsets,
            epoch=self._job.epoch,
            metrics=[m.id for m in plan.metrics],
        )

    # --- the reader -----------------------------------------------------------------------------

    def _take(self, restriction: ShardRestriction) -> _Open:
        """The process's reader if it stands where the restriction does, else a new one."""
        held = _OPEN.pop((self._job.run, restriction.shard), None)
        if held is not None:
            if held.token == restriction.token:
                return held
            held.close()
        return self._reopened(restriction)

    def _reopened(self, restriction: ShardRestriction) -> _Open:
        job, plan = self._job, self._job.plan
        ledger = continued_ledger(
            restriction.ledger, restriction.metrics, plan.metrics, restriction.partitions
        )
        bound = plan.source.out_of_orderness_ms
        times = dict(restriction.partitions)
        if bound != restriction.out_of_orderness_ms:
            times = {p: t.rebased(bound) for p, t in times.items()}
        source = make_source(plan.source, job.pace_ms)
        read = ShardRead(
            source.open({p: t.next_offset for p, t in times.items()}),
            Ingest(plan.source, plan.metrics, {m.id: job.bounds(m) for m in plan.metrics},
                   job.buckets),
            ShardTime(bound, plan.source.idle_after_ms, times, restriction.published_ms),
            ReadSettings(alignment_ms(plan), source.log_append_time(), job.stop_at),
            SystemClock(),
        )  # fmt: skip
        return _Open(restriction.shard, restriction.token, source, ReadAhead(read), ledger, times)

    def _add_partitions(self, opened: _Open) -> None:
        now_ms = SystemClock().now_ms()
        if self._job.stop_at is not None or now_ms < opened.look_due_ms:
            return
        opened.look_due_ms = now_ms + _LOOK_EVERY_MS
        try:
            there = opened.source.partitions()
        except Unreachable:
            return  # the reader meets it too, and waits
        new = {
            p: 0
            for p in there
            if p % self._job.shards == opened.shard and p not in opened.partitions
        }
        if new:
            opened.ahead.add(new)


def bucket_key(bucket: int) -> bytes:
    """The key of a bucket's state."""
    return b"%04d" % bucket


def _publish(estimator: Any, watermark_ms: int | None) -> None:
    if watermark_ms is None or watermark_ms == NO_TIME:
        return
    mark = timestamp(watermark_ms)
    current = estimator.current_watermark()
    if current is None or mark > current:
        estimator.set_watermark(mark)


def timestamp(time_ms: int | None) -> Timestamp:
    """Of a watermark in ms; Beam's least for none."""
    if time_ms is None or time_ms == NO_TIME:
        return MIN_TIMESTAMP
    return min(max(Timestamp(micros=time_ms * 1000), MIN_TIMESTAMP), MAX_TIMESTAMP)
