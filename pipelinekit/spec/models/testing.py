"""What a test with time may say, in a metric's file or in one of kind `test`."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StrictInt, StrictStr

from pipelinekit.spec.models.values import Duration, Model, Name, listed, spelled


class Contains(Model):
    """At least these rows."""

    contains: list[dict[str, Any]]


Expected = list[dict[str, Any]] | Contains
Time = StrictStr
PARTITION_MAX = 15
Partition = Annotated[StrictInt, Field(ge=0, le=PARTITION_MAX)]


class RawMessage(Model):
    """A message as it lies on the log: text, or bytes as hexadecimal digits."""

    text: StrictStr | None = None
    hex: Annotated[StrictStr, Field(pattern=r"^([0-9a-fA-F]{2})*$")] | None = None
    partition: Partition = 0
    broker_time: Time | None = None


class Step(Model):
    """One thing that happens, or is expected to have happened."""

    events: list[dict[str, Any]] | None = None
    raw: Annotated[list[Annotated[RawMessage, spelled("text")]], BeforeValidator(listed)] | None = (
        None
    )
    watermark: Time | None = None
    advance: Duration | None = None
    now: Time | None = None
    idle: Partition | list[Partition] | None = None
    restart: dict[str, Any] | None = None
    expect: Expected | None = None
    expect_dead_letters: list[dict[str, Any]] | None = None


class TestSpec(Model):
    """A test with time: steps in order, then the final table."""

    __test__ = False

    name: StrictStr
    base: Annotated[StrictStr, Field(pattern=r"^\d{4}-\d\d-\d\d$")] = "2024-01-01"
    steps: Annotated[list[Step], Field(min_length=1)]
    expect: Expected | None = None
    expect_dead_letters: list[dict[str, Any]] | None = None


class TestFileSpec(Model):
    """Tests of a metric in a file of their own."""

    __test__ = False

    kind: Literal["test"]
    metric: Name
    name: StrictStr | None = None
    tests: Annotated[list[TestSpec], Field(min_length=1)]
