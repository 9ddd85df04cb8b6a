from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import pyarrow as pa
import pytest

from pipelinekit.columns import arrow_type
from pipelinekit.connectors.kafka.sink import KafkaSink
from pipelinekit.connectors.kafka.source import KafkaSource
from pipelinekit.data import (
    Column,
    LedgerEntry,
    Outcome,
    PartitionBy,
    Progress,
    SinkSchema,
    Table,
    Upserts,
)
from pipelinekit.errors import Refused, Unreachable, UsageError
from pipelinekit.types import (
    BOOL,
    DATE,
    FLOAT,
    INT,
    STRING,
    TIMESTAMP,
    counted_type,
    decimal_type,
    list_type,
)
from tests.connectors.kafka.logs import read_to_end

pytestmark = pytest.mark.kafka

T0 = 1_704_067_200_000
MINUTE = 60_000


def table(name: str = "views_1m", **changes) -> Table:
    given = {
        "metric": "views",
        "metric_version": 1,
        "grain": "1m",
        "key": (Column("country", STRING, nullable=True), Column("day", DATE, nullable=True)),
        "measures": (
            Column("views", INT, unsigned=True),
            Column("revenue", decimal_type(38, 4), nullable=True),
            Column("seen_at", TIMESTAMP, nullable=True),
            Column("share", FLOAT, nullable=True),
            Column("ok", BOOL, nullable=True),
            Column("top", list_type(decimal_type(10, 2)), nullable=True),
            Column("days", list_type(counted_type(DATE)), nullable=True),
        ),
        "is_finest": True,
        "is_calendar": False,
        "partition_by": PartitionBy.DAY,
        "retired_after_ms": None,
        "comment": "pipelinekit:views:1:abc",
    }
    return Table(name=name, **(given | changes))


def upserts(of: Table, rows: list[dict]) -> Upserts:
    schema = pa.schema(
        [(c.name, pa.uint64() if c.unsigned else arrow_type(c.type)) for c in of.columns]
    )
    return Upserts(of, pa.Table.from_pylist(rows, schema=schema))


def row(country: str | None, minute: int = 0, version: int = 1, **changes) -> dict:
    return {
        "country": country,
        "day": date(2024, 1, 1),
        "window_start": T0 + minute * MINUTE,
        "window_end": T0 + (minute + 1) * MINUTE,
        "views": 7,
        "revenue": Decimal("12345678901234567890123456.7890"),
        "seen_at": T0 + 1,
        "share": 0.1,
        "ok": True,
        "top": [Decimal("1.50"), None],
        "days": [{"value": date(2024, 1, 31), "count": 2}],
        "_events": 7,
        "_late": 0,
        "_version": (3 << 48) | version,
        "_watermark": T0 + 5,
        "_updated_at": T0 + 6,
    } | changes


def empty(country: str | None) -> dict:
    return row(country, revenue=None, seen_at=None, share=None, ok=None, top=None, day=None)


@pytest.fixture
def sink(brokers, topic_name):
    sink = KafkaSink(brokers, topic_name)
    sink.apply(sink.ddl(SinkSchema("job", (table(),))))
    yield sink
    sink.close()


def raw(sink: KafkaSink) -> list[tuple[bytes, dict]]:
    source = KafkaSource(sink.brokers, sink.topic)
    reader = source.open(dict.fromkeys(source.partitions(), 0))
    got = read_to_end(reader, set(source.partitions()))
    reader.close()
    return [(k, json.loads(v)) for k, v in zip(got["keys"], got["values"], strict=True)]


def test_ddl_makes_the_topic_once(brokers, topic_name):
    sink = KafkaSink(brokers, topic_name)
    statements = sink.ddl(SinkSchema("job"))

    sink.apply(statements)

    assert statements == [
        f"create topic {topic_name} partitions 4 replication -1 "
        "retention.ms=86400000 message.timestamp.type=CreateTime"
    ]
    assert sink.ddl(SinkSchema("job")) == []
    sink.close()


def test_a_row_is_one_message_keyed_by_the_metric(sink):
    sink.write(upserts(table(), [row("BE")]))

    assert raw(sink) == [
        (
            b"views",
            {
                "type": "row",
                "metric": "views",
                "metric_version": 1,
                "table": "views_1m",
                "grain": "1m",
                "key": {"country": "BE", "day": "2024-01-01"},
                "measures": {
                    "views": 7,
                    "revenue": "12345678901234567890123456.7890",
                    "seen_at": T0 + 1,
                    "share": 0.1,
                    "ok": True,
                    "top": ["1.50", None],
                    "days": [{"value": "2024-01-31", "count": 2}],
                },
                "window_start": T0,
                "window_end": T0 + MINUTE,
                "events": 7,
                "late": 0,
                "version": (3 << 48) | 1,
                "watermark": T0 + 5,
                "updated_at": T0 + 6,
            },
        )
    ]


def test_rows_read_back_as_they_were_written(sink):
    rows = [row("BE"), row(None), row('a "quoted"\n\\ name – ü', 1), empty(""), row("NL", 2)]
    written = upserts(table(), rows)

    sink.write(written)

    assert sink.read_back("views_1m").to_pylist() == written.rows.to_pylist()
    assert sink.read_back("views_1m").schema == written.rows.schema


def test_the_greatest_version_of_a_row_is_read_back_whatever_the_order(sink):
    sink.write(upserts(table(), [row("BE", version=2, views=2), row("NL", version=1, views=9)]))
    sink.write(upserts(table(), [row("BE", version=1, views=1), row("BE", minute=1, views=5)]))
    sink.write(upserts(table(), [row("BE", version=2, views=2)]))

    got = sink.read_back("views_1m").select(["country", "window_start", "views"]).to_pylist()

    assert [(r["country"], r["views"]) for r in got] == [("BE", 2), ("NL", 9), ("BE", 5)]


def test_the_view_says_which_rows_are_final_or_corrected(sink):
    sink.write(upserts(table(), [row("BE"), row("NL", _late=1), row("BE", minute=1)]))
    sink.write_progress(
        [
            Progress("views", "1m", T0, T0),
            Progress("views", "1m", T0 + MINUTE, T0),
            Progress("views", "1h", T0 + 99 * MINUTE, T0),
        ]
    )

    got = sink.read_back("views").to_pylist()

    assert [r["_state"] for r in got] == ["final", "corrected", "provisional"]


def test_progress_and_ledger_are_messages_too(sink):
    sink.write_progress([Progress("views", "1m", T0, T0 + 3)])
    sink.write_ledger(
        [
            LedgerEntry("job", "events", "", 0, Outcome.ACCEPTED, 10, 9),
            LedgerEntry("job", "events", "", 0, Outcome.ACCEPTED, 20, 18),
            LedgerEntry("job", "events", "views", 0, Outcome.TOO_LATE, 20, 1),
        ]
    )

    assert raw(sink)[0] in (
        (
            b"views",
            {
                "type": "closed_through",
                "metric": "views",
                "grain": "1m",
                "closed_through": T0,
                "updated_at": T0 + 3,
            },
        ),
        (
            b"pipelinekit_ledger",
            {
                "type": "ledger",
                "job": "job",
                "source": "events",
                "metric": "",
                "partition": 0,
                "outcome": "accepted",
                "offset": 10,
                "count": 9,
            },
        ),
    )
    progress = sink.read_back("pipelinekit_progress").select(["metric", "grain"]).to_pylist()
    assert progress == [{"metric": "views", "grain": "1m"}]
    ledger = sink.read_back("pipelinekit_ledger").select(["outcome", "offset", "count"])
    assert ledger.to_pylist() == [
        {"outcome": "accepted", "offset": 20, "count": 18},
        {"outcome": "too_late", "offset": 20, "count": 1},
    ]


def test_a_metric_without_a_key_and_a_calendar_window_round_trip(sink):
    days = table("all_1d", metric="all", grain="1d", key=(), is_calendar=True)
    one = {k: v for k, v in row("x").items() if k not in ("country", "day")}
    written = upserts(days, [one | {"window_date": date(2024, 1, 1)}])

    sink.write(written)

    assert raw(sink)[0][1]["key"] == {}
    assert raw(sink)[0][1]["window_date"] == "2024-01-01"
    assert sink.read_back("all_1d").to_pylist() == written.rows.to_pylist()


def test_many_rows_are_written_in_order(sink):
    rows = [row(f"c{n}", views=n) for n in range(20_000)]

    sink.write(upserts(table(), rows))

    assert sink.read_back("views_1m")["views"].to_pylist() == list(range(20_000))


def test_an_empty_write_and_an_empty_topic_are_fine(sink):
    sink.write(upserts(table(), []))
    sink.write_progress([])

    assert sink.read_back("views_1m").num_rows == 0


def test_reading_back_an_unknown_table_says_which_are_known(sink):
    with pytest.raises(UsageError, match='table "visits" is not known here: known are views_1m'):
        sink.read_back("visits")


def test_check_says_what_answers(sink):
    assert sink.check() == f"Kafka at {sink.brokers}, 1 broker"


def test_a_missing_topic_is_refused(brokers):
    sink = KafkaSink(brokers, "no_such_aggregates", timeout_ms=7_000)

    with pytest.raises(Refused, match='topic "no_such_aggregates" does not exist'):
        sink.write(upserts(table(), [row("BE")]))
    sink.close()


def test_an_unreachable_broker_is_told_in_bounded_time(free_port):
    sink = KafkaSink(f"127.0.0.1:{free_port}", "aggregates", timeout_ms=1_000)

    with pytest.raises(Unreachable, match=f"127.0.0.1:{free_port} did not answer within 1 s"):
        sink.check()
    with pytest.raises(Unreachable, match=f"127.0.0.1:{free_port} did not acknowledge within 1 s"):
        sink.write(upserts(table(), [row("BE")]))
    sink.close()
