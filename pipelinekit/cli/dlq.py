"""`pipelinekit dlq`: what lies in the dead letters, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelinekit.cli.common import (
    check,
    environment_option,
    paths_argument,
    reading_time_option,
    sources_of,
    stop_at_errors,
)
from pipelinekit.errors import UsageError
from pipelinekit.reasons import Reason

if TYPE_CHECKING:
    from pipelinekit.plan.model import SourcePlan
    from pipelinekit.runtime.buried import Buried

_REASONS = tuple(reason.value for reason in Reason)


@click.command()
@paths_argument
@click.option(
    "--last",
    type=click.IntRange(0, 10_000),
    default=10,
    show_default=True,
    help="Show so many of the newest letters; 0: only the counts.",
)
@click.option("--reason", type=click.Choice(_REASONS), help="Show letters of this reason only.")
@click.option(
    "--max-messages",
    "messages_max",
    type=click.IntRange(1, 20_000_000),
    default=100_000,
    show_default=True,
    help="Look at so many of the newest, as many of each partition.",
)
@reading_time_option
@click.option("--format", "format", type=click.Choice(["text", "json"]), default="text")
@environment_option
def dlq(
    paths: tuple[Path, ...],
    last: int,
    reason: str | None,
    messages_max: int,
    seconds: float,
    format: str,
    environment: str,
) -> int:
    """Show the dead letters of the sources in PATH: how many for which reason, and the newest.

    PATH names sources, or metrics that read them. Each letter comes with its reason, the place it
    had in the source's topic, its key and its value; in text what can't be printed is escaped, in
    JSON the bytes are exact. It reads the dead-letter topic and changes nothing.
    """
    checked = check(paths, environment, with_process_environment=True)
    stop_at_errors(checked)
    from pipelinekit.cli import dlq_text
    from pipelinekit.plan.build import source_plan

    project = checked.project
    plans = [source_plan(project, project.sources[n].spec, ()) for n in sources_of(checked, paths)]
    reading = [plan for plan in plans if plan.dead_letters_topic is not None]
    if not reading:
        names = ", ".join(plan.name for plan in plans) or "there is no source here"
        raise UsageError(
            f"no dead letters are kept: {names}",
            help="let the source name a topic for them: dead_letters: { topic: … }",
        )
    shown = []
    for plan in reading:
        found, there = _read(plan, last, reason, messages_max, seconds)
        if format == "json":
            shown.append(dlq_text.as_json(plan, found, there))
        else:
            click.echo(dlq_text.text(plan, found, there))
    if format == "json":
        click.echo(json.dumps({"sources": shown}))
    return 0


def _read(
    plan: SourcePlan, last: int, reason: str | None, messages_max: int, seconds: float
) -> tuple[Buried, int]:
    """What was found, and how many messages the topic has."""
    from pipelinekit.runtime import buried, recorded
    from pipelinekit.runtime.outside import make_letters_source

    source = make_letters_source(plan)
    assert source is not None
    try:
        there = sum(end - first for first, end in source.bounds().values())
        batches = recorded.from_topic(source, messages_max, seconds)
        found = buried.look(batches, plan.topic, last, None if reason is None else Reason(reason))
    finally:
        source.close()
    return found, there
