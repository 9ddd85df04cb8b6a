"""What verbs share: options, loading a project, reporting findings."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from pipelinekit.cli.garbage import uncollected
from pipelinekit.cli.render import FORMATS, counted, rendered, summary
from pipelinekit.diagnostics import Report, Severity
from pipelinekit.errors import UsageError
from pipelinekit.spec.document import Document
from pipelinekit.spec.layout import PROJECT_FILE, find_root, place
from pipelinekit.spec.layout import shown as shown_path
from pipelinekit.spec.loading import load, process_variables
from pipelinekit.spec.models.metric import MetricSpec, StageSpec
from pipelinekit.spec.project import LOCAL, Loaded, Project
from pipelinekit.spec.resolve import Resolved, resolve
from pipelinekit.spec.suppressions import suppress
from pipelinekit.spec.variables import open_names

if TYPE_CHECKING:
    from pydantic import BaseModel

    from pipelinekit.plan.model import Plan

F = TypeVar("F", bound=Callable[..., Any])


class Checked(NamedTuple):
    """A project with everything that was found. `selected`: metrics of the named paths."""

    project: Project
    resolved: Resolved
    report: Report
    selected: frozenset[str]


def environment_option(command: F) -> F:
    return click.option(
        "-e",
        "--env",
        "environment",
        default=LOCAL,
        show_default=True,
        metavar="NAME",
        help="The environment whose variables fill the specs.",
    )(command)


def paths_argument(command: F) -> F:
    return click.argument(
        "paths", nargs=-1, type=click.Path(exists=True, path_type=Path), metavar="[PATH]..."
    )(command)


def verbosity_options(command: F) -> F:
    command = click.option("-q", "--quiet", is_flag=True, help="Say only what is wrong.")(command)
    return click.option("-v", "--verbose", is_flag=True, help="Say more; show tracebacks.")(command)


def reading_time_option(command: F) -> F:
    return click.option(
        "--seconds",
        type=click.FloatRange(0.1, 3600),
        default=30.0,
        show_default=True,
        help="To read the topic for at most.",
    )(command)


def state_option(command: F) -> F:
    return click.option(
        "--state",
        type=click.Path(path_type=Path, file_okay=False),
        default=None,
        metavar="DIR",
        help="Where state lies. [default: .pipelinekit/<env>/ beside the project]",
    )(command)


def check(
    paths: Sequence[Path], environment: str, *, with_process_environment: bool = False
) -> Checked:
    """The project that the paths lie in, with all findings of what they name."""
    from pipelinekit import checks

    root = project_root(paths)
    variables = process_variables() if with_process_environment else None
    with uncollected():
        project, report = load(root, environment, variables)
        resolved = resolve(project)
        report.add(*resolved.findings)
        report.add(*checks.run(resolved))
        suppress(report, project.documents)
    selected = _selected(project, paths)
    if paths and not _is_whole(root, paths):
        _keep_named(project, report, paths, selected)
    checked = Checked(project, resolved, report, selected)
    if with_process_environment and not report.has_errors:
        _refuse_open_variables_of(checked)
    return checked


def _keep_named(
    project: Project, report: Report, paths: Sequence[Path], selected: frozenset[str]
) -> None:
    """Leave in the report what the paths name, and the errors of what that needs."""
    named = {file for file in project.documents if _lies_in(file, paths)}
    named |= {f.span.file for f in report.findings if _lies_in(f.span.file, paths)}
    if not named:
        shown = ", ".join(map(str, paths))
        raise UsageError(
            f"there is no spec in {shown}", help="name a .yaml file, or a folder of them"
        )
    needed = {shown_path(project.root / PROJECT_FILE)}
    for name in selected:
        needed |= _needed(project, name)
    report.findings = [
        finding
        for finding in report.findings
        if finding.span.file in named
        or (finding.span.file in needed and finding.severity is Severity.ERROR)
    ]
    report.suppressed = [s for s in report.suppressed if s.finding.span.file in named]
    report.files = len(named | needed)
    report.metrics = len(selected)


def _needed(project: Project, metric: str) -> set[str]:
    """The files that a metric's rows follow from."""
    own = project.all_metrics[metric]
    needed = {own.document.file, *(test.document.file for test in project.tests[metric])}
    if isinstance(own.spec, StageSpec) and ("metric", own.spec.from_) in project.unread:
        needed.add(project.unread["metric", own.spec.from_])
    for loaded in needed_metrics(project, (metric,)):
        needed.add(loaded.document.file)
        for kind, specs, names in (
            ("source", project.sources, [loaded.spec.source]),
            ("sink", project.sinks, loaded.spec.sink),
        ):
            needed |= {specs[name].document.file for name in names if name in specs}
            needed |= {project.unread[kind, n] for n in names if (kind, n) in project.unread}
    return needed


def needed_metrics(project: Project, names: Collection[str]) -> list[Loaded[MetricSpec]]:
    """The metrics over events that these need: themselves, or what they are over."""
    over = {project.stages[n].spec.from_ if n in project.stages else n for n in names}
    return [project.metrics[name] for name in sorted(over) if name in project.metrics]


def _refuse_open_variables_of(checked: Checked) -> None:
    project = checked.project
    metrics = [loaded.spec for loaded in needed_metrics(project, checked.selected)]
    sources = {m.source for m in metrics} & project.sources.keys()
    sinks = {sink for m in metrics for sink in m.sink} & project.sinks.keys()
    used = [project.sources[name].spec for name in sources]
    refuse_open_variables(project, [*used, *(project.sinks[name].spec for name in sinks)])


def refuse_open_variables(project: Project, specs: Sequence[BaseModel]) -> None:
    """Raises UsageError if one of the specs needs a variable that is set nowhere."""
    if names := open_names(repr(spec.model_dump()) for spec in specs):
        close = difflib.get_close_matches(names[0], project.declared, n=1)
        meant = f", or was {close[0]} meant?" if close else ""
        raise UsageError(
            f"{', '.join(names)}: set neither in the environment {project.environment} of "
            f"{PROJECT_FILE} nor in the process",
            help=f"set it for this call: {names[0]}=… pipelinekit …{meant}",
        )


def project_root(paths: Sequence[Path]) -> Path:
    """The one project of all paths. Raises UsageError."""
    roots = {find_root(path) for path in (paths or [Path.cwd()])}
    if len(roots) > 1:
        names = ", ".join(sorted(map(str, roots)))
        raise UsageError(f"the paths lie in several projects: {names}", help="name one at a time")
    return roots.pop()


def state_folder(project: Project, given: Path | None) -> Path:
    """Where the environment's state lies."""
    if given is not None:
        return given
    root = project.root
    base = root.parent if root.name == "specs" else root
    return base / ".pipelinekit" / project.environment


def plans_of(checked: Checked) -> tuple[Plan, ...]:
    """The plans of the chosen metrics. Exits 1 with the findings if there are errors."""
    from pipelinekit.plan.build import build

    stop_at_errors(checked)
    if not checked.selected:
        raise UsageError(
            "there is no metric here", help="name a metric's file, or a folder of them"
        )
    return build(checked.resolved, checked.selected)


def stop_at_errors(checked: Checked) -> None:
    """Exits 1 with the findings if there are errors."""
    if checked.report.has_errors:
        click.echo(rendered("text", checked.report, checked.project.documents), nl=False)
        raise click.exceptions.Exit(1)


def sources_of(checked: Checked, paths: Sequence[Path]) -> list[str]:
    """The names of the sources that the paths name, or that their metrics read."""
    project = checked.project
    if not paths or _is_whole(project.root, paths):
        return sorted(project.sources)
    read = {loaded.spec.source for loaded in needed_metrics(project, checked.selected)}
    named = {n for n, s in project.sources.items() if _lies_in(s.document.file, paths)}
    return sorted(read | named)


def report_findings(
    report: Report,
    documents: Mapping[str, Document],
    format: str,
    reports: Sequence[tuple[str, str]],
    *,
    quiet: bool,
) -> None:
    """Findings to stdout in the format, to files as asked, a summary to stderr."""
    click.echo(rendered(format, report, documents), nl=False)
    for kind, file in reports:
        write_report(file, rendered(kind, report, documents))
    if not quiet and format == "text":
        click.echo(summary(report), err=True)


def parse_report(
    ctx: click.Context, param: click.Parameter, values: Sequence[str]
) -> list[tuple[str, str]]:
    """`--report json=findings.json` as (format, file)."""
    return parsed_reports(values, FORMATS)


def parsed_reports(values: Sequence[str], formats: Sequence[str]) -> list[tuple[str, str]]:
    """Each `FORMAT=FILE` as (format, file). Raises BadParameter."""
    parsed = []
    for value in values:
        kind, _, file = value.partition("=")
        if kind not in formats or not file:
            raise click.BadParameter(f"write FORMAT=FILE, FORMAT one of {', '.join(formats)}")
        parsed.append((kind, file))
    return parsed


def write_report(file: str, text: str) -> None:
    """Write what `--report` asked for. Raises UsageError."""
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"the report {file} can't be written: {error.strerror}", help="name another file"
        ) from error


def made_ready(plan: Plan, *, quiet: bool) -> None:
    """Make topics and tables as the plan wants them, and say what was done."""
    from pipelinekit.runtime.outside import make_ready

    for statement in make_ready(plan):
        if not quiet:
            click.echo(statement.split("(")[0].strip()[:100], err=True)


def running(plan: Plan) -> str:
    """What of the plan runs, in words."""
    views = f" and {counted(len(plan.stages), 'view')} over them" if plan.stages else ""
    return f"{counted(len(plan.metrics), 'metric')}{views} of {plan.source.name}"


def is_terminal() -> bool:
    return sys.stderr.isatty()


def _selected(project: Project, paths: Sequence[Path]) -> frozenset[str]:
    if not paths or _is_whole(project.root, paths):
        return frozenset(project.all_metrics)
    chosen = {n for n, m in project.all_metrics.items() if _lies_in(m.document.file, paths)}
    for name, tests in project.tests.items():
        if any(_lies_in(t.document.file, paths) for t in tests):
            chosen.add(name)
    return frozenset(chosen)


def _is_whole(root: Path, paths: Sequence[Path]) -> bool:
    return any(root.resolve().is_relative_to(p.resolve()) for p in paths)


def _lies_in(file: str, paths: Sequence[Path]) -> bool:
    # A link is named by its own place, or by that of what it leads to.
    stands, leads = place(Path(file)), Path(os.path.realpath(file))
    named = [Path(os.path.realpath(path)) for path in paths]
    return any(found.is_relative_to(path) for path in named for found in (stands, leads))
