"""`pipelinekit list`: what a project holds."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import click

from pipelinekit.cli.common import (
    Checked,
    check,
    environment_option,
    needed_metrics,
    paths_argument,
)
from pipelinekit.spec.models.metric import StageSpec, WindowSpec

Row = dict[str, str | int]


@click.command("list")
@paths_argument
@environment_option
@click.option("--format", "format", type=click.Choice(["text", "json"]), default="text")
def list_specs(paths: tuple[Path, ...], environment: str, format: str) -> int:
    """List the metrics in PATH, and the sources and sinks that they name.

    Specs with findings are listed as far as they can be read: see `pipelinekit validate`.
    """
    checked = check(paths, environment)
    tables = {
        "metrics": [_metric(checked, name) for name in sorted(checked.selected)],
        "sources": [_source(checked, name) for name in sorted(_named(checked, "source"))],
        "sinks": [_sink(checked, name) for name in sorted(_named(checked, "sink"))],
    }
    if format == "json":
        click.echo(json.dumps(tables, ensure_ascii=False))
    else:
        click.echo("\n".join(_aligned(rows) for rows in tables.values() if rows), nl=False)
    if checked.report.has_errors:
        click.echo("some specs have findings: pipelinekit validate shows them", err=True)
    return 0


def _named(checked: Checked, kind: str) -> set[str]:
    """The sources or sinks to list: those of the chosen metrics, all if all are chosen."""
    project = checked.project
    specs = project.sources if kind == "source" else project.sinks
    if checked.selected == project.all_metrics.keys():
        return set(specs)
    chosen = [m.spec for m in needed_metrics(project, checked.selected)]
    named = {m.source for m in chosen} if kind == "source" else {s for m in chosen for s in m.sink}
    return named & specs.keys()


def _metric(checked: Checked, name: str) -> Row:
    from pipelinekit.units import format_duration

    loaded = checked.project.all_metrics[name]
    spec = loaded.spec
    if isinstance(spec, StageSpec):
        over = checked.project.metrics.get(spec.from_)
        source, rollups, lateness = f"{spec.from_} (metric)", [], "–"
        sinks = ["–"] if over is None else over.spec.sink
    else:
        source, rollups = spec.source, [r.size for r in spec.rollups]
        lateness = format_duration(spec.lateness.allowed)
        sinks = spec.sink
    return {
        "metric": name,
        "source": source,
        "key": ", ".join(k.name for k in spec.key) or "–",
        "window": " + ".join([_window(spec.window), *rollups]),
        "lateness": lateness,
        "sink": ", ".join(sinks),
        "tests": len(checked.project.tests.get(name, ())),
        "owner": spec.owner or "–",
        "file": loaded.document.file,
    }


def _window(spec: WindowSpec) -> str:
    if spec.session is not None:
        return f"session {spec.session}"
    length = spec.tumbling or spec.sliding or spec.cumulative or "–"
    return length if spec.every is None else f"{length} every {spec.every}"


def _source(checked: Checked, name: str) -> Row:
    loaded = checked.project.sources[name]
    spec = loaded.spec
    return {
        "source": name,
        "topic": spec.topic,
        "brokers": spec.brokers,
        "format": spec.format,
        "fields": len(spec.fields),
        "owner": spec.owner or "–",
        "file": loaded.document.file,
    }


def _sink(checked: Checked, name: str) -> Row:
    loaded = checked.project.sinks[name]
    spec = loaded.spec
    address = getattr(spec, "url", None) or getattr(spec, "brokers", None) or "–"
    return {
        "sink": name,
        "type": spec.type,
        "address": re.sub(r"//[^/@]*@", "//…@", str(address)),
        "owner": spec.owner or "–",
        "file": loaded.document.file,
    }


def _aligned(rows: Sequence[Row]) -> str:
    table = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[place]) for line in table) for place in range(len(rows[0]))]
    lines = ("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in table)
    return "".join(line.rstrip() + "\n" for line in lines)
