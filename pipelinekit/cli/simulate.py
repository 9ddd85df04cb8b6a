"""`pipelinekit simulate`: how late events come, and what lateness to allow for."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelinekit.cli.common import (
    check,
    environment_option,
    paths_argument,
    plans_of,
    reading_time_option,
)
from pipelinekit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelinekit.data import RawBatch
    from pipelinekit.plan.model import Plan


@click.command()
@paths_argument
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=None,
    help="Events in the order of their log: a JSON object a line, or a .parquet file.",
)
@click.option(
    "--from-topic", "is_topic", is_flag=True, help="Read the newest part of the source's topic."
)
@click.option(
    "--max-messages",
    "messages_max",
    type=click.IntRange(1, 20_000_000),
    default=1_000_000,
    show_default=True,
    help="Of the topic, as many of each partition.",
)
@reading_time_option
@click.option("--format", "format", type=click.Choice(["text", "json"]), default="text")
@environment_option
def simulate(
    paths: tuple[Path, ...],
    file: Path | None,
    is_topic: bool,
    messages_max: int,
    seconds: float,
    format: str,
    environment: str,
) -> int:
    """Say how many events of the metrics in PATH come in time, correct a row, or are too late.

    For a lateness of 0 s, 10 s, 1 min, 10 min and the declared one, by the rule of the engine, over
    a file of events or the newest part of the topic. Recommends out_of_orderness for the source and
    lateness for each metric, with the state that they cost. It writes nothing anywhere.
    """
    if (file is None) == (not is_topic):
        raise UsageError(
            "simulate reads one slice of a log", help="name it: --file FILE, or --from-topic"
        )
    checked = check(paths, environment, with_process_environment=is_topic)
    plans = plans_of(checked)
    if len(plans) > 1:
        names = ", ".join(plan.source.name for plan in plans)
        raise UsageError(
            f"these metrics read several sources: {names}",
            help="look at one source at a time: name its metrics' files or folder",
        )
    from pipelinekit.cli import simulate_text
    from pipelinekit.runtime.simulation import simulate as run

    batches = _batches(plans[0], file, messages_max, seconds)
    advice = run(plans[0], batches, now_ms=round(time.time() * 1000) if is_topic else None)
    if not advice.messages:
        raise UsageError("there is no message in this slice", help="take a larger one")
    if not advice.accepted:
        raise UsageError(
            f"none of {advice.messages:,} messages is an event of the source {advice.source}",
            help="look at its fields: pipelinekit test shows why a raw message is invalid",
        )
    shown = simulate_text.as_json if format == "json" else simulate_text.text
    click.echo(shown(advice), nl=False)
    return 0


def _batches(
    plan: Plan, file: Path | None, messages_max: int, seconds: float
) -> Iterator[RawBatch]:
    from pipelinekit.runtime import recorded

    if file is not None:
        yield from recorded.from_file(file)
        return
    from pipelinekit.runtime.outside import make_source

    source = make_source(plan.source)
    try:
        yield from recorded.from_topic(source, messages_max, seconds)
    finally:
        source.close()
