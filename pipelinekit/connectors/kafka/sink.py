"""A Kafka topic as a sink: one JSON message a row; rows.py has the form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pipelinekit.connectors.base import Budget
from pipelinekit.connectors.kafka import rows as forms
from pipelinekit.connectors.kafka.admin import (
    MISSING,
    START_HELP,
    TIMEOUT_MS,
    TRANSIENT,
    KafkaAdmin,
    missing_topic,
)
from pipelinekit.connectors.kafka.producer import TopicProducer
from pipelinekit.connectors.kafka.reader import ReadSettings
from pipelinekit.connectors.kafka.security import Security
from pipelinekit.connectors.kafka.source import KafkaSource
from pipelinekit.connectors.kafka.topics import aggregates_topic, create, parse_statement
from pipelinekit.data import Column, LedgerEntry, Progress, SinkSchema, Table, Upserts
from pipelinekit.errors import Refused, Unreachable, UsageError
from pipelinekit.types import STRING

if TYPE_CHECKING:
    import pyarrow as pa
    from confluent_kafka import KafkaError, Message

QUEUE_KBYTES_MAX = 64 * 1024
READ_MESSAGES = 10_000
STATE = Column("_state", STRING)


class KafkaSink:
    """The Sink on a topic; see connectors/base.py. Readers get repeats and keep the newest."""

    def __init__(
        self,
        brokers: str,
        topic: str,
        *,
        budget: Budget | None = None,
        timeout_ms: int = TIMEOUT_MS,
        security: Security | None = None,
    ) -> None:
        self.brokers = brokers
        self.topic = topic
        self.budget = budget or Budget()
        self._timeout_ms = timeout_ms
        self._security = security
        self._admin = KafkaAdmin(brokers, timeout_ms, security)
        self._tables: dict[str, Table] = {}
        self._failure: KafkaError | None = None
        self._producer = self._open()

    def ddl(self, schema: SinkSchema) -> list[str]:
        """The statement that makes the topic, none if it exists. Raises Unreachable."""
        self._tables.update({table.name: table for table in schema.tables})
        if self._admin.layout(self.topic) is not None:
            return []
        return [aggregates_topic(self.topic).statement]

    def apply(self, statements: Sequence[str]) -> None:
        for statement in statements:
            create(self._admin, parse_statement(statement))

    def write(self, upserts: Upserts) -> None:
        """Returns when the brokers acknowledged. Raises Unreachable or Refused."""
        self._tables[upserts.table.name] = upserts.table
        self._send(upserts.table.metric, forms.row_messages(upserts))

    def write_progress(self, progress: Sequence[Progress]) -> None:
        for one in progress:
            self._produce(one.metric, forms.progress_message(one))
        self._settle()

    def epoch(self, tables: Sequence[Table]) -> int:
        """Unknown: readers keep the greatest version of what they have seen."""
        return 0

    def write_ledger(self, entries: Sequence[LedgerEntry]) -> None:
        self._send(forms.LEDGER, map(forms.ledger_message, entries))

    def read_back(self, table: str) -> pa.Table:
        """The newest rows of a table, a view (with `_state`), the progress or the ledger.

        Reads the whole topic. Raises UsageError for a table that neither `ddl` nor `write` saw.
        """
        if table == forms.PROGRESS:
            return forms.arrow_table(
                forms.PROGRESS_COLUMNS, forms.newest_progress(self._messages())
            )
        if table == forms.LEDGER:
            return forms.arrow_table(forms.LEDGER_COLUMNS, forms.newest_ledger(self._messages()))
        if known := self._tables.get(table):
            return forms.arrow_table(known.columns, forms.newest_rows(known, self._messages()))
        for known in self._tables.values():
            if known.view == table:
                return self._read_view(known)
        raise UsageError(
            f'table "{table}" is not known here: known are {", ".join(sorted(self._tables))}',
            help="pass the job's schema to `ddl` first",
        )

    def check(self) -> str:
        """What answers there. Raises Unreachable."""
        count = self._admin.brokers_online()
        return f"Kafka at {self.brokers}, {count} broker{'' if count == 1 else 's'}"

    def close(self) -> None:
        self._producer.close()
        self._admin.close()

    def _open(self) -> TopicProducer:
        return TopicProducer(
            self.brokers,
            self.topic,
            self._on_failure,
            queue_kbytes_max=QUEUE_KBYTES_MAX,
            message_timeout_ms=self._timeout_ms,
            security=self._security,
        )

    def _send(self, key: str, messages: Iterable[str]) -> None:
        for message in messages:
            self._produce(key, message)
        self._settle()

    def _produce(self, key: str, message: str) -> None:
        self._producer.produce(key=key, value=message)

    def _settle(self) -> None:
        """Wait for the acknowledgements. The client itself retries, with backoff, till then."""
        # A second beyond the messages' own time-out, after which each is a failure.
        waiting = self._producer.flush(self._timeout_ms + 1_000)
        failure, self._failure = self._failure, None
        if waiting == 0 and failure is None:
            return
        cause = self._producer.cause or (failure.str() if failure else "no answer")
        # What may still be in the client must not leave after the caller gave it up.
        self._producer.close()
        self._producer = self._open()
        self._failure = None
        if failure is None or failure.name() in TRANSIENT or failure.name() == "_MSG_TIMED_OUT":
            raise Unreachable(
                f'topic "{self.topic}" on Kafka at {self.brokers} did not acknowledge within '
                f"{self._timeout_ms / 1000:g} s: {cause}",
                help=START_HELP,
            )
        raise self._refused(failure)

    def _refused(self, failure: KafkaError) -> Refused:
        if failure.name() in MISSING:
            return missing_topic(self.brokers, self.topic)
        return Refused(
            f'topic "{self.topic}" on Kafka at {self.brokers} refused a row: '
            f"{failure.str()} ({failure.name()})"
        )

    def _on_failure(self, error: KafkaError, message: Message) -> None:
        self._failure = self._failure or error

    def _read_view(self, table: Table) -> pa.Table:
        messages = self._messages()
        closed = {
            row["metric"]: row["closed_through"]
            for row in forms.newest_progress(messages)
            if row["grain"] == table.grain
        }
        rows = forms.newest_rows(table, messages)
        for row in rows:
            row[STATE.name] = forms.state_of(row, closed.get(table.metric))
        return forms.arrow_table([*table.columns, STATE], rows)

    def _messages(self) -> list[dict[str, Any]]:
        """All messages that are on the topic now, within a partition in order."""
        import msgspec

        settings = ReadSettings(timeout_ms=self._timeout_ms)
        source = KafkaSource(self.brokers, self.topic, settings, security=self._security)
        bounds = source.bounds()
        reader = source.open({p: first for p, (first, _) in bounds.items()})
        found: list[dict[str, Any]] = []
        ends = {p: end for p, (first, end) in bounds.items() if first < end}
        try:
            while ends:
                batch = reader.poll(READ_MESSAGES, 100)
                found += [msgspec.json.decode(value) for value in batch.values if value]
                for partition, position in batch.positions.items():
                    if position >= ends.get(partition, position + 1):
                        del ends[partition]
                if ends and (trouble := reader.trouble()):
                    raise Unreachable(trouble, help=START_HELP)
        finally:
            reader.close()
            source.close()
        return found
