"""`pipelinekit down`: stop the local stack."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from pipelinekit.cli.common import state_option
from pipelinekit.cli.up import SERVICE_NAMES, stack_environment_option


@click.command()
@click.argument("services", nargs=-1, metavar="[SERVICE]…", type=click.Choice(SERVICE_NAMES))
@click.option("--delete-data", is_flag=True, help="Delete topics, tables and checkpoints too.")
@state_option
@stack_environment_option
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.option("-v", "--verbose", is_flag=True, expose_value=False, help="Show tracebacks.")
def down(
    services: Sequence[str], delete_data: bool, state: Path | None, env: str, quiet: bool
) -> None:
    """Stop the local stack. Its data stays for the next `up` unless --delete-data.

    Without a SERVICE, all of them: kafka, clickhouse, flink.
    """
    from pipelinekit.devstack.service import to_stderr
    from pipelinekit.devstack.stack import Stack, state_folder

    names = tuple(dict.fromkeys(services)) or SERVICE_NAMES
    progress = (lambda line: None) if quiet else to_stderr
    stack = Stack(state_folder(state, env, Path.cwd()))
    stack.down(names, delete_data=delete_data, progress=progress)
