"""Expressions in BigQuery's SQL.

Decimals are computed as BIGNUMERIC, which holds all 38 digits on either side of the point.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from pipelinekit.spec.expressions.forms import URL_PATH
from pipelinekit.spec.expressions.patterns import capturing
from pipelinekit.spec.expressions.to_sql.base import SqlWriter, decimal_text
from pipelinekit.spec.expressions.tree import Call, Expression, LiteralValue, written
from pipelinekit.types import Kind, Type

_PLAIN = {
    Kind.STRING: "STRING",
    Kind.BOOL: "BOOL",
    Kind.INT: "INT64",
    Kind.FLOAT: "FLOAT64",
    Kind.DECIMAL: "BIGNUMERIC",
    Kind.TIMESTAMP: "TIMESTAMP",
    Kind.DATE: "DATE",
}
_SAFE = {"+": "SAFE_ADD", "-": "SAFE_SUBTRACT", "*": "SAFE_MULTIPLY", "/": "SAFE_DIVIDE"}
_TEXT = {
    "length": "CHAR_LENGTH", "lower": "LOWER", "upper": "UPPER", "concat": "CONCAT",
    "starts_with": "STARTS_WITH", "ends_with": "ENDS_WITH",
}  # fmt: skip


def to_bigquery(expression: Expression, columns: Mapping[str, str]) -> str:
    """The expression in BigQuery's SQL; `columns` holds for each field the SQL that reads it."""
    writer = _BigQuery(columns)
    text = writer.write(expression)
    if expression.type.kind is Kind.DECIMAL:
        return f"CAST({text} AS {_numeric(expression.type)})"
    return text


class _BigQuery(SqlWriter):
    def field(self, column: str, kind: Type) -> str:
        return self.cast(column, kind) if kind.kind is Kind.DECIMAL else column

    def cast(self, value: str, kind: Type) -> str:
        return f"CAST({value} AS {_PLAIN[kind.kind]})"

    def null(self, kind: Type) -> str:
        return f"CAST(NULL AS {_PLAIN[kind.kind]})"

    def literal(self, value: LiteralValue, kind: Type) -> str:
        match kind.kind:
            case Kind.STRING:
                return _quoted(str(value))
            case Kind.BOOL:
                return "TRUE" if value else "FALSE"
            case Kind.INT:
                return str(value)
            case Kind.FLOAT:
                return f"CAST({value!r} AS FLOAT64)"
            case _:
                return f"BIGNUMERIC '{decimal_text(value)}'"

    def bound(self, name: str, value: str, body: str) -> str:
        return f"(SELECT {body} FROM (SELECT {value} AS {name}))"

    def where(self, value: str, condition: Callable[[str], str]) -> str:
        return self.let(value, lambda v: f"IF({condition(v)}, {v}, NULL)")

    def extreme(self, name: str, values: Sequence[str]) -> str:
        return f"{name.upper()}({', '.join(values)})"

    def integer(self, operator: str, left: str, right: str) -> str:
        if operator == "%":
            return f"MOD({left}, NULLIF({right}, 0))"
        return f"{_SAFE[operator]}({left}, {right})"

    def floating(self, operator: str, left: str, right: str) -> str:
        return f"{_SAFE[operator]}({left}, {right})"

    def decimal(self, call: Call, left: str, right: str) -> str:
        if call.function == "%":
            return f"MOD({left}, NULLIF({right}, 0))"
        return self.fitted(f"{_SAFE[call.function]}({left}, {right})", call.type)

    def negated_int(self, value: str) -> str:
        return f"SAFE_NEGATE({value})"

    def truth(self, condition: str) -> str:
        return f"CAST({condition} AS INT64)"

    def matches(self, text: str, pattern: str) -> str:
        return f"REGEXP_CONTAINS({text}, {_quoted(pattern)})"

    def extracted(self, text: str, pattern: str, group: int) -> str:
        # At most one group may capture; a group that took no part is null there.
        regexp = _quoted(capturing(pattern, group))

        def found(v: str) -> str:
            part = f"IFNULL(REGEXP_EXTRACT({v}, {regexp}), '')"
            return f"IF(REGEXP_CONTAINS({v}, {regexp}), {part}, NULL)"

        return self.let(text, found)

    def like(self, text: str, pattern: str) -> str:
        return f"({text} LIKE {_quoted(pattern)})"

    def of_text(self, call: Call, values: Sequence[str]) -> str:
        text = values[0]
        match call.function:
            case "trim":
                return f"TRIM({text}, ' ')"
            case "contains":
                return f"(STRPOS({text}, {values[1]}) > 0)"
            case "substring":
                return self.substring("SUBSTR", call, text)
            case "split_part":
                separator, place = _quoted(str(written(call, 1))), written(call, 2)
                return self.let(
                    text,
                    lambda v: (
                        f"IF({v} IS NULL, NULL, "
                        f"IFNULL(SPLIT({v}, {separator})[SAFE_ORDINAL({place})], ''))"
                    ),
                )
            case "url_path":
                return f"REGEXP_EXTRACT({text}, {_quoted(URL_PATH)})"
            case name:
                return f"{_TEXT[name]}({', '.join(values)})"

    def of_time(self, call: Call, values: Sequence[str]) -> str:
        unit, time = str(written(call, 0)), values[1]
        if call.function == "extract":
            if unit == "weekday":  # there 1 is Sunday
                return f"(MOD(EXTRACT(DAYOFWEEK FROM {time}) + 5, 7) + 1)"
            return f"EXTRACT({'ISOWEEK' if unit == 'week' else unit.upper()} FROM {time})"
        part = "ISOWEEK" if unit == "week" else unit.upper()
        zone = _quoted(str(written(call, 2) or "UTC"))
        return f"TIMESTAMP_TRUNC({time}, {part}, {zone})"

    def read_text(self, text: str, target: Type) -> str:
        value = f"SAFE_CAST({text} AS {_PLAIN[target.kind]})"
        match target.kind:
            case Kind.FLOAT:
                return self.where(value, lambda v: f"NOT IS_INF({v})")
            case Kind.TIMESTAMP:
                return f"TIMESTAMP_TRUNC({value}, MILLISECOND)"
            case _:
                return value

    def to_text(self, value: str, source: Type) -> str:
        if source.kind is Kind.DECIMAL:
            return f"FORMAT('%.{source.scale}f', {value})"
        return f"CAST({value} AS STRING)"

    def to_int(self, value: str, source: Type) -> str:
        return f"SAFE_CAST(TRUNC({value}) AS INT64)"

    def float_to_decimal(self, value: str, target: Type) -> str:
        # By its shortest text: as a binary fraction it has digits that nobody wrote.
        return self.fitted(f"SAFE_CAST(CAST({value} AS STRING) AS BIGNUMERIC)", target)

    def date_of(self, timestamp: str) -> str:
        return f"DATE({timestamp}, 'UTC')"

    def midnight_of(self, date: str) -> str:
        return f"TIMESTAMP({date}, 'UTC')"


def _numeric(kind: Type) -> str:
    """Of the narrower type that holds it; both are spelled with their digits."""
    is_small = kind.scale <= 9 and kind.precision - kind.scale <= 29
    return f"{'NUMERIC' if is_small else 'BIGNUMERIC'}({kind.precision}, {kind.scale})"


def _quoted(text: str) -> str:
    """A string literal; its escapes are those of JSON, which BigQuery reads alike."""
    return json.dumps(text, ensure_ascii=False)
