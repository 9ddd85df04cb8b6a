"""A sink that prints changed rows, aligned for people or as JSON lines for programs."""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, TextIO

from pipelinekit.connectors.base import Budget
from pipelinekit.data import LedgerEntry, Progress, SinkSchema, Table, Upserts
from pipelinekit.errors import Refused

if TYPE_CHECKING:
    import pyarrow as pa

# What a person reads: not the columns that only the store needs.
_HIDDEN = frozenset({"window_end", "window_date", "_version", "_watermark", "_updated_at"})


class ConsoleSink:
    """Prints every row that is written, also the ones that replace another; keeps nothing."""

    def __init__(
        self,
        *,
        format: Literal["text", "json"] = "text",
        stream: TextIO | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.budget = budget or Budget()
        self._format = format
        self._stream = stream

    def check(self) -> str:
        return "standard output" if self._stream is None else "a text stream"

    def ddl(self, schema: SinkSchema) -> list[str]:
        return []

    def apply(self, statements: Sequence[str]) -> None:
        if statements:
            raise Refused("the console sink takes no statements")

    def write(self, upserts: Upserts) -> None:
        rows = upserts.rows.to_pylist()
        if self._format == "json":
            self._print([_json_line(upserts.table, row) for row in rows])
        elif rows:
            self._print(_aligned(upserts.table, rows))

    def write_progress(self, progress: Sequence[Progress]) -> None:
        """Says which windows are closed, as text only: JSON lines are rows."""
        if self._format == "text":
            self._print(
                [
                    f"{p.metric} {p.grain} closed through {_cell(_time_of(p.closed_through_ms))}"
                    for p in progress
                ]
            )

    def epoch(self, tables: Sequence[Table]) -> int:
        """Nobody remembers what was printed."""
        return 0

    def write_ledger(self, entries: Sequence[LedgerEntry]) -> None:
        """Prints nothing: the counts are for a store that can be asked."""

    def read_back(self, table: str) -> pa.Table:
        raise Refused(
            f'the console sink keeps no rows of "{table}"',
            help="give the metric a second sink, of type memory or clickhouse",
        )

    def close(self) -> None: ...

    def _print(self, lines: Sequence[str]) -> None:
        # Looked up late: a test or a progress display may have replaced it.
        stream = self._stream or sys.stdout
        if lines:
            stream.write("\n".join(lines) + "\n")
            stream.flush()


def _aligned(table: Table, rows: Sequence[dict[str, Any]]) -> list[str]:
    """The rows under their column names, numbers to the right."""
    names = [c.name for c in table.columns if c.name not in _HIDDEN]
    # The window leads, as in a log.
    names.sort(key=lambda name: name != "window_start")
    numeric = {c.name for c in table.columns if c.type.is_numeric}
    lines = [[name.strip("_") for name in names]]
    lines += [[_cell(row[name]) for name in names] for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(names))]
    return [
        "  ".join(
            [table.name]
            + [
                cell.rjust(width) if name in numeric else cell.ljust(width)
                for name, cell, width in zip(names, line, widths, strict=True)
            ]
        ).rstrip()
        for line in lines
    ]


def _cell(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:.6g}"
        case dt.datetime():
            text = value.strftime("%Y-%m-%d %H:%M:%S")
            return text if value.microsecond == 0 else f"{text}.{value.microsecond // 1000:03d}"
        case str():
            # A line break or a control character would tear the table.
            return value if value.isprintable() and value else json.dumps(value, ensure_ascii=False)
        case list():
            return f"[{', '.join(map(_cell, value))}]"
        case dict():
            return f"{{{', '.join(f'{name}: {_cell(item)}' for name, item in value.items())}}}"
        case _:
            return str(value)


def _json_line(table: Table, row: dict[str, Any]) -> str:
    """One row as JSON: times in RFC 3339, decimals as text, no rounding."""
    return json.dumps({"table": table.name, **row}, default=_json_value, ensure_ascii=False)


def _json_value(value: Any) -> str:
    match value:
        case dt.datetime():
            return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case dt.date():
            return value.isoformat()
        case Decimal():
            return str(value)
    raise TypeError(f"{type(value).__name__} in a row")


def _time_of(milliseconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)
