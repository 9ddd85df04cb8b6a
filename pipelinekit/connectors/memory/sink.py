"""A sink that keeps rows in the process: what tests read back, with the rules of a real store."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelinekit.columns import arrow_type
from pipelinekit.connectors.base import Budget
from pipelinekit.data import EPOCH_SHIFT, LedgerEntry, Progress, SinkSchema, Table, Upserts
from pipelinekit.errors import Refused

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

_COMPACTED_AT = 64  # batches of a table that are joined into one: memory follows rows, not writes


_SHARED: dict[str, MemorySink] = {}


def shared(name: str) -> MemorySink:
    """The sink of that name in this process, for writers that are made apart from their reader."""
    return _SHARED.setdefault(name, MemorySink())


def unshare(name: str) -> None:
    _SHARED.pop(name, None)


class MemorySink:
    """The newest version of each row, as long as the process lives. Thread-safe.

    `read_back` knows tables, their views with `_state`, `pipelinekit_progress` and
    `pipelinekit_ledger`.
    """

    def __init__(self, *, budget: Budget | None = None) -> None:
        self.budget = budget or Budget()
        self._lock = threading.Lock()
        self._tables: dict[str, Table] = {}
        self._batches: dict[str, list[pa.Table]] = {}
        self._progress: dict[tuple[str, str], Progress] = {}
        self._ledger: dict[tuple[str, str, str, int, str], LedgerEntry] = {}

    def check(self) -> str:
        return "memory of this process"

    def ddl(self, schema: SinkSchema) -> list[str]:
        """Nothing ever differs; the tables can be read from now on, empty."""
        with self._lock:
            for table in schema.tables:
                self._know(table)
        return []

    def apply(self, statements: Sequence[str]) -> None:
        if statements:
            raise Refused("the memory sink takes no statements")

    def write(self, upserts: Upserts) -> None:
        with self._lock:
            batches = self._know(upserts.table)
            batches.append(upserts.rows)
            if len(batches) >= _COMPACTED_AT:
                batches[:] = [self._newest(upserts.table)]

    def write_progress(self, progress: Sequence[Progress]) -> None:
        with self._lock:
            for entry in progress:
                place = (entry.metric, entry.grain)
                known = self._progress.get(place)
                if known is None or known.updated_at_ms <= entry.updated_at_ms:
                    self._progress[place] = entry

    def write_ledger(self, entries: Sequence[LedgerEntry]) -> None:
        with self._lock:
            for entry in entries:
                place = (
                    entry.job,
                    entry.source,
                    entry.metric,
                    entry.partition,
                    entry.outcome.value,
                )
                known = self._ledger.get(place)
                if known is None or known.version <= entry.version:
                    self._ledger[place] = entry

    def epoch(self, tables: Sequence[Table]) -> int:
        """The greatest epoch among the rows of these tables, 0 without any."""
        import pyarrow.compute as pc

        with self._lock:
            batches = [b for t in tables for b in self._batches.get(t.name, ()) if b.num_rows]
            newest = [pc.max(batch["_version"]).as_py() for batch in batches]
        return max(newest, default=0) >> EPOCH_SHIFT

    def read_back(self, table: str) -> pa.Table:
        """The newest version of each row of a table or view. Refused if it was never named."""
        with self._lock:
            if table == "pipelinekit_progress":
                return self._progress_rows()
            if table == "pipelinekit_ledger":
                return self._ledger_rows()
            if table in self._tables:
                return self._newest(self._tables[table])
            viewed = [t for t in self._tables.values() if t.view == table]
            if viewed:
                return self._with_state(max(viewed, key=lambda t: t.metric_version))
            known = sorted({*self._tables, *(t.view for t in self._tables.values())})
        raise Refused(
            f'the memory sink has no table "{table}"; it has {", ".join(known) or "none"}'
        )

    def close(self) -> None: ...

    def _know(self, table: Table) -> list[pa.Table]:
        self._tables[table.name] = table
        return self._batches.setdefault(table.name, [])

    def _newest(self, table: Table) -> pa.Table:
        import polars as pl
        import pyarrow as pa

        types = {c.name: arrow_type(c.type) for c in table.columns}
        batches = self._batches[table.name]
        # An older batch may lack a measure that was added since.
        rows = pa.concat_tables(
            [pa.schema(types).empty_table(), *batches], promote_options="default"
        )
        frame: pl.DataFrame = pl.DataFrame(pl.from_arrow(rows)).select(list(types))
        # As in a ReplacingMergeTree: of equal versions the one written last.
        newest = frame.sort("_version", maintain_order=True).unique(
            table.identity, keep="last", maintain_order=True
        )
        return newest.to_arrow().cast(pa.schema(types))

    def _with_state(self, table: Table) -> pa.Table:
        import pyarrow as pa
        import pyarrow.compute as pc

        rows = self._newest(table)
        progress = self._progress.get((table.metric, table.grain))
        closed_through_ms = 0 if progress is None else progress.closed_through_ms
        is_open = pc.greater(rows["window_end"].cast(pa.int64()), closed_through_ms)
        closed = pc.if_else(pc.greater(rows["_late"], 0), "corrected", "final")
        return rows.append_column("_state", pc.if_else(is_open, "provisional", closed))

    def _progress_rows(self) -> pa.Table:
        import pyarrow as pa

        entries = list(self._progress.values())
        time = pa.timestamp("ms", "UTC")
        return pa.table(
            {
                "metric": pa.array([p.metric for p in entries], pa.string()),
                "grain": pa.array([p.grain for p in entries], pa.string()),
                "closed_through": pa.array([p.closed_through_ms for p in entries], time),
                "updated_at": pa.array([p.updated_at_ms for p in entries], time),
            }
        )

    def _ledger_rows(self) -> pa.Table:
        import pyarrow as pa

        entries = list(self._ledger.values())
        return pa.table(
            {
                "job": pa.array([e.job for e in entries], pa.string()),
                "source": pa.array([e.source for e in entries], pa.string()),
                "metric": pa.array([e.metric for e in entries], pa.string()),
                "partition": pa.array([e.partition for e in entries], pa.int64()),
                "outcome": pa.array([e.outcome.value for e in entries], pa.string()),
                "offset": pa.array([e.offset for e in entries], pa.int64()),
                "count": pa.array([e.count for e in entries], pa.int64()),
            }
        )
