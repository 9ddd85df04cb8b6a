"""`pipelinekit up`: the local stack."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelinekit.cli.common import state_option
from pipelinekit.errors import UsageError
from pipelinekit.spec.project import LOCAL

if TYPE_CHECKING:
    from pipelinekit.devstack.stack import Up

stack_environment_option = click.option(
    "-e",
    "--env",
    default=LOCAL,
    show_default=True,
    metavar="NAME",
    help="Whose stack: each environment has its own services and data.",
)
SERVICE_NAMES = ("kafka", "clickhouse", "flink")
_DEFAULT = ("kafka", "clickhouse")
# What `init` calls their addresses in the project's environments.
_VARIABLES = {"kafka": "KAFKA", "clickhouse": "CLICKHOUSE"}
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
    "--port",
    "ports",
    multiple=True,
    type=ServicePort(),
    help="Instead of 9092, 8123, 8081; kept for the next `up`.",
)
@click.option(
    "--task-managers", type=click.IntRange(1, 16), help="Of Flink, one slot each. [default: 2]"
)
@click.option(
    "--job-managers",
    type=click.IntRange(1, 4),
    help="Of Flink: one leads, the others take over when it dies. [default: 1]",
)
@state_option
@stack_environment_option
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.option("-v", "--verbose", is_flag=True, expose_value=False, help="Show tracebacks.")
def up(
    services: Sequence[str],
    ports: Sequence[tuple[str, int]],
    task_managers: int | None,
    job_managers: int | None,
    state: Path | None,
    env: str,
    style: str,
    quiet: bool,
) -> None:
    """Start the local stack on the loopback, for development: Kafka, ClickHouse, Flink.

    Services that run already are found and left alone; all keep running when this command ends.
    Where one fails to start, those that this call started are stopped again. Without a SERVICE:
    kafka, clickhouse. With flink come Beam's job server and Python workers.
    """
    from pipelinekit.devstack.service import to_stderr
    from pipelinekit.devstack.stack import FlinkSize, Stack, state_folder

    names = tuple(dict.fromkeys(services)) or _DEFAULT
    for service, port in ports:
        if service not in names:
            raise click.UsageError(
                f"--port {service}={port}: {service} is not among the services to start"
            )
    for option, count in (("--task-managers", task_managers), ("--job-managers", job_managers)):
        if count and "flink" not in names:
            raise click.UsageError(f"{option}: flink is not among the services to start")
    stack = Stack(state_folder(state, env, Path.cwd()))
    progress = (lambda line: None) if quiet else to_stderr
    ups = stack.up(names, dict(ports), progress, flink_size=FlinkSize(task_managers, job_managers))
    click.echo(_as_json(ups) if style == "json" else _as_text(ups))
    if not quiet:
        for line in _elsewhere(ups, env):
            click.echo(line, err=True)


def _elsewhere(ups: Sequence[Up], env: str) -> Iterator[str]:
    """What to change in the project around here, if its specs look for a service elsewhere."""
    from pipelinekit.cli.common import project_root
    from pipelinekit.spec.layout import PROJECT_FILE, shown
    from pipelinekit.spec.loading import load

    try:
        root = project_root(())
        variables = load(root, env)[0].variables
    except UsageError:  # no project, or none of its environments
        return
    known = {
        str(value).rstrip("/").replace("localhost", "127.0.0.1") for value in variables.values()
    }
    for up in ups:
        variable = _VARIABLES.get(up.service.name)
        address = " ".join(up.service.address.values())
        if variable is None or address in known:
            continue
        now = f", not {variables[variable]}" if variable in variables else ""
        yield (
            f"{shown(root / PROJECT_FILE)}, environment {env}: for this {up.service.name} "
            f'let it say {variable}: "{address}"{now}'
        )


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
