"""The engine driven as a runtime drives it, in one thread, with batch splits and restarts."""

from __future__ import annotations

import io
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from pipelinekit.data import DeadLetter, RawBatch, Table
from pipelinekit.engine.ingest import Ingest
from pipelinekit.engine.lateness import END_OF_TIME, PartitionTime, ShardTime
from pipelinekit.engine.ledger import Ledger
from pipelinekit.engine.panes import Metric, PaneRows, PaneStore, rebucket
from pipelinekit.engine.placing import Bounds
from pipelinekit.plan.model import MetricPlan, SourcePlan
from pipelinekit.plan.tables import tables_of
from tests.oracle.model import Message


@dataclass
class Harness:
    """A whole job over a log in memory; `published` holds what left it."""

    source: SourcePlan
    metrics: Sequence[MetricPlan]
    log: Mapping[int, Sequence[Message]]
    shards: int
    buckets: int
    rng: random.Random
    bounds: Mapping[str, Bounds] = field(default_factory=dict)
    rows: dict[tuple, dict] = field(default_factory=dict)
    letters: list[DeadLetter] = field(default_factory=list)
    raises: dict[tuple[int, int], int] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    now_ms: int = 1_704_110_000_000
    rows_max: int | None = None

    def __post_init__(self) -> None:
        self._times = {p: PartitionTime(0) for p in self.log}
        self._start([], -(2**62))

    def _start(self, saved: Sequence[PaneRows], watermark: int) -> None:
        self._saved: list[list[PaneRows]] = []
        self._ingest = Ingest(self.source, self.metrics, self.bounds, self.buckets)
        stores = [Metric(m, tables_of(m)) for m in self.metrics]
        self._stores = [PaneStore(self.source, stores, 1) for _ in range(self.buckets)]
        keys = {m.state_name: len(m.key) for m in self.metrics}
        for rows in saved:
            for bucket, part in rebucket(rows, keys[rows.id.metric], self.buckets):
                self._stores[bucket].restore(part)
        self._clocks = [
            ShardTime(
                self.source.out_of_orderness_ms,
                self.source.idle_after_ms,
                {p: t for p, t in self._times.items() if p % self.shards == shard},
                published_ms=watermark,
            )
            for shard in range(self.shards)
        ]
        for store in self._stores:
            store.advance(watermark)

    # --- steps ------------------------------------------------------------------------------

    def read(self, limits: Mapping[int, int]) -> None:
        """Everything up to each partition's limit, in random batches of random shards."""
        while any(self._times[p].next_offset < limits[p] for p in self.log):
            shard = self.rng.randrange(self.shards)
            self._slice(shard, limits)
            if self.rng.random() < 0.3:
                self._flush()
            if self.rng.random() < 0.2:
                self._checkpoint()

    def mark_idle(self, partitions: Sequence[int]) -> None:
        """Idle partitions leave the minimum; what their shard publishes raises them."""
        for shard, clock in enumerate(self._clocks):
            clock.mark_idle(p for p in partitions if p % self.shards == shard)
            self._publish(clock)
        self._advance()

    def restart(self, shards: int, buckets: int) -> None:
        """A checkpoint, through bytes, and a restore at other numbers."""
        self._checkpoint()
        whole_in = {r.id: n for n, rows in enumerate(self._saved) for r in rows if r.is_full}
        saved = [r for n, rows in enumerate(self._saved) for r in rows if n >= whole_in[r.id]]
        for clock in self._clocks:
            self._times |= clock.partitions
        watermark = min((c.published_ms for c in self._clocks if c.partitions), default=-(2**62))
        self.shards, self.buckets = shards, buckets
        self._start(saved, watermark)

    def finish(self) -> None:
        for store in self._stores:
            store.advance(END_OF_TIME)
        self.rows_max = None
        self._flush(everything=True)
        for store in self._stores:
            store.advance(END_OF_TIME + 1)
        assert sum(store.orphans for store in self._stores) == 0
        assert [store.next_deadline() for store in self._stores] == [None] * len(self._stores)
        assert sum(store.held_rows for store in self._stores) == 0

    # --- private ----------------------------------------------------------------------------

    def _slice(self, shard: int, limits: Mapping[int, int]) -> None:
        clock = self._clocks[shard]
        mine = [p for p in clock.partitions if clock.partitions[p].next_offset < limits[p]]
        if not mine:
            return
        picked: list[tuple[int, int]] = []
        positions = {}
        for p in self.rng.sample(mine, self.rng.randint(1, len(mine))):
            first = clock.partitions[p].next_offset
            last = min(limits[p], first + self.rng.randint(1, 6))
            picked += [(p, offset) for offset in range(first, last)]
            positions[p] = last
        messages = [self.log[p][offset] for p, offset in picked]
        times = np.array([m.broker_ms for m in messages], dtype=np.int64)
        batch = RawBatch(
            values=[m.value for m in messages],
            partitions=np.array([p for p, _ in picked], dtype=np.int32),
            offsets=np.array([o for _, o in picked], dtype=np.int64),
            broker_times_ms=times,
            keys=[None] * len(messages),
            headers=[()] * len(messages),
            positions=positions,
        )
        self._publish(clock)  # as it stood before the slice
        result = self._ingest.take(batch, clock.partitions, times)
        clock.partitions.update(result.partitions)
        for partial in result.partials:
            self._stores[partial.bucket].merge(partial, self.now_ms)
        self._times |= result.partitions
        self.letters += result.dead_letters
        self.ledger.add(result.counts)
        self._advance()
        self.now_ms += self.rng.choice((0, 10, 300))

    def _checkpoint(self) -> None:
        """Save what changed, some panes whole; forget what was saved of panes that are gone."""
        saved = {r.id for rows in self._saved for r in rows}
        live = {i for store in self._stores for i in store.pane_sizes()}
        whole = {i for i in live if i not in saved or self.rng.random() < 0.2}
        rows = [r for store in self._stores for r in store.changed_rows(whole)]
        rows = [PaneRows(r.id, _through_bytes(r.frame), r.is_full) for r in rows]
        self._saved = [[r for r in of if r.id in live] for of in (*self._saved, rows)]

    def _publish(self, clock: ShardTime) -> None:
        if not clock.partitions:
            return
        clock.publish(clock.watermark(self.now_ms))
        for p, state in clock.partitions.items():
            self._times[p] = state
            if state.is_idle:
                self.raises[(p, state.next_offset)] = state.watermark_ms

    def _advance(self) -> None:
        published = [c.published_ms for c in self._clocks if c.partitions]
        for store in self._stores:
            store.advance(min(published))

    def _flush(self, *, everything: bool = False) -> None:
        for store in self._stores:
            for upserts in store.flush(self.now_ms, rows_max=self.rows_max, everything=everything):
                self._write(upserts.table, pl.DataFrame(pl.from_arrow(upserts.rows)))

    def _write(self, table: Table, rows: pl.DataFrame) -> None:
        key_names = [c.name for c in table.key]
        for row in rows.iter_rows(named=True):
            key = tuple(row[name] for name in key_names)
            start = int(row["window_start"].timestamp() * 1000)
            size = int(row["window_end"].timestamp() * 1000) - start
            identity = (table.metric, size, key, start)
            held = self.rows.get(identity)
            if held is None or held["_version"] <= row["_version"]:
                self.rows[identity] = row


def _through_bytes(frame: pl.DataFrame) -> pl.DataFrame:
    buffer = io.BytesIO()
    frame.write_ipc(buffer)
    buffer.seek(0)
    return pl.read_ipc(buffer)
