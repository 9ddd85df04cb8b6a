"""What an insert into ClickHouse costs: our sink against the client library, on one server.

    python benchmarks/clickhouse_insert.py http://127.0.0.1:8123

For batches of 200 and 5,000 rows: client CPU and wall time a call, rows per CPU second of the
client, and the CPU of the server where it runs on this machine.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from decimal import Decimal
from urllib.parse import urlsplit

import clickhouse_connect
import psutil
import pyarrow as pa

from pipelinekit.connectors.clickhouse.sink import ClickHouseSink
from pipelinekit.data import Column, PartitionBy, SinkSchema, Table, Upserts
from pipelinekit.types import FLOAT, INT, STRING, decimal_type

DATABASE = "benchmark_insert"
NOON_MS = 1_704_110_400_000
ROUNDS = 5
CALLS = {200: 40, 5_000: 15}  # a round's calls by rows of a batch
TABLE = Table(
    name="clicks_1m",
    metric="clicks",
    metric_version=1,
    grain="1m",
    key=(Column("country", STRING, nullable=True), Column("device", STRING, nullable=True)),
    measures=(
        Column("views", INT, unsigned=True),
        Column("revenue", decimal_type(38, 4), nullable=True),
        Column("load_ms", FLOAT, nullable=True),
    ),
    is_finest=True,
    is_calendar=False,
    partition_by=PartitionBy.DAY,
    retired_after_ms=None,
    comment="pipelinekit:clicks:1:benchmark",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="of a ClickHouse that may be written to")
    url = parser.parse_args().url
    sink = ClickHouseSink(url, DATABASE)
    sink.apply(sink.ddl(SinkSchema("benchmark", (TABLE,))))
    library = clickhouse_connect.get_client(
        host=urlsplit(url).hostname, port=urlsplit(url).port, database=DATABASE, compress=False
    )
    ways: dict[str, Callable[[pa.Table], object]] = {
        "sink.write": lambda rows: sink.write(Upserts(TABLE, rows)),
        "client.insert_arrow": lambda rows: library.insert_arrow(
            TABLE.name, rows, settings={"async_insert": 0}
        ),
        "client.insert (Native)": lambda rows: library.insert(
            TABLE.name,
            [column.to_pylist() for column in rows.columns],
            column_names=rows.column_names,
            column_oriented=True,
            settings={"async_insert": 0},
        ),
    }
    server = _server(urlsplit(url).port or 0)
    print(sink.check())
    print(
        f"{'rows':>5}  {'way':24}{'client ms':>10}{'rows/CPU s':>12}{'wall ms':>9}{'server ms':>10}"
    )
    for rows in CALLS:
        measured: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, write in ways.items():
                sink.apply([f"TRUNCATE TABLE {DATABASE}.{TABLE.name}"])
                measured[name].append(_measure(write, _batch(rows), CALLS[rows], server))
        for name, rounds in measured.items():
            client, wall, its = (statistics.median(values) for values in zip(*rounds, strict=True))
            print(
                f"{rows:5}  {name:24}{client * 1e3:10.2f}{rows / client:12,.0f}"
                f"{wall * 1e3:9.1f}{its * 1e3:10.1f}"
            )
    sink.apply([f"DROP DATABASE {DATABASE}"])
    sink.close()


def _measure(
    write: Callable[[pa.Table], object], rows: pa.Table, calls: int, server: psutil.Process | None
) -> tuple[float, float, float]:
    """Per call: CPU seconds here, wall seconds, CPU seconds of the server."""
    write(rows)
    cpu, wall, there = time.process_time(), time.perf_counter(), _cpu(server)
    for _ in range(calls):
        write(rows)
    spent = time.process_time() - cpu, time.perf_counter() - wall, _cpu(server) - there
    return spent[0] / calls, spent[1] / calls, spent[2] / calls


def _batch(count: int) -> pa.Table:
    kinds = pa.timestamp("ms", "UTC")
    starts = pa.array([NOON_MS] * count).cast(kinds)
    numbers = pa.array(range(count), pa.int64())
    return pa.table(
        {
            "country": pa.array([("BE", "FR", "DE", None)[n % 4] for n in range(count)]),
            "device": pa.array([f"device {n}" for n in range(count)]),
            "window_start": starts,
            "window_end": pa.array([NOON_MS + 60_000] * count).cast(kinds),
            "views": numbers,
            "revenue": pa.array(
                [Decimal(n).scaleb(-4) for n in range(count)], pa.decimal128(38, 4)
            ),
            "load_ms": pa.array([n / 3 for n in range(count)]),
            "_events": numbers,
            "_late": pa.array([0] * count, pa.int64()),
            "_version": numbers,
            "_watermark": starts,
            "_updated_at": starts,
        }
    )


def _server(port: int) -> psutil.Process | None:
    """The process that listens on this machine's port, if it may be seen."""
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
            return psutil.Process(connection.pid) if connection.pid else None
    return None


def _cpu(process: psutil.Process | None) -> float:
    return sum(process.cpu_times()[:2]) if process else 0.0


if __name__ == "__main__":
    main()
