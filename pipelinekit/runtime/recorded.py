"""Slices of a log to look at: from a file, or from the newest part of a topic."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl

from pipelinekit.clock import Clock, SystemClock
from pipelinekit.connectors.kafka.source import KafkaSource
from pipelinekit.data import RawBatch
from pipelinekit.errors import UsageError

_BATCH = 20_000
_WAIT_MS = 200


def from_file(file: Path) -> Iterator[RawBatch]:
    """A file's messages in order: one a line, or the rows of a Parquet file.

    A Parquet file with a column `value` holds messages as a log did: with `partition` and
    `timestamp` (of the broker) if it has them. Any other holds events, a field a column. Raises
    UsageError.
    """
    try:
        if file.suffix == ".parquet":
            for rows in pl.read_parquet(file).iter_slices(_BATCH):
                yield _parquet(rows)
            return
        with file.open("rb") as opened:
            lines = (line.rstrip(b"\r\n") for line in opened if line.strip())
            while values := list(islice(lines, _BATCH)):
                yield _batch(values, np.zeros(len(values), np.int32), np.full(len(values), -1))
    except (OSError, pl.exceptions.PolarsError) as error:
        why = str(error).splitlines()[0]
        raise UsageError(f"{file} can't be read: {why}") from error


def from_topic(
    source: KafkaSource, messages_max: int, seconds: float, clock: Clock | None = None
) -> Iterator[RawBatch]:
    """The newest messages of each partition, as many of each, to where the topic ends now.

    Ends sooner after so many seconds. Raises Unreachable or Refused.
    """
    clock = clock or SystemClock()
    bounds = source.bounds()
    each = max(1, messages_max // max(1, len(bounds)))
    ends = {p: end for p, (_, end) in bounds.items()}
    at = {p: max(first, end - each) for p, (first, end) in bounds.items()}
    until_ms = clock.now_ms() + round(seconds * 1000)
    reader = source.open(at)
    try:
        while any(at[p] < end for p, end in ends.items()) and clock.now_ms() < until_ms:
            batch = reader.poll(_BATCH, _WAIT_MS)
            at |= batch.positions
            if len(batch):
                yield batch
    finally:
        reader.close()


def _parquet(frame: pl.DataFrame) -> RawBatch:
    count = frame.height
    partitions, brokers = np.zeros(count, np.int32), np.full(count, -1)
    if "value" not in frame.columns:
        return _batch(_as_json(frame), partitions, brokers)
    if "partition" in frame.columns:
        partitions = frame["partition"].cast(pl.Int32).to_numpy()
    if "timestamp" in frame.columns:
        times = frame["timestamp"]
        if isinstance(times.dtype, pl.Datetime):
            times = times.dt.cast_time_unit("ms").to_physical()
        brokers = times.cast(pl.Int64).fill_null(-1).to_numpy()
    return _batch(frame["value"].cast(pl.Binary).to_list(), partitions, brokers)


def _as_json(frame: pl.DataFrame) -> list[bytes]:
    """A JSON object a row; times in RFC 3339, naive ones taken as UTC, decimals as texts."""
    columns = []
    for name, kind in frame.schema.items():
        column = pl.col(name)
        if isinstance(kind, pl.Datetime):
            utc = column.dt.convert_time_zone("UTC") if kind.time_zone else column
            columns.append(utc.dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"))
        elif isinstance(kind, pl.Decimal):
            columns.append(column.cast(pl.String))
    text = io.BytesIO()
    frame.with_columns(columns).write_ndjson(text)
    return text.getvalue().splitlines()


def _batch(
    values: Sequence[bytes | None], partitions: np.ndarray, broker_times_ms: np.ndarray
) -> RawBatch:
    count = len(values)
    return RawBatch(
        values=values,
        partitions=partitions,
        offsets=np.arange(count, dtype=np.int64),
        broker_times_ms=broker_times_ms.astype(np.int64),
        keys=[None] * count,
        headers=[()] * count,
        positions={},
    )
