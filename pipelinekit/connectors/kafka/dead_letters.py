"""Dead letters on a Kafka topic: the event byte for byte, the reason in headers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from pipelinekit.connectors.kafka.admin import MISSING, START_HELP, KafkaAdmin, missing_topic
from pipelinekit.connectors.kafka.producer import TopicProducer
from pipelinekit.connectors.kafka.security import Security
from pipelinekit.data import DeadLetter, Headers
from pipelinekit.errors import Refused, Unreachable
from pipelinekit.reasons import Reason

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

DETAIL_BYTES_MAX = 1024
_TOO_LARGE = frozenset({"MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE", "INVALID_RECORD"})
_FORBIDDEN = frozenset({"TOPIC_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED"})


class KafkaDeadLetters:
    """The DeadLetterQueue on a topic; see connectors/base.py.

    What the broker did not acknowledge stays queued over an `Unreachable`: flush again. One
    thread writes; `close` may come from another.
    """

    def __init__(
        self,
        brokers: str,
        topic: str,
        *,
        flush_timeout_ms: int = 10_000,
        queue_kbytes_max: int = 64 * 1024,
        security: Security | None = None,
    ) -> None:
        self.brokers = brokers
        self.topic = topic
        self._security = security
        self._admin = KafkaAdmin(brokers, security=security)
        self._flush_timeout_ms = flush_timeout_ms
        self._queue_kbytes_max = queue_kbytes_max
        self._producer = self._open()
        self._unsent: list[DeadLetter] = []
        self._refused: Refused | None = None

    def check(self) -> str:
        """What answers there. Raises Unreachable, or Refused where nothing could be written."""
        layout = self._admin.layout(self.topic)
        if layout is None:
            raise missing_topic(self.brokers, self.topic)
        if not layout.is_writable:
            raise Refused(
                f'topic "{self.topic}" on Kafka at {self.brokers} takes no dead letters from us: '
                "the cluster doesn't let us write to it",
                help="let us: an ACL that allows Write on the topic",
            )
        return f'topic "{self.topic}" on Kafka at {self.brokers}'

    def write(self, letters: Sequence[DeadLetter]) -> None:
        """Hand over; blocks when the queue is full. Raises Refused if an earlier letter was."""
        for letter in letters:
            self._produce(letter)
        if self._refused:
            raise self._refused

    def flush(self) -> None:
        """Return when all that was handed over is acknowledged. Raises Unreachable or Refused."""
        if self._unsent:
            self._send_again()
        waiting = self._producer.flush(self._flush_timeout_ms) + len(self._unsent)
        if self._refused:
            raise self._refused
        if waiting:
            cause = f": {self._producer.cause}" if self._producer.cause else ""
            raise Unreachable(
                f'{waiting} dead letters to topic "{self.topic}" were not acknowledged by Kafka '
                f"at {self.brokers} within {self._flush_timeout_ms / 1000:g} s{cause}",
                help=START_HELP,
            )

    def close(self) -> None:
        """Letters not yet acknowledged are dropped: flush first."""
        self._producer.close()
        self._admin.close()

    def _open(self) -> TopicProducer:
        return TopicProducer(
            self.brokers,
            self.topic,
            lambda error, message: None,  # each letter brings its own
            queue_kbytes_max=self._queue_kbytes_max,
            message_timeout_ms=0,
            security=self._security,
        )

    def _produce(self, letter: DeadLetter) -> None:
        self._producer.produce(
            value=letter.value,
            key=letter.key,
            headers=letter_headers(letter),
            on_delivery=partial(self._on_failure, letter),
        )

    def _send_again(self) -> None:
        """After a fatal error a producer takes nothing more: another one goes on."""
        self._producer.close()
        self._producer = self._open()
        letters, self._unsent = self._unsent, []
        for letter in letters:
            self._produce(letter)

    def _on_failure(self, letter: DeadLetter, error: KafkaError, message: Message) -> None:
        name = error.name()
        if name in _TOO_LARGE:
            self._refused = self._refused or self._too_large(letter)
        elif name in MISSING:
            self._refused = self._refused or missing_topic(self.brokers, self.topic)
        elif name in _FORBIDDEN:
            self._refused = self._refused or Refused(
                f'topic "{self.topic}" on Kafka at {self.brokers} takes no dead letters from us: '
                f"{error.str()}"
            )
        else:
            self._unsent.append(letter)

    def _too_large(self, letter: DeadLetter) -> Refused:
        headers = sum(len(name) + len(value or b"") for name, value in letter_headers(letter))
        size = len(letter.value or b"") + len(letter.key or b"") + headers
        return Refused(
            f'the dead letter of topic "{letter.topic}" partition {letter.partition} offset '
            f'{letter.offset} has {size} bytes, more than topic "{self.topic}" takes',
            help=f'raise max.message.bytes of topic "{self.topic}" on Kafka at {self.brokers}',
        )


def letter_headers(letter: DeadLetter) -> list[tuple[str, bytes | None]]:
    """The original's headers, then ours: a reader takes the last of a name."""
    ours = {
        "reason": letter.reason.value,
        "detail": _cut(letter.detail),
        "metrics": ",".join(letter.metrics),
        "source_topic": letter.topic,
        "source_partition": str(letter.partition),
        "source_offset": str(letter.offset),
        "event_time_ms": _text(letter.event_time_ms),
        "watermark_ms": _text(letter.watermark_ms),
    }
    return [*letter.headers, *((name, text.encode()) for name, text in ours.items() if text)]


def letter_of(key: bytes | None, value: bytes | None, headers: Headers) -> DeadLetter | None:
    """The dead letter that a message holds, None if it isn't one of ours."""
    names = [name for name, _ in headers]
    if "reason" not in names:
        return None
    start = len(names) - 1 - names[::-1].index("reason")  # ours begin with it
    ours = {n: (text or b"").decode("utf-8", "replace") for n, text in headers[start:]}
    try:
        return DeadLetter(
            key=key,
            value=value,
            headers=tuple(headers[:start]),
            reason=Reason(ours["reason"]),
            detail=ours.get("detail", ""),
            metrics=tuple(filter(None, ours.get("metrics", "").split(","))),
            topic=ours["source_topic"],
            partition=int(ours["source_partition"]),
            offset=int(ours["source_offset"]),
            event_time_ms=_number(ours, "event_time_ms"),
            watermark_ms=_number(ours, "watermark_ms"),
        )
    except (KeyError, ValueError):
        return None


def _number(ours: Mapping[str, str], name: str) -> int | None:
    return int(ours[name]) if name in ours else None


def _text(value: int | None) -> str:
    return "" if value is None else str(value)


def _cut(text: str) -> str:
    """`text` in at most DETAIL_BYTES_MAX bytes of UTF-8; lone surrogates become `?`."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) > DETAIL_BYTES_MAX:
        return encoded[: DETAIL_BYTES_MAX - 3].decode("utf-8", "ignore") + "…"
    return encoded.decode()
