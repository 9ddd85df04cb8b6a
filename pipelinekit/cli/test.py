"""`pipelinekit test`: the specs' tests with time, on the engine alone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelinekit.cli.common import (
    Checked,
    check,
    environment_option,
    parsed_reports,
    paths_argument,
    plans_of,
    verbosity_options,
    write_report,
)
from pipelinekit.errors import UsageError

if TYPE_CHECKING:
    from pipelinekit.plan.model import Plan
    from pipelinekit.runtime.coverage import Coverage
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
    meaning there.

    --update changes rows and dead letters of failed tests in their files, and nothing else there;
    a test of which a step can't be run is left as it is, exit code 1.
    """
    if is_update and runner != "engine":
        raise UsageError("--update takes what the engine gives", help="leave --runner out")
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
    run = _Run(checked, runner, is_coverage=is_coverage)
    shown = "none" if format != "text" or is_update else "failed" if quiet else "all"
    for name, loaded in chosen:
        run.test(name, loaded, shown)
    if is_update:
        return _update(run, format, quiet=quiet)
    for kind, file in reports:
        write_report(file, _JSON_OR_JUNIT[kind](run))
    _report(run, format, time.perf_counter() - began, quiet=quiet)
    return 1 if run.failed else 0


class _Run:
    """Tests with what they came to; a metric's plan is built once for all of its tests."""

    def __init__(self, checked: Checked, runner: str, *, is_coverage: bool) -> None:
        self._checked = checked
        self._runner = runner
        self._is_coverage = is_coverage
        self.plans: dict[str, Plan] = {}
        self.coverage: dict[str, Coverage] = {}
        self.results: list[tuple[Result, LoadedTest]] = []

    @property
    def failed(self) -> list[Result]:
        return [result for result, _ in self.results if not result.passed]

    def test(self, name: str, loaded: LoadedTest, shown: str) -> None:
        """Run one test and show how it went, if `all` or `failed` ones are to be shown."""
        from pipelinekit.runtime.scenario import run_test

        plan = self._plan(name)
        covered = self.coverage.get(name)
        observe = None if covered is None else covered.see
        result = run_test(plan, loaded.spec, _through(plan, self._runner), observe)
        self.results.append((result, loaded))
        if shown == "all" or (shown == "failed" and not result.passed):
            mark = "passed" if result.passed else "FAILED"
            click.echo(f"{mark}  {name}: {loaded.spec.name}")
            for failure in result.failures:
                span = loaded.document.span((*loaded.path, *failure.path))
                click.echo(f"  {span.file}:{span.line}")
                click.echo("\n".join(f"    {line}" for line in failure.text.splitlines()))

    def _plan(self, name: str) -> Plan:
        from pipelinekit.plan.build import build

        if name not in self.plans:
            (self.plans[name],) = build(self._checked.resolved, {name})
            if self._is_coverage:
                from pipelinekit.runtime.coverage import Coverage

                self.coverage[name] = Coverage(self.plans[name])
        return self.plans[name]


def _report(run: _Run, format: str, seconds: float, *, quiet: bool) -> None:
    from pipelinekit.runtime import coverage

    if format in _JSON_OR_JUNIT:
        click.echo(_JSON_OR_JUNIT[format](run), nl=False)
    else:
        for name, covered in run.coverage.items():
            click.echo(coverage.text(name, covered.reached), nl=False)
        if not quiet:
            count, failed = len(run.results), len(run.failed)
            click.echo(f"{count - failed} passed, {failed} failed in {seconds:.2f} s")


def _json(run: _Run) -> str:
    from pipelinekit.runtime import coverage

    found: dict[str, object] = {"tests": [_document(r, t) for r, t in run.results]}
    if run.coverage:
        found["coverage"] = [coverage.document(name, c.reached) for name, c in run.coverage.items()]
    return json.dumps(found, ensure_ascii=False) + "\n"


def _junit(run: _Run) -> str:
    from pipelinekit.cli.render_ci import tests_junit

    return tests_junit([(r.metric, r.name, r.seconds, _why(r)) for r, _ in run.results])


_JSON_OR_JUNIT: dict[str, Callable[[_Run], str]] = {"json": _json, "junit": _junit}


def _update(run: _Run, format: str, *, quiet: bool) -> int:
    """Write what `update` gives and say it; 1 if a failed test stays as it is."""
    from pipelinekit.runtime.updating import update

    found = update([(r, t, run.plans[r.metric]) for r, t in run.results])
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
