"""The contracts of everything that touches the outside: sources, sinks, dead letters.

Errors: `Unreachable` (what was tried, on what; trying again may help) and `Refused` (it won't).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pipelinekit.data import DeadLetter, LedgerEntry, Progress, RawBatch, SinkSchema, Table, Upserts

if TYPE_CHECKING:
    import pyarrow as pa


class Reader(Protocol):
    """An open read of some partitions from given positions; not thread-safe."""

    def poll(self, max_messages: int, max_wait_ms: int) -> RawBatch:
        """The next messages, empty after `max_wait_ms` without any. Never commits anything.

        A lost broker is waited for (see `trouble`). Raises Refused when an offset asked for is
        no longer there, naming partition, offset and the range that is.
        """
        ...

    def at_end(self) -> frozenset[int]:
        """Partitions whose log was read to its end (the broker said so), as of the last poll."""
        ...

    def lag(self) -> int | None:
        """Messages between here and the log's end, as of about a second ago, if it is known."""
        ...

    def trouble(self) -> str | None:
        """What keeps the reader from reading just now ("broker 127.0.0.1:9092 is down"), if so."""
        ...

    def add(self, positions: Mapping[int, int]) -> None:
        """Also read these partitions from these offsets."""
        ...

    def pause(self, partitions: frozenset[int]) -> None: ...

    def resume(self, partitions: frozenset[int]) -> None: ...

    def close(self) -> None: ...


class Source(Protocol):
    """A log of partitions, each an ordered sequence of messages at integer offsets."""

    def partitions(self) -> tuple[int, ...]:
        """The partitions that exist now. Raises Unreachable, or Refused if the topic is missing."""
        ...

    def bounds(self) -> dict[int, tuple[int, int]]:
        """Per partition the first offset there and the one after the last (read_committed)."""
        ...

    def open(self, positions: Mapping[int, int]) -> Reader: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Budget:
    """What a sink may be asked to take."""

    rows_per_second: int = 200_000
    inserts_per_second: int = 20


class Sink(Protocol):
    """A store of upserts. Writing is idempotent by (identity, version): repeats are harmless.

    `write` returns after the store acknowledged. Transient failures are retried with backoff and
    jitter, then `Unreachable`; data or schema that the store will never take raises `Refused`.
    Thread-safe for one writer thread and any readers.
    """

    budget: Budget

    def ddl(self, schema: SinkSchema) -> list[str]:
        """Statements that bring the store to `schema`; empty when nothing differs."""
        ...

    def apply(self, statements: Sequence[str]) -> None: ...

    def write(self, upserts: Upserts) -> None: ...

    def write_progress(self, progress: Sequence[Progress]) -> None: ...

    def write_ledger(self, entries: Sequence[LedgerEntry]) -> None: ...

    def epoch(self, tables: Sequence[Table]) -> int:
        """The greatest epoch among the rows of these tables; 0 without rows, or if unknown."""
        ...

    def read_back(self, table: str) -> pa.Table:
        """The newest version of each row of a table or view: what a reader would see."""
        ...

    def check(self) -> str:
        """What answers there ("ClickHouse 26.9 at http://…"). Raises Unreachable or Refused."""
        ...

    def close(self) -> None: ...


class DeadLetterQueue(Protocol):
    """Where refused events go, byte for byte, at least once."""

    def check(self) -> str:
        """What answers there. Raises Unreachable, or Refused if nothing could be written."""
        ...

    def write(self, letters: Sequence[DeadLetter]) -> None:
        """Hand over; blocks when the queue is full. Not yet delivered on return."""
        ...

    def flush(self) -> None:
        """Return when all that was handed over is acknowledged. Raises Unreachable or Refused."""
        ...

    def close(self) -> None: ...
