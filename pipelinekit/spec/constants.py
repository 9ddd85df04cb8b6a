"""Arguments of a measure that are written out, such as the q of approx_quantile(x, q)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from pipelinekit.catalog import measure
from pipelinekit.measures.base import Measure, WithConstants
from pipelinekit.spec.expressions.tree import Call, Expression, Literal


def bound_measure(name: str, arguments: Sequence[Expression]) -> tuple[Measure, list[Expression]]:
    """The measure with its constants, and the arguments that are none of these.

    Raises ValueError with the rule that a constant breaks.
    """
    kind = measure(name)
    count = kind.signature.constants
    if not count:
        return kind, list(arguments)
    try:
        values = [_written(c) for c in arguments[len(arguments) - count :]]
    except TypeError:
        names = ", ".join(kind.signature.arguments[-count:])
        message = f"{names} of {name} must be written out: no field, nothing computed"
        raise ValueError(message) from None
    bound = cast("WithConstants", kind).with_constants(values)
    return bound, list(arguments[: len(arguments) - count])


def _written(argument: Expression) -> object:
    """The literal's value, of a list a tuple. Raises TypeError for what is computed."""
    match argument:
        case Literal(value=value):
            return value
        case Call(function="list", arguments=items):
            return tuple(_written(item) for item in items)
        case _:
            raise TypeError
