"""Flink: submit, look, stop, with state kept."""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelinekit.errors import Refused, Unreachable, UsageError
from pipelinekit.launch.flink_rest import FlinkRest
from pipelinekit.runtime import flink_cluster
from pipelinekit.runtime.beam.job import BeamJob

FLINK_VERSION = flink_cluster.VERSION.rpartition(".")[0]  # of patches any will do
ENDED = frozenset({"CANCELED", "FAILED", "FINISHED", "SUSPENDED"})
_STARTED_WITHIN_S = 90.0
_STOPPED_WITHIN_S = 60.0
_STUCK_AFTER_S = 45.0
_MOVES_WITHIN_S = 6.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class FlinkCluster:
    """Where a cluster and what belongs to it answer.

    `rest`: of each job manager, with commas between them. `checkpoints`: a URI for all.
    """

    rest: str
    job_endpoint: str
    artifact_endpoint: str
    worker_pool: str | None
    checkpoints: str


@dataclass(frozen=True, slots=True)
class FlinkStatus:
    """A job as the cluster sees it. Times in ms, sizes in bytes; None where it doesn't say.

    `since_ms` is when the job manager that leads took the job: `running_ms` and `restarts` count
    from there, and what was before only the dead one knew. Messages, rows, windows and events are
    counted from the last restart on; Flink has a counter once it was above 0.
    """

    state: str
    since_ms: int
    running_ms: int
    restarts: int
    watermark_ms: int | None
    messages: int | None
    messages_per_second: float | None
    lag: int | None
    dead_letters: int | None
    rows: int | None
    overflowed_rows: int | None
    overflowed_windows: int | None
    orphan_events: int | None
    checkpoint_at_ms: int | None
    checkpoint_bytes: int | None
    checkpoint_ms: int | None
    checkpoints_failed: int
    last_error: str | None


def preflight(cluster: FlinkCluster, name: str, parallelism: int) -> list[str]:
    """What is there, in words. Raises Unreachable or Refused for what is missing, UsageError if a
    job of that name runs."""
    rest = FlinkRest(cluster.rest)
    overview = rest.overview()
    version = str(overview["flink-version"])
    if not version.startswith(f"{FLINK_VERSION}."):
        raise Refused(
            f"Flink at {cluster.rest} is version {version}, the job server speaks {FLINK_VERSION}",
            help=f"use a cluster of Flink {FLINK_VERSION}.x",
        )
    if (found := current(rest, name)) is not None:
        raise UsageError(
            f"job {name} runs already on Flink at {cluster.rest}, as {found}",
            help="stop it first: pipelinekit stop --savepoint",
        )
    free = int(overview["slots-available"])
    if free < parallelism:
        raise Refused(
            f"the job wants {parallelism} slots, Flink at {cluster.rest} has {free} free of "
            f"{overview['slots-total']}",
            help="stop a job, add a task manager, or submit with a smaller --parallelism",
        )
    _must_answer("the job server", cluster.job_endpoint)
    # What task managers elsewhere see as their loopback and their folders can't be tried from here.
    if all(_is_loopback(address) for address in rest.task_managers()):
        if cluster.worker_pool is not None:
            _must_answer("the worker pool", cluster.worker_pool)
        _must_be_writable(cluster.checkpoints)
    return [
        f"Flink {version} at {cluster.rest}: {free} slots free",
        f"checkpoints in {cluster.checkpoints}",
    ]


def submit(
    cluster: FlinkCluster,
    job: BeamJob,
    *,
    name: str,
    parallelism: int = 1,
    checkpoint_every_ms: int = 5_000,
    savepoint: str | None = None,
    say: Say = lambda line: None,
    known: Say = lambda job: None,
) -> str:
    """Hand the job over; gives Flink's id of it once all its tasks run, and to `known` before.

    A task that hangs while it initialises (its worker died then) is cancelled and submitted
    again, once. Raises Refused when Flink will not run it, with the reason.
    """
    rest = FlinkRest(cluster.rest)
    for _ in range(2):
        _hand_over(cluster, job, name, parallelism, checkpoint_every_ms, savepoint)
        found = _until_known(rest, name)
        known(found)
        say(f"Flink has it as {found}")
        if _until_running(rest, found, _STUCK_AFTER_S):
            return found
        say(f"job {found} hangs while it initialises: submitting it again")
        cancel(rest, found)
    raise Refused(
        f"job {name} did not come to run on Flink at {cluster.rest}",
        help="look at its task managers' logs, and at the worker pool's: they look for it at "
        f"FLINK_WORKER_POOL={cluster.worker_pool}, each from where it runs",
    )


def current(rest: FlinkRest, name: str) -> str | None:
    """Flink's id of the job of that name that has not ended, the newest if there are several."""
    jobs = [j for j in rest.jobs() if j["name"] == name and j["state"] not in ENDED]
    return str(max(jobs, key=lambda j: j["start-time"])["jid"]) if jobs else None


def status(rest: FlinkRest, job: str) -> FlinkStatus:
    """How the job fares."""
    found = rest.job(job)
    vertices = {str(v["name"]): str(v["id"]) for v in found["vertices"]}
    read, panes, progress = (
        next((v for n, v in vertices.items() if stage in n), None)
        for stage in ("ledger", "panes", "progress")
    )
    checkpoints = rest.checkpoints(job)
    last = (checkpoints.get("latest") or {}).get("completed")
    errors = rest.exceptions(job)

    def count(vertex: str | None, counter: str) -> int | None:
        total = vertex and rest.counters(job, vertex, rf"\.pipelinekit_{counter}")
        return int(total) if isinstance(total, float) else None

    messages = count(read, "messages")
    restarts = rest.job_metrics(job, "numRestarts").get("numRestarts", 0)
    return FlinkStatus(
        state=_state(found),
        since_ms=int(found["start-time"]),
        running_ms=int(found["duration"]),
        restarts=int(restarts),
        watermark_ms=None if panes is None else rest.watermark_ms(job, panes),
        messages=messages,
        messages_per_second=_rate(rest, job, read, messages),
        lag=count(read, r"lag_\d+"),
        dead_letters=count(read, "dead_letters"),
        rows=count(panes, "rows"),
        overflowed_rows=count(panes, "overflowed_rows"),
        overflowed_windows=count(progress, "overflowed_windows"),
        orphan_events=count(panes, "orphan_events"),
        checkpoint_at_ms=None if last is None else int(last["latest_ack_timestamp"]),
        checkpoint_bytes=None if last is None else int(last["state_size"]),
        checkpoint_ms=None if last is None else int(last["end_to_end_duration"]),
        checkpoints_failed=int(checkpoints["counts"]["failed"]),
        last_error=_cause(errors[0]["stacktrace"]) if errors else None,
    )


def cancel(rest: FlinkRest, job: str) -> str:
    """End the job without a savepoint; gives how it ended: CANCELED, or as it had by itself.

    Its newest checkpoint is retained.
    """
    try:
        rest.cancel(job)
    except Refused:
        state = str(rest.job(job)["state"])
        if state not in ENDED:
            raise
        return state
    state = rest.wait(job, ENDED, _STOPPED_WITHIN_S)
    if state not in ENDED:
        raise Unreachable(f"job {job} is still {state} {_STOPPED_WITHIN_S:g} s after its cancel")
    return state


def stop_with_savepoint(rest: FlinkRest, job: str, folder: str) -> str:
    """End the job with its state kept; gives where. Raises Refused with Flink's reason."""
    _until_running(rest, job, _STOPPED_WITHIN_S)  # a task that is starting would refuse it
    location = rest.stop_with_savepoint(job, folder, _STOPPED_WITHIN_S)
    rest.wait(job, ENDED, _STOPPED_WITHIN_S)
    return location


# --- private ------------------------------------------------------------------------------------


def _hand_over(
    cluster: FlinkCluster,
    job: BeamJob,
    name: str,
    parallelism: int,
    checkpoint_every_ms: int,
    savepoint: str | None,
) -> None:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    from pipelinekit.runtime.beam.graph import build
    from pipelinekit.runtime.beam.options import FlinkSettings, flink_options

    settings = FlinkSettings(
        job_endpoint=cluster.job_endpoint,
        artifact_endpoint=cluster.artifact_endpoint,
        worker_pool=cluster.worker_pool,
        checkpoints=cluster.checkpoints,
        parallelism=parallelism,
        checkpoint_every_ms=checkpoint_every_ms,
        savepoint=savepoint,
        is_bounded=job.is_bounded,
    )
    # It warns of every option that is the Java side's, and of a package list we don't want.
    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    pipeline = beam.Pipeline(options=PipelineOptions(flink_options(settings, name)))
    build(pipeline, job)
    try:
        with without_stderr():
            pipeline.run()
    except Exception as error:
        raise Refused(
            f"the job server at {cluster.job_endpoint} did not take job {name}: {error}"
        ) from error


@contextmanager
def without_stderr() -> Iterator[None]:
    """Beam asks `pip freeze` for a list that nobody reads, and an environment of uv has no pip."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _until_known(rest: FlinkRest, name: str) -> str:
    deadline = time.monotonic() + _STARTED_WITHIN_S
    while time.monotonic() < deadline:
        if (found := current(rest, name)) is not None:
            return found
        time.sleep(0.2)
    raise Refused(
        f"Flink at {rest.url} did not get job {name} within {_STARTED_WITHIN_S:g} s",
        help="look at the job server's log",
    )


def _until_running(rest: FlinkRest, job: str, within_s: float) -> bool:
    """Whether all tasks run in time. Raises Refused when the job failed."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found = rest.job(job)
        if found["state"] in ENDED:
            errors = rest.exceptions(job)
            reason = _cause(errors[0]["stacktrace"]) if errors else "no reason given"
            raise Refused(
                f"Flink ended job {job} as {found['state']}: {reason}",
                help="mend that and submit again: it goes on from its newest state, if it has one",
            )
        if found["state"] == "RUNNING" and not _waiting(found):
            return True
        time.sleep(0.2)
    return False


def _cause(stack_trace: object) -> str:
    """What a Java stack trace begins with, and what was behind it all."""
    lines = str(stack_trace).splitlines()
    causes = [line.strip() for line in lines if line.startswith("Caused by: ")]
    return " … ".join([lines[0], *causes[-1:]]) if lines else ""


def _state(found: dict[str, Any]) -> str:
    """The job's state; one whose tasks are not all up yet is no RUNNING one."""
    state = str(found["state"])
    waiting = _waiting(found) if state == "RUNNING" else set()
    return f"{state}, tasks {'/'.join(sorted(waiting))}" if waiting else state


def _waiting(found: dict[str, Any]) -> set[str]:
    """The states of the job's tasks that don't run and have not run to their end.

    Of each task: a vertex says RUNNING when one of its tasks does.
    """
    states = {s for v in found["vertices"] for s, count in v["tasks"].items() if count}
    return states - {"RUNNING", "FINISHED"}


def _rate(rest: FlinkRest, job: str, vertex: str | None, before: float | None) -> float | None:
    """Messages a second between two moves of the counter; 0 if it doesn't move.

    Beam hands its counters to Flink some seconds apart: over one second they stand still or leap.
    """
    if vertex is None or before is None:
        return None
    moved_at: float | None = None
    count = before
    deadline = time.monotonic() + _MOVES_WITHIN_S
    while time.monotonic() < deadline:
        time.sleep(0.2)
        now = rest.counters(job, vertex, r"\.pipelinekit_messages")
        if now is None or now < count:
            return None  # it restarts just now
        if now > count:
            if moved_at is not None:
                return (now - count) / (time.monotonic() - moved_at)
            moved_at, count = time.monotonic(), now
            deadline = moved_at + _MOVES_WITHIN_S
    return 0.0


def _is_loopback(host: str) -> bool:
    return host == "localhost" or host.startswith("127.")


def _must_answer(what: str, address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=3).close()
    except (OSError, ValueError) as error:
        raise Unreachable(
            f"{what} at {address} does not answer: {error}",
            help="look whether it runs, and the way to it (kubectl port-forward holds on to one "
            "pod); a cluster on this machine: pipelinekit up flink",
        ) from error


def _must_be_writable(uri: str) -> None:
    """For a folder that this machine sees; others are Flink's to judge."""
    if not uri.startswith("file://"):
        return
    folder = Path(uri.removeprefix("file://"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".pipelinekit"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise Refused(
            f"checkpoints can't be written to {folder}: {error.strerror}",
            help="give a folder that every task manager can write: FLINK_CHECKPOINTS=file:///…",
        ) from error
