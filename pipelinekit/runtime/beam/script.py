"""A test's steps through Beam: its slices in their order, then the graph as in production.

The source is the script, and the sinks keep in this process what comes out: for runners whose
workers are here (direct, and Prism or Flink with loopback workers).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import apache_beam as beam

from pipelinekit.connectors.base import Budget
from pipelinekit.connectors.memory.sink import MemorySink, shared, unshare
from pipelinekit.data import SinkSchema
from pipelinekit.engine.ingest import Slice
from pipelinekit.plan.model import Plan, SinkPlan
from pipelinekit.plan.tables import tables_of
from pipelinekit.runtime.beam.blobs import encode_partials
from pipelinekit.runtime.beam.graph import merge_and_write
from pipelinekit.runtime.beam.job import BeamJob
from pipelinekit.runtime.beam.source import bucket_key, timestamp

# One: a test's restart changes the number of buckets, and a job of Beam's never does.
_BUCKET = bucket_key(0)
RunPipeline = Callable[[Callable[[beam.Pipeline, BeamJob], None], BeamJob], None]


class _Play(beam.DoFn):  # type: ignore[misc]
    """The script's partials, in order, as the reading of a shard would give them."""

    def __init__(self, blobs: Sequence[tuple[bytes, int]]) -> None:
        self._blobs = blobs

    def process(self, element: int) -> Iterator[Any]:
        for blob, watermark_ms in self._blobs:
            yield beam.window.TimestampedValue((_BUCKET, blob), timestamp(watermark_ms))


def play(plan: Plan, slices: Sequence[tuple[Slice, int]], run: RunPipeline) -> MemorySink:
    """The sink with the rows that slices end in; each comes with the watermark before it, in ms."""
    sink_plan = SinkPlan("test", "memory", {"shared": True}, Budget(), "full")
    metrics = tuple(replace(m, sinks=("test",)) for m in plan.metrics)
    job = BeamJob(replace(plan, metrics=metrics, sinks=(sink_plan,)), {}, buckets=1, stop_at={})
    blobs = [(encode_partials(s.partials), watermark_ms) for s, watermark_ms in slices]
    sink = shared(sink_plan.name)
    sink.ddl(SinkSchema(plan.job, tuple(t for m in metrics for t in tables_of(m))))

    def build(pipeline: beam.Pipeline, job: BeamJob) -> None:
        partials = pipeline | "steps" >> beam.Create([0]) | "play" >> beam.ParDo(_Play(blobs))
        merge_and_write(partials, job)

    try:
        run(build, job)
    finally:
        unshare(sink_plan.name)
    return sink
