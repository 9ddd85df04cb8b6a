"""`pipelinekit ddl`: tables and topics, as they are and as they should be."""

from __future__ import annotations

from pathlib import Path

import click

from pipelinekit.cli.common import (
    check,
    environment_option,
    paths_argument,
    plans_of,
    refuse_open_variables,
)
from pipelinekit.errors import UsageError


@click.command()
@paths_argument
@environment_option
@click.option("--apply", "apply", is_flag=True, help="Make it so, where `manage: full`.")
@click.option("--check", "check_only", is_flag=True, help="Exit 1 if anything differs.")
@click.option(
    "--drop-retired",
    is_flag=True,
    help="Print the statements that drop what no spec of the project names any more.",
)
@click.option("--yes", is_flag=True, help="Change a protected environment.")
def ddl(
    paths: tuple[Path, ...],
    environment: str,
    apply: bool,
    check_only: bool,
    drop_retired: bool,
    yes: bool,
) -> int:
    """Show the statements that bring topics and tables to what the specs in PATH want.

    Nothing is printed where nothing differs. A topic that exists is never altered, a column never
    dropped.

    Tables of metrics, versions and grains that are no more stay; --drop-retired prints the
    statements that drop them, for a person to read and run: it runs none.
    """
    if drop_retired:
        if apply or check_only:
            raise UsageError(
                "--drop-retired prints statements, and neither runs nor checks anything",
                help="leave --apply and --check out",
            )
        return _print_retired(paths, environment)
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


def _print_retired(paths: tuple[Path, ...], environment: str) -> int:
    checked = check(paths, environment, with_process_environment=True)
    project = checked.project
    if checked.selected != project.all_metrics.keys():
        raise UsageError(
            "--drop-retired looks at the whole project: what other files name isn't retired",
            help="leave PATH out, or name the project's folder",
        )
    is_empty = not checked.selected and not checked.report.has_errors
    plans = () if is_empty else plans_of(checked)
    refuse_open_variables(project, [loaded.spec for loaded in project.sinks.values()])
    from pipelinekit.plan.build import sink_plan
    from pipelinekit.runtime.retired import drop_retired

    sinks = [sink_plan(project, name) for name in sorted(project.sinks)]
    for name, statements in drop_retired(plans, sinks).items():
        click.echo(f"-- sink {name}: made by pipelinekit, and of no metric of this project")
        for statement in statements:
            click.echo(f"{statement};")
    return 0
