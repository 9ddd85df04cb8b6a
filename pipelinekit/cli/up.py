"""`pipelinekit up`: the local stack."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pipelinekit.devstack.stack import Up

SERVICE_NAMES = ("kafka", "clickhouse", "flink")
_DEFAULT = ("kafka", "clickhouse")
_PORT_MAX = 65_535


class ServicePort(click.ParamType[tuple[str, int]]):
    """SERVICE=PORT, as (service, port)."""

    name = "SERVICE=PORT"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        service, _, port = str(value).partition("=")
        if service not in SERVICE_NAMES or not port.isdecimal() or not 0 < int(port) <= _PORT_MAX:
            self.fail(
                f'"{value}" is not SERVICE=PORT with a service of {", ".join(SERVICE_NAMES)} '
                f"and a port from 1 to {_PORT_MAX}, such as kafka=19092",
                param,
                ctx,
            )
        return service, int(port)


@click.command()
@click.argument("services", nargs=-1, metavar="[SERVICE]…", type=click.Choice(SERVICE_NAMES))
@click.option(
    "--port", "ports", multiple=True, type=ServicePort(), help="Instead of 9092, 8123, 8081."
)
@click.option(
    "--task-managers", type=click.IntRange(1, 16), help="Of Flink, one slot each. [default: 2]"
)
@click.option("--state", type=click.Path(path_type=Path, file_okay=False), help="State folder.")
@click.option("-e", "--env", default="local", show_default=True, help="Environment.")
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.option("-v", "--verbose", is_flag=True, expose_value=False, help="Show tracebacks.")
def up(
    services: Sequence[str],
    ports: Sequence[tuple[str, int]],
    task_managers: int | None,
    state: Path | None,
    env: str,
    style: str,
    quiet: bool,
) -> None:
    """Start the local stack on the loopback, for development: Kafka, ClickHouse, Flink.

    Services that run already are found and left alone; all keep running when this command ends.
    Without a SERVICE: kafka, clickhouse. With flink come Beam's job server and Python workers.
    """
    from pipelinekit.devstack.service import to_stderr
    from pipelinekit.devstack.stack import Stack, state_folder

    names = tuple(dict.fromkeys(services)) or _DEFAULT
    for service, port in ports:
        if service not in names:
            raise click.UsageError(
                f"--port {service}={port}: {service} is not among the services to start"
            )
    if task_managers and "flink" not in names:
        raise click.UsageError("--task-managers: flink is not among the services to start")
    stack = Stack(state_folder(state, env, Path.cwd()))
    progress = (lambda line: None) if quiet else to_stderr
    ups = stack.up(names, dict(ports), progress, task_managers=task_managers)
    click.echo(_as_json(ups) if style == "json" else _as_text(ups))


def _as_json(ups: Sequence[Up]) -> str:
    return json.dumps({up.service.name: up.service.address for up in ups})


def _as_text(ups: Sequence[Up]) -> str:
    rows = [
        (
            up.service.name,
            " ".join(up.service.address.values()),
            f"process {up.service.pid}, {'was running' if up.was_running else 'started'}",
            f"log {up.service.log}",
        )
        for up in ups
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    ]
    return "\n".join([*lines, "stop with: pipelinekit down"])
