"""What is left in a database of tables that no schema has, and how it goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from pipelinekit.connectors.clickhouse.sink import ClickHouseSink
from pipelinekit.data import SinkSchema, Table, View
from pipelinekit.errors import Refused
from tests.connectors.tables import NOON_MS, table, upserts

pytestmark = pytest.mark.clickhouse
MakeSink = Callable[..., ClickHouseSink]
BY_HOUR = table(grain="1h", is_finest=False)
OTHER = table(metric="other")


def dropped(sink: ClickHouseSink, database: str, *schemas: SinkSchema) -> list[str]:
    """The statements, `DROP VIEW pages` for short."""
    return [
        statement.replace(" IF EXISTS", "").replace(f"`{database}`.", "").replace("`", "")
        for statement in sink.retired(schemas)
    ]


def schema(*tables: Table, views: tuple[View, ...] = ()) -> SinkSchema:
    return SinkSchema("job", tables, views)


def test_nothing_is_retired_while_some_job_has_it(make_sink: MakeSink) -> None:
    sink = make_sink(table(), BY_HOUR, OTHER)
    assert sink.retired([schema(table(), BY_HOUR), schema(OTHER)]) == []


def test_a_database_that_is_not_there_has_nothing_retired(make_sink: MakeSink) -> None:
    assert make_sink().retired([]) == []


def test_nothing_is_told_before_the_view_has_left_the_older_version(make_sink: MakeSink) -> None:
    sink = make_sink(table())
    with pytest.raises(Refused, match="not yet as the specs want it") as caught:
        sink.retired([schema(table(version=2))])
    assert "ddl --apply" in str(caught.value.help)


def test_grain_and_version_that_are_no_more_are_dropped_and_the_moved_view_stays(
    make_sink: MakeSink, database: str
) -> None:
    sink = make_sink(table(), BY_HOUR)
    second = table(version=2)
    sink.apply(sink.ddl(schema(second)))
    assert dropped(sink, database, schema(second)) == [
        "DROP VIEW pages__1h",
        "DROP TABLE pages_1h",
        "DROP TABLE pages_1m",
    ]


def test_view_of_a_stage_is_dropped_with_its_spec(make_sink: MakeSink, database: str) -> None:
    stage = View("busy", f"SELECT 1 AS n FROM `{database}`.`pages`", "pipelinekit:busy:1:f2")
    sink = make_sink(table())
    sink.apply(sink.ddl(schema(table(), views=(stage,))))
    assert sink.retired([schema(table(), views=(stage,))]) == []
    assert dropped(sink, database, schema(table())) == ["DROP VIEW busy"]


def test_what_others_made_is_never_dropped(make_sink: MakeSink, database: str) -> None:
    sink = make_sink(table())
    sink.apply(
        [
            f"CREATE TABLE `{database}`.`notes` (a Int64) ENGINE = MergeTree ORDER BY a",
            f"CREATE TABLE `{database}`.`mine` (a Int64) ENGINE = MergeTree ORDER BY a "
            "COMMENT 'copied from pipelinekit:pages:1:f1'",
        ]
    )
    assert sink.retired([schema(table())]) == []


def test_views_of_all_metrics_stay_readable_and_as_ddl_wants_them(
    make_sink: MakeSink, database: str
) -> None:
    sink = make_sink(table(), OTHER)
    for one in (table(), OTHER):
        window = {"window_start": NOON_MS, "window_end": NOON_MS + 60_000}
        sink.write(upserts(one, {**window, "country": "BE", "views": 3}))
    statements = sink.retired([schema(table())])
    assert statements[0].startswith(f"CREATE OR REPLACE VIEW `{database}`.`minly_aggs`")

    for number, statement in enumerate(statements):
        sink.apply([statement])
        metrics = set(sink.read_back("minly_aggs")["metric_type"].to_pylist())
        assert metrics == {"pages"}, statements[number]

    assert sink.ddl(schema(table())) == []
    assert sink.retired([schema(table())]) == []


def test_view_of_all_metrics_is_left_alone_when_no_table_of_its_goes(
    make_sink: MakeSink, database: str
) -> None:
    daily = replace(table(metric="daily"), name="daily_1d", grain="1d")
    sink = make_sink(table(), daily)
    assert dropped(sink, database, schema(table())) == ["DROP VIEW daily", "DROP TABLE daily_1d"]
