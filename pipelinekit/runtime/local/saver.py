"""The checkpoint thread: puts a checkpoint on disk once all that left before it is acknowledged."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipelinekit.connectors.base import DeadLetterQueue
from pipelinekit.data import DeadLetter, LedgerEntry
from pipelinekit.engine.pane import PaneId
from pipelinekit.engine.panes import PaneRows
from pipelinekit.errors import Unreachable
from pipelinekit.runtime.local.checkpoint import CheckpointStore
from pipelinekit.runtime.local.state import JobState
from pipelinekit.runtime.local.writer import SinkWriter


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """What is to be saved. `tickets`: the last write before it, per sink.

    `held_letters` may leave once it stands, `closed` (per metric and grain, ms) may be announced;
    `raised` are the partitions whose raise it holds.
    """

    state: JobState
    rows: Sequence[PaneRows]
    live: Mapping[PaneId, int]
    tickets: Mapping[str, int]
    held_letters: Sequence[DeadLetter]
    ledger: Sequence[LedgerEntry]
    closed: Mapping[tuple[str, str], int]
    raised: frozenset[int]


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """`error` is None when the checkpoint stands."""

    checkpoint: Checkpoint
    bytes_written: int
    seconds: float
    error: str | None = None


@dataclass(slots=True, eq=False)
class Saver:
    """One checkpoint at a time: submit, then ask `is_idle` or `wait`, then `take_outcome`."""

    store: CheckpointStore
    writers: Mapping[str, SinkWriter]
    dead_letters: DeadLetterQueue | None
    give_up: threading.Event
    must_save_everything: bool = False
    fatal: BaseException | None = None
    _work: Checkpoint | None = None
    _outcome: Outcome | None = None
    _closed: bool = False
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="checkpoint", daemon=True)
        self._thread.start()

    @property
    def is_idle(self) -> bool:
        return self._work is None

    def submit(self, checkpoint: Checkpoint) -> None:
        with self._changed:
            self._work = checkpoint
            self._changed.notify_all()

    def wait(self) -> None:
        """Until the checkpoint in the making stands or failed."""
        with self._changed:
            self._changed.wait_for(lambda: self._work is None or self.fatal is not None)

    def take_outcome(self) -> Outcome | None:
        outcome, self._outcome = self._outcome, None
        return outcome

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._work is not None or self._closed)
                work = self._work
            if work is None:
                return
            try:
                outcome = self._save(work)
            except BaseException as error:
                self.fatal = error
                outcome = Outcome(work, 0, 0.0, str(error))
            self.must_save_everything = outcome.error is not None
            with self._changed:
                self._outcome = outcome
                self._work = None
                self._changed.notify_all()

    def _save(self, work: Checkpoint) -> Outcome:
        began = time.monotonic()
        before = self.store.bytes_written
        try:
            segment = self.store.write_segment(work.state.number, work.rows)
            for name, ticket in work.tickets.items():
                writer = self.writers[name]
                if not writer.wait_for(ticket):
                    why = writer.trouble or (writer.error.message if writer.error else "stopped")
                    return Outcome(work, 0, time.monotonic() - began, f"sink {name}: {why}")
            if problem := self._flush_letters():
                return Outcome(work, 0, time.monotonic() - began, problem)
            self.store.commit(work.state, segment, work.live)
        except OSError as error:
            place = self.store.folder
            message = f"{error.strerror or error} at {place}; the checkpoint before stays"
            return Outcome(work, 0, time.monotonic() - began, message)
        written = self.store.bytes_written - before
        return Outcome(work, written, time.monotonic() - began)

    def _flush_letters(self) -> str | None:
        """Why the dead letters could not be delivered; waits for them while the run goes on."""
        if self.dead_letters is None:
            return None
        while True:
            try:
                self.dead_letters.flush()
            except Unreachable as error:
                if self.give_up.is_set():
                    return error.message
            else:
                return None
