"""The Plan: what a job will do, as plain frozen data that every runtime reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipelinekit.codecs.base import FieldSpec
from pipelinekit.connectors.base import Budget
from pipelinekit.spec.expressions.tree import (
    OTHER,
    STATE_SUFFIX,
    Call,
    Expression,
    Literal,
    fields_of,
)
from pipelinekit.types import BOOL, STRING, Type
from pipelinekit.windows.base import Window
from pipelinekit.windows.session import Session


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """A topic and how its messages become events. `fields` holds only what is used."""

    name: str
    topic: str
    brokers: str
    format: str  # json
    fields: tuple[FieldSpec, ...]
    event_time: str  # field name
    id: str | None  # field name
    out_of_orderness_ms: int
    idle_after_ms: int
    max_future_skew_ms: int
    dead_letters_topic: str | None
    manage: str  # full | verify
    security: Mapping[str, object] | None = None  # secrets still by name

    def field(self, name: str) -> FieldSpec:
        return next(f for f in self.fields if f.name == name)


@dataclass(frozen=True, slots=True)
class KeyPlan:
    name: str
    expression: Expression
    values: tuple[str, ...] | None = None  # all others become `__other__`; null stays null
    max_values: int | None = None  # of one window; beyond it the run says so

    @property
    def type(self) -> Type:
        return self.expression.type

    @property
    def folded(self) -> Expression:
        """The expression with all values outside the list folded into one."""
        if self.values is None:
            return self.expression
        is_null = Call("is_null", (self.expression,), BOOL)
        known = Call("in", (self.expression, *(Literal(v, STRING) for v in self.values)), BOOL)
        stays = Call("or", (is_null, known), BOOL)
        return Call("case", (stays, self.expression, Literal(OTHER, STRING)), STRING)


@dataclass(frozen=True, slots=True)
class MeasurePlan:
    """One measure: aggregated (`measure` names a file of measures/) or derived from others."""

    name: str
    measure: str | None
    arguments: tuple[Expression, ...]
    filter: Expression | None
    derived: Expression | None  # over the results of the metric's other measures
    max_values: int | None
    hidden: bool
    type: Type
    nullable: bool
    fingerprint: str
    description: str = ""
    unit: str = ""
    state: Type | None = None  # of the column that holds its mergeable state, if there is one

    @property
    def state_column(self) -> str:
        return self.name + STATE_SUFFIX


@dataclass(frozen=True, slots=True)
class MetricPlan:
    """One metric. `grains[0]` is its own window, the others its rollups, finer to coarser.

    `fingerprint` covers what state depends on: key, filter, window and rollups. A retired metric is
    an older form of one that changed: its open windows run to their end beside the new ones.
    """

    name: str
    version: int
    fingerprint: str
    filter: Expression | None
    key: tuple[KeyPlan, ...]
    measures: tuple[MeasurePlan, ...]
    grains: tuple[Window, ...]
    allowed_lateness_ms: int
    emit_early_ms: int
    emit_late_ms: int
    sinks: tuple[str, ...]
    description: str = ""
    owner: str = ""
    slo_latency_p99_ms: int | None = None
    slo_freshness_ms: int | None = None
    is_retired: bool = False

    @property
    def state_name(self) -> str:
        """Under which name its state lies: another key, filter or window is another state."""
        return f"{self.name}@{self.fingerprint}"

    @property
    def id(self) -> str:
        """What tells it from every other of a job: its name, for the one that is not retired."""
        return self.state_name if self.is_retired else self.name

    @property
    def window(self) -> Window:
        return self.grains[0]

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """All that are evaluated over events: of its key, its filter and its measures."""
        measured = [e for m in self.measures for e in (*m.arguments, m.filter)]
        every = [*(k.expression for k in self.key), self.filter, *measured]
        return tuple(e for e in every if e is not None)

    @property
    def derived(self) -> tuple[Mapping[str, Expression], ...]:
        """Its derived measures in levels, each of which reads only levels before it."""
        left = {m.name: m.derived for m in self.measures if m.derived is not None}
        levels = []
        while left:
            ready = [n for n, e in left.items() if not fields_of(e) & left.keys()]
            if not ready:
                raise ValueError(f"derived measures read each other in a circle: {sorted(left)}")
            levels.append({name: left.pop(name) for name in ready})
        return tuple(levels)

    def closed_through(self, grain: Window, watermark_ms: int) -> int:
        """The end of the grain's last closed window; a session's row is closed when it leaves."""
        is_session = isinstance(grain, Session)
        passed = watermark_ms - self.allowed_lateness_ms if is_session else watermark_ms
        return grain.closed_through(passed)


@dataclass(frozen=True, slots=True)
class StagePlan:
    """A metric over the newest rows of another one: a view. `metric` counts those rows as events.

    Its expressions read the columns of the rows (spec/stages.row_types).
    """

    over: str
    metric: MetricPlan

    @property
    def name(self) -> str:
        return self.metric.name


@dataclass(frozen=True, slots=True)
class SinkPlan:
    """A sink by its type's own settings, secrets still by name (`{"secret": NAME}`)."""

    name: str
    type: str
    settings: Mapping[str, object]
    budget: Budget
    manage: str  # full | verify


@dataclass(frozen=True, slots=True)
class Plan:
    """One job: a source with all its metrics and the sinks they name."""

    job: str
    environment: str
    source: SourcePlan
    metrics: tuple[MetricPlan, ...]
    sinks: tuple[SinkPlan, ...]
    stages: tuple[StagePlan, ...] = ()

    def metric(self, name: str) -> MetricPlan:
        return next(m for m in self.metrics if m.name == name)
