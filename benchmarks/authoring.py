"""Time and memory of `pipelinekit validate`: one metric, and a project of many.

python -m benchmarks.validate [--metrics 1000]

Each is measured in a process of its own, start included, as a user waits for it; the targets are
0.5 s for one and 3 s for a thousand.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_RUNS = 5
_PROJECT = 'spec_version: 1\nenvironments: { local: { KAFKA: "127.0.0.1:9092" } }\n'
_SOURCE = """\
kind: source
name: user_events
topic: user_events
brokers: ${KAFKA}
fields:
  event_id: string
  event_type: string
  occurred_at: timestamp
  country: { type: string, optional: true }
  device: { type: string, optional: true }
  amount: { type: "decimal(18,2)", optional: true }
  load_ms: { type: int, optional: true }
id: event_id
event_time: { field: occurred_at, out_of_orderness: 2s }
dead_letters: { topic: late_events }
"""
_SINK = "kind: sink\nname: console\ntype: console\n"
_METRIC = """\
kind: metric
name: {name}
description: Views and revenue by country and device.
owner: web@example.com
source: user_events
filter: event_type in ('view', 'conversion') and load_ms > {number}
key:
  - country
  - {{ name: platform, expr: "coalesce(device, 'unknown')", values: [desktop, mobile] }}
measures:
  views: {{ measure: count(), filter: "event_type = 'view'" }}
  revenue: sum(amount)
  load_ms_max: max(load_ms)
  per_view: {{ expr: revenue / views }}
window: {{ tumbling: 1m }}
rollups: [1h, 1d]
lateness: {{ allowed: 10m }}
sink: console
tests:
  - name: one view
    steps:
      - events: [{{ occurred_at: "12:00:05", event_type: view, load_ms: 5000, country: BE }}]
    expect: [{{ window: "12:00", country: BE, views: 1 }}]
"""


def make(root: Path, metrics: int) -> None:
    """A project of that many metrics, no two alike."""
    files = {"pipelinekit.yaml": _PROJECT, "sources/user_events.yaml": _SOURCE}
    files["sinks/console.yaml"] = _SINK
    for number in range(metrics):
        name = f"metric_{number}_of_many"
        files[f"metrics/{name}.yaml"] = _METRIC.format(name=name, number=number)
    for file, text in files.items():
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def measured(root: Path) -> dict[str, float]:
    """The median wall and CPU seconds of a few runs, and the greatest memory in MiB."""
    command = [sys.executable, "-m", "pipelinekit.cli.main", "validate", "-q", "."]
    walls, processors = [], []
    for _ in range(_RUNS + 1):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        subprocess.run(command, cwd=root, check=True)
        walls.append(time.perf_counter() - began)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        processors.append(used)
    return {
        "wall_seconds": round(statistics.median(walls[1:]), 3),  # the first compiles bytecode
        "cpu_seconds": round(statistics.median(processors[1:]), 3),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--metrics", type=int, default=1000)
    count = parser.parse_args().metrics
    for metrics in (1, count):
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder), metrics)
            print(json.dumps({"metrics": metrics, **measured(Path(folder))}))


if __name__ == "__main__":
    main()
