"""`pipelinekit list`: what a project holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from pipelinekit.cli.common import Checked, check, environment_option, paths_argument


@click.command("list")
@paths_argument
@environment_option
@click.option("--format", "format", type=click.Choice(["text", "json"]), default="text")
def list_specs(paths: tuple[Path, ...], environment: str, format: str) -> int:
    """List the metrics in PATH with their source, key, window, tests and owner."""
    checked = check(paths, environment)
    rows = [_row(checked, name) for name in sorted(checked.selected)]
    if format == "json":
        click.echo(json.dumps({"metrics": rows}, ensure_ascii=False))
        return 0
    columns = ("metric", "source", "key", "window", "lateness", "sink", "tests", "owner")
    table = [columns, *([str(row[c]) for c in columns] for row in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(columns))]
    for line in table:
        click.echo("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip())
    return 0


def _row(checked: Checked, name: str) -> dict[str, Any]:
    from pipelinekit.units import format_duration

    spec = checked.project.metrics[name].spec
    return {
        "metric": name,
        "source": spec.source,
        "key": ", ".join(k.name for k in spec.key) or "–",
        "window": " + ".join([spec.window.tumbling, *(r.size for r in spec.rollups)]),
        "lateness": format_duration(spec.lateness.allowed),
        "sink": ", ".join(spec.sink),
        "tests": len(checked.project.tests.get(name, ())),
        "owner": spec.owner,
        "file": checked.project.metrics[name].document.file,
    }
