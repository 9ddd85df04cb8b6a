"""Rows on their way in and out: Arrow streams, one insert's partitions, the project's types."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelinekit.data import PartitionBy, Upserts
from pipelinekit.units import DAY_MS

if TYPE_CHECKING:
    import pyarrow as pa

PARTITIONS_MAX = 100  # the server's max_partitions_per_insert_block: more is refused, code 252
_SHORTEST_MS = {PartitionBy.DAY: DAY_MS, PartitionBy.MONTH: 28 * DAY_MS}


def to_stream(rows: pa.Table) -> bytes:
    """The rows as an Arrow IPC stream. A null list becomes the empty one: Array has no null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for index, field in enumerate(rows.schema):
        column = rows.column(index)
        if pa.types.is_list(field.type) and column.null_count:
            filled = pc.coalesce(column, pa.scalar([], field.type))
            rows = rows.set_column(index, field.name, filled)
    buffer = pa.BufferOutputStream()
    with pa.ipc.new_stream(buffer, rows.schema) as writer:
        writer.write_table(rows)
    data: bytes = buffer.getvalue().to_pybytes()
    return data


def per_insert(upserts: Upserts) -> list[pa.Table]:
    """The rows in as few pieces as the server's limit of partitions an insert allows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows, by = upserts.rows, upserts.table.partition_by
    # Without its zone: the system may have no time zone database.
    starts = rows["window_start"].cast(pa.timestamp("ms"))
    ends = pc.min_max(starts.cast(pa.int64()))
    if ends["max"].as_py() - ends["min"].as_py() < (PARTITIONS_MAX - 1) * _SHORTEST_MS[by]:
        return [rows]
    partitions = pc.floor_temporal(starts, unit=by.value)
    distinct = sorted(partitions.unique().cast(pa.int64()).to_pylist())
    pieces = []
    for first in range(0, len(distinct), PARTITIONS_MAX):
        chosen = pa.array(distinct[first : first + PARTITIONS_MAX]).cast(partitions.type)
        pieces.append(rows.filter(pc.is_in(partitions, value_set=chosen)))
    return pieces


def from_stream(data: bytes) -> pa.Table:
    """The table of an Arrow IPC stream of the server, in the types of types.py."""
    import pyarrow as pa

    with pa.ipc.open_stream(data) as reader:
        table = reader.read_all()
    return table.cast(pa.schema([(f.name, _plain(f.type)) for f in table.schema]))


def _plain(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    if pa.types.is_integer(kind):
        return pa.int64()
    if pa.types.is_binary(kind) or pa.types.is_dictionary(kind):
        return pa.string()
    if pa.types.is_decimal(kind):
        return pa.decimal128(kind.precision, kind.scale)
    if pa.types.is_list(kind):
        return pa.list_(_plain(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _plain(field.type)) for field in kind])
    return kind
