"""A table and its rows from a few literals, for tests of sinks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipelinekit.columns import arrow_type
from pipelinekit.data import Column, PartitionBy, Table, Upserts
from pipelinekit.types import INT, STRING, decimal_type

NOON_MS = 1_704_110_400_000  # 2024-01-01T12:00:00Z
MINUTE_MS = 60_000
COUNTRY = Column("country", STRING, nullable=True)
VIEWS = Column("views", INT, unsigned=True, description="Page views", unit="views")
REVENUE = Column("revenue", decimal_type(38, 4), nullable=True)


def table(
    *,
    metric: str = "pages",
    version: int = 1,
    grain: str = "1m",
    key: Sequence[Column] = (COUNTRY,),
    measures: Sequence[Column] = (VIEWS, REVENUE),
    is_finest: bool = True,
    is_calendar: bool = False,
    partition_by: PartitionBy = PartitionBy.DAY,
    retired_after_ms: int | None = None,
    fingerprint: str = "f1",
) -> Table:
    suffix = grain if version == 1 else f"v{version}_{grain}"
    return Table(
        name=f"{metric}_{suffix}",
        metric=metric,
        metric_version=version,
        grain=grain,
        key=tuple(key),
        measures=tuple(measures),
        is_finest=is_finest,
        is_calendar=is_calendar,
        partition_by=partition_by,
        retired_after_ms=retired_after_ms,
        comment=f"pipelinekit:{metric}:{version}:{fingerprint}",
    )


def upserts(of: Table, *rows: Mapping[str, Any]) -> Upserts:
    """Rows from what they differ in: country BE at noon, one event, nothing else."""
    columns = {c.name: c for c in of.columns}
    full = [_defaults(row) | dict(row) for row in rows]
    arrays = [
        pa.array([row.get(name) for row in full], arrow_type(column.type))
        if name not in ("window_start", "window_end", "_watermark", "_updated_at")
        else pa.array([row[name] for row in full], pa.int64()).cast(arrow_type(column.type))
        for name, column in columns.items()
    ]
    return Upserts(of, pa.Table.from_arrays(arrays, names=list(columns)))


def _defaults(row: Mapping[str, Any]) -> dict[str, Any]:
    start = row.get("window_start", NOON_MS)
    return {
        "country": "BE",
        "window_start": start,
        "window_end": start + MINUTE_MS,
        "views": 1,
        "_events": 1,
        "_late": 0,
        "_version": row.get("_events", 1),
        "_watermark": start,
        "_updated_at": start,
    }
