"""What a file of kind `source` may say."""

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictStr

from pipelinekit.spec.models.security import SecuritySpec
from pipelinekit.spec.models.values import (
    Duration,
    FieldType,
    Manage,
    Model,
    Name,
    SpecName,
    Texts,
    Value,
    spelled,
)


class SourceField(Model):
    """A typed column: where it lies in the payload and how it is read."""

    type: FieldType
    from_: Annotated[Texts | None, Field(alias="from")] = None
    optional: StrictBool = False
    default: Value = None
    unit: Literal["ms", "s", "us"] = "ms"
    description: StrictStr = ""


class EventTime(Model):
    """Which field times an event, and how disorderly events arrive."""

    field: Name
    out_of_orderness: Duration = 5_000
    idle_after: Duration = 10_000
    max_future_skew: Duration = 60_000


class DeadLetters(Model):
    topic: StrictStr


class SourceSpec(Model):
    """A topic and the events in it."""

    kind: Literal["source"]
    name: SpecName
    description: StrictStr = ""
    owner: StrictStr = ""
    topic: StrictStr
    brokers: StrictStr
    format: Literal["json"] = "json"
    fields: Annotated[dict[Name, Annotated[SourceField, spelled("type")]], Field(min_length=1)]
    id: Name | None = None
    event_time: EventTime
    dead_letters: Annotated[DeadLetters, spelled("topic")] | None = None
    manage: Manage | None = None
    security: SecuritySpec | None = None
