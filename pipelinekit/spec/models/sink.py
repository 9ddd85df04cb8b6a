"""What a file of kind `sink` may say, by its type."""

from typing import Annotated, Literal

from pydantic import Field, StrictInt, StrictStr

from pipelinekit.spec.models.security import SecuritySpec
from pipelinekit.spec.models.values import Manage, Model, OpenName, Secret, SpecName


class BudgetSpec(Model):
    """What a sink may be asked to take; beyond it rows wait in state."""

    rows_per_second: Annotated[StrictInt, Field(ge=1)] = 200_000
    inserts_per_second: Annotated[StrictInt, Field(ge=1)] = 20


class _Sink(Model):
    kind: Literal["sink"]
    name: SpecName
    description: StrictStr = ""
    owner: StrictStr = ""
    manage: Manage | None = None
    budget: BudgetSpec = BudgetSpec()


class ClickHouseSinkSpec(_Sink):
    """Tables of a ClickHouse database."""

    type: Literal["clickhouse"]
    url: StrictStr
    database: OpenName
    user: StrictStr = "default"
    password: Secret | None = None


class KafkaSinkSpec(_Sink):
    """Rows as messages on a topic, keyed by metric name."""

    type: Literal["kafka"]
    brokers: StrictStr
    topic: StrictStr = "aggregates"
    security: SecuritySpec | None = None


class ConsoleSinkSpec(_Sink):
    """Rows on the terminal."""

    type: Literal["console"]


class MemorySinkSpec(_Sink):
    """Rows in the process, for tests and trials."""

    type: Literal["memory"]


SinkSpec = ClickHouseSinkSpec | KafkaSinkSpec | ConsoleSinkSpec | MemorySinkSpec
SINK_MODELS: dict[str, type[SinkSpec]] = {
    "clickhouse": ClickHouseSinkSpec,
    "kafka": KafkaSinkSpec,
    "console": ConsoleSinkSpec,
    "memory": MemorySinkSpec,
}
