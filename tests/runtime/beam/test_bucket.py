"""When a bucket's rows leave."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from pipelinekit.connectors.base import Budget
from pipelinekit.data import RawBatch
from pipelinekit.engine.ingest import Ingest
from pipelinekit.engine.lateness import PartitionTime
from pipelinekit.plan.model import Plan, SinkPlan
from tests import plans

pytest.importorskip("apache_beam")

from apache_beam.utils.timestamp import Timestamp

from pipelinekit.runtime.beam import panes
from pipelinekit.runtime.beam.blobs import encode_partials
from pipelinekit.runtime.beam.bucket import Bucket, Head, Schema
from pipelinekit.runtime.beam.job import BeamJob

BASE_MS = 1_704_110_400_000
NOW_MS = BASE_MS + 5_000


class Log(list):
    """A runner's bag."""

    add = list.append

    def read(self) -> list[bytes]:
        return list(self)


def blob(plan: Plan, number: int) -> bytes:
    """The partial of one event."""
    batch = RawBatch(
        values=[b'{"id": "%d", "t": %d, "kind": "v", "user": "u"}' % (number, BASE_MS)],
        partitions=np.zeros(1, np.int32),
        offsets=np.array([number]),
        broker_times_ms=np.full(1, 2**60),
        keys=[None],
        headers=[()],
        positions={0: number + 1},
    )
    ingest = Ingest(plan.source, plan.metrics, {}, 1)
    return encode_partials(
        ingest.take(batch, {0: PartitionTime(number)}, np.full(1, 2**60)).partials
    )


def one_metric(early_ms: int) -> Plan:
    sink = SinkPlan("s", "memory", {"shared": True}, Budget(), "full")
    metric = plans.metric("m", [plans.measure("n", "count()")])
    metric = replace(metric, sinks=(sink.name,), emit_early_ms=early_ms)
    return Plan("events", "local", plans.source(), (metric,), (sink,))


def new_bucket(plan: Plan) -> Bucket:
    schema = Schema(BeamJob(plan, {}, buckets=1))
    return Bucket(b"0000", schema, schema.store(), Head())


def test_the_first_rows_leave_at_once_and_the_next_ones_early_after_them() -> None:
    plan = one_metric(early_ms=200)
    bucket = new_bucket(plan)

    bucket.add(blob(plan, 0), Log())
    assert bucket.store.due(NOW_MS)
    assert bucket.flush(NOW_MS) is not None

    bucket.add(blob(plan, 1), Log())
    assert bucket.flush(NOW_MS + 199) is None
    assert bucket.store.next_due_ms() == NOW_MS + 200
    assert bucket.flush(NOW_MS + 200) is not None
    assert bucket.head.flushed == bucket.head.blobs == 2

    bucket.add(blob(plan, 2), Log())  # none left for a while
    assert bucket.store.due(NOW_MS + 10_000)


def test_rows_leave_with_the_slice_that_is_nearest_to_when_they_are_due() -> None:
    plan = one_metric(early_ms=200)
    bucket = new_bucket(plan)
    bucket.add(blob(plan, 0), Log())
    assert bucket.flush(NOW_MS) is not None

    bucket.add(blob(plan, 1), Log())
    assert bucket.flush(NOW_MS + 140, due_by_ms=NOW_MS + 190) is None
    assert bucket.flush(NOW_MS + 160, due_by_ms=NOW_MS + 210) is not None
    bucket.add(blob(plan, 2), Log())
    assert bucket.store.next_due_ms() == NOW_MS + 360  # after when they left, not were due


@pytest.mark.parametrize(("early_ms", "pace_ms"), [(50, 50), (100, 100), (200, 100)])
def test_slices_come_as_often_as_rows_leave_but_keep_no_checkpoint_waiting(
    early_ms: int, pace_ms: int
) -> None:
    metrics = [
        replace(plans.metric(name, [plans.measure("n", "count()")]), emit_early_ms=early)
        for name, early in (("quick", early_ms), ("slow", 10_000))
    ]
    job = BeamJob(Plan("events", "local", plans.source(), tuple(metrics), ()), {})
    assert job.pace_ms == pace_ms


class Cell:
    """A runner's state cell and its timer."""

    value: bytes | None = None
    set_to_ms: int | None = None

    def read(self) -> bytes | None:
        return self.value

    def write(self, value: bytes) -> None:
        self.value = value

    def set(self, at: Timestamp) -> None:
        self.set_to_ms = at.micros // 1000

    def clear(self) -> None:
        self.set_to_ms = None


def test_a_slice_takes_the_rows_along_whose_timer_comes_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = one_metric(early_ms=200)
    now = SimpleNamespace(now_ms=lambda: now.at)
    monkeypatch.setattr(panes, "SystemClock", lambda: now)
    merge = panes.MergePanes(BeamJob(plan, {}, buckets=1))
    log, head, flush, advance = Log(), Cell(), Cell(), Cell()
    left = []
    for number, at in enumerate((0, 100, 160)):
        now.at = NOW_MS + at
        rows = merge.process((b"0000", blob(plan, number)), log, head, flush, advance)
        left.append((at, len(list(rows)), flush.set_to_ms and flush.set_to_ms - NOW_MS))
    # Due at 200: not with the slice at 100, whose timer waits until another would have come.
    assert left == [(0, 1, None), (100, 0, 250), (160, 1, None)]
