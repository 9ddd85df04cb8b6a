"""A metric made ready for the stream: its expressions as polars, its measures as aggregations.

Expressions that several metrics share are evaluated once a slice: `Columns` hands out one column
name for each distinct expression.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import polars as pl

from pipelinekit.measures.base import Accumulator, Inputs, Measure
from pipelinekit.plan.model import KeyPlan, MeasurePlan, MetricPlan, SourcePlan
from pipelinekit.spec.constants import bound_measure
from pipelinekit.spec.expressions.to_polars import to_polars
from pipelinekit.spec.expressions.tree import Expression, Field

EVENT_TIME = "__time"  # int64 ms
START = "__start"  # of a window, int64 ms; what it names beside FIRST, LAST, ON_TIME: placing.py
FIRST = "__first"
LAST = "__last"
ON_TIME = "__on_time"
EVENTS = "__events"


def late_column(grain: int) -> str:
    """The partial's column that counts events late for the metric's grain of that place."""
    return f"__late_{grain}"


@dataclass(slots=True)
class Columns:
    """Computed columns of a slice, each distinct expression once."""

    exprs: dict[str, pl.Expr] = field(default_factory=dict)
    _names: dict[object, str] = field(default_factory=dict)

    def of(self, expression: Expression) -> str:
        """The column that holds the expression: a source field's own, or a computed one."""
        if isinstance(expression, Field):
            return expression.name
        return self._add(expression, lambda: to_polars(expression))

    def mask(self, expression: Expression) -> str:
        """A boolean column, null counted as false."""
        return self._add(("mask", expression), lambda: to_polars(expression).fill_null(False))

    def folded(self, key: KeyPlan) -> str:
        """The key's column, with values outside its list folded into one; null stays null."""
        return self.of(key.folded)

    def filtered(self, expression: Expression, mask: Expression | None) -> str:
        """The expression's column, null where the mask doesn't hold."""
        if mask is None:
            return self.of(expression)

        def make() -> pl.Expr:
            return pl.when(to_polars(mask).fill_null(False)).then(to_polars(expression))

        return self._add(("filter", expression, mask), make)

    def _add(self, key: object, make: Callable[[], pl.Expr]) -> str:
        if key not in self._names:
            name = f"__{len(self._names)}"
            self._names[key] = name
            self.exprs[name] = make().alias(name)
        return self._names[key]


@dataclass(frozen=True, slots=True)
class StateColumn:
    """One accumulator of one measure, under its name in partials and panes."""

    name: str
    accumulator: Accumulator


@dataclass(frozen=True, slots=True, eq=False)
class CompiledMeasure:
    plan: MeasurePlan
    measure: Measure
    arguments: tuple[Expression, ...]  # without constants
    columns: tuple[StateColumn, ...]


@dataclass(frozen=True, slots=True, eq=False)
class CompiledMetric:
    """`keys` and `filter` name columns of the slice; `aggregations` make a partial."""

    plan: MetricPlan
    filter: str | None
    keys: tuple[str, ...]
    aggregations: tuple[pl.Expr, ...]
    measures: tuple[CompiledMeasure, ...]

    @property
    def state_columns(self) -> tuple[StateColumn, ...]:
        return tuple(column for measure in self.measures for column in measure.columns)


def compile_measures(plan: MetricPlan, source: SourcePlan) -> tuple[CompiledMeasure, ...]:
    """The aggregated (not the derived) measures with their state's columns."""
    id_type = None if source.id is None else source.field(source.id).type
    compiled = []
    for measure in plan.measures:
        if measure.measure is None:
            continue
        kind, arguments = bound_measure(measure.measure, measure.arguments)
        types = [a.type for a in arguments]
        columns = tuple(
            StateColumn(f"{measure.name}.{a.name}", a)
            for a in kind.accumulators(types, measure.max_values, id_type)
        )
        compiled.append(CompiledMeasure(measure, kind, tuple(arguments), columns))
    return tuple(compiled)


def compile_metric(plan: MetricPlan, source: SourcePlan, columns: Columns) -> CompiledMetric:
    """The metric over a slice's frame; what must be computed is added to `columns`."""
    measures = compile_measures(plan, source)
    aggregations = [pl.len().cast(pl.Int64).alias(EVENTS)]
    for compiled in measures:
        measure = compiled.plan
        inputs = Inputs(
            values=tuple(pl.col(columns.filtered(a, measure.filter)) for a in compiled.arguments),
            included=None if measure.filter is None else pl.col(columns.mask(measure.filter)),
            event_time=pl.col(EVENT_TIME),
            id=None if source.id is None else pl.col(source.id),
        )
        parts = compiled.measure.partial(inputs, [a.type for a in compiled.arguments])
        aggregations += [
            part.alias(c.name) for part, c in zip(parts, compiled.columns, strict=True)
        ]
    return CompiledMetric(
        plan=plan,
        filter=None if plan.filter is None else columns.mask(plan.filter),
        keys=tuple(columns.folded(key) for key in plan.key),
        aggregations=tuple(aggregations),
        measures=measures,
    )


def fields_read(metrics: Sequence[CompiledMetric], columns: Columns) -> frozenset[str]:
    """Names of the source's fields that the metrics read, among names of other columns."""
    read = {name for metric in metrics for name in metric.keys}
    read.update(metric.filter for metric in metrics if metric.filter is not None)
    for expression in [*columns.exprs.values(), *(a for m in metrics for a in m.aggregations)]:
        read.update(expression.meta.root_names())
    return frozenset(read)
