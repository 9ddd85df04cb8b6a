"""Questions to a Kafka cluster, answered within a time-out or by an error."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pipelinekit.connectors.kafka.security import HELP, SECURITY_ERRORS, Security
from pipelinekit.errors import Refused, Unreachable

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import AdminClient

START_HELP = "start it with `pipelinekit up kafka`, or set KAFKA to the address of one that runs"
TIMEOUT_MS = 5_000
RETRY_S = 0.05
Answer = TypeVar("Answer")
# librdkafka's names of the errors that waiting or trying again may cure.
TRANSIENT = frozenset(
    {
        "_ALL_BROKERS_DOWN",
        "_DESTROY",
        "_RESOLVE",
        "_TIMED_OUT",
        "_TIMED_OUT_QUEUE",
        "_TRANSPORT",
        "_WAIT_COORD",
        "BROKER_NOT_AVAILABLE",
        "COORDINATOR_LOAD_IN_PROGRESS",
        "COORDINATOR_NOT_AVAILABLE",
        "FENCED_LEADER_EPOCH",
        "KAFKA_STORAGE_ERROR",
        "LEADER_NOT_AVAILABLE",
        "NETWORK_EXCEPTION",
        "NOT_CONTROLLER",
        "NOT_COORDINATOR",
        "NOT_ENOUGH_REPLICAS",
        "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
        "NOT_LEADER_FOR_PARTITION",
        "OFFSET_NOT_AVAILABLE",
        "REPLICA_NOT_AVAILABLE",
        "REQUEST_TIMED_OUT",
        "UNKNOWN_LEADER_EPOCH",
    }
)
MISSING = frozenset(
    {"UNKNOWN_TOPIC_OR_PART", "UNKNOWN_TOPIC_ID", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION"}
)


def error_of(exception: KafkaException) -> KafkaError:
    """The error that an exception of the client carries."""
    error: KafkaError = exception.args[0]
    return error


def client_config(brokers: str, security: Security | None) -> dict[str, Any]:
    """What every client of ours has in common."""
    return {
        **(security.options() if security is not None else {}),
        "bootstrap.servers": brokers,
        "client.id": "pipelinekit",
        # The client's own lines on stderr repeat what our errors and `trouble()` say.
        "log_level": 0,
        "socket.timeout.ms": 10_000,
        "socket.nagle.disable": True,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1_000,
    }


@dataclass(frozen=True, slots=True)
class Layout:
    """A topic's shape. A topic deleted and made anew has another `topic_id`.

    `is_writable`: whether the cluster lets us write to it.
    """

    topic_id: str
    partitions: tuple[int, ...]
    replication: int
    is_writable: bool


class KafkaAdmin:
    """An administrative client; connects when first asked. Thread-safe."""

    def __init__(
        self, brokers: str, timeout_ms: int = TIMEOUT_MS, security: Security | None = None
    ) -> None:
        self.brokers = brokers
        self.timeout_ms = timeout_ms
        self.security = security
        self._refusal: str | None = None
        self._client: AdminClient | None = None
        self._cause = ""

    def brokers_online(self) -> int:
        """How many brokers the cluster has. Raises Unreachable."""
        return len(self._ask(lambda: self._cluster().result().nodes))

    def layout(self, topic: str) -> Layout | None:
        """The topic's identity and partitions, None if there is no such topic. Never creates it."""
        from confluent_kafka.admin import AclOperation

        described = self._describe(topic)
        if described is None:
            return None
        # A cluster without access control lists every operation, a broker before 2.3 none.
        allowed = described.authorized_operations
        return Layout(
            topic_id=str(described.topic_id),
            partitions=tuple(sorted(p.id for p in described.partitions)),
            replication=min(len(p.replicas) for p in described.partitions),
            is_writable=allowed is None or AclOperation.WRITE in allowed,
        )

    def bounds(self, topic: str, partitions: Collection[int]) -> dict[int, tuple[int, int]]:
        """Per partition its first offset and the one after its last committed message."""
        from confluent_kafka.admin import OffsetSpec

        first = self._offsets(topic, partitions, OffsetSpec.earliest())
        end = self._offsets(topic, partitions, OffsetSpec.latest())
        return {p: (first[p], end[p]) for p in sorted(partitions)}

    def config(self, topic: str) -> dict[str, str]:
        """The topic's settings by name, the broker's defaults included. Refused if missing."""
        from confluent_kafka.admin import ConfigResource, ResourceType

        resource = ConfigResource(ResourceType.TOPIC, topic)

        def ask() -> Any:
            futures = self._admin().describe_configs([resource], request_timeout=self._seconds)
            return futures[resource].result()

        return {name: entry.value for name, entry in self._ask(ask, topic).items()}

    def create(
        self, topic: str, partitions: int, replication: int, config: Mapping[str, str]
    ) -> None:
        """Make a topic; fine if another made it meanwhile. Returns when the broker lists it."""
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import NewTopic

        wanted = NewTopic(topic, partitions, replication, config=dict(config))

        def ask() -> None:
            futures = self._admin().create_topics([wanted], request_timeout=self._seconds)
            try:
                futures[topic].result()
            except KafkaException as exception:
                if error_of(exception).name() != "TOPIC_ALREADY_EXISTS":
                    raise

        self._ask(ask, topic)
        deadline = time.monotonic() + self._seconds
        while self._describe(topic) is None and time.monotonic() < deadline:
            time.sleep(RETRY_S)

    def explain(self, exception: KafkaException, topic: str = "") -> Refused | Unreachable:
        """The error of ours that says what the client's error means for the caller."""
        error = error_of(exception)
        about = f'topic "{topic}" on ' if topic else ""
        if error.name() in TRANSIENT:
            self._admin().poll(0)  # hands over the pending connection errors, the real cause
            if self._refusal is not None:
                return refused_by_security(self.brokers, self._refusal)
            cause = self._cause or error.str()
            return Unreachable(
                f"{about}Kafka at {self.brokers} did not answer within "
                f"{self.timeout_ms / 1000:g} s: {cause}",
                help=START_HELP,
            )
        if error.name() in MISSING:
            return missing_topic(self.brokers, topic)
        return Refused(f"{about}Kafka at {self.brokers}: {error.str()} ({error.name()})")

    def close(self) -> None:
        self._client = None

    @property
    def _seconds(self) -> float:
        return self.timeout_ms / 1000

    def _admin(self) -> AdminClient:
        if self._client is None:
            from confluent_kafka.admin import AdminClient

            self._client = AdminClient(
                client_config(self.brokers, self.security) | {"error_cb": self._on_error}
            )
        return self._client

    def _on_error(self, error: KafkaError) -> None:
        if error.name() in SECURITY_ERRORS:
            self._refusal = error.str()
        if error.name() != "_ALL_BROKERS_DOWN" or not self._cause:
            self._cause = error.str()

    def _cluster(self) -> Any:
        return self._admin().describe_cluster(request_timeout=self._seconds)

    def _describe(self, topic: str) -> Any | None:
        from confluent_kafka import KafkaException, TopicCollection

        def ask() -> Any | None:
            futures = self._admin().describe_topics(
                TopicCollection([topic]),
                request_timeout=self._seconds,
                include_authorized_operations=True,
            )
            try:
                return futures[topic].result()
            except KafkaException as exception:
                if error_of(exception).name() in MISSING:
                    return None
                raise

        return self._ask(ask, topic)

    def _offsets(self, topic: str, partitions: Collection[int], spec: Any) -> dict[int, int]:
        from confluent_kafka import IsolationLevel, TopicPartition

        def ask() -> dict[int, int]:
            futures = self._admin().list_offsets(
                {TopicPartition(topic, p): spec for p in partitions},
                isolation_level=IsolationLevel.READ_COMMITTED,
                request_timeout=self._seconds,
            )
            return {tp.partition: future.result().offset for tp, future in futures.items()}

        # A broker lists a new topic a little before it leads its partitions.
        return self._ask(ask, topic, TRANSIENT | MISSING) if partitions else {}

    def _ask(
        self, ask: Callable[[], Answer], topic: str = "", again_on: frozenset[str] = TRANSIENT
    ) -> Answer:
        """What `ask` gives, asked again within the time-out while a leader is being found."""
        from confluent_kafka import KafkaException

        deadline = time.monotonic() + self._seconds
        while True:
            try:
                answer = ask()
            except KafkaException as exception:
                is_transient = error_of(exception).name() in again_on
                self._admin().poll(0)
                is_over = self._refusal is not None or time.monotonic() >= deadline
                if not is_transient or is_over:
                    raise self.explain(exception, topic) from exception
            else:
                self._refusal = None  # that was an earlier connection
                return answer
            time.sleep(RETRY_S)


def refused_by_security(brokers: str, reason: str) -> Refused:
    """The error for a broker that doesn't take us, or that we don't trust."""
    return Refused(f"Kafka at {brokers} and we don't come together: {reason}", help=HELP)


def missing_topic(brokers: str, topic: str) -> Refused:
    """The error for a topic that isn't there."""
    return Refused(
        f'topic "{topic}" does not exist on Kafka at {brokers}',
        help="create it with `pipelinekit ddl --apply`, or correct `topic` in the spec",
    )


def remade_topic(brokers: str, topic: str) -> Refused:
    """The error for a topic that was deleted and made anew: its offsets mean other messages."""
    return Refused(
        f'topic "{topic}" on Kafka at {brokers} was deleted and made anew while it was read',
        help="stored positions don't fit it; start anew with `--from earliest`",
    )
