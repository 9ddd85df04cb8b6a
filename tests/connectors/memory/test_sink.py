from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from pipelinekit.connectors.memory.sink import MemorySink
from pipelinekit.data import Column, LedgerEntry, Outcome, Progress, SinkSchema
from pipelinekit.errors import Refused
from pipelinekit.types import INT
from tests.connectors.tables import MINUTE_MS, NOON_MS, VIEWS, table, upserts

PAGES = table()


def read(sink: MemorySink, name: str, *columns: str) -> list[tuple[Any, ...]]:
    rows = sink.read_back(name).select(list(columns)).to_pylist()
    return sorted((tuple(row.values()) for row in rows), key=repr)


def test_newest_version_wins_whatever_the_order() -> None:
    sink = MemorySink()
    for events in (2, 3, 1):
        sink.write(upserts(PAGES, {"views": events, "_events": events}, {"country": None}))
    assert read(sink, "pages_1m", "country", "views") == [("BE", 3), (None, 1)]


def test_greater_version_wins_with_fewer_events() -> None:
    sink = MemorySink()
    sink.write(upserts(PAGES, {"views": 1, "_events": 1, "_version": 2 << 48}))
    sink.write(upserts(PAGES, {"views": 9, "_events": 9}))
    assert read(sink, "pages_1m", "views") == [(1,)]


def test_of_equal_versions_the_one_written_last_wins() -> None:
    sink = MemorySink()
    for views in range(200):
        sink.write(upserts(PAGES, {"views": views}))
    assert read(sink, "pages_1m", "views") == [(199,)]


def test_null_key_is_a_row_beside_the_empty_string() -> None:
    sink = MemorySink()
    sink.write(upserts(PAGES, {"country": None}, {"country": ""}))
    sink.write(upserts(PAGES, {"country": None, "_events": 2}))
    assert read(sink, "pages", "country", "_events") == [("", 1), (None, 2)]


def test_columns_and_types_come_back_as_they_were() -> None:
    sink = MemorySink()
    batch = upserts(PAGES, {"revenue": Decimal("-9999999999999999999999999999999999.9999")})
    sink.write(batch)
    assert sink.read_back("pages_1m").equals(batch.rows)


def test_table_that_was_named_is_empty_before_the_first_row() -> None:
    sink = MemorySink()
    assert sink.ddl(SinkSchema("job", (PAGES,))) == []
    assert sink.read_back("pages_1m").schema == upserts(PAGES).rows.schema
    assert sink.read_back("pages").column_names[-1] == "_state"


def test_added_measure_is_null_in_rows_that_were_there() -> None:
    sink = MemorySink()
    sink.write(upserts(table(measures=[VIEWS]), {"country": "BE"}))
    more = table(measures=[VIEWS, Column("visitors", INT, nullable=True)])
    sink.write(upserts(more, {"country": "FR", "visitors": 7}))
    assert read(sink, "pages", "country", "visitors") == [("BE", None), ("FR", 7)]


def test_state_follows_progress_and_late_events() -> None:
    sink = MemorySink()
    later = {"window_start": NOON_MS + MINUTE_MS, "_late": 1}
    sink.write(upserts(PAGES, {"country": "BE"}, {"country": "FR", "_late": 1}, later))
    assert read(sink, "pages", "_state") == [("provisional",)] * 3
    sink.write_progress([Progress("pages", "1m", NOON_MS + MINUTE_MS, 2)])
    sink.write_progress([Progress("pages", "1m", NOON_MS, 1)])
    assert read(sink, "pages", "_state") == [("corrected",), ("final",), ("provisional",)]
    assert read(sink, "pipelinekit_progress", "metric", "grain") == [("pages", "1m")]


def test_view_is_over_the_newest_version_of_the_metric() -> None:
    sink = MemorySink()
    sink.write(upserts(table(version=2), {"views": 2}))
    sink.write(upserts(table(version=1), {"views": 1}))
    assert read(sink, "pages", "views") == [(2,)]


def test_ledger_entry_sent_again_changes_nothing() -> None:
    sink = MemorySink()
    old = LedgerEntry("job", "events", "", 0, Outcome.ACCEPTED, 100, 90)
    new = LedgerEntry("job", "events", "", 0, Outcome.ACCEPTED, 200, 180)
    for entry in (new, old, new):
        sink.write_ledger([entry])
    assert read(sink, "pipelinekit_ledger", "outcome", "offset", "count") == [
        ("accepted", 200, 180)
    ]


def test_read_of_what_is_not_there_is_refused() -> None:
    sink = MemorySink()
    sink.ddl(SinkSchema("job", (PAGES,)))
    with pytest.raises(Refused, match='no table "pags"; it has pages, pages_1m'):
        sink.read_back("pags")
