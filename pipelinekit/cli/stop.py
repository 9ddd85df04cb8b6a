"""`pipelinekit stop`: end a submitted job."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from pipelinekit.cli.common import environment_option, state_option
from pipelinekit.cli.jobs import (
    flink_cluster,
    flink_job,
    project_variables,
    record_of,
    refuse_protected,
    say,
)


@click.command()
@click.argument("job", required=False)
@environment_option
@click.option("--savepoint", is_flag=True, help="Keep its state in a savepoint.")
@click.option(
    "--to",
    "folder",
    metavar="URI",
    default=None,
    help="Where the savepoint goes. [default: beside the checkpoints]",
)
@state_option
@click.option("--yes", is_flag=True, help="Stop a job of a protected environment.")
def stop(
    job: str | None,
    environment: str,
    savepoint: bool,
    folder: str | None,
    state: Path | None,
    yes: bool,
) -> int:
    """Stop a submitted JOB; the next `submit` goes on where it stopped.

    With --savepoint exactly there. Without, from its newest checkpoint, a few seconds earlier:
    what was written since is written again, with the same result.
    """
    from pipelinekit.launch import deployment, flink
    from pipelinekit.launch.flink_checkpoints import newest_checkpoint
    from pipelinekit.launch.flink_rest import FlinkRest

    variables, is_protected, own_state = project_variables(environment)
    refuse_protected(environment, is_protected, yes)
    state = state or own_state
    record = record_of(state, job)
    rest = FlinkRest(flink_cluster(variables, environment, state).rest)
    runner_job = flink_job(rest, record)
    if savepoint:
        target = folder or f"{record.checkpoints}/savepoints"
        location = flink.stop_with_savepoint(rest, runner_job, target)
        deployment.save(state, replace(record, runner_job=runner_job, savepoint=location))
        click.echo(location)
    else:
        ended = flink.cancel(rest, runner_job)
        if ended == "CANCELED":
            record = replace(record, runner_job=runner_job)
            deployment.save(state, record)
            kept = newest_checkpoint(rest, record.checkpoints, runner_job)
            deployment.save(state, replace(record, savepoint=kept))
            say(f"{record.job} stopped; " + (f"kept is {kept}" if kept else "it had no checkpoint"))
        else:  # whoever ended it has noted where the next one goes on
            say(f"{record.job} had ended already: Flink says {ended}")
    return 0
