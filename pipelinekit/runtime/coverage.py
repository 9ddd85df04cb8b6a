"""Which branches of a metric its tests reach: conditions, folded values, lateness, dead letters.

A branch is reached when an event takes it; of a second stage, when a row does that there is at the
end of a test. What the filter leaves out reaches nothing but the filter. What derived measures
branch on is not looked at: their rows are compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from pipelinekit.catalog import codec as find_codec
from pipelinekit.data import Outcome, RawBatch
from pipelinekit.engine.compile import EVENTS, FIRST, ON_TIME, START, late_column
from pipelinekit.engine.ingest import Slice
from pipelinekit.plan.model import MetricPlan, Plan
from pipelinekit.plan.tables import tables_of
from pipelinekit.runtime.outcome import Row
from pipelinekit.runtime.stage_rows import row_frame
from pipelinekit.spec.expressions.render import render
from pipelinekit.spec.expressions.to_polars import to_polars
from pipelinekit.spec.expressions.tree import OTHER, Call, Expression, Field, Literal
from pipelinekit.windows.session import Session

_TRUE = pl.lit(True)
# These may give null though their arguments are not null.
_PARTIAL = frozenset(
    ("/", "%", "cast", "nullif", "split_part", "url_path", "regexp_extract", "substring")
)


@dataclass(frozen=True, slots=True)
class Branch:
    """One way that an event may take: `place` is the filter, a key, a measure, or lateness."""

    place: str
    what: str


@dataclass(slots=True)
class Coverage:
    """How many events of a metric's tests took each branch; of a stage, how many rows.

    A plan's only metric is meant, or the stage over it if the plan has one.
    """

    plan: Plan
    reached: dict[Branch, int] = field(default_factory=dict)
    _conditions: dict[Branch, pl.Expr] = field(default_factory=dict)

    def __post_init__(self) -> None:
        metric = self.plan.metrics[0]
        if self.plan.stages:
            nullable = frozenset(c.name for c in tables_of(metric)[0].columns if c.nullable)
            stage = self.plan.stages[0].metric
            self._conditions = dict(_conditions(stage, nullable))
            self.reached = dict.fromkeys(self._conditions, 0)
        else:
            self._conditions = dict(_conditions(metric, self._nullable()))
            self.reached = dict.fromkeys((*self._conditions, *_outcomes(metric)), 0)

    def see_rows(self, rows: Sequence[Row]) -> None:
        """Count what the rows that a stage is over reached."""
        if rows:
            self._see(row_frame(self.plan.stages[0].metric, rows))

    def see(self, batch: RawBatch, result: Slice) -> None:
        """Count what the batch's events reached; nothing for a stage."""
        if self.plan.stages:
            return
        source = self.plan.source
        decoded = find_codec(source.format)(source.fields, source.event_time).decode(
            batch.values, batch.headers
        )
        brokers = batch.broker_times_ms
        if decoded.indices is not None:
            brokers = brokers[decoded.indices]
        accepted = decoded.event_times_ms <= brokers + source.max_future_skew_ms
        self._see(decoded.frame.filter(pl.Series(accepted)))
        self._see_outcomes(result)

    def _see(self, frame: pl.DataFrame) -> None:
        if frame.height and self._conditions:
            found = frame.select(
                condition.fill_null(False).sum().alias(str(place))
                for place, condition in enumerate(self._conditions.values())
            )
            for branch, count in zip(self._conditions, found.row(0), strict=True):
                self.reached[branch] += int(count)

    def _see_outcomes(self, result: Slice) -> None:
        counts = dict.fromkeys(Outcome, 0)
        for (_, _, outcome), count in result.counts.items():
            counts[outcome] += count
        late = sum(_late(partial.frame) for partial in result.partials)
        total = sum(int(partial.frame[EVENTS].sum()) for partial in result.partials)
        for branch, count in (
            (_ON_TIME, total - late),
            (_CORRECTED, late),
            (_TOO_LATE, counts[Outcome.TOO_LATE]),
            (_INVALID, counts[Outcome.INVALID]),
        ):
            if branch in self.reached:
                self.reached[branch] += count

    def _nullable(self) -> frozenset[str]:
        fields = self.plan.source.fields
        return frozenset(f.name for f in fields if f.optional and f.default is None)


_ON_TIME = Branch("lateness", "on time")
_CORRECTED = Branch("lateness", "corrected")
_TOO_LATE = Branch("lateness", "too late")
_INVALID = Branch("dead letters", "invalid")


def _outcomes(metric: MetricPlan) -> Iterator[Branch]:
    yield _ON_TIME
    # A session's row leaves once: nothing corrects it.
    if metric.allowed_lateness_ms and not isinstance(metric.window, Session):
        yield _CORRECTED
    yield _TOO_LATE
    yield _INVALID


def _late(frame: pl.DataFrame) -> int:
    """How many of a partial's events were late for a window that they count in."""
    if late_column(0) in frame.columns:
        return int(frame[late_column(0)].sum())
    if ON_TIME in frame.columns:
        first = pl.col(FIRST if FIRST in frame.columns else START)
        return int(frame.filter(first < pl.col(ON_TIME))[EVENTS].sum())
    return 0


def _conditions(metric: MetricPlan, nullable: frozenset[str]) -> Iterator[tuple[Branch, pl.Expr]]:
    """The branches that an event's fields decide, each with who takes it."""
    counted = _TRUE
    if metric.filter is not None:
        yield from _truths("filter", metric.filter, _TRUE, nullable)
        yield from _cases("filter", metric.filter, _TRUE)
        counted = to_polars(metric.filter).fill_null(False)
    for key in metric.key:
        place = f"key {key.name}"
        yield from _cases(place, key.expression, counted)
        if key.values is not None:
            yield Branch(place, OTHER), counted & (to_polars(key.folded) == OTHER)
    for measure in metric.measures:
        place = f"measure {measure.name}"
        included = counted
        if measure.filter is not None:
            where = f"{place} filter"
            yield from _truths(where, measure.filter, counted, nullable)
            yield from _cases(where, measure.filter, counted)
            included = counted & to_polars(measure.filter).fill_null(False)
        for argument in measure.arguments:
            yield from _cases(place, argument, included)


def _truths(
    place: str, condition: Expression, reached: pl.Expr, nullable: frozenset[str]
) -> Iterator[tuple[Branch, pl.Expr]]:
    holds = to_polars(condition)
    yield Branch(place, "true"), reached & holds.fill_null(False)
    yield Branch(place, "false"), reached & ~holds.fill_null(True)
    if _may_be_null(condition, nullable):
        yield Branch(place, "null"), reached & holds.is_null()


def _cases(
    place: str, expression: Expression, reached: pl.Expr
) -> Iterator[tuple[Branch, pl.Expr]]:
    """The branches of every `case` in the expression, those inside of branches too."""
    if not isinstance(expression, Call):
        return
    if expression.function != "case":
        for argument in expression.arguments:
            yield from _cases(place, argument, reached)
        return
    *pairs, otherwise = expression.arguments
    left = reached
    for condition, value in zip(pairs[::2], pairs[1::2], strict=True):
        yield from _cases(place, condition, left)
        holds = to_polars(condition).fill_null(False)
        yield Branch(place, f"when {render(condition)}"), left & holds
        yield from _cases(place, value, left & holds)
        left = left & ~holds
    yield Branch(place, f"else of when {render(pairs[0])}"), left
    yield from _cases(place, otherwise, left)


def _may_be_null(expression: Expression, nullable: frozenset[str]) -> bool:
    match expression:
        case Literal(value=value):
            return value is None
        case Field(name=name):
            return name in nullable
        case Call(function="is_null"):
            return False
        case Call(function="coalesce", arguments=arguments):
            return all(_may_be_null(a, nullable) for a in arguments)
        case Call(function="case", arguments=arguments):
            return any(_may_be_null(a, nullable) for a in (*arguments[1:-1:2], arguments[-1]))
        case Call(function=function, arguments=arguments):
            inner = any(_may_be_null(a, nullable) for a in arguments)
            return inner or function in _PARTIAL


def places(reached: Mapping[Branch, int]) -> dict[str, dict[str, int]]:
    """By place its branches with their events, in the metric's order."""
    found: dict[str, dict[str, int]] = {}
    for branch, count in reached.items():
        found.setdefault(branch.place, {})[branch.what] = count
    return found


def text(metric: str, reached: Mapping[Branch, int]) -> str:
    """A metric's coverage as an aligned table."""
    done = sum(count > 0 for count in reached.values())
    lines = [f"{metric}: {done} of {len(reached)} branches"]
    by_place = places(reached)
    width = max(map(len, by_place), default=0)
    for place, branches in by_place.items():
        shown = [f"{what} {count or 'NEVER'}" for what, count in branches.items()]
        lines.append(f"  {place:<{width}}  {', '.join(shown)}")
    return "\n".join(lines) + "\n"


def document(metric: str, reached: Mapping[Branch, int]) -> dict[str, object]:
    """A metric's coverage for JSON."""
    listed: Sequence[dict[str, object]] = [
        {"place": b.place, "branch": b.what, "events": count} for b, count in reached.items()
    ]
    done = sum(count > 0 for count in reached.values())
    return {"metric": metric, "reached": done, "branches": listed}
