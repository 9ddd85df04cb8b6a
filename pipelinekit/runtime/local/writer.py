"""One thread a sink: writes in order, retries what is unreachable, counts what is acknowledged.

It keeps nothing back: what it has taken it writes, and a checkpoint waits for it. A sink's budget
is kept before rows are taken from the panes (`Pacer`), so that held-back rows are state.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipelinekit.clock import Clock
from pipelinekit.connectors.base import Budget, Sink
from pipelinekit.data import LedgerEntry, Progress, Upserts
from pipelinekit.errors import PipelinekitError, Unreachable

_RETRY_AFTER_S = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Write:
    """What leaves together, in this order."""

    upserts: Sequence[Upserts] = ()
    progress: Sequence[Progress] = ()
    ledger: Sequence[LedgerEntry] = ()
    newest_event_ms: int = 0


@dataclass(slots=True)
class Pacer:
    """Says how many rows a flush may take now, by the sink's budget; time in ms."""

    budget: Budget
    _rows: float = 0.0
    _inserts: float = 0.0
    _at_ms: int | None = None
    is_stretched: bool = False

    def rows_allowed(self, now_ms: int) -> int:
        """Rows that fit the budget; 0 while the budget of inserts is used up."""
        if self._at_ms is None:
            self._rows, self._inserts = self.budget.rows_per_second, self.budget.inserts_per_second
        else:
            passed = max(0, now_ms - self._at_ms) / 1000
            rows, inserts = self.budget.rows_per_second, self.budget.inserts_per_second
            self._rows = min(rows, self._rows + passed * rows)
            self._inserts = min(inserts, self._inserts + passed * inserts)
        self._at_ms = now_ms
        return int(self._rows) if self._inserts >= 1 else 0

    def spend(self, upserts: Sequence[Upserts]) -> None:
        """Inserts may go into debt: one flush is one insert for each of its tables."""
        self._rows -= sum(len(u) for u in upserts)
        self._inserts -= len(upserts)


@dataclass(slots=True, eq=False)
class SinkWriter:
    """Submit rows when it `is_idle`. Errors surface in `error`."""

    name: str
    sink: Sink
    clock: Clock
    stop_waiting: threading.Event
    submitted: int = 0
    done: int = 0
    rows_written: int = 0
    inserts: int = 0
    error: PipelinekitError | None = None
    trouble: str | None = None
    last_success_ms: int = 0
    acknowledged: deque[tuple[int, int]] = field(
        default_factory=lambda: deque(maxlen=10_000)
    )  # (number, at ms)
    # Short without a bound: rows come when it is idle, a checkpoint's news one at a time.
    _queue: queue.SimpleQueue[Write | None] = field(default_factory=queue.SimpleQueue)
    _busy_since_ms: int = 0
    _thread: threading.Thread | None = None
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def start(self) -> None:
        self.last_success_ms = self.clock.now_ms()
        self._thread = threading.Thread(target=self._run, name=f"sink-{self.name}", daemon=True)
        self._thread.start()

    @property
    def is_idle(self) -> bool:
        """Whether all that was submitted is written.

        Rows are taken from the panes only then: those that waited in a queue would grow old, and
        what came meanwhile would need writes of its own.
        """
        return self.done >= self.submitted

    def silent_ms(self, now_ms: int) -> int:
        """How long it has acknowledged nothing although it had something to write."""
        return 0 if self.is_idle else now_ms - max(self.last_success_ms, self._busy_since_ms)

    def submit(self, write: Write) -> int:
        """Queue a write; gives its number, for `wait_for`."""
        if self.is_idle:
            self._busy_since_ms = self.clock.now_ms()
        self.submitted += 1
        self._queue.put(write)
        return self.submitted

    def wait_for(self, number: int) -> bool:
        """Whether the write of that number, and all before, are acknowledged; waits for it."""
        with self._changed:
            self._changed.wait_for(
                lambda: self.done >= number or self.error is not None or self._gave_up()
            )
            return self.done >= number

    def close(self) -> None:
        """Write what is queued, then end; at once if `stop_waiting` is set and nothing answers."""
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join()

    def _gave_up(self) -> bool:
        return self.stop_waiting.is_set() and self.trouble is not None

    def _run(self) -> None:
        while (write := self._queue.get()) is not None:
            if self.error is None and not self._gave_up():
                self._write_until_done(write)
            with self._changed:
                self._changed.notify_all()

    def _write_until_done(self, write: Write) -> None:
        while True:
            try:
                self._write(write)
            except Unreachable as error:
                self.trouble = error.message
                with self._changed:
                    self._changed.notify_all()
                if self.stop_waiting.wait(_RETRY_AFTER_S):
                    return
            except PipelinekitError as error:
                self.error = error
                return
            else:
                self.trouble = None
                self.done += 1
                self.last_success_ms = self.clock.now_ms()
                self.acknowledged.append((self.done, self.last_success_ms))
                return

    def _write(self, write: Write) -> None:
        for upserts in write.upserts:
            self.sink.write(upserts)
            self.rows_written += len(upserts)
            self.inserts += 1
        if write.progress:
            self.sink.write_progress(write.progress)
        if write.ledger:
            self.sink.write_ledger(write.ledger)
