"""Typed expression → polars, with the language's own meaning of nulls, zero and overflow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from operator import and_, eq, ge, gt, le, lt, ne, or_
from typing import TYPE_CHECKING

from pipelinekit.columns import polars_type
from pipelinekit.spec.expressions import polars_numbers, polars_text, polars_times
from pipelinekit.spec.expressions.polars_values import all_widened, comparable, widened
from pipelinekit.spec.expressions.tree import Call, Expression, Field, Literal, fields_of
from pipelinekit.types import Type

if TYPE_CHECKING:
    import polars as pl


def to_polars(expression: Expression) -> pl.Expr:
    """The expression over a frame whose columns carry the fields' names.

    Evaluating it never raises on data. One without fields is a scalar, which polars broadcasts.
    """
    import polars as pl

    match expression:
        case Literal(value=value, type=kind):
            return pl.lit(value, dtype=polars_type(kind))
        case Field(name=name):
            return pl.col(name)
        case Call(function=function, arguments=arguments):
            compiled = _COMPILERS[function](expression, [to_polars(a) for a in arguments])
            return compiled if fields_of(expression) else _computed(compiled, expression.type)


def _computed(constant: pl.Expr, kind: Type) -> pl.Expr:
    """The literal that an expression without fields comes to."""
    import polars as pl

    return pl.lit(pl.select(constant).item(), dtype=polars_type(kind))


def _comparison(call: Call, values: Sequence[pl.Expr]) -> pl.Expr:
    left, right = comparable(call, values)
    return _COMPARED[call.function](left, right)


def _in(call: Call, values: Sequence[pl.Expr]) -> pl.Expr:
    written = [a.value for a in call.arguments[1:] if isinstance(a, Literal)]
    is_plain = len(written) == len(values) - 1 and None not in written
    if is_plain and len({a.type for a in call.arguments}) == 1:
        return values[0].is_in(written)
    value, *items = comparable(call, values)
    return reduce(or_, (value == item for item in items))


def _between(call: Call, values: Sequence[pl.Expr]) -> pl.Expr:
    value, low, high = comparable(call, values)
    return (value >= low) & (value <= high)


def _logic(call: Call, values: Sequence[pl.Expr]) -> pl.Expr:
    match call.function:
        case "and":
            return reduce(and_, values)
        case "or":
            return reduce(or_, values)
        case _:
            return ~values[0]


def _is_null(call: Call, values: Sequence[pl.Expr]) -> pl.Expr:
    return values[0].is_null()


def _case(call: Call, values: Sequence[pl.Expr]) -> pl.Expr:
    import polars as pl

    typed = [widened(v, a.type, call.type) for v, a in zip(values, call.arguments, strict=True)]
    result = typed[-1]
    for place in range(len(values) - 3, -1, -2):
        result = pl.when(values[place]).then(typed[place + 1]).otherwise(result)
    return result


def _coalesce(call: Call, values: Sequence[pl.Expr]) -> pl.Expr:
    import polars as pl

    return pl.coalesce(all_widened(call, values))


def _nullif(call: Call, values: Sequence[pl.Expr]) -> pl.Expr:
    import polars as pl

    left, right = comparable(call, values)
    return pl.when(~left.eq_missing(right)).then(values[0])


def _extreme(call: Call, values: Sequence[pl.Expr]) -> pl.Expr:
    import polars as pl

    typed = all_widened(call, values)
    best = pl.max_horizontal(typed) if call.function == "greatest" else pl.min_horizontal(typed)
    return pl.when(pl.all_horizontal(v.is_not_null() for v in typed)).then(best)


_COMPARED: dict[str, Callable[[pl.Expr, pl.Expr], pl.Expr]] = {
    "=": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge,
}  # fmt: skip
_COMPILERS: dict[str, Callable[[Call, Sequence[pl.Expr]], pl.Expr]] = {
    **dict.fromkeys(("=", "!=", "<", "<=", ">", ">="), _comparison),
    **dict.fromkeys(("and", "or", "not"), _logic),
    "in": _in,
    "between": _between,
    "is_null": _is_null,
    "case": _case,
    "coalesce": _coalesce,
    "nullif": _nullif,
    **dict.fromkeys(("greatest", "least"), _extreme),
    **dict.fromkeys(("+", "-", "*", "/", "%"), polars_numbers.arithmetic),
    **dict.fromkeys(("round", "floor", "ceil"), polars_numbers.rounded),
    "neg": polars_numbers.negated,
    "abs": polars_numbers.absolute,
    **dict.fromkeys(
        ("length", "lower", "upper", "trim", "url_path", "concat"), polars_text.of_text
    ),
    **dict.fromkeys(("starts_with", "ends_with", "contains"), polars_text.has_part),
    "substring": polars_text.substring,
    "split_part": polars_text.split_part,
    "like": polars_text.like,
    **dict.fromkeys(("regexp_match", "regexp_extract"), polars_text.regexp),
    "date_trunc": polars_times.date_trunc,
    "extract": polars_times.extract,
    "cast": polars_times.cast,
}
