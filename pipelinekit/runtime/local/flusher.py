"""Rows out: what changed in the panes goes to the sinks' writers, as fast as budgets allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipelinekit.data import LedgerEntry, Progress, Upserts
from pipelinekit.engine.lateness import NO_TIME
from pipelinekit.runtime.local.latency import Latency
from pipelinekit.runtime.local.merged import Merged
from pipelinekit.runtime.local.writer import Pacer, SinkWriter, Write


@dataclass(slots=True, eq=False)
class Flusher:
    """`sinks_of` has the sinks of each metric. `is_stretched`: the last flush met a budget."""

    merged: Merged
    writers: Mapping[str, SinkWriter]
    sinks_of: Mapping[str, Sequence[str]]
    latency: Latency | None
    is_stretched: bool = False
    _pacers: dict[str, Pacer] = field(init=False)
    _announced: dict[tuple[str, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._pacers = {name: Pacer(writer.sink.budget) for name, writer in self.writers.items()}

    def flush(self, now_ms: int) -> None:
        """Submit the rows that are due, of them what every sink's budget allows, and progress."""
        if not all(writer.is_idle for writer in self.writers.values()):
            return
        if not any(panes.due(now_ms) for panes in self.merged.panes):
            self._submit([], now_ms)
            return
        allowed = min((p.rows_allowed(now_ms) for p in self._pacers.values()), default=2**31)
        upserts: list[Upserts] = []
        left = allowed
        for panes in self.merged.panes:
            if left > 0:
                upserts += panes.flush(now_ms, rows_max=left)
                left = allowed - sum(map(len, upserts))
        self.is_stretched = left <= 0
        if allowed > 0:
            self._submit(upserts, now_ms)

    def flush_everything(self, now_ms: int) -> None:
        """Submit all rows that changed, whatever the budgets."""
        found = [panes.flush(now_ms, everything=True) for panes in self.merged.panes]
        self.is_stretched = False
        self._submit([upserts for of_bucket in found for upserts in of_bucket], now_ms)

    def announce(
        self, closed: Mapping[tuple[str, str], int], ledger: Sequence[LedgerEntry], now_ms: int
    ) -> None:
        """Submit what a checkpoint holds: which windows closed, and the counts."""
        news = self._news(closed, now_ms)
        for name, writer in self.writers.items():
            writer.submit(Write(progress=self._progress_of(name, news), ledger=ledger))

    def wait(self) -> None:
        """Until all that was submitted is acknowledged, or failed."""
        for writer in self.writers.values():
            writer.wait_for(writer.submitted)

    def stalled_by(self, now_ms: int, stall_ms: int) -> str | None:
        """A sink that has taken nothing of what it was given for `stall_ms`, if there is one."""
        for writer in self.writers.values():
            if writer.silent_ms(now_ms) > stall_ms:
                return writer.name
        return None

    def _submit(self, upserts: Sequence[Upserts], now_ms: int) -> None:
        # What closed under an unsaved raise waits for its checkpoint.
        closed = {} if self.merged.raised else self.merged.closed_through()
        progress = self._news(closed, now_ms)
        tickets = {}
        for name, writer in self.writers.items():
            mine = [u for u in upserts if name in self.sinks_of[u.table.metric]]
            news = self._progress_of(name, progress)
            if mine or news:
                tickets[name] = writer.submit(Write(mine, news))
                self._pacers[name].spend(mine)
        if self.latency is not None:
            self.latency.flushed(tickets, [u.table.name for u in upserts])

    def _news(self, closed: Mapping[tuple[str, str], int], now_ms: int) -> list[Progress]:
        """What of `closed` was not announced yet; from now on it is."""
        news = [
            Progress(metric, grain, through_ms, now_ms)
            for (metric, grain), through_ms in closed.items()
            if through_ms > self._announced.get((metric, grain), NO_TIME)
        ]
        self._announced |= {(p.metric, p.grain): p.closed_through_ms for p in news}
        return news

    def _progress_of(self, sink: str, progress: Sequence[Progress]) -> list[Progress]:
        return [p for p in progress if sink in self.sinks_of[p.metric]]
