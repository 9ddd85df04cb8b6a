"""`pipelinekit run --runner direct|prism|flink`: a job on Beam, in the foreground."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from pipelinekit.cli.common import made_ready, running
from pipelinekit.cli.jobs import flink_cluster, say
from pipelinekit.errors import Refused, Unreachable

if TYPE_CHECKING:
    from pipelinekit.launch.deployment import Deployment
    from pipelinekit.launch.flink import FlinkCluster
    from pipelinekit.plan.model import Plan

_LOOK_EVERY_S = 5.0
_BACK_WITHIN_S = 60.0  # a job manager that was started again, with its jobs


def run_on_beam(
    plan: Plan,
    runner: str,
    variables: Mapping[str, Any],
    state: Path,
    *,
    start_from: str,
    until_end: bool,
    ddl: bool,
    shards: int | None,
    quiet: bool,
) -> int:
    """Make ready, run, and end as the runner can; gives the exit code."""
    if ddl:
        made_ready(plan, quiet=quiet)
    _say(quiet, f"running {running(plan)} on {runner}")
    if runner == "flink":
        cluster = flink_cluster(variables, plan.environment, state)
        return _on_flink(plan, cluster, state, start_from, until_end, shards, quiet)
    if start_from == "stored":
        start_from = "earliest"
    _in_process(plan, runner, start_from, until_end, shards)
    return 0


def _in_process(
    plan: Plan, runner: str, start_from: str, until_end: bool, shards: int | None
) -> None:
    from pipelinekit.launch import direct, prism
    from pipelinekit.launch.start import begin_anew

    latest = start_from == "latest"
    begin = begin_anew(plan, None, latest=latest, until_end=until_end, shards=shards or 1)
    for note in begin.notes:
        say(f"note: {note}")
    if runner == "direct":
        direct.run(begin.job)
    else:
        from pipelinekit.devstack.prism_distribution import program

        prism.run(begin.job, program())


def _on_flink(
    plan: Plan,
    cluster: FlinkCluster,
    state: Path,
    start_from: str,
    until_end: bool,
    shards: int | None,
    quiet: bool,
) -> int:
    """Submit, follow, and at Ctrl-C stop with a savepoint: the next run goes on from there."""
    from pipelinekit.cli.submit import submit_to_flink
    from pipelinekit.launch.artifact import Artifact, Settings, built_with

    made = Artifact("flink", plan, Settings(shards=shards or 1), built_with())
    record = submit_to_flink(
        made, cluster, state, start_from=start_from, until_end=until_end, shards_given=shards
    )
    stop = threading.Event()
    _stop_on_signals(stop)
    _say(quiet, f"Flink runs it as {record.runner_job}; Ctrl-C stops it with a savepoint")
    return _follow(record, cluster, state, stop, quiet)


def _follow(
    record: Deployment, cluster: FlinkCluster, state: Path, stop: threading.Event, quiet: bool
) -> int:
    from pipelinekit.launch import deployment, flink
    from pipelinekit.launch.flink_rest import FlinkRest

    rest = FlinkRest(cluster.rest)
    seen = time.monotonic()
    while not stop.wait(_LOOK_EVERY_S):
        try:
            fares = flink.status(rest, record.runner_job)
        except (Refused, Unreachable) as error:
            if time.monotonic() > seen + _BACK_WITHIN_S:
                raise
            say(f"{error}; looking again")
            continue
        seen = time.monotonic()
        if fares.state in flink.ENDED:
            say(f"Flink ended it: {fares.state}")
            return 0 if fares.state == "FINISHED" else 3
        rate = fares.messages_per_second or 0.0
        lag = "" if fares.lag is None else f", lag {fares.lag:,}"
        _say(quiet, f"{fares.state}: {rate:,.0f} events/s{lag}, {fares.restarts} restarts")
    location = flink.stop_with_savepoint(
        rest, record.runner_job, f"{cluster.checkpoints}/savepoints"
    )
    deployment.save(state, replace(record, savepoint=location))
    say(f"stopped; the next run goes on from {location}")
    return 0


def _stop_on_signals(stop: threading.Event) -> None:
    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            sys.exit(128 + number)
        stop.set()

    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)


def _say(quiet: bool, line: str) -> None:
    if not quiet:
        say(line)
