"""What a ClickHouse database holds now, as its system tables tell it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipelinekit.connectors.clickhouse.sql import literal

Query = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class StoredColumn:
    name: str
    type: str
    comment: str


@dataclass(frozen=True, slots=True)
class StoredTable:
    """A table or a view; `definition` is its engine with all clauses, empty for a view."""

    name: str
    engine: str
    definition: str
    sorting_key: str
    partition_key: str
    comment: str
    columns: Mapping[str, StoredColumn]


def database_exists(query: Query, database: str) -> bool:
    """Whether the server has the database."""
    where = f"name = {literal(database)}"
    return any(_rows(query, f"SELECT name FROM system.databases WHERE {where}"))


def stored_tables(query: Query, database: str) -> dict[str, StoredTable]:
    """Every table and view of the database by name; none if there is no such database."""
    columns: dict[str, dict[str, StoredColumn]] = {}
    for table, name, kind, comment in _rows(
        query,
        "SELECT table, name, type, comment FROM system.columns "
        f"WHERE database = {literal(database)} ORDER BY table, position",
    ):
        columns.setdefault(table, {})[name] = StoredColumn(name, kind, comment)
    tables = _rows(
        query,
        "SELECT name, engine, engine_full, sorting_key, partition_key, comment "
        f"FROM system.tables WHERE database = {literal(database)} ORDER BY name",
    )
    return {
        name: StoredTable(
            name, engine, definition, sorting_key, partition_key, comment, columns.get(name, {})
        )
        for name, engine, definition, sorting_key, partition_key, comment in tables
    }


def _rows(query: Query, statement: str) -> Iterator[list[Any]]:
    for line in query(f"{statement} FORMAT JSONCompactEachRow").splitlines():
        yield json.loads(line)
