"""Rows, progress and ledger as JSON messages, and back. The form is part of the contract:

row      {"type": "row", "metric", "metric_version", "table", "grain", "key": {…},
          "measures": {…}, "window_start", "window_end", ["window_date"], "events", "late",
          "version", "watermark", "updated_at"}; key: the metric's name
progress {"type": "closed_through", "metric", "grain", "closed_through", "updated_at"}; key:
          the metric's name
ledger   {"type": "ledger", "job", "source", "metric", "partition", "outcome", "offset", "count"};
          key: pipelinekit_ledger

Times are epoch milliseconds; decimals and dates are text; null stands for NaN and infinities,
which JSON lacks. A reader keeps the greatest version of (metric, metric_version, grain, key,
window_start, window_end): the same row may come again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipelinekit.columns import arrow_type
from pipelinekit.data import Column, LedgerEntry, Progress, Table, Upserts
from pipelinekit.types import INT, STRING, TIMESTAMP, Kind, Type

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

LEDGER = "pipelinekit_ledger"
PROGRESS = "pipelinekit_progress"
PROGRESS_COLUMNS = (
    Column("metric", STRING),
    Column("grain", STRING),
    Column("closed_through", TIMESTAMP),
    Column("updated_at", TIMESTAMP),
)
LEDGER_COLUMNS = (
    Column("job", STRING),
    Column("source", STRING),
    Column("metric", STRING),
    Column("partition", INT),
    Column("outcome", STRING),
    Column("offset", INT),
    Column("count", INT, unsigned=True),
)


def row_messages(upserts: Upserts) -> list[str]:
    """One JSON object a row, in order. Cost: about 3 µs a row."""
    import polars as pl

    table = upserts.table
    frame = pl.DataFrame(upserts.rows)
    columns = {column.name: column for column in table.columns}
    apart = {column.name for column in (*table.key, *table.measures)}
    rest = [column for name, column in columns.items() if name not in apart]
    opening = json.dumps(
        {
            "type": "row",
            "metric": table.metric,
            "metric_version": table.metric_version,
            "table": table.name,
            "grain": table.grain,
        },
        ensure_ascii=False,
    )
    text = pl.concat_str(
        pl.lit(opening[:-1] + ', "key": '),
        _objects(table.key, str),
        pl.lit(', "measures": '),
        _objects(table.measures, str),
        pl.lit(", "),
        _objects(rest, _field).str.slice(1),
    )
    return frame.select(text.alias("message"))["message"].to_list()


def progress_message(progress: Progress) -> str:
    """The JSON object that says how far a metric's grain is closed."""
    return json.dumps(
        {
            "type": "closed_through",
            "metric": progress.metric,
            "grain": progress.grain,
            "closed_through": progress.closed_through_ms,
            "updated_at": progress.updated_at_ms,
        }
    )


def ledger_message(entry: LedgerEntry) -> str:
    """The JSON object of a ledger entry."""
    return json.dumps(
        {
            "type": "ledger",
            "job": entry.job,
            "source": entry.source,
            "metric": entry.metric,
            "partition": entry.partition,
            "outcome": entry.outcome.value,
            "offset": entry.offset,
            "count": entry.count,
        }
    )


def newest_rows(table: Table, messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The greatest version of each row of `table`, by column name; of equals the later."""
    newest: dict[str, dict[str, Any]] = {}
    for message in messages:
        if message["type"] != "row" or message["table"] != table.name:
            continue
        row = {
            **message["key"],
            **message["measures"],
            **{c.name: message.get(_field(c.name)) for c in _around(table)},
        }
        # Text, for the values of lists can't be keys; field order is the table's.
        identity = json.dumps([row[name] for name in table.identity])
        before = newest.get(identity)
        if before is None or before["_version"] <= row["_version"]:
            newest[identity] = row
    return list(newest.values())


def newest_progress(messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """How far each metric's grain is closed; the newest wins."""
    newest = {(m["metric"], m["grain"]): m for m in messages if m["type"] == "closed_through"}
    return [{c.name: m[c.name] for c in PROGRESS_COLUMNS} for m in newest.values()]


def newest_ledger(messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The newest entry of each partition and outcome."""
    names = [column.name for column in LEDGER_COLUMNS]
    identity = ("job", "source", "metric", "partition", "outcome")
    newest = {tuple(m[n] for n in identity): m for m in messages if m["type"] == "ledger"}
    return [{name: m[name] for name in names} for m in newest.values()]


def state_of(row: Mapping[str, Any], closed_through: int | None) -> str:
    """provisional, final or corrected, as the views of other sinks say it."""
    if closed_through is None or row["window_end"] > closed_through:
        return "provisional"
    return "corrected" if row["_late"] > 0 else "final"


def arrow_table(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The rows with the columns' types; unsigned ones are uint64."""
    import pyarrow as pa

    fields, arrays = [], []
    for column in columns:
        kind = pa.uint64() if column.unsigned else arrow_type(column.type)
        parse = _parser(column.type)
        values = [None if row[column.name] is None else parse(row[column.name]) for row in rows]
        fields.append(pa.field(column.name, kind))
        arrays.append(pa.array(values, kind))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _around(table: Table) -> list[Column]:
    apart = {column.name for column in (*table.key, *table.measures)}
    return [column for column in table.columns if column.name not in apart]


def _field(column: str) -> str:
    """The name in a message of a column that is neither key nor measure."""
    return column.removeprefix("_")


def _objects(columns: Sequence[Column], name: Callable[[str], str]) -> pl.Expr:
    import polars as pl

    if not columns:
        return pl.lit("{}")
    values = [
        pl.col(c.name).cast(_json_type(c.type)).alias(name(c.name))
        if not c.unsigned
        else pl.col(c.name).cast(pl.UInt64()).alias(name(c.name))
        for c in columns
    ]
    return pl.struct(values).struct.json_encode()


def _json_type(kind: Type) -> pl.DataType:
    """What polars writes as JSON the way a message has it."""
    import polars as pl

    from pipelinekit.columns import polars_type

    match kind.kind:
        case Kind.DECIMAL | Kind.DATE:
            return pl.String()
        case Kind.TIMESTAMP:
            return pl.Int64()
        case Kind.LIST:
            assert kind.item is not None
            return pl.List(_json_type(kind.item))
        case Kind.COUNTED:
            assert kind.item is not None
            return pl.Struct({"value": _json_type(kind.item), "count": pl.Int64()})
        case _:
            return polars_type(kind)


def _parser(kind: Type) -> Callable[[Any], Any]:
    """From a message's value to what Arrow takes."""
    from datetime import date
    from decimal import Decimal

    match kind.kind:
        case Kind.DECIMAL:
            return Decimal
        case Kind.DATE:
            return date.fromisoformat
        case Kind.LIST:
            assert kind.item is not None
            parse = _parser(kind.item)
            return lambda values: [None if v is None else parse(v) for v in values]
        case Kind.COUNTED:
            assert kind.item is not None
            parse = _parser(kind.item)
            return lambda entry: {**entry, "value": parse(entry["value"])}
        case _:
            return lambda value: value
