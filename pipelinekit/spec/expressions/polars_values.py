"""What the polars compilers share: widening, and results that have no value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelinekit.columns import polars_type
from pipelinekit.spec.expressions.functions import common_type
from pipelinekit.spec.expressions.tree import Call, Literal, LiteralValue
from pipelinekit.types import Kind, Type

if TYPE_CHECKING:
    import polars as pl


def widened(value: pl.Expr, source: Type, target: Type) -> pl.Expr:
    """The value as `target`: int → float or decimal, decimal → wider decimal; beyond it null."""
    if source == target:
        return value
    return value.cast(polars_type(target), strict=False)


def all_widened(call: Call, values: Sequence[pl.Expr]) -> list[pl.Expr]:
    """The arguments in the one type that they are compared in."""
    types = [a.type for a in call.arguments]
    kind = common_type(types)
    return [widened(v, t, kind) for v, t in zip(values, types, strict=True)]


def finite(value: pl.Expr, kind: Type) -> pl.Expr:
    """Floats of the language are finite: what would be infinite or no number is null."""
    import polars as pl

    return pl.when(value.is_finite()).then(value) if kind.kind is Kind.FLOAT else value


def written(call: Call, place: int) -> LiteralValue:
    """The value of an argument that is written out; None when it was left out."""
    if place >= len(call.arguments):
        return None
    argument = call.arguments[place]
    assert isinstance(argument, Literal), f"argument {place + 1} of {call.function} is computed"
    return argument.value
