"""What a run says of itself: counts, lags, troubles, as one line and as plain data."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pipelinekit.engine.ingest import Slice
from pipelinekit.engine.key_values import KeyTotals
from pipelinekit.engine.lateness import NO_TIME
from pipelinekit.engine.ledger import Ledger
from pipelinekit.engine.panes import PaneStore
from pipelinekit.reasons import Reason
from pipelinekit.runtime.local.latency import Latency
from pipelinekit.runtime.local.saver import Outcome as SavedOutcome
from pipelinekit.units import format_bytes

_RATE_OVER_MS = 2_000
_NAMES_SHOWN = 3  # of one kind of cause


class _Troubled(Protocol):
    @property
    def trouble(self) -> str | None: ...


class _Writer(_Troubled, Protocol):
    name: str
    rows_written: int
    inserts: int


@dataclass(slots=True)
class Status:
    """Updated by the run's own thread; reading it from another shows a moment, unlocked."""

    events: int = 0
    dead_letters: dict[str, int] = field(default_factory=dict)
    rows_written: int = 0
    inserts: int = 0
    watermark_ms: int = NO_TIME
    newest_event_ms: int = NO_TIME
    lag: int | None = None
    waiting_rows: int = 0
    held_rows: int = 0
    is_stretched: bool = False
    stalled_by: str | None = None
    troubles: tuple[str, ...] = ()
    checkpoints: int = 0
    checkpoint_bytes: int = 0
    checkpoint_seconds: float = 0.0
    checkpoint_error: str | None = None
    orphans: int = 0
    overflows: Counter[str] = field(default_factory=Counter)  # rows, by metric.measure
    key_totals: KeyTotals = field(default_factory=KeyTotals)
    notes: tuple[str, ...] = ()
    latency: Latency | None = None
    ledger: Ledger = field(default_factory=Ledger)
    imbalances: Sequence[str] = ()
    _recent: deque[tuple[int, int]] = field(default_factory=deque)
    _looked: int = 0

    def count(self, slice: Slice, now_ms: int) -> None:
        """Note what a slice brought."""
        self.events += slice.messages
        self.newest_event_ms = max(self.newest_event_ms, slice.newest_event_ms)
        for letter in slice.dead_letters:
            reason = letter.reason.value
            self.dead_letters[reason] = self.dead_letters.get(reason, 0) + 1
        self._recent.append((now_ms, slice.messages))
        while self._recent and now_ms - self._recent[0][0] > _RATE_OVER_MS:
            self._recent.popleft()

    def note_checkpoint(self, outcome: SavedOutcome) -> None:
        self.checkpoint_error = outcome.error
        if outcome.error is None:
            self.checkpoints += 1
            self.checkpoint_bytes = outcome.bytes_written
            self.checkpoint_seconds = outcome.seconds

    def look(
        self,
        shards: Sequence[_Troubled],
        writers: Mapping[str, _Writer],
        panes: Sequence[PaneStore],
    ) -> None:
        """Note what the parts say of themselves."""
        self.rows_written = sum(w.rows_written for w in writers.values())
        self.inserts = sum(w.inserts for w in writers.values())
        found = [t for s in shards if (t := s.trouble)]
        found += [f"{w.name}: {w.trouble}" for w in writers.values() if w.trouble]
        self.troubles = tuple(dict.fromkeys(found))
        self.orphans = sum(p.orphans for p in panes)
        self.overflows = sum((p.overflows for p in panes), Counter())
        for bucket, store in enumerate(panes):
            self.key_totals.add(bucket, store.take_key_counts())
        self._looked += 1
        if self._looked % 16 == 0:  # these walk the panes
            self.waiting_rows = sum(p.waiting_rows for p in panes)
            self.held_rows = sum(p.held_rows for p in panes)
            self.key_totals.forget(min(p.watermark_ms for p in panes))

    def events_per_second(self, now_ms: int) -> float:
        """Over the last two seconds."""
        recent = sum(n for at, n in list(self._recent) if now_ms - at <= _RATE_OVER_MS)
        return recent * 1000 / _RATE_OVER_MS

    def line(self, now_ms: int, lag: int | None) -> str:
        """One line for a terminal. `lag` is messages not yet read, None if unknown."""
        parts = [*self._causes()]  # first: a terminal may cut the line
        parts += [f"{self.events_per_second(now_ms):,.0f} events/s", f"{self.events:,} events"]
        if lag is not None:
            parts.append(f"lag {lag:,}")
        if self.watermark_ms > NO_TIME:
            parts.append(f"watermark {_clock(self.watermark_ms)}")
        parts.append(f"{self.rows_written:,} rows written")
        if self.latency is not None and (found := self.latency.percentiles()) is not None:
            parts.append(f"event to row p50 {found.p50:,.0f} ms, p99 {found.p99:,.0f} ms")
        letters = sum(self.dead_letters.values())
        reasons = ", ".join(
            f"{self.dead_letters[r.value]} {r.value}"
            for r in Reason
            if r.value in self.dead_letters
        )
        parts.append(f"{letters:,} dead letters" + (f" ({reasons})" if reasons else ""))
        if self.checkpoints:
            parts.append(f"checkpoint {format_bytes(self.checkpoint_bytes)}")
        return " · ".join(parts)

    def _causes(self) -> Iterator[str]:
        """What is not as it should be."""
        if self.orphans:
            yield f"ALARM {self.orphans} events met forgotten panes"
        yield from self.troubles
        if self.stalled_by:
            yield f"reading paused, {self.stalled_by} takes nothing"
        if self.checkpoint_error:
            yield f"checkpoint failed: {self.checkpoint_error}"
        if self.is_stretched:
            yield f"budget: {self.waiting_rows:,} rows wait"
        for name, rows in self.overflows.most_common(_NAMES_SHOWN):
            yield f"{name} null in {rows:,} rows, beyond its limit"
        excesses = sorted(self.key_totals.excesses.items(), key=lambda item: -item[1].windows)
        for name, excess in excesses[:_NAMES_SHOWN]:
            yield f"{name} with {excess.most:,} values in a window, beyond {excess.limit:,}"


def _clock(time_ms: int) -> str:
    seconds = time_ms // 1000 % 86_400
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
