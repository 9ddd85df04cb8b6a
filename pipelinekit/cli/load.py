"""`pipelinekit load`: generated events on a topic."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

import click

from pipelinekit.cli.common import is_terminal, project_root
from pipelinekit.errors import UsageError
from pipelinekit.spec.project import LOCAL

if TYPE_CHECKING:
    from pipelinekit.load.produce import Sent

_SHARE = click.FloatRange(0, 1)


@click.command()
@click.option(
    "--topic",
    default="user_events",
    show_default=True,
    metavar="NAME",
    help="Where to send; made if it is missing.",
)
@click.option(
    "--brokers",
    default=None,
    metavar="HOST:PORT",
    help="Where Kafka is. [default: as the project's sources say, else KAFKA, else 127.0.0.1:9092]",
)
@click.option(
    "--partitions",
    type=click.IntRange(1, 1000),
    default=4,
    show_default=True,
    help="Of the topic, if it has to be made.",
)
@click.option(
    "--rate",
    type=click.IntRange(1, 1_000_000),
    default=1_000,
    show_default=True,
    help="Messages a second; intended times are kept.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, 86_400),
    default=None,
    help="For how long. [default: until Ctrl-C]",
)
@click.option("--count", type=click.IntRange(1), default=None, help="Stop after so many.")
@click.option(
    "--seed", type=int, default=1, show_default=True, help="The same seed makes the same events."
)
@click.option(
    "--late",
    type=_SHARE,
    default=0.005,
    show_default=True,
    help="Share of events 30 s to 5 min old.",
)
@click.option(
    "--too-late",
    type=_SHARE,
    default=0.001,
    show_default=True,
    help="Share of events more than an hour old.",
)
@click.option(
    "--malformed",
    type=_SHARE,
    default=0.0005,
    show_default=True,
    help="Share of messages that are no event: cut off, empty, not UTF-8, of a wrong type.",
)
@click.option(
    "--future",
    type=_SHARE,
    default=0.0,
    show_default=True,
    help="Share of events three hours ahead of the clock.",
)
@click.option(
    "--duplicates",
    type=_SHARE,
    default=0.0,
    show_default=True,
    help="Share of events that are the one before once more.",
)
@click.option("--format", "format", type=click.Choice(["text", "json"]), default="text")
@click.option(
    "-e",
    "--env",
    "environment",
    default=LOCAL,
    show_default=True,
    metavar="NAME",
    help="The environment of the project here that says where Kafka is.",
)
def load(
    topic: str,
    brokers: str | None,
    partitions: int,
    rate: int,
    seconds: float | None,
    count: int | None,
    seed: int,
    late: float,
    too_late: float,
    malformed: float,
    future: float,
    duplicates: float,
    format: str,
    environment: str,
) -> int:
    """Send a web shop's click-stream to a topic: open loop, seeded, some of it late or broken.

    The topic is made if it is missing. Ctrl-C ends it.
    """
    from pipelinekit.connectors.kafka import topics
    from pipelinekit.connectors.kafka.admin import KafkaAdmin
    from pipelinekit.load.produce import produce
    from pipelinekit.load.stream import ClickStream, Shares

    try:
        shares = Shares(late, too_late, malformed, future, duplicates)
    except ValueError as error:
        raise UsageError(str(error)) from error
    address = brokers or _brokers(environment)
    admin = KafkaAdmin(address)
    if topics.describe(admin, topic) is None:
        topics.create(admin, topics.source_topic(topic, partitions))
        print(f"made topic {topic} with {partitions} partitions", file=sys.stderr)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    sent = produce(
        address,
        topic,
        ClickStream(seed, shares),
        rate,
        seconds=seconds,
        count=count,
        stop=stop,
        progress=_progress if is_terminal() else None,
    )
    if is_terminal():
        print(file=sys.stderr)
    click.echo(_as_json(sent) if format == "json" else _as_text(sent))
    return 0


def _brokers(environment: str) -> str:
    from pipelinekit.spec.loading import load as load_project

    fallback = os.environ.get("KAFKA", "127.0.0.1:9092")
    try:
        root = project_root(())
    except UsageError:
        return fallback
    project, _ = load_project(root, environment, os.environ)
    found = [s.spec.brokers for s in project.sources.values() if "${" not in s.spec.brokers]
    return found[0] if found else fallback


def _progress(sent: Sent) -> None:
    print(f"\r{sent.messages:,} sent, {sent.rate:,.0f} a second ", end="", file=sys.stderr)


def _as_text(sent: Sent) -> str:
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in sorted(sent.kinds.items()))
    return (
        f"{sent.messages:,} messages in {sent.seconds:.1f} s, {sent.rate:,.0f} a second, at most "
        f"{sent.behind_ms:.0f} ms behind: {kinds}"
    )


def _as_json(sent: Sent) -> str:
    return json.dumps(
        {
            "messages": sent.messages,
            "seconds": round(sent.seconds, 3),
            "rate": round(sent.rate, 1),
            "behind_ms": round(sent.behind_ms, 1),
            "kinds": dict(sent.kinds),
        }
    )
