"""The typed specs: what each kind of file may say. pydantic stays in here.

Shorthands (`views: count()`, `key: [country]`, `sink: warehouse`) are spelled out before they are
read, so that every model has one form and every error one place.
"""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
)
from pydantic_core import PydanticCustomError

from pipelinekit.spec.variables import is_open
from pipelinekit.types import Type, parse_type
from pipelinekit.units import parse_duration_ms

NAME = re.compile(r"[a-z][a-z0-9_]{0,47}", re.ASCII)
RESERVED_SUFFIX = re.compile(r"_(?:\d+(?:ms|s|m|h|d|w|mo)|session|v\d+)", re.ASCII)
SECRET_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
COLUMN_NAMES = frozenset(
    ("window_start", "window_end", "window_date", "_events", "_late", "_version", "_watermark")
)


def check_name(value: str) -> str:
    """A name of a spec, or an error that says the rule."""
    if not NAME.fullmatch(value):
        raise PydanticCustomError(
            "name",
            '"{value}" is no name: small letters, digits and _, a letter first, 48 at most',
            {"value": value[:60]},
        )
    if "__" in value:
        raise PydanticCustomError("name", '"{value}" holds a double underscore', {"value": value})
    return value


def check_open_name(value: str) -> str:
    """A name, or a variable that no environment filled."""
    return value if is_open(value) else check_name(value)


def check_spec_name(value: str) -> str:
    """A name whose tables can't be taken for another's."""
    check_name(value)
    if found := re.search(RESERVED_SUFFIX.pattern + "$", value):
        raise PydanticCustomError(
            "name",
            '"{value}" ends in "{suffix}", as tables of a grain or version do',
            {"value": value, "suffix": found[0]},
        )
    return value


def _duration(value: Any) -> Any:
    if not isinstance(value, str):
        raise PydanticCustomError(
            "duration",
            "{value} has no unit: a duration is a whole number and one of ms s m h d w",
            {"value": str(value)},
        )
    try:
        return parse_duration_ms(value)
    except ValueError as error:
        raise PydanticCustomError("duration", "{why}", {"why": str(error)}) from None


def _type(value: Any) -> Any:
    if isinstance(value, Type):
        return value
    if not isinstance(value, str):
        raise PydanticCustomError("type", "{value} is not a type", {"value": str(value)})
    try:
        return parse_type(value)
    except ValueError as error:
        raise PydanticCustomError("type", "{why}", {"why": str(error)}) from None


def _spelled(key: str) -> BeforeValidator:
    """`text` stands for `{key: text}`."""
    return BeforeValidator(lambda value: {key: value} if isinstance(value, str) else value)


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Name = Annotated[StrictStr, AfterValidator(check_name)]
OpenName = Annotated[StrictStr, AfterValidator(check_open_name)]
SpecName = Annotated[StrictStr, AfterValidator(check_spec_name)]
Duration = Annotated[int, BeforeValidator(_duration)]
FieldType = Annotated[Type, BeforeValidator(_type)]
Names = Annotated[list[Name], BeforeValidator(_listed), Field(min_length=1)]
Texts = Annotated[list[StrictStr], BeforeValidator(_listed), Field(min_length=1)]
Manage = Literal["full", "verify"]
Value = StrictStr | StrictBool | StrictInt | float | None


class Model(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        defer_build=True,
        arbitrary_types_allowed=True,
        populate_by_name=False,
    )


class Secret(Model):
    """A password by name: the environment variable, or the file /run/secrets/NAME."""

    secret: Annotated[StrictStr, Field(pattern=f"^{SECRET_NAME.pattern}$")]


class Sasl(Model):
    """Who we are, by name and password; always over TLS."""

    mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = "SCRAM-SHA-512"
    username: StrictStr
    password: Secret


class Tls(Model):
    """Whom we trust, and who we are by certificate; PEM files on every machine that runs it."""

    ca: StrictStr | None = None
    certificate: StrictStr | None = None
    key: StrictStr | None = None
    key_password: Secret | None = None
    verify_hostname: StrictBool = True


class SecuritySpec(Model):
    """How Kafka's brokers and we know each other; without it in clear and without a name."""

    sasl: Sasl | None = None
    tls: Tls = Tls()


# --- source -------------------------------------------------------------------------------------


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
    fields: Annotated[dict[Name, Annotated[SourceField, _spelled("type")]], Field(min_length=1)]
    id: Name | None = None
    event_time: EventTime
    dead_letters: Annotated[DeadLetters, _spelled("topic")] | None = None
    manage: Manage | None = None
    security: SecuritySpec | None = None


# --- sinks --------------------------------------------------------------------------------------


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

# --- metric -------------------------------------------------------------------------------------


class KeySpec(Model):
    """A column that rows are counted by; `values` folds all others into `__other__`."""

    name: Name
    expr: StrictStr | None = None
    values: Annotated[list[StrictStr], Field(min_length=1, max_length=10_000)] | None = None
    description: StrictStr = ""


class MeasureSpec(Model):
    """An aggregate (`measure`), or one derived from others (`expr`, `ratio`, `rate_per_second`)."""

    measure: StrictStr | None = None
    expr: StrictStr | None = None
    ratio: Annotated[list[Name], Field(min_length=2, max_length=2)] | None = None
    rate_per_second: Name | None = None
    filter: StrictStr | None = None
    max_values: Annotated[StrictInt, Field(ge=1, le=1_000_000)] | None = None
    hidden: StrictBool = False
    description: StrictStr = ""
    unit: StrictStr = ""


class WindowSpec(Model):
    """How event time is cut: tumbling, sliding + every, session (+ max) or cumulative + every."""

    tumbling: StrictStr | None = None
    sliding: StrictStr | None = None
    session: StrictStr | None = None
    cumulative: StrictStr | None = None
    every: StrictStr | None = None
    max: StrictStr | None = None
    timezone: StrictStr | None = None


class RollupSpec(Model):
    """A coarser grain from the same pass."""

    size: StrictStr
    timezone: StrictStr | None = None


class LatenessSpec(Model):
    """For how long after a window's end corrections are taken."""

    allowed: Duration


class EmitSpec(Model):
    """How often changed rows leave while a window is open, and after it closed."""

    early: Duration = 200
    late: Duration = 1_000


class SloSpec(Model):
    latency_p99: Duration | None = None
    freshness: Duration | None = None


class MetricSpec(Model):
    """One metric: what is counted, by what, in which windows, how late, and where rows go."""

    kind: Literal["metric"]
    name: SpecName
    description: StrictStr = ""
    owner: StrictStr = ""
    source: Name
    filter: StrictStr | None = None
    key: Annotated[list[Annotated[KeySpec, _spelled("name")]], BeforeValidator(_listed)] = Field(
        default_factory=list
    )
    measures: Annotated[
        dict[Name, Annotated[MeasureSpec, _spelled("measure")]], Field(min_length=1)
    ]
    window: Annotated[WindowSpec, _spelled("tumbling")]
    lateness: LatenessSpec
    emit: EmitSpec | None = None
    rollups: list[Annotated[RollupSpec, _spelled("size")]] = Field(default_factory=list)
    sink: Names
    slo: SloSpec | None = None
    version: Annotated[StrictInt, Field(ge=1, le=999)] = 1
    tests: list[TestSpec] = Field(default_factory=list)


class StageSpec(Model):
    """A second stage: a metric over the rows of another one, as a view beside its tables."""

    kind: Literal["metric"]
    name: SpecName
    description: StrictStr = ""
    owner: StrictStr = ""
    from_: Annotated[Name, Field(alias="from")]
    filter: StrictStr | None = None
    key: Annotated[list[Annotated[KeySpec, _spelled("name")]], BeforeValidator(_listed)] = Field(
        default_factory=list
    )
    measures: Annotated[
        dict[Name, Annotated[MeasureSpec, _spelled("measure")]], Field(min_length=1)
    ]
    window: Annotated[WindowSpec, _spelled("tumbling")]
    tests: list[TestSpec] = Field(default_factory=list)


def metric_model(keys: Container[str]) -> type[MetricSpec] | type[StageSpec]:
    """Which kind of metric a file with these keys describes."""
    return StageSpec if "from" in keys else MetricSpec


# --- tests with time ----------------------------------------------------------------------------


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
    raw: (
        Annotated[list[Annotated[RawMessage, _spelled("text")]], BeforeValidator(_listed)] | None
    ) = None
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


# --- project ------------------------------------------------------------------------------------


class DefaultsSpec(Model):
    """What metrics say nothing about."""

    owner: StrictStr | None = None
    sink: Names | None = None
    lateness: LatenessSpec | None = None
    emit: EmitSpec | None = None


class ProjectSpec(Model):
    """pipelinekit.yaml: the project's version, environments and defaults."""

    spec_version: Literal[1]
    defaults: DefaultsSpec = DefaultsSpec()
    environments: dict[Name, dict[str, StrictStr | StrictBool | StrictInt]] = Field(
        default_factory=dict
    )
