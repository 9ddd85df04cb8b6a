"""What the polars compilers share: widening, and results that have no value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelinekit.columns import polars_type
from pipelinekit.spec.expressions.functions import common_type
from pipelinekit.spec.expressions.tree import Call, Expression, fields_of
from pipelinekit.types import Kind, Type

if TYPE_CHECKING:
    import polars as pl

# Functions that compile to no `when`.
_BY_ROW = frozenset(
    (
        *("length", "lower", "upper", "trim", "concat", "substring", "url_path"),
        *("date_trunc", "extract", "regexp_match", "regexp_extract", "like", "is_null"),
    )
)


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


def comparable(call: Call, values: Sequence[pl.Expr]) -> list[pl.Expr]:
    """The arguments in one type and of one height, for comparing them.

    polars 2.1 gives one row, not the frame's, when it compares a scalar with a `when` whose
    condition holds nowhere: there the scalar is written out for every row.
    """
    import polars as pl

    typed = all_widened(call, values)
    if not fields_of(call) or not any(_may_be_uniform(a) for a in call.arguments):
        return typed
    return [
        v if fields_of(a) else pl.repeat(v, pl.len())
        for v, a in zip(typed, call.arguments, strict=True)
    ]


def _may_be_uniform(expression: Expression) -> bool:
    """Whether polars may compute a column as one value for all rows."""
    return isinstance(expression, Call) and (
        expression.function not in _BY_ROW or any(map(_may_be_uniform, expression.arguments))
    )


def finite(value: pl.Expr, kind: Type) -> pl.Expr:
    """Floats of the language are finite: what would be infinite or no number is null."""
    import polars as pl

    return pl.when(value.is_finite()).then(value) if kind.kind is Kind.FLOAT else value
