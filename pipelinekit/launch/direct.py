"""The direct runner: a bounded replay in this process, to try a job without a cluster."""

from __future__ import annotations

import logging
from dataclasses import replace

from pipelinekit.errors import UsageError
from pipelinekit.runtime.beam.job import BeamJob


def run(job: BeamJob) -> None:
    """Run a bounded job to its end. Raises UsageError for an unbounded one."""
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    from pipelinekit.runtime.beam.graph import build

    if job.stop_at is None:
        raise UsageError(
            "the direct runner only replays: it holds every timer until its source has ended",
            help="add --until-end, or take another --runner: local, prism or flink",
        )
    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    # Named, because the one named DirectRunner wants to download another; and it never waits for
    # a real-time timer that lies ahead.
    pipeline = beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions(["--streaming"]))
    build(pipeline, replace(job, early=False))
    pipeline.run().wait_until_finish()
