"""A recount of a topic in plain Python: what the final table, letters and ledger must be.

Message by message in each partition's order, with the standard library's JSON; it shares no code
with the engine. It knows the two metrics of the system tests' project.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from confluent_kafka import Consumer, Message, TopicPartition

BOUND_MS, SKEW_MS, ALLOWED_MS = 2_000, 60_000, 60_000
MINUTE, TEN_SECONDS = 60_000, 10_000

PROJECT = {
    "pipelinekit.yaml": "spec_version: 1\nenvironments: { local: {} }\n",
    "sources/clicks.yaml": """\
kind: source
name: clicks
topic: clicks
brokers: ${KAFKA}
fields:
  event_id: string
  event_type: string
  occurred_at: timestamp
  session_id: string
  user_id: { type: string, optional: true }
  country: { type: string, optional: true }
  is_bot: { type: bool, default: false }
  amount: { type: "decimal(18,2)", optional: true }
id: event_id
event_time: { field: occurred_at, out_of_orderness: 2s, idle_after: 1h }
dead_letters: { topic: clicks_dead }
""",
    "sinks/store.yaml": """\
kind: sink
name: store
type: clickhouse
url: ${CLICKHOUSE}
database: ${DATABASE}
""",
    "metrics/by_country.yaml": """\
kind: metric
name: by_country
source: clicks
filter: not is_bot
key: [country, event_type]
measures: { n: count(), total: sum(amount) }
window: { tumbling: 10s }
lateness: { allowed: 1m }
rollups: [1m]
sink: store
""",
    "metrics/by_user.yaml": """\
kind: metric
name: by_user
source: clicks
key: [user_id]
measures: { n: count() }
window: { tumbling: 1m }
lateness: { allowed: 1m }
emit: { early: 500ms, late: 1s }
sink: store
""",
}


@dataclass
class Recount:
    """`tables`: (table, key, start) → (events, late, measures…)."""

    tables: dict[tuple, list] = field(default_factory=dict)
    letters: dict[tuple[int, int], str] = field(default_factory=dict)
    ledger: Counter = field(default_factory=Counter)
    messages: int = 0


def read_all(brokers: str, topic: str) -> Iterable[Message]:
    """Every message of the topic, each partition's in order."""
    consumer = Consumer(
        {"bootstrap.servers": brokers, "group.id": "recount", "fetch.queue.backoff.ms": 5}
    )
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    ends = {}
    for partition in partitions:
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
        ends[partition] = end
    consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
    left = {p: end for p, end in ends.items() if end}
    while left:
        for message in consumer.consume(1000, 0.2):
            assert message.error() is None, message.error()
            yield message
            if message.offset() + 1 >= ends[message.partition()]:
                left.pop(message.partition(), None)
    consumer.close()


def recount(brokers: str, topic: str) -> Recount:
    found = Recount()
    marks: dict[int, list[int]] = {}
    for message in read_all(brokers, topic):
        found.messages += 1
        partition, offset = message.partition(), message.offset()
        mark = marks.setdefault(partition, [-(2**62)])
        event = parse(message.value())
        if event is None:
            found.letters[(partition, offset)] = "invalid"
            found.ledger[("", partition, "invalid")] += 1
            continue
        time = event["occurred_at"]
        if time > message.timestamp()[1] + SKEW_MS:
            found.letters[(partition, offset)] = "future"
            found.ledger[("", partition, "future")] += 1
            continue
        found.ledger[("", partition, "accepted")] += 1
        watermark = mark[0] - BOUND_MS
        late = []
        if event["is_bot"]:
            found.ledger[("by_country", partition, "filtered")] += 1
        else:
            key = (event["country"], event["event_type"])
            windows = (("by_country_10s", TEN_SECONDS), ("by_country_1m", MINUTE))
            if not count(found, "by_country", partition, key, event, watermark, windows):
                late.append("by_country")
        windows = (("by_user_1m", MINUTE),)
        if not count(found, "by_user", partition, (event["user_id"],), event, watermark, windows):
            late.append("by_user")
        if late:
            found.letters[(partition, offset)] = "too_late"
        mark[0] = max(mark[0], time)
    return found


def count(
    found: Recount,
    metric: str,
    partition: int,
    key: tuple,
    event: dict,
    watermark: int,
    windows: tuple[tuple[str, int], ...],
) -> bool:
    time = event["occurred_at"]
    finest = windows[0][1]
    if time // finest * finest + finest + ALLOWED_MS <= watermark:
        found.ledger[(metric, partition, "too_late")] += 1
        return False
    found.ledger[(metric, partition, "counted")] += 1
    for table, size in windows:
        start = time // size * size
        row = found.tables.setdefault((table, key, start), [0, 0, None])
        row[0] += 1
        row[1] += start + size <= watermark
        if event["amount"] is not None:
            row[2] = (row[2] or 0) + event["amount"]
    return True


def parse(value: bytes | None) -> dict | None:
    try:
        raw = json.loads((value or b"").decode("utf-8"), parse_float=Decimal)
    except ValueError:
        return None
    if not isinstance(raw, dict):
        return None
    event = {}
    for name in ("event_id", "event_type", "session_id"):
        if not isinstance(raw.get(name), str):
            return None
        event[name] = raw[name]
    for name in ("user_id", "country"):
        item = raw.get(name)
        if item is not None and not isinstance(item, str):
            return None
        event[name] = item
    time = raw.get("occurred_at")
    if not isinstance(time, int) or isinstance(time, bool):
        return None
    bot = raw.get("is_bot")
    if bot is not None and not isinstance(bot, bool):
        return None
    amount = raw.get("amount")
    if amount is not None:
        if isinstance(amount, bool) or not isinstance(amount, int | Decimal):
            return None
        amount = Decimal(amount)
        if amount != round(amount, 2):
            return None
    return event | {"occurred_at": time, "is_bot": bool(bot), "amount": amount}
