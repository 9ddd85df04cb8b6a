"""Batches that are grouped together give what they give one after another."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelinekit.data import RawBatch
from pipelinekit.engine.ingest import Ingest, Slice
from pipelinekit.engine.lateness import END_OF_TIME, PartitionTime
from pipelinekit.engine.panes import Metric, PaneStore
from pipelinekit.plan.model import Plan
from pipelinekit.plan.tables import tables_of
from tests.small_logs import WINDOWS, Event, logs, pieces, windowed, written

COUNTS = """\
kind: metric
name: views
source: events
key: [kind]
measures:
  n: count()
  newest: last(country)
  countries: { measure: count_distinct(country), max_values: 10 }
window: { tumbling: 1m }
lateness: { allowed: 10m }
sink: store
"""


def plan_with(kind: str, allowed: str) -> Plan:
    plan = windowed(kind, allowed, COUNTS)
    return replace(plan, source=replace(plan.source, out_of_orderness_ms=2_000))


def slices(plan: Plan, batches: list[RawBatch], *, together: bool) -> list[Slice]:
    ingest = Ingest(plan.source, plan.metrics, {}, buckets=2)
    times = {p: PartitionTime(0) for p in range(3)}
    admitted = []
    for piece in batches:
        admitted.append(ingest.admit(piece, times, piece.broker_times_ms))
        times |= admitted[-1].partitions
    return [ingest.slice(admitted)] if together else [ingest.slice([a]) for a in admitted]


def panes_of(plan: Plan, parts: list[Slice]) -> list[Any]:
    """What the panes hold, and the rows that leave when all windows have closed."""
    found: list[Any] = []
    for bucket in range(2):
        store = PaneStore(plan.source, [Metric(m, tables_of(m)) for m in plan.metrics], 1)
        for result in parts:
            for partial in result.partials:
                if partial.bucket == bucket:
                    store.merge(partial, 0)
        for saved in store.changed_rows(everything=True):
            found += [(bucket, repr(saved.id), repr(row)) for row in saved.frame.to_dicts()]
        store.advance(END_OF_TIME)
        for change in store.flush(0, everything=True):
            for row in change.rows.to_pylist():
                found.append((bucket, change.table.name, repr(row)))
        assert store.orphans == 0
    return sorted(found)


@settings(max_examples=150)
# The first batch has no late event, the second has: a column that only one of them knows.
@example([(0, 0, "BE", "view", 0), (0, -70_000, "BE", "view", 0)], [1], "tumbling", "3m")
@example([(0, 0, "BE", "view", 0), (0, -70_000, "BE", "view", 0)], [1], "sliding", "3m")
@example([(0, 0, "BE", "view", 0), (0, -70_000, "BE", "view", 0)], [1], "cumulative", "3m")
# The first batch has nothing that counts.
@example([(0, 0, "BE", "broken", 0), (0, -70_000, "BE", "view", 0)], [1], "tumbling", "3m")
@given(
    logs,
    st.lists(st.integers(1, 59)),
    st.sampled_from(sorted(WINDOWS)),
    st.sampled_from(["0s", "3m"]),
)
def test_grouped_together_or_one_after_another(
    log: list[Event], cuts: list[int], kind: str, allowed: str
) -> None:
    plan, batches = plan_with(kind, allowed), list(pieces(written(log), cuts))
    (whole,), parts = slices(plan, batches, together=True), slices(plan, batches, together=False)
    assert panes_of(plan, [whole]) == panes_of(plan, parts)
    assert whole.dead_letters == tuple(letter for p in parts for letter in p.dead_letters)
    counts: Counter[Any] = Counter()
    read: Counter[int] = Counter()
    for result in parts:
        counts.update(result.counts)
        read.update(result.read)
    assert (whole.counts, whole.read, whole.messages) == (counts, read, len(log))
    assert whole.newest_event_ms == max(p.newest_event_ms for p in parts)
    assert dict(whole.partitions) == {k: v for p in parts for k, v in p.partitions.items()}
    brokers = np.concatenate([p.accepted_broker_ms for p in parts])
    assert whole.accepted_broker_ms.tolist() == brokers.tolist()
