"""What a file of kind `metric` may say: a metric over events, or one over another's rows."""

from collections.abc import Container
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StrictBool, StrictInt, StrictStr

from pipelinekit.spec.models.testing import TestSpec
from pipelinekit.spec.models.values import (
    Duration,
    Model,
    Name,
    Names,
    SpecName,
    listed,
    no_items,
    spelled,
)


class KeySpec(Model):
    """A column that rows are counted by; `values` folds all others into `__other__`.

    A run says when a window holds more than `max_values` of them; no row changes.
    """

    name: Name
    expr: StrictStr | None = None
    values: Annotated[list[StrictStr], Field(min_length=1, max_length=10_000)] | None = None
    max_values: Annotated[StrictInt, Field(ge=1, le=1_000_000_000)] | None = None
    description: StrictStr = ""


class MeasureSpec(Model):
    """An aggregate (`measure`), or one derived from others (`expr`, `ratio`, `rate_per_second`)."""

    measure: StrictStr | None = None
    expr: StrictStr | None = None
    ratio: Annotated[list[Name], Field(min_length=2, max_length=2)] | None = None
    rate_per_second: Name | None = None
    filter: StrictStr | None = None
    max_values: Annotated[StrictInt, Field(ge=1, le=1_000_000)] | None = None
    state: StrictBool = False
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
    key: Annotated[list[Annotated[KeySpec, spelled("name")]], BeforeValidator(listed)] = Field(
        default_factory=no_items
    )
    measures: Annotated[dict[Name, Annotated[MeasureSpec, spelled("measure")]], Field(min_length=1)]
    window: Annotated[WindowSpec, spelled("tumbling")]
    lateness: LatenessSpec
    emit: EmitSpec | None = None
    rollups: list[Annotated[RollupSpec, spelled("size")]] = Field(default_factory=no_items)
    sink: Names
    slo: SloSpec | None = None
    version: Annotated[StrictInt, Field(ge=1, le=999)] = 1
    tests: list[TestSpec] = Field(default_factory=no_items)


class StageSpec(Model):
    """A second stage: a metric over the rows of another one, as a view beside its tables."""

    kind: Literal["metric"]
    name: SpecName
    description: StrictStr = ""
    owner: StrictStr = ""
    from_: Annotated[Name, Field(alias="from")]
    filter: StrictStr | None = None
    key: Annotated[list[Annotated[KeySpec, spelled("name")]], BeforeValidator(listed)] = Field(
        default_factory=no_items
    )
    measures: Annotated[dict[Name, Annotated[MeasureSpec, spelled("measure")]], Field(min_length=1)]
    window: Annotated[WindowSpec, spelled("tumbling")]
    tests: list[TestSpec] = Field(default_factory=no_items)


def metric_model(keys: Container[str]) -> type[MetricSpec] | type[StageSpec]:
    """Which kind of metric a file with these keys describes."""
    return StageSpec if "from" in keys else MetricSpec
