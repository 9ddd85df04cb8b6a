"""Keys whose values don't grow with the number of events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipelinekit.checks.base import at
from pipelinekit.diagnostics import Diagnostic
from pipelinekit.spec.document import Path, Scalar
from pipelinekit.spec.expressions.tree import Call, Expression, Field
from pipelinekit.spec.models.source import SourceSpec
from pipelinekit.spec.resolve import Resolved
from pipelinekit.types import Kind

# What gives about as many values as it gets. Cutting and counting (date_trunc, round, length,
# split_part, %) is how a key is bounded.
_CARRYING = frozenset(
    ("coalesce", "nullif", "greatest", "least", "lower", "upper", "trim", "concat", "abs", "neg",
     "+", "-", "*"),
)  # fmt: skip
_ROUNDING = (Kind.INT, Kind.DATE, Kind.BOOL)
_DIGITS_FEW = 6


class KeysAreBounded:
    """A key without `values` is not the event's id, nor a time or number in all its digits.

    With `max_values` the author says that the numbers repeat; an id never does.
    """

    code = "PK360"

    def check(self, resolved: Resolved) -> Iterable[Diagnostic]:
        for metric in resolved.metrics.values():
            for number, (key, spec) in enumerate(zip(metric.key, metric.spec.key, strict=True)):
                found = _unbounded(key.expression, metric.source.spec)
                if key.values is not None or found is None:
                    continue
                field, what, help = found
                if key.max_values is not None and field != metric.source.spec.id:
                    continue  # a guess, which the run holds against the events
                node = metric.loaded.document.node(("key",))
                path: Path = ("key",) if isinstance(node, Scalar) else ("key", number)
                if not isinstance(metric.loaded.document.node(path), Scalar):
                    path = (*path, "name" if spec.expr is None else "expr")
                yield at(self.code, metric).warning(
                    f'the key "{key.name}" has about as many values as there are events: '
                    f"{field} is {what}",
                    path,
                    help,
                )


def _unbounded(expression: Expression, source: SourceSpec) -> tuple[str, str, str] | None:
    """The field that makes the expression's values endless, what it is, and the way out."""
    match expression:
        case Field(name=name) if name == source.id and not source.fields[name].optional:
            return name, "the id of an event", "key by what events share, such as a user or session"
        case Field(name=name, type=type):
            return _endless(name, type.kind, type.precision)
        case Call("cast", (inner,), type=type):
            found = _unbounded(inner, source)
            is_cut = type.kind in _ROUNDING or 0 < type.precision <= _DIGITS_FEW
            return None if is_cut and found is not None and found[0] != source.id else found
        case Call("case", arguments):
            return _first((*arguments[1::2], arguments[-1]), source)
        case Call(function, arguments) if function in _CARRYING:
            return _first(arguments, source)
        case _:
            return None


def _endless(name: str, kind: Kind, precision: int) -> tuple[str, str, str] | None:
    cut = f"cut it into classes: floor({name} / 10); or count it in a histogram"
    match kind:
        case Kind.TIMESTAMP:
            help = f"leave time to the window, or cut it: date_trunc('hour', {name})"
            return name, "a time to the millisecond", help
        case Kind.FLOAT:
            return name, "a float", cut
        case Kind.DECIMAL if precision > _DIGITS_FEW:
            return name, f"a decimal of {precision} digits", cut
        case _:
            return None


def _first(arguments: Sequence[Expression], source: SourceSpec) -> tuple[str, str, str] | None:
    return next((f for a in arguments if (f := _unbounded(a, source)) is not None), None)
