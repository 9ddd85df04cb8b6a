"""The estimate of state against what the engine's panes take."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

import pytest

from pipelinekit.engine.ingest import Ingest
from pipelinekit.engine.lateness import PartitionTime
from pipelinekit.engine.panes import Metric, PaneStore
from pipelinekit.plan.build import build
from pipelinekit.plan.estimate import state_estimate
from pipelinekit.plan.tables import tables_of
from tests.runtime.test_simulation import batch
from tests.spec.projects import METRIC, check, make_project

HEAD = METRIC.split("tests:")[0].replace("[country]", "[user]")
ROWS = 20_000


@pytest.mark.parametrize(
    ("key", "measures"),
    [
        ("user", ""),
        ("user", "total: sum(load)"),
        ("user, country", "low: min(load)\n  high: max(load)\n  mean: avg(load)"),
        ("user", "last: last(country)"),
        ("user", "users: { measure: count_distinct(country), max_values: 100 }"),
        ("user", "top: { measure: 'most_frequent(country, 3)', max_values: 100 }"),
        ("user", "users: approx_count_distinct(country)"),
        ("user", "median: approx_quantile(load, 0.5)"),
    ],
)
def test_bytes_of_a_row_are_right_within_a_third(tmp_path: Path, key: str, measures: str) -> None:
    text = HEAD.replace("total: sum(amount)", measures).replace("[user]", f"[{key}]")
    resolved, _ = check(make_project(tmp_path, metric=text))
    (plan,) = build(resolved)
    ingest = Ingest(plan.source, plan.metrics, {})
    store = PaneStore(plan.source, [Metric(m, tables_of(m)) for m in plan.metrics], 1)
    template = (
        '{{"id":"e{0}","t":1704110400000,"kind":"view","user":"user-{0:08}","load":5,'
        '"country":"B{0}"}}'
    )
    tracemalloc.start()
    try:
        messages = batch([(0, template.format(n).encode(), -1) for n in range(ROWS)])
        result = ingest.take(messages, {0: PartitionTime(0)}, messages.broker_times_ms + 2**62)
        del messages
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for partial in result.partials:
            store.merge(partial, 0)
        gc.collect()
        row = (tracemalloc.get_traced_memory()[0] - before) / ROWS
    finally:
        tracemalloc.stop()
    assert store.held_rows == ROWS
    estimate = state_estimate(plan.metrics[0], plan.source)
    sets = 80 if estimate.has_sets else 0
    assert estimate.row_bytes + sets == pytest.approx(row, rel=0.34)


def test_windows_and_rows_follow_from_the_spec(tmp_path: Path) -> None:
    key = "[{ name: country, values: [BE, NL] }, { name: kind, values: [view] }]"
    text = HEAD.replace("[user]", key).replace("window:", "rollups: [1h, 1d]\nwindow:")
    resolved, _ = check(make_project(tmp_path, metric=text))
    (plan,) = build(resolved)
    estimate = state_estimate(plan.metrics[0], plan.source)
    assert estimate.windows == (("1m", 12), ("1h", 2), ("1d", 2))
    assert (estimate.windows_held, estimate.rows_max) == (16, 12)
