"""`pipelinekit compile`: specs to files that can be reviewed, kept and submitted."""

from __future__ import annotations

from pathlib import Path

import click

from pipelinekit.cli.common import check, environment_option, paths_argument, plans_of
from pipelinekit.cli.jobs import of_environment, say


@click.command("compile")
@paths_argument
@environment_option
@click.option(
    "-o",
    "--output",
    "folder",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the files go.",
)
@click.option(
    "--runner",
    type=click.Choice(["flink", "dataflow"]),
    default="flink",
    show_default=True,
    help="What will run it.",
)
@click.option(
    "--parallelism",
    type=click.IntRange(1, 1024),
    default=1,
    show_default=True,
    help="Subtasks; may change later.",
)
@click.option(
    "--shards",
    type=click.IntRange(1, 1024),
    default=None,
    help="Readers; fixed at the first submission. [default: the parallelism]",
)
@click.option(
    "--buckets",
    type=click.IntRange(1, 4096),
    default=None,
    help="Parts of the keys; fixed at the first submission. [default: 2 × parallelism]",
)
@click.option(
    "--checkpoint-every",
    "checkpoint_every_ms",
    type=click.IntRange(100, 3_600_000),
    default=5_000,
    show_default=True,
    metavar="MS",
    help="Time between checkpoints.",
)
def compile_job(
    paths: tuple[Path, ...],
    environment: str,
    folder: Path,
    runner: str,
    parallelism: int,
    shards: int | None,
    buckets: int | None,
    checkpoint_every_ms: int,
) -> int:
    """Write the jobs of the metrics in PATH as files: plan, settings, DDL, manifests.

    Nothing is asked of the network, and secrets stay names. Submit the folder with
    `pipelinekit submit DIR`.
    """
    from pipelinekit.launch import artifact
    from pipelinekit.launch.manifests import texts_of

    settings = artifact.Settings(
        parallelism=parallelism,
        shards=shards or parallelism,
        buckets=buckets or 2 * parallelism,
        checkpoint_every_ms=checkpoint_every_ms,
    )
    checked = check(paths, environment, with_process_environment=True)
    for plan in plans_of(checked):
        made = artifact.Artifact(runner, plan, settings, artifact.built_with())
        for path in artifact.write(folder, made, texts_of(made, checked.project.variables)):
            click.echo(path)
    say(f"submit with: pipelinekit submit {folder}{of_environment(environment)}")
    return 0
