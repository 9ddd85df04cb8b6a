"""A project's metrics with every name looked up and every expression typed; parsed once, kept."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from zoneinfo import available_timezones

from pipelinekit.catalog import all_measures
from pipelinekit.diagnostics import Diagnostic, Span
from pipelinekit.measures.base import Measure
from pipelinekit.spec.document import Path, Scalar
from pipelinekit.spec.expressions.parse import parse_expression, parse_measure
from pipelinekit.spec.expressions.tree import Call, Expression, fields_of
from pipelinekit.spec.expressions.tree import Field as FieldRef
from pipelinekit.spec.models import MeasureSpec, MetricSpec, SourceSpec
from pipelinekit.spec.project import Loaded, Project
from pipelinekit.spec.shape import dotted
from pipelinekit.types import BOOL, FLOAT, STRING, Kind, Type
from pipelinekit.units import DAY_MS, parse_duration_ms
from pipelinekit.windows.base import Window
from pipelinekit.windows.tumbling import CALENDAR_UNITS, CalendarTumbling, Tumbling

# Measures that the language has and this version does not build.
NOT_BUILT_MEASURES = frozenset(
    (
        *("variance", "stddev", "approx_count_distinct", "approx_quantile", "histogram"),
        *("most_frequent", "rate_per_second", "funnel_step"),
    )
)


@dataclass(frozen=True, slots=True)
class ResolvedKey:
    name: str
    expression: Expression
    values: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class ResolvedMeasure:
    """An aggregated measure (`kind` and arguments) or a derived one (`derived`)."""

    name: str
    spec: MeasureSpec
    kind: Measure | None
    arguments: tuple[Expression, ...]
    filter: Expression | None
    derived: Expression | None
    type: Type
    nullable: bool


@dataclass(frozen=True, slots=True)
class ResolvedMetric:
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


@dataclass(frozen=True, slots=True)
class Resolved:
    """The metrics that resolved, and the findings of all."""

    project: Project
    metrics: Mapping[str, ResolvedMetric]
    findings: tuple[Diagnostic, ...]


def resolve(project: Project) -> Resolved:
    """Every metric of the project resolved, or findings that say why not."""
    metrics = {}
    findings: list[Diagnostic] = []
    for name, loaded in project.metrics.items():
        resolver = _Resolver(project, loaded)
        metric = resolver.metric()
        findings += resolver.findings
        if metric is not None and not resolver.findings:
            metrics[name] = metric
    return Resolved(project, metrics, tuple(findings))


def field_types(source: SourceSpec) -> dict[str, Type]:
    """The typed columns that expressions may use."""
    return {name: spec.type for name, spec in source.fields.items()}


@dataclass(slots=True)
class _Resolver:
    project: Project
    loaded: Loaded[MetricSpec]
    findings: list[Diagnostic] = field(default_factory=list)

    def metric(self) -> ResolvedMetric | None:
        spec = self.loaded.spec
        self._sinks(spec.sink)
        grains = self._grains(spec)
        source = self.project.sources.get(spec.source)
        if source is None:
            self._unknown_source(spec.source)
            return None
        types = field_types(source.spec)
        where = self._condition(spec.filter, types, ("filter",))
        keys = self._keys(spec, types)
        measures = self._measures(spec, source.spec, types)
        return ResolvedMetric(self.loaded, source, where, keys, measures, grains)

    # --- names ----------------------------------------------------------------------------------

    def _sinks(self, names: Sequence[str]) -> None:
        for place, name in enumerate(names):
            if name not in self.project.sinks:
                path: Path = ("sink", place) if len(names) > 1 else ("sink",)
                help = self._nearest(name, list(self.project.sinks), "sink")
                self._add("PK404", f'there is no sink "{name}"', path, help)

    def _unknown_source(self, name: str) -> None:
        help = self._nearest(name, list(self.project.sources), "source")
        self._add("PK402", f'there is no source "{name}"', ("source",), help)

    def _nearest(self, name: str, known: list[str], what: str) -> str:
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        if close:
            return f"did you mean {close[0]}?"
        return f"the {what}s are {', '.join(known)}" if known else f"add {what}s/{name}.yaml"

    # --- windows --------------------------------------------------------------------------------

    def _grains(self, spec: MetricSpec) -> tuple[Window, ...]:
        found = [self._window(spec.window.tumbling, spec.window.timezone, ("window", "tumbling"))]
        found += [
            self._window(r.size, r.timezone, ("rollups", place, "size"))
            for place, r in enumerate(spec.rollups)
        ]
        return tuple(w for w in found if w is not None)

    def _window(self, size: str, timezone: str | None, path: Path) -> Window | None:
        if timezone is not None and timezone not in available_timezones():
            self._add(
                "PK303",
                f'"{timezone}" is no time zone',
                (*path[:-1], "timezone"),
                "write it as Europe/Brussels",
            )
            return None
        text = {"7d": "1w", "24h": "1d"}.get(size, size)
        if text in CALENDAR_UNITS:
            return CalendarTumbling(text, timezone or "UTC")
        try:
            size_ms = parse_duration_ms(size)
        except ValueError as error:
            self._add("PK300", str(error), path, "write it as 10s, 1m, 1h, 1d, 1w or 1mo")
            return None
        if size_ms >= DAY_MS or size_ms == 0:
            rule = "below a day any length; from a day on 1d, 1w or 1mo"
            self._add("PK301", f"{size} is no window: {rule}", path)
            return None
        if DAY_MS % size_ms:
            self._add(
                "PK301",
                f"{size} does not divide a day: windows would drift",
                path,
                "take a length that divides 24 h",
            )
            return None
        if timezone is not None:
            self._add(
                "PK303",
                f"a window of {size} lies in UTC",
                (*path[:-1], "timezone"),
                "a time zone goes with 1d, 1w and 1mo",
            )
            return None
        return Tumbling(size_ms)

    # --- expressions ----------------------------------------------------------------------------

    def _expression(self, text: str, types: Mapping[str, Type], path: Path) -> Expression | None:
        parsed = parse_expression(text, types)
        for problem in parsed.problems:
            span = self._inside(path, problem.start, problem.end)
            self._add(problem.code, problem.message, path, problem.help, span)
        return parsed.expression

    def _condition(
        self, text: str | None, types: Mapping[str, Type], path: Path
    ) -> Expression | None:
        if text is None:
            return None
        expression = self._expression(text, types, path)
        if expression is not None and expression.type != BOOL:
            self._add(
                "PK203",
                f"a filter is a condition, and this is {expression.type}",
                path,
                "compare it with something",
            )
            return None
        return expression

    def _keys(self, spec: MetricSpec, types: Mapping[str, Type]) -> tuple[ResolvedKey, ...]:
        keys = []
        for place, key in enumerate(spec.key):
            path: Path = ("key", place) if key.expr is None else ("key", place, "expr")
            if key.expr is None and isinstance(self.loaded.document.node(("key",)), Scalar):
                path = ("key",)
            expression = self._expression(key.expr or key.name, types, path)
            if expression is None:
                continue
            if expression.type.kind in (Kind.LIST, Kind.FLOAT):
                self._add(
                    "PK203",
                    f"a key can't be a {expression.type}",
                    path,
                    "use a text, a whole number, a decimal, a bool or a time",
                )
                continue
            values = None if key.values is None else tuple(key.values)
            if values is not None and expression.type != STRING:
                self._add(
                    "PK203",
                    f"values are texts, and the key is {expression.type}",
                    ("key", place, "values"),
                )
                continue
            keys.append(ResolvedKey(key.name, expression, values))
        return tuple(keys)

    # --- measures -------------------------------------------------------------------------------

    def _measures(
        self, spec: MetricSpec, source: SourceSpec, types: Mapping[str, Type]
    ) -> tuple[ResolvedMeasure, ...]:
        found: dict[str, ResolvedMeasure] = {}
        derived = {}
        for name, measure in spec.measures.items():
            given = [k for k in ("measure", "expr", "ratio") if getattr(measure, k) is not None]
            if len(given) != 1:
                self._add(
                    "PK207",
                    f"{name} needs one of measure, expr and ratio, and has "
                    f"{' and '.join(given) or 'none'}",
                    ("measures", name),
                )
            elif measure.measure is None:
                derived[name] = measure
            elif (resolved := self._aggregate(name, measure, source, types)) is not None:
                found[name] = resolved
        self._derived(spec, derived, found)
        return tuple(found[name] for name in spec.measures if name in found)

    def _aggregate(
        self, name: str, measure: MeasureSpec, source: SourceSpec, types: Mapping[str, Type]
    ) -> ResolvedMeasure | None:
        path = self._measure_path(name)
        assert measure.measure is not None
        where = self._condition(measure.filter, types, ("measures", name, "filter"))
        parsed = parse_measure(measure.measure, types)
        for problem in parsed.problems:
            span = self._inside(path, problem.start, problem.end)
            self._add(problem.code, problem.message, path, problem.help, span)
        if parsed.name is None or parsed.problems:
            return None
        place = self._inside(path, 0, len(parsed.name))
        kind = all_measures().get(parsed.name)
        if kind is None:
            self._unknown_measure(parsed.name, path, place)
            return None
        if not self._arguments_fit(kind, parsed.arguments, measure, source, path, name):
            return None
        try:
            result = kind.result_type([a.type for a in parsed.arguments])
        except TypeError as error:
            self._add("PK203", str(error), path)
            return None
        return ResolvedMeasure(
            name, measure, kind, parsed.arguments, where, None, result, kind.is_nullable()
        )

    def _unknown_measure(self, name: str, path: Path, place: Span) -> None:
        if name in NOT_BUILT_MEASURES:
            self._add(
                "PK110",
                f"{name}() can't be used yet: the language has it, this version does not build it",
                path,
                None,
                place,
            )
            return
        known = list(all_measures())
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        help = f"did you mean {close[0]}()?" if close else f"the measures are {', '.join(known)}"
        self._add("PK204", f'unknown measure "{name}"', path, help, place)

    def _arguments_fit(
        self,
        kind: Measure,
        arguments: Sequence[Expression],
        measure: MeasureSpec,
        source: SourceSpec,
        path: Path,
        name: str,
    ) -> bool:
        most = len(kind.signature.arguments)
        least = most - kind.signature.optional_arguments
        before = len(self.findings)
        if not least <= len(arguments) <= most:
            usage = f"{kind.name}({', '.join(kind.signature.arguments)})"
            self._add(
                "PK203",
                f"{kind.name} takes {most} argument{'s' * (most != 1)}, {len(arguments)} are given",
                path,
                f"it is {usage}",
            )
        if kind.signature.needs_id and source.id is None:
            self._add(
                "PK208",
                f"{kind.name} orders ties by id, and the source {source.name} declares none",
                path,
                "set id: in the source",
            )
        if kind.signature.needs_max_values and measure.max_values is None:
            self._add(
                "PK209",
                f"{kind.name} needs max_values: the set it keeps must end somewhere",
                path,
                f'{{ measure: "{measure.measure}", max_values: 10000 }}',
            )
        if not kind.signature.needs_max_values and measure.max_values is not None:
            self._add(
                "PK209",
                f"{kind.name} takes no max_values",
                ("measures", name, "max_values"),
                "leave it out",
            )
        return len(self.findings) == before

    def _derived(
        self,
        spec: MetricSpec,
        derived: Mapping[str, MeasureSpec],
        found: dict[str, ResolvedMeasure],
    ) -> None:
        """Derived measures, each once those that it reads are typed."""
        left = dict(derived)
        while left:
            ready = [n for n, m in left.items() if not self._reads(m) & (left.keys() - {n})]
            ready = [n for n in ready if n not in self._reads(left[n])]
            if not ready:
                for name in left:
                    self._add(
                        "PK210", f"{name} reads itself, directly or in a circle", ("measures", name)
                    )
                return
            for name in ready:
                resolved = self._one_derived(name, left.pop(name), spec, found)
                if resolved is not None:
                    found[name] = resolved

    def _reads(self, measure: MeasureSpec) -> set[str]:
        if measure.ratio is not None:
            return set(measure.ratio)
        names = dict.fromkeys(self.loaded.spec.measures, FLOAT)
        parsed = parse_expression(measure.expr or "", names)
        return set() if parsed.expression is None else set(fields_of(parsed.expression))

    def _one_derived(
        self,
        name: str,
        measure: MeasureSpec,
        spec: MetricSpec,
        found: Mapping[str, ResolvedMeasure],
    ) -> ResolvedMeasure | None:
        for option in ("filter", "max_values"):
            if getattr(measure, option) is not None:
                self._add(
                    "PK211",
                    f"a derived measure takes no {option}",
                    ("measures", name, option),
                    "filter the measures that it reads",
                )
                return None
        types = {m.name: m.type for m in found.values()}
        if any(n not in types and n in spec.measures for n in self._reads(measure)):
            return None  # what it reads has findings of its own
        if measure.ratio is not None:
            return self._ratio(name, measure, types)
        expression = self._expression(measure.expr or "", types, ("measures", name, "expr"))
        if expression is None:
            return None
        return ResolvedMeasure(name, measure, None, (), None, expression, expression.type, True)

    def _ratio(
        self, name: str, measure: MeasureSpec, types: Mapping[str, Type]
    ) -> ResolvedMeasure | None:
        sides: list[Expression] = []
        for place, side in enumerate(measure.ratio or ()):
            if side not in types:
                help = self._nearest(side, list(types), "measure")
                self._add(
                    "PK201", f'unknown measure "{side}"', ("measures", name, "ratio", place), help
                )
            elif not types[side].is_numeric:
                self._add(
                    "PK203",
                    f"a ratio is of numbers, and {side} is {types[side]}",
                    ("measures", name, "ratio", place),
                )
            else:
                sides.append(FieldRef(side, types[side]))
        if len(sides) < 2:
            return None
        ratio = Call("/", tuple(sides), FLOAT)
        return ResolvedMeasure(name, measure, None, (), None, ratio, FLOAT, True)

    # --- private --------------------------------------------------------------------------------

    def _measure_path(self, name: str) -> Path:
        node = self.loaded.document.node(("measures", name))
        return ("measures", name) if isinstance(node, Scalar) else ("measures", name, "measure")

    def _inside(self, path: Path, start: int, end: int) -> Span:
        """The place of some characters of a text value."""
        node = self.loaded.document.node(path)
        if not isinstance(node, Scalar) or node.span.line != node.span.end_line:
            return self.loaded.document.span(path)
        written = node.span.end_column - node.span.column
        quotes = 0 if node.is_plain else 1
        if written != len(node.text) + 2 * quotes:  # escapes inside: the whole value it is
            return node.span
        return node.span.slice(start + quotes, max(end, start + 1) + quotes)

    def _add(
        self,
        code: str,
        message: str,
        path: Path,
        help: str | None = None,
        span: Span | None = None,
    ) -> None:
        place = span or self.loaded.document.span(path)
        self.findings.append(Diagnostic(code, message, place, help, dotted(path)))
