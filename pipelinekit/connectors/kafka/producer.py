"""An idempotent producer to one topic with a bounded queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pipelinekit.connectors.kafka.admin import client_config
from pipelinekit.connectors.kafka.security import Security
from pipelinekit.errors import Refused, Unreachable

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

    OnFailure = Callable[[KafkaError, Message], None]

# The broker is the judge of sizes; the client's own limit lies below the broker's.
MESSAGE_BYTES_MAX = 1_000_000_000
# Larger messages travel alone. Small, for the broker measures whole batches against
# max.message.bytes and a batch too large isn't split.
BATCH_BYTES = 128 * 1024
FULL_WAIT_S = 0.05


class TopicProducer:
    """Hands messages to the client; what fails is told to `on_failure` while polling or flushing.

    `message_timeout_ms` 0 retries for ever, and whatever was handed over stays in order.
    """

    def __init__(
        self,
        brokers: str,
        topic: str,
        on_failure: OnFailure,
        *,
        queue_kbytes_max: int,
        message_timeout_ms: int,
        security: Security | None = None,
    ) -> None:
        from confluent_kafka import Producer

        self._topic = topic
        self._brokers = brokers
        self.cause = ""
        self._closed = False
        self._client = Producer(
            client_config(brokers, security)
            | _produce_config(queue_kbytes_max, message_timeout_ms)
            | {"error_cb": self._on_error, "on_delivery": on_failure}
        )

    def __len__(self) -> int:
        """Messages handed over and not yet acknowledged."""
        return len(self._client)

    def produce(self, **message: Any) -> None:
        """Hand over one message; blocks while the queue is full. Raises Unreachable once closed."""
        while True:
            try:
                self._client.produce(self._topic, **message)
            except BufferError:
                if len(self._client) == 0:
                    raise self._larger_than_queue(message) from None
                if self._closed:
                    raise Unreachable(
                        f'the queue to topic "{self._topic}" on Kafka at {self._brokers} is full'
                    ) from None
                self._client.poll(FULL_WAIT_S)
            else:
                self._client.poll(0)
                return

    def flush(self, timeout_ms: int) -> int:
        """How many messages are still not acknowledged or failed after at most `timeout_ms`."""
        return int(self._client.flush(timeout_ms / 1000))

    def close(self) -> None:
        """Drop what was not acknowledged. Ends a `produce` that waits in another thread."""
        self._closed = True
        self._client.purge()
        self._client.flush(0)

    def _on_error(self, error: KafkaError) -> None:
        if error.name() != "_ALL_BROKERS_DOWN" or not self.cause:
            self.cause = error.str()

    def _larger_than_queue(self, message: dict[str, Any]) -> Refused:
        size = len(message.get("value") or b"") + len(message.get("key") or b"")
        return Refused(
            f'a message of {size} bytes to topic "{self._topic}" is larger than the whole queue'
        )


def _produce_config(queue_kbytes_max: int, message_timeout_ms: int) -> dict[str, Any]:
    return {
        "enable.idempotence": True,
        "acks": "all",
        "message.max.bytes": MESSAGE_BYTES_MAX,
        "message.timeout.ms": message_timeout_ms,
        "batch.size": BATCH_BYTES,
        "batch.num.messages": 10_000,
        "linger.ms": 5,
        "queue.buffering.max.kbytes": queue_kbytes_max,
        "queue.buffering.max.messages": 100_000,
        # A topic that isn't there is an error after this time, not for ever.
        "topic.metadata.propagation.max.ms": 5_000,
        "partitioner": "murmur2_random",  # as the Java clients do
        "delivery.report.only.error": True,
    }
