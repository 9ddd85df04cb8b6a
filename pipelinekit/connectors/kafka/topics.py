"""What topics we make look like, and whether those that exist do. An existing one never changes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pipelinekit.connectors.kafka.admin import KafkaAdmin
from pipelinekit.errors import UsageError
from pipelinekit.units import DAY_MS, HOUR_MS, format_duration

# What a broker takes when nobody set message.max.bytes.
BROKER_MESSAGE_BYTES_MAX = 1_048_588
# Room for the headers that a dead letter has beyond its original.
LETTER_HEADERS_BYTES_MAX = 64 * 1024
PARTITIONS = 4
BROKER_DEFAULT = -1
_STATEMENT = re.compile(
    r"create topic (?P<name>\S+) partitions (?P<partitions>\d+) replication (?P<replication>-?\d+)"
    r"(?P<config>(?: \S+=\S+)*)"
)


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """A topic as it is."""

    name: str
    partitions: int
    replication: int
    retention_ms: int  # -1: for ever
    log_append_time: bool
    message_bytes_max: int
    compacted: bool


@dataclass(frozen=True, slots=True)
class TopicWanted:
    """A topic as it should be; a replication of -1 is the broker's default."""

    name: str
    partitions: int = PARTITIONS
    replication: int = BROKER_DEFAULT
    retention_ms: int = 7 * DAY_MS
    log_append_time: bool = False
    message_bytes_max: int | None = None
    config: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        stamp = "LogAppendTime" if self.log_append_time else "CreateTime"
        config = {"retention.ms": str(self.retention_ms), "message.timestamp.type": stamp}
        if self.message_bytes_max is not None:
            config["max.message.bytes"] = str(self.message_bytes_max)
        object.__setattr__(self, "config", config)

    @property
    def statement(self) -> str:
        """The line of `ddl` that makes the topic; `parse_statement` reads it back."""
        settings = " ".join(f"{name}={value}" for name, value in self.config.items())
        return (
            f"create topic {self.name} partitions {self.partitions} "
            f"replication {self.replication} {settings}"
        )


def source_topic(name: str, partitions: int = PARTITIONS) -> TopicWanted:
    """A source's topic: 7 d, stamped by the broker, so that replays decide as the first run."""
    return TopicWanted(name, partitions, retention_ms=7 * DAY_MS, log_append_time=True)


def aggregates_topic(name: str, partitions: int = PARTITIONS) -> TopicWanted:
    """The topic that rows go to: 24 h."""
    return TopicWanted(name, partitions, retention_ms=24 * HOUR_MS)


def dead_letters_topic(
    name: str, source_bytes_max: int = BROKER_MESSAGE_BYTES_MAX, partitions: int = PARTITIONS
) -> TopicWanted:
    """The topic that refused events go to: 14 d; the source's greatest message fits."""
    return TopicWanted(
        name,
        partitions,
        retention_ms=14 * DAY_MS,
        message_bytes_max=source_bytes_max + LETTER_HEADERS_BYTES_MAX,
    )


def describe(admin: KafkaAdmin, topic: str) -> TopicInfo | None:
    """The topic as it is, None if there is none. Raises Unreachable."""
    layout = admin.layout(topic)
    if layout is None:
        return None
    config = admin.config(topic)
    return TopicInfo(
        name=topic,
        partitions=len(layout.partitions),
        replication=layout.replication,
        retention_ms=int(config["retention.ms"]),
        log_append_time=config["message.timestamp.type"] == "LogAppendTime",
        message_bytes_max=int(config["max.message.bytes"]),
        compacted="compact" in config["cleanup.policy"],
    )


def create(admin: KafkaAdmin, wanted: TopicWanted) -> None:
    """Make the topic; one that exists stays as it is. Raises Unreachable or Refused."""
    admin.create(wanted.name, wanted.partitions, wanted.replication, wanted.config)


def drift(info: TopicInfo, wanted: TopicWanted) -> list[str]:
    """How an existing topic differs from the one wanted, a sentence each; empty if it serves."""
    found = []
    topic = f'topic "{info.name}"'
    if info.log_append_time != wanted.log_append_time and wanted.log_append_time:
        found.append(
            f"{topic} has message.timestamp.type CreateTime, LogAppendTime is wanted: "
            "a replay may decide otherwise which events lie in the future"
        )
    if 0 <= info.retention_ms < wanted.retention_ms or wanted.retention_ms < 0 <= info.retention_ms:
        found.append(
            f"{topic} keeps messages {_duration(info.retention_ms)}, "
            f"{_duration(wanted.retention_ms)} is wanted"
        )
    least = wanted.message_bytes_max or 0
    if info.message_bytes_max < least:
        found.append(
            f"{topic} has max.message.bytes {info.message_bytes_max}, {least} is wanted: "
            "the largest messages won't fit"
        )
    if info.compacted:
        found.append(f"{topic} is compacted: of messages with one key all but the last vanish")
    return found


def parse_statement(text: str) -> TopicWanted:
    """The topic that a `statement` makes. Raises UsageError."""
    if not (found := _STATEMENT.fullmatch(text.strip())):
        raise UsageError(
            f'"{text}" is not a statement for Kafka',
            help="pass the lines that `ddl` printed, such as "
            f'"{aggregates_topic("aggregates").statement}"',
        )
    config = dict(part.split("=", 1) for part in found["config"].split())
    largest = config.get("max.message.bytes")
    return TopicWanted(
        name=found["name"],
        partitions=int(found["partitions"]),
        replication=int(found["replication"]),
        retention_ms=int(config["retention.ms"]),
        log_append_time=config["message.timestamp.type"] == "LogAppendTime",
        message_bytes_max=None if largest is None else int(largest),
    )


def _duration(value_ms: int) -> str:
    return "for ever" if value_ms < 0 else format_duration(value_ms)
