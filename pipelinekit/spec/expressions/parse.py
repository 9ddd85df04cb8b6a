"""Text → typed expression, or every problem that was found with its place in the text."""

from __future__ import annotations

import datetime as dt
import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from zoneinfo import available_timezones

from pipelinekit.spec.expressions.functions import (
    CASTS,
    EXTRACT_PARTS,
    FUNCTIONS,
    SYNONYMS,
    TRUNCATE_UNITS,
    arithmetic_type,
    common_type,
)
from pipelinekit.spec.expressions.syntax import Node, SyntaxProblem, parse
from pipelinekit.spec.expressions.tree import Call, Expression, Field, Literal
from pipelinekit.types import (
    BOOL,
    FLOAT,
    INT,
    STRING,
    Kind,
    Type,
    decimal_type,
    parse_type,
)

CODES = {
    "PK200": "the text is not an expression of the language",
    "PK201": "a name is no field of the source",
    "PK202": "a function doesn't exist",
    "PK203": "types don't fit",
    "PK204": "a measure doesn't exist",
    "PK205": "an argument must be written out, or its value is out of range",
    "PK206": "a regular expression is outside the common subset",
}
_AGGREGATES = frozenset(
    ("count", "sum", "avg", "first", "last", "count_distinct", "any_true", "all_true")
)
_NULL_TYPE = STRING  # of a bare null, until its neighbours say otherwise


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding in an expression; `start` and `end` are characters of its text."""

    code: str
    message: str
    start: int
    end: int
    help: str | None = None


@dataclass(frozen=True, slots=True)
class Parsed:
    expression: Expression | None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class ParsedMeasure:
    """A measure's call: its name and typed arguments. None and () when there are problems."""

    name: str | None
    arguments: tuple[Expression, ...] = ()
    problems: tuple[Problem, ...] = ()
    start: int = 0
    end: int = 0


def parse_expression(text: str, fields: Mapping[str, Type]) -> Parsed:
    """The typed tree of a scalar expression over `fields`."""
    try:
        node = parse(text)
    except SyntaxProblem as problem:
        return Parsed(None, (_syntax(problem),))
    checker = _Checker(fields)
    expression = checker.typed(node)
    if checker.problems or expression is None:
        return Parsed(None, tuple(checker.problems))
    return Parsed(expression)


def parse_measure(text: str, fields: Mapping[str, Type]) -> ParsedMeasure:
    """One call of a measure, such as `sum(amount)`; whether it exists is the caller's to say."""
    try:
        node = parse(text)
    except SyntaxProblem as error:
        return ParsedMeasure(None, (), (_syntax(error),))
    if node.kind != "call" or not re.fullmatch(r"[a-z_][a-z0-9_]*", node.value):
        message = "a measure is a call, such as count() or sum(amount)"
        problem = Problem("PK200", message, node.start, node.end)
        return ParsedMeasure(None, (), (problem,))
    checker = _Checker(fields)
    arguments = [checker.typed(argument) for argument in node.arguments]
    name_end = node.start + len(node.value)
    if checker.problems:
        return ParsedMeasure(node.value, (), tuple(checker.problems), node.start, name_end)
    typed = tuple(a for a in arguments if a is not None)
    return ParsedMeasure(node.value, typed, (), node.start, name_end)


def nearest(
    word: str, known: Mapping[str, object] | frozenset[str] | tuple[str, ...]
) -> str | None:
    """The known word that was probably meant."""
    found = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def _syntax(problem: SyntaxProblem) -> Problem:
    return Problem("PK200", problem.message, problem.start, problem.end, problem.help)


@dataclass(slots=True)
class _Checker:
    """Types a syntax tree; a part with a problem is None, and its parents stay silent."""

    fields: Mapping[str, Type]
    problems: list[Problem] = field(default_factory=list)

    def typed(self, node: Node) -> Expression | None:
        match node.kind:
            case "name":
                return self._field(node)
            case "number":
                return _number(node.value)
            case "text":
                return Literal(node.value, STRING)
            case "bool":
                return Literal(node.value == "true", BOOL)
            case "null":
                return Literal(None, _NULL_TYPE)
            case _:
                return self._call(node)

    def _add(self, code: str, message: str, node: Node, help: str | None = None) -> None:
        self.problems.append(Problem(code, message, node.start, node.end, help))

    def _field(self, node: Node) -> Expression | None:
        if kind := self.fields.get(node.value):
            return Field(node.value, kind)
        close = nearest(node.value, tuple(self.fields))
        self._add(
            "PK201",
            f'unknown field "{node.value}"',
            node,
            f"did you mean {close}?" if close else f"the fields are {_listed(self.fields)}",
        )
        return None

    def _call(self, node: Node) -> Expression | None:
        if node.value == "cast":
            return self._cast(node)
        if node.value in FUNCTIONS:
            return self._function(node)
        operator = _OPERATORS.get(node.value)
        if operator is None:
            self._unknown_function(node)
            return None
        arguments = [self.typed(a) for a in node.arguments]
        present = [a for a in arguments if a is not None]
        if len(present) < len(arguments):
            return None
        try:
            return operator(node.value, present)
        except TypeError as error:
            self._add("PK203", str(error), node)
            return None

    def _unknown_function(self, node: Node) -> None:
        name = node.value
        if name in _AGGREGATES:
            self._add(
                "PK202",
                f"{name}() is a measure, not a function of one event",
                node,
                "measures stand under measures: and are combined in a derived one (expr)",
            )
            return
        close = SYNONYMS.get(name) or nearest(name, tuple(FUNCTIONS))
        help = f"did you mean {close}?" if close else f"the functions are {_listed(FUNCTIONS)}"
        place = Node("name", name, (), node.start, node.start + len(name))
        self._add("PK202", f'unknown function "{name}"', place, help)

    def _function(self, node: Node) -> Expression | None:
        function = FUNCTIONS[node.value]
        arguments = [self.typed(a) for a in node.arguments]
        count = len(arguments)
        if count < function.minimum or (function.maximum is not None and count > function.maximum):
            self._add(
                "PK203", f"{node.value} has {count} arguments", node, f"it is {function.usage}"
            )
            return None
        present = [a for a in arguments if a is not None]
        if len(present) < count:
            return None
        for place in function.literals:
            if place < count and not isinstance(present[place], Literal):
                message = f"argument {place + 1} of {node.value} is a written value, not computed"
                self._add("PK205", message, node.arguments[place], f"it is {function.usage}")
                return None
        if problem := _literal_problem(node.value, present):
            place, code, message = problem
            self._add(code, message, node.arguments[place])
            return None
        try:
            present = _without_bare_nulls(present)
            result = function.result([a.type for a in present])
            if node.value in ("coalesce", "nullif", "greatest", "least"):
                present = _adapted(present)
                result = function.result([a.type for a in present])
        except TypeError as error:
            self._add("PK203", f"{node.value}: {error}", node, f"it is {function.usage}")
            return None
        return Call(node.value, tuple(present), result)

    def _cast(self, node: Node) -> Expression | None:
        value = self.typed(node.arguments[0])
        target_node = node.arguments[1]
        try:
            target = parse_type(target_node.value)
        except ValueError as error:
            self._add("PK203", str(error), target_node)
            return None
        if value is None:
            return None
        if isinstance(value, Literal) and value.type == STRING and target.kind in _LITERAL_TIMES:
            if not _is_time(str(value.value), target.kind):
                message = f'"{value.value}" is not a {target}'
                self._add("PK205", message, node.arguments[0], _LITERAL_TIMES[target.kind])
                return None
        elif value.type != target and target.kind not in CASTS[value.type.kind]:
            self._add("PK203", f"{value.type} can't be cast to {target}", node)
            return None
        return Call("cast", (value,), target)


_LITERAL_TIMES = {
    Kind.TIMESTAMP: "write it as 2024-01-31T12:00:00Z",
    Kind.DATE: "write it as 2024-01-31",
}


def _is_time(text: str, kind: Kind) -> bool:
    try:
        if kind is Kind.DATE:
            dt.date.fromisoformat(text)
        else:
            dt.datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _number(text: str) -> Literal | None:
    if "e" in text.lower():
        return Literal(float(text), FLOAT)
    if "." in text:
        value = Decimal(text)
        digits = len(value.as_tuple().digits)
        scale = len(text.split(".")[1])
        if max(digits, scale) > 38:
            return Literal(float(text), FLOAT)
        return Literal(value, decimal_type(max(digits, scale), scale))
    number = int(text)
    if -(2**63) <= number < 2**63:
        return Literal(number, INT)
    return Literal(float(text), FLOAT)


def _adapted(expressions: list[Expression]) -> list[Expression]:
    """Bare nulls and decimal literals take the type of their neighbours."""
    solid = [e for e in expressions if not isinstance(e, Literal)]
    has_float = any(e.type.kind is Kind.FLOAT for e in (solid or expressions))
    adapted: list[Expression] = []
    for e in expressions:
        if has_float and isinstance(e, Literal) and isinstance(e.value, Decimal):
            adapted.append(Literal(float(e.value), FLOAT))
        else:
            adapted.append(e)
    return _without_bare_nulls(adapted)


def _without_bare_nulls(expressions: list[Expression]) -> list[Expression]:
    typed = [e for e in expressions if not (isinstance(e, Literal) and e.value is None)]
    if not typed or len(typed) == len(expressions):
        return expressions
    kind = typed[0].type
    return [
        Literal(None, kind) if isinstance(e, Literal) and e.value is None else e
        for e in expressions
    ]


def _comparison(name: str, arguments: list[Expression]) -> Expression:
    arguments = _adapted(arguments)
    found = common_type([a.type for a in arguments])
    if found.kind is Kind.LIST:
        raise TypeError("lists can't be compared")
    if found.kind is Kind.BOOL and name not in ("=", "!=", "in"):
        raise TypeError("bools have no order")
    return Call(name, tuple(arguments), BOOL)


def _logic(name: str, arguments: list[Expression]) -> Expression:
    for argument in arguments:
        if argument.type != BOOL and not _is_null(argument):
            raise TypeError(f'"{name}" takes conditions, and one side is {argument.type}')
    typed = [Literal(None, BOOL) if _is_null(a) else a for a in arguments]
    return Call(name, tuple(typed), BOOL)


def _arithmetic(name: str, arguments: list[Expression]) -> Expression:
    left, right = _adapted(arguments)
    return Call(name, (left, right), arithmetic_type(name, left.type, right.type))


def _negation(name: str, arguments: list[Expression]) -> Expression:
    if not arguments[0].type.is_numeric:
        raise TypeError(f'"-" takes a number, and it is {arguments[0].type}')
    return Call(name, tuple(arguments), arguments[0].type)


def _like(name: str, arguments: list[Expression]) -> Expression:
    text, pattern = arguments
    if text.type != STRING:
        raise TypeError(f"like takes a string, and it is {text.type}")
    if not (isinstance(pattern, Literal) and pattern.type == STRING):
        raise TypeError("the pattern of like is a written text")
    return Call(name, (text, pattern), BOOL)


def _is_null_call(name: str, arguments: list[Expression]) -> Expression:
    return Call(name, tuple(arguments), BOOL)


def _case(name: str, arguments: list[Expression]) -> Expression:
    conditions = arguments[:-1:2]
    for condition in conditions:
        if condition.type != BOOL:
            raise TypeError(f"when takes a condition, and it is {condition.type}")
    values = _adapted([*arguments[1::2], arguments[-1]])
    result = common_type([v.type for v in values])
    parts: list[Expression] = []
    for condition, value in zip(conditions, values, strict=False):
        parts += [condition, value]
    return Call(name, (*parts, values[-1]), result)


def _is_null(expression: Expression) -> bool:
    return isinstance(expression, Literal) and expression.value is None


_OPERATORS: dict[str, Callable[[str, list[Expression]], Expression]] = {
    **dict.fromkeys(("=", "!=", "<", "<=", ">", ">=", "in", "between"), _comparison),
    **dict.fromkeys(("and", "or", "not"), _logic),
    **dict.fromkeys(("+", "-", "*", "/", "%"), _arithmetic),
    "neg": _negation,
    "like": _like,
    "is_null": _is_null_call,
    "case": _case,
}


def _literal_problem(name: str, arguments: list[Expression]) -> tuple[int, str, str] | None:
    """What is wrong with a written argument: its place, the code, the message."""
    values = [a.value if isinstance(a, Literal) else None for a in arguments]
    match name:
        case "date_trunc":
            if values[0] not in TRUNCATE_UNITS:
                return 0, "PK205", f'"{values[0]}" is no unit; they are {_listed(TRUNCATE_UNITS)}'
            if len(values) == 3 and values[2] not in available_timezones():
                return 2, "PK205", f'"{values[2]}" is no time zone such as Europe/Brussels'
        case "extract":
            if values[0] not in EXTRACT_PARTS:
                return 0, "PK205", f'"{values[0]}" is no part; they are {_listed(EXTRACT_PARTS)}'
        case "regexp_match" | "regexp_extract":
            if message := _pattern_problem(str(values[1])):
                return 1, "PK206", message
            groups = re.compile(str(values[1])).groups
            if len(values) == 3 and isinstance(values[2], int) and not 0 <= values[2] <= groups:
                return 2, "PK205", f"the pattern has {groups} groups"
        case "substring" | "split_part":
            for place, value in list(enumerate(values))[1:]:
                if isinstance(value, int) and value < (
                    0 if place == 2 and name == "substring" else 1
                ):
                    return place, "PK205", f"{value} is too small: places count from 1"
            if name == "split_part" and values[1] == "":
                return 1, "PK205", "the separator is empty"
        case "round":
            if len(values) == 2 and isinstance(values[1], int) and not 0 <= values[1] <= 18:
                return 1, "PK205", f"{values[1]} digits: 0 to 18 are possible"
        case _:
            pass
    return None


_BEYOND_RE2 = re.compile(r"\(\?(?:=|!|<=|<!|>|P=|\()|\\[1-9]|[*+?}]\+|\\[ZGK]")


def _pattern_problem(pattern: str) -> str | None:
    """Why a pattern isn't of the subset that RE2 and its likes share."""
    if len(pattern) > 500:
        return f"the pattern has {len(pattern)} characters, 500 are the most"
    if found := _BEYOND_RE2.search(pattern.replace("\\\\", "")):
        return f'"{found[0]}" is not in RE2: no look-around, no back-references'
    try:
        re.compile(pattern)
    except re.error as error:
        return f"the pattern doesn't parse: {error}"
    if any(int(n) > 1000 for n in re.findall(r"\{(\d+)", pattern)):
        return "a repetition goes beyond 1000"
    return None


def _listed(words: Mapping[str, object] | tuple[str, ...]) -> str:
    listed = list(words)
    return ", ".join(listed[:30]) + (", …" if len(listed) > 30 else "")
