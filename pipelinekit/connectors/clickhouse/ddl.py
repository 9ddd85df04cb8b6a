"""The difference between a database and what a job wants of it, as statements."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelinekit.connectors.clickhouse import views
from pipelinekit.connectors.clickhouse.sql import (
    column_comment,
    column_definition,
    column_type,
    identifier,
    literal,
)
from pipelinekit.connectors.clickhouse.stored import StoredColumn, StoredTable
from pipelinekit.data import Column, PartitionBy, SinkSchema, Table, View
from pipelinekit.errors import Refused
from pipelinekit.types import INT, STRING, TIMESTAMP

_PARTITION_KEYS = {
    PartitionBy.DAY: "toYYYYMMDD(window_start)",
    PartitionBy.MONTH: "toYYYYMM(window_start)",
}
_TTL = re.compile(r" TTL (.+?) SETTINGS ")


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A ReplacingMergeTree table as it should be."""

    name: str
    columns: tuple[Column, ...]
    version: str  # the column whose greatest value wins
    sorting_key: tuple[str, ...]
    partition_key: str
    ttl: str
    comment: str

    @property
    def sorting_text(self) -> str:
        return ", ".join(self.sorting_key)


PROGRESS = TableSpec(
    name=views.PROGRESS,
    columns=(
        Column("metric", STRING),
        Column("grain", STRING),
        Column("closed_through", TIMESTAMP, description="windows that end by then are closed"),
        Column("updated_at", TIMESTAMP),
    ),
    version="updated_at",
    sorting_key=("metric", "grain"),
    partition_key="",
    ttl="",
    comment="pipelinekit: how far the windows of each metric and grain are closed",
)
LEDGER = TableSpec(
    name=views.LEDGER,
    columns=(
        Column("job", STRING),
        Column("source", STRING),
        Column("metric", STRING, description="empty for the source's own outcomes"),
        Column("partition", INT),
        Column("outcome", STRING),
        Column("offset", INT, description="counts messages before this offset; newest wins"),
        Column("count", INT, unsigned=True),
        Column("_version", INT, unsigned=True, description="epoch, then offset"),
    ),
    # The count is a function of epoch and offset, so an entry sent again is the same row.
    version="_version",
    sorting_key=("job", "source", "metric", "partition", "outcome"),
    partition_key="",
    ttl="",
    comment="pipelinekit: where the messages of each partition ended",
)


def table_spec(table: Table) -> TableSpec:
    """How a table of upserts is stored: sorted by time, then key; partitioned by time."""
    # Rows are kept from when they were written, so that a replay of old data is kept as well.
    seconds = None if table.retired_after_ms is None else table.retired_after_ms // 1000
    return TableSpec(
        name=table.name,
        columns=table.columns,
        version="_version",
        sorting_key=("window_start", "window_end", *(c.name for c in table.key)),
        partition_key=_PARTITION_KEYS[table.partition_by],
        ttl="" if seconds is None else f"toDateTime(_updated_at) + toIntervalSecond({seconds})",
        comment=table.comment,
    )


def difference(
    database: str, schema: SinkSchema, stored: Mapping[str, StoredTable], *, has_database: bool
) -> list[str]:
    """Statements that make the database hold the schema; empty when nothing differs.

    Raises Refused, naming all that differs, when an existing table has another shape.
    """
    statements = [] if has_database else [f"CREATE DATABASE IF NOT EXISTS {identifier(database)}"]
    specs = [PROGRESS, *([LEDGER] if schema.ledger else []), *map(table_spec, schema.tables)]
    clashes = [c for s in specs if s.name in stored for c in _clashes(s, stored[s.name])]
    wanted_views = _views(database, schema, stored)
    clashes += [
        f'"{v.name}" is a table (engine {stored[v.name].engine}) where a view belongs'
        for v in wanted_views
        if v.name in stored and stored[v.name].engine != "View"
    ]
    if clashes:
        raise Refused(
            f'database "{database}" holds tables of another shape: {"; ".join(clashes)}',
            help="raise `version` of the metric: new tables are made beside the old ones",
        )
    for spec in specs:
        if spec.name in stored:
            statements += _changes(database, spec, stored[spec.name])
        else:
            statements.append(_create_table(database, spec))
    for view in wanted_views:
        if view.name not in stored or stored[view.name].comment != view.comment:
            statements.append(views.create_statement(database, view))
    return statements


def as_stored(database: str, schema: SinkSchema) -> dict[str, StoredTable]:
    """What a database tells of itself when it holds exactly the schema."""
    specs = [PROGRESS, *([LEDGER] if schema.ledger else []), *map(table_spec, schema.tables)]
    stored = {}
    for spec in specs:
        columns = {
            c.name: StoredColumn(c.name, column_type(c), column_comment(c)) for c in spec.columns
        }
        ttl = f" TTL {spec.ttl}" if spec.ttl else ""
        stored[spec.name] = StoredTable(
            name=spec.name,
            engine="ReplacingMergeTree",
            definition=f"ReplacingMergeTree({spec.version}){ttl} SETTINGS ",
            sorting_key=spec.sorting_text,
            partition_key=spec.partition_key,
            comment=spec.comment,
            columns=columns,
        )
    for view in _views(database, schema, {}):
        stored[view.name] = StoredTable(view.name, "View", "", "", "", view.comment, {})
    return stored


def _create_table(database: str, spec: TableSpec) -> str:
    columns = ",\n  ".join(column_definition(c) for c in spec.columns)
    clauses = [f"ENGINE = ReplacingMergeTree({identifier(spec.version)})"]
    if spec.partition_key:
        clauses.append(f"PARTITION BY {spec.partition_key}")
    clauses.append(f"ORDER BY ({', '.join(map(identifier, spec.sorting_key))})")
    if spec.ttl:
        clauses.append(f"TTL {spec.ttl}")
    # A null key is a row of its own. Whole parts expire together: nothing is rewritten for it.
    clauses.append("SETTINGS allow_nullable_key = 1, ttl_only_drop_parts = 1")
    clauses.append(f"COMMENT {literal(spec.comment)}")
    name = f"{identifier(database)}.{identifier(spec.name)}"
    return f"CREATE TABLE IF NOT EXISTS {name} (\n  {columns}\n)\n" + "\n".join(clauses)


def _clashes(spec: TableSpec, stored: StoredTable) -> list[str]:
    """What of an existing table no statement of ours may change."""
    found = []
    # On a cluster it may be a Replicated or Shared one, with arguments of its own before ours.
    engine = f"ReplacingMergeTree({spec.version})"
    pattern = rf"\w*ReplacingMergeTree\((.*, )?{spec.version}\)"
    if not re.match(pattern, stored.definition.replace("`", "")):
        found.append(f"its engine is {stored.definition or stored.engine}, not {engine}")
    for what, is_, should_be in (
        ("sorting key", stored.sorting_key, spec.sorting_text),
        ("partition key", stored.partition_key, spec.partition_key),
    ):
        if is_.replace("`", "") != should_be:
            found.append(f"its {what} is ({is_}), not ({should_be})")
    for column in spec.columns:
        existing = stored.columns.get(column.name)
        if existing is not None and not _may_hold(existing.type, column):
            wanted = column_type(column)
            found.append(f'its column "{column.name}" is {existing.type}, not {wanted}')
    return [f'table "{spec.name}": {text}' for text in found]


def _may_hold(stored_type: str, column: Column) -> bool:
    wanted = column_type(column)
    # A measure that was added later is nullable, whatever it is in a new table.
    return stored_type in (wanted, f"Nullable({wanted})")


def _changes(database: str, spec: TableSpec, stored: StoredTable) -> list[str]:
    """What brings an existing table of the right shape up to date."""
    changes: list[str] = []
    previous = ""
    for column in spec.columns:
        existing = stored.columns.get(column.name)
        comment = column_comment(column)
        name = identifier(column.name)
        if existing is None:
            # Rows that are there already have no value for it: null, not zero.
            added = Column(column.name, column.type, True, column.description, column.unit,
                           column.unsigned)  # fmt: skip
            place = f"AFTER {identifier(previous)}" if previous else "FIRST"
            changes.append(f"ADD COLUMN IF NOT EXISTS {column_definition(added)} {place}")
        elif existing.comment != comment:
            changes.append(f"COMMENT COLUMN {name} {literal(comment)}")
        previous = column.name
    wanted = {c.name for c in spec.columns}
    changes += [
        f"COMMENT COLUMN {identifier(name)} {literal(views.REMOVED)}"
        for name, existing in stored.columns.items()
        if name not in wanted and existing.comment != views.REMOVED
    ]
    ttl = _TTL.search(stored.definition)
    if (ttl[1].replace("`", "") if ttl else "") != spec.ttl:
        changes.append(f"MODIFY TTL {spec.ttl}" if spec.ttl else "REMOVE TTL")
    if stored.comment != spec.comment:
        changes.append(f"MODIFY COMMENT {literal(spec.comment)}")
    table = f"{identifier(database)}.{identifier(spec.name)}"
    return [f"ALTER TABLE {table} {change}" for change in changes]


def _views(database: str, schema: SinkSchema, stored: Mapping[str, StoredTable]) -> Sequence[View]:
    wanted = [views.newest_rows(database, table) for table in schema.tables]
    ours = {table.metric for table in schema.tables}
    for grain in views.AGGREGATES:
        parts = {
            name: numbers
            for name, numbers in views.stored_numbers(grain, stored).items()
            if numbers.metric not in ours
        }
        parts |= {
            t.name: views.numbers_of(t)
            for t in schema.tables
            if t.grain == grain and not t.is_overlapping
        }
        wanted.append(views.aggregates(database, grain, parts.values()))
    wanted += [views.marked(v.name, v.select, v.comment) for v in schema.views]
    return wanted
