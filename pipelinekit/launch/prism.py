"""Prism, Beam's own portable runner: one process beside this one, for development. No state."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipelinekit.errors import Refused
from pipelinekit.runtime.beam.job import BeamJob

if TYPE_CHECKING:
    import apache_beam as beam

# A bundle that is slow is split, and what is given back may hold keys that the rest of the bundle
# still works at: two bundles then read the same state, and one's changes are lost. Our source ends
# its slices itself.
_NO_SPLITS = "prism_disable_sdf_split"


def run(job: BeamJob, program: Path) -> None:
    """Run a job until it ends or this process is told to; its workers live in this process."""
    from pipelinekit.runtime.beam.graph import build

    run_pipeline(build, job, program)


def run_pipeline(
    build: Callable[[beam.Pipeline, BeamJob], None], job: BeamJob, program: Path
) -> None:
    """Run what `build` makes of the job until it ends. Raises Refused when it fails."""
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.portability.prism_runner import PrismRunner

    for logger in ("apache_beam", "PrismRunner"):
        logging.getLogger(logger).setLevel(logging.ERROR)
    options = PipelineOptions(
        [
            "--streaming",
            f"--prism_location={program}",
            "--environment_type=LOOPBACK",
            f"--experiments={_NO_SPLITS}",
        ]
    )
    pipeline = beam.Pipeline(runner=PrismRunner(), options=options)
    build(pipeline, job)
    result = pipeline.run()
    state = result.wait_until_finish()
    if state != "DONE":
        raise Refused(f"Prism ended the job as {state}")
