"""Arithmetic and rounding in polars: overflow and division by zero are null, never an error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelinekit.columns import polars_type
from pipelinekit.spec.expressions.functions import may_overflow
from pipelinekit.spec.expressions.polars_values import finite, widened
from pipelinekit.spec.expressions.tree import Call, written
from pipelinekit.types import DECIMAL_PRECISION_MAX, FLOAT, Kind, Type, decimal_type

if TYPE_CHECKING:
    import polars as pl

# polars raises where a decimal outgrows 38 digits. What a float says is beyond this share of the
# range is null instead: the last hundredth counts as beyond.
_DECIMAL_SHARE = 0.99
_QUOTIENT_BELOW = 2.0**53
_INT_MIN = -(2**63)


def arithmetic(call: Call, values: Sequence[pl.Expr]) -> pl.Expr:
    """`+ - * / %`."""
    types = [a.type for a in call.arguments]
    if call.function == "/" or call.type.kind is Kind.FLOAT:
        left, right = (widened(v, t, FLOAT) for v, t in zip(values, types, strict=True))
        if call.function == "%":
            return _float_rest(left, right)
        return finite(_applied(call.function, left, right), FLOAT)
    if call.type.kind is Kind.INT:
        return _integer(call.function, *values)
    return _decimal(call, values)


def negated(call: Call, values: Sequence[pl.Expr]) -> pl.Expr:
    return -_negatable(values[0], call.type)


def absolute(call: Call, values: Sequence[pl.Expr]) -> pl.Expr:
    return _negatable(values[0], call.type).abs()


def rounded(call: Call, values: Sequence[pl.Expr]) -> pl.Expr:
    """`round floor ceil`; halves go away from zero."""
    source = call.arguments[0].type
    if source.kind is Kind.INT:
        return values[0]
    value = _growable(values[0], source) if source.kind is Kind.DECIMAL else values[0]
    match call.function:
        case "floor":
            result = value.floor()
        case "ceil":
            result = value.ceil()
        case _:
            digits = written(call, 1)
            result = round_half_away(value, digits if isinstance(digits, int) else 0)
    return result.cast(polars_type(call.type), strict=False)


def round_half_away(value: pl.Expr, digits: int) -> pl.Expr:
    return value.round(digits, mode="half_away_from_zero")


def _applied(operator: str, left: pl.Expr, right: pl.Expr) -> pl.Expr:
    import polars as pl

    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            return pl.when(right != 0).then(left / right)
        case _:
            # polars' own takes the divisor's sign.
            rest = pl.when(right != 0).then(left.abs() % right.abs())
            return pl.when(left < 0).then(0 - rest).otherwise(rest)


def _float_rest(left: pl.Expr, right: pl.Expr) -> pl.Expr:
    """None is left of a quotient that has no digits after the point any more."""
    import polars as pl

    quotient = (left / right).abs()
    rest = pl.when(quotient < _QUOTIENT_BELOW).then(_applied("%", left, right)).otherwise(0.0)
    return pl.when(right != 0).then(finite(rest, FLOAT))


def _integer(operator: str, left: pl.Expr, right: pl.Expr) -> pl.Expr:
    """In 128 bits, then back: what doesn't fit 64 is null, never wrapped."""
    import polars as pl

    wide = _applied(operator, left.cast(pl.Int128), right.cast(pl.Int128))
    return wide.cast(pl.Int64, strict=False)


def _decimal(call: Call, values: Sequence[pl.Expr]) -> pl.Expr:
    import polars as pl

    types = [a.type for a in call.arguments]
    scale = call.type.scale
    wide = decimal_type(DECIMAL_PRECISION_MAX, scale)
    a, b = (widened(v, t, wide) for v, t in zip(values, types, strict=True))
    if may_overflow(call.function, *types):
        x, y = (widened(v, t, FLOAT) for v, t in zip(values, types, strict=True))
        limit = _DECIMAL_SHARE * 10.0 ** (DECIMAL_PRECISION_MAX - scale)
        fits = _applied(call.function, x, y).abs() < limit
        a, b = pl.when(fits).then(a), pl.when(fits).then(b)
    return _applied(call.function, a, b).cast(polars_type(call.type), strict=False)


def _negatable(value: pl.Expr, kind: Type) -> pl.Expr:
    """The least int has no counterpart: it is null."""
    import polars as pl

    return pl.when(value != _INT_MIN).then(value) if kind.kind is Kind.INT else value


def _growable(value: pl.Expr, kind: Type) -> pl.Expr:
    """A decimal that rounding can't push over 38 digits; what it would is null."""
    import polars as pl

    if kind.precision < DECIMAL_PRECISION_MAX or kind.scale == 0:
        return value
    limit = _DECIMAL_SHARE * 10.0 ** (DECIMAL_PRECISION_MAX - kind.scale)
    return pl.when(value.cast(pl.Float64).abs() < limit).then(value)
