"""One log, many runners: what each makes of it, in a form that compares.

A new runner is a function in `runners`.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from pipelinekit.connectors.base import Budget
from pipelinekit.plan.model import MetricPlan, Plan, SinkPlan
from pipelinekit.plan.tables import tables_of
from pipelinekit.runtime.outside import make_ready, opened
from pipelinekit.windows.cumulative import Cumulative
from pipelinekit.windows.session import Session
from pipelinekit.windows.sliding import Sliding
from tests import plans
from tests.system.recount import read_all

# Of the moment of writing, not of the log.
_VOLATILE = ("_version", "_watermark", "_updated_at")
BASE_MS = 1_704_110_400_000


@dataclass(frozen=True, slots=True)
class Message:
    partition: int
    value: bytes
    broker_ms: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a runner left behind. Dead letters by position: they are delivered at least once."""

    tables: Mapping[str, Sequence[str]]
    letters: Mapping[tuple[int, int], tuple[str, str, bytes]]
    ledger: Mapping[tuple[str, int, str], tuple[int, int]]


@dataclass(slots=True)
class Case:
    """A log on a topic, the metrics over it, and the services that hold what comes out."""

    brokers: str
    clickhouse: str
    topic: str
    metrics: Sequence[MetricPlan]
    folder: Path
    source: Mapping[str, Any] = field(default_factory=dict)

    def plan(self, runner: str) -> Plan:
        """The runner's own database and dead letters, the same of all else."""
        database = f"conformance_{self.topic}_{runner}"
        source = plans.source(
            topic=self.topic, brokers=self.brokers, dead_letters=f"{self.topic}_{runner}_dead",
            **self.source,
        )  # fmt: skip
        sink = SinkPlan(
            "store", "clickhouse", {"url": self.clickhouse, "database": database}, Budget(), "full"
        )
        metrics = tuple(replace(m, sinks=("store",)) for m in self.metrics)
        return Plan("events", "local", source, metrics, (sink,))

    def answer(self, runner: str, run: Callable[[Plan, Path], None]) -> Answer:
        """Run the log to its end on a runner, and read back what it left."""
        plan = self.plan(runner)
        make_ready(plan)
        run(plan, self.folder / runner)
        with opened(plan) as outside:
            store = outside.sinks["store"]
            tables = {
                table.name: sorted(map(repr, _stable(store.read_back(table.view).to_pylist())))
                for metric in plan.metrics
                for table in tables_of(metric)
            }
            ledger = {
                (r["metric"], r["partition"], r["outcome"]): (r["offset"], r["count"])
                for r in store.read_back("pipelinekit_ledger").to_pylist()
            }
        assert plan.source.dead_letters_topic is not None
        return Answer(tables, _letters(self.brokers, plan.source.dead_letters_topic), ledger)


def send(brokers: str, topic: str, log: Iterable[Message]) -> None:
    producer = Producer({"bootstrap.servers": brokers})
    for message in log:
        producer.produce(
            topic, message.value, partition=message.partition, timestamp=message.broker_ms
        )
        producer.poll(0)
    assert producer.flush(30) == 0


def spiced_log(seed: int, count: int, partitions: int = 3) -> list[Message]:
    """Disorder, ties, late and too late events, the future, rubbish; a partition that stays back.

    Two minutes of broker time; event times go back as far as ten minutes.
    """
    rng = random.Random(seed)
    log = []
    for number in range(count):
        now = BASE_MS + number * 120_000 // count
        late = rng.choice([0] * 30 + [500, 1_900, 2_100, 30_000, 64_000, 200_000, 600_000])
        if rng.random() < 0.002:
            late = -3_600_000
        event = {
            "id": f"e{number}",
            "t": (now - late) // 10 * 10,
            "kind": rng.choice(["view", "view", "click", "buy"]),
            "country": rng.choice(["BE", "NL", "DE", None, "é世"]),
            "user": f"u{rng.randrange(40)}",
            "amount": f"{rng.randrange(10_000) / 100:.2f}" if rng.random() < 0.3 else None,
            "load": rng.randrange(3_000),
            "score": rng.random(),
            "bot": rng.random() < 0.1,
        }
        value = json.dumps({k: v for k, v in event.items() if v is not None}).encode()
        if rng.random() < 0.005:
            value = rng.choice([b"", b"{", b"[1]", b"\xff\xfe", value[:-3], b'{"id": 1}'])
        lazy = rng.random() < 0.7  # partition 0 holds most
        log.append(Message(0 if lazy else rng.randrange(partitions), value, now))
    return log


def all_metrics() -> list[MetricPlan]:
    """A metric for each way that events become rows."""
    return [
        plans.metric(
            "by_country",
            [
                plans.measure("n", "count()"),
                plans.measure("revenue", "sum(amount)"),
                plans.measure("slowest", "max(load)"),
                plans.measure("quickest", "min(load)"),
                plans.measure("mean", "avg(load)"),
                plans.measure("first_user", "first(user)"),
                plans.measure("last_user", "last(user)"),
            ],
            key=["country", "kind"],
            window=plans.Tumbling(10_000),
            rollups=[plans.Tumbling(60_000)],
            allowed_ms=60_000,
        ),
        plans.metric(
            "people",
            [
                plans.measure("users", "count_distinct(user)", max_values=30),
                plans.measure("about_users", "approx_count_distinct(user)"),
                plans.measure("load_p95", "approx_quantile(load, 0.95)"),
                plans.measure("loads", "histogram(load, [100, 2000])"),
                plans.measure("top_users", "most_frequent(user, 3)", max_values=60),
                plans.measure("top_few", "most_frequent(user, 3)", max_values=9),
                plans.measure("load_spread", "stddev(load)"),
                plans.measure("any_bot", "any_true(bot)"),
                plans.measure("clicks", "count()", filter="kind = 'click'"),
            ],
            filter="not bot or kind = 'buy'",
            allowed_ms=0,
        ),
        plans.metric("total", [plans.measure("n", "count()")], allowed_ms=600_000),
        *(
            plans.metric(
                name,
                [
                    plans.measure("n", "count()"),
                    plans.measure("users", "count_distinct(user)", max_values=30),
                    plans.measure("last_kind", "last(kind)"),
                ],
                key=["user" if name == "visits" else "country"],
                window=window,
                allowed_ms=20_000,
            )
            for name, window in (
                ("rolling", Sliding(60_000, 15_000)),
                ("so_far", Cumulative(plans.Tumbling(3_600_000), 30_000)),
                ("visits", Session(2_000, 600_000)),
            )
        ),
    ]


def differences(one: Answer, other: Answer) -> list[str]:
    """Where two answers differ, in words; empty when they agree."""
    found = []
    for table in one.tables.keys() | other.tables.keys():
        mine, theirs = Counter(one.tables.get(table, ())), Counter(other.tables.get(table, ()))
        found += [f"{table}: only the first has {row}" for row in mine - theirs]
        found += [f"{table}: only the second has {row}" for row in theirs - mine]
    for what, a, b in (
        ("dead letter", one.letters, other.letters),
        ("ledger", one.ledger, other.ledger),
    ):
        found += [
            f"{what} {key}: {a.get(key)} and {b.get(key)}"  # type: ignore[call-overload]
            for key in a.keys() | b.keys()  # type: ignore[operator]
            if a.get(key) != b.get(key)  # type: ignore[call-overload]
        ]
    return found


def _stable(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            k: round(v, 9) if isinstance(v, float) else v
            for k, v in row.items()
            if k not in _VOLATILE
        }
        for row in rows
    ]


def _letters(brokers: str, topic: str) -> dict[tuple[int, int], tuple[str, str, bytes]]:
    letters = {}
    for message in read_all(brokers, topic):
        headers = dict(message.headers())
        key = (int(headers["source_partition"]), int(headers["source_offset"]))
        metrics = headers.get("metrics", b"").decode()
        letters[key] = (headers["reason"].decode(), metrics, message.value() or b"")
    return letters
