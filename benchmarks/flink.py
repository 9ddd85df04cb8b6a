"""A job on a two-TaskManager Flink cluster: latency, a backlog, and what grows over minutes.

    uv run python -m benchmarks.flink latency --rate 20000 --seconds 60
    uv run python -m benchmarks.flink backlog --events 4000000
    uv run python -m benchmarks.flink soak --rate 5000 --minutes 10

Starts a broker, the ClickHouse engine and the cluster of its own; all share the machine.

latency: from the moment an event was meant to be sent to the moment a query of the view's table
sees it counted: polls give (time, events counted), event k of an open loop at rate R belongs at
start + k/R. An upper bound, by the time between two polls.

backlog: a topic filled before; Q2 (count and sum a minute by type, country and device, bots left
out), one Python worker; events a second from the ledger, between a tenth and nine tenths of the
way. The peer is the same query as a Beam pipeline that handles single events, on the same cluster,
after it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.latency import METRIC, SINK, SOURCE
from pipelinekit.connectors.kafka.source import KafkaSource

COMMAND = [sys.executable, "-m", "pipelinekit.cli.main"]
POLL_S = 0.05
WARM_UP_S = 15.0


class Stage:
    """The services and a project in a folder."""

    def __init__(self, folder: Path, kafka: Any, clickhouse: Any, flink: Any, early: str) -> None:
        self.folder, self.kafka, self.flink = folder, kafka.bootstrap, flink
        self.url = clickhouse.url
        files = {
            "pipelinekit.yaml": "spec_version: 1\nenvironments: { local: {} }\n",
            "sources/events.yaml": SOURCE,
            "sinks/store.yaml": SINK,
            "metrics/clicks.yaml": METRIC % early,
        }
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        addresses = {**flink.address, "checkpoints": (folder / "checkpoints").as_uri()}
        self.environment = os.environ | {
            "KAFKA": self.kafka,
            "CLICKHOUSE": self.url,
            **{f"FLINK_{name.upper()}": value for name, value in addresses.items()},
        }

    def change_metric(self, old: str, new: str) -> None:
        """Replace a text in the metric's spec."""
        metric = self.folder / "metrics/clicks.yaml"
        text = metric.read_text()
        if old not in text:
            raise ValueError(f"{metric} has no {old!r}")
        metric.write_text(text.replace(old, new))

    def verb(self, *words: str) -> str:
        done = subprocess.run(
            [*COMMAND, *words], cwd=self.folder, env=self.environment, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        if done.returncode not in (0, 1):
            raise SystemExit(f"{words}: {done.stderr}")
        return done.stdout

    def submit(self) -> None:
        self.verb("compile", ".", "-o", "out")
        self.verb("ddl", ".", "--apply")
        print(self.verb("submit", "out").strip())

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.verb("status", "--format", "json"))["events"]
        return found

    def number(self, select: str) -> int:
        with urllib.request.urlopen(self.url, data=select.encode(), timeout=30) as answer:
            return int(answer.read().strip() or 0)

    def load(self, rate: int) -> subprocess.Popen[bytes]:
        clean = ["--late", "0", "--too-late", "0", "--malformed", "0"]
        return subprocess.Popen(
            [*COMMAND, "load", "--brokers", self.kafka, "--topic", "events", "--rate", str(rate),
             *clean],
            env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip


def latency(stage: Stage, rate: int, seconds: int) -> None:
    """Bots are counted too: the filter is taken out, so that every event shows."""
    stage.change_metric("filter: not is_bot\n", "")
    stage.verb("load", "--brokers", stage.kafka, "--topic", "events", "--count", "1")
    stage.submit()
    load = stage.load(rate)
    polls: list[tuple[float, int]] = []
    began = time.time()
    seen = "SELECT sum(n) FROM bench.clicks_1m FINAL"
    while time.time() - began < WARM_UP_S + seconds:
        count = stage.number(seen)
        polls.append((time.time(), count))
        time.sleep(POLL_S)
    fares = stage.status()
    load.send_signal(signal.SIGINT)
    load.wait()
    start = _clock_start_s(stage, rate)
    latencies = _latencies(polls, start, rate, began + WARM_UP_S)
    at = statistics.quantiles(latencies, n=1000)
    print(
        f"{rate:,} events/s for {seconds} s: event to row p50 {at[499]:.0f} ms, "
        f"p99 {at[989]:.0f} ms, p99.9 {at[998]:.0f} ms; "
        f"{fares['restarts']} restarts, checkpoint {fares['checkpoint_bytes'] / 1024:.0f} KiB "
        f"in {fares['checkpoint_ms']} ms; {len(polls)} polls"
    )


def _clock_start_s(stage: Stage, rate: int) -> float:
    """When the generator's clock began: no event was sent before its time, start + k/R."""
    source = KafkaSource(stage.kafka, "events")
    partitions = source.partitions()
    reader = source.open(dict.fromkeys(partitions, 0))
    stamps: list[np.ndarray] = []
    while reader.at_end() < set(partitions):
        stamps.append(reader.poll(50_000, 500).broker_times_ms)
    reader.close()
    source.close()
    # The oldest is of the call before, which made the topic.
    sent = np.sort(np.concatenate(stamps))[1:]
    return float((sent / 1000 - np.arange(len(sent)) / rate).min())


def _latencies(
    polls: list[tuple[float, int]], start: float, rate: int, after: float
) -> list[float]:
    """Of every hundredth event counted after the warm-up, ms."""
    found = []
    before = polls[0][1]
    for at, count in polls[1:]:
        if at > after:
            found += [(at - (start + k / rate)) * 1000 for k in range(before, count, 100)]
        before = max(before, count)
    return found


def backlog(stage: Stage, events: int) -> None:
    from benchmarks.queries import fill

    fill(stage.kafka, "events", events, spiced=False)
    stage.submit()
    ours = _throughput(
        lambda: stage.number(
            "SELECT sum(count) FROM bench.pipelinekit_ledger FINAL WHERE metric = ''"
        ),
        events,
    )
    print(f"backlog of {events:,}: {ours:,.0f} events/s with one Python worker")
    stage.verb("stop")
    peer = _peer(stage, events)
    print(f"one event an element: {peer:,.0f} events/s; ratio {ours / peer:.1f}")


def _throughput(read: Any, events: int, timeout_s: float = 600) -> float:
    """Events a second between a tenth and nine tenths of the way."""
    points: list[tuple[float, int]] = []
    deadline = time.time() + timeout_s
    while time.time() < deadline:
        count = read()
        points.append((time.time(), count))
        if count >= events:
            break
        time.sleep(0.5)  # each look costs the machine 15 ms of a core
    inside = [p for p in points if events * 0.1 <= p[1] <= events * 0.9]
    (first_s, first), (last_s, last) = inside[0], inside[-1]
    return (last - first) / (last_s - first_s)


def _peer(stage: Stage, events: int) -> float:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    from benchmarks import flink_peer
    from pipelinekit.launch.flink_rest import FlinkRest
    from pipelinekit.runtime.beam.options import FlinkSettings, flink_options

    address = stage.flink.address
    settings = FlinkSettings(
        address["job_endpoint"], address["artifact_endpoint"], address["worker_pool"],
        (stage.folder / "peer").as_uri(), bundle_ms=1000,
    )  # fmt: skip
    pipeline = beam.Pipeline(options=PipelineOptions(flink_options(settings, "peer")))
    flink_peer.build(pipeline, stage.kafka, "events")
    pipeline.run()
    rest = FlinkRest(address["rest"])
    job = None
    while job is None:
        job = next((j["jid"] for j in rest.jobs() if j["name"] == "peer"), None)
        time.sleep(0.2)

    def read() -> int:
        vertices = [v["id"] for v in rest.job(job)["vertices"]]
        found = [rest.counters(job, v, r"\.peer_events") for v in vertices]
        return int(max((f for f in found if f is not None), default=0))

    # Judged over a minute: the whole would take long.
    points = []
    began = time.time()
    while time.time() - began < 75:
        points.append((time.time(), read()))
        if points[-1][1] >= events:
            break
        time.sleep(1)
    rest.cancel(job)
    moving = [p for p in points if 0 < p[1] < events]
    (first_s, first), (last_s, last) = moving[0], moving[-1]
    return (last - first) / (last_s - first_s)


def soak(stage: Stage, rate: int, minutes: float) -> None:
    """Sizes over time, and their slopes by least squares, without the first three minutes.

    Lateness is cut to a minute: with ten, state would grow until the end.
    """
    import psutil

    stage.change_metric("allowed: 10m", "allowed: 1m")
    stage.verb("load", "--brokers", stage.kafka, "--topic", "events", "--count", "1")
    stage.submit()
    load = stage.load(rate)
    samples: list[tuple[float, float, float, float]] = []
    began = time.time()
    while time.time() - began < minutes * 60:
        time.sleep(10)
        fares = stage.status()
        workers = sum(
            psutil.Process(pid).memory_info().rss for pid in stage.flink.worker_pids.values()
        )
        heap = max(_heap_used(stage.flink.rest))
        minute = (time.time() - began) / 60
        samples.append((minute, fares["checkpoint_bytes"] or 0, heap, workers))
        print(
            f"{minute:5.1f} min: checkpoint {samples[-1][1] / 1024:,.0f} KiB, "
            f"heap {heap / 2**20:.0f} MiB, worker {workers / 2**20:.0f} MiB, lag {fares['lag']}, "
            f"{fares['restarts']} restarts",
            flush=True,
        )
    load.send_signal(signal.SIGINT)
    load.wait()
    steady = [s for s in samples if s[0] > 3]
    for place, (what, unit, size) in enumerate(
        (("checkpoint", "KiB", 1024), ("heap", "MiB", 2**20), ("worker", "MiB", 2**20)), 1
    ):
        slope = _slope([(s[0], s[place] / size) for s in steady])
        mean = statistics.mean(s[place] for s in steady) / size
        print(f"{what}: mean {mean:,.0f} {unit}, slope {slope:+.2f} {unit}/min")


def _heap_used(rest: str) -> list[float]:
    with urllib.request.urlopen(f"{rest}/taskmanagers", timeout=10) as answer:
        managers = [m["id"] for m in json.load(answer)["taskmanagers"]]
    used = []
    for manager in managers:
        url = f"{rest}/taskmanagers/{manager}/metrics?get=Status.JVM.Memory.Heap.Used"
        with urllib.request.urlopen(url, timeout=10) as answer:
            used += [float(m["value"]) for m in json.load(answer)]
    return used


def _slope(points: list[tuple[float, float]]) -> float:
    slope, _ = statistics.linear_regression([x for x, _ in points], [y for _, y in points])
    return slope


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["latency", "backlog", "soak"])
    parser.add_argument("--rate", type=int, default=20_000)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--events", type=int, default=4_000_000)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--early", default="100ms")
    arguments = parser.parse_args()

    from pipelinekit.devstack.clickhouse import running_clickhouse
    from pipelinekit.devstack.flink import running_flink
    from pipelinekit.devstack.kafka import running_kafka

    with (
        tempfile.TemporaryDirectory() as scratch,
        running_kafka(Path(scratch) / "kafka") as kafka,
        running_clickhouse(Path(scratch) / "clickhouse") as clickhouse,
        running_flink(Path(scratch) / "flink") as flink,
    ):
        stage = Stage(Path(scratch) / "project", kafka, clickhouse, flink, arguments.early)
        if arguments.what == "latency":
            latency(stage, arguments.rate, arguments.seconds)
        elif arguments.what == "backlog":
            backlog(stage, arguments.events)
        else:
            soak(stage, arguments.rate, arguments.minutes)


if __name__ == "__main__":
    main()
