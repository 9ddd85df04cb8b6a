"""Arguments of a measure that are written out, such as the q of approx_quantile(x, q)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from pipelinekit.catalog import measure
from pipelinekit.measures.base import Measure, WithConstants
from pipelinekit.spec.expressions.tree import Expression, Literal


def bound_measure(name: str, arguments: Sequence[Expression]) -> tuple[Measure, list[Expression]]:
    """The measure with its constants, and the arguments that are none of these.

    Raises ValueError with the rule that a constant breaks.
    """
    kind = measure(name)
    count = kind.signature.constants
    if not count:
        return kind, list(arguments)
    constants = arguments[len(arguments) - count :]
    if not all(isinstance(c, Literal) for c in constants):
        names = ", ".join(kind.signature.arguments[-count:])
        raise ValueError(f"{names} of {name} must be written out: no field, nothing computed")
    values = [c.value for c in constants if isinstance(c, Literal)]
    bound = cast("WithConstants", kind).with_constants(values)
    return bound, list(arguments[: len(arguments) - count])
