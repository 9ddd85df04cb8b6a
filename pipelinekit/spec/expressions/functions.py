"""The scalar functions of the language: what each takes and gives. The only list of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from pipelinekit.spec.expressions.problems import Mismatch
from pipelinekit.types import (
    BOOL,
    DECIMAL_PRECISION_MAX,
    FLOAT,
    INT,
    STRING,
    TIMESTAMP,
    Kind,
    Type,
    decimal_type,
)

TRUNCATE_UNITS = ("second", "minute", "hour", "day", "week", "month", "quarter", "year")
EXTRACT_PARTS = (
    "year", "quarter", "month", "week", "day", "weekday", "hour", "minute", "second",
)  # fmt: skip
_INT_DIGITS = 19


class Function(NamedTuple):
    """`result` raises Mismatch with the rule when the arguments' types don't fit.

    `literals` are the places of arguments that must be written out (patterns, units, zones).
    """

    usage: str
    minimum: int
    maximum: int | None
    result: Callable[[Sequence[Type]], Type]
    literals: tuple[int, ...] = ()


def common_type(types: Sequence[Type]) -> Type:
    """The one type that all values can be read as without loss; Mismatch if there is none."""
    kinds = {t.kind for t in types}
    if len(set(types)) == 1:
        return types[0]
    if kinds == {Kind.INT, Kind.FLOAT}:
        return FLOAT
    if kinds <= {Kind.INT, Kind.DECIMAL}:
        return _common_decimal(types)
    if Kind.DECIMAL in kinds and Kind.FLOAT in kinds:
        help = "cast one of them: cast(x as float), or cast(x as decimal(18,4))"
        raise Mismatch("a decimal and a float don't mix", help)
    names = " and ".join(sorted({str(t) for t in types}))
    raise Mismatch(f"{names} don't mix", _way_out(kinds))


def _way_out(kinds: set[Kind]) -> str | None:
    if kinds == {Kind.STRING, Kind.TIMESTAMP}:
        return "write the time as timestamp '2024-01-31T12:00:00Z'"
    if kinds == {Kind.STRING, Kind.DATE}:
        return "write the day as date '2024-01-31'"
    if kinds == {Kind.DATE, Kind.TIMESTAMP}:
        return "cast one of them: cast(t as date)"
    if Kind.STRING in kinds and kinds <= {Kind.STRING, Kind.INT, Kind.FLOAT, Kind.DECIMAL}:
        return "cast the text to a number, cast(x as int), or write the number in quotes"
    return None


def arithmetic_type(operator: str, left: Type, right: Type) -> Type:
    """The type of `left operator right`."""
    for side in (left, right):
        if not side.is_numeric:
            help = "cast(x as int) reads a text" if side.kind is Kind.STRING else None
            raise Mismatch(f'"{operator}" takes numbers, and one side is {side}', help)
    if operator == "/":
        return FLOAT
    if {left.kind, right.kind} == {Kind.DECIMAL, Kind.FLOAT}:
        return common_type((left, right))
    if Kind.FLOAT in (left.kind, right.kind):
        return FLOAT
    if left.kind is Kind.INT and right.kind is Kind.INT:
        return INT
    a, b = _as_decimal(left), _as_decimal(right)
    if operator == "*":
        scale = a.scale + b.scale
        precision = a.precision + b.precision
    else:
        scale = max(a.scale, b.scale)
        whole = max(a.precision - a.scale, b.precision - b.scale)
        precision = whole + scale + (1 if operator in "+-" else 0)
    if scale > DECIMAL_PRECISION_MAX:
        raise Mismatch(
            f"the product would have {scale} digits after the point, 38 are the most",
            "cast a side to fewer digits, or to float",
        )
    return decimal_type(min(precision, DECIMAL_PRECISION_MAX), scale)


def may_overflow(operator: str, left: Type, right: Type) -> bool:
    """Whether a decimal result may need more than 38 digits, by the digits of both sides."""
    a, b = _as_decimal(left), _as_decimal(right)
    if operator == "*":
        return a.precision + b.precision > DECIMAL_PRECISION_MAX
    whole = max(a.precision - a.scale, b.precision - b.scale)
    return operator in "+-" and whole + max(a.scale, b.scale) + 1 > DECIMAL_PRECISION_MAX


def _as_decimal(kind: Type) -> Type:
    return decimal_type(_INT_DIGITS, 0) if kind.kind is Kind.INT else kind


def _common_decimal(types: Sequence[Type]) -> Type:
    decimals = [_as_decimal(t) for t in types]
    scale = max(t.scale for t in decimals)
    whole = max(t.precision - t.scale for t in decimals)
    return decimal_type(min(whole + scale, DECIMAL_PRECISION_MAX), scale)


def _takes(*wanted: Kind, result: Type) -> Callable[[Sequence[Type]], Type]:
    """Arguments of just these kinds, in order; the last repeats."""

    def check(types: Sequence[Type]) -> Type:
        for place, given in enumerate(types):
            kind = wanted[min(place, len(wanted) - 1)]
            if given.kind is not kind:
                raise Mismatch(f"argument {place + 1} must be {kind.value}, and it is {given}")
        return result

    return check


def _number(types: Sequence[Type]) -> Type:
    if not types[0].is_numeric:
        raise Mismatch(f"argument 1 must be a number, and it is {types[0]}")
    return types[0]


def _round(types: Sequence[Type]) -> Type:
    """A decimal may grow a digit: 99.9 is 100.0."""
    number = _number(types)
    if len(types) == 2 and types[1] != INT:
        raise Mismatch(f"argument 2 must be int, and it is {types[1]}")
    if number.kind is Kind.DECIMAL and number.scale > 0:
        return decimal_type(min(number.precision + 1, DECIMAL_PRECISION_MAX), number.scale)
    return number


def _nullif(types: Sequence[Type]) -> Type:
    common_type(types)
    return types[0]


def _ordered(types: Sequence[Type]) -> Type:
    found = common_type(types)
    if found.kind in (Kind.BOOL, Kind.LIST):
        raise Mismatch(f"{found} has no order")
    return found


_S, _I, _T = Kind.STRING, Kind.INT, Kind.TIMESTAMP
FUNCTIONS: dict[str, Function] = {
    "coalesce": Function("coalesce(a, b, …)", 2, None, common_type),
    "nullif": Function("nullif(a, b)", 2, 2, _nullif),
    "greatest": Function("greatest(a, b, …)", 2, None, _ordered),
    "least": Function("least(a, b, …)", 2, None, _ordered),
    "abs": Function("abs(x)", 1, 1, _number),
    "floor": Function("floor(x)", 1, 1, _round),
    "ceil": Function("ceil(x)", 1, 1, _round),
    "round": Function("round(x, digits)", 1, 2, _round, literals=(1,)),
    "length": Function("length(text)", 1, 1, _takes(_S, result=INT)),
    "lower": Function("lower(text)", 1, 1, _takes(_S, result=STRING)),
    "upper": Function("upper(text)", 1, 1, _takes(_S, result=STRING)),
    "trim": Function("trim(text)", 1, 1, _takes(_S, result=STRING)),
    "substring": Function(
        "substring(text, from, length)", 2, 3, _takes(_S, _I, result=STRING), literals=(1, 2)
    ),
    "concat": Function("concat(a, b, …)", 1, None, _takes(_S, result=STRING)),
    "starts_with": Function("starts_with(text, prefix)", 2, 2, _takes(_S, result=BOOL)),
    "ends_with": Function("ends_with(text, suffix)", 2, 2, _takes(_S, result=BOOL)),
    "contains": Function("contains(text, part)", 2, 2, _takes(_S, result=BOOL)),
    "split_part": Function(
        "split_part(text, separator, n)", 3, 3, _takes(_S, _S, _I, result=STRING), literals=(1, 2)
    ),
    "url_path": Function("url_path(url)", 1, 1, _takes(_S, result=STRING)),
    "regexp_match": Function(
        "regexp_match(text, 'pattern')", 2, 2, _takes(_S, result=BOOL), literals=(1,)
    ),
    "regexp_extract": Function(
        "regexp_extract(text, 'pattern', n)",
        2,
        3,
        _takes(_S, _S, _I, result=STRING),
        literals=(1, 2),
    ),
    "date_trunc": Function(
        "date_trunc('hour', t, 'zone')", 2, 3, _takes(_S, _T, _S, result=TIMESTAMP), literals=(0, 2)
    ),
    "extract": Function("extract(hour from t)", 2, 2, _takes(_S, _T, result=INT), literals=(0,)),
}

# cast(from as to)
CASTS: dict[Kind, tuple[Kind, ...]] = {
    Kind.STRING: (Kind.INT, Kind.FLOAT, Kind.DECIMAL, Kind.BOOL, Kind.TIMESTAMP, Kind.DATE),
    Kind.INT: (Kind.STRING, Kind.FLOAT, Kind.DECIMAL),
    Kind.FLOAT: (Kind.INT, Kind.DECIMAL),
    Kind.DECIMAL: (Kind.STRING, Kind.INT, Kind.FLOAT, Kind.DECIMAL),
    Kind.BOOL: (Kind.STRING, Kind.INT),
    Kind.TIMESTAMP: (Kind.DATE,),
    Kind.DATE: (Kind.TIMESTAMP, Kind.STRING),
    Kind.LIST: (),
}

# The language's measures, kept from being used as functions of one event.
AGGREGATES = frozenset(
    (
        *("count", "sum", "min", "max", "avg", "variance", "stddev", "first", "last"),
        *("count_distinct", "approx_count_distinct", "approx_quantile", "histogram"),
        *("most_frequent", "any_true", "all_true", "funnel_step"),
    )
)

# What people write for a type; the language has the one on the right.
TYPE_SYNONYMS = {
    **dict.fromkeys(("integer", "bigint", "int64", "long", "smallint"), "int"),
    **dict.fromkeys(("double", "real", "float64", "doubleprecision"), "float"),
    **dict.fromkeys(("text", "varchar", "char", "str"), "string"),
    **dict.fromkeys(("boolean",), "bool"),
    **dict.fromkeys(("numeric", "number", "decimal"), "decimal(18,4)"),
    **dict.fromkeys(("datetime", "timestamptz", "time"), "timestamp"),
}

# What people write for what the language calls otherwise.
SYNONYMS = {
    "if": "case when", "iff": "case when", "ifnull": "coalesce", "nvl": "coalesce",
    "len": "length", "char_length": "length", "substr": "substring", "ucase": "upper",
    "lcase": "lower", "startswith": "starts_with",
    "endswith": "ends_with", "strpos": "contains", "position": "contains", "regexp": "regexp_match",
    "regexp_contains": "regexp_match", "path": "url_path", "ceiling": "ceil", "toint": "cast",
    "trunc": "floor", "todate": "cast", "datetrunc": "date_trunc", "hour": "extract(hour from t)",
}  # fmt: skip
