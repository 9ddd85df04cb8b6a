"""Q7: an open loop at a fixed rate; from the broker's stamp to the acknowledged row in ClickHouse.

    uv run python -m benchmarks.latency --rate 100000 --seconds 60

Starts a broker and the ClickHouse engine of its own, runs the real command's runner in this
process and the generator in another, and prints p50, p99 and p99.9 over all events after the
warm-up, the shares of CPU, and the memory at the start and the end.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("POLARS_MAX_THREADS", "1")
WARM_UP_S = 10
METRIC = """\
kind: metric
name: clicks
source: events
filter: not is_bot
key: [event_type, country, device]
measures: { n: count(), total: sum(amount) }
window: { tumbling: 1m }
lateness: { allowed: 10m }
emit: { early: %s, late: 1s }
sink: store
"""
SOURCE = """\
kind: source
name: events
topic: events
brokers: ${KAFKA}
fields:
  event_id: string
  event_type: string
  occurred_at: timestamp
  country: { type: string, optional: true }
  device: { type: string, optional: true }
  is_bot: { type: bool, default: false }
  amount: { type: float, optional: true }
id: event_id
event_time: { field: occurred_at, out_of_orderness: 5s }
dead_letters: { topic: events_dead }
"""
SINK = "kind: sink\nname: store\ntype: clickhouse\nurl: ${CLICKHOUSE}\ndatabase: bench\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--early", default="100ms")
    given = parser.parse_args()
    from pipelinekit.devstack.clickhouse import running_clickhouse
    from pipelinekit.devstack.kafka import running_kafka

    with (
        tempfile.TemporaryDirectory() as scratch,
        running_kafka(Path(scratch) / "kafka") as kafka,
        running_clickhouse(Path(scratch) / "clickhouse") as clickhouse,
    ):
        print(json.dumps(measure(Path(scratch), kafka, clickhouse, given), indent=1))


def measure(folder: Path, kafka: object, clickhouse: object, given: argparse.Namespace) -> dict:
    import psutil

    from pipelinekit.plan.build import build
    from pipelinekit.runtime.local.options import RunOptions
    from pipelinekit.runtime.local.runner import LocalRunner
    from pipelinekit.runtime.outside import make_ready, opened
    from pipelinekit.spec.loading import load
    from pipelinekit.spec.resolve import resolve

    project = folder / "project"
    brokers, url = kafka.bootstrap, clickhouse.url  # type: ignore[attr-defined]
    files = {
        "pipelinekit.yaml": "spec_version: 1\n",
        "sources/events.yaml": SOURCE,
        "sinks/store.yaml": SINK,
        "metrics/clicks.yaml": METRIC % given.early,
    }
    for name, text in files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    specs, _ = load(project, "local", {"KAFKA": brokers, "CLICKHOUSE": url})
    (plan,) = build(resolve(specs))
    make_ready(plan)
    with opened(plan) as outside:
        runner = LocalRunner(
            plan,
            outside.source,
            outside.sinks,
            outside.dead_letters,
            folder / "state",
            RunOptions(),
        )
        job = threading.Thread(target=runner.run)
        job.start()
        command = [sys.executable, "-m", "pipelinekit.cli.main", "load", "--brokers", brokers]
        command += ["--topic", "events", "--rate", str(given.rate), "--format", "json"]
        command += ["--seconds", str(WARM_UP_S + given.seconds)]
        generator = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        time.sleep(WARM_UP_S)
        latency = runner.status.latency
        assert latency is not None
        latency.forget()
        latency.kept_max = 10**9
        me = psutil.Process()
        cpu, memory, read = me.cpu_times(), me.memory_info().rss, runner.status.events
        began = time.monotonic()
        output, _ = generator.communicate()
        passed = time.monotonic() - began
        after = me.cpu_times()
        read = runner.status.events - read
        time.sleep(2)
        found = latency.percentiles()
        assert found is not None
        result = {
            "rate_asked": given.rate,
            "generator": json.loads(output),
            "read_per_second": round(read / passed),
            "early": given.early,
            "p50_ms": round(found.p50), "p99_ms": round(found.p99),
            "p999_ms": round(found.p999), "greatest_ms": round(found.greatest),
            "sampled_events": found.events,
            "runner_cpu_share": round(
                (after.user + after.system - cpu.user - cpu.system) / passed, 2
            ),
            "memory_start_mib": memory >> 20,
            "memory_end_mib": me.memory_info().rss >> 20,
            "lag_at_the_end": runner.status.lag,
        }  # fmt: skip
        runner.stop()
        job.join()
    result["ledger_balances"] = not runner.status.imbalances
    return result


if __name__ == "__main__":
    main()
