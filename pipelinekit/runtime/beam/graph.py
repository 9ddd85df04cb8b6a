"""The graph: the same for every job, so that state keeps its place when metrics come and go."""

from __future__ import annotations

import pickle

import apache_beam as beam
from apache_beam.coders import Coder, registry
from apache_beam.typehints import KV

from pipelinekit.runtime.beam.bucket import Flush
from pipelinekit.runtime.beam.job import BeamJob
from pipelinekit.runtime.beam.panes import MergePanes
from pipelinekit.runtime.beam.sinks import WriteDeadLetters, WriteLedger, WriteProgress, WriteRows
from pipelinekit.runtime.beam.source import DEAD_LETTERS, LEDGER, ReadShard


class FlushCoder(Coder):  # type: ignore[misc]
    """For a runner that does not fuse panes and write; its sizes cost nothing to estimate."""

    def encode(self, value: Flush) -> bytes:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)

    def decode(self, encoded: bytes) -> Flush:
        flush: Flush = pickle.loads(encoded)
        return flush

    def is_deterministic(self) -> bool:
        return False

    def estimate_size(self, value: Flush) -> int:
        return sum(u.rows.nbytes for u in value.upserts)


registry.register_coder(Flush, FlushCoder)


def build(pipeline: beam.Pipeline, job: BeamJob) -> None:
    """Put the job's graph into the pipeline. Names are a job's identity: they never change."""
    read = (
        pipeline
        | "shards" >> beam.Create(list(range(job.shards)), reshuffle=False)
        | "read" >> beam.ParDo(ReadShard(job)).with_outputs(DEAD_LETTERS, LEDGER, main="partials")
    )
    _ = read[DEAD_LETTERS] | "dead letters" >> beam.ParDo(WriteDeadLetters(job))
    _ = read[LEDGER] | "ledger" >> beam.ParDo(WriteLedger(job))
    merge_and_write(read["partials"], job)


def merge_and_write(partials: beam.PCollection, job: BeamJob) -> None:
    """From (bucket, partials) pairs to rows and progress in the sinks."""
    _ = (
        partials
        | "by bucket" >> beam.Map(_same).with_output_types(KV[bytes, bytes])
        | "panes" >> beam.ParDo(MergePanes(job)).with_output_types(Flush)
        | "rows" >> beam.ParDo(WriteRows(job)).with_output_types(KV[bytes, bytes])
        | "progress" >> beam.ParDo(WriteProgress(job))
    )


def _same(pair: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    return pair
