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
# A plan of one metric, and its slices, each with the watermark before it, in ms.
Script = tuple[Plan, Sequence[tuple[Slice, int]]]
RunPipeline = Callable[[Callable[[beam.Pipeline, BeamJob], None], BeamJob], None]


class _Play(beam.DoFn):  # type: ignore[misc]
    """The script's partials, in order, as the reading of a shard would give them."""

    def __init__(self, blobs: Sequence[tuple[bytes, int]]) -> None:
        self._blobs = blobs

    def process(self, element: int) -> Iterator[Any]:
        for blob, watermark_ms in self._blobs:
            yield beam.window.TimestampedValue((_BUCKET, blob), timestamp(watermark_ms))


class _Played(beam.PTransform):  # type: ignore[misc]
    """One script from its steps to its sink, under a label of its own."""

    def __init__(self, blobs: Sequence[tuple[bytes, int]], job: BeamJob) -> None:
        self._blobs = blobs
        self._job = job

    def expand(self, begin: Any) -> Any:
        partials = begin | "steps" >> beam.Create([0]) | "play" >> beam.ParDo(_Play(self._blobs))
        merge_and_write(partials, self._job)
        return partials


def play(scripts: Sequence[Script], run: RunPipeline) -> list[MemorySink]:
    """For each script the sink with the rows that its slices end in; one pipeline has them all."""
    parts: list[tuple[list[tuple[bytes, int]], BeamJob]] = []
    names = [f"test-{number}" for number in range(len(scripts))]
    for name, (plan, slices) in zip(names, scripts, strict=True):
        sink = SinkPlan(name, "memory", {"shared": True}, Budget(), "full")
        metrics = tuple(replace(m, sinks=(name,)) for m in plan.metrics)
        job = BeamJob(replace(plan, metrics=metrics, sinks=(sink,)), {}, buckets=1, stop_at={})
        shared(name).ddl(SinkSchema(plan.job, tuple(t for m in metrics for t in tables_of(m))))
        parts.append(([(encode_partials(s.partials), w) for s, w in slices], job))

    def build(pipeline: beam.Pipeline, job: BeamJob) -> None:
        for name, part in zip(names, parts, strict=True):
            _ = pipeline | name >> _Played(*part)

    try:
        run(build, parts[0][1])
        return [shared(name) for name in names]
    finally:
        for name in names:
            unshare(name)
