"""The views that readers use: newest rows with their state, and all numbers of a grain as one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipelinekit.connectors.clickhouse.sql import identifier, literal
from pipelinekit.connectors.clickhouse.stored import StoredTable
from pipelinekit.data import OVERLAPPING, Table, View

PROGRESS = "pipelinekit_progress"
LEDGER = "pipelinekit_ledger"
AGGREGATES = {"1m": "minly_aggs", "1h": "hourly_aggs"}  # view of all metrics by grain
REMOVED = "removed from the metric"  # the comment of a column that no measure fills any more

_COMMENT = re.compile(r"pipelinekit:([a-z0-9_]+):(\d+):")
_NUMBER = re.compile(r"(Nullable\()?(U?Int\d+|Float\d+|Decimal\(.*\))\)?")


@dataclass(frozen=True, slots=True)
class Numbers:
    """A table's part of an aggregates view: which of its columns are keys and which numbers."""

    table: str
    metric: str
    key: tuple[str, ...]
    measures: tuple[str, ...]


def newest_rows(database: str, table: Table) -> View:
    """The view of a table's newest rows, with `_state` from the progress and `_late`."""
    # FINAL: a newest value may be null, which argMax would pass over; full reads take a quarter
    # of the time of a group-by. Conditions on the key and the window reach the primary index.
    names = ", ".join(identifier(c.name) for c in table.columns)
    closed = (
        f"SELECT argMax(closed_through, updated_at) FROM {_qualified(database, PROGRESS)} "
        f"WHERE metric = {literal(table.metric)} AND grain = {literal(table.grain)}"
    )
    select = (
        f"SELECT {names}, multiIf(`window_end` > ({closed}), 'provisional', "
        "`_late` > 0, 'corrected', 'final') AS `_state` "
        f"FROM {_qualified(database, table.name)} FINAL"
    )
    return marked(table.view, select, table.comment)


def aggregates(database: str, grain: str, parts: Iterable[Numbers]) -> View:
    """The view `minly_aggs` or `hourly_aggs`: a row for each number of each row of `parts`."""
    selects = [_numbers(database, p) for p in sorted(parts, key=lambda p: p.table) if p.measures]
    select = " UNION ALL ".join(selects) or (
        "SELECT '' AS `metric_type`, toDateTime64(0, 3, 'UTC') AS `window_start`, "
        "CAST(map(), 'Map(String, String)') AS `key`, '' AS `measure`, "
        "CAST(NULL, 'Nullable(Float64)') AS `value` WHERE 0"
    )
    name = AGGREGATES[grain]
    return marked(name, select, f"pipelinekit:{name}:1:")


def numbers_of(table: Table) -> Numbers:
    """The keys and numeric measures of a table of ours."""
    return Numbers(
        table=table.name,
        metric=table.metric,
        key=tuple(c.name for c in table.key),
        measures=tuple(c.name for c in table.measures if c.type.is_numeric),
    )


def stored_numbers(grain: str, stored: Mapping[str, StoredTable]) -> dict[str, Numbers]:
    """By name, the tables of this grain that are in the database and that a view stands over.

    Tables of another version than that of the metric's view are not among them: it has left them,
    though a coarser grain that the metric has no more may still have its view.
    """
    current = {
        (found[1], found[2])
        for table in stored.values()
        if table.engine == "View"
        and (found := _COMMENT.match(table.comment))
        and table.name == found[1]
    }
    numbers = {}
    for table in stored.values():
        found = _COMMENT.match(table.comment)
        if found is None or table.engine == "View" or (found[1], found[2]) not in current:
            continue
        if OVERLAPPING in table.comment:
            continue
        metric, version = found[1], found[2]
        if table.name in (f"{metric}_{grain}", f"{metric}_v{version}_{grain}"):
            numbers[table.name] = _numbers_in(table, metric)
    return numbers


def is_ours(table: StoredTable) -> bool:
    """Whether the comment says that a metric's table or view was made by us."""
    return _COMMENT.match(table.comment) is not None


def create_statement(database: str, view: View) -> str:
    """The statement that makes the view, or puts it in place of another form of it."""
    return (
        f"CREATE OR REPLACE VIEW {_qualified(database, view.name)} "
        f"AS {view.select} COMMENT {literal(view.comment)}"
    )


def _numbers_in(table: StoredTable, metric: str) -> Numbers:
    window = ("window_start", "window_end", "window_date")
    key = [n for n in table.sorting_key.replace("`", "").split(", ") if n not in window]
    measures = [
        column.name
        for column in table.columns.values()
        if column.name not in (*key, *window)
        and not column.name.startswith("_")
        and column.comment != REMOVED
        and _NUMBER.fullmatch(column.type)
    ]
    return Numbers(table.name, metric, tuple(key), tuple(measures))


def _numbers(database: str, part: Numbers) -> str:
    # The inner names begin with an underscore, which no key and no measure does. Sorted, because
    # views compare as text and a stored table tells no order of the spec.
    if part.key:
        texts = ", ".join(f"{literal(k)}, toString({identifier(k)})" for k in part.key)
        key = f"mapFilter((k, v) -> v IS NOT NULL, map({texts}))"
    else:
        key = "map()"
    pairs = ", ".join(
        f"({literal(m)}, CAST({identifier(m)}, 'Nullable(Float64)'))" for m in sorted(part.measures)
    )
    return (
        f"SELECT {literal(part.metric)} AS `metric_type`, `window_start`, `_key` AS `key`, "
        "`_pair`.1 AS `measure`, `_pair`.2 AS `value` "
        f"FROM (SELECT `window_start`, CAST({key}, 'Map(String, String)') AS `_key`, "
        f"[{pairs}] AS `_pairs` FROM {_qualified(database, part.table)} FINAL) "
        "ARRAY JOIN `_pairs` AS `_pair`"
    )


def marked(name: str, select: str, comment: str) -> View:
    """The view, its comment with a hash of the text: it differs when that does."""
    digest = hashlib.sha256(select.encode()).hexdigest()[:12]
    return View(name, select, f"{comment} view:{digest}")


def _qualified(database: str, table: str) -> str:
    return f"{identifier(database)}.{identifier(table)}"
