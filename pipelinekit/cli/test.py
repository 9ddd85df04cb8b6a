"""`pipelinekit test`: the specs' tests with time, on the engine alone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelinekit.cli.common import (
    check,
    environment_option,
    parsed_reports,
    paths_argument,
    plans_of,
    state_folder,
    verbosity_options,
    write_report,
)
from pipelinekit.cli.jobs import flink_of_the_stack, say
from pipelinekit.cli.test_text import RENDERERS, Run, coverage_text, one
from pipelinekit.errors import UsageError

if TYPE_CHECKING:
    from pipelinekit.plan.model import Plan
    from pipelinekit.runtime.scenario import Through
    from pipelinekit.runtime.suite import Suite
    from pipelinekit.spec.project import LoadedTest, Project

# A job costs two seconds, each expectation a part of one. More at once, and a task manager that has
# just started is too busy for its heartbeats.
_EXPECTATIONS_A_JOB = 4


@click.command()
@paths_argument
@environment_option
@click.option(
    "-k",
    "pattern",
    default=None,
    metavar="TEXT",
    help="Only tests whose metric or name holds TEXT.",
)
@click.option(
    "--runner",
    type=click.Choice(["engine", "direct", "prism", "flink"]),
    default="engine",
    show_default=True,
    help="What merges and writes the rows: the engine alone, or Beam on one of its runners.",
)
@click.option(
    "--update",
    "is_update",
    is_flag=True,
    help="Rewrite the expectations of failed tests to what there is; review them like code.",
)
@click.option(
    "--coverage",
    "is_coverage",
    is_flag=True,
    help="Say which branches of each metric its tests reached (as text or JSON).",
)
@click.option("--format", "format", type=click.Choice(["text", "json", "junit"]), default="text")
@click.option(
    "--report",
    "reports",
    multiple=True,
    callback=lambda ctx, param, values: parsed_reports(values, ["json", "junit"]),
    metavar="FORMAT=FILE",
    help="Also write the results to a file; may be repeated.",
)
@verbosity_options
def test(
    paths: tuple[Path, ...],
    environment: str,
    pattern: str | None,
    runner: str,
    is_update: bool,
    is_coverage: bool,
    format: str,
    reports: list[tuple[str, str]],
    quiet: bool,
    verbose: bool,
) -> int:
    """Run the tests of the metrics in PATH. Exit code: 0 passed, 1 failed, 2 none found.

    Each runs on the engine alone, in milliseconds: no broker, no store, its own clock. With
    --runner the rows of every `expect` come through Beam, a second or so each; `restart` has no
    meaning there. flink takes the cluster of `up flink`, four expectations to a job, and workers
    in this process.

    --update changes rows and dead letters of failed tests in their files, and nothing else there;
    a test of which a step can't be run is left as it is, exit code 1.
    """
    from pipelinekit.plan.build import build
    from pipelinekit.runtime.suite import Suite

    if is_update and runner != "engine":
        raise UsageError("--update takes what the engine gives", help="leave --runner out")
    checked = check(paths, environment)
    plans_of(checked)  # findings first
    chosen: dict[str, list[LoadedTest]] = {}
    for name in sorted(checked.selected):
        for loaded in checked.project.tests.get(name, ()):
            if pattern is None or pattern in name or pattern in loaded.spec.name:
                chosen.setdefault(name, []).append(loaded)
    if not chosen:
        if pattern is not None:
            raise UsageError(f'no test or metric here has "{pattern}" in its name')
        raise UsageError("there is no test here", help="add tests: to a metric")
    began = time.perf_counter()
    plans = {name: build(checked.resolved, {name})[0] for name in chosen}
    shown = "none" if format != "text" or is_update else "failed" if quiet else "all"
    suites = [Suite(plans[name], tuple(t.spec for t in tests)) for name, tests in chosen.items()]
    through = _through(runner, suites, checked.project, quiet=quiet)
    run = _run(chosen, suites, through, shown, is_coverage=is_coverage)
    if is_update:
        return _update(run, plans, format, quiet=quiet)
    for kind, file in reports:
        write_report(file, RENDERERS[kind](run))
    if format in RENDERERS:
        click.echo(RENDERERS[format](run), nl=False)
        return 1 if run.failed else 0
    click.echo(coverage_text(run), nl=False)
    if not quiet:
        count, failed = len(run.results), len(run.failed)
        seconds = time.perf_counter() - began
        click.echo(f"{count - failed} passed, {failed} failed in {seconds:.2f} s")
    return 1 if run.failed else 0


def _run(
    chosen: Mapping[str, Sequence[LoadedTest]],
    suites: Sequence[Suite],
    through: Callable[[Plan], Through] | None,
    shown: str,
    *,
    is_coverage: bool,
) -> Run:
    """Run the tests and show them as they end: `all`, `failed` ones or `none`."""
    from pipelinekit.runtime.suite import run_suites

    run = Run()
    outcomes = run_suites(suites, is_coverage=is_coverage, through=through)
    for (name, tests), outcome in zip(chosen.items(), outcomes, strict=True):
        if outcome.reached is not None:
            run.coverage[name] = outcome.reached
        for result, loaded in zip(outcome.results, tests, strict=True):
            run.results.append((result, loaded))
            if shown == "all" or (shown == "failed" and not result.passed):
                click.echo(one(result, loaded), nl=False)
    return run


def _update(run: Run, plans: Mapping[str, Plan], format: str, *, quiet: bool) -> int:
    """Write what `update` gives and say it; 1 if a failed test stays as it is."""
    from pipelinekit.runtime.updating import update

    found = update([(r, t, plans[r.metric]) for r, t in run.results])
    for file, text in found.texts.items():
        try:
            Path(file).write_text(text, encoding="utf-8", newline="")
        except OSError as error:
            raise UsageError(f"{file} can't be written: {error.strerror}") from error
    if format == "json":
        told = {"files": list(found.texts), "changed": found.changed, "refused": found.refused}
        click.echo(json.dumps(told, ensure_ascii=False))
    else:
        click.echo("".join(f"{line}\n" for line in found.changed), nl=False)
        for line in found.refused:
            click.echo(f"not updated: {line}", err=True)
        if not quiet:
            failed, refused = len(run.failed), len(found.refused)
            passed = len(run.results) - failed
            said = f"{passed} passed before, {failed - refused} updated, {refused} not updated"
            click.echo(said, err=True)
    return 1 if found.refused else 0


def _through(
    runner: str, suites: Sequence[Suite], project: Project, *, quiet: bool
) -> Callable[[Plan], Through] | None:
    """The ways of the tests' rows through Beam, None for the engine alone."""
    from functools import partial

    if runner == "engine":
        return None
    from pipelinekit.launch.rehearse import rows_through, together

    if runner == "flink":
        from pipelinekit.launch import flink_rehearsal

        run = partial(
            flink_rehearsal.run_pipeline, cluster=flink_of_the_stack(state_folder(project, None))
        )
        say_ = (lambda line: None) if quiet else lambda line: say(f"flink: {line}; some seconds")
        return together(suites, run, _EXPECTATIONS_A_JOB, say_)
    from pipelinekit.launch import direct, prism

    if runner == "direct":
        return lambda plan: partial(rows_through, plan, direct.run_pipeline)
    from pipelinekit.devstack.prism_distribution import program

    run_on_prism = partial(prism.run_pipeline, program=program())
    return lambda plan: partial(rows_through, plan, run_on_prism)
