"""`pipelinekit init`: a small complete project to start from."""

from __future__ import annotations

from pathlib import Path

import click

from pipelinekit.errors import UsageError
from pipelinekit.spec.models.values import NAME

_FILES = {
    "pipelinekit.yaml": """\
spec_version: 1
defaults: { owner: you@example.com, sink: warehouse, lateness: { allowed: 10m } }
environments:
  local: { KAFKA: "127.0.0.1:9092", CLICKHOUSE: "http://127.0.0.1:8123" }
""",
    "sources/user_events.yaml": """\
kind: source
name: user_events
topic: user_events
brokers: ${KAFKA}
format: json
fields:                      # the columns that metrics may use; the rest of the payload is skipped
  event_id: string
  event_type: string
  occurred_at: timestamp     # epoch milliseconds, or RFC 3339 text with an offset
  session_id: string
  user_id: { type: string, optional: true }
  country: { type: string, optional: true }
  device: { type: string, optional: true }
  page: { type: string, optional: true }
  is_bot: { type: bool, default: false }
  amount: { type: "decimal(18,2)", optional: true }
  load_ms: { type: int, optional: true }
id: event_id
event_time: { field: occurred_at, out_of_orderness: 2s }
dead_letters: { topic: late_events }
""",
    "sinks/warehouse.yaml": """\
kind: sink
name: warehouse
type: clickhouse
url: ${CLICKHOUSE}
database: analytics
""",
    "metrics/views.yaml": """\
kind: metric
name: views
description: Page views by country, each minute.
source: user_events
filter: event_type = 'view'
key: [country]
measures:
  views: count()
window: { tumbling: 1m }
tests:
  - name: a late view corrects its minute
    steps:
      - events: [{ occurred_at: "12:00:05", event_type: view, country: BE }]
      - watermark: "12:01:00"
      - expect: [{ window: "12:00", country: BE, views: 1, state: final }]
      - events: [{ occurred_at: "12:00:40", event_type: view, country: BE }]
    expect: [{ window: "12:00", country: BE, views: 2, state: corrected }]
""",
    ".gitignore": ".pipelinekit/\n",
}


_WORKFLOW = ".github/workflows/specs.yml"


@click.command()
@click.argument("name")
@click.option(
    "--ci",
    type=click.Choice(["github"]),
    default=None,
    help="Also a workflow that validates, tests and diffs the specs of each pull request.",
)
def init(name: str, ci: str | None) -> int:
    """Make a project in the new folder NAME: a source, a sink, a metric with its test."""
    folder = Path(name)
    if not NAME.fullmatch(folder.name.replace("-", "_")):
        raise UsageError(
            f'"{folder.name}" is no name for a project',
            help="use small letters, digits, - and _, a letter first",
        )
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is there already and not empty", help="choose another name")
    files = dict(_FILES)
    if ci is not None:
        from pipelinekit.launch.templates import plain

        files[_WORKFLOW] = plain("ci/specs.yml")
    for file, text in files.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        click.echo(f"made {path}", err=True)
    click.echo(f"next: cd {name} && pipelinekit test", err=True)
    if ci is None:
        click.echo("checks of each pull request: init --ci github, docs/analyst/ci.md", err=True)
    return 0
