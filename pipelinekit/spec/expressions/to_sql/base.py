"""What the SQL of all stores shares: the tree's walk, logic, comparisons and choices."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from pipelinekit.spec.expressions.forms import FLOAT_PATTERN, INT_PATTERN, decimal_pattern
from pipelinekit.spec.expressions.functions import common_type
from pipelinekit.spec.expressions.patterns import read_pattern
from pipelinekit.spec.expressions.times import DATE_PATTERN, TIMESTAMP_PATTERN
from pipelinekit.spec.expressions.tree import (
    Call,
    Expression,
    Field,
    Literal,
    LiteralValue,
    written,
)
from pipelinekit.types import FLOAT, Kind, Type

# What a float of this size holds is whole already.
_WHOLE_FROM = "4503599627370496"  # 2^52
_INT_DIGITS = 19
_PATTERNS = {
    Kind.INT: INT_PATTERN,
    Kind.FLOAT: FLOAT_PATTERN,
    Kind.DATE: DATE_PATTERN,
    Kind.TIMESTAMP: TIMESTAMP_PATTERN,
}
_QUOTIENT_BELOW = "9007199254740992"  # 2^53


class SqlWriter(ABC):
    """Writes one expression. `columns` gives the SQL that reads each field.

    Every text that a method returns is a whole operand: it can stand in brackets, between commas
    or beside an operator.
    """

    def __init__(self, columns: Mapping[str, str]) -> None:
        self._columns = columns
        self._names = 0
        self._writers: dict[str, Callable[[Call, Sequence[str]], str]] = {
            **dict.fromkeys(("=", "!=", "<", "<=", ">", ">="), self._comparison),
            **dict.fromkeys(("and", "or"), self._logic),
            "not": lambda _, values: f"(NOT {values[0]})",
            "is_null": lambda _, values: f"({values[0]} IS NULL)",
            "in": self._in,
            "between": self._between,
            "case": self._case,
            "coalesce": lambda call, values: self.function("coalesce", *self._same(call, values)),
            "nullif": self._nullif,
            **dict.fromkeys(("greatest", "least"), self._extreme),
            **dict.fromkeys(("+", "-", "*", "/", "%"), self._arithmetic),
            "neg": self._negated,
            "abs": self._absolute,
            **dict.fromkeys(("floor", "ceil", "round"), self._rounded),
            "like": lambda call, values: self.like(values[0], str(written(call, 1))),
            "cast": self._cast,
            **dict.fromkeys(("date_trunc", "extract"), self.of_time),
            **dict.fromkeys(("regexp_match", "regexp_extract"), self._regexp),
        }

    def write(self, expression: Expression) -> str:
        match expression:
            case Literal(value=None, type=kind):
                return self.null(kind)
            case Literal(value=value, type=kind):
                return self.literal(value, kind)
            case Field(name=name, type=kind):
                return self.field(self._columns[name], kind)
            case Call(function=function, arguments=arguments):
                write = self._writers.get(function, self.of_text)
                return write(expression, [self.write(a) for a in arguments])

    def let(self, value: str, body: Callable[[str], str]) -> str:
        """`body` over a name for the value, so that it is computed and written once."""
        name = self.new_name()
        return self.bound(name, value, body(name))

    def new_name(self) -> str:
        self._names += 1
        return f"v{self._names}"

    def function(self, name: str, *arguments: str) -> str:
        return f"{name}({', '.join(arguments)})"

    # Each store's own.

    @abstractmethod
    def field(self, column: str, kind: Type) -> str:
        """A column of the table as a value of the language."""

    @abstractmethod
    def null(self, kind: Type) -> str: ...

    @abstractmethod
    def literal(self, value: LiteralValue, kind: Type) -> str: ...

    @abstractmethod
    def cast(self, value: str, kind: Type) -> str:
        """The value in the type in which the kind is computed, which holds all of its values."""

    @abstractmethod
    def where(self, value: str, condition: Callable[[str], str]) -> str:
        """The value where the condition over it holds, else null."""

    @abstractmethod
    def read_text(self, text: str, target: Type) -> str:
        """A text that has the target's form; what is none of its values is null."""

    @abstractmethod
    def bound(self, name: str, value: str, body: str) -> str:
        """The body, in which the name stands for the value."""

    @abstractmethod
    def extreme(self, name: str, values: Sequence[str]) -> str:
        """The greatest or least of two or more values of one type; null if one is."""

    @abstractmethod
    def integer(self, operator: str, left: str, right: str) -> str: ...

    @abstractmethod
    def floating(self, operator: str, left: str, right: str) -> str: ...

    @abstractmethod
    def decimal(self, call: Call, left: str, right: str) -> str:
        """Both sides have the scale of the result, for `*` their own; what doesn't fit is null."""

    @abstractmethod
    def negated_int(self, value: str) -> str:
        """The least int has no counterpart: null."""

    @abstractmethod
    def truth(self, condition: str) -> str:
        """A condition as the number 1 or 0."""

    @abstractmethod
    def matches(self, text: str, pattern: str) -> str:
        """Whether RE2 finds the pattern in the text; `.` stops at a newline."""

    @abstractmethod
    def extracted(self, text: str, pattern: str, group: int) -> str:
        """What the group of the pattern holds, the empty text if nothing; null without a match."""

    @abstractmethod
    def like(self, text: str, pattern: str) -> str: ...

    @abstractmethod
    def of_text(self, call: Call, values: Sequence[str]) -> str: ...

    @abstractmethod
    def of_time(self, call: Call, values: Sequence[str]) -> str: ...

    @abstractmethod
    def to_text(self, value: str, source: Type) -> str:
        """An int, a decimal with all its digits or a day as text."""

    @abstractmethod
    def to_int(self, value: str, source: Type) -> str:
        """A float or decimal cut towards zero; null beyond 64 bits."""

    @abstractmethod
    def float_to_decimal(self, value: str, target: Type) -> str:
        """A float that has been rounded to the target's scale; null beyond its digits."""

    @abstractmethod
    def date_of(self, timestamp: str) -> str: ...

    @abstractmethod
    def midnight_of(self, date: str) -> str: ...

    # Common to all.

    def widened(self, value: str, source: Type, target: Type) -> str:
        """int → float or decimal, decimal → wider decimal or float; beyond it null."""
        if source == target:
            return value
        wide = self.cast(value, target)
        whole = target.precision - target.scale
        if target.kind is Kind.FLOAT or (source.kind is Kind.INT and whole >= _INT_DIGITS):
            return wide
        return self.fitted(wide, target)

    def fitted(self, value: str, kind: Type) -> str:
        """A decimal of the type's scale; null with more digits than the type has."""
        beyond = self.literal(Decimal(10 ** (kind.precision - kind.scale)), kind)
        return self.where(value, lambda v: f"abs({v}) < {beyond}")

    def rescaled(self, value: str, source: Type, target: Type) -> str:
        """A decimal in another type, rounded half away from zero; null beyond its digits."""
        if source.scale > target.scale:
            value = f"round({value}, {target.scale})"
        return self.fitted(self.cast(value, target), target)

    def from_text(self, value: str, target: Type) -> str:
        match target.kind:
            case Kind.BOOL:
                return f"CASE {value} WHEN 'true' THEN true WHEN 'false' THEN false END"
            case Kind.DECIMAL:
                text = self.matching(value, decimal_pattern(target))
                return self.fitted(self.read_text(text, target), target)
            case kind:
                return self.read_text(self.matching(value, _PATTERNS[kind]), target)

    def matching(self, text: str, pattern: str) -> str:
        """The text if it has that form, else null."""
        return self.where(text, lambda v: self.matches(v, pattern))

    def substring(self, name: str, call: Call, text: str) -> str:
        places = (str(written(call, place)) for place in range(1, len(call.arguments)))
        return self.function(name, text, *places)

    def _same(self, call: Call, values: Sequence[str]) -> list[str]:
        """The arguments in the one type that they are compared in."""
        kind = common_type([a.type for a in call.arguments])
        return [self.widened(v, a.type, kind) for v, a in zip(values, call.arguments, strict=True)]

    def _comparison(self, call: Call, values: Sequence[str]) -> str:
        left, right = self._same(call, values)
        return f"({left} {call.function} {right})"

    def _logic(self, call: Call, values: Sequence[str]) -> str:
        return "(" + f" {call.function.upper()} ".join(values) + ")"

    def _in(self, call: Call, values: Sequence[str]) -> str:
        """Of all stores, only some know that `1 in (2, null)` is null."""
        value, *items = self._same(call, values)
        written = all(isinstance(a, Literal) and a.value is not None for a in call.arguments[1:])
        if written:
            return f"({value} IN ({', '.join(items)}))"
        return self.let(value, lambda v: "(" + " OR ".join(f"{v} = {i}" for i in items) + ")")

    def _between(self, call: Call, values: Sequence[str]) -> str:
        value, low, high = self._same(call, values)
        return f"({value} BETWEEN {low} AND {high})"

    def _case(self, call: Call, values: Sequence[str]) -> str:
        typed = [
            self.widened(v, a.type, call.type) for v, a in zip(values, call.arguments, strict=True)
        ]
        whens = [f"WHEN {values[i]} THEN {typed[i + 1]}" for i in range(0, len(values) - 1, 2)]
        return f"CASE {' '.join(whens)} ELSE {typed[-1]} END"

    def _nullif(self, call: Call, values: Sequence[str]) -> str:
        left, right = (a.type for a in call.arguments)
        if left == right:
            return f"nullif({values[0]}, {values[1]})"
        kind = common_type((left, right))

        def chosen(v: str) -> str:
            other = self.widened(values[1], right, kind)
            return f"if({self.widened(v, left, kind)} = {other}, NULL, {v})"

        return self.let(values[0], chosen)

    def _extreme(self, call: Call, values: Sequence[str]) -> str:
        return self.extreme(call.function, self._same(call, values))

    def _arithmetic(self, call: Call, values: Sequence[str]) -> str:
        types = [a.type for a in call.arguments]
        if call.type.kind is Kind.FLOAT:
            left, right = (self.widened(v, t, FLOAT) for v, t in zip(values, types, strict=True))
            if call.function == "%":
                return self._float_rest(left, right)
            return self.floating(call.function, left, right)
        if call.type.kind is Kind.INT:
            return self.integer(call.function, *values)
        kind = Type(Kind.DECIMAL, 38, call.type.scale)
        if call.function != "*":
            values = [self.widened(v, t, kind) for v, t in zip(values, types, strict=True)]
        else:
            values = [
                self.widened(v, t, Type(Kind.DECIMAL, 19, 0)) if t.kind is Kind.INT else v
                for v, t in zip(values, types, strict=True)
            ]
        return self.decimal(call, *values)

    def _float_rest(self, left: str, right: str) -> str:
        """None is left of a quotient that has no digits after the point any more."""

        def rest(a: str, b: str) -> str:
            quotient = self.floating("/", a, b)
            is_exact = f"abs({quotient}) < {_QUOTIENT_BELOW}"
            whole = self.floating("*", b, f"trunc({quotient})")
            zero = f"if({b} != 0, {a} - {a}, NULL)"
            return f"if({is_exact}, {self.floating('-', a, whole)}, {zero})"

        return self.let(left, lambda a: self.let(right, lambda b: rest(a, b)))

    def _negated(self, call: Call, values: Sequence[str]) -> str:
        if call.type.kind is Kind.INT:
            return self.negated_int(values[0])
        return f"(-{values[0]})" if not values[0].startswith("-") else f"(-({values[0]}))"

    def _absolute(self, call: Call, values: Sequence[str]) -> str:
        if call.type.kind is Kind.INT:
            return self.let(values[0], lambda v: f"if({v} < 0, {self.negated_int(v)}, {v})")
        return self.function("abs", values[0])

    def _rounded(self, call: Call, values: Sequence[str]) -> str:
        source = call.arguments[0].type
        value, name = values[0], call.function
        if source.kind is Kind.INT:
            return value
        if name != "round":
            whole = self.function(name, value)
            return self.fitted(whole, call.type) if source.kind is Kind.DECIMAL else whole
        digits = written(call, 1)
        digits = digits if isinstance(digits, int) else 0
        if source.kind is Kind.FLOAT:
            return self.rounded_float(value, digits)
        rounded = self.function("round", value, str(min(digits, source.scale)))
        return self.fitted(rounded, call.type)

    def rounded_float(self, value: str, digits: int) -> str:
        """Half away from zero: the whole of the scaled value, one more from its half on."""
        power = f"1e{digits}"

        def rounded(v: str) -> str:
            scaled = f"(abs({v}) * {power})"
            up = self.truth(f"{scaled} - floor({scaled}) >= 0.5")
            return (
                f"if({scaled} >= {_WHOLE_FROM}, {v}, "
                f"sign({v}) * ((floor({scaled}) + {up}) / {power}))"
            )

        return self.let(value, rounded)

    def _regexp(self, call: Call, values: Sequence[str]) -> str:
        pattern = str(written(call, 1))
        if call.function == "regexp_match":
            return self.matches(values[0], pattern)
        group = written(call, 2)
        chosen = group if isinstance(group, int) else min(read_pattern(pattern).groups, 1)
        return self.extracted(values[0], pattern, chosen)

    def _cast(self, call: Call, values: Sequence[str]) -> str:
        source, target, value = call.arguments[0].type, call.type, values[0]
        if source == target:
            return value
        match source.kind, target.kind:
            case Kind.STRING, _:
                return self.from_text(value, target)
            case Kind.BOOL, Kind.STRING:
                return f"CASE {value} WHEN true THEN 'true' WHEN false THEN 'false' END"
            case Kind.BOOL, _:
                return self.let(value, lambda v: f"if({v} IS NULL, NULL, {self.truth(v)})")
            case Kind.TIMESTAMP, _:
                return self.date_of(value)
            case Kind.DATE, Kind.TIMESTAMP:
                return self.midnight_of(value)
            case _, Kind.STRING:
                return self.to_text(value, source)
            case ((Kind.FLOAT | Kind.DECIMAL), Kind.INT):
                return self.to_int(value, source)
            case Kind.FLOAT, _:
                rounded = self.rounded_float(value, target.scale)
                return self.float_to_decimal(rounded, target)
            case Kind.DECIMAL, Kind.DECIMAL:
                return self.rescaled(value, source, target)
            case _:
                return self.widened(value, source, target)


def decimal_text(value: LiteralValue) -> str:
    assert isinstance(value, Decimal)
    return f"{value:f}"
