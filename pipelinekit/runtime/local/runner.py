"""The local runner: shards read and ingest, one thread merges and flushes, sinks write behind.

shard threads ──queue──▶ this thread: panes ──queue──▶ one writer thread a sink
                 ▲           │ every 5 s
              barriers       └──▶ checkpoint thread: segment, acknowledgements, manifest
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipelinekit.clock import Clock, SystemClock
from pipelinekit.connectors.base import DeadLetterQueue, Sink, Source
from pipelinekit.engine.key_values import KeyTotals
from pipelinekit.engine.lateness import PartitionTime
from pipelinekit.errors import PipelinekitError, Unreachable
from pipelinekit.plan.model import Plan
from pipelinekit.runtime.local.barriers import Barriers
from pipelinekit.runtime.local.checkpoint import CheckpointStore
from pipelinekit.runtime.local.checkpointing import Checkpointing
from pipelinekit.runtime.local.flusher import Flusher
from pipelinekit.runtime.local.latency import Latency
from pipelinekit.runtime.local.letters import Letters
from pipelinekit.runtime.local.merged import Merged
from pipelinekit.runtime.local.options import RunOptions
from pipelinekit.runtime.local.saver import Saver
from pipelinekit.runtime.local.shard import (
    Barrier,
    Ended,
    Message,
    Output,
)
from pipelinekit.runtime.local.start import begin, open_shards, partition_times, restored_panes
from pipelinekit.runtime.local.status import Status
from pipelinekit.runtime.local.topic import TopicWatch
from pipelinekit.runtime.local.writer import SinkWriter
from pipelinekit.runtime.reading import ReadSettings, alignment_ms


@dataclass(slots=True, eq=False)
class LocalRunner:
    """`run` blocks until `stop` is called, the end is reached, or something is refused.

    The caller owns source, sinks and queue, and closes them after.
    """

    plan: Plan
    source: Source
    sinks: Mapping[str, Sink]
    dead_letters: DeadLetterQueue | None
    state_folder: Path
    options: RunOptions = field(default_factory=RunOptions)
    clock: Clock = field(default_factory=SystemClock)
    status: Status = field(default_factory=Status)
    started: threading.Event = field(default_factory=threading.Event)  # `status.notes` are there
    _stop: threading.Event = field(default_factory=threading.Event)
    _give_up: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        """End gracefully: flush, checkpoint. May be called from any thread or a signal."""
        self._stop.set()

    @property
    def is_stopping(self) -> bool:
        return self._stop.is_set()

    def run(self) -> Status:
        """Run the job. Raises Unreachable or Refused; what was promised is on disk then."""
        store = CheckpointStore(self.state_folder)
        try:
            job = _Job(self, store, stop=self._stop, give_up=self._give_up)
            return job.run()
        finally:
            store.close()


class _Job:
    """One run: its parts, and the loop that hands on between them."""

    def __init__(
        self,
        runner: LocalRunner,
        store: CheckpointStore,
        *,
        stop: threading.Event,
        give_up: threading.Event,
    ) -> None:
        self._runner = runner
        self._options = options = runner.options
        self._clock = clock = runner.clock
        self._status = runner.status
        self._stop = stop
        self._give_up = give_up
        self._topic = TopicWatch(runner.source, runner.source.bounds())
        self._start = begin(
            runner.plan,
            options,
            store,
            runner.source,
            runner.sinks,
            offsets=self._topic.bounds,
            now_ms=clock.now_ms(),
        )
        state = self._start.state
        self._plan = state.plan  # with the retired metrics
        self._writers = {
            name: SinkWriter(name, sink, clock, give_up) for name, sink in runner.sinks.items()
        }
        self._merged = Merged(
            restored_panes(self._start, store),
            partition_times(state, self._topic.bounds),
            state.ledger,
            dict(state.messages_read),
            state.shards,
        )
        self._out: queue.Queue[Message] = queue.Queue(options.slices_queued_max)
        self._shards = open_shards(
            self._start,
            runner.source,
            self._merged.times,
            ReadSettings(
                alignment_ms(self._plan),
                getattr(runner.source, "log_append_time", lambda: True)(),
                self._topic.ends if options.until_end else None,
            ),
            clock,
            self._out,
        )
        self._ended: set[int] = set()
        self._barriers = Barriers(len(self._shards))
        self._letters = Letters(runner.dead_letters)
        self._latency = Latency.of(self._plan) if self._writers else None
        self._status.latency = self._latency
        self._status.key_totals = KeyTotals(self._plan.metrics)
        # Of the metrics of now: a table's rows go where its metric's rows go.
        sinks_of = {m.name: m.sinks for m in reversed(self._plan.metrics)}
        self._flusher = Flusher(self._merged, self._writers, sinks_of, self._latency)
        self._saver = Saver(store, self._writers, runner.dead_letters, give_up)
        self._checkpoints = Checkpointing(
            state,
            store,
            self._saver,
            self._merged,
            self._flusher,
            self._letters,
            self._status,
            clock,
            every_ms=options.checkpoint_every_ms,
            number=state.number,
            next_ms=clock.now_ms() + options.checkpoint_every_ms,
        )
        self._next_look_ms = clock.now_ms() + options.look_every_ms

    def run(self) -> Status:
        self._status.notes = self._start.notes
        self._runner.started.set()
        for writer in self._writers.values():
            writer.start()
        self._saver.start()
        for shard in self._shards:
            shard.start()
        try:
            self._loop()
            self._finish()
        finally:
            self._give_up.set()
            for shard in self._shards:
                shard.stop()
            self._drain_until_ended()
            self._saver.close()
            for writer in self._writers.values():
                writer.close()
        return self._status

    # --- the loop -----------------------------------------------------------------------------

    def _loop(self) -> None:
        while len(self._ended) < len(self._shards):
            if self._stop.is_set():
                for shard in self._shards:
                    shard.stop()
            self._check_failures()
            now_ms = self._clock.now_ms()
            self._flusher.flush(now_ms)
            self._status.is_stretched = self._flusher.is_stretched
            if self._is_stalled(now_ms):
                self._stop.wait(0.05)
                if self._stop.is_set():
                    return
                continue
            self._take_messages()
            self._watch(now_ms)

    def _take_messages(self) -> None:
        """All that is waiting, or one after a little while."""
        try:
            self._handle(self._out.get(timeout=0.01))
            for _ in range(self._options.slices_queued_max):
                self._handle(self._out.get_nowait())
        except queue.Empty:
            pass

    def _handle(self, message: Message) -> None:
        if self._barriers.parks(message):
            return
        match message:
            case Output():
                self._merge(message)
            case Barrier():
                self._reach(message)
            case Ended(shard=shard, error=error):
                if error is not None:
                    raise error
                self._ended.add(shard)

    def _merge(self, output: Output) -> None:
        now_ms = self._clock.now_ms()
        self._merged.add(output.shard, output.step, now_ms)
        self._status.watermark_ms = self._merged.watermark_ms
        result = output.step.slice
        if result is not None:
            if self._latency is not None:
                self._latency.merged(result.accepted_broker_ms)
            self._letters.bury(result.dead_letters, self._merged.raised)
            self._status.count(result, now_ms)

    def _reach(self, barrier: Barrier) -> None:
        cut = self._barriers.reach(barrier)
        if cut is not None:  # what is merged now is the checkpoint
            self._merged.times.update(cut.times)
            self._checkpoints.save(cut.published_ms)
            for message in cut.beyond:
                self._handle(message)

    def _watch(self, now_ms: int) -> None:
        """What happens now and then: checkpoints, new partitions."""
        self._checkpoints.settle()
        if self._checkpoints.is_due(now_ms) and not self._barriers.are_aligning and not self._ended:
            number = self._checkpoints.next_number(now_ms)
            for shard in self._shards:
                shard.request_barrier(number)
        self._status.lag = self._topic.lag
        if now_ms >= self._next_look_ms:
            self._next_look_ms = now_ms + self._options.look_every_ms
            if not self._topic.is_looking:
                self._add_partitions()
                self._topic.look(self._merged.times)
        if self._latency is not None:
            self._latency.acknowledged(self._writers[self._latency.writer].acknowledged)
        self._look_at_parts()

    def _add_partitions(self) -> None:
        if self._options.until_end:
            return
        for partition in self._topic.added(self._merged.times):
            shard = self._shards[partition % len(self._shards)]
            time = PartitionTime(0, watermark_ms=shard.time.published_ms)
            self._merged.times[partition] = time
            shard.add({partition: 0})

    def _is_stalled(self, now_ms: int) -> bool:
        """Whether some sink has taken nothing for long: then nothing more is read."""
        self._status.stalled_by = self._flusher.stalled_by(now_ms, self._options.stall_ms)
        if self._status.stalled_by is not None:
            self._look_at_parts()
        return self._status.stalled_by is not None

    def _look_at_parts(self) -> None:
        self._status.look(self._shards, self._writers, self._merged.panes)

    def _check_failures(self) -> None:
        for writer in self._writers.values():
            if writer.error is not None:
                raise writer.error
        error = self._saver.fatal
        if isinstance(error, PipelinekitError):
            raise error

    # --- the end ------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Write all that changed, checkpoint, and with --until-end close every window."""
        now_ms = self._clock.now_ms()
        self._wait_for_checkpoint()
        self._check_failures()
        self._flusher.flush_everything(now_ms)
        self._status.is_stretched = False
        self._checkpoints.next_number(now_ms)
        self._checkpoints.save({shard.number: shard.time.published_ms for shard in self._shards})
        if not self._wait_for_checkpoint():
            self._check_failures()
            self._explain_unsaved()
        if self._options.until_end and not self._stop.is_set():
            self._merged.close_all()
            self._flusher.flush_everything(self._clock.now_ms())
        self._flusher.wait()
        self._letters.flush()
        self._check_failures()
        self._look_at_parts()
        ledger = self._merged.ledger
        self._status.ledger = ledger
        self._status.imbalances = ledger.imbalances(
            self._merged.messages_read, [m.id for m in self._plan.metrics]
        )

    def _wait_for_checkpoint(self) -> bool:
        """At a stop nobody waits for a sink that doesn't answer."""
        return self._checkpoints.wait(give_up=self._stop.is_set())

    def _explain_unsaved(self) -> None:
        error = self._status.checkpoint_error
        raise Unreachable(
            f"the last rows could not be written: {error}",
            help="nothing is lost: the next run goes on from the checkpoint before",
        )

    def _drain_until_ended(self) -> None:
        """Let shards that wait for room in the queue see that they must stop."""
        while any(s.is_alive for s in self._shards):
            try:
                self._out.get(timeout=0.05)
            except queue.Empty:
                continue
