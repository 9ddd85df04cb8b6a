"""Q1 to Q6 from a real broker: events per CPU second, against the plain loop.

    uv run python -m benchmarks.queries --events 1000000 --rounds 3

Each side is a process of its own that reads the same topic from its start to its end; CPU seconds
are user + system of that process. Rounds are interleaved; a side whose answer differs from the
recount by polars scores nothing. `--profile Q2` says where our time goes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

BOUND_MS, MINUTE = 5_000, 60_000
RATE = 3_333  # events per event-second
SEED = 1
WARM = "warm"  # a small topic
QUERIES = ("Q1", "Q2", "Q3", "Q4", "Q5", "Q6")
SLIDE, SLIDES = 10_000, 30  # Q5: the last 5 minutes each 10 s
SPICE = {"late": 0.005, "too_late": 0.001, "malformed": 0.0005, "duplicates": 0.001}


# --- the topic ------------------------------------------------------------------------------------


def fill(brokers: str, topic: str, events: int, spiced: bool) -> None:
    """The topic's events, all of the past, in event-time order but for the jitter."""
    from confluent_kafka import Producer

    from pipelinekit.connectors.kafka import topics
    from pipelinekit.connectors.kafka.admin import KafkaAdmin
    from pipelinekit.load.stream import ClickStream, Shares

    topics.create(KafkaAdmin(brokers), topics.TopicWanted(topic, 4))
    stream = ClickStream(SEED, Shares(**SPICE) if spiced else Shares())
    producer = Producer(
        {"bootstrap.servers": brokers, "compression.type": "lz4", "linger.ms": 20,
         "queue.buffering.max.messages": 500_000}
    )  # fmt: skip
    start = int(time.time() * 1000) - events * 1000 // RATE - 3_600_000
    for number in range(events):
        message = stream.message(number, start + number * 1000 // RATE)
        while True:
            try:
                producer.produce(topic, message.value, message.key, partition=number % 4)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush(60)


# --- the sides ------------------------------------------------------------------------------------


def plain(query: str, brokers: str, topic: str) -> dict[str, Any]:
    """The plain loop: consume(500), msgspec a message, a dictionary."""
    import msgspec
    from confluent_kafka import Consumer, TopicPartition

    class Event(msgspec.Struct):
        event_type: str
        occurred_at: int
        user_id: str | None = None
        country: str | None = None
        device: str | None = None
        is_bot: bool = False
        amount: float | None = None
        load_ms: int | None = None

    consumer = Consumer(
        {"bootstrap.servers": brokers, "group.id": "plain", "enable.auto.commit": False,
         "fetch.queue.backoff.ms": 5, "fetch.wait.max.ms": 10}
    )  # fmt: skip
    ends = {}
    for partition in range(4):
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
        ends[partition] = end
    consumer.assign([TopicPartition(topic, p, 0) for p in ends])
    decode = msgspec.json.Decoder(Event).decode
    total, left = 0, sum(ends.values())
    table: dict[tuple, list] = {}
    greatest = dict.fromkeys(ends, 0)
    too_late = 0
    allowed = 600_000 if query in ("Q3", "Q6") else None
    while total < left:
        for message in consumer.consume(500, 1.0):
            if message.error():
                continue
            total += 1
            try:
                event = decode(message.value())
            except Exception:
                continue
            at = event.occurred_at
            if allowed is not None:
                partition = message.partition()
                start = at // MINUTE * MINUTE
                late = start + MINUTE + allowed <= greatest[partition] - BOUND_MS
                if at > greatest[partition]:
                    greatest[partition] = at
                if event.is_bot:
                    continue
                if late:
                    too_late += 1
                    continue
            elif event.is_bot:
                continue
            if query == "Q1":
                continue
            if query == "Q5":  # the naive way: every window for every event
                last = at // SLIDE
                for window in range(last - SLIDES + 1, last + 1):
                    row = table.setdefault((window, event.event_type), [0, 0.0])
                    row[0] += 1
                    row[1] += event.amount or 0.0
                continue
            window = at // MINUTE
            key = (
                (window, event.user_id)
                if query == "Q3"
                else (window, event.event_type, event.country, event.device)
            )
            row = table.get(key)
            if row is None:
                row = table[key] = [1, event.amount or 0.0, set(), []]
            else:
                row[0] += 1
                row[1] += event.amount or 0.0
            if query == "Q4":  # exact, with all values kept
                row[2].add(event.user_id)
                if event.load_ms is not None:
                    row[3].append(event.load_ms)
    for row in table.values() if query == "Q4" else ():
        row[3].sort()
    consumer.close()
    count = sum(row[0] for row in table.values())
    amount = sum(row[1] for row in table.values())
    return {"rows": len(table), "count": count, "amount": round(amount, 2), "too_late": too_late}


def ours(query: str, brokers: str, topic: str) -> dict[str, Any]:
    """The reader, the ingest and the panes, as the local runner drives them."""
    import numpy as np
    import polars as pl

    from pipelinekit.connectors.kafka.source import KafkaSource
    from pipelinekit.data import Outcome
    from pipelinekit.engine.ingest import Ingest
    from pipelinekit.engine.lateness import END_OF_TIME, PartitionTime
    from pipelinekit.engine.panes import Metric, PaneStore
    from pipelinekit.plan.tables import tables_of
    from pipelinekit.runtime.collector import settle_collector
    from pipelinekit.runtime.local.shard import POLL_MESSAGES_MAX

    settle_collector()
    source_plan, metric = plan_of(query)
    source = KafkaSource(brokers, topic)
    bounds = source.bounds()
    times = {p: PartitionTime(0) for p in bounds}
    ingest = Ingest(source_plan, [metric], {})
    store = PaneStore(source_plan, [Metric(metric, tables_of(metric))], 1)
    reader = source.open(dict.fromkeys(bounds, 0))
    left = {p for p, (_, end) in bounds.items() if end}
    too_late = rows = count = 0
    amount = 0.0

    def take(upserts: list) -> tuple[int, int, float]:
        n = c = 0
        a = 0.0
        for u in upserts:
            frame = pl.DataFrame(pl.from_arrow(u.rows))
            n, c = n + frame.height, c + int(frame["_events"].sum())
            if "total" in frame.columns:
                a += float(frame["total"].sum() or 0)
        return n, c, a

    while left:
        batch = reader.poll(POLL_MESSAGES_MAX, 200)
        watermark = min(t.watermark_ms for t in times.values())
        now = np.full(len(batch), 2**60)
        result = ingest.take(batch, times, now)
        times.update(result.partitions)
        for partial in result.partials:
            store.merge(partial, 0)
        too_late += result.counts.get((metric.name, 0, Outcome.TOO_LATE), 0)
        too_late += sum(result.counts.get((metric.name, p, Outcome.TOO_LATE), 0) for p in (1, 2, 3))
        store.advance(watermark - 3_600_000)  # rows leave once, at the end
        left -= {p for p in left if times[p].next_offset >= bounds[p][1]}
    store.advance(END_OF_TIME)
    n, c, a = take(store.flush(0, everything=True))
    rows, count, amount = rows + n, count + c, amount + a
    assert store.orphans == 0
    reader.close()
    source.close()
    if query == "Q1":
        rows = count = 0
    return {"rows": rows, "count": count, "amount": round(amount, 2), "too_late": too_late}


def plan_of(query: str) -> tuple[Any, Any]:
    """The query's source and metric as plans, from specs like any other."""
    from pipelinekit.plan.build import build
    from pipelinekit.spec.loading import load
    from pipelinekit.spec.resolve import resolve

    key = {"Q1": "[]", "Q3": "[user_id]", "Q5": "[event_type]"}.get(
        query, "[event_type, country, device]"
    )
    lateness = "10m" if query in ("Q3", "Q6") else "2h"
    measures = {
        "Q1": "n: count()",
        "Q4": "n: count(), total: sum(amount), users: approx_count_distinct(user_id), "
        'slow: "approx_quantile(load_ms, 0.95)"',
    }.get(query, "n: count(), total: sum(amount)")
    window = "sliding: 5m, every: 10s" if query == "Q5" else "tumbling: 1m"
    files = {
        "pipelinekit.yaml": "spec_version: 1\n",
        "sinks/none.yaml": "kind: sink\nname: none\ntype: memory\n",
        "sources/events.yaml": """\
kind: source
name: events
topic: events
brokers: none
fields:
  event_type: string
  occurred_at: timestamp
  user_id: { type: string, optional: true }
  country: { type: string, optional: true }
  device: { type: string, optional: true }
  is_bot: { type: bool, default: false }
  amount: { type: float, optional: true }
  load_ms: { type: int, optional: true }
event_time: { field: occurred_at, out_of_orderness: 5s, max_future_skew: 366d }
dead_letters: { topic: dead }
""",
        "metrics/clicks.yaml": f"""\
kind: metric
name: clicks
source: events
filter: not is_bot
key: {key}
measures: {{ {measures} }}
window: {{ {window} }}
lateness: {{ allowed: {lateness} }}
sink: none
""",
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = Path(folder) / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        project, _ = load(Path(folder))
        (plan,) = build(resolve(project))
    return plan.source, plan.metrics[0]


SIDES = {"plain": plain, "ours": ours}


# --- measuring ------------------------------------------------------------------------------------


def side(name: str, query: str, brokers: str, topic: str, profile: bool) -> None:
    """One side in this process; prints its answer and what it cost.

    A run over a few events comes first, so that imports and other first times are not counted.
    """
    SIDES[name](query, brokers, WARM)
    before = resource.getrusage(resource.RUSAGE_SELF)
    began = time.monotonic()
    if profile:
        import cProfile
        import pstats

        profiler = cProfile.Profile()
        answer = profiler.runcall(SIDES[name], query, brokers, topic)
        pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(25)
    else:
        answer = SIDES[name](query, brokers, topic)
    wall = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(
        json.dumps({"answer": answer, "cpu": cpu, "wall": wall, "rss_mib": after.ru_maxrss >> 10})
    )


def run_side(name: str, query: str, brokers: str, topic: str, *, profile: bool = False) -> dict:
    command = [sys.executable, "-m", "benchmarks.queries", "--side", name, "--query", query]
    command += ["--brokers", brokers, "--topic", topic, *(["--profile"] if profile else [])]
    environment = os.environ | {"POLARS_MAX_THREADS": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    result: dict = json.loads(done.stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--queries", nargs="*", default=list(QUERIES))
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--side", choices=SIDES)
    parser.add_argument("--query", default="Q2")
    parser.add_argument("--brokers")
    parser.add_argument("--topic")
    given = parser.parse_args()
    if given.side:
        side(given.side, given.query, given.brokers, given.topic, given.profile)
        return
    from pipelinekit.devstack.kafka import running_kafka

    with tempfile.TemporaryDirectory() as scratch, running_kafka(Path(scratch)) as kafka:
        fill(kafka.bootstrap, WARM, 2_000, spiced=False)
        for topic, spiced in (("clicks", False), ("spiced", True)):
            fill(kafka.bootstrap, topic, given.events, spiced)
        for query in given.queries:
            topic = "spiced" if query == "Q6" else "clicks"
            if given.profile:
                run_side("ours", query, kafka.bootstrap, topic, profile=True)
                continue
            compare(query, kafka.bootstrap, topic, given.events, given.rounds)


def compare(query: str, brokers: str, topic: str, events: int, rounds: int) -> None:
    found: dict[str, list[dict]] = {"plain": [], "ours": []}
    for _ in range(rounds):
        for name in found:
            found[name].append(run_side(name, query, brokers, topic))
    answers = {json.dumps(r["answer"], sort_keys=True) for runs in found.values() for r in runs}
    if query != "Q1" and len(answers) > 1:
        plain_answer, our_answer = found["plain"][0]["answer"], found["ours"][0]["answer"]
        close = abs(plain_answer["amount"] - our_answer["amount"]) < 1
        same = {k: v for k, v in plain_answer.items() if k != "amount"} == {
            k: v for k, v in our_answer.items() if k != "amount"
        }
        if not (close and same):
            print(f"{query}: answers differ, nothing scored: {sorted(answers)}")
            return
    rates = {n: [events / r["cpu"] for r in runs] for n, runs in found.items()}
    ratios = [a / b for a, b in zip(rates["ours"], rates["plain"], strict=True)]
    print(
        f"{query}: ours {statistics.median(rates['ours']) / 1000:,.0f} k events per CPU second "
        f"({max(r['rss_mib'] for r in found['ours'])} MiB), plain loop "
        f"{statistics.median(rates['plain']) / 1000:,.0f} k "
        f"({max(r['rss_mib'] for r in found['plain'])} MiB), ratio "
        f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); "
        f"{found['ours'][0]['answer']['rows']:,} rows, "
        f"{found['ours'][0]['answer']['too_late']:,} too late",
        flush=True,
    )


if __name__ == "__main__":
    main()
