"""A metric's measures as written → each a kind with typed arguments, or derived from others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipelinekit.catalog import all_measures, find_measure
from pipelinekit.measures.base import Measure
from pipelinekit.spec.constants import bound_measure
from pipelinekit.spec.document import Path, Scalar
from pipelinekit.spec.expressions.parse import ParsedMeasure, parse_expression, parse_measure
from pipelinekit.spec.expressions.problems import SyntaxProblem
from pipelinekit.spec.expressions.syntax import Node, parse
from pipelinekit.spec.expressions.tree import WINDOW_SECONDS, Call, Expression
from pipelinekit.spec.expressions.tree import Field as FieldRef
from pipelinekit.spec.models.metric import MeasureSpec, MetricSpec, StageSpec
from pipelinekit.spec.models.source import SourceSpec
from pipelinekit.spec.notes import Notes, nearest
from pipelinekit.spec.resolved import ResolvedMeasure
from pipelinekit.types import FLOAT, Type

_SYNONYMS = {
    "average": "avg", "mean": "avg", "total": "sum", "maximum": "max", "minimum": "min",
    "uniq": "count_distinct", "countd": "count_distinct", "distinct": "count_distinct",
    "nunique": "count_distinct", "countif": "count", "any": "any_true", "bool_or": "any_true",
    "all": "all_true", "every": "all_true", "bool_and": "all_true", "latest": "last",
    "earliest": "first", "median": "approx_quantile", "percentile": "approx_quantile",
    "quantile": "approx_quantile", "stdev": "stddev", "funnel": "funnel_step",
    "window_funnel": "funnel_step", "windowFunnel": "funnel_step",
}  # fmt: skip
# What second stages have: each needs its SQL (plan/stage_view.py).
OVER_ROWS = frozenset(
    (
        *("count", "sum", "min", "max", "avg", "variance", "stddev", "count_distinct"),
        *("any_true", "all_true"),
    )
)
_WAYS = ("measure", "expr", "ratio", "rate_per_second")
_SHORTHANDS = {
    "ratio": "write { ratio: [above, below] }, of two measures",
    "rate_per_second": "write { rate_per_second: views }, of a measure",
}


def measures_of(
    spec: MetricSpec | StageSpec, source: SourceSpec | None, types: Mapping[str, Type], notes: Notes
) -> tuple[ResolvedMeasure, ...]:
    """The metric's measures in the order in which they stand, without those with findings.

    `types` are those of the source's fields; without a source those of another metric's columns.
    """
    resolver = _Measures(spec, source, types, notes)
    derived = {}
    for name, measure in spec.measures.items():
        given = [way for way in _WAYS if getattr(measure, way) is not None]
        if len(given) != 1:
            said = " and ".join(given) or "none"
            message = f"{name} needs one of {', '.join(_WAYS)}, and has {said}"
            notes.add("PK207", message, ("measures", name), "keep one of them")
        elif measure.measure is None:
            derived[name] = measure
        else:
            resolver.aggregate(name, measure, measure.measure)
    resolver.derive(derived)
    found = resolver.found
    return tuple(found[name] for name in spec.measures if name in found)


@dataclass(slots=True, eq=False)
class _Measures:
    spec: MetricSpec | StageSpec
    source: SourceSpec | None
    types: Mapping[str, Type]
    notes: Notes
    found: dict[str, ResolvedMeasure] = field(default_factory=dict)

    # --- aggregated -----------------------------------------------------------------------------

    def aggregate(self, name: str, measure: MeasureSpec, text: str) -> None:
        before = len(self.notes.findings)
        node = self.notes.loaded.document.node(("measures", name))
        path: Path = (
            ("measures", name) if isinstance(node, Scalar) else ("measures", name, "measure")
        )
        where = self.notes.condition(measure.filter, self.types, ("measures", name, "filter"))
        parsed = parse_measure(text, self.types)
        for problem in parsed.problems:
            self.notes.problem(problem, path)
        kind = self._kind(parsed, path)
        if kind is None or parsed.problems:
            return
        self._check_arguments(kind, parsed.arguments, path)
        self._check_options(kind, measure, path, name)
        if len(self.notes.findings) > before:
            return
        try:
            kind, arguments = bound_measure(kind.name, parsed.arguments)
        except ValueError as error:
            self.notes.add("PK250", str(error), path, f"as in {kind.signature.example}")
            return
        try:
            result = kind.result_type([argument.type for argument in arguments])
        except TypeError as error:
            self.notes.add("PK203", str(error), path, "cast the argument, or take another measure")
            return
        self.found[name] = ResolvedMeasure(
            name, measure, kind, parsed.arguments, where, None, result, kind.is_nullable()
        )

    def _kind(self, parsed: ParsedMeasure, path: Path) -> Measure | None:
        """The kind of measure that the call names, or None and a finding."""
        if parsed.name is None:
            return None
        if (kind := find_measure(parsed.name)) is not None:
            return kind
        place = self.notes.inside(path, parsed.start, parsed.end)
        meant = _SYNONYMS.get(parsed.name, parsed.name)
        help = _SHORTHANDS.get(parsed.name) or nearest(
            meant, all_measures(), "measure", else_=""
        ).replace("?", "()?")
        self.notes.add("PK204", f'unknown measure "{parsed.name[:60]}"', path, help, place)
        return None

    def _check_arguments(self, kind: Measure, given: Sequence[Expression], path: Path) -> None:
        names = kind.signature.arguments
        most, least = len(names), len(names) - kind.signature.optional_arguments
        if not least <= len(given) <= most:
            takes = str(most) if least in (0, most) else f"{least} to {most}"
            message = (
                f"{kind.name} takes {takes} argument{'' if most == 1 else 's'}, "
                f"and {len(given)} are given"
            )
            written = f"{kind.name}({', '.join(names)})"
            if least != most and kind.signature.example:
                written = kind.signature.example
            self.notes.add("PK203", message, path, f"write {written}")

    def _check_options(self, kind: Measure, measure: MeasureSpec, path: Path, name: str) -> None:
        if self.source is None and kind.name not in OVER_ROWS:
            message = f"{kind.name} can't be computed over another metric's rows"
            self.notes.add("PK371", message, path, f"there are {', '.join(sorted(OVER_ROWS))}")
        elif kind.signature.needs_id and self.source is not None and self.source.id is None:
            message = f"{kind.name} orders ties by id, and the source {self.source.name} has none"
            self.notes.add("PK208", message, path, "declare id: in the source")
        if measure.state and not hasattr(kind, "state_type"):
            self._no_state(kind.name, name)
        if kind.signature.needs_max_values and measure.max_values is None:
            message = f"{kind.name} needs max_values: the set it keeps must end somewhere"
            help = f'{{ measure: "{measure.measure}", max_values: 10000 }}'
            self.notes.add("PK209", message, path, help)
        if not kind.signature.needs_max_values and measure.max_values is not None:
            where = ("measures", name, "max_values")
            self.notes.add("PK209", f"{kind.name} takes no max_values", where, "leave it out")

    def _no_state(self, what: str, name: str) -> None:
        sketches = sorted(n for n, k in all_measures().items() if hasattr(k, "state_type"))
        message = f"{what} has no state that rows could hold: {' and '.join(sketches)} have"
        self.notes.add("PK213", message, ("measures", name, "state"), "leave it out")

    # --- derived --------------------------------------------------------------------------------

    def derive(self, derived: Mapping[str, MeasureSpec]) -> None:
        """Derived measures, each once those that it reads are typed."""
        left = {name: _reads(measure) for name, measure in derived.items()}
        while left:
            ready = [name for name, reads in left.items() if not reads & left.keys()]
            if not ready:
                for name in left:
                    message = f"{name} reads itself, directly or in a circle"
                    self.notes.add("PK210", message, ("measures", name), "compute it from others")
                return
            for name in ready:
                self._derive_one(name, derived[name], left.pop(name))

    def _derive_one(self, name: str, measure: MeasureSpec, reads: frozenset[str]) -> None:
        path: Path = ("measures", name)
        options = [o for o in ("filter", "max_values") if getattr(measure, o) is not None]
        for option in options:
            message = f"a derived measure takes no {option}"
            self.notes.add(
                "PK211", message, (*path, option), "set it on the measures that it reads"
            )
        if measure.state:
            self._no_state("a derived measure", name)
        if any(read in self.spec.measures and read not in self.found for read in reads):
            return  # what it reads has findings of its own
        expression: Expression | None
        if measure.ratio is not None:
            expression = self._ratio(measure.ratio, (*path, "ratio"))
        elif measure.rate_per_second is not None:
            expression = self._rate(measure.rate_per_second, (*path, "rate_per_second"))
        else:
            expression = self._over_measures(measure.expr or "", (*path, "expr"))
        if expression is not None and not options:
            kind = expression.type
            self.found[name] = ResolvedMeasure(
                name, measure, None, (), None, expression, kind, True
            )

    def _over_measures(self, text: str, path: Path) -> Expression | None:
        parsed = parse_expression(text, {m.name: m.type for m in self.found.values()})
        for problem in parsed.problems:
            if problem.code != "PK201":
                self.notes.problem(problem, path)
                continue
            name = text[problem.start : problem.end]
            help = problem.help
            if name in self.types:
                help = f"{name} is a field: add a measure of it, such as sum({name}), and read that"
            place = self.notes.inside(path, problem.start, problem.end)
            self.notes.add("PK201", f'unknown measure "{name[:60]}"', path, help, place)
        return parsed.expression

    def _ratio(self, sides: Sequence[str], path: Path) -> Expression | None:
        typed = [self._number(s, "a ratio is", (*path, place)) for place, s in enumerate(sides)]
        above, below = typed
        if above is None or below is None:
            return None
        return Call("/", (above, below), FLOAT)

    def _rate(self, name: str, path: Path) -> Expression | None:
        above = self._number(name, "a rate is", path)
        return above and Call("/", (above, FieldRef(WINDOW_SECONDS, FLOAT)), FLOAT)

    def _number(self, name: str, what: str, path: Path) -> FieldRef | None:
        """The measure of that name, or None and a finding that it is none, or no number."""
        found = self.found.get(name)
        if found is None:
            help = nearest(name, self.found, "measure", else_="add the measure")
            if name in self.types:
                help = f"{name} is a field: add a measure of it, such as sum({name}), and name that"
            self.notes.add("PK201", f'unknown measure "{name}"', path, help)
            return None
        if not found.type.is_numeric:
            message = f"{what} of numbers, and {name} is {found.type}"
            self.notes.add("PK203", message, path, "name a numeric measure")
            return None
        return FieldRef(name, found.type)


def _reads(measure: MeasureSpec) -> frozenset[str]:
    """The names that a derived measure reads, whatever their types."""
    if measure.ratio is not None:
        return frozenset(measure.ratio)
    if measure.rate_per_second is not None:
        return frozenset((measure.rate_per_second,))
    try:
        return _names(parse(measure.expr or ""))
    except SyntaxProblem:
        return frozenset()


def _names(node: Node) -> frozenset[str]:
    own = frozenset((node.value,)) if node.kind == "name" else frozenset()
    return own.union(*(_names(argument) for argument in node.arguments))
