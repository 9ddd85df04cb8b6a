"""What resolving gives: a metric's names looked up and its expressions typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pipelinekit.diagnostics import Diagnostic
from pipelinekit.measures.base import Measure
from pipelinekit.spec.expressions.tree import Expression
from pipelinekit.spec.models.metric import MeasureSpec, MetricSpec, StageSpec
from pipelinekit.spec.models.source import SourceSpec
from pipelinekit.spec.project import Loaded, Project
from pipelinekit.types import Type
from pipelinekit.windows.base import Window


class ResolvedKey(NamedTuple):
    name: str
    expression: Expression
    values: tuple[str, ...] | None
    max_values: int | None


class ResolvedMeasure(NamedTuple):
    """An aggregated measure (`kind` and arguments) or a derived one (`derived`)."""

    name: str
    spec: MeasureSpec
    kind: Measure | None
    arguments: tuple[Expression, ...]
    filter: Expression | None
    derived: Expression | None
    type: Type
    nullable: bool


class ResolvedMetric(NamedTuple):
    """A metric that a plan can be built from."""

    loaded: Loaded[MetricSpec]
    source: Loaded[SourceSpec]
    filter: Expression | None
    key: tuple[ResolvedKey, ...]
    measures: tuple[ResolvedMeasure, ...]
    grains: tuple[Window, ...]

    @property
    def spec(self) -> MetricSpec:
        return self.loaded.spec


class ResolvedStage(NamedTuple):
    """A metric over the rows of `over`; its expressions read that metric's columns."""

    loaded: Loaded[StageSpec]
    over: ResolvedMetric
    filter: Expression | None
    key: tuple[ResolvedKey, ...]
    measures: tuple[ResolvedMeasure, ...]
    grains: tuple[Window, ...]

    @property
    def spec(self) -> StageSpec:
        return self.loaded.spec

    @property
    def source(self) -> Loaded[SourceSpec]:
        """Where the events come from that its rows follow from."""
        return self.over.source


@dataclass(frozen=True, slots=True, eq=False)
class Resolved:
    """The metrics that resolved, and the findings of all."""

    project: Project
    metrics: Mapping[str, ResolvedMetric]
    findings: tuple[Diagnostic, ...]
    stages: Mapping[str, ResolvedStage] = field(default_factory=dict)

    @property
    def all_metrics(self) -> Mapping[str, ResolvedMetric | ResolvedStage]:
        """Metrics over events, then those over another's rows."""
        return {**self.metrics, **self.stages}
