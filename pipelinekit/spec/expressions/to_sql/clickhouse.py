"""Expressions in ClickHouse's SQL.

Ints are computed in 128 bits and decimals in 256, so that nothing wraps; what doesn't fit its type
is null. Days and times are within 1900 to 2299, as ClickHouse's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pipelinekit.spec.expressions.forms import URL_PATH, like_as_regexp
from pipelinekit.spec.expressions.functions import may_overflow
from pipelinekit.spec.expressions.times import TIMESTAMP_PATTERN
from pipelinekit.spec.expressions.to_sql.base import SqlWriter, decimal_text
from pipelinekit.spec.expressions.tree import Call, Expression, Field, LiteralValue, written
from pipelinekit.types import Kind, Type

_PLAIN = {
    Kind.STRING: "String",
    Kind.BOOL: "Bool",
    Kind.INT: "Int64",
    Kind.FLOAT: "Float64",
    Kind.TIMESTAMP: "DateTime64(3, 'UTC')",
    Kind.DATE: "Date32",
}
_EXTRACT = {
    "year": "toYear", "quarter": "toQuarter", "month": "toMonth", "week": "toISOWeek",
    "day": "toDayOfMonth", "weekday": "toDayOfWeek", "hour": "toHour", "minute": "toMinute",
    "second": "toSecond",
}  # fmt: skip
_UNIT_MS = {"second": 1_000, "minute": 60_000, "hour": 3_600_000}
_ENDS = {"starts_with": "startsWith", "ends_with": "endsWith"}


def to_clickhouse(expression: Expression, columns: Mapping[str, str]) -> str:
    """The expression in ClickHouse's SQL, of the Nullable type of its column.

    `columns` holds for each field the SQL that reads it, of any type that converts.
    """
    if isinstance(expression, Field):
        return f"CAST({columns[expression.name]}, {_quoted(_nullable(expression.type))})"
    text = _ClickHouse(columns).write(expression)
    return f"CAST({text}, {_quoted(_nullable(expression.type))})"


class _ClickHouse(SqlWriter):
    def field(self, column: str, kind: Type) -> str:
        return self.cast(column, kind)

    def cast(self, value: str, kind: Type) -> str:
        return f"CAST({value}, {_quoted(_inner(kind))})"

    def null(self, kind: Type) -> str:
        return f"CAST(NULL, {_quoted(_inner(kind))})"

    def literal(self, value: LiteralValue, kind: Type) -> str:
        match kind.kind:
            case Kind.STRING:
                return _quoted(str(value))
            case Kind.BOOL:
                return "true" if value else "false"
            case Kind.INT:
                return f"toInt64({value})"
            case Kind.FLOAT:
                return f"toFloat64({value!r})"
            case _:
                return f"toDecimal256('{decimal_text(value)}', {kind.scale})"

    def bound(self, name: str, value: str, body: str) -> str:
        return f"arrayMap({name} -> {body}, [{value}])[1]"

    def where(self, value: str, condition: Callable[[str], str]) -> str:
        name = self.new_name()
        return f"arrayFirstOrNull({name} -> {condition(name)}, [{value}])"

    def _finite(self, value: str) -> str:
        return self.where(value, lambda v: f"isFinite({v})")

    def extreme(self, name: str, values: Sequence[str]) -> str:
        best = "arrayMax" if name == "greatest" else "arrayMin"
        many = f"[{', '.join(values)}]"
        return self.let(many, lambda v: f"if(has({v}, NULL), NULL, {best}({v}))")

    def integer(self, operator: str, left: str, right: str) -> str:
        if operator == "%":
            right = f"nullIf({right}, 0)"
        wide = f"toInt128({left}) {operator} toInt128({right})"
        return f"accurateCastOrNull({wide}, 'Int64')"

    def floating(self, operator: str, left: str, right: str) -> str:
        if operator == "/":
            right = f"nullIf({right}, 0)"
        return self._finite(f"{left} {operator} {right}")

    def decimal(self, call: Call, left: str, right: str) -> str:
        if call.function == "%":
            right = f"nullIf({right}, 0)"
        result = f"({left} {call.function} {right})"
        types = [a.type for a in call.arguments]
        return self.fitted(result, call.type) if may_overflow(call.function, *types) else result

    def negated_int(self, value: str) -> str:
        return f"accurateCastOrNull(-toInt128({value}), 'Int64')"

    def truth(self, condition: str) -> str:
        return f"toInt64({condition})"

    def matches(self, text: str, pattern: str) -> str:
        return f"match({text}, {_quoted('(?-s)' + pattern)})"

    def extracted(self, text: str, pattern: str, group: int) -> str:
        # Without a group of its own around it, the function would refuse a pattern with none.
        regexp = _quoted(f"(?-s)({pattern})")

        def found(v: str) -> str:
            return f"if(match({v}, {regexp}), regexpExtract({v}, {regexp}, {group + 1}), NULL)"

        return self.let(text, found)

    def like(self, text: str, pattern: str) -> str:
        return f"match({text}, {_quoted(like_as_regexp(pattern))})"

    def of_text(self, call: Call, values: Sequence[str]) -> str:
        text = values[0]
        match call.function:
            case "length":
                return f"toInt64(lengthUTF8({text}))"
            case "lower" | "upper" as name:
                return f"{name}UTF8({text})"
            case "trim":
                return f"trimBoth({text})"
            case "concat":
                return text if len(values) == 1 else f"concat({', '.join(values)})"
            case "starts_with" | "ends_with" as name:
                return f"{_ENDS[name]}({text}, {values[1]})"
            case "contains":
                return f"(position({text}, {values[1]}) > 0)"
            case "substring":
                return self.substring("substringUTF8", call, text)
            case "split_part":
                separator, place = _quoted(str(written(call, 1))), written(call, 2)
                return self.let(
                    text,
                    lambda v: (
                        f"if({v} IS NULL, NULL, "
                        f"splitByString({separator}, ifNull({v}, ''))[{place}])"
                    ),
                )
            case _:
                return f"regexpExtract({text}, {_quoted('(?-s)' + URL_PATH)}, 1)"

    def of_time(self, call: Call, values: Sequence[str]) -> str:
        unit, time = str(written(call, 0)), values[1]
        if call.function == "extract":
            return f"toInt64({_EXTRACT[unit]}({time}))"
        zone = written(call, 2)
        name = _quoted(str(zone or "UTC"))
        if every := _UNIT_MS.get(unit):
            return self.let(time, lambda t: _truncated(t, name, every))
        local = f"toDate32(toTimeZone({time}, {name}))"
        return f"toTimeZone(toDateTime64({self.let(local, _first_day(unit))}, 3, {name}), 'UTC')"

    def read_text(self, text: str, target: Type) -> str:
        match target.kind:
            case Kind.INT:
                return f"accurateCastOrNull(toInt256OrNull({text}), 'Int64')"
            case Kind.FLOAT:
                return self._finite(f"toFloat64OrNull({text})")
            case Kind.DECIMAL:
                return f"toDecimal256OrNull({text}, {target.scale})"
            case Kind.DATE:
                return self.let(text, _real_day)
            case _:
                groups = f"extractGroups(ifNull({text}, ''), {_quoted(TIMESTAMP_PATTERN)})"
                return self.let(
                    groups,
                    lambda g: f"parseDateTime64BestEffortOrNull({_written_time(g)}, 3, 'UTC')",
                )

    def to_text(self, value: str, source: Type) -> str:
        if source.kind is Kind.DECIMAL:
            return f"toDecimalString({value}, {source.scale})"
        return f"toString({value})"

    def to_int(self, value: str, source: Type) -> str:
        whole = f"trunc({value})" if source.kind is Kind.FLOAT else f"toInt256({value})"
        return f"accurateCastOrNull({whole}, 'Int64')"

    def float_to_decimal(self, value: str, target: Type) -> str:
        whole = target.precision - target.scale
        bounded = self.where(value, lambda v: f"abs({v}) <= 1e{whole}")
        # By its shortest text: as a binary fraction it has digits that nobody wrote.
        return self.fitted(f"toDecimal256OrNull(toString({bounded}), {target.scale})", target)

    def date_of(self, timestamp: str) -> str:
        return f"toDate32({timestamp})"

    def midnight_of(self, date: str) -> str:
        return f"toDateTime64({date}, 3, 'UTC')"


def _inner(kind: Type) -> str:
    """The type in which values of the language are computed."""
    if kind.kind is Kind.DECIMAL:
        return f"Nullable(Decimal(76, {kind.scale}))"
    return _nullable(kind)


def _nullable(kind: Type) -> str:
    match kind.kind:
        case Kind.DECIMAL:
            return f"Nullable(Decimal({kind.precision}, {kind.scale}))"
        case Kind.LIST:
            assert kind.item is not None
            return f"Array({_nullable(kind.item)})"
        case plain:
            return f"Nullable({_PLAIN[plain]})"


def _truncated(time: str, zone: str, every_ms: int) -> str:
    """The time less what has passed of the unit on the zone's clocks."""
    offset = f"toInt64(timeZoneOffset(toTimeZone({time}, {zone}))) * 1000"
    at = f"toUnixTimestamp64Milli({time})"
    return f"fromUnixTimestamp64Milli({at} - positiveModulo({at} + {offset}, {every_ms}), 'UTC')"


def _first_day(unit: str) -> Callable[[str], str]:
    """From a day to the first one of its unit."""

    def first(day: str) -> str:
        match unit:
            case "day":
                return day
            case "week":
                return f"{day} - (toDayOfWeek({day}) - 1)"
            case "month":
                return f"makeDate32(toYear({day}), toMonth({day}), 1)"
            case "quarter":
                return f"makeDate32(toYear({day}), toQuarter({day}) * 3 - 2, 1)"
            case _:
                return f"makeDate32(toYear({day}), 1, 1)"

    return first


def _real_day(text: str) -> str:
    """The 30th of February is none, which the function makes the 1st of March."""
    day = f"toDate32OrNull({text})"
    return f"if(toString({day}) = {text}, {day}, NULL)"


def _written_time(groups: str) -> str:
    """The one spelling of a time, from the groups of TIMESTAMP_PATTERN."""
    parts = [
        f"{groups}[1]",
        "'T'",
        f"if({groups}[2] = '', '00:00', {groups}[2])",
        f"if({groups}[3] = '', ':00', {groups}[3])",
        f"if({groups}[4] = '', '.000', {groups}[4])",
        f"if({groups}[5] IN ('', 'Z'), '+00:00', {groups}[5])",
    ]
    return f"concat({', '.join(parts)})"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
