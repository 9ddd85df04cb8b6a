"""Small projects in a folder, and what a check of them finds."""

from __future__ import annotations

from pathlib import Path

from pipelinekit import checks
from pipelinekit.diagnostics import Diagnostic
from pipelinekit.spec.loading import load
from pipelinekit.spec.resolve import Resolved, resolve
from pipelinekit.spec.suppressions import suppress

PROJECT = """\
spec_version: 1
environments:
  local: { KAFKA: "127.0.0.1:9092", CLICKHOUSE: "http://127.0.0.1:8123" }
"""
SOURCE = """\
kind: source
name: events
topic: events
brokers: ${KAFKA}
fields:
  id: string
  t: timestamp
  kind: string
  country: { type: string, optional: true }
  user: { type: string, optional: true }
  amount: { type: "decimal(18,2)", optional: true }
  load: { type: int, optional: true }
  bot: { type: bool, default: false }
id: id
event_time: { field: t, out_of_orderness: 2s }
dead_letters: { topic: dead }
"""
SINK = """\
kind: sink
name: store
type: clickhouse
url: ${CLICKHOUSE}
database: analytics
"""
METRIC = """\
kind: metric
name: views
source: events
filter: kind = 'view'
key: [country]
measures:
  n: count()
  total: sum(amount)
window: { tumbling: 1m }
lateness: { allowed: 10m }
sink: store
tests:
  - name: one view
    steps:
      - events: [{ t: "12:00:05", kind: view, country: BE }]
    expect: [{ window: "12:00", country: BE, n: 1 }]
"""
FILES = {
    "pipelinekit.yaml": PROJECT,
    "sources/events.yaml": SOURCE,
    "sinks/store.yaml": SINK,
    "metrics/views.yaml": METRIC,
}


def make_project(folder: Path, **files: str | bytes | None) -> Path:
    """A valid project with some files changed; `metrics/views.yaml` is `metric`, and so on."""
    short = {"project": "pipelinekit.yaml", "source": "sources/events.yaml",
             "sink": "sinks/store.yaml", "metric": "metrics/views.yaml"}  # fmt: skip
    wanted: dict[str, str | bytes | None] = {**FILES}
    wanted |= {short.get(name, name): text for name, text in files.items()}
    for name, text in wanted.items():
        if text is None:
            continue
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def check(folder: Path, environment: str = "local") -> tuple[Resolved, list[Diagnostic]]:
    """The resolved project and all its findings."""
    project, report = load(folder, environment)
    resolved = resolve(project)
    report.add(*resolved.findings)
    report.add(*checks.run(resolved))
    suppress(report, project.documents)
    return resolved, report.sorted()
