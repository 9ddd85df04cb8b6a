"""The direct runner: a bounded replay in this process, to try a job without a cluster."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from pipelinekit.errors import UsageError
from pipelinekit.runtime.beam.job import BeamJob

if TYPE_CHECKING:
    import apache_beam as beam


def run(job: BeamJob) -> None:
    """Run a bounded job to its end. Raises UsageError for an unbounded one."""
    from pipelinekit.runtime.beam.graph import build

    if not job.is_bounded:
        raise UsageError(
            "the direct runner only replays: it holds every timer until its source has ended",
            help="add --until-end, or take another --runner: local, prism or flink",
        )
    run_pipeline(build, job)


def run_pipeline(build: Callable[[beam.Pipeline, BeamJob], None], job: BeamJob) -> None:
    """Run what `build` makes of the job until it ends."""
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    # Named, because the one called DirectRunner wants to download another.
    pipeline = beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions(["--streaming"]))
    build(pipeline, job)
    pipeline.run().wait_until_finish()
