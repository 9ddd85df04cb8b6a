"""Second stages in ClickHouse against the engine: the same rows, whatever lies in the tables."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelinekit.columns import arrow_type
from pipelinekit.connectors.clickhouse.sink import ClickHouseSink
from pipelinekit.connectors.clickhouse.sql import identifier
from pipelinekit.data import Progress, Table, Upserts
from pipelinekit.devstack.clickhouse import ClickHouse
from pipelinekit.plan.build import build
from pipelinekit.plan.model import Plan
from pipelinekit.plan.tables import sink_schemas, tables_of
from pipelinekit.runtime.outcome import Row
from pipelinekit.runtime.stage_rows import stage_rows
from tests.plan.projects import resolved

pytestmark = pytest.mark.clickhouse
MINUTES = """\
kind: metric
name: minutes
source: events
key: [country, bot]
measures:
  n: count()
  total: sum(amount)
  slowest: max(load)
  mean: avg(load)
  seen: any_true(bot)
window: { tumbling: 1m }
lateness: { allowed: 10m }
sink: store
"""
SESSIONS = """\
kind: metric
name: visits
source: events
key: [user]
measures: { n: count(), country: last(country) }
window: { session: 30m, max: 4h }
lateness: { allowed: 10m }
sink: store
"""
BY_HOUR = """\
kind: metric
name: by_hour
from: minutes
filter: n > 0 and not bot
key: [{ name: region, expr: "upper(country)", values: [BE, NL] }]
measures:
  minutes: count()
  n: sum(n)
  total: sum(total)
  with_money: count(total)
  few: { measure: count(), filter: n < 3 }
  few_share: { ratio: [few, minutes] }
  a_second: { rate_per_second: minutes }
  slowest: max(slowest)
  quickest: { measure: min(slowest), filter: total > 0.0 }
  mean: avg(mean)
  spread: stddev(slowest)
  wide: variance(mean)
  seen: any_true(seen)
  only: all_true(seen)
  values: { measure: count_distinct(slowest), max_values: 3 }
  first_at: min(window_start)
window: { tumbling: 1h }
"""
BY_DAY = """\
kind: metric
name: by_day
from: visits
key: [country]
measures:
  visits: count()
  bounced: { measure: count(), filter: n = 1 }
  bounce_rate: { ratio: [bounced, visits] }
  length_s: avg(_seconds)
  events: sum(_events)
window: { tumbling: 1d, timezone: America/Sao_Paulo }
"""
_START_MS = 1_711_839_600_000  # 2024-03-30T23:00:00Z: a day of 23 hours follows in Brussels
_TEXTS = st.none() | st.sampled_from(("be", "NL", "fr", ""))
_INTS = st.none() | st.integers(-5, 5) | st.sampled_from((2**63 - 1, -(2**63)))
_FLOATS = st.none() | st.sampled_from((0.0, 1.5, -2.25, 1e150, 3.0))
_MONEY = st.none() | st.integers(-(10**20), 10**20).map(lambda n: Decimal(n).scaleb(-2))
_MINUTE_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "country": _TEXTS, "bot": st.booleans(), "n": st.integers(0, 5), "total": _MONEY,
            "slowest": _INTS, "mean": _FLOATS, "seen": st.none() | st.booleans(),
            "at": st.integers(0, 200), "_late": st.integers(0, 1),
        }
    ),
    max_size=12,
    unique_by=lambda row: (row["country"], row["bot"], row["at"]),
)  # fmt: skip
_VISIT_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "user": _TEXTS, "country": _TEXTS, "n": st.integers(1, 3),
            "at": st.integers(0, 3000), "length": st.integers(1, 200), "_late": st.just(0),
        }
    ),
    max_size=12,
    unique_by=lambda row: (row["user"], row["at"]),
)  # fmt: skip


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    files = {"metrics/minutes.yaml": MINUTES, "metrics/visits.yaml": SESSIONS,
             "metrics/by_hour.yaml": BY_HOUR, "metrics/by_day.yaml": BY_DAY}  # fmt: skip
    folder: Path = tmp_path_factory.mktemp("stages")
    (made,) = build(resolved(folder, metric=None, **files))
    return made


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(rows=_MINUTE_ROWS)
def test_the_view_agrees_with_the_engine_over_tumbling_windows(
    clickhouse: ClickHouse, plan: Plan, rows: list[Mapping[str, Any]]
) -> None:
    full = [_row(row, row["at"] * 60_000, 60_000) for row in rows]
    assert _differences(clickhouse, plan, "by_hour", full) == []


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(rows=_VISIT_ROWS)
def test_the_view_agrees_with_the_engine_over_sessions_and_local_days(
    clickhouse: ClickHouse, plan: Plan, rows: list[Mapping[str, Any]]
) -> None:
    full = [_row(row, row["at"] * 60_000, row["length"] * 60_000) for row in rows]
    assert _differences(clickhouse, plan, "by_day", full) == []


@pytest.mark.parametrize(
    ("closed", "late", "state"),
    [("01:00", 0, "final"), ("00:59", 0, "provisional"), ("01:00", 1, "corrected")],
)
def test_a_row_is_final_when_its_metric_is_closed_through_its_window(
    clickhouse: ClickHouse, plan: Plan, closed: str, late: int, state: str
) -> None:
    row = {"country": "be", "bot": False, "n": 1, "_late": late}
    with _Filled(clickhouse, plan, "by_hour", [_row(row, 3_600_000, 60_000)]) as filled:
        filled.close_through(f"2024-03-31T{closed}:00Z")
        assert [r["_state"] for r in filled.view()] == [state]


def test_a_window_of_sessions_is_open_until_none_that_began_in_it_can_come(
    clickhouse: ClickHouse, plan: Plan
) -> None:
    row = {"user": "u", "country": "be", "n": 1, "_late": 0}
    with _Filled(clickhouse, plan, "by_day", [_row(row, 0, 60_000)]) as filled:
        filled.close_through("2024-03-31T06:59:00Z")  # the day ended at three, plus four hours
        assert [r["_state"] for r in filled.view()] == ["provisional"]
        filled.close_through("2024-03-31T07:00:00Z")
        assert [r["_state"] for r in filled.view()] == ["final"]


def _row(row: Mapping[str, Any], at_ms: int, length_ms: int) -> dict[str, Any]:
    """A row of the metric's table, its window that far behind the start."""
    start = dt.datetime.fromtimestamp((_START_MS + at_ms) / 1000, dt.UTC)
    end = start + dt.timedelta(milliseconds=length_ms)
    own = {k: v for k, v in row.items() if k not in ("at", "length")}
    stamp = dt.datetime(2099, 5, 1, tzinfo=dt.UTC)  # within the table's retention
    return {
        "total": None, "slowest": None, "mean": None, "seen": None, **own,
        "window_start": start, "window_end": end, "_events": 2, "_version": 2,
        "_watermark": stamp, "_updated_at": stamp,
    }  # fmt: skip


class _Filled:
    """A database with the rows in the table of the stage's metric."""

    def __init__(
        self, clickhouse: ClickHouse, plan: Plan, stage: str, rows: Sequence[Mapping[str, Any]]
    ) -> None:
        (self.stage,) = (s for s in plan.stages if s.name == stage)
        self.database = "analytics"
        self.sink = ClickHouseSink(clickhouse.url, self.database)
        self.metric = plan.metric(self.stage.over)
        (self.table,) = tables_of(self.metric)
        self.sink.apply(self.sink.ddl(sink_schemas(plan)["store"]))
        for name in (self.table.name, "pipelinekit_progress"):
            self.sink.apply([f"TRUNCATE TABLE {self.database}.{identifier(name)}"])
        if rows:
            self.sink.write(Upserts(self.table, _arrow(self.table, rows)))

    def __enter__(self) -> _Filled:
        return self

    def __exit__(self, *failure: object) -> None:
        self.sink.close()

    def close_through(self, time: str) -> None:
        at = round(dt.datetime.fromisoformat(time).timestamp() * 1000)
        grain = self.table.grain
        self.sink.write_progress([Progress(self.metric.name, grain, at, at)])

    def view(self) -> list[dict[str, Any]]:
        found = self.sink.query(f"SELECT * FROM {self.database}.{identifier(self.stage.name)}")
        rows: list[dict[str, Any]] = found.to_pylist()
        return rows


def _arrow(table: Table, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    columns = {
        c.name: pa.array([row[c.name] for row in rows], arrow_type(c.type)) for c in table.columns
    }
    return pa.table(columns)


def _differences(
    clickhouse: ClickHouse, plan: Plan, name: str, rows: Sequence[Mapping[str, Any]]
) -> list[str]:
    with _Filled(clickhouse, plan, name, rows) as filled:
        stage, grain = filled.stage, filled.table.grain
        expected = stage_rows(stage, plan.source, [Row(grain, row) for row in rows])
        columns = [c.name for c in tables_of(stage.metric)[0].columns]
        columns = [c for c in columns if c not in ("_version", "_watermark", "_updated_at")]
        key = (*(k.name for k in stage.metric.key), "window_start")
        actual = {tuple(row[n] for n in key): row for row in filled.view()}
        found = [f"{k}: not in the view" for k in _by(expected, key).keys() - actual.keys()]
        found += [f"{k}: in the view only" for k in actual.keys() - _by(expected, key).keys()]
        for identity, row in _by(expected, key).items():
            other = actual.get(identity, {})
            found += [
                f"{identity} {c}: the engine has {row[c]!r}, the view {other[c]!r}"
                for c in columns
                if c in other and not _is_same(row[c], other[c])
            ]
        return found


def _by(rows: Sequence[Row], key: Sequence[str]) -> dict[tuple[Any, ...], Mapping[str, Any]]:
    return {tuple(row.values[n] for n in key): row.values for row in rows}


def _is_same(expected: Any, actual: Any) -> bool:
    if isinstance(expected, float) and isinstance(actual, float):
        return math.isclose(expected, actual, rel_tol=1e-9, abs_tol=1e-9)
    return bool(expected == actual)
