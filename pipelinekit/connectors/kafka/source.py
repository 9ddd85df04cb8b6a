"""A Kafka topic as a source: partitions are assigned, positions belong to the caller."""

from __future__ import annotations

from collections.abc import Mapping

from pipelinekit.clock import Clock, SystemClock
from pipelinekit.connectors.kafka.admin import (
    KafkaAdmin,
    Layout,
    missing_topic,
    remade_topic,
)
from pipelinekit.connectors.kafka.reader import KafkaReader, ReadSettings
from pipelinekit.connectors.kafka.security import Security
from pipelinekit.errors import Refused


class KafkaSource:
    """The Source of one topic. Opening a reader commits nothing and joins no group."""

    def __init__(
        self,
        brokers: str,
        topic: str,
        settings: ReadSettings | None = None,
        clock: Clock | None = None,
        security: Security | None = None,
    ) -> None:
        self.brokers = brokers
        self.topic = topic
        self._settings = settings or ReadSettings()
        self._clock = clock or SystemClock()
        self._admin = KafkaAdmin(brokers, self._settings.timeout_ms, security)
        self._topic_id = ""

    def partitions(self) -> tuple[int, ...]:
        """The partitions that exist now. Raises Unreachable, or Refused if the topic is missing."""
        return self._layout().partitions

    def topic_id(self) -> str:
        """What tells this topic from a later one of the same name, whose offsets start anew."""
        return self._layout().topic_id

    def bounds(self) -> dict[int, tuple[int, int]]:
        """Per partition the first offset there and the one after the last committed message."""
        return self._admin.bounds(self.topic, self.partitions())

    def log_append_time(self) -> bool:
        """Whether the broker stamps the topic's messages, rather than their producers."""
        return self._admin.config(self.topic)["message.timestamp.type"] == "LogAppendTime"

    def open(self, positions: Mapping[int, int]) -> KafkaReader:
        """A reader from `positions`. Raises Refused for a partition that does not exist."""
        there = self.partitions()
        if missing := sorted(set(positions) - set(there)):
            raise Refused(
                f'topic "{self.topic}" on Kafka at {self.brokers} has no partition {missing[0]}: '
                f"it has {len(there)}, counted from 0",
                help="start from positions of this topic: `--from earliest` or `--from latest`",
            )
        return KafkaReader(self._admin, self.topic, positions, self._settings, self._clock)

    def close(self) -> None:
        self._admin.close()

    def _layout(self) -> Layout:
        """The topic as it is now; Refused if it isn't the one that this source first saw.

        The client would go on in the new topic at the old one's offset, without a word.
        """
        layout = self._admin.layout(self.topic)
        if layout is None:
            raise missing_topic(self.brokers, self.topic)
        self._topic_id = self._topic_id or layout.topic_id
        if layout.topic_id != self._topic_id:
            raise remade_topic(self.brokers, self.topic)
        return layout
