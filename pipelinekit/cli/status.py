"""`pipelinekit status`: how submitted jobs fare."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelinekit.cli.common import environment_option, state_option
from pipelinekit.cli.jobs import flink_cluster, flink_job, project_variables, record_of
from pipelinekit.cli.render import counted
from pipelinekit.errors import UsageError

if TYPE_CHECKING:
    from pipelinekit.launch.deployment import Deployment
    from pipelinekit.launch.flink import FlinkStatus


@click.command()
@click.argument("jobs", nargs=-1, metavar="[JOB]...")
@environment_option
@state_option
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text")
def status(jobs: tuple[str, ...], environment: str, state: Path | None, style: str) -> int:
    """Show state, watermark, lag, last checkpoint, restarts and throughput of submitted jobs.

    Without a JOB, all that were submitted. Exits 1 if one is not running.
    """
    from pipelinekit.launch import deployment, flink
    from pipelinekit.launch.flink_rest import FlinkRest

    variables, _, own_state = project_variables(environment)
    state = state or own_state
    names = jobs or tuple(deployment.names(state))
    if not names:
        raise UsageError(
            f"no job was submitted yet to the environment {environment}",
            help="submit one: pipelinekit submit DIR; another environment: -e NAME",
        )
    rest = FlinkRest(flink_cluster(variables, environment, state).rest)
    found = []
    for name in names:
        record = record_of(state, name)
        job = flink_job(rest, record)
        found.append((record, job, flink.status(rest, job)))
    if style == "json":
        click.echo(json.dumps({r.job: _values(r, job, fares) for r, job, fares in found}))
    else:
        for record, job, fares in found:
            click.echo(_text(record, job, fares))
    return 0 if all(fares.state == "RUNNING" for _, _, fares in found) else 1


def _values(record: Deployment, job: str, fares: FlinkStatus) -> dict[str, object]:
    return {"id": job, "submitted_at_ms": record.submitted_at_ms, **asdict(fares)}


def _text(record: Deployment, job: str, fares: FlinkStatus) -> str:
    restarts = counted(fares.restarts, "restart")
    rows = [
        ("state", fares.state),
        ("Flink's id", job),
        ("submitted", _time(record.submitted_at_ms)),
        # Much later than the submission where a job manager took it over since.
        ("running since", f"{_time(fares.since_ms)}: {fares.running_ms // 1000} s, {restarts}"),
        ("watermark", _time(fares.watermark_ms)),
        ("messages", _count(fares.messages) + _per_second(fares.messages_per_second)),
        ("lag", f"{_count(fares.lag)} messages"),
        ("rows written", _count(fares.rows)),
        ("dead letters", _count(fares.dead_letters)),
        ("last checkpoint", _checkpoint(fares)),
        *_losses(fares),
    ]
    if fares.last_error is not None:
        rows.append(("last error", fares.last_error))
    return "\n".join([record.job, *(f"  {what:<16} {value}" for what, value in rows)])


def _losses(fares: FlinkStatus) -> Iterator[tuple[str, str]]:
    """What went beyond a limit or is missing; nothing of what is as it should be."""
    if fares.orphan_events:
        yield "ALARM", f"{fares.orphan_events:,} events met forgotten panes: a bug, report it"
    if fares.overflowed_rows:
        yield "measures", f"null in {counted(fares.overflowed_rows, 'row')}, beyond their limits"
    if fares.overflowed_windows:
        windows = counted(fares.overflowed_windows, "window")
        yield "keys", f"more values than their limits in {windows}"


def _time(ms: int | None) -> str:
    if ms is None:
        return "none yet"
    if ms >= 2**62:
        return "the end"
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _count(number: int | None) -> str:
    return "none yet" if number is None else f"{number:,}"


def _per_second(rate: float | None) -> str:
    return "" if rate is None else f" ({rate:,.0f}/s) since the last restart"


def _checkpoint(fares: FlinkStatus) -> str:
    if fares.checkpoint_at_ms is None:
        return f"none yet, {fares.checkpoints_failed} failed"
    size = (fares.checkpoint_bytes or 0) / 1024
    return (
        f"{_time(fares.checkpoint_at_ms)}, {size:,.0f} KiB in {fares.checkpoint_ms} ms; "
        f"{fares.checkpoints_failed} failed"
    )
