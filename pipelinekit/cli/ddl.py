"""`pipelinekit ddl`: tables and topics, as they are and as they should be."""

from __future__ import annotations

from pathlib import Path

import click

from pipelinekit.cli.common import check, environment_option, paths_argument, plans_of
from pipelinekit.errors import UsageError


@click.command()
@paths_argument
@environment_option
@click.option("--apply", "apply", is_flag=True, help="Make it so, where `manage: full`.")
@click.option("--check", "check_only", is_flag=True, help="Exit 1 if anything differs.")
@click.option("--yes", is_flag=True, help="Change a protected environment.")
def ddl(paths: tuple[Path, ...], environment: str, apply: bool, check_only: bool, yes: bool) -> int:
    """Show the statements that bring topics and tables to what the specs in PATH want.

    Nothing is printed where nothing differs. A topic that exists is never altered, a column never
    dropped.
    """
    from pipelinekit.runtime.outside import differences, make_ready

    checked = check(paths, environment, with_process_environment=True)
    plans = plans_of(checked)
    if apply and checked.project.is_protected and not yes:
        raise UsageError(
            f"the environment {environment} is protected", help="say --yes to change it"
        )
    found = False
    for plan in plans:
        if apply:
            for statement in make_ready(plan):
                click.echo(statement)
            continue
        for difference in differences(plan):
            found = True
            click.echo(f"-- {difference.place}")
            for statement in difference.statements:
                click.echo(statement)
    return 1 if found and check_only else 0
