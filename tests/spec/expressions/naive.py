"""The meaning of the language, row by row in plain Python: what the compilers are held against."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from zoneinfo import ZoneInfo

from pipelinekit.spec.expressions.functions import common_type
from pipelinekit.spec.expressions.times import is_date, is_timestamp
from pipelinekit.spec.expressions.tree import Call, Expression, Field, Literal
from pipelinekit.types import FLOAT, Kind, Type, decimal_type

Value = str | bool | int | float | Decimal | dt.datetime | dt.date | None
_CONTEXT = decimal.Context(prec=800, rounding=decimal.ROUND_HALF_UP)
_SUB_DAY = {"second": 1, "minute": 60, "hour": 3600}


def evaluate(expression: Expression, row: Mapping[str, Value]) -> Value:
    with decimal.localcontext(_CONTEXT):  # with the usual one even -x loses digits after the 28th
        return _evaluated(expression, row)


def _evaluated(expression: Expression, row: Mapping[str, Value]) -> Value:
    match expression:
        case Literal(value=Decimal() as value, type=kind):
            return fitted(value, kind)
        case Literal(value=value):
            return value
        case Field(name=name):
            return row[name]
        case Call(function="case"):
            return _case(expression, row)
        case Call(arguments=arguments):
            return _call(expression, [_evaluated(a, row) for a in arguments])


def fitted(value: Decimal, kind: Type) -> Decimal | None:
    """Rounded half away from zero to the type's scale; null beyond its digits."""
    rounded = value.quantize(Decimal(1).scaleb(-kind.scale))
    rounded = rounded or abs(rounded)  # no negative zero
    return rounded if abs(rounded) < 10 ** (kind.precision - kind.scale) else None


def widened(value: Value, source: Type, target: Type) -> Value:
    if value is None or source == target:
        return value
    if target.kind is Kind.FLOAT:
        return _float(value, source)
    assert isinstance(value, int | Decimal)
    return fitted(Decimal(value), target)


def _float(value: Value, source: Type) -> float:
    if source.kind is Kind.DECIMAL:
        assert isinstance(value, Decimal)
        return float(int(value.scaleb(source.scale))) / 10.0**source.scale
    assert isinstance(value, int | float)
    return float(value)


def _case(call: Call, row: Mapping[str, Value]) -> Value:
    parts = call.arguments
    for place in range(0, len(parts) - 1, 2):
        if evaluate(parts[place], row) is True:
            chosen = parts[place + 1]
            break
    else:
        chosen = parts[-1]
    return widened(evaluate(chosen, row), chosen.type, call.type)


def _call(call: Call, values: Sequence[Value]) -> Value:
    types = [a.type for a in call.arguments]
    match call.function:
        case "and":
            return False if False in values else None if None in values else True
        case "or":
            return True if True in values else None if None in values else False
        case "not":
            return None if values[0] is None else not values[0]
        case "is_null":
            return values[0] is None
        case "coalesce":
            wide = [widened(v, t, call.type) for v, t in zip(values, types, strict=True)]
            return next((v for v in wide if v is not None), None)
        case "nullif":
            left, right = _common(values, types)
            return None if left is not None and left == right else values[0]
        case "in":
            value, *items = _common(values, types)
            found = [_compared("=", value, item) for item in items]
            return True if True in found else None if None in found else False
        case "between":
            value, low, high = _common(values, types)
            found = [_compared(">=", value, low), _compared("<=", value, high)]
            return False if False in found else None if None in found else True
        case "=" | "!=" | "<" | "<=" | ">" | ">=" as operator:
            return _compared(operator, *_common(values, types))
    if any(v is None for v in values):
        return None
    return _strict(call, values, types)


def _common(values: Sequence[Value], types: Sequence[Type]) -> list[Value]:
    kind = common_type(types)
    return [widened(v, t, kind) for v, t in zip(values, types, strict=True)]


def _compared(operator: str, a: Value, b: Value) -> bool | None:
    if a is None or b is None:
        return None
    less: bool = a < b
    same: bool = a == b
    return {
        "=": same, "!=": not same, "<": less, "<=": less or same, ">": not (less or same),
        ">=": not less,
    }[operator]  # fmt: skip


def _strict(call: Call, values: Sequence[Value], types: Sequence[Type]) -> Value:
    """Functions that are null when any argument is."""
    name, first = call.function, values[0]
    if name in ("+", "-", "*", "/", "%"):
        return _arithmetic(call, values, types)
    if name in ("neg", "abs", "round", "floor", "ceil"):
        return _of_number(call, values)
    if name in ("greatest", "least"):
        wide = _common(values, types)
        if any(v is None for v in wide):
            return None
        return (max if name == "greatest" else min)(wide)
    if name in ("date_trunc", "extract"):
        return _of_time(name, values)
    if name == "cast":
        return cast(first, types[0], call.type)
    assert isinstance(first, str)
    return _of_text(name, first, values[1:])


def _arithmetic(call: Call, values: Sequence[Value], types: Sequence[Type]) -> Value:
    operator = call.function
    if call.type.kind is Kind.DECIMAL:
        wide = decimal_type(38, call.type.scale)
        a, b = (widened(v, t, wide) for v, t in zip(values, types, strict=True))
        if a is None or b is None:
            return None
        result = _applied(operator, a, b)
        return None if result is None else fitted(result, call.type)
    if call.type.kind is Kind.INT:
        whole = _applied(operator, values[0], values[1])
        return whole if whole is not None and -(2**63) <= whole < 2**63 else None
    a, b = (widened(v, t, FLOAT) for v, t in zip(values, types, strict=True))
    result = _applied(operator, a, b)
    return result if result is not None and math.isfinite(result) else None


def _applied(operator: str, a: Value, b: Value) -> Value:
    match operator:
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
        case "/":
            return a / b if b else None
        case _:
            if not b:
                return None
            if isinstance(a, float):
                return math.fmod(a, b) if abs(a) / abs(b) < 2**53 else 0.0
            rest = abs(a) % abs(b)
            return -rest if a < 0 else rest


def _of_number(call: Call, values: Sequence[Value]) -> Value:
    value = values[0]
    digits = values[1] if len(values) == 2 else 0
    assert isinstance(value, int | float | Decimal)
    assert isinstance(digits, int)
    match call.function:
        case "neg" | "abs" as name:
            result = 0 - value if name == "neg" else abs(value)
            return result if isinstance(value, float | Decimal) or result < 2**63 else None
        case _ if isinstance(value, int):
            return value
        case "floor" | "ceil" | "round" as name if isinstance(value, Decimal):
            mode = {"floor": decimal.ROUND_FLOOR, "ceil": decimal.ROUND_CEILING}
            places = Decimal(1).scaleb(-min(digits, call.type.scale))
            rounding = mode.get(name, decimal.ROUND_HALF_UP)
            return fitted(value.quantize(places, rounding), call.type)
        case "floor" | "ceil" as name:
            whole = math.floor(value) if name == "floor" else math.ceil(value)
            return value if abs(value) >= 2**52 else float(whole)
        case _:
            assert isinstance(value, float)
            return _rounded(value, digits)


def _rounded(value: float, digits: int) -> float:
    scaled = abs(value) * 10.0**digits
    if scaled >= 2**52:
        return value
    whole = math.floor(scaled)
    whole += scaled - whole >= 0.5
    return math.copysign(whole / 10.0**digits, value)


def _of_text(name: str, text: str, rest: Sequence[Value]) -> Value:
    match name, *rest:
        case "length", *_:
            return len(text)
        case "lower", *_:
            return text.lower()
        case "upper", *_:
            return text.upper()
        case "trim", *_:
            return text.strip(" ")
        case "concat", *others:
            return text + "".join(str(o) for o in others)
        case "starts_with", str(part):
            return text.startswith(part)
        case "ends_with", str(part):
            return text.endswith(part)
        case "contains", str(part):
            return part in text
        case "substring", int(start), *length:
            return text[start - 1 :][: length[0] if length else None]
        case "split_part", str(separator), int(place):
            return dict(enumerate(text.split(separator), 1)).get(place, "")
        case "url_path", *_:
            without = re.sub(r"^([A-Za-z][A-Za-z0-9+.\-]*:)?//[^/?#]*", "", text)
            return re.split(r"[?#]", without)[0]
        case "like", str(pattern):
            return _is_like(text, pattern)
        case "regexp_match", str(pattern):
            return re.search(pattern.replace("$", r"\Z"), text, re.ASCII) is not None
        case "regexp_extract", str(pattern), *group:
            found = re.search(pattern.replace("$", r"\Z"), text, re.ASCII)
            default = 1 if found and found.re.groups else 0
            return found[group[0] if group else default] or "" if found else None
    raise AssertionError(name)


def _is_like(text: str, pattern: str) -> bool:
    """By definition: what the pattern's first piece leaves, the rest must match."""
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(_is_like(text[at:], pattern[1:]) for at in range(len(text) + 1))
    if pattern[0] == "\\":
        return text[:1] == pattern[1] and _is_like(text[1:], pattern[2:])
    return bool(text) and pattern[0] in ("_", text[0]) and _is_like(text[1:], pattern[1:])


def _of_time(name: str, values: Sequence[Value]) -> Value:
    unit, time = str(values[0]), values[1]
    assert isinstance(time, dt.datetime)
    if name == "extract":
        _year, week, weekday = time.isocalendar()
        special = {"quarter": (time.month + 2) // 3, "week": week, "weekday": weekday}
        return special[unit] if unit in special else int(getattr(time, unit))
    zone = ZoneInfo(str(values[2]) if len(values) == 3 else "UTC")
    local = time.astimezone(zone).replace(tzinfo=None)
    midnight = dt.datetime(local.year, local.month, local.day)
    if unit in _SUB_DAY:
        seconds = (local - midnight).total_seconds()
        return time - dt.timedelta(seconds=seconds % _SUB_DAY[unit])
    start = {
        "day": midnight,
        "week": midnight - dt.timedelta(days=midnight.weekday()),
        "month": midnight.replace(day=1),
        "quarter": midnight.replace(day=1, month=(midnight.month - 1) // 3 * 3 + 1),
        "year": midnight.replace(day=1, month=1),
    }[unit]
    return start.replace(tzinfo=zone).astimezone(dt.UTC)


def cast(value: Value, source: Type, target: Type) -> Value:
    if source == target:
        return value
    match value:
        case str():
            return _from_text(value, target)
        case bool():
            return ("true" if value else "false") if target.kind is Kind.STRING else int(value)
        case int() | float() | Decimal():
            return _from_number(value, source, target)
        case dt.datetime():
            return value.date()
        case dt.date() if target.kind is Kind.STRING:
            return value.isoformat()
        case dt.date():
            return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    raise AssertionError(value)


def _from_number(value: int | float | Decimal, source: Type, target: Type) -> Value:
    match target.kind:
        case Kind.STRING:
            return f"{value:f}" if isinstance(value, Decimal) else str(value)
        case Kind.INT:
            return int(value) if -(2**63) <= int(value) < 2**63 else None
        case Kind.FLOAT:
            return _float(value, source)
        case _ if isinstance(value, float):
            return fitted(Decimal(repr(_rounded(value, target.scale))), target)
        case _:
            return fitted(Decimal(value), target)


def _from_text(text: str, target: Type) -> Value:
    digits = r"-?[0-9]+"
    match target.kind:
        case Kind.INT if re.fullmatch(digits, text):
            return int(text) if -(2**63) <= int(text) < 2**63 else None
        case Kind.FLOAT if re.fullmatch(digits + r"(\.[0-9]+)?([eE][+-]?[0-9]+)?", text):
            return float(text) if math.isfinite(float(text)) else None
        case Kind.DECIMAL if re.fullmatch(digits + r"(\.[0-9]+)?", text):
            value = Decimal(text)
            has_room = len(text.partition(".")[2]) <= target.scale
            return fitted(value, target) if has_room else None
        case Kind.BOOL:
            return {"true": True, "false": False}.get(text)
        case Kind.DATE if is_date(text):
            return dt.date.fromisoformat(text)
        case Kind.TIMESTAMP if is_timestamp(text):
            time = dt.datetime.fromisoformat(text)
            time = time if time.tzinfo else time.replace(tzinfo=dt.UTC)
            return time.astimezone(dt.UTC).replace(microsecond=time.microsecond // 1000 * 1000)
    return None
