"""Text → typed expression, or every problem that was found with its place in the text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from pipelinekit.spec.expressions.functions import (
    AGGREGATES,
    FUNCTIONS,
    SYNONYMS,
    TYPE_SYNONYMS,
    Function,
    common_type,
)
from pipelinekit.spec.expressions.operators import (
    NULL_TYPE,
    OPERATORS,
    adapted,
    cast_type,
    nulls_typed,
)
from pipelinekit.spec.expressions.problems import (
    CODES,
    Mismatch,
    Problem,
    SyntaxProblem,
    listed,
    nearest,
    shown,
)
from pipelinekit.spec.expressions.syntax import Node, parse
from pipelinekit.spec.expressions.tokens import KEYWORDS
from pipelinekit.spec.expressions.tree import Call, Expression, Field, Literal
from pipelinekit.spec.expressions.written import (
    Unfit,
    check_argument,
    check_like,
    check_time,
    number,
)
from pipelinekit.types import BOOL, STRING, TYPE_NAMES, Type, list_type, parse_type

__all__ = ["CODES", "Parsed", "ParsedMeasure", "Problem", "parse_expression", "parse_measure"]
PROBLEMS_MAX = 20
_MEASURE_HELP = {
    "max": "write greatest(a, b) for the greatest of several values",
    "min": "write least(a, b) for the least of several values",
}
_ADAPTING = frozenset(("coalesce", "nullif", "greatest", "least"))


class Parsed(NamedTuple):
    """A typed expression, or None and what is wrong."""

    expression: Expression | None
    problems: tuple[Problem, ...] = ()


class ParsedMeasure(NamedTuple):
    """A measure's call: its name, where that stands in the text, and its typed arguments.

    `name` is None when the text is no call; `arguments` is empty when there are problems.
    """

    name: str | None
    arguments: tuple[Expression, ...] = ()
    problems: tuple[Problem, ...] = ()
    start: int = 0
    end: int = 0


def parse_expression(text: str, fields: Mapping[str, Type]) -> Parsed:
    """The typed tree of a scalar expression over `fields`. Never raises, whatever the text."""
    if (kind := fields.get(text)) and text not in KEYWORDS:
        return Parsed(Field(text, kind))
    try:
        node = parse(text)
    except SyntaxProblem as error:
        return Parsed(None, (error.problem,))
    checker = _Checker(fields)
    expression = checker.typed(node)
    if checker.problems:
        return Parsed(None, tuple(checker.problems))
    return Parsed(expression)


def parse_measure(text: str, fields: Mapping[str, Type]) -> ParsedMeasure:
    """One call of a measure, such as `sum(amount)`; whether it exists is the caller's to say."""
    try:
        node = parse(text)
    except SyntaxProblem as error:
        return ParsedMeasure(None, (), (error.problem,))
    if node.kind != "function" or text[node.start] == "(":
        message = "a measure is one call, and this is none"
        help = "write count() or sum(amount); combine measures in a derived one, under expr:"
        return ParsedMeasure(None, (), (Problem("PK200", message, node.start, node.end, help),))
    checker = _Checker(fields)
    arguments = [checker.argument(argument) for argument in node.arguments]
    typed = () if checker.problems else tuple(a for a in arguments if a is not None)
    end = node.start + len(node.value)
    return ParsedMeasure(node.value, typed, tuple(checker.problems), node.start, end)


@dataclass(slots=True, eq=False)
class _Checker:
    """Types a syntax tree; a part with a problem is None, and its parents stay silent."""

    fields: Mapping[str, Type]
    problems: list[Problem] = field(default_factory=list)

    def argument(self, node: Node) -> Expression | None:
        """A measure's argument: an expression, or a list of them, which stands nowhere else."""
        if node.kind != "list":
            return self.typed(node)
        items = self._arguments(node)
        if items is None:
            return None
        try:
            kind = common_type([item.type for item in items])
        except Mismatch as error:
            self._add("PK203", error.message, node, error.help)
            return None
        return Call("list", tuple(items), list_type(kind))

    def typed(self, node: Node) -> Expression | None:
        if len(self.problems) >= PROBLEMS_MAX:
            return None
        try:
            match node.kind:
                case "name":
                    return self._field(node)
                case "number":
                    return number(node.value)
                case "text":
                    return Literal(node.value, STRING)
                case "bool":
                    return Literal(node.value == "true", BOOL)
                case "null":
                    return Literal(None, NULL_TYPE)
                case "function":
                    return self._function(node)
                case "list":
                    bracket = Node("list", "[", (), node.start, node.start + 1)
                    help = "only measures take one, as in histogram(load_ms, [100, 500])"
                    self._add("PK200", '"[" opens no list here', bracket, help)
                    return None
                case _:
                    return self._operator(node)
        except Mismatch as error:
            self._add("PK203", error.message, node, error.help)
        except Unfit as error:
            self._add(error.code, error.message, node, error.help)
        return None

    def _add(self, code: str, message: str, node: Node, help: str | None = None) -> None:
        self.problems.append(Problem(code, message, node.start, node.end, help))

    def _field(self, node: Node) -> Expression | None:
        if kind := self.fields.get(node.value):
            return Field(node.value, kind)
        close = nearest(node.value, self.fields)
        help = f"did you mean {close}?" if close else f"the fields are {listed(self.fields)}"
        self._add("PK201", f"unknown field {shown(node.value)}", node, help)
        return None

    def _operator(self, node: Node) -> Expression | None:
        if node.value == "cast":
            return self._cast(node)
        arguments = self._arguments(node)
        if arguments is None:
            return None
        call = OPERATORS[node.value](node.value, arguments)
        if node.value == "like":
            pattern = node.arguments[1]
            self._check(pattern, lambda: check_like(pattern.value))
        return call

    def _arguments(self, node: Node) -> list[Expression] | None:
        """All arguments, typed; None when one of them has a problem."""
        arguments = [self.typed(a) for a in node.arguments]
        present = [a for a in arguments if a is not None]
        return present if len(present) == len(arguments) else None

    def _check(self, node: Node, check: Callable[[], None]) -> None:
        """What is wrong with a written value is shown at that value."""
        try:
            check()
        except Unfit as error:
            self._add(error.code, error.message, node, error.help)

    def _function(self, node: Node) -> Expression | None:
        name = node.value
        function = FUNCTIONS.get(name)
        if function is None:
            self._unknown_function(node)
            return None
        arguments = self._arguments(node)
        count = len(node.arguments)
        usage = f"write {function.usage}"
        if count < function.minimum or (function.maximum is not None and count > function.maximum):
            given = "1 argument" if count == 1 else f"{count} arguments"
            raise Mismatch(f"{name} doesn't take {given}", usage)
        if arguments is None:
            return None
        if not self._are_written(node, function, arguments):
            return None
        arguments = adapted(arguments) if name in _ADAPTING else nulls_typed(arguments)
        try:
            result = function.result([a.type for a in arguments])
        except Mismatch as error:
            raise Mismatch(f"{name}: {error.message}", error.help or usage) from None
        values = [a.value if isinstance(a, Literal) else None for a in arguments]
        for place in function.literals:
            if place < count:
                self._check(node.arguments[place], partial(check_argument, name, place, values))
        return Call(name, tuple(arguments), result)

    def _are_written(self, node: Node, function: Function, arguments: Sequence[Expression]) -> bool:
        for place in function.literals:
            if place >= len(arguments):
                continue
            argument = arguments[place]
            if not isinstance(argument, Literal) or argument.value is None:
                message = f"argument {place + 1} of {node.value} must be written out"
                self._add("PK205", message, node.arguments[place], f"write {function.usage}")
                return False
        return True

    def _unknown_function(self, node: Node) -> None:
        name = node.value
        place = Node("name", name, (), node.start, node.start + len(name))
        if name in AGGREGATES:
            message = f"{name}() is a measure, not a function of one event"
            help = _MEASURE_HELP.get(name, "write it under measures:")
            self._add("PK202", message, place, help)
            return
        close = SYNONYMS.get(name) or nearest(name, FUNCTIONS)
        help = f"did you mean {close}?" if close else f"the functions are {listed(FUNCTIONS)}"
        self._add("PK202", f"unknown function {shown(name)}", place, help)

    def _cast(self, node: Node) -> Expression | None:
        value_node, target_node = node.arguments
        value = self.typed(value_node)
        target = self._type(target_node)
        if value is None or target is None:
            return None
        if isinstance(value, Literal) and isinstance(value.value, str):
            self._check(value_node, lambda: check_time(value_node.value, target.kind))
        return Call("cast", (value,), cast_type(value.type, target))

    def _type(self, node: Node) -> Type | None:
        try:
            return parse_type(node.value)
        except ValueError as error:
            word = node.value.partition("(")[0]
            synonym = TYPE_SYNONYMS.get(word) or nearest(word, TYPE_NAMES)
            message = f"{shown(node.value)} is not a type"
            help = f"did you mean {synonym}?" if synonym else str(error)
            self._add("PK203", message, node, help)
            return None
