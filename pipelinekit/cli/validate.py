"""`pipelinekit validate`: every finding of a project, fast and without a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from pipelinekit.cli.common import (
    Checked,
    check,
    environment_option,
    parse_report,
    paths_argument,
    project_root,
    report_findings,
    verbosity_options,
)
from pipelinekit.cli.render import FORMATS
from pipelinekit.diagnostics import Diagnostic, Report
from pipelinekit.spec.layout import PROJECT_FILE
from pipelinekit.spec.models.project import ProjectSpec
from pipelinekit.spec.project import LOCAL
from pipelinekit.spec.suppressions import UNUSED


@click.command()
@paths_argument
@environment_option
@click.option("--format", "format", type=click.Choice(FORMATS), default="text", show_default=True)
@click.option(
    "--report",
    "reports",
    multiple=True,
    callback=parse_report,
    metavar="FORMAT=FILE",
    help="Also write the findings to a file; may be repeated.",
)
@click.option(
    "-W",
    "warnings",
    type=click.Choice(["error"]),
    default=None,
    help="With -W error, warnings fail too.",
)
@verbosity_options
def validate(
    paths: tuple[Path, ...],
    environment: str,
    format: str,
    reports: Sequence[tuple[str, str]],
    warnings: str | None,
    quiet: bool,
    verbose: bool,
) -> int:
    """Check the specs in PATH (files, folders; default: the project here).

    All findings at once, each with its place and a next step. `-e all` checks every environment.
    A warning that is meant is silenced at its line: # pipelinekit: ignore PK305 because REASON
    Exit code: 0 fine, 1 findings, 2 nothing to check.
    """
    environments = _environments(paths) if environment == "all" else [environment]
    checks = [check(paths, name) for name in environments]
    report = _merged(checks)
    report_findings(report, checks[0].project.documents, format, reports, quiet=quiet)
    return 1 if report.has_errors or (warnings == "error" and report.findings) else 0


def _merged(checks: Sequence[Checked]) -> Report:
    """One report: what only some environments have names them."""
    report = Report(files=checks[0].report.files, metrics=checks[0].report.metrics)
    names: dict[Diagnostic, list[str]] = {}
    for checked in checks:
        for finding in dict.fromkeys(checked.report.findings):
            names.setdefault(finding, []).append(checked.project.environment)
    report.suppressed = [s for checked in checks for s in checked.report.suppressed]
    for finding, environments in names.items():
        if len(environments) < len(checks) and finding.code == UNUSED:
            continue  # it is of use in another environment
        if len(environments) < len(checks):
            where = f"{finding.message} (in {', '.join(environments)})"
            report.add(finding._replace(message=where))
        else:
            report.add(finding)
    return report


def _environments(paths: tuple[Path, ...]) -> list[str]:
    from pipelinekit.spec.reading import read
    from pipelinekit.spec.shape import shaped

    file = project_root(paths) / PROJECT_FILE
    document = read(file.read_bytes(), str(file))
    spec, _ = shaped(document, ProjectSpec, "project", document.data())
    return [LOCAL] if spec is None else list(spec.environments) or [LOCAL]
