"""What flows between the parts: plain frozen values, no behaviour and no I/O.

Times are epoch milliseconds UTC everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from pipelinekit.reasons import Reason
from pipelinekit.types import Type

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

Headers = Sequence[tuple[str, bytes | None]]
NO_OFFSET = -1
EPOCH_SHIFT = 48  # bits of a version below the epoch: a row's events, or an offset


class Outcome(Enum):
    """Where a message ended. The first three are the source's, the others a metric's."""

    ACCEPTED = "accepted"
    INVALID = "invalid"
    FUTURE = "future"
    COUNTED = "counted"
    FILTERED = "filtered"
    TOO_LATE = "too_late"
    BEFORE_START = "before_start"


SOURCE_OUTCOMES = (Outcome.ACCEPTED, Outcome.INVALID, Outcome.FUTURE)
METRIC_OUTCOMES = (Outcome.COUNTED, Outcome.FILTERED, Outcome.TOO_LATE, Outcome.BEFORE_START)


@dataclass(frozen=True, slots=True, eq=False)
class RawBatch:
    """Messages as they lie on the log; within a partition in offset order.

    `keys` and `headers` may be lazy sequences: they are read for dead letters and header fields
    only. `positions` is, per partition, the next offset to read after this batch: it may lie
    beyond the last message (transaction markers, compaction) and may name partitions without one.
    """

    values: Sequence[bytes | None]
    partitions: np.ndarray  # int32
    offsets: np.ndarray  # int64
    broker_times_ms: np.ndarray  # int64; CreateTime or LogAppendTime as the topic says, -1 if none
    keys: Sequence[bytes | None]
    headers: Sequence[Headers]
    positions: Mapping[int, int]

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A refused event, byte for byte, with its origin and the reason."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    reason: Reason
    detail: str
    metrics: tuple[str, ...]
    topic: str
    partition: int
    offset: int
    event_time_ms: int | None
    watermark_ms: int | None


# --- tables -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: Type
    nullable: bool = False
    description: str = ""
    unit: str = ""
    unsigned: bool = False  # counts and versions: UInt64 where the store has it


OVERLAPPING = "overlapping windows"  # in the comment of a table whose rows must not be added up


class PartitionBy(Enum):
    """By which piece of `window_start` a store may partition a table."""

    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of upserts. Identity: `identity` columns; the greatest `version` wins.

    Columns, in order: key columns, window_start, window_end, [window_date], measures, _events,
    _late, _version, _watermark, _updated_at.
    """

    name: str
    metric: str
    metric_version: int
    grain: str  # "1m", "1h", …: the window's suffix
    key: tuple[Column, ...]
    measures: tuple[Column, ...]
    is_finest: bool
    is_calendar: bool  # has window_date
    partition_by: PartitionBy
    retired_after_ms: int | None  # how long rows are kept; None = for ever
    comment: str  # pipelinekit:<metric>:<version>:<fingerprint>[ OVERLAPPING]
    description: str = ""
    is_overlapping: bool = False  # an event counts in several rows of a key

    @property
    def view(self) -> str:
        """The view of newest rows with `_state`: the metric's name, coarser grains `__<grain>`."""
        return self.metric if self.is_finest else f"{self.metric}__{self.grain}"

    @property
    def columns(self) -> tuple[Column, ...]:
        from pipelinekit.types import DATE, INT, TIMESTAMP

        window = [Column("window_start", TIMESTAMP), Column("window_end", TIMESTAMP)]
        if self.is_calendar:
            window.append(Column("window_date", DATE))
        return (
            *self.key,
            *window,
            *self.measures,
            Column("_events", INT, unsigned=True, description="events the row stands for"),
            Column("_late", INT, unsigned=True, description="of them, after the window closed"),
            Column("_version", INT, unsigned=True, description="the greatest wins"),
            Column("_watermark", TIMESTAMP, description="of the job when the row was made"),
            Column("_updated_at", TIMESTAMP, description="wall clock when the row was made"),
        )

    @property
    def identity(self) -> tuple[str, ...]:
        return (*(c.name for c in self.key), "window_start", "window_end")


# --- what leaves the engine ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Upserts:
    """Changed rows of one table, whole values; `rows` has the table's columns in order."""

    table: Table
    rows: pa.Table

    def __len__(self) -> int:
        return int(self.rows.num_rows)


@dataclass(frozen=True, slots=True)
class Progress:
    """All windows of a metric's grain that end at or before `closed_through_ms` are closed."""

    metric: str
    grain: str
    closed_through_ms: int
    updated_at_ms: int


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """How many messages of a partition had an outcome, up to (excluding) `offset`.

    Of two entries that of the newer epoch holds, then that of the greater offset.
    """

    job: str
    source: str
    metric: str  # empty for the source's own outcomes
    partition: int
    outcome: Outcome
    offset: int
    count: int
    epoch: int = 1

    @property
    def version(self) -> int:
        return self.epoch << EPOCH_SHIFT | self.offset


@dataclass(frozen=True, slots=True)
class View:
    """A view over other views of the sink: its SELECT in the sink's own SQL."""

    name: str
    select: str
    comment: str


@dataclass(frozen=True, slots=True)
class SinkSchema:
    """Everything that a job wants to exist in one sink."""

    job: str
    tables: tuple[Table, ...] = ()
    views: tuple[View, ...] = ()
    ledger: bool = True
    extra: Mapping[str, str] = field(default_factory=dict)
