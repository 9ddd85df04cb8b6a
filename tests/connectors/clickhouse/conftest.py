from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pipelinekit.connectors.clickhouse.sink import ClickHouseSink
from pipelinekit.connectors.clickhouse.sql import identifier
from pipelinekit.data import SinkSchema, Table

_numbers = itertools.count(1)


@pytest.fixture
def database(clickhouse: Any) -> Iterator[str]:
    """The name of a database that is there for this test alone; the sink makes it."""
    name = f"sink_{os.getpid()}_{next(_numbers)}"
    yield name
    sink = ClickHouseSink(clickhouse.url, name)
    sink.apply([f"DROP DATABASE IF EXISTS {identifier(name)}"])
    sink.close()


@pytest.fixture
def make_sink(clickhouse: Any, database: str) -> Iterator[Callable[..., ClickHouseSink]]:
    """Makes sinks on the test's database; `tables` are created, options are the sink's."""
    made = []

    def make(*tables: Table, url: str = clickhouse.url, **options: Any) -> ClickHouseSink:
        sink = ClickHouseSink(url, database, **options)
        made.append(sink)
        if tables:
            sink.apply(sink.ddl(SinkSchema("job", tables)))
        return sink

    yield make
    for sink in made:
        sink.close()
