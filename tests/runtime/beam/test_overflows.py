"""What goes beyond a limit on Beam: counted, and named in the log.

The buckets' counts of a key's values meet behind the writers.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from pipelinekit.connectors.base import Budget
from pipelinekit.connectors.memory.sink import shared, unshare
from pipelinekit.data import SinkSchema
from pipelinekit.engine.ingest import Ingest
from pipelinekit.engine.key_values import KeyCount
from pipelinekit.engine.lateness import PartitionTime
from pipelinekit.plan.model import KeyPlan, MetricPlan, Plan, SinkPlan
from pipelinekit.plan.tables import tables_of
from tests import plans
from tests.small_logs import batch

beam = pytest.importorskip("apache_beam")

BASE_MS = 1_704_110_400_000
COUNT = [plans.measure("n", "count()")]
BUCKETS = 3


def counter(name: str, metric: MetricPlan, events: int, users: int) -> int:
    """The counter after so many events of so many users, in two windows of a minute."""
    from apache_beam.metrics import MetricsFilter
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    from pipelinekit.runtime.beam.blobs import encode_partials
    from pipelinekit.runtime.beam.graph import merge_and_write
    from pipelinekit.runtime.beam.job import BeamJob
    from pipelinekit.runtime.beam.source import bucket_key, timestamp

    sink = SinkPlan("key-counts", "memory", {"shared": True}, Budget(), "full")
    metric = replace(metric, sinks=(sink.name,))
    plan = Plan("events", "local", plans.source(), (metric,), (sink,))
    times = [BASE_MS + i % 2 * 60_000 for i in range(events)]
    values = [
        f'{{"id": "{i}", "t": {t}, "kind": "v", "user": "u{i % users}"}}'
        for i, t in enumerate(times)
    ]
    whole = batch([(0, v.encode(), 2**60) for v in values])
    ingest = Ingest(plan.source, plan.metrics, {}, BUCKETS)
    taken = ingest.take(whole, {0: PartitionTime(0)}, whole.broker_times_ms)
    assert {p.bucket for p in taken.partials} == set(range(BUCKETS))
    pairs = [(bucket_key(p.bucket), encode_partials([p])) for p in taken.partials]
    shared(sink.name).ddl(SinkSchema(plan.job, tables_of(metric)))
    pipeline = beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions(["--streaming"]))
    partials = (
        pipeline
        | beam.Create(pairs)
        | beam.Map(lambda pair: beam.window.TimestampedValue(pair, timestamp(BASE_MS)))
    )
    merge_and_write(partials, BeamJob(plan, {}, buckets=BUCKETS, stop_at={}))
    try:
        result = pipeline.run()
        result.wait_until_finish()
        rows = sum(shared(sink.name).read_back(t.name).num_rows for t in tables_of(metric))
        assert rows == len({(i % 2, i % users) for i in range(events)})
    finally:
        unshare(sink.name)
    found = result.metrics().query(MetricsFilter().with_name(name))["counters"]
    return sum(c.result for c in found)


def test_windows_with_more_values_than_the_limit_are_counted_over_all_buckets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watched = KeyPlan("user", plans.expression("user"), max_values=9)
    metric = plans.metric("m", COUNT, key=[watched])
    with caplog.at_level(logging.WARNING, "pipelinekit"):
        # All nine in each window, in no bucket more.
        assert counter("overflowed_windows", metric, 18, users=9) == 0
        assert caplog.messages == []
        assert counter("overflowed_windows", metric, 40, users=11) == 2
    assert caplog.messages == ["m.user has more than 9 values in a window"] * 2


def test_a_measure_that_leaves_as_null_is_counted_each_time_and_named_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def metric(limit: int) -> MetricPlan:
        ids = plans.measure("ids", "count_distinct(id)", max_values=limit)
        return plans.metric("m", [*COUNT, ids], key=["user"])

    with caplog.at_level(logging.WARNING, "pipelinekit"):
        assert counter("overflowed_rows", metric(4), 40, users=10) == 0
        assert caplog.messages == []
        assert counter("overflowed_rows", metric(3), 40, users=10) == 10
    assert caplog.messages == ["m.ids is null in rows that leave: it went beyond its limit"]


def test_news_of_a_flush_is_read_back_and_that_of_jobs_before_too() -> None:
    import msgspec

    from pipelinekit.runtime.beam.bucket import Flush
    from pipelinekit.runtime.beam.sinks import _decoded, _encoded

    count = KeyCount("m", "user", BASE_MS, BASE_MS + 60_000, 12)
    assert _decoded(_encoded(Flush(b"0001", (), (5, 7)))) == ([5, 7], b"", ())
    assert _decoded(_encoded(Flush(b"0001", (), (), (count,)))) == ([], b"0001", [count])
    assert _decoded(msgspec.msgpack.encode([5])) == ([5], b"", ())
    assert _decoded(msgspec.msgpack.encode([])) == ([], b"", ())
