"""Rows out: what changed in the panes goes to the sinks' writers, as fast as budgets allow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from pipelinekit.data import LedgerEntry, Progress, Upserts
from pipelinekit.engine.lateness import NO_TIME
from pipelinekit.runtime.local.latency import Latency
from pipelinekit.runtime.local.merged import Merged
from pipelinekit.runtime.local.writer import Pacer, SinkWriter, Write

_UNBOUNDED = 2**31


@dataclass(slots=True, eq=False)
class Flusher:
    """`sinks_of` has the sinks of each metric.

    Rows leave when the sinks of their metric have written what they had: a slow sink sets the pace
    of the metrics that it has, and of no other.
    """

    merged: Merged
    writers: Mapping[str, SinkWriter]
    sinks_of: Mapping[str, Sequence[str]]
    latency: Latency | None
    _pacers: dict[str, Pacer] = field(init=False)
    _announced: dict[tuple[str, str], int] = field(default_factory=dict)
    _metrics_of: dict[frozenset[str], set[str]] = field(init=False)
    _stretched: set[frozenset[str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._pacers = {name: Pacer(writer.sink.budget) for name, writer in self.writers.items()}
        self._metrics_of = defaultdict(set)
        for metric, sinks in self.sinks_of.items():
            self._metrics_of[frozenset(sinks).intersection(self.writers)].add(metric)

    @property
    def is_stretched(self) -> bool:
        """Whether the last flush of some metrics used up the budget of their sinks."""
        return bool(self._stretched)

    def flush(self, now_ms: int) -> None:
        """Submit the rows that are due, of them what every sink's budget allows, and progress."""
        idle = {name for name, writer in self.writers.items() if writer.is_idle}
        if self.writers and not idle:
            return
        left = {name: self._pacers[name].rows_allowed(now_ms) for name in idle}
        upserts: list[Upserts] = []
        free: set[str] = set()
        for sinks, metrics in self._metrics_of.items():
            if not sinks <= idle:
                continue
            free |= metrics
            if not any(panes.due(now_ms, metrics) for panes in self.merged.panes):
                continue
            for panes in self.merged.panes:
                allowed = min((left[name] for name in sinks), default=_UNBOUNDED)
                taken = panes.flush(now_ms, metrics=metrics, rows_max=allowed)
                upserts += taken
                for name in sinks:
                    left[name] -= sum(map(len, taken))
            if any(left[name] <= 0 for name in sinks):
                self._stretched.add(sinks)
            else:
                self._stretched.discard(sinks)
        self._submit(upserts, now_ms, free)

    def flush_everything(self, now_ms: int) -> None:
        """Submit all rows that changed, whatever the budgets."""
        found = [panes.flush(now_ms, everything=True) for panes in self.merged.panes]
        self._stretched.clear()
        upserts = [upserts for of_bucket in found for upserts in of_bucket]
        self._submit(upserts, now_ms, self.sinks_of.keys())

    def announce(
        self, closed: Mapping[tuple[str, str], int], ledger: Sequence[LedgerEntry], now_ms: int
    ) -> None:
        """Submit what a checkpoint holds: which windows closed, and the counts."""
        news = self._news(closed, now_ms, self.sinks_of.keys())
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

    def _submit(self, upserts: Sequence[Upserts], now_ms: int, metrics: Collection[str]) -> None:
        # What closed under an unsaved raise waits for its checkpoint.
        closed = {} if self.merged.raised else self.merged.closed_through()
        progress = self._news(closed, now_ms, metrics)
        tickets = {}
        for name, writer in self.writers.items():
            mine = [u for u in upserts if name in self.sinks_of[u.table.metric]]
            news = self._progress_of(name, progress)
            if mine or news:
                tickets[name] = writer.submit(Write(mine, news))
                self._pacers[name].spend(mine)
        if self.latency is not None:
            self.latency.flushed(tickets, [u.table.name for u in upserts])

    def _news(
        self, closed: Mapping[tuple[str, str], int], now_ms: int, metrics: Collection[str]
    ) -> list[Progress]:
        """What of `closed` was not announced yet, of those metrics; from now on it is."""
        news = [
            Progress(metric, grain, through_ms, now_ms)
            for (metric, grain), through_ms in closed.items()
            if metric in metrics and through_ms > self._announced.get((metric, grain), NO_TIME)
        ]
        self._announced |= {(p.metric, p.grain): p.closed_through_ms for p in news}
        return news

    def _progress_of(self, sink: str, progress: Sequence[Progress]) -> list[Progress]:
        return [p for p in progress if sink in self.sinks_of[p.metric]]
