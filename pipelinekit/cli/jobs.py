"""What the verbs about submitted jobs share: which cluster, which record, which words."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelinekit.cli.common import state_folder
from pipelinekit.errors import UsageError
from pipelinekit.spec.loading import load
from pipelinekit.spec.project import LOCAL

if TYPE_CHECKING:
    from pipelinekit.launch.deployment import Deployment
    from pipelinekit.launch.flink import FlinkCluster
    from pipelinekit.launch.flink_rest import FlinkRest

# The variable of each address: of the environment in pipelinekit.yaml, or of the process.
_VARIABLES = {
    "rest": "FLINK_REST",
    "job_endpoint": "FLINK_JOB_ENDPOINT",
    "artifact_endpoint": "FLINK_ARTIFACT_ENDPOINT",
    "worker_pool": "FLINK_WORKER_POOL",
    "checkpoints": "FLINK_CHECKPOINTS",
}


def project_variables(environment: str) -> tuple[Mapping[str, Any], bool, Path]:
    """Of the project around here: its variables, whether it is protected, and its state folder.

    Outside of a project: none, no, and a folder under this one.
    """
    from pipelinekit.cli.common import project_root

    try:
        root = project_root(())
    except UsageError:
        return {}, False, Path.cwd() / ".pipelinekit" / environment
    project, _ = load(root, environment)
    return project.variables, project.is_protected, state_folder(project, None)


def flink_cluster(variables: Mapping[str, Any], environment: str, state: Path) -> FlinkCluster:
    """The cluster of the environment; in `local`, where nothing is set, the one of `up flink`."""
    from pipelinekit.launch.flink import FlinkCluster

    known = _of_the_stack(state) if environment == LOCAL else {}
    for name, variable in _VARIABLES.items():
        value = os.environ.get(variable) or variables.get(variable)
        if value:
            known[name] = str(value)
    missing = [_VARIABLES[name] for name in _VARIABLES if not known.get(name)]
    if missing:
        raise UsageError(
            f"the environment {environment} does not say where Flink is: {', '.join(missing)}",
            help="start a cluster here with `pipelinekit up flink`, or set these in the "
            "environment of pipelinekit.yaml or of the process",
        )
    return FlinkCluster(**{name: known[name] for name in _VARIABLES})


def flink_of_the_stack(state: Path) -> FlinkCluster:
    """The cluster of `up flink`. Raises UsageError if none is up."""
    from pipelinekit.launch.flink import FlinkCluster

    known = _of_the_stack(state)
    if not known:
        raise UsageError(
            f"no Flink cluster is up here, in {state / 'stack'}",
            help="start one: pipelinekit up flink",
        )
    return FlinkCluster(**known)


def record_of(state: Path, job: str | None) -> Deployment:
    """The record of the job, of the only one if none is named. Raises UsageError."""
    from pipelinekit.launch import deployment

    names = deployment.names(state)
    if job is None and len(names) == 1:
        job = names[0]
    found = None if job is None else deployment.load(state, job)
    if found is None:
        known = f"submitted were: {', '.join(names)}" if names else "none was submitted yet"
        what = "name a job" if job is None else f"there is no job {job}"
        raise UsageError(f"{what}; {known}", help="submit one: pipelinekit submit DIR")
    return found


def flink_job(rest: FlinkRest, record: Deployment) -> str:
    """Flink's id of the record's job: the one that runs under its name, else the one last known.

    Raises UsageError for a job that Flink never had.
    """
    from pipelinekit.launch.deployment import runner_name
    from pipelinekit.launch.flink import current

    if record.runner != "flink":
        raise UsageError(
            f"{record.job} was submitted to {record.runner}, as {record.runner_job}",
            help="look at it, and stop it, with that runner's own tools",
        )
    if (found := current(rest, runner_name(record.plan))) is not None:
        return found
    if record.runner_job not in {job["jid"] for job in rest.jobs()}:
        reason = "its submission did not get that far"
        if record.runner_job:
            reason = f"it has forgotten {record.runner_job}"
        raise UsageError(
            f"Flink at {rest.url} has no job {record.job}: {reason}",
            help="submit it again: pipelinekit submit DIR",
        )
    return record.runner_job


def of_environment(environment: str) -> str:
    """The option that a printed next step needs to mean the same environment."""
    return "" if environment == LOCAL else f" -e {environment}"


def say(line: str) -> None:
    click.echo(line, err=True)


def refuse_protected(environment: str, is_protected: bool, yes: bool) -> None:
    if is_protected and not yes:
        raise UsageError(
            f"the environment {environment} is protected", help="say --yes to change it"
        )


def _of_the_stack(state: Path) -> dict[str, str]:
    from pipelinekit.devstack.stack import SERVICES, Stack

    service = Stack(state).find("flink") if "flink" in SERVICES else None
    if service is None:
        return {}
    checkpoints = f"file://{(state / 'flink-checkpoints').absolute()}"
    return {"checkpoints": checkpoints, **service.address}
