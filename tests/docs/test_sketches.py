"""The queries of the page on sketches, on ClickHouse, against what the engine counts together."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelinekit.connectors.clickhouse.sink import ClickHouseSink
from pipelinekit.data import RawBatch, Upserts
from pipelinekit.devstack.clickhouse import ClickHouse
from pipelinekit.engine.ingest import Ingest
from pipelinekit.engine.lateness import PartitionTime
from pipelinekit.engine.panes import Metric, PaneStore
from pipelinekit.plan.build import build
from pipelinekit.plan.model import Plan
from pipelinekit.plan.tables import sink_schemas, tables_of
from tests.docs.test_docs import SPECS, found_in, placed

PAGE = Path(__file__).parents[2] / "docs/analyst/sketches.md"
HOUR_MS = 3_600_000
START_MS = 4_081_154_400_000  # 2099-04-29T10:00Z: within the tables' retention


def plan_of(folder: Path, old: str = "", new: str = "") -> Plan:
    """The page's metric, perhaps with something else in its text."""
    (block,) = (b for b in SPECS if b.page == PAGE)
    text = block.text.split("tests:")[0]
    assert old in text
    file = placed(replace(block, text=text.replace(old, new)), folder)
    resolved, errors = found_in(file, folder / "specs")
    assert not errors
    return build(resolved, {"reach"})[0]


def queries() -> list[str]:
    return re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def event(rng: random.Random, number: int) -> dict[str, Any]:
    return {
        "event_id": f"e{number}",
        "occurred_at": START_MS + rng.randrange(2 * HOUR_MS),
        "event_type": "view",
        "country": rng.choice(["BE", "NL", None]),
        "device": rng.choice(["mobile", "desktop"]),
        "user_id": f"u{int(rng.expovariate(1 / 900))}",
        "load_ms": rng.choice([None, 0, -rng.randrange(1, 50), int(rng.lognormvariate(6, 1))]),
        "session_id": "s",
    }


def counted(plan: Plan, events: Sequence[dict[str, Any]]) -> list[Upserts]:
    """The rows of all grains, as a run would write them."""
    count = len(events)
    batch = RawBatch(
        values=[json.dumps(e).encode() for e in events],
        partitions=np.zeros(count, np.int32),
        offsets=np.arange(count, dtype=np.int64),
        broker_times_ms=np.full(count, START_MS + 2 * HOUR_MS),
        keys=[None] * count,
        headers=[()] * count,
        positions={0: count},
    )
    taken = Ingest(plan.source, plan.metrics, {}, 1).take(
        batch, {0: PartitionTime(0)}, batch.broker_times_ms
    )
    assert not taken.dead_letters
    store = PaneStore(plan.source, [Metric(m, tables_of(m)) for m in plan.metrics], 1)
    for partial in taken.partials:
        store.merge(partial, 0)
    return store.flush(START_MS, everything=True)


def hours(plan: Plan, events: Sequence[dict[str, Any]], column: str) -> dict[Any, Any]:
    """What the engine says for each country and hour when no device tells events apart."""
    alike = [{**e, "device": "any"} for e in events]
    return {
        (row["country"], int(row["window_start"].timestamp())): row[column]
        for upserts in counted(plan, alike)
        if upserts.table.grain == "1h"
        for row in upserts.rows.to_pylist()
    }


@pytest.mark.clickhouse
def test_rows_merged_by_a_query_are_what_the_engine_counts_together(
    clickhouse: ClickHouse, tmp_path: Path
) -> None:
    rng = random.Random(5)
    events = sorted((event(rng, n) for n in range(6_000)), key=lambda e: e["occurred_at"])
    plan = plan_of(tmp_path / "page")
    sink = ClickHouseSink(clickhouse.url, "analytics")
    sink.apply(sink.ddl(sink_schemas(plan)[plan.sinks[0].name]))
    for upserts in counted(plan, events):
        sink.write(upserts)
    distinct, median = (
        sink.query(query.replace("FROM reach", "FROM analytics.reach")).to_pylist()
        for query in queries()
    )
    sink.close()

    together = hours(plan, events, "visitors")
    assert {(r["country"], r["hour"]): r["visitors"] for r in distinct} == together
    assert max(together.values()) > 500

    medians = plan_of(tmp_path / "medians", "load_ms, 0.95", "load_ms, 0.5")
    anywhere = hours(medians, [{**e, "country": "any"} for e in events], "load_p95")
    found = {("any", r["hour"]): r["load_median"] for r in median}
    assert found == pytest.approx(anywhere, rel=1e-12)
    assert len(found) == 2
