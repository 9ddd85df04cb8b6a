"""Typed expression → polars, with the language's own meaning of nulls, zero and overflow."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from pipelinekit.columns import polars_type
from pipelinekit.spec.expressions.functions import common_type
from pipelinekit.spec.expressions.tree import Call, Expression, Field, Literal
from pipelinekit.types import FLOAT, Kind, Type, decimal_type

if TYPE_CHECKING:
    import polars as pl

_WIDE_DIGITS = 38
_TRUNCATE = {
    "second": "1s", "minute": "1m", "hour": "1h", "day": "1d",
    "week": "1w", "month": "1mo", "quarter": "1q", "year": "1y",
}  # fmt: skip
_URL_PATH = r"^(?:[A-Za-z][A-Za-z0-9+.\-]*:)?(?://[^/?#]*)?([^?#]*)"


def to_polars(expression: Expression) -> pl.Expr:
    """The expression over a frame whose columns carry the fields' names."""
    import polars as pl

    match expression:
        case Literal(value=value, type=kind):
            return pl.lit(value, dtype=polars_type(kind))
        case Field(name=name):
            return pl.col(name)
        case Call():
            return _CALLS[expression.function](expression)


def _as(expression: Expression, kind: Type) -> pl.Expr:
    """The value widened to `kind` (int → float or decimal, decimal → wider decimal)."""
    value = to_polars(expression)
    if expression.type == kind:
        return value
    return value.cast(polars_type(kind), strict=False)


def _common(arguments: tuple[Expression, ...]) -> list[pl.Expr]:
    kind = common_type([a.type for a in arguments])
    return [_as(a, kind) for a in arguments]


def _comparison(call: Call) -> pl.Expr:
    left, right = _common(call.arguments)
    match call.function:
        case "=":
            return left == right
        case "!=":
            return left != right
        case "<":
            return left < right
        case "<=":
            return left <= right
        case ">":
            return left > right
        case _:
            return left >= right


def _in(call: Call) -> pl.Expr:
    value, *items = _common(call.arguments)
    rest = call.arguments[1:]
    if (
        all(isinstance(a, Literal) and a.value is not None for a in rest)
        and len({a.type for a in call.arguments}) == 1
    ):
        return value.is_in([a.value for a in rest if isinstance(a, Literal)])
    found = value == items[0]
    for item in items[1:]:
        found = found | (value == item)
    return found


def _between(call: Call) -> pl.Expr:
    value, low, high = _common(call.arguments)
    return (value >= low) & (value <= high)


def _logic(call: Call) -> pl.Expr:
    parts = [to_polars(a) for a in call.arguments]
    match call.function:
        case "and":
            return parts[0] & parts[1]
        case "or":
            return parts[0] | parts[1]
        case _:
            return ~parts[0]


def _arithmetic(call: Call) -> pl.Expr:
    left, right = call.arguments
    if call.function == "/":
        return _divided(_as(left, FLOAT), _as(right, FLOAT))
    match call.type.kind:
        case Kind.INT:
            return _integer(call.function, to_polars(left), to_polars(right))
        case Kind.FLOAT:
            return _floating(call.function, _as(left, FLOAT), _as(right, FLOAT))
        case _:
            return _decimal(call)


def _divided(left: pl.Expr, right: pl.Expr) -> pl.Expr:
    import polars as pl

    return pl.when(right != 0).then(left / right)


def _integer(operator: str, left: pl.Expr, right: pl.Expr) -> pl.Expr:
    """In 128 bits, then back: what doesn't fit 64 is null, never wrapped."""
    import polars as pl

    a, b = left.cast(pl.Int128), right.cast(pl.Int128)
    match operator:
        case "+":
            wide = a + b
        case "-":
            wide = a - b
        case "*":
            wide = a * b
        case _:
            wide = pl.when(b != 0).then((a.abs() % b.abs()) * a.sign())
    return wide.cast(pl.Int64, strict=False)


def _floating(operator: str, left: pl.Expr, right: pl.Expr) -> pl.Expr:
    import polars as pl

    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case _:
            return pl.when(right != 0).then((left.abs() % right.abs()) * left.sign())


def _decimal(call: Call) -> pl.Expr:
    import polars as pl

    left, right = call.arguments
    scale = call.type.scale
    wide = decimal_type(_WIDE_DIGITS, scale)
    a, b = _as(left, wide), _as(right, wide)
    # polars raises where a decimal overflows; near the edge the answer is null instead.
    x, y = to_polars(left).cast(pl.Float64), to_polars(right).cast(pl.Float64)
    limit = 0.99 * 10.0 ** (_WIDE_DIGITS - scale)
    match call.function:
        case "+":
            fits = (x + y).abs() < limit
            result = pl.when(fits).then(a) + pl.when(fits).then(b)
        case "-":
            fits = (x - y).abs() < limit
            result = pl.when(fits).then(a) - pl.when(fits).then(b)
        case "*":
            fits = (x * y).abs() < limit
            result = pl.when(fits).then(a) * pl.when(fits).then(b)
        case _:
            whole, by = a.to_physical(), b.to_physical()
            rest = pl.when(by != 0).then((whole.abs() % by.abs()) * whole.sign())
            # Back from units: cast them as a whole number, then divide by 10^scale by text-free
            # multiplication with an exact decimal.
            unit = pl.lit(f"0.{'0' * (scale - 1)}1" if scale else "1").cast(polars_type(wide))
            result = rest.cast(pl.Decimal(_WIDE_DIGITS, scale), strict=False) * unit
    return result.cast(polars_type(call.type), strict=False)


def _negated(call: Call) -> pl.Expr:
    import polars as pl

    value = to_polars(call.arguments[0])
    if call.type.kind is Kind.INT:
        return (-value.cast(pl.Int128)).cast(pl.Int64, strict=False)
    return -value


def _case(call: Call) -> pl.Expr:
    import polars as pl

    parts = call.arguments
    otherwise = _as(parts[-1], call.type)
    for place in range(len(parts) - 3, -1, -2):
        value = _as(parts[place + 1], call.type)
        otherwise = pl.when(to_polars(parts[place])).then(value).otherwise(otherwise)
    return otherwise


def _coalesce(call: Call) -> pl.Expr:
    import polars as pl

    return pl.coalesce(*(_as(a, call.type) for a in call.arguments))


def _nullif(call: Call) -> pl.Expr:
    import polars as pl

    left, right = _common(call.arguments)
    is_same = (left == right).fill_null(False)
    return pl.when(~is_same).then(to_polars(call.arguments[0]))


def _extreme(call: Call) -> pl.Expr:
    import polars as pl

    values = [_as(a, call.type) for a in call.arguments]
    best = pl.max_horizontal(*values) if call.function == "greatest" else pl.min_horizontal(*values)
    return pl.when(pl.all_horizontal(*(v.is_not_null() for v in values))).then(best)


def _rounded(call: Call) -> pl.Expr:
    value = to_polars(call.arguments[0])
    digits = 0
    if len(call.arguments) == 2 and isinstance(call.arguments[1], Literal):
        digits = int(str(call.arguments[1].value))
    if call.type.kind is Kind.INT:
        return value
    rounded = value.round(digits, mode="half_away_from_zero")
    return rounded.cast(polars_type(call.type))


def _number(call: Call) -> pl.Expr:
    import polars as pl

    value = to_polars(call.arguments[0])
    if call.function == "abs":
        if call.type.kind is Kind.INT:
            return value.cast(pl.Int128).abs().cast(pl.Int64, strict=False)
        return value.abs()
    if call.type.kind is Kind.INT:
        return value
    whole = value.floor() if call.function == "floor" else value.ceil()
    return whole.cast(polars_type(call.type))


def _text(call: Call) -> pl.Expr:
    import polars as pl

    text, *rest = (to_polars(a) for a in call.arguments)
    match call.function:
        case "length":
            return text.str.len_chars().cast(pl.Int64)
        case "lower":
            return text.str.to_lowercase()
        case "upper":
            return text.str.to_uppercase()
        case "trim":
            return text.str.strip_chars(" ")
        case "starts_with":
            return text.str.starts_with(rest[0])
        case "ends_with":
            return text.str.ends_with(rest[0])
        case "contains":
            return text.str.contains(rest[0], literal=True)
        case "url_path":
            return text.str.extract(_URL_PATH, 1)
        case _:
            return pl.concat_str(text, *rest)


def _substring(call: Call) -> pl.Expr:
    numbers = [int(str(a.value)) for a in call.arguments[1:] if isinstance(a, Literal)]
    length = numbers[1] if len(numbers) == 2 else None
    return to_polars(call.arguments[0]).str.slice(numbers[0] - 1, length)


def _split_part(call: Call) -> pl.Expr:
    import polars as pl

    text = to_polars(call.arguments[0])
    separator, place = (a.value for a in call.arguments[1:] if isinstance(a, Literal))
    part = text.str.split(str(separator)).list.get(int(str(place)) - 1, null_on_oob=True)
    return pl.when(text.is_not_null()).then(part.fill_null(""))


def _like(call: Call) -> pl.Expr:
    text, pattern = call.arguments
    assert isinstance(pattern, Literal)
    return to_polars(text).str.contains(like_regex(str(pattern.value)))


def like_regex(pattern: str) -> str:
    r"""The regular expression of a LIKE pattern: `%`, `_`, and `\` before a literal one."""
    parts = []
    characters = iter(pattern)
    for character in characters:
        if character == "%":
            parts.append(".*")
        elif character == "_":
            parts.append(".")
        else:
            literal = next(characters, "\\") if character == "\\" else character
            parts.append(re.escape(literal))
    return "(?s)^" + "".join(parts) + "$"


def _regexp(call: Call) -> pl.Expr:
    text = to_polars(call.arguments[0])
    literals = [a.value for a in call.arguments[1:] if isinstance(a, Literal)]
    pattern = str(literals[0])
    if call.function == "regexp_match":
        return text.str.contains(pattern)
    group = (
        int(str(literals[1])) if len(literals) == 2 else (1 if re.compile(pattern).groups else 0)
    )
    return text.str.extract(pattern, group)


def _date_trunc(call: Call) -> pl.Expr:
    unit, *zone = (a.value for a in call.arguments if isinstance(a, Literal))
    time = next(a for a in call.arguments if not isinstance(a, Literal))
    value = to_polars(time).dt.convert_time_zone(str(zone[0]) if zone else "UTC")
    return value.dt.truncate(_TRUNCATE[str(unit)]).dt.convert_time_zone("UTC")


def _extract(call: Call) -> pl.Expr:
    import polars as pl

    part, time = call.arguments
    assert isinstance(part, Literal)
    value: pl.Expr = getattr(to_polars(time).dt, str(part.value))()
    return value.cast(pl.Int64)


def _cast(call: Call) -> pl.Expr:
    import polars as pl

    (source,) = call.arguments
    value = to_polars(source)
    target = call.type
    match source.type.kind, target.kind:
        case a, b if a is b and source.type == target:
            return value
        case Kind.STRING, Kind.INT:
            return pl.when(value.str.contains(r"^-?\d+$")).then(value).cast(pl.Int64, strict=False)
        case Kind.STRING, Kind.FLOAT:
            number = r"^-?\d+(\.\d+)?([eE][+-]?\d+)?$"
            return pl.when(value.str.contains(number)).then(value).cast(pl.Float64, strict=False)
        case Kind.STRING, Kind.DECIMAL:
            fraction = rf"(\.\d{{1,{target.scale}}})?" if target.scale else ""
            plain = rf"^-?\d{{1,{max(1, target.precision - target.scale)}}}{fraction}$"
            text = pl.when(value.str.contains(plain)).then(value)
            return text.cast(polars_type(target), strict=False)
        case Kind.STRING, Kind.BOOL:
            return value.replace_strict(
                {"true": True, "false": False}, default=None, return_dtype=pl.Boolean
            )
        case Kind.STRING, Kind.TIMESTAMP:
            return value.str.to_datetime(time_unit="ms", time_zone="UTC", strict=False)
        case Kind.STRING, Kind.DATE:
            return value.str.to_date("%Y-%m-%d", strict=False)
        case Kind.BOOL, Kind.STRING:
            return pl.when(value).then(pl.lit("true")).when(~value).then(pl.lit("false"))
        case ((Kind.FLOAT | Kind.DECIMAL), Kind.INT):
            return value.cast(pl.Int64, strict=False)  # towards zero
        case Kind.DATE, Kind.TIMESTAMP:
            return value.cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")
        case _:
            return value.cast(polars_type(target), strict=False)


_CALLS: dict[str, Callable[[Call], pl.Expr]] = {
    **dict.fromkeys(("=", "!=", "<", "<=", ">", ">="), _comparison),
    **dict.fromkeys(("and", "or", "not"), _logic),
    **dict.fromkeys(("+", "-", "*", "/", "%"), _arithmetic),
    **dict.fromkeys(("greatest", "least"), _extreme),
    **dict.fromkeys(("abs", "floor", "ceil"), _number),
    **dict.fromkeys(
        (
            "length",
            "lower",
            "upper",
            "trim",
            "starts_with",
            "ends_with",
            "contains",
            "url_path",
            "concat",
        ),
        _text,
    ),
    **dict.fromkeys(("regexp_match", "regexp_extract"), _regexp),
    "in": _in,
    "between": _between,
    "neg": _negated,
    "is_null": lambda call: to_polars(call.arguments[0]).is_null(),
    "case": _case,
    "coalesce": _coalesce,
    "nullif": _nullif,
    "round": _rounded,
    "substring": _substring,
    "split_part": _split_part,
    "like": _like,
    "date_trunc": _date_trunc,
    "extract": _extract,
    "cast": _cast,
}
