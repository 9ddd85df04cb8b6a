"""Time and memory of what authors wait for: `validate`, `diff`, `plan` and `test` of a project.

python -m benchmarks.authoring [--metrics 1 100 1000]
python -m benchmarks.authoring --corpus

Each verb runs in a process of its own, start included, as a user waits for it; each metric has one
small test. `diff` compares the project with a copy in which every hundredth metric, or every one,
has another filter. The targets at a thousand metrics: validate 3 s, diff 5 s, test 10 s. With
--corpus each broken spec of tests/spec is validated instead, a process each.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_RUNS = 3
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


def make(root: Path, metrics: int, *, changed_each: int | None = None) -> Path:
    """A project of that many metrics, no two alike; every `changed_each`th with another filter."""
    files = {"pipelinekit.yaml": _PROJECT, "sources/user_events.yaml": _SOURCE}
    files["sinks/console.yaml"] = _SINK
    for number in range(metrics):
        name = f"metric_{number}_of_many"
        text = _METRIC.format(name=name, number=number)
        if changed_each and number % changed_each == 0:
            text = text.replace("load_ms >", "load_ms >=")
        files[f"metrics/{name}.yaml"] = text
    for file, text in files.items():
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def measured(verb: str, *arguments: object, code: int = 0) -> dict[str, float]:
    """The median wall and CPU seconds of a few runs, and the greatest memory in MiB."""
    command = [sys.executable, "-m", "pipelinekit.cli.main", verb, *map(str, arguments)]
    walls, processors, peaks = [], [], []
    for _ in range(_RUNS + 1):
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == code, command
        walls.append(time.perf_counter() - began)
        processors.append(used.ru_utime + used.ru_stime)
        peaks.append(used.ru_maxrss)
    return {
        "wall_seconds": round(statistics.median(walls[1:]), 2),  # the first compiles bytecode
        "cpu_seconds": round(statistics.median(processors[1:]), 2),
        "peak_mib": round(max(peaks) / 1024),
    }


def corpus() -> dict[str, float]:
    """Time and memory over the broken specs; each says its code and no traceback, errors exit 1."""
    from tests.spec.projects import make_project
    from tests.spec.test_findings import BROKEN, CORPUS, TEXTS

    walls, peaks = [], []
    for file, old, new, code, _ in (*BROKEN, *CORPUS):
        with tempfile.TemporaryDirectory() as folder:
            project = make_project(Path(folder), **{file: TEXTS[file].replace(old, new, 1)})
            output = Path(folder) / "output"
            began = time.perf_counter()
            with output.open("wb") as stream:
                process = subprocess.Popen(
                    [sys.executable, "-m", "pipelinekit.cli.main", "validate", str(project)],
                    stdout=stream, stderr=stream,
                )  # fmt: skip
                _, status, used = os.wait4(process.pid, 0)
            walls.append(time.perf_counter() - began)
            process.returncode = os.waitstatus_to_exitcode(status)
            peaks.append(used.ru_maxrss / 1024)
            said = output.read_text()
            assert process.returncode == ("error[" in said), (new, said)
            assert f"[{code}]" in said, (new, said)
            assert "Traceback" not in said, (new, said)
    return {
        "specs": len(walls),
        "wall_seconds_least": round(min(walls), 3),
        "wall_seconds_p50": round(statistics.median(walls), 3),
        "wall_seconds_greatest": round(max(walls), 3),
        "peak_mib": round(max(peaks)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--metrics", type=int, nargs="+", default=[1, 100, 1000])
    parser.add_argument("--corpus", action="store_true")
    given = parser.parse_args()
    if given.corpus:
        print(json.dumps(corpus()))
        return
    metrics_of = given.metrics
    with tempfile.TemporaryDirectory() as folder:
        spec = make(Path(folder), 1) / "metrics/metric_0_of_many.yaml"
        spec.write_text(spec.read_text().replace("sum(amount)", "summ(amount)"))
        used = measured("validate", spec, code=1)
        print(json.dumps({"metrics": 1, "verb": "validate, one broken spec", **used}))
    for metrics in metrics_of:
        with tempfile.TemporaryDirectory() as folder:
            root = make(Path(folder, "now"), metrics)
            some = make(Path(folder, "some"), metrics, changed_each=100)
            every = make(Path(folder, "every"), metrics, changed_each=1)
            runs = {
                "validate": ("validate", "-q", root),
                "plan": ("plan", root),
                "diff, 1 % changed": ("diff", root, some),
                "diff, all changed": ("diff", root, every),
                "test": ("test", "-q", root),
            }
            for name, arguments in runs.items():
                print(json.dumps({"metrics": metrics, "verb": name, **measured(*arguments)}))


if __name__ == "__main__":
    main()
