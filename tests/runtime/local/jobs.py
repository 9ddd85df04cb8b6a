"""Jobs of the local runner on a real broker, and what they should come to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition

from pipelinekit.connectors.kafka.dead_letters import KafkaDeadLetters
from pipelinekit.connectors.kafka.source import KafkaSource
from pipelinekit.connectors.memory.sink import MemorySink
from pipelinekit.data import SinkSchema
from pipelinekit.plan.model import MetricPlan, Plan
from pipelinekit.plan.tables import tables_of
from pipelinekit.runtime.local.options import RunOptions
from pipelinekit.runtime.local.runner import LocalRunner
from pipelinekit.runtime.local.status import Status
from tests import plans

BASE_MS = 1_704_110_400_000
COUNT = plans.metric(
    "counts", [plans.measure("n", "count()"), plans.measure("total", "sum(load)")], key=["country"]
)


def plan_of(topic: str, brokers: str, letters: str, *metrics: MetricPlan) -> Plan:
    source = plans.source(topic=topic, brokers=brokers, dead_letters=letters)
    return Plan("events", "local", source, metrics or (COUNT,), ())


def send(brokers: str, topic: str, events: Sequence[dict | bytes], partitions: int = 2) -> None:
    producer = Producer({"bootstrap.servers": brokers})
    for number, event in enumerate(events):
        value = event if isinstance(event, bytes) else json.dumps(event).encode()
        producer.produce(topic, value, key=f"k{number}", partition=number % partitions)
    assert producer.flush(10) == 0


def events(count: int, *, start: int = 0, step_ms: int = 50) -> list[dict]:
    return [
        {
            "id": f"e{i}",
            "t": BASE_MS + i * step_ms,
            "kind": "view",
            "country": ("BE", "NL", None)[i % 3],
            "load": i,
        }
        for i in range(start, start + count)
    ]


class Job:
    """One job on a topic, run as often as a test wants."""

    def __init__(self, kafka, make_topic, folder: Path, *metrics: MetricPlan) -> None:
        self.brokers = kafka.bootstrap
        self.topic = make_topic(2)
        self.letters = make_topic(1)
        self.plan = plan_of(self.topic, self.brokers, self.letters, *metrics)
        self.sink = MemorySink()
        self.other_sinks: dict[str, MemorySink] = {}
        self.folder = folder

    def runner(self, **options: object) -> LocalRunner:
        metrics = self.plan.metrics
        sinks = {"memory": self.sink, **self.other_sinks}
        for sink in sinks.values():
            sink.ddl(SinkSchema("events", tuple(t for m in metrics for t in tables_of(m))))
        return LocalRunner(
            self.plan,
            KafkaSource(self.brokers, self.topic),
            sinks,
            KafkaDeadLetters(self.brokers, self.letters),
            self.folder,
            RunOptions(**options),  # type: ignore[arg-type]
        )

    def run_to_end(self, **options: object) -> Status:
        return self.runner(until_end=True, **options).run()

    def rows(self, table: str = "counts_1m") -> dict[tuple, dict]:
        found = self.sink.read_back(table).to_pylist()
        return {(r.get("country"), r["window_start"].timestamp() * 1000): r for r in found}

    def dead(self) -> list:
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": "t"})
        consumer.assign([TopicPartition(self.letters, 0, 0)])
        end = consumer.get_watermark_offsets(TopicPartition(self.letters, 0), timeout=5)[1]
        found = []
        while len(found) < end:
            found += consumer.consume(end - len(found), 5)
        consumer.close()
        return found


def expected(sent: Sequence[dict]) -> dict[tuple, tuple[int, int]]:
    table: dict[tuple, tuple[int, int]] = {}
    for event in sent:
        key = (event["country"], event["t"] // 60_000 * 60_000)
        n, total = table.get(key, (0, 0))
        table[key] = (n + 1, total + event["load"])
    return table


def counted(rows: dict[tuple, dict]) -> dict[tuple, tuple[int, int]]:
    return {key: (row["n"], int(row["total"])) for key, row in rows.items()}


def until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)


class Running:
    """A runner in a thread, stopped at the end; `error` is what it raised."""

    def __init__(self, runner: LocalRunner) -> None:
        self.runner = runner
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self.runner.run()
        except BaseException as error:
            self.error = error

    def __enter__(self) -> Running:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.runner.stop()
        self._thread.join(40)
        assert not self._thread.is_alive()

    def wait(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()
