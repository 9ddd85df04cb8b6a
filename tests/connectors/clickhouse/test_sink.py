from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from pipelinekit.connectors.clickhouse.sink import ClickHouseSink
from pipelinekit.data import (
    Column,
    LedgerEntry,
    Outcome,
    PartitionBy,
    Progress,
)
from pipelinekit.errors import Refused
from pipelinekit.types import (
    BOOL,
    DATE,
    FLOAT,
    INT,
    STRING,
    TIMESTAMP,
    Kind,
    counted_type,
    decimal_type,
    list_type,
)
from pipelinekit.units import DAY_MS
from tests.connectors.tables import MINUTE_MS, NOON_MS, table, upserts

pytestmark = pytest.mark.clickhouse
MakeSink = Callable[..., ClickHouseSink]


def read(sink: ClickHouseSink, name: str, *columns: str) -> list[tuple[Any, ...]]:
    rows = sink.read_back(name).select(list(columns)).to_pylist()
    return sorted((tuple(row.values()) for row in rows), key=repr)


def test_check_names_the_server(make_sink: MakeSink) -> None:
    sink = make_sink()
    assert sink.check().startswith("ClickHouse 2")
    assert sink.address in sink.check()


def test_newest_version_wins_whatever_the_order(make_sink: MakeSink) -> None:
    pages = table()
    sink = make_sink(pages)
    for events in (2, 3, 1):
        sink.write(upserts(pages, {"views": events, "_events": events}))
    assert read(sink, "pages_1m", "views", "_version") == [(3, 3)]
    assert read(sink, "pages", "views", "_state") == [(3, "provisional")]


def test_greater_version_wins_with_fewer_events(make_sink: MakeSink) -> None:
    pages = table()
    sink = make_sink(pages)
    sink.write(upserts(pages, {"views": 1, "_events": 1, "_version": 2 << 48}))
    sink.write(upserts(pages, {"views": 9, "_events": 9}))
    assert read(sink, "pages", "views", "_version") == [(1, 2 << 48)]


def test_row_written_twice_is_one_row(make_sink: MakeSink) -> None:
    pages = table()
    sink = make_sink(pages)
    batch = upserts(pages, {"country": "BE"}, {"country": "FR"})
    sink.write(batch)
    sink.write(batch)
    assert read(sink, "pages", "country", "views") == [("BE", 1), ("FR", 1)]


def test_null_key_is_a_row_of_its_own_beside_the_empty_string(make_sink: MakeSink) -> None:
    pages = table()
    sink = make_sink(pages)
    sink.write(upserts(pages, {"country": None, "views": 1}, {"country": "", "views": 2}))
    sink.write(upserts(pages, {"country": None, "views": 5, "_events": 5}))
    assert read(sink, "pages", "country", "views") == [("", 2), (None, 5)]


def test_every_type_comes_back_as_it_was(make_sink: MakeSink) -> None:
    kinds = {
        "text": STRING,
        "flag": BOOL,
        "whole": INT,
        "real": FLOAT,
        "money": decimal_type(38, 18),
        "small": decimal_type(9, 2),
        "moment": TIMESTAMP,
        "day": DATE,
        "counts": list_type(INT),
        "names": list_type(STRING),
        "top": list_type(counted_type(STRING)),
        "top_sums": list_type(counted_type(decimal_type(38, 2))),
        "top_times": list_type(counted_type(TIMESTAMP)),
        "top_days": list_type(counted_type(DATE)),
        "top_flags": list_type(counted_type(BOOL)),
    }
    measures = [Column(name, kind, nullable=True) for name, kind in kinds.items()]
    wide = table(measures=measures, is_calendar=True)
    row = {
        "window_date": dt.date(2024, 1, 1),
        "text": "é'\\\n`\0",
        "flag": True,
        "whole": -(2**63),
        "real": 0.1 + 0.2,
        "money": Decimal("-99999999999999999999.999999999999999999"),
        "small": Decimal("-1234567.89"),
        "moment": dt.datetime(1969, 12, 31, 23, 59, 59, 999000, dt.UTC),
        "day": dt.date(1969, 1, 1),
        "counts": [2**63 - 1, 0],
        "names": ["a", ""],
        "top": [{"value": "é", "count": 2**40}, {"value": "", "count": 1}],
        "top_sums": [{"value": Decimal("-0.01"), "count": 1}],
        "top_times": [{"value": dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC), "count": 1}],
        "top_days": [{"value": dt.date(2024, 2, 29), "count": 1}],
        "top_flags": [{"value": True, "count": 3}],
    }
    empty = dict.fromkeys(kinds) | {"country": "none", "window_date": dt.date(2024, 1, 1)}
    sink = make_sink(wide)
    batch = upserts(wide, row, empty)
    sink.write(batch)

    back = sink.read_back("pages_1m").sort_by("country")

    assert back.schema.names == batch.rows.schema.names
    assert back.schema.types == batch.rows.schema.types
    full, nulls = back.to_pylist()
    assert {name: full[name] for name in row} == row
    # Arrays have no null in ClickHouse.
    lists = {name: [] for name, kind in kinds.items() if kind.kind is Kind.LIST}
    assert {name: nulls[name] for name in kinds} == dict.fromkeys(kinds) | lists


def test_names_that_are_words_of_sql_are_names(make_sink: MakeSink) -> None:
    odd = table(
        metric="select_it",
        key=[Column("key", STRING, nullable=True), Column("order", STRING, nullable=True)],
        measures=[Column("value", INT), Column("measure", INT), Column("from", INT)],
    )
    sink = make_sink(odd)
    sink.write(upserts(odd, {"key": "k", "order": "o", "value": 1, "measure": 2, "from": 3}))
    assert read(sink, "select_it", "key", "order", "value") == [("k", "o", 1)]
    assert read(sink, "minly_aggs", "key", "measure", "value") == [
        ([("key", "k"), ("order", "o")], "from", 3.0),
        ([("key", "k"), ("order", "o")], "measure", 2.0),
        ([("key", "k"), ("order", "o")], "value", 1.0),
    ]


def test_metric_without_a_key_is_one_row_a_window(make_sink: MakeSink) -> None:
    total = table(key=())
    sink = make_sink(total)
    sink.write(upserts(total, {"views": 4, "revenue": None}))
    assert read(sink, "pages", "views", "_late") == [(4, 0)]
    assert read(sink, "minly_aggs", "key", "value") == [([], 4.0), ([], None)]


def test_state_follows_progress_and_late_events(make_sink: MakeSink) -> None:
    pages = table()
    sink = make_sink(pages)
    sink.write(
        upserts(
            pages,
            {"country": "BE"},
            {"country": "FR", "_late": 1},
            {"country": "BE", "window_start": NOON_MS + MINUTE_MS, "_late": 1},
        )
    )

    def states() -> list[str]:
        return [s for _, _, s in read(sink, "pages", "window_start", "country", "_state")]

    assert states() == ["provisional"] * 3
    ends_ms = NOON_MS + MINUTE_MS
    sink.write_progress(
        [Progress("pages", "1m", ends_ms - 1, 1), Progress("pages", "1h", 2**42, 9)]
    )
    assert states() == ["provisional"] * 3
    sink.write_progress([Progress("pages", "1m", ends_ms, 2)])
    assert states() == ["final", "corrected", "provisional"]
    sink.write_progress([Progress("pages", "1m", ends_ms + MINUTE_MS, 3)])
    assert states() == ["final", "corrected", "corrected"]
    assert read(sink, "pipelinekit_progress", "metric", "grain", "closed_through")[1] == (
        "pages", "1m", dt.datetime(2024, 1, 1, 12, 2, tzinfo=dt.UTC)
    )  # fmt: skip


def test_minly_and_hourly_aggs_hold_the_numbers_of_all_metrics(make_sink: MakeSink) -> None:
    loads = [Column("p95", FLOAT, nullable=True), Column("seen", BOOL), Column("top", STRING)]
    pages = table()
    hourly = table(grain="1h", is_finest=False)
    speed = table(metric="speed", measures=loads, key=[Column("ok", BOOL, nullable=True)])
    sink = make_sink(pages, hourly, speed)
    sink.write(upserts(pages, {"country": None, "revenue": Decimal("1.5")}, {"country": ""}))
    sink.write(upserts(hourly, {"views": 9}))
    sink.write(upserts(speed, {"ok": True, "p95": None, "seen": True, "top": "x"}))

    minly = read(sink, "minly_aggs", "metric_type", "key", "measure", "value")

    assert minly == [
        ("pages", [("country", "")], "revenue", None),
        ("pages", [("country", "")], "views", 1.0),
        ("pages", [], "revenue", 1.5),
        ("pages", [], "views", 1.0),
        ("speed", [("ok", "true")], "p95", None),
    ]
    assert read(sink, "hourly_aggs", "metric_type", "measure", "value", "window_start") == [
        ("pages", "revenue", None, dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)),
        ("pages", "views", 9.0, dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)),
    ]


@pytest.mark.parametrize(
    ("by", "step_ms"), [(PartitionBy.DAY, DAY_MS), (PartitionBy.MONTH, 31 * DAY_MS)]
)
def test_batch_over_150_partitions_is_written_whole(
    make_sink: MakeSink, by: PartitionBy, step_ms: int
) -> None:
    pages = table(partition_by=by)
    sink = make_sink(pages)
    starts = [NOON_MS + n * step_ms for n in range(150)]
    sink.write(upserts(pages, *({"window_start": s} for s in reversed(starts))))
    assert sink.read_back("pages_1m").num_rows == 150


def test_empty_batch_asks_nothing(make_sink: MakeSink) -> None:
    sink = make_sink(url="http://127.0.0.1:1", retry_s=0)
    sink.write(upserts(table()))
    sink.write_progress([])
    sink.write_ledger([])


def test_ledger_entry_sent_again_changes_nothing_and_the_newest_wins(make_sink: MakeSink) -> None:
    sink = make_sink(table())
    old = LedgerEntry("job", "events", "", 0, Outcome.ACCEPTED, 100, 90)
    new = LedgerEntry("job", "events", "", 0, Outcome.ACCEPTED, 200, 180)
    other = LedgerEntry("job", "events", "pages", 0, Outcome.COUNTED, 200, 170)
    sink.write_ledger([new, other])
    sink.write_ledger([old])
    sink.write_ledger([new])
    # A metric that starts anew counts from zero again.
    sink.write_ledger([LedgerEntry("job", "events", "pages", 0, Outcome.COUNTED, 300, 5)])
    assert read(sink, "pipelinekit_ledger", "metric", "outcome", "offset", "count") == [
        ("", "accepted", 200, 180),
        ("pages", "counted", 300, 5),
    ]


def test_ledger_of_a_newer_epoch_holds_at_a_lower_offset(make_sink: MakeSink) -> None:
    sink = make_sink(table())
    old = LedgerEntry("job", "events", "", 0, Outcome.ACCEPTED, 200, 180, epoch=1)
    new = LedgerEntry("job", "events", "", 0, Outcome.ACCEPTED, 100, 90, epoch=2)
    sink.write_ledger([new])
    sink.write_ledger([old])
    assert read(sink, "pipelinekit_ledger", "offset", "count") == [(100, 90)]


def test_epoch_is_that_of_the_newest_row_and_none_without_tables(make_sink: MakeSink) -> None:
    pages = table()
    sink = make_sink(pages)
    assert sink.epoch([pages]) == 0
    sink.write(upserts(pages, {"_version": 7 << 48 | 3}, {"_version": 2 << 48 | 9}))
    assert sink.epoch([pages, table(metric="not_there")]) == 7


def test_null_where_none_may_be_is_refused_and_nothing_is_written(make_sink: MakeSink) -> None:
    pages = table()
    sink = make_sink(pages)
    with pytest.raises(Refused) as refused:
        sink.write(upserts(pages, {"country": "FR"}, {"views": None}))
    assert 'an insert of 2 rows into "' in refused.value.message
    assert "pages_1m" in refused.value.message
    assert "views UInt64" in refused.value.message
    assert sink.read_back("pages_1m").num_rows == 0


def test_table_dropped_while_writing_is_refused_with_the_next_step(
    make_sink: MakeSink, database: str
) -> None:
    pages = table()
    sink = make_sink(pages)
    sink.write(upserts(pages, {}))
    sink.apply([f"DROP TABLE `{database}`.pages_1m"])
    with pytest.raises(Refused) as refused:
        sink.write(upserts(pages, {}))
    assert f'there is no table "pages_1m" in database "{database}"' in refused.value.message
    assert "INSERT INTO" in refused.value.message
    assert "pipelinekit ddl --apply" in (refused.value.help or "")


def test_column_that_is_not_there_is_refused_with_what_is(make_sink: MakeSink) -> None:
    sink = make_sink(table())
    more = table(measures=[*table().measures, Column("visitors", INT, nullable=True)])
    with pytest.raises(Refused, match="visitors") as refused:
        sink.write(upserts(more, {"visitors": 3}))
    assert "revenue Nullable(Decimal(38, 4))" in refused.value.message
    assert "pipelinekit ddl" in (refused.value.help or "")


def test_read_of_what_is_not_there_is_refused(make_sink: MakeSink) -> None:
    sink = make_sink(table())
    with pytest.raises(Refused, match="nothing_here"):
        sink.read_back("nothing_here")


def test_reads_run_beside_writes(make_sink: MakeSink) -> None:
    from concurrent.futures import ThreadPoolExecutor

    pages = table()
    sink = make_sink(pages)
    sink.write(upserts(pages, {}))
    with ThreadPoolExecutor(4) as threads:
        reads = [threads.submit(sink.read_back, "pages") for _ in range(16)]
        for events in range(2, 10):
            sink.write(upserts(pages, {"_events": events}))
        counts = [read.result().num_rows for read in reads]
    assert counts == [1] * 16
