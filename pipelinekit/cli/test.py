"""`pipelinekit test`: the specs' tests with time, on the engine alone."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelinekit.cli.common import (
    Checked,
    check,
    environment_option,
    paths_argument,
    plans_of,
    verbosity_options,
)
from pipelinekit.errors import UsageError

if TYPE_CHECKING:
    from pipelinekit.plan.model import Plan
    from pipelinekit.runtime.scenario import Result, Through
    from pipelinekit.spec.project import LoadedTest


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
    type=click.Choice(["engine", "direct", "prism"]),
    default="engine",
    show_default=True,
    help="What merges and writes the rows: the engine alone, or Beam on one of its runners.",
)
@click.option("--format", "format", type=click.Choice(["text", "json", "junit"]), default="text")
@verbosity_options
def test(
    paths: tuple[Path, ...],
    environment: str,
    pattern: str | None,
    runner: str,
    format: str,
    quiet: bool,
    verbose: bool,
) -> int:
    """Run the tests of the metrics in PATH. Exit code: 0 passed, 1 failed, 2 none found.

    Each runs on the engine alone, in milliseconds: no broker, no store, its own clock. With
    --runner the rows of every `expect` come through Beam, a second or so each; `restart` has no
    meaning there.
    """
    checked = check(paths, environment)
    plans_of(checked)  # findings first
    chosen = [
        (name, loaded)
        for name in sorted(checked.selected)
        for loaded in checked.project.tests.get(name, ())
        if pattern is None or pattern in name or pattern in loaded.spec.name
    ]
    if not chosen:
        raise UsageError("there is no test here", help="add tests: to a metric, see the docs")
    began = time.perf_counter()
    is_text = format == "text"
    results = _run(checked, chosen, runner, show=is_text and not quiet, is_text=is_text)
    failed = [r for r, _ in results if not r.passed]
    if format == "json":
        click.echo(json.dumps({"tests": [_document(r, t) for r, t in results]}))
    elif format == "junit":
        from pipelinekit.cli.render_ci import tests_junit

        cases = [(r.metric, r.name, r.seconds, _why(r)) for r, _ in results]
        click.echo(tests_junit(cases), nl=False)
    elif not quiet:
        seconds = time.perf_counter() - began
        click.echo(f"{len(results) - len(failed)} passed, {len(failed)} failed in {seconds:.2f} s")
    return 1 if failed else 0


def _run(
    checked: Checked,
    chosen: list[tuple[str, LoadedTest]],
    runner: str,
    *,
    show: bool,
    is_text: bool,
) -> list[tuple[Result, LoadedTest]]:
    from pipelinekit.plan.build import build
    from pipelinekit.runtime.scenario import run_test

    plans = {name: build(checked.resolved, {name})[0] for name in {n for n, _ in chosen}}
    results = []
    for name, loaded in chosen:
        result = run_test(plans[name], loaded.spec, _through(plans[name], runner))
        results.append((result, loaded))
        if show or (is_text and not result.passed):
            mark = "passed" if result.passed else "FAILED"
            click.echo(f"{mark}  {name}: {loaded.spec.name}")
        for failure in result.failures if is_text else ():
            span = loaded.document.span((*loaded.path, *failure.path))
            click.echo(f"  {span.file}:{span.line}")
            click.echo("\n".join(f"    {line}" for line in failure.text.splitlines()))
    return results


def _through(plan: Plan, runner: str) -> Through | None:
    """The way of a test's rows through Beam, None for the engine's own."""
    if runner == "engine":
        return None
    from functools import partial

    from pipelinekit.launch import direct, prism
    from pipelinekit.launch.rehearse import rows_through

    if runner == "direct":
        return partial(rows_through, plan, direct.run_pipeline)
    from pipelinekit.devstack.prism_distribution import program

    return partial(rows_through, plan, partial(prism.run_pipeline, program=program()))


def _why(result: Result) -> str | None:
    return "\n".join(f.text for f in result.failures) or None


def _document(result: Result, loaded: LoadedTest) -> dict[str, object]:
    return {
        "metric": result.metric,
        "name": result.name,
        "passed": result.passed,
        "seconds": round(result.seconds, 4),
        "file": loaded.document.file,
        "line": loaded.document.span(loaded.path).line,
        "failures": [
            {"line": loaded.document.span((*loaded.path, *f.path)).line, "text": f.text}
            for f in result.failures
        ],
    }
