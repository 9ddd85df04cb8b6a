"""An open read of a topic's partitions."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipelinekit.clock import Clock
from pipelinekit.connectors.kafka.admin import (
    MISSING,
    TIMEOUT_MS,
    TRANSIENT,
    KafkaAdmin,
    client_config,
    missing_topic,
    refused_by_security,
    remade_topic,
)
from pipelinekit.connectors.kafka.messages import MessageColumns
from pipelinekit.connectors.kafka.security import SECURITY_ERRORS
from pipelinekit.data import RawBatch
from pipelinekit.errors import Refused, Unreachable

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, TopicPartition

# The client's best batch: more at once makes each message dearer (caches), fewer the call.
CONSUME_MAX = 500
STATISTICS_MS = 1_000
# Errors about groups: the client looks for a group's coordinator although we use no group.
_OF_GROUPS = frozenset({"GROUP_AUTHORIZATION_FAILED", "_WAIT_COORD", "_STATE"})


@dataclass(frozen=True, slots=True)
class ReadSettings:
    """How a reader fetches.

    `queue_kbytes_max` bounds what the client fetches ahead. Polls that find messages are at least
    `linger_ms` apart: fewer, larger batches for that much latency.
    """

    timeout_ms: int = TIMEOUT_MS
    queue_kbytes_max: int = 64 * 1024
    fetch_wait_ms: int = 10
    linger_ms: int = 40


class KafkaReader:
    """The Reader of some partitions of one topic; see connectors/base.py. Not thread-safe."""

    def __init__(
        self,
        admin: KafkaAdmin,
        topic: str,
        positions: Mapping[int, int],
        settings: ReadSettings,
        clock: Clock,
    ) -> None:
        from confluent_kafka import Consumer

        self._admin = admin
        self._topic = topic
        self._settings = settings
        self._clock = clock
        self._positions = dict(positions)
        self._ends: dict[int, int] = {}
        self._log_ends: dict[int, int] = {}
        self._down: tuple[str, str] | None = None  # what is down, and since when
        self._cause = ""
        self._is_missing = False
        self._refusal: str | None = None
        self._polled_s = 0.0  # when the last poll ended, on the monotonic clock
        self._columns = MessageColumns()
        self._consumer = Consumer(
            client_config(admin.brokers, admin.security)
            | _fetch_config(settings)
            | {"error_cb": self._on_error, "stats_cb": self._on_statistics}
        )
        self._consumer.assign(self._at(positions))

    def poll(self, max_messages: int, max_wait_ms: int) -> RawBatch:
        """The next messages; empty when an end was reached or after `max_wait_ms` without any."""
        messages, events = self._columns.split(self._consume(max_messages, max_wait_ms))
        batch = self._columns.batch(messages)
        self._positions.update(batch.positions)
        if events:
            moved = self._take(events)
            batch = replace(batch, positions={**batch.positions, **moved})
        if self._is_missing:
            self._check_exists()
        if self._refusal is not None and not messages:
            raise refused_by_security(self._admin.brokers, self._refusal)
        return batch

    def at_end(self) -> frozenset[int]:
        """Partitions whose log was read to its end (the broker said so), as of the last poll."""
        here = self._positions
        return frozenset(p for p, end in self._ends.items() if here[p] == end)

    def trouble(self) -> str | None:
        """The broker that is down and since when; noticed and forgotten within about a second."""
        if self._down is None:
            return None
        name, since = self._down
        cause = f" ({self._cause})" if self._cause else ""
        return f"broker {name} is down since {since}{cause}"

    def lag(self) -> int | None:
        """Messages between here and the log's end, as of a second ago; None before it is known."""
        if not self._log_ends:
            return None
        return sum(max(0, end - self._positions[p]) for p, end in self._log_ends.items())

    def add(self, positions: Mapping[int, int]) -> None:
        """Also read these partitions from these offsets."""
        self._positions.update(positions)
        self._consumer.incremental_assign(self._at(positions))

    def pause(self, partitions: frozenset[int]) -> None:
        self._consumer.pause(self._at(dict.fromkeys(partitions, 0)))

    def resume(self, partitions: frozenset[int]) -> None:
        self._consumer.resume(self._at(dict.fromkeys(partitions, 0)))

    def close(self) -> None:
        self._consumer.close()

    def _at(self, positions: Mapping[int, int]) -> list[TopicPartition]:
        from confluent_kafka import TopicPartition

        return [TopicPartition(self._topic, p, o) for p, o in sorted(positions.items())]

    def _consume(self, max_messages: int, max_wait_ms: int) -> list[Message]:
        """What has come within the linger, in as many calls as it takes.

        The linger runs from the last poll on: what the caller did since then gave messages the
        time to gather. Where none has come, it runs from the first that does.
        """
        consume = self._consumer.consume
        began = time.monotonic()
        linger_s = min(self._settings.linger_ms, max_wait_ms) / 1000
        deadline = self._polled_s + linger_s
        messages: list[Message] = []
        while len(messages) < max_messages:
            size = min(CONSUME_MAX, max_messages - len(messages))
            left = max(0.0, deadline - time.monotonic())
            more = consume(size, left)
            messages += more
            if left or len(more) == size:
                continue
            if messages:
                break
            messages = consume(1, max(0.0, began + max_wait_ms / 1000 - time.monotonic()))
            if not messages:
                break
            deadline = time.monotonic() + linger_s
        self._polled_s = time.monotonic()
        return messages

    def _take(self, events: list[Message]) -> dict[int, int]:
        """Positions that moved to an end. Raises Refused for what waiting won't cure."""
        moved = {}
        for event in events:
            error, partition = event.error(), event.partition()
            name = error.name()
            if name == "_PARTITION_EOF":
                # The end may lie beyond the last message: transaction markers, compaction.
                end = event.offset()
                self._ends[partition] = end
                moved[partition] = self._positions[partition] = max(end, self._positions[partition])
            elif name in ("_AUTO_OFFSET_RESET", "OFFSET_OUT_OF_RANGE"):
                raise self._out_of_range(partition)
            elif name in MISSING:
                self._is_missing = True
            elif name in TRANSIENT:
                self._on_error(error)
            elif name not in _OF_GROUPS:
                raise Refused(
                    f'topic "{self._topic}" partition {partition} on Kafka at '
                    f"{self._admin.brokers} at offset {self._positions.get(partition)}: "
                    f"{error.str()} ({name})"
                )
        return moved

    def _out_of_range(self, partition: int) -> Refused:
        asked = self._positions[partition]
        try:
            first, end = self._admin.bounds(self._topic, [partition])[partition]
            there = f"offsets {first} to {end} are there"
        except Unreachable:
            there = "the broker did not say which are there"
        return Refused(
            f'topic "{self._topic}" partition {partition} has no offset {asked}: {there}',
            help="retention or a new topic took them away; decide where to go on: "
            "`--from earliest` or `--from latest`",
        )

    def _check_exists(self) -> None:
        """Refused if the topic or a partition is gone; a broker that just started may err."""
        self._is_missing = False
        try:
            layout = self._admin.layout(self._topic)
        except Unreachable:
            return
        if layout is None:
            raise missing_topic(self._admin.brokers, self._topic)
        if not set(self._positions) <= set(layout.partitions):
            raise remade_topic(self._admin.brokers, self._topic)

    def _on_error(self, error: KafkaError) -> None:
        """Called by the client while it is polled; `_on_statistics` sees the end of it."""
        if error.name() in MISSING:
            self._is_missing = True
        elif error.name() in SECURITY_ERRORS:
            self._refusal = error.str()
        elif error.name() == "_ALL_BROKERS_DOWN":
            self._note_down(self._admin.brokers)
        else:
            self._cause = error.str()

    def _on_statistics(self, text: str) -> None:
        """Called by the client each second: which leaders of our partitions don't answer."""
        statistics = json.loads(text)
        brokers = {b["nodeid"]: b for b in statistics["brokers"].values()}
        partitions = statistics["topics"].get(self._topic, {}).get("partitions", {})
        ends = {p: partitions.get(str(p), {}).get("ls_offset", -1) for p in self._positions}
        self._log_ends |= {p: end for p, end in ends.items() if end >= 0}
        leaders = {partitions.get(str(p), {}).get("leader", -1) for p in self._positions}
        down = [
            brokers[leader]["nodename"] if leader in brokers else self._admin.brokers
            for leader in sorted(leaders)
            if leader not in brokers or brokers[leader]["state"] != "UP"
        ]
        if down:
            self._note_down(", ".join(dict.fromkeys(down)))
        else:
            self._down, self._cause = None, ""

    def _note_down(self, name: str) -> None:
        if self._down is None:
            at = self._clock.now_ms() // 1000
            since = f"{at // 3600 % 24:02}:{at // 60 % 60:02}:{at % 60:02} UTC"
            self._down = (name, since)


def _fetch_config(settings: ReadSettings) -> dict[str, Any]:
    return {
        # The client wants a group; without a subscription or a commit it stays a name.
        "group.id": "pipelinekit",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "allow.auto.create.topics": False,
        # How long a topic may be missing from the metadata before that is an error.
        "topic.metadata.propagation.max.ms": 5_000,
        "statistics.interval.ms": STATISTICS_MS,
        # Its default, 1000, stops fetching for a second whenever the queue is full.
        "fetch.queue.backoff.ms": 5,
        # At 20 k events/s a third less CPU for broker and reader than with one byte, p99 no later.
        "fetch.min.bytes": 64 * 1024,
        "fetch.wait.max.ms": settings.fetch_wait_ms,
        "queued.max.messages.kbytes": settings.queue_kbytes_max,
        "queued.min.messages": 100_000,
    }
