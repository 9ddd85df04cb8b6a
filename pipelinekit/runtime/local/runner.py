"""The local runner: shards read and ingest, one thread merges and flushes, sinks write behind.

shard threads ──queue──▶ this thread: panes ──queue──▶ one writer thread a sink
                 ▲           │ every 5 s
              barriers       └──▶ checkpoint thread: segment, acknowledgements, manifest
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipelinekit.clock import Clock, SystemClock
from pipelinekit.connectors.base import DeadLetterQueue, Sink, Source
from pipelinekit.data import DeadLetter, Progress, Reason, Upserts
from pipelinekit.engine.ingest import Ingest
from pipelinekit.engine.lateness import END_OF_TIME, NO_TIME, PartitionTime, ShardTime
from pipelinekit.engine.ledger import Ledger
from pipelinekit.engine.panes import Metric, PaneStore, rebucket
from pipelinekit.errors import PipelinekitError, Refused, Unreachable, UsageError
from pipelinekit.plan.model import Plan
from pipelinekit.plan.tables import tables_of
from pipelinekit.runtime.epoch import greatest_epoch
from pipelinekit.runtime.local.checkpoint import CheckpointStore
from pipelinekit.runtime.local.latency import Latency
from pipelinekit.runtime.local.saver import Checkpoint, Saver
from pipelinekit.runtime.local.shard import (
    Barrier,
    Ended,
    Message,
    Output,
    Shard,
    shard_partitions,
)
from pipelinekit.runtime.local.start import Start, StartFrom, fresh_start, resumed
from pipelinekit.runtime.local.state import JobState
from pipelinekit.runtime.local.status import Status
from pipelinekit.runtime.local.writer import Pacer, SinkWriter, Write
from pipelinekit.runtime.reading import ReadSettings, ShardRead, alignment_ms


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a job runs here. Times in ms."""

    start_from: StartFrom = StartFrom.STORED
    until_end: bool = False
    checkpoint_every_ms: int = 5_000
    shards: int | None = None  # 1, or those of the stored state
    buckets: int = 1
    look_every_ms: int = 2_000  # for new partitions, and the lag
    slices_queued_max: int = 16
    # A sink that has taken nothing for so long stops the reading: rows wait in state.
    stall_ms: int = 2_000


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
            job = _Job(self, store)
            return job.run()
        finally:
            store.close()


class _Job:
    """One run: everything that lives from start to end."""

    def __init__(self, runner: LocalRunner, store: CheckpointStore) -> None:
        self._runner = runner
        self._plan = runner.plan
        self._options = runner.options
        self._clock = runner.clock
        self._status = runner.status
        self._store = store
        self._bounds = runner.source.bounds()
        self._start = self._begin()
        state = self._start.state
        self._plan = state.plan  # with the retired metrics
        self._ledger = state.ledger
        self._messages_read = dict(state.messages_read)
        self._times: dict[int, PartitionTime] = dict(state.partitions)
        self._writers = {
            name: SinkWriter(name, sink, self._clock, runner._give_up)
            for name, sink in runner.sinks.items()
        }
        self._pacers = {name: Pacer(sink.budget) for name, sink in runner.sinks.items()}
        self._tables = {m.id: tables_of(m) for m in self._plan.metrics}
        # Of the metrics of now: a table's rows go where its metric's rows go.
        self._sinks_of = {m.name: m.sinks for m in reversed(self._plan.metrics)}
        self._panes = self._restored_panes()
        self._published: dict[int, int] = {}
        self._out: queue.Queue[Message] = queue.Queue(self._options.slices_queued_max)
        self._shards = self._make_shards()
        self._saver = Saver(store, self._writers, runner.dead_letters, runner._give_up)
        # The checkpoint in the making: which shards have sent their barrier.
        self._number = state.number
        self._barriers: dict[int, Barrier] = {}
        self._parked: dict[int, deque[Message]] = {}
        self._is_saving = False
        self._next_checkpoint_ms = self._clock.now_ms() + self._options.checkpoint_every_ms
        self._next_look_ms = self._clock.now_ms() + self._options.look_every_ms
        # Decided under a raise by idleness that no checkpoint holds yet.
        self._raised: set[int] = set()
        self._held_letters: list[DeadLetter] = []
        self._latency = self._make_latency()
        self._status.latency = self._latency
        self._looking: threading.Thread | None = None
        self._seen = self._bounds
        self._announced: dict[tuple[str, str], int] = {}
        self._ended: set[int] = set()

    # --- the run ------------------------------------------------------------------------------

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
            self._runner._give_up.set()
            for shard in self._shards:
                shard.stop()
            self._drain_until_ended()
            self._saver.close()
            for writer in self._writers.values():
                writer.close()
        return self._status

    def _loop(self) -> None:
        while len(self._ended) < len(self._shards):
            if self._runner._stop.is_set():
                for shard in self._shards:
                    shard.stop()
            self._check_failures()
            now_ms = self._clock.now_ms()
            self._flush(now_ms)
            if self._is_stalled(now_ms):
                self._runner._stop.wait(0.05)
                if self._runner._stop.is_set():
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
        parked = self._parked.get(message.shard)
        if parked is not None:  # beyond its barrier: belongs to the next checkpoint
            parked.append(message)
            return
        match message:
            case Output():
                self._merge(message)
            case Barrier():
                self._barriers[message.shard] = message
                self._parked[message.shard] = deque()
                if len(self._barriers) == len(self._shards):
                    self._checkpoint()
            case Ended(shard=shard, error=error):
                if error is not None:
                    raise error
                self._ended.add(shard)

    def _merge(self, output: Output) -> None:
        now_ms = self._clock.now_ms()
        self._raised |= output.step.raised
        result = output.step.slice
        if result is not None:
            for partial in result.partials:
                self._panes[partial.bucket].merge(partial, now_ms)
            if self._latency is not None:
                self._latency.merged(result.accepted_broker_ms)
            self._ledger.add(result.counts)
            for partition, time in result.partitions.items():
                self._times[partition] = time
            for partition, count in result.read.items():
                read = self._messages_read.get(partition, 0)
                self._messages_read[partition] = read + count
            self._bury(result.dead_letters)
            self._status.count(result, now_ms)
        # After its data: the watermark as it stood before them.
        self._published[output.shard] = output.step.watermark_ms
        if len(self._published) == len(self._shards):
            watermark = min(self._published.values())
            for panes in self._panes:
                panes.advance(watermark)
            self._status.watermark_ms = watermark

    def _bury(self, letters: Sequence[DeadLetter]) -> None:
        if not letters or self._runner.dead_letters is None:
            return
        ready = []
        for letter in letters:
            late = letter.reason is Reason.TOO_LATE
            if late and letter.partition in self._raised:
                self._held_letters.append(letter)
            else:
                ready.append(letter)
        if ready:
            self._runner.dead_letters.write(ready)

    # --- rows out -----------------------------------------------------------------------------

    def _flush(self, now_ms: int, *, everything: bool = False) -> None:
        if not everything:
            if not all(w.has_room for w in self._writers.values()):
                return
            if not any(panes.due(now_ms) for panes in self._panes):
                self._send_progress(now_ms)
                return
        allowed = min((p.rows_allowed(now_ms) for p in self._pacers.values()), default=2**31)
        if not everything and allowed <= 0:
            self._status.is_stretched = True
            return
        upserts: list[Upserts] = []
        for panes in self._panes:
            left = None if everything else allowed - sum(len(u) for u in upserts)
            if left is None or left > 0:
                upserts += panes.flush(now_ms, rows_max=left, everything=everything)
        self._status.is_stretched = not everything and sum(map(len, upserts)) >= allowed
        progress = self._progress(now_ms)
        tickets = {}
        for name, writer in self._writers.items():
            mine = [u for u in upserts if name in self._sinks_of[u.table.metric]]
            news = [p for p in progress if name in self._sinks_of[p.metric]]
            if mine or news:
                tickets[name] = writer.submit(Write(mine, news))
                self._pacers[name].spend(mine)
        if self._latency is not None:
            self._latency.flushed(tickets, [u.table.name for u in upserts])

    def _send_progress(self, now_ms: int) -> None:
        progress = self._progress(now_ms)
        for name, writer in self._writers.items():
            if news := [p for p in progress if name in self._sinks_of[p.metric]]:
                writer.submit(Write((), news))

    def _progress(self, now_ms: int) -> list[Progress]:
        """What closed in every bucket. Under an unsaved raise it waits for the checkpoint."""
        return [] if self._raised else self._news(self._closed_through(), now_ms)

    def _closed_through(self) -> dict[tuple[str, str], int]:
        closed: dict[tuple[str, str], int] = {}
        for panes in self._panes:
            for grain, through_ms in panes.closed_through().items():
                closed[grain] = min(through_ms, closed.get(grain, through_ms))
        return closed

    def _news(self, closed: Mapping[tuple[str, str], int], now_ms: int) -> list[Progress]:
        news = [
            Progress(metric, grain, through_ms, now_ms)
            for (metric, grain), through_ms in closed.items()
            if through_ms > self._announced.get((metric, grain), NO_TIME)
        ]
        self._announced |= {(p.metric, p.grain): p.closed_through_ms for p in news}
        return news

    # --- checkpoints --------------------------------------------------------------------------

    def _watch(self, now_ms: int) -> None:
        """What happens now and then: checkpoints, new partitions."""
        if self._is_saving and self._saver.is_idle:
            self._saved()
        if now_ms >= self._next_checkpoint_ms and not self._is_saving and not self._barriers:
            self._next_checkpoint_ms = now_ms + self._options.checkpoint_every_ms
            if not self._ended:
                self._number += 1
                for shard in self._shards:
                    shard.request_barrier(self._number)
        if now_ms >= self._next_look_ms:
            self._next_look_ms = now_ms + self._options.look_every_ms
            self._look_outside()
        if self._latency is not None:
            self._latency.acknowledged(self._writers[self._latency.writer].acknowledged)
        self._status.look(self._shards, self._writers, self._panes)

    def _checkpoint(self) -> None:
        """All shards stand at their barrier: what is merged now is the checkpoint."""
        for barrier in self._barriers.values():
            self._times.update(barrier.partitions)
        published = {s: b.published_ms for s, b in self._barriers.items()}
        self._save(published)
        self._barriers.clear()
        parked, self._parked = self._parked, {}
        for messages in parked.values():
            for message in messages:
                self._handle(message)

    def _save(self, published: Mapping[int, int]) -> None:
        sizes = {i: n for panes in self._panes for i, n in panes.pane_sizes().items()}
        whole = self._store.panes_to_save_whole(sizes)
        everything = self._saver.must_save_everything
        rows = [r for p in self._panes for r in p.changed_rows(whole, everything=everything)]
        state = replace(
            self._start.state,
            number=self._number,
            watermark_ms=min(published.values(), default=NO_TIME),
            partitions=dict(self._times),
            published_ms=dict(published),
            ledger=Ledger(dict(self._ledger.counts), dict(self._ledger.metric_base)),
            messages_read=dict(self._messages_read),
        )
        entries = state.ledger.entries(
            self._plan.job,
            self._plan.source.name,
            {p: t.next_offset for p, t in self._times.items()},
            epoch=state.epoch,
            metrics=[m.id for m in self._plan.metrics],
        )
        tickets = {name: writer.submitted for name, writer in self._writers.items()}
        letters, self._held_letters = self._held_letters, []
        self._saver.submit(
            Checkpoint(
                state,
                tuple(rows),
                sizes,
                tickets,
                tuple(letters),
                tuple(entries),
                self._closed_through(),
                frozenset(self._raised),
            )
        )
        self._is_saving = True

    def _saved(self) -> None:
        """The checkpoint stands, or failed and its letters come back."""
        self._is_saving = False
        outcome = self._saver.take_outcome()
        if outcome is None:
            return
        self._status.note_checkpoint(outcome)
        if outcome.error is not None:
            self._held_letters = [*outcome.checkpoint.held_letters, *self._held_letters]
            return
        self._release(outcome.checkpoint)

    def _release(self, checkpoint: Checkpoint) -> None:
        """What waited for this checkpoint leaves."""
        self._raised -= checkpoint.raised
        if checkpoint.held_letters and self._runner.dead_letters is not None:
            self._runner.dead_letters.write(checkpoint.held_letters)
        news = self._news(checkpoint.closed, self._clock.now_ms())
        for name, writer in self._writers.items():
            mine = [p for p in news if name in self._sinks_of[p.metric]]
            writer.submit(Write(progress=mine, ledger=checkpoint.ledger))

    # --- the end ------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Write all that changed, checkpoint, and with --until-end close every window."""
        now_ms = self._clock.now_ms()
        self._wait_for_saver()
        self._check_failures()
        self._flush(now_ms, everything=True)
        self._number += 1
        self._save({shard.number: shard.time.published_ms for shard in self._shards})
        if not self._wait_for_saver():
            self._check_failures()
            self._explain_unsaved()
        if self._options.until_end and not self._runner._stop.is_set():
            for panes in self._panes:
                panes.advance(END_OF_TIME)
            self._raised.clear()
            self._flush(self._clock.now_ms(), everything=True)
        for writer in self._writers.values():
            writer.wait_for(writer.submitted)
        if self._runner.dead_letters is not None:
            self._runner.dead_letters.flush()
        self._check_failures()
        self._status.look(self._shards, self._writers, self._panes)
        self._status.ledger = self._ledger
        self._status.imbalances = self._ledger.imbalances(
            self._messages_read, [m.id for m in self._plan.metrics]
        )

    def _wait_for_saver(self) -> bool:
        """Whether the checkpoint in the making, if any, stands now.

        At a stop nobody waits for a sink that doesn't answer.
        """
        if not self._is_saving:
            return True
        if self._runner._stop.is_set():
            self._runner._give_up.set()
        self._saver.wait()
        self._is_saving = False
        outcome = self._saver.take_outcome()
        if outcome is None:
            return False
        self._status.note_checkpoint(outcome)
        if outcome.error is not None:
            return False
        self._release(outcome.checkpoint)
        return True

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

    # --- private ------------------------------------------------------------------------------

    def _begin(self) -> Start:
        options = self._options
        source = self._runner.source
        topic_id = getattr(source, "topic_id", lambda: "")()
        manifest = self._store.load()
        self._manifest = manifest if options.start_from is StartFrom.STORED else None
        if self._manifest is not None:
            _refuse_other_shards(options.shards, self._manifest.state)
            return resumed(self._plan, self._manifest.state, topic_id, options.buckets)
        epoch = 1 + greatest_epoch(self._plan, self._runner.sinks)
        if manifest is not None:
            epoch = max(epoch, manifest.state.epoch + 1)
        latest = options.start_from is StartFrom.LATEST
        self._store.forget()
        return fresh_start(
            self._plan,
            positions={p: end if latest else first for p, (first, end) in self._bounds.items()},
            floor_after_ms=self._clock.now_ms() if latest else NO_TIME,
            epoch=epoch,
            shards=options.shards or 1,
            buckets=options.buckets,
            topic_id=topic_id,
        )

    def _restored_panes(self) -> list[PaneStore]:
        state = self._start.state
        metrics = [
            Metric(
                m,
                self._tables[m.id],
                self._start.bounds()[m.id],
                state.metrics[m.id].measure_floors,
            )
            for m in self._plan.metrics
        ]
        stores = [PaneStore(self._plan.source, metrics, state.epoch) for _ in range(state.buckets)]
        if self._manifest is not None:
            keys = {m.state_name: len(m.key) for m in self._plan.metrics}
            for saved in self._store.rows(self._manifest):
                if saved.id.metric in keys:
                    for bucket, part in rebucket(saved, keys[saved.id.metric], state.buckets):
                        stores[bucket].restore(part)
        for store in stores:
            store.advance(state.watermark_ms)
        return stores

    def _make_latency(self) -> Latency | None:
        """Of the metric whose rows leave most often."""
        if not self._writers or not self._plan.metrics:
            return None
        metric = min(self._plan.metrics, key=lambda m: (m.filter is not None, m.emit_early_ms))
        return Latency(metric.name, self._tables[metric.name][0].name, metric.sinks[0])

    def _make_shards(self) -> list[Shard]:
        state = self._start.state
        for partition, (first, _) in sorted(self._bounds.items()):
            if partition not in self._times:  # added while nobody ran
                start = state.published_ms.get(partition % state.shards, NO_TIME)
                self._times[partition] = PartitionTime(first, watermark_ms=start)
        self._check_positions()
        stop_at = {p: end for p, (_, end) in self._bounds.items()}
        settings = ReadSettings(
            align_ms=alignment_ms(self._plan),
            log_append_time=getattr(self._runner.source, "log_append_time", lambda: True)(),
            stop_at=stop_at if self._options.until_end else None,
        )
        shards = []
        for number, mine in enumerate(shard_partitions(sorted(self._times), state.shards)):
            times = {p: self._times[p] for p in mine}
            read = ShardRead(
                self._runner.source.open({p: t.next_offset for p, t in times.items()}),
                Ingest(self._plan.source, self._plan.metrics, self._start.bounds(), state.buckets),
                ShardTime(
                    self._plan.source.out_of_orderness_ms,
                    self._plan.source.idle_after_ms,
                    times,
                    state.published_ms.get(number, NO_TIME),
                ),
                settings,
                self._clock,
            )
            shards.append(Shard(number, read, self._out))
        return shards

    def _check_positions(self) -> None:
        for partition, time in self._times.items():
            if partition not in self._bounds:
                raise Refused(
                    f'topic "{self._plan.source.topic}" has no partition {partition} any more, '
                    f"and the stored position is {time.next_offset}",
                    help="decide where to go on: --from earliest or --from latest",
                )
            first, end = self._bounds[partition]
            if not first <= time.next_offset <= end:
                raise Refused(
                    f'topic "{self._plan.source.topic}" partition {partition}: the stored position '
                    f"{time.next_offset} is not there any more, offsets {first} to {end} are",
                    help="decide where to go on: --from earliest or --from latest",
                )

    def _look_outside(self) -> None:
        """In a thread of its own: a broker that doesn't answer must not hold up the run."""
        if self._looking is None or not self._looking.is_alive():
            self._add_partitions()
            self._looking = threading.Thread(target=self._look, name="look", daemon=True)
            self._looking.start()

    def _look(self) -> None:
        try:
            self._seen = self._runner.source.bounds()
        except PipelinekitError:
            return  # the readers meet it too, and say so
        ends = ((end, self._times.get(p)) for p, (_, end) in self._seen.items())
        self._status.lag = sum(max(0, end - (t.next_offset if t else 0)) for end, t in ends)

    def _add_partitions(self) -> None:
        if self._options.until_end:
            return
        for partition in sorted(self._seen):
            if partition not in self._times:
                shard = self._shards[partition % len(self._shards)]
                self._times[partition] = PartitionTime(0, watermark_ms=shard.time.published_ms)
                shard.add({partition: 0})

    def _is_stalled(self, now_ms: int) -> bool:
        """Whether some sink has taken nothing for long: then nothing more is read."""
        for writer in self._writers.values():
            if not writer.has_room and now_ms - writer.last_success_ms > self._options.stall_ms:
                self._status.stalled_by = writer.name
                self._status.look(self._shards, self._writers, self._panes)
                return True
        self._status.stalled_by = None
        return False

    def _check_failures(self) -> None:
        for writer in self._writers.values():
            if writer.error is not None:
                raise writer.error
        error = self._saver.fatal
        if isinstance(error, PipelinekitError):
            raise error


def _refuse_other_shards(asked: int | None, stored: JobState) -> None:
    if asked is not None and asked != stored.shards:
        raise UsageError(
            f"the stored state has {stored.shards} shards, {asked} were asked for",
            help="leave --shards out, or start anew with --from earliest",
        )
