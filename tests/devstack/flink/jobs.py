"""Small pipelines for the cluster, and what Flink's REST says of them.

Workers import this module by name, so that it knows no pytest.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import apache_beam as beam
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.core import RestrictionProvider
from apache_beam.utils.timestamp import Duration

from pipelinekit.devstack.flink import Flink
from pipelinekit.errors import Refused
from pipelinekit.launch.flink_rest import FlinkRest

T = TypeVar("T")


class Numbers(RestrictionProvider):
    """Elements are (name, how many, pause between two in ms)."""

    def initial_restriction(self, element: tuple[str, int, int]) -> OffsetRange:
        return OffsetRange(0, element[1])

    def create_tracker(self, restriction: OffsetRange) -> OffsetRestrictionTracker:
        return OffsetRestrictionTracker(restriction)

    def restriction_size(self, element: tuple[str, int, int], restriction: OffsetRange) -> int:
        return int(restriction.size())


class CountUp(beam.DoFn):
    """One number, then a self-checkpoint, until all are out."""

    def process(
        self,
        element: tuple[str, int, int],
        tracker: Any = beam.DoFn.RestrictionParam(Numbers()),  # noqa: B008
    ) -> Iterator[tuple[str, int]]:
        name, _, pause_ms = element
        number = tracker.current_restriction().start
        if tracker.try_claim(number):
            yield name, number
            tracker.defer_remainder(Duration(micros=pause_ms * 1000))


class Append(beam.DoFn):
    """Lines at the end of a file that all workers share; each is on disk when it returns."""

    def __init__(self, path: str) -> None:
        self.path = path

    def process(self, element: object) -> None:
        with open(self.path, "a") as file:
            file.write(f"{element}\n")


def count_up(elements: list[tuple[str, int, int]], out: Path) -> Callable[[beam.Pipeline], object]:
    return lambda pipeline: (
        pipeline
        | "elements" >> beam.Create(elements)
        | "count up" >> beam.ParDo(CountUp())
        | "append" >> beam.ParDo(Append(str(out)))
    )


class Job:
    """A job on the cluster."""

    def __init__(self, flink: Flink, name: str) -> None:
        self.flink = flink
        self.name = name
        self.id = wait_for(lambda: self._find(name), f"job {name} on the cluster")

    @property
    def state(self) -> str:
        return str(self.ask("")["state"])

    @property
    def is_running(self) -> bool:
        return all(vertex["status"] == "RUNNING" for vertex in self.ask("")["vertices"])

    @property
    def failures(self) -> int:
        """How often it failed and was restarted."""
        return len(self.ask("/exceptions")["exceptionHistory"]["entries"])

    @property
    def checkpoints(self) -> int:
        return int(self.ask("/checkpoints")["counts"]["completed"])

    @property
    def checkpoint_bytes(self) -> int:
        latest = self.ask("/checkpoints")["latest"]["completed"]
        return int(latest["state_size"]) if latest else 0

    def cancel(self) -> None:
        FlinkRest(self.flink.address["rest"]).cancel(self.id)

    def ask(self, path: str) -> Any:
        return ask(self.flink, f"/jobs/{self.id}{path}")

    def _find(self, name: str) -> str | None:
        jobs = ask(self.flink, "/jobs/overview")["jobs"]
        return next((job["jid"] for job in jobs if job["name"] == name), None)


@contextmanager
def running_job(
    flink: Flink, name: str, build: Callable[[beam.Pipeline], object], *options: str
) -> Iterator[Job]:
    """The pipeline as a job of the cluster; cancelled at the end if it hasn't finished."""
    pipeline = beam.Pipeline(
        options=PipelineOptions(
            [
                "--runner=PortableRunner",
                f"--job_name={name}",
                f"--job_endpoint={flink.address['job_endpoint']}",
                f"--artifact_endpoint={flink.address['artifact_endpoint']}",
                "--environment_type=EXTERNAL",
                f"--environment_config={flink.address['worker_pool']}",
                "--streaming",
                "--max_bundle_time_mills=10",
                "--checkpointing_interval=300",
                "--finish_bundle_before_checkpointing",
                *options,
            ]
        )
    )
    build(pipeline)
    pipeline.run()
    job = Job(flink, name)
    try:
        yield job
    finally:
        if job.state not in ("FINISHED", "CANCELED", "FAILED"):
            job.cancel()
            wait_for(lambda: job.state == "CANCELED", f"the end of job {name}")


def ask(flink: Flink, path: str) -> Any:
    """The answer in JSON; a job that initialises gives errors for a while."""

    rest = FlinkRest(flink.address["rest"])

    def answer() -> Any:
        with contextlib.suppress(Refused):
            return rest._ask("GET", path)

    return wait_for(answer, f"an answer to {path}", 10)


def wait_for(question: Callable[[], T | None], what: str, timeout_s: float = 60) -> T:
    """The first answer that is true."""
    end = time.monotonic() + timeout_s
    while not (answer := question()):
        assert time.monotonic() < end, f"waited {timeout_s} s for {what}"
        time.sleep(0.05)
    return answer
