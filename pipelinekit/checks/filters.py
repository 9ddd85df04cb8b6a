"""Filters that leave something."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pipelinekit.checks.base import at
from pipelinekit.diagnostics import Diagnostic
from pipelinekit.spec.expressions.tree import Call, Expression, Literal
from pipelinekit.spec.resolve import Resolved

Allowed = Mapping[Expression, frozenset[object]]


class MeasuresAreReached:
    """A measure's filter wants events that the metric's filter lets through."""

    code = "PK212"

    def check(self, resolved: Resolved) -> Iterable[Diagnostic]:
        for metric in resolved.all_metrics.values():
            outer = _allowed(metric.filter)
            for measure in metric.measures:
                inner = _allowed(measure.filter)
                if any(outer[e].isdisjoint(values) for e, values in inner.items() if e in outer):
                    yield at(self.code, metric).warning(
                        f"{measure.name} counts nothing: the metric's filter excludes its events",
                        ("measures", measure.name, "filter"),
                        "widen the metric's filter, or correct this one",
                    )


def _allowed(filter: Expression | None) -> Allowed:
    """For expressions that the filter compares with written values: those that it lets through."""
    found: dict[Expression, frozenset[object]] = {}
    for part in _conjuncts(filter):
        match part:
            case Call("=", (Literal(value=value), other)) | Call(
                "=", (other, Literal(value=value))
            ):
                values = frozenset((value,))
            case Call("in", (other, *items)) if all(isinstance(i, Literal) for i in items):
                values = frozenset(i.value for i in items if isinstance(i, Literal))
            case _:
                continue
        found[other] = found[other] & values if other in found else values
    return found


def _conjuncts(filter: Expression | None) -> Iterable[Expression]:
    match filter:
        case None:
            return ()
        case Call("and", parts):
            return [c for part in parts for c in _conjuncts(part)]
        case _:
            return (filter,)
