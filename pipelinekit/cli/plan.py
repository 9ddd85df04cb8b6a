"""`pipelinekit plan`: what would run, as text that a review can compare."""

from __future__ import annotations

from pathlib import Path

import click

from pipelinekit.cli.common import check, environment_option, paths_argument, plans_of


@click.command()
@paths_argument
@environment_option
def plan(paths: tuple[Path, ...], environment: str) -> int:
    """Show what the specs in PATH would run: canonical text, with an estimate of the state.

    It reads nothing but the specs: the same specs give the same text on every machine.
    """
    from pipelinekit.plan.render import render

    for one in plans_of(check(paths, environment)):
        click.echo(render(one), nl=False)
    return 0
