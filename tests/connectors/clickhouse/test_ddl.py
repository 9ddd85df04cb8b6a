from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pipelinekit.connectors.clickhouse.sink import ClickHouseSink
from pipelinekit.data import Column, PartitionBy, SinkSchema, Table
from pipelinekit.errors import Refused
from pipelinekit.types import FLOAT, INT, STRING
from pipelinekit.units import DAY_MS
from tests.connectors.tables import COUNTRY, REVENUE, VIEWS, table, upserts

pytestmark = pytest.mark.clickhouse
MakeSink = Callable[..., ClickHouseSink]
VISITORS = Column("visitors", INT, unsigned=True, description="It's people", unit="users")


def schema(*tables: Table) -> SinkSchema:
    return SinkSchema("job", tables)


def apply(sink: ClickHouseSink, *tables: Table) -> list[str]:
    statements = sink.ddl(schema(*tables))
    sink.apply(statements)
    return statements


def values(sink: ClickHouseSink, name: str, *columns: str) -> list[dict[str, Any]]:
    return sink.read_back(name).select(list(columns)).to_pylist()


def described(sink: ClickHouseSink, database: str, name: str) -> dict[str, str]:
    """What the server says of a table."""
    answer = sink.query(
        "SELECT engine_full, sorting_key, partition_key, comment FROM system.tables "
        f"WHERE database = '{database}' AND name = '{name}'"
    )
    row: dict[str, str] = answer.to_pylist()[0]
    return row


def test_second_look_finds_nothing_to_do(make_sink: MakeSink) -> None:
    tables = (
        table(measures=[VIEWS, REVENUE, VISITORS], retired_after_ms=30 * DAY_MS),
        table(grain="1d", is_finest=False, is_calendar=True, partition_by=PartitionBy.MONTH),
        table(metric="total", key=()),
    )
    sink = make_sink()
    first = apply(sink, *tables)
    assert first[0].startswith("CREATE DATABASE")
    assert len(first) == 1 + 2 + 3 + 3 + 2  # database, progress and ledger, tables, views, aggs
    assert sink.ddl(schema(*tables)) == []


def test_table_is_sorted_and_partitioned_by_time_and_says_what_it_is(
    make_sink: MakeSink, database: str
) -> None:
    sink = make_sink(table(measures=[VISITORS]))
    found = described(sink, database, "pages_1m")
    assert found["engine_full"].startswith("ReplacingMergeTree(_version) ")
    assert found["sorting_key"] == "window_start, window_end, country"
    assert found["partition_key"] == "toYYYYMMDD(window_start)"
    assert found["comment"] == "pipelinekit:pages:1:f1"
    comments = sink.query(
        f"SELECT name, comment FROM system.columns WHERE database = '{database}' "
        "AND table = 'pages_1m' AND name IN ('visitors', '_late')"
    )
    assert {c["name"]: c["comment"] for c in comments.to_pylist()} == {
        "visitors": "It's people [users]",
        "_late": "of them, after the window closed",
    }
    assert described(sink, database, "pages")["comment"].startswith("pipelinekit:pages:1:f1 ")


def test_older_version_with_a_grain_more_is_left_out_of_another_jobs_view_of_all_metrics(
    make_sink: MakeSink, database: str
) -> None:
    sink = make_sink(table(), table(grain="1h", is_finest=False))
    apply(sink, table(version=2))
    before = described(sink, database, "minly_aggs")["comment"]
    assert sink.ddl(SinkSchema("another job", (table(version=2),))) == []
    apply(sink, table(metric="other", grain="1d"))
    assert described(sink, database, "minly_aggs")["comment"] == before


def test_added_measure_is_null_in_rows_that_were_there(make_sink: MakeSink) -> None:
    old, new = table(), table(measures=[VIEWS, VISITORS, REVENUE])
    sink = make_sink(old)
    sink.write(upserts(old, {"country": "BE"}))

    statements = apply(sink, new)

    assert "ADD COLUMN IF NOT EXISTS `visitors` Nullable(UInt64)" in statements[0]
    assert sink.ddl(schema(new)) == []
    sink.write(upserts(new, {"country": "FR", "visitors": 7}))
    rows = values(sink, "pages", "country", "visitors", "_state")
    assert sorted(rows, key=lambda r: r["country"]) == [
        {"country": "BE", "visitors": None, "_state": "provisional"},
        {"country": "FR", "visitors": 7, "_state": "provisional"},
    ]
    assert {r["measure"] for r in values(sink, "minly_aggs", "measure")} == {
        "views",
        "visitors",
        "revenue",
    }


def test_removed_measure_leaves_its_column_but_no_view(make_sink: MakeSink) -> None:
    old, new = table(measures=[VIEWS, REVENUE]), table(measures=[REVENUE])
    sink = make_sink(old)
    sink.write(upserts(old, {"views": 3}))

    apply(sink, new)

    assert sink.ddl(schema(new)) == []
    assert values(sink, "pages_1m", "views") == [{"views": 3}]
    assert "views" not in sink.read_back("pages").column_names
    assert {r["measure"] for r in values(sink, "minly_aggs", "measure")} == {"revenue"}
    apply(sink, old)
    assert sink.ddl(schema(old)) == []
    assert values(sink, "pages", "views") == [{"views": 3}]


def test_other_job_of_the_same_database_is_left_alone(make_sink: MakeSink) -> None:
    pages = table(measures=[VIEWS, Column("average", FLOAT), Column("top", STRING)])
    orders = table(metric="orders", key=(), measures=[Column("count_of", INT, unsigned=True)])
    sink = make_sink()
    apply(sink, pages)
    apply(sink, orders)
    sink.write(upserts(pages, {"average": 1.5, "top": "x"}))
    sink.write(upserts(orders, {"count_of": 2}))

    assert sink.ddl(schema(pages)) == []
    assert sink.ddl(schema(orders)) == []
    rows = values(sink, "minly_aggs", "metric_type", "measure", "value")
    assert sorted((r["metric_type"], r["measure"], r["value"]) for r in rows) == [
        ("orders", "count_of", 2.0),
        ("pages", "average", 1.5),
        ("pages", "views", 1.0),
    ]


def test_raised_version_moves_the_views_and_keeps_the_old_table(make_sink: MakeSink) -> None:
    old = table()
    new = table(version=2, key=[Column("device", STRING, nullable=True)], fingerprint="f2")
    orders = table(metric="orders")
    sink = make_sink(old, orders)
    sink.write(upserts(old, {"views": 1}))

    apply(sink, new)

    sink.write(upserts(new, {"device": "phone", "views": 2}))
    assert values(sink, "pages", "device", "views") == [{"device": "phone", "views": 2}]
    assert values(sink, "pages_1m", "country", "views") == [{"country": "BE", "views": 1}]
    assert {r["value"] for r in values(sink, "minly_aggs", "value")} == {2.0, None}
    assert sink.ddl(schema(new)) == []
    assert sink.ddl(schema(orders)) == []


def test_other_filter_changes_comments_only(make_sink: MakeSink, database: str) -> None:
    sink = make_sink(table())
    statements = apply(sink, table(fingerprint="f2"))
    assert [s.split("`")[0] for s in statements] == ["ALTER TABLE ", "CREATE OR REPLACE VIEW "]
    assert described(sink, database, "pages_1m")["comment"] == "pipelinekit:pages:1:f2"
    assert sink.ddl(schema(table(fingerprint="f2"))) == []


def test_view_changed_by_hand_is_put_right(make_sink: MakeSink, database: str) -> None:
    pages = table()
    sink = make_sink(pages)
    sink.apply([f"CREATE OR REPLACE VIEW `{database}`.pages AS SELECT 1 AS x"])
    assert len(apply(sink, pages)) == 1
    assert "_state" in sink.read_back("pages").column_names


def test_how_long_rows_are_kept_follows_the_table(make_sink: MakeSink, database: str) -> None:
    pages = table()
    sink = make_sink(pages)
    for kept_ms in (30 * DAY_MS, 7 * DAY_MS, None):
        kept = replace(pages, retired_after_ms=kept_ms)
        assert len(apply(sink, kept)) == 1
        assert sink.ddl(schema(kept)) == []
        clause = f"toIntervalSecond({(kept_ms or 0) // 1000})"
        assert (clause in described(sink, database, "pages_1m")["engine_full"]) == bool(kept_ms)


RESHAPED = [
    (table(measures=[VIEWS, Column("revenue", FLOAT)]), 'column "revenue" is Nullable(Decimal(38'),
    (table(measures=[replace(VIEWS, unsigned=False), REVENUE]), "is UInt64, not Int64"),
    (table(key=[COUNTRY, Column("device", STRING, nullable=True)]), "sorting key is (window_start"),
    (table(key=[replace(COUNTRY, type=INT)]), 'column "country" is Nullable(String), not'),
    (table(partition_by=PartitionBy.MONTH), "partition key is (toYYYYMMDD(window_start))"),
]


@pytest.mark.parametrize(("changed", "difference"), RESHAPED, ids=lambda v: str(v)[:24])
def test_another_shape_is_refused_with_what_differs(
    make_sink: MakeSink, changed: Table, difference: str
) -> None:
    sink = make_sink(table())
    with pytest.raises(Refused) as refused:
        sink.ddl(schema(changed))
    assert 'table "pages_1m": its ' in refused.value.message
    assert difference in refused.value.message
    assert "raise `version`" in (refused.value.help or "")


def test_foreign_table_under_our_names_is_refused(make_sink: MakeSink, database: str) -> None:
    sink = make_sink()
    sink.apply(
        [
            f"CREATE DATABASE `{database}`",
            f"CREATE TABLE `{database}`.pages (a Int64) ENGINE = MergeTree ORDER BY a",
            f"CREATE TABLE `{database}`.pages_1m (a Int64) ENGINE = MergeTree ORDER BY a",
        ]
    )
    with pytest.raises(Refused) as refused:
        sink.ddl(schema(table()))
    assert '"pages" is a table (engine MergeTree) where a view belongs' in refused.value.message
    assert "its engine is MergeTree" in refused.value.message
