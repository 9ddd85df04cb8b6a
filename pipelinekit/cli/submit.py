"""`pipelinekit submit`: hand compiled jobs to their runner."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelinekit.cli.common import environment_option, state_option
from pipelinekit.cli.jobs import (
    flink_cluster,
    of_environment,
    project_variables,
    refuse_protected,
    say,
)
from pipelinekit.errors import UsageError

if TYPE_CHECKING:
    from pipelinekit.launch.artifact import Artifact
    from pipelinekit.launch.deployment import Deployment
    from pipelinekit.launch.flink import FlinkCluster
    from pipelinekit.launch.start import Begin


def _renamed(
    ctx: click.Context, param: click.Parameter, values: Sequence[str]
) -> list[tuple[str, str]]:
    pairs = [value.partition("=") for value in values]
    if any(not old or not new for old, _, new in pairs):
        raise click.BadParameter("write OLD=NEW")
    return [(old, new) for old, _, new in pairs]


@click.command()
@click.argument(
    "folder", type=click.Path(exists=True, path_type=Path, file_okay=False), metavar="DIR"
)
@environment_option
@click.option(
    "--from",
    "start_from",
    type=click.Choice(["earliest", "latest", "stored"]),
    default="stored",
    show_default=True,
    help="Where to begin; stored: the savepoint it was stopped with, else its newest checkpoint, "
    "else earliest.",
)
@click.option(
    "--from-savepoint",
    "savepoint",
    metavar="URI",
    default=None,
    help="Begin from this savepoint or retained checkpoint.",
)
@click.option(
    "--parallelism", type=click.IntRange(1, 1024), default=None, help="Instead of the compiled one."
)
@click.option(
    "--shards",
    type=click.IntRange(1, 1024),
    default=None,
    help="Instead of the compiled ones; only at a fresh start.",
)
@state_option
@click.option("--update", is_flag=True, help="Dataflow: replace the running job, keep its state.")
@click.option(
    "--rename",
    "renamed",
    multiple=True,
    metavar="OLD=NEW",
    callback=_renamed,
    help="Dataflow, with --update: a transform's name in the running job and in this one.",
)
@click.option("--yes", is_flag=True, help="Submit to a protected environment.")
def submit(
    folder: Path,
    environment: str,
    start_from: str,
    savepoint: str | None,
    parallelism: int | None,
    shards: int | None,
    state: Path | None,
    update: bool,
    renamed: Sequence[tuple[str, str]],
    yes: bool,
) -> int:
    """Submit the jobs that `compile` wrote to DIR, and wait until they run.

    Tables and topics must be there: `pipelinekit ddl` shows what is missing. A state that the
    plan doesn't fit is refused before anything is submitted.
    """
    from pipelinekit.launch import artifact

    variables, is_protected, own_state = project_variables(environment)
    refuse_protected(environment, is_protected, yes)
    state = state or own_state
    for made in artifact.read(folder):
        if made.plan.environment != environment:
            raise UsageError(
                f"{folder} was compiled for the environment {made.plan.environment}",
                help=f"submit it there: -e {made.plan.environment}",
            )
        if made.runner == "dataflow":
            found = _submit_to_dataflow(
                made,
                {**variables, **os.environ},
                state,
                latest=start_from == "latest",
                update=update,
                renamed=dict(renamed),
            )
            click.echo(f"{made.plan.job} was launched on Dataflow as {found}")
            continue
        settings = made.settings
        made = replace(
            made,
            settings=replace(
                settings,
                parallelism=parallelism or settings.parallelism,
                shards=shards or settings.shards,
            ),
        )
        cluster = flink_cluster(variables, environment, state)
        submitted = submit_to_flink(
            made,
            cluster,
            state,
            start_from=start_from,
            savepoint=savepoint,
            shards_given=shards,
        )
        click.echo(f"{submitted.job} runs on Flink as {submitted.runner_job}")
    say(f"look at it with: pipelinekit status{of_environment(environment)}")
    return 0


def submit_to_flink(
    made: Artifact,
    cluster: FlinkCluster,
    state: Path,
    *,
    start_from: str,
    savepoint: str | None = None,
    shards_given: int | None = None,
    until_end: bool = False,
) -> Deployment:
    """Submit one job and keep its record; says in words what differs from the one before."""
    from pipelinekit.launch import deployment, flink
    from pipelinekit.launch.start import begin_anew, begin_from

    plan, settings = made.plan, made.settings
    name = deployment.runner_name(plan)
    for line in flink.preflight(cluster, name, settings.parallelism):
        say(line)
    before = deployment.load(state, plan.job)
    if savepoint is None and start_from == "stored" and before is not None:
        savepoint = _newest_state(cluster, before)
    if savepoint is not None and until_end:
        raise UsageError(
            "--until-end replays a topic, and this job goes on from a state",
            help="add --from earliest, or leave --until-end out",
        )
    if savepoint is not None:
        if before is None:
            raise UsageError(
                f"there is no record of {plan.job} in {state}: a state says nothing of its "
                "shards, epoch and floors",
                help="name the folder of records with --state, or start --from earliest",
            )
        say(f"from {savepoint}")
        begin = begin_from(plan, before, shards=shards_given)
    else:
        begin = begin_anew(
            plan,
            before,
            latest=start_from == "latest",
            until_end=until_end,
            shards=settings.shards,
            buckets=settings.buckets,
        )
    for note in begin.notes:
        say(f"note: {note}")
    record = _record("flink", begin, cluster.checkpoints, began_from=savepoint)
    deployment.save(state, record)
    ids: list[str] = []  # also of one that failed: `status` shows why
    try:
        flink.submit(
            cluster,
            begin.job,
            name=name,
            parallelism=settings.parallelism,
            checkpoint_every_ms=settings.checkpoint_every_ms,
            savepoint=savepoint,
            say=say,
            known=ids.append,
        )
    finally:
        if ids:
            record = replace(record, runner_job=ids[-1])
            deployment.save(state, record)
    return record


def _newest_state(cluster: FlinkCluster, before: Deployment) -> str | None:
    """What the job was stopped with, else its newest checkpoint, else what it had begun from."""
    from pipelinekit.launch.flink_checkpoints import newest_checkpoint
    from pipelinekit.launch.flink_rest import FlinkRest

    if before.savepoint is not None or not before.runner_job:
        return before.savepoint or before.began_from
    found = newest_checkpoint(FlinkRest(cluster.rest), before.checkpoints, before.runner_job)
    return found or before.began_from


def _submit_to_dataflow(
    made: Artifact,
    variables: Mapping[str, Any],
    state: Path,
    *,
    latest: bool,
    update: bool,
    renamed: Mapping[str, str],
) -> str:
    """Launch one job and keep its record; gives Dataflow's id of it."""
    from pipelinekit.launch import dataflow, deployment
    from pipelinekit.launch.start import begin_anew, begin_from

    plan = made.plan
    settings = dataflow.settings_from(variables)
    before = deployment.load(state, plan.job)
    if update and before is None:
        raise UsageError(
            f"there is no record of {plan.job} in {state} to update",
            help="name the folder of records with --state, or leave --update out",
        )
    if update and before is not None:
        begin = begin_from(plan, before)
    else:
        shards, buckets = made.settings.shards, made.settings.buckets
        begin = begin_anew(plan, before, latest=latest, shards=shards, buckets=buckets)
    name = deployment.runner_name(plan)
    body = dataflow.request(settings, begin.job, name, update=update, renamed=renamed)
    found = dataflow.launch(settings, body)
    record = _record("dataflow", begin, settings.temp_location)
    deployment.save(state, replace(record, runner_job=found))
    return found


def _record(
    runner: str, begin: Begin, checkpoints: str, *, began_from: str | None = None
) -> Deployment:
    """The record as it is before the hand-over."""
    from pipelinekit.launch.deployment import Deployment

    job = begin.job
    return Deployment(
        job=job.plan.job,
        runner=runner,
        runner_job="",
        submitted_at_ms=time.time_ns() // 1_000_000,
        epoch=job.epoch,
        shards=job.shards,
        buckets=job.buckets,
        topic_id=begin.topic_id,
        positions=job.positions,
        metrics=job.metrics,
        plan=job.plan,
        checkpoints=checkpoints,
        began_from=began_from,
    )
