"""A pipeline that ends, on the Flink cluster of this machine, its workers in this process."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from pipelinekit.errors import Refused
from pipelinekit.launch.flink import FlinkCluster, cancel, current, preflight, without_stderr
from pipelinekit.launch.flink_rest import FlinkRest
from pipelinekit.runtime.beam.job import BeamJob

if TYPE_CHECKING:
    import apache_beam as beam

_LONGER_THAN_IT_TAKES_MS = 3_600_000  # nobody goes on from a checkpoint of it
_UNTIL_NOTICED_S = 4.0
_OF_THE_PIPELINE = "Error received from SDK harness"


def run_pipeline(
    build: Callable[[beam.Pipeline, BeamJob], None], job: BeamJob, cluster: FlinkCluster
) -> None:
    """Run what `build` makes of the job until it ends, on one slot. Raises Refused when it fails,
    and what `preflight` raises.

    A task manager that is lost, or too busy to say that it isn't, costs it a second try: what is
    played again gives the same rows, with the same versions or greater ones.
    """
    for logger in ("apache_beam", "grpc"):  # they tell how the workers' connections end
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    try:
        _run(build, job, cluster)
    except _Failed as error:
        if _OF_THE_PIPELINE in str(error):
            raise
        time.sleep(_UNTIL_NOTICED_S)
        _run(build, job, cluster)


class _Failed(Refused):
    """The job was handed over, and did not end well."""


def _run(
    build: Callable[[beam.Pipeline, BeamJob], None], job: BeamJob, cluster: FlinkCluster
) -> None:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    from pipelinekit.runtime.beam.options import FlinkSettings, flink_options

    name = f"pipelinekit-test-{job.run}"
    preflight(replace(cluster, worker_pool=None), name, parallelism=1)
    settings = FlinkSettings(
        job_endpoint=cluster.job_endpoint,
        artifact_endpoint=cluster.artifact_endpoint,
        worker_pool=None,
        checkpoints=cluster.checkpoints,
        checkpoint_every_ms=_LONGER_THAN_IT_TAKES_MS,
        is_bounded=True,
    )
    # The cluster restarts a job without end; a wrong pipeline fails each time.
    options = [*flink_options(settings, name), "--number_of_execution_retries=0"]
    pipeline = beam.Pipeline(options=PipelineOptions(options))
    build(pipeline, job)
    rest = FlinkRest(cluster.rest)
    try:
        with without_stderr():
            pipeline.run().wait_until_finish()
    except Exception as error:
        raise _Failed(
            f"Flink at {cluster.rest} did not run the tests: {error}",
            help="look at the logs of its job server and task managers",
        ) from error
    finally:
        if (found := current(rest, name)) is not None:
            cancel(rest, found)
