"""A test's steps through Beam: its slices in their order, then the graph as in production.

The source is the script, and the sinks keep in this process what comes out: for runners whose
workers are here (direct, and Prism or Flink with loopback workers).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import apache_beam as beam
from apache_beam.utils.timestamp import MIN_TIMESTAMP, Timestamp

from pipelinekit.connectors.base import Budget
from pipelinekit.connectors.memory.sink import MemorySink, shared, unshare
from pipelinekit.data import SinkSchema
from pipelinekit.engine.ingest import Slice
from pipelinekit.engine.lateness import NO_TIME
from pipelinekit.plan.model import Plan, SinkPlan
from pipelinekit.plan.tables import tables_of
from pipelinekit.runtime.beam.blobs import encode_partials
from pipelinekit.runtime.beam.graph import merge_and_write
from pipelinekit.runtime.beam.job import BeamJob
from pipelinekit.runtime.beam.source import bucket_key

RunPipeline = Callable[[Callable[[beam.Pipeline, BeamJob], None], BeamJob], None]


@dataclass(frozen=True, slots=True, eq=False)
class ScriptedSlice:
    """A slice as the engine's ingest gave it, and the watermark that stood before it."""

    slice: Slice
    watermark_ms: int


class _Play(beam.DoFn):  # type: ignore[misc]
    """The script's partials, in order, as the reading of a shard would give them."""

    def __init__(self, slices: Sequence[tuple[int, dict[int, bytes]]]) -> None:
        self._slices = slices

    def process(self, element: int) -> Iterator[Any]:
        for watermark_ms, blobs in self._slices:
            at = MIN_TIMESTAMP
            if watermark_ms != NO_TIME:
                at = max(at, Timestamp(micros=watermark_ms * 1000))
            for bucket, blob in blobs.items():
                yield beam.window.TimestampedValue((bucket_key(bucket), blob), at)


def play(plan: Plan, slices: Sequence[ScriptedSlice], run: RunPipeline) -> MemorySink:
    """The rows that the slices end in, through Beam. The sink is a copy of what was written."""
    sink_plan = SinkPlan("test", "memory", {"shared": True}, Budget(), "full")
    metrics = tuple(replace(m, sinks=("test",)) for m in plan.metrics)
    job = BeamJob(replace(plan, metrics=metrics, sinks=(sink_plan,)), {}, buckets=1, stop_at={})
    # One bucket: a test's restart changes their number, and a job of Beam's never does.
    blobs = [(s.watermark_ms, {0: encode_partials(s.slice.partials)}) for s in slices]
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
